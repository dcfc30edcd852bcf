"""The registries of a project, read through one verifying client each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.digest import Digest
from registry_client.errors import ConfigError, RegistryError
from registry_client.fresh import read_root, utc_now
from registry_client.installer.project.file import host_of
from registry_client.installer.project.lockfile import LockedRegistry
from registry_client.store import Store
from registry_client.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from registry_client.client import RegistryClient
    from registry_client.credentials import Credentials
    from registry_client.fetcher import Fetcher
    from registry_client.installer.project.model import Project, RegistryConfig
    from registry_client.resolve import Host, VersionInfo
    from registry_client.store import Directories

_PARALLEL = 16


@dataclass(frozen=True)
class Access:
    """How the registries are reached.

    Attributes:
        directories: state and cache of the clients.
        on_warning: called with what an owner should know.
        credentials: gives the read token of a registry, or None.
        allow_dev_keys: accept development keys in every registry.
        timeout: seconds for the network of one call.
        clock: the time, UTC.
        transport: reaches the hosts; by default HTTP.
    """

    directories: Directories
    on_warning: Callable[[str], None]
    credentials: Callable[[RegistryConfig], Credentials | None] = lambda _config: None
    allow_dev_keys: bool = False
    timeout: float = 30.0
    clock: Callable[[], datetime] = utc_now
    transport: Fetcher | None = None


class Registries:
    """A client for each registry of a project, made when it is first needed; the catalogue that resolution reads.

    Args:
        project: names the registries.
        access: how they are reached.
    """

    def __init__(self, project: Project, access: Access) -> None:
        self._project = project
        self._access = access
        self._clients: dict[str, RegistryClient] = {}
        self._known: dict[tuple[str, str], list[VersionInfo] | RegistryError] = {}

    def host(self) -> Host:
        """The host that versions are chosen for, with this machine's installation id."""
        first = next(iter(self._project.registries.values()), None)
        url = check_base_url(first.url) if first else "none"  # the id is one for all registries
        return host_of(self._project, Store(self._access.directories, url).install_id())

    def client(self, name: str) -> RegistryClient:
        """The client of a registry.

        Raises:
            ConfigError: plugins.toml has no registry of that name, or its root cannot be read.
        """
        if name not in self._clients:
            from registry_client.client import RegistryClient  # noqa: PLC0415  (where nothing changes, nobody is asked)

            config = self._config(name)
            access = self._access
            self._clients[name] = RegistryClient(
                config.url,
                root=config.root,
                mirrors=config.mirrors,
                directories=access.directories,
                host=self.host(),
                allow_dev_keys=access.allow_dev_keys or config.allow_dev_keys,
                timeout=access.timeout,
                clock=access.clock,
                on_warning=access.on_warning,
                transport=access.transport,
                credentials=access.credentials(config),
            )
        return self._clients[name]

    def locked(self) -> dict[str, LockedRegistry]:
        """The registries as the lock states them.

        Raises:
            ConfigError: a root cannot be read.
        """
        return {
            name: LockedRegistry.model_validate(
                {"url": check_base_url(config.url), "root": Digest.of(read_root(config.root))}
            )
            for name, config in self._project.registries.items()
        }

    def _config(self, name: str) -> RegistryConfig:
        try:
            return self._project.registries[name]
        except KeyError as e:
            raise ConfigError(
                f"{self._project.path}: there is no registry {name!r}",
                hint=f"Add a table [registries.{name}] with url and root.",
            ) from e

    # -- the catalogue that resolution reads ----------------------------------------------------------------------

    def prefetch(self, wanted: Collection[tuple[str, str]]) -> None:
        """Have the versions of these plugins at hand, fetched in parallel. What fails is raised when it is asked for."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        from registry_client.shards import bits_of  # noqa: PLC0415

        missing = sorted(
            {key for key in wanted if key not in self._known}, key=lambda k: (k[0], bits_of(k[1]))
        )
        self.ask_ahead(missing)
        if len(missing) < 2:  # noqa: PLR2004  (one needs no threads)
            return
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for key, found in zip(missing, pool.map(self._look, missing), strict=True):
                self._known[key] = found

    def ask_ahead(self, wanted: Collection[tuple[str, str]]) -> None:
        """Begin to fetch what the versions of these plugins will need, each of its registry. What fails is raised when it is asked for."""
        for name in {name for name, _ in wanted}:
            with contextlib.suppress(RegistryError):
                self.client(name).reader.ask_ahead(plugin_id for own, plugin_id in wanted if own == name)

    def versions(self, registry: str, plugin_id: str) -> Sequence[VersionInfo]:
        """All versions of a plugin, as they stand now.

        Raises:
            NotFoundError: the registry has no such plugin. RegistryError: it cannot be read or verified.
        """
        key = registry, plugin_id
        if key not in self._known:
            self._known[key] = self._look(key)
        found = self._known[key]
        if isinstance(found, RegistryError):
            raise found
        return found

    def _look(self, key: tuple[str, str]) -> list[VersionInfo] | RegistryError:
        name, plugin_id = key
        try:
            return self.client(name).versions(plugin_id)
        except RegistryError as e:
            return e
