"""Quarantines on order: the list of an audit, what a maintainer says, and lifting; and that hosts keep to it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519, keyid, keys_of
from support.world import START, World, git, push_to_bare

from publisher.cli.main import main
from publisher.git import Git
from publisher.git_tree import GitTree
from publisher.registrar.quarantine import (
    FILE_LIMIT,
    MAX_MARKS,
    WRITTEN_LIMIT,
    Mark,
    Orders,
    carry_out,
    dump_marks,
    parse_lift,
    parse_marks,
)
from publisher.registrar.state import State, load_state
from publisher.sign_file import sign_file
from publisher.tree import MemoryTree
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    DocumentError,
    NotFoundError,
    RegistrarError,
    RegistryError,
    YankedError,
)
from registry_client.jsontext import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from publisher.registrar.run import Run
    from registry_client.client import RegistryClient

ID = "acme-calendar"
DIGEST = Digest.of(b"a version")
Json = dict[str, Any]


def entry(**change: Any) -> Json:
    """One entry of a list; None leaves a member out."""
    whole = {
        "id": ID,
        "version": "1.0.0",
        "payloadDigest": DIGEST,
        "cause": "artifact",
        "reason": "gone",
        **change,
    }
    return {name: value for name, value in whole.items() if value is not None}


# -- the file ------------------------------------------------------------------------------------------------------------


def test_a_list_is_read_as_it_was_written() -> None:
    """What the audit writes, the registrar reads."""
    marks = parse_marks(dump_json([entry(), entry(version="1.1.0", cause="manual")]), "bad.json")
    assert [(mark.id, mark.version, mark.cause) for mark in marks] == [
        (ID, "1.0.0", "artifact"),
        (ID, "1.1.0", "manual"),
    ]
    assert marks[0].payload_digest == DIGEST
    assert parse_marks(dump_marks(marks), "bad.json") == marks
    assert parse_marks(b"[]", "bad.json") == ()
    assert parse_marks(b" [ ]\n", "bad.json") == ()


BAD_LISTS: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "$", "is not JSON"),
    "no JSON": (b"[{]", "$", "is not JSON"),
    "no UTF-8": (b'["\xff"]', "$", "is not UTF-8"),
    "an object": (dump_json({"versions": []}), "$", "valid array"),
    "an object of the list's own form": (dump_json(entry()), "$", "valid array"),
    "a number": (b"5", "$", "valid array"),
    "null": (b"null", "$", "valid array"),
    "a text": (b'"x"', "$", "valid array"),
    "a list of texts": (b'["acme-calendar"]', "$[0]", "object"),
    "two values": (b"[] []", "$", "is not JSON"),
    "an end of the wrapping": (b"[]}", "$", "is not JSON"),
    "a member after it": (b'[],"more":1', "$.more", "not permitted"),
    "the list again after it": (b'[],"versions":[]', "$", "stands twice"),
    "a member twice": (b'[{"id":"a","id":"b"}]', "$", "stands twice"),
    "an unknown member": (
        dump_json([entry(), entry(version="2.0.0", extra=1)]),
        "$[1].extra",
        "not permitted",
    ),
    "a member by its Python name": (
        dump_json([entry(payloadDigest=None, payload_digest=DIGEST)]),
        "$[0].payloadDigest",
        "required",
    ),
    "no id": (dump_json([entry(id=None)]), "$[0].id", "required"),
    "no version": (dump_json([entry(version=None)]), "$[0].version", "required"),
    "no digest": (dump_json([entry(payloadDigest=None)]), "$[0].payloadDigest", "required"),
    "no cause": (dump_json([entry(cause=None)]), "$[0].cause", "required"),
    "no reason": (dump_json([entry(reason=None)]), "$[0].reason", "required"),
    "an id that is none": (dump_json([entry(id="../x")]), "$[0].id", "id"),
    "a version that is none": (dump_json([entry(version="1.0")]), "$[0].version", "version"),
    "a version that is a number": (dump_json([entry(version=1)]), "$[0].version", "string"),
    "a digest that is none": (dump_json([entry(payloadDigest="sha256:00")]), "$[0].payloadDigest", "sha256"),
    "the cause that is the registrar's own": (
        dump_json([entry(cause="signature")]),
        "$[0].cause",
        "artifact",
    ),
    "an empty reason": (dump_json([entry(reason="")]), "$[0].reason", "at least 1"),
    "a long reason": (dump_json([entry(reason="x" * 1001)]), "$[0].reason", "at most 1000"),
    "a version twice": (dump_json([entry(), entry(cause="manual")]), "$", "each version once"),
    "too many": (
        dump_json([entry(version=f"1.0.{number}") for number in range(MAX_MARKS + 1)]),
        "$",
        f"at most {MAX_MARKS}",
    ),
    "too deep": (b"[" * 40 + b"]" * 40, "$", "nested deeper"),
    "very deep": (b"[" * 100_000 + b"]" * 100_000, "$", "nested deeper"),
    "too large": (b"[" + b" " * FILE_LIMIT * 2 + b"]", "$", "are allowed"),
}


@pytest.mark.parametrize("case", BAD_LISTS.values(), ids=BAD_LISTS)
def test_what_is_no_such_list(case: tuple[bytes, str, str]) -> None:
    """An error that names the file and the place in it, never half a list."""
    data, path, words = case
    with pytest.raises(DocumentError) as caught:
        parse_marks(data, "bad.json")
    assert caught.value.message.startswith("bad.json")
    assert any(p.path == path and words in p.message for p in caught.value.problems), caught.value.problems


def test_the_bounds_fit() -> None:
    """As many of the longest marks as there may be, in the widest writing, are read; the first ones are written."""
    rows = [
        entry(id="a" * 64, version=f"999999999.999999999.{number}", reason="\x01" * 1000)
        for number in range(MAX_MARKS)
    ]
    marks = parse_marks(dump_json(rows), "bad.json")
    assert len(marks) == MAX_MARKS
    data = dump_marks(marks)
    assert len(data) <= WRITTEN_LIMIT
    written = parse_marks(data, "bad.json")
    assert written
    assert written == marks[: len(written)]


@pytest.mark.parametrize("text", ["acme-calendar@1.0.0", "a@1.0.0-beta.2"])
def test_what_is_lifted(text: str) -> None:
    """ID@VERSION."""
    assert "@".join(parse_lift(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme-calendar",
        "acme-calendar@",
        "@1.0.0",
        "a@1.0",
        "a@v1.0.0",
        "A@1.0.0",
        "a@1.0.0@x",
        "a b@1.0.0",
    ],
)
def test_what_cannot_be_lifted(text: str) -> None:
    """An error with an example."""
    with pytest.raises(ConfigError, match="--lift") as caught:
        parse_lift(text)
    assert "@1.2.0" in caught.value.hint


# -- the index -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry with two versions of one plugin."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish(ID, "1.0.0")
    world.publish(ID, "1.1.0")
    world.register()
    return world


def index(world: World) -> State:
    """The index as it is signed now."""
    return load_state(world.tree, world.desk().authority)


def held(world: World, version: str = "1.1.0") -> Json | None:
    """What the index says of a version's quarantine."""
    row = index(world).get(ID, version)
    assert row is not None
    found: Json | None = row.raw.get("quarantined")
    return found


def mark(world: World, version: str = "1.1.0", **change: Any) -> Mark:
    """A mark on a version as it is."""
    row = index(world).get(ID, version)
    assert row is not None
    return Mark.model_validate(entry(version=version, payloadDigest=row.payload_digest, **change))


def order(world: World, *marks: Mark, lift: tuple[str, ...] = (), **more: Any) -> Run:
    """A run of the registrar with orders."""
    return world.register(orders=Orders(marks, tuple((ID, version) for version in lift)), **more)


def usable(world: World) -> list[str]:
    """What a fresh host is offered by range or in the catalogue: both must say the same."""
    home = f"host-{Digest.of(b''.join(world.snapshot().values())).hex[:12]}"
    client = world.client(home)
    listed = [found.version for found in client.search() if found.id == ID]
    try:
        newest = [client.resolve(ID).info.version]
    except RegistryError:
        newest = []
    assert listed == newest
    return newest


def test_a_mark_quarantines(world: World) -> None:
    """The version is not resolved and not listed; the one before it is; the line says why and since when."""
    world.tick(hours=1)
    run = order(world, mark(world, reason="https://cdn.example/a.zip vanished:\n404"))
    assert run.quarantines == (
        f"{ID} 1.1.0: quarantined (artifact): https://cdn.example/a.zip vanished: 404",
    )
    assert (run.notes, run.summary()) == ((), "Change what is quarantined")
    assert run.message().splitlines()[2] == run.quarantines[0]
    assert held(world) == {
        "cause": "artifact",
        "reason": "https://cdn.example/a.zip vanished:\n404",
        "since": "2026-03-01T13:00:00Z",
    }
    assert usable(world) == ["1.0.0"]


@pytest.mark.parametrize("full", [False, True])
def test_it_stays_until_it_is_lifted(world: World, full: bool) -> None:
    """Later runs keep it, whether they verify everything or little, whatever else changes; after it is lifted, so does that."""
    order(world, mark(world))
    before = held(world)
    assert world.register(full=full).changes == {}
    world.publish(ID, "1.2.0")
    world.publish("acme-other", "1.0.0")
    world.tick(days=1)
    world.register(full=full)
    world.set_status(ID, "1.1.0", "deprecated", reason="old")
    world.register(full=full)
    assert held(world) == before
    assert usable(world) == ["1.2.0"]
    run = order(world, lift=("1.1.0",), full=full)
    assert run.quarantines == (f"{ID} 1.1.0: quarantine lifted",)
    assert held(world) is None
    assert world.register(full=full).changes == {}
    assert held(world) is None


def test_more_signatures_do_not_lift_it(world: World) -> None:
    """A publisher who signs the version again has not changed its artifacts."""
    order(world, mark(world))
    world.add_key("acme", ed25519("acme-2"))
    sign_file(world.folder / f"plugins/{ID}/1.1.0/manifest.json", ed25519("acme-2"))
    run = world.register()
    assert [outcome.result.value for outcome in run.outcomes] == ["signatures added"]
    assert held(world) is not None


def test_the_same_order_again_changes_nothing(world: World) -> None:
    """A list that is given on every run makes no commits."""
    marks = mark(world), mark(world, "1.0.0", cause="manual")
    order(world, *marks, allow_loss=2)
    world.tick(hours=3)
    run = order(world, *marks)
    assert (run.changes, run.quarantines, run.notes) == ({}, (), ())


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        pytest.param(("artifact", "a"), ("manual", "b"), ("manual", "b"), id="a maintainer says more"),
        pytest.param(("manual", "a"), ("artifact", "b"), ("manual", "a"), id="an audit says less"),
        pytest.param(("manual", "a"), ("manual", "b"), ("manual", "b"), id="a maintainer in other words"),
        pytest.param(("artifact", "a"), ("artifact", "b"), ("artifact", "b"), id="an audit in other words"),
    ],
)
def test_which_cause_counts(
    world: World, first: tuple[str, str], then: tuple[str, str], kept: tuple[str, str]
) -> None:
    """What a maintainer said is not overwritten by an audit; since when it holds does not change."""
    order(world, mark(world, cause=first[0], reason=first[1]))
    since = (held(world) or {})["since"]
    world.tick(hours=5)
    run = order(world, mark(world, cause=then[0], reason=then[1]))
    assert held(world) == {"cause": kept[0], "reason": kept[1], "since": since}
    assert bool(run.quarantines) is (kept == then)


PASSED_OVER: dict[str, tuple[Json, str]] = {
    "another digest": (
        {"payloadDigest": DIGEST},
        "is another version now than the one that was judged (payload digest)",
    ),
    "an unknown version": ({"version": "9.0.0"}, "is not in the index"),
    "an unknown plugin": ({"id": "acme-unknown"}, "is not in the index"),
}


@pytest.mark.parametrize("case", PASSED_OVER.values(), ids=PASSED_OVER)
def test_marks_that_are_passed_over(world: World, case: tuple[Json, str]) -> None:
    """With a note that says why; the other marks count, and nothing is made up."""
    change, words = case
    wrong = Mark.model_validate({**mark(world, "1.0.0").model_dump(by_alias=True), **change})
    run = order(world, wrong, mark(world))
    assert run.notes == (f"{wrong.id} {wrong.version}: {words}, so it was not quarantined",)
    assert (held(world, "1.0.0"), held(world) is not None) == (None, True)
    assert index(world).get(wrong.id, "9.0.0") is None


def test_a_removed_version_is_passed_over(world: World) -> None:
    """Nobody can use it anyway."""
    found = mark(world)
    (world.folder / f"plugins/{ID}/1.1.0/manifest.json").unlink()
    world.register()
    run = order(world, found)
    assert run.notes == (f"{ID} 1.1.0: is removed already, so it was not quarantined",)


def test_a_version_that_comes_in_the_same_run(world: World) -> None:
    """An index that is made from scratch is told its quarantines in the same run."""
    found = mark(world)
    for path in world.folder.glob("metadata/*"):
        if any(role in path.name for role in ("registrar", "snapshot", "timestamp")):
            path.unlink()
    order(world, found, from_scratch=True)
    assert held(world) is not None
    assert usable(world) == ["1.0.0"]


# -- lifting -------------------------------------------------------------------------------------------------------------


def test_lifting_wins_over_a_mark(world: World) -> None:
    """Whoever runs it by hand with a stale list gets what they ask for, and is told; no matter whether it was quarantined."""
    order(world, mark(world))
    run = order(world, mark(world), lift=("1.1.0",))
    assert held(world) is None
    assert run.quarantines == (f"{ID} 1.1.0: quarantine lifted",)
    assert run.notes == (f"{ID} 1.1.0: is being lifted, so it was not quarantined",)
    run = order(world, mark(world), lift=("1.1.0", "1.1.0"))
    assert held(world) is None
    assert run.changes == {}
    assert run.notes == (
        f"{ID} 1.1.0: is not quarantined",
        f"{ID} 1.1.0: is being lifted, so it was not quarantined",
    )


def test_lifting_what_is_not_there(world: World) -> None:
    """A note, and nothing else."""
    run = order(world, lift=("7.0.0", "1.0.0"))
    assert run.changes == {}
    assert run.notes == (
        f"{ID} 7.0.0: is not in the index, so there is nothing to lift",
        f"{ID} 1.0.0: is not quarantined",
    )


def test_a_quarantine_for_a_signature_is_not_lifted_by_hand(world: World) -> None:
    """It goes when the documents verify again, and not before."""
    world.add_key("acme", ed25519("acme-2"))
    world.revoke_key("acme", ed25519("acme-1"))
    world.register(allow_loss=2)
    assert (held(world) or {})["cause"] == "signature"
    run = order(world, lift=("1.1.0",), full=True)
    assert run.notes == (
        f"{ID} 1.1.0: is quarantined until its documents verify again; that is not lifted by hand",
    )
    assert (held(world) or {})["cause"] == "signature"
    assert run.changes == {}


def test_lifting_does_not_hide_a_bad_signature(world: World) -> None:
    """A version that was marked, and whose key was revoked meanwhile, is quarantined for that in the same run."""
    order(world, mark(world), mark(world, "1.0.0"), allow_loss=2)
    world.add_key("acme", ed25519("acme-2"))
    world.revoke_key("acme", ed25519("acme-1"))
    world.register()
    assert (held(world) or {})["cause"] == "artifact"
    order(world, lift=("1.1.0",))
    assert (held(world) or {})["cause"] == "signature"
    assert usable(world) == []


def test_a_mark_outlives_a_bad_signature(world: World) -> None:
    """An artifact that vanished stays vanished when the documents verify again."""
    world.add_key("acme", ed25519("acme-2"))
    world.revoke_key("acme", ed25519("acme-1"))
    world.register(allow_loss=2)
    order(world, mark(world))
    assert (held(world) or {})["cause"] == "artifact"
    for version in ("1.0.0", "1.1.0"):
        sign_file(world.folder / f"plugins/{ID}/{version}/manifest.json", ed25519("acme-2"))
    world.register()
    assert held(world, "1.0.0") is None
    assert (held(world) or {})["cause"] == "artifact"


# -- how much ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "marked", "stops"), [(5, 1, False), (5, 2, True), (41, 2, False), (41, 3, True)]
)
def test_the_blast_radius_guard(tmp_path: Path, versions: int, marked: int, stops: bool) -> None:
    """A list that takes down more than max(1, 5 %) of what is usable stops the run unless that is said to be meant."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    for number in range(versions):
        world.publish(ID, f"1.{number}.0")
    world.register()
    marks = [mark(world, f"1.{number}.0") for number in range(marked)]
    if stops:
        before = world.snapshot()
        with pytest.raises(RegistrarError, match=f"{marked} of {versions} usable versions") as caught:
            order(world, *marks)
        assert f"--allow-loss {marked}" in caught.value.hint
        with pytest.raises(RegistrarError):
            order(world, *marks, allow_loss=marked - 1)
        with pytest.raises(RegistrarError):
            order(world, *marks, allow_loss=0)
        assert world.snapshot() == before
    order(world, *marks, allow_loss=marked if stops else None)
    assert [held(world, f"1.{number}.0") is not None for number in range(marked + 1)] == [True] * marked + [
        False
    ]


def test_lifting_does_not_make_room_for_marks(world: World) -> None:
    """The guard counts what becomes unusable, whatever comes back in the same run."""
    world.publish(ID, "1.2.0")
    world.publish(ID, "1.3.0")
    world.register()
    order(world, mark(world, "1.0.0"))
    with pytest.raises(RegistrarError, match="2 of 3 usable versions"):
        order(world, mark(world, "1.2.0"), mark(world, "1.3.0"), lift=("1.0.0",))


HOSTILE = "evil\x1b[31m\x00\r\n::error::x\u202e <b>@acme</b> " + "x" * 600


def test_a_hostile_reason_is_one_plain_line(world: World) -> None:
    """In the report and the commit message: no line breaks, no control characters, and not without end."""
    run = order(world, mark(world, reason=HOSTILE))
    (line,) = run.quarantines
    assert line.isprintable()
    assert len(line) < 300
    assert len(run.message().splitlines()) == 3
    assert (held(world) or {})["reason"] == HOSTILE


def test_orders_on_an_empty_index() -> None:
    """Nothing to do, and it is said."""
    state = State()
    done, passed = carry_out(Orders((Mark.model_validate(entry()),), ((ID, "2.0.0"),)), state, START)
    assert (done, len(passed), state.changed) == ([], 2, set())


# -- by the command line -------------------------------------------------------------------------------------------------


@dataclass
class Hosted:
    """A registry on a bare repository, and the command."""

    world: World
    bare: Path
    here: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def register(self, *arguments: str) -> tuple[int, str, str]:
        """`publisher registry register` on the bare repository: exit code, stdout, stderr."""
        online = self.world.keys.online
        assert isinstance(online, CryptoSigner)
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            patch.setenv("PLUGIN_REGISTRY_KEY", online.private_bytes.decode())
            patch.setenv("PLUGIN_REGISTRY_ROOT_DIGEST", Digest.of(self.world.root))
            patch.setenv("SOURCE_DATE_EPOCH", str(int(self.world.now.timestamp())))
            code = main(["registry", "register", str(self.bare), *arguments])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    def write(self, *entries: Json) -> str:
        """A list in a file; its path."""
        path = self.here / "bad.json"
        path.write_bytes(dump_json(list(entries)))
        return str(path)

    def main(self) -> str:
        """The commit of main."""
        return git(self.bare, "rev-parse", "main")

    def client(self, home: str) -> RegistryClient:
        """A host that reads main as it is now, and asks again each time."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            tree = GitTree(repository, self.main())
            files = {path: tree.read(path) or b"" for path in tree.paths("")}
        return self.world.client(home, tree=MemoryTree(files), ttl=0)


@pytest.fixture
def hosted(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Hosted:
    """The registry with two versions, on a bare repository."""
    return Hosted(world, push_to_bare(world, tmp_path / "bare.git"), tmp_path, capsys, monkeypatch)


def test_hosts_no_longer_resolve_it(hosted: Hosted) -> None:
    """Marked by the command: neither by range nor exactly nor as an update, and what is locked warns; lifted: as before."""
    first = hosted.client("host")
    before = first.resolve(ID)
    assert before.info.version == "1.1.0"
    digest = before.manifest.payload_digest
    reason = "https://cdn.example/calendar.zip changed: digest sha256:11…"
    path = hosted.write(entry(version="1.1.0", payloadDigest=digest, reason=reason))
    commit = hosted.main()

    code, out, err = hosted.register("--quarantine", path)
    assert (code, err) == (0, "")
    assert f"{ID} 1.1.0: quarantined (artifact): {reason}" in out
    assert git(hosted.bare, "rev-list", "--count", f"{commit}..main") == "1"
    assert "quarantined (artifact)" in git(hosted.bare, "log", "-1", "--format=%B", "main")
    for client in (hosted.client("host"), hosted.client("fresh")):
        hosted.world.warnings.clear()
        assert client.resolve(ID).info.version == "1.0.0"
        assert client.resolve(ID, ">=1").info.version == "1.0.0"
        assert [found.version for found in client.search()] == ["1.0.0"]
        for exact in ("==1.1.0", ">1.0.0"):
            with pytest.raises((YankedError, NotFoundError)) as caught:
                client.resolve(ID, exact)
            assert "quarantined" in str(caught.value)
        with pytest.raises(YankedError, match="quarantined"):
            client.manifest(ID, "1.1.0")
        assert client.check_update(ID, "1.0.0") is None
        assert hosted.world.warnings == []
        assert client.pinned(ID, "1.1.0", digest).payload_digest == digest
        assert hosted.world.warnings == [f"{ID} 1.1.0 is quarantined: {reason}"]

    hosted.world.tick(hours=1)
    commit = hosted.main()
    assert hosted.register("--full")[0] == 0
    assert hosted.main() == commit

    code, out, err = hosted.register("--lift", f"{ID}@1.1.0")
    assert (code, err) == (0, "")
    assert f"{ID} 1.1.0: quarantine lifted" in out
    hosted.world.warnings.clear()
    for client in (hosted.client("host"), hosted.client("fresh"), hosted.client("fresh-2")):
        assert client.resolve(ID).manifest.payload_digest == digest
        assert client.manifest(ID, "1.1.0").payload_digest == digest
        assert client.pinned(ID, "1.1.0", digest).payload_digest == digest
    assert hosted.world.warnings == []


def test_notes_and_json(hosted: Hosted) -> None:
    """What was passed over is a warning, on stderr or in the one document; the run succeeds and pushes nothing."""
    commit = hosted.main()
    path = hosted.write(entry(version="1.1.0"))
    code, out, err = hosted.register("--quarantine", path, "--lift", f"{ID}@1.0.0")
    assert code == 0
    assert "is another version now" in err
    assert "is not quarantined" in err
    code, out, err = hosted.register("--quarantine", path, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["quarantines"] == []
    assert [text.partition(":")[0] for text in document["warnings"]] == [f"{ID} 1.1.0"]
    assert hosted.main() == commit


def test_the_guard_by_the_command(hosted: Hosted) -> None:
    """Both versions at once: refused with the option that says it is meant; with it, done; a dry run pushes nothing."""
    both = [json.loads(dump_marks([mark(hosted.world, version)]))[0] for version in ("1.0.0", "1.1.0")]
    path, commit = hosted.write(*both), hosted.main()
    code, out, err = hosted.register("--quarantine", path)
    assert (code, out) == (RegistrarError.exit_code, "")
    assert "--allow-loss 2" in err
    assert hosted.register("--quarantine", path, "--allow-loss", "2", "--dry-run")[0] == 0
    assert hosted.main() == commit
    assert hosted.register("--quarantine", path, "--allow-loss", "2")[0] == 0
    with pytest.raises((YankedError, NotFoundError)):
        hosted.client("fresh").resolve(ID)


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path) -> None:
    path.write_bytes(b" " * (FILE_LIMIT + 1))


def _text(path: Path) -> None:
    path.write_text("calendar 1.0.0")


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (_missing, ConfigError, "cannot be read"),
        (_folder, ConfigError, "cannot be read"),
        (_huge, ConfigError, "more than"),
        (_text, DocumentError, "is not JSON"),
    ],
)
def test_a_file_that_cannot_be_used(
    hosted: Hosted, spoil: Callable[[Path], None], kind: type[RegistryError], words: str
) -> None:
    """The error names the file; nothing is registered."""
    path, commit = hosted.write(), hosted.main()
    spoil(hosted.here / "bad.json")
    code, out, err = hosted.register("--quarantine", path)
    assert (code, out) == (kind.exit_code, "")
    assert f"error: {path}" in err
    assert words in err
    assert hosted.main() == commit


def test_a_lift_that_is_malformed(hosted: Hosted) -> None:
    """Before anything is looked at."""
    code, out, err = hosted.register("--lift", f"{ID} 1.0.0")
    assert (code, out) == (ConfigError.exit_code, "")
    assert "is not ID@VERSION" in err


def test_a_new_online_key_says_what_it_no_longer_quarantines(hosted: Hosted) -> None:
    """The index is derived anew from what publishers signed, and orders are not: people are told which are gone."""
    folder, keys = hosted.world.folder, hosted.world.keys
    digest = hosted.client("host").resolve(ID).manifest.payload_digest
    path = hosted.write(entry(version="1.1.0", payloadDigest=digest, reason="the archive changed"))
    assert hosted.register("--quarantine", path)[0] == 0
    git(folder, "pull", "--quiet", "origin", "main")
    new = ed25519("online-2")
    public = hosted.here / "online-2.pub.json"
    public.write_bytes(dump_json({"keyid": keyid(new), "key": keys_of(new)[keyid(new)]}))
    arguments = ["registry", "rotate", str(folder), "online", "--compromised", "--add", str(public)]
    for number, signer in enumerate((*keys.root[:2], keys.targets, new)):
        pem = hosted.here / f"{number}.pem"
        assert isinstance(signer, CryptoSigner)
        pem.touch(0o600)
        pem.write_bytes(signer.private_bytes)
        arguments += ["--key", str(pem)]
    hosted.capsys.readouterr()
    with hosted.monkeypatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(int(hosted.world.now.timestamp())))
        assert main(arguments) == 0
    said = hosted.capsys.readouterr().err
    assert f"no longer quarantined: {ID} 1.1.0 (artifact): the archive changed" in said
