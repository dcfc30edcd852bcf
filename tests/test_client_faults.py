"""The client over real HTTP when things go wrong: hosts, caches, disks, clocks, and many at once."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.httpd import EVERY_PATH, Fault, FaultServer
from support.world import World

from publisher.tree import MemoryTree
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    DigestError,
    ExpiredError,
    FetchError,
    RegistryError,
    VerificationError,
    YankedError,
)
from registry_client.layout import manifest_path, plugin_folders
from registry_client.store import Directories
from registry_client.trust import read_roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry_client.client import RegistryClient

TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultServer]:
    """A host that serves the world's folder."""
    with FaultServer(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[FaultServer]:
    """A second host of the same folder."""
    with FaultServer(tmp_path / "registry") as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, server: FaultServer, mirror: FaultServer) -> World:
    """A registry with one plugin, on a host and a mirror that its policy names."""
    world = World(tmp_path / "registry", base_url=server.url, mirrors=(mirror.url,))
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.register()
    return world


def newest(client: RegistryClient) -> str:
    """The newest version of the calendar."""
    return client.resolve("acme-calendar").info.version


def shard_path(world: World) -> str:
    """Where the shard that counts is served."""
    return next(path for path in world.snapshot() if path.startswith("targets/index/"))


def alone(world: World, server: FaultServer, **options: Any) -> RegistryClient:
    """A client that knows one host only, as long as it has not read the policy."""
    return world.client(url=server.url, **options)


# -- hosts ---------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_looked_for_again_after_one_refresh(world: World, server: FaultServer) -> None:
    """An index older than the files' retention: refresh once, then it is there."""
    client = alone(world, server)
    client.refresh()
    server.reset_counters()
    server.fail(shard_path(world), Fault(status=404, times=1))
    assert newest(client) == "1.0.0"
    assert server.paths.count(TIMESTAMP) == 1
    assert server.paths.count(shard_path(world)) == 2


def test_a_file_that_stays_missing_is_an_error_after_one_refresh(
    world: World, server: FaultServer, mirror: FaultServer
) -> None:
    """No endless loop: one refresh, then the error names the URL."""
    client = alone(world, server)
    client.refresh()
    mirror.close()
    server.reset_counters()
    server.fail(shard_path(world), Fault(status=404))
    with pytest.raises(FetchError, match=r"HTTP 404") as caught:
        client.versions("acme-calendar")
    assert "targets/index/" in caught.value.message
    assert server.paths.count(TIMESTAMP) == 1


def test_retry_after_is_honoured_within_the_deadline(world: World, server: FaultServer) -> None:
    """A host that asks for a second's pause gets it, then answers."""
    server.fail(EVERY_PATH, Fault(status=429, headers={"Retry-After": "1"}, times=1))
    started = datetime.now(UTC)
    assert newest(alone(world, server)) == "1.0.0"
    assert datetime.now(UTC) - started >= timedelta(seconds=1)


def test_a_host_that_asks_for_a_long_pause_gets_it(world: World, server: FaultServer) -> None:
    """Last-good state with a warning, and no request until the pause is over."""
    client = alone(world, server, timeout=2.0)
    newest(client)
    world.tick(minutes=6)
    server.fail(EVERY_PATH, Fault(status=429, headers={"Retry-After": "900"}))
    assert newest(client) == "1.0.0"
    assert "HTTP 429" in world.warnings[-1]
    server.heal()
    server.reset_counters()
    world.tick(minutes=10)
    assert newest(client) == "1.0.0"
    assert server.requests == 0
    world.tick(minutes=6)
    assert newest(client) == "1.0.0"
    assert server.paths.count(TIMESTAMP) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=500), id="500"),
        pytest.param(Fault(status=503), id="503"),
        pytest.param(Fault(status=403), id="403"),
        pytest.param(Fault(reset=True), id="reset"),
        pytest.param(Fault(truncate=10), id="cut short"),
        pytest.param(Fault(gzip_short=True), id="gzip cut short"),
        pytest.param(Fault(redirect="ftp://x.example/"), id="redirect to another scheme"),
        pytest.param(Fault(body=b"<html>captive portal</html>"), id="captive portal"),
        pytest.param(Fault(drip=0.2), id="drip"),
        pytest.param(Fault(hang=30.0), id="hang"),
    ],
)
def test_a_host_in_trouble(world: World, server: FaultServer, fault: Fault) -> None:
    """A fresh client gets a clear error; one that has read it goes on with a warning until it expires."""
    used = alone(world, server, timeout=1.5)
    newest(used)
    world.tick(minutes=6)
    server.fail(EVERY_PATH, fault)
    world.warnings.clear()
    fresh = alone(world, server, home="fresh", timeout=1.5)
    with pytest.raises(RegistryError) as caught:
        newest(fresh)
    assert server.url in caught.value.message
    assert caught.value.hint
    assert newest(used) == "1.0.0"
    assert world.warnings
    world.tick(days=8)
    with pytest.raises(VerificationError):
        newest(used)


def test_an_unreachable_host(world: World, server: FaultServer) -> None:
    """Nothing listens there any more: last-good while unexpired, then a clear error."""
    client = alone(world, server)
    newest(client)
    client.search()
    server.close()
    world.tick(days=6)
    assert newest(client) == "1.0.0"
    assert "connection refused" in world.warnings[-1]
    assert client.search()[0].version == "1.0.0"
    world.tick(days=2)
    for act in (lambda: newest(client), client.search, client.refresh):
        with pytest.raises(ExpiredError, match="timestamp metadata has expired"):
            act()


def test_where_all_hosts_fail_nobody_is_demoted(
    world: World, server: FaultServer, mirror: FaultServer
) -> None:
    """The own network was down: the warning counts the hosts, and afterwards they are asked in the usual order."""
    client = world.client(url=server.url, mirrors=(mirror.url,), ttl=0)
    client.refresh()
    for host in (server, mirror):
        host.fail(EVERY_PATH, Fault(status=500))
    assert client.refresh().source is None
    hosts = len(client.session.hosts())
    assert (
        f"(and {hosts - 1} other host{'s' if hosts > 2 else ''}); using what was verified"
        in world.warnings[-1]
    )
    assert client.session.health().marks == {}
    for host in (server, mirror):
        host.heal()
    assert client.refresh().source == server.url


def test_a_refresh_offline_after_a_search(world: World, server: FaultServer) -> None:
    """Nothing was resolved yet, so the blocks were never had: last-good state stays in use, and still nothing is resolved."""
    client = alone(world, server)
    client.search()
    server.close()
    assert client.refresh().source is None
    assert "the blocks are not known, so nothing can be resolved" in world.warnings[-1]
    with pytest.raises(FetchError):
        newest(client)


def test_mirrors_are_tried_in_order(world: World, server: FaultServer, mirror: FaultServer) -> None:
    """The configured URL first; then mirrors; a mirror that works is enough."""
    client = world.client(url=server.url, mirrors=(mirror.url,))
    newest(client)
    assert mirror.requests == 0
    server.fail(EVERY_PATH, Fault(status=503))
    world.publish("acme-calendar", "1.1.0")
    world.tick(minutes=6)
    world.register()
    assert newest(client) == "1.1.0"
    assert mirror.requests
    assert client.refresh().source == mirror.url
    assert world.warnings == []


def test_the_policys_mirrors_help_when_the_configured_host_dies(
    world: World, server: FaultServer, mirror: FaultServer
) -> None:
    """A host configured with one URL only learns the mirrors from the signed policy."""
    client = alone(world, server)
    newest(client)
    client.refresh()
    server.close()
    world.publish("acme-calendar", "1.1.0")
    world.tick(minutes=6)
    world.register()
    assert newest(alone(world, server)) == "1.1.0"  # another process, with the same directories
    assert mirror.requests
    assert world.warnings == []


def test_a_mirror_that_tampers_is_passed_over(world: World, server: FaultServer, mirror: FaultServer) -> None:
    """Verification makes any mirror safe: what it changed is had from the next."""
    path = "plugins/acme-calendar/1.0.0/manifest.json"
    data = world.tree.read(path) or b""
    server.fail(path, Fault(body=data.replace(b"Calendar", b"Malendar")))
    client = world.client(url=server.url, mirrors=(mirror.url,))
    assert client.manifest("acme-calendar", "1.0.0").data == data
    assert mirror.paths == [path]


def test_a_lagging_host(world: World, server: FaultServer, mirror: FaultServer) -> None:
    """A cache with an older timestamp: the mirror is newer; without one, last-good and a warning."""
    old = MemoryTree(world.snapshot())
    world.tick(hours=1)
    world.publish("acme-calendar", "1.1.0")
    world.register()
    both = world.client("both", url=server.url, mirrors=(mirror.url,))
    one = world.client("one", url=server.url, ttl=0)
    assert newest(both) == newest(one) == "1.1.0"
    server.source = old.read
    world.tick(minutes=6)
    assert both.refresh().source == mirror.url
    assert world.warnings == []
    mirror.close()
    assert newest(one) == "1.1.0"
    assert "older metadata" in world.warnings[-1]


# -- figures -------------------------------------------------------------------------------------------------------


def test_requests_and_bytes(world: World, server: FaultServer) -> None:
    """Cold at most 10 requests; inside the TTL none; an unchanged refresh two, and under 1 KB of bodies."""
    client = alone(world, server)
    newest(client)
    assert server.requests <= 10
    server.reset_counters()
    world.tick(minutes=4, seconds=59)
    newest(client)
    assert newest(alone(world, server)) == "1.0.0"  # another process
    assert server.requests == 0
    world.tick(seconds=2)
    before = client.session.transport.usage.bytes
    client.versions("acme-calendar")
    asked = sorted(path for path in server.paths if "policy" not in path)
    assert asked == ["metadata/2.root.json", TIMESTAMP]
    server.reset_counters()
    before = client.session.transport.usage.bytes
    client.refresh()
    assert server.requests == 2
    assert client.session.transport.usage.bytes - before < 1024


def test_searching_inside_the_ttl_asks_nobody(world: World, server: FaultServer) -> None:
    """The catalogue is had once, then read from the cache, by other processes too."""
    assert [entry.id for entry in alone(world, server).search("calendar")] == ["acme-calendar"]
    server.close()
    world.tick(minutes=4)
    assert [entry.id for entry in alone(world, server).search("calendar")] == ["acme-calendar"]
    assert world.warnings == []


# -- directories ---------------------------------------------------------------------------------------------------


def damage_all(folder: Path, data: bytes) -> int:
    """Overwrite every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    for path in files:
        path.write_bytes(data)
    return len(files)


@pytest.mark.parametrize("data", [b"", b"\x00garbage", b"{}", b"null", b"[]"])
def test_a_damaged_cache_is_fetched_again(world: World, server: FaultServer, data: bytes) -> None:
    """Cached bytes are checked at each read."""
    client = alone(world, server)
    newest(client)
    client.search()
    assert damage_all(client.session.store.cache, data) > 3
    assert newest(alone(world, server)) == "1.0.0"
    assert [entry.id for entry in alone(world, server).search()] == ["acme-calendar"]


DEEP = b"[" * 100_000
FAR_PAST = b'{"signed": {"version": 1, "expires": "0001-01-01T00:00:00+14:00"}}'
NO_VERSION = b'{"signed": {"version": 1e999, "expires": "2026-03-01T12:00:00Z"}}'


@pytest.mark.parametrize(
    "data", [b"", b"\x00garbage", b"{}", b"null", b"[]", b'{"signed": 5}', DEEP, FAR_PAST, NO_VERSION]
)
def test_damaged_state_is_verified_again(world: World, server: FaultServer, data: bytes) -> None:
    """TUF metadata, view, blocks and revisions on the disk are never believed because they are there."""
    world.set_status("acme-calendar", "1.0.0", "released", rollout=100)
    world.register()
    client = alone(world, server)
    newest(client)
    files = [path for path in client.session.store.state.rglob("*") if path.is_file() and path.name != "lock"]
    assert {"timestamp.json", "view.json", "blocks.json"} <= {path.name for path in files}
    for path in files:
        kept = path.read_bytes()
        path.write_bytes(data)
        world.tick(minutes=6)
        assert newest(alone(world, server)) == "1.0.0", path.name
        path.write_bytes(kept)
    damage_all(client.session.store.state, data)
    assert newest(alone(world, server)) == "1.0.0"


def test_metadata_that_was_exchanged_on_the_disk_is_not_believed(world: World, server: FaultServer) -> None:
    """One role's file in place of another's is refused, and had again."""
    client = alone(world, server)
    newest(client)
    folder = client.session.store.metadata
    for name in ("snapshot", "targets", "registrar", "blocks"):
        (folder / f"{name}.json").write_bytes((folder / "timestamp.json").read_bytes())
    world.tick(minutes=6)
    assert newest(alone(world, server)) == "1.0.0"
    assert {info.name for info in read_roles(folder)} >= {"targets", "registrar", "blocks"}


def test_a_state_that_cannot_be_written(world: World, server: FaultServer, tmp_path: Path) -> None:
    """The error names the directory and the way out."""
    (tmp_path / "file").write_bytes(b"")
    client = alone(world, server, directories=Directories(tmp_path / "file", tmp_path / "cache"))
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        client.refresh()
    assert str(tmp_path / "file") in caught.value.message
    assert "PLUGIN_REGISTRY_HOME" in caught.value.hint


def test_a_cache_that_cannot_be_written_is_no_error(
    world: World, server: FaultServer, tmp_path: Path
) -> None:
    """It only costs requests."""
    (tmp_path / "file").write_bytes(b"")
    client = alone(world, server, directories=Directories(tmp_path / "state", tmp_path / "file"))
    assert newest(client) == "1.0.0"
    assert newest(client) == "1.0.0"


COMMAND = """
import resource, sys
limit = int(sys.argv.pop(1))
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from registry_client.cli.main import main
raise SystemExit(main())
"""


def start(
    world: World, server: FaultServer, home: Path, *arguments: str, limit: int = -1
) -> subprocess.Popen[str]:
    """The real command in a process of its own; `limit` is the largest file that it may write."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(limit), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={
            **os.environ,
            "PLUGIN_REGISTRY_URL": server.url,
            "PLUGIN_REGISTRY_ROOT": str(world.root_path),
            "PLUGIN_REGISTRY_HOME": str(home),
        },
    )


@pytest.fixture
def today(tmp_path: Path, server: FaultServer) -> World:
    """A registry of the real time, for commands in processes of their own."""
    world = World(tmp_path / "registry", base_url=server.url, now=datetime.now(UTC) - timedelta(minutes=1))
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.register()
    return world


@pytest.mark.parametrize("limit", [0, 100, 1000])
def test_a_full_disk(today: World, server: FaultServer, tmp_path: Path, limit: int) -> None:
    """Whatever cannot be written: a clear error or none, no traceback, and all is well once there is room."""
    process = start(today, server, tmp_path / "home", "info", "acme-calendar", limit=limit)
    out, err = process.communicate()
    assert process.returncode == ConfigError.exit_code, (out, err)
    assert "cannot be written" in err
    assert "Traceback" not in err
    assert not list((tmp_path / "home").rglob(".tmp-*"))
    process = start(today, server, tmp_path / "home", "info", "acme-calendar")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "1.0.0" in out


# -- clocks --------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_ahead(world: World, server: FaultServer) -> None:
    """The error says what the clock says, so that its owner can see what is wrong."""
    client = alone(world, server, clock=lambda: world.now + timedelta(days=40))
    with pytest.raises(ExpiredError, match="this machine's clock says 2026-04-10 12:00 UTC") as caught:
        newest(client)
    assert "If the clock is right" in caught.value.hint


def test_a_clock_that_is_behind(world: World, server: FaultServer) -> None:
    """Expiry is judged by the newest signed time, and the owner is told to set the clock."""
    client = alone(world, server, clock=lambda: world.now - timedelta(days=40))
    assert newest(client) == "1.0.0"
    client.refresh()
    assert "is behind the registry's newest timestamp" in world.warnings[-1]
    assert client.session.now() == world.now
    assert newest(client) == "1.0.0"


def test_a_clock_that_is_set_back_does_not_revive_what_expired(world: World, server: FaultServer) -> None:
    """After the registry signed at a later time, older metadata stays expired whatever the clock says."""
    late = [timedelta()]
    client = alone(world, server, clock=lambda: world.now + late[0])
    newest(client)
    world.tick(days=5)
    world.publish("acme-calendar", "1.1.0")
    world.register()
    assert newest(client) == "1.1.0"
    late[0] = -timedelta(days=300)
    assert client.session.now() == world.now
    assert newest(client) == "1.1.0"


# -- many at once --------------------------------------------------------------------------------------------------


def test_many_threads_share_a_client(world: World, server: FaultServer) -> None:
    """All succeed, on a cold cache and while everything expires from it."""
    client = alone(world, server, ttl=0, timeout=60.0)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: newest(client), range(48)))
    assert found == ["1.0.0"] * 48
    assert world.warnings == []


def test_threads_with_clients_of_their_own_share_directories(world: World, server: FaultServer) -> None:
    """The same with a client in each thread."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: newest(alone(world, server, ttl=0, timeout=60.0)), range(24)))
    assert found == ["1.0.0"] * 24


def test_processes_share_directories(today: World, server: FaultServer, tmp_path: Path) -> None:
    """Four commands at once on an empty home: every one succeeds."""
    running = [start(today, server, tmp_path / "home", "--json", "info", "acme-calendar") for _ in range(4)]
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert '"1.0.0"' in out


def test_a_registry_that_changes_under_its_readers(world: World, server: FaultServer) -> None:
    """Readers beside a registrar that writes file after file: every read verifies."""
    client = alone(world, server, ttl=0, timeout=60.0)
    newest(client)
    stop = datetime.now(UTC) + timedelta(seconds=2)

    def read(_: int) -> int:
        count = 0
        while datetime.now(UTC) < stop:
            newest(client)
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, number) for number in range(3)]
        for number in range(1, 9):
            world.publish("acme-calendar", f"1.{number}.0")
            world.register()
        assert sum(reader.result() for reader in readers) > 5
    assert newest(client) == "1.8.0"


# -- what a lock pins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "error"), [(None, None), ("hide", None), ("disable", YankedError), ("uninstall", YankedError)]
)
def test_what_a_lock_pins_can_be_had_after_expiry(
    world: World, server: FaultServer, action: str | None, error: type[RegistryError] | None
) -> None:
    """With a warning, under the blocks last known, and only the very bytes that were pinned."""
    client = alone(world, server)
    pinned = client.manifest("acme-calendar", "1.0.0").payload_digest
    if action:
        world.block("acme-calendar", "==1.0.0", action, "unsafe")
        world.register()
    client.refresh()
    world.tick(days=60)
    with pytest.raises(ExpiredError):
        newest(client)
    world.warnings.clear()
    if error:
        with pytest.raises(error, match="unsafe"):
            client.pinned("acme-calendar", "1.0.0", pinned)
        return
    assert client.pinned("acme-calendar", "1.0.0", pinned).payload_digest == pinned
    assert any("has expired" in warning for warning in world.warnings)
    assert any("unsafe" in warning for warning in world.warnings) == (action == "hide")
    with pytest.raises(DigestError):
        client.pinned("acme-calendar", "1.0.0", Digest.of(b"something else"))


@pytest.mark.parametrize("number", [0, 1])
def test_what_a_lock_pins_is_looked_for_in_both_folders(
    world: World, server: FaultServer, mirror: FaultServer, number: int
) -> None:
    """Nothing says where a plugin's files stand where the index has expired: there are two places."""
    client = alone(world, server)
    pinned = client.manifest("acme-calendar", "1.0.0").payload_digest
    files = world.snapshot()
    plain = manifest_path(plugin_folders("acme-calendar")[0], "1.0.0")
    data = files.pop(plain)
    place = manifest_path(plugin_folders("acme-calendar")[number], "1.0.0")
    server.source = mirror.source = MemoryTree({**files, place: data}).read
    world.tick(days=60)
    assert client.pinned("acme-calendar", "1.0.0", pinned).data == data
    server.source = mirror.source = MemoryTree(files).read
    with pytest.raises(FetchError, match="HTTP 404") as caught:
        client.pinned("acme-calendar", "1.0.0", pinned)
    assert plain in caught.value.message


# -- one and the others --------------------------------------------------------------------------------------------


def test_one_bad_plugin_never_hides_the_others(
    world: World, server: FaultServer, mirror: FaultServer
) -> None:
    """Broken bytes, a missing file and an unknown id stand in their places as errors; the rest is there."""
    for name in ("a", "b", "c", "d"):
        world.publish(f"acme-{name}", "1.0.0")
    world.register()
    for host in (server, mirror):
        host.fail("plugins/acme-a/1.0.0/manifest.json", Fault(body=b"{}"))
        host.fail("plugins/acme-b/1.0.0/manifest.json", Fault(status=404))
        host.fail("plugins/acme-c/1.0.0/manifest.json", Fault(status=500))
    client = alone(world, server)
    found = client.manifests(
        [*(f"acme-{name}" for name in "abcd"), "acme-none", "not an id", "acme-calendar"]
    )
    broken = {name for name, item in found.items() if isinstance(item, RegistryError)}
    assert broken == {"acme-a", "acme-b", "acme-c", "acme-none", "not an id"}
    assert isinstance(found["acme-a"], DigestError)
    everything = client.manifests()
    assert len(everything) == 5
    assert sum(isinstance(item, RegistryError) for item in everything.values()) == 3
