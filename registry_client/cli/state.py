"""What one run of the command knows: its options, its streams, its project, and how clients and installers are made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.cli import env
from registry_client.cli.text import counted
from registry_client.errors import ConfigError
from registry_client.names import check_plugin_id, check_range, check_version

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

    from registry_client.cli.output import Output
    from registry_client.client import RegistryClient
    from registry_client.credentials import Credentials
    from registry_client.installer.installer import Installer
    from registry_client.installer.project.model import Project, RegistryConfig
    from registry_client.installer.registries import Access
    from registry_client.resolve import Host
    from registry_client.store import Directories

_DOWNLOAD_TIMEOUT = 600.0
_SPEC = re.compile(r"([^<>=!~\s,;@\[\]()]*) *(.*)", re.DOTALL)


@dataclass
class State:
    """Options before the command, as typer and the environment gave them.

    Attributes:
        output: the streams.
        environment: what the environment says.
        project_option: a plugins.toml or its folder; None where it was not given.
        registry: the registry's URL; empty where it was not given.
        root: the pinned root; None where it was not given.
        mirrors: further URLs.
        allow_dev_keys: accept development keys.
        channel: `stable` or `testing`; empty where it was not given.
        applications: versions of the host application by name.
        prereleases: whether prereleases may be chosen.
        timeout: seconds for the network of one call.
    """

    output: Output
    environment: env.Environment
    project_option: Path | None = None
    registry: str = ""
    root: Path | None = None
    mirrors: tuple[str, ...] = ()
    allow_dev_keys: bool = False
    channel: str = ""
    applications: dict[str, str] = field(default_factory=dict)
    prereleases: bool = False
    timeout: float = 30.0

    def directories(self) -> Directories:
        """Where state and cache are."""
        from registry_client.store import Directories

        return Directories.default(self.environment.home)

    # -- the project ----------------------------------------------------------------------------------------------

    def project_path(self) -> Path | None:
        """The plugins.toml that is meant: the one given, else the nearest upwards from here; None where there is none."""
        from registry_client.installer.project.nearest import find_project, named_project

        if self.project_option is not None:
            return named_project(self.project_option)
        return find_project(Path())

    def project(self) -> Project | None:
        """What the project says; None where there is none.

        Raises:
            ConfigError: it cannot be read. DocumentError: it breaks its rules.
        """
        path = self.project_path()
        if path is None:
            return None
        from registry_client.installer.project.file import load_project

        return load_project(path)

    def installer(
        self, progress: Callable[[str, int, int], None] | None = None, *, offline: bool = False
    ) -> Installer:
        """The plugins of the project.

        Args:
            progress: told of downloads.
            offline: no host will be asked, so no token is looked for.

        Raises:
            ConfigError: there is no plugins.toml, or it cannot be read. DocumentError: it breaks its rules.
        """
        path = self.project_path()
        self._refuse_options(path)
        if path is None:
            raise ConfigError(
                "there is no plugins.toml here or in a folder above",
                hint="Make one: 'plugin init'; or name the project: 'plugin --project DIR …'.",
            )
        from registry_client.installer.installer import Installer

        return Installer(
            path, self.access(offline=offline), environment=env.process_variables(), progress=progress
        )

    def _refuse_options(self, path: Path | None) -> None:
        """What plugins.toml states is not overridden in passing: the lock would answer something else than the file.

        Raises:
            ConfigError: an option says something else.
        """
        given = {
            "--registry": self.registry,
            "--root": self.root,
            "--mirror": self.mirrors,
            "--host": self.applications,
            "--channel": self.channel,
            "--prereleases": self.prereleases,
        }
        for option, value in given.items():
            if value:
                raise ConfigError(
                    f"{option}: cannot be given for a project: what {path or 'its plugins.toml'} says counts",
                    hint="Leave the option out, or change that file. For another registry, leave the project's folder.",
                )

    def access(self, *, offline: bool = False) -> Access:
        """How the registries of the project are reached; without tokens where no host will be asked."""
        from registry_client.installer.registries import Access

        return Access(
            self.directories(),
            self.output.warn,
            credentials=(lambda _: None) if offline else self.credentials,
            allow_dev_keys=self.allow_dev_keys or self.environment.dev_keys_allowed,
            timeout=self.timeout,
        )

    def credentials(self, config: RegistryConfig) -> Credentials | None:
        """The read token of a registry of the project, from where its `auth` says.

        Raises:
            ConfigError: there should be one, but it cannot be had, or not be sent.
        """
        token = self.environment.token(config.name, only=self._only(config)) if config.auth == "env" else ""
        if config.auth == "none" or (config.auth == "env" and not token):
            return None  # before the import: searching a public registry needs nothing of it
        from registry_client import credentials

        if config.auth == "netrc":
            return credentials.from_netrc(config.url, self.environment.netrc, config.auth_hosts)
        if config.auth == "keyring":
            return credentials.from_keyring(config.url, also=config.auth_hosts)
        return credentials.from_token(config.url, token, config.auth_hosts)

    def _only(self, config: RegistryConfig) -> bool:
        """Whether no other registry is configured, so that the token that names none is meant for this one."""
        if not self.environment.token():
            return False
        from registry_client.installer.project.nearest import read_registries

        path = self.project_path()
        known = read_registries(path).values() if path is not None else ()
        return all(other.url == config.url for other in known)

    # -- the registry that commands without a project ask -----------------------------------------------------------

    def client(self, *, choosing: bool = False, registry: str = "", offline: bool = False) -> RegistryClient:
        """A client of the configured registry.

        Args:
            choosing: versions will be chosen, for the host that the options or the project describe.
            registry: its name in the project; by default the one that was given, else the project's first.
            offline: no host will be asked, so no token is looked for.

        Raises:
            ConfigError: no registry or no root of trust is configured, or they cannot be used.
        """
        from registry_client.client import RegistryClient

        config, own = self.configured(registry)
        directories = self.directories()
        return RegistryClient(
            config.url,
            root=config.root,
            mirrors=config.mirrors,
            directories=directories,
            host=self._host(config.url, directories, own=own) if choosing else None,
            allow_dev_keys=config.allow_dev_keys or self.allow_dev_keys or self.environment.dev_keys_allowed,
            timeout=self.timeout,
            download_timeout=max(_DOWNLOAD_TIMEOUT, self.timeout),
            on_warning=self.output.warn,
            credentials=None if offline else self.credentials(config),
        )

    @property
    def names_registry(self) -> bool:
        """Whether the options name a registry, so that the project's is not meant."""
        return bool(self.registry)

    def configured(self, name: str = "") -> tuple[RegistryConfig, bool]:
        """The registry that is meant, and whether it is one of the project's.

        Args:
            name: its name in the project; by default the one that was given, else the project's first.

        Raises:
            ConfigError: none is configured, or no root of trust for it. DocumentError: the project breaks its rules.
        """
        from dataclasses import replace

        from registry_client.installer.project.model import RegistryConfig

        found = self._of_project(name)
        if found is not None:
            return replace(found, root=self.root or found.root, mirrors=(*self.mirrors, *found.mirrors)), True
        url = self.registry or self.environment.registry
        if not url:
            raise ConfigError(
                "no registry is configured",
                hint=f"Give its URL with 'plugin --registry URL …', set {env.REGISTRY}, or name it in plugins.toml.",
            )
        return RegistryConfig("", url, self.root or self._environment_root(), self.mirrors), False

    def _of_project(self, name: str) -> RegistryConfig | None:
        """The project's registry, unless the options name another: what was typed comes first, the environment last."""
        path = self.project_path() if name or not self.names_registry else None
        if path is None:
            return None
        from registry_client.installer.project.nearest import read_registries

        known = read_registries(path)
        return known.get(name) if name else next(iter(known.values()), None)

    def _environment_root(self) -> Path:
        if self.environment.root:
            return env.expanded(self.environment.root)
        raise ConfigError(
            "no root of trust is pinned, so nothing that a registry says could be verified",
            hint="Get metadata/1.root.json from the registry's maintainers over a channel you trust, then "
            f"give it with 'plugin --root FILE …', or set {env.ROOT}.",
        )

    def _host(self, url: str, directories: Directories, *, own: bool) -> Host:
        from dataclasses import replace

        from registry_client.resolve import Host
        from registry_client.store import Store
        from registry_client.urls import check_base_url

        install_id = Store(directories, check_base_url(url)).install_id()
        project = self.project() if own else None
        if project is None:
            host = Host(install_id)
        else:
            from registry_client.installer.project.file import host_of

            host = host_of(project, install_id)
        return replace(
            host,
            channel=self.channel or host.channel,
            applications={**(host.applications or {}), **self.applications},
            prereleases=self.prereleases or host.prereleases,
        )

    def used(self, client: RegistryClient) -> None:
        """Say what the network was used for, if `--verbose` asks."""
        if self.output.verbose:
            usage = client.session.transport.usage
            self.output.detail(f"{counted(usage.requests, 'request')}, {counted(usage.bytes, 'byte')}")


def state_of(ctx: typer.Context) -> State:
    """The state of this run."""
    state = ctx.find_object(State)
    if state is None:  # pragma: no cover  (main always makes one)
        raise ConfigError("the command was not started by its entry point")
    return state


def parse_spec(text: str) -> tuple[str, str | None]:
    """A plugin id with an optional range, such as `calendar>=1,<2`.

    Raises:
        ConfigError: not of that form.
    """
    match = _SPEC.fullmatch(text)
    plugin_id, range_text = (match[1], match[2]) if match else (text, "")
    try:
        check_plugin_id(plugin_id)
        if range_text:
            check_range(range_text)
    except ValueError as e:
        raise ConfigError(f"{text[:80]!r}: {e}", hint=_spec_hint(plugin_id, range_text)) from e
    return plugin_id, range_text or None


def _spec_hint(plugin_id: str, range_text: str) -> str:
    version = range_text.lstrip("=@vV ").strip()
    try:
        return f"Write {check_plugin_id(plugin_id)}=={check_version(version)} for exactly that version."
    except ValueError:
        return "Write an id, or an id and a range in quotes: calendar, 'calendar==1.2.0' or 'calendar>=1,<2'."


def parse_exact(text: str) -> tuple[str, str]:
    """A plugin id with a version, written `ID==VERSION`.

    Raises:
        ConfigError: not of that form.
    """
    from registry_client.resolve import exact_version

    plugin_id, range_text = parse_spec(text)
    version = exact_version(range_text)
    if version is None:
        raise ConfigError(f"{text[:80]!r}: expected ID==VERSION", hint=f"Such as {plugin_id}==1.2.0.")
    return plugin_id, version


def parse_applications(texts: list[str]) -> dict[str, str]:
    """Versions of host applications out of `NAME=VERSION` texts.

    Raises:
        ConfigError: not of that form.
    """
    found = {}
    for text in texts:
        name, _, version = text.partition("=")
        try:
            found[name.strip()] = check_version(version.lstrip("=").strip())
        except ValueError as e:
            raise ConfigError(
                f"--host {text[:80]!r}: {e}", hint="Write it as NAME=VERSION, such as nexus=1.2.0."
            ) from e
        if not name.strip():
            raise ConfigError(f"--host {text[:80]!r}: the name is missing", hint="Write it as NAME=VERSION.")
    return found
