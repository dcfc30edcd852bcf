"""How long superseded files stay: raw hosting caches each path for minutes, so readers arrive late.

Kept: metadata of a role while its successor is younger than 7 days, and every shard that kept metadata names; copies of registry.json
named by registrar metadata superseded less than an hour ago.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from publisher.tuf_repository import STAGING, latest_version, read_metadata, served_path
from registry_client.digest import Digest
from registry_client.errors import VerificationError
from registry_client.trust import role_info

if TYPE_CHECKING:
    from datetime import datetime

    from publisher.tree import Overlay

KEEP = timedelta(days=7)
KEEP_CATALOGUE = timedelta(hours=1)
_VERSIONED = re.compile(rf"{STAGING}/([1-9][0-9]*)\.(targets|blocks)\.json")
_SUPERSEDED = re.compile(r"metadata/([1-9][0-9]*)\.(snapshot|registrar|targets|blocks)\.json")


def collect_garbage(tree: Overlay, now: datetime) -> None:
    """Delete what no reader can still need. Roots are kept for ever: clients walk them."""
    kept = {role: _keep(tree, role, now) for role in ("snapshot", "registrar", "targets", "blocks")}
    for path in list(tree.paths("metadata")):
        match = _SUPERSEDED.fullmatch(path)
        if match and int(match[1]) not in kept[match[2]]:
            tree.delete(path)
    named: set[str] = set()
    for role in ("registrar", "targets", "blocks"):
        for version, superseded in kept[role].items():
            named |= _copies(tree, role, version, superseded, now)
    for path in tree.paths(STAGING):  # what waits for signatures will need its documents
        match = _VERSIONED.fullmatch(path)
        if match:
            named |= _copies(tree, match[2], int(match[1]), None, now, STAGING)
    for path in list(tree.paths("targets")):
        if path not in named:
            tree.delete(path)


def _keep(tree: Overlay, role: str, now: datetime) -> dict[int, datetime | None]:
    """Versions to keep, each with the time at which it was superseded; None for the newest."""
    newest = latest_version(tree, role)
    kept: dict[int, datetime | None] = {newest: None}
    for version in range(newest - 1, 0, -1):
        if tree.read(f"metadata/{version}.{role}.json") is None:
            break
        superseded = _signed_at(tree, role, version + 1)
        if superseded is None or now - superseded > KEEP:
            break
        kept[version] = superseded
    return kept


def _signed_at(tree: Overlay, role: str, version: int) -> datetime | None:
    try:
        signed = read_metadata(tree, role, version).signed
    except VerificationError:
        return None
    return role_info(role, signed.to_dict()).signed_at


def _copies(
    tree: Overlay,
    role: str,
    version: int,
    superseded: datetime | None,
    now: datetime,
    folder: str = "metadata",
) -> set[str]:
    """Hash-named copies that one version of a role's metadata names and that must stay."""
    old = superseded is not None and now - superseded > KEEP_CATALOGUE
    try:
        targets = read_metadata(tree, role, version, folder).signed.targets
    except VerificationError:
        return set()
    return {
        served_path(path, Digest.from_hex(info.hashes["sha256"]))
        for path, info in targets.items()
        if not (old and path == "registry.json")
    }
