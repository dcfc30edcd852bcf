"""`registry.json`: one line per plugin, for people who search and for plain hosts that verify nothing.

This module needs neither pydantic nor TUF, so that searching what was verified a minute ago is quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import MIB, parse_json

CATALOGUE_LIMIT = 16 * MIB
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


def _entry(row: Any, path: str, where: str) -> CatalogueEntry:
    if not isinstance(row, dict):
        raise DocumentError(where, [Problem(path, "expected an object")])
    texts = {}
    for name in (
        "id",
        "name",
        "version",
        "manifestUrl",
        "description",
        "category",
        "publisher",
        "deprecated",
    ):
        value = row.get(name, "")
        if not isinstance(value, str) or (not value and name in {"id", "name", "version"}):
            raise DocumentError(where, [Problem(f"{path}.{name}", "expected a text")])
        texts[name] = value
    keywords = row.get("keywords", [])
    if not isinstance(keywords, list) or not all(isinstance(word, str) for word in keywords):
        raise DocumentError(where, [Problem(f"{path}.keywords", "expected an array of texts")])
    return CatalogueEntry(
        texts["id"],
        texts["name"],
        texts["version"],
        texts["manifestUrl"],
        texts["description"],
        texts["category"],
        tuple(keywords),
        texts["publisher"],
        texts["deprecated"] or None,
    )


def search(entries: list[CatalogueEntry], text: str) -> list[CatalogueEntry]:
    """Entries that hold every word of `text`; those whose id or name has it come first."""
    words = text.lower().split()
    found = [entry for entry in entries if entry.matches(words)]
    return sorted(found, key=lambda e: (not all(w in f"{e.id} {e.name}".lower() for w in words), e.id))
