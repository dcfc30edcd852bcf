"""The network: bounded GETs.

Every body is bounded while it is read, every call has a total deadline (a slow drip does not extend it), redirects may not change
the scheme to anything weaker, and `Retry-After` is reported to the caller. Connections are made by `registry_client.connections`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import requests
import urllib3

from registry_client.answers import UNRESOLVED, cause_of, check_status, continues
from registry_client.connections import Connections, Route, prepared
from registry_client.credentials import Credentials
from registry_client.deadline import Deadline, Watch, watched, within
from registry_client.errors import FetchError, TooLargeError
from registry_client.urls import redirected, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONNECT: Final = 3.5
"""Seconds for a connection: the third attempt of TCP falls within."""
_CHUNK = 32 * 1024
_MAX_REDIRECTS = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED = 304
_OK = 200
_LONGEST_REST = 16 * 1024
_HEADWAY: Final = 64 * 1024
"""Bytes that count as headway: with `hosts.PATIENCE`, the least speed of a host that others can be asked instead of."""
_AUTHORIZATION = "Authorization"
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


class Transport:
    """Bounded HTTP GETs.

    Args:
        user_agent: the User-Agent header.
        socket_timeout: seconds between two receptions, and for connecting where that is less than `CONNECT`.
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
        self._credentials = credentials or Credentials()
        self._connections = Connections(self._credentials, public_only=public_only)
        self._headers = {"User-Agent": user_agent, "Accept": "*/*"}
        self._timeout = urllib3.Timeout(connect=min(CONNECT, socket_timeout), read=socket_timeout)
        self.usage = Usage()

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

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

        def work(call: Watch) -> Body:
            with contextlib.closing(self._open(url, headers, call)) as response:
                if response.status == _NOT_MODIFIED:
                    self._let_go(response)
                    return Body(b"", etag, not_modified=True)
                parts = bytearray()
                for chunk in self._chunks(response, url, limit, call):
                    parts += chunk
                return Body(bytes(parts), response.headers.get("ETag"))

        return watched(deadline, url, work)

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
        """Fetch a large body piece by piece. `sink` and `begin` are called in order, and take their own time.

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

        def work(call: Watch) -> None:
            response, start = self._open_at(url, offset if offset < limit else 0, call)
            with contextlib.closing(response):
                if begin is not None and not call.cancelled.is_set():
                    begin(start)
                for chunk in self._chunks(response, url, limit, call, start):
                    sink(chunk)

        watched(deadline, url, work)

    def _open_at(self, url: str, offset: int, call: Watch) -> tuple[urllib3.BaseHTTPResponse, int]:
        """A response, and the offset at which its body begins."""
        plain = {"Accept-Encoding": "identity"}
        if offset > 0:
            response = self._open(url, {**plain, "Range": f"bytes={offset}-"}, call)
            if response.status == _OK:
                return response, 0
            if continues(response, offset):
                return response, offset
            response.close()  # another part than was asked for, or none: the whole instead
        return self._open(url, plain, call), 0

    def _open(self, url: str, headers: Mapping[str, str], call: Watch) -> urllib3.BaseHTTPResponse:
        """A response whose status answers these headers and whose body is not read yet; redirects followed."""
        target = url
        for _ in range(_MAX_REDIRECTS + 1):
            response, authorised = self._send(target, headers, call)
            try:
                if response.status not in _REDIRECTS:
                    check_status(response, target, headers, authorised=authorised)
                    return response
                target = redirected(target, response.headers.get("Location", ""))
            except FetchError:
                self._let_go(response)
                raise
            self._let_go(response)
        raise FetchError(
            f"{shown(url)}: more than {_MAX_REDIRECTS} redirects", hint="Configure the final URL."
        )

    def _send(
        self, url: str, headers: Mapping[str, str], call: Watch
    ) -> tuple[urllib3.BaseHTTPResponse, bool]:
        """A response, and whether the request carried what authorises it. Nothing but what stands here is sent: no netrc, no cookies."""
        self.usage.requests += 1
        sent = {**self._headers, **headers}
        try:
            target = prepared(url)
            value = self._credentials.header_for(target)  # judged by the URL that is connected to
            if value is not None:
                sent[_AUTHORIZATION] = value
            route = self._connections.route(target, call.deadline)
            asked = _whole(target) if route.forwarded else _path(target)
            if route.watched:
                response = self._ask(route, asked, sent)
            else:
                response = within(call.deadline, url, lambda _: self._ask(route, asked, sent))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as e:
            raise FetchError(f"{shown(url)}: {cause_of(e)}", hint="Check the URL and the network.") from e
        call.hold(response.shutdown)
        return response, value is not None

    def _ask(self, route: Route, asked: str, sent: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """A response as it comes. Redirects are left alone: others would read their bodies, unbounded."""
        return route.pool.urlopen(
            "GET",
            asked,
            headers=sent,
            timeout=self._timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )

    def _let_go(self, response: urllib3.BaseHTTPResponse) -> None:
        """Be done with a response whose body says nothing; a short one is read, so that its connection can be used again."""
        length = response.headers.get("Content-Length", "")
        short = length.isdecimal() and int(length) <= _LONGEST_REST and not response.chunked
        try:
            if short or response.status == _NOT_MODIFIED:
                self.usage.bytes += len(response.read(_LONGEST_REST, decode_content=False))
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            pass  # it was not wanted anyway
        finally:
            response.close()

    def _chunks(
        self,
        response: urllib3.BaseHTTPResponse,
        url: str,
        limit: int,
        call: Watch,
        start: int = 0,
    ) -> Iterator[bytes]:
        """The decoded body. `read1` returns what has arrived, so that a drip cannot hold the deadline up."""
        received = 0
        try:
            while not call.cancelled.is_set():
                chunk = response.read1(_CHUNK, decode_content=True)
                if not chunk or call.cancelled.is_set():  # the caller has given up: leave its sink alone
                    break
                before, received = received, received + len(chunk)
                if start + received > limit:
                    raise TooLargeError(
                        f"{shown(url)}: the body is longer than the {limit} bytes allowed; reading stopped there"
                    )
                if before // _HEADWAY != received // _HEADWAY:
                    call.deadline.headway()
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise FetchError(f"{shown(url)}: the body broke off: {cause_of(e)}", hint="Try again.") from e
        finally:
            self.usage.bytes += received


def _path(url: str) -> str:
    """What is asked of the host itself: path and query."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _whole(url: str) -> str:
    """What a proxy is asked for: all but credentials and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
