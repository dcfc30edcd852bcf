"""Waiting for the registrar: until it has taken an offer, or refused it, or the time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registry_client.errors import GitError, GitHubError, PublishError, RegistryError
from registry_client.layout import plugin_folders
from registry_client.signed import parse_manifest, parse_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from publisher.offer import Destination, Offer, Submitted, Verdict
    from publisher.tree import Tree

_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 15.0
_GROWTH: Final = 1.5
_UNAUTHORISED: Final = 401


def wait_for(
    destination: Destination,
    offer: Offer,
    submitted: Submitted,
    *,
    seconds: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    on_wait: Callable[[float], None] | None = None,
) -> Verdict:
    """Ask again and again, after 2 seconds at first and every 15 in the end, what became of an offer.

    Args:
        destination: where it was submitted.
        offer: what was.
        submitted: where it stands.
        seconds: for how long.
        sleep: lets seconds pass.
        clock: seconds, from any beginning.
        on_wait: told before each pause how many seconds have passed.

    Returns:
        The verdict: accepted.

    Raises:
        PublishError: the registrar refused it, or nothing is known of it yet. ConfigError: there is nothing to wait for.
        GitHubError: the token is not valid (any more).
    """
    start = clock()
    pause = _FIRST_PAUSE
    trouble: RegistryError | None = None
    while True:
        try:
            verdict, trouble = destination.outcome(offer, submitted), None
        except (GitError, GitHubError) as e:  # it may be over the next time
            if isinstance(e, GitHubError) and e.status == _UNAUTHORISED:
                raise
            verdict, trouble = None, e
        if verdict is not None:
            return _accepted(verdict, offer)
        left = start + seconds - clock()
        if left <= 0:
            raise _pending(offer, submitted, seconds, trouble)
        if on_wait is not None:
            on_wait(clock() - start)
        sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def landed(tree: Tree, offer: Offer) -> bool:
    """Whether a registry's main branch holds what an offer offers, or a later release of it."""
    return any(
        all(
            _has(tree, f"{folder}/{offer.version}/{name}", offer.files[name], offer.digest_hex)
            for name in ("manifest.json", "release.json")
            if name in offer.files
        )
        for folder in plugin_folders(offer.id)
    )


def _has(tree: Tree, path: str, offered: bytes, digest_hex: str) -> bool:
    data = tree.read(path)
    if data is None:
        return False
    try:
        if path.endswith("/manifest.json"):
            return parse_manifest(data, path).payload_digest.hex == digest_hex
        wanted, there = parse_release(offered, "release.json"), parse_release(data, path)
    except RegistryError:  # damaged: the next run of the registrar mends it
        return False
    same = wanted.payload_digest == there.payload_digest
    return same or there.model.revision > wanted.model.revision


def _accepted(verdict: Verdict, offer: Offer) -> Verdict:
    if verdict.accepted:
        return verdict
    raise PublishError(
        f"the registrar refuses {offer.id} {offer.version}: {verdict.message}",
        hint=f"Mend it and publish again; more at {verdict.url}"
        if verdict.url
        else "Mend it and publish again.",
    )


def _pending(
    offer: Offer, submitted: Submitted, seconds: float, trouble: RegistryError | None
) -> PublishError:
    last = f" (the last time it was asked: {trouble})" if trouble is not None else ""
    return PublishError(
        f"{offer.id} {offer.version} is still pending at {submitted.place} after {seconds:g} seconds{last}",
        hint="It is offered, and the registrar takes it on its next run. "
        + (
            f"See {submitted.url}"
            if submitted.url
            else "While that branch is there, it has not been looked at."
        ),
    )
