"""What publish, set-status and yank share: the options of a release, how an offer is delivered, and what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.cli import env
from publisher.cli.common import note, output
from publisher.delivery import Delivery, Way
from registry_client.errors import ConfigError
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from publisher.offer import Destination, Offer, Submitted

StatusOption = Annotated[ReleaseStatus | None, typer.Option("--status", help="How it may be used.")]
RolloutOption = Annotated[
    int | None,
    typer.Option(
        "--rollout", metavar="PERCENT", min=0, max=100, help="Share of installations that get it; 0 stops it."
    ),
]
PushOption = Annotated[
    bool | None,
    typer.Option(
        "--push/--no-push", help="Offer it as an update to existing installations, or to new ones only."
    ),
]
ForceOption = Annotated[
    bool | None,
    typer.Option("--force-update/--no-force-update", help="Hosts should apply it without asking."),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed for deprecated and yanked.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Do everything but write or push.")]
PullRequestOption = Annotated[
    bool,
    typer.Option(
        "--pull-request", help="Propose it on GitHub; a maintainer merges. Run again: it is updated."
    ),
]
ImportOption = Annotated[
    bool,
    typer.Option(
        "--import",
        help="Put it on a release of the plugin's own repository, which the registry polls: needs no token for it.",
    ),
]
TagOption = Annotated[
    str | None,
    typer.Option(
        "--tag", metavar="TAG", help="That release; default: the tag that the job runs for, else v<version>."
    ),
]
WaitOption = Annotated[
    int | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=1,
        max=86_400,
        help="Wait for the registrar's answer, at most this long.",
    ),
]


@dataclass(frozen=True)
class Sent:
    """What became of an offer."""

    result: str
    place: str | None = None
    url: str | None = None
    note: str = ""


def delivery_of(
    to: str, branch: str, pull_request: bool, import_: bool, tag: str | None, version: str
) -> Delivery:
    """How it goes.

    Raises:
        ConfigError: in two ways at once.
    """
    if pull_request and import_:
        raise ConfigError("--pull-request and --import exclude each other")
    way = Way.PULL_REQUEST if pull_request else Way.IMPORT if import_ else Way.BRANCH
    return Delivery(to, branch, way, env.environ(), tag or env.tag() or f"v{version}")


def send(
    destination: Destination,
    offer: Offer | None,
    now: datetime,
    wait: int | None,
    *,
    dry_run: bool,
    on_offered: Callable[[Sent], None] | None = None,
) -> Sent:
    """Submit an offer, tell the registrar, and wait for its answer if that is wanted.

    Args:
        destination: the registry.
        offer: None if there is nothing to do.
        now: the time, UTC.
        wait: for how many seconds to wait; None for not at all.
        dry_run: submit nothing.
        on_offered: called once it is offered, before anybody waits: that stays so, however the waiting ends.

    Raises:
        PublishError: it could not be offered, was refused, or nobody answered in time.
    """
    if offer is None:
        return Sent("unchanged")
    if dry_run:
        return Sent("dry run")
    submitted = destination.submit(offer, now)
    warning = destination.notify(offer, submitted)
    if warning:
        output().warn(warning)
    sent = Sent("offered", submitted.place, submitted.url, submitted.note)
    if on_offered is not None:
        on_offered(sent)
    if wait is None:
        return sent
    _wait(destination, offer, submitted, wait)
    return Sent("registered", submitted.place, submitted.url)


def _wait(destination: Destination, offer: Offer, submitted: Submitted, seconds: int) -> None:
    from publisher.waiting import wait_for

    note(f"waiting for the registrar, at most {seconds} seconds")
    wait_for(destination, offer, submitted, seconds=seconds, sleep=time.sleep, clock=time.monotonic)
