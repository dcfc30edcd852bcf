"""`plugins.toml`: found, read, checked. `project_edit.py` changes it."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError, DocumentError, Problem
from registry_client.installer.project.model import (
    PROJECT_NAME,
    HostConfig,
    Project,
    RegistryConfig,
    UpdatePolicy,
    Wanted,
)
from registry_client.installer.project.sources import (
    AdoptedSource,
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
    Source,
)
from registry_client.installer.project.tables import PluginTable, ProjectTable, read_tables
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry_client.resolve import Host

PROJECT_LIMIT = MIB
_INIT = "Make one: 'plugin init'."


def load_project(path: Path) -> Project:
    """Read a plugins.toml, or the one in a folder.

    Raises:
        ConfigError: there is none, or it cannot be read.
        DocumentError: it breaks its rules; lists every problem.
    """
    file = absolute(path / PROJECT_NAME if path.is_dir() else path)
    try:
        with file.open("rb") as stream:
            data = stream.read(PROJECT_LIMIT + 1)
    except FileNotFoundError as e:
        raise ConfigError(f"{file}: no such file", hint=_INIT) from e
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read ({e.strerror or e})", hint="Check its permissions.") from e
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        raise _refused(file, f"is not UTF-8 (byte {e.start})") from e
    return parse_project(text, file)


def parse_project(
    text: str, path: Path, *, python: str | None = None, platform: str | None = None
) -> Project:
    """Parse plugins.toml. Pure.

    Args:
        text: its text.
        path: where it is, absolute: other paths start from its folder.
        python: the host's Python version where the file states none; by default the running interpreter's.
        platform: the host's platform where the file states none; by default this machine's.

    Raises:
        DocumentError: it breaks its rules; lists every problem, with TOML paths.
    """
    tables, problems = read_tables(_parse_toml(text, path))
    if tables is None:
        raise DocumentError(str(path), problems, hint=f"Correct {path.name}, then try again.")
    registries = {name: _registry(name, tables, path) for name in tables.registries}
    index = tables.sources.pypi.rstrip("/") + "/"
    first = next(iter(registries), "")
    return Project(
        path=path,
        text=text,
        host=_host(tables, path, python or python_version(), platform or sys.platform),
        updates=UpdatePolicy(tables.updates.auto, tables.updates.uninstall_blocked, tables.updates.keep),
        registries=registries,
        plugins={
            plugin_id: Wanted(plugin_id, _source(entry, first, index), entry.range)
            for plugin_id, entry in tables.plugins.items()
        },
        index=index,
    )


def _parse_toml(text: str, path: Path) -> dict[str, object]:
    if len(text.encode(errors="surrogatepass")) > PROJECT_LIMIT:
        raise _refused(path, f"is longer than {PROJECT_LIMIT} bytes")
    if text.startswith("\ufeff"):
        raise _refused(path, "starts with a byte order mark; write UTF-8 without one")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise _refused(path, f"is not TOML: {str(e)[:200]}") from e
    except RecursionError as e:
        raise _refused(path, "is nested too deeply") from e
    except ValueError as e:  # an integer of thousands of digits
        raise _refused(path, "is not TOML: a number in it is too long") from e


def _refused(path: Path, message: str) -> DocumentError:
    return DocumentError(
        str(path), [Problem("the file", message)], hint=f"Correct {path.name}, then try again."
    )


def _host(tables: ProjectTable, path: Path, python: str, platform: str) -> HostConfig:
    table = tables.host
    return HostConfig(
        folder=absolute(path.parent / table.folder),
        name=table.name or "",
        version=table.version or "",
        channel=table.channel,
        prereleases=table.prereleases,
        ecosystem=table.ecosystem,
        python=None if table.python is False else table.python or python,
        platform=None if table.platform is False else table.platform or platform,
    )


def _registry(name: str, tables: ProjectTable, path: Path) -> RegistryConfig:
    table = tables.registries[name]
    return RegistryConfig(
        name=name,
        url=table.url,
        root=absolute(path.parent / table.root),
        mirrors=tuple(table.mirrors),
        allow_dev_keys=table.allow_dev_keys,
        auth=table.auth,
        auth_hosts=tuple(table.auth_hosts),
    )


def _source(entry: PluginTable, registry: str, index: str) -> Source:
    if entry.path is not None:
        return PathSource(entry.path)
    if entry.git is not None:
        return GitSource(entry.git, entry.tag or entry.commit or "", entry.subdirectory or "")
    if entry.pypi is not None:
        return PypiSource(entry.pypi, index)
    if entry.adopted:
        return AdoptedSource()
    return RegistrySource(entry.registry or registry)


def host_of(project: Project, install_id: str) -> Host:
    """The host application as versions are chosen for it.

    Args:
        project: what plugins.toml says.
        install_id: the installation's, which decides the rollouts it is in.
    """
    from registry_client.resolve import Host  # noqa: PLC0415  (listing what is installed chooses no versions)

    host = project.host
    applications: Mapping[str, str] = {host.name: host.version} if host.name and host.version else {}
    return Host(
        install_id=install_id,
        channel=host.channel,
        applications=applications,
        python=host.python,
        platform=host.platform,
        prereleases=host.prereleases,
    )


def absolute(path: Path) -> Path:
    """A path from the top, `..` taken out, links left as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve follows links, Path.absolute keeps '..')


__all__ = [
    "PROJECT_LIMIT",
    "absolute",
    "host_of",
    "load_project",
    "parse_project",
]
