"""`publisher registry audit --artifacts --links`: what other hosts serve, held against what was signed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import rows
from support.documents import ed25519, manifest, sign
from support.github.records import Fault as GitHubFault
from support.github.server import github_double
from support.httpd import Fault, FaultServer
from support.maintainers import Kept, make_registry
from support.mini_registry import MiniRegistry, serve

from publisher.cli.main import main
from publisher.github.api import Api
from publisher.github.notices import post
from publisher.registrar.quarantine import parse_marks
from publisher.registrar.state import Row
from publisher.set_status import Change
from publisher.tree import DirTree
from publisher.watch.artifacts import (
    Checked,
    artifact_findings,
    check_artifacts,
    marks_of,
    unreachable_findings,
)
from publisher.watch.elsewhere import Elsewhere, Wanted, look_elsewhere
from publisher.watch.findings import Finding, Level, Report
from publisher.watch.probe import Answer, Verdict, settle
from publisher.watch.reports import audit_notice, audit_summary
from registry_client.digest import Digest
from registry_client.errors import YankedError
from registry_client.http import Deadline, Transport
from registry_client.jsontext import dump_json
from registry_client.models.release import ReleaseStatus
from registry_client.signed import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.github.state import Double

    from registry_client.models.manifest import Manifest

DATA = b"a plugin's archive" * 50
OTHER = b"another's archive!" * 50
AT_ONCE = (0.0, 0.0)
ISSUES = "acme/registry"
JOB_TOKEN = "job-token-0123456789"
PUSH_TOKEN = "push-token-0123456789"


@pytest.fixture
def host() -> Iterator[FaultServer]:
    """A host that serves `DATA` everywhere."""
    with FaultServer(lambda _: DATA) as server:
        yield server


def artifact(url: str, data: bytes = DATA) -> dict[str, Any]:
    """An artifact, as a manifest describes it."""
    return {"ecosystem": "custom", "url": url, "digest": Digest.of(data), "size": len(data)}


def version(
    *artifacts: dict[str, Any], number: str = "1.0.0", quarantined: dict[str, Any] | None = None
) -> tuple[Row, Manifest]:
    """A version of the calendar: its row and its manifest."""
    document = sign(manifest(version=number, artifacts=list(artifacts) or None), ed25519("acme"))
    held = {"quarantined": quarantined} if quarantined else {}
    row = Row(rows.row("acme-calendar", number, **held))
    return row, parse_manifest(dump_json(document), "manifest.json").model


def held(cause: str = "artifact") -> dict[str, Any]:
    """What a row says of a quarantine."""
    return {"cause": cause, "reason": "it changed", "since": rows.TIME}


def check(*versions: tuple[Row, Manifest], patience: float = 5) -> list[Checked]:
    """Look at artifacts, without pauses; patience is in seconds for each wait on the network."""
    return check_artifacts(versions, Transport(socket_timeout=patience), AT_ONCE)


def check_one(url: str, patience: float = 5) -> Answer:
    """What becomes of one artifact."""
    (checked,) = check(version(artifact(url)), patience=patience)
    return checked.answer


class TestOneArtifact:
    """What is to be believed of a host's answers."""

    @pytest.mark.parametrize(
        ("fault", "verdict", "words"),
        [
            (Fault(), Verdict.SOUND, ""),
            (Fault(no_length=True), Verdict.SOUND, ""),
            (Fault(body=OTHER), Verdict.CHANGED, "digest"),
            (Fault(pad=1), Verdict.CHANGED, "longer than the 900 bytes"),
            (Fault(body=DATA[:-1]), Verdict.CHANGED, "899 bytes, but the signed size is 900"),
            (Fault(body=b"<html>gone</html>"), Verdict.CHANGED, "17 bytes"),
            (Fault(status=404), Verdict.VANISHED, "HTTP 404"),
            (Fault(status=410), Verdict.VANISHED, "HTTP 410"),
            (Fault(status=403), Verdict.UNREACHABLE, "HTTP 403"),
            (Fault(status=429), Verdict.UNREACHABLE, "HTTP 429"),
            (Fault(status=500), Verdict.UNREACHABLE, "HTTP 500"),
            (Fault(status=503), Verdict.UNREACHABLE, "HTTP 503"),
            (Fault(hang=5), Verdict.UNREACHABLE, "no answer in time"),
            (Fault(reset=True), Verdict.UNREACHABLE, ""),
            (Fault(truncate=100), Verdict.UNREACHABLE, "fewer bytes than announced"),
            (Fault(redirect="file:///etc/passwd"), Verdict.UNREACHABLE, "refused"),
            (Fault(redirect="/file.zip"), Verdict.UNREACHABLE, "more than 5 redirects"),
            (Fault(status=404, times=1), Verdict.SOUND, ""),
            (Fault(body=OTHER, times=1), Verdict.SOUND, ""),
            (Fault(status=500, times=2), Verdict.SOUND, ""),
            (Fault(status=404, times=2), Verdict.VANISHED, ""),
        ],
    )
    def test_verdicts(self, host: FaultServer, fault: Fault, verdict: Verdict, words: str) -> None:
        """Changed and vanished only where the host says so twice; what may be its bad day is unreachable."""
        host.fail("file.zip", fault)
        answer = check_one(f"{host.url}/file.zip", 0.5 if fault.hang else 5)
        assert answer.verdict is verdict
        assert words in answer.detail

    def test_redirects_are_followed(self, host: FaultServer) -> None:
        """To the file, or to where it is gone."""
        host.fail("file.zip", Fault(redirect=f"{host.url}/there.zip"))
        assert check_one(f"{host.url}/file.zip").verdict is Verdict.SOUND
        host.fail("there.zip", Fault(status=404))
        assert check_one(f"{host.url}/file.zip").verdict is Verdict.VANISHED

    def test_nobody_listens(self) -> None:
        """A refused connection says nothing about the file; neither does a name that nobody knows."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        assert check_one(f"http://127.0.0.1:{port}/x").verdict is Verdict.UNREACHABLE
        answer = check_one("http://no-such-host.invalid/x")
        assert answer == Answer(Verdict.UNREACHABLE, "the host name could not be resolved")

    def test_another_file_each_time(self, host: FaultServer) -> None:
        """Never the signed bytes: changed, though no answer comes twice."""
        bodies = random.Random(1)
        host.source = lambda _: bodies.randbytes(len(DATA))
        answer = check_one(f"{host.url}/file.zip")
        assert answer.verdict is Verdict.CHANGED
        assert "another file each time" in answer.detail
        assert host.requests == 3

    def test_answers_that_differ(self, host: FaultServer) -> None:
        """A host that says something else each time is believed nothing."""
        bodies = random.Random(1)
        host.source = lambda _: bodies.randbytes(len(DATA))
        host.fail("file.zip", Fault(status=404, times=1))
        answer = check_one(f"{host.url}/file.zip")
        assert answer.verdict is Verdict.UNREACHABLE
        assert "answers differ" in answer.detail

    def test_an_endless_body_is_cut(self, host: FaultServer) -> None:
        """Nothing is read beyond the signed size but what the network has under way already."""
        host.fail("file.zip", Fault(pad=40_000_000))
        assert check_one(f"{host.url}/file.zip").verdict is Verdict.CHANGED
        assert host.requests == 2
        assert host.bytes_sent < 30_000_000

    def test_a_url_in_a_message(self, host: FaultServer) -> None:
        """Queries may hold secrets of their own: they are not shown."""
        host.fail("file.zip", Fault(status=404))
        checked = check(version(artifact(f"{host.url}/file.zip?signature=abc")))
        (finding,) = artifact_findings(checked)
        assert finding.path == f"{host.url}/file.zip"
        assert "abc" not in f"{finding} {marks_of(checked)}"


class TestPace:
    """How often, and how soon, a host is asked."""

    @pytest.mark.parametrize(
        ("asked", "waited"), [(0.0, [2.0, 10.0]), (5.0, [5.0, 10.0]), (3600.0, [60.0, 60.0])]
    )
    def test_retry_after_within_bounds(self, asked: float, waited: list[float]) -> None:
        """A host is left alone for as long as it asks, but not for an hour."""
        pauses: list[float] = []
        answer = Answer(Verdict.UNREACHABLE, "HTTP 503", asked)
        assert settle(lambda: answer, Deadline(1000), sleep=pauses.append) == answer
        assert pauses == waited

    def test_retry_after_of_a_host(self, host: FaultServer) -> None:
        """The header counts, over real HTTP."""
        host.fail("file.zip", Fault(status=503, headers={"Retry-After": "1"}, times=1))
        began = time.monotonic()
        assert check_one(f"{host.url}/file.zip").verdict is Verdict.SOUND
        assert time.monotonic() - began >= 1

    def test_no_time_is_left(self) -> None:
        """Without time nothing is asked, and nobody waits; one bad answer is not enough to believe it."""
        pauses: list[float] = []
        asked = settle(lambda: pytest.fail("asked"), Deadline(0), sleep=pauses.append)
        assert (asked.verdict, asked.detail) == (Verdict.UNREACHABLE, "no time was left to ask for it")
        gone = settle(lambda: Answer(Verdict.VANISHED, "HTTP 404"), Deadline(1), sleep=pauses.append)
        assert gone.verdict is Verdict.UNREACHABLE
        assert "the one answer: HTTP 404" in gone.detail
        assert pauses == []

    def test_each_file_once(self, host: FaultServer) -> None:
        """Versions that name the same file share the one answer; another digest at the same URL is another file."""
        one, two = artifact(f"{host.url}/a.zip"), artifact(f"{host.url}/b.zip")
        other = artifact(f"{host.url}/a.zip", OTHER)
        checked = check(version(one, two), version(one, number="1.1.0"), version(one, other, number="1.2.0"))
        # `a.zip` is sound for one digest, and asked for twice for the other, until that is believed.
        assert sorted(host.paths) == ["a.zip", "a.zip", "a.zip", "b.zip"]
        assert [(c.answer.verdict, len(c.rows)) for c in checked if c.digest == Digest.of(DATA)] == [
            (Verdict.SOUND, 3),
            (Verdict.SOUND, 1),
        ]
        assert [mark.version for mark in marks_of(checked)] == ["1.2.0"]

    def test_no_credentials(self, host: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Publishers choose these hosts: neither ~/.netrc nor a token of the environment goes there."""
        home = Path(os.environ["HOME"])
        (home / ".netrc").write_text("default login me password netrc-secret\n")
        (home / ".netrc").chmod(0o600)
        for name, value in (("GITHUB_TOKEN", JOB_TOKEN), ("PLUGIN_REGISTRY_TOKEN", PUSH_TOKEN)):
            monkeypatch.setenv(name, value)
        host.fail("file.zip", Fault(redirect="/there.zip", headers={"Set-Cookie": "id=1"}))
        assert check_one(f"{host.url}/file.zip").verdict is Verdict.SOUND
        assert len(host.seen) == 2
        for seen in host.seen:
            assert not seen.headers.keys() & {"authorization", "proxy-authorization", "cookie"}
            assert not any("secret" in value or "token" in value for value in seen.headers.values())

    def test_artifacts_in_the_registry_are_not_fetched(self, host: FaultServer) -> None:
        """The audit itself reads those."""
        path = f"artifacts/sha256/{Digest.of(DATA).hex}/calendar.zip"
        assert check(version(artifact(path))) == []
        assert check(version()) == []
        assert host.requests == 0


class TestWhatIsSaid:
    """Findings and marks."""

    def test_changed_and_vanished(self, host: FaultServer) -> None:
        """Errors that name the file, what is wrong, the versions and the way out; each version is marked once, with all reasons."""
        host.fail("a.zip", Fault(body=OTHER))
        host.fail("b.zip", Fault(status=404))
        a, b = artifact(f"{host.url}/a.zip"), artifact(f"{host.url}/b.zip")
        checked = check(version(a, b), version(a, number="1.1.0"))
        first, second = artifact_findings(checked)
        assert (first.level, first.path) == (Level.ERROR, f"{host.url}/a.zip")
        assert first.message.startswith("changed: digest sha256:")
        assert "acme-calendar 1.0.0, acme-calendar 1.1.0" in first.message
        assert "--quarantine" in first.hint
        assert second.message == "vanished: HTTP 404; it belongs to acme-calendar 1.0.0"
        marks = {mark.version: mark for mark in marks_of(checked)}
        assert set(marks) == {"1.0.0", "1.1.0"}
        assert "a.zip changed" in marks["1.0.0"].reason
        assert "b.zip vanished: HTTP 404" in marks["1.0.0"].reason
        assert marks["1.0.0"].payload_digest == rows.payload_digest("acme-calendar", "1.0.0")

    @pytest.mark.parametrize(
        "fault", [Fault(status=500), Fault(hang=5), Fault(reset=True), Fault(status=403)]
    )
    def test_unreachable_is_only_a_warning(self, host: FaultServer, fault: Fault) -> None:
        """It brings no mark, and is not among what people are told of in an issue."""
        host.fail("a.zip", fault)
        checked = check(version(artifact(f"{host.url}/a.zip")), patience=0.5 if fault.hang else 5)
        assert artifact_findings(checked) == []
        assert marks_of(checked) == []
        (finding,) = unreachable_findings(checked)
        assert finding.level is Level.WARNING
        assert "could not be looked at" in finding.message

    def test_what_is_quarantined_already(self, host: FaultServer) -> None:
        """Is not marked again, and no error: hosts are kept from it. An artifact of others too is one for them."""
        host.fail("a.zip", Fault(status=404))
        a = artifact(f"{host.url}/a.zip")
        checked = check(version(a, quarantined=held()))
        (finding,) = artifact_findings(checked)
        assert finding.level is Level.WARNING
        assert "which is quarantined" in finding.message
        assert marks_of(checked) == []
        checked = check(version(a, quarantined=held()), version(a, number="1.1.0"))
        assert [finding.level for finding in artifact_findings(checked)] == [Level.ERROR]
        assert [mark.version for mark in marks_of(checked)] == ["1.1.0"]

    def test_could_be_lifted(self, host: FaultServer) -> None:
        """Only when every artifact is as signed again: one that cannot be reached is no such proof."""
        a, b = artifact(f"{host.url}/a.zip"), artifact(f"{host.url}/b.zip")
        host.fail("b.zip", Fault(status=500))
        assert artifact_findings(check(version(a, b, quarantined=held()))) == []
        host.heal()
        (finding,) = artifact_findings(check(version(a, b, quarantined=held())))
        assert finding.level is Level.WARNING
        assert "as signed again" in finding.message
        assert finding.hint == "publisher registry register --lift acme-calendar@1.0.0"

    def test_a_reason_has_an_end(self, host: FaultServer) -> None:
        """However many files a version names, and however long their URLs are."""
        host.fail("*", Fault(status=404))
        many = [artifact(f"{host.url}/{number}/{'x' * 800}.zip") for number in range(5)]
        (mark,) = marks_of(check(version(*many)))
        assert len(mark.reason) == 1000
        assert parse_marks(dump_json([mark.model_dump(by_alias=True)]), "F") == (mark,)


@dataclass
class Place:
    """A registry whose plugins refer to a host, and runs of the command on it."""

    kept: Kept
    host: FaultServer
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    files: dict[str, bytes] = field(default_factory=dict)

    def serve(self, path: str, data: bytes = DATA) -> dict[str, Any]:
        """A file on the host, as an artifact."""
        self.files[path] = data
        return artifact(f"{self.host.url}/{path}", data)

    def publish(self, number: str, *artifacts: dict[str, Any], **members: Any) -> None:
        """A version of the calendar; its remote entry is on the host, unless said otherwise."""
        if artifacts:
            members["artifacts"] = list(artifacts)
        self.files.setdefault("ui.js", b"ui")
        members.setdefault("ui", {"remoteEntry": f"{self.host.url}/ui.js", "expose": "./App"})
        self.kept.write_manifest("calendar", number, "acme", **members)
        self.kept.register()

    def look(self, *, artifacts: bool = False, links: bool = False, base_url: str = "") -> Elsewhere:
        """Look at what is elsewhere, without pauses."""
        wanted = Wanted(artifacts, links, base_url)
        tree = DirTree(self.kept.folder)
        return look_elsewhere(tree, self.kept.pinned, Transport(socket_timeout=1), wanted, pauses=AT_ONCE)

    def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run `publisher registry`; gives exit code, stdout and stderr."""
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", str(int(self.kept.now.timestamp())))
            for name, value in environ.items():
                patch.setenv(name, value)
            code = main(["registry", *arguments])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    def audit(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run the audit on the folder."""
        return self.run("audit", str(self.kept.folder), *arguments, **environ)


@pytest.fixture
def place(
    tmp_path: Path,
    host: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    """An empty registry, and a host that has what a test puts there."""
    made = Place(make_registry(tmp_path), host, monkeypatch, capsys)
    host.source = made.files.get
    return made


def hosts_resolve(kept: Kept, home: Path) -> str:
    """The version that a fresh host gets."""
    with serve(kept.folder) as url:
        return str(kept.client(url, home).resolve("calendar").manifest.model.version)


class TestWhichVersions:
    """Those that hosts can be given."""

    def test_yanked_and_blocked_ones_are_left_alone(self, place: Place) -> None:
        """And so are drafts; deprecated ones are looked at, since hosts may have them."""
        for number, name in (("1.0.0", "old"), ("1.1.0", "yanked"), ("1.2.0", "blocked"), ("1.4.0", "new")):
            place.publish(number, place.serve(f"{name}.zip"))
        place.publish("1.3.0", place.serve("draft.zip"), initialStatus="draft")
        place.kept.write_release("calendar", "1.1.0", "acme", Change(ReleaseStatus.YANKED, reason="broken"))
        place.kept.write_release("calendar", "1.0.0", "acme", Change(ReleaseStatus.DEPRECATED, reason="old"))
        place.kept.block("calendar", "==1.2.0")
        place.kept.register()
        found = place.look(artifacts=True)
        assert (found.watched, found.other, found.marks) == ((), (), ())
        assert sorted(place.host.paths) == ["new.zip", "old.zip"]

    def test_nothing_is_followed_that_is_not_signed(self, place: Place) -> None:
        """A manifest that was edited in the registry leads nowhere."""
        place.publish("1.0.0", place.serve("a.zip"), homepage=f"{place.host.url}/home")
        path = place.kept.folder / "plugins/calendar/1.0.0/manifest.json"
        path.write_bytes(path.read_bytes().replace(b"/a.zip", b"/b.zip"))
        assert place.look(artifacts=True, links=True).looked
        assert place.host.requests == 0

    def test_without_a_verified_index_nothing_is_looked_at(self, place: Place) -> None:
        """And it says so, rather than that nothing was found."""
        place.publish("1.0.0", place.serve("a.zip"))
        for path in (place.kept.folder / "metadata").glob("*.registrar.json"):
            path.unlink()
        assert place.look(artifacts=True) == Elsewhere(looked=False)
        assert place.host.requests == 0


class TestQuarantine:
    """From the audit through the registrar to hosts, and back."""

    def test_end_to_end(self, place: Place, tmp_path: Path) -> None:
        """A changed file: exit code 11 and a list; the registrar marks it; hosts refuse it; restored, it can be lifted."""
        kept, marks = place.kept, tmp_path / "out" / "bad.json"
        place.publish("1.0.0", place.serve("one.zip"))
        place.publish("1.1.0", place.serve("two.zip"))
        assert hosts_resolve(kept, tmp_path / "before") == "1.1.0"
        place.files["two.zip"] = OTHER

        code, out, _ = place.audit("--artifacts", "--quarantine-file", str(marks))
        assert code == 11
        assert f"error: {place.host.url}/two.zip: changed: digest sha256:" in out
        assert "not sound" in out
        (mark,) = parse_marks(marks.read_bytes(), "bad.json")
        assert (mark.id, mark.version, mark.cause) == ("calendar", "1.1.0", "artifact")

        online = str(kept.keys["online"])
        code, out, err = place.run("register", str(kept.folder), "--key", online, "--quarantine", str(marks))
        assert code == 0, err
        assert "calendar 1.1.0: quarantined (artifact)" in out
        assert hosts_resolve(kept, tmp_path / "during") == "1.0.0"
        with serve(kept.folder) as url, pytest.raises(YankedError):
            kept.client(url, tmp_path / "exact").resolve("calendar", "==1.1.0")

        code, out, _ = place.audit("--artifacts", "--quarantine-file", str(marks))
        assert code == 0
        assert "which is quarantined" in out
        assert marks.read_bytes().strip() == b"[]"

        place.files["two.zip"] = DATA
        code, out, _ = place.audit("--artifacts")
        assert code == 0
        assert "publisher registry register --lift calendar@1.1.0" in out
        code, _, err = place.run("register", str(kept.folder), "--key", online, "--lift", "calendar@1.1.0")
        assert code == 0, err
        assert hosts_resolve(kept, tmp_path / "after") == "1.1.0"

    def test_all_is_sound(self, place: Place, tmp_path: Path) -> None:
        """The list is empty, and there: the next step can rely on it."""
        place.publish("1.0.0", place.serve("one.zip"))
        marks = tmp_path / "bad.json"
        code, out, _ = place.audit("--artifacts", "--quarantine-file", str(marks))
        assert (code, marks.read_bytes().strip()) == (0, b"[]")
        assert "sound; 1 plugin, 1 version, 0 findings" in out
        assert parse_marks(marks.read_bytes(), "bad.json") == ()

    def test_a_host_that_is_down(self, place: Place) -> None:
        """Is told of, and nothing else: no mark, nothing for an issue, and the registry is sound."""
        place.publish("1.0.0", place.serve("one.zip"))
        place.host.fail("one.zip", Fault(status=500))
        found = place.look(artifacts=True)
        assert (found.watched, found.marks, found.looked) == ((), (), True)
        (finding,) = found.other
        assert "could not be looked at: HTTP 500" in finding.message
        report = Report(()).joined(found.other)
        assert report.sound
        assert not audit_notice(report, found.watched, ISSUES).wrong

    def test_in_json(self, place: Place) -> None:
        """The document holds what the list would."""
        place.publish("1.0.0", place.serve("one.zip"))
        del place.files["one.zip"]
        code, out, _ = place.audit("--artifacts", "--json")
        document = json.loads(out)
        assert (code, document["sound"]) == (11, False)
        (mark,) = document["quarantine"]
        assert (mark["id"], mark["version"], mark["cause"]) == ("calendar", "1.0.0", "artifact")
        assert "vanished: HTTP 404" in mark["reason"]

    def test_no_list_if_the_index_does_not_verify(self, place: Place, tmp_path: Path) -> None:
        """An empty one would say that nothing is wrong."""
        place.publish("1.0.0", place.serve("one.zip"))
        for path in (place.kept.folder / "metadata").glob("*.targets.json"):
            path.write_bytes(path.read_bytes().replace(b'"version"', b'"Version"'))
        marks = tmp_path / "bad.json"
        code, out, err = place.audit("--artifacts", "--quarantine-file", str(marks))
        assert code == 11
        assert "not sound" in out
        assert f"{marks} was not written" in err
        assert not marks.exists()
        assert place.host.requests == 0

    def test_no_list_if_the_audit_cannot_run(self, place: Place, tmp_path: Path) -> None:
        """A registry that is not there, or a wrong root."""
        marks = tmp_path / "bad.json"
        options = ("--artifacts", "--quarantine-file", str(marks))
        for arguments in (
            ("audit", str(tmp_path / "nowhere"), *options),
            ("audit", str(place.kept.folder), "--root-digest", Digest.of(b"x"), *options),
            ("audit", "http://127.0.0.1:9", "--root-digest", Digest.of(b"x"), *options),
        ):
            code, out, err = place.run(*arguments)
            assert code in {3, 5}
            assert out == ""
            assert err.startswith("error: ")
            assert not marks.exists()

    def test_options_that_make_no_sense(self, place: Place, tmp_path: Path) -> None:
        """Are refused before anything is looked at."""
        code, _, err = place.audit("--quarantine-file", str(tmp_path / "x"))
        assert (code, "needs --artifacts" in err) == (3, True)
        (tmp_path / "file").write_text("")
        code, _, err = place.audit("--artifacts", "--quarantine-file", str(tmp_path / "file" / "x"))
        assert (code, "cannot be written" in err) == (3, True)


def integrity(data: bytes, algorithm: str = "sha384") -> str:
    """Subresource Integrity."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


class TestLinks:
    """What the newest release of each plugin links to."""

    def test_all_are_there(self, place: Place) -> None:
        """Nothing to say; every kind is asked for, and of pages no more is read than it takes."""
        names = ("home", "source", "docs", "changes", "icon.png", "shot.png", "entry.js")
        place.files |= dict.fromkeys(names, b"x" * 3_000_000)
        url = place.host.url
        place.publish(
            "1.0.0",
            homepage=f"{url}/home",
            repository=f"{url}/source",
            documentation=f"{url}/docs",
            changelog=f"{url}/changes",
            icon=f"{url}/icon.png",
            screenshots=[f"{url}/shot.png"],
            ui={
                "remoteEntry": f"{url}/entry.js",
                "expose": "./App",
                "integrity": integrity(b"x" * 3_000_000),
            },
        )
        assert place.look(links=True) == Elsewhere()
        assert sorted(place.host.paths) == sorted(names)

    def test_dead_ones(self, place: Place) -> None:
        """Warnings, once for each URL, which name whose they are."""
        url = place.host.url
        place.publish(
            "1.0.0",
            homepage=f"{url}/gone",
            documentation=f"{url}/gone",
            repository="http://no-such-host.invalid/",
            changelog="See https://there.invalid/ for what changed.",
            ui={"remoteEntry": f"{url}/entry.js", "expose": "./App"},
        )
        found = place.look(links=True)
        texts = {f.path: (f.level, f.message) for f in found.watched}
        assert texts == {
            f"{url}/gone": (
                Level.WARNING,
                "is gone (HTTP 404): homepage of calendar 1.0.0, documentation of calendar 1.0.0",
            ),
            "http://no-such-host.invalid/": (
                Level.WARNING,
                "is gone (the host name could not be resolved): repository of calendar 1.0.0",
            ),
            f"{url}/entry.js": (Level.WARNING, "is gone (HTTP 404): remote entry of calendar 1.0.0"),
        }
        assert (found.other, found.marks) == ((), ())

    def test_hosts_that_turn_programs_away(self, place: Place) -> None:
        """Are no finding for a page; a remote entry is named, since it could not be held against its integrity."""
        url = place.host.url
        place.host.fail("*", Fault(status=403))
        entry = {"remoteEntry": f"{url}/entry.js", "expose": "./App", "integrity": integrity(DATA)}
        place.publish("1.0.0", homepage=f"{url}/home", ui=entry)
        found = place.look(links=True)
        assert found.watched == ()
        (finding,) = found.other
        assert (finding.level, finding.path) == (Level.WARNING, f"{url}/entry.js")
        assert "could not be looked at: HTTP 403" in finding.message

    @pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
    def test_integrity(self, place: Place, algorithm: str) -> None:
        """What browsers refuse is an error; what they take is none, with or without padding."""
        url = f"{place.host.url}/entry.js"
        place.files["entry.js"] = DATA
        said = integrity(DATA, algorithm).rstrip("=") if algorithm == "sha256" else integrity(DATA, algorithm)
        place.publish("1.0.0", ui={"remoteEntry": url, "expose": "./App", "integrity": said})
        assert place.look(links=True) == Elsewhere()
        place.files["entry.js"] = OTHER
        (finding,) = place.look(links=True).watched
        assert (finding.level, finding.path) == (Level.ERROR, url)
        assert f"{integrity(OTHER, algorithm)} is served, but ui.integrity is {said}" in finding.message

    def test_relative_files(self, place: Place) -> None:
        """Are looked for in the registry, or below its URL where the tree does not hold all files."""
        place.publish("1.0.0", icon="icons/calendar.png", screenshots=["icons/shot.png"])
        icons = place.kept.folder / "icons"
        icons.mkdir()
        (icons / "shot.png").write_bytes(b"png")
        (finding,) = place.look(links=True).watched
        assert (finding.level, finding.path) == (Level.WARNING, "icons/calendar.png")
        assert finding.message == "is missing: icon of calendar 1.0.0"
        place.files["r/icons/calendar.png"] = b"png"
        place.host.reset_counters()
        (finding,) = place.look(links=True, base_url=f"{place.host.url}/r").watched
        assert finding.path == f"{place.host.url}/r/icons/shot.png"
        assert set(place.host.paths) == {"r/icons/calendar.png", "r/icons/shot.png", "ui.js"}

    def test_only_the_newest_public_release(self, place: Place) -> None:
        """Not what went before, nor what is not for everyone yet."""
        for number in ("1.0.0", "1.1.0", "1.2.0", "2.0.0-beta.1"):
            place.publish(number, homepage=f"{place.host.url}/{number}")
        place.kept.write_release("calendar", "1.2.0", "acme", Change(ReleaseStatus.TESTING))
        place.kept.register()
        (finding,) = place.look(links=True).watched
        assert finding.path == f"{place.host.url}/1.1.0"
        assert set(place.host.paths) == {"1.1.0", "ui.js"}


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    """GitHub with the registry's repository, whose job may write issues."""
    with github_double(tmp_path / "hub") as served:
        served.seed(ISSUES, {"README.md": "a registry"})
        served.add_token(JOB_TOKEN, "registry-bot", {ISSUES: {"issues": "write"}}, app=True)
        served.add_token("read-only", "registry-bot", {ISSUES: {"issues": "read"}}, app=True)
        yield served


def job(double: Double, token: str = JOB_TOKEN) -> dict[str, str]:
    """The environment of the scheduled job."""
    return {"GITHUB_API_URL": double.api, "GITHUB_TOKEN": token}


class TestIssue:
    """`audit --issue`."""

    def test_from_opened_to_closed(self, place: Place, double: Double) -> None:
        """Opened with what changed; told once; closed when it is as signed again."""
        place.publish("1.0.0", place.serve("one.zip"))
        place.files["one.zip"] = OTHER
        options = ("--artifacts", "--issue", ISSUES)
        code, _, err = place.audit(*options, **job(double))
        assert (code, "issue #1: opened" in err) == (11, True)
        issue = double.repository(ISSUES).issues[1]
        assert f"`{place.host.url}/one.zip`" in str(issue.body)
        assert "calendar 1.0.0" in str(issue.body)
        code, _, err = place.audit(*options, **job(double))
        assert (code, "issue #1: unchanged" in err) == (11, True)
        place.files["one.zip"] = DATA
        code, _, err = place.audit(*options, **job(double))
        assert (code, "issue #1: closed" in err) == (0, True)
        assert issue.state == "closed"

    @pytest.mark.parametrize("sound", [True, False])
    @pytest.mark.parametrize("in_json", [True, False])
    def test_the_issue_cannot_be_kept(
        self, place: Place, double: Double, *, sound: bool, in_json: bool
    ) -> None:
        """The verdict is printed all the same, then the failure; a bad verdict keeps its exit code."""
        place.publish("1.0.0")
        if not sound:
            (place.kept.folder / "registry.json").write_bytes(b"{}")
        said = {"message": "Issues has been disabled in this repository."}
        double.faults.append(GitHubFault("GET", "/issues", 410, body=said))
        arguments = ("--issue", ISSUES, *(("--json",) if in_json else ()))
        code, out, err = place.audit(*arguments, **job(double))
        assert code == (9 if sound else 11)
        if in_json:
            document = json.loads(out)
            assert document["sound"] is sound
            assert "issues are switched off" in document["issueError"]["message"]
        else:
            assert f"{'sound' if sound else 'not sound'}; 1 plugin" in out
            assert "error: acme/registry: issues are switched off" in err
            assert "hint: Switch issues on" in err

    def test_without_the_permission(self, place: Place, double: Double) -> None:
        """The failure names what is missing, after the verdict; in a job it is an annotation too."""
        place.publish("1.0.0")
        (place.kept.folder / "registry.json").write_bytes(b"{}")
        environ = job(double, "read-only") | {"GITHUB_ACTIONS": "true"}
        code, out, err = place.audit("--issue", ISSUES, **environ)
        assert code == 11
        assert "not sound" in out
        assert "Resource not accessible by integration (403)" in err
        assert "::error title=GitHub::" in err
        assert "docs/operations.md" in err
        assert double.repository(ISSUES).issues == {}

    @pytest.mark.parametrize(
        ("issue", "token", "words"),
        [("acme", JOB_TOKEN, "is not OWNER/REPO"), (ISSUES, "", "--issue needs a token")],
    )
    def test_options_are_looked_at_first(
        self, place: Place, double: Double, issue: str, token: str, words: str
    ) -> None:
        """Not after hours of fetching."""
        place.publish("1.0.0", place.serve("one.zip"))
        code, out, err = place.audit("--artifacts", "--issue", issue, **job(double, token))
        assert (code, out) == (3, "")
        assert words in err
        assert place.host.requests == 0


HOSTILE = (
    "@admin <img src=x> [a](http://evil.invalid) | `x` #1 ![b](c) \x1b[31m\n::error::x\n<!-- levels: a=9 -->"
)


class TestReports:
    """Strangers' text in Markdown, and how long it may get."""

    def findings(self, count: int = 1) -> tuple[Finding, ...]:
        """Findings whose every part a stranger wrote."""
        return tuple(
            Finding(Level.ERROR, f"https://{number}.example/{HOSTILE}", f"{HOSTILE}{'y' * 600}", HOSTILE)
            for number in range(count)
        )

    def test_strangers_text_is_escaped(self) -> None:
        """It shows as written: no mention, link, picture, element, comment or further cell."""
        found = self.findings()
        for text in (
            audit_summary(Report(found), "acme/@registry"),
            audit_notice(Report(found), found, "acme/@registry").full_body,
        ):
            row = next(line for line in text.splitlines() if line.startswith("| error"))
            cells = row.replace("\\|", "").strip("| ").split(" | ")
            assert len(cells) == 4
            live = re.sub(r"\\.", "", text)  # what is not behind a backslash
            for word in ("@admin", "@registry", "<img", "](", "`x`", "#1 ", "![", "\x1b", "<!-- levels: a=9"):
                assert word not in live, word
            assert not any(line.startswith("::") for line in text.splitlines())

    @pytest.mark.parametrize("count", [1, 99, 100, 101, 900])
    def test_hundreds_of_findings(self, double: Double, count: int) -> None:
        """GitHub takes the body, whatever is in it; what is left out is counted or named."""
        found = self.findings(count)
        notice = audit_notice(Report(found), (), "acme/registry")
        assert len(notice.full_body) <= 65_536
        assert post(Api(JOB_TOKEN, double.api), ISSUES, notice, double.now()).what == "opened"
        assert post(Api(JOB_TOKEN, double.api), ISSUES, notice, double.now()).what == "unchanged"
        if count > 100:
            assert f"…and {count - 100} more" in audit_summary(Report(found), "x")
            assert "cut: the run's summary says more" in notice.full_body

    def test_titles(self) -> None:
        """Say whether it is an error; a version that could be lifted is not "wrong"."""
        warning, error = Finding(Level.WARNING, "x", "is gone"), Finding(Level.ERROR, "x", "changed")
        silent = Finding(Level.WARNING, "y", "could not be looked at")
        notice = audit_notice(Report((warning, silent)), (warning,), "r")
        assert (notice.title, notice.wrong) == ("The audit found something to look at", True)
        assert "could not be looked at" not in notice.body
        worse = audit_notice(Report((error,)), (), "r")
        assert worse.title == "The audit found something wrong"
        ((name, level),) = notice.levels.items()
        assert worse.levels == {name: level + 1}
        assert audit_notice(Report((silent,)), (), "r").wrong is False

    def test_the_summary(self, place: Place, tmp_path: Path) -> None:
        """Goes to the file that was asked for, or that the runner names."""
        place.publish("1.0.0")
        (place.kept.folder / "registry.json").write_bytes(b"{}")
        for name, arguments, environ in (
            ("a.md", ("--summary", str(tmp_path / "a.md")), {}),
            ("b.md", (), {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "b.md")}),
        ):
            assert place.audit(*arguments, **environ)[0] == 11
            text = (tmp_path / name).read_text()
            assert "**not sound**; 1 plugin, 1 version" in text
            assert "| error | `registry.json` |" in text


class TestByUrl:
    """An audit of what is served."""

    def test_root_is_needed(self, place: Place) -> None:
        """By file or by digest; a wrong digest is refused."""
        place.publish("1.0.0", place.serve("one.zip"))
        root = place.kept.folder / "metadata" / "1.root.json"
        with serve(place.kept.folder) as url:
            for options, expected in (
                ((), 3),
                (("--root", str(root)), 0),
                (("--root-digest", Digest.of(root.read_bytes())), 0),
                (("--root-digest", Digest.of(b"another")), 6),
            ):
                code, _, err = place.run("audit", url, "--artifacts", *options)
                assert code == expected, err
        assert place.host.paths == ["one.zip"] * 2

    @pytest.mark.parametrize("allowed", [True, False])
    def test_development_keys(self, tmp_path: Path, place: Place, *, allowed: bool) -> None:
        """Over a URL they are accepted only if that is said, whatever folder the command runs in."""
        mini = MiniRegistry(tmp_path / "mini", dev=True)
        mini.write()
        root = str(mini.root)
        (tmp_path / "dev-keys").mkdir()
        place.monkeypatch.chdir(tmp_path)
        place.kept.now = mini.now
        with serve(mini.folder) as url:
            options = ("--allow-dev-keys",) if allowed else ()
            ended, out, err = place.run("audit", url, "--root", root, *options)
        if allowed:
            assert "0 plugins" in out, err
        else:
            assert (ended, out) == (3, "")
            assert "development key" in err
