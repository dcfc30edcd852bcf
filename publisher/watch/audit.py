"""`publisher registry audit`: everything that is wrong with a registry, without changing it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import LengthOrHashMismatchError

from publisher.authority import Authority, load_authority
from publisher.check import check_manifest
from publisher.registrar.gate import check_candidate
from publisher.registrar.plan import Inputs, run_plan
from publisher.registrar.run import no_recovery
from publisher.registrar.state import load_state
from publisher.registrar.submission import ARTIFACT_PATH
from publisher.registrar.write import build_targets
from publisher.schemas import build_schemas
from publisher.tree import Overlay
from publisher.tuf_repository import STAGING, is_complete, latest_version, metadata_path, read_metadata
from publisher.watch.findings import Finding, Level, Report
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.layout import served_path
from registry_client.names import check_plugin_id, check_version, container_name
from registry_client.signed import parse_manifest
from registry_client.trust import ROLES, role_info

if TYPE_CHECKING:
    from datetime import datetime

    from publisher.registrar.state import State
    from publisher.tree import Tree

_KNOWN_METADATA = re.compile(
    r"metadata/(timestamp|[1-9][0-9]{0,18}\.(root|targets|blocks|registrar|snapshot))\.json"
)
_NAMES_TARGETS = re.compile(rf"(metadata|{STAGING})/([1-9][0-9]{{0,18}})\.(targets|blocks|registrar)\.json")
_PLUGIN_FILE = re.compile(
    r"plugins/([^/]+)/([^/]+)/(manifest(\.[0-9a-f]{12})?|release)\.json|plugins/([^/]+)\.json"
)
_SOON = {"root": 60, "targets": 60, "blocks": 60, "registrar": 5, "snapshot": 5, "timestamp": 2}


def audit(
    tree: Tree, pinned_root: bytes, now: datetime, *, allow_dev_keys: bool, complete: bool = True
) -> Report:
    """Check every document, digest, signature, path and expiry.

    Args:
        tree: the registry.
        pinned_root: the root of trust.
        now: the time, UTC.
        allow_dev_keys: accept development keys.
        complete: whether the tree can list all its files, so that stray ones can be named.
    """
    findings: list[Finding] = []
    overlay = Overlay(tree)
    try:
        authority = load_authority(tree, pinned_root, allow_dev_keys=allow_dev_keys)
        state = load_state(tree, authority, full=True)
        if not state.verified:
            findings.append(_error("metadata", "the index is not signed by the registrar's present key"))
        findings += _chain(tree, authority)
        findings += _expiries(tree, now)
    except RegistryError as e:
        return Report((_error("metadata", e.message, e.hint),))
    findings += _copies(tree, authority)
    findings += _rows(tree, state)
    findings += _artifacts(tree, state)
    findings += _derived(overlay, authority, state, now)
    findings += _names(state)
    if complete:
        findings += _strays(tree, authority, state)
        findings += _schemas(tree)
    try:
        check_candidate(Overlay(tree), pinned_root, state.rows, now, allow_dev_keys=allow_dev_keys)
    except RegistryError as e:
        findings.append(
            _error(".", e.message.replace("new index, so nothing was written", "registry"), e.hint)
        )
    versions = sum(map(len, state.rows.values()))
    return Report(tuple(dict.fromkeys(findings)), len(state.rows), versions)


def _error(path: str, message: str, hint: str = "") -> Finding:
    return Finding(Level.ERROR, path, message, hint)


def _chain(tree: Tree, authority: Authority) -> list[Finding]:
    """Timestamp and snapshot: signed by the present key, each naming what stands below it."""
    found = []
    version = latest_version(tree, "snapshot")
    timestamp, snapshot = read_metadata(tree, "timestamp", 0), read_metadata(tree, "snapshot", version)
    for role, metadata in (("timestamp", timestamp), ("snapshot", snapshot)):
        path = metadata_path(role, version)
        if not is_complete(role, metadata, [authority.root]):
            found.append(
                _error(path, "is not signed by the present online key", "publisher registry register")
            )
    named = {"snapshot.json": timestamp.signed.snapshot_meta, **snapshot.signed.meta}
    for name, meta in named.items():
        path = f"metadata/{meta.version}.{name}"
        try:
            meta.verify_length_and_hashes(tree.read(path) or b"")
        except LengthOrHashMismatchError:
            what = "is missing" if tree.read(path) is None else "was changed"
            found.append(
                _error(path, f"{what}, but the metadata above names it", "Restore it from Git history.")
            )
        if latest_version(tree, name.removesuffix(".json")) > meta.version:
            newer = metadata_path(
                name.removesuffix(".json"), latest_version(tree, name.removesuffix(".json"))
            )
            found.append(
                Finding(
                    Level.WARNING, newer, "has not been brought to hosts yet", "publisher registry register"
                )
            )
    return found


def _copies(tree: Tree, authority: Authority) -> list[Finding]:
    """The hash-named copies of the maintainers' documents, which are what hosts fetch."""
    served = {path: served_path(path, Digest.of(data)) for path, data in authority.documents.items()}
    return [
        _error(copy, f"missing: hosts read {path} there", "publisher registry register")
        for path, copy in served.items()
        if tree.read(copy) is None
    ]


def _expiries(tree: Tree, now: datetime) -> list[Finding]:
    found = []
    for role in ROLES:
        version = latest_version(tree, role)
        info = role_info(role, read_metadata(tree, role, version).signed.to_dict())
        path = "metadata/timestamp.json" if role == "timestamp" else f"metadata/{version}.{role}.json"
        left = info.expires - now
        hint = "publisher registry renew"
        if left <= timedelta(0):
            found.append(_error(path, f"expired on {info.expires:%Y-%m-%d %H:%M} UTC", hint))
        elif left < timedelta(days=_SOON[role]):
            found.append(Finding(Level.WARNING, path, f"expires in {left.days} days", hint))
    return found


def _rows(tree: Tree, state: State) -> list[Finding]:
    """Each version's manifest: there, of the signed digest, valid, and as the index states it."""
    found = []
    for row in state.all_rows():
        data = tree.read(row.path)
        if "removed" in row.raw:
            found.append(Finding(Level.WARNING, row.path, f"removed: {row.raw['removed']}"))
            continue
        if data is None or Digest.of(data) != row.digest:
            what = "is missing" if data is None else "was changed after publishing"
            found.append(
                _error(row.path, what, "'publisher registry register' restores it from Git history.")
            )
            continue
        try:
            document = parse_manifest(data, row.path)
            problems = check_manifest(document.raw, row.path, signed=True)
            found += [_error(row.path, str(problem)) for problem in problems]
            found += _misstated(row.raw, document.raw, row.path)
        except RegistryError as e:
            found.append(_error(row.path, e.message, e.hint))
        if "quarantined" in row.raw:
            found.append(Finding(Level.WARNING, row.path, f"quarantined: {row.raw['quarantined']['reason']}"))
    return found


def _misstated(row: dict[str, Any], manifest: dict[str, Any], path: str) -> list[Finding]:
    names = ("id", "version", "initialStatus", "requires")
    return [_error(path, f"the index states another {n}") for n in names if row.get(n) != manifest.get(n)]


def _artifacts(tree: Tree, state: State) -> list[Finding]:
    """Artifacts kept in the registry: there, of the signed digest and size."""
    found = []
    for row in state.all_rows():
        data = tree.read(row.path)
        if data is None or Digest.of(data) != row.digest:
            continue
        for item in json.loads(data).get("artifacts", ()):
            if ":" in item["url"]:
                continue
            held = tree.read(item["url"])
            if held is None:
                found.append(_error(item["url"], f"missing, but {row.path} names it"))
            elif Digest.of(held) != item["digest"] or len(held) != item["size"]:
                found.append(_error(item["url"], f"was changed: not what {row.path} signs"))
    return found


def _derived(overlay: Overlay, authority: Authority, state: State, now: datetime) -> list[Finding]:
    """What the registrar would write: any difference is an error, since all of it follows from signed documents."""
    found = []
    try:
        plan = run_plan(Inputs(overlay, authority, now, no_recovery, allow_loss=10**9), state, ())
        found += [
            _error(o.submission.source, o.error.message, o.error.hint)
            for o in plan.outcomes
            if o.error is not None
        ]
        targets = build_targets(overlay, state, authority, now)
    except RegistryError as e:
        return [_error(".", e.message, e.hint)]
    for path, data in targets.items():
        copy = served_path(path, Digest.of(data))
        if overlay.read(copy) is None:
            found.append(
                _error(path, "is not what follows from the signed documents", "publisher registry register")
            )
    reported = {finding.path for finding in found}
    found += [
        _error(path, "differs from what the registrar writes", "publisher registry register")
        for path in sorted(overlay.changes)
        if path not in reported
    ]
    return found


def _names(state: State) -> list[Finding]:
    found = []
    containers: dict[str, str] = {}
    for plugin_id, versions in state.rows.items():
        try:
            check_plugin_id(plugin_id)
            for version in versions:
                check_version(version)
        except ValueError as e:
            found.append(_error(f"plugins/{plugin_id}", str(e)))
        other = containers.setdefault(container_name(plugin_id), plugin_id)
        if other != plugin_id:
            found.append(_error(f"plugins/{plugin_id}", f"is {other!r} after removing '-' and '_'"))
    return found


def _strays(tree: Tree, authority: Authority, state: State) -> list[Finding]:
    """Files that nothing signed refers to."""
    named = set(authority.documents)
    wanted = _referred_artifacts(tree, state)
    found = [
        _error(p, "is not a metadata file")
        for p in tree.paths("metadata")
        if not _KNOWN_METADATA.fullmatch(p)
    ]
    found += [_error(p, "no signed metadata names it") for p in tree.paths("publishers") if p not in named]
    for path in tree.paths("plugins"):
        match = _PLUGIN_FILE.fullmatch(path)
        if match is None or (match[1] and state.get(match[1], match[2]) is None):
            found.append(_error(path, "belongs to no published version", "Register it, or remove it."))
    for path in tree.paths("artifacts"):
        if path not in wanted or not ARTIFACT_PATH.fullmatch(path):
            found.append(Finding(Level.WARNING, path, "no published version names it"))
    held, unreadable = _held_targets(tree)
    found += unreadable
    found += [
        Finding(Level.WARNING, p, "no kept metadata names it") for p in tree.paths("targets") if p not in held
    ]
    return found


def _referred_artifacts(tree: Tree, state: State) -> set[str]:
    wanted = set()
    for row in state.all_rows():
        try:
            wanted |= {
                str(item["url"]) for item in json.loads(tree.read(row.path) or b"{}").get("artifacts", ())
            }
        except ValueError:
            continue
    return wanted


def _held_targets(tree: Tree) -> tuple[set[str], list[Finding]]:
    """What metadata names, and the files that should be metadata and are not."""
    held, found = set(), []
    for folder in ("metadata", STAGING):
        for path in tree.paths(folder):
            match = _NAMES_TARGETS.fullmatch(path)
            if match is None:
                continue
            try:
                signed = read_metadata(tree, match[3], int(match[2]), match[1]).signed
            except RegistryError as e:
                found.append(_error(path, e.message.removeprefix(f"{path}: "), "Restore it, or delete it."))
                continue
            held |= {
                served_path(p, Digest.from_hex(info.hashes["sha256"])) for p, info in signed.targets.items()
            }
    return held, found


def _schemas(tree: Tree) -> list[Finding]:
    return [
        _error(f"schema/{name}", "differs from the models", "publisher registry schema")
        for name, data in build_schemas().items()
        if tree.read(f"schema/{name}") != data
    ]


__all__ = ["Finding", "Level", "Report", "audit"]
