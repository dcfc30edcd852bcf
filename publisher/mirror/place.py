"""What a place that holds a mirror must be able to do: the port that `folder.py` and `object_store.py` fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from registry_client.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from publisher.mirror.kinds import Kind
    from registry_client.digest import Digest

OWN = ".mirror"
"""The folder of what runs remember. It begins with a dot, so that what publishes a folder leaves it out."""
STATE = f"{OWN}/state.json.gz"
LEASE = f"{OWN}/lease.json"


def say_nothing() -> None:
    """For runs of which nobody needs to know that they wait."""


class Tag(NamedTuple):
    """Which bytes stand at a path, in the place's own terms: two equal tags, the same bytes.

    Attributes:
        e_tag: the HTTP entity tag (RFC 9110, 8.8.3); of a folder, the digest.
        version: a further mark, where the store needs it for conditional writes (Google's generation).
    """

    e_tag: str | None
    version: str | None = None


class ConflictError(PublishError):
    """A conditional write was refused: other bytes stand there than were seen."""


class Hold(Protocol):
    """The right to write, for as long as it is kept."""

    def keep(self, *, now: bool = False) -> None:
        """To be called every few seconds, and before each batch of writes; by any thread.

        Args:
            now: make sure, however short ago that was done.

        Raises:
            PublishError: the right was lost: another run writes now.
        """


class Place(Protocol):
    """Holds a mirror."""

    name: str
    """For messages; holds no secret."""

    def exclusive(self, version: int) -> AbstractContextManager[Hold]:
        """Be the only run that writes.

        Args:
            version: the timestamp's version of what will be written.

        Raises:
            PublishError: another run writes, and does not end.
            ConfigError: a run of a later state has begun before; conditional writes are not to be had.
        """

    def empty(self) -> bool:
        """Whether there is nothing but what runs remember."""

    def list(self) -> dict[str, Tag]:
        """Every file that is there, at the least those that a run may change."""

    def digest(self, tag: Tag) -> Digest | None:
        """The digest that a tag itself gives; None where it takes reading to know."""

    def read(self, path: str, limit: int) -> tuple[bytes, Tag] | None:
        """The bytes of a file and their tag; None if it is missing.

        Raises:
            PublishError: it cannot be read, or has more bytes than the limit.
        """

    def put(self, path: str, data: bytes, kind: Kind, seen: Tag | None) -> Tag:
        """Write a file, all of it or nothing.

        Args:
            path: where.
            data: its bytes.
            kind: what is said of it.
            seen: what must stand there now; None for nothing.

        Raises:
            ConflictError: something else stands there. PublishError: it cannot be written.
        """

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; those that are gone already count as done."""
