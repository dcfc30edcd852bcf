"""The commands that look things up: `search`, `info`, `versions`."""

from __future__ import annotations

from typing import Annotated

import typer

from registry_client.cli import text
from registry_client.cli.info import run_info, version_json
from registry_client.cli.options import (  # noqa: TC001  (typer reads annotations)
    JsonFlag,
    PluginIdArgument,
    Spec,
)
from registry_client.cli.search import run_search
from registry_client.cli.state import parse_spec, state_of


def search(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT", help="Words that all must occur; none lists everything.", show_default=False
        ),
    ] = None,
    _json: JsonFlag = False,
) -> None:
    """Search the catalogue by id, name, description, category and keywords."""
    run_search(state_of(ctx), words or [])


def info(ctx: typer.Context, spec: Spec, _json: JsonFlag = False) -> None:
    """Show what one version is: its signed manifest, its status, and who signed it.

    Without a range it is the newest version that this installation would be given.
    """
    run_info(state_of(ctx), spec)


def versions(ctx: typer.Context, plugin_id: PluginIdArgument, _json: JsonFlag = False) -> None:
    """List all versions of a plugin, oldest first, and how each stands now."""
    state = state_of(ctx)
    name, range_text = parse_spec(plugin_id)
    if range_text:
        state.output.warn(f"'versions' lists all of them; {range_text!r} is ignored")
    client = state.client()
    infos = client.versions(name)
    output = state.output
    colour = output.coloured
    rows = [("VERSION", "STATUS", "ROLLOUT", "PUBLISHED", "REASON")]
    for one in infos:
        standing = one.standing
        status = "unverified" if one.problem else str(standing.status)
        push, force = ("" if standing.push else ", new only"), (", forced" if standing.force_update else "")
        rollout = f"{standing.rollout} %{push}{force}"
        reason = text.clean(str(one.problem) if one.problem else standing.reason)
        row = (one.version, text.paint_status(status, enabled=colour), rollout, one.line.published_at, reason)
        rows.append(row)
    document = {"id": name, "versions": [version_json(one) for one in infos]}
    output.result(document, text.table(rows, width=output.width))
    state.used(client)
