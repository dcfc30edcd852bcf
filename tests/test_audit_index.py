"""The audit of what the registrar signs: an online key in other hands, or a mistake of the registrar's, does not go unseen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve

from publisher.authority import load_authority
from publisher.maintain import policy
from publisher.maintain.fetch_tree import fetch_tree
from publisher.registrar import sharding, verdicts
from publisher.registrar.online import days_of
from publisher.registrar.state import load_state
from publisher.registrar.write import write_above, write_index
from publisher.set_status import Change
from publisher.signing import public_key_object
from publisher.tree import DirTree, Overlay, write_changes
from publisher.tuf_repository import BASIS, TufRepository, latest_version
from publisher.watch import derived
from publisher.watch.audit import Level, audit
from registry_client.digest import Digest
from registry_client.layout import plugin_folder
from registry_client.models.release import ReleaseStatus
from registry_client.roles import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from publisher.watch.findings import Finding, Report

MANIFEST = "plugins/calendar/1.0.0/manifest.json"
ARTIFACT = b"a plugin's archive" * 20
PLACE = f"artifacts/sha256/{Digest.of(ARTIFACT).hex}/calendar-1.0.0.zip"


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with two plugins, a release and an artifact."""
    kept = make_registry(tmp_path)
    item = {"ecosystem": "custom", "url": PLACE, "digest": Digest.of(ARTIFACT), "size": len(ARTIFACT)}
    write(kept, PLACE, ARTIFACT)
    kept.write_manifest("calendar", "1.0.0", "acme", artifacts=[item], requires={"host": {"nexus": ">=1"}})
    kept.write_manifest("calendar", "1.1.0", "acme")
    kept.write_manifest("acme-maps", "1.0.0", "acme")
    kept.register()
    kept.write_release("calendar", "1.0.0", "acme", Change(ReleaseStatus.DEPRECATED, reason="old"))
    kept.register()
    return kept


def write(kept: Kept, path: str, data: bytes) -> None:
    """Put a file into the registry."""
    (kept.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (kept.folder / path).write_bytes(data)


def sign_rows(kept: Kept, plugin_id: str, version: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Sign an index with a line as a registrar would have it that lies."""
    overlay = Overlay(DirTree(kept.folder))
    authority = load_authority(overlay, kept.pinned, allow_dev_keys=False)
    state = load_state(overlay, authority, full=True)
    row = state.get(plugin_id, version)
    assert row is not None
    raw = json.loads(row.text)
    change(raw)
    state.put(type(row)(raw))
    repository = TufRepository(overlay, [kept.signer("online")], kept.now, days_of(authority.policy))
    write_index(overlay, state, authority, repository)
    write_changes(kept.folder, overlay.changes)


def sign_role(kept: Kept, change: Callable[[Any], None]) -> None:
    """Sign the registrar's metadata with something changed, and what stands above it."""
    overlay = Overlay(DirTree(kept.folder))
    authority = load_authority(overlay, kept.pinned, allow_dev_keys=False)
    repository = TufRepository(overlay, [kept.signer("online")], kept.now, days_of(authority.policy))
    with repository.edit_targets("registrar") as role:
        change(role)
    write_above(repository, authority.root)
    write_changes(kept.folder, overlay.changes)


def found(kept: Kept, path: str = "", words: str = "", **options: Any) -> list[Finding]:
    """The audit's findings about a file."""
    report = audit(DirTree(kept.folder), kept.pinned, kept.now, allow_dev_keys=False, **options)
    return [f for f in report.findings if f.path.startswith(path) and words in f.message]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row.update(initialStatus="draft"), "states another initialStatus"),
        (lambda row: row.update(requires={"host": {"nexus": ">=2"}}), "states another requires"),
        (lambda row: row.pop("requires"), "states another requires"),
        (lambda row: row["manifest"].update(size=row["manifest"]["size"] + 1), "bytes"),
        (
            lambda row: row["manifest"].update(payloadDigest=Digest.of(b"other")),
            "states another payload digest",
        ),
        (lambda row: row.update(publisher="globex"), "names publisher 'globex'"),
        (lambda row: row.update(publishedAt="yesterday"), "publishedAt"),
        (lambda row: row["release"].update(version="1.1.0"), "is for calendar 1.1.0"),
        (lambda row: row["release"].update(status="released"), "does not verify"),
        (lambda row: row["release"].update(revision="one"), "revision"),
    ],
)
def test_what_a_lying_index_states(kept: Kept, change: Callable[[dict[str, Any]], None], words: str) -> None:
    """Each lie about a version is named at its manifest; hosts would refuse it too."""
    sign_rows(kept, "calendar", "1.0.0", change)
    assert found(kept, MANIFEST, words)
    assert not kept.audit().sound


def test_a_manifest_that_publishing_would_refuse(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registrar that does not look at schemas lets in what the audit names; without the schema nothing else is wrong."""
    monkeypatch.setattr("publisher.registrar.admit.check_manifest", lambda *_, **__: [])
    kept.write_manifest("calendar", "2.0.0", "acme", unheardOf=1)
    kept.register()
    path = "plugins/calendar/2.0.0/manifest.json"
    assert [f.path for f in found(kept, words="unheardOf")] == [path]
    assert found(kept, schema=False) == []


class TestBasis:
    """What the registrar signs of its own run, on which the next one relies."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda basis: basis["totals"].update(usable=2), "states 2 plugins, 3 versions and 2 usable"),
            (lambda basis: basis["totals"].update(plugins=7), "the index holds 2, 3 and 3"),
            (lambda basis: basis.update(totals=None), "is none"),
            (lambda basis: basis.update(commit="main"), "is none"),
            (lambda basis: basis.update(extra=1), "is none"),
            (lambda basis: basis.update(targets=99), "not there"),
            (lambda basis: basis.update(blocks=99), "not there"),
            (lambda basis: basis.update(waiting=["calendar"]), "waiting"),
        ],
    )
    def test_what_does_not_follow(
        self, kept: Kept, change: Callable[[dict[str, Any]], None], words: str
    ) -> None:
        """Each is an error in the registrar's metadata, and the hint puts it right."""
        sign_role(kept, lambda role: change(role.unrecognized_fields[BASIS]))
        assert [f.level for f in found(kept, "metadata/", words)] == [Level.ERROR]
        kept.register(full=True)
        assert found(kept) == []

    def test_older_registrars_sign_none(self, kept: Kept) -> None:
        """The next run looks at everything: nothing is wrong."""
        sign_role(kept, lambda role: role.unrecognized_fields.pop(BASIS))
        assert found(kept) == []


def test_targets_that_are_no_part_of_an_index(kept: Kept) -> None:
    """Hosts ask for none of them; a registrar that names them is not this one."""

    def add(role: Any) -> None:
        role.targets["policy.json"] = role.targets["registry.json"]

    sign_role(kept, add)
    assert found(kept, "metadata/", "names policy.json")


@pytest.mark.parametrize("versions", [{}, {"targets": 1, "blocks": 1, "registrar": 99}, [], "none"])
def test_a_hint_that_is_not_what_the_snapshot_names(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, versions: object
) -> None:
    """Hosts would ask for files that are not there. A timestamp without any is an older one."""

    def lie(_: TufRepository, timestamp: Any) -> None:
        timestamp.unrecognized_fields[VERSIONS] = versions

    with monkeypatch.context() as patched:
        patched.setattr(TufRepository, "_name_versions", lie)
        kept.renew("online", force=True, roles=("timestamp",))
    assert [f.path for f in found(kept)] == ["metadata/timestamp.json"]
    with monkeypatch.context() as patched:
        patched.setattr(TufRepository, "_name_versions", lambda *_: None)
        kept.renew("online", force=True, roles=("timestamp",))
    assert found(kept) == []


class TestDirectories:
    """An index of two levels."""

    @pytest.fixture
    def large(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Kept:
        """A registry whose shards are split as far as can be."""
        monkeypatch.setattr(sharding, "SPLIT_ABOVE", 100)
        kept.write_manifest("acme-notes", "1.0.0", "acme")
        kept.register(full=True)
        assert len([p for p in self.targets(kept) if p.startswith("index/")]) == 3
        assert len(self.below(kept)) == 3
        return kept

    @staticmethod
    def targets(kept: Kept) -> dict[str, Any]:
        """What the registrar's newest metadata names."""
        version = latest_version(DirTree(kept.folder), "registrar")
        raw = json.loads((kept.folder / f"metadata/{version}.registrar.json").read_bytes())
        targets: dict[str, Any] = raw["signed"]["targets"]
        return targets

    @staticmethod
    def below(kept: Kept) -> list[str]:
        """Where the shards below directories are served."""
        return [path for path in DirTree(kept.folder).paths("targets/index") if path.count("/") == 3]

    def test_a_sound_one(self, large: Kept) -> None:
        """Nothing to find, by folder and by URL."""
        assert found(large) == []
        with serve(large.folder) as url:
            tree = fetch_tree(url, large.pinned, allow_dev_keys=False)
            report = audit(tree, large.pinned, large.now, allow_dev_keys=False, complete=False)
        assert (report.findings, report.plugins, report.versions) == ((), 3, 4)

    @pytest.mark.parametrize("damage", [b"", b"{}", None])
    def test_a_shard_below_that_is_lost_or_changed(self, large: Kept, damage: bytes | None) -> None:
        """The index does not verify."""
        path = self.below(large)[0]
        if damage is None:
            (large.folder / path).unlink()
        else:
            write(large, path, damage)
        assert found(large, "metadata", path)

    def test_a_stray_beside_them(self, large: Kept) -> None:
        """In the folder of a directory, or of none."""
        folder = self.below(large)[0].rpartition("/")[0]
        for path in (f"{folder}/{'0' * 64}.0000000000.json", "targets/index/111111111/x.json"):
            write(large, path, b"{}")
        assert len(found(large, "targets/index/", "no kept metadata names it")) == 2

    def test_one_that_is_split_otherwise(self, large: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cut otherwise than it should be, it still serves hosts, but is not what follows."""
        monkeypatch.setattr(sharding, "SPLIT_ABOVE", 64 * 1024)
        assert found(large, "index/", "not what follows")
        large.register(full=True)
        assert found(large) == []

    def test_superseded_shards_are_no_strays_while_they_are_kept(self, large: Kept) -> None:
        """Hosts that read the metadata a minute ago still come for them."""
        before = self.below(large)
        large.write_manifest("calendar", "1.2.0", "acme")
        large.register()
        assert set(before) < set(self.below(large))
        assert found(large) == []


class TestCatalogue:
    """registry.json, whose additions may wait."""

    @pytest.fixture
    def patient(self, kept: Kept) -> Kept:
        """A registry whose catalogue may wait for an hour."""
        with kept.edit("targets") as desk:
            policy.set_policy(desk, {"catalogueMinutes": 60})
        kept.register()
        kept.pass_time(minutes=5)
        return kept

    def test_an_addition_may_wait(self, patient: Kept) -> None:
        """For so long, and then for the scheduled run; no longer."""
        patient.write_manifest("calendar", "1.2.0", "acme")
        before = (patient.folder / "registry.json").read_bytes()
        patient.register()
        assert (patient.folder / "registry.json").read_bytes() == before
        assert found(patient) == []
        patient.pass_time(minutes=120)
        assert [f.level for f in found(patient, "registry.json", "1 line waited")] == [Level.WARNING]
        patient.pass_time(hours=24)
        assert [f.level for f in found(patient, "registry.json", "1 line waited")] == [Level.ERROR]
        patient.register()
        assert found(patient) == []

    def test_what_is_withdrawn_may_not(self, patient: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        """A registrar that let it wait is found out, however early."""
        monkeypatch.setattr("publisher.registrar.catalogue.Showing._may_wait", lambda *_: True)
        patient.block("calendar", ">=0", "hide")
        patient.register()
        monkeypatch.undo()
        assert found(patient, "registry.json", "not what follows")

    def test_none_that_is_written_in_the_future(self, kept: Kept) -> None:
        """It would never be late."""
        kept.pass_time(days=-1)
        assert found(kept, "registry.json", "not what follows")

    def test_plain_manifests_without_a_line(self, kept: Kept) -> None:
        """Of a plugin that is hidden, or that there is none of."""
        for name in ("acme-maps", "nothing"):
            write(kept, f"plugins/{name}.json", b"{}")
        kept.block("acme-maps", ">=0", "hide")
        kept.register()
        write(kept, "plugins/acme-maps.json", b"{}")
        paths = {f.path for f in found(kept, "plugins/")}
        assert paths == {"plugins/acme-maps.json", "plugins/nothing.json"}


def test_files_in_a_folder_that_the_index_does_not_name(kept: Kept) -> None:
    """Whether plain or fanned out, only the folder that the index names counts."""
    folder = plugin_folder("calendar", fan_out=True)
    original = (kept.folder / MANIFEST).read_bytes()
    write(kept, f"{folder}/1.0.0/manifest.json", original)
    write(kept, f"{folder}.json", original)
    write(kept, "plugins/_zz/calendar/1.0.0/manifest.json", original)
    paths = {f.path for f in found(kept, "plugins/", "belongs to no published version")}
    assert paths == {
        f"{folder}/1.0.0/manifest.json",
        f"{folder}.json",
        "plugins/_zz/calendar/1.0.0/manifest.json",
    }


@pytest.mark.parametrize(
    "data", [b"[]", b"3", b'{"artifacts": 3}', b'{"artifacts": [1]}', b'{"artifacts": [{}]}', b"[" * 9000]
)
def test_rubbish_in_a_manifests_place(kept: Kept, data: bytes) -> None:
    """Is named as changed, whatever it is; its artifacts are nobody's for now."""
    write(kept, MANIFEST, data)
    assert found(kept, MANIFEST, "was changed after publishing")


def break_everything(kept: Kept) -> None:
    """Every kind of damage to a version at once, in a registry whose index lies too."""
    for number in range(12):
        kept.write_manifest("acme-many", f"1.{number}.0", "acme")
    kept.new_key("globex")
    key = kept.signer("globex").public_key
    kept.register()
    kept.write_release("acme-many", "1.9.0", "acme", Change(ReleaseStatus.YANKED, reason="bad"))
    kept.register()
    sign_rows(kept, "acme-many", "1.1.0", lambda row: row.update(initialStatus="draft"))
    sign_rows(kept, "acme-many", "1.2.0", lambda row: row.update(publisher="nobody"))
    sign_rows(kept, "acme-many", "1.3.0", lambda row: row["manifest"].update(size=1))
    sign_rows(kept, "acme-many", "1.9.0", lambda row: row["release"].update(status="released"))
    quarantine = {"cause": "manual", "reason": "for now", "since": "2030-01-01T00:00:00Z"}
    sign_rows(kept, "acme-many", "1.10.0", lambda row: row.update(quarantined=quarantine))
    sign_rows(kept, "acme-many", "1.11.0", lambda row: row.update(removed="lost"))
    write(kept, "plugins/acme-many/1.4.0/manifest.json", b"{}")
    (kept.folder / "plugins/acme-many/1.5.0/manifest.json").unlink()
    (kept.folder / "plugins/acme-many/1.9.0/release.json").unlink()
    write(kept, PLACE, b"other")
    write(kept, "plugins/acme-many/1.6.0/note.txt", b"")
    write(kept, "registry.json", b"{}")
    with kept.edit("targets") as desk:
        policy.add_key(desk, "acme", key.keyid, public_key_object(key))
        policy.revoke_key(desk, "acme", kept.keyid("acme"), "stolen")


@pytest.mark.parametrize("jobs", [2, 3])
def test_several_processes_find_the_same(kept: Kept, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """The same findings in the same order as one, on a registry with every kind of damage, and on a sound one."""
    monkeypatch.setattr(verdicts, "CHUNK", 1)

    def report(jobs: int) -> Report:
        return audit(DirTree(kept.folder), kept.pinned, kept.now, allow_dev_keys=False, jobs=jobs)

    for number in range(5):
        kept.write_manifest("acme-more", f"1.{number}.0", "acme")
    kept.register()
    assert report(jobs) == report(1)
    assert report(jobs).findings == ()
    break_everything(kept)
    alone = report(1)
    assert len({f.message for f in alone.findings}) > 12
    assert report(jobs) == alone


def test_the_grace_is_longer_than_schedules() -> None:
    """A registrar that runs every 15 minutes, and is skipped now and then, has written the catalogue before it is an error."""
    assert derived.CATCHES_UP.total_seconds() >= 24 * 15 * 60
