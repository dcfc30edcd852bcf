"""GitHub's REST API: the only module that touches PyGithub.

PyGithub is the connection: it authenticates, keeps the pace that GitHub asks for, tries again, and knows GitHub Enterprise. Each call
is written out with its documented path (https://docs.github.com/en/rest), so that what goes over the wire is what stands in the code.

Three things PyGithub does otherwise than is needed here, and are done here: a renamed repository is followed with the whole query (a `ref`
that is lost on the way would read another commit) and for writes too; an answer has an end; and nobody waits for an hour.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from github import Auth, Github, GithubException, GithubRetry
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, RequestsResponse

from publisher.git_remote import TOKEN_VARIABLE
from publisher.github.answers import details_of, items_of, parse_answer, parse_error
from publisher.github.names import (
    check_api_url,
    check_repository_name,
    is_repository_name,
    repository_at,
    repository_path,
)
from registry_client.errors import ConfigError, GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JOB_TOKEN_VARIABLE: Final = "GITHUB_TOKEN"  # noqa: S105  (the variable's name)
DEFAULT_API_URL: Final = "https://api.github.com"
_VERSION: Final = "2022-11-28"
_SECONDS = re.compile(r"[0-9]{1,12}")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_TIMEOUT: Final = 30
_RETRIES: Final = 5
_LONGEST_WAIT: Final = 300
_PER_PAGE: Final = 100
_MOST_PAGES: Final = 100
_LARGEST_ANSWER: Final = 64 * 1024 * 1024
_PIECE: Final = 64 * 1024
_MOST_MOVES: Final = 3
_CUT_OFF_AGAIN: Final = 2
_REDIRECTED: Final = 300
_MOVED: Final = 301
_MOVES: Final = frozenset({302, 307, 308})
_NOT_MODIFIED: Final = 304
_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403
_ABSENT: Final = 404
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
    body = bytearray()
    with answer:
        try:
            for piece in answer.iter_content(_PIECE):
                body += piece
                if len(body) > _LARGEST_ANSWER:
                    raise ValueError(f"the answer has more than {_LARGEST_ANSWER} bytes")
        except OSError as e:  # retries are over by now: they end when the headers have come
            raise _CutOffError(str(e)) from e
    return _Response(answer, bytes(body))


class _Http(HTTPRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return _read(self)


class _Https(HTTPSRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        return _read(self)


@dataclass(frozen=True)
class Answer:
    """An answer to a request.

    Attributes:
        data: the parsed JSON; None where there was none.
        etag: its entity tag, empty if it had none.
        not_modified: whether GitHub answered 304, which does not count against the rate limit.
    """

    data: Any = field(repr=False)
    etag: str = ""
    not_modified: bool = False


class Api:
    """GitHub's API as one token sees it. Threads may share it.

    Args:
        token: empty for what everyone may read.
        url: the API's base URL; that of GitHub Enterprise ends in `/api/v3`.
        paced: keep a second between writes, as GitHub asks of those who make many.

    Raises:
        ConfigError: the URL or the token cannot be used.
    """

    def __init__(self, token: str, url: str = DEFAULT_API_URL, *, paced: bool = False) -> None:
        self.url = check_api_url(url, token)
        self._token = token
        if _CONTROL.search(token):
            raise ConfigError(
                "the token for GitHub's API holds a space, a line break or another control character",
                hint="Set the variable to the token alone.",
            )
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
            base_url=self.url,
            timeout=_TIMEOUT,
            user_agent="plugin-registry",
            retry=self._retry,
            seconds_between_requests=None,
            seconds_between_writes=1.0 if paced else None,
            api_version=_VERSION,
        ).requester

    def __repr__(self) -> str:
        return f"Api({self.url!r})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *variables: str, paced: bool = False) -> Api:
        """The API that GITHUB_API_URL names, with the token of the first of these variables that is set."""
        token = next((value for name in variables if (value := environ.get(name, "").strip())), "")
        return cls(token, environ.get("GITHUB_API_URL") or DEFAULT_API_URL, paced=paced)

    @property
    def has_token(self) -> bool:
        """Whether there is a token."""
        return bool(self._token)

    @property
    def remaining(self) -> int | None:
        """How many requests the rate limit leaves, as the last answer said; None where none said so."""
        left = self._requester.rate_limiting[0]
        return None if left < 0 else int(left)

    def get(self, path: str, **parameters: str | int) -> Any:
        """The JSON at a path.

        Raises:
            GitHubError: GitHub refuses, or cannot be reached. This goes for every request.
        """
        return self._request("GET", path, parameters=parameters).data

    def find(self, path: str, **parameters: str | int) -> Any | None:
        """The JSON at a path, or None where there is nothing (404)."""
        try:
            return self.get(path, **parameters)
        except GitHubError as e:
            if e.status == _ABSENT:
                return None
            raise

    def get_if_changed(self, path: str, etag: str, **parameters: str | int) -> Answer:
        """The JSON at a path, unless it is what that entity tag stands for."""
        headers = {"If-None-Match": etag} if etag else {}
        return self._request("GET", path, parameters=parameters, headers=headers)

    def pages(self, path: str, **parameters: str | int) -> Iterator[Any]:
        """Every item of a list that comes in pages."""
        for page in range(1, _MOST_PAGES + 1):
            items = self.get(path, **parameters, per_page=_PER_PAGE, page=page)
            yield from items_of(items)
            if len(items) < _PER_PAGE:
                return

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create something."""
        return self._request("POST", path, body=body).data

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something."""
        return self._request("PATCH", path, body=body).data

    def delete(self, path: str) -> None:
        """Delete something."""
        self._request("DELETE", path)

    def upload(self, upload_url: str, name: str, data: bytes, media_type: str) -> Any:
        """Upload an asset to the URL that its release names."""
        url = upload_url.partition("{")[0]
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        with self._translated("POST", url):
            _, answer = self._requester.requestMemoryBlobAndCheck(
                "POST", url, {"name": name}, headers, BytesIO(data)
            )
            return answer

    def _request(
        self,
        verb: str,
        path: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        with self._translated(verb, path):
            for again in range(_CUT_OFF_AGAIN, -1, -1):
                try:
                    status, answered, text = self._send(verb, path, parameters or {}, headers or {}, body)
                    break
                except _CutOffError:
                    if not again:
                        raise
            if status >= _REDIRECTED and status != _NOT_MODIFIED:
                raise GithubException(status, parse_error(text), dict(answered))
            etag = str(answered.get("etag", ""))
            return Answer(parse_answer(text), etag, not_modified=status == _NOT_MODIFIED)

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
            url = urljoin(f"{self.url}/", str(answered["location"]))
            if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
                raise RuntimeError(f"it redirects to another host, {urlsplit(url).hostname}")
            query = {} if urlsplit(url).query else dict(parameters)
        raise RuntimeError(f"it redirects more than {_MOST_MOVES} times")

    def _connection(self) -> _Http | _Https:
        """This thread's own: a connection remembers what it was asked last."""
        if not hasattr(self._connections, "own"):
            parts = urlsplit(self.url)
            kind = _Https if parts.scheme == "https" else _Http
            self._connections.own = kind(str(parts.hostname), parts.port, retry=self._retry, timeout=_TIMEOUT)
        own: _Http | _Https = self._connections.own
        return own

    @contextlib.contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        where = f"{verb} {urlsplit(path).path}"
        try:
            yield
        except GithubException as e:
            said = e.data.get("message") if isinstance(e.data, dict) else None
            details = e.data.get("errors") if isinstance(e.data, dict) else None
            text = f"{said or 'no message'}{details_of(details)}"
            raise GitHubError(
                f"GitHub refuses {where}: {self._scrubbed(text)} ({e.status})",
                status=e.status,
                hint=_hint(e),
            ) from None
        # An OSError is what requests raises; PyGithub raises the others at answers it does not expect.
        except (OSError, RuntimeError, ValueError, AssertionError, TypeError, KeyError, AttributeError) as e:
            raise GitHubError(
                f"GitHub's API does not answer {where} at {urlsplit(self.url).netloc}: "
                f"{type(e).__name__}: {self._scrubbed(str(e))}",
                hint="Try again; https://www.githubstatus.com says whether it is GitHub.",
            ) from None

    def _scrubbed(self, text: str) -> str:
        text = text.replace(self._token, "***") if self._token else text
        return re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f]", " ", text))[:500]


def _hint(error: GithubException) -> str:
    status = error.status
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    if status == _TOO_MANY or (status == _FORBIDDEN and limited):
        return "GitHub's rate limit is reached: try again later; with a token it is higher than without."
    if status == _UNAUTHORISED:
        return f"The token is not valid (any more): set {TOKEN_VARIABLE} to a new one."
    if status in {_FORBIDDEN, _ABSENT}:
        return "The repository does not exist, or the token may not do this: see the permissions that docs/operations.md lists."
    return ""


__all__ = [
    "JOB_TOKEN_VARIABLE",
    "TOKEN_VARIABLE",
    "Answer",
    "Api",
    "check_repository_name",
    "is_repository_name",
    "repository_at",
    "repository_path",
]
