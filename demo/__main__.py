"""`python -m demo`: the whole story in a temporary folder. Exit code 1 if any step does not end as it should."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo import attacks, story
from demo.telling import Teller
from demo.world import DemoError, World
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTRODUCTION = """A plugin registry with no server to run: signed JSON files in a Git repository.
Everything below happens on this machine, in a temporary folder, with the real commands;
remote.git plays GitHub, and a plain HTTP server plays its raw files."""
_MEANING = """Lines with $ are commands, ! is what an attacker does, x how it was refused, ~ what cannot be
prevented."""


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story.

    Args:
        argv: arguments; by default those of the process.

    Returns:
        0 if every step ended as it should, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder, to look around in it")
    options = parser.parse_args(argv)
    teller = Teller.for_this_terminal()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="plugin-registry-demo-"))
    try:
        code = _tell(folder, teller)
    finally:
        if options.keep:
            teller.say(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if code == 0:
        teller.chapter(f"All went as it should, in {time.monotonic() - started:.0f} seconds")
    return code


def _tell(folder: Path, teller: Teller) -> int:
    teller.say(_INTRODUCTION)
    teller.say(_MEANING)
    try:
        with World(folder, teller) as world:
            story.tell(world)
            attacks.tell(world)
    except (DemoError, RegistryError) as e:
        teller.failed(str(e))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
