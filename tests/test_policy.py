"""`publisher registry policy`: who may publish what, what is blocked, and what is refused before anything is signed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.maintainers import Kept, make_registry

from publisher.maintain import policy
from publisher.maintain.policy import PublisherChange
from publisher.sign_file import sign_file
from publisher.signing import generate_key, public_key_object
from publisher.tree import DirTree
from publisher.tuf_repository import TufRepository, dump_metadata, latest_version, read_metadata
from registry_client.errors import (
    ConfigError,
    DocumentError,
    NotFoundError,
    RegistrarError,
    RegistryError,
    SignatureError,
    VerificationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with publisher acme, whose calendar has three versions."""
    kept = make_registry(tmp_path)
    for version in ("1.0.0", "1.1.0-rc.1", "1.1.0"):
        kept.write_manifest("calendar", version, "acme")
    kept.register()
    return kept


def publisher_file(kept: Kept, publisher: str = "acme") -> dict[str, Any]:
    """A publisher's document as it stands."""
    document: dict[str, Any] = json.loads((kept.folder / "publishers" / f"{publisher}.json").read_bytes())
    return document


def newest(kept: Kept, role: str) -> Path:
    """The newest metadata file of a role."""
    return kept.folder / "metadata" / f"{latest_version(DirTree(kept.folder), role)}.{role}.json"


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file by hand."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def self_signed_root(kept: Kept, folder: str = "metadata") -> None:
    """Put a next root in place that names and is signed by a stranger's key alone."""
    kept.new_key("stranger")
    metadata = read_metadata(DirTree(kept.folder), "root", 1)
    root = metadata.signed
    root.version, root.roles["root"].threshold = 2, 1
    root.add_key(kept.signer("stranger").public_key, "root")
    metadata.sign(kept.signer("stranger"), append=False)
    path = kept.folder / folder / "2.root.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(dump_metadata("root", metadata))


class TestPublishers:
    """Adding, changing and removing publishers."""

    def test_a_new_publisher_may_publish_after_the_next_run(self, kept: Kept) -> None:
        """The registrar refuses its plugin before, and takes it afterwards."""
        kept.new_key("globex")
        kept.write_manifest("globex-maps", "1.0.0", "globex")
        assert [outcome.error.hint for outcome in kept.register().refused if outcome.error] != []
        kept.add_publisher("globex", "globex", "globex-*")
        assert kept.register().refused == []
        assert kept.audit().findings == ()

    def test_change(self, kept: Kept) -> None:
        """Name, plugins, repositories and threshold change; what is not named stays."""
        kept.new_key("second")
        with kept.edit("targets") as desk:
            key = kept.signer("second").public_key
            policy.add_key(desk, "acme", key.keyid, public_key_object(key))
        with kept.edit("targets") as desk:
            change = PublisherChange("Acme Ltd", 2, ("notes",), ("acme-*",), (42, 43))
            policy.change_publisher(desk, "acme", change)
        document = publisher_file(kept)
        assert (document["name"], document["threshold"]) == ("Acme Ltd", 2)
        assert (document["plugins"], document["repositoryIds"]) == (["calendar", "notes"], [42, 43])
        with kept.edit("targets") as desk:
            policy.change_publisher(desk, "acme", PublisherChange(remove_repositories=(42, 43)))
        assert "repositoryIds" not in publisher_file(kept)
        assert len(publisher_file(kept)["keys"]) == 2

    def test_remove_quarantines_what_it_published(self, kept: Kept) -> None:
        """Its file goes; its versions stay in the index, quarantined, and come back with another publisher who signs."""
        with kept.edit("targets") as desk:
            policy.remove_publisher(desk, "acme")
        assert not (kept.folder / "publishers" / "acme.json").exists()
        with pytest.raises(RegistrarError, match="3 of 3 usable versions"):
            kept.register()
        kept.register(allow_loss=3)
        assert not (kept.folder / "plugins" / "calendar.json").exists()
        kept.add_publisher("acme-two", "acme", "calendar")
        kept.register()
        assert kept.audit().findings == ()
        assert (kept.folder / "plugins" / "calendar.json").exists()

    @pytest.mark.parametrize(
        ("own", "theirs"),
        [("calendar", "calendar"), ("acme-*", "acme-maps"), ("acme-*", "acme-m-*")],
    )
    def test_two_publishers_never_cover_one_id(self, kept: Kept, own: str, theirs: str) -> None:
        """Neither by adding nor by changing; the message names both patterns, and nothing is written."""
        kept.add_publisher("globex", "globex", "globex-*")
        before = kept.fingerprint()
        desk = kept.desk("targets")
        key = kept.signer("globex").public_key
        keys, change = {key.keyid: public_key_object(key)}, PublisherChange(add_plugins=(theirs,))
        with pytest.raises(RegistrarError) as adding:
            policy.add_publisher(desk, "other", "Other", keys, change)
        with pytest.raises(RegistrarError) as changing:
            policy.change_publisher(desk, "globex", change)
        for caught in (adding, changing):
            assert own in caught.value.message
            assert theirs in caught.value.message
        assert kept.fingerprint() == before

    @pytest.mark.parametrize(
        ("work", "error"),
        [
            (lambda d: policy.add_publisher(d, "acme", "A", {}, PublisherChange()), ConfigError),
            (lambda d: policy.add_publisher(d, "../x", "A", {}, PublisherChange()), ConfigError),
            (lambda d: policy.add_publisher(d, "con", "A", {}, PublisherChange()), ConfigError),
            (lambda d: policy.add_publisher(d, "x\n", "A", {}, PublisherChange()), ConfigError),
            (
                lambda d: policy.add_publisher(d, "x", "A", {}, PublisherChange(add_plugins=("Maps",))),
                DocumentError,
            ),
            (lambda d: policy.add_publisher(d, "x", "A" * 5000, {}, PublisherChange()), DocumentError),
            (lambda d: policy.change_publisher(d, "nobody", PublisherChange("N")), NotFoundError),
            (lambda d: policy.change_publisher(d, "acme", PublisherChange(threshold=17)), DocumentError),
            (lambda d: policy.remove_publisher(d, "nobody"), NotFoundError),
            (lambda d: policy.retire_key(d, "nobody", "0" * 64), NotFoundError),
            (lambda d: policy.retire_key(d, "acme", "0" * 64), NotFoundError),
            (lambda d: policy.revoke_key(d, "acme", "0" * 64, "lost"), NotFoundError),
            (lambda d: policy.full_keyid(d, "nobody", "0"), NotFoundError),
            (lambda d: policy.full_keyid(d, "acme", ""), NotFoundError),
            (lambda d: policy.full_keyid(d, "acme", "xyz"), NotFoundError),
            (lambda d: policy.unblock(d, "calendar", None), NotFoundError),
            (lambda d: policy.set_policy(d, {"baseUrl": "ftp://x"}), DocumentError),
            (lambda d: policy.set_policy(d, {"unknown": 1}), DocumentError),
            (lambda d: policy.block(d, entry(id="Calendar")), DocumentError),
            (lambda d: policy.block(d, entry(id="../../x")), DocumentError),
            (lambda d: policy.block(d, entry(versions="^1.0")), RegistryError),
            (lambda d: policy.block(d, entry(versions="===1.0.0")), RegistryError),
            (lambda d: policy.block(d, entry(action="explode")), DocumentError),
            (lambda d: policy.block(d, entry(reason="")), DocumentError),
            (lambda d: policy.block(d, entry(digests=["md5:1"])), DocumentError),
        ],
    )
    def test_refusals(self, kept: Kept, work: Callable[[Any], object], error: type[RegistryError]) -> None:
        """Each is one of our errors with a message, and leaves the registry as it was."""
        before = kept.fingerprint()
        desk = kept.desk("targets", "blocks")
        with pytest.raises(error) as caught:
            work(desk)
        assert caught.value.message
        desk.save()
        assert kept.fingerprint() == before


def entry(**more: Any) -> dict[str, Any]:
    """A block as the command line builds it."""
    return {"id": "calendar", "versions": "<2", "action": "hide", "reason": "a flaw", **more}


class TestKeys:
    """A publisher's keys."""

    def test_by_the_first_characters_of_its_keyid(self, kept: Kept) -> None:
        """A unique prefix in either case names a key; an ambiguous one is refused and all keys are listed."""
        while True:  # two keys that share their first hex digit
            key = generate_key()[1]
            if key.keyid[0] == kept.keyid("acme")[0]:
                break
        with kept.edit("targets") as desk:
            policy.add_key(desk, "acme", key.keyid, public_key_object(key))
        desk = kept.desk("targets")
        assert policy.full_keyid(desk, "acme", key.keyid[:20].upper()) == key.keyid
        with pytest.raises(NotFoundError, match="2 keys") as caught:
            policy.full_keyid(desk, "acme", key.keyid[0])
        assert key.keyid[:16] in caught.value.hint
        assert kept.keyid("acme")[:16] in caught.value.hint

    def test_retire_counts_for_what_it_signed_and_for_nothing_new(self, kept: Kept) -> None:
        """Old versions stay as they are; a new one by that key is refused."""
        kept.new_key("second")
        with kept.edit("targets") as desk:
            key = kept.signer("second").public_key
            policy.add_key(desk, "acme", key.keyid, public_key_object(key))
        with kept.edit("targets") as desk:
            assert policy.retire_key(desk, "acme", kept.keyid("acme")) == 3
        document = publisher_file(kept)
        assert list(document["keys"]) == [kept.keyid("second")]
        assert len(document["retiredKeys"][kept.keyid("acme")]["digests"]) == 3
        kept.write_manifest("calendar", "1.2.0", "acme")
        refused = kept.register().refused
        assert [outcome.submission.version for outcome in refused] == ["1.2.0"]
        assert "retired" in str(refused[0].error)
        assert kept.register().versions == 3

    def test_a_retired_key_can_come_back_and_a_revoked_one_cannot(self, kept: Kept) -> None:
        """Adding a retired key again puts it in use; a revoked keyid stays out for good."""
        key, keyid = kept.signer("acme").public_key, kept.keyid("acme")
        with kept.edit("targets") as desk:
            policy.retire_key(desk, "acme", keyid)
        with kept.edit("targets") as desk:
            policy.add_key(desk, "acme", keyid, public_key_object(key))
        assert list(publisher_file(kept)["keys"]) == [keyid]
        assert "retiredKeys" not in publisher_file(kept)
        with kept.edit("targets") as desk:
            assert policy.revoke_key(desk, "acme", keyid, "stolen") == 3
        with pytest.raises(ConfigError, match="was revoked"):
            policy.add_key(kept.desk("targets"), "acme", keyid, public_key_object(key))
        assert publisher_file(kept)["revokedKeys"][keyid]["reason"] == "stolen"

    def test_a_retired_key_can_be_revoked(self, kept: Kept) -> None:
        """It was retired in good faith, and is found to be stolen later: then it counts for nothing."""
        keyid = kept.keyid("acme")
        with kept.edit("targets") as desk:
            policy.retire_key(desk, "acme", keyid)
        with kept.edit("targets") as desk:
            policy.revoke_key(desk, "acme", keyid, "stolen")
        document = publisher_file(kept)
        assert (document["keys"], "retiredKeys" in document) == ({}, False)

    def test_a_keyid_that_is_not_its_keys(self, kept: Kept) -> None:
        """Keyids are computed and compared; a wrong one is refused with the right one named."""
        key = generate_key()[1]
        with pytest.raises(ConfigError, match=key.keyid[:16]):
            policy.add_key(kept.desk("targets"), "acme", "0" * 64, public_key_object(key))


class TestBlocks:
    """Blocking and lifting blocks."""

    @pytest.mark.parametrize(
        ("versions", "matching"),
        [
            ("<1.1", ["1.0.0"]),
            (">=0", ["1.0.0", "1.1.0-rc.1", "1.1.0"]),
            (">=1.1.0rc1,<1.1.0rc2", ["1.1.0-rc.1"]),
            ("<=1.1.0rc1", ["1.0.0", "1.1.0-rc.1"]),
            ("==1.1.0", ["1.1.0"]),
            ("<1", []),
        ],
    )
    def test_the_versions_that_match_are_told_prereleases_too(
        self, kept: Kept, versions: str, matching: list[str]
    ) -> None:
        """Oldest first."""
        assert kept.block("calendar", versions) == matching

    def test_block_and_unblock(self, kept: Kept) -> None:
        """A block is in force after the next run; lifting it brings the catalogue line back."""
        line = (kept.folder / "plugins" / "calendar.json").read_bytes()
        assert kept.block("calendar", "<2", "hide") == ["1.0.0", "1.1.0-rc.1", "1.1.0"]
        kept.register()
        assert not (kept.folder / "plugins" / "calendar.json").exists()
        with kept.edit("blocks") as desk:
            assert policy.unblock(desk, "calendar", None) == ["1.0.0", "1.1.0-rc.1", "1.1.0"]
        kept.register()
        assert (kept.folder / "plugins" / "calendar.json").read_bytes() == line
        assert kept.audit().findings == ()

    def test_the_same_range_again_replaces_the_block(self, kept: Kept) -> None:
        """So that hiding becomes disabling, and not both."""
        kept.block("calendar", "<1.1", "hide")
        kept.block("calendar", "<1.1", "uninstall")
        kept.block("calendar", "<1.0", "hide")
        blocks = json.loads((kept.folder / "blocks.json").read_bytes())["blocks"]
        assert [(b["versions"], b["action"]) for b in blocks] == [("<1.1", "uninstall"), ("<1.0", "hide")]
        with pytest.raises(NotFoundError, match=r"calendar <1\.2"), kept.edit("blocks") as desk:
            policy.unblock(desk, "calendar", "<1.2")
        with kept.edit("blocks") as desk:
            assert policy.unblock(desk, "calendar", "<1.1") == ["1.0.0"]

    def test_by_payload_digest(self, kept: Kept) -> None:
        """A digest holds a version that the range leaves out."""
        row = json.loads((kept.folder / "plugins/calendar/1.1.0/manifest.json").read_bytes())
        from registry_client.jsontext import payload_digest_of

        with kept.edit("blocks") as desk:
            assert policy.block(desk, entry(versions="<1.1", digests=[payload_digest_of(row)])) == [
                "1.0.0",
                "1.1.0",
            ]

    @pytest.mark.parametrize("data", [b"not JSON", b"{}", b"[]", b"\xff", b""])
    def test_a_broken_file_beside_the_plugins_stops_nothing(self, kept: Kept, data: bytes) -> None:
        """In an emergency, a stray file under plugins/ must not keep a block from being signed."""
        for path in ("plugins/calendar/9.9.9/manifest.json", "plugins/calendar/manifest.json"):
            (kept.folder / path).parent.mkdir(exist_ok=True)
            (kept.folder / path).write_bytes(data)
        assert kept.block("calendar", "<1.1") == ["1.0.0"]

    def test_any_one_of_several_keys(self, kept: Kept) -> None:
        """Each maintainer on call signs alone, with nothing but the blocks key."""
        kept.new_key("night-shift")
        kept.rotate("blocks", "targets", add=("night-shift",))
        with kept.edit("night-shift") as desk:
            policy.block(desk, entry())
        kept.register()
        assert kept.audit().findings == ()


class TestSet:
    """The registry's own description."""

    def test_members_change_and_the_id_stays(self, kept: Kept) -> None:
        """policy.json has the new members; release documents name its id, which nothing changes."""
        with kept.edit("targets") as desk:
            policy.set_policy(desk, {"name": "New", "baseUrl": "https://new.example", "mirrors": []})
        document = json.loads((kept.folder / "policy.json").read_bytes())
        assert (document["name"], document["baseUrl"]) == ("New", "https://new.example")
        assert document["registry"] == "registry.example"
        kept.register()
        assert kept.audit().findings == ()

    def test_what_stands_so_already_is_not_signed_again(self, kept: Kept) -> None:
        """The result says what has changed, and the policy as it then is."""
        for expected in (["mirrors", "catalogueMinutes"], []):
            with kept.edit("targets") as desk:
                now, changed = policy.set_policy(
                    desk,
                    {
                        "mirrors": ["https://m.example"],
                        "catalogueMinutes": 60,
                        "name": desk.authority.policy.name,
                    },
                )
            assert (changed, now.mirrors) == (expected, ("https://m.example",))
            assert bool(desk.tree.changes) == bool(expected)
        kept.register()
        assert kept.audit().findings == ()


class TestNothingIsSignedOnTopOfForgeries:
    """Maintainers work in a clone that others push to: what stands there is verified first."""

    def test_an_edited_readable_copy_is_not_signed(self, kept: Kept) -> None:
        """publishers/acme.json with a foreign key: the change starts from the signed bytes, not from the edit."""
        path = kept.folder / "publishers" / "acme.json"
        document = publisher_file(kept)
        foreign = generate_key()[1]
        document["keys"][foreign.keyid] = public_key_object(foreign)
        path.write_text(json.dumps(document))
        with kept.edit("targets") as desk:
            policy.change_publisher(desk, "acme", PublisherChange("Acme Ltd"))
        assert list(publisher_file(kept)["keys"]) == [kept.keyid("acme")]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda k: edit_json(newest(k, "targets"), lambda d: d["signed"]["targets"].pop("policy.json")),
            lambda k: edit_json(newest(k, "targets"), lambda d: d["signatures"].clear()),
            lambda k: edit_json(newest(k, "blocks"), lambda d: d["signed"].update(version=99)),
            lambda k: edit_json(newest(k, "root"), lambda d: d["signed"].update(version=7)),
            lambda k: newest(k, "root").write_bytes(b"{}"),
            lambda k: newest(k, "targets").write_bytes(b"not JSON"),
            lambda k: next(k.folder.glob("targets/publishers/*.acme.json")).write_bytes(b"{}"),
            self_signed_root,
        ],
    )
    def test_tampered_metadata_is_refused(self, kept: Kept, damage: Callable[[Kept], object]) -> None:
        """Before any key is used."""
        damage(kept)
        with pytest.raises(VerificationError):
            kept.desk("targets", "blocks")

    def test_a_deleted_newest_version_is_caught_before_it_is_served(self, kept: Kept) -> None:
        """A change made on top of older metadata has a version that hosts know with other content: the gate says no."""
        newest(kept, "targets").unlink()
        kept.add_publisher("globex", "globex", "globex-*")
        before = kept.fingerprint()
        with pytest.raises(RegistrarError):
            kept.register()
        assert kept.fingerprint() == before

    def test_a_staged_root_that_only_its_own_keys_signed_is_refused(self, kept: Kept) -> None:
        """Anyone can make a next root that signs itself; it must carry a signature of the root before it."""
        self_signed_root(kept, folder="staging")
        with pytest.raises(SignatureError, match=r"staging/2\.root\.json"):
            kept.desk("root-1", "root-2")

    def test_staged_metadata_of_a_stranger_is_refused(self, kept: Kept) -> None:
        """A staged targets without a signature that counts is not built upon."""
        metadata = read_metadata(DirTree(kept.folder), "targets", 2)
        metadata.signed.version = 3
        kept.new_key("stranger")
        metadata.sign(kept.signer("stranger"), append=False)
        (kept.folder / "staging").mkdir()
        (kept.folder / "staging" / "3.targets.json").write_bytes(dump_metadata("targets", metadata))
        with pytest.raises(SignatureError, match=r"staging/3\.targets\.json"):
            kept.desk("targets")

    @pytest.mark.parametrize("names", [(), ("blocks",), ("online",), ("root-1", "root-2"), ("acme",)])
    def test_without_the_right_key_nothing_is_written(self, kept: Kept, names: tuple[str, ...]) -> None:
        """The error names the keys that would do."""
        before = kept.fingerprint()
        desk = kept.desk(*names)
        with pytest.raises(ConfigError, match="no key of role targets") as caught:
            policy.change_publisher(desk, "acme", PublisherChange("Acme Ltd"))
        assert kept.keyid("targets")[:16] in caught.value.hint
        assert kept.fingerprint() == before


class TestTwoOfTwoTargets:
    """A targets role that two maintainers must sign."""

    @pytest.fixture
    def pair(self, kept: Kept) -> Kept:
        """The registry with two targets keys, both needed."""
        kept.new_key("targets-2")
        kept.rotate("targets", "root-1", "root-2", add=("targets-2",))
        with kept.edit("root-1", "root-2", "targets", "targets-2") as desk:
            repository: TufRepository = desk.repository
            with repository.edit_root() as root:
                root.roles["targets"].threshold = 2
            with repository.edit_targets():
                pass
        kept.register()
        return kept

    def test_a_change_waits_for_the_second_signature(self, pair: Kept) -> None:
        """It stands in staging/, hosts see nothing of it, and `publisher sign` of the other key serves it."""
        served = latest_version(DirTree(pair.folder), "targets")
        with pair.edit("targets") as desk:
            policy.change_publisher(desk, "acme", PublisherChange("Acme Ltd"))
        staged = pair.folder / "staging" / f"{served + 1}.targets.json"
        assert desk.waiting == [f"staging/{served + 1}.targets.json"]
        assert latest_version(DirTree(pair.folder), "targets") == served
        pair.register()
        assert publisher_file(pair)["name"] == "Acme"
        done = sign_file(staged, pair.signer("targets-2"))
        assert (done.complete, done.signatures) == (True, 2)
        assert done.path == pair.folder / "metadata" / staged.name
        assert not staged.exists()
        pair.register()
        assert publisher_file(pair)["name"] == "Acme Ltd"
        assert pair.audit().findings == ()

    def test_a_second_change_builds_on_the_first(self, pair: Kept) -> None:
        """Both are in what is signed in the end; the first change's signature is not carried over to other content."""
        served = latest_version(DirTree(pair.folder), "targets")
        with pair.edit("targets") as desk:
            policy.change_publisher(desk, "acme", PublisherChange("Acme Ltd"))
        with pair.edit("targets-2") as desk:
            policy.change_publisher(desk, "acme", PublisherChange(add_plugins=("notes",)))
        assert [path.name for path in (pair.folder / "staging").iterdir()] == [f"{served + 1}.targets.json"]
        sign_file(pair.folder / "staging" / f"{served + 1}.targets.json", pair.signer("targets"))
        pair.register()
        document = publisher_file(pair)
        assert (document["name"], "notes" in document["plugins"]) == ("Acme Ltd", True)
        assert pair.audit().findings == ()

    def test_staged_publishers_count_for_overlaps(self, pair: Kept) -> None:
        """Two pending additions that would cover one id are refused now, not when both are served and all stops."""
        pair.add_publisher("globex", "globex", "maps")
        with pytest.raises(RegistrarError, match="could both publish"):
            pair.add_publisher("initech", "initech", "maps-*", "maps")
