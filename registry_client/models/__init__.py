"""The wire format: frozen pydantic models of every document.

Reading tolerates members that a model does not know (they are covered by the signature); publishing refuses them, with the
JSON Schemas that are generated from these models. A model is never dumped back for verification: signatures and
digests are checked over the bytes that were received.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry_client.models.blocks import Block, BlockAction, Blocks
    from registry_client.models.index import IndexLine, IndexShard, ManifestRef, Quarantine
    from registry_client.models.manifest import Artifact, Manifest, Requires
    from registry_client.models.policy import Policy
    from registry_client.models.publisher import Publisher, RetiredKey, RevokedKey
    from registry_client.models.release import Release, ReleaseStatus

_HOME = {
    "Artifact": "manifest",
    "Block": "blocks",
    "BlockAction": "blocks",
    "Blocks": "blocks",
    "IndexLine": "index",
    "IndexShard": "index",
    "Manifest": "manifest",
    "ManifestRef": "index",
    "Policy": "policy",
    "Publisher": "publisher",
    "Quarantine": "index",
    "Release": "release",
    "ReleaseStatus": "release",
    "Requires": "manifest",
    "RetiredKey": "publisher",
    "RevokedKey": "publisher",
}

__all__ = [
    "Artifact",
    "Block",
    "BlockAction",
    "Blocks",
    "IndexLine",
    "IndexShard",
    "Manifest",
    "ManifestRef",
    "Policy",
    "Publisher",
    "Quarantine",
    "Release",
    "ReleaseStatus",
    "Requires",
    "RetiredKey",
    "RevokedKey",
]


def __getattr__(name: str) -> Any:
    """Import a model when it is first used: making one takes milliseconds, and few commands need them all."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"registry_client.models.{_HOME[name]}"), name)
