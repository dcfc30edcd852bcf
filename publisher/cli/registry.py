"""Commands for a registry's maintainers and for its registrar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publisher.cli import env
from publisher.cli.common import (
    JsonOption,
    emit,
    note,
)
from registry_client.errors import ConfigError


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new registry's folder.")],
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="The URL below which it will be served.")
    ],
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", metavar="DIR", help="Folder for the private keys, outside DIR; default: DIR-keys."
        ),
    ] = None,
    registry_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The registry's id; default: from the URL.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What people call it.")] = None,
    root_keys: Annotated[
        int, typer.Option("--root-keys", metavar="N", min=1, max=16, help="How many root keys.")
    ] = 3,
    threshold: Annotated[
        int, typer.Option("--threshold", metavar="N", min=1, max=16, help="How many must sign a new root.")
    ] = 2,
    mirror: Annotated[
        list[str] | None, typer.Option("--mirror", metavar="URL", help="Another URL with the same tree.")
    ] = None,
    artifacts_in_tree: Annotated[
        bool,
        typer.Option(
            "--artifacts-in-tree/--no-artifacts-in-tree",
            help="Keep artifacts of up to 10 MB in the registry.",
        ),
    ] = False,
    passphrase: Annotated[
        bool, typer.Option("--passphrase/--no-passphrase", help="Encrypt the private keys.")
    ] = False,
    dev: Annotated[
        bool,
        typer.Option("--dev", help="Ten-year expiries and public development keys: for trying out only."),
    ] = False,
    workflows: Annotated[
        bool, typer.Option("--workflows/--no-workflows", help="Write its GitHub workflows below .github/.")
    ] = True,
    json_output: JsonOption = False,
) -> None:
    """Make a registry repository, ready to push. Its private keys are kept outside of it."""
    from publisher.cli.workflows import installed_version
    from publisher.maintain import init as maker
    from publisher.signing import PASSPHRASE_VARIABLE
    from publisher.tuf_repository import DEFAULT_DAYS

    version = installed_version() if workflows else None
    new = maker.NewRegistry(
        base_url=base_url,
        registry=registry_id or maker.default_id(base_url),
        name=name or registry_id or maker.default_id(base_url),
        threshold=threshold,
        in_tree=artifacts_in_tree,
        mirrors=tuple(mirror or ()),
        days=maker.DEV_DAYS if dev else DEFAULT_DAYS,
    )
    if dev:
        held, where = maker.dev_keys(), folder / "dev-keys"
        files = {**maker.build_registry(new, held, env.now(), allow_dev_keys=True), **maker.dev_key_files()}
    else:
        where = keys if keys is not None else folder.resolve().parent / f"{folder.resolve().name}-keys"
        _outside(where, folder)
        maker.refuse_existing(folder)
        maker.check_new(new, root_keys)
        secret = None
        if passphrase:
            secret = env.environ().get(PASSPHRASE_VARIABLE) or typer.prompt(
                "Passphrase", hide_input=True, confirmation_prompt=True, err=True
            )
        held = maker.load_keys(maker.make_keys(where, root_keys, secret), secret)
        files = maker.build_registry(new, held, env.now())
    maker.write_registry(folder, files, keep=frozenset({"README.md", ".gitattributes"}))
    if version is not None:
        maker.add_workflows(folder, version)
    summary = maker.public_keys_summary(held)
    row = {
        "folder": str(folder),
        "keys": str(where),
        "keyids": summary,
        "rootDigest": maker.root_digest(files),
    }
    lines = [f"registry     {folder}", f"keys         {where}", f"root digest  {row['rootDigest']}"]
    emit(row, "\n".join([*lines, *(f"{label:<12} {keyid}" for label, keyid in summary.items())]))
    if not dev:
        note(
            "Move the root keys to different people and places, the online key into a CI secret, and keep the rest offline."
        )


def _outside(keys: Path, folder: Path) -> None:
    if keys.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{keys}: lies inside the registry, which is going to be public",
            hint="Choose a folder outside of it.",
        )


def schema(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")] = Path("schema"),
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether they differ; exit code 1 if so.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Write the JSON Schemas of the documents, generated from the models."""
    from publisher.schemas import build_schemas
    from registry_client.store import write_atomic

    different = []
    for name, data in build_schemas().items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            different.append(name)
            if not check:
                write_atomic(path, data)
    emit(
        {"folder": str(folder), "changed": different},
        f"{folder}: {len(different)} schemas {'differ' if check else 'written'}",
    )
    if check and different:
        raise typer.Exit(1)
