"""Directories on this machine: state that must not be lost, and a cache that may be.

State: TUF metadata, the blocks last seen, the highest release revisions seen, the installation id.
Cache: verified bytes by digest, checked again at each read; what is remembered of the hosts. Every write goes to a temporary file and
is renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry_client.digest import Digest
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry_client.health import Health

APP = "plugin-registry"
_INSTALL_ID_TIMEOUT = 10.0
_HOSTS = "hosts.json"
_NO_TIME = 1e15  # seconds; a time is nowhere near


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that readers see the old bytes or the new ones, never a part.

    Raises:
        OSError: nothing was changed.
    """
    import tempfile  # noqa: PLC0415  (searching writes nothing)

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


@dataclass(frozen=True)
class Directories:
    """Where state and cache are.

    Attributes:
        state: kept; losing it loses the protection against rollback.
        cache: may be deleted at any time.
    """

    state: Path
    cache: Path

    @classmethod
    def default(cls, home: Path | None = None) -> Directories:
        """Below `home`, or where the platform keeps such files (platformdirs)."""
        if home is not None:
            return cls(home / "state", home / "cache")
        import platformdirs  # noqa: PLC0415  (not needed with PLUGIN_REGISTRY_HOME)

        return cls(platformdirs.user_state_path(APP), platformdirs.user_cache_path(APP))


@dataclass(frozen=True)
class View:
    """What the last verified refresh found: enough to search inside the TTL without TUF.

    Attributes:
        root: digest of the root of trust that the host pinned.
        checked_at: when a host was last asked, seconds since 1970.
        not_before: no host is asked again before this time.
        expires: the earliest expiry of the verified metadata.
        catalogue: digest of registry.json.
        policy: digest of policy.json.
        dev_keys: whether development keys are in use.
        source: the URL that answered last.
    """

    root: str
    checked_at: float
    not_before: float
    expires: float
    catalogue: str
    policy: str
    dev_keys: bool
    source: str = ""


@dataclass(frozen=True)
class HeldBlocks:
    """The blocks last verified.

    Attributes:
        version: version of the TUF role `blocks` that named them; 0 where it is not known.
        data: blocks.json as received.
    """

    version: int
    data: bytes


class Store:
    """State and cache of one registry.

    Args:
        directories: where they are.
        url: the registry's configured URL; each has its own state.
    """

    def __init__(self, directories: Directories, url: str) -> None:
        key = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:24]
        self._directories = directories
        self.state = directories.state / key
        self.cache = directories.cache / key

    @property
    def metadata(self) -> Path:
        """TUF metadata, kept by python-tuf."""
        return self.state / "metadata"

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Keep other processes and threads out of the state.

        Raises:
            ConfigError: the directory cannot be written, or the lock was not free within `timeout` seconds.
        """
        with _locked(self.state / "lock", timeout):
            yield

    def read_object(self, digest: Digest) -> bytes | None:
        """Cached bytes with this digest, or None. A damaged file counts as absent."""
        try:
            data = self._object(digest).read_bytes()
        except OSError:
            return None
        return data if Digest.of(data) == digest else None

    def has_object(self, digest: Digest) -> bool:
        """Whether bytes are cached under this digest; `read_object` says whether they are sound."""
        return self._object(digest).exists()

    def write_object(self, digest: Digest, data: bytes) -> None:
        """Cache bytes whose digest was checked. A cache that cannot be written is no error."""
        with contextlib.suppress(OSError):
            write_atomic(self._object(digest), data)

    def _object(self, digest: Digest) -> Path:
        return self.cache / digest.hex[:2] / digest.hex

    def read_health(self) -> Health:
        """What is remembered of the hosts; nothing where the file is damaged, too long or from another version."""
        from registry_client.health import LARGEST_FILE, parse_health  # noqa: PLC0415  (only where a host is asked)

        try:
            with (self.cache / _HOSTS).open("rb") as file:
                return parse_health(file.read(LARGEST_FILE + 1))
        except OSError:
            return parse_health(b"")

    def write_health(self, health: Health) -> bool:
        """Remember the health of the hosts, and say whether it could be written. Of processes that write at once, the last counts."""
        from registry_client.health import dump_health  # noqa: PLC0415

        try:
            write_atomic(self.cache / _HOSTS, dump_health(health))
        except OSError:
            return False
        return True

    def read_view(self) -> View | None:
        """What the last refresh found, or None."""
        raw = _read_json(self.state / "view.json")
        try:
            return _check_view(View(**raw)) if raw is not None else None
        except (TypeError, ValueError):  # written by another version, or damaged
            return None

    def write_view(self, view: View) -> None:
        """Remember what a refresh found."""
        self._write("view.json", json.dumps(asdict(view)).encode())

    def read_blocks(self) -> HeldBlocks | None:
        """The blocks last verified; they do not expire. A damaged file is given as it is, so that it does not pass for none."""
        try:
            raw = (self.state / "blocks.json").read_bytes()
        except OSError:
            return None
        try:
            stored = json.loads(raw)
            version, text = stored["version"], stored["document"]
            if type(version) is int and version > 0:
                return HeldBlocks(version, text.encode())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        return HeldBlocks(0, raw)

    def write_blocks(self, held: HeldBlocks, timeout: float) -> None:
        """Remember verified blocks, unless newer ones are held: another process may have read on.

        Versions are simply compared: those of `blocks` never start again, not even when its key or its delegation was replaced.

        Raises:
            ConfigError: they cannot be written, or the lock was not free within `timeout` seconds.
        """
        if not _replaces(held, self.read_blocks()):
            return
        with self.locked(timeout):
            if _replaces(held, self.read_blocks()):
                stored = {"version": held.version, "document": held.data.decode()}
                self._write("blocks.json", json.dumps(stored).encode())

    def read_revisions(self, plugin_id: str) -> dict[str, tuple[int, str]]:
        """Highest release revision seen and its payload digest, by version."""
        raw = _read_json(self.state / "revisions" / f"{plugin_id}.json") or {}
        return {
            version: (item[0], item[1])
            for version, item in raw.items()
            if isinstance(item, list) and list(map(type, item)) == [int, str]
        }

    def write_revisions(self, plugin_id: str, revisions: dict[str, tuple[int, str]]) -> None:
        """Remember revisions. Call it under the lock, with what `read_revisions` gave under the same lock."""
        self._write(f"revisions/{plugin_id}.json", json.dumps(revisions, sort_keys=True).encode())

    def install_id(self) -> str:
        """A random name of this installation, made once; it decides which rollouts it is in."""
        path = self._directories.state / "install-id"
        found = _read_install_id(path)
        if found is not None:
            return found
        with _locked(path.with_name("install-id.lock"), _INSTALL_ID_TIMEOUT):
            found = _read_install_id(path)  # another process may have been faster
            if found is None:
                import uuid  # noqa: PLC0415  (needed once)

                found = uuid.uuid4().hex
                try:
                    write_atomic(path, found.encode())
                except OSError as e:
                    raise unwritable(path, e) from e
            return found

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_atomic(self.state / name, data)
        except OSError as e:
            raise unwritable(self.state / name, e) from e


@contextlib.contextmanager
def _locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock file, made with its folder if missing. Raises ConfigError."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  (only for what changes state)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=timeout, thread_local=False)
        lock.acquire()
    except Timeout as e:
        raise ConfigError(
            f"{path.parent}: locked by another process for {timeout:.0f} seconds",
            hint="Wait for it, or look for a hung process that uses this registry.",
        ) from e
    except OSError as e:
        raise unwritable(path.parent, e) from e
    try:
        yield
    finally:
        lock.release()


def _read_install_id(path: Path) -> str | None:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):  # not there, or damaged
        return None
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else None


def unwritable(path: Path, error: OSError) -> ConfigError:
    """The error for a directory that cannot be written."""
    return ConfigError(
        f"{path}: cannot be written ({error.strerror or error})",
        hint="Free space or permissions are missing; PLUGIN_REGISTRY_HOME names another directory.",
    )


def _replaces(new: HeldBlocks, held: HeldBlocks | None) -> bool:
    return held is None or (new != held and new.version >= held.version)


def _check_view(view: View) -> View:
    """Give a view back. Raises ValueError or TypeError where a member is not what it should be."""
    for digest in (view.root, view.catalogue, view.policy):
        Digest(digest)
    times = (view.checked_at, view.not_before, view.expires)
    if not all(type(time) in {int, float} and -_NO_TIME < time < _NO_TIME for time in times):
        raise ValueError("expected times")
    if not isinstance(view.dev_keys, bool) or not isinstance(view.source, str):
        raise TypeError("expected true or false, and a text")
    return view


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) else None
