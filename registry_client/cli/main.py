"""Entry point of the command `plugin`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from registry_client.cli.guard import guarded
from registry_client.cli.search import parse_plain, run_search
from registry_client.cli.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry_client.cli.env import Environment
    from registry_client.cli.output import Output


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code.
    """
    return guarded(argv, _run)


def _run(arguments: list[str], output: Output, environment: Environment) -> int:
    state = State(output, environment)
    words = None if environment.completing else parse_plain(arguments, state)
    if words is not None:
        run_search(state, words)
        return 0
    from registry_client.cli.app import run

    return run(arguments, state)


if __name__ == "__main__":
    sys.exit(main())
