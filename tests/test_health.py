"""`publish --check-health` against a real server: well, late, ill, altered, slow."""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import manifest
from support.httpd import Fault, FaultServer

from publisher import health
from publisher.health import Check, check_health
from registry_client.errors import PublishError
from registry_client.http import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRY = b"export const App = 1;\n" * 100
FILES = {"api/health": b"{}", "ui/entry.js": ENTRY}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A backend and a frontend that are well."""
    with FaultServer(FILES.get) as server:
        yield server


def integrity(data: bytes, algorithm: str = "sha384") -> str:
    """Subresource Integrity of some bytes."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def plugin(server: FaultServer, **ui: Any) -> dict[str, Any]:
    """A manifest with both."""
    return manifest(
        server={
            "routeBase": "/x",
            "deploymentUrl": f"{server.url}/api/?key=secret",
            "healthCheck": "/health",
        },
        ui={"remoteEntry": f"{server.url}/ui/entry.js?v=secret", "expose": "./App", **ui},
    )


class Clock:
    """Time that only sleeping moves, so that tests take none."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.now += seconds


def ask(raw: dict[str, Any], clock: Clock, seconds: float = 60) -> list[Check]:
    """Check with the real transport."""
    transport = Transport()
    try:
        return check_health(raw, transport, timeout_seconds=seconds, sleep=clock.sleep, clock=clock)
    finally:
        transport.close()


def test_both_answer(server: FaultServer) -> None:
    """Each is asked once; what is told holds no query."""
    clock = Clock()
    checks = ask(plugin(server, integrity=integrity(ENTRY)), clock)
    assert [(check.what, check.url, check.ok) for check in checks] == [
        ("backend", f"{server.url}/api/health", True),
        ("frontend", f"{server.url}/ui/entry.js", True),
    ]
    assert checks[1].detail == "HTTP 200, 2200 bytes, integrity as stated"
    assert (server.paths, clock.pauses) == (["api/health", "ui/entry.js"], [])
    assert server.seen[0].path == "/api/health?key=secret"


def test_no_credentials_are_sent(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither tokens of the environment nor a .netrc."""
    netrc = tmp_path_factory.mktemp("netrc") / "netrc"
    netrc.write_text("default login me password planted-secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("PLUGIN_REGISTRY_TOKEN", "planted-secret")
    monkeypatch.setenv("GITHUB_TOKEN", "planted-secret")
    ask(plugin(server), Clock())
    assert all(not {"authorization", "cookie"} & seen.headers.keys() for seen in server.seen)
    assert "planted-secret" not in str(server.seen)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_any_success_of_the_backend(server: FaultServer, status: int) -> None:
    """2xx is well, with a body or without."""
    server.fail("api/health", Fault(status=status, body=b""))
    assert all(check.ok for check in ask(plugin(server), Clock()))


def test_the_frontend_must_answer_200(server: FaultServer) -> None:
    """A remote entry without a body is none."""
    server.fail("ui/entry.js", Fault(status=204, body=b""))
    with pytest.raises(PublishError, match=r"frontend .*/ui/entry\.js: HTTP 204"):
        ask(plugin(server), Clock())


def test_a_late_deployment(server: FaultServer) -> None:
    """500, then 404, then well: asked again after growing pauses, and what answered already is left alone."""
    server.fail("api/health", Fault(status=500, times=3))
    clock = Clock()
    assert all(check.ok for check in ask(plugin(server), clock))
    assert clock.pauses == [1, 2, 4]
    assert server.paths.count("ui/entry.js") == 1


def test_never_well(server: FaultServer) -> None:
    """Every check that failed is named, with how it failed; the time is kept, and no query is shown."""
    server.fail("api/health", Fault(status=503))
    server.fail("ui/entry.js", Fault(status=404))
    clock = Clock()
    with pytest.raises(PublishError) as caught:
        ask(plugin(server), clock)
    assert caught.value.message.splitlines() == [
        "2 health checks did not pass within 60 seconds, so nothing was published",
        f"  backend {server.url}/api/health: HTTP 503",
        f"  frontend {server.url}/ui/entry.js: HTTP 404",
    ]
    assert "--health-timeout" in caught.value.hint
    assert clock.now < 60
    assert all(b >= a for a, b in itertools.pairwise(clock.pauses))
    assert server.paths.count("api/health") == len(clock.pauses) + 1 > 4


def test_a_host_that_asks_for_patience(server: FaultServer) -> None:
    """Retry-After is kept to."""
    server.fail("api/health", Fault(status=503, headers={"Retry-After": "20"}, times=1))
    clock = Clock()
    ask(plugin(server), clock)
    assert clock.pauses == [20]


def test_another_remote_entry_than_stated(server: FaultServer) -> None:
    """What is deployed must be what is signed."""
    with pytest.raises(PublishError, match=r"its integrity is sha256-.*, but the manifest states sha256-"):
        ask(plugin(server, integrity=integrity(b"other", "sha256")), Clock())


def test_a_body_without_end(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is read than a remote entry may have."""
    monkeypatch.setattr(health, "ENTRY_LIMIT", 1000)
    server.fail("ui/entry.js", Fault(pad=1_000_000))
    with pytest.raises(PublishError, match="longer than the 1000 bytes allowed"):
        ask(plugin(server), Clock(), seconds=2)


def test_a_slow_drip_ends_in_time(server: FaultServer) -> None:
    """A host that sends a byte now and then does not hold the job up."""
    server.fail("ui/entry.js", Fault(drip=0.05))
    transport = Transport()
    began = time.monotonic()
    with pytest.raises(PublishError, match="not complete within the deadline"):
        check_health(plugin(server), transport, timeout_seconds=1.2, sleep=time.sleep, clock=time.monotonic)
    assert time.monotonic() - began < 6
    transport.close()


def test_redirects(server: FaultServer) -> None:
    """Followed, as when hosts download; but not to another scheme."""
    server.fail("ui/entry.js", Fault(redirect=f"{server.url}/api/health"))
    assert all(check.ok for check in ask(plugin(server), Clock()))
    server.fail("ui/entry.js", Fault(redirect="file:///etc/passwd"))
    with pytest.raises(PublishError, match="redirects from http to file, which is refused"):
        ask(plugin(server), Clock())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ui": None, "server": {"routeBase": "/x"}}, "there is nothing to check"),
        ({"ui": {"menu": {"title": "X"}}}, "there is nothing to check"),
        (
            {"server": {"routeBase": "/x", "deploymentUrl": "http://127.0.0.1:1"}},
            "server.healthCheck is missing",
        ),
    ],
)
def test_nothing_to_check_is_an_error(members: dict[str, Any], message: str) -> None:
    """A check that checks nothing must not pass."""
    with pytest.raises(PublishError, match=message) as caught:
        ask(manifest(**members), Clock())
    assert caught.value.hint


def test_no_time_at_all(server: FaultServer) -> None:
    """Each is asked once, however short the time."""
    assert all(check.ok for check in ask(plugin(server), Clock(), seconds=0))
