"""What the tests read from npm: GitHub's API description, event examples, a workflow linter. Needs only Node and npm."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from filelock import FileLock

FOLDER = Path(__file__).resolve().parent.parent / "npm"
"""Holds package.json and package-lock.json; the lock file pins each package by its integrity hash."""

# Taken when this module is imported, so before a fixture hides the person's home, proxies and settings from a test:
# npm needs them to reach its registry.
_ENVIRONMENT = dict(os.environ)


def node_modules() -> Path:
    """Install what the lock file names, if that has not been done, and return the folder it is in.

    Without npm, the test that asks is skipped; where the environment variable CI is set, it fails.
    No package's own scripts are run.
    """
    folder = FOLDER / "node_modules"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / ".installed"
    if _says(stamp, wanted):
        return folder
    npm = shutil.which("npm", path=_ENVIRONMENT.get("PATH"))
    if npm is None:
        _give_up("npm is not installed, and this test reads GitHub's API description from an npm package")
    with FileLock(FOLDER / ".node_modules.lock"):
        if not _says(stamp, wanted):
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(
                command, cwd=FOLDER, env=_ENVIRONMENT, capture_output=True, text=True, check=False
            )
            if done.returncode:
                _give_up(f"npm ci failed in {FOLDER}, and this test needs its packages:\n{done.stderr}")
            stamp.write_text(wanted)
    return folder


def _says(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


def _give_up(reason: str) -> NoReturn:
    if _ENVIRONMENT.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def _examples() -> dict[str, list[dict[str, Any]]]:
    path = node_modules() / "@octokit" / "webhooks-examples" / "api.github.com" / "index.json"
    return {event["name"]: event["examples"] for event in json.loads(path.read_text("utf-8"))}


def webhook(name: str, action: str = "") -> dict[str, Any]:
    """A real payload of an event, as GitHub sent it; a copy that the caller may change.

    Args:
        name: the event's name, such as `push`, `pull_request` or `repository_dispatch`.
        action: the payload's `action`, such as `opened`; empty takes the first example.

    Raises:
        KeyError: there is no such event, or no example of it with that action.
    """
    for example in _examples()[name]:
        if not action or example.get("action") == action:
            return cast("dict[str, Any]", json.loads(json.dumps(example)))
    raise KeyError(f"{name} with action {action}")
