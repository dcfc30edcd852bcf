"""Registries and locks for tests of resolution, made out of plain tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.rows import TIME, block, line, payload_digest, release

from registry_client.digest import Digest
from registry_client.errors import NotFoundError, VerificationError
from registry_client.installer.project.lockfile import LockedPlugin
from registry_client.resolve import VersionInfo
from registry_client.status import standing_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Entry = dict[str, Any]
INSTALL_ID = "0123456789abcdef0123456789abcdef"
_SAID = {"status": "status", "reason": "reason", "rollout": "rollout", "push": "push", "force": "forceUpdate"}


def info(plugin_id: str, entry: Entry, blocks: Sequence[Entry] = ()) -> VersionInfo:
    """One version. `needs` is short for `requires.plugins`; a release is made where it says more than the manifest."""
    more: Entry = {name: entry[name] for name in ("removed",) if name in entry}
    requires = dict(entry.get("requires", {}))
    if "needs" in entry:
        requires["plugins"] = entry["needs"]
    if requires:
        more["requires"] = requires
    if "quarantined" in entry:
        more["quarantined"] = {"cause": "artifact", "reason": entry["quarantined"], "since": TIME}
    row = line(plugin_id, entry["version"], initialStatus=entry.get("initial", "released"), **more)
    members = {_SAID[name]: value for name, value in entry.items() if name in _SAID}
    document = release(plugin_id, entry["version"], **members) if members else None
    problem = VerificationError(entry["problem"]) if "problem" in entry else None
    standing = standing_of(row, document, [block(plugin_id, **b) for b in blocks])
    return VersionInfo(row, document, standing, problem)


class Tables:
    """A catalogue out of tables: registry, plugin, versions. Notes what is asked of it."""

    def __init__(self, registries: Mapping[str, Mapping[str, Sequence[VersionInfo]]]) -> None:
        self.registries = registries
        self.fetched: list[list[tuple[str, str]]] = []
        self.asked: list[tuple[str, str]] = []

    def prefetch(self, wanted: Collection[tuple[str, str]]) -> None:
        """Note it."""
        self.fetched.append(sorted(wanted))

    def versions(self, registry: str, plugin_id: str) -> Sequence[VersionInfo]:
        """The versions in the tables."""
        self.asked.append((registry, plugin_id))
        try:
            return self.registries[registry][plugin_id]
        except KeyError as e:
            raise NotFoundError(f"{plugin_id}: registry {registry} does not have it") from e


def locked(plugin_id: str, version: str, **more: Any) -> LockedPlugin:
    """A lock's entry, with the payload digest that `rows` gives the version."""
    document = {
        "id": plugin_id,
        "version": version,
        "source": {"kind": "registry", "registry": "main"},
        "payloadDigest": payload_digest(plugin_id, version),
        "publisher": "acme",
        **more,
    }
    return LockedPlugin.model_validate(document)


def other_digest() -> Digest:
    """A payload digest that no version has."""
    return Digest.of(b"something else")
