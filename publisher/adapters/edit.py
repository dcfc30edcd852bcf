"""A version written into a file, every other byte as it was. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry_client.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\n\r]*")


def json_with_version(text: str, version: str) -> bytes:
    """A JSON object's text with another top-level `version`.

    A missing one is put after `name`, or after the first member, spaced as that is.

    Args:
        text: what `parse_json` found to be an object with a member or more.
        version: the version.
    """
    value = json.dumps(version)
    spans = {member.name: member for member in _members(text)}
    if "version" in spans:
        start, end = spans["version"].value
        return f"{text[:start]}{value}{text[end:]}".encode()
    after = spans.get("name") or next(iter(spans.values()))
    before, between, end = text[after.gap : after.key[0]], text[after.key[1] : after.value[0]], after.value[1]
    return f'{text[:end]},{before}"version"{between}{value}{text[end:]}'.encode()


@dataclass(frozen=True)
class _Member:
    """Where a member of the top object stands: offsets of the space before it, its key, its value."""

    name: str
    gap: int
    key: tuple[int, int]
    value: tuple[int, int]


def _members(text: str) -> Iterator[_Member]:
    """The members of the one object that `parse_json` found this text to be."""
    decoder = json.JSONDecoder()

    def skip(at: int) -> int:
        found = _SPACE.match(text, at)
        return found.end() if found else at

    gap = skip(0) + 1  # after {
    while text[(start := skip(gap))] != "}":
        name, key_end = decoder.raw_decode(text, start)
        value_start = skip(skip(key_end) + 1)  # after :
        _, value_end = decoder.raw_decode(text, value_start)
        yield _Member(name, gap, (start, key_end), (value_start, value_end))
        end = skip(value_end)
        if text[end] == "}":
            return
        gap = end + 1  # after ,


def toml_with_version(text: str, places: list[tuple[str, ...]], version: str, where: str) -> bytes:
    """A TOML text with another version at some places, such as `("project", "version")`.

    Args:
        text: the file's text.
        places: keys from the top; the tables are there.
        version: the version.
        where: the file's name, for messages.

    Raises:
        PublishError: it cannot be edited.
    """
    import tomlkit  # noqa: PLC0415  (only plugins with a pyproject.toml need it)
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    try:
        document = tomlkit.parse(text)
        for *tables, key in places:
            at: Any = document
            for name in tables:
                at = at[name]
            at[key] = version
        return document.as_string().encode()
    except (TOMLKitError, LookupError, TypeError, ValueError, RecursionError) as e:
        raise PublishError(
            f"{where}: the version cannot be written into it", hint="Change it by hand."
        ) from e


__all__ = ["json_with_version", "toml_with_version"]
