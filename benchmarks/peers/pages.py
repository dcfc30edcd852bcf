"""A registry's index lines cut in other ways: for each plugin, in 256 parts, or whole."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ID = re.compile(r'"id":"([^"]+)"')
PARTS = 256


def read_pages(folder: Path) -> dict[str, bytes]:
    """For each plugin of a registry a JSON array of its index lines, by id.

    Args:
        folder: the registry's, as `benchmarks.bulk` leaves it: each shard stands there once.
    """
    lines: dict[str, list[str]] = {}
    for path in (folder / "targets" / "index").rglob("*.json"):
        for line in path.read_text("utf-8").split("\n")[1:-2]:
            if line.startswith('{"id"') or '"manifest":' in line:
                match = _ID.search(line)
                if match:
                    lines.setdefault(match[1], []).append(line.removesuffix(","))
    return {plugin_id: f"[{','.join(own)}]\n".encode() for plugin_id, own in sorted(lines.items())}


def part_of(plugin_id: str) -> str:
    """Which of 256 parts a plugin stands in, as two hex digits."""
    return hashlib.sha256(plugin_id.encode()).hexdigest()[:2]


def cut(pages: Mapping[str, bytes]) -> dict[str, bytes]:
    """The pages in 256 parts, by name."""
    parts: dict[str, list[bytes]] = {f"{number:02x}": [] for number in range(PARTS)}
    for plugin_id, page in pages.items():
        parts[part_of(plugin_id)].append(b'"%s":%s' % (plugin_id.encode(), page.rstrip()))
    return {name: b"{" + b",\n".join(own) + b"}\n" for name, own in parts.items()}


def whole(pages: Mapping[str, bytes]) -> bytes:
    """All pages as one file."""
    return (
        b"{"
        + b",\n".join(b'"%s":%s' % (name.encode(), page.rstrip()) for name, page in pages.items())
        + b"}\n"
    )
