"""The operations that change something, each from an opened project to a plan. Nothing is changed here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError, ConsentError, NotFoundError
from registry_client.installer.applying import How, refuse_blocked
from registry_client.installer.checking import block_changes, check_files, receipts_differ
from registry_client.installer.locking import Wishes, out_of_date, wished
from registry_client.installer.plan import Action, Change, Plan
from registry_client.installer.planning import packages_of, plan_changes
from registry_client.installer.project import graph
from registry_client.installer.project.file import parse_project
from registry_client.installer.project.lockfile import Lock
from registry_client.installer.project.model import Wanted
from registry_client.installer.project.sources import RegistrySource
from registry_client.installer.updates import choose_automatic, passed_over, relock, with_changelogs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from registry_client.installer.context import Context
    from registry_client.installer.disk.record import Installed
    from registry_client.installer.project.model import Project


@dataclass(frozen=True)
class Planned:
    """A plan with what applying it needs to know.

    Attributes:
        plan: what will change.
        how: where things come from.
    """

    plan: Plan
    how: How = field(default_factory=How)


def plan_add(
    ctx: Context,
    reopen: Callable[[Project], Context],
    texts: Sequence[str],
    *,
    unsigned: bool,
    here: Path | None = None,
) -> Planned:
    """Ask for plugins. A registry's plugin without a range gets the version that is chosen as its lower bound.

    One that is asked for already keeps its range unless another is stated.

    Raises:
        ConfigError: a wish is malformed. RegistryError: it cannot be fulfilled.
    """
    from registry_client.installer.project.edit import with_plugin  # noqa: PLC0415  (TOML is written by few operations)

    project, bare = ctx.project, set[str]()
    for text in texts:
        wanted = _wanted(ctx, text, here)
        if isinstance(wanted.source, RegistrySource) and not wanted.range:
            known = ctx.project.plugins.get(wanted.id)
            if known is not None and known.source == wanted.source:
                continue  # it is asked for already, in a range that its owner chose
            bare.add(wanted.id)
        project = parse_project(with_plugin(project.text, wanted, project), project.path)
    changed = {name for name, wanted in project.plugins.items() if wanted != ctx.project.plugins.get(name)}
    old = ctx.read_lock()
    made = relock(reopen(project), old, Wishes(changed | bare, unsigned))
    for name in sorted(bare):
        wanted = replace(project.plugins[name], range=f">={made.lock.by_id[name].version}")
        project = parse_project(with_plugin(project.text, wanted, project), project.path)
    lock = made.lock.model_copy(update={"wanted": wished(project)})
    return Planned(plan_from_lock(ctx, lock, old, made.warnings, text=project.text))


def _wanted(ctx: Context, text: str, here: Path | None) -> Wanted:
    """A wish, with the id that its content has where it does not name one."""
    from registry_client.installer.project.spec import parse_wish  # noqa: PLC0415

    wish = parse_wish(text, ctx.project, here=here)
    if wish.id is not None:
        return Wanted(wish.id, wish.source, wish.range)
    packed = ctx.unsigned.identify(wish.source, wish.range)
    return Wanted(packed, wish.source, wish.range)


def plan_remove(ctx: Context, plugin_ids: Sequence[str]) -> Planned:
    """Ask for plugins no longer. What only they needed goes too; nothing else changes, so no registry is asked.

    Raises:
        NotFoundError: plugins.toml does not ask for one.
    """
    from registry_client.installer.project.edit import without_plugin  # noqa: PLC0415

    project, old = ctx.project, ctx.read_lock()
    for plugin_id in plugin_ids:
        if plugin_id not in project.plugins:
            because = _needed_by(old, plugin_id)
            raise NotFoundError(
                f"{project.path}: does not ask for {plugin_id!r}{because}",
                hint=f"See why it is there: 'plugin why {plugin_id}'."
                if because
                else "See what is asked for: 'plugin tree'. Folders that nobody recorded: 'plugin discover'.",
            )
        project = parse_project(without_plugin(project.text, plugin_id, project), project.path)
    before = old or Lock()
    left = {name: wish for name, wish in before.wanted.items() if name in project.plugins}
    lock = before.model_copy(update={"wanted": left})
    needed = graph.reachable(lock)
    lock = lock.model_copy(update={"plugins": tuple(p for p in lock.plugins if p.id in needed)})
    warnings = tuple(
        f"{name} stays: {_needed_by(lock, name).strip(' ()')}" for name in sorted(needed & set(plugin_ids))
    )
    gone = {name for name in ctx.area.read_record().plugins if name not in needed}
    return Planned(plan_from_lock(ctx, lock, old, warnings, text=project.text, only=gone))


def _needed_by(lock: Lock | None, plugin_id: str) -> str:
    names = [link.asked_by for link in graph.dependants(lock, plugin_id)] if lock is not None else []
    return f" (it is needed by {', '.join(names)})" if names else ""


def plan_lock(ctx: Context, *, unsigned: bool) -> Plan:
    """Make the lock answer plugins.toml; versions stay where they fit. Installs nothing."""
    old = ctx.read_lock()
    made = relock(ctx, old, Wishes(allow_unsigned=unsigned))
    changes = plan_changes(ctx.area.read_record(), made.lock, old.by_id if old is not None else {})
    return Plan(changes, made.lock if made.lock != old else None, warnings=made.warnings)


def plan_install(ctx: Context, *, frozen: bool, unsigned: bool, verify: bool) -> Planned:
    """Make the folder equal to the lock, and the lock answer plugins.toml first, unless it is frozen.

    Raises:
        ConfigError: frozen, and there is no lock, or it is out of date.
    """
    old = lock = ctx.read_lock()
    reasons = out_of_date(ctx.project, ctx.registries, lock)
    warnings: tuple[str, ...] = ()
    if reasons and frozen:
        raise ConfigError(
            f"{ctx.project.lock_path}: does not answer {ctx.project.path.name}: {'; '.join(reasons)}",
            hint="Run 'plugin lock' and commit plugins.lock; --frozen never changes it.",
        )
    if reasons or lock is None:
        made = relock(ctx, old, Wishes(allow_unsigned=unsigned))
        lock, warnings = made.lock, made.warnings
    return Planned(plan_from_lock(ctx, lock, old, warnings, verify=verify))


def plan_upgrade(ctx: Context, plugin_ids: Collection[str], *, unsigned: bool) -> Planned:
    """The newest versions that the ranges and the status table allow; of all plugins, or of some.

    Raises:
        NotFoundError: an id is not among the project's plugins.
    """
    old = ctx.read_lock()
    known = old.by_id if old is not None else {}
    for plugin_id in plugin_ids:
        if plugin_id not in known and plugin_id not in ctx.project.plugins:
            raise NotFoundError(
                f"{ctx.project.path}: has no plugin {plugin_id!r}", hint=f"Add it: 'plugin add {plugin_id}'."
            )
    wishes = Wishes(set(plugin_ids) or True, unsigned)
    made = relock(ctx, old, wishes)
    passed = () if plugin_ids else passed_over(ctx, made.lock)
    return Planned(plan_from_lock(ctx, made.lock, old, (*made.warnings, *passed)))


def plan_automatic(ctx: Context) -> Planned:
    """What may be done without asking: updates within the policy, and what blocks ask for."""
    old = ctx.read_lock()
    if old is None:
        raise ConfigError(
            f"{ctx.project.lock_path}: there is no lock yet", hint="Run 'plugin install' once, by hand."
        )
    wrong = graph.contradictions(old, next(iter(ctx.project.registries), ""))
    if wrong:
        raise ConfigError(
            f"{ctx.project.lock_path}: contradicts itself: {'; '.join(wrong)}",
            hint="Run 'plugin install', by hand.",
        )
    made, waiting = choose_automatic(ctx, old)
    lock, warnings = (made.lock, made.warnings) if made is not None else (old, ())
    return Planned(replace(plan_from_lock(ctx, lock, old, warnings, only_known=True), waiting=waiting))


def plan_switch(ctx: Context, plugin_ids: Sequence[str], action: Action) -> Planned:
    """Disable or enable plugins.

    Raises:
        NotFoundError: one is not installed. YankedError: a block keeps it disabled.
    """
    changes = []
    for plugin_id in dict.fromkeys(plugin_ids):
        installed = installed_plugin(ctx, plugin_id)
        if action is Action.ENABLE:
            refuse_blocked(ctx, installed.plugin)
        by_block = installed.disabled is not None and installed.disabled.by == "block"
        # Disabled by its owner too, it stays so once the block is lifted.
        if (installed.disabled is not None) is (action is Action.ENABLE) or by_block:
            changes.append(Change(plugin_id, action, installed.plugin, installed.plugin))
    return Planned(Plan(tuple(changes)))


def plan_blocks(ctx: Context) -> Planned:
    """What the blocks last verified ask for."""
    return Planned(Plan(tuple(block_changes(ctx, ctx.area.read_record()))))


def installed_plugin(ctx: Context, plugin_id: str) -> Installed:
    """What is recorded of a plugin. Raises NotFoundError if nothing is."""
    record = ctx.area.read_record()
    if plugin_id not in record.plugins:
        raise NotFoundError(
            f"{ctx.area.folder}: {plugin_id!r} is not installed", hint="See what is: 'plugin list'."
        )
    return record.plugins[plugin_id]


def plan_from_lock(  # noqa: PLR0913  (keyword options, each with a default)
    ctx: Context,
    lock: Lock,
    old: Lock | None,
    warnings: tuple[str, ...],
    *,
    text: str | None = None,
    verify: bool = False,
    only: Collection[str] | None = None,
    only_known: bool = False,
    changelogs: bool = True,
) -> Plan:
    """The plan that makes the installed plugins equal to a lock, and does what blocks ask for.

    Args:
        ctx: the opened project.
        lock: the lock as it will be.
        old: the lock as it is.
        warnings: what the owner should be told.
        text: plugins.toml as it will be, where it changes.
        verify: compare every file, not only which version each folder says it is.
        only: change these plugins alone.
        only_known: install nothing that is neither installed nor needed by an update.
        changelogs: look up what changes in upgrades; for that registries are asked.
    """
    record = ctx.area.read_record()
    damaged = receipts_differ(ctx, record)
    if verify:
        damaged |= {name for name, item in record.plugins.items() if check_files(ctx, item)}
    changes = plan_changes(record, lock, old.by_id if old is not None else {}, damaged=damaged)
    if only is not None:
        changes = tuple(change for change in changes if change.id in only)
    if only_known and old is not None:
        unchanged = {name for name, plugin in lock.by_id.items() if old.by_id.get(name) == plugin}
        changes = tuple(c for c in changes if c.id in record.plugins or c.id not in unchanged)
    if changelogs:
        changes = with_changelogs(ctx, changes)
    touched = {change.id for change in changes}
    blocked = [c for c in block_changes(ctx, record) if c.id not in touched]
    packages, system = packages_of(lock)
    return Plan(
        tuple(sorted((*changes, *blocked), key=lambda change: change.id)),
        lock if lock != old else None,
        text if text != ctx.project.text else None,
        warnings,
        packages=packages,
        system=system,
    )


def out_of_step(ctx: Context, lock: Lock | None) -> tuple[str, ...]:
    """Ids whose installed version is not the locked one, or that are not where they were put."""
    record = ctx.area.read_record()
    changes = plan_changes(record, lock or Lock(), {}, damaged=receipts_differ(ctx, record))
    return tuple(change.id for change in changes)


def consent_needed(plan: Plan) -> ConsentError:
    """The error for an upgrade that asks for more than was accepted."""
    lines = "".join(
        f"\n  {change.id} {change.after.version if change.after else ''}: {', '.join(change.new_permissions)}"
        for change in plan.asks_for_more
    )
    return ConsentError(
        f"an upgrade asks for more permissions than were accepted{lines}",
        hint="If you agree: --accept-permissions.",
    )
