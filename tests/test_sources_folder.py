"""Folders and archives on this machine, and what they say of themselves."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.errors import ConfigError, InstallError, UnsafePathError
from registry_client.installer.elsewhere import folder as folder_module
from registry_client.installer.elsewhere.folder import pack_folder, take_archive
from registry_client.installer.elsewhere.local import known_version, made_valid, read_local
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.names import check_plugin_id, parse_version

OWN = {
    "id": "sms",
    "name": "SMS",
    "version": "1.2.0",
    "requires": {
        "host": {"nexus": ">=1"},
        "python": ">=3.11",
        "platforms": ["linux"],
        "plugins": {"auth": ">=1,<2"},
        "packages": ["httpx>=0.24"],
        "system": ["redis-server>=6.0"],
    },
    "permissions": ["database.read", "events.publish"],
}
FLAT = {
    "name": "my_awesome_plugin",
    "version": "1.0.0",
    "python_version": ">=3.11",
    "nexus_version": ">=0.1.0",
    "dependencies": [],
    "permissions": ["database.read"],
}
RICH = {
    "name": "my_awesome_plugin",
    "version": "1.0.0",
    "dependencies": {
        "nexus": ">=1.0.0",
        "python": ">=3.11",
        "packages": ["pydantic>=2.0.0"],
        "plugins": ["auth_plugin>=1.0.0", "email_plugin"],
        "system": ["redis-server>=6.0"],
    },
    "permissions": ["database.read"],
    "compatibility": {"platforms": ["linux", "win32"]},
}


GOLDEN = "sha256:51f7e844b737f4f940a78fe06b3fefd84edcdc0ca6d1434cc93b943f4f668f9c"


def write(top: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return top


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_folder_becomes_one_archive(tmp_path: Path) -> None:
    """Files stand in one folder named after the plugin; caches and what the installer keeps for itself do not come along."""
    plugin = write(
        tmp_path / "sms",
        {
            "manifest.json": json.dumps(OWN),
            "code/x.py": "x",
            "code/__pycache__/x.pyc": "x",
            ".git/config": "x",
            "node_modules/a.js": "x",
            ".plugin/receipt.json": "{}",
            ".registry/lock": "",
        },
    )
    packed = pack_folder(plugin, tmp_path / "into")
    assert (packed.id, packed.version, packed.name) == ("sms", "1.2.0", "sms-1.2.0.zip")
    data = packed.path.read_bytes()
    assert packed.path.name == packed.digest.hex == hashlib.sha256(data).hexdigest()
    assert packed.size == len(data)
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.namelist() == ["sms/code/x.py", "sms/manifest.json"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert packed.permissions == ("database.read", "events.publish")
    assert packed.requires is not None
    assert packed.requires.plugins == {"auth": ">=1,<2"}
    assert packed.notes == ()
    assert [path.name for path in (tmp_path / "into").iterdir()] == [packed.digest.hex]


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Neither times, modes, the folder's place nor the order of writing are in an archive."""
    files: dict[str, bytes | str] = {"b/ü.txt": "1", "a.txt": "2", "b.txt": ""}
    one = write(tmp_path / "one" / "x", files)
    two = write(tmp_path / "two" / "x", dict(reversed(files.items())))
    os.utime(two / "a.txt", (0, 0))
    (two / "a.txt").chmod(0o755)
    first, second = pack_folder(one, tmp_path / "into"), pack_folder(two, tmp_path / "into2")
    assert first.digest == second.digest
    assert first.digest == GOLDEN
    assert (first.id, first.version) == ("x", "0.0.0")
    assert pack_folder(one, tmp_path / "into", id="y").digest != first.digest


@pytest.mark.skipif(os.name == "nt", reason="links and odd names need POSIX")
def test_everything_that_cannot_be_packed_is_listed(tmp_path: Path) -> None:
    """Links are refused, not followed; so are names that other systems cannot hold."""
    plugin = write(tmp_path / "x", {"a.txt": "1", "A.txt": "2", "con.py": "3", "b:c": "4"})
    (plugin / "out").symlink_to("/etc")
    (plugin / "file").symlink_to("a.txt")
    os.mkfifo(plugin / "pipe")
    with pytest.raises(InstallError, match="6 problems") as caught:
        pack_folder(plugin, tmp_path / "into")
    for words in ("out: is a symbolic link", "file: is a symbolic", "only in case", "device", "b:c", "pipe"):
        assert words in caught.value.message
    assert not (tmp_path / "into").exists()


def test_what_is_no_folder(tmp_path: Path) -> None:
    """A missing and an empty folder are named."""
    with pytest.raises(ConfigError, match="is no folder"):
        pack_folder(tmp_path / "x", tmp_path / "into")
    (tmp_path / "x").mkdir()
    with pytest.raises(InstallError, match="holds no file"):
        pack_folder(tmp_path / "x", tmp_path / "into")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files, too many bytes, and too deep."""
    plugin = write(tmp_path / "x", {f"{number}.txt": "1234" for number in range(5)})
    monkeypatch.setattr(folder_module, "MAX_FILES", 4)
    with pytest.raises(InstallError, match="more than 4 files"):
        pack_folder(plugin, tmp_path / "into")
    monkeypatch.setattr(folder_module, "MAX_FILES", 5)
    monkeypatch.setattr(folder_module, "MAX_SIZE", 19)
    with pytest.raises(InstallError, match="more than 19 bytes"):
        pack_folder(plugin, tmp_path / "into")
    monkeypatch.undo()
    write(tmp_path / "y", {"d/" * 31 + "x": "1"})
    with pytest.raises(InstallError, match="deeper than 30"):
        pack_folder(tmp_path / "y", tmp_path / "into")


def test_a_change_meanwhile_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that grows, or comes, while the folder is packed makes no mixture."""
    plugin = write(tmp_path / "x", {"a.txt": "1", "b.txt": "2"})
    copy = folder_module._copy

    def late(path: Path, name: str, *rest: object) -> None:
        if name == "a.txt":
            (plugin / "b.txt").write_text("longer")
        copy(path, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "_copy", late)
    with pytest.raises(InstallError, match=r"b\.txt changed"):
        pack_folder(plugin, tmp_path / "into")

    def more(path: Path, name: str, *rest: object) -> None:
        copy(path, name, *rest)  # type: ignore[arg-type]
        (plugin / "c.txt").write_text("new")

    monkeypatch.setattr(folder_module, "_copy", more)
    with pytest.raises(InstallError, match="changed"):
        pack_folder(plugin, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("top", ["", "sms-1/"])
@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar"])
def test_an_archive_is_taken_as_it_is(tmp_path: Path, top: str, suffix: str) -> None:
    """Every format, with one top folder or without: copied byte for byte, its manifest read from inside."""
    files: dict[str, bytes | str] = {f"{top}manifest.json": json.dumps(OWN), f"{top}a/b.txt": "x"}
    path = tmp_path / f"Some Thing{suffix.upper() if suffix == '.zip' else suffix}"
    if suffix == ".zip":
        path.write_bytes(zipped(files))
    else:
        with tarfile.open(path, "w:gz" if suffix == ".tar.gz" else "w") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(str(data).encode()))
    packed = take_archive(path, tmp_path / "into")
    assert (packed.id, packed.version, packed.name) == ("sms", "1.2.0", path.name)
    assert packed.path.read_bytes() == path.read_bytes()
    assert packed.permissions == ("database.read", "events.publish")
    assert take_archive(path, tmp_path / "into", id="other").notes == ("it calls itself 'sms'",)


def test_a_wheel_says_what_it_is_in_its_metadata(tmp_path: Path) -> None:
    """Name, version and needs come from METADATA; the manifest in its package adds id and permissions."""
    metadata = (
        "Metadata-Version: 2.1\nName: Nexus.Tool\nVersion: 1.1rc2\nRequires-Python: >=3.10\n"
        "Requires-Dist: httpx>=0.24\nRequires-Dist: pytest; extra == 'test'\n\nHello\n"
    )
    files: dict[str, bytes | str] = {"tool/__init__.py": "", "nexus_tool-1.1rc2.dist-info/METADATA": metadata}
    path = tmp_path / "nexus_tool-1.1rc2-py3-none-any.whl"
    path.write_bytes(zipped(files))
    packed = take_archive(path, tmp_path / "into")
    assert (packed.id, packed.version, packed.name) == ("nexus-tool", "1.1.0-rc.2", path.name)
    assert packed.requires is not None
    assert (packed.requires.python, packed.requires.packages) == (">=3.10", ("httpx>=0.24",))
    path.write_bytes(zipped({**files, "tool/manifest.json": json.dumps(OWN)}))
    assert take_archive(path, tmp_path / "into").id == "sms"


def test_an_odd_file_name_is_replaced(tmp_path: Path) -> None:
    """The name that goes into the lock is one that every system can hold."""
    path = tmp_path / "plügin!.zip"
    path.write_bytes(zipped({"a.txt": "x"}))
    packed = take_archive(path, tmp_path / "into")
    assert (packed.id, packed.name) == ("pl-gin", "pl-gin-0.0.0.zip")


def test_no_id_can_be_made(tmp_path: Path) -> None:
    """Who adds it has to say one: none is invented."""
    packed = pack_folder(write(tmp_path / "ü", {"a.txt": "x"}), tmp_path / "into")
    assert (packed.id, packed.name) == ("", "plugin-0.0.0.zip")


@pytest.mark.parametrize(
    ("name", "data", "error", "words"),
    [
        ("x.rar", b"x", ConfigError, "does not say how it is packed"),
        ("x.zip", b"", InstallError, "is empty"),
        ("x.zip", b"nothing", InstallError, "no ZIP archive"),
        ("x.tar.gz", b"nothing", InstallError, "x.tar.gz: is damaged"),
        ("x.zip", zipped({"../evil.txt": "x"}), UnsafePathError, "'..'"),
        ("x.zip", zipped({"a.txt": b"\0" * 20_000_000}), InstallError, "200 times"),
    ],
)
def test_what_is_no_archive(
    tmp_path: Path, name: str, data: bytes, error: type[Exception], words: str
) -> None:
    """What could not be unpacked is refused when it is added, and nothing stays."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(error, match=words):
        take_archive(path, tmp_path / "into")
    assert not (tmp_path / "into").exists() or list((tmp_path / "into").iterdir()) == []


def test_a_missing_archive(tmp_path: Path) -> None:
    """A file that is not there, and a folder with an archive's name."""
    with pytest.raises(ConfigError, match="cannot be read"):
        take_archive(tmp_path / "x.zip", tmp_path / "into")
    (tmp_path / "x.zip").mkdir()
    with pytest.raises(ConfigError, match="is not a file"):
        take_archive(tmp_path / "x.zip", tmp_path / "into")


def test_an_archive_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying stops at the limit."""
    monkeypatch.setattr(folder_module, "MAX_SIZE", 100)
    (tmp_path / "x.zip").write_bytes(b"x" * 101)
    with pytest.raises(InstallError, match="more than 100 bytes"):
        take_archive(tmp_path / "x.zip", tmp_path / "into")


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    """A manifest over its limit is noted; reading it stops there."""
    huge = b"{" + os.urandom(2 * MANIFEST_LIMIT)
    (tmp_path / "x.zip").write_bytes(zipped({"manifest.json": huge, "a": "x"}))
    packed = take_archive(tmp_path / "x.zip", tmp_path / "into")
    assert packed.notes == (f"manifest.json is not used: is longer than {MANIFEST_LIMIT} bytes",)
    folder = write(tmp_path / "y", {"manifest.json": huge})
    assert pack_folder(folder, tmp_path / "into").notes == packed.notes


@pytest.mark.parametrize(
    ("manifest", "plugin_id", "python", "host", "plugins"),
    [
        (OWN, "sms", ">=3.11", {"nexus": ">=1"}, {"auth": ">=1,<2"}),
        (FLAT, "my_awesome_plugin", ">=3.11", {"nexus": ">=0.1.0"}, None),
        (
            RICH,
            "my_awesome_plugin",
            ">=3.11",
            {"nexus": ">=1.0.0"},
            {"auth_plugin": ">=1.0.0", "email_plugin": ">=0.0.0-alpha.0"},
        ),
    ],
)
def test_known_forms(
    manifest: dict[str, object],
    plugin_id: str,
    python: str,
    host: dict[str, str],
    plugins: dict[str, str] | None,
) -> None:
    """The registry's own form, and two others that plugins are written in."""
    stated = read_local({"manifest.json": json.dumps(manifest).encode()}, name="x")
    assert stated.notes == ()
    assert stated.id == plugin_id
    assert stated.requires is not None
    assert (stated.requires.python, stated.requires.host, stated.requires.plugins) == (python, host, plugins)
    assert "database.read" in stated.permissions


def test_plugin_json_with_permissions_beside() -> None:
    """plugin.json and permissions.json, as the oldest plugins have them."""
    files = {"plugin.json": b'{"name": "sms", "version": "1.0"}', "permissions.json": b'["sms.send"]'}
    stated = read_local(files, name="x")
    assert (stated.id, stated.version, stated.permissions) == ("sms", "1.0.0", ("sms.send",))


@pytest.mark.parametrize(
    ("manifest", "note"),
    [
        (b"\xff", "is not UTF-8"),
        (b"[]", "expected a JSON object"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"version": "next"}', "version 'next'"),
        (b'{"version": 1}', "version '1'"),
        (b'{"requires": []}', "requires is not used"),
        (b'{"requires": {"python": "three"}}', "requires.python"),
        (b'{"requires": {"host": {"a b": ">=1"}}}', "requires.host"),
        (b'{"requires": {"host": {"a": 1}}}', "requires.host"),
        (b'{"requires": {"plugins": ["a"]}}', "requires.plugins"),
        (b'{"permissions": "all"}', "permissions is not used"),
        (b'{"permissions": ["a b", null]}', "permissions is not used in part"),
        (b'{"dependencies": ["a"]}', "dependencies is not used"),
        (b'{"dependencies": {"plugins": [1, "!"]}}', "dependencies.plugins"),
    ],
)
def test_what_cannot_be_used_is_noted(manifest: bytes, note: str) -> None:
    """Odd content is no error: it is left out, and said."""
    stated = read_local({"manifest.json": manifest}, name="x")
    assert stated.id == "x"
    assert stated.version == "0.0.0"
    assert note in stated.notes[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    ),
    st.sampled_from(
        ["id", "name", "version", "requires", "permissions", "dependencies", "compatibility", "x_version"]
    ),
)
def test_nothing_in_a_manifest_is_an_error(value: object, key: str) -> None:
    """Whatever a member holds, the plugin has a valid id and version."""
    data = json.dumps({key: value}).encode()
    stated = read_local({"manifest.json": data}, name="../x")
    check_plugin_id(stated.id)
    parse_version(stated.version)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My Plugin", "my-plugin"),
        ("_x", "x"),
        ("ÄÖ", ""),
        ("con", "con-plugin"),
        ("x" * 99, "x" * 64),
        ("a/b.c", "a-b-c"),
    ],
)
def test_ids_made_valid(text: str, expected: str) -> None:
    """As near to what was written as can be."""
    assert made_valid(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3", "1.2.3"),
        ("1.0", "1.0.0"),
        ("1", "1.0.0"),
        ("v1.2", "1.2.0"),
        ("1.2.3.0", "1.2.3"),
        ("1.0rc1", "1.0.0-rc.1"),
        ("1.0a2", "1.0.0-alpha.2"),
        ("1.0.0-beta.3", "1.0.0-beta.3"),
        ("1.0.post1", None),
        ("1.0.dev1", None),
        ("1.0+local", None),
        ("1!1.0", None),
        ("1.2.3.4", None),
        ("1.2.12345678901", None),
        ("one", None),
    ],
)
def test_versions_in_the_registrys_grammar(text: str, expected: str | None) -> None:
    """PEP 440 spellings that have an equal there, and those that have none."""
    assert known_version(text) == expected
