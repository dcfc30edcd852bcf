"""A host application with a project of plugins, over a whole registry that is served over HTTP; and the command run in it."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.httpd import FaultServer, read_folder
from support.plugin_bench import Run
from support.world import World

from registry_client.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNED = ("calendar", "core", "sms", "notes", "theme", "widget")
"""Ids that the publisher `acme` may publish."""


class _Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class HostBench:
    """A project, its registry, and a way to run the command.

    Attributes:
        world: the registry. Its clock is this machine's, as it was when the test began.
        server: serves it.
        folder: the host's folder: the working directory.
        monkeypatch: undoes what a run changes.
        said: every run so far, as a transcript at 80 columns.
    """

    world: World
    server: FaultServer
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The registry's URL."""
        return self.server.url

    @property
    def home(self) -> Path:
        """State and cache of this host."""
        return self.folder.parent / "home"

    @property
    def plugins(self) -> Path:
        """The plugins folder."""
        return self.folder / "plugins"

    def run(self, *arguments: str, answer: str | None = None) -> Run:
        """Run the command in this process, its output on a terminal of 80 columns that shows no colours.

        Args:
            arguments: its arguments.
            answer: what is typed; None where nobody sits there.
        """
        out, err = _Terminal(), io.StringIO() if answer is None else _Terminal()
        stdin = io.StringIO() if answer is None else _Terminal(answer)
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdin", stdin)
            try:
                code = main(arguments)
            except SystemExit as e:  # how typer ends a completion
                code = int(e.code or 0)
        run = Run(code, out.getvalue(), err.getvalue())
        self.said.append(transcript(arguments, run))
        return run

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run the command with `--json`; one document and nothing on stderr."""
        run = self.run(*arguments, "--json")
        assert run.err == "", run.err
        return run.json

    def init(self) -> None:
        """A project of this registry."""
        run = self.run("init", "--registry", self.url, "--root", "1.root.json", "--host", "nexus=1.2.0")
        assert run.code == 0, run.err

    def add(self, *specs: str) -> None:
        """Have plugins installed; fails if they cannot be."""
        run = self.run("add", *specs)
        assert run.code == 0, run.err

    def publish(self, plugin_id: str, version: str, text: str = "", **members: Any) -> None:
        """Publish a version of one of `OWNED`, and take it into the index."""
        publish(self.world, plugin_id, version, text, **members)
        self.update()

    def set_status(self, plugin_id: str, version: str, status: str | None = None, **members: Any) -> None:
        """Change a version's status."""
        self.world.set_status(plugin_id, version, status, by="acme", **members)
        self.update()

    def block(self, plugin_id: str, versions: str, action: str, reason: str) -> None:
        """Block versions of a plugin."""
        self.world.block(plugin_id, versions, action, reason)
        self.update()

    def update(self) -> None:
        """Have the registrar take in what is new, and the host ask for it at its next run."""
        self.world.tick(seconds=1)
        self.world.register()
        self.age()

    def age(self) -> None:
        """Let the time since a host was last asked seem longer."""
        for path in self.home.glob("state/*/view.json"):
            view = json.loads(path.read_bytes())
            path.write_text(json.dumps({**view, "checked_at": view["checked_at"] - 3600}))

    def installed(self) -> dict[str, str]:
        """What the host loads: the text of each plugin's file, by id."""
        return {
            path.parent.name: path.read_text()
            for path in sorted(self.plugins.glob("*/main.py"))
            if not path.parent.name.startswith(".")
        }

    def files(self) -> dict[str, bytes]:
        """Every file of the project that a run may change, by path; what the installer merely keeps is left out."""
        kept = ("archives", "manifests", "downloads", "staging", "lock")
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not any(f".registry/{name}" in path.as_posix() for name in kept)
        }


def transcript(arguments: tuple[str, ...], run: Run) -> str:
    """One run as it is shown: the command, stdout, stderr behind `2>`, and an exit code that is not 0."""
    words = [f"'{word}'" if re.search(r"[^\w@%+=:,./-]", word) else word for word in arguments]
    lines = [f"$ plugin {' '.join(words)}", *run.out.splitlines()]
    lines += [f"2> {line}" for line in run.err.splitlines()]
    if run.code:
        lines.append(f"[exit code {run.code}]")
    return "\n".join(lines) + "\n"


@dataclass
class Template:
    """A filled registry that each test gets a copy of, at one URL."""

    world: World
    server: FaultServer


@contextmanager
def made_template(folder: Path) -> Iterator[Template]:
    """A registry whose publisher `acme` owns `OWNED`, with first versions.

    `calendar` 1.0.0 needs `core` >=1,<2 and a Python package; `sms` 1.0.0 asks for a permission.
    """
    folder.mkdir(exist_ok=True)
    with FaultServer(folder) as server:
        world = World(folder / "registry", server.url, now=datetime.now(UTC).replace(microsecond=0))
        world.add_publisher("acme", *OWNED)
        publish(world, "core", "1.0.0", changelog="First.")
        needs = {"plugins": {"core": ">=1,<2"}, "packages": ["icalendar>=6"]}
        publish(world, "calendar", "1.0.0", requires=needs)
        publish(world, "sms", "1.0.0", permissions=["sms:read"])
        world.register()
        yield Template(world, server)


def publish(world: World, plugin_id: str, version: str, text: str = "", **members: Any) -> None:
    """Publish a version with one file, whose text is id and version unless another is given."""
    files = {"src/main.py": (text or f"{plugin_id} {version}").encode()}
    artifacts = [{"ecosystem": "python", "pack": "src"}]
    world.publish(plugin_id, version, by="acme", files=files, artifacts=artifacts, **members)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """The registry, made once."""
    with made_template(tmp_path_factory.mktemp("template")) as made:
        yield made


@pytest.fixture
def host(template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostBench:
    """A host without a project yet: an empty folder with the root of trust, which is the working directory."""
    for name in ("FORCE_COLOR", "TERM", "PLUGIN_REGISTRY_ALLOW_DEV_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PLUGIN_REGISTRY_HOME", str(tmp_path / "home"))
    world = copy(template.world)
    world.folder, world.publishers = tmp_path / "registry", dict(world.publishers)
    shutil.copytree(template.world.folder, world.folder)
    template.server.source = read_folder(world.folder)
    template.server.heal()
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "1.root.json").write_bytes(world.root)
    monkeypatch.chdir(folder)
    return HostBench(world, template.server, folder, monkeypatch)


@pytest.fixture
def project(host: HostBench) -> HostBench:
    """A host with a project."""
    host.init()
    return host


def newer(host: HostBench) -> None:
    """Publish newer versions of all."""
    host.publish("core", "1.0.1", changelog="Fixes a leak.")
    host.publish(
        "calendar",
        "1.1.0",
        changelog="Shared calendars.\nFaster.",
        requires={"plugins": {"core": ">=1,<2"}, "packages": ["icalendar>=6"]},
    )
    host.publish("sms", "1.1.0", changelog="Sends too.", permissions=["sms:read", "sms:send"])
