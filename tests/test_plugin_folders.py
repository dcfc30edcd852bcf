"""Plugins on both sides of the number from which they get folders of the second kind: every way to publish, read and judge them."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.hub import open_hub
from support.world import World, commit_all, git, push_to_bare

from publisher.destination import WorkTree, open_destination
from publisher.folders import folder_in
from publisher.git import Git, Remote
from publisher.git_tree import GitTree
from publisher.github.api import Api
from publisher.github.proposal import GitHubProposal
from publisher.maintain.policy import published_versions, signed_by
from publisher.registrar.remote import register_remote
from publisher.registrar.submission import Result
from publisher.review.paths import Area, place_of
from publisher.review.remote import validate_remote
from publisher.tree import MemoryTree
from publisher.watch.audit import audit
from registry_client import layout
from registry_client.layout import manifest_path, plain_path, plugin_folder, release_path, version_file
from registry_client.resolve import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.hub import Hub

    from publisher.registrar.run import Run
    from publisher.review.verdict import Verdict

OLD, NEW = "acme-old", "acme-new"
PLAIN, FANNED = plugin_folder(OLD), plugin_folder(NEW, fan_out=True)


@pytest.fixture(autouse=True)
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """One plugin is all that `plugins/` itself may hold before the next ones stand elsewhere; two are needed to pass it."""
    monkeypatch.setattr(layout, "FAN_OUT_ABOVE", 1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry with two plugins in the plain way, so that the next is not."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    for plugin_id in (OLD, "acme-other"):
        world.publish(plugin_id, "1.0.0")
        world.register()
    return world


def manifests(world: World) -> set[str]:
    """Paths of all manifests of versions."""
    return {path for path in world.tree.paths("plugins") if path.endswith("/manifest.json")}


def findings(world: World) -> list[str]:
    """What an audit says."""
    return [str(f) for f in audit(world.tree, world.root, world.now, allow_dev_keys=False).findings]


def read_plainly(world: World, plugin_id: str) -> str:
    """The version that a host which knows nothing of signatures finds, by the catalogue's own link."""
    catalogue = json.loads(world.tree.read("registry.json") or b"")
    (line,) = [line for line in catalogue["plugins"] if line["id"] == plugin_id]
    path = line["manifestUrl"].removeprefix(world.base_url.rstrip("/") + "/")
    version: str = json.loads(world.tree.read(path) or b"")["version"]
    return version


# -- where things are -----------------------------------------------------------------------------------------------


def test_the_folders() -> None:
    """The second kind is named by two digits of the id's own digest; the files' names are the same in both."""
    assert FANNED == "plugins/_6b/acme-new"
    assert version_file(manifest_path(FANNED, "1.0.0")) == (NEW, "1.0.0", True, FANNED, None)
    assert plain_path(FANNED) == "plugins/_6b/acme-new.json"
    assert place_of(manifest_path(FANNED, "1.0.0")).subject == f"plugin {NEW}"
    assert place_of(plain_path(FANNED)).area is place_of(plain_path(PLAIN)).area is Area.GENERATED
    assert place_of(f"{FANNED}/1.0.0/manifest.{'0' * 12}.json").area is Area.GENERATED


@pytest.mark.parametrize(
    "path",
    [
        f"plugins/_00/{NEW}/1.0.0/manifest.json",  # another id's digits
        f"plugins/_6B/{NEW}/1.0.0/manifest.json",
        f"plugins/_6b/_6b/{NEW}/1.0.0/manifest.json",
        f"plugins/_6b/{NEW}/1.0.0/more/manifest.json",
        "plugins/_6b/manifest.json",
    ],
)
def test_what_is_no_folder_of_a_plugin(path: str, world: World) -> None:
    """Nobody may put files there; where they stand all the same, they are not taken, and the audit names them."""
    assert place_of(path).area is Area.STRAY
    prepared = world.prepare(NEW, "1.0.0")
    assert prepared.offer is not None
    (world.folder / path).parent.mkdir(parents=True)
    (world.folder / path).write_bytes(prepared.offer.files["manifest.json"])
    run = world.register()
    assert [outcome.result for outcome in run.outcomes if outcome.submission.id == NEW] == []
    assert any(path in text for text in findings(world))


def test_a_folder_whose_name_is_no_id(world: World) -> None:
    """It is refused with the reason, stops nothing, and the next run looks at the rest as ever."""
    prepared = world.prepare(NEW, "1.0.0")
    assert prepared.offer is not None
    for name in ("con", "ACME", "a" * 65):
        path = world.folder / manifest_path(plugin_folder(name), "1.0.0")
        path.parent.mkdir(parents=True)
        path.write_bytes(prepared.offer.files["manifest.json"])
    world.publish(OLD, "1.1.0")
    run = world.register()
    assert len(run.refused) == 3
    assert world.client("after").resolve(OLD).info.version == "1.1.0"


@pytest.mark.parametrize("many", [False, True])
def test_the_next_plugin_is_placed_as_the_registry_is(world: World, many: bool, monkeypatch: Any) -> None:
    """What publishers expect is what the registrar does."""
    monkeypatch.setattr(layout, "FAN_OUT_ABOVE", 1 if many else 2)
    expected = plugin_folder(NEW, fan_out=many)
    assert folder_in(WorkTree(world.folder).tree, NEW) == expected
    prepared = world.publish(NEW, "1.0.0")
    assert prepared.manifest["manifestUrl"].endswith(f"/{plain_path(expected)}")
    assert not world.register().refused
    assert manifest_path(expected, "1.0.0") in manifests(world)


# -- in a folder ----------------------------------------------------------------------------------------------------


def test_published_before_stays_where_it_is(world: World) -> None:
    """Each plugin's later versions stand with its first one, on both sides; all of it is read, plainly too, and audited."""
    for plugin_id in (OLD, NEW):
        for version in ("1.1.0", "1.2.0"):
            world.publish(plugin_id, version)
            assert not world.register().refused
    other = manifest_path(plugin_folder("acme-other"), "1.0.0")
    old = {manifest_path(PLAIN, version) for version in ("1.0.0", "1.1.0", "1.2.0")}
    new = {manifest_path(FANNED, version) for version in ("1.1.0", "1.2.0")}
    assert manifests(world) == {other, *old, *new}
    client = world.client()
    assert {info.version for info in client.versions(NEW)} == {"1.1.0", "1.2.0"}
    assert client.manifest(NEW, "1.2.0").model.id == NEW
    assert read_plainly(world, OLD) == read_plainly(world, NEW) == "1.2.0"
    assert (world.folder / plain_path(FANNED)).is_file()
    assert not (world.folder / plain_path(plugin_folder(NEW))).exists()
    assert findings(world) == []
    assert world.plan().changes == {}


def test_statuses_yanks_and_keys(world: World) -> None:
    """A status is read and written beside its manifest; maintainers' look-ups find plugins of both kinds."""
    world.publish(NEW, "1.0.0")
    world.register()
    for plugin_id in (OLD, NEW):
        world.set_status(plugin_id, "1.0.0", "yanked", reason="broken")
    assert not world.register().refused
    for plugin_id, folder in ((OLD, PLAIN), (NEW, FANNED)):
        assert (world.folder / release_path(folder, "1.0.0")).is_file()
        assert not (world.folder / plain_path(folder)).exists()
        assert list(published_versions(world.tree, plugin_id)) == ["1.0.0"]
        (info,) = world.client(plugin_id).versions(plugin_id)
        assert info.standing.status == "yanked"
    (signer,) = world.publishers["acme"]
    assert len(signed_by(world.tree, signer.public_key.keyid)) == 5
    assert world.set_status(NEW, "1.0.0", "yanked", reason="broken").offer is None
    assert findings(world) == []


def test_a_manifest_signed_again(tmp_path: Path) -> None:
    """It stands beside the first one, in the folder that its plugin has."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme", keys=2)
    for plugin_id in (OLD, "acme-other", NEW):
        world.publish(plugin_id, "1.0.0", signers=world.publishers["acme"][:1])
        world.register()
    world.publish(NEW, "1.0.0", signers=world.publishers["acme"])
    assert [outcome.result for outcome in world.register().outcomes] == [Result.SIGNED]
    assert len([path for path in world.tree.paths(f"{FANNED}/1.0.0") if "/manifest." in path]) == 2
    assert not list(world.tree.paths(plugin_folder(NEW)))
    assert findings(world) == []


def test_lost_files_come_back_to_their_place(world: World) -> None:
    """Plain manifests and releases are written anew where they were."""
    world.publish(NEW, "1.0.0")
    world.register()
    world.set_status(NEW, "1.0.0", "deprecated", reason="old")
    world.register()
    before = world.snapshot()
    for path in (plain_path(FANNED), release_path(FANNED, "1.0.0")):
        (world.folder / path).unlink()
    world.register()
    after = world.snapshot()
    assert {path: after.get(path) for path in before if path.startswith("plugins/")} == {
        path: data for path, data in before.items() if path.startswith("plugins/")
    }


def test_the_index_from_scratch_keeps_every_place(world: World) -> None:
    """Where the index is lost, both kinds of folders are found, and nothing moves."""
    world.publish(NEW, "1.0.0")
    world.register()
    before = manifests(world)
    for path in world.tree.paths("metadata"):
        if ".registrar." in path or ".snapshot." in path or path.endswith("timestamp.json"):
            (world.folder / path).unlink()
    assert not world.register(from_scratch=True).refused
    assert manifests(world) == before
    assert world.client("fresh").resolve(NEW).info.version == "1.0.0"
    assert findings(world) == []


@pytest.mark.parametrize("plugin_id", [OLD, NEW])
def test_files_in_the_other_folder(world: World, plugin_id: str) -> None:
    """Merged by hand, they are refused, manifests and releases; what is published is as before."""
    if plugin_id == NEW:
        world.publish(NEW, "1.0.0")
        world.register()
    other = {OLD: plugin_folder(OLD, fan_out=True), NEW: plugin_folder(NEW)}[plugin_id]
    version = world.prepare(plugin_id, "1.1.0").offer
    status = world.set_status(plugin_id, "1.0.0", "yanked", reason="x", to=_Nowhere(world)).offer
    assert version is not None
    assert status is not None
    for path, data in {**version.placed(other), **status.placed(other)}.items():
        (world.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (world.folder / path).write_bytes(data)
    run = world.register()
    assert [outcome.result for outcome in run.outcomes] == [Result.REFUSED] * 2
    assert all("stand in plugins/" in str(outcome.error) for outcome in run.refused)
    assert [str(i.standing.status) for i in world.client("host").versions(plugin_id)] == ["released"]
    assert len([text for text in findings(world) if other in text]) >= 2


class _Nowhere(WorkTree):
    """A registry's folder into which nothing is written."""

    def __init__(self, world: World) -> None:
        super().__init__(world.folder)

    def submit(self, offer: Any, now: Any) -> Any:  # noqa: ARG002
        """Nothing."""
        return None


# -- by Git ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(world: World, tmp_path: Path) -> Path:
    """The registry's bare repository."""
    return push_to_bare(world, tmp_path / "bare.git")


def run_on(bare: Path, world: World) -> Run:
    """Run the registrar on the remote; the folder follows."""
    run = register_remote(Remote(str(bare)), "main", lambda _: world.options(), os.environ, lambda: world.now)
    git(world.folder, "pull", "--quiet", "--ff-only", "origin", "main")
    return run


def test_by_publish_refs(world: World, bare: Path) -> None:
    """Many new plugins and versions in one batch, a status after them, and waiting for both."""
    for plugin_id, version in ((OLD, "1.1.0"), (NEW, "1.0.0"), ("acme-newer", "1.0.0")):
        with open_destination(str(bare), "main", os.environ) as to:
            prepared = world.prepare(plugin_id, version, to=to)
            assert prepared.offer is not None
            submitted = to.submit(prepared.offer, world.now)
            assert to.outcome(prepared.offer, submitted) is None
            assert not run_on(bare, world).refused
            verdict = to.outcome(prepared.offer, submitted)
            assert verdict is not None
            assert verdict.accepted
    with open_destination(str(bare), "main", os.environ) as to:
        assert world.prepare(NEW, "1.0.0", to=to).offer is None
        offer = world.set_status(NEW, "1.0.0", "deprecated", reason="old", to=to).offer
        assert offer is not None
    assert not run_on(bare, world).refused
    assert {manifest_path(FANNED, "1.0.0"), manifest_path(PLAIN, "1.1.0")} <= manifests(world)
    assert release_path(FANNED, "1.0.0") in set(world.tree.paths("plugins"))
    assert findings(world) == []


def propose(world: World, change: Callable[[], object]) -> None:
    """A pull request with what `change` does to the working tree."""
    git(world.folder, "checkout", "--quiet", "--detach", "main")
    change()
    commit_all(world.folder, "Proposed")
    git(world.folder, "push", "--quiet", "--force", "origin", "HEAD:refs/pull/7/head")
    git(world.folder, "checkout", "--quiet", "main")


def judged(world: World, bare: Path) -> Verdict:
    """The verdict on that pull request."""
    return validate_remote(Remote(str(bare)), "refs/pull/7/head", "main", os.environ, world.now)


@pytest.mark.parametrize("plugin_id", [OLD, NEW])
def test_by_pull_request(world: World, bare: Path, plugin_id: str) -> None:
    """A version made by publishing into a working tree passes on both sides, and is registered once merged."""
    propose(world, lambda: world.publish(plugin_id, "1.1.0"))
    verdict = judged(world, bare)
    assert verdict.problems == ()
    assert [report.version for report in verdict.versions] == ["1.1.0"]
    git(world.folder, "fetch", "--quiet", "origin", "refs/pull/7/head")
    git(world.folder, "merge", "--quiet", "--no-edit", "FETCH_HEAD")
    git(world.folder, "push", "--quiet", "origin", "main")
    assert [outcome.result for outcome in run_on(bare, world).outcomes] == [Result.PUBLISHED]


@pytest.mark.parametrize("again", [False, True])
def test_a_pull_request_for_the_other_folder(world: World, bare: Path, again: bool) -> None:
    """A published plugin's file in the other folder is refused, be it a new version or a copy of what is there."""
    version = "1.0.0" if again else "1.1.0"
    offer = world.prepare(OLD, "1.1.0").offer
    assert offer is not None
    data = world.tree.read(manifest_path(PLAIN, "1.0.0")) if again else offer.files["manifest.json"]
    path = world.folder / manifest_path(plugin_folder(OLD, fan_out=True), version)

    def change() -> None:
        path.parent.mkdir(parents=True)
        path.write_bytes(data or b"")

    propose(world, change)
    (problem,) = judged(world, bare).problems
    assert PLAIN in problem.message
    assert "stay together" in problem.hint


def test_a_pull_request_for_both_folders(world: World, bare: Path) -> None:
    """A new plugin may come in either folder, but not in both."""
    first, second = (world.prepare(NEW, version).offer for version in ("1.0.0", "1.1.0"))
    assert first is not None
    assert second is not None

    def change(folders: tuple[str, str]) -> None:
        for path, data in {**first.placed(folders[0]), **second.placed(folders[1])}.items():
            (world.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (world.folder / path).write_bytes(data)

    propose(world, lambda: change((plugin_folder(NEW), FANNED)))
    assert [problem.path for problem in judged(world, bare).problems] == [manifest_path(FANNED, "1.1.0")]
    git(world.folder, "clean", "--quiet", "--force", "-d")
    propose(world, lambda: change((plugin_folder(NEW), plugin_folder(NEW))))
    assert judged(world, bare).problems == ()


# -- by GitHub ------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """A registry on GitHub with two plugins, so that the next one gets a folder of the second kind."""
    with open_hub(tmp_path, monkeypatch, capsys) as hub:
        hub.repository("acme/agenda", "acme")
        for plugin_id in (OLD, "acme-other"):
            hub.world.publish(plugin_id, "1.0.0")
        hub.world.register()
        hub.push_main("Two plugins")
        yield hub


def test_by_import(hub: Hub) -> None:
    """A release of the plugin's own repository, then its status, then nothing more to do."""
    hub.publish("acme/agenda", NEW, "1.0.0")
    assert hub.run_import().results() == [("v1.0.0", "imported")]
    assert [outcome.result for outcome in hub.register().outcomes] == [Result.PUBLISHED]
    assert manifest_path(FANNED, "1.0.0") in hub.main_files()
    assert hub.versions(NEW) == ["1.0.0"]
    assert hub.run_import(cached=False).results() == []


def test_by_proposal(hub: Hub) -> None:
    """Through GitHub's API: the pull request has the files where they belong, is found again, and passes."""
    hub.double.add_token("writer", "dev", {"acme/registry": {"contents": "write", "pull_requests": "write"}})

    def to() -> GitHubProposal:
        return GitHubProposal(Api("writer", hub.double.api), "acme/registry", "main")

    destination = to()
    offer = hub.world.prepare(NEW, "1.0.0", to=destination).offer
    assert offer is not None
    submitted = destination.submit(offer, hub.world.now)
    with contextlib.closing(Git(hub.bare, os.environ)) as repository:
        tree = GitTree(repository, submitted.commit)
        assert tree.read(manifest_path(FANNED, "1.0.0")) == offer.files["manifest.json"]
    (pending,) = to().pending(NEW, "1.0.0")
    assert pending.manifest == offer.files["manifest.json"]
    git(hub.bare, "update-ref", "refs/heads/main", str(submitted.commit))
    assert [outcome.result for outcome in hub.register().outcomes] == [Result.PUBLISHED]
    status = hub.world.set_status(NEW, "1.0.0", "yanked", reason="broken", to=to()).offer
    assert status is not None


def test_hosts_go_by_the_index(world: World) -> None:
    """What a registry serves is read wherever its index says that it stands, from a copy of its files too."""
    world.publish(NEW, "1.0.0")
    world.register()
    client = world.client("copy", tree=MemoryTree(world.snapshot()), host=Host("1" * 32))
    assert client.resolve(NEW).info.version == "1.0.0"
