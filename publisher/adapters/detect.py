"""Which form a plugin's folder is in: what is there decides, and what would be a guess is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.adapters import dashboard, nexidra, nexus, pyproject, wordpress
from registry_client.errors import ConfigError, DocumentError, ManifestError, Problem
from registry_client.jsontext import parse_json
from registry_client.models.manifest import MANIFEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from publisher.adapters.draft import Converted
    from publisher.adapters.files import SourceFiles

MANIFEST = "manifest.json"
REGISTRY = "registry manifest"
# What only the registry's own form has: it decides, so that a slip in it is reported as one.
_OWN = frozenset(
    {"$schema", "kind", "schemaVersion", "initialStatus", "artifacts", "requires", "packaged", "signatures"}
)


@dataclass(frozen=True)
class Detected:
    """A manifest that was found.

    Attributes:
        path: the file, relative to the folder.
        form: what it is called.
        why: what shows it.
        text: the file's text; what is not UTF-8 in it is replaced.
        raw: the JSON object as it stands, of a manifest in the registry's form; else None.
        convert: makes the registry's manifest; None where it is one.
    """

    path: str
    form: str
    why: str
    text: str = ""
    raw: dict[str, Any] | None = None
    convert: Callable[[str], Converted] | None = None


def detect(files: SourceFiles, name: str | None = None) -> Detected:
    """Find a plugin's manifest.

    A manifest.json in the registry's form comes first. Else there is to be one of: a manifest.json in another form,
    a plugin.json, a pyproject.toml with `[tool.plugin]`, a PHP file with a plugin's header.

    Args:
        files: the plugin's folder.
        name: the file to take, if it is named.

    Raises:
        ConfigError: none, or several that could be meant.
        ManifestError: the file is no JSON or TOML.
    """
    if name is not None:
        return _named(files, name)
    found = []
    if files.exists(MANIFEST) or MANIFEST in files.names():
        found.append(_of_json(files, MANIFEST))
        if found[0].convert is None:
            return found[0]
    if files.exists(nexidra.FILE):
        found.append(_of_json(files, nexidra.FILE))
    if files.exists(pyproject.FILE) and (project := _of_toml(files)) is not None:
        found.append(project)
    found += [_of_php(files, path) for path in wordpress.main_files(files)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            f"{MANIFEST}: no such file, nor a manifest in a form that is read as it is",
            hint=f"Name a folder with a {MANIFEST} in it (or plugin.json, pyproject.toml with [tool.plugin], "
            "a WordPress plugin), or the file itself.",
        )
    several = " and ".join(f"{item.path} ({item.form}, by {item.why})" for item in found)
    raise ConfigError(
        f"{several}: which one says what the plugin is?",
        hint=f"Name the file itself, or keep it: 'publisher convert {found[0].path} --write'.",
    )


def _named(files: SourceFiles, name: str) -> Detected:
    if name.endswith(".toml"):
        found = _of_toml(files, name)
        if found is None:
            raise ConfigError(f"{name}: has no [tool.plugin]", hint="Add the table, or name another file.")
        return found
    if name.endswith(".php"):
        return _of_php(files, name)
    if name == wordpress.README:
        raise ConfigError(
            f"{name}: goes with a WordPress plugin", hint="Name its main PHP file, or the folder."
        )
    return _of_json(files, name)


def _of_json(files: SourceFiles, path: str) -> Detected:
    data = files.head(path, MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise ManifestError(path, [Problem("$", f"too many bytes; at most {MANIFEST_LIMIT} are allowed")])
    try:
        raw = parse_json(data, limit=MANIFEST_LIMIT, where=path)
    except DocumentError as e:
        raise ManifestError(e.where, list(e.problems)) from e
    text = data.decode()
    adapter, why = _adapter_of(raw, path)
    if adapter is None:
        return Detected(path, REGISTRY, why, text, raw)
    if not raw:
        raise ManifestError(path, [Problem("$", "is empty")])

    def convert(repository: str) -> Converted:
        made: Converted = adapter.convert(files, path, text, raw, repository=repository)
        return made

    return Detected(path, adapter.NAME, why, text, raw, convert)


def _adapter_of(raw: dict[str, Any], path: str) -> tuple[ModuleType | None, str]:
    """Which adapter reads a JSON manifest, None for the registry's own form; and what shows it."""
    if "plugins" in raw and "id" not in raw and "name" not in raw:
        raise ManifestError(
            path,
            [Problem("$.plugins", "this is a registry's catalogue, not a plugin's manifest")],
            hint="Name the folder of one plugin.",
        )
    own = [name for name in raw if name in _OWN]
    if own:
        return None, own[0]
    for adapter in (nexidra, nexus, dashboard):
        marks = adapter.marks(raw)
        if marks:
            return adapter, ", ".join(marks[:3])
    chosen: dict[str, tuple[ModuleType | None, bool]] = {  # the first that holds
        "its name": (nexidra, path.rpartition("/")[2] == nexidra.FILE),
        "its id": (None, "id" in raw),
        "ui or server without an id": (dashboard, "ui" in raw or "server" in raw),
        "name and version without an id": (nexidra, "name" in raw and "version" in raw),
    }
    return next(((adapter, why) for why, (adapter, holds) in chosen.items() if holds), (None, "nothing else"))


def _of_toml(files: SourceFiles, path: str = pyproject.FILE) -> Detected | None:
    text, document = pyproject.parse(files, path)
    if not pyproject.has_plugin(document):
        return None

    def convert(repository: str) -> Converted:
        return pyproject.convert(files, path, text, document, repository=repository)

    return Detected(path, pyproject.NAME, "[tool.plugin]", text, None, convert)


def _of_php(files: SourceFiles, path: str) -> Detected:
    def convert(repository: str) -> Converted:
        return wordpress.convert(files, path, repository=repository)

    return Detected(path, wordpress.NAME, "its header", "", None, convert)


__all__ = ["MANIFEST", "REGISTRY", "Detected", "detect"]
