"""JSON Schemas of the documents, generated from the models, and the check that publishing makes with them.

The models tolerate members that they do not know, because readers must; these schemas refuse them. Nothing is
fetched: a schema refers only to itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from referencing import Registry

from publisher.descriptions import describe
from publisher.source_model import SourceManifest
from publisher.wording import END, problems_in
from registry_client.jsontext import dump_json
from registry_client.models import Blocks, IndexShard, Manifest, Policy, Publisher, Release
from registry_client.models.index import IndexDirectory

if TYPE_CHECKING:
    from registry_client.errors import Problem
    from registry_client.models.base import Document

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: dict[str, tuple[type[Document], str]] = {
    "manifest": (Manifest, "Manifest of one version of a plugin"),
    "release": (Release, "Release: the status of one version"),
    "publisher": (Publisher, "Publisher: keys and plugin ids"),
    "policy": (Policy, "Policy: a registry's own description"),
    "blocks": (Blocks, "Blocks: what is blocked, since when and why"),
    "index": (IndexShard, "Index shard: the lines of some plugins"),
    "index-directory": (IndexDirectory, "Index directory: the shards that one of 9 bits was split into"),
    "source": (SourceManifest, "Source manifest, kept in the plugin's repository"),
}
# Members in the order in which people read a schema; generators change theirs from release to release.
_ORDER = (
    *("$schema", "$id", "title", "description", "$ref", "type", "const", "enum", "pattern"),
    *(
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "default",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
    ),
    *("properties", "patternProperties", "propertyNames", "minProperties", "maxProperties"),
    *("required", "dependentRequired", "anyOf", "oneOf", "additionalProperties", "$defs"),
)


def build_schemas() -> dict[str, bytes]:
    """The bytes of each `schema/<kind>.schema.json`, by file name."""
    return {f"{kind}.schema.json": dump_json(_schema(kind)) for kind in sorted([*_MODELS, "registry"])}


def validate_against(kind: str, raw: dict[str, Any], where: str) -> list[Problem]:  # noqa: ARG001  (as check_manifest)
    """Everything in which a document differs from the JSON Schema of its kind.

    Args:
        kind: manifest, release, publisher, policy, blocks, index, registry or source.
        raw: the JSON object as parsed.
        where: path or URL of the document; the problems carry JSON paths inside it.
    """
    return problems_in(_validator(kind).iter_errors(raw))


@cache
def _validator(kind: str) -> Draft202012Validator:
    # Building a validator costs some 14 ms, using it half of one. An empty registry: nothing is ever fetched.
    return Draft202012Validator(_schema(kind), registry=Registry())


@cache
def _schema(kind: str) -> dict[str, Any]:
    head = {"$schema": DIALECT, "$id": f"urn:plugin-registry:{kind}:1"}
    if kind == "registry":
        return _ordered({**head, **_registry()})
    model, title = _MODELS[kind]
    raw = model.model_json_schema(by_alias=True, mode="validation")
    describe(raw, model)
    generated = _tidy(raw)
    generated["$defs"] = {
        name: {"title": name, **_tidy(definition)}
        for name, definition in sorted(generated.pop("$defs", {}).items())
    }
    if not generated["$defs"]:
        del generated["$defs"]
    return _ordered({**generated, **head, "title": title})


def _tidy(node: dict[str, Any]) -> dict[str, Any]:
    """One schema object in the form that is published: closed, without null, strict at the end of a text."""
    node = _without_null(node)
    node.pop("title", None)
    if node.get("type") == "array":
        # A length after a validator function comes out of pydantic under the names that texts have.
        for wrong, right in (("minLength", "minItems"), ("maxLength", "maxItems")):
            if wrong in node:
                node[right] = node.pop(wrong)
    if "pattern" in node:
        node["pattern"] = _closed(node["pattern"])
    if "properties" in node:
        node["properties"] = {name: _tidy(child) for name, child in node["properties"].items()}
    if "patternProperties" in node:
        node["patternProperties"] = {
            _closed(p): _tidy(child) for p, child in node["patternProperties"].items()
        }
        if set(node.get("propertyNames", ())) <= {"description", "maxLength"}:
            node.pop("propertyNames", None)  # the pattern says the same
    if "properties" in node or "patternProperties" in node:
        node["additionalProperties"] = False
    if "items" in node:
        node["items"] = _tidy(node["items"])
    return _ordered(node)


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """A member that is not there is left out, never null: one way to say a thing."""
    node = dict(node)
    branches = node.get("anyOf", [])
    if {"type": "null"} in branches:
        rest = [branch for branch in branches if branch != {"type": "null"}]
        del node["anyOf"]
        node = (
            {**rest[0], **node} if len(rest) == 1 else {**node, "anyOf": [_tidy(branch) for branch in rest]}
        )
    if "default" in node and node["default"] is None:
        del node["default"]
    return node


def _closed(pattern: str) -> str:
    """The pattern, not matching before a final newline either, as Python's `$` does."""
    return pattern.removesuffix("$") + END if pattern.endswith("$") else pattern


def _ordered(node: dict[str, Any]) -> dict[str, Any]:
    known = {name: node[name] for name in _ORDER if name in node}
    return {**known, **{name: node[name] for name in sorted(node) if name not in known}}


def _registry() -> dict[str, Any]:
    """The catalogue, whose reader (`registry_client.catalogue`) does without a model to be quick."""
    shared = _schema("manifest")["properties"]
    text = {"type": "string", "minLength": 1}
    entry = {
        "description": "The newest public release of one plugin.",
        "type": "object",
        "properties": {
            "id": shared["id"],
            "name": shared["name"],
            "version": {
                **shared["version"],
                "description": "Its newest stable version released to everyone.",
            },
            "manifestUrl": {
                **shared["manifestUrl"],
                "description": "Where plain hosts find that version's manifest.",
            },
            "description": shared["description"],
            "category": shared["category"],
            "keywords": shared["keywords"],
            "publisher": {**shared["id"], "description": "The publisher's id."},
            "deprecated": {**text, "description": "Why it is deprecated."},
        },
        "required": ["id", "name", "version", "manifestUrl"],
        "additionalProperties": False,
    }
    return {
        "title": "Catalogue: the newest public release of each plugin",
        "description": "For people who search, and for plain hosts that verify nothing. Generated.",
        "type": "object",
        "properties": {
            "version": {**text, "description": "The version of this format."},
            "lastUpdated": {**shared["lastUpdated"], "description": "When a line last changed."},
            "plugins": {"description": "Sorted by id.", "type": "array", "items": entry},
        },
        "required": ["version", "lastUpdated", "plugins"],
        "additionalProperties": False,
    }
