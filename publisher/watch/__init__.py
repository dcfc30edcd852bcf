"""What is looked at regularly, and reported: a registry as a whole, what it refers to elsewhere, and when its signatures end."""
