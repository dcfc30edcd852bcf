"""Settings: typed entries, files with a schema and defaults, or a JSON Schema; always made into JSON Schema 2020-12."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.adapters.draft import Draft, below, show
from publisher.adapters.files import SourceFiles, read_text
from publisher.adapters.yamltext import YAML_LIMIT, parse_yaml
from publisher.schemas import DIALECT
from registry_client.errors import ConfigError, DocumentError
from registry_client.jsontext import parse_json
from registry_client.models.manifest import MANIFEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES = {
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object", "null")},
    "str": "string",
    "text": "string",
    "password": "string",
    "secret": "string",
    "url": "string",
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
    "map": "object",
}
_SECRET_TYPES = frozenset({"password", "secret"})
_LIMITS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_CHOICES = ("options", "choices", "values")
_KEYWORDS = frozenset({
    *("title", "description", "default", "enum", "const", "examples", "format", "pattern", "deprecated"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("items", "minItems", "maxItems", "uniqueItems", "properties", "additionalProperties", "writeOnly", "readOnly"),
    *("anyOf", "oneOf", "allOf", "$ref", "$comment"),
})  # fmt: skip
# Members of a schema that are schemas themselves, so look like entries.
_SUBSCHEMAS = frozenset(
    {"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"}
)
_FILES = ("schema", "defaults")
_YAML = (".yaml", ".yml")


def put_configuration(draft: Draft, files: SourceFiles, value: Any, path: str) -> None:
    """Set `configuration`.

    Args:
        draft: where to.
        files: the plugin's folder, for files that are named.
        value: what the manifest says.
        path: where it says so.
    """
    if isinstance(value, str):
        value = {"schema": value}
    if not isinstance(value, dict):
        if value is not None:
            draft.problem(path, f"expected the settings, found {show(value)}")
        return
    try:
        if _is_by_file(value):
            draft.put("configuration", _by_file(draft, files, value, path))
        elif is_schema(value):
            draft.put("configuration", current(draft, value, path))
        elif value:
            draft.put("configuration", typed(draft, value, path))
    except RecursionError:
        draft.problem(path, "nested too deep")


def is_schema(value: Mapping[str, Any]) -> bool:
    """Whether settings are a JSON Schema, not entries by name."""
    return (
        "$schema" in value
        or "$ref" in value
        or isinstance(value.get("type"), str)
        or (isinstance(value.get("properties"), dict) and "type" not in value["properties"])
    )


def is_foreign(value: Any) -> bool:
    """Whether settings are in a form that only adapters read."""
    return isinstance(value, str) or (
        isinstance(value, dict) and bool(value) and (_is_by_file(value) or _is_typed(value))
    )


def _is_by_file(value: Mapping[str, Any]) -> bool:
    return any(isinstance(value.get(name), str) for name in _FILES) or isinstance(value.get("schema"), dict)


def _is_typed(value: Mapping[str, Any]) -> bool:
    """Whether each member is an entry that says its type or default; no schema's members all do."""
    return (
        not is_schema(value)
        and not _SUBSCHEMAS & set(value)
        and all(
            isinstance(entry, dict) and ("type" in entry or "default" in entry) for entry in value.values()
        )
    )


def typed(draft: Draft, entries: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A schema out of `{name: {"type", "required", "secret", "default", "min", "max", …}}`."""
    properties: dict[str, Any] = {}
    required = []
    for name, entry in entries.items():
        at = below(path, name)
        if not isinstance(entry, dict):
            properties[name] = _of_default(entry)
            draft.note(at, "read as the setting's default")
            continue
        properties[name] = _property(draft, entry, at)
        if entry.get("required") is True:
            required.append(name)
    return _object(properties, required)


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"$schema": DIALECT, "type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _property(draft: Draft, entry: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stated = entry.get("type")
    kind = _TYPES.get(stated.lower()) if isinstance(stated, str) else None
    if kind is not None:
        found["type"] = kind
    elif isinstance(stated, list) and stated and all(isinstance(x, str) and x in _LIMITS for x in stated):
        found["type"] = stated
    elif stated is not None and not any(name in entry for name in _CHOICES):
        draft.note(below(path, "type"), f"{show(stated)} is no type of JSON; any value is taken")
    low, high = _LIMITS.get(kind or "", ("minimum", "maximum"))
    renamed = {"min": low, "max": high, "label": "title", **dict.fromkeys(_CHOICES, "enum")}
    for name, value in entry.items():
        if name in renamed or name in _KEYWORDS:
            found[renamed.get(name, name)] = value
        elif name not in {"type", "secret", "required"}:
            draft.note(below(path, name), "left out: a setting has no such member")
        elif name != "type" and not isinstance(value, bool):
            draft.note(below(path, name), f"left out: expected true or false, found {show(value)}")
    if entry.get("secret") is True or (isinstance(stated, str) and stated.lower() in _SECRET_TYPES):
        found["writeOnly"] = True
        if found.pop("default", None) is not None:
            draft.note(below(path, "default"), "left out: a secret has no published default")
    return found


def _of_default(value: Any) -> dict[str, Any]:
    kinds = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    )
    kind = next((name for type_, name in kinds if isinstance(value, type_)), None)
    return {**({"type": kind} if kind else {}), "default": value}


def _by_file(draft: Draft, files: SourceFiles, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A schema out of files: the schema, the defaults put into it, and which settings are required."""
    loaded = {name: _load(draft, files, value.get(name), below(path, name)) for name in _FILES}
    schema, defaults = loaded["schema"], loaded["defaults"] or {}
    if schema is None:
        schema = _object({}, [])
    elif is_schema(schema) or not schema:
        schema = current(draft, schema, below(path, "schema"))
    else:
        schema = typed(draft, schema, below(path, "schema"))
    _merge_defaults(draft, schema, defaults, below(path, "defaults"))
    for name in ("required", "optional"):
        _names(draft, schema, value.get(name), name, below(path, name))
    draft.leave_out(value, {*_FILES, "required", "optional"}, path, "manifest")
    return schema


def _load(draft: Draft, files: SourceFiles, value: Any, path: str) -> dict[str, Any] | None:
    """What a member says itself, or the file that it names."""
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, str):
        draft.problem(path, f"expected the path of a file, found {show(value)}")
        return None
    try:
        return read_settings(files, value)
    except ConfigError as e:
        draft.problem(path, e.message)
    except DocumentError as e:
        draft.problem(path, f"{value}: {e.problems[0]}")
    return None


def read_settings(files: SourceFiles, path: str) -> dict[str, Any]:
    """A JSON or YAML file.

    Raises:
        ConfigError: outside the folder, not there, too long, or no YAML.
        DocumentError: no JSON object.
    """
    if path.lower().endswith(_YAML):
        return parse_yaml(read_text(files, path, YAML_LIMIT), path)
    text = read_text(files, path, MANIFEST_LIMIT)
    return parse_json(text.encode(), limit=MANIFEST_LIMIT, where=path)


def current(draft: Draft, schema: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema in the current dialect; an older one is said, and what differs is found by the check."""
    stated = schema.get("$schema")
    if isinstance(stated, str) and stated.rstrip("#") != DIALECT and "json-schema.org/" in stated:
        draft.note(below(path, "$schema"), f"read as {DIALECT}")
        return {**schema, "$schema": DIALECT}
    return {"$schema": DIALECT, **schema}


def _merge_defaults(draft: Draft, schema: dict[str, Any], defaults: dict[str, Any], path: str) -> None:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not defaults:
        return
    properties = dict(properties)
    for name, value in defaults.items():
        known = properties.get(name)
        if known is None:
            if schema.get("additionalProperties") is False:
                draft.note(f"{path}: {name[:80]}", "left out: the schema has no such setting")
                continue
            properties[name] = _of_default(value)
        elif (
            isinstance(known, dict) and isinstance(value, dict) and isinstance(known.get("properties"), dict)
        ):
            properties[name] = dict(known)
            _merge_defaults(draft, properties[name], value, f"{path}: {name[:80]}")
        elif isinstance(known, dict) and known.get("writeOnly") is True:
            draft.note(f"{path}: {name[:80]}", "left out: a secret has no published default")
        elif isinstance(known, dict):
            if "default" in known and known["default"] != value:
                draft.note(f"{path}: {name[:80]}", "takes the place of the schema's default")
            properties[name] = {**known, "default": value}
    schema["properties"] = properties


def _names(draft: Draft, schema: dict[str, Any], value: Any, kind: str, path: str) -> None:
    """Settings that are required or optional, by name."""
    if value is None:
        return
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        draft.problem(path, f"expected a list of names, found {show(value)}")
        return
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        schema["properties"] = {**properties, **{name: {} for name in value if name not in properties}}
    required = schema.get("required", [])
    required = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    if kind == "required":
        schema["required"] = list(dict.fromkeys([*required, *value]))
    else:
        for name in value:
            if name in required:
                draft.note(path, f"{name[:80]!r} is required")


__all__ = ["current", "is_foreign", "is_schema", "put_configuration", "read_settings", "typed"]
