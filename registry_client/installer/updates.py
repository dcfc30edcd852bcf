"""Updates: what is offered, what changes between two versions, and what may be applied without asking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registry_client.errors import ConflictError, RegistryError
from registry_client.installer.applying import refusing_blocks
from registry_client.installer.locking import Wishes, make_lock
from registry_client.installer.plan import Action, Change, Waiting
from registry_client.installer.planning import plan_changes, same_content
from registry_client.names import in_range, parse_version
from registry_client.resolve import Update, choose_update
from registry_client.status import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry_client.installer.context import Context
    from registry_client.installer.locking import Locking
    from registry_client.installer.project.lockfile import Lock, LockedPlugin
    from registry_client.installer.project.model import Automatic
    from registry_client.resolve import VersionInfo

_PARALLEL = 16
MOST_CHANGELOGS = 50


@dataclass(frozen=True)
class Outdated:
    """An installed plugin for which something newer is offered.

    Attributes:
        id: the plugin.
        installed: its version.
        wanted: what `upgrade` would choose, within the ranges that plugins.toml and other plugins state.
        offered: the newest version that this installation is offered, whatever those ranges say.
        force: whether the publisher asks to apply it without waiting.
    """

    id: str
    installed: str
    wanted: str
    offered: str
    force: bool


def relock(ctx: Context, old: Lock | None, wishes: Wishes) -> Locking:
    """A new lock. Where nothing fits because installed plugins are blocked, these stay locked, set aside, and the others go on.

    Raises:
        RegistryError: as `make_lock`.
    """
    try:
        return make_lock(ctx.project, ctx.registries, ctx.unsigned, old, wishes)
    except ConflictError:
        aside = _blocked_here(ctx, old)
        if not aside:
            raise
    return make_lock(ctx.project, ctx.registries, ctx.unsigned, old, wishes, aside=aside)


def _blocked_here(ctx: Context, old: Lock | None) -> dict[str, LockedPlugin]:
    """The locked plugins that are installed here and that a block refuses."""
    locked = old.by_id if old is not None else {}
    return {
        name: locked[name]
        for name, item in ctx.area.read_record().plugins.items()
        if name in locked and same_content(item.plugin, locked[name]) and refusing_blocks(ctx, item.plugin)
    }


def passed_over(ctx: Context, lock: Lock) -> tuple[str, ...]:
    """A word about each plugin that stays on the version that was gone back to, though newer ones are there."""
    return tuple(
        f"{plugin.id} stays {plugin.version} since it was gone back from {plugin.passed_over}; "
        f"'plugin upgrade {plugin.id}' takes newer ones again"
        for plugin in lock.plugins
        if plugin.passed_over is not None
        and parse_version(plugin.version) < parse_version(plugin.passed_over)
        and offered_update(ctx, plugin) is None
    )


def offered_update(ctx: Context, plugin: LockedPlugin) -> Update | None:
    """The update that this installation is offered of a plugin; None for unsigned ones, which nobody offers.

    A version that was gone back from is not offered again.

    Raises:
        RegistryError: its registry cannot be read.
    """
    if plugin.source.registry is None:
        return None
    infos = ctx.registries.versions(plugin.source.registry, plugin.id)
    update = choose_update(infos, plugin.version, ctx.registries.host())
    passed = plugin.passed_over
    if update is None or passed is None:
        return update
    over = parse_version(passed)
    if parse_version(update.info.version) <= over:
        return None
    gone_back = update.forced is not None and parse_version(update.forced) <= over
    return replace(update, forced=None) if gone_back else update


def changelogs(ctx: Context, plugin: LockedPlugin, before: str) -> tuple[tuple[str, str], ...]:
    """Version and changelog of each released version above `before` up to a plugin's, newest first.

    A manifest that cannot be read leaves out its line: what is installed is verified elsewhere.
    """
    if plugin.source.registry is None:
        return ()
    infos = ctx.registries.versions(plugin.source.registry, plugin.id)
    between = [
        i for i in infos if parse_version(before) < parse_version(i.version) <= parse_version(plugin.version)
    ]
    between.sort(key=lambda info: parse_version(info.version), reverse=True)
    client = ctx.registries.client(plugin.source.registry)

    def one(info: VersionInfo) -> tuple[str, str] | None:
        try:
            return info.version, client.session.retrying(
                lambda: client.reader.manifest(info.line)
            ).model.changelog or ""
        except RegistryError:
            return None

    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (only where something changes)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = list(pool.map(one, between[:MOST_CHANGELOGS]))
    return tuple(item for item in found if item is not None and item[1])


def with_changelogs(ctx: Context, changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes, upgrades with what changed in between and whether they are forced."""
    told = []
    for change in changes:
        if change.action is Action.UPGRADE and change.before is not None and change.after is not None:
            try:
                update = offered_update(ctx, change.before)
                text = changelogs(ctx, change.after, change.before.version)
            except RegistryError:  # what is locked may be installed although nobody can say what is offered
                update, text = None, ()
            told.append(replace(change, changelogs=text, force=update is not None and update.force))
        else:
            told.append(change)
    return tuple(told)


def outdated(ctx: Context, lock: Lock) -> list[Outdated]:
    """Which plugins of a lock something newer is offered for.

    Raises:
        RegistryError: a registry cannot be read.
    """
    ctx.registries.prefetch(
        [(p.source.registry, p.id) for p in lock.plugins if p.source.registry is not None]
    )
    try:
        best = relock(ctx, lock, _everything(lock)).lock.by_id
    except ConflictError as e:
        ctx.warnings.append(str(e))
        best = {}
    ctx.warnings += passed_over(ctx, lock)
    found = []
    for plugin in lock.plugins:
        _warn_of_standing(ctx, plugin)
        update = offered_update(ctx, plugin)
        wanted = best.get(plugin.id, plugin)
        newer = parse_version(wanted.version) > parse_version(plugin.version)
        if update is not None or newer:
            offered = update.info.version if update is not None else wanted.version
            chosen = wanted.version if newer else plugin.version
            found.append(
                Outdated(plugin.id, plugin.version, chosen, offered, update is not None and update.force)
            )
    return found


def _warn_of_standing(ctx: Context, plugin: LockedPlugin) -> None:
    """Tell of a locked version that is not to be used any more."""
    if plugin.source.registry is None:
        return
    infos = ctx.registries.versions(plugin.source.registry, plugin.id)
    standing = next((info.standing for info in infos if info.version == plugin.version), None)
    if standing is not None and standing.status not in {Status.RELEASED, Status.STAGED, Status.TESTING}:
        reason = f": {standing.reason}" if standing.reason else ""
        ctx.warnings.append(f"{plugin.id} {plugin.version}, which is locked, is {standing.status}{reason}")


def _everything(lock: Lock) -> Wishes:
    """Upgrade all that comes from registries; unsigned sources stay as they are locked."""
    return Wishes(upgrade={p.id for p in lock.plugins if p.signed}, by_name=False, keep_unsigned=True)


# -- upgrade --auto ---------------------------------------------------------------------------------------------------


def choose_automatic(ctx: Context, lock: Lock) -> tuple[Locking | None, tuple[Waiting, ...]]:
    """The lock after every update that may be applied without asking, and the updates that wait.

    An update may be applied if its publisher forces it or the policy allows a change of that size, and if neither it
    nor what it brings along asks for more permissions.

    Raises:
        RegistryError: a registry cannot be read.
    """
    policy = ctx.project.updates.auto
    ctx.registries.prefetch(
        [(p.source.registry, p.id) for p in lock.plugins if p.source.registry is not None]
    )
    offers = {p.id: u for p in lock.plugins if (u := offered_update(ctx, p)) is not None}
    allowed, reasons = {}, {}
    for plugin_id, update in offers.items():
        limit = _limit(update, policy)
        if limit is None or (limit and not in_range(update.info.version, limit, prereleases=True)):
            reasons[plugin_id] = f'[updates] auto = "{policy}" does not allow it'
        if limit is not None:
            allowed[plugin_id] = limit
    locking, refused = _lock_allowed(ctx, lock, allowed)
    reasons |= refused
    now = locking.lock.by_id if locking is not None else lock.by_id
    waiting = [
        Waiting(
            name,
            lock.by_id[name].version,
            update.info.version,
            reasons.get(name, "its ranges do not allow it"),
        )
        for name, update in sorted(offers.items())
        if name in now and parse_version(now[name].version) < parse_version(update.info.version)
    ]
    return locking, tuple(waiting)


def _lock_allowed(
    ctx: Context, lock: Lock, limits: Mapping[str, str]
) -> tuple[Locking | None, dict[str, str]]:
    """The lock after as many of some updates as may be applied, None for none; and why the others may not.

    Each round without an answer leaves out at least one of them.
    """
    why = f'[updates] auto = "{ctx.project.updates.auto}"'
    allowed = dict(limits)
    reasons: dict[str, str] = {}
    while allowed:
        wishes = Wishes(
            upgrade=set(allowed),
            by_name=False,
            keep_unsigned=True,
            limits={name: (text, why) for name, text in allowed.items() if text},
        )
        try:
            locking = relock(ctx, lock, wishes)
        except ConflictError as e:
            refused = {min(allowed): str(e).splitlines()[0]}
        else:
            refused = _refused(ctx, lock, locking, allowed)
            if not refused:
                return locking, reasons
        reasons |= refused
        for plugin_id in refused:
            allowed.pop(plugin_id, None)
    return None, reasons


def _limit(update: Update, policy: Automatic) -> str | None:
    """The range within which an update may be applied without asking; empty for any; None for not at all."""
    if policy == "none":
        return None
    if policy == "all":
        return ""
    release = update.installed.partition("-")[0]
    major, minor, _ = map(int, release.split("."))
    limit = {"patch": f"<{major}.{minor + 1}.0", "minor": f"<{major + 1}.0.0"}.get(policy)
    if update.forced is None or (limit and in_range(update.forced, limit, prereleases=True)):
        return limit
    return f"<={update.forced}"  # what is newer still is not forced


def _refused(ctx: Context, old: Lock, locking: Locking, allowed: Mapping[str, str]) -> dict[str, str]:
    """Which of the allowed updates may not be applied after all, and why."""
    record = ctx.area.read_record()
    refused: dict[str, str] = {}
    for change in plan_changes(record, locking.lock, old.by_id):
        if change.more and change.new_permissions:
            text = f"it asks for more permissions: {', '.join(change.new_permissions)}"
            refused |= dict.fromkeys(_blamed(change.id, locking, allowed), text)
        elif change.before is not None and change.after is not None and _other_hands(change, old):
            text = f"it comes from another publisher: {change.after.publisher}"
            refused |= dict.fromkeys(_blamed(change.id, locking, allowed), text)
        elif (
            change.action in {Action.UPGRADE, Action.DOWNGRADE, Action.REMOVE}
            and change.id in old.by_id
            and change.id not in allowed
            and ctx.project.updates.auto != "all"
            and not _as_locked(change, old)
        ):
            text = f"it would also {change.action} {change.id}"
            refused |= dict.fromkeys(_blamed(change.id, locking, allowed), text)
    return refused


def _other_hands(change: Change, old: Lock) -> bool:
    """Whether an update comes from another publisher than what is locked: its owner should see that first."""
    before = old.by_id.get(change.id)
    return before is not None and change.after is not None and before.publisher != change.after.publisher


def _as_locked(change: Change, old: Lock) -> bool:
    """Whether a change only carries out what the lock has said already."""
    return change.after == old.by_id.get(change.id)


def _blamed(plugin_id: str, locking: Locking, allowed: Mapping[str, str]) -> set[str]:
    """The updates because of which a plugin changes: itself, or those above it; all of them if that cannot be told."""
    ahead, seen = [plugin_id], set[str]()
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        pick = locking.picks.get(name)
        if name not in allowed and pick is not None:
            ahead += [ask.asked_by.partition(" ")[0] for ask in pick.asked_by]
    return (seen & set(allowed)) or set(allowed)
