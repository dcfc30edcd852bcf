"""What the importer has found, on its way to the registry: publish refs, created by Git only where none is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from publisher.importer.report import Item, Result
from publisher.offer import Submitted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from publisher.git import Git
    from publisher.offer import Offer


@dataclass(frozen=True)
class _Queued:
    """Something to be pushed."""

    offer: Offer
    ref: str
    item: Item
    number: int
    key: str


@dataclass(frozen=True)
class Sent:
    """What became of it.

    Attributes:
        offer: what was to be pushed.
        item: the line of the report.
        submitted: where it stands; None if this run has not created it.
        number: the repository that it came from.
        key: what it is remembered by.
    """

    offer: Offer
    item: Item
    submitted: Submitted | None
    number: int
    key: str


class Outbox:
    """Offers to be pushed together.

    Args:
        git: the registry's repository.
        refs: the publish refs that are there.
        dry_run: push nothing.
    """

    def __init__(self, git: Git, refs: Iterable[str], *, dry_run: bool) -> None:
        self.refs = set(refs)
        self.taken = 0
        self._git = git
        self._dry_run = dry_run
        self._queue: list[_Queued] = []

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, offer: Offer, ref: str, item: Item, number: int, key: str) -> None:
        """Queue an offer whose ref is not there."""
        self.refs.add(ref)
        self.taken += 1
        self._queue.append(_Queued(offer, ref, item, number, key))

    def flush(self, now: datetime) -> list[Sent]:
        """Push what is queued.

        Raises:
            GitError: the registry takes no push at all.
        """
        queue, self._queue = self._queue, []
        if self._dry_run or not queue:
            return [Sent(q.offer, replace(q.item, result=Result.FOUND), None, q.number, q.key) for q in queue]
        commits = {q.ref: self._git.commit(None, q.offer.files, q.offer.message, now) for q in queue}
        results = {r.ref: r for r in self._git.push([(commits[q.ref], q.ref, "") for q in queue])}
        lost = [q.ref for q in queue if q.ref not in results or not results[q.ref].accepted]
        there = self._git.ls_remote(*lost) if lost else {}
        sent = []
        for q in queue:
            submitted = None if q.ref in lost else Submitted(q.item.ref, commits[q.ref])
            item = q.item
            if q.ref in there:  # another run, or the publisher, was faster
                item = replace(item, result=Result.WAITING)
            elif submitted is None:
                item = _refused(item, results[q.ref].reason if q.ref in results else "no answer")
            sent.append(Sent(q.offer, item, submitted, q.number, q.key))
        return sent


def _refused(item: Item, reason: str) -> Item:
    return replace(
        item,
        result=Result.REFUSED,
        message=f"the registry refuses to create {item.ref}: {reason}",
        hint="The token must be allowed to create publish/* branches in the registry's repository.",
    )


__all__ = ["Outbox", "Sent"]
