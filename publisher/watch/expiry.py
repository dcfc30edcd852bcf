"""`publisher registry expiry`: for how long each role is signed, out of verified metadata. It needs no key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from publisher.authority import load_authority
from publisher.registrar.online import drop_unverified
from publisher.tree import Overlay
from publisher.tuf_repository import OFFLINE, ONLINE, latest_version, metadata_path, read_metadata
from registry_client.errors import RegistrarError, VerificationError
from registry_client.models.base import format_time
from registry_client.roles import role_info

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from publisher.tree import Tree

ONLINE_SOON = timedelta(days=5)
OFFLINE_SOON = timedelta(days=60)
OFFLINE_URGENT = timedelta(days=30)
# Online roles are signed daily: one that is short-lived is not "soon" before two runs were missed.
_MISSED = timedelta(days=2)
_RESTORE = "Restore it from Git history."


class Level(IntEnum):
    """How near the end is; worse ones are higher."""

    FINE = 0
    SOON = 1
    URGENT = 2
    EXPIRED = 3


@dataclass(frozen=True)
class Expiry:
    """When one role expires.

    Attributes:
        role: its name.
        expires: when.
        left: the time until then; negative once it has expired.
        level: how near that is.
    """

    role: str
    expires: datetime
    left: timedelta
    level: Level

    @property
    def offline(self) -> bool:
        """Whether people keep its key, not the scheduled job."""
        return self.role in OFFLINE

    @property
    def days(self) -> int:
        """Whole days left; negative once it has expired."""
        return self.left // timedelta(days=1)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "role": self.role,
            "expires": format_time(self.expires),
            "daysLeft": self.days,
            "level": self.level.name.lower(),
        }


def expiries(tree: Tree, pinned_root: bytes, now: datetime, *, allow_dev_keys: bool) -> list[Expiry]:
    """When each role expires, offline ones first. Signatures are verified; what has expired is no error here.

    Args:
        tree: the registry's files, or its metadata alone with the maintainers' documents.
        pinned_root: the root of trust.
        now: the time, UTC.
        allow_dev_keys: accept development keys.

    Raises:
        VerificationError: metadata is missing or not signed as it should be.
        ConfigError: development keys are in use and not allowed.
    """
    for role in ("targets", "blocks"):
        if not latest_version(tree, role):
            raise VerificationError(f"metadata: there is no {role} metadata", hint=_RESTORE)
    authority = load_authority(tree, pinned_root, allow_dev_keys=allow_dev_keys)
    overlay = Overlay(tree)
    try:
        drop_unverified(overlay, authority)
    except RegistrarError as e:
        raise VerificationError(e.message, hint=e.hint) from e
    signed: dict[str, Any] = {
        "root": authority.root,
        "targets": authority.targets,
        "blocks": authority.blocks_role,
    }
    for role in ONLINE:
        version = 0 if role == "timestamp" else latest_version(overlay, role)
        if role != "timestamp" and not version:
            raise VerificationError(
                f"metadata: there is no {role} metadata", hint="Run 'publisher registry register'."
            )
        signed[role] = read_metadata(overlay, role, version).signed
    _check_named(signed)
    return [_expiry(role, signed[role].to_dict(), now) for role in (*OFFLINE, *ONLINE)]


def _check_named(signed: Mapping[str, Any]) -> None:
    """Refuse to take an older version for the newest: what hosts are told of was signed, so it must be there.

    Raises:
        VerificationError: the snapshot names a newer version than there is.
    """
    for role in ("targets", "blocks"):
        named = signed["snapshot"].meta.get(f"{role}.json")
        if named is not None and named.version > signed[role].version:
            raise VerificationError(
                f"{metadata_path(role, named.version)}: missing, although the snapshot names it",
                hint=_RESTORE,
            )


def _expiry(role: str, signed: dict[str, Any], now: datetime) -> Expiry:
    info = role_info(role, signed)
    whole = info.expires - info.signed_at if info.signed_at else None
    left = info.expires - now
    return Expiry(role, info.expires, left, level_of(role, left, whole))


def level_of(role: str, left: timedelta, whole: timedelta | None) -> Level:
    """How near a role's end is.

    Args:
        role: its name.
        left: the time until then.
        whole: for how long it was signed; None if it does not say.
    """
    if left <= timedelta(0):
        return Level.EXPIRED
    if role in OFFLINE:
        soon, urgent = OFFLINE_SOON, OFFLINE_URGENT
        if whole is not None:  # as `renew` has it: the last third of a short life
            soon, urgent = min(soon, whole / 3), min(urgent, whole / 6)
        return Level.URGENT if left < urgent else Level.SOON if left < soon else Level.FINE
    soon = ONLINE_SOON if whole is None else min(ONLINE_SOON, whole - _MISSED)
    return Level.SOON if left < soon else Level.FINE


__all__ = ["Expiry", "Level", "expiries", "level_of"]
