"""Faults and what is fetched ahead: whatever fails, and in whatever way, ends as it would if each request had waited for its turn."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.httpd import Fault, FaultServer
from support.waves import kind_of
from support.world import World

from publisher.registrar import sharding
from registry_client.errors import FetchError, NotFetchedError, RegistryError, TooLargeError
from registry_client.flights import Flights
from registry_client.http import Body, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.http import Deadline

KINDS = (
    "root",
    "timestamp",
    "snapshot",
    "targets",
    "blocks",
    "registrar",
    "index",
    "below",
    "blocks.json",
    "publisher",
    "manifest",
)


def absent(data: bytes) -> bytes:
    """404."""
    raise NotFetchedError("HTTP 404", status=404)


def busy(data: bytes) -> bytes:
    """429."""
    raise FetchError("HTTP 429", status=429, retry_after=0.001)


def slow(data: bytes) -> bytes:
    """An answer that does not come in time."""
    time.sleep(0.05)
    raise FetchError("not complete within the deadline", retry_after=0.001)


def late(data: bytes) -> bytes:
    """An answer that comes just in time."""
    time.sleep(0.05)
    return data


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "404": absent,
    "429": busy,
    "slow": slow,
    "late": late,
    "short": lambda data: data[:-1],
    "wrong": lambda data: b"x" * len(data),
    "long": lambda data: data + b" ",
}
PASSING = ("404", "429", "slow")


class Faulty:
    """Serves a world, but for one kind of file.

    Attributes:
        kind: which.
        fault: what becomes of it.
        left: how often; then all is well again.
    """

    def __init__(self, world: World, kind: str, fault: Callable[[bytes], bytes], times: int) -> None:
        self._tree = world.tree
        self.kind, self.fault, self.left = kind, fault, times
        self.usage = Usage()

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:  # noqa: ARG002
        """The bytes at a URL, or the fault."""
        path = url.split("/", 3)[3]
        data = self._tree.read(path)
        if kind_of(path) == self.kind and self.left:
            self.left -= 1
            data = self.fault(data or b"")
        if data is None:
            raise NotFetchedError(f"{url}: HTTP 404", status=404)
        if len(data) > limit:
            raise TooLargeError(f"{url}: longer than {limit} bytes")
        return Body(data, None)

    def get_into(self, url: str, sink: Callable[[bytes], object], **_: object) -> None:  # noqa: ARG002
        """Nothing large is read here."""
        raise AssertionError(url)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A registry with directories, and a plugin whose publisher cannot be guessed."""
    world = World(tmp_path_factory.mktemp("faults") / "registry")
    world.add_publisher("acme", "acme-*", "calendar")
    world.add_publisher("globex")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SPLIT_ABOVE", 100)
        world.publish("acme-calendar", "1.0.0")
        world.publish("calendar", "1.0.0", by="acme")
        world.register()
    return world


def outcome(act: Callable[[], object]) -> str:
    """The name of the error that something ends in, or of nothing."""
    try:
        act()
    except RegistryError as e:
        return type(e).__name__
    return "done"


def story(world: World, home: str, kind: str, fault: Callable[[bytes], bytes], times: int) -> list[str]:
    """What becomes of a fresh client and of one that had refreshed before, in words."""
    faulty = Faulty(world, kind, fault, times)
    told: list[str] = []
    for who in ("fresh", "used"):
        client = world.client(f"{home}/{who}", url="https://registry.example", transport=faulty, ttl=1e9)
        if who == "used":
            faulty.left = 0
            client.refresh()
            faulty.left = times
        resolve, refresh = client.resolve, client.refresh
        told += [outcome(partial(resolve, plugin_id)) for plugin_id in ("acme-calendar", "calendar")]
        told.append(outcome(refresh))
        faulty.left = 0
        told.append(outcome(partial(resolve, "calendar")))
        faulty.left = times
    return told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "times"),
    [*((name, 1000) for name in FAULTS), *((name, 1) for name in PASSING)],
)
def test_a_fault_ends_as_without_fetching_ahead(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str, times: int
) -> None:
    """Each request at each place in the chain, failing once or for good."""
    home = f"{fault}-{kind}-{times}"
    ahead = story(world, f"{home}-ahead", kind, FAULTS[fault], times)
    monkeypatch.setattr(Flights, "ahead", lambda *_: None)
    one_by_one = story(world, f"{home}-one", kind, FAULTS[fault], times)
    assert ahead == one_by_one
    assert ahead[3] == ahead[7] == "done"


def test_what_is_not_needed_may_hang(world: World) -> None:
    """A guess at the wrong publisher that is never answered holds nobody up."""
    with FaultServer(world.folder) as server:
        path = next(path for path in world.snapshot() if path.endswith(".globex.json") and "targets/" in path)
        server.fail(path, Fault(hang=60))
        client = world.client("hang", url=server.url)
        client.refresh()
        view = client.session.view()
        guessed = view.find("publishers/globex.json")
        assert guessed is not None
        client.session.read_ahead(guessed)
        begun = time.monotonic()
        assert client.resolve("calendar").info.version == "1.0.0"
        assert time.monotonic() - begun < 10
