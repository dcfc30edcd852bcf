"""What an attacker may write into plugins.lock and plugins.toml, and what of it reaches a terminal."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from support import attacked as support
from support import host as bench
from support.attacked import Document, attempt, empty
from support.installs import HostProject, done

from registry_client.digest import Digest
from registry_client.errors import (
    DocumentError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.host import HostBench
    from support.trials import Trial


attacked, trial, healthy = support.attacked, support.trial, support.healthy
template, host, project = bench.template, bench.host, bench.project


def entry(document: Document, plugin_id: str) -> Document:
    """A plugin's entry in a lock."""
    found: Document = next(p for p in document["plugins"] if p["id"] == plugin_id)
    return found


def notes(**members: Any) -> Callable[[Document], object]:
    """Other members of the entry of notes."""
    return lambda lock: entry(lock, "acme-notes").update(members)


def artifact(**members: Any) -> Callable[[Document], object]:
    """Other members of the artifact of notes."""
    return lambda lock: entry(lock, "acme-notes")["artifact"].update(members)


def unsigned(lock: Document) -> None:
    """Notes as an unsigned plugin, with the bytes of another that are on this machine."""
    found = entry(lock, "acme-notes")
    found["source"] = {"kind": "path", "path": "../evil"}
    found["artifact"] = entry(lock, "acme-calendar")["artifact"]
    for name in ("payloadDigest", "publisher", "keyids"):
        del found[name]


def unsigned_root(lock: Document) -> None:
    """The same of the calendar, which plugins.toml asks for."""
    found = entry(lock, "acme-calendar")
    found.update(source={"kind": "adopted"}, artifact=entry(lock, "acme-notes")["artifact"])
    for name in ("payloadDigest", "publisher", "keyids"):
        del found[name]


def without(plugin_id: str) -> Callable[[Document], object]:
    """A lock that lost a plugin."""
    return lambda lock: lock.update(plugins=[p for p in lock["plugins"] if p["id"] != plugin_id])


def more(**members: Any) -> Callable[[Document], object]:
    """A lock with one more entry, made from that of notes."""
    return lambda lock: lock["plugins"].append({**entry(lock, "acme-notes"), **members})


EDITED: dict[str, Callable[[Document], object]] = {
    "another payload digest": notes(payloadDigest=Digest.of(b"x")),
    "another version": notes(version="1.1.0"),
    "a version that does not fit": notes(version="0.1.0"),
    "another publisher": notes(publisher="evil"),
    "fewer permissions": notes(permissions=[]),
    "more permissions": notes(permissions=["notes.read", "everything"]),
    "fewer requirements": lambda lock: entry(lock, "acme-calendar").pop("requires"),
    "more requirements": notes(requires={"packages": ["evil"]}),
    "a registry that is none": notes(source={"kind": "registry", "registry": "other"}),
    "no registry": notes(source={"kind": "registry"}),
    "an unsigned dependency": unsigned,
    "an unsigned plugin": unsigned_root,
    "other bytes": artifact(digest=Digest.of(b"x")),
    "other bytes that are here": lambda lock: entry(lock, "acme-notes").update(
        artifact=entry(lock, "acme-calendar")["artifact"]
    ),
    "another place": artifact(url="https://evil.invalid/notes.zip"),
    "a file on this machine": artifact(url="file:///etc/passwd"),
    "a place above": artifact(url="../../../etc/passwd"),
    "another size": artifact(size=1),
    "a huge size": artifact(size=2**62),
    "a size beyond numbers": artifact(size=10**400),
    "no size": artifact(size=0),
    "a name above": artifact(name="../../evil.zip"),
    "an absolute name": artifact(name="/etc/evil.zip"),
    "a name of Windows": artifact(name="C:\\evil.zip"),
    "a device": artifact(name="con.zip"),
    "a name with a control character": artifact(name="a\x1b[2J.zip"),
    "another way to unpack": artifact(name="acme-notes-1.0.0.txt"),
    "a digest that is a path": artifact(digest="sha256:../../../../etc/passwd"),
    "a payload digest that is a path": notes(payloadDigest="sha256:" + "../" * 21 + "x"),
    "an id above": notes(id="../evil"),
    "an absolute id": notes(id="/etc"),
    "the installer's own folder": notes(id=".registry"),
    "a device as id": notes(id="con"),
    "an id in capitals": notes(id="ACME-NOTES"),
    "an id twice": more(),
    "a plugin that nobody needs": more(id="acme-extra"),
    "a plugin that is missing": without("acme-notes"),
    "nothing of what is asked for": without("acme-calendar"),
    "wishes that nobody has": lambda lock: lock["wanted"].update(
        {"acme-extra": {"source": {"kind": "registry", "registry": "main"}}}
    ),
    "another root of trust": lambda lock: lock["registries"]["main"].update(root=Digest.of(b"x")),
    "plugins that are none": lambda lock: lock.update(plugins={"acme-notes": 1}),
    "a later version of the format": lambda lock: lock.update(schemaVersion=2),
}


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_lock(healthy: Trial, name: str) -> None:
    """Whatever someone writes into plugins.lock: in CI it is refused, on a new machine and on one that has the plugins."""
    path = healthy.host / "plugins.lock"
    document = json.loads(path.read_bytes())
    honest = healthy.plugins()
    EDITED[name](document)
    path.write_text(json.dumps(document))
    for act in (lambda: healthy.installer().install(frozen=True), healthy.installer().upgrade_automatically):
        message = attempt(act)
        assert message or name not in {"an unsigned dependency", "an unsigned plugin"}
        assert healthy.plugins() == honest
    empty(healthy)
    assert attempt(lambda: healthy.installer().install(frozen=True))
    assert healthy.plugins() == {}
    attempt(healthy.installer().install)  # without --frozen it may be made anew
    assert healthy.plugins() in ({}, honest)
    assert sorted(p.name for p in healthy.folder.iterdir()) == ["now", "start"]


LOCKS = {
    "empty": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe",
    "nested": b"[" * 200_000,
    "nested members": b'{"a":' * 100_000,
    "a member twice": b'{"kind": "lock", "kind": "lock"}',
    "no number": b'{"kind": "lock", "schemaVersion": NaN}',
    "too long": b" " * (16 * 1024 * 1024 + 1),
    "no object": b"[]",
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_that_is_none(healthy: Trial, name: str) -> None:
    """An error that names the file, from every operation; nothing is changed."""
    healthy.host.joinpath("plugins.lock").write_bytes(LOCKS[name])
    before = healthy.plugins()
    for act in (
        lambda: healthy.installer().install(),
        lambda: healthy.installer().upgrade(),
        lambda: healthy.installer().status(),
        lambda: healthy.installer().tree(),
        lambda: healthy.installer().rollback("acme-notes", "1.0.0"),
    ):
        message = attempt(act)
        assert "plugins.lock" in message or "kept on this machine" in message
    assert healthy.plugins() == before


FOLDERS = ("/", "//", ".", "./", "..", "../..", "x/..", "x/../..", "", "a\\b", "a\x00b", "a\nb", "x" * 3000)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_that_is_not_the_plugins_own(healthy: Trial, folder: str) -> None:
    """The plugins folder is no folder that holds other things by its nature: the project's own, those above it, the root."""
    path = healthy.host / "plugins.toml"
    text = path.read_text().replace("[host]", f"[host]\nfolder = {json.dumps(folder)}", 1)
    path.write_text(text)
    before = healthy.plugins()
    with pytest.raises(DocumentError, match=r"host\.folder|not TOML"):
        healthy.installer()
    assert healthy.plugins() == before


def registry(url: str = "http://candidate.invalid", root: str = "1.root.json") -> bytes:
    """A plugins.toml with this registry."""
    return f'[registries.main]\nurl = "{url}"\nroot = "{root}"\n[plugins]\nacme-notes = ""\n'.encode()


TOMLS = {
    "too long": b"# " + b"x" * 5_000_000,
    "nested lists": b"x = " + b"[" * 100_000,
    "nested tables": b"[" + b"a." * 20_000 + b"a]",
    "no UTF-8": b"\xff\xfe",
    "a long number": b"x = " + b"9" * 100_000,
    "a root that is a folder": registry(root="plugins"),
    "a root that does not end": registry(root="/dev/zero"),
    "a root that says nothing": registry(root="/dev/null"),
    "a root somewhere else": registry(root="../../../../etc/passwd"),
    "a registry on this machine": registry(url="file:///etc"),
}


@pytest.mark.skipif(os.name == "nt", reason="has no such devices")
@pytest.mark.parametrize("name", TOMLS)
def test_a_hostile_project_file(healthy: Trial, name: str) -> None:
    """An error in words, and nothing is changed; what is read has an end."""
    before = healthy.plugins()
    (healthy.host / "plugins.toml").write_bytes(TOMLS[name])
    assert attempt(lambda: healthy.installer().install())
    assert attempt(lambda: healthy.installer().status()) or healthy.installer().status().lock_problems
    assert healthy.plugins() == before


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[1;31mred \x9b31m \u202eevil \r hidden"


def test_no_escape_sequence_reaches_a_terminal(project: HostBench) -> None:
    """Descriptions, changelogs, reasons and file names of a stranger are shown without control characters."""
    shown = ""

    def run(*command: str) -> None:
        nonlocal shown
        done = project.run(*command)
        shown += done.out + done.err
        assert not [c for c in done.out + done.err if not c.isprintable() and c != "\n"], command

    project.publish("core", "1.0.1", changelog=f"Better.\n{ESCAPES}")
    project.publish("notes", "1.0.0", description=f"Takes notes. {ESCAPES}")
    project.add("core==1.0.0", "notes")
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text().replace('"==1.0.0"', '">=1"'))
    project.set_status("notes", "1.0.0", "deprecated", reason=f"Old. {ESCAPES}")
    for command in (("upgrade", "--dry-run"), ("changelog", "core"), ("info", "notes"), ("install",)):
        run(*command)
    project.block("notes", "<2", "disable", f"Unsafe. {ESCAPES}")
    for command in (("verify",), ("list",), ("status",), ("enable", "notes"), ("upgrade",)):
        run(*command)
    (project.plugins / "odd\x1b[2J").mkdir()
    (project.plugins / "core" / "odd\x1b[2J.py").write_text("x")
    run("discover")
    run("verify")
    run("discover", "--adopt", "odd\x1b[2J")
    run("add", "\x1b[2J")
    for words in ("Better.", "Takes notes.", "Old.", "Unsafe.", "was added"):
        assert words in shown, words


def test_a_rollback_leaves_nothing_that_nobody_needs(tmp_path: Path) -> None:
    """What only the newer version needed goes with it, so that the lock still holds together and --frozen takes it."""
    project = HostProject.make(tmp_path)
    project.publish("acme-notes")
    project.publish("acme-calendar")
    project.installer().add(["acme-calendar"])
    project.publish("acme-calendar", "1.1.0", requires={"plugins": {"acme-notes": ">=1"}})
    project.installer().upgrade()
    assert project.versions() == {"acme-calendar": "1.1.0", "acme-notes": "1.0.0"}
    project.online = False
    plan = project.installer().rollback("acme-calendar")
    assert done(plan) == ["downgrade acme-calendar 1.0.0", "remove acme-notes 1.0.0"]
    assert project.versions() == project.locked() == {"acme-calendar": "1.0.0"}
    assert project.installer().install(frozen=True).changes == ()
