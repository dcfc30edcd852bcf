"""Untrusted text in GitHub's Markdown: job summaries, bodies of pull requests and issues. Pure.

Whatever a stranger wrote shows as written. It opens no link, image, table cell or HTML element, mentions nobody and refers to no issue.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# GitHub looks for mentions, references and bare links in what Markdown has rendered, so that neither a backslash nor an entity keeps
# them from being found; an invisible character in their middle does.
_BREAK = "&#8203;"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_BACKSLASHED = frozenset("\\`*_[]{}|~!")
_AT_START = re.compile(r"[-+=]|[0-9]{1,9}[.)]")
_LIVELY = re.compile(r"[@#]|:(?=[\w+/-])|(?i:www(?=\.)|\bgh-(?=[0-9]))")
_IN_SPAN = re.compile(r"[^`|]+")


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Markdown:
    """Markdown that shows a text as it is, on one line. What is `Markdown` already stays as it is."""
    if isinstance(text, Markdown):
        return text
    plain = one_line(text)
    start = _AT_START.match(plain)
    head = start.end() - 1 if start else -1  # a list, a heading's underline: only where a line begins
    parts, done = [], 0
    for match in _LIVELY.finditer(plain):
        parts += [_escaped(plain, done, match.end(), head), _BREAK]
        done = match.end()
    return Markdown("".join([*parts, _escaped(plain, done, len(plain), head)]))


def _escaped(text: str, start: int, end: int, head: int) -> str:
    return "".join(
        f"\\{letter}" if letter in _BACKSLASHED or number == head else _ENTITIES.get(letter, letter)
        for number, letter in enumerate(text[start:end], start)
    )


def code(text: str) -> Markdown:
    """A code span that shows a text as it is, on one line, in tables too. Nothing where there is no text."""
    plain = one_line(text)
    if not plain:
        return Markdown()
    if _IN_SPAN.fullmatch(plain):
        return Markdown(f"`{plain}`")
    # No backslash counts in a code span, and a table's row is cut at its bars before spans are looked for.
    inner = "".join(
        letter if letter.isalnum() or letter == " " or ord(letter) > 127 else f"&#{ord(letter)};"  # noqa: PLR2004  (ASCII)
        for letter in plain
    )
    return Markdown(f"<code>{inner}</code>")


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Markdown:
    """A table. Cells are escaped, unless they are `Markdown` already."""
    lines = [headers, ["---"] * len(headers), *rows]
    return Markdown(
        "".join(
            f"| {' | '.join(_cell(cell, number) for cell in row)} |\n" for number, row in enumerate(lines)
        )
    )


def _cell(text: str, line: int) -> str:
    if line == 1:  # below the headers
        return text
    return " ".join(escape(text).split("\n"))


def one_line(text: str) -> str:
    """A text without line breaks, control characters and what changes the direction of writing."""
    kept = (
        " " if letter.isspace() or letter in "\x1c\x1d\x1e\x1f" else letter
        for letter in text
        if letter.isspace() or unicodedata.category(letter) not in {"Cc", "Cf", "Cs"}
    )
    return " ".join("".join(kept).split())


__all__ = ["Markdown", "code", "escape", "one_line", "table"]
