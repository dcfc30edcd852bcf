"""Measures one registry: its registrar, clients of it over HTTP, and the command `plugin`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.server import Counted, serve

if TYPE_CHECKING:
    from datetime import datetime

    from benchmarks.server import Host

LATENCY = 0.04
_STEPS = (  # what is measured, the call, and how many seconds after the first one it is made
    ("cold", "resolve", 0),
    ("", "refresh", 400),  # the first refresh of all also fetches the policy, once
    ("unchanged", "refresh", 800),
    ("inside", "resolve", 810),
)


@dataclass(frozen=True)
class Figure:
    """One measured thing.

    Attributes:
        name: what it is.
        seconds: the median.
        all_seconds: each repetition.
        counted: requests and bytes of one repetition (the most of any); None where no network is used.
        peak: peak memory of the process in bytes; None where it was not measured.
    """

    name: str
    seconds: float
    all_seconds: tuple[float, ...]
    counted: Counted | None = None
    peak: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Subject:
    """The registry that is measured.

    Attributes:
        folder: its files.
        plugins: how many plugins it has.
        plugin_id: one of them.
        now: when it was registered.
        scratch: an empty folder.
        repeat: how often each thing is measured.
    """

    folder: Path
    plugins: int
    plugin_id: str
    now: datetime
    scratch: Path
    repeat: int

    @property
    def root(self) -> Path:
        """The pinned root of trust."""
        return self.folder / "metadata" / "1.root.json"


def measure(subject: Subject) -> list[Figure]:
    """Every figure of one registry."""
    figures = [registrar(subject, full=True), registrar(subject, full=False)]
    with serve(subject.folder, LATENCY) as host:
        return [*figures, *clients(subject, host), *commands(subject, host)]


def registrar(subject: Subject, *, full: bool) -> Figure:
    """The registrar in process over the folder; Git takes no part in it."""
    # Verifying everything takes seconds, and varies little.
    repeat = max(1, subject.repeat // 3) if full else subject.repeat
    job = {"what": "registrar", "folder": str(subject.folder), "plugins": subject.plugins}
    seconds, peak = run_worker({**job, "now": subject.now.isoformat(), "full": full, "repeat": repeat})
    name = "registrar: everything verified again" if full else "registrar: after one publish"
    return Figure(name, median(seconds), tuple(seconds), None, peak)


def clients(subject: Subject, host: Host) -> list[Figure]:
    """A client with nothing cached, with everything cached after the TTL, and inside it."""
    calls: dict[str, list[tuple[float, Counted, int]]] = {"cold": [], "unchanged": [], "inside": []}
    for number in range(subject.repeat + 1):
        home = subject.scratch / f"home-{subject.plugins}-{number}"
        job = {"what": "client", "url": host.url, "root": str(subject.root), "home": str(home)}
        for name, call, later in _STEPS:
            seconds, peak = run_worker({**job, "call": call, "id": subject.plugin_id, "later": later})
            counted = host.take()
            if name and number:  # the first round warms the server's cache of compressed files up
                calls[name].append((seconds[0], counted, peak))
    names = {
        "cold": "client: one plugin, nothing cached",
        "unchanged": "client: refresh, nothing changed",
        "inside": "client: one plugin, inside the TTL",
    }
    return [client_figure(names[name], rounds) for name, rounds in calls.items()]


def client_figure(name: str, rounds: list[tuple[float, Counted, int]]) -> Figure:
    seconds = tuple(taken for taken, _, _ in rounds)
    most = max((counted for _, counted, _ in rounds), key=lambda counted: counted.received)
    return Figure(name, median(seconds), seconds, most, max(peak for _, _, peak in rounds))


def commands(subject: Subject, host: Host) -> list[Figure]:
    """`plugin search` inside the TTL and `pip --version`, in turns, as whole processes."""
    environ = {
        **os.environ,
        "PLUGIN_REGISTRY_URL": host.url,
        "PLUGIN_REGISTRY_ROOT": str(subject.root),
        "PLUGIN_REGISTRY_HOME": str(subject.scratch / f"home-command-{subject.plugins}"),
    }
    search = [sys.executable, "-m", "registry_client.cli.main", "search", "calendar"]
    pip = [sys.executable, "-m", "pip", "--version"]
    for command in (search, pip):  # fills the cache, and the system's
        run_command(command, environ)
    host.take()
    times: tuple[list[float], list[float]] = [], []
    for _ in range(2 * subject.repeat):
        for command, seconds in zip((search, pip), times, strict=True):
            seconds.append(run_command(command, environ))
    counted = host.take()
    return [
        Figure("`plugin search`, inside the TTL", median(times[0]), tuple(times[0]), counted),
        Figure("`pip --version`", median(times[1]), tuple(times[1])),
    ]


def run_command(command: list[str], environ: dict[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return taken


def run_worker(job: dict[str, Any]) -> tuple[list[float], int]:
    """Run a worker process: its seconds and its peak memory."""
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job['what']} failed: {done.stderr}")
    result = json.loads(done.stdout)
    return result["seconds"], result["peak"]
