"""What verified roles say: the state of a registry at one moment, and the metadata as it stands on the disk.

Pure but for the functions that read a folder. What is here was verified by `registry_client.trust` before.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Targets

from registry_client.catalogue import CATALOGUE_LIMIT, CATALOGUE_PATH
from registry_client.digest import Digest
from registry_client.errors import ExpiredError, VerificationError
from registry_client.jsontext import MIB
from registry_client.layout import served_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tuf.api.metadata import Signed

EXPIRY_DAYS = "x-plugin-registry-expiry-days"
"""Member of every role's signed part: for how many days it is signed. Expiry minus this is when it was signed."""

VERSIONS = "x-plugin-registry-versions"
"""Member of the timestamp's signed part: the current version of each role by its name, so that clients can ask for all of them at once.
What the snapshot says counts; this only says what is worth asking for."""

ROLES = ("root", "timestamp", "snapshot", "targets", "blocks", "registrar")
_DELEGATED = ("blocks", "registrar")
_OF_INDEX = re.compile(r"index/[01]{1,9}\.json")
_HINTED = ("snapshot", "targets", "blocks", "registrar")
_MAX_VERSION = 2**53
_MAX_EXPIRY_DAYS = 3660
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading metadata from the disk ends in where it is missing, or anything but metadata."""


@dataclass(frozen=True)
class TargetRef:
    """What TUF says of one target.

    Attributes:
        path: the target's path.
        size: bytes.
        digest: sha256.
        served_path: where it is served: below `targets/`, its name prefixed with the digest.
        role_version: version of the role's metadata that names it.
        custom: what its signers say of it besides (TUF specification 4.5).
    """

    path: str
    size: int
    digest: Digest
    served_path: str
    role_version: int
    custom: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleInfo:
    """Version and times of one role's metadata, as last verified."""

    name: str
    version: int
    expires: datetime
    signed_at: datetime | None


class TrustedView:
    """One verified, consistent state of a registry. Reads nothing, neither from the network nor from the disk.

    Args:
        signed: the signed part of each role's metadata by the role's name, verified.
    """

    def __init__(self, signed: Mapping[str, Signed]) -> None:
        self._targets = {name: role for name, role in signed.items() if isinstance(role, Targets)}
        self.roles = {
            name: RoleInfo(
                name,
                role.version,
                role.expires,
                _signing_time(role.expires, role.unrecognized_fields.get(EXPIRY_DAYS)),
            )
            for name, role in signed.items()
        }

    @property
    def expires(self) -> datetime:
        """When the first of the roles expires."""
        return min(info.expires for info in self.roles.values())

    def find(self, path: str) -> TargetRef | None:
        """What the roles say of a target, or None if they do not know it.

        Raises:
            VerificationError: they name it without a usable digest, or larger than it may be: it would have to be read
                to find that out, perhaps many at once.
        """
        found = ((role, role.targets[path]) for role in self._holders(path) if path in role.targets)
        role, info = next(found, (None, None))
        if role is None or info is None:
            return None
        try:
            digest = Digest.from_hex(info.hashes["sha256"])
        except (KeyError, ValueError) as e:
            raise VerificationError(
                f"{path}: the signed metadata names it without a sha256 digest",
                hint="The registry is damaged; its maintainers can see why with 'publisher registry audit'.",
            ) from e
        limit = CATALOGUE_LIMIT if path == CATALOGUE_PATH else MIB
        if info.length > limit:
            raise VerificationError(
                f"{path}: the signed metadata says {info.length} bytes; at most {limit} are allowed",
                hint="The index was not made by an honest registrar. Tell the registry's maintainers.",
            )
        custom = info.custom if isinstance(info.custom, dict) else {}
        return TargetRef(path, info.length, digest, served_path(path, digest), role.version, custom)

    @cached_property
    def index(self) -> frozenset[str]:
        """The path of every shard and directory of the index that is a TUF target, and of nothing else that is below `index/`."""
        return frozenset(filter(_OF_INDEX.fullmatch, self._targets["registrar"].targets))

    @cached_property
    def publishers(self) -> frozenset[str]:
        """Ids of the publishers that the maintainers have signed."""
        paths = (PurePosixPath(path) for path in self._targets["targets"].targets)
        return frozenset(path.stem for path in paths if path.parts[:-1] == ("publishers",))

    def _holders(self, path: str) -> Iterator[Targets]:
        """Who may name a target, in TUF's order: `targets`, then those of the known roles to which it delegates the path."""
        top = self._targets["targets"]
        yield top
        if top.delegations is not None:
            for name, terminating in top.delegations.get_roles_for_target(path):
                if name in self._targets:
                    yield self._targets[name]
                if terminating:
                    return


def check_roles(signed: Mapping[str, Signed], where: str) -> None:
    """Refuse a state that lacks a role, or in which `blocks` or `registrar` hands on what was delegated to it."""
    for name in _DELEGATED:
        role = signed.get(name)
        if not isinstance(role, Targets):
            raise VerificationError(
                f"{where}: the targets metadata does not delegate to the role {name}",
                hint="The registry is incomplete; its maintainers can see why with 'publisher registry audit'.",
            )
        if role.delegations is not None:
            raise VerificationError(
                f"{where}: the {name} metadata delegates to other roles, which it may not",
                hint="Its key may have been stolen. Tell the registry's maintainers.",
            )


def check_signing_time(view: TrustedView, where: str) -> None:
    """Refuse a state whose timestamp was signed when some of it had expired already: the clock here is behind, or it is forged.

    So a clock that was set back revives nothing. The signing time is compared with what the timestamp itself names, and
    not kept as a time of its own: who steals the online key and signs far in the future makes a state that is refused,
    and nothing stays behind that would keep a later state from being accepted.
    """
    signed_at = view.roles["timestamp"].signed_at
    late = next((i for i in view.roles.values() if signed_at is not None and i.expires <= signed_at), None)
    if late is not None:
        raise ExpiredError(
            f"{where}: the {late.name} metadata expired at {late.expires:%Y-%m-%d %H:%M} UTC, "
            f"before the timestamp was signed ({signed_at:%Y-%m-%d %H:%M} UTC)",
            hint="The registry's maintainers must renew it: 'publisher registry renew'.",
        )


def read_roles(metadata_dir: Path) -> list[RoleInfo]:
    """Version and times of the metadata on disk, which python-tuf verified before it wrote it."""
    return [info for info in (read_role(metadata_dir, name) for name in ROLES) if info is not None]


def read_role(metadata_dir: Path, name: str) -> RoleInfo | None:
    """What `read_roles` says of one role; None where there is no readable metadata of it."""
    try:
        return role_info(name, json.loads((metadata_dir / f"{name}.json").read_bytes())["signed"])
    except _UNREADABLE:
        return None


def named_digest(metadata_dir: Path, role: str, path: str) -> Digest | None:
    """The digest that a role's metadata on disk, expired or not, gives a target; None where it names none."""
    try:
        signed = json.loads((metadata_dir / f"{role}.json").read_bytes())["signed"]
        return Digest.from_hex(signed["targets"][path]["hashes"]["sha256"])
    except _UNREADABLE:
        return None


def keys_in_use(metadata_dir: Path) -> list[dict[str, Any]]:
    """The key objects of the verified root and of the delegations of targets."""
    keys: list[dict[str, Any]] = []
    for name in ("root", "targets"):
        try:
            signed = json.loads((metadata_dir / f"{name}.json").read_bytes())["signed"]
            holder = signed if name == "root" else signed["delegations"]
            keys += holder["keys"].values()
        except _UNREADABLE:
            continue
    return keys


def hinted_versions(timestamp: bytes) -> dict[str, int]:
    """The roles that a timestamp, not verified yet, says there are, with their versions; empty where it says nothing of them.

    What it names is only worth asking for. An older registry names the snapshot alone, which is the next to be asked for anyway.
    """
    try:
        signed = json.loads(timestamp)["signed"]
        named = {**signed[VERSIONS], "snapshot": signed["meta"]["snapshot.json"]["version"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {
        role: named[role]
        for role in _HINTED
        if type(named.get(role)) is int and 0 < named[role] <= _MAX_VERSION
    }


def role_info(name: str, signed: dict[str, Any]) -> RoleInfo:
    """Version and times out of the signed part of TUF metadata."""
    expires = datetime.fromisoformat(signed["expires"]).astimezone(UTC)
    return RoleInfo(name, int(signed["version"]), expires, _signing_time(expires, signed.get(EXPIRY_DAYS)))


def _signing_time(expires: datetime, days: object) -> datetime | None:
    """When metadata was signed; None where it does not say, or says what cannot be."""
    if type(days) is not int or not 1 <= days <= _MAX_EXPIRY_DAYS:
        return None
    try:
        return expires - timedelta(days=days)
    except OverflowError:
        return None
