"""Files that nothing signed refers to, ids that clash, and schemas that are not the models'."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from publisher.registrar.sharding import read_directory
from publisher.registrar.submission import ARTIFACT_PATH
from publisher.schemas import build_schemas
from publisher.tuf_repository import STAGING, read_metadata
from publisher.watch.findings import Finding, Level, error
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.layout import plain_file, plain_path, served_path, version_file
from registry_client.models.index import TOP_BITS
from registry_client.names import check_plugin_id, check_version, container_name
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from publisher.authority import Authority
    from publisher.registrar.state import State
    from publisher.tree import Tree

_KNOWN_METADATA = re.compile(
    r"metadata/(timestamp|[1-9][0-9]{0,18}\.(root|targets|blocks|registrar|snapshot))\.json"
)
_DIRECTORY = re.compile(rf"index/[01]{{{TOP_BITS}}}\.json")
_NAMES_TARGETS = re.compile(rf"(metadata|{STAGING})/([1-9][0-9]{{0,18}})\.(targets|blocks|registrar)\.json")


def names(state: State) -> list[Finding]:
    """Ids and versions outside their grammar, and ids that are the same without `-` and `_`."""
    found = []
    containers: dict[str, str] = {}
    for plugin_id, versions in state.rows.items():
        try:
            check_plugin_id(plugin_id)
            for version in versions:
                check_version(version)
        except ValueError as e:
            found.append(error(f"plugins/{plugin_id}", str(e)))
        other = containers.setdefault(container_name(plugin_id), plugin_id)
        if other != plugin_id:
            found.append(error(f"plugins/{plugin_id}", f"is {other!r} after removing '-' and '_'"))
    return found


def strays(tree: Tree, authority: Authority, state: State, artifacts: Container[str]) -> list[Finding]:
    """Files that nothing signed refers to.

    Args:
        tree: the registry.
        authority: the maintainers' statements.
        state: the index.
        artifacts: paths that manifests name.
    """
    named = authority.documents
    found = [
        error(p, "is not a metadata file") for p in tree.paths("metadata") if not _KNOWN_METADATA.fullmatch(p)
    ]
    found += [error(p, "no signed metadata names it") for p in tree.paths("publishers") if p not in named]
    found += [
        error(path, "belongs to no published version", "Register it, or remove it.")
        for path in tree.paths("plugins")
        if not _belongs(path, state)
    ]
    for path in tree.paths("artifacts"):
        if path not in artifacts or not ARTIFACT_PATH.fullmatch(path):
            found.append(Finding(Level.WARNING, path, "no published version names it"))
    held, unreadable = _held_targets(tree)
    found += unreadable
    found += [
        Finding(Level.WARNING, p, "no kept metadata names it") for p in tree.paths("targets") if p not in held
    ]
    return found


def _belongs(path: str, state: State) -> bool:
    """Whether a file below plugins/ stands in the folder that the index names for its plugin, and is one of those that belong there."""
    parts = version_file(path)
    if parts is not None:
        row = state.get(parts.id, parts.version)
        return row is not None and row.folder == parts.folder
    plugin_id = plain_file(path)
    return plugin_id is not None and any(
        path == plain_path(row.folder) for row in state.sorted_rows(plugin_id)
    )


def _held_targets(tree: Tree) -> tuple[set[str], list[Finding]]:
    """What metadata names, and the files that should be metadata and are not."""
    held: set[str] = set()
    found = []
    for folder in ("metadata", STAGING):
        for path in tree.paths(folder):
            match = _NAMES_TARGETS.fullmatch(path)
            if match is None:
                continue
            try:
                signed = read_metadata(tree, match[3], int(match[2]), match[1]).signed
            except RegistryError as e:
                found.append(error(path, e.message.removeprefix(f"{path}: "), "Restore it, or delete it."))
                continue
            for target, info in signed.targets.items():
                digest = Digest.from_hex(info.hashes["sha256"])
                copy = served_path(target, digest)
                if copy not in held:
                    held |= {copy, *_named_by_directory(tree, target, copy, digest)}
    return held, found


def _named_by_directory(tree: Tree, target: str, copy: str, digest: Digest) -> set[str]:
    """Where the shards of an index directory are served, if a target is one and its copy is undamaged."""
    if _DIRECTORY.fullmatch(target) is None:
        return set()
    data = tree.read(copy)
    if data is None or Digest.of(data) != digest:
        return set()
    try:
        shards = read_directory(data, target) or {}
    except RegistryError:
        return set()  # where it counts, the index does not verify
    return {served_path(shard_path(bits), ref.digest) for bits, ref in shards.items()}


def schemas(tree: Tree) -> Iterator[Finding]:
    """Published schemas that are not those of the models."""
    for name, data in build_schemas().items():
        if tree.read(f"schema/{name}") != data:
            yield error(f"schema/{name}", "differs from the models", "publisher registry schema")


__all__ = ["names", "schemas", "strays"]
