"""`publisher registry renew`: what is due when, with which keys, and that hosts can read the result."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.githttp import git_host
from support.maintainers import START, Kept, make_registry
from support.mini_registry import serve
from support.world import commit_all, git
from tuf.api.metadata import Metadata, Targets

from publisher.cli.main import main
from publisher.git import Git, Remote
from publisher.git_tree import GitTree
from publisher.maintain.desk import Desk
from publisher.maintain.renew import due, renew_remote
from publisher.tree import DirTree, MemoryTree, write_changes
from publisher.tuf_repository import latest_version
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    ExpiredError,
    GitError,
    RegistrarError,
    SignatureError,
    VerificationError,
)
from registry_client.trust import RoleInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from publisher.tree import Tree

EVERYTHING = ("root-1", "root-2", "targets", "blocks", "online")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with one plugin."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    return kept


def readable(kept: Kept, tmp_path: Path) -> bool:
    """Whether a fresh host reads the registry now."""
    with serve(kept.folder) as url:
        client = kept.client(url, tmp_path / f"home-{kept.now.timestamp()}")
        return client.resolve("calendar").manifest.model.version == "1.0.0"


@pytest.mark.parametrize(
    ("role", "days", "age", "is_due"),
    [
        ("timestamp", 7, timedelta(hours=19), False),
        ("timestamp", 7, timedelta(hours=20), True),
        ("snapshot", 21, timedelta(hours=19), False),
        ("registrar", 21, timedelta(days=1), True),
        ("targets", 180, timedelta(days=119), False),
        ("targets", 180, timedelta(days=121), True),
        ("blocks", 180, timedelta(days=181), True),
        ("root", 365, timedelta(days=304), False),
        ("root", 365, timedelta(days=306), True),
        ("targets", 30, timedelta(days=19), False),
        ("targets", 30, timedelta(days=21), True),
        ("root", 3650, timedelta(days=3580), False),
        ("timestamp", 3650, timedelta(hours=20), True),
    ],
)
def test_when_a_role_is_due(role: str, days: int, age: timedelta, is_due: bool) -> None:
    """Online roles daily; offline ones 60 days before they expire, or in the last third of a shorter life."""
    info = RoleInfo(role, 1, START + timedelta(days=days), START)
    assert due(info, START + age) is is_due


def test_without_a_signing_time_online_roles_are_due() -> None:
    """Metadata that another tool made does not say for how many days it was signed."""
    info = RoleInfo("timestamp", 1, START + timedelta(days=7), None)
    assert due(info, START)
    assert not due(RoleInfo("root", 1, START + timedelta(days=100), None), START)
    assert due(RoleInfo("root", 1, START + timedelta(days=59), None), START)


class TestDaily:
    """What a scheduled job does with the online key."""

    def test_at_once_nothing_is_due(self, kept: Kept) -> None:
        """And nothing is written."""
        before = kept.fingerprint()
        assert set(kept.renew("online").values()) == {"fine"}
        assert kept.fingerprint() == before

    def test_the_next_day(self, kept: Kept, tmp_path: Path) -> None:
        """The three online roles are signed again, and only they; hosts read the result."""
        kept.pass_time(days=1)
        tree = DirTree(kept.folder)
        before = {role: latest_version(tree, role) for role in ("root", "targets", "blocks", "registrar")}
        assert kept.renew("online") == {
            "root": "fine",
            "targets": "fine",
            "blocks": "fine",
            "registrar": "renewed",
            "snapshot": "renewed",
            "timestamp": "renewed",
        }
        after = {role: latest_version(tree, role) for role in before}
        assert after == {**before, "registrar": before["registrar"] + 1}
        assert readable(kept, tmp_path)
        assert kept.audit().findings == ()

    def test_every_day_for_a_year(self, kept: Kept, tmp_path: Path) -> None:
        """With all keys at hand, a job that misses nine days of ten keeps the registry readable, and its files few."""
        for _ in range(37):
            kept.pass_time(days=10)
            kept.renew(*EVERYTHING)
            kept.register()
        assert readable(kept, tmp_path)
        assert kept.audit().findings == ()
        assert len(list((kept.folder / "metadata").glob("*.snapshot.json"))) <= 3
        assert latest_version(DirTree(kept.folder), "root") == 2

    def test_only_the_timestamp(self, kept: Kept, tmp_path: Path) -> None:
        """`--role` leaves the others as they are."""
        kept.pass_time(days=1)
        before = latest_version(DirTree(kept.folder), "registrar")
        found = kept.renew("online", roles=("timestamp",))
        assert found["timestamp"] == "renewed"
        assert latest_version(DirTree(kept.folder), "registrar") == before
        assert (found["registrar"], found["snapshot"]) == ("due", "due")  # really so, and left out
        assert readable(kept, tmp_path)

    def test_force(self, kept: Kept, tmp_path: Path) -> None:
        """Everything whose key is at hand is signed again, due or not; the rest is not reported as due."""
        found = kept.renew("online", "blocks", force=True)
        assert {role for role, result in found.items() if result == "renewed"} == {
            "blocks",
            "registrar",
            "snapshot",
            "timestamp",
        }
        assert found["root"] == found["targets"] == "fine"
        assert readable(kept, tmp_path)

    @pytest.mark.parametrize(
        ("key", "role", "renewed"),
        [
            ("online", "timestamp", {"timestamp"}),
            ("online", "snapshot", {"snapshot", "timestamp"}),
            ("online", "registrar", {"registrar", "snapshot", "timestamp"}),
            ("blocks", "blocks", {"blocks"}),
            ("targets", "targets", {"targets"}),
            ("targets", "timestamp", set()),
        ],
    )
    def test_force_on_one_role(
        self, kept: Kept, tmp_path: Path, key: str, role: str, renewed: set[str]
    ) -> None:
        """That role and what must be signed above it, as far as the key goes; nothing else is called due if it is not."""
        found = kept.renew(key, force=True, roles=(role,))
        assert {name for name, result in found.items() if result == "renewed"} == renewed
        assert {result for name, result in found.items() if name not in renewed} == {"fine"}
        assert kept.register().refused == []
        assert readable(kept, tmp_path)


class TestMissingKeys:
    """Keys of several people are rarely in one place."""

    def test_a_key_of_nobody(self, kept: Kept) -> None:
        """A key that signs nothing here is a mistake, which no scheduled job should hide until everything has expired."""
        kept.new_key("stranger")
        kept.pass_time(days=1)
        before = kept.fingerprint()
        for names in (("stranger",), ("acme",), ("stranger", "acme")):
            with pytest.raises(ConfigError, match="no key that was given may sign") as caught:
                kept.renew(*names)
            assert kept.keyid(names[0])[:16] in caught.value.message
        assert kept.fingerprint() == before
        assert kept.renew("stranger", "online")["timestamp"] == "renewed"

    def test_a_key_of_tomorrow(self, kept: Kept) -> None:
        """Keys that a staged change names may sign ahead."""
        kept.new_key("root-4")
        assert kept.rotate("root", "root-1", add=("root-4",)) == ["staging/2.root.json"]
        assert kept.renew("root-4")["root"] == "fine"

    def test_due_is_said(self, kept: Kept) -> None:
        """The online job goes on, and names the offline roles whose time has come."""
        kept.pass_time(days=130)
        found = kept.renew("online")
        assert (found["targets"], found["blocks"], found["root"]) == ("due", "due", "fine")
        assert found["timestamp"] == "renewed"

    def test_due_is_said_of_online_roles_too(self, kept: Kept) -> None:
        """A maintainer who renews targets learns that the daily job has not run."""
        kept.pass_time(days=2)
        found = kept.renew("targets")
        assert {role for role, result in found.items() if result == "due"} == {
            "registrar",
            "snapshot",
            "timestamp",
        }

    def test_a_root_with_one_of_two_keys_is_staged(self, kept: Kept, tmp_path: Path) -> None:
        """It is renewed when the second has signed."""
        kept.pass_time(days=320)
        assert kept.renew("root-1", "targets", "blocks")["root"] == "staged"
        assert latest_version(DirTree(kept.folder), "root") == 1
        kept.renew("root-1", "root-2")
        assert latest_version(DirTree(kept.folder), "root") == 2
        kept.renew("online")
        assert readable(kept, tmp_path)


class TestExpired:
    """A registry that was left alone."""

    @pytest.mark.parametrize("days", [8, 25, 200, 400])
    def test_it_is_renewed_and_readable_again(self, kept: Kept, tmp_path: Path, days: int) -> None:
        """However much has expired, one run with all keys brings it back."""
        kept.pass_time(days=days)
        with pytest.raises(ExpiredError):
            readable(kept, tmp_path)
        kept.renew(*EVERYTHING)
        assert readable(kept, tmp_path)
        assert kept.audit().findings == ()

    def test_by_people_one_after_the_other(self, kept: Kept, tmp_path: Path) -> None:
        """Each renews what is theirs; the online key comes last and makes it readable."""
        kept.pass_time(days=400)
        for names in (("root-2", "root-3"), ("targets",), ("blocks",), ("online",)):
            kept.renew(*names)
        assert readable(kept, tmp_path)

    def test_nothing_is_written_that_hosts_would_refuse(self, kept: Kept) -> None:
        """With targets expired, signing the online roles again would make nothing readable: an error says so."""
        kept.pass_time(days=200)
        before = kept.fingerprint()
        with pytest.raises(RegistrarError, match="targets metadata has expired"):
            kept.renew("online")
        assert kept.fingerprint() == before


# -- on a Git remote -----------------------------------------------------------------------------------------------------


@dataclass
class Hosted:
    """The registry on a bare repository, and the command.

    Attributes:
        kept: the registry and its keys.
        bare: the repository.
        capsys: catches what the command prints.
    """

    kept: Kept
    bare: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str, key: str = "online", on: str = "") -> tuple[int, str, str]:
        """`publisher registry renew` on it: exit code, stdout, stderr."""
        self.capsys.readouterr()
        signing = ("--key", str(self.kept.keys[key]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", str(int(self.kept.now.timestamp())))
            code = main(["registry", "renew", on or str(self.bare), *signing, *arguments])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err

    @property
    def pinned(self) -> tuple[str, str]:
        """The option that pins the root."""
        return "--root-digest", Digest.of(self.kept.pinned)

    def main(self) -> str:
        """The commit of main."""
        return git(self.bare, "rev-parse", "main")

    def commit(self, changes: dict[str, bytes | None]) -> str:
        """Someone else's commit on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            commit = repository.commit(self.main(), changes, "someone else's", self.kept.now)
        git(self.bare, "update-ref", "refs/heads/main", commit)
        return commit

    def commits(self, since: str) -> list[str]:
        """Subjects of the commits on main since one, newest first."""
        return git(self.bare, "log", "--format=%s", f"{since}..main").splitlines()

    def take(self) -> None:
        """Bring the folder to what main has."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            tree = GitTree(repository, self.main())
            files: dict[str, bytes | None] = {path: tree.read(path) for path in tree.paths("")}
        gone = {
            path: None for path in self.kept.files() if path not in files and not path.startswith(".git/")
        }
        write_changes(self.kept.folder, {**files, **gone})

    def hook(self, script: str) -> None:
        """What the host does with each ref that is pushed."""
        hook = self.bare / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)


@pytest.fixture
def hosted(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hosted:
    """The registry, pushed."""
    bare = tmp_path / "hub" / "acme" / "registry.git"
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    git(bare, "config", "http.receivepack", "true")
    git(kept.folder, "init", "--quiet", "--initial-branch=main", ".")
    commit_all(kept.folder, "Make the registry")
    git(kept.folder, "push", "--quiet", str(bare), "main")
    return Hosted(kept, bare, capsys)


class TestRemote:
    """What the scheduled job does: no clone, one commit, pushed with a lease."""

    def test_one_commit(self, hosted: Hosted, tmp_path: Path) -> None:
        """It names the roles; hosts read the result; the folder on the same machine has nothing to do with it."""
        hosted.kept.pass_time(days=1)
        before, folder = hosted.main(), hosted.kept.fingerprint()
        code, out, err = hosted.run(*hosted.pinned)
        assert (code, err) == (0, "")
        assert "timestamp  renewed  expires 2030-01-23 12:00 UTC" in out
        assert hosted.commits(before) == ["Renew registrar, snapshot, timestamp"]
        assert git(hosted.bare, "rev-parse", "main~1") == before
        assert hosted.kept.fingerprint() == folder
        hosted.take()
        assert readable(hosted.kept, tmp_path)
        assert hosted.kept.audit().findings == ()

    def test_as_in_a_folder(self, hosted: Hosted) -> None:
        """The same files and the same report, in words and as JSON."""
        hosted.kept.pass_time(days=1)
        here = hosted.run("--json", on=str(hosted.kept.folder))
        there = hosted.run("--json", *hosted.pinned)
        assert here == there
        assert json.loads(there[1])["changedFiles"]
        folder = hosted.kept.files()
        hosted.take()
        changed = json.loads(there[1])["changedFiles"]
        assert {path: folder.get(path) for path in changed} == {
            path: hosted.kept.files().get(path) for path in changed
        }

    def test_nothing_is_due(self, hosted: Hosted) -> None:
        """No commit."""
        before = hosted.main()
        code, out, err = hosted.run("--json", *hosted.pinned)
        assert (code, err) == (0, "")
        assert json.loads(out)["changedFiles"] == []
        assert {item["result"] for item in json.loads(out)["roles"]} == {"fine"}
        assert hosted.main() == before

    def test_force_on_one_role_warns_of_nothing(self, hosted: Hosted) -> None:
        """Only the timestamp was asked for, and nothing else is due."""
        before = hosted.main()
        code, out, err = hosted.run("--force", "--role", "timestamp", *hosted.pinned)
        assert (code, err) == (0, "")
        assert "snapshot   fine" in out
        assert hosted.commits(before) == ["Renew timestamp"]

    def test_what_is_due_and_left_out(self, hosted: Hosted) -> None:
        """It is said why: the role was not asked for, or its key was not given."""
        hosted.kept.pass_time(days=120)
        assert hosted.run(*hosted.pinned)[0] == 0
        hosted.kept.pass_time(days=10)
        code, _, err = hosted.run(
            "--role", "timestamp", "--role", "snapshot", "--role", "blocks", *hosted.pinned
        )
        assert code == 0
        assert err.splitlines() == [
            "warning: targets should be signed again, and --role leaves it out",
            "warning: blocks should be signed again, and none of its keys was given",
            "warning: registrar should be signed again, and --role leaves it out",
        ]

    def test_main_moved_meanwhile(self, hosted: Hosted) -> None:
        """It starts over from what main is now; nothing of the other push is lost, nothing is overwritten."""
        hosted.kept.pass_time(days=1)
        before = hosted.main()
        seen: list[str] = []

        def desk_for(tree: Tree) -> Desk:
            seen.append(hosted.main())
            if len(seen) == 1:
                hosted.commit({"note.txt": b"note"})
            return Desk(tree, [hosted.kept.signer("online")], hosted.kept.now)

        done = renew_remote(Remote(str(hosted.bare)), "main", desk_for, os.environ)
        assert {item.role for item in done.roles if item.result == "renewed"} == {
            "registrar",
            "snapshot",
            "timestamp",
        }
        assert len(seen) == 2
        assert hosted.commits(before) == ["Renew registrar, snapshot, timestamp", "someone else's"]
        assert git(hosted.bare, "show", "main:note.txt") == "note"
        assert git(hosted.bare, "rev-list", "--min-parents=2", "main") == ""

    def test_another_run_was_faster(self, hosted: Hosted) -> None:
        """Then nothing is due any more, and no second commit is made."""
        hosted.kept.pass_time(days=1)
        before, calls = hosted.main(), 0

        def desk_for(tree: Tree) -> Desk:
            nonlocal calls
            calls += 1
            if calls == 1:
                assert hosted.run(*hosted.pinned)[0] == 0
                hosted.kept.pass_time(seconds=1)  # in the same second, both would make the same commit
            return Desk(tree, [hosted.kept.signer("online")], hosted.kept.now)

        done = renew_remote(Remote(str(hosted.bare)), "main", desk_for, os.environ)
        assert (calls, done.changed) == (2, [])
        assert len(hosted.commits(before)) == 1

    def test_main_that_never_stands_still(self, hosted: Hosted) -> None:
        """After eight attempts: an error that says what to do."""
        hosted.kept.pass_time(days=1)
        calls = 0

        def desk_for(tree: Tree) -> Desk:
            nonlocal calls
            calls += 1
            hosted.commit({f"{calls}.txt": b""})
            return Desk(tree, [hosted.kept.signer("online")], hosted.kept.now)

        with pytest.raises(RegistrarError, match="moved 8 times") as caught:
            renew_remote(Remote(str(hosted.bare)), "main", desk_for, os.environ)
        assert (calls, caught.value.hint) == (8, "Run it again.")

    @pytest.mark.parametrize(
        ("arguments", "key", "kind", "words"),
        [
            ((), "acme", ConfigError, "no key that was given may sign a role of this registry"),
            (("--root-digest", f"sha256:{'0' * 64}"), "online", ConfigError, "is pinned"),
            (("--root-digest", "sha256:0"), "online", ConfigError, "--root-digest"),
            (("--branch", "trunk"), "online", GitError, "has no branch 'trunk'"),
            (("--role", "everything"), "online", ConfigError, "there is no role 'everything'"),
        ],
    )
    def test_mistakes(
        self, hosted: Hosted, arguments: tuple[str, ...], key: str, kind: type[ConfigError], words: str
    ) -> None:
        """A clear error, and nothing is pushed."""
        hosted.kept.pass_time(days=1)
        before = hosted.main()
        code, out, err = hosted.run(*hosted.pinned, *arguments, key=key)
        assert (code, out) == (kind.exit_code, "")
        assert err.startswith("error: ")
        assert words in err
        assert hosted.main() == before

    def test_a_root_that_nobody_pinned(self, hosted: Hosted) -> None:
        """It goes on, and says whom it believes."""
        hosted.kept.pass_time(days=1)
        code, _, err = hosted.run()
        assert code == 0
        assert err == "warning: no --root-digest was given, so the root of trust on the remote is believed\n"

    def test_a_replaced_root(self, hosted: Hosted) -> None:
        """Somebody pushed a root of their own: the pin stops it before anything is signed."""
        pinned = hosted.pinned
        other = make_registry(hosted.bare.parent / "other")
        commit = hosted.commit(dict(other.files()))
        code, _, err = hosted.run("--force", *pinned)
        assert code == ConfigError.exit_code
        assert "Someone replaced the root of trust" in err
        assert hosted.main() == commit

    def test_a_host_that_protects_main(self, hosted: Hosted) -> None:
        """The error says what the host said and which credential is meant; it is tried once."""
        hosted.kept.pass_time(days=1)
        before = hosted.main()
        hosted.hook('echo "$1" >> pushed; exit 1')
        code, out, err = hosted.run(*hosted.pinned)
        assert (code, out) == (GitError.exit_code, "")
        assert "error: the remote refuses the push to refs/heads/main: " in err
        assert "hook declined" in err
        assert "must be allowed to push to main" in err
        assert (hosted.bare / "pushed").read_text() == "refs/heads/main\n"
        assert hosted.main() == before

    def test_a_host_that_wants_a_token(self, hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without one, or with another, the hint names the variable, and the token is not shown; with it, it is renewed."""
        hosted.kept.pass_time(days=1)
        before = hosted.main()
        with git_host(hosted.bare.parents[1], token="the-right-token") as host:
            monkeypatch.setenv("GITHUB_SERVER_URL", host.url)
            host.say = "no: {password}"
            for token in ("", "another-token-012345"):
                monkeypatch.setenv("PLUGIN_REGISTRY_TOKEN", token)
                code, out, err = hosted.run(*hosted.pinned, on=f"{host.url}/acme/registry.git")
                assert (code, out) == (GitError.exit_code, "")
                assert "PLUGIN_REGISTRY_TOKEN" in err
                assert "another-token" not in err
            assert hosted.main() == before
            monkeypatch.setenv("PLUGIN_REGISTRY_TOKEN", "the-right-token")
            assert hosted.run(*hosted.pinned, on=f"{host.url}/acme/registry.git")[0] == 0
        assert hosted.commits(before) == ["Renew registrar, snapshot, timestamp"]

    def test_people_one_after_the_other(self, hosted: Hosted, tmp_path: Path) -> None:
        """A root that lacks a signature is staged on main, and served once the next has signed."""
        hosted.kept.pass_time(days=320)
        before = hosted.main()
        code, out, _ = hosted.run("--json", "--role", "root", *hosted.pinned, key="root-1")
        assert code == 0
        assert json.loads(out)["staged"] == ["staging/2.root.json"]
        both = ("--key", str(hosted.kept.keys["root-1"]))
        assert hosted.run("--role", "root", *both, *hosted.pinned, key="root-2")[0] == 0
        for key in ("targets", "blocks", "online"):
            assert hosted.run(*hosted.pinned, key=key)[0] == 0
        assert hosted.commits(before)[::-1] == [
            "Renew root",
            "Renew root",
            "Renew targets",
            "Renew blocks",
            "Renew registrar, snapshot, timestamp",
        ]
        hosted.take()
        assert latest_version(DirTree(hosted.kept.folder), "root") == 2
        assert not list(hosted.kept.folder.glob("staging/*"))
        assert readable(hosted.kept, tmp_path)


def test_a_desk_over_a_commit_writes_nothing_into_a_folder(kept: Kept) -> None:
    """Its change is for whoever pushes it; saved by mistake it would land in the current folder."""
    desk = Desk(MemoryTree(kept.files()), [kept.signer("online")], kept.now)
    desk.tree.write("a.txt", b"a")
    with pytest.raises(TypeError, match="no working tree"):
        desk.save()
    assert desk.finish() == {"a.txt": b"a"}


# -- what somebody put into staging/ -------------------------------------------------------------------------------------


def _first_root(kept: Kept) -> bytes:
    return kept.pinned


def _renumbered(role: str, version: int, number: int) -> Callable[[Kept], bytes]:
    def make(kept: Kept) -> bytes:
        metadata: Metadata[Any] = Metadata.from_bytes(
            (kept.folder / f"metadata/{number}.{role}.json").read_bytes()
        )
        metadata.signed.version = version
        return metadata.to_bytes()

    return make


STRANGE: dict[str, tuple[str, Callable[[Kept], bytes], type[VerificationError], str]] = {
    "no JSON": ("2.root", lambda _: b"garbage", VerificationError, "is not TUF metadata"),
    "no JSON, far ahead": ("9.root", lambda _: b"garbage", VerificationError, "is not TUF metadata"),
    "nothing": ("2.root", lambda _: b"", VerificationError, "is not TUF metadata"),
    "no metadata": ("2.root", lambda _: b'{"signed": {}}', VerificationError, "is not TUF metadata"),
    "deep": ("2.root", lambda _: b"[" * 100_000, VerificationError, "is not TUF metadata"),
    "another role": (
        "2.root",
        lambda kept: (kept.folder / "metadata/1.targets.json").read_bytes(),
        VerificationError,
        "is metadata of type targets",
    ),
    "the first root again": ("2.root", _first_root, VerificationError, "states version 1"),
    "the first root, far ahead": (
        "9.root",
        _first_root,
        VerificationError,
        "the next version of role root is 2",
    ),
    "a root far ahead": (
        "9.root",
        _renumbered("root", 9, 1),
        VerificationError,
        "the next version of role root is 2",
    ),
    "an unsigned root": ("2.root", _renumbered("root", 2, 1), SignatureError, "carries no valid signature"),
    "no JSON as targets": ("9.targets", lambda _: b"garbage", VerificationError, "is not TUF metadata"),
    "unsigned targets": (
        "3.targets",
        _renumbered("targets", 3, 2),
        SignatureError,
        "carries no valid signature",
    ),
}


@pytest.mark.parametrize("case", STRANGE.values(), ids=STRANGE)
def test_strange_files_in_staging(
    kept: Kept,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, Callable[[Kept], bytes], type[VerificationError], str],
) -> None:
    """Nobody signs on top of them: the error names the file and the way out. The registrar goes on without them."""
    name, make, kind, words = case
    path = kept.folder / "staging" / f"{name}.json"
    path.parent.mkdir()
    path.write_bytes(make(kept))
    kept.write_manifest("calendar", "1.1.0", "acme")
    assert kept.register().refused == []
    assert kept.register(full=True).changes == {}
    kept.pass_time(days=1)
    before = kept.fingerprint()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(kept.now.timestamp())))
    keys = [text for key in EVERYTHING for text in ("--key", str(kept.keys[key]))]
    assert main(["registry", "renew", str(kept.folder), "--force", *keys]) == kind.exit_code
    said = capsys.readouterr().err
    assert f"error: staging/{name}.json: {words}" in said
    assert "hint: Delete the file" in said
    assert kept.fingerprint() == before
    named = {finding.path for finding in kept.audit().findings}  # it goes on, too
    assert (f"staging/{name}.json" in named) is (name == "9.targets")
    path.unlink()
    kept.renew("online")
    with serve(kept.folder) as url:
        assert kept.client(url, tmp_path / "home").resolve("calendar").manifest.model.version == "1.1.0"


@pytest.mark.parametrize("role", ["registrar", "snapshot", "timestamp"])
@pytest.mark.parametrize("version", ["3", "777", "9" * 30])
def test_online_roles_are_never_taken_out_of_staging(kept: Kept, role: str, version: str) -> None:
    """Whoever may push to main could have the online key sign what they wrote, under any version and for any time."""
    evil = Metadata(Targets(777))
    evil.signed.unrecognized_fields["x-plugin-registry-expiry-days"] = 36500
    (kept.folder / "staging").mkdir()
    for data in (evil.to_bytes(), b"garbage"):
        path = kept.folder / "staging" / f"{version}.{role}.json"
        path.write_bytes(data)
        kept.write_manifest("calendar", f"1.{len(data)}.0", "acme")
        assert kept.register().refused == []
        kept.pass_time(days=1)
        assert kept.renew("online")[role] == "renewed"
        tree = DirTree(kept.folder)
        assert latest_version(tree, "registrar") < 10
        path.unlink(missing_ok=True)
        assert kept.audit().findings == ()
    assert len(DirTree(kept.folder).read("registry.json") or b"") > 100


def test_a_staged_root_makes_no_commits(kept: Kept) -> None:
    """While a change of the online key waits for signatures, the registrar finds nothing to do, as before."""
    kept.new_key("online-2")
    assert kept.rotate("online", "root-1", "targets", add=("online-2",))
    kept.register()
    assert kept.register().changes == {}
