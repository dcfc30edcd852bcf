"""Reproducible archives, and what is kept out of them."""

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher import pack as pack_module
from publisher.pack import PackError, artifact_name, digest_and_size, pack
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from collections.abc import Mapping

TREE = {
    "plugin.py": b"print('hello')\n",
    "manifest.json": b'{"id": "golden"}\n',
    "empty": b"",
    "lib/a.py": b"A = 1\n",
    "lib/b.bin": bytes(range(256)),
    "lib.py": b"# sorts before lib/\n",
    "docs/Übersicht.md": "Grüße\n".encode(),
    "docs/日本.md": b"x\r\n",
}
GOLDEN = "a2ba54117a9646374b7a3846fa9d5fc89518d037e0d1e219d8a2f7c66e398161"
SECRET = b"-----BEGIN " + b"ENCRYPTED PRIVATE KEY-----\nMIIB\n"


def plant(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a tree."""
    for path, data in files.items():
        full = folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)
    return folder


def packed(folder: Path, **options: object) -> bytes:
    """Pack as golden 1.0.0."""
    return pack(folder, id="golden", version="1.0.0", **options)  # type: ignore[arg-type]


def names(data: bytes) -> list[str]:
    """The entries of an archive, without its top folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert all(name.startswith("golden/") for name in archive.namelist())
        return [name.removeprefix("golden/") for name in archive.namelist()]


def problems_of(folder: Path) -> tuple[str, ...]:
    """What keeps a folder from being packed."""
    with pytest.raises(PackError) as caught:
        packed(folder)
    assert isinstance(caught.value, PublishError)
    assert caught.value.hint
    return caught.value.problems


def test_golden_vector(tmp_path: Path) -> None:
    """The bytes are fixed: whoever packs this tree, anywhere, gets this digest."""
    data = packed(plant(tmp_path, TREE))
    assert hashlib.sha256(data).hexdigest() == GOLDEN
    digest, size = digest_and_size(data)
    assert (digest, size) == (f"sha256:{GOLDEN}", len(data))


def test_entries(tmp_path: Path) -> None:
    """Sorted by UTF-8 bytes; one time, one mode, stored, no extra fields, no folders; contents as they are."""
    data = packed(plant(tmp_path, TREE))
    assert names(data) == sorted(TREE, key=str.encode)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            assert archive.read(info) == TREE[info.filename.removeprefix("golden/")]
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644
            assert (info.create_system, info.compress_type, info.extra) == (3, zipfile.ZIP_STORED, b"")
            assert info.flag_bits == (0 if info.filename.isascii() else 0x800)


@pytest.mark.parametrize("seed", range(3))
def test_same_bytes_from_another_machine(tmp_path: Path, seed: int) -> None:
    """Creation order, times, modes, umask, locale, time zone and hash seed do not show."""
    chance = random.Random(seed)
    order = chance.sample(list(TREE), len(TREE))
    before = os.umask(chance.choice([0o000, 0o027, 0o077]))
    try:
        plant(tmp_path, {path: TREE[path] for path in order})
    finally:
        os.umask(before)
    for path in order:
        os.utime(tmp_path / path, (chance.randrange(2**31), chance.randrange(2**31)))
        (tmp_path / path).chmod(chance.choice([0o600, 0o644, 0o755]))
    (tmp_path / "nothing").mkdir()
    code = (
        "import sys; from pathlib import Path; from publisher.pack import pack; "
        "sys.stdout.buffer.write(pack(Path(sys.argv[1]), id='golden', version='1.0.0'))"
    )
    environ = {
        **os.environ,
        "LC_ALL": chance.choice(["C", "C.UTF-8", "tr_TR.UTF-8"]),
        "TZ": chance.choice(["UTC", "Pacific/Kiritimati"]),
        "PYTHONHASHSEED": str(seed),
    }
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        check=True,
        env=environ,
        cwd=Path(__file__).resolve().parent.parent,
    )
    assert hashlib.sha256(run.stdout).hexdigest() == GOLDEN


@given(
    tree=st.dictionaries(
        st.lists(st.sampled_from(["a", "b", "c-d", "e_f", "1"]), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=50),
        min_size=1,
        max_size=6,
    ).filter(lambda tree: not any(a != b and b.startswith(f"{a}/") for a in tree for b in tree))
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes]) -> None:
    """What was packed comes out again."""
    data = packed(plant(tmp_path_factory.mktemp("tree"), tree))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name.removeprefix("golden/"): archive.read(name) for name in archive.namelist()} == tree


def test_left_out(tmp_path: Path) -> None:
    """Version control, caches, environments and build output at the top are not part of a plugin."""
    kept = ["plugin.py", "assets/dist/app.js", "lib/build.py", "distance.txt"]
    dropped = [
        *(
            ".git/config",
            "lib/.git",
            ".hg/x",
            ".svn/x",
            "__pycache__/a.pyc",
            "lib/__pycache__/b.pyc",
            "c.pyc",
        ),
        *(".venv/bin/python", "venv/x", "node_modules/x/index.js", "ui/node_modules/y", "dist/old.zip"),
        *(".DS_Store", "lib/.DS_Store", "x.egg-info/PKG-INFO", ".mypy_cache/x", ".pytest_cache/x"),
        *(".ruff_cache/x", ".pluginignore"),
    ]
    plant(tmp_path, dict.fromkeys([*kept, *dropped], b""))
    assert names(packed(tmp_path)) == sorted(kept)


def test_ignore_file_and_exclude(tmp_path: Path) -> None:
    """Lines of .pluginignore and the caller's patterns leave out names, paths and whole folders."""
    paths = [
        "a.py",
        "tests/t.py",
        "lib/tests/t.py",
        "notes.psd",
        "lib/x.psd",
        "docs/big.pdf",
        "lib/docs/s.pdf",
    ]
    plant(tmp_path, dict.fromkeys(paths, b""))
    (tmp_path / ".pluginignore").write_text("# comment\n\ntests/\n/docs\n  *.psd \na.py/\n", encoding="utf-8")
    assert names(packed(tmp_path)) == ["a.py", "lib/docs/s.pdf"]
    assert names(packed(tmp_path, exclude=["lib"])) == ["a.py"]


def test_replaced_bytes(tmp_path: Path) -> None:
    """The manifest can be packed with the version that is being published, without writing it first."""
    data = packed(plant(tmp_path, TREE), replace={"manifest.json": b"new", "not-there": b"x"})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("golden/manifest.json") == b"new"
        assert "golden/not-there" not in archive.namelist()


REFUSED_NAMES = [
    ("a:b", "holds ':'"),
    ("a\\b", "holds '\\\\'"),
    ("what?", "holds '?'"),
    ("a\nb", "holds '\\n'"),
    ("a\x85b", "holds '\\x85'"),
    ("pipe|", "holds '|'"),
    ("dot.", "dot or a space"),
    ("space ", "dot or a space"),
    ("NUL", "is a device on Windows"),
    ("com1.txt", "is a device on Windows"),
    ("x" * 201, "longer than 200 characters"),
    ("ü" * 127, None),
    ("日" * 85, None),
    ("e\u0301", "composed form (NFC)"),
]


@pytest.mark.parametrize(("name", "reason"), REFUSED_NAMES)
def test_names_that_do_not_travel(tmp_path: Path, name: str, reason: str | None) -> None:
    """A name that some file system cannot hold, or reads as something else, is refused; for folders too."""
    for number, path in enumerate((name, f"{name}/file")):
        folder = plant(tmp_path / str(number), {"good": b"", path: b""})
        if reason is None:
            assert len(names(packed(folder))) == 2
        else:
            (problem,) = problems_of(folder)
            assert reason in problem
            assert "\n" not in problem


def test_undecodable_name(tmp_path: Path) -> None:
    """A name that is not UTF-8 is refused, and shown readably."""
    plant(tmp_path, {"good": b""})
    with open(os.fsencode(tmp_path) + b"/bad\xff", "wb"):  # noqa: PTH123  (a path of bytes)
        pass
    assert problems_of(tmp_path) == ("bad\\udcff: its name is not UTF-8",)


def test_names_equal_but_for_case(tmp_path: Path) -> None:
    """Two names that Windows and macOS take for one are refused, folders included."""
    plant(tmp_path, dict.fromkeys(["Readme", "README", "lib/a", "Lib/b", "lib/c"], b""))
    assert set(problems_of(tmp_path)) == {
        "Readme: differs from README only in case",
        "lib: differs from Lib only in case",
    }


def test_links_and_special_files(tmp_path: Path) -> None:
    """Links could lead anywhere, and a pipe has no contents; all are listed, none is followed or read."""
    plant(tmp_path, {"good": b"", "outside": b"", "lib/x": b""})
    (tmp_path / "file-link").symlink_to("good")
    (tmp_path / "folder-link").symlink_to("lib")
    (tmp_path / "broken-link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's path must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        assert problems_of(tmp_path) == (
            "broken-link: is a symbolic link; archives hold files only",
            "file-link: is a symbolic link; archives hold files only",
            "folder-link: is a symbolic link; archives hold files only",
            "pipe: is neither a file nor a folder",
            "socket: is neither a file nor a folder",
        )


def test_secrets(tmp_path: Path) -> None:
    """Keys and .env files are refused unless they are left out; a public key or an example is fine."""
    fine = {".env.example": b"", "pub.pem": b"-----BEGIN PUBLIC KEY-----\n", "note": b"PRIVATE KEY-----"}
    plant(tmp_path, {**fine, ".env": b"A=1", ".env.local": b"", "keys/signing": b"x\n" + SECRET})
    assert problems_of(tmp_path) == (
        ".env: holds secrets by convention; secrets must not be packed",
        ".env.local: holds secrets by convention; secrets must not be packed",
        "keys/signing: holds a private key; secrets must not be packed",
    )
    (tmp_path / ".pluginignore").write_text(".env\n.env.local\nkeys\n", encoding="utf-8")
    assert names(packed(tmp_path)) == sorted(fine)


def test_problems_come_together_and_show_no_secret(tmp_path: Path) -> None:
    """One run lists everything, and says nothing of what is inside."""
    plant(tmp_path, {"a:b": b"", "A": b"", "a": b"", "key": SECRET})
    (tmp_path / "link").symlink_to("A")
    (tmp_path / ".pluginignore").write_text("!keep\n", encoding="utf-8")
    with pytest.raises(PackError) as caught:
        packed(tmp_path)
    assert len(caught.value.problems) == 5
    assert "MIIB" not in str(caught.value)


@pytest.mark.parametrize("change", ["grow", "touch", "add", "remove", "link"])
def test_changed_while_packing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """A tree that something still writes to gives an error, not an archive of two halves."""
    plant(tmp_path, {"a": b"1", "b": b"2", "c": b"3"})
    read = pack_module._read

    def meddling(path: Path, shown: str, *rest: object) -> bytes:
        data = read(path, shown, *rest)  # type: ignore[arg-type]
        if shown == "b":
            match change:
                case "grow":
                    (tmp_path / "c").write_bytes(b"33")
                case "touch":
                    os.utime(tmp_path / "a", (1, 1))
                case "add":
                    (tmp_path / "d").write_bytes(b"")
                case "remove":
                    (tmp_path / "a").unlink()
                case _:
                    (tmp_path / "c").unlink()
                    (tmp_path / "c").symlink_to("a")
        return data

    monkeypatch.setattr(pack_module, "_read", meddling)
    problems = problems_of(tmp_path)
    assert any("changed while" in problem or "cannot be read" in problem for problem in problems)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files, or too large a tree, is refused before anything is read."""
    plant(tmp_path, {"a": b"12", "b": b"34"})
    monkeypatch.setattr(pack_module, "MAX_FILES", 1)
    assert problems_of(tmp_path) == ("holds 2 files; at most 1 can be packed",)
    monkeypatch.setattr(pack_module, "MAX_FILES", 2)
    monkeypatch.setattr(pack_module, "MAX_ARTIFACT_SIZE", 3)
    assert problems_of(tmp_path) == ("holds more than 3 bytes, the most that an artifact may have",)
    monkeypatch.setattr(pack_module, "MAX_ARTIFACT_SIZE", 4)  # the files fit, the archive's headers do not
    assert problems_of(tmp_path) == ("holds more than 4 bytes, the most that an artifact may have",)


def test_nothing_to_pack(tmp_path: Path) -> None:
    """An empty folder and a missing one are errors that say so."""
    assert problems_of(tmp_path) == ("holds no file to pack",)
    with pytest.raises(ConfigError, match="is no folder"):
        packed(tmp_path / "missing")


@pytest.mark.parametrize(
    ("plugin_id", "version"), [("../x", "1.0.0"), ("x", "1.0"), ("con", "1.0.0"), ("x", "../1")]
)
def test_archive_names(plugin_id: str, version: str) -> None:
    """The name is made of a checked id and version only."""
    assert artifact_name("x", "1.0.0") == "x-1.0.0.zip"
    assert artifact_name("x", "1.0.0-rc.1", suffix="python") == "x-1.0.0-rc.1-python.zip"
    with pytest.raises(ValueError, match=r"expected|device"):
        artifact_name(plugin_id, version)
