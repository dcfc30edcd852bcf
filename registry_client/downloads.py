"""A large file in several attempts: what is there of it, and what an attempt adds. The digest decides at the end."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from registry_client.digest import Digest
from registry_client.errors import DigestError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.deadline import Part
    from registry_client.hosts import Fetcher

_HEADWAY: Final = 64 * 1024
"""Bytes that count as headway: with `hosts.PATIENCE`, the least speed of a host that others can be asked instead of."""


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


@dataclass
class Download:
    """The attempts at one file; `Hosts.download` documents the rest.

    Attributes:
        part: until when the present attempt may go on; told of headway.
    """

    transport: Fetcher
    digest: Digest
    size: int
    sink: Callable[[bytes], object]
    restart: Callable[[], object]
    received: Received
    part: Part
    _unnoticed: int = 0

    def whole(self, url: str) -> None:
        """The file from its first byte."""
        self._forget()
        self.transport.get_into(url, self._take, limit=self.size, deadline=self.part)
        self._check(url)

    def rest(self, url: str) -> None:
        """The file from where it broke off; the whole where there is nothing yet, or the two do not make the signed bytes."""
        if not 0 < self.received.size <= self.size:
            self.whole(url)
            return
        begun: list[int] = []
        try:
            if self.received.size < self.size:
                self._continue(url, begun)
            self._check(url)
        except (DigestError, TooLargeError):
            if begun == [0]:  # the host has just sent all of it
                raise
            self.whole(url)

    def _continue(self, url: str, begun: list[int]) -> None:
        def begin(offset: int) -> None:
            begun.append(offset)
            if offset != self.received.size:
                self._forget()

        self.transport.get_into(
            url, self._take, limit=self.size, deadline=self.part, offset=self.received.size, begin=begin
        )

    def _take(self, chunk: bytes) -> None:
        self.sink(chunk)
        self.received.take(chunk)
        self._unnoticed += len(chunk)
        if self._unnoticed >= _HEADWAY:
            self._unnoticed = 0
            self.part.headway()

    def _forget(self) -> None:
        self.restart()
        self.received.forget()

    def _check(self, url: str) -> None:
        """Raise DigestError for other than the signed bytes, of which nothing is kept then."""
        found, received = Digest.from_hex(self.received.sha256.hexdigest()), self.received.size
        if received == self.size and found == self.digest:
            return
        self._forget()
        what = (
            f"{received} bytes, but the signed size is {self.size}"
            if received != self.size
            else f"digest {found}, signed {self.digest}"
        )
        raise DigestError(
            f"{url}: {what}", hint="The file was changed or replaced after publishing; tell its publisher."
        )
