"""Entry point of the command `publisher`: the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from registry_client.cli.env import read_environment
from registry_client.cli.output import INTERRUPTED, Output, StopRun
from registry_client.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTRA = ("jsonschema", "referencing")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Seen before anything is parsed, so that a mistake in the options is reported as JSON too.
    as_json = "--json" in arguments[: [*arguments, "--"].index("--")]
    output = Output(as_json=as_json, colour=read_environment().colour)
    try:
        try:
            return _run(arguments, output)
        except RegistryError as e:
            return output.error(e)
        except KeyboardInterrupt:
            return output.failure("Interrupted", "interrupted", "", INTERRUPTED)
    except StopRun as e:
        return e.exit_code


def _run(arguments: list[str], output: Output) -> int:
    try:
        from publisher.cli.app import app
    except ModuleNotFoundError as e:
        if e.name not in _EXTRA:
            raise
        raise ConfigError(
            "the command 'publisher' needs the extra of that name",
            hint="pip install 'plugin-registry[publisher]'",
        ) from e
    from publisher.cli.common import use_output
    from registry_client.cli.runner import run_app

    use_output(output)
    return run_app(app, arguments, "publisher", output, output)


if __name__ == "__main__":
    sys.exit(main())
