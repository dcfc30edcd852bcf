"""Which index shard holds a plugin, and what stands in it. Pure.

A plugin stands where the bits of sha256 of its id without `-` and `_` lead: so ids that only differ in these, of which there may be one,
share a shard. Shards of up to 9 bits are TUF targets, at most 512. One of 9 bits that would be over 64 KiB is a directory instead, which
names those below it with digest and size; `publisher.registrar.sharding` makes them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import KIB, dump_line, parse_json
from registry_client.models.base import problems_of, validate
from registry_client.models.index import MAX_BITS, SHARD_LIMIT, TOP_BITS, IndexDirectory, IndexLine
from registry_client.names import container_name, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registry_client.models.index import ShardRef

_DIRECTORY = "index-directory"
SPLIT_ABOVE = 64 * KIB


def bits_of(plugin_id: str, length: int = MAX_BITS) -> str:
    """The first `length` bits of sha256 of an id without `-` and `_`, as text."""
    first = int.from_bytes(hashlib.sha256(container_name(plugin_id).encode()).digest()[:3], "big")
    return f"{first:024b}"[:length]


def shard_path(bits: str) -> str:
    """Where a shard stands: as a TUF target, or in the folder of its directory."""
    return f"index/{bits}.json" if len(bits) <= TOP_BITS else f"index/{bits[:TOP_BITS]}/{bits}.json"


def find_shard(plugin_id: str, exists: Callable[[str], bool]) -> str | None:
    """Path of the shard with the longest prefix of this id among those that exist, or None: no such plugin."""
    full = bits_of(plugin_id, TOP_BITS)
    for length in range(TOP_BITS, 0, -1):
        path = shard_path(full[:length])
        if exists(path):
            return path
    return None


def parse_shard(data: bytes, where: str, plugin_id: str | None = None) -> list[IndexLine]:
    """The lines of one plugin, or of all, oldest version first.

    Only the wanted lines are validated: one bad line hides no other plugin.

    Raises:
        DocumentError: not a shard, or a wanted line is malformed or stands twice.
    """
    return shard_lines(read_shard(data, where), where, plugin_id)


def read_shard(data: bytes, where: str) -> list[Any]:
    """The lines of a shard as raw JSON, none of them validated.

    Raises:
        DocumentError: not a shard.
    """
    return _rows(parse_json(data, limit=SHARD_LIMIT, where=where), where)


def read_node(data: bytes, where: str) -> list[Any] | Directory:
    """What a TUF target of the index holds: the lines of a shard as raw JSON, or what is in a directory.

    Args:
        data: its bytes, verified.
        where: its path as a TUF target, which says its bits.

    Raises:
        DocumentError: neither, or not a directory of that place.
    """
    raw = parse_json(data, limit=SHARD_LIMIT, where=where)
    return _directory(data, where) if raw.get("kind") == _DIRECTORY else _rows(raw, where)


@dataclass(frozen=True)
class Directory:
    """The shards that one of 9 bits was split into, by their bits."""

    shards: Mapping[str, ShardRef]

    def find(self, plugin_id: str) -> ShardRef | None:
        """The shard with the longest prefix of this id, or None: no such plugin."""
        full = bits_of(plugin_id)
        found = (self.shards.get(full[:length]) for length in range(MAX_BITS, TOP_BITS, -1))
        return next((ref for ref in found if ref is not None), None)


def _directory(data: bytes, where: str) -> Directory:
    """A directory whose bits are those of its path, and whose shards are below it, sorted, none within another."""
    document: IndexDirectory = validate(IndexDirectory, data, where)
    if where != shard_path(document.bits):
        raise DocumentError(where, [Problem("$.bits", f"{document.bits}: another directory's")])
    previous = ""
    for number, ref in enumerate(document.shards):
        problem = ""
        if not ref.bits.startswith(document.bits):
            problem = "is not below this directory"
        elif previous and ref.bits.startswith(previous):
            problem = f"is within {previous}, which stands here too"
        elif ref.bits < previous:
            problem = "is not in its order"
        if problem:
            raise DocumentError(where, [Problem(f"$.shards[{number}].bits", f"{ref.bits} {problem}")])
        previous = ref.bits
    return Directory({ref.bits: ref for ref in document.shards})


def _rows(raw: dict[str, Any], where: str) -> list[Any]:
    rows = raw.get("lines")
    if raw.get("kind") != "index" or raw.get("schemaVersion") != 1 or not isinstance(rows, list):
        raise DocumentError(
            where, [Problem("$", "expected kind index, schemaVersion 1 and an array of lines")]
        )
    return rows


def shard_lines(rows: list[Any], where: str, plugin_id: str | None = None) -> list[IndexLine]:
    """What `parse_shard` gives, out of the lines as raw JSON."""
    from pydantic import ValidationError  # noqa: PLC0415

    lines: dict[tuple[str, str], IndexLine] = {}
    for number, row in enumerate(rows):
        if plugin_id is not None and not (isinstance(row, dict) and row.get("id") == plugin_id):
            continue
        try:
            line = IndexLine.model_validate_json(dump_line(row))
        except ValidationError as e:
            problems = [Problem(f"$.lines[{number}]{p.path[1:]}", p.message) for p in problems_of(e)]
            raise DocumentError(where, problems) from e
        if (line.id, line.version) in lines:
            raise DocumentError(
                where, [Problem(f"$.lines[{number}]", f"{line.id} {line.version} stands twice")]
            )
        lines[line.id, line.version] = line
    return sorted(lines.values(), key=lambda line: (line.id, parse_version(line.version)))
