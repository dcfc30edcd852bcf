"""`publisher registry rotate`: other keys for a role.

Routine, in three steps: add the new key; sign with it (`publisher registry renew`); drop the old one. After a compromise, in one:
the old keys go, and with an online key also everything that it signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.registrar.write import write_above
from publisher.tuf_repository import ONLINE, is_complete, latest_version, read_metadata, read_newest
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Key
    from tuf.api.metadata import Role, Root, Snapshot, Targets

    from publisher.maintain.desk import Desk

ROLES = ("online", "targets", "blocks", "root")
_IN_ROOT = {"root": ("root",), "targets": ("targets",), "online": ("snapshot", "timestamp")}
_IN_TARGETS = {"blocks": "blocks", "online": "registrar"}


def current_keyids(desk: Desk, role: str) -> list[str]:
    """The keyids of a role now."""
    if role in _IN_ROOT:
        return list(desk.authority.root.roles[_IN_ROOT[role][0]].keyids)
    return list(desk.authority.targets.get_delegated_role(role).keyids)


def rotate(
    desk: Desk,
    role: str,
    add: Sequence[Key],
    drop: Sequence[str],
    *,
    compromised: bool,
    threshold: int | None = None,
) -> None:
    """Change a role's keys, and sign again what would not verify any more.

    The same call again changes nothing that is done already, so that it can go on where signatures were missing.

    Args:
        desk: the registry, with the keys that sign the change (root keys; the targets key for online and blocks).
        role: online, targets, blocks or root.
        add: new public keys.
        drop: keyids that go.
        compromised: all present keys go; with `online`, the index, snapshot and timestamp are made anew.
        threshold: of the root role.

    Raises:
        ConfigError: a key is missing, or the role would have too few.
    """
    if threshold is not None and role != "root":
        raise ConfigError("only the root role has a threshold to change", hint="Leave out --threshold.")
    present, coming = current_keyids(desk, role), [key.keyid for key in add]
    unknown = [keyid for keyid in drop if keyid not in present]
    if unknown:
        raise ConfigError(f"role {role} has no key {unknown[0][:16]}…")
    going = [keyid for keyid in (present if compromised else drop) if keyid not in coming]
    if not {*present, *coming} - {*going}:
        raise ConfigError(f"role {role} would have no key left", hint="Give the new key with --add.")
    if (
        role == "online"
        and compromised
        and not going
        and _verifies(desk, "registrar", desk.authority.targets)
    ):
        raise ConfigError(
            "the online key given with --add is the one in use", hint="Make a new one: 'publisher keygen'."
        )
    if role in _IN_ROOT:
        _edit_root(desk, role, add, going, threshold)
    if role in _IN_TARGETS:
        _edit_targets(desk, _IN_TARGETS[role], add, going)
    _sign_again(desk, role, compromised=compromised)


def _edit_root(
    desk: Desk, role: str, add: Sequence[Key], going: Sequence[str], threshold: int | None
) -> None:
    newest: Root = desk.repository.open("root").signed
    held = [newest.roles[name].keyids for name in _IN_ROOT[role]]
    if threshold in {None, newest.roles[role].threshold if role == "root" else None} and all(
        _is_done(keyids, add, going) for keyids in held
    ):
        return
    with desk.repository.edit_root() as root:
        for name in _IN_ROOT[role]:
            for key in add:
                root.add_key(key, name)
            for keyid in set(going).intersection(root.roles[name].keyids):
                root.revoke_key(keyid, name)
        if role == "root":
            _set_threshold(root.roles["root"], threshold)


def _set_threshold(role: Role, threshold: int | None) -> None:
    role.threshold = threshold or role.threshold
    if len(role.keyids) < role.threshold:
        raise ConfigError(
            f"the root role would have {len(role.keyids)} keys and need {role.threshold}",
            hint="Add keys, or give --threshold.",
        )


def _edit_targets(desk: Desk, name: str, add: Sequence[Key], going: Sequence[str]) -> None:
    newest: Targets = desk.repository.open("targets").signed
    if _is_done(newest.get_delegated_role(name).keyids, add, going):
        return
    with desk.repository.edit_targets() as targets:
        for key in add:
            targets.add_key(key, name)
        for keyid in set(going).intersection(targets.get_delegated_role(name).keyids):
            targets.revoke_key(keyid, name)


def _is_done(keyids: Sequence[str], add: Sequence[Key], going: Sequence[str]) -> bool:
    return {key.keyid for key in add} <= set(keyids) and not set(going).intersection(keyids)


def _sign_again(desk: Desk, role: str, *, compromised: bool) -> None:
    """Re-sign what the remaining keys do not verify, so that no reader ever meets a gap."""
    root: Root = read_newest(desk.tree, "root").signed
    if not is_complete("targets", read_newest(desk.tree, "targets"), [root]):
        with desk.repository.edit_targets():
            pass
    targets: Targets = read_newest(desk.tree, "targets").signed
    if not is_complete("blocks", read_newest(desk.tree, "blocks"), [targets]):
        with desk.repository.edit_targets("blocks"):
            pass
    if desk.waiting:
        return  # completed by `publisher sign`; the rest follows then
    if role == "online" and compromised:
        _forget_online(desk)
        return
    if not _verifies(desk, "registrar", targets):
        raise ConfigError(
            "the index is signed only by a key that goes",
            hint="First sign with the new key: 'publisher registry renew --force --key NEW', or use --compromised.",
        )
    if desk.signer_for(root.roles["timestamp"].keyids) is not None:
        write_above(desk.repository, root)
    elif not _verifies(desk, "timestamp", root) or not _verifies(desk, "snapshot", root):
        raise ConfigError(
            "snapshot and timestamp are signed only by a key that goes",
            hint="First sign with the new key: 'publisher registry renew --force --key NEW', or give that key here.",
        )
    elif not compromised and not _served_targets_verify(desk, root):
        raise ConfigError(
            "hosts still read targets metadata that only a key that goes has signed",
            hint="Run 'publisher registry register' first, or give the online key too.",
        )


def _verifies(desk: Desk, role: str, delegator: Root | Targets) -> bool:
    version = latest_version(desk.tree, role)
    return is_complete(role, read_metadata(desk.tree, role, version), [delegator])


def _served_targets_verify(desk: Desk, root: Root) -> bool:
    """Whether the targets metadata that the present snapshot names verifies."""
    snapshot: Snapshot = read_metadata(desk.tree, "snapshot", latest_version(desk.tree, "snapshot")).signed
    served = read_metadata(desk.tree, "targets", snapshot.meta["targets.json"].version)
    return is_complete("targets", served, [root])


def _forget_online(desk: Desk) -> None:
    """Delete all that the online key signed: versions start anew, which clients accept because the keys are new."""
    for path in list(desk.tree.paths("metadata")):
        if any(path.endswith(f"{role}.json") for role in ONLINE):
            desk.tree.delete(path)
    for path in list(desk.tree.paths("targets/index")):
        desk.tree.delete(path)
