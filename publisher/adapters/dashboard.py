"""A dashboard's manifest: the registry's own members, as a workflow writes them, with placeholders and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.adapters import members
from publisher.adapters.draft import Converted, Draft, identify, title
from publisher.adapters.edit import json_with_version
from publisher.adapters.placeholders import filled, has_placeholders
from publisher.adapters.values import put_author, put_license, put_url, put_version
from registry_client.models.manifest import Server, Ui

if TYPE_CHECKING:
    from publisher.adapters.files import SourceFiles
    from registry_client.models.base import Document

NAME = "dashboard manifest"
_FOUND_OUT = ("manifestUrl", "lastUpdated")
_HANDLED = frozenset({
    *("id", "name", "version", "description", "category", "keywords", "changelog", "author", "license"),
    *("homepage", "repository", "documentation", "icon", "screenshots"),
})  # fmt: skip
_PLAIN = ("ui", "server", "permissions", "configuration", "api", "events", "features")

_MODELS: dict[str, type[Document]] = {"ui": Ui, "server": Server}


def marks(raw: dict[str, Any]) -> list[str]:
    """What in a manifest only this form has."""
    found = [name for name in _FOUND_OUT if name in raw]
    return found + (["placeholders"] if has_placeholders(raw) else [])


def convert(files: SourceFiles, path: str, text: str, raw: dict[str, Any], *, repository: str) -> Converted:
    """The registry's manifest out of this one.

    Args:
        files: the plugin's folder.
        path: the manifest's path in it.
        text: its text.
        raw: the JSON object in it.
        repository: the repository's name, for an id and for placeholders.
    """
    draft = Draft()
    said = {name: value for name, value in raw.items() if name not in _FOUND_OUT}
    said = filled(draft, said, repository)
    for name in _FOUND_OUT:
        if name in raw:
            draft.note(f"$.{name}", "left out: filled in by publishing")
    identify(
        draft, [("$.id", said.get("id")), ("$.name", said.get("name")), ("the repository's name", repository)]
    )
    title(draft, [("$.name", said.get("name")), ("", repository)])
    put_version(draft, said.get("version"), "$.version")
    members.put_words(draft, said, "$")
    put_author(draft, said.get("author"), "$.author")
    put_license(draft, said.get("license"), "$.license")
    for name in ("homepage", "repository", "documentation"):
        put_url(draft, name, said.get(name), f"$.{name}")
    members.put_pictures(draft, files, said, "$")
    for name in _PLAIN:
        _put(draft, name, said.get(name))
    if "ui" not in draft.raw and "server" not in draft.raw:
        draft.put("artifacts", [{"ecosystem": _ecosystem(files), "pack": "."}])
        draft.note(
            "$", f"neither ui nor server: the folder is packed, for {draft.raw['artifacts'][0]['ecosystem']}"
        )
    draft.leave_out(said, _HANDLED | set(_PLAIN), "$", "manifest")
    return draft.converted(lambda version: {path: json_with_version(text, version)})


def _put(draft: Draft, name: str, value: Any) -> None:
    """A member in the registry's own form: nothing is changed but for members that it does not have."""
    model = _MODELS.get(name)
    if model is not None and isinstance(value, dict):
        known = {item.alias or field for field, item in model.model_fields.items()}
        draft.leave_out(value, known, f"$.{name}", "manifest")
        value = {member: item for member, item in value.items() if member in known}
    draft.put(name, value)


def _ecosystem(files: SourceFiles) -> str:
    python = any(
        name.endswith(".py") or name in {"pyproject.toml", "requirements.txt"} for name in files.names()
    )
    return "python" if python else "custom"


__all__ = ["NAME", "convert", "marks"]
