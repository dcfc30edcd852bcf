"""A folder of archives: each with its checksum beside it, and a name that always means the newest one.

calendar-1.2.0.zip
calendar-1.2.0.zip.sha256    for `sha256sum --check`
calendar-latest.zip          a link to calendar-1.2.0.zip, or its copy where the system has no links
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publisher.pack import digest_and_size
from registry_client.errors import ConfigError
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from registry_client.digest import Digest


@dataclass(frozen=True)
class Written:
    """What was written for one archive.

    Attributes:
        path: the archive.
        digest: its digest.
        size: its length in bytes.
        sums: the file with its checksum.
        latest: what now means this archive, or None.
    """

    path: Path
    digest: Digest
    size: int
    sums: Path
    latest: Path | None


def write_archive(folder: Path, name: str, data: bytes, latest: str | None) -> Written:
    """Write an archive, its checksum, and what means the newest, in this order; each file is whole at any moment.

    Args:
        folder: where to; it is made if need be.
        name: the archive's name.
        data: the archive.
        latest: the name that is to mean this archive from now on, if any.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    digest, size = digest_and_size(data)
    path, sums = folder / name, folder / f"{name}.sha256"
    try:
        write_atomic(path, data)
        write_atomic(sums, f"{digest.hex}  {name}\n".encode())
        if latest is not None:
            _point(folder / latest, name, data)
    except OSError as e:
        raise ConfigError(
            f"{folder}: cannot be written to ({e.strerror or e})", hint="Name another folder with --output."
        ) from e
    return Written(path, digest, size, sums, None if latest is None else folder / latest)


def _point(latest: Path, name: str, data: bytes) -> None:
    """Let a name mean an archive: by a relative link, else by a copy. The old one is there until the new one is."""
    with tempfile.TemporaryDirectory(dir=latest.parent, prefix=".tmp-") as place:
        link = Path(place) / latest.name
        with contextlib.suppress(OSError, NotImplementedError):
            link.symlink_to(name)  # from where it will stand
        if link.is_symlink():
            link.replace(latest)
            return
    write_atomic(latest, data)


__all__ = ["Written", "write_archive"]
