"""One measured thing in a process of its own, so that its memory is its own: `python -m benchmarks.worker JSON`.

Prints one JSON object: seconds of each repetition, without imports, and the peak memory of the whole process.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.timing import peak_memory, timed

LATER = 300.0


def registrar(job: dict[str, Any]) -> list[float]:
    """Runs of the registrar over a folder. Nothing is written, so each finds the same."""
    from dataclasses import replace

    from benchmarks.data import Data, build_plugins, options_for
    from publisher.registrar.run import register
    from publisher.tree import DirTree

    folder, now = Path(job["folder"]), datetime.fromisoformat(job["now"])
    options = options_for((folder / "metadata" / "1.root.json").read_bytes())
    data = Data(build_plugins(job["plugins"]), {}, options, now)
    submissions = [] if job["full"] else [data.publication(job["plugins"] // 2, "2.2.0")]
    options = replace(options, full=job["full"])

    def run() -> None:
        done = register(DirTree(folder), submissions, options, now + timedelta(seconds=LATER))
        expected = len(submissions)
        if done.refused or sum(outcome.result == "published" for outcome in done.outcomes) != expected:
            raise AssertionError(f"the registrar did something else: {done.summary()}")

    run()  # what is imported on first use is not measured
    return [timed(run) for _ in range(job["repeat"])]


def client(job: dict[str, Any]) -> list[float]:
    """One call of a client, after the imports."""
    from registry_client import Directories, Host, RegistryClient
    from registry_client.http import Transport
    from registry_client.shards import bits_of
    from registry_client.signed import parse_manifest
    from registry_client.trust import Trust

    _ = Transport, Trust, bits_of, parse_manifest, Host  # what a host process has imported by then
    reader = RegistryClient(
        job["url"],
        root=Path(job["root"]),
        directories=Directories.default(Path(job["home"])),
        clock=lambda: datetime.now(UTC) + timedelta(seconds=job["later"]),
    )
    if job["call"] == "refresh":
        return [timed(reader.refresh)]
    return [timed(lambda: reader.resolve(job["id"]))]


def install(job: dict[str, Any]) -> list[float]:
    """One operation of an installer, or a plain loop over the same archives, after the imports."""
    from registry_client import Access, Directories, Installer
    from registry_client.http import Transport
    from registry_client.installer.elsewhere import (  # what a host process has imported by then
        git,
        pypi,
        unsigned,
    )

    _ = git, pypi, unsigned, Transport
    if job["call"] == "loop":
        return [timed(lambda: loop(job["urls"], Path(job["home"])))]
    installer = Installer(
        Path(job["project"]), Access(Directories.default(Path(job["home"])), on_warning=print)
    )
    if job["call"] == "lock":
        return [timed(installer.lock)]
    return [timed(installer.install)]


def resolve(job: dict[str, Any]) -> list[float]:
    """One situation of resolution, with the registry in memory."""
    from benchmarks.resolve import build, situations

    work = situations(build())[job["situation"]]
    return [timed(work) for _ in range(job["repeat"])]


def loop(urls: list[list[str]], folder: Path) -> None:
    """What a script does: each archive in turn over one connection, its digest compared, unpacked."""
    import hashlib
    import io
    import zipfile

    import requests

    with requests.Session() as session:
        for url, digest in urls:
            data = session.get(url, timeout=30).content
            if hashlib.sha256(data).hexdigest() != digest:
                raise AssertionError(url)
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                archive.extractall(folder)


def main() -> None:
    """Do the job that the argument describes."""
    job = json.loads(sys.argv[1])
    seconds = {"registrar": registrar, "client": client, "install": install, "resolve": resolve}[job["what"]](
        job
    )
    print(json.dumps({"seconds": seconds, "peak": peak_memory()}))


if __name__ == "__main__":
    main()
