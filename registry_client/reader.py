"""One plugin out of a verified registry: its index lines, releases and manifests, each checked before it is returned."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from registry_client.errors import (
    ConfigError,
    DigestError,
    DocumentError,
    NotFoundError,
    RegistryError,
    RollbackError,
    SignatureError,
    VerificationError,
)
from registry_client.layout import served_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from registry_client.digest import Digest
    from registry_client.models.blocks import Block
    from registry_client.models.index import IndexLine, ShardRef
    from registry_client.models.release import Release
    from registry_client.resolve import VersionInfo
    from registry_client.roles import TrustedView
    from registry_client.session import Session
    from registry_client.signed import PublisherKeys, VerifiedManifest

T = TypeVar("T")
Revisions: TypeAlias = "dict[str, tuple[int, str]]"
"""Revision and payload digest of the newest release seen, by version."""


class Reader:
    """Reads plugins through a session.

    Args:
        session: gives verified bytes.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._nodes: dict[tuple[str, Digest], Any] = {}

    def versions(
        self, plugin_id: str, likely: Callable[[list[VersionInfo]], IndexLine] | None = None
    ) -> list[VersionInfo]:
        """All versions of a plugin, oldest first, as they stand now.

        Args:
            plugin_id: the plugin.
            likely: which version's manifest will be asked for next, if the versions stand as their lines and
                releases say; may raise RegistryError. Nothing is believed of that: it only says what may be fetched ahead.

        Raises:
            NotFoundError: no such plugin. RollbackError: a release is older than one seen before.
        """
        view = self._session.view()
        lines = self._lines(view, plugin_id)
        if not lines:
            raise NotFoundError(
                f"{self._session.urls[0]} has no plugin {plugin_id!r}", hint="Look for it: 'plugin search'."
            )
        blocks = self._session.statements.blocks()
        self._ask_for_next(view, lines, blocks, likely)
        return self.judge(plugin_id, lines, blocks)

    def judge(
        self,
        plugin_id: str,
        lines: list[IndexLine],
        blocks: tuple[Block, ...],
        seen: Callable[[str, Revisions], object] | None = None,
    ) -> list[VersionInfo]:
        """How the versions on these lines, which are all of a plugin, stand; raises as `versions` does.

        Args:
            plugin_id: the plugin.
            lines: its lines.
            blocks: the blocks in force.
            seen: takes release revisions that are new, for who gives them to `remember` later; by default they are remembered here.
        """
        releases = [self._release(line) for line in lines]
        now = self._check_revisions(plugin_id, lines, releases)
        if now is not None:
            (seen or self._remember_one)(plugin_id, now)
        return [self._info(line, release, blocks) for line, release in zip(lines, releases, strict=True)]

    def _lines(self, view: TrustedView, plugin_id: str) -> list[IndexLine]:
        """The lines of a plugin; none where the index has none."""
        from registry_client import shards  # noqa: PLC0415

        path = shards.find_shard(plugin_id, lambda candidate: view.find(candidate) is not None)
        top = view.find(path) if path else None
        if top is None:
            return []
        self._ask_beside(view, plugin_id)
        node = self._node(top.path, top.digest, lambda: shards.read_node(self._session.read(top), top.path))
        if not isinstance(node, shards.Directory):
            return shards.shard_lines(node, top.path, plugin_id)
        ref = node.find(plugin_id)
        if ref is None:
            return []
        below = shards.shard_path(ref.bits)
        rows = self._node(below, ref.digest, lambda: shards.read_shard(self._below(below, ref), below))
        return shards.shard_lines(rows, below, plugin_id)

    def _below(self, path: str, ref: ShardRef) -> bytes:
        """The bytes of a shard that a directory names."""
        return self._session.file(served_path(path, ref.digest), digest=ref.digest, size=ref.size)

    def _node(self, path: str, digest: Digest, read: Callable[[], T]) -> T:
        """A shard or a directory, read once. The last two are kept: who reads many plugins reads them shard by shard."""
        known: T | None = self._nodes.get((path, digest))
        if known is None:
            known = read()
            self._nodes = {**dict(list(self._nodes.items())[-1:]), (path, digest): known}
        return known

    # -- what is fetched before it is needed ---------------------------------------------------------------------

    def ask_ahead(self, plugin_ids: Iterable[str]) -> None:
        """Begin to fetch what `versions` of these plugins will need.

        Raises:
            RegistryError: no verified state can be had.
        """
        from registry_client.shards import find_shard  # noqa: PLC0415

        view = self._session.view()
        for plugin_id in plugin_ids:
            path = find_shard(plugin_id, lambda candidate: view.find(candidate) is not None)
            ref = view.find(path) if path else None
            if ref is not None:
                self._session.read_ahead(ref)
                self._ask_beside(view, plugin_id)

    def _ask_beside(self, view: TrustedView, plugin_id: str) -> None:
        """Begin to fetch, beside the index, the blocks and the publisher whose id the plugin's begins with."""
        session = self._session
        blocks = session.statements.blocks_wanted()
        publisher = guess_publisher(view.publishers, plugin_id)
        for ref in (blocks, view.find(f"publishers/{publisher}.json") if publisher else None):
            if ref is not None and not session.statements.knows(ref):
                session.read_ahead(ref)

    def _ask_for_next(
        self,
        view: TrustedView,
        lines: list[IndexLine],
        blocks: tuple[Block, ...],
        likely: Callable[[list[VersionInfo]], IndexLine] | None,
    ) -> None:
        """Where a publisher is still to be fetched: begin that, and with it the manifest that will probably be wanted."""
        session = self._session
        named = (view.find(f"publishers/{name}.json") for name in {line.publisher for line in lines})
        missing = [
            ref
            for ref in named
            if ref is not None
            and not session.statements.knows(ref)
            and not session.files.at_hand(ref.digest, ref.size)
        ]
        for ref in missing:
            session.read_ahead(ref)
        if missing and likely is not None:
            with contextlib.suppress(RegistryError):
                manifest = likely([self.claimed(line, blocks) for line in lines]).manifest
                session.files.ahead(manifest.path, digest=manifest.digest, size=manifest.size)

    def claimed(self, line: IndexLine, blocks: tuple[Block, ...]) -> VersionInfo:
        """How a version stands if its release is what it claims to be."""
        from registry_client.signed import parse_embedded_release  # noqa: PLC0415

        if line.release is None:
            return self._info(line, None, blocks)
        return self._info(line, parse_embedded_release(line.release, f"release of {line.id}").model, blocks)

    # -- how versions stand --------------------------------------------------------------------------------------

    def _info(
        self, line: IndexLine, release: Release | RegistryError | None, blocks: tuple[Block, ...]
    ) -> VersionInfo:
        from registry_client.resolve import VersionInfo  # noqa: PLC0415
        from registry_client.status import standing_of  # noqa: PLC0415

        if isinstance(release, RegistryError):
            return VersionInfo(line, None, standing_of(line, None, blocks), release)
        return VersionInfo(line, release, standing_of(line, release, blocks))

    def _release(self, line: IndexLine) -> Release | RegistryError | None:
        """The line's release document, verified; the error if it does not verify; None if there is none."""
        from registry_client.signed import parse_embedded_release, verify_release  # noqa: PLC0415

        if line.release is None:
            return None
        where = f"release of {line.id} {line.version}"
        try:
            document = parse_embedded_release(line.release, where)
            if (document.model.id, document.model.version) != (line.id, line.version):
                raise SignatureError(f"{where}: is for {document.model.id} {document.model.version}")
            keys = self.publisher_of(line)
            registry = self._session.registry()
            return verify_release(
                document, keys, registry=registry, manifest=line.manifest.payload_digest
            ).model
        except (VerificationError, ConfigError, DocumentError) as e:
            return e

    def publisher_of(self, line: IndexLine) -> PublisherKeys:
        """The keys of the publisher that a line names, if it may publish the plugin."""
        keys = self._session.statements.publisher(line.publisher)
        if not keys.covers(line.id):
            raise SignatureError(
                f"{line.id}: the index names publisher {line.publisher!r}, who may not publish it"
            )
        return keys

    def _check_revisions(
        self, plugin_id: str, lines: list[IndexLine], releases: list[Release | RegistryError | None]
    ) -> Revisions | None:
        """Refuse releases that are older than those seen before; give the newest if any is new.

        Raises:
            RollbackError: lower, gone, or equal with other content.
        """
        from registry_client.jsontext import payload_digest_of  # noqa: PLC0415

        seen = self._session.store.read_revisions(plugin_id)
        now = dict(seen)
        for line, release in zip(lines, releases, strict=True):
            known = seen.get(line.version)
            if isinstance(release, RegistryError):
                continue
            have = (release.revision, str(payload_digest_of(line.release or {}))) if release else (0, "")
            if known is not None and (have[0] < known[0] or (have[0] == known[0] and have[1] != known[1])):
                raise RollbackError(
                    f"{plugin_id} {line.version}: the index offers release revision {have[0]}, "
                    f"but revision {known[0]}{' with other content' if have[0] == known[0] else ''} was seen before",
                    hint="Someone may be trying to undo a yank or a rollout. Tell the registry's maintainers.",
                )
            if release is not None:
                now[line.version] = have
        return now if now != seen else None

    def _remember_one(self, plugin_id: str, now: Revisions) -> None:
        self.remember({plugin_id: now})

    def remember(self, found: Mapping[str, Revisions]) -> None:
        """Remember the highest revisions seen of releases, by plugin and version, under one lock.

        Raises:
            ConfigError: they cannot be written.
        """
        store = self._session.store
        if not found:
            return
        with store.locked(self._session.settings.timeout):
            for plugin_id, now in found.items():
                merged = store.read_revisions(plugin_id)
                newest = {v: max(now.get(v, (0, "")), merged.get(v, (0, ""))) for v in {**now, **merged}}
                store.write_revisions(plugin_id, newest)

    def manifest(
        self, line: IndexLine, keep: Callable[[Digest, bytes], object] | None = None
    ) -> VerifiedManifest:
        """Fetch and verify the manifest of an index line, and compare the line with it.

        Args:
            line: the line.
            keep: what to do with one that had to be fetched; by default it is cached.

        Raises:
            DigestError, SignatureError: not what was signed. VerificationError: the index misstates it.
        """
        from registry_client.signed import parse_manifest, verify_manifest  # noqa: PLC0415

        keys = self.publisher_of(line)
        ref = line.manifest
        data = self._session.files.read(ref.path, digest=ref.digest, size=ref.size, keep=keep)
        document = parse_manifest(data, ref.path)
        if document.payload_digest != ref.payload_digest:
            raise DigestError(
                f"{ref.path}: payload digest {document.payload_digest}, but the index states {ref.payload_digest}"
            )
        verified = verify_manifest(document, keys)
        stated = {
            "id": (line.id, verified.model.id),
            "version": (line.version, verified.model.version),
            "initialStatus": (line.initial_status, verified.model.initial_status),
            "requires": (line.requires, verified.model.requires),
        }
        for name, (index, manifest) in stated.items():
            if index != manifest:
                raise VerificationError(
                    f"{ref.path}: the index states another {name} than the signed manifest",
                    hint="The index was not made by an honest registrar. Tell the registry's maintainers.",
                )
        return verified


def guess_publisher(publishers: Collection[str], plugin_id: str) -> str | None:
    """Whose plugin it probably is: of the publisher with the longest id that the plugin's begins with, or of the only one."""
    if len(publishers) == 1:
        return next(iter(publishers))
    return next(
        (plugin_id[:end] for end in range(len(plugin_id), 0, -1) if plugin_id[:end] in publishers), None
    )
