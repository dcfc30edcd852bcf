"""`release.json`: the status of one version, once it differs from the manifest's first one. Signed, replaceable."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from registry_client.digest import Digest
from registry_client.jsontext import KIB, MAX_INTEGER
from registry_client.models.base import Document, Name, PluginId, Reason, Signatures, Time, Version

RELEASE_LIMIT = 16 * KIB


class ReleaseStatus(StrEnum):
    """What a publisher says of a version."""

    DRAFT = "draft"
    TESTING = "testing"
    STAGED = "staged"
    RELEASED = "released"
    DEPRECATED = "deprecated"
    YANKED = "yanked"


class Release(Document):
    """The status of one version."""

    kind: Literal["release"]
    """Signed with the rest, so that one document's signature cannot pass for another's."""
    schema_version: Literal[1]
    """The version of this format."""
    registry: Name
    """The registry's id: a release for one registry says nothing in another."""
    id: PluginId
    """The plugin."""
    version: Version
    """The version."""
    manifest: Digest
    """The manifest's payload digest."""
    revision: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """Rises with each change; hosts refuse a lower one."""
    status: Annotated[ReleaseStatus, Field(strict=False)]
    """The status."""
    rollout: Annotated[int, Field(ge=0, le=100)]
    """Per cent of installations that are offered this version; 0 stops it."""
    push: bool
    """Offer it as an update to existing installations; if false, to new ones only."""
    force_update: bool = False
    """Hosts should apply it without asking."""
    reason: Reason | None = None
    """Why. Required for deprecated and yanked."""
    last_updated: Time | None = None
    """When this was signed."""
    signatures: Signatures
    """The publisher's signatures."""

    @model_validator(mode="after")
    def _reason_given(self) -> Self:
        if self.status in {ReleaseStatus.DEPRECATED, ReleaseStatus.YANKED} and self.reason is None:
            raise ValueError(f"expected a reason for status {self.status}")
        return self
