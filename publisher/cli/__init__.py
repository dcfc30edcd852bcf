"""The command `publisher`."""
