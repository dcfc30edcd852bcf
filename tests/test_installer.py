"""The installer from end to end: a real registry, real archives, real folders."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.installs import HostProject, done

from publisher.maintain import policy
from publisher.maintain.policy import PublisherChange
from registry_client.errors import (
    ConfigError,
    ConflictError,
    ConsentError,
    HookError,
    InstallError,
    NotFoundError,
    ReadOnlyError,
    RegistryError,
    YankedError,
)
from registry_client.installer.installer import Consent

if TYPE_CHECKING:
    from registry_client.installer.plan import Change, Plan
from registry_client.installer.pinning import choose_artifact
from registry_client.models.manifest import Artifact
from registry_client.rollout import bucket


@pytest.fixture
def host(tmp_path: Path) -> HostProject:
    """A project over a registry with a calendar that needs notes."""
    project = HostProject.make(tmp_path)
    project.publish("acme-notes", permissions=["notes.read"])
    project.publish("acme-calendar", requires={"plugins": {"acme-notes": ">=1,<2"}})
    return project


def test_add_installs_what_is_needed_too(host: HostProject) -> None:
    """One wish: plugins.toml gets a lower bound, the lock both plugins, the folder both."""
    plan = host.installer().add(["acme-calendar"])
    assert done(plan) == ["install acme-calendar 1.0.0", "install acme-notes 1.0.0"]
    assert host.versions() == {"acme-calendar": "1.0.0", "acme-notes": "1.0.0"}
    assert host.locked() == {"acme-calendar": "1.0.0", "acme-notes": "1.0.0"}
    assert 'acme-calendar = ">=1.0.0"' in host.toml
    assert (host.plugins / "acme-notes" / ".plugin" / "manifest.json").is_file()
    assert [change.new_permissions for change in plan.changes] == [(), ("notes.read",)]


def test_install_with_nothing_to_do_asks_nobody(host: HostProject) -> None:
    """Once installed, the registry is not needed to find that out."""
    host.installer().add(["acme-calendar"])
    host.online = False
    before = sorted(path.stat().st_mtime_ns for path in host.plugins.rglob("*") if path.is_file())
    assert host.installer().install().changes == ()
    assert before == sorted(path.stat().st_mtime_ns for path in host.plugins.rglob("*") if path.is_file())


def test_install_from_a_lock_elsewhere(host: HostProject) -> None:
    """Another machine gets the locked versions, not newer ones, and is not asked about permissions."""
    host.installer().add(["acme-calendar"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read", "notes.write"])
    shutil.rmtree(host.plugins)
    plan = host.installer().install(frozen=True)
    assert done(plan) == ["install acme-calendar 1.0.0", "install acme-notes 1.0.0"]
    assert host.versions()["acme-notes"] == "1.0.0"


def test_frozen_refuses_a_stale_lock(host: HostProject) -> None:
    """In CI a lock that does not answer plugins.toml is an error, and nothing is written."""
    host.write('acme-calendar = ">=1"')
    with pytest.raises(ConfigError, match=r"there is no plugins\.lock"):
        host.installer().install(frozen=True)
    host.installer().install()
    host.write('acme-calendar = ">=1"\nacme-notes = ">=1"')
    lock = (host.folder / "plugins.lock").read_bytes()
    with pytest.raises(ConfigError, match=r"acme-notes was added to plugins\.toml"):
        host.installer().install(frozen=True)
    assert (host.folder / "plugins.lock").read_bytes() == lock
    assert host.installer().install().changes == ()  # only the lock is made anew
    assert host.installer().install(frozen=True).changes == ()


def test_remove_takes_what_only_it_needed(host: HostProject) -> None:
    """Both go; a plugin that something else needs cannot be removed by itself."""
    host.installer().add(["acme-calendar"])
    with pytest.raises(NotFoundError, match="needed by acme-calendar"):
        host.installer().remove(["acme-notes"])
    plan = host.installer().remove(["acme-calendar"])
    assert done(plan) == ["remove acme-calendar 1.0.0", "remove acme-notes 1.0.0"]
    assert host.versions() == {}
    assert host.locked() == {}
    assert "acme-calendar" not in host.toml
    assert list((host.plugins / ".registry" / "archives").iterdir()) == []


def test_remove_keeps_what_others_need(host: HostProject) -> None:
    """What was asked for directly and is needed elsewhere stays, and is said to."""
    host.installer().add(["acme-calendar", "acme-notes"])
    assert done(host.installer().remove(["acme-notes"])) == []
    assert host.versions() == {"acme-calendar": "1.0.0", "acme-notes": "1.0.0"}
    assert any("acme-notes stays" in warning for warning in host.warnings)


def test_upgrade_and_rollback_without_network(host: HostProject) -> None:
    """Forwards with the changelogs of all between, back from this machine alone, and not forwards again by itself."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", changelog="Faster.", permissions=["notes.read"])
    host.publish("acme-notes", "1.2.0", changelog="Smaller.", permissions=["notes.read"])
    dry = host.installer().upgrade(dry_run=True)
    assert [change.changelogs for change in dry.changes] == [(("1.2.0", "Smaller."), ("1.1.0", "Faster."))]
    assert host.versions() == {"acme-notes": "1.0.0"}
    host.installer().upgrade()
    assert host.versions() == host.locked() == {"acme-notes": "1.2.0"}
    host.online = False
    plan = host.installer().rollback("acme-notes")
    assert done(plan) == ["downgrade acme-notes 1.0.0"]
    assert host.versions() == host.locked() == {"acme-notes": "1.0.0"}
    host.online = True
    assert host.installer().upgrade().changes == ()
    assert host.installer().outdated() == []
    host.publish("acme-notes", "1.2.1", permissions=["notes.read"])
    assert done(host.installer().upgrade()) == ["upgrade acme-notes 1.2.1"]


def test_rollback_to_a_named_version(host: HostProject) -> None:
    """Three versions stay by default; older ones are not kept."""
    host.installer().add(["acme-notes"])
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        host.publish("acme-notes", version, permissions=["notes.read"])
        host.installer().upgrade()
    host.online = False
    with pytest.raises(
        NotFoundError, match=r"version 1\.0\.0 is not kept on this machine \(kept: 1\.2\.0, 1\.1\.0\)"
    ):
        host.installer().rollback("acme-notes", "1.0.0")
    host.installer().rollback("acme-notes", "1.1.0")
    assert host.versions() == {"acme-notes": "1.1.0"}
    host.installer().rollback("acme-notes", "1.3.0")
    assert host.versions() == {"acme-notes": "1.3.0"}
    assert len(list((host.plugins / ".registry" / "archives").iterdir())) == 3


def test_rollback_that_others_do_not_fit_with(host: HostProject) -> None:
    """A version that another plugin cannot live with is refused, with the chain."""
    host.installer().add(["acme-calendar"])
    host.publish("acme-notes", "1.5.0", permissions=["notes.read"])
    host.publish("acme-calendar", "1.1.0", requires={"plugins": {"acme-notes": ">=1.5"}})
    host.installer().upgrade()
    with pytest.raises(ConflictError, match=r"acme-calendar 1\.1\.0 needs acme-notes >=1\.5"):
        host.installer().rollback("acme-notes")
    host.installer().rollback("acme-calendar")
    host.installer().rollback("acme-notes")
    assert host.versions() == {"acme-calendar": "1.0.0", "acme-notes": "1.0.0"}


def test_more_permissions_need_consent(host: HostProject) -> None:
    """An upgrade that asks for more stops, names what, and goes on once accepted; declined, nothing changes."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read", "notes.write"])
    with pytest.raises(ConsentError, match=r"acme-notes 1\.1\.0: notes\.write"):
        host.installer().upgrade()
    seen: list[Plan] = []

    def no(plan: Plan) -> bool:
        seen.append(plan)
        return False

    with pytest.raises(ConsentError, match="not accepted"):
        host.installer().upgrade(consent=Consent(confirm=no))
    assert [c.new_permissions for c in seen[0].changes] == [("notes.write",)]
    assert host.versions() == host.locked() == {"acme-notes": "1.0.0"}
    host.installer().upgrade(consent=Consent(permissions=True))
    assert host.versions() == {"acme-notes": "1.1.0"}


def test_verify_from_signature_to_files(host: HostProject) -> None:
    """Every file that differs, is missing or was added is named; install --verify puts it right."""
    host.installer().add(["acme-calendar"])
    checked, _ = host.installer().verify()
    assert [(c.id, c.problems, c.status) for c in checked] == [
        ("acme-calendar", (), "released"),
        ("acme-notes", (), "released"),
    ]
    (host.plugins / "acme-notes" / "plugin.py").write_text("changed")
    (host.plugins / "acme-notes" / "new.py").write_text("added")
    (host.plugins / "acme-calendar" / "plugin.py").unlink()
    checked, _ = host.installer().verify()
    problems = {c.id: " ".join(c.problems) for c in checked}
    assert "plugin.py" in problems["acme-notes"]
    assert "new.py" in problems["acme-notes"]
    assert "plugin.py" in problems["acme-calendar"]
    assert host.installer().install().changes == ()  # only the receipts are looked at
    plan = host.installer().install(verify=True)
    assert done(plan) == ["reinstall acme-calendar 1.0.0", "reinstall acme-notes 1.0.0"]
    assert all(not c.problems for c in host.installer().verify()[0])


@pytest.mark.parametrize("kept", ["archives", "manifests"])
def test_verify_notices_what_it_compares_with(host: HostProject, kept: str) -> None:
    """A changed archive or manifest among those kept is a problem, not a base to compare with."""
    host.installer().add(["acme-notes"])
    (path,) = (host.plugins / ".registry" / kept).iterdir()
    path.write_bytes(path.read_bytes().replace(b"1.0.0", b"1.0.1"))
    ((checked,), _) = host.installer().verify()
    assert checked.problems


def test_missing_folder_is_installed_again(host: HostProject) -> None:
    """A plugin's folder that is gone comes back from the archive on this machine, without network for the archive."""
    host.installer().add(["acme-notes"])
    shutil.rmtree(host.plugins / "acme-notes")
    assert host.installer().status().out_of_step == ("acme-notes",)
    assert done(host.installer().install()) == ["reinstall acme-notes 1.0.0"]
    assert host.versions() == {"acme-notes": "1.0.0"}


def test_disable_and_enable(host: HostProject) -> None:
    """A disabled plugin stands where the host does not look, is upgraded there, and comes back."""
    host.installer().add(["acme-notes"])
    host.installer().disable(["acme-notes"])
    assert host.versions() == {}
    assert (host.plugins / ".registry" / "disabled" / "acme-notes" / "plugin.py").is_file()
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.installer().upgrade()
    assert host.versions() == {}
    assert host.installer().disable(["acme-notes"]).changes == ()
    host.installer().enable(["acme-notes"])
    assert host.versions() == {"acme-notes": "1.1.0"}
    with pytest.raises(NotFoundError):
        host.installer().disable(["acme-other"])


def test_block_disables_and_its_end_enables(host: HostProject) -> None:
    """A block is refused at install; what is installed stands aside with the reason, and comes back when it is lifted."""
    host.installer().add(["acme-notes"])
    host.world.block("acme-notes", "<2", "disable", "Sends notes to strangers.")
    host.world.register()
    checked, plan = host.installer().verify()
    assert done(plan) == ["disable acme-notes 1.0.0"]
    assert "Sends notes to strangers" in " ".join(checked[0].problems)
    assert host.versions() == {}
    (item,) = host.installer().status().installed
    assert item.disabled is not None
    assert "Sends notes to strangers" in item.disabled.reason
    with pytest.raises(YankedError, match="Sends notes"):
        host.installer().enable(["acme-notes"])
    host.world.unblock("acme-notes")
    host.world.register()
    assert done(host.installer().verify()[1]) == ["enable acme-notes 1.0.0"]
    assert host.versions() == {"acme-notes": "1.0.0"}


def test_block_that_the_owner_disabled_before(host: HostProject) -> None:
    """What its owner had set aside does not come back when a block is lifted."""
    host.installer().add(["acme-notes"])
    host.installer().disable(["acme-notes"])
    host.world.block("acme-notes", "<2", "disable", "Unsafe.")
    host.world.register()
    assert host.installer().verify()[1].changes == ()
    host.world.unblock("acme-notes")
    host.world.register()
    assert host.installer().verify()[1].changes == ()
    assert host.versions() == {}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("a.tar.gz", "a.whl", "a.zip"), "a.zip"),
        (("a.tar.gz", "a.whl"), "a.whl"),
        (("a.js", "A.ZIP"), "A.ZIP"),
        (("a.js", "a.zip?token=1"), "a.zip?token=1"),
        (("b.js", "a.js"), "b.js"),
    ],
)
def test_which_artifact(names: tuple[str, ...], chosen: str) -> None:
    """A ZIP before a wheel before a tarball before anything else, whatever stands after the name in the URL."""
    artifacts = [
        Artifact.model_validate(
            {
                "ecosystem": "python",
                "url": f"https://cdn.example/{name}",
                "digest": f"sha256:{'0' * 64}",
                "size": 1,
            }
        )
        for name in names
    ]
    found = choose_artifact(artifacts, "acme-notes 1.0.0", None)
    assert found is not None
    assert found.url.endswith(f"/{chosen}")


def test_blocked_plugin_is_not_installed(host: HostProject) -> None:
    """Neither by range, nor exactly, nor from a lock."""
    host.installer().add(["acme-notes"])
    shutil.rmtree(host.plugins)
    host.world.block("acme-notes", "<2", "disable", "Unsafe.")
    host.world.register()
    attempts: list[Callable[[], Plan]] = [
        lambda: host.installer().install(),
        lambda: host.installer().add(["acme-calendar"]),
        lambda: host.installer().add(["acme-notes==1.0.0"]),
    ]
    for attempt in attempts:
        with pytest.raises(RegistryError, match="Unsafe"):
            attempt()
    assert host.versions() == {}


@pytest.mark.parametrize(("opted_in", "action"), [("false", "disable"), ("true", "remove")])
def test_uninstalling_only_if_the_host_opted_in(tmp_path: Path, opted_in: str, action: str) -> None:
    """`uninstall` sets aside; it removes only where plugins.toml says so."""
    host = HostProject.make(tmp_path, updates=f"uninstall-blocked = {opted_in}")
    host.publish("acme-notes")
    host.installer().add(["acme-notes"])
    host.world.block("acme-notes", "<2", "uninstall", "Unsafe.")
    host.world.register()
    assert done(host.installer().verify()[1]) == [f"{action} acme-notes 1.0.0"]
    assert host.versions() == {}


def test_rollback_under_a_known_block(host: HostProject) -> None:
    """A blocked version is not gone back to, network or not."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.installer().upgrade()
    host.world.block("acme-notes", "<1.1", "disable", "Unsafe.")
    host.world.register()
    host.installer().verify()
    host.online = False
    with pytest.raises(YankedError, match="Unsafe"):
        host.installer().rollback("acme-notes")
    assert host.versions() == {"acme-notes": "1.1.0"}


def test_tree_and_why(host: HostProject) -> None:
    """Who needs whom, out of the lock."""
    host.installer().add(["acme-calendar"])
    (branch,) = host.installer().tree()
    assert [b.plugin.id for b in branch.branches] == ["acme-notes"]
    ((first, second),) = host.installer().why("acme-notes")
    assert (first.id, second.id, second.range) == ("acme-calendar", "acme-notes", ">=1,<2")


def test_discover_and_adopt(host: HostProject) -> None:
    """A folder that is exactly a published version becomes that; any other is adopted as unsigned, if allowed."""
    host.installer().add(["acme-notes"])
    copy = host.folder / "copy"
    shutil.copytree(host.plugins / "acme-notes", copy, ignore=shutil.ignore_patterns(".plugin"))
    host.installer().remove(["acme-notes"])
    shutil.copytree(copy, host.plugins / "acme-notes")
    (host.plugins / "sms").mkdir()
    (host.plugins / "sms" / "plugin.json").write_text('{"name": "sms", "version": "1.2.0"}')
    assert [(f.id, f.version) for f in host.installer().discover()] == [
        ("acme-notes", "1.0.0"),
        ("sms", "1.2.0"),
    ]
    assert done(host.installer().adopt("acme-notes")) == ["install acme-notes 1.0.0"]
    with pytest.raises(ConsentError, match="is not what a registry"):
        host.installer().adopt("sms")
    host.installer().adopt("sms", consent=Consent(unsigned=True))
    assert {i.plugin.id: i.plugin.signed for i in host.installer().installed()} == {
        "acme-notes": True,
        "sms": False,
    }
    assert host.installer().discover() == []
    assert "adopted = true" in host.toml
    assert host.installer().status().unsigned == ("sms",)
    checked, _ = host.installer().verify()
    assert [c.problems for c in checked] == [(), ()]


def test_a_folder_in_the_way(host: HostProject) -> None:
    """What nobody recorded is not overwritten."""
    (host.plugins / "acme-notes").mkdir(parents=True)
    (host.plugins / "acme-notes" / "mine.txt").write_text("mine")
    toml = host.toml
    with pytest.raises(InstallError):
        host.installer().add(["acme-notes"])
    assert (host.plugins / "acme-notes" / "mine.txt").read_text() == "mine"
    assert host.toml == toml
    assert not (host.folder / "plugins.lock").exists()


def test_unsigned_folder(host: HostProject) -> None:
    """Only if allowed, marked, pinned by digest; new content needs consent again; a changed folder is noticed elsewhere."""
    sms = host.folder / "sms"
    sms.mkdir()
    (sms / "plugin.py").write_text("sms 1.0.0")
    (sms / "plugin.json").write_text('{"name": "sms", "version": "1.0.0"}')
    with pytest.raises(ConsentError, match="unsigned source"):
        host.installer().add(["./sms"])
    host.installer().add(["./sms"], consent=Consent(unsigned=True))
    assert host.versions() == {"sms": "1.0.0"}
    assert host.installer().install().changes == ()
    (sms / "plugin.py").write_text("sms 1.0.1")
    assert host.installer().lock().lock is None
    assert host.installer().upgrade().changes == ()
    assert "sms: its unsigned source (path) has new content, and it stays as locked" in host.warnings[-1]
    with pytest.raises(ConsentError, match="whose content has changed"):
        host.installer().upgrade(["sms"])
    shutil.rmtree(host.plugins)
    with pytest.raises(RegistryError, match="is not what was locked"):
        host.installer().install(frozen=True)
    host.installer().lock(consent=Consent(unsigned=True))
    host.installer().install(frozen=True)
    assert host.versions() == {"sms": "1.0.1"}


class Steps:
    """A host's hooks, which note what they are called with."""

    def __init__(self, *, fail: str = "") -> None:
        self.calls: list[str] = []
        self.fail = fail

    def before(self, change: Change) -> None:
        """Note it; fail if told to."""
        self._call("before", change)

    def after(self, change: Change) -> None:
        """Note it; fail if told to."""
        self._call("after", change)

    def _call(self, when: str, change: Change) -> None:
        self.calls.append(f"{when} {change.action} {change.id}")
        if self.fail == when:
            raise RuntimeError("the database is away")


def test_hooks(host: HostProject) -> None:
    """Before and after each change; a failure before stops everything, one after is told and the change stands."""
    steps = Steps()
    host.hooks = steps
    host.installer().add(["acme-calendar"])
    assert steps.calls == [
        "before install acme-calendar",
        "before install acme-notes",
        "after install acme-calendar",
        "after install acme-notes",
    ]
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.hooks = Steps(fail="before")
    with pytest.raises(HookError, match="the database is away"):
        host.installer().upgrade()
    assert host.versions()["acme-notes"] == host.locked()["acme-notes"] == "1.0.0"
    host.hooks = Steps(fail="after")
    with pytest.raises(HookError, match="done, but"):
        host.installer().upgrade()
    assert host.versions()["acme-notes"] == host.locked()["acme-notes"] == "1.1.0"


def test_edited_lock_is_refused(host: HostProject) -> None:
    """Permissions or an archive that the signed manifest does not state: the lock was tampered with."""
    host.installer().add(["acme-notes"])
    shutil.rmtree(host.plugins)
    path = host.folder / "plugins.lock"
    honest = json.loads(path.read_bytes())
    for member, value in (("permissions", []), ("artifact", {**honest["plugins"][0]["artifact"], "size": 1})):
        edited = json.loads(json.dumps(honest))
        edited["plugins"][0][member] = value
        path.write_text(json.dumps(edited))
        with pytest.raises(RegistryError, match="states something else"):
            host.installer().install()
    edited = json.loads(json.dumps(honest))
    edited["plugins"][0]["payloadDigest"] = "sha256:" + "0" * 64
    path.write_text(json.dumps(edited))
    with pytest.raises(RegistryError, match="the lock pins"):
        host.installer().install()
    assert host.versions() == {}


@pytest.mark.parametrize(
    ("policy", "expected", "waits"),
    [
        ("none", "1.0.0", "1.0.0 -> 2.0.0"),
        ("forced", "1.0.0", "1.0.0 -> 2.0.0"),
        ("patch", "1.0.1", "1.0.1 -> 2.0.0"),
        ("minor", "1.1.0", "1.1.0 -> 2.0.0"),
        ("all", "2.0.0", ""),
    ],
)
def test_automatic_upgrades_by_policy(tmp_path: Path, policy: str, expected: str, waits: str) -> None:
    """Only as far as plugins.toml allows; the rest waits, with its reason."""
    host = HostProject.make(tmp_path, plugins='acme-notes = ">=1"', updates=f'auto = "{policy}"')
    host.publish("acme-notes", "1.0.0")
    host.installer().install()
    for version in ("1.0.1", "1.1.0", "2.0.0"):
        host.publish("acme-notes", version)
    plan = host.installer().upgrade_automatically()
    assert host.versions() == host.locked() == {"acme-notes": expected}
    left = [(w.id, w.offered) for w in plan.waiting]
    assert left == ([("acme-notes", "2.0.0")] if waits else [])


def test_automatic_upgrades_apply_forced_ones(host: HostProject) -> None:
    """A forced update is applied under the default policy; not if it asks for more permissions."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.world.set_status("acme-notes", "1.1.0", force_update=True)
    host.world.register()
    assert done(host.installer().upgrade_automatically()) == ["upgrade acme-notes 1.1.0"]
    host.publish("acme-notes", "1.2.0", permissions=["notes.read", "notes.write"])
    host.world.set_status("acme-notes", "1.2.0", force_update=True)
    host.world.register()
    plan = host.installer().upgrade_automatically()
    assert plan.changes == ()
    assert [(w.offered, w.reason) for w in plan.waiting] == [
        ("1.2.0", "it asks for more permissions: notes.write")
    ]


def test_host_version_decides(host: HostProject) -> None:
    """A version that needs a newer host is not chosen, and when nothing else is left the error says so."""
    host.publish("acme-notes", "1.1.0", requires={"host": {"example": ">=2"}})
    host.installer().add(["acme-notes"])
    assert host.versions() == {"acme-notes": "1.0.0"}
    with pytest.raises(RegistryError, match=r"example >=2"):
        host.installer().add(["acme-notes>=1.1"])


def test_a_lock_for_another_host(host: HostProject) -> None:
    """What was locked for an older version of the host is not installed into a newer one that it does not fit."""
    host.publish("acme-old", requires={"host": {"example": "<2"}})
    host.installer().add(["acme-old"])
    shutil.rmtree(host.plugins)
    (host.folder / "plugins.toml").write_text(host.toml.replace('version = "1.4.0"', 'version = "2.0.0"'))
    with pytest.raises(ConfigError, match=r"acme-old 1\.0\.0 needs example <2 \(this host is 2\.0\.0\)"):
        host.installer().install(frozen=True)
    with pytest.raises(RegistryError, match="example <2"):
        host.installer().install()
    host.publish("acme-old", "1.1.0")
    host.installer().install()
    assert host.versions() == {"acme-old": "1.1.0"}


def test_remote_plugin_is_recorded(host: HostProject) -> None:
    """A plugin without an artifact has its signed manifest in its folder: the host loads what that names."""
    host.world.publish("acme-remote", "1.0.0")
    host.world.register()
    host.installer().add(["acme-remote"])
    manifest = json.loads((host.plugins / "acme-remote" / ".plugin" / "manifest.json").read_bytes())
    assert manifest["ui"]["expose"] == "./App"
    assert host.installer().verify()[0][0].problems == ()


def test_asked_for_again_keeps_its_range(host: HostProject) -> None:
    """A bare wish for what is there changes nothing: its owner chose that range."""
    host.installer().add(["acme-notes>=1,<1.1"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    assert host.installer().add(["acme-notes"]).changes == ()
    assert 'acme-notes = ">=1,<1.1"' in host.toml
    assert host.versions() == {"acme-notes": "1.0.0"}


def test_rollback_below_the_range_states_it(host: HostProject) -> None:
    """plugins.toml follows where its range leaves the version out, so that the project goes on working."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.installer().add(["acme-notes>=1.1"])
    host.installer().rollback("acme-notes")
    assert 'acme-notes = "==1.0.0"' in host.toml
    assert any("loosen that" in warning for warning in host.warnings)
    assert host.installer().install(frozen=True).changes == ()
    host.installer().add(["acme-calendar"])
    assert host.versions() == {"acme-calendar": "1.0.0", "acme-notes": "1.0.0"}


def test_rollback_goes_back_only(host: HostProject) -> None:
    """Twice is two versions back, never forwards again; forwards only by name."""
    host.installer().add(["acme-notes"])
    for version in ("1.1.0", "1.2.0"):
        host.publish("acme-notes", version, permissions=["notes.read"])
        host.installer().upgrade()
    for expected in ("1.1.0", "1.0.0"):
        host.installer().rollback("acme-notes")
        assert host.versions() == {"acme-notes": expected}
    with pytest.raises(NotFoundError, match=r"no version before 1\.0\.0 is kept"):
        host.installer().rollback("acme-notes")
    host.installer().rollback("acme-notes", "1.2.0")
    assert host.versions() == {"acme-notes": "1.2.0"}


def test_what_was_gone_back_from_is_told(host: HostProject) -> None:
    """`upgrade` and `outdated` say why nothing newer comes, and how it would."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.installer().upgrade()
    host.installer().rollback("acme-notes")
    for look in (host.installer().upgrade, host.installer().outdated):
        host.warnings.clear()
        look()
        assert any("gone back from 1.1.0; 'plugin upgrade acme-notes'" in text for text in host.warnings)


def test_removing_needs_no_registry(host: HostProject) -> None:
    """What is blocked, or whose registry is gone, can be removed all the same."""
    host.installer().add(["acme-calendar"])
    host.online = False
    plan = host.installer().remove(["acme-calendar"])
    assert done(plan) == ["remove acme-calendar 1.0.0", "remove acme-notes 1.0.0"]
    assert host.locked() == {}


def test_a_blocked_plugin_does_not_stop_the_others(host: HostProject) -> None:
    """It stays locked, set aside; the rest of the project is added to and upgraded."""
    host.publish("acme-other")
    host.installer().add(["acme-notes", "acme-other"])
    host.world.block("acme-notes", "<2", "disable", "Unsafe.")
    host.world.register()
    host.publish("acme-other", "1.1.0")
    host.publish("acme-third")
    assert done(host.installer().upgrade()) == ["disable acme-notes 1.0.0", "upgrade acme-other 1.1.0"]
    assert done(host.installer().add(["acme-third"])) == ["install acme-third 1.0.0"]
    assert host.versions() == {"acme-other": "1.1.0", "acme-third": "1.0.0"}
    assert any("acme-notes 1.0.0 is blocked; it stays locked" in text for text in host.warnings)
    shutil.rmtree(host.plugins)  # a machine where it is not set aside yet refuses it
    with pytest.raises(YankedError, match="Unsafe"):
        host.installer().install()


def test_staged_rollout_by_installation(host: HostProject) -> None:
    """An update reaches an installation once its bucket is within the rollout, and not before; 0 stops it."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    (path,) = (host.folder.parent / "home").rglob("install-id")
    mine = bucket(path.read_text(), "acme-notes", "1.1.0")
    for rollout, offered in ((0, False), (mine, False), (mine + 1, True)):
        host.world.set_status("acme-notes", "1.1.0", rollout=rollout)
        host.world.register()
        assert bool(host.installer().outdated()) is offered
        assert bool(host.installer().upgrade(dry_run=True).changes) is offered
    host.installer().upgrade()
    host.world.set_status("acme-notes", "1.1.0", rollout=0)
    host.world.register()
    assert host.installer().upgrade().changes == ()  # never lower than installed
    assert host.versions() == {"acme-notes": "1.1.0"}


def test_an_update_that_is_not_pushed(host: HostProject) -> None:
    """It is for new installations only, and to be had by those who ask for it."""
    host.installer().add(["acme-notes"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])
    host.world.set_status("acme-notes", "1.1.0", push=False)
    host.world.register()
    assert host.installer().upgrade().changes == ()
    host.installer().add(["acme-notes==1.1.0"])
    assert host.versions() == {"acme-notes": "1.1.0"}


@pytest.mark.parametrize("status", ["deprecated", "yanked"])
def test_locked_versions_that_were_withdrawn(host: HostProject, status: str) -> None:
    """They stay installed, can be installed again from the lock, and are named with the reason."""
    host.installer().add(["acme-notes"])
    host.world.set_status("acme-notes", "1.0.0", status, reason="Loses notes.")
    host.world.register()
    for operation in (host.installer().outdated, host.installer().lock):
        host.warnings.clear()
        operation()
        assert any("Loses notes." in warning for warning in host.warnings)
    shutil.rmtree(host.plugins)
    host.installer().install(frozen=True)
    assert host.versions() == {"acme-notes": "1.0.0"}


def test_an_update_from_another_publisher_waits(host: HostProject) -> None:
    """Automatic upgrades go no further than the publisher that was chosen; by hand it is shown and done."""
    host.write('acme-notes = ">=1"', updates='auto = "all"')
    host.installer().install()
    host.world.add_publisher("globex", "globex-*")
    desk = host.world.desk()
    policy.change_publisher(
        desk, "acme", PublisherChange(remove_plugins=("acme-*",), add_plugins=("acme-calendar",))
    )
    policy.change_publisher(desk, "globex", PublisherChange(add_plugins=("acme-notes",)))
    desk.save()
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"], by="globex")
    plan = host.installer().upgrade_automatically()
    assert [(w.id, w.reason) for w in plan.waiting] == [
        ("acme-notes", "it comes from another publisher: globex")
    ]
    assert host.versions() == {"acme-notes": "1.0.0"}


def test_verify_misses_what_is_locked(host: HostProject) -> None:
    """A plugins folder that is gone is not in order."""
    host.installer().add(["acme-calendar"])
    shutil.rmtree(host.plugins)
    checked, _ = host.installer().verify()
    assert [(c.id, c.problems) for c in checked] == [
        ("acme-calendar", ("is locked, and not installed",)),
        ("acme-notes", ("is locked, and not installed",)),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="permissions are taken away in a forked child")
def test_plugins_that_may_only_be_read(host: HostProject, tmp_path: Path) -> None:
    """A deployment whose plugins folder is read-only can be verified, looked at, and installed where nothing is to be done."""
    host.installer().add(["acme-calendar"])
    host.publish("acme-notes", "1.1.0", permissions=["notes.read"])

    def look() -> None:
        assert all(not checked.problems for checked in host.installer().verify()[0])
        assert host.installer().status().exchange is None
        assert host.installer().install(frozen=True).changes == ()
        assert done(host.installer().upgrade(dry_run=True)) == ["upgrade acme-notes 1.1.0"]
        with pytest.raises(ReadOnlyError, match="cannot be written"):
            host.installer().upgrade()

    before = snapshot(host.folder)
    as_reader(look, tmp_path, writable=tmp_path / "home")
    assert snapshot(host.folder) == before


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def as_reader(look: Callable[[], None], top: Path, *, writable: Path) -> None:
    """Run something as somebody who may read everything, but write only in one folder."""
    nobody = 65534
    for path in (top, *top.parents):
        if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
            path.chmod(path.stat().st_mode | 0o055)
    for path in top.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (writable, *writable.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    child = os.fork()
    if not child:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(nobody)
            look()
            code = 0
        except BaseException:  # noqa: BLE001  (the child must end here, whatever it was)
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    for path in top.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
