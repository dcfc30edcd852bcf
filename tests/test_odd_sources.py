"""Folders and files that are odd: names no system likes, links, sizes at the limits. An error of ours, or none."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from publisher.adapters import Folder, MemoryFiles, detect, repository_name
from publisher.cli.main import main
from publisher.source import load_source, with_versions
from publisher.source_file import find_source
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = b'{"name": "sms", "version": "1.0.0"}'
PHP = b"<?php\n/*\nPlugin Name: X\nVersion: 1.0.0\n*/\n"


@pytest.mark.parametrize("command", ["check", "convert", "pack"])
def test_a_path_that_is_too_long(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The system's own word for it, not a traceback; and not all of the path."""
    assert main([command, "a" * 5000]) == 3
    err = capsys.readouterr().err
    assert "cannot be read (File name too long)" in err
    assert len(err) < 400


def test_a_path_that_is_none(tmp_path: Path) -> None:
    """Also where a program asks."""
    with pytest.raises(ConfigError, match="cannot be read"):
        find_source(tmp_path / ("a" * 300) / "manifest.json")


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="their file systems do not take these names")
def test_names_that_adapters_do_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They do not keep a manifest from being found; packing then names every one of them."""
    (tmp_path / "plugin.json").write_bytes(PLUGIN)
    for name in (b"we:ird.php", b"not-utf8\xff.php", b"line\nbreak.php", b"back\\slash.php"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:  # noqa: PTH118, PTH123  (bytes)
            file.write(PHP)
    assert detect(Folder(tmp_path)).path == "plugin.json"
    assert main(["check", str(tmp_path)]) == 4
    err = capsys.readouterr().err
    assert err.count("$.artifacts[0].pack") == 4
    assert "we:ird.php: its name holds ':'" in err
    assert main(["pack", str(tmp_path), "--json"]) == 9
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Pack"


def test_a_manifest_too_long_to_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Indented, settings may be longer than a manifest may be: then nothing is written, and the way out is said."""
    entries = {f"s{number}": {"type": "str", "default": "x"} for number in range(4500)}
    raw = {"name": "sms", "version": "1.0.0", "configuration": entries}
    (tmp_path / "plugin.json").write_text(json.dumps(raw, separators=(",", ":")))
    assert main(["convert", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["convert", str(tmp_path), "--write"]) == 3
    assert "a manifest has at most" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["plugin.json"]


def test_a_link_that_leads_nowhere_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is somebody's file as well: with --force only."""
    (tmp_path / "plugin.json").write_bytes(PLUGIN)
    (tmp_path / "manifest.json").symlink_to("nowhere")
    assert main(["convert", str(tmp_path / "plugin.json"), "--write"]) == 3
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "manifest.json").is_symlink()
    assert main(["convert", str(tmp_path / "plugin.json"), "--write", "--force"]) == 0
    assert load_source(tmp_path).model.id == "sms"


def test_a_long_readme_gets_its_version() -> None:
    """What is read for its words is read for its version, too."""
    readme = (
        b"=== X ===\nStable tag: 1.0.0\n\nShort.\n\n== Changelog ==\n\n= 1.0.0 =\n* One.\n" + b"x" * 400_000
    )
    made = detect(MemoryFiles({"x.php": PHP, "readme.txt": readme})).convert
    assert made is not None
    changed = made("repo").with_version("1.0.1")
    assert changed["readme.txt"] == readme.replace(b"tag: 1.0.0", b"tag: 1.0.1")


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    """A manifest's files are not read through links that leave the plugin's folder, nor are versions written through them."""
    folder, outside = tmp_path / "plugin", tmp_path / "outside.json"
    folder.mkdir()
    outside.write_text('{"api_key": "secret"}')
    (folder / "defaults.json").symlink_to(outside)
    raw = {"name": "sms", "version": "1.0.0", "configuration": {"defaults": "defaults.json"}}
    (folder / "plugin.json").write_text(json.dumps(raw))
    found = detect(Folder(folder)).convert
    assert found is not None
    (problem,) = found("repo").problems
    assert "leads out of the plugin's folder" in problem.message
    assert "secret" not in problem.message
    (folder / "plugin.json").unlink()
    outside.write_bytes(PLUGIN)
    (folder / "plugin.json").symlink_to(outside)
    with pytest.raises(ConfigError, match="leads out of the plugin's folder"):
        with_versions(load_source(folder / "plugin.json"), "2.0.0")


MANY = b'{"name": "x", "title": "X", ' + b",".join(b'"m%d": 1' % number for number in range(20_000)) + b"}"


@pytest.mark.parametrize(
    "files",
    [
        {"x.php": PHP, "readme.txt": b"==" + b"\n" * 500_000},
        {"x.php": PHP, "readme.txt": b"== a" + b" " * 500_000},
        {"x.php": PHP, "readme.txt": b"== Changelog ==\n= a" + b" =" * 250_000},
        {"manifest.json": MANY},
        {"plugin.json": PLUGIN, "requirements.txt": b"-e .\n" * 50_000},
        {"plugin.json": PLUGIN, "requirements.txt": b"a" + b" " * 250_000 + b"-"},
        {
            "pyproject.toml": b"[tool.plugin]\n[project]\n"
            + b"".join(b"m%d=1\n" % number for number in range(40_000))
        },
    ],
    ids=["readme lines", "readme spaces", "releases", "members", "options", "spaces", "toml"],
)
def test_time_grows_with_the_size_only(files: dict[str, bytes]) -> None:
    """What may be read is read in a second or two; with its square, this would take minutes."""
    began = time.process_time()
    found = detect(MemoryFiles(files)).convert
    assert found is not None
    found("repo")
    assert time.process_time() - began < 5


def test_the_repository_in_a_file_of_blank_lines(tmp_path: Path) -> None:
    """The same for Git's own settings, whatever their line ends."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(
        b"\n" * 60_000 + b'[remote "origin"]\r\n\turl = https://a.example/board.git\r\n'
    )
    began = time.process_time()
    assert repository_name(tmp_path) == "board"
    assert time.process_time() - began < 5
