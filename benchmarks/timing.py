"""Seconds and bytes of this process."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS = Path("/proc/self/status")


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_memory() -> int:
    """The most memory that this process had resident, in bytes, since `forget_peak`."""
    if _STATUS.exists():  # on Linux ru_maxrss also counts what the parent had when it started this process
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def forget_peak() -> int:
    """Begin to measure memory here, after the imports.

    Returns:
        What is resident now, in bytes.
    """
    with contextlib.suppress(OSError):  # Linux; elsewhere the peak of the imports stands
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_memory()


def _status(name: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) * 1024
