"""The hosts that serve one registry: the configured URL, then mirrors. Verification makes any of them safe."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from registry_client.digest import Digest, verify_digest
from registry_client.errors import (
    DigestError,
    FetchError,
    NotFetchedError,
    RegistryError,
    TooLargeError,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.credentials import Credentials
    from registry_client.http import Body, Deadline, Usage

T = TypeVar("T")
_ROUNDS = 2
_PAUSE = 0.2


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


class AllHostsFailedError(Exception):
    """No host gave what was wanted. `errors` holds why, in the order in which they were asked."""

    def __init__(self, errors: list[RegistryError]) -> None:
        super().__init__()
        self.errors = errors

    @property
    def most_telling(self) -> RegistryError:
        """What a host served wrongly says more than that another could not be reached."""
        return next((e for e in self.errors if isinstance(e, VerificationError)), self.errors[0])

    @property
    def retry_after(self) -> float:
        """For how many seconds hosts asked to be left alone; 0 if none did."""
        return max((e.retry_after or 0.0 for e in self.errors if isinstance(e, FetchError)), default=0.0)


class Hosts:
    """Fetches from the first host that gives what was signed.

    Args:
        urls: the configured URL, then mirrors; without trailing slashes.
        more: gives further mirrors, as far as they are known now.
        transport: reaches a host; by default HTTP, opened when it is first needed.
        credentials: what that HTTP sends to whom. A `transport` has its own.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        more: Callable[[], tuple[str, ...]],
        transport: Fetcher | None,
        credentials: Credentials | None = None,
    ) -> None:
        self.urls = urls
        self._more = more
        self._transport = transport
        self._credentials = credentials
        self._lock = threading.Lock()

    @property
    def transport(self) -> Fetcher:
        """What reaches the hosts."""
        from registry_client.http import Transport  # noqa: PLC0415  (reading what is cached needs no network)

        with self._lock:
            if self._transport is None:
                self._transport = Transport(credentials=self._credentials)
            return self._transport

    def all(self) -> tuple[str, ...]:
        """Every known host, each once, in the order in which they are asked."""
        return tuple(dict.fromkeys(self.urls + self._more()))

    def first(
        self, attempt: Callable[[str], T], deadline: Deadline, bases: tuple[str, ...] | None = None
    ) -> T:
        """The first success over all hosts, with another round if some failed only for the moment.

        Args:
            attempt: fetches from the host it is given, and checks.
            deadline: when to give up; waiting for what `Retry-After` asks counts.
            bases: whom to ask; by default `all`, looked up anew for each round.

        Raises:
            AllHostsFailedError: none succeeded.
        """
        errors: list[RegistryError] = []
        for round_number in range(_ROUNDS):
            for base in self.all() if bases is None else bases:
                try:
                    return attempt(base)
                except (FetchError, VerificationError) as e:
                    errors.append(e)
            if round_number == _ROUNDS - 1 or not _pause(errors, deadline):
                break
        raise AllHostsFailedError(errors)

    def get(self, path: str, *, limit: int, timeout: float) -> bytes:
        """A small file below the base URL, unchecked.

        Raises:
            FetchError: no host has it.
        """
        return self._fetch(path, limit, timeout, lambda data, _: data)

    def get_signed(self, path: str, *, digest: Digest, size: int, timeout: float) -> bytes:
        """A small file whose digest and size are signed.

        Raises:
            FetchError: no host has it. DigestError: none has the right bytes.
        """
        return self._fetch(
            path, size, timeout, lambda data, url: verify_digest(data, digest=digest, size=size, where=url)
        )

    def _fetch(self, path: str, limit: int, timeout: float, check: Callable[[bytes, str], bytes]) -> bytes:
        deadline = new_deadline(timeout)

        def attempt(base: str) -> bytes:
            url = f"{base}/{path}"
            return check(self.transport.get(url, limit=limit, deadline=deadline).data, url)

        try:
            return self.first(attempt, deadline)
        except AllHostsFailedError as e:
            raise e.most_telling from e

    def download(
        self,
        location: str,
        *,
        digest: Digest,
        size: int,
        timeout: float,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
        received: Received | None = None,
    ) -> None:
        """A large file, piece by piece into `sink`.

        With `received`, an attempt continues where the one before broke off, also one of an earlier run and one at another
        host: the digest decides at the end. Where it is wrong the file is fetched once more, whole, before a host counts as bad.

        Args:
            location: an absolute URL, or a path below the base URL.
            digest: what it must be.
            size: its bytes.
            timeout: seconds in all.
            sink: takes the pieces in order.
            restart: forgets what `sink` took; called before a file is begun.
            received: what `sink` took already, kept up to date; without it every attempt starts over.

        Raises:
            FetchError: it could not be fetched in full. DigestError: not the signed bytes.
        """
        deadline = new_deadline(timeout)
        absolute = ":" in location
        download = _Download(self, digest, size, deadline, sink, restart, received or Received())

        def attempt(base: str) -> None:
            url = location if absolute else f"{base}/{location}"
            if received is None:
                download.whole(url)
            else:
                download.rest(url)

        try:
            if absolute and received is None:
                attempt("")
            else:
                self.first(attempt, deadline, ("",) if absolute else None)
        except AllHostsFailedError as e:
            raise e.most_telling from e


@dataclass(frozen=True)
class _Download:
    """The attempts at one file; `Hosts.download` documents the rest."""

    hosts: Hosts
    digest: Digest
    size: int
    deadline: Deadline
    sink: Callable[[bytes], object]
    restart: Callable[[], object]
    received: Received

    def whole(self, url: str) -> None:
        """The file from its first byte."""
        self._forget()
        self.hosts.transport.get_into(url, self._take, limit=self.size, deadline=self.deadline)
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

        self.hosts.transport.get_into(
            url,
            self._take,
            limit=self.size,
            deadline=self.deadline,
            offset=self.received.size,
            begin=begin,
        )

    def _take(self, chunk: bytes) -> None:
        self.sink(chunk)
        self.received.take(chunk)

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


def new_deadline(seconds: float) -> Deadline:
    """A deadline this many seconds from now."""
    from registry_client.http import Deadline  # noqa: PLC0415

    return Deadline(seconds)


def _pause(errors: list[RegistryError], deadline: Deadline) -> bool:
    """Wait before another round, if some host only failed for the moment and time is left."""
    passing = [e for e in errors if isinstance(e, FetchError) and not isinstance(e, NotFetchedError)]
    if not passing:
        return False
    asked = [e.retry_after for e in passing if e.retry_after is not None]
    seconds = min(asked) if asked else _PAUSE
    if seconds >= deadline.remaining():
        return False
    time.sleep(seconds)
    return True
