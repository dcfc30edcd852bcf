"""`publisher registry import`: from a release of a plugin's repository to a version that hosts read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, manifest, release, sign
from support.github.records import Fault
from support.hub import JOB_TOKEN, PUSH_TOKEN, Hub, open_hub
from support.world import git

from publisher.github.release_offer import MANIFEST_ASSET, RELEASE_ASSET
from publisher.importer.cache import CACHE_LIMIT, Cache, load_cache
from publisher.registrar.submission import Result
from publisher.set_status import Change
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPOSITORY = "acme/calendar"
PLUGIN = "acme-calendar"
ACME, GLOBEX = ed25519("acme-1"), ed25519("globex-1")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """A registry that lists acme/calendar as a repository of publisher acme."""
    with open_hub(tmp_path, monkeypatch, capsys) as opened:
        opened.repository(REPOSITORY, "acme")
        yield opened


def signed(*signers: Any, **change: Any) -> bytes:
    """A manifest's bytes."""
    return dump_json(sign(manifest(**{"id": PLUGIN, "version": "1.0.0", **change}), *(signers or (ACME,))))


def test_from_a_release_to_hosts(hub: Hub) -> None:
    """Published with no secret of the registry's, imported, registered, read; then everything is quiet."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    assert hub.tokens[REPOSITORY] in hub.double.tokens_seen
    ran = hub.run_import()
    assert (ran.code, ran.results()) == (0, [("v1.0.0", "imported")])
    assert hub.refs() == [ran.json["items"][0]["ref"]]
    (event,) = hub.double.dispatches
    assert (event.event_type, event.client_payload["id"]) == ("plugin-published", PLUGIN)
    assert [outcome.result for outcome in hub.register().outcomes] == [Result.PUBLISHED]
    assert hub.versions(PLUGIN) == ["1.0.0"]
    again = hub.run_import()
    assert (again.code, again.results(), hub.refs()) == (0, [], [])
    assert len(hub.double.dispatches) == 1


def test_what_is_offered_waits(hub: Hub) -> None:
    """A second run before the registrar's pushes nothing, and forgets nothing."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import()
    again = hub.run_import()
    assert again.results() == [("v1.0.0", "waiting for the registrar")]
    assert len(hub.refs()) == 1


def test_the_very_bytes_are_imported(hub: Hub) -> None:
    """The manifest on main is, byte for byte, the one on the release."""
    data = signed()
    hub.release(REPOSITORY, "v1", {MANIFEST_ASSET: data})
    hub.run_import()
    hub.register()
    assert hub.main_files()[f"plugins/{PLUGIN}/1.0.0/manifest.json"] == data


def test_a_staged_start_and_a_later_status(hub: Hub) -> None:
    """The status goes along with the manifest; a later one replaces it on the release, and is imported alone."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0", change=Change(ReleaseStatus.STAGED, rollout=10))
    assert hub.run_import().results() == [("v1.0.0", "imported")]
    hub.register()
    (info,) = hub.client().versions(PLUGIN)
    assert (info.standing.status, info.standing.rollout) == ("staged", 10)
    hub.run_import()
    destination = hub.offer(REPOSITORY, "v1.0.0")
    hub.world.tick(hours=1)
    hub.world.set_status(PLUGIN, "1.0.0", "released", to=destination, rollout=100)
    ran = hub.run_import()
    assert ran.results() == [("v1.0.0", "imported")]
    assert [outcome.result for outcome in hub.register().outcomes] == [Result.RELEASED]
    (info,) = hub.client().versions(PLUGIN)
    assert (info.standing.status, info.standing.rollout) == ("released", 100)
    assert hub.run_import().results() == []


def test_a_status_on_a_release_of_its_own(hub: Hub) -> None:
    """Where releases are immutable, a status comes on another release: first it is too early, then it is taken."""
    document = json.loads(signed())
    status = dump_json(sign(release(document, status="yanked", reason="loses events"), ACME))
    hub.release(REPOSITORY, "yank-1", {RELEASE_ASSET: status})
    assert hub.run_import().results() == [("yank-1", "later")]
    hub.release(REPOSITORY, "v1", {MANIFEST_ASSET: dump_json(document)})
    hub.run_import()
    hub.register()
    assert hub.run_import().results() == [("yank-1", "imported")]
    hub.register()
    (info,) = hub.client().versions(PLUGIN)
    assert info.standing.status == "yanked"


def test_a_renamed_repository_is_followed(hub: Hub) -> None:
    """By its number: its releases count under the new name, with a cache that knows the old one."""
    hub.run_import()
    hub.double.rename(REPOSITORY, "acme-labs/agenda")
    hub.double.add_token("new", "bot", {"acme-labs/agenda": {"contents": "write"}})
    hub.tokens["acme-labs/agenda"] = "new"
    hub.publish("acme-labs/agenda", PLUGIN, "1.0.0")
    ran = hub.run_import()
    assert [(item["repository"], item["result"]) for item in ran.json["items"]] == [
        ("acme-labs/agenda", "imported")
    ]


@pytest.mark.parametrize("cached", [True, False])
def test_a_recreated_repository_is_not_followed(hub: Hub, cached: bool) -> None:
    """Whoever takes an old name has another number: nothing there is looked at, whatever it holds."""
    hub.run_import(cached=cached)
    hub.double.recreate(REPOSITORY)
    hub.double.seed(REPOSITORY, {"README.md": "another"})
    hub.double.add_token("taker", "taker", {REPOSITORY: {"contents": "write"}})
    hub.tokens[REPOSITORY] = "taker"
    hub.release(REPOSITORY, "v1", {MANIFEST_ASSET: signed()})
    hub.asked()
    ran = hub.run_import(cached=cached)
    assert ran.code == 0
    assert [item["result"] for item in ran.json["items"]] == ["vanished"]
    assert not [line for line in hub.asked() if "releases" in line]
    assert hub.refs() == []


def test_a_vanished_repository_does_not_stop_the_others(hub: Hub) -> None:
    """Its number is named with its publisher, and the next repository is looked at."""
    hub.list_repository("globex", 999)
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    ran = hub.run_import()
    assert sorted(ran.results()) == [("repository 999", "vanished"), ("v1.0.0", "imported")]
    (gone,) = [item for item in ran.json["items"] if item["result"] == "vanished"]
    assert "globex" in gone["message"]
    assert ran.code == 0


def _changed(data: bytes) -> bytes:
    return data.replace(b"Calendar", b"Kalendar")


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "another publisher's key": ({MANIFEST_ASSET: signed(GLOBEX)}, "is not a key of this publisher"),
    "another publisher's plugin": (
        {MANIFEST_ASSET: signed(GLOBEX, id="globex-x")},
        "a plugin of publisher 'globex'",
    ),
    "nobody's plugin": ({MANIFEST_ASSET: signed(id="nobodys")}, "no publisher's plugin"),
    "no signature": ({MANIFEST_ASSET: dump_json(manifest(id=PLUGIN, signatures=[]))}, "signatures"),
    "changed after signing": ({MANIFEST_ASSET: _changed(signed())}, "does not verify"),
    "too large": ({MANIFEST_ASSET: signed() + b" " * MANIFEST_LIMIT}, "at most 262144 are allowed"),
    "not JSON": ({MANIFEST_ASSET: b"{"}, "is not JSON"),
    "deep": ({MANIFEST_ASSET: b'{"a":' * 5000 + b"1" + b"}" * 5000}, "nested"),
    "breaks a rule": (
        {MANIFEST_ASSET: signed(requires={"packages": ["not a requirement !!"]})},
        "problem",
    ),
    "an archive that is not there": (
        {
            MANIFEST_ASSET: signed(
                ui=None,
                artifacts=[
                    {
                        "ecosystem": "custom",
                        "url": f"artifacts/sha256/{'0' * 64}/x.zip",
                        "digest": f"sha256:{'0' * 64}",
                        "size": 3,
                    }
                ],
            )
        },
        "is not in the registry",
    ),
    "a status of another version": (
        {
            MANIFEST_ASSET: signed(),
            RELEASE_ASSET: dump_json(sign(release(json.loads(signed(version="2.0.0"))), ACME)),
        },
        "stands beside the manifest of",
    ),
    "a status for another registry": (
        {
            MANIFEST_ASSET: signed(),
            RELEASE_ASSET: dump_json(sign(release(json.loads(signed()), registry="other"), ACME)),
        },
        "is for registry 'other'",
    ),
}


def test_rubbish_is_refused_and_stops_nothing(hub: Hub) -> None:
    """What is wrong is said with repository, release and reason; exit code 9; a good release goes on; once is enough."""
    tags = {f"bad-{number}": name for number, name in enumerate(BAD)}
    for tag, name in tags.items():
        hub.release(REPOSITORY, tag, BAD[name][0])
    hub.publish(REPOSITORY, PLUGIN, "3.0.0")
    ran = hub.run_import()
    assert ran.code == 9
    assert sorted(ran.results()) == sorted([("v3.0.0", "imported"), *((tag, "refused") for tag in tags)])
    for item in ran.json["items"]:
        if item["result"] == "refused":
            assert BAD[tags[item["tag"]]][1] in item["message"], item
            assert item["repository"] == REPOSITORY
    hub.register()
    assert hub.versions(PLUGIN) == ["3.0.0"]
    again = hub.run_import()
    assert (again.code, again.results()) == (0, [])


def test_other_content_under_a_published_version_is_refused(hub: Hub) -> None:
    """A release made anew with other bytes changes nothing, and is named."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import()
    hub.register()
    before = hub.main_files()
    releases = hub.double.repository(REPOSITORY).releases
    releases.clear()
    hub.release(REPOSITORY, "v1.0.0", {MANIFEST_ASSET: signed(name="Other")})
    ran = hub.run_import()
    assert (ran.code, ran.results()) == (9, [("v1.0.0", "refused")])
    assert "published already, with other content" in ran.json["items"][0]["message"]
    assert (hub.refs(), hub.main_files()) == ([], before)


def test_what_was_refused_is_judged_anew_when_the_maintainers_change_something(hub: Hub) -> None:
    """A repository that is entered for a second publisher may offer that one's plugins too."""
    hub.release(REPOSITORY, "v1", {MANIFEST_ASSET: signed(GLOBEX, id="globex-x")})
    assert hub.run_import().results() == [("v1", "refused")]
    assert hub.run_import().results() == []
    hub.list_repository("globex", hub.double.repository(REPOSITORY).id)
    assert hub.run_import().results() == [("v1", "imported")]


def test_drafts_and_other_releases_are_passed_over(hub: Hub) -> None:
    """A draft offers nothing, nor does a release without our documents."""
    hub.release(REPOSITORY, "draft", {MANIFEST_ASSET: signed()}, draft=True)
    hub.release(REPOSITORY, "other", {"notes.txt": b"hello"})
    ran = hub.run_import()
    assert (ran.code, ran.results(), hub.refs()) == (0, [], [])


def test_nothing_new_costs_nothing(hub: Hub) -> None:
    """Two conditional requests a repository, both answered 304, which count against no limit; no download."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import()
    hub.register()
    hub.run_import()
    used = hub.double.tokens[JOB_TOKEN].used
    hub.asked()
    ran = hub.run_import()
    number = hub.double.repository(REPOSITORY).id
    assert hub.asked() == [f"GET /repositories/{number}", f"GET /repos/{REPOSITORY}/releases"]
    assert hub.double.tokens[JOB_TOKEN].used == used
    assert (ran.json["repositories"], ran.json["unchanged"]) == (1, 1)


def test_what_the_index_has_is_not_downloaded(hub: Hub) -> None:
    """Without a cache, the digest that GitHub reports says that there is nothing to fetch."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import(cached=False)
    hub.register()
    hub.asked()
    assert hub.run_import(cached=False).results() == []
    assert not [line for line in hub.asked() if "download" in line]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind":"import-cache","schemaVersion":2}',
        b'{"kind":"import-cache","schemaVersion":1,"repositories":{"x":{}}}',
        b'{"kind":"import-cache","schemaVersion":1,"repositories":{"1":{"name":"../../etc"}}}',
        b'{"kind":"import-cache","schemaVersion":1,"repositories":{"1":{"polled":-1}}}',
        b"\xff" * 100,
        b'{"a":' * 9000,
    ],
    ids=lambda content: content[:70].decode(errors="replace"),
)
def test_a_broken_cache_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with it, it is an empty one and a warning."""
    path = tmp_path / "cache"
    path.write_bytes(content)
    assert load_cache(path) == (
        Cache(),
        f"{path}: is not a cache of the importer, so everything is asked for anew",
    )


def test_a_broken_cache_is_replaced(hub: Hub) -> None:
    """It is said, everything is asked for anew, and a good one is written."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.cache.write_bytes(b"{")
    ran = hub.run_import()
    assert (ran.code, ran.results()) == (0, [("v1.0.0", "imported")])
    assert "is not a cache" in ran.said
    assert load_cache(hub.cache)[0].repositories


def test_a_cache_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Nor is one that is a folder, or absent; only the last of these goes without saying."""
    path = tmp_path / "cache"
    with path.open("wb") as file:
        file.truncate(CACHE_LIMIT * 4)
    assert load_cache(path) == (
        Cache(),
        f"{path}: is not a cache of the importer, so everything is asked for anew",
    )
    assert load_cache(tmp_path)[1]
    assert load_cache(tmp_path / "absent") == (Cache(), "")


def test_a_lost_cache_loses_nothing(hub: Hub) -> None:
    """Deleted between two runs: no version twice, none forgotten."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import()
    hub.register()
    hub.run_import()
    hub.cache.unlink()
    hub.publish(REPOSITORY, PLUGIN, "1.1.0")
    assert hub.run_import().results() == [("v1.1.0", "imported")]
    hub.register()
    assert hub.versions(PLUGIN) == ["1.0.0", "1.1.0"]


def test_a_run_that_dies_before_pushing_loses_nothing(hub: Hub) -> None:
    """The registry takes no push: what was listed is not remembered as done, and the next run offers it."""
    hub.run_import()
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    died = hub.run_import(PLUGIN_REGISTRY_TOKEN="wrong-token-123456")
    assert died.code == 9
    assert hub.refs() == []
    assert hub.run_import().results() == [("v1.0.0", "imported")]


def test_a_ref_that_gets_lost_is_offered_again(hub: Hub) -> None:
    """Until the index has it, a version is not done; but not for ever, as the registrar may have refused it."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    for _ in range(3):
        ran = hub.run_import()
        assert ran.results() == [("v1.0.0", "imported")]
        _delete_refs(hub)
    last = hub.run_import()
    assert (last.code, last.results()) == (9, [("v1.0.0", "refused")])
    assert "offered 3 times" in last.json["items"][0]["message"]
    assert hub.run_import().results() == []


def _delete_refs(hub: Hub) -> None:
    for ref in hub.refs():
        git(hub.bare, "update-ref", "-d", f"refs/heads/{ref}")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/releases/download/", "HTTP 503"),
        (r"/repos/acme/calendar/releases\?", "not JSON"),
    ],
)
def test_a_fault_is_for_later(hub: Hub, path: str, message: str) -> None:
    """What cannot be had now is not remembered as done, and is no refusal."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import("--dry-run")
    status = 503 if "download" in path else 200
    hub.double.faults.append(Fault("GET", path, status=status, body=b"{", times=1))
    ran = hub.run_import()
    assert (ran.code, [item["result"] for item in ran.json["items"]]) == (0, ["later"])
    assert message in ran.json["items"][0]["message"]
    assert hub.run_import().results() == [("v1.0.0", "imported")]


def test_a_download_that_is_not_what_github_reports(hub: Hub) -> None:
    """Other bytes than the reported digest are for later, whoever has signed them."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.double.faults.append(Fault("GET", "/releases/download/", status=200, body=signed(version="6.6.6")))
    ran = hub.run_import()
    assert ran.results() == [("v1.0.0", "later")]
    assert "but GitHub reports" in ran.json["items"][0]["message"]
    assert hub.refs() == []


def test_a_dry_run_changes_nothing(hub: Hub) -> None:
    """It says what would be offered; no ref, no event, no cache."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    ran = hub.run_import("--dry-run")
    assert (ran.json["dryRun"], ran.results()) == (True, [("v1.0.0", "would be imported")])
    assert (hub.refs(), hub.double.dispatches, hub.cache.exists()) == ([], [], False)


def test_the_registrar_is_told_or_a_warning_given(hub: Hub) -> None:
    """An event that fails is a warning: the registrar runs by itself too."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.double.faults.append(Fault("POST", "/dispatches", status=403, body={"message": "no"}))
    ran = hub.run_import()
    assert (ran.code, ran.results()) == (0, [("v1.0.0", "imported")])
    assert "registrar was not told" in ran.said


def test_without_a_token_for_the_api(hub: Hub) -> None:
    """Public repositories are read without one; no event then."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    ran = hub.run_import(GITHUB_TOKEN="")
    assert (ran.code, ran.results()) == (0, [("v1.0.0", "imported")])
    assert hub.double.dispatches == []


def test_a_wrong_token_is_an_error(hub: Hub) -> None:
    """Not a list of repositories that could not be had."""
    ran = hub.run_import(GITHUB_TOKEN="wrong-token-123456")
    assert ran.code == 9
    assert "token is not valid" in ran.said
    assert "wrong-token" not in ran.said


def test_the_rate_limit_is_kept_and_every_repository_has_its_turn(hub: Hub) -> None:
    """A run ends before it has used everything up; the next begins with those that were not looked at for longest."""
    names = [f"acme/plugin-{number}" for number in range(4)]
    for number, name in enumerate(names):
        hub.repository(name, "acme")
        hub.publish(name, f"acme-p{number}", "1.0.0")
    token = hub.double.tokens[JOB_TOKEN]
    imported: list[str] = []
    for _ in range(8):
        token.used = token.limit - 28
        ran = hub.run_import("--summary", str(hub.here / "summary.md"))
        imported += [item["id"] for item in ran.json["items"] if item["result"] == "imported"]
        hub.world.tick(minutes=15)
    assert sorted(imported) == [f"acme-p{number}" for number in range(4)]
    assert "left for the next run" in (hub.here / "summary.md").read_text()


def test_credentials_go_where_they_belong(hub: Hub) -> None:
    """The API sees the job's token, Git the push token; downloads see none, and no output either."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.double.requests.clear()
    ran = hub.run_import()
    downloads = [
        each for each in hub.double.requests if "/releases/download/" in each.path or "/storage/" in each.path
    ]
    assert downloads
    assert {each.token for each in downloads} == {""}
    assert {each.token for each in hub.double.requests if each not in downloads} == {JOB_TOKEN}
    assert set(hub.host.passwords) == {PUSH_TOKEN}
    for secret in (JOB_TOKEN, PUSH_TOKEN):
        assert secret not in ran.said + hub.cache.read_text()


def test_strangers_text_in_the_summary(hub: Hub) -> None:
    """Names from a release open no link and no HTML."""
    data = dump_json(manifest(id="<b>x</b>", signatures=[]))
    hub.release(REPOSITORY, "v1", {MANIFEST_ASSET: data})
    summary = hub.here / "summary.md"
    hub.run_import("--summary", str(summary))
    text = summary.read_text()
    assert "**refused**" in text
    assert "<b>" not in text


def test_the_same_content_with_another_signature(hub: Hub) -> None:
    """A signature that the published manifest lacks is offered; the same ones again are not."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    hub.run_import()
    hub.register()
    document = json.loads(hub.main_files()[f"plugins/{PLUGIN}/1.0.0/manifest.json"])
    respaced = json.dumps(document).encode()
    assert payload_digest_of(json.loads(respaced)) == payload_digest_of(document)
    hub.release(REPOSITORY, "again", {MANIFEST_ASSET: respaced})
    ran = hub.run_import()
    assert (ran.code, ran.results(), hub.refs()) == (0, [], [])


def test_an_upload_that_has_not_ended_is_for_later(hub: Hub) -> None:
    """A manifest whose last bytes are on their way is looked at again on the next run."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    listed = hub.api().get(f"/repos/{REPOSITORY}/releases")
    listed[0]["assets"][0] |= {"state": "starter", "digest": None}
    hub.double.faults.append(Fault("GET", r"/repos/acme/calendar/releases\?", status=200, body=listed))
    assert hub.run_import().results() == [("v1.0.0", "later")]
    assert hub.run_import().results() == [("v1.0.0", "imported")]


def test_one_manifest_on_two_releases_and_two_publishers_of_one_repository(hub: Hub) -> None:
    """One ref for the same bytes; plugins of each publisher that lists the repository."""
    hub.list_repository("globex", hub.double.repository(REPOSITORY).id)
    hub.release(REPOSITORY, "one", {MANIFEST_ASSET: signed()})
    hub.release(REPOSITORY, "two", {MANIFEST_ASSET: signed()})
    hub.release(REPOSITORY, "x", {MANIFEST_ASSET: signed(GLOBEX, id="globex-x")})
    ran = hub.run_import()
    assert sorted(result for _, result in ran.results()) == [
        "imported",
        "imported",
        "waiting for the registrar",
    ]
    assert len(hub.refs()) == 2


def test_what_a_person_reads(hub: Hub) -> None:
    """Without --json: a line for each release with the reason below it, and a line on all of it."""
    hub.release(REPOSITORY, "bad", {MANIFEST_ASSET: signed(GLOBEX)})
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    ran = hub.run("registry", "import", str(hub.bare))
    assert ran.code == 9
    assert f"{REPOSITORY}, release v1.0.0: {PLUGIN} 1.0.0 imported" in ran.out
    assert f"{REPOSITORY}, release bad: refused\n  {REPOSITORY}, release bad: manifest: 0 of 1" in ran.out
    assert "1 repository looked at, 0 unchanged; 1 imported, 1 refused" in ran.out
    assert "no --root-digest was given" in ran.err


def test_a_wrong_root_is_refused(hub: Hub) -> None:
    """With a pinned root, a replaced registry imports nothing."""
    ran = hub.run_import("--root-digest", f"sha256:{'0' * 64}")
    assert ran.code == 3
    assert "is pinned" in ran.said
