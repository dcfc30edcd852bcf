"""Bundles and packs: many files as one, which nobody has to trust."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.httpd import Fault, FaultServer
from support.mini_registry import MiniRegistry

from publisher.mirror.bundle import build_bundle
from publisher.tree import DirTree
from registry_client import bundle as module
from registry_client.bundle import BUNDLE_LIMIT, BUNDLE_PATH, UNPACKED_LIMIT, open_bundle, pack_bundle
from registry_client.client import RegistryClient
from registry_client.digest import Digest
from registry_client.errors import DocumentError, RegistryError, RollbackError
from registry_client.pack import Pack
from registry_client.resolve import Host
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registry_client.signed import VerifiedManifest

COUNT = 20


def packed(head: Any, body: bytes = b"") -> bytes:
    """A bundle with this head, however wrong."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return gzip.compress(text + b"\n" + body)


def head(*sizes: Any, **more: Any) -> dict[str, Any]:
    """A bundle's head."""
    return {"kind": "bundle", "schemaVersion": 1, "sizes": list(sizes), **more}


GOOD = packed(head(3, 2), b"abcde")
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no gzip": b"<html>captive portal</html>",
    "zlib": zlib.compress(b"abc"),
    "cut short": GOOD[:-9],
    "cut very short": GOOD[:15],
    "a byte changed": GOOD[:-6] + bytes([GOOD[-6] ^ 1]) + GOOD[-5:],
    "no head": gzip.compress(b"abc"),
    "a head that is no JSON": packed(b"{"),
    "a head that is deep": packed(b"[" * 100_000),
    "a head that is no object": packed([]),
    "another kind": packed(head(3, 2, kind="index"), b"abcde"),
    "another version": packed(head(3, 2, schemaVersion=2), b"abcde"),
    "no sizes": packed({"kind": "bundle", "schemaVersion": 1}, b"abcde"),
    "sizes that are none": packed(head(sizes="5"), b"abcde"),
    "sizes that are a number": packed(head(sizes=5), b"abcde"),
    "a size that is a text": packed(head("5"), b"abcde"),
    "a size that is true": packed(head(True, 4), b"abcde"),
    "a fraction": packed(head(2.5, 2.5), b"abcde"),
    "a size below zero": packed(head(-1, 6), b"abcde"),
    "too small": packed(head(3, 1), b"abcde"),
    "too large": packed(head(3, 3), b"abcde"),
    "far too large": packed(head(10**30), b"abcde"),
    "more pieces than there can be": packed(head(*[0] * 100_001)),
}


@pytest.mark.parametrize(
    "text",
    [b"", json.dumps({"kind": "bundle", "schemaVersion": 1, "sizes": [UNPACKED_LIMIT]}).encode() + b"\n"],
)
def test_a_bomb_is_not_unpacked(text: bytes) -> None:
    """A few hundred KB that would be more than anyone wants to hold: unpacking ends at the limit."""
    with pytest.raises(DocumentError, match="is not a bundle"):
        open_bundle(gzip.compress(text + bytes(UNPACKED_LIMIT + 1), 1), BUNDLE_PATH)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_bundle_is_refused(name: str) -> None:
    """With an error, within bounds."""
    with pytest.raises(DocumentError, match="is not a bundle"):
        open_bundle(HOSTILE[name], BUNDLE_PATH)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_pieces_are_found_by_their_digests(pieces: list[bytes]) -> None:
    """Each distinct one stands there once; equal pieces make equal bytes."""
    data = pack_bundle(pieces)
    assert data == pack_bundle([*pieces, *pieces])
    assert data is not None
    opened = open_bundle(data, BUNDLE_PATH)
    assert len(opened) == len(set(pieces))
    for piece in pieces:
        assert Digest.of(piece) in opened
        assert opened.get(Digest.of(piece)) == piece
    assert opened.get(Digest.of(b"x" * 51)) is None


def test_none_is_made_over_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather none than one that no client takes."""
    pieces = [bytes([number]) * 100 for number in range(100)]
    assert pack_bundle(pieces) is not None
    for name, limit in (("UNPACKED_LIMIT", 9_999), ("BUNDLE_LIMIT", 100), ("_MOST_PIECES", 99)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, limit)
            assert pack_bundle(pieces) is None


# -- the client --------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(tmp_path: Path) -> MiniRegistry:
    """A registry of twenty plugins, on a host that has a bundle."""
    registry = MiniRegistry(tmp_path / "registry")
    for number in range(COUNT):
        registry.publish(f"acme-{number}", "1.0.0")
    registry.write()
    write_bundle(registry)
    return registry


def write_bundle(registry: MiniRegistry) -> bytes:
    """Make the bundle of what stands there."""
    data = build_bundle(DirTree(registry.folder))
    assert data is not None
    path = registry.folder / BUNDLE_PATH
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return data


@pytest.fixture
def server(registry: MiniRegistry) -> Iterator[FaultServer]:
    """A host of it."""
    with FaultServer(registry.folder) as server:
        yield server


def reader(registry: MiniRegistry, server: FaultServer, home: str = "host", **more: Any) -> RegistryClient:
    """A client of that host, which must never warn."""
    return RegistryClient(
        server.url,
        root=registry.root,
        directories=Directories.default(registry.folder.parent / home),
        host=Host("0" * 32),
        **more,
    )


def whole(found: dict[str, VerifiedManifest | RegistryError]) -> bool:
    """Whether every manifest is there, of the plugin that it is said to be of."""
    return len(found) == COUNT and all(
        not isinstance(manifest, RegistryError) and manifest.model.id == plugin_id
        for plugin_id, manifest in found.items()
    )


def test_with_a_bundle_nothing_else_is_asked_for(registry: MiniRegistry, server: FaultServer) -> None:
    """The metadata and the bundle; later, in another process, nothing."""
    assert whole(reader(registry, server).manifests())
    assert sorted(path for path in server.paths if not path.startswith("metadata/")) == [BUNDLE_PATH]
    server.close()
    assert whole(reader(registry, server).manifests())
    client = reader(registry, server)
    assert client.resolve("acme-3").manifest.model.id == "acme-3"
    assert len(client.search()) == COUNT


def test_without_a_bundle_each_file_is_asked_for_once(registry: MiniRegistry, server: FaultServer) -> None:
    """And cached together; a bundle is asked for while there is no such cache, once."""
    (registry.folder / BUNDLE_PATH).unlink()
    client = reader(registry, server)
    assert whole(client.manifests())
    assert len(server.paths) == len(set(server.paths))
    assert len(client.session.files.pack) > COUNT
    server.reset_counters()
    assert whole(reader(registry, server).manifests())
    assert server.requests == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_bundle_changes_nothing(registry: MiniRegistry, server: FaultServer, name: str) -> None:
    """Quietly gone on without."""
    server.fail(BUNDLE_PATH, Fault(body=HOSTILE[name]))
    assert whole(reader(registry, server).manifests())


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=403), id="403"),
        pytest.param(Fault(status=500), id="500"),
        pytest.param(Fault(status=429, headers={"Retry-After": "900"}), id="429"),
        pytest.param(Fault(truncate=100), id="cut short"),
        pytest.param(Fault(reset=True), id="reset"),
        pytest.param(Fault(redirect="ftp://x.example/"), id="redirect"),
        pytest.param(Fault(body=bytes(BUNDLE_LIMIT + 1)), id="over its limit"),
    ],
)
def test_a_bundle_that_cannot_be_had_changes_nothing(
    registry: MiniRegistry, server: FaultServer, fault: Fault
) -> None:
    """Whatever the host does with it."""
    server.fail(BUNDLE_PATH, fault)
    assert whole(reader(registry, server).manifests())


def test_a_bundle_that_hangs_costs_no_more_than_its_timeout(
    registry: MiniRegistry, server: FaultServer
) -> None:
    """Then each file is asked for."""
    server.fail(BUNDLE_PATH, Fault(hang=60))
    assert whole(reader(registry, server, timeout=2.0).manifests())


def test_an_old_bundle_is_made_up_for(registry: MiniRegistry, server: FaultServer) -> None:
    """What is newer than it is asked for by itself."""
    registry.publish("acme-3", "1.1.0")
    registry.write()
    found = reader(registry, server).manifests()
    assert whole(found)
    newest = found["acme-3"]
    assert not isinstance(newest, RegistryError)
    assert newest.model.version == "1.1.0"
    assert server.paths.count("plugins/acme-3/1.1.0/manifest.json") == 1
    assert not [path for path in server.paths if path.startswith("plugins/acme-4")]


def test_a_forged_bundle_forges_nothing(registry: MiniRegistry, server: FaultServer) -> None:
    """Its pieces have other digests than those that are signed, so nobody asks for them."""
    text = gzip.decompress((registry.folder / BUNDLE_PATH).read_bytes())
    for old, new in ((b"Acme 3", b"Evil 3"), (b"cdn.example", b"evil.exampl"), (b"released", b"released")):
        (registry.folder / BUNDLE_PATH).write_bytes(gzip.compress(text.replace(old, new[: len(old)])))
        found = reader(registry, server, home=old.decode()).manifests()
        assert whole(found)
        for manifest in found.values():
            assert not isinstance(manifest, RegistryError)
            assert b"Evil" not in manifest.data
            assert b"evil" not in manifest.data


def test_one_bad_plugin_never_hides_the_others(registry: MiniRegistry, server: FaultServer) -> None:
    """With and without a bundle."""
    for number, home in enumerate(("bundle", "none")):
        if number:
            (registry.folder / BUNDLE_PATH).unlink()
            server.fail("plugins/acme-3/1.0.0/manifest.json", Fault(body=b"{}"))
        found = reader(registry, server, home=home).manifests(
            [f"acme-{n}" for n in range(COUNT)] + ["acme-none", "no id"]
        )
        bad = {plugin_id for plugin_id, item in found.items() if isinstance(item, RegistryError)}
        assert bad == {"acme-none", "no id"} | ({"acme-3"} if number else set())


@pytest.mark.parametrize("change", ["releases", "prereleases", "seen before"])
def test_many_give_what_one_gives(registry: MiniRegistry, server: FaultServer, change: str) -> None:
    """Whichever way a plugin is judged, the answer is that of `resolve`."""
    for number in range(0, COUNT, 2):
        later = "1.1.0-rc.1" if change == "prereleases" else "1.1.0"
        registry.publish(f"acme-{number}", later)
        if change != "prereleases":
            status = ("yanked", "deprecated", "released", "testing", "staged")[number // 2 % 5]
            reason = {"reason": "why"} if status in {"yanked", "deprecated"} else {}
            registry.release(f"acme-{number}", later, status=status, **reason)
    registry.write()
    one, many = reader(registry, server, "one"), reader(registry, server, "many")
    if change == "seen before":
        for number in range(COUNT):
            many.versions(f"acme-{number}")
    found = many.manifests()
    for plugin_id, manifest in found.items():
        assert not isinstance(manifest, RegistryError)
        assert manifest.data == one.resolve(plugin_id).manifest.data


def test_a_yank_cannot_be_withdrawn_later(registry: MiniRegistry, server: FaultServer) -> None:
    """Who read many plugins at once has seen the releases of older versions too: a stolen online key cannot take them back."""
    registry.publish("acme-1", "1.1.0")
    registry.release("acme-1", "1.0.0", status="yanked", reason="It sends passwords elsewhere.")
    registry.write()
    client = reader(registry, server)
    newest = client.manifests()["acme-1"]
    assert not isinstance(newest, RegistryError)
    assert newest.model.version == "1.1.0"
    assert list(client.session.store.read_revisions("acme-1")) == ["1.0.0"]
    del registry.row("acme-1", "1.0.0")["release"]
    registry.row("acme-1", "1.1.0")["removed"] = "Gone."
    registry.write()
    client.refresh()
    assert isinstance(client.manifests()["acme-1"], RollbackError)
    with pytest.raises(RollbackError):
        client.resolve("acme-1")


# -- packs -------------------------------------------------------------------------------------------------------------


def test_a_pack_gives_what_was_written(tmp_path: Path) -> None:
    """By digest; a later one replaces it, for others that have it open too."""
    pack, other = Pack(tmp_path / "pack"), Pack(tmp_path / "pack")
    pieces = {Digest.of(data): data for data in (b"", b"a", b"bc" * 1000)}
    pack.write(pieces)
    for digest, data in pieces.items():
        assert digest in other
        assert other.read(digest) == data
    assert other.read(Digest.of(b"x")) is None
    pack.write({Digest.of(b"x"): b"x"})
    assert (other.read(Digest.of(b"x")), len(other)) == (b"x", 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\n",
        lambda _: b"[]\n",
        lambda _: b'{"pieces":[[1,2]]}\n',
        lambda _: b'{"pieces":[["x",-1]]}\n',
        lambda _: b'{"pieces":5}\n',
        lambda _: b"[" * 100_000,
        lambda data: data[:100],
        lambda data: data[:-1],
        lambda data: data.replace(b"Acme", b"Evil"),
        lambda data: bytes(reversed(data)),
    ],
)
def test_a_damaged_pack_is_made_up_for(
    registry: MiniRegistry, server: FaultServer, damage: Callable[[bytes], bytes]
) -> None:
    """Every piece is checked as it is read."""
    client = reader(registry, server)
    assert whole(client.manifests())
    path = client.session.store.cache / "pack"
    path.write_bytes(damage(path.read_bytes()))
    again = reader(registry, server)
    assert whole(again.manifests())
    assert all(b"Evil" not in m.data for m in again.manifests().values() if not isinstance(m, RegistryError))


@pytest.mark.parametrize("damaged", [1, COUNT])
def test_a_damaged_pack_is_mended(registry: MiniRegistry, server: FaultServer, damaged: int) -> None:
    """What had to be fetched is cached again, though the pack says that it has it; or it would be fetched each time."""
    assert whole(reader(registry, server).manifests())
    path = reader(registry, server).session.store.cache / "pack"
    data = path.read_bytes()
    for number in range(damaged):
        name = f'"id": "acme-{number}"'.encode()
        assert name in data
        data = data.replace(name, name.replace(b"acme", b"evil"))
    path.write_bytes(data)
    assert whole(reader(registry, server).manifests())
    server.reset_counters()
    assert whole(reader(registry, server).manifests())
    assert server.requests == 0


def test_a_pack_that_cannot_be_written_is_no_error(registry: MiniRegistry, server: FaultServer) -> None:
    """It only costs requests."""
    client = reader(registry, server)
    (client.session.store.cache / "pack").mkdir(parents=True)
    assert whole(client.manifests())
