"""Publishing through GitHub's API: against a double that holds every request and answer to GitHub's own description of it."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519
from support.githttp import git_host
from support.github.records import Fault
from support.github.server import github_double
from support.world import World, git, push_to_bare

from publisher.destination import RemoteRegistry, WorkTree, open_destination
from publisher.documents import sign_document
from publisher.git import Git, Remote
from publisher.git_objects import tree_id
from publisher.git_tree import GitTree
from publisher.github.api import Api
from publisher.github.destination import GitHubRegistry
from publisher.github.git_data import (
    GitHubTree,
    branch_head,
    create_commit,
    create_ref,
    matching_refs,
    read_commit_files,
    ref_target,
    update_ref,
)
from publisher.github.statuses import StatusReporter
from publisher.offer import Offer, Submitted
from publisher.registrar.remote import file_limit, publish_ref, register_remote
from publisher.registrar.submission import Result
from publisher.set_status import Change, prepare_release
from publisher.tree import MemoryTree
from publisher.waiting import wait_for
from registry_client.errors import GitHubError, PublishError, VersionExistsError
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.models.release import ReleaseStatus
from registry_client.signed import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.github.state import Double

    from publisher.offer import Destination, Verdict
    from publisher.registrar.run import Run
    from publisher.registrar.submission import Outcome

NAME = "acme/registry"
TOKEN = "publishing-token"  # not a secret anywhere
JOB_TOKEN = "job-token"
_numbers = count()
ID = "acme-calendar"
REF = re.compile(rf"refs/heads/publish/{ID}@1\.0\.0@[0-9a-f]{{12}}")


@dataclass
class Hosted:
    """A registry in a repository on the double.

    Attributes:
        world: its keys, publishers and time.
        double: GitHub.
        bare: the repository itself.
    """

    world: World
    double: Double
    bare: Path

    def environ(self, token: str = TOKEN) -> dict[str, str]:
        """The environment of a publisher's job."""
        return {
            **os.environ,
            "GITHUB_API_URL": self.double.api,
            "GITHUB_SERVER_URL": self.double.url,
            "PLUGIN_REGISTRY_TOKEN": token,
        }

    def api(self, token: str = TOKEN) -> Api:
        """The API as a token sees it."""
        return Api(token, self.double.api)

    def open(self, token: str = TOKEN) -> GitHubRegistry:
        """The registry, as it is now."""
        with open_destination(NAME, "main", self.environ(token)) as destination:
            assert isinstance(destination, GitHubRegistry)
            return destination

    def offer(self, plugin_id: str = ID, version: str = "1.0.0", **options: Any) -> Offer:
        """A signed offer."""
        prepared = self.world.prepare(plugin_id, version, to=self.open(), **options)
        assert prepared.offer is not None
        return prepared.offer

    def publish(self, plugin_id: str = ID, version: str = "1.0.0", **options: Any) -> Submitted:
        """Publish a version through the API."""
        destination = self.open()
        prepared = self.world.prepare(plugin_id, version, to=destination, **options)
        assert prepared.offer is not None
        submitted = destination.submit(prepared.offer, self.world.now)
        assert destination.notify(prepared.offer, submitted) == ""
        return submitted

    def register(self, *, statuses: bool = False) -> Run:
        """Run the registrar on the repository."""

        def tell(outcomes: Sequence[Outcome]) -> None:
            StatusReporter(self.api(JOB_TOKEN), NAME, "https://ci.example/1")(outcomes)

        return register_remote(
            Remote(str(self.bare)),
            "main",
            lambda _: self.world.options(),
            os.environ,
            lambda: self.world.now,
            on_handled=tell if statuses else None,
        )

    def refs(self) -> dict[str, str]:
        """Pending publish refs."""
        lines = git(self.bare, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/publish")
        return dict(line.split(" ", 1) for line in lines.splitlines())

    @property
    def main(self) -> MemoryTree:
        """The files on main."""
        repository = Git(self.bare, os.environ)
        tree = GitTree(repository, git(self.bare, "rev-parse", "main"))
        files = {path: tree.read(path) or b"" for path in tree.paths("")}
        repository.close()
        return MemoryTree(files)

    def versions(self) -> list[str]:
        """What a fresh client reads of the plugin on main."""
        client = self.world.client(f"host-{next(_numbers)}", tree=self.main)
        return [str(line.version) for line in client.versions(ID)]


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    """A registry with one publisher."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    with github_double(tmp_path / "hub") as double:
        bare = push_to_bare(world, double.root / f"{NAME}.git")
        double.create(NAME)
        double.add_token(TOKEN, "acme-bot", {NAME: {"contents": "write", "metadata": "read"}})
        double.add_token(JOB_TOKEN, "github-actions[bot]", {NAME: {"statuses": "write"}}, app=True)
        yield Hosted(world, double, bare)


# -- publishing ---------------------------------------------------------------------------------------------------------


def test_a_version_published_by_api_reaches_hosts(hosted: Hosted) -> None:
    """Publish, register, read with the real client; the ref holds one commit without a parent, and is gone in the end."""
    submitted = hosted.publish()
    ((ref, commit),) = hosted.refs().items()
    assert REF.fullmatch(ref)
    assert submitted == Submitted(
        ref.removeprefix("refs/heads/"), commit, f"{hosted.double.url}/{NAME}/commit/{commit}"
    )
    assert git(hosted.bare, "rev-list", "--parents", commit) == commit
    assert git(hosted.bare, "ls-tree", "-r", "--name-only", commit) == "manifest.json"
    who = "Plugin Registry <plugin-registry@localhost> 2026-03-01T12:00:00Z"
    shown = git(
        hosted.bare,
        "log",
        "-1",
        "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
        "--format=%an <%ae> %ad|%cn <%ce> %cd",
        commit,
    )
    assert shown == f"{who}|{who}"
    hosted.register()
    assert hosted.refs() == {}
    assert hosted.versions() == ["1.0.0"]


def test_how_many_requests_a_version_takes(hosted: Hosted) -> None:
    """Ten to publish into a registry with one publisher, and one to tell the registrar."""
    hosted.double.requests.clear()
    hosted.publish()
    assert len(hosted.double.requests) == 11, [f"{r.method} {r.path}" for r in hosted.double.requests]


def test_the_publisher_of_a_plugin_is_read_first(hosted: Hosted) -> None:
    """With more publishers, the one that the id begins with is still the only one that is read."""
    for name in ("aardvark", "globex", "zeta"):
        hosted.world.add_publisher(name)
    git(hosted.world.folder, "add", "--all")
    git(hosted.world.folder, "commit", "--quiet", "-m", "Publishers")
    git(hosted.world.folder, "push", "--quiet", "origin", "main")
    hosted.double.requests.clear()
    hosted.publish()
    assert len(hosted.double.requests) == 11


def test_files_arrive_byte_for_byte(hosted: Hosted) -> None:
    """JSON goes with the tree, anything else as a blob; what is committed is what was offered."""
    files = {"lib/main.py": b"print('x')\r\n", "data.bin": bytes(range(256))}
    offer = hosted.offer(files=files, artifacts=[{"ecosystem": "python", "pack": "lib"}])
    submitted = hosted.open().submit(offer, hosted.world.now)
    assert len(offer.files) == 2
    for path, data in offer.files.items():
        assert Git(hosted.bare, os.environ).run("cat-file", "blob", f"{submitted.commit}:{path}") == data
    assert git(hosted.bare, "rev-parse", f"{submitted.commit}^{{tree}}") == tree_id(offer.files)
    assert [outcome.result for outcome in hosted.register().outcomes] == [Result.PUBLISHED]


def test_the_same_content_again_is_a_no_op(hosted: Hosted) -> None:
    """Before and after it is registered: nothing is offered, and the user is told."""
    hosted.publish()
    hosted.world.tick(hours=1)
    for where in ("offered", "published"):
        prepared = hosted.world.prepare(ID, "1.0.0", to=hosted.open())
        assert prepared.offer is None
        assert f"is {where} already" in prepared.note
        hosted.register()


def test_other_content_under_a_version_is_refused(hosted: Hosted) -> None:
    """Before and after it is registered."""
    hosted.publish()
    for where in ("offered", "published"):
        with pytest.raises(VersionExistsError, match=f"is {where} already .*, with other content"):
            hosted.world.prepare(ID, "1.0.0", to=hosted.open(), description="Another one")
        hosted.register()


def test_a_release_is_offered_by_api(hosted: Hosted) -> None:
    """A status is set on top of an offer that is not registered yet, and both are taken."""
    hosted.publish(change=Change(status=ReleaseStatus.TESTING))
    hosted.world.set_status(ID, "1.0.0", "released", to=hosted.open())
    assert len(hosted.refs()) == 2
    hosted.register()
    hosted.register()
    assert hosted.versions() == ["1.0.0"]


def test_a_name_is_a_repository_unless_a_folder_has_it(
    hosted: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OWNER/REPO is GitHub's; an existing folder of that name wins; a URL goes by Git."""
    monkeypatch.chdir(tmp_path)
    with open_destination(NAME, "main", hosted.environ()) as destination:
        assert isinstance(destination, GitHubRegistry)
    with open_destination(str(hosted.bare), "main", hosted.environ()) as remote:
        assert isinstance(remote, RemoteRegistry)
    Path("acme").mkdir()
    (hosted.world.folder).rename(tmp_path / NAME)
    with open_destination(NAME, "main", hosted.environ()) as folder:
        assert isinstance(folder, WorkTree)


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "branch", "message", "hint"),
    [
        ("acme/nothing", "main", "shows no repository acme/nothing", "Contents: read and write"),
        ("acme/secret", "main", "shows no repository acme/secret", "PLUGIN_REGISTRY_TOKEN"),
        (NAME, "trunk", "has no branch 'trunk'", "--branch"),
        ("acme/empty", "main", "has no branch 'main'", "--branch"),
    ],
)
def test_what_cannot_be_read(hosted: Hosted, name: str, branch: str, message: str, hint: str) -> None:
    """No such repository, a private one, no such branch: each error says what to do."""
    hosted.double.create("acme/secret", private=True)
    hosted.double.create("acme/empty")
    with (
        pytest.raises(GitHubError, match=message) as caught,
        open_destination(name, branch, hosted.environ()),
    ):
        pass
    assert hint in caught.value.hint


def test_a_token_that_is_not_known(hosted: Hosted) -> None:
    """An expired token is named as such, by its variable and not by itself."""
    with pytest.raises(GitHubError, match="Bad credentials") as caught:
        hosted.open("expired-token")
    assert "PLUGIN_REGISTRY_TOKEN" in caught.value.hint
    assert "expired-token" not in f"{caught.value} {caught.value.hint}"


def test_a_token_that_may_only_read(hosted: Hosted) -> None:
    """The error says which permission is missing."""
    hosted.double.add_token("reader", "someone", {NAME: {"contents": "read"}})
    with pytest.raises(GitHubError, match=r"does not let publish/\S+ be created") as caught:
        hosted.open("reader").submit(hosted.offer(), hosted.world.now)
    assert "Contents: read and write" in caught.value.hint
    assert hosted.refs() == {}


def test_rules_that_keep_publishers_from_main_do_not_keep_them_from_publishing(hosted: Hosted) -> None:
    """With main protected a version is published; main itself, and a ref that exists, cannot be changed."""
    hosted.double.protect(
        NAME, "~DEFAULT_BRANCH", rules=("creation", "update", "deletion", "non_fast_forward")
    )
    hosted.double.protect(NAME, "refs/heads/publish/**/*", rules=("update", "non_fast_forward"))
    submitted = hosted.publish()
    assert submitted.commit is not None
    with pytest.raises(GitHubError, match="rule violations"):
        update_ref(hosted.api(), NAME, "refs/heads/main", submitted.commit, force=True)
    with pytest.raises(GitHubError, match="rule violations"):
        update_ref(
            hosted.api(),
            NAME,
            f"refs/heads/{submitted.place}",
            git(hosted.bare, "rev-parse", "main"),
            force=True,
        )


def test_rules_that_forbid_publishing(hosted: Hosted) -> None:
    """A registry whose rules let nobody create publish branches says so, and nothing is left behind."""
    hosted.double.protect(NAME, "refs/heads/publish/**/*", rules=("creation",))
    with pytest.raises(GitHubError, match="creations being restricted") as caught:
        hosted.publish()
    assert "publish/*" in caught.value.hint
    assert hosted.refs() == {}


def test_a_taken_ref(hosted: Hosted) -> None:
    """A ref of this name with other files is not touched; one with the same files, made at another time, will do."""
    offer = hosted.offer()
    ref = publish_ref(offer.id, offer.version, offer.digest_hex)
    other = create_commit(hosted.api(), NAME, {"manifest.json": b"{}"}, "squatted\n", hosted.world.now)
    assert create_ref(hosted.api(), NAME, ref, other)
    with pytest.raises(PublishError, match="exists already in acme/registry, and holds something else"):
        hosted.open().submit(offer, hosted.world.now)
    assert hosted.refs() == {ref: other}
    git(hosted.bare, "update-ref", "-d", ref)
    first = hosted.open().submit(offer, hosted.world.now)
    hosted.world.tick(minutes=1)
    assert hosted.open().submit(offer, hosted.world.now) == first


def test_the_same_files_on_top_of_a_parent_are_not_the_same(hosted: Hosted) -> None:
    """A commit with a parent would be refused by the registrar: it does not stand in for ours."""
    offer = hosted.offer()
    ref = publish_ref(offer.id, offer.version, offer.digest_hex)
    api = hosted.api()
    base = create_commit(api, NAME, {"manifest.json": b"{}"}, "base\n", hosted.world.now)
    assert create_ref(
        api, NAME, ref, create_commit(api, NAME, offer.files, "top\n", hosted.world.now, parent=base)
    )
    with pytest.raises(PublishError, match="holds something else"):
        hosted.open().submit(offer, hosted.world.now)


def test_what_strangers_offer_for_a_plugin_is_passed_over(hosted: Hosted) -> None:
    """Refs of this version that hold anything else stand in nobody's way, however many there are."""
    api, now = hosted.api(), hosted.world.now
    parent = create_commit(api, NAME, {"manifest.json": b"{}"}, "base\n", now)
    bad = {
        "0" * 12: create_commit(api, NAME, {"manifest.json": b"{}"}, "wrong name\n", now),
        "1" * 12: create_commit(api, NAME, {"evil.sh": b"#!"}, "other file\n", now),
        "2" * 12: create_commit(api, NAME, {"manifest.json": b"{}"}, "parent\n", now, parent=parent),
        "3" * 12: create_commit(api, NAME, {"release.json": b" " * 20_000}, "large\n", now),
        "4" * 12: create_commit(api, NAME, {f"release.json/{n}": b"" for n in range(60)}, "many\n", now),
    }
    for digits, commit in bad.items():
        assert create_ref(api, NAME, publish_ref(ID, "1.0.0", digits), commit)
    assert hosted.open().pending(ID, "1.0.0") == []
    hosted.publish()
    assert [s.source for s in hosted.open().pending(ID, "1.0.0")] == [
        next(ref for ref in hosted.refs() if REF.fullmatch(ref) and ref[-12:] not in bad).removeprefix(
            "refs/heads/"
        )
    ]


# -- the network --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/git/trees", "/git/commits", "/git/refs"])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 502}])
def test_an_answer_that_was_lost(hosted: Hosted, path: str, fault: dict[str, Any]) -> None:
    """The work was done and the answer lost: the second attempt finds what the first made."""
    hosted.double.faults.append(Fault(path=path + "$", method="POST", after=True, **fault))
    submitted = hosted.publish()
    assert list(hosted.refs().values()) == [submitted.commit]
    assert hosted.double.faults[0].times == 0


def test_a_renamed_registry_is_followed(hosted: Hosted) -> None:
    """For reading and writing, under its old name."""
    hosted.double.rename(NAME, "acme/plugins")
    hosted.bare = hosted.double.repository("acme/plugins").git
    hosted.publish()
    assert len(hosted.refs()) == 1
    hosted.register()
    assert hosted.world.prepare(ID, "1.0.0", to=hosted.open()).offer is None


def test_on_github_enterprise(tmp_path: Path) -> None:
    """The base URL of the API has a path of its own there."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    with github_double(tmp_path / "hub", prefix="/api/v3") as double:
        bare = push_to_bare(world, double.root / f"{NAME}.git")
        double.create(NAME)
        double.add_token(TOKEN, "acme-bot", {NAME: {"contents": "write"}})
        hosted = Hosted(world, double, bare)
        hosted.publish()
        assert len(hosted.refs()) == 1


# -- telling the registrar ----------------------------------------------------------------------------------------------


def test_the_registrar_is_told(hosted: Hosted) -> None:
    """One event, with the ref, its commit, and what it is about."""
    submitted = hosted.publish()
    (sent,) = hosted.double.dispatches
    assert sent.event_type == "plugin-published"
    assert sent.client_payload == {
        "ref": f"refs/heads/{submitted.place}",
        "commit": submitted.commit,
        "id": ID,
        "version": "1.0.0",
    }


def test_a_registrar_that_cannot_be_told_is_a_warning(hosted: Hosted) -> None:
    """The version is offered all the same."""
    offer = hosted.offer()
    destination = hosted.open()
    submitted = destination.submit(offer, hosted.world.now)
    hosted.double.faults.append(Fault(path="/dispatches", status=403, body={"message": "No"}))
    warning = destination.notify(offer, submitted)
    assert "next scheduled run" in warning
    assert hosted.double.dispatches == []
    assert len(hosted.refs()) == 1


# -- waiting for it -----------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """Seconds that pass only while someone sleeps, and what is done in the second pause."""

    meanwhile: Callable[[], object] = lambda: None
    now: float = 0.0
    pauses: int = 0

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.now += seconds
        self.pauses += 1
        if self.pauses == 2:
            self.meanwhile()


def _wait(
    hosted: Hosted, destination: Destination, offer: Offer, submitted: Submitted, **run: Any
) -> Verdict:
    """Wait at most a minute for a registrar that runs in the second pause."""
    clock = Clock(lambda: hosted.register(**run) if run.pop("runs", True) else None)
    return wait_for(destination, offer, submitted, seconds=60, sleep=clock.sleep, clock=lambda: clock.now)


@pytest.fixture(params=["api", "git"])
def waiting(hosted: Hosted, request: pytest.FixtureRequest) -> Iterator[tuple[Hosted, Destination]]:
    """The registry by the API and by Git."""
    with open_destination(
        NAME if request.param == "api" else str(hosted.bare), "main", hosted.environ()
    ) as found:
        yield hosted, found


@pytest.mark.parametrize("statuses", [True, False])
def test_waiting_until_it_is_registered(waiting: tuple[Hosted, Destination], statuses: bool) -> None:
    """With statuses and without, by API and by Git."""
    hosted, destination = waiting
    offer = hosted.offer()
    submitted = destination.submit(offer, hosted.world.now)
    verdict = _wait(hosted, destination, offer, submitted, statuses=statuses)
    assert (verdict.accepted, verdict.message) == (True, f"{ID} 1.0.0 is registered") or (
        statuses and verdict.accepted
    )
    assert hosted.versions() == ["1.0.0"]


def test_waiting_for_a_release(waiting: tuple[Hosted, Destination]) -> None:
    """A new status counts as registered when main has it, or a later one."""
    hosted, destination = waiting
    hosted.publish()
    hosted.register()
    prepared = prepare_release(
        ID, "1.0.0", Change(rollout=10), hosted.world.publishers["acme"], hosted.open(), hosted.world.now
    )
    assert prepared.offer is not None
    submitted = destination.submit(prepared.offer, hosted.world.now)
    assert destination.outcome(prepared.offer, submitted) is None
    assert _wait(hosted, destination, prepared.offer, submitted).accepted


def test_waiting_for_what_is_refused(hosted: Hosted) -> None:
    """The status says why, and the error with it, and where to read more."""
    offer, destination = _forged(hosted), hosted.open()
    submitted = destination.submit(offer, hosted.world.now)
    with pytest.raises(PublishError, match=r"refuses acme-calendar 1\.0\.0: .*signature") as caught:
        _wait(hosted, destination, offer, submitted, statuses=True)
    assert "https://ci.example/1" in caught.value.hint


def test_waiting_for_what_is_refused_without_a_word(waiting: tuple[Hosted, Destination]) -> None:
    """Without statuses: neither offered nor on main any more."""
    hosted, destination = waiting
    offer = _forged(hosted)
    submitted = destination.submit(offer, hosted.world.now)
    with pytest.raises(PublishError, match="see the registrar's log"):
        _wait(hosted, destination, offer, submitted)


def test_waiting_in_vain(waiting: tuple[Hosted, Destination]) -> None:
    """No registrar comes: it is still pending, and the error says where."""
    hosted, destination = waiting
    offer = hosted.offer()
    submitted = destination.submit(offer, hosted.world.now)
    with pytest.raises(
        PublishError, match=r"still pending at publish/acme-calendar@1\.0\.0@\S+ after 60 seconds"
    ):
        _wait(hosted, destination, offer, submitted, runs=False)


def test_an_old_refusal_of_the_same_commit_does_not_count(hosted: Hosted) -> None:
    """A commit made again, at the same time of day, is judged anew: what its status said before is not the answer."""
    offer = hosted.offer()
    first = hosted.open().submit(offer, hosted.world.now)
    hosted.register()
    body = {"state": "failure", "context": "plugin-registry", "description": "nobody may publish it"}
    hosted.api(JOB_TOKEN).post(f"/repos/{NAME}/statuses/{first.commit}", body)
    destination = hosted.open()
    again = destination.submit(offer, hosted.world.now)
    assert again == first
    assert _wait(hosted, destination, offer, again, statuses=True).accepted


def test_a_token_that_may_not_read_statuses(hosted: Hosted) -> None:
    """In a private registry: refs and main say enough."""
    hosted.double.repository(NAME).private = True
    offer, destination = hosted.offer(), hosted.open()
    submitted = destination.submit(offer, hosted.world.now)
    assert _wait(hosted, destination, offer, submitted, statuses=True).accepted


def _forged(hosted: Hosted) -> Offer:
    """An offer that its publisher has not signed."""
    raw = parse_manifest(hosted.offer().files["manifest.json"], "manifest.json").raw
    raw = sign_document({**raw, "signatures": []}, [ed25519("stranger")])
    return Offer(ID, "1.0.0", payload_digest_of(raw).hex, {"manifest.json": dump_json(raw)}, "forged\n")


# -- by Git, with the API's help ----------------------------------------------------------------------------------------


@pytest.fixture
def pushed(hosted: Hosted) -> Iterator[tuple[Hosted, dict[str, str]]]:
    """The same repository by Git over HTTP, and an environment in which that host is GitHub."""
    git(hosted.bare, "config", "http.receivepack", "true")
    with git_host(hosted.double.root, token=TOKEN) as host:
        yield hosted, {**hosted.environ(), "GITHUB_SERVER_URL": host.url}


def test_a_push_to_github_tells_the_registrar(pushed: tuple[Hosted, dict[str, str]]) -> None:
    """A push to a repository on GitHub starts its registrar as the API does."""
    hosted, environ = pushed
    offer = hosted.offer()
    with open_destination(f"{environ['GITHUB_SERVER_URL']}/{NAME}.git", "main", environ) as destination:
        submitted = destination.submit(offer, hosted.world.now)
        assert destination.notify(offer, submitted) == ""
    (sent,) = hosted.double.dispatches
    assert (sent.repository, sent.client_payload["commit"]) == (NAME, submitted.commit)


def test_a_push_elsewhere_tells_nobody(pushed: tuple[Hosted, dict[str, str]]) -> None:
    """The token goes to no other host than the remote's: neither is asked, nor is there a warning."""
    hosted, environ = pushed
    url, offer = f"{environ['GITHUB_SERVER_URL']}/{NAME}.git", hosted.offer()
    hosted.double.requests.clear()
    for elsewhere in ({**environ, "GITHUB_SERVER_URL": ""}, {**environ, "PLUGIN_REGISTRY_TOKEN": ""}):
        target = url if elsewhere["PLUGIN_REGISTRY_TOKEN"] else str(hosted.bare)
        with open_destination(target, "main", elsewhere) as destination:
            assert destination.notify(offer, Submitted("publish/x", "0" * 40)) == ""
    assert hosted.double.requests == []


# -- many at once -------------------------------------------------------------------------------------------------------


def test_the_same_version_by_several_at_once(hosted: Hosted) -> None:
    """The same content from four jobs: one ref, and each of them is content."""
    offer = hosted.offer()
    places = [hosted.open() for _ in range(4)]
    start = threading.Barrier(4)

    def submit(number: int) -> Submitted:
        start.wait()
        return places[number].submit(offer, hosted.world.now + timedelta(seconds=number))

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(submit, range(4)))
    assert len(set(done)) == 1
    assert list(hosted.refs().values()) == [done[0].commit]
    assert [outcome.result for outcome in hosted.register().outcomes] == [Result.PUBLISHED]


def test_publishers_and_registrars_at_once(hosted: Hosted) -> None:
    """Six plugins published by API while the registrar runs: nothing lost, nothing twice."""
    names = [f"acme-plugin-{number}" for number in range(6)]
    offers = [hosted.offer(name) for name in names]
    left = threading.Semaphore(0)

    def publish(offer: Offer) -> None:
        hosted.open().submit(offer, hosted.world.now)
        left.release()

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(publish, offer) for offer in offers]
        for _ in range(3):
            assert left.acquire(timeout=60)
            hosted.register()
        for job in jobs:
            job.result()
    hosted.register()
    assert hosted.refs() == {}
    client = hosted.world.client(tree=hosted.main)
    assert sorted(entry.id for entry in client.search("")) == names
    assert git(hosted.bare, "rev-list", "--min-parents=2", "main") == ""


# -- Git data -----------------------------------------------------------------------------------------------------------


def test_a_tree_by_api_is_the_tree_by_git(hosted: Hosted) -> None:
    """The same paths and bytes, in folders of any size; links, submodules and absent files count as none."""
    files = {f"many/{number:04}.json": b"%d" % number for number in range(1001)}
    hosted.double.seed(NAME, {**files, "many/deeper/x.txt": b"\r\n", "empty.txt": b""})
    main = git(hosted.bare, "rev-parse", "main")
    link = git(hosted.bare, "hash-object", "-w", "--stdin", stdin=b"policy.json")
    listing = (
        git(hosted.bare, "ls-tree", main) + f"\n120000 blob {link}\tlink.json\n160000 commit {main}\tmodule\n"
    )
    tree = git(hosted.bare, "mktree", stdin=listing.encode())
    commit = git(hosted.bare, "commit-tree", "-m", "x", tree)
    by_api, by_git = GitHubTree(hosted.api(), NAME, commit), hosted.main
    assert list(by_api.paths("")) == list(by_git.paths(""))
    assert list(by_api.paths("many")) == list(by_git.paths("many"))
    assert list(by_api.paths("nothing/here")) == list(by_api.paths("policy.json")) == []
    for path in ("policy.json", "many/1000.json", "many/deeper/x.txt", "empty.txt"):
        assert by_api.read(path) == by_git.read(path) is not None, path
    for path in ("link.json", "module", "module/x", "many", "nothing.json", "policy.json/x", "a/b/c"):
        assert by_api.read(path) is None, path


def test_what_was_read_is_not_asked_for_again(hosted: Hosted) -> None:
    """Each folder is listed once and each file read once; what a listing shows to be absent is not asked for."""
    tree = GitHubTree(hosted.api(), NAME, git(hosted.bare, "rev-parse", "main"))
    hosted.double.requests.clear()
    for _ in range(2):
        assert tree.read("policy.json")
        assert tree.read("nothing.json") is tree.read("nowhere/at.json") is None
        assert list(tree.paths("nowhere")) == []
    assert len(hosted.double.requests) == 2


def test_refs(hosted: Hosted) -> None:
    """Created once, found by name and by beginning, moved forward, or by force."""
    api, now = hosted.api(), hosted.world.now
    main = branch_head(api, NAME, "main")
    assert main == git(hosted.bare, "rev-parse", "main")
    first = create_commit(api, NAME, {"a.json": b"1"}, "one\n", now, parent=main)
    second = create_commit(api, NAME, {"a.json": b"2"}, "two\n", now, parent=first)
    ref = "refs/heads/propose/acme-calendar@1.0.0"
    assert ref_target(api, NAME, ref) is None
    assert create_ref(api, NAME, ref, first)
    assert create_ref(api, NAME, ref, first)
    assert not create_ref(api, NAME, ref, second)
    update_ref(api, NAME, ref, second)
    assert matching_refs(api, NAME, "refs/heads/propose/") == {ref: second}
    assert matching_refs(api, NAME, "refs/heads/none/") == {}
    with pytest.raises(GitHubError) as caught:
        update_ref(api, NAME, ref, first)
    assert caught.value.status == 422
    update_ref(api, NAME, ref, first, force=True)
    assert ref_target(api, NAME, ref) == first
    assert "policy.json" in git(hosted.bare, "ls-tree", "--name-only", first)
    with pytest.raises(GitHubError):
        create_ref(api, NAME, "refs/heads/new", "0" * 40)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/git/ref/", {"object": {}}, "has no sha"),
        ("/git/ref/", [], "has no object"),
        ("/contents", [{"name": 1}], "has no "),
        ("/git/blobs/", {"content": "bm8=", "encoding": "base64"}, "are not those of blob"),
        ("/git/blobs/", {"content": "!", "encoding": "base64"}, "are not those of blob"),
        ("/git/matching-refs/", {"message": "?"}, "is not a list"),
        ("/git/trees$", {"sha": "0" * 40}, "made the tree 000000000000"),
        ("/git/commits$", {"sha": None}, "has no sha"),
    ],
)
def test_answers_that_are_not_as_documented(hosted: Hosted, path: str, body: Any, message: str) -> None:
    """Each is an error that says what is wrong, and nothing is offered."""
    hosted.double.faults.append(Fault(path=path, status=200, body=body))
    with pytest.raises(GitHubError, match=message):
        hosted.publish()
    assert hosted.refs() == {}


def test_a_file_that_is_too_large_is_not_asked_for(hosted: Hosted) -> None:
    """Its size stands in the listing."""
    listed = hosted.api().get(f"/repos/{NAME}/contents")
    for entry in listed:
        entry["size"] = 10**9
    hosted.double.faults.append(Fault(path="/contents", status=200, body=listed))
    hosted.double.requests.clear()
    tree = GitHubTree(hosted.api(), NAME, git(hosted.bare, "rev-parse", "main"))
    with pytest.raises(GitHubError, match=r"policy\.json has 1000000000 bytes"):
        tree.read("policy.json")
    assert len(hosted.double.requests) == 1


def test_a_tree_that_github_lists_in_part(hosted: Hosted) -> None:
    """A list that is cut off is an error, not a shorter list."""
    body = {"sha": "0" * 40, "tree": [], "truncated": True}
    commit = create_commit(hosted.api(), NAME, {"manifest.json": b"{}"}, "x\n", hosted.world.now)
    hosted.double.faults.append(Fault(path="/git/trees/", status=200, body=body))
    with pytest.raises(GitHubError, match="more entries than GitHub lists"):
        read_commit_files(hosted.api(), NAME, commit, file_limit, 10)
