"""What a registry's repository needs on GitHub: workflows, the action that they share, rulesets, pinned requirements.

The files stand beside this module in `repository/`, and are written as they are. What a registry changes in them by design, it keeps:
who may bypass its rulesets, and from where it installs this project.
"""

from __future__ import annotations

import json
import re
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
_RULESETS = f"{FOLDER}/rulesets/"
_RELEASED = re.compile(rb"plugin-registry==\S+")


def build_workflows(version: str) -> dict[str, bytes]:
    """Every file, by its path in the repository.

    Args:
        version: which version of this project the workflows install.
    """
    found = dict(_below(files(__package__) / "repository", FOLDER))
    return dict(sorted({**found, PROJECT: f"plugin-registry=={version}\n".encode()}.items()))


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        where = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _below(entry, where)
        else:
            yield where, entry.read_bytes()


def differing(folder: Path, wanted: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those files that a repository lacks or has otherwise, as they should be there.

    A repository that installs this project from elsewhere (its own source tree, a Git commit, a version with its digest) goes on doing so,
    and so do those whom its rulesets let pass.

    Args:
        folder: the repository.
        wanted: what `build_workflows` gave.

    Raises:
        ConfigError: a file cannot be read.
    """
    tree = DirTree(folder)
    kept = {path: _kept(path, tree.read(path), data) for path, data in wanted.items()}
    return {path: data for path, data in kept.items() if tree.read(path) != data}


def _kept(path: str, present: bytes | None, wanted: bytes) -> bytes:
    """A file as it should be, with what the registry itself says in it."""
    if present is None:
        return wanted
    if path == PROJECT:
        return wanted if _RELEASED.fullmatch(present.strip()) else present
    if path.startswith(_RULESETS) and path.endswith(".json"):
        return _with_actors(present, wanted)
    return wanted


def _with_actors(present: bytes, wanted: bytes) -> bytes:
    """A ruleset in which those may pass whom the registry names; its text stays if nothing else differs."""
    try:
        have, should = json.loads(present), json.loads(wanted)
        should["bypass_actors"] = have["bypass_actors"]
    except (ValueError, KeyError, TypeError):
        return wanted
    return present if have == should else (json.dumps(should, indent=2) + "\n").encode()


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
