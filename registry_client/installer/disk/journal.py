"""`journal.json`: what a transaction is about to do. Once it is on disk, the change will happen, by this run or the next.

It is read back by whoever finds it, so it is parsed as strictly as what comes from elsewhere. Paths are never taken out
of it: folders follow from ids, and files are named by their last part only, among those that the caller gives.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Literal, Self

from annotated_types import Len
from pydantic import ConfigDict, Field, model_validator

from registry_client.errors import ConfigError, DocumentError
from registry_client.installer.disk.record import RECORD_LIMIT, Record, parse_record
from registry_client.jsontext import MIB, parse_json
from registry_client.models.base import Digest, Document, PluginId, validate

JOURNAL_LIMIT = 2 * RECORD_LIMIT + 64 * MIB
"""Bytes: the record as text within JSON, and two project files."""
TRANSACTION_PATTERN = r"^[0-9a-z]{8,64}$"


class Target(StrEnum):
    """Where a plugin's folder stands."""

    ACTIVE = "active"
    """Among those that the host loads."""
    DISABLED = "disabled"
    """Aside."""
    GONE = "gone"
    """Nowhere."""


class _Strict(Document):
    model_config = ConfigDict(extra="forbid")


class JournalMove(_Strict):
    """What happens to one plugin's folder."""

    id: PluginId
    """The plugin."""
    staged: bool
    """Whether new content was prepared."""
    before: Target
    """Where its folder stood."""
    target: Target
    """Where it will stand."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.staged and self.target is Target.GONE:
            raise ValueError("expected no prepared content for a plugin that goes")
        return self


class JournalFile(_Strict):
    """A file of the project that changes with the plugins."""

    name: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]{1,200}$")]
    """Its name, without folder."""
    old: Digest | None = None
    """sha256 of what it held; None if it was not there."""
    text: str
    """What it will hold."""


class Journal(_Strict):
    """All of journal.json."""

    kind: Literal["journal"] = "journal"
    """The kind of document."""
    schema_version: Literal[1] = 1
    """The version of this format."""
    transaction: Annotated[str, Field(pattern=TRANSACTION_PATTERN)]
    """Names the transaction; stands in the receipts of what it put in place."""
    moves: Annotated[tuple[JournalMove, ...], Len(0, 20_000)] = ()
    """What happens to the plugins' folders."""
    record: str
    """installed.json as it will be."""
    files: Annotated[tuple[JournalFile, ...], Len(0, 10)] = ()
    """The project's files."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({move.id for move in self.moves}) != len(self.moves):
            raise ValueError("expected each plugin once")
        if len({file.name for file in self.files}) != len(self.files):
            raise ValueError("expected each file once")
        return self


def journal_bytes(journal: Journal) -> bytes:
    """The bytes of journal.json."""
    return (json.dumps(journal.model_dump(mode="json", by_alias=True), indent=1) + "\n").encode()


def parse_journal(data: bytes, where: str) -> tuple[Journal, Record]:
    """Parse journal.json and the record in it.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        parse_json(data, limit=JOURNAL_LIMIT, where=where)
        journal = validate(Journal, data, where)
        return journal, parse_record(journal.record.encode(), f"{where}, record")
    except DocumentError as e:
        raise ConfigError(
            str(e),
            hint="It says what an interrupted run was changing, and cannot be followed. Move it away, "
            "run 'plugin verify', then 'plugin install'.",
        ) from e
