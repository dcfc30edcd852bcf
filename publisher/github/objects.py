"""Single Git objects, read through GitHub's API: bounded, and checked by their hash."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from publisher.git_objects import PLAIN_FILE, blob_id
from publisher.github.answers import items_of, member_of, text_of
from publisher.github.api import repository_path
from publisher.registrar.submission import MAX_IN_TREE
from registry_client.errors import GitHubError

if TYPE_CHECKING:
    from publisher.github.api import Api

_MODES: Final = frozenset({PLAIN_FILE, "100755"})
_LONGEST_FILE: Final = max(MAX_IN_TREE, 16 * 1024 * 1024)


@dataclass(frozen=True)
class Item:
    """One entry of a folder.

    Attributes:
        kind: `blob` for a regular file, `tree` for a folder, anything else for what is neither.
        oid: object id.
        size: of a file, in bytes.
    """

    kind: str
    oid: str
    size: int = 0


class TruncatedError(GitHubError):
    """GitHub lists only part of a tree."""


@dataclass(frozen=True)
class CommitInfo:
    """What a commit says: the tree it holds, and the commits it follows."""

    tree: str
    parents: tuple[str, ...]


def commit_info(api: Api, name: str, commit: str) -> CommitInfo:
    """Tree and parents of a commit."""
    answer = api.get(repository_path(name, "git", "commits", commit))
    parents = tuple(text_of(item, "sha") for item in items_of(member_of(answer, "parents", list)))
    return CommitInfo(text_of(answer, "tree", "sha"), parents)


def read_blob(api: Api, name: str, item: Item, where: str, limit: int = _LONGEST_FILE) -> bytes:
    """The bytes of a file.

    Args:
        api: GitHub's API.
        name: `OWNER/REPO`.
        item: the file, as its folder lists it.
        where: its path, for messages.
        limit: how many bytes it may have.

    Raises:
        GitHubError: it has more, or what came is not what its object id stands for.
    """
    if item.size > limit:
        raise GitHubError(f"{name}: {where} has {item.size} bytes; at most {limit} are allowed")
    answer = api.get(repository_path(name, "git", "blobs", item.oid))
    content, encoding = text_of(answer, "content"), text_of(answer, "encoding")
    try:
        data = base64.b64decode(content) if encoding == "base64" else content.encode()
    except ValueError:
        data = b""
    if blob_id(data) != item.oid:
        raise GitHubError(
            f"{name}: the bytes of {where} are not those of blob {item.oid[:12]}", hint="Try again."
        )
    return data


def listed_item(answer: Any) -> Item:
    """An entry of a folder as the contents API lists it."""
    kind = text_of(answer, "type")
    if kind == "file" and member_of(answer, "download_url", (str, type(None))) is not None:
        return Item("blob", text_of(answer, "sha"), member_of(answer, "size", int))
    # A submodule is listed as a file too, but as one that cannot be downloaded.
    return Item("tree" if kind == "dir" else "other", text_of(answer, "sha"))


def list_tree(api: Api, name: str, tree: str, *, recursive: bool = False) -> dict[str, Item]:
    """The entries of a tree by path.

    Raises:
        TruncatedError: GitHub lists only part of them.
    """
    parameters = {"recursive": "1"} if recursive else {}
    answer = api.get(repository_path(name, "git", "trees", tree), **parameters)
    if member_of(answer, "truncated", bool):
        raise TruncatedError(
            f"{name}: tree {tree[:12]} has more entries than GitHub lists",
            hint="Give the repository's Git URL instead of its name.",
        )
    found: dict[str, Item] = {}
    for entry in items_of(member_of(answer, "tree", list)):
        kind = text_of(entry, "type")
        if kind == "blob" and text_of(entry, "mode") in _MODES:
            found[text_of(entry, "path")] = Item(kind, text_of(entry, "sha"), member_of(entry, "size", int))
        else:
            found[text_of(entry, "path")] = Item(kind if kind == "tree" else "other", text_of(entry, "sha"))
    return found
