"""Figures as tables and as JSON."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING, Any

from benchmarks.figures import figure_from_json
from benchmarks.serving import LATENCY, RATE
from benchmarks.targets import KB, MB, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.figures import Figure
    from benchmarks.targets import Target

_TABLES = (  # name of the part, its title, beginnings of the keys in it
    (
        "client",
        ("client/", "peer/shard", "peer/whole", "peer/tuf", "peer/git", "peer/pip", "command/info-cold"),
    ),
    ("manifests", ("manifests/", "peer/loop", "peer/threads", "peer/connections")),
    ("commands", ("command/search", "command/info", "command/pip", "catalogue/")),
    ("registrar", ("registrar/", "verify/", "growth/", "growth-kept/")),
    ("failover", ("failover/",)),
    ("shape", ("shape/",)),
    ("installer", ("install/", "resolve/")),
)


def to_json(
    figures: Sequence[Figure], repeat: int, seconds: Mapping[str, float], failures: Mapping[str, str]
) -> dict[str, Any]:
    """The results file.

    Args:
        figures: what was measured.
        repeat: how often.
        seconds: how long each step took.
        failures: steps that failed, and why.
    """
    return {
        "machine": machine(),
        "latency": LATENCY,
        "bytesPerSecond": RATE,
        "repeat": repeat,
        "seconds": {name: round(taken, 1) for name, taken in seconds.items()},
        "failures": dict(failures),
        "figures": [figure.to_json() for figure in figures],
        "targets": [vars(target) for target in judge(figures)],
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def figures_of(document: Mapping[str, Any]) -> list[Figure]:
    """The figures in a results file."""
    return [figure_from_json(raw) for raw in document["figures"]]


def tables(document: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a results file in Markdown, by name: one for each topic, and `targets`."""
    figures = figures_of(document)
    made = {"targets": _targets_table(judge(figures)), "machine": _machine_line(document)}
    for name, starts in _TABLES:
        some = [figure for figure in figures if _belongs(figure.key, starts)]
        if some:
            made[name] = _table(some)
    return made


def _belongs(key: str, starts: Iterable[str]) -> bool:
    return any(
        key.startswith(start)
        if start.endswith("/")
        else key == start or key.startswith(f"{start}/") or (start == "peer/tuf" and key.startswith(start))
        for start in starts
    )


def _machine_line(document: Mapping[str, Any]) -> str:
    found = document["machine"]
    rate = document["bytesPerSecond"] * 8 / 1_000_000
    minutes = sum(document["seconds"].values()) / 60
    return (
        f"One run of {minutes:.0f} minutes on {found['cores']} cores ({found['system']}) with Python {found['python']}; medians of "
        f"{document['repeat']} unless a row says otherwise; {document['latency'] * 1000:.0f} ms a round trip, {rate:.0f} Mbit/s."
    )


def _table(figures: Sequence[Figure]) -> str:
    """A row for each thing, a column for each size; requests, round trips and bytes in the same cell as the time."""
    sizes = sorted({figure.plugins for figure in figures})
    by_title: dict[str, dict[int, Figure]] = {}
    for figure in figures:
        title = f"{figure.title} ({figure.note})" if figure.note else figure.title
        by_title.setdefault(title, {})[figure.plugins] = figure
    lines = [
        f"| measured | {' | '.join(f'{size:,} plugins' for size in sizes)} |",
        f"|---|{'---:|' * len(sizes)}",
    ]
    for title, row in by_title.items():
        cells = [cell(row[size]) if size in row else "" for size in sizes]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(figure: Figure) -> str:
    """A figure in a table: its median, what it used of the network, and its memory."""
    parts = [amount(figure.value, figure.unit)]
    if figure.counted is not None and figure.counted.requests:
        used = figure.counted
        trips = "1 trip" if used.waves == 1 else f"{used.waves} trips"
        parts.append(f"{used.requests} requests, {trips}, {amount(used.received, 'B')}")
    if figure.memory is not None:
        parts.append(f"+{figure.memory / MB:.0f} MB memory")
    return "; ".join(parts)


def amount(value: float, unit: str) -> str:
    """A number with its unit, short."""
    if unit == "s":
        return (
            f"{value:.2f} s"
            if value >= 1
            else f"{value * 1000:.0f} ms"
            if value >= 0.01
            else f"{value * 1000:.1f} ms"
        )
    if unit == "B":
        steps = ((MB, "MB"), (KB, "KB"))
        return next((f"{value / size:.1f} {name}" for size, name in steps if value >= size), f"{value:.0f} B")
    return f"{value:,.0f} {unit}".rstrip()


def _targets_table(targets: Sequence[Target]) -> str:
    lines = ["| plugins | target | measured | |", "|---:|---|---:|---|"]
    for target in targets:
        verdict = "met" if target.met else "MISSED" if target.everywhere else "missed here"
        lines.append(f"| {target.plugins:,} | {target.text} | {target.measured} | {verdict} |")
    return "\n".join(lines)


def to_markdown(document: Mapping[str, Any]) -> str:
    """Everything, one table after the other."""
    made = tables(document)
    return "\n\n".join(f"**{name}**\n\n{text}" for name, text in made.items()) + "\n"


_PART = "<!-- measured: {name} -->\n\n{text}\n\n<!-- end of {name} -->"
_MARKED = re.compile(r"<!-- measured: (?P<name>[a-z-]+) -->\n.*?<!-- end of (?P=name) -->", re.DOTALL)


def fill(page: str, made: Mapping[str, str]) -> str:
    """A page with its measured parts as they are now; parts for which nothing was measured stay as they are."""

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        return _PART.format(name=name, text=made[name]) if name in made else match[0]

    return _MARKED.sub(part, page)


def fill_pages(
    pages: Iterable[Path], document: Mapping[str, Any], write: Callable[[Path, bytes], None]
) -> None:
    """Write the measured parts of these pages."""
    made = tables(document)
    for path in pages:
        write(path, fill(path.read_text("utf-8"), made).encode())
