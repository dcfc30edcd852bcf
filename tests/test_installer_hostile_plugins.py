"""What a plugin's own code may do where it can write: links, records, receipts; and what its archive may bring."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from support import attacked as support
from support.areas import tree
from support.attacked import AGREED, Document, attempt
from support.hell import zipped
from support.installs import HostProject, done

from registry_client.digest import Digest
from registry_client.errors import (
    InstallError,
)
from registry_client.installer.installer import Consent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.trials import Trial


attacked, trial, healthy = support.attacked, support.trial, support.healthy


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is none of the installer's business."""
    folder = tmp_path / "outside"
    for name in ("precious.txt", "acme-notes/plugin.py", "acme-notes/mine.txt", "x/y.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    old = folder / "acme-notes"
    os.utime(old, (0, 0))
    return folder


def every_operation(trial: Trial) -> list[Callable[[], object]]:
    """Every operation that writes, in an order that keeps going."""
    return [
        lambda: trial.installer().status(),
        lambda: trial.installer().verify(),
        lambda: trial.installer().install(),
        lambda: trial.installer().install(verify=True),
        lambda: trial.installer().add(["acme-extra"]),
        lambda: trial.installer().disable(["acme-notes"]),
        lambda: trial.installer().enable(["acme-notes"]),
        lambda: trial.installer().rollback("acme-notes"),
        lambda: trial.installer().upgrade(consent=AGREED),
        lambda: trial.installer().discover(),
        lambda: trial.installer().adopt("acme-notes", consent=Consent(unsigned=True)),
        lambda: trial.installer().remove(["acme-calendar"]),
    ]


LINKS = [
    "plugins/acme-notes",
    "plugins/acme-notes/.plugin",
    "plugins/acme-notes/lib",
    "plugins/.registry",
    *(f"plugins/.registry/{name}" for name in ("archives", "manifests", "downloads", "staging", "disabled")),
]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("place", LINKS)
def test_a_link_is_never_followed(healthy: Trial, outside: Path, place: str) -> None:
    """A folder that became a link to another one: nothing there is changed or removed, by no operation."""
    before = tree(outside)
    path = healthy.host / place
    if path.exists():
        shutil.rmtree(path)
    path.symlink_to(outside)
    messages = [attempt(act) for act in every_operation(healthy)]
    assert tree(outside) == before, place
    if ".registry" in place:
        assert f"{path}: is a link" in messages[0]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("kind", ["archives", "manifests", "downloads"])
def test_links_among_what_is_kept(healthy: Trial, outside: Path, kind: str) -> None:
    """Links in the place of kept files, and more of them: removed or replaced, never written through."""
    before = tree(outside)
    folder = healthy.area.root / kind
    folder.mkdir(exist_ok=True)
    for path in list(folder.iterdir()):
        path.unlink()
        path.symlink_to(outside / "precious.txt")
    for item in healthy.installer().installed():
        if item.plugin.artifact is not None:
            part = healthy.area.downloads / f"{Digest(item.plugin.artifact.digest).hex}.part"
            part.parent.mkdir(exist_ok=True)
            part.symlink_to(outside / "precious.txt")
    (folder / "stray").symlink_to(outside)
    for act in every_operation(healthy):
        attempt(act)
    assert tree(outside) == before


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_in_the_place_of_project_files(healthy: Trial, outside: Path) -> None:
    """A lock that is a link to something else is an error that names it; a link to a lock stays one."""
    lock = healthy.host / "plugins.lock"
    (outside / "real.lock").write_bytes(lock.read_bytes())
    lock.unlink()
    lock.symlink_to(outside / "precious.txt")
    for act in every_operation(healthy):
        attempt(act)
    assert (outside / "precious.txt").read_text() == "mine"
    lock.unlink()
    lock.symlink_to(outside / "real.lock")
    healthy.installer().add(["acme-extra"])
    assert lock.is_symlink()
    assert "acme-extra" in (outside / "real.lock").read_text()


def record(change: Callable[[Document], object]) -> Callable[[Trial], None]:
    """An edited installed.json."""

    def edit(trial: Trial) -> None:
        document = json.loads(trial.area.record_path.read_bytes())
        change(document["plugins"])
        trial.area.record_path.write_text(json.dumps(document))

    return edit


def previous(**members: Any) -> Callable[[Trial], None]:
    """A version to go back to that was never there."""
    return record(
        lambda plugins: plugins["acme-notes"].update(
            previous=[{**plugins["acme-notes"]["plugin"], "version": "0.9.0", **members}]
        )
    )


def planted(trial: Trial) -> None:
    """A version to go back to as an unsigned one, whose archive is there."""
    data = zipped(("plugin.py", b"evil"))
    (trial.area.archives / Digest.of(data).hex).write_bytes(data)
    members = {"name": "evil.zip", "digest": Digest.of(data), "size": len(data)}
    record(
        lambda plugins: plugins["acme-notes"].update(
            previous=[
                {
                    "id": "acme-notes",
                    "version": "0.9.0",
                    "source": {"kind": "path", "path": "x"},
                    "artifact": members,
                }
            ]
        )
    )(trial)


RECORDS: dict[str, Callable[[Trial], object]] = {
    "another plugin's id": record(lambda plugins: plugins["acme-notes"]["plugin"].update(id="acme-calendar")),
    "an id above": record(lambda plugins: plugins.update({"../evil": plugins["acme-notes"]})),
    "an id above inside": record(lambda plugins: plugins["acme-notes"]["plugin"].update(id="../../x")),
    "another plugin's past": previous(id="acme-calendar"),
    "a past without manifest": previous(payloadDigest=Digest.of(b"x")),
    "a past with other bytes": previous(artifact={"name": "x.zip", "digest": Digest.of(b"x"), "size": 1}),
    "a past of another version": previous(),
    "an unsigned past": planted,
    "a digest that is a path": previous(payloadDigest="sha256:../../x"),
    "an unknown registry": record(
        lambda plugins: plugins["acme-notes"]["plugin"].update(
            source={"kind": "registry", "registry": "none"}
        )
    ),
    "a plugin that is not there": record(lambda plugins: plugins.update({"x": {**plugins["acme-notes"]}})),
    "no plugins": record(lambda plugins: plugins.clear()),
    "disabled": record(lambda plugins: plugins["acme-notes"].update(disabled={"by": "owner"})),
    "no JSON": lambda trial: trial.area.record_path.write_bytes(b"{"),
    "nested": lambda trial: trial.area.record_path.write_bytes(b"[" * 200_000),
}


@pytest.mark.parametrize("name", RECORDS)
def test_an_edited_record(healthy: Trial, outside: Path, name: str) -> None:
    """Whatever a plugin writes into installed.json: other plugins stay as they are, or it is refused; nothing outside is touched."""
    before, honest = tree(outside), healthy.plugins()
    RECORDS[name](healthy)
    for act in (
        lambda: healthy.installer().status(),
        lambda: healthy.installer().rollback("acme-notes"),
        lambda: healthy.installer().rollback("acme-notes", "0.9.0"),
        lambda: healthy.installer().verify(),
        lambda: healthy.installer().install(frozen=True, verify=True),
    ):
        attempt(act)
        found = healthy.plugins()
        assert found["plugins/acme-calendar"] == honest["plugins/acme-calendar"]
        assert all(files in honest.values() for files in found.values())
    assert tree(outside) == before
    assert sorted(p.name for p in healthy.folder.iterdir()) == ["now", "outside", "start"]


def test_a_blocked_plugin_that_says_it_is_disabled(trial: Trial) -> None:
    """A blocked plugin that put its folder back, or wrote into the record that its owner disabled it, is set aside again."""
    for by in ("block", "owner"):
        trial.reset()
        aside, active = trial.area.disabled("acme-mail"), trial.area.active("acme-mail")
        aside.rename(active)
        record(lambda plugins, by=by: plugins["acme-mail"].update(disabled={"by": by}))(trial)  # type: ignore[misc]
        plan = trial.installer().status().plan
        assert done(plan) == ["disable acme-mail 1.0.0"]
        assert not active.exists()
        assert (aside / "plugin.py").is_file()
        assert trial.installer().status().plan.changes == ()


def test_a_copy_of_a_disabled_plugin(trial: Trial) -> None:
    """What stands where the host loads a blocked plugin from, and is not it, is named, never removed."""
    active = trial.area.active("acme-mail")
    shutil.copytree(trial.area.disabled("acme-mail"), active)
    with pytest.raises(InstallError, match="acme-mail: is in the way"):
        trial.installer().status()
    assert (active / "plugin.py").is_file()
    shutil.rmtree(active)
    active.mkdir()
    (active / "mine.txt").write_text("mine")
    with pytest.raises(InstallError, match="acme-mail: is in the way"):
        trial.installer().status()
    assert (active / "mine.txt").read_text() == "mine"


def receipt(**members: Any) -> Callable[[Path], None]:
    """An edited receipt."""

    def edit(folder: Path) -> None:
        path = folder / ".plugin" / "receipt.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **members}))

    return edit


def folder_instead(folder: Path) -> None:
    """A folder in the receipt's place."""
    path = folder / ".plugin" / "receipt.json"
    path.unlink()
    path.mkdir()


RECEIPTS: dict[str, Callable[[Path], object]] = {
    "another plugin": receipt(id="acme-calendar"),
    "another version": receipt(version="9.9.9"),
    "another digest": receipt(digest=Digest.of(b"x")),
    "a transaction above": receipt(transaction="../../../x"),
    "no text": receipt(id=["x"], version=None),
    "too long": receipt(more="x" * 100_000),
    "nested": lambda folder: (folder / ".plugin" / "receipt.json").write_bytes(b"[" * 60_000),
    "gone": lambda folder: shutil.rmtree(folder / ".plugin"),
    "a folder": folder_instead,
}


@pytest.mark.parametrize("name", RECEIPTS)
def test_an_edited_receipt(healthy: Trial, name: str) -> None:
    """A receipt proves nothing: at worst the plugin is installed again, out of its own archive."""
    honest = healthy.plugins()
    RECEIPTS[name](healthy.area.active("acme-notes"))
    (healthy.area.active("acme-notes") / "plugin.py").write_text("evil")
    (_, notes_checked), _ = healthy.installer().verify()
    assert any("plugin.py" in problem for problem in notes_checked.problems)
    assert done(healthy.installer().install(verify=True)) == ["reinstall acme-notes 1.0.0"]
    assert healthy.plugins() == honest
    assert healthy.leftovers() == []


ARCHIVES = {
    "a receipt": zipped((".plugin/receipt.json", b"{}"), ("plugin.py", b"x")),
    "a receipt in the top folder": zipped(("top/.plugin/receipt.json", b"{}"), ("top/plugin.py", b"x")),
    "a receipt in capitals": zipped((".PLUGIN/receipt.json", b"{}"), ("plugin.py", b"x")),
    "a record": zipped((".registry/installed.json", b"{}"), ("plugin.py", b"x")),
    "a journal above": zipped(("../.registry/journal.json", b"{}"), ("plugin.py", b"x")),
    "a link": zipped(("plugin.py", b"x"), ("etc", b"/etc"), mode=0o120777),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_with_what_is_the_installers(tmp_path: Path, name: str) -> None:
    """A rightly signed archive that brings the installer's own files is refused, and nothing of it stays."""
    project = HostProject.make(tmp_path)
    project.publish("acme-notes")
    project.installer().add(["acme-notes"])
    packed = [{"ecosystem": "python", "path": "acme-evil-1.0.0.zip"}]
    files = {"acme-evil-1.0.0.zip": ARCHIVES[name]}
    project.world.publish("acme-evil", "1.0.0", files=files, artifacts=packed)
    project.world.register()
    toml = project.toml
    with pytest.raises(InstallError):
        project.installer().add(["acme-evil"])
    assert sorted(p.name for p in project.plugins.iterdir()) == [".registry", "acme-notes"]
    assert list((project.plugins / ".registry" / "staging").iterdir()) == []
    assert project.toml == toml
    assert project.installer().status().out_of_step == ()
