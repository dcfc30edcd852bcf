"""Raw hosting of a Git branch on a virtual clock.

Each path is cached by itself for five minutes, in several caches that know nothing of each other; what was absent stays
absent just as long.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from registry_client.errors import NotFetchedError, TooLargeError
from registry_client.http import Body, Deadline, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

URL = "https://raw.example/acme/registry/main"
CACHES = 4
CACHED_FOR = timedelta(seconds=300)


@dataclass
class Clock:
    """The time, which stands still until it is moved."""

    now: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time, UTC."""
        return self.now


@dataclass
class RawHost:
    """Caches before an origin.

    Attributes:
        origin: gives the bytes that stand under a path now, or None.
        clock: the time.
        asked: how often the origin was asked.
    """

    origin: Callable[[str], bytes | None]
    clock: Clock
    asked: int = 0
    _caches: list[dict[str, tuple[datetime, bytes | None]]] = field(
        default_factory=lambda: [{} for _ in range(CACHES)]
    )

    def read(self, cache: int, path: str) -> bytes | None:
        """What a cache answers: what the origin had when it last asked, for as long as it keeps that."""
        known = self._caches[cache].get(path)
        if known is None or self.clock.now - known[0] >= CACHED_FOR:
            self.asked += 1
            known = self.clock.now, self.origin(path)
            self._caches[cache][path] = known
        return known[1]


class RawTransport:
    """Reaches a raw host; each request comes to a cache picked at random.

    Args:
        host: the host.
        pick: picks caches.
    """

    def __init__(self, host: RawHost, pick: Random) -> None:
        self._host = host
        self._pick = pick
        self.usage = Usage()

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:  # noqa: ARG002
        """The bytes at a URL, if they are not those with this entity tag."""
        self.usage.requests += 1
        path = url.removeprefix(f"{URL}/")
        data = self._host.read(self._pick.randrange(CACHES), path)
        if data is None:
            raise NotFetchedError(f"{url}: HTTP 404", status=404)
        if len(data) > limit:
            raise TooLargeError(f"{url}: longer than {limit} bytes")
        tag = f'W/"{hashlib.sha256(data).hexdigest()}"'
        if etag == tag:
            return Body(b"", tag, not_modified=True)
        self.usage.bytes += len(data)
        return Body(data, tag)

    def get_into(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        limit: int,
        deadline: Deadline,
        offset: int = 0,  # noqa: ARG002
        begin: Callable[[int], object] | None = None,
    ) -> None:
        """The bytes at a URL, always all of them, into `sink`."""
        if begin is not None:
            begin(0)
        sink(self.get(url, limit=limit, deadline=deadline).data)
