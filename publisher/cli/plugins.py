"""Commands for plugin authors that reach no registry: check, keygen, sign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from publisher.cli import env
from publisher.cli.common import (
    DevKeysOption,
    JsonOption,
    KeysOption,
    PublicKeysOption,
    SourceArgument,
    emit,
    load_signers,
    note,
    problems_json,
    tell_notes_of,
)
from registry_client.errors import ConfigError, DocumentError
from registry_client.store import write_atomic


def check(path: SourceArgument = Path(), json_output: JsonOption = False) -> None:
    """Check a plugin: everything that is wrong with it, at once. Writes nothing."""
    from publisher.check import check_source

    tell_notes_of(path)
    problems = check_source(path)
    if problems and not json_output:
        raise DocumentError(str(path), problems)
    emit({"path": str(path), "problems": problems_json(problems)}, f"{path}: no problems")
    if problems:
        raise typer.Exit(DocumentError.exit_code)


def keygen(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="The private key; FILE.pub.json gets the public one."),
    ],
    passphrase: Annotated[
        bool,
        typer.Option(
            "--passphrase/--no-passphrase", help="Encrypt it (PLUGIN_REGISTRY_KEY_PASSPHRASE, or asked for)."
        ),
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Make an Ed25519 key: a private PEM file that only you can read, and a public key file to hand out."""
    from publisher.signing import PASSPHRASE_VARIABLE, generate_key, public_key_object, write_private_key

    secret = None
    if passphrase:
        secret = env.environ().get(PASSPHRASE_VARIABLE) or typer.prompt(
            "Passphrase", hide_input=True, confirmation_prompt=True, err=True
        )
    pem, public = generate_key(secret)
    public_path = out.parent / f"{out.name}.pub.json"
    if public_path.exists():
        raise ConfigError(f"{public_path}: exists already", hint="Choose another name.")
    write_private_key(out, pem)
    document = {"keyid": public.keyid, "key": public_key_object(public)}
    write_atomic(public_path, (json.dumps(document, indent=2) + "\n").encode())
    text = f"private key  {out}\npublic key   {public_path}\nkeyid        {public.keyid}"
    emit({"privateKey": str(out), "publicKey": str(public_path), **document}, text)


def sign(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A manifest, a release document, or TUF metadata.")
    ],
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Add a signature to a file: for thresholds, re-signing and root ceremonies.

    Staged metadata moves into place when its threshold is met.
    """
    from publisher.maintain.desk import candidates
    from publisher.sign_file import sign_file
    from publisher.tuf_repository import STAGING

    folder = file.resolve().parent.parent
    known = candidates(folder) if (folder / "metadata").is_dir() else []
    signed = None
    for signer in load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys, candidates=known):
        signed = sign_file(file if signed is None else signed.path, signer)
    if signed is None:  # pragma: no cover  (load_signers gives at least one)
        raise ConfigError("no signing key was given")
    state = "" if signed.complete is None else ", complete" if signed.complete else ", more are needed"
    if signed.complete and signed.path.parent.name == STAGING:
        note(
            "It waits until what it delegates is signed with its keys: 'publisher registry renew --force --key NEW'."
        )
    row = {"path": str(signed.path), "signatures": signed.signatures, "complete": signed.complete}
    emit(row, f"{signed.path}: {signed.signatures} signatures{state}")
