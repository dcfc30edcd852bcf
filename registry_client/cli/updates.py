"""The commands about newer versions: `outdated` and `changelog`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry_client.cli import text
from registry_client.cli.options import JsonFlag, PluginIdArgument  # noqa: TC001  (typer reads annotations)
from registry_client.cli.output import error_json
from registry_client.cli.plans import changelog_lines
from registry_client.cli.state import State, parse_exact, parse_spec, state_of
from registry_client.errors import ConfigError, NotFoundError, RegistryError
from registry_client.names import check_version, parse_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry_client.client import RegistryClient
    from registry_client.installer.updates import Outdated
    from registry_client.resolve import Update, VersionInfo

OUTDATED_EXIT = 20


def outdated(
    ctx: typer.Context,
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID==VERSION",
            help="What is installed; by default the plugins of the project.",
            show_default=False,
        ),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help=f"Exit with {OUTDATED_EXIT} if an update is offered.")
    ] = False,
    _json: JsonFlag = False,
) -> None:
    """Say which plugins of the project, or which of these versions, this installation is offered an update for.

    Rollouts and the publisher's wish to push decide, so two installations can get different answers.
    The exit code is 0 whether or not something is outdated, unless --exit-code is given. A plugin that cannot
    be judged is reported, the others are judged all the same, and the exit code is that of the first error.
    """
    state = state_of(ctx)
    if not specs:
        found_here = _outdated_here(state)
        if found_here and exit_code:
            raise typer.Exit(OUTDATED_EXIT)
        return
    pairs = [parse_exact(spec) for spec in specs]
    client = state.client(choosing=True)
    found, current, failed = [], [], []
    for plugin_id, version in pairs:
        try:
            update = _judge(state, client, plugin_id, version)
            changelog = client.update_manifest(update).model.changelog if update else None
        except RegistryError as e:
            failed.append((plugin_id, version, e))
        else:
            if update is None:
                current.append({"id": plugin_id, "installed": version})
            else:
                found.append((update, changelog or ""))
    _report_outdated(state, found, current, failed)
    state.used(client)
    if failed:
        raise typer.Exit(failed[0][2].exit_code)
    if found and exit_code:
        raise typer.Exit(OUTDATED_EXIT)


def _judge(state: State, client: RegistryClient, plugin_id: str, version: str) -> Update | None:
    """The update offered; warns if the installed version is not to be used any more."""
    from registry_client.status import Status

    installed = next((one for one in client.versions(plugin_id) if one.version == version), None)
    if installed is None:
        state.output.warn(f"{plugin_id} {version} is not in this registry")
    elif installed.standing.status not in {Status.RELEASED, Status.STAGED, Status.TESTING}:
        reason = f": {installed.standing.reason}" if installed.standing.reason else ""
        state.output.warn(
            f"{plugin_id} {version}, which is installed, is {installed.standing.status}{reason}"
        )
    return client.check_update(plugin_id, version)


def _report_outdated(
    state: State,
    found: list[tuple[Update, str]],
    current: list[dict[str, str]],
    failed: list[tuple[str, str, RegistryError]],
) -> None:
    output = state.output
    document = {
        "outdated": [
            {
                "id": update.info.id,
                "installed": update.installed,
                "wanted": update.info.version,
                "available": update.info.version,
                "force": update.force,
                "publishedAt": update.info.line.published_at,
                "payloadDigest": update.info.line.manifest.payload_digest,
                "changelog": changelog,
            }
            for update, changelog in found
        ],
        "current": current,
        "failed": [
            {"id": i, "installed": v, "error": error_json(e.kind, e.message, e.hint, e.exit_code)}
            for i, v, e in failed
        ],
        "unsigned": [],
    }
    lines = []
    for update, changelog in found:
        name = text.paint(update.info.id, "bold", enabled=output.coloured)
        force = " (the publisher asks to apply it without waiting)" if update.force else ""
        lines.append(f"{name} {update.installed} -> {update.info.version}{force}")
        lines += [f"  {line}" for line in text.clean_lines(changelog)]
    output.result(document, lines)
    for _, _, e in failed:
        if not output.as_json:
            output.error(e)
    if not found and not failed:
        output.note("nothing is outdated")


def _outdated_here(state: State) -> list[Outdated]:
    """The project's plugins: what `plugin upgrade` would choose, and what is offered beyond its ranges."""
    installer = state.installer()
    found = installer.outdated()
    output, colour = state.output, state.output.coloured
    late, locked = {one.id for one in found}, installer.locked().plugins
    unsigned = [plugin.id for plugin in locked if not plugin.signed]
    document = {
        "outdated": [
            {
                "id": one.id,
                "installed": one.installed,
                "wanted": one.wanted,
                "available": one.offered,
                "force": one.force,
                "publishedAt": None,
                "payloadDigest": None,
                "changelog": None,
            }
            for one in found
        ],
        "current": [
            {"id": plugin.id, "installed": plugin.version} for plugin in locked if plugin.id not in late
        ],
        "failed": [],
        "unsigned": unsigned,
    }
    rows = [("PLUGIN", "INSTALLED", "UPGRADE", "OFFERED", "")] + [
        (
            text.paint(one.id, "bold", enabled=colour),
            one.installed,
            one.wanted if one.wanted != one.installed else "-",
            one.offered,
            "forced by its publisher" if one.force else "",
        )
        for one in found
    ]
    output.result(document, text.table(rows, width=output.width) if found else [])
    if not found:
        output.note("nothing is outdated")
    elif any(one.wanted != one.installed for one in found):
        output.note("'plugin upgrade' installs what stands under UPGRADE; --dry-run shows what is new")
    else:
        output.note(
            "the ranges in plugins.toml and of other plugins allow none of these; see 'plugin why ID'"
        )
    if unsigned:
        output.note(f"not looked up, being unsigned: {', '.join(unsigned)}")
    return found


def changelog(
    ctx: typer.Context,
    plugin_id: PluginIdArgument,
    older: Annotated[
        str | None,
        typer.Argument(
            metavar="FROM",
            help="Versions after this one; by default the one that the project has, else all.",
            show_default=False,
        ),
    ] = None,
    newer: Annotated[
        str | None,
        typer.Argument(
            metavar="TO", help="Versions up to this one; by default the newest.", show_default=False
        ),
    ] = None,
    _json: JsonFlag = False,
) -> None:
    """Show what changed between two versions of a plugin: each version's changelog, newest first.

    They stand in the signed manifests. Versions that may not be used any more are named, with the reason.
    """
    state = state_of(ctx)
    name, range_text = parse_spec(plugin_id)
    if range_text:
        raise ConfigError(
            f"{plugin_id[:80]!r}: expected an id", hint=f"Write: plugin changelog {name} [FROM] [TO]."
        )
    have, registry = _locked(state, name)
    start, end = _version(older) if older else have, _version(newer) if newer else None
    client = state.client(registry=registry)
    between = _between(client.versions(name), name, start, end)
    told = [(info, *_changelog(client, info)) for info in between if info.standing.status not in _NOT_PUBLIC]
    versions = [
        {
            "version": info.version,
            "status": info.standing.status,
            "reason": info.standing.reason,
            "publishedAt": info.line.published_at,
            "changelog": body,
            "problem": problem,
        }
        for info, body, problem in told
    ]
    document = {"id": name, "from": start, "to": end, "versions": versions}
    state.output.result(document, _told_lines(state, told))
    if not told:
        state.output.note(f"{name} has no version after {start}" if start else f"{name} has no such version")
    state.used(client)


_NOT_PUBLIC = frozenset({"draft", "quarantined"})


def _locked(state: State, plugin_id: str) -> tuple[str | None, str]:
    """The project's version of a plugin, and the name of its registry; nothing where it has none."""
    if state.registry or state.project_path() is None:
        return None, ""
    plugin = state.installer().locked().by_id.get(plugin_id)
    if plugin is None or plugin.source.registry is None:
        return None, ""
    return plugin.version, plugin.source.registry


def _version(given: str) -> str:
    try:
        return check_version(given)
    except ValueError as e:
        raise ConfigError(str(e), hint="Write a version such as 1.2.0.") from e


def _between(
    infos: Sequence[VersionInfo], plugin_id: str, start: str | None, end: str | None
) -> list[VersionInfo]:
    """The versions after `start` up to `end`, newest first; None leaves an end open.

    Raises:
        ConfigError: they are the wrong way round. NotFoundError: there is no such version.
    """
    if start and end and parse_version(end) < parse_version(start):
        raise ConfigError(
            f"{end} is older than {start}",
            hint=f"The older one comes first: plugin changelog {plugin_id} {end} {start}.",
        )
    known = {info.version for info in infos}
    for version in (start, end):
        if version is not None and version not in known:
            raise NotFoundError(
                f"{plugin_id} has no version {version}",
                hint=f"See which it has: 'plugin versions {plugin_id}'.",
            )
    return [
        info
        for info in reversed(infos)
        if (start is None or parse_version(info.version) > parse_version(start))
        and (end is None or parse_version(info.version) <= parse_version(end))
    ]


def _changelog(client: RegistryClient, info: VersionInfo) -> tuple[str, str | None]:
    """A version's changelog; or why its manifest cannot be had, which hides no other version's."""
    try:
        return client.session.retrying(lambda: client.reader.manifest(info.line)).model.changelog or "", None
    except RegistryError as e:
        return "", e.message


def _told_lines(state: State, told: Sequence[tuple[VersionInfo, str, str | None]]) -> list[str]:
    lines: list[str] = []
    for info, body, problem in told:
        standing: Any = info.standing
        head = text.paint(info.version, "bold", enabled=state.output.coloured)
        if standing.status != "released":
            status = text.paint_status(standing.status, enabled=state.output.coloured)
            head += f" ({status}: {text.clean(standing.reason)})" if standing.reason else f" ({status})"
        if problem is not None:
            state.output.warn(f"{info.version}: {problem}")
        shown = changelog_lines([("", body or "no changelog")])[1:]
        lines += [head, *shown]
    return lines
