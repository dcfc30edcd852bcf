"""What a registry's repository needs on GitHub: workflows, the action that they share, rulesets, pinned requirements.

The files stand beside this module in `github/`, and are written as they are: nothing is filled in but the version of this project.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from publisher.tree import DirTree, write_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

FOLDER = ".github"
PROJECT = f"{FOLDER}/requirements/plugin-registry.txt"
"""Names what installs this project."""
_SOURCE_TREE = b"."


def build_workflows(version: str) -> dict[str, bytes]:
    """Every file, by its path in the repository.

    Args:
        version: which version of this project the workflows install.
    """
    found = dict(_below(files(__package__) / "github", FOLDER))
    return dict(sorted({**found, PROJECT: f"plugin-registry=={version}\n".encode()}.items()))


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        where = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _below(entry, where)
        else:
            yield where, entry.read_bytes()


def differing(folder: Path, wanted: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those files that a repository lacks or has otherwise.

    A repository that installs this project out of its own source tree goes on doing so.

    Args:
        folder: the repository.
        wanted: what `build_workflows` gave.

    Raises:
        ConfigError: a file cannot be read.
    """
    tree = DirTree(folder)
    present = {path: tree.read(path) for path in wanted}
    own = _SOURCE_TREE in (present.get(PROJECT) or b"").splitlines()
    return {
        path: data for path, data in wanted.items() if present[path] != data and not (own and path == PROJECT)
    }


def write_workflows(folder: Path, wanted: Mapping[str, bytes]) -> list[str]:
    """Write them into a repository; other files in `.github/` are left alone.

    Args:
        folder: the repository.
        wanted: what `build_workflows` gave.

    Returns:
        The paths that were written.

    Raises:
        ConfigError: a file cannot be read or written, or a folder on the way is a symbolic link.
    """
    changes = differing(folder, wanted)
    write_changes(folder, changes)
    return list(changes)
