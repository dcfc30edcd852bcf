"""Publishing: from a source to an offer, into a working tree and by `git push`."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519
from support.world import World, git, push_to_bare

from publisher.cli.main import main
from publisher.destination import Destination, WorkTree, open_destination
from publisher.git import Git, GitTree
from publisher.registrar.admit import Result
from publisher.registrar.remote import register_remote
from publisher.set_status import Change
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    GitError,
    ManifestError,
    PublishError,
    RegistryError,
    SignatureError,
    VersionExistsError,
)
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKED: dict[str, Any] = {"artifacts": [{"ecosystem": "python", "pack": "src"}]}
CODE = {"src/plugin.py": b"print('hello')\n"}


class Place:
    """A registry as a destination of one kind: a folder, or a bare repository."""

    def __init__(self, world: World, bare: Path | None) -> None:
        self.world, self.bare = world, bare

    @contextlib.contextmanager
    def open(self) -> Iterator[Destination]:
        """The destination as a user names it."""
        with open_destination(str(self.bare or self.world.folder), "main", os.environ) as destination:
            yield destination

    def publish(self, *arguments: Any, **options: Any) -> Any:
        """Publish there."""
        with self.open() as destination:
            return self.world.publish(*arguments, to=destination, **options)

    def register(self) -> list[Result]:
        """Run the registrar there."""
        if self.bare is None:
            return [outcome.result for outcome in self.world.register().outcomes]
        from publisher.git import Remote

        run = register_remote(
            Remote(str(self.bare)), "main", lambda _: self.world.options(), os.environ, lambda: self.world.now
        )
        return [outcome.result for outcome in run.outcomes]

    def files(self) -> list[str]:
        """Everything that stands there: files, or refs with their commits."""
        if self.bare is None:
            return sorted(self.world.snapshot())
        return git(self.bare, "for-each-ref", "--format=%(refname) %(objectname)").split("\n")


@pytest.fixture(params=["folder", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A registry with publisher acme, as a folder and as a Git remote."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.add_publisher("globex")
    world.register()
    return Place(world, push_to_bare(world, tmp_path / "bare.git") if request.param == "remote" else None)


def test_the_same_content_again_is_a_no_op(place: Place) -> None:
    """Later, with other provenance: pending or registered, it says so and offers nothing."""
    place.publish("acme-x", "1.0.0", files=CODE, **PACKED)
    place.world.tick(hours=1)
    before = place.files()
    again = place.publish("acme-x", "1.0.0", files=CODE, **PACKED)
    assert again.offer is None
    assert "the same content; nothing to do" in again.note
    assert place.files() == before
    assert place.register() == [Result.PUBLISHED]
    again = place.publish("acme-x", "1.0.0", files=CODE, **PACKED)
    assert again.offer is None
    assert "is published already" in again.note
    assert place.register() == []


@pytest.mark.parametrize("registered", [False, True])
def test_other_content_is_refused(place: Place, registered: bool) -> None:
    """A version is used once, from the moment that it is offered."""
    place.publish("acme-x", "1.0.0", files=CODE, **PACKED)
    if registered:
        place.register()
    before = place.files()
    with pytest.raises(VersionExistsError, match="with other content") as caught:
        place.publish("acme-x", "1.0.0", files={"src/plugin.py": b"other"}, **PACKED)
    assert "--bump" in caught.value.hint
    assert place.files() == before


REFUSALS: dict[str, tuple[dict[str, Any], type[RegistryError], str]] = {
    "a key of nobody": ({"signers": [ed25519("nobody")]}, SignatureError, "is not a key of this publisher"),
    "another publisher's key": ({"by": "globex"}, SignatureError, "is not a key of this publisher"),
    "an id that nobody covers": ({"plugin_id": "free", "by": "acme"}, PublishError, "may publish 'free'"),
    "a first status of yanked": (
        {"change": Change(ReleaseStatus.YANKED, reason="x")},
        ConfigError,
        "does not start as",
    ),
    "a rule of manifests": (
        {"ui": {"remoteEntry": "http://cdn.example/x.js", "expose": "./App"}},
        ManifestError,
        "$.ui.remoteEntry",
    ),
    "a file that is not there": (
        {"artifacts": [{"ecosystem": "custom", "path": "none.zip"}]},
        PublishError,
        "no such file",
    ),
    "an artifact over 10 MB": (
        {"files": {"big.bin": b"x" * 10_000_001}, "artifacts": [{"ecosystem": "custom", "path": "big.bin"}]},
        PublishError,
        "at most 10000000",
    ),
}


@pytest.mark.parametrize("case", [pytest.param(row, id=name) for name, row in REFUSALS.items()])
def test_early_refusals(place: Place, case: tuple[dict[str, Any], type[RegistryError], str]) -> None:
    """What the registrar would refuse is refused before anything is written or pushed."""
    given, error, words = case
    options = dict(given)
    before = place.files()
    with pytest.raises(error) as caught:
        place.publish(options.pop("plugin_id", "acme-x"), "1.0.0", **options)
    assert words in caught.value.message
    assert place.files() == before


def test_what_a_push_holds(tmp_path: Path) -> None:
    """One commit without a parent, plain files only, under a ref named after what it holds."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    bare = push_to_bare(world, tmp_path / "bare.git")
    main_before = git(bare, "rev-parse", "main")
    with open_destination(str(bare), "main", os.environ) as destination:
        prepared = world.publish(
            "acme-x", "1.0.0", to=destination, change=Change(rollout=10), files=CODE, **PACKED
        )
    (ref,) = git(bare, "for-each-ref", "--format=%(refname)", "refs/heads/publish/").split()
    assert ref == f"refs/heads/publish/acme-x@1.0.0@{prepared.payload_digest.hex[:12]}"
    assert git(bare, "rev-list", "--count", ref) == "1"
    with contextlib.closing(Git(bare, os.environ)) as repository:
        tree = GitTree(repository, ref)
        paths = list(tree.paths(""))
        archive = prepared.packed["acme-x-1.0.0.zip"]
        assert paths == [
            f"artifacts/sha256/{Digest.of(archive).hex}/acme-x-1.0.0.zip",
            "manifest.json",
            "release.json",
        ]
        assert tree.read(paths[0]) == archive
        assert {entry.mode for entry in repository.entries(ref)} == {"100644"}
    assert git(bare, "rev-parse", "main") == main_before


def test_a_remote_that_refuses_the_ref(tmp_path: Path) -> None:
    """The error says which ref could not be created and what the token must be allowed."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    bare = push_to_bare(world, tmp_path / "bare.git")
    hook = bare / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with (
        open_destination(str(bare), "main", os.environ) as destination,
        pytest.raises(PublishError, match=r"refuses to create publish/acme-x@1\.0\.0@") as caught,
    ):
        world.publish("acme-x", "1.0.0", to=destination)
    assert "publish/*" in caught.value.hint


def test_places_that_are_no_registry(tmp_path: Path) -> None:
    """A folder without one, a repository without the branch, a URL that is none."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare.git").mkdir()
    git(tmp_path / "bare.git", "init", "--quiet", "--bare", ".")
    for text, error, words in (
        (str(tmp_path / "empty"), ConfigError, "is not a registry"),
        (str(tmp_path / "bare.git"), GitError, "no branch 'main'"),
        (str(tmp_path / "none"), GitError, "failed"),
        ("--upload-pack=touch /tmp/x", ConfigError, "is not a Git remote"),
        ("ext::sh -c true", ConfigError, "is not a Git remote"),
    ):
        with pytest.raises(error, match=words), open_destination(text, "main", os.environ):
            pass


FIRST_STATUSES: dict[str, tuple[Change, str, dict[str, Any] | None]] = {
    "released": (Change(), "released", None),
    "released, said": (Change(ReleaseStatus.RELEASED), "released", None),
    "draft": (Change(ReleaseStatus.DRAFT), "draft", None),
    "testing": (Change(ReleaseStatus.TESTING), "draft", {"status": "testing", "rollout": 100, "push": True}),
    "staged": (Change(ReleaseStatus.STAGED), "draft", {"status": "staged"}),
    "rolled out in part": (Change(rollout=10), "draft", {"status": "released", "rollout": 10}),
    "to new installations only": (Change(push=False), "draft", {"status": "released", "push": False}),
    "forced": (Change(force_update=True), "draft", {"status": "released", "forceUpdate": True}),
    "stopped": (Change(rollout=0), "draft", {"status": "released", "rollout": 0}),
}


@pytest.mark.parametrize("case", [pytest.param(row, id=name) for name, row in FIRST_STATUSES.items()])
def test_first_statuses(place: Place, case: tuple[Change, str, dict[str, Any] | None]) -> None:
    """A restricted start is a draft manifest and a signed release, so that dropping the release never widens it."""
    change, initial, release = case
    prepared = place.publish("acme-x", "1.0.0", change=change)
    assert prepared.manifest["initialStatus"] == initial
    files = prepared.offer.files
    assert ("release.json" in files) == (release is not None)
    if release is not None:
        found = json.loads(files["release.json"])
        assert found["revision"] == 1
        assert found["manifest"] == prepared.payload_digest
        assert {name: found[name] for name in release} == release
    results = place.register()
    assert Result.REFUSED not in results
    assert Result.PUBLISHED in results


def test_the_manifest_says_where_and_when(tmp_path: Path) -> None:
    """Digests, URL of the newest manifest and time are filled in; what the author wrote is kept."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    source: dict[str, Any] = {
        "description": "A plugin",
        "permissions": ["calendar:read"],
        "configuration": {"type": "object"},
    }
    prepared = world.publish("acme-x", "1.0.0", files=CODE, **PACKED, **source)
    manifest = prepared.manifest
    assert manifest["lastUpdated"] == "2026-03-01T12:00:00Z"
    assert manifest["manifestUrl"] == f"{world.base_url}/plugins/acme-x.json"
    assert {name: manifest[name] for name in source} == source
    (artifact,) = manifest["artifacts"]
    data = prepared.packed["acme-x-1.0.0.zip"]
    assert (artifact["digest"], artifact["size"]) == (Digest.of(data), len(data))
    assert world.tree.read(artifact["url"]) == data


def test_artifacts_that_are_placed_elsewhere(tmp_path: Path) -> None:
    """With a template the archive is named by URL, and nothing of it goes into the registry."""
    world = World(tmp_path / "registry", in_tree=False)
    world.add_publisher("acme")
    with pytest.raises(PublishError, match="keeps no artifacts") as caught:
        world.publish("acme-x", "1.0.0", files=CODE, **PACKED)
    assert "--artifact-url" in caught.value.hint
    placed: dict[str, Any] = {
        "artifacts": [{**PACKED["artifacts"][0], "url": "https://f.example/{id}/{version}/{name}"}]
    }
    prepared = world.publish("acme-x", "1.0.0", files=CODE, **placed)
    url = prepared.manifest["artifacts"][0]["url"]
    assert url == "https://f.example/acme-x/1.0.0/acme-x-1.0.0.zip"
    assert list(prepared.offer.files if prepared.offer else ()) == ["manifest.json"]


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The publisher's key as a file."""
    signer = ed25519("acme-1")
    assert isinstance(signer, CryptoSigner)
    path = tmp_path / "acme.pem"
    path.write_bytes(signer.private_bytes)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("start", "options", "published", "written"),
    [
        ("1.2.3", [], "1.2.3", "1.2.3"),
        ("1.2.3", ["--bump", "patch"], "1.2.4", "1.2.4"),
        ("1.2.3", ["--bump", "minor"], "1.3.0", "1.3.0"),
        ("1.2.3", ["--bump", "major"], "2.0.0", "2.0.0"),
        ("2.0.0-rc.1", ["--bump", "patch"], "2.0.0", "2.0.0"),
        ("1.2.3", ["--version", "3.0.0"], "3.0.0", "1.2.3"),
        ("1.2.3", ["--version", "v3.0.0-beta.2"], "3.0.0-beta.2", "1.2.3"),
        ("1.2.3", ["--bump", "minor", "--dry-run"], None, "1.2.3"),
    ],
)
def test_which_version_is_published(
    tmp_path: Path, key: str, start: str, options: list[str], published: str | None, written: str
) -> None:
    """A bump is written back to the source, byte for byte else; a given version is not; a dry run writes nothing."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    source = world.write_source("acme-x", start)
    before = (source / "manifest.json").read_text()
    assert main(["publish", str(source), "--to", str(world.folder), "--key", key, *options]) == 0
    found = [path for path in world.tree.paths("plugins") if path.endswith("manifest.json")]
    assert found == ([f"plugins/acme-x/{published}/manifest.json"] if published else [])
    assert (source / "manifest.json").read_text() == before.replace(f'"{start}"', f'"{written}"')


def test_a_refused_publication_writes_nothing_back(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The source keeps its version if the bumped one could not be published; the exit code says so."""
    world = World(tmp_path / "registry")
    world.add_publisher("globex")
    source = world.write_source("acme-x", "1.0.0")
    before = (source / "manifest.json").read_bytes()
    arguments = ["publish", str(source), "--to", str(world.folder), "--key", key, "--bump", "patch"]
    assert main(arguments) == PublishError.exit_code
    assert (source / "manifest.json").read_bytes() == before
    shown = capsys.readouterr()
    assert "no publisher of this registry may publish" in shown.err
    assert "Traceback" not in shown.err


def test_the_command_prints_json_and_nothing_else(
    tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json`: one document on standard output, for an offer and for a no-op."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    source = world.write_source("acme-x", "1.0.0")
    arguments = ["publish", str(source), "--to", str(world.folder), "--key", key, "--json"]
    for result in ("offered", "unchanged"):
        assert main(arguments) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["id"], document["version"], document["result"]) == ("acme-x", "1.0.0", result)


def test_a_working_tree_never_says_that_something_is_pending(tmp_path: Path) -> None:
    """What is written there is there."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.publish("acme-x", "1.0.0")
    assert WorkTree(world.folder).pending("acme-x", "1.0.0") == ()
