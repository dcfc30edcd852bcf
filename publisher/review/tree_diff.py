"""Which files two Git trees differ in. Pure: objects come from a function.

A stranger made one of the trees, and a few small objects can name billions of files. So only folders that differ are looked into, one
at a time, and there is an end to how many, how large, and how many differences are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.git_objects import FOLDER, Blob, parse_tree
from registry_client.errors import PublishError
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FILES = 1000
_MOST_FOLDERS = 3000
_MOST_BYTES = 64 * MIB


@dataclass(frozen=True)
class FileDiff:
    """A file that differs; None where there is none."""

    path: str
    old: Blob | None
    new: Blob | None


def diff_trees(
    read: Callable[[str, int], bytes], old: str, new: str, *, most: int = MOST_FILES
) -> list[FileDiff]:
    """Every file that differs, by path.

    Args:
        read: the bytes of a tree object by its id; refuses one that is longer than the number given.
        old: id of a tree.
        new: id of the tree that a stranger made.
        most: how many differences there may be.

    Raises:
        PublishError: there are more, or the trees are larger than what is looked at. GitError: not a tree.
    """
    found: list[FileDiff] = []
    pending: list[tuple[str, str | None, str | None]] = [("", old, new)]
    folders, left = 0, _MOST_BYTES
    while pending:
        prefix, *pair = pending.pop()
        sides = []
        for oid in pair:
            data = read(oid, left) if oid else b""
            folders, left = folders + 1, left - len(data)
            sides.append(parse_tree(data, len(oid or "") // 2))
        before, after = sides
        for name in before.keys() | after.keys():
            a, b = before.get(name), after.get(name)
            if a == b:
                continue
            path = prefix + name
            inner = [side.oid if side and side.mode == FOLDER else None for side in (a, b)]
            if any(inner):
                pending.append((f"{path}/", inner[0], inner[1]))
            a, b = (None if side and side.mode == FOLDER else side for side in (a, b))
            if a != b:
                found.append(FileDiff(path, a, b))
        if len(found) > most or folders > _MOST_FOLDERS:
            raise PublishError(
                f"changes more than {most} files, or has more folders than are looked at",
                hint="Propose one plugin or one publisher at a time.",
            )
    return sorted(found, key=lambda item: item.path)


__all__ = ["MOST_FILES", "Blob", "FileDiff", "diff_trees", "parse_tree"]
