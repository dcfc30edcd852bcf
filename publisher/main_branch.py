"""A registry's main branch on a Git remote: read it, push one commit with a lease, start over if it moved meanwhile."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from publisher.git import Git, Remote, scratch_repository
from publisher.git_tree import GitTree
from registry_client.errors import GitError, RegistrarError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

T = TypeVar("T")
_ATTEMPTS = 8
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_VERSIONED = re.compile(r"metadata/([0-9]{1,19})\.(snapshot|registrar|targets|blocks)\.json")
_STATEMENTS = re.compile(r"targets/(?:publishers/.+|[0-9a-f]{64}\.(?:policy|blocks)\.json)")
# What Git prints when another push was faster: a lost lease, or a lost lock on the ref.
_MOVED = (
    "stale",
    "fetch first",
    "non-fast-forward",
    "lock ref",
    "failed to update ref",
    "reference already",
    "incorrect old value",
)


class MainMovedError(Exception):
    """Another push to main was faster. `change_main` starts over; nobody else sees this."""


@dataclass(frozen=True)
class Main:
    """Main as it stands on the remote now.

    Attributes:
        git: a scratch repository; nothing is fetched into it yet.
        ref: the full name of the branch.
        commit: its commit.
        refs: commits of the other refs that were asked for, by name.
    """

    git: Git
    ref: str
    commit: str
    refs: Mapping[str, str] = field(default_factory=dict)

    def tree(self) -> GitTree:
        """The files of main, fetched as they are read, with those at once that every run reads."""
        self.git.fetch([self.commit], blobless=True)
        tree = GitTree(self.git, self.commit)
        tree.prefetch(read_in_any_case(tree))
        return tree

    def changed_since(self, tree: GitTree, base: str) -> list[str] | None:
        """The paths in which main differs from an earlier commit; None where the host or history does not let it be said.

        Args:
            tree: the files of main; those that differ are fetched.
            base: id of a commit.
        """
        if not _OID.fullmatch(base):
            return None
        try:
            if base != self.commit:
                self.git.fetch_beside(base, self.commit)
            changed = self.git.differing(base, self.commit)
        except GitError:  # gone after main was rewritten, or a host that gives no commit by its id
            return None
        tree.prefetch(changed)
        return changed

    def push(self, changes: Mapping[str, bytes | None], message: str, when: datetime) -> None:
        """Push one commit on top, which must be what main gets next. Its commit must have been fetched.

        Args:
            changes: bytes by path, or None to delete.
            message: the commit message.
            when: its date.

        Raises:
            MainMovedError: main is not what it was. GitError: the remote refuses the push.
        """
        commit = self.git.commit(self.commit, changes, message, when)
        result = self.git.push([(commit, self.ref, self.commit)])[0]
        if result.accepted:
            return
        if any(word in result.reason for word in _MOVED) or self._moved():
            raise MainMovedError
        raise GitError(
            f"the remote refuses the push to {self.ref}: {result.reason}",
            hint="The registrar's own credential must be allowed to push to main.",
        )

    def _moved(self) -> bool:
        return self.git.ls_remote(self.ref).get(self.ref) != self.commit


def read_in_any_case(tree: GitTree) -> list[str]:
    """What every look at a registry reads: what its maintainers say, the newest metadata, the catalogue."""
    newest: dict[str, tuple[int, str]] = {}
    wanted = [
        "policy.json",
        "blocks.json",
        "registry.json",
        *tree.paths("publishers"),
        *tree.paths("staging"),
    ]
    for path in tree.paths("metadata"):
        match = _VERSIONED.fullmatch(path)
        if match is None:
            wanted.append(path)
        else:
            newest[match[2]] = max(newest.get(match[2], (0, "")), (int(match[1]), path))
    wanted += [path for path in tree.paths("targets") if _STATEMENTS.fullmatch(path)]
    return wanted + [path for _, path in newest.values()]


@contextlib.contextmanager
def open_main(remote: Remote, branch: str, environ: Mapping[str, str], *patterns: str) -> Iterator[Main]:
    """Look at main.

    Args:
        remote: the registry's repository.
        branch: its main branch.
        environ: the environment for Git.
        patterns: other refs wanted.

    Raises:
        GitError: the remote cannot be reached, or has no such branch.
    """
    ref = f"refs/heads/{branch}"
    with scratch_repository(remote, environ) as git:
        refs = git.ls_remote(ref, *patterns)
        commit = refs.pop(ref, None)
        if commit is None:
            raise GitError(
                f"{remote.url} has no branch {branch!r}", hint="Push the registry first, or give --branch."
            )
        yield Main(git, ref, commit, refs)


def change_main(
    remote: Remote, branch: str, environ: Mapping[str, str], change: Callable[[Main], T], *patterns: str
) -> T:
    """Let `change` work on main, and again on what main is by then as long as another push is faster.

    Args:
        remote: the registry's repository.
        branch: its main branch.
        environ: the environment for Git.
        change: works out what follows and calls `Main.push`, or finds that there is nothing to push.
        patterns: other refs that it wants to know.

    Returns:
        What `change` gives.

    Raises:
        RegistrarError: main never stood still. RegistryError: what `change` raises; nothing was pushed.
    """
    for _ in range(_ATTEMPTS):
        with open_main(remote, branch, environ, *patterns) as main:
            try:
                return change(main)
            except MainMovedError:
                continue
    raise RegistrarError(f"{branch} moved {_ATTEMPTS} times meanwhile", hint="Run it again.")
