"""`publisher pack`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import env
from publisher.cli.common import JsonOption, SourceArgument, emit, note, tell_notes, wanted_version
from registry_client.cli.text import facts, size
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from publisher.dist import Written
    from publisher.python_dist import Builder
    from publisher.source import Source

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
    from publisher.source import latest_of, load_source

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
    _check_outside(source, folder)
    files = _make(source, made, wanted, builder(isolated=not no_isolation))
    # All is made before anything is written: what fails leaves the folder as it was.
    written = [write_archive(folder, name, data, latest_of(source, index)) for index, name, data in files]
    emit(
        {"archives": [_row(item) for item in written]},
        "\n\n".join("\n".join(_lines(item)) for item in written),
    )


def _check_outside(source: Source, output: Path) -> None:
    """Refuse a folder whose archives the next archive would hold."""
    from publisher.built_file import inside
    from publisher.pack import would_pack

    for entry in source.model.artifacts or ():
        if entry.pack is not None and would_pack(inside(source.folder, entry.pack), output):
            raise ConfigError(
                f"{output}: lies in what is packed, so the next archive would hold this one",
                hint="Name a folder outside with --output, or add it to .pluginignore. A 'dist' beside the manifest is left out as it is.",
            )


def _make(source: Source, made: list[int], version: str, builder: Builder) -> list[tuple[int, str, bytes]]:
    """The index, name and bytes of each artifact that is packed or built."""
    from publisher.source import read_artifact

    files: dict[str, tuple[int, str, bytes]] = {}
    for index in made:
        kind = (source.model.artifacts or ())[index].build
        if kind is not None:
            note(f"building the {kind} of {source.model.id} {version}")
        found = read_artifact(source, index, version=version, builder=builder)
        if found is None:
            continue
        if found[0].lower() in files:
            raise PublishError(
                f"{source.path}: two artifacts would be packed as {found[0]}",
                hint="Pack one of them by other means, and name the file with 'path'.",
            )
        files[found[0].lower()] = (index, *found)
    return list(files.values())


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
