"""A large file in several attempts: what is there of it, and what an attempt adds. The digest decides at the end."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry_client.digest import Digest
from registry_client.errors import DigestError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.deadline import Part
    from registry_client.fetcher import Fetcher


@dataclass
class Received:
    """What a caller of `Hosts.download` has of a file: all that its `sink` took since `restart` was last called.

    Attributes:
        size: bytes.
        sha256: their running digest.
    """

    size: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    def take(self, chunk: bytes) -> None:
        """Count and digest a further piece."""
        self.size += len(chunk)
        self.sha256.update(chunk)

    def forget(self) -> None:
        """Nothing any more."""
        self.size, self.sha256 = 0, hashlib.sha256()


class Download:
    """The attempts at one file, one after the other.

    What an attempt that was given up still brings is let fall: the next one has begun.

    Args:
        transport: reaches a host.
        digest: what the file must be.
        size: its bytes.
        sink: takes the pieces in order.
        restart: forgets what `sink` took.
        received: what `sink` took already, kept up to date.
    """

    def __init__(
        self,
        transport: Fetcher,
        *,
        digest: Digest,
        size: int,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
        received: Received,
    ) -> None:
        self._transport = transport
        self._digest = digest
        self._size = size
        self._sink = sink
        self._restart = restart
        self._received = received
        self._lock = threading.Lock()
        self._attempts = 0

    def whole(self, url: str, part: Part) -> None:
        """The file from its first byte.

        Args:
            url: where it is.
            part: until when this attempt may go on.

        Raises:
            FetchError: it could not be fetched in full. DigestError: not the signed bytes.
        """
        take = self._begin()
        self._forget()
        self._transport.get_into(url, take, limit=self._size, deadline=part)
        self._check(url)

    def rest(self, url: str, part: Part) -> None:
        """The file from where it broke off; the whole where there is nothing yet, or the two do not make the signed bytes.

        Arguments and errors are those of `whole`.
        """
        take = self._begin()
        if not 0 < self._received.size <= self._size:
            self.whole(url, part)
            return
        begun: list[int] = []
        try:
            if self._received.size < self._size:
                self._continue(url, take, part, begun)
            self._check(url)
        except (DigestError, TooLargeError):
            if begun == [0]:  # the host has just sent all of it
                raise
            self.whole(url, part)

    def _continue(self, url: str, take: Callable[[bytes], None], part: Part, begun: list[int]) -> None:
        attempt = self._attempts

        def begin(offset: int) -> None:
            with self._lock:
                if attempt == self._attempts:
                    begun.append(offset)
                    if offset != self._received.size:
                        self._forget()

        self._transport.get_into(
            url, take, limit=self._size, deadline=part, offset=self._received.size, begin=begin
        )

    def _begin(self) -> Callable[[bytes], None]:
        """What takes the pieces of a further attempt, and of no other."""
        with self._lock:
            self._attempts += 1
            attempt = self._attempts

        def take(chunk: bytes) -> None:
            with self._lock:
                if attempt == self._attempts:
                    self._sink(chunk)
                    self._received.take(chunk)

        return take

    def _forget(self) -> None:
        self._restart()
        self._received.forget()

    def _check(self, url: str) -> None:
        """Raise DigestError for other than the signed bytes, of which nothing is kept then."""
        found, received = Digest.from_hex(self._received.sha256.hexdigest()), self._received.size
        if received == self._size and found == self._digest:
            return
        self._forget()
        what = (
            f"{received} bytes, but the signed size is {self._size}"
            if received != self._size
            else f"digest {found}, signed {self._digest}"
        )
        raise DigestError(
            f"{url}: {what}", hint="The file was changed or replaced after publishing; tell its publisher."
        )
