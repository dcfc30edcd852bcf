"""What a version changes against the one before it, for whoever decides whether it goes in. Pure.

It is said of what the manifests state; nothing here looks at code. Names come from strangers and are escaped in `Changes.markdown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from publisher.markdown import Markdown, code, escape, table
from registry_client.jsontext import payload_digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from registry_client.digest import Digest

_MOST_NAMES = 30
_LONGEST_NAME = 100
_KIB = 1024


@dataclass(frozen=True)
class Difference:
    """Names that came, went, and stayed but mean something else now. All sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def to_json(self) -> dict[str, list[str]]:
        """For `--json`."""
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {name: list(names) for name, names in parts.items() if names}

    def text(self) -> str:
        """In one line for a terminal; empty if nothing differs."""
        return "; ".join(f"{label}: {_listed(names)}" for label, names in self.to_json().items())

    def markdown(self) -> Markdown:
        """In one line of Markdown; empty if nothing differs."""
        return Markdown(
            "; ".join(
                f"**{label}**: {_listed([code(_short(name)) for name in names])}"
                for label, names in self.to_json().items()
            )
        )


@dataclass(frozen=True)
class Changes:
    """What a new version is, and what it changes.

    Attributes:
        id: the plugin.
        name: what people call it.
        version: the new version.
        previous: the version that it is compared with, or None for a plugin's first one.
        status: its first status.
        payload_digest: its identity.
        permissions: what it asks its host for, against what it asked for.
        configuration: keys of its settings; empty if none of their schemas changed.
        configuration_changed: whether anything in the settings' schema changed, keys or not.
        origins: scheme and host of everything that hosts would load: UI, backend, artifacts elsewhere.
        artifacts: how many packed files it has.
        size: bytes of these together.
        previous_size: bytes of the previous version's.
    """

    id: str
    name: str
    version: str
    previous: str | None
    status: str
    payload_digest: Digest
    permissions: Difference
    configuration: Difference
    configuration_changed: bool
    origins: Difference
    artifacts: int
    size: int
    previous_size: int | None

    def rows(self) -> list[tuple[str, Markdown]]:
        """What there is to know, each with its label, as Markdown."""
        before = f"after {code(self.previous)}" if self.previous else "the first version"
        return [
            ("Plugin", Markdown(f"{code(self.id)} {escape(_short(self.name))}")),
            ("Version", Markdown(f"{code(self.version)}, {before}")),
            ("Starts as", escape(self.status)),
            ("Payload digest", code(self.payload_digest)),
            ("Permissions", self.permissions.markdown() or self._same("none")),
            ("Configuration", self._configuration()),
            (
                "Loaded from",
                self.origins.markdown() or self._same("the registry alone"),
            ),
            ("Artifacts", self._artifacts()),
        ]

    def markdown(self) -> str:
        """A table for a pull request or a job summary."""
        return table(("", "What changes"), self.rows())

    def lines(self) -> list[str]:
        """The same for a terminal."""
        return [
            f"{self.id} {self.version} ({self.status}), {f'after {self.previous}' if self.previous else 'the first version'}",
            f"  payload digest  {self.payload_digest}",
            f"  permissions     {self.permissions.text() or self._same('none')}",
            f"  configuration   {self.configuration.text() or self._configuration()}",
            f"  loaded from     {self.origins.text() or self._same('the registry alone')}",
            f"  artifacts       {self._artifacts()}",
        ]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "id": self.id,
            "version": self.version,
            "previous": self.previous,
            "status": self.status,
            "payloadDigest": self.payload_digest,
            "permissions": self.permissions.to_json(),
            "configuration": {"isChanged": self.configuration_changed, **self.configuration.to_json()},
            "origins": self.origins.to_json(),
            "artifacts": self.artifacts,
            "size": self.size,
            "previousSize": self.previous_size,
        }

    def _configuration(self) -> Markdown:
        if self.configuration_changed:
            return self.configuration.markdown() or Markdown("changed, but none of its keys")
        return self._same("none")

    def _same(self, first: str) -> Markdown:
        """What is said where nothing differs."""
        return Markdown("unchanged" if self.previous else first)

    def _artifacts(self) -> Markdown:
        if not self.artifacts:
            return Markdown("none")
        count = "1 file" if self.artifacts == 1 else f"{self.artifacts} files"
        before = f" (before: {show_size(self.previous_size)})" if self.previous_size is not None else ""
        return Markdown(f"{count}, {show_size(self.size)}{before}")


def describe_changes(new_manifest: Mapping[str, Any], previous: Mapping[str, Any] | None) -> Changes:
    """Compare a version with the newest one published before it.

    Args:
        new_manifest: a well-formed manifest, signed or not.
        previous: the manifest to compare with, or None if the plugin has no version yet.
    """
    old: Mapping[str, Any] = previous or {}
    settings, old_settings = new_manifest.get("configuration"), old.get("configuration")
    return Changes(
        id=str(new_manifest["id"]),
        name=str(new_manifest["name"]),
        version=str(new_manifest["version"]),
        previous=str(old["version"]) if previous else None,
        status=str(new_manifest["initialStatus"]),
        payload_digest=payload_digest_of(dict(new_manifest)),
        permissions=compare(_marked(new_manifest.get("permissions")), _marked(old.get("permissions"))),
        configuration=compare(dict(_keys(settings)), dict(_keys(old_settings))),
        configuration_changed=settings != old_settings,
        origins=compare(_marked(_origins(new_manifest)), _marked(_origins(old))),
        artifacts=len(new_manifest.get("artifacts") or ()),
        size=_size(new_manifest),
        previous_size=_size(old) if previous else None,
    )


def compare(new: Mapping[str, Any], old: Mapping[str, Any]) -> Difference:
    """Which names of two mappings differ, and how."""
    return Difference(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
    )


def show_size(size: int) -> str:
    """A number of bytes for people: `1.2 MiB`."""
    if size < _KIB:
        return f"{size} bytes"
    amount, unit = size / _KIB, "KiB"
    for larger in ("MiB", "GiB"):
        if amount >= _KIB:
            amount, unit = amount / _KIB, larger
    return f"{amount:.1f} {unit}"


def _marked(names: Iterable[str] | None) -> dict[str, bool]:
    return dict.fromkeys(names or (), True)


def _keys(schema: Any) -> Iterator[tuple[str, Any]]:
    """The settings that a JSON Schema names, those inside others as `outer.inner`, and what it says of each."""
    pending: list[tuple[str, Any]] = [("", schema)]
    while pending:
        prefix, node = pending.pop()
        members = node.get("properties") if isinstance(node, dict) else None
        needed = node.get("required") if isinstance(node, dict) else None
        for name, child in members.items() if isinstance(members, dict) else ():
            own = {k: v for k, v in child.items() if k != "properties"} if isinstance(child, dict) else child
            yield f"{prefix}{name}", (own, isinstance(needed, list) and name in needed)
            pending.append((f"{prefix}{name}.", child))


def _origins(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Where hosts would load something from, other than the registry itself."""
    places = [
        (manifest.get("ui") or {}).get("remoteEntry"),
        (manifest.get("server") or {}).get("deploymentUrl"),
        *(artifact.get("url") for artifact in manifest.get("artifacts") or ()),
    ]
    for place in places:
        if place and ":" in place:
            parts = urlsplit(place)
            yield f"{parts.scheme}://{parts.netloc}"


def _size(manifest: Mapping[str, Any]) -> int:
    return sum(artifact["size"] for artifact in manifest.get("artifacts") or ())


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    shown = [name if isinstance(name, Markdown) else _short(name) for name in names[:_MOST_NAMES]]
    return ", ".join(shown) + more


__all__ = ["Changes", "Difference", "compare", "describe_changes", "show_size"]
