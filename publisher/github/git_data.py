"""Git objects and refs through GitHub's API: what is published appears complete, and what is read is bounded and checked by its hash.

Nothing here decides what may be published. Answers are taken for what GitHub documents; one that is something else is an error.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from publisher.git import AUTHOR
from publisher.git_objects import PLAIN_FILE, blob_id, tree_id
from publisher.github.answers import items_of, text_of
from publisher.github.api import repository_path
from publisher.github.objects import Item, commit_info, list_tree, listed_item, read_blob
from registry_client.errors import GitHubError, PublishError
from registry_client.models.base import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from publisher.github.api import Api

_LISTED_AT_MOST: Final = 1000
_MOST_FOLDERS: Final = 1000
_NO_ANSWER: Final = frozenset({404, 409})  # absent; a repository without any commit answers 409
_UNPROCESSABLE: Final = 422


# -- refs ---------------------------------------------------------------------------------------------------------------


def branch_head(api: Api, name: str, branch: str) -> str | None:
    """The commit that a branch points to; None if there is no such branch, or no such repository for this token."""
    return ref_target(api, name, f"refs/heads/{branch}")


def ref_target(api: Api, name: str, ref: str) -> str | None:
    """The object id that a ref such as `refs/heads/main` points to, or None."""
    try:
        answer = api.get(repository_path(name, "git", "ref", _short(ref)))
    except GitHubError as e:
        if e.status in _NO_ANSWER:
            return None
        raise
    return text_of(answer, "object", "sha")


def matching_refs(api: Api, name: str, prefix: str) -> dict[str, str]:
    """Object ids by ref, for all refs that begin with a prefix such as `refs/heads/publish/`."""
    answer = api.get(repository_path(name, "git", "matching-refs", _short(prefix)))
    return {text_of(item, "ref"): text_of(item, "object", "sha") for item in items_of(answer)}


def create_ref(api: Api, name: str, ref: str, commit: str) -> bool:
    """Create a ref. False if it exists already and points elsewhere.

    One that points to this commit counts as created: the answer to a first attempt may have been lost.

    Raises:
        GitHubError: it does not exist, and may not be created.
    """
    try:
        api.post(repository_path(name, "git", "refs"), {"ref": f"refs/{_short(ref)}", "sha": commit})
    except GitHubError as e:
        there = ref_target(api, name, ref) if e.status == _UNPROCESSABLE else None
        if there is None:
            raise
        return there == commit
    return True


def update_ref(api: Api, name: str, ref: str, commit: str, *, force: bool = False) -> None:
    """Move a ref.

    Args:
        api: GitHub's API.
        name: `OWNER/REPO`.
        ref: such as `refs/heads/propose/calendar@1.0.0`.
        commit: where to.
        force: also to a commit that does not follow the one it points to.

    Raises:
        GitHubError: status 422: the ref does not exist, or the commit does not follow it and `force` is not given.
    """
    api.patch(repository_path(name, "git", "refs", _short(ref)), {"sha": commit, "force": force})


def _short(ref: str) -> str:
    """A ref as the paths of the API name it: without `refs/`."""
    return ref.removeprefix("refs/")


# -- writing ------------------------------------------------------------------------------------------------------------


def create_commit(
    api: Api,
    name: str,
    files: Mapping[str, bytes],
    message: str,
    when: datetime,
    *,
    parent: str | None = None,
) -> str:
    """Make a commit that no ref names yet.

    Args:
        api: GitHub's API.
        name: `OWNER/REPO`.
        files: bytes by path.
        message: the commit message.
        when: its date.
        parent: the commit it follows, whose other files stay; None for one without a parent that holds just these files.

    Returns:
        Its object id: the same for the same arguments.

    Raises:
        GitHubError: GitHub refuses it, or stored other bytes than these.
    """
    body: dict[str, Any] = {"tree": [_new_entry(api, name, path, files[path]) for path in sorted(files)]}
    if parent is not None:
        body["base_tree"] = commit_info(api, name, parent).tree
    tree = text_of(api.post(repository_path(name, "git", "trees"), body), "sha")
    if parent is None and tree != tree_id(files):
        raise GitHubError(
            f"{name}: GitHub made the tree {tree[:12]} of the files, not {tree_id(files)[:12]}",
            hint="What is signed must stay as it is, byte for byte: publish with git instead (--to with the repository's URL).",
        )
    who = {"name": AUTHOR[0], "email": AUTHOR[1], "date": format_time(when)}
    commit = {
        "message": message,
        "tree": tree,
        "parents": [] if parent is None else [parent],
        "author": who,
        "committer": who,
    }
    return text_of(api.post(repository_path(name, "git", "commits"), commit), "sha")


def _new_entry(api: Api, name: str, path: str, data: bytes) -> dict[str, str]:
    """An entry for a new tree: JSON goes with the tree, anything else is uploaded before."""
    entry = {"path": path, "mode": PLAIN_FILE, "type": "blob"}
    text = _json_text(path, data)
    if text is not None:
        return {**entry, "content": text}
    body = {"content": base64.b64encode(data).decode(), "encoding": "base64"}
    oid = text_of(api.post(repository_path(name, "git", "blobs"), body), "sha")
    if oid != blob_id(data):
        raise GitHubError(f"{name}: GitHub made the blob {oid[:12]} of {path}, not {blob_id(data)[:12]}")
    return {**entry, "sha": oid}


def _json_text(path: str, data: bytes) -> str | None:
    if not path.endswith(".json") or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# -- reading ------------------------------------------------------------------------------------------------------------


def read_commit_files(
    api: Api, name: str, commit: str, limits: Callable[[str], int | None], most: int
) -> dict[str, bytes]:
    """All files of a commit that a stranger may have made: one without a parent that holds a few plain files.

    Args:
        api: GitHub's API.
        name: `OWNER/REPO`.
        commit: its object id.
        limits: how many bytes a path may have, or None if it may not be there.
        most: how many files it may have.

    Raises:
        PublishError: it is something else. GitHubError: it cannot be read.
    """
    info = commit_info(api, name, commit)
    if info.parents:
        raise PublishError(
            f"{name}: commit {commit[:12]} has a parent; a submission is one commit without any"
        )
    listed = list_tree(api, name, info.tree, recursive=True)
    chosen = {path: item for path, item in listed.items() if item.kind != "tree"}
    if len(chosen) > most:
        raise PublishError(
            f"{name}: commit {commit[:12]} holds {len(chosen)} files; at most {most} are looked at"
        )
    bounds: dict[str, int] = {}
    for path, item in chosen.items():
        limit = limits(path) if item.kind == "blob" else None
        if limit is None or item.size > limit:
            raise PublishError(
                f"{name}: commit {commit[:12]} holds {path[:120]!r}, which no submission holds, or more of it than is allowed"
            )
        bounds[path] = limit
    return {path: read_blob(api, name, item, path, bounds[path]) for path, item in chosen.items()}


class GitHubTree:
    """The files of one commit, each listed and read when it is first asked for. Links and submodules are absent.

    Args:
        api: GitHub's API.
        name: `OWNER/REPO`.
        commit: the commit.
    """

    def __init__(self, api: Api, name: str, commit: str) -> None:
        self._api = api
        self._name = name
        self.commit = commit
        self._folders: dict[str, dict[str, Item]] = {}
        self._read: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""
        folder, _, base = path.rpartition("/")
        item = self._list(folder).get(base)
        if item is None or item.kind != "blob":
            return None
        if path not in self._read:
            self._read[path] = read_blob(self._api, self._name, item, path)
        return self._read[path]

    def paths(self, folder: str) -> Iterator[str]:
        """All paths of regular files below a folder, sorted.

        Raises:
            GitHubError: there are more folders than this is meant for: a large registry is read with git.
        """
        found: list[str] = []
        waiting = [folder]
        looked_at = 0
        while waiting:
            here = waiting.pop()
            looked_at += 1
            if looked_at > _MOST_FOLDERS:
                raise GitHubError(
                    f"{self._name}: more than {_MOST_FOLDERS} folders below {folder or 'the top'!r}",
                    hint="Give the repository's Git URL instead of its name.",
                )
            for base, item in self._list(here).items():
                path = f"{here}/{base}" if here else base
                if item.kind == "tree":
                    waiting.append(path)
                elif item.kind == "blob":
                    found.append(path)
        return iter(sorted(found))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders that stand in a folder, sorted."""
        return sorted(name for name, item in self._list(folder).items() if item.kind == "tree")

    def _list(self, folder: str) -> dict[str, Item]:
        """The entries of a folder by name. A folder that is known not to exist is not asked for."""
        if folder not in self._folders:
            parent, _, base = folder.rpartition("/")
            known = self._folders.get(parent) if folder else None
            missing = known is not None and (base not in known or known[base].kind != "tree")
            self._folders[folder] = {} if missing else self._ask(folder)
        return self._folders[folder]

    def _ask(self, folder: str) -> dict[str, Item]:
        answer = self._api.find(
            repository_path(self._name, "contents", *([folder] if folder else [])), ref=self.commit
        )
        if not isinstance(answer, list):  # nothing there, or a file
            return {}
        if len(answer) < _LISTED_AT_MOST:
            return {text_of(item, "name"): listed_item(item) for item in items_of(answer)}
        # More than this endpoint lists: the tree itself, by its object id, which the folder above knows.
        parent, _, base = folder.rpartition("/")
        above = self._list(parent).get(base) if folder else Item("tree", self.commit)
        return {} if above is None else list_tree(self._api, self._name, above.oid)


__all__ = [
    "GitHubTree",
    "branch_head",
    "commit_info",
    "create_commit",
    "create_ref",
    "matching_refs",
    "read_commit_files",
    "ref_target",
    "update_ref",
]
