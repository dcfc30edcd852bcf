"""The registrar on a working tree: what it takes, what it refuses, what it repairs, and what follows from it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, manifest, release, sign, signature
from support.httpd import FaultServer
from support.world import REGISTRY, World, commit_all, git
from tuf.ngclient import Updater

from publisher.documents import sign_document
from publisher.git import Git
from publisher.maintain import policy
from publisher.maintain.init import DEV_DAYS
from publisher.registrar.run import register
from publisher.registrar.submission import MAX_IN_TREE, Outcome, Result, Submission
from publisher.tree import MemoryTree
from publisher.tuf_repository import latest_version
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    DocumentError,
    ManifestError,
    PublishError,
    RegistrarError,
    RegistryError,
    RollbackError,
    SignatureError,
    VersionExistsError,
    YankedError,
)
from registry_client.jsontext import dump_json, parse_json
from registry_client.trust import role_info

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
ACME, OTHER, STRANGER = ed25519("acme-1"), ed25519("globex-1"), ed25519("a stranger")
RETIRED, REVOKED = ed25519("acme-retired"), ed25519("acme-revoked")
DATA = b"an artifact"
DIGEST = Digest.of(DATA)
IN_TREE = f"artifacts/sha256/{DIGEST.hex}/a.bin"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty registry with publisher acme."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    return world


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A registry with a published and twice released calendar; only looked at."""
    world = World(tmp_path_factory.mktemp("busy") / "registry")
    world.add_publisher("acme")
    world.add_publisher("globex")
    for signer in (RETIRED, REVOKED):
        world.add_key("acme", signer)
    world.retire_key("acme", RETIRED)
    world.revoke_key("acme", REVOKED)
    world.publishers["acme"] = [ACME]
    for name in ("calendar", "notes"):
        data = dump_json(sign(manifest(id=f"acme-{name}", version="1.0.0"), ACME))
        world.register([Submission("first", f"acme-{name}", "1.0.0", manifest=data)])
    world.set_status("acme-calendar", "1.0.0", "testing")
    world.register()
    world.set_status("acme-calendar", "1.0.0", "released")
    world.register()
    return world


def judge(world: World, submission: Submission, **options: Any) -> Outcome:
    """What becomes of a submission, beside a good one that must be taken in any case."""
    good = Submission("good", "acme-zebra", "1.0.0", manifest=dump_json(_signed(id="acme-zebra")))
    run = world.plan([submission, good], **options)
    outcomes = {outcome.submission.source: outcome for outcome in run.outcomes}
    assert outcomes["good"].result is Result.PUBLISHED
    outcome = outcomes[submission.source]
    if outcome.result is Result.REFUSED:
        mine = [
            path
            for path in run.changes
            if path.startswith(("plugins/", "artifacts/")) and "zebra" not in path
        ]
        assert mine == []
    return outcome


def _signed(*signers: Any, **change: Any) -> Json:
    return sign(manifest(**{"id": "acme-new", "version": "1.0.0", **change}), *(signers or (ACME,)))


def _raw(change: Callable[[bytes], bytes], **members: Any) -> Callable[[], Submission]:
    return lambda: Submission("it", "acme-new", "1.0.0", manifest=change(dump_json(_signed(**members))))


def _with(*signers: Any, **members: Any) -> Callable[[], Submission]:
    return _raw(lambda _: dump_json(_signed(*signers, **members)))


def _unsigned(**members: Any) -> Callable[[], Submission]:
    return _raw(lambda _: dump_json({**_signed(), **members}))


def _inserted(text: str) -> Callable[[], Submission]:
    return _raw(lambda data: data.replace(b'"name"', text.encode() + b', "name"', 1))


def _artifact(**change: Any) -> Json:
    return {"ecosystem": "custom", "url": IN_TREE, "digest": DIGEST, "size": len(DATA), **change}


def _packed(files: dict[str, bytes], **change: Any) -> Callable[[], Submission]:
    document = _signed(artifacts=[_artifact(**change)])
    return lambda: Submission("it", "acme-new", "1.0.0", manifest=dump_json(document), artifacts=files)


def _release(*signers: Any, version: str = "1.0.0", **change: Any) -> Callable[[], Submission]:
    about = sign(manifest(id="acme-calendar", version="1.0.0"), ACME)
    document = sign(release(about, **{"revision": 9, "registry": REGISTRY, **change}), *(signers or (ACME,)))
    return lambda: Submission("it", "acme-calendar", version, release=dump_json(document))


def _double_signature() -> Submission:
    document = _signed()
    return Submission(
        "it", "acme-new", "1.0.0", manifest=dump_json({**document, "signatures": document["signatures"] * 2})
    )


def _borrowed_signature() -> Submission:
    other = sign(release(manifest(id="acme-new", version="1.0.0")), ACME)
    return Submission(
        "it", "acme-new", "1.0.0", manifest=dump_json({**_signed(), "signatures": other["signatures"]})
    )


def _borrowed_keyid() -> Submission:
    document = manifest(id="acme-new", version="1.0.0")
    lent = {**document, "signatures": [signature(document, STRANGER, ACME.public_key.keyid)]}
    return Submission("it", "acme-new", "1.0.0", manifest=dump_json(lent))


@dataclass(frozen=True)
class Refusal:
    """A submission, the class of the refusal, and words of its message."""

    submission: Callable[[], Submission]
    error: type[RegistryError]
    words: str


REFUSALS = {
    # JSON that two parsers could read differently
    "duplicate member": Refusal(_inserted('"name": "Other"'), ManifestError, "stands twice"),
    "NaN": Refusal(_inserted('"x": NaN'), ManifestError, "finite"),
    "infinity": Refusal(_inserted('"x": 1e999'), ManifestError, "finite"),
    "integer past 2^53-1": Refusal(_inserted('"x": 9007199254740992'), ManifestError, "2^53-1"),
    "lone surrogate": Refusal(_inserted('"x": "\\ud800"'), ManifestError, "surrogate"),
    "depth": Refusal(_inserted('"x": ' + "[" * 40 + "]" * 40), ManifestError, "deeper than 32"),
    "great depth": Refusal(_inserted('"x": ' + "[" * 60_000 + "]" * 60_000), ManifestError, "deeper than 32"),
    "byte order mark": Refusal(_raw(lambda data: b"\xef\xbb\xbf" + data), ManifestError, "byte order mark"),
    "not UTF-8": Refusal(_raw(lambda data: data.replace(b"Calendar", b"Calend\xff")), ManifestError, "UTF-8"),
    "not JSON": Refusal(_raw(lambda data: data[:-5]), ManifestError, "not JSON"),
    "empty": Refusal(_raw(lambda _: b""), ManifestError, "not JSON"),
    "an array": Refusal(_raw(lambda _: b"[]"), ManifestError, "object"),
    "50 MB": Refusal(_raw(lambda data: data + b" " * 50_000_000), ManifestError, "at most 262144"),
    # types and members
    "version as a number": Refusal(_with(version=1), ManifestError, "$.version"),
    "name as a number": Refusal(_with(name=5), ManifestError, "$.name"),
    "schemaVersion as a text": Refusal(_with(schemaVersion="1"), ManifestError, "$.schemaVersion"),
    "schemaVersion true": Refusal(_with(schemaVersion=True), ManifestError, "$.schemaVersion"),
    "another kind": Refusal(_with(kind="release"), ManifestError, "$.kind"),
    "no first status": Refusal(_with(initialStatus="yanked"), ManifestError, "$.initialStatus"),
    "keyword twice": Refusal(_with(keywords=["a", "a"]), ManifestError, "$.keywords"),
    "unknown member": Refusal(_with(licence="MIT"), ManifestError, "did you mean"),
    "nothing to offer": Refusal(_with(ui=None), ManifestError, "at least one of"),
    # ids and versions
    "id with a newline": Refusal(_with(id="acme-new\n"), ManifestError, "$.id"),
    "id that climbs": Refusal(_with(id="../acme-new"), ManifestError, "$.id"),
    "id of a device": Refusal(_with(id="con"), ManifestError, "device"),
    "id in capitals": Refusal(_with(id="Acme-new"), ManifestError, "$.id"),
    "id too long": Refusal(_with(id="a" * 65), ManifestError, "$.id"),
    "id of another plugin": Refusal(_with(id="acme-other"), PublishError, "its place says"),
    "version of another": Refusal(_with(version="1.0.1"), PublishError, "its place says"),
    **{
        f"version {version!r}": Refusal(_with(version=version), ManifestError, "$.version")
        for version in ("1.0", "01.0.0", "1.0.0-beta1", "1.0.0+x", "1.0.0\n", "1.0.1234567890", "v1.0.0")
    },
    "range outside the grammar": Refusal(
        _with(requires={"python": "===3"}), ManifestError, "$.requires.python"
    ),
    # signatures
    "no signatures": Refusal(_unsigned(signatures=[]), ManifestError, "$.signatures"),
    "signatures missing": Refusal(
        _raw(lambda _: dump_json(manifest(id="acme-new", version="1.0.0"))), ManifestError, "$.signatures"
    ),
    "17 signatures": Refusal(
        _with(*(ed25519(f"many {n}") for n in range(17))), ManifestError, "$.signatures"
    ),
    "one keyid twice": Refusal(_double_signature, ManifestError, "one signature per keyid"),
    "unknown key": Refusal(_with(STRANGER), SignatureError, "is not a key of this publisher"),
    "retired key": Refusal(_with(RETIRED), SignatureError, "is retired"),
    "revoked key": Refusal(_with(REVOKED), SignatureError, "is revoked"),
    "key of another publisher": Refusal(_with(OTHER), SignatureError, "is not a key of this publisher"),
    "another's signature under a good keyid": Refusal(_borrowed_keyid, SignatureError, "does not verify"),
    "signature of another kind": Refusal(_borrowed_signature, SignatureError, "does not verify"),
    "changed after signing": Refusal(_unsigned(name="Other"), SignatureError, "does not verify"),
    # identity
    "id nobody may publish": Refusal(
        lambda: Submission("it", "free", "1.0.0", manifest=dump_json(_signed(id="free"))),
        PublishError,
        "no publisher may publish",
    ),
    "clash after removing dashes": Refusal(
        lambda: Submission("it", "acme-note_s", "1.0.0", manifest=dump_json(_signed(id="acme-note_s"))),
        PublishError,
        "browser containers",
    ),
    "published with other content": Refusal(
        lambda: Submission(
            "it", "acme-calendar", "1.0.0", manifest=dump_json(_signed(id="acme-calendar", name="Other"))
        ),
        VersionExistsError,
        "with other content",
    ),
    "nothing in it": Refusal(lambda: Submission("it", "acme-new", "1.0.0"), PublishError, "neither"),
    # artifacts
    "artifact missing": Refusal(_packed({}), PublishError, "missing from the submission"),
    "artifact of another digest": Refusal(
        _packed({IN_TREE: b"other bytes"}), PublishError, "digest and size"
    ),
    "artifact of another size": Refusal(_packed({IN_TREE: DATA}, size=5), PublishError, "digest and size"),
    "artifact over 10 MB": Refusal(
        _packed({IN_TREE: DATA}, size=MAX_IN_TREE + 1), PublishError, "at most 10000000"
    ),
    "artifact under another digest": Refusal(
        _packed({}, url=f"artifacts/sha256/{'0' * 64}/a.bin"), ManifestError, "expected artifacts/sha256/"
    ),
    "artifact outside its folder": Refusal(
        _packed({}, url="plugins/x/a.bin"), ManifestError, "artifacts/sha256"
    ),
    "artifact that climbs": Refusal(
        _packed({}, url="artifacts/../../x"), ManifestError, "$.artifacts[0].url"
    ),
    "artifact nobody names": Refusal(
        _packed({IN_TREE: DATA, f"artifacts/sha256/{'0' * 64}/b.bin": b"b"}),
        PublishError,
        "is not an artifact",
    ),
    # releases
    "release of a lower revision": Refusal(_release(revision=1), RollbackError, "already in force"),
    "same revision, other content": Refusal(
        _release(revision=2, rollout=5), RollbackError, "already in force"
    ),
    "release for another manifest": Refusal(
        _release(manifest=f"sha256:{'0' * 64}"), SignatureError, "is for manifest"
    ),
    "release for another registry": Refusal(_release(registry="other"), SignatureError, "is for registry"),
    "release of another publisher": Refusal(
        _release(OTHER), SignatureError, "is not a key of this publisher"
    ),
    "release without a reason": Refusal(_release(status="yanked"), DocumentError, "reason"),
    "rollout of 101": Refusal(_release(rollout=101), DocumentError, "$.rollout"),
    "rollout as a fraction": Refusal(_release(rollout=0.5), DocumentError, "$.rollout"),
    "release under another version": Refusal(_release(version="2.0.0"), PublishError, "its place says"),
    "release with an unknown member": Refusal(_release(forced=True), DocumentError, "$.forced"),
    "release of 17 KB": Refusal(_release(reason="x" * 17_000), DocumentError, "at most"),
    "release of what is not published": Refusal(
        lambda: Submission(
            "it",
            "acme-calendar",
            "2.0.0",
            release=dump_json(
                sign(release(manifest(id="acme-calendar", version="2.0.0"), registry=REGISTRY), ACME)
            ),
        ),
        PublishError,
        "is not published",
    ),
}


@pytest.mark.parametrize("refusal", [pytest.param(row, id=name) for name, row in REFUSALS.items()])
def test_refusals(busy: World, refusal: Refusal) -> None:
    """Each bad submission is refused with an error that names it and the rule; good ones beside it are taken."""
    outcome = judge(busy, refusal.submission())
    assert outcome.result is Result.REFUSED
    assert type(outcome.error) is refusal.error
    assert refusal.words in outcome.error.message
    assert "it: " in outcome.error.message or "no publisher" in outcome.error.message
    shown = outcome.to_json()
    assert shown["result"] == "refused"
    assert shown["error"]["kind"] == refusal.error.__name__.removesuffix("Error")


def test_all_problems_of_a_manifest_are_told_at_once(busy: World) -> None:
    """A publisher need not try again for each."""
    outcome = judge(busy, _with(version="1", name=7, license=3)())
    assert isinstance(outcome.error, ManifestError)
    assert {problem.path for problem in outcome.error.problems} >= {"$.version", "$.name", "$.license"}


def test_what_is_good_about_the_table(busy: World) -> None:
    """The submissions that the table spoils are taken when they are not spoilt."""
    assert judge(busy, _raw(lambda data: data)()).result is Result.PUBLISHED
    assert judge(busy, _packed({IN_TREE: DATA})()).result is Result.PUBLISHED
    assert judge(busy, _release()()).result is Result.RELEASED
    again = busy.tree.read("plugins/acme-calendar/1.0.0/release.json")
    assert judge(busy, Submission("it", "acme-calendar", "1.0.0", release=again)).result is Result.UNCHANGED


def test_artifacts_are_refused_where_the_policy_keeps_none(tmp_path: Path) -> None:
    """A registry that keeps no artifacts says where they belong."""
    world = World(tmp_path / "registry", in_tree=False)
    world.add_publisher("acme")
    outcome = judge(world, _packed({IN_TREE: DATA})())
    assert isinstance(outcome.error, PublishError)
    assert "keeps no artifacts" in outcome.error.message
    assert "--artifact-url" in outcome.error.hint


def test_two_publishers_never_cover_one_id(world: World) -> None:
    """Whether by the desk or by hand: overlapping patterns are refused, and nothing is written."""
    with pytest.raises(RegistrarError, match="could both publish"):
        world.add_publisher("globex", "acme-calendar")
    assert world.tree.read("publishers/globex.json") is None


# -- what follows ------------------------------------------------------------------------------------------------


def test_running_twice_changes_nothing(world: World) -> None:
    """Also later on: no change, no commit."""
    world.publish("acme-calendar", "1.0.0")
    assert world.register().changes
    world.tick(hours=5)
    assert world.register().changes == {}
    assert world.register(full=True).changes == {}


def test_an_empty_registry_says_so(world: World) -> None:
    """Nothing published: an empty catalogue that plain hosts can read."""
    world.register()
    found = json.loads(world.tree.read("registry.json") or b"")
    assert found["plugins"] == []
    assert found["version"]
    assert found["lastUpdated"].endswith("Z")


def test_plain_files_keep_the_shape_that_plain_hosts_read(world: World) -> None:
    """registry.json names the manifest; plugins/<id>.json is that manifest, byte for byte."""
    world.publish(
        "acme-calendar",
        "1.0.0",
        server={"routeBase": "/api", "deploymentUrl": "https://x.example", "healthCheck": "/up"},
    )
    world.publish("acme-calendar", "1.1.0-rc.1")
    world.register()
    catalogue = json.loads(world.tree.read("registry.json") or b"")
    (entry,) = catalogue["plugins"]
    assert (entry["id"], entry["name"], entry["version"]) == ("acme-calendar", "Acme Calendar", "1.0.0")
    assert entry["manifestUrl"] == f"{world.base_url}/plugins/acme-calendar.json"
    plain = world.tree.read("plugins/acme-calendar.json")
    assert plain == world.tree.read("plugins/acme-calendar/1.0.0/manifest.json")
    top = json.loads(plain or b"")
    assert top["server"]["healthCheck"] == "/up"
    assert top["manifestUrl"] == entry["manifestUrl"]


def _yank(world: World, version: str) -> None:
    world.set_status("acme-x", version, "yanked", reason="bad")


CATALOGUE: dict[str, tuple[Callable[[World], object], str | None]] = {
    "the newest stable one": (lambda _: None, "1.2.0"),
    "not a prerelease": (lambda w: w.publish("acme-x", "1.3.0-rc.1"), "1.2.0"),
    "not a draft": (lambda w: w.publish("acme-x", "1.3.0", initialStatus="draft"), "1.2.0"),
    "not one in testing": (lambda w: w.set_status("acme-x", "1.2.0", "testing"), "1.1.0"),
    "not a staged one": (lambda w: w.set_status("acme-x", "1.2.0", "staged"), "1.1.0"),
    "not one rolled out in part": (lambda w: w.set_status("acme-x", "1.2.0", rollout=99), "1.1.0"),
    "not one that is not pushed": (lambda w: w.set_status("acme-x", "1.2.0", push=False), "1.1.0"),
    "not a yanked one": (lambda w: _yank(w, "1.2.0"), "1.1.0"),
    "not a blocked one": (lambda w: w.block("acme-x", ">=1.1"), "1.0.0"),
    "not a deprecated one if there is another": (
        lambda w: w.set_status("acme-x", "1.2.0", "deprecated", reason="old"),
        "1.1.0",
    ),
    "no line if none is left": (lambda w: w.block("acme-x", ">=0", "uninstall"), None),
}


@pytest.mark.parametrize("case", [pytest.param(row, id=name) for name, row in CATALOGUE.items()])
def test_catalogue_rules(world: World, case: tuple[Callable[[World], object], str | None]) -> None:
    """What the catalogue shows of a plugin with 1.0.0, 1.1.0 and 1.2.0 after one more step."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        world.publish("acme-x", version)
    world.register()
    step, expected = case
    step(world)
    world.register()
    entries = {entry.id: entry for entry in world.client().search()}
    assert (entries["acme-x"].version if entries else None) == expected
    plain = world.tree.read("plugins/acme-x.json")
    assert (json.loads(plain)["version"] if plain else None) == expected


def test_a_deprecated_plugin_is_marked(world: World) -> None:
    """With nothing else to show, the deprecated version is shown with its reason."""
    world.publish("acme-x", "1.0.0")
    world.register()
    world.set_status("acme-x", "1.0.0", "deprecated", reason="use acme-y")
    world.register()
    (entry,) = world.client().search()
    assert (entry.version, entry.deprecated) == ("1.0.0", "use acme-y")


# -- repair ------------------------------------------------------------------------------------------------------


def _history(world: World) -> Callable[[str, Digest], bytes | None]:
    repository = Git(world.folder, {"PATH": "/usr/bin:/bin"})
    return lambda path, digest: repository.from_history("HEAD", path, digest)


@pytest.mark.parametrize("damage", ["edited", "deleted", "replaced by a signed one"])
def test_files_of_published_versions_are_restored_from_history(world: World, damage: str) -> None:
    """Whoever may write to main cannot change or remove what is published."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    git(world.folder, "init", "--quiet", "--initial-branch=main")
    commit_all(world.folder, "first")
    path = world.folder / "plugins/acme-calendar/1.0.0/manifest.json"
    original = path.read_bytes()
    if damage == "edited":
        path.write_bytes(original.replace(b"Calendar", b"Malendar"))
    elif damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(dump_json(sign(manifest(version="1.0.0", name="Other"), ACME)))
    commit_all(world.folder, "damage")
    run = world.register(recover=_history(world))
    assert path.read_bytes() == original
    assert world.client().manifest("acme-calendar", "1.0.0").data == original
    refused = [outcome.error for outcome in run.refused]
    assert (refused == []) == (damage == "deleted")
    assert all(isinstance(error, VersionExistsError) for error in refused)


def test_what_cannot_be_restored_is_marked_removed_and_never_used_again(world: World) -> None:
    """Without history the line stays, says so, and the version number is spent; the bytes' return heals it."""
    for version in ("1.0.0", "1.1.0"):
        world.publish("acme-calendar", version)
    world.register()
    path = world.folder / "plugins/acme-calendar/1.1.0/manifest.json"
    original = path.read_bytes()
    path.unlink()
    world.register()
    client = world.client(ttl=0)
    assert client.resolve("acme-calendar").info.version == "1.0.0"
    with pytest.raises(YankedError, match="removed"):
        client.manifest("acme-calendar", "1.1.0")
    other = dump_json(_signed(id="acme-calendar", version="1.1.0", name="Other"))
    run = world.plan([Submission("it", "acme-calendar", "1.1.0", manifest=other)])
    assert isinstance(run.outcomes[0].error, VersionExistsError)
    path.write_bytes(original)
    world.register()
    assert client.resolve("acme-calendar").info.version == "1.1.0"


def test_a_release_file_cannot_be_edited_either(world: World) -> None:
    """release.json stands as the index has it."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    world.set_status("acme-calendar", "1.0.0", "yanked", reason="bad")
    world.register()
    path = world.folder / "plugins/acme-calendar/1.0.0/release.json"
    original = path.read_bytes()
    for spoilt in (original.replace(b"yanked", b"staged"), b"{}", None):
        path.write_bytes(spoilt) if spoilt is not None else path.unlink()
        world.register()
        assert path.read_bytes() == original


def test_readable_copies_of_the_maintainers_documents_are_restored(world: World) -> None:
    """An edit of policy.json, blocks.json or a publisher file on main changes nothing."""
    before = world.snapshot()
    for name in ("policy.json", "blocks.json", "publishers/acme.json"):
        (world.folder / name).write_bytes(b"{}")
    world.register()
    for name in ("policy.json", "blocks.json", "publishers/acme.json"):
        assert world.tree.read(name) == before[name]


def test_an_edited_index_is_rebuilt(world: World) -> None:
    """Generated files that were edited or deleted by hand come back."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    before = world.snapshot()
    (world.folder / "registry.json").write_bytes(b"{}")
    (world.folder / "plugins/acme-calendar.json").unlink()
    world.register()
    assert world.tree.read("registry.json") == before["registry.json"]
    assert world.tree.read("plugins/acme-calendar.json") == before["plugins/acme-calendar.json"]


# -- keys --------------------------------------------------------------------------------------------------------


def test_a_revoked_key_quarantines_until_it_is_signed_again(world: World) -> None:
    """Revoked: not resolved. Signed again with another key: back, under a file name of its own; the first file stays."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    path = "plugins/acme-calendar/1.0.0/manifest.json"
    original = world.tree.read(path) or b""
    client = world.client(ttl=0)
    pinned = client.manifest("acme-calendar", "1.0.0").payload_digest
    fresh = ed25519("acme-2")
    world.add_key("acme", fresh)
    world.revoke_key("acme", ACME)
    (line,) = world.register().quarantines
    assert line.startswith("acme-calendar 1.0.0: quarantined (signature): ")
    with pytest.raises(YankedError, match="quarantined"):
        client.manifest("acme-calendar", "1.0.0")
    assert client.search() == []
    again = dump_json(sign_document(parse_json(original, limit=10**6, where=""), [fresh]))
    run = world.register([Submission("again", "acme-calendar", "1.0.0", manifest=again)])
    assert [outcome.result for outcome in run.outcomes] == [Result.SIGNED]
    assert run.quarantines == ("acme-calendar 1.0.0: verifies again, quarantine lifted",)
    back = client.manifest("acme-calendar", "1.0.0")
    assert back.data == again
    assert back.payload_digest == pinned
    assert world.tree.read(path) == original
    assert world.tree.read(f"plugins/acme-calendar/1.0.0/manifest.{Digest.of(again).hex[:12]}.json") == again
    assert [entry.version for entry in client.search()] == ["1.0.0"]
    assert world.register().changes == {}


def test_a_retired_key_counts_for_what_it_signed_before(world: World) -> None:
    """Old versions stay as they are; new ones need the new key."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    world.add_key("acme", ed25519("acme-2"))
    world.retire_key("acme", ACME)
    world.register()
    assert world.client().resolve("acme-calendar").info.version == "1.0.0"
    old = dump_json(_signed(id="acme-calendar", version="1.1.0"))
    assert isinstance(
        world.plan([Submission("it", "acme-calendar", "1.1.0", manifest=old)]).outcomes[0].error,
        SignatureError,
    )
    world.publish("acme-calendar", "1.1.0")
    world.register()
    assert world.client("other").resolve("acme-calendar").info.version == "1.1.0"


def test_the_blast_radius_guard(world: World) -> None:
    """Losing more than max(1, 5 %) of the versions needs someone to say so; nothing is written before."""
    for number in range(3):
        world.publish("acme-calendar", f"1.{number}.0")
    world.register()
    world.add_key("acme", ed25519("acme-2"))
    world.revoke_key("acme", ACME)
    before = world.snapshot()
    with pytest.raises(RegistrarError, match="3 of 3 usable versions") as caught:
        world.register()
    assert "--allow-loss 3" in caught.value.hint
    assert world.snapshot() == before
    with pytest.raises(RegistrarError):
        world.register(allow_loss=2)
    world.register(allow_loss=3)
    with pytest.raises(YankedError):
        world.client().resolve("acme-calendar")


def test_a_removed_publisher_quarantines_until_another_covers_the_id(world: World) -> None:
    """Nobody may publish it any more: it is not resolved, and its line stays."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    desk = world.desk()
    policy.remove_publisher(desk, "acme")
    desk.save()
    world.register()
    with pytest.raises(YankedError, match="no publisher may publish"):
        world.client().manifest("acme-calendar", "1.0.0")


def test_a_threshold_of_two_keys(world: World) -> None:
    """One signature is too few; two of the publisher's keys are enough."""
    world.add_publisher("globex", keys=2, threshold=2)
    first, second = world.publishers["globex"]
    for signers, result in (([first], Result.REFUSED), ([first, second], Result.PUBLISHED)):
        data = dump_json(sign(manifest(id="globex-x", version="1.0.0"), *signers))
        run = world.plan([Submission("it", "globex-x", "1.0.0", manifest=data)])
        assert run.outcomes[0].result is result


# -- the whole ---------------------------------------------------------------------------------------------------


def _random_step(world: World, rng: random.Random, published: list[tuple[str, str]]) -> None:
    """Publish, change a status, block or unblock."""
    kind = rng.choice(["publish", "publish", "status", "yank", "block", "unblock"])
    if kind == "publish" or not published:
        plugin_id = f"acme-{rng.choice('abcdefgh')}"
        version = f"{rng.randint(0, 3)}.{rng.randint(0, 3)}.0{rng.choice(['', '', '-rc.1'])}"
        if (plugin_id, version) not in published:
            world.publish(plugin_id, version, initialStatus=rng.choice(["released", "draft"]))
            published.append((plugin_id, version))
        return
    plugin_id, version = rng.choice(published)
    if kind == "status":
        status = rng.choice(["testing", "staged", "released"])
        world.set_status(plugin_id, version, status, rollout=rng.choice([0, 10, 100]))
    elif kind == "yank":
        world.set_status(plugin_id, version, "yanked", reason="bad")
    elif kind == "block":
        world.block(plugin_id, rng.choice(["<1", ">=2", f"=={version}"]))
    elif json.loads(world.tree.read("blocks.json") or b"")["blocks"]:
        world.unblock(json.loads(world.tree.read("blocks.json") or b"")["blocks"][0]["id"])


def _rebuilt(world: World) -> dict[str, bytes]:
    """The registry built anew from its signed documents, by a registrar that has never seen an index."""
    files = {
        path: data
        for path, data in world.snapshot().items()
        if not path.endswith(("registrar.json", "snapshot.json", "timestamp.json", "registry.json"))
        and not path.startswith("targets/index/")
        and not (path.startswith("plugins/") and path.count("/") == 1)
    }
    run = world.plan(tree=MemoryTree(files))
    return {**files, **{path: data for path, data in run.changes.items() if data is not None}}


@pytest.mark.parametrize("seed", range(6))
def test_incremental_runs_and_a_full_rebuild_agree(world: World, seed: int) -> None:
    """Whatever the order of events and runs: the same index, catalogue and plain files, byte for byte."""
    rng = random.Random(seed)
    published: list[tuple[str, str]] = []
    for _ in range(25):
        _random_step(world, rng, published)
        if rng.random() < 0.4:
            world.register()
    world.register()
    assert world.register(full=True).changes == {}
    now, anew = world.snapshot(), _rebuilt(world)
    newest = _targets_of(now)
    assert newest == _targets_of(anew)
    assert any(path.startswith("index/") for path in newest)
    for path in set(now) | set(anew):
        if path.startswith("plugins/") or path in {"registry.json", "blocks.json", "policy.json"}:
            assert now.get(path) == anew.get(path), path


def _targets_of(files: dict[str, bytes]) -> dict[str, str]:
    """Digests of what the newest registrar metadata names."""
    version = latest_version(MemoryTree(files), "registrar")
    signed = json.loads(files[f"metadata/{version}.registrar.json"])["signed"]
    return {path: info["hashes"]["sha256"] for path, info in signed["targets"].items()}


def test_retention(world: World) -> None:
    """Superseded metadata and shards stay 7 days, copies of registry.json 1 hour; roots stay for ever."""
    world.publish("acme-calendar", "1.0.0")
    world.register()
    first = world.snapshot()
    old = {path for path in first if path.startswith(("metadata/", "targets/"))}
    number = latest_version(world.tree, "registrar")
    shard = next(path for path in old if path.startswith("targets/index/"))
    catalogue = f"targets/{Digest.of(first['registry.json']).hex}.registry.json"
    assert catalogue in old

    def publish_after(version: str, **span: float) -> set[str]:
        world.tick(**span)
        world.publish("acme-calendar", version)
        world.register()
        return set(world.snapshot())

    assert old <= publish_after("1.0.1", minutes=10)
    superseded_for_50_minutes = publish_after("1.0.2", minutes=50)
    assert catalogue in superseded_for_50_minutes
    later = publish_after("1.0.3", minutes=11)
    assert catalogue not in later
    assert {shard, f"metadata/{number}.registrar.json"} <= later
    much_later = publish_after("1.0.4", days=6)
    assert {shard, f"metadata/{number}.registrar.json"} <= much_later
    gone = publish_after("1.0.5", days=1)
    assert not {shard, f"metadata/{number}.registrar.json"} & gone
    assert "metadata/1.root.json" in gone
    assert world.client().resolve("acme-calendar").info.version == "1.0.5"


def test_a_plain_tuf_client_reads_the_registry(tmp_path: Path) -> None:
    """python-tuf's own Updater, bootstrapped with 1.root.json, over a static server."""
    world = World(tmp_path / "today", now=datetime.now(UTC))
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.register()
    with FaultServer(world.folder) as server:
        (tmp_path / "meta").mkdir()
        (tmp_path / "got").mkdir()
        updater = Updater(
            str(tmp_path / "meta"),
            f"{server.url}/metadata/",
            str(tmp_path / "got"),
            f"{server.url}/targets/",
            bootstrap=world.root,
        )
        updater.refresh()
        for name in ("registry.json", "policy.json", "blocks.json"):
            info = updater.get_targetinfo(name)
            assert info is not None
            got = Path(updater.download_target(info)).read_bytes()
            assert got == world.tree.read(name)


def test_signed_times_follow_the_settings(tmp_path: Path) -> None:
    """Every role is signed for as long as the registry was made for, after a run of the registrar too."""
    world = World(tmp_path / "registry", days=DEV_DAYS)
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.register()
    for role in DEV_DAYS:
        name = "timestamp" if role == "timestamp" else f"{latest_version(world.tree, role)}.{role}"
        signed = json.loads(world.tree.read(f"metadata/{name}.json") or b"")["signed"]
        info = role_info(role, signed)
        assert (info.expires - world.now).days == 3650, role
        assert info.signed_at == world.now


def test_a_key_that_is_not_the_registrars_writes_nothing(world: World) -> None:
    """The wrong online key ends in a clear error before anything is written, even on a day without anything to sign."""
    for nothing_to_do in (True, False):
        if not nothing_to_do:
            world.publish("acme-calendar", "1.0.0")
        before = world.snapshot()
        with pytest.raises(ConfigError, match="not the registry's online key"):
            register(world.tree, (), replace(world.options(), signers=[STRANGER]), world.now)
        assert world.snapshot() == before
