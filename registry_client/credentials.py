"""Who is sent a read token: exactly the origins that the owner named, over a connection that keeps it secret.

The only module that reads netrc files and keyrings, and both only when it is asked to. It reads no environment, and shows no
secret: not in messages, not in `repr`.
"""

from __future__ import annotations

import base64
import netrc
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from registry_client.errors import ConfigError
from registry_client.urls import LOCAL, check_base_url, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry_client.urls import Origin

KEYRING_USER: Final = "plugin-registry"
"""The user name under which a keyring holds a registry's token, where no other is given."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,2048}")
_HEADER = re.compile(r"[\x21-\x7e]+ [\x21-\x7e]+")
_HOST = re.compile(
    r"(?P<name>[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(:(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)
_ASCII = re.compile(r"[\x21-\x7e]+")
_LARGEST_PORT = 65_535


class Credentials(Mapping["Origin", str]):
    """The value of the Authorization header for each origin that gets one. Immutable.

    Args:
        headers: values by origin, which is scheme, host in lower case and port.

    Raises:
        ConfigError: an origin would be sent its value in clear text, or a value cannot stand in a header.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[Origin, str] | None = None) -> None:
        made = dict(headers or {})
        for (scheme, host, port), value in made.items():
            if scheme != "https" and not (scheme == "http" and host in LOCAL):
                raise ConfigError(
                    f"{scheme}://{host}:{port}: a token would be sent there in clear text",
                    hint="Use an https:// URL; http is accepted for localhost only.",
                )
            if not _HEADER.fullmatch(value):
                raise ConfigError(f"{host}: the value to authorise with cannot stand in a header")
        self._headers = MappingProxyType(made)

    def __getitem__(self, origin: Origin) -> str:
        return self._headers[origin]

    def __iter__(self) -> Iterator[Origin]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(f'{s}://{h}:{p}' for s, h, p in self._headers)})"

    def header_for(self, url: str) -> str | None:
        """The value for a request to exactly this URL, or None."""
        origin = origin_of(url)
        return None if origin is None else self._headers.get(origin)


def from_token(url: str, token: str, also: Sequence[str] = ()) -> Credentials:
    """A read token that the caller has, sent as `Bearer`.

    Args:
        url: the registry's base URL; its origin is sent the token.
        token: the token.
        also: further hosts that are sent it, `host` or `host:port`.

    Raises:
        ConfigError: not a token, a host that is none, or it would be sent in clear text.
    """
    if not _TOKEN.fullmatch(token):
        what = "empty" if not token else "not one word of printable ASCII characters"
        raise ConfigError(
            f"the token for {_host_of(url)} is {what}",
            hint="Set it again, without quotes, blanks and line breaks.",
        )
    return _for_all(url, also, f"Bearer {token}")


def from_netrc(url: str, path: Path | None = None, also: Sequence[str] = ()) -> Credentials:
    """User and password that a netrc file has for exactly the registry's host, sent as `Basic`. `default` is never used.

    Args:
        url: the registry's base URL; its origin is sent them.
        path: the file; by default ~/.netrc, which nobody else may be able to read.
        also: further hosts that are sent them, `host` or `host:port`.

    Raises:
        ConfigError: the file cannot be read, or has no such entry.
    """
    host = _host_of(url)
    login, password = _netrc_entry(host, path)
    shown = path or "~/.netrc"
    if not password:
        raise ConfigError(f"{shown}: the entry for {host} has no password", hint="Add it: password TOKEN.")
    if ":" in login or not _PRINTABLE.fullmatch(login) or not _PRINTABLE.fullmatch(password):
        raise ConfigError(f"{shown}: the entry for {host} has a login or password that cannot be sent")
    pair = base64.b64encode(f"{login}:{password}".encode()).decode("ascii")
    return _for_all(url, also, f"Basic {pair}")


def from_keyring(url: str, username: str = KEYRING_USER, also: Sequence[str] = ()) -> Credentials:
    """The token that the system's keyring holds for the registry's host, sent as `Bearer`.

    Args:
        url: the registry's base URL; its host is the name of the service, and its origin is sent the token.
        username: the user name in the keyring.
        also: further hosts that are sent it, `host` or `host:port`.

    Raises:
        ConfigError: there is no keyring, or nothing for that host in it.
    """
    host = _host_of(url)
    try:
        import keyring  # noqa: PLC0415  (an extra)
    except ImportError as e:
        raise ConfigError(
            "the library that reads keyrings is not installed", hint="pip install 'plugin-registry[keyring]'"
        ) from e
    failed = ""
    token = None
    try:
        token = keyring.get_password(host, username)
    except Exception as e:  # noqa: BLE001  (a backend is any program; what it raises may hold what it read)
        failed = type(e).__name__
    if failed:
        raise ConfigError(
            f"the keyring could not be read ({failed})",
            hint='Unlock it, or give the token in PLUGIN_REGISTRY_READ_TOKEN with auth = "env".',
        )
    if not token:
        raise ConfigError(
            f"the keyring has no token for {host} and user {username!r}",
            hint=f"keyring set {host} {username}",
        )
    return from_token(url, token, also)


def _host_of(url: str) -> str:
    """The host of a base URL.

    Raises:
        ConfigError: not a base URL, or it is not written in ASCII.
    """
    return _origin(url)[1]


def _origin(url: str) -> Origin:
    origin = origin_of(check_base_url(url))
    if origin is None or not _ASCII.fullmatch(origin[1]):
        raise ConfigError(
            "the host or port of the registry URL is malformed, so it is sent no token",
            hint="Write the host in ASCII (xn--…) and the port as a number.",
        )
    return origin


def _for_all(url: str, also: Sequence[str], value: str) -> Credentials:
    origins = [_origin(url), *(origin for host in also for origin in _named(host))]
    return Credentials(dict.fromkeys(origins, value))


def _named(host: str) -> list[Origin]:
    """The origins of `host` or `host:port`: https, and on this machine http."""
    match = _HOST.fullmatch(host)
    if match is None or not 0 < int(match["port"] or 443) <= _LARGEST_PORT:
        raise ConfigError(
            f"{host.rpartition('@')[2][:100]!r}: expected a host that is sent the token, as host or host:port",
            hint="Write it without https:// and path, such as artifacts.example or artifacts.example:8443.",
        )
    name = match["name"].lower().strip("[]")
    schemes = ("http", "https") if name in LOCAL else ("https",)
    return [(s, name, int(match["port"] or {"http": 80, "https": 443}[s])) for s in schemes]


def _netrc_entry(host: str, path: Path | None) -> tuple[str, str]:
    """Login and password for a host."""
    shown = path or "~/.netrc"
    problem = ""
    try:
        hosts = (netrc.netrc() if path is None else netrc.netrc(path.expanduser())).hosts
    except netrc.NetrcParseError as e:
        # Raised outside: what the parser says of a line holds words of it, and any of them may be a password.
        problem = e.msg if e.lineno is None else f"line {e.lineno} is not what a netrc file may hold"
    except (OSError, UnicodeError, RuntimeError) as e:  # RuntimeError: no home directory
        problem = f"it cannot be read ({getattr(e, 'strerror', None) or type(e).__name__})"
    if problem:
        raise ConfigError(
            f"{shown}: {problem}", hint="Set the file right, or choose another 'auth' for the registry."
        )
    entry = hosts.get(host) if host != "default" else None
    if entry is None:
        raise ConfigError(
            f"{shown} has no entry for {host}",
            hint=f"Add one: machine {host} login NAME password TOKEN. A 'default' entry is not used.",
        )
    return entry[0], entry[2] or ""


__all__ = ["KEYRING_USER", "Credentials", "from_keyring", "from_netrc", "from_token"]
