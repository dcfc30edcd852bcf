"""Consent, policy and blocks in the ways around them: other machines, what an update brings along, what is renamed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.installs import HostProject, done

from registry_client.errors import ConflictError, ConsentError, InstallError, RegistryError
from registry_client.installer.installer import Consent


@pytest.fixture
def host(tmp_path: Path) -> HostProject:
    """A project over a registry with notes, which may read."""
    project = HostProject.make(tmp_path)
    project.publish("acme-notes", permissions=["notes.read"])
    return project


def _plugin_folder(host: HostProject, version: str = "1.0.0") -> None:
    folder = host.folder / "own"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(f'{{"id": "own", "version": "{version}"}}')
    (folder / "plugin.py").write_text(f"own {version}")


@pytest.mark.parametrize("operation", ["lock", "install", "upgrade"])
def test_a_machine_with_nothing_but_the_lock(host: HostProject, operation: str) -> None:
    """What the lock had accepted is the base, installed here or not: else a lock made here would be accepted elsewhere."""
    host.installer().add(["acme-notes"])
    shutil.rmtree(host.plugins)
    host.publish("acme-notes", "1.1.0", permissions=["notes.read", "notes.write"])
    if operation != "upgrade":
        (host.folder / "plugins.toml").write_text(host.toml.replace(">=1.0.0", ">=1.1.0"))
    with pytest.raises(ConsentError, match=r"acme-notes 1\.1\.0: notes\.write"):
        getattr(host.installer(), operation)()
    assert host.locked() == {"acme-notes": "1.0.0"}
    getattr(host.installer(), operation)(consent=Consent(permissions=True))
    assert host.locked() == {"acme-notes": "1.1.0"}


def test_an_upgrade_that_brings_a_plugin_along(host: HostProject) -> None:
    """What a new dependency may do is asked for by the upgrade that needs it."""
    host.installer().add(["acme-notes"])
    host.publish("acme-spy", permissions=["network.all"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"], requires={"plugins": {"acme-spy": ">=1"}})
    with pytest.raises(ConsentError, match=r"acme-spy 1\.0\.0: network\.all"):
        host.installer().upgrade()
    assert host.versions() == {"acme-notes": "1.0.0"}
    host.installer().upgrade(consent=Consent(permissions=True))
    assert host.versions() == {"acme-notes": "1.1.0", "acme-spy": "1.0.0"}


@pytest.mark.parametrize("permissions", [[], ["network.all"]])
def test_an_automatic_upgrade_that_brings_a_plugin_along(tmp_path: Path, permissions: list[str]) -> None:
    """It waits if the new plugin asks for anything; else it is applied with it."""
    host = HostProject.make(tmp_path, plugins='acme-notes = ">=1"', updates='auto = "all"')
    host.publish("acme-notes")
    host.installer().install()
    host.publish("acme-spy", permissions=permissions)
    host.publish("acme-notes", "1.1.0", requires={"plugins": {"acme-spy": ">=1"}})
    plan = host.installer().upgrade_automatically()
    if permissions:
        assert plan.changes == ()
        assert [(w.id, w.reason) for w in plan.waiting] == [
            ("acme-notes", "it asks for more permissions: network.all")
        ]
    else:
        assert done(plan) == ["upgrade acme-notes 1.1.0", "install acme-spy 1.0.0"]


@pytest.mark.parametrize(
    ("policy", "expected"), [("forced", "1.0.1"), ("patch", "1.0.2"), ("minor", "1.1.0"), ("all", "2.0.0")]
)
def test_a_forced_update_forces_no_later_one(tmp_path: Path, policy: str, expected: str) -> None:
    """Applied without asking is what is forced, or what the policy allows, whichever is newer."""
    host = HostProject.make(tmp_path, plugins='acme-notes = ">=1"', updates=f'auto = "{policy}"')
    host.publish("acme-notes", "1.0.0")
    host.installer().install()
    for version in ("1.0.1", "1.0.2", "1.1.0", "2.0.0"):
        host.publish("acme-notes", version)
    host.world.set_status("acme-notes", "1.0.1", force_update=True)
    host.world.register()
    plan = host.installer().upgrade_automatically()
    assert host.versions() == {"acme-notes": expected}
    reasons = [] if policy == "all" else [f'[updates] auto = "{policy}" does not allow it']
    assert [w.reason for w in plan.waiting] == reasons


def test_a_forced_major_version(tmp_path: Path) -> None:
    """What is forced is applied whatever its size."""
    host = HostProject.make(tmp_path, plugins='acme-notes = ">=1"', updates='auto = "patch"')
    host.publish("acme-notes", "1.0.0")
    host.installer().install()
    host.publish("acme-notes", "2.0.0")
    host.world.set_status("acme-notes", "2.0.0", force_update=True)
    host.world.register()
    assert done(host.installer().upgrade_automatically()) == ["upgrade acme-notes 2.0.0"]


def test_a_changed_folder_holds_nothing_else_up(host: HostProject) -> None:
    """An unsigned source under development stays as locked while others are updated or removed by themselves."""
    _plugin_folder(host)
    host.publish("acme-other")
    host.installer().add(["acme-notes", "acme-other"])
    host.installer().add(["./own"], consent=Consent(unsigned=True))
    _plugin_folder(host, "1.1.0")
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.world.set_status("acme-notes", "1.1.0", force_update=True)
    host.world.register()
    assert done(host.installer().upgrade_automatically()) == ["upgrade acme-notes 1.1.0"]
    assert done(host.installer().remove(["acme-other"])) == ["remove acme-other 1.0.0"]
    assert host.versions() == {"acme-notes": "1.1.0", "own": "1.0.0"}
    assert host.locked() == {"acme-notes": "1.1.0", "own": "1.0.0"}
    shutil.rmtree(host.folder / "own")
    assert host.installer().outdated() == []
    assert host.installer().upgrade_automatically().changes == ()


def test_blocks_follow_a_renamed_registry(host: HostProject) -> None:
    """A registry under another name in plugins.toml is the same: its blocks hold for what it gave."""
    host.installer().add(["acme-notes"])
    text = host.toml.replace("[registries.main]", "[registries.acme]")
    (host.folder / "plugins.toml").write_text(text)
    host.installer().install()
    host.world.block("acme-notes", "<2", "disable", "Unsafe.")
    host.world.register()
    assert done(host.installer().verify()[1]) == ["disable acme-notes 1.0.0"]


def test_an_upgrade_out_of_a_block_is_loaded(host: HostProject) -> None:
    """The version that mends what another was blocked for is not set aside; what its owner disabled stays so."""
    host.publish("acme-other")
    host.installer().add(["acme-notes", "acme-other"])
    host.installer().disable(["acme-other"])
    host.world.block("acme-notes", "<1.1", "disable", "Unsafe.")
    host.world.block("acme-other", "<1.1", "disable", "Unsafe.")
    host.world.register()
    host.installer().verify()
    assert host.versions() == {}
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.publish("acme-other", "1.1.0")
    host.installer().upgrade()
    assert host.versions() == {"acme-notes": "1.1.0"}


def test_forwards_again_without_network(host: HostProject) -> None:
    """A rollback to the newer one of the kept versions asks nobody either, although it is an upgrade."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.installer().upgrade()
    host.installer().rollback("acme-notes")
    host.online = False
    host.world.tick(days=400)  # nothing of the registry counts any more
    assert done(host.installer().rollback("acme-notes", "1.1.0")) == ["upgrade acme-notes 1.1.0"]
    assert host.versions() == {"acme-notes": "1.1.0"}


def test_a_locked_upgrade_from_an_expired_registry(host: HostProject) -> None:
    """What a lock pins is installed, though the changelogs between cannot be had."""
    host.installer().add(["acme-notes"])
    before = (host.folder / "plugins.lock").read_bytes()
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.installer().lock()
    (host.folder / "plugins.toml").write_text(host.toml.replace(">=1.0.0", ">=1.1.0"))
    host.installer().lock()
    assert (host.folder / "plugins.lock").read_bytes() != before
    host.world.tick(days=400)
    assert done(host.installer().install(frozen=True)) == ["upgrade acme-notes 1.1.0"]
    assert host.versions() == {"acme-notes": "1.1.0"}


def test_a_rollback_that_the_host_is_too_new_for(host: HostProject) -> None:
    """A kept version that this host cannot run is refused, rather than replaced by the next run."""
    host.publish("acme-old", requires={"host": {"example": "<2"}})
    host.installer().add(["acme-old"])
    host.publish("acme-old", "1.1.0")
    host.installer().upgrade()
    (host.folder / "plugins.toml").write_text(host.toml.replace('version = "1.4.0"', 'version = "2.0.0"'))
    with pytest.raises(ConflictError, match=r"example <2 \(this host is 2\.0\.0\)"):
        host.installer().rollback("acme-old")
    assert host.versions() == {"acme-old": "1.1.0"}


@pytest.mark.parametrize("policy", ["forced", "patch", "all"])
def test_what_was_gone_back_from_stays_away(tmp_path: Path, policy: str) -> None:
    """A newer version that may not be applied is no reason to take again the one that a rollback went back from."""
    host = HostProject.make(tmp_path, plugins='acme-notes = ">=1,<2"', updates=f'auto = "{policy}"')
    host.publish("acme-notes")
    host.installer().install()
    host.publish("acme-notes", "1.0.1")
    host.world.set_status("acme-notes", "1.0.1", force_update=True)
    host.world.register()
    assert done(host.installer().upgrade_automatically()) == ["upgrade acme-notes 1.0.1"]
    host.installer().rollback("acme-notes")
    host.publish("acme-notes", "2.0.0")
    assert host.installer().upgrade_automatically().changes == ()
    assert [(o.wanted, o.offered, o.force) for o in host.installer().outdated()] == [
        ("1.0.0", "2.0.0", False)
    ]
    assert host.versions() == host.locked() == {"acme-notes": "1.0.0"}
    assert done(host.installer().upgrade(["acme-notes"])) == ["upgrade acme-notes 1.0.1"]  # asked for by name


def test_disabled_by_its_owner_while_blocked(host: HostProject) -> None:
    """Who disables a plugin that a block has disabled already does not find it enabled once the block is lifted."""
    host.installer().add(["acme-notes"])
    host.world.block("acme-notes", "<2", "disable", "Unsafe.")
    host.world.register()
    assert done(host.installer().verify()[1]) == ["disable acme-notes 1.0.0"]
    assert done(host.installer().disable(["acme-notes"])) == ["disable acme-notes 1.0.0"]
    assert host.installer().disable(["acme-notes"]).changes == ()
    host.world.unblock("acme-notes")
    host.world.register()
    assert host.installer().verify()[1].changes == ()
    assert host.versions() == {}
    host.installer().enable(["acme-notes"])
    assert host.versions() == {"acme-notes": "1.0.0"}


@pytest.mark.parametrize("name", ["plugins.lock", "plugins/.registry/installed.json"])
def test_files_of_a_newer_version_of_this_program(host: HostProject, name: str) -> None:
    """It is told apart from damage: nobody is sent to delete what a newer version can read."""
    host.installer().add(["acme-notes"])
    path = host.folder / name
    path.write_text(path.read_text().replace('"schemaVersion": 1', '"schemaVersion": 2'))
    with pytest.raises(RegistryError, match="is 2; this version of the program knows 1 only") as caught:
        host.installer().install()
    assert "newer version" in caught.value.hint


def test_verify_looks_at_what_hosts_read(host: HostProject) -> None:
    """A plugin's copy of its manifest says where a host loads it from, so it must be the signed one, and stand alone there."""
    host.world.publish("acme-remote", "1.0.0")
    host.world.register()
    host.installer().add(["acme-notes", "acme-remote"])
    assert [c.problems for c in host.installer().verify()[0]] == [(), ()]
    changed = host.plugins / "acme-remote" / ".plugin" / "manifest.json"
    changed.write_bytes(changed.read_bytes().replace(b"https://", b"https://evil."))
    (host.plugins / "acme-notes" / ".plugin" / "hidden.py").write_text("x")
    (host.plugins / "acme-notes" / ".registry").mkdir()
    (host.plugins / "acme-notes" / ".registry" / "hidden.py").write_text("x")
    notes, remote = host.installer().verify()[0]
    assert notes.problems == (".plugin/hidden.py: was added", ".registry/hidden.py: was added")
    assert len(remote.problems) == 1
    assert remote.problems[0].startswith(".plugin/manifest.json: is not the signed manifest")
    assert done(host.installer().install(verify=True)) == [
        "reinstall acme-notes 1.0.0",
        "reinstall acme-remote 1.0.0",
    ]
    assert [c.problems for c in host.installer().verify()[0]] == [(), ()]


def test_a_link_among_the_plugins(host: HostProject, tmp_path: Path) -> None:
    """It is named, and not adopted: nothing behind it is read."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("x")
    host.plugins.mkdir()
    (host.plugins / "acme-link").symlink_to(elsewhere)
    assert [item.folder.name for item in host.installer().discover()] == ["acme-link"]
    with pytest.raises(InstallError, match="is a link"):
        host.installer().adopt("acme-link", consent=Consent(unsigned=True))
    assert not (host.plugins / ".registry" / "archives").exists()
