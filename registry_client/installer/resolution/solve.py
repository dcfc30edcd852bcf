"""Which versions of all plugins fit together: the status table and every range, by resolvelib's backtracking. Pure.

Rules that are not the table's (docs/adr/0016-resolution.md): what plugins.toml says of a plugin decides on its status and on
prereleases; a locked version that can stay comes first; nothing goes below it unless there is no other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from registry_client.errors import ConfigError, ConflictError, NotFoundError
from registry_client.installer.project.model import PROJECT_NAME
from registry_client.installer.resolution.backtrack import backtrack
from registry_client.installer.resolution.candidates import (
    Ask,
    Candidate,
    Fixed,
    Pick,
    Stock,
    holds,
    judgement,
)
from registry_client.installer.resolution.explain import Failure, Need, explain
from registry_client.names import check_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from registry_client.installer.project.lockfile import LockedPlugin
    from registry_client.resolve import Host, VersionInfo

MAX_ROUNDS = 20_000
MAX_PLUGINS = 2_000
"""How many plugins one resolution looks at: memory grows with the square, and publishers say what their plugins need."""

__all__ = ["MAX_ROUNDS", "Ask", "Catalogue", "Fixed", "Pick", "solve"]


class Catalogue(Protocol):
    """Knows the versions of plugins; `Registries` over the network, tests by tables."""

    def prefetch(self, wanted: Collection[tuple[str, str]]) -> None:
        """Have these (registry name, plugin id) at hand: a hint, given level by level to fetch shards in parallel."""

    def versions(self, registry: str, plugin_id: str) -> Sequence[VersionInfo]:
        """All versions of a plugin.

        Raises:
            NotFoundError: the registry has no such plugin. RegistryError: it cannot be read; passes through.
        """


def solve(  # noqa: PLR0913  (keyword options, each with a default)
    wanted: Sequence[Ask],
    catalogue: Catalogue,
    host: Host,
    *,
    locked: Mapping[str, LockedPlugin] | None = None,
    upgrade: bool | Collection[str] = False,
    by_name: bool = True,
    fixed: Mapping[str, Fixed] | None = None,
    limits: Sequence[Ask] = (),
    default_registry: str = "",
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Pick]:
    """Choose a version of each wanted plugin and of all that they need.

    Args:
        wanted: what plugins.toml asks for. The order does not matter.
        catalogue: knows the versions.
        host: who asks.
        locked: the versions in use by id. They stay where they fit and may be used still.
        upgrade: True: newer versions come first, for all plugins; or for these ids.
        by_name: whether the owner named those ids, which then also take versions that a rollback passed over, and a
            payload that is not the locked one.
        fixed: plugins from unsigned sources by id; wanted, whether `wanted` says so or not.
        limits: ranges that hold for plugins that are chosen, without asking for them.
        default_registry: where the plugins come from that those of `fixed` need.
        max_rounds: how many steps the search may take.

    Returns:
        The picks by id, sorted.

    Raises:
        NotFoundError: a wanted plugin is in no registry. ConflictError: no versions fit together; says why. Or too many.
        ConfigError: not a range. RegistryError: of the catalogue.
    """
    asks = _checked(wanted, limits)
    search = _Search(
        asks,
        catalogue,
        host,
        locked or {},
        upgrade,
        by_name,
        fixed or {},
        limits,
        default_registry,
        max_rounds,
    )
    search.look_ahead()
    roots = search.roots()
    found = search.run(roots, careful=True)
    if isinstance(found, Failure) and search.could_go_lower:
        found = search.run(roots, careful=False)
    if not isinstance(found, Failure):
        return search.picks(roots, found)

    def trial(some: Sequence[Need]) -> dict[str, Candidate] | Failure:
        return search.run(some, careful=False, max_rounds=min(max_rounds, _TRIAL))

    raise explain(roots, found, None if found.too_deep else trial, search.limits, max_rounds)


_TRIAL = 500
_QUICK = 200


def _checked(wanted: Sequence[Ask], limits: Sequence[Ask]) -> list[Ask]:
    for ask in (*wanted, *limits):
        if not ask.range.strip():
            continue
        try:
            check_range(ask.range)
        except ValueError as e:
            raise ConfigError(f"{ask.asked_by}: {ask.id}: {e}", hint="Ranges are PEP 440 specifiers.") from e
    return sorted(set(wanted), key=_order)


def _order(ask: Ask) -> tuple[str, str, str, str]:
    return ask.id, ask.asked_by, ask.range, ask.registry


@dataclass
class _Search:
    """One resolution: what is known of every plugin, looked up once."""

    asks: Sequence[Ask]
    catalogue: Catalogue
    host: Host
    locked: Mapping[str, LockedPlugin]
    upgrade: bool | Collection[str]
    by_name: bool
    fixed: Mapping[str, Fixed]
    limit_asks: Sequence[Ask]
    default_registry: str
    max_rounds: int

    def __post_init__(self) -> None:
        self._stocks: dict[tuple[str, str], Stock | None] = {}
        self._needs: dict[Candidate, list[Need]] = {}
        self._admitted: dict[tuple[Stock, str, bool], frozenset[str]] = {}
        self._fetched: set[tuple[str, str]] = set()
        by_id: dict[str, list[Ask]] = {name: [] for name in sorted(self.fixed)}
        for ask in self.asks:
            by_id.setdefault(ask.id, []).append(ask)
        self._owner = {name: judgement(asks) for name, asks in by_id.items()}
        self.limits: dict[str, list[Ask]] = {}
        for ask in sorted(self.limit_asks, key=_order):
            self.limits.setdefault(ask.id, []).append(ask)

    # -- what there is ------------------------------------------------------------------------------------------------

    def stock(self, registry: str, plugin_id: str) -> Stock | None:
        """The versions of a plugin; None where the registry has no such plugin, or there is no registry."""
        key = ("" if plugin_id in self.fixed else registry), plugin_id
        if key not in self._stocks:
            if len(self._stocks) >= MAX_PLUGINS:
                raise ConflictError(
                    f"plugins.toml asks for plugins that need more than {MAX_PLUGINS} others",
                    hint="Ask for fewer, or find the one that needs so many: 'plugin info ID'.",
                )
            self._stocks[key] = self._look_up(*key)
        return self._stocks[key]

    def _look_up(self, registry: str, plugin_id: str) -> Stock | None:
        if plugin_id in self.fixed:
            return Stock.of_fixed(self.fixed[plugin_id], self.host)
        if not registry:
            return None
        try:
            infos = self.catalogue.versions(registry, plugin_id)
        except NotFoundError:
            return None
        listed = not isinstance(self.upgrade, bool) and plugin_id in self.upgrade
        return Stock(
            plugin_id,
            registry,
            infos,
            self.host,
            locked=self.locked.get(plugin_id),
            upgrade=listed or self.upgrade is True,
            named=listed and self.by_name,
        )

    def look_ahead(self) -> None:
        """Have fetched what will most likely be looked at: the newest versions, level by level."""
        asked = [(ask.registry or self.default_registry, ask.id) for ask in self.asks]
        asked += [(self.default_registry, name) for item in self.fixed.values() for name, _ in _plugins(item)]
        registries = {registry for registry, _ in asked}
        sources = [(plugin.source.registry, name) for name, plugin in self.locked.items()]
        level = {
            (r, name) for r, name in (*asked, *sources) if r and r in registries and name not in self.fixed
        }
        while level:
            self._prefetch(level)
            below: set[tuple[str, str]] = set()
            for registry, name in sorted(level):
                stock = self.stock(registry, name)
                first = next((c for c in stock.ranked if not c.reason), None) if stock is not None else None
                below |= {(registry, needed) for needed, _ in first.needs} if first is not None else set()
            level = {key for key in below if key not in self._fetched and key[1] not in self.fixed}

    def _prefetch(self, keys: Iterable[tuple[str, str]]) -> None:
        new = sorted(
            {key for key in keys if key not in self._fetched and key[0] and key[1] not in self.fixed}
        )
        if new:
            self._fetched.update(new)
            self.catalogue.prefetch(new)

    # -- who asks for what --------------------------------------------------------------------------------------------

    def roots(self) -> list[Need]:
        """What the owner asks for.

        Raises:
            NotFoundError: a registry does not have it.
        """
        known = {ask.id for ask in self.asks}
        asks = [*self.asks, *(Ask(name) for name in self.fixed if name not in known)]
        needs = []
        for ask in sorted(asks, key=_order):
            need = self._need(ask, top=True)
            if need.stock is None:
                where = need.ask.registry
                raise NotFoundError(
                    f"{ask.asked_by} asks for {ask.id}, which "
                    + (f"registry {where} does not have" if where else "no registry is named for"),
                    hint="Look for it with 'plugin search', or name its registry.",
                )
            needs.append(need)
        return needs

    def needs_of(self, candidate: Candidate) -> list[Need]:
        """What a version needs of other plugins."""
        if candidate not in self._needs:
            registry = candidate.registry or self.default_registry
            self._prefetch((registry, name) for name, _ in candidate.needs)
            asked_by = f"{candidate.id} {candidate.version}"
            asks = [Ask(name, text, registry, asked_by) for name, text in candidate.needs]
            self._needs[candidate] = [self._need(ask, top=False) for ask in asks]
        return self._needs[candidate]

    def _need(self, ask: Ask, *, top: bool) -> Need:
        if top and not ask.registry and ask.id not in self.fixed:
            ask = Ask(ask.id, ask.range, self.default_registry, ask.asked_by)
        stock = self.stock(ask.registry, ask.id)
        # The owner cannot want a plugin from a registry and from elsewhere; a plugin's need is met by either.
        if stock is None or (top and ask.registry != stock.registry):
            return Need(ask, top, stock, frozenset())
        key = stock, ask.range, top
        if key not in self._admitted:
            self._admitted[key] = self._admit(stock, ask, top=top)
        return Need(ask, top, stock, self._admitted[key])

    def _admit(self, stock: Stock, ask: Ask, *, top: bool) -> frozenset[str]:
        if ask.id in self._owner:
            exact, prereleases = self._owner[ask.id]
            found = stock.admits(ask.range, exact=exact, prereleases=prereleases or not top, judged=top)
        else:
            exact, prereleases = judgement([ask])
            found = stock.admits(ask.range, exact=exact, prereleases=prereleases, judged=True)
        limits = self.limits.get(ask.id, ())
        return frozenset(v for v in found if all(holds(limit.range, v, prereleases=True) for limit in limits))

    # -- searching ----------------------------------------------------------------------------------------------------

    @property
    def could_go_lower(self) -> bool:
        """Whether a careful search left something out."""
        return any(stock is not None and stock.kept is not None for stock in self._stocks.values())

    def run(
        self, roots: Sequence[Need], *, careful: bool, max_rounds: int | None = None
    ) -> dict[str, Candidate] | Failure:
        """Search.

        Args:
            roots: what is asked for.
            careful: go below no locked version that those who ask would let stay.
            max_rounds: how many steps it may take, if not as many as the whole.
        """
        lower = {need.id for need in roots if need.kept is None} if careful else None
        quick = _QUICK + 2 * len(self._stocks)
        return backtrack(roots, self.needs_of, lower, max_rounds or self.max_rounds, quick)

    def picks(self, roots: Sequence[Need], found: Mapping[str, Candidate]) -> dict[str, Pick]:
        """What was found, with everybody who asks."""
        asked: dict[str, list[Ask]] = {}
        for need in (*roots, *(need for candidate in found.values() for need in self.needs_of(candidate))):
            asked.setdefault(need.id, []).append(need.ask)
        return {name: self._pick(found[name], asked[name]) for name in sorted(found)}

    def _pick(self, candidate: Candidate, asks: list[Ask]) -> Pick:
        stock = self.stock(candidate.registry, candidate.id)
        warnings = stock.warnings(candidate) if stock is not None else ()
        by = tuple(sorted(asks, key=lambda ask: (ask.asked_by != PROJECT_NAME, _order(ask))))
        return Pick(candidate.id, candidate.version, candidate.registry or None, candidate.info, warnings, by)


def _plugins(item: Fixed) -> list[tuple[str, str]]:
    plugins = item.requires.plugins if item.requires is not None else None
    return sorted((plugins or {}).items())
