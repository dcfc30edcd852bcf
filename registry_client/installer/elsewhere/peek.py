"""Small files out of an archive, without unpacking it: what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.installer.archives.archive import entries, is_wheel
from registry_client.installer.elsewhere.local import LIMITS, LOOKED_AT, METADATA

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip", ".whl")
"""How the names of archives end."""


def archive_suffix(name: str) -> str | None:
    """How an archive's name ends; None for what is no archive."""
    return next((name[-len(end) :] for end in SUFFIXES if name.lower().endswith(end)), None)


def peek(archive: Path, name: str) -> dict[str, bytes]:
    """The files that say what a plugin is, as `read_local` takes them; a byte more than allowed of one that is too long.

    The whole archive is looked through, so one that could not be unpacked is refused here already.

    Args:
        archive: the packed file.
        name: its file name, which says how it is packed.

    Raises:
        InstallError: the archive breaks a rule; UnsafePathError where a name does.
    """
    wheel = is_wheel(name)
    found: dict[str, bytes] = {}
    twice: set[str] = set()
    for path, _, pieces in entries(archive, name):
        kind = _kind(path, wheel=wheel)
        if kind is None:
            continue
        if kind in found:
            twice.add(kind)
        found[kind] = _beginning(pieces, LIMITS[kind] + 1)
    return {kind: data for kind, data in found.items() if kind not in twice}


def _kind(path: str, *, wheel: bool) -> str | None:
    """Which of the files that are looked at this is."""
    folder, _, last = path.rpartition("/")
    if wheel:  # its top holds packages; a plugin's manifest stands in its one package
        if folder.endswith(".dist-info"):
            return METADATA if last == METADATA and "/" not in folder else None
        return last if last in LOOKED_AT and "/" not in folder else None
    if path == "PKG-INFO":
        return METADATA
    return path if path in LOOKED_AT else None


def _beginning(pieces: Iterable[bytes], length: int) -> bytes:
    data = b""
    for piece in pieces:
        data += piece
        if len(data) >= length:
            break
    return data[:length]
