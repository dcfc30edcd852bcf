"""Programs other than Git: starts one, waits for its end, and gives what it printed.

It knows no program. Its callers say what runs, in which folder, and with which environment; nothing is inherited.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_KEPT = 64 * 1024


@dataclass(frozen=True)
class Finished:
    """A program that has ended.

    Attributes:
        code: its exit code.
        output: the end of what it printed, both streams as they came.
    """

    code: int
    output: str


def run_program(
    arguments: Sequence[str], *, folder: Path, environ: Mapping[str, str], timeout_seconds: float
) -> Finished:
    """Run a program without input to its end, with all that it starts.

    Args:
        arguments: the program's path, and its arguments.
        folder: where it runs.
        environ: its whole environment.
        timeout_seconds: it is killed after this long.

    Raises:
        PublishError: it cannot be started, or was killed.
    """
    # A file, not a pipe: a pipe stays open for as long as any process that was started on the way lives.
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.Popen(  # noqa: S603  (arguments are never a shell's)
                list(arguments),
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as e:
            raise PublishError(f"{arguments[0]}: cannot be started ({e.strerror})") from e
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as e:
            raise PublishError(f"{arguments[0]}: no end after {timeout_seconds:g} seconds") from e
        finally:
            if process.poll() is None:  # also when someone interrupts
                _kill(process)
        printed.seek(max(0, printed.seek(0, os.SEEK_END) - _KEPT))
        return Finished(code, printed.read().decode(errors="replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program, and where the system has sessions, all that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:  # pragma: no cover  (Windows)
        process.kill()
    process.wait()


__all__ = ["Finished", "run_program"]
