"""Arguments and options that several commands share, and the completion of plugin ids."""

from __future__ import annotations

from typing import Annotated

import typer

from registry_client.cli.env import read_environment

IDS_SHOWN = 200


def complete_id(ctx: typer.Context, incomplete: str) -> list[str]:
    """Plugin ids of the cached catalogue that begin like this; none where nothing is cached. No network."""
    from registry_client.catalogue import CATALOGUE_PATH, parse_catalogue
    from registry_client.digest import Digest
    from registry_client.errors import RegistryError
    from registry_client.store import Directories, Store

    environment = read_environment()
    parent = ctx.parent.params if ctx.parent else {}
    url = parent.get("registry") or environment.registry
    try:
        store = Store(Directories.default(environment.home), url)
        view = store.read_view()
        data = store.read_object(Digest(view.catalogue)) if view else None
        entries = parse_catalogue(data, CATALOGUE_PATH) if data else []
    except (RegistryError, ValueError):  # a completion never fails aloud
        return []
    return [entry.id for entry in entries if entry.id.startswith(incomplete)][:IDS_SHOWN]


JsonFlag = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout and nothing else.")]
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
