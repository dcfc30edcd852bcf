"""Waiting for more before a run begins, so that a busy registry commits in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

_MOMENT: Final = 3.0
"""Seconds without a new ref after which the run begins."""


class Pause(NamedTuple):
    """How time passes.

    Attributes:
        sleep: lets seconds pass.
        clock: seconds, from any beginning.
    """

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def gather(look: Callable[[], Mapping[str, str]], seconds: float, pause: Pause) -> None:
    """Wait until no new ref has come for a moment. Where none is pending there is nothing to wait for.

    Args:
        look: commits of the pending refs, by name.
        seconds: for how long at most.
        pause: how time passes.
    """
    end = pause.clock() + seconds
    known = set(look().items()) if seconds > 0 else set()
    while known and (left := end - pause.clock()) > 0:
        pause.sleep(min(_MOMENT, left))
        now = set(look().items())
        if now <= known:
            return
        known = now


__all__ = ["Pause", "gather"]
