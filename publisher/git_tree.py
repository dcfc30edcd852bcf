"""A commit's files, looked at folder by folder: a registry may have hundreds of thousands, and a run needs a few of them.

Where a light fetch has left file contents out, those that are going to be read are fetched together: as told by `prefetch`, and where
nobody told, with what stands beside them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from publisher.git_objects import FOLDER, REGULAR, Blob, parse_tree
from publisher.git_text import parse_entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from publisher.git import Git

# More folders than these are listed by one command rather than one at a time.
_FEW_FOLDERS: Final = 256
# After so many files that nobody said would be read, everything in their part of the tree is fetched.
_MOST_SURPRISES: Final = 8
_PLUGINS: Final = "plugins"
# Large files, of which one at a time is read: fetching their neighbours would cost more than it saves.
_LARGE: Final = ("artifacts/", "targets/")
_SMALL: Final = ("targets/index/", "targets/publishers/")


class GitTree:
    """The files of a commit, read when they are asked for. Links and submodules count as absent.

    Args:
        git: the repository.
        commit: the commit, or None for no files.

    Raises:
        GitError: there is no such commit.
    """

    def __init__(self, git: Git, commit: str | None) -> None:
        self._git = git
        self._top = git.tree_of(commit) if commit else None
        self._folders: dict[str, dict[str, Blob]] = {}
        self._surprises = 0
        self._looking = threading.Lock()  # the client that checks a candidate reads in several threads

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""
        with self._looking:
            oid = self.oid(path)
            if oid is not None and self._git.left_out([oid]):
                self._surprise(path)
        if oid is None:
            return None
        return self._git.read(oid)

    def oid(self, path: str) -> str | None:
        """The object id of a regular file, or None."""
        entry = self.entry(path)
        return entry.oid if entry is not None and entry.mode in REGULAR else None

    def entry(self, path: str) -> Blob | None:
        """What stands at a path, whatever it is, but for folders; None where there is nothing."""
        folder, _, name = path.rpartition("/")
        entry = self._list(folder).get(name)
        return None if entry is None or entry.mode == FOLDER else entry

    def folders(self, folder: str) -> list[str]:
        """The names of the folders that stand in a folder, sorted."""
        return sorted(name for name, entry in self._list(folder).items() if entry.mode == FOLDER)

    def paths(self, folder: str) -> Iterator[str]:
        """All paths of regular files below a folder, sorted."""
        found: list[str] = []
        level = [folder]
        while level:
            below = [_join(here, name) for here in level for name in self.folders(here)]
            found += [
                _join(here, n) for here in level for n, e in self._list(here).items() if e.mode in REGULAR
            ]
            unknown = [path for path in below if path not in self._folders]
            if len(unknown) > _FEW_FOLDERS:
                return iter(sorted(self._list_below(folder)))
            if unknown:
                self._list_each(unknown)
            level = below
        return iter(sorted(found))

    def prefetch(self, paths: Iterable[str]) -> None:
        """Fetch what is not here yet of files that are going to be read, all of them together."""
        self._git.fetch_objects(oid for path in paths if (oid := self.oid(path)) is not None)

    def _surprise(self, path: str) -> None:
        """Fetch a file that nobody said would be read; and what is likely to be read next, as whoever reads goes on."""
        self._surprises += 1
        parts = path.split("/")
        folder = path.rpartition("/")[0]
        if parts[0] == _PLUGINS:
            own = "/".join(parts[: 3 if parts[1].startswith("_") else 2])
            wanted = self.paths(own if self._surprises <= _MOST_SURPRISES else _PLUGINS)
        elif path.startswith(_LARGE) and not path.startswith(_SMALL):
            wanted = iter(())
        elif self._surprises > _MOST_SURPRISES:
            wanted = iter(
                [_join(folder, name) for name, e in self._list(folder).items() if e.mode in REGULAR]
            )
        else:
            wanted = iter(())
        self.prefetch([path, *wanted])

    def _list(self, folder: str) -> dict[str, Blob]:
        """The entries of a folder by name; none where there is no such folder."""
        known = self._folders.get(folder)
        if known is None:
            self._list_each([folder])
            known = self._folders[folder]
        return known

    def _list_each(self, folders: list[str]) -> None:
        """List folders, of which the folders above are listed, all at once."""
        oids = {folder: self._folder_oid(folder) for folder in folders}
        there = [(folder, oid) for folder, oid in oids.items() if oid is not None]
        listings = self._git.read_all([oid for _, oid in there])
        self._folders |= {folder: {} for folder in folders}
        for (folder, oid), data in zip(there, listings, strict=True):
            self._folders[folder] = parse_tree(data, len(oid) // 2, errors="replace")

    def _folder_oid(self, folder: str) -> str | None:
        if not folder:
            return self._top
        above, _, name = folder.rpartition("/")
        entry = self._list(above).get(name)
        return entry.oid if entry is not None and entry.mode == FOLDER else None

    def _list_below(self, folder: str) -> list[str]:
        """List a folder and everything below it by one command. Gives the paths of regular files."""
        oid = self._folder_oid(folder)
        found: list[str] = []
        listing = self._git.run("ls-tree", "-r", "-t", "-z", "--full-tree", oid) if oid else b""
        for entry in parse_entries(listing):
            path, mode = _join(folder, entry.path), entry.mode.lstrip("0")
            here, _, name = path.rpartition("/")
            self._folders.setdefault(here, {})[name] = Blob(mode, entry.oid)
            if mode == FOLDER:
                self._folders.setdefault(path, {})
            elif mode in REGULAR:
                found.append(path)
        return found


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


__all__ = ["GitTree"]
