"""Packages for installing without a network: what the workflows' requirements name, downloaded once and kept below `build/`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

PROJECT = Path(__file__).resolve().parents[2]
_REQUIREMENTS = PROJECT / "publisher" / "maintain" / "repository" / "requirements" / "dependencies.txt"
_PARTS = ("pyproject.toml", "README.md", "LICENSE", "registry_client", "publisher", ".github")


def packages() -> Path:
    """A folder with every package that the workflows install, the build backend among them.

    It is filled from the package index that pip is set up for, unless it is there already; processes wait for each other.

    Raises:
        RuntimeError: something could not be downloaded.
    """
    parts = (
        sysconfig.get_platform(),
        sysconfig.get_python_version(),
        _REQUIREMENTS.read_text(encoding="utf-8"),
    )
    folder = PROJECT / "build" / "wheelhouse" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            filling = folder.with_suffix(".part")
            shutil.rmtree(filling, ignore_errors=True)
            _pip(
                "download",
                "--require-hashes",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                filling,
                "-r",
                _REQUIREMENTS,
            )
            filling.rename(folder)
    return folder


def project_files(to: Path) -> Path:
    """A copy of this project as others get it from its repository: sources, actions and workflows, nothing built or installed."""
    to.mkdir(parents=True)
    for name in _PARTS:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(PROJECT / name, to / name)
    return to


def project_wheel(source: Path, to: Path) -> Path:
    """Build this project's wheel without a network.

    Args:
        source: what `project_files` gave.
        to: the folder for it.
    """
    _pip("wheel", "--no-deps", "--wheel-dir", to, source, env=offline_pip(packages()))
    return next(to.glob("*.whl"))


def offline_pip(*folders: Path) -> dict[str, str]:
    """The environment in which pip installs from these folders and from nowhere else."""
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": " ".join(folder.as_uri() for folder in folders),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_NO_COMPILE": "1",  # most of what is installed is never imported
    }


def _pip(*arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        raise RuntimeError(f"no packages for the workflows: {done.stderr[-2000:]}")


@dataclass(frozen=True)
class Kit:
    """What every runner of a test session shares.

    Attributes:
        tools: RUNNER_TOOL_CACHE; the workflows install into it once, and find it there afterwards.
        project: this project as its repository holds it.
        pip: the environment in which pip installs.
    """

    tools: Path
    project: Path
    pip: Mapping[str, str]


def make_kit(session: Path) -> Kit:
    """The kit of a test session; its processes share one.

    Args:
        session: a folder that they all have.
    """
    folder = session / "runner-kit"
    found = Kit(folder / "tools", folder / "project", offline_pip(packages(), folder / "wheels"))
    with FileLock(session / "runner-kit.lock"):
        if not found.tools.is_dir():
            project_wheel(project_files(found.project), folder / "wheels")
            found.tools.mkdir()
    return found
