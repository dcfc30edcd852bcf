"""Artifacts on disk: streamed, bounded, checked, then renamed into place."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

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
    paths = []
    for artifact in wanted:
        name = file_name(artifact, model.id, model.version)
        if name.lower() in names:
            name = f"{artifact.digest.hex[:12]}-{name}"
        names.add(name.lower())
        paths.append(_download(session, artifact, folder / name, progress))
    return paths


def _download(
    session: Session, artifact: Artifact, path: Path, progress: Callable[[str, int, int], None] | None
) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    except OSError as e:
        raise ConfigError(
            f"{path.parent}: cannot be written ({e.strerror})", hint="Choose another folder."
        ) from e
    try:
        with os.fdopen(handle, "wb") as file:
            received = 0

            def take(chunk: bytes) -> None:
                nonlocal received
                file.write(chunk)
                received += len(chunk)
                if progress is not None:
                    progress(path.name, received, artifact.size)

            def restart() -> None:
                nonlocal received
                received = 0
                file.seek(0)
                file.truncate()

            session.download(
                artifact.url, digest=artifact.digest, size=artifact.size, sink=take, restart=restart
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
    return path
