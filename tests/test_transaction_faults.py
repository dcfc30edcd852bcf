"""Installation interrupted at every single step: killed, disk full, not allowed. Always the old or the new, never a mixture."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.areas import CHANGES, IDS, START, Change, apply, no_swap, tree
from support.faults import BROKEN, KILLED, NOT_REACHED, Fault, run, step

from registry_client.errors import RegistryError
from registry_client.installer.disk import steps as disk
from registry_client.installer.disk.area import Area
from registry_client.installer.disk.exchange import Swap, swap_folders
from registry_client.installer.disk.transaction import recover

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process for each step")
UNCHANGED, HALF_WAY = 10, 11
FILES = ("plugins.toml", "plugins.lock")


def stepping_swap(a: Path, b: Path) -> bool:
    """An exchange that counts as a step."""
    step()
    return swap_folders(a, b)


WAYS: dict[str, Swap] = {"atomic": stepping_swap, "renames": no_swap}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: the order of steps is what is tried, thousands of times."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _flushing_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing can fail as all else; what it does on the disk cannot be seen from here, and takes its time."""

    def fsync(handle: int) -> None:
        step()

    def flush(folder: Path) -> bool:
        step()
        return True

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(disk, "_sync_file_system", flush)


def folders(project: Path) -> dict[str, Any]:
    """What stands at each place a plugin can have."""
    area = Area(project / "plugins")
    found = {f"active {i}": tree(area.active(i)) for i in IDS}
    return found | {f"disabled {i}": tree(area.disabled(i)) for i in IDS}


def state(project: Path) -> dict[str, Any]:
    """All that a transaction changes."""
    area = Area(project / "plugins")
    files = {name: (project / name).read_bytes() for name in FILES}
    return folders(project) | files | {"record": area.read_record()}


def leftovers(project: Path) -> list[str]:
    """What should not be there once all is done."""
    area = Area(project / "plugins")
    known = {"plugins", *FILES}
    odd = [path.name for path in project.iterdir() if path.name not in known]
    odd += [path.name for path in area.folder.iterdir() if path.name not in {*IDS, ".registry"}]
    usual = {"lock", "installed.json", "staging", "disabled"}
    odd += [path.name for path in area.root.iterdir() if path.name not in usual]
    return odd + [str(path) for path in area.staging.iterdir()]


class Trial:
    """One change, tried again and again from the same start.

    Args:
        folder: where.
        change: what.
        way: how folders change places.
    """

    def __init__(self, folder: Path, change: Change, way: str) -> None:
        self.change, self.way, self.swap = change, way, WAYS[way]
        self.start, self.project = folder / "start", folder / "project"
        self.start.mkdir()
        apply(self.start, START)
        self.old = state(self.start)
        self.reset()
        apply(self.project, change, no_swap if way == "renames" else swap_folders)
        self.new = state(self.project)
        assert self.new != self.old or change.name == "again000"
        assert leftovers(self.project) == []

    def reset(self) -> None:
        shutil.rmtree(self.project, ignore_errors=True)
        shutil.copytree(self.start, self.project)

    def commit(self) -> int:
        """The change, in a child."""
        try:
            apply(self.project, self.change, self.swap)
        except RegistryError as e:
            return HALF_WAY if "next run" in e.hint.lower() else UNCHANGED
        return 0

    def recovery(self) -> int:
        """The next run, in a child."""
        try:
            self.recover()
        except RegistryError:
            return UNCHANGED
        return 0

    def recover(self) -> str | None:
        area = Area(self.project / "plugins")
        with area.locked(5):
            return recover(area, [self.project / name for name in FILES], self.swap)

    def check_each_whole(self, where: str) -> None:
        """Before anything is put right, each folder is the whole old or the whole new one."""
        found = folders(self.project)
        for place, files in found.items():
            fine = [self.old[place], self.new[place]]
            if self.way == "renames" and place.startswith("active"):
                fine.append(None)
            if place.startswith("disabled"):
                fine.append(None)
            assert files in fine, f"{where}: {place} is a mixture"

    def check_recovered(self, where: str) -> None:
        """After the next run all is old, or all is new, with nothing left over."""
        self.recover()
        found = state(self.project)
        assert found in (self.old, self.new), f"{where}: neither old nor new"
        assert leftovers(self.project) == [], where
        assert self.recover() is None, where


# The two ways differ only where a folder replaces another.
CASES = [(name, "atomic") for name in CHANGES] + [("upgrade", "renames"), ("many", "renames")]
FURTHER = {("many", "atomic"): (Fault.FULL_FOR_GOOD,), ("upgrade", "atomic"): (Fault.DENIED,)}


@pytest.mark.parametrize(("name", "way"), CASES)
def test_every_step(memory: Path, name: str, way: str) -> None:
    """Each fault at each step, until the change gets through without meeting it."""
    trial = Trial(memory, CHANGES[name], way)
    seen: set[int] = set()
    for fault in (Fault.KILL, Fault.FULL, *FURTHER.get((name, way), ())):
        number = 0
        code = 0
        while code != NOT_REACHED:
            number += 1
            trial.reset()
            code = run(trial.project, trial.commit, {number: fault})
            where = f"{fault} at step {number}"
            assert code != BROKEN, where
            seen.add(code)
            trial.check_each_whole(where)
            if code in {0, NOT_REACHED}:
                assert state(trial.project) == trial.new, where
            elif code == UNCHANGED:
                assert state(trial.project) == trial.old, where
            trial.check_recovered(where)
            if code == UNCHANGED:
                assert state(trial.project) == trial.old, f"{where}: changed, though it said it was not"
        assert number > 8
    assert {KILLED, NOT_REACHED, UNCHANGED} <= seen
    if (name, way) == ("many", "atomic"):
        assert HALF_WAY in seen, "a disk that stays full keeps from taking back, too"


@pytest.mark.parametrize("way", WAYS)
def test_the_run_that_completes_is_killed_too(memory: Path, way: str) -> None:
    """A run is killed, the next is killed or refused while it completes, the one after that comes to an end."""
    trial = Trial(memory, CHANGES["many"], way)
    number, tried = 1, 0
    while True:
        trial.reset()
        if run(trial.project, trial.commit, {number: Fault.KILL}) == NOT_REACHED:
            break
        if Area(trial.project / "plugins").journal_path.exists():
            stopped = memory / "stopped"
            shutil.rmtree(stopped, ignore_errors=True)
            shutil.copytree(trial.project, stopped)
            for fault in (Fault.KILL, Fault.FULL_FOR_GOOD):
                second, code = 0, 0
                while code != NOT_REACHED:
                    second, tried = second + 1, tried + 1
                    shutil.rmtree(trial.project)
                    shutil.copytree(stopped, trial.project)
                    code = run(trial.project, trial.recovery, {second: fault})
                    where = f"killed at {number}, {fault} at {second}"
                    assert code != BROKEN, where
                    trial.check_each_whole(where)
                    trial.check_recovered(where)
                    assert state(trial.project) == trial.new, where
        number += 17
    assert tried > 40


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.FULL])
@pytest.mark.parametrize("way", WAYS)
def test_stopped_while_taking_back(memory: Path, way: str, fault: Fault) -> None:
    """The disk is full at one step, and while that is taken back, the run is killed or meets a full disk again."""
    trial = Trial(memory, CHANGES["many"], way)
    seen: list[int] = []
    for first in range(50, 110, 13):
        for second in range(first + 1, first + 30, 3):
            trial.reset()
            code = run(trial.project, trial.commit, {first: Fault.FULL, second: fault})
            where = f"full at {first}, {fault} at {second}"
            assert code != BROKEN, where
            seen.append(code)
            trial.check_each_whole(where)
            trial.check_recovered(where)
            if code == UNCHANGED:
                assert state(trial.project) == trial.old, where
            if code == HALF_WAY:
                assert state(trial.project) == trial.new, f"{where}: the next run did not complete it"
    assert seen.count(KILLED if fault is Fault.KILL else HALF_WAY) > 10


def test_a_host_never_finds_a_plugin_missing(tmp_path: Path) -> None:
    """Where folders can be exchanged in one step, somebody who looks all the time finds each plugin, old or new."""
    apply(tmp_path, START)
    folder = tmp_path / "plugins" / "a"
    done = tmp_path / "done"
    child = os.fork()
    if not child:
        missing = 0
        while not done.exists():
            try:
                text = (folder / "plugin.py").read_bytes()
                missing += not text.startswith(b"ID = 'a'")
            except OSError:
                missing += 1
        os._exit(min(missing, 100))
    for number in range(50):
        apply(tmp_path, Change(f"change{number:02}", put={"a": f"{number + 2}.0.0"}))
        time.sleep(0.001)
    done.touch()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
