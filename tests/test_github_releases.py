"""Files on releases: uploaded once, held against what GitHub reports, never replaced; and what `--import` puts there."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.github.records import Fault
from support.github.server import github_double
from support.httpd import FaultServer
from support.hub import Hub, open_hub

from publisher.github.api import Api
from publisher.github.assets import check_asset_names
from publisher.github.release_offer import MANIFEST_ASSET, RELEASE_ASSET
from publisher.github.releases import asset_url_template, find_release, upload
from publisher.offer import Offer
from publisher.registrar.submission import Result
from publisher.set_status import Change
from publisher.source_model import fill_url
from registry_client.digest import Digest
from registry_client.errors import ConfigError, GitHubError, PublishError, VersionExistsError
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.github.records import Release
    from support.github.state import Double

REPOSITORY = "acme/calendar"
PLUGIN = "acme-calendar"
TOKEN = "job-token-0123456789"
TAG = "v1.0.0"
DATA = b"a packed plugin" * 100
FILES = {"calendar-1.0.0.zip": DATA, "calendar-1.0.0.tar.gz": DATA * 2}
NAME = "calendar-1.0.0.zip"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    """GitHub with one plugin's repository."""
    with github_double(tmp_path / "hub") as served:
        served.seed(REPOSITORY, {"README.md": "a plugin"})
        served.add_token(TOKEN, "bot", {REPOSITORY: {"contents": "write"}}, app=True)
        yield served


@pytest.fixture
def api(double: Double) -> Api:
    """Its API, as a job of that repository sees it."""
    return Api(TOKEN, double.api)


def published(api: Api, tag: str = TAG) -> dict[str, Any]:
    """A release without files, as its author made it; GitHub's answer."""
    made: dict[str, Any] = api.post(f"/repos/{REPOSITORY}/releases", {"tag_name": tag})
    return made


def the_release(double: Double) -> Release:
    """The one release there is."""
    (release,) = double.repository(REPOSITORY).releases.values()
    return release


def stored(double: Double) -> dict[str, bytes]:
    """Its files."""
    return {asset.name: asset.content for asset in the_release(double).assets.values()}


def uploads(double: Double) -> int:
    """How many uploads were asked for."""
    return sum(each.method == "POST" and each.path.startswith("/uploads/") for each in double.requests)


def answers(api: Api, double: Double, change: Any, path: str = f"/releases/tags/{TAG}") -> None:
    """Let GitHub's next answer about the release be what it is, changed."""
    raw = copy.deepcopy(api.get(f"/repos/{REPOSITORY}/releases/tags/{TAG}"))
    change(raw)
    double.faults.append(Fault("GET", path, status=200, body=raw))


def test_a_release_is_made_where_there_is_none(api: Api, double: Double) -> None:
    """For the tag, as a draft until all files are there, and everyone can download them then."""
    commit = double.seed(REPOSITORY, {"a": "newer"})
    assets = upload(api, REPOSITORY, TAG, FILES, target=commit)
    assert [asset.digest for asset in assets] == [Digest.of(data) for data in FILES.values()]
    assert [asset.name for asset in assets] == list(FILES)
    assert stored(double) == FILES
    release = the_release(double)
    assert (release.tag, release.draft, release.target) == (TAG, False, commit)
    order = [each.method for each in double.requests if each.method != "GET"]
    assert order == ["POST", "POST", "POST", "PATCH"]


def test_an_existing_release_gets_the_files(api: Api, double: Double) -> None:
    """Its text and state stay."""
    published(api)
    upload(api, REPOSITORY, TAG, FILES)
    assert stored(double) == FILES


def test_again_is_a_no_op(api: Api, double: Double) -> None:
    """The same bytes are left alone: nothing but a look at the release."""
    first = upload(api, REPOSITORY, TAG, FILES)
    double.requests.clear()
    assert upload(api, REPOSITORY, TAG, FILES) == first
    assert [each.method for each in double.requests] == ["GET"]


def test_other_bytes_under_a_name_are_refused_before_anything_is_uploaded(api: Api, double: Double) -> None:
    """The asset is named, with the way out; the other file does not go up either."""
    upload(api, REPOSITORY, TAG, {NAME: DATA})
    double.requests.clear()
    with pytest.raises(VersionExistsError, match=NAME) as caught:
        upload(api, REPOSITORY, TAG, {"new.zip": b"new", NAME: b"other"})
    assert "new version" in caught.value.hint
    assert (uploads(double), stored(double)) == (0, {NAME: DATA})


def test_a_digest_that_github_reports_otherwise(api: Api, double: Double) -> None:
    """What GitHub did not keep as it was is deleted and uploaded once more."""
    release = published(api)
    last = double.next_id()
    wrong = _asset(last + 1, NAME, digest="sha256:" + "0" * 64)
    double.faults.append(Fault("POST", "/assets", status=201, body=wrong, after=True))
    upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert (uploads(double), stored(double)) == (2, {NAME: DATA})
    assert find_release(api, REPOSITORY, TAG) is not None
    assert release["tag_name"] == TAG


def test_a_digest_that_is_wrong_twice_is_an_error(api: Api, double: Double) -> None:
    """And nothing is left behind under that name."""
    published(api)
    last = double.next_id()
    for number in (1, 2):
        body = _asset(last + number, NAME, digest="sha256:" + "0" * 64)
        double.faults.append(Fault("POST", "/assets", status=201, body=body, after=True))
    with pytest.raises(PublishError, match="not as it was uploaded"):
        upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert (uploads(double), stored(double)) == (2, {})


def test_a_name_that_github_changes_is_noticed(api: Api, double: Double) -> None:
    """If it stores a file under another name after all, that file goes, and it is an error."""
    published(api)
    last = double.next_id()
    for number in (1, 2):
        body = _asset(last + number, "default.zip", digest=Digest.of(DATA))
        double.faults.append(Fault("POST", "/assets", status=201, body=body, after=True))
    with pytest.raises(PublishError, match=r"stored it as 'default\.zip'"):
        upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert stored(double) == {}


def _asset(number: int, name: str, **change: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "state": "uploaded",
        "size": len(DATA),
        "digest": None,
        "browser_download_url": "http://127.0.0.1:9/",
        **change,
    }


def test_a_partial_upload_is_replaced(api: Api, double: Double) -> None:
    """What an upload that broke off has left is deleted, and the file is uploaded."""
    published(api)
    upload(api, REPOSITORY, TAG, {NAME: DATA[:10]})

    def unfinished(raw: dict[str, Any]) -> None:
        raw["assets"][0] |= {"state": "starter", "digest": None, "size": 0}

    answers(api, double, unfinished)
    upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert stored(double) == {NAME: DATA}


def test_an_answer_that_gets_lost(api: Api, double: Double) -> None:
    """The upload worked, its answer is a 502: that the file is there is found out, and it is not uploaded twice."""
    published(api)
    double.faults.append(Fault("POST", "/assets", status=502, after=True))
    (asset,) = upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert (asset.digest, stored(double)) == (Digest.of(DATA), {NAME: DATA})
    assert len(the_release(double).assets) == 1


def test_a_refused_upload_is_an_error(api: Api, double: Double) -> None:
    """A token that may not write is not tried again."""
    published(api)
    double.faults.append(Fault("POST", "/assets", status=403, body={"message": "no"}))
    with pytest.raises(GitHubError, match="403"):
        upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert uploads(double) == 1


def test_without_a_reported_digest_the_file_is_downloaded(api: Api, double: Double) -> None:
    """As older versions of GitHub Enterprise report none; other bytes are then found out too."""
    upload(api, REPOSITORY, TAG, {NAME: DATA})

    def silent(raw: dict[str, Any]) -> None:
        raw["assets"][0]["digest"] = None

    answers(api, double, silent)
    double.requests.clear()
    upload(api, REPOSITORY, TAG, {NAME: DATA})
    downloads = [each for each in double.requests if "/releases/download/" in each.path]
    assert [each.token for each in downloads] == [""]
    answers(api, double, silent)
    with pytest.raises(VersionExistsError):
        upload(api, REPOSITORY, TAG, {NAME: DATA[::-1]})


def test_an_immutable_release(api: Api, double: Double) -> None:
    """It takes no file, and what helps is said; what it has already is fine."""
    upload(api, REPOSITORY, TAG, {NAME: DATA})

    def immutable(raw: dict[str, Any]) -> None:
        raw["immutable"] = True

    answers(api, double, immutable)
    with pytest.raises(PublishError, match="immutable") as caught:
        upload(api, REPOSITORY, TAG, FILES)
    assert "draft" in caught.value.hint
    answers(api, double, immutable)
    upload(api, REPOSITORY, TAG, {NAME: DATA})


def test_somebodys_draft_stays_one_unless_asked(api: Api, double: Double) -> None:
    """It is found by its tag in the list, gets the files, and is published only if that is wanted."""
    api.post(f"/repos/{REPOSITORY}/releases", {"tag_name": TAG, "draft": True, "body": "notes"})
    upload(api, REPOSITORY, TAG, {NAME: DATA})
    assert (the_release(double).draft, stored(double)) == (True, {NAME: DATA})
    upload(api, REPOSITORY, TAG, FILES, publish=True)
    assert (the_release(double).draft, stored(double)) == (False, FILES)
    assert the_release(double).body == "notes"


def test_a_draft_of_ours_goes_on_where_it_broke_off(api: Api, double: Double) -> None:
    """A run that died after some files is completed by the next, in the same release."""
    upload(api, REPOSITORY, TAG, {NAME: DATA}, publish=False)
    assert the_release(double).draft
    upload(api, REPOSITORY, TAG, FILES)
    assert (the_release(double).draft, stored(double)) == (False, FILES)


@pytest.mark.parametrize(
    "name",
    ["a b.zip", "ä.zip", ".hidden", "end.", "a..b", "a/b", "a\\b", "a~b", "", "x" * 201, "a\n", "a?b", "a%b"],
)
def test_names_that_github_would_change(api: Api, double: Double, name: str) -> None:
    """Refused before anything is asked or uploaded: the signed URL would lead nowhere."""
    with pytest.raises(ConfigError, match="cannot be the name"):
        upload(api, REPOSITORY, TAG, {NAME: DATA, name: DATA})
    assert double.requests == []


def test_names_that_github_keeps(api: Api, double: Double) -> None:
    """Good names come back from GitHub as they are; two that differ in letter case only do not go together."""
    names = ["a.zip", "a_b-c+d.tar.gz", "A", "1.2.3", "-x_"]
    upload(api, REPOSITORY, TAG, {name: name.encode() for name in names})
    assert set(stored(double)) == set(names)
    with pytest.raises(ConfigError, match="letter case"):
        check_asset_names(["a.zip", "A.zip"])


@pytest.mark.parametrize(
    ("tag", "url"),
    [
        ("v1.0.0", "https://github.com/acme/x/releases/download/v1.0.0/a.zip"),
        ("app/v1", "https://github.com/acme/x/releases/download/app%2Fv1/a.zip"),
        ("{id}#?", "https://github.com/acme/x/releases/download/%7Bid%7D%23%3F/a.zip"),
    ],
)
def test_the_url_of_an_asset(tag: str, url: str) -> None:
    """Whatever the tag, only the file name is filled in."""
    template = asset_url_template("https://github.com/", "acme/x", tag)
    assert fill_url(template, plugin_id="p", version="1.0.0", name="a.zip") == url


@pytest.mark.parametrize("raw", [[], "x", {"id": 1}, {"id": "x", "tag_name": 1, "draft": 0}])
def test_what_github_answers_otherwise_is_an_error(api: Api, double: Double, raw: Any) -> None:
    """Not a traceback."""
    double.faults.append(Fault("GET", "/releases/tags/", status=200, body=raw))
    with pytest.raises(GitHubError):
        upload(api, REPOSITORY, TAG, {NAME: DATA})


# -- publishing with release assets, to the end ---------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """A registry that lists acme/calendar as a repository of publisher acme."""
    with open_hub(tmp_path, monkeypatch, capsys) as opened:
        opened.repository(REPOSITORY, "acme")
        yield opened


def _key() -> str:
    """The PEM of publisher acme's key."""
    seed = hashlib.sha256(b"test key acme-1").digest()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _publish(hub: Hub, *arguments: str) -> Any:
    source = hub.world.write_source(
        PLUGIN,
        "1.0.0",
        {"calendar/__init__.py": b"print('hello')\n"},
        artifacts=[{"ecosystem": "python", "pack": "calendar"}],
    )
    environ = {
        "GITHUB_SERVER_URL": hub.double.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": hub.tokens[REPOSITORY],
        "PLUGIN_REGISTRY_KEY": _key(),
    }
    if "--import" in arguments:
        environ["PLUGIN_REGISTRY_TOKEN"] = ""
    return hub.run("publish", str(source), *arguments, "--json", **environ)


@pytest.mark.parametrize("way", ["push", "import"])
def test_a_client_downloads_what_the_release_holds(hub: Hub, way: str) -> None:
    """Published by push or by import; registered; a client on another machine gets the archive from the release, and verifies it."""
    to = (
        ["--to", hub.remote, "--artifacts", "release"]
        if way == "push"
        else ["--to", "acme/registry", "--import"]
    )
    ran = _publish(hub, *to)
    assert ran.code == 0, ran.said
    if way == "import":
        assert hub.refs() == []
        assert hub.run_import().results() == [(TAG, "imported")]
    assert [outcome.result for outcome in hub.register().outcomes] == [Result.PUBLISHED]
    files = hub.main_files()
    with FaultServer(files.get) as server:
        client = hub.world.client("http-host", url=server.url)
        manifest = client.manifest(PLUGIN, "1.0.0")
        (path,) = client.download(manifest, hub.here / "downloads")
    (artifact,) = manifest.model.artifacts or ()
    assert artifact.url == f"{hub.double.url}/{REPOSITORY}/releases/download/{TAG}/{path.name}"
    assert Digest.of(path.read_bytes()) == artifact.digest
    again = _publish(hub, *to)
    assert (again.code, again.json["result"]) == (0, "unchanged")


def test_an_import_twice_is_a_no_op(hub: Hub) -> None:
    """The second run finds its manifest on the release, whatever the time is."""
    _publish(hub, "--to", "acme/registry", "--import")
    before = _contents(hub)
    hub.world.tick(days=1)
    ran = _publish(hub, "--to", "acme/registry", "--import")
    assert (ran.code, ran.json["result"]) == (0, "unchanged")
    assert _contents(hub) == before


def _contents(hub: Hub) -> dict[str, bytes]:
    (release,) = hub.double.repository(REPOSITORY).releases.values()
    assert not release.draft
    return {asset.name: asset.content for asset in release.assets.values()}


def test_a_manifest_is_never_replaced(hub: Hub) -> None:
    """Other content for the same release is refused, for the same version and for another."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")
    before = _contents(hub)
    with pytest.raises(VersionExistsError):
        hub.publish(REPOSITORY, PLUGIN, "1.0.0", name="Other")
    with pytest.raises(VersionExistsError, match="other content") as caught:
        hub.publish(REPOSITORY, PLUGIN, "2.0.0", tag=TAG)
    assert "--tag" in caught.value.hint
    assert _contents(hub) == before


def test_a_status_replaces_a_lower_one_only(hub: Hub) -> None:
    """Revisions rise; an offer that another run has overtaken is refused."""
    hub.publish(REPOSITORY, PLUGIN, "1.0.0", change=Change(ReleaseStatus.STAGED, rollout=5))
    first = _contents(hub)[RELEASE_ASSET]
    destination = hub.offer(REPOSITORY, TAG)
    hub.world.set_status(PLUGIN, "1.0.0", rollout=50, to=destination)
    second = json.loads(_contents(hub)[RELEASE_ASSET])
    assert (second["revision"], second["rollout"]) == (2, 50)
    with pytest.raises(PublishError, match="offers revision 2"):
        destination.submit(Offer(PLUGIN, "1.0.0", "0" * 64, {"release.json": first}, ""), hub.world.now)
    assert json.loads(_contents(hub)[RELEASE_ASSET]) == second


def test_a_start_that_broke_off_is_completed(hub: Hub) -> None:
    """The status goes up first: without the manifest it means nothing, and the next run replaces it."""
    hub.double.seed(REPOSITORY, {"b": "c"})
    hub.release(REPOSITORY, TAG, {"notes.txt": b"made by hand"})
    hub.double.faults.append(Fault("POST", f"name={MANIFEST_ASSET}", status=403, body={"message": "no"}))
    change = Change(ReleaseStatus.STAGED, rollout=5)
    with pytest.raises(GitHubError):
        hub.publish(REPOSITORY, PLUGIN, "1.0.0", change=change)
    assert MANIFEST_ASSET not in _contents(hub)
    hub.world.tick(minutes=5)
    hub.publish(REPOSITORY, PLUGIN, "1.0.0", change=change)
    assert hub.run_import().results() == [(TAG, "imported")]
    hub.register()
    (info,) = hub.client().versions(PLUGIN)
    assert (info.standing.status, info.standing.rollout) == ("staged", 5)


def test_a_draft_is_said_and_not_seen(hub: Hub) -> None:
    """Somebody's own draft stays one: a warning says so, and there is nothing to wait for."""
    hub.release(REPOSITORY, TAG, {}, draft=True)
    destination = hub.offer(REPOSITORY, TAG)
    prepared = hub.world.prepare(PLUGIN, "1.0.0", to=destination)
    assert prepared.offer is not None
    submitted = destination.submit(prepared.offer, hub.world.now)
    assert "is a draft" in destination.notify(prepared.offer, submitted)
    with pytest.raises(ConfigError, match="nothing to wait for"):
        destination.outcome(prepared.offer, submitted)
    hub.world.tick(minutes=5)
    hub.publish(REPOSITORY, PLUGIN, "1.0.0")  # nobody has seen the first manifest
    assert hub.run_import().results() == []


def test_waiting_for_an_import(hub: Hub) -> None:
    """Nothing as long as main does not have it; then it is taken."""
    destination = hub.offer(REPOSITORY, TAG)
    prepared = hub.world.prepare(PLUGIN, "1.0.0", to=destination)
    assert prepared.offer is not None
    submitted = destination.submit(prepared.offer, hub.world.now)
    assert destination.notify(prepared.offer, submitted) == ""
    assert destination.outcome(prepared.offer, submitted) is None
    hub.run_import()
    hub.register()
    verdict = destination.outcome(prepared.offer, submitted)
    assert verdict is not None
    assert verdict.accepted


def test_archives_do_not_go_into_the_registry_by_import(hub: Hub) -> None:
    """The way out is named."""
    offer = Offer(PLUGIN, "1.0.0", "0" * 64, {f"artifacts/sha256/{'0' * 64}/x.zip": b"x"}, "")
    with pytest.raises(PublishError, match="no archives") as caught:
        hub.offer(REPOSITORY, TAG).submit(offer, hub.world.now)
    assert "--artifacts release" in caught.value.hint


def test_a_registry_that_cannot_be_seen(hub: Hub) -> None:
    """A private or misspelt one is an error that says what to look at."""
    hub.double.repository("acme/registry").private = True
    with pytest.raises(GitHubError, match="not public"):
        hub.offer(REPOSITORY, TAG)
