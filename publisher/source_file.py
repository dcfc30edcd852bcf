"""A plugin's source manifest, found and read: in the registry's own form, or in another one, which an adapter reads as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from publisher.adapters import REGISTRY, Detected, Folder, Note, detect, repository_name
from registry_client.errors import ConfigError, ManifestError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOURCE_NAME = "manifest.json"


@dataclass(frozen=True)
class ReadSource:
    """A source manifest as it was read, however wrong it is.

    Attributes:
        path: the file.
        text: its text.
        raw: the JSON object in the registry's source form, without members that are null.
        form: what the file is.
        why: what shows that it is.
        notes: what an adapter could not carry over, or not as it stands.
        problems: what an adapter found wrong.
        rewrite: as in `Source`.
        changelog: as in `Source`.
    """

    path: Path
    text: str
    raw: dict[str, Any]
    form: str = REGISTRY
    why: str = ""
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()
    rewrite: Callable[[str], dict[str, bytes]] | None = field(default=None, compare=False)
    changelog: Callable[[str], str | None] | None = field(default=None, compare=False)


def find_source(path: Path) -> Path:
    """The source manifest that a path means: the file itself, or the one in the folder.

    Raises:
        ConfigError: there is none, or several could be meant.
        ManifestError: one of them cannot be read.
    """
    found, folder = _detect(path)
    return folder / found.path


def _detect(path: Path) -> tuple[Detected, Path]:
    """The manifest that a path means, and its folder. Errors name the file by its path."""
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as e:  # a name that is too long, a folder that may not be entered
        raise ConfigError(f"{str(path)[:200]}: cannot be read ({getattr(e, 'strerror', None) or e})") from e
    if not is_folder and not is_file:
        raise ConfigError(
            f"{path}: no such file", hint=f"Name a folder with a {SOURCE_NAME} in it, or the file itself."
        )
    folder, name = (path, None) if is_folder else (path.parent, path.name)
    try:
        return detect(Folder(folder), name), folder
    except ManifestError as e:
        raise ManifestError(str(folder / e.where), list(e.problems), hint=e.hint) from e
    except ConfigError as e:
        raise ConfigError(f"{folder}: {e.message}", hint=e.hint) from e


def read_source(path: Path, *, repository: str | None = None) -> ReadSource:
    """A source manifest in the registry's form, whatever form it is in, and however wrong it is otherwise.

    Args:
        path: the file, or the plugin's folder.
        repository: the repository's name, for manifests that have no id; by default as `repository_name` finds it.

    Raises:
        ConfigError: there is none, several could be meant, or it cannot be read.
        ManifestError: not a JSON object, or ambiguous.
    """
    found, folder = _detect(path)
    full = folder / found.path
    if found.convert is None:
        return ReadSource(full, found.text, without_nulls(found.raw or {}), why=found.why)
    try:
        made = found.convert(repository_name(folder) if repository is None else repository)
    except ConfigError as e:
        raise ConfigError(f"{folder}: {e.message}", hint=e.hint) from e
    return ReadSource(
        full,
        found.text,
        without_nulls(made.raw),
        found.form,
        found.why,
        made.notes,
        made.problems,
        made.with_version,
        made.changelog,
    )


def without_nulls(value: Any, *, top: bool = True) -> Any:
    """The value without members that are null, save in `configuration`: there null means something."""
    if isinstance(value, dict):
        return {
            name: member if top and name == "configuration" else without_nulls(member, top=False)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [without_nulls(item, top=False) for item in value]
    return value


__all__ = ["SOURCE_NAME", "ReadSource", "find_source", "read_source", "without_nulls"]
