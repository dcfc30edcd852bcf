r"""A WordPress plugin's own version: found as WordPress finds it, and written into the files that are packed.

The author's files stay as they are. WordPress reads a plugin's header from the first 8 KiB of the PHP files at the
top of its folder (`get_plugins` and `get_file_data` in its source); what is read here follows that to the letter,
since WordPress compares this very version to decide whether there is an update.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry_client.errors import PublishError
from registry_client.jsontext import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HEADER = 8 * KIB
_MAX_SIZE = 16 * MIB
_README = "readme.txt"
_END_OF_COMMENT = re.compile(rb"\s*(?:\*/|\?>)")
_TRIMMED = b" \t\n\r\0\x0b"
_STABLE_TAG = re.compile(rb"^[ \t]*Stable tag[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)

_VALUE = rb"(?P<quote>['\"])(?P<value>[0-9][0-9A-Za-z.+_-]{0,60})(?P=quote)"
# `private $version = '1.0.0';`, `$this->version = …;`, `const VERSION = …;` (with a type since PHP 8.3); and a variable
# that is neither a property nor a constant, which may be any version.
_ASSIGNED = re.compile(
    rb"(?P<own>\b(?:private|protected|public|var|static)(?:[ \t]{1,9}(?:static|\??string))?[ \t]{1,9}\$version|\$this->version"
    rb"|\b(?:self|static)::\$version|\bconst(?:[ \t]{1,9}string)?[ \t]{1,9}VERSION|\$version)[ \t]{0,40}=[ \t]{0,40}"
    + _VALUE
    + rb"(?=[ \t]{0,40};)"
)
_DEFINED = re.compile(
    rb"\bdefine[ \t]{0,9}\(\s{0,40}(?P<q>['\"])(?P<name>\w{0,80}_VERSION)(?P=q)[ \t]{0,9},\s{0,40}" + _VALUE
)
# ACME_DB_VERSION or ACME_MIN_PHP_VERSION may have the plugin's version by chance; it is not the plugin's.
_OTHERS = frozenset({
    *("API", "DATABASE", "DB", "MIN", "MINIMUM", "PHP", "REQUIRED", "SCHEMA", "TESTED", "WORDPRESS", "WP")
})  # fmt: skip


def header_field(data: bytes, name: str) -> str | None:
    """A field of a plugin's header as WordPress reads it; None where there is no such line.

    Args:
        data: the PHP file.
        name: such as `Plugin Name`, in any case.
    """
    span = _field(data, name)
    return None if span is None else data[slice(*span)].decode(errors="replace")


def main_file(folder: Path, files: Iterable[str]) -> str:
    """The one file that makes a folder a WordPress plugin.

    Args:
        folder: the folder.
        files: the files in it that count, relative with `/`.

    Raises:
        PublishError: none has a header, or several have.
    """
    tops = [path for path in files if "/" not in path and path.endswith(".php") and not path.startswith(".")]
    found = [path for path in sorted(tops) if header_field(_read(folder / path, _HEADER), "Plugin Name")]
    if len(found) == 1:
        return found[0]
    if found:
        raise PublishError(
            f"{folder}: {' and '.join(found)} have a 'Plugin Name:' header each, so WordPress sees {len(found)} plugins",
            hint="Keep the header in one of them, or leave the others out with a line in .pluginignore.",
        )
    looked = (
        f"in the first 8 KiB of {', '.join(sorted(tops))}" if tops else "as there is no PHP file at its top"
    )
    raise PublishError(
        f"{folder}: is no WordPress plugin: no 'Plugin Name:' header, {looked}",
        hint="Begin the plugin's main file, at the top of the folder that is packed, with a comment that has "
        "'Plugin Name: …' and 'Version: …' on lines of their own.",
    )


def with_php_version(data: bytes, version: str, where: str) -> bytes:
    """A main file with another version.

    It is written into the header, into the property `$version = '…';` and `const VERSION = '…';`, and into a variable
    `$version = '…';` and `define('…_VERSION', '…')` where that holds what the header holds.

    Args:
        data: the file.
        version: the version.
        where: the file's name, for messages.

    Raises:
        PublishError: the header has no `Version:` that WordPress would see.
    """
    span = _field(data, "Version")
    if span is None:
        raise PublishError(
            f"{where}: its header has no 'Version:' in the first 8 KiB",
            hint="Add a line 'Version: 0.0.0' below 'Plugin Name:'; the version is written there when it is packed.",
        )
    new, old = version.encode(), data[slice(*span)]
    blank = b"" if data[: span[0]].endswith((b" ", b"\t")) else b" "
    # The code first, from its end: what stands before stays where it is.
    changes = [
        (match.span("value"), new) for match in _ASSIGNED.finditer(data) if _is_the_plugins(match, old)
    ]
    changes += [(match.span("value"), new) for match in _DEFINED.finditer(data) if _is_own(match, old)]
    changes = [(place, text) for place, text in changes if place[0] >= span[1] or place[1] <= span[0]]
    changed = _spliced(data, [*changes, (span, blank + new)])
    if header_field(changed, "Version") != version or not header_field(changed, "Plugin Name"):
        raise PublishError(
            f"{where}: with version {version}, its header does not fit into the first 8 KiB",
            hint="Move the header to the top of the file.",
        )
    return changed


def stable_tag(data: bytes) -> str | None:
    """What a readme.txt has as `Stable tag:`, in lower case; None where there is no such line."""
    match = _STABLE_TAG.search(data)
    return None if match is None else match[1].decode(errors="replace").strip().lower()


def with_stable_tag(data: bytes, version: str) -> bytes:
    """A readme.txt with another `Stable tag:`; without one it stays as it is."""
    match = _STABLE_TAG.search(data)
    if match is None:
        return data
    start = match.start(1)
    blank = b"" if data[:start].endswith((b" ", b"\t")) else b" "
    return _spliced(data, [((start, start + len(match[1].rstrip())), blank + version.encode())])


def with_version(folder: Path, files: Iterable[str], version: str) -> dict[str, bytes]:
    """The files of a WordPress plugin that say its version, with this one in them.

    Args:
        folder: the plugin's folder, as it is packed.
        files: the files in it that are packed, relative with `/`.
        version: the version.

    Returns:
        New bytes by path, of the main file, and of readme.txt where there is one.

    Raises:
        PublishError: no plugin's header, several, one without a version, or a file cannot be read.
    """
    names = list(files)
    main = main_file(folder, names)
    changed = {main: with_php_version(_read(folder / main), version, str(folder / main))}
    for path in names:
        if path.lower() == _README:
            changed[path] = with_stable_tag(_read(folder / path), version)
    return changed


def _field(data: bytes, name: str) -> tuple[int, int] | None:
    """Where a field's value stands. The expressions are those of WordPress's get_file_data."""
    head = data[:_HEADER].replace(b"\r", b"\n")
    line = rb"^(?:[ \t]*<\?php)?[ \t/*#@]*" + re.escape(name.encode()) + rb":(.*)$"
    match = re.search(line, head, re.IGNORECASE | re.MULTILINE)
    if match is None:
        return None
    end = _END_OF_COMMENT.search(match[1])
    value = match[1][: end.start()] if end else match[1]
    start = match.start(1) + len(value) - len(value.lstrip(_TRIMMED))
    return start, start + len(value.strip(_TRIMMED))


def _is_the_plugins(match: re.Match[bytes], old: bytes) -> bool:
    """Whether what is assigned is the plugin's version: a plain variable may hold the one that PHP must have, say."""
    return match["own"] != b"$version" or match["value"] == old


def _is_own(match: re.Match[bytes], old: bytes) -> bool:
    """Whether a constant that was defined is the plugin's version: not that of its tables, nor what it needs."""
    words = match["name"].decode().upper().split("_")
    return match["value"] == old and words[-2] not in _OTHERS


def _spliced(data: bytes, changes: Iterable[tuple[tuple[int, int], bytes]]) -> bytes:
    """The bytes with other ones in some places, which do not overlap."""
    parts, at = [], 0
    for (start, end), text in sorted(changes):
        parts += [data[at:start], text]
        at = end
    return b"".join([*parts, data[at:]])


def _read(path: Path, limit: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit or _MAX_SIZE + 1)
    except OSError as e:
        raise PublishError(f"{path}: cannot be read ({e.strerror})") from e
    if len(data) > _MAX_SIZE:
        raise PublishError(f"{path}: more than {_MAX_SIZE} bytes, too many to look for a version in")
    return data


__all__ = ["header_field", "main_file", "stable_tag", "with_php_version", "with_stable_tag", "with_version"]
