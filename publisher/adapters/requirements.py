"""Python requirements: lists of PEP 508 texts, and pip's requirements.txt."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from publisher.adapters.draft import Draft, below, misfit, show
from publisher.adapters.files import SourceFiles, inner_path, read_text
from registry_client.errors import ConfigError
from registry_client.models.base import ShortText

REQUIREMENTS = "requirements.txt"
_MAX_FILES = 20
_MAX_REQUIREMENTS = 500
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTION = re.compile(r"\s--?[a-z][a-z-]*")
_INCLUDE = re.compile(r"(?:-r|--requirement)[ =]?\s*(.+)")
_CONSTRAINT = re.compile(r"(?:-c|--constraint)\b")
_DIRECT = re.compile(r"(?:[a-z+]+://|git\+|\.{0,2}/|\.$|file:)|.*\.(?:whl|zip|tar\.gz)$", re.IGNORECASE)


def packages_of(draft: Draft, value: Any, path: str) -> list[str]:
    """The requirements of a list; what is none is a problem, as nothing would install it."""
    if isinstance(value, dict):
        value = [
            f"{name}{'' if text in {'*', ''} else text}"
            for name, text in value.items()
            if isinstance(text, str)
        ]
    if not isinstance(value, list):
        if value is not None:
            draft.problem(path, f"expected a list of requirements, found {show(value)}")
        return []
    found: dict[str, None] = {}
    for number, item in enumerate(value):
        made = _requirement(draft, item, below(path, number))
        if made is not None:
            found[made] = None
    return list(found)


def _requirement(draft: Draft, item: Any, path: str) -> str | None:
    """A requirement as it stands; None and a note, or a problem, where it cannot be one."""
    text = item.strip() if isinstance(item, str) else ""
    try:
        parsed = Requirement(text)
    except (InvalidRequirement, RecursionError):
        draft.problem(path, f"expected a PEP 508 requirement such as 'httpx>=0.27', found {show(item)}")
        return None
    if parsed.url is not None:  # not shown: it may carry credentials
        draft.note(path, f"left out: {parsed.name} is required from a URL, which no registry can vouch for")
        return None
    reason = misfit(ShortText, text)
    if reason is not None:
        draft.problem(path, f"cannot be carried over: {reason}")
        return None
    return text


def read_requirements(draft: Draft, files: SourceFiles) -> list[str]:
    """What `requirements.txt` in the folder asks for, with the files that it includes; [] without one."""
    found: dict[str, None] = {}
    if files.exists(REQUIREMENTS):
        _read(draft, files, REQUIREMENTS, found, set())
    elif REQUIREMENTS in files.names():
        draft.problem(REQUIREMENTS, "cannot be read")
    if len(found) > _MAX_REQUIREMENTS:
        draft.problem(REQUIREMENTS, f"{len(found)} requirements; at most {_MAX_REQUIREMENTS} can be stated")
        return []
    return list(found)


def _read(draft: Draft, files: SourceFiles, path: str, found: dict[str, None], seen: set[str]) -> None:
    if path in seen:
        return
    seen.add(path)
    if len(seen) > _MAX_FILES:
        draft.problem(path, f"more than {_MAX_FILES} files include each other")
        return
    try:
        text = read_text(files, path)
    except ConfigError as e:
        draft.problem(path, e.message)
        return
    for number, line in _lines(text):
        at = f"{path} line {number}"
        include = _INCLUDE.fullmatch(line)
        if include is not None:
            try:
                _read(draft, files, _beside(path, include[1]), found, seen)
            except ConfigError as e:
                draft.problem(at, e.message)
        else:
            _take(draft, line, at, found)


def _beside(path: str, named: str) -> str:
    inner = posixpath.normpath(posixpath.join(posixpath.dirname(path), named.strip()))
    return inner_path(inner if not named.startswith("/") else named)


def _lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers: continued ones joined, without comments and blanks."""
    joined, start, lines = "", 0, []
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        lines.append((start, _COMMENT.sub("", joined + line).strip()))
        joined, start = "", 0
    lines.append((start, _COMMENT.sub("", joined).strip()))
    return [(number, line) for number, line in lines if line]


def _take(draft: Draft, line: str, at: str, found: dict[str, None]) -> None:
    """One requirement. Options and addresses are named, not shown: they may carry credentials."""
    if _CONSTRAINT.match(line):
        draft.note(at, "left out: constraints are for whoever installs")
    elif line.startswith("-"):
        draft.note(at, f"left out: {re.split(r'[ =]', line)[0][:30]}")
    elif _DIRECT.match(line.split(" ", maxsplit=1)[0]):
        draft.note(at, "left out: a path or URL is no requirement that others can meet")
    else:
        option = _OPTION.search(line)
        if option is not None:
            draft.note(at, f"{option[0].strip()} is left out; the requirement is carried over")
            line = line[: option.start()]
        made = _requirement(draft, line.strip(), at)
        if made is not None:
            found[made] = None


__all__ = ["REQUIREMENTS", "packages_of", "read_requirements"]
