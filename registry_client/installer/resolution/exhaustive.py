"""A complete search, for when resolvelib's answer does not hold: conflict-directed backjumping over few lines. Pure.

resolvelib changes its mind on what it pinned before, and then forgets needs: where plugins need each other in circles it
may miss solutions, or give what is none. This search only ever undoes, so it is right, and slower.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from registry_client.installer.resolution.candidates import Candidate
    from registry_client.installer.resolution.explain import Need


class TooLongError(Exception):
    """The search took more steps than it may."""


@dataclass
class _Level:
    """One plugin being decided on: what is left to try, and who is to blame for what failed."""

    id: str
    left: Iterator[Candidate]
    blame: set[str] = field(default_factory=set)


def needed(
    roots: Sequence[Need], chosen: Mapping[str, Candidate], needs_of: Callable[[Candidate], Sequence[Need]]
) -> dict[str, Candidate] | None:
    """Those of the chosen candidates that somebody asks for; None if they do not meet all needs."""
    waiting = list(roots)
    found: dict[str, Candidate] = {}
    while waiting:
        need = waiting.pop()
        candidate = chosen.get(need.id)
        if candidate is None or not need.is_met_by(candidate):
            return None
        if need.id not in found:
            found[need.id] = candidate
            waiting += needs_of(candidate)
    return found


def improve(
    roots: Sequence[Need],
    chosen: Mapping[str, Candidate],
    needs_of: Callable[[Candidate], Sequence[Need]],
    matches: Callable[[Sequence[Need]], list[Candidate]],
) -> dict[str, Candidate]:
    """The same solution, with each candidate exchanged for a better one while the others let it. Ends at a fixed point.

    Searches leave some behind: a version may have been ruled out by one that was itself given up later.
    """
    found = dict(chosen)
    changed = True
    while changed:
        changed = False
        asked = _asked(roots, found, needs_of)
        for name in sorted(found):
            better = _better(found, name, [need for need, _ in asked.get(name, ())], needs_of, matches)
            if better is not None:
                found[name] = better
                found = needed(roots, found, needs_of) or found
                changed = True
                break
    return found


def _better(
    found: Mapping[str, Candidate],
    name: str,
    needs: Sequence[Need],
    needs_of: Callable[[Candidate], Sequence[Need]],
    matches: Callable[[Sequence[Need]], list[Candidate]],
) -> Candidate | None:
    for candidate in matches(needs) if needs else ():
        if candidate is found[name]:
            return None
        if all(need.id in found and need.is_met_by(found[need.id]) for need in needs_of(candidate)):
            return candidate
    return None


def search_all(
    roots: Sequence[Need],
    needs_of: Callable[[Candidate], Sequence[Need]],
    matches: Callable[[Sequence[Need]], list[Candidate]],
    max_steps: int,
) -> dict[str, Candidate] | None:
    """Candidates that meet all needs, or None if there are none such.

    Args:
        roots: what the owner asks for.
        needs_of: gives what a version needs.
        matches: gives the candidates that meet some needs of one plugin, best first.
        max_steps: how many candidates it may try.

    Raises:
        TooLongError: that was not enough.
    """
    chosen: dict[str, Candidate] = {}
    levels: list[_Level] = []
    steps = 0
    while True:
        asked = _asked(roots, chosen, needs_of)
        domains = {
            name: matches([need for need, _ in asks]) for name, asks in asked.items() if name not in chosen
        }
        if not domains:
            return chosen
        name = min(domains, key=lambda name: (len(domains[name]), name))
        levels.append(_Level(name, iter(domains[name]), {by for _, by in asked[name] if by}))
        while True:
            level = levels[-1]
            candidate = next(level.left, None)
            steps += 1
            if steps > max_steps:
                raise TooLongError
            if candidate is None:
                if not _jump_back(levels, chosen):
                    return None
                continue
            clash = {n.id for n in needs_of(candidate) if n.id in chosen and not n.is_met_by(chosen[n.id])}
            level.blame |= clash
            if not clash:
                chosen[level.id] = candidate
                break


def _asked(
    roots: Sequence[Need], chosen: Mapping[str, Candidate], needs_of: Callable[[Candidate], Sequence[Need]]
) -> dict[str, list[tuple[Need, str]]]:
    """Who asks for each plugin now: needs with the asking plugin, empty for the owner."""
    asked: dict[str, list[tuple[Need, str]]] = {}
    for need in roots:
        asked.setdefault(need.id, []).append((need, ""))
    for candidate in chosen.values():
        for need in needs_of(candidate):
            asked.setdefault(need.id, []).append((need, candidate.id))
    return asked


def _jump_back(levels: list[_Level], chosen: dict[str, Candidate]) -> bool:
    """Undo down to the latest decision that is to blame. False if none is."""
    blame = levels.pop().blame
    while levels:
        level = levels[-1]
        chosen.pop(level.id, None)
        if level.id in blame:
            level.blame |= blame - {level.id}
            return True
        levels.pop()
    return False
