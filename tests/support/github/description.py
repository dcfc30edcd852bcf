"""GitHub's own OpenAPI description, and the check of a request or a response against it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jsonschema.exceptions import best_match
from jsonschema.validators import Draft202012Validator, extend
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator, oas30_format_checker
from referencing import Registry, Specification
from support.npm import node_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema.exceptions import ValidationError

# A parameter of these names may hold slashes: GitHub takes the rest of the path.
_LONG = frozenset({"path", "ref", "branch", "tag"})

# What GitHub answers to any operation, listed or not: moved, unchanged, who are you, you may not, nothing there, and
# refused. Each is held to the form of its errors. Any other status has to be listed.
_ANY_OPERATION = frozenset({301, 304, 307, 401, 403, 404, 422, 429})
_ERROR = "#/components/schemas/basic-error"
_BASE = "urn:github"


def _choice(keyword: str) -> Callable[[Any, Any, Any, Mapping[str, Any]], Iterator[ValidationError]]:
    """`oneOf`, `anyOf` or `enum` as GitHub means it.

    Discriminators are left out: they only say which of several schemas to try, and one says `type: array` of what is a
    JSON array, where there is no property to look at. `nullable` counts without a `type` beside them, and without
    null in an `enum`, both of which OpenAPI would want: GitHub does answer null there.
    """
    plain = Draft202012Validator.VALIDATORS[keyword]

    def check(
        validator: Any, choices: Any, instance: Any, schema: Mapping[str, Any]
    ) -> Iterator[ValidationError]:
        if instance is not None or not schema.get("nullable"):
            yield from plain(validator, choices, instance, schema)

    return check


_CHOICES = {keyword: _choice(keyword) for keyword in ("oneOf", "anyOf", "enum")}
_READ = extend(OAS30ReadValidator, _CHOICES)  # type: ignore[no-untyped-call]
_WRITE = extend(OAS30WriteValidator, _CHOICES)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method: in capitals.
        template: the path as the description writes it, with `{names}`.
        content: the operation's entry in the description.
        pattern: matches a path, without a query.
    """

    method: str
    template: str
    content: Mapping[str, Any]
    pattern: re.Pattern[str]

    def pointer(self, *rest: str) -> str:
        """JSON pointer to a place below this operation, as a URI fragment."""
        return _pointer("paths", self.template, self.method.lower(), *rest)


def _pointer(*parts: str) -> str:
    return "#/" + "/".join(quote(part.replace("~", "~0").replace("/", "~1")) for part in parts)


def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"\{([\w-]+)\}", template)
    for at in range(1, len(pieces), 2):
        pieces[at] = f"(?P<{pieces[at].replace('-', '_')}>{'.+' if pieces[at] in _LONG else '[^/]+'})"
    for at in range(0, len(pieces), 2):
        pieces[at] = re.escape(pieces[at])
    # The root's listing is asked for without a path; the description has no template for it.
    written = "".join(pieces).replace("/(?P<path>.+)", "(?:/(?P<path>.*))?")
    return re.compile(written)


class Description:
    """GitHub's API, as far as `/repos/{owner}/{repo}`, `/user` and `/rate_limit`.

    Args:
        document: an OpenAPI 3.0 document.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not str(document["openapi"]).startswith("3.0."):
            raise ValueError(f"the description is OpenAPI {document['openapi']}; its checks here are for 3.0")
        self._document = document
        # Opaque: the document is no JSON schema, and its properties called `id` are not names of schemas.
        self._registry = Registry[Any]().with_resource(_BASE, Specification.OPAQUE.create_resource(document))
        self._validators: dict[tuple[str, bool], Any] = {}
        self._operations = [
            Operation(method.upper(), template, content, _pattern(template))
            for template, methods in document["paths"].items()
            if template.startswith(("/repos/{owner}/{repo}", "/user", "/rate_limit"))
            for method, content in methods.items()
        ]
        # Words before parameters: /releases/tags/{tag} is not /releases/{release_id}.
        self._operations.sort(key=lambda each: (each.template.count("{"), -len(each.template)))
        self._by_name = {(each.method, each.template): each for each in self._operations}

    def operation(self, method: str, template: str) -> Operation:
        """The operation of that method and template; KeyError if GitHub has none."""
        return self._by_name[method, template]

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation that a request asks for, and its path parameters."""
        for operation in self._operations:
            if operation.method == method and (match := operation.pattern.fullmatch(path)):
                return operation, match.groupdict(default="")
        return None

    def request_problems(
        self, operation: Operation, path: Mapping[str, str], query: Mapping[str, str], body: Any
    ) -> list[str]:
        """What is wrong with a request.

        Args:
            operation: what it asks for.
            path: its path parameters.
            query: its query parameters.
            body: the parsed JSON body; bytes for an upload; None without one.
        """
        problems = self._parameter_problems(operation, path, query)
        described = operation.content.get("requestBody")
        if described is None:
            return [*problems, *(["a body, where none is taken"] if body is not None else [])]
        if body is None:
            return [*problems, *(["no body, where one is required"] if described.get("required") else [])]
        if isinstance(body, bytes):
            if "application/octet-stream" not in described["content"]:
                problems.append("a body that is not JSON")
            return problems
        if "application/json" not in described["content"]:
            return [*problems, "a JSON body, where bytes are taken"]
        place = operation.pointer("requestBody", "content", "application/json", "schema")
        problems += self._schema_problems(place, body, writing=True, where="body")
        known = described["content"]["application/json"]["schema"].get("properties")
        if known and isinstance(body, dict):
            problems += [f"body: GitHub knows no field {name!r} here" for name in body if name not in known]
        return problems

    def _parameter_problems(
        self, operation: Operation, path: Mapping[str, str], query: Mapping[str, str]
    ) -> list[str]:
        problems = []
        names = set()
        for at, written in enumerate(operation.content.get("parameters", [])):
            parameter = self._resolve(written)
            if parameter["in"] == "header":
                continue
            names.add(parameter["name"])
            given = path if parameter["in"] == "path" else query
            value = given.get(parameter["name"].replace("-", "_") if given is path else parameter["name"])
            if value is None:
                problems += [f"{parameter['name']} is missing"] if parameter.get("required") else []
                continue
            place = operation.pointer("parameters", str(at), "schema")
            if "$ref" in written:
                place = f"{written['$ref']}/schema"
            meant = _typed(value, parameter["schema"])
            problems += self._schema_problems(place, meant, writing=True, where=parameter["name"])
        return problems + [f"GitHub knows no parameter {name!r} here" for name in query if name not in names]

    def response_problems(self, operation: Operation, status: int, body: Any) -> list[str]:
        """What is wrong with a response.

        Args:
            operation: what was asked for.
            status: of the response.
            body: its parsed JSON body; None without one.
        """
        listed = operation.content["responses"].get(str(status))
        if listed is None and status not in _ANY_OPERATION:
            return [f"status {status}, which the description does not list"]
        content = self._resolve(listed).get("content") if listed is not None else None
        if content is None or "application/json" not in content:
            if status < 400:
                return [f"a body with status {status}"] if body is not None else []
            return self._schema_problems(_ERROR, body, writing=False, where="response")
        place = operation.pointer("responses", str(status), "content", "application/json", "schema")
        if listed is not None and "$ref" in listed:
            place = f"{listed['$ref']}/content/{quote('application~1json')}/schema"
        return self._schema_problems(place, body, writing=False, where="response")

    def _resolve(self, value: Any) -> Any:
        while "$ref" in value:
            value = self._registry.resolver(_BASE).lookup(value["$ref"]).contents
        return value

    def _schema_problems(self, place: str, value: Any, *, writing: bool, where: str) -> list[str]:
        key = (place, writing)
        if key not in self._validators:
            self._validators[key] = (_WRITE if writing else _READ)(
                {"$ref": _BASE + place}, registry=self._registry, format_checker=oas30_format_checker
            )
        found = self._validators[key].iter_errors(value)
        closest = [best_match([error]) for error in found]
        return [f"{where}: {each.json_path}: {each.message[:300]}" for each in closest]


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    """A parameter's text as the type that its schema asks for, or the text where it is not one."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", value):
        return int(value)
    if schema.get("type") == "boolean" and value in {"true", "false"}:
        return value == "true"
    return value


@cache
def github_description() -> Description:
    """The description that GitHub publishes; 13 MB, so read once a process."""
    path = node_modules() / "@octokit" / "openapi" / "generated" / "api.github.com.json"
    return Description(json.loads(path.read_bytes()))
