"""From what was given on the command line to a `Place`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from publisher.mirror.folder import Folder
from publisher.mirror.object_store import open_bucket
from publisher.mirror.place import say_nothing
from publisher.mirror.served import FOLDERS
from publisher.mirror.target import check_settings, endpoint_of, parse_target
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from publisher.mirror.place import Place

WAIT = 300.0
"""Seconds to wait for another run: longer than one that was killed keeps others out."""


def open_place(
    target: str,
    source: Path,
    environ: Mapping[str, str],
    *,
    endpoint: str | None = None,
    wait: float = WAIT,
    on_wait: Callable[[], object] = say_nothing,
) -> Place:
    """The place that a target names.

    Args:
        target: a folder, or the URL of a prefix in a bucket.
        source: the registry's folder.
        environ: the environment.
        endpoint: what is asked in place of the cloud's own endpoint.
        wait: seconds to wait for another run.
        on_wait: called once where that begins.

    Raises:
        ConfigError: the target cannot be one, or its library is missing.
    """
    bucket = parse_target(target)
    if bucket is not None:
        check_settings(bucket, environ)
        return open_bucket(bucket, endpoint_of(bucket, endpoint, environ), wait=wait, on_wait=on_wait)
    if endpoint is not None:
        raise ConfigError(
            "--endpoint is for object storage", hint="Give s3://BUCKET/PREFIX, or leave it out."
        )
    folder = Path(target)
    _refuse_overlap(folder, source)
    return Folder(folder, wait, on_wait)


def _refuse_overlap(folder: Path, source: Path) -> None:
    there, here = folder.resolve(), source.resolve()
    if here.is_relative_to(there) or any(there.is_relative_to(here / name) for name in FOLDERS):
        raise ConfigError(
            f"{folder}: cannot be a mirror of {source}, for the one holds the other",
            hint="Choose another folder.",
        )
