"""The connection to GitHub's API: the only module that touches PyGithub.

PyGithub authenticates, keeps the pace that GitHub asks for, waits as `Retry-After` and the rate-limit headers say, and knows GitHub
Enterprise. Three things it does otherwise than is needed here: a renamed repository is followed with the whole query (a `ref` that
is lost on the way would read another commit), for writes too, and on the same host alone; an answer has an end; nobody waits for an hour.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from github import Auth, Github, GithubException, GithubRetry
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, RequestsResponse

from publisher.github.answers import parse_error

if TYPE_CHECKING:
    from collections.abc import Mapping

Refusal = GithubException
"""An answer that refuses: `status`, `data` and `headers`."""

_VERSION: Final = "2022-11-28"
# PyGithub prints to stderr by itself; what is worth saying, our errors say.
logging.getLogger("github").handlers.clear()
_SECONDS = re.compile(r"[0-9]{1,12}")
_TIMEOUT: Final = 30
_RETRIES: Final = 5
_LONGEST_WAIT: Final = 300
_LARGEST_ANSWER: Final = 64 * 1024 * 1024
_LONGEST_ANSWER: Final = 120
_PIECE: Final = 64 * 1024
_MOST_MOVES: Final = 3
_CUT_OFF_AGAIN: Final = 2
_REDIRECTED: Final = 300
_MOVED: Final = 301
_MOVES: Final = frozenset({302, 307, 308})
NOT_MODIFIED: Final = 304
_TOO_MANY: Final = 429


class _CutOffError(OSError):
    """An answer ended before its end."""


class _Retry(GithubRetry):
    """When to try again: not before GitHub wants to be asked, and not at all if that is too long to wait for."""

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds that GitHub asks for; it says so in one of two ways."""
        headers = response.headers
        asked, reset = str(headers.get("Retry-After", "")), str(headers.get("X-RateLimit-Reset", ""))
        if _SECONDS.fullmatch(asked):
            return int(asked)
        if (
            response.status == _TOO_MANY
            and headers.get("X-RateLimit-Remaining") == "0"
            and _SECONDS.fullmatch(reset)
        ):
            return max(int(reset) - time.time(), 0) + 1
        return None

    def increment(
        self,
        method: Any = None,
        url: Any = None,
        response: Any = None,
        error: Any = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Any:
        """Count an attempt."""
        seconds = self.get_retry_after(response) if response is not None else None
        if seconds is not None and seconds > _LONGEST_WAIT:
            response.drain_conn()
            said = {"message": f"it asks to be left alone for {seconds:.0f} seconds"}
            raise GithubException(response.status, said, dict(response.headers))
        return super().increment(method, url, response, error, _pool, _stacktrace)


class _Response(RequestsResponse):
    """An answer, read whole. One that says the repository has moved is left to us: PyGithub would lose the query."""

    def __init__(self, answer: Any, body: bytes) -> None:
        super().__init__(answer)
        self._body = body
        if self.status == _MOVED:
            self.status = 308

    def read(self) -> str:
        return self._body.decode("utf-8", "replace")


def _read(connection: HTTPRequestsConnectionClass | HTTPSRequestsConnectionClass) -> _Response:
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    answer = connection.session.request(
        connection.verb,
        f"{connection.protocol}://{host}:{connection.port}{connection.url}",
        headers=connection.headers,
        data=connection.input,
        timeout=connection.timeout,
        verify=connection.verify,
        allow_redirects=False,
        stream=True,
    )
    with answer:
        return _Response(answer, _read_body(answer.raw))


def _read_body(raw: Any) -> bytes:
    end, body = time.monotonic() + _LONGEST_ANSWER, bytearray()
    while piece := _read_piece(raw):
        body += piece
        if len(body) > _LARGEST_ANSWER:
            raise ValueError(f"the answer has more than {_LARGEST_ANSWER} bytes")
        if time.monotonic() > end:
            raise ValueError(f"the answer has not ended after {_LONGEST_ANSWER} seconds")
    return bytes(body)


def _read_piece(raw: Any) -> bytes:
    """What has come so far: `read1` does not wait for more, so that a drip does not hold anybody up."""
    try:
        piece: bytes = raw.read1(_PIECE, decode_content=True)
    except (
        Exception
    ) as e:  # urllib3 has several; retries are over by now: they end when the headers have come
        raise _CutOffError(str(e)) from e
    return piece


class _Http(HTTPRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return _read(self)


class _Https(HTTPSRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return _read(self)


class Connection:
    """GitHub's API as one token sees it.

    Args:
        token: empty for what everyone may read.
        url: the API's base URL.
        paced: keep a second between writes.
    """

    def __init__(self, token: str, url: str, *, paced: bool) -> None:
        self._url = url
        self._retry = _Retry(
            total=_RETRIES,
            backoff_factor=0.5,
            max_rate_limit_wait=_LONGEST_WAIT,
            status_forcelist=[_TOO_MANY, *range(500, 600)],
            allowed_methods={"GET", "POST", "PATCH", "PUT", "DELETE"},
            raise_on_status=False,  # so that the last answer, and what it says, is what is reported
        )
        self._connections = threading.local()
        self._requester = Github(
            auth=Auth.Token(token) if token else None,
            base_url=url,
            timeout=_TIMEOUT,
            user_agent="plugin-registry",
            retry=self._retry,
            seconds_between_requests=None,
            seconds_between_writes=1.0 if paced else None,
            api_version=_VERSION,
        ).requester

    @property
    def remaining(self) -> int | None:
        """How many requests the rate limit leaves, as the last answer said; None where none said so."""
        left = self._requester.rate_limiting[0]
        return None if left < 0 else int(left)

    def send(
        self,
        verb: str,
        path: str,
        parameters: Mapping[str, str | int],
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None,
    ) -> tuple[int, dict[str, Any], str]:
        """Status (200 to 299, or 304), headers and text of an answer. One that is cut off is asked for again.

        Raises:
            Refusal: any other status. OSError, RuntimeError, ValueError: no answer, or none that is to be expected.
        """
        for again in range(_CUT_OFF_AGAIN, -1, -1):
            try:
                status, answered, text = self._send(verb, path, parameters, headers, body)
                break
            except _CutOffError:
                if not again:
                    raise
        if status >= _REDIRECTED and status != NOT_MODIFIED:
            raise Refusal(status, parse_error(text), dict(answered))
        return status, answered, text

    def upload(self, url: str, name: str, data: bytes, media_type: str) -> Any:
        """Upload a file; the parsed answer. Raises as `send` does."""
        own, there = urlsplit(self._url), urlsplit(url)
        known = {own.hostname, f"uploads.{str(own.hostname).removeprefix('api.')}"}
        if (
            there.scheme != own.scheme or there.hostname not in known
        ):  # PyGithub would send the token over http:// too
            raise RuntimeError(f"it wants uploads at another host, {there.scheme}://{there.hostname}")
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        return self._requester.requestMemoryBlobAndCheck("POST", url, {"name": name}, headers, BytesIO(data))[
            1
        ]

    def _send(
        self,
        verb: str,
        path: str,
        parameters: Mapping[str, str | int],
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None,
    ) -> tuple[int, dict[str, Any], str]:
        """Ask, and ask where GitHub says that the repository is now."""
        url, query = path, dict(parameters)
        for _ in range(_MOST_MOVES + 1):
            accepted = {"Accept": "application/vnd.github+json", **headers}
            status, answered, text = self._requester.requestJson(
                verb, url, query, accepted, body, cnx=self._connection()
            )
            if status not in _MOVES or "location" not in answered:
                return status, answered, text
            url = urljoin(f"{self._url}/", str(answered["location"]))
            if urlsplit(url)[:2] != urlsplit(self._url)[:2]:
                raise RuntimeError(f"it redirects to another host, {urlsplit(url).hostname}")
            query = {} if urlsplit(url).query else dict(parameters)
        raise RuntimeError(f"it redirects more than {_MOST_MOVES} times")

    def _connection(self) -> _Http | _Https:
        """This thread's own: a connection remembers what it was asked last."""
        if not hasattr(self._connections, "own"):
            parts = urlsplit(self._url)
            kind = _Https if parts.scheme == "https" else _Http
            self._connections.own = kind(str(parts.hostname), parts.port, retry=self._retry, timeout=_TIMEOUT)
        own: _Http | _Https = self._connections.own
        return own
