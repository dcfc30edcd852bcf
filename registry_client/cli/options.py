"""Arguments and options that several commands share, and the completion of plugin ids."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry_client.cli.env import read_environment
from registry_client.names import check_plugin_id

if TYPE_CHECKING:
    from registry_client.installer.project.model import Project

IDS_SHOWN = 200


def complete_id(ctx: typer.Context, incomplete: str) -> list[str]:
    """Plugin ids of the cached catalogue that begin like this; none where nothing is cached. No network."""
    from registry_client.catalogue import CATALOGUE_PATH, parse_catalogue
    from registry_client.digest import Digest
    from registry_client.errors import RegistryError
    from registry_client.installer.project.nearest import read_registries
    from registry_client.store import Directories, Store

    environment = read_environment()
    try:
        url = str(_options(ctx).get("registry") or environment.registry)
        path = None if url else _project_path(ctx)
        first = next(iter(read_registries(path).values()), None) if path is not None else None
        store = Store(Directories.default(environment.home), first.url if first is not None else url)
        view = store.read_view()
        data = store.read_object(Digest(view.catalogue)) if view else None
        entries = parse_catalogue(data, CATALOGUE_PATH) if data else []
    except (RegistryError, OSError, ValueError):  # a completion never fails aloud
        return []
    # Only what is an id: a shell puts what it is offered on the command line as it is.
    ids = (entry.id for entry in entries if entry.id.startswith(incomplete) and _is_id(entry.id))
    return list(itertools.islice(ids, IDS_SHOWN))


def _is_id(text: str) -> bool:
    try:
        return check_plugin_id(text) == text
    except ValueError:
        return False


def complete_installed(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the project's installed plugins that begin like this. No network."""
    from registry_client.errors import RegistryError
    from registry_client.installer.disk.area import Area

    try:
        project = _project(ctx)
        plugins = Area(project.host.folder).read_record().plugins if project is not None else {}
    except (RegistryError, OSError, ValueError):
        return []
    return [plugin_id for plugin_id in sorted(plugins) if plugin_id.startswith(incomplete)][:IDS_SHOWN]


def complete_wanted(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids in plugins.toml that begin like this. No network."""
    from registry_client.errors import RegistryError

    try:
        project = _project(ctx)
    except (RegistryError, OSError, ValueError):
        return []
    names = project.plugins if project is not None else ()
    return [plugin_id for plugin_id in names if plugin_id.startswith(incomplete)][:IDS_SHOWN]


def _options(ctx: typer.Context) -> dict[str, object]:
    return ctx.parent.params if ctx.parent else {}


def _project_path(ctx: typer.Context) -> Path | None:
    from registry_client.installer.project.nearest import find_project, named_project

    given = _options(ctx).get("project")
    return named_project(Path(str(given))) if given else find_project(Path())


def _project(ctx: typer.Context) -> Project | None:
    from registry_client.installer.project.file import load_project

    path = _project_path(ctx)
    return load_project(path) if path is not None else None


JsonFlag = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be changed.")]
AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Accept unsigned sources that are new or have new content.")
]
AcceptPermissions = Annotated[
    bool, typer.Option("--accept-permissions", help="Accept upgrades that ask for more permissions.")
]
Spec = Annotated[
    str,
    typer.Argument(
        metavar="ID[RANGE]",
        help="A plugin id, with a range of versions if wanted: 'calendar>=1,<2' (quoted, for the shell).",
        autocompletion=complete_id,
        show_default=False,
    ),
]
PluginIdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A plugin id.", autocompletion=complete_id, show_default=False)
]
InstalledIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID", help="Installed plugins.", autocompletion=complete_installed, show_default=False
    ),
]
