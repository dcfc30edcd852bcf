"""One measured thing in a process of its own, so that its memory and its imports are its own: `python -m benchmarks.worker < JOB`.

Prints one JSON object: the seconds of each repetition without imports, the memory that it took beyond them, and what else the job gives.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.timing import forget_peak, peak_memory, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client import RegistryClient

Result = dict[str, Any]


def client(job: Result) -> Result:
    """One call of a client, after the imports."""
    for name in job.get("modules", ()):  # what a host process has imported by then
        importlib.import_module(name)
    from registry_client import Directories, RegistryClient

    reader = RegistryClient(
        job["url"],
        root=Path(job["root"]),
        mirrors=job.get("mirrors", ()),
        directories=Directories.default(Path(job["home"])),
        clock=lambda: datetime.now(UTC) + timedelta(seconds=job["later"]),
        on_warning=lambda _: None,
    )
    before = forget_peak()
    seconds = timed(lambda: _call(reader, job))
    return {"seconds": [seconds], "memory": peak_memory() - before}


def _call(reader: RegistryClient, job: Result) -> None:
    calls: dict[str, Callable[[], object]] = {
        "refresh": reader.refresh,
        "resolve": lambda: reader.resolve(job["id"]),
        "search": lambda: reader.search(job["text"]),
        "manifests": lambda: _all_manifests(reader, job["expected"]),
    }
    calls[job["call"]]()


def _all_manifests(reader: RegistryClient, expected: int) -> None:
    found = reader.manifests()
    bad = [result for result in found.values() if isinstance(result, Exception)]
    if bad or len(found) != expected:
        raise AssertionError(f"{len(found)} manifests, {len(bad)} errors: {bad[:1]}")


def modules(job: Result) -> Result:
    """The modules that a client has imported after a look-up."""
    client(job)
    names = [name for name in sys.modules if name.partition(".")[0] in _LIBRARIES]
    return {"modules": sorted(names)}


_LIBRARIES = {
    "annotated_types",
    "certifi",
    "charset_normalizer",
    "cryptography",
    "filelock",
    "idna",
    "packaging",
    "platformdirs",
    "pydantic",
    "pydantic_core",
    "registry_client",
    "requests",
    "rfc8785",
    "securesystemslib",
    "ssl",
    "tuf",
    "typing_extensions",
    "urllib3",
    "concurrent",
    "http",
    "email",
    "gzip",
    "zlib",
    "queue",
    "socket",
}


def catalogue(job: Result) -> Result:
    """The catalogue searched, out of the bytes: for a few plugins, and for all, which are all parsed."""
    from registry_client.catalogue import CATALOGUE_PATH, search_catalogue

    data = Path(job["file"]).read_bytes()
    before = forget_peak()
    seconds = {
        name: [
            timed(functools.partial(search_catalogue, data, CATALOGUE_PATH, text))
            for _ in range(job["repeat"])
        ]
        for name, text in (("searched", job["text"]), ("parsed", ""))
    }
    return {**seconds, "memory": peak_memory() - before}


def install(job: Result) -> Result:
    """One operation of an installer, or a plain loop over the same archives, after the imports."""
    from registry_client import Access, Directories, Installer
    from registry_client.http import Transport
    from registry_client.installer.elsewhere import (  # what a host process has imported by then
        git,
        pypi,
        unsigned,
    )

    _ = git, pypi, unsigned, Transport
    before = forget_peak()
    if job["call"] == "loop":
        seconds = timed(lambda: _loop(job["urls"], Path(job["home"])))
    else:
        installer = Installer(
            Path(job["project"]), Access(Directories.default(Path(job["home"])), on_warning=print)
        )
        seconds = timed(installer.lock if job["call"] == "lock" else installer.install)
    return {"seconds": [seconds], "memory": peak_memory() - before}


def resolve(job: Result) -> Result:
    """One situation of resolution, with the registry in memory."""
    from benchmarks.resolve import build, situations

    work = situations(build())[job["situation"]]
    before = forget_peak()
    return {"seconds": [timed(work) for _ in range(job["repeat"])], "memory": peak_memory() - before}


def _loop(urls: list[list[str]], folder: Path) -> None:
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
    """Do the job on standard input."""
    job: Result = json.load(sys.stdin)
    module, _, name = job["what"].rpartition(":")
    work = getattr(importlib.import_module(module), name) if module else globals()[name]
    print(json.dumps(work(job)))


if __name__ == "__main__":
    main()
