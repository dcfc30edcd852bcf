"""Connections and threads are used again, and everything that is looked up is looked up once; nothing of it weakens what is checked."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from support.certificates import make_certificate
from support.fetching import DATA, FILES, get, into
from support.httpd import Fault, FaultServer

from registry_client import connections
from registry_client.deadline import Deadline, Part, Watch, watched, within
from registry_client.errors import FetchError, NotFetchedError
from registry_client.http import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(FILES.get) as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(socket_timeout=5.0)
    yield made
    made.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that were opened."""
    found: list[Any] = []
    real = urllib3.util.connection.create_connection

    def create_connection(address: Any, *arguments: Any, **options: Any) -> socket.socket:
        found.append(address)
        return real(address, *arguments, **options)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", create_connection)
    return found


class TestConnections:
    """What is opened, and what is used again."""

    def test_one_for_many_requests(
        self, transport: Transport, server: FaultServer, opened: list[Any]
    ) -> None:
        """Also where answers say that nothing has changed, that there is nothing, or to look elsewhere."""
        url = f"{server.url}/text.json"
        tag = transport.get(url, limit=10_000, deadline=Deadline(5)).etag
        server.fail("old", Fault(redirect="/data.bin"))
        for _ in range(3):
            assert transport.get(url, limit=10_000, deadline=Deadline(5), etag=tag).not_modified
            with pytest.raises(NotFetchedError):
                get(transport, f"{server.url}/nothing")
            assert get(transport, f"{server.url}/old") == into(transport, f"{server.url}/data.bin") == DATA
        assert len(opened) == 1

    @pytest.mark.parametrize("status", [302, 404, 500])
    def test_a_long_body_that_is_not_wanted_is_not_read(
        self, transport: Transport, server: FaultServer, opened: list[Any], status: int
    ) -> None:
        """Its connection is closed instead."""
        headers = {"Location": "/data.bin"} if status == 302 else {}
        server.fail("x", Fault(status=status, body=bytes(10**7), headers=headers))
        with contextlib.suppress(FetchError):
            get(transport, f"{server.url}/x")
        assert get(transport, f"{server.url}/data.bin") == DATA
        assert len(opened) == 2
        assert transport.usage.bytes < 3 * len(DATA)

    @pytest.mark.parametrize("threads", [16, 64])
    def test_as_many_as_there_are_threads(
        self, transport: Transport, server: FaultServer, opened: list[Any], threads: int
    ) -> None:
        """Sixty-four of one host stay open; none is opened for each request."""
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda _: get(transport, f"{server.url}/data.bin"), range(6 * threads)))
        assert found == [DATA] * 6 * threads
        assert len(opened) <= threads

    def test_after_closing(self, transport: Transport, server: FaultServer) -> None:
        """A transport that was closed opens anew."""
        for _ in range(2):
            assert get(transport, f"{server.url}/data.bin") == DATA
            transport.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
    def test_a_forked_process_has_its_own(self, server: FaultServer) -> None:
        """On its parent's it would read what its parent asked for."""
        code = (
            "import os, sys; from registry_client.http import Deadline, Transport\n"
            "from urllib3.util import connection\n"
            "opened, real = [], connection.create_connection\n"
            "connection.create_connection = lambda *a, **o: opened.append(a) or real(*a, **o)\n"
            "transport, url = Transport(), sys.argv[1]\n"
            "for _ in range(2): transport.get(url, limit=10_000, deadline=Deadline(5))\n"
            "if not os.fork():\n"
            "    transport.get(url, limit=10_000, deadline=Deadline(5))\n"
            "    print(len(opened), flush=True)\n"
            "    os._exit(0)\n"
            "os.wait()"
        )
        command = [sys.executable, "-c", code, f"{server.url}/text.json"]
        root = Path(__file__).parents[1]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.strip() == "2"

    def test_more_hosts_than_are_kept(self, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connections of the one that was asked longest ago are closed, and opened again when it is asked."""
        monkeypatch.setattr(connections, "_ORIGINS", 2)
        monkeypatch.setattr(connections, "_ROUTES", 3)
        transport = Transport()
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(FaultServer(FILES.get)) for _ in range(4)]
            stack.callback(transport.close)
            for _ in range(2):
                for host in (server, *servers):
                    assert get(transport, f"{host.url}/data.bin") == DATA

    def test_the_environment_is_read_once_for_each_origin(
        self, transport: Transport, server: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Looking for proxies costs more than the request."""
        asked = []
        real = requests.sessions.get_environ_proxies

        def get_environ_proxies(url: str, **more: Any) -> dict[str, str]:
            asked.append(url)
            return real(url, **more)

        monkeypatch.setattr(requests.sessions, "get_environ_proxies", get_environ_proxies)
        with FaultServer(FILES.get) as other:
            for _ in range(5):
                get(transport, f"{server.url}/data.bin")
                get(transport, f"{other.url}/data.bin")
        assert len(asked) == 2

    def test_what_is_sent(self, transport: Transport, server: FaultServer) -> None:
        """Nothing but what is needed."""
        get(transport, f"{server.url}/data.bin")
        into(transport, f"{server.url}/data.bin")
        for seen, coding in zip(server.seen, ("gzip", "identity"), strict=True):
            assert dict(seen.headers) == {
                "host": f"127.0.0.1:{server.port}",
                "user-agent": "plugin-registry",
                "accept": "*/*",
                "accept-encoding": coding,
            }

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://127.0.0.1/x",
            "file:///etc/hostname",
            "httpx://127.0.0.1/",
            "nothing",
            "http://",
            "http:///x",
        ],
    )
    def test_what_is_no_url(self, transport: Transport, url: str) -> None:
        """An error of ours."""
        with pytest.raises(FetchError):
            get(transport, url)

    @pytest.mark.parametrize("path", ["a b", "a%20b", "ü", "%C3%BC", "a?x=1&y=ü", "a//b", "a;b", "a'b"])
    def test_what_is_asked_for(self, transport: Transport, server: FaultServer, path: str) -> None:
        """Paths and queries go out quoted."""
        server.source = lambda _: b"x"
        assert get(transport, f"{server.url}/{path}#fragment") == b"x"
        assert server.seen[0].path.isascii()
        assert "#" not in server.seen[0].path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class TestTls:
    """Certificates are read once, and checked at each connection."""

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[FaultServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with FaultServer(FILES.get, tls=context) as running:
            yield running

    def test_certificates_are_read_once(
        self, secure: FaultServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sixteen connections share one context."""
        made = []
        real = connections.create_context

        def create_context(bundle: str) -> ssl.SSLContext:
            made.append(bundle)
            return real(bundle)

        monkeypatch.setattr(connections, "create_context", create_context)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        transport = Transport()
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: get(transport, f"{secure.url}/data.bin"), range(32)))
        transport.close()
        assert found == [DATA] * 32
        assert len(made) == 1

    def test_a_certificate_for_another_name_is_refused(
        self, secure: FaultServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Trusted, but not for this host; also after connections to the right one."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        transport = Transport()
        assert get(transport, f"{secure.url}/data.bin") == DATA
        with pytest.raises(FetchError, match="the TLS certificate could not be verified"):
            get(transport, f"https://localhost:{secure.port}/data.bin")
        assert get(transport, f"{secure.url}/data.bin") == DATA

    def test_an_unknown_one_is_refused_each_time(self, secure: FaultServer) -> None:
        """One transport, many times, at once."""
        transport = Transport()

        def refused(_: int) -> bool:
            with pytest.raises(FetchError, match="the TLS certificate could not be verified"):
                get(transport, f"{secure.url}/data.bin")
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(refused, range(16)))
        assert secure.requests == 0

    @pytest.mark.parametrize("bundle", ["missing.pem", "empty.pem", "garbage.pem"])
    def test_a_bundle_that_is_none(
        self, secure: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str
    ) -> None:
        """An error of ours, and no connection without a check."""
        (tmp_path / "empty.pem").write_bytes(b"")
        (tmp_path / "garbage.pem").write_bytes(b"\x00garbage")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / bundle))
        with pytest.raises(FetchError):
            get(Transport(), f"{secure.url}/data.bin")
        assert secure.requests == 0

    def test_through_a_proxy(
        self, secure: FaultServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A tunnel is asked for, and the certificate is that of the host behind it."""
        with tunnelling(2) as (proxy, asked):
            monkeypatch.setenv("https_proxy", proxy)
            monkeypatch.setenv("no_proxy", "")
            with pytest.raises(FetchError, match="the TLS certificate could not be verified"):
                get(Transport(), f"{secure.url}/data.bin")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            transport = Transport()
            assert get(transport, f"{secure.url}/data.bin") == DATA
            transport.close()
        assert [line.split()[:2] for line in asked] == [["CONNECT", f"127.0.0.1:{secure.port}"]] * 2


@contextlib.contextmanager
def tunnelling(tunnels: int) -> Iterator[tuple[str, list[str]]]:
    """A proxy that makes so many tunnels: its URL, and what it was asked for."""
    asked: list[str] = []
    serving: list[threading.Thread] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            line = head.decode("latin-1").splitlines()[0]
            asked.append(line)
            host, _, port = line.split()[1].rpartition(":")
            with socket.create_connection((host, int(port))) as behind:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                there = threading.Thread(target=pump, args=(client, behind))
                there.start()
                pump(behind, client)
                there.join()

    def accept() -> None:
        for _ in range(tunnels):
            client = listening.accept()[0]
            serving.append(threading.Thread(target=serve, args=(client,)))
            serving[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        for thread in (accepting, *serving):
            thread.join(10)


class TestThreads:
    """What a call waits for."""

    def test_they_are_used_again(self) -> None:
        """One after the other needs one."""
        names = {within(Deadline(5), "x", lambda _: threading.get_ident()) for _ in range(50)}
        assert len(names) <= 2
        assert threading.get_ident() not in names

    def test_idle_ones_end(self) -> None:
        """Within a second or so."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: within(Deadline(5), "x", lambda _: time.sleep(0.05)), range(8)))
        until = time.monotonic() + 5
        while any(thread.name == "registry-fetch" for thread in threading.enumerate()):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert within(Deadline(5), "x", lambda _: 1) == 1

    def test_one_that_hangs_holds_nobody_else_up(self) -> None:
        """It is not used again before it has ended, and its late result goes nowhere."""
        free = threading.Event()
        for _ in range(3):
            with pytest.raises(FetchError, match="deadline"):
                within(Deadline(0.05), "x", lambda _: free.wait(5))
            assert within(Deadline(5), "x", lambda _: "mine") == "mine"
        free.set()
        assert [within(Deadline(5), "x", lambda _: "mine") for _ in range(20)] == ["mine"] * 20

    def test_errors_reach_the_caller(self) -> None:
        """Those of ours and any other, and the thread works on."""
        for error in (FetchError("x"), KeyError("y"), SystemExit(3)):

            def fail(_: threading.Event, error: BaseException = error) -> None:
                raise error

            with pytest.raises(type(error)) as caught:
                within(Deadline(5), "x", fail)
            assert caught.value is error

    def test_each_caller_gets_its_own(self) -> None:
        """Thirty-two at once, two thousand calls."""
        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(lambda n: within(Deadline(20), "x", lambda _: n), range(2000)))
        assert found == list(range(2000))

    def test_work_knows_that_nobody_waits(self) -> None:
        """The event is set when the deadline has passed."""
        seen: list[threading.Event] = []

        def work(cancelled: threading.Event) -> bool:
            seen.append(cancelled)
            return cancelled.wait(5)

        with pytest.raises(FetchError):
            within(Deadline(0.05), "x", work)
        assert seen[0].is_set()

    def test_after_a_fork(self) -> None:
        """A child has none of the threads, and makes its own."""
        assert within(Deadline(5), "x", lambda _: 1) == 1
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                code = 0 if within(Deadline(5), "x", lambda _: 1) == 1 else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_headway_moves_a_part_but_not_the_whole(self) -> None:
        """A part that makes headway goes on, up to the deadline, and no longer than it may at most."""
        for seconds, most in ((0.6, 30.0), (30.0, 0.6)):
            part = Part(Deadline(seconds), 0.2, most)

            def work(cancelled: threading.Event, part: Part = part) -> None:
                while not cancelled.wait(0.05):
                    part.headway()

            begun = time.monotonic()
            with pytest.raises(FetchError, match="deadline"):
                within(part, "x", work)
            assert 0.5 < time.monotonic() - begun < 2

    def test_headway_moves_nothing_else(self) -> None:
        """Neither a deadline nor a part that may not be moved."""
        for deadline in (Deadline(0.2), Part(Deadline(30), 0.2), Part(Deadline(0.2))):
            time.sleep(0.1)
            deadline.headway()
            assert deadline.remaining() <= 0.11

    def test_a_part_without_headway_ends_sooner(self) -> None:
        """After the seconds that it was given."""
        part = Part(Deadline(30), 0.2)
        begun = time.monotonic()
        with pytest.raises(FetchError, match="deadline"):
            within(part, "x", lambda cancelled: cancelled.wait(5))
        assert time.monotonic() - begun < 2
        assert part.used() >= part.granted == pytest.approx(0.2)


class TestWatched:
    """Calls in their caller's own thread."""

    def test_it_is_the_callers_thread(self) -> None:
        """So nothing is handed over."""
        assert watched(Deadline(5), "x", lambda _: threading.get_ident()) == threading.get_ident()

    def test_what_is_waited_for_is_ended(self) -> None:
        """And then the deadline is what is said, whatever the wait ended in."""
        for error in (FetchError("cut short"), OSError("shut"), AttributeError("gone"), None):
            free = threading.Event()

            def work(call: Watch, free: threading.Event = free, error: BaseException | None = error) -> str:
                call.hold(free.set)
                assert free.wait(5)
                if error is not None:
                    raise error
                return "a part"

            begun = time.monotonic()
            with pytest.raises(FetchError, match="x: not complete within the deadline"):
                watched(Deadline(0.1), "x", work)
            assert time.monotonic() - begun < 2

    def test_what_is_waited_for_too_late_is_ended_at_once(self) -> None:
        """Between two waits the deadline may have passed."""
        free = threading.Event()

        def work(call: Watch) -> None:
            assert call.cancelled.wait(5)
            call.hold(free.set)
            assert free.wait(5)

        with pytest.raises(FetchError, match="deadline"):
            watched(Deadline(0.05), "x", work)

    def test_errors_are_passed_on(self) -> None:
        """While there is time."""
        with pytest.raises(KeyError):
            watched(Deadline(5), "x", lambda _: FILES["none"])

    def test_many_at_once(self) -> None:
        """Each is ended at its own deadline, and those that are in time are left alone."""

        def one(number: int) -> bool:
            free = threading.Event()

            def work(call: Watch) -> int:
                call.hold(free.set)
                free.wait(0.2 if number % 2 else 5)
                return number

            if number % 2:
                return watched(Deadline(5), "x", work) == number
            with pytest.raises(FetchError):
                watched(Deadline(0.1 + number / 100), "x", work)
            return True

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(one, range(64)))

    def test_the_thread_that_watches_ends(self) -> None:
        """And comes back, also in a child process."""

        def late() -> bool:
            try:
                watched(Deadline(0.1), "x", lambda call: call.cancelled.wait(5))
            except FetchError:
                return True
            return False

        assert late()
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                code = 0 if late() else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        until = time.monotonic() + 5
        while any(thread.name == "registry-deadline" for thread in threading.enumerate()):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert late()

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(hang=30),
            Fault(drip=0.03),
            Fault(drip_headers=0.03),
            Fault(drip=0.03, no_length=True),
            Fault(drip=0.03, headers={"Connection": "close"}),
            Fault(drip=0.03, headers={"Content-Encoding": "identity"}),
            Fault(drip=0.03, status=404, body=bytes(9999)),
            Fault(drip=0.03, redirect="/data.bin", headers={"Content-Length": "9999"}),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
    @pytest.mark.parametrize("fetch", [get, into])
    @pytest.mark.usefixtures("_trusted")
    def test_sockets(self, certificate: Path, fault: Fault, fetch: Any, tls: bool) -> None:
        """However a host hangs, the call ends at its deadline, no thread stays behind, and the transport works on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with FaultServer(FILES.get, tls=context if tls else None) as server:
            server.fail(
                "x", fault if fault.body or fault.redirect else Fault(**{**vars(fault), "body": DATA})
            )
            transport = Transport()
            assert fetch(transport, f"{server.url}/data.bin") == DATA
            begun = time.monotonic()
            with pytest.raises(FetchError, match="not complete within the deadline"):
                fetch(transport, f"{server.url}/x", seconds=0.4)
            assert 0.3 < time.monotonic() - begun < 2
            assert fetch(transport, f"{server.url}/data.bin") == DATA
            transport.close()

    @pytest.fixture
    def _trusted(self, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    def test_a_name_that_takes_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing ends the wait for it, so another thread waits; the call ends."""
        free = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: free.wait(10) or [])
        begun = time.monotonic()
        with pytest.raises(FetchError, match="not complete within the deadline"):
            get(Transport(), "http://slow.example/x", seconds=0.3)
        assert time.monotonic() - begun < 2
        free.set()
