"""`set-status` and `yank`: what the next release document says, and what the registrar makes of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import ed25519, manifest, release, sign
from support.world import REGISTRY, START, World, git, push_to_bare

from publisher.cli.main import main
from publisher.destination import WorkTree, open_destination
from publisher.git import Remote
from publisher.offer import Destination, Offer
from publisher.registrar.remote import register_remote
from publisher.registrar.submission import Result, Submission
from publisher.set_status import Change, build_release
from registry_client.errors import (
    ConfigError,
    DocumentError,
    NotFoundError,
    PublishError,
    RollbackError,
    SignatureError,
    YankedError,
)
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.models.release import ReleaseStatus
from registry_client.resolve import Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from publisher.registrar.run import Run
    from publisher.set_status import PreparedRelease

ID, VERSION = "acme-x", "1.0.0"
PLACE = f"plugins/{ID}/{VERSION}"


@dataclass
class Desk:
    """A registry with acme-x 1.0.0 in it, reached as a folder or as a Git remote.

    Attributes:
        world: the registry.
        bare: its bare repository; None where the folder itself is published to.
        sent: offers that were submitted.
    """

    world: World
    bare: Path | None
    sent: list[Offer] = field(default_factory=list)

    def at(self, work: Callable[[Destination], PreparedRelease]) -> PreparedRelease:
        """Do something at the destination."""
        if self.bare is None:
            return work(WorkTree(self.world.folder))
        with open_destination(str(self.bare), "main", os.environ) as destination:
            return work(destination)

    def set(self, status: str | None = None, version: str = VERSION, **members: Any) -> dict[str, Any]:
        """Set the status, a minute later; gives the release document."""
        self.world.tick(minutes=1)
        prepared = self.at(
            lambda to: self.world.set_status(members.pop("id", ID), version, status, to=to, **members)
        )
        if prepared.offer is not None:
            self.sent.append(prepared.offer)
        return prepared.release

    def register(self) -> Run:
        """Run the registrar; where there is a remote, the folder follows it."""
        if self.bare is None:
            return self.world.register()
        run = register_remote(
            Remote(str(self.bare)),
            "main",
            lambda _: self.world.options(),
            os.environ,
            lambda: self.world.now,
        )
        git(self.world.folder, "pull", "--quiet", "--ff-only", "origin", "main")
        return run

    def indexed(self) -> dict[str, Any]:
        """The release document that a fresh client reads, with what the registrar wrote beside the manifest."""
        path = self.world.folder / PLACE / "release.json"
        written: dict[str, Any] = json.loads(path.read_bytes())
        return written

    def statuses(self) -> dict[str, str]:
        """The effective status of each version, as a fresh client sees it."""
        client = self.world.client(f"host-{self.world.now:%H%M%S}")
        return {info.version: str(info.standing.status) for info in client.versions(ID)}


@pytest.fixture(params=["folder", "remote"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """The registry, as a folder and as a remote."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme", keys=2)
    world.publish(ID, VERSION)
    world.register()
    return Desk(world, push_to_bare(world, tmp_path / "bare.git") if request.param == "remote" else None)


def stated(document: dict[str, Any]) -> tuple[Any, ...]:
    """What a release document says of the status."""
    return tuple(document.get(name) for name in ("revision", "status", "rollout", "push", "forceUpdate"))


def test_what_is_signed_is_what_is_indexed(desk: Desk) -> None:
    """The registrar takes the document as it is: on disk, in the index, with the client."""
    made = desk.set("released", rollout=10, reason="slowly")
    run = desk.register()
    assert Result.RELEASED in [outcome.result for outcome in run.outcomes]
    assert desk.indexed() == made
    published = json.loads((desk.world.folder / PLACE / "manifest.json").read_bytes())
    assert made["manifest"] == payload_digest_of(published)
    assert (made["registry"], made["id"], made["version"]) == ("acme-registry", ID, VERSION)
    assert len(made["signatures"]) == 2
    (offer,) = desk.sent
    assert set(offer.files) == {"release.json"}
    assert offer.digest_hex == payload_digest_of(made).hex
    (info,) = desk.world.client("reader").versions(ID)
    assert info.release is not None
    assert (info.release.rollout, str(info.standing.status)) == (10, "released")


def test_members_that_are_not_named_stay(desk: Desk) -> None:
    """Each change states the whole status again, with a higher revision."""
    assert stated(desk.set(rollout=10)) == (1, "released", 10, True, False)
    assert stated(desk.set(push=False)) == (2, "released", 10, False, False)
    assert stated(desk.set(force_update=True)) == (3, "released", 10, False, True)
    desk.register()
    assert stated(desk.set("testing")) == (4, "testing", 10, False, True)
    assert stated(desk.set("staged", rollout=0)) == (5, "staged", 0, False, True)
    assert stated(desk.set(push=True, force_update=False)) == (6, "staged", 0, True, False)
    assert stated(desk.set("released", rollout=100)) == (7, "released", 100, True, False)
    desk.register()
    assert stated(desk.indexed()) == (7, "released", 100, True, False)


def test_a_draft_stays_a_draft(desk: Desk) -> None:
    """Rollout and push of a draft can be set before it is released; that alone releases nothing."""
    desk.world.write_source(ID, "1.1.0")
    desk.at(lambda to: desk.world.publish(ID, "1.1.0", to=to, change=Change(ReleaseStatus.DRAFT)))  # type: ignore[arg-type,return-value]
    assert stated(desk.set(None, "1.1.0", rollout=10, push=False)) == (1, "draft", 10, False, False)
    assert stated(desk.set("released", "1.1.0")) == (2, "released", 10, False, False)


def test_revisions_rise_over_what_is_pending(desk: Desk) -> None:
    """Three changes before the registrar runs: three revisions, and the last one is in force."""
    made = [desk.set("testing"), desk.set("staged"), desk.set("released", rollout=5)]
    assert [document["revision"] for document in made] == [1, 2, 3]
    run = desk.register()
    assert desk.indexed() == made[-1]
    lost = [outcome for outcome in run.refused if not isinstance(outcome.error, RollbackError)]
    assert lost == []
    assert desk.register().changes == {}


REASONS: list[tuple[str, list[tuple[str | None, dict[str, Any]]], str | None]] = [
    ("kept while the status stays", [("deprecated", {"reason": "old"}), (None, {"rollout": 50})], "old"),
    ("kept for the same status", [("yanked", {"reason": "bad"}), ("yanked", {"push": False})], "bad"),
    ("dropped with another status", [("deprecated", {"reason": "old"}), ("released", {})], None),
    ("replaced", [("yanked", {"reason": "bad"}), (None, {"reason": "worse"})], "worse"),
    ("given for another", [("yanked", {"reason": "bad"}), ("deprecated", {"reason": "old"})], "old"),
    ("allowed for any status", [("testing", {"reason": "try it"})], "try it"),
    ("none", [("testing", {})], None),
]


@pytest.mark.parametrize(
    ("steps", "reason"), [pytest.param(steps, reason, id=name) for name, steps, reason in REASONS]
)
def test_reasons(desk: Desk, steps: list[tuple[str | None, dict[str, Any]]], reason: str | None) -> None:
    """A reason belongs to the status it was given for."""
    made = [desk.set(status, **dict(members)) for status, members in steps]
    assert made[-1].get("reason") == reason
    assert [document["revision"] for document in made] == list(range(1, len(made) + 1))
    desk.register()
    assert desk.indexed() == made[-1]


@pytest.mark.parametrize("status", ["deprecated", "yanked"])
@pytest.mark.parametrize("reason", [None, ""])
def test_a_reason_is_required(desk: Desk, status: str, reason: str | None) -> None:
    """Deprecating and yanking say why; another status's reason does not count; nothing is sent."""
    with pytest.raises(PublishError, match="reason") as caught:
        desk.set(status, reason=reason)
    assert "--reason" in caught.value.hint
    desk.set("testing", reason="try it")
    with pytest.raises(PublishError, match="reason"):
        desk.set(status)
    assert len(desk.sent) == 1


@pytest.mark.parametrize("registered", [False, True])
def test_nothing_to_change_is_a_no_op(desk: Desk, registered: bool) -> None:
    """Saying the same again sends nothing and says so, pending or registered."""
    made = desk.set("yanked", reason="loses events")
    if registered:
        desk.register()
    prepared = desk.at(
        lambda to: desk.world.set_status(ID, VERSION, "yanked", to=to, reason="loses events", rollout=100)
    )
    assert prepared.offer is None
    assert prepared.release == made
    assert "nothing to do" in prepared.note
    desk.register()
    assert desk.register().changes == {}
    assert desk.indexed() == made


@pytest.mark.parametrize(("plugin_id", "version"), [("acme-x", "9.9.9"), ("acme-none", "1.0.0")])
def test_unknown_versions(desk: Desk, plugin_id: str, version: str) -> None:
    """What is not published has no status."""
    with pytest.raises(NotFoundError, match=f"{plugin_id} {version} is not published") as caught:
        desk.set("testing", version, id=plugin_id, by="acme")
    assert "publisher publish" in caught.value.hint
    assert desk.sent == []


def test_a_version_that_is_only_pending_has_a_status(desk: Desk) -> None:
    """Publish, then stage, before the registrar has seen either."""
    desk.at(lambda to: desk.world.publish(ID, "1.1.0", to=to))  # type: ignore[arg-type,return-value]
    assert stated(desk.set("staged", "1.1.0")) == (1, "staged", 100, True, False)
    desk.register()
    assert desk.statuses() == {"1.0.0": "released", "1.1.0": "staged"}


def test_yanking_and_taking_it_back(desk: Desk) -> None:
    """A yank is undone with a higher revision; the old document again is a rollback."""
    yanked = desk.set("yanked", reason="bad")
    desk.register()
    assert desk.statuses() == {VERSION: "yanked"}
    back = desk.set("released")
    assert stated(back) == (2, "released", 100, True, False)
    desk.register()
    assert desk.statuses() == {VERSION: "released"}
    replay = Submission("replay", ID, VERSION, release=dump_json(yanked))
    outcome = desk.world.register([replay]).outcomes[-1]
    assert isinstance(outcome.error, RollbackError)
    assert desk.statuses() == {VERSION: "released"}


def test_a_release_for_another_registry_is_refused(desk: Desk) -> None:
    """Signed by the right key, it says nothing here: the registrar refuses it."""
    published = json.loads((desk.world.folder / PLACE / "manifest.json").read_bytes())
    signer = desk.world.publishers["acme"][0]
    unsigned = build_release(
        published, None, Change(ReleaseStatus.YANKED, reason="x"), "other-registry", desk.world.now
    )
    foreign = Submission("foreign", ID, VERSION, release=dump_json(sign(unsigned, signer)))
    outcome = desk.world.register([foreign]).outcomes[-1]
    assert isinstance(outcome.error, SignatureError)
    assert "other-registry" in outcome.error.message
    assert desk.statuses() == {VERSION: "released"}


def test_a_stranger_cannot_set_a_status(desk: Desk) -> None:
    """Signed with another publisher's key: refused by the registrar, without effect."""
    desk.world.publishers["globex"] = [ed25519("globex-1")]
    desk.set("yanked", reason="out of spite", by="globex")
    run = desk.register()
    assert any(isinstance(outcome.error, SignatureError) for outcome in run.refused)
    assert desk.statuses() == {VERSION: "released"}


def test_what_a_host_sees_of_a_yank(desk: Desk) -> None:
    """Gone with the reason, and back with the next revision."""
    client = desk.world.client("kept", ttl=0)
    assert client.resolve(ID).info.version == VERSION
    desk.set("yanked", reason="loses data")
    desk.register()
    with pytest.raises(YankedError, match="loses data"):
        client.resolve(ID)
    desk.set("released")
    desk.register()
    assert client.resolve(ID).info.version == VERSION


def test_a_rollout_that_grows(tmp_path: Path) -> None:
    """0 % reaches no one, 100 % everyone, and what was offered stays offered on the way."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish(ID, VERSION)
    world.publish(ID, "1.1.0", change=Change(rollout=0))
    world.register()
    clients = {number: world.client("shared", ttl=0, host=Host(f"{number:032x}")) for number in range(20)}
    reached: set[int] = set()
    for rollout in (0, 10, 50, 100):
        if rollout:
            world.set_status(ID, "1.1.0", rollout=rollout)
            world.register()
        now = {n for n, client in clients.items() if client.check_update(ID, VERSION) is not None}
        assert reached <= now
        assert (rollout == 0) <= (not now)
        assert (rollout == 100) <= (len(now) == 20)
        reached = now


@given(
    st.lists(
        st.builds(
            Change,
            status=st.none() | st.sampled_from(ReleaseStatus),
            rollout=st.none() | st.integers(0, 100),
            push=st.none() | st.booleans(),
            force_update=st.none() | st.booleans(),
            reason=st.just("because"),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_sequence_of_changes(changes: list[Change]) -> None:
    """Revisions rise by one, each change has its say, and what it does not name stays."""
    names = ("status", "rollout", "push", "forceUpdate")
    current: dict[str, Any] | None = None
    before: dict[str, Any] = {"status": "released", "rollout": 100, "push": True, "forceUpdate": False}
    for number, change in enumerate(changes, 1):
        current = build_release(manifest(), current, change, REGISTRY, START)
        assert current["revision"] == number
        wanted = (change.status, change.rollout, change.push, change.force_update)
        expected = {n: before[n] if w is None else w for n, w in zip(names, wanted, strict=True)}
        assert {name: current[name] for name in names} == expected
        before = expected


# -- what others push ---------------------------------------------------------------------------------------------


@pytest.fixture
def remote(tmp_path: Path) -> Desk:
    """The registry as a remote."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish(ID, VERSION)
    world.register()
    return Desk(world, push_to_bare(world, tmp_path / "bare.git"))


def _push(desk: Desk, name: str, data: bytes, version: str = VERSION) -> None:
    """Push a ref by hand, as anyone with a token for publish/* can, under the name that fits."""
    assert desk.bare is not None
    digest = payload_digest_of(json.loads(data)).hex if data.startswith(b"{") else "f" * 64
    with open_destination(str(desk.bare), "main", os.environ) as destination:
        destination.submit(Offer(ID, version, digest, {name: data}, "by hand\n"), desk.world.now)


def _about(desk: Desk, **change: Any) -> dict[str, Any]:
    published = json.loads((desk.world.folder / PLACE / "manifest.json").read_bytes())
    return release(published, **{"forceUpdate": True, "rollout": 100, "revision": 1000, **change})


FOREIGN: dict[str, Callable[[Desk], bytes]] = {
    "another key": lambda desk: dump_json(sign(_about(desk), ed25519("globex-1"))),
    "another registry": lambda desk: dump_json(sign(_about(desk, registry="test"), ed25519("acme-1"))),
    "another manifest": lambda desk: dump_json(
        sign(_about(desk, manifest=f"sha256:{'0' * 64}"), ed25519("acme-1"))
    ),
    "another version": lambda desk: dump_json(sign(_about(desk, version="2.0.0"), ed25519("acme-1"))),
    "no JSON": lambda _: b"\xff\xfe",
    "strange types": lambda _: b'{"revision": "many", "status": []}',
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in FOREIGN.items()])
def test_what_others_push_gets_into_no_signed_release(remote: Desk, make: Callable[[Desk], bytes]) -> None:
    """Members that stay come from this publisher's own documents alone, and so does the revision."""
    _push(remote, "release.json", make(remote))
    assert stated(remote.set(rollout=10)) == (1, "released", 10, True, False)
    remote.register()
    assert stated(remote.indexed()) == (1, "released", 10, True, False)


def test_a_release_is_never_signed_for_someone_elses_manifest(remote: Desk) -> None:
    """A manifest that another one offers under this publisher's id is not there."""
    files = remote.world.prepare(ID, "1.1.0", signers=remote.world.publishers["acme"]).offer
    assert files is not None
    forged = json.loads(files.files["manifest.json"])
    forged["ui"]["remoteEntry"] = "https://evil.example/entry.js"
    _push(remote, "manifest.json", dump_json(sign(forged, ed25519("globex-1"))), "1.1.0")
    with pytest.raises(NotFoundError):
        remote.set("released", "1.1.0")


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"revision": "1"}', b"\xff"])
@pytest.mark.parametrize("name", ["release.json", "manifest.json"])
def test_damaged_files_in_the_folder(tmp_path: Path, name: str, data: bytes) -> None:
    """An error that names the file, nothing signed."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish(ID, VERSION)
    (world.folder / PLACE / name).write_bytes(data)
    with pytest.raises(DocumentError, match=f"{PLACE}/{name}"):
        world.set_status(ID, VERSION, "testing")


# -- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The publisher's private key as a file."""
    path = tmp_path / "acme.pem"
    path.write_bytes(ed25519("acme-1").private_bytes)
    path.chmod(0o600)
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command with `--json`."""
    code = main([*arguments, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_yank_is_a_shortcut(
    desk: Desk, key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`yank` is set-status --status yanked; a reason is required; the registrar takes it."""
    to = ("--to", str(desk.bare or desk.world.folder), "--key", key)
    assert main(["yank", ID, VERSION, *to]) == 2
    assert "--reason" in capsys.readouterr().err
    code, document = run(capsys, "yank", ID, VERSION, "--reason", "loses events", *to)
    assert code == 0
    assert (document["release"]["status"], document["release"]["reason"]) == ("yanked", "loses events")
    again, repeated = run(
        capsys, "set-status", ID, VERSION, "--status", "yanked", "--reason", "loses events", *to
    )
    assert again == 0
    assert "nothing to do" in repeated["note"]
    assert "place" not in repeated
    desk.register()
    assert desk.indexed() == document["release"]


FLAGS: list[tuple[list[str], tuple[Any, ...]]] = [
    (["--rollout", "0"], (1, "released", 0, True, False)),
    (["--no-push"], (1, "released", 100, False, False)),
    (["--force-update"], (1, "released", 100, True, True)),
    (["--status", "staged", "--no-push", "--force-update"], (1, "staged", 100, False, True)),
    (["--status", "deprecated", "--reason", "use acme-y"], (1, "deprecated", 100, True, False)),
]


@pytest.mark.parametrize(("flags", "expected"), FLAGS)
def test_options(
    desk: Desk, key: str, capsys: pytest.CaptureFixture[str], flags: list[str], expected: tuple[Any, ...]
) -> None:
    """Every option says what its name says; a dry run writes and pushes nothing."""
    to = ("--to", str(desk.bare or desk.world.folder), "--key", key)
    before = desk.world.snapshot()
    code, dry = run(capsys, "set-status", ID, VERSION, *flags, "--dry-run", *to)
    assert code == 0
    assert stated(dry["release"]) == expected
    assert desk.world.snapshot() == before
    if desk.bare is not None:
        assert git(desk.bare, "for-each-ref", "refs/heads/publish") == ""
    code, document = run(capsys, "set-status", ID, VERSION, *flags, *to)
    assert code == 0
    desk.register()
    assert desk.indexed() == document["release"]
    assert stated(document["release"]) == expected


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        ([ID, VERSION], "Config", ConfigError.exit_code),
        ([ID, "1.0", "--rollout", "5"], "Config", ConfigError.exit_code),
        (["../x", VERSION, "--rollout", "5"], "Config", ConfigError.exit_code),
        ([f"{ID}\n", VERSION, "--rollout", "5"], "Config", ConfigError.exit_code),
        ([ID, VERSION, "--rollout", "101"], "Usage", 2),
        ([ID, VERSION, "--rollout", "-1"], "Usage", 2),
        ([ID, VERSION, "--rollout", "1.5"], "Usage", 2),
        ([ID, VERSION, "--status", "gone"], "Usage", 2),
        ([ID, "2.0.0", "--rollout", "5"], "NotFound", NotFoundError.exit_code),
        ([ID, VERSION, "--status", "yanked"], "Publish", PublishError.exit_code),
    ],
)
def test_mistakes(
    desk: Desk,
    key: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    kind: str,
    code: int,
) -> None:
    """One clear error each; the registry stays as it is."""
    before = desk.world.snapshot()
    to = ("--to", str(desk.bare or desk.world.folder), "--key", key)
    found, document = run(capsys, "set-status", *arguments, *to)
    assert (found, document["error"]["kind"]) == (code, kind)
    assert document["error"]["message"]
    assert main(["set-status", *arguments, *to]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    assert desk.world.snapshot() == before
