"""`python -m benchmarks.smoke`: guards against regressions, for every change. Small registries, ratios within one run, generous margins.

Counts (requests, round trips, bytes) are exact. Times are only compared with others of the same run, so that a slow machine fails nothing;
what a guard on time needs is measured once more where it fails, and only counts if it fails again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks import steps
from benchmarks.peers.bare import measure_connections
from benchmarks.subject import build_subject
from benchmarks.targets import KB

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from benchmarks.figures import Figure
    from benchmarks.targets import Found

SMALL, LARGE = 100, 1000
_REPEAT = 2


@dataclass(frozen=True)
class Guard:
    """Something that must stay as it is.

    Attributes:
        name: what it is called.
        says: what must hold, for people.
        keys: of the figures that it looks at.
        measured: what is held against the bound, given all figures.
        most: the bound.
        timed: whether it depends on time, and may be measured again.
    """

    name: str
    says: str
    keys: tuple[str, ...]
    measured: Callable[[Found], float]
    most: float
    timed: bool = True

    def message(self, found: Found) -> str:
        """What to say where it is broken."""
        return f"guard {self.name}: {self.says}; measured {self.measured(found):.2f}, at most {self.most:g}"


def _grows(name: str, says: str, key: str, most: float) -> Guard:
    """How many times as long something takes with 1,000 plugins as with 100."""

    def measured(found: Found) -> float:
        return found[key, LARGE].value / found[key, SMALL].value

    text = f"{says} takes at most {most:g} times as long with {LARGE:,} plugins as with {SMALL}"
    return Guard(name, text, (key,), measured, most)


def _beside(name: str, says: str, keys: tuple[str, str], most: float) -> Guard:
    """How many times as long something takes as something else, with 1,000 plugins."""

    def measured(found: Found) -> float:
        return found[keys[0], LARGE].value / found[keys[1], LARGE].value

    return Guard(name, says, keys, measured, most)


def _used(name: str, says: str, key: str, what: str, most: float) -> Guard:
    """What a client used of the network, the most at any size."""

    def measured(found: Found) -> float:
        counts = [figure.counted for (known, _), figure in found.items() if known == key]
        return float(max(getattr(counted, what) for counted in counts if counted is not None))

    return Guard(name, says, (key,), measured, most, timed=False)


_COLD, _UNCHANGED, _CHANGED = "client/cold", "client/unchanged", "client/changed"
GUARDS = (
    _used("unchanged-trips", "a refresh that finds nothing new takes one round trip", _UNCHANGED, "waves", 1),
    _used("unchanged-requests", "it makes 2 requests", _UNCHANGED, "requests", 2),
    _used("unchanged-bytes", "it receives less than 1 KB", _UNCHANGED, "received", KB),
    _used("cold-trips", "a cold look-up takes at most 5 round trips", _COLD, "waves", 5),
    _used("cold-requests", "it makes at most 12 requests", _COLD, "requests", 12),
    _used("cold-bytes", "it receives less than 60 KB", _COLD, "received", 60 * KB),
    _used("changed-trips", "after a change, at most 5 round trips", _CHANGED, "waves", 5),
    _used("changed-bytes", "after a change, less than 60 KB", _CHANGED, "received", 60 * KB),
    _used("inside-requests", "inside the TTL no request is made", "client/inside", "requests", 0),
    _used("search-requests", "`plugin search` makes none inside the TTL", "command/search", "requests", 0),
    _grows("registrar-grows", "the registrar", "registrar/publish", 2),
    _grows("cold-grows", "a cold look-up", _COLD, 1.3),
    _beside(
        "cold-time",
        "a cold look-up takes at most 2.5 times as long as a bare shard",
        (_COLD, "peer/shard"),
        2.5,
    ),
    _beside(
        "search-time",
        "`plugin search` takes at most 1.3 times as long as `pip --version`",
        ("command/search", "command/pip"),
        1.3,
    ),
    _beside(
        "info-time",
        "`plugin info` takes at most 1.3 times as long as `pip --version`",
        ("command/info", "command/pip"),
        1.3,
    ),
    _beside(
        "manifests-time",
        "1,000 manifests take at most 8 times as long as over 64 bare connections",
        ("manifests/plain", "peer/connections"),
        8,
    ),
    _beside(
        "bundle-time",
        "with a bundle they take at most 0.8 times as long as without",
        ("manifests/bundle", "manifests/plain"),
        0.8,
    ),
)


def broken_in(found: Found, guards: Iterable[Guard] = GUARDS) -> list[Guard]:
    """The guards that figures break."""
    return [guard for guard in guards if guard.measured(found) > guard.most]


STEPS = {
    step.name: step
    for step in (
        *steps.STEPS,
        steps.Step("shards", steps.measure_shards),
        steps.Step("connections", measure_connections, (LARGE,)),
    )
}
"""What can be measured here, by name."""
NEEDED = {  # by the beginning of the keys of its figures
    "client/": "client",
    "peer/shard": "shards",
    "command/": "commands",
    "registrar/": "registrar",
    "manifests/": "manifests",
    "peer/connections": "connections",
}


def measure(names: Collection[str] = tuple(NEEDED.values())) -> Found:
    """The figures of these steps."""
    now = datetime.now(UTC).replace(microsecond=0)
    figures: list[Figure] = []
    for plugins in (SMALL, LARGE):
        with steps.scratch_folder() as scratch:
            subject = build_subject(plugins, now, scratch, _REPEAT)
            for name in names:
                if STEPS[name].sizes is None or plugins in (STEPS[name].sizes or ()):
                    start = time.monotonic()
                    figures += STEPS[name].measure(subject)
                    taken = time.monotonic() - start
                    print(f"{plugins} plugins: {name}, {taken:.0f} s", file=sys.stderr, flush=True)
    return {(figure.key, figure.plugins): figure for figure in figures}


def main(measured: Callable[[Collection[str]], Found] = measure) -> int:
    """Measure and judge, once more where only times are in doubt.

    Returns:
        The exit code: 1 if a guard is broken.
    """
    start = time.monotonic()
    found = measured(tuple(NEEDED.values()))
    broken = broken_in(found)
    if broken and all(guard.timed for guard in broken):
        names = ", ".join(guard.name for guard in broken)
        print(f"measured once more, as only times are over their bounds: {names}", file=sys.stderr)
        again = {
            step
            for guard in broken
            for key in guard.keys
            for first, step in NEEDED.items()
            if key.startswith(first)
        }
        found = {**found, **measured([name for name in NEEDED.values() if name in again])}
        broken = broken_in(found, broken)
    for guard in GUARDS:
        print(f"{guard.name}: {guard.measured(found):.2f}, at most {guard.most:g}")
    for guard in broken:
        print(f"error: {guard.message(found)}", file=sys.stderr)
    print(f"{len(GUARDS)} guards, {len(broken)} broken, {time.monotonic() - start:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
