"""The hosts that serve one registry: the configured URL, then mirrors. Verification makes any of them safe."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from registry_client.deadline import Deadline, Part
from registry_client.digest import Digest, verify_digest
from registry_client.downloads import Download, Received
from registry_client.errors import (
    FetchError,
    NotFetchedError,
    RegistryError,
    VerificationError,
)
from registry_client.health import Trouble, trouble_of
from registry_client.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_client.credentials import Credentials
    from registry_client.fetcher import Fetcher

T = TypeVar("T")
PATIENCE: Final = 5.0
"""Seconds for one attempt at a host where another can be asked that is not known to be in trouble."""
_SLUGGISH: Final = 3.0
"""Seconds after which an attempt that succeeded still speaks for asking another host first."""
_PAUSE = 0.2
_LATELY = 1.0


class AllHostsFailedError(Exception):
    """No host gave what was wanted.

    Attributes:
        errors: why, in the order in which they were asked; of one that was asked twice, twice.
        hosts: how many were asked.
    """

    def __init__(self, errors: list[RegistryError], hosts: int = 1) -> None:
        super().__init__()
        self.errors = errors
        self.hosts = hosts

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
        memory: what is remembered of them; by default nothing from before, and nothing for others.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        more: Callable[[], tuple[str, ...]],
        transport: Fetcher | None,
        credentials: Credentials | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.urls = urls
        self.memory = memory or Memory()
        self._more = more
        self._transport = transport
        self._credentials = credentials
        self._lock = threading.Lock()
        self._known: tuple[str, ...] = ()
        self._looked_up = float("-inf")

    @property
    def transport(self) -> Fetcher:
        """What reaches the hosts."""
        from registry_client.http import Transport  # noqa: PLC0415  (reading what is cached needs no network)

        with self._lock:
            if self._transport is None:
                self._transport = Transport(credentials=self._credentials)
            return self._transport

    def all(self) -> tuple[str, ...]:
        """Every known host, each once, in the order in which they are asked while none is in trouble."""
        return tuple(dict.fromkeys(self.urls + self._more()))

    def _lately(self) -> tuple[str, ...]:
        """Every host that was known a moment ago: looking them up costs as much as the rest of a small file."""
        now = time.monotonic()
        if now - self._looked_up > _LATELY:
            self._known, self._looked_up = self.all(), now
        return self._known

    def first(self, attempt: Callable[[str, Part], T], deadline: Deadline, *, files: bool = False) -> T:
        """The first success over all hosts, with another round if some failed only for the moment.

        Hosts that failed lately come last. An attempt at any but the last host has a part of the deadline, so that one host
        cannot use up what the others need; however many requests it makes, it is one attempt.

        Args:
            attempt: fetches from the host it is given until the time it is given, and checks.
            deadline: when to give up; waiting for what `Retry-After` asks counts.
            files: what is wanted are files of a known state, not the state itself.

        Raises:
            AllHostsFailedError: none succeeded.
        """
        errors: list[RegistryError] = []
        since, before = self.memory.now(), self.memory.health(anew=not files)
        asked: set[str] = set()
        for _ in _rounds(errors, deadline):
            health = self.memory.health()
            left = list(health.order(self._lately() if files else self.all(), since, files=files))
            asked.clear()
            while left or (left := [host for host in self.all() if host not in asked]):
                base = left.pop(0)
                asked.add(base)
                others = any(not health.rests(other, since) for other in left)
                part = _part(deadline, 1 + len(left), others=others, files=files)
                try:
                    result = attempt(base, part)
                except (FetchError, VerificationError) as e:
                    errors.append(e)
                    self._note_failure(base, e, part, since, files=files)
                else:
                    self._note_success(base, since, files=files, slow=others and part.used() > _SLUGGISH)
                    return result
        if not files:  # probably it is this machine's own network
            self.memory.learn(lambda h: h.forgiven(before, since))
        raise AllHostsFailedError(errors, len(asked))

    def _note_failure(
        self, base: str, error: RegistryError, part: Part, since: float, *, files: bool
    ) -> None:
        """Remember that a host failed; not where it only lacks a file, or had no time left."""
        if not part.granted or (files and isinstance(error, NotFetchedError)):
            return
        trouble = trouble_of(error, late=not part.remaining())
        retry_after = error.retry_after if isinstance(error, FetchError) else None
        now = self.memory.now()
        self.memory.learn(lambda h: h.failed(base, trouble, now, since=since, retry_after=retry_after))

    def _note_success(self, base: str, since: float, *, files: bool, slow: bool) -> None:
        now = self.memory.now()
        if slow:
            self.memory.learn(lambda h: h.failed(base, Trouble.SLOW, now, since=since))
        else:
            self.memory.learn(lambda h: h.gave_file(base) if files else h.gave_metadata(base))

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

        def attempt(base: str, part: Part) -> bytes:
            url = f"{base}/{path}"
            return check(self.transport.get(url, limit=limit, deadline=part).data, url)

        try:
            return self.first(attempt, deadline, files=True)
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
        download = Download(
            self.transport,
            digest=digest,
            size=size,
            sink=sink,
            restart=restart,
            received=received or Received(),
        )
        fetch = download.whole if received is None else download.rest
        try:
            if ":" not in location:
                self.first(lambda base, part: fetch(f"{base}/{location}", part), deadline, files=True)
            elif received is None:
                fetch(location, Part(deadline))
            else:
                _again(lambda: fetch(location, Part(deadline)), deadline)
        except AllHostsFailedError as e:
            raise e.most_telling from e


def new_deadline(seconds: float) -> Deadline:
    """A deadline this many seconds from now."""
    return Deadline(seconds)


def _part(deadline: Deadline, left: int, *, others: bool, files: bool) -> Part:
    """How long an attempt may take.

    Args:
        deadline: for all of them.
        left: how many hosts are still to be asked, this one included.
        others: whether one of those after it is not known to be in trouble.
        files: a file is wanted, which may be large, and take longer while it makes headway.
    """
    if left == 1:
        return Part(deadline)
    fair = deadline.remaining() / left
    if not others:
        return Part(deadline, fair)
    return Part(deadline, min(fair, PATIENCE), fair if files else None)


def _again(attempt: Callable[[], None], deadline: Deadline) -> None:
    """One attempt, and another if the first failed only for the moment.

    Raises:
        AllHostsFailedError: neither succeeded.
    """
    errors: list[RegistryError] = []
    for _ in _rounds(errors, deadline):
        try:
            return attempt()
        except (FetchError, VerificationError) as e:
            errors.append(e)
    raise AllHostsFailedError(errors)


def _rounds(errors: list[RegistryError], deadline: Deadline) -> Iterator[int]:
    """One round, and another if some host failed only for the moment and time is left."""
    yield 0
    passing = [e for e in errors if isinstance(e, FetchError) and not isinstance(e, NotFetchedError)]
    if not passing:
        return
    asked = [e.retry_after for e in passing if e.retry_after is not None]
    seconds = min(asked) if asked else _PAUSE
    if seconds < deadline.remaining():
        time.sleep(seconds)
        yield 1
