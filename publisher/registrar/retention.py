"""How long superseded files stay: raw hosting caches each path for minutes, so readers arrive late.

Kept: metadata of a role while its successor is younger than 7 days, and every shard and index directory that kept metadata names, with what
these name; copies of registry.json named by registrar metadata superseded less than an hour ago.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from publisher.registrar.sharding import read_directory
from publisher.tree import TIMESTAMP
from publisher.tuf_repository import STAGING, latest_version, metadata_path
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.digest import Digest
from registry_client.errors import DocumentError
from registry_client.layout import served_path
from registry_client.models.index import TOP_BITS
from registry_client.roles import VERSIONS, role_info
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from datetime import datetime

    from publisher.tree import Overlay

KEEP = timedelta(days=7)
KEEP_CATALOGUE = timedelta(hours=1)
# Of metadata that names a copy which must stay for another reason: so many are passed before the rest is left to the daily run.
_MOST_OLD = 50
Target = tuple[str, str]
_HEX = re.compile(r"[0-9a-f]{64}")
_VERSIONED = re.compile(rf"{STAGING}/([1-9][0-9]*)\.(targets|blocks)\.json")
_DIRECTORY_COPY = re.compile(rf"targets/index/[0-9a-f]{{64}}\.[01]{{{TOP_BITS}}}\.json")
_SUPERSEDED = re.compile(r"metadata/([1-9][0-9]*)\.(snapshot|registrar|targets|blocks)\.json")


def collect_garbage(tree: Overlay, now: datetime) -> None:
    """Delete what no reader can still need. Roots are kept for ever: clients walk them.

    Everything is gone through once a day, and when the maintainers signed new targets, which leaves drafts behind; in other runs only
    copies of registry.json, which are large.
    """
    if _is_due(tree, now):
        _collect_all(tree, now)
    else:
        _collect_catalogues(tree, now)


def _is_due(tree: Overlay, now: datetime) -> bool:
    """Whether no timestamp was signed yet on this day, UTC, or none that names the newest targets."""
    try:
        signed = json.loads(tree.base.read(TIMESTAMP) or b"")["signed"]
        before = role_info("timestamp", signed).signed_at
        targets = signed[VERSIONS]["targets"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return True
    is_other_day = before is None or before.date() != now.astimezone(UTC).date()
    return is_other_day or targets != latest_version(tree, "targets")


def _collect_catalogues(tree: Overlay, now: datetime) -> None:
    """Delete copies of registry.json that only metadata names that was superseded more than an hour ago.

    The walk back ends where a run before has deleted already.
    """
    kept: set[str] = set()
    superseded: datetime | None = None
    looked_at = 0
    for version in range(latest_version(tree, "registrar"), 0, -1):
        path = metadata_path("registrar", version)
        if looked_at == _MOST_OLD or tree.read(path) is None:
            return
        brief = _read(tree, path)
        digests = {
            digest for name, digest in brief.targets if name == CATALOGUE_PATH and _HEX.fullmatch(digest)
        }
        if superseded is None or now - superseded <= KEEP_CATALOGUE:
            kept |= digests
        else:
            looked_at += 1
            for copy in (_copy(CATALOGUE_PATH, digest) for digest in digests - kept):
                if tree.digest(copy) is None:
                    return
                tree.delete(copy)
        superseded = brief.signed_at
        if superseded is None:
            return


def _copy(path: str, hexdigest: str) -> str:
    return served_path(path, Digest.from_hex(hexdigest))


def _collect_all(tree: Overlay, now: datetime) -> None:
    kept = {role: _keep(tree, role, now) for role in ("snapshot", "registrar", "targets", "blocks")}
    for path in list(tree.paths("metadata")):
        match = _SUPERSEDED.fullmatch(path)
        if match and int(match[1]) not in kept[match[2]]:
            tree.delete(path)
    targets = set().union(*(named for versions in kept.values() for named in versions.values()))
    for path in tree.paths(STAGING):  # what waits for signatures will need its documents
        if _VERSIONED.fullmatch(path):
            targets |= _read(tree, path).targets
    copies = {_copy(path, hexdigest) for path, hexdigest in targets if _HEX.fullmatch(hexdigest)}
    copies |= _below(tree, {path for path in copies if _DIRECTORY_COPY.fullmatch(path)})
    for path in list(tree.paths("targets")):
        if path not in copies:
            tree.delete(path)


def _below(tree: Overlay, copies: set[str]) -> set[str]:
    """Copies of the shards that kept index directories name. What makes no sense names nothing."""
    found: set[str] = set()
    for copy in copies:
        try:
            shards = read_directory(tree.read(copy) or b"", _named(copy))
        except DocumentError:
            continue
        found |= {served_path(shard_path(bits), ref.digest) for bits, ref in (shards or {}).items()}
    return found


def _named(copy: str) -> str:
    """The target's path of a served copy."""
    return f"index/{copy.rpartition('.')[0].rpartition('.')[2]}.json"


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
            frozenset(t for t in brief.targets if t[0] != CATALOGUE_PATH) if old else brief.targets
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
