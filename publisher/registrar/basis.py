"""What the registrar signs of its own run, so that the next one need only look at what changed. Pure.

It stands in the registrar's metadata as the member `x-plugin-registry-base`, which hosts pass over.
See docs/adr/0026-registrar-by-what-changed.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Len
from pydantic import ConfigDict, Field, ValidationError

from publisher.tuf_repository import BASIS
from registry_client.models.base import Document, PluginId

if TYPE_CHECKING:
    from collections.abc import Mapping

DERIVATION = 1
"""Raise it with every change of the program that makes anything else of the same documents: then everything is derived anew once."""

MAX_NAMED = 500
"""So many plugins and shards are named one by one; where there are more, the next run looks at everything."""

_Count = Annotated[int, Field(ge=0)]


class Totals(Document):
    """How much the index holds."""

    model_config = ConfigDict(extra="forbid")

    plugins: _Count
    """Plugins."""
    versions: _Count
    """Versions, whatever their state."""
    usable: _Count
    """Versions that are neither removed nor quarantined."""


class Again(Document):
    """What the next run looks at, whatever has changed."""

    model_config = ConfigDict(extra="forbid")

    plugins: Annotated[tuple[PluginId, ...], Len(0, MAX_NAMED)] = ()
    """Those for which the run wrote something, or refused what stands on main."""
    shards: Annotated[tuple[str, ...], Len(0, MAX_NAMED)] = ()
    """Bits of the shards and directories that the run wrote."""


class Basis(Document):
    """What a run was based on, and what it leaves to the next one."""

    model_config = ConfigDict(extra="forbid")

    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")]
    """The commit of main that was read; empty for a folder."""
    derivation: int
    """`DERIVATION` of the program that ran."""
    targets: int
    """Version of the targets metadata by which it judged."""
    blocks: int
    """Version of the blocks metadata."""
    totals: Totals
    """What the index holds since then."""
    again: Again | None = None
    """What has to be looked at again; None for everything."""
    waiting: Annotated[tuple[PluginId, ...], Len(0, MAX_NAMED)] = ()
    """Plugins whose line in the catalogue waits."""

    def to_json(self) -> dict[str, Any]:
        """The member, as it is signed."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse_basis(members: Mapping[str, Any]) -> Basis | None:
    """The member among those that TUF does not know; None where there is none, or none that makes sense: then everything is looked at."""
    try:
        return Basis.model_validate(members.get(BASIS), strict=False)
    except ValidationError:
        return None
