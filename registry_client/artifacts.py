"""Artifacts on disk: streamed, bounded, checked, then renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from registry_client.downloads import Received
from registry_client.errors import ConfigError, InstallError, NotFoundError
from registry_client.names import check_file_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.models.manifest import Artifact
    from registry_client.session import Session
    from registry_client.signed import VerifiedManifest


def file_name(artifact: Artifact, plugin_id: str, version: str) -> str:
    """A safe file name for an artifact: its URL's last part, else one made of id, version and digest."""
    last = unquote(urlsplit(artifact.url).path.rpartition("/")[2])
    try:
        return check_file_name(last)
    except ValueError:
        return f"{plugin_id}-{version}-{artifact.digest.hex[:12]}"


def download_artifacts(
    session: Session,
    manifest: VerifiedManifest,
    folder: Path,
    *,
    ecosystem: str | None,
    overwrite: bool,
    progress: Callable[[str, int, int], None] | None,
) -> list[Path]:
    """Download the artifacts of a verified manifest; `RegistryClient.download` documents the arguments."""
    model = manifest.model
    wanted = [a for a in model.artifacts or () if ecosystem in {None, a.ecosystem}]
    if not wanted:
        kind = f" for {ecosystem}" if ecosystem else ""
        raise NotFoundError(
            f"{model.id} {model.version} has no artifact{kind}",
            hint="A remote plugin is loaded from the URLs in its manifest: 'plugin info'.",
        )
    names: set[str] = set()
    missing = []
    paths = []
    for artifact in wanted:
        name = file_name(artifact, model.id, model.version)
        if name.lower() in names:
            name = f"{artifact.digest.hex[:12]}-{name}"
        names.add(name.lower())
        path = folder / name
        paths.append(path)
        if not _is_there(path, artifact, overwrite=overwrite):
            missing.append((artifact, path))
    for artifact, path in missing:
        _download(session, artifact, path, progress)
    return paths


def _is_there(path: Path, artifact: Artifact, *, overwrite: bool) -> bool:
    """Whether a file is the artifact already. The publisher chose its name, so another file of that name is left alone.

    Raises:
        InstallError: another file stands there, and it may not be replaced.
    """
    try:
        if path.is_file() and path.stat().st_size == artifact.size:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == artifact.digest.hex:
                    return True
    except OSError:
        pass  # what cannot be read is another file
    if os.path.lexists(path) and not overwrite:
        raise InstallError(
            f"{path}: another file stands there, which is not replaced",
            hint="Choose another folder with --output, or replace it with --force (overwrite=True).",
        )
    return False


def _download(
    session: Session, artifact: Artifact, path: Path, progress: Callable[[str, int, int], None] | None
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    except OSError as e:
        raise ConfigError(
            f"{path.parent}: cannot be written ({e.strerror})", hint="Choose another folder."
        ) from e
    try:
        with os.fdopen(handle, "wb") as file:
            received = Received()  # so that a body that breaks off is continued

            def take(chunk: bytes) -> None:
                file.write(chunk)
                if progress is not None:
                    progress(path.name, received.size + len(chunk), artifact.size)

            def restart() -> None:
                file.seek(0)
                file.truncate()

            session.download(
                artifact.url,
                digest=artifact.digest,
                size=artifact.size,
                sink=take,
                restart=restart,
                received=received,
            )
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as e:
        raise InstallError(
            f"{path}: cannot be written ({e.strerror or e})",
            hint="Free some space, or choose another folder.",
        ) from e
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
