"""`RegistryClient`: read a registry by URL and verify everything.

The chain, each link checked before the next is used: pinned root, timestamp, snapshot, targets, blocks, registrar (TUF), one
index shard, the publisher's keys, the manifest, the artifact.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry_client import catalogue
from registry_client.errors import (
    ConfigError,
    FetchError,
    PluginWarning,
    RegistryError,
    YankedError,
)
from registry_client.fresh import TTL, read_root, utc_now
from registry_client.names import check_plugin_id, check_version
from registry_client.reader import Reader
from registry_client.session import Refreshed, Session, Settings
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from registry_client.catalogue import CatalogueEntry
    from registry_client.credentials import Credentials
    from registry_client.digest import Digest
    from registry_client.fetcher import Fetcher
    from registry_client.models.blocks import Block
    from registry_client.resolve import Choice, Host, Update, VersionInfo
    from registry_client.signed import VerifiedManifest

_PARALLEL = 16


def warn(message: str) -> None:
    """The default for `on_warning`: a `PluginWarning`."""
    warnings.warn(message, PluginWarning, stacklevel=3)


@dataclass(frozen=True)
class Resolution:
    """A version chosen for a host, with its verified manifest.

    Attributes:
        manifest: the verified manifest.
        info: how the version stands.
        warnings: what the user should be told (deprecated…).
    """

    manifest: VerifiedManifest
    info: VersionInfo
    warnings: tuple[str, ...]


class RegistryClient:
    """Reads one registry. Threads may share an object, and processes may share the directories.

    Args:
        url: the registry's base URL.
        root: the pinned root of trust: bytes of a `N.root.json`, or the path of one.
        mirrors: further URLs with the same tree, tried in order; those of the policy follow.
        directories: where state and cache are; by default where the platform keeps such files.
        host: for which host versions are chosen; by default a stable one with this machine's installation id.
        allow_dev_keys: accept development keys, whose private halves anyone can read.
        ttl: seconds within which a host is not asked again.
        timeout: total seconds for the network of one call; `manifests` takes them for each file, 64 at once, where hosts do not answer.
        download_timeout: the same for artifacts.
        clock: the time, UTC.
        on_warning: called with what an owner should know, such as a stale index.
        transport: reaches the hosts; by default HTTP.
        credentials: a read token for a private registry, and which hosts are sent it (`registry_client.credentials`).
            For the HTTP of this package; a `transport` has its own.

    Raises:
        ConfigError: the URL or the root cannot be used.
    """

    def __init__(  # noqa: PLR0913  (keyword options, each with a default)
        self,
        url: str,
        *,
        root: bytes | str | Path,
        mirrors: Sequence[str] = (),
        directories: Directories | None = None,
        host: Host | None = None,
        allow_dev_keys: bool = False,
        ttl: float = TTL,
        timeout: float = 30.0,
        download_timeout: float = 600.0,
        clock: Callable[[], datetime] = utc_now,
        on_warning: Callable[[str], None] = warn,
        transport: Fetcher | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        settings = Settings(ttl, timeout, download_timeout, clock, on_warning, allow_dev_keys)
        pinned = root if isinstance(root, bytes) else read_root(Path(root))
        where = directories or Directories.default()
        self._session = Session((url, *mirrors), pinned, where, settings, transport, credentials)
        self._reader = Reader(self._session)
        self._host = host

    @property
    def reader(self) -> Reader:
        """Index lines and manifests, for tools that look closer."""
        return self._reader

    @property
    def session(self) -> Session:
        """Hosts, state and cache, for tools that report on them."""
        return self._session

    @property
    def host(self) -> Host:
        """For which host versions are chosen."""
        if self._host is None:
            from registry_client.resolve import Host  # noqa: PLC0415

            self._host = Host(self._session.store.install_id())
        return self._host

    def refresh(self) -> Refreshed:
        """Ask a host for the current state now.

        Raises:
            VerificationError: what the hosts serve is not to be trusted.
            FetchError: no host can be reached and nothing is cached.
        """
        refreshed = self._session.refresh()
        try:
            self._session.statements.blocks()
        except FetchError as e:  # whatever is resolved asks for them again, and fails without them
            if refreshed.source is not None:
                raise
            self._session.settings.on_warning(f"the blocks are not known, so nothing can be resolved: {e}")
        return refreshed

    def search(self, text: str = "") -> list[CatalogueEntry]:
        """Entries of the catalogue that hold every word of `text`.

        Raises:
            RegistryError: the catalogue cannot be had or verified.
        """
        data = self._session.cached_catalogue()
        if data is None:
            data = self._session.retrying(lambda: self._session.target(catalogue.CATALOGUE_PATH))
        return catalogue.search_catalogue(data, catalogue.CATALOGUE_PATH, text)

    def versions(self, plugin_id: str) -> list[VersionInfo]:
        """All versions of a plugin, oldest first, as they stand now.

        Raises:
            NotFoundError: no such plugin. RollbackError: a release is older than one seen before.
        """
        _check_id(plugin_id)
        return self._session.retrying(lambda: self._reader.versions(plugin_id))

    def resolve(self, plugin_id: str, range_text: str | None = None) -> Resolution:
        """The newest version that fits a range and may be used, with its verified manifest.

        Args:
            plugin_id: the plugin.
            range_text: PEP 440 specifiers; None for any; `==X.Y.Z` for exactly that version.

        Raises:
            ResolutionError: none fits. VerificationError: what fits does not verify.
        """
        from registry_client.resolve import choose  # noqa: PLC0415

        _check_id(plugin_id)

        def chosen(infos: list[VersionInfo]) -> Choice:
            return choose(plugin_id, infos, range_text, self.host)

        def work() -> Resolution:
            choice = chosen(self._reader.versions(plugin_id, lambda infos: chosen(infos).info.line))
            return Resolution(self._reader.manifest(choice.info.line), choice.info, choice.warnings)

        return self._session.retrying(work)

    def manifest(self, plugin_id: str, version: str) -> VerifiedManifest:
        """The verified manifest of one version, if its status allows asking for it exactly."""
        return self.resolve(plugin_id, f"=={_check_version(version)}").manifest

    def manifests(
        self, plugin_ids: Iterable[str] | None = None
    ) -> dict[str, VerifiedManifest | RegistryError]:
        """The newest usable manifest of each plugin, fetched in parallel.

        One bad plugin never hides the others: its error stands in its place.

        Args:
            plugin_ids: which; by default all of the catalogue.
        """
        from registry_client.bulk import read_manifests  # noqa: PLC0415

        asked = None if plugin_ids is None else list(plugin_ids)

        def one(plugin_id: str) -> VerifiedManifest | RegistryError:
            try:
                return self.resolve(plugin_id).manifest
            except RegistryError as e:
                return e

        found = read_manifests(
            self._session, self._reader, self.host, asked, lambda: [entry.id for entry in self.search()]
        )
        left = [plugin_id for plugin_id, manifest in found.items() if manifest is None]
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        with ThreadPoolExecutor(_PARALLEL) as pool:
            rest = dict(zip(left, pool.map(one, left), strict=True))
        return {plugin_id: manifest or rest[plugin_id] for plugin_id, manifest in found.items()}

    def check_update(self, plugin_id: str, installed: str) -> Update | None:
        """The update that this installation is offered, or None.

        Args:
            plugin_id: the plugin.
            installed: the version that is there.
        """
        from registry_client.resolve import choose_update  # noqa: PLC0415

        return choose_update(self.versions(plugin_id), _check_version(installed), self.host)

    def update_manifest(self, update: Update) -> VerifiedManifest:
        """The verified manifest of an update, with its changelog."""
        return self._session.retrying(lambda: self._reader.manifest(update.info.line))

    def pinned(self, plugin_id: str, version: str, payload_digest: Digest) -> VerifiedManifest:
        """What a lock pins by payload digest: to be had even when the index has expired, under the last known blocks.

        Raises:
            YankedError: a block refuses it. DigestError: not what the lock pins. SignatureError: not signed.
        """
        from registry_client.locked import fetch_pinned  # noqa: PLC0415

        wanted = _check_id(plugin_id), _check_version(version)
        return fetch_pinned(self._session, self._reader, *wanted, payload_digest)

    def blocked(self, plugin_id: str, version: str, payload_digest: Digest | None = None) -> list[Block]:
        """The blocks that hold this version."""
        from registry_client.status import blocks_of  # noqa: PLC0415

        return blocks_of(
            self._session.statements.blocks(), _check_id(plugin_id), _check_version(version), payload_digest
        )

    def download(
        self,
        manifest: VerifiedManifest,
        folder: Path,
        *,
        ecosystem: str | None = None,
        overwrite: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Path]:
        """Download a version's artifacts, verified, into a folder.

        Args:
            manifest: what `resolve` or `manifest` gave.
            folder: made if missing; files appear in it complete or not at all.
            ecosystem: only artifacts for this kind of host.
            overwrite: replace files of the same names with other content. A file that is the artifact already is kept.
            progress: called with file name, bytes so far and total bytes.

        Raises:
            NotFoundError: there is no such artifact. FetchError, DigestError: it cannot be had.
            InstallError: another file of that name is there, and `overwrite` is not set.
        """
        from registry_client.artifacts import download_artifacts  # noqa: PLC0415

        return self._session.retrying(
            lambda: download_artifacts(
                self._session, manifest, folder, ecosystem=ecosystem, overwrite=overwrite, progress=progress
            )
        )


def _check_id(plugin_id: str) -> str:
    try:
        return check_plugin_id(plugin_id)
    except ValueError as e:
        raise ConfigError(str(e)) from e


def _check_version(version: str) -> str:
    try:
        return check_version(version)
    except ValueError as e:
        raise ConfigError(str(e)) from e


__all__ = ["TTL", "RegistryClient", "Resolution", "YankedError", "read_root", "warn"]
