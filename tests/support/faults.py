"""Faults at each step on the disk: a process of its own does something and is killed, or refused, at the n-th step.

Steps are seen by Python's audit events, so whatever code path makes them is met; flushing and exchanging, which have no
event, are announced with `step`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.symlink"}
KILLED = 137
NOT_REACHED = 50
BROKEN = 99


class Fault(StrEnum):
    """What happens at the chosen step."""

    KILL = "kill"
    FULL = "full"
    """The disk is full, for this step."""
    DENIED = "denied"
    """The step is not allowed."""
    FULL_FOR_GOOD = "full for good"
    """This step and all that follow fail."""


class _Steps:
    """Counts steps below a folder and lets the planned faults happen."""

    def __init__(self) -> None:
        self.folder = ""
        self.count = 0
        self.plan: dict[int, Fault] = {}
        self.for_good = False

    def step(self) -> None:
        if not self.folder:
            return
        self.count += 1
        fault = self.plan.get(self.count)
        if fault is Fault.KILL:
            os._exit(KILLED)
        if fault is Fault.DENIED:
            raise PermissionError(errno.EACCES, "Permission denied")
        self.for_good = self.for_good or fault is Fault.FULL_FOR_GOOD
        if fault is Fault.FULL or self.for_good:
            raise OSError(errno.ENOSPC, "No space left on device")

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder and event in _EVENTS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(arguments[0])
            if path.startswith(self.folder) or not path.startswith(os.sep):
                self.step()


_steps = _Steps()
step = _steps.step
"""Announces a step that has no event of its own."""


def run(folder: Path, action: Callable[[], int], plan: dict[int, Fault]) -> int:
    """Do something in a process of its own with faults at some steps.

    Args:
        folder: steps below it count.
        action: what is done; gives an exit code.
        plan: faults by number of the step, from 1.

    Returns:
        The action's code; KILLED; NOT_REACHED if it ended before the last planned step; BROKEN after any other error.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = BROKEN
    try:
        sys.addaudithook(_steps.hook)
        _steps.plan, _steps.folder = plan, str(folder)
        code = action()
        _steps.folder = ""
        if code == 0 and _steps.count < max(plan, default=0):
            code = NOT_REACHED
    except BaseException:  # noqa: BLE001  (nothing of the parent may run in the child)
        _steps.folder = ""
        traceback.print_exc()
    finally:
        os._exit(code)
