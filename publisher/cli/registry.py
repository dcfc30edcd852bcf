"""Commands for a registry's maintainers and for its registrar."""

from __future__ import annotations

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
    RootDigestOption,
    emit,
    load_signers,
    note,
    parse_digest,
    read_public_key,
)
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from publisher.maintain.audit import Report
    from publisher.registrar.run import Options, Run
    from publisher.tree import Tree

app = typer.Typer(
    help="Keep a registry: make it, say who may publish, register, renew, rotate, audit.",
    no_args_is_help=True,
)
DirArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The registry's folder.")]
_AUDIT_FAILED = 11


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new registry's folder.")],
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="The URL below which it will be served.")
    ],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="Folder for the private keys, outside DIR; default: DIR-keys."),
    ] = None,
    registry_id: Annotated[
        str | None, typer.Option("--id", help="The registry's id; default: from the URL.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    root_keys: Annotated[int, typer.Option("--root-keys", min=1, max=16, help="How many root keys.")] = 3,
    threshold: Annotated[
        int, typer.Option("--threshold", min=1, max=16, help="How many must sign a new root.")
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
    json_output: JsonOption = False,
) -> None:
    """Make a registry repository, ready to push. Its private keys are kept outside of it.

    Example: publisher registry init registry --base-url https://raw.githubusercontent.com/acme/registry/main
    """
    from publisher.maintain import init as maker
    from publisher.signing import PASSPHRASE_VARIABLE
    from publisher.tuf_repository import DEFAULT_DAYS

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
                "Passphrase", hide_input=True, confirmation_prompt=True
            )
        held = maker.load_keys(maker.make_keys(where, root_keys, secret), secret)
        files = maker.build_registry(new, held, env.now())
    maker.write_registry(folder, files, keep=frozenset({"README.md", ".gitattributes"}))
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


@app.command()
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
            "--allow-loss", min=0, help="Let this many versions become unusable; default: max(1, 5 %)."
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Verify every version again, whatever was verified before.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Run the registrar: take what is offered into the index, sign it, and repair what was edited by hand.

    On a Git remote it reads main and publish/*, pushes one commit and deletes the refs it has handled; in a folder it writes the files.
    Exit code 9: something was refused; the rest was registered all the same.

    Example: publisher registry register . --key ~/registry-keys/online.pem
    """
    from publisher.authority import pinned_root
    from publisher.git import Remote, is_bare_repository
    from publisher.maintain.desk import candidates
    from publisher.registrar.remote import register_remote
    from publisher.registrar.run import Options

    pinned = parse_digest(root_digest)
    folder = Path(registry)
    known = candidates(folder) if (folder / "metadata").is_dir() else []
    signers = load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys, candidates=known)

    def options_for(tree: Tree) -> Options:
        root = pinned_root(tree, pinned)
        return Options(root, signers, allow_dev_keys=allow_dev_keys, allow_loss=allow_loss, full=full)

    if folder.is_dir() and not is_bare_repository(folder):
        run = _register_folder(folder, options_for, dry_run=dry_run)
    else:
        if pinned is None:
            note("warning: no --root-digest was given, so the root of trust on the remote is believed")
        remote = Remote.parse(str(folder.resolve()) if folder.is_dir() else registry, env.environ())
        run = register_remote(remote, branch, options_for, env.environ(), env.now, dry_run=dry_run)
    _tell_run(run, dry_run=dry_run)


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
    lines.append(
        f"{'would change' if dry_run else 'changed'} {len(run.changes)} files; {run.versions} versions in the index"
    )
    emit({**run.to_json(), "dryRun": dry_run}, "\n".join(lines))
    if run.refused:
        raise typer.Exit(PublishError.exit_code)


@app.command()
def renew(
    folder: DirArgument = Path(),
    key: KeysOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Sign again whatever the keys given can sign, due or not.")
    ] = False,
    role: Annotated[list[str] | None, typer.Option("--role", help="Only this role; repeat for more.")] = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Sign again what nears its expiry: online roles daily, offline ones 60 days before.

    Example: publisher registry renew . --key ~/registry-keys/online.pem
    """
    from publisher.maintain.desk import Desk, candidates, require_registry
    from publisher.maintain.renew import renew as run
    from publisher.tuf_repository import OFFLINE, ONLINE

    unknown = set(role or ()) - {*ONLINE, *OFFLINE}
    if unknown:
        raise ConfigError(
            f"--role: there is no role {min(unknown)!r}", hint=f"Roles: {', '.join((*OFFLINE, *ONLINE))}."
        )
    known = candidates(require_registry(folder))
    signers = load_signers(key, allow_dev_keys=allow_dev_keys, candidates=known)
    desk = Desk(
        folder, signers, env.now(), allow_dev_keys=allow_dev_keys, root_digest=parse_digest(root_digest)
    )
    renewals = run(desk, force=force, roles=role) if role else run(desk, force=force)
    changed = desk.save()
    rows = [
        {"role": r.role, "result": r.result, "expires": f"{r.expires:%Y-%m-%dT%H:%M:%SZ}"} for r in renewals
    ]
    text = "\n".join(f"{r.role:<10} {r.result:<8} expires {r.expires:%Y-%m-%d %H:%M} UTC" for r in renewals)
    emit({"roles": rows, "changedFiles": changed, "staged": desk.waiting}, text)
    for item in renewals:
        if item.result == "due":
            note(f"warning: {item.role} should be signed again, and none of its keys was given")


@app.command()
def rotate(
    folder: DirArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="online, targets, blocks or root.")],
    add: Annotated[
        list[Path] | None, typer.Option("--add", metavar="FILE", help="A new public key (from keygen).")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="KEYID", help="A key that goes, by keyid.")
    ] = None,
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised", help="All present keys of the role go at once; online: the index is made anew."
        ),
    ] = False,
    threshold: Annotated[
        int | None, typer.Option("--threshold", min=1, max=16, help="Of the root role.")
    ] = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Change a role's keys. Routine: --add NEW; sign with it (renew --force); --drop OLD. After a compromise: --compromised --add NEW.

    Root keys sign changes of root, targets and online; the targets key those of blocks and online. Missing root signatures are added with
    'publisher sign staging/N.root.json'.

    Example: publisher registry rotate . online --compromised --add new.pem.pub.json \\
      --key root-1.pem --key root-2.pem --key targets.pem --key new.pem
    """
    from publisher.maintain.desk import Desk, candidates, require_registry
    from publisher.maintain.rotate import ROLES, current_keyids
    from publisher.maintain.rotate import rotate as run

    if role not in ROLES:
        raise ConfigError(f"there is no role {role!r} to rotate", hint=f"Roles: {', '.join(ROLES)}.")
    if not add and not drop and threshold is None:
        raise ConfigError("nothing to change was given", hint="Give --add, --drop or --threshold.")
    signers = load_signers(
        key, allow_dev_keys=allow_dev_keys, candidates=candidates(require_registry(folder))
    )
    desk = Desk(
        folder, signers, env.now(), allow_dev_keys=allow_dev_keys, root_digest=parse_digest(root_digest)
    )
    before = current_keyids(desk, role)
    going = [_matching(prefix, before) for prefix in drop or ()]
    new = [read_public_key(path) for path in add or ()]
    run(desk, role, new, going, compromised=compromised, threshold=threshold)
    if role == "online" and compromised and not desk.waiting:
        _register_anew(desk, signers)
    changed = desk.save()
    emit(
        {"role": role, "changedFiles": changed, "staged": desk.waiting},
        f"{role}: {len(changed)} files changed",
    )
    for path in desk.waiting:
        note(
            f"{path} needs more signatures: 'publisher sign {path} --key …'; run the same rotate again for what follows"
        )


def _register_anew(desk: Any, signers: Any) -> None:
    """Make the index anew with the new key, out of the signed documents alone."""
    from publisher.registrar.run import Options
    from publisher.registrar.run import register as run_registrar

    options = Options(desk.root, signers, allow_dev_keys=desk.allow_dev_keys, full=True)
    result = run_registrar(desk.tree, (), options, desk.now)
    for outcome in result.refused:
        note(f"refused: {outcome.submission.source}: {outcome.error}")
    for path, data in result.changes.items():
        if data is None:
            desk.tree.delete(path)
        else:
            desk.tree.write(path, data)


def _matching(prefix: str, keyids: list[str]) -> str:
    fitting = [keyid for keyid in keyids if prefix and keyid.startswith(prefix.lower())]
    if len(fitting) != 1:
        raise ConfigError(
            f"--drop: {len(fitting)} keys begin with {prefix!r}",
            hint="The role has: " + ", ".join(f"{k[:16]}…" for k in keyids),
        )
    return fitting[0]


@app.command()
def audit(
    registry: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="A folder with a registry, or a base URL.")
    ] = ".",
    root: Annotated[
        Path | None, typer.Option("--root", metavar="FILE", help="The pinned root; needed for a URL.")
    ] = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Check everything: documents, digests, signatures, paths, expiry. Exit code 11 if there are errors.

    Example: publisher registry audit .
    """
    from publisher.authority import pinned_root
    from publisher.maintain.audit import audit as run
    from publisher.maintain.desk import require_registry
    from publisher.maintain.fetch_tree import fetch_tree
    from publisher.tree import DirTree
    from registry_client.client import read_root

    remote = "://" in registry
    if remote and root is None:
        raise ConfigError(
            "a registry at a URL needs --root", hint="Give its metadata/1.root.json, from its maintainers."
        )
    if remote and root is not None:
        pinned = read_root(root)
        tree: Tree = fetch_tree(registry, pinned, allow_dev_keys=allow_dev_keys)
    else:
        tree = DirTree(require_registry(Path(registry)))
        pinned = read_root(root) if root is not None else pinned_root(tree, parse_digest(root_digest))
        allow_dev_keys = allow_dev_keys or (Path(registry) / "dev-keys").is_dir()
    _tell_report(run(tree, pinned, env.now(), allow_dev_keys=allow_dev_keys, complete=not remote), registry)


def _tell_report(report: Report, registry: str) -> None:
    lines = [
        f"{finding.level}: {finding.path}: {finding.message}"
        + (f"  ({finding.hint})" if finding.hint else "")
        for finding in report.findings
    ]
    verdict = "sound" if report.sound else "not sound"
    lines.append(
        f"{registry}: {verdict}; {report.plugins} plugins, {report.versions} versions, {len(report.findings)} findings"
    )
    row = {
        "sound": report.sound,
        "plugins": report.plugins,
        "versions": report.versions,
        "findings": [finding.to_json() for finding in report.findings],
    }
    emit(row, "\n".join(lines))
    if not report.sound:
        raise typer.Exit(_AUDIT_FAILED)


@app.command()
def schema(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")] = Path("schema"),
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether they differ; exit code 1 if so.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Write the JSON Schemas of the documents, generated from the models.

    Example: publisher registry schema schema
    """
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
