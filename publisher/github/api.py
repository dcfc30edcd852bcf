"""GitHub's REST API.

PyGithub is the connection: it authenticates, keeps the pace that GitHub asks for, tries again, and knows GitHub Enterprise. Each call
is written out with its documented path (https://docs.github.com/en/rest), so that what goes over the wire is what stands in the code.

`connection.py` does what PyGithub would do otherwise.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from publisher.git_remote import TOKEN_VARIABLE
from publisher.github.answers import details_of, items_of, parse_answer
from publisher.github.connection import NOT_MODIFIED, Connection, Refusal
from publisher.github.names import (
    JOB_TOKEN_VARIABLE,
    check_api_url,
    check_repository_name,
    is_repository_name,
    repository_at,
    repository_path,
)
from registry_client.errors import ConfigError, GitHubError
from registry_client.http import cause_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_API_URL: Final = "https://api.github.com"
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_PER_PAGE: Final = 100
_MOST_PAGES: Final = 100
_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403
_ABSENT: Final = 404
_TOO_MANY: Final = 429


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
        variable: the environment variable that holds the token, for messages.
        paced: keep a second between writes, as GitHub asks of those who make many.

    Raises:
        ConfigError: the URL or the token cannot be used.
    """

    def __init__(
        self,
        token: str,
        url: str = DEFAULT_API_URL,
        *,
        paced: bool = False,
        variable: str = TOKEN_VARIABLE,
    ) -> None:
        self.url = check_api_url(url, token)
        self._token = token
        self._variable = variable
        if _CONTROL.search(token):
            raise ConfigError(
                "the token for GitHub's API holds a space, a line break or another control character",
                hint="Set the variable to the token alone.",
            )
        self._connection = Connection(token, self.url, paced=paced)

    def __repr__(self) -> str:
        return f"Api({self.url!r})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *variables: str, paced: bool = False) -> Api:
        """The API that GITHUB_API_URL names, with the token of the first of these variables that is set."""
        known = variables or (TOKEN_VARIABLE,)
        name = next((name for name in known if environ.get(name, "").strip()), known[0])
        url = environ.get("GITHUB_API_URL") or DEFAULT_API_URL
        return cls(environ.get(name, "").strip(), url, paced=paced, variable=name)

    @property
    def has_token(self) -> bool:
        """Whether there is a token."""
        return bool(self._token)

    @property
    def remaining(self) -> int | None:
        """How many requests the rate limit leaves, as the last answer said; None where none said so."""
        return self._connection.remaining

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
        with self._translated("POST", url):
            return self._connection.upload(url, name, data, media_type)

    def _request(
        self,
        verb: str,
        path: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        accepted = {"Accept": "application/vnd.github+json", **(headers or {})}
        with self._translated(verb, path):
            status, answered, text = self._connection.send(verb, path, parameters or {}, accepted, body)
            etag = str(answered.get("etag", ""))
            return Answer(parse_answer(text), etag, not_modified=status == NOT_MODIFIED)

    @contextlib.contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        where = f"{verb} {urlsplit(path).path}"
        try:
            yield
        except Refusal as e:
            said = e.data.get("message") if isinstance(e.data, dict) else None
            details = e.data.get("errors") if isinstance(e.data, dict) else None
            text = f"{said or 'no message'}{details_of(details)}"
            raise GitHubError(
                f"GitHub refuses {where}: {self._scrubbed(text)} ({e.status})",
                status=e.status,
                hint=_hint(e, self._variable, has_token=self.has_token),
            ) from None
        # An OSError is what requests raises; PyGithub raises the others at answers it does not expect.
        except (OSError, RuntimeError, ValueError, AssertionError, TypeError, KeyError, AttributeError) as e:
            raise GitHubError(
                f"GitHub's API does not answer {where} at {urlsplit(self.url).netloc}: "
                f"{self._scrubbed(_reason(e))}",
                hint="Check the network and GITHUB_API_URL, and try again; https://www.githubstatus.com says whether it is GitHub.",
            ) from None

    def _scrubbed(self, text: str) -> str:
        text = text.replace(self._token, "***") if self._token else text
        return re.sub(r"\s+", " ", re.sub(r"[\x00-\x1f\x7f]", " ", text))[:500]


def _reason(error: Exception) -> str:
    """A short reason; what has none of the usual ones says it itself."""
    known = cause_of(error)
    return known if known != type(error).__name__ else f"{known}: {error}"


def _hint(error: Refusal, variable: str, *, has_token: bool) -> str:
    status = error.status
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    if status == _TOO_MANY or (status == _FORBIDDEN and limited):
        return "GitHub's rate limit is reached: try again later; with a token it is higher than without."
    if status in {_UNAUTHORISED, _FORBIDDEN, _ABSENT} and not has_token:
        return f"No token was given: set {variable}. In a workflow, a secret that does not exist is an empty text."
    if status == _UNAUTHORISED:
        return f"The token is not valid (any more): set {variable} to a new one."
    if status in {_FORBIDDEN, _ABSENT}:
        return (
            f"The repository does not exist, or the token in {variable} may not do this. For the job's own token, see 'permissions' in the "
            "workflow; for others, docs/operations.md lists the permissions."
        )
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
