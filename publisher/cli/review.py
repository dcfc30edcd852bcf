"""The check of pull requests, for the registry's own workflow: no secret, nothing checked out, nothing run."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher.cli import actions, env
from publisher.cli.common import (
    DevKeysOption,
    JsonOption,
    RootDigestOption,
    SummaryOption,
    emit,
    parse_digest,
    remote_at,
    warn_unpinned,
)
from registry_client.cli.text import clean
from registry_client.errors import PublishError


def validate(
    registry: Annotated[
        str, typer.Argument(metavar="REMOTE", help="The registry's repository: any Git remote, or a folder.")
    ],
    head: Annotated[
        str,
        typer.Option(
            "--head", metavar="REF", help="The pull request: refs/pull/N/head, a branch, or a commit."
        ),
    ],
    base: Annotated[
        str, typer.Option("--base", metavar="NAME", help="The branch that it is to be merged into.")
    ] = "main",
    summary: SummaryOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Say everything that is wrong with a pull request, and what it would change.

    Only what it changes is looked at: one plugin or one publisher. What passes, the registrar takes once it is merged. Exit code 9:
    something is wrong.
    """
    from publisher.review.remote import validate_remote

    pinned = parse_digest(root_digest)
    warn_unpinned(pinned)
    remote = remote_at(registry)
    verdict = validate_remote(
        remote, head, base, env.environ(), env.now(), root_digest=pinned, allow_dev_keys=allow_dev_keys
    )
    actions.write_summary(verdict.markdown(), summary)
    emit(verdict.to_json(), "\n".join(clean(line) for line in verdict.lines()))
    if not verdict.is_good:
        raise typer.Exit(PublishError.exit_code)
