"""The registrar on a real Git remote: what a publish ref may hold, and what happens when things happen at once."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519, manifest, sign
from support.world import World, git, push_to_bare

from publisher.cli.main import main
from publisher.destination import open_destination
from publisher.git import Git, Remote
from publisher.git_tree import GitTree
from publisher.registrar import admit
from publisher.registrar import remote as remote_module
from publisher.registrar.remote import register_remote
from publisher.registrar.submission import MAX_IN_TREE, Result
from publisher.tree import MemoryTree, Tree
from registry_client.digest import Digest
from registry_client.errors import GitError, PublishError, RegistrarError, SignatureError
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.signed import verify_manifest

if TYPE_CHECKING:
    from publisher.registrar.run import Options, Run

ACME = ed25519("acme-1")
GOOD = dump_json(sign(manifest(id="acme-x", version="1.0.0"), ACME))
HEX = payload_digest_of(json.loads(GOOD)).hex[:12]
REF = f"refs/heads/publish/acme-x@1.0.0@{HEX}"


@dataclass
class Hosted:
    """A registry with its bare repository."""

    world: World
    bare: Path

    def publish(self, plugin_id: str, version: str, **members: Any) -> None:
        """Publish by `git push`."""
        with open_destination(str(self.bare), "main", os.environ) as destination:
            self.world.publish(plugin_id, version, to=destination, **members)

    def register(self, options_for: Any = None, **more: Any) -> Run:
        """Run the registrar on the bare repository."""

        def plain(_: Tree) -> Options:
            return self.world.options()

        remote = Remote(str(self.bare))
        return register_remote(
            remote, "main", options_for or plain, os.environ, lambda: self.world.now, **more
        )

    def refs(self) -> list[str]:
        """Publish refs that are there."""
        return git(self.bare, "for-each-ref", "--format=%(refname)", "refs/heads/publish/").split()

    def main(self) -> str:
        """The commit of main."""
        return git(self.bare, "rev-parse", "main")

    def tree(self) -> MemoryTree:
        """The files on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            tree = GitTree(repository, self.main())
            return MemoryTree({path: tree.read(path) or b"" for path in tree.paths("")})

    def commit(self, changes: dict[str, bytes | None]) -> None:
        """Someone else's commit on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            commit = repository.commit(self.main(), changes, "someone else's", self.world.now)
        git(self.bare, "update-ref", "refs/heads/main", commit)

    def versions(self, plugin_id: str) -> list[str]:
        """What a fresh client reads of a plugin."""
        home = f"host-{self.main()}-{plugin_id}"
        client = self.world.client(home, tree=self.tree())
        return [info.version for info in client.versions(plugin_id)]

    def log(self) -> list[str]:
        """Messages of all commits on main, newest first."""
        return git(self.bare, "log", "--format=%B%x00", "main").split("\0")

    def is_linear(self) -> bool:
        """Whether no commit of main has two parents."""
        return all(
            len(line.split()) <= 2 for line in git(self.bare, "rev-list", "--parents", "main").split("\n")
        )

    def raw_ref(self, ref: str, *entries: tuple[str, str, bytes], parent: str = "") -> str:
        """Write a ref by hand: (mode, path, content) for each entry; for a submodule the content does not matter."""
        index = {**os.environ, "GIT_INDEX_FILE": str(self.bare / "by-hand.index")}
        for mode, path, data in entries:
            oid = (
                self.main()
                if mode == "160000"
                else git(self.bare, "hash-object", "-w", "--stdin", stdin=data)
            )
            add = [
                "git",
                "-C",
                str(self.bare),
                "update-index",
                "--add",
                "--cacheinfo",
                f"{mode},{oid},{path}",
            ]
            subprocess.run(add, check=True, env=index)
        written = subprocess.run(
            ["git", "-C", str(self.bare), "write-tree"], check=True, env=index, capture_output=True
        )
        (self.bare / "by-hand.index").unlink(missing_ok=True)
        parents = ["-p", parent] if parent else []
        commit = git(self.bare, "commit-tree", *parents, "-m", "by hand", written.stdout.decode().strip())
        git(self.bare, "update-ref", ref, commit)
        return commit


@pytest.fixture
def hosted(tmp_path: Path) -> Hosted:
    """An empty registry with publisher acme on a bare repository."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.register()
    return Hosted(world, push_to_bare(world, tmp_path / "bare.git"))


def test_publish_and_register_by_git(hosted: Hosted) -> None:
    """One push for each version, one commit for the batch, refs gone, a client reads it."""
    for version in ("1.0.0", "1.1.0"):
        hosted.publish("acme-x", version)
    assert len(hosted.refs()) == 2
    before = hosted.main()
    run = hosted.register()
    assert [outcome.result for outcome in run.outcomes] == [Result.PUBLISHED] * 2
    assert git(hosted.bare, "rev-list", "--count", f"{before}..main") == "1"
    assert hosted.refs() == []
    assert hosted.versions("acme-x") == ["1.0.0", "1.1.0"]
    assert "acme-x 1.1.0: published" in hosted.log()[0]
    after = hosted.main()
    assert hosted.register().changes == {}
    assert hosted.main() == after


def test_a_dry_run_pushes_nothing(hosted: Hosted) -> None:
    """It says what would be done."""
    hosted.publish("acme-x", "1.0.0")
    before, refs = hosted.main(), hosted.refs()
    run = hosted.register(dry_run=True)
    assert [outcome.result for outcome in run.outcomes] == [Result.PUBLISHED]
    assert (hosted.main(), hosted.refs()) == (before, refs)


PLAIN = ("100644", "manifest.json", GOOD)
BIG = b"x" * (MAX_IN_TREE + 1)
BAD_REFS: dict[str, tuple[list[tuple[str, str, bytes]], str]] = {
    "an extra file": ([PLAIN, ("100644", "README.md", b"hello")], "README.md"),
    "a workflow": ([PLAIN, ("100644", ".github/workflows/x.yml", b"on: push")], ".github/workflows/x.yml"),
    "a nested manifest": ([("100644", "plugins/acme-x/1.0.0/manifest.json", GOOD)], "holds only"),
    "a link": ([("120000", "manifest.json", b"/etc/passwd")], "mode 120000"),
    "an executable": ([("100755", "manifest.json", GOOD)], "mode 100755"),
    "a submodule": ([("160000", "manifest.json", b"")], "mode 160000"),
    "a huge manifest": ([("100644", "manifest.json", GOOD + b" " * 300_000)], "at most 262144"),
    "a huge release": ([PLAIN, ("100644", "release.json", b" " * 20_000)], "at most 16384"),
    "a huge artifact": (
        [PLAIN, ("100644", f"artifacts/sha256/{Digest.of(BIG).hex}/a", BIG)],
        "at most 10000000",
    ),
    "a strange artifact": ([PLAIN, ("100644", "artifacts/sha256/short/a", b"a")], "holds only"),
    "many files": ([PLAIN, *(("100644", f"f{n}", b"") for n in range(60))], "61 files"),
    "nothing": ([], "neither manifest.json nor release.json"),
    "another plugin": (
        [("100644", "manifest.json", GOOD.replace(b"acme-x", b"acme-y"))],
        "holds another document than its name says",
    ),
}


@pytest.mark.parametrize("case", [pytest.param(row, id=name) for name, row in BAD_REFS.items()])
def test_bad_publish_refs(hosted: Hosted, case: tuple[list[tuple[str, str, bytes]], str]) -> None:
    """Refused with a clear error on its commit, removed, and the good ref next to it is registered."""
    entries, words = case
    commit = hosted.raw_ref(REF, *entries)
    hosted.publish("acme-good", "1.0.0")
    run = hosted.register()
    (refused,) = run.refused
    assert isinstance(refused.error, PublishError | GitError)
    assert words in refused.error.message
    assert refused.submission.commit == commit
    assert refused.submission.source == f"publish/acme-x@1.0.0@{HEX}"
    assert hosted.refs() == []
    assert hosted.versions("acme-good") == ["1.0.0"]
    assert not [path for path in hosted.tree().paths("") if "acme-x" in path or path.startswith("artifacts/")]


def test_what_nobody_signed_takes_no_memory(hosted: Hosted) -> None:
    """A few kilobytes are enough to name gigabytes of zeros: no artifact is read before the signature was checked."""
    data = dump_json(sign(manifest(id="acme-x", version="1.0.0"), ed25519("stranger")))
    zeros = bytes(10_000_000)
    folder = f"artifacts/sha256/{Digest.of(zeros).hex}"
    entries = [("100644", f"{folder}/{number}", zeros) for number in range(12)]
    hosted.raw_ref(REF, ("100644", "manifest.json", data), *entries)
    tracemalloc.start()
    try:
        run = hosted.register()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [type(outcome.error) for outcome in run.refused] == [SignatureError]
    assert peak < 2 * len(zeros)


def test_a_commit_with_a_parent_is_refused(hosted: Hosted) -> None:
    """A submission is one commit: it cannot drag history along."""
    hosted.raw_ref(REF, PLAIN, parent=hosted.main())
    (refused,) = hosted.register().refused
    assert refused.error is not None
    assert "has a parent" in refused.error.message


def test_the_hand_made_ref_is_good_when_nothing_is_wrong(hosted: Hosted) -> None:
    """The table's plain entry alone is taken."""
    hosted.raw_ref(REF, PLAIN)
    assert hosted.register().refused == []
    assert hosted.versions("acme-x") == ["1.0.0"]


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "acme-x@1.0.0",
        f"acme-x@1.0@{HEX}",
        f"ACME@1.0.0@{HEX}",
        f"acme-x@1.0.0@{HEX}0",
        f"acme-x@1.0.0@{HEX}/more",
        "x" * 200,
    ],
)
def test_bad_ref_names(hosted: Hosted, name: str) -> None:
    """What is not publish/<id>@<version>@<digest> is refused and removed."""
    hosted.raw_ref(f"refs/heads/publish/{name}", PLAIN)
    before = hosted.main()
    (refused,) = hosted.register().refused
    assert refused.error is not None
    assert "is not publish/<id>@<version>@<12 hex digits>" in refused.error.message
    assert len(refused.error.message) < 300
    assert hosted.refs() == []
    assert hosted.main() == before


CRASHERS = {
    "a dialect that is a list": {"$schema": []},
    "a pointer into a text": {"$ref": "#/type/x", "type": "object"},
    "a pointer into a number": {"$ref": "#/minimum/0", "minimum": 5},
    "a pointer with an odd digit": {"$ref": "#/allOf/²", "allOf": [{}]},
    "a pointer with a long number": {"$ref": f"#/allOf/{'9' * 5000}", "allOf": [{}]},
}


@pytest.mark.parametrize("configuration", CRASHERS.values(), ids=CRASHERS)
@pytest.mark.parametrize("key", [ACME, ed25519("stranger")], ids=["signed", "by a stranger"])
def test_odd_schemas_stop_nobody(hosted: Hosted, configuration: dict[str, Any], key: Any) -> None:
    """Whatever a submission breaks concerns it alone: the next one is registered, and its ref goes."""
    odd = sign(manifest(id="acme-x", version="1.0.0", configuration=configuration), key)
    hosted.raw_ref(
        f"refs/heads/publish/acme-x@1.0.0@{payload_digest_of(odd).hex[:12]}",
        ("100644", "manifest.json", dump_json(odd)),
    )
    hosted.publish("acme-good", "1.0.0")
    (refused,) = hosted.register().refused
    assert refused.submission.id == "acme-x"
    assert refused.error is not None
    assert "could not be judged" not in refused.error.message
    assert hosted.refs() == []
    assert hosted.versions("acme-good") == ["1.0.0"]


def test_a_submission_that_breaks_the_code_is_refused(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of defence: an error that nobody thought of refuses one submission and names its kind."""
    hosted.publish("acme-x", "1.0.0")
    hosted.publish("acme-y", "1.0.0")
    honest = verify_manifest

    def breaks(document: Any, keys: Any) -> Any:
        if document.model.id == "acme-x":
            raise ZeroDivisionError
        return honest(document, keys)

    monkeypatch.setattr(admit, "verify_manifest", breaks)
    (refused,) = hosted.register().refused
    assert refused.error is not None
    assert "could not be judged (ZeroDivisionError)" in refused.error.message
    assert hosted.versions("acme-y") == ["1.0.0"]


@pytest.mark.parametrize(
    "odd", [b"\xff", "\u2028z".encode(), "\u0085".encode()], ids=["no UTF-8", "U+2028", "U+0085"]
)
def test_odd_bytes_in_ref_names_stop_nobody(hosted: Hosted, odd: bytes) -> None:
    """A name that only begins like another publisher's ref neither hides that ref nor ends the run."""
    hosted.raw_ref(REF, PLAIN)
    packed = hosted.bare / "packed-refs"
    oid = git(hosted.bare, "rev-parse", REF)
    header = b"" if packed.exists() else b"# pack-refs with: peeled fully-peeled sorted \n"
    with packed.open("ab") as file:
        file.write(header + oid.encode() + b" " + REF.encode() + odd + b"\n")
    (refused,) = hosted.register().refused
    assert refused.error is not None
    assert "is not publish/" in refused.error.message
    assert hosted.versions("acme-x") == ["1.0.0"]
    assert hosted.refs() == []


def test_many_refs_are_handled_in_batches(hosted: Hosted) -> None:
    """More refs than one command line or one commit should name: all are handled, in one run."""
    commit = hosted.raw_ref("refs/heads/publish/junk", ("100644", "junk", b"junk"))
    names = [f"create refs/heads/publish/{'j' * 150}{number} {commit}\n" for number in range(700)]
    git(hosted.bare, "update-ref", "--stdin", stdin="".join(names).encode())
    hosted.publish("acme-good", "1.0.0")
    assert len(hosted.register().refused) == 701
    assert hosted.refs() == []
    assert hosted.versions("acme-good") == ["1.0.0"]


def test_nothing_of_a_ref_runs_or_is_checked_out(hosted: Hosted, tmp_path: Path) -> None:
    """Attributes and filters in a submission have no effect; hooks of the remote's user neither."""
    marker = tmp_path / "ran"
    filters = f'[filter "evil"]\n\tsmudge = touch {marker}\n'
    hosted.raw_ref(
        REF, PLAIN, ("100644", ".gitattributes", b"* filter=evil"), ("100644", ".gitconfig", filters.encode())
    )
    assert len(hosted.register().refused) == 1
    assert not marker.exists()


# -- at once -----------------------------------------------------------------------------------------------------


def test_main_moved_meanwhile(hosted: Hosted) -> None:
    """The registrar starts over from what main is now; nothing of the other push is lost."""
    hosted.publish("acme-x", "1.0.0")
    calls: list[int] = []

    def options_for(_: Tree) -> Options:
        calls.append(1)
        if len(calls) == 1:
            hosted.commit({"first.txt": b"note"})
        return hosted.world.options()

    hosted.register(options_for)
    assert len(calls) == 2
    assert hosted.versions("acme-x") == ["1.0.0"]
    assert hosted.tree().read("first.txt") == b"note"
    assert hosted.is_linear()


def test_main_that_never_stands_still(hosted: Hosted) -> None:
    """After eight attempts: an error that says what to do; the refs are still there for the next run."""
    hosted.publish("acme-x", "1.0.0")
    calls: list[int] = []

    def options_for(_: Tree) -> Options:
        calls.append(1)
        hosted.commit({f"{len(calls)}.txt": b"note"})
        return hosted.world.options()

    with pytest.raises(RegistrarError, match="moved 8 times") as caught:
        hosted.register(options_for)
    assert caught.value.hint
    assert len(hosted.refs()) == 1
    hosted.register()
    assert hosted.versions("acme-x") == ["1.0.0"]


def test_a_ref_that_changed_after_being_read_stays(hosted: Hosted) -> None:
    """It is deleted only as it was read; what came later is for the next run."""
    hosted.publish("acme-x", "1.0.0")
    (ref,) = hosted.refs()
    later: list[str] = []

    def options_for(_: Tree) -> Options:
        if not later:
            later.append(hosted.raw_ref(ref, ("100644", "README.md", b"later")))
        return hosted.world.options()

    run = hosted.register(options_for)
    assert run.refused == []
    assert hosted.versions("acme-x") == ["1.0.0"]
    assert git(hosted.bare, "rev-parse", ref) == later[0]
    assert len(hosted.register().refused) == 1
    assert hosted.refs() == []


def test_a_remote_that_protects_main(hosted: Hosted) -> None:
    """A refused push is an error that names the credential; nothing is deleted."""
    hosted.publish("acme-x", "1.0.0")
    hook = hosted.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ntest "$1" != refs/heads/main\n')
    hook.chmod(0o755)
    with pytest.raises(GitError, match="refuses the push") as caught:
        hosted.register()
    assert "credential" in caught.value.hint
    assert len(hosted.refs()) == 1


def test_registrars_and_publishers_at_once(hosted: Hosted) -> None:
    """Every version is registered, none twice, and the history of main is linear."""
    names = [f"acme-{letter}" for letter in "abcdefgh"]

    def register(_: int) -> None:
        hosted.register()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: hosted.publish(name, "1.0.0"), names[:4]))
        runs = [pool.submit(register, number) for number in range(3)]
        pushes = [pool.submit(hosted.publish, name, "1.0.0") for name in names[4:]]
        for job in (*runs, *pushes):
            job.result()
    hosted.register()
    log = "".join(hosted.log())
    for name in names:
        assert hosted.versions(name) == ["1.0.0"]
        assert log.count(f"{name} 1.0.0: published") == 1
    assert hosted.is_linear()
    assert hosted.refs() == []


# -- killed ------------------------------------------------------------------------------------------------------

WRAPPER = """#!/bin/sh
case "$*" in
  *" push "*{pattern}*) kill -9 $PPID; exit 1 ;;
esac
exec {git} "$@"
"""


@pytest.mark.parametrize(
    ("pattern", "commits_before"),
    [
        pytest.param(":refs/heads/main", 0, id="before the push of main"),
        pytest.param(
            "origin :refs/heads/publish", 1, id="between the push of main and the deletion of the refs"
        ),
    ],
)
def test_a_killed_registrar_is_completed_by_the_next(
    tmp_path: Path, pattern: str, commits_before: int
) -> None:
    """SIGKILL at the worst moment, then another run: the same end as if nothing had happened."""
    world = World(tmp_path / "registry", now=datetime.now(UTC))
    world.add_publisher("acme")
    world.register()
    hosted = Hosted(world, push_to_bare(world, tmp_path / "bare.git"))
    first = hosted.main()
    for version in ("1.0.0", "1.1.0"):
        hosted.publish("acme-x", version)
    refs = hosted.refs()
    assert _run_process(hosted, tmp_path, pattern) == -9
    assert hosted.refs() == refs
    assert git(hosted.bare, "rev-list", "--count", f"{first}..main") == str(commits_before)
    assert _run_process(hosted, tmp_path, "nothing at all") == 0
    assert hosted.refs() == []
    assert git(hosted.bare, "rev-list", "--count", f"{first}..main") == "1"
    assert "".join(hosted.log()).count("acme-x 1.1.0: published") == 1
    world.now = datetime.now(UTC)
    assert hosted.versions("acme-x") == ["1.0.0", "1.1.0"]


def _run_process(hosted: Hosted, tmp_path: Path, pattern: str) -> int:
    """The real command in a process of its own, with a `git` that kills it when a push looks like the pattern."""
    online = hosted.world.keys.online
    assert isinstance(online, CryptoSigner)
    key = tmp_path / "online.pem"
    key.write_bytes(online.private_bytes)
    key.chmod(0o600)
    real = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout.strip()
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(WRAPPER.format(pattern=f'"{pattern}"', git=real))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from publisher.cli.main import main; raise SystemExit(main())"),
            *("registry", "register", str(hosted.bare), "--key", str(key)),
            *("--root-digest", Digest.of(hosted.world.root)),
        ],
        check=False,
        capture_output=True,
        env={**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"},
        cwd=Path(__file__).parent.parent,
    )
    return done.returncode


def test_an_unreachable_or_empty_remote(hosted: Hosted, tmp_path: Path) -> None:
    """Clear errors: no such repository, no such branch."""
    with pytest.raises(GitError) as caught:
        register_remote(
            Remote(str(tmp_path / "none.git")),
            "main",
            lambda _: hosted.world.options(),
            os.environ,
            datetime.now,
        )
    assert "Check the name" in caught.value.hint
    with pytest.raises(GitError, match="no branch 'trunk'"):
        register_remote(
            Remote(str(hosted.bare)), "trunk", lambda _: hosted.world.options(), os.environ, datetime.now
        )


def test_lost_files_come_back_from_the_remotes_history(hosted: Hosted) -> None:
    """A manifest deleted on main by a push is restored from the commits before it."""
    hosted.publish("acme-x", "1.0.0")
    hosted.register()
    path = "plugins/acme-x/1.0.0/manifest.json"
    original = hosted.tree().read(path)
    hosted.commit({path: None, "other.txt": b"x"})
    hosted.register()
    assert hosted.tree().read(path) == original


def test_whoever_refuses_because_main_moved(hosted: Hosted) -> None:
    """Hosts word it in their own ways: if main is not what it was, the registrar starts over, whatever they say."""
    hosted.publish("acme-x", "1.0.0")
    first = hosted.main()
    hosted.commit({"note.txt": b"note"})
    other = hosted.main()
    git(hosted.bare, "update-ref", "refs/heads/main", first)
    hook = hosted.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f'#!/bin/sh\ntest "$2" = {first} || exit 0\necho "$1" >> pushed\nexec >/dev/null\n'
        f"git update-ref refs/heads/main {other}\nexit 1\n"
    )
    hook.chmod(0o755)
    assert hosted.register().refused == []
    assert (hosted.bare / "pushed").read_text() == "refs/heads/main\n"
    assert hosted.tree().read("note.txt") == b"note"
    assert hosted.versions("acme-x") == ["1.0.0"]
    assert hosted.is_linear()


# -- the command ---------------------------------------------------------------------------------------------------------


def command(hosted: Hosted, monkeypatch: pytest.MonkeyPatch, *arguments: str, **environ: str) -> int:
    """`publisher registry register` on the bare repository; the exit code."""
    online = hosted.world.keys.online
    assert isinstance(online, CryptoSigner)
    values = {
        "PLUGIN_REGISTRY_KEY": online.private_bytes.decode(),
        "PLUGIN_REGISTRY_ROOT_DIGEST": Digest.of(hosted.world.root),
        "SOURCE_DATE_EPOCH": str(int(hosted.world.now.timestamp())),
        **environ,
    }
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        return main(["registry", "register", str(hosted.bare), *arguments])


def spoilt(data: bytes) -> bytes:
    """Metadata that nobody has signed so."""
    document = json.loads(data)
    document["signed"]["evil"] = True
    return dump_json(document)


def test_from_scratch_by_the_command(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing that the online key signed verifies any more it stops, until somebody says that this is meant."""
    hosted.publish("acme-x", "1.0.0")
    hosted.publish("acme-x", "1.1.0")
    hosted.register()
    tree = hosted.tree()
    online = [
        path
        for path in tree.paths("metadata")
        if path.endswith(("registrar.json", "snapshot.json", "timestamp.json"))
    ]
    hosted.commit({path: spoilt(tree.read(path) or b"") for path in online})
    hosted.publish("acme-x", "1.2.0")
    before, refs = hosted.main(), hosted.refs()
    assert command(hosted, monkeypatch) == RegistrarError.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "is signed by the registry's online key" in captured.err
    assert (hosted.main(), hosted.refs()) == (before, refs)

    assert command(hosted, monkeypatch, "--from-scratch", "--dry-run") == 0
    assert hosted.main() == before
    assert command(hosted, monkeypatch, "--from-scratch") == 0
    assert "3 versions in the index" in capsys.readouterr().out
    assert hosted.refs() == []
    assert hosted.versions("acme-x") == ["1.0.0", "1.1.0", "1.2.0"]
    after = hosted.main()
    assert command(hosted, monkeypatch) == 0
    assert hosted.main() == after


def test_a_dry_run_waits_for_nothing(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes nothing, so that there is nothing to gather for."""
    waited: list[float] = []
    monkeypatch.setattr(remote_module, "wait_for_more", lambda *arguments: waited.append(arguments[-1]))
    assert command(hosted, monkeypatch, "--gather", "60", "--dry-run") == 0
    assert waited == []
    assert command(hosted, monkeypatch, "--gather", "60") == 0
    assert waited == [60]


HOSTILE = "<img src=x>|@acme #1 [a](https://evil.example) `x`\n\n# Big\n::error::x\x1b[31m\u202e"


def test_the_job_summary(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Written where the runner says; what strangers chose is shown as text: no HTML, link, mention, heading or cell of its own."""
    summary = tmp_path / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    hosted.publish("acme-good", "1.0.0")
    forged = sign(
        manifest(id="acme-x", version="1.0.0", ui={"remoteEntry": HOSTILE, "expose": HOSTILE}),
        ed25519("stranger"),
    )
    hosted.raw_ref(
        f"refs/heads/publish/acme-x@1.0.0@{payload_digest_of(forged).hex[:12]}",
        ("100644", "manifest.json", dump_json(forged)),
    )
    hosted.raw_ref(REF, PLAIN, ("100644", HOSTILE.replace("\n", "").replace("/", ""), b"x"))
    hosted.raw_ref("refs/heads/publish/<b>|@acme#1`x`", PLAIN)
    assert command(hosted, monkeypatch, **runner) == PublishError.exit_code
    text = summary.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "### Register acme-good 1.0.0"
    assert "1 version in the index" in text
    rows = [line for line in lines if line.startswith("|")]
    assert rows[:2] == ["| version | result | why | way out |", "| --- | --- | --- | --- |"]
    assert len(rows) == 6
    assert "| `acme-good 1.0.0` | published |  |  |" in rows
    assert [line.replace("\\|", "").count("|") for line in rows] == [5] * 6
    for live in ("<img", "<b>", "@acme", "#1 ", "[a](", "\x1b", "\u202e", "\n# Big", "\n::error"):
        assert live not in text, live
    assert not any(line.startswith("::error::x") for line in capsys.readouterr().out.splitlines())


def test_a_job_summary_that_has_nothing_to_tell(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each run adds to the file; outside a runner none is written."""
    summary = tmp_path / "summary.md"
    assert command(hosted, monkeypatch, GITHUB_STEP_SUMMARY=str(summary)) == 0
    assert not summary.exists()
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    for _ in range(2):
        assert command(hosted, monkeypatch, "--lift", "acme-x@1.0.0", **runner) == 0
    text = summary.read_text(encoding="utf-8")
    assert text.count("### Nothing to do\n") == 2
    assert text.count("- acme-x 1.0.0: is not in the index, so there is nothing to lift\n") == 2


def test_a_job_summary_of_many_begins_with_the_refused(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A hundred rows are shown, and the number of the others; what somebody must do something about is among them."""
    commit = hosted.raw_ref("refs/heads/publish/junk", ("100644", "junk", b"junk"))
    names = [f"create refs/heads/publish/junk{number} {commit}\n" for number in range(110)]
    git(hosted.bare, "update-ref", "--stdin", stdin="".join(names).encode())
    hosted.publish("acme-a", "1.0.0")
    hosted.publish("acme-b", "1.0.0")
    summary = tmp_path / "summary.md"
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert command(hosted, monkeypatch, **runner) == PublishError.exit_code
    text = summary.read_text(encoding="utf-8")
    assert text.count("| refused |") == 100
    assert "…and 13 more" in text


def test_branches_that_cannot_be_deleted_are_said(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that may push main and not delete: each run would handle the same ones again, and nobody would know why."""
    monkeypatch.setattr("publisher.registrar.remote._BATCH", 1)
    for version in ("1.0.0", "1.1.0"):
        hosted.publish("acme-x", version)
    hook = hosted.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1$3" in refs/heads/publish/*0000000000) exit 1;; esac\n')
    hook.chmod(0o755)
    run = hosted.register()
    assert len(run.outcomes) == 1
    (note,) = [note for note in run.notes if "could not be deleted" in note]
    assert "allowed to delete publish/*" in note
    hook.unlink()
    assert not [note for note in hosted.register().notes if "could not be deleted" in note]
    assert hosted.refs() == []
