"""The audit among hosts that mean harm: slow ones that would keep others from being looked at, and URLs that lead inside."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support import rows
from support.documents import ed25519, manifest, sign
from support.httpd import Fault, FaultServer
from support.world import World

from publisher.cli.main import main
from publisher.registrar.state import Row
from publisher.watch import artifacts
from publisher.watch.artifacts import check_artifacts
from publisher.watch.probe import Verdict
from registry_client import connections
from registry_client.digest import Digest
from registry_client.errors import FetchError
from registry_client.http import Deadline, Transport
from registry_client.jsontext import dump_json
from registry_client.signed import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry_client.models.manifest import Manifest

DATA = b"a plugin's archive" * 50
HUGE = 10**9


@pytest.fixture
def host() -> Iterator[FaultServer]:
    """A host that serves `DATA` everywhere."""
    with FaultServer(lambda _: DATA) as server:
        yield server


def _version(publisher: str, *urls: str, size: int = len(DATA)) -> tuple[Row, Manifest]:
    items = [{"ecosystem": "custom", "url": url, "digest": Digest.of(DATA), "size": size} for url in urls]
    document = sign(manifest(artifacts=items), ed25519("acme"))
    row = Row(rows.row("acme-calendar", "1.0.0", publisher=publisher))
    return row, parse_manifest(dump_json(document), "manifest.json").model


def test_slow_files_of_one_publisher_do_not_hide_what_changed_elsewhere(
    host: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are announced as huge and come drop by drop take their publisher's share of the time, and no more."""
    monkeypatch.setattr(artifacts, "_IN_ALL", 4.0)
    monkeypatch.setattr(artifacts, "_LEAST_SHARE", 1.0)
    slow = [f"{host.url}/0/{number}" for number in range(40)]
    for number in range(40):
        host.fail(f"0/{number}", Fault(drip=0.2))
    host.fail("z", Fault(status=404))
    versions = [_version("globex", *slow, size=HUGE), _version("acme", f"{host.url}/z")]
    checked = check_artifacts(versions, Transport(), (0.0, 0.0))
    assert [item.answer.verdict for item in checked] == [Verdict.UNREACHABLE] * 40 + [Verdict.VANISHED]


def test_everyone_has_a_turn(host: FaultServer) -> None:
    """One file of each publisher, then the next of each: not all of one first, whatever its URLs are."""
    versions = [
        _version("globex", *(f"{host.url}/0/{n}" for n in range(40))),
        _version("acme", f"{host.url}/z"),
    ]
    checked = check_artifacts(versions, Transport(), (0.0, 0.0))
    assert {item.answer.verdict for item in checked} == {Verdict.SOUND}
    asked = [each.path for each in host.seen]
    assert asked.index("/z") < 8
    assert [item.url for item in checked] == sorted(item.url for item in checked)


class TestPrivateAddresses:
    """`Transport(public_only=True)`."""

    @pytest.mark.parametrize(
        "name", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0.0.0.0"]
    )
    def test_nothing_is_sent_there(self, name: str) -> None:
        """However the address is written, it is looked at once the connection stands, before anything is sent."""
        seen: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                peer, _ = listener.accept()
                with peer:
                    seen.append(peer.recv(100))

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            url = f"http://{name}:{listener.getsockname()[1]}/latest/meta-data"
            with pytest.raises(FetchError, match="a private one"):
                Transport(public_only=True).get(url, limit=100, deadline=Deadline(5))
            thread.join(5)
        assert seen == [b""]

    def test_nor_after_a_redirect(self, host: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A public host that sends on to a private one gets nobody there."""
        inside = FaultServer(lambda _: b"secret")
        with inside:
            port = inside.url.rpartition(":")[2]
            real = connections._public

            def public(connected: socket.socket, connection: Any) -> socket.socket:
                """The first host counts as a public one."""
                return connected if connected.getpeername()[1] != int(port) else real(connected, connection)

            monkeypatch.setattr(connections, "_public", public)
            host.fail("a", Fault(redirect=f"{inside.url}/b"))
            with pytest.raises(FetchError, match="a private one"):
                Transport(public_only=True).get(f"{host.url}/a", limit=100, deadline=Deadline(5))
            assert not inside.seen

    @pytest.mark.parametrize(
        ("address", "public"),
        [
            ("140.82.121.4", True),
            ("2606:50c0:8000::153", True),
            ("10.1.2.3", False),
            ("169.254.169.254", False),
            ("168.63.129.16", False),
            ("100.64.0.1", False),
            ("fd00:ec2::254", False),
            ("fe80::1%eth0", False),
            ("::ffff:192.168.0.1", False),
            ("::1", False),
        ],
    )
    def test_which_addresses_are_public(self, address: str, public: bool) -> None:
        """Those of the internet; not those of the machine, its network, or what its cloud tells it."""

        class Connected:
            closed = False

            def getpeername(self) -> tuple[str, int]:
                return address, 443

            def close(self) -> None:
                self.closed = True

        connected: Any = Connected()
        connection: Any = None
        if public:
            assert connections._public(connected, connection) is connected
        else:
            with pytest.raises(Exception, match="private"):
                connections._public(connected, connection)
        assert connected.closed is not public

    @pytest.mark.parametrize(
        ("environ", "asked"),
        [
            ({}, True),
            ({"GITHUB_ACTIONS": "true"}, False),
            ({"GITHUB_ACTIONS": "true", "PLUGIN_REGISTRY_PRIVATE_ADDRESSES": "1"}, True),
        ],
    )
    def test_the_audit_asks_nobody_there_in_actions(
        self,
        host: FaultServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        environ: dict[str, str],
        asked: bool,
    ) -> None:
        """Unless whoever keeps the runner says so."""
        world = World(tmp_path / "registry")
        world.add_publisher("acme")
        item = {"ecosystem": "custom", "url": f"{host.url}/a", "digest": Digest.of(DATA), "size": len(DATA)}
        world.publish("acme-x", "1.0.0", artifacts=[item])
        world.register()
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(world.now.timestamp())))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        root = world.folder / "metadata" / "1.root.json"
        assert main(["registry", "audit", str(world.folder), "--root", str(root), "--artifacts"]) == 0
        assert bool(host.seen) is asked
