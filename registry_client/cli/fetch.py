"""The commands about files: `download` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry_client.cli import text
from registry_client.cli.checks import verify_installed
from registry_client.cli.options import JsonFlag, Spec, complete_installed
from registry_client.cli.progress import progress_bars
from registry_client.cli.state import State, parse_exact, parse_spec, state_of
from registry_client.names import check_plugin_id

if TYPE_CHECKING:
    from registry_client.cli.output import Output
    from registry_client.verify_file import FileReport


def download(
    ctx: typer.Context,
    spec: Spec,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files; made if missing.")
    ] = Path(),
    ecosystem: Annotated[
        str | None,
        typer.Option(
            metavar="E",
            help="Only artifacts for this kind of host: python, wordpress, shopify or custom.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files of the same names that have other content.")
    ] = False,
    _json: JsonFlag = False,
) -> None:
    """Download a version's artifacts, verified, and print their paths.

    A file appears in the folder complete and with its signed digest, or not at all. One that is there already is
    kept; another file of the same name is replaced only with --force.
    """
    state = state_of(ctx)
    plugin_id, range_text = parse_spec(spec)
    client = state.client(choosing=True)
    found = client.resolve(plugin_id, range_text)
    for warning in found.warnings:
        state.output.warn(warning)
    with progress_bars(state.output) as progress:
        paths = client.download(
            found.manifest, output, ecosystem=ecosystem, overwrite=force, progress=progress
        )
    artifacts = [a for a in found.manifest.model.artifacts or () if ecosystem in {None, a.ecosystem}]
    document = {
        "id": plugin_id,
        "version": found.info.version,
        "status": found.info.standing.status,
        "publisher": found.manifest.publisher,
        "payloadDigest": found.manifest.payload_digest,
        "files": [
            {"path": str(path), "ecosystem": a.ecosystem, "digest": a.digest, "size": a.size}
            for path, a in zip(paths, artifacts, strict=True)
        ],
    }
    state.output.result(document, [str(path) for path in paths])
    total = text.size(sum(a.size for a in artifacts))
    state.output.note(
        f"{plugin_id} {found.info.version}: {text.counted(len(paths), 'file')}, {total}, verified"
    )
    state.used(client)


def verify(
    ctx: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|ID",
            help="Installed plugins, by default all. Or a manifest, a release or an artifact; "
            "after it what it should be of: ID or ID==VERSION.",
            autocompletion=complete_installed,
            show_default=False,
        ),
    ] = None,
    _json: JsonFlag = False,
) -> None:
    """Prove that installed plugins, or a file, are exactly what was published.

    Of an installed plugin everything is checked from the publisher's signature to each file on this machine, and
    whether it is blocked, which disables it where the block says so. A file is held against the index: a
    manifest or release as it is, any other by its digest among the artifacts that the signed manifests name.
    The exit code is 6 if something is not what was published, or is blocked. A yanked version still verifies, with
    a warning: being genuine is not being fit for use.
    """
    state = state_of(ctx)
    given = what or []
    if not given or (_names_plugins(given) and state.project_path() is not None):
        verify_installed(state, given)
        return
    if len(given) > 2:  # noqa: PLR2004  (a file and what it should be of)
        raise typer.BadParameter(
            f"expected one file, or installed plugins; {given[0]!r} is no id of one", ctx=ctx
        )
    _verify_file(state, Path(given[0]), given[1] if given[1:] else None)


def verify_all(ctx: typer.Context, _json: JsonFlag = False) -> None:
    """Prove that every installed plugin is exactly what was published: 'plugin verify' without arguments."""
    verify_installed(state_of(ctx), [])


def _names_plugins(given: list[str]) -> bool:
    """Whether ids were given. A file of that name comes first; an id is no path with a dot or a slash."""
    try:
        return all(check_plugin_id(name) for name in given) and not Path(given[0]).is_file()
    except (ValueError, OSError):
        return False


def _verify_file(state: State, file: Path, spec: str | None) -> None:
    """Check that a file is exactly what was published, and say of which plugin, version and publisher it is."""
    from registry_client.verify_file import verify_file

    plugin_id, version = None, None
    if spec is not None:
        plugin_id, range_text = parse_spec(spec)
        version = parse_exact(spec)[1] if range_text else None
    client = state.client()
    report = client.session.retrying(lambda: verify_file(client, file, plugin_id, version))
    for warning in report.warnings:
        state.output.warn(warning)
    document = {
        "verified": True,
        "file": str(file),
        "kind": report.kind,
        "id": report.info.id,
        "version": report.info.version,
        "publisher": report.publisher,
        "keyids": sorted(report.keyids),
        "status": report.info.standing.status,
        "reason": report.info.standing.reason,
        "digest": report.digest,
        "size": report.size,
        "payloadDigest": report.payload_digest,
    }
    state.output.result(document, _verify_lines(file, report, state.output))
    state.used(client)


def _verify_lines(file: Path, report: FileReport, output: Output) -> list[str]:
    keys = sorted(report.keyids)
    signed = "manifest signed by" if report.kind == "artifact" else "signed by"
    of = f"{report.kind} of {report.info.id} {report.info.version}"
    return [
        f"{text.clean(str(file))}: {text.paint('verified', 'green', enabled=output.coloured)}, the {of}",
        *text.facts(
            (
                ("publisher", report.publisher),
                (signed, ", ".join(keys if output.verbose else [f"{key[:16]}…" for key in keys])),
                ("status", text.paint_status(report.info.standing.status, enabled=output.coloured)),
                ("reason", text.clean(report.info.standing.reason)),
                ("digest", report.digest),
                ("size", text.size(report.size)),
            )
        ),
    ]
