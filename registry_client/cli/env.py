"""The environment: the only module of this package that reads it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTRY = "PLUGIN_REGISTRY_URL"
ROOT = "PLUGIN_REGISTRY_ROOT"
HOME = "PLUGIN_REGISTRY_HOME"
ALLOW_DEV_KEYS = "PLUGIN_REGISTRY_ALLOW_DEV_KEYS"
TOKEN = "PLUGIN_REGISTRY_READ_TOKEN"  # noqa: S105  (a name, not a secret)
_COMPLETE = "_PLUGIN_COMPLETE"
_PROCESS = frozenset(
    {
        "PATH", "HOME", "TMPDIR", "TEMP", "TMP", "XDG_CONFIG_HOME",
        "SYSTEMROOT", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "HOMEDRIVE", "HOMEPATH",
        "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_EXEC_PATH",
        "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
    }
)  # fmt: skip
_GIT_SETTING = re.compile(r"GIT_CONFIG_(?:COUNT|KEY_[0-9]+|VALUE_[0-9]+)")
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
        netrc: the netrc file that someone chose, or None for the one in the home directory.
        tokens: read tokens by the names of their variables; never shown.
    """

    registry: str = ""
    root: str = ""
    home: Path | None = None
    allow_dev_keys: str = ""
    completing: bool = False
    colour: bool | None = None
    netrc: Path | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    def token(self, name: str = "", *, only: bool = True) -> str:
        """The read token of a registry: PLUGIN_REGISTRY_READ_TOKEN_<NAME>, else PLUGIN_REGISTRY_READ_TOKEN; empty where there is none.

        Args:
            name: what the project calls the registry; empty for one that was given on the command line.
            only: whether it is the only registry. With several the variable without a name is not used: it does not say
                whose token it holds, and one registry must not be sent another's.
        """
        named = self.tokens.get(token_variable(name), "") if name else ""
        return named or (self.tokens.get(TOKEN, "") if only else "")

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


def token_variable(name: str) -> str:
    """The variable that holds the token of a registry of this name: upper case, `_` for what a variable's name cannot hold."""
    return f"{TOKEN}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"


def process_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that a Git process needs to reach a repository as its owner does: programs, home, keys, proxies.

    No others: neither tokens nor what would point Git at another repository.

    Args:
        environ: the variables; by default those of this process.
    """
    env = os.environ if environ is None else environ
    return {
        name: value
        for name, value in env.items()
        if name.upper() in _PROCESS or _GIT_SETTING.fullmatch(name.upper())
    }


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
        home=expanded(home) if home else None,
        allow_dev_keys=env.get(ALLOW_DEV_KEYS, ""),
        completing=_COMPLETE in env,
        colour=_colour(env),
        netrc=Path(env["NETRC"]) if env.get("NETRC") else None,
        tokens={n: value for n, value in env.items() if value and (n == TOKEN or n.startswith(f"{TOKEN}_"))},
    )


def expanded(text: str) -> Path:
    """The path with the home directory in place of `~`; as it is where nobody has that home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def keep_out_pydantic_plugins() -> None:
    """Let pydantic load none of the plugins that this environment may hold, of which this command has no use.

    Looking for them takes longer than most commands, and they could change what counts as valid. Only for a process of the
    command's own; a host that imports the package keeps its plugins.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def _colour(env: Mapping[str, str]) -> bool | None:
    """What no-color.org and force-color.org ask for; the refusal wins."""
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return False if env.get("TERM") == "dumb" else None
