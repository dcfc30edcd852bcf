"""Why no set of versions fits, as chains that a person can follow from plugins.toml down. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.errors import ConflictError
from registry_client.installer.project.model import PROJECT_NAME
from registry_client.installer.resolution.candidates import HELD_BACK, Ask, Candidate, Stock, holds
from registry_client.names import is_prerelease, parse_version
from registry_client.resolve import exact_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_COLUMNS = 100
_VERSIONS = 10
_LINES = 20
_TRIALS = 40


@dataclass(frozen=True, eq=False)
class Need:
    """An ask with what it admits. Compared by identity.

    Attributes:
        ask: who asks for what.
        top: whether the owner asks, rather than a plugin.
        stock: the versions that there are; None where there is no such plugin.
        admitted: the versions that it admits.
    """

    ask: Ask
    top: bool
    stock: Stock | None
    admitted: frozenset[str]

    @property
    def id(self) -> str:
        """The plugin asked for."""
        return self.ask.id

    def is_met_by(self, candidate: Candidate) -> bool:
        """Whether a version of the plugin asked for is one that it admits."""
        return (
            self.stock is not None
            and self.stock.registry == candidate.registry
            and candidate.version in self.admitted
        )

    @property
    def kept(self) -> Candidate | None:
        """The locked version, where it can stay and is admitted."""
        kept = self.stock.kept if self.stock is not None else None
        return kept if kept is not None and kept.version in self.admitted else None


Edge = tuple[Need, Candidate | None]
"""A need, and the version that has it; None for the owner's."""


@dataclass(frozen=True)
class Failure:
    """A search that found nothing.

    Attributes:
        causes: the needs that could not be met together, at each dead end.
        edges: every need that was met with.
        too_deep: whether it was given up for its length.
    """

    causes: tuple[Edge, ...]
    edges: tuple[Edge, ...]
    too_deep: bool = False


def explain(
    roots: Sequence[Need],
    failure: Failure,
    search: Callable[[Sequence[Need]], object] | None,
    limits: Mapping[str, Sequence[Ask]],
    max_rounds: int,
) -> ConflictError:
    """The error that says why nothing fits.

    Args:
        roots: what the owner asks for.
        failure: how the search ended.
        search: searches for some of the roots alone; gives a Failure if nothing fits. None if the search was given up.
        limits: further ranges by id.
        max_rounds: how many steps it had.
    """
    core: Sequence[Need] = roots
    title = f"no set of versions was found in {max_rounds} steps; what was in the way:"
    if search is not None:
        title = "no set of versions fits:"
        core, failure = _core(roots, failure, search)
    dead_ends: dict[str, list[Edge]] = defaultdict(list)
    for need, parent in failure.causes:
        dead_ends[need.id].append((need, parent))
    told = _Told(failure.edges)
    for plugin_id in sorted(dead_ends, key=lambda name: (told.depth.get(name, 0), name)):
        told.dead_end(plugin_id, dead_ends[plugin_id], limits.get(plugin_id, ()))
    lines = told.lines
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], f"… and {len(lines) - _LINES + 1} more lines like these"]
    text = "".join(f"\n{_fit(f'  {line}')}" for line in lines)
    return ConflictError(f"{title}{text}", hint=_hint(core, dead_ends))


def _core(
    roots: Sequence[Need], failure: Failure, search: Callable[[Sequence[Need]], object]
) -> tuple[Sequence[Need], Failure]:
    """A smallest part of what is asked for that cannot be had together, and how the search for it alone ends."""
    core: list[Need] = list(roots)
    above = _ancestors(failure)
    trials = _TRIALS

    def try_without(left_out: Sequence[Need]) -> bool:
        nonlocal core, failure, trials
        rest = [need for need in core if need not in left_out]
        trials -= 1
        found = search(rest) if left_out and rest else None
        if not isinstance(found, Failure) or found.too_deep:
            return False
        core, failure = rest, found
        return True

    try_without([need for need in core if need.id not in above])
    size = len(core)
    while size > 1 and trials > 0:
        size = (size + 1) // 2
        start = 0
        while start < len(core) and trials > 0:
            if not try_without(core[start : start + size]):
                start += size
    return core, failure


def _ancestors(failure: Failure) -> set[str]:
    """The ids in dead ends, and of all who brought them in."""
    askers: dict[str, set[str]] = defaultdict(set)
    for need, parent in failure.edges:
        if parent is not None:
            askers[need.id].add(parent.id)
    waiting = {need.id for need, _ in failure.causes}
    waiting |= {parent.id for _, parent in failure.causes if parent is not None}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= askers[name] - seen
    return seen


class _Told:
    """The lines of an explanation, each said once."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self.lines: list[str] = []
        self._edges: dict[str, list[Edge]] = defaultdict(list)
        for need, parent in edges:
            self._edges[need.id].append((need, parent))
        self.depth = self._depths()
        self._chained: set[tuple[str, str]] = set()

    def _depths(self) -> dict[str, int]:
        """How many steps each plugin is away from plugins.toml."""
        depth = {name: 0 for name, edges in self._edges.items() if any(need.top for need, _ in edges)}
        found = True
        while found:
            found = False
            for name, edges in self._edges.items():
                above = [
                    depth[parent.id] + 1 for _, parent in edges if parent is not None and parent.id in depth
                ]
                if name not in depth and above:
                    depth[name], found = min(above), True
        return depth

    def dead_end(self, plugin_id: str, causes: list[Edge], limits: Sequence[Ask]) -> None:
        """Say who asks for a plugin, how they came in, and that it cannot be chosen."""
        needs = [need for need, _ in causes]
        several = len(_sources(needs)) > 1
        for edges in _grouped(causes):
            parents = [parent for _, parent in edges if parent is not None]
            if parents:
                self._chain(max(parents, key=lambda parent: parse_version(parent.version)))
            self._say(_sentence(edges, where=several))
        for limit in limits:
            self._say(f"{limit.asked_by} allows {plugin_id} {limit.range}")
        if several and any(need.top and _source(need) != need.ask.registry for need in needs):
            self._say(f"{PROJECT_NAME} takes {plugin_id} from an unsigned source")
        self.lines += _outcome(plugin_id, needs)

    def _chain(self, parent: Candidate) -> None:
        """Say why a version is there at all: who brought it in, from plugins.toml down."""
        steps: list[Edge] = []
        above: Candidate | None = parent
        while above is not None and (above.id, above.version) not in self._chained:
            self._chained.add((above.id, above.version))
            version = above.version
            bringing = [edge for edge in self._edges[above.id] if version in edge[0].admitted]
            if not bringing:
                break
            steps.append(min(bringing, key=self._nearness))
            above = steps[-1][1]
        for step in reversed(steps):
            self._say(_sentence([step], where=False))

    def _nearness(self, edge: Edge) -> tuple[int, str]:
        """Sorts those first who are fewer steps away from plugins.toml."""
        need, above = edge
        return 0 if above is None else self.depth.get(above.id, 0) + 1, need.ask.asked_by

    def _say(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)


def _source(need: Need) -> str:
    return need.stock.registry if need.stock is not None else need.ask.registry


def _sources(needs: Sequence[Need]) -> set[str]:
    """The registries that are meant; empty for an unsigned source."""
    return {_source(need) for need in needs} | {need.ask.registry for need in needs if need.top}


def _grouped(causes: list[Edge]) -> list[list[Edge]]:
    """Causes of the same wording together: versions of one plugin that need the same. The owner's come last."""
    groups: dict[tuple[bool, str, str, str], list[Edge]] = defaultdict(list)
    for need, parent in causes:
        asker = parent.id if parent is not None else need.ask.asked_by
        groups[parent is None, asker, need.ask.range, need.ask.registry].append((need, parent))
    return [groups[key] for key in sorted(groups)]


def _sentence(edges: Sequence[Edge], *, where: bool) -> str:
    need, parent = edges[0]
    wanted = f"{need.id} {need.ask.range}".rstrip()
    if where:
        wanted += f" from registry {need.ask.registry}" if need.ask.registry else " from an unsigned source"
    if parent is None:
        return f"{need.ask.asked_by} asks for {wanted}"
    versions = sorted({p.version for _, p in edges if p is not None}, key=parse_version)
    return f"{parent.id} {_listed(versions)} need{'s' if len(versions) == 1 else ''} {wanted}"


def _outcome(plugin_id: str, needs: Sequence[Need]) -> list[str]:
    """That a plugin cannot be chosen, which versions there are, and why some do not count."""
    so = f"so {plugin_id} cannot be chosen"
    stock, registry = needs[0].stock, needs[0].ask.registry
    if len(_sources(needs)) > 1:
        return [f"{so}; all who ask for it must mean the same source"]
    if stock is None:
        return [
            f"{so}; {f'registry {registry} has no such plugin' if registry else 'no registry is configured'}"
        ]
    passed = {c.version: _why(c, needs) for c in stock.candidates if _is_passed_over(c, needs)}
    usable = [c.version for c in stock.candidates if c.version not in passed and not c.reason][::-1]
    there = f"{so}; there {'is' if len(usable) == 1 else 'are'} "
    if not stock.registry:
        there = f"{so}; it comes from an unsigned source, as "
    lines = [there + _listed(usable, _COLUMNS - len(there) - 2) if usable else so]
    shown = sorted(passed, key=lambda v: -sum(holds(n.ask.range, v, prereleases=True) for n in needs))
    lines += [f"  {version}: {passed[version]}" for version in shown[:_VERSIONS]]
    return [*lines, f"  … and {len(shown) - _VERSIONS} more"] if len(shown) > _VERSIONS else lines


def _is_passed_over(candidate: Candidate, needs: Sequence[Need]) -> bool:
    """Whether somebody asks for a range with this version in it, and yet it does not do, for a reason of its own."""
    refused = any(
        candidate.version not in need.admitted and holds(need.ask.range, candidate.version, prereleases=True)
        for need in needs
    )
    return refused and bool(_why(candidate, needs))


def _why(candidate: Candidate, needs: Sequence[Need]) -> str:
    exact = any(exact_version(need.ask.range) == candidate.version and need.top for need in needs)
    reason = candidate.exactly if exact else candidate.reason
    unasked = "a prerelease, and not everybody asks for one" if is_prerelease(candidate.version) else ""
    return reason or candidate.needs_another_self or unasked


def _listed(versions: Sequence[str], room: int = 60) -> str:
    """Versions in rising order: the newest, as many as there is room for."""
    for count in range(min(len(versions), _VERSIONS), 0, -1):
        older = f"{len(versions) - count} older, " if len(versions) > count else ""
        text = older + ", ".join(versions[-count:])
        if len(text) <= room:
            break
    return text


def _fit(line: str) -> str:
    flat = " ".join(line.splitlines())
    return flat if len(flat) <= _COLUMNS else flat[: _COLUMNS - 1] + "…"


def _hint(core: Sequence[Need], dead_ends: Mapping[str, list[Edge]]) -> str:
    for name, causes in sorted(dead_ends.items()):
        needs = [need for need, _ in causes]
        if len(_sources(needs)) > 1:
            return f"Name one source for {name} in {PROJECT_NAME}."
        candidates = needs[0].stock.candidates if needs[0].stock is not None else ()
        if any(c.reason in HELD_BACK and _is_passed_over(c, needs) for c in candidates):
            return f"'plugin upgrade {name}' takes such a version all the same."
    names = sorted({need.id for need in core})
    if names == list(dead_ends):
        return f"'plugin versions {names[0]}' shows what there is, and how each version stands."
    shown = names[:5]
    listed = " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"Change in {PROJECT_NAME} what is asked for of {listed}."
