"""Processes that were forked: what a child must not share with its parent begins anew in it.

A child has none of its parent's threads, so it would wait for ever for what only they do, or for locks that they held; and it has
the same connections, on which it would read answers to its parent's requests. Nobody who forks knows of either.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """What has threads, locks or connections."""

    def begin_anew(self) -> None:
        """Forget all of them, in a child process, without waiting for anything."""


_all: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def begins_anew(one: Forgetful) -> None:
    """Let something begin anew in each child process, as long as it is there."""
    _all.add(one)


def _begin_anew() -> None:
    for one in list(_all):
        one.begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_anew)
