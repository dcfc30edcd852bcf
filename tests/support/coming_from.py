"""The tables of docs/coming-from.md, and a place in which the commands of their rows run as they stand."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner
from support.host import HostBench
from support.httpd import FaultServer
from support.plugin_bench import Run
from support.simple_index import SimpleIndex, simple_index
from support.world import World, commit_all, git

from publisher.cli.main import main as publisher_main

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
OWNED = ("sms", "my-plugin", "igny8-wp-bridge")
_CODE = re.compile(r"`([^`]+)`")
SMS = {
    "plugin.py": "def create_plugin(config, publish):\n    return None\n",
    "plugin.json": json.dumps(
        {"name": "sms", "version": "1.0.0", "description": "Sends messages."}, indent=2
    ),
    "permissions.json": '["sms.send"]',
}
MY_PLUGIN = {
    "my_plugin/__init__.py": "",
    "pyproject.toml": (
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "my-plugin"\nversion = "1.0.0"\nrequires-python = ">=3.11"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["my_plugin"]\n'
        '[tool.plugin]\nartifacts = [{ecosystem = "python", build = "wheel"}, {ecosystem = "python", build = "sdist"}]\n'
    ),
}
NEXUS = {
    "plugin.py": "class MyPlugin:\n    pass\n",
    "manifest.json": json.dumps(
        {
            "name": "my-plugin",
            "display_name": "My Plugin",
            "category": "business",
            "version": "1.0.0",
            "permissions": ["database.read"],
        }
    ),
}
WORDPRESS = {
    "igny8-wp-bridge.php": (
        "<?php\n/**\n * Plugin Name: IGNY8 WP Bridge\n * Version: 1.0.0\n * License: GPL-2.0-or-later\n */\n"
    ),
    "includes/api.php": "<?php\n",
    "readme.txt": (
        "=== IGNY8 WP Bridge ===\nStable tag: 1.0.0\n\nConnects a site.\n\n"
        "== Changelog ==\n= 1.0.1 =\n* Bug fixes\n\n= 1.0.0 =\n* First\n"
    ),
}


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        table: the heading above.
        there: what the other system has, as it stands in the first column.
        here: the commands in the second.
        note: the third.
    """

    table: str
    there: str
    here: tuple[str, ...]
    note: str

    @property
    def key(self) -> str:
        """The first command in the first column, or else its text."""
        found = _CODE.search(self.there)
        return found[1] if found else self.there


def read_rows(text: str) -> list[Row]:
    """Every row of every table that compares.

    Raises:
        ValueError: a row has not three columns, or more than commands in the second.
    """
    rows, heading, inside = [], "", False
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in line.split("|")]
        if not line.startswith("|") or cells[1:-1] == ["there", "here", "note"]:
            inside = line.startswith("|")
        elif inside and not set(line) <= set("|-"):
            _, there, here, note = cells[:-1]
            if _CODE.sub("", here).replace("<br>", ""):
                raise ValueError(f"{there}: more than commands in the second column")
            rows.append(Row(heading, there, tuple(_CODE.findall(here)), note))
    return rows


@dataclass
class Place:
    """The folders that the page describes: `host/`, `registry/`, and the sources of plugins.

    Attributes:
        host: the registry, and the host's folder.
        folder: all of them stand in it.
        index: a Python package index, which the host's plugins.toml names.
        row: the row whose commands are run.
        ran: whether they were.
    """

    host: HostBench
    folder: Path
    index: SimpleIndex
    row: Row
    ran: list[Run] = field(default_factory=list)

    def run(self) -> list[Run]:
        """Run exactly the commands of the row; each must succeed. What they offered to the registry is taken in."""
        assert not self.ran
        for command in self.row.here:
            program, *arguments = shlex.split(command)
            run = {"plugin": self.host.run, "publisher": self.publisher}[program](*arguments)
            assert run.code == 0, f"{command}\n{run.out}{run.err}"
            self.ran.append(run)
        if any("--to registry" in command for command in self.row.here):
            self.host.update()
        return self.ran

    def publisher(self, *arguments: str) -> Run:
        """Run the command `publisher` where the page says."""
        out, err = io.StringIO(), io.StringIO()
        with self.host.monkeypatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("SOURCE_DATE_EPOCH", str(int(self.host.world.now.timestamp())))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdin", io.StringIO())
            code = publisher_main(arguments)
        return Run(code, out.getvalue(), err.getvalue())

    def source(self, name: str, files: dict[str, str]) -> Path:
        """Write a plugin's source folder."""
        for path, text in files.items():
            file = self.folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        return self.folder / name

    def publish(self, name: str, files: dict[str, str], version: str = "1.0.0", *options: str) -> None:
        """Write a plugin's source and have it published."""
        self.source(name, files)
        arguments = (name, "--to", "registry", "--version", version, "--no-isolation", *options)
        run = self.publisher("publish", *arguments)
        assert run.code == 0, run.err
        self.host.update()

    def init(self, host: str = "") -> None:
        """Write the host's plugins.toml.

        Args:
            host: further lines of `[host]`.
        """
        (self.host.folder / "plugins.toml").write_text(
            f'[host]\nname = "nexus"\nversion = "1.2.0"\n{host}\n'
            f'[registries.main]\nurl = "{self.host.url}"\nroot = "1.root.json"\n'
            f'[sources]\npypi = "{self.index.url}"\n[plugins]\n',
            encoding="utf-8",
        )

    def versions(self) -> dict[str, str]:
        """What is installed, by id; what nobody signed is marked."""
        plugins = self.host.json("list")["plugins"]
        return {item["id"]: item["version"] + ("" if item["signed"] else " unsigned") for item in plugins}

    def offered(self, plugin: str) -> dict[str, dict[str, Any]]:
        """The versions that the registry has of a plugin, and how each stands."""
        found = self.host.json("versions", plugin)["versions"]
        return {item["version"]: item for item in found}


@contextmanager
def make_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row) -> Iterator[Place]:
    """A registry whose publisher `acme` owns `OWNED`, a host, and an index; no plugin yet."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PLUGIN_REGISTRY_HOME", str(tmp_path / "there" / "home"))
    folder = tmp_path / "there"
    for name in ("host", "registry"):
        (folder / name).mkdir(parents=True)
    monkeypatch.chdir(folder / "host")
    with FaultServer(folder / "registry") as server, simple_index() as index:
        world = World(folder / "registry", server.url, now=datetime.now(UTC).replace(microsecond=0))
        world.add_publisher("acme", *OWNED)
        world.register()
        (signer,) = world.publishers["acme"]
        assert isinstance(signer, CryptoSigner)
        monkeypatch.setenv("PLUGIN_REGISTRY_KEY", signer.private_bytes.decode())
        (folder / "host" / "1.root.json").write_bytes(world.root)
        place = Place(HostBench(world, server, folder / "host", monkeypatch), folder, index, row)
        place.init()
        yield place


def serve_git(place: Place, url: str, files: dict[str, str], tag: str) -> str:
    """Have a Git repository answer at a URL, by this machine's own Git behind what takes the place of ssh.

    Returns:
        The commit.
    """
    base, _, path = url.removeprefix("https://").partition("/")
    root = place.folder.parent / "git"
    work = root / path
    place.source(str(work), files)
    git(work, "init", "--quiet", "--initial-branch=main", ".")
    commit = commit_all(work, "First")
    git(work, "tag", tag)
    settings = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.ssh://{base}/{root.as_posix().lstrip('/')}/.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://{base}/",
        "GIT_SSH_COMMAND": "sh -c 'eval \"$1\"'",
        "GIT_SSH_VARIANT": "simple",
    }
    for name, value in settings.items():
        place.host.monkeypatch.setenv(name, value)
    return commit
