"""Commands that sign again and change keys: renew, rotate."""

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
    is_work_folder,
    load_signers,
    note,
    parse_digest,
    read_public_key,
    remote_at,
    tell_waiting,
    warn_unpinned,
)
from registry_client.cli.text import counted
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from publisher.maintain.renew import Renewed
    from publisher.tree import Tree


def renew(
    registry: Annotated[
        str, typer.Argument(metavar="REGISTRY", help="A folder with a registry, or any Git remote.")
    ] = ".",
    key: KeysOption = None,
    public_key: PublicKeysOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Sign again whatever the keys given can sign, due or not.")
    ] = False,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="Only this role. Repeat for more.")
    ] = None,
    branch: BranchOption = "main",
    root_digest: RootDigestOption = None,
    allow_dev_keys: DevKeysOption = False,
    json_output: JsonOption = False,
) -> None:
    """Sign again what nears its expiry: online roles daily, offline ones 60 days before.

    On a Git remote it pushes one commit; in a folder it writes the files.
    """
    from publisher.maintain.desk import Desk, candidates, require_registry
    from publisher.maintain.renew import Renewed, renew_remote
    from publisher.maintain.renew import renew as run
    from publisher.tuf_repository import OFFLINE, ONLINE

    unknown = set(role or ()) - {*ONLINE, *OFFLINE}
    if unknown:
        raise ConfigError(
            f"--role: there is no role {min(unknown)!r}", hint=f"Roles: {', '.join((*OFFLINE, *ONLINE))}."
        )
    pinned, roles = parse_digest(root_digest), tuple(role or (*OFFLINE, *ONLINE))

    def desk_for(place: Path | Tree) -> Desk:
        known = candidates(place)
        signers = load_signers(key, public_keys=public_key, allow_dev_keys=allow_dev_keys, candidates=known)
        return Desk(place, signers, env.now(), allow_dev_keys=allow_dev_keys, root_digest=pinned)

    folder = Path(registry)
    if is_work_folder(folder):
        desk = desk_for(require_registry(folder))
        renewals = run(desk, force=force, roles=roles)
        done = Renewed(renewals, desk.save(), desk.waiting)
    else:
        warn_unpinned(pinned)
        done = renew_remote(remote_at(registry), branch, desk_for, env.environ(), force=force, roles=roles)
    _tell_renewed(done, roles)


def _tell_renewed(done: Renewed, asked: tuple[str, ...]) -> None:
    rows = [
        {"role": r.role, "result": r.result, "expires": f"{r.expires:%Y-%m-%dT%H:%M:%SZ}"} for r in done.roles
    ]
    text = "\n".join(f"{r.role:<10} {r.result:<8} expires {r.expires:%Y-%m-%d %H:%M} UTC" for r in done.roles)
    emit({"roles": rows, "changedFiles": done.changed, "staged": done.staged}, text)
    for item in done.roles:
        if item.result == "due":
            why = "none of its keys was given" if item.role in asked else "--role leaves it out"
            note(f"warning: {item.role} should be signed again, and {why}")


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
    held = _ordered_quarantines(desk) if role == "online" and compromised else []
    run(desk, role, new, going, compromised=compromised, threshold=threshold)
    if role == "online" and compromised and not desk.waiting:
        _register_anew(desk, signers)
        for line in held:
            note(f"warning: no longer quarantined: {line}")
    changed = desk.save()
    emit(
        {"role": role, "changedFiles": changed, "staged": desk.waiting},
        f"{role}: {counted(len(changed), 'file')} changed",
    )
    tell_waiting(desk)
    if desk.waiting and compromised:
        note("When it has them, run the same command again for what follows.")
    note("Commit and push it; the registrar brings it to hosts: 'publisher registry register'.")


def _ordered_quarantines(desk: Any) -> list[str]:
    """What the present index quarantines on order. It is not carried over: a thief may have ordered it; people decide anew."""
    from publisher.registrar.quarantine import ordered
    from publisher.registrar.state import load_state
    from registry_client.errors import RegistryError

    try:
        return ordered(load_state(desk.tree, desk.authority))
    except RegistryError as e:
        note(f"warning: what was quarantined on order cannot be read any more ({e.message})")
        return []


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
