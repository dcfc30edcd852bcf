"""What a status means for the catalogue, for resolving, and for what is locked already.

The effective status is the most restrictive of what the publisher's release, a block and the registrar's
quarantine say. The registrar may only restrict.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from registry_client.models.blocks import Block, BlockAction
from registry_client.models.release import Release, ReleaseStatus
from registry_client.names import in_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry_client.digest import Digest
    from registry_client.models.index import IndexLine


class Status(StrEnum):
    """Effective statuses, from the least to the most restrictive."""

    RELEASED = "released"
    DEPRECATED = "deprecated"
    STAGED = "staged"
    TESTING = "testing"
    DRAFT = "draft"
    YANKED = "yanked"
    QUARANTINED = "quarantined"
    HIDDEN = "hidden"
    REMOVED = "removed"
    DISABLED = "disabled"
    UNINSTALLED = "uninstalled"


class Use(Enum):
    """What a host may do with a version in one situation."""

    YES = "yes"
    ROLLOUT = "by rollout"
    CHANNEL = "on the testing channel"
    LAST = "if nothing else fits, with a warning"
    WARN = "with a warning"
    NO = "no"


@dataclass(frozen=True)
class Meaning:
    """One row of the status table (docs/reference.md)."""

    catalogue: Use
    by_range: Use
    exact: Use
    locked: Use


_GONE = Meaning(Use.NO, Use.NO, Use.NO, Use.WARN)
_REFUSED = Meaning(Use.NO, Use.NO, Use.NO, Use.NO)
MEANING: dict[Status, Meaning] = {
    Status.RELEASED: Meaning(Use.YES, Use.ROLLOUT, Use.YES, Use.YES),
    Status.DEPRECATED: Meaning(Use.WARN, Use.LAST, Use.WARN, Use.WARN),
    Status.STAGED: Meaning(Use.NO, Use.NO, Use.YES, Use.YES),
    Status.TESTING: Meaning(Use.NO, Use.CHANNEL, Use.YES, Use.YES),
    Status.DRAFT: _GONE,
    Status.YANKED: _GONE,
    Status.QUARANTINED: _GONE,
    Status.HIDDEN: _GONE,
    Status.REMOVED: _GONE,
    Status.DISABLED: _REFUSED,
    Status.UNINSTALLED: _REFUSED,
}
_RANK = {status: rank for rank, status in enumerate(Status)}
_BLOCKED = {
    BlockAction.HIDE: Status.HIDDEN,
    BlockAction.DISABLE: Status.DISABLED,
    BlockAction.UNINSTALL: Status.UNINSTALLED,
}


@dataclass(frozen=True)
class Standing:
    """How one version stands now.

    Attributes:
        status: the effective status.
        reason: why, where someone gave a reason.
        rollout: per cent of installations that are offered it.
        push: whether it is offered as an update to existing installations.
        force_update: whether hosts should apply it without asking.
    """

    status: Status
    reason: str = ""
    rollout: int = 100
    push: bool = True
    force_update: bool = False

    @property
    def meaning(self) -> Meaning:
        """The row of the status table."""
        return MEANING[self.status]

    @property
    def advertised(self) -> bool:
        """Whether the catalogue shows it: released to everyone, as an update too."""
        return self.status is Status.RELEASED and self.push and self.rollout == 100  # noqa: PLR2004  (per cent)


def blocks_of(
    blocks: Iterable[Block], plugin_id: str, version: str, payload_digest: Digest | None
) -> list[Block]:
    """The blocks that hold this version, by range (prereleases count) or by payload digest."""
    return [
        block
        for block in blocks
        if block.id == plugin_id
        and (in_range(version, block.versions, prereleases=True) or payload_digest in block.digests)
    ]


def standing_of(line: IndexLine, release: Release | None, blocks: Iterable[Block]) -> Standing:
    """The effective standing of a version out of its index line, its verified release and the blocks."""
    said = ReleaseStatus(line.initial_status) if release is None else release.status
    found = [(Status(said.value), (release.reason or "") if release else "")]
    if line.quarantined is not None:
        found.append((Status.QUARANTINED, line.quarantined.reason))
    if line.removed is not None:
        found.append((Status.REMOVED, line.removed))
    matching = blocks_of(blocks, line.id, line.version, line.manifest.payload_digest)
    found += [(_BLOCKED[block.action], block.reason) for block in matching]
    status, reason = max(found, key=lambda item: _RANK[item[0]])
    if release is None:
        return Standing(status, reason)
    return Standing(status, reason, release.rollout, release.push, release.force_update)


def rank(status: Status) -> int:
    """How restrictive a status is; higher restricts more."""
    return _RANK[status]
