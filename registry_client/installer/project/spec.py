"""What a person writes after `plugin add`. Pure.

`calendar`, `calendar>=1,<2`, `main:calendar==1.2.0`, `./folder`, `x-1.0.0.zip`, `git+https://host/x.git@v1.0.0#subdirectory=x`,
`pypi:NAME==1.0`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from registry_client.errors import ConfigError
from registry_client.installer.elsewhere.git_url import check_folder, check_git_ref, check_git_url, is_commit
from registry_client.installer.elsewhere.peek import archive_suffix
from registry_client.installer.project.sources import (
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
    Source,
)
from registry_client.names import check_plugin_id, check_range, check_version

if TYPE_CHECKING:
    from registry_client.installer.project.model import Project

_PATH = re.compile(r"\.{1,2}$|\.{0,2}[/\\]|[A-Za-z]:[/\\]")
_RANGED = re.compile(r"(?P<name>[^<>=!~]*?)\s*(?P<range>[<>=!~].*)?", re.DOTALL)
_EXAMPLES = "Write it as calendar, calendar>=1,<2, ./folder, git+https://host/x.git@v1.0.0 or pypi:NAME."


@dataclass(frozen=True)
class Wish:
    """What was written.

    Attributes:
        source: where the plugin comes from.
        range: PEP 440 specifiers; empty for any version, or where the source has one version only.
        id: the plugin; None for an unsigned source, whose content says it.
    """

    source: Source
    range: str = ""
    id: str | None = None


def parse_wish(text: str, project: Project, *, here: Path | None = None) -> Wish:
    """Read what was written after `plugin add`.

    Args:
        text: what was written.
        project: whose registries and package index are meant.
        here: the folder that relative paths start from; by default the project's.

    Raises:
        ConfigError: it cannot be read; says how to write it.
    """
    text = text.strip()
    try:
        _check_text(text)
        if text.startswith("git+"):
            return Wish(_git(text))
        if text.startswith("pypi:"):
            return _pypi(text.removeprefix("pypi:"), project)
        if _PATH.match(text) or ("://" not in text and archive_suffix(text)):
            return Wish(PathSource(_relative(text, project, here)))
        _check_no_url(text)
        return _from_registry(text, project)
    except ValueError as e:
        raise ConfigError(f"{_shown(text)!r}: {e}", hint=_EXAMPLES) from e


def _check_text(text: str) -> None:
    if not text or re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("expected a plugin")


def _check_no_url(text: str) -> None:
    if "://" in text or re.match(r"[^/:@]+@[^/:@]+:", text):
        raise ConfigError(
            f"{_shown(text)!r}: a URL cannot be added as it is",
            hint="A Git repository is written git+https://host/x.git@v1.0.0; download anything else and add the file.",
        )


def _from_registry(text: str, project: Project) -> Wish:
    registry, colon, rest = text.partition(":")
    if not colon:
        registry, rest = next(iter(project.registries), ""), text
    elif registry not in project.registries:
        known = ", ".join(project.registries) or "none yet"
        raise ConfigError(
            f"{_shown(text)!r}: there is no registry {registry[:80]!r} in {project.path.name}; there is {known}",
            hint=f"Add it there: [registries.{registry}]."
            if re.fullmatch("[a-z0-9_-]+", registry)
            else _EXAMPLES,
        )
    if "@" in rest:
        name, _, version = rest.partition("@")
        hint = f"Write {name}=={version}." if _is_version(version) else _EXAMPLES
        raise ConfigError(f"{_shown(text)!r}: a version does not stand after '@'", hint=hint)
    name, wanted = _split_range(rest)
    plugin_id = check_plugin_id(name)
    if not registry:
        raise ConfigError(
            f"{plugin_id}: {project.path} names no registry it could come from",
            hint="Add one there: [registries.main] with url and root.",
        )
    return Wish(RegistrySource(registry), wanted, plugin_id)


def _is_version(text: str) -> bool:
    try:
        check_version(text)
    except ValueError:
        return False
    return True


def _split_range(text: str) -> tuple[str, str]:
    match = _RANGED.fullmatch(text)
    name, wanted = (match["name"], match["range"] or "") if match else (text, "")
    return name, check_range(wanted) if wanted else ""


def _pypi(text: str, project: Project) -> Wish:
    from registry_client.installer.project.tables import check_distribution  # noqa: PLC0415  (loads the models)

    if "[" in text or ";" in text:
        raise ValueError("extras and markers cannot be chosen; add the distribution alone")
    name, wanted = _split_range(text)
    return Wish(PypiSource(check_distribution(name), project.index), wanted)


def _git(text: str) -> GitSource:
    address, _, fragment = text.removeprefix("git+").partition("#")
    start = address.find("://") + 3 if "://" in address else 0
    slash = address.find("/", start)
    at = address.rfind("@", slash) if slash >= 0 else -1
    if at < 0:
        check_git_url(address)
        raise ConfigError(
            f"{_shown(text)!r}: expected a tag or a commit after the URL",
            hint=f"Write git+{_shown(address)}@v1.0.0, or a commit in full after the '@'.",
        )
    url, ref = check_git_url(address[:at]), address[at + 1 :]
    subdirectory = ""
    if fragment:
        members = parse_qs(fragment, keep_blank_values=True, strict_parsing=True)
        if set(members) != {"subdirectory"} or len(members["subdirectory"]) != 1:
            raise ValueError("expected nothing but subdirectory=FOLDER after '#'")
        subdirectory = check_folder(members["subdirectory"][0].strip("/"))
    return GitSource(url, ref if is_commit(ref) else check_git_ref(ref), subdirectory)


def _relative(text: str, project: Project, here: Path | None) -> str:
    """A path as plugins.toml states it: relative to its folder, unless it was given absolute and stands elsewhere."""
    top = project.path.parent
    windows = os.name == "nt"
    if not windows and ("\\" in text or PureWindowsPath(text).drive):
        raise ValueError("expected '/' between the parts of a path")
    given = Path(text)
    full = Path(os.path.abspath((here or top) / given))  # noqa: PTH100  (links stay as they are)
    if full.is_relative_to(top):
        inside = full.relative_to(top).as_posix()
        return inside if inside == "." else f"./{inside}"
    if given.is_absolute():
        return full.as_posix()
    try:
        return Path(os.path.relpath(full, top)).as_posix()
    except ValueError:  # on another drive
        return full.as_posix()


def _shown(text: str) -> str:
    return re.sub(r"(://|^git\+)[^/@\s]+:[^/@\s]*@", r"\1***@", text)[:120]


__all__ = ["Wish", "parse_wish"]
