"""The commands of `publisher`, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from publisher.cli import (
    convert,
    importing,
    mirror,
    new,
    pack,
    plugins,
    policy,
    publish,
    register,
    registry,
    review,
    status,
    upkeep,
    watch,
    workflows,
)
from publisher.cli.common import output
from publisher.cli.help import EPILOG, command

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    name="publisher",
    help="Publish plugins to a registry, and keep a registry.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
registry_app = typer.Typer(
    help="Keep a registry: make it, say who may publish, register, renew, rotate, audit.",
    short_help="Keep a registry: init, register, policy, audit…",
    no_args_is_help=True,
)
_PLUGIN_COMMANDS: tuple[Callable[..., None], ...] = (
    new.new,
    plugins.check,
    convert.convert,
    pack.pack,
    publish.publish,
    status.set_status,
    status.yank,
    plugins.keygen,
    plugins.sign,
)
_REGISTRY_COMMANDS: tuple[Callable[..., None], ...] = (
    registry.init,
    review.validate,
    register.register,
    importing.import_,
    upkeep.renew,
    upkeep.rotate,
    watch.audit,
    watch.expiry,
    registry.schema,
    workflows.workflows,
    mirror.mirror,
)
for _function in _PLUGIN_COMMANDS:
    command(app, _function.__name__.replace("_", "-"))(_function)
for _function in _REGISTRY_COMMANDS:
    command(registry_app, _function.__name__.rstrip("_"), "registry")(_function)
registry_app.add_typer(policy.app, name="policy", short_help="Say who may publish, with which keys; block.")
app.add_typer(registry_app, name="registry")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("plugin-registry")
        except PackageNotFoundError:  # run from a source tree that is not installed
            number = "unknown"
        output().result({"version": number}, [f"plugin-registry {number}"])
        raise typer.Exit


@app.callback()
def _options(
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    _json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON document on stdout and nothing else; also after the command.",
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Publish plugins to a registry, and keep a registry."""
