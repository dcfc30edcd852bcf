"""How many round trips a reading takes: which requests are in flight together, proven by a host that answers only whole waves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519
from support.mini_registry import MiniRegistry
from support.waves import WaveTransport
from support.world import World

from publisher.maintain.rotate import rotate
from publisher.registrar import sharding
from publisher.tree import MemoryTree
from publisher.tuf_repository import read_metadata
from registry_client.client import RegistryClient
from registry_client.errors import FetchError
from registry_client.resolve import Host
from registry_client.roles import VERSIONS, hinted_versions
from registry_client.store import Directories

if TYPE_CHECKING:
    from pathlib import Path

COLD = "root timestamp", "snapshot targets blocks registrar"
ROLES = "snapshot targets blocks registrar"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry of two publishers with a plugin each, one of them under a name that says nothing of its publisher."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme", "acme-*", "calendar")
    world.add_publisher("globex")
    world.publish("acme-calendar", "1.0.0")
    world.publish("calendar", "1.0.0", by="acme")
    world.register()
    return world


@pytest.fixture
def host(world: World) -> WaveTransport:
    """The world's files, wave by wave."""
    return WaveTransport(world.tree.read)


def reader(world: World, host: WaveTransport, home: str = "host") -> RegistryClient:
    """A client of that host."""
    return world.client(home, url="https://registry.example", transport=host)


def test_a_cold_look_up_takes_four_round_trips(world: World, host: WaveTransport) -> None:
    """Root and timestamp; the other roles; shard, blocks and publisher; the manifest."""
    host.expect(*COLD, "index blocks.json publisher", "manifest")
    assert reader(world, host).resolve("acme-calendar").info.version == "1.0.0"
    host.check()


def test_the_manifest_comes_with_a_publisher_that_could_not_be_guessed(
    world: World, host: WaveTransport
) -> None:
    """An id that says nothing of its publisher costs no round trip: the likely manifest is asked for beside the publisher."""
    host.expect(*COLD, "index blocks.json", "publisher manifest")
    assert reader(world, host).resolve("calendar").info.version == "1.0.0"
    host.check()


def test_a_wrong_guess_at_the_publisher_costs_a_request_only(world: World, host: WaveTransport) -> None:
    """The plugin of another publisher than its name says."""
    world.add_publisher("cal", "other-*")
    world.register()
    host.expect(*COLD, "index blocks.json publisher", "publisher manifest")
    assert reader(world, host).resolve("calendar").info.version == "1.0.0"
    host.check()


def test_the_likely_manifest_is_chosen_on_what_releases_claim(world: World, host: WaveTransport) -> None:
    """The newest version is yanked, so that the manifest of the one before is fetched, once."""
    world.publish("calendar", "1.1.0", by="acme")
    world.register()
    world.set_status("calendar", "1.1.0", "yanked", by="acme", reason="loses data")
    world.register()
    host.expect(*COLD, "index blocks.json", "publisher manifest")
    assert reader(world, host).resolve("calendar").info.version == "1.0.0"
    host.check()


@pytest.mark.parametrize(
    ("plugin_id", "third", "fifth"),
    [
        ("acme-calendar", "index blocks.json publisher", "manifest"),
        ("calendar", "index blocks.json", "publisher manifest"),
    ],
)
def test_five_round_trips_with_directories(
    world: World, host: WaveTransport, monkeypatch: pytest.MonkeyPatch, plugin_id: str, third: str, fifth: str
) -> None:
    """However large a registry is: one more for the shard that its directory names."""
    monkeypatch.setattr(sharding, "SPLIT_ABOVE", 100)
    world.publish("acme-notes", "1.0.0")
    world.register()
    host.expect(*COLD, third, "below", fifth)
    assert reader(world, host).resolve(plugin_id).info.version == "1.0.0"
    host.check()


def test_an_unchanged_refresh_is_one_round_trip(world: World, host: WaveTransport) -> None:
    """Two requests at once, under 1 KB; so is a look-up of what is known."""
    client = reader(world, host)
    host.expect(*COLD, "blocks.json", "root timestamp", "policy.json")
    client.refresh()
    client.refresh()
    host.check()
    before = host.usage.bytes
    host.expect("root timestamp")
    client.refresh()
    host.check()
    assert host.usage.bytes - before < 1024


def test_after_a_change_only_what_changed_is_asked_for(world: World, host: WaveTransport) -> None:
    """A further version: the snapshot and the registrar's metadata, its shard, its manifest."""
    client = reader(world, host)
    host.expect(*COLD, "index blocks.json publisher", "manifest", "root timestamp", "policy.json")
    client.resolve("acme-calendar")
    client.refresh()
    world.tick(minutes=6)
    world.publish("acme-calendar", "1.1.0")
    world.register()
    host.expect("root timestamp", "snapshot registrar", "index", "manifest")
    assert client.resolve("acme-calendar").info.version == "1.1.0"
    host.check()


def test_a_pinned_version_takes_no_longer(world: World, host: WaveTransport) -> None:
    """What a lock pins is as likely to be wanted as what is chosen."""
    digest = world.client("other").manifest("calendar", "1.0.0").payload_digest
    host.expect(*COLD, "index blocks.json", "publisher manifest")
    assert reader(world, host).pinned("calendar", "1.0.0", digest).payload_digest == digest
    host.check()


def test_the_only_publisher_needs_no_name(tmp_path: Path) -> None:
    """Where there is one publisher, every plugin is probably its."""
    registry = MiniRegistry(tmp_path / "registry")
    registry.publish("calendar", "1.0.0")
    registry.write()
    host = WaveTransport(lambda path: _read(tmp_path / "registry" / path))
    client = RegistryClient(
        "https://registry.example",
        root=registry.root,
        directories=Directories.default(tmp_path / "home"),
        host=Host("0" * 32),
        transport=host,
    )
    host.expect(*COLD, "index blocks.json publisher", "manifest")
    assert client.resolve("calendar").info.version == "1.0.0"
    host.check()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


# -- roots and hints ---------------------------------------------------------------------------------------------------


def test_a_newer_root_is_followed_by_a_newer_timestamp(world: World, host: WaveTransport) -> None:
    """A timestamp that was fetched beside a root may be older than it, and signed with the keys before: it is fetched again."""
    client = reader(world, host)
    host.expect(*COLD, "blocks.json")
    client.refresh()
    host.check()
    before = world.tree.read("metadata/timestamp.json")
    new = ed25519("online-2")
    desk = world.desk(*world.keys.root, world.keys.targets, world.keys.blocks, new)
    rotate(desk, "online", [new.public_key], [], compromised=True)
    desk.save()
    world.keys = type(world.keys)(world.keys.root, world.keys.targets, world.keys.blocks, new)
    world.tick(hours=1)
    world.register()
    stale = [before]
    host.read = lambda path: (
        stale.pop() if path == "metadata/timestamp.json" and stale else world.tree.read(path)
    )
    host.expect("root timestamp", "root timestamp", "snapshot targets registrar", "policy.json")
    assert client.refresh().source is not None
    host.check()
    assert world.warnings == []


def timestamp(world: World, hint: Any) -> bytes:
    """The timestamp with another hint, signed."""
    metadata = read_metadata(MemoryTree(world.snapshot()), "timestamp", 0)
    metadata.signed.unrecognized_fields[VERSIONS] = hint
    if hint is None:
        del metadata.signed.unrecognized_fields[VERSIONS]
    metadata.sign(world.keys.online)
    return metadata.to_bytes()


BAD_HINTS: tuple[Any, ...] = (
    None,
    [],
    "targets",
    7,
    {"targets": "1"},
    {"targets": True},
    {"targets": 0},
    {"targets": -1},
    {"targets": 10**20},
    {"extra": 1, "../../x": 2},
    {"targets": {"version": 1}},
)


@pytest.mark.parametrize("hint", BAD_HINTS)
def test_a_registry_without_a_usable_hint_is_read_role_by_role(
    world: World, host: WaveTransport, hint: Any
) -> None:
    """As older registries are: correct, and slower."""
    changed = timestamp(world, hint)
    host.read = lambda path: changed if path == "metadata/timestamp.json" else world.tree.read(path)
    host.expect(COLD[0], *ROLES.split(), "index blocks.json publisher", "manifest")
    assert reader(world, host).resolve("acme-calendar").info.version == "1.0.0"
    host.check()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"signed":[]}', b"\xff", b"[" * 100_000, b'{"signed":{"meta":5}}']
)
def test_what_is_no_timestamp_hints_at_nothing(data: bytes) -> None:
    """It is not verified yet when it is looked at."""
    assert hinted_versions(data) == {}


def test_a_lying_hint_costs_requests_only(world: World, host: WaveTransport) -> None:
    """Versions that there are not, and old ones: asked for in vain, and what the snapshot says is had."""
    changed = timestamp(world, {"targets": 99, "blocks": 98, "registrar": 1})
    host.read = lambda path: changed if path == "metadata/timestamp.json" else world.tree.read(path)
    host.expect(COLD[0], ROLES, "targets", "blocks", "registrar", "index blocks.json publisher", "manifest")
    assert reader(world, host).resolve("acme-calendar").info.version == "1.0.0"
    host.check()


def test_a_prefetched_role_is_held_to_its_signed_length(world: World) -> None:
    """It was asked for before its length was known; one that is longer is refused as it would have been."""
    name = max(path for path in world.snapshot() if path.endswith(".registrar.json"))
    for more, works in ((b"", True), (b" ", False)):
        files = world.snapshot()
        files[name] += more
        client = world.client(f"host-{works}", tree=files)
        if works:
            client.refresh()
        else:
            with pytest.raises(FetchError, match="longer than"):
                client.refresh()


def test_the_proof_finds_requests_out_that_come_alone() -> None:
    """The proof itself: requests one after the other are found out."""
    host = WaveTransport(lambda _: b"")
    host.expect("root timestamp")
    host._waves[0][1].abort()
    host.get("https://x.example/metadata/2.root.json", limit=1, deadline=None)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="root was asked for without"):
        host.check()
