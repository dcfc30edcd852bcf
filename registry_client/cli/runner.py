"""Runs a typer application so that every way in which it ends becomes an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from registry_client.cli.output import INTERRUPTED, USAGE, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

# Newer versions of typer carry their own copy of click: this ancestry is the same in all, its module is not.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run_app(app: typer.Typer, arguments: Sequence[str], name: str, output: Output, obj: object) -> int:
    """Parse the arguments and run the command that they name.

    Args:
        app: the application.
        arguments: without the program's name.
        name: the program's name, for messages.
        output: where mistakes in the options are reported.
        obj: what commands find in their context.

    Returns:
        The exit code.

    Raises:
        RegistryError: the command failed.
    """
    try:
        code = typer.main.get_command(app).main(
            list(arguments), prog_name=name, standalone_mode=False, obj=obj
        )
    except _UsageError as e:
        return _usage_error(output, e, name)
    except typer.Abort as e:
        raise KeyboardInterrupt from e
    if code == INTERRUPTED:  # typer turns KeyboardInterrupt into this
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _usage_error(output: Output, error: Exception, name: str) -> int:
    message = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx is not None else name
    if type(error).__name__ == "NoArgsIsHelpError" and not output.as_json:
        output.help(message)
        return USAGE
    option = getattr(error, "option_name", None)
    if ctx is not None and ctx.parent is not None and option in _options(ctx.parent.command):
        hint = f"{option} stands before the command: {name} {option} … {ctx.info_name}."
        return output.failure("Usage", message, hint, USAGE)
    return output.failure("Usage", message, f"See '{command} --help'.", USAGE)


def _options(command: object) -> set[str]:
    return {option for parameter in getattr(command, "params", ()) for option in parameter.opts}
