"""What an unsigned plugin says of itself: read leniently, never run, never believed further than its owner allowed. Pure.

The registry's own source form counts whole; of other known forms only what is plain: id, version, permissions, and what it needs.
What cannot be used is noted. The write side has adapters for whole manifests; this is not one of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from registry_client.errors import DocumentError
from registry_client.jsontext import MIB, parse_json
from registry_client.models.base import Name, PluginId, Range, ShortText
from registry_client.models.manifest import MANIFEST_LIMIT, Requires
from registry_client.names import check_plugin_id, check_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UNVERSIONED = "0.0.0"
"""The version of what states none."""
MANIFESTS = ("manifest.json", "plugin.json")
PERMISSIONS = "permissions.json"
METADATA = "METADATA"
"""A Python distribution's own description: METADATA of a wheel, PKG-INFO of an sdist."""
LOOKED_AT = (*MANIFESTS, PERMISSIONS)
LIMITS = {**dict.fromkeys(LOOKED_AT, MANIFEST_LIMIT), METADATA: MIB}
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_SHORT: TypeAdapter[str] = TypeAdapter(ShortText)
_RANGE: TypeAdapter[str] = TypeAdapter(Range)
_PLUGIN: TypeAdapter[str] = TypeAdapter(PluginId)
_MOST = {"host": 20, "platforms": 20, "plugins": 200, "packages": 500, "system": 100, "permissions": 200}
_MAX_NOTES = 20
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(.*)", re.DOTALL)
_PRE = {"a": "alpha", "b": "beta", "rc": "rc"}
_NUMBERS = 3


@dataclass(frozen=True)
class Stated:
    """What an unsigned plugin says of itself.

    Attributes:
        id: the plugin; empty where nothing it is called can be made into one.
        version: its version; 0.0.0 where it says none that can be used.
        requires: what it needs; None where it says nothing.
        permissions: what it asks its host for.
        notes: what could not be used.
    """

    id: str
    version: str
    requires: Requires | None = None
    permissions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_local(
    files: Mapping[str, bytes],
    *,
    name: str,
    id: str | None = None,  # noqa: A002  (the document's own word)
    version: str | None = None,
) -> Stated:
    """Put together what a plugin's own files say. Never raises on what is in them.

    Args:
        files: bytes of those of `LOOKED_AT` and `METADATA` that there are; a byte more than allowed where one is too long.
        name: what it is called if no file says: its folder's, archive's or repository's name.
        id: the plugin's id, if it is known.
        version: its version, if it is known, in any spelling of PEP 440.
    """
    found = _Found()
    raw = found.manifest(files)
    described = found.metadata(files.get(METADATA))
    found.needs(raw)
    found.needs_packages(described.get("requires_dist"), "Requires-Dist")
    found.needs_python(described.get("requires_python"), "Requires-Python")
    found.asks_for(raw, files.get(PERMISSIONS))
    called = raw.get("id") or raw.get("name") or described.get("name") or name
    own = made_valid(called if isinstance(called, str) else name) or made_valid(name)
    if id is not None and raw and own != id:
        found.note(f"it calls itself {own!r}")
    says = version or described.get("version") or raw.get("version")
    return Stated(
        id=id or own,
        version=found.version(says),
        requires=found.requires(),
        permissions=tuple(found.permissions),
        notes=tuple(found.notes[:_MAX_NOTES]),
    )


def made_valid(text: str) -> str:
    """A plugin id as near to a text as can be; empty where nothing is left of it."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", text[:1000].strip().lower()).lstrip("_-")[:64].rstrip("-")
    for candidate in (plain, f"{plain[:57]}-plugin"):
        try:
            return check_plugin_id(candidate)
        except ValueError:
            if not plain:
                break
    return ""


def known_version(text: str) -> str | None:
    """A version of PEP 440 in the registry's grammar: `1.0` as `1.0.0`, `1.0rc1` as `1.0.0-rc.1`; None where it has none."""
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415

    try:
        return check_version(text)
    except ValueError:
        pass
    try:
        version = Version(text[:200])
    except InvalidVersion:
        return None
    release = list(version.release)
    while len(release) > _NUMBERS and release[-1] == 0:
        release.pop()
    more = version.epoch or version.local or version.is_postrelease or version.is_devrelease
    if more or len(release) > _NUMBERS:
        return None
    numbers = [*release, *([0] * (_NUMBERS - len(release)))]
    pre = f"-{_PRE[version.pre[0]]}.{version.pre[1]}" if version.pre else ""
    try:
        return check_version(".".join(map(str, numbers)) + pre)
    except ValueError:
        return None


@dataclass
class _Found:
    """What was found so far."""

    notes: list[str] = field(default_factory=list)
    permissions: dict[str, None] = field(default_factory=dict)
    host: dict[str, str] = field(default_factory=dict)
    plugins: dict[str, str] = field(default_factory=dict)
    packages: dict[str, None] = field(default_factory=dict)
    platforms: dict[str, None] = field(default_factory=dict)
    system: dict[str, None] = field(default_factory=dict)
    python: str | None = None

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text if text.isprintable() else ascii(text)[1:-1])

    # -- files --------------------------------------------------------------------------------------------------

    def manifest(self, files: Mapping[str, bytes]) -> dict[str, Any]:
        """The first manifest that can be read."""
        for name in MANIFESTS:
            if name in files:
                raw = self._json(files[name], name)
                if raw is not None:
                    return raw
        return {}

    def _json(self, data: bytes, name: str) -> dict[str, Any] | None:
        try:
            return parse_json(data, limit=MANIFEST_LIMIT, where=name)
        except DocumentError as e:
            rule = e.problems[0].message
            too_long = f"is longer than {MANIFEST_LIMIT} bytes"
            self.note(f"{name} is not used: {too_long if len(data) > MANIFEST_LIMIT else rule}")
            return None

    def metadata(self, data: bytes | None) -> dict[str, Any]:
        """What a Python distribution's METADATA says in its headers."""
        from packaging.metadata import parse_email  # noqa: PLC0415

        if data is None:
            return {}
        head = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        try:
            return dict(parse_email(head + b"\n\n")[0])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            self.note("the distribution's metadata is not used: it cannot be read")
            return {}

    # -- what it needs ------------------------------------------------------------------------------------------

    def needs(self, raw: dict[str, Any]) -> None:
        """What a manifest says that it needs, in each of the known forms."""
        own = raw.get("requires")
        rich = raw.get("dependencies")
        compatibility = raw.get("compatibility")
        if isinstance(own, dict):
            self._from_own_form(own)
        elif own is not None:
            self.note("requires is not used: expected an object")
        if isinstance(rich, dict):
            self._from_rich_form(rich)
        elif rich not in (None, []):
            self.note("dependencies is not used: it does not say whether plugins or packages are meant")
        if isinstance(compatibility, dict):
            self._each(self.platforms, compatibility.get("platforms"), "compatibility.platforms", _NAME)
        self.needs_python(raw.get("python_version"), "python_version")
        for key, value in raw.items():
            if key.endswith("_version") and key not in {
                "python_version",
                "schema_version",
                "manifest_version",
            }:
                self._ranged(self.host, key.removesuffix("_version"), value, key, _NAME)

    def _from_own_form(self, own: dict[str, Any]) -> None:
        self._members(self.host, own.get("host"), "requires.host", _NAME)
        self._members(self.plugins, own.get("plugins"), "requires.plugins", _PLUGIN)
        self.needs_python(own.get("python"), "requires.python")
        self._each(self.platforms, own.get("platforms"), "requires.platforms", _NAME)
        self._each(self.packages, own.get("packages"), "requires.packages", _SHORT)
        self._each(self.system, own.get("system"), "requires.system", _SHORT)

    def _from_rich_form(self, rich: dict[str, Any]) -> None:
        for key, value in rich.items():
            where = f"dependencies.{key}"
            if key == "python":
                self.needs_python(value, where)
            elif key in {"packages", "system"}:
                self._each(self.packages if key == "packages" else self.system, value, where, _SHORT)
            elif key == "plugins":
                for item in self._items(value, where):
                    match = _REQUIREMENT.fullmatch(item) if isinstance(item, str) else None
                    name, wanted = (match[1], match[2] or ">=0.0.0-alpha.0") if match else ("", "")
                    self._ranged(self.plugins, made_valid(name), wanted, where, _PLUGIN)
            else:
                self._ranged(self.host, key, value, where, _NAME)

    def needs_python(self, value: object, where: str) -> None:
        """A range of Python versions."""
        if value is None:
            return
        if isinstance(value, str) and self._fits(_RANGE, value):
            self.python = self.python or value
        else:
            self.note(f"{where} is not used: {str(value)[:80]!r} is no range of versions")

    def needs_packages(self, value: object, where: str) -> None:
        """Requires-Dist of a distribution; what belongs to an extra is not needed."""
        from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

        for item in self._items(value, where):
            try:
                requirement = Requirement(str(item)[:1000])
            except (InvalidRequirement, RecursionError):
                self.note(f"{where} is not used: {str(item)[:80]!r} is no requirement")
                continue
            if "extra" not in str(requirement.marker or ""):
                self._each(self.packages, [str(item)], where, _SHORT)

    def _members(self, target: dict[str, str], value: object, where: str, kind: TypeAdapter[str]) -> None:
        if value is None:
            return
        if not isinstance(value, dict):
            self.note(f"{where} is not used: expected an object")
            return
        for key, wanted in value.items():
            self._ranged(target, key, wanted, where, kind)

    def _ranged(
        self, target: dict[str, str], key: str, wanted: object, where: str, kind: TypeAdapter[str]
    ) -> None:
        full = len(target) >= _MOST["plugins" if target is self.plugins else "host"]
        if not full and self._fits(kind, key) and isinstance(wanted, str) and self._fits(_RANGE, wanted):
            target.setdefault(key, wanted)
        else:
            self.note(f"{where} is not used: {key[:80]!r} with {str(wanted)[:80]!r}")

    # -- lists --------------------------------------------------------------------------------------------------

    def _items(self, value: object, where: str) -> Iterator[object]:
        if isinstance(value, list):
            yield from value[:1000]
        elif value is not None:
            self.note(f"{where} is not used: expected a list")

    def _each(
        self, target: dict[str, None], value: object, where: str, kind: TypeAdapter[str], most: int = 500
    ) -> None:
        most = min(
            [most, *(_MOST[name] for name in ("platforms", "system") if target is getattr(self, name))]
        )
        for item in self._items(value, where):
            if isinstance(item, str) and self._fits(kind, item) and len(target) < most:
                target[item] = None
            else:
                self.note(f"{where} is not used in part: {str(item)[:80]!r}")

    @staticmethod
    def _fits(kind: TypeAdapter[str], value: str) -> bool:
        try:
            kind.validate_python(value, strict=True)
        except ValidationError:
            return False
        return True

    def asks_for(self, raw: dict[str, Any], other: bytes | None) -> None:
        """Permissions: a list of names in the manifest, or in permissions.json beside it."""
        stated = raw.get("permissions")
        if stated is None and other is not None:
            beside = other.strip()
            wrapped = b'{"permissions":%s}' % beside if beside.startswith(b"[") else beside
            stated = (self._json(wrapped, PERMISSIONS) or {}).get("permissions")
            if stated is None:
                self.note(f"{PERMISSIONS} is not used: expected a list of names")
        self._each(self.permissions, stated, "permissions", _NAME, _MOST["permissions"])

    # -- results ------------------------------------------------------------------------------------------------

    def version(self, says: object) -> str:
        """The version in the registry's grammar."""
        if says is None:
            return UNVERSIONED
        known = known_version(says) if isinstance(says, str) else None
        if known is None:
            self.note(
                f"version {str(says)[:80]!r} is not one that a registry has; it counts as {UNVERSIONED}"
            )
        return known or UNVERSIONED

    def requires(self) -> Requires | None:
        """What it needs, as a registry's manifest says it."""
        members = {
            "host": self.host or None,
            "python": self.python,
            "platforms": tuple(self.platforms),
            "plugins": self.plugins or None,
            "packages": tuple(self.packages),
            "system": tuple(self.system),
        }
        given = {name: value for name, value in members.items() if value}
        return Requires.model_validate(given) if given else None
