"""What clients used of a server: requests, bytes, connections, and how many round trips stood one after the other."""

from __future__ import annotations

import heapq
from dataclasses import dataclass


@dataclass
class Counted:
    """What clients used.

    Attributes:
        requests: how many.
        sent: bytes of their request lines and headers.
        heads: bytes of status lines and headers they received.
        bodies: bytes of bodies they received, as compressed.
        connections: how many they opened, each one more round trip.
        waves: requests of which each began after the one before was answered, in the longest such chain: round trips, connections apart.
    """

    requests: int = 0
    sent: int = 0
    heads: int = 0
    bodies: int = 0
    connections: int = 0
    waves: int = 0

    @property
    def received(self) -> int:
        """Bytes that clients received."""
        return self.heads + self.bodies

    def plus(self, other: Counted) -> Counted:
        """What was used of both. Their round trips are not put together: those of one of them stand here."""
        total = Counted(**{name: value + vars(other)[name] for name, value in vars(self).items()})
        total.waves = max(self.waves, other.waves)
        return total


@dataclass
class _Request:
    begin: float
    sent: int
    fresh: bool
    end: float | None = None
    head: int = 0
    body: int = 0


class Log:
    """Requests since it was last taken."""

    def __init__(self) -> None:
        self._requests: dict[int, _Request] = {}
        self._next = 0

    def begin(self, now: float, sent: int, *, fresh: bool) -> int:
        """A request came in. Returns its number."""
        self._next += 1
        self._requests[self._next] = _Request(now, sent, fresh)
        return self._next

    def answered(self, number: int, head: int, body: int) -> None:
        """What its answer holds."""
        if number in self._requests:
            self._requests[number].head, self._requests[number].body = head, body

    def end(self, number: int, now: float) -> None:
        """Its answer was sent."""
        if number in self._requests:
            self._requests[number].end = now

    def take(self) -> dict[str, int]:
        """What was counted since the last call, as `Counted` has it."""
        requests, self._requests = list(self._requests.values()), {}
        return vars(
            Counted(
                len(requests),
                sum(one.sent for one in requests),
                sum(one.head for one in requests),
                sum(one.body for one in requests),
                sum(one.fresh for one in requests),
                count_waves([(one.begin, one.end) for one in requests]),
            )
        )


def count_waves(requests: list[tuple[float, float | None]]) -> int:
    """The longest chain of requests of which each began after the one before was answered.

    Args:
        requests: when each began and when it was answered; None if it was not.
    """
    answered: list[tuple[float, int]] = []
    before = most = 0
    for begin, end in sorted(requests, key=lambda one: one[0]):
        while answered and answered[0][0] <= begin:
            before = max(before, heapq.heappop(answered)[1])
        most = max(most, before + 1)
        if end is not None:
            heapq.heappush(answered, (end, before + 1))
    return most
