"""The command `publisher registry mirror`."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.cli import env
from publisher.cli.common import JsonOption, emit, note, output
from registry_client.cli.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from publisher.mirror.run import Copied


def mirror(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="The mirror: a folder, made if missing, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX.",
        ),
    ],
    source: Annotated[Path, typer.Option("--from", metavar="DIR", help="The registry's folder.")] = Path(),
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="DAYS",
            min=0,
            max=3650,
            help="How long a file stays after the registry has it no more.",
        ),
    ] = 7.0,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="What to ask in place of the cloud's own endpoint (R2, MinIO…). Default: AWS_ENDPOINT_URL, if it is set.",
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for another run.")
    ] = 300.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Put what a registry serves where it is served a second time: only what changed, the timestamp last.

    Wherever it stops, readers find the state before or the new one, and the next run completes it. Of two runs the newer state stays. A
    mirror of another registry, or of a later state, is left alone. Credentials of object storage come from the environment or the
    machine's role; it needs the extra 'mirror' (pip install 'plugin-registry[mirror]').
    """
    from publisher.maintain.desk import require_registry
    from publisher.mirror.opening import open_place
    from publisher.mirror.run import Options, Source
    from publisher.mirror.run import mirror as run
    from publisher.tree import DirTree

    folder = require_registry(source)
    place = open_place(target, folder, env.environ(), endpoint=endpoint, wait=wait, on_wait=_say_waiting)
    _warn_inside(target, folder)
    with _progress() as progress:
        options = Options(env.now(), timedelta(days=grace), dry_run=dry_run, progress=progress)
        done = run(place, Source(DirTree(folder), str(source)), options)
    _tell(done, target, dry_run=dry_run)


def _say_waiting() -> None:
    note("another run writes this mirror; waiting for it")


def _warn_inside(target: str, folder: Path) -> None:
    """Say that a mirror inside a checkout would be committed with it, unless Git ignores it."""
    from publisher.git import Git, is_work_tree
    from publisher.mirror.target import parse_target

    there = Path(target).resolve()
    if parse_target(target) is not None or not there.is_relative_to(folder.resolve()):
        return
    git = Git(folder, env.environ())
    if is_work_tree(folder) and not git.succeeds(
        "check-ignore", "--quiet", "--", str(there / "registry.json")
    ):
        output().warn(
            f"{target}: stands inside {folder}, where 'git add --all' would commit it; "
            "take a folder beside it, such as ../_site, or name it in .gitignore"
        )


def _tell(done: Copied, target: str, *, dry_run: bool) -> None:
    if not done.bundled:
        note("warning: no bundle: the registry is too large for one, or its metadata does not fit together")
    verb = "to be " if dry_run else ""
    emit(
        {
            "target": target,
            "dryRun": dry_run,
            "timestamp": done.timestamp,
            "written": len(done.written),
            "unchanged": done.unchanged,
            "deleted": list(done.deleted),
            "leaving": done.leaving,
            "bundle": done.bundled,
        },
        f"{target}: {counted(len(done.written), 'file')} {verb}written, {done.unchanged} unchanged, {len(done.deleted)} {verb}deleted, "
        f"{done.leaving} to be deleted later; timestamp {done.timestamp}",
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar of files written, where someone watches."""
    if not output().shows_progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
