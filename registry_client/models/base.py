"""Field types and settings that the documents share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from annotated_types import Len
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from registry_client.digest import Digest
from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import MAX_INTEGER
from registry_client.names import (
    PLUGIN_ID_PATTERN,
    VERSION_PATTERN,
    check_pattern,
    check_plugin_id,
    check_range,
    check_version,
)

T = TypeVar("T")
D = TypeVar("D", bound="Document")

# `$` also matches before a final newline in Python's `re`, which jsonschema uses; the lookahead closes that in
# every engine that knows ECMA 262 syntax.
_END = r"$(?!\n)"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z"
_URL_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\"<>^`{|}]|[^\x00-\x7f]")
# Nearly all URLs are of this form, in which nothing that is refused below can occur: looked at in a fifteenth of the time.
_PLAIN_URL = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(?:/[!#-;=?-\[\]_a-z~]*)?")
_RELATIVE = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)*")
_MAX_URL = 2000


class Document(BaseModel):
    """Base of all models: frozen, strict, camelCase in JSON."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=False,  # else `initial_status` would be read as `initialStatus`, but not by who reads the raw JSON
        validate_by_alias=True,
        allow_inf_nan=False,
    )


def _pattern(regex: str, description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": f"^{regex}{_END}", "description": description, **more}
    )


def parse_time(text: str) -> datetime:
    """A UTC time out of its RFC 3339 text.

    Raises:
        ValueError: not `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, or no such time.
    """
    if not re.fullmatch(_TIME, text):
        raise ValueError(f"expected a UTC time such as 2026-01-31T12:00:00Z, got {text[:40]!r}")
    return datetime.fromisoformat(text)


def format_time(when: datetime) -> str:
    """RFC 3339 text in whole seconds, UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_url(text: str) -> str:
    """Give an absolute http(s) URL without credentials back.

    Raises:
        ValueError: it is not one.
    """
    if len(text) <= _MAX_URL and _PLAIN_URL.fullmatch(text):
        return text
    expected = "expected an absolute https:// URL without spaces or credentials"
    if len(text) > _MAX_URL or _URL_FORBIDDEN.search(text):
        raise ValueError(f"{expected}, got {text[:80]!r}")
    parts = urlsplit(text)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError(f"{expected}, got {text[:80]!r}")
    if "@" in parts.netloc:
        raise ValueError(f"{expected}; this one carries credentials for {parts.hostname!r}")
    _ = parts.port  # raises ValueError outside 0-65535
    return text


def check_relative(text: str) -> str:
    """Give back a path below the registry's base URL.

    Raises:
        ValueError: absolute, or it leaves its folder, or it needs quoting.
    """
    if len(text) > _MAX_URL or not _RELATIVE.fullmatch(text):
        raise ValueError(
            f"expected a relative path of plain names such as 'artifacts/x.zip', got {text[:80]!r}"
        )
    return text


def check_location(text: str) -> str:
    """Give back an absolute URL or a path below the registry's base URL."""
    return check_url(text) if ":" in text else check_relative(text)


def _time(text: str) -> str:
    parse_time(text)
    return text


def _unique(items: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(items)) != len(items):
        raise ValueError("expected each item once")
    return items


PluginId = Annotated[
    str, AfterValidator(check_plugin_id), _pattern(PLUGIN_ID_PATTERN, "A plugin's id.", maxLength=64)
]
IdPattern = Annotated[
    str,
    AfterValidator(check_pattern),
    _pattern(r"[a-z0-9][a-z0-9_-]{0,63}\*?", "An id, or a prefix ending in -*."),
]
Version = Annotated[
    str, AfterValidator(check_version), _pattern(VERSION_PATTERN, "X.Y.Z or X.Y.Z-(alpha|beta|rc).N.")
]
Range = Annotated[
    str,
    AfterValidator(check_range),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 200, "description": "PEP 440 specifiers without ===."}
    ),
]
Url = Annotated[
    str, AfterValidator(check_url), _pattern(r"https?://[^\s@]+", "An absolute URL.", maxLength=_MAX_URL)
]
Location = Annotated[
    str,
    AfterValidator(check_location),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(https?://[^\s@]+|(?!.*://)[^\s\\:]+){_END}",
            "maxLength": _MAX_URL,
            "description": "An absolute URL, or a path relative to the registry's base URL.",
        }
    ),
]
RelativePath = Annotated[
    str,
    AfterValidator(check_relative),
    _pattern(_RELATIVE.pattern, "A path relative to the registry's base URL.", maxLength=_MAX_URL),
]
PackagedPath = Annotated[
    str,
    AfterValidator(check_relative),
    _pattern(_RELATIVE.pattern, "A path in the plugin's folder.", maxLength=_MAX_URL),
]
Time = Annotated[str, AfterValidator(_time), _pattern(_TIME, "A UTC time, RFC 3339.")]
KeyId = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$"), _pattern("[0-9a-f]{64}", "SHA-256 of the TUF key object.")
]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
LongText = Annotated[str, Field(max_length=20_000)]
Reason = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$"),
    _pattern(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}", "A name."),
]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
UniqueTuple = Annotated[
    tuple[T, ...], AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})
]


class Signature(Document):
    """One signature over the RFC 8785 bytes of the document without `signatures`."""

    keyid: KeyId
    """The TUF keyid of the key that signed."""
    sig: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){1,8192}$"), _pattern("([0-9a-f]{2}){1,8192}", "Hex.")]
    """The signature, in lower-case hex."""


def _one_each(signatures: tuple[Signature, ...]) -> tuple[Signature, ...]:
    if len({signature.keyid for signature in signatures}) != len(signatures):
        raise ValueError("expected one signature per keyid")
    return signatures


Signatures = Annotated[tuple[Signature, ...], Len(1, 16), AfterValidator(_one_each)]


class KeyValue(Document):
    """The value of a TUF key object."""

    public: Annotated[str, Field(min_length=1, max_length=16_384)]
    """Hex for Ed25519, PEM for the other types."""


class PublicKey(Document):
    """A TUF key object (TUF specification 4.2)."""

    keytype: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    """ed25519, ecdsa or rsa."""
    scheme: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    """The signature scheme, such as ed25519 or ecdsa-sha2-nistp256."""
    keyval: KeyValue
    """The public key."""


def json_path(location: tuple[int | str, ...]) -> str:
    """`("artifacts", 0, "digest")` as `$.artifacts[0].digest`."""
    path = "$"
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", step):
            path += f".{step}"
        else:
            path += f"[{step[:80]!r}]"
    return path


def problems_of(error: ValidationError) -> list[Problem]:
    """Everything pydantic found, as JSON paths and messages."""
    found = []
    items = error.errors(include_url=False, include_context=False)
    locations = [item["loc"] for item in items]
    for item in items:
        if item["type"] == "too_short" and any(_is_below(loc, item["loc"]) for loc in locations):
            continue  # pydantic counts the items that are right; what is wrong with the others is listed too
        message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        found.append(Problem(json_path(item["loc"]), message[:1].lower() + message[1:]))
    return found


def _is_below(location: tuple[int | str, ...], top: tuple[int | str, ...]) -> bool:
    return len(location) > len(top) and location[: len(top)] == top


def validate(model: type[D], data: bytes, where: str, error: type[DocumentError] = DocumentError) -> D:
    """Read JSON bytes into a model. `parse_json` must have accepted the same bytes first.

    Raises:
        DocumentError: (or the given subclass) with every problem.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as e:
        raise error(where, problems_of(e)) from e


def check_schema_version(raw: dict[str, Any], where: str) -> None:
    """Refuse a file of this machine that a newer version of this program wrote, before it is found wrong in its details.

    Raises:
        DocumentError: it states a later version than the first, the only one so far.
    """
    found = raw.get("schemaVersion")
    if type(found) is int and found > 1:
        raise DocumentError(
            where,
            [Problem("$.schemaVersion", f"is {found}; this version of the program knows 1 only")],
            hint="A newer version of plugin-registry wrote it: use that one.",
        )


__all__ = [
    "Count",
    "Digest",
    "Document",
    "IdPattern",
    "KeyId",
    "Location",
    "LongText",
    "Name",
    "PackagedPath",
    "PluginId",
    "PublicKey",
    "Range",
    "Reason",
    "RelativePath",
    "ShortText",
    "Signature",
    "Signatures",
    "Time",
    "UniqueTuple",
    "Url",
    "Version",
    "check_schema_version",
]
