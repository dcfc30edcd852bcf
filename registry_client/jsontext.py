"""Strict JSON in, canonical JSON out.

Reading refuses what two parsers could understand differently: duplicate members, numbers that JSON cannot carry
exactly, lone surrogates, byte order marks, deep nesting (RFC 8259 leaves these open; RFC 7493, I-JSON, closes them).
Signatures are made over RFC 8785 (JCS) bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from registry_client.digest import Digest
from registry_client.errors import DocumentError, Problem

KIB = 1024
MIB = 1024 * KIB
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
_MAX_INTEGER_DIGITS = len(str(MAX_INTEGER)) + 1
_CONTAINERS = frozenset({dict, list})
_PLAIN = frozenset({str, bool, type(None)})


class _RefusedError(ValueError):
    """Raised inside the parser's hooks; becomes a DocumentError."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RefusedError(f"member {name[:80]!r} stands twice in one object; each may stand once")
            seen.add(name)
    return members


def _integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS or abs(int(text)) > MAX_INTEGER:
        raise _RefusedError(f"integer {text[:24]} is outside ±(2^53-1), which JSON cannot carry exactly")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError(f"number {text[:24]} is not finite")
    return value


def _constant(text: str) -> NoReturn:
    raise _RefusedError(f"{text} is not JSON; numbers must be finite")


# Made once: `json.loads` makes a new one for each call that has hooks.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _check_depth(value: Any) -> None:
    """Refuse deep nesting, looking at one level after the other: most values are no containers, and are looked at once."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) in _CONTAINERS
        ]
    if level:
        raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels")


def _check_strings(value: Any) -> None:
    """Refuse lone surrogates. Call it after `_check_depth`: it calls itself."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as e:
            raise _RefusedError(f"a string holds a lone surrogate (\\u{ord(value[e.start]):04x})") from e
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_strings(name)
            _check_strings(member)
    elif isinstance(value, list):
        for member in value:
            _check_strings(member)


def parse_json(data: bytes, *, limit: int, where: str) -> dict[str, Any]:
    """Parse one JSON object, strictly.

    Args:
        data: the bytes as received.
        limit: largest accepted size in bytes.
        where: path or URL, for messages.

    Raises:
        DocumentError: too large, not UTF-8, not JSON, not an object, or ambiguous in one of the refused ways.
    """

    def refused(message: str) -> DocumentError:
        return DocumentError(where, [Problem("$", message)])

    if len(data) > limit:
        raise refused(f"{len(data)} bytes; at most {limit} are allowed")
    if data.startswith(b"\xef\xbb\xbf"):
        raise refused("starts with a byte order mark; write UTF-8 without one")
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        _check_depth(value)
        if b"\\u" in data:  # UTF-8 that was decoded holds no lone surrogates; only escapes can make them
            _check_strings(value)
    except UnicodeDecodeError as e:
        raise refused(f"is not UTF-8 (byte {e.start})") from e
    except json.JSONDecodeError as e:
        raise refused(f"is not JSON: {e.msg} at line {e.lineno} column {e.colno}") from e
    except _RefusedError as e:
        raise refused(str(e)) from e
    except RecursionError as e:
        raise refused(f"nested deeper than {MAX_DEPTH} levels") from e
    if not isinstance(value, dict):
        raise refused(f"expected a JSON object, found {type(value).__name__}")
    return value


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value that came out of `parse_json`.

    Python's own writer gives the same bytes, in a sixth of the time, for what nearly all documents are made of; the library
    `rfc8785` does the rest (docs/adr/0025-cheap-reads.md).
    """
    if _is_plain(value):
        try:
            return _CANONICAL.encode(value).encode()
        except UnicodeEncodeError:  # a lone surrogate, which the library says better
            pass
    import rfc8785  # noqa: PLC0415  (not needed to read what was verified before)

    return rfc8785.dumps(value)


# RFC 8785 escapes `"`, `\\` and U+0000 to U+001F, the latter by their short forms where there are some, else in lower-case
# hex; so does Python's writer without `ensure_ascii`.
_CANONICAL = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False, allow_nan=False
)


def _is_plain(value: Any) -> bool:
    """Whether Python's writer gives the RFC 8785 bytes of a value.

    It does without floats, whose text differs, and where all names are ASCII: RFC 8785 sorts them by UTF-16 code units, Python by code
    points. Integers must be those that RFC 8785 allows, and types no subclasses, which may be written in ways of their own.
    """
    members: Any = value if type(value) is list else [value]
    if type(value) is dict:
        members = value.values()
        try:
            if not "".join(value).isascii():
                return False
        except TypeError:  # a name that is no text
            return False
    for member in members:
        kind = type(member)
        if kind in _PLAIN:
            continue
        if kind is int:
            if not -MAX_INTEGER <= member <= MAX_INTEGER:
                return False
        elif kind not in _CONTAINERS or not _is_plain(member):
            return False
    return True


def payload_of(document: dict[str, Any]) -> bytes:
    """What a document's signatures are made over: its RFC 8785 bytes without the member `signatures`."""
    return canonical_bytes({name: value for name, value in document.items() if name != "signatures"})


def payload_digest_of(document: dict[str, Any]) -> Digest:
    """A document's identity: the digest of its payload."""
    return Digest.of(payload_of(document))


def dump_json(value: Any, *, sort: bool = False) -> bytes:
    """A document as it is written: indented UTF-8 with a trailing newline, members sorted if asked for."""
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=sort) + "\n").encode()


def dump_line(value: Any) -> str:
    """A value on one line, members sorted: lines keep Git diffs and merges small."""
    return _LINE.encode(value)


_LINE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def dump_lines(head: dict[str, Any], name: str, rows: list[Any]) -> bytes:
    """An object whose last member `name` is an array with one row per line of text."""
    start = dump_line(head)[:-1]
    comma = "," if head else ""
    body = ",\n".join(dump_line(row) for row in rows)
    return (
        f'{start}{comma}"{name}":[\n{body}\n]}}\n'.encode()
        if rows
        else f'{start}{comma}"{name}":[]}}\n'.encode()
    )
