"""From what is installed and what is locked to what must change. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.installer.plan import Action, Change
from registry_client.installer.project import graph
from registry_client.names import parse_version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from registry_client.installer.disk.record import Record
    from registry_client.installer.project.lockfile import Lock, LockedPlugin


def same_content(one: LockedPlugin, other: LockedPlugin) -> bool:
    """Whether two entries are the same version with the same bytes, wherever it comes from."""
    return (one.version, one.payload_digest, _digest(one)) == (
        other.version,
        other.payload_digest,
        _digest(other),
    )


def _digest(plugin: LockedPlugin) -> str | None:
    return None if plugin.artifact is None else str(plugin.artifact.digest)


def plan_changes(
    record: Record,
    lock: Lock,
    accepted: Mapping[str, LockedPlugin],
    *,
    damaged: Collection[str] = (),
) -> tuple[Change, ...]:
    """What makes the installed plugins equal to the lock, sorted by id.

    Args:
        record: what is installed.
        lock: what should be.
        accepted: the lock as it was before this operation: its permissions were accepted.
        damaged: installed plugins whose folders are not what was installed.
    """
    wanted = lock.by_id
    known = {*accepted, *record.plugins}
    asked_for = graph.reachable(lock, [name for name in lock.wanted if name not in known])
    changes = []
    for plugin_id in sorted({*wanted, *record.plugins}):
        before = record.plugins[plugin_id].plugin if plugin_id in record.plugins else None
        after = wanted.get(plugin_id)
        action = _action(before, after, damaged=plugin_id in damaged)
        if action is None:
            continue
        base = accepted.get(plugin_id) or before
        more = base is not None or plugin_id not in asked_for
        changes.append(Change(plugin_id, action, before, after, new_permissions(base, after), more))
    return tuple(changes)


def new_permissions(base: LockedPlugin | None, after: LockedPlugin | None) -> tuple[str, ...]:
    """What `after` asks for beyond what was accepted with `base`."""
    had = set(base.permissions) if base else set()
    return tuple(permission for permission in (after.permissions if after else ()) if permission not in had)


def _action(before: LockedPlugin | None, after: LockedPlugin | None, *, damaged: bool) -> Action | None:
    if after is None:
        return Action.REMOVE
    if before is None:
        return Action.INSTALL
    if same_content(before, after) and _place(before) == _place(after):
        return Action.REINSTALL if damaged else None
    have, want = parse_version(before.version), parse_version(after.version)
    if want == have:
        return Action.REINSTALL
    return Action.UPGRADE if want > have else Action.DOWNGRADE


def _place(plugin: LockedPlugin) -> tuple[str, str | None]:
    """The kind of source, and the registry: the record must name it as plugins.toml does, for its blocks to be found."""
    return plugin.source.kind, plugin.source.registry


def kept_versions(
    before: LockedPlugin, previous: tuple[LockedPlugin, ...], keep: int
) -> tuple[LockedPlugin, ...]:
    """The versions to go back to after `before` was replaced, newest replacement first.

    Args:
        before: what was replaced.
        previous: those that were kept until now.
        keep: how many versions stay in all, the current one included.
    """
    others = [plugin for plugin in previous if not same_content(plugin, before)]
    return tuple([before, *others][: max(keep - 1, 0)])


def packages_of(lock: Lock) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Python packages, and programs and services, that the plugins of a lock need; each once, sorted."""
    requires = [plugin.requires for plugin in lock.plugins if plugin.requires is not None]
    packages = sorted({package for item in requires for package in item.packages})
    system = sorted({program for item in requires for program in item.system})
    return tuple(packages), tuple(system)
