"""What a publisher offers, what a registry is to its publishers, and what becomes of an offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from publisher.registrar.submission import Submission
    from publisher.tree import Listing


@dataclass(frozen=True)
class Offer:
    """What is to be published.

    Attributes:
        id: the plugin.
        version: the version.
        digest_hex: hex of the payload digest that names the ref.
        files: `manifest.json`, `release.json` and artifacts, by path.
        message: the commit message.
    """

    id: str
    version: str
    digest_hex: str
    files: Mapping[str, bytes]
    message: str

    def placed(self, folder: str) -> dict[str, bytes]:
        """The files by their paths in a registry.

        Args:
            folder: the plugin's.
        """
        place = f"{folder}/{self.version}"
        return {path if "/" in path else f"{place}/{path}": data for path, data in self.files.items()}


@dataclass(frozen=True)
class Submitted:
    """Where an offer stands.

    Attributes:
        place: a branch, a folder, or what else it is called there.
        commit: the commit that holds it, where there is one.
        url: a page about it, where there is one.
        note: what to tell the user where nothing had to be done.
    """

    place: str
    commit: str | None = None
    url: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the registrar made of an offer.

    Attributes:
        accepted: whether the registry has it.
        message: why not, or what became of it.
        url: where to read more; None where there is nothing.
    """

    accepted: bool
    message: str
    url: str | None = None


class Destination(Protocol):
    """A registry as its publishers see it."""

    tree: Listing

    def pending(self, plugin_id: str, version: str) -> Sequence[Submission]:
        """What is offered already for this version, and not yet registered."""

    def submit(self, offer: Offer, now: datetime) -> Submitted:
        """Offer it."""

    def notify(self, offer: Offer, submitted: Submitted) -> str:
        """Tell the registrar. Returns a warning if that failed, else nothing: it looks by itself, only later."""

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:
        """What the registrar made of it; None as long as it has not looked at it.

        Raises:
            ConfigError: there is nothing to wait for.
        """


def taken(offer: Offer, url: str | None = None) -> Verdict:
    """The verdict that the registry has it."""
    return Verdict(accepted=True, message=f"{offer.id} {offer.version} is registered", url=url)


def dropped(offer: Offer, url: str | None = None) -> Verdict:
    """The verdict that it was refused, and nobody said why."""
    message = (
        f"{offer.id} {offer.version} is neither offered nor registered any more; see the registrar's log"
    )
    return Verdict(accepted=False, message=message, url=url)
