"""A folder or an archive on this machine, as one archive file.

A folder is packed so that the same files give the same bytes on any machine. What it holds is read, never run, and links in it are
refused rather than followed.
"""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING

from registry_client.errors import ConfigError, InstallError
from registry_client.installer.elsewhere.local import LOOKED_AT, Stated, read_local
from registry_client.installer.elsewhere.packed import (
    MAX_FILES,
    MAX_SIZE,
    Archive,
    Packed,
    ZipOut,
    cannot_be_packed,
    finished,
    packed_name,
    too_large,
)
from registry_client.installer.elsewhere.peek import SUFFIXES, archive_suffix, peek
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.names import check_file_name
from registry_client.portable import clashes, name_problem, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.installer.elsewhere.local import Stated

INSTALLERS_OWN = frozenset({".plugin", ".registry"})
"""Folders that the installer keeps its own files in."""
_LEFT_OUT = (
    *INSTALLERS_OWN,
    *(".git", ".hg", ".svn", ".DS_Store", "node_modules", "__pycache__", "*.pyc", "*.egg-info"),
    *(".venv", "venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
)
_AT_TOP = ("dist",)  # where `publisher pack` puts its archives; further down it is usually part of the plugin
_CHUNK = 1024 * 1024
# What an archive may have, less its one top folder and the file itself.
_MAX_DEPTH = 30
_MAX_PATH = 335
_HINT = "Remove or rename what is listed, or add a packed archive instead of the folder."
State = tuple[int, int, int, int]


def pack_folder(folder: Path, into: Path, *, id: str | None = None) -> Packed:  # noqa: A002  (the document's own word)
    """Pack a folder's files into a ZIP, stored and sorted.

    Version control's own folders, caches, virtual environments and `node_modules` are left out.

    Args:
        folder: the folder.
        into: where the archive is put, named by its digest.
        id: the plugin's id, if it is known; else what the folder says, else its name.

    Raises:
        ConfigError: there is no such folder.
        InstallError: something in it cannot be packed, it changes meanwhile, or it holds too much.
    """
    top = folder.resolve()
    if not top.is_dir():
        raise ConfigError(f"{folder}: is no folder", hint="Name the folder that holds the plugin's files.")
    files = _scan(top, folder)
    small = {
        name: _small(top / name)
        for name in LOOKED_AT
        if name in files and stat.S_ISREG((top / name).lstat().st_mode)
    }
    stated = read_local(small, name=top.name, id=id)
    with Archive(into, limit=MAX_SIZE, what=str(folder)) as archive:
        with ZipOut(archive, stated.id, str(folder)) as out:
            for path in sorted(files, key=os.fsencode):
                with out.entry(path, files[path][2]) as entry:
                    _copy(top / path, path, files[path], entry, folder)
        if _scan(top, folder) != files:
            raise _changed(folder, ".")
        archive.hash_written()
        return finished(archive, packed_name(stated), stated)


def read_folder(folder: Path) -> Stated:
    """What a folder says of itself; nothing is packed, and no link is followed."""
    small = {}
    for name in LOOKED_AT:
        path = folder / name
        try:
            regular = stat.S_ISREG(path.lstat().st_mode)
        except OSError:
            continue
        if regular:
            small[name] = _small(path)
    return read_local(small, name=folder.name)


def take_archive(path: Path, into: Path, *, id: str | None = None) -> Packed:  # noqa: A002  (the document's own word)
    """Copy an archive, and read from inside the copy what it says of itself.

    Args:
        path: a ZIP, a wheel, or a tar, compressed or not.
        into: where the copy is put, named by its digest.
        id: the plugin's id, if it is known; else what the archive says, else its name.

    Raises:
        ConfigError: there is no such file, or its name does not say how it is packed.
        InstallError: it is no such archive, or too large.
    """
    suffix = archive_suffix(path.name)
    if suffix is None:
        raise ConfigError(
            f"{path}: its name does not say how it is packed",
            hint=f"Give it one of the ends {', '.join(SUFFIXES)}.",
        )
    try:
        state = path.stat()
    except OSError as e:
        raise ConfigError(
            f"{path}: cannot be read ({e.strerror or e})", hint="Name a file that is there."
        ) from e
    if not stat.S_ISREG(state.st_mode):
        raise ConfigError(f"{path}: is not a file", hint="Name one archive, or a folder.")
    with Archive(into, limit=MAX_SIZE, what=str(path)) as archive:
        _copy(path.resolve(), path.name, _state(state), archive.write, path)
        if not archive.size:
            raise InstallError(f"{path}: is empty")
        archive.finish()
        inside = peek(archive.path, path.name)
        stated = read_local(inside, name=path.name[: -len(suffix)], id=id)
        return finished(archive, _archive_name(path.name, stated, suffix), stated)


def _archive_name(name: str, stated: Stated, suffix: str) -> str:
    """The file's own name, if every system can hold it."""
    try:
        return check_file_name(name)
    except ValueError:
        return packed_name(stated, suffix)


def _scan(top: Path, folder: Path) -> dict[str, State]:
    """State of each file by relative path with `/`.

    Raises:
        InstallError: something in the folder cannot be packed; lists everything.
    """
    files: dict[str, State] = {}
    problems: list[str] = []
    waiting = [(top, "", 0)]
    while waiting and len(files) <= MAX_FILES:
        current, prefix, depth = waiting.pop()
        for entry in _listed(current, prefix, problems):
            path = prefix + entry.name
            wrong = _problem(entry, path, depth)
            if wrong:
                problems.append(f"{shown(path)}: {wrong}")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), f"{path}/", depth + 1))
            else:
                # Not entry.stat(): on Windows it leaves the inode out.
                files[path] = _state(_stat(entry, folder))
    if len(files) > MAX_FILES:
        problems = [f"holds more than {MAX_FILES} files"]
    elif not files and not problems:
        problems = ["holds no file to pack"]
    else:
        problems += clashes(files)
    if problems:
        raise cannot_be_packed(str(folder), sorted(problems), _HINT)
    if sum(state[2] for state in files.values()) > MAX_SIZE:
        raise too_large(str(folder), MAX_SIZE)
    return files


def _stat(entry: os.DirEntry[str], folder: Path) -> os.stat_result:
    try:
        return os.stat(entry.path, follow_symlinks=False)  # noqa: PTH116  (a Path for each of 100,000 files is slow)
    except OSError as e:
        raise _changed(folder, entry.name) from e


def _listed(folder: Path, prefix: str, problems: list[str]) -> list[os.DirEntry[str]]:
    """What is in a folder, without what is left out."""
    try:
        with os.scandir(folder) as entries:
            left_out = _LEFT_OUT if prefix else (*_LEFT_OUT, *_AT_TOP)
            return [e for e in entries if not any(fnmatchcase(e.name, pattern) for pattern in left_out)]
    except OSError as e:
        problems.append(f"{shown(prefix) or '.'}: cannot be read ({e.strerror or e})")
        return []


def _problem(entry: os.DirEntry[str], path: str, depth: int) -> str:
    """Why an entry cannot be packed; empty if it can."""
    wrong = name_problem(entry.name)
    if wrong:
        return wrong
    if len(path) > _MAX_PATH:
        return f"its path is longer than {_MAX_PATH} characters"
    if entry.is_symlink():
        return "is a symbolic link, which is not followed"
    if entry.is_dir(follow_symlinks=False):
        return f"is nested deeper than {_MAX_DEPTH} folders" if depth >= _MAX_DEPTH else ""
    return "" if entry.is_file(follow_symlinks=False) else "is neither a file nor a folder"


def _state(status: os.stat_result) -> State:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _copy(path: Path, name: str, state: State, write: Callable[[bytes], object], what: Path) -> None:
    """A file's bytes, if it is and stays the file that was found."""
    try:
        with _open(path) as file:
            before = _state(os.fstat(file.fileno()))
            left = state[2]
            while before == state and (chunk := file.read(min(_CHUNK, left + 1))):
                left -= len(chunk)
                if left < 0:
                    break
                write(chunk)
            after = _state(os.fstat(file.fileno()))
    except OSError as e:
        raise InstallError(
            f"{what}: {shown(name)} cannot be read ({e.strerror or e})", hint="Check its permissions."
        ) from e
    if not before == after == state or left:
        raise _changed(what, name)


def _open(path: Path) -> IO[bytes]:
    # O_NOFOLLOW: a link put in the file's place since it was found is not followed.
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    )
    return os.fdopen(os.open(path, flags), "rb")


def _small(path: Path) -> bytes:
    """The beginning of a file: more than a manifest may have where it is too long."""
    try:
        with _open(path) as file:
            return file.read(MANIFEST_LIMIT + 1)
    except OSError:
        return b""  # said when it is packed


def _changed(what: Path, name: str) -> InstallError:
    return InstallError(
        f"{what}: {shown(name)} changed while it was being packed",
        hint="Wait until nothing writes there, then try again.",
    )


__all__ = ["INSTALLERS_OWN", "pack_folder", "take_archive"]
