"""Every version of the index, each read once: its manifest in many processes, its artifacts in this one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from publisher.registrar.verdicts import Keyring, in_chunks, subject_of
from publisher.watch.examine import Examined, Examining, named_artifacts
from publisher.watch.findings import Finding, Level
from publisher.workers import run_in_order
from registry_client.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from publisher.authority import Authority
    from publisher.registrar.inputs import Verdict
    from publisher.registrar.state import Row, State
    from publisher.registrar.verdicts import Subject
    from publisher.tree import Overlay

_RESTORES = "'publisher registry register' restores it from Git history."


@dataclass
class Versions:
    """What was found out about all versions.

    Attributes:
        findings: what is wrong, in the order of the index.
        known: whether the documents of each verify, by the text of the index line; not of those whose manifest is not the signed one.
        artifacts: paths that manifests name.
        unproven: ids of plugins with something wrong.
    """

    findings: list[Finding] = field(default_factory=list)
    known: dict[str, Verdict] = field(default_factory=dict)
    artifacts: set[str] = field(default_factory=set)
    unproven: set[str] = field(default_factory=set)


def examine_versions(
    tree: Overlay, state: State, authority: Authority, *, jobs: int = 1, schemas: bool = True
) -> Versions:
    """Look at every version: manifest there, of the signed digest, valid, signed, and as the index states it; artifacts likewise.

    Args:
        tree: the registry; it learns the manifests' digests.
        state: the index.
        authority: the maintainers' statements.
        jobs: how many processes verify; 0 for one on each core.
        schemas: whether manifests are held against the JSON Schema too.

    Raises:
        ConfigError: a worker process was ended from outside.
    """
    looking = _Looking(tree, authority)
    work = Examining(Keyring.of(authority), schemas=schemas)
    for chunk in run_in_order(work, in_chunks(looking.subjects(state)), jobs):
        for examined in chunk:
            looking.take(examined)
    return looking.result()


class _Looking:
    """One look at all versions. Findings carry their row's number: rows are read ahead of what is said of them."""

    def __init__(self, tree: Overlay, authority: Authority) -> None:
        self._tree = tree
        self._authority = authority
        self._waiting: deque[tuple[int, Row]] = deque()
        self._found: list[tuple[int, Finding]] = []
        self._artifacts: list[tuple[int, Finding]] = []
        self._same: dict[Verdict, Verdict] = {}  # nearly all are one of a few: kept once each
        self._versions = Versions()

    def subjects(self, state: State) -> Iterator[Subject]:
        """The versions whose manifests are the signed ones; of the others it is said what they are."""
        for number, row in enumerate(state.all_rows()):
            if "removed" in row.raw:
                self._find(number, row, Level.WARNING, f"removed: {row.raw['removed']}")
                continue
            data = self._tree.read(row.path)
            digest = None if data is None else Digest.of(data)
            self._tree.learn(row.path, digest)
            if data is not None and digest == row.digest:
                self._waiting.append((number, row))
                yield subject_of(row, data, self._authority)
                continue
            self._versions.artifacts |= named_artifacts(data or b"")
            what = "is missing" if data is None else "was changed after publishing"
            self._find(number, row, Level.ERROR, what, _RESTORES)

    def take(self, examined: Examined) -> None:
        """Note what was found out about the next version."""
        number, row = self._waiting.popleft()
        self._versions.known[row.text] = self._same.setdefault(examined.verdict, examined.verdict)
        for message, hint in examined.wrong:
            self._find(number, row, Level.ERROR, message, hint)
        if "quarantined" in row.raw:
            self._find(number, row, Level.WARNING, f"quarantined: {row.raw['quarantined']['reason']}")
        for path, digest, size in examined.artifacts:
            self._versions.artifacts.add(path)
            self._artifact(number, row, path, Digest(digest), size)

    def result(self) -> Versions:
        """All of it."""
        self._found.sort(key=lambda item: item[0])
        self._versions.findings = [finding for _, finding in (*self._found, *self._artifacts)]
        return self._versions

    def _find(self, number: int, row: Row, level: Level, message: str, hint: str = "") -> None:
        self._found.append((number, Finding(level, row.path, message, hint)))
        self._versions.unproven.add(row.raw["id"])

    def _artifact(self, number: int, row: Row, path: str, digest: Digest, size: int) -> None:
        """An artifact kept in the registry: there, of the signed digest and size."""
        held = self._tree.read(path)
        found = None if held is None else Digest.of(held)
        self._tree.learn(path, found)
        if held is not None and len(held) == size and found == digest:
            return
        what = (
            f"missing, but {row.path} names it" if held is None else f"was changed: not what {row.path} signs"
        )
        self._artifacts.append((number, Finding(Level.ERROR, path, what)))


__all__ = ["Versions", "examine_versions"]
