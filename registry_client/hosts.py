"""The hosts that serve one registry: the configured URL, then mirrors. Verification makes any of them safe."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from registry_client.digest import Digest, verify_digest
from registry_client.errors import (
    ConfigError,
    DigestError,
    FetchError,
    NotFetchedError,
    RegistryError,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.http import Body, Deadline, Usage

T = TypeVar("T")
_ROUNDS = 2
_PAUSE = 0.2


class Fetcher(Protocol):
    """Reaches a host; `registry_client.http.Transport` is the one for the network."""

    usage: Usage

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:
        """A small body, bounded."""

    def get_into(self, url: str, sink: Callable[[bytes], object], *, limit: int, deadline: Deadline) -> None:
        """A large body, piece by piece."""


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


def check_base_url(url: str) -> str:
    """Give a base URL back without its trailing slash.

    Raises:
        ConfigError: not http(s), or it carries credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"{url.rpartition('@')[2][:200]!r} is not a registry URL",
            hint="Give an https:// URL, such as the raw URL of a branch.",
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"the registry URL for {parts.hostname} carries credentials", hint="Take them out of the URL."
        )
    return url.rstrip("/")


class Hosts:
    """Fetches from the first host that gives what was signed.

    Args:
        urls: the configured URL, then mirrors; without trailing slashes.
        more: gives further mirrors, as far as they are known now.
        transport: reaches a host; by default HTTP, opened when it is first needed.
    """

    def __init__(
        self, urls: tuple[str, ...], more: Callable[[], tuple[str, ...]], transport: Fetcher | None
    ) -> None:
        self.urls = urls
        self._more = more
        self._transport = transport
        self._lock = threading.Lock()

    @property
    def transport(self) -> Fetcher:
        """What reaches the hosts."""
        from registry_client.http import Transport  # noqa: PLC0415  (reading what is cached needs no network)

        with self._lock:
            if self._transport is None:
                self._transport = Transport()
            return self._transport

    def all(self) -> tuple[str, ...]:
        """Every known host, each once, in the order in which they are asked."""
        return tuple(dict.fromkeys(self.urls + self._more()))

    def first(self, attempt: Callable[[str], T], deadline: Deadline) -> T:
        """The first success over all hosts, with another round if some failed only for the moment.

        Args:
            attempt: fetches from the host it is given, and checks.
            deadline: when to give up; waiting for what `Retry-After` asks counts.

        Raises:
            AllHostsFailedError: none succeeded.
        """
        errors: list[RegistryError] = []
        for round_number in range(_ROUNDS):
            for base in self.all():
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
    ) -> None:
        """A large file, piece by piece into `sink`; `restart` is called before each attempt.

        Args:
            location: an absolute URL, or a path below the base URL.
            digest: what it must be.
            size: its bytes.
            timeout: seconds in all.
            sink: takes the pieces in order.
            restart: forgets what `sink` took.

        Raises:
            FetchError: it could not be fetched in full. DigestError: not the signed bytes.
        """
        deadline = new_deadline(timeout)

        def attempt(base: str) -> None:
            url = location if ":" in location else f"{base}/{location}"
            restart()
            sha256, received = hashlib.sha256(), 0

            def take(chunk: bytes) -> None:
                nonlocal received
                received += len(chunk)
                sha256.update(chunk)
                sink(chunk)

            self.transport.get_into(url, take, limit=size, deadline=deadline)
            _check_streamed(url, Digest.from_hex(sha256.hexdigest()), received, digest, size)

        try:
            if ":" in location:
                attempt("")
            else:
                self.first(attempt, deadline)
        except AllHostsFailedError as e:
            raise e.most_telling from e


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


def _check_streamed(url: str, found: Digest, received: int, digest: Digest, size: int) -> None:
    if received == size and found == digest:
        return
    what = (
        f"{received} bytes, but the signed size is {size}"
        if received != size
        else f"digest {found}, signed {digest}"
    )
    raise DigestError(
        f"{url}: {what}", hint="The file was changed or replaced after publishing; tell its publisher."
    )
