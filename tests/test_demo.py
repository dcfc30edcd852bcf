"""The demo tells its whole story, and fails when an attack is let through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# Replaces one attack by one that changes nothing, so that what is to be refused is not refused.
HARMLESS = {
    "an edit of nothing": "attacks.edit_file = lambda path, old, new: None",
    "a key that may sign": (
        "attacks.authorise = lambda world, who, ids: "
        "shutil.copyfile(world.folder / 'acme.pem', world.folder / 'globex.pem')"
    ),
}
DRIVER = """
import shutil, sys
from demo import attacks
from demo.__main__ import main
{patch}
sys.exit(main([]))
"""


def run_demo(*command: str, tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in a process of its own, its temporary folder below `tmp_path`."""
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONWARNINGS": "error", **environ}
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_demo_ends_well(tmp_path: Path) -> None:
    """`make demo`: every step as it should, every attack refused, nothing left behind."""
    done = run_demo("-m", "demo", tmp_path=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stderr == ""
    refused = re.findall(r"REFUSED, exit code (\d+), (\w+):", done.stdout)
    assert set(refused) == {
        ("9", "VersionExists"),
        ("7", "Yanked"),
        ("6", "Digest"),
        ("6", "Signature"),
        ("9", "Signature"),
        ("7", "NotFound"),
        ("6", "Expired"),
        ("6", "Rollback"),
    }
    assert "offers older metadata than was already verified" in done.stdout.replace("\n      ", " ")
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("patch", HARMLESS.values(), ids=HARMLESS)
def test_demo_fails_when_an_attack_is_let_through(patch: str, tmp_path: Path) -> None:
    """A step that is not refused ends the demo with exit code 1; --keep is not needed to see which."""
    done = run_demo("-c", DRIVER.format(patch=patch), tmp_path=tmp_path)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr
    assert "DEMO FAILED: " in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour(environ: dict[str, str], terminal: bool, wanted: bool) -> None:
    """NO_COLOR and FORCE_COLOR are respected."""
    code = f"from demo.telling import wants_colour; print(wants_colour({environ!r}, terminal={terminal}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(wanted)
