"""Back to a version that was installed before: from this machine alone, under the blocks that it knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError, ConflictError, NotFoundError
from registry_client.installer.applying import How, refuse_blocked
from registry_client.installer.locking import wished
from registry_client.installer.operations import Planned, installed_plugin, plan_from_lock
from registry_client.installer.project import graph
from registry_client.installer.project.file import host_of, parse_project
from registry_client.names import in_range, parse_version
from registry_client.resolve import unmet

if TYPE_CHECKING:
    from registry_client.installer.context import Context
    from registry_client.installer.disk.record import Installed
    from registry_client.installer.project.lockfile import Lock, LockedPlugin
    from registry_client.installer.project.model import Project


def plan_rollback(ctx: Context, plugin_id: str, version: str | None) -> Planned:
    """Back to a version that was installed before, from this machine alone.

    Raises:
        NotFoundError: it is not installed, or no such version is kept. ConflictError: other plugins do not fit with it.
        YankedError: a block refuses it.
    """
    installed = installed_plugin(ctx, plugin_id)
    target = _earlier(installed) if version is None else _kept(installed, version)
    if target is None:
        kept = ", ".join(plugin.version for plugin in installed.previous)
        what = f"version {version} is not" if version else f"no version before {installed.plugin.version} is"
        raise NotFoundError(
            f"{plugin_id}: {what} kept on this machine{f' (kept: {kept})' if kept else ''}",
            hint=f"From the registry: 'plugin add {plugin_id}=={version or 'VERSION'}'.",
        )
    refuse_blocked(ctx, target)
    old = ctx.read_lock()
    if old is None or plugin_id not in old.by_id:
        raise ConfigError(
            f"{ctx.project.lock_path}: does not hold {plugin_id}", hint="Run 'plugin install' first."
        )
    now = installed.plugin
    wish = old.wanted.get(plugin_id)
    place = wish.source if wish is not None else old.by_id[plugin_id].source
    if not graph.answers(place, target.source):
        raise ConfigError(
            f"{plugin_id} {target.version}: came from {target.source.kind} {target.source.registry or ''}".rstrip()
            + ", and the project has it from elsewhere now",
            hint="To have it from there again, say so in plugins.toml, then run 'plugin install'.",
        )
    newer = parse_version(now.version) > parse_version(target.version)
    target = target.model_copy(update={"passed_over": now.version if newer else None})
    lock = old.model_copy(update={"plugins": tuple(target if p.id == plugin_id else p for p in old.plugins)})
    _check_fits(ctx.project, lock, target)
    needed = graph.reachable(lock)
    dropped = [p.id for p in lock.plugins if p.id not in needed]  # only the newer version needed them
    lock = lock.model_copy(update={"plugins": tuple(p for p in lock.plugins if p.id in needed)})
    only = {plugin_id, *dropped}
    text, warnings = _with_range(ctx, target)
    if text is not None:
        lock = lock.model_copy(update={"wanted": wished(parse_project(text, ctx.project.path))})
    plan = plan_from_lock(ctx, lock, old, warnings, text=text, only=only, changelogs=False)
    return Planned(plan, How(offline=True))


def _earlier(installed: Installed) -> LockedPlugin | None:
    """The version before the current one, of those that are kept."""
    now = parse_version(installed.plugin.version)
    return next((p for p in installed.previous if parse_version(p.version) < now), None)


def _kept(installed: Installed, version: str) -> LockedPlugin | None:
    return next((p for p in installed.previous if p.version == version), None)


def _check_fits(project: Project, lock: Lock, target: LockedPlugin) -> None:
    by_id = lock.by_id
    missing = unmet(target.requires, host_of(project, install_id=""))
    wrong = [f"{target.id} {target.version} needs {text}" for text in missing]
    wrong += [
        f"{link.asked_by} {by_id[link.asked_by].version} needs {target.id} {link.range}"
        for link in graph.dependants(lock, target.id)
        if not in_range(target.version, link.range, prereleases=True)
    ]
    for name, text in sorted(graph.needs(target).items()):
        if name not in by_id:
            wrong.append(f"{target.id} {target.version} needs {name} {text}, which is not installed")
        elif not in_range(by_id[name].version, text, prereleases=True):
            wrong.append(
                f"{target.id} {target.version} needs {name} {text}; {by_id[name].version} is installed"
            )
    if wrong:
        raise ConflictError(
            f"{target.id} {target.version}: does not fit with this host and its other plugins\n  "
            + "\n  ".join(wrong),
            hint="Roll those back first, or choose another version.",
        )


def _with_range(ctx: Context, target: LockedPlugin) -> tuple[str | None, tuple[str, ...]]:
    """plugins.toml asking for a version that its range leaves out, and a word about that; None where it holds it."""
    from registry_client.installer.project.edit import with_plugin  # noqa: PLC0415

    wanted = ctx.project.plugins.get(target.id)
    if wanted is None or not wanted.range or in_range(target.version, wanted.range, prereleases=True):
        return None, ()
    now = f"=={target.version}"
    said = f"plugins.toml asked for {target.id} {wanted.range}, and asks for {now} now; loosen that to go forwards again"
    return with_plugin(ctx.project.text, replace(wanted, range=now), ctx.project), (said,)
