"""Staged rollout: which installations are offered a version.

The same computation in every language: the first four bytes, big-endian, of sha256("<install id>:<plugin id>:<version>")
modulo 100. The 10 % cohort is a subset of the 20 % cohort.
"""

from __future__ import annotations

import hashlib


def bucket(install_id: str, plugin_id: str, version: str) -> int:
    """The bucket of an installation for one version, 0 to 99."""
    seed = f"{install_id}:{plugin_id}:{version}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") % 100


def in_rollout(install_id: str, plugin_id: str, version: str, rollout: int) -> bool:
    """Whether an installation is within `rollout` per cent. 0 holds nobody, 100 everybody."""
    return bucket(install_id, plugin_id, version) < rollout
