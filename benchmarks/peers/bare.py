"""Plain HTTP without signatures: one of 256 shards, a whole index, many manifests over several connections."""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Rounds, run_worker
from benchmarks.peers.pages import cut, part_of, whole
from benchmarks.serving import serve
from benchmarks.sources import Layer
from benchmarks.subject import write_plainly
from benchmarks.timing import forget_peak, peak_memory, timed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import requests

    from benchmarks.figures import Figure
    from benchmarks.subject import Subject

WHOLE_UP_TO = 10_000
"""A whole index of more plugins is hundreds of megabytes."""
_LOOPED = 100


def measure_lookups(
    subject: Subject, pages: Mapping[str, bytes], *, whole_index: bool = True
) -> Iterator[Figure]:
    """One plugin out of 256 shards, and out of a whole index, in turns.

    Args:
        subject: the registry.
        pages: its index lines by plugin.
        whole_index: whether the latter is wanted; large registries have none.
    """
    parts = cut(pages)
    listing = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}).encode()
    files = {"bare/shards.json": listing, **{f"bare/{name}.json": data for name, data in parts.items()}}
    wanted = {"shard": "one of 256 shards without TUF: shard list, shard, manifest"}
    if whole_index and subject.plugins <= WHOLE_UP_TO:
        files["bare/index.json"] = whole(pages)
        wanted["whole"] = "a whole index without TUF: index, manifest"
    write_plainly(subject.scratch / "bare", files)
    rounds = {name: Rounds(f"peer/{name}", subject.plugins, title) for name, title in wanted.items()}
    layers = {"bare": Layer(str(subject.scratch / "bare")), **subject.layers()}
    with serve(layers) as host:
        host.use("bare", "first")
        for number in range(subject.repeat + 1):
            for name in wanted:
                job = {"what": "benchmarks.peers.bare:look_up", "url": host.url, "id": subject.plugin.id}
                result = run_worker({**job, "whole": name == "whole"})
                counted = host.take()
                if number:
                    rounds[name].add(result["seconds"][0], counted, result["memory"])
    shutil.rmtree(subject.scratch / "bare")
    yield from (one.figure() for one in rounds.values())


def measure_connections(subject: Subject) -> Iterator[Figure]:
    """The fastest of `measure_manifests` alone."""
    return measure_manifests(subject, (64,))


def measure_manifests(subject: Subject, wanted: Collection[int] = (1, 16, 64)) -> Iterator[Figure]:
    """The newest manifest of every plugin, by paths that are known: one after the other, by 16 threads, over 64 connections.

    Args:
        subject: the registry.
        wanted: which of these.
    """
    kinds = {
        1: Rounds(
            "peer/loop", subject.plugins, "manifests by a loop of requests", f"{_LOOPED} of them, scaled"
        ),
        16: Rounds("peer/threads", subject.plugins, "manifests by requests in 16 threads"),
        64: Rounds("peer/connections", subject.plugins, "manifests over 64 connections, http.client"),
    }
    kinds = {connections: rounds for connections, rounds in kinds.items() if connections in wanted}
    generator = subject.tree.generator
    paths = [generator.paths(number)[0] for number in range(subject.plugins)]
    with serve(subject.layers()) as host:
        for number in range(min(3, subject.repeat) + 1):
            for connections, rounds in kinds.items():
                some = paths[:_LOOPED] if connections == 1 else paths
                if connections == 1 and number > 1:
                    continue
                job = {"what": "benchmarks.peers.bare:fetch", "url": host.url, "paths": some}
                result = run_worker({**job, "connections": connections})
                counted = host.take()
                if number:
                    rounds.add(result["seconds"][0] * len(paths) / len(some), counted, result["memory"])
    yield from (rounds.figure() for rounds in kinds.values())


def look_up(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: the newest manifest of one plugin."""
    import requests

    before = forget_peak()
    with requests.Session() as session:
        work = (lambda: _from_whole(session, job)) if job["whole"] else (lambda: _from_shard(session, job))
        seconds = timed(work)
    return {"seconds": [seconds], "memory": peak_memory() - before}


def _from_shard(session: requests.Session, job: dict[str, Any]) -> None:
    part = part_of(job["id"])
    listed = json.loads(_get(session, f"{job['url']}/bare/shards.json"))
    _manifest(session, job, _get(session, f"{job['url']}/bare/{part}.json", listed[part]))


def _from_whole(session: requests.Session, job: dict[str, Any]) -> None:
    _manifest(session, job, _get(session, f"{job['url']}/bare/index.json"))


def _manifest(session: requests.Session, job: dict[str, Any], index: bytes) -> None:
    manifest = json.loads(index)[job["id"]][-1]["manifest"]
    json.loads(_get(session, f"{job['url']}/{manifest['path']}", manifest["digest"].removeprefix("sha256:")))


def _get(session: requests.Session, url: str, digest: str | None = None) -> bytes:
    answer = session.get(url, timeout=60)
    answer.raise_for_status()
    if digest not in {None, hashlib.sha256(answer.content).hexdigest()}:
        raise AssertionError(url)
    return answer.content


def fetch(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: many files, each parsed."""
    connections = job["connections"]
    get = _fetch_bare if connections > 16 else _fetch_requests
    parts = [job["paths"][number::connections] for number in range(connections)]
    import requests

    _ = requests
    before = forget_peak()

    def work() -> None:
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(lambda part: get(job["url"], part), parts))

    return {"seconds": [timed(work)], "memory": peak_memory() - before}


def _fetch_requests(url: str, paths: list[str]) -> None:
    import requests

    with requests.Session() as session:
        for path in paths:
            json.loads(_get(session, f"{url}/{path}"))


def _fetch_bare(url: str, paths: list[str]) -> None:
    import gzip
    from http.client import HTTPConnection

    connection = HTTPConnection(url.removeprefix("http://"))
    for path in paths:
        connection.request("GET", f"/{path}", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        data = answer.read()
        json.loads(gzip.decompress(data) if answer.getheader("Content-Encoding") == "gzip" else data)
    connection.close()
