"""Verdicts on published versions: the same with any number of processes, and what the registrar makes of them."""

from __future__ import annotations

import json
import os
import pickle
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519
from support.world import World

from publisher.authority import load_authority
from publisher.cli.main import main
from publisher.registrar import verdicts
from publisher.registrar.inputs import Inputs, Verdict
from publisher.registrar.run import no_recovery
from publisher.registrar.state import load_state
from publisher.registrar.verdicts import (
    NOBODY,
    Judging,
    Keyring,
    Subject,
    in_chunks,
    judge,
    subject_of,
    verify_rows,
)
from publisher.tree import Overlay
from publisher.watch import versions
from publisher.watch.examine import Examining
from registry_client.digest import Digest
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from publisher.authority import Authority


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry with two publishers, nine versions, a release and an artifact that it keeps."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme", keys=2)
    world.add_publisher("globex")
    for number in range(7):
        world.publish("acme-maps", f"1.{number}.0")
    world.publish("globex-chat", "1.0.0")
    world.publish(
        "globex-chat", "1.1.0", files={"dist/a.js": b"1"}, artifacts=[{"ecosystem": "custom", "pack": "dist"}]
    )
    world.register()
    world.set_status("acme-maps", "1.0.0", "yanked", reason="bad")
    world.register()
    return world


def authority_of(world: World) -> Authority:
    """What the maintainers state."""
    return load_authority(world.tree, world.root, allow_dev_keys=False)


def subjects_of(world: World) -> dict[str, Subject]:
    """All versions, as they would be judged."""
    authority = authority_of(world)
    state = load_state(world.tree, authority, full=True)
    return {
        f"{row.raw['id']} {row.raw['version']}": subject_of(row, world.tree.read(row.path) or b"", authority)
        for row in state.all_rows()
    }


class TestJudge:
    """One version, out of bytes."""

    def test_a_good_one(self, world: World) -> None:
        """Verifies with its publisher's keys; the artifacts that the registry keeps are named."""
        keyring = Keyring.of(authority_of(world))
        subjects = subjects_of(world)
        assert judge(subjects["acme-maps 1.0.0"], keyring).verdict == Verdict("", "acme")
        verdict = judge(subjects["globex-chat 1.1.0"], keyring).verdict
        ((path, digest),) = verdict.artifacts
        assert Digest.of(world.tree.read(path) or b"") == digest

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"publisher": ""}, NOBODY),
            ({"publisher": "globex"}, "may not publish"),
            ({"manifest": b""}, "1 problem"),
            ({"manifest": b"[]"}, "1 problem"),
            ({"manifest": b'{"kind":"manifest"}'}, "problems"),
        ],
    )
    def test_a_bad_one(self, world: World, change: dict[str, Any], reason: str) -> None:
        """The reason is one line, and nobody is its publisher."""
        subject = subjects_of(world)["acme-maps 1.0.0"]._replace(**change)
        verdict = judge(subject, Keyring.of(authority_of(world))).verdict
        assert reason in verdict.reason
        assert "\n" not in verdict.reason
        assert verdict.publisher == ""

    @pytest.mark.parametrize("member", ["registry", "manifest", "status", "signatures"])
    def test_a_release_that_does_not_verify(self, world: World, member: str) -> None:
        """A good manifest is not enough; its artifacts are repaired all the same."""
        subject = subjects_of(world)["acme-maps 1.0.0"]
        row = json.loads(subject.line)
        row["release"][member] = {"status": "released", "manifest": Digest.of(b"x"), "signatures": []}.get(
            member, "other"
        )
        judged = judge(subject._replace(line=json.dumps(row)), Keyring.of(authority_of(world)))
        assert judged.verdict.reason
        assert judged.document is not None

    def test_another_manifest_of_the_same_publisher(self, world: World) -> None:
        """Signed as it should be: that it is not the one of the line is for others to see, by its digest."""
        subjects = subjects_of(world)
        mixed = subjects["acme-maps 1.1.0"]._replace(manifest=subjects["acme-maps 1.2.0"].manifest)
        assert judge(mixed, Keyring.of(authority_of(world))).verdict.reason == ""


def test_what_goes_to_other_processes(world: World) -> None:
    """Documents, not loaded keys; it comes to the same there. No private key is among it."""
    keyring = Keyring.of(authority_of(world))
    for work in (Judging(keyring), Examining(keyring), Examining(keyring, schemas=False)):
        there = pickle.loads(pickle.dumps(work))
        chunk = list(subjects_of(world).values())
        assert there(chunk) == work(chunk)
        assert b"PRIVATE" not in pickle.dumps((work, chunk))


def run_rows(world: World, *, jobs: int = 1, known: dict[str, Verdict] | None = None) -> dict[str, str]:
    """Verify all rows; gives their texts."""
    overlay, authority = Overlay(world.tree), authority_of(world)
    state = load_state(overlay, authority, full=True)
    verify_rows(Inputs(overlay, authority, world.now, no_recovery, jobs=jobs, known=known or {}), state)
    return {f"{row.raw['id']} {row.raw['version']}": row.text for row in state.all_rows()}


@pytest.mark.parametrize("jobs", [0, 2, 3])
def test_several_processes_come_to_the_same(world: World, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """With a key revoked, a manifest edited and one gone: the same rows."""
    monkeypatch.setattr(verdicts, "CHUNK", 1)
    sound = run_rows(world)
    assert run_rows(world, jobs=jobs) == sound
    world.add_key("globex", ed25519("globex-new"))
    world.revoke_key("globex", ed25519("globex-1"))
    (world.folder / "plugins/acme-maps/1.3.0/manifest.json").write_bytes(b"{}")
    (world.folder / "plugins/acme-maps/1.4.0/manifest.json").unlink()
    alone = run_rows(world)
    assert run_rows(world, jobs=jobs) == alone
    quarantined = {name for name, text in alone.items() if "quarantined" in text}
    assert quarantined == {"acme-maps 1.3.0", "acme-maps 1.4.0", "globex-chat 1.0.0", "globex-chat 1.1.0"}


def test_known_verdicts_are_taken_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any place among the others; nothing is read for them. A line that changed is not known any more."""
    monkeypatch.setattr(verdicts, "CHUNK", 2)
    texts = run_rows(world)
    names = list(texts)
    for chosen in ([], names[:1], names[3:5], names[-1:], names[::2], names):
        known = {texts[name]: Verdict("known to be bad", "") for name in chosen}
        changed = {name for name, text in run_rows(world, known=known).items() if text != texts[name]}
        assert changed == set(chosen)
    assert run_rows(world, known={texts[names[0]] + " ": Verdict("another line", "")}) == texts


def test_the_registrar_comes_to_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run that takes nothing over unchecked writes the same bytes."""
    monkeypatch.setattr(verdicts, "CHUNK", 1)
    world.add_key("acme", ed25519("acme-new"))
    world.revoke_key("acme", ed25519("acme-1"))
    several, one = (world.plan(jobs=jobs, full=True, allow_loss=100) for jobs in (2, 1))
    assert several.changes == one.changes


class _Killed:
    """Work whose process is ended, as for want of memory."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, _: Iterable[Subject]) -> list[Verdict]:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return []


def test_a_killed_worker_ends_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written and nothing is called sound: an error that says what to do."""
    monkeypatch.setattr(verdicts, "CHUNK", 1)
    monkeypatch.setattr(verdicts, "Judging", _Killed)
    monkeypatch.setattr(versions, "Examining", _Killed)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(world.now.timestamp())))
    before = world.snapshot()
    with pytest.raises(ConfigError, match="killed"):
        world.register(full=True, jobs=2)
    assert main(["registry", "audit", str(world.folder), "--jobs", "2"]) == ConfigError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--jobs 1" in captured.err
    assert world.snapshot() == before


def test_chunks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In versions and in bytes: large manifests do not add up to more memory."""
    small, large = Subject("", b"x" * 10, "", ""), Subject("", b"x" * 3_000_000, "", "")
    assert [len(chunk) for chunk in in_chunks([small] * (verdicts.CHUNK + 1))] == [verdicts.CHUNK, 1]
    assert [len(chunk) for chunk in in_chunks([large] * 3)] == [1, 1, 1]


@pytest.mark.parametrize("jobs", ["-1", "x", "1.5"])
def test_jobs_is_a_number(world: World, jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of processes."""
    assert main(["registry", "audit", str(world.folder), "--jobs", jobs]) == 2
    assert "--jobs" in capsys.readouterr().err
