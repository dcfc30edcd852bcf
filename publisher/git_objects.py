"""The ids that Git gives to bytes and to trees of plain files. Pure: needs no Git."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN_FILE: Final = "100644"


def blob_id(data: bytes) -> str:
    """The object id that Git gives these bytes."""
    return _object_id("blob", data)


def tree_id(files: Mapping[str, bytes]) -> str:
    """The object id that Git gives a tree of plain files: equal for equal files, whoever commits them and when."""
    folders: dict[str, dict[str, bytes]] = {}
    entries: list[tuple[bytes, bytes]] = []  # by name as Git sorts: a folder's as if it ended with a slash
    for path, data in files.items():
        first, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(first, {})[rest] = data
        else:
            raw = bytes.fromhex(blob_id(data))
            entries.append((path.encode(), b"%s %s\0%s" % (PLAIN_FILE.encode(), path.encode(), raw)))
    for folder, below in folders.items():
        raw = bytes.fromhex(tree_id(below))
        entries.append((folder.encode() + b"/", b"40000 %s\0%s" % (folder.encode(), raw)))
    return _object_id("tree", b"".join(entry for _, entry in sorted(entries)))


def _object_id(kind: str, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(data), data), usedforsecurity=False).hexdigest()
