"""The generated JSON Schemas, and what they say of wrong documents."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from publisher.schemas import build_schemas, validate_against
from publisher.wording import EXPECTED
from registry_client.models import Manifest

TOP = Path(__file__).resolve().parent.parent
DIGEST = f"sha256:{'ab' * 32}"
SIGNATURE = {"keyid": "0" * 64, "sig": "00"}
HEAD = {"schemaVersion": 1}
TIME = "2026-01-31T12:00:00Z"

GOOD: dict[str, dict[str, Any]] = {
    "manifest": {
        **HEAD,
        "kind": "manifest",
        "id": "calendar",
        "name": "Calendar",
        "version": "1.0.0",
        "initialStatus": "released",
        "artifacts": [
            {"ecosystem": "python", "url": "https://a.example/x.zip", "digest": DIGEST, "size": 3},
        ],
        "requires": {"host": {"nexus": ">=1"}, "plugins": {"auth": ">=1,<2"}},
        "keywords": ["a", "b"],
        "features": {"hot_reload": True},
        "configuration": {"type": "object", "anything": {"goes": None}},
        "signatures": [SIGNATURE],
    },
    "release": {
        **HEAD,
        "kind": "release",
        "registry": "main",
        "id": "calendar",
        "version": "1.0.0",
        "manifest": DIGEST,
        "revision": 1,
        "status": "yanked",
        "rollout": 100,
        "push": True,
        "reason": "broken",
        "signatures": [SIGNATURE],
    },
    "publisher": {
        **HEAD,
        "kind": "publisher",
        "id": "acme",
        "name": "Acme",
        "keys": {"0" * 64: {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}}},
        "threshold": 1,
        "plugins": ["acme-*", "calendar"],
    },
    "policy": {**HEAD, "kind": "policy", "registry": "main", "name": "Main", "baseUrl": "https://r.example"},
    "blocks": {
        **HEAD,
        "kind": "blocks",
        "blocks": [{"id": "x", "versions": "<2", "action": "hide", "reason": "bad", "since": TIME}],
    },
    "index": {
        **HEAD,
        "kind": "index",
        "bits": "0101",
        "lines": [
            {
                "id": "x",
                "version": "1.0.0",
                "manifest": {"path": "plugins/x", "digest": DIGEST, "size": 9, "payloadDigest": DIGEST},
                "publisher": "acme",
                "publishedAt": TIME,
                "initialStatus": "released",
            }
        ],
    },
    "index-directory": {
        **HEAD,
        "kind": "index-directory",
        "bits": "010101010",
        "shards": [{"bits": "0101010101", "digest": DIGEST, "size": 9}],
    },
    "registry": {
        "version": "1.0.0",
        "lastUpdated": TIME,
        "plugins": [
            {"id": "x", "name": "X", "version": "1.0.0", "manifestUrl": "https://r.example/plugins/x.json"}
        ],
    },
    "source": {
        "id": "x",
        "name": "X",
        "artifacts": [
            {"ecosystem": "python", "pack": "."},
            {"ecosystem": "custom", "path": "dist/x.bin", "url": "https://a.example/{id}/{version}/{name}"},
            {"ecosystem": "custom", "url": "https://a.example/x", "digest": DIGEST, "size": 1},
        ],
    },
}


def changed(kind: str, path: str, value: Any) -> dict[str, Any]:
    """A good document with one member (steps joined by `/`) set, or taken away with the value `...`."""
    document = copy.deepcopy(GOOD[kind])
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
    at: Any = document
    for step in steps:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return document


def nodes(schema: Any) -> list[dict[str, Any]]:
    """Every object inside a schema."""
    if isinstance(schema, list):
        return [node for item in schema for node in nodes(item)]
    if isinstance(schema, dict):
        return [schema, *(node for item in schema.values() for node in nodes(item))]
    return []


def test_files_are_generated() -> None:
    """schema/ holds what the models say; `publisher registry schema` writes it."""
    folder = TOP / "schema"
    written = {path.name: path.read_bytes() for path in folder.glob("*.schema.json")}
    assert written == build_schemas()


@pytest.mark.parametrize(("name", "data"), build_schemas().items())
def test_schema_is_closed(name: str, data: bytes) -> None:
    """Each is a valid schema of its own name that refers only to itself and refuses unknown members."""
    schema = json.loads(data)
    kind = name.removesuffix(".schema.json")
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:plugin-registry:{kind}:1"
    assert schema["title"]
    assert schema["description"]
    for node in nodes(schema):
        if node.get("type") == "object" and ("properties" in node or "patternProperties" in node):
            assert node["additionalProperties"] is False
        assert str(node.get("$ref", "#/$defs/")).startswith("#/$defs/")
        assert node != {"type": "null"}
        if node.get("type") == "array":
            assert not {"minLength", "maxLength"} & set(node)


def _objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *(one for one in schema.get("$defs", {}).values() if "properties" in one)]


@pytest.mark.parametrize("name", sorted(build_schemas()))
def test_every_member_says_what_it_is_for(name: str) -> None:
    """The docstrings below the models' members are in the schemas, those that a model has from its bases too."""
    for one in _objects(json.loads(build_schemas()[name])):
        for member, node in one["properties"].items():
            assert node.get("description"), member


def test_patterns_are_worded_and_end_at_the_end() -> None:
    """Every pattern has words for people, and none accepts a final newline."""
    patterns: set[str] = set()
    for data in build_schemas().values():
        for node in nodes(json.loads(data)):
            if isinstance(node.get("pattern"), str):
                patterns.add(node["pattern"])
            patterns.update(node.get("patternProperties", {}))
    assert patterns == set(EXPECTED)
    examples = ["a", "1.0.0", DIGEST, "0" * 64, "https://a.example", "./App", "/api", "a/b", "01", TIME, "."]
    for pattern in patterns:
        accepted = [example for example in examples if re.search(pattern, example)]
        refused = [example for example in accepted if re.search(pattern, f"{example}\n")]
        assert refused == []


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_good_documents(kind: str) -> None:
    """A document as the models want it has no problems."""
    assert validate_against(kind, GOOD[kind], "here") == []


def test_every_kind_has_an_example() -> None:
    """No schema goes without the tests above."""
    assert {f"{kind}.schema.json" for kind in GOOD} == set(build_schemas())


BAD = [
    ("manifest", "id", "calendar\n", "$.id", "expected an id: a-z or 0-9"),
    ("manifest", "version", "1.0", "$.version", "expected a version X.Y.Z"),
    ("manifest", "name", ..., "$.name", "is required, but missing"),
    ("manifest", "artifacts", ..., "$", "expected at least one of ui, server and artifacts"),
    ("manifest", "artifacts", [], "$.artifacts", "expected at least 1 item, found 0"),
    ("manifest", "artifacts/0/digest", "sha256:AB", "$.artifacts[0].digest", "sha256: and 64 lower-case"),
    ("manifest", "artifacts/0/size", "3", "$.artifacts[0].size", 'expected a whole number, found "3"'),
    ("manifest", "artifacts/0/size", True, "$.artifacts[0].size", "expected a whole number, found true"),
    ("manifest", "artifacts/0/size", 0, "$.artifacts[0].size", "expected at least 1, found 0"),
    ("manifest", "artifacts/0/ecosystem", "npm", "$.artifacts[0].ecosystem", '"shopify" or "custom"'),
    ("manifest", "descripton", "x", "$.descripton", "did you mean 'description'?"),
    ("manifest", "initial_status", "draft", "$.initial_status", "did you mean 'initialStatus'?"),
    ("manifest", "tags", ["x"], "$.tags", "did you mean 'keywords'?"),
    ("manifest", "artifacts/0/checksum", "x", "$.artifacts[0].checksum", "did you mean 'digest'?"),
    (
        "manifest",
        "requires/plugins/Bad!",
        ">=1",
        "$.requires.plugins['Bad!']",
        "the member's name is not an id",
    ),
    ("manifest", "keywords", ["a", "a"], "$.keywords", 'each item once, but "a" stands twice'),
    ("manifest", "keywords", [str(n) for n in range(51)], "$.keywords", "at most 50 items, found 51"),
    ("manifest", "description", None, "$.description", "found null; leave the member out"),
    ("manifest", "kind", "release", "$.kind", 'expected "manifest", found "release"'),
    ("manifest", "schemaVersion", 2, "$.schemaVersion", "expected 1, found 2"),
    ("manifest", "ui", {"expose": "./X"}, "$.ui", "expose only together with remoteEntry"),
    ("manifest", "signatures", [], "$.signatures", "expected at least 1 item, found 0"),
    ("manifest", "features/hot_reload", "yes", "$.features.hot_reload", "expected true or false"),
    ("release", "rollout", 101, "$.rollout", "expected at most 100, found 101"),
    ("release", "rollout", 12.5, "$.rollout", "expected a whole number, found 12.5"),
    ("release", "status", "gone", "$.status", '"deprecated" or "yanked"'),
    ("publisher", "plugins", ["*"], "$.plugins[0]", "a plugin id or a prefix"),
    ("publisher", "keys/abc", {}, "$.keys.abc", "the member's name is not a keyid"),
    ("policy", "baseUrl", "ftp://r.example", "$.baseUrl", "expected an absolute https:// URL"),
    ("blocks", "blocks/0/since", "yesterday", "$.blocks[0].since", "expected a UTC time"),
    ("index", "bits", "01" * 11, "$.bits", "expected 1 to 20 bits"),
    ("registry", "plugins/0/manifestUrl", ..., "$.plugins[0].manifestUrl", "is required, but missing"),
    ("source", "signatures", [], "$.signatures", "is filled in by publishing; leave it out"),
    (
        "source",
        "artifacts/0/path",
        "x",
        "$.artifacts[0]",
        "exactly one of pack, path, build and url with digest",
    ),
    ("source", "artifacts/0/pack", "../up", "$.artifacts[0].pack", "expected '.' or a relative path"),
    ("source", "artifacts/1/path", "/etc/passwd", "$.artifacts[1].path", "expected a relative path"),
    ("source", "artifacts/2/size", ..., "$.artifacts[2]", "expected"),
]


@pytest.mark.parametrize(("kind", "where", "value", "path", "message"), BAD)
def test_bad_documents(kind: str, where: str, value: Any, path: str, message: str) -> None:
    """One thing wrong is named with its path and what was expected."""
    problems = validate_against(kind, changed(kind, where, value), "here")
    assert path in {problem.path for problem in problems}
    assert any(message in problem.message for problem in problems), problems
    assert {problem.path for problem in problems} == {path}


def test_all_problems_at_once() -> None:
    """Nothing hides behind the first problem."""
    problems = validate_against("manifest", {"id": "X", "ui": {"widgets": [{}]}, "extra": 1}, "here")
    assert {problem.path for problem in problems} == {
        *("$.id", "$.extra", "$.kind", "$.schemaVersion", "$.name", "$.version", "$.initialStatus"),
        *("$.signatures", "$.ui.widgets[0].id", "$.ui.widgets[0].title"),
    }


def test_long_values_are_cut() -> None:
    """A message shows the start of a value, not all of it."""
    (problem,) = validate_against("manifest", changed("manifest", "version", "9" * 100_000), "here")
    assert len(problem.message) < 300


def test_schema_and_model_accept_the_same_manifest() -> None:
    """The good manifest is good for the model too, so the two cannot drift apart unnoticed."""
    Manifest.model_validate_json(json.dumps(GOOD["manifest"]))
