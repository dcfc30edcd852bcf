"""Index directories as clients read them: found, refused, missing, forged."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from support.httpd import Fault, FaultServer
from support.mini_registry import MiniRegistry
from support.rows import row
from support.thief import Files, Thief
from support.world import IN_TREE_URL, World

from publisher.registrar import sharding
from publisher.registrar.gate import TreeTransport
from publisher.tree import DirTree
from publisher.tuf_repository import add_target
from registry_client.client import RegistryClient
from registry_client.digest import Digest
from registry_client.errors import (
    DigestError,
    DocumentError,
    FetchError,
    NotFoundError,
    RegistryError,
    TooLargeError,
    VerificationError,
)
from registry_client.jsontext import dump_json
from registry_client.layout import served_path
from registry_client.models.index import SHARD_LIMIT, TOP_BITS
from registry_client.shards import Directory, bits_of, parse_shard, read_node, shard_path
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOP = bits_of("acme-calendar", TOP_BITS)
FULL = bits_of("acme-calendar")
DIGEST = Digest.of(b"")


def ref(bits: str, **more: Any) -> dict[str, Any]:
    """A line of a directory."""
    return {"bits": bits, "digest": DIGEST, "size": 100, **more}


def directory(*shards: Any, **more: Any) -> bytes:
    """A directory with these lines."""
    return dump_json({"kind": "index-directory", "schemaVersion": 1, "bits": TOP, "shards": shards, **more})


def test_the_longest_prefix_counts() -> None:
    """A plugin is where its bits lead; nowhere if no shard has them."""
    other = f"{TOP}{'1' if FULL[9] == '0' else '0'}"
    node = read_node(
        directory(*sorted([ref(FULL[:12]), ref(other)], key=lambda r: r["bits"])), shard_path(TOP)
    )
    assert isinstance(node, Directory)
    found = node.find("acme-calendar")
    assert found is not None
    assert found.bits == FULL[:12]
    assert shard_path(found.bits) == f"index/{TOP}/{FULL[:12]}.json"
    alone = read_node(directory(ref(other)), shard_path(TOP))
    assert isinstance(alone, Directory)
    assert alone.find("acme-calendar") is None


MALFORMED: dict[str, tuple[bytes, str]] = {
    "no shards": (directory(), "shards"),
    "another's bits": (
        directory(ref(FULL), bits="0" * 9 if TOP != "0" * 9 else "1" * 9),
        "another directory's",
    ),
    "too few bits": (directory(ref(FULL), bits=TOP[:8]), "bits"),
    "a shard elsewhere": (directory(ref(f"{'1' if TOP[0] == '0' else '0'}{FULL[1:]}")), "not below"),
    "a shard of nine bits": (directory(ref(TOP)), "bits"),
    "a shard of too many bits": (directory(ref(f"{FULL}0")), "bits"),
    "bits that are none": (directory(ref(f"{TOP}2")), "bits"),
    "bits that lead out": (directory(ref(f"{TOP}/../../0")), "bits"),
    "one shard twice": (directory(ref(FULL[:12]), ref(FULL[:12])), "is within"),
    "a shard within another": (directory(ref(FULL[:12]), ref(FULL[:14])), "is within"),
    "not in order": (directory(ref(f"{TOP}11"), ref(f"{TOP}10")), "not in its order"),
    "a size of nothing": (directory(ref(FULL, size=0)), "size"),
    "a size over the limit": (directory(ref(FULL, size=SHARD_LIMIT + 1)), "size"),
    "a size that is no number": (directory(ref(FULL, size="100")), "size"),
    "no digest": (directory(ref(FULL, digest="sha256:x")), "digest"),
    "another version": (directory(ref(FULL), schemaVersion=2), "schemaVersion"),
    "no array": (directory(ref(FULL)).replace(b'"shards": [', b'"other": ['), "shards"),
    "lines too": (dump_json({"kind": "index", "schemaVersion": 1, "shards": []}), "array of lines"),
    "another kind": (directory(ref(FULL), kind="index-list"), "expected kind index"),
    "one member twice": (
        directory(ref(FULL)).replace(b'"bits"', b'"kind":"index-directory","bits"', 1),
        "twice",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    """Each is refused with an error that says where and what."""
    data, message = MALFORMED[name]
    with pytest.raises(DocumentError, match=f"index/{TOP}.json: ") as caught:
        read_node(data, shard_path(TOP))
    assert message in caught.value.message


def test_there_is_no_directory_in_a_directory() -> None:
    """What a directory names holds lines."""
    with pytest.raises(DocumentError, match="expected kind index"):
        parse_shard(directory(ref(FULL)), shard_path(FULL))


def test_a_directory_is_no_shard_of_fewer_bits() -> None:
    """Only where nine bits are reached is there a directory."""
    with pytest.raises(DocumentError, match="another directory's"):
        read_node(directory(ref(FULL)), shard_path(TOP[:8]))


# -- the client --------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A registry so large, by a small measure, that it has directories."""
    monkeypatch.setattr(sharding, "SPLIT_ABOVE", 100)
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    for plugin_id in ("acme-calendar", "acme-notes"):
        world.publish(plugin_id, "1.0.0")
    world.register()
    assert below(world.snapshot())
    return world


@pytest.fixture
def server(world: World) -> Iterator[FaultServer]:
    """A host of it."""
    with FaultServer(world.folder) as server:
        yield server


def below(files: Files) -> list[str]:
    """The shards that directories name, where they are served; the calendar's first."""
    paths = [path for path in files if path.startswith("targets/index/") and path.count("/") == 3]
    return sorted(paths, key=lambda path: FULL not in path)


def test_plugins_are_found_through_directories(world: World, server: FaultServer) -> None:
    """Each in its shard; one that is in none is not in the registry, and costs no further request."""
    client = world.client(url=server.url)
    assert client.resolve("acme-calendar").info.version == "1.0.0"
    assert client.resolve("acme-notes").info.version == "1.0.0"
    server.reset_counters()
    with pytest.raises(NotFoundError):
        client.resolve("acme-none")
    assert server.requests == 0
    assert set(client.manifests()) == {"acme-calendar", "acme-notes"}


def test_a_shard_that_is_missing_is_looked_for_again_after_one_refresh(
    world: World, server: FaultServer
) -> None:
    """As any file with a digest in its name."""
    client = world.client(url=server.url)
    client.refresh()
    path = below(world.snapshot())[0]
    server.fail(path, Fault(status=404, times=1))
    server.reset_counters()
    assert client.resolve("acme-calendar").info.version == "1.0.0"
    assert server.paths.count("metadata/timestamp.json") == 1
    assert server.paths.count(path) == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda data: data.replace(b"1.0.0", b"1.0.1"), DigestError, id="edited"),
        pytest.param(lambda data: data[:-1], DigestError, id="cut short"),
        pytest.param(lambda data: data + b" ", TooLargeError, id="with more"),
        pytest.param(lambda _: None, FetchError, id="missing"),
    ],
)
def test_what_a_mirror_can_do_to_a_shard(
    world: World, change: Callable[[bytes], bytes | None], error: type[RegistryError]
) -> None:
    """Its bytes are held to what the signed directory says."""
    files = world.snapshot()
    for path in below(files):
        changed = change(files.pop(path))
        files |= {} if changed is None else {path: changed}
    with pytest.raises(error):
        world.client(tree=files).resolve("acme-calendar")


def forged(world: World, change: Callable[[dict[str, Any]], object]) -> Files:
    """The calendar's directory changed by someone with the online key."""
    thief = Thief(world)
    with thief.repository.edit_targets("registrar") as role:
        path = shard_path(TOP)
        digest = Digest.from_hex(role.targets[path].hashes["sha256"])
        document = json.loads(thief.tree.read(served_path(path, digest)) or b"")
        change(document)
        data = dump_json(document)
        thief.tree.write(add_target(role, path, data), data)
    return thief.files()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(lambda d: d["shards"].clear(), DocumentError, id="empty"),
        pytest.param(lambda d: d["shards"].append(d["shards"][0]), DocumentError, id="twice"),
        pytest.param(
            lambda d: d["shards"][0].update(bits="0" * 10 if TOP[0] == "1" else "1" * 10),
            DocumentError,
            id="away",
        ),
        pytest.param(lambda d: d["shards"][0].update(size=5), TooLargeError, id="smaller"),
        pytest.param(lambda d: d["shards"][0].update(size=SHARD_LIMIT), DigestError, id="larger"),
        pytest.param(
            lambda d: d["shards"][0].update(digest=Digest.of(b"x")), FetchError, id="another digest"
        ),
        pytest.param(
            lambda d: d.update(bits="0" * 9 if TOP != "0" * 9 else "1" * 9), DocumentError, id="other bits"
        ),
        pytest.param(lambda d: d.update(kind="index"), DocumentError, id="another kind"),
    ],
)
def test_what_the_stolen_online_key_can_make_of_a_directory(
    world: World, change: Callable[[dict[str, Any]], object], error: type[RegistryError]
) -> None:
    """An error of its own, for what stands below it alone."""
    client = world.client(tree=forged(world, change))
    with pytest.raises(error) as caught:
        client.resolve("acme-calendar")
    assert type(caught.value) is error or error is FetchError
    assert client.resolve("acme-notes").info.version == "1.0.0"
    found = client.manifests(["acme-calendar", "acme-notes"])
    assert isinstance(found["acme-calendar"], RegistryError)
    assert not isinstance(found["acme-notes"], RegistryError)


def test_what_is_signed_as_too_large_is_not_read(world: World, server: FaultServer) -> None:
    """Neither when it is its turn nor ahead: it would fill the memory of whoever looks whether it is an index. Other plugins are had."""
    thief = Thief(world)
    with thief.repository.edit_targets("registrar") as role:
        path = add_target(role, shard_path(TOP), bytes(SHARD_LIMIT + 1))
    for name, data in {**thief.files(), path: bytes(SHARD_LIMIT + 1)}.items():
        (world.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (world.folder / name).write_bytes(data)
    client = world.client(url=server.url)
    with pytest.raises(VerificationError, match=f"{SHARD_LIMIT + 1} bytes; at most {SHARD_LIMIT} are"):
        client.resolve("acme-calendar")
    for wanted in (None, ["acme-calendar", "acme-notes"]):
        found = client.manifests(wanted)
        assert isinstance(found["acme-calendar"], VerificationError)
        assert not isinstance(found["acme-notes"], RegistryError)
    assert path not in server.paths


def test_only_what_can_be_of_the_index_is_asked_for_ahead(world: World, server: FaultServer) -> None:
    """A stolen online key does not make those who want all plugins ask for thousands of files of its choice."""
    thief = Thief(world)
    others = [f"index/{name}.json" for name in ("../policy", "x", "0123", "0" * 10, f"{TOP}/{FULL}", "")]
    with thief.repository.edit_targets("registrar") as role:
        for path in others:
            add_target(role, path, b"other")
    for name, data in thief.files().items():
        (world.folder / name).write_bytes(data)
    found = world.client(url=server.url).manifests()
    assert set(found) == {"acme-calendar", "acme-notes"}
    assert not any(isinstance(manifest, RegistryError) for manifest in found.values())
    assert not [path for path in server.paths if Digest.of(b"other").hex in path]


def test_a_directory_named_as_a_shard_of_another_is_refused(world: World) -> None:
    """Its bytes are signed, and its digest is right; it is no shard for that."""
    files = world.snapshot()
    paths = {path for path in files if path.startswith("targets/index/") and path.count("/") == 2}
    notes = next(path for path in paths if bits_of("acme-notes", TOP_BITS) in path.rpartition("/")[2])
    digest, size = Digest.of(files[notes]), len(files[notes])
    attacked = forged(world, lambda d: d["shards"][0].update(digest=digest, size=size))
    served = served_path(shard_path(FULL), digest)
    client = world.client(tree={**attacked, served: files[notes]})
    client.versions("acme-notes")
    with pytest.raises(DocumentError, match="expected kind index"):
        client.versions("acme-calendar")


# -- at any size -------------------------------------------------------------------------------------------------------


def test_a_look_up_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many directories as there can be, and shards below each: the lists, one directory and one shard are all that is held."""
    registry = MiniRegistry(tmp_path / "registry")
    registry.publish("calendar", "1.0.0")
    registry.rows |= {f"acme-{n}": [row(f"acme-{n}", "1.0.0")] for n in range(3000)}
    with monkeypatch.context() as patch:
        patch.setattr(sharding, "SPLIT_ABOVE", 100)
        registry.write()
    index = tmp_path / "registry" / "targets" / "index"
    assert len(list(index.glob("*.json"))) > 500
    transport = TreeTransport(DirTree(tmp_path / "registry"))

    def client(home: str) -> RegistryClient:
        where = Directories.default(tmp_path / home)
        return RegistryClient(IN_TREE_URL, root=registry.root, directories=where, transport=transport)

    client("first").resolve("calendar")  # imports and what they keep
    tracemalloc.start()
    try:
        assert client("second").resolve("calendar").info.version == "1.0.0"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
