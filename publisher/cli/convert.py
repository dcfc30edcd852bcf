"""`publisher convert`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from publisher.cli.common import JsonOption, SourceArgument, emit, note, tell_notes
from registry_client.errors import ConfigError, ManifestError
from registry_client.jsontext import dump_json
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.store import write_atomic


def convert(
    path: SourceArgument = Path(),
    write: Annotated[
        bool, typer.Option("--write", help="Write it as manifest.json, which from then on is what counts.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --write: replace a manifest.json; no copy is kept, as Git has the old one."
        ),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Show a manifest of another form in the registry's form, and what cannot be carried over.

    Converting is not needed: 'check', 'pack' and 'publish' read each form as it is.
    """
    from publisher.adapters import REGISTRY
    from publisher.source import problems_of_source
    from publisher.source_file import SOURCE_NAME, read_source

    read = read_source(path)
    tell_notes(read.form, read.path, read.notes)
    problems = problems_of_source(read)
    if problems:
        raise ManifestError(str(read.path), problems, hint="Put that right, then convert again.")
    target = read.path.parent / SOURCE_NAME
    if write and read.form != REGISTRY:
        _write(target, dump_json(read.raw), force=force)
    document = {
        "path": str(read.path),
        "form": read.form,
        "why": read.why,
        "manifest": read.raw,
        "notes": [{"path": found.path, "message": found.message} for found in read.notes],
        "written": str(target) if write and read.form != REGISTRY else None,
    }
    emit(document, dump_json(read.raw).decode().rstrip("\n"))
    if read.form == REGISTRY:
        note(f"{read.path} is in the registry's form already.")
    elif write:
        note(f"{target} is written; 'publisher check' reads it from now on.")


def _write(target: Path, data: bytes, *, force: bool) -> None:
    """Write the manifest.

    Raises:
        ConfigError: a file is there, it would be too long to be read again, or it cannot be written.
    """
    if len(data) > MANIFEST_LIMIT:
        raise ConfigError(
            f"{target}: would have {len(data)} bytes, but a manifest has at most {MANIFEST_LIMIT}",
            hint="Keep it in its own form, which is read as it is; or shorten it: the schema of its settings, say.",
        )
    if os.path.lexists(target) and not force:  # also a link that leads nowhere
        raise ConfigError(
            f"{target}: exists already",
            hint="Replace it with --force; no copy is kept, and a host that reads the old form will not find it.",
        )
    try:
        write_atomic(target, data)
    except OSError as e:
        raise ConfigError(f"{target}: cannot be written ({e.strerror or e})") from e
