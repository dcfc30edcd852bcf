"""Options and helpers that the commands share."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import env
from publisher.signing import ask_passphrase, load_signer
from registry_client.digest import Digest
from registry_client.errors import ConfigError, ManifestError, Problem, RegistryError
from registry_client.jsontext import KIB, parse_json
from registry_client.keys import load_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from securesystemslib.signer import Key, Signer

    from publisher.adapters import Note
    from publisher.git import Remote
    from publisher.maintain.desk import Desk
    from publisher.source import Source
    from registry_client.cli.output import Output

SourceArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="The plugin's folder, or its manifest.json.")
]
DirArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The registry's folder.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")
]
DevKeysOption = Annotated[
    bool,
    typer.Option(
        "--allow-dev-keys", envvar=env.ALLOW_DEV_KEYS, help="Accept development keys, which protect nothing."
    ),
]
KeysOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="URI",
        help="Key to sign with: a PEM file, file:PATH, envvar:NAME, or a KMS or HSM URI (gcpkms:, awskms:, azurekms:, hsm:). "
        "Repeat for more. Default: envvar:PLUGIN_REGISTRY_KEY if it is set.",
    ),
]
PublicKeysOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        metavar="FILE",
        help="Public half of a KMS or HSM key, for which it must be known. Repeat for more.",
    ),
]
BranchOption = Annotated[str, typer.Option("--branch", metavar="NAME", help="The registry's main branch.")]
RootDigestOption = Annotated[
    str | None,
    typer.Option(
        "--root-digest",
        envvar=env.ROOT_DIGEST,
        metavar="DIGEST",
        help="What metadata/1.root.json must be: sha256:<hex>.",
    ),
]
ALL_CORES = 0
"""What `jobs` is where the option is absent."""
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="How many processes verify, where there is much to verify. Default: one on each core.",
    ),
]
IssueOption = Annotated[
    str | None,
    typer.Option(
        "--issue",
        metavar="OWNER/REPO",
        help="Keep one issue there about it: opened, updated, closed (GITHUB_TOKEN).",
    ),
]
SummaryOption = Annotated[
    Path | None,
    typer.Option(
        "--summary",
        metavar="FILE",
        help="Append a report in Markdown; in GitHub Actions, to the job's summary.",
    ),
]
ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="REGISTRY",
        help="The registry: a folder with one in it, any Git remote, or OWNER/REPO on GitHub.",
    ),
]


class Bump(StrEnum):
    """Which part of a version is raised."""

    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"


_output: ContextVar[Output] = ContextVar("output")


def use_output(output: Output) -> None:
    """Say where this run writes."""
    _output.set(output)


def output() -> Output:
    """Where this run writes."""
    return _output.get()


def emit(document: dict[str, Any], text: str) -> None:
    """Print the result of a run: text, or with `--json` one document."""
    output().result(document, text.splitlines())


def note(text: str) -> None:
    """Print prose on standard error."""
    output().note(text)


def tell_notes(form: str, path: Path, notes: Iterable[Note]) -> None:
    """Say that a manifest is in another form than the registry's, and what of it is not carried over."""
    from publisher.adapters import REGISTRY

    if form != REGISTRY:
        note(f"{path}: read as a {form}; 'publisher convert' shows what becomes of it")
    for found in notes:
        output().warn(f"{path.name}: {found}")


def tell_notes_of(path: Path) -> None:
    """`tell_notes` of a plugin's folder or manifest; what is wrong with it is left to whoever reads it next."""
    from publisher.source_file import read_source

    with suppress(RegistryError):
        read = read_source(path)
        tell_notes(read.form, read.path, read.notes)


def tell_waiting(desk: Desk) -> None:
    """Say which metadata waits for signatures, and how it gets them."""
    for path in desk.waiting:
        note(f"{path} needs more signatures: 'publisher sign {desk.folder / path} --key KEY'.")


def load_signers(
    uris: Sequence[str] | None,
    *,
    allow_dev_keys: bool,
    candidates: Iterable[Key] = (),
    public_keys: Iterable[Path] | None = None,
) -> list[Signer]:
    """The signers that were asked for.

    Args:
        uris: key URIs.
        allow_dev_keys: accept development keys.
        candidates: public keys that a KMS or HSM key may be.
        public_keys: files with further ones, which then are the only ones.

    Raises:
        ConfigError: none, or one of them cannot be loaded.
    """
    wanted = list(uris or ()) or [uri for uri in [env.default_key()] if uri]
    if not wanted:
        raise ConfigError(
            "no signing key was given", hint="Give one with --key, or set PLUGIN_REGISTRY_KEY to its PEM."
        )
    known = [read_public_key(path) for path in public_keys] if public_keys else list(candidates)
    return [
        load_signer(
            uri, candidates=known, environ=env.environ(), ask=ask_passphrase, allow_dev_keys=allow_dev_keys
        )
        for uri in wanted
    ]


def read_public_key(path: Path) -> Key:
    """A public key as `publisher keygen` writes it.

    Raises:
        ConfigError: cannot be read. VerificationError: not a public key.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read ({e.strerror})") from e
    raw = parse_json(data, limit=64 * KIB, where=str(path))
    keyid, key = raw.get("keyid"), raw.get("key")
    if not isinstance(keyid, str) or not isinstance(key, dict):
        raise ConfigError(
            f"{path}: is not a public key file", hint="Make one: 'publisher keygen --out NAME.pem'."
        )
    return load_key(keyid, key, str(path))


def parse_digest(text: str | None) -> Digest | None:
    """A digest option.

    Raises:
        ConfigError: malformed.
    """
    try:
        return Digest(text) if text else None
    except ValueError as e:
        raise ConfigError(f"--root-digest: {e}") from e


def problems_json(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Problems for `--json`."""
    return [{"path": problem.path, "message": problem.message} for problem in problems]


def wanted_version(source: Source, version: str | None, bump: Bump | None) -> str:
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
            raise ConfigError(
                f"--version: {e}", hint="In a workflow it is the tag: tag v1.2.3, or give the version itself."
            ) from e
    if current is None:
        raise ManifestError(str(source.path), [], hint="Add a version, or give --version.")
    if bump is None:
        return current
    return raise_version(current, bump.value)


def is_work_folder(folder: Path) -> bool:
    """Whether this is a folder with files, not a bare repository nor a URL."""
    from publisher.git import is_bare_repository

    return folder.is_dir() and not is_bare_repository(folder)


def remote_at(registry: str) -> Remote:
    """The Git remote that was named: a bare repository, any Git URL, or OWNER/REPO on GitHub.

    Raises:
        ConfigError: it is none.
    """
    from publisher.git import Remote
    from publisher.github.names import is_repository_name, server_url

    folder, environ = Path(registry), env.environ()
    if folder.is_dir():
        return Remote.parse(str(folder.resolve()), environ)
    if is_repository_name(registry):
        return Remote.parse(f"{server_url(environ)}/{registry}", environ)
    return Remote.parse(registry, environ)


def warn_unpinned(pinned: Digest | None) -> None:
    """Nobody should go without a root digest unawares."""
    if pinned is None:
        note("warning: no --root-digest was given, so the root of trust on the remote is believed")


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a file that an option names.

    Raises:
        ConfigError: it cannot be read, or has more bytes than the limit.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read ({e.strerror})") from e
    if len(data) > limit:
        raise ConfigError(f"{path}: more than {limit} bytes")
    return data
