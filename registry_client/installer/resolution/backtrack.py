"""The search itself: resolvelib, told of needs and candidates. Knows nothing of statuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers import Resolution

from registry_client.installer.resolution.candidates import Candidate, Stock
from registry_client.installer.resolution.exhaustive import TooLongError, improve, needed, search_all
from registry_client.installer.resolution.explain import Failure, Need
from registry_client.installer.resolution.prune import find_dead

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

_FEW = 2000


def backtrack(
    roots: Sequence[Need],
    needs_of: Callable[[Candidate], Sequence[Need]],
    lower: Collection[str] | None,
    max_rounds: int,
    quick: int,
) -> dict[str, Candidate] | Failure:
    """Search for candidates that meet the roots' needs and each other's.

    Args:
        roots: what the owner asks for.
        needs_of: gives what a version needs; the same objects each time.
        lower: the ids that may go below their locked versions; None for all.
        max_rounds: how many steps it may take.
        quick: how many of them are for the way without looking at every version.

    Returns:
        A candidate by id, or how the search failed.
    """
    provider = _Provider(needs_of, lower)
    found = _find(roots, provider, max_rounds, quick)
    if isinstance(found, Failure):
        return found
    return improve(roots, found, needs_of, provider.matches)


def _find(
    roots: Sequence[Need], provider: _Provider, max_rounds: int, quick: int
) -> dict[str, Candidate] | Failure:
    needs_of = provider.get_dependencies
    first = _resolve(roots, provider, min(max_rounds, quick))
    if not isinstance(first, Failure):
        return first
    # Most often all is well. If not, it is worth looking at every version, once, so that the search is short.
    dead = find_dead(roots, needs_of, provider.usable)
    if dead is None:
        return first
    provider.dead = dead
    second = _resolve(roots, provider, min(max_rounds, quick))
    if not isinstance(second, Failure):
        return second
    # resolvelib's "impossible" is not believed. Lowest first finds what newest first does not: most ranges are open above.
    few = min(max_rounds, _FEW)
    for newest, steps in ((True, few), (False, few), (True, max_rounds)):
        try:
            third = search_all(roots, needs_of, provider.matches if newest else provider.reverse, steps)
        except TooLongError:
            continue
        return first if third is None else needed(roots, third, needs_of) or first
    return replace(first, too_deep=True)


def _resolve(roots: Sequence[Need], provider: _Provider, max_rounds: int) -> dict[str, Candidate] | Failure:
    """What resolvelib says; a Failure also if its answer does not hold."""
    recorder = _Recorder()
    # `Resolver` would also build a graph, by recursion, which neither long chains nor cycles are good for.
    resolution = Resolution(provider, recorder)
    try:
        state = resolution.resolve(roots, max_rounds)
        found = needed(roots, state.mapping, provider.get_dependencies)
        if found is not None:
            return found
    except ResolutionImpossible as e:
        recorder.resolving_conflicts(e.causes)
    except ResolutionTooDeep:
        pass  # what was recorded until then still tells something
    return Failure(tuple(recorder.causes.values()), tuple(recorder.edges.values()))


class _Recorder(BaseReporter[Need, Candidate, str]):
    """Keeps what was in the way, and who brought whom in, for the explanation."""

    def __init__(self) -> None:
        self.causes: dict[int, tuple[Need, Candidate | None]] = {}
        self.edges: dict[int, tuple[Need, Candidate | None]] = {}

    def adding_requirement(self, requirement: Need, parent: Candidate | None) -> None:
        self.edges[id(requirement)] = requirement, parent

    def resolving_conflicts(self, causes: Collection[Any]) -> None:
        self.causes.update({id(cause.requirement): (cause.requirement, cause.parent) for cause in causes})


class _Provider(AbstractProvider[Need, Candidate, str]):
    """What resolvelib asks.

    Args:
        needs_of: gives what a version needs; the same objects each time.
        lower: the ids that may go below their locked versions; None for all.
    """

    def __init__(
        self, needs_of: Callable[[Candidate], Sequence[Need]], lower: Collection[str] | None
    ) -> None:
        self._needs_of = needs_of
        self._lower = lower
        self.dead: frozenset[Candidate] = frozenset()
        self._stocks: dict[str, Stock] = {}

    def identify(self, requirement_or_candidate: Need | Candidate) -> str:
        return requirement_or_candidate.id

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[str],
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> Iterable[str]:
        """One at a time: what was in the way last, else by name, so that the order of asking does not matter."""
        del resolutions, candidates, information
        causes = {cause.requirement.id for cause in backtrack_causes}
        causes |= {cause.parent.id for cause in backtrack_causes if cause.parent is not None}
        return [min(identifiers, key=lambda name: (name not in causes, name))]

    def get_preference(self, identifier: str, *_args: Any, **_more: Any) -> str:
        return identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> list[Candidate]:
        needs = list(requirements[identifier])
        bad = set(incompatibilities[identifier])
        if not needs:  # everybody who asked for it was given up meanwhile
            stock = self._stocks.get(identifier)
            return [c for c in self.usable(stock) if c not in bad] if stock is not None else []
        if needs[0].stock is not None:
            self._stocks[identifier] = needs[0].stock
        return [c for c in self.matches(needs) if c not in bad]

    def matches(self, needs: Sequence[Need]) -> list[Candidate]:
        """The candidates that meet some needs of one plugin, best first."""
        stock = needs[0].stock
        if stock is None or any(need.stock is not stock for need in needs):
            return []
        admitted = frozenset.intersection(*(need.admitted for need in needs))
        if not admitted:
            return []
        return [c for c in self.usable(stock) if c.version in admitted and c not in self.dead]

    def reverse(self, needs: Sequence[Need]) -> list[Candidate]:
        """The same, best last."""
        return self.matches(needs)[::-1]

    def usable(self, stock: Stock) -> list[Candidate]:
        """The candidates of a plugin, best first, apart from what a careful search leaves out."""
        careful = self._lower is not None and stock.id not in self._lower
        return [c for c in stock.ranked if not (careful and stock.is_below_kept(c))]

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        return requirement.is_met_by(candidate)

    def get_dependencies(self, candidate: Candidate) -> Sequence[Need]:
        return self._needs_of(candidate)
