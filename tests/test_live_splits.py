"""Hosts that read on while shards split and directories appear: no read fails, whatever they hold of before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.world import World

from publisher.registrar import sharding
from publisher.registrar.state import load_state
from publisher.tree import MemoryTree
from registry_client.errors import RegistryError
from registry_client.models.index import TOP_BITS
from registry_client.shards import bits_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _small_shards() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SPLIT_ABOVE", 1500)
        yield


def _neighbours(count: int) -> list[str]:
    """Ids that share their first 9 bits, so that these become a directory."""
    top = bits_of("acme-0", TOP_BITS)
    return [i for i in (f"acme-{n}" for n in range(20_000)) if bits_of(i, TOP_BITS) == top][:count]


def test_no_read_fails(tmp_path: Path) -> None:
    """A host with caches of each earlier state reads every plugin after each step; at first one shard, in the end a directory.

    It goes on from what it holds without refreshing first, as hosts do within the TTL, and superseded files are still there for it.
    """
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.register()
    ids: list[str] = []
    kinds = set()
    for number, plugin_id in enumerate(_neighbours(8)):
        world.publish(plugin_id, "1.0.0")
        run = world.register()
        assert not run.refused
        ids.append(plugin_id)
        before, now = ids[:-1], world.tree
        for home in range(number):
            client = world.client(f"host-{home}", tree=now)
            for known in before:  # what it knows, by metadata that may be older than the files
                assert client.versions(known)
            client.refresh()
            for known in ids:
                assert [info.line.version for info in client.versions(known)] == ["1.0.0"]
        fresh = world.client(f"host-{number}")
        fresh.refresh()
        assert all(fresh.versions(known) for known in ids)
        state = load_state(world.tree, world.desk().authority)
        kinds |= {len(bits) for bits, _ in state.signed.leaves()}
        world.tick(minutes=10)
    assert min(kinds) == 1
    assert max(kinds) > TOP_BITS
    assert world.warnings == []


def test_a_shard_below_a_directory_goes_when_no_kept_metadata_needs_it(tmp_path: Path) -> None:
    """Sub-shards are no TUF targets, but stay as long as the directories that name them."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    for plugin_id in _neighbours(7):
        world.publish(plugin_id, "1.0.0")
    world.register()
    below = {path for path in world.snapshot() if path.startswith("targets/index/") and path.count("/") == 3}
    assert below
    world.publish(_neighbours(8)[7], "1.0.0")
    world.tick(days=3)
    world.register()
    after = {path for path in world.snapshot() if path.startswith("targets/index/") and path.count("/") == 3}
    assert below < after
    old = {path for path in below if path not in _named(world)}
    assert old
    world.tick(days=3)
    world.publish(_neighbours(1)[0], "1.1.0")
    world.register()
    assert old < set(world.snapshot())
    world.tick(days=6)
    world.publish(_neighbours(1)[0], "1.2.0")
    world.register()
    assert not old & set(world.snapshot())
    assert all(world.client("late").versions(plugin_id) for plugin_id in _neighbours(8))


def _named(world: World) -> set[str]:
    """The sub-shards that the newest index names."""
    state = load_state(MemoryTree(world.snapshot()), world.desk().authority)
    return {
        f"targets/index/{bits[:TOP_BITS]}/{ref.digest.hex}.{bits}.json"
        for bits, ref in state.signed.leaves()
        if len(bits) > TOP_BITS
    }


def test_a_damaged_directory_is_found(tmp_path: Path) -> None:
    """A shard below a directory is held against the digest in it, by hosts and by the next run."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    for plugin_id in _neighbours(7):
        world.publish(plugin_id, "1.0.0")
    world.register()
    path = min(_named(world))
    (world.folder / path).write_bytes(json.dumps({}).encode())
    with pytest.raises(RegistryError, match=r"digest|size|bytes"):
        world.register()
