"""Hosts in trouble over real sockets: what a refresh costs the first time, and that it costs nothing the next time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.httpd import EVERY_PATH, Fault, FaultServer
from support.world import World

from publisher.tree import MemoryTree
from registry_client import hosts as hosts_module
from registry_client import http
from registry_client.deadline import Deadline, Part
from registry_client.digest import Digest
from registry_client.downloads import Download, Received
from registry_client.errors import FetchError, RegistryError, SignatureError
from registry_client.health import Trouble
from registry_client.hosts import Hosts
from registry_client.http import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_client.client import RegistryClient

PATIENCE = 1.0
CONNECT = 0.7
DATA = bytes(range(256)) * 4096
DIGEST = Digest.of(DATA)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of the real thing, shorter."""
    monkeypatch.setattr(hosts_module, "PATIENCE", PATIENCE)
    monkeypatch.setattr(hosts_module, "_SLUGGISH", 0.8 * PATIENCE)
    monkeypatch.setattr(http, "CONNECT", CONNECT)


class Watched(Transport):
    """The transport of the network, which remembers whom it asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, url: str, **options: Any) -> http.Body:
        """As ever."""
        self.asked.append("/".join(url.split("/", 3)[:3]))
        return super().get(url, **options)


@dataclass
class Bench:
    """A registry on a first host, which may be in trouble, and on a second one that is well.

    Attributes:
        asked: URLs of the hosts that the last client asked, in order.
    """

    world: World
    first: FaultServer
    second: FaultServer
    old: MemoryTree
    stack: contextlib.ExitStack
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def client(self, home: str = "host", **options: Any) -> RegistryClient:
        """A client like in a process of its own, with the directories of earlier ones."""
        transport = Watched()
        self.asked = transport.asked
        self.stack.callback(transport.close)
        mirrors = options.pop("mirrors", (self.second.url,))
        return self.world.client(
            home, url=self.url or self.first.url, mirrors=mirrors, transport=transport, **options
        )

    def refresh(self, home: str = "host", **options: Any) -> tuple[float, str | None]:
        """A refresh in a process of its own: its seconds, and who answered."""
        client = self.client(home, **options)
        begun = time.monotonic()
        source = client.refresh().source
        return time.monotonic() - begun, source

    def break_first(self, trouble: str) -> None:
        """Put the first host into trouble."""
        if trouble == "refused":
            self.first.close()
        elif trouble == "black hole":
            self.url = self.stack.enter_context(black_hole())
        elif trouble == "lagging":
            self.refresh()
            self.first.source = self.old.read
        else:
            self.first.fail(EVERY_PATH, FAULTS[trouble])


FAULTS = {
    "silent": Fault(hang=60),
    "drip": Fault(drip=0.05),
    "headers drip": Fault(drip_headers=0.05),
    "503": Fault(status=503),
    "404": Fault(status=404),
    "captive portal": Fault(body=b"<html>sign in</html>"),
    "reset": Fault(reset=True),
}


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """A port where connections are neither accepted nor refused: the queue of those that wait is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Both hosts have the newest state; `old` is an earlier one."""
    with contextlib.ExitStack() as stack:
        world = World(tmp_path / "registry", now=datetime.now(UTC) - timedelta(hours=2))
        world.add_publisher("acme")
        world.publish("acme-calendar", "1.0.0")
        world.register()
        old = MemoryTree(world.snapshot())
        world.tick(hours=1)
        world.publish("acme-calendar", "1.1.0")
        world.register()
        first, second = (stack.enter_context(FaultServer(tmp_path / "registry")) for _ in range(2))
        yield Bench(world, first, second, old, stack)


TROUBLES = {
    "refused": (Trouble.UNREACHABLE, 0.0),
    "black hole": (Trouble.UNREACHABLE, CONNECT),
    "silent": (Trouble.SLOW, PATIENCE),
    "drip": (Trouble.SLOW, PATIENCE),
    "headers drip": (Trouble.SLOW, PATIENCE),
    "lagging": (Trouble.LAGGING, 0.0),
    "503": (Trouble.BUSY, 0.0),
    "404": (Trouble.UNREACHABLE, 0.0),
    "captive portal": (Trouble.WRONG, 0.0),
    "reset": (Trouble.UNREACHABLE, 0.0),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_first_host_in_trouble_costs_one_timeout_once(bench: Bench, trouble: str) -> None:
    """The first refresh costs at most that one timeout; the next, in another process, does not ask the host at all."""
    bench.break_first(trouble)
    expected, timeout = TROUBLES[trouble]
    first = bench.url or bench.first.url
    spent, source = bench.refresh()
    assert source == bench.second.url
    assert timeout <= spent < timeout + 0.9 * PATIENCE
    assert bench.asked[0] == first
    client = bench.client()
    assert client.resolve("acme-calendar").info.version == "1.1.0"
    assert set(bench.asked) == {bench.second.url}
    bench.world.tick(minutes=6)
    spent, source = bench.refresh()
    assert source == bench.second.url
    assert set(bench.asked) == {bench.second.url}
    assert spent < 0.9 * PATIENCE
    mark = client.session.health().marks[first]
    assert (mark.trouble, mark.count) == (expected, 1)
    assert bench.world.warnings == []


def test_a_host_that_is_well_again_is_asked_first_again(bench: Bench) -> None:
    """After its rest; and then it counts as well."""
    bench.break_first("503")
    bench.refresh()
    bench.first.heal()
    bench.world.tick(minutes=9)
    assert bench.refresh()[1] == bench.second.url
    bench.world.tick(minutes=2)
    assert bench.refresh()[1] == bench.first.url
    assert bench.client().session.health().marks == {}
    bench.first.fail(EVERY_PATH, Fault(status=503))
    bench.refresh()
    assert bench.client().session.health().marks[bench.first.url].count == 1


def test_a_host_that_stays_bad_rests_longer(bench: Bench) -> None:
    """It is tried after each rest, which doubles."""
    bench.break_first("reset")
    tried = []
    for _ in range(30):  # five hours
        bench.refresh()
        tried.append(bench.first.url in bench.asked)
        bench.world.tick(minutes=10)
    assert [n for n, asked in enumerate(tried) if asked] == [0, 1, 3, 7, 13, 19, 25]


def test_what_a_host_asks_for_is_done_across_processes(bench: Bench) -> None:
    """A quarter of an hour, while another host is there."""
    bench.first.fail(EVERY_PATH, Fault(status=429, headers={"Retry-After": "900"}))
    bench.refresh()
    bench.first.heal()
    bench.first.reset_counters()
    bench.world.tick(minutes=14)
    assert bench.refresh()[1] == bench.second.url
    assert bench.first.requests == 0
    bench.world.tick(minutes=2)
    assert bench.refresh()[1] == bench.first.url


def test_with_all_hosts_in_trouble_all_are_asked(bench: Bench) -> None:
    """Each time, the configured one first, whatever is remembered."""
    bench.refresh()
    for host in (bench.first, bench.second):
        host.fail(EVERY_PATH, Fault(status=503))
    for _ in range(2):
        bench.world.tick(minutes=1)
        assert bench.client().refresh().source is None
        assert list(dict.fromkeys(bench.asked)) == [bench.first.url, bench.second.url]
    bench.second.heal()
    assert bench.refresh()[1] == bench.second.url


def test_the_only_host_is_asked_whatever_is_remembered(bench: Bench) -> None:
    """And has the whole time: slower than anybody may be who can be passed over."""
    bench.first.fail(EVERY_PATH, Fault(status=500))
    with pytest.raises(FetchError):
        bench.refresh(mirrors=())
    bench.first.heal()
    bench.first.latency = 1.2 * PATIENCE
    assert bench.refresh(mirrors=(), timeout=20.0)[1] == bench.first.url


def test_the_last_host_has_the_time_that_is_left(bench: Bench) -> None:
    """Slow is better than nothing."""
    bench.break_first("refused")
    bench.second.latency = 1.2 * PATIENCE
    assert bench.refresh(timeout=20.0)[1] == bench.second.url


def test_slow_hosts_only_take_turns_at_no_cost(bench: Bench) -> None:
    """Where everyone is slow, as on a slow line, refreshes go on: who is known to be slow is no reason to give up on others."""
    for host in (bench.first, bench.second):
        host.latency = 0.4 * PATIENCE
    for _ in range(3):
        assert bench.refresh(timeout=20.0)[1] is not None
        bench.world.tick(minutes=6)
    assert bench.world.warnings == []


def test_who_holds_up_but_answers_is_asked_later(bench: Bench) -> None:
    """A host that always takes just less than it may gains one delay, not one for each refresh."""
    bench.refresh()
    bench.first.fail("metadata/timestamp.json", Fault(hang=0.9 * PATIENCE))
    spent, source = bench.refresh()
    assert (source, spent > 0.8 * PATIENCE) == (bench.first.url, True)
    spent, source = bench.refresh()
    assert (source, spent < 0.5 * PATIENCE) == (bench.second.url, True)


def test_many_bad_hosts_leave_time_for_the_last(bench: Bench) -> None:
    """Each has its share of the deadline."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(FaultServer(lambda _: None)) for _ in range(6)]
        for host in silent:
            host.fail(EVERY_PATH, Fault(hang=60))
        mirrors = (*(host.url for host in silent), bench.second.url)
        bench.break_first("silent")
        spent, source = bench.refresh(mirrors=mirrors, timeout=4.0)
        assert source == bench.second.url
        assert spent < 4.0
        spent, source = bench.refresh(mirrors=mirrors, timeout=4.0)
        assert source == bench.second.url
        assert set(bench.asked) == {bench.second.url}


def test_a_clock_that_is_set_back_forgets(bench: Bench) -> None:
    """The host is asked again, which costs what it costs the first time; nothing fails."""
    bench.break_first("503")
    bench.refresh()
    bench.world.tick(minutes=-30)
    assert bench.refresh()[1] == bench.second.url
    assert bench.asked[0] == bench.first.url
    assert bench.refresh()[1] == bench.second.url
    assert set(bench.asked) == {bench.second.url}


# -- many requests -------------------------------------------------------------------------------------------------


def test_requests_at_once_are_one_attempt(bench: Bench) -> None:
    """Eight requests to a silent host, in one attempt or in eight threads, cost one timeout and are one failure."""
    bench.break_first("silent")
    transport = Watched()
    hosts = Hosts((bench.first.url, bench.second.url), tuple, transport)

    def attempt(base: str, part: Deadline) -> str:
        with ThreadPoolExecutor(8) as pool:
            got = [
                pool.submit(transport.get, f"{base}/blocks.json", limit=9999, deadline=part) for _ in range(8)
            ]
            for answer in got:
                answer.result()
        return base

    begun = time.monotonic()
    assert hosts.first(attempt, Deadline(20)) == bench.second.url
    assert time.monotonic() - begun < 1.8 * PATIENCE
    assert hosts.memory.health().marks[bench.first.url].count == 1

    hosts = Hosts((bench.first.url, bench.second.url), tuple, transport)
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: hosts.get("blocks.json", limit=9999, timeout=20), range(8)))
    assert time.monotonic() - begun < 1.8 * PATIENCE
    assert hosts.memory.health().marks[bench.first.url].count == 1


def test_files_are_had_from_who_gave_the_state(bench: Bench) -> None:
    """Also when the first host's rest is over; what that one lacks is no trouble of it."""
    bench.break_first("lagging")
    bench.refresh()
    bench.world.tick(minutes=15)
    client = bench.client(ttl=3600)
    assert client.resolve("acme-calendar").info.version == "1.1.0"
    assert set(bench.asked) == {bench.second.url}
    hosts = Hosts((bench.first.url, bench.second.url), tuple, Transport())
    with pytest.raises(FetchError, match="404"):
        hosts.get("nothing", limit=10, timeout=5)
    assert hosts.memory.health().marks == {}


def test_mirrors_that_became_known_just_now_are_asked_too(bench: Bench) -> None:
    """Hosts are looked up once in a while only, but before giving up."""
    more: list[str] = []
    hosts = Hosts((bench.first.url,), lambda: tuple(more), Transport())
    bench.first.fail("policy.json", Fault(status=404))
    hosts.get("blocks.json", limit=9999, timeout=5)
    more.append(bench.second.url)
    assert hosts.get("policy.json", limit=9999, timeout=5)


# -- large files ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def dealing(pieces: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """A host that answers each request with pieces of `DATA`, in its own time."""
    stop = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA))
            for piece in pieces():
                if stop.is_set():
                    return
                connection.sendall(piece)
            stop.wait(30)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        stop.set()


def fetched(*urls: str, timeout: float = 30.0) -> tuple[bytes, float, Hosts]:
    """`DATA` from the first of these hosts that gives it: what came, how long it took, and the hosts."""
    hosts, data = Hosts(urls, tuple, Transport()), bytearray()
    begun = time.monotonic()
    hosts.download(
        "data.bin",
        digest=DIGEST,
        size=len(DATA),
        timeout=timeout,
        sink=data.extend,
        restart=data.clear,
        received=Received(),
    )
    return bytes(data), time.monotonic() - begun, hosts


def test_a_large_file_that_stalls_is_continued_elsewhere(bench: Bench) -> None:
    """What has come is kept; the rest comes from the next host."""
    bench.second.source = {"data.bin": DATA}.get
    with dealing(lambda: iter([DATA[:500_000]])) as stalling:
        data, spent, hosts = fetched(stalling, bench.second.url)
        assert (data, spent < 1.8 * PATIENCE) == (DATA, True)
        assert hosts.memory.health().marks[stalling].trouble is Trouble.SLOW
    assert [seen.headers.get("range") for seen in bench.second.seen] == ["bytes=500000-"]


def test_a_large_file_that_drips_is_continued_elsewhere(bench: Bench) -> None:
    """A byte now and then is no headway."""
    bench.second.source = {"data.bin": DATA}.get

    def pieces() -> Iterator[bytes]:
        yield DATA[:100_000]
        for number in range(100_000, len(DATA)):
            time.sleep(0.02)
            yield DATA[number : number + 1]

    with dealing(pieces) as dripping:
        data, spent, _ = fetched(dripping, bench.second.url)
    assert (data, spent < 1.9 * PATIENCE) == (DATA, True)


def test_a_large_file_that_makes_headway_may_take_longer(bench: Bench) -> None:
    """Three times what a small file may take, and no other host is asked."""

    def pieces() -> Iterator[bytes]:
        for number in range(0, len(DATA), 128 * 1024):
            time.sleep(0.4 * PATIENCE)
            yield DATA[number : number + 128 * 1024]

    with dealing(pieces) as steady:
        data, spent, hosts = fetched(steady, bench.second.url)
    assert (data, spent > 3 * PATIENCE) == (DATA, True)
    assert bench.second.requests == 0
    assert hosts.memory.health().marks == {}


def test_a_signed_file_that_is_large_may_take_longer_too(bench: Bench) -> None:
    """The catalogue of a large registry, say."""

    def pieces() -> Iterator[bytes]:
        for number in range(0, len(DATA), 128 * 1024):
            time.sleep(0.3 * PATIENCE)
            yield DATA[number : number + 128 * 1024]

    with dealing(pieces) as steady:
        hosts = Hosts((steady, bench.second.url), tuple, Transport())
        assert hosts.get_signed("data.bin", digest=DIGEST, size=len(DATA), timeout=30) == DATA
    assert bench.second.requests == 0


def test_headway_does_not_prolong_a_refresh(bench: Bench) -> None:
    """A host whose metadata is large and comes slowly has no more time than any other."""

    def pieces() -> Iterator[bytes]:
        for number in range(0, len(DATA), 128 * 1024):
            time.sleep(0.3 * PATIENCE)
            yield DATA[number : number + 128 * 1024]

    with dealing(pieces) as slow:
        bench.url = slow
        spent, source = bench.refresh()
    assert (source, spent < 1.9 * PATIENCE) == (bench.second.url, True)


def test_what_an_attempt_that_was_given_up_brings_is_let_fall() -> None:
    """The next attempt has begun: late pieces of the one before would come in between."""
    taken, late = bytearray(), []

    class Stuck:
        usage = http.Usage()

        def get_into(self, url: str, sink: Callable[[bytes], object], **options: Any) -> None:
            late.append(sink)
            if url == "one":
                sink(b"abc")
                raise FetchError("given up")
            options["begin"](options["offset"])
            late[0](b"LATE")
            sink(b"def")

        def get(self, *_: Any, **__: Any) -> http.Body:
            raise AssertionError

    download = Download(
        Stuck(),
        digest=Digest.of(b"abcdef"),
        size=6,
        sink=taken.extend,
        restart=taken.clear,
        received=Received(),
    )
    with pytest.raises(FetchError):
        download.rest("one", Part(Deadline(5)))
    download.rest("two", Part(Deadline(5)))
    assert taken == b"abcdef"


# -- what a memory is not trusted for ------------------------------------------------------------------------------


def test_a_forged_memory_adds_no_host_and_hides_none(bench: Bench) -> None:
    """It names a host of a thief as the one that answered, and the good ones as bad: they are asked, that one never."""
    with FaultServer(bench.old.read) as thief:
        client = bench.client()
        now = bench.world.now.timestamp()
        mark = {"trouble": "wrong", "count": 9, "at": now, "until": now + 3600}
        marks = {bench.first.url: mark, bench.second.url: mark}
        path = client.session.store.cache / "hosts.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"marks": marks, "answered": thief.url}))
        assert client.resolve("acme-calendar").info.version == "1.1.0"
        assert thief.requests == 0
        assert set(bench.asked) == {bench.first.url}


def test_whoever_is_asked_first_is_verified_the_same(bench: Bench) -> None:
    """A thief's mirror that a forged memory puts first gets nothing believed."""
    forged = {path: data.replace(b"1.1.0", b"6.6.6") for path, data in bench.world.snapshot().items()}
    with FaultServer(MemoryTree(forged).read) as thief:
        client = bench.client(mirrors=(thief.url,))
        now = bench.world.now.timestamp()
        marks = {bench.first.url: {"trouble": "slow", "count": 1, "at": now, "until": now + 3600}}
        path = client.session.store.cache / "hosts.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"marks": marks, "answered": thief.url}))
        assert client.resolve("acme-calendar").info.version == "1.1.0"
        assert bench.asked[0] == thief.url
        health = client.session.health()
        assert health.marks[thief.url].trouble is Trouble.WRONG
        bench.first.close()
        with pytest.raises((SignatureError, RegistryError)):
            bench.client("another", mirrors=(thief.url,)).resolve("acme-calendar")


# -- the command ---------------------------------------------------------------------------------------------------


def run(bench: Bench, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, with the second host as a mirror."""
    return subprocess.run(
        [sys.executable, "-m", "registry_client.cli.main", "--mirror", bench.second.url, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env={
            **os.environ,
            "PLUGIN_REGISTRY_URL": bench.first.url,
            "PLUGIN_REGISTRY_ROOT": str(bench.world.root_path),
            "PLUGIN_REGISTRY_HOME": str(home),
        },
    )


def test_processes_and_status(bench: Bench, tmp_path: Path) -> None:
    """The second process does not ask the bad host; `status` shows it, for people and as JSON, and asks nobody."""
    bench.first.fail(EVERY_PATH, Fault(status=503))
    for _ in range(2):
        done = run(bench, tmp_path / "home", "refresh")
        assert done.returncode == 0, done.stderr
        assert bench.second.url in done.stdout
        assert bench.first.requests in {1, 2}
    asked = bench.first.requests
    bench.second.reset_counters()
    found = json.loads(run(bench, tmp_path / "home", "--json", "status").stdout)
    assert [host["url"] for host in found["hosts"]][:2] == [bench.first.url, bench.second.url]
    assert found["hosts"][0]["trouble"] == "busy"
    until = datetime.fromisoformat(found["hosts"][0]["until"])
    assert timedelta(minutes=9) < until - datetime.now(UTC) < timedelta(minutes=11)
    assert (found["hosts"][1]["trouble"], found["hosts"][1]["until"]) == (None, None)
    shown = run(bench, tmp_path / "home", "status").stdout
    assert f"asked last    {bench.first.url}: busy; until " in shown
    assert (bench.first.requests, bench.second.requests) == (asked, 0)
