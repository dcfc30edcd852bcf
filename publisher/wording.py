"""What a jsonschema error means, said so that an author knows what to change. Pure."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from registry_client.errors import Problem
from registry_client.models.base import json_path
from registry_client.names import PLUGIN_ID_PATTERN, VERSION_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema import ValidationError

END = r"$(?!\n)"
_SHOWN = 60
_CREDENTIALS = re.compile(r"://[^/@\s]*@")

_TYPES = {
    "object": "an object",
    "array": "an array",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}

# What a pattern stands for. A test holds that every pattern of the generated schemas has its words here.
EXPECTED: dict[str, str] = {
    f"^{regex}{END}": words
    for regex, words in {
        PLUGIN_ID_PATTERN: "an id: a-z or 0-9, then a-z, 0-9, '-' or '_', at most 64 characters",
        r"[a-z0-9][a-z0-9_-]{0,63}\*?": "a plugin id or a prefix such as 'acme-*'",
        VERSION_PATTERN: "a version X.Y.Z or X.Y.Z-(alpha|beta|rc).N without leading zeros",
        r"https?://[^\s@]+": "an absolute https:// URL without spaces or credentials",
        r"(https?://[^\s@]+|(?!.*://)[^\s\\:]+)": (
            "an absolute https:// URL, or a path relative to the registry"
        ),
        r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)*": (
            "a relative path of plain names such as 'dist/plugin.zip'"
        ),
        r"(\.|[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)*)": (
            "'.' or a relative path of plain names such as 'build/plugin'"
        ),
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z": (
            "a UTC time such as 2026-01-31T12:00:00Z"
        ),
        "[0-9a-f]{64}": "a keyid of 64 lower-case hex digits",
        r"([0-9a-f]{2}){1,8192}": "lower-case hex",
        r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}": (
            "a name: a letter or digit, then letters, digits and . _ : / -, at most 100 characters"
        ),
        "sha256:[0-9a-f]{64}": "sha256: and 64 lower-case hex digits",
        "[a-z0-9-]{1,32}": "a key type such as ed25519",
        "[a-z0-9-]{1,64}": "a signature scheme such as ed25519",
        "[01]{1,20}": "1 to 20 bits",
        "[01]{9}": "9 bits",
        "[01]{10,20}": "10 to 20 bits",
        r"\./[A-Za-z0-9_./-]{1,200}": "an exposed module such as './PluginApp'",
        r"sha(256|384|512)-[A-Za-z0-9+/]{43,88}={0,2}": "Subresource Integrity such as 'sha384-…'",
        r"/[A-Za-z0-9._~/-]{0,200}": "a path that starts with '/'",
        r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}": "a media type such as application/zip",
        "([0-9a-f]{40}|[0-9a-f]{64})": "a full commit id",
    }.items()
}

# Other frameworks' words for the same thing.
_SYNONYMS = {
    "checksum": "digest",
    "dashboardWidgets": "widgets",
    "dependencies": "requires",
    "displayName": "name",
    "fileSize": "size",
    "licence": "license",
    "sha256": "digest",
    "tags": "keywords",
}
# Members that publishing fills in; who copies a published manifest into a source meets them.
_FILLED_IN = frozenset({"signatures", "provenance", "lastUpdated", "manifestUrl"})


def show(value: Any) -> str:
    """A value for a message: short, JSON as the author wrote it, without a URL's credentials."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = _CREDENTIALS.sub("://…@", json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def join(words: list[str], last: str) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _wanted(error: ValidationError) -> Any:
    """The keyword's value in the schema."""
    return error.validator_value


def _found(error: ValidationError) -> Any:
    """The value in the document."""
    return error.instance


def problems_in(errors: Iterator[ValidationError]) -> list[Problem]:
    """All errors as problems in the order of their paths, each once."""
    found = {problem: None for error in errors for problem in _describe(error)}
    return sorted(found, key=lambda problem: (problem.path, problem.message))


def _describe(error: ValidationError) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    if error.validator == "required":
        for name in _wanted(error):
            if name not in _found(error):
                yield Problem(json_path((*path, name)), "is required, but missing")
    elif error.validator == "additionalProperties" and isinstance(error.schema, dict):
        for name in _additional(_found(error), error.schema):
            yield Problem(json_path((*path, name)), _unknown(name, error.schema))
    elif error.validator == "propertyNames":
        yield Problem(
            json_path((*path, str(_found(error)))), f"is no name for a member: {error.message[:200]}"
        )
    else:
        yield Problem(json_path(path), _message(error))


def _additional(instance: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:

    patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", {})]
    known = schema.get("properties", {})
    return [name for name in instance if name not in known and not any(p.search(name) for p in patterns)]


def _unknown(name: str, schema: Mapping[str, Any]) -> str:
    patterns = list(schema.get("patternProperties", {}))
    if patterns:
        return f"the member's name is not {EXPECTED.get(patterns[0], f'of the form {patterns[0]}')}"
    known = list(schema.get("properties", {}))
    if name in _FILLED_IN:
        return "is filled in by publishing; leave it out"
    camel = to_camel(name.replace("-", "_"))
    guess = next((word for word in (camel, _SYNONYMS.get(camel)) if word in known), None)
    close = [guess] if guess else difflib.get_close_matches(name, known, n=1)
    if close:
        return f"unknown member; did you mean {close[0]!r}?"
    return f"unknown member; known are {join(sorted(known), 'and')}" if known else "unknown member"


def _type(error: ValidationError) -> str:
    wanted = _wanted(error) if isinstance(_wanted(error), list) else [_wanted(error)]
    words = join([_TYPES.get(name, name) for name in wanted], "or")
    if _found(error) is None:
        return f"expected {words}, found null; leave the member out instead"
    return f"expected {words}, found {show(_found(error))}"


def _enum(error: ValidationError) -> str:
    wanted = [show(item) for item in _wanted(error)]
    return f"expected {join(wanted, 'or')}, found {show(_found(error))}"


def _one_of(error: ValidationError) -> str:
    """Alternatives that differ in what they require are said in those words; others by the closest one."""
    required = [branch.get("required") if isinstance(branch, dict) else None for branch in _wanted(error)]
    if all(required):
        words = [
            " with ".join([names[0], join(names[1:], "and")]) if names[1:] else names[0]
            for names in required
            if names
        ]
        if error.validator == "anyOf":
            return f"expected at least one of {join(words, 'and')}"
        return f"expected exactly one of {join(words, 'and')}"
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    closest = min(branches.values(), key=lambda inner: (len(inner), -len(inner[0].path)), default=[])
    return _message(closest[0]) if closest else f"fits none of the alternatives, found {show(_found(error))}"


def _unique(error: ValidationError) -> str:
    seen: list[Any] = []
    for item in _found(error):
        if item in seen:
            return f"expected each item once, but {show(item)} stands twice"
        seen.append(item)
    return "expected each item once"


def _pattern(error: ValidationError) -> str:
    words = EXPECTED.get(_wanted(error), f"a text of the form {_wanted(error)}")
    return f"expected {words}; found {show(_found(error))}"


def _together(error: ValidationError) -> str:
    missing = [
        f"{name} only together with {join(needs, 'and')}"
        for name, needs in _wanted(error).items()
        if name in _found(error) and any(need not in _found(error) for need in needs)
    ]
    return f"expected {join(missing, 'and')}"


def _limit(bound: str, noun: str = "") -> Callable[[ValidationError], str]:
    def message(error: ValidationError) -> str:
        limit = _wanted(error)
        found = len(_found(error)) if noun else show(_found(error))
        unit = f" {noun}{'' if limit == 1 else 's'}" if noun else ""
        return f"expected {bound} {limit}{unit}, found {found}"

    return message


_MESSAGES: dict[str, Callable[[ValidationError], str]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda error: f"expected {show(_wanted(error))}, found {show(_found(error))}",
    "pattern": _pattern,
    "anyOf": _one_of,
    "oneOf": _one_of,
    "uniqueItems": _unique,
    "dependentRequired": _together,
    "minLength": _limit("at least", "character"),
    "maxLength": _limit("at most", "character"),
    "minItems": _limit("at least", "item"),
    "maxItems": _limit("at most", "item"),
    "minProperties": _limit("at least", "member"),
    "maxProperties": _limit("at most", "member"),
    "minimum": _limit("at least"),
    "maximum": _limit("at most"),
}


def _message(error: ValidationError) -> str:
    known = _MESSAGES.get(str(error.validator))
    return known(error) if known else error.message[:200]
