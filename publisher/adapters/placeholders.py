"""Placeholders of CI workflows, in manifests that were written for one. Pure.

Two are known: a GitHub expression, `${{ … }}`, and a shell's `$(date …)`. The repository's name is filled in wherever it
stands. Anything else counts only where it is a whole text; what merely looks like a placeholder is the author's own text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from publisher.adapters.draft import below

if TYPE_CHECKING:
    from publisher.adapters.draft import Draft

_REPOSITORY = re.compile(r"\$\{\{\s*github\.event\.repository\.name\s*\}\}")
_WHOLE = re.compile(r"\$\{\{[^{}]{0,500}\}\}|\$\(date(?:\s[^()]{0,200})?\)")
_GONE = object()
# Settings may hold such characters and mean them.
_LITERAL = frozenset({"configuration", "config"})
# What only people read, and what is found out or given when a version is published. Nothing else is left out for being
# a placeholder: a permission or a range that went unseen would never be asked for.
_OPTIONAL = frozenset({
    *("name", "display_name", "title", "description", "category", "keywords", "tags", "changelog", "author", "email"),
    *("author_url", "license", "homepage", "repository", "documentation", "docs", "icon", "screenshots"),
    *("version", "checksum", "signature", "verified"),
})  # fmt: skip


def has_placeholders(value: Any) -> bool:
    """Whether something in a manifest is still to be filled in by a workflow, its settings aside."""
    if isinstance(value, str):
        return _REPOSITORY.search(value) is not None or _WHOLE.fullmatch(value.strip()) is not None
    if isinstance(value, list):
        return any(has_placeholders(item) for item in value)
    if isinstance(value, dict):
        return any(has_placeholders(item) for name, item in value.items() if name not in _LITERAL)
    return False


def filled(draft: Draft, raw: dict[str, Any], repository: str) -> dict[str, Any]:
    """The manifest with the repository's name filled in.

    A text that is another placeholder as a whole is left out with a note where people read it, and is a problem where
    hosts act on it.

    Args:
        draft: where it is said.
        raw: the manifest.
        repository: the repository's name.
    """
    found = {
        name: value
        if name in _LITERAL
        else _filled(draft, value, repository, below("$", name), optional=name in _OPTIONAL)
        for name, value in raw.items()
    }
    return {name: value for name, value in found.items() if value is not _GONE}


def _filled(draft: Draft, value: Any, repository: str, path: str, *, optional: bool) -> Any:
    if isinstance(value, str):
        return _text(draft, value, repository, path, optional=optional)
    if isinstance(value, list):
        items = [
            _filled(draft, item, repository, below(path, number), optional=optional)
            for number, item in enumerate(value)
        ]
        return [item for item in items if item is not _GONE]
    if isinstance(value, dict):
        members = {
            name: _filled(draft, item, repository, below(path, name), optional=optional)
            for name, item in value.items()
        }
        return {name: item for name, item in members.items() if item is not _GONE}
    return value


def _text(draft: Draft, value: str, repository: str, path: str, *, optional: bool) -> Any:
    text = _REPOSITORY.sub(lambda _: repository, value)
    if text != value:
        draft.note(path, f"the repository's name is filled in: {text[:200]!r}")
        return text
    if _WHOLE.fullmatch(value.strip()) is None:
        return value
    if optional:
        draft.note(path, f"left out: {value[:80]!r} is a placeholder, which nothing fills in here")
    else:
        draft.problem(
            path, f"{value[:80]!r} is a placeholder, which nothing fills in here; state the value itself"
        )
    return _GONE


__all__ = ["filled", "has_placeholders"]
