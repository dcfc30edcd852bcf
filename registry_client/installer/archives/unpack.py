"""From a packed file to a folder, and back to the question whether the folder still is what was packed.

Names, kinds and places of all entries are checked before the first byte is written; lengths, checksums and ratios while
the bytes come. Files get mode 0644 and folders 0755. The executable bit is dropped: a host imports or reads a plugin's
files and starts none, archives made on Windows do not have the bit, and a folder must be the same wherever it was packed.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.installer.archives.archive import Layout, arrange, entries, is_wheel, open_archive
from registry_client.installer.archives.rules import CHUNK, DEFAULT, Limits, Reader
from registry_client.installer.disk.steps import disk_errors
from registry_client.portable import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE_MODE = 0o644
_FOLDER_MODE = 0o755
_CACHE = "__pycache__"
_OWN = ".plugin"


@dataclass(frozen=True)
class Unpacked:
    """What was written.

    Attributes:
        files: how many files.
        size: their bytes together.
        stripped: whether the archive's one top folder was left out.
    """

    files: int
    size: int
    stripped: bool


def unpack(archive: Path, name: str, into: Path, limits: Limits = DEFAULT) -> Unpacked:
    """Unpack an archive into a new or empty folder. If it fails, the folder holds a part and is to be removed.

    Args:
        archive: the packed file, whose digest was checked.
        name: its file name, which says how it is packed: `.zip`, `.whl`, `.tar.gz`, `.tgz`, `.tar`; any other is one file.
        into: the folder.
        limits: how much the archive may hold.

    Raises:
        UnsafePathError: a name in it would leave the folder, cannot exist everywhere, or is no file.
        InstallError: it breaks another rule, or the disk refuses.
    """
    with open_archive(archive, name, limits) as reader:
        layout = arrange(reader.entries(), name, strip=not is_wheel(name), limits=limits)
        with disk_errors(f"{shown(name)}: cannot be unpacked into {into}"):
            into.mkdir(parents=True, exist_ok=True)
            into.chmod(_FOLDER_MODE)
            for folder in layout.folders:
                (into / folder).mkdir()
                (into / folder).chmod(_FOLDER_MODE)
            return _write(reader, layout, into, name)


def _write(reader: Reader, layout: Layout, into: Path, name: str) -> Unpacked:
    size = 0
    for entry, pieces in reader.contents():
        target = into / layout.place(entry, name)
        # Exclusive: a name that this file system takes for an earlier one is an error, and no link is followed.
        handle = os.open(
            target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), _FILE_MODE
        )
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                size += file.write(piece)
        target.chmod(_FILE_MODE)  # whatever the umask was: the host may run as another user
    return Unpacked(len(layout.files), size, bool(layout.top))


def compare(archive: Path, name: str, folder: Path, limits: Limits = DEFAULT) -> list[str]:
    """What differs between an archive and the folder it was unpacked into; links in the folder are not followed.

    Not looked at: `.plugin/` at the top, which the installer writes itself, and the bytecode that
    Python keeps in `__pycache__` for a module of the archive. Who can write there can run code, and is not found this way.

    Args:
        archive: the packed file, whose digest was checked.
        name: its file name.
        folder: the installed folder.
        limits: how much the archive may hold.

    Returns:
        A line for each file that differs, is missing, or is in the folder only; sorted; empty if all is as it was packed.

    Raises:
        InstallError: the archive breaks a rule, or the folder cannot be read.
    """
    with disk_errors(f"{folder}: cannot be read"):
        there = dict(_walk(folder))
        lines: list[str] = []
        packed: set[str] = set()
        for path, _, pieces in entries(archive, name, limits):
            packed.add(path)
            if path not in there:
                lines.append(f"{path}: is missing")
            elif not there[path]:
                lines.append(f"{path}: is a link or no file")
            elif not _same(folder / path, pieces):
                lines.append(f"{path}: differs")
        lines += [
            f"{shown(path)}: was added" for path in there.keys() - packed if not _is_bytecode(path, packed)
        ]
        return sorted(lines)


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """What is in a folder at any depth except real folders, and whether it is a regular file."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as found:
            for item in found:
                path = prefix + item.name
                if path == _OWN and item.is_dir(follow_symlinks=False):
                    continue
                if item.is_dir(follow_symlinks=False) and not _is_junction(item):
                    waiting.append(f"{path}/")
                else:
                    yield path, item.is_file(follow_symlinks=False)


def _is_junction(item: os.DirEntry[str]) -> bool:
    """Whether it is one of Windows' links between folders, which Python takes for folders."""
    return bool(
        getattr(item.stat(follow_symlinks=False), "st_file_attributes", 0)
        & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400)
    )


def _same(path: Path, pieces: Iterator[bytes]) -> bool:
    """Whether a file holds these bytes. All of them are taken, so that the archive's checksums are checked."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    same = True
    with os.fdopen(handle, "rb", buffering=CHUNK) as file:
        for piece in pieces:
            same = same and file.read(len(piece)) == piece
        return same and not file.read(1)


def _is_bytecode(path: str, packed: set[str]) -> bool:
    """Whether Python makes this file when it imports a module of the archive (PEP 3147)."""
    parts = path.split("/")
    if len(parts) < 2 or parts[-2] != _CACHE or not parts[-1].endswith(".pyc"):  # noqa: PLR2004  (folder and file)
        return False
    return "/".join([*parts[:-2], f"{parts[-1].partition('.')[0]}.py"]) in packed
