"""What one run of the command knows: its options, its streams, and how a client is made of them."""

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
    import typer

    from registry_client.cli.output import Output
    from registry_client.client import RegistryClient
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
        registry: the registry's URL; empty where it was not given.
        root: the pinned root; None where it was not given.
        mirrors: further URLs.
        allow_dev_keys: accept development keys.
        channel: `stable` or `testing`.
        applications: versions of the host application by name.
        prereleases: whether prereleases may be chosen.
        timeout: seconds for the network of one call.
    """

    output: Output
    environment: env.Environment
    registry: str = ""
    root: Path | None = None
    mirrors: tuple[str, ...] = ()
    allow_dev_keys: bool = False
    channel: str = "stable"
    applications: dict[str, str] = field(default_factory=dict)
    prereleases: bool = False
    timeout: float = 30.0

    def directories(self) -> Directories:
        """Where state and cache are."""
        from registry_client.store import Directories

        return Directories.default(self.environment.home)

    def client(self, *, choosing: bool = False) -> RegistryClient:
        """A client of the configured registry.

        Args:
            choosing: versions will be chosen, for the host that the options describe.

        Raises:
            ConfigError: no registry or no root of trust is configured, or they cannot be used.
        """
        from registry_client.client import RegistryClient

        url, root = self.url(), self.pinned_root()
        directories = self.directories()
        return RegistryClient(
            url,
            root=root,
            mirrors=self.mirrors,
            directories=directories,
            host=self._host(url, directories) if choosing else None,
            allow_dev_keys=self.allow_dev_keys or self.environment.dev_keys_allowed,
            timeout=self.timeout,
            download_timeout=max(_DOWNLOAD_TIMEOUT, self.timeout),
            on_warning=self.output.warn,
        )

    def url(self) -> str:
        """The registry's URL. Raises ConfigError if it was not given."""
        url = self.registry or self.environment.registry
        if not url:
            raise ConfigError(
                "no registry is configured",
                hint=f"Give its URL with 'plugin --registry URL …', or set {env.REGISTRY}.",
            )
        return url

    def pinned_root(self) -> Path:
        """The pinned root. Raises ConfigError if it was not given."""
        if self.root is not None:
            return self.root
        if self.environment.root:
            return Path(self.environment.root).expanduser()
        raise ConfigError(
            "no root of trust is pinned, so nothing that a registry says could be verified",
            hint="Get metadata/1.root.json from the registry's maintainers over a channel you trust, then "
            f"give it with 'plugin --root FILE …', or set {env.ROOT}.",
        )

    def _host(self, url: str, directories: Directories) -> Host:
        from registry_client.hosts import check_base_url
        from registry_client.resolve import Host
        from registry_client.store import Store

        return Host(
            Store(directories, check_base_url(url)).install_id(),
            channel=self.channel,
            applications=self.applications,
            prereleases=self.prereleases,
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
