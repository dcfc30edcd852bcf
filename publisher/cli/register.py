"""`publisher registry register`: the registrar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import actions, env
from publisher.cli.common import (
    ALL_CORES,
    BranchOption,
    DevKeysOption,
    JobsOption,
    JsonOption,
    KeysOption,
    PublicKeysOption,
    RootDigestOption,
    emit,
    is_work_folder,
    load_signers,
    output,
    parse_digest,
    read_file,
    remote_at,
    warn_unpinned,
)
from registry_client.cli.text import counted
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from publisher.github.statuses import StatusReporter
    from publisher.registrar.quarantine import Orders
    from publisher.registrar.run import Options, Run
    from publisher.tree import Tree


def register(
    registry: Annotated[
        str, typer.Argument(metavar="REGISTRY", help="A folder with a registry, or any Git remote.")
    ] = ".",
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    root_digest: RootDigestOption = None,
    branch: BranchOption = "main",
    allow_loss: Annotated[
        int | None,
        typer.Option(
            "--allow-loss",
            metavar="N",
            min=0,
            help="Let this many versions become unusable; default: max(1, 5 %).",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Verify every version again, whatever was verified before.")
    ] = False,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="Derive the index anew where nothing that the online key signed verifies."
        ),
    ] = False,
    jobs: JobsOption = None,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            "--quarantine", metavar="FILE", help="Quarantine these versions (from 'audit --quarantine-file')."
        ),
    ] = None,
    lift: Annotated[
        list[str] | None,
        typer.Option("--lift", metavar="ID@VERSION", help="Lift a quarantine. Repeat for more."),
    ] = None,
    statuses: Annotated[
        str | None,
        typer.Option(
            "--statuses",
            metavar="OWNER/REPO",
            help="Set a status there on each commit that was handled (GITHUB_TOKEN).",
        ),
    ] = None,
    gather: Annotated[
        float,
        typer.Option(
            "--gather",
            metavar="SECONDS",
            min=0,
            max=600,
            help="Where something is offered, wait until no more has come for 3 seconds, at most this long: "
            "a busy registry then commits in batches. Only for a Git remote; not waited for with --dry-run.",
        ),
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Run the registrar: take what is offered into the index, sign it, and repair what was edited by hand.

    On a Git remote it reads main and publish/*, pushes one commit and deletes the refs it has handled; in a folder it writes the files.
    Exit code 9: something was refused; the rest was registered all the same.
    """
    from publisher.authority import pinned_root
    from publisher.maintain.desk import candidates
    from publisher.registrar.remote import register_remote, wait_for_more
    from publisher.registrar.run import Options

    pinned = parse_digest(root_digest)
    orders = _orders(quarantine, lift)
    folder = Path(registry)
    known = candidates(folder) if (folder / "metadata").is_dir() else []
    signers = load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys, candidates=known)

    def options_for(tree: Tree) -> Options:
        return Options(
            pinned_root(tree, pinned),
            signers,
            allow_dev_keys=allow_dev_keys,
            allow_loss=allow_loss,
            full=full,
            from_scratch=from_scratch,
            orders=orders,
            jobs=jobs or ALL_CORES,
        )

    reporter = _reporter(statuses)
    if is_work_folder(folder):
        if reporter is not None:
            raise ConfigError("--statuses: a folder has no commits to tell", hint="Give a Git remote.")
        if gather:
            raise ConfigError(
                "--gather: nothing is offered to a folder that could be waited for",
                hint="Give a Git remote, or leave it out.",
            )
        run = _register_folder(folder, options_for, dry_run=dry_run)
    else:
        warn_unpinned(pinned)
        remote = remote_at(registry)
        if gather and not dry_run:
            wait_for_more(remote, env.environ(), gather)
        run = register_remote(
            remote, branch, options_for, env.environ(), env.now, dry_run=dry_run, on_handled=reporter
        )
    _tell_run(run, dry_run=dry_run)


def _orders(quarantine: Path | None, lift: list[str] | None) -> Orders:
    """What is to be quarantined and lifted.

    Raises:
        ConfigError: the file cannot be read, or an option is malformed. DocumentError: the file is no such list.
    """
    from publisher.registrar.quarantine import FILE_LIMIT, Orders, parse_lift, parse_marks

    marks = () if quarantine is None else parse_marks(read_file(quarantine, FILE_LIMIT), str(quarantine))
    return Orders(marks, tuple(parse_lift(text) for text in lift or ()))


def _reporter(statuses: str | None) -> StatusReporter | None:
    """What tells publishers on their commits.

    Raises:
        ConfigError: no repository, or there is no token.
    """
    if statuses is None:
        return None
    from publisher.github.api import JOB_TOKEN_VARIABLE, Api, check_repository_name
    from publisher.github.statuses import StatusReporter

    check_repository_name(statuses, "--statuses")
    api = Api.from_environ(env.environ(), JOB_TOKEN_VARIABLE, paced=True)
    if not api.has_token:
        raise ConfigError(
            "--statuses needs a token",
            hint=f"Set {JOB_TOKEN_VARIABLE} to one that may write commit statuses.",
        )
    return StatusReporter(api, statuses, env.run_url())


def _register_folder(folder: Path, options_for: Any, *, dry_run: bool) -> Run:
    from dataclasses import replace

    from publisher.git import Git, is_work_tree
    from publisher.maintain.desk import require_registry
    from publisher.registrar.run import register as run_registrar
    from publisher.tree import DirTree, write_changes

    tree = DirTree(require_registry(folder))
    options: Options = options_for(tree)
    if is_work_tree(folder):
        git = Git(folder, env.environ())
        head = git.head()
        if head is not None:
            options = replace(options, recover=lambda path, digest: git.from_history(head, path, digest))
    run = run_registrar(tree, (), options, env.now())
    if not dry_run:
        write_changes(folder, run.changes)
    return run


def _tell_run(run: Run, *, dry_run: bool) -> None:
    from publisher.watch.reports import register_summary

    lines = []
    for outcome in run.outcomes:
        lines.append(
            f"{outcome.submission.id} {outcome.submission.version}: {outcome.result} ({outcome.submission.source})"
        )
        if outcome.error is not None:
            lines += [
                f"  {outcome.error.message}",
                *([f"  {outcome.error.hint}"] if outcome.error.hint else []),
            ]
    lines += run.quarantines
    if run.waits:
        lines.append(run.waits)
    for text in run.notes:
        output().warn(text)
    lines.append(
        f"{'would change' if dry_run else 'changed'} {counted(len(run.changes), 'file')}; "
        f"{counted(run.versions, 'version')} in the index"
    )
    actions.write_summary(register_summary(run))
    emit({**run.to_json(), "dryRun": dry_run}, "\n".join(lines))
    if run.refused:
        raise typer.Exit(PublishError.exit_code)
