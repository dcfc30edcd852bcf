"""Changes to `plugins.toml` that leave the rest as its people wrote it: comments, order, spacing, line ends. Pure.

What comes out is read again: an edit that would not say what was meant is an error, and the file stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from registry_client.errors import ConfigError, DocumentError
from registry_client.installer.project.model import PROJECT_NAME
from registry_client.installer.project.sources import (
    AdoptedSource,
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry_client.installer.project.model import Project, Wanted

_BY_HAND = f"Change {PROJECT_NAME} in an editor."


def with_plugin(text: str, wanted: Wanted, project: Project) -> str:
    """The text of plugins.toml with a plugin added, or its entry changed.

    Args:
        text: the text now.
        wanted: the entry.
        project: what the text says.

    Raises:
        ConfigError: the text cannot be changed in this way, or would not be valid any more; says why.
    """
    if project.plugins.get(wanted.id) == wanted:
        return text
    entry = _entry(wanted, project)
    edited = _edited(text, project, lambda document: _put(document, wanted.id, entry, project))
    return _checked(edited, project, {**project.plugins, wanted.id: wanted})


def without_plugin(text: str, plugin_id: str, project: Project) -> str:
    """The text of plugins.toml without a plugin.

    Raises:
        ConfigError: it is not there, or the text cannot be changed in this way.
    """
    if plugin_id not in project.plugins:
        raise ConfigError(
            f"{project.path}: asks for no plugin {plugin_id[:80]!r}",
            hint="See what is installed and why: 'plugin list', 'plugin why ID'.",
        )

    def remove(document: Any) -> None:
        del document["plugins"][plugin_id]

    left = {name: wanted for name, wanted in project.plugins.items() if name != plugin_id}
    return _checked(_edited(text, project, remove), project, left)


def _edited(text: str, project: Project, change: Any) -> str:
    """The text after a change to its document; line ends as they were."""
    import tomlkit  # noqa: PLC0415  (only edits need it)
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    windows = "\r\n" in text
    try:
        document = tomlkit.parse(text.replace("\r\n", "\n"))
        change(document)
        edited = document.as_string()
    except (TOMLKitError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
        raise ConfigError(f"{project.path}: cannot be changed as it is written", hint=_BY_HAND) from e
    return edited.replace("\n", "\r\n") if windows else edited


def _checked(text: str, project: Project, plugins: Mapping[str, Wanted]) -> str:
    """The text, if it says what is meant and nothing else has changed."""
    from registry_client.installer.project.file import parse_project  # noqa: PLC0415  (a first file is written without)

    host = project.host
    try:
        found = parse_project(text, project.path, python=host.python, platform=host.platform)
    except DocumentError as e:
        lines = "".join(f"\n  {problem}" for problem in e.problems)
        raise ConfigError(f"{project.path}: cannot be changed so:{lines}", hint=_BY_HAND) from e
    same = replace(found, text="", plugins={}) == replace(project, text="", plugins={})
    if not same or dict(found.plugins) != dict(plugins):
        raise ConfigError(f"{project.path}: cannot be changed as it is written", hint=_BY_HAND)
    return text


def _entry(wanted: Wanted, project: Project) -> dict[str, Any]:
    """The members of an entry."""
    ranged = {"range": wanted.range} if wanted.range else {}
    match wanted.source:
        case RegistrySource(registry):
            first = next(iter(project.registries), None)
            return {"range": wanted.range or "*"} if registry == first else {**ranged, "registry": registry}
        case PathSource(path):
            return {"path": path}
        case GitSource(url, ref, subdirectory):
            from registry_client.installer.elsewhere.git_url import is_commit  # noqa: PLC0415

            below = {"subdirectory": subdirectory} if subdirectory else {}
            return {"git": url, "commit" if is_commit(ref) else "tag": ref, **below}
        case PypiSource(name, index):
            if index != project.index:
                raise ConfigError(
                    f"{wanted.id}: {index} is not the package index of {project.path.name}",
                    hint="State the index there: pypi in [sources].",
                )
            return {"pypi": name, **ranged}
        case AdoptedSource():
            return {"adopted": True}
    raise ConfigError(f"{wanted.source!r}: unknown kind of source")


def _put(document: Any, plugin_id: str, entry: dict[str, Any], project: Project) -> None:
    import tomlkit  # noqa: PLC0415

    if "plugins" not in document:
        if document.body and not document.as_string().endswith("\n\n"):
            document.add(tomlkit.nl())
        document["plugins"] = tomlkit.table()
    table = document["plugins"]
    if plugin_id not in table:
        _insert(table, plugin_id, _value(entry))
        return
    existing: Any = table[plugin_id]
    if not isinstance(existing, dict):
        table[plugin_id] = _value(entry)
        return
    first = next(iter(project.registries), None)
    if existing.get("registry") == first and set(entry) == {"range"}:
        entry = {**entry, "registry": first}  # it was written out: so it stays
    for key in [key for key in existing if key not in entry]:
        del existing[key]
    for key, value in entry.items():
        if existing.get(key) != value:
            existing[key] = value


def _value(entry: dict[str, Any]) -> Any:
    """How an entry is written: a range alone as text, anything else as a table on one line."""
    import tomlkit  # noqa: PLC0415

    if set(entry) == {"range"}:
        return tomlkit.item(entry["range"])
    table = tomlkit.inline_table()
    table.update(entry)
    return table


def _insert(table: Any, plugin_id: str, value: Any) -> None:
    """Put a new entry at its place in the alphabet if the others are sorted, else after them."""
    import tomlkit  # noqa: PLC0415
    from tomlkit.items import Table  # noqa: PLC0415

    if not isinstance(table, Table) or table.is_super_table() or not table.value.body:
        table[plugin_id] = value
        return
    body = table.value.body
    plain = [
        (at, key.key)
        for at, (key, item) in enumerate(body)
        if key is not None and not isinstance(item, Table)
    ]
    names = [name for _, name in plain]
    if names == sorted(names):
        plain = [(at, name) for at, name in plain if name < plugin_id]
    if plain:
        before = body[plain[-1][0]][1]
        if "\n" not in before.trivia.trail:
            before.trivia.trail += "\n"
        place = plain[-1][0] + 1
    else:
        place = _after_head(body)
    value.trivia.trail = "\n"
    # The table is written out from its body alone, and nothing else is done with it.
    body.insert(place, (tomlkit.key(plugin_id), value))


def _after_head(body: list[Any]) -> int:
    """Where the first entry goes: after comments that a blank line sets apart, before those of the next entry."""
    from tomlkit.items import Comment, Whitespace  # noqa: PLC0415

    if all(key is None for key, _ in body):  # comments alone: they are about what is to come
        return next((at for at, (_, item) in enumerate(body) if not isinstance(item, Comment)), len(body))

    place = 0
    for at, (key, item) in enumerate(body):
        if key is not None or not isinstance(item, (Comment, Whitespace)):
            return place
        if isinstance(item, Whitespace) and "\n" in item.s:
            place = at + 1
    return 0


_HEAD = """\
# The plugins of this application. 'plugin add' and 'plugin remove' change it, and so may you; then: plugin install.
# Commit it together with plugins.lock.
"""


def new_project(  # noqa: PLR0913  (keyword options, each with a default)
    *,
    name: str = "",
    version: str = "",
    registry: str = "main",
    url: str = "",
    root: str = "",
    allow_dev_keys: bool = False,
    folder: str = "plugins",
    ecosystem: str = "",
) -> str:
    """The text of a first plugins.toml, with comments.

    Args:
        name: what plugins call the host application; empty to leave it to be filled in.
        version: its version.
        registry: what the registry is called here.
        url: the registry's base URL; empty for none yet.
        root: its pinned root of trust, relative to the file.
        allow_dev_keys: accept development keys.
        folder: where plugins are installed, relative to the file.
        ecosystem: which artifacts the host uses; empty for any.
    """
    host = [
        _line("name", name or "my-application", "what plugins call it in requires.host", off=not name),
        _line("version", version or "1.0.0", "its version", off=not (name and version)),
        _line("folder", folder, "where plugins are installed"),
        _line("channel", "stable", 'or "testing", to be offered versions in testing too'),
        _line(
            "ecosystem", ecosystem or "python", "which artifacts it uses; by default any", off=not ecosystem
        ),
        _line("python", "3.12", "by default the running interpreter's; false: it has none", off=True),
        _line("platform", "linux", "by default this machine's; false: it does not matter", off=True),
    ]
    updates = [
        _line("auto", "forced", 'what "plugin upgrade --auto" applies: none, forced, patch, minor, all'),
        _line("keep", 3, "versions of each plugin that stay for a rollback"),
    ]
    registries = [
        _line("url", url or "https://registry.example/main", off=not url),
        _line("root", root or "1.root.json", "its root of trust, beside this file", off=not url),
        *([_line("allow-dev-keys", value=True)] if allow_dev_keys and url else []),
    ]
    header = f"[registries.{registry}]"
    tables = [
        ["[host]", *host],
        ["[updates]", *updates],
        [header if url else f"# {header}", *registries],
        ["[plugins]", '# calendar = ">=1,<2"'],
    ]
    return _HEAD + "".join("\n" + "".join(f"{line}\n" for line in table) for table in tables)


def _line(key: str, value: str | int | bool, comment: str = "", *, off: bool = False) -> str:  # noqa: FBT001  (a TOML value)
    import tomlkit  # noqa: PLC0415

    line = f"{'# ' if off else ''}{key} = {tomlkit.item(value).as_string()}"
    return f"{line:<28}# {comment}" if comment else line


__all__ = ["new_project", "with_plugin", "without_plugin"]
