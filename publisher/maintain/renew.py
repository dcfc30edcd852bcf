"""`publisher registry renew`: sign again what nears its expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from publisher.main_branch import change_main
from publisher.registrar.gate import check_candidate
from publisher.registrar.online import drop_unverified
from publisher.registrar.retention import collect_garbage
from publisher.registrar.write import write_above
from publisher.tuf_repository import OFFLINE, keyids_for, latest_version, read_metadata, read_newest
from registry_client.errors import ConfigError
from registry_client.trust import RoleInfo, role_info

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from publisher.git import Remote
    from publisher.main_branch import Main
    from publisher.maintain.desk import Desk
    from publisher.tree import Tree

ONLINE_AGE = timedelta(hours=20)
OFFLINE_LEFT = timedelta(days=60)
_ORDER = ("root", "targets", "blocks", "registrar", "snapshot", "timestamp")


@dataclass(frozen=True)
class Renewal:
    """What became of one role: `renewed`, `staged` until others sign, `fine`, or `due`: its key was not given, or nobody asked for it."""

    role: str
    result: str
    expires: datetime


@dataclass(frozen=True)
class Renewed:
    """What became of a registry: of each role, which paths changed, and which metadata waits for signatures."""

    roles: list[Renewal]
    changed: list[str]
    staged: list[str]


def due(info: RoleInfo, now: datetime) -> bool:
    """Whether a role should be signed again: online ones daily, offline ones 60 days before they expire."""
    left = info.expires - now
    if info.name in OFFLINE:
        whole = info.expires - info.signed_at if info.signed_at else OFFLINE_LEFT * 3
        return left < min(OFFLINE_LEFT, whole / 3)
    return info.signed_at is None or now - info.signed_at >= ONLINE_AGE


def renew(desk: Desk, *, force: bool = False, roles: Collection[str] = _ORDER) -> list[Renewal]:
    """Sign again what is due, with the keys at hand, and check the result with the real client.

    Args:
        desk: the registry.
        force: sign again whatever is at hand, due or not.
        roles: only these.

    Raises:
        ConfigError: no key at hand is one of this registry's. RegistrarError: the client would refuse the result; nothing is written.
    """
    _check_keys(desk)
    drop_unverified(desk.tree, desk.authority)  # nothing is signed on top of what somebody else put there
    wanted = {role for role in roles if force or _is_due(desk, role)}
    found = {role: _renew(desk, role, wanted=role in wanted) for role in _ORDER[:4]}
    found |= _renew_above(desk, wanted)
    return [Renewal(role, state, _info(desk, role).expires) for role, state in found.items()]


def renew_remote(
    remote: Remote,
    branch: str,
    desk_for: Callable[[Tree], Desk],
    environ: Mapping[str, str],
    *,
    force: bool = False,
    roles: Collection[str] = _ORDER,
) -> Renewed:
    """Renew a registry on a Git remote: one commit, pushed with a lease; start over if main moved meanwhile.

    Args:
        remote: the registry's repository.
        branch: its main branch.
        desk_for: a desk over the files that main has.
        environ: the environment for Git.
        force: as for `renew`.
        roles: as for `renew`.

    Raises:
        RegistryError: nothing was pushed.
    """

    def work(main: Main) -> Renewed:
        desk = desk_for(main.tree())
        found = renew(desk, force=force, roles=roles)
        changes = desk.finish()
        if changes:
            names = [item.role for item in found if item.result in {"renewed", "staged"}]
            main.push(changes, f"Renew {', '.join(names) or 'metadata'}\n", desk.now)
        return Renewed(found, sorted(changes), desk.waiting)

    return change_main(remote, branch, environ, work)


def _check_keys(desk: Desk) -> None:
    """Refuse keys that are another registry's, or no longer this one's: with them every run would end well and renew nothing.

    Raises:
        ConfigError: none of them may sign anything.
    """
    own = {keyid for role in _ORDER for keyid in keyids_for(desk.tree, role, read_newest(desk.tree, role))}
    if desk.signer_for(own) is None:
        given = ", ".join(f"{signer.public_key.keyid[:16]}…" for signer in desk.signers)
        raise ConfigError(
            f"no key that was given may sign a role of this registry ({given})",
            hint="Give a key that the newest root or targets metadata names.",
        )


def _renew(desk: Desk, role: str, *, wanted: bool) -> str:
    """Sign a role at the bottom again if that is wanted and a key is at hand."""
    keyids = keyids_for(desk.tree, role, read_newest(desk.tree, role))
    if not wanted or desk.signer_for(keyids) is None:
        return _untouched(desk, role)
    before = len(desk.repository.staged)
    with desk.repository.edit(role):
        pass
    return "staged" if len(desk.repository.staged) > before else "renewed"


def _renew_above(desk: Desk, wanted: Collection[str]) -> dict[str, str]:
    """Sign snapshot and timestamp again if that is wanted or something below them changed, and check the result."""
    before = {role: _info(desk, role).version for role in _ORDER[4:]}
    root = read_metadata(desk.tree, "root", latest_version(desk.tree, "root")).signed
    if desk.signer_for(root.roles["timestamp"].keyids) is not None:
        if "snapshot" in wanted:
            desk.repository.do_snapshot(force=True)
        elif "timestamp" in wanted:
            desk.repository.do_snapshot()
            with desk.repository.edit_timestamp() as timestamp:
                timestamp.snapshot_meta = desk.repository.snapshot_info
        write_above(desk.repository, root)
        if desk.tree.changes:
            collect_garbage(desk.tree, desk.now)
            check_candidate(desk.tree, desk.root, (), desk.now, allow_dev_keys=desk.allow_dev_keys)
    return {
        role: "renewed" if _info(desk, role).version > version else _untouched(desk, role)
        for role, version in before.items()
    }


def _untouched(desk: Desk, role: str) -> str:
    return "due" if _is_due(desk, role) else "fine"


def _is_due(desk: Desk, role: str) -> bool:
    return due(_info(desk, role), desk.now)


def _info(desk: Desk, role: str) -> RoleInfo:
    version = 0 if role == "timestamp" else latest_version(desk.tree, role)
    return role_info(role, read_metadata(desk.tree, role, version).signed.to_dict())
