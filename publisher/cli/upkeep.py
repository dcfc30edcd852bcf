"""Commands that keep a registry current: register, renew, rotate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.cli import env
from publisher.cli.common import (
    BranchOption,
    DevKeysOption,
    DirArgument,
    JsonOption,
    KeysOption,
    PublicKeysOption,
    RootDigestOption,
    emit,
    load_signers,
    note,
    parse_digest,
    read_public_key,
    tell_waiting,
)
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Run the registrar: take what is offered into the index, sign it, and repair what was edited by hand.

    On a Git remote it reads main and publish/*, pushes one commit and deletes the refs it has handled; in a folder it writes the files.
    Exit code 9: something was refused; the rest was registered all the same.
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


def renew(
    folder: DirArgument = Path(),
    key: KeysOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Sign again whatever the keys given can sign, due or not.")
    ] = False,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="Only this role. Repeat for more.")
    ] = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Sign again what nears its expiry: online roles daily, offline ones 60 days before."""
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


def rotate(
    folder: DirArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="online, targets, blocks or root.")],
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", metavar="FILE", help="A new public key (from keygen). Repeat for more."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="KEYID", help="A key that goes, by the start of its keyid. Repeat for more."
        ),
    ] = None,
    compromised: Annotated[
        bool,
        typer.Option(
            "--compromised", help="All present keys of the role go at once; online: the index is made anew."
        ),
    ] = False,
    threshold: Annotated[
        int | None,
        typer.Option(
            "--threshold", metavar="N", min=1, max=16, help="How many keys must sign a root (role root only)."
        ),
    ] = None,
    key: KeysOption = None,
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Change a role's keys.

    Routine, in three steps with a run of the registrar after each: --add the new key; sign with it (renew --force); --drop the old
    one. After a compromise, in one: --compromised --add the new key.

    Root keys sign changes of root, targets and online; the targets key signs those of blocks and online. A root that lacks signatures waits
    in staging/ for 'publisher sign'.
    """
    from publisher.maintain.desk import Desk, candidates, require_registry
    from publisher.maintain.rotate import ROLES, current_keyids
    from publisher.maintain.rotate import rotate as run

    if role not in ROLES:
        raise ConfigError(f"there is no role {role!r} to rotate", hint=f"Roles: {', '.join(ROLES)}.")
    if not add and not drop and threshold is None:
        raise ConfigError("nothing to change was given", hint="Give --add, --drop or --threshold.")
    new = [read_public_key(path) for path in add or ()]
    known = [*candidates(require_registry(folder)), *new]
    signers = load_signers(key, allow_dev_keys=allow_dev_keys, candidates=known)
    desk = Desk(
        folder, signers, env.now(), allow_dev_keys=allow_dev_keys, root_digest=parse_digest(root_digest)
    )
    before = current_keyids(desk, role)
    going = [_matching(prefix, before) for prefix in drop or ()]
    run(desk, role, new, going, compromised=compromised, threshold=threshold)
    if role == "online" and compromised and not desk.waiting:
        _register_anew(desk, signers)
    changed = desk.save()
    emit(
        {"role": role, "changedFiles": changed, "staged": desk.waiting},
        f"{role}: {len(changed)} files changed",
    )
    tell_waiting(desk)
    if desk.waiting and compromised:
        note("When it has them, run the same command again for what follows.")
    note("Commit and push it; the registrar brings it to hosts: 'publisher registry register'.")


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
