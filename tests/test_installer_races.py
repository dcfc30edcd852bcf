"""Several processes at one project: runs wait for each other, and who reads meanwhile sees whole plugins, old or new."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

import pytest
from support.installs import HostProject
from support.trials import Trial, make_trials

from registry_client.errors import InstallError
from registry_client.installer.installer import Consent, Installer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="forks processes, and exchanges folders in one step"
)
AGREED = Consent(permissions=True)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """Projects in several states."""
    folder = tmp_path_factory.mktemp("races")
    return make_trials(folder / "each", HostProject.make(folder))


def start(action: Callable[[], object]) -> int:
    """Begin something in a process of its own; gives its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        action()
        code = 0
    except BaseException:  # noqa: BLE001  (nothing of the parent may run in the child)
        traceback.print_exc()
    finally:
        os._exit(code)


def ends_well(*children: int) -> bool:
    """Whether all of these processes end without an error. Waits for each."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)


def versions(trial: Trial) -> dict[str, str]:
    """What the plugins' own files say, by id."""
    return {p.parent.name: p.read_text().split()[1] for p in trial.area.folder.glob("*/plugin.py")}


def check_agreement(trial: Trial, expected: dict[str, str]) -> None:
    """Folders, record and lock say the same, and nothing is left over."""
    installer = trial.installer()
    assert versions(trial) == expected
    assert {item.plugin.id: item.plugin.version for item in installer.installed()} == expected
    assert {plugin.id: plugin.version for plugin in installer.locked().plugins} == expected
    status = installer.status()
    assert (status.lock_problems, status.out_of_step, status.plan.changes) == ((), (), ())
    assert trial.leftovers() == []


def test_two_processes_add_different_plugins(trials: dict[str, Trial]) -> None:
    """Both wishes end up in plugins.toml, in the lock and in the folder, whoever comes first."""
    trial = trials["add"]
    for _ in range(5):
        trial.reset()
        (trial.host / "plugins.lock").unlink()
        assert ends_well(
            start(lambda: trial.installer().add(["acme-calendar"])),
            start(lambda: trial.installer().add(["acme-notes"])),
        )
        text = (trial.host / "plugins.toml").read_text()
        assert all(f"{name} = " in text for name in ("acme-calendar", "acme-notes", "acme-other"))
        check_agreement(trial, dict.fromkeys(("acme-calendar", "acme-notes", "acme-other"), "1.0.0"))


def test_one_installs_while_another_upgrades(trials: dict[str, Trial]) -> None:
    """Whoever comes second starts from what the first one has done: the newest versions are there in the end."""
    trial = trials["upgrade"]
    for _ in range(5):
        trial.reset()
        (trial.area.folder / "acme-notes" / "plugin.py").unlink()
        assert ends_well(
            start(lambda: trial.installer().install(verify=True)),
            start(lambda: trial.installer().upgrade(consent=AGREED)),
            start(lambda: trial.installer().verify()),
        )
        check_agreement(trial, {"acme-calendar": "1.1.0", "acme-notes": "1.1.0", "acme-other": "1.0.0"})


def test_one_removes_while_another_disables(trials: dict[str, Trial]) -> None:
    """Either order is fine: the plugin is gone, wherever it stood."""
    trial = trials["remove"]
    for _ in range(5):
        trial.reset()
        children = (
            start(lambda: trial.installer().remove(["acme-calendar"])),
            start(lambda: trial.installer().disable(["acme-other"])),
        )
        assert ends_well(*children)
        assert versions(trial) == {}
        assert [item.plugin.id for item in trial.installer().installed()] == ["acme-other"]
        assert trial.leftovers() == []


def test_who_does_not_want_to_wait_is_told(trials: dict[str, Trial]) -> None:
    """A run that takes too long is an error for the next one, not a wait for ever; reading needs no lock."""
    trial = trials["remove"]
    trial.reset()
    with trial.area.locked(5):
        ready, told = os.pipe()

        def impatient() -> None:
            installer = trial.installer()
            installer._timeout = 0.1
            assert [item.plugin.id for item in installer.installed()]
            assert installer.tree()
            with pytest.raises(InstallError, match="another run is changing these plugins"):
                installer.remove(["acme-calendar"])
            os.write(told, b"x")

        assert ends_well(start(impatient))
        assert os.read(ready, 1) == b"x"
    os.close(ready)
    os.close(told)


class Reader:
    """A host that looks at its plugins all the time, and notes what it should never see."""

    def __init__(self, trial: Trial, stop: Path, known: set[str]) -> None:
        self.trial, self.stop, self.known = trial, stop, known
        self.seen: set[str] = set()

    def run(self) -> None:
        """Look until told to stop; fails if anything was wrong, or nothing was seen to change."""
        installer = self.trial.installer()
        while not self.stop.exists():
            self.look(installer)
        assert self.seen == self.known, self.seen

    def look(self, installer: Installer) -> None:
        """One look at everything."""
        for item in installer.installed():
            assert item.plugin.version in {*self.known, "1.1.0", "1.0.0"}
        assert [branch.plugin.id for branch in installer.tree()] == ["acme-calendar", "acme-other"]
        folder = os.open(self.trial.area.folder / "acme-notes", os.O_RDONLY | os.O_DIRECTORY)  # never missing
        try:
            texts = [
                read_at(folder, name)
                for name in ("plugin.py", ".plugin/manifest.json", ".plugin/receipt.json")
            ]
        except FileNotFoundError:  # replaced, and being removed: the name leads to another folder now
            assert os.fstat(folder).st_ino != (self.trial.area.folder / "acme-notes").stat().st_ino
            return
        finally:
            os.close(folder)
        found = {version for version in self.known if all(version in text for text in texts)}
        assert len(found) == 1, texts
        self.seen |= found


def read_at(folder: int, name: str) -> str:
    """A file in an opened folder."""
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=folder)) as file:
        return file.read()


def test_a_reader_during_fifty_changes(trials: dict[str, Trial]) -> None:
    """Back and forth fifty times: who reads meanwhile finds the plugin at every moment, whole, and record and lock readable."""
    trial = trials["rollback"]
    trial.reset()
    stop = trial.folder / "stop"
    stop.unlink(missing_ok=True)
    child = start(Reader(trial, stop, {"1.1.0", "1.2.0"}).run)
    try:
        for number in range(50):
            trial.installer().rollback("acme-notes", ("1.1.0", "1.2.0")[number % 2])
    finally:
        stop.touch()
        fine = ends_well(child)
    assert fine
    check_agreement(trial, {"acme-calendar": "1.1.0", "acme-notes": "1.2.0", "acme-other": "1.0.0"})
