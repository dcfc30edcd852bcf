"""Curves out of a results file, as SVG that can be read on a light and on a dark page. The same results give the same bytes."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.report import figures_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.figures import Figure

_INK = "#7d8590"  # readable on white and on black
_OURS = "#d2691e"
_OTHERS = ("#4a90d9", "#3fa66b", "#a56cc1", "#c9a227", "#c75b7a", "#5f9ea0")
_SETTINGS = {
    "svg.hashsalt": "plugin-registry",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


class Curve(NamedTuple):
    """One line of a plot.

    Attributes:
        key: of its figures.
        label: what it is, for people.
    """

    key: str
    label: str


class Plot(NamedTuple):
    """One picture.

    Attributes:
        name: of its file, without the ending.
        label: of the axis upwards.
        value: what of a figure is shown; None for nothing.
        curves: ours first.
    """

    name: str
    label: str
    value: Callable[[Figure], float | None]
    curves: tuple[Curve, ...]


def _seconds(figure: Figure) -> float | None:
    return figure.value * 1000


def _kilobytes(figure: Figure) -> float | None:
    return figure.counted.received / 1000 if figure.counted is not None else None


def _amount(figure: Figure) -> float | None:
    return figure.value


def _memory(figure: Figure) -> float | None:
    return figure.memory / 1e6 if figure.memory is not None else None


_COLD = (
    Curve("client/cold", "this registry"),
    Curve("peer/shard", "one of 256 shards, no TUF"),
    Curve("peer/whole", "a whole index, no TUF"),
    Curve("peer/tuf-bins/cold", "python-tuf, 256 hash bins"),
    Curve("peer/tuf-one/cold", "python-tuf, one targets file"),
    Curve("peer/git/cold", "git clone --depth 1"),
)
_AFTER = (
    Curve("client/changed", "this registry, one plugin changed"),
    Curve("client/unchanged", "this registry, nothing changed"),
    Curve("peer/tuf-bins/unchanged", "python-tuf, 256 hash bins, nothing changed"),
    Curve("peer/tuf-one/unchanged", "python-tuf, one targets file, nothing changed"),
    Curve("peer/git/changed", "git fetch --depth 1, one plugin changed"),
)
PLOTS = (
    Plot("cold-bytes", "one plugin looked up cold: KB received", _kilobytes, _COLD),
    Plot("cold-time", "one plugin looked up cold: ms", _seconds, _COLD),
    Plot("cold-memory", "one plugin looked up cold: MB beyond the imports", _memory, _COLD[:5]),
    Plot("refresh-bytes", "refresh: KB received", _kilobytes, _AFTER),
    Plot("refresh-time", "refresh: ms", _seconds, _AFTER),
    Plot(
        "registrar",
        "registrar after one publish: ms",
        _seconds,
        (
            Curve("registrar/publish", "in process, by what changed"),
            Curve("registrar/git-total", "with Git, all of it"),
            Curve("registrar/git-own", "Git's own part"),
        ),
    ),
    Plot(
        "commands",
        "whole processes: ms",
        _seconds,
        (
            Curve("command/search", "plugin search"),
            Curve("command/info", "plugin info"),
            Curve("command/pip", "pip --version"),
        ),
    ),
)


def draw(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Every plot for which there are figures at two sizes or more, by file name."""
    import matplotlib as mpl

    mpl.use("svg")
    figures = figures_of(document)
    made = {}
    with mpl.rc_context(_SETTINGS):
        for plot in PLOTS:
            lines = [(curve, _points(figures, curve.key, plot.value)) for curve in plot.curves]
            lines = [(curve, points) for curve, points in lines if len(points) > 1]
            if lines:
                made[f"{plot.name}.svg"] = _draw(plot, lines)
        growth = [figure for figure in figures if figure.key.startswith("growth/")]
        if growth:
            made["growth.svg"] = _bars(growth)
    return made


def _points(
    figures: Sequence[Figure], key: str, value: Callable[[Figure], float | None]
) -> list[tuple[int, float]]:
    found = ((figure.plugins, value(figure)) for figure in figures if figure.key == key)
    return sorted((plugins, number) for plugins, number in found if number is not None)


def _draw(plot: Plot, lines: Sequence[tuple[Curve, Sequence[tuple[int, float]]]]) -> bytes:
    import matplotlib.pyplot as plt

    picture, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    others = iter(_OTHERS)
    for curve, points in lines:
        ours = curve is plot.curves[0]
        axes.plot(
            [plugins for plugins, _ in points],
            [max(number, 0.01) for _, number in points],
            marker="o",
            markersize=4,
            linewidth=2.5 if ours else 1.5,
            color=_OURS if ours else next(others),
            label=curve.label,
        )
    axes.set(xscale="log", yscale="log", xlabel="plugins, 5 versions each", title=plot.label)
    sizes = sorted({plugins for _, points in lines for plugins, _ in points})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    numbers = [max(number, 0.01) for _, points in lines for _, number in points]
    axes.set_ylim(10 ** math.floor(math.log10(min(numbers))), 10 ** math.ceil(math.log10(max(numbers) * 1.1)))
    axes.yaxis.set_major_formatter(lambda number, _: f"{number:,g}")
    axes.grid(visible=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(picture)


def _bars(growth: Sequence[Figure]) -> bytes:
    import matplotlib.pyplot as plt

    picture, axes = plt.subplots(figsize=(7.2, 2.6), layout="constrained")
    labels = [figure.title.partition(": ")[2] or figure.title for figure in growth]
    bars = axes.barh(labels, [figure.value / 1000 for figure in growth], color=_OURS, height=0.6)
    axes.bar_label(bars, fmt="%.1f KB", padding=3, color=_INK)
    axes.set(
        title=f"the repository grows by so much a publish ({growth[0].plugins:,} plugins, after gc)",
        xlabel="KB",
    )
    axes.invert_yaxis()
    axes.margins(x=0.15)
    return _svg(picture)


def _svg(picture: Any) -> bytes:
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(picture)
    text = buffer.getvalue().decode()
    return "\n".join(line.rstrip() for line in text.splitlines()).encode() + b"\n"
