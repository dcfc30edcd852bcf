"""`blocks.json`: what is blocked, since when and why. Signed by any one maintainer on call, TUF role `blocks`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import Field

from registry_client.digest import Digest
from registry_client.jsontext import MIB
from registry_client.models.base import Document, PluginId, Range, Reason, Time, UniqueTuple

BLOCKS_LIMIT = MIB


class BlockAction(StrEnum):
    """What a host does with a blocked version."""

    HIDE = "hide"
    DISABLE = "disable"
    UNINSTALL = "uninstall"


class Block(Document):
    """One blocked plugin."""

    id: PluginId
    """The plugin."""
    versions: Range
    """Which versions; prereleases count."""
    digests: UniqueTuple[Digest] = ()
    """Payload digests that are blocked too, whatever their version."""
    action: Annotated[BlockAction, Field(strict=False)]
    """hide: not resolved any more; disable: not run either; uninstall: removed where the host opted in."""
    reason: Reason
    """Why."""
    since: Time
    """Since when."""


class Blocks(Document):
    """All blocks that are in force."""

    kind: Literal["blocks"]
    """The kind of document."""
    schema_version: Literal[1]
    """The version of this format."""
    blocks: Annotated[tuple[Block, ...], Len(0, 5000)]
    """The blocks."""
