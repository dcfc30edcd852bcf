"""`make demo`: a registry from its first key to its first attacks, on this machine, with the real commands."""
