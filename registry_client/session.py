"""One registry's hosts, state and cache: how verified bytes are had.

Knows mirrors, the TTL, last-good state and retries. It does not know what a plugin is.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from registry_client.digest import Digest, verify_digest
from registry_client.errors import (
    ConfigError,
    ExpiredError,
    FetchError,
    NotFetchedError,
    NotFoundError,
    RegistryError,
    RollbackError,
    VerificationError,
)
from registry_client.keys import refuse_dev_keys
from registry_client.store import Directories, Store, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.http import Body, Deadline, Usage
    from registry_client.models.blocks import Block
    from registry_client.models.policy import Policy
    from registry_client.signed import PublisherKeys
    from registry_client.trust import Trust, TrustedView

T = TypeVar("T")
_ROUNDS = 2
_FIRST_PAUSE = 0.2
_BACKOFF = 30.0
_CLOCK_SLACK = timedelta(minutes=5)


class Fetcher(Protocol):
    """What a session needs of a transport; `registry_client.http.Transport` is the one for the network."""

    usage: Usage

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:
        """A small body, bounded."""

    def get_into(self, url: str, sink: Callable[[bytes], object], *, limit: int, deadline: Deadline) -> None:
        """A large body, piece by piece."""


@dataclass(frozen=True)
class Settings:
    """How a session behaves; `RegistryClient` documents each."""

    ttl: float
    timeout: float
    download_timeout: float
    clock: Callable[[], datetime]
    on_warning: Callable[[str], None]
    allow_dev_keys: bool


@dataclass(frozen=True)
class Refreshed:
    """How a refresh ended.

    Attributes:
        source: the URL that answered, or None where last-good state is in use.
        warning: why last-good state is in use; empty otherwise.
    """

    source: str | None
    warning: str = ""


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


class Session:
    """Verified access to one registry.

    Args:
        urls: the configured URL, then mirrors.
        root: the pinned root metadata.
        directories: where state and cache are.
        settings: how to behave.
        transport: reaches the hosts; by default HTTP.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        root: bytes,
        directories: Directories,
        settings: Settings,
        transport: Fetcher | None = None,
    ) -> None:
        self.urls = tuple(check_base_url(url) for url in urls)
        self.settings = settings
        self.store = Store(directories, self.urls[0])
        self._root = root
        self._root_digest = Digest.of(root)
        self._lock = threading.RLock()
        self._view: TrustedView | None = None
        self._checked_at = float("-inf")
        self._transport = transport
        self._parsed: dict[Digest, object] = {}

    @property
    def root_digest(self) -> Digest:
        """The digest of the pinned root."""
        return self._root_digest

    # -- time ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The clock, but never earlier than when the newest verified timestamp was signed."""
        now = self.settings.clock()
        floor = self._signed_at()
        if floor is None or floor <= now:
            return now
        if floor - now > _CLOCK_SLACK:
            self.settings.on_warning(
                f"this machine's clock ({now:%Y-%m-%d %H:%M} UTC) is behind the registry's newest timestamp "
                f"({floor:%Y-%m-%d %H:%M} UTC); set it right"
            )
        return floor

    def _signed_at(self) -> datetime | None:
        from registry_client.trust import read_roles  # noqa: PLC0415

        return next(
            (info.signed_at for info in read_roles(self.store.metadata) if info.name == "timestamp"), None
        )

    # -- refreshing ---------------------------------------------------------------------------------------------

    def view(self) -> TrustedView:
        """The verified state, refreshed if a host was last asked longer ago than the TTL.

        Raises:
            ExpiredError: it has expired and nothing newer can be had. FetchError, VerificationError: there is none.
        """
        with self._lock:
            now = self.settings.clock()
            if self._view is not None and self._fresh(self._checked_at, now) and now < self._view.expires:
                return self._view
            with self.store.locked(self.settings.timeout):
                stored = self.store.read_view()
                if stored is not None and stored.root == self._root_digest:
                    asked_lately = self._fresh(stored.checked_at, now)
                    if asked_lately or 0 <= stored.not_before - now.timestamp() <= self.settings.ttl:
                        try:
                            return self._adopt(
                                self._trust().offline(), now.timestamp() if asked_lately else None
                            )
                        except RegistryError:
                            pass  # expired or damaged meanwhile: ask a host
                self._refresh(force=False)
            if self._view is None:  # pragma: no cover  (a refresh gives a view or raises)
                raise FetchError(f"{self.urls[0]}: no verified state")
            return self._view

    def refresh(self) -> Refreshed:
        """Ask a host now, whatever the TTL.

        Raises:
            VerificationError: what the hosts serve is not to be trusted. FetchError: unreachable, and nothing cached.
        """
        with self._lock, self.store.locked(self.settings.timeout):
            return self._refresh(force=True)

    def _fresh(self, checked_at: float, now: datetime) -> bool:
        return 0 <= now.timestamp() - checked_at < self.settings.ttl

    def _refresh(self, *, force: bool) -> Refreshed:
        """Every host in turn, then last-good state while it is unexpired. Called under both locks."""
        errors: list[RegistryError] = []
        first = self._view is None and not (self.store.metadata / "timestamp.json").exists()
        deadline = self._deadline(self.settings.timeout)
        for round_number in range(_ROUNDS):
            for url in self.hosts():
                try:
                    view = self._trust().online(url, lambda u, n, e: self._get(u, n, e, deadline))
                except (FetchError, VerificationError) as e:
                    errors.append(e)
                    continue
                self._adopt(view, self.settings.clock().timestamp())
                self._remember(view, not_before=0.0, source=url)
                if not first:
                    self._want_policy()
                return Refreshed(url)
            if not self._worth_another_round(errors, round_number, deadline):
                break
        return self._last_good(errors, force=force)

    def _worth_another_round(
        self, errors: list[RegistryError], round_number: int, deadline: Deadline
    ) -> bool:
        """Pause before another round, if some host only failed for the moment and time is left."""
        passing = [e for e in errors if isinstance(e, FetchError) and not isinstance(e, NotFetchedError)]
        if not passing or round_number == _ROUNDS - 1:
            return False
        asked = [e.retry_after for e in passing if e.retry_after is not None]
        pause = min(asked) if asked else _FIRST_PAUSE
        if pause >= deadline.remaining():
            return False
        time.sleep(pause)
        return True

    def _last_good(self, errors: list[RegistryError], *, force: bool) -> Refreshed:
        forged = next((e for e in errors if isinstance(e, VerificationError) and not _is_lag(e)), None)
        cause = forged or errors[0]
        try:
            view = self._trust().offline()
        except ExpiredError as e:
            lag = next((e for e in errors if isinstance(e, RollbackError)), None)
            raise (
                forged
                or lag
                or ExpiredError(f"{e}; and no host gave anything newer: {errors[0]}", hint=e.hint)
            ) from e
        except (FetchError, VerificationError) as e:
            raise cause from e
        if forged is not None and force:
            raise forged
        self._adopt(view, None)
        asked = [e.retry_after for e in errors if isinstance(e, FetchError) and e.retry_after is not None]
        self._remember(view, not_before=self.settings.clock().timestamp() + max([_BACKOFF, *asked]))
        warning = f"{cause}; using what was verified before, valid until {view.expires:%Y-%m-%d %H:%M} UTC"
        self.settings.on_warning(warning)
        return Refreshed(None, warning)

    def _adopt(self, view: TrustedView, checked_at: float | None) -> TrustedView:
        """Make a verified state the one in use. `None` keeps the time at which a host was last asked."""
        self._refuse_dev_keys()
        self._view = view
        self._checked_at = self.settings.clock().timestamp() if checked_at is None else checked_at
        return view

    def _remember(self, view: TrustedView, *, not_before: float, source: str = "") -> None:
        blocks, cat, policy = (view.find(path) for path in ("blocks.json", "registry.json", "policy.json"))
        if blocks is None or cat is None or policy is None:
            raise VerificationError(
                f"{self.urls[0]}: the signed metadata lacks blocks.json, registry.json or policy.json",
                hint="The registry is incomplete; its maintainers can see why with 'publisher registry audit'.",
            )
        stored = self.store.read_view()
        checked = self._checked_at if not not_before else (stored.checked_at if stored else 0.0)
        self.store.write_view(
            View(
                root=self._root_digest,
                checked_at=checked,
                not_before=not_before,
                expires=view.expires.timestamp(),
                catalogue=cat.digest,
                policy=policy.digest,
                dev_keys=self.settings.allow_dev_keys,
                source=source or (stored.source if stored else ""),
            )
        )

    def _trust(self) -> Trust:
        from registry_client.trust import Trust, root_keys  # noqa: PLC0415

        refuse_dev_keys(root_keys(self._root), "the pinned root", allowed=self.settings.allow_dev_keys)
        return Trust(self.store.metadata, self._root, self.now)

    def _refuse_dev_keys(self) -> None:
        from registry_client.trust import keys_in_use  # noqa: PLC0415

        refuse_dev_keys(keys_in_use(self.store.metadata), self.urls[0], allowed=self.settings.allow_dev_keys)

    # -- bytes --------------------------------------------------------------------------------------------------

    def cached_catalogue(self) -> bytes | None:
        """registry.json as verified within the TTL, without TUF or network; None if that cannot be said."""
        view = self.store.read_view()
        now = self.settings.clock()
        if (
            view is None
            or view.root != self._root_digest
            or not self._fresh(view.checked_at, now)
            or now.timestamp() >= view.expires
            or (view.dev_keys and not self.settings.allow_dev_keys)
        ):
            return None
        return self.store.read_object(Digest(view.catalogue))

    def target(self, path: str) -> bytes:
        """The bytes of a TUF target.

        Raises:
            NotFoundError: the registry has no such target. FetchError, VerificationError: it cannot be had.
        """
        ref = self.view().find(path)
        if ref is None:
            raise NotFoundError(f"{self.urls[0]} has no {path}")
        return self.file(ref.served_path, digest=ref.digest, size=ref.size)

    def file(self, path: str, *, digest: Digest, size: int) -> bytes:
        """A file below the base URL whose digest and size are signed: from the cache, else from a host.

        Raises:
            NotFetchedError: no host has it. FetchError: none answered. DigestError: none has the right bytes.
        """
        cached = self.store.read_object(digest)
        if cached is not None:
            return cached
        deadline = self._deadline(self.settings.timeout)
        data = self._from_hosts(
            lambda base: verify_digest(
                self._get(f"{base}/{path}", size, None, deadline).data,
                digest=digest,
                size=size,
                where=f"{base}/{path}",
            )
        )
        self.store.write_object(digest, data)
        return data

    def unsigned_file(self, path: str, limit: int) -> bytes:
        """A file whose bytes the caller will compare with a digest it holds itself."""
        deadline = self._deadline(self.settings.timeout)
        return self._from_hosts(lambda base: self._get(f"{base}/{path}", limit, None, deadline).data)

    def download(
        self,
        location: str,
        *,
        digest: Digest,
        size: int,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
    ) -> None:
        """A large file, piece by piece into `sink`; `restart` is called before each attempt.

        Raises:
            FetchError: it could not be fetched in full. DigestError: not the signed bytes.
        """
        deadline = self._deadline(self.settings.download_timeout)

        def attempt(url: str) -> None:
            restart()
            sha256, received = hashlib.sha256(), 0

            def take(chunk: bytes) -> None:
                nonlocal received
                received += len(chunk)
                sha256.update(chunk)
                sink(chunk)

            self._open_transport().get_into(url, take, limit=size, deadline=deadline)
            if received != size or sha256.hexdigest() != digest.hex:
                verify_digest_of(sha256.hexdigest(), received, digest=digest, size=size, where=url)

        if ":" in location:
            attempt(location)
        else:
            self._from_hosts(lambda base: attempt(f"{base}/{location}"))

    def retrying(self, work: Callable[[], T]) -> T:
        """Run `work`; if a signed file is missing on the hosts, refresh once and run it again.

        Hosting that caches each path by itself can serve an index that is older than the files' retention.
        """
        try:
            return work()
        except NotFetchedError:
            self.refresh()
            return work()

    def _from_hosts(self, attempt: Callable[[str], T]) -> T:
        """The first success over all hosts; else the most telling error."""
        errors: list[RegistryError] = []
        for base in self.hosts():
            try:
                return attempt(base)
            except (FetchError, VerificationError) as e:
                errors.append(e)
        raise next((e for e in errors if isinstance(e, VerificationError)), errors[0])

    def hosts(self) -> tuple[str, ...]:
        """Configured URLs, then the policy's mirrors as far as they are known."""
        policy = self._cached_policy()
        more = tuple(url.rstrip("/") for url in (policy.base_url, *policy.mirrors)) if policy else ()
        return tuple(dict.fromkeys(self.urls + more))

    def _get(self, url: str, limit: int, etag: str | None, deadline: Deadline) -> Body:
        return self._open_transport().get(url, limit=limit, deadline=deadline, etag=etag)

    def _deadline(self, seconds: float) -> Deadline:
        from registry_client.http import Deadline  # noqa: PLC0415

        return Deadline(seconds)

    def _open_transport(self) -> Fetcher:
        from registry_client.http import Transport  # noqa: PLC0415

        with self._lock:
            if self._transport is None:
                self._transport = Transport()
            return self._transport

    @property
    def transport(self) -> Fetcher:
        """The transport, for its figures."""
        return self._open_transport()

    # -- the maintainers' documents --------------------------------------------------------------------------------

    def blocks(self) -> tuple[Block, ...]:
        """The blocks in force; remembered, because they do not expire for those who hold them."""
        from registry_client.signed import parse_blocks  # noqa: PLC0415

        data = self.target("blocks.json")
        blocks = self._once(data, lambda: parse_blocks(data, "blocks.json").blocks)
        self.store.write_blocks(data)
        return blocks

    def last_blocks(self) -> tuple[Block, ...]:
        """The blocks last verified, however old; none if there never were any."""
        from registry_client.signed import parse_blocks  # noqa: PLC0415

        data = self.store.read_blocks()
        return () if data is None else parse_blocks(data, "blocks.json").blocks

    def policy(self) -> Policy:
        """The registry's policy."""
        from registry_client.signed import parse_policy  # noqa: PLC0415

        data = self.target("policy.json")
        return self._once(data, lambda: parse_policy(data, "policy.json"))

    def publisher(self, publisher_id: str) -> PublisherKeys:
        """A publisher's keys.

        Raises:
            VerificationError: the maintainers know no such publisher, or its file is not sound.
        """
        from registry_client.signed import parse_publisher  # noqa: PLC0415

        path = f"publishers/{publisher_id}.json"
        try:
            data = self.target(path)
        except NotFoundError as e:
            raise VerificationError(f"{path}: the maintainers have signed no such publisher") from e
        keys = self._once(data, lambda: parse_publisher(data, path))
        current = [key.model_dump() for key in keys.publisher.keys.values()]
        refuse_dev_keys(current, path, allowed=self.settings.allow_dev_keys)
        return keys

    def _cached_policy(self) -> Policy | None:
        from registry_client.signed import parse_policy  # noqa: PLC0415

        view = self.store.read_view()
        data = self.store.read_object(Digest(view.policy)) if view is not None else None
        return None if data is None else self._once(data, lambda: parse_policy(data, "policy.json"))

    def _want_policy(self) -> None:
        """Have the policy at hand for its mirrors; a lookup on a cold cache does without it."""
        try:
            self.policy()
        except (FetchError, VerificationError) as e:
            self.settings.on_warning(f"mirrors are unknown: {e}")

    def _once(self, data: bytes, parse: Callable[[], T]) -> T:
        """Parse each document once per session."""
        digest = Digest.of(data)
        if digest not in self._parsed:
            self._parsed[digest] = parse()
        return self._parsed[digest]  # type: ignore[return-value]


def _is_lag(error: RegistryError) -> bool:
    """Whether an error is what a cache that lags behind looks like."""
    return isinstance(error, (RollbackError, ExpiredError))


def verify_digest_of(found: str, received: int, *, digest: Digest, size: int, where: str) -> None:
    """Raise the DigestError for bytes that were hashed while they streamed."""
    from registry_client.errors import DigestError  # noqa: PLC0415

    what = (
        f"{received} bytes, but the signed size is {size}"
        if received != size
        else f"digest sha256:{found}, signed {digest}"
    )
    raise DigestError(
        f"{where}: {what}", hint="The file was changed or replaced after publishing; tell its publisher."
    )


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)
