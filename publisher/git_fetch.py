"""Fetching as little as will do: without history, and without file contents where the host can leave these out. Starts nothing itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from publisher.git_objects import REGULAR, parse_tree
from registry_client.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_FETCHED_AT_ONCE: Final = 20_000
_FETCH: Final = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
_LIGHT: Final = "--filter=blob:none"
# No word on what is here already: the host would take it to include what was left out.
_NO_WORD: Final = ("-c", "fetch.negotiationAlgorithm=noop")


class Fetching(ABC):
    """What a repository fetches from its remote `origin`, and what it knows to be left out.

    Attributes:
        folder: the repository.
    """

    folder: Path

    def __init__(self) -> None:
        # None before the first light fetch; False where its host sends everything all the same.
        self._partial: bool | None = None
        self._light: list[str] = []
        self._fetched: set[str] = set()

    @abstractmethod
    def run(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        """Run a Git command and give its standard output."""

    @abstractmethod
    def succeeds(self, *arguments: str) -> bool:
        """Run a Git command, and say whether it ended well."""

    @abstractmethod
    def read(self, oid: str) -> bytes:
        """The bytes of an object."""

    @abstractmethod
    def tree_of(self, commit: str) -> str:
        """The id of a commit's tree."""

    def fetch(self, refs: Sequence[str], *, depth: int | None = 1, blobless: bool = False) -> None:
        """Fetch refs or commits from the remote, without their history.

        Args:
            refs: refs or object ids.
            depth: how many commits deep; None for all.
            blobless: leave file contents to be fetched when they are read, if the host can do that.
        """
        options = [f"--depth={depth}"] if depth is not None else ["--unshallow"] if self._shallow else []
        if blobless and self._fetch_light(options, refs):
            return
        plain = (*_FETCH, "--no-filter", *options, "origin", *refs)
        if not blobless:
            self.run(*plain)
        elif not self.succeeds(*plain):  # a plain web server cannot leave out history
            self.run(*_FETCH, "--no-filter", "origin", *refs)

    def _fetch_light(self, options: Sequence[str], refs: Sequence[str]) -> bool:
        """Fetch without file contents. False where the host refuses, or is known to send them all the same."""
        if self._partial is False:
            return False
        if not self.succeeds(*_FETCH, _LIGHT, *options, "origin", *refs):
            return False
        self._light = [*options, "origin", *refs]
        if self._partial is None:  # before anything else comes in that could hold the same contents
            self._partial = not self._holds_files(refs[0])
        return True

    def _holds_files(self, commit: str) -> bool:
        """Whether the host has sent file contents although it was asked to leave them out. Asks no host."""
        try:
            tree = self.tree_of(commit)
            entries = parse_tree(self.read(tree), len(tree) // 2)
        except GitError:
            return False
        oid = next((entry.oid for entry in entries.values() if entry.mode in REGULAR), None)
        if oid is None:
            return False
        # A Git that knows where the object is to be had would fetch it, to say that it is there.
        self.run("config", "--rename-section", "remote.origin", "aside.origin")
        here = self.succeeds("cat-file", "-e", oid)
        self.run("config", "--rename-section", "aside.origin", "remote.origin")
        if here:
            self._expect_no_more()
        return here

    def _expect_no_more(self) -> None:
        """Tell Git that nothing is left out which the host would give."""
        for name in ("promisor", "partialclonefilter"):
            self.run("config", "--unset-all", f"remote.origin.{name}", check=False)

    def left_out(self, oids: Iterable[str]) -> list[str]:
        """Those of some file contents that light fetches have left out, as far as is known."""
        return sorted(set(oids) - self._fetched) if self._partial else []

    def fetch_objects(self, oids: Iterable[str]) -> None:
        """Fetch file contents that a light fetch has left out, together rather than one by one as they are read."""
        wanted = self.left_out(oids)
        for start in range(0, len(wanted), _FETCHED_AT_ONCE):
            some = wanted[start : start + _FETCHED_AT_ONCE]
            try:
                self.run(
                    *(*_NO_WORD, *_FETCH, _LIGHT, "--stdin", "origin"),
                    stdin="".join(f"{oid}\n" for oid in some).encode(),
                )
            except GitError:
                if self._fetched:
                    raise
                self._fetch_whole()
                return
            self._fetched.update(some)

    def _fetch_whole(self) -> None:
        """Fetch again what was fetched without file contents: some hosts leave these out and then give none by its id.

        Git before its protocol 2 is so, which SSH servers fall back to where they do not pass on that the other side knows it.
        """
        self._partial = False
        self._expect_no_more()
        self.run(*_NO_WORD, *_FETCH, "--no-filter", *self._light)

    def fetch_beside(self, commit: str, known: str) -> None:
        """Fetch a commit without its history and file contents, as what differs from one that is here.

        Raises:
            GitError: the host does not have it, or does not give it.
        """
        options = ["--depth=1", *([_LIGHT] if self._partial else ["--no-filter"])]
        self.run(*_FETCH, *options, f"--negotiation-tip={known}", "origin", commit)

    @property
    def _shallow(self) -> bool:
        return (self.folder / "shallow").exists() or (self.folder / ".git" / "shallow").exists()


__all__ = ["Fetching"]
