"""Mirrors: what a registry serves, put where it is served a second time: a folder, or a prefix on object storage.

`run.py` holds the order of a run, `plan.py` what there is to do, `place.py` what a place must be able to do, `folder.py` and
`object_store.py` the two places. Nothing is verified: whoever reads a mirror verifies what it gives.
"""
