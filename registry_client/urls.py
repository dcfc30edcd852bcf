"""What a URL says: the part of it that messages show, its origin, and where a redirect may lead. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from registry_client.errors import ConfigError, FetchError

Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""
LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine, to which http is as good as https."""
_PORTS: Final = {"http": 80, "https": 443}


def shown(url: str) -> str:
    """A URL as it may appear in messages: without credentials, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def origin_of(url: str) -> Origin | None:
    """The origin of an http(s) URL; None for any other text, and for a URL that carries credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def redirected(url: str, location: str) -> str:
    """The redirect's target, if it keeps the scheme or goes from http to https.

    Raises:
        FetchError: it does not, or there is none.
    """
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


def check_base_url(url: str) -> str:
    """Give a base URL back without its trailing slash.

    Raises:
        ConfigError: not http(s), or it carries credentials.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        url.encode()  # arguments that are no UTF-8 hold lone surrogates
    except ValueError:  # brackets or a port that are none, or no text
        known = False
    if not known:
        raise ConfigError(
            f"{url.rpartition('@')[2][:200]!r} is not a registry URL",
            hint="Give an https:// URL, such as the raw URL of a branch.",
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"the registry URL for {parts.hostname} carries credentials", hint="Take them out of the URL."
        )
    return url.rstrip("/")
