"""Git remotes as users name them, and the environment that Git runs in. Pure: starts nothing.

A remote's URL never holds a credential. The token goes into Git's environment, from where a credential helper hands it to that one
host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_VARIABLE = "PLUGIN_REGISTRY_TOKEN"  # noqa: S105  (the variable's name)
_HELPER = (
    # printf, as some shells' echo understands backslashes
    f'!f() {{ test "$1" = get && printf "username=x-access-token\\npassword=%s\\n" "${TOKEN_VARIABLE}"; }}; f'
)
# What would point Git at another repository (`git rev-parse --local-env-vars`, where that is not configuration) or make it
# print what it sends; and what is ours and secret: keys and their passphrases are no business of Git, its helpers and hooks.
_DROPPED = re.compile(
    r"GIT_(DIR|WORK_TREE|IMPLICIT_WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX"
    r"|GRAFT_FILE|SHALLOW_FILE|NO_REPLACE_OBJECTS|REPLACE_REF_BASE|QUARANTINE_PATH|DEFAULT_HASH|TEMPLATE_DIR|TRACE.*"
    r"|CURL_VERBOSE|CEILING_DIRECTORIES)|PLUGIN_REGISTRY_.*|(GITHUB|GH)_TOKEN"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# user:password@ in front of a host, in a URL or in the short form user@host:path
_SECRET_IN_ADDRESS = re.compile(r"([a-z+]+://)?[^/\\@]*:[^/\\@]*@")
_SCHEMES = frozenset({"https", "http", "ssh", "git", "file", "git+ssh", "ssh+git"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Remote:
    """A Git remote and the token for it.

    Attributes:
        url: URL, `host:path` or a local path; never with credentials.
        token: sent to that host only; empty where none is needed.
    """

    url: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str]) -> Remote:
        """A remote as the user names it; the token comes from PLUGIN_REGISTRY_TOKEN.

        Raises:
            ConfigError: not a remote, the URL carries a credential, or it would send the token unencrypted.
        """
        parts = _split(text)
        web = parts is not None and parts.scheme in {"http", "https"}
        if "@" in text if web else _SECRET_IN_ADDRESS.match(text):
            host = re.split(r"[/:]", text.rpartition("@")[2])[0]
            raise ConfigError(
                f"the URL for {host} carries a credential",
                hint=f"Take it out of the URL and put it into the environment variable {TOKEN_VARIABLE}.",
            )
        if parts is None or not web:
            return cls(text)
        token = environ.get(TOKEN_VARIABLE, "").strip()
        if _CONTROL.search(token):
            raise ConfigError(
                f"{TOKEN_VARIABLE} holds a line break or another control character",
                hint="Set it to the token alone.",
            )
        if token and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ConfigError(f"{text}: a token is not sent over http://", hint="Use https://.")
        return cls(text, token)


def _split(text: str) -> SplitResult | None:
    """The parts of a remote's URL; None for `host:path` and local paths.

    Raises:
        ConfigError: it is none of these, or Git could take it for an option or a command.
    """
    try:
        parts = urlsplit(text) if "://" in text else None
        known = parts is None or (parts.scheme in _SCHEMES and parts.port != 0)  # reading the port checks it
    except ValueError:
        known = False
    helper = "::" in text.split("/", 1)[0]  # such as ext::COMMAND
    if not known or helper or not text or text.startswith("-") or _CONTROL.search(text):
        shown = re.sub(r".*@", "***@", text, flags=re.DOTALL)[:80]
        raise ConfigError(
            f"{shown!r} is not a Git remote", hint="Give a folder, an https:// or ssh:// URL, or host:path."
        )
    return parts


def git_environment(environ: Mapping[str, str], remote: Remote | None) -> dict[str, str]:
    """The environment for Git: no prompts, no traces, and the token only where it is needed."""
    env = {name: value for name, value in environ.items() if not _DROPPED.fullmatch(name)}
    env.update({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"})
    if remote is not None and remote.token:
        parts = urlsplit(remote.url)
        scope = f"credential.{parts.scheme}://{parts.netloc}.helper"
        count = env.get("GIT_CONFIG_COUNT", "")
        number = int(count) if count.isdecimal() else 0
        for offset, value in enumerate(("", _HELPER)):
            env[f"GIT_CONFIG_KEY_{number + offset}"] = scope
            env[f"GIT_CONFIG_VALUE_{number + offset}"] = value
        env["GIT_CONFIG_COUNT"] = str(number + 2)
        env[TOKEN_VARIABLE] = remote.token
        env["GIT_ASKPASS"] = ""  # a refused token is an error, not a question
    return env
