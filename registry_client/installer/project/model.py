"""What `plugins.toml` says, as frozen objects. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry_client.installer.project.sources import Source

PROJECT_NAME = "plugins.toml"
LOCK_NAME = "plugins.lock"
Auth = Literal["none", "env", "netrc", "keyring"]
Automatic = Literal["none", "forced", "patch", "minor", "all"]


@dataclass(frozen=True)
class HostConfig:
    """The table `[host]`: the application that loads the plugins.

    Attributes:
        name: what plugins call it in `requires.host`; empty where it was not stated.
        version: its version; empty where it was not stated.
        folder: where plugins are installed, absolute.
        channel: `stable` or `testing`.
        prereleases: whether prereleases may be chosen.
        ecosystem: which artifacts it can use; None where each version has those of one ecosystem only.
        python: its Python version; None where it has none.
        platform: as `sys.platform` names it; None where that does not matter.
    """

    folder: Path
    name: str = ""
    version: str = ""
    channel: Literal["stable", "testing"] = "stable"
    prereleases: bool = False
    ecosystem: Literal["python", "wordpress", "shopify", "custom"] | None = None
    python: str | None = None
    platform: str | None = None


@dataclass(frozen=True)
class UpdatePolicy:
    """The table `[updates]`: what `plugin upgrade --auto` may do without asking.

    Attributes:
        auto: `forced`: only updates that publishers force; `patch`, `minor`: also updates that change no more than
            that number; `all`; or `none`, not even forced ones.
        uninstall_blocked: remove what a block says to uninstall, instead of disabling it.
        keep: how many versions of each plugin stay for a rollback, the current one included.
    """

    auto: Automatic = "forced"
    uninstall_blocked: bool = False
    keep: int = 3


@dataclass(frozen=True)
class RegistryConfig:
    """A table `[registries.NAME]`.

    Attributes:
        name: its name in this project.
        url: its base URL.
        root: the pinned root of trust, absolute path.
        mirrors: further URLs.
        allow_dev_keys: accept development keys.
        auth: where the read token comes from.
        auth_hosts: further hosts, `host` or `host:port`, that are sent the token: a mirror, an artifact host.
    """

    name: str
    url: str
    root: Path
    mirrors: tuple[str, ...] = ()
    allow_dev_keys: bool = False
    auth: Auth = "env"
    auth_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """An entry of `[plugins]`.

    Attributes:
        id: the plugin.
        source: where it comes from.
        range: PEP 440 specifiers; empty for any version. Registries and package indexes only.
    """

    id: str
    source: Source
    range: str = ""


@dataclass(frozen=True)
class Project:
    """A whole plugins.toml.

    Attributes:
        path: the file, absolute.
        text: its text, which edits keep.
        host: the host application.
        updates: what is updated without asking.
        registries: by name, in the file's order; the first is the one that plugins come from that name none.
        plugins: by id, in the file's order.
        index: base URL of the Python package index for `pypi:` sources.
    """

    path: Path
    text: str
    host: HostConfig
    updates: UpdatePolicy = field(default_factory=UpdatePolicy)
    registries: Mapping[str, RegistryConfig] = field(default_factory=dict)
    plugins: Mapping[str, Wanted] = field(default_factory=dict)
    index: str = "https://pypi.org/simple/"

    @property
    def lock_path(self) -> Path:
        """Where plugins.lock is: beside it."""
        return self.path.with_name(LOCK_NAME)
