"""`verify FILE`: what a file on this machine is to a registry.

A manifest or a release document is held against the index; any other file is looked for among the artifacts
that a plugin's signed manifests name. Either it is exactly what was published, or an error says why not.
"""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    DigestError,
    NotFoundError,
    RegistryError,
    RollbackError,
    VerificationError,
)
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.names import PLUGIN_ID_PATTERN, VERSION_PATTERN, check_plugin_id, check_version
from registry_client.signed import (
    parse_embedded_release,
    parse_manifest,
    parse_release,
    verify_manifest,
    verify_release,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from registry_client.client import RegistryClient
    from registry_client.models.release import Release
    from registry_client.resolve import VersionInfo
    from registry_client.signed import Parsed, Verified

_CHUNK = 1024 * 1024
_PARALLEL = 8
_NAMED = re.compile(rf"({PLUGIN_ID_PATTERN})-({VERSION_PATTERN})(?:[.+_-].*)?")


@dataclass(frozen=True)
class FileReport:
    """What a file was found to be. There is one only for a file that is what was published.

    Attributes:
        kind: `manifest`, `release` or `artifact`.
        info: the version it belongs to, as it stands now.
        publisher: id of the publisher.
        keyids: the keys whose signatures count, of the manifest or release.
        digest: sha256 of the file.
        size: its length in bytes.
        payload_digest: of the manifest that it is or that names it; of the release, for a release.
        warnings: what its user should be told.
    """

    kind: str
    info: VersionInfo
    publisher: str
    keyids: frozenset[str]
    digest: Digest
    size: int
    payload_digest: Digest
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """A file's path, digest, size, and its bytes if it is small enough for a document."""

    path: Path
    digest: Digest
    size: int
    data: bytes | None


def verify_file(
    client: RegistryClient, path: Path, plugin_id: str | None = None, version: str | None = None
) -> FileReport:
    """Say which published thing a file is.

    Args:
        client: reads the registry.
        path: the file.
        plugin_id: the plugin it should belong to; by default the one that it, or its file name, names.
        version: the version it should belong to; by default any.

    Raises:
        ConfigError: it cannot be read, or cannot be told which plugin it should belong to.
        DocumentError: it is a manifest or release, but malformed.
        VerificationError: it is not what was published.
        NotFoundError: the registry has no such plugin.
    """
    file = _read(path)
    kind = _document_kind(file)
    if kind == "manifest":
        return _check_manifest(client, file, plugin_id, version)
    if kind == "release":
        return _check_release(client, file, plugin_id, version)
    return _check_artifact(client, file, plugin_id, version)


def guess_from_name(name: str) -> tuple[str, str] | None:
    """Plugin id and version out of a file name such as `calendar-1.2.0.zip`, or None."""
    match = _NAMED.fullmatch(name)
    if match is None:
        return None
    try:
        return check_plugin_id(match[1]), check_version(match[2])
    except ValueError:  # a device name
        return None


def _read(path: Path) -> _File:
    sha256, size, kept = hashlib.sha256(), 0, bytearray()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sha256.update(chunk)
                size += len(chunk)
                if size <= MANIFEST_LIMIT:
                    kept += chunk
    except OSError as e:
        raise ConfigError(
            f"{path}: cannot be read ({e.strerror or e})", hint="Name a file that is there."
        ) from e
    data = bytes(kept) if size <= MANIFEST_LIMIT else None
    return _File(path, Digest.from_hex(sha256.hexdigest()), size, data)


def _document_kind(file: _File) -> str | None:
    """`manifest` or `release` for a file that claims to be one; the strict parser judges it later."""
    if file.data is None or not file.data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None
    try:
        raw: Any = json.loads(file.data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {"manifest.json": "manifest", "release.json": "release"}.get(file.path.name)
    kind = raw.get("kind")
    return kind if kind in {"manifest", "release"} else None


def _info_of(
    client: RegistryClient, file: _File, claimed: tuple[str, str], plugin_id: str | None, version: str | None
) -> VersionInfo:
    """The index's word on the version that a document claims to be of."""
    if (plugin_id or claimed[0], version or claimed[1]) != claimed:
        wanted = f"{plugin_id or claimed[0]} {version or ''}".strip()
        raise VerificationError(f"{file.path}: is of {claimed[0]} {claimed[1]}, not of {wanted}")
    infos = client.versions(claimed[0])
    info = next((info for info in infos if info.version == claimed[1]), None)
    if info is None:
        raise VerificationError(
            f"{file.path}: {claimed[0]} {claimed[1]} is not published in this registry",
            hint=f"See what is: 'plugin versions {claimed[0]}'.",
        )
    if info.problem is not None:
        raise info.problem
    return info


def _check_manifest(
    client: RegistryClient, file: _File, plugin_id: str | None, version: str | None
) -> FileReport:
    document = parse_manifest(file.data or b"", str(file.path))
    info = _info_of(client, file, (document.model.id, document.model.version), plugin_id, version)
    published = info.line.manifest.payload_digest
    if document.payload_digest != published:
        raise DigestError(
            f"{file.path}: payload digest {document.payload_digest}, "
            f"but {info.id} {info.version} was published with {published}",
            hint="Something in it was changed. Published versions never change: get it from the registry.",
        )
    verified = verify_manifest(document, client.session.statements.publisher(info.line.publisher))
    return _report("manifest", file, info, verified)


def _check_release(
    client: RegistryClient, file: _File, plugin_id: str | None, version: str | None
) -> FileReport:
    document = parse_release(file.data or b"", str(file.path))
    info = _info_of(client, file, (document.model.id, document.model.version), plugin_id, version)
    verified = verify_release(
        document,
        client.session.statements.publisher(info.line.publisher),
        registry=client.session.statements.policy().registry,
        manifest=info.line.manifest.payload_digest,
    )
    _check_current(file, document, info)
    return _report("release", file, info, verified)


def _check_current(file: _File, document: Parsed[Release], info: VersionInfo) -> None:
    """Refuse a release that is signed, but is not the one in force."""
    of = f"{info.id} {info.version}"
    have = info.release.revision if info.release else 0
    if document.model.revision > have:
        raise VerificationError(
            f"{file.path}: revision {document.model.revision} of the release of {of} is signed, "
            "but it is not in the index",
            hint="It was not published, or the registrar has not taken it yet.",
        )
    if document.model.revision < have:
        raise RollbackError(
            f"{file.path}: revision {document.model.revision} of the release of {of} "
            f"was replaced by revision {have}",
            hint="Get the current one from the registry.",
        )
    current = parse_embedded_release(info.line.release or {}, f"release of {of}")
    if document.payload_digest != current.payload_digest:
        raise DigestError(
            f"{file.path}: payload digest {document.payload_digest}, "
            f"but revision {have} of the release of {of} was published with {current.payload_digest}",
            hint="Two documents of one revision are signed: tell the publisher.",
        )


def _check_artifact(
    client: RegistryClient, file: _File, plugin_id: str | None, version: str | None
) -> FileReport:
    guess = guess_from_name(file.path.name)
    if plugin_id is None:
        if guess is None:
            raise ConfigError(
                f"{file.path}: no manifest or release, and its name does not say of which plugin it is",
                hint=f"Name the plugin: 'plugin verify {file.path.name} ID' or '… ID==VERSION'.",
            )
        plugin_id = guess[0]
    infos = [info for info in reversed(client.versions(plugin_id)) if version in {None, info.version}]
    if not infos:
        raise NotFoundError(
            f"{plugin_id} has no version {version}", hint=f"See what there is: 'plugin versions {plugin_id}'."
        )
    named = guess[1] if guess is not None and guess[0] == plugin_id else None
    unchecked: list[str] = []
    ordered = sorted(infos, key=lambda info: info.version != named)
    for batch in [ordered[:1], *_batches(ordered[1:])]:
        for info, manifest in zip(batch, _manifests(client, batch), strict=True):
            if isinstance(manifest, RegistryError):
                unchecked.append(f"{info.version}: {manifest}")
            elif any((a.digest, a.size) == (file.digest, file.size) for a in manifest.model.artifacts or ()):
                return _artifact_report(file, info, manifest, named)
    raise _not_published(file, f"{plugin_id} {version}" if version else plugin_id, len(infos), unchecked)


def _artifact_report(
    file: _File, info: VersionInfo, manifest: Verified[Any], named: str | None
) -> FileReport:
    if info.problem is not None:
        raise info.problem
    warnings: tuple[str, ...] = ()
    if named not in {None, info.version}:
        warnings = (
            f"{file.path}: the name says version {named}, but it is an artifact of version {info.version}",
        )
    return _report("artifact", file, info, manifest, warnings)


def _batches(infos: Sequence[VersionInfo]) -> list[Sequence[VersionInfo]]:
    return [infos[start : start + _PARALLEL] for start in range(0, len(infos), _PARALLEL)]


def _manifests(client: RegistryClient, infos: Sequence[VersionInfo]) -> list[Verified[Any] | RegistryError]:
    """The verified manifests of these versions, whatever their status, fetched in parallel."""

    def one(info: VersionInfo) -> Verified[Any] | RegistryError:
        try:
            return client.reader.manifest(info.line)
        except RegistryError as e:
            return e

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(one, infos))


def _not_published(file: _File, wanted: str, count: int, unchecked: list[str]) -> DigestError:
    searched = (
        "it" if wanted.count(" ") else f"any of its {count} versions" if count > 1 else "its one version"
    )
    rest = "".join(f"\n  not checked: {line}" for line in unchecked)
    return DigestError(
        f"{file.path}: {file.digest} is not an artifact of {wanted}: "
        f"no signed manifest of {searched} names it{rest}",
        hint="The file was changed, or is of another plugin. Do not install it.",
    )


def _report(
    kind: str, file: _File, info: VersionInfo, verified: Verified[Any], warnings: tuple[str, ...] = ()
) -> FileReport:
    standing = info.standing
    if standing.reason or not standing.meaning.exact.value.startswith("yes"):
        because = f": {standing.reason}" if standing.reason else ""
        warnings = (*warnings, f"{info.id} {info.version} is {standing.status}{because}")
    return FileReport(
        kind,
        info,
        verified.publisher,
        verified.keyids,
        file.digest,
        file.size,
        verified.payload_digest,
        warnings,
    )


__all__ = ["FileReport", "guess_from_name", "verify_file"]
