"""`publisher registry rotate`: other keys for a role.

Routine, in three steps: add the new key; sign with it (`publisher registry renew`); drop the old one. After a compromise, in one:
the old keys go, and with an online key also everything that it signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.registrar.write import write_above
from publisher.tuf_repository import ONLINE, is_complete, latest_version, read_metadata
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Key
    from tuf.api.metadata import Root, Targets

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
    going = current_keyids(desk, role) if compromised else list(drop)
    unknown = [keyid for keyid in drop if keyid not in current_keyids(desk, role)]
    if unknown:
        raise ConfigError(f"role {role} has no key {unknown[0][:16]}…")
    staying = [keyid for keyid in current_keyids(desk, role) if keyid not in going] + [
        key.keyid for key in add
    ]
    if not staying:
        raise ConfigError(f"role {role} would have no key left", hint="Give the new key with --add.")
    if role in _IN_ROOT:
        _edit_root(desk, role, add, going, threshold)
    if role in _IN_TARGETS:
        _edit_targets(desk, _IN_TARGETS[role], add, going)
    _sign_again(desk, role, compromised=compromised)


def _edit_root(
    desk: Desk, role: str, add: Sequence[Key], going: Sequence[str], threshold: int | None
) -> None:
    with desk.repository.edit_root() as root:
        for name in _IN_ROOT[role]:
            for key in add:
                root.add_key(key, name)
            for keyid in going:
                root.revoke_key(keyid, name)
        if role == "root" and threshold is not None:
            root.roles["root"].threshold = threshold
        if len(root.roles["root"].keyids) < root.roles["root"].threshold:
            raise ConfigError(
                f"the root role would have {len(root.roles['root'].keyids)} keys and need {root.roles['root'].threshold}",
                hint="Add keys, or give --threshold.",
            )


def _edit_targets(desk: Desk, name: str, add: Sequence[Key], going: Sequence[str]) -> None:
    with desk.repository.edit_targets() as targets:
        delegations = targets.delegations
        if delegations is None or delegations.roles is None:
            raise ConfigError(
                "the targets metadata delegates nothing", hint="Run 'publisher registry audit'."
            )
        for key in add:
            targets.add_key(key, name)
        for keyid in going:
            targets.revoke_key(keyid, name)


def _sign_again(desk: Desk, role: str, *, compromised: bool) -> None:
    """Re-sign what the remaining keys do not verify, so that no reader ever meets a gap."""
    if desk.repository.staged:
        return  # completed by `publisher sign`; the rest follows then
    if role == "online" and compromised:
        _forget_online(desk)
        return
    root: Root = read_metadata(desk.tree, "root", latest_version(desk.tree, "root")).signed
    if not _verifies(desk, "targets", root):
        with desk.repository.edit_targets():
            pass
    targets: Targets = read_metadata(desk.tree, "targets", latest_version(desk.tree, "targets")).signed
    if not _verifies(desk, "blocks", targets):
        with desk.repository.edit_targets("blocks"):
            pass
    if not _verifies(desk, "registrar", targets):
        raise ConfigError(
            "the index is signed only by a key that goes",
            hint="First sign with the new key: 'publisher registry renew --force --key NEW', or use --compromised.",
        )
    keyids = root.roles["timestamp"].keyids
    if desk.signer_for(keyids) is not None:
        write_above(desk.repository, root)
    elif not _verifies(desk, "timestamp", root) or not _verifies(desk, "snapshot", root):
        raise ConfigError(
            "snapshot and timestamp are signed only by a key that goes",
            hint="First sign with the new key: 'publisher registry renew --force --key NEW', or give that key here.",
        )


def _verifies(desk: Desk, role: str, delegator: Root | Targets) -> bool:
    version = latest_version(desk.tree, role)
    return is_complete(role, read_metadata(desk.tree, role, version), [delegator])


def _forget_online(desk: Desk) -> None:
    """Delete all that the online key signed: versions start anew, which clients accept because the keys are new."""
    for path in list(desk.tree.paths("metadata")):
        if any(path.endswith(f"{role}.json") for role in ONLINE):
            desk.tree.delete(path)
    for path in list(desk.tree.paths("targets/index")):
        desk.tree.delete(path)
