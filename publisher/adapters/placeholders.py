"""Placeholders of a workflow or a shell, in manifests that were written by one. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from publisher.adapters.draft import below

if TYPE_CHECKING:
    from publisher.adapters.draft import Draft

_REPOSITORY = re.compile(r"\$\{\{\s*github\.event\.repository\.name\s*\}\}")
_OTHER = re.compile(r"\$\{\{|\$\(|\$\{[A-Za-z_]")
_GONE = object()
# Settings and words may hold such characters and mean them.
_LITERAL = frozenset({"configuration", "config"})


def has_placeholders(value: Any) -> bool:
    """Whether something in a manifest is still to be filled in, its settings aside."""
    if isinstance(value, str):
        return _OTHER.search(value) is not None
    if isinstance(value, list):
        return any(has_placeholders(item) for item in value)
    if isinstance(value, dict):
        return any(has_placeholders(item) for name, item in value.items() if name not in _LITERAL)
    return False


def filled(draft: Draft, raw: dict[str, Any], repository: str) -> dict[str, Any]:
    """The manifest with the repository's name filled in; what has other placeholders is left out.

    Args:
        draft: where it is said.
        raw: the manifest.
        repository: the repository's name.
    """
    found = {
        name: value if name in _LITERAL else _filled(draft, value, repository, below("$", name))
        for name, value in raw.items()
    }
    return {name: value for name, value in found.items() if value is not _GONE}


def _filled(draft: Draft, value: Any, repository: str, path: str) -> Any:
    if isinstance(value, str):
        text = _REPOSITORY.sub(lambda _: repository, value)
        if text == value and _OTHER.search(value) is None:
            return value
        other = _OTHER.search(_REPOSITORY.sub("", value))
        if other is not None:
            draft.note(path, f"left out: it holds {other[0]!r}, which nothing fills in here")
            return _GONE
        draft.note(path, f"the repository's name is filled in: {text[:200]!r}")
        return text
    if isinstance(value, list):
        items = [_filled(draft, item, repository, below(path, number)) for number, item in enumerate(value)]
        return [item for item in items if item is not _GONE]
    if isinstance(value, dict):
        members = {name: _filled(draft, item, repository, below(path, name)) for name, item in value.items()}
        return {name: item for name, item in members.items() if item is not _GONE}
    return value


__all__ = ["filled", "has_placeholders"]
