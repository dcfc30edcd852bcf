"""The commands that change a project: `init`, `add`, `remove`, `lock`, `install`, `upgrade`, `rollback`."""

from __future__ import annotations

from dataclasses import replace
from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry_client.cli.env import expanded
from registry_client.cli.options import (
    AcceptPermissions,
    AllowUnsigned,
    DryRun,
    JsonFlag,
    complete_id,
    complete_installed,
    complete_wanted,
)
from registry_client.cli.plans import consent_lines, lock_changes, show_plan
from registry_client.cli.progress import progress_bars
from registry_client.cli.state import State, parse_applications, state_of
from registry_client.errors import ConfigError, DocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry_client.cli.progress import Bars
    from registry_client.installer.installer import Consent, Installer
    from registry_client.installer.plan import Plan
    from registry_client.installer.project.model import Project

APPLIED_EXIT = 21
WAITING_EXIT = 22


def init(
    ctx: typer.Context,
    registry: Annotated[
        str, typer.Option(metavar="URL", help="The registry's base URL.", show_default=False)
    ] = "",
    root: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its pinned root of trust, a N.root.json.", show_default=False),
    ] = None,
    host: Annotated[
        str,
        typer.Option(metavar="NAME=VERSION", help="The application and its version.", show_default=False),
    ] = "",
    ecosystem: Annotated[
        str,
        typer.Option(
            metavar="E",
            help="Which artifacts it uses: python, wordpress, shopify or custom; by default any.",
            show_default=False,
        ),
    ] = "",
    folder: Annotated[
        str, typer.Option(metavar="DIR", help="Where plugins are installed, from plugins.toml's folder.")
    ] = "plugins",
    _json: JsonFlag = False,
) -> None:
    """Write a first plugins.toml, with comments, here or where --project says. Never overwrites one.

    What is not given here is taken from the options before the command, and from the environment.
    """
    from registry_client.installer.project.edit import new_project
    from registry_client.installer.project.nearest import named_project

    state = state_of(ctx)
    path = named_project(state.project_option or Path())
    if lexists(path):
        raise ConfigError(
            f"{path}: is there already, and is not overwritten",
            hint="Add plugins to it: 'plugin add ID'; or make another: 'plugin --project DIR init'.",
        )
    url = registry or state.registry or state.environment.registry
    applications = parse_applications([host]) if host else state.applications
    pinned = _root(state, root, path) if url else ""
    name, version = next(iter(applications.items()), ("", ""))
    text = new_project(
        name=name,
        version=version,
        url=url,
        root=pinned,
        allow_dev_keys=state.allow_dev_keys or state.environment.dev_keys_allowed,
        folder=folder,
        ecosystem=ecosystem,
    )
    project = _write_first(path, text)
    document = {
        "project": str(path),
        "registry": url or None,
        "root": str(project.registries["main"].root) if url else None,
        "folder": str(project.host.folder),
    }
    state.output.result(document, [str(path)])
    state.output.note(
        "add plugins with: plugin add ID" if url else "name a registry in it, then: plugin add ID"
    )


def _write_first(path: Path, text: str) -> Project:
    """Write a first plugins.toml, and give what it says."""
    from registry_client.installer.project.file import parse_project
    from registry_client.store import write_atomic

    try:
        project = parse_project(text, path)
    except DocumentError as e:
        problems = "; ".join(str(problem) for problem in e.problems)
        raise ConfigError(f"plugin init: {problems}", hint="See 'plugin init --help'.") from e
    try:
        write_atomic(path, text.encode())
    except OSError as e:
        raise ConfigError(
            f"{path}: cannot be written ({e.strerror or e})", hint="Look at who may write there."
        ) from e
    return project


def _root(state: State, given: Path | None, project: Path) -> str:
    """The pinned root as plugins.toml states it: relative where it stands beside or below that file."""
    from registry_client.client import read_root
    from registry_client.installer.project.file import absolute

    chosen = str(given or state.root or state.environment.root)
    if not chosen:
        raise ConfigError(
            "a registry is given, but no root of trust for it",
            hint="Get metadata/1.root.json from the registry's maintainers over a channel you trust, "
            "then: plugin init --registry URL --root FILE.",
        )
    path = absolute(expanded(chosen))
    read_root(path)
    if path.is_relative_to(project.parent):
        return path.relative_to(project.parent).as_posix()
    state.output.warn(
        f"{path}: stands outside of the project; keep a copy beside plugins.toml, and commit it"
    )
    return path.as_posix()


def add(
    ctx: typer.Context,
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC",
            help="ID, 'ID>=1,<2', REGISTRY:ID, a folder, an archive, git+URL@TAG, or pypi:NAME.",
            autocompletion=complete_id,
            show_default=False,
        ),
    ],
    allow_unsigned: AllowUnsigned = False,
    accept_permissions: AcceptPermissions = False,
    dry_run: DryRun = False,
    _json: JsonFlag = False,
) -> None:
    """Ask for plugins in plugins.toml, lock them, and install them with what they need.

    A plugin without a range gets the version that is chosen now as its lowest. Everything is installed, or
    nothing is changed.
    """
    state = state_of(ctx)

    def work(installer: Installer, bars: Bars | None) -> Plan:
        agreed = _consent(state, bars, unsigned=allow_unsigned, permissions=accept_permissions)
        return installer.add(_from_here(installer, specs), consent=agreed, dry_run=dry_run)

    carry_out(state, work, dry_run=dry_run)


def _from_here(installer: Installer, specs: Sequence[str]) -> list[str]:
    """The wishes, paths in them taken from the working directory, where whoever typed them stands."""
    from registry_client.installer.project.sources import PathSource
    from registry_client.installer.project.spec import parse_wish

    found = []
    for spec in specs:
        try:
            source = parse_wish(spec, installer.project, here=Path.cwd()).source
        except OSError:  # the working directory was deleted: nothing is relative to it
            source = None
        found.append(source.path if isinstance(source, PathSource) else spec)
    return found


def remove(
    ctx: typer.Context,
    plugin_ids: Annotated[
        list[str],
        typer.Argument(metavar="ID", help="Plugins.", autocompletion=complete_wanted, show_default=False),
    ],
    dry_run: DryRun = False,
    _json: JsonFlag = False,
) -> None:
    """Ask for plugins no longer, and uninstall them and what only they needed."""
    carry_out(
        state_of(ctx), lambda installer, _: installer.remove(plugin_ids, dry_run=dry_run), dry_run=dry_run
    )


def lock(
    ctx: typer.Context,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say whether plugins.lock answers plugins.toml: exit 3 if not."),
    ] = False,
    allow_unsigned: AllowUnsigned = False,
    accept_permissions: AcceptPermissions = False,
    dry_run: DryRun = False,
    _json: JsonFlag = False,
) -> None:
    """Make plugins.lock answer plugins.toml, and install nothing. Locked versions stay where they fit."""
    state = state_of(ctx)
    with progress_bars(state.output) as bars:
        installer = state.installer(bars)
        if check:
            _check_lock(state, installer)
            return
        before = installer.locked()
        agreed = _consent(state, bars, unsigned=allow_unsigned, permissions=accept_permissions)
        plan = installer.lock(consent=agreed, dry_run=dry_run)
    changes = lock_changes(before, plan.lock) if plan.lock is not None else ()
    plan = replace(plan, changes=changes)
    verb = "would be written" if dry_run else "written"
    show_plan(
        state.output,
        plan,
        dry_run=dry_run,
        note="plugins.lock answers plugins.toml already" if plan.lock is None else f"plugins.lock {verb}",
    )


def _check_lock(state: State, installer: Installer) -> None:
    problems = installer.lock_problems()
    if problems:
        raise ConfigError(
            f"{installer.project.lock_path}: does not answer {installer.project.path.name}: {'; '.join(problems)}",
            hint="Run 'plugin lock', and commit plugins.lock.",
        )
    state.output.result({"upToDate": True}, [])
    state.output.note("plugins.lock answers plugins.toml")


def install(
    ctx: typer.Context,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Fail where plugins.lock does not answer plugins.toml: for CI.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare every installed file, and install again what was changed."),
    ] = False,
    allow_unsigned: AllowUnsigned = False,
    accept_permissions: AcceptPermissions = False,
    dry_run: DryRun = False,
    _json: JsonFlag = False,
) -> None:
    """Make the plugins folder equal to plugins.lock, which is made first where it is missing or out of date."""
    state = state_of(ctx)

    def work(installer: Installer, bars: Bars | None) -> Plan:
        agreed = _consent(state, bars, unsigned=allow_unsigned, permissions=accept_permissions)
        return installer.install(frozen=frozen, verify=verify, consent=agreed, dry_run=dry_run)

    carry_out(state, work, dry_run=dry_run)


def upgrade(
    ctx: typer.Context,
    plugin_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help="Plugins; by default all.",
            autocompletion=complete_installed,
            show_default=False,
        ),
    ] = None,
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Ask nobody: apply forced updates, and what plugins.toml allows."),
    ] = False,
    allow_unsigned: AllowUnsigned = False,
    accept_permissions: AcceptPermissions = False,
    dry_run: DryRun = False,
    _json: JsonFlag = False,
) -> None:
    """Lock and install the newest versions that ranges and statuses allow.

    With --dry-run it shows versions, what changed between them, and new permissions. With --auto, for cron,
    the exit code says what happened: 0 nothing to do, 21 updates were applied, 22 updates wait for a person,
    whether or not others were applied.
    """
    state = state_of(ctx)
    if auto and (plugin_ids or allow_unsigned or accept_permissions):
        raise typer.BadParameter("--auto goes by plugins.toml alone: no ids, no other consent", ctx=ctx)

    def work(installer: Installer, bars: Bars | None) -> Plan:
        if auto:
            return installer.upgrade_automatically(dry_run=dry_run)
        agreed = _consent(state, bars, unsigned=allow_unsigned, permissions=accept_permissions)
        return installer.upgrade(plugin_ids or (), consent=agreed, dry_run=dry_run)

    plan = carry_out(state, work, dry_run=dry_run)
    if auto and plan.waiting:
        raise typer.Exit(WAITING_EXIT)
    if auto and plan.changes:
        raise typer.Exit(APPLIED_EXIT)


def rollback(
    ctx: typer.Context,
    plugin_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="A plugin.", autocompletion=complete_installed, show_default=False),
    ],
    version: Annotated[
        str | None,
        typer.Argument(metavar="VERSION", help="By default the one before this.", show_default=False),
    ] = None,
    dry_run: DryRun = False,
    _json: JsonFlag = False,
) -> None:
    """Go back to a version that was installed before; needs no network.

    The version that it went back from is not offered again unless it is asked for; newer ones are.
    """
    carry_out(
        state_of(ctx),
        lambda installer, _: installer.rollback(plugin_id, version, dry_run=dry_run),
        dry_run=dry_run,
    )


def carry_out(state: State, work: Callable[[Installer, Bars | None], Plan], *, dry_run: bool = False) -> Plan:
    """Open the project, do something, and show what was done."""
    with progress_bars(state.output) as bars:
        plan = work(state.installer(bars), bars)
    show_plan(state.output, plan, dry_run=dry_run)
    return plan


def _consent(state: State, bars: Bars | None, *, unsigned: bool, permissions: bool) -> Consent:
    """What the options agree to; on a terminal the rest is asked."""
    from registry_client.installer.installer import Consent

    def ask(plan: Plan) -> bool:
        if bars is not None:
            bars.stop()
        for line in consent_lines(plan):
            state.output.note(line)
        return state.output.ask("Accept?")

    return Consent(
        permissions=permissions, unsigned=unsigned, confirm=ask if state.output.interactive else None
    )
