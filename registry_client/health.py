"""What is remembered of each host, and the order in which hosts are asked because of it. Pure.

It decides about order and nothing else: every host stays in the list, no host gets into it, and whatever a host gives is verified as ever.
So a forged, lost or damaged memory costs time at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from registry_client.errors import (
    ExpiredError,
    FetchError,
    RegistryError,
    RollbackError,
    TooLargeError,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_REST: Final = 600.0
"""Seconds for which a host that failed is asked after the others. Longer than the TTL, or the next refresh would pay again."""
LONGEST_REST: Final = 3600.0
"""The same at most: each failure in a row doubles it."""
_SHORTEST_REST: Final = 60.0
_FORGOTTEN: Final = 24 * 3600.0
_MOST: Final = 64
_LONGEST_URL: Final = 500
_HIGHEST_COUNT: Final = 100
_LATEST: Final = 1e12
LARGEST_FILE: Final = 256 * 1024
"""Bytes of a written memory at most."""
_BUSY: Final = frozenset({429, 503})


class Trouble(StrEnum):
    """What was wrong with a host."""

    UNREACHABLE = "unreachable"
    """No connection, no whole answer, or one that says no."""
    SLOW = "slow"
    """It took longer than it is given where others can be asked."""
    BUSY = "busy"
    """It asked to be left alone."""
    LAGGING = "lagging"
    """It served older metadata than was verified already, or expired metadata."""
    WRONG = "wrong"
    """It served other bytes than were signed."""


_OF_METADATA: Final = frozenset({Trouble.LAGGING, Trouble.WRONG})


@dataclass(frozen=True)
class Mark:
    """A host that failed.

    Attributes:
        trouble: how, the last time.
        count: how often in a row.
        at: when, the last time; seconds since 1970.
        until: up to when it is asked after the others.
    """

    trouble: Trouble
    count: int
    at: float
    until: float

    def rests(self, now: float) -> bool:
        """Whether the host is asked after the others. A mark from the future says nothing: the clock was set back."""
        return self.at <= now < self.until


@dataclass(frozen=True)
class Health:
    """What is remembered of the hosts of one registry.

    Attributes:
        marks: by URL, of those that failed.
        answered: the host that last gave current metadata; empty where it is not known.
    """

    marks: Mapping[str, Mark] = field(default_factory=lambda: MappingProxyType({}))
    answered: str = ""

    def order(self, hosts: tuple[str, ...], now: float, *, files: bool = False) -> tuple[str, ...]:
        """The same hosts, those that rest after the others.

        Args:
            hosts: in the order in which they are configured.
            now: seconds since 1970.
            files: they are asked for files of a state that is known: who gave that state is asked first.
        """
        first = self.answered if files else ""
        return tuple(sorted(hosts, key=lambda host: (self.rests(host, now), host != first)))

    def rests(self, host: str, now: float) -> bool:
        """Whether a host is asked after the others."""
        mark = self.marks.get(host)
        return mark is not None and mark.rests(now)

    def failed(
        self, host: str, trouble: Trouble, now: float, *, since: float, retry_after: float | None = None
    ) -> Health:
        """A host has failed.

        Args:
            host: its URL.
            trouble: how.
            now: seconds since 1970.
            since: when the call began. Several requests at once, and several rounds of one call, are one failure.
            retry_after: for how many seconds it asked to be left alone; None where it did not.
        """
        known = self.marks.get(host)
        if known is not None and since <= known.at <= now:
            return self
        recent = known is not None and 0 <= now - known.at < _FORGOTTEN
        count = min(known.count + 1, _HIGHEST_COUNT) if known is not None and recent else 1
        rest = min(FIRST_REST * 2.0 ** min(count - 1, 10), LONGEST_REST)
        if retry_after is not None:
            rest = min(max(retry_after, _SHORTEST_REST), LONGEST_REST)
        return replace(self, marks=_kept({**self.marks, host: Mark(trouble, count, now, now + rest)}))

    def forgiven(self, before: Health, since: float) -> Health:
        """Every host has failed in one call, which speaks against none of them; only those that asked to be left alone still are.

        Args:
            before: what was remembered when the call began.
            since: when that was.
        """
        new = {h for h, m in self.marks.items() if m.at >= since and m.trouble is not Trouble.BUSY}
        kept = {h: m for h, m in self.marks.items() if h not in new}
        return (
            replace(self, marks=_kept({**kept, **{h: m for h, m in before.marks.items() if h in new}}))
            if new
            else self
        )

    def gave_file(self, host: str) -> Health:
        """A host has given a file, whole and right, which says nothing of how current its metadata is."""
        mark = self.marks.get(host)
        return self if mark is None or mark.trouble in _OF_METADATA else self._without(host)

    def gave_metadata(self, host: str) -> Health:
        """A host has given current metadata."""
        cleared = self._without(host) if host in self.marks else self
        return cleared if cleared.answered == host else replace(cleared, answered=host)

    def _without(self, host: str) -> Health:
        return replace(self, marks=MappingProxyType({h: m for h, m in self.marks.items() if h != host}))


def _kept(marks: Mapping[str, Mark]) -> Mapping[str, Mark]:
    """The newest of them, so that what is written stays small."""
    newest = sorted(marks.items(), key=lambda item: item[1].at, reverse=True)
    return MappingProxyType(dict(sorted(newest[:_MOST])))


def trouble_of(error: RegistryError, *, late: bool) -> Trouble:
    """What a failed attempt says of the host.

    Args:
        error: what the attempt ended in.
        late: whether the time that it was given had passed.
    """
    if isinstance(error, (RollbackError, ExpiredError)):
        return Trouble.LAGGING
    if isinstance(error, (VerificationError, TooLargeError)):
        return Trouble.WRONG
    if isinstance(error, FetchError) and (error.retry_after is not None or error.status in _BUSY):
        return Trouble.BUSY
    return Trouble.SLOW if late else Trouble.UNREACHABLE


def parse_health(data: bytes) -> Health:
    """What was written, as far as it can be read: another version, or anybody, may have written the file."""
    try:
        raw = json.loads(data) if len(data) <= LARGEST_FILE else None
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict) or not isinstance(raw.get("marks"), dict):
        return Health()
    marks = {host: mark for host, item in raw["marks"].items() if (mark := _mark(item)) is not None}
    answered = raw.get("answered")
    return Health(_kept(marks), answered if isinstance(answered, str) else "")


def _mark(raw: Any) -> Mark | None:
    """A mark, if it is one."""
    try:
        trouble, count, at, until = Trouble(raw["trouble"]), raw["count"], raw["at"], raw["until"]
    except (KeyError, TypeError, ValueError):
        return None
    times = all(type(time) in {int, float} and 0 <= time < _LATEST for time in (at, until))
    if type(count) is not int or not 1 <= count <= _HIGHEST_COUNT or not times:
        return None
    return Mark(trouble, count, at, until) if 0 < until - at < LONGEST_REST + 1 else None  # + 1: rounding


def dump_health(health: Health) -> bytes:
    """What is written; hosts with very long URLs are not remembered."""
    marks = {
        host: {"trouble": mark.trouble.value, "count": mark.count, "at": mark.at, "until": mark.until}
        for host, mark in health.marks.items()
        if len(host) <= _LONGEST_URL
    }
    answered = health.answered if len(health.answered) <= _LONGEST_URL else ""
    return json.dumps({"marks": marks, "answered": answered}).encode()
