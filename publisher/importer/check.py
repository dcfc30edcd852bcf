"""Whether what a release offers is worth the registrar's time. Pure.

The registrar decides for itself again, with more rules than these: here, rubbish and repetitions are kept out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.check import check_manifest
from publisher.offer import Offer
from registry_client.digest import Digest
from registry_client.errors import ManifestError, PublishError, RegistryError, VersionExistsError
from registry_client.signed import (
    Parsed,
    PublisherKeys,
    parse_embedded_release,
    parse_manifest,
    parse_release,
    verify_manifest,
    verify_release,
)

if TYPE_CHECKING:
    from publisher.authority import Authority
    from publisher.github.assets import Asset, HostedRelease
    from publisher.registrar.state import Row, State
    from publisher.tree import Tree
    from registry_client.models.manifest import Manifest
    from registry_client.models.release import Release


@dataclass(frozen=True)
class Registry:
    """What the registry has.

    Attributes:
        authority: what its maintainers say.
        state: its index.
        tree: its files.
    """

    authority: Authority
    state: State
    tree: Tree


@dataclass(frozen=True)
class Found:
    """Documents on one release of a publisher's repository.

    Attributes:
        where: repository and release, for messages.
        publishers: ids of the publishers that list the repository.
        manifest: bytes of the manifest, or None.
        release: bytes of the document about the version's status, or None.
    """

    where: str
    publishers: frozenset[str]
    manifest: bytes | None
    release: bytes | None


@dataclass(frozen=True)
class Offered:
    """A release with documents of ours, before they are looked at.

    Attributes:
        number: its repository's.
        repository: `OWNER/REPO`.
        release: the release.
        manifest: the asset with the manifest, or None.
        status: the asset with the document about the version's status, or None.
        key: what both are remembered by.
        tries: how many times they were offered to the registrar.
    """

    number: int
    repository: str
    release: HostedRelease
    manifest: Asset | None
    status: Asset | None
    key: str
    tries: int


class TooEarlyError(PublishError):
    """It cannot be judged yet."""


def offer_of(found: Found, registry: Registry) -> Offer | None:
    """What of it the registry does not have; None if it has everything.

    Raises:
        TooEarlyError: it may be good later. RegistryError: it is not to be published.
    """
    manifest = None if found.manifest is None else parse_manifest(found.manifest, f"{found.where}: manifest")
    release = None if found.release is None else parse_release(found.release, f"{found.where}: status")
    first = manifest or release
    if first is None:
        return None
    plugin_id, version = first.model.id, first.model.version
    keys = _publisher(plugin_id, found, registry.authority)
    row = registry.state.get(plugin_id, version)
    files: dict[str, bytes] = {}
    if manifest is not None and _is_new(manifest, row, registry.tree):
        _check(manifest, keys, registry.tree)
        files["manifest.json"] = manifest.data
    if release is not None and _is_newer(release, manifest, row, keys, registry.authority):
        files["release.json"] = release.data
    if manifest is not None and "manifest.json" in files:
        return Offer(
            plugin_id, version, manifest.payload_digest.hex, files, f"Publish {plugin_id} {version}\n"
        )
    if release is not None and files:
        message = f"Set {plugin_id} {version} to {release.model.status}\n"
        return Offer(plugin_id, version, release.payload_digest.hex, files, message)
    return None


def _publisher(plugin_id: str, found: Found, authority: Authority) -> PublisherKeys:
    """The publisher that a plugin belongs to, if it is one of those that list the repository.

    Raises:
        PublishError: it is not.
    """
    keys = authority.publisher_of(plugin_id)
    if keys is not None and keys.publisher.id in found.publishers:
        return keys
    listing = ", ".join(sorted(found.publishers))
    raise PublishError(
        f"{found.where}: {plugin_id!r} is "
        + (f"a plugin of publisher {keys.publisher.id!r}" if keys is not None else "no publisher's plugin")
        + f", and this repository belongs to {listing}",
        hint="A repository offers the plugins of its own publisher: 'publisher registry policy change-publisher' changes which they are.",
    )


def _is_new(manifest: Parsed[Manifest], row: Row | None, tree: Tree) -> bool:
    """Whether a manifest is a new version, or has signatures that the published one lacks.

    Raises:
        VersionExistsError: the version is published with other content.
    """
    if row is None:
        return True
    model = manifest.model
    if manifest.payload_digest != row.payload_digest:
        raise VersionExistsError(
            f"{manifest.where}: {model.id} {model.version} is published already, with other content "
            f"(payload digest {row.payload_digest}, this one {manifest.payload_digest})",
            hint="A version is used once: publish the change under a new version.",
        )
    if Digest.of(manifest.data) == row.digest or "removed" in row.raw:
        return False
    known: set[str] = set()
    place = row.path.rpartition("/")[0]
    for path in tree.paths(place):
        if path.startswith(f"{place}/manifest."):
            known |= _signers(tree.read(path) or b"", path, row.payload_digest)
    return not {signature.keyid for signature in model.signatures} <= known


def _signers(data: bytes, path: str, payload_digest: Digest) -> set[str]:
    try:
        other = parse_manifest(data, path)
    except RegistryError:  # damaged; the registrar mends it
        return set()
    same = other.payload_digest == payload_digest
    return {signature.keyid for signature in other.model.signatures} if same else set()


def _check(manifest: Parsed[Manifest], keys: PublisherKeys, tree: Tree) -> None:
    """Refuse a manifest that the registrar would refuse.

    Raises:
        SignatureError, ManifestError, PublishError: it would.
    """
    verify_manifest(manifest, keys)  # before the rest: strangers get no further
    problems = check_manifest(manifest.raw, manifest.where, signed=True)
    if problems:
        raise ManifestError(manifest.where, problems)
    inside = [artifact.url for artifact in manifest.model.artifacts or () if ":" not in artifact.url]
    missing = set(inside) - set(tree.paths("artifacts")) if inside else set()
    if missing:
        raise PublishError(
            f"{manifest.where}: {min(missing)} is not in the registry, and an import brings no archives along",
            hint="Publish with --artifacts release.",
        )


def _is_newer(
    release: Parsed[Release],
    manifest: Parsed[Manifest] | None,
    row: Row | None,
    keys: PublisherKeys,
    authority: Authority,
) -> bool:
    """Whether a status is one that the index does not have yet.

    Raises:
        TooEarlyError: its version is not published yet. PublishError, SignatureError: it is not to be taken.
    """
    model = release.model
    if manifest is not None and (model.id, model.version) != (manifest.model.id, manifest.model.version):
        raise PublishError(
            f"{release.where}: is for {model.id} {model.version}, but stands beside the manifest of "
            f"{manifest.model.id} {manifest.model.version}"
        )
    about = row.payload_digest if row is not None else manifest.payload_digest if manifest else None
    if about is None:
        raise TooEarlyError(
            f"{release.where}: {model.id} {model.version} is not published (yet)",
            hint="It is looked at again on the next run.",
        )
    held = None
    if row is not None and "release" in row.raw:
        held = parse_embedded_release(row.raw["release"], f"index line of {model.id} {model.version}")
        if held.payload_digest == release.payload_digest or model.revision < held.model.revision:
            return False
    verify_release(release, keys, registry=authority.policy.registry, manifest=about)
    if held is not None and model.revision == held.model.revision:
        raise PublishError(
            f"{release.where}: revision {model.revision} of {model.id} {model.version} is there already, with another status",
            hint="Set the status again: 'publisher set-status'.",
        )
    return row is None or "removed" not in row.raw


__all__ = ["Found", "Offered", "Registry", "TooEarlyError", "offer_of"]
