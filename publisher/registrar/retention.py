"""How long superseded files stay: raw hosting caches each path for minutes, so readers arrive late.

Kept: metadata of a role while its successor is younger than 7 days, and every shard that kept metadata names; copies of registry.json
named by registrar metadata superseded less than an hour ago.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from publisher.tuf_repository import STAGING, latest_version, metadata_path
from registry_client.digest import Digest
from registry_client.layout import served_path
from registry_client.trust import role_info

if TYPE_CHECKING:
    from datetime import datetime

    from publisher.tree import Overlay

KEEP = timedelta(days=7)
KEEP_CATALOGUE = timedelta(hours=1)
Target = tuple[str, str]
_HEX = re.compile(r"[0-9a-f]{64}")
_VERSIONED = re.compile(rf"{STAGING}/([1-9][0-9]*)\.(targets|blocks)\.json")
_SUPERSEDED = re.compile(r"metadata/([1-9][0-9]*)\.(snapshot|registrar|targets|blocks)\.json")


def collect_garbage(tree: Overlay, now: datetime) -> None:
    """Delete what no reader can still need. Roots are kept for ever: clients walk them."""
    kept = {role: _keep(tree, role, now) for role in ("snapshot", "registrar", "targets", "blocks")}
    for path in list(tree.paths("metadata")):
        match = _SUPERSEDED.fullmatch(path)
        if match and int(match[1]) not in kept[match[2]]:
            tree.delete(path)
    targets = set().union(*(named for versions in kept.values() for named in versions.values()))
    for path in tree.paths(STAGING):  # what waits for signatures will need its documents
        if _VERSIONED.fullmatch(path):
            targets |= _read(tree, path).targets
    copies = {
        served_path(path, Digest.from_hex(hexdigest))
        for path, hexdigest in targets
        if _HEX.fullmatch(hexdigest)
    }
    for path in list(tree.paths("targets")):
        if path not in copies:
            tree.delete(path)


def _keep(tree: Overlay, role: str, now: datetime) -> dict[int, frozenset[Target]]:
    """Versions of a role's metadata to keep, newest first, each with those of its targets that must stay."""
    kept: dict[int, frozenset[Target]] = {}
    superseded: datetime | None = None  # when the version's successor was signed
    for version in range(latest_version(tree, role), 0, -1):
        path = metadata_path(role, version)
        if tree.read(path) is None:
            break
        brief = _read(tree, path)
        old = superseded is not None and now - superseded > KEEP_CATALOGUE
        kept[version] = (
            frozenset(t for t in brief.targets if t[0] != "registry.json") if old else brief.targets
        )
        superseded = brief.signed_at
        if superseded is None or now - superseded > KEEP:
            break
    return kept


@dataclass(frozen=True)
class _Brief:
    """What matters here of a role's metadata: when it was signed, and the paths and SHA-256 hex digests of its targets."""

    signed_at: datetime | None
    targets: frozenset[Target]


def _read(tree: Overlay, path: str) -> _Brief:
    """Read as plain JSON: busy registries keep hundreds of versions. Metadata that makes no sense keeps nothing."""
    try:
        signed = json.loads(tree.read(path) or b"")["signed"]
        named = signed.get("targets", {}).items()
        targets = frozenset((str(target), str(info["hashes"]["sha256"])) for target, info in named)
        return _Brief(role_info(path, signed).signed_at, targets)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Brief(None, frozenset())
