"""Files and folders of a plugin that its manifest names for publishing: never outside the plugin's folder."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from publisher.secret_files import secret_problem
from registry_client.errors import PublishError
from registry_client.models.manifest import MAX_ARTIFACT_SIZE
from registry_client.names import check_file_name

if TYPE_CHECKING:
    from pathlib import Path


def read_built(folder: Path, path: str) -> tuple[str, bytes]:
    """The file name and bytes of a file that was built already.

    Raises:
        PublishError: it is not there, empty, too large, outside the folder, holds a secret, or its name is not portable.
    """
    full = inside(folder, path)
    try:
        status = full.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PublishError(f"{path}: is not a file", hint="Name one file, or use pack for a folder.")
        if not 1 <= status.st_size <= MAX_ARTIFACT_SIZE:
            raise PublishError(f"{path}: {status.st_size} bytes; an artifact has 1 to {MAX_ARTIFACT_SIZE}")
        name, data = check_file_name(full.name), full.read_bytes()
    except FileNotFoundError as e:
        raise PublishError(f"{path}: no such file below {folder}", hint="Build it first.") from e
    except OSError as e:
        raise PublishError(f"{path}: cannot be read ({e.strerror})") from e
    except ValueError as e:
        raise PublishError(f"{path}: {e}") from e
    # A file that is a key: a bundle of code that reads keys may hold the words, and nobody could leave them out.
    problem = secret_problem(path, data if data.lstrip()[:10] == b"-----BEGIN" else b"")
    if problem:
        raise PublishError(problem, hint="Name the file that is to be published, without what is secret.")
    return name, data


def inside(folder: Path, path: str) -> Path:
    """The path below a folder, links resolved.

    Raises:
        PublishError: it leads out of the folder, or cannot be followed.
    """
    try:
        top = folder.resolve()
        full = (top / path).resolve()
    except (OSError, RuntimeError) as e:  # RuntimeError: a loop of links, before Python 3.13
        raise PublishError(f"{path}: cannot be read ({getattr(e, 'strerror', None) or e})") from e
    if not full.is_relative_to(top):
        raise PublishError(
            f"{path}: leads out of {folder}", hint="Keep what is published in the plugin's folder."
        )
    return full


__all__ = ["inside", "read_built"]
