"""A pull request out of a Git remote: fetched as objects, compared by object ids, read blob by blob. Nothing is checked out or run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from publisher.authority import pinned_root
from publisher.git import Git, Remote, scratch_repository
from publisher.git_objects import PLAIN_FILE
from publisher.git_tree import GitTree
from publisher.main_branch import read_in_any_case
from publisher.review.judge import judge
from publisher.review.paths import JUDGED, Base, Change, Problem, is_readable, place_of
from publisher.review.tree_diff import FileDiff, diff_trees
from publisher.review.verdict import Verdict
from registry_client.errors import ConfigError, GitError, PublishError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from registry_client.digest import Digest

_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# A whole ref, or a branch; nothing that Git could take for an option, a pattern or an expression.
_REF = re.compile(r"(?!-)[A-Za-z0-9_@+=,./-]{1,200}")
_DEPTH = 50


def validate_remote(
    remote: Remote,
    head: str,
    base: str,
    environ: Mapping[str, str],
    now: datetime,
    *,
    root_digest: Digest | None = None,
    allow_dev_keys: bool = False,
) -> Verdict:
    """Judge what a pull request changes.

    Args:
        remote: the registry's repository.
        head: the pull request: a ref such as `refs/pull/7/head`, a branch, or a commit.
        base: the branch that it is to be merged into.
        environ: the environment for Git.
        now: the time, UTC.
        root_digest: what metadata/1.root.json must be, or None to take the base branch's word.
        allow_dev_keys: accept development keys.

    Raises:
        GitError: a ref cannot be read. RegistryError: the base branch itself does not verify.
    """
    with scratch_repository(remote, environ) as git:
        tip, proposed = _find(git, remote, base, head)
        git.fetch(list(dict.fromkeys([tip, proposed])), depth=_DEPTH, blobless=True)
        try:
            diffs = _diff(git, tip, proposed)
        except PublishError as e:
            return Verdict(problems=(Problem("", e.message, e.hint),))
        tree = _Files(git, GitTree(git, tip))
        tree.prefetch([*read_in_any_case(tree.below), *tree.paths("targets/index")])
        git.fetch_objects(diff.new.oid for diff in diffs if diff.new is not None and _is_judged(diff))
        changes = [_change(git, diff, tree.below) for diff in diffs]
        registry = Base(
            tree, pinned_root(tree, root_digest), now, allow_dev_keys, tree.patched, tree.prefetch
        )
        return judge(changes, registry)


class _Files:
    """The files of a commit with some changes on top, read when they are asked for.

    Attributes:
        below: the commit.
    """

    def __init__(self, git: Git, below: GitTree, oids: Mapping[str, str | None] | None = None) -> None:
        self._git = git
        self.below = below
        self._oids = oids or {}

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        if path not in self._oids:
            return self.below.read(path)
        oid = self._oids[path]
        return None if oid is None else self._git.read(oid)

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        changed = {path: oid for path, oid in self._oids.items() if path.startswith(prefix)}
        paths = {*self.below.paths(folder), *changed}
        return iter(sorted(path for path in paths if changed.get(path, "") is not None))

    def prefetch(self, paths: Iterable[str]) -> None:
        """Fetch files that are going to be read, together."""
        self.below.prefetch(paths)

    def patched(self, changes: Iterable[Change]) -> _Files:
        """These files with some changes on top. Files that may not be read are left as they were."""
        oids = dict(self._oids)
        for change in changes:
            if change.new is None:
                oids[change.path] = None
            elif is_readable(change):
                oids[change.path] = change.new.oid
        return _Files(self._git, self.below, oids)


def _find(git: Git, remote: Remote, base: str, head: str) -> tuple[str, str]:
    """The commits of base and head on the remote.

    Raises:
        ConfigError: not a ref. GitError: there is none of that name.
    """
    for option, text in (("--base", base), ("--head", head)):
        if not _REF.fullmatch(text) or ".." in text:
            raise ConfigError(
                f"{option}: {text[:100]!r} is not a ref",
                hint="Give a branch, a ref such as refs/pull/7/head, or a commit.",
            )
    names = {option: [text, f"refs/heads/{text}"] for option, text in (("--base", base), ("--head", head))}
    refs = git.ls_remote(*(name for found in names.values() for name in found))
    commits = {}
    for option, (text, branch) in names.items():
        commit = refs.get(text if text.startswith("refs/") else branch)
        if commit is None and option == "--head" and _OID.fullmatch(text):
            commit = text
        if commit is None:
            raise GitError(f"{remote.url} has no {text!r}", hint=f"Check {option}.")
        commits[option] = commit
    return commits["--base"], commits["--head"]


def _diff(git: Git, tip: str, proposed: str) -> list[FileDiff]:
    """What differs between head and where it branched off.

    Raises:
        PublishError: they have no history in common, or more differs than is looked at.
    """
    branched = _merge_base(git, tip, proposed)
    return diff_trees(
        lambda oid, limit: _read_tree(git, oid, limit), *(_tree(git, c) for c in (branched, proposed))
    )


def _merge_base(git: Git, tip: str, proposed: str) -> str:
    """Where a branch left another.

    What a few commits show can mislead: who made the branch can hide its true beginning behind a long history. So anything
    but the tip itself is looked for again in all of the history, which is fetched without its files.
    """
    found = _merge_bases(git, tip, proposed)
    if found != [tip] and (git.folder / "shallow").exists():
        git.run(
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--unshallow", "--filter=tree:0"),
            *("origin", tip, proposed),
        )
        found = _merge_bases(git, tip, proposed)
    if len(found) != 1:
        what = "no history" if not found else "more than one beginning"
        raise PublishError(
            f"the pull request has {what} in common with the base branch",
            hint="Make it again: a branch on the tip of the base branch, with these changes in one commit.",
        )
    return found[0]


def _merge_bases(git: Git, tip: str, proposed: str) -> list[str]:
    return git.run("merge-base", "--all", tip, proposed, check=False).decode().split()


def _tree(git: Git, commit: str) -> str:
    return git.run("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}").decode().strip()


def _read_tree(git: Git, oid: str, limit: int) -> bytes:
    kind, size = git.size(oid)
    if kind != "tree":
        raise GitError(f"object {oid[:12]} is a {kind}, not a tree")
    if size > limit:
        raise PublishError("has folders that are larger than what is looked at")
    return git.read(oid)


def _change(git: Git, diff: FileDiff, tip: GitTree) -> Change:
    """A difference with what the base branch has now, and with the new file's size where that matters."""
    base = tip.entry(diff.path)
    if diff.new is None or not _is_judged(diff):
        return Change(diff.path, diff.old, diff.new, base)
    return Change(diff.path, diff.old, diff.new, base, git.size(diff.new.oid)[1])


def _is_judged(diff: FileDiff) -> bool:
    """Whether the new file is one that is looked into."""
    plain = diff.new is not None and diff.new.mode == PLAIN_FILE
    return plain and place_of(diff.path).area in JUDGED


__all__ = ["validate_remote"]
