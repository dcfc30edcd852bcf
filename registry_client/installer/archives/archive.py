"""Reading archives that nobody vouches for: what is in them, checked by name and place before anything is read.

`zip_archive.py` and `tar_archive.py` know the two formats; what stands here holds for both. Contents come in small
pieces, no entry is held whole, and what is really produced is counted, whatever an archive claims.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.installer.archives.rules import (
    CHUNK,
    DEFAULT,
    RESERVED,
    Budget,
    Entry,
    Limits,
    Reader,
    checked_path,
    refused,
    unsafe,
)
from registry_client.installer.disk.steps import disk_errors
from registry_client.portable import folded, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_WHEEL = ".whl"
_ZIPS = (".zip", _WHEEL)
_TARS = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True)
class Layout:
    """Where the entries of an archive go.

    Attributes:
        files: paths of the files below the plugin's folder, with their stated sizes.
        folders: paths of the folders, parents first.
        top: what is left out at the start of each path: a folder's name and `/`, or empty.
    """

    files: dict[str, int]
    folders: list[str]
    top: str

    def place(self, entry: Entry, name: str) -> str:
        """The path of a file below the plugin's folder. Raises InstallError for one that was not there when it was arranged."""
        path = entry.path.removeprefix(self.top)
        if (
            self.files.get(path) != entry.size
        ):  # a tar is read twice, and only the first time was all of it looked at
            raise refused(name, entry.path, "was changed while the archive was read")
        return path


def arrange(entries: Sequence[Entry], name: str, *, strip: bool, limits: Limits = DEFAULT) -> Layout:
    """Decide where entries go, and refuse those that stand in each other's way.

    Args:
        entries: what the archive holds.
        name: the archive.
        strip: whether one top folder that holds everything is left out.
        limits: how much it may hold.

    Raises:
        UnsafePathError: two entries have one name, or names that some file system takes for one, or one that is reserved.
        InstallError: there is no file, or there are too many folders.
    """
    top = _top(entries) if strip else ""
    files: dict[str, int] = {}
    folders: dict[str, None] = {}
    first: dict[str, str] = {}
    for entry in entries:
        path = entry.path[len(top) :]
        if not path or entry.path == top[:-1]:
            continue
        parts = path.split("/")
        if folded(parts[0]) in RESERVED:
            raise unsafe(name, entry.path, f"{parts[0]} at a plugin's top is reserved for the installer")
        ancestors = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        for part in (*ancestors, path):
            known = first.setdefault(folded(part), part)
            if known != part:
                raise unsafe(name, entry.path, f"{shown(part)} differs from {shown(known)} only in case")
        if len(first) > 2 * limits.entries:  # each entry may stand in many folders that no entry names
            raise refused(name, "", f"holds more than {limits.entries} folders")
        if path in files or (not entry.folder and path in folders) or any(a in files for a in ancestors):
            raise unsafe(name, entry.path, "another entry has the same name")
        folders.update(dict.fromkeys(ancestors))
        if entry.folder:
            folders[path] = None
        else:
            files[path] = entry.size
    if not files:
        raise refused(name, "", "holds no file")
    return Layout(files, sorted(folders, key=lambda path: path.split("/")), top)


def _top(entries: Sequence[Entry]) -> str:
    """The one folder that holds everything, with `/`; empty where there is none."""
    top = entries[0].path.partition("/")[0] if entries else ""
    inside = all(e.path.startswith(f"{top}/") or (e.folder and e.path == top) for e in entries)
    return f"{top}/" if top and inside else ""


class _OneFile:
    """A file that is no archive: it is its own only entry."""

    def __init__(self, archive: Path, name: str, limits: Limits) -> None:
        self._archive, self._name, self._limits = archive, name, limits

    def entries(self) -> list[Entry]:
        size = self._archive.stat().st_size
        path = checked_path(self._name, self._name, self._limits)
        if "/" in path or not path:
            raise unsafe(self._name, "", "expected a plain file name")
        return [Entry(path, folder=False, size=size)]

    def contents(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        (entry,) = self.entries()
        yield entry, self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        budget = Budget(self._name, self._limits, self._archive.stat().st_size)
        with self._archive.open("rb") as file:
            while piece := file.read(CHUNK):
                budget.spend(len(piece))
                yield piece


def is_wheel(name: str) -> bool:
    """Whether a file name is a wheel's, whose top folders are packages."""
    return name.lower().endswith(_WHEEL)


@contextlib.contextmanager
def open_archive(archive: Path, name: str, limits: Limits = DEFAULT) -> Iterator[Reader]:
    """Open a packed file.

    Args:
        archive: where it is.
        name: its file name, which says how it is packed; what is no ZIP and no tar is a file by itself.
        limits: how much it may hold.

    Raises:
        InstallError: it cannot be read, or is not what its name says.
    """
    kind = name.lower()
    with disk_errors(f"{shown(name)}: cannot be read ({archive})"):
        if kind.endswith(_ZIPS):
            from registry_client.installer.archives.zip_archive import ZipReader  # noqa: PLC0415  (one format is needed)

            with archive.open("rb") as file:
                yield ZipReader(file, name, limits)
        elif kind.endswith(_TARS):
            from registry_client.installer.archives.tar_archive import TarReader  # noqa: PLC0415  (the same)

            yield TarReader(archive, name, limits)
        else:
            yield _OneFile(archive, name, limits)


def entries(archive: Path, name: str, limits: Limits = DEFAULT) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """What an archive's files are once unpacked, in its own order.

    Args:
        archive: the packed file.
        name: its file name.
        limits: how much it may hold.

    Yields:
        Path below the plugin's folder, size, and the bytes in pieces, to be taken before the next file is asked for.

    Raises:
        InstallError: the archive breaks a rule; UnsafePathError where a name does.
    """
    with open_archive(archive, name, limits) as reader:
        layout = arrange(reader.entries(), name, strip=not is_wheel(name), limits=limits)
        for entry, pieces in reader.contents():
            yield layout.place(entry, name), entry.size, pieces
