"""A project over a registry, to be attacked: copies of one that is made once for each module."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from support.installs import HostProject, done
from support.trials import Trial

from registry_client.errors import (
    RegistryError,
)
from registry_client.installer.installer import Consent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


AGREED = Consent(permissions=True)
Document = dict[str, Any]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> HostProject:
    """A calendar that needs notes, whose 1.1.0 is rolled out to nobody yet; mail, which a block has disabled."""
    project = HostProject.make(tmp_path_factory.mktemp("attacks"))
    for plugin_id in ("acme-notes", "acme-mail", "acme-extra"):
        project.publish(plugin_id, permissions=["notes.read"])
    project.publish("acme-calendar", requires={"plugins": {"acme-notes": ">=1,<3"}})
    project.installer().add(["acme-calendar", "acme-mail"])
    project.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    project.world.set_status("acme-notes", "1.1.0", "released", rollout=0)
    project.world.block("acme-mail", "==1.0.0", "disable", "Steals mail.")
    project.world.register()
    assert done(project.installer().verify()[1]) == ["disable acme-mail 1.0.0"]
    project.world.tick(minutes=10)
    return project


@pytest.fixture
def trial(attacked: HostProject, tmp_path: Path) -> Trial:
    """A copy of that project, which a test may harm."""
    shutil.copytree(attacked.folder, tmp_path / "start" / "host")
    shutil.copytree(attacked.folder.parent / "home", tmp_path / "start" / "home")
    made = Trial(
        tmp_path, attacked.world.snapshot(), attacked.world.now, lambda installer: installer.install()
    )
    made.reset()
    return made


def empty(trial: Trial) -> None:
    """As on another machine, which has plugins.toml and plugins.lock only."""
    shutil.rmtree(trial.area.folder)


def attempt(act: Callable[[], object]) -> str:
    """Do something; the message of the RegistryError that it ended in, if it did."""
    try:
        act()
    except RegistryError as e:
        return str(e) or "no message"
    return ""


@pytest.fixture
def healthy(trial: Trial) -> Trial:
    """The project without what is blocked."""
    trial.installer().remove(["acme-mail"])
    return trial
