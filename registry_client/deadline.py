"""A point in time by which a call is over, whatever it hangs in, and the threads that calls wait for."""

from __future__ import annotations

import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

from registry_client.errors import FetchError
from registry_client.urls import shown

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")
_IDLE: Final = 1.0
"""Seconds after which a thread that has nothing to do ends."""


class Deadline:
    """A point in time after which a call gives up.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())


class Part(Deadline):
    """A part of a deadline, for an attempt that others may follow: it is over sooner, unless it makes headway.

    Args:
        whole: the deadline, which holds in any case.
        seconds: for how long the attempt may go on without headway; by default until the deadline.

    Attributes:
        granted: the seconds that it was given.
    """

    def __init__(self, whole: Deadline, seconds: float | None = None) -> None:
        left = whole.remaining()
        self.granted = left if seconds is None else min(seconds, left)
        self._whole = whole
        super().__init__(self.granted)

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return min(super().remaining(), self._whole.remaining())

    def used(self) -> float:
        """Seconds since it began, or since there was headway."""
        return self.granted - (self._end - time.monotonic())

    def headway(self) -> None:
        """Begin anew: what was hoped for from the attempt is arriving."""
        self._end = time.monotonic() + self.granted


class _Worker:
    """A thread that works for one caller at a time, and ends when it was idle for a while.

    Starting a thread for each call costs more than the rest of a small one.
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._serve, daemon=True, name="registry-fetch").start()

    def take(self, task: Callable[[], None]) -> None:
        """Do this next. Only for who took it out of the idle ones, or has just made it."""
        self._tasks.put(task)

    def _serve(self) -> None:
        while True:
            try:
                self._tasks.get(timeout=_IDLE)()
            except Empty:
                try:
                    _idle.remove(self)
                except ValueError:  # somebody has just taken it: a task is on its way
                    continue
                return
            _idle.append(self)


_idle: list[_Worker] = []  # its methods are atomic; who worked last is taken first, so that others can end
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_idle.clear)  # the child has none of the threads


def within(deadline: Deadline, url: str, work: Callable[[threading.Event], R]) -> R:
    """Run `work` in another thread and give up at the deadline, whatever it hangs in (DNS, TLS, headers, body).

    Args:
        deadline: when to give up.
        url: what is fetched, for the message.
        work: is given an event that is set once nobody waits for it any more.

    Raises:
        FetchError: the deadline has passed. What `work` raises is passed on.
    """
    cancelled = threading.Event()
    results: list[R] = []
    errors: list[BaseException] = []
    done = threading.Lock()
    done.acquire()

    def run() -> None:
        try:
            results.append(work(cancelled))
        except BaseException as e:  # noqa: BLE001  (handed to the caller's thread below)
            errors.append(e)
        finally:
            done.release()

    left = deadline.remaining()
    if left:
        _worker().take(run)
    try:
        while left and not done.acquire(timeout=left):
            left = deadline.remaining()  # headway may have moved it
    finally:
        cancelled.set()
    if not left:
        raise FetchError(
            f"{shown(url)}: not complete within the deadline",
            hint="The host is slow or stuck; try again or use a mirror.",
        )
    if errors:
        raise errors[0]
    return results[0]


def _worker() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()
