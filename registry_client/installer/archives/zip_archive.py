"""ZIP archives, read so that no two readers could see different things in one.

`zipfile` parses the directory; around it stands what it leaves open: how many entries before it allocates them, every
byte of the file belonging to one entry only, local headers that say the same as the directory, and lengths that are true.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from registry_client.installer.archives.rules import CHUNK, MIB, Budget, Entry, checked_path, refused, unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry_client.errors import InstallError
    from registry_client.installer.archives.rules import Limits

# APPNOTE.TXT 6.3.10: 4.3.16, 4.3.15, 4.3.14, 4.3.12, 4.3.7.
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s24x3H12x")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 0xFFFF
_MAX_DIRECTORY = 64 * MIB
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DESCRIPTOR = 0x8
_UTF8 = 0x800
_DESCRIPTOR_SIZES = frozenset({0, 12, 16, 20, 24})
_UNICODE_PATH = 0x7075
_NO_32 = 0xFFFFFFFF


class ZipReader:
    """A ZIP file.

    Args:
        file: it, open for reading.
        name: its name, for messages.
        limits: how much it may hold.
    """

    def __init__(self, file: IO[bytes], name: str, limits: Limits) -> None:
        self._file, self._name, self._limits = file, name, limits
        self._size = file.seek(0, 2)
        self._found: list[tuple[zipfile.ZipInfo, Entry, int]] | None = None

    def entries(self) -> list[Entry]:
        """Every entry. Raises InstallError."""
        return [entry for _, entry, _ in self._scan()]

    def contents(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """The files, in the directory's order. Raises InstallError."""
        budget = Budget(self._name, self._limits, self._size)
        for info, entry, start in self._scan():
            if not entry.folder:
                yield entry, self._pieces(info, start, budget)

    def _scan(self) -> list[tuple[zipfile.ZipInfo, Entry, int]]:
        """Directory entries, what they are, and where their bytes start; all checks that need no contents."""
        if self._found is None:
            start = self._check_directory()
            infos = self._directory()
            checked = [(info, self._entry(info)) for info in infos]
            total = sum(entry.size for _, entry in checked)
            Budget(self._name, self._limits, self._size).check(total)
            starts = self._check_places(infos, start)
            self._found = [(info, entry, starts[info.header_offset]) for info, entry in checked]
        return self._found

    def _refused(self, rule: str, entry: str = "") -> InstallError:
        return refused(self._name, entry, rule)

    def _check_directory(self) -> int:
        """Where the directory starts; its length and number of entries are checked before it is parsed."""
        length = min(self._size, _END.size + _MAX_COMMENT)
        tail = self._read(self._size - length, length)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            raise self._refused("is no ZIP archive, or its end is missing")
        _, disk, first, here, count, size, offset, comment = _END.unpack_from(tail, at)
        if at + _END.size + comment != len(tail) or disk or first or here != count:
            raise self._refused("its end record does not fit the file")
        end = self._size - length + at
        if end >= _LOCATOR.size + _END64.size:
            locator = _LOCATOR.unpack(self._read(end - _LOCATOR.size, _LOCATOR.size))
            if locator[0] == b"PK\x06\x07":
                end -= _LOCATOR.size + _END64.size
                count, size, offset = self._check_end64(end, locator, (count, size, offset))
        if count > self._limits.entries:
            raise self._refused(f"holds {count} entries; at most {self._limits.entries} are allowed")
        if offset + size != end or size > _MAX_DIRECTORY:
            raise self._refused("its directory does not stand where its end record says, or is too long")
        self._count(self._read(offset, size), count)
        return int(offset)

    def _check_end64(
        self, at: int, locator: tuple[object, ...], short: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        """Number of entries, length and offset as the 64-bit record states them; the short one must not differ."""
        found = _END64.unpack(self._read(at, _END64.size))
        values = found[7], found[8], found[9]
        fits = found[0] == b"PK\x06\x06" and found[1] == _END64.size - 12 and found[6] == found[7]
        same = all(a in {b, 0xFFFF, _NO_32} for a, b in zip(short, values, strict=True))
        if not fits or not same or locator[2] != at or found[4] or found[5]:
            raise self._refused("its 64-bit end record does not fit the file")
        return values

    def _count(self, directory: bytes, count: int) -> None:
        """Compare the stated number of entries with the entries there are."""
        at = seen = 0
        while at + _CENTRAL.size <= len(directory) and seen <= count:
            signature, *lengths = _CENTRAL.unpack_from(directory, at)
            if signature != b"PK\x01\x02":
                break
            at += _CENTRAL.size + sum(lengths)
            seen += 1
        if at != len(directory) or seen != count:
            raise self._refused("its directory does not hold the entries that its end record states")

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                return archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError) as e:
            raise self._refused(f"its directory cannot be read ({e})") from e

    def _entry(self, info: zipfile.ZipInfo) -> Entry:
        raw = info.orig_filename  # `filename` ends at the first NUL, and has other separators on Windows
        if not raw.isascii() and not info.flag_bits & _UTF8:
            raise unsafe(self._name, raw, "its name is not marked as UTF-8, so each system reads another one")
        if _other_name(info.extra, raw):
            raise unsafe(self._name, raw, "it has two names")
        path = checked_path(raw, self._name, self._limits)
        kind = stat.S_IFMT(info.external_attr >> 16)
        folder = raw.endswith("/")
        if kind == stat.S_IFLNK:
            raise unsafe(self._name, raw, "is a symbolic link")
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR} or (kind == stat.S_IFDIR and not folder):
            raise unsafe(self._name, raw, "is neither a file nor a folder")
        if info.flag_bits & _ENCRYPTED:
            raise self._refused("is encrypted", raw)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise self._refused("is packed in a way that is not supported; expected stored or deflated", raw)
        if folder and info.file_size:
            raise self._refused("is a folder with contents", raw)
        return Entry(path, folder, info.file_size)

    def _check_places(self, infos: list[zipfile.ZipInfo], end: int) -> dict[int, int]:
        """Where the bytes of each entry start, by header offset. Each byte of the file belongs to one entry."""
        starts: dict[int, int] = {}
        at, slack = 0, frozenset({0})
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset - at not in slack:
                raise self._refused(
                    "overlaps another entry, or bytes before it belong to none", info.filename
                )
            start = self._check_local(info)
            starts[info.header_offset] = start
            at = start + info.compress_size
            slack = _DESCRIPTOR_SIZES if info.flag_bits & _DESCRIPTOR else frozenset({0})
        if end - at not in slack:
            raise self._refused("its entries do not end where its directory starts")
        return starts

    def _check_local(self, info: zipfile.ZipInfo) -> int:
        """Where an entry's bytes start, if its local header says what the directory says."""
        data = self._read(info.header_offset, _LOCAL.size)
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(data)
        start = info.header_offset + _LOCAL.size
        name = self._read(start, name_length)
        later = bool(info.flag_bits & _DESCRIPTOR)
        expected = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
        same = (
            signature == b"PK\x03\x04"
            and (flags, method, name) == (info.flag_bits, info.compress_type, expected)
            and (crc == info.CRC or (later and crc == 0))
            and all(
                a in {b, _NO_32} or (later and a == 0)
                for a, b in ((packed, info.compress_size), (size, info.file_size))
            )
        )
        if not same or _other_name(self._read(start + name_length, extra_length), info.orig_filename):
            raise self._refused("its header and the archive's directory differ", info.orig_filename)
        return int(start + name_length + extra_length)

    def _read(self, at: int, length: int) -> bytes:
        self._file.seek(at)
        data = self._file.read(length)
        if len(data) != length:
            raise self._refused("is cut off")
        return data

    def _pieces(self, info: zipfile.ZipInfo, start: int, budget: Budget) -> Iterator[bytes]:
        """An entry's bytes; what was stated of them is checked at their end."""
        raw = info.orig_filename
        crc = size = 0
        source = self._raw(start, info.compress_size)
        for piece in source if info.compress_type == zipfile.ZIP_STORED else self._inflated(source, raw):
            size += len(piece)
            if size > info.file_size:
                break
            budget.spend(len(piece), raw)
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != info.file_size:
            raise self._refused(f"is not the {info.file_size} bytes that the archive states", raw)
        if crc != info.CRC:
            raise self._refused("is damaged: its checksum differs", raw)

    def _raw(self, start: int, length: int) -> Iterator[bytes]:
        end = start + length
        while start < end:
            piece = self._read(start, min(CHUNK, end - start))
            start += len(piece)
            yield piece

    def _inflated(self, source: Iterator[bytes], raw: str) -> Iterator[bytes]:
        """Decompress, never more than a piece at a time; the stream must end where the entry does."""
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for packed in source:
                left = packed
                while left and not engine.eof:
                    if piece := engine.decompress(left, CHUNK):
                        yield piece
                    left = engine.unconsumed_tail
                if engine.eof and (engine.unused_data or left):
                    raise self._refused("has bytes after its end", raw)
            while not engine.eof and (piece := engine.decompress(engine.unconsumed_tail, CHUNK)):
                yield piece
        except zlib.error as e:
            raise self._refused(f"is damaged ({e})", raw) from e
        if not engine.eof or next(source, None) is not None:
            raise self._refused("is cut off, or has bytes after its end", raw)


def _other_name(extra: bytes, raw: str) -> bool:
    """Whether an Info-ZIP Unicode path among the extra fields names something else: some readers would follow it."""
    at = 0
    while at + 4 <= len(extra):  # tag and length
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == _UNICODE_PATH and extra[at + 9 : at + 4 + length] != raw.encode(errors="surrogateescape"):
            return True
        at += 4 + length
    return False
