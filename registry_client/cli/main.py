"""The command `plugin`: the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from registry_client.cli.env import read_environment
from registry_client.cli.output import INTERRUPTED, Output, StopRun
from registry_client.cli.search import parse_plain, run_search
from registry_client.cli.state import State
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    environment = read_environment()
    # Seen before anything is parsed, so that a mistake in the options is reported as JSON too.
    as_json = "--json" in arguments[: [*arguments, "--"].index("--")]
    output = Output(as_json=as_json, colour=environment.colour)
    try:
        try:
            return _run(arguments, State(output, environment))
        except RegistryError as e:
            return output.error(e)
        except KeyboardInterrupt:
            return output.failure("Interrupted", "interrupted", "", INTERRUPTED)
    except StopRun as e:
        return e.exit_code


def _run(arguments: list[str], state: State) -> int:
    words = None if state.environment.completing else parse_plain(arguments, state)
    if words is not None:
        run_search(state, words)
        return 0
    from registry_client.cli.app import run

    return run(arguments, state)


if __name__ == "__main__":
    sys.exit(main())
