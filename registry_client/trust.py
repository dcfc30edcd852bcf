"""TUF: the only module that touches `tuf.ngclient`.

All rules about roots, rotation, rollback and expiry are python-tuf's. This module gives it a fetcher, a clock and a directory, and turns
its errors into ours.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from registry_client.errors import (
    DigestError,
    ExpiredError,
    FetchError,
    NotFetchedError,
    RollbackError,
    SignatureError,
    VerificationError,
)
from registry_client.roles import (
    EXPIRY_DAYS,
    ROLES,
    RoleInfo,
    TargetRef,
    TrustedView,
    check_roles,
    check_signing_time,
    keys_in_use,
    named_digest,
    read_role,
    read_roles,
    role_info,
)
from registry_client.store import unwritable
from registry_client.waves import SNAPSHOT_LIMIT, TARGETS_LIMIT, TIMESTAMP_LIMIT, Waves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from registry_client.errors import RegistryError
    from registry_client.http import Body

_LIMITS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=1,  # targets and one role below it; never into what that role delegates
    timestamp_max_length=TIMESTAMP_LIMIT,
    snapshot_max_length=SNAPSHOT_LIMIT,
    targets_max_length=TARGETS_LIMIT,
)


class Link(Enum):
    """Where metadata comes from."""

    ONLINE = "online"
    OFFLINE = "offline"


class _Fetcher(FetcherInterface):
    """Gives python-tuf what a refresh has fetched, and its errors as python-tuf knows them."""

    def __init__(self, waves: Waves) -> None:
        self._waves = waves

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, TARGETS_LIMIT)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Fetch metadata. Raises DownloadError only, as ngclient expects."""
        try:
            return self._waves.get(url, max_length)
        except FetchError as e:
            if isinstance(e, NotFetchedError) and e.status is not None:
                raise tuf_errors.DownloadHTTPError(str(e), e.status) from e
            raise tuf_errors.DownloadError(str(e)) from e


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
            waves = Waves(get, copy, self._clock(), conditional=True)
            try:
                view = self._run(base_url, _Fetcher(waves), copy, Link.ONLINE)
            except (FetchError, VerificationError):
                if not waves.unchanged:
                    raise
                # "Unchanged" may have been wrong: once more, with the timestamp itself.
                waves = Waves(get, copy, self._clock(), conditional=False)
                view = self._run(base_url, _Fetcher(waves), copy, Link.ONLINE)
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
