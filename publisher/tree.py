"""A registry's files: a working tree, and changes on top of one that are written together."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from registry_client.digest import Digest
from registry_client.errors import ConfigError
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TIMESTAMP = "metadata/timestamp.json"
_PIECE = 64 * 1024
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_OPEN = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO}


class Tree(Protocol):
    """Files by path; paths are relative, with `/`."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""

    def paths(self, folder: str) -> Iterable[str]:
        """All paths of regular files below a folder, sorted."""


class DirTree:
    """A folder on disk. Symbolic links are not followed: they count as absent.

    Args:
        root: the registry's top folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._top = str(root)

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""
        full = f"{self._top}/{path}"  # not a Path, which costs more than the reading: a run reads every file
        try:
            return _read_regular(full)
        except OSError as e:
            if e.errno in _ABSENT:
                return None
            raise ConfigError(f"{full}: cannot be read ({e.strerror})") from e

    def paths(self, folder: str) -> Iterator[str]:
        """All paths of regular files below a folder, sorted."""
        found: list[str] = []
        folders = [f"{folder}/" if folder else ""]
        while folders:
            here = folders.pop()
            for entry in self._entries(here):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{here}{entry.name}/")
                elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(".tmp-"):
                    found.append(here + entry.name)
        return iter(sorted(found))

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(f"{self._top}/{folder}") as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as e:
            raise ConfigError(f"{self._top}/{folder}: cannot be read ({e.strerror})") from e


def _read_regular(full: str) -> bytes | None:
    if not _NO_FOLLOW and Path(full).is_symlink():
        return None
    handle = os.open(full, _OPEN)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None
        data = os.read(handle, status.st_size)
        while more := os.read(handle, _PIECE):
            data += more
        return data
    finally:
        os.close(handle)


class MemoryTree:
    """Files in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        return self.files.get(path)

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        return iter(sorted(path for path in self.files if path.startswith(prefix)))


class Overlay:
    """Changes on top of a tree, kept in memory until all of them are wanted.

    Args:
        base: what is below.
    """

    def __init__(self, base: Tree) -> None:
        self.base = base
        self.changes: dict[str, bytes | None] = {}
        self._digests: dict[str, Digest | None] = {}

    def read(self, path: str) -> bytes | None:
        """The bytes of a file as changed, or None."""
        return self.changes[path] if path in self.changes else self.base.read(path)

    def digest(self, path: str) -> Digest | None:
        """The digest of a file as changed, or None. What is below is read once, however often this is asked."""
        if path in self.changes:
            return _digest(self.changes[path])
        return self._below(path)

    def _below(self, path: str) -> Digest | None:
        if path not in self._digests:
            self._digests[path] = _digest(self.base.read(path))
        return self._digests[path]

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder as changed, sorted."""
        prefix = f"{folder}/" if folder else ""
        paths = set(self.base.paths(folder)) | {path for path in self.changes if path.startswith(prefix)}
        return iter(sorted(path for path in paths if self.changes.get(path, b"") is not None))

    def write(self, path: str, data: bytes) -> None:
        """Change a file; writing what is there already changes nothing."""
        if self._below(path) == Digest.of(data):
            self.changes.pop(path, None)
        else:
            self.changes[path] = data

    def delete(self, path: str) -> None:
        """Remove a file."""
        if self._below(path) is None:
            self.changes.pop(path, None)
        else:
            self.changes[path] = None


def _digest(data: bytes | None) -> Digest | None:
    return None if data is None else Digest.of(data)


def write_order(changes: Mapping[str, bytes | None]) -> list[str]:
    """Paths in the order in which a reader never sees a gap: new files, the timestamp, then deletions."""
    return sorted(changes, key=lambda path: (changes[path] is None, path == TIMESTAMP, path))


def write_changes(root: Path, changes: Mapping[str, bytes | None]) -> None:
    """Write changes into a folder, each file by rename.

    Raises:
        ConfigError: a file cannot be written; running again completes the rest.
    """
    for path in write_order(changes):
        data = changes[path]
        try:
            if data is None:
                with contextlib.suppress(FileNotFoundError):
                    (root / path).unlink()
            else:
                write_atomic(root / path, data)
        except OSError as e:
            raise ConfigError(
                f"{root / path}: cannot be written ({e.strerror or e})",
                hint="Free space or permissions; then run it again.",
            ) from e
