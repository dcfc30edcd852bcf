"""Workers: the same results in the same order, bounded memory, and clear ends whatever happens to a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from publisher import workers
from publisher.workers import FEW, available_cores, chunked, run_in_order
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def square(number: int) -> int:
    """Work that takes longer for the first chunks: later ones are done before them."""
    time.sleep(0.05 if number < 3 else 0.0)
    return number * number


def where(_: int) -> int:
    """In which process it is done."""
    return os.getpid()


def die(number: int) -> int:
    """The process that does the fifth is killed, as for want of memory."""
    if number == 5:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return number


def fail(number: int) -> int:
    """A mistake in the work."""
    if number == 5:
        raise LookupError("five")
    return number


@pytest.mark.parametrize("jobs", [0, 1, 2, 3])
def test_results_come_in_order(jobs: int) -> None:
    """With any number of processes, whichever is quicker."""
    assert list(run_in_order(square, range(20), jobs)) == [n * n for n in range(20)]


def test_few_chunks_start_no_process() -> None:
    """Processes take longer to start than a few chunks to be done."""
    assert set(run_in_order(where, range(FEW - 1), 2)) == {os.getpid()}
    assert os.getpid() not in set(run_in_order(where, range(FEW), 2))


def test_chunks_are_read_as_they_are_needed() -> None:
    """However many there are, a few are in memory."""
    read = 0

    def chunks() -> Iterator[int]:
        nonlocal read
        for number in range(100):
            read += 1
            yield number

    results = run_in_order(square, chunks(), 2)
    for number, result in enumerate(results):
        assert result == number * number
        assert read <= number + 2 + 2 * workers._AHEAD
    assert read == 100


def test_a_killed_worker_is_a_clear_error() -> None:
    """Not a result that lacks something, and not a wait for ever."""
    with pytest.raises(ConfigError, match="killed, or out of memory"):
        list(run_in_order(die, range(50), 2))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_work_raises_is_raised(jobs: int) -> None:
    """As with one process, after the results before it."""
    results = run_in_order(fail, range(50), jobs)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(LookupError, match="five"):
        next(results)


def test_an_error_while_chunks_are_read_ends_the_workers() -> None:
    """Files that cannot be read, say."""

    def chunks() -> Iterator[int]:
        yield from range(6)
        raise ConfigError("cannot be read")

    with pytest.raises(ConfigError, match="cannot be read"):
        list(run_in_order(square, chunks(), 2))


PROGRAM = """
import os, signal, sys, threading, time
from publisher.workers import run_in_order

class Work:
    def __call__(self, number):
        os.write(1, b"%d\\n" % os.getpid())  # in one piece, as others write too
        time.sleep(0.2)
        return number

if __name__ == "__main__":
    try:
        list(run_in_order(Work(), range(200), 2))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="signals and process ids as POSIX has them")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_no_worker_outlives_its_parent(tmp_path: Path, name: str) -> None:
    """Ctrl-C, which a terminal sends to all of them, ends with the parent's own message; a killed parent leaves nobody behind."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        pids = {int(parent.stdout.readline()) for _ in range(6)}
        if name == "SIGINT":
            os.killpg(parent.pid, signal.SIGINT)
        else:
            parent.kill()
        rest, errors = parent.stdout.read(), parent.stderr.read()
        code = parent.wait(10)
    if name == "SIGINT":
        assert (code, rest.split()[-1], errors) == (130, "interrupted", "")
    deadline = time.monotonic() + 10
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pids
    assert not [pid for pid in pids if _is_alive(pid)]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1, 1], [[1, 1, 1], [1, 1]]),
        ([4, 4, 4], [[4, 4], [4]]),
        ([50, 1, 50], [[50], [1], [50]]),
    ],
)
def test_chunks_are_bounded_in_number_and_weight(weights: list[int], expected: list[list[int]]) -> None:
    """One item that is heavier than allowed stands alone."""
    assert list(chunked(weights, 3, lambda weight: weight, 10)) == expected


def test_cores_are_counted() -> None:
    """At least this one."""
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
