"""Which lines of `registry.json` can hold what is searched for: the others need not be parsed. Pure.

`registry.json` has one plugin a line. Words are looked for in its bytes, and a line is left out only where that shows that
it cannot match; what remains is a smaller catalogue of the same form, which is parsed and searched as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.errors import DocumentError
from registry_client.jsontext import dump_line, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START = b'"plugins":[\n'
_END = b"\n]}\n"
_BETWEEN = b"},\n{"
_HEAD_LIMIT = 4096
# Lines with one of these are always kept, as their bytes do not show what they say in lower case: escapes of characters that need
# none; U+0130 and U+212A, the only ones outside ASCII that turn into ASCII letters; capital sigma, which depends on its neighbours.
_UNCLEAR = (b"\\u", b"\\/", "\u0130".encode(), "\u212a".encode(), "\u03a3".encode())


def keep_candidates(data: bytes, words: Sequence[str]) -> bytes | None:
    """The catalogue with only those lines that may hold all the words.

    Args:
        data: a catalogue.
        words: in lower case, without white space; at least one.

    Returns:
        A catalogue in which the same entries match, if `data` is one. None if it does not have the form that the registrar writes,
        or most lines remain. What is wrong with a line that is left out is not found.
    """
    head, start, rest = data.partition(_START)
    if not (rest.startswith(b"{") and rest.endswith(b"}" + _END) and _is_head(head)):
        return None
    body = rest[: -len(_END)]
    count = body.count(b"\n") + 1
    if body.count(_BETWEEN) != count - 1:
        return None
    kept = _holding(body, words) | _unclear(body) | _nested(body, count)
    if len(kept) > count // 2:
        return None
    return b"".join((head, start, b",\n".join(_line(body, at) for at in sorted(kept)), _END))


def _is_head(head: bytes) -> bool:
    """Whether the array that begins after it is the member `plugins` of the document itself."""
    try:
        found = parse_json(head + b'"plugins":[]}', limit=_HEAD_LIMIT, where="")
    except DocumentError:
        return False
    return found.get("plugins") == []


def _holding(body: bytes, words: Sequence[str]) -> set[int]:
    """Where the lines begin that hold every word as JSON writes it, in any case."""
    needles = [dump_line(word)[1:-1] for word in words]
    plain = sorted((needle.encode() for needle in needles if needle.isascii()), key=len, reverse=True)
    found = None
    if plain:
        lowered = body.lower()  # A to Z only, which is quick, and moves nothing
        found = {
            at
            for at in _lines_with(lowered, plain[0])
            if all(needle in _line(lowered, at) for needle in plain[1:])
        }
    others = [needle for needle in needles if not needle.isascii()]
    if others:
        texts = body.decode(errors="replace").lower().split("\n")
        holding = {
            at
            for at, text in zip(_starts(body), texts, strict=True)
            if all(needle in text for needle in others)
        }
        found = holding if found is None else found & holding
    return found or set()


def _unclear(body: bytes) -> set[int]:
    """Where the lines begin whose bytes do not show what they say in lower case."""
    return {at for sign in _UNCLEAR if sign[:1] in body for at in _lines_with(body, sign)}


def _nested(body: bytes, count: int) -> set[int]:
    """Where the lines begin that may hold more than one object, or a part of one: those with more than two braces."""
    if body.count(b"{") == body.count(b"}") == count:
        return set()
    lines = body.split(b"\n")
    return {
        at
        for at, line in zip(_starts(body), lines, strict=True)
        if line.count(b"{") != 1 or line.count(b"}") != 1
    }


def _lines_with(body: bytes, sign: bytes) -> Iterator[int]:
    """Where the lines begin that hold some bytes."""
    at = body.find(sign)
    while at >= 0:
        yield body.rfind(b"\n", 0, at) + 1
        end = body.find(b"\n", at)
        at = body.find(sign, end) if end >= 0 else -1


def _starts(body: bytes) -> Iterator[int]:
    """Where all lines begin."""
    at = 0
    for line in body.split(b"\n"):
        yield at
        at += len(line) + 1


def _line(body: bytes, start: int) -> bytes:
    """The line that begins there, without its comma."""
    end = body.find(b"\n", start)
    return body[start:].removesuffix(b",") if end < 0 else body[start:end].removesuffix(b",")
