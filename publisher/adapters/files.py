"""What adapters read: the files of one plugin's folder, bounded and never outside it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from registry_client.errors import ConfigError
from registry_client.jsontext import KIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TEXT_LIMIT = 256 * KIB
_MAX_PATH = 1000
_MAX_ENTRIES = 10_000


class SourceFiles(Protocol):
    """A plugin's folder, read-only. Paths are relative to it, with `/`."""

    def names(self) -> Sequence[str]:
        """The files at its top, sorted."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file, in the folder and not by a link out of it."""

    def read(self, path: str, limit: int = TEXT_LIMIT) -> bytes:
        """A file's bytes.

        Raises:
            ConfigError: outside the folder, not there, no file, or more bytes than the limit.
        """

    def head(self, path: str, size: int) -> bytes:
        """The first bytes of a file, however long it is.

        Raises:
            ConfigError: as for `read`.
        """


def inner_path(path: str) -> str:
    """The path as `a/b`, if it stays below the folder wherever it is used.

    Raises:
        ConfigError: absolute, upwards, with a backslash or a colon (Windows), or with control characters.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if (
        not parts
        or ".." in parts
        or path.startswith(("/", "~"))
        or len(path) > _MAX_PATH
        or "\\" in path
        or ":" in path
        or not path.isprintable()
    ):
        raise ConfigError(
            f"{path[:80]!r}: expected the path of a file in the plugin's folder",
            hint="Write it relative to the manifest, with '/', without '..'.",
        )
    return "/".join(parts)


def is_inner(path: str) -> bool:
    """Whether adapters can read a file of this name; packing refuses the others, by name."""
    try:
        return bool(inner_path(path))
    except ConfigError:
        return False


@dataclass(frozen=True)
class Folder:
    """A plugin's folder on disk.

    Attributes:
        path: the folder.
    """

    path: Path

    def names(self) -> Sequence[str]:
        """The files at its top, sorted; links are not among them."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(
                    e.name for e in islice(entries, _MAX_ENTRIES) if e.is_file(follow_symlinks=False)
                )
        except OSError as e:
            raise ConfigError(f"{self.path}: cannot be read ({e.strerror})") from e

    def exists(self, path: str) -> bool:
        """Whether there is such a file, in the folder and not by a link out of it."""
        try:
            self._file(path)
        except ConfigError:
            return False
        return True

    def read(self, path: str, limit: int = TEXT_LIMIT) -> bytes:
        """A file's bytes."""
        data = self.head(path, limit + 1)
        if len(data) > limit:
            raise ConfigError(f"{path}: more than {limit} bytes")
        return data

    def head(self, path: str, size: int) -> bytes:
        """The first bytes of a file."""
        try:
            with self._file(path).open("rb") as file:
                return file.read(size)
        except OSError as e:
            raise ConfigError(f"{path}: cannot be read ({e.strerror})") from e

    def _file(self, path: str) -> Path:
        inner = inner_path(path)
        try:
            top = self.path.resolve()
            full = (top / inner).resolve()
            if not full.is_relative_to(top):
                raise ConfigError(
                    f"{path}: leads out of the plugin's folder", hint="Put the file itself there."
                )
            if not stat.S_ISREG(full.stat().st_mode):
                raise ConfigError(f"{path}: is not a file")
        except FileNotFoundError as e:
            raise ConfigError(f"{path}: no such file") from e
        except (OSError, RuntimeError) as e:  # RuntimeError: a loop of links, before Python 3.13
            raise ConfigError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or e})") from e
        return full


@dataclass(frozen=True)
class MemoryFiles:
    """A plugin's folder in memory.

    Attributes:
        files: bytes by path.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)

    def names(self) -> Sequence[str]:
        """The files at its top, sorted."""
        return sorted(path for path in self.files if "/" not in path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return is_inner(path) and inner_path(path) in self.files

    def read(self, path: str, limit: int = TEXT_LIMIT) -> bytes:
        """A file's bytes."""
        data = self.head(path, limit + 1)
        if len(data) > limit:
            raise ConfigError(f"{path}: more than {limit} bytes")
        return data

    def head(self, path: str, size: int) -> bytes:
        """The first bytes of a file."""
        inner = inner_path(path)
        if inner not in self.files:
            raise ConfigError(f"{path}: no such file")
        return self.files[inner][:size]


def read_text(files: SourceFiles, path: str, limit: int = TEXT_LIMIT) -> str:
    """A file's text, without a byte order mark.

    Raises:
        ConfigError: as for `read`, or it is not UTF-8.
    """
    try:
        return files.read(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ConfigError(f"{path}: is not UTF-8 (byte {e.start})", hint="Save it as UTF-8.") from e


__all__ = ["TEXT_LIMIT", "Folder", "MemoryFiles", "SourceFiles", "inner_path", "is_inner", "read_text"]
