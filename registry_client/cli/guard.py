"""The one place where errors become exit codes. Imports nothing that takes time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from registry_client.cli.env import Environment, read_environment
from registry_client.cli.output import INTERRUPTED, Output, StopRun
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def guarded(argv: Sequence[str] | None, work: Callable[[list[str], Output, Environment], int]) -> int:
    """Run a command; what goes wrong is said once, in the form that was asked for.

    Args:
        argv: arguments without the program's name; None for those of the process.
        work: takes the arguments, where to write, and the environment; gives the exit code.

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
            return work(arguments, output, environment)
        except RegistryError as e:
            return output.error(e)
        except KeyboardInterrupt:
            return output.failure("Interrupted", "interrupted", "", INTERRUPTED)
    except StopRun as e:
        return e.exit_code
