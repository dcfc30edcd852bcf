"""One registry's hosts, state and cache: how verified bytes are had.

Knows mirrors, the TTL, last-good state and retries. It does not know what a plugin is.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from registry_client.digest import Digest
from registry_client.errors import (
    ExpiredError,
    FetchError,
    NotFetchedError,
    NotFoundError,
    RegistryError,
    RollbackError,
    VerificationError,
)
from registry_client.files import Files
from registry_client.fresh import fresh_view, is_fresh
from registry_client.hosts import AllHostsFailedError, Hosts, new_deadline
from registry_client.keys import refuse_dev_keys
from registry_client.memory import Memory
from registry_client.statements import Statements
from registry_client.store import Directories, Store, View
from registry_client.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from registry_client.credentials import Credentials
    from registry_client.deadline import Part
    from registry_client.downloads import Received
    from registry_client.fetcher import Fetcher
    from registry_client.health import Health
    from registry_client.http import Body
    from registry_client.trust import TargetRef, Trust, TrustedView

T = TypeVar("T")
_BACKOFF = 30.0
_MAX_BACKOFF = 3600.0
_CLOCK_SLACK = timedelta(minutes=5)


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


class Session:
    """Verified access to one registry.

    Args:
        urls: the configured URL, then mirrors.
        root: the pinned root metadata.
        directories: where state and cache are.
        settings: how to behave.
        transport: reaches the hosts; by default HTTP.
        credentials: what that HTTP sends to whom.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        root: bytes,
        directories: Directories,
        settings: Settings,
        transport: Fetcher | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self.urls = tuple(check_base_url(url) for url in urls)
        self.settings = settings
        self.store = Store(directories, self.urls[0])
        self._root = root
        self._root_digest = Digest.of(root)
        self._lock = threading.RLock()
        self._view: TrustedView | None = None
        self._checked_at = float("-inf")
        self._not_before = float("-inf")
        memory = Memory(lambda: settings.clock().timestamp(), self.store)
        self._hosts = Hosts(self.urls, self._mirrors, transport, credentials, memory)
        self.files = Files(self._hosts, self.store, settings.timeout)
        self.statements = Statements(
            self.find,
            self.read,
            self.store,
            lock_timeout=settings.timeout,
            allow_dev_keys=settings.allow_dev_keys,
        )

    @property
    def root_digest(self) -> Digest:
        """The digest of the pinned root."""
        return self._root_digest

    @property
    def checked_at(self) -> float:
        """When a host was asked for the state in use, seconds since 1970."""
        return self._checked_at

    # -- time ---------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The clock, but never earlier than when the newest verified timestamp was signed; for saying how old things are.

        Expiry is judged by `registry_client.roles.check_signing_time`, which keeps no time that a forger could have set.
        """
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
        from registry_client.trust import read_role  # noqa: PLC0415

        info = read_role(self.store.metadata, "timestamp")
        return None if info is None else info.signed_at

    # -- refreshing ---------------------------------------------------------------------------------------------

    def view(self) -> TrustedView:
        """The verified state, refreshed if a host was last asked longer ago than the TTL.

        Raises:
            ExpiredError: it has expired and nothing newer can be had. FetchError, VerificationError: there is none.
        """
        with self._lock:
            now = self.settings.clock()
            left_alone = now.timestamp() < self._not_before
            if (
                self._view is not None
                and (left_alone or self._fresh(self._checked_at, now))
                and now < self._view.expires
            ):
                return self._view
            with self.store.locked(self.settings.timeout):
                stored = self.store.read_view()
                if stored is not None and stored.root == self._root_digest:
                    asked_lately = self._fresh(stored.checked_at, now)
                    if asked_lately or 0 <= stored.not_before - now.timestamp() <= _MAX_BACKOFF:
                        with contextlib.suppress(RegistryError):  # expired or damaged meanwhile: ask a host
                            return self._from_disk(stored, asked_lately=asked_lately)
                self._refresh(force=False)
            if self._view is None:  # pragma: no cover  (a refresh gives a view or raises)
                raise FetchError(f"{self.urls[0]}: no verified state")
            return self._view

    def _from_disk(self, stored: View, *, asked_lately: bool) -> TrustedView:
        """The state that this or another process verified, without asking a host."""
        view = self._trust().offline()
        if not asked_lately:
            self.settings.on_warning(
                f"{self.urls[0]} did not answer a short while ago and is left alone for now; using what was verified "
                f"before, valid until {view.expires:%Y-%m-%d %H:%M} UTC"
            )
        return self._adopt(view, stored.checked_at if asked_lately else None)

    def refresh(self) -> Refreshed:
        """Ask a host now, whatever the TTL.

        Raises:
            VerificationError: what the hosts serve is not to be trusted. FetchError: unreachable, and nothing cached.
        """
        with self._lock, self.store.locked(self.settings.timeout):
            return self._refresh(force=True)

    def _fresh(self, checked_at: float, now: datetime) -> bool:
        return is_fresh(checked_at, now.timestamp(), self.settings.ttl)

    def _refresh(self, *, force: bool) -> Refreshed:
        """Every host in turn, then last-good state while it is unexpired. Called under both locks."""
        first = self._view is None and not (self.store.metadata / "timestamp.json").exists()
        deadline = new_deadline(self.settings.timeout)

        def attempt(url: str, part: Part) -> tuple[str, TrustedView]:
            def get(target: str, limit: int, etag: str | None) -> Body:
                return self.transport.get(target, limit=limit, deadline=part, etag=etag)

            return url, self._trust().online(url, get)

        try:
            url, view = self._hosts.first(attempt, deadline)
        except AllHostsFailedError as e:
            return self._last_good(e, force=force)
        self._adopt(view, self.settings.clock().timestamp())
        self._not_before = float("-inf")
        self._remember(view, not_before=0.0, source=url)
        if not first:
            self._want_policy(view)
        return Refreshed(url)

    def _last_good(self, failed: AllHostsFailedError, *, force: bool) -> Refreshed:
        """State that was verified before, while it is unexpired; else the error."""
        errors = failed.errors
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
        self._not_before = self.settings.clock().timestamp() + max(_BACKOFF, failed.retry_after)
        self._remember(view, not_before=self._not_before)
        more = failed.hosts - 1
        others = f" (and {more} other host{'s' if more > 1 else ''})" if more else ""
        warning = (
            f"{cause}{others}; using what was verified before, valid until {view.expires:%Y-%m-%d %H:%M} UTC"
        )
        self.settings.on_warning(warning)
        return Refreshed(None, warning)

    def _adopt(self, view: TrustedView, checked_at: float | None) -> TrustedView:
        """Make a verified state the one in use. `None` keeps the time at which a host was last asked."""
        self._refuse_dev_keys()
        self.now()  # warns of a clock that is behind
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
        return Trust(self.store.metadata, self._root, self.settings.clock)

    def _refuse_dev_keys(self) -> None:
        from registry_client.trust import keys_in_use  # noqa: PLC0415

        refuse_dev_keys(keys_in_use(self.store.metadata), self.urls[0], allowed=self.settings.allow_dev_keys)

    # -- bytes --------------------------------------------------------------------------------------------------

    def cached_catalogue(self) -> bytes | None:
        """registry.json as verified within the TTL, without TUF or network; None if that cannot be said."""
        view = fresh_view(
            self.store,
            self._root_digest,
            now=self.settings.clock().timestamp(),
            ttl=self.settings.ttl,
            allow_dev_keys=self.settings.allow_dev_keys,
        )
        if view is None:
            return None
        return self.store.read_object(Digest(view.catalogue))

    def find(self, path: str) -> TargetRef:
        """What the verified state says of a TUF target.

        Raises:
            NotFoundError: the registry has no such target. FetchError, VerificationError: no state can be had.
        """
        ref = self.view().find(path)
        if ref is None:
            raise NotFoundError(f"{self.urls[0]} has no {path}")
        return ref

    def read(self, ref: TargetRef) -> bytes:
        """The bytes of a TUF target; raises as `file` does."""
        return self.file(ref.served_path, digest=ref.digest, size=ref.size)

    def read_ahead(self, ref: TargetRef) -> None:
        """Begin to fetch a TUF target that `read` will probably be asked for."""
        self.files.ahead(ref.served_path, digest=ref.digest, size=ref.size)

    def target(self, path: str) -> bytes:
        """The bytes of a TUF target by its path; raises as `find` and `read` do."""
        return self.read(self.find(path))

    def file(self, path: str, *, digest: Digest, size: int) -> bytes:
        """A file below the base URL whose digest and size are signed: from the cache, else from a host.

        Raises:
            NotFetchedError: no host has it. FetchError: none answered. DigestError: none has the right bytes.
        """
        return self.files.read(path, digest=digest, size=size)

    def unsigned_file(self, path: str, limit: int) -> bytes:
        """A file whose bytes the caller will compare with a digest it holds itself."""
        return self._hosts.get(path, limit=limit, timeout=self.settings.timeout)

    def download(
        self,
        location: str,
        *,
        digest: Digest,
        size: int,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
        received: Received | None = None,
    ) -> None:
        """A large file, piece by piece; `Hosts.download` documents the arguments."""
        self._hosts.download(
            location,
            digest=digest,
            size=size,
            timeout=self.settings.download_timeout,
            sink=sink,
            restart=restart,
            received=received,
        )

    def retrying(self, work: Callable[[], T]) -> T:
        """Run `work`; if a signed file is missing on the hosts, refresh once and run it again.

        Hosting that caches each path by itself can serve an index that is older than the files' retention.
        """
        try:
            return work()
        except NotFetchedError:
            self.refresh()
            return work()

    def registry(self) -> str:
        """The registry's id: as the maintainers signed it where they name policy.json, else out of that."""
        ref = self.view().find("policy.json")
        stated = ref.custom.get("registry") if ref is not None else None
        return stated if isinstance(stated, str) else self.statements.policy().registry

    def hosts(self) -> tuple[str, ...]:
        """Configured URLs, then the policy's mirrors as far as they are known."""
        return self._hosts.all()

    def health(self) -> Health:
        """What this machine remembers of the hosts: it decides in which order they are asked, and nothing else."""
        return self._hosts.memory.health(anew=True)

    def _mirrors(self) -> tuple[str, ...]:
        policy = self.statements.cached_policy()
        return tuple(url.rstrip("/") for url in (policy.base_url, *policy.mirrors)) if policy else ()

    @property
    def transport(self) -> Fetcher:
        """The transport, for its figures."""
        return self._hosts.transport

    def _want_policy(self, view: TrustedView) -> None:
        """Have the policy at hand for its mirrors; a lookup on a cold cache does without it."""
        ref = view.find("policy.json")
        try:
            if (
                ref is not None
            ):  # not by `target`: with a TTL of 0 that would refresh again, under the same lock
                self.read(ref)
        except (FetchError, VerificationError) as e:
            self.settings.on_warning(f"mirrors are unknown: {e}")


def _is_lag(error: RegistryError) -> bool:
    """Whether an error is what a cache that lags behind looks like."""
    return isinstance(error, (RollbackError, ExpiredError))
