"""Measures the installer: 50 plugins over a slow network against a plain loop, nothing to do, resolving many plugins."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, Rounds, run_command, run_worker
from benchmarks.install_data import COUNT, build_installable
from benchmarks.serving import serve
from publisher.tree import write_changes

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from benchmarks.serving import Host

SITUATIONS = (
    "resolve: all wanted, no lock",
    "resolve: all locked, nothing to do",
    "resolve: all upgraded",
    "resolve: a conflict, explained",
)
LOCKED = f"install: {COUNT} plugins from a lock, nothing cached"
FRESH = f"install: {COUNT} plugins, resolved first, nothing cached"
LOOP = f"a loop of requests over the same {COUNT} archives"
IDLE = "`plugin install`, nothing to do"
PIP = "`pip --version`, beside it"


def measure_install(scratch: Path, now: datetime, repeat: int) -> list[Figure]:
    """Every figure of the installer.

    Args:
        scratch: an empty folder.
        now: when the registry is made.
        repeat: how often each thing is measured, in turns.
    """
    files, wanted, archives = build_installable(now)
    folder = scratch / "registry"
    write_changes(folder, files)
    titles = {"fresh": FRESH, "locked": LOCKED, "loop": LOOP}
    rounds = {name: Rounds(f"install/{name}", COUNT, title) for name, title in titles.items()}
    with serve(folder) as host:
        lock = _lock(scratch, host, wanted)
        urls = [[f"{host.url}/{path}", path.split("/")[2]] for path in archives]
        for number in range(repeat + 1):
            jobs = {
                "fresh": _project(scratch / f"fresh-{number}", host, wanted, None),
                "locked": _project(scratch / f"locked-{number}", host, wanted, lock),
                "loop": {
                    "what": "install",
                    "call": "loop",
                    "home": str(scratch / f"loop-{number}"),
                    "urls": urls,
                },
            }
            for name, job in jobs.items():
                result = run_worker(job)
                counted = host.take()
                if number:  # the first round warms the server's cache of compressed files up
                    rounds[name].add(result["seconds"][0], counted, result["memory"])
            for path in scratch.glob(f"*-{number}"):
                shutil.rmtree(path)
        figures = [one.figure() for one in rounds.values()]
        return [*figures, *_idle(scratch, host, wanted, repeat), *_resolutions(repeat)]


def _resolutions(repeat: int) -> list[Figure]:
    """Resolution of 200 plugins with 20 versions each, with all of the registry in memory."""
    figures = []
    for situation in SITUATIONS:
        result = run_worker({"what": "resolve", "situation": situation, "repeat": repeat})
        key = f"resolve/{SITUATIONS.index(situation)}"
        title = f"{situation} (200 plugins, 20 versions each)"
        figures.append(Figure(key, COUNT, title, tuple(result["seconds"]), memory=result["memory"]))
    return figures


def _project(folder: Path, host: Host, wanted: list[str], lock: bytes | None) -> dict[str, Any]:
    """A host's folder, and the job that installs in it."""
    folder.mkdir()
    shutil.copy(folder.parent / "registry" / "metadata" / "1.root.json", folder)
    lines = [f'{plugin_id} = ">=1,<2"' for plugin_id in wanted]
    (folder / "plugins.toml").write_text(
        '[host]\nname = "nexus"\nversion = "1.0.0"\n\n'
        f'[registries.main]\nurl = "{host.url}"\nroot = "1.root.json"\n\n[plugins]\n'
        + "\n".join(lines)
        + "\n",
        encoding="utf-8",
    )
    if lock is not None:
        (folder / "plugins.lock").write_bytes(lock)
    return {"what": "install", "call": "install", "project": str(folder), "home": str(folder / "home")}


def _lock(scratch: Path, host: Host, wanted: list[str]) -> bytes:
    job = _project(scratch / "lock", host, wanted, None)
    run_worker({**job, "call": "lock"})
    host.take()
    return (scratch / "lock" / "plugins.lock").read_bytes()


def _idle(scratch: Path, host: Host, wanted: list[str], repeat: int) -> list[Figure]:
    """The command with nothing to do and `pip --version`, in turns, as whole processes."""
    job = _project(scratch / "idle", host, wanted, None)
    run_worker(job)
    environ = {"PLUGIN_REGISTRY_HOME": job["home"]}
    install = [sys.executable, "-m", "registry_client.cli.main", "--project", job["project"], "install"]
    pip = [sys.executable, "-m", "pip", "--version"]
    for command in (install, pip):
        run_command(command, environ)
    host.take()
    times: tuple[list[float], list[float]] = [], []
    for _ in range(2 * repeat):
        for command, seconds in zip((install, pip), times, strict=True):
            seconds.append(run_command(command, environ))
    counted = host.take()
    return [
        Figure("install/idle", COUNT, IDLE, tuple(times[0]), counted=counted),
        Figure("install/pip", COUNT, PIP, tuple(times[1])),
    ]
