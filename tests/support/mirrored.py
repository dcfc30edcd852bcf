"""Registries to mirror, and what hosts read of the mirror."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from support.maintainers import Kept

from publisher.mirror.run import Copied, Options, Source, mirror
from publisher.tree import DirTree

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from publisher.mirror.place import Place


def publish(kept: Kept, version: str) -> None:
    """The registry's next state."""
    kept.pass_time(hours=1)
    kept.write_manifest("calendar", version, "acme")
    kept.register()


def copy_of(kept: Kept, folder: Path) -> Kept:
    """A checkout that stays at the present state."""
    shutil.copytree(kept.folder, folder)
    return Kept(folder, kept.keys, kept.now)


def run(
    place: Place, folder: Path, now: datetime, *, grace: timedelta | None = None, dry_run: bool = False
) -> Copied:
    """One run."""
    options = Options(now, dry_run=dry_run) if grace is None else Options(now, grace, dry_run)
    return mirror(place, Source(DirTree(folder), str(folder)), options)


def newest(kept: Kept, url: str, home: Path) -> str:
    """What a fresh host reads from a mirror."""
    return str(kept.client(url, home).resolve("calendar").manifest.model.version)
