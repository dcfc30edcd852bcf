"""Plain text for people: tables, sizes, ages. Pure.

What a registry says is shown without control characters: no publisher sends escape sequences to a terminal.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_KILO = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_STATUS_COLOURS = {"released": "green", "deprecated": "yellow", "staged": "yellow", "testing": "yellow"}


def clean(text: str) -> str:
    """The text on one line, with blanks in place of control characters and line breaks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def clean_lines(text: str) -> list[str]:
    """The lines of a longer text, each without control characters."""
    return [clean(line) for line in text.splitlines()]


def paint(text: str, colour: str, *, enabled: bool) -> str:
    """The text in a colour of ANSI terminals, or as it is."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if enabled and text else text


def paint_status(status: str, *, enabled: bool) -> str:
    """A status in its colour: green may be used, yellow with care, red not."""
    return paint(status, _STATUS_COLOURS.get(status, "red"), enabled=enabled)


def table(rows: Iterable[Sequence[str]], *, width: int | None = None) -> list[str]:
    """Rows with aligned columns.

    Args:
        rows: cells; all rows have the same number of them.
        width: lines are cut to this many characters; None leaves them whole.
    """
    cells = [tuple(row) for row in rows]
    if not cells:
        return []
    widths = [max(_shown_length(row[column]) for row in cells) for column in range(len(cells[0]))]
    widths[-1] = 0
    return [
        _cut("  ".join(_pad(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip(), width)
        for row in cells
    ]


def facts(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Names and values in two columns; rows without a value are left out."""
    return table([(name, value) for name, value in rows if value])


def _shown_length(text: str) -> int:
    return len(_ESCAPE.sub("", text)) if "\x1b" in text else len(text)


def _pad(text: str, size: int) -> str:
    return text + " " * (size - _shown_length(text))


def _cut(line: str, width: int | None) -> str:
    if width is None or _shown_length(line) <= width:
        return line
    if "\x1b" not in line:
        return line[: width - 1] + "…"
    kept, room = [], width - 1
    for part in re.split(f"({_ESCAPE.pattern})", line):
        if part.startswith("\x1b"):
            kept.append(part)
        else:
            kept.append(part[:room])
            room -= len(kept[-1])
    return "".join(kept) + "…"


def size(count: int) -> str:
    """Bytes as people read them, such as `12.3 kB`."""
    if count < _KILO:
        return f"{count} B"
    value, units = count / _KILO, ["kB", "MB", "GB"]
    while value >= _KILO and len(units) > 1:
        value /= _KILO
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def age(seconds: float) -> str:
    """A duration in its largest unit, such as `3 minutes`."""
    for unit, length in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE), ("second", 1)):
        count = int(seconds // length)
        if count >= 1:
            return counted(count, unit)
    return "0 seconds"


def counted(count: int, noun: str) -> str:
    """A number with its noun, such as `1 plugin` or `2 plugins`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
