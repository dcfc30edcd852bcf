"""Archives that harm whoever unpacks them carelessly, byte by byte where no library would write them."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib

OK = ("plugin.py", b"print('hello')\n")


def zipped(*items: tuple[str, bytes], mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP; `mode` is given to the last entry."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # duplicate names are the point of some
        for name, data in items:
            info = zipfile.ZipInfo(name)
            info.filename = name  # whatever ZipInfo made of it
            info.compress_type = method
            if (name, data) == items[-1]:
                info.external_attr = mode << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def tarred(*items: tarfile.TarInfo | tuple[str, bytes], packed: bool = True) -> bytes:
    """A tar, gzipped or not; a TarInfo stands for an entry without contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for item in items:
            if isinstance(item, tarfile.TarInfo):
                archive.addfile(item)
            else:
                info = tarfile.TarInfo(item[0])
                info.size = len(item[1])
                archive.addfile(info, io.BytesIO(item[1]))
    return gzip.compress(buffer.getvalue(), 6) if packed else buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A tar entry that is no file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def two_names() -> bytes:
    """A ZIP whose local header, other than its directory, gives the entry a Unicode path: what reads as a stream follows it."""
    data = zipped(OK)
    name = len(OK[0])
    field = struct.pack("<BL", 1, zlib.crc32(OK[0].encode())) + b"../escaped"
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    start = struct.unpack_from("<L", data, data.rfind(END) + 16)[0] + len(extra)
    data = data[:28] + struct.pack("<H", len(extra)) + data[30 : 30 + name] + extra + data[30 + name :]
    return changed(data, END, 16, struct.pack("<L", start))


def pax(records: dict[str, str], then: tuple[str, bytes] = OK, *, everywhere: bool = False) -> bytes:
    """A tar with an extended header, before one file or for all."""
    buffer = io.BytesIO()
    own = None if everywhere else records
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=records if everywhere else None
    ) as archive:
        info = tarfile.TarInfo(then[0])
        info.size, info.pax_headers = len(then[1]), own or {}
        archive.addfile(info, io.BytesIO(then[1]))
    return gzip.compress(buffer.getvalue())


def changed(data: bytes, marker: bytes, offset: int, new: bytes, *, last: bool = True) -> bytes:
    """Bytes replaced at an offset from the last (or first) place that holds a marker."""
    at = (data.rfind(marker) if last else data.find(marker)) + offset
    return data[:at] + new + data[at + len(new) :]


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def overlapping() -> bytes:
    """Two directory entries that share one local entry: the trick of ZIP bombs that unpack to petabytes."""
    data = zipped(("a", b"x" * 1000))
    at, end = data.rfind(CENTRAL), data.rfind(END)
    entry = data[at:end]
    return data[:end] + entry + struct.pack("<4s4H2LH", END, 0, 0, 2, 2, 2 * len(entry), at, 0)


def nested_overlap() -> bytes:
    """Local headers quoted inside the contents of an earlier entry, as in 42 KB bombs: the kernel is shared."""
    inner = zipped(("b", b"y" * 100), method=zipfile.ZIP_STORED)
    local_b = inner[: inner.rfind(CENTRAL)]
    outer = zipped(("a", local_b), method=zipfile.ZIP_STORED)
    start = outer.find(local_b)
    central_a = outer[outer.rfind(CENTRAL) : outer.rfind(END)]
    central_b = bytearray(inner[inner.rfind(CENTRAL) : inner.rfind(END)])
    central_b[42:46] = struct.pack("<L", start)
    directory = central_a + bytes(central_b)
    at = outer.rfind(CENTRAL)
    return outer[:at] + directory + struct.pack("<4s4H2LH", END, 0, 0, 2, 2, len(directory), at, 0)


def longer_than_stated() -> bytes:
    """A stated length and checksum that fit the beginning of what is there."""
    data = zipped(OK, ("b", b"x" * 5000))
    short = struct.pack("<L", 100)
    crc = struct.pack("<L", zlib.crc32(b"x" * 100))
    for marker, crc_at, size_at in ((CENTRAL, 16, 24), (LOCAL, 14, 22)):
        data = changed(changed(data, marker, size_at, short), marker, crc_at, crc)
    return data


def many_zip(count: int) -> bytes:
    """So many entries, each in a folder of a hundred."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number in range(count):
            archive.writestr(f"d{number // 100}/f{number}", b"")
    return buffer.getvalue()


def many_tar(count: int) -> bytes:
    """The same as a tar, quickly: one header, its name and checksum changed."""
    block = tarfile.TarInfo("f000000").tobuf(tarfile.USTAR_FORMAT)
    parts = []
    for number in range(count):
        name = f"f{number:06}".encode()
        head = name + block[7:148] + b" " * 8 + block[156:]
        parts.append(head[:148] + f"{sum(head):06o}\0 ".encode() + head[156:])
    return gzip.compress(b"".join(parts) + bytes(1024), 1)


def lying_count(stated: int) -> bytes:
    """An end record that states a number of entries, and little else."""
    return struct.pack("<4s4H2LH", END, 0, 0, min(stated, 0xFFFF), min(stated, 0xFFFF), 0, 0, 0)


def lying_count64(stated: int) -> bytes:
    """The same, with the 64-bit records."""
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, stated, stated, 46 * stated, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    return end64 + locator + struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def huge_extension(kind: bytes) -> bytes:
    """A tar whose extended header would be a gibibyte in memory, and is a megabyte on disk."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 1 << 30
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20), 9)


def renamed_inside(data: bytes, old: bytes, new: bytes) -> bytes:
    """Every occurrence of a name replaced by one as long."""
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


def link_then_file(kind: str) -> bytes:
    """A link that leads out, then a file through it."""
    if kind == "zip":
        data = zipped(OK, ("d", b"../../.."), mode=stat.S_IFLNK | 0o777)
        buffer = io.BytesIO(data)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("d/escaped", b"x")
        return buffer.getvalue()
    return tarred(OK, special("d", tarfile.SYMTYPE, "../../.."), ("d/escaped", b"x"))
