"""The check of pull requests: what is wrong is all said, what passes is registered, and a stranger's commit does nothing but lie there."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import ed25519, manifest, payload_digest, release, sign
from support.world import START, World, commit_all, git, make_keys, push_to_bare

from publisher.cli.main import main
from publisher.git import Remote
from publisher.maintain import policy
from publisher.maintain.rotate import rotate
from publisher.registrar.remote import register_remote
from publisher.registrar.run import Options, register
from publisher.review.judge import judge
from publisher.review.paths import Area, Base, Change, place_of
from publisher.review.remote import validate_remote
from publisher.review.tree_diff import Blob
from publisher.sign_file import sign_file
from publisher.tree import DirTree, MemoryTree
from registry_client.digest import Digest
from registry_client.errors import ConfigError, GitError
from registry_client.jsontext import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from publisher.review.verdict import Verdict

ACME = ed25519("acme-1")
PULL = "refs/pull/7/head"


@dataclass
class Hosted:
    """A registry with a bare repository, and pull requests to it."""

    world: World
    bare: Path

    def propose(self, change: Callable[[World], object], ref: str = PULL, onto: str = "main") -> str:
        """A pull request with what `change` does to the working tree, which is as before afterwards."""
        folder = self.world.folder
        git(folder, "checkout", "--quiet", "--detach", onto)
        change(self.world)
        commit = commit_all(folder, "Proposed")
        git(folder, "push", "--quiet", "--force", "origin", f"HEAD:{ref}")
        git(folder, "checkout", "--quiet", "main")
        return commit

    def validate(self, head: str = PULL, url: str = "", **more: Any) -> Verdict:
        """The verdict on a pull request."""
        now = more.pop("now", self.world.now)
        return validate_remote(Remote(url or str(self.bare)), head, "main", os.environ, now, **more)

    def merge(self, ref: str = PULL) -> None:
        """Merge a pull request, as a maintainer does."""
        folder = self.world.folder
        git(folder, "fetch", "--quiet", "origin", f"+{ref}:refs/merging")
        git(folder, "merge", "--quiet", "--no-edit", "refs/merging")
        git(folder, "push", "--quiet", "origin", "main")

    def commit(self, message: str = "Something") -> str:
        """Commit the working tree to main."""
        commit = commit_all(self.world.folder, message)
        git(self.world.folder, "push", "--quiet", "origin", "main")
        return commit

    def register(self, **more: Any) -> dict[str, str]:
        """Run the registrar on the remote. What became of each file."""
        run = register_remote(
            Remote(str(self.bare)),
            "main",
            lambda _: self.world.options(**more),
            os.environ,
            lambda: self.world.now,
        )
        git(self.world.folder, "pull", "--quiet", "--ff-only", "origin", "main")
        return {o.submission.source: o.result.value for o in run.outcomes}


def _world(folder: Path) -> World:
    world = World(folder)
    world.add_publisher("acme")
    world.add_publisher("globex")
    for version in ("1.0.0", "1.1.0"):
        world.publish("acme-calendar", version, permissions=["calendar:read"])
    world.register()
    return world


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with publishers acme and globex and two versions of acme-calendar; made once, copied for each test."""
    top = tmp_path_factory.mktemp("made")
    push_to_bare(_world(top / "registry"), top / "bare.git")
    return top


@pytest.fixture
def hosted(made: Path, tmp_path: Path) -> Hosted:
    """A copy of that registry."""
    top = tmp_path / "copy"
    shutil.copytree(made, top, symlinks=True)
    world = World(tmp_path / "unused")
    world.folder = top / "registry"
    world.publishers = {"acme": [ed25519("acme-1")], "globex": [ed25519("globex-1")]}
    git(world.folder, "remote", "set-url", "origin", str(top / "bare.git"))
    return Hosted(world, top / "bare.git")


def write(world: World, path: str, data: bytes | dict[str, Any]) -> None:
    """A file by hand."""
    full = world.folder / path
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_bytes(dump_json(data) if isinstance(data, dict) else data)


def put(world: World, signer: Any = ACME, *, at: str = "", **members: Any) -> None:
    """A manifest by hand, signed as it is."""
    raw = manifest(**{"id": "acme-x", "version": "1.0.0", **members})
    write(world, at or f"plugins/{raw['id']}/{raw['version']}/manifest.json", sign(raw, signer))


def said(verdict: Verdict) -> str:
    """All problems in one text."""
    return "\n".join(f"{problem.path}: {problem.message}" for problem in verdict.problems)


# -- what is good ---------------------------------------------------------------------------------------------


def test_a_new_version(hosted: Hosted) -> None:
    """It passes, whoever merges sees what changes, and the registrar takes it."""
    settings = {"type": "object", "properties": {"token": {"type": "string", "writeOnly": True}}}
    hosted.propose(
        lambda world: world.publish(
            "acme-calendar",
            "1.2.0",
            permissions=["calendar:write"],
            configuration=settings,
            ui=None,
            artifacts=[{"ecosystem": "custom", "path": "plugin.zip"}],
            files={"plugin.zip": b"zip" * 1000},
        )
    )
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert verdict.subjects == ("plugin acme-calendar",)
    (version,) = verdict.versions
    assert (version.result, version.publisher) == ("published", "acme")
    changes = version.changes
    assert changes is not None
    assert (changes.previous, changes.size, changes.artifacts) == ("1.1.0", 3000, 1)
    assert changes.permissions.to_json() == {"added": ["calendar:write"], "removed": ["calendar:read"]}
    assert changes.configuration.to_json() == {"added": ["token"]}
    assert changes.origins.to_json() == {"removed": ["https://cdn.example"]}
    shown = verdict.markdown()
    for text in ("`acme`", "`calendar:write`", "`token`", "2.9 KiB", changes.payload_digest):
        assert text in shown
    hosted.merge()
    assert hosted.register() == {"plugins/acme-calendar/1.2.0/manifest.json": "published"}


def test_a_first_version_with_a_staged_start(hosted: Hosted) -> None:
    """Manifest and release document together."""

    def change(world: World) -> None:
        world.publish("acme-new", "1.0.0")
        raw = json.loads((world.folder / "plugins/acme-new/1.0.0/manifest.json").read_bytes())
        document = sign(release(raw, status="staged", push=False), ACME)
        write(world, "plugins/acme-new/1.0.0/release.json", document)

    hosted.propose(change)
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert [version.result for version in verdict.versions] == ["published", "status changed"]
    assert ("Status", "released → staged") in [(f.label, f.text) for f in verdict.versions[1].facts]
    hosted.merge()
    assert set(hosted.register().values()) == {"published", "status changed"}


def test_a_yank(hosted: Hosted) -> None:
    """The status, before and after, and why."""
    hosted.propose(
        lambda world: world.set_status("acme-calendar", "1.0.0", status="yanked", reason="loses events")
    )
    verdict = hosted.validate()
    assert said(verdict) == ""
    facts = {fact.label: fact.text for fact in verdict.versions[0].facts}
    assert facts == {"Status": "released → yanked", "Reason": "loses events"}
    hosted.merge()
    assert hosted.register() == {"plugins/acme-calendar/1.0.0/release.json": "status changed"}


def test_a_second_signature(hosted: Hosted) -> None:
    """A published manifest may be signed again, by a key that counts."""
    hosted.world.add_key("acme", ed25519("acme-2"))
    hosted.commit()
    hosted.register()
    path = "plugins/acme-calendar/1.1.0/manifest.json"

    def change(world: World) -> None:
        raw = json.loads((world.folder / path).read_bytes())
        write(world, path, sign(raw, ACME, ed25519("acme-2")))

    hosted.propose(change)
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert [version.result for version in verdict.versions] == ["signatures added"]
    hosted.merge()
    assert hosted.register() == {path: "signatures added"}


def test_what_was_merged_and_not_registered_yet_counts(hosted: Hosted) -> None:
    """A release for a version whose manifest waits on main for the registrar."""
    world = hosted.world
    world.publish("acme-new", "1.0.0")
    hosted.commit()
    hosted.propose(lambda world: world.set_status("acme-new", "1.0.0", status="yanked", reason="no good"))
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert [(v.id, v.result) for v in verdict.versions] == [("acme-new", "status changed")]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda world: write(world, "docs/new.md", b"text"), "changes no file of the registry"),
        (
            lambda world: write(world, ".github/workflows/x.yml", b"on: push"),
            "nothing here judges: merge it only after reading it",
        ),
        (lambda world: write(world, ".gitattributes", b"* eol=crlf"), "(.gitattributes), which nothing"),
        (lambda world: None, "changes no file"),  # noqa: ARG005  (an empty commit)
    ],
)
def test_nothing_of_the_registry(hosted: Hosted, change: Callable[[World], object], note: str) -> None:
    """Other files are no concern of this check, which says so."""
    hosted.propose(change)
    verdict = hosted.validate()
    assert verdict.is_good
    assert note in verdict.notes[0]


# -- what is wrong --------------------------------------------------------------------------------------------


def _other_content(world: World) -> None:
    put(world, id="acme-calendar", version="1.1.0", name="Other")


def _edited(world: World) -> None:
    put(world)
    path = world.folder / "plugins/acme-x/1.0.0/manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"Calendar"', b'"Colander"'))


def _artifact(world: World, data: bytes, signer: Any = ACME, **members: Any) -> None:
    digest = Digest.of(b"zip")
    path = f"artifacts/sha256/{digest.hex}/x.zip"
    member = {"ecosystem": "custom", "url": path, "digest": digest, "size": 3}
    put(world, signer, ui=None, artifacts=[member], **members)
    if data:
        write(world, path, data)


def _executable(world: World) -> None:
    put(world)
    (world.folder / "plugins/acme-x/1.0.0/manifest.json").chmod(0o755)


def _link(world: World) -> None:
    path = world.folder / "plugins/acme-x/1.0.0/manifest.json"
    path.parent.mkdir(parents=True)
    path.symlink_to("../../../policy.json")


def _release(world: World, **change: Any) -> None:
    path = world.folder / "plugins/acme-calendar/1.1.0"
    raw = json.loads((path / "manifest.json").read_bytes())
    write(world, "plugins/acme-calendar/1.1.0/release.json", sign(release(raw, **change), ACME))


# Single documents: (what is done, what is said). The registrar refuses each of them too.
DOCUMENTS: dict[str, tuple[Callable[[World], object], list[str]]] = {
    "another key": (
        lambda w: put(w, ed25519("thief")),
        ["0 of 1 needed signatures of publisher 'acme' count"],
    ),
    "edited after signing": (_edited, ["does not verify: the document was changed after signing"]),
    "a stranger's id": (lambda w: put(w, id="other-x"), ["no publisher may publish 'other-x'"]),
    "another publisher's id": (lambda w: put(w, id="globex-x"), ["needed signatures of publisher 'globex'"]),
    "a look-alike": (
        lambda w: put(w, id="acme-calen-dar"),
        ["is 'acme-calendar' after removing '-' and '_'"],
    ),
    "another place": (
        lambda w: put(w, at="plugins/acme-x/2.0.0/manifest.json"),
        ["is for acme-x 1.0.0, but its place says acme-x 2.0.0"],
    ),
    "published with other content": (_other_content, ["is published already, with other content"]),
    "no JSON": (lambda w: write(w, "plugins/acme-x/1.0.0/manifest.json", b"{"), ["$: "]),
    "a wrong file": (lambda w: _artifact(w, b"piz"), ["does not have the digest and size"]),
    "a missing file": (lambda w: _artifact(w, b""), ["the file is missing"]),
    "a release of nothing": (
        lambda w: write(
            w,
            "plugins/acme-x/1.0.0/release.json",
            sign(release(manifest(id="acme-x", version="1.0.0")), ACME),
        ),
        ["acme-x 1.0.0 is not published"],
    ),
    "a release far ahead": (lambda w: _release(w, revision=5000), ["it rises by at most 1000"]),
    "a release for another registry": (lambda w: _release(w, registry="else"), ["is for registry 'else'"]),
    "many things at once": (
        lambda w: put(
            w, ed25519("thief"), at="plugins/acme-x/2.0.0/manifest.json", name=7, colour="red", license=[]
        ),
        ["$.name: ", "$.colour: unknown member", "$.license: "],
    ),
    "signature, place and file at once": (
        lambda w: _artifact(w, b"piz", ed25519("thief"), at="plugins/acme-x/2.0.0/manifest.json"),
        ["its place says acme-x 2.0.0", "0 of 1 needed signatures", "digest and size"],
    ),
}


@pytest.mark.parametrize(("change", "messages"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_wrong_documents(hosted: Hosted, change: Callable[[World], object], messages: list[str]) -> None:
    """Everything is said at once; and the registrar, given the same, refuses it."""
    hosted.propose(change)
    verdict = hosted.validate()
    for message in messages:
        assert message in said(verdict)
    assert not verdict.versions
    hosted.merge()
    assert set(hosted.register().values()) == {"refused"}


def both(*changes: Callable[[World], object]) -> Callable[[World], None]:
    """One change after the other."""

    def change(world: World) -> None:
        for one in changes:
            one(world)

    return change


def _delete(path: str) -> Callable[[World], None]:
    return lambda world: (world.folder / path).unlink()


def _newest(world: World, pattern: str) -> Path:
    return max(world.folder.glob(pattern))


FILES: dict[str, tuple[Callable[[World], object], list[str]]] = {
    "executable": (_executable, ["has mode 100755; only plain files"]),
    "a link": (_link, ["has mode 120000; only plain files"]),
    "too large": (
        lambda w: write(w, "plugins/acme-x/1.0.0/manifest.json", b" " * 300_000),
        ["has 300000 bytes; at most 262144 are allowed"],
    ),
    "a deleted version": (
        _delete("plugins/acme-calendar/1.1.0/manifest.json"),
        ["plugins/acme-calendar/1.1.0/manifest.json: is deleted"],
    ),
    "an artifact alone": (
        lambda w: write(w, f"artifacts/sha256/{'0' * 64}/x.zip", b"zip"),
        ["is named by no manifest of this pull request"],
    ),
    "the catalogue": (
        lambda w: write(w, "registry.json", b"{}"),
        ["registry.json: is written by the registrar alone"],
    ),
    "a plain manifest": (
        lambda w: write(w, "plugins/acme-calendar.json", b"{}"),
        ["is written by the registrar alone"],
    ),
    "a re-signed manifest's own name": (
        lambda w: write(w, "plugins/acme-calendar/1.1.0/manifest.0123456789ab.json", b"{}"),
        ["is written by the registrar alone"],
    ),
    "the timestamp": (
        lambda w: write(w, "metadata/timestamp.json", b"{}"),
        ["is written by the registrar alone"],
    ),
    "a stray file": (lambda w: write(w, "plugins/acme-x/1.0.0/run.sh", b"x"), ["is no file of a registry"]),
    "a file in another case": (
        lambda w: write(w, "PLUGINS/acme-x/1.0.0/manifest.json", b"x"),
        ["is no file of a registry"],
    ),
    "two plugins": (
        both(put, lambda w: put(w, id="acme-y")),
        ["changes plugin acme-x, plugin acme-y; a pull request is about one"],
    ),
    "a plugin and a workflow": (
        both(put, lambda w: write(w, ".github/workflows/x.yml", b"x")),
        ["changes the registry and other files too: .github/workflows/x.yml"],
    ),
    "a plugin and a publisher": (
        both(put, lambda w: w.add_publisher("initech")),
        ["changes plugin acme-x, publisher initech"],
    ),
    "a publisher by hand": (
        lambda w: write(
            w,
            "publishers/acme.json",
            (w.folder / "publishers/acme.json").read_bytes().replace(b"acme-*", b"acme-*"[:4] + b"*"),
        ),
        ["publishers/acme.json: is named with other content", "$.plugins[0]"],
    ),
    "a publisher that nothing names": (
        lambda w: write(
            w,
            "publishers/evil.json",
            (w.folder / "publishers/acme.json").read_bytes().replace(b"acme", b"evil"),
        ),
        ["publishers/evil.json: is named by no signed metadata"],
    ),
    "blocks by hand": (
        lambda w: write(w, "blocks.json", {"kind": "blocks", "schemaVersion": 1, "blocks": [{}]}),
        ["blocks.json: is named with other content", "$.blocks[0].id: is required"],
    ),
    "a copy under a wrong name": (
        lambda w: write(w, f"targets/publishers/{'0' * 64}.acme.json", b"{}"),
        ["not the one in its name"],
    ),
    "another root of trust": (
        lambda w: write(w, "metadata/1.root.json", b"{}"),
        ["metadata/1.root.json: is changed, but hosts know it by its version"],
    ),
    "a root out of nowhere": (
        lambda w: write(w, "metadata/3.root.json", w.root),
        ["metadata/3.root.json: is not reached"],
    ),
    "targets that nobody signed": (
        lambda w: write(
            w,
            "metadata/99.targets.json",
            _newest(w, "metadata/*.targets.json").read_bytes().replace(b'"version": ', b'"version": 9'),
        ),
        ["metadata/99.targets.json: "],
    ),
    "targets that are no metadata": (
        lambda w: write(w, "metadata/99.targets.json", b"[]"),
        ["metadata/99.targets.json: is not TUF metadata"],
    ),
    "deleted metadata": (
        lambda w: _newest(w, "metadata/*.targets.json").unlink(),
        ["is deleted, but hosts may still read it"],
    ),
    "staged by a stranger": (
        lambda w: write(
            w,
            "staging/4.targets.json",
            _newest(w, "metadata/*.targets.json").read_bytes().replace(b'"version": 3', b'"version": 4'),
        ),
        ["staging/4.targets.json: carries no valid signature"],
    ),
    "staged out of turn": (
        lambda w: write(w, "staging/99.targets.json", _newest(w, "metadata/*.targets.json").read_bytes()),
        ["staging/99.targets.json: the next version of role targets is 4"],
    ),
    "a publisher that signed metadata still names": (
        _delete("publishers/globex.json"),
        ["publishers/globex.json: is deleted, but signed metadata still names it"],
    ),
    "two publishers": (
        both(lambda w: w.add_publisher("initech"), lambda w: w.add_publisher("umbrella")),
        ["changes publisher initech, publisher umbrella"],
    ),
}


@pytest.mark.parametrize(("change", "messages"), FILES.values(), ids=FILES)
def test_wrong_files(hosted: Hosted, change: Callable[[World], object], messages: list[str]) -> None:
    """What a pull request may not touch, or not so."""
    hosted.propose(change)
    verdict = hosted.validate()
    for message in messages:
        assert message in said(verdict)
    assert "mistake in the registrar" not in said(verdict)


def test_a_published_artifact_is_not_replaced(hosted: Hosted) -> None:
    """Not even beside the manifest that names it, spaced otherwise: hosts would be served it before the registrar looks."""
    _artifact(hosted.world, b"zip")
    hosted.commit()
    hosted.register()

    def change(world: World) -> None:
        path = world.folder / "plugins/acme-x/1.0.0/manifest.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()), indent=9))
        write(world, f"artifacts/sha256/{Digest.of(b'zip').hex}/x.zip", b"garbage")

    hosted.propose(change)
    assert "x.zip: does not have the digest in its name" in said(hosted.validate())


def test_a_manifest_that_was_signed_again_stays(hosted: Hosted) -> None:
    """Locks name it by its digest, and the registrar does not look at it any more."""
    hosted.world.add_key("acme", ed25519("acme-2"))
    hosted.commit()
    hosted.register()
    path = "plugins/acme-calendar/1.1.0/manifest.json"
    raw = json.loads((hosted.world.folder / path).read_bytes())
    write(hosted.world, path, sign(raw, ACME, ed25519("acme-2")))
    hosted.commit()
    assert hosted.register() == {path: "signatures added"}
    raw["signatures"][0]["sig"] = "00" * 64
    hosted.propose(lambda world: write(world, path, raw))
    assert f"{path}: is changed, but hosts know it by its digest" in said(hosted.validate())


def test_a_release_of_an_older_revision(hosted: Hosted) -> None:
    """A status that was overtaken does not come back."""
    world = hosted.world
    world.set_status("acme-calendar", "1.1.0", status="yanked", reason="bad")
    hosted.commit()
    hosted.register()
    hosted.propose(lambda w: _release(w, revision=1, status="released"))
    assert "revision 1, but revision 1 is already in force" in said(hosted.validate())


def test_changed_on_main_too(hosted: Hosted) -> None:
    """What Git would not merge is said before anyone tries."""
    start = git(hosted.world.folder, "rev-parse", "HEAD")
    hosted.world.set_status("acme-calendar", "1.1.0", rollout=50)
    hosted.commit()
    hosted.register()
    hosted.propose(lambda w: _release(w, revision=2, rollout=70), onto=start)
    assert "was changed on the base branch too" in said(hosted.validate())


# -- maintainers ----------------------------------------------------------------------------------------------


def _facts(verdict: Verdict) -> dict[str, str]:
    return {fact.label: fact.text for fact in verdict.facts}


def test_a_new_publisher(hosted: Hosted) -> None:
    """Signed by the maintainers; then its plugins may come."""
    hosted.propose(lambda w: w.add_publisher("initech"))
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert verdict.subjects == ("publisher initech",)
    facts = _facts(verdict)
    assert "plugins initech-*" in facts["Publisher initech"]
    keyid = hosted.world.keys.targets.public_key.keyid[:16]
    assert [text for label, text in facts.items() if label.startswith("Metadata targets")] == [
        f"signed by {keyid}…"
    ]
    hosted.merge()
    hosted.register()
    hosted.propose(lambda w: w.publish("initech-x", "1.0.0"))
    assert hosted.validate().is_good


def test_a_revoked_key(hosted: Hosted) -> None:
    """Which versions become unusable, and that the registrar takes so many only when told."""
    hosted.propose(lambda w: w.revoke_key("acme", ACME))
    verdict = hosted.validate()
    assert said(verdict) == ""
    notes = "\n".join(verdict.notes)
    assert "acme-calendar 1.0.0 would become unusable (quarantined): " in notes
    assert "--allow-loss 2" in notes
    assert "revoked key" in _facts(verdict)["Publisher acme"]
    hosted.merge()
    hosted.register(allow_loss=2)
    versions = hosted.world.client().versions("acme-calendar")
    assert [info.standing.status for info in versions] == ["quarantined", "quarantined"]


def test_a_block(hosted: Hosted) -> None:
    """Signed by the maintainer on call."""
    hosted.propose(lambda w: w.block("acme-calendar", "<1.1"))
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert verdict.subjects == ("blocks",)
    assert _facts(verdict)["Blocks"] == "added: acme-calendar <1.1 (hide: unsafe)"


def test_signed_by_the_wrong_maintainer(hosted: Hosted) -> None:
    """The key for blocks does not sign publishers."""

    def change(world: World) -> None:
        world.add_publisher("initech")
        path = _newest(world, "metadata/*.targets.json")
        raw = json.loads(path.read_bytes())
        raw["signatures"][0]["sig"] = "00" * 64
        path.write_bytes(dump_json(raw))

    hosted.propose(change)
    assert re.search(r"metadata/\d+\.targets\.json: targets was signed by 0/1 keys", said(hosted.validate()))


def test_a_root_that_waits_for_signatures(hosted: Hosted) -> None:
    """A ceremony by pull requests: staged first, then signed and served."""

    def stage(world: World) -> None:
        desk = world.desk(world.keys.root[0], world.keys.targets, world.keys.blocks)
        rotate(desk, "root", [ed25519("root-4").public_key], [], compromised=False)
        desk.save()

    hosted.propose(stage)
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert verdict.subjects == ("the registry's keys",)
    assert "staging/2.root.json waits for more signatures" in verdict.notes[0]
    hosted.merge()
    hosted.propose(
        lambda w: sign_file(w.folder / "staging/2.root.json", w.keys.root[1])  # completes it
    )
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert "root: key" in _facts(verdict)["Keys"]


def test_signed_so_that_it_has_expired(hosted: Hosted) -> None:
    """Hosts would refuse the whole registry."""
    hosted.propose(lambda w: w.add_publisher("initech"))
    late = hosted.world.now + timedelta(days=400)
    assert "expired on" in said(hosted.validate(now=late))


def test_a_policy_that_stops_releases(hosted: Hosted) -> None:
    """Another registry id makes every signed release count for nothing: that is said."""
    hosted.world.set_status("acme-calendar", "1.1.0", rollout=50)
    hosted.commit()
    hosted.register()

    def change(world: World) -> None:
        desk = world.desk()
        policy.set_policy(desk, {"registry": "another"})
        desk.save()

    hosted.propose(change)
    notes = "\n".join(hosted.validate().notes)
    assert "acme-calendar 1.1.0 would become unusable" in notes


# -- where it branched off ------------------------------------------------------------------------------------


def _advance(hosted: Hosted, count: int) -> None:
    folder = hosted.world.folder
    for number in range(count):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", f"{number}")
    git(folder, "push", "--quiet", "origin", "main")


def test_an_old_branch(hosted: Hosted) -> None:
    """Only what the pull request changes counts, however far main has gone on since."""
    start = git(hosted.world.folder, "rev-parse", "HEAD")
    hosted.world.publish("globex-y", "1.0.0")
    hosted.commit()
    hosted.register()
    _advance(hosted, 60)
    hosted.propose(put, onto=start)
    verdict = hosted.validate()
    assert said(verdict) == ""
    assert [version.id for version in verdict.versions] == ["acme-x"]
    assert verdict.files == 1


def test_a_hidden_beginning(hosted: Hosted) -> None:
    """A history made so that its first commits show an older beginning: what it takes back on main is seen all the same."""
    folder = hosted.world.folder
    old = git(folder, "rev-parse", "HEAD")
    hosted.world.add_publisher("initech")
    hosted.commit()
    hosted.register()
    _advance(hosted, 5)
    tip = git(folder, "rev-parse", "HEAD")
    commit = tip
    for _ in range(60):  # a long way to the true beginning
        commit = git(folder, "commit-tree", "-m", "long", "-p", commit, f"{tip}^{{tree}}")
    back = git(folder, "commit-tree", "-m", "back", "-p", old, "-p", commit, f"{old}^{{tree}}")
    git(folder, "push", "--quiet", "origin", f"{back}:{PULL}")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "main goes on")
    git(folder, "push", "--quiet", "origin", "main")
    assert "is deleted, but hosts may still read it" in said(hosted.validate())


def test_no_common_history(hosted: Hosted) -> None:
    """A commit without a parent is no pull request."""
    folder = hosted.world.folder
    commit = git(folder, "commit-tree", "-m", "alone", "HEAD^{tree}")
    git(folder, "push", "--quiet", "origin", f"{commit}:{PULL}")
    verdict = hosted.validate()
    assert "no history in common" in said(verdict)
    assert verdict.problems[0].hint


def test_heads(hosted: Hosted) -> None:
    """A ref, a branch, a commit; nothing else."""
    commit = hosted.propose(put)
    git(hosted.world.folder, "push", "--quiet", "origin", f"{commit}:refs/heads/propose/acme-x@1.0.0")
    for head in (PULL, "propose/acme-x@1.0.0", commit):
        assert hosted.validate(head).is_good
    for head in ("--upload-pack=touch /tmp/x", "refs/pull/*/head", "a..b", "x y", ""):
        with pytest.raises(ConfigError, match="is not a ref"):
            hosted.validate(head)
    with pytest.raises(GitError, match="has no 'refs/pull/8/head'"):
        hosted.validate("refs/pull/8/head")


def test_without_the_files_first(hosted: Hosted) -> None:
    """A host that leaves file contents out sends the ones that are read, and the verdict is the same."""
    git(hosted.bare, "config", "uploadpack.allowFilter", "true")
    start = git(hosted.world.folder, "rev-parse", "HEAD")
    _advance(hosted, 60)
    hosted.propose(lambda w: w.publish("acme-calendar", "1.2.0"), onto=start)
    url = f"file://{hosted.bare}"
    assert said(hosted.validate(url=url)) == ""
    hosted.propose(lambda w: w.revoke_key("acme", ACME))
    assert "would become unusable" in hosted.validate(url=url).notes[0]


# -- strangers' commits ---------------------------------------------------------------------------------------


def _commit_tree(hosted: Hosted, top: str, name: str) -> None:
    """A pull request whose top folder also holds this tree."""
    folder = hosted.world.folder
    listing = git(folder, "ls-tree", "HEAD") + f"\n040000 tree {top}\t{name}\n"
    tree = git(folder, "mktree", stdin=listing.encode())
    commit = git(folder, "commit-tree", "-m", "bomb", "-p", "HEAD", tree)
    git(folder, "push", "--quiet", "origin", f"{commit}:{PULL}")


@pytest.mark.parametrize("leaf", ["file", "nothing"])
def test_a_tree_bomb(hosted: Hosted, leaf: str) -> None:
    """Ten objects that name ten billion files, or as many empty folders, are refused soon."""
    folder = hosted.world.folder
    oid = git(folder, "hash-object", "-w", "--stdin", stdin=b"x")
    tree = git(folder, "mktree", stdin=f"100644 blob {oid}\tx\n".encode() if leaf == "file" else b"")
    for _ in range(10):
        tree = git(folder, "mktree", stdin="".join(f"040000 tree {tree}\tn{n}\n" for n in range(10)).encode())
    _commit_tree(hosted, tree, "zoo")
    began = time.monotonic()
    assert "more than 1000 files, or has more folders" in said(hosted.validate())
    assert time.monotonic() - began < 60


def test_names_that_do_something(hosted: Hosted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files and plugins neither run workflow commands nor become Markdown."""
    evil = "@everyone <img src=x> [x](https://evil.example) | `x` #1\n::error::x"

    def change(world: World) -> None:
        write(world, "plugins/a`|<b>@acme\n::error::x/1.0.0/manifest.json", b"{}")
        put(world, name=evil, permissions=["p|x" * 30])

    hosted.propose(change)
    summary = tmp_path / "summary.md"
    code = main(["registry", "validate", str(hosted.bare), "--head", PULL, "--summary", str(summary)])
    assert code == 9
    out = capsys.readouterr().out
    assert not re.search(r"^\s*(::|##\[)", out, re.MULTILINE)
    text = summary.read_text()
    for raw in ("<img", "[x](", "@everyone", "@acme", "::error"):
        assert raw not in re.sub(r"`[^`]*`|&#8203;.", "", text).replace("@&", "")
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3


def test_every_case_of_names() -> None:
    """Each file of a registry is known, by who writes it."""
    digest = "0" * 64
    others = ["README.md", "publisher/x.py", "schema/x.json", "plugin"]
    assert [place_of(path).area for path in others] == [Area.OTHER] * 4
    cases = {
        Area.PLUGIN: ["plugins/x/1.0.0/manifest.json", "plugins/x/1.0.0/release.json"],
        Area.ARTIFACT: [f"artifacts/sha256/{digest}/x.zip"],
        Area.MAINTAINERS: [
            *("publishers/x.json", f"targets/publishers/{digest}.x.json", "policy.json", "blocks.json"),
            *(f"targets/{digest}.policy.json", f"targets/{digest}.blocks.json", "metadata/2.root.json"),
            *("metadata/2.targets.json", "metadata/2.blocks.json", "staging/2.root.json"),
        ],
        Area.GENERATED: [
            *("registry.json", "plugins/x.json", "metadata/timestamp.json", "metadata/2.snapshot.json"),
            *(
                "metadata/2.registrar.json",
                f"targets/index/{digest}.0.json",
                f"targets/{digest}.registry.json",
            ),
            "plugins/x/1.0.0/manifest.0123456789ab.json",
        ],
        Area.STRAY: [
            "plugins",
            "plugins/x/manifest.json",
            "targets/x",
            "metadata/0.root.json",
            "Registry.json",
        ],
    }
    for area, paths in cases.items():
        assert {path: place_of(path).area for path in paths} == dict.fromkeys(paths, area)


def test_every_file_of_a_real_registry_is_known(hosted: Hosted) -> None:
    """Nothing that the tools write is a stray."""
    for path in git(hosted.world.folder, "ls-files").splitlines():
        assert place_of(path).area is not Area.STRAY, path


# -- the same verdict as the registrar's -----------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["./App", "1.0.0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
MEMBERS = st.sampled_from(
    [*manifest(), "permissions", "configuration", "requires", "artifacts", "server", "x"]
)
SOUND = st.sampled_from(
    [{}, {"permissions": ["a"]}, {"configuration": {"type": "object"}}, {"requires": {"python": ">=3.11"}}]
)


@given(
    edits=SOUND | SOUND | st.dictionaries(MEMBERS, JSON, max_size=2),
    signer=st.sampled_from([ACME, ACME, ACME, ed25519("globex-1")]),
    plugin_id=st.sampled_from(
        ["acme-x", "acme-x", "acme-calendar", "acme-calen-dar", "globex-x", "other", "ACME"]
    ),
    version=st.sampled_from(["1.0.0", "2.0.0", "3.0.0", "3.0.0-rc.1", "3.0"]),
    truthful=st.sampled_from([True, True, True, False]),
)
@settings(max_examples=60)
def test_what_passes_is_registered(
    made: Path,
    edits: dict[str, Any],
    signer: Any,
    plugin_id: str,
    version: str,
    truthful: bool,
) -> None:
    """For a manifest with anything in it: no problem here means that the registrar takes it, a problem that it refuses."""
    registry = DirTree(made / "registry")
    files = {path: registry.read(path) or b"" for path in registry.paths("") if not path.startswith(".git/")}
    stated = {"id": plugin_id, "version": version} if truthful else {"id": "acme-x"}
    data = dump_json(sign({**manifest(**stated), **edits}, signer))
    path = f"plugins/{plugin_id}/{version}/manifest.json"
    old = Blob("100644", "old") if path in files else None
    merged = MemoryTree({**files, path: data})
    root = files["metadata/1.root.json"]
    base = Base(MemoryTree(files), root, START, allow_dev_keys=False, patched=lambda _: merged)
    verdict = judge([Change(path, old, Blob("100644", "new"), old, len(data))], base)
    outcomes = register(merged, (), Options(root, [make_keys().online]), START).outcomes
    refused = [o for o in outcomes if o.submission.source == path and o.error is not None]
    assert verdict.is_good == (not refused), (said(verdict), refused)


# -- the command ----------------------------------------------------------------------------------------------


def test_the_command(
    hosted: Hosted, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminal, JSON and summary say the same; the exit code says whether anything is wrong."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(hosted.world.now.timestamp())))
    summary = tmp_path / "step.md"
    summary.write_text("before\n\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    hosted.propose(put)
    pin = ["--root-digest", Digest.of(hosted.world.root)]
    assert main(["registry", "validate", str(hosted.bare), "--head", PULL, *pin]) == 0
    out = capsys.readouterr().out
    assert "acme-x 1.0.0 (released), the first version" in out
    assert out.rstrip().endswith("Nothing is wrong: plugin acme-x")
    hosted.propose(lambda w: put(w, ed25519("thief")))
    assert main(["registry", "validate", str(hosted.bare), "--head", PULL, "--json", *pin]) == 9
    document = json.loads(capsys.readouterr().out)
    assert (document["isGood"], document["subjects"]) == (False, ["plugin acme-x"])
    assert document["problems"][0]["path"] == "plugins/acme-x/1.0.0/manifest.json"
    text = summary.read_text()
    assert text.startswith("before\n\n### Nothing is wrong: plugin acme-x\n")
    assert "### 1 problem: plugin acme-x\n\n- `plugins/acme-x/1.0.0/manifest.json`: 0 of 1 needed" in text


def test_another_root_than_pinned(hosted: Hosted, capsys: pytest.CaptureFixture[str]) -> None:
    """A base branch whose root was replaced is not judged by."""
    hosted.propose(put)
    pin = ["--root-digest", f"sha256:{'0' * 64}"]
    assert main(["registry", "validate", str(hosted.bare), "--head", PULL, *pin]) == 3
    assert "is pinned" in capsys.readouterr().err


def test_payload_digest_is_shown(hosted: Hosted) -> None:
    """What a lock will pin stands in the summary."""
    hosted.propose(put)
    digest = payload_digest(manifest(id="acme-x", version="1.0.0"))
    assert f"`{digest}`" in hosted.validate().markdown()
