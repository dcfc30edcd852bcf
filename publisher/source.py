"""The source manifest on disk: found, read, its version changed in place, and made into what is signed.

It is `manifest.json` in the plugin's folder, or a manifest in another form, which an adapter reads as it is
(`publisher.adapters`). Changing the version keeps every other byte as the author wrote it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from publisher import wordpress
from publisher.adapters import REGISTRY
from publisher.adapters.edit import json_with_version
from publisher.built_file import inside, read_built
from publisher.pack import artifact_name, latest_name, pack, packed_files
from publisher.schemas import validate_against
from publisher.source_file import SOURCE_NAME, ReadSource, find_source, read_source, without_nulls
from publisher.source_model import FIRST_VERSION, SourceArtifact, SourceManifest, fill_url
from registry_client.errors import ConfigError, ManifestError, Problem, PublishError
from registry_client.models.base import problems_of
from registry_client.models.manifest import Manifest
from registry_client.names import check_version
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from publisher.adapters import Note
    from publisher.python_dist import Builder
    from registry_client.models.base import Document

_KEY_OF_MAPPING = "['[key]']"
_VERSION_HINT = "Use X.Y.Z or X.Y.Z-(alpha|beta|rc).N."


@dataclass(frozen=True)
class Source:
    """A valid source manifest.

    Attributes:
        model: what it says.
        raw: the JSON object, without members that are null.
        path: the file.
        folder: the folder that its relative paths start from.
        text: the file's text, line ends as they are; "" where the file's own form is no text in UTF-8.
        form: what the file is.
        notes: what it says that is not carried over, or not as it stands.
        rewrite: new bytes by path, of the files that say the version; None where the text is the registry's JSON.
        changelog: what changed in a version, where the source says so of each.
    """

    model: SourceManifest
    raw: dict[str, Any]
    path: Path
    folder: Path
    text: str
    form: str = REGISTRY
    notes: tuple[Note, ...] = ()
    rewrite: Callable[[str], dict[str, bytes]] | None = None
    changelog: Callable[[str], str | None] | None = None


def load_source(path: Path, *, repository: str | None = None) -> Source:
    """Read a source manifest.

    Args:
        path: the file, or the plugin's folder.
        repository: as for `read_source`.

    Raises:
        ConfigError: there is none, or it cannot be read.
        ManifestError: it breaks its rules; lists every problem.
    """
    read = read_source(path, repository=repository)
    problems = problems_of_source(read)
    if problems:
        raise ManifestError(str(read.path), problems)
    model = SourceManifest.model_validate_json(json.dumps(read.raw))
    return Source(
        model,
        read.raw,
        read.path,
        read.path.parent,
        read.text,
        read.form,
        read.notes,
        read.rewrite,
        read.changelog,
    )


def problems_of_source(read: ReadSource) -> list[Problem]:
    """What an adapter, schema and model find wrong with a source manifest."""
    # What an adapter could not make is missing in its outcome: saying that as well would be saying it twice.
    return list(read.problems) or source_problems(read.raw, str(read.path))


def source_problems(raw: dict[str, Any], where: str) -> list[Problem]:
    """What schema and model find wrong with a source manifest."""
    return merge(validate_against("source", raw, where), model_problems(SourceManifest, raw))


def model_problems(model: type[Document], raw: dict[str, Any]) -> list[Problem]:
    """What a model finds wrong with a JSON object."""
    try:
        model.model_validate_json(json.dumps(raw))
    except ValidationError as e:
        found = [Problem(p.path.removesuffix(_KEY_OF_MAPPING), p.message) for p in problems_of(e)]
        # Where an item is refused, the rest counts as too short: that says nothing new.
        inner = [problem.path for problem in found]
        return [p for p in found if not any(path.startswith((f"{p.path}.", f"{p.path}[")) for path in inner)]
    return []


def merge(first: list[Problem], *others: list[Problem]) -> list[Problem]:
    """All problems, of the later lists those at paths that no earlier list names."""
    merged = list(first)
    for problems in others:
        known = {problem.path for problem in merged}
        merged += [problem for problem in problems if problem.path not in known]
    return merged


def bump(version: str, part: Literal["patch", "minor", "major"]) -> str:
    """The next version. A prerelease bumps to its release where that is the wanted step already.

    Raises:
        PublishError: outside the grammar of versions, or a number would have ten digits.
    """
    try:
        release, _, prerelease = check_version(version).partition("-")
        major, minor, patch = map(int, release.split("."))
        ready = {"patch": True, "minor": patch == 0, "major": minor == patch == 0}
        if prerelease and ready[part]:
            return release
        following = {
            "patch": f"{major}.{minor}.{patch + 1}",
            "minor": f"{major}.{minor + 1}.0",
            "major": f"{major + 1}.0.0",
        }
        return check_version(following[part])
    except ValueError as e:
        raise PublishError(f"version {version[:80]!r} cannot be bumped: {e}", hint=_VERSION_HINT) from e


def with_version(source: Source, version: str) -> bytes:
    """The source's file with another version, everything else byte for byte.

    A missing `version` is put after `name`, spaced as that is.

    Raises:
        PublishError: outside the grammar of versions, or there is no place for it.
    """
    return with_versions(source, version)[source.path.name]


def with_versions(source: Source, version: str) -> dict[str, bytes]:
    """All files that say a plugin's version, by path below its folder, with another one in them.

    A manifest is one file; a WordPress plugin says it in its readme.txt as well.

    Raises:
        PublishError: outside the grammar of versions, or there is no place for it.
    """
    try:
        check_version(version)
    except ValueError as e:
        raise PublishError(f"{source.path}: {e}", hint=_VERSION_HINT) from e
    if source.rewrite is not None:
        return source.rewrite(version)
    return {source.path.name: json_with_version(source.text, version)}


def write_version(source: Source, version: str) -> None:
    """Write another version into the files that say it.

    Raises:
        PublishError: outside the grammar of versions, there is no place for it, or a file cannot be written.
    """
    for name, data in with_versions(source, version).items():
        try:
            write_atomic(source.folder / name, data)
        except OSError as e:
            raise PublishError(f"{source.folder / name}: cannot be written ({e.strerror or e})") from e


def read_artifact(
    source: Source, index: int, *, version: str, builder: Builder | None = None
) -> tuple[str, bytes] | None:
    """The file name and bytes of one entry of `artifacts`; None for a file that is at its URL already.

    A packed folder that holds the source manifest holds it with the version that is being published; a WordPress
    plugin, with that version in its header.

    Args:
        source: the source.
        index: which entry.
        version: the version that is being published.
        builder: builds wheels and sdists; without one they are refused.

    Raises:
        PackError: the folder cannot be packed.
        PublishError: the file is not there, empty, too large, or outside the plugin's folder; or it cannot be built.
        ConfigError: what building needs is missing.
    """
    entry = (source.model.artifacts or ())[index]
    if entry.pack is not None:
        return _packed_name(source, entry, version), _packed(source, entry, version)
    if entry.build is not None:
        if builder is None:
            raise ConfigError(f"{source.path}: a {entry.build} is to be built, but nothing builds here")
        return builder.build(source.folder, entry.build, version)
    if entry.path is None:
        return None
    return read_built(source.folder, entry.path)


def _packed(source: Source, entry: SourceArtifact, version: str) -> bytes:
    folder = inside(source.folder, entry.pack or ".")
    replace: dict[str, bytes] = {}
    if entry.ecosystem == "wordpress":
        replace |= wordpress.with_version(folder, packed_files(folder), version)
    if folder == source.folder.resolve():
        replace |= with_versions(source, version)
    return pack(folder, id=source.model.id, version=version, replace=replace)


def _packed_name(source: Source, entry: SourceArtifact, version: str) -> str:
    """The archive's name; with the ecosystem in it where the plugin has several archives."""
    return artifact_name(source.model.id, version, suffix=_suffix(source, entry))


def latest_of(source: Source, index: int) -> str | None:
    """What the newest archive of an entry of `artifacts` is called beside it; None for what is not packed.

    A wheel's or an sdist's name says what it is, so those have no other.
    """
    entry = (source.model.artifacts or ())[index]
    return None if entry.pack is None else latest_name(source.model.id, suffix=_suffix(source, entry))


def _suffix(source: Source, entry: SourceArtifact) -> str:
    several = [artifact for artifact in source.model.artifacts or () if artifact.pack is not None][1:]
    return entry.ecosystem if several else ""


def build_manifest(
    source: Source,
    *,
    version: str,
    artifacts: list[dict[str, Any]],
    initial_status: str | None = None,
    manifest_url: str | None = None,
    last_updated: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The unsigned manifest, members in the order of the model; what is None or absent is left out.

    Args:
        source: what the author says.
        version: the version to publish.
        artifacts: entries as they are published: ecosystem, url, digest, size, perhaps mediaType.
        initial_status: `draft` or `released`, if not the source's.
        manifest_url: where the newest manifest will be served.
        last_updated: the time, RFC 3339.
        provenance: where it was built.
    """
    known = {
        **source.raw,
        "kind": "manifest",
        "schemaVersion": 1,
        "version": version,
        "initialStatus": initial_status or source.model.initial_status,
        "changelog": source.changelog(version) if source.changelog else source.raw.get("changelog"),
        "artifacts": artifacts or None,
        "manifestUrl": manifest_url,
        "lastUpdated": last_updated,
        "provenance": provenance or None,
    }
    names = [item.alias or name for name, item in Manifest.model_fields.items()]
    ordered: dict[str, Any] = without_nulls({name: known[name] for name in names if name in known})
    return ordered


__all__ = [
    "FIRST_VERSION",
    "SOURCE_NAME",
    "ReadSource",
    "Source",
    "SourceArtifact",
    "SourceManifest",
    "build_manifest",
    "bump",
    "fill_url",
    "find_source",
    "latest_of",
    "load_source",
    "read_artifact",
    "read_source",
    "with_version",
    "with_versions",
    "write_version",
]
