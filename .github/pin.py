"""Pins this project's own action and reusable workflow, where they are used, by commit: `python .github/pin.py`.

A file cannot name the commit that brings it. So the action is pinned in one commit and the workflow that calls it in the next:

    commit everything, then   python .github/pin.py   and commit: the workflow now names the action as it stands
    once more                 python .github/pin.py   and commit: examples, templates and documents name the workflow as it stands
"""
# ruff: noqa: INP001, T201  (a script, not a package)

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ACTION, WORKFLOW = ".github/actions/publish", ".github/workflows/publish.yml"
# The action runs the source tree beside it, so all of that counts as the action; but for the templates of new plugins, which it
# does not use, and which hold pins themselves: else each pin would ask for the next.
SOURCES = {
    ACTION: (
        ".github/actions",
        ".github/requirements",
        "publisher",
        "registry_client",
        "pyproject.toml",
        ":(exclude)publisher/templates",
    ),
    WORKFLOW: (WORKFLOW,),
}
USERS = (
    WORKFLOW,
    "examples/calendar/.github/workflows/plugin-ci.yml",
    "examples/hello-world/.github/workflows/plugin-ci.yml",
    "publisher/templates/parts/pins.jinja",
    "README.md",
    "docs/publishing.md",
)


def last_change(*paths: str) -> str:
    """The commit that last changed any of these."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%H", "--", *paths]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def main() -> int:
    """Write the pins. Returns 0; says which files changed."""
    pins = {path: last_change(*sources) for path, sources in SOURCES.items()}
    for name in USERS:
        file = ROOT / name
        text = new = file.read_text("utf-8")
        for path, commit in pins.items():
            new = re.sub(rf"(plugin-registry/{re.escape(path)}@)[0-9a-f]{{40}}", rf"\g<1>{commit}", new)
        if new != text:
            file.write_text(new, "utf-8")
            print(f"{name}: pinned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
