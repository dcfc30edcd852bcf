"""The network: the only module that touches `requests`.

Every body is bounded while it is read, every call has a total deadline (a slow drip does not extend it), redirects may not change
the scheme to anything weaker, and `Retry-After` is reported to the caller.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.auth import AuthBase

from registry_client.errors import FetchError, NotFetchedError, TooLargeError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

R = TypeVar("R")
_CHUNK = 32 * 1024
_MAX_REDIRECTS = 5
_MAX_RETRY_AFTER = 3600.0
_ABSENT: Final = frozenset({403, 404, 410})
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED = 304
_OK = 200
_NOT_PUBLIC: Final = "its address is a private one"
_PLATFORMS: Final = frozenset({"168.63.129.16"})  # Azure's, for the machines in it: GitHub's runners
UNRESOLVED: Final = "the host name could not be resolved"
"""Stands in the message of a `FetchError` where the name of the host is not known."""


class Deadline:
    """A point in time after which a call gives up."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - time.monotonic())


@dataclass(frozen=True)
class Body:
    """An answer.

    Attributes:
        data: the decoded bytes; empty if `not_modified`.
        etag: the entity tag, or None.
        not_modified: whether the host answered 304.
    """

    data: bytes
    etag: str | None
    not_modified: bool = False


@dataclass
class Usage:
    """What a transport has used so far."""

    requests: int = 0
    bytes: int = 0


class _NoCredentials(AuthBase):
    """Adds nothing. Without it requests looks into ~/.netrc, whose `default` goes to any host, and publishers choose hosts."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Give the request back as it is."""
        return r


class _PlainSession(requests.Session):
    """A session that leaves redirects alone: requests reads their bodies, unbounded, to find the target."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: `Transport` follows redirects itself."""


class _PublicConnection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn(), self)


class _PublicTLSConnection(urllib3.connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn(), self)


class _PublicAdapter(requests.adapters.HTTPAdapter):
    """Looks at the address that a host name has led to, after each redirect too, before anything is sent there."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        pools = {"http": _PublicPool, "https": _PublicTLSPool}
        self.poolmanager.pool_classes_by_scheme = pools


class _PublicPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicTLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PublicTLSConnection


def _public(connected: socket.socket, connection: urllib3.connection.HTTPConnection) -> socket.socket:
    """The socket, if the address at its other end is one of the internet's."""
    address = ipaddress.ip_address(str(connected.getpeername()[0]).partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_global and not address.is_multicast and str(address) not in _PLATFORMS:
        return connected
    connected.close()
    raise urllib3.exceptions.NewConnectionError(connection, _NOT_PUBLIC)


class Transport:
    """Bounded HTTP GETs.

    Args:
        user_agent: the User-Agent header.
        socket_timeout: seconds for connecting and between two receptions.
        public_only: ask nobody at a private address; a proxy, which sees the addresses in our place, decides for itself.
    """

    def __init__(
        self, user_agent: str = "plugin-registry", socket_timeout: float = 10.0, *, public_only: bool = False
    ) -> None:
        self._session = _PlainSession()
        if public_only:
            self._session.mount("http://", _PublicAdapter())
            self._session.mount("https://", _PublicAdapter())
        self._session.headers["User-Agent"] = user_agent
        self._session.auth = _NoCredentials()  # trust_env stays: it is where proxies and CA bundles come from
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._socket_timeout = socket_timeout
        self.usage = Usage()

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:
        """Fetch a small body into memory.

        Args:
            url: an http(s) URL.
            limit: largest accepted size in bytes, after decoding.
            deadline: when to give up.
            etag: answer `not_modified` if the host still has this entity tag.

        Raises:
            NotFetchedError: 403, 404 or 410. TooLargeError: over the limit.
            FetchError: anything else that is not a complete answer.
        """
        headers = {"Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag

        def work(cancelled: threading.Event) -> Body:
            with self._open(url, headers) as response:
                if response.status_code == _NOT_MODIFIED:
                    return Body(b"", etag, not_modified=True)
                parts = bytearray()
                for chunk in self._chunks(response, url, limit, cancelled):
                    parts += chunk
                return Body(bytes(parts), response.headers.get("ETag"))

        return _within(deadline, url, work)

    def get_into(self, url: str, sink: Callable[[bytes], object], *, limit: int, deadline: Deadline) -> None:
        """Fetch a large body piece by piece. `sink` is called from one other thread, in order.

        Raises:
            FetchError: as for `get`. What `sink` raises is passed on.
        """

        def work(cancelled: threading.Event) -> None:
            with self._open(url, {"Accept-Encoding": "identity"}) as response:
                for chunk in self._chunks(response, url, limit, cancelled):
                    sink(chunk)

        _within(deadline, url, work)

    def _open(self, url: str, headers: dict[str, str]) -> requests.Response:
        """A response with status 200 or 304 whose body is not read yet; redirects followed."""
        target = url
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(target, headers)
            if response.status_code not in _REDIRECTS:
                _check_status(response, target, conditional="If-None-Match" in headers)
                return response
            location = response.headers.get("Location", "")
            response.close()
            target = _redirected(target, location)
        raise FetchError(
            f"{shown(url)}: more than {_MAX_REDIRECTS} redirects", hint="Configure the final URL."
        )

    def _send(self, url: str, headers: dict[str, str]) -> requests.Response:
        self.usage.requests += 1
        try:
            response = self._session.get(
                url, headers=headers, stream=True, timeout=self._socket_timeout, allow_redirects=False
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as e:
            raise FetchError(f"{shown(url)}: {cause_of(e)}", hint="Check the URL and the network.") from e
        return response

    def _chunks(
        self, response: requests.Response, url: str, limit: int, cancelled: threading.Event
    ) -> Iterator[bytes]:
        """The decoded body. `read1` returns what has arrived, so that a drip cannot hold the deadline up."""
        received = 0
        raw = response.raw
        try:
            while not cancelled.is_set():
                chunk = raw.read1(_CHUNK, decode_content=True)
                if not chunk or cancelled.is_set():  # the caller has given up: leave its sink alone
                    break
                received += len(chunk)
                if received > limit:
                    raise TooLargeError(
                        f"{shown(url)}: the body is longer than the {limit} bytes allowed; reading stopped there"
                    )
                yield chunk
        except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as e:
            raise FetchError(f"{shown(url)}: the body broke off: {cause_of(e)}", hint="Try again.") from e
        finally:
            self.usage.bytes += received


def shown(url: str) -> str:
    """A URL as it may appear in messages: without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def cause_of(error: BaseException) -> str:
    """A short reason without object addresses."""
    text = str(error)
    for name, reason in (
        (_NOT_PUBLIC, f"{_NOT_PUBLIC}, and only public ones are asked"),
        ("NameResolutionError", UNRESOLVED),
        ("ConnectTimeout", "no connection in time"),
        ("timed out", "no answer in time"),
        ("Connection refused", "connection refused"),
        ("IncompleteRead", "fewer bytes than announced"),
        ("Connection reset", "connection reset"),
        ("RemoteDisconnected", "the host closed the connection without an answer"),
        ("CERTIFICATE_VERIFY_FAILED", "the TLS certificate could not be verified"),
    ):
        if name in text or name in type(error).__name__:
            return reason
    return type(error).__name__


def _check_status(response: requests.Response, url: str, *, conditional: bool) -> None:
    status = response.status_code
    if status == _OK or (status == _NOT_MODIFIED and conditional):
        return
    retry_after = _retry_after(response.headers.get("Retry-After"))
    response.close()
    if status in _ABSENT:
        raise NotFetchedError(f"{shown(url)}: HTTP {status}", status=status, hint="Check the URL.")
    hint = "Try again later." if status in _BUSY else "Check the URL."
    if retry_after is not None:
        hint = f"The host asks to wait {retry_after:.0f} seconds."
    raise FetchError(f"{shown(url)}: HTTP {status}", status=status, retry_after=retry_after, hint=hint)


def _retry_after(text: str | None) -> float | None:
    """Seconds out of a Retry-After header (RFC 9110 10.2.3; dates are treated as absent)."""
    if text is None or not re.fullmatch(r"\s*[0-9]+\s*", text):
        return None
    return min(float(text), _MAX_RETRY_AFTER)


def _redirected(url: str, location: str) -> str:
    """The redirect's target, if it keeps the scheme or goes from http to https."""
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url).scheme, urlsplit(target).scheme
    except ValueError as e:
        raise FetchError(
            f"{shown(url)}: redirects to a malformed URL", hint="Configure a URL that answers itself."
        ) from e
    if not location or (after != before and (before, after) != ("http", "https")):
        raise FetchError(
            f"{shown(url)}: redirects from {before} to {after or 'nowhere'}, which is refused",
            hint="Configure a URL that answers itself.",
        )
    return target


def _within(deadline: Deadline, url: str, work: Callable[[threading.Event], R]) -> R:
    """Run `work` in a thread and give up at the deadline, whatever it hangs in (DNS, TLS, headers, body)."""
    late = FetchError(
        f"{shown(url)}: not complete within the deadline",
        hint="The host is slow or stuck; try again or use a mirror.",
    )
    if not deadline.remaining():
        raise late
    cancelled = threading.Event()
    results: list[R] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(cancelled))
        except BaseException as e:  # noqa: BLE001  (handed to the caller's thread below)
            errors.append(e)

    thread = threading.Thread(target=run, daemon=True, name="registry-fetch")
    thread.start()
    thread.join(deadline.remaining())
    if thread.is_alive():
        cancelled.set()
        raise late
    if errors:
        raise errors[0]
    return results[0]
