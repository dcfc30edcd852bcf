"""The command `plugin`: what a host's owner asks of a registry."""
