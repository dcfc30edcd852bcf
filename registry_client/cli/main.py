"""Entry point of the command `plugin`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from registry_client.cli.env import keep_out_pydantic_plugins
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
    keep_out_pydantic_plugins()
    state = State(output, environment)
    if not environment.completing and _plainly(arguments, state):
        return 0
    from registry_client.cli.app import run

    return run(arguments, state)


def _plainly(arguments: list[str], state: State) -> bool:
    """Run the command without the option parser, if it is one of the two that have a plain form."""
    if "search" in arguments and (words := parse_plain(arguments, state)) is not None:
        run_search(state, words)
        return True
    if "info" in arguments and (words := parse_plain(arguments, state, "info")) is not None:
        if len(words) != 1:
            return False
        from registry_client.cli.info import run_info

        run_info(state, words[0])
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
