"""What a lock pins: a version by its payload digest.

A lock names exact bytes, so they can be fetched and checked even when the index has expired and nothing can be said about what is
current. Blocks still apply: they do not expire for those who hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.digest import Digest
from registry_client.errors import (
    DigestError,
    ExpiredError,
    FetchError,
    NotFetchedError,
    NotFoundError,
    YankedError,
)
from registry_client.layout import manifest_path, plugin_folders
from registry_client.models.blocks import BlockAction
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.roles import named_digest
from registry_client.signed import parse_manifest, verify_pinned
from registry_client.status import Use, blocks_of

if TYPE_CHECKING:
    from registry_client.models.index import IndexLine
    from registry_client.reader import Reader
    from registry_client.resolve import VersionInfo
    from registry_client.session import Session
    from registry_client.signed import VerifiedManifest


def fetch_pinned(
    session: Session, reader: Reader, plugin_id: str, version: str, payload_digest: Digest
) -> VerifiedManifest:
    """The manifest with this payload digest, if its status and the blocks let a locked version be used.

    Raises:
        YankedError, NotFoundError: it may not be used, or is not there. DigestError: not what the lock pins.
        FetchError: no host has it.
    """
    try:
        session.view()
    except (ExpiredError, FetchError) as e:
        session.settings.on_warning(f"{e}; fetching {plugin_id} {version} as the lock pins it")
        return _without_index(session, plugin_id, version, payload_digest)
    try:
        infos = session.retrying(lambda: reader.versions(plugin_id, lambda infos: _line(infos, version)))
    except (
        FetchError
    ) as e:  # what is current is known, so it must be had: who withholds blocks.json lifts no block
        raise FetchError(
            f"{e}; so it is not known how {plugin_id} {version} stands now",
            status=e.status,
            retry_after=e.retry_after,
            hint="A host serves current metadata, but not what belongs to it. Try again in 5 minutes or use a mirror.",
        ) from e
    info = next((info for info in infos if info.version == version), None)
    if info is None:
        raise NotFoundError(f"{plugin_id} has no version {version}, although the lock names it")
    if info.line.manifest.payload_digest != payload_digest:
        raise DigestError(
            f"{plugin_id} {version}: the index has payload digest {info.line.manifest.payload_digest}, the lock pins {payload_digest}",
            hint="Published versions never change: the lock or the index is wrong. Do not install either.",
        )
    if info.problem is not None:
        raise info.problem
    standing = info.standing
    if standing.meaning.locked is Use.NO:
        raise YankedError(f"{plugin_id} {version} is {standing.status}: {standing.reason}")
    if standing.meaning.locked is Use.WARN:
        session.settings.on_warning(f"{plugin_id} {version} is {standing.status}: {standing.reason}")
    return session.retrying(lambda: reader.manifest(info.line))


def _without_index(
    session: Session, plugin_id: str, version: str, payload_digest: Digest
) -> VerifiedManifest:
    _check_held_blocks(session)
    for block in blocks_of(session.statements.last_blocks(), plugin_id, version, payload_digest):
        if block.action is not BlockAction.HIDE:
            raise YankedError(f"{plugin_id} {version} is blocked ({block.action}): {block.reason}")
        session.settings.on_warning(f"{plugin_id} {version} is hidden: {block.reason}")
    plain, fanned = (manifest_path(folder, version) for folder in plugin_folders(plugin_id))
    try:
        return _read_pinned(session, plain, payload_digest)
    except NotFetchedError as absent:
        try:
            return _read_pinned(session, fanned, payload_digest)
        except NotFetchedError:
            raise absent from None


def _read_pinned(session: Session, path: str, payload_digest: Digest) -> VerifiedManifest:
    return verify_pinned(parse_manifest(session.unsigned_file(path, MANIFEST_LIMIT), path), payload_digest)


def _line(infos: list[VersionInfo], version: str) -> IndexLine:
    for info in infos:
        if info.version == version:
            return info.line
    raise NotFoundError(f"no version {version}")


def _check_held_blocks(session: Session) -> None:
    """Refuse to go on under blocks that the metadata last verified has replaced."""
    named = named_digest(session.store.metadata, "blocks", "blocks.json")
    held = session.store.read_blocks()
    if named is not None and (held is None or Digest.of(held.data) != named):
        raise FetchError(
            f"{session.urls[0]}: newer blocks are signed than this machine has, and they cannot be had",
            hint="Run 'plugin refresh' once the registry or a mirror can be reached.",
        )
