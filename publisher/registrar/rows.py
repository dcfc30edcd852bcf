"""One line of the index, as it is read, changed and written. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from registry_client.digest import Digest
from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import dump_json, dump_line
from registry_client.layout import release_path
from registry_client.models.base import validate
from registry_client.models.index import SHARD_LIMIT, IndexLine

if TYPE_CHECKING:
    from collections.abc import Iterator

_decode = json.JSONDecoder().decode  # json.loads looks at its options again for each of the many lines


class Row:
    """One index line, as raw JSON and as the text that stands in the shard."""

    __slots__ = ("_release_file", "raw", "text")

    def __init__(self, raw: dict[str, Any], text: str | None = None) -> None:
        self.raw = raw
        self.text = dump_line(raw) if text is None else text
        self._release_file: bytes | None = None

    @property
    def line(self) -> IndexLine:
        """The validated model."""
        return validate(
            IndexLine, self.text.encode(), f"index line of {self.raw.get('id')} {self.raw.get('version')}"
        )

    @property
    def path(self) -> str:
        """Where the manifest stands."""
        return str(self.raw["manifest"]["path"])

    @property
    def folder(self) -> str:
        """The folder of the plugin's files."""
        return self.path.rsplit("/", 2)[0]

    @property
    def release_file(self) -> bytes | None:
        """What release.json must hold, or None if there is none. Sorted, because rows are."""
        if self._release_file is None and "release" in self.raw:
            self._release_file = dump_json(self.raw["release"], sort=True)
        return self._release_file

    @property
    def files(self) -> Iterator[tuple[str, str]]:
        """Path and digest of the files that the row stands for."""
        yield self.path, self.raw["manifest"]["digest"]
        if self.release_file is not None:
            yield self.release_path, Digest.of(self.release_file)

    @property
    def release_path(self) -> str:
        """Where release.json stands."""
        return release_path(self.folder, self.raw["version"])

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return Digest(self.raw["manifest"]["digest"])

    @property
    def payload_digest(self) -> Digest:
        """The version's identity."""
        return Digest(self.raw["manifest"]["payloadDigest"])

    @property
    def usable(self) -> bool:
        """Whether the version is neither removed nor quarantined: what the blast-radius guard counts."""
        return "removed" not in self.raw and "quarantined" not in self.raw

    def replaced(self, **members: Any) -> Row:
        """The row with other members; None removes one."""
        raw = {**self.raw, **members}
        return Row({name: value for name, value in raw.items() if value is not None})


def read_rows(data: bytes, where: str) -> list[Row]:
    """The rows of a verified shard, keeping each one's text.

    Raises:
        DocumentError: not a shard as the registrar writes it.
    """
    if len(data) > SHARD_LIMIT:
        raise DocumentError(where, [Problem("$", f"more than {SHARD_LIMIT} bytes")])
    try:
        lines = [text.removesuffix(",") for text in data.decode().split("\n")[1:-2]]
        return [Row(_decode(text), text) for text in lines]
    except ValueError as e:
        raise DocumentError(where, [Problem("$", "not an index shard with one line per version")]) from e
