"""`python -m benchmarks.smoke`: guards against regressions, for every change. Small registries, ratios within one run, generous margins.

Counts (requests, round trips, bytes) are exact. Times are only compared with others of the same run, so that a slow machine fails nothing;
a guard on time that fails is measured once more, and only counts if it fails again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks.steps import scratch_folder, steps_for
from benchmarks.subject import build_subject
from benchmarks.targets import KB, ratio_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.figures import Figure
    from benchmarks.targets import Found

SMALL, LARGE = 100, 1000
_REPEAT = 3
_STEPS = ("client", "shards", "commands", "registrar", "manifests", "manifests-peers")


@dataclass(frozen=True)
class Guard:
    """Something that must stay as it is.

    Attributes:
        name: what it is called.
        says: what must hold, for people.
        measured: what is held against the bound, given all figures.
        most: the bound.
        timed: whether it depends on time, and may be measured again.
    """

    name: str
    says: str
    measured: Callable[[Found], float]
    most: float
    timed: bool = True

    def broken(self, found: Found) -> str | None:
        """What is wrong; None if nothing is."""
        value = self.measured(found)
        if value <= self.most:
            return None
        return f"guard {self.name}: {self.says}; measured {value:.2f}"


def _grows(key: str) -> Callable[[Found], float]:
    """How many times as long something takes with 1,000 plugins as with 100."""
    return lambda found: found[key, LARGE].value / found[key, SMALL].value


def _beside(key: str, other: str) -> Callable[[Found], float]:
    """How many times as long something takes as something else, with 1,000 plugins."""

    def ratio(found: Found) -> float:
        value = ratio_of(found, key, other, LARGE)
        if value is None:
            raise KeyError(f"{key} and {other} were not both measured")
        return value

    return ratio


def _used(key: str, what: str) -> Callable[[Found], float]:
    """What a client used of the network, the most at any size."""

    def most(found: Found) -> float:
        counts = [figure.counted for (name, _), figure in found.items() if name == key]
        if not counts or None in counts:
            raise KeyError(f"{key} was not counted")
        return float(max(getattr(counted, what) for counted in counts))

    return most


GUARDS = (
    Guard(
        "unchanged-trips",
        "a refresh that finds nothing new takes one round trip",
        _used("client/unchanged", "waves"),
        1,
        timed=False,
    ),
    Guard("unchanged-requests", "it makes 2 requests", _used("client/unchanged", "requests"), 2, timed=False),
    Guard(
        "unchanged-bytes",
        "it receives less than 1 KB",
        _used("client/unchanged", "received"),
        KB,
        timed=False,
    ),
    Guard(
        "cold-trips",
        "a cold look-up takes at most 5 round trips",
        _used("client/cold", "waves"),
        5,
        timed=False,
    ),
    Guard("cold-requests", "it makes at most 12 requests", _used("client/cold", "requests"), 12, timed=False),
    Guard(
        "cold-bytes", "it receives less than 60 KB", _used("client/cold", "received"), 60 * KB, timed=False
    ),
    Guard(
        "changed-trips",
        "after a change, at most 5 round trips",
        _used("client/changed", "waves"),
        5,
        timed=False,
    ),
    Guard(
        "changed-bytes",
        "after a change, less than 60 KB",
        _used("client/changed", "received"),
        60 * KB,
        timed=False,
    ),
    Guard(
        "inside-requests",
        "inside the TTL no request is made",
        _used("client/inside", "requests"),
        0,
        timed=False,
    ),
    Guard(
        "search-requests",
        "`plugin search` makes none either",
        _used("command/search", "requests"),
        0,
        timed=False,
    ),
    Guard(
        "registrar-grows",
        "the registrar takes at most 2 times as long with 1,000 plugins as with 100",
        _grows("registrar/publish"),
        2,
    ),
    Guard(
        "cold-grows",
        "a cold look-up takes at most 1.3 times as long with 1,000 plugins as with 100",
        _grows("client/cold"),
        1.3,
    ),
    Guard(
        "cold-time",
        "a cold look-up takes at most 2.5 times as long as a bare shard",
        _beside("client/cold", "peer/shard"),
        2.5,
    ),
    Guard(
        "search-time",
        "`plugin search` takes at most 1.3 times as long as `pip --version`",
        _beside("command/search", "command/pip"),
        1.3,
    ),
    Guard(
        "info-time",
        "`plugin info` takes at most 1.3 times as long as `pip --version`",
        _beside("command/info", "command/pip"),
        1.3,
    ),
    Guard(
        "manifests-time",
        "1,000 manifests take at most 2.5 times as long as over 64 bare connections",
        _beside("manifests/plain", "peer/connections"),
        2.5,
    ),
    Guard(
        "bundle-time",
        "with a bundle they take at most 0.8 times as long as without",
        _beside("manifests/bundle", "manifests/plain"),
        0.8,
    ),
)


def check(found: Found, guards: Iterable[Guard] = GUARDS) -> tuple[list[str], bool]:
    """Hold figures against guards.

    Returns:
        What is wrong, and whether measuring again could change that: nothing that was counted is wrong.
    """
    broken = [(guard, text) for guard in guards if (text := guard.broken(found)) is not None]
    return [text for _, text in broken], bool(broken) and all(guard.timed for guard, _ in broken)


def measure(repeat: int = _REPEAT, names: Sequence[str] = _STEPS) -> Found:
    """The figures that the guards need."""
    now = datetime.now(UTC).replace(microsecond=0)
    figures: list[Figure] = []
    for plugins in (SMALL, LARGE):
        with scratch_folder() as scratch:
            subject = build_subject(plugins, now, scratch, repeat)
            for step in steps_for(plugins, names):
                print(f"{plugins} plugins: {step.name}", file=sys.stderr, flush=True)
                figures += step.measure(subject)
    return {(figure.key, figure.plugins): figure for figure in figures}


def main(measured: Callable[[], Found] = measure) -> int:
    """Measure and judge, once more where only times are in doubt.

    Returns:
        The exit code: 1 if a guard is broken.
    """
    start = time.monotonic()
    found = measured()
    broken, again = check(found)
    if again:
        print("only times are over their bounds: measured once more", file=sys.stderr)
        first = {text.partition(":")[0] for text in broken}
        found = measured()
        broken = [text for text in check(found)[0] if text.partition(":")[0] in first]
    for guard in GUARDS:
        print(f"{guard.name}: {guard.measured(found):.2f}, at most {guard.most:g}")
    for text in broken:
        print(f"error: {text}", file=sys.stderr)
    print(f"{len(GUARDS)} guards, {len(broken)} broken, {time.monotonic() - start:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
