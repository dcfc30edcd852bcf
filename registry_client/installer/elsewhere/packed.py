"""What every unsigned source comes to: one archive file, named by its digest, and what it says of itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from registry_client.digest import Digest
from registry_client.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_client.installer.elsewhere.local import Stated
    from registry_client.models.manifest import Requires

MAX_FILES = 100_000
MAX_SIZE = 4 * 1024**3
_CHUNK = 1024 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that ZIP can say
_UNIX = 3
_MODE = stat.S_IFREG | 0o644
_LISTED = 20


@dataclass(frozen=True)
class Packed:
    """An unsigned plugin as one archive file.

    Attributes:
        id: the plugin: what was asked for, else what it says, else its name, made valid; empty where that cannot be.
        version: what it says; 0.0.0 where it says none that a registry's grammar allows.
        name: the archive's file name, which says how it is packed.
        path: the archive, named by its sha256 in hexadecimal digits.
        digest: of the archive.
        size: of the archive, in bytes.
        requires: what it needs, where that is plain.
        permissions: what it asks its host for.
        commit: the Git commit it is of.
        notes: what could not be used of what it says.
    """

    id: str
    version: str
    name: str
    path: Path
    digest: Digest
    size: int
    requires: Requires | None = None
    permissions: tuple[str, ...] = ()
    commit: str | None = None
    notes: tuple[str, ...] = ()


class Archive:
    """A file being written beside where it will stand; counted and hashed. Use it in a `with` statement.

    Args:
        into: the folder, made if missing.
        limit: the most bytes that it may have.
        what: named in messages.

    Raises:
        InstallError: it cannot be written.
    """

    def __init__(self, into: Path, *, limit: int, what: str) -> None:
        self._into = into
        self._limit = limit
        self._what = what
        self._hash = hashlib.sha256()
        self.size = 0
        with self.writable():
            into.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=into, prefix=".tmp-")
        self._temporary = Path(name)
        self.file: IO[bytes] = os.fdopen(handle, "w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    @contextlib.contextmanager
    def writable(self) -> Iterator[None]:
        """Turn what the disk refuses into an InstallError."""
        try:
            yield
        except OSError as e:
            raise InstallError(
                f"{self._into}: cannot be written ({e.strerror or e})",
                hint="Free some space there, or allow it.",
            ) from e

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            InstallError: more than allowed, or they cannot be written.
        """
        self.size += len(data)
        if self.size > self._limit:
            raise too_large(self._what, self._limit)
        self._hash.update(data)
        with self.writable():
            self.file.write(data)

    def hash_written(self) -> None:
        """Count and hash what another has written into `file`."""
        self._hash = hashlib.sha256()
        self.size = 0
        with self.writable():
            self.file.seek(0)
            while chunk := self.file.read(_CHUNK):
                self._hash.update(chunk)
                self.size += len(chunk)
        if self.size > self._limit:
            raise too_large(self._what, self._limit)

    @property
    def path(self) -> Path:
        """The file while it is written."""
        return self._temporary

    @property
    def digest(self) -> Digest:
        """The digest of what is in it so far."""
        return Digest.from_hex(self._hash.hexdigest())

    def finish(self) -> None:
        """Close the file, so that it can be read whole at `path`."""
        with self.writable():
            self.file.close()

    def keep(self) -> Path:
        """Give the file its name: its digest."""
        path = self._into / self.digest.hex
        with self.writable():
            self.file.close()
            self._temporary.chmod(0o644)
            self._temporary.replace(path)
        return path


class ZipOut:
    """A deterministic ZIP: stored, one time, one mode, everything in one folder. Paths must come sorted.

    Args:
        archive: the file that it is written into.
        top: the folder.
        what: named in messages.
    """

    def __init__(self, archive: Archive, top: str, what: str) -> None:
        self._top = top or "plugin"
        self._what = what
        self._room = MAX_SIZE
        self._archive = archive
        self._zip = zipfile.ZipFile(archive.file, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            with self._archive.writable():
                self._zip.close()
        else:
            with contextlib.suppress(OSError, ValueError):  # what went wrong first is what counts
                self._zip.close()

    @contextlib.contextmanager
    def entry(self, path: str, size: int) -> Iterator[Callable[[bytes], object]]:
        """Write one file of this many bytes, by calling what this gives.

        Raises:
            InstallError: too much, or it cannot be written.
        """
        self._room -= size
        if self._room < 0:
            raise too_large(self._what, MAX_SIZE)
        info = zipfile.ZipInfo(f"{self._top}/{path}", _TIME)
        info.create_system = _UNIX  # else it says on which system it was made
        info.external_attr = _MODE << 16
        info.compress_type = zipfile.ZIP_STORED
        info.file_size = size  # decides whether the entry has ZIP64's form

        def write(data: bytes) -> None:
            with self._archive.writable():
                out.write(data)

        with self._zip.open(info, "w") as out:
            yield write


def finished(archive: Archive, name: str, stated: Stated, *, commit: str | None = None) -> Packed:
    """The archive under its digest, with what it says of itself."""
    digest, size = archive.digest, archive.size
    return Packed(
        id=stated.id,
        version=stated.version,
        name=name,
        path=archive.keep(),
        digest=digest,
        size=size,
        requires=stated.requires,
        permissions=stated.permissions,
        commit=commit,
        notes=stated.notes,
    )


def packed_name(stated: Stated, suffix: str = ".zip") -> str:
    """The file name of an archive that has no other."""
    return f"{stated.id or 'plugin'}-{stated.version}{suffix}"


def too_large(what: str, limit: int) -> InstallError:
    """The error for what holds too much."""
    return InstallError(f"{what}: holds more than {limit} bytes, the most that can be installed")


def cannot_be_packed(what: str, problems: list[str], hint: str) -> InstallError:
    """The error that lists what stands in the way of packing; the first of very many."""
    listed = "".join(f"\n  {problem}" for problem in problems[:_LISTED])
    more = f"\n  and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return InstallError(f"{what}: cannot be packed, {count}{listed}{more}", hint=hint)
