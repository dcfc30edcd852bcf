"""A point in time by which a call is over, whatever it hangs in."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from registry_client.errors import FetchError
from registry_client.urls import shown

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


class Deadline:
    """A point in time after which a call gives up."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())


def within(deadline: Deadline, url: str, work: Callable[[threading.Event], R]) -> R:
    """Run `work` in a thread and give up at the deadline, whatever it hangs in (DNS, TLS, headers, body).

    Args:
        deadline: when to give up.
        url: what is fetched, for the message.
        work: is given an event that is set once nobody waits for it any more.

    Raises:
        FetchError: the deadline has passed. What `work` raises is passed on.
    """
    late = FetchError(
        f"{shown(url)}: not complete within the deadline",
        hint="The host is slow or stuck; try again or use a mirror.",
    )
    if not deadline.remaining():
        raise late
    cancelled = threading.Event()
    results: list[R] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(cancelled))
        except BaseException as e:  # noqa: BLE001  (handed to the caller's thread below)
            errors.append(e)

    thread = threading.Thread(target=run, daemon=True, name="registry-fetch")
    thread.start()
    thread.join(deadline.remaining())
    if thread.is_alive():
        cancelled.set()
        raise late
    if errors:
        raise errors[0]
    return results[0]
