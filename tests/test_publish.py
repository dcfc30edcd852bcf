"""`publish` into a folder and to a Git remote: what is offered, what is refused, and what is never touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, sign
from support.world import START, World, git, push_to_bare

from publisher.cli.main import main
from publisher.destination import RemoteRegistry, WorkTree, open_destination
from publisher.git import Remote
from publisher.offer import Destination, Offer
from publisher.publish import Prepared, Publication, prepare
from publisher.registrar.remote import publish_ref, register_remote
from publisher.registrar.submission import MAX_IN_TREE, Result
from publisher.set_status import Change
from publisher.source import load_source
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    ManifestError,
    NotFoundError,
    PublishError,
    RegistryError,
    SignatureError,
    VersionExistsError,
)
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from publisher.registrar.run import Run

ID, VERSION = "acme-x", "1.0.0"
PLACE = f"plugins/{ID}/{VERSION}"


@dataclass
class Place:
    """A registry that is published to, as a folder or as a Git remote.

    Attributes:
        world: the registry.
        bare: its bare repository; None where the folder itself is published to.
    """

    world: World
    bare: Path | None

    @property
    def to(self) -> str:
        """What a user gives with --to."""
        return str(self.bare or self.world.folder)

    def publish(self, version: str = VERSION, **options: Any) -> Prepared:
        """Publish acme-x, a minute later."""
        self.world.tick(minutes=1)
        with open_destination(self.to, "main", os.environ) as destination:
            return self.world.publish(options.pop("id", ID), version, to=destination, **options)

    def refs(self) -> list[str]:
        """Publish refs of the remote."""
        assert self.bare is not None
        return git(self.bare, "for-each-ref", "--format=%(refname)", "refs/heads/publish/").split()

    def offered(self) -> dict[str, bytes]:
        """The files of what is offered and not registered, as they were submitted."""
        if self.bare is None:
            place = self.world.folder / PLACE
            files = {path.name: path.read_bytes() for path in place.iterdir()} if place.is_dir() else {}
            tree = self.world.tree
            return files | {path: tree.read(path) or b"" for path in tree.paths("artifacts")}
        (ref,) = self.refs()
        names = git(self.bare, "ls-tree", "-r", "--name-only", ref).split("\n")
        return {name: self.show(f"{ref}:{name}") for name in names}

    def show(self, name: str) -> bytes:
        """The bytes of an object of the remote."""
        assert self.bare is not None
        return subprocess.run(
            ["git", "-C", str(self.bare), "cat-file", "blob", name], check=True, capture_output=True
        ).stdout

    def state(self) -> Any:
        """Everything that publishing could change."""
        refs = git(self.bare, "for-each-ref") if self.bare is not None else ""
        return self.world.snapshot(), refs

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

    def versions(self) -> list[str]:
        """What a fresh client reads of acme-x."""
        client = self.world.client(f"host-{self.world.now:%d%H%M%S}")
        return [info.version for info in client.versions(ID)]


def _place(tmp_path: Path, kind: str, **options: Any) -> Place:
    world = World(tmp_path / "registry", **options)
    world.add_publisher("acme", keys=1)
    world.register()
    return Place(world, push_to_bare(world, tmp_path / "bare.git") if kind == "remote" else None)


@pytest.fixture(params=["folder", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty registry with publisher acme, as a folder and as a remote."""
    return _place(tmp_path, request.param)


@pytest.fixture
def remote(tmp_path: Path) -> Place:
    """The same, as a remote."""
    return _place(tmp_path, "remote")


# -- what is offered ----------------------------------------------------------------------------------------------


def test_what_is_offered_is_what_a_host_reads(place: Place) -> None:
    """A signed manifest, filled in; the registrar takes it byte for byte."""
    members: dict[str, Any] = {
        "description": "A plugin",
        "permissions": ["calendar:read"],
        "configuration": {"type": "object"},
    }
    prepared = place.publish(**members)
    data = place.offered()["manifest.json"]
    manifest = json.loads(data)
    assert manifest == prepared.manifest
    assert {name: manifest[name] for name in members} == members
    assert manifest["lastUpdated"] == "2026-03-01T12:01:00Z"
    assert manifest["initialStatus"] == "released"
    assert manifest["manifestUrl"] == prepared.manifest_url == f"{place.world.base_url}/plugins/acme-x.json"
    assert prepared.payload_digest == payload_digest_of(manifest)
    assert [outcome.result for outcome in place.register().outcomes][-1] == Result.PUBLISHED
    assert (place.world.folder / PLACE / "manifest.json").read_bytes() == data
    assert place.versions() == [VERSION]


def test_the_ref_and_its_commit(remote: Place) -> None:
    """One commit without a parent, holding manifest.json alone, under the name that the design fixes; main is untouched."""
    assert remote.bare is not None
    main_before = git(remote.bare, "rev-parse", "main")
    prepared = remote.publish()
    digest = payload_digest_of(prepared.manifest).hex
    (ref,) = remote.refs()
    assert ref == f"refs/heads/publish/acme-x@1.0.0@{digest[:12]}"
    assert git(remote.bare, "rev-list", "--parents", ref).split() == [git(remote.bare, "rev-parse", ref)]
    assert git(remote.bare, "ls-tree", "-r", "--format=%(objectmode) %(path)", ref) == "100644 manifest.json"
    assert git(remote.bare, "rev-parse", "main") == main_before
    assert git(remote.bare, "log", "-1", "--format=%an <%ae> %at %s", ref) == (
        f"Plugin Registry <plugin-registry@localhost> {int(remote.world.now.timestamp())} Publish acme-x 1.0.0"
    )


def _logging_git(folder: Path) -> dict[str, str]:
    """An environment whose `git` writes down its arguments."""
    wrapper = folder / "bin" / "git"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{folder}/log'\nexec '{shutil.which('git')}' \"$@\"\n"
    )
    wrapper.chmod(0o755)
    return {**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}


def test_one_push_and_no_clone(remote: Place, tmp_path: Path) -> None:
    """One push, create-only, of that one ref; of main's files only those that are looked at are fetched."""
    assert remote.bare is not None
    git(remote.bare, "config", "uploadpack.allowFilter", "true")
    environ = _logging_git(tmp_path / "git")
    with open_destination(remote.to, "main", environ) as destination:
        assert isinstance(destination, RemoteRegistry)
        remote.world.publish(ID, VERSION, to=destination)
        kinds = destination._git.run("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    commands = [line.split(" ", 2)[2] for line in (tmp_path / "git" / "log").read_text().splitlines()]
    pushes = [command for command in commands if command.startswith("push ")]
    (ref,) = remote.refs()
    assert len(pushes) == 1
    assert f"--force-with-lease={ref}: origin " in pushes[0]
    assert pushes[0].endswith(f":{ref}")
    assert "--all" not in pushes[0]
    # policy.json, the publisher's file, and our own manifest
    assert kinds.count(b"blob") == 3
    assert kinds.count(b"commit") == 2
    assert len(remote.world.snapshot()) > 10


def test_a_host_that_cannot_filter(remote: Place) -> None:
    """Publishing works the same where the remote sends whole commits."""
    assert remote.bare is not None
    git(remote.bare, "config", "uploadpack.allowFilter", "false")
    remote.publish()
    remote.register()
    assert remote.versions() == [VERSION]


def test_an_artifact_in_the_registry(place: Place) -> None:
    """Packed, offered beside the manifest under its digest, and served to hosts."""
    prepared = place.publish(
        files={"src/a.py": b"print()\n"}, artifacts=[{"ecosystem": "python", "pack": "src"}]
    )
    ((name, data),) = prepared.packed.items()
    (artifact,) = prepared.manifest["artifacts"]
    path = f"artifacts/sha256/{Digest.of(data).hex}/{name}"
    assert artifact == {
        "ecosystem": "python",
        "url": path,
        "digest": Digest.of(data),
        "size": len(data),
        "mediaType": "application/zip",
    }
    assert place.offered()[path] == data
    assert set(place.offered()) == {"manifest.json", path}
    place.register()
    assert place.world.tree.read(path) == data


# -- the same again, and something else ---------------------------------------------------------------------------


@pytest.mark.parametrize("registered", [False, True])
def test_the_same_content_again_is_a_no_op(place: Place, registered: bool) -> None:
    """Later, from elsewhere, built by another commit: nothing is offered, and it says so."""
    first = place.publish()
    if registered:
        place.register()
    before = place.state()
    source = load_source(place.world.write_source(ID, VERSION))
    place.world.tick(days=1)
    provenance = {"repository": "https://git.example/acme/x", "commit": "0" * 40}
    publication = Publication(source, VERSION, Change(), place.world.publishers["acme"], provenance)
    with open_destination(place.to, "main", os.environ) as destination:
        prepared = prepare(publication, destination, place.world.now)
    assert prepared.offer is None
    assert "with the same content; nothing to do" in prepared.note
    assert prepared.payload_digest == first.payload_digest
    assert place.state() == before


@pytest.mark.parametrize("registered", [False, True])
def test_other_content_is_refused(place: Place, registered: bool) -> None:
    """A version is used once, published or only offered."""
    place.publish()
    if registered:
        place.register()
    before = place.state()
    for change in (
        {"description": "another"},
        {"change": Change(ReleaseStatus.DRAFT)},
        {"change": Change(rollout=10)},
    ):
        with pytest.raises(
            VersionExistsError, match=r"acme-x 1\.0\.0 is .* already .* with other content"
        ) as caught:
            place.publish(**change)
        assert "--bump" in caught.value.hint
    assert place.state() == before


def test_signing_again_with_another_key(place: Place) -> None:
    """The published manifest is offered with one more signature, whenever that is; the version stays what it is."""
    first = place.publish(change=Change(rollout=10))
    place.register()
    for name in ("acme-new", "acme-newer"):
        key = ed25519(name)
        place.world.add_key("acme", key)
        if place.bare is not None:
            git(place.world.folder, "add", "--all", "--force", ".")
            git(place.world.folder, "commit", "--quiet", "-m", "Add a key")
            git(place.world.folder, "push", "--quiet", "origin", "main")
        place.world.tick(days=1)
        again = place.publish(change=Change(rollout=10))
        assert again.offer is not None
        assert set(again.offer.files) == {"manifest.json"}
        assert again.payload_digest == first.payload_digest
        run = place.register()
        assert Result.SIGNED in [outcome.result for outcome in run.outcomes]
        assert run.refused == []
        assert place.publish(change=Change(rollout=10)).offer is None
    assert len(again.manifest["signatures"]) == 3
    assert place.versions() == [VERSION]
    assert len(place.world.client("reader").manifest(ID, VERSION).raw["signatures"]) == 3


def test_signing_again_while_the_first_is_pending(remote: Place) -> None:
    """The ref is taken: nothing is lost without a word."""
    first = remote.publish()
    remote.world.add_key("acme", ed25519("acme-new"))
    remote.world.publishers["acme"].append(ed25519("acme-1"))
    before = remote.refs()
    with pytest.raises(PublishError, match="exists already") as caught:
        remote.publish()
    assert "when the registrar has handled" in caught.value.hint
    assert remote.refs() == before
    assert json.loads(remote.offered()["manifest.json"]) == first.manifest


# -- who may publish ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["globex", "unknown"])
def test_an_unauthorised_key_is_refused_early(place: Place, by: str) -> None:
    """Before anything is offered: another publisher's key, or one that nobody knows."""
    if by == "globex":
        place.world.add_publisher("globex")
    before = place.state()
    with pytest.raises(SignatureError, match="0 of 1 needed signatures of publisher 'acme' count"):
        place.publish(signers=[ed25519(f"{by}-1")])
    assert place.state() == before


def test_an_id_of_nobody(place: Place) -> None:
    """No publisher covers it: the error says who can change that."""
    before = place.state()
    with pytest.raises(PublishError, match="no publisher of this registry may publish 'other-x'") as caught:
        place.publish(id="other-x", by="acme")
    assert "add-publisher" in caught.value.hint
    assert place.state() == before


def test_too_few_keys_are_refused_early(tmp_path: Path) -> None:
    """Where two keys are needed, one is not enough, and two are."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme", keys=2, threshold=2)
    with pytest.raises(SignatureError, match="1 of 2 needed"):
        world.publish(ID, VERSION, signers=world.publishers["acme"][:1])
    assert world.publish(ID, VERSION).offer is not None


FOREIGN: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "another key": lambda m: dump_json(sign({**m, "description": "evil"}, ed25519("globex-1"))),
    "a signature that is none": lambda m: dump_json({**m, "description": "evil"}),
    "another version": lambda m: dump_json(sign({**m, "version": "2.0.0"}, ed25519("acme-1"))),
    "no JSON": lambda _: b"\xff",
    "nothing in it": lambda _: b"{}",
}


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in FOREIGN.items()])
def test_what_others_offer_under_our_id_is_not_in_the_way(
    remote: Place, make: Callable[[dict[str, Any]], bytes]
) -> None:
    """Anyone with a token can push a ref; only what the publisher signed counts as offered."""
    data = make(remote.world.prepare(ID, VERSION).manifest)
    digest = payload_digest_of(json.loads(data)).hex if data.startswith(b"{") else "f" * 64
    with open_destination(remote.to, "main", os.environ) as destination:
        destination.submit(Offer(ID, VERSION, digest, {"manifest.json": data}, "by hand\n"), START)
    assert remote.publish().offer is not None
    remote.register()
    assert remote.versions() == [VERSION]


def test_a_ref_that_someone_else_took(remote: Place) -> None:
    """A ref of our name with something else in it is an error, not a success."""
    remote.world.tick(minutes=1)
    with open_destination(remote.to, "main", os.environ) as destination:
        prepared = remote.world.prepare(ID, VERSION, to=destination)
        assert prepared.offer is not None
        squatted = replace(prepared.offer, files={"README.md": b"mine"})
        destination.submit(squatted, remote.world.now)
        with pytest.raises(PublishError, match="exists already"):
            destination.submit(prepared.offer, remote.world.now)


# -- the first status ---------------------------------------------------------------------------------------------

STATUSES: list[tuple[Change, dict[str, Any], tuple[Any, ...] | None]] = [
    (Change(), {}, None),
    (Change(ReleaseStatus.RELEASED), {}, None),
    (Change(ReleaseStatus.RELEASED), {"initialStatus": "draft"}, None),
    (Change(rollout=100, push=True, force_update=False), {}, None),
    (Change(ReleaseStatus.DRAFT), {}, None),
    (Change(), {"initialStatus": "draft"}, None),
    (Change(ReleaseStatus.TESTING), {}, ("testing", 100, True, False)),
    (Change(ReleaseStatus.STAGED), {}, ("staged", 100, True, False)),
    (Change(rollout=10), {}, ("released", 10, True, False)),
    (Change(rollout=0), {}, ("released", 0, True, False)),
    (Change(push=False), {}, ("released", 100, False, False)),
    (Change(force_update=True), {}, ("released", 100, True, True)),
    (Change(ReleaseStatus.STAGED, 5, False, True, "slowly"), {}, ("staged", 5, False, True)),
    (Change(rollout=10), {"initialStatus": "draft"}, ("draft", 10, True, False)),
    (Change(reason="first of many"), {}, ("released", 100, True, False)),
]


@pytest.mark.parametrize(("change", "members", "expected"), STATUSES)
def test_first_statuses(
    place: Place, change: Change, members: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """Released and draft stand in the manifest; any other start is a draft with a release document in the same offer."""
    prepared = place.publish(change=change, **members)
    files = place.offered()
    assert set(files) == ({"manifest.json"} if expected is None else {"manifest.json", "release.json"})
    if expected is None:
        drafted = change.status is ReleaseStatus.DRAFT or (change.status is None and bool(members))
        assert prepared.manifest["initialStatus"] == ("draft" if drafted else "released")
    else:
        assert prepared.manifest["initialStatus"] == "draft"
        release = json.loads(files["release.json"])
        assert tuple(release[name] for name in ("status", "rollout", "push", "forceUpdate")) == expected
        assert (release["revision"], release.get("reason")) == (1, change.reason)
        assert release["manifest"] == prepared.payload_digest
    assert place.register().refused == []
    (info,) = place.world.client("reader").versions(ID)
    status = expected[0] if expected else prepared.manifest["initialStatus"]
    assert str(info.standing.status) == status


@pytest.mark.parametrize("status", [ReleaseStatus.YANKED, ReleaseStatus.DEPRECATED])
def test_statuses_that_no_version_starts_with(place: Place, status: ReleaseStatus) -> None:
    """Refused with the way that works."""
    with pytest.raises(ConfigError, match=f"does not start as {status}") as caught:
        place.publish(change=Change(status, reason="x"))
    assert "set-status" in caught.value.hint


def test_a_first_status_that_is_not_allowed(place: Place) -> None:
    """What a release document may not say is refused before anything is offered."""
    before = place.state()
    with pytest.raises(PublishError, match="rollout"):
        place.publish(change=Change(rollout=101))
    assert place.state() == before


# -- artifacts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "remote"])
def test_a_registry_that_keeps_no_artifacts(tmp_path: Path, kind: str) -> None:
    """Refused with the way out, which works."""
    place = _place(tmp_path, kind, in_tree=False)
    members: dict[str, Any] = {
        "files": {"src/a.py": b"x"},
        "artifacts": [{"ecosystem": "python", "pack": "src"}],
    }
    with pytest.raises(PublishError, match="keeps no artifacts itself") as caught:
        place.publish(**members)
    assert "--artifact-url" in caught.value.hint
    members["artifacts"][0]["url"] = "https://files.example/{id}/v{version}/{name}"
    prepared = place.publish(**members)
    (name,) = prepared.packed
    (artifact,) = prepared.manifest["artifacts"]
    assert artifact["url"] == f"https://files.example/acme-x/v1.0.0/{name}"
    assert set(place.offered()) == {"manifest.json"}
    assert place.register().refused == []


@pytest.mark.parametrize(("size", "good"), [(MAX_IN_TREE, True), (MAX_IN_TREE + 1, False)])
def test_how_large_an_artifact_in_the_registry_may_be(tmp_path: Path, size: int, good: bool) -> None:
    """Ten megabytes and no byte more."""
    place = _place(tmp_path, "folder")
    members: dict[str, Any] = {
        "files": {"built.zip": b"x" * size},
        "artifacts": [{"ecosystem": "custom", "path": "built.zip"}],
    }
    if good:
        place.publish(**members)
        assert place.register().refused == []
    else:
        with pytest.raises(PublishError, match=r"built\.zip: 10000001 bytes; at most 10000000") as caught:
            place.publish(**members)
        assert "--artifact-url" in caught.value.hint


def _publication(world: World, artifact_url: str | None, **members: Any) -> Publication:
    source = load_source(
        world.write_source(
            ID,
            VERSION,
            {"src/a.py": b"x", "b.zip": b"y"},
            **{"artifacts": [{"ecosystem": "python", "pack": "src"}], **members},
        )
    )
    return Publication(source, VERSION, Change(), world.publishers["acme"], artifact_url=artifact_url)


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("https://files.example/{name}", "https://files.example/acme-x-1.0.0.zip"),
        ("https://files.example/{id}/{version}/f.zip", "https://files.example/acme-x/1.0.0/f.zip"),
        ("https://files.example/fixed.zip", "https://files.example/fixed.zip"),
    ],
)
def test_templates(tmp_path: Path, template: str, url: str) -> None:
    """Placeholders are filled in; the packed bytes are handed out for the upload."""
    world = _place(tmp_path, "folder").world
    prepared = prepare(_publication(world, template), WorkTree(world.folder), world.now)
    (artifact,) = prepared.manifest["artifacts"]
    assert artifact["url"] == url
    assert artifact["digest"] == Digest.of(prepared.packed["acme-x-1.0.0.zip"])


@pytest.mark.parametrize(
    "template",
    [
        "https://files.example/{nmae}",
        "https://files.example/{}",
        "https://files.example/{name",
        "files/{name}",
        "/abs/{name}",
        "artifacts/{name}",
        "ftp://files.example/{name}",
        "https://user:pw@files.example/{name}",
        "https://files.example/a b/{name}",
    ],
)
def test_bad_templates(tmp_path: Path, template: str) -> None:
    """An error that names the option and shows a template that works."""
    world = _place(tmp_path, "folder").world
    with pytest.raises(ConfigError, match="--artifact-url") as caught:
        prepare(_publication(world, template), WorkTree(world.folder), world.now)
    assert "{id}" in caught.value.hint


def test_two_artifacts_at_one_url(tmp_path: Path) -> None:
    """A template without {name} cannot place two files."""
    world = _place(tmp_path, "folder").world
    artifacts = [{"ecosystem": "python", "pack": "src"}, {"ecosystem": "custom", "path": "b.zip"}]
    publication = _publication(world, "https://files.example/{id}.zip", artifacts=artifacts)
    with pytest.raises(RegistryError, match=r"https://files\.example/acme-x\.zip"):
        prepare(publication, WorkTree(world.folder), world.now)
    good = replace(publication, artifact_url="https://files.example/{name}")
    assert prepare(good, WorkTree(world.folder), world.now).offer is not None


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        ({"path": "dist/none.zip"}, "dist/none.zip: no such file"),
        ({"path": "src"}, "src: is not a file"),
        ({"pack": "none"}, "none"),
    ],
)
def test_artifacts_that_are_not_there(place: Place, artifact: dict[str, str], words: str) -> None:
    """Named, with nothing offered."""
    before = place.state()
    with pytest.raises((PublishError, ConfigError), match=words):
        place.publish(files={"src/a.py": b"x"}, artifacts=[{"ecosystem": "custom", **artifact}])
    assert place.state() == before


# -- what is wrong with it ----------------------------------------------------------------------------------------


def test_all_problems_at_once(place: Place) -> None:
    """Each with its path."""
    before = place.state()
    with pytest.raises(ManifestError) as caught:
        place.publish(homepage="nowhere", keywords=["a", "a"], colour="red", requires={"python": "~~3"})
    paths = {problem.path for problem in caught.value.problems}
    assert {"$.homepage", "$.keywords", "$.colour", "$.requires.python"} <= paths
    assert place.state() == before


def test_a_manifest_that_is_too_large(place: Place) -> None:
    """Over 256 KiB as it would be written: refused before anything is offered."""
    before = place.state()
    half = 140 * 1024
    with pytest.raises(ManifestError, match="at most 262144"):
        place.publish(configuration={"type": "object", "description": "é" * half, "title": "x"})
    assert place.state() == before


# -- the place ----------------------------------------------------------------------------------------------------


def _attempt(to: str, branch: str = "main") -> None:
    with open_destination(to, branch, os.environ):
        pass


def test_wrong_places(remote: Place, tmp_path: Path) -> None:
    """No such folder, no registry, no such branch, no policy: each error says what to check."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("x")
    empty = tmp_path / "empty.git"
    empty.mkdir()
    git(empty, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    git(tmp_path / "plain", "init", "--quiet", ".")
    table: Sequence[tuple[str, str, str, str]] = [
        (str(tmp_path / "none"), "main", "none", "Check the name"),
        ("no-such-folder", "main", "no-such-folder", "Check the name"),
        (str(tmp_path / "file"), "main", "file", "Check the name"),
        (str(tmp_path / "plain"), "main", "plain: is not a registry", "--to"),
        (remote.to, "trunk", "no branch 'trunk'", "--branch"),
        (str(empty), "main", "no branch 'main'", "--branch"),
        (f"file://{tmp_path}/none.git", "main", "none.git", "Check the name"),
        ("x" * 300, "main", "", ""),
        ("ext::sh -c true", "main", "not a Git remote", "folder"),
    ]
    for to, branch, words, hint in table:
        with pytest.raises((ConfigError, PublishError)) as caught:
            _attempt(to, branch)
        assert words in caught.value.message, to
        assert hint in caught.value.hint, to


def test_a_repository_without_a_registry(remote: Place, tmp_path: Path) -> None:
    """A branch that holds something else."""
    bare = tmp_path / "other.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    tree = git(bare, "mktree")
    git(bare, "update-ref", "refs/heads/main", git(bare, "commit-tree", "-m", "x", tree))
    with (
        open_destination(str(bare), "main", os.environ) as destination,
        pytest.raises(ConfigError, match=r"no policy\.json") as caught,
    ):
        remote.world.prepare(ID, VERSION, to=destination)
    assert "--branch" in caught.value.hint


def test_the_registry_moves_on_while_someone_publishes(remote: Place) -> None:
    """Main gets a new commit and pending refs go away between looking and fetching: nothing fails."""
    assert remote.bare is not None
    remote.publish()
    with open_destination(remote.to, "main", os.environ) as destination:
        remote.register()
        assert remote.refs() == []
        again = remote.world.prepare(ID, VERSION, to=destination)
        assert again.offer is None
    _publish_while_main_moves(remote, "1.1.0")
    remote.register()
    assert remote.versions() == ["1.0.0", "1.1.0"]


def _publish_while_main_moves(place: Place, version: str) -> None:
    """Publish acme-x with a `git` that moves main right after it was listed."""
    bare = place.bare
    assert bare is not None
    real = shutil.which("git")
    wrapper = bare.parent / "moving" / "git"
    wrapper.parent.mkdir()
    tree = git(bare, "rev-parse", "main^{tree}")
    moved = git(bare, "commit-tree", "-p", "main", "-m", "moved", tree)
    wrapper.write_text(
        "#!/bin/sh\n"
        f"'{real}' \"$@\"; code=$?\n"
        f"case \"$*\" in *ls-remote*) '{real}' -C '{bare}' update-ref refs/heads/main {moved};; esac\n"
        "exit $code\n"
    )
    wrapper.chmod(0o755)
    environ = {**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    with open_destination(str(bare), "main", environ) as destination:
        place.world.publish(ID, version, to=destination)
    assert git(bare, "rev-parse", "main") == moved


def test_two_publishers_of_the_same_version_at_once(remote: Place) -> None:
    """The same bytes twice: both are told of the one ref. Different content: two refs, and the registrar takes one."""
    world = remote.world
    sources = [
        load_source(world.write_source(ID, VERSION)),
        load_source(world.write_source("acme-y", VERSION)),
    ]
    barrier = threading.Barrier(2)

    def run(number: int) -> str:
        change = Change() if number < 2 else Change(rollout=number)
        publication = Publication(sources[number > 1], VERSION, change, world.publishers["acme"])
        publication = replace(publication, provenance={"workflow": f"w{number}"} if number > 1 else {})
        with open_destination(remote.to, "main", os.environ) as destination:
            prepared = prepare(publication, destination, world.now)
            assert prepared.offer is not None
            barrier.wait(60)
            return destination.submit(prepared.offer, world.now).place

    with ThreadPoolExecutor(2) as pool:
        same = list(pool.map(run, [0, 1]))
        different = list(pool.map(run, [2, 3]))
    assert len(set(same)) == 1
    assert len(set(different)) == 2
    assert len(remote.refs()) == 3
    outcomes = [outcome.result for outcome in remote.register().outcomes]
    assert outcomes.count(Result.PUBLISHED) == 2
    assert outcomes.count(Result.REFUSED) == 1
    assert remote.refs() == []


def test_publishing_needs_no_right_to_main(remote: Place) -> None:
    """A token that may only create publish/* is enough; without even that, the error says what it needs."""
    assert remote.bare is not None
    hook = remote.bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\ncase "$1" in refs/heads/publish/*) test "$2" = 0000000000000000000000000000000000000000;; *) exit 1;; esac\n'
    )
    hook.chmod(0o755)
    remote.publish()
    assert len(remote.refs()) == 1
    hook.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(PublishError, match=r"refuses to create publish/acme-x@1\.1\.0@") as caught:
        remote.publish("1.1.0")
    assert "publish/*" in caught.value.hint
    assert len(remote.refs()) == 1


def test_ref_names() -> None:
    """Id, version and the first 12 digits of the payload digest."""
    assert publish_ref(ID, VERSION, "0123456789abcdef" * 4) == "refs/heads/publish/acme-x@1.0.0@0123456789ab"


# -- the command --------------------------------------------------------------------------------------------------


@dataclass
class Shell:
    """The command `publisher publish` for one plugin and one registry."""

    place: Place
    source: Path
    key: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Publish with `--json`."""
        self.capsys.readouterr()
        base = ["publish", str(self.source), "--to", self.place.to, "--key", str(self.key), "--json"]
        code = main([*base, *arguments])
        document: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return code, document

    @property
    def text(self) -> str:
        """The source manifest."""
        return (self.source / "manifest.json").read_text()


SOURCE = """{
  "id": "acme-x",   "name": "X",
  "version": "1.2.3",
  "ui": {"remoteEntry": "https://cdn.example/x/entry.js", "expose": "./App"}
}
"""


@pytest.fixture
def shell(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A plugin's folder and the publisher's key."""
    source, key = tmp_path / "plugin", tmp_path / "acme.pem"
    source.mkdir()
    (source / "manifest.json").write_text(SOURCE)
    key.write_bytes(ed25519("acme-1").private_bytes)
    key.chmod(0o600)
    return Shell(place, source, key, capsys)


@pytest.mark.parametrize(("part", "version"), [("patch", "1.2.4"), ("minor", "1.3.0"), ("major", "2.0.0")])
def test_bump(shell: Shell, part: str, version: str) -> None:
    """The bumped version is published and written back, nothing else of the file is changed."""
    code, document = shell.run("--bump", part)
    assert (code, document["version"], document["result"]) == (0, version, "offered")
    assert shell.text == SOURCE.replace("1.2.3", version)
    assert [path.name for path in shell.source.iterdir()] == ["manifest.json"]
    shell.place.register()
    assert shell.place.versions() == [version]


def test_a_bump_of_a_prerelease(shell: Shell) -> None:
    """It becomes the release that it was leading to."""
    (shell.source / "manifest.json").write_text(SOURCE.replace("1.2.3", "2.0.0-rc.1"))
    assert shell.run("--bump", "patch")[1]["version"] == "2.0.0"
    assert shell.text == SOURCE.replace("1.2.3", "2.0.0")


@pytest.mark.parametrize("mistake", ["dry run", "wrong key", "other content", "no remote", "refused push"])
def test_a_bump_is_written_back_only_after_success(shell: Shell, mistake: str, tmp_path: Path) -> None:
    """Whatever keeps the version from being offered keeps the file as it is."""
    arguments: list[str] = []
    if mistake == "dry run":
        arguments = ["--dry-run"]
    elif mistake == "wrong key":
        shell.key.write_bytes(ed25519("globex-1").private_bytes)
    elif mistake == "other content":
        shell.place.publish("1.2.4", description="another")
    elif mistake == "no remote":
        arguments = ["--to", str(tmp_path / "none")]
    elif shell.place.bare is not None:
        hook = shell.place.bare / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    else:  # the folder cannot be written to
        (shell.place.world.folder / "plugins").write_text("in the way")
    before = shell.place.state()
    code, document = shell.run("--bump", "patch", *arguments)
    assert (code == 0) == (mistake == "dry run")
    assert document.get("result") == ("dry run" if mistake == "dry run" else None)
    assert shell.text == SOURCE
    assert shell.place.state() == before


def test_a_dry_run_writes_nothing(shell: Shell) -> None:
    """It does everything else: signs, compares, says what would be published."""
    before = shell.place.state()
    code, document = shell.run("--dry-run")
    assert (code, document["result"], document["version"]) == (0, "dry run", "1.2.3")
    assert document["payloadDigest"].startswith("sha256:")
    assert "place" not in document
    assert shell.place.state() == before


@pytest.mark.parametrize(
    ("given", "version"), [("v1.2.3", "1.2.3"), ("2.0.0", "2.0.0"), ("v3.0.0-rc.1", "3.0.0-rc.1")]
)
def test_a_version_from_a_tag(shell: Shell, given: str, version: str) -> None:
    """With or without the v; the source stays as it is."""
    code, document = shell.run("--version", given)
    assert (code, document["version"]) == (0, version)
    assert shell.text == SOURCE


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version", "1.2"],
        ["--version", "vv1.2.3"],
        ["--version", "1.2.3\n"],
        ["--version", ""],
        ["--version", "1.2.3", "--bump", "patch"],
        ["--status", "yanked"],
        ["--artifact-url", "https://files.example/{nope}"],
    ],
)
def test_options_that_do_not_fit(shell: Shell, arguments: list[str]) -> None:
    """A configuration error, nothing written."""
    (shell.source / "a.zip").write_bytes(b"zip")
    document = json.loads(SOURCE) | {"artifacts": [{"ecosystem": "custom", "path": "a.zip"}]}
    (shell.source / "manifest.json").write_text(json.dumps(document))
    before = shell.place.state()
    code, found = shell.run(*arguments)
    assert (code, found["error"]["kind"]) == (ConfigError.exit_code, "Config")
    assert shell.place.state() == before


def test_the_command_says_that_nothing_is_to_be_done(shell: Shell) -> None:
    """Twice the same: the second is `unchanged`, with a note, and exits 0."""
    assert shell.run()[1]["result"] == "offered"
    code, document = shell.run()
    assert (code, document["result"]) == (0, "unchanged")
    assert "nothing to do" in document["note"]
    assert "place" not in document


def test_provenance_of_a_workflow(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """On GitHub Actions the manifest says which commit and run built it; elsewhere it says nothing."""
    variables = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/x",
        "GITHUB_SHA": "a" * 40,
        "GITHUB_REF": "refs/tags/v1.2.3",
        "GITHUB_WORKFLOW": "publish",
        "GITHUB_RUN_ID": "42",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert shell.run("--dry-run")[0] == 0
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert shell.run()[0] == 0
    manifest = json.loads(
        shell.place.offered()["manifest.json"]
        if shell.place.bare is not None
        else (shell.place.world.folder / "plugins/acme-x/1.2.3/manifest.json").read_bytes()
    )
    assert manifest["provenance"] == {
        "repository": "https://github.com/acme/x",
        "commit": "a" * 40,
        "ref": "refs/tags/v1.2.3",
        "workflow": "publish",
        "run": "https://github.com/acme/x/actions/runs/42",
    }
    monkeypatch.setenv("GITHUB_SHA", "b" * 40)
    assert shell.run()[1]["result"] == "unchanged"


def test_a_published_version_has_to_exist_before_its_status(place: Place) -> None:
    """What was only prepared is not there."""
    place.world.prepare(ID, VERSION)
    with (
        open_destination(place.to, "main", os.environ) as destination,
        pytest.raises(NotFoundError),
    ):
        place.world.set_status(ID, VERSION, "testing", to=destination)


def test_destinations_are_interchangeable(place: Place) -> None:
    """Both kinds are what `prepare` asks for."""
    with open_destination(place.to, "main", os.environ) as destination:
        kept: Destination = destination
        assert kept.tree.read("policy.json")
        assert kept.pending(ID, VERSION) == () or kept.pending(ID, VERSION) == []
