"""How much a repository grows by each publish, after `git gc`, everything committed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, run_worker
from benchmarks.registrar import GitBench
from benchmarks.repository import pack
from benchmarks.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCHES = ((1, 20), (5, 8), (20, 3))  # publishes a run, runs
WAIT = 60


def measure_growth(subject: Subject, waiting: Subject) -> Iterator[Figure]:
    """New versions of plugins all over the registry, in batches of 1, 5 and 20, ten minutes apart.

    Args:
        subject: a registry whose catalogue is written at once.
        waiting: the same with `catalogueMinutes`.
    """
    cases = [(subject, "", batch, runs) for batch, runs in _BATCHES]
    cases.append((waiting, f", catalogueMinutes {WAIT}", *_BATCHES[0]))
    for registry, how, batch, runs in cases:
        folder = registry.scratch / "growth"
        job = {"what": "benchmarks.growth:grow", "subject": registry.to_json(), "folder": str(folder)}
        result = run_worker({**job, "batch": batch, "runs": runs})
        shutil.rmtree(folder)
        yield Figure(
            f"growth/{'waiting' if how else 'batch'}-{batch}",
            subject.plugins,
            f"growth a publish: {'one by one' if batch == 1 else f'batches of {batch}'}{how}",
            (result["bytes"],),
            "B",
            note=f"{runs} runs",
        )


def grow(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: bytes of growth for each publish."""
    subject = Subject.from_json(job["subject"])
    bench = GitBench(subject, Path(job["folder"]))
    step = subject.plugins // (job["batch"] * (job["runs"] + 1))
    numbers = list(range(0, subject.plugins, max(1, step)))
    bench.publish([numbers.pop()])  # after the first run it goes on by what changed
    before = pack(bench.git)
    for _ in range(job["runs"]):
        bench.publish([numbers.pop() for _ in range(job["batch"])])
    return {"bytes": (pack(bench.git) - before) / (job["batch"] * job["runs"])}
