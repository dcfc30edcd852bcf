"""`publishers/<id>.json`: who may publish what, with which keys. Signed by the maintainers through TUF targets."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Len
from pydantic import Field, model_validator

from registry_client.digest import Digest
from registry_client.jsontext import MIB
from registry_client.models.base import (
    Count,
    Document,
    IdPattern,
    KeyId,
    PluginId,
    PublicKey,
    Reason,
    ShortText,
    Time,
    UniqueTuple,
)

PUBLISHER_LIMIT = MIB


class RetiredKey(Document):
    """A key that signs nothing new, but still counts for what it signed before."""

    key: PublicKey
    """The key."""
    digests: UniqueTuple[Digest]
    """Payload digests of the manifests and releases for which it still counts."""
    since: Time | None = None
    """When it was retired."""


class RevokedKey(Document):
    """A key that counts for nothing."""

    reason: Reason
    """Why."""
    since: Time | None = None
    """When it was revoked."""


class Publisher(Document):
    """Keys and plugin ids of one publisher."""

    kind: Literal["publisher"]
    """The kind of document."""
    schema_version: Literal[1]
    """The version of this format."""
    id: PluginId
    """The publisher's id."""
    name: ShortText
    """What people call the publisher."""
    keys: Annotated[dict[KeyId, PublicKey], Len(0, 64)]
    """Keys that may sign, by keyid. Keyids are computed and compared, never believed."""
    threshold: Annotated[int, Field(ge=1, le=16)]
    """How many distinct public keys must sign."""
    plugins: Annotated[UniqueTuple[IdPattern], Len(0, 1000)]
    """Plugin ids, or prefixes ending in -*. Two publishers never cover one id."""
    repository_ids: Annotated[UniqueTuple[Count], Len(0, 1000)] = ()
    """Numeric ids of the repositories that may publish for this publisher."""
    retired_keys: Annotated[dict[KeyId, RetiredKey], Len(0, 64)] | None = None
    """Retired keys, by keyid."""
    revoked_keys: Annotated[dict[KeyId, RevokedKey], Len(0, 256)] | None = None
    """Revoked keys, by keyid."""

    @model_validator(mode="after")
    def _one_state_per_key(self) -> Self:
        states = [set(self.keys), set(self.retired_keys or {}), set(self.revoked_keys or {})]
        if len(set.union(*states)) != sum(map(len, states)):
            raise ValueError("expected each keyid in one of keys, retiredKeys and revokedKeys")
        return self
