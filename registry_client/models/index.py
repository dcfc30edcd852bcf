"""`index/<bits>.json`: a line for each version ever indexed. Written and signed by the registrar, TUF role `registrar`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import Field

from registry_client.digest import Digest
from registry_client.jsontext import MIB
from registry_client.models.base import Document, PluginId, Reason, RelativePath, Time, Version
from registry_client.models.manifest import MANIFEST_LIMIT, Requires

SHARD_LIMIT = MIB
CATALOGUE_LIMIT = 64 * MIB
TOP_BITS = 9
"""Bits of the finest shards that are TUF targets, and of directories."""
MAX_BITS = 20
"""Bits of the finest shards of all."""


class ManifestRef(Document):
    """Where a manifest is and what it must be."""

    path: RelativePath
    """Path below the base URL. Never reused for other bytes."""
    digest: Digest
    """sha256 of the file."""
    size: Annotated[int, Field(ge=1, le=MANIFEST_LIMIT)]
    """Its length in bytes."""
    payload_digest: Digest
    """The version's identity: sha256 of the RFC 8785 bytes without signatures."""


class Quarantine(Document):
    """Why the registrar keeps a version from being resolved."""

    cause: Literal["signature", "artifact", "manual"]
    """signature: lifted by itself when the documents verify again. The others are lifted by hand."""
    reason: Reason
    """What was found."""
    since: Time
    """Since when."""


class IndexLine(Document):
    """One version. Lines are never dropped and versions never used twice."""

    id: PluginId
    """The plugin."""
    version: Version
    """The version."""
    manifest: ManifestRef
    """Its manifest."""
    publisher: PluginId
    """The publisher whose keys it must be signed with."""
    published_at: Time
    """When the registrar first indexed it. Informational."""
    initial_status: Literal["draft", "released"]
    """Copied from the manifest; hosts compare."""
    requires: Requires | None = None
    """Copied from the manifest; hosts compare."""
    release: dict[str, Any] | None = None
    """The newest signed release document, whole."""
    quarantined: Quarantine | None = None
    """Set while the registrar keeps it from being resolved."""
    removed: Reason | None = None
    """Set when its manifest is gone for good."""


class IndexShard(Document):
    """The lines of all plugins for which sha256 of the id without `-` and `_` begins with `bits`."""

    kind: Literal["index"]
    """The kind of document."""
    schema_version: Literal[1]
    """The version of this format."""
    bits: Annotated[str, Field(pattern=r"^[01]{1,20}$")]
    """The first bits of sha256 of the id without `-` and `_`."""
    lines: Annotated[tuple[IndexLine, ...], Len(0, 100_000)]
    """Sorted by id, then by version."""


class ShardRef(Document):
    """One shard below a directory."""

    bits: Annotated[str, Field(pattern=r"^[01]{10,20}$")]
    """Its bits; they begin with the directory's."""
    digest: Digest
    """sha256 of the shard. It is served as `targets/index/<directory's bits>/<hex>.<bits>.json`."""
    size: Annotated[int, Field(ge=1, le=SHARD_LIMIT)]
    """Its length in bytes."""


class IndexDirectory(Document):
    """Stands in place of a shard of 9 bits that would be too large, and names those it was split into."""

    kind: Literal["index-directory"]
    """The kind of document."""
    schema_version: Literal[1]
    """The version of this format."""
    bits: Annotated[str, Field(pattern=r"^[01]{9}$")]
    """The bits that all shards below begin with."""
    shards: Annotated[tuple[ShardRef, ...], Len(1, 2048)]
    """Sorted by bits; none is a prefix of another."""
