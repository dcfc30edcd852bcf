"""Running the command `plugin` against a small registry over real HTTP."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.mini_registry import MiniRegistry, serve

from registry_client.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
ZIP_100, ZIP_110 = b"zip of 1.0.0" * 50, b"zip of 1.1.0" * 60


@dataclass
class Run:
    """How one run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document of stdout; fails if there is anything else."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Bench:
    """A served registry and an installation that reads it.

    Attributes:
        registry: the registry.
        url: where it is served.
        home: directory for state and cache.
        capsys: catches what runs in this process print.
    """

    registry: MiniRegistry
    url: str
    home: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Run:
        """Run the command in this process."""
        self.capsys.readouterr()
        code = main(arguments)
        captured = self.capsys.readouterr()
        return Run(code, captured.out, captured.err)

    def environ(self) -> dict[str, str]:
        """The environment for a process of its own."""
        return {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    @property
    def command(self) -> list[str]:
        """The command for a process of its own."""
        return [sys.executable, "-m", "registry_client.cli.main"]

    def age(self, seconds: float) -> None:
        """Let the time since a host was last asked seem longer."""
        for path in self.home.glob("state/*/view.json"):
            view = json.loads(path.read_bytes())
            path.write_text(json.dumps({**view, "checked_at": view["checked_at"] - seconds}))


def fill(registry: MiniRegistry) -> None:
    """Three plugins: with artifacts, remote, and with nothing public."""
    registry.publish("calendar", "1.0.0", artifacts=[registry.artifact("calendar-1.0.0.zip", ZIP_100)])
    registry.publish(
        "calendar",
        "1.1.0",
        description="Shared \x1b[31mcalendars\nfor teams",
        changelog="Faster.\nFixes \x1b]0;title\x07 a leak.",
        permissions=["calendar:read"],
        requires={"host": {"nexus": ">=1,<2"}},
        artifacts=[
            registry.artifact("calendar-1.1.0.zip", ZIP_110, "wordpress"),
            registry.artifact("calendar-1.1.0.whl", b"wheel" * 20, "python"),
        ],
    )
    registry.release("calendar", "1.0.0", status="yanked", reason="loses appointments")
    registry.publish("notes", "0.9.0")
    registry.publish("notes", "1.0.0", description="Remote notes")
    registry.release("notes", "1.0.0", status="released", forceUpdate=True)
    registry.publish("notes", "1.1.0-rc.1", listed=False)
    registry.publish("acme-old", "1.0.0", listed=False)
    registry.block("acme-old", "<2", "disable", "steals cookies")


@pytest.fixture
def registry(tmp_path: Path) -> MiniRegistry:
    """A registry as its registrar left it."""
    registry = MiniRegistry(tmp_path / "registry")
    fill(registry)
    registry.write()
    return registry


@pytest.fixture
def bench(
    registry: MiniRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Bench]:
    """The registry, served, and an installation that was given its URL and root."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "PLUGIN_REGISTRY_ALLOW_DEV_KEYS"):
        monkeypatch.delenv(name, raising=False)
    with serve(registry.folder) as url:
        monkeypatch.setenv("PLUGIN_REGISTRY_URL", url)
        monkeypatch.setenv("PLUGIN_REGISTRY_ROOT", str(registry.root))
        monkeypatch.setenv("PLUGIN_REGISTRY_HOME", str(tmp_path / "home"))
        yield Bench(registry, url, tmp_path / "home", capsys)
