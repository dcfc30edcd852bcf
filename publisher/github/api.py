"""GitHub's REST API: the only module that touches PyGithub.

PyGithub is the connection: it authenticates, keeps the pace that GitHub asks for, waits as `Retry-After` and the rate-limit headers say,
follows renamed repositories, and knows GitHub Enterprise. Each call is written out here with its documented path
(https://docs.github.com/en/rest), so that what goes over the wire is what stands in the code.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from github import Auth, Github, GithubException, GithubRetry

from publisher.git_remote import TOKEN_VARIABLE
from registry_client.errors import ConfigError, GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JOB_TOKEN_VARIABLE: Final = "GITHUB_TOKEN"  # noqa: S105  (the variable's name)
DEFAULT_API_URL: Final = "https://api.github.com"
DEFAULT_SERVER_URL: Final = "https://github.com"
_VERSION: Final = "2022-11-28"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38})/[A-Za-z0-9._-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_TIMEOUT: Final = 30
_RETRIES: Final = 5
_LONGEST_WAIT: Final = 300
_PER_PAGE: Final = 100
_MOST_PAGES: Final = 100
_NOT_MODIFIED: Final = 304
_FAILED: Final = 400
_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403
_ABSENT: Final = 404


def is_repository_name(text: str) -> bool:
    """Whether a text reads as `OWNER/REPO`."""
    return _NAME.fullmatch(text) is not None and text.partition("/")[2] not in {".", ".."}


def check_repository_name(text: str, option: str) -> str:
    """Give `OWNER/REPO` back.

    Raises:
        ConfigError: it is something else.
    """
    if not is_repository_name(text):
        raise ConfigError(f"{option}: {text[:120]!r} is not OWNER/REPO", hint="For example acme/registry.")
    return text


def repository_at(url: str, environ: Mapping[str, str]) -> str | None:
    """`OWNER/REPO` if a Git URL is one on the GitHub that the environment names, else None."""
    server = environ.get("GITHUB_SERVER_URL") or DEFAULT_SERVER_URL
    name = url.removeprefix(server.rstrip("/") + "/").removesuffix("/").removesuffix(".git")
    return name if name != url and is_repository_name(name) else None


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
    """GitHub's API as one token sees it.

    Args:
        token: empty for what everyone may read.
        url: the API's base URL; that of GitHub Enterprise ends in `/api/v3`.
        paced: keep a second between writes, as GitHub asks of those who make many.

    Raises:
        ConfigError: the URL or the token cannot be used.
    """

    def __init__(self, token: str, url: str = DEFAULT_API_URL, *, paced: bool = False) -> None:
        self.url = _check_url(url, token)
        self._token = token
        if _CONTROL.search(token):
            raise ConfigError(
                "the token for GitHub's API holds a space, a line break or another control character",
                hint="Set the variable to the token alone.",
            )
        retry = GithubRetry(
            total=_RETRIES,
            backoff_factor=0.5,
            max_rate_limit_wait=_LONGEST_WAIT,
            retry_after_max=_LONGEST_WAIT,
            status_forcelist=[429, *range(500, 600)],
            allowed_methods={"GET", "POST", "PATCH", "PUT", "DELETE"},
        )
        self._requester = Github(
            auth=Auth.Token(token) if token else None,
            base_url=self.url,
            timeout=_TIMEOUT,
            user_agent="plugin-registry",
            retry=retry,
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
            yield from items
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
            status, answered, text = self._requester.requestJson(
                verb,
                path,
                dict(parameters or {}),
                {"Accept": "application/vnd.github+json", **(headers or {})},
                body,
            )
            if status >= _FAILED:
                raise GithubException(status, _loads(text), dict(answered))
            etag = str(answered.get("etag", ""))
            return Answer(_loads(text), etag, not_modified=status == _NOT_MODIFIED)

    @contextlib.contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        where = f"{verb} {urlsplit(path).path}"
        try:
            yield
        except GithubException as e:
            said = e.data.get("message") if isinstance(e.data, dict) else None
            details = e.data.get("errors") if isinstance(e.data, dict) else None
            text = f"{said or 'no message'}{_details(details)}"
            raise GitHubError(
                f"GitHub refuses {where}: {self._scrubbed(text)} ({e.status})",
                status=e.status,
                hint=_hint(e.status),
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


def repository_path(name: str, *parts: str | int) -> str:
    """The API's path below a repository; each part is quoted, slashes in refs and paths stay."""
    return "/".join([f"/repos/{quote(name)}", *(quote(str(part), safe="/") for part in parts)])


def _loads(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("the answer is not JSON") from None


def _details(errors: Any) -> str:
    """What a 422 says about single fields."""
    if not isinstance(errors, list):
        return ""
    said = [
        str(e.get("message") or f"{e.get('field', '')} {e.get('code', '')}")
        if isinstance(e, dict)
        else str(e)
        for e in errors
    ]
    return f": {'; '.join(said)}" if said else ""


def _hint(status: int) -> str:
    if status == _UNAUTHORISED:
        return f"The token is not valid (any more): set {TOKEN_VARIABLE} to a new one."
    if status in {_FORBIDDEN, _ABSENT}:
        return "The repository does not exist, or the token may not do this: see the permissions that docs/operations.md lists."
    return ""


def _check_url(url: str, token: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or "@" in url:
        raise ConfigError(
            "GITHUB_API_URL is not an http(s) URL without credentials", hint="Unset it, or set it right."
        )
    if token and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"{url}: a token is not sent over http://", hint="Use https://.")
    return url.rstrip("/")


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
