"""What the registrar decides from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from publisher.registrar.quarantine import NO_ORDERS, Orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from publisher.authority import Authority
    from publisher.tree import Overlay
    from registry_client.digest import Digest


class Verdict(NamedTuple):
    """Whether a version's documents verify.

    Attributes:
        reason: why they do not; empty if they do.
        publisher: whose keys they verify with; empty if they do not.
        artifacts: path and digest of those that its verified manifest keeps in the registry.
    """

    reason: str
    publisher: str
    artifacts: tuple[tuple[str, Digest], ...] = ()


@dataclass(frozen=True)
class Inputs:
    """What the registrar decides from.

    Attributes:
        tree: main, with the changes of this run on top.
        authority: the maintainers' statements.
        now: the time, UTC.
        recover: finds lost bytes by path and digest, in Git history say; None where they are not to be had.
        allow_loss: how many versions may become unusable in this run; None for max(1, 5 %).
        orders: versions to quarantine, and quarantines to lift.
        jobs: how many processes verify; 0 for one on each core.
        known: verdicts that are known already, by the text of the index line.
    """

    tree: Overlay
    authority: Authority
    now: datetime
    recover: Callable[[str, Digest], bytes | None]
    allow_loss: int | None = None
    orders: Orders = NO_ORDERS
    jobs: int = 1
    known: Mapping[str, Verdict] = field(default_factory=dict)
