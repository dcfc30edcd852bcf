"""The transport against a real server that misbehaves: bounds, deadlines and broken bodies."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from support.fetching import DATA, FILES, LIMIT, ZEROS, get, into
from support.httpd import Fault, FaultServer

from registry_client.digest import Digest, verify_digest
from registry_client.errors import DigestError, FetchError, TooLargeError
from registry_client.http import Deadline, Transport

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


def _threads_end() -> bool:
    """Whether the transport's threads are gone within a second or so."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        if not any(thread.name == "registry-fetch" for thread in threading.enumerate()):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("fetch", [get, into])
@pytest.mark.parametrize("path", ["data.bin", "text.json", "empty"])
def test_a_good_answer_arrives_whole(
    transport: Transport, server: FaultServer, fetch: object, path: str
) -> None:
    """Plain and compressed bodies arrive as they are, in memory and in pieces."""
    assert callable(fetch)
    assert fetch(transport, f"{server.url}/{path}") == FILES[path]
    assert server.paths == [path]


def test_small_files_travel_compressed_and_artifacts_do_not(
    transport: Transport, server: FaultServer
) -> None:
    """`get` asks for gzip; `get_into` asks for the bytes themselves."""
    get(transport, f"{server.url}/text.json")
    into(transport, f"{server.url}/text.json")
    assert [seen.headers["accept-encoding"] for seen in server.seen] == ["gzip", "identity"]
    assert server.bytes_sent < len(FILES["text.json"]) + 1000


def test_an_unchanged_file_is_not_sent_again(transport: Transport, server: FaultServer) -> None:
    """With the entity tag of the last answer the host says 304 and sends no body."""
    url = f"{server.url}/text.json"
    first = transport.get(url, limit=LIMIT, deadline=Deadline(5))
    assert first.etag is not None
    again = transport.get(url, limit=LIMIT, deadline=Deadline(5), etag=first.etag)
    assert (again.data, again.etag, again.not_modified) == (b"", first.etag, True)
    other = transport.get(url, limit=LIMIT, deadline=Deadline(5), etag='W/"other"')
    assert (other.data, other.not_modified) == (FILES["text.json"], False)


@pytest.mark.parametrize("fetch", [get, into])
def test_not_modified_without_a_question_is_no_answer(
    transport: Transport, server: FaultServer, fetch: object
) -> None:
    """A 304 that nobody asked for is not taken for an empty file."""
    assert callable(fetch)
    server.fail("data.bin", Fault(status=304))
    with pytest.raises(FetchError, match="HTTP 304"):
        fetch(transport, f"{server.url}/data.bin")


class TestLimits:
    """No body is read past its limit."""

    @pytest.mark.parametrize("fetch", [get, into])
    @pytest.mark.parametrize("fault", [Fault(), Fault(no_length=True)], ids=["announced", "unannounced"])
    def test_a_huge_body_is_cut_off(
        self, transport: Transport, server: FaultServer, fetch: object, fault: Fault
    ) -> None:
        """Of 50 MB incompressible or not, the host gets rid of no more than socket buffers hold."""
        assert callable(fetch)
        server.fail("zeros.bin", Fault(no_length=fault.no_length, headers={"Content-Encoding": "identity"}))
        with pytest.raises(TooLargeError, match="longer than the 65536 bytes allowed"):
            fetch(transport, f"{server.url}/zeros.bin")
        server.close()
        assert server.bytes_sent < 20 * 1024 * 1024
        assert transport.usage.bytes <= LIMIT + 32 * 1024

    def test_the_limit_itself_is_allowed(self, transport: Transport, server: FaultServer) -> None:
        """Exactly the limit passes; one byte less does not."""
        assert get(transport, f"{server.url}/data.bin", limit=len(DATA)) == DATA
        with pytest.raises(TooLargeError):
            get(transport, f"{server.url}/data.bin", limit=len(DATA) - 1)

    def test_an_over_long_body_is_refused(self, transport: Transport, server: FaultServer) -> None:
        """A body longer than the signed size, which is what callers pass as the limit, is refused."""
        server.fail("data.bin", Fault(pad=1))
        with pytest.raises(TooLargeError):
            get(transport, f"{server.url}/data.bin", limit=len(DATA))

    def test_bytes_after_the_announced_end_do_not_reach_the_next_answer(
        self, transport: Transport, server: FaultServer
    ) -> None:
        """What a host sends after the body is not taken for the next response on that connection."""
        server.fail("data.bin", Fault(unannounced=500, headers={"Content-Encoding": "identity"}))
        for _ in range(3):
            assert get(transport, f"{server.url}/data.bin") == DATA
            assert get(transport, f"{server.url}/text.json") == FILES["text.json"]

    def test_a_gzip_bomb_costs_no_memory(self, transport: Transport, server: FaultServer) -> None:
        """50 KB that unpack to 50 MB are refused at the limit, with about the limit in memory."""
        get(transport, f"{server.url}/text.json")  # imports and caches
        assert (
            get(transport, f"{server.url}/zeros.bin", limit=len(ZEROS)) == ZEROS
        )  # the host has it compressed now
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError):
                get(transport, f"{server.url}/zeros.bin")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * 1024 * 1024


class TestDeadline:
    """The total deadline holds, whatever the host does to keep the socket alive."""

    @pytest.mark.parametrize("fetch", [get, into])
    @pytest.mark.parametrize(
        "fault",
        [Fault(drip=0.05), Fault(drip_headers=0.05), Fault(hang=30)],
        ids=["body drips", "headers drip", "hangs"],
    )
    def test_slow_answers_are_given_up(
        self, transport: Transport, server: FaultServer, fetch: object, fault: Fault
    ) -> None:
        """A drip of the body, a drip of the headers and silence all end at the deadline."""
        assert callable(fetch)
        server.fail("data.bin", fault)
        start = time.monotonic()
        with pytest.raises(FetchError, match="not complete within the deadline") as caught:
            fetch(transport, f"{server.url}/data.bin", seconds=0.5)
        assert 0.4 < time.monotonic() - start < 2
        assert "mirror" in caught.value.hint
        server.close()
        assert _threads_end()

    def test_a_slow_but_complete_answer_passes(self, transport: Transport, server: FaultServer) -> None:
        """The deadline is for the whole call: a host that needs a part of it is no fault."""
        server.latency = 0.2
        assert get(transport, f"{server.url}/data.bin") == DATA

    def test_nothing_arrives_after_the_deadline(self, transport: Transport, server: FaultServer) -> None:
        """Once the call has failed its sink is left alone: the caller may be writing the file anew."""
        server.fail("data.bin", Fault(drip=0.05))
        parts: list[bytes] = []
        with pytest.raises(FetchError):
            transport.get_into(f"{server.url}/data.bin", parts.append, limit=LIMIT, deadline=Deadline(0.3))
        count = len(parts)
        assert count > 0
        time.sleep(0.3)
        assert len(parts) == count

    def test_a_spent_deadline_sends_nothing(self, transport: Transport, server: FaultServer) -> None:
        """With no time left no host is asked."""
        with pytest.raises(FetchError, match="deadline"):
            get(transport, f"{server.url}/data.bin", seconds=0)
        time.sleep(0.1)
        assert server.requests == 0

    def test_a_host_that_says_nothing_hits_the_socket_timeout(self, server: FaultServer) -> None:
        """Without a drip the shorter socket timeout ends the wait, and its message says so."""
        server.fail("data.bin", Fault(hang=30))
        impatient = Transport(socket_timeout=0.2)
        with pytest.raises(FetchError, match="no answer in time"):
            get(impatient, f"{server.url}/data.bin")
        impatient.close()


class TestBrokenBodies:
    """A body that is not whole is an error, or is caught by its digest."""

    @pytest.mark.parametrize("fetch", [get, into])
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (Fault(truncate=5000), "fewer bytes than announced"),
            (Fault(truncate=0), "fewer bytes than announced"),
            (Fault(reset=True), "connection reset"),
            (Fault(reset=True, truncate=5000), "the body broke off"),
            (Fault(headers={"Content-Encoding": "gzip"}), "the body broke off: DecodeError"),
        ],
        ids=["truncated", "nothing", "reset", "reset in the body", "not gzip"],
    )
    def test_breaking_off_is_an_error(
        self, transport: Transport, server: FaultServer, fetch: object, fault: Fault, reason: str
    ) -> None:
        """Truncation, resets and false encodings are FetchErrors that say which."""
        assert callable(fetch)
        server.fail("data.bin", fault)
        with pytest.raises(FetchError, match=reason) as caught:
            fetch(transport, f"{server.url}/data.bin")
        assert f"{server.url}/data.bin" in str(caught.value)
        assert caught.value.hint

    def test_gzip_cut_short_is_caught_by_the_digest(self, transport: Transport, server: FaultServer) -> None:
        """A Content-Length that ends within the gzip looks complete to HTTP; only digest and size tell."""
        server.fail("data.bin", Fault(gzip_short=True))
        body = transport.get(f"{server.url}/data.bin", limit=LIMIT, deadline=Deadline(5))
        assert len(body.data) < len(DATA)
        assert DATA.startswith(body.data)
        with pytest.raises(DigestError):
            verify_digest(body.data, digest=Digest.of(DATA), size=len(DATA), where="data.bin")

    def test_a_passing_fault_passes(self, transport: Transport, server: FaultServer) -> None:
        """After a reset the same transport works again."""
        server.fail("data.bin", Fault(reset=True, times=1))
        with pytest.raises(FetchError):
            get(transport, f"{server.url}/data.bin")
        assert get(transport, f"{server.url}/data.bin") == DATA

    def test_nobody_listens(self, transport: Transport, server: FaultServer) -> None:
        """A refused connection is a FetchError without a status."""
        server.close()
        with pytest.raises(FetchError, match="connection refused") as caught:
            get(transport, f"{server.url}/data.bin")
        assert caught.value.status is None


def test_a_transport_serves_many_threads(transport: Transport, server: FaultServer) -> None:
    """Sixteen threads share one transport and each gets its own file."""
    files = {f"{n}.bin": random.Random(n).randbytes(3000) for n in range(64)}
    server.source = files.get
    results: dict[str, bytes] = {}

    def fetch(names: list[str]) -> None:
        for name in names:
            results[name] = get(transport, f"{server.url}/{name}")

    threads = [threading.Thread(target=fetch, args=(sorted(files)[n::16],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == files
