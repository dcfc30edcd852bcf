"""Which plugins.toml is meant, and which registries it names: read with the standard library alone.

Searching and completing words need no more of a project, and the models that check it take longer to import than a search
takes. Whatever does not look as it should is left to `project.py`, which says what is wrong.
"""

from __future__ import annotations

from os.path import abspath, isdir, lexists
from pathlib import Path
from typing import Any

from registry_client.errors import ConfigError
from registry_client.installer.project.model import PROJECT_NAME, RegistryConfig

_LIMIT = 1024 * 1024
_KNOWN = {"url": str, "root": str, "mirrors": list, "allow-dev-keys": bool, "auth": str, "auth-hosts": list}
_AUTH = frozenset({"none", "env", "netrc", "keyring"})


def find_project(start: Path) -> Path | None:
    """The plugins.toml of a folder or of the nearest folder above it; None where there is none."""
    try:
        top = Path(abspath(start))  # noqa: PTH100  (Path.resolve follows links, Path.absolute keeps '..')
    except OSError:  # the working directory was deleted
        return None
    for folder in (top, *top.parents):
        path = folder / PROJECT_NAME
        try:
            if path.is_file():
                return path
        except OSError:  # a folder that may not be looked into
            continue
    return None


def named_project(given: Path) -> Path:
    """The plugins.toml that someone named: the file, or the one in a folder. It need not be there, nor need the folder.

    Raises:
        ConfigError: a relative path, and there is no folder that it starts from.
    """
    try:
        path = Path(abspath(given.expanduser()))  # noqa: PTH100  (as above)
    except (OSError, RuntimeError) as e:  # RuntimeError: no home directory
        raise ConfigError(
            f"{given}: cannot be found ({e})", hint="Give the project's path from the top."
        ) from e
    # os.path's functions: those of Path raise where one may not look.
    is_file = lexists(path) and not isdir(path)  # noqa: PTH112
    return path if is_file or (path.suffix == ".toml" and not isdir(path)) else path / PROJECT_NAME  # noqa: PTH112


def read_registries(path: Path) -> dict[str, RegistryConfig]:
    """The registries of a plugins.toml by name, in the file's order.

    Raises:
        ConfigError: it cannot be read. DocumentError: it breaks its rules.
    """
    found = _quickly(path)
    if found is None:
        from registry_client.installer.project.file import load_project  # noqa: PLC0415  (loads the models)

        return dict(load_project(path).registries)
    return found


def _quickly(path: Path) -> dict[str, RegistryConfig] | None:
    """The registries, if they look as they should."""
    import tomllib  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        tables = tomllib.loads(data.decode()).get("registries", {}) if len(data) <= _LIMIT else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(tables, dict):
        return None
    found = {name: _registry(name, table, path.parent) for name, table in tables.items()}
    made = {name: config for name, config in found.items() if config is not None}
    return made if len(made) == len(found) else None


def _registry(name: str, table: Any, folder: Path) -> RegistryConfig | None:
    if not isinstance(table, dict) or not {"url", "root"} <= table.keys() <= _KNOWN.keys():
        return None
    auth = table.get("auth", "env")
    lists = [*table.get("mirrors", ()), *table.get("auth-hosts", ())] if _typed(table) else [None]
    if auth not in _AUTH or not all(isinstance(item, str) for item in lists):
        return None
    return RegistryConfig(
        name=name,
        url=table["url"],
        root=Path(abspath(folder / table["root"])),  # noqa: PTH100  (as above)
        mirrors=tuple(table.get("mirrors", ())),
        allow_dev_keys=table.get("allow-dev-keys", False),
        auth=auth,
        auth_hosts=tuple(table.get("auth-hosts", ())),
    )


def _typed(table: dict[str, Any]) -> bool:
    return all(isinstance(value, _KNOWN[key]) for key, value in table.items())
