"""Which names and paths every common file system holds, and keeps apart. Pure; packer and unpacker share it.

A name that one system cannot hold, or takes for another name, is refused on all: an archive means the same everywhere.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TYPE_CHECKING

from registry_client.names import is_device_name

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME = 200
_MAX_NAME_BYTES = 255
_MAX_SHOWN = 120
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\\:*?"<>|]')


def name_problem(name: str) -> str | None:
    """Why a name cannot exist, or means something else, on some file system; None if it is fine."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    forbidden = _FORBIDDEN.search(name)
    if len(name) > MAX_NAME or size > _MAX_NAME_BYTES:
        reason = f"is longer than {MAX_NAME} characters or {_MAX_NAME_BYTES} bytes"
    elif not unicodedata.is_normalized("NFC", name):
        reason = "is not in Unicode's composed form (NFC), which not all systems keep"
    elif forbidden is not None:
        reason = f"holds {forbidden[0]!r}, which not all systems allow"
    elif name.endswith((".", " ")):
        reason = "ends in a dot or a space, which Windows drops"
    elif is_device_name(name):
        reason = "is a device on Windows"
    else:
        return None
    return f"its name {reason}"


def folded(path: str) -> str:
    """What two paths share that some file system takes for one."""
    return path if path.isascii() and path.islower() else unicodedata.normalize("NFC", path.casefold())


def clashes(files: Iterable[str]) -> list[str]:
    """Files or folders whose paths differ only in case: one would overwrite the other."""
    first: dict[str, str] = {}
    problems: dict[str, None] = {}
    for path in sorted(files, key=os.fsencode):
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            known = first.setdefault(folded(part), part)
            if known != part:
                problems[f"{part}: differs from {known} only in case"] = None
                break
    return list(problems)


def shown(path: str) -> str:
    """A path for messages: control characters and undecodable bytes as escapes, and no longer than a line."""
    text = path if path.isprintable() else ascii(path)[1:-1]
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
