"""A point in time by which a call is over, whatever it hangs in.

Two ways lead there. `within` runs something in another thread and stops waiting for it: for what nothing can end, such as looking up
a name. `watched` runs something in the caller's own thread and ends it by shutting its socket: much cheaper, where it hangs in one.
"""

from __future__ import annotations

import contextlib
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
_LOOK: Final = 0.05
"""Seconds between two looks at the calls that are watched."""


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

    def headway(self) -> None:
        """What was hoped for is arriving; that moves no deadline, but may move a `Part` of one."""


class Part(Deadline):
    """A part of a deadline, for an attempt that others may follow.

    Args:
        whole: the deadline, which holds in any case.
        seconds: for how long the attempt may go on; by default until the deadline.
        most: for how long it may go on if there is headway, again and again, within `seconds`; by default no longer for that.

    Attributes:
        granted: the seconds that it was given.
    """

    def __init__(self, whole: Deadline, seconds: float | None = None, most: float | None = None) -> None:
        left = whole.remaining()
        self.granted = left if seconds is None else min(seconds, left)
        super().__init__(self.granted)
        self._whole = whole
        self._last = self._end if most is None else time.monotonic() + most

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return min(super().remaining(), self._whole.remaining())

    def used(self) -> float:
        """Seconds since it began, or since there was headway."""
        return self.granted - (self._end - time.monotonic())

    def headway(self) -> None:
        """Begin anew: what was hoped for from the attempt is arriving."""
        self._end = max(self._end, min(time.monotonic() + self.granted, self._last))


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
        raise _late(url)
    if errors:
        raise errors[0]
    return results[0]


def _late(url: str) -> FetchError:
    return FetchError(
        f"{shown(url)}: not complete within the deadline",
        hint="The host is slow or stuck; try again or use a mirror.",
    )


def _worker() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()


class Watch:
    """A call under way in its caller's thread.

    Args:
        deadline: when it is to end.
        url: what is fetched, for messages.

    Attributes:
        cancelled: set once the deadline has passed.
    """

    def __init__(self, deadline: Deadline, url: str) -> None:
        self.deadline = deadline
        self.url = url
        self.cancelled = threading.Event()
        self._stop: Callable[[], object] | None = None

    def hold(self, stop: Callable[[], object]) -> None:
        """What the call will wait for next, by what ends that wait."""
        self._stop = stop
        if self.cancelled.is_set():
            self.end()

    def end(self) -> None:
        """End the call: what it waits for fails."""
        self.cancelled.set()
        if self._stop is not None:
            with contextlib.suppress(
                OSError, ValueError, RuntimeError, AttributeError
            ):  # it is over by itself
                self._stop()


class _Watcher:
    """One thread that ends the calls whose deadline has passed; it ends itself when there was none for a while."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, in a child process that has none of the threads."""
        self._calls: set[Watch] = set()
        self._runs = False
        self._lock = threading.Lock()

    def add(self, call: Watch) -> None:
        """Watch a call."""
        self._calls.add(call)
        if not self._runs:
            with self._lock:
                if not self._runs:
                    threading.Thread(target=self._look, daemon=True, name="registry-deadline").start()
                    self._runs = True

    def remove(self, call: Watch) -> None:
        """The call is over."""
        self._calls.discard(call)

    def _look(self) -> None:
        idle = 0.0
        while True:
            time.sleep(_LOOK)
            for call in list(self._calls):
                if not call.deadline.remaining():
                    call.end()
            idle = 0.0 if self._calls else idle + _LOOK
            if idle > _IDLE:
                with self._lock:  # who adds a call does so before asking whether this runs
                    if not self._calls:
                        self._runs = False
                        return


_watcher = _Watcher()
_own = threading.local()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_idle.clear)
    os.register_at_fork(after_in_child=_watcher.forget)


def watching() -> Watch | None:
    """The call that this thread is in, if it is watched."""
    return getattr(_own, "watch", None)


def watched(deadline: Deadline, url: str, work: Callable[[Watch], R]) -> R:
    """Run `work` in this thread; at the deadline, what it said it would wait for (`Watch.hold`) is made to fail.

    Args:
        deadline: when to give up.
        url: what is fetched, for the message.
        work: is given what watches it.

    Raises:
        FetchError: the deadline has passed. What `work` raises is passed on.
    """
    if not deadline.remaining():
        raise _late(url)
    call, before = Watch(deadline, url), watching()
    _own.watch = call
    _watcher.add(call)
    try:
        result = work(call)
    except Exception as e:  # a socket that is shut while it is read fails in many ways
        if call.cancelled.is_set():
            raise _late(url) from e
        raise
    finally:
        _watcher.remove(call)
        _own.watch = before
    if call.cancelled.is_set():  # then it may have been cut short
        raise _late(url)
    return result
