"""Resolution: which versions fit together, and why none do. Pure."""
