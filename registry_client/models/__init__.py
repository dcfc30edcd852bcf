"""The wire format: frozen pydantic models of every document.

Reading tolerates members that a model does not know (they are covered by the signature); publishing refuses them, with the
JSON Schemas that are generated from these models. A model is never dumped back for verification: signatures and
digests are checked over the bytes that were received.
"""

from registry_client.models.blocks import Block, BlockAction, Blocks
from registry_client.models.index import IndexLine, IndexShard, ManifestRef, Quarantine
from registry_client.models.manifest import Artifact, Manifest, Requires
from registry_client.models.policy import Policy
from registry_client.models.publisher import Publisher, RetiredKey, RevokedKey
from registry_client.models.release import Release, ReleaseStatus

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
