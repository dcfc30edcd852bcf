"""GitHub's API and strangers at their worst: lost answers, drips, odd answers, and where credentials must not go."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519
from support.github.records import Fault
from support.hub import JOB_TOKEN, PUSH_TOKEN, REGISTRY, Hub, open_hub
from support.world import git

from publisher.github import connection
from publisher.github.api import Api
from publisher.github.objects import TruncatedError
from publisher.importer import poll
from publisher.importer.cache import short_tag
from registry_client.errors import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPOSITORY = "acme/calendar"
PLUGIN = "acme-calendar"
ACME = ed25519("acme-1")
UPLOADED = {"id": 1, "name": "a", "state": "uploaded", "size": 1, "browser_download_url": "x"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """A registry that lists acme/calendar as a repository of publisher acme."""
    with open_hub(tmp_path, monkeypatch, capsys) as opened:
        opened.repository(REPOSITORY, "acme")
        opened.double.add_token(PUSH_TOKEN, "publisher", {REGISTRY: {"contents": "write"}})
        yield opened


def _pem() -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key: Any = ACME
    pem: bytes = key._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def _source(hub: Hub) -> str:
    folder = hub.here / "source"
    folder.mkdir(exist_ok=True)
    (folder / "plugin.py").write_text("print(1)\n")
    source = {
        "id": PLUGIN,
        "name": "Calendar",
        "version": "1.0.0",
        "description": "Shows dates.",
        "artifacts": [{"ecosystem": "python", "pack": "."}],
    }
    (folder / "manifest.json").write_text(json.dumps(source))
    return str(folder)


@contextmanager
def raw_server(head: bytes, drip: bytes = b"", seconds: float = 0.0) -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends a head, then a drip; gives its URL and what it was sent."""
    seen: list[bytes] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    seen.append(peer.recv(65536))
                    try:
                        peer.sendall(head)
                        while drip and not done.wait(seconds):
                            peer.sendall(drip)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


# -- lost work ---------------------------------------------------------------------------------------------------


def test_a_draft_whose_answer_was_lost_is_the_one_that_is_used(hub: Hub) -> None:
    """GitHub makes a draft, its answer is lost, and the retry makes another one: archive and manifest must meet on one release."""
    hub.double.faults.append(Fault("POST", r"/releases$", drop=True, after=True))
    environ = {
        "GITHUB_TOKEN": hub.tokens[REPOSITORY],
        "GITHUB_REPOSITORY": REPOSITORY,
        "PLUGIN_REGISTRY_KEY": _pem(),
    }
    ran = hub.run("publish", _source(hub), "--to", REGISTRY, "--import", "--json", **environ)
    assert ran.code == 0, ran.said
    releases = hub.double.repository(REPOSITORY).releases.values()
    assert len(releases) == 2
    assert [len(each.assets) for each in releases if not each.draft] == [2]


# -- strangers in the way ----------------------------------------------------------------------------------------


def test_a_strangers_endless_tree_stops_no_publisher(hub: Hub) -> None:
    """Whoever may create publish refs can make one whose tree GitHub does not list: it is passed over."""
    first = hub.run("publish", _source(hub), "--to", REGISTRY, PLUGIN_REGISTRY_KEY=_pem())
    assert first.code == 0, first.said
    cut = {"sha": "0" * 40, "tree": [], "truncated": True}
    hub.double.faults.append(Fault("GET", r"/git/trees/[0-9a-f]{40}\?recursive", status=200, body=cut))
    hub.world.tick(hours=1)
    ran = hub.run("publish", _source(hub), "--to", REGISTRY, PLUGIN_REGISTRY_KEY=_pem())
    assert ran.code == 0, ran.said
    assert issubclass(TruncatedError, GitHubError)


@pytest.mark.parametrize("size", [b"1e999", b"NaN", b'"x"', b"null", b"{}"])
def test_an_odd_number_in_a_release_stops_no_import(hub: Hub, size: bytes) -> None:
    """Python's JSON knows infinities; the release is for later, and the next repository is looked at."""
    hub.list_repository("globex", 999)
    asset = json.dumps({**UPLOADED, "size": 0}).encode().replace(b'"size": 0', b'"size": ' + size)
    listed = b'[{"id": 1, "tag_name": "v1", "draft": false, "assets": [%s]}]' % asset
    hub.double.faults.append(
        Fault("GET", r"/releases\?", status=200, body=listed, headers={"Content-Type": "application/json"})
    )
    ran = hub.run_import()
    assert sorted(ran.results()) == [("acme/calendar", "later"), ("repository 999", "vanished")]
    assert ran.code == 0


def test_an_import_ends_in_time_and_remembers_what_it_did(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is ended from outside saves nothing: so the run ends by itself, and the next one begins with the others."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    monkeypatch.setattr(poll, "_SECONDS", 0.0)
    ran = hub.run_import()
    assert (ran.code, ran.results(), ran.json["left"]) == (0, [], 1)
    assert hub.cache.exists()
    monkeypatch.undo()
    assert hub.run_import().results() == [("v1.0.0", "imported")]


@pytest.mark.parametrize(
    ("etag", "kept"),
    [
        ('W/"abc"', True),
        ('"abc"', True),
        ("", True),
        ("abc", False),
        ('"a\r\n b"', False),
        ('"\u2028"', False),
        ('"' + "a" * 300 + '"', False),
    ],
)
def test_entity_tags_that_can_be_sent_back(etag: str, kept: bool) -> None:
    """One that no request can carry would keep a repository from ever being read again."""
    assert short_tag(etag) == (etag if kept else "")


# -- GitHub's answers --------------------------------------------------------------------------------------------


def test_an_answer_that_drips_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the whole never: the request ends, and is not sent again."""
    monkeypatch.setattr(connection, "_LONGEST_ANSWER", 0.5)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n["
    with raw_server(head, b" ", 0.05) as (url, seen), pytest.raises(GitHubError, match="has not ended"):
        Api(PUSH_TOKEN, url).get("/x")
    assert len(seen) == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://uploads.github.com/repos/acme/calendar/releases/1/assets{?name}",
        "https://github.com.evil.example/assets",
        "https://user@evil.example/assets",
        "http://127.0.0.1:1/assets",
        "https://pages.github.com/assets",
        "//evil.example/assets",
    ],
)
def test_uploads_go_to_github_alone(target: str) -> None:
    """A release's upload_url that leads elsewhere, or to http://, gets neither file nor token."""
    with pytest.raises(GitHubError, match="uploads at another host"):
        Api(JOB_TOKEN, "https://api.github.com").upload(target, "a", b"x", "application/octet-stream")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_missing_token_is_named_as_such(hub: Hub, status: int) -> None:
    """A secret that does not exist is an empty text in a workflow; 'not valid any more' would lead astray."""
    hub.double.faults.append(Fault("POST", status=status, body={"message": "no"}, times=9))
    with pytest.raises(GitHubError) as caught:
        Api("", hub.double.api).post("/repos/acme/registry/git/refs", {"ref": "x", "sha": "y"})
    assert "No token was given: set PLUGIN_REGISTRY_TOKEN" in caught.value.hint


# -- secrets -----------------------------------------------------------------------------------------------------


def _echo(hub: Hub, status: int) -> Fault:
    echoed = {"message": f"{PUSH_TOKEN} {hub.tokens[REPOSITORY]}", "errors": [{"message": _pem()}]}
    return Fault("", status=status, body=echoed, times=99)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 301])
@pytest.mark.parametrize("way", [(), ("--import",), ("--pull-request",), ("--json",)])
def test_no_secret_leaves_a_run_that_fails(
    hub: Hub, caplog: pytest.LogCaptureFixture, status: int, way: tuple[str, ...]
) -> None:
    """Not by what is printed, the summary, an output, a log at its most talkative, nor a file, whatever the server sends back."""
    caplog.set_level(logging.DEBUG)
    hub.double.faults.append(_echo(hub, status))
    summary, outputs = hub.here / "summary.md", hub.here / "outputs"
    ran = hub.run(
        *("--verbose", "publish", _source(hub), "--to", REGISTRY, *way),
        GITHUB_ACTIONS="true",
        GITHUB_TOKEN=hub.tokens[REPOSITORY],
        GITHUB_REPOSITORY=REPOSITORY,
        GITHUB_STEP_SUMMARY=str(summary),
        GITHUB_OUTPUT=str(outputs),
        PLUGIN_REGISTRY_KEY=_pem(),
    )
    assert ran.code != 0
    assert "Traceback" not in ran.said
    written = [path.read_text() for path in (summary, outputs) if path.exists()]
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("werkzeug")]
    for text in (ran.said, *written):
        for secret in (PUSH_TOKEN, hub.tokens[REPOSITORY], _pem().splitlines()[1]):
            assert secret not in text
    headers = "\n".join(
        line.split(" ==> ")[0] for line in logged
    )  # what we send; the rest the server made up
    for secret in (PUSH_TOKEN, hub.tokens[REPOSITORY], _pem().splitlines()[1]):
        assert secret not in headers


@pytest.mark.parametrize("to", [REGISTRY, "remote"])
def test_no_secret_is_an_argument_of_a_process_or_left_in_a_file(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """Whatever Git is started with, and whatever stays on disk and in the repository afterwards."""
    started: list[str] = []
    for name in ("run", "Popen"):
        real = getattr(subprocess, name)

        def spy(arguments: list[str], *more: Any, real: Any = real, **options: Any) -> Any:
            started.append(" ".join(map(str, arguments)))
            return real(arguments, *more, **options)

        monkeypatch.setattr(subprocess, name, spy)
    temporary = hub.here / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    target = hub.remote if to == "remote" else to
    ran = hub.run("publish", _source(hub), "--to", target, PLUGIN_REGISTRY_KEY=_pem())
    assert ran.code == 0, ran.said
    assert not list(temporary.iterdir())
    everything = "\n".join(started) + git(hub.bare, "log", "--all", "--format=fuller", "--patch")
    everything += "".join(
        path.read_text("utf-8", "replace") for path in hub.here.rglob("config") if path.is_file()
    )
    for secret in (PUSH_TOKEN, JOB_TOKEN, _pem().splitlines()[1]):
        assert secret not in everything
