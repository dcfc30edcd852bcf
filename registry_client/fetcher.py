"""The port to the network: what reaches a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.deadline import Deadline
    from registry_client.http import Body, Usage


class Fetcher(Protocol):
    """Reaches a host; `registry_client.http.Transport` is the one for the network."""

    usage: Usage

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:
        """A small body, bounded."""

    def get_into(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        limit: int,
        deadline: Deadline,
        offset: int = 0,
        begin: Callable[[int], object] | None = None,
    ) -> None:
        """A large body, piece by piece; from `offset` on, if `begin` is told so before the first piece."""
