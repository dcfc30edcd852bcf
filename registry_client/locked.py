"""What a lock pins: a version by its payload digest.

A lock names exact bytes, so they can be fetched and checked even when the index has expired and nothing can be said about what is
current. Blocks still apply: they do not expire for those who hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.errors import DigestError, ExpiredError, FetchError, NotFoundError, YankedError
from registry_client.models.blocks import BlockAction
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.signed import parse_manifest, verify_pinned
from registry_client.status import Use, blocks_of

if TYPE_CHECKING:
    from registry_client.client import RegistryClient
    from registry_client.digest import Digest
    from registry_client.signed import VerifiedManifest


def fetch_pinned(
    client: RegistryClient, plugin_id: str, version: str, payload_digest: Digest
) -> VerifiedManifest:
    """The manifest with this payload digest, if its status and the blocks let a locked version be used.

    Raises:
        YankedError, NotFoundError: it may not be used, or is not there. DigestError: not what the lock pins.
        FetchError: no host has it.
    """
    try:
        infos = client.versions(plugin_id)
    except (ExpiredError, FetchError) as e:
        client.session.settings.on_warning(f"{e}; fetching {plugin_id} {version} as the lock pins it")
        return _without_index(client, plugin_id, version, payload_digest)
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
        client.session.settings.on_warning(f"{plugin_id} {version} is {standing.status}: {standing.reason}")
    return client.line_manifest(info.line)


def _without_index(
    client: RegistryClient, plugin_id: str, version: str, payload_digest: Digest
) -> VerifiedManifest:
    for block in blocks_of(client.session.last_blocks(), plugin_id, version, payload_digest):
        if block.action is not BlockAction.HIDE:
            raise YankedError(f"{plugin_id} {version} is blocked ({block.action}): {block.reason}")
        client.session.settings.on_warning(f"{plugin_id} {version} is hidden: {block.reason}")
    path = f"plugins/{plugin_id}/{version}/manifest.json"
    return verify_pinned(
        parse_manifest(client.session.unsigned_file(path, MANIFEST_LIMIT), path), payload_digest
    )
