"""What was measured, and how it is had: workers in processes of their own, and whole commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.usage import Counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    """One measured thing.

    Attributes:
        key: its name for programs, such as `client/cold`.
        plugins: the size of the registry.
        title: its name for people.
        samples: each repetition.
        unit: of the samples: `s`, `B`, or what stands behind the number.
        counted: what one repetition used of the network (the most of any); None where there is none.
        memory: the most memory that one repetition took beyond its imports, in bytes; None where that was not measured.
        note: what a reader must know, such as how it was scaled.
    """

    key: str
    plugins: int
    title: str
    samples: tuple[float, ...]
    unit: str = "s"
    counted: Counted | None = None
    memory: int | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        raw = asdict(self)
        raw["counted"] = None if self.counted is None else vars(self.counted)
        return {
            **{name: value for name, value in raw.items() if value not in (None, "")},
            "median": self.value,
        }


def figure_from_json(raw: Mapping[str, Any]) -> Figure:
    """What `Figure.to_json` wrote."""
    counted = raw.get("counted")
    return Figure(
        raw["key"],
        raw["plugins"],
        raw["title"],
        tuple(raw["samples"]),
        raw.get("unit", ""),
        None if counted is None else Counted(**counted),
        raw.get("memory"),
        raw.get("note", ""),
    )


@dataclass
class Rounds:
    """Repetitions of one thing, as they come."""

    key: str
    plugins: int
    title: str
    note: str = ""
    seconds: list[float] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def add(self, seconds: float, counted: Counted | None = None, memory: int | None = None) -> None:
        """One repetition."""
        self.seconds.append(seconds)
        self.counted += [] if counted is None else [counted]
        self.memory += [] if memory is None else [memory]

    def figure(self) -> Figure:
        """All of them."""
        most = max(self.counted, key=lambda counted: (counted.waves, counted.received), default=None)
        memory = max(self.memory, default=None)
        return Figure(self.key, self.plugins, self.title, tuple(self.seconds), "s", most, memory, self.note)


def run_command(
    command: Sequence[str], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> float:
    """Run a command.

    Returns:
        The seconds it took, its start included.

    Raises:
        RuntimeError: it failed.
    """
    start = time.perf_counter()
    done = subprocess.run(
        command,
        env=None if environ is None else {**os.environ, **environ},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return taken


def run_worker(job: Mapping[str, Any]) -> dict[str, Any]:
    """Have a worker process do a job (`benchmarks.worker`).

    Returns:
        What it printed: `seconds` of each repetition, `memory` beyond the imports, and what else the job gives.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.worker"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{job['what']} failed: {done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
