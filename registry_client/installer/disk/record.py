"""What is installed on this machine: `installed.json` among the plugins. Written by transactions only."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from annotated_types import Len
from pydantic import Field, model_validator

from registry_client.installer.project.lockfile import LockedPlugin
from registry_client.jsontext import MIB, parse_json
from registry_client.models.base import Document, LongText, PluginId, Time, check_schema_version, validate

RECORD_LIMIT = 64 * MIB


class Disabled(Document):
    """Why a plugin is not among those that the host loads."""

    by: Literal["owner", "block"]
    """Who disabled it."""
    reason: LongText | Literal[""] = ""
    """A block's reason."""


class Installed(Document):
    """One plugin on this machine."""

    plugin: LockedPlugin
    """What is installed."""
    installed_at: Time
    """When."""
    disabled: Disabled | None = None
    """Set while it stands aside."""
    previous: Annotated[tuple[LockedPlugin, ...], Len(0, 100)] = ()
    """Versions that were here before and can be gone back to without network, newest first."""


class Record(Document):
    """All of installed.json."""

    kind: Literal["installed"] = "installed"
    """The kind of document."""
    schema_version: Literal[1] = 1
    """The version of this format."""
    plugins: Annotated[dict[PluginId, Installed], Field(default_factory=dict)]
    """By id."""

    @model_validator(mode="after")
    def _own(self) -> Self:
        for plugin_id, item in self.plugins.items():
            if any(plugin.id != plugin_id for plugin in (item.plugin, *item.previous)):
                raise ValueError(f"expected {plugin_id} only under its own id")
        return self


def parse_record(data: bytes, where: str) -> Record:
    """Parse installed.json.

    Raises:
        DocumentError: not a record; lists every problem.
    """
    check_schema_version(parse_json(data, limit=RECORD_LIMIT, where=where), where)
    return validate(Record, data, where)


def record_bytes(record: Record) -> bytes:
    """The bytes of installed.json, plugins sorted by id."""
    document = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["plugins"] = dict(sorted(document["plugins"].items()))
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
