"""The newest usable manifests of many plugins at once.

What all of them need is asked for in waves, each file once: the shards of the index with the publishers and the blocks, then the
manifests. Every document is verified as for one plugin. A plugin with which anything is out of the ordinary is left to
`RegistryClient.resolve`, so that its error, or its answer, is the same.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry_client import shards
from registry_client.bundle import NO_PIECES
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.errors import DocumentError, RegistryError, VerificationError
from registry_client.layout import served_path
from registry_client.models.base import validate
from registry_client.models.index import IndexShard
from registry_client.names import check_plugin_id, parse_version
from registry_client.pack import PACK_LIMIT
from registry_client.reader import guess_publisher
from registry_client.resolve import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from registry_client.digest import Digest
    from registry_client.models.blocks import Block
    from registry_client.models.index import IndexLine, ShardRef
    from registry_client.reader import Reader, Revisions
    from registry_client.resolve import Host
    from registry_client.roles import TargetRef
    from registry_client.session import Session
    from registry_client.signed import VerifiedManifest

FEW = 16
"""So many files are cached one by one; more of them as one."""
_MANY = 100


def read_manifests(
    session: Session,
    reader: Reader,
    host: Host,
    wanted: list[str] | None,
    listed: Callable[[], list[str]],
) -> dict[str, VerifiedManifest | None]:
    """The newest usable manifest of each plugin; None where that takes a closer look.

    Args:
        session: gives verified bytes.
        reader: verifies documents.
        host: for which versions are chosen.
        wanted: which plugins; None for all that `listed` gives.
        listed: the ids of all plugins.

    Raises:
        RegistryError: no verified state can be had.
    """
    if not session.files.pack and (wanted is None or len(wanted) >= _MANY):
        session.files.ask_for_bundle()
    try:
        view = session.view()
        session.files.open_bundle()
        if wanted is None:
            for path in view.index:
                with contextlib.suppress(VerificationError):
                    if (ref := view.find(path)) is not None:
                        session.read_ahead(ref)
            wanted = listed()
        found = Bulk(session, reader, host).read(filter(_is_id, wanted))
    finally:
        session.files.pieces = NO_PIECES
    return {plugin_id: found.get(plugin_id) for plugin_id in wanted}


def _is_id(text: str) -> bool:
    try:
        return bool(check_plugin_id(text))
    except ValueError:
        return False


class Kept:
    """Files that were fetched for many plugins, to be cached together.

    Args:
        session: whose cache it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pieces: dict[Digest, bytes] = {}
        self._size = 0
        self._new: set[Digest] = set()

    def fetched(self, digest: Digest, data: bytes) -> None:
        """Keep a file that had to be fetched: what is cached of it, if anything, is damaged."""
        if digest not in self._pieces:
            self.add(digest, data)
            self._new |= self._pieces.keys() & {digest}

    def add(self, digest: Digest, data: bytes) -> None:
        """Keep a file; one that would make the pack too large is cached by itself."""
        if digest in self._pieces:
            return
        if self._size + len(data) > PACK_LIMIT:
            self._session.store.write_object(digest, data)
            return
        self._pieces[digest] = data
        self._size += len(data)
        if digest not in self._session.files.pack:
            self._new.add(digest)

    def read(self, path: str, digest: Digest, size: int) -> bytes:
        """A file as `Session.file` gives it, kept."""
        data = self._session.files.read(path, digest=digest, size=size, keep=self.fetched)
        self.add(digest, data)
        return data

    def write(self) -> None:
        """Cache what was kept, unless all of it is cached already."""
        if len(self._new) > FEW:
            self._session.files.pack.write(self._pieces)
        else:
            for digest in self._new:
                self._session.store.write_object(digest, self._pieces[digest])


class Bulk:
    """One reading of many plugins.

    Args:
        session: gives verified bytes.
        reader: verifies documents.
        host: for which versions are chosen.
    """

    def __init__(self, session: Session, reader: Reader, host: Host) -> None:
        self._session = session
        self._reader = reader
        self._host = host
        self._view = session.view()
        self._kept = Kept(session)
        self._asked: set[str] = set()
        self._seen: dict[str, Revisions] = {}

    def read(self, wanted: Iterable[str]) -> dict[str, VerifiedManifest]:
        """The manifests of those plugins with which all is well."""
        tops = self._ask_for_index(sorted(wanted, key=shards.bits_of))
        chosen: dict[str, IndexLine] = {}
        found: dict[str, VerifiedManifest] = {}
        with contextlib.suppress(RegistryError):  # without the blocks nothing can be said of any
            blocks = self._session.statements.blocks()
            for plugin_id, lines in self._settle(self._lines(tops), blocks, chosen):
                with contextlib.suppress(RegistryError):
                    infos = self._reader.judge(plugin_id, lines, blocks, self._seen.__setitem__)
                    chosen[plugin_id] = choose(plugin_id, infos, None, self._host).info.line
                    self._ask_for_manifest(chosen[plugin_id])
        try:
            self._reader.remember(self._seen)
        except RegistryError:  # nothing is offered of which it is not remembered: each says why by itself
            chosen = {plugin_id: line for plugin_id, line in chosen.items() if plugin_id not in self._seen}
        for plugin_id, line in chosen.items():
            with contextlib.suppress(RegistryError):
                found[plugin_id] = self._reader.manifest(line, self._kept.fetched)
                self._kept.add(line.manifest.digest, found[plugin_id].data)
        self._keep_statements(chosen)
        self._kept.write()
        return found

    def _keep_statements(self, chosen: dict[str, IndexLine]) -> None:
        """Keep what a bundle gave of the maintainers' documents and the catalogue too, or gave once and the pack has since."""
        files = self._session.files
        publishers = {f"publishers/{line.publisher}.json" for line in chosen.values()}
        for path in (*publishers, "blocks.json", "policy.json", CATALOGUE_PATH):
            ref = self._view.find(path)
            if ref is not None:
                data = files.pieces.get(ref.digest) or files.pack.read(ref.digest)
                if data is not None:
                    self._kept.add(ref.digest, data)

    def _settle(
        self,
        plugins: Iterable[tuple[str, list[IndexLine]]],
        blocks: tuple[Block, ...],
        chosen: dict[str, IndexLine],
    ) -> list[tuple[str, list[IndexLine]]]:
        """Choose where no release document counts: none of the plugin is there, and none was ever seen.

        Where the newest version has none, its manifest is asked for already. But the releases of the others are to be seen, and
        remembered: or a yank could be withdrawn later, and the newest version with it, without anyone noticing.

        Returns:
            The plugins of which the releases are to be verified first.
        """
        rest = []
        for plugin_id, lines in plugins:
            self._ask_for_publishers({line.publisher for line in lines})
            newest = lines[-1]
            if newest.release is None and not self._session.store.read_revisions(plugin_id):
                with contextlib.suppress(RegistryError):
                    info = self._reader.claimed(newest, blocks)
                    if not choose(plugin_id, [info], None, self._host).warnings:
                        self._ask_for_manifest(newest)
                        if all(line.release is None for line in lines):
                            chosen[plugin_id] = newest
                            continue
            rest.append((plugin_id, lines))
        return rest

    def _ask_for_manifest(self, line: IndexLine) -> None:
        ref = line.manifest
        self._session.files.ahead(ref.path, digest=ref.digest, size=ref.size)

    # -- the index -----------------------------------------------------------------------------------------------

    def _ask_for_index(self, ids: list[str]) -> list[_Top]:
        """Begin to fetch shards, blocks and publishers. Gives the ids by the TUF target of the index that holds them."""
        there: dict[str, list[str]] = {}
        for plugin_id in ids:
            path = shards.find_shard(plugin_id, self._view.index.__contains__)
            if path is not None:
                there.setdefault(path, []).append(plugin_id)
        tops = []
        for path, own in there.items():
            with contextlib.suppress(VerificationError):
                if (ref := self._view.find(path)) is not None:
                    tops.append(_Top(ref, own))
        blocks = self._session.statements.blocks_wanted()
        for ref in [*([blocks] if blocks else []), *(top.ref for top in tops)]:
            self._session.read_ahead(ref)
        self._ask_for_publishers(
            {guess_publisher(self._view.publishers, plugin_id) or "" for plugin_id in ids}
        )
        return tops

    def _ask_for_publishers(self, names: set[str]) -> None:
        for name in names - self._asked:
            ref = self._view.find(f"publishers/{name}.json")
            if ref is not None and not self._session.statements.knows(ref):
                self._session.read_ahead(ref)
        self._asked |= names

    def _lines(self, tops: Iterable[_Top]) -> Iterator[tuple[str, list[IndexLine]]]:
        """The lines of each plugin; nothing of one whose lines cannot be had."""
        below: dict[str, tuple[ShardRef, list[str]]] = {}
        for top in tops:
            with contextlib.suppress(RegistryError):
                ref = top.ref
                data = self._kept.read(ref.served_path, ref.digest, ref.size)
                node = shards.read_node(data, ref.path)
                if not isinstance(node, shards.Directory):
                    yield from _lines_of(data, node, ref.path, top.ids)
                    continue
                for plugin_id in top.ids:
                    shard = node.find(plugin_id)
                    if shard is not None:
                        below.setdefault(shard.bits, (shard, []))[1].append(plugin_id)
        for shard, _ in below.values():
            path = served_path(shards.shard_path(shard.bits), shard.digest)
            self._session.files.ahead(path, digest=shard.digest, size=shard.size)
        for shard, ids in below.values():
            with contextlib.suppress(RegistryError):
                path = shards.shard_path(shard.bits)
                data = self._kept.read(served_path(path, shard.digest), shard.digest, shard.size)
                yield from _lines_of(data, shards.read_shard(data, path), path, ids)


@dataclass(frozen=True)
class _Top:
    """A TUF target of the index, and the plugins that are wanted of it."""

    ref: TargetRef
    ids: list[str]


def _lines_of(
    data: bytes, rows: list[Any], where: str, ids: list[str]
) -> Iterator[tuple[str, list[IndexLine]]]:
    """The lines of plugins out of one shard, each plugin's oldest first; validated all at once where most are wanted."""
    found: dict[str, list[IndexLine]] = {}
    wanted = set(ids)
    own = sum(
        isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"] in wanted for row in rows
    )
    if 2 * own >= len(rows):
        with contextlib.suppress(DocumentError):
            for line in validate(IndexShard, data, where).lines:
                found.setdefault(line.id, []).append(line)
    for plugin_id in ids:
        lines = found.get(plugin_id, [])
        if lines and len({line.version for line in lines}) == len(lines):
            yield plugin_id, sorted(lines, key=lambda line: parse_version(line.version))
            continue
        with contextlib.suppress(DocumentError):  # one bad line hides no other plugin
            if lines := shards.shard_lines(rows, where, plugin_id):
                yield plugin_id, lines
