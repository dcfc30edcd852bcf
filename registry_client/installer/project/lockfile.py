"""`plugins.lock`: exactly which versions a project uses. JSON, generated, to be committed beside plugins.toml.

For a plugin out of a registry it pins the payload digest, which is the version's identity; for one from elsewhere the digest of
its packed files. The permissions in it are those that the owner has seen and accepted.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from annotated_types import Len
from pydantic import AfterValidator, Field, model_validator

from registry_client.digest import Digest as DigestText
from registry_client.errors import ConfigError
from registry_client.installer.project.sources import (
    AdoptedSource,
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
    Source,
)
from registry_client.jsontext import MIB, parse_json
from registry_client.models.base import (
    Digest,
    Document,
    Name,
    PluginId,
    Range,
    ShortText,
    Version,
    check_schema_version,
    validate,
)
from registry_client.models.manifest import Requires
from registry_client.names import check_file_name

LOCK_LIMIT = 16 * MIB
Keyid = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Place = Annotated[str, Field(min_length=1, max_length=2000)]
"""A path or a URL: as long as plugins.toml and manifests may have them."""
FileName = Annotated[str, AfterValidator(check_file_name)]
_STATES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "registry": (frozenset({"registry"}), frozenset()),
    "path": (frozenset({"path"}), frozenset()),
    "git": (frozenset({"url", "ref"}), frozenset({"commit", "subdirectory"})),
    "pypi": (frozenset({"name", "url"}), frozenset({"ref"})),
    "adopted": (frozenset(), frozenset()),
}
"""What a source of each kind states, and what it may state besides."""


class LockedSource(Document):
    """Where a plugin comes from. `registry` is signed; every other kind is not."""

    kind: Literal["registry", "path", "git", "pypi", "adopted"]
    """The kind of source."""
    registry: Name | None = None
    """For `registry`: its name in plugins.toml."""
    path: Place | None = None
    """For `path`: the folder or archive, as plugins.toml states it."""
    url: Place | None = None
    """For `git`: the repository. For `pypi`: the index's base URL."""
    ref: ShortText | None = None
    """For `git`: the tag or commit asked for. For `pypi`: the version as the index states it."""
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")] | None = None
    """For `git`: the commit that it was."""
    subdirectory: ShortText | None = None
    """For `git`: the folder in it that is the plugin."""
    name: ShortText | None = None
    """For `pypi`: the distribution."""

    @property
    def signed(self) -> bool:
        """Whether a publisher's signature stands behind it."""
        return self.kind == "registry"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed, besides = _STATES[self.kind]
        stated = {name for name, value in self if name != "kind" and value is not None}
        if not needed <= stated or not stated <= needed | besides:
            raise ValueError(
                f"expected {' and '.join(sorted(needed)) or 'nothing more'} of a source of kind {self.kind}"
            )
        return self


class LockedArtifact(Document):
    """The file that is unpacked."""

    name: FileName
    """Its file name, which says how it is packed."""
    digest: Digest
    """sha256 of the file."""
    size: Annotated[int, Field(ge=1)]
    """Its length in bytes."""
    url: Place | None = None
    """Where it is: absolute, or relative to the registry. None for files that are packed on this machine."""


class LockedPlugin(Document):
    """One plugin, exactly."""

    id: PluginId
    """The plugin."""
    version: Version
    """Its version; 0.0.0 where an unsigned source states none."""
    source: LockedSource
    """Where it comes from."""
    payload_digest: Digest | None = None
    """The version's identity in its registry. None for unsigned sources."""
    publisher: PluginId | None = None
    """Whose keys signed it. None for unsigned sources."""
    keyids: Annotated[tuple[Keyid, ...], Len(0, 16)] = ()
    """The keys that signed it when it was locked. Informational: the payload digest decides."""
    artifact: LockedArtifact | None = None
    """What is unpacked; None for a plugin that is only loaded from elsewhere (`ui`, `server`)."""
    requires: Requires | None = None
    """What it needs, copied from its manifest."""
    permissions: Annotated[tuple[Name, ...], Len(0, 200)] = ()
    """What it asks its host for; in the lock, so accepted."""
    passed_over: Version | None = None
    """Set by a rollback: the version that it went back from, which is not offered again unless asked for."""

    @property
    def signed(self) -> bool:
        """Whether a publisher's signature stands behind it."""
        return self.source.signed

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.source.kind == "registry" and (self.payload_digest is None or self.publisher is None):
            raise ValueError("expected payloadDigest and publisher of a plugin from a registry")
        if self.source.kind != "registry" and self.artifact is None:
            raise ValueError("expected the artifact of a plugin from an unsigned source")
        if self.source.kind == "git" and self.source.commit is None:
            raise ValueError("expected the commit of a plugin from a Git repository")
        return self


class LockedRegistry(Document):
    """A registry as it was when the lock was made."""

    url: Place
    """Its base URL."""
    root: Digest
    """sha256 of the pinned root of trust."""


class LockedWish(Document):
    """An entry of plugins.toml that the lock answers."""

    source: LockedSource
    """Where the plugin should come from."""
    range: Range | Literal[""] = ""
    """Which versions."""


class Lock(Document):
    """A whole plugins.lock."""

    kind: Literal["lock"] = "lock"
    """The kind of document."""
    schema_version: Literal[1] = 1
    """The version of this format."""
    registries: dict[Name, LockedRegistry] = Field(default_factory=dict)
    """The registries by their names in plugins.toml."""
    ecosystem: Name | None = None
    """The host's ecosystem, which decided between a version's artifacts."""
    wanted: dict[PluginId, LockedWish] = Field(default_factory=dict)
    """What plugins.toml asked for. If it asks for something else now, the lock is out of date."""
    plugins: Annotated[tuple[LockedPlugin, ...], Len(0, 10_000)] = ()
    """Every plugin, also those that others need, sorted by id."""

    @property
    def by_id(self) -> dict[str, LockedPlugin]:
        """The plugins by id."""
        return {plugin.id: plugin for plugin in self.plugins}

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(self.by_id) != len(self.plugins):
            raise ValueError("expected each plugin once")
        return self


def parse_lock(data: bytes, where: str) -> Lock:
    """Parse plugins.lock.

    Raises:
        DocumentError: not a lock; lists every problem.
    """
    check_schema_version(parse_json(data, limit=LOCK_LIMIT, where=where), where)
    return validate(Lock, data, where)


def lock_bytes(lock: Lock) -> bytes:
    """The bytes of plugins.lock: the same lock gives the same bytes, one member a line, so that changes read well."""
    ordered = lock.model_copy(
        update={
            "registries": dict(sorted(lock.registries.items())),
            "wanted": dict(sorted(lock.wanted.items())),
            "plugins": tuple(sorted(lock.plugins, key=lambda p: p.id)),
        }
    )
    document = ordered.model_dump(mode="json", by_alias=True, exclude_none=True)
    return (json.dumps(_without_empty(document), indent=2, ensure_ascii=False) + "\n").encode()


def _without_empty(document: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in document.items() if value not in ({}, [])} | {
        "plugins": document["plugins"]
    }


def locked_source(source: Source) -> LockedSource:
    """A source of plugins.toml as the lock states it; a Git source's commit is not known yet."""
    match source:
        case RegistrySource(registry):
            return LockedSource.model_validate({"kind": "registry", "registry": registry})
        case PathSource(path):
            return LockedSource.model_validate({"kind": "path", "path": path})
        case GitSource(url, ref, subdirectory):
            return LockedSource.model_validate(
                {"kind": "git", "url": url, "ref": ref, "subdirectory": subdirectory or None}
            )
        case PypiSource(name, index):
            return LockedSource.model_validate({"kind": "pypi", "name": name, "url": index})
        case AdoptedSource():
            return LockedSource.model_validate({"kind": "adopted"})
    raise ConfigError(f"{source!r}: unknown kind of source")


__all__ = [
    "DigestText",
    "Lock",
    "LockedArtifact",
    "LockedPlugin",
    "LockedRegistry",
    "LockedSource",
    "LockedWish",
    "lock_bytes",
    "locked_source",
    "parse_lock",
]
