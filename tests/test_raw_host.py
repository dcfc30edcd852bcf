"""Hosts that read through lagging caches, while something is published every fifteen minutes of two simulated days."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, manifest, release, sign
from support.rawhost import CACHES, URL, Clock, RawHost, RawTransport
from support.world import World

from publisher.registrar import retention
from publisher.registrar.run import register
from publisher.registrar.submission import Result, Submission
from publisher.tree import MemoryTree
from registry_client.client import RegistryClient
from registry_client.errors import RegistryError
from registry_client.jsontext import dump_json
from registry_client.resolve import Host
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLUGINS = 8
EVERY = timedelta(minutes=15)
READS_PER_PUBLISH = 5
OTHERS_PER_PUBLISH = 60
SOON = 60.0
LONG_LIVED = 5
RETURNING = 12
FIRST, SECOND = ed25519("acme-1"), ed25519("acme-2")


@dataclass
class Simulation:
    """A registry in memory, its raw host, and hosts that read it.

    Attributes:
        folder: where hosts have their directories.
        start: files of the empty registry.
        world: its keys.
        clock: the time for everyone.
        pick: every random choice.
        published: each version's manifests, as signed and as re-signed.
        yanked: when which version was yanked.
        reads: how reads ended, by the kind of client.
        failures: what went wrong.
        warnings: how often clients said that they use last-good state.
    """

    folder: Path
    world: World
    clock: Clock = field(default_factory=Clock)
    pick: random.Random = field(default_factory=lambda: random.Random(20))
    published: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    yanked: dict[tuple[str, str], datetime] = field(default_factory=dict)
    reads: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = MemoryTree(self.world.snapshot())
        self.host = RawHost(self.tree.read, self.clock)
        self._long_lived = [self.client(f"long-{number}") for number in range(LONG_LIVED)]
        self._fresh = 0

    # -- publishing ---------------------------------------------------------------------------------------------

    def submit(self, submission: Submission, expected: Result) -> None:
        """Run the registrar with one submission; its changes are what the origin serves from then on."""
        run = register(self.tree, [submission], self.world.options(), self.clock.now)
        assert [outcome.result for outcome in run.outcomes] == [expected], run.outcomes
        for path, data in run.changes.items():
            if data is None:
                del self.tree.files[path]
            else:
                self.tree.files[path] = data

    def publish(self, plugin_id: str, version: str) -> None:
        """Publish a version."""
        raw = sign(manifest(id=plugin_id, version=version), FIRST)
        self._keep(raw)
        self.submit(Submission("publish", plugin_id, version, dump_json(raw)), Result.PUBLISHED)

    def sign_again(self, plugin_id: str, version: str) -> None:
        """Add another key's signature to a published manifest."""
        raw = sign(manifest(id=plugin_id, version=version), FIRST, SECOND)
        self._keep(raw)
        self.submit(Submission("publish", plugin_id, version, dump_json(raw)), Result.SIGNED)

    def yank(self, plugin_id: str, version: str) -> None:
        """Yank a version."""
        about = manifest(id=plugin_id, version=version)
        raw = sign(release(about, status="yanked", reason="loses data"), FIRST)
        self.submit(Submission("publish", plugin_id, version, release=dump_json(raw)), Result.RELEASED)
        self.yanked[plugin_id, version] = self.clock.now

    def _keep(self, raw: dict[str, Any]) -> None:
        self.published.setdefault((raw["id"], raw["version"]), set()).add(dump_json(raw))

    def step(self, number: int) -> None:
        """What is published in one of the quarters of an hour."""
        plugin_id, version = f"acme-{number % PLUGINS}", f"1.{number // PLUGINS}.0"
        if number % 40 == 30:
            self.yank(*self._newest(number))
        elif number % 40 == 35:
            self.sign_again(*self._newest(number))
        else:
            self.publish(plugin_id, version)

    def _newest(self, number: int) -> tuple[str, str]:
        own = [key for key in self.published if key[0] == f"acme-{number % PLUGINS}"]
        return own[-1]

    # -- reading ------------------------------------------------------------------------------------------------

    def client(self, home: str) -> RegistryClient:
        """A host with directories of its own."""
        return RegistryClient(
            URL,
            root=self.world.root,
            directories=Directories.default(self.folder / home),
            host=Host("0" * 32),
            clock=self.clock,
            on_warning=self.warnings.append,
            transport=RawTransport(self.host, self.pick),
        )

    def read(self) -> None:
        """One host reads something."""
        kind = self.pick.choices(("long-lived", "fresh", "returning"), (5, 2, 2))[0]
        if kind == "long-lived":
            client = self.pick.choice(self._long_lived)
        elif kind == "returning":  # a new process with directories that were last used hours or days ago
            client = self.client(f"returning-{self.pick.randrange(RETURNING)}")
        else:
            self._fresh += 1
            client = self.client(f"fresh-{self._fresh}")
        what = self.pick.choice((self._resolve, self._resolve, self._search, self._refresh))
        try:
            what(client)
        except RegistryError as e:
            self.failures.append(
                f"{self.clock.now:%d %H:%M:%S} {kind} {what.__name__}: {e.kind}: {e.message}"
            )
        self.reads[kind] += 1
        if kind == "fresh":
            shutil.rmtree(self.folder / f"fresh-{self._fresh}")

    def _resolve(self, client: RegistryClient) -> None:
        resolution = client.resolve(f"acme-{self.pick.randrange(PLUGINS)}")
        verified = resolution.manifest
        key = verified.model.id, verified.model.version
        if verified.publisher != "acme" or verified.data not in self.published.get(key, set()):
            self.failures.append(f"unverified: {key}")
        self._not_yanked_long_ago(key)

    def _search(self, client: RegistryClient) -> None:
        entries = client.search()
        self.failures += [f"unverified: {e}" for e in entries if (e.id, e.version) not in self.published]
        if not entries:
            self.failures.append("an empty catalogue")
        for entry in entries:
            self._not_yanked_long_ago((entry.id, entry.version))

    def _refresh(self, client: RegistryClient) -> None:
        client.refresh()

    def _not_yanked_long_ago(self, key: tuple[str, str]) -> None:
        """The TTL, the caches and two rounds of bad luck with them pass within half an hour."""
        if self.clock.now - self.yanked.get(key, self.clock.now) > timedelta(minutes=30):
            self.failures.append(f"{key} is offered, half an hour after it was yanked")

    def run(self, span: timedelta) -> None:
        """Publish every quarter of an hour, read at random times in between, most of them soon after."""
        end = self.clock.now + span
        for number in range(PLUGINS):
            self.publish(f"acme-{number}", "0.1.0")
        number, quarter = 0, EVERY.total_seconds()
        while self.clock.now < end:
            self.step(number)
            begun = self.clock.now
            reads = [self.pick.triangular(0, quarter, SOON) for _ in range(READS_PER_PUBLISH)]
            others = [self.pick.uniform(0, quarter) for _ in range(OTHERS_PER_PUBLISH)]
            events = [
                *((seconds, self.read) for seconds in reads),
                *((seconds, self._other) for seconds in others),
            ]
            for seconds, event in sorted(events, key=lambda item: item[0]):
                self.clock.now = begun + timedelta(seconds=seconds)
                event()
            self.clock.now = begun + EVERY
            number += 1

    def _other(self) -> None:
        """Some other host asks for the files whose names stay the same, which fills a cache with what will be old soon."""
        cache = self.pick.randrange(CACHES)
        for path in ("metadata/timestamp.json", "metadata/2.root.json"):
            self.host.read(cache, path)


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    """An empty registry with one publisher that has two keys."""
    world = World(tmp_path / "registry", base_url=URL)
    world.add_publisher("acme", keys=2)
    world.register()
    return Simulation(tmp_path / "hosts", world)


@pytest.mark.slow
def test_no_read_fails_behind_lagging_caches(
    simulation: Simulation, record_property: Callable[[str, object], None]
) -> None:
    """Two days, a publish each quarter of an hour, a yank and a re-signing now and then: no read fails."""
    simulation.run(timedelta(days=2))
    reads = dict(simulation.reads)
    lagged = len(simulation.warnings)
    print(f"\n{sum(reads.values())} reads {reads}, {lagged} of them from last-good state, 0 failed")  # noqa: T201  (with -s)
    record_property("reads", sum(reads.values()))
    record_property("reads_from_last_good", lagged)
    assert simulation.failures == []
    assert len(simulation.yanked) >= 4
    assert min(reads[kind] for kind in ("long-lived", "fresh", "returning")) > 100


def test_reads_fail_if_superseded_files_go_at_once(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without retention the same simulation finds failed reads, so it would notice them."""
    monkeypatch.setattr(retention, "KEEP", timedelta(seconds=-1))
    monkeypatch.setattr(retention, "KEEP_CATALOGUE", timedelta(seconds=-1))
    monkeypatch.setattr(retention, "_is_due", lambda *_: True)
    simulation.run(timedelta(hours=10))
    reads, failed = sum(simulation.reads.values()), len(simulation.failures)
    print(f"\n{failed} of {reads} reads failed without retention")  # noqa: T201  (with -s)
    assert failed > 3
    assert not [failure for failure in simulation.failures if "unverified" in failure]
