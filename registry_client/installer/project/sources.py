"""Where a wanted plugin comes from. Pure; what fetches stands in `folder.py`, `git.py` and `pypi.py`.

A registry is the only signed source. The others are installed only where the owner allows it, and stay marked as unsigned.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegistrySource:
    """A registry of plugins.toml.

    Attributes:
        registry: its name there.
    """

    registry: str


@dataclass(frozen=True)
class PathSource:
    """A folder or an archive on this machine.

    Attributes:
        path: as plugins.toml states it: absolute, or relative to that file's folder; `/` between its parts.
    """

    path: str


@dataclass(frozen=True)
class GitSource:
    """A Git repository at a tag or commit.

    Attributes:
        url: what `git fetch` takes; without credentials.
        ref: a tag, or a commit in full (40 or 64 hexadecimal digits).
        subdirectory: the folder in it that is the plugin; empty for the whole.
    """

    url: str
    ref: str
    subdirectory: str = ""


@dataclass(frozen=True)
class PypiSource:
    """A Python package index.

    Attributes:
        name: the distribution's name, normalised (PEP 503).
        index: base URL of its simple API.
    """

    name: str
    index: str


@dataclass(frozen=True)
class AdoptedSource:
    """A folder that stood among the plugins already, and was adopted as it was."""


Source = RegistrySource | PathSource | GitSource | PypiSource | AdoptedSource
"""Where a plugin comes from; only `RegistrySource` is signed."""
