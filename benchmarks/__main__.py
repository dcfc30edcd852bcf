"""`python -m benchmarks`: make registries, measure them and their peers, and say which targets are met.

Results are written after each step, so that a run that fails or is stopped leaves what it had. Exits with 1 if a step failed, or a
target that does not depend on the machine (bytes, requests, round trips, growth) is missed.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import ROOT
from benchmarks.report import figures_of, fill_pages, to_json, to_markdown
from benchmarks.steps import INSTALLER, SIZES, STEPS, measure_installer, scratch_folder, steps_for
from benchmarks.subject import build_subject
from benchmarks.targets import judge
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.figures import Figure

LATEST = ROOT / "benchmarks" / "results" / "latest.json"
PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "scale.md")


class Run:
    """One run: what was measured so far, written down after each step.

    Args:
        file: where the results go.
        repeat: how often each thing is measured.
    """

    def __init__(self, file: Path, repeat: int) -> None:
        self._file = file
        self._repeat = repeat
        self._start = time.monotonic()
        self.figures: list[Figure] = []
        self.seconds: dict[str, float] = {}
        self.failures: dict[str, str] = {}

    @property
    def document(self) -> dict[str, Any]:
        """The results file."""
        return to_json(self.figures, self._repeat, self.seconds, self.failures)

    def do(self, name: str, work: Callable[[], Iterable[Figure]]) -> None:
        """Measure something. A failure is kept, and the run goes on."""
        self.note(f"{name}…")
        start = time.monotonic()
        try:
            for figure in work():
                self.figures.append(figure)
        except Exception as e:  # noqa: BLE001  (whatever breaks one step must not cost the others' results)
            traceback.print_exc()
            self.failures[name] = f"{type(e).__name__}: {e}"[:500]
        self.seconds[name] = time.monotonic() - start
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._file, (json.dumps(self.document, indent=1) + "\n").encode())

    def note(self, text: str) -> None:
        """Say what is going on, on standard error."""
        print(f"{time.monotonic() - self._start:6.0f} s  {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks.

    Returns:
        The exit code.
    """
    chosen = _parser().parse_args(argv)
    if chosen.render is not None:
        document = json.loads(chosen.render.read_bytes())
        _render(document, chosen)
        return 0
    run = Run(chosen.json, chosen.repeat)
    try:
        _measure(run, chosen)
    except KeyboardInterrupt:
        run.note("stopped; what was measured until now is kept")
        run.failures["run"] = "stopped"
    document = run.document
    _render(document, chosen)
    print(to_markdown(document))
    for name, failure in run.failures.items():
        print(f"error: {name}: {failure}", file=sys.stderr)
    missed = [target for target in judge(run.figures) if not target.met]
    for target in missed:
        word = "MISSED" if target.everywhere else "missed on this machine"
        print(f"{word}: {target.plugins:,} plugins, {target.text}: {target.measured}", file=sys.stderr)
    return 1 if run.failures or any(target.everywhere for target in missed) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    names = [*(step.name for step in STEPS), INSTALLER]
    parser.add_argument("--plugins", type=int, nargs="+", default=list(SIZES), help="sizes of the registries")
    parser.add_argument("--repeat", type=int, default=3, help="how often each thing is measured")
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="STEP", help=", ".join(names))
    parser.add_argument("--json", type=Path, default=LATEST, metavar="FILE", help="where the results go")
    parser.add_argument(
        "--markdown",
        type=Path,
        nargs="*",
        metavar="PAGE",
        help="fill the measured parts of pages, by default the documents",
    )
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the curves into this folder")
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing: take the results of a former run"
    )
    return parser


def _measure(run: Run, chosen: argparse.Namespace) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for plugins in chosen.plugins:
        steps = steps_for(plugins, chosen.only)
        if not steps:
            continue
        with scratch_folder() as scratch:
            run.note(f"{plugins:,} plugins: making the registry")
            subject = build_subject(plugins, now, scratch, chosen.repeat)
            run.seconds[f"{plugins} make"] = subject.built
            run.note(f"{plugins:,} plugins: made in {subject.built:.0f} s")
            for step in steps:
                run.do(f"{plugins} {step.name}", functools.partial(step.measure, subject))
    if not chosen.only or INSTALLER in chosen.only:
        run.do(INSTALLER, lambda: measure_installer(now, min(3, chosen.repeat)))


def _render(document: dict[str, Any], chosen: argparse.Namespace) -> None:
    if chosen.markdown is not None:
        fill_pages(chosen.markdown or PAGES, document, write_atomic)
    if chosen.plots is not None and figures_of(document):
        from benchmarks.plots import draw

        chosen.plots.mkdir(parents=True, exist_ok=True)
        for name, data in draw(document).items():
            write_atomic(chosen.plots / name, data)


if __name__ == "__main__":
    sys.exit(main())
