"""`policy.json`: what a registry is called and where it is. Signed by the maintainers through TUF targets."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Len

from registry_client.jsontext import MIB
from registry_client.models.base import Document, Name, ShortText, UniqueTuple, Url

POLICY_LIMIT = MIB


class ArtifactPolicy(Document):
    """Whether artifacts may stand in the registry itself."""

    in_tree: bool = False
    """Accept artifacts of at most 10 MB under artifacts/sha256/."""


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
    artifacts: ArtifactPolicy = ArtifactPolicy()
    """Rules for artifacts."""
