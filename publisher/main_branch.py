"""A registry's main branch on a Git remote: read it, push one commit with a lease, start over if it moved meanwhile."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from publisher.git import Git, GitTree, Remote, scratch_repository
from registry_client.errors import GitError, RegistrarError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

T = TypeVar("T")
_ATTEMPTS = 8
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
        """The files of main, fetched."""
        self.git.fetch([self.commit])
        return GitTree(self.git, self.commit)

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
