"""The options and commands of `plugin`, as typer knows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry_client.cli import catalogue, env, fetch, health
from registry_client.cli.runner import run_app
from registry_client.cli.state import State, parse_applications, state_of
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = f"""\b
Examples:
  plugin --registry https://registry.example --root 1.root.json search
  plugin search calendar
  plugin download 'calendar>=1,<2' --output plugins
  plugin outdated calendar==1.2.0 notes==0.3.1 --exit-code

\b
Environment:
  {env.REGISTRY}             the registry's URL
  {env.ROOT}            the pinned root of trust
  {env.HOME}            directory for state and cache
  {env.ALLOW_DEV_KEYS}  1: accept development keys
  NO_COLOR, FORCE_COLOR           colours never, colours always

\b
Exit codes: 0 done, 1 other failure, 2 usage, 3 configuration, 4 malformed
document, 5 not fetched, 6 not verified or expired, 7 nothing fits, 8 cannot
be written, 20 outdated (only with --exit-code), 130 interrupted."""

app = typer.Typer(
    epilog=_EPILOG,
    rich_markup_mode=None,  # rich takes longer to import than most commands to run
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


_COMMANDS = (
    (
        catalogue.search,
        "Search the catalogue.",
        ("plugin search", "plugin search team calendar", "plugin search --json | jq -r '.plugins[].id'"),
    ),
    (
        catalogue.info,
        "Show what one version is and who signed it.",
        ("plugin info calendar", "plugin info 'calendar>=1,<2'", "plugin info calendar==1.2.0 --json"),
    ),
    (catalogue.versions, "List all versions of a plugin.", ("plugin versions calendar",)),
    (
        fetch.download,
        "Download a version's artifacts, verified.",
        (
            "plugin download calendar",
            "plugin download 'calendar>=1,<2' -o plugins",
            "plugin download seo --ecosystem wordpress",
        ),
    ),
    (
        catalogue.outdated,
        "Say which installed versions are offered an update.",
        (
            "plugin outdated calendar==1.2.0",
            "plugin outdated calendar==1.2.0 notes==0.3.1 --json --exit-code",
        ),
    ),
    (
        fetch.verify,
        "Check that a file is what was published.",
        (
            "plugin verify manifest.json",
            "plugin verify calendar-1.2.0.zip",
            "plugin verify upload.bin calendar==1.2.0",
        ),
    ),
    (health.refresh, "Ask the registry for its current state now.", ("plugin refresh",)),
    (
        health.status,
        "Show what is cached, how old it is, and what is blocked.",
        ("plugin status", "plugin status --json | jq .blocks"),
    ),
)
for _function, _short, _lines in _COMMANDS:
    app.command(short_help=_short, epilog=_examples(*_lines))(_function)


def _version(ctx: typer.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("plugin-registry")
        except PackageNotFoundError:  # run from a source tree that is not installed
            number = "unknown"
        state_of(ctx).output.result({"version": number}, [f"plugin-registry {number}"])
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    registry: Annotated[
        str,
        typer.Option(metavar="URL", help=f"The registry's base URL. [{env.REGISTRY}]", show_default=False),
    ] = "",
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"The pinned root of trust, a N.root.json. [{env.ROOT}]", show_default=False
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Another URL with the same files, tried after it; repeatable.",
            show_default=False,
        ),
    ] = None,
    allow_dev_keys: Annotated[
        bool,
        typer.Option(
            "--allow-dev-keys",
            help=f"Accept development keys, whose private halves anyone can read. [{env.ALLOW_DEV_KEYS}]",
        ),
    ] = False,
    channel: Annotated[
        str,
        typer.Option(metavar="stable|testing", help="Offer versions in testing too, or only released ones."),
    ] = "stable",
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VERSION",
            help="A host application's version, for what plugins require; repeatable.",
            show_default=False,
        ),
    ] = None,
    prereleases: Annotated[bool, typer.Option("--prereleases", help="Offer prereleases too.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Time for the network of one call.")
    ] = 30.0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more on stderr; show keyids in full.")
    ] = False,
    _json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document on stdout and nothing else; also after the command."),
    ] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Find, check and download the plugins of a registry. Whatever is shown or written was verified first."""
    state = state_of(ctx)
    if channel not in {"stable", "testing"}:
        raise ConfigError(f"--channel {channel[:40]!r}: expected stable or testing")
    state.registry, state.root, state.mirrors = registry, root, tuple(mirror or ())
    state.allow_dev_keys, state.channel, state.prereleases = allow_dev_keys, channel, prereleases
    state.applications = parse_applications(host or [])
    state.timeout = timeout
    state.output.verbose = verbose


def run(arguments: Sequence[str], state: State) -> int:
    """Parse the arguments and run the command that they name.

    Returns:
        The exit code.

    Raises:
        RegistryError: the command failed.
    """
    return run_app(app, arguments, "plugin", state.output, state)
