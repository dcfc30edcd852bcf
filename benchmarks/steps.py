"""What is measured, in which order, at which sizes."""

from __future__ import annotations

import functools
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import clients, failover, growth, install, registrar, shape, verification
from benchmarks.peers import bare, git_peer, pip_peer, tuf_peer
from benchmarks.peers.pages import read_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from benchmarks.figures import Figure
    from benchmarks.subject import Subject

SIZES = (100, 1000, 10_000, 100_000)
_MANIFESTS_AT = (1000,)
_GIT_AT = (1000, 10_000)
_GROWTH_AT = (10_000,)


class Step(NamedTuple):
    """One thing that is measured of a registry.

    Attributes:
        name: what `--only` calls it.
        measure: gives the figures.
        sizes: at which it is measured; None for all.
    """

    name: str
    measure: Callable[[Subject], Iterator[Figure]]
    sizes: tuple[int, ...] | None = None


def measure_shards(subject: Subject) -> Iterator[Figure]:
    """One of 256 shards, without the other peers."""
    yield from bare.measure_lookups(subject, _pages(subject), whole_index=False)


@functools.lru_cache(maxsize=1)
def _pages(subject: Subject) -> Mapping[str, bytes]:
    return read_pages(subject.folder)


STEPS = (
    Step("shape", shape.measure_shape),
    Step("client", clients.measure_clients),
    Step("bare", lambda subject: bare.measure_lookups(subject, _pages(subject))),
    Step("commands", clients.measure_commands),
    Step("catalogue", clients.measure_catalogue),
    Step("manifests", clients.measure_manifests, _MANIFESTS_AT),
    Step("manifests-peers", bare.measure_manifests, _MANIFESTS_AT),
    Step("registrar", registrar.measure_in_process),
    Step("failover", failover.measure_failover, _MANIFESTS_AT),
    Step("verify", verification.measure_audit, _GIT_AT),
    Step("tuf", lambda subject: tuf_peer.measure_tuf(subject, _pages(subject))),
    Step("pip", pip_peer.measure_pip, (100, 1000, 10_000)),
    Step("git", git_peer.measure_git, _GIT_AT),
    Step("registrar-git", registrar.measure_with_git, _GIT_AT),
    Step("growth", growth.measure_growth, _GROWTH_AT),
)
INSTALLER = "installer"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plugin-registry-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def steps_for(plugins: int, only: Iterable[str]) -> list[Step]:
    """The steps for a registry of so many plugins.

    Args:
        plugins: its size.
        only: their names; empty for all.
    """
    wanted = set(only)
    return [
        step
        for step in STEPS
        if (step.sizes is None or plugins in step.sizes) and (not wanted or step.name in wanted)
    ]


def measure_installer(now: datetime, repeat: int) -> list[Figure]:
    """The figures of the installer, which has a registry of its own."""
    with scratch_folder() as folder:
        return install.measure_install(folder, now, repeat)
