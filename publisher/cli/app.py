"""The commands of `publisher`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher.cli import plugins, policy, registry

app = typer.Typer(
    name="publisher",
    help="Publish plugins to a registry, and keep a registry.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
plugins.add_commands(app)
registry.app.add_typer(policy.app, name="policy")
app.add_typer(registry.app, name="registry")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"publisher {version('plugin-registry')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Publish plugins to a registry, and keep a registry."""
