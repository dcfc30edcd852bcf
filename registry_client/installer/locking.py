"""From what plugins.toml asks for to a lock: resolve, read the manifests, pin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from registry_client.errors import ConfigError, ConsentError
from registry_client.installer.pinning import pin
from registry_client.installer.planning import same_content
from registry_client.installer.project import graph
from registry_client.installer.project.file import host_of
from registry_client.installer.project.lockfile import (
    Lock,
    LockedPlugin,
    LockedWish,
    locked_source,
)
from registry_client.installer.project.model import PROJECT_NAME
from registry_client.installer.project.sources import AdoptedSource, RegistrySource
from registry_client.resolve import unmet

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from registry_client.installer.project.model import Project, Wanted
    from registry_client.installer.project.sources import Source
    from registry_client.installer.registries import Registries
    from registry_client.installer.resolution.solve import Ask, Pick

_PARALLEL = 16


class Unsigned(Protocol):
    """Packs what comes from elsewhere than a registry; `registry_client.installer.elsewhere.unsigned.Elsewhere` does."""

    def identify(self, source: Source, range_text: str) -> str:
        """The id of the plugin that a source holds."""

    def obtain(self, wanted: Wanted, known: LockedPlugin) -> LockedPlugin:
        """Pack exactly what was locked once more, on a machine that has not."""

    def pack(self, wanted: Wanted, known: LockedPlugin | None) -> LockedPlugin:
        """The plugin as it is now, its archive among the area's.

        Args:
            wanted: what plugins.toml asks for.
            known: the entry of the lock to stay with where the source allows that, such as a Git tag; None to look anew.
        """


@dataclass(frozen=True)
class Wishes:
    """How a lock is made anew.

    Attributes:
        upgrade: True for all plugins, or the ids that may leave their locked versions.
        allow_unsigned: accept unsigned sources that are new, or have new content.
        keep_unsigned: leave unsigned sources as they are locked, whatever is there now.
        by_name: whether the owner named those ids, which also takes what a rollback passed over, and other content.
        limits: further ranges by id, that nobody needs but the caller: (range, who says so).
    """

    upgrade: bool | Collection[str] = False
    allow_unsigned: bool = False
    keep_unsigned: bool = False
    by_name: bool = True
    limits: Mapping[str, tuple[str, str]] | None = None

    def upgrades(self, plugin_id: str) -> bool:
        """Whether a plugin may leave its locked version."""
        return self.upgrade if isinstance(self.upgrade, bool) else plugin_id in self.upgrade

    def names(self, plugin_id: str) -> bool:
        """Whether it was asked for by its id that a plugin leave its locked version."""
        return not isinstance(self.upgrade, bool) and plugin_id in self.upgrade


@dataclass(frozen=True)
class Locking:
    """A new lock, and what led to it."""

    lock: Lock
    picks: Mapping[str, Pick]
    warnings: tuple[str, ...]


def make_lock(
    project: Project,
    registries: Registries,
    unsigned: Unsigned,
    old: Lock | None,
    wishes: Wishes,
    *,
    aside: Mapping[str, LockedPlugin] | None = None,
) -> Locking:
    """Resolve what a project asks for.

    Args:
        project: what is asked for.
        registries: where versions are looked up.
        unsigned: packs what comes from elsewhere.
        old: the lock until now: its versions stay where they fit.
        wishes: what may change.
        aside: locked plugins that a block keeps from being used, by id: they stay as they are.

    Raises:
        ConflictError: no versions fit together. NotFoundError, YankedError: a plugin cannot be had.
        ConsentError: an unsigned source is new or has new content. RegistryError: a registry cannot be read.
    """
    from registry_client.installer.resolution.solve import Fixed, solve  # noqa: PLC0415  (installing from a lock resolves nothing)

    known = old.by_id if old is not None else {}
    asked_before = old.wanted if old is not None else {}
    fixed, kept = _fixed(project, unsigned, known, wishes, asked_before)
    blocked = {name: plugin for name, plugin in (aside or {}).items() if name not in fixed}
    fixed |= blocked
    kept = [
        *kept,
        *(f"{p.id} {p.version} is blocked; it stays locked, and set aside" for p in blocked.values()),
    ]
    _check_default(project)
    picks = solve(
        _asks(project, blocked),
        registries,
        registries.host(),
        locked=known,
        upgrade=wishes.upgrade,
        by_name=wishes.by_name,
        fixed={
            name: Fixed(name, plugin.version, plugin.requires, plugin.source.kind)
            for name, plugin in fixed.items()
        },
        limits=_limits(known, wishes),
        default_registry=next(iter(project.registries), ""),
    )
    signed = sorted(name for name in picks if name not in fixed)
    keep = known if old is not None and old.ecosystem == project.host.ecosystem else {}
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (only where something changes)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        entries = list(pool.map(lambda name: pin(project, registries, picks[name], keep.get(name)), signed))
    plugins = {plugin.id: plugin for plugin in (*fixed.values(), *entries)}
    lock = Lock.model_validate(
        {
            "ecosystem": project.host.ecosystem,
            "registries": registries.locked(),
            "wanted": wished(project),
            "plugins": tuple(plugins[name] for name in sorted(plugins)),
        }
    )
    warnings = dict.fromkeys([*kept, *(text for name in sorted(picks) for text in picks[name].warnings)])
    return Locking(lock, picks, tuple(warnings))


def wished(project: Project) -> dict[str, LockedWish]:
    """What plugins.toml asks for, as the lock repeats it."""
    return {
        name: LockedWish.model_validate({"source": locked_source(wanted.source), "range": wanted.range})
        for name, wanted in sorted(project.plugins.items())
    }


def out_of_date(project: Project, registries: Registries, lock: Lock | None) -> list[str]:
    """Why a lock does not answer plugins.toml any more; empty if it does."""
    if lock is None:
        return [f"there is no {project.lock_path.name}"]
    reasons = []
    now = wished(project)
    reasons += graph.contradictions(lock, next(iter(project.registries), ""))
    for name in sorted({*now, *lock.wanted}):
        if name not in lock.wanted:
            reasons.append(f"{name} was added to {PROJECT_NAME}")
        elif name not in now:
            reasons.append(f"{name} was removed from {PROJECT_NAME}")
        elif now[name] != lock.wanted[name]:
            reasons.append(f"{name} is asked for differently in {PROJECT_NAME}")
    if lock.registries != registries.locked():
        reasons.append("the registries or their roots of trust have changed")
    if lock.ecosystem != project.host.ecosystem:
        reasons.append("the host's ecosystem has changed")
    host = host_of(project, install_id="")
    for plugin in lock.plugins:
        missing = unmet(plugin.requires, host)
        if missing:
            reasons.append(f"{plugin.id} {plugin.version} needs {'; '.join(missing)}")
    return reasons


def _check_default(project: Project) -> None:
    if not project.registries and any(isinstance(w.source, RegistrySource) for w in project.plugins.values()):
        raise ConfigError(
            f"{project.path}: plugins are wanted, but no registry is configured",
            hint="Add a table [registries.main] with url and root.",
        )


def _asks(project: Project, aside: Collection[str]) -> list[Ask]:
    from registry_client.installer.resolution.solve import Ask  # noqa: PLC0415

    return [
        Ask(
            wanted.id,
            wanted.range,
            wanted.source.registry
            if isinstance(wanted.source, RegistrySource) and wanted.id not in aside
            else "",
            PROJECT_NAME,
        )
        for wanted in project.plugins.values()
    ]


def _limits(known: Mapping[str, LockedPlugin], wishes: Wishes) -> list[Ask]:
    """The caller's further ranges, for plugins that come from registries."""
    from registry_client.installer.resolution.solve import Ask  # noqa: PLC0415

    return [
        Ask(name, text, known[name].source.registry or "", why)
        for name, (text, why) in (wishes.limits or {}).items()
        if name in known and known[name].signed
    ]


def _fixed(
    project: Project,
    unsigned: Unsigned,
    known: Mapping[str, LockedPlugin],
    wishes: Wishes,
    asked_before: Mapping[str, LockedWish],
) -> tuple[dict[str, LockedPlugin], list[str]]:
    """The plugins from elsewhere, packed as they are now; and warnings of those that stay as they are locked instead.

    New content that nobody accepted holds up the others only where it was asked for by its id.
    """
    fixed, kept, refused = {}, [], []
    asked = wished(project)
    for wanted in project.plugins.values():
        if isinstance(wanted.source, RegistrySource):
            continue
        before = known.get(wanted.id)
        before = before if before is not None and not before.signed else None
        same = asked[wanted.id] == asked_before.get(wanted.id)
        if wishes.keep_unsigned and same and before is not None:
            fixed[wanted.id] = before
            continue
        adopted = isinstance(wanted.source, AdoptedSource)  # which stands where it is
        moves = wishes.upgrades(wanted.id) and not adopted
        plugin = unsigned.pack(wanted, None if moves else known.get(wanted.id))
        if not wishes.allow_unsigned and (before is None or not same_content(before, plugin)):
            if before is None or not same or wishes.names(wanted.id):
                refused.append((wanted.id, str(plugin.source.kind), before is None))
            else:
                kept.append(_kept(wanted.id, str(plugin.source.kind)))
                plugin = before
        fixed[wanted.id] = plugin
    if refused:
        raise _consent_needed(refused)
    return fixed, kept


def _kept(plugin_id: str, kind: str) -> str:
    return (
        f"{plugin_id}: its unsigned source ({kind}) has new content, and it stays as locked; "
        f"to take what is there now: 'plugin upgrade {plugin_id} --allow-unsigned'"
    )


def _consent_needed(refused: Sequence[tuple[str, str, bool]]) -> ConsentError:
    """The error for unsigned sources that were not accepted: id, kind, and whether it is new, of each."""
    told = [
        f"{plugin_id}: comes from an unsigned source ({kind}), {'which is new' if new else 'whose content has changed'}"
        for plugin_id, kind, new in refused
    ]
    return ConsentError(
        "\n  ".join(told), hint="If you trust it without a publisher's signature: --allow-unsigned."
    )
