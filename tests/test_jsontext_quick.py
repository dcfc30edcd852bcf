"""The quick ways through strict and canonical JSON, held against the plain ones."""

from __future__ import annotations

import json
import math
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from registry_client import jsontext
from registry_client.digest import Digest
from registry_client.errors import DocumentError
from registry_client.jsontext import MAX_DEPTH, MAX_INTEGER, canonical_bytes, dump_line, parse_json

ODD = (
    "\x00\x01\x08\t\n\x0b\x0c\r\x1f \"'/\\<>\x7f\x80\x85\xa0\xad\u0130\u03a3\u200b\u2028\u2029"
    "\ud7ff\ue000\uf8ff\ufeff\ufffd\uffff\U00010000\U0001f600\U0010ffff"
)
TEXTS = st.text(st.sampled_from(ODD) | st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS


class Kind(StrEnum):
    """A text that is not quite a `str`."""

    X = "x"


class Rank(IntEnum):
    """A number that is not quite an `int`."""

    Y = 1


def _values(names: st.SearchStrategy[str], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
        max_leaves=16,
    )


class TestCanonical:
    """Python's own writer where it gives RFC 8785, the library elsewhere."""

    @given(_values(TEXTS, PLAIN | NUMBERS))
    def test_equals_the_library(self, value: Any) -> None:
        """Whatever is written: the library's bytes."""
        assert canonical_bytes(value) == rfc8785.dumps(value)

    @given(_values(st.text(st.characters(max_codepoint=0x7F), max_size=6), PLAIN))
    def test_the_quick_way_alone_equals_the_library(self, value: Any) -> None:
        """Without floats and with ASCII names the library is not asked, and would say the same."""
        with pytest.MonkeyPatch.context() as patch:
            expected = rfc8785.dumps(value)
            patch.setattr(rfc8785, "dumps", None)
            assert canonical_bytes(value) == expected

    @pytest.mark.parametrize("character", [*map(chr, range(0x21)), *ODD])
    def test_each_odd_character(self, character: str) -> None:
        """Control characters, DEL, line separators, the last code points: in values and in names."""
        values: list[Any] = [{"a": character}, {character: 1, "a": [character * 2]}, [character]]
        for value in values:
            assert canonical_bytes(value) == rfc8785.dumps(value)

    @pytest.mark.parametrize(
        "value",
        [
            {"\ue000": 1, "\U0001f600": 2},  # UTF-16 code units and code points sort these differently
            {"\uffff": 1, "\U00010000": 2, "a": 3},
            {"a": 1e21, "b": 1e-7, "c": -0.0, "d": 1.0, "e": 5e-324},
            [1.5],
            1.0,
            {"b": {"a": [{"z": 0.1, "\u00e9": 1}]}},
            {"one": Digest.of(b""), "two": [Kind.X, Rank.Y]},
        ],
    )
    def test_what_the_library_is_for(self, value: Any) -> None:
        """Floats, names outside ASCII, and subclasses go to the library."""
        assert canonical_bytes(value) == rfc8785.dumps(value)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rfc8785, "dumps", lambda _: b"asked")
            assert canonical_bytes(value) == b"asked"

    @pytest.mark.parametrize(
        "value",
        [
            {"a": MAX_INTEGER + 1},
            {"a": [-MAX_INTEGER - 1]},
            {"a": math.nan},
            {"a": math.inf},
            {1: "a"},
            {None: "a"},
            {"a": {True: 1}},
            {"a": "\ud800"},
            {"\udfff": 1},
            {"a": b"bytes"},
            {"a": {1, 2}},
        ],
        ids=repr,
    )
    def test_what_cannot_be_written(self, value: Any) -> None:
        """The library's refusals stay: nothing gets a canonical form by the quick way that has none."""
        with pytest.raises((rfc8785.CanonicalizationError, UnicodeEncodeError)):
            canonical_bytes(value)

    @given(_values(TEXTS, PLAIN | NUMBERS))
    def test_lines_are_as_before(self, value: Any) -> None:
        """`dump_line` writes what `json.dumps` writes."""
        expected = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        assert dump_line(value) == expected


class _RefusedError(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _RefusedError("twice")
    return dict(pairs)


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise _RefusedError("outside")
    return int(text)


def _number(text: str) -> float:
    if not math.isfinite(float(text)):
        raise _RefusedError("finite")
    return float(text)


def _constant(_: str) -> None:
    raise _RefusedError("finite")


def _look(value: Any, depth: int) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as e:
            raise _RefusedError("surrogate") from e
    if isinstance(value, (dict, list)) and depth > MAX_DEPTH:
        raise _RefusedError("deeper")
    for member in (
        (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        _look(member, depth + 1)


def _reference(data: bytes) -> Any:
    """The rules of `parse_json`, said as plainly as possible: every pair, every number and every value looked at."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
        _look(value, 1)
    except ValueError as e:
        raise _RefusedError("not JSON") from e
    if not isinstance(value, dict):
        raise _RefusedError("not an object")
    return value


PIECES = st.sampled_from(
    [
        *(
            '{"a":1}',
            '{"a":1,"a":2}',
            '{"a":1,"\\u0061":2}',
            '{"x":{"b":1,"b":1}}',
            "[]",
            "{}",
            "[1,2]",
            '{"a":{"a":1}}',
        ),
        *(
            "9007199254740991",
            "9007199254740992",
            "-9007199254740992",
            "12345678901234567890",
            "0",
            "-0",
            "1e5",
        ),
        *("1e999", "-1e999", "1.5", "NaN", "Infinity", "-Infinity", "true", "null", "01", "1.", ".5"),
        *(
            '"x"',
            '"\\ud800"',
            '"\\udc00\\ud800"',
            '"\\ud83d\\ude00"',
            '"\\u0041"',
            '"\\n"',
            '"\t"',
            '"\ufeff"',
            '"\U0001f600"',
        ),
        *('{"\\udead":1}', '{"\\u00e9":1,"\u00e9":2}', '"\\x"', "'a'", "", " ", ",", "\ufeff"),
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Texts that are nearly, or quite, what is accepted: odd pieces at odd depths."""
    piece = draw(PIECES)
    for _ in range(draw(st.sampled_from([0, 1, 2, 29, 30, 31, 32, 33]))):
        piece = draw(st.sampled_from(["[@]", '{"k":@}', '{"k":@,"l":2}', "[0,@]"])).replace("@", piece)
    members = [f'"m{number}":{draw(PIECES)}' for number in range(draw(st.integers(0, 2)))]
    text = "{" + ",".join([*members, f'"n":{piece}']) + "}" if draw(st.booleans()) else piece
    return text.encode("utf-8", "surrogatepass")


@given(
    documents()
    | st.binary(max_size=30)
    | _values(TEXTS, PLAIN | NUMBERS).map(lambda v: json.dumps(v).encode())
)
def test_parsing_follows_the_plain_rules(data: bytes) -> None:
    """The same is accepted, with the same value, and the same refused, as where everything is looked at one by one."""
    try:
        expected = _reference(data)
    except _RefusedError:
        with pytest.raises(DocumentError):
            parse_json(data, limit=10_000, where="x")
        return
    if data.startswith(b"\xef\xbb\xbf"):
        return
    found = parse_json(data, limit=10_000, where="x")
    assert found == expected
    assert repr(found) == repr(expected)  # True is not 1, 1.0 is not 1


def test_the_decoder_keeps_nothing_between_documents() -> None:
    """One decoder serves all calls: a refused document leaves no trace in the next."""
    for _ in range(3):
        with pytest.raises(DocumentError, match="twice"):
            parse_json(b'{"a":1,"a":2}', limit=100, where="x")
        assert parse_json(b'{"a":1}', limit=100, where="x") == {"a": 1}


def test_the_quick_way_is_the_usual_one() -> None:
    """A document like ours needs no library: else reading got slow without anyone noticing."""
    document = {
        "kind": "manifest",
        "schemaVersion": 1,
        "name": "Käse \U0001f9c0",
        "keywords": ["a", "b"],
        "ui": None,
    }
    assert jsontext._is_plain(document)
