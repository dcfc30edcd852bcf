"""The TUF metadata of a registry: signed by the present keys, each naming what stands below it, not about to expire."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tuf.api.exceptions import LengthOrHashMismatchError

from publisher.tuf_repository import is_complete, latest_version, metadata_path, read_metadata
from publisher.watch.findings import REGISTER, Finding, Level, error
from registry_client.digest import Digest
from registry_client.layout import served_path
from registry_client.roles import VERSIONS
from registry_client.trust import ROLES, role_info

if TYPE_CHECKING:
    from datetime import datetime

    from tuf.api.metadata import Metadata, Snapshot, Timestamp

    from publisher.authority import Authority
    from publisher.tree import Tree

_SOON = {"root": 60, "targets": 60, "blocks": 60, "registrar": 5, "snapshot": 5, "timestamp": 2}


def chain(tree: Tree, authority: Authority) -> list[Finding]:
    """Timestamp and snapshot: signed by the present key, each naming what stands below it."""
    found = []
    version = latest_version(tree, "snapshot")
    timestamp, snapshot = read_metadata(tree, "timestamp", 0), read_metadata(tree, "snapshot", version)
    for role, metadata in (("timestamp", timestamp), ("snapshot", snapshot)):
        path = metadata_path(role, version)
        if not is_complete(role, metadata, [authority.root]):
            found.append(error(path, "is not signed by the present online key", REGISTER))
    named = {"snapshot.json": timestamp.signed.snapshot_meta, **snapshot.signed.meta}
    for name, meta in named.items():
        path = f"metadata/{meta.version}.{name}"
        data = tree.read(path)
        try:
            meta.verify_length_and_hashes(data or b"")
        except LengthOrHashMismatchError:
            what = "is missing" if data is None else "was changed"
            found.append(
                error(path, f"{what}, but the metadata above names it", "Restore it from Git history.")
            )
        newest = latest_version(tree, name.removesuffix(".json"))
        if newest > meta.version:
            path = metadata_path(name.removesuffix(".json"), newest)
            found.append(Finding(Level.WARNING, path, "has not been brought to hosts yet", REGISTER))
    return found + _hint(timestamp, snapshot)


def _hint(timestamp: Metadata[Timestamp], snapshot: Metadata[Snapshot]) -> list[Finding]:
    """What the timestamp says of the versions that its snapshot names: wrong, it would only cost hosts requests; older ones say nothing."""
    stated = timestamp.signed.unrecognized_fields.get(VERSIONS)
    named = {name.removesuffix(".json"): meta.version for name, meta in snapshot.signed.meta.items()}
    if stated is None or stated == named or timestamp.signed.snapshot_meta.version != snapshot.signed.version:
        return []
    return [
        error(
            metadata_path("timestamp", 0), f"states other versions than its snapshot ({VERSIONS})", REGISTER
        )
    ]


def copies(tree: Tree, authority: Authority) -> list[Finding]:
    """The hash-named copies of the maintainers' documents, which are what hosts fetch."""
    served = {path: served_path(path, Digest.of(data)) for path, data in authority.documents.items()}
    return [
        error(copy, f"missing: hosts read {path} there", REGISTER)
        for path, copy in served.items()
        if tree.read(copy) is None
    ]


def expiries(tree: Tree, now: datetime) -> list[Finding]:
    """Roles that have expired, and those that soon will."""
    found = []
    for role in ROLES:
        version = latest_version(tree, role)
        info = role_info(role, read_metadata(tree, role, version).signed.to_dict())
        path = metadata_path(role, version)
        left = info.expires - now
        hint = "publisher registry renew"
        if left <= timedelta(0):
            found.append(error(path, f"expired on {info.expires:%Y-%m-%d %H:%M} UTC", hint))
        elif left < timedelta(days=_SOON[role]):
            found.append(Finding(Level.WARNING, path, f"expires in {left.days} days", hint))
    return found


__all__ = ["chain", "copies", "expiries"]
