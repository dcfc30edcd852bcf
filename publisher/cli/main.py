"""Entry point of the command `publisher`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from registry_client.cli.guard import guarded
from registry_client.cli.output import USAGE
from registry_client.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry_client.cli.env import Environment
    from registry_client.cli.output import Output

_EXTRA = ("github", "jsonschema", "referencing")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        The exit code.
    """
    return guarded(argv, _run)


def _run(arguments: list[str], output: Output, environment: Environment) -> int:
    try:
        from publisher.cli.app import app
    except ModuleNotFoundError as e:
        if e.name not in _EXTRA:
            raise
        raise ConfigError(
            "the command 'publisher' needs the extra of that name",
            hint="pip install 'plugin-registry[publisher]'",
        ) from e
    from publisher.cli import actions, env
    from publisher.cli.common import use_output
    from registry_client.cli.runner import run_app

    use_output(output)
    output.filters.append(actions.redactor(env.secrets()))
    if not env.in_actions():
        return run_app(app, arguments, "publisher", output, output)
    output.filters.append(actions.defuse)
    try:
        code = run_app(app, arguments, "publisher", output, output)
    except RegistryError as e:
        actions.report(e)
        raise
    if code == USAGE:
        actions.report_usage()
    return code


if __name__ == "__main__":
    sys.exit(main())
