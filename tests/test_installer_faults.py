"""Whole operations interrupted at every write and every request: killed, disk full, not allowed, network gone. All old or all new."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.faults import BROKEN, KILLED, Fault
from support.installs import HostProject
from support.trials import DONE, REFUSED, Trial, make_trials

from publisher.registrar.gate import TreeTransport
from publisher.tree import MemoryTree
from registry_client import hosts
from registry_client.errors import FetchError, NotFetchedError, RegistryError
from registry_client.installer.disk import steps as disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_client.http import Body, Deadline

OPERATIONS = ("add", "upgrade", "rollback", "remove", "disable", "block")


@pytest.fixture(scope="module")
def trials() -> Iterator[dict[str, Trial]]:
    """Every operation with its start; in memory where there is such a folder, for there are many hundred tries."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        folder = Path(name).resolve()
        yield make_trials(folder / "each", HostProject.make(folder))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing takes its time and changes nothing that can be seen here; nor does waiting before a second round."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(hosts, "_PAUSE", 0.0)
    monkeypatch.setattr(disk, "_sync_file_system", lambda _: True)


class Expected:
    """The states before and after an operation, and the checks that an interrupted one has to stand."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        trial.reset()
        self.old = trial.state()
        trial.operation(trial.installer())
        self.new = trial.state()
        assert self.old != self.new
        assert trial.leftovers() == []
        self._seen: set[str] = set()

    def check_whole(self, where: str) -> None:
        """Before anything is put right: each plugin's folder is the whole old or the whole new one, and there."""
        found = self.trial.plugins()
        for place in {*self.old["plugins"], *self.new["plugins"], *found}:
            fine = [self.old["plugins"].get(place), self.new["plugins"].get(place)]
            assert found.get(place) in fine, f"{where}: {place} is a mixture"
        moved = {p.rpartition("/")[2] for p in self.old["plugins"].keys() & self.new["plugins"].keys()}
        missing = moved - {p.rpartition("/")[2] for p in found}
        assert not missing, f"{where}: {missing} cannot be found"

    def check_next_run(self, where: str) -> str:
        """After the next run all is old or all is new, nothing is left over, and the operation can be run again."""
        mark = self.trial.fingerprint()
        if mark in self._seen:
            return ""
        self._seen.add(mark)
        status = self.trial.installer().status()
        found = self.trial.state()
        assert found in (self.old, self.new), f"{where}: neither old nor new"
        assert self.trial.leftovers() == [], where
        assert status.lock_problems == (), where
        assert status.out_of_step == (), where
        if found == self.old:
            later = replace(
                self.trial, now=self.trial.now + timedelta(hours=2)
            )  # hosts that failed are asked again
            later.operation(later.installer())
            assert self.trial.state() == self.new, f"{where}: cannot be run again"
            assert self.trial.leftovers() == [], where
        return "old" if found == self.old else "new"


STRIDES = {
    ("host", Fault.KILL): 1,
    ("host", Fault.FULL): 2,
    ("host", Fault.DENIED): 3,
    ("host", Fault.FULL_FOR_GOOD): 3,
    ("home", Fault.KILL): 8,
    ("home", Fault.FULL): 4,
}
"""How far apart the faults are: in the project each write is tried, in the client's cache, which has its own tests, some."""


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process for each step")
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("below", "fault"), STRIDES)
def test_every_write(trials: dict[str, Trial], name: str, below: str, fault: Fault) -> None:
    """A fault at each write to the project or to the client's state, until the operation gets through without it."""
    expected = Expected(trials[name])
    codes: set[int] = set()
    ends: set[str] = set()
    number, met = 1, True
    while met:
        expected.trial.reset()
        code, met = expected.trial.attempt(number, fault, below)
        where = f"{name}: {fault} at write {number} below {below}"
        assert code != BROKEN, f"{where}: not a RegistryError"
        codes.add(code)
        expected.check_whole(where)
        if code == DONE and not (name == "block" and fault is Fault.DENIED):
            assert expected.trial.state() == expected.new, where
        elif (
            code == DONE
        ):  # `verify` looks on where the folder cannot be written: it names the block, and changes nothing
            assert expected.trial.state() in (expected.old, expected.new), where
        elif code == REFUSED and not expected.trial.area.journal_path.exists():
            assert expected.trial.state() == expected.old, f"{where}: refused, and yet it happened"
        ends.add(expected.check_next_run(where))
        number += STRIDES[below, fault]
    assert DONE in codes
    assert "new" in ends
    if below == "host":
        assert number > 15
        assert {KILLED, REFUSED} & codes
        assert "old" in ends or name == "block"  # which the next run enforces by itself


class Faulty(TreeTransport):
    """A registry whose n-th answer, or each from the n-th on, is not what it should be."""

    def __init__(self, trial: Trial, number: int, fault: Callable[[bytes], bytes], *, lasting: bool) -> None:
        super().__init__(MemoryTree(trial.files))
        self._number, self._fault, self._lasting = number, fault, lasting
        self.count = 0

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:
        """The answer, or the fault."""
        body = super().get(url, limit=limit, deadline=deadline, etag=etag)
        self.count += 1
        wrong = self.count >= self._number if self._lasting else self.count == self._number
        return replace(body, data=self._fault(body.data)) if wrong else body


def refused(error: RegistryError) -> Callable[[bytes], bytes]:
    """No body at all."""

    def fail(_: bytes) -> bytes:
        raise error

    return fail


NETWORK: dict[str, Callable[[bytes], bytes]] = {
    "connection reset": refused(FetchError("http://host: connection reset")),
    "timeout": refused(FetchError("http://host: no answer in time")),
    "500": refused(FetchError("http://host: 500", status=500)),
    "404": refused(NotFetchedError("http://host: 404", status=404)),
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "other bytes": lambda data: bytes([data[0] ^ 1]) + data[1:] if data else b"x",
    "a login page": lambda _: b"<html>Sign in</html>",
}


@pytest.mark.parametrize("name", ["add", "upgrade", "block"])
@pytest.mark.parametrize("fault", NETWORK)
def test_every_request(trials: dict[str, Trial], name: str, fault: str) -> None:
    """Each answer in turn goes wrong, once or for good: done, or refused and nothing changed; then it can be run again."""
    expected = Expected(trials[name])
    trial = expected.trial
    for lasting in (False, True):
        number, met, refusals = 1, True, 0
        while met:
            trial.reset()
            transport = Faulty(trial, number, NETWORK[fault], lasting=lasting)
            where = f"{name}: {fault} from request {number}, lasting={lasting}"
            try:
                trial.operation(trial.installer(transport))
            except RegistryError as e:
                refusals += bool(e.message)
                assert trial.state() == expected.old, f"{where}: refused, and yet something changed"
            else:
                assert trial.state() in (expected.new, expected.old), where
            expected.check_next_run(where)
            met = transport.count >= number
            number += 1
        assert number > 5
        assert refusals or name == "block" or not lasting


def test_what_was_downloaded_is_not_fetched_again(trials: dict[str, Trial]) -> None:
    """A connection that breaks in the last request leaves complete archives; the next run asks for no more than the rest."""
    trial = trials["upgrade"]
    trial.reset()
    counter = Faulty(trial, 10**6, NETWORK["500"], lasting=True)
    trial.operation(trial.installer(counter))
    number, failed = counter.count, False
    while (
        not failed
    ):  # side by side, two now and then ask for one file: a run may do with a request or two less
        trial.reset()
        try:
            trial.operation(trial.installer(Faulty(trial, number, NETWORK["500"], lasting=True)))
        except FetchError:
            failed = True
        else:
            number -= 1
    assert number > counter.count - 5
    again = Faulty(trial, 10**6, NETWORK["500"], lasting=True)
    trial.operation(trial.installer(again))
    assert again.count <= 2 + counter.count - number


def test_a_damaged_journal_stops_everything(trials: dict[str, Trial]) -> None:
    """What cannot be followed is not guessed: every changing operation stops and names the file; nothing is touched."""
    trial = trials["upgrade"]
    for text in (b"", b"{}", b"\xff", b"[" * 100_000, b'{"kind": "journal", "transaction": "../../x"}'):
        trial.reset()
        old = trial.state()
        trial.area.journal_path.write_bytes(text)
        for act in (trial.operation, lambda i: i.status(), lambda i: i.install()):
            with pytest.raises(RegistryError, match=r"journal\.json"):
                act(trial.installer())
        assert trial.state() == old
