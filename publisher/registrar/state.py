"""What the registrar carries along: the index as it last signed it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from publisher.authority import verify_role
from publisher.tuf_repository import latest_version, read_metadata
from registry_client.digest import Digest, verify_digest
from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import dump_json, dump_line
from registry_client.layout import served_path
from registry_client.models.base import validate
from registry_client.models.index import SHARD_LIMIT, IndexLine
from registry_client.names import container_name, parse_version
from registry_client.shards import bits_of

_decode = json.JSONDecoder().decode  # json.loads looks at its options again for each of the many lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuf.api.metadata import Targets

    from publisher.authority import Authority
    from publisher.tree import Tree


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
        return f"plugins/{self.raw['id']}/{self.raw['version']}/release.json"

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return Digest(self.raw["manifest"]["digest"])

    @property
    def payload_digest(self) -> Digest:
        """The version's identity."""
        return Digest(self.raw["manifest"]["payloadDigest"])

    def replaced(self, **members: Any) -> Row:
        """The row with other members; None removes one."""
        raw = {**self.raw, **members}
        return Row({name: value for name, value in raw.items() if value is not None})


@dataclass
class State:
    """The index in memory.

    Attributes:
        rows: by plugin id, then by version.
        shards: TUF target path to digest of the shards last signed.
        catalogue: bytes of the registry.json last signed, or None.
        verified: whether the index was loaded from metadata that the registrar's present key signed.
        full: whether nothing may be taken over unchecked (first run, other keys, other policy).
        changed: ids whose rows changed in this run.
    """

    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    shards: dict[str, Digest] = field(default_factory=dict)
    catalogue: bytes | None = None
    verified: bool = False
    full: bool = True
    changed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._containers = {container_name(plugin_id): plugin_id for plugin_id in self.rows}
        self._sorted: dict[str, list[Row]] = {}
        self._by_bits: dict[str, set[str]] | None = None

    def get(self, plugin_id: str, version: str) -> Row | None:
        """The row of a version, or None."""
        return self.rows.get(plugin_id, {}).get(version)

    def put(self, row: Row) -> None:
        """Add or replace a row."""
        plugin_id, version = row.raw["id"], row.raw["version"]
        current = self.get(plugin_id, version)
        if current is not None and current.text == row.text:
            return
        self.rows.setdefault(plugin_id, {})[version] = row
        self._sorted.pop(plugin_id, None)
        self._containers.setdefault(container_name(plugin_id), plugin_id)
        self.changed.add(plugin_id)

    def shard_size(self, plugin_id: str) -> int:
        """Bytes of the rows that share a plugin's shard, however far shards are split."""
        if self._by_bits is None:
            self._by_bits = {}
            for known in self.rows:
                self._by_bits.setdefault(bits_of(known), set()).add(known)
        ids = self._by_bits.setdefault(bits_of(plugin_id), set())
        ids.add(plugin_id)
        return sum(len(row.text.encode()) + 2 for known in ids for row in self.rows.get(known, {}).values())

    def clash(self, plugin_id: str) -> str | None:
        """Another id that is the same without `-` and `_`, or None."""
        other = self._containers.get(container_name(plugin_id))
        return None if other in {None, plugin_id} else other

    def all_rows(self) -> Iterator[Row]:
        """Every row, by id and then by version."""
        for plugin_id in sorted(self.rows):
            yield from self.sorted_rows(plugin_id)

    def sorted_rows(self, plugin_id: str) -> list[Row]:
        """The rows of a plugin, oldest version first."""
        if plugin_id not in self._sorted:
            versions = self.rows.get(plugin_id, {})
            self._sorted[plugin_id] = [versions[version] for version in sorted(versions, key=parse_version)]
        return self._sorted[plugin_id]

    def usable(self) -> set[tuple[str, str]]:
        """The versions that are neither removed nor quarantined: what the blast-radius guard counts."""
        return {
            (plugin_id, version)
            for plugin_id, versions in self.rows.items()
            for version, row in versions.items()
            if "removed" not in row.raw and "quarantined" not in row.raw
        }


def load_state(tree: Tree, authority: Authority, *, full: bool = False) -> State:
    """The index that the registrar's key last signed; an empty one if there is none.

    Raises:
        VerificationError: it does not verify, or a shard is missing or damaged.
    """
    version = latest_version(tree, "registrar")
    if not version:
        return State()
    metadata = read_metadata(tree, "registrar", version)
    verify_role("registrar", metadata, authority.targets, f"metadata/{version}.registrar.json")
    role: Targets = metadata.signed
    rows: dict[str, dict[str, Row]] = {}
    shards: dict[str, Digest] = {}
    for path, info in role.targets.items():
        if path.startswith("index/"):
            digest = Digest.from_hex(info.hashes["sha256"])
            shards[path] = digest
            for row in read_rows(_target(tree, path, digest, info.length), path):
                rows.setdefault(row.raw["id"], {})[row.raw["version"]] = row
    info = role.targets["registry.json"]
    digest = Digest.from_hex(info.hashes["sha256"])
    data = tree.read(served_path("registry.json", digest))
    catalogue = data if data is not None and Digest.of(data) == digest else None
    return State(
        rows,
        shards,
        catalogue,
        verified=True,
        full=full or catalogue is None or _maintainers_changed(tree, authority),
    )


def _maintainers_changed(tree: Tree, authority: Authority) -> bool:
    """Whether the maintainers signed something since the last snapshot."""
    version = latest_version(tree, "snapshot")
    if not version:
        return True
    known = read_metadata(tree, "snapshot", version).signed.meta
    return any(
        name not in known or known[name].version != role.version
        for name, role in (("targets.json", authority.targets), ("blocks.json", authority.blocks_role))
    )


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


def _target(tree: Tree, path: str, digest: Digest, size: int) -> bytes:
    copy = served_path(path, digest)
    return verify_digest(tree.read(copy) or b"", digest=digest, size=size, where=copy)
