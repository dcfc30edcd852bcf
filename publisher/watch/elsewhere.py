"""What a registry refers to elsewhere: artifacts that other hosts serve, and links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.authority import load_authority
from publisher.registrar.state import load_state
from publisher.watch.artifacts import artifact_findings, check_artifacts, marks_of, unreachable_findings
from publisher.watch.links import check_links, newest_releases
from publisher.watch.probe import PAUSES, resolvable
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publisher.registrar.quarantine import Mark
    from publisher.tree import Tree
    from publisher.watch.findings import Finding
    from registry_client.http import Transport


@dataclass(frozen=True)
class Elsewhere:
    """What was found elsewhere.

    Attributes:
        watched: what changed or vanished: people are told, even where it is only a warning.
        other: what could not be looked at.
        marks: versions to quarantine.
        looked: whether it was looked at all: not without a verified index.
    """

    watched: tuple[Finding, ...] = ()
    other: tuple[Finding, ...] = ()
    marks: tuple[Mark, ...] = ()
    looked: bool = True


@dataclass(frozen=True)
class Wanted:
    """What to look at.

    Attributes:
        artifacts: whether to fetch artifacts.
        links: whether to follow links.
        base_url: where files are that the tree does not hold; empty if it holds them all.
    """

    artifacts: bool
    links: bool
    base_url: str = ""


def look_elsewhere(
    tree: Tree,
    pinned_root: bytes,
    transport: Transport,
    wanted: Wanted,
    *,
    allow_dev_keys: bool = False,
    pauses: Sequence[float] = PAUSES,
) -> Elsewhere:
    """Fetch artifacts again, and follow links, of the versions that hosts can be given.

    Args:
        tree: the registry.
        pinned_root: the root of trust.
        transport: reaches hosts; sends no credentials.
        wanted: what to look at.
        allow_dev_keys: accept development keys.
        pauses: seconds between attempts.
    """
    try:
        authority = load_authority(tree, pinned_root, allow_dev_keys=allow_dev_keys)
        state = load_state(tree, authority, full=True)
    except RegistryError:
        return Elsewhere(looked=False)  # the audit says what is wrong; nothing that is not signed is followed
    if not state.verified:
        return Elsewhere(looked=False)
    versions = list(resolvable(tree, state, authority))
    checked = check_artifacts(versions, transport, pauses) if wanted.artifacts else []
    manifests = list(newest_releases(state, authority, versions)) if wanted.links else []
    dead, silent = check_links(manifests, tree, wanted.base_url, transport, pauses)
    return Elsewhere(
        (*artifact_findings(checked), *dead),
        (*unreachable_findings(checked), *silent),
        tuple(marks_of(checked)),
    )


__all__ = ["Elsewhere", "Wanted", "look_elsewhere"]
