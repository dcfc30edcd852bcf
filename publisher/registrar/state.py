"""What the registrar carries along: the index as it last signed it, read shard by shard as it is needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from publisher.authority import verify_role
from publisher.registrar.basis import DERIVATION, Basis, Totals, parse_basis
from publisher.registrar.rows import Row, read_rows
from publisher.registrar.sharding import Ref, SignedShards
from publisher.tuf_repository import latest_version, read_metadata
from registry_client.digest import Digest, verify_digest
from registry_client.layout import served_path
from registry_client.models.index import MAX_BITS
from registry_client.names import container_name, parse_version
from registry_client.shards import bits_of, shard_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuf.api.metadata import Targets

    from publisher.authority import Authority
    from publisher.tree import Tree

_ID_OF_LINE = re.compile(rb'^\{"id":"([^"\\]*)"', re.MULTILINE)
_NOTHING = Totals(plugins=0, versions=0, usable=0)


class State:
    """The index in memory. A shard is read when one of its plugins is asked for, all of them when all rows are.

    Args:
        rows: by plugin id, then by version: an index that is not read from anywhere.
        signed: the shards last signed.
        catalogue: bytes of the registry.json last signed, or None.
        basis: what the run that signed them said of itself, or None.
        verified: whether the index was loaded from metadata that the registrar's present key signed.
        full: whether nothing may be taken over unchecked.

    Attributes:
        full: as above.
        scope: ids to look at whatever happens; None for all there are.
        changed: ids whose rows changed in this run.
        again: ids that the next run looks at too, besides those.
    """

    def __init__(
        self,
        rows: dict[str, dict[str, Row]] | None = None,
        signed: SignedShards | None = None,
        catalogue: bytes | None = None,
        basis: Basis | None = None,
        *,
        verified: bool = False,
        full: bool = True,
    ) -> None:
        self._rows = {} if rows is None else rows
        self.signed = signed if signed is not None else SignedShards({}, _no_shard)
        self.catalogue = catalogue
        self.basis = basis
        self.verified = verified
        self.full = full
        self.scope: frozenset[str] | None = None
        self.changed: set[str] = set()
        self.again: set[str] = set()
        self._ids_of: dict[str, list[str]] = {}  # by the bits of the shards that were read
        self._whole = not self.signed.top
        self._containers: dict[str, str] = {}
        self._by_bits: dict[str, set[str]] = {}
        self._sorted: dict[str, list[Row]] = {}
        self._before: dict[tuple[str, str], bool] = {}  # of changed versions: whether they were usable
        self._gained = [0, 0, 0]
        for plugin_id in self._rows:
            self._add_name(plugin_id)
        self._start = _count(self._rows) if self._whole else None if basis is None else basis.totals

    @property
    def rows(self) -> Mapping[str, dict[str, Row]]:
        """All rows, by plugin id and then by version."""
        self.load_all()
        return self._rows

    @property
    def shards(self) -> dict[str, Digest]:
        """Path and digest of the TUF targets of the index last signed."""
        return {shard_path(bits): ref.digest for bits, ref in self.signed.top.items()}

    def load_all(self) -> None:
        """Read every shard.

        Raises:
            VerificationError: one is missing or damaged.
        """
        if self._whole:
            return
        for bits, ref in self.signed.leaves():
            self._open(bits, ref)
        self._whole = True

    def look_at(self, ids: frozenset[str] | None, *, full: bool) -> None:
        """Set what this run looks at, besides what is offered.

        Args:
            ids: these plugins; None for all.
            full: take nothing over unchecked, whatever was said when the state was loaded.

        Raises:
            VerificationError: all shards are wanted, and one is missing or damaged.
        """
        self.full = self.full or full
        self.scope = None if self.full else ids
        if self.scope is None:
            self.load_all()

    def get(self, plugin_id: str, version: str) -> Row | None:
        """The row of a version, or None."""
        return self._of(plugin_id).get(version)

    def holds(self, plugin_id: str) -> bool:
        """Whether any version of a plugin is in the index."""
        return bool(self._of(plugin_id))

    def put(self, row: Row) -> None:
        """Add or replace a row."""
        plugin_id, version = row.raw["id"], row.raw["version"]
        current = self.get(plugin_id, version)
        if current is not None and current.text == row.text:
            return
        own = self._rows.setdefault(plugin_id, {})
        before = current is not None and current.usable
        if current is None:
            self._gained[0] += not own
            self._gained[1] += 1
        self._gained[2] += row.usable - before
        self._before.setdefault((plugin_id, version), before)
        own[version] = row
        self._sorted.pop(plugin_id, None)
        self._add_name(plugin_id)
        self.changed.add(plugin_id)

    def shard_size(self, plugin_id: str) -> int:
        """Bytes of the rows that share a plugin's shard, however far shards are split."""
        self._of(plugin_id)
        ids = self._by_bits.get(bits_of(plugin_id), ())
        return sum(len(row.text.encode()) + 2 for known in ids for row in self._rows.get(known, {}).values())

    def clash(self, plugin_id: str) -> str | None:
        """Another id that is the same without `-` and `_`, or None. It would stand in the same shard."""
        self._of(plugin_id)
        other = self._containers.get(container_name(plugin_id))
        return None if other in {None, plugin_id} else other

    def all_rows(self) -> Iterator[Row]:
        """Every row, by id and then by version."""
        for plugin_id in sorted(self.rows):
            yield from self.sorted_rows(plugin_id)

    def sorted_rows(self, plugin_id: str) -> list[Row]:
        """The rows of a plugin, oldest version first."""
        versions = self._of(plugin_id)
        if plugin_id not in self._sorted:
            self._sorted[plugin_id] = [versions[version] for version in sorted(versions, key=parse_version)]
        return self._sorted[plugin_id]

    def ids_like(self, patterns: set[str]) -> set[str]:
        """The ids in the index that publishers' patterns cover. Only names are read, if there are patterns with a `*`."""
        starts = tuple(pattern.removesuffix("*") for pattern in patterns if pattern.endswith("*"))
        found = {pattern for pattern in patterns if not pattern.endswith("*")}
        if starts:
            for bits, ref in self.signed.leaves():
                names = {name.decode() for name in _ID_OF_LINE.findall(self.signed.read(bits, ref))}
                found |= {name for name in names if name.startswith(starts)}
        return found

    def texts_of_shard(self, bits: str) -> dict[str, list[str]]:
        """The rows in a shard as it was signed, by plugin id, as text as it is now.

        Raises:
            VerificationError: it is missing or damaged.
        """
        ref = self.signed.find(bits)
        if ref is not None:
            self._open(bits, ref)
        return {plugin_id: self.texts(plugin_id) for plugin_id in self._ids_of.get(bits, ())}

    def texts(self, plugin_id: str) -> list[str]:
        """The rows of a plugin as text, oldest version first."""
        return [row.text for row in self.sorted_rows(plugin_id)]

    def looked_at(self) -> list[str]:
        """The ids that are looked at in this run, besides those that something is offered for: sorted."""
        return sorted(self.rows if self.scope is None else filter(self.holds, self.scope | self.changed))

    def concerned(self) -> list[str]:
        """The ids of which nothing is taken over unchecked, sorted."""
        if self.full:
            return sorted(self.rows)
        return sorted(filter(self.holds, (self.scope or frozenset()) | self.changed))

    def usable(self) -> set[tuple[str, str]]:
        """The versions that are neither removed nor quarantined."""
        return {(row.raw["id"], row.raw["version"]) for row in self.all_rows() if row.usable}

    @property
    def plugins(self) -> int:
        """How many plugins the index holds now."""
        return self.before.plugins + self._gained[0]

    @property
    def before(self) -> Totals:
        """What the index held when it was loaded."""
        if self._start is None:
            self.load_all()
            now = _count(self._rows)
            gained = dict(zip(("plugins", "versions", "usable"), self._gained, strict=True))
            self._start = Totals(**{name: getattr(now, name) - more for name, more in gained.items()})
        return self._start

    @property
    def totals(self) -> Totals:
        """What the index holds now."""
        if self._whole:
            return _count(self._rows)
        start, (plugins, versions, usable) = self.before, self._gained
        return Totals(
            plugins=start.plugins + plugins, versions=start.versions + versions, usable=start.usable + usable
        )

    def lost(self) -> int:
        """How many versions were usable when the index was loaded and are not any more."""
        return sum(
            before and not self._rows[plugin_id][version].usable
            for (plugin_id, version), before in self._before.items()
        )

    def _of(self, plugin_id: str) -> dict[str, Row]:
        """A plugin's rows, its shard read."""
        if not self._whole and plugin_id not in self._rows:
            leaf = self.signed.leaf(plugin_id)
            if leaf is not None:
                self._open(*leaf)
        return self._rows.get(plugin_id, {})

    def _open(self, bits: str, ref: Ref) -> None:
        if bits in self._ids_of:
            return
        found: dict[str, dict[str, Row]] = {}
        for row in read_rows(self.signed.read(bits, ref), shard_path(bits)):
            found.setdefault(row.raw["id"], {})[row.raw["version"]] = row
        self._ids_of[bits] = list(found)
        for plugin_id, own in found.items():
            self._rows.setdefault(plugin_id, {}).update(own)
            self._add_name(plugin_id)

    def _add_name(self, plugin_id: str) -> None:
        self._containers.setdefault(container_name(plugin_id), plugin_id)
        self._by_bits.setdefault(bits_of(plugin_id, MAX_BITS), set()).add(plugin_id)


def _count(rows: Mapping[str, Mapping[str, Row]]) -> Totals:
    own = rows.values()
    return Totals(
        plugins=len(rows),
        versions=sum(map(len, own)),
        usable=sum(row.usable for versions in own for row in versions.values()),
    )


def _no_shard(bits: str, ref: Ref) -> bytes:  # noqa: ARG001
    raise AssertionError(f"there is no shard {bits}")  # pragma: no cover  (nothing is asked for)


def load_state(tree: Tree, authority: Authority, *, full: bool = False) -> State:
    """The index that the registrar's key last signed; an empty one if there is none.

    Args:
        tree: the registry; what is below must stay as it is while the state is in use.
        authority: whose targets name the registrar's key.
        full: read all of it at once, and take nothing over unchecked.

    Raises:
        VerificationError: it does not verify, or a shard is missing or damaged (found when it is read).
    """
    version = latest_version(tree, "registrar")
    if not version:
        return State()
    metadata = read_metadata(tree, "registrar", version)
    verify_role("registrar", metadata, authority.targets, f"metadata/{version}.registrar.json")
    role: Targets = metadata.signed
    refs = {path: Ref(Digest.from_hex(i.hashes["sha256"]), i.length) for path, i in role.targets.items()}

    def read(bits: str, ref: Ref) -> bytes:
        copy = served_path(shard_path(bits), ref.digest)
        return verify_digest(tree.read(copy) or b"", digest=ref.digest, size=ref.size, where=copy)

    top = {
        path.removeprefix("index/").removesuffix(".json"): ref
        for path, ref in refs.items()
        if path.startswith("index/")
    }
    named = refs["registry.json"]
    data = tree.read(served_path("registry.json", named.digest))
    catalogue = data if data is not None and Digest.of(data) == named.digest else None
    basis = parse_basis(role.unrecognized_fields)
    state = State(
        None,
        SignedShards(top, read),
        catalogue,
        basis,
        verified=True,
        full=full or catalogue is None,
    )
    if full or basis is None or basis.derivation != DERIVATION:
        state.load_all()  # where a plugin stands may have been worked out in another way
    return state


__all__ = ["Row", "State", "load_state", "read_rows"]
