"""Packed files: fetched, looked through without unpacking, unpacked within limits, compared."""
