"""`registry.json`: what plain hosts read, and how it is searched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.catalogue import CATALOGUE_LIMIT, CatalogueEntry, parse_catalogue, search
from registry_client.errors import DocumentError
from registry_client.jsontext import dump_json, dump_lines

WORDS = st.text(st.characters(codec="utf-8"), max_size=10)
ENTRIES = st.builds(
    CatalogueEntry,
    id=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True),
    name=WORDS.filter(bool),
    version=st.just("1.0.0"),
    manifest_url=WORDS,
    description=WORDS,
    category=WORDS,
    keywords=st.lists(WORDS, max_size=3).map(tuple),
    publisher=WORDS,
    deprecated=st.none() | WORDS.filter(bool),
)
HEAD = {"version": "1.0", "lastUpdated": "2026-01-31T12:00:00Z"}


def _row(**more: Any) -> dict[str, Any]:
    return {
        "id": "calendar",
        "name": "Calendar",
        "version": "1.2.0",
        "manifestUrl": "https://x.example/c.json",
        **more,
    }


def _parse(*rows: Any) -> list[CatalogueEntry]:
    return parse_catalogue(dump_json({**HEAD, "plugins": list(rows)}), "registry.json")


@given(st.lists(ENTRIES, max_size=5))
def test_round_trip(entries: list[CatalogueEntry]) -> None:
    """What is written is read back."""
    data = dump_lines(HEAD, "plugins", [entry.to_json() for entry in entries])
    assert parse_catalogue(data, "registry.json") == entries


def test_the_shape_that_plain_hosts_read() -> None:
    """The four members of the original format are enough; members we do not know are tolerated."""
    assert _parse(_row()) == [CatalogueEntry("calendar", "Calendar", "1.2.0", "https://x.example/c.json")]
    assert _parse(_row(ui={"x": 1}, lastUpdated="today"))[0].id == "calendar"
    assert set(_parse(_row())[0].to_json()) == {"id", "name", "version", "manifestUrl"}


@pytest.mark.parametrize(
    ("row", "path"),
    [
        (None, r"\$\.plugins\[1\]: expected an object"),
        ([], r"\$\.plugins\[1\]: expected an object"),
        ({"name": "x", "version": "1"}, r"\$\.plugins\[1\]\.id: expected a text"),
        (_row(id=""), r"\$\.plugins\[1\]\.id"),
        (_row(name=7), r"\$\.plugins\[1\]\.name"),
        (_row(version=None), r"\$\.plugins\[1\]\.version"),
        (_row(manifestUrl=["x"]), r"\$\.plugins\[1\]\.manifestUrl"),
        (_row(deprecated=True), r"\$\.plugins\[1\]\.deprecated"),
        (_row(keywords="x"), r"\$\.plugins\[1\]\.keywords"),
        (_row(keywords=["x", 7]), r"\$\.plugins\[1\]\.keywords"),
    ],
)
def test_malformed_entries(row: Any, path: str) -> None:
    """Wrong types are refused, with the JSON path."""
    with pytest.raises(DocumentError, match=path):
        _parse(_row(), row)


@pytest.mark.parametrize("plugins", [None, {}, "x", 7])
def test_no_array(plugins: Any) -> None:
    """No array of plugins, no catalogue."""
    with pytest.raises(DocumentError, match=r"\$\.plugins: expected an array"):
        parse_catalogue(dump_json({**HEAD, "plugins": plugins}), "registry.json")


def test_size_limit() -> None:
    """64 MiB are the most."""
    with pytest.raises(DocumentError, match="at most 67108864"):
        parse_catalogue(b" " * (CATALOGUE_LIMIT + 1), "registry.json")


CATALOGUE = [
    CatalogueEntry("notes", "Notes", "1.0.0", "", "Write things down", "office", ("text", "calendar")),
    CatalogueEntry("team-calendar", "Team Calendar", "2.0.0", "", "Who is away"),
    CatalogueEntry("calendar", "Kalender", "1.0.0", "", "Dates", "office"),
    CatalogueEntry("mail", "E-Mail", "1.0.0", "", "\u00dcbersicht"),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["calendar", "mail", "notes", "team-calendar"]),
        ("  ", ["calendar", "mail", "notes", "team-calendar"]),
        ("calendar", ["calendar", "team-calendar", "notes"]),
        ("CALENDAR", ["calendar", "team-calendar", "notes"]),
        ("office", ["calendar", "notes"]),
        ("office calendar", ["calendar", "notes"]),
        ("calendar team", ["team-calendar"]),
        ("away team", ["team-calendar"]),
        ("\u00fcbersicht", ["mail"]),
        ("text calendar", ["notes"]),
        ("textcalendar", []),
        ("text\ncalendar", ["notes"]),
        ("nothing", []),
    ],
)
def test_search(text: str, found: list[str]) -> None:
    """Every word must stand somewhere, in any case and order; ids and names come before the rest."""
    assert [entry.id for entry in search(CATALOGUE, text)] == found
