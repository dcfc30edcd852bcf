"""What the online key signed before: believed only as far as it verifies.

Whoever may push to main can replace these files, but not sign them. Versions that do not verify are passed over; if nothing is left,
the registrar stops, because it would forget what was yanked, quarantined and published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from publisher.tree import TIMESTAMP
from publisher.tuf_repository import DEFAULT_DAYS, is_complete, metadata_path, parse_metadata, read_metadata
from registry_client.errors import RegistrarError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuf.api.metadata import Root, Targets

    from publisher.authority import Authority
    from publisher.tree import Overlay
    from registry_client.models.policy import Policy

_VERSIONED = re.compile(r"metadata/([1-9][0-9]{0,18})\.(snapshot|registrar)\.json")
_HINT = (
    "Restore the folder metadata/ from Git history. After a theft of the online key: "
    "'publisher registry rotate . online --compromised'."
)


def days_of(policy: Policy) -> Mapping[str, int]:
    """Expiry in days by role: what the maintainers' policy says for online roles, the defaults for the others."""
    days = policy.expiry_days
    return {
        **DEFAULT_DAYS,
        "timestamp": days.timestamp,
        "snapshot": days.snapshot,
        "registrar": days.registrar,
    }


def drop_unverified(tree: Overlay, authority: Authority, *, from_scratch: bool = False) -> None:
    """Take online metadata that the present keys did not sign out of a tree.

    Args:
        tree: changed in memory.
        authority: whose root and targets name the keys.
        from_scratch: drop all of it rather than stop.

    Raises:
        RegistrarError: there is some, and none of it verifies.
    """
    kept = {
        role: _newest(tree, role, delegator, from_scratch=from_scratch)
        for role, delegator in (("snapshot", authority.root), ("registrar", authority.targets))
    }
    data = tree.read(TIMESTAMP)
    if data is not None and not _verifies("timestamp", data, authority.root):
        if not from_scratch:
            raise RegistrarError(f"{TIMESTAMP}: is not signed by the registry's online key", hint=_HINT)
        tree.delete(TIMESTAMP)
        data = None
    if from_scratch:
        return
    if data is None and any(kept.values()):
        raise RegistrarError(f"{TIMESTAMP}: is missing, although there is an index", hint=_HINT)
    if data is not None:
        _check_named(tree, data, kept)


def _check_named(tree: Overlay, timestamp: bytes, kept: Mapping[str, int]) -> None:
    """Refuse to use a version twice: hosts would take the new file for the one that they know.

    Raises:
        RegistrarError: the newest version that the metadata above names is missing or does not verify.
    """
    named = {"snapshot": parse_metadata(timestamp, "timestamp", TIMESTAMP).signed.snapshot_meta.version}
    if kept["snapshot"]:
        meta = read_metadata(tree, "snapshot", kept["snapshot"]).signed.meta.get("registrar.json")
        named["registrar"] = meta.version if meta is not None else 0
    for role, version in named.items():
        if version > kept[role]:
            raise RegistrarError(
                f"{metadata_path(role, version)}: is missing, or not as the online key signed it", hint=_HINT
            )


def _newest(tree: Overlay, role: str, delegator: Root | Targets, *, from_scratch: bool) -> int:
    """The newest version that verifies; newer ones are dropped. 0 if there is none."""
    versions = sorted((v for v, name in _versions(tree) if name == role), reverse=True)
    for version in versions:
        path = metadata_path(role, version)
        if _verifies(role, tree.read(path) or b"", delegator, version):
            return version
        tree.delete(path)
    if versions and not from_scratch:
        raise RegistrarError(f"no {role} metadata is signed by the registry's online key", hint=_HINT)
    return 0


def _versions(tree: Overlay) -> list[tuple[int, str]]:
    matches = (_VERSIONED.fullmatch(path) for path in tree.paths("metadata"))
    return [(int(match[1]), match[2]) for match in matches if match]


def _verifies(role: str, data: bytes, delegator: Root | Targets, version: int | None = None) -> bool:
    try:
        metadata: Any = parse_metadata(data, role, role)
    except VerificationError:
        return False
    if version is not None and metadata.signed.version != version:
        return False
    return is_complete(role, metadata, [delegator])
