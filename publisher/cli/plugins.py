"""Commands for plugin authors: check, pack, publish, set-status, yank, keygen, sign."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import env
from publisher.cli.common import (
    BranchOption,
    DevKeysOption,
    JsonOption,
    KeysOption,
    PublicKeysOption,
    ToOption,
    emit,
    load_signers,
    note,
    problems_json,
)
from publisher.set_status import Change
from registry_client.errors import ConfigError, DocumentError, ManifestError, PublishError
from registry_client.models.release import ReleaseStatus
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from publisher.publish import Prepared
    from publisher.source import Source

SourceArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="The plugin's folder, or its manifest.json.")
]
StatusOption = Annotated[ReleaseStatus | None, typer.Option("--status", help="How it may be used.")]
RolloutOption = Annotated[
    int | None,
    typer.Option(
        "--rollout", metavar="PERCENT", min=0, max=100, help="Share of installations that get it; 0 stops it."
    ),
]
PushOption = Annotated[
    bool | None,
    typer.Option(
        "--push/--no-push", help="Offer it as an update to existing installations, or to new ones only."
    ),
]
ForceOption = Annotated[
    bool | None,
    typer.Option("--force-update/--no-force-update", help="Hosts should apply it without asking."),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed for deprecated and yanked.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Do everything but write or push.")]


class Bump(StrEnum):
    """Which part of a version is raised."""

    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"


def check(path: SourceArgument = Path(), json_output: JsonOption = False) -> None:
    """Check a plugin: everything that is wrong with it, at once. Writes nothing."""
    from publisher.check import check_source

    problems = check_source(path)
    if problems and not json_output:
        raise DocumentError(str(path), problems)
    emit({"path": str(path), "problems": problems_json(problems)}, f"{path}: no problems")
    if problems:
        raise typer.Exit(DocumentError.exit_code)


def pack(
    path: SourceArgument = Path(),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the archives; default: dist."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Instead of the manifest's.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Pack a plugin's archives, reproducibly: the same tree gives the same bytes on any machine."""
    from publisher.pack import digest_and_size
    from publisher.source import load_source, read_artifact

    source = load_source(path)
    wanted = _version(source, version, None)
    folder = output if output is not None else source.folder / "dist"
    rows = []
    for index, item in enumerate(source.model.artifacts or ()):
        found = read_artifact(source, index, version=wanted) if item.pack is not None else None
        if found is not None:
            name, data = found
            write_atomic(folder / name, data)
            digest, size = digest_and_size(data)
            rows.append({"path": str(folder / name), "digest": digest, "size": size})
    if not rows:
        raise PublishError(
            f"{source.path}: no artifact is to be packed", hint="Add an artifact with 'pack' to the manifest."
        )
    emit({"archives": rows}, "\n".join(f"{r['path']}  {r['digest']}  {r['size']} bytes" for r in rows))


def publish(
    path: SourceArgument = Path(),
    to: ToOption = ".",
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Publish as this version.")
    ] = None,
    bump: Annotated[Bump | None, typer.Option("--bump", help="Raise the version, and write it back.")] = None,
    status: StatusOption = None,
    rollout: RolloutOption = None,
    push: PushOption = None,
    force_update: ForceOption = None,
    reason: ReasonOption = None,
    artifact_url: Annotated[
        str | None,
        typer.Option(
            "--artifact-url", metavar="TEMPLATE", help="Where archives are placed: {id}, {version}, {name}."
        ),
    ] = None,
    branch: BranchOption = "main",
    dry_run: DryRunOption = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Publish a version: pack, fill in digests, provenance and time, sign, check, and offer it to the registrar.

    The same content again is a no-op; other content under a published version is refused.
    """
    from publisher.destination import open_destination
    from publisher.publish import Publication, prepare
    from publisher.source import load_source, with_version

    source = load_source(path)
    wanted = _version(source, version, bump)
    change = Change(status, rollout, push, force_update, reason)
    signers = load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys)
    publication = Publication(source, wanted, change, signers, env.provenance(), artifact_url)
    now = env.now()
    with open_destination(to, branch, env.environ()) as destination:
        prepared = prepare(publication, destination, now)
        place = None
        if prepared.offer is not None and not dry_run:
            place = destination.submit(prepared.offer, now)
    if bump is not None and not dry_run:
        write_atomic(source.path, with_version(source, wanted))
    _tell(prepared, place, dry_run=dry_run)


def _tell(prepared: Prepared, place: str | None, *, dry_run: bool) -> None:
    plugin_id, version = prepared.manifest["id"], prepared.manifest["version"]
    document: dict[str, Any] = {
        "id": plugin_id,
        "version": version,
        "payloadDigest": prepared.payload_digest,
        "manifestUrl": prepared.manifest_url,
        "result": "unchanged" if prepared.offer is None else "dry run" if dry_run else "offered",
        "place": place,
        "note": prepared.note,
    }
    if prepared.note:
        text = prepared.note
    elif dry_run:
        text = f"{plugin_id} {version} would be published ({prepared.payload_digest})"
    else:
        text = f"{plugin_id} {version} is offered at {place} ({prepared.payload_digest})"
    emit({name: value for name, value in document.items() if value}, text)
    if place is not None:
        note("The registrar takes it into the index on its next run: 'publisher registry register'.")


def _version(source: Source, version: str | None, bump: Bump | None) -> str:
    """The version to publish: given, bumped, or the manifest's.

    Raises:
        ConfigError: none of them, or two.
    """
    from publisher.source import bump as raise_version
    from registry_client.names import check_version

    current = source.model.version
    if version is not None and bump is not None:
        raise ConfigError("--version and --bump exclude each other")
    if version is not None:
        try:
            return check_version(version.removeprefix("v"))
        except ValueError as e:
            raise ConfigError(f"--version: {e}") from e
    if current is None:
        raise ManifestError(str(source.path), [], hint="Add a version, or give --version.")
    if bump is None:
        return current
    return raise_version(current, bump.value)


def set_status(
    plugin_id: Annotated[str, typer.Argument(metavar="ID", help="The plugin.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version.")],
    to: ToOption = ".",
    status: StatusOption = None,
    rollout: RolloutOption = None,
    push: PushOption = None,
    force_update: ForceOption = None,
    reason: ReasonOption = None,
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    branch: BranchOption = "main",
    dry_run: DryRunOption = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Sign a new status for a published version: roll it out, push it, deprecate it, yank it."""
    change = Change(status, rollout, push, force_update, reason)
    if change == Change():
        raise ConfigError(
            "nothing to change was given",
            hint="Give --status, --rollout, --push, --force-update or --reason.",
        )
    _set_status(plugin_id, version, to, change, key, public_key, branch, dry_run, allow_dev_keys)


def yank(
    plugin_id: Annotated[str, typer.Argument(metavar="ID", help="The plugin.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; people see it.")],
    to: ToOption = ".",
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    branch: BranchOption = "main",
    dry_run: DryRunOption = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Yank a version: it is not resolved any more; its bytes stay. Short for set-status --status yanked."""
    change = Change(ReleaseStatus.YANKED, reason=reason)
    _set_status(plugin_id, version, to, change, key, public_key, branch, dry_run, allow_dev_keys)


def _set_status(
    plugin_id: str,
    version: str,
    to: str,
    change: Change,
    key: list[str] | None,
    public_key: list[Path] | None,
    branch: str,
    dry_run: bool,
    allow_dev_keys: bool,
) -> None:
    from publisher.destination import open_destination
    from publisher.set_status import prepare_release
    from registry_client.names import check_plugin_id, check_version

    try:
        check_plugin_id(plugin_id)
        check_version(version)
    except ValueError as e:
        raise ConfigError(str(e)) from e
    signers = load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys)
    now = env.now()
    with open_destination(to, branch, env.environ()) as destination:
        prepared = prepare_release(plugin_id, version, change, signers, destination, now)
        place = (
            destination.submit(prepared.offer, now) if prepared.offer is not None and not dry_run else None
        )
    release = prepared.release
    stated = f"status {release['status']}, rollout {release['rollout']} %, revision {release['revision']}"
    text = (
        prepared.note
        or f"{plugin_id} {version}: {stated}{f', offered at {place}' if place else ' (dry run)'}"
    )
    row = {"id": plugin_id, "version": version, "release": release, "place": place, "note": prepared.note}
    emit({name: value for name, value in row.items() if value}, text)


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
