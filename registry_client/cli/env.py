"""The environment: the only module of this package that reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTRY = "PLUGIN_REGISTRY_URL"
ROOT = "PLUGIN_REGISTRY_ROOT"
HOME = "PLUGIN_REGISTRY_HOME"
ALLOW_DEV_KEYS = "PLUGIN_REGISTRY_ALLOW_DEV_KEYS"
_COMPLETE = "_PLUGIN_COMPLETE"
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Environment:
    """What the environment says.

    Attributes:
        registry: the registry's URL; empty where unset.
        root: path of the pinned root of trust; empty where unset.
        home: directory for state and cache, or None for where the platform keeps such files.
        allow_dev_keys: the text of the switch, as it was set.
        completing: whether a shell asks for completions, which typer answers.
        colour: True or False where someone insists, None to decide by the terminal.
    """

    registry: str = ""
    root: str = ""
    home: Path | None = None
    allow_dev_keys: str = ""
    completing: bool = False
    colour: bool | None = None

    @property
    def dev_keys_allowed(self) -> bool:
        """Whether development keys are accepted.

        Raises:
            ConfigError: the switch is set to neither yes nor no.
        """
        text = self.allow_dev_keys.strip().lower()
        if text not in _YES | _NO:
            raise ConfigError(
                f"{ALLOW_DEV_KEYS}={self.allow_dev_keys[:40]!r}: expected 1 or 0",
                hint="Set it to 1, or unset it.",
            )
        return text in _YES


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """What the environment says.

    Args:
        environ: the variables; by default those of this process.
    """
    env = os.environ if environ is None else environ
    home = env.get(HOME, "")
    return Environment(
        registry=env.get(REGISTRY, ""),
        root=env.get(ROOT, ""),
        home=Path(home).expanduser() if home else None,
        allow_dev_keys=env.get(ALLOW_DEV_KEYS, ""),
        completing=_COMPLETE in env,
        colour=_colour(env),
    )


def _colour(env: Mapping[str, str]) -> bool | None:
    """What no-color.org and force-color.org ask for; the refusal wins."""
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return False if env.get("TERM") == "dumb" else None
