"""TUF: the only module that touches `tuf.ngclient`.

All rules about roots, rotation, rollback and expiry are python-tuf's. This module gives it a fetcher, a clock and a directory, and turns
its errors into ours.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from registry_client.digest import Digest
from registry_client.errors import (
    DigestError,
    ExpiredError,
    FetchError,
    NotFetchedError,
    RollbackError,
    SignatureError,
    TooLargeError,
    VerificationError,
)
from registry_client.flights import Flights
from registry_client.roles import (
    EXPIRY_DAYS,
    ROLES,
    RoleInfo,
    TargetRef,
    TrustedView,
    check_roles,
    check_signing_time,
    hinted_versions,
    keys_in_use,
    named_digest,
    read_role,
    read_roles,
    role_info,
)
from registry_client.store import unwritable, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from registry_client.errors import RegistryError
    from registry_client.http import Body

_ENTITY_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')  # RFC 9110 8.8.3; not `*`, which matches anything
_CONDITIONAL_FOR = timedelta(days=1)
_TIMESTAMP = "/timestamp.json"
_NOTE = "timestamp.etag"
_LIMITS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=1,  # targets and one role below it; never into what that role delegates
    timestamp_max_length=16_384,
    snapshot_max_length=65_536,
    targets_max_length=2_000_000,
)


class Link(Enum):
    """Where metadata comes from."""

    ONLINE = "online"
    OFFLINE = "offline"


class _Fetcher(FetcherInterface):
    """Gives python-tuf bytes through a function; the timestamp conditionally, and what comes next before it is asked for.

    python-tuf asks for one file after the other and verifies each before the next. Two waves go ahead of it: the timestamp with the next
    root, and with the timestamp's answer all roles whose version it says has changed. Nothing of it is trusted more: python-tuf asks in its
    own order, is given the bytes that are there, within its own limits, and whatever was fetched in vain is dropped.

    Attributes:
        unchanged: whether a host answered that its timestamp is the cached one.
    """

    def __init__(
        self,
        get: Callable[[str, int, str | None], Body],
        metadata_dir: Path,
        now: datetime,
        *,
        conditional: bool,
    ) -> None:
        self._get = get
        self._metadata_dir = metadata_dir
        self._now = now
        self._conditional = conditional
        self._flights: Flights[Body] = Flights()
        self._held: tuple[bytes, str | None] | None = None
        self.unchanged = False

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, _LIMITS.targets_max_length)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Fetch metadata. Raises DownloadError only, as ngclient expects."""
        try:
            if url.endswith(_TIMESTAMP):
                return self._timestamp(url, max_length)
            if url.endswith(".root.json"):
                return self._root(url, max_length)
            return self._bounded(url, max_length, None).data
        except FetchError as e:
            if isinstance(e, NotFetchedError) and e.status is not None:
                raise tuf_errors.DownloadHTTPError(str(e), e.status) from e
            raise tuf_errors.DownloadError(str(e)) from e

    def _root(self, url: str, max_length: int) -> bytes:
        """The next root, while the timestamp is on its way."""
        timestamp = f"{url.rpartition('/')[0]}{_TIMESTAMP}"
        self._ahead(timestamp, _LIMITS.timestamp_max_length, self._cached(timestamp)[1])
        data = self._bounded(url, max_length, None).data
        self._flights.forget(
            timestamp
        )  # it may be older than this root, and signed with keys of the one before
        return data

    def _timestamp(self, url: str, max_length: int) -> bytes:
        """The timestamp, or the cached one if the host says that it is unchanged."""
        cached, etag = self._cached(url)
        body = self._bounded(url, max_length, etag)
        if body.not_modified:
            self.unchanged = True
            return cached
        self._ask_ahead(url.removesuffix(_TIMESTAMP), body.data)
        if body.etag and _ENTITY_TAG.fullmatch(body.etag):
            stored = {"etag": body.etag, "digest": Digest.of(body.data), "at": self._now.timestamp()}
            note = self._metadata_dir / _NOTE
            write_atomic(note, json.dumps({"url": url, **stored}).encode())
        return body.data

    def _ask_ahead(self, folder: str, timestamp: bytes) -> None:
        """Begin to fetch each role whose version is not the one held."""
        for role, version in hinted_versions(timestamp).items():
            held = read_role(self._metadata_dir, role)
            if held is None or held.version != version:
                limit = _LIMITS.snapshot_max_length if role == "snapshot" else _LIMITS.targets_max_length
                self._ahead(f"{folder}/{version}.{role}.json", limit, None)

    def _ahead(self, url: str, limit: int, etag: str | None) -> None:
        self._flights.ahead(url, lambda: self._get(url, limit, etag))

    def _bounded(self, url: str, max_length: int, etag: str | None) -> Body:
        """What was fetched ahead, else what is fetched now; no longer than python-tuf allows."""
        body = self._flights.get(url, lambda: self._get(url, max_length, etag))
        if len(body.data) > max_length:
            raise TooLargeError(f"{url}: the body is longer than the {max_length} bytes allowed")
        return body

    def _cached(self, url: str) -> tuple[bytes, str | None]:
        """The cached timestamp and its entity tag as they were at first; no tag if the host is to send it whole.

        A host that answers "unchanged" wrongly, or once gave a wrong tag, holds a client up for a day at most.
        """
        if self._held is None:
            self._held = self._read_cached(url) if self._conditional else (b"", None)
        return self._held

    def _read_cached(self, url: str) -> tuple[bytes, str | None]:
        try:
            cached = (self._metadata_dir / "timestamp.json").read_bytes()
            known = json.loads((self._metadata_dir / _NOTE).read_bytes())
            age = self._now.timestamp() - known["at"]
            if (
                (known["url"], known["digest"]) == (url, Digest.of(cached))
                and 0 <= age < _CONDITIONAL_FOR.total_seconds()
                and _ENTITY_TAG.fullmatch(known["etag"])
            ):
                return cached, known["etag"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # nothing cached, or damaged
        return b"", None


class _CachedFetcher(FetcherInterface):
    """Offline: no newer root, and the timestamp that is there already."""

    def __init__(self, metadata_dir: Path) -> None:
        self._metadata_dir = metadata_dir

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url.endswith("root.json"):
            raise tuf_errors.DownloadHTTPError("offline", 404)
        if url.endswith("/timestamp.json"):
            try:
                return iter([(self._metadata_dir / "timestamp.json").read_bytes()])
            except OSError as e:
                raise tuf_errors.DownloadError("nothing cached") from e
        raise tuf_errors.DownloadError("offline")


class Trust:
    """The chain of trust on this machine. Callers hold the store's lock.

    Args:
        metadata_dir: where python-tuf keeps verified metadata.
        root: the pinned root metadata, bytes of a `N.root.json`.
        clock: gives the time against which expiry is judged, UTC.
    """

    def __init__(self, metadata_dir: Path, root: bytes, clock: Callable[[], datetime]) -> None:
        self._dir = metadata_dir
        self._root = root
        self._clock = clock

    def online(self, base_url: str, get: Callable[[str, int, str | None], Body]) -> TrustedView:
        """Refresh from one host: all roles, or nothing.

        python-tuf writes each role as soon as it is verified. It works on a copy here, so that a host that fails half-way,
        or serves a newer snapshot without what belongs to it, costs nothing of what was verified before.

        Raises:
            FetchError: it could not be reached or did not answer in full.
            VerificationError: what it answered is not to be trusted (Signature, Expired, Rollback…).
            ConfigError: the directory cannot be written, or the pinned root is unusable.
        """
        with self._copy() as copy:
            fetcher = _Fetcher(get, copy, self._clock(), conditional=True)
            try:
                view = self._run(base_url, fetcher, copy, Link.ONLINE)
            except (FetchError, VerificationError):
                if not fetcher.unchanged:
                    raise
                # "Unchanged" may have been wrong: once more, with the timestamp itself.
                fetcher = _Fetcher(get, copy, self._clock(), conditional=False)
                view = self._run(base_url, fetcher, copy, Link.ONLINE)
            try:
                _move_files(copy, self._dir)
            except OSError as e:
                raise unwritable(self._dir, e) from e
        return view

    def offline(self) -> TrustedView:
        """The state that was verified before, verified again from disk.

        Raises:
            ExpiredError: it has expired. FetchError: there is none.
        """
        return self._run("offline:", _CachedFetcher(self._dir), self._dir, Link.OFFLINE)

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Path]:
        try:
            self._dir.mkdir(parents=True, exist_ok=True)
            copy = Path(tempfile.mkdtemp(dir=self._dir.parent, prefix=".tmp-"))
        except OSError as e:
            raise unwritable(self._dir, e) from e
        try:
            try:
                shutil.copytree(self._dir, copy, symlinks=True, dirs_exist_ok=True)
            except (OSError, shutil.Error) as e:
                raise unwritable(copy, OSError(str(e))) from e
            yield copy
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _run(self, base_url: str, fetcher: FetcherInterface, folder: Path, link: Link) -> TrustedView:
        where = "cached metadata" if link is Link.OFFLINE else base_url
        try:
            folder.mkdir(parents=True, exist_ok=True)
            updater = Updater(
                str(folder),
                base_url.rstrip("/") + "/metadata/",
                fetcher=fetcher,
                config=_LIMITS,
                bootstrap=self._root,
            )
            # The private attribute is the only way to give python-tuf our clock, and to see what it verified.
            trusted = updater._trusted_set  # noqa: SLF001
            trusted.reference_time = self._clock()
            updater.refresh()
            for path in ("blocks.json", "registry.json"):
                updater.get_targetinfo(path)  # loads the roles `blocks` and `registrar`
            signed = {name: trusted[name] for name in ROLES if name in trusted}
        except tuf_errors.DownloadError as e:
            raise self._download_error(e, where, link) from e
        except (tuf_errors.RepositoryError, ValueError, KeyError, TypeError) as e:
            raise self._verification_error(e, where) from e
        except OSError as e:
            raise unwritable(folder, e) from e
        check_roles(signed, where)
        view = TrustedView(signed)
        check_signing_time(view, where)
        return view

    def _download_error(self, error: Exception, where: str, link: Link) -> RegistryError:
        cause = error.__cause__
        if isinstance(cause, FetchError):
            return cause
        if link is Link.OFFLINE:
            late = [info for info in read_roles(self._dir) if info.expires <= self._clock()]
            if late:
                return self._expired(where, late[0].name)
            return FetchError(
                f"{where}: nothing usable is cached", hint="Connect to the network and run it again."
            )
        if isinstance(error, tuf_errors.DownloadLengthMismatchError):
            return DigestError(f"{where}: metadata is longer than the signed size")
        return FetchError(f"{where}: {error}")

    def _verification_error(self, error: Exception, where: str) -> VerificationError:
        if isinstance(error, tuf_errors.ExpiredMetadataError):
            named = next((role for role in ROLES if re.search(rf"\b{role}\b", str(error))), "newest")
            return self._expired(where, named)
        if isinstance(error, tuf_errors.BadVersionNumberError):
            return RollbackError(
                f"{where}: offers older metadata than was already verified ({error})",
                hint="A cache lags behind, or someone replays old files. Try again in 5 minutes or use a mirror.",
            )
        if isinstance(error, tuf_errors.LengthOrHashMismatchError):
            return DigestError(f"{where}: metadata does not have its signed digest ({error})")
        if isinstance(error, tuf_errors.UnsignedMetadataError):
            return SignatureError(
                f"{where}: metadata is not signed by the keys of this registry ({error})",
                hint="Check the URL and the pinned root; if both are right, the host serves forged files.",
            )
        return VerificationError(
            f"{where}: metadata is not valid: {error}",
            hint="Check the URL: something else than this registry answers there, or its files are damaged.",
        )

    def _expired(self, where: str, role: str) -> ExpiredError:
        now = self._clock().strftime("%Y-%m-%d %H:%M UTC")
        return ExpiredError(
            f"{where}: the {role} metadata has expired (this machine's clock says {now})",
            hint="If the clock is right, the registry's maintainers must renew it: 'publisher registry renew'.",
        )


def _move_files(source: Path, target: Path) -> None:
    """Rename every file of a refreshed copy into place; the timestamp last, because it says which of the others are current."""
    names = sorted(
        path.relative_to(source) for path in source.rglob("*") if path.is_symlink() or path.is_file()
    )
    for name in sorted(names, key=lambda name: name.name == "timestamp.json"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(target / name)


def root_keys(root: bytes) -> list[dict[str, Any]]:
    """The key objects of root metadata.

    Raises:
        VerificationError: not root metadata.
    """
    try:
        signed = Metadata[Root].from_bytes(root).signed
        if not isinstance(signed, Root):
            raise VerificationError("the pinned root is not root metadata")
        return [key.to_dict() for key in signed.keys.values()]
    except (tuf_errors.RepositoryError, ValueError, KeyError, TypeError) as e:
        raise VerificationError(
            f"the pinned root is not root metadata: {e}",
            hint="Pin the file metadata/1.root.json of the registry.",
        ) from e


__all__ = [
    "EXPIRY_DAYS",
    "ROLES",
    "Link",
    "RoleInfo",
    "TargetRef",
    "Trust",
    "TrustedView",
    "keys_in_use",
    "named_digest",
    "read_role",
    "read_roles",
    "role_info",
    "root_keys",
]
