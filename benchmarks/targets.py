"""The targets, and whether figures meet them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchmarks.figures import Figure
    from benchmarks.usage import Counted

KB = 1000
MB = 1000 * KB
Found = dict[tuple[str, int], "Figure"]


@dataclass(frozen=True)
class Target:
    """One target, held against what was measured.

    Attributes:
        plugins: the size of the registry.
        text: what is wanted.
        measured: what was measured, for people.
        met: whether it is met.
        everywhere: whether it must be met on any machine (bytes, requests, round trips, growth), or depends on the machine (time, memory).
    """

    plugins: int
    text: str
    measured: str
    met: bool
    everywhere: bool


def judge(figures: Iterable[Figure]) -> list[Target]:
    """Every target for which there are figures."""
    found = {(figure.key, figure.plugins): figure for figure in figures}
    sizes = sorted({plugins for _, plugins in found})
    judged = [target for plugins in sizes for target in _at(plugins, found)]
    return [*judged, *_across(sizes, found)]


def _at(plugins: int, found: Found) -> Iterator[Target]:
    yield from _clients(plugins, found)
    yield from _times(plugins, found)
    yield from _rates(plugins, found)


def _clients(plugins: int, found: Found) -> Iterator[Target]:
    """Bytes, requests and round trips of clients: the same on any machine."""
    for key, name, most, waves in (
        ("client/unchanged", "nothing changed", KB, 1),
        ("client/cold", "one plugin cold", 60 * KB, 5),
        ("client/changed", "one plugin changed", 60 * KB, 5),
    ):
        counted = _counted(found, key, plugins)
        if counted is not None:
            size, trips = counted.received, counted.waves
            yield Target(
                plugins, f"{name}: under {most // KB} KB", f"{size / KB:.1f} KB", size < most, everywhere=True
            )
            text = f"{name}: {'one round trip' if waves == 1 else f'at most {waves} round trips'}"
            yield Target(plugins, text, str(trips), trips <= waves, everywhere=True)
    for key, name in (
        ("client/inside", "one plugin, inside the TTL"),
        ("command/search", "`plugin search`, inside the TTL"),
        ("command/info", "`plugin info`, inside the TTL"),
    ):
        counted = _counted(found, key, plugins)
        if counted is not None:
            yield Target(
                plugins, f"{name}: no request", str(counted.requests), counted.requests == 0, everywhere=True
            )
    cold = found.get(("client/cold", plugins))
    if cold is not None and cold.memory is not None:
        text = "one plugin cold: memory within 20 MB of the imports"
        yield Target(plugins, text, f"{cold.memory / MB:.1f} MB", cold.memory < 20 * MB, everywhere=False)


def _counted(found: Found, key: str, plugins: int) -> Counted | None:
    figure = found.get((key, plugins))
    return None if figure is None else figure.counted


_UNDER = (  # key, sizes it is for (none: all), text, seconds
    ("manifests/plain", (1000,), "all manifests without a bundle", 1.0),
    ("manifests/bundle", (1000,), "all manifests with a bundle", 0.4),
    ("catalogue/searched", (10_000,), "catalogue parsed and searched", 0.05),
    ("registrar/publish", (10_000,), "registrar after one publish", 0.3),
    ("registrar/publish", (100_000,), "registrar after one publish", 1.0),
)
_RATIOS = (  # key, beside what, sizes it is for (none: all), text, at most so many times
    ("client/cold", "peer/shard", (), "one plugin cold: at most 2 x a bare fetch of one of 256 shards", 2.0),
    ("command/search", "command/pip", (1000,), "`plugin search`: faster than `pip --version`", 1.0),
    ("command/info", "command/pip", (1000,), "`plugin info`: faster than `pip --version`", 1.0),
    ("install/locked", "install/loop", (), "install from a lock: faster than a loop", 1.0),
)


def _times(plugins: int, found: Found) -> Iterator[Target]:
    """Seconds, and ratios of seconds within one run."""
    for key, sizes, text, seconds in _UNDER:
        figure = found.get((key, plugins))
        if figure is not None and plugins in sizes:
            met = figure.value < seconds
            yield Target(
                plugins, f"{text}: under {seconds:g} s", f"{figure.value:.3f} s", met, everywhere=False
            )
    for key, beside, some, text, most in _RATIOS:
        ratio = ratio_of(found, key, beside, plugins)
        if ratio is not None and (not some or plugins in some):
            yield Target(plugins, text, f"{ratio:.2f} x", ratio <= most, everywhere=False)
    for kind in ("dead", "slow", "lagging"):
        first, second = (found.get((f"failover/{kind}/{turn}", plugins)) for turn in ("first", "second"))
        usual = found.get(("failover/none/second", plugins))
        if first is not None and second is not None and usual is not None:
            text = f"first mirror {kind}: remembered, the next refresh at most 2 x one without trouble"
            ratio = second.value / usual.value
            yield Target(plugins, text, f"{ratio:.2f} x", ratio <= 2, everywhere=False)


def ratio_of(found: Mapping[tuple[str, int], Figure], key: str, beside: str, plugins: int) -> float | None:
    """How many times as long one thing took as another; None if one of them was not measured."""
    one, other = found.get((key, plugins)), found.get((beside, plugins))
    return None if one is None or other is None else one.value / other.value


def _rates(plugins: int, found: Found) -> Iterator[Target]:
    """Full verification, and growth of the repository."""
    rate = found.get(("verify/audit", plugins))
    if rate is not None and plugins >= 10_000:
        text = "full audit without jsonschema: 2,500 manifests a second a core"
        yield Target(plugins, text, f"{rate.value:.0f}", rate.value >= 2500, everywhere=False)
    for (key, size), figure in found.items():
        if key.startswith("growth/batch") and size == plugins:
            met = figure.value < 4 * KB
            yield Target(
                plugins, f"{figure.title}: under 4 KB", f"{figure.value / KB:.2f} KB", met, everywhere=True
            )


def _across(sizes: list[int], found: Found) -> Iterator[Target]:
    """What must not depend on the size of the registry."""
    received = [counted.received for size in sizes if (counted := _counted(found, "client/unchanged", size))]
    if len(received) > 1:
        spread = max(received) - min(received)
        text = "nothing changed: as many bytes at any size, within 50"
        yield Target(sizes[-1], text, f"{spread} bytes apart", spread <= 50, everywhere=True)
