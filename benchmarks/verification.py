"""Everything verified again: the audit, with and without JSON Schema, on one core and on all; and a registrar that takes nothing over."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from benchmarks.data import options_for
from benchmarks.figures import Figure, run_worker
from benchmarks.plugins import VERSIONS
from benchmarks.subject import Subject
from benchmarks.timing import timed

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA_UP_TO = 1000
"""JSON Schema takes several times as long as all else, whatever the size."""
_UNIT = "manifests a second a core"


def measure_audit(subject: Subject) -> Iterator[Figure]:
    """Manifests a second a core, files in memory."""
    job = {"what": "benchmarks.verification:audits", "subject": subject.to_json()}
    result = run_worker({**job, "schema": subject.plugins <= _SCHEMA_UP_TO})
    versions = subject.plugins * len(VERSIONS)
    for key, title, cores in (
        ("audit", f"full audit without JSON Schema, {result['cores']} cores", result["cores"]),
        ("one", "full audit without JSON Schema, one core", 1),
        ("schema", f"full audit with JSON Schema, {result['cores']} cores", result["cores"]),
    ):
        if key in result:
            rate = versions / result[key] / cores
            yield Figure(f"verify/{key}", subject.plugins, title, (rate,), _UNIT, note="once")
    title = f"registrar that takes nothing over, {result['cores']} cores"
    yield Figure("verify/registrar", subject.plugins, title, (result["registrar"],), note="once")


def audits(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: seconds of each kind of full verification."""
    from publisher.registrar.run import register
    from publisher.tree import MemoryTree
    from publisher.watch.audit import audit
    from publisher.workers import available_cores

    subject = Subject.from_json(job["subject"])
    tree = subject.tree
    files = {path: tree.read(path) or b"" for path in tree.own_paths()}
    memory = MemoryTree({**files, **dict(tree.generator.files())})
    root = subject.root.read_bytes()

    def run(*, jobs: int, schema: bool) -> None:
        report = audit(memory, root, subject.now, allow_dev_keys=False, jobs=jobs, schema=schema)
        if report.findings:
            raise AssertionError(report.findings[:3])

    def rebuild() -> None:
        options = dataclasses.replace(options_for(root), full=True, jobs=0)
        changes = register(memory, (), options, subject.now).changes
        if any(not path.startswith("metadata/") for path in changes):
            raise AssertionError(f"a full rebuild found something to change: {sorted(changes)[:3]}")

    found = {
        "audit": timed(lambda: run(jobs=0, schema=False)),
        "one": timed(lambda: run(jobs=1, schema=False)),
        "registrar": timed(rebuild),
        "cores": available_cores(),
    }
    return {**found, "schema": timed(lambda: run(jobs=0, schema=True))} if job["schema"] else found
