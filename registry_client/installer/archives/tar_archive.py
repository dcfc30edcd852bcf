"""Tar archives, gzipped or not: regular files and folders, and nothing else that tar can say.

`tarfile` parses each header; the walk from header to header stands here, because tarfile takes extended headers of any
length into memory and follows GNU's sparse maps, and reads an archive that was cut off as a shorter one.
"""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import zlib
from typing import TYPE_CHECKING, Protocol

from registry_client.installer.archives.rules import CHUNK, Budget, Entry, checked_path, refused, unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry_client.errors import InstallError
    from registry_client.installer.archives.rules import Limits

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENSION = 256 * 1024
_MAX_RECORDS = 256
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}
_PAX_LOCAL, _PAX_GLOBAL = tarfile.XHDTYPE, tarfile.XGLTYPE
_KINDS = {
    tarfile.SYMTYPE: "is a symbolic link",
    tarfile.LNKTYPE: "is a hard link",
    tarfile.CHRTYPE: "is a device",
    tarfile.BLKTYPE: "is a device",
    tarfile.FIFOTYPE: "is a pipe",
    tarfile.GNUTYPE_SPARSE: "is a sparse file, which is not supported",
}


class TarReader:
    """A tar file, read from start to end each time.

    Args:
        archive: it.
        name: its name, which says whether it is gzipped.
        limits: how much it may hold.
    """

    def __init__(self, archive: Path, name: str, limits: Limits) -> None:
        self._archive, self._name, self._limits = archive, name, limits

    def entries(self) -> list[Entry]:
        """Every entry; the whole archive was read and is whole. Raises InstallError."""
        return [entry for entry, _ in self._walk()]

    def contents(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """The files, in the archive's order. Raises InstallError."""
        return ((entry, pieces) for entry, pieces in self._walk() if not entry.folder)

    def _walk(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        with self._opened() as source:
            path, found = "", 0
            while (header := source.header()) is not None:
                found += 1  # extended headers count too: an archive may not consist of them
                if found > 2 * self._limits.entries:
                    raise source.refused(f"holds more than {self._limits.entries} entries")
                if header.type in {_PAX_LOCAL, _PAX_GLOBAL, tarfile.GNUTYPE_LONGNAME}:
                    named = self._extension(source, header)
                    if named and path:
                        raise source.refused("has two names", named)
                    path = path or named
                    continue
                entry = self._entry(source, header, path or header.name)
                path = ""
                if entry.path:
                    yield entry, source.pieces(entry)
                source.skip()
            if path:
                raise source.refused("is cut off", path)
            source.end()

    def _extension(self, source: _Source, header: tarfile.TarInfo) -> str:
        """What an extended header says of the next entry's path; empty where it says nothing of it."""
        data = source.take(header.size, _MAX_EXTENSION)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            return data.rstrip(b"\0").decode("utf-8", "surrogateescape")
        records = _records(data)
        if records is None:
            raise source.refused("has an extended header that cannot be read")
        # Times, owners and attributes are not kept anyway. The rest would change what is read, and how.
        bad = [key for key in records if key in {"size", "linkpath", "hdrcharset"} or key.startswith("GNU.")]
        if header.type == _PAX_GLOBAL and "path" in records:
            bad.append("path")
        if bad:
            raise source.refused(f"has an extended header with {bad[0]!r}, which is not supported")
        return records.get("path", "")

    def _entry(self, source: _Source, header: tarfile.TarInfo, raw: str) -> Entry:
        folder = header.type == tarfile.DIRTYPE
        if not folder and header.type not in _FILES:
            kind = _KINDS.get(header.type, f"is of kind {header.type!r}, which is not supported")
            raise unsafe(self._name, raw, kind)
        if not folder and raw.endswith("/"):
            raise unsafe(self._name, raw, "is a file with a folder's name")
        if header.size < 0 or (folder and header.size):
            raise source.refused("has an impossible size", raw)
        path = checked_path(raw, self._name, self._limits)
        if not path and not folder:
            raise unsafe(self._name, raw, "has no name")
        source.open_entry(header.size)
        return Entry(path, folder, header.size)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[_Source]:
        """The tar's bytes, decompressed. What decompressing meets becomes an InstallError."""
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(self._archive.open("rb"))
            budget = Budget(self._name, self._limits, self._archive.stat().st_size)
            plain = self._name.lower().endswith(".tar")
            file: _Readable = raw if plain else stack.enter_context(gzip.GzipFile(fileobj=raw))
            yield _Source(file, self._name, self._limits, budget)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Source:
    """A tar's bytes in order: headers and contents, counted."""

    def __init__(self, file: _Readable, name: str, limits: Limits, budget: Budget) -> None:
        self._file, self._name, self._limits, self._budget = file, name, limits, budget
        self._left = 0  # bytes of the present entry, not yet read
        self._padding = 0
        self._entries = 0

    def refused(self, rule: str, entry: str = "") -> InstallError:
        return refused(self._name, entry, rule)

    def _read(self, length: int) -> bytes:
        """At most so many bytes, and fewer only at the end."""
        try:
            data = self._file.read(length)
            while len(data) < length and (more := self._file.read(length - len(data))):
                data += more
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise self.refused(f"is damaged or cut off ({e})") from e
        self._budget.spend(len(data))
        return data

    def header(self) -> tarfile.TarInfo | None:
        """The next header; None at the end mark."""
        block = self._read(_BLOCK)
        if len(block) == _BLOCK and not block.strip(b"\0"):
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.TarError, ValueError, OverflowError) as e:
            rule = "is cut off" if len(block) < _BLOCK else f"is no tar archive, or damaged ({e})"
            raise self.refused(rule) from e

    def take(self, size: int, limit: int) -> bytes:
        """The contents of an extended header, whole."""
        if not 0 <= size <= limit:
            raise self.refused(f"has an extended header of {size} bytes; at most {limit} are allowed")
        data = self._read(size + -size % _BLOCK)
        if len(data) < size:
            raise self.refused("is cut off")
        return data[:size]

    def open_entry(self, size: int) -> None:
        """Begin an entry of so many bytes."""
        self._entries += 1
        if self._entries > self._limits.entries:
            raise self.refused(f"holds more than {self._limits.entries} entries")
        self._left, self._padding = size, -size % _BLOCK

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """The present entry's bytes."""
        while self._left:
            piece = self._read(min(CHUNK, self._left))
            if not piece:
                raise self.refused("is cut off", entry.path)
            self._left -= len(piece)
            yield piece

    def skip(self) -> None:
        """Go to the end of the present entry."""
        while self._left:
            piece = self._read(min(CHUNK, self._left))
            if not piece:
                raise self.refused("is cut off")
            self._left -= len(piece)
        if len(self._read(self._padding)) < self._padding:
            raise self.refused("is cut off")

    def end(self) -> None:
        """Read on to the end of the file, where gzip has its checksum; only zeros may follow the end mark."""
        while piece := self._read(CHUNK):
            if piece.strip(b"\0"):
                raise self.refused("has bytes after its end")


def _records(data: bytes) -> dict[str, str] | None:
    """The records of a pax header, each `LENGTH KEY=VALUE` and a line feed (POSIX.1-2017, pax); None if they are not."""
    found: dict[str, str] = {}
    at = 0  # the rest is not cut off piece by piece: that would take quadratic time
    while at < len(data):
        length, space, _ = data[at : at + 8].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 1 < int(length) <= len(data) - at:
            return None
        record = data[at + len(length) + 1 : at + int(length)]
        at += int(length)
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n" or (name := key.decode("utf-8", "replace")) in found:
            return None
        if (
            len(found) == _MAX_RECORDS
        ):  # nobody writes so many; reading them before each entry would take long
            return None
        found[name] = value.decode("utf-8", "surrogateescape")
    return found
