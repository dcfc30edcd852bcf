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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api import exceptions as tuf_errors
from tuf.api.metadata import Metadata, Root, Targets
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
    VerificationError,
)
from registry_client.store import unwritable, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tuf.api.metadata import Signed

    from registry_client.errors import RegistryError
    from registry_client.http import Body

EXPIRY_DAYS = "x-plugin-registry-expiry-days"
"""Member of every role's signed part: for how many days it is signed. Expiry minus this is when it was signed."""

ROLES = ("root", "timestamp", "snapshot", "targets", "blocks", "registrar")
_DELEGATED = ("blocks", "registrar")
_MAX_EXPIRY_DAYS = 3660
_ENTITY_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')  # RFC 9110 8.8.3; not `*`, which matches anything
_CONDITIONAL_FOR = timedelta(days=1)
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


@dataclass(frozen=True)
class TargetRef:
    """What TUF says of one target.

    Attributes:
        path: the target's path.
        size: bytes.
        digest: sha256.
        served_path: where it is served: below `targets/`, its name prefixed with the digest.
        role_version: version of the role's metadata that names it.
        custom: what its signers say of it besides (TUF specification 4.5).
    """

    path: str
    size: int
    digest: Digest
    served_path: str
    role_version: int
    custom: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RoleInfo:
    """Version and times of one role's metadata, as last verified."""

    name: str
    version: int
    expires: datetime
    signed_at: datetime | None


class TrustedView:
    """One verified, consistent state of a registry. Reads nothing, neither from the network nor from the disk.

    Args:
        signed: the signed part of each role's metadata by the role's name, verified.
    """

    def __init__(self, signed: Mapping[str, Signed]) -> None:
        self._targets = {name: role for name, role in signed.items() if isinstance(role, Targets)}
        self.roles = {
            name: RoleInfo(
                name,
                role.version,
                role.expires,
                _signing_time(role.expires, role.unrecognized_fields.get(EXPIRY_DAYS)),
            )
            for name, role in signed.items()
        }

    @property
    def expires(self) -> datetime:
        """When the first of the roles expires."""
        return min(info.expires for info in self.roles.values())

    def find(self, path: str) -> TargetRef | None:
        """What the roles say of a target, or None if they do not know it.

        Raises:
            VerificationError: they name it without a usable digest.
        """
        found = ((role, role.targets[path]) for role in self._holders(path) if path in role.targets)
        role, info = next(found, (None, None))
        if role is None or info is None:
            return None
        try:
            digest = Digest.from_hex(info.hashes["sha256"])
        except (KeyError, ValueError) as e:
            raise VerificationError(
                f"{path}: the signed metadata names it without a sha256 digest",
                hint="The registry is damaged; its maintainers can see why with 'publisher registry audit'.",
            ) from e
        folder, _, name = path.rpartition("/")
        served = f"targets/{folder}/{digest.hex}.{name}" if folder else f"targets/{digest.hex}.{name}"
        custom = info.custom if isinstance(info.custom, dict) else {}
        return TargetRef(path, info.length, digest, served, role.version, custom)

    def _holders(self, path: str) -> Iterator[Targets]:
        """Who may name a target, in TUF's order: `targets`, then those of the known roles to which it delegates the path."""
        top = self._targets["targets"]
        yield top
        if top.delegations is not None:
            for name, terminating in top.delegations.get_roles_for_target(path):
                if name in self._targets:
                    yield self._targets[name]
                if terminating:
                    return


class _Fetcher(FetcherInterface):
    """Gives python-tuf bytes through a function; the timestamp conditionally.

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
        self.unchanged = False

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield self.download_bytes(url, _LIMITS.targets_max_length)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Fetch metadata. Raises DownloadError only, as ngclient expects."""
        try:
            if url.endswith("/timestamp.json"):
                return self._timestamp(url, max_length)
            return self._get(url, max_length, None).data
        except FetchError as e:
            if isinstance(e, NotFetchedError) and e.status is not None:
                raise tuf_errors.DownloadHTTPError(str(e), e.status) from e
            raise tuf_errors.DownloadError(str(e)) from e

    def _timestamp(self, url: str, max_length: int) -> bytes:
        """The timestamp, or the cached one if the host says that it is unchanged."""
        note = self._metadata_dir / "timestamp.etag"
        cached, etag = self._cached(url, note) if self._conditional else (b"", None)
        body = self._get(url, max_length, etag)
        if body.not_modified:
            self.unchanged = True
            return cached
        if body.etag and _ENTITY_TAG.fullmatch(body.etag):
            stored = {"etag": body.etag, "digest": Digest.of(body.data), "at": self._now.timestamp()}
            write_atomic(note, json.dumps({"url": url, **stored}).encode())
        return body.data

    def _cached(self, url: str, note: Path) -> tuple[bytes, str | None]:
        """The cached timestamp and its entity tag; no tag if the host is to send it whole.

        A host that answers "unchanged" wrongly, or once gave a wrong tag, holds a client up for a day at most.
        """
        try:
            cached = (self._metadata_dir / "timestamp.json").read_bytes()
            known = json.loads(note.read_bytes())
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
        _check_roles(signed, where)
        view = TrustedView(signed)
        _check_signing_time(view, where)
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


def _check_roles(signed: Mapping[str, Signed], where: str) -> None:
    """Refuse a state that lacks a role, or in which `blocks` or `registrar` hands on what was delegated to it."""
    for name in _DELEGATED:
        role = signed.get(name)
        if not isinstance(role, Targets):
            raise VerificationError(
                f"{where}: the targets metadata does not delegate to the role {name}",
                hint="The registry is incomplete; its maintainers can see why with 'publisher registry audit'.",
            )
        if role.delegations is not None:
            raise VerificationError(
                f"{where}: the {name} metadata delegates to other roles, which it may not",
                hint="Its key may have been stolen. Tell the registry's maintainers.",
            )


def _check_signing_time(view: TrustedView, where: str) -> None:
    """Refuse a state whose timestamp was signed when some of it had expired already: the clock here is behind, or it is forged.

    So a clock that was set back revives nothing. The signing time is compared with what the timestamp itself names, and
    not kept as a time of its own: who steals the online key and signs far in the future makes a state that is refused,
    and nothing stays behind that would keep a later state from being accepted.
    """
    signed_at = view.roles["timestamp"].signed_at
    late = next((i for i in view.roles.values() if signed_at is not None and i.expires <= signed_at), None)
    if late is not None:
        raise ExpiredError(
            f"{where}: the {late.name} metadata expired at {late.expires:%Y-%m-%d %H:%M} UTC, "
            f"before the timestamp was signed ({signed_at:%Y-%m-%d %H:%M} UTC)",
            hint="The registry's maintainers must renew it: 'publisher registry renew'.",
        )


def _move_files(source: Path, target: Path) -> None:
    """Rename every file of a refreshed copy into place; the timestamp last, because it says which of the others are current."""
    names = sorted(
        path.relative_to(source) for path in source.rglob("*") if path.is_symlink() or path.is_file()
    )
    for name in sorted(names, key=lambda name: name.name == "timestamp.json"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(target / name)


def read_roles(metadata_dir: Path) -> list[RoleInfo]:
    """Version and times of the metadata on disk, which python-tuf verified before it wrote it."""
    return [info for info in (read_role(metadata_dir, name) for name in ROLES) if info is not None]


def read_role(metadata_dir: Path, name: str) -> RoleInfo | None:
    """What `read_roles` says of one role; None where there is no readable metadata of it."""
    try:
        return role_info(name, json.loads((metadata_dir / f"{name}.json").read_bytes())["signed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keys_in_use(metadata_dir: Path) -> list[dict[str, Any]]:
    """The key objects of the verified root and of the delegations of targets."""
    keys: list[dict[str, Any]] = []
    for name in ("root", "targets"):
        try:
            signed = json.loads((metadata_dir / f"{name}.json").read_bytes())["signed"]
            holder = signed if name == "root" else signed["delegations"]
            keys += holder["keys"].values()
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return keys


def role_info(name: str, signed: dict[str, Any]) -> RoleInfo:
    """Version and times out of the signed part of TUF metadata."""
    expires = datetime.fromisoformat(signed["expires"]).astimezone(UTC)
    return RoleInfo(
        name, int(signed["version"]), expires, _signing_time(expires, signed.get(EXPIRY_DAYS))
    )


def _signing_time(expires: datetime, days: object) -> datetime | None:
    """When metadata was signed; None where it does not say, or says what cannot be."""
    if type(days) is not int or not 1 <= days <= _MAX_EXPIRY_DAYS:
        return None
    try:
        return expires - timedelta(days=days)
    except OverflowError:
        return None


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
