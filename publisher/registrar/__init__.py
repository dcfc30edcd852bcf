"""The registrar: reads what stands on main and in pending publish refs, and writes what follows from it.

It is level-triggered: running it twice, skipping runs, or killing one and running the next gives the same result.
"""
