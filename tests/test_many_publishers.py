"""Twenty publishers at once, half by push and half by GitHub's API, while registrars run in pairs and some of them are killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.documents import ed25519
from support.githttp import git_host
from support.github.server import github_double
from support.world import World, git, push_to_bare

from publisher.authority import load_authority
from publisher.git import Git
from publisher.git_tree import GitTree
from publisher.registrar.state import load_state, read_rows
from publisher.tree import MemoryTree
from publisher.watch.audit import audit
from registry_client.digest import Digest
from registry_client.layout import served_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.githttp import GitHost
    from support.github.state import Double

REPOSITORY = Path(__file__).parents[1]
PUBLISHERS = 20
LEAST_KILLED = 4
PATIENCE = 240.0
REGISTRY = "acme/registry"
TOKEN = "token-of-all-publishers"
# One line for each push that the remote takes, with the refs that it changes.
HOOK = '#!/bin/sh\nwhile read old new ref; do line="$line $old,$ref"; done\necho "$line" >> pushes.log\n'


@dataclass
class Remote:
    """A bare repository with a registry, and processes that work on it.

    Attributes:
        world: the registry's keys and sources.
        bare: the repository.
        host: its Git host, which asks for a token.
        double: its GitHub API.
        temporary: where processes put their temporary files.
        killed: how many registrars were killed while they ran.
        finished: exit codes and output of the others.
        groups: process groups of all registrars.
    """

    world: World
    bare: Path
    host: GitHost
    double: Double
    temporary: Path
    killed: int = 0
    finished: list[tuple[int, str]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)

    def start(self, key: str, *arguments: str) -> subprocess.Popen[str]:
        """Start the command `publisher` in a process of its own, with a key and a token in its environment."""
        environ = {
            **os.environ,
            "GITHUB_API_URL": self.double.api,
            "GITHUB_SERVER_URL": self.host.url,
            "PLUGIN_REGISTRY_TOKEN": TOKEN,
            "PYTHONPATH": str(REPOSITORY),
            "PLUGIN_REGISTRY_KEY": ed25519(key).private_bytes.decode(),
            "TMPDIR": str(self.temporary),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "publisher.cli.main", *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def publish(self, number: int) -> subprocess.Popen[str]:
        """Start publisher number so-and-so with a plugin of its own: the even ones push, the odd ones use the API."""
        name = f"p{number:02}"
        source = self.world.write_source(f"{name}-tool", "1.0.0")
        to = REGISTRY if number % 2 else f"{self.host.url}/{REGISTRY}.git"
        return self.start(f"{name}-1", "publish", str(source), "--to", to)

    def register(self) -> subprocess.Popen[str]:
        """Start a registrar."""
        digest = Digest.of(self.world.root)
        process = self.start("online", "registry", "register", str(self.bare), "--root-digest", digest)
        self.groups.append(process.pid)
        return process

    def keep_registering(self, stop: threading.Event, seed: int) -> None:
        """Run registrars one after the other; kill every second one at a random moment, as a CI system may."""
        pick = random.Random(seed)
        turn, usual = seed, 3.0
        while not stop.is_set():
            process, begun = self.register(), time.monotonic()
            turn += 1
            if turn % 2:
                time.sleep(pick.uniform(0.2, 1.0) * usual)
                if process.poll() is None:
                    # The registrar alone: on a real remote its Git's other half runs elsewhere and lives on.
                    os.kill(process.pid, signal.SIGKILL)
                    self.killed += 1
            output = process.communicate()[0]
            if process.returncode >= 0:
                self.finished.append((process.returncode, output))
                usual = time.monotonic() - begun if turn % 2 == 0 else usual

    def wait(self, until: Callable[[], bool]) -> float:
        """Wait until something is so. Returns the time at which it was."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, (
                f"{self.on_main()} landed, {self.killed} registrars were killed"
            )
            time.sleep(0.1)
        return time.monotonic()

    def wait_for_orphans(self) -> None:
        """Wait until no Git process of a killed registrar is left."""
        deadline = time.monotonic() + 30
        for group in self.groups:
            while time.monotonic() < deadline:
                try:
                    os.killpg(group, 0)
                except ProcessLookupError:
                    break
                time.sleep(0.05)

    def on_main(self) -> int:
        """How many of the plugins stand on main."""
        listed = git(self.bare, "ls-tree", "-r", "--name-only", "main", "plugins/").split()
        return sum(path.endswith("/1.0.0/manifest.json") for path in listed)

    def tree(self) -> MemoryTree:
        """The files on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            tree = GitTree(repository, git(self.bare, "rev-parse", "main"))
            return MemoryTree({path: tree.read(path) or b"" for path in tree.paths("")})

    def pushes(self) -> list[list[tuple[str, str]]]:
        """Old object id and ref of each push that was taken."""
        lines = (self.bare / "pushes.log").read_text().splitlines()
        return [[(item[:40], item[41:]) for item in line.split()] for line in lines]

    def created(self) -> list[str]:
        """Every ref that was created, once for each time: by a push, or through the API."""
        pushed = [ref for push in self.pushes() for old, ref in push if set(old) == {"0"}]
        posted = [
            json.loads(request.body)["ref"]
            for request in self.double.requests
            if (request.method, request.status) == ("POST", 201) and request.path.endswith("/git/refs")
        ]
        return [*pushed, *posted]

    def told(self) -> int:
        """How often somebody told the registrar."""
        return sum(request.path.endswith("/dispatches") for request in self.double.requests)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    """A registry with twenty publishers and no plugins, on GitHub's double and a Git host that notes every push."""
    world = World(tmp_path / "registry", now=datetime.now(UTC).replace(microsecond=0))
    for number in range(PUBLISHERS):
        world.add_publisher(f"p{number:02}")
    world.register()
    root = tmp_path / "hosted"
    bare = push_to_bare(world, root / f"{REGISTRY}.git")
    git(bare, "config", "http.receivepack", "true")
    git(bare, "config", "uploadpack.allowFilter", "true")
    git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    with github_double(root) as double, git_host(root, token=TOKEN) as host:
        double.create(REGISTRY)
        double.add_token(TOKEN, "publishers", {REGISTRY: {"contents": "write"}})
        yield Remote(world, bare, host, double, tmp_path / "temporary")


def index_lines(tree: MemoryTree, world: World) -> Counter[tuple[str, str]]:
    """How often each version stands in the signed index."""
    authority = load_authority(tree, world.root, allow_dev_keys=False)
    found: Counter[tuple[str, str]] = Counter()
    for path, digest in load_state(tree, authority).shards.items():
        rows = read_rows(tree.read(served_path(path, digest)) or b"", path)
        found.update((row.raw["id"], row.raw["version"]) for row in rows)
    return found


@pytest.mark.slow
def test_every_version_lands_exactly_once(
    remote: Remote, record_property: Callable[[str, object], None]
) -> None:
    """Each version is in the index once, each publisher pushed once, history is linear, the registry sound."""
    begun = time.monotonic()
    stop = threading.Event()
    registrars = [threading.Thread(target=remote.keep_registering, args=(stop, seed)) for seed in (0, 1)]
    publishers = [remote.publish(number) for number in range(PUBLISHERS)]
    for thread in registrars:
        thread.start()
    try:
        ended = [(process.communicate(timeout=PATIENCE)[0], process.returncode) for process in publishers]
        seconds = remote.wait(lambda: remote.on_main() == PUBLISHERS) - begun
        remote.wait(lambda: remote.killed >= LEAST_KILLED)
    finally:
        stop.set()
        for thread in registrars:
            thread.join()
    remote.wait_for_orphans()
    last = remote.register()
    output = last.communicate(timeout=PATIENCE)[0]

    assert [code for _, code in ended] == [0] * PUBLISHERS, ended
    assert (last.returncode, [item for item in remote.finished if item[0]]) == (0, []), output
    _check(remote)
    attempts = f"{len(remote.created())} refs created, {len(remote.double.requests)} API requests"
    ways = f"{attempts}; {len(remote.finished)} registrars finished, {remote.killed} were killed"
    print(f"\n{PUBLISHERS} publishers at once: all landed after {seconds:.1f} s; {ways}")  # noqa: T201  (with -s)
    record_property("seconds_until_all_landed", round(seconds, 1))
    record_property("registrars_killed", remote.killed)


def _check(remote: Remote) -> None:
    """What must hold in the end, however it came about."""
    expected = {(f"p{number:02}-tool", "1.0.0") for number in range(PUBLISHERS)}
    tree = remote.tree()
    assert index_lines(tree, remote.world) == dict.fromkeys(expected, 1)

    assert sorted(ref.split("@")[0] for ref in remote.created()) == sorted(
        f"refs/heads/publish/{plugin_id}" for plugin_id, _ in expected
    )
    assert remote.told() == PUBLISHERS
    assert not git(remote.bare, "for-each-ref", "refs/heads/publish/")

    history = git(remote.bare, "rev-list", "--parents", "main").splitlines()
    assert all(len(line.split()) == 2 for line in history[:-1])
    assert len(history[-1].split()) == 1
    for plugin_id, version in expected:
        path = f"plugins/{plugin_id}/{version}/manifest.json"
        assert len(git(remote.bare, "rev-list", "main", "--", path).split()) == 1, path

    report = audit(tree, remote.world.root, datetime.now(UTC), allow_dev_keys=False)
    assert report.sound, report.findings
    assert (report.plugins, report.versions) == (PUBLISHERS, PUBLISHERS)
    catalogue = json.loads(tree.read("registry.json") or b"{}")
    assert {(line["id"], line["version"]) for line in catalogue["plugins"]} == expected
