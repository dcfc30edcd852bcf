"""Grammar of ids, versions, ranges and portable file names.

Versions are the subset of SemVer that PEP 440 orders in the same way, so `packaging` is the one version library.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

PLUGIN_ID_PATTERN = r"[a-z0-9][a-z0-9_-]{0,63}"
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
VERSION_PATTERN = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-(?:alpha|beta|rc)\.{_NUMBER})?"
_PLUGIN_ID = re.compile(PLUGIN_ID_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
_MAX_RANGE = 200
_RANGE_TEXT = re.compile(r"[0-9A-Za-z.,<>=!~* -]*")
_PORTABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@() -]{0,199}")

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: reserved with any extension, in any case.
_DEVICE_NAMES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{name}{digit}" for name in ("com", "lpt") for digit in "0123456789¹²³"]
)

EVERY_VERSION = ">=0.0.0-alpha.0"
"""A range that holds every version of the grammar: 0.0.0-alpha.0 is its least element."""


def is_device_name(name: str) -> bool:
    """True for names that Windows takes for a device, with or without an extension."""
    return name.split(".", 1)[0].rstrip(" ").lower() in _DEVICE_NAMES


def check_plugin_id(text: str) -> str:
    """Give a well-formed plugin id back.

    Raises:
        ValueError: it is not one.
    """
    if not _PLUGIN_ID.fullmatch(text):
        raise ValueError(
            "expected a plugin id: a-z or 0-9, then a-z, 0-9, '-' or '_', at most 64 characters; "
            f"got {text[:80]!r}"
        )
    if is_device_name(text):
        raise ValueError(f"{text!r} is a device name on Windows and cannot be a plugin id")
    return text


def container_name(plugin_id: str) -> str:
    """The id as browser containers see it, without `-` and `_`. Two plugins may not share one."""
    return plugin_id.replace("-", "").replace("_", "")


def check_pattern(text: str) -> str:
    """Give back a plugin id, or a prefix of ids written `prefix-*`.

    Raises:
        ValueError: it is neither.
    """
    if not text.endswith("-*"):
        return check_plugin_id(text)
    prefix = text[:-1]
    if not _PLUGIN_ID.fullmatch(prefix):
        raise ValueError(f"expected a plugin id or a prefix such as 'acme-*', got {text[:80]!r}")
    return text


def covers(pattern: str, plugin_id: str) -> bool:
    """Whether a publisher's pattern covers this id. `acme-*` covers `acme-x`, not `acme-` alone."""
    if pattern.endswith("*"):
        return plugin_id.startswith(pattern[:-1]) and len(plugin_id) >= len(pattern)
    return pattern == plugin_id


def overlap(a: str, b: str) -> bool:
    """Whether some id is covered by both patterns."""
    if a.endswith("*") and b.endswith("*"):
        return a[:-1].startswith(b[:-1]) or b[:-1].startswith(a[:-1])
    return covers(a, b) or covers(b, a)


def check_version(text: str) -> str:
    """Give a well-formed version back.

    Raises:
        ValueError: it is not `X.Y.Z` or `X.Y.Z-(alpha|beta|rc).N`.
    """
    if not _VERSION.fullmatch(text):
        raise ValueError(
            "expected a version X.Y.Z or X.Y.Z-(alpha|beta|rc).N, no leading zeros, "
            f"at most 9 digits a number; got {text[:80]!r}"
        )
    return text


@lru_cache(maxsize=65536)
def parse_version(text: str) -> Version:
    """The version as `packaging` orders it.

    Raises:
        ValueError: outside the grammar.
    """
    from packaging.version import Version  # noqa: PLC0415  (searching needs no version order)

    return Version(check_version(text))


@lru_cache(maxsize=4096)
def parse_range(text: str) -> SpecifierSet:
    """A range: PEP 440 specifiers joined by commas, without `===`.

    Raises:
        ValueError: it is not one.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415

    expected = "expected a range of PEP 440 specifiers such as '>=1.2,<2'"
    if not text.strip(" ,") or len(text) > _MAX_RANGE or not _RANGE_TEXT.fullmatch(text):
        raise ValueError(f"{expected}, got {text[:80]!r}")
    if "===" in text:
        raise ValueError(f"{expected} without '===', got {text[:80]!r}")
    try:
        return SpecifierSet(text)
    except InvalidSpecifier as e:
        raise ValueError(f"{expected}, got {text[:80]!r}") from e


def check_range(text: str) -> str:
    """Give a well-formed range back as it was written.

    Raises:
        ValueError: it is not one.
    """
    parse_range(text)
    return text


def in_range(version: str, range_text: str, *, prereleases: bool) -> bool:
    """Whether a range holds a version; whether prereleases count is always stated."""
    return parse_range(range_text).contains(parse_version(version), prereleases=prereleases)


def holds_host_version(range_text: str, version: str) -> bool:
    """Whether a range holds a version of a host or of Python: any of PEP 440, such as `6.8` or `3.13.0rc1`.

    Raises:
        ValueError: not even that.
    """
    from packaging.version import Version  # noqa: PLC0415

    # Python's own name for a build after a release ends in '+', which no version may.
    return parse_range(range_text).contains(Version(version.removesuffix("+")), prereleases=True)


def asks_for_prereleases(range_text: str) -> bool:
    """Whether a range names a prerelease itself, which counts as asking for them; excluding one does not."""
    return any(
        spec.operator != "!=" and "*" not in spec.version and parse_specifier_is_prerelease(spec.version)
        for spec in parse_range(range_text)
    )


def parse_specifier_is_prerelease(text: str) -> bool:
    """Whether the version inside a specifier is a prerelease in PEP 440's sense."""
    from packaging.version import Version  # noqa: PLC0415

    return Version(text).is_prerelease


def is_prerelease(version: str) -> bool:
    """Whether a version has an alpha, beta or rc part."""
    return "-" in version


def check_file_name(name: str) -> str:
    """Give back a file name that every common file system can hold and no shell misreads.

    Raises:
        ValueError: it is not one.
    """
    if not _PORTABLE.fullmatch(name) or name.endswith((".", " ")) or is_device_name(name):
        raise ValueError(f"expected a plain file name (letters, digits, . _ + - @), got {name[:80]!r}")
    return name
