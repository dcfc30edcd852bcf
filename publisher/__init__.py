"""Write a plugin registry: publish plugins, run the registrar, keep the keys."""
