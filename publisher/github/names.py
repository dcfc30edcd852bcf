"""How repositories on GitHub are named: `OWNER/REPO`, in URLs, and in the API's paths. Pure: loads no library."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_TOKEN_VARIABLE: Final = "GITHUB_TOKEN"  # noqa: S105  (the variable's name)
DEFAULT_SERVER_URL: Final = "https://github.com"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38})/[A-Za-z0-9._-]{1,100}")


def server_url(environ: Mapping[str, str]) -> str:
    """Base URL of the pages and repositories of the GitHub that the environment names, without a slash at its end."""
    return (environ.get("GITHUB_SERVER_URL") or DEFAULT_SERVER_URL).rstrip("/")


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
    name = url.removeprefix(server_url(environ) + "/").removesuffix("/").removesuffix(".git")
    return name if name != url and is_repository_name(name) else None


def repository_path(name: str, *parts: str | int) -> str:
    """The API's path below a repository; each part is quoted, slashes in refs and paths stay."""
    return "/".join([f"/repos/{quote(name)}", *(quote(str(part), safe="/") for part in parts)])


def check_api_url(url: str, token: str) -> str:
    """Give the base URL of an API back, without a slash at its end.

    Raises:
        ConfigError: it cannot be used, or would carry the token unencrypted.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or "@" in url or parts.query or parts.fragment:
        raise ConfigError(
            "GITHUB_API_URL is not an http(s) URL without credentials", hint="Unset it, or set it right."
        )
    if token and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(f"{url}: a token is not sent over http://", hint="Use https://.")
    return url.rstrip("/")
