"""Git URLs, refs and folders as plugins.toml states them. Pure: starts nothing.

A URL holds no credential. Encrypted ways to a host only; without encryption only what never leaves this machine.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

_MAX_URL = 2000
_MAX_REF = 200
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?![/:-])[^:@]+")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9a-fA-F:]+")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\"<>^`{|}]")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NOT_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")


def is_commit(ref: str) -> bool:
    """Whether a ref is a commit in full, rather than a tag."""
    return _COMMIT.fullmatch(ref) is not None


def check_git_url(text: str) -> str:
    """Give a Git URL back.

    Raises:
        ValueError: not one of https, ssh, file, `user@host:path`, or http on this machine; or it carries a password.
    """
    expected = "expected an https://, ssh:// or file:// URL, or user@host:path"
    if len(text) > _MAX_URL or _FORBIDDEN.search(text) or text.startswith("-"):
        raise ValueError(f"{expected}, got {_shown(text)!r}")
    if "://" not in text:
        if not _SHORT_FORM.fullmatch(text):
            raise ValueError(f"{expected}, got {_shown(text)!r}")
        return text
    try:
        parts = urlsplit(text)
        good = _host_is_good(parts)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{expected}, got {_shown(text)!r}")
    _check_credentials(parts)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"{_shown(text)!r} is not encrypted; expected https://")
    return text


def _host_is_good(parts: SplitResult) -> bool:
    if "::" in parts.scheme or parts.query or parts.fragment:
        return False
    if parts.scheme == "file":
        return not parts.netloc and parts.path.startswith("/")
    _ = parts.port  # raises ValueError outside 0-65535
    known = parts.scheme in {"https", "http", "ssh"}
    return known and _HOST.fullmatch(parts.hostname or "") is not None and len(parts.path) > 1


def _check_credentials(parts: SplitResult) -> None:
    user, at, _ = parts.netloc.rpartition("@")
    if at and not (parts.scheme == "ssh" and _USER.fullmatch(user)):
        raise ValueError(
            f"the URL for {parts.hostname!r} carries credentials; expected one without, Git's credential helper has them"
        )


def check_git_ref(text: str) -> str:
    """Give back the name of a tag, by the rules of `git check-ref-format`.

    Raises:
        ValueError: it is none, or could be taken for an option.
    """
    wrong = _NOT_IN_REFS.search(text) or text.startswith(("-", ".", "/")) or text.endswith((".", "/"))
    if not text or wrong or text == "@" or len(text) > _MAX_REF:
        raise ValueError(f"expected the name of a Git tag, got {text[:80]!r}")
    return text


def check_commit(text: str) -> str:
    """Give a full commit id back.

    Raises:
        ValueError: it is none.
    """
    if not is_commit(text):
        raise ValueError(
            f"expected a commit in full, 40 or 64 hexadecimal digits in lower case; got {text[:80]!r}"
        )
    return text


def check_folder(text: str) -> str:
    """Give back the path of a folder in a repository: plain names, `/` between them.

    Raises:
        ValueError: absolute, or it leaves the repository.
    """
    parts = text.split("/")
    bad = any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts)
    if bad or len(text) > _MAX_REF or re.search(r"[\x00-\x1f\x7f\\:]", text):
        raise ValueError(f"expected a folder in the repository such as 'plugins/x', got {text[:80]!r}")
    return text


def repository_name(url: str, subdirectory: str = "") -> str:
    """What a plugin out of this repository may be called: the last part of the folder, else of the URL."""
    last = re.split(r"[/:]", (subdirectory or url).rstrip("/"))[-1]
    return last.removesuffix(".git")


def protocols(url: str) -> str:
    """What Git may use for this URL, as GIT_ALLOW_PROTOCOL: the owner's own settings may turn https into ssh and back."""
    scheme = urlsplit(url).scheme if "://" in url else "ssh"
    return {"file": "file", "http": "http:https:ssh"}.get(scheme, "https:ssh")


def _shown(text: str) -> str:
    return re.sub(r".*@", "***@", text, flags=re.DOTALL)[:80]
