"""The command for where a registry is kept: workflows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from publisher.cli.common import JsonOption, emit
from registry_client.errors import ConfigError


def workflows(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The registry's repository.")] = Path(),
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether they differ; exit code 1 if so.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Write the GitHub workflows of a registry's repository, with rulesets and pinned requirements, below .github/.

    Run it again after an upgrade: it brings them to this version. What you said in them stays: who bypasses the rulesets, and another
    .github/requirements/plugin-registry.txt than a plain version.
    """
    from publisher.maintain.desk import require_registry
    from publisher.maintain.workflows import build_workflows, differing, write_workflows

    require_registry(folder)
    wanted = build_workflows(installed_version())
    changed = list(differing(folder, wanted)) if check else write_workflows(folder, wanted)
    lines = [f"{'differs' if check else 'written'}: {folder / path}" for path in changed]
    emit(
        {"folder": str(folder), "changed": changed},
        "\n".join(
            [*lines, f"{folder}: {len(changed)} of {len(wanted)} files {'differ' if check else 'written'}"]
        ),
    )
    if check and changed:
        raise typer.Exit(1)


def installed_version() -> str:
    """The version of this project.

    Raises:
        ConfigError: it is not installed, but run from its sources.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("plugin-registry")
    except PackageNotFoundError as e:
        raise ConfigError(
            "the version of plugin-registry is not known, for it is not installed",
            hint="Install it: pip install 'plugin-registry[publisher]'.",
        ) from e
