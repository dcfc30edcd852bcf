"""`python -m benchmarks`: build registries, measure them, print a table, write JSON.

Exits with 1 if a target that does not depend on the machine (bytes, requests) is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.data import build_data
from benchmarks.install import measure_install
from benchmarks.measure import LATENCY, Figure, Subject, measure
from benchmarks.report import install_targets, targets, to_json, to_markdown
from publisher.tree import write_changes
from registry_client.store import write_atomic

LATEST = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Run the benchmarks.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--plugins", type=int, nargs="+", default=[100, 1000], help="sizes of the registries")
    parser.add_argument("--repeat", type=int, default=9, help="how often each thing is measured")
    parser.add_argument("--json", type=Path, default=LATEST, metavar="FILE", help="where the results go")
    chosen = parser.parse_args()
    results: dict[int, list[Figure]] = {}
    build_seconds: dict[int, float] = {}
    for plugins in chosen.plugins:
        with tempfile.TemporaryDirectory(prefix="plugin-registry-bench-") as scratch:
            build_seconds[plugins], subject = build(plugins, Path(scratch), chosen.repeat)
            note(f"{plugins} plugins: made in {build_seconds[plugins]:.1f} s; measuring")
            results[plugins] = measure(subject)
    note("the installer; measuring")
    with tempfile.TemporaryDirectory(prefix="plugin-registry-bench-") as scratch:
        installer = measure_install(Path(scratch), datetime.now(UTC).replace(microsecond=0), chosen.repeat)
    document = to_json(results, installer, LATENCY, chosen.repeat, build_seconds)
    write_atomic(chosen.json, (json.dumps(document, indent=2) + "\n").encode())
    print(to_markdown(results, installer))
    held = [t for plugins, figures in results.items() for t in targets(plugins, figures)]
    missed = [t for t in (*held, *install_targets(installer)) if t.everywhere and not t.met]
    return 1 if missed else 0


def build(plugins: int, scratch: Path, repeat: int) -> tuple[float, Subject]:
    """Make a registry in a folder. Returns the seconds that took, too."""
    start = time.perf_counter()
    now = datetime.now(UTC).replace(microsecond=0)
    data = build_data(plugins, now)
    folder = scratch / "registry"
    write_changes(folder, data.files)
    subject = Subject(folder, plugins, data.plugins[plugins // 2].id, now, scratch, repeat)
    return time.perf_counter() - start, subject


def note(text: str) -> None:
    """Say what is going on, on standard error."""
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
