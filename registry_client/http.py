"""The network: the only module that touches `requests`.

Every body is bounded while it is read, every call has a total deadline (a slow drip does not extend it), redirects may not change
the scheme to anything weaker, and `Retry-After` is reported to the caller.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.auth import AuthBase

from registry_client.answers import NOT_PUBLIC, UNRESOLVED, cause_of, check_status, continues
from registry_client.credentials import Credentials
from registry_client.deadline import Deadline, within
from registry_client.errors import FetchError, TooLargeError
from registry_client.urls import redirected, shown

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable, Iterator, Mapping

_CHUNK = 32 * 1024
_MAX_REDIRECTS = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED = 304
_OK = 200
_AUTHORIZATION = "Authorization"
_PLATFORMS: Final = frozenset({"168.63.129.16"})  # Azure's, for the machines in it: GitHub's runners
__all__ = ["UNRESOLVED", "Body", "Deadline", "Transport", "Usage", "cause_of", "shown"]


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


class _Named(AuthBase):
    """Adds what the owner gave for exactly the origin that a request goes to, and nothing else.

    Without it requests looks into ~/.netrc, whose `default` goes to any host, and publishers choose hosts.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header. Judged by the URL as it was prepared: that one is connected to."""
        value = self._credentials.header_for(r.url or "")
        if value is not None:
            r.headers[_AUTHORIZATION] = value
        return r


class _PlainSession(requests.Session):
    """A session that leaves redirects alone: requests reads their bodies, unbounded, to find the target."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self.auth = _Named(credentials)  # trust_env stays: it is where proxies and CA bundles come from
        self._credentials = credentials

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: `Transport` follows redirects itself."""

    def merge_environment_settings(self, url: Any, *settings: Any) -> Any:
        """Those of the base class, but no proxy where a token goes over http: it is for this machine only."""
        merged = super().merge_environment_settings(url, *settings)
        if str(url).startswith("http:") and self._credentials.header_for(str(url)) is not None:
            merged["proxies"] = {}
        return merged


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
    raise urllib3.exceptions.NewConnectionError(connection, NOT_PUBLIC)


class Transport:
    """Bounded HTTP GETs.

    Args:
        user_agent: the User-Agent header.
        socket_timeout: seconds for connecting and between two receptions.
        public_only: ask nobody at a private address; a proxy, which sees the addresses in our place, decides for itself.
        credentials: what is sent to whom; by default nothing to anybody.
    """

    def __init__(
        self,
        user_agent: str = "plugin-registry",
        socket_timeout: float = 10.0,
        *,
        public_only: bool = False,
        credentials: Credentials | None = None,
    ) -> None:
        self._session = _PlainSession(credentials or Credentials())
        if public_only:
            self._session.mount("http://", _PublicAdapter())
            self._session.mount("https://", _PublicAdapter())
        self._session.headers["User-Agent"] = user_agent
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._socket_timeout = socket_timeout
        self.usage = Usage()

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def get(
        self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None, accept: str | None = None
    ) -> Body:
        """Fetch a small body into memory.

        Args:
            url: an http(s) URL.
            limit: largest accepted size in bytes, after decoding.
            deadline: when to give up.
            etag: answer `not_modified` if the host still has this entity tag.
            accept: the media type that the host is asked for, where it has several.

        Raises:
            NotFetchedError: 403, 404 or 410. TooLargeError: over the limit.
            FetchError: anything else that is not a complete answer.
        """
        headers = {"Accept-Encoding": "gzip"}
        if accept:
            headers["Accept"] = accept
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

        return within(deadline, url, work)

    def get_into(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        limit: int,
        deadline: Deadline,
        offset: int = 0,
        begin: Callable[[int], object] | None = None,
    ) -> None:
        """Fetch a large body piece by piece. `sink` and `begin` are called from one other thread, in order.

        Args:
            url: an http(s) URL.
            sink: takes the pieces.
            limit: largest accepted size of the whole in bytes, what the caller has already included.
            deadline: when to give up.
            offset: how many bytes the caller has; the host is asked for the rest.
            begin: told before the first piece at which offset it belongs: `offset`, or 0 where the host sends the whole.

        Raises:
            FetchError: as for `get`. What `sink` and `begin` raise is passed on.
        """

        def work(cancelled: threading.Event) -> None:
            response, start = self._open_at(url, offset if offset < limit else 0)
            with response:
                if begin is not None and not cancelled.is_set():
                    begin(start)
                for chunk in self._chunks(response, url, limit, cancelled, start):
                    sink(chunk)

        within(deadline, url, work)

    def _open_at(self, url: str, offset: int) -> tuple[requests.Response, int]:
        """A response, and the offset at which its body begins."""
        plain = {"Accept-Encoding": "identity"}
        if offset > 0:
            response = self._open(url, {**plain, "Range": f"bytes={offset}-"})
            if response.status_code == _OK:
                return response, 0
            if continues(response, offset):
                return response, offset
            response.close()  # another part than was asked for, or none: the whole instead
        return self._open(url, plain), 0

    def _open(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        """A response whose status answers these headers and whose body is not read yet; redirects followed."""
        target = url
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(target, headers)
            if response.status_code not in _REDIRECTS:
                check_status(response, target, headers)
                return response
            location = response.headers.get("Location", "")
            response.close()
            target = redirected(target, location)
        raise FetchError(
            f"{shown(url)}: more than {_MAX_REDIRECTS} redirects", hint="Configure the final URL."
        )

    def _send(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        self.usage.requests += 1
        try:
            response = self._session.get(
                url, headers=dict(headers), stream=True, timeout=self._socket_timeout, allow_redirects=False
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as e:
            asked = getattr(e, "request", None)
            if asked is not None:  # who reports errors with all that hangs on them shall find no token there
                asked.headers.pop(_AUTHORIZATION, None)
            raise FetchError(f"{shown(url)}: {cause_of(e)}", hint="Check the URL and the network.") from e
        return response

    def _chunks(
        self, response: requests.Response, url: str, limit: int, cancelled: threading.Event, start: int = 0
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
                if start + received > limit:
                    raise TooLargeError(
                        f"{shown(url)}: the body is longer than the {limit} bytes allowed; reading stopped there"
                    )
                yield chunk
        except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as e:
            raise FetchError(f"{shown(url)}: the body broke off: {cause_of(e)}", hint="Try again.") from e
        finally:
            self.usage.bytes += received
