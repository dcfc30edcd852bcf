"""Strict JSON in, canonical JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.digest import Digest
from registry_client.errors import DocumentError
from registry_client.jsontext import (
    MAX_DEPTH,
    MAX_INTEGER,
    canonical_bytes,
    dump_json,
    dump_line,
    dump_lines,
    parse_json,
    payload_digest_of,
    payload_of,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "canonical.json").read_text("utf-8"))
LIMIT = 1_000_000


def _parse(data: bytes, limit: int = LIMIT) -> dict[str, Any]:
    return parse_json(data, limit=limit, where="some/file.json")


def _nested(depth: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    """An object nested `depth` levels deep; with lists inside it if the opening is `[`."""
    inner = depth - 1
    return ('{"a":' + opening * inner + "1" + closing * inner + "}").encode()


REFUSED = {
    "two members of one name": (b'{"a": 1, "a": 1}', "member 'a' stands twice"),
    "the same name in escapes": (b'{"a": 1, "\\u0061": 2}', "member 'a' stands twice"),
    "two members deep inside": (b'{"x": [{"b": {"a": 1, "a": 2}}]}', "member 'a' stands twice"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "Infinity": (b'{"a": Infinity}', "Infinity is not JSON"),
    "-Infinity": (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
    "a number that overflows": (b'{"a": 1e999}', "is not finite"),
    "one that overflows below": (b'{"a": -1.5e400}', "is not finite"),
    "2^53": (b'{"a": 9007199254740992}', "outside"),
    "-2^53": (b'{"a": -9007199254740992}', "outside"),
    "an integer of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "outside"),
    "a lone high surrogate": (b'{"a": "\\ud800"}', r"lone surrogate \(\\ud800\)"),
    "a lone low surrogate": (b'{"a": ["x\\udfff"]}', r"lone surrogate \(\\udfff\)"),
    "surrogates the wrong way round": (b'{"a": "\\udc00\\ud800"}', "lone surrogate"),
    "a lone surrogate in a name": (b'{"x": {"\\udead": 1}}', "lone surrogate"),
    "a surrogate in UTF-8": (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
    "33 objects": (_nested(33), "nested deeper than 32"),
    "33 with arrays": (_nested(33, "[", "]"), "nested deeper than 32"),
    "33 with escapes": (_nested(33).replace(b"1", b'"\\u0041"'), "nested deeper than 32"),
    "100,000 objects": (_nested(100_000), "nested deeper than 32"),
    "100,000 arrays": (_nested(100_000, "[", "]"), "nested deeper than 32"),
    "100,000 open brackets": (b'{"a":' + b"[" * 100_000, "nested deeper than 32|is not JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
    "UTF-16 without a mark": ('{"a": 1}'.encode("utf-16-le"), "is not JSON"),
    "Latin-1": (b'{"a": "\xe9"}', r"is not UTF-8 \(byte 7\)"),
    "over-long UTF-8": (b'{"a": "\xc0\xaf"}', "is not UTF-8"),
    "an array": (b"[1]", "expected a JSON object, found list"),
    "a text": (b'"x"', "expected a JSON object, found str"),
    "null": (b"null", "expected a JSON object, found NoneType"),
    "nothing": (b"", "is not JSON"),
    "white space": (b" \n", "is not JSON"),
    "a second document": (b'{"a": 1} {"b": 2}', "is not JSON: Extra data at line 1 column 10"),
    "garbage at the end": (b'{"a": 1}x', "is not JSON"),
    "a NUL at the end": (b'{"a": 1}\x00', "is not JSON"),
    "a truncated document": (b'{"a": 1', "is not JSON"),
    "a comment": (b'{"a": 1} // x', "is not JSON"),
    "a trailing comma": (b'{"a": 1,}', "is not JSON"),
    "single quotes": (b"{'a': 1}", "is not JSON"),
    "a raw line break in a text": (b'{"a": "x\ny"}', "is not JSON"),
    "a leading zero": (b'{"a": 01}', "is not JSON"),
    "a no-break space": ('{"a":\u00a01}'.encode(), "is not JSON"),
}


@pytest.mark.parametrize(("data", "rule"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, rule: str) -> None:
    """What two parsers could read differently is refused, with the file and the rule in one short message."""
    with pytest.raises(DocumentError, match=rule) as caught:
        _parse(data)
    assert str(caught.value).startswith("some/file.json: 1 problem\n  $: ")
    assert len(str(caught.value)) < 300


ACCEPTED: dict[str, tuple[bytes, Any]] = {
    "empty": (b"{}", {}),
    "white space around": (b' \r\n\t{ "a" : 1 } \n', {"a": 1}),
    "32 objects": (_nested(32), None),
    "32 with arrays": (_nested(32, "[", "]"), None),
    "the largest integers": (
        b'{"a": 9007199254740991, "b": -9007199254740991}',
        {"a": MAX_INTEGER, "b": -MAX_INTEGER},
    ),
    "a pair of surrogates": (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    "the same name in two objects": (b'{"a": {"a": 1}, "b": {"a": 2}}', {"a": {"a": 1}, "b": {"a": 2}}),
    "a name that differs by normalisation": (
        '{"\u00e9": 1, "e\u0301": 2}'.encode(),
        {"\u00e9": 1, "e\u0301": 2},
    ),
    "numbers": (b'{"a": 1.5, "b": -0.0, "c": 1e3}', {"a": 1.5, "b": -0.0, "c": 1000.0}),
}


@pytest.mark.parametrize(("data", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(data: bytes, value: Any) -> None:
    """What is plain JSON is read as it stands, up to the limits themselves."""
    assert _parse(data) == (json.loads(data) if value is None else value)


def test_size_limit() -> None:
    """The limit itself is allowed; a byte more is not even parsed."""
    data = dump_json({"a": "x" * 100})
    assert _parse(data, len(data))
    with pytest.raises(DocumentError, match=f"{len(data)} bytes; at most {len(data) - 1} are allowed"):
        _parse(data, len(data) - 1)
    with pytest.raises(DocumentError, match="at most 10 are allowed"):
        _parse(b"\xff" * 11, 10)


NUMBERS = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(
    -1e15, 1e15, allow_nan=False, allow_infinity=False
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)


class TestCanonical:
    """RFC 8785."""

    @given(DOCUMENTS)
    def test_round_trip(self, value: dict[str, Any]) -> None:
        """Reading canonical bytes gives the value back, and writing that gives the same bytes."""
        data = canonical_bytes(value)
        assert _parse(data) == value
        assert canonical_bytes(_parse(data)) == data

    @given(DOCUMENTS)
    def test_form_does_not_matter(self, value: dict[str, Any]) -> None:
        """Order, white space and escapes of the text that was read leave no trace in the canonical bytes."""
        mixed = dict(sorted(value.items(), reverse=True))
        texts = [dump_json(value), dump_line(value).encode(), json.dumps(mixed, indent=7).encode()]
        assert {canonical_bytes(_parse(text)) for text in texts} == {canonical_bytes(value)}

    @pytest.mark.parametrize("vector", GOLDEN["documents"], ids=lambda vector: vector["name"])
    def test_golden_documents(self, vector: dict[str, str]) -> None:
        """The examples of RFC 8785, and of documents like ours, byte for byte."""
        data = canonical_bytes(_parse(vector["json"].encode()))
        assert data == vector["canonical"].encode()
        assert Digest.of(data) == vector["digest"]

    @pytest.mark.parametrize("vector", GOLDEN["numbers"], ids=lambda vector: vector["ieee754"])
    def test_golden_numbers(self, vector: dict[str, str]) -> None:
        """The table of numbers in RFC 8785, appendix B."""
        import struct

        (number,) = struct.unpack(">d", bytes.fromhex(vector["ieee754"]))
        assert canonical_bytes(number) == vector["json"].encode()


class TestPayload:
    """What is signed."""

    def test_signatures_stand_outside(self) -> None:
        """The payload is everything but the top-level signatures, so adding one changes no identity."""
        document = {"kind": "x", "signatures": [1], "inner": {"signatures": [2]}}
        assert payload_of(document) == b'{"inner":{"signatures":[2]},"kind":"x"}'
        assert payload_digest_of(document) == payload_digest_of({**document, "signatures": [1, 2]})
        assert payload_digest_of(document) == Digest.of(payload_of(document))

    @pytest.mark.parametrize("change", [{"kind": "y"}, {"inner": {}}, {"Signatures": []}, {"new": None}])
    def test_everything_else_is_inside(self, change: dict[str, Any]) -> None:
        """Any other change, of unknown members too, is another payload."""
        document = {"kind": "x", "signatures": [1], "inner": {"signatures": [2]}}
        assert payload_digest_of({**document, **change}) != payload_digest_of(document)


class TestWriting:
    """Documents as they are written."""

    @given(DOCUMENTS)
    def test_what_is_written_is_read_back(self, value: dict[str, Any]) -> None:
        """Every writer's output is accepted by the reader and means the same."""
        assert _parse(dump_json(value)) == value
        assert _parse(dump_line(value).encode()) == value
        assert "\n" not in dump_line(value)

    @given(
        st.dictionaries(TEXTS.filter(lambda name: name != "rows"), VALUES, max_size=3),
        st.lists(DOCUMENTS, max_size=4),
    )
    def test_rows_stand_on_lines_of_their_own(self, head: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """`dump_lines` gives the head on the first line, then one row a line."""
        data = dump_lines(head, "rows", rows)
        assert _parse(data) == {**head, "rows": rows}
        assert data.endswith(b"]}\n")
        assert data.count(b"\n") == (len(rows) + 2 if rows else 1)

    def test_depth_constant(self) -> None:
        """The limit that the design states."""
        assert MAX_DEPTH == 32
