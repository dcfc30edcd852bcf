"""What a plugin's repository is called, read from disk: no Git process, no environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry_client.jsontext import KIB

if TYPE_CHECKING:
    from pathlib import Path

_ORIGIN = re.compile(r'^[ \t]*\[remote "origin"\][ \t]*\r?$(?P<body>[^\[]*)', re.MULTILINE)
_URL = re.compile(r"^[ \t]*url[ \t]*=[ \t]*(\S+)[ \t]*\r?$", re.MULTILINE)


def repository_name(folder: Path) -> str:
    """The name of the repository that a plugin's folder is; of a folder inside one, or in none, its own name.

    Args:
        folder: the plugin's folder.
    """
    try:
        full = folder.resolve()
        config = full / ".git" / "config"
        text = _head(config) if config.is_file() else ""
    except (OSError, RuntimeError):
        return folder.name
    origin = _ORIGIN.search(text)
    url = _URL.search(origin["body"]) if origin else None
    name = re.split(r"[/:\\]", url[1].rstrip("/"))[-1].removesuffix(".git") if url else ""
    return name or full.name


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(64 * KIB).decode(errors="replace")


__all__ = ["repository_name"]
