"""Fetches under way: at most one for each thing, and some that began before anyone asked.

Who asks for something that another thread fetches already waits for that fetch. What is fetched ahead is no more than bytes that are
there sooner: it is checked like any other by who asks for it, and an error of it is raised there and nowhere else. Threads are daemons, so
neither a process that ends nor anyone who did not ask waits for a fetch that hangs. A child process that was forked has none of them: it
begins anew, and waits for nothing that only its parent fetches.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from registry_client.forks import begins_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

R = TypeVar("R")
PARALLEL: Final = 64
"""So many fetches ahead are under way at most; further ones wait, unless someone asks for them."""
_ERROR_KEPT = 5.0
_RESULT_KEPT = 60.0
_LINGERS = 0.2


class _Flight(Generic[R]):
    """One fetch.

    Attributes:
        begun: whether a thread has taken it on.
        done: set when it has ended.
        error: what it ended in, where it failed.
        ended: when, in seconds of the monotonic clock.
    """

    def __init__(self, work: Callable[[], R]) -> None:
        self.begun = False
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.ended = float("inf")
        self._work = work
        self._results: list[R] = []

    def run(self) -> None:
        """Fetch, and keep what comes of it."""
        try:
            self._results.append(self._work())
        except BaseException as e:  # noqa: BLE001  (raised again where it is asked for)
            self.error = e
        self.ended = time.monotonic()
        self.done.set()

    def result(self) -> R:
        """What was fetched; raises what the fetch raised."""
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self._results[0]

    def outdated(self, now: float) -> bool:
        """Whether it ended so long ago that nobody will ask for it, or that its failure says nothing any more."""
        return now - self.ended > (_RESULT_KEPT if self.error is None else _ERROR_KEPT)


class Flights(Generic[R]):
    """Fetches by a key: whatever tells two different things apart. Threads may share an object."""

    def __init__(self) -> None:
        self.begin_anew()
        begins_anew(self)

    def begin_anew(self) -> None:
        """Forget every fetch, in a child process that has none of the threads."""
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._flights: dict[Hashable, _Flight[R]] = {}
        self._waiting: deque[_Flight[R]] = deque()
        self._threads = 0
        self._idle = 0

    def get(self, key: Hashable, work: Callable[[], R]) -> R:
        """What `work` gives, or what another thread's `work` for the same key gives.

        Raises:
            Exception: what the fetch raised; also one that was begun by `ahead` not long ago.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is None or flight.outdated(time.monotonic()):
                flight = self._flights[key] = _Flight(work)
            mine, flight.begun = not flight.begun, True
        if mine:
            flight.run()
        try:
            return flight.result()
        finally:
            self._forget(key, flight)

    def ahead(self, key: Hashable, work: Callable[[], R]) -> None:
        """Begin a fetch that someone will probably ask for; nothing where it is under way."""
        with self._lock:
            self._sweep()
            if key in self._flights:
                return
            flight = self._flights[key] = _Flight(work)
            self._waiting.append(flight)
            if self._idle >= len(self._waiting):
                self._more.notify()
                return
            if self._threads == PARALLEL:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._serve, daemon=True, name="registry-ahead").start()
        except RuntimeError:  # no more threads: whoever asks fetches it
            with self._lock:
                self._threads -= 1

    def forget(self, key: Hashable) -> None:
        """Let nobody have what was begun ahead."""
        with self._lock:
            self._flights.pop(key, None)

    def __contains__(self, key: Hashable) -> bool:
        """Whether it is under way, or there."""
        return key in self._flights

    def _serve(self) -> None:
        while True:
            with self._lock:
                flight = self._next()
                if flight is None:
                    self._threads -= 1
                    return
                flight.begun = True
            flight.run()

    def _next(self) -> _Flight[R] | None:
        """What is to be fetched next; None after a moment without. A thread that stays costs less than one for each fetch."""
        for again in (True, False):
            while self._waiting:
                flight = self._waiting.popleft()
                if not flight.begun:
                    return flight
            if again:
                self._idle += 1
                self._more.wait(_LINGERS)
                self._idle -= 1
        return None

    def _forget(self, key: Hashable, flight: _Flight[R]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _sweep(self) -> None:
        """Drop what nobody has asked for. Flights stand in the order in which they began."""
        now = time.monotonic()
        while self._flights and (first := next(iter(self._flights.items())))[1].outdated(now):
            del self._flights[first[0]]
