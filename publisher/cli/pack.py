"""`publisher pack`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import env
from publisher.cli.common import JsonOption, SourceArgument, emit, note, tell_notes, wanted_version
from registry_client.cli.text import facts, size
from registry_client.errors import PublishError

if TYPE_CHECKING:
    from publisher.dist import Written
    from publisher.python_dist import Builder

NoIsolationOption = Annotated[
    bool,
    typer.Option(
        "--no-isolation",
        help="Build wheels and sdists with what is installed here, and fetch nothing.",
    ),
]


def builder(*, isolated: bool) -> Builder:
    """What builds wheels and sdists."""
    from publisher.python_dist import Builder

    return Builder(env.environ(), isolated=isolated)


def pack(
    path: SourceArgument = Path(),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the archives; default: dist."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Instead of the manifest's.")
    ] = None,
    no_isolation: NoIsolationOption = False,
    json_output: JsonOption = False,
) -> None:
    """Pack a plugin's archives, reproducibly: the same tree gives the same bytes on any machine.

    A WordPress plugin gets the version written into its header and its readme.txt, in the archive only. An artifact with
    'build' becomes a wheel or an sdist. Beside each file stands its .sha256, and beside each ZIP a link, ID-latest.zip.
    """
    from publisher.dist import write_archive
    from publisher.source import latest_of, load_source, read_artifact

    source = load_source(path)
    tell_notes(source.form, source.path, source.notes)
    wanted = wanted_version(source, version, None)
    folder = output if output is not None else source.folder / "dist"
    entries = source.model.artifacts or ()
    made = [index for index, item in enumerate(entries) if item.pack is not None or item.build is not None]
    if not made:
        raise PublishError(
            f"{source.path}: no artifact is to be packed",
            hint="Add an artifact with 'pack' or 'build' to the manifest.",
        )
    written: dict[str, Written] = {}
    for index in made:
        if entries[index].build is not None:
            note(f"building the {entries[index].build} of {source.model.id} {wanted}")
        found = read_artifact(source, index, version=wanted, builder=builder(isolated=not no_isolation))
        if found is not None:
            name, data = found
            if name.lower() in written:
                raise PublishError(
                    f"{source.path}: two artifacts would be packed as {name}",
                    hint="Pack one of them by other means, and name the file with 'path'.",
                )
            written[name.lower()] = write_archive(folder, name, data, latest_of(source, index))
    emit(
        {"archives": [_row(item) for item in written.values()]},
        "\n\n".join("\n".join(_lines(item)) for item in written.values()),
    )


def _row(item: Written) -> dict[str, Any]:
    return {
        "path": str(item.path),
        "digest": item.digest,
        "size": item.size,
        "sha256": str(item.sums),
        "latest": None if item.latest is None else str(item.latest),
    }


def _lines(item: Written) -> list[str]:
    return facts(
        [
            ("file", str(item.path)),
            ("size", size(item.size)),
            ("digest", item.digest),
            ("sums", str(item.sums)),
            ("latest", "" if item.latest is None else str(item.latest)),
        ]
    )
