"""`publisher registry mirror`: the served tree, copied to where it is served a second time.

Nothing is verified: whoever reads a mirror verifies what it gives. What this holds is the order, in which a reader never finds
metadata that names a file which is not there yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.maintain.desk import require_registry
from publisher.tree import TIMESTAMP, DirTree, write_changes, write_order
from publisher.tuf_repository import parse_metadata
from registry_client.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from pathlib import Path

    from publisher.tree import Tree

SERVED_FOLDERS = ("artifacts", "metadata", "plugins", "publishers", "schema", "targets")
SERVED_FILES = ("blocks.json", "policy.json", "registry.json")
_ROOT = "metadata/1.root.json"


@dataclass(frozen=True)
class Copied:
    """What a run did.

    Attributes:
        written: paths that were new or had changed.
        unchanged: how many files were there already.
        deleted: paths that the registry serves no more.
    """

    written: tuple[str, ...]
    unchanged: int
    deleted: tuple[str, ...]


def served_paths(tree: Tree) -> list[str]:
    """Paths of a registry that hosts may ask for: not its code, keys, workflows, or what waits for signatures."""
    paths = [path for folder in SERVED_FOLDERS for path in tree.paths(folder)]
    return sorted([*paths, *(path for path in SERVED_FILES if tree.read(path) is not None)])


def mirror(folder: Path, source: Path) -> Copied:
    """Copy the served tree of a registry into a folder: files first, then the metadata that names them, the timestamp last.

    Args:
        folder: the mirror; made if missing. Files of a served kind that the registry has no more are deleted
            from it, others are left alone.
        source: the registry's folder.

    Raises:
        ConfigError: the source is no registry, the two overlap, the folder is a mirror of another registry or of a later state, a file
            cannot be read or written, or the registry changed meanwhile. Running it again completes the rest.
    """
    tree, copy = DirTree(require_registry(source)), DirTree(folder)
    _refuse_overlap(folder, source)
    timestamp = tree.read(TIMESTAMP)
    _refuse_other(tree, copy, folder)
    paths = served_paths(tree)
    written = []
    # The first root says whose mirror this is, so that a run that was interrupted can be completed.
    for path in (_ROOT, *(path for path in write_order(dict.fromkeys(paths, b"")) if path != _ROOT)):
        data = tree.read(path)
        if data is None or (path == TIMESTAMP and data != timestamp):
            raise ConfigError(f"{source}: changed while it was copied ({path})", hint="Run it again.")
        if copy.read(path) != data:
            write_changes(folder, {path: data})
            written.append(path)
    gone = sorted({*served_paths(copy)} - {*paths})
    write_changes(folder, dict.fromkeys(gone))
    return Copied(tuple(written), len(paths) - len(written), tuple(gone))


def _refuse_overlap(folder: Path, source: Path) -> None:
    there, here = folder.resolve(), source.resolve()
    if here.is_relative_to(there) or any(there.is_relative_to(here / name) for name in SERVED_FOLDERS):
        raise ConfigError(
            f"{folder}: cannot be a mirror of {source}, for the one holds the other",
            hint="Choose another folder.",
        )


def _refuse_other(tree: Tree, copy: Tree, folder: Path) -> None:
    """Refuse to write over another registry, among other files, or to take a mirror back to what it was before."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file", hint="Give a folder; it is made if it is missing.")
    root = copy.read(_ROOT)
    if root is None and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder}: holds other files already", hint="Choose an empty folder, or a new one."
        )
    if root is not None and root != tree.read(_ROOT):
        raise ConfigError(f"{folder}: is a mirror of another registry", hint="Choose another folder.")
    there, here = _version(copy), _version(tree)
    if there > here:
        raise ConfigError(
            f"{folder}: is at timestamp {there}, and this registry only at {here}",
            hint="Fetch the registry's newest state; to begin anew, delete the mirror.",
        )


def _version(tree: Tree) -> int:
    """The timestamp's version, 0 if there is none that can be read."""
    data = tree.read(TIMESTAMP)
    try:
        return int(parse_metadata(data, "timestamp", TIMESTAMP).signed.version) if data else 0
    except RegistryError:
        return 0
