"""Two mirrors at once, as processes and threads: the newer state stays, whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.maintainers import Kept, make_registry
from support.mirrored import copy_of, newest, publish, run
from support.object_storage import ENVIRONMENT, S3, serve_s3

from publisher.mirror.lease import Clock
from publisher.mirror.object_store import ObjectPlace, open_bucket
from publisher.mirror.place import OWN
from publisher.mirror.served import served_paths
from publisher.mirror.target import Bucket
from publisher.tree import DirTree
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A server, and credentials in the environment."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with serve_s3() as server:
        yield server


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with one version of one plugin."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    return kept


def holds(s3: S3, bucket: str, kept: Kept) -> None:
    """The mirror is exactly this state, with nothing of another in what changes in place."""
    for path in served_paths(DirTree(kept.folder)):
        assert s3.get(f"{bucket}/{path}").content == (kept.folder / path).read_bytes(), path


def at(s3: S3, bucket: str) -> ObjectPlace:
    """The mirror, looked at again and again while another run writes it."""
    clock = Clock(sleep=lambda _: time.sleep(0.02))
    return open_bucket(Bucket("s3", bucket, ""), s3.url, wait=60, clock=clock)


def test_two_threads(s3: S3, kept: Kept, tmp_path: Path) -> None:
    """Whichever begins first, into an empty bucket and into one that has a state."""
    older = copy_of(kept, tmp_path / "older")
    publish(kept, "1.1.0")
    old = copy_of(kept, tmp_path / "old")
    kept.block("calendar", "==1.0.0")
    kept.register()
    publish(kept, "1.2.0")
    for round_ in range(6):
        bucket = s3.make_bucket()
        said: list[str] = []
        place = partial(at, s3, bucket)
        if round_ % 2:
            run(place(), older.folder, kept.now)
        start = threading.Barrier(2)

        def go(
            folder: Path,
            place: Callable[[], ObjectPlace] = place,
            start: threading.Barrier = start,
            said: list[str] = said,
        ) -> None:
            start.wait()
            try:
                run(place(), folder, kept.now)
            except ConfigError as e:
                said.append(e.message)

        threads = [threading.Thread(target=go, args=(each.folder,)) for each in (old, kept)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all("timestamp" in message for message in said)
        holds(s3, bucket, kept)
        assert newest(kept, f"{s3.url}/{bucket}", tmp_path / f"home-{round_}") == "1.2.0"


def test_two_processes(s3: S3, kept: Kept, tmp_path: Path) -> None:
    """The command itself, three at a time; those that are older end with exit code 3, or were first."""
    trees = [copy_of(kept, tmp_path / "v0")]
    for number in (1, 2):
        publish(kept, f"1.{number}.0")
        trees.append(copy_of(kept, tmp_path / f"v{number}"))
    bucket = s3.make_bucket()
    command = [
        sys.executable,
        "-m",
        "publisher.cli.main",
        "registry",
        "mirror",
        f"s3://{bucket}",
        "--endpoint",
        s3.url,
    ]
    running = [
        subprocess.Popen(
            [*command, "--from", str(tree.folder)],
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for tree in trees
    ]
    codes = [process.wait(timeout=120) for process in running]
    assert codes[-1] == 0
    assert {*codes} <= {0, 3}
    holds(s3, bucket, kept)
    there = open_bucket(Bucket("s3", bucket, ""), s3.url, wait=0).list()
    assert {path for path in there if path.startswith(OWN)} == {f"{OWN}/lease.json", f"{OWN}/state.json.gz"}
