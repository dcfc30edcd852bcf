"""Reading archives that nobody vouches for: what is in them, checked by name and place before anything is read.

`zip_archive.py` and `tar_archive.py` know the two formats; what stands here holds for both. Contents come in small
pieces, no entry is held whole, and what is really produced is counted, whatever an archive claims.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from registry_client.errors import InstallError, UnsafePathError
from registry_client.installer.disk.steps import disk_errors
from registry_client.portable import folded, name_problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK = 64 * 1024
MIB = 1024 * 1024
_WHEEL = ".whl"
_ZIPS = (".zip", _WHEEL)
_TARS = (".tar.gz", ".tgz", ".tar")
_DRIVE = re.compile(r"[A-Za-z]:")
RESERVED = frozenset({".plugin", ".registry"})
"""Names at a plugin's top that the installer keeps for itself."""
BROKEN = "The archive is damaged or was made to do harm: tell the plugin's publisher."


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Attributes:
        entries: files and folders; and as many folders again that only stand in the paths of others.
        size: bytes of all contents together.
        path: characters of an entry's whole path; each name in it has those of `portable.MAX_NAME`.
        depth: names in a path.
        ratio: how many bytes one packed byte may become, on average.
        ratio_from: bytes of contents up to which the ratio does not matter.
    """

    entries: int = 100_000
    size: int = 4096 * MIB
    path: int = 400
    depth: int = 32
    ratio: int = 200
    ratio_from: int = 10 * MIB


DEFAULT = Limits()


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes:
        path: its checked path, `/` between names.
        folder: whether it is a folder; else a file.
        size: bytes, as the archive states it.
    """

    path: str
    folder: bool
    size: int


class Reader(Protocol):
    """An open archive."""

    def entries(self) -> list[Entry]:
        """Every entry, its path checked. Raises InstallError."""

    def contents(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """The files in the archive's order, each with its bytes in pieces. Raises InstallError."""


@dataclass
class Budget:
    """Counts the bytes that really come out of an archive.

    Attributes:
        name: the archive.
        limits: what it may hold.
        packed: its own size in bytes.
    """

    name: str
    limits: Limits
    packed: int
    _spent: int = field(default=0, init=False)

    def spend(self, count: int, entry: str = "") -> None:
        """Count bytes. Raises InstallError once there are too many."""
        self._spent += count
        self.check(self._spent, entry)

    def check(self, total: int, entry: str = "") -> None:
        """Refuse a number of bytes that is too large for this archive. Raises InstallError."""
        if total > self.limits.size:
            raise refused(
                self.name, entry, f"the contents are larger than {self.limits.size} bytes, the most allowed"
            )
        if total > max(self.limits.ratio_from, self.limits.ratio * self.packed):
            raise refused(
                self.name,
                entry,
                f"the contents are more than {self.limits.ratio} times as large as the archive",
            )


def refused(name: str, entry: str, rule: str) -> InstallError:
    """The error for an archive that breaks a rule."""
    return InstallError(_message(name, entry, rule), hint=BROKEN)


def unsafe(name: str, entry: str, rule: str) -> UnsafePathError:
    """The error for an entry whose name or kind could do harm."""
    return UnsafePathError(
        _message(name, entry, rule), hint="Nothing of it was installed: tell the plugin's publisher."
    )


def _message(name: str, entry: str, rule: str) -> str:
    return f"{shown(name)}: {f'entry {shown(entry)}: ' if entry else ''}{rule}"


def checked_path(raw: str, name: str, limits: Limits) -> str:
    """An entry's path, safe on every file system: relative, inside, portable. A final `/` and leading `./` are dropped.

    Returns:
        The path; empty for the top folder itself (`./`).

    Raises:
        UnsafePathError: it is not safe.
    """
    if len(raw) > limits.path:
        raise unsafe(name, raw, f"its path is longer than {limits.path} characters")
    if raw.startswith("/") or _DRIVE.match(raw):
        raise unsafe(name, raw, "its path is absolute")
    if "\\" in raw:
        raise unsafe(name, raw, "its path holds a backslash, which Windows takes for '/'")
    parts = raw.removesuffix("/").split("/")
    while parts and parts[0] == ".":
        del parts[0]
    if len(parts) > limits.depth:
        raise unsafe(name, raw, f"it stands deeper than {limits.depth} folders")
    for part in parts:
        if part == "..":
            raise unsafe(name, raw, "its path leads out of its folder ('..')")
        problem = "its path holds an empty name or '.'" if part in {"", "."} else name_problem(part)
        if problem:
            raise unsafe(name, raw, problem)
    return "/".join(parts)


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
