"""Plugins from elsewhere than a registry: folders, archives, Git, package indexes. Unsigned, all of them."""
