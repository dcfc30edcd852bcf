"""What the transport makes of answers: status codes, redirects, TLS, and what it keeps to itself."""

from __future__ import annotations

import ssl
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from support.certificates import make_certificate
from support.fetching import DATA, FILES, ZEROS, get
from support.httpd import EVERY_PATH, Fault, FaultServer

from registry_client.errors import FetchError, NotFetchedError
from registry_client.http import Transport, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(FILES.get) as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(socket_timeout=5.0)
    yield made
    made.close()


class TestStatus:
    """What status codes mean."""

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_absent(self, transport: Transport, server: FaultServer, status: int) -> None:
        """403, 404 and 410 say that the file is not there for us."""
        server.fail("data.bin", Fault(status=status))
        with pytest.raises(NotFetchedError, match=f"HTTP {status}") as caught:
            get(transport, f"{server.url}/data.bin")
        assert caught.value.status == status

    def test_missing_file(self, transport: Transport, server: FaultServer) -> None:
        """The short body of a 404 is never taken for the file."""
        with pytest.raises(NotFetchedError, match="/nothing: HTTP 404"):
            get(transport, f"{server.url}/nothing")

    @pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 305, 400, 401, 418, 429, 500, 502, 503, 504])
    def test_everything_else_but_200_is_an_error(
        self, transport: Transport, server: FaultServer, status: int
    ) -> None:
        """Only 200 brings a body; the rest are FetchErrors with their status, and not 'absent'."""
        server.fail("data.bin", Fault(status=status))
        with pytest.raises(FetchError, match=f"HTTP {status}") as caught:
            get(transport, f"{server.url}/data.bin")
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
            get(transport, f"{server.url}/data.bin")
        assert caught.value.retry_after == seconds
        assert ("asks to wait" in caught.value.hint) == (seconds is not None)


class TestRedirects:
    """Redirects are followed where they stay within HTTP and keep its security."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_followed(self, transport: Transport, server: FaultServer, status: int) -> None:
        """Relative redirects of every kind lead to the file."""
        server.fail("old", Fault(redirect="/data.bin", status=status))
        assert get(transport, f"{server.url}/old") == DATA
        assert server.paths == ["old", "data.bin"]

    def test_to_another_host(self, transport: Transport, server: FaultServer) -> None:
        """From http to http on another host."""
        with FaultServer({"there": b"x"}.get) as other:
            server.fail("old", Fault(redirect=f"{other.url}/there"))
            assert get(transport, f"{server.url}/old") == b"x"

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
            get(transport, f"{server.url}/old")
        assert server.paths == ["old"]

    @pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/data.bin"])
    def test_another_scheme_is_named(self, transport: Transport, server: FaultServer, target: str) -> None:
        """The message says from which scheme to which."""
        server.fail("old", Fault(redirect=target))
        with pytest.raises(
            FetchError, match=f"redirects from http to {target.partition(':')[0]}, which is refused"
        ):
            get(transport, f"{server.url}/old")

    def test_the_body_of_a_redirect_is_not_read(self, transport: Transport, server: FaultServer) -> None:
        """A redirect's body has no use, so none of its 50 MB is kept."""
        server.source = {"there": b"x"}.get
        server.fail("old", Fault(status=302, body=ZEROS, headers={"Location": "/there"}))
        tracemalloc.start()
        try:
            assert get(transport, f"{server.url}/old") == b"x"
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
            get(transport, f"{server.url}/a")
        assert server.requests == 6

    def test_an_error_behind_a_redirect_is_the_error(self, transport: Transport, server: FaultServer) -> None:
        """What the last hop says counts."""
        server.fail("old", Fault(redirect="/nothing"))
        with pytest.raises(NotFetchedError, match="/nothing"):
            get(transport, f"{server.url}/old")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, with its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


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
        assert get(transport, f"{server.url}/up") == DATA
        secure.fail("down", Fault(redirect=f"{server.url}/data.bin"))
        server.fail("updown", Fault(redirect=f"{secure.url}/down"))
        for url in (f"{secure.url}/down", f"{server.url}/updown"):
            with pytest.raises(FetchError, match="redirects from https to http, which is refused"):
                get(transport, url)

    def test_an_unknown_certificate_is_refused(self, transport: Transport, secure: FaultServer) -> None:
        """Certificates are checked."""
        with pytest.raises(FetchError, match="the TLS certificate could not be verified"):
            get(transport, f"{secure.url}/data.bin")


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
            get(transport, url, seconds=0.5)
        assert "SECRET" not in f"{caught.value} {caught.value.hint}"
        assert "user" not in f"{caught.value} {caught.value.hint}"

    def test_cookies_are_not_kept(self, transport: Transport, server: FaultServer) -> None:
        """A host cannot recognise a client: no cookie comes back, not even across redirects or threads."""
        server.fail("a", Fault(redirect="/data.bin", headers={"Set-Cookie": "id=1; Path=/"}))
        server.fail("data.bin", Fault(headers={"Set-Cookie": "id=2; Path=/"}))
        threads = [threading.Thread(target=get, args=(transport, f"{server.url}/a")) for _ in range(12)]
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
