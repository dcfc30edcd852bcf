"""A registry with two hosts of which the first is dead, slow or behind: what the refresh costs then, and what the next one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.clients import client_job, imports
from benchmarks.figures import Rounds, run_worker
from benchmarks.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure
    from benchmarks.serving import Behaviour, Host
    from benchmarks.subject import Subject

_KINDS = {
    "none": "both hosts well",
    "dead": "first host dead (it takes connections and never answers)",
    "slow": "first host slow (five bytes a second)",
    "lagging": "first host behind (it serves the state before)",
}
_BEHAVIOUR: dict[str, Behaviour] = {"dead": "silent", "slow": "drip"}
_TURNS = {"first": "first refresh", "second": "the next one"}


def measure_failover(subject: Subject) -> Iterator[Figure]:
    """The first refresh after the first host went bad, and the next one, each in a process of its own."""
    with serve(subject.layers()) as bad, serve(subject.layers()) as good:
        good.use("changed", "first")
        modules = imports(subject, bad)
        for kind, title in _KINDS.items():
            rounds = {
                turn: Rounds(f"failover/{kind}/{turn}", subject.plugins, f"{title}: {said}")
                for turn, said in _TURNS.items()
            }
            for number in range(2):
                home = f"failover-{kind}-{number}"
                _go_bad("none", bad)
                for turn, later in (("", 0), ("", 400), ("first", 800), ("second", 1200)):
                    if turn:
                        _go_bad(kind, bad)
                    job = client_job(subject, bad, home, "refresh", later)
                    result = run_worker({**job, "mirrors": [good.url], "modules": modules})
                    counted = bad.take().plus(good.take())
                    if turn:
                        rounds[turn].add(result["seconds"][0], counted)
                shutil.rmtree(subject.scratch / f"home-{home}")
            yield from (one.figure() for one in rounds.values())


def _go_bad(kind: str, host: Host) -> None:
    host.behave(_BEHAVIOUR.get(kind, "well"))
    host.use(*(("first",) if kind == "lagging" else ("changed", "first")))
