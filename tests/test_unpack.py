"""Archives from hell, and from everybody else: what is refused, and that the rest comes out as it was packed."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import hell
from support.hell import CENTRAL, END, LOCAL, OK, changed, pax, special, tarred, zipped

from publisher.pack import pack
from registry_client.errors import InstallError, UnsafePathError
from registry_client.installer.archives.archive import arrange, entries
from registry_client.installer.archives.rules import Entry, Limits
from registry_client.installer.archives.unpack import Unpacked, compare, unpack
from registry_client.portable import name_problem


def saved(folder: Path, data: bytes) -> Path:
    """An archive on disk, under a name that says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "packed"
    path.write_bytes(data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# name of the case: archive's name, its bytes, what the message says; True where a name or a kind is what is wrong
HELL: dict[str, tuple[str, bytes, str, bool]] = {
    "zip slip": ("a.zip", zipped(OK, ("../../escaped", b"x")), "leads out", True),
    "slip inside": ("a.zip", zipped(OK, ("a/../../escaped", b"x")), "leads out", True),
    "absolute": ("a.zip", zipped(OK, ("/etc/passwd", b"x")), "absolute", True),
    "drive": ("a.zip", zipped(OK, ("C:/x", b"x")), "absolute", True),
    "drive, relative": ("a.zip", zipped(OK, ("C:x", b"x")), "absolute", True),
    "drive, backslash": ("a.zip", zipped(OK, ("C:\\x", b"x")), "absolute", True),
    "backslash": ("a.zip", zipped(OK, ("..\\..\\x", b"x")), "backslash", True),
    "UNC": ("a.zip", zipped(OK, ("\\\\host\\share\\x", b"x")), "backslash", True),
    "stream": ("a.zip", zipped(OK, ("file:stream", b"x")), "holds ':'", True),
    "NUL": (
        "a.zip",
        hell.renamed_inside(zipped(OK, ("good.py_evil", b"x")), b"good.py_evil", b"good.py\0evil"),
        r"holds '\\x00'",
        True,
    ),
    "control": ("a.zip", zipped(OK, ("a\x1b[31m", b"x")), r"holds '\\x1b'", True),
    "newline": ("a.zip", zipped(OK, ("a\nb", b"x")), "holds", True),
    "device": ("a.zip", zipped(OK, ("lib/NUL.txt", b"x")), "device", True),
    "final dot": ("a.zip", zipped(OK, ("a.", b"x")), "dot or a space", True),
    "final space": ("a.zip", zipped(OK, ("a /b", b"x")), "dot or a space", True),
    "empty name": ("a.zip", zipped(OK, ("a//b", b"x")), "empty name", True),
    "no name": ("a.zip", zipped(OK, ("", b"x")), "empty name", True),
    "dot inside": ("a.zip", zipped(OK, ("a/./b", b"x")), "empty name or '.'", True),
    "long name": ("a.zip", zipped(OK, ("x" * 201, b"x")), "longer than 200", True),
    "long path": ("a.zip", zipped(OK, ("/".join(["x" * 100] * 4), b"x")), "longer than 400", True),
    "deep": ("a.zip", zipped(OK, ("/".join("x" * 33), b"x")), "deeper than 32", True),
    "decomposed": ("a.zip", zipped(OK, ("e\u0301", b"x")), "composed form", True),
    "same but for case": ("a.zip", zipped(("A.py", b"1"), ("a.py", b"2")), "only in case", True),
    "folders but for case": ("a.zip", zipped(("Lib/a", b"1"), ("lib/b", b"2")), "only in case", True),
    "NFC and NFD": ("a.zip", zipped(("\u00e9", b"1"), ("e\u0301", b"2")), "composed form", True),
    "sharp s": ("a.zip", zipped(("stra\u00dfe", b"1"), ("STRASSE", b"2")), "only in case", True),
    "twice": ("a.zip", zipped(OK, OK), "same name", True),
    "file, then folder": ("a.zip", zipped(OK, ("a", b"1"), ("a/b", b"2")), "same name", True),
    "folder, then file": ("a.zip", zipped(OK, ("a/b", b"1"), ("a", b"2")), "same name", True),
    "receipt smuggled": ("a.zip", zipped(OK, (".plugin/receipt.json", b"{}")), "reserved", True),
    "receipt below a top folder": (
        "a.zip",
        zipped(("top/a", b""), ("top/.Plugin/receipt.json", b"{}")),
        "reserved",
        True,
    ),
    "area smuggled": ("a.whl", zipped(OK, (".registry/installed.json", b"{}")), "reserved", True),
    "link": ("a.zip", zipped(OK, ("l", b"/etc"), mode=stat.S_IFLNK | 0o777), "symbolic link", True),
    "file through a link": ("a.zip", hell.link_then_file("zip"), "symbolic link", True),
    "pipe": ("a.zip", zipped(OK, ("p", b""), mode=stat.S_IFIFO | 0o644), "neither", True),
    "folder as file": ("a.zip", zipped(OK, ("p", b""), mode=stat.S_IFDIR | 0o755), "neither", True),
    "unmarked name": (
        "a.zip",
        hell.renamed_inside(zipped(OK, ("ab.py", b"x")), b"ab.py", "\u00e9.py".encode()),
        "not marked",
        True,
    ),
    "folder with contents": ("a.zip", zipped(OK, ("a/", b"xx")), "folder with contents", False),
    "encrypted": (
        "a.zip",
        changed(changed(zipped(OK), CENTRAL, 8, b"\x01"), LOCAL, 6, b"\x01"),
        "encrypted",
        False,
    ),
    "packed otherwise": ("a.zip", zipped(OK, method=zipfile.ZIP_LZMA), "not supported", False),
    "overlapping": ("a.zip", hell.overlapping(), "overlaps", False),
    "quoted": ("a.zip", hell.nested_overlap(), "overlaps", False),
    "name in header": ("a.zip", changed(zipped(OK), LOCAL, 30, b"P"), "differ", False),
    "other name in header": ("a.zip", hell.two_names(), "differ", False),
    "size in header": ("a.zip", changed(zipped(OK), LOCAL, 22, b"\x01"), "differ", False),
    "size": (
        "a.zip",
        changed(changed(zipped(OK), CENTRAL, 24, b"\x63"), LOCAL, 22, b"\x63"),
        "not the 99 bytes",
        False,
    ),
    "longer than stated": ("a.zip", hell.longer_than_stated(), "not the 100 bytes", False),
    "checksum": (
        "a.zip",
        changed(changed(zipped(OK), CENTRAL, 16, b"\0\0"), LOCAL, 14, b"\0\0"),
        "checksum",
        False,
    ),
    "contents": ("a.zip", changed(zipped(OK, method=0), b"hello", 0, b"HELLO"), "checksum", False),
    "prefix": ("a.zip", b"#!/bin/sh\n" + zipped(OK), "does not stand where", False),
    "gap": (
        "a.zip",
        changed(
            changed(b"hidden" + zipped(OK), CENTRAL, 42, b"\x06"),
            END,
            16,
            (zipped(OK).rfind(CENTRAL) + 6).to_bytes(4, "little"),
        ),
        "belong to none",
        False,
    ),
    "comment that hides": ("a.zip", zipped(OK) + b"more", "end record", False),
    "cut off": ("a.zip", zipped(OK)[:-10], "end is missing", False),
    "no zip": ("a.zip", b"hello", "no ZIP", False),
    "empty file": ("a.zip", b"", "no ZIP", False),
    "no entries": ("a.zip", zipped(), "holds no file", False),
    "only folders": ("a.zip", zipped(("a/", b"")), "holds no file", False),
    "count lies": ("a.zip", changed(zipped(OK), END, 8, b"\x02\0\x02\0"), "does not hold the entries", False),
    "count of millions": ("a.zip", hell.lying_count64(10_000_000), "at most 100000", False),
    "ratio": ("a.zip", zipped(("a", bytes(12 << 20))), "200 times", False),
    "slip, tar": ("a.tar.gz", tarred(OK, ("../escaped", b"x")), "leads out", True),
    "absolute, tar": ("a.tgz", tarred(OK, ("/etc/passwd", b"x")), "absolute", True),
    "file through a link, tar": ("a.tar.gz", hell.link_then_file("tar"), "symbolic link", True),
    "hard link": ("a.tar.gz", tarred(OK, special("l", tarfile.LNKTYPE, "plugin.py")), "hard link", True),
    "hard link out": ("a.tar.gz", tarred(OK, special("l", tarfile.LNKTYPE, "../x")), "hard link", True),
    "device, tar": ("a.tar.gz", tarred(OK, special("d", tarfile.CHRTYPE)), "device", True),
    "block device": ("a.tar.gz", tarred(OK, special("d", tarfile.BLKTYPE)), "device", True),
    "pipe, tar": ("a.tar.gz", tarred(OK, special("d", tarfile.FIFOTYPE)), "pipe", True),
    "sparse": ("a.tar.gz", tarred(OK, special("d", tarfile.GNUTYPE_SPARSE)), "sparse", True),
    "contiguous": ("a.tar.gz", tarred(OK, special("d", tarfile.CONTTYPE)), "of kind", True),
    "twice, tar": ("a.tar.gz", tarred(OK, OK), "same name", True),
    "not UTF-8": (
        "a.tar",
        tarred(OK, ("b\udcff", b""), packed=False),
        "not UTF-8",
        True,
    ),
    "pax path": ("a.tar.gz", pax({"path": "../escaped"}), "leads out", True),
    "pax size": ("a.tar.gz", pax({"size": "1"}), "'size'", False),
    "pax link": ("a.tar.gz", pax({"linkpath": "/etc"}), "'linkpath'", False),
    "pax sparse": ("a.tar.gz", pax({"GNU.sparse.major": "1"}), "'GNU.sparse.major'", False),
    "pax charset": ("a.tar.gz", pax({"hdrcharset": "BINARY"}), "'hdrcharset'", False),
    "pax of many": ("a.tar.gz", pax({f"x{n}": "" for n in range(300)}), "cannot be read", False),
    "pax path for all": ("a.tar.gz", pax({"path": "x"}, everywhere=True), "'path'", False),
    "huge pax header": ("a.tar.gz", hell.huge_extension(tarfile.XHDTYPE), "extended header of", False),
    "huge long name": (
        "a.tar.gz",
        hell.huge_extension(tarfile.GNUTYPE_LONGNAME),
        "extended header of",
        False,
    ),
    "ratio, tar": ("a.tar.gz", tarred(("a", bytes(12 << 20))), "200 times", False),
    "cut off, gzip": ("a.tar.gz", tarred(OK)[:-12], "cut off", False),
    "cut off, tar": ("a.tar", tarred(OK, packed=False)[:700], "cut off", False),
    "no end, tar": ("a.tar", tarred(OK, packed=False)[:1024], "cut off", False),
    "checksum, gzip": ("a.tar.gz", changed(tarred(OK), tarred(OK)[-8:], 0, b"\0"), "damaged", False),
    "more after the end": (
        "a.tar",
        tarred(OK, packed=False) + tarred(OK, packed=False),
        "after its end",
        False,
    ),
    "no tar": ("a.tar", b"x" * 1024, "no tar", False),
    "no gzip": ("a.tar.gz", tarred(OK, packed=False), "damaged", False),
    "file with a path": ("../plugin.py", b"x", "leads out", True),
    "file with a folder": ("a/plugin.py", b"x", "plain file name", True),
}


@pytest.mark.parametrize("case", HELL)
def test_archives_from_hell(tmp_path: Path, case: str) -> None:
    """Refused with an error that names archive and rule, nothing outside the folder, nothing odd inside."""
    name, data, expected, is_unsafe = HELL[case]
    target = tmp_path / "in" / "deep" / "er" / "plugin"
    target.mkdir(parents=True)
    archive = saved(tmp_path / "archives", data)
    before = tree(tmp_path)
    with pytest.raises(InstallError, match=expected) as caught:
        unpack(archive, name, target)
    assert isinstance(caught.value, UnsafePathError) is is_unsafe
    assert caught.value.hint
    assert name in str(caught.value)
    assert str(caught.value).isprintable()
    after = tree(tmp_path)
    outside = {path for path in after if not path.startswith("in/deep/er/plugin/")}
    assert outside == set(before)
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    if is_unsafe:
        assert after == before, "names are checked before anything is written"


def test_what_is_fine(tmp_path: Path) -> None:
    """The same helpers make archives that are accepted: the table above shows what it says."""
    for number, (name, data) in enumerate(
        [
            ("a.zip", zipped(OK)),
            ("a.ZIP", zipped(OK, method=0)),
            ("a.whl", zipped(OK, mode=stat.S_IFREG | 0o755)),
            ("a.tar.gz", tarred(OK)),
            ("a.tgz", tarred(OK, special("d", tarfile.DIRTYPE))),
            ("a.tar", tarred(OK, packed=False)),
            ("a.tar.gz", pax({"comment": "a commit", "mtime": "1.5"}, everywhere=True)),
            ("a.tar.gz", pax({"path": "plugin.py"}, ("other.py", OK[1]))),
            ("a.tar.gz", tarred(("./plugin.py", OK[1]))),
            ("a.zip", zipped(("lib/", b""), ("lib/", b""), OK)),
            ("plugin.py", OK[1]),
        ]
    ):
        target = tmp_path / str(number)
        done = unpack(saved(tmp_path, data), name, target)
        assert done == Unpacked(1, len(OK[1]), stripped=False), name
        assert tree(target) == dict([OK])
        assert compare(saved(tmp_path, data), name, target) == []


def test_written_as_a_stream(tmp_path: Path) -> None:
    """A ZIP whose sizes follow the contents, as pipes are packed, is read; so is a long GNU name."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"1" * 5000)
        archive.writestr("b", b"2")
    unpack(saved(tmp_path, bytes(pipe.data)), "a.zip", tmp_path / "zip")
    assert tree(tmp_path / "zip") == {"a": b"1" * 5000, "b": b"2"}
    long = "/".join(["name" * 10] * 5)
    unpack(saved(tmp_path, tarred((long, b"3"), OK)), "a.tar.gz", tmp_path / "tar")
    assert tree(tmp_path / "tar") == {long: b"3", **dict([OK])}


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize(
    ("items", "name", "expected"),
    [
        ([("top/a", b"1"), ("top/b/c", b"2")], None, {"a", "b/c"}),
        ([("top/a", b"1"), ("other", b"2")], None, {"top/a", "other"}),
        ([("top/a", b"1"), ("topper/b", b"2")], None, {"top/a", "topper/b"}),
        ([("top", b"1")], None, {"top"}),
        ([("top/sub/a", b"1")], None, {"sub/a"}),
        ([("package/a", b"1")], "a.whl", {"package/a"}),
    ],
)
def test_one_top_folder(
    tmp_path: Path, make: object, items: list[tuple[str, bytes]], name: str | None, expected: set[str]
) -> None:
    """It is left out if everything stands in it, except in wheels, where it is a package."""
    if name and make is tarred:
        make = zipped
    data = make(*items)  # type: ignore[operator]
    name = name or ("a.zip" if make is zipped else "a.tar.gz")
    done = unpack(saved(tmp_path, data), name, tmp_path / "out")
    assert set(tree(tmp_path / "out")) == expected
    assert done.stripped == (expected != {path for path, _ in items})
    assert {path for path, _, pieces in entries(saved(tmp_path, data), name) if b"".join(pieces)} == expected


def test_modes(tmp_path: Path) -> None:
    """0644 and 0755, whatever archive and umask say: no executables, no setuid, nothing that the host may not read."""
    wicked = tarfile.TarInfo("lib/run")
    wicked.mode = 0o6777
    old = os.umask(0o077)
    try:
        unpack(saved(tmp_path, tarred(OK, wicked)), "a.tar.gz", tmp_path / "tar")
        unpack(
            saved(tmp_path, zipped(("lib/run", b""), mode=stat.S_IFREG | 0o6777)), "a.whl", tmp_path / "zip"
        )
    finally:
        os.umask(old)
    for top in (tmp_path / "tar", tmp_path / "zip"):
        for path in (top, *top.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_nested_archives_stay_closed(tmp_path: Path) -> None:
    """An archive in an archive is a file."""
    inner = zipped(("../x", b""))
    unpack(saved(tmp_path, zipped(("inner.zip", inner))), "a.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {"inner.zip": inner}


@pytest.mark.parametrize(("name", "make"), [("a.zip", hell.many_zip), ("a.tar.gz", hell.many_tar)])
def test_a_hundred_thousand_entries(tmp_path: Path, name: str, make: object) -> None:
    """They are accepted, within bounds; one more is refused, before anything is written."""
    archive = saved(tmp_path, make(100_000))  # type: ignore[operator]
    assert sum(1 for _ in entries(archive, name)) == 100_000
    archive = saved(tmp_path, make(100_001))  # type: ignore[operator]
    before = time.process_time()
    with pytest.raises(InstallError, match="100000"):
        unpack(archive, name, tmp_path / "out")
    assert time.process_time() - before < (0.5 if name == "a.zip" else 10)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data", [hell.lying_count64(10_000_000), hell.lying_count64(2**57), hell.lying_count(60_000)]
)
def test_refused_before_it_is_allocated(tmp_path: Path, data: bytes) -> None:
    """A directory of millions costs no memory."""
    archive = saved(tmp_path, data)
    list(entries(saved(tmp_path / "x", zipped(OK)), "a.zip"))  # imports
    tracemalloc.start()
    try:
        with pytest.raises(InstallError):
            unpack(archive, "a.zip", tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.bin"])
def test_memory_stays_small(tmp_path: Path, name: str) -> None:
    """An entry of 40 MB passes through in pieces."""
    noise = random.Random(1).randbytes(4 << 20) * 10
    match name:
        case "a.zip":
            data = zipped(("a", noise))
        case "a.bin":
            data = noise
        case _:
            data = tarred(("a", noise), packed=name != "a.tar")
    archive = saved(tmp_path, data)
    tracemalloc.start()
    try:
        unpack(archive, name, tmp_path / "out")
        assert compare(archive, name, tmp_path / "out") == []
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.bin"])
def test_limits(tmp_path: Path, name: str) -> None:
    """The size limit counts all contents, and the stated one is refused before anything is written where it is stated."""
    items = (("a", b"1" * 600), ("b", b"2" * 600))
    data = {"a.zip": zipped(*items), "a.tar.gz": tarred(*items), "a.tar": tarred(*items, packed=False)}
    archive = saved(tmp_path, data.get(name, b"x" * 1200))
    with pytest.raises(InstallError, match="larger than 1100 bytes"):
        unpack(archive, name, tmp_path / "out", Limits(size=1100))
    assert tree(tmp_path / "out") == {} or name == "a.bin"
    big = Limits(size=1 << 20)
    assert unpack(archive, name, tmp_path / "fine", big).size == 1200


def test_folders_that_no_entry_names(tmp_path: Path) -> None:
    """A few entries may not stand for a million folders: those in their paths are counted too."""
    deep = [("/".join([f"top{number}", *"abcdefgh", "file"]), b"") for number in range(10)]
    archive = saved(tmp_path, zipped(*deep))
    with pytest.raises(InstallError, match="more than 20 folders"):
        unpack(archive, "a.zip", tmp_path / "out", Limits(entries=20))
    assert not (tmp_path / "out").exists()
    assert unpack(archive, "a.zip", tmp_path / "out", Limits(entries=50)).files == 10


@pytest.mark.parametrize(
    "other", [Entry("x/new.py", False, 5), Entry("x/plugin.py", False, 6), Entry("xx/y", False, 1)]
)
def test_another_archive_the_second_time(other: Entry) -> None:
    """A tar is read twice; an entry that was not there when names were checked is refused, never placed."""
    layout = arrange([Entry("x/plugin.py", False, 5)], "a.tar", strip=True)
    assert layout.place(Entry("x/plugin.py", False, 5), "a.tar") == "plugin.py"
    with pytest.raises(InstallError, match="was changed while"):
        layout.place(other, "a.tar")


def test_full_disk_and_existing_files(tmp_path: Path) -> None:
    """What the disk refuses is an InstallError; an existing file is not overwritten, nor a link followed."""
    archive = saved(tmp_path, zipped(OK))
    out = tmp_path / "out"
    out.mkdir()
    (out / "plugin.py").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstallError, match="cannot be unpacked"):
        unpack(archive, "a.zip", out)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(InstallError, match="cannot be read"):
        unpack(tmp_path / "missing", "a.zip", tmp_path / "other")


def test_compare(tmp_path: Path) -> None:
    """Each file that differs, is missing or was added is named; links are not followed; bytecode is left alone."""
    items = [("a.py", b"1"), ("b.py", b"2"), ("lib/c.py", b"3"), ("lib/d.py", b"4"), ("e", b"5"), ("f", b"6")]
    archive, out = saved(tmp_path, zipped(*items)), tmp_path / "out"
    unpack(archive, "a.zip", out)
    assert compare(archive, "a.zip", out) == []
    (out / ".plugin").mkdir()
    (out / ".plugin" / "receipt.json").write_bytes(b"{}")
    for cached in ("__pycache__/a.cpython-311.pyc", "lib/__pycache__/c.cpython-312.opt-1.pyc"):
        (out / cached).parent.mkdir(exist_ok=True)
        (out / cached).write_bytes(b"bytecode")
    assert compare(archive, "a.zip", out) == []
    (out / "a.py").write_bytes(b"X")
    (out / "b.py").unlink()
    (out / "e").write_bytes(b"55")
    (out / "f").unlink()
    (out / "f").symlink_to(tmp_path / "packed")
    (out / "new").write_bytes(b"")
    (out / "__pycache__" / "evil.cpython-311.pyc").write_bytes(b"")
    (out / "__pycache__" / "evil.py").write_bytes(b"")
    (out / "lib" / "d.py").unlink()
    (out / "lib" / "d.py").mkdir()
    (out / "lib" / "__pycache__").rename(tmp_path / "cache")
    (out / "lib" / "__pycache__").symlink_to(tmp_path / "cache")
    assert compare(archive, "a.zip", out) == [
        "__pycache__/evil.cpython-311.pyc: was added",
        "__pycache__/evil.py: was added",
        "a.py: differs",
        "b.py: is missing",
        "e: differs",
        "f: is a link or no file",
        "lib/__pycache__: was added",
        "lib/d.py: is missing",
        "new: was added",
    ]
    with pytest.raises(InstallError, match="cannot be read"):
        compare(archive, "a.zip", tmp_path / "nowhere")


NAME = st.text("abcXY.-_ é日'~$", min_size=1, max_size=6).filter(lambda name: name_problem(name) is None)
TREES = st.dictionaries(
    st.lists(NAME, min_size=1, max_size=4).map("/".join), st.binary(max_size=200), min_size=1, max_size=6
)


@given(files=TREES, packed=st.sampled_from(["a.zip", "a.whl", "a.tar.gz", "a.tar"]))
def test_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], packed: str
) -> None:
    """Whatever is unpacked stays inside and equals what was packed; what clashes is refused."""
    folder = tmp_path_factory.mktemp("hypothesis")
    data = {
        "a.tar": lambda: tarred(*files.items(), packed=False),
        "a.tar.gz": lambda: tarred(*files.items()),
    }.get(packed, lambda: zipped(*files.items()))()
    archive = saved(folder / "archives", data)
    try:
        done = unpack(archive, packed, folder / "out")
    except UnsafePathError:
        parts = {"/".join(p.split("/")[:n]) for p in files for n in range(1, p.count("/") + 2)}
        clash = len({part.casefold() for part in parts}) < len(parts)
        assert (
            clash
            or any(a != b and b.startswith(f"{a}/") for a in files for b in files)
            or any(part.casefold() in {".plugin", ".registry"} for part in parts)
        )
        return
    top = next(iter(files)).partition("/")[0] + "/" if done.stripped else ""
    assert tree(folder / "out") == {path.removeprefix(top): body for path, body in files.items()}
    assert {path.name for path in folder.iterdir()} == {"archives", "out"}


@given(names=st.lists(st.text(max_size=12), min_size=1, max_size=3), slashes=st.booleans())
def test_any_name_at_all(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], *, slashes: bool
) -> None:
    """Names of any characters: refused, or written inside under that very name."""
    folder = tmp_path_factory.mktemp("hypothesis")
    path = ("/" if slashes else "../").join(names)
    try:
        data = zipped((path, b"x"), ("other", b"y"))
    except (UnicodeEncodeError, ValueError):
        return
    try:
        unpack(saved(folder / "archives", data), "a.whl", folder / "out")
    except InstallError as e:
        assert str(e).isprintable()  # noqa: PT017  (it may be refused or not)
    else:
        kept = path.split("/")
        while kept[0] == ".":
            del kept[0]
        assert set(tree(folder / "out")) == {"/".join(kept), "other"}
    assert {path.name for path in folder.iterdir()} <= {"archives", "out"}


@given(seed=st.integers(0, 2**32), name=st.sampled_from(["a.zip", "a.tar.gz", "a.tar"]))
def test_damage(tmp_path_factory: pytest.TempPathFactory, seed: int, name: str) -> None:
    """Bytes changed anywhere give an InstallError or the same files, never another error, never other files unnoticed."""
    chance = random.Random(seed)
    items = [("a/b.py", b"1" * 300), ("a/c.py", chance.randbytes(50)), ("d", b"")]
    data = bytearray(zipped(*items) if name == "a.zip" else tarred(*items, packed=name != "a.tar"))
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    folder = tmp_path_factory.mktemp("hypothesis")
    try:
        unpack(saved(folder / "archives", bytes(data)), name, folder / "out")
    except InstallError:
        pass
    else:
        if (
            name == "a.zip"
        ):  # a plain tar has no checksum of contents, and gzip's header names nothing that counts
            assert sorted(tree(folder / "out").values()) == sorted(body for _, body in items)
    assert {path.name for path in folder.iterdir()} <= {"archives", "out"}


def test_what_is_packed_here_unpacks_here(tmp_path: Path) -> None:
    """The project's own archives pass, and one top folder is left out."""
    source = tmp_path / "source"
    for path, body in {"plugin.py": b"x", "docs/Übersicht.md": b"y", "lib/a.py": b""}.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(body)
    archive = saved(tmp_path, pack(source, id="golden", version="1.0.0"))
    assert unpack(archive, "golden-1.0.0.zip", tmp_path / "out") == Unpacked(3, 2, stripped=True)
    assert tree(tmp_path / "out") == tree(source)


def test_gzip_of_many_parts(tmp_path: Path) -> None:
    """A gzip file may be several one after another."""
    data = tarred(OK, packed=False)
    unpack(saved(tmp_path, gzip.compress(data[:600]) + gzip.compress(data[600:])), "a.tgz", tmp_path / "out")
    assert tree(tmp_path / "out") == dict([OK])
