"""Downloads that go on where they broke off: what is asked for, and what of the answer is believed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from support.fetching import DATA, FILES, LIMIT
from support.httpd import Fault, FaultServer

from registry_client.digest import Digest
from registry_client.downloads import Received
from registry_client.errors import DigestError, FetchError, TooLargeError
from registry_client.hosts import Hosts
from registry_client.http import Deadline, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

HALF = len(DATA) // 2
DIGEST = Digest.of(DATA)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(FILES.get) as running:
        yield running


@dataclass
class Sink:
    """What a caller keeps: bytes, and a count of how often it began anew."""

    data: bytearray = field(default_factory=bytearray)
    received: Received = field(default_factory=Received)
    restarts: int = 0

    def hold(self, data: bytes) -> Sink:
        """Have these bytes from before."""
        self.data += data
        self.received.take(data)
        return self

    def restart(self) -> None:
        self.restarts += 1
        self.data.clear()

    def fetch(self, *urls: str, location: str = "data.bin", resume: bool = True) -> None:
        """Download from these hosts."""
        Hosts(urls, tuple, Transport(socket_timeout=5)).download(
            location,
            digest=DIGEST,
            size=len(DATA),
            timeout=10,
            sink=self.data.extend,
            restart=self.restart,
            received=self.received if resume else None,
        )


def ranges(server: FaultServer) -> list[str | None]:
    """The Range header of each request."""
    return [seen.headers.get("range") for seen in server.seen]


def part(url: str, offset: int, limit: int = LIMIT) -> tuple[list[int], bytes]:
    """What the transport said it would give, and gave."""
    begun: list[int] = []
    data = bytearray()
    Transport(socket_timeout=5).get_into(
        url, data.extend, limit=limit, deadline=Deadline(5), offset=offset, begin=begun.append
    )
    return begun, bytes(data)


class TestTransport:
    """`get_into` with an offset."""

    @pytest.mark.parametrize(
        ("fault", "asked"),
        [
            (Fault(), [f"bytes={HALF}-"]),
            (Fault(headers={"Content-Range": f"bytes {HALF}-{len(DATA) - 1}/*"}), [f"bytes={HALF}-"]),
        ],
        ids=["with the total", "without"],
    )
    def test_the_rest(self, server: FaultServer, fault: Fault, asked: list[str]) -> None:
        """A 206 with the part that was asked for is the rest."""
        server.fail("data.bin", fault)
        assert part(f"{server.url}/data.bin", HALF) == ([HALF], DATA[HALF:])
        assert ranges(server) == asked
        assert server.bytes_sent < len(DATA) - HALF + 500

    def test_a_host_without_ranges(self, server: FaultServer) -> None:
        """A 200 is the whole, from its first byte."""
        server.fail("data.bin", Fault(whole=True))
        assert part(f"{server.url}/data.bin", HALF) == ([0], DATA)
        assert server.requests == 1

    def test_no_offset_asks_for_no_part(self, server: FaultServer) -> None:
        """From the first byte on, nothing is different from before."""
        assert part(f"{server.url}/data.bin", 0) == ([0], DATA)
        assert ranges(server) == [None]

    @pytest.mark.parametrize(
        "wrong",
        [
            f"bytes {HALF + 1}-{len(DATA) - 1}/{len(DATA)}",
            f"bytes 0-{len(DATA) - 1}/{len(DATA)}",
            f"bytes {HALF}-{len(DATA) - 2}/{len(DATA)}",
            f"bytes {HALF}-{HALF - 1}/{HALF}",
            f"bytes */{len(DATA)}",
            f"items {HALF}-{len(DATA) - 1}/{len(DATA)}",
            f"bytes {HALF}-{'9' * 40}/*",
            "",
        ],
    )
    def test_another_part_is_not_taken(self, server: FaultServer, wrong: str) -> None:
        """A 206 for other bytes than those asked for is left, and the whole fetched."""
        server.fail("data.bin", Fault(headers={"Content-Range": wrong}, times=1))
        assert part(f"{server.url}/data.bin", HALF) == ([0], DATA)
        assert ranges(server) == [f"bytes={HALF}-", None]

    def test_a_coded_part_is_not_taken(self, server: FaultServer) -> None:
        """A part of compressed bytes is none of the file's."""
        server.fail("data.bin", Fault(headers={"Content-Encoding": "gzip"}, times=1))
        assert part(f"{server.url}/data.bin", HALF) == ([0], DATA)

    def test_no_such_part(self, server: FaultServer) -> None:
        """A 416 means that the file is another one than the caller thought: the whole."""
        server.source = {"data.bin": DATA[:100]}.get
        assert part(f"{server.url}/data.bin", HALF) == ([0], DATA[:100])
        assert ranges(server) == [f"bytes={HALF}-", None]

    @pytest.mark.parametrize("status", [206, 416])
    def test_an_answer_to_what_nobody_asked(self, server: FaultServer, status: int) -> None:
        """Without a Range header such a status is an error, also where the whole is asked for after a wrong part."""
        server.fail("data.bin", Fault(status=status))
        for offset in (0, HALF):
            with pytest.raises(FetchError, match=f"HTTP {status}"):
                part(f"{server.url}/data.bin", offset)

    def test_the_limit_is_for_the_whole(self, server: FaultServer) -> None:
        """What the caller has counts."""
        assert part(f"{server.url}/data.bin", HALF, len(DATA))[1] == DATA[HALF:]
        with pytest.raises(TooLargeError, match=f"longer than the {len(DATA) - 1} bytes allowed"):
            part(f"{server.url}/data.bin", HALF, len(DATA) - 1)
        server.fail("data.bin", Fault(pad=1, headers={"Content-Range": f"bytes {HALF}-{len(DATA) - 1}/*"}))
        with pytest.raises(TooLargeError):
            part(f"{server.url}/data.bin", HALF, len(DATA))

    def test_the_part_survives_redirects(self, server: FaultServer) -> None:
        """The question is asked again where the redirect leads."""
        server.fail("old", Fault(redirect="/data.bin"))
        assert part(f"{server.url}/old", HALF) == ([HALF], DATA[HALF:])


class TestHosts:
    """`Hosts.download` with what was received before."""

    def test_only_the_rest_is_fetched(self, server: FaultServer) -> None:
        """Of a half that is there the other half is asked for."""
        sink = Sink().hold(DATA[:HALF])
        sink.fetch(server.url)
        assert (bytes(sink.data), sink.restarts) == (DATA, 0)
        assert ranges(server) == [f"bytes={HALF}-"]

    @pytest.mark.parametrize("absolute", [False, True])
    def test_a_cut_in_the_middle(self, server: FaultServer, absolute: bool) -> None:
        """The connection breaks off; the same call asks for the rest, at one host and below one URL too."""
        server.fail("data.bin", Fault(truncate=HALF, times=1))
        sink = Sink()
        sink.fetch(server.url, location=f"{server.url}/data.bin" if absolute else "data.bin")
        assert (bytes(sink.data), sink.restarts) == (DATA, 1)
        assert ranges(server) == [None, f"bytes={HALF}-"]
        assert server.bytes_sent < len(DATA) + 1000

    def test_a_cut_is_continued_at_the_next_host(self, server: FaultServer) -> None:
        """What one host gave is not fetched again from another."""
        with FaultServer(FILES.get) as mirror:
            server.fail("data.bin", Fault(truncate=HALF))
            sink = Sink()
            sink.fetch(server.url, mirror.url)
            assert bytes(sink.data) == DATA
            assert (ranges(server), ranges(mirror)) == ([None], [f"bytes={HALF}-"])

    def test_without_what_was_received_every_attempt_starts_over(self, server: FaultServer) -> None:
        """Callers that keep nothing get what they always got."""
        server.fail("data.bin", Fault(truncate=HALF, times=1))
        sink = Sink()
        sink.fetch(server.url, resume=False)
        assert (bytes(sink.data), sink.restarts) == (DATA, 2)
        assert ranges(server) == [None, None]

    def test_everything_is_there(self, server: FaultServer) -> None:
        """A complete part needs no network."""
        sink = Sink().hold(DATA)
        sink.fetch(server.url)
        assert (bytes(sink.data), server.requests) == (DATA, 0)

    @pytest.mark.parametrize(
        "held", [b"x" * HALF, b"x" * len(DATA), DATA + b"x", DATA[: HALF - 1] + b"x"], ids=len
    )
    def test_a_wrong_part_is_thrown_away(self, server: FaultServer, held: bytes) -> None:
        """Whatever stood there before, the right file comes out, fetched whole at most once."""
        sink = Sink().hold(held)
        sink.fetch(server.url)
        assert (bytes(sink.data), sink.received.size) == (DATA, len(DATA))
        assert sink.received.sha256.hexdigest() == hashlib.sha256(DATA).hexdigest()
        assert ranges(server)[-1] is None
        assert ranges(server).count(None) == 1

    @pytest.mark.parametrize("lie", [b"x" * HALF, b"x" * (HALF + 1), b"x" * 10], ids=["same", "more", "less"])
    def test_a_host_that_lies_on_resuming(self, server: FaultServer, lie: bytes) -> None:
        """Wrong, too many and too few bytes for the rest: the file is fetched whole before the host counts as bad."""
        span = {"Content-Range": f"bytes {HALF}-{len(DATA) - 1}/{len(DATA)}"}
        server.fail("data.bin", Fault(status=206, body=lie, headers=span, times=1))
        sink = Sink().hold(DATA[:HALF])
        sink.fetch(server.url)
        assert bytes(sink.data) == DATA
        assert ranges(server) == [f"bytes={HALF}-", None]

    def test_a_host_without_ranges_starts_over(self, server: FaultServer) -> None:
        """It sends the whole, which replaces what was there, in one request."""
        server.fail("data.bin", Fault(whole=True))
        sink = Sink().hold(DATA[:HALF])
        sink.fetch(server.url)
        assert (bytes(sink.data), sink.restarts, server.requests) == (DATA, 1, 1)

    def test_a_host_that_gives_the_whole_wrong(self, server: FaultServer) -> None:
        """Where the host sent the whole already, it is not asked for it again, and nothing of it is kept."""
        server.fail("data.bin", Fault(body=b"x" * len(DATA), whole=True))
        sink = Sink().hold(DATA[:HALF])
        with pytest.raises(DigestError):
            sink.fetch(server.url)
        assert (server.requests, sink.received.size, len(sink.data)) == (1, 0, 0)

    def test_a_first_host_that_lies_spoils_nothing(self, server: FaultServer) -> None:
        """Half a file of a bad host is continued at a good one, found wrong, and fetched whole there."""
        with FaultServer({"data.bin": b"x" * len(DATA)}.get) as bad:
            bad.fail("data.bin", Fault(truncate=HALF))
            sink = Sink()
            sink.fetch(bad.url, server.url)
            assert bytes(sink.data) == DATA
            assert ranges(server) == [f"bytes={HALF}-", None]
