"""Leaves out versions that cannot be in any solution, before a search has to find that out again and again. Pure.

Arc consistency: a version is dead if what it needs has no living version that would do, or if it would do for no living version
of a plugin that must be there. It looks at every version of every plugin that could be reached.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry_client.installer.resolution.candidates import Candidate, Stock
    from registry_client.installer.resolution.explain import Need


def find_dead(
    roots: Sequence[Need],
    needs_of: Callable[[Candidate], Sequence[Need]],
    usable: Callable[[Stock], Sequence[Candidate]],
) -> frozenset[Candidate] | None:
    """The candidates that are in no solution, or None if that proves that there is no solution.

    Args:
        roots: what the owner asks for.
        needs_of: gives what a version needs.
        usable: gives the candidates of a plugin.
    """
    pruning = _Pruning(roots, needs_of, usable)
    return frozenset(pruning.dead) if pruning.run() else None


class _Pruning:
    def __init__(
        self,
        roots: Sequence[Need],
        needs_of: Callable[[Candidate], Sequence[Need]],
        usable: Callable[[Stock], Sequence[Candidate]],
    ) -> None:
        self.dead: set[Candidate] = set()
        self._needs_of = needs_of
        self._counts: dict[str, int] = {}
        self._live: dict[Stock, dict[str, Candidate]] = {}
        self._by_id: dict[str, list[Stock]] = defaultdict(list)
        self._dependants: dict[str, set[str]] = defaultdict(set)
        self._asked: dict[str, list[Need]] = defaultdict(list)
        for need in roots:
            self._asked[need.id].append(need)
        self._must = set(self._asked)
        self._load([need.stock for need in roots], usable)

    def _load(self, first: list[Stock | None], usable: Callable[[Stock], Sequence[Candidate]]) -> None:
        waiting = [stock for stock in first if stock is not None]
        while waiting:
            stock = waiting.pop()
            if stock in self._live:
                continue
            asked = self._asked.get(stock.id, ())
            candidates = usable(stock)
            living = [c for c in candidates if all(need.is_met_by(c) for need in asked)]
            self._live[stock] = {c.version: c for c in living}
            self._by_id[stock.id].append(stock)
            self.dead.update(c for c in candidates if c.version not in self._live[stock])
            for need in (need for c in living for need in self._needs_of(c)):
                self._dependants[need.id].add(stock.id)
                if need.stock is not None:
                    waiting.append(need.stock)

    def _living(self, plugin_id: str) -> list[Candidate]:
        return [c for stock in self._by_id[plugin_id] for c in self._live[stock].values()]

    def _kill(self, candidates: list[Candidate], stocks: Sequence[Stock]) -> None:
        for candidate in candidates:
            self.dead.add(candidate)
            for stock in stocks:
                if self._live[stock].get(candidate.version) is candidate:
                    del self._live[stock][candidate.version]

    def run(self) -> bool:
        """Prune until nothing changes. False if a plugin that must be there has no version left."""
        # First in, first out, and at first the deepest: so a plugin is looked at when most of what it needs is settled.
        queue = deque([*reversed(self._by_id), *sorted(self._must - set(self._by_id))])
        queued = set(queue)
        while queue:
            name = queue.popleft()
            queued.remove(name)
            self._kill([c for c in self._living(name) if not self._is_supported(c)], self._by_id[name])
            again: set[str] = set()
            if name in self._must:
                if not self._living(name):
                    return False
                again = self._imply(name)
            if self._has_shrunk(name):
                again |= self._dependants[name] | ({name} & self._must)
            queue.extend(sorted(again - queued))
            queued |= again
        return True

    def _is_supported(self, candidate: Candidate) -> bool:
        return all(
            need.stock is not None and not need.admitted.isdisjoint(self._live[need.stock])
            for need in self._needs_of(candidate)
        )

    def _has_shrunk(self, name: str) -> bool:
        count = len(self._living(name))
        before, self._counts[name] = self._counts.get(name, -1), count
        return before != count

    def _imply(self, name: str) -> set[str]:
        """What follows from a plugin that must be there for those that it needs. Gives the ids that changed."""
        living = self._living(name)
        needs = [{need.id: need for need in self._needs_of(c)} for c in living]
        changed = set()
        for other in {needed for of in needs for needed in of}:
            askers = [of.get(other) for of in needs]
            if None in askers:
                continue  # one version does without
            unwanted = [
                c for c in self._living(other) if not any(n.is_met_by(c) for n in askers if n is not None)
            ]
            if unwanted or other not in self._must:
                self._kill(unwanted, self._by_id[other])
                self._must.add(other)
                changed |= {other} | (self._dependants[other] if unwanted else set())
        return changed
