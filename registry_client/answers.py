"""What the head of an answer says, and why there was none. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from registry_client.errors import FetchError, NotFetchedError
from registry_client.urls import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

_OK = 200
_PARTIAL = 206
_NOT_MODIFIED = 304
_MAX_RETRY_AFTER = 3600.0
_ABSENT: Final = frozenset({403, 404, 410})
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NO_SUCH_RANGE = 416
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_GIVE: Final = "give a read token in PLUGIN_REGISTRY_READ_TOKEN, or by 'auth' in plugins.toml, and name further hosts in auth-hosts."
_WANTED: Final = f"The host wants to know who asks: {_GIVE}"
_REFUSED: Final = (
    "The host refuses the token that it was sent: it is wrong, has expired, or may not read this."
)
NOT_PUBLIC: Final = "its address is a private one"
"""Stands in a cause where only public addresses are asked."""
UNRESOLVED: Final = "the host name could not be resolved"
"""Stands in the message of a `FetchError` where the name of the host is not known."""


def cause_of(error: BaseException) -> str:
    """A short reason without object addresses."""
    text = str(error)
    for name, reason in (
        (NOT_PUBLIC, f"{NOT_PUBLIC}, and only public ones are asked"),
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


def check_status(
    response: urllib3.BaseHTTPResponse, url: str, headers: Mapping[str, str], *, authorised: bool
) -> None:
    """Accept an answer with what was asked for.

    Args:
        response: the answer.
        url: where it came from.
        headers: what was sent: only a question for changes can be answered 304, only one for a part 206 and 416.
        authorised: whether a token was sent along.

    Raises:
        NotFetchedError: 403, 404 or 410. FetchError: any other status without what was asked for.
    """
    status = response.status
    if status == _OK or (status == _NOT_MODIFIED and "If-None-Match" in headers):
        return
    if status in {_PARTIAL, _NO_SUCH_RANGE} and "Range" in headers:
        return
    retry_after = _retry_after(response.headers.get("Retry-After"))
    if status in _ABSENT:
        hint = _absent_hint(status, url, authorised=authorised)
        raise NotFetchedError(f"{shown(url)}: HTTP {status}", status=status, hint=hint)
    hint = "Try again later." if status in _BUSY else "Check the URL."
    if status == _UNAUTHORIZED:
        hint = _REFUSED if authorised else _WANTED
    if retry_after is not None:
        hint = f"The host asks to wait {retry_after:.0f} seconds."
    raise FetchError(f"{shown(url)}: HTTP {status}", status=status, retry_after=retry_after, hint=hint)


def _absent_hint(status: int, url: str, *, authorised: bool) -> str:
    """What to do. Hosts say of private files, to who may not read them, that there are none."""
    if authorised:
        return "Check the URL, and that the token may read it."
    if "/metadata/" in url or status == _FORBIDDEN:
        return f"Check the URL. If the registry is private: {_GIVE}"
    return "Check the URL."


def continues(response: urllib3.BaseHTTPResponse, offset: int) -> bool:
    """Whether a response is the rest of a body, from exactly this offset to its end."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    coded = response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}
    if response.status != _PARTIAL or match is None or coded:
        return False
    first, last, total = (None if text == "*" else int(text) for text in match.groups())
    return first == offset and last is not None and last >= first and (total is None or last == total - 1)


def _retry_after(text: str | None) -> float | None:
    """Seconds out of a Retry-After header (RFC 9110 10.2.3; dates are treated as absent)."""
    if text is None or not re.fullmatch(r"\s*[0-9]+\s*", text):
        return None
    return min(float(text), _MAX_RETRY_AFTER)
