"""What someone who may push to main, without any key, can make the registrar sign: nothing that it would not sign anyway."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.world import World

from publisher.maintain.renew import renew
from publisher.registrar.online import drop_unverified
from publisher.registrar.submission import Result
from publisher.tree import Overlay
from publisher.tuf_repository import latest_version, metadata_path
from registry_client.errors import RegistrarError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONLINE = ("registrar", "snapshot", "timestamp")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry with one plugin of two versions, the first of them yanked."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.publish("acme-calendar", "1.1.0")
    world.register()
    world.set_status("acme-calendar", "1.0.0", status="yanked", reason="loses events")
    world.register()
    return world


def newest(world: World, role: str) -> Path:
    """The file of a role's newest metadata."""
    return world.folder / metadata_path(role, latest_version(world.tree, role))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the signed part of metadata, leaving its signatures as they are."""
    raw = json.loads(path.read_bytes())
    change(raw["signed"])
    path.write_text(json.dumps(raw))


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a long expiry": lambda signed: signed.update({"x-plugin-registry-expiry-days": 36_500}),
    "an expiry that is no number": lambda signed: signed.update({"x-plugin-registry-expiry-days": []}),
    "a huge version": lambda signed: signed.update(version=10**30),
    "a member of its own": lambda signed: signed.update(evil=True),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_an_edited_timestamp_is_never_built_on(
    world: World, change: Callable[[dict[str, Any]], object]
) -> None:
    """The registrar stops and says what to restore; it signs nothing."""
    edit(newest(world, "timestamp"), change)
    before = world.snapshot()
    world.publish("acme-calendar", "1.2.0")
    with pytest.raises(RegistrarError, match="is not signed by the registry's online key") as caught:
        world.register()
    assert "Git history" in caught.value.hint
    assert {path: data for path, data in world.snapshot().items() if path in before} == before


def test_renewing_does_not_build_on_it_either(world: World) -> None:
    """The daily renewal has the same key at hand, and looks as closely."""
    edit(newest(world, "timestamp"), lambda signed: signed.update(version=2**30))
    with pytest.raises(RegistrarError, match="is not signed by the registry's online key"):
        renew(world.desk(world.keys.online), force=True)


@pytest.mark.parametrize("role", ["registrar", "snapshot"])
@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_other_edited_metadata_is_never_built_on(
    world: World, role: str, change: Callable[[dict[str, Any]], object]
) -> None:
    """What hosts know by its digest is missing then: a version is never used twice, so nothing is signed."""
    edit(newest(world, role), change)
    world.publish("acme-calendar", "1.2.0")
    with pytest.raises(RegistrarError, match="is missing, or not as the online key signed it"):
        world.register()


def test_added_unsigned_versions_are_dropped(world: World) -> None:
    """999.registrar.json and 999.snapshot.json without a signature change nothing and go."""
    for role in ("registrar", "snapshot"):
        added = world.folder / f"metadata/999.{role}.json"
        added.write_bytes(newest(world, role).read_bytes())
        edit(added, lambda signed: signed.update(version=999))
    world.publish("acme-calendar", "1.2.0")
    run = world.register()
    assert [outcome.result for outcome in run.outcomes] == [Result.PUBLISHED]
    assert not list(world.folder.glob("metadata/999.*"))
    assert [info.standing.status for info in world.client("host").versions("acme-calendar")] == [
        "yanked",
        "released",
        "released",
    ]


@pytest.mark.parametrize("keep", [True, False], ids=["replaced", "removed"])
def test_without_any_signed_index_it_stops(world: World, *, keep: bool) -> None:
    """It would forget what was yanked and published; `from_scratch` says that this is meant."""
    for role in ONLINE:
        for path in world.folder.glob(f"metadata/*{role}.json"):
            edit(
                path, lambda signed: signed.update(evil=True)
            ) if keep or role != "timestamp" else path.unlink()
    with pytest.raises(RegistrarError, match="signed by the registry's online key"):
        world.register()
    world.register(from_scratch=True)
    versions = world.client("fresh").versions("acme-calendar")
    assert [info.standing.status for info in versions] == ["yanked", "released"]


def test_a_missing_timestamp_stops_it(world: World) -> None:
    """Its version cannot be guessed: a lower one would be a rollback for every host."""
    newest(world, "timestamp").unlink()
    world.publish("acme-calendar", "1.2.0")
    with pytest.raises(RegistrarError, match="is missing, although there is an index"):
        world.register()


def test_what_the_key_signed_by_mistake_is_not_carried_along(world: World) -> None:
    """Delegations, unknown members and long expiries in online metadata end with the next run, even if well signed."""
    from tuf.api.metadata import Metadata

    from publisher.maintain.init import dev_signer
    from publisher.tuf_repository import delegations, dump_metadata

    key = dev_signer("online").public_key
    for role in ONLINE:
        path = newest(world, role)
        metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
        metadata.signed.unrecognized_fields.update({"evil": True, "x-plugin-registry-expiry-days": 3000})
        if role == "registrar":
            metadata.signed.delegations = delegations([key], [key])
        metadata.sign(world.keys.online)
        path.write_bytes(dump_metadata(role, metadata))
    for role, parent in (("registrar", "snapshot"), ("snapshot", "timestamp")):
        data = newest(world, role).read_bytes()
        path = newest(world, parent)
        above: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
        info = above.signed.snapshot_meta if parent == "timestamp" else above.signed.meta["registrar.json"]
        info.length, info.hashes = len(data), type(info).from_data(1, data, ["sha256"]).hashes
        above.sign(world.keys.online)
        path.write_bytes(dump_metadata(parent, above))
    world.register()
    for role in ONLINE:
        signed = json.loads(newest(world, role).read_bytes())["signed"]
        assert "evil" not in signed
        assert "delegations" not in signed
        left = datetime.fromisoformat(signed["expires"]) - world.now
        assert left.days <= 21
    world.client("host").refresh()


def test_versions_that_no_honest_run_reaches_stop_it(world: World) -> None:
    """A stolen key may have counted up; the way out is named."""
    from tuf.api.metadata import Metadata

    from publisher.tuf_repository import dump_metadata

    path = newest(world, "timestamp")
    metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    metadata.signed.version = 2**40
    metadata.sign(world.keys.online)
    path.write_bytes(dump_metadata("timestamp", metadata))
    world.publish("acme-calendar", "1.2.0")
    with pytest.raises(RegistrarError, match="no honest run reaches") as caught:
        world.register()
    assert "--compromised" in caught.value.hint


def test_sound_metadata_is_left_alone(world: World) -> None:
    """Nothing is dropped, and a run without news changes nothing."""
    overlay = Overlay(world.tree)
    drop_unverified(overlay, world.desk().authority)
    assert overlay.changes == {}
    assert world.register().changes == {}


# -- the blast radius, and what one publisher can do to others -------------------------------------------------


def test_new_versions_do_not_hide_lost_ones(world: World) -> None:
    """The guard counts which versions are lost, not how many there are."""
    for number in range(4):
        world.publish("acme-calendar", f"2.{number}.0")
    world.register()
    world.revoke_key("acme", world.publishers["acme"][0])
    world.add_publisher("globex")
    for number in range(9):
        world.publish("globex-notes", f"1.{number}.0")
    with pytest.raises(RegistrarError, match="6 of 6 usable versions would become unusable"):
        world.register()


def test_an_id_that_looks_like_another_publishers_is_refused(world: World) -> None:
    """`a-cmemail` is `acmemail` to a browser, and so is acme's `acme-mail`: who fits more closely owns the name."""
    world.add_publisher("other", "a-*")
    world.publish("a-cmemail", "1.0.0", by="other")
    world.publish("a-tlas", "1.0.0", by="other")
    run = world.register()
    (refused,) = run.refused
    assert refused.error is not None
    assert "looks like one of publisher 'acme'" in refused.error.message
    world.publish("acme-mail", "1.0.0")
    assert [outcome.submission.id for outcome in world.register().refused] == ["a-cmemail"]


def test_revisions_cannot_be_used_up(world: World) -> None:
    """A thief who jumps to the last revision would leave none for the owner."""
    release = json.loads((world.folder / "plugins/acme-calendar/1.0.0/release.json").read_bytes())
    from support.documents import sign

    bare = {name: value for name, value in release.items() if name != "signatures"}
    jumped = sign({**bare, "revision": 2**53 - 1}, world.publishers["acme"][0])
    (world.folder / "plugins/acme-calendar/1.0.0/release.json").write_text(json.dumps(jumped))
    (refused,) = world.register().refused
    assert refused.error is not None
    assert "rises by at most 1000" in refused.error.message
    world.set_status("acme-calendar", "1.0.0", status="released")
    assert world.register().refused == []


def test_signatures_that_do_not_count_stay_out_of_the_index(world: World) -> None:
    """Anyone can append signatures to a document; the index, which everyone loads, does not carry them."""
    path = world.folder / "plugins/acme-calendar/1.0.0/release.json"
    release = json.loads(path.read_bytes())
    base = {name: value for name, value in release.items() if name != "signatures"}
    from support.documents import ed25519, sign

    signed = sign(
        {**base, "revision": release["revision"] + 1}, world.publishers["acme"][0], ed25519("stranger")
    )
    path.write_text(json.dumps(signed))
    assert world.register().refused == []
    assert len(json.loads(path.read_bytes())["signatures"]) == 1
    world.client("host").resolve("acme-calendar")


def test_edited_artifacts_come_back_from_history(world: World) -> None:
    """A full run restores archives that stand in the registry."""
    artifacts = [{"ecosystem": "python", "pack": "."}]
    world.publish("acme-packed", "1.0.0", files={"plugin.py": b"print()"}, artifacts=artifacts)
    world.register()
    (path,) = world.tree.paths("artifacts")
    original = (world.folder / path).read_bytes()
    (world.folder / path).write_bytes(b"evil")
    world.register(full=True, recover=lambda wanted, _: original if wanted == path else None)
    assert (world.folder / path).read_bytes() == original


def test_a_long_description_is_cut_in_the_catalogue_only(world: World) -> None:
    """One line of the catalogue stays small; the manifest has all of it."""
    words = [f"{'k' * 90}{number}" for number in range(50)]
    world.publish("acme-long", "1.0.0", description="d" * 20_000, keywords=words)
    world.register()
    (entry,) = world.client("host").search("acme-long")
    assert len(entry.description) == 500
    assert len(entry.keywords) == 20
    assert len(world.client("host").manifest("acme-long", "1.0.0").model.description or "") == 20_000
