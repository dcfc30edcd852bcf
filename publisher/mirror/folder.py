"""A mirror in a folder, such as what a web server or GitHub Pages serves."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from publisher.mirror.place import OWN, ConflictError, Tag, say_nothing
from publisher.mirror.served import FILES, FOLDERS
from publisher.tree import DirTree, write_changes
from registry_client.bundle import BUNDLE_PATH
from registry_client.digest import Digest
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from publisher.mirror.kinds import Kind
    from publisher.mirror.place import Hold

_NO_LIMIT = 2**63


class _Held:
    def keep(self, *, now: bool = False) -> None:
        """A lock of the system's holds until it is let go, or its process ends."""


class Folder:
    """A `Place` on disk. Tags are digests: every file is read, which costs less here than remembering.

    Args:
        root: the folder; made if missing.
        wait: seconds to wait for another run.
        on_wait: called once where that begins.

    Raises:
        ConfigError: it is a file.
    """

    def __init__(self, root: Path, wait: float, on_wait: Callable[[], object] = say_nothing) -> None:
        if root.exists() and not root.is_dir():
            raise ConfigError(f"{root}: is a file", hint="Give a folder; it is made if it is missing.")
        self.name = str(root)
        self._root = root
        self._tree = DirTree(root)
        self._wait = wait
        self._on_wait = on_wait

    def empty(self) -> bool:
        """Whether there is nothing but what runs remember."""
        # A run that was killed at its first write leaves folders, and what `write_atomic` had not yet renamed.
        tops = (path for path in self._root.iterdir() if path.name != OWN) if self._root.is_dir() else ()
        files = (file for top in tops for file in ((top, *top.rglob("*")) if _is_folder(top) else (top,)))
        return all(_is_folder(file) or file.name.startswith(".tmp-") for file in files)

    @contextlib.contextmanager
    def exclusive(self, version: int) -> Iterator[Hold]:  # noqa: ARG002  (a run that ends early leaves no claim here)
        """Be the only run on this machine that writes; `Place.exclusive` documents it."""
        from filelock import Timeout  # noqa: PLC0415  (only where something is written)

        lock = self._root / OWN / "lock"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held = self._acquire(lock)
        except Timeout as e:
            raise PublishError(
                f"{self.name}: another run writes this mirror", hint="Run it again later."
            ) from e
        except OSError as e:
            raise ConfigError(
                f"{lock}: cannot be written ({e.strerror or e})",
                hint="Free space or permissions; then run it again.",
            ) from e
        with held:
            yield _Held()

    def _acquire(self, lock: Path) -> AbstractContextManager[object]:
        from filelock import FileLock, Timeout  # noqa: PLC0415

        try:
            return FileLock(lock).acquire(timeout=0)
        except Timeout:
            self._on_wait()
            return FileLock(lock).acquire(timeout=self._wait)

    def list(self) -> dict[str, Tag]:
        """Every file that a run may change, each with its digest as its tag."""
        folders = (
            *FOLDERS,
            BUNDLE_PATH.partition("/")[0],
        )  # no others: what else a folder holds is nobody's to read
        paths = [*FILES, *(path for folder in folders for path in self._tree.paths(folder))]
        found = ((path, self._tree.read(path)) for path in paths)
        return {path: _tag(data) for path, data in found if data is not None}

    def digest(self, tag: Tag) -> Digest | None:
        """The tag."""
        return Digest(tag.e_tag) if tag.e_tag else None

    def read(self, path: str, limit: int) -> tuple[bytes, Tag] | None:
        """The bytes of a file; `Place.read` documents it."""
        data = self._tree.read(path)
        if data is not None and len(data) > limit:
            raise PublishError(
                f"{self.name}/{path}: more than {limit} bytes", hint="Delete it, and run it again."
            )
        return None if data is None else (data, _tag(data))

    def put(self, path: str, data: bytes, kind: Kind, seen: Tag | None) -> Tag:  # noqa: ARG002  (files have no headers)
        """Write a file by rename; `Place.put` documents it."""
        there = self.read(path, _NO_LIMIT)
        if (there[1] if there else None) != seen:
            raise ConflictError(f"{self.name}/{path}: was changed meanwhile", hint="Run it again.")
        write_changes(self._root, {path: data})
        return _tag(data)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files."""
        for path in paths:
            write_changes(self._root, {path: None})


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _tag(data: bytes) -> Tag:
    return Tag(Digest.of(data))
