"""The tables of `plugins.toml`: which keys there are and what they may hold. Every problem is found in one go. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Any, Literal

from annotated_types import Len
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from registry_client.errors import Problem
from registry_client.installer.elsewhere.git_url import (
    check_commit,
    check_folder,
    check_git_ref,
    check_git_url,
)
from registry_client.installer.project.model import Auth, Automatic
from registry_client.models.base import Document, Name, PluginId, Url
from registry_client.names import check_plugin_id, check_range, container_name

SOURCES = ("registry", "path", "git", "pypi", "adopted")
_MAX_PATH = 2000
_MAX_KEEP = 100
_RESERVED = frozenset({"pypi", "git", "file", "http", "https", "ssh"})
_AUTH_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_path(text: str) -> str:
    """Give back a path as plugins.toml states it, `/` between its parts.

    Raises:
        ValueError: it is none.
    """
    if "\\" in text:
        raise ValueError(f"expected '/' between the parts of a path, got {text[:80]!r}")
    if not text.strip() or _CONTROL.search(text) or len(text) > _MAX_PATH:
        raise ValueError(f"expected a path, got {text[:80]!r}")
    return text


def check_distribution(text: str) -> str:
    """The name of a distribution on a package index, normalised (PEP 503).

    Raises:
        ValueError: it is none.
    """
    if not _DISTRIBUTION.fullmatch(text):
        raise ValueError(f"expected the name of a distribution such as 'nexus-plugin-x', got {text[:80]!r}")
    return str(canonicalize_name(text))


def check_any_range(text: str) -> str:
    """A range, empty for any version, which is also written `*`.

    Raises:
        ValueError: it is none.
    """
    return "" if text.strip() in {"", "*"} else check_range(text)


def check_registry_name(text: str) -> str:
    """Give back the name of a registry.

    Raises:
        ValueError: it is none, or means something else in front of a colon.
    """
    try:
        check_plugin_id(text)
    except ValueError:
        raise ValueError(
            f"expected a name of a-z, 0-9, '-' and '_' for a registry, got {text[:80]!r}"
        ) from None
    if text in _RESERVED:
        raise ValueError(
            f"{text!r} means something else in 'plugin add {text}:…'; name the registry otherwise"
        )
    return text


def _version(text: str) -> str:
    try:
        Version(text.removesuffix("+"))  # Python's own name for a build after a release ends in '+'
    except InvalidVersion:
        raise ValueError(f'expected a version such as "1.2.0", got {text[:80]!r}') from None
    return text


def _python(value: object) -> object:
    if value is False:
        return False
    if not isinstance(value, str):
        raise ValueError(f'expected a version in quotes, such as "3.12", or false; got {str(value)[:40]}')  # noqa: TRY004  (pydantic collects ValueErrors)
    return _version(value)


def _platform(value: object) -> object:
    if value is False or (isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{1,40}", value)):
        return value
    raise ValueError(
        f'expected a platform such as "linux", "darwin" or "win32", or false; got {str(value)[:40]}'
    )


def _inner_folder(text: str) -> str:
    check_path(text)
    if posixpath.normpath(text).rpartition("/")[2] in {
        "",
        ".",
        "..",
    }:  # the project's own folder, one above it, the root
        raise ValueError(f"expected a folder of the plugins' own, got {text!r}")
    return text


def _auth_host(text: str) -> str:
    if not _AUTH_HOST.fullmatch(text):
        raise ValueError(f"expected host or host:port in lower case, without a scheme; got {text[:80]!r}")
    return text


def _once(items: list[str]) -> list[str]:
    if len(set(items)) != len(items):
        raise ValueError("expected each item once")
    return items


def _adopted(value: object) -> object:
    if value is not True:
        raise ValueError("expected true")
    return value


def _as_table(value: object) -> object:
    if isinstance(value, str):
        return {"range": value}
    if not isinstance(value, dict):
        raise ValueError('expected a range such as ">=1,<2", or a table')  # noqa: TRY004  (pydantic collects ValueErrors)
    return value


class Table(Document):
    """Base of all tables: strict, keys in kebab-case, no others."""

    model_config = ConfigDict(
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
    )


class HostTable(Table):
    """`[host]`."""

    name: Name | None = None
    version: Annotated[str, AfterValidator(_version)] | None = None
    folder: Annotated[str, AfterValidator(_inner_folder)] = "plugins"
    channel: Literal["stable", "testing"] = "stable"
    prereleases: bool = False
    ecosystem: Literal["python", "wordpress", "shopify", "custom"] | None = None
    python: Annotated[Any, BeforeValidator(_python)] = None
    platform: Annotated[Any, BeforeValidator(_platform)] = None


class UpdatesTable(Table):
    """`[updates]`."""

    auto: Automatic = "forced"
    uninstall_blocked: bool = False
    keep: Annotated[int, Field(ge=1, le=_MAX_KEEP)] = 3


class RegistryTable(Table):
    """`[registries.NAME]`."""

    url: Url
    root: Annotated[str, AfterValidator(check_path)]
    mirrors: Annotated[list[Url], Len(0, 20), AfterValidator(_once), Field(default_factory=list)]
    allow_dev_keys: bool = False
    auth: Auth = "env"
    auth_hosts: Annotated[
        list[Annotated[str, AfterValidator(_auth_host)]],
        Len(0, 20),
        AfterValidator(_once),
        Field(default_factory=list),
    ]


class SourcesTable(Table):
    """`[sources]`."""

    pypi: Url = "https://pypi.org/simple/"


class PluginTable(Table):
    """An entry of `[plugins]`; a range alone is one with just that."""

    range: Annotated[str, AfterValidator(check_any_range)] = ""
    registry: str | None = None
    path: Annotated[str, AfterValidator(check_path)] | None = None
    git: Annotated[str, AfterValidator(check_git_url)] | None = None
    tag: Annotated[str, AfterValidator(check_git_ref)] | None = None
    commit: Annotated[str, AfterValidator(check_commit)] | None = None
    subdirectory: Annotated[str, AfterValidator(check_folder)] | None = None
    pypi: Annotated[str, AfterValidator(check_distribution)] | None = None
    adopted: Annotated[Any, BeforeValidator(_adopted)] = None


class ProjectTable(Table):
    """All of plugins.toml."""

    host: HostTable = HostTable()
    updates: UpdatesTable = UpdatesTable()
    registries: Annotated[
        dict[Annotated[str, AfterValidator(check_registry_name)], RegistryTable], Field(default_factory=dict)
    ]
    sources: SourcesTable = SourcesTable()
    plugins: Annotated[
        dict[PluginId, Annotated[PluginTable, BeforeValidator(_as_table)]],
        Len(0, 10_000),
        Field(default_factory=dict),
    ]


_TABLES: dict[str, type[Table]] = {
    "host": HostTable,
    "updates": UpdatesTable,
    "sources": SourcesTable,
    "registries": RegistryTable,
    "plugins": PluginTable,
}
_NAMED = frozenset({"registries", "plugins"})


def read_tables(raw: dict[str, Any]) -> tuple[ProjectTable | None, list[Problem]]:
    """The tables, or everything that is wrong with them."""
    problems = cross_problems(raw)
    try:
        tables = ProjectTable.model_validate(raw)
    except ValidationError as e:
        return None, _problems_of(e) + problems
    return (None if problems else tables), problems


def _problems_of(error: ValidationError) -> list[Problem]:
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = tuple(step for step in item["loc"] if step != "[key]")
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"is not known here; known are {', '.join(_known(path))}"
        elif item["type"] == "missing":
            message = "is missing"
        elif item["type"] in {"model_type", "dict_type"}:
            message = "expected a table"
        found.append(Problem(toml_path(path), message[:1].lower() + message[1:]))
    return found


def _known(path: tuple[int | str, ...]) -> list[str]:
    """The keys of the table in which the last step of a path stands."""
    table = ProjectTable if len(path) == 1 else _TABLES[str(path[0])]
    return [item.alias or name for name, item in table.model_fields.items()]


def toml_path(steps: tuple[int | str, ...]) -> str:
    """`("plugins", "calendar", "range")` as `plugins.calendar.range`."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            shown = step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else ascii(step[:80])
            path += f".{shown}" if path else shown
    return path or "the file"


def cross_problems(raw: dict[str, Any]) -> list[Problem]:
    """What is wrong between keys that may each be right; looks past what is wrong in itself."""
    plugins = raw.get("plugins")
    registries = raw.get("registries")
    host = raw.get("host")
    problems = []
    if isinstance(host, dict) and "version" in host and "name" not in host:
        problems.append(Problem("host.name", "is missing; plugins ask for versions of a host by its name"))
    if not isinstance(plugins, dict):
        return problems
    names = list(registries) if isinstance(registries, dict) else []
    first: dict[str, str] = {}
    for plugin_id, entry in plugins.items():
        known = first.setdefault(container_name(plugin_id), plugin_id)
        if known != plugin_id:
            problems.append(
                Problem(toml_path(("plugins", plugin_id)), f"is the same as {known!r} without '-' and '_'")
            )
        table = {"range": entry} if isinstance(entry, str) else entry
        if isinstance(table, dict):
            problems += _entry_problems(plugin_id, table, names)
    return problems


def _entry_problems(plugin_id: str, table: dict[str, Any], registries: list[str]) -> list[Problem]:
    def problem(message: str, key: str | None = None) -> Problem:
        return Problem(toml_path(("plugins", plugin_id, *([key] if key else []))), message)

    stated = [name for name in SOURCES if name in table]
    if len(stated) > 1:
        return [problem(f"states {' and '.join(stated)}; expected one of {', '.join(SOURCES)}")]
    kind = stated[0] if stated else "registry"
    found = []
    if kind == "registry":
        name = table.get("registry")
        if not registries:
            found.append(problem("comes from a registry, and there is none; add one: [registries.main]"))
        elif isinstance(name, str) and name not in registries:
            found.append(
                problem(f"there is no registry {name[:80]!r}; there is {', '.join(registries)}", "registry")
            )
    if "range" in table and kind not in {"registry", "pypi"}:
        found.append(problem(f"cannot stand beside {kind}, which has one version", "range"))
    if kind == "git":
        if ("tag" in table) == ("commit" in table):
            found.append(problem("expected exactly one of tag and commit beside git"))
    else:
        found += [
            problem("stands beside git only", key)
            for key in ("tag", "commit", "subdirectory")
            if key in table
        ]
    return found
