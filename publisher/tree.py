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
_ABSENT = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
    *(errno.ELOOP, errno.EMLINK, errno.ENXIO),
}
# Names that Windows would take for another folder.
_OTHER_SYSTEM = frozenset("\\:" if os.name == "nt" else "")


class Tree(Protocol):
    """Files by path; paths are relative, with `/`."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""

    def paths(self, folder: str) -> Iterable[str]:
        """All paths of regular files below a folder, sorted."""


class Listing(Tree, Protocol):
    """A tree that can be looked at folder by folder."""

    def folders(self, folder: str) -> Iterable[str]:
        """The names of the folders that stand in a folder, sorted."""


class DirTree:
    """A folder on disk. Symbolic links are not followed: they count as absent, and so does what stands outside.

    Args:
        root: the registry's top folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._top = str(root)
        self._own = {""}

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""
        full = f"{self._top}/{path}"  # not a Path, which costs more than the reading: a run reads every file
        try:
            own = self._is_own(path.rpartition("/")[0]) and not _OTHER_SYSTEM.intersection(path)
            return _read_regular(full) if own else None
        except ValueError:  # no file has such a name
            return None
        except OSError as e:
            if e.errno in _ABSENT:
                return None
            raise ConfigError(f"{full}: cannot be read ({e.strerror})") from e

    def paths(self, folder: str) -> Iterator[str]:
        """All paths of regular files below a folder, sorted."""
        found: list[str] = []
        folders = [f"{folder}/" if folder else ""] if self._is_own(folder) else []
        while folders:
            here = folders.pop()
            try:
                with os.scandir(f"{self._top}/{here}") as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(f"{here}{entry.name}/")
                        elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(".tmp-"):
                            found.append(here + entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as e:
                raise ConfigError(f"{self._top}/{here}: cannot be read ({e.strerror})") from e
        return iter(sorted(found))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders that stand in a folder, sorted."""
        here = f"{self._top}/{folder}"
        if not self._is_own(folder):
            return []
        try:
            with os.scandir(here) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as e:
            raise ConfigError(f"{here}: cannot be read ({e.strerror})") from e

    def _is_own(self, folder: str) -> bool:
        """Whether a folder is there and is the registry's own: no link on the way to it, and no step up.

        Paths come out of documents too that nobody has verified yet.

        Raises:
            ConfigError: it cannot be looked at.
        """
        here = ""
        for name in () if folder in self._own else folder.split("/"):
            here = f"{here}/{name}" if here else name
            if here not in self._own:
                if name == ".." or not _is_folder(f"{self._top}/{here}"):
                    return False
                self._own.add(here)  # a run reads every file: each folder is looked at once
        return True


def _is_folder(full: str) -> bool:
    """Whether it is one, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(full).st_mode)
    except ValueError:  # no folder has such a name
        return False
    except OSError as e:
        if e.errno in _ABSENT:
            return False
        raise ConfigError(f"{full}: cannot be read ({e.strerror})") from e


def _read_regular(full: str) -> bytes | None:
    if not _NO_FOLLOW and Path(full).is_symlink():
        return None
    handle = os.open(full, _OPEN)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return None
        data = os.read(handle, status.st_size + 1)
        while len(data) != status.st_size and (more := os.read(handle, _PIECE)):
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

    def folders(self, folder: str) -> list[str]:
        """The names of the folders that stand in a folder, sorted."""
        start = len(folder) + 1 if folder else 0
        inner = (path[start:].partition("/") for path in self.paths(folder))
        return sorted({name for name, slash, _ in inner if slash})


class _Digests(dict[str, "Digest | None"]):
    """Digests of a tree's files by path, None for absent ones; each file is read when it is first asked for."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    def __missing__(self, path: str) -> Digest | None:
        data = self._tree.read(path)
        self[path] = None if data is None else Digest.of(data)
        return self[path]


class Overlay:
    """Changes on top of a tree, kept in memory until all of them are wanted.

    Args:
        base: what is below; it stays as it is while this is in use.
    """

    def __init__(self, base: Tree) -> None:
        self.base = base
        self.changes: dict[str, bytes | None] = {}
        self._below = _Digests(base)
        self._listed: dict[str, tuple[str, ...]] = {}

    def read(self, path: str) -> bytes | None:
        """The bytes of a file as changed, or None."""
        return self.changes[path] if path in self.changes else self.base.read(path)

    def digest(self, path: str) -> Digest | None:
        """The digest of a file as changed, or None. What is below is read once, however often this is asked."""
        if path in self.changes:
            data = self.changes[path]
            return None if data is None else Digest.of(data)
        return self._below[path]

    def learn(self, path: str, digest: Digest | None) -> None:
        """Take over the digest of a file as it is below, None for an absent one, from whoever has read it already."""
        self._below[path] = digest

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder as changed, sorted."""
        prefix = f"{folder}/" if folder else ""
        if folder not in self._listed:
            self._listed[folder] = tuple(self.base.paths(folder))
        changed = {path: data for path, data in self.changes.items() if path.startswith(prefix)}
        if not changed:
            return iter(self._listed[folder])
        paths = {*self._listed[folder], *changed}
        return iter(sorted(path for path in paths if changed.get(path, b"") is not None))

    def write(self, path: str, data: bytes) -> None:
        """Change a file; writing what is there already changes nothing."""
        if self._below[path] == Digest.of(data):
            self.changes.pop(path, None)
        else:
            self.changes[path] = data

    def delete(self, path: str) -> None:
        """Remove a file."""
        if self._below[path] is None:
            self.changes.pop(path, None)
        else:
            self.changes[path] = None


def write_order(changes: Mapping[str, bytes | None]) -> list[str]:
    """Paths in the order in which neither readers nor the next run ever see a gap, wherever writing stops.

    Files before the metadata that names them, snapshots and new roots after that, the timestamp; deletions
    last, and the other way round.
    """
    last = (".snapshot.json", ".root.json", "/timestamp.json")

    def rank(path: str) -> tuple[bool, int, str]:
        step = next((number for number, end in enumerate(last, 2) if path.endswith(end)), 1)
        step = step if path.startswith("metadata/") else 0
        return (True, -step, path) if changes[path] is None else (False, step, path)

    return sorted(changes, key=rank)


def _refuse_links(root: Path, path: str) -> None:
    """Folders of a registry are its own: a symbolic link in their place would take a write elsewhere.

    Raises:
        ConfigError: one of them is a link.
    """
    for parent in Path(path).parents[:-1]:
        if (root / parent).is_symlink():
            raise ConfigError(
                f"{root / parent}: is a symbolic link, and a registry holds none",
                hint="Replace it by a folder.",
            )


def write_changes(root: Path, changes: Mapping[str, bytes | None]) -> None:
    """Write changes into a folder, each file by rename.

    Raises:
        ConfigError: a file cannot be written; running again completes the rest.
    """
    for path in write_order(changes):
        data = changes[path]
        try:
            _refuse_links(root, path)
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
