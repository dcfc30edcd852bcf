"""`publisher registry audit`: everything that is wrong with a registry, without changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.authority import load_authority
from publisher.registrar.gate import check_candidate
from publisher.registrar.state import load_state
from publisher.tree import Overlay
from publisher.watch.chain import chain, copies, expiries
from publisher.watch.derived import derived
from publisher.watch.findings import Finding, Level, Report, error
from publisher.watch.strays import names, schemas, strays
from publisher.watch.versions import examine_versions
from registry_client.errors import RegistryError
from registry_client.shards import bits_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from publisher.tree import Tree

_SAMPLED_BITS = 5


def audit(
    tree: Tree,
    pinned_root: bytes,
    now: datetime,
    *,
    allow_dev_keys: bool,
    complete: bool = True,
    jobs: int = 1,
    schema: bool = True,
) -> Report:
    """Check every document, digest, signature, path and expiry.

    Args:
        tree: the registry.
        pinned_root: the root of trust.
        now: the time, UTC.
        allow_dev_keys: accept development keys.
        complete: whether the tree can list all its files, so that stray ones can be named.
        jobs: how many processes verify manifests; 0 for one on each core. Programs that start some are importable without side effects.
        schema: whether manifests are held against the JSON Schema, which finds members that no model knows and takes most of the time.

    Raises:
        ConfigError: the tree cannot be read, or a process was ended from outside.
    """
    findings: list[Finding] = []
    overlay = Overlay(tree)
    try:
        authority = load_authority(tree, pinned_root, allow_dev_keys=allow_dev_keys)
        state = load_state(tree, authority, full=True)
        if not state.verified:
            findings.append(error("metadata", "the index is not signed by the registrar's present key"))
        findings += chain(overlay, authority)
        findings += expiries(overlay, now)
    except RegistryError as e:
        return Report((error("metadata", e.message, e.hint),))
    totals, sample = state.totals, _sample(state.rows)
    findings += copies(overlay, authority)
    versions = examine_versions(overlay, state, authority, jobs=jobs, schemas=schema)
    findings += versions.findings
    findings += names(state)
    if complete:
        findings += strays(overlay, authority, state, versions.artifacts)
        findings += schemas(overlay)
    # Last, since it changes rows in memory to what they should be.
    findings += derived(overlay, authority, state, now, versions.known)
    ids = sample | versions.unproven
    try:
        check_candidate(Overlay(tree), pinned_root, ids, now, allow_dev_keys=allow_dev_keys)
    except RegistryError as e:
        what = e.message.replace("new index, so nothing was written", "registry")
        findings.append(error(".", what, e.hint))
    return Report(tuple(dict.fromkeys(findings)), totals.plugins, totals.versions)


def _sample(ids: Iterable[str]) -> set[str]:
    """Some plugins from all over the index, always the same: the real client reads these."""
    return set({bits_of(plugin_id, _SAMPLED_BITS): plugin_id for plugin_id in sorted(ids)}.values())


__all__ = ["Finding", "Level", "Report", "audit"]
