"""One plugin out of a verified registry: its index lines, releases and manifests, each checked before it is returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from registry_client.models.blocks import Block
    from registry_client.models.index import IndexLine
    from registry_client.models.release import Release
    from registry_client.resolve import VersionInfo
    from registry_client.session import Session
    from registry_client.signed import PublisherKeys, VerifiedManifest


class Reader:
    """Reads plugins through a session.

    Args:
        session: gives verified bytes.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shard: tuple[bytes, list[Any]] = b"", []

    def versions(self, plugin_id: str) -> list[VersionInfo]:
        """All versions of a plugin, oldest first, as they stand now.

        Raises:
            NotFoundError: no such plugin. RollbackError: a release is older than one seen before.
        """
        from registry_client.shards import find_shard, shard_lines  # noqa: PLC0415

        view = self._session.view()
        path = find_shard(plugin_id, lambda candidate: view.find(candidate) is not None)
        lines = shard_lines(self._rows(path), path, plugin_id) if path else []
        if not lines:
            raise NotFoundError(
                f"{self._session.urls[0]} has no plugin {plugin_id!r}", hint="Look for it: 'plugin search'."
            )
        blocks = self._session.statements.blocks()
        releases = [self._release(line) for line in lines]
        self._check_revisions(plugin_id, lines, releases)
        return [self._info(line, release, blocks) for line, release in zip(lines, releases, strict=True)]

    def _rows(self, path: str) -> list[Any]:
        """The raw lines of a shard. The last one is kept: who reads many plugins reads them shard by shard."""
        from registry_client.shards import read_shard  # noqa: PLC0415

        data = self._session.target(path)
        known, rows = self._shard
        if data != known:
            rows = read_shard(data, path)
            self._shard = data, rows
        return rows

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
    ) -> None:
        """Refuse releases that are older than those seen before; remember the newest.

        Raises:
            RollbackError: lower, gone, or equal with other content.
        """
        from registry_client.jsontext import payload_digest_of  # noqa: PLC0415

        store = self._session.store
        seen = store.read_revisions(plugin_id)
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
        if now != seen:
            with store.locked(self._session.settings.timeout):
                merged = store.read_revisions(plugin_id)
                newest = {v: max(now.get(v, (0, "")), merged.get(v, (0, ""))) for v in {**now, **merged}}
                store.write_revisions(plugin_id, newest)

    def manifest(self, line: IndexLine) -> VerifiedManifest:
        """Fetch and verify the manifest of an index line, and compare the line with it.

        Raises:
            DigestError, SignatureError: not what was signed. VerificationError: the index misstates it.
        """
        from registry_client.signed import parse_manifest, verify_manifest  # noqa: PLC0415

        keys = self.publisher_of(line)
        ref = line.manifest
        data = self._session.file(ref.path, digest=ref.digest, size=ref.size)
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
