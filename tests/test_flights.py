"""Fetches that are shared, and those that begin before they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry_client.errors import FetchError, NotFetchedError
from registry_client.flights import PARALLEL, Flights

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SOON = 5.0


class Work:
    """Something that takes until it is let go, and counts how often it was begun."""

    def __init__(self, result: str | BaseException = "bytes", *, free: bool = True) -> None:
        self.result = result
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.free = threading.Event()
        if free:
            self.free.set()

    def __call__(self) -> str:
        self.count += 1
        self.begun.release()
        assert self.free.wait(SOON)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def never() -> str:
    """What nobody may fetch."""
    raise AssertionError("fetched again")


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_threads_that_want_the_same_share_one_fetch() -> None:
    """Sixteen ask while it is under way; it is fetched once, and once again for who asks later."""
    flights: Flights[str] = Flights()
    work = Work(free=False)
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(flights.get, "key", work) for _ in range(16)]
        assert work.begun.acquire(timeout=SOON)
        time.sleep(0.05)
        work.free.set()
        assert [one.result() for one in asked] == ["bytes"] * 16
    assert work.count == 1
    assert flights.get("key", Work("newer")) == "newer"


def test_different_things_do_not_wait_for_each_other() -> None:
    """One that hangs holds nobody else up."""
    flights: Flights[str] = Flights()
    hanging = Work(free=False)
    flights.ahead("slow", hanging)
    assert flights.get("quick", Work()) == "bytes"
    hanging.free.set()


def test_an_error_is_everyones_who_waits_and_nobodys_later() -> None:
    """It is raised to all who share the fetch; the next one fetches anew."""
    flights: Flights[str] = Flights()
    work = Work(FetchError("down"), free=False)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(flights.get, "key", work) for _ in range(4)]
        assert work.begun.acquire(timeout=SOON)
        time.sleep(0.05)
        work.free.set()
        assert all(isinstance(one.exception(), FetchError) for one in asked)
    assert flights.get("key", Work()) == "bytes"


def test_what_was_begun_ahead_is_there_when_it_is_asked_for() -> None:
    """Nobody fetches it again; after that it is forgotten."""
    flights: Flights[str] = Flights()
    work = Work()
    flights.ahead("key", work)
    flights.ahead("key", never)
    assert "key" in flights
    assert flights.get("key", never) == "bytes"
    assert "key" not in flights
    assert work.count == 1


def test_an_error_ahead_surfaces_only_where_it_is_asked_for() -> None:
    """Once: who tries again fetches again."""
    flights: Flights[str] = Flights()
    flights.ahead("key", Work(NotFetchedError("absent", status=404)))
    flights.ahead("other", Work())
    assert flights.get("other", never) == "bytes"
    with pytest.raises(NotFetchedError):
        flights.get("key", never)
    assert flights.get("key", Work()) == "bytes"


def test_an_old_error_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed a while ago, and was not asked for then, is fetched again; so is what nobody asked for a minute long."""
    flights: Flights[str] = Flights()
    now = [100.0]
    monkeypatch.setattr("registry_client.flights.time.monotonic", lambda: now[0])
    failing, fine = Work(FetchError("down")), Work("old")
    flights.ahead("key", failing)
    flights.ahead("other", fine)
    assert failing.begun.acquire(timeout=SOON)
    assert fine.begun.acquire(timeout=SOON)
    for _ in range(1000):
        threading.Event().wait(0.001)
        if flights._threads == 0:
            break
    now[0] += 6
    assert flights.get("key", Work("new")) == "new"
    now[0] += 60
    flights.ahead("third", Work())
    assert "other" not in flights


def test_what_is_forgotten_is_fetched_again() -> None:
    """Also while it is under way."""
    flights: Flights[str] = Flights()
    work = Work("old", free=False)
    flights.ahead("key", work)
    flights.forget("key")
    assert flights.get("key", Work("new")) == "new"
    work.free.set()


def test_what_waits_for_a_thread_is_fetched_by_who_asks() -> None:
    """As many fetches ahead as may be hang; one more does not wait for them where it is asked for."""
    flights: Flights[str] = Flights()
    hanging = [Work(free=False) for _ in range(PARALLEL)]
    for number, work in enumerate(hanging):
        flights.ahead(number, work)
    assert all(work.begun.acquire(timeout=SOON) for work in hanging)
    flights.ahead("key", work := Work())
    assert flights.get("key", never) == "bytes"
    assert work.count == 1
    for one in hanging:
        one.free.set()
    eventually(lambda: flights._threads == 0)
    assert work.count == 1


def test_no_more_than_so_many_at_once() -> None:
    """A thousand are begun ahead; all are had, through at most 64 threads."""
    flights: Flights[int] = Flights()
    guard, running, most = threading.Lock(), [0], [0]

    def work(number: int) -> int:
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.0005)
        with guard:
            running[0] -= 1
        return number

    for number in range(1000):
        flights.ahead(number, lambda number=number: work(number))  # type: ignore[misc]
    assert [flights.get(number, lambda: -1) for number in range(1000)] == list(range(1000))
    assert most[0] <= PARALLEL + 1


def test_no_thread_to_be_had_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives none, whoever asks fetches it."""
    monkeypatch.setattr("threading.Thread.start", _refused)
    flights: Flights[str] = Flights()
    flights.ahead("key", work := Work())
    assert work.count == 0
    assert flights.get("key", never) == "bytes"


def _refused(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_process_ends_while_a_fetch_ahead_hangs() -> None:
    """Nobody waits for what nobody asked for."""
    code = (
        "import time; from registry_client.flights import Flights\n"
        "flights = Flights()\n"
        "for key in range(100): flights.ahead(key, lambda: time.sleep(60))\n"
        "print(flights.get('other', lambda: 'done'))"
    )
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "done", "")
    assert time.monotonic() - begun < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
@pytest.mark.parametrize("locked", [False, True])
def test_a_forked_process_does_not_wait_for_its_parents_fetches(*, locked: bool) -> None:
    """Threads stay behind, also one that holds the lock: the child fetches by itself."""
    code = (
        "import os, sys, time, threading; from registry_client.flights import Flights\n"
        "flights, begun = Flights(), threading.Event()\n"
        "flights.ahead('key', lambda: begun.set() or time.sleep(60))\n"
        "begun.wait()\n"
        f"{'flights._lock.acquire()' if locked else ''}\n"
        "if not os.fork():\n"
        "    flights.ahead('other', lambda: 'ahead')\n"
        "    print(flights.get('key', lambda: 'done'), flights.get('other', lambda: 'late'), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=15, check=True
    )
    assert done.stdout.strip() == "done ahead"
