"""The import of versions from releases of publishers' repositories, for the registry's own workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.cli import actions, env
from publisher.cli.common import (
    BranchOption,
    DevKeysOption,
    JsonOption,
    RootDigestOption,
    SummaryOption,
    emit,
    output,
    parse_digest,
    remote_at,
    warn_unpinned,
)
from registry_client.cli.text import clean
from registry_client.errors import PublishError

if TYPE_CHECKING:
    from publisher.git import Remote
    from publisher.github.api import Api
    from publisher.importer.cache import Cache
    from publisher.importer.report import Report


def import_(
    registry: Annotated[
        str, typer.Argument(metavar="REMOTE", help="The registry's repository: any Git remote.")
    ],
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="FILE",
            help="Remember what was seen, so that the next run asks for little. May get lost.",
        ),
    ] = None,
    branch: BranchOption = "main",
    summary: SummaryOption = None,
    root_digest: RootDigestOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be offered, and offer nothing.")
    ] = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Offer to the registrar what publishers put on releases of their own repositories.

    A publisher's file lists its repositories by number. Of each, the latest 100 releases are looked at; what that publisher signed and is
    new gets a publish/* branch, as 'publisher publish' makes one. Exit code 9: something was refused; the rest was offered all the same.
    """
    from publisher.github.api import JOB_TOKEN_VARIABLE, Api
    from publisher.importer.cache import load_cache, write_cache
    from publisher.importer.run import ImportOptions, import_releases

    pinned = parse_digest(root_digest)
    warn_unpinned(pinned)
    remote = remote_at(registry)
    api = Api.from_environ(env.environ(), JOB_TOKEN_VARIABLE)
    known, warning = load_cache(cache)
    if warning:
        output().warn(warning)

    def save(document: Cache) -> None:
        if cache is not None:
            write_cache(cache, document)

    options = ImportOptions(branch, pinned, allow_dev_keys=allow_dev_keys, dry_run=dry_run)
    report = import_releases(remote, options, env.environ(), api, cache=known, save=save, now=env.now())
    _tell_registrar(report, remote, api)
    actions.write_summary(report.markdown(), summary)
    emit({**report.to_json(), "dryRun": dry_run}, "\n".join(clean(line) for line in report.lines()))
    if report.refused:
        raise typer.Exit(PublishError.exit_code)


def _tell_registrar(report: Report, remote: Remote, api: Api) -> None:
    """Start the registrar's workflow, once: it looks at everything that is offered."""
    from publisher.github.api import is_repository_name, repository_at
    from publisher.github.destination import dispatch

    if not report.pushed or not api.has_token:
        return
    name = repository_at(remote.url, env.environ()) or env.environ().get("GITHUB_REPOSITORY", "")
    if is_repository_name(name):
        warning = dispatch(api, name, *report.pushed[0])
        if warning:
            output().warn(warning)
