"""The bytes of `registry.json`, looked into and changed line by line: it is never parsed whole. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import dump_line, dump_lines
from registry_client.models.base import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT_VERSION = "1.0.0"
_NAME = "plugins"
_TAIL = b"\n]}\n"
Line = dict[str, Any]


def build_listing(lines: Mapping[str, Line], now: datetime) -> bytes:
    """The whole file.

    Args:
        lines: by plugin id.
        now: the time of this change, UTC.
    """
    return dump_lines(_head(now), _NAME, [lines[plugin_id] for plugin_id in sorted(lines)])


def _head(now: datetime) -> dict[str, str]:
    return {"version": FORMAT_VERSION, "lastUpdated": format_time(now)}


class Listing:
    """A registry.json that the registrar wrote: its lines stand in the order of their ids.

    Args:
        data: its bytes, digest-checked.

    Raises:
        DocumentError: it is none.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._start = data.find(b"\n") + 1
        self._end = len(data) - len(_TAIL) + 1  # behind the last line's newline
        is_empty = data.endswith(b'"%s":[]}\n' % _NAME.encode())
        if is_empty:
            self._start = self._end = len(data)
        elif not data.endswith(_TAIL) or data[: self._start - 1][-1:] != b"[":
            raise _odd("expected one line for each plugin")
        head = data if is_empty else data[: self._start] + b"]}"
        try:
            self.updated = datetime.fromisoformat(json.loads(head)["lastUpdated"])
        except (ValueError, KeyError, TypeError) as e:
            raise _odd("expected a time in lastUpdated") from e

    def find(self, plugin_id: str) -> Line | None:
        """A plugin's line, or None."""
        start, end = self._place(plugin_id)
        return self._line(start, end) if start < end else None

    def lines(self) -> Iterator[Line]:
        """All lines."""
        start = self._start
        while start < self._end:
            end = self._end_of(start)
            yield self._line(start, end)
            start = end

    def spliced(self, changes: Mapping[str, Line | None], now: datetime) -> bytes:
        """The file with some lines put in, replaced, or (None) taken out.

        Args:
            changes: by plugin id.
            now: the time of this change, UTC.
        """
        pieces: list[bytes | memoryview] = []
        view, at = memoryview(self.data), self._start

        def keep(end: int) -> None:
            if end > at:
                whole = view[at:end]
                pieces.append(whole if whole[-2] == ord(",") else bytes(whole[:-1]) + b",\n")

        for plugin_id, line in sorted(changes.items()):
            start, end = self._place(plugin_id)
            keep(start)
            at = end
            if line is not None:
                pieces.append(dump_line(line).encode() + b",\n")
        keep(self._end)
        if not pieces:
            return dump_lines(_head(now), _NAME, [])
        pieces[-1] = bytes(pieces[-1][:-2])
        head = dump_lines({**_head(now)}, _NAME, [0]).partition(b"\n")[0] + b"\n"
        return b"".join([head, *pieces, _TAIL])

    def _place(self, plugin_id: str) -> tuple[int, int]:
        """Where a plugin's line stands, its end of line included; twice the same number where it would have to be put in."""
        low, high = self._start, self._end
        while low < high:
            middle = (low + high) // 2
            start = max(self.data.rfind(b"\n", self._start, middle) + 1, low)
            end = self._end_of(start)
            found = self._line(start, end)["id"]
            if found == plugin_id:
                return start, end
            if found < plugin_id:
                low = end
            else:
                high = start
        return low, low

    def _end_of(self, start: int) -> int:
        return self.data.index(b"\n", start) + 1

    def _line(self, start: int, end: int) -> Line:
        try:
            line = json.loads(self.data[start:end].rstrip(b",\n"))
            if isinstance(line["id"], str) and isinstance(line["version"], str):
                return dict(line)
        except (ValueError, KeyError, TypeError) as e:
            raise _odd(f"not a line of the catalogue at byte {start}") from e
        raise _odd(f"not a line of the catalogue at byte {start}")


def _odd(message: str) -> DocumentError:
    return DocumentError("registry.json", [Problem("$", message)])
