"""A plan as lines for people and as one JSON document: what an operation has changed, or would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry_client.cli import text
from registry_client.installer.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry_client.cli.output import Output
    from registry_client.installer.plan import Change, Plan
    from registry_client.installer.project.lockfile import Lock, LockedPlugin, LockedSource

_SIGNS = {Action.INSTALL: ("+", "green"), Action.REMOVE: ("-", "red")}
_OTHER = ("~", "yellow")
_DONE = {
    Action.INSTALL: "installed",
    Action.UPGRADE: "upgraded",
    Action.DOWNGRADE: "downgraded",
    Action.REINSTALL: "reinstalled",
    Action.REMOVE: "removed",
    Action.DISABLE: "disabled",
    Action.ENABLE: "enabled",
}
UNSIGNED = " (unsigned)"


def plan_json(plan: Plan, *, dry_run: bool = False) -> dict[str, Any]:
    """A plan as the JSON outputs show it."""
    return {
        "applied": plan.applied and not dry_run,
        "dryRun": dry_run,
        "changes": [change_json(change) for change in plan.changes],
        "waiting": [
            {"id": w.id, "installed": w.installed, "offered": w.offered, "reason": w.reason}
            for w in plan.waiting
        ],
        "lockChanged": plan.lock is not None,
        "projectChanged": plan.project_text is not None,
        "packages": list(plan.packages),
        "system": list(plan.system),
    }


def change_json(change: Change) -> dict[str, Any]:
    """What happens to one plugin, as the JSON outputs show it."""
    return {
        "id": change.id,
        "action": str(change.action),
        "before": None if change.before is None else plugin_json(change.before),
        "after": None if change.after is None else plugin_json(change.after),
        "newPermissions": list(change.new_permissions),
        "changelogs": [{"version": version, "text": body} for version, body in change.changelogs],
        "force": change.force,
        "reason": change.reason,
    }


def plugin_json(plugin: LockedPlugin) -> dict[str, Any]:
    """One plugin, exactly, as the JSON outputs show it."""
    return {
        "version": plugin.version,
        "signed": plugin.signed,
        "source": source_json(plugin.source),
        "publisher": plugin.publisher,
        "payloadDigest": plugin.payload_digest,
        "digest": plugin.artifact.digest if plugin.artifact is not None else None,
        "permissions": list(plugin.permissions),
    }


def source_json(source: LockedSource) -> dict[str, Any]:
    """Where a plugin comes from, as the JSON outputs show it: every member in every source."""
    names = ("kind", "registry", "path", "url", "ref", "commit", "subdirectory", "name")
    return {name: getattr(source, name) for name in names}


def source_text(plugin: LockedPlugin) -> str:
    """Where a plugin comes from, in a few words."""
    source = plugin.source
    match source.kind:
        case "registry":
            return f"{source.registry} ({plugin.publisher})"
        case "path":
            return f"path {text.clean(source.path or '')}"
        case "git":
            below = f" {source.subdirectory}" if source.subdirectory else ""
            return text.clean(f"git {source.url} {source.ref}{below}")
        case "pypi":
            return f"pypi {text.clean(source.name or '')}"
    return source.kind


def plan_lines(plan: Plan, output: Output, *, dry_run: bool = False) -> list[str]:
    """A plan for people: a line for each change, what it asks for, what is new in it; then what waits and what is needed."""
    lines = [line for change in plan.changes for line in _change_lines(change, output, dry_run=dry_run)]
    lines += waiting_lines(plan, output)
    lines += _needed("these Python packages", _brought(plan, "packages"))
    lines += _needed("these programs and services", _brought(plan, "system"))
    return lines


def _brought(plan: Plan, kind: str) -> list[str]:
    """What the changed plugins need that their versions before did not."""

    def needs(plugin: LockedPlugin | None) -> set[str]:
        return (
            set(getattr(plugin.requires, kind))
            if plugin is not None and plugin.requires is not None
            else set()
        )

    return sorted({name for change in plan.changes for name in needs(change.after) - needs(change.before)})


def _change_lines(change: Change, output: Output, *, dry_run: bool) -> list[str]:
    lines = [change_line(change, output)]
    moved = moved_text(change)
    if moved:
        lines.append(f"    {text.paint(moved, 'yellow', enabled=output.coloured)}")
    asked = change.new_permissions
    if asked:
        label = "new permissions" if change.more else "permissions"
        shown = text.paint(", ".join(map(text.clean, asked)), "bold", enabled=output.coloured)
        lines.append(f"    {label}: {shown}")
    if dry_run:
        lines += changelog_lines(change.changelogs, "    ")
    return lines


def change_line(change: Change, output: Output) -> str:
    """One change on one line."""
    colour = output.coloured
    sign, tint = _SIGNS.get(change.action, _OTHER)
    shown = change.after or change.before
    mark = UNSIGNED if shown is not None and not shown.signed else ""
    notes = [] if change.action in {Action.INSTALL, Action.UPGRADE, Action.REMOVE} else [_DONE[change.action]]
    if change.force:
        notes.append("the publisher asks to apply it without waiting")
    if change.reason:
        notes.append(text.clean(change.reason))
    name = text.paint(change.id, "bold", enabled=colour)
    mark = text.paint(mark, "yellow", enabled=colour)
    tail = f" ({'; '.join(notes)})" if notes else ""
    return f"{text.paint(sign, tint, enabled=colour)} {name} {_versions(change)}{mark}{tail}"


def _versions(change: Change) -> str:
    before = change.before.version if change.before is not None else ""
    after = change.after.version if change.after is not None else ""
    return f"{before} -> {after}" if before and after and before != after else after or before


def moved_text(change: Change) -> str:
    """That a plugin comes from another publisher or place than until now; empty if it does not."""
    before, after = change.before, change.after
    if before is None or after is None or _place(before) == _place(after):
        return ""
    if before.source == after.source:
        return f"publisher: {text.clean(before.publisher or '-')} -> {text.clean(after.publisher or '-')}"
    return f"source: {source_text(before)} -> {source_text(after)}"


def _place(plugin: LockedPlugin) -> tuple[object, ...]:
    """Who publishes a plugin, and where; not which tag or commit it is."""
    source = plugin.source
    return plugin.publisher, source.model_copy(update={"ref": None, "commit": None})


def consent_lines(plan: Plan) -> list[str]:
    """What the owner is asked to accept: who asks for which permissions more."""
    lines = []
    for change in plan.asks_for_more:
        who = f"{change.id} {_versions(change)}"
        if change.after is not None and not change.after.signed:
            who += UNSIGNED
        asks = (
            "asks for more permissions"
            if change.before is not None
            else "is brought along and asks for permissions"
        )
        lines.append(f"{who} {asks}: {', '.join(map(text.clean, change.new_permissions))}")
        moved = moved_text(change)
        if moved:
            lines.append(f"  {moved}")
    return lines


def changelog_lines(changelogs: Iterable[tuple[str, str]], indent: str = "") -> list[str]:
    """Versions and their changelogs, indented."""
    lines = []
    for version, body in changelogs:
        lines.append(f"{indent}{version}")
        lines += [f"{indent}  {line}".rstrip() for line in text.clean_lines(body)]
    return lines


def waiting_lines(plan: Plan, output: Output) -> list[str]:
    """The updates that wait for a person."""
    return [
        f"{text.paint('?', 'yellow', enabled=output.coloured)} {text.paint(w.id, 'bold', enabled=output.coloured)} "
        f"{w.installed} -> {w.offered} waits: {text.clean(w.reason)}"
        for w in plan.waiting
    ]


def _needed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"needs {what}: {', '.join(map(text.clean, names))}; install them in the host's environment"]


def summary(plan: Plan, *, dry_run: bool = False) -> str:
    """What was done, in one line."""
    counts: dict[str, int] = {}
    for change in plan.changes:
        counts[_DONE[change.action]] = counts.get(_DONE[change.action], 0) + 1
    parts = [f"{count} {'to be ' if dry_run else ''}{done}" for done, count in counts.items()]
    changed = (("plugins.toml", plan.project_text), ("plugins.lock", plan.lock))
    files = " and ".join(name for name, new in changed if new is not None)
    if files:
        parts.append(f"{files} {'to be ' if dry_run else ''}written")
    if plan.waiting:
        parts.append(f"{text.counted(len(plan.waiting), 'update')} waiting for you")
    said = ", ".join(parts) or "nothing to do"
    return f"dry run, nothing was changed: {said}" if dry_run else said


def show_plan(output: Output, plan: Plan, *, dry_run: bool = False, note: str = "") -> None:
    """Write a plan as the result of a run, and what was done in one line: by default counted from it."""
    for warning in plan.warnings:
        output.warn(warning)
    output.result(plan_json(plan, dry_run=dry_run), plan_lines(plan, output, dry_run=dry_run))
    output.note(note or summary(plan, dry_run=dry_run))
    if plan.waiting:
        output.note("'plugin upgrade --dry-run' shows what would be new")


def lock_changes(old: Lock, new: Lock) -> tuple[Change, ...]:
    """How a lock differs from the one before it."""
    from registry_client.installer.disk.record import Installed, Record
    from registry_client.installer.planning import plan_changes

    before = {
        plugin.id: Installed.model_validate({"plugin": plugin, "installedAt": "1970-01-01T00:00:00Z"})
        for plugin in old.plugins
    }
    return plan_changes(Record.model_construct(plugins=before), new, old.by_id)
