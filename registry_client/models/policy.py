"""`policy.json`: what a registry is called and where it is. Signed by the maintainers through TUF targets."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Len
from pydantic import Field

from registry_client.jsontext import MIB
from registry_client.models.base import Document, Name, ShortText, UniqueTuple, Url

POLICY_LIMIT = MIB


class ArtifactPolicy(Document):
    """Whether artifacts may stand in the registry itself."""

    in_tree: bool = False
    """Accept artifacts of at most 10 MB under artifacts/sha256/."""


class ExpiryDays(Document):
    """For how many days the registrar's key signs. In the policy, so that the key itself cannot stretch it for others."""

    timestamp: Annotated[int, Field(ge=1, le=3660)] = 7
    """The timestamp: how long a stale copy can pass for current."""
    snapshot: Annotated[int, Field(ge=1, le=3660)] = 21
    """The snapshot."""
    registrar: Annotated[int, Field(ge=1, le=3660)] = 21
    """The index."""


class Policy(Document):
    """A registry's own description."""

    kind: Literal["policy"]
    """The kind of document."""
    schema_version: Literal[1]
    """The version of this format."""
    registry: Name
    """The registry's id, which release documents name."""
    name: ShortText
    """What people call it."""
    base_url: Url
    """The URL below which its tree is served."""
    mirrors: Annotated[UniqueTuple[Url], Len(0, 20)] = ()
    """Other URLs with the same tree. Verification makes any mirror safe."""
    expiry_days: ExpiryDays = ExpiryDays()
    """Expiry of what the registrar signs."""
    artifacts: ArtifactPolicy = ArtifactPolicy()
    """Rules for artifacts."""
    catalogue_minutes: Annotated[int, Field(ge=0, le=1440)] = 0
    """For how many minutes after registry.json was last written additions to it may wait. What is withdrawn is shown at once."""
