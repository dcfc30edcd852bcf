"""Figures as a table and as JSON, and the targets that they are held against."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.install import IDLE, LOCKED, LOOP
from benchmarks.install_data import COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Figure

KB = 1000
TARGETS_UP_TO = 1000


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        text: what is wanted.
        value: what was measured, for people.
        met: whether it is met.
        everywhere: whether it must be met on any machine (bytes and requests), or depends on the machine (time).
    """

    text: str
    value: str
    met: bool
    everywhere: bool


def targets(plugins: int, figures: Sequence[Figure]) -> list[Target]:
    """The targets for one registry; none for those larger than 1,000 plugins."""
    if plugins > TARGETS_UP_TO:
        return []
    by_name = {figure.name: figure for figure in figures}
    cold = by_name["client: one plugin, nothing cached"].counted
    unchanged = by_name["client: refresh, nothing changed"].counted
    inside = by_name["client: one plugin, inside the TTL"].counted
    search, pip = by_name["`plugin search`, inside the TTL"], by_name["`pip --version`"]
    registrar = by_name["registrar: after one publish"].seconds
    if cold is None or unchanged is None or inside is None or search.counted is None:
        raise AssertionError("clients are measured with their requests")
    idle = inside.requests + search.counted.requests
    ratio = search.seconds / pip.seconds
    return [
        Target(
            "one plugin cold: under 60 KB",
            f"{cold.received / KB:.1f} KB",
            cold.received < 60 * KB,
            everywhere=True,
        ),
        Target(
            "one plugin cold: at most 10 requests", str(cold.requests), cold.requests <= 10, everywhere=True
        ),
        Target(
            "unchanged: under 1 KB", f"{unchanged.received} bytes", unchanged.received < KB, everywhere=True
        ),
        Target("inside the TTL: no request", str(idle), idle == 0, everywhere=True),
        Target(
            "`plugin search`: at most 2 x `pip --version`", f"{ratio:.2f} x", ratio <= 2, everywhere=False
        ),
        Target(
            "registrar after one publish: under 0.3 s",
            f"{registrar:.3f} s",
            registrar < 0.3,
            everywhere=False,
        ),
    ]


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def install_targets(figures: Sequence[Figure]) -> list[Target]:
    """The targets for the installer."""
    by_name = {figure.name: figure for figure in figures}
    idle = by_name[IDLE].counted
    if idle is None:
        raise AssertionError("the command is measured with its requests")
    ratio = by_name[LOCKED].seconds / by_name[LOOP].seconds
    return [
        Target("from a lock: faster than the loop", f"{ratio:.2f} x", ratio < 1, everywhere=False),
        Target("nothing to do: no request", str(idle.requests), idle.requests == 0, everywhere=True),
    ]


def to_json(
    results: Mapping[int, Sequence[Figure]],
    installer: Sequence[Figure],
    latency: float,
    repeat: int,
    build_seconds: Mapping[int, float],
) -> dict[str, Any]:
    """The results file."""
    return {
        "machine": machine(),
        "latency": latency,
        "repeat": repeat,
        "installer": {
            "figures": [figure.to_json() for figure in installer],
            "targets": [vars(target) for target in install_targets(installer)],
        },
        "sizes": {
            str(plugins): {
                "buildSeconds": build_seconds[plugins],
                "figures": [figure.to_json() for figure in figures],
                "targets": [vars(target) for target in targets(plugins, figures)],
            }
            for plugins, figures in results.items()
        },
    }


def to_markdown(results: Mapping[int, Sequence[Figure]], installer: Sequence[Figure]) -> str:
    """A table with every figure and one with the targets; the same for the installer."""
    lines = [
        "| plugins | measured | median | fastest | requests | headers | bodies | peak memory |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for plugins, figures in results.items():
        lines += [_row(str(plugins), figure) for figure in figures]
    lines += [_row(str(COUNT), figure) for figure in installer]
    lines += ["", "| plugins | target | measured | |", "|---:|---|---:|---|"]
    held = [(str(plugins), t) for plugins, figures in results.items() for t in targets(plugins, figures)]
    for size, target in (*held, *((str(COUNT), t) for t in install_targets(installer))):
        verdict = "met" if target.met else "MISSED"
        lines.append(f"| {size} | {target.text} | {target.value} | {verdict} |")
    return "\n".join(lines)


def _row(plugins: str, figure: Figure) -> str:
    counted = figure.counted
    network = [str(counted.requests), f"{counted.heads} B", f"{counted.bodies} B"] if counted else [""] * 3
    peak = f"{figure.peak / KB**2:.0f} MB" if figure.peak else ""
    times = [_time(figure.seconds), _time(min(figure.all_seconds))]
    return f"| {' | '.join([plugins, figure.name, *times, *network, peak])} |"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
