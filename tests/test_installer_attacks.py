"""What an attacker may do to a host with stolen keys, as a mirror, or with a registry of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support import attacked as support
from support.attacked import AGREED, Document, attempt, empty
from support.installs import HostProject, done
from support.thief import (
    Files,
    Thief,
    blocks_signed_online,
    forged_release,
    line,
    new_manifest,
    older_blocks,
    one_line,
    points_at,
    signed_release,
    snapshot_with,
)
from support.trials import Trial
from support.world import World, make_keys

from publisher.registrar.gate import TreeTransport
from publisher.tree import MemoryTree
from registry_client.errors import (
    ConfigError,
    ConflictError,
    ExpiredError,
    YankedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry_client.http import Body
    from registry_client.installer.installer import Installer


attacked, trial, healthy = support.attacked, support.trial, support.healthy
ONLINE = make_keys().online


def everything(trial: Trial) -> list[Callable[[], object]]:
    """Every operation that asks the registry."""
    return [
        lambda: trial.installer().upgrade(consent=AGREED),
        lambda: trial.installer().upgrade_automatically(),
        lambda: trial.installer().verify(),
        lambda: trial.installer().install(verify=True),
        lambda: trial.installer().enable(["acme-mail"]),
        lambda: trial.installer().lock(),
        lambda: trial.installer().outdated(),
    ]


def other_artifact(world: World) -> Files:
    """Every archive exchanged for another of the same length."""
    files = world.snapshot()
    return {p: bytes(len(data)) if p.endswith(".zip") else data for p, data in files.items()}


def withheld(world: World) -> Files:
    """An index without notes."""
    return Thief(world).index(lambda rows: rows.pop("acme-notes"))


def forced(world: World) -> Files:
    """An index that says that the newest notes are for all, and forced."""
    return Thief(world).index(
        lambda rows: line(rows, "acme-notes", "1.1.0")["release"].update(rollout=100, forceUpdate=True)
    )


STOLEN: dict[str, Callable[[World], Files]] = {
    "other bytes under the archives' names": other_artifact,
    "a newer version signed online": new_manifest("acme-notes", "2.0.0", ONLINE, "acme"),
    "another manifest for the calendar": points_at("acme-notes", "1.0.0"),
    "blocks emptied": blocks_signed_online,
    "blocks as they were": snapshot_with(older_blocks),
    "a wider rollout": forged_release("acme-notes", "1.1.0", rollout=100),
    "a wider rollout signed online": signed_release("acme-notes", "1.1.0", ONLINE, revision=9, rollout=100),
    "a forced update": forced,
    "fewer requirements": one_line("acme-calendar", "1.0.0", requires=None),
    "other requirements": one_line("acme-calendar", "1.0.0", requires={"plugins": {"acme-extra": ">=1"}}),
    "a plugin withheld": withheld,
}


@pytest.mark.parametrize("name", STOLEN)
def test_a_stolen_online_key_changes_nothing(trial: Trial, attacked: HostProject, name: str) -> None:
    """No other bytes, no wider rollout, no block lifted: whatever the host does, the same plugins stand where they stood."""
    old = trial.state()
    trial.files = STOLEN[name](attacked.world)
    for act in everything(trial):
        attempt(act)
        assert trial.state() == old
        trial.now += timedelta(minutes=10)
    assert trial.leftovers() == []


@pytest.mark.parametrize("name", STOLEN)
def test_a_stolen_online_key_installs_nothing_else(trial: Trial, attacked: HostProject, name: str) -> None:
    """A machine that knows the blocks and has nothing else gets what the lock pins, or nothing."""
    lock = json.loads((trial.host / "plugins.lock").read_bytes())
    lock["plugins"] = [p for p in lock["plugins"] if p["id"] != "acme-mail"]
    del lock["wanted"]["acme-mail"]
    (trial.host / "plugins.lock").write_text(json.dumps(lock))
    text = (trial.host / "plugins.toml").read_text()
    (trial.host / "plugins.toml").write_text(
        "\n".join(row for row in text.splitlines() if "acme-mail" not in row)
    )
    expected = {p: files for p, files in trial.plugins().items() if "mail" not in p}
    empty(trial)
    trial.files = STOLEN[name](attacked.world)
    message = attempt(lambda: trial.installer().install(frozen=True))
    if name == "other bytes under the archives' names":
        assert message
    assert trial.plugins() == ({} if message else expected)
    assert attempt(lambda: trial.installer().add(["acme-mail==1.0.0"]))
    assert "plugins/acme-mail" not in trial.plugins()


def test_a_lying_mirror(trial: Trial) -> None:
    """Each file of the registry in turn is another: nothing but what the lock pins is installed."""
    expected = {p: files for p, files in trial.plugins().items() if "mail" not in p}
    trial.installer().remove(["acme-mail"])
    shutil.rmtree(trial.folder / "start")
    shutil.copytree(trial.folder / "now", trial.folder / "start")
    honest = trial.files
    refusals = 0
    for path in honest:
        trial.reset()
        empty(trial)
        shutil.rmtree(trial.folder / "now" / "home")
        trial.files = {**honest, path: honest[path][:-1] + b"\x00"}
        message = attempt(lambda: trial.installer().install(frozen=True))
        refusals += bool(message)
        assert trial.plugins() == ({} if message else expected), path
    assert refusals > 5


def test_an_older_registry_lowers_nothing(tmp_path: Path) -> None:
    """Yesterday's files, all rightly signed: a host goes on with what it knows, and is told; it never goes back."""
    project = HostProject.make(tmp_path)
    project.publish("acme-notes")
    old = project.world.snapshot()
    project.installer().add(["acme-notes"])
    project.publish("acme-notes", "1.1.0")
    project.installer().upgrade()
    made = Trial(tmp_path, old, project.world.now + timedelta(minutes=10), lambda i: i.install())
    shutil.copytree(project.folder, tmp_path / "start" / "host")
    shutil.copytree(project.folder.parent / "home", tmp_path / "start" / "home")
    made.reset()
    state = made.state()
    for act in (made.installer().upgrade, made.installer().upgrade_automatically, made.installer().install):
        attempt(act)
        assert made.state() == state
    assert any("older metadata" in text for text in made.warnings)
    made.now += timedelta(days=6, hours=23)
    shutil.rmtree(made.area.folder / "acme-notes")
    attempt(made.installer().install)
    assert made.plugins() in (state["plugins"], {})


def test_an_expired_registry(trial: Trial) -> None:
    """What the lock pins can be had under the blocks held, with a warning; what is new cannot."""
    trial.installer().remove(["acme-mail"])
    expected = trial.plugins()
    empty(trial)
    trial.now += timedelta(days=400)
    plan = trial.installer().install(frozen=True)
    assert done(plan) == ["install acme-calendar 1.0.0", "install acme-notes 1.0.0"]
    assert trial.plugins() == expected
    assert any("expired" in text and "as the lock pins it" in text for text in trial.warnings)
    with pytest.raises(ExpiredError):
        trial.installer().add(["acme-extra"])
    with pytest.raises(ExpiredError):
        trial.installer().upgrade()
    assert trial.plugins() == expected


def test_an_expired_registry_lifts_no_block(trial: Trial) -> None:
    """A block that was held stays."""
    empty(trial)
    trial.now += timedelta(days=400)
    with pytest.raises(YankedError, match="Steals mail"):
        trial.installer().install(frozen=True)
    assert trial.plugins() == {}


# -- two registries ---------------------------------------------------------------------------------------------------

OTHER = "http://other.invalid"


class TwoTrees(TreeTransport):
    """Serves two registries."""

    def __init__(self, first: Files, second: Files) -> None:
        super().__init__(MemoryTree(first))
        self._second = TreeTransport(MemoryTree(second))

    def get(self, url: str, **options: Any) -> Body:
        """From the one that the URL names."""
        if url.startswith(f"{OTHER}/"):
            return self._second.get(url.replace(OTHER, "http://candidate.invalid"), **options)
        return super().get(url, **options)


@pytest.fixture
def two(trial: Trial, tmp_path: Path) -> Callable[[], Installer]:
    """The project with a second registry, in which a stranger owns the same ids, with higher versions."""
    trial.installer().remove(["acme-mail"])
    world = World(tmp_path / "other", OTHER, now=trial.now)
    world.add_publisher("evil", "acme-notes", "acme-calendar", "evil-*")
    packed: Document = {"artifacts": [{"ecosystem": "python", "pack": "."}], "by": "evil"}
    for plugin_id in ("acme-notes", "acme-calendar"):
        for version in ("1.0.0", "2.5.0"):
            world.publish(plugin_id, version, files={"plugin.py": b"evil"}, **packed)
    needs = {"plugins": {"acme-notes": ">=2"}}
    world.publish("evil-friend", "1.0.0", files={"plugin.py": b"evil"}, requires=needs, **packed)
    world.register()
    trial.now = world.now
    (trial.host / "other.root.json").write_bytes(world.root)
    text = (trial.host / "plugins.toml").read_text()
    (trial.host / "plugins.toml").write_text(
        text + f'\n[registries.other]\nurl = "{OTHER}"\nroot = "other.root.json"\n'
    )
    files = world.snapshot()
    return lambda: trial.installer(TwoTrees(trial.files, files))


def test_dependency_confusion(trial: Trial, two: Callable[[], Installer]) -> None:
    """What a plugin needs comes from its own registry, though another has the id with a higher version."""
    before = trial.plugins()
    two().lock()
    assert two().upgrade(consent=AGREED).changes == ()
    assert {p.id: p.source.registry for p in two().locked().plugins} == dict.fromkeys(
        ("acme-calendar", "acme-notes"), "main"
    )
    assert trial.plugins() == before


def test_an_id_from_two_registries(trial: Trial, two: Callable[[], Installer]) -> None:
    """A plugin of the other registry that needs its own notes cannot exchange those that are there."""
    two().lock()
    old = trial.state()
    for wishes in (["other:evil-friend"], ["other:acme-notes"]):
        with pytest.raises(ConflictError, match="main"):
            two().add(wishes, consent=AGREED)
        assert trial.state() == old


def test_a_lock_that_names_the_other_registry(trial: Trial, two: Callable[[], Installer]) -> None:
    """A lock's entry for a dependency that was moved to another registry, with all its digests right, is refused."""
    two().lock()
    old = trial.state()
    other = trial.folder / "elsewhere"
    shutil.copytree(trial.host, other)
    shutil.rmtree(other / "plugins")
    (other / "plugins.lock").unlink()
    text = (other / "plugins.toml").read_text().partition("[plugins]")[0]
    text += (
        "[plugins]\nacme-notes = {registry='other', range='==1.0.0'}\n"
        f'[registries.other]\nurl = "{OTHER}"\nroot = "other.root.json"\n'
    )
    (other / "plugins.toml").write_text(text)
    stranger = two()
    stranger._path = other / "plugins.toml"
    stranger.project = replace(stranger.project, path=stranger._path)
    stranger.lock()
    (entry,) = json.loads((other / "plugins.lock").read_bytes())["plugins"]
    document = json.loads((trial.host / "plugins.lock").read_bytes())
    document["plugins"] = [entry if p["id"] == "acme-notes" else p for p in document["plugins"]]
    (trial.host / "plugins.lock").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="acme-notes is not locked from the registry of what needs it"):
        two().install(frozen=True)
    assert trial.plugins() == old["plugins"]
