"""The options and commands of `plugin`, as typer knows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry_client.cli import catalogue, env, fetch, health, installed, project, updates
from registry_client.cli.runner import run_app
from registry_client.cli.state import State, parse_applications, state_of
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EPILOG = f"""\b
Examples:
  plugin init --registry https://registry.example --root 1.root.json
  plugin search calendar
  plugin add 'calendar>=1,<2'
  plugin install --frozen
  plugin upgrade --dry-run

\b
Projects: the plugins.toml of --project, else the nearest one here or in a
folder above. Commands that ask a registry use the project's first one, unless
--registry or its variable names another.

\b
Environment:
  {env.REGISTRY:<34} the registry's URL
  {env.ROOT:<34} the pinned root of trust
  {env.TOKEN:<34} a read token, for the only registry
  {env.TOKEN + "_<NAME>":<34} the one of [registries.<NAME>]
  {env.HOME:<34} directory for state and cache
  {env.ALLOW_DEV_KEYS:<34} 1: accept development keys
  {"NO_COLOR, FORCE_COLOR":<34} colours never, colours always

\b
Exit codes: 0 done, 1 other failure, 2 usage, 3 configuration, 4 malformed
document, 5 not fetched, 6 not verified, blocked or expired, 7 nothing fits,
8 cannot be installed, written or is not consented to, 20 outdated (only with
--exit-code), 21 updates applied and 22 updates waiting (only upgrade --auto),
130 interrupted."""

app = typer.Typer(
    epilog=_EPILOG,
    rich_markup_mode=None,  # rich takes longer to import than most commands to run
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


_COMMANDS: tuple[tuple[str, Callable[..., None], str, tuple[str, ...]], ...] = (
    (
        "init",
        project.init,
        "Write a first plugins.toml.",
        ("plugin init --registry https://registry.example --root 1.root.json --host nexus=1.2.0",),
    ),
    (
        "add",
        project.add,
        "Ask for plugins, lock and install them.",
        (
            "plugin add calendar 'notes>=2,<3'",
            "plugin add ../sms --allow-unsigned",
            "plugin add git+https://git.example/chat.git@v1.0.0 --allow-unsigned",
            "plugin add pypi:nexus-plugin-tool --allow-unsigned",
        ),
    ),
    ("remove", project.remove, "Ask for plugins no longer, and uninstall them.", ("plugin remove calendar",)),
    (
        "lock",
        project.lock,
        "Make plugins.lock answer plugins.toml.",
        ("plugin lock", "plugin lock --check"),
    ),
    (
        "install",
        project.install,
        "Make the plugins folder equal to plugins.lock.",
        ("plugin install", "plugin install --frozen", "plugin install --verify"),
    ),
    (
        "upgrade",
        project.upgrade,
        "Install newer versions.",
        ("plugin upgrade --dry-run", "plugin upgrade calendar", "plugin upgrade --auto"),
    ),
    (
        "rollback",
        project.rollback,
        "Go back to an earlier version, without network.",
        ("plugin rollback calendar", "plugin rollback calendar 1.1.0"),
    ),
    (
        "list",
        installed.list_installed,
        "List what is installed.",
        ("plugin list", "plugin list --json | jq -r '.plugins[].id'"),
    ),
    (
        "outdated",
        updates.outdated,
        "Say which installed versions are offered an update.",
        (
            "plugin outdated",
            "plugin outdated calendar==1.2.0 notes==0.3.1 --json --exit-code",
        ),
    ),
    (
        "changelog",
        updates.changelog,
        "Show what changed between two versions.",
        ("plugin changelog calendar", "plugin changelog calendar 1.0.0 1.2.0"),
    ),
    ("tree", installed.tree, "Show which plugin needs which.", ("plugin tree",)),
    ("why", installed.why, "Say because of whom a plugin is there.", ("plugin why core",)),
    (
        "verify",
        fetch.verify,
        "Prove that installed plugins, or a file, are what was published.",
        (
            "plugin verify",
            "plugin verify calendar",
            "plugin verify manifest.json",
            "plugin verify calendar-1.2.0.zip",
            "plugin verify upload.bin calendar==1.2.0",
        ),
    ),
    ("verify-all", fetch.verify_all, "Prove all installed plugins; as 'verify'.", ("plugin verify-all",)),
    (
        "discover",
        installed.discover,
        "Find folders that nobody recorded, and adopt them.",
        ("plugin discover", "plugin discover --adopt calendar"),
    ),
    ("disable", installed.disable, "Set plugins aside.", ("plugin disable calendar",)),
    ("enable", installed.enable, "Put disabled plugins back.", ("plugin enable calendar",)),
    (
        "search",
        catalogue.search,
        "Search the catalogue.",
        ("plugin search", "plugin search team calendar", "plugin search --json | jq -r '.plugins[].id'"),
    ),
    (
        "info",
        catalogue.info,
        "Show what one version is and who signed it.",
        ("plugin info calendar", "plugin info 'calendar>=1,<2'", "plugin info calendar==1.2.0 --json"),
    ),
    ("versions", catalogue.versions, "List all versions of a plugin.", ("plugin versions calendar",)),
    (
        "download",
        fetch.download,
        "Download a version's artifacts, verified.",
        (
            "plugin download calendar",
            "plugin download 'calendar>=1,<2' -o plugins",
            "plugin download seo --ecosystem wordpress",
        ),
    ),
    ("refresh", health.refresh, "Ask the registry for its current state now.", ("plugin refresh",)),
    (
        "status",
        health.status,
        "Show how the project stands, what is cached, and what is blocked.",
        ("plugin status", "plugin status --json | jq .blocks"),
    ),
)
for _name, _function, _short, _lines in _COMMANDS:
    app.command(_name, short_help=_short, epilog=_examples(*_lines))(_function)


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
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="The project: a plugins.toml or its folder. By default the nearest, here or above.",
            show_default=False,
        ),
    ] = None,
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
        typer.Option(
            metavar="stable|testing",
            help="Offer versions in testing too, or only released ones; by default as the project says, else stable.",
            show_default=False,
        ),
    ] = "",
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
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=3600,
            help="Time for the network of one call; a download has ten minutes.",
        ),
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
    """Find, install, upgrade and check plugins. Whatever is shown, written or installed was verified first."""
    state = state_of(ctx)
    if channel and channel not in {"stable", "testing"}:
        raise ConfigError(f"--channel {channel[:40]!r}: expected stable or testing")
    state.project_option = project
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
