"""Git's objects: the ids of bytes and of trees of plain files, and what stands in a tree object. Pure: needs no Git."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from registry_client.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN_FILE: Final = "100644"
REGULAR: Final = frozenset({PLAIN_FILE, "100755"})
FOLDER: Final = "40000"


class Blob(NamedTuple):
    """A file in a tree: its mode, such as `100644`, and its object id. Of a folder, the mode is `FOLDER`."""

    mode: str
    oid: str


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


def parse_tree(data: bytes, oid_length: int, *, errors: str = "surrogateescape") -> dict[str, Blob]:
    """The entries of a tree object by name.

    Args:
        data: the object.
        oid_length: bytes of an object id: 20, or 32 with SHA-256.
        errors: what becomes of names that are not UTF-8, as for `bytes.decode`.

    Raises:
        GitError: not a tree.
    """
    entry = _entry(oid_length)
    found: dict[bytes, Blob] = {}
    start = count = 0
    # Each where the last one ended: to search for one in a stranger's megabytes would take hours.
    while match := entry.match(data, start):
        mode, name, oid = match.groups()
        found[name] = Blob(mode.lstrip(b"0").decode(), oid.hex())
        start, count = match.end(), count + 1
    if start != len(data) or count != len(found):
        raise GitError("a folder of this commit is not a sound Git tree")
    return {name.decode("utf-8", errors): blob for name, blob in found.items()}


@cache
def _entry(oid_length: int) -> re.Pattern[bytes]:
    return re.compile(rb"([0-7]{1,7}) ([^\0/]+)\0(.{%d})" % oid_length, re.DOTALL)
