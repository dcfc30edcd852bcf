"""`registry.json`: one line per plugin, for people who search and for plain hosts that verify nothing.

This module needs neither pydantic nor TUF, so that searching what was verified a minute ago is quick.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from registry_client.catalogue_lines import keep_candidates
from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import MIB, parse_json

CATALOGUE_LIMIT = 64 * MIB
CATALOGUE_PATH = "registry.json"


@dataclass(frozen=True)
class CatalogueEntry:
    """The newest public release of one plugin.

    Attributes:
        id: the plugin's id.
        name: what people call it.
        version: its newest stable version released to everyone.
        manifest_url: where plain hosts find that version's manifest.
        description: what it is for.
        category: one category.
        keywords: words to be found by.
        publisher: the publisher's id.
        deprecated: why it is deprecated; None where it is not.
    """

    id: str
    name: str
    version: str
    manifest_url: str
    description: str = ""
    category: str = ""
    keywords: tuple[str, ...] = ()
    publisher: str = ""
    deprecated: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry as `registry.json` has it."""
        row: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "manifestUrl": self.manifest_url,
            "description": self.description,
            "category": self.category,
            "keywords": list(self.keywords),
            "publisher": self.publisher,
            "deprecated": self.deprecated,
        }
        return {name: value for name, value in row.items() if value or name in {"id", "name", "version"}}

    def matches(self, words: list[str]) -> bool:
        """Whether every lower-case word stands in the id, name, description, category or a keyword."""
        text = "\n".join((self.id, self.name, self.description, self.category, *self.keywords)).lower()
        return all(word in text for word in words)


def parse_catalogue(data: bytes, where: str) -> list[CatalogueEntry]:
    """The entries of a verified `registry.json`.

    Raises:
        DocumentError: not a catalogue.
    """
    raw = parse_json(data, limit=CATALOGUE_LIMIT, where=where)
    rows = raw.get("plugins")
    if not isinstance(rows, list):
        raise DocumentError(where, [Problem("$.plugins", "expected an array")])
    return [_entry(row, f"$.plugins[{number}]", where) for number, row in enumerate(rows)]


_TEXTS = ("id", "name", "version", "manifestUrl", "description", "category", "publisher", "deprecated")
_NEEDED = 3
"""How many of them must be there."""


def _entry(row: Any, path: str, where: str) -> CatalogueEntry:
    if not isinstance(row, dict):
        raise DocumentError(where, [Problem(path, "expected an object")])
    texts = [row.get(name, "") for name in _TEXTS]
    keywords = row.get("keywords", [])
    if not (all(texts[:_NEEDED]) and set(map(type, texts)) == {str}):
        wrong = (
            not isinstance(text, str) or (not text and number < _NEEDED) for number, text in enumerate(texts)
        )
        name = next(name for name, bad in zip(_TEXTS, wrong, strict=True) if bad)
        raise DocumentError(where, [Problem(f"{path}.{name}", "expected a text")])
    if not isinstance(keywords, list) or not all(isinstance(word, str) for word in keywords):
        raise DocumentError(where, [Problem(f"{path}.keywords", "expected an array of texts")])
    plugin_id, name, version, url, description, category, publisher, deprecated = texts
    return CatalogueEntry(
        plugin_id, name, version, url, description, category, tuple(keywords), publisher, deprecated or None
    )


def search(entries: list[CatalogueEntry], text: str) -> list[CatalogueEntry]:
    """Entries that hold every word of `text`; those whose id or name has it come first."""
    words = text.lower().split()
    found = [entry for entry in entries if entry.matches(words)]
    return sorted(found, key=lambda e: (not all(w in f"{e.id} {e.name}".lower() for w in words), e.id))


def search_catalogue(data: bytes, where: str, text: str) -> list[CatalogueEntry]:
    """What `search` finds in a verified `registry.json`, of which only the lines that may match are parsed.

    Raises:
        DocumentError: not a catalogue. What is wrong with a line that does not match may go unseen.
    """
    words = text.lower().split()
    smaller = keep_candidates(data, words) if words and len(data) <= CATALOGUE_LIMIT else None
    if smaller is not None:
        with contextlib.suppress(DocumentError):  # it is said of the whole file, with the right line
            return search(parse_catalogue(smaller, where), text)
    return search(parse_catalogue(data, where), text)
