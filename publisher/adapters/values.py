"""Values that other forms write differently: versions, ranges, authors, addresses, licences. Pure."""

from __future__ import annotations

import re
from typing import Any

from publisher.adapters.draft import Draft, below, misfit, show
from registry_client.models.base import ShortText, Url
from registry_client.models.manifest import Author
from registry_client.names import check_range, check_version

ANY = ">=0"
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_VERSION = re.compile(
    rf"[vV]?{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?(?:[-._]?(alpha|beta|rc|a|b|c)(?:[-._]?{_NUMBER})?)?"
)
_STAGES = {"a": "alpha", "b": "beta", "c": "rc"}
_CARET = re.compile(rf"([\^~])\s*{_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?")
_PERSON = re.compile(r"([^<>()]*?)\s*(?:<([^<>]*)>)?\s*(?:\(([^()]*)\))?")
_SCP = re.compile(r"(?:ssh://)?git@([A-Za-z0-9.-]+)[:/]([A-Za-z0-9._~/-]+)")
_EVERYWHERE = frozenset({"", "*", "any", "all", "latest", "x"})
_PLATFORMS = {"windows": "win32", "win": "win32", "macos": "darwin", "osx": "darwin", "mac": "darwin"}
_LICENCES = {
    "gplv2 or later": "GPL-2.0-or-later",
    "gpl v2 or later": "GPL-2.0-or-later",
    "gpl-2.0+": "GPL-2.0-or-later",
    "gpl2+": "GPL-2.0-or-later",
    "gplv2": "GPL-2.0-only",
    "gpl v2": "GPL-2.0-only",
    "gpl2": "GPL-2.0-only",
    "gplv3 or later": "GPL-3.0-or-later",
    "gpl v3 or later": "GPL-3.0-or-later",
    "gpl-3.0+": "GPL-3.0-or-later",
    "gplv3": "GPL-3.0-only",
    "gpl v3": "GPL-3.0-only",
    "gpl3": "GPL-3.0-only",
    "apache 2.0": "Apache-2.0",
}


def put_version(draft: Draft, value: Any, path: str) -> None:
    """Set `version`: as it stands, or in the registry's spelling where there is only one."""
    if value is None:
        return
    try:
        draft.raw["version"] = check_version(value if isinstance(value, str) else "")
    except ValueError:
        made = normal_version(value) if isinstance(value, str) else None
        if made is None:
            draft.problem(path, f"expected a version X.Y.Z or X.Y.Z-(alpha|beta|rc).N, found {show(value)}")
            return
        draft.raw["version"] = made
        draft.note(path, f"{value[:80]!r} is read as {made}")


def normal_version(text: str) -> str | None:
    """`1.0.0` out of `v1.0`, `1.0.0-beta.1` out of `1.0.0b1`; None where that would be guessing."""
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    major, minor, patch, stage, number = match.groups()
    release = f"{major}.{minor or 0}.{patch or 0}"
    return release if stage is None else f"{release}-{_STAGES.get(stage, stage)}.{number or 0}"


def normal_range(text: str) -> str:
    """A range out of a range, or of npm's `^1.2` and `~1.2`; `*` is any version.

    Raises:
        ValueError: it is none of them.
    """
    text = text.strip().strip(",")
    if text.lower() in _EVERYWHERE:
        return ANY
    caret = _CARET.fullmatch(text)
    if caret is not None:
        return _caret(*caret.groups())
    return check_range(re.sub(r"(?<=[0-9A-Za-z*])\s+(?=[<>=!~])", ",", text))


def _caret(sign: str, major: str, minor: str | None, patch: str | None) -> str:
    low = f"{major}.{minor or 0}.{patch or 0}"
    if sign == "~":
        high = f"{major}.{int(minor) + 1}" if minor is not None else f"{int(major) + 1}"
    elif major != "0" or minor is None:
        high = str(int(major) + 1)
    else:
        high = f"0.{int(minor) + 1}" if minor != "0" or patch is None else f"0.0.{int(patch) + 1}"
    return f">={low},<{high}"


def take_range(draft: Draft, value: Any, path: str) -> str | None:
    """A range, or None and a problem."""
    if value is None:
        return None
    try:
        made = normal_range(value) if isinstance(value, str) else ""
        if made:
            if made != value:
                draft.note(path, f"{value[:80]!r} is read as '{made}'")
            return made
    except ValueError:
        pass
    draft.problem(path, f"expected a range such as '>=1.0,<2', found {show(value)}")
    return None


def both(first: str | None, second: str | None) -> str | None:
    """The range that is in both, each clause once."""
    clauses = [clause.strip() for text in (first, second) if text for clause in text.split(",")]
    kept = [clause for clause in dict.fromkeys(clauses) if clause != ANY]
    return ",".join(kept) if kept else (ANY if clauses else None)


def bound(draft: Draft, sign: str, value: Any, path: str) -> str | None:
    """`>=1.0.0` out of `1.0.0`; None and a problem if that is no version."""
    if value is None:
        return None
    try:
        return check_range(f"{sign}{value.strip()}" if isinstance(value, str) else "")
    except ValueError:
        draft.problem(path, f"expected a version such as '1.0', found {show(value)}")
        return None


def put_author(draft: Draft, value: Any, path: str, *, email: Any = None, url: Any = None) -> None:
    """Set `author` out of an object, `Name <mail> (URL)`, or the first of a list of these."""
    if isinstance(value, list):
        for number, _ in enumerate(value[1:], 1):
            draft.note(below(path, number), "the registry's manifest names one author; left out")
        value, path = (value[0], below(path, 0)) if value else (None, path)
    person: dict[str, Any] = {}
    if isinstance(value, str):
        match = _PERSON.fullmatch(value.strip()) if len(value) <= 500 else None  # noqa: PLR2004
        name, mail, page = match.groups() if match else (value, None, None)
        person = {"name": name.strip() or mail, "email": mail, "url": page}
    elif isinstance(value, dict):
        person = {name: value.get(name) for name in ("name", "email", "url")}
        person["name"] = person["name"] or person["email"]
        draft.leave_out(value, person, path, "manifest")
    elif value is not None:
        draft.note(path, f"left out: expected a name, found {show(value)}")
    person = {"name": None, **person}
    person["email"], person["url"] = person.get("email") or email, person.get("url") or url
    _finish_author(draft, person, path)


def _finish_author(draft: Draft, person: dict[str, Any], path: str) -> None:
    for member, kind in (("email", ShortText), ("url", Url)):
        reason = None if person[member] is None else misfit(kind, person[member])
        if reason is not None:
            draft.note(below(path, member), f"left out: {reason}")
            person[member] = None
    person["name"] = person["name"] or person["email"]
    author = {name: value for name, value in person.items() if value is not None}
    if author:
        draft.carry("author", Author, author, path)


def put_url(draft: Draft, member: str, value: Any, path: str) -> None:
    """Set a member that is a URL; addresses for Git become those of pages."""
    if isinstance(value, dict):
        draft.leave_out(value, {"type", "url"}, path, "manifest")
        value, path = value.get("url"), below(path, "url")
    if not isinstance(value, str):
        if value is not None:
            draft.note(path, f"left out: expected a URL, found {show(value)}")
        return
    text = value.strip().removeprefix("git+")
    scp = _SCP.fullmatch(text)
    if scp is not None:
        text = f"https://{scp[1]}/{scp[2].lstrip('/')}"
    elif text.startswith("git://"):
        text = f"https://{text.removeprefix('git://')}"
    if misfit(Url, text) is None:
        draft.raw.setdefault(member, text)
    elif text:  # not shown: it may carry credentials
        draft.note(path, "left out: expected an absolute https:// URL without credentials")


def put_license(draft: Draft, value: Any, path: str) -> None:
    """Set `license`, well-known wordings as SPDX identifiers."""
    if isinstance(value, dict):
        step = next((step for step in ("type", "name", "text", "id") if value.get(step)), "type")
        value, path = value.get(step), below(path, step)
    if isinstance(value, str):
        made = _LICENCES.get(" ".join(value.split()).lower(), value.strip())
        if made != value:
            draft.note(path, f"{value[:80]!r} is written as {made[:80]!r}")
        value = made
    draft.carry("license", ShortText, value, path)


def texts(draft: Draft, value: Any, path: str, kind: Any) -> list[str]:
    """The texts of a list, each once; others are named and left out. A text with commas is a list, too."""
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",")]
    if not isinstance(value, list):
        if value is not None:
            draft.note(path, f"left out: expected a list of texts, found {show(value)}")
        return []
    found: dict[str, None] = {}
    for number, item in enumerate(value):
        reason = misfit(kind, item)
        if reason is None:
            found[item] = None
        elif item != "":
            draft.note(below(path, number), f"left out: {reason}")
    return list(found)


def platforms(draft: Draft, value: Any, path: str) -> list[str]:
    """Platforms as `sys.platform` names them; none for any."""
    found: dict[str, None] = {}
    for item in texts(draft, value, path, ShortText):
        name = _PLATFORMS.get(item.lower(), item)
        if name.lower() in _EVERYWHERE:
            return []
        if name != item:
            draft.note(path, f"{item!r} is written as {name!r}, as sys.platform says it")
        found[name] = None
    return list(found)


__all__ = [
    "ANY",
    "both",
    "bound",
    "normal_range",
    "normal_version",
    "platforms",
    "put_author",
    "put_license",
    "put_url",
    "put_version",
    "take_range",
    "texts",
]
