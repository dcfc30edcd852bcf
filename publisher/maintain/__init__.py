"""What the maintainers do: make a registry, say who may publish what, block, rotate and renew keys, keep its repository."""
