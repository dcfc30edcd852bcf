"""Searching without parsing every line finds what searching all of it finds."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_client import catalogue, catalogue_lines
from registry_client.catalogue import (
    CATALOGUE_LIMIT,
    CatalogueEntry,
    parse_catalogue,
    search,
    search_catalogue,
)
from registry_client.catalogue_lines import keep_candidates
from registry_client.errors import DocumentError
from registry_client.jsontext import dump_json, dump_line, dump_lines

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = {"version": "1.0", "lastUpdated": "2026-01-31T12:00:00Z"}
# Few letters, so that words are found; what JSON escapes, what folds oddly, what a line is told from another by.
ALPHABET = (
    "aAbBkKiIsSn'.u0 \"\\/{}[],:\n\t\x08\x1f\x7f\u00e4\u00c4\u00df\u0130\u0131\u017f\u212a\u03a3\u03c3\u03c2\u03b1\u0391"
    "\u1e9e\u2028\u01c5\U00010400\U0001f600"
)
WORDS = st.text(st.sampled_from(ALPHABET), max_size=6)
ENTRIES = st.builds(
    CatalogueEntry,
    id=st.from_regex(r"[abks][abks_-]{0,3}", fullmatch=True),
    name=WORDS.filter(bool),
    version=st.just("1.0.0"),
    manifest_url=WORDS,
    description=WORDS,
    category=WORDS,
    keywords=st.lists(WORDS, max_size=2).map(tuple),
    publisher=WORDS,
    deprecated=st.none() | WORDS.filter(bool),
)
QUERIES = st.lists(st.text(st.sampled_from(ALPHABET), max_size=3), max_size=3).map(" ".join)


def _expected(data: bytes, text: str) -> list[CatalogueEntry]:
    return search(parse_catalogue(data, "x"), text)


def _padded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With as many rows that nothing matches, so that the short way is worth it."""
    other = {"id": "zzz", "name": "zzz", "version": "1.0.0"}
    return [*rows, *[other] * (len(rows) + 2)]


@given(st.lists(ENTRIES, max_size=6), QUERIES)
@example(
    [CatalogueEntry("a", "\u0391\u03a3", "1", ""), CatalogueEntry("b", "x\n\u03a3a", "1", "")], "\u03b1\u03c2"
)
@example([CatalogueEntry("a", "\u212aA", "1", ""), CatalogueEntry("b", "\u0130", "1", "")], "ka")
@example([CatalogueEntry("a", "\u0130", "1", "")], "i")
@example([CatalogueEntry("a", 'say "hi"', "1", "", "back\\slash")], '"hi"')
@example([CatalogueEntry("a", "a", "1", "", "{b} \u00c4")], "\u00e4 {B}")
def test_finds_what_parsing_everything_finds(entries: list[CatalogueEntry], text: str) -> None:
    """For whatever stands in the lines, and whatever is looked for."""
    data = dump_lines(HEAD, "plugins", _padded([entry.to_json() for entry in entries]))
    assert search_catalogue(data, "x", text) == _expected(data, text)


@given(st.lists(ENTRIES, max_size=5), QUERIES)
def test_escapes_that_need_not_be(entries: list[CatalogueEntry], text: str) -> None:
    """A writer that escapes more than ours, line by line, is read the same."""
    rows = [json.dumps(row).replace("/", "\\/") for row in _padded([entry.to_json() for entry in entries])]
    data = (dump_line(HEAD)[:-1] + ',"plugins":[\n' + ",\n".join(rows) + "\n]}\n").encode()
    assert search_catalogue(data, "x", text) == _expected(data, text)


@given(st.lists(ENTRIES, max_size=4), QUERIES, st.sampled_from([None, 1, "\t"]))
def test_other_forms_are_parsed_whole(entries: list[CatalogueEntry], text: str, indent: Any) -> None:
    """Indented, on one line, or empty: the same is found."""
    document = {**HEAD, "plugins": [entry.to_json() for entry in entries]}
    data = json.dumps(document, indent=indent).encode()
    assert search_catalogue(data, "x", text) == _expected(data, text)


NESTED = [
    '{"id":"a","name":"a","version":"1","x":[{"y":1},',
    '{"id":"evil","name":"evil","version":"1"},',
    '{"z":1}]},',
    *['{"id":"zz","name":"zz","version":"1"},'] * 6,
    '{"id":"b","name":"b","version":"1"}',
]


@pytest.mark.parametrize("text", ["a", "evil", "b", "z", "zz", "y", "nothing"])
def test_a_row_over_several_lines(text: str) -> None:
    """An object inside a row that looks like a line of its own is no entry."""
    data = (dump_line(HEAD)[:-1] + ',"plugins":[\n' + "\n".join(NESTED) + "\n]}\n").encode()
    assert "evil" not in [entry.id for entry in parse_catalogue(data, "x")]
    assert search_catalogue(data, "x", text) == _expected(data, text)


ROW = '{"id":"cal","name":"Cal","version":"1.0.0"}'
OTHERS = ",\n".join(['{"id":"zz","name":"zz","version":"1"}'] * 4)


@pytest.mark.parametrize(
    "data",
    [
        '{"plugins":[\n' + ROW + ",\n" + OTHERS + "\n]}",
        '{"plugins":[\n' + ROW + ",\n" + OTHERS + "\n]}\n\n",
        '{"plugins":[\r\n' + ROW + ",\r\n" + OTHERS + "\r\n]}\r\n",
        '{"plugins":[\n' + ROW + " ,\n" + OTHERS + "\n]}\n",
        '{"plugins":[\n ' + ROW + ",\n" + OTHERS + "\n]}\n",
        '{"plugins" : [\n' + ROW + ",\n" + OTHERS + "\n]}\n",
        '{"plugins":[\n' + ROW + ",\n" + OTHERS + '\n],"version":"1"}\n',
        '{"x\\"plugins":[\n' + ROW + ",\n" + OTHERS + "\n]}\n",
        '{"x":{"plugins":[\n' + ROW + ",\n" + OTHERS + '\n]},"plugins":[]}\n',
        '{"plugins":[],"plugins":[\n' + ROW + ",\n" + OTHERS + "\n]}\n",
        '{"plugins":[\n' + OTHERS + ",\n" + ROW + "\n]}\n]}\n",
        '{"plugins":[]}\n',
        "",
        "[1]",
    ],
)
def test_only_the_written_form_is_read_by_lines(data: str) -> None:
    """Anything else is what the strict parser says it is: entries, or the same error."""
    assert _outcome(search_catalogue, data.encode()) == _outcome(_whole, data.encode())


def _whole(data: bytes, where: str, text: str) -> list[CatalogueEntry]:
    return search(parse_catalogue(data, where), text)


def _outcome(
    find: Callable[[bytes, str, str], list[CatalogueEntry]], data: bytes
) -> list[CatalogueEntry] | str:
    try:
        return find(data, "x", "cal")
    except DocumentError as e:
        return str(e)


@pytest.mark.parametrize(
    "row",
    [
        '{"id":"cal","name":"cal","name":"x","version":"1"}',
        '{"id":"cal","name":7,"version":"1"}',
        '{"id":"cal","version":"1"}',
        '{"id":"cal","name":"cal","version":"1","n":1e999}',
        '{"id":"cal","name":"\\ud800","version":"1"}',
        '{"id":"cal","name":"cal","version":"1"',
    ],
)
def test_a_bad_line_that_matches_is_refused_as_ever(row: str) -> None:
    """The error is that of the whole file, with the line's place in it."""
    data = ('{"plugins":[\n' + OTHERS + ",\n" + row.removesuffix("}") + "}\n]}\n").encode()
    data = data if row.endswith("}") else data.replace(b'"1"}\n]', b'"1"]}\n]')
    with pytest.raises(DocumentError) as whole:
        parse_catalogue(data, "x")
    with pytest.raises(DocumentError) as caught:
        search_catalogue(data, "x", "cal")
    assert str(caught.value) == str(whole.value)


def test_a_bad_line_elsewhere_hides_nothing() -> None:
    """One line that the registrar got wrong does not keep others from being found."""
    data = ('{"plugins":[\n{"id":7},\n' + OTHERS + ",\n" + ROW + "\n]}\n").encode()
    assert [entry.id for entry in search_catalogue(data, "x", "cal")] == ["cal"]


def test_size_limit() -> None:
    """Too large is too large, whatever stands in it."""
    with pytest.raises(DocumentError, match="at most"):
        search_catalogue(b" " * (CATALOGUE_LIMIT + 1), "x", "a")


def test_few_lines_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the short way is for: of a thousand lines only those that may match reach the parser."""
    rows = [{"id": f"p{number:04}", "name": f"Plugin {number}", "version": "1.0.0"} for number in range(1000)]
    data = dump_lines(HEAD, "plugins", rows)
    sizes: list[int] = []

    def counting(given: bytes, where: str) -> list[CatalogueEntry]:
        sizes.append(len(given))
        return parse_catalogue(given, where)

    monkeypatch.setattr(catalogue, "parse_catalogue", counting)
    assert [entry.id for entry in search_catalogue(data, "x", "PLUGIN 77")][:2] == ["p0077", "p0177"]
    assert sizes
    assert sizes[0] < len(data) / 10


def test_what_most_lines_match_is_parsed_whole() -> None:
    """Picking out nearly all lines would cost more than it spares."""
    assert (
        keep_candidates(dump_lines(HEAD, "plugins", [{"id": "a"}, {"id": "ab"}, {"id": "b"}]), ["a"]) is None
    )


def test_which_characters_turn_into_ascii_letters() -> None:
    """The list of those is whole, for the Unicode of this Python: a line with one of them is always looked at."""
    turning = {
        chr(code)
        for code in range(0x80, sys.maxunicode + 1)
        if any(letter.isascii() for letter in chr(code).lower())
    }
    unclear = {sign.decode() for sign in catalogue_lines._UNCLEAR}
    assert turning <= unclear


def test_lower_case_depends_on_neighbours_for_one_character_only() -> None:
    """Only capital sigma is written differently between others: so all other lines may be lowered whole."""
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or character == "\u03a3":
            continue
        assert f"a{character}".lower() == "a" + character.lower()
        assert f"{character}a".lower() == character.lower() + "a"


def test_indentation_of_the_registry_is_read_whole() -> None:
    """`dump_json`, the form of registries made by others."""
    data = dump_json({**HEAD, "plugins": [{"id": "cal", "name": "Cal", "version": "1"}]})
    assert keep_candidates(data, ["cal"]) is None
    assert [entry.id for entry in search_catalogue(data, "x", "cal")] == ["cal"]
