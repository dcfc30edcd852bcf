"""How much a repository grows by each publish, everything committed, in one repository: batch after batch, packed anew in between.

Packed anew means that Git looks for the best deltas again (`git repack -adf`), on one thread, so that sizes can be compared to the byte.
A plain `git gc` keeps the deltas that it finds, and a shard that is stored as a delta of another one never serves as the base of its next
version: it is measured beside it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data import maintainers, sign_targets
from benchmarks.figures import Figure, run_worker
from benchmarks.registrar import GitBench
from benchmarks.repository import environment, pack, pack_anew
from benchmarks.subject import Subject
from publisher.git import Git
from registry_client.jsontext import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 60
_CASES = (  # key, publishes a run, runs
    ("batch-1", 1, 15),
    ("batch-5", 5, 8),
    ("batch-20", 20, 3),
    ("waiting-1", 1, 10),
)
_PLAIN = "plain-gc"


def measure_growth(subject: Subject) -> Iterator[Figure]:
    """New versions of plugins all over the registry, in batches, ten minutes apart; and one by one with `catalogueMinutes`."""
    folder = subject.scratch / "growth"
    job = {"what": "benchmarks.growth:grow", "subject": subject.to_json(), "folder": str(folder)}
    found: dict[str, float] = run_worker(job)
    shutil.rmtree(folder)
    for key, batch, runs in _CASES:
        title = f"growth a publish: {_said(key, batch)}"
        yield Figure(f"growth/{key}", subject.plugins, title, (found[key],), "B", note=f"{runs} runs")
    title = "grown by plain git gc: one by one"
    yield Figure(
        f"growth-kept/{_PLAIN}", subject.plugins, title, (found[_PLAIN],), "B", note=f"{_CASES[0][2]} runs"
    )


def _said(key: str, batch: int) -> str:
    waiting = f", catalogueMinutes {WAIT}" if key.startswith("waiting") else ""
    return f"{'one by one' if batch == 1 else f'batches of {batch}'}{waiting}"


def grow(job: dict[str, Any]) -> dict[str, float]:
    """A worker: bytes of growth for each publish."""
    subject = Subject.from_json(job["subject"])
    bench = GitBench(subject, Path(job["folder"]))
    publishes = sum(batch * runs for _, batch, runs in _CASES)
    numbers = [number * subject.plugins // (publishes + 2) for number in range(publishes + 2)]
    bench.publish([numbers.pop()])  # after the first run it goes on by what changed
    before = pack_anew(bench.git)
    found: dict[str, float] = {}
    for key, batch, runs in _CASES:
        if key.startswith("waiting"):
            bench.maintain(_wait(bench))
            bench.publish([numbers.pop()])
            before = pack_anew(bench.git)
        for _ in range(runs):
            bench.publish([numbers.pop() for _ in range(batch)])
        if not found:
            found[_PLAIN] = (_plain_gc(bench) - before) / (batch * runs)
        after = pack_anew(bench.git)
        found[key] = (after - before) / (batch * runs)
        before = after
    return found


def _plain_gc(bench: GitBench) -> int:
    """The size that `git gc` leaves, in a copy."""
    copy = bench.git.folder.with_suffix(".copy")
    shutil.copytree(bench.git.folder, copy)
    size = pack(Git(copy, environment()))
    shutil.rmtree(copy)
    return size


def _wait(bench: GitBench) -> dict[str, bytes]:
    """The files by which maintainers let the catalogue wait."""
    files = bench.statements()
    policy = {**json.loads(files["policy.json"]), "catalogueMinutes": WAIT}
    return sign_targets(files, {"policy.json": dump_json(policy)}, maintainers(), bench.now)
