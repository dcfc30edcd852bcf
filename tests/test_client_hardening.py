"""What a host or a thief could leave behind in a client, and what its surroundings could make it give away."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, manifest, sign
from support.fetching import get
from support.httpd import Fault, FaultServer
from support.world import World
from tuf.api.metadata import DelegatedRole, Delegations

from publisher.maintain.rotate import rotate
from publisher.registrar.write import write_above
from publisher.tree import MemoryTree, Overlay
from publisher.tuf_repository import TufRepository, read_metadata
from registry_client.digest import Digest
from registry_client.errors import (
    DocumentError,
    ExpiredError,
    FetchError,
    InstallError,
    ManifestError,
    VerificationError,
    YankedError,
)
from registry_client.http import Transport
from registry_client.jsontext import dump_json
from registry_client.roles import EXPIRY_DAYS
from registry_client.signed import parse_manifest
from registry_client.store import Directories, HeldBlocks, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from securesystemslib.signer import Signer
    from tuf.api.metadata import Targets

    from registry_client.client import RegistryClient

Files = dict[str, bytes]
TIMESTAMP = "metadata/timestamp.json"
PROGRAM = b"calendar program " * 100


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultServer]:
    """A host that serves the world's folder."""
    with FaultServer(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, server: FaultServer) -> World:
    """A registry with one plugin, on one host."""
    world = World(tmp_path / "registry", base_url=server.url)
    world.add_publisher("acme")
    packed: dict[str, Any] = {"artifacts": [{"ecosystem": "custom", "path": "calendar.bin"}]}
    world.publish("acme-calendar", "1.0.0", files={"calendar.bin": PROGRAM}, **packed)
    world.register()
    return world


def newest(client: RegistryClient) -> str:
    """The newest version of the calendar."""
    return client.resolve("acme-calendar").info.version


def rotate_online(world: World) -> None:
    """Replace the stolen online key."""
    new = ed25519("online-2")
    desk = world.desk(*world.keys.root, world.keys.targets, world.keys.blocks, new)
    rotate(desk, "online", [new.public_key], [], compromised=True)
    desk.save()
    world.keys = replace(world.keys, online=new)
    world.register()


# -- signing times -------------------------------------------------------------------------------------------------


def timestamp(world: World, expires: datetime, days: object) -> Files:
    """The tree with a further timestamp of the online key."""
    files = world.snapshot()
    metadata = read_metadata(MemoryTree(files), "timestamp", 0)
    metadata.signed.version += 1
    metadata.signed.expires = expires
    metadata.signed.unrecognized_fields[EXPIRY_DAYS] = days
    metadata.sign(world.keys.online)
    return {**files, TIMESTAMP: metadata.to_bytes()}


@pytest.mark.parametrize("days", [-3650, -(10**10), 0, 3661, 10**10, True, "7", None])
def test_expiry_days_that_cannot_be_say_nothing_of_the_time(world: World, days: object) -> None:
    """A stolen online key moves no clock with them, and the registry reads on after the key was replaced."""
    served = MemoryTree(timestamp(world, world.now + timedelta(days=7), days))
    client = world.client(tree=served, ttl=0)
    assert newest(client) == "1.0.0"
    assert client.session.now() == world.now
    rotate_online(world)
    served.files = world.snapshot()
    assert client.refresh().source is not None
    assert newest(client) == "1.0.0"
    assert world.warnings == []


def test_a_timestamp_signed_after_all_has_expired_is_refused(world: World) -> None:
    """Signed years ahead with the stolen online key: it is not adopted, and nothing of it stays behind."""
    forged = timestamp(world, world.now + timedelta(days=3650), 1)
    served = MemoryTree(forged)
    with pytest.raises(ExpiredError, match="before the timestamp was signed"):
        world.client("fresh", tree=served).refresh()
    served.files = world.snapshot()
    client = world.client(tree=served, ttl=0)
    assert newest(client) == "1.0.0"
    served.files = forged
    assert client.refresh().source is None
    assert "before the timestamp was signed" in world.warnings[-1]
    assert newest(client) == "1.0.0"
    served.files = world.snapshot()
    world.warnings.clear()
    assert client.refresh().source is not None
    assert world.warnings == []


def test_a_host_recovers_from_a_signing_time_ahead_when_the_key_was_replaced(world: World) -> None:
    """Ahead by less than what the offline keys signed: believed for now, and of no account after the rotation."""
    ahead = timedelta(days=100)  # later than anything that the new online key will sign
    thief = replace_online(world, ahead)
    served = MemoryTree(thief)
    client = world.client(tree=served, ttl=0)
    assert newest(client) == "1.0.0"
    assert client.session.now() > world.now + timedelta(days=99)
    world.tick(hours=2)
    rotate_online(world)
    served.files = world.snapshot()
    world.warnings.clear()
    assert client.refresh().source is not None
    assert newest(client) == "1.0.0"
    assert client.session.now() == world.now
    assert world.warnings == []


def replace_online(world: World, ahead: timedelta) -> Files:
    """Everything that the online key signs, signed anew as if it were later."""
    tree = Overlay(MemoryTree(world.snapshot()))
    repository = TufRepository(tree, [world.keys.online], world.now + ahead)
    with repository.edit_targets("registrar"):
        pass
    write_above(repository, read_metadata(tree, "root", 1).signed)
    return {path: tree.read(path) or b"" for path in tree.paths("")}


def test_a_clock_that_is_behind_revives_nothing(world: World, tmp_path: Path) -> None:
    """What expired before the newest timestamp was signed is refused, whatever the clock says."""
    world = World(tmp_path / "short", days={"targets": 2})
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.register()
    served = MemoryTree(world.snapshot())
    clock = world.now - timedelta(days=300)
    client = world.client(tree=served, ttl=0, clock=lambda: clock)
    assert newest(client) == "1.0.0"
    assert any("is behind the registry's newest timestamp" in warning for warning in world.warnings)
    world.tick(days=3)
    served.files = timestamp(world, world.now + timedelta(days=7), 7)
    assert client.refresh().source is None
    assert "the targets metadata expired at" in world.warnings[-1]
    with pytest.raises(ExpiredError, match="targets"):
        world.client("fresh", tree=served, clock=lambda: clock).refresh()


# -- delegations ---------------------------------------------------------------------------------------------------


def with_role(world: World, name: str, signer: Signer, change: Callable[[Targets], object]) -> Files:
    """The tree with a change in the metadata of a role, signed with its key, and a snapshot and timestamp over it."""
    tree = Overlay(MemoryTree(world.snapshot()))
    repository = TufRepository(tree, [signer, world.keys.online], world.now)
    with repository.edit_targets(name) as role:
        change(role)
    write_above(repository, read_metadata(tree, "root", 1).signed)
    return {path: tree.read(path) or b"" for path in tree.paths("")}


def delegate(to: str, *, drop: str = "") -> Callable[[Targets], object]:
    """Delegate everything to another role, with a key of the thief's, and leave out a target."""

    def change(role: Targets) -> None:
        key = ed25519("thief").public_key
        further = DelegatedRole(to, [key.keyid], 1, terminating=False, paths=["*", "*/*"])
        role.delegations = Delegations({key.keyid: key}, {to: further})
        role.targets.pop(drop, None)

    return change


@pytest.mark.parametrize(
    ("name", "to", "drop"),
    [
        ("registrar", "extra", ""),
        ("registrar", "extra", "registry.json"),
        ("registrar", "blocks", "registry.json"),
        ("blocks", "extra", ""),
        ("blocks", "registrar", "blocks.json"),
    ],
)
def test_blocks_and_registrar_may_not_delegate(world: World, name: str, to: str, drop: str) -> None:
    """It is refused at the refresh; what was verified before stays, and no lookup walks anywhere else."""
    signer = world.keys.online if name == "registrar" else world.keys.blocks
    served = MemoryTree(world.snapshot())
    client = world.client(tree=served, ttl=0)
    newest(client)
    served.files = with_role(world, name, signer, delegate(to, drop=drop))
    with pytest.raises(VerificationError, match=f"the {name} metadata delegates to other roles"):
        client.refresh()
    with pytest.raises(VerificationError, match=f"the {name} metadata delegates to other roles"):
        world.client("fresh", tree=served).versions("acme-none")
    assert newest(client) == "1.0.0"


def test_a_target_without_a_usable_digest_is_refused(world: World) -> None:
    """Whatever the online key signs in its place, it is an error of ours."""

    def change(role: Targets) -> None:
        for path, info in role.targets.items():
            if path.startswith("index/"):
                info.hashes = {"sha256": "zz"}

    client = world.client(tree=with_role(world, "registrar", world.keys.online, change))
    with pytest.raises(VerificationError, match="without a sha256 digest"):
        newest(client)


# -- entity tags ---------------------------------------------------------------------------------------------------


def asked_with(server: FaultServer) -> list[str | None]:
    """The entity tags with which the timestamp was asked for."""
    return [seen.headers.get("if-none-match") for seen in server.seen if seen.path.lstrip("/") == TIMESTAMP]


@pytest.mark.parametrize("tag", ["*", "abc", '"a", "b"', 'w/"a"', '"\xe9"', f'"{"x" * 201}"'])
def test_odd_entity_tags_are_not_repeated(world: World, server: FaultServer, tag: str) -> None:
    """`If-None-Match: *` would be answered "unchanged" by every honest host for ever."""
    server.fail(TIMESTAMP, Fault(headers={"ETag": tag}, times=1))
    client = world.client(url=server.url)
    client.refresh()
    client.refresh()
    client.refresh()
    first, second, third = asked_with(server)
    assert (first, second) == (None, None)
    assert third is not None


def test_the_timestamp_is_had_whole_once_a_day(world: World, server: FaultServer) -> None:
    """A host that wrongly says "unchanged" holds a client up for a day at most."""
    client = world.client(url=server.url)
    client.refresh()
    server.reset_counters()
    for hours in (23, 2, 2):
        world.tick(hours=hours)
        client.refresh()
    assert [tag is not None for tag in asked_with(server)] == [True, False, True]


def test_a_wrong_unchanged_is_asked_again(world: World, server: FaultServer) -> None:
    """A refresh that fails on a 304 is repeated with the timestamp itself, which is asked for once with each newer root."""
    client = world.client(url=server.url)
    newest(client)
    world.tick(hours=1)
    rotate_online(world)
    server.reset_counters()
    server.fail(TIMESTAMP, Fault(status=304, truncate=0, times=2))
    assert client.refresh().source == server.url
    assert [tag is not None for tag in asked_with(server)] == [True, True, False]
    assert world.warnings == []


# -- blocks --------------------------------------------------------------------------------------------------------


def blocks_path(world: World) -> str:
    """Where the current blocks.json is served."""
    data = (world.folder / "blocks.json").read_bytes()
    return f"targets/{Digest.of(data).hex}.blocks.json"


def test_who_withholds_blocks_lifts_none(world: World, server: FaultServer) -> None:
    """What a lock pins is not had while current metadata names blocks that are not served, nor after it has expired."""
    client = world.client(url=server.url)
    pinned = client.manifest("acme-calendar", "1.0.0").payload_digest
    world.tick(minutes=6)
    world.block("acme-calendar", "==1.0.0", "disable", "steals mail")
    world.register()
    server.fail(blocks_path(world), Fault(status=404))
    with pytest.raises(FetchError, match=r"blocks\.json: HTTP 404") as caught:
        client.pinned("acme-calendar", "1.0.0", pinned)
    assert "mirror" in caught.value.hint
    server.heal()
    with pytest.raises(YankedError, match="steals mail"):
        world.client("another", url=server.url).pinned("acme-calendar", "1.0.0", pinned)
    world.tick(days=60)
    with pytest.raises(FetchError, match="newer blocks are signed") as caught:
        client.pinned("acme-calendar", "1.0.0", pinned)
    assert caught.value.hint


def test_blocks_that_are_held_need_no_host(world: World, server: FaultServer) -> None:
    """The same blocks as remembered are used, although the cache was deleted and the host lacks them."""
    client = world.client(url=server.url)
    pinned = client.manifest("acme-calendar", "1.0.0").payload_digest
    shutil.rmtree(client.session.store.cache)
    server.fail(blocks_path(world), Fault(status=404))
    assert client.pinned("acme-calendar", "1.0.0", pinned).payload_digest == pinned


def test_remembered_blocks_never_go_back(world: World) -> None:
    """A process that still holds an older view leaves the newer blocks of another one alone."""
    slow = world.client(ttl=10**9)
    newest(slow)
    world.block("acme-calendar", "==0.9.0", "disable", "steals mail")
    world.register()
    world.client().refresh()
    assert newest(slow) == "1.0.0"
    assert [block.reason for block in slow.session.statements.last_blocks()] == ["steals mail"]


def test_the_store_takes_newer_blocks_only(tmp_path: Path) -> None:
    """Judged by the version of the role; what is damaged or of unknown version is replaced."""
    store = Store(Directories.default(tmp_path), "https://registry.example")
    store.write_blocks(HeldBlocks(3, b"three"), 1)
    store.write_blocks(HeldBlocks(2, b"two"), 1)
    assert store.read_blocks() == HeldBlocks(3, b"three")
    store.write_blocks(HeldBlocks(4, b"four"), 1)
    assert store.read_blocks() == HeldBlocks(4, b"four")
    for damage in (b"", b"\xff", b"{}", b"[]", b'{"version": true, "document": ""}', b'{"version": 9}'):
        (store.state / "blocks.json").write_bytes(damage)
        assert store.read_blocks() == HeldBlocks(0, damage)
        store.write_blocks(HeldBlocks(1, b"one"), 1)
        assert store.read_blocks() == HeldBlocks(1, b"one")


def test_damaged_blocks_do_not_pass_for_none(world: World) -> None:
    """Who reads the blocks of the disk meets an error, not an empty list."""
    client = world.client()
    newest(client)
    (client.session.store.state / "blocks.json").write_bytes(b"{}")
    with pytest.raises(DocumentError):
        client.session.statements.last_blocks()


# -- credentials ---------------------------------------------------------------------------------------------------


def test_no_credentials_out_of_netrc(server: FaultServer) -> None:
    """A `default` entry goes to no host: publishers choose where artifacts are."""
    netrc = Path.home() / ".netrc"
    netrc.write_text("default login anna password secret\n")
    netrc.chmod(0o600)
    server.source = {"data": b"data"}.get
    assert get(Transport(), f"{server.url}/data") == b"data"
    assert [seen.headers.get("authorization") for seen in server.seen] == [None]


def test_proxies_of_the_environment_are_used(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the only way out of some networks."""
    monkeypatch.setenv("http_proxy", server.url)
    server.source = {"data": b"data"}.get
    assert get(Transport(), "http://registry.invalid/data") == b"data"
    assert [seen.path for seen in server.seen] == ["http://registry.invalid/data"]


# -- documents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "name"), [("initialStatus", "initial_status"), ("schemaVersion", "schema_version")]
)
def test_members_have_one_name(alias: str, name: str) -> None:
    """Python's name of a member is not read: the model and the raw document would say different things."""
    document = sign(manifest(), ed25519("acme-1"))
    document[name] = document.pop(alias)
    with pytest.raises(ManifestError) as caught:
        parse_manifest(dump_json(document), "manifest.json")
    assert [problem.path for problem in caught.value.problems] == [f"$.{alias}"]


def test_a_bad_only_item_is_the_only_problem() -> None:
    """A list is called too short only where that is what is wrong with it."""
    document = {**sign(manifest(), ed25519("acme-1")), "signatures": [{"keyid": "x", "sig": "00"}]}
    with pytest.raises(ManifestError) as caught:
        parse_manifest(dump_json(document), "manifest.json")
    assert [problem.path for problem in caught.value.problems] == ["$.signatures[0].keyid"]
    with pytest.raises(ManifestError) as caught:
        parse_manifest(dump_json({**document, "signatures": []}), "manifest.json")
    assert [problem.path for problem in caught.value.problems] == ["$.signatures"]


# -- downloads -----------------------------------------------------------------------------------------------------


def test_a_download_replaces_no_other_file(world: World, server: FaultServer, tmp_path: Path) -> None:
    """The publisher chose the name, so a file of that name is replaced only where its owner says so."""
    client = world.client(url=server.url)
    found = client.manifest("acme-calendar", "1.0.0")
    path = tmp_path / "out" / "calendar.bin"
    path.parent.mkdir()
    for other in (b"mine", PROGRAM[:-1] + b"!"):
        path.write_bytes(other)
        server.reset_counters()
        with pytest.raises(InstallError, match="not replaced") as caught:
            client.download(found, path.parent)
        assert "--force" in caught.value.hint
        assert (path.read_bytes(), server.requests) == (other, 0)
    assert client.download(found, path.parent, overwrite=True) == [path]
    assert path.read_bytes() == PROGRAM


def test_a_link_that_leads_nowhere_is_a_file_too(world: World, tmp_path: Path) -> None:
    """It is not replaced either."""
    client = world.client()
    (tmp_path / "calendar.bin").symlink_to(tmp_path / "nothing")
    with pytest.raises(InstallError, match="not replaced"):
        client.download(client.manifest("acme-calendar", "1.0.0"), tmp_path)
    assert (tmp_path / "calendar.bin").is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_is_there_already_is_kept(
    world: World, server: FaultServer, tmp_path: Path, overwrite: bool
) -> None:
    """An equal file counts as downloaded, without network."""
    client = world.client(url=server.url)
    found = client.manifest("acme-calendar", "1.0.0")
    (path,) = client.download(found, tmp_path / "out")
    before = path.stat()
    server.reset_counters()
    assert client.download(found, tmp_path / "out", overwrite=overwrite) == [path]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert server.requests == 0


def test_a_download_that_is_refused_writes_nothing(world: World, tmp_path: Path) -> None:
    """One file in the way keeps the others from being written too."""
    files = {"a.bin": b"a" * 100, "b.bin": b"b" * 100}
    artifacts = [{"ecosystem": "custom", "path": name} for name in files]
    world.publish("acme-two", "1.0.0", files=files, artifacts=artifacts)
    world.register()
    client = world.client()
    (tmp_path / "b.bin").write_bytes(b"mine")
    with pytest.raises(InstallError, match=r"b\.bin"):
        client.download(client.manifest("acme-two", "1.0.0"), tmp_path)
    assert not (tmp_path / "a.bin").exists()
