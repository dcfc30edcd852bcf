"""What of a registry's tree hosts may ask for. Pure but for the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.tree import TIMESTAMP
from publisher.tuf_repository import parse_metadata
from registry_client.bundle import BUNDLE_PATH
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from publisher.tree import Tree

FOLDERS = ("artifacts", "metadata", "plugins", "publishers", "schema", "targets")
FILES = ("blocks.json", "policy.json", "registry.json")
ROOT = "metadata/1.root.json"
"""Says whose mirror this is."""


def served_paths(tree: Tree) -> list[str]:
    """Paths of a registry that hosts may ask for: not its code, keys, workflows, or what waits for signatures."""
    paths = [path for folder in FOLDERS for path in tree.paths(folder)]
    return sorted([*paths, *(path for path in FILES if tree.read(path) is not None)])


def is_served(path: str) -> bool:
    """Whether a path in a mirror is of a kind that a run writes and deletes; all others are left alone."""
    top, slash, _ = path.partition("/")
    return path in FILES or path == BUNDLE_PATH or bool(slash and top in FOLDERS)


def timestamp_version(data: bytes | None) -> int:
    """The version of a timestamp, its signature unchecked; 0 if there is none that can be read."""
    try:
        return int(parse_metadata(data, "timestamp", TIMESTAMP).signed.version) if data else 0
    except RegistryError:
        return 0
