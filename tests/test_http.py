"""The transport against a real server that misbehaves: bounds, deadlines, redirects, and what errors say."""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
import ssl
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from support.httpd import EVERY_PATH, Fault, FaultServer

from registry_client.digest import Digest, verify_digest
from registry_client.errors import DigestError, FetchError, NotFetchedError, TooLargeError
from registry_client.http import Deadline, Transport, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = random.Random(7).randbytes(20_000)
ZEROS = bytes(50 * 1024 * 1024)
FILES = {"data.bin": DATA, "text.json": b'{"a": 1}\n' * 500, "empty": b"", "zeros.bin": ZEROS}
LIMIT = 64 * 1024


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(FILES.get) as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(socket_timeout=5.0)
    yield made
    made.close()


def _get(transport: Transport, url: str, *, limit: int = LIMIT, seconds: float = 5.0) -> bytes:
    return transport.get(url, limit=limit, deadline=Deadline(seconds)).data


def _into(transport: Transport, url: str, *, limit: int = LIMIT, seconds: float = 5.0) -> bytes:
    parts: list[bytes] = []
    transport.get_into(url, parts.append, limit=limit, deadline=Deadline(seconds))
    return b"".join(parts)


def _threads_end() -> bool:
    """Whether the transport's threads are gone within a second or so."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        if not any(thread.name == "registry-fetch" for thread in threading.enumerate()):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("fetch", [_get, _into])
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
    _get(transport, f"{server.url}/text.json")
    _into(transport, f"{server.url}/text.json")
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


@pytest.mark.parametrize("fetch", [_get, _into])
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

    @pytest.mark.parametrize("fetch", [_get, _into])
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
        assert _get(transport, f"{server.url}/data.bin", limit=len(DATA)) == DATA
        with pytest.raises(TooLargeError):
            _get(transport, f"{server.url}/data.bin", limit=len(DATA) - 1)

    def test_an_over_long_body_is_refused(self, transport: Transport, server: FaultServer) -> None:
        """A body longer than the signed size, which is what callers pass as the limit, is refused."""
        server.fail("data.bin", Fault(pad=1))
        with pytest.raises(TooLargeError):
            _get(transport, f"{server.url}/data.bin", limit=len(DATA))

    def test_bytes_after_the_announced_end_do_not_reach_the_next_answer(
        self, transport: Transport, server: FaultServer
    ) -> None:
        """What a host sends after the body is not taken for the next response on that connection."""
        server.fail("data.bin", Fault(unannounced=500, headers={"Content-Encoding": "identity"}))
        for _ in range(3):
            assert _get(transport, f"{server.url}/data.bin") == DATA
            assert _get(transport, f"{server.url}/text.json") == FILES["text.json"]

    def test_a_gzip_bomb_costs_no_memory(self, transport: Transport, server: FaultServer) -> None:
        """50 KB that unpack to 50 MB are refused at the limit, with about the limit in memory."""
        _get(transport, f"{server.url}/text.json")  # imports and caches
        assert (
            _get(transport, f"{server.url}/zeros.bin", limit=len(ZEROS)) == ZEROS
        )  # the host has it compressed now
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError):
                _get(transport, f"{server.url}/zeros.bin")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * 1024 * 1024


class TestDeadline:
    """The total deadline holds, whatever the host does to keep the socket alive."""

    @pytest.mark.parametrize("fetch", [_get, _into])
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
        assert _get(transport, f"{server.url}/data.bin") == DATA

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
            _get(transport, f"{server.url}/data.bin", seconds=0)
        time.sleep(0.1)
        assert server.requests == 0

    def test_a_host_that_says_nothing_hits_the_socket_timeout(self, server: FaultServer) -> None:
        """Without a drip the shorter socket timeout ends the wait, and its message says so."""
        server.fail("data.bin", Fault(hang=30))
        impatient = Transport(socket_timeout=0.2)
        with pytest.raises(FetchError, match="no answer in time"):
            _get(impatient, f"{server.url}/data.bin")
        impatient.close()


class TestBrokenBodies:
    """A body that is not whole is an error, or is caught by its digest."""

    @pytest.mark.parametrize("fetch", [_get, _into])
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
            _get(transport, f"{server.url}/data.bin")
        assert _get(transport, f"{server.url}/data.bin") == DATA

    def test_nobody_listens(self, transport: Transport, server: FaultServer) -> None:
        """A refused connection is a FetchError without a status."""
        server.close()
        with pytest.raises(FetchError, match="connection refused") as caught:
            _get(transport, f"{server.url}/data.bin")
        assert caught.value.status is None


class TestStatus:
    """What status codes mean."""

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_absent(self, transport: Transport, server: FaultServer, status: int) -> None:
        """403, 404 and 410 say that the file is not there for us."""
        server.fail("data.bin", Fault(status=status))
        with pytest.raises(NotFetchedError, match=f"HTTP {status}") as caught:
            _get(transport, f"{server.url}/data.bin")
        assert caught.value.status == status

    def test_missing_file(self, transport: Transport, server: FaultServer) -> None:
        """The short body of a 404 is never taken for the file."""
        with pytest.raises(NotFetchedError, match="/nothing: HTTP 404"):
            _get(transport, f"{server.url}/nothing")

    @pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 305, 400, 401, 418, 429, 500, 502, 503, 504])
    def test_everything_else_but_200_is_an_error(
        self, transport: Transport, server: FaultServer, status: int
    ) -> None:
        """Only 200 brings a body; the rest are FetchErrors with their status, and not 'absent'."""
        server.fail("data.bin", Fault(status=status))
        with pytest.raises(FetchError, match=f"HTTP {status}") as caught:
            _get(transport, f"{server.url}/data.bin")
        assert caught.value.status == status
        assert not isinstance(caught.value, NotFetchedError)

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("7", 7.0),
            (" 120 ", 120.0),
            ("0", 0.0),
            ("999999999", 3600.0),
            ("9" * 400, 3600.0),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("\u00b2", None),
            (None, None),
        ],
    )
    def test_retry_after(
        self, transport: Transport, server: FaultServer, header: str | None, seconds: float | None
    ) -> None:
        """Seconds are reported, bounded by an hour; whatever else a host writes there counts as absent."""
        server.fail(EVERY_PATH, Fault(status=429, headers={} if header is None else {"Retry-After": header}))
        with pytest.raises(FetchError, match="HTTP 429") as caught:
            _get(transport, f"{server.url}/data.bin")
        assert caught.value.retry_after == seconds
        assert ("asks to wait" in caught.value.hint) == (seconds is not None)


class TestRedirects:
    """Redirects are followed where they stay within HTTP and keep its security."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_followed(self, transport: Transport, server: FaultServer, status: int) -> None:
        """Relative redirects of every kind lead to the file."""
        server.fail("old", Fault(redirect="/data.bin", status=status))
        assert _get(transport, f"{server.url}/old") == DATA
        assert server.paths == ["old", "data.bin"]

    def test_to_another_host(self, transport: Transport, server: FaultServer) -> None:
        """From http to http on another host."""
        with FaultServer({"there": b"x"}.get) as other:
            server.fail("old", Fault(redirect=f"{other.url}/there"))
            assert _get(transport, f"{server.url}/old") == b"x"

    @pytest.mark.parametrize(
        "target",
        [
            "file:///etc/hostname",
            "ftp://127.0.0.1/data.bin",
            "javascript:alert(1)",
            "data:text/plain,x",
            "",
            "http://[bad",
            "http://[::1",
            "http://127.0.0.1:99999999/x",
            "http://" + "a" * 70 + ".example/x",
            "http://.example/",
        ],
    )
    def test_refused(self, transport: Transport, server: FaultServer, target: str) -> None:
        """Other schemes, no target and malformed targets end in a FetchError."""
        server.fail("old", Fault(redirect=target))
        with pytest.raises(FetchError):
            _get(transport, f"{server.url}/old")
        assert server.paths == ["old"]

    @pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/data.bin"])
    def test_another_scheme_is_named(self, transport: Transport, server: FaultServer, target: str) -> None:
        """The message says from which scheme to which."""
        server.fail("old", Fault(redirect=target))
        with pytest.raises(
            FetchError, match=f"redirects from http to {target.partition(':')[0]}, which is refused"
        ):
            _get(transport, f"{server.url}/old")

    def test_the_body_of_a_redirect_is_not_read(self, transport: Transport, server: FaultServer) -> None:
        """A redirect's body has no use, so none of its 50 MB is kept."""
        server.source = {"there": b"x"}.get
        server.fail("old", Fault(status=302, body=ZEROS, headers={"Location": "/there"}))
        tracemalloc.start()
        try:
            assert _get(transport, f"{server.url}/old") == b"x"
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        server.close()
        assert peak < 4 * 1024 * 1024
        assert server.bytes_sent < 20 * 1024 * 1024

    def test_loops_end(self, transport: Transport, server: FaultServer) -> None:
        """A loop ends after five redirects."""
        server.fail("a", Fault(redirect="/b"))
        server.fail("b", Fault(redirect="/a"))
        with pytest.raises(FetchError, match="more than 5 redirects"):
            _get(transport, f"{server.url}/a")
        assert server.requests == 6

    def test_an_error_behind_a_redirect_is_the_error(self, transport: Transport, server: FaultServer) -> None:
        """What the last hop says counts."""
        server.fail("old", Fault(redirect="/nothing"))
        with pytest.raises(NotFetchedError, match="/nothing"):
            _get(transport, f"{server.url}/old")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


class TestTls:
    """https, with a certificate made for the test."""

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[FaultServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with FaultServer(FILES.get, tls=context) as running:
            yield running

    def test_downgrade_is_refused(
        self,
        transport: Transport,
        server: FaultServer,
        secure: FaultServer,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """From https to http is refused, also as the second hop; http to https is followed."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        server.fail("up", Fault(redirect=f"{secure.url}/data.bin"))
        assert _get(transport, f"{server.url}/up") == DATA
        secure.fail("down", Fault(redirect=f"{server.url}/data.bin"))
        server.fail("updown", Fault(redirect=f"{secure.url}/down"))
        for url in (f"{secure.url}/down", f"{server.url}/updown"):
            with pytest.raises(FetchError, match="redirects from https to http, which is refused"):
                _get(transport, url)

    def test_an_unknown_certificate_is_refused(self, transport: Transport, secure: FaultServer) -> None:
        """Certificates are checked."""
        with pytest.raises(FetchError, match="the TLS certificate could not be verified"):
            _get(transport, f"{secure.url}/data.bin")


class TestPrivacy:
    """What must not leave, and what must not be shown."""

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(status=404),
            Fault(status=500),
            Fault(status=429, headers={"Retry-After": "3"}),
            Fault(pad=100_000),
            Fault(truncate=10),
            Fault(reset=True),
            Fault(reset=True, truncate=10),
            Fault(hang=30),
            Fault(redirect="file:///x?token=SECRET"),
            Fault(redirect="?token=SECRET"),
            Fault(redirect="http://user:SECRET@[bad/"),
            Fault(redirect="http://user:SECRET@127.0.0.1:1/?q=SECRET#SECRET"),
        ],
    )
    def test_messages_hold_no_credentials_and_no_query(
        self, transport: Transport, server: FaultServer, fault: Fault
    ) -> None:
        """Whatever goes wrong, user, password, query and fragment of a URL stay out of message and hint."""
        server.fail("data.bin", fault)
        url = f"http://user:SECRET@127.0.0.1:{server.port}/data.bin?token=SECRET#SECRET"
        with pytest.raises(FetchError) as caught:
            _get(transport, url, seconds=0.5)
        assert "SECRET" not in f"{caught.value} {caught.value.hint}"
        assert "user" not in f"{caught.value} {caught.value.hint}"

    def test_cookies_are_not_kept(self, transport: Transport, server: FaultServer) -> None:
        """A host cannot recognise a client: no cookie comes back, not even across redirects or threads."""
        server.fail("a", Fault(redirect="/data.bin", headers={"Set-Cookie": "id=1; Path=/"}))
        server.fail("data.bin", Fault(headers={"Set-Cookie": "id=2; Path=/"}))
        threads = [threading.Thread(target=_get, args=(transport, f"{server.url}/a")) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.requests == 24
        assert not [seen for seen in server.seen if "cookie" in seen.headers]

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://example.com/a/b", "https://example.com/a/b"),
            ("https://u:p@example.com:8443/a?x=1#y", "https://example.com:8443/a"),
            ("https://u:p@ss@example.com/a", "https://example.com/a"),
            ("http://u:p@[bad/?x", "a malformed URL"),
        ],
    )
    def test_shown(self, url: str, expected: str) -> None:
        """URLs as messages show them."""
        assert shown(url) == expected


def test_a_transport_serves_many_threads(transport: Transport, server: FaultServer) -> None:
    """Sixteen threads share one transport and each gets its own file."""
    files = {f"{n}.bin": random.Random(n).randbytes(3000) for n in range(64)}
    server.source = files.get
    results: dict[str, bytes] = {}

    def fetch(names: list[str]) -> None:
        for name in names:
            results[name] = _get(transport, f"{server.url}/{name}")

    threads = [threading.Thread(target=fetch, args=(sorted(files)[n::16],)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == files
