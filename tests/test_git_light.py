"""Fetching little: without file contents where the host can leave them out, what is read fetched together, folders listed as asked for."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.githttp import git_host
from support.world import START, World, git, push_to_bare

from publisher.destination import open_destination
from publisher.git import Git, Remote, scratch_repository
from publisher.git_tree import GitTree
from publisher.main_branch import open_main, read_in_any_case
from publisher.registrar.gather import Pause, gather
from publisher.registrar.remote import register_remote, wait_for_more
from publisher.tree import DirTree, MemoryTree
from registry_client.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.githttp import GitHost

    from publisher.main_branch import Main
    from publisher.registrar.run import Run
    from publisher.tree import Listing

FILES = {
    "policy.json": b"policy",
    "registry.json": b"catalogue",
    "metadata/1.root.json": b"root",
    **{f"metadata/{number}.registrar.json": b"%d" % number for number in (9, 10, 11)},
    **{f"targets/index/{number}.json": b"shard %d" % number for number in range(30)},
    **{f"targets/{number:064x}.registry.json": b"copy %d" % number for number in range(30)},
    **{f"plugins/p{i}/{v}/manifest.json": b"%d %d" % (i, v) for i in range(40) for v in range(3)},
    "plugins/_ab/p/1/manifest.json": b"fanned",
    "plugins/_ab/p/2/manifest.json": b"fanned 2",
}


def made(bare: Path, files: dict[str, bytes | None], parent: str | None = None) -> str:
    """A commit on main of a bare repository."""
    repository = Git(bare, os.environ)
    commit = repository.commit(parent, files, "x", START)
    git(bare, "update-ref", "refs/heads/main", commit)
    return commit


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A repository with these files, whose host can leave out contents."""
    bare = tmp_path / "hosted" / "bare.git"
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    git(bare, "config", "uploadpack.allowFilter", "true")
    made(bare, dict(FILES))
    return bare


class Counted(Git):
    """Git that counts its fetches."""

    fetches = 0

    def _run(self, arguments: Any, *more: Any, **named: Any) -> Any:
        self.fetches += "fetch" in arguments
        return super()._run(arguments, *more, **named)


def opened(bare: Path, tmp_path: Path) -> tuple[Counted, GitTree]:
    """The files of main, fetched lightly."""
    folder = tmp_path / "scratch.git"
    folder.mkdir()
    repository = Counted(folder, os.environ, Remote(str(bare)))
    repository.run("init", "--quiet", "--bare", ".")
    repository.run("remote", "add", "origin", bare.as_uri())
    commit = git(bare, "rev-parse", "main")
    repository.fetch([commit], blobless=True)
    return repository, GitTree(repository, commit)


@pytest.fixture
def light(bare: Path, tmp_path: Path) -> Iterator[tuple[Counted, GitTree]]:
    """A light fetch of it."""
    repository, tree = opened(bare, tmp_path)
    yield repository, tree
    repository.close()


def contents(repository: Git) -> int:
    """How many file contents are here; asks no host."""
    kinds = repository.run("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    return kinds.split().count(b"blob")


def test_contents_are_left_out(light: tuple[Counted, GitTree]) -> None:
    """Every path is known, and no content was sent."""
    repository, tree = light
    assert list(tree.paths("")) == sorted(FILES)
    assert contents(repository) == 0
    assert repository.fetches == 1


def test_what_is_named_comes_together(light: tuple[Counted, GitTree]) -> None:
    """One fetch for all of it, none for what is here already or is not there at all."""
    repository, tree = light
    wanted = [path for path in FILES if path.startswith("plugins/p1")]
    tree.prefetch([*wanted, "nothing", "plugins", "plugins/p1/1"])
    assert {path: tree.read(path) for path in wanted} == {path: FILES[path] for path in wanted}
    tree.prefetch(wanted)
    assert (repository.fetches, contents(repository)) == (2, len(wanted))


def test_reading_on_without_a_word_is_a_few_fetches(light: tuple[Counted, GitTree]) -> None:
    """Whoever reads file after file gets the plugin's others, then all plugins, and never one fetch for each."""
    repository, tree = light
    assert tree.read("plugins/p3/0/manifest.json") == b"3 0"
    assert contents(repository) == 3
    assert tree.read("plugins/_ab/p/1/manifest.json") == b"fanned"
    assert contents(repository) == 5
    for path, data in FILES.items():
        if path.startswith(("plugins/", "targets/index/")):
            assert tree.read(path) == data
    assert repository.fetches < 16
    before = contents(repository)
    tree.read(next(path for path in FILES if path.endswith(".registry.json")))
    assert contents(repository) == before + 1  # copies of the catalogue are large, and read one at a time


def test_read_in_any_case(light: tuple[Counted, GitTree]) -> None:
    """The newest metadata of a role, by number; not the others, nor shards and copies of the catalogue."""
    wanted = read_in_any_case(light[1])
    assert "metadata/11.registrar.json" in wanted
    assert {"metadata/10.registrar.json", "metadata/9.registrar.json"}.isdisjoint(wanted)
    assert {"policy.json", "registry.json", "metadata/1.root.json"} <= set(wanted)
    assert not [path for path in wanted if path.startswith(("plugins/", "targets/"))]


def test_threads_read_side_by_side(light: tuple[Counted, GitTree]) -> None:
    """The client that checks a candidate reads in several threads: each gets its own bytes."""
    _, tree = light
    wrong: list[str] = []

    def work() -> None:
        wrong.extend(path for path, data in FILES.items() if tree.read(path) != data)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("allowed", ["false", "refused"])
def test_a_host_that_cannot_leave_out(bare: Path, tmp_path: Path, allowed: str) -> None:
    """It sends everything, or refuses; then nothing is fetched twice, nor asked for again."""
    if allowed == "false":
        git(bare, "config", "uploadpack.allowFilter", "false")
    else:
        git(bare, "config", "uploadpackfilter.blob:none.allow", "false")
    repository, tree = opened(bare, tmp_path)
    fetches = repository.fetches
    assert {path: tree.read(path) for path in FILES} == FILES
    tree.prefetch(FILES)
    repository.fetch([git(bare, "rev-parse", "main")], blobless=True)
    assert repository.fetches == fetches + (1 if allowed == "false" else 2)
    assert {path: tree.read(path) for path in FILES} == FILES
    repository.close()


@pytest.mark.parametrize("version", ["0", "1"])
def test_a_host_that_gives_nothing_by_id(
    bare: Path, tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old protocols can leave contents out, and give none later: everything is fetched, once."""
    for name, value in (("COUNT", "1"), ("KEY_0", "protocol.version"), ("VALUE_0", version)):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    repository, tree = opened(bare, tmp_path)
    tree.prefetch(["policy.json"])
    assert {path: tree.read(path) for path in FILES} == FILES
    assert repository.fetches == 3
    repository.close()
    with open_main(Remote(bare.as_uri()), "main", os.environ) as main:
        assert main.tree().read("policy.json") == FILES["policy.json"]


def test_a_commit_on_top_of_what_is_half_here(
    bare: Path, tmp_path: Path, light: tuple[Counted, GitTree]
) -> None:
    """It holds all files, and is pushed, without the contents that it keeps."""
    repository, _ = light
    main = git(bare, "rev-parse", "main")
    changes: dict[str, bytes | None] = {"plugins/p1/9/manifest.json": b"new", "policy.json": None}
    commit = repository.commit(main, changes, "x", START)
    (result,) = repository.push([(commit, "refs/heads/main", main)])
    assert result.accepted
    expected = {**FILES, "plugins/p1/9/manifest.json": b"new"}
    del expected["policy.json"]
    with contextlib.closing(Git(bare, os.environ)) as whole:
        tree = GitTree(whole, commit)
        assert {path: tree.read(path) for path in tree.paths("")} == expected
    git(bare, "fsck", "--strict", "--connectivity-only")


# -- what changed -----------------------------------------------------------------------------------------------------


def changed(main: Main, base: str) -> list[str] | None:
    """What main says of an earlier commit."""
    return main.changed_since(main.tree(), base)


@pytest.mark.parametrize("filtering", ["true", "false"])
def test_what_changed_since(bare: Path, filtering: str) -> None:
    """Written, deleted and replaced, by path; nothing since itself; a side branch serves too."""
    git(bare, "config", "uploadpack.allowFilter", filtering)
    base = git(bare, "rev-parse", "main")
    made(bare, {"plugins/p1/0/manifest.json": b"edited", "policy.json": None, "a b/é": b"x"}, base)
    side = git(bare, "commit-tree", "-m", "side", f"{base}^{{tree}}")
    git(bare, "update-ref", "refs/heads/side", side)
    with open_main(Remote(bare.as_uri()), "main", os.environ) as main:
        expected = ["a b/é", "plugins/p1/0/manifest.json", "policy.json"]
        assert changed(main, base) == changed(main, side) == expected
        assert changed(main, main.commit) == []


@pytest.mark.parametrize("base", ["0" * 40, "", "main", "--all", "HEAD~1", "a" * 39, "refs/heads/main"])
def test_a_base_that_is_not_to_be_had(bare: Path, base: str) -> None:
    """Unknown, or no object id at all: it cannot be said, and nothing breaks."""
    with open_main(Remote(bare.as_uri()), "main", os.environ) as main:
        assert changed(main, base) is None
        assert changed(main, main.commit) == []


def test_a_base_that_is_no_commit(bare: Path) -> None:
    """A file's or a folder's id says nothing of what changed."""
    with open_main(Remote(bare.as_uri()), "main", os.environ) as main:
        assert changed(main, git(bare, "rev-parse", "main:policy.json")) is None


def test_a_rewritten_history(bare: Path) -> None:
    """A commit that no branch holds any more serves as long as the host gives it; once it is gone, everything is looked at."""
    base = git(bare, "rev-parse", "main")
    made(bare, {"only": b"this"})
    with open_main(Remote(bare.as_uri()), "main", os.environ) as main:
        assert changed(main, base) == sorted([*FILES, "only"])
    git(bare, "reflog", "expire", "--expire=now", "--all")
    git(bare, "gc", "--quiet", "--prune=now")
    with open_main(Remote(bare.as_uri()), "main", os.environ) as main:
        assert changed(main, base) is None


# -- the registrar over HTTP ------------------------------------------------------------------------------------------


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[tuple[World, Path, GitHost]]:
    """A registry with ten plugins on a Git host that can leave out contents."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    for number in range(10):
        world.publish(f"acme-p{number}", "1.0.0")
    world.register()
    bare = push_to_bare(world, tmp_path / "hosted" / "bare.git")
    git(bare, "config", "http.receivepack", "true")
    git(bare, "config", "uploadpack.allowFilter", "true")
    with git_host(tmp_path / "hosted") as host:
        yield world, bare, host


def run_on(world: World, host: GitHost, **more: Any) -> Run:
    """Run the registrar over HTTP."""
    remote = Remote(f"{host.url}/bare.git")
    return register_remote(remote, "main", lambda _: world.options(**more), os.environ, lambda: world.now)


def test_light_and_whole_runs_write_the_same(hosted: tuple[World, Path, GitHost]) -> None:
    """What comes of a light run is what a full run would have left: a full one after it changes nothing."""
    world, bare, host = hosted
    for version in ("1.1.0", "1.2.0"):
        with open_destination(f"{host.url}/bare.git", "main", os.environ) as to:
            world.publish("acme-p3", version, to=to)
        world.tick(minutes=1)
        assert not run_on(world, host).refused
    assert run_on(world, host).changes == {}
    repository = Git(bare, os.environ)
    tree = GitTree(repository, git(bare, "rev-parse", "main"))
    files = {path: tree.read(path) or b"" for path in tree.paths("")}
    repository.close()
    whole = world.plan(tree=MemoryTree(files), full=True)
    assert [path for path in whole.changes if not path.startswith(("metadata/", "targets/"))] == []
    assert world.client("fresh", tree=files).manifest("acme-p3", "1.2.0").model.version == "1.2.0"


def test_a_run_asks_the_host_a_few_times(hosted: tuple[World, Path, GitHost]) -> None:
    """Requests do not grow with what a run reads: not one for each file."""
    world, _, host = hosted
    run_on(world, host)
    with open_destination(f"{host.url}/bare.git", "main", os.environ) as to:
        world.publish("acme-p3", "1.1.0", to=to)
    host.requests.clear()
    assert not run_on(world, host).refused
    fetches = [line for line in host.requests if line.startswith("POST") and "git-upload-pack" in line]
    assert len(fetches) < 30


@pytest.mark.parametrize("full", [False, True])
def test_a_file_edited_on_main_is_restored(hosted: tuple[World, Path, GitHost], full: bool) -> None:
    """From history, of which light runs fetch the contents that they need."""
    world, bare, host = hosted
    run_on(world, host)
    path = "plugins/acme-p4/1.0.0/manifest.json"
    before = git(bare, "rev-parse", f"main:{path}")
    made(bare, {path: b"edited"}, git(bare, "rev-parse", "main"))
    run_on(world, host, full=full)
    assert git(bare, "rev-parse", f"main:{path}") == before


# -- the same folders for every tree ----------------------------------------------------------------------------------


def test_folders_of_every_kind_of_tree(bare: Path, tmp_path: Path) -> None:
    """On disk, in memory and in Git: the same names, none where there is no folder."""
    for path, data in FILES.items():
        (tmp_path / "disk" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "disk" / path).write_bytes(data)
    (tmp_path / "disk" / "link").symlink_to(tmp_path)
    repository = Git(bare, os.environ)
    trees: list[Listing] = [
        DirTree(tmp_path / "disk"),
        MemoryTree(FILES),
        GitTree(repository, git(bare, "rev-parse", "main")),
    ]
    for tree in trees:
        assert list(tree.folders("")) == ["metadata", "plugins", "targets"]
        assert list(tree.folders("plugins/p1")) == ["0", "1", "2"]
        for missing in ("none", "policy.json", "plugins/p1/0", "plugins/p1/0/manifest.json/x"):
            assert list(tree.folders(missing)) == []
    repository.close()


# -- waiting for more -------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, *pending: dict[str, str]) -> None:
        self.now = 0.0
        self.pending = list(pending)
        self.looks = 0

    def look(self) -> dict[str, str]:
        """What is pending; the last of it for good."""
        self.looks += 1
        return self.pending.pop(0) if len(self.pending) > 1 else self.pending[0]

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def wait(self, seconds: float) -> tuple[float, int]:
        """Seconds waited, and how often was looked."""
        gather(self.look, seconds, Pause(self.sleep, lambda: self.now))
        return self.now, self.looks


A, B, C = {"a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("pending", "seconds", "expected"),
    [
        ([{}], 60, (0, 1)),  # nothing to wait for
        ([A], 0, (0, 0)),
        ([A], 60, (3, 2)),  # nothing more came for a moment
        ([A, B, C], 60, (9, 4)),
        ([A, B, C], 4, (4, 3)),  # no longer than allowed
        ([A, {}], 60, (3, 2)),  # another run has taken it
        ([A, {"a": "2"}], 60, (6, 3)),  # replaced: that is new
    ],
)
def test_how_long_to_gather(
    pending: list[dict[str, str]], seconds: float, expected: tuple[float, int]
) -> None:
    """Until nothing new has come for three seconds, and never longer than told."""
    assert Clock(*pending).wait(seconds) == expected


def test_it_never_waits_for_ever() -> None:
    """Where something new comes all the time, the run begins when the time is over."""
    clock = Clock(*({str(number): "1"} for number in range(1000)))
    assert clock.wait(30)[0] == 30


def test_gathering_on_a_remote(hosted: tuple[World, Path, GitHost]) -> None:
    """What comes while it waits goes into the same commit."""
    world, bare, host = hosted
    remote = Remote(str(bare))
    run_on(world, host)
    before = git(bare, "rev-list", "--count", "main")

    def publish(plugin_id: str) -> None:
        with open_destination(str(bare), "main", os.environ) as to:
            world.publish(plugin_id, "1.1.0", to=to)

    publish("acme-p1")
    late = ["acme-p2", "acme-p3"]
    clock = Clock(A)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if late:
            publish(late.pop())

    wait_for_more(remote, os.environ, 60, Pause(sleep, lambda: clock.now))
    assert clock.now == 9
    assert len(run_on(world, host).outcomes) == 3
    assert int(git(bare, "rev-list", "--count", "main")) == int(before) + 1


def test_a_remote_that_is_not_there(tmp_path: Path) -> None:
    """It is an error at once, not a wait."""
    with pytest.raises(GitError):
        wait_for_more(Remote(str(tmp_path / "none")), os.environ, 60, Pause(lambda _: None, lambda: 0.0))


def test_the_scratch_repository_knows_no_promise(bare: Path) -> None:
    """Before the first light fetch nothing was left out."""
    with scratch_repository(Remote(bare.as_uri()), os.environ) as repository:
        assert repository.left_out(["0" * 40]) == []
