"""`[tool.plugin]` in pyproject.toml: the registry's members, and what `[project]` says already."""

from __future__ import annotations

import tomllib
import typing
from typing import TYPE_CHECKING, Any

from publisher.adapters import members
from publisher.adapters.configuration import put_configuration
from publisher.adapters.draft import Converted, Draft, below, identify, title
from publisher.adapters.edit import toml_with_version
from publisher.adapters.requirements import packages_of, read_requirements
from publisher.adapters.values import put_author, put_license, put_url, put_version, take_range
from publisher.source_model import SourceManifest
from registry_client.errors import ManifestError, Problem
from registry_client.models.base import Document

if TYPE_CHECKING:
    from publisher.adapters.files import SourceFiles

NAME = "[tool.plugin] of a Python project"
FILE = "pyproject.toml"
_TOML_LIMIT = 1024 * 1024
_PROJECT = "$.project"
_PLUGIN = "$.tool.plugin"
_CARRIED = frozenset({
    *("name", "version", "description", "readme", "authors", "license", "urls", "requires-python", "dependencies"),
    *("keywords", "dynamic"),
})  # fmt: skip
_URLS = {
    "homepage": "homepage",
    "home": "homepage",
    "repository": "repository",
    "source": "repository",
    "github": "repository",
    "sourcecode": "repository",
    "code": "repository",
    "documentation": "documentation",
    "docs": "documentation",
}
# Written by functions of their own, as their values may take other forms than the model's.
_SPECIAL = frozenset({"id", "name", "version", "icon", "screenshots", "configuration", "author", "license"})


def parse(files: SourceFiles, path: str) -> tuple[str, dict[str, Any]]:
    """The file's text and what it says.

    Raises:
        ConfigError: it cannot be read. ManifestError: not UTF-8, or no TOML.
    """
    data = files.read(path, _TOML_LIMIT)
    try:
        text = data.decode("utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as e:
        raise ManifestError(path, [Problem("$", f"is not UTF-8 (byte {e.start})")]) from e
    except RecursionError as e:
        raise ManifestError(path, [Problem("$", "nested too deep")]) from e
    except ValueError as e:
        raise ManifestError(path, [Problem("$", f"is not TOML: {str(e)[:200]}")]) from e


def has_plugin(document: dict[str, Any]) -> bool:
    """Whether there is a `[tool.plugin]`."""
    return isinstance(_object(document.get("tool")).get("plugin"), dict)


def convert(
    files: SourceFiles, path: str, text: str, document: dict[str, Any], *, repository: str
) -> Converted:
    """The registry's manifest out of a Python project's metadata.

    Args:
        files: the plugin's folder.
        path: the file's path in it.
        text: its text.
        document: what it says.
        repository: the repository's name, for an id.
    """
    draft = Draft()
    project = _object(document.get("project"))
    plugin = aliased(SourceManifest, _object(_object(document.get("tool")).get("plugin")))
    identify(
        draft,
        [
            (f"{_PLUGIN}.id", plugin.get("id")),
            (f"{_PROJECT}.name", project.get("name")),
            ("the repository's name", repository),
        ],
    )
    title(
        draft,
        [
            (f"{_PLUGIN}.name", plugin.get("name")),
            (f"{_PROJECT}.name", project.get("name")),
            ("", repository),
        ],
    )
    places = _put_version(draft, project, plugin)
    _put_project(draft, files, project, plugin)
    draft.raw |= {name: value for name, value in plugin.items() if name not in _SPECIAL | {"requires"}}
    for name, put in (("author", put_author), ("license", put_license)):
        if name in plugin:
            put(draft, plugin[name], f"{_PLUGIN}.{name}")
    members.put_pictures(draft, files, plugin, _PLUGIN)
    put_configuration(draft, files, plugin.get("configuration"), f"{_PLUGIN}.configuration")
    if "artifacts" not in plugin:
        draft.put("artifacts", [{"ecosystem": "python", "pack": "."}])
    elif plugin["artifacts"] == []:
        del draft.raw["artifacts"]
    draft.leave_out(project, _CARRIED, _PROJECT, path)
    return draft.converted(lambda version: {path: toml_with_version(text, places, version, path)})


def _put_version(draft: Draft, project: dict[str, Any], plugin: dict[str, Any]) -> list[tuple[str, ...]]:
    """Set the version; returns where it stands."""
    own, shared = plugin.get("version"), project.get("version")
    if own is None and shared is None and "version" in _list(project.get("dynamic")):
        draft.problem(f"{_PROJECT}.version", "is dynamic; state a version in [tool.plugin]")
    put_version(draft, shared if own is None else own, f"{_PROJECT if own is None else _PLUGIN}.version")
    if own is None:
        return [("project", "version")] if shared is not None or project else [("tool", "plugin", "version")]
    return [("tool", "plugin", "version")] + ([("project", "version")] if shared == own else [])


def _put_project(draft: Draft, files: SourceFiles, project: dict[str, Any], plugin: dict[str, Any]) -> None:
    """What `[project]` says, where `[tool.plugin]` does not say otherwise."""
    members.put_words(draft, {name: project.get(name) for name in ("description", "keywords")}, _PROJECT)
    authors = project.get("authors")
    if "author" not in plugin and authors:
        put_author(draft, authors, f"{_PROJECT}.authors")
    if "license" not in plugin:
        put_license(draft, project.get("license"), f"{_PROJECT}.license")
    for label, url in _object(project.get("urls")).items():
        at = below(f"{_PROJECT}.urls", label)
        member = _URLS.get("".join(label.lower().split()).replace("-", ""))
        if member is None:
            draft.note(at, f"not in the registry's manifest; it stays in the packed {FILE}")
        elif member not in plugin:
            put_url(draft, member, url, at)
    _put_requires(draft, files, project, plugin.get("requires"))


def _put_requires(draft: Draft, files: SourceFiles, project: dict[str, Any], stated: Any) -> None:
    if stated is not None and not isinstance(stated, dict):
        draft.problem(f"{_PLUGIN}.requires", "expected a table")
        return
    requires = dict(stated or {})
    python = take_range(draft, project.get("requires-python"), f"{_PROJECT}.requires-python")
    if python is not None:
        requires.setdefault("python", python)
    packages = packages_of(draft, project.get("dependencies"), f"{_PROJECT}.dependencies")
    if "dependencies" in _list(project.get("dynamic")):
        packages += read_requirements(draft, files)
    if packages and isinstance(requires.get("packages", []), list):
        requires["packages"] = list(dict.fromkeys([*map(str, requires.get("packages", [])), *packages]))
    draft.put("requires", requires)


def aliased(model: type[Document], table: dict[str, Any]) -> dict[str, Any]:
    """A table with the model's names, whether written in kebab, snake or camel case. Values that are data stay."""
    by_key = {
        _key(item.alias or name): (item.alias or name, item.annotation)
        for name, item in model.model_fields.items()
    }
    found: dict[str, Any] = {}
    for name, value in table.items():
        alias, annotation = by_key.get(_key(name), (name, None))
        inner = _model_in(annotation)
        if inner is not None and isinstance(value, dict):
            value = aliased(inner, value)  # noqa: PLW2901  (the same value, renamed inside)
        elif inner is not None and isinstance(value, list):
            value = [aliased(inner, item) if isinstance(item, dict) else item for item in value]  # noqa: PLW2901
        found[name if alias in found else alias] = value
    return found


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _model_in(annotation: Any) -> type[Document] | None:
    """The model that a field holds, alone, optional, or in a tuple; not in a mapping, whose names are data."""
    origin = typing.get_origin(annotation)
    if origin is None:
        return annotation if isinstance(annotation, type) and issubclass(annotation, Document) else None
    if origin is dict:
        return None
    return next(
        (found for part in typing.get_args(annotation) if (found := _model_in(part)) is not None), None
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


__all__ = ["FILE", "NAME", "aliased", "convert", "has_plugin", "parse"]
