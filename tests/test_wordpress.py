"""A WordPress plugin's header: read as WordPress reads it, and the version written into what is packed."""

from __future__ import annotations

import io
import re
import time
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.check import check_source
from publisher.source import load_source, read_artifact
from publisher.wordpress import header_field, main_file, with_php_version, with_stable_tag, with_version
from registry_client.errors import PublishError

if TYPE_CHECKING:
    from pathlib import Path

PHP = b"<?php\n/**\n * Plugin Name: Bridge\n * Version: 1.0.0\n */\n"
MANIFEST = (
    '{"id": "bridge", "name": "Bridge", "version": "2.0.0", "artifacts": '
    '[{"ecosystem": "wordpress", "pack": "%s"}]}'
)


def versioned(data: bytes, version: str = "2.0.0") -> bytes:
    """A main file with another version."""
    return with_php_version(data, version, "bridge.php")


@pytest.mark.parametrize(
    ("data", "name", "version"),
    [
        (PHP, "Bridge", "1.0.0"),
        (PHP.replace(b"\n", b"\r\n"), "Bridge", "1.0.0"),
        (PHP.replace(b"\n", b"\r"), "Bridge", "1.0.0"),
        (b"\xef\xbb\xbf" + PHP, "Bridge", "1.0.0"),
        (PHP.upper(), "BRIDGE", "1.0.0"),
        (b"<?php\n/*\nPlugin Name: Bridge\nVersion:1.0.0\n*/", "Bridge", "1.0.0"),
        (b"<?php\n# Plugin Name: Bridge\n// Version:   1.0.0 \t\n", "Bridge", "1.0.0"),
        (b"<?php /* Plugin Name: Bridge */\n/* Version: 1.0.0 */ ?>\n", "Bridge", "1.0.0"),
        (b"<?php // Plugin Name: Bridge ?> text\n/* @Version: 1.0.0 ?> */\n", "Bridge", "1.0.0"),
        ("<?php\n/*\nPlugin Name: Brücke\nVersion: 1\n*/".encode(), "Brücke", "1"),
        (b"<?php\n/*\nPlugin Name: A\nVersion: 1\nVersion: 2\n*/", "A", "1"),
        (b"<?php\n/*\nPlugin Name:\nVersion:\n*/", "", ""),
        # no header line of WordPress's
        (b"<?php\n/*\nThe Plugin Name: Bridge\nRequires Version: 1.0.0\n*/", None, None),
        (b"\xef\xbb\xbf<?php /* Plugin Name: Bridge */\n", None, None),
        (b"<?php\n/*\nPlugin Name : Bridge\nVersion 1.0.0\n*/", None, None),
        (b"<?php\n" + b"// text\n" * 1024 + PHP, None, None),
        (PHP.decode().encode("utf-16"), None, None),
        (b"", None, None),
    ],
)
def test_header_field(data: bytes, name: str | None, version: str | None) -> None:
    """What get_file_data finds: any comment style and line end, the first of two, in the first 8 KiB only."""
    assert (header_field(data, "Plugin Name"), header_field(data, "Version")) == (name, version)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PHP, PHP.replace(b"1.0.0", b"2.0.0")),
        (PHP.replace(b"\n", b"\r\n"), PHP.replace(b"\n", b"\r\n").replace(b"1.0.0", b"2.0.0")),
        (b"\xef\xbb\xbf" + PHP, b"\xef\xbb\xbf" + PHP.replace(b"1.0.0", b"2.0.0")),
        (PHP.upper(), PHP.upper().replace(b"1.0.0", b"2.0.0")),
        (PHP.replace(b" 1.0.0", b"1.0.0-beta \t"), PHP.replace(b"1.0.0", b"2.0.0 \t")),
        (PHP.replace(b" 1.0.0", b""), PHP.replace(b"1.0.0", b"2.0.0")),
        (PHP.replace(b"1.0.0\n", b"1.0.0 */ // 1.0.0\n"), PHP.replace(b"1.0.0\n", b"2.0.0 */ // 1.0.0\n")),
    ],
)
def test_header_gets_the_version(before: bytes, after: bytes) -> None:
    """The value alone changes: style, line ends and what follows stay."""
    changed = versioned(before)
    assert changed.replace(b"Version:2", b"Version: 2") == after
    assert header_field(changed, "Version") == "2.0.0"
    assert versioned(changed) == changed


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (b"private $version = '1.0.0';", True),
        (b"public static $version='0.9';", True),
        (b'$this->version = "1.0.0" ;', True),
        (b"const VERSION = '1.0.0';", True),
        (b"final public const string VERSION  = '1.0.0-rc.1';", True),
        (b"define( 'BRIDGE_VERSION', '1.0.0' );", True),
        (b'define("BRIDGE_WP_BRIDGE_VERSION","1.0.0");', True),
        (b"$version = '1.0.0';", True),
        (b"private ?string $version = '0.9';", True),
        (b"self::$version = '0.9';", True),
        # not the plugin's version
        (b"$version = '0.9';", False),
        (b"$version = '8.1'; if ( version_compare( PHP_VERSION, $version, '<' ) ) {}", False),
        (b"$version = get_option( 'bridge_version', '1.0.0' );", False),
        (b"$version = '';", False),
        (b"$version = 'v2';", False),
        (b"if ( $version == '1.0.0' ) {}", False),
        (b"if ( $version === '1.0.0' ) {}", False),
        (b"function asset( $version = '1.0.0', $name = '' ) {}", False),
        (b"$db_version = '1.0.0';", False),
        (b"const DB_VERSION = '1.0.0';", False),
        (b"const VERSIONS = '1.0.0';", False),
        (b"define( 'BRIDGE_DB_VERSION', '1.0.0' );", False),
        (b"define( 'BRIDGE__MINIMUM_WP_VERSION', '1.0.0' );", False),
        (b"define( 'BRIDGE_JQUERY_VERSION', '3.7.1' );", False),
        (b"wp_enqueue_style( 'a', 'b', [], '1.0.0' );", False),
        (b" * Stable Version: 1.0.0", False),
        (b"// since 1.0.0", False),
    ],
)
def test_code_gets_the_version(line: bytes, changes: bool) -> None:
    """The ways in which a plugin states its own version; other strings, though they look like it, stay."""
    after = versioned(PHP + line + b"\n")
    expected = re.sub(rb"(['\"])(1\.0\.0(-rc\.1)?|0\.9)\1", rb"\g<1>2.0.0\1", line) if changes else line
    assert after == PHP.replace(b"1.0.0", b"2.0.0") + expected + b"\n"
    assert (expected != line) is changes


def test_header_at_the_edge() -> None:
    """A version that is cut off at 8 KiB would be seen wrong, so it is refused, and so is a header without one."""
    filler = b"// " + b"x" * (8192 - len(PHP) + 4 - 5) + b"\n"
    edge = PHP.replace(b" * Version", filler + b" * Version")
    with pytest.raises(PublishError, match="does not fit into the first 8 KiB"):
        versioned(edge, "100.100.100-rc.100")
    with pytest.raises(PublishError, match="no 'Version:' in the first 8 KiB") as caught:
        versioned(b"<?php\n/* Plugin Name: Bridge */\n")
    assert "Version: 0.0.0" in caught.value.hint


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_around_the_header(before: bytes, after: bytes) -> None:
    """Whatever surrounds a header: it is read back as written, or refused; never a traceback."""
    try:
        changed = versioned(before + b"\n" + PHP + after)
    except PublishError:
        return
    assert header_field(changed, "Version") == "2.0.0"


def test_huge_file() -> None:
    """Megabytes of what nearly is a version take no time to speak of."""
    data = PHP + b"$version" * 200_000 + b"define(" * 200_000 + b" " * 1_000_000 + b"\ndefine('A_A" * 100_000
    began = time.perf_counter()
    assert versioned(data) == data.replace(b"1.0.0", b"2.0.0", 1)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"=== X ===\nStable tag: 1.0.0\n", b"=== X ===\nStable tag: 2.0.0\n"),
        (
            b"=== X ===\r\nSTABLE TAG:trunk  \r\nLicense: MIT\r\n",
            b"=== X ===\r\nSTABLE TAG: 2.0.0  \r\nLicense: MIT\r\n",
        ),
        (b"Stable tag:\nLicense: MIT", b"Stable tag: 2.0.0\nLicense: MIT"),
        (b"=== X ===\nThe Stable tag: 1.0.0\n= 1.0.0 =\n", b"=== X ===\nThe Stable tag: 1.0.0\n= 1.0.0 =\n"),
        (b"", b""),
    ],
)
def test_stable_tag(before: bytes, after: bytes) -> None:
    """The first such line gets the version; without one nothing changes."""
    assert with_stable_tag(before, "2.0.0") == after


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no 'Plugin Name:' header, as there is no PHP file at its top"),
        ({"inc/a.php": PHP, ".b.php": PHP, "c.PHP": PHP}, "as there is no PHP file at its top"),
        ({"a.php": b"<?php\n", "b.php": b"<?php\n// Version: 1"}, r"in the first 8 KiB of a\.php, b\.php"),
        (
            {"b.php": PHP, "a.php": PHP},
            r"a\.php and b\.php have a 'Plugin Name:' header each, .* sees 2 plugins",
        ),
    ],
)
def test_folders_that_are_no_plugin(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    """One file at the top with a header; what WordPress would not look at does not count."""
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    with pytest.raises(PublishError, match=message) as caught:
        main_file(tmp_path, files)
    assert caught.value.hint


def test_missing_and_oversized_files(tmp_path: Path) -> None:
    """A file that went away, or that is too long, is an error that names it."""
    with pytest.raises(PublishError, match=r"gone\.php: cannot be read"):
        main_file(tmp_path, ["gone.php"])
    with (tmp_path / "long.php").open("wb") as file:
        file.write(PHP)
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(PublishError, match=r"long\.php: more than 16777216 bytes"):
        with_version(tmp_path, ["long.php"], "2.0.0")


def plugin(folder: Path, pack: str) -> Path:
    """A plugin's repository; its WordPress files stand in the folder that is packed."""
    files = folder / pack
    (files / "inc").mkdir(parents=True)
    (folder / "manifest.json").write_text(MANIFEST % pack)
    (files / "bridge.php").write_bytes(PHP + b"class B { private $version = '1.0.0'; }\n")
    (files / "inc" / "other.php").write_bytes(PHP + b"const VERSION = '1.0.0';\n")
    (files / "README.txt").write_bytes(b"=== Bridge ===\nStable tag: 1.0.0\n")
    (files / "sample.php").write_bytes(PHP)
    (files / ".pluginignore").write_text("sample.php\n")
    return folder


@pytest.mark.parametrize("pack", ["bridge", "."])
def test_packed_plugin(tmp_path: Path, pack: str) -> None:
    """Main file and readme say the version in the archive; files left out do not count; the author's stay."""
    folder = plugin(tmp_path, pack)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert check_source(folder) == []
    found = read_artifact(load_source(folder), 0, version="2.1.0-rc.1")
    assert found is not None
    with zipfile.ZipFile(io.BytesIO(found[1])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files["bridge/bridge.php"] == before[folder / pack / "bridge.php"].replace(b"1.0.0", b"2.1.0-rc.1")
    assert files["bridge/README.txt"] == b"=== Bridge ===\nStable tag: 2.1.0-rc.1\n"
    assert files["bridge/inc/other.php"] == before[folder / pack / "inc" / "other.php"]
    if pack == ".":
        assert b'"version": "2.1.0-rc.1"' in files["bridge/manifest.json"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert read_artifact(load_source(folder), 0, version="2.1.0-rc.1") == found


def test_check_finds_a_missing_header(tmp_path: Path) -> None:
    """`publisher check` says it before anything is packed."""
    folder = plugin(tmp_path, "bridge")
    (folder / "bridge" / "bridge.php").write_text("<?php\n")
    (problem,) = check_source(folder)
    assert problem.path == "$.artifacts[0].pack"
    assert "no 'Plugin Name:' header" in problem.message
