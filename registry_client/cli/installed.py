"""The commands about what is installed: `list`, `tree`, `why`, `discover`, `disable`, `enable`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry_client.cli import text
from registry_client.cli.options import AllowUnsigned, InstalledIds, JsonFlag, complete_installed
from registry_client.cli.plans import (
    UNSIGNED,
    change_line,
    plan_json,
    plugin_json,
    source_text,
    summary,
)
from registry_client.cli.progress import progress_bars
from registry_client.cli.project import carry_out
from registry_client.cli.state import state_of
from registry_client.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from registry_client.cli.output import Output
    from registry_client.installer.disk.record import Installed
    from registry_client.installer.installer import Installer
    from registry_client.installer.plan import Found, Plan
    from registry_client.installer.project.graph import Branch, Link


def list_installed(ctx: typer.Context, _json: JsonFlag = False) -> None:
    """List what is installed: versions, where they come from, and what is disabled. Asks no host."""
    state = state_of(ctx)
    installer = state.installer(offline=True)
    items = installer.installed()
    output = state.output
    document = {"project": str(installer.project.path), "plugins": [installed_json(item) for item in items]}
    output.result(document, text.table(_rows(items, output), width=output.width))
    output.note(text.counted(len(items), "plugin") if items else "nothing is installed")


def _rows(items: list[Installed], output: Output) -> list[tuple[str, str, str]]:
    """Marks stand before the sources: those can be long, and lines end where the terminal does."""
    colour = output.coloured
    rows = []
    for item in items:
        marks = "" if item.plugin.signed else text.paint(UNSIGNED, "yellow", enabled=colour)
        marks += text.paint(" (disabled)", "red", enabled=colour) if item.disabled is not None else ""
        reason = (
            f", {text.clean(item.disabled.reason)}"
            if item.disabled is not None and item.disabled.reason
            else ""
        )
        name = text.paint(item.plugin.id, "bold", enabled=colour)
        rows.append((name, item.plugin.version + marks, source_text(item.plugin) + reason))
    return rows


def installed_json(item: Installed) -> dict[str, Any]:
    """One installed plugin, as the JSON outputs show it."""
    disabled = item.disabled
    return {
        "id": item.plugin.id,
        **plugin_json(item.plugin),
        "installedAt": item.installed_at,
        "disabled": None if disabled is None else {"by": disabled.by, "reason": disabled.reason},
        "previous": [plugin.version for plugin in item.previous],
    }


def tree(ctx: typer.Context, _json: JsonFlag = False) -> None:
    """Show the locked plugins as a tree: those that plugins.toml asks for, each with what it needs."""
    state = state_of(ctx)
    branches = state.installer().tree()
    lines = [line for branch in branches for line in _tree_lines(branch, state.output)]
    state.output.result({"tree": [_branch_json(branch) for branch in branches]}, lines)
    if not branches:
        state.output.note("plugins.lock holds nothing; 'plugin add ID' asks for a plugin")


def _tree_lines(branch: Branch, output: Output, first: str = "", rest: str = "") -> list[str]:
    colour = output.coloured
    plugin = branch.plugin
    name = text.paint(plugin.id, "bold", enabled=colour)
    wanted = f" ({branch.range})" if branch.range else ""
    mark = "" if plugin.signed else text.paint(UNSIGNED, "yellow", enabled=colour)
    repeated = " (see above)" if branch.repeated else ""
    lines = [f"{first}{name} {plugin.version}{wanted}{mark}{repeated}"]
    for below in branch.branches:
        last = below is branch.branches[-1]
        lines += _tree_lines(
            below, output, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")
        )
    return lines


def _branch_json(branch: Branch) -> dict[str, Any]:
    return {
        "id": branch.plugin.id,
        "version": branch.plugin.version,
        "signed": branch.plugin.signed,
        "range": branch.range,
        "repeated": branch.repeated,
        "needs": [_branch_json(below) for below in branch.branches],
    }


def why(
    ctx: typer.Context,
    plugin_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="A plugin.", autocompletion=complete_installed, show_default=False),
    ],
    _json: JsonFlag = False,
) -> None:
    """Say because of whom a plugin is there: every chain from plugins.toml to it, the shortest first."""
    state = state_of(ctx)
    installer = state.installer()
    chains = installer.why(plugin_id)
    plugin = installer.locked().by_id[plugin_id]
    mark = "" if plugin.signed else UNSIGNED
    document = {
        "id": plugin.id,
        "version": plugin.version,
        "signed": plugin.signed,
        "chains": [
            [{"askedBy": link.asked_by or None, "id": link.id, "range": link.range} for link in chain]
            for chain in chains
        ],
    }
    name = text.paint(plugin.id, "bold", enabled=state.output.coloured)
    lines = [f"{name} {plugin.version}{mark}", *(f"  {_chain_text(chain)}" for chain in chains)]
    state.output.result(document, lines)


def _chain_text(chain: list[Link]) -> str:
    first, *others = (f"{link.id} {link.range}".strip() for link in chain)
    return ", which needs ".join([f"plugins.toml asks for {first}", *others])


def discover(
    ctx: typer.Context,
    adopt: Annotated[
        list[str] | None,
        typer.Option("--adopt", metavar="NAME", help="Record this folder; repeatable.", show_default=False),
    ] = None,
    adopt_all: Annotated[bool, typer.Option("--adopt-all", help="Record all of them.")] = False,
    allow_unsigned: AllowUnsigned = False,
    _json: JsonFlag = False,
) -> None:
    """Find folders among the plugins that nobody recorded, and adopt them if asked.

    A folder that is exactly what a registry has published becomes that version. Any other is adopted as it is,
    unsigned, only with --allow-unsigned.
    """
    state = state_of(ctx)
    with progress_bars(state.output) as bars:
        installer = state.installer(bars)
        found = installer.discover()
        wanted = _to_adopt(installer, found, adopt or [], everything=adopt_all)
        plan = _adopt(installer, wanted, unsigned=allow_unsigned)
    for warning in plan.warnings:
        state.output.warn(warning)
    output = state.output
    document = {"found": [_found_json(one) for one in found], **plan_json(plan)}
    if wanted:
        output.result(document, [change_line(change, output) for change in plan.changes])
        output.note(summary(plan))
        return
    rows = [(text.clean(one.folder.name), one.id or "-", one.version or "-") for one in found]
    output.result(
        document, text.table([("FOLDER", "ID", "VERSION"), *rows] if rows else [], width=output.width)
    )
    output.note(
        f"{text.counted(len(found), 'folder')} that nobody recorded; 'plugin discover --adopt NAME' adopts one"
        if found
        else "every folder among the plugins is recorded"
    )


def _to_adopt(installer: Installer, found: list[Found], names: list[str], *, everything: bool) -> list[str]:
    known = [one.folder.name for one in found]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{installer.project.host.folder}: has no unrecorded folder {name[:80]!r}",
                hint="See which there are: 'plugin discover'; what is recorded: 'plugin list'.",
            )
    return known if everything else list(dict.fromkeys(names))


def _adopt(installer: Installer, names: list[str], *, unsigned: bool) -> Plan:
    """Adopt folders one after the other; a plan that tells of all."""
    from registry_client.installer.installer import Consent
    from registry_client.installer.plan import Plan

    whole = Plan(applied=bool(names))
    for name in names:
        try:
            plan = installer.adopt(name, consent=Consent(unsigned=unsigned))
        except RegistryError as e:
            if whole.changes:
                e.message += f"\n  adopted before it: {', '.join(change.id for change in whole.changes)}"
            raise
        whole = replace(
            plan, changes=(*whole.changes, *plan.changes), warnings=(*whole.warnings, *plan.warnings)
        )
    return whole


def _found_json(one: Found) -> dict[str, Any]:
    return {"folder": str(one.folder), "id": one.id or None, "version": one.version or None}


def disable(ctx: typer.Context, plugin_ids: InstalledIds, _json: JsonFlag = False) -> None:
    """Set plugins aside, where the host does not load them. Their versions stay locked."""
    carry_out(state_of(ctx), lambda installer, _: installer.disable(plugin_ids))


def enable(ctx: typer.Context, plugin_ids: InstalledIds, _json: JsonFlag = False) -> None:
    """Put disabled plugins back. What a block has disabled stays so until the block is lifted."""
    carry_out(state_of(ctx), lambda installer, _: installer.enable(plugin_ids))
