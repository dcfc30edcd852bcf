"""The commands that look things up: `search`, `info`, `versions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry_client.cli import text
from registry_client.cli.options import (  # noqa: TC001  (typer reads annotations)
    JsonFlag,
    PluginIdArgument,
    Spec,
)
from registry_client.cli.output import error_json
from registry_client.cli.search import run_search
from registry_client.cli.state import parse_spec, state_of

if TYPE_CHECKING:
    from registry_client.cli.output import Output
    from registry_client.client import Resolution
    from registry_client.models.manifest import Manifest
    from registry_client.resolve import VersionInfo


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
    state = state_of(ctx)
    plugin_id, range_text = parse_spec(spec)
    client = state.client(choosing=True)
    found = client.resolve(plugin_id, range_text)
    for warning in found.warnings:
        state.output.warn(warning)
    publisher = client.session.statements.publisher(found.manifest.publisher).publisher
    document = {
        **version_json(found.info),
        "publisher": {"id": publisher.id, "name": publisher.name, "threshold": publisher.threshold},
        "keyids": sorted(found.manifest.keyids),
        "manifest": found.manifest.raw,
    }
    state.output.result(document, _info_lines(found, publisher.name, state.output))
    state.used(client)


def _info_lines(found: Resolution, publisher: str, output: Output) -> list[str]:
    model, standing = found.manifest.model, found.info.standing
    colour = output.coloured
    keys = sorted(found.manifest.keyids)
    lines = [text.paint(f"{text.clean(model.name)} ({model.id} {model.version})", "bold", enabled=colour)]
    lines += [f"  {line}" for line in text.clean_lines(model.description or "")]
    rollout = f", rollout {standing.rollout} %" if standing.rollout < 100 else ""  # noqa: PLR2004  (per cent)
    rows = [
        ("status", text.paint_status(standing.status, enabled=colour) + rollout),
        ("reason", text.clean(standing.reason)),
        ("publisher", f"{text.clean(publisher)} ({found.manifest.publisher})"),
        ("signed by", ", ".join(keys if output.verbose else [f"{key[:16]}…" for key in keys])),
        ("published", found.info.line.published_at),
        ("payload", found.manifest.payload_digest),
        *_manifest_rows(model),
    ]
    lines += [
        "",
        *text.facts(rows),
    ]
    for artifact in model.artifacts or ():
        where = artifact.url if ":" in artifact.url else artifact.url.rpartition("/")[2]
        lines += ["", f"artifact for {artifact.ecosystem}: {text.clean(where)}, {text.size(artifact.size)}"]
        lines += [f"  {artifact.digest}"]
    return lines


def _manifest_rows(model: Manifest) -> list[tuple[str, str]]:
    """What a manifest says, one fact a row."""
    ui, server, provenance = model.ui, model.server, model.provenance
    rows = [
        ("category", model.category or ""),
        ("keywords", ", ".join(model.keywords)),
        ("author", model.author.name if model.author else ""),
        ("licence", model.license or ""),
        ("homepage", model.homepage or ""),
        ("repository", model.repository or ""),
        ("documentation", model.documentation or ""),
        ("remote entry", (ui.remote_entry if ui else None) or ""),
        ("exposes", (ui.expose if ui else None) or ""),
        ("integrity", (ui.integrity if ui else None) or ""),
        ("route", server.route_base if server else ""),
        ("backend", (server.deployment_url if server else None) or ""),
        ("health check", (server.health_check if server else None) or ""),
        ("permissions", ", ".join(model.permissions)),
        *_requirement_rows(model),
        (
            "built from",
            " ".join(filter(None, (provenance.repository, provenance.commit))) if provenance else "",
        ),
    ]
    return [(name, text.clean(value)) for name, value in rows]


def _requirement_rows(model: Manifest) -> list[tuple[str, str]]:
    needs = model.requires
    if needs is None:
        return []
    return [
        ("needs host", ", ".join(f"{name} {wanted}" for name, wanted in (needs.host or {}).items())),
        ("needs Python", needs.python or ""),
        ("platforms", ", ".join(needs.platforms)),
        ("needs plugins", ", ".join(f"{name} {wanted}" for name, wanted in (needs.plugins or {}).items())),
        ("needs packages", ", ".join(needs.packages)),
        ("needs system", ", ".join(needs.system)),
    ]


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


def version_json(one: VersionInfo) -> dict[str, Any]:
    """A version and how it stands, as the JSON outputs show it."""
    standing, problem = one.standing, one.problem
    return {
        "id": one.id,
        "version": one.version,
        "status": standing.status,
        "reason": standing.reason,
        "rollout": standing.rollout,
        "push": standing.push,
        "forceUpdate": standing.force_update,
        "revision": one.release.revision if one.release else None,
        "publishedAt": one.line.published_at,
        "publisher": one.line.publisher,
        "payloadDigest": one.line.manifest.payload_digest,
        "problem": error_json(problem.kind, problem.message, problem.hint, problem.exit_code)
        if problem
        else None,
    }
