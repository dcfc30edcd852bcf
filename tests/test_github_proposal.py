"""Proposals by pull request: against the double of GitHub's API over real repositories, up to a client that reads what was merged."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519, manifest, release
from support.github.reviews import add_check_run, add_review
from support.github.server import github_double
from support.github.state import Fault
from support.world import World, git, push_to_bare

from publisher.cli.main import main
from publisher.destination import open_destination
from publisher.git import Git, Remote
from publisher.git_tree import GitTree
from publisher.github.api import Api
from publisher.github.proposal import GitHubProposal, says_the_same
from publisher.github.proposal_body import LONGEST_BODY, Registry, build_body, merge_body, previous_manifest
from publisher.offer import Offer, Submitted
from publisher.registrar.remote import register_remote
from publisher.registrar.submission import Result
from publisher.review.remote import validate_remote
from publisher.set_status import Change, prepare_release
from publisher.tree import MemoryTree
from registry_client.errors import (
    ConfigError,
    GitHubError,
    NotFoundError,
    PublishError,
    RegistryError,
    VersionExistsError,
)
from registry_client.jsontext import dump_json
from registry_client.models.release import ReleaseStatus
from registry_client.signed import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token
    from support.github.records import Issue
    from support.github.state import Double

REGISTRY = "acme/registry"
FORK = "dev/registry"
BRANCH = "propose/acme-x@1.0.0"
FULL = {"contents": "write", "pull_requests": "write"}


@dataclass
class Stage:
    """A registry on GitHub, as publishers and maintainers see it."""

    world: World
    double: Double
    slept: list[float] = field(default_factory=list)

    @property
    def bare(self) -> Path:
        """The registry's bare repository."""
        return self.double.repository(REGISTRY).git

    def destination(self, token: str = "writer") -> GitHubProposal:
        """The registry for whoever has that token."""
        return GitHubProposal(Api(token, self.double.api), REGISTRY, "main", sleep=self.slept.append)

    def propose(
        self, version: str = "1.0.0", token: str = "writer", **members: Any
    ) -> tuple[Offer, Submitted]:
        """Publish by pull request, as the command line does it."""
        to = self.destination(token)
        prepared = self.world.prepare("acme-x", version, to=to, **members)
        assert prepared.offer is not None
        return prepared.offer, to.submit(prepared.offer, self.world.now)

    def set_status(self, token: str = "writer", **members: Any) -> tuple[Offer, Submitted]:
        """Change the status of acme-x 1.0.0 by pull request."""
        to, signers = self.destination(token), self.world.publishers["acme"]
        prepared = prepare_release("acme-x", "1.0.0", Change(**members), signers, to, self.world.now)
        assert prepared.offer is not None
        return prepared.offer, to.submit(prepared.offer, self.world.now)

    def pulls(self) -> list[Issue]:
        """Every pull request there is."""
        return [issue for issue in self.double.repository(REGISTRY).issues.values() if issue.pull is not None]

    def merge(self, number: int = 1) -> None:
        """Merge a pull request as its button does it."""
        head = f"refs/pull/{number}/head"
        tree = git(self.bare, "merge-tree", "--write-tree", "main", head)
        main = git(self.bare, "rev-parse", "main")
        parents = ("-p", main, "-p", git(self.bare, "rev-parse", head))
        commit = git(self.bare, "commit-tree", *parents, "-m", f"Merge pull request #{number}", tree)
        git(self.bare, "update-ref", "refs/heads/main", commit, main)

    def commit(self, changes: dict[str, bytes | None]) -> str:
        """Someone else's commit on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            main = git(self.bare, "rev-parse", "main")
            commit = repository.commit(main, changes, "someone else's", self.world.now)
        git(self.bare, "update-ref", "refs/heads/main", commit)
        return commit

    def register(self) -> list[str]:
        """Run the registrar; the results."""
        run = register_remote(
            Remote(str(self.bare)),
            "main",
            lambda _: self.world.options(),
            os.environ,
            lambda: self.world.now,
        )
        return [outcome.result for outcome in run.outcomes]

    def problems(self, number: int = 1) -> tuple[Any, ...]:
        """What the check of pull requests says against one."""
        head = f"refs/pull/{number}/head"
        return validate_remote(Remote(str(self.bare)), head, "main", os.environ, self.world.now).problems

    def publish_directly(self, version: str, **members: Any) -> None:
        """Publish without a pull request, and register."""
        with open_destination(str(self.bare), "main", os.environ) as to:
            self.world.publish("acme-x", version, to=to, **members)
        self.register()

    def tree(self) -> MemoryTree:
        """The files on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            tree = GitTree(repository, git(self.bare, "rev-parse", "main"))
            return MemoryTree({path: tree.read(path) or b"" for path in tree.paths("")})

    def client(self) -> Any:
        """A fresh client that reads main."""
        return self.world.client(f"host-{git(self.bare, 'rev-parse', 'main')}", tree=self.tree())

    def changed(self, head: str, repository: Path | None = None) -> list[str]:
        """Files that a branch changes, against the commit it stands on."""
        return git(repository or self.bare, "diff", "--name-only", f"{head}^", head).split()

    def requests(self, method: str, path: str) -> int:
        """How many such requests came."""
        return sum(r.method == method and bool(re.search(path, r.path)) for r in self.double.requests)

    def writes(self) -> list[str]:
        """Requests that change something."""
        return [f"{r.method} {r.path}" for r in self.double.requests if r.method != "GET"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A registry with publisher acme; a token `writer` that may push, and a stranger's token `stranger`."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.register()
    root = tmp_path / "github"
    push_to_bare(world, root / f"{REGISTRY}.git")
    with github_double(root) as double:
        double.now = lambda: world.now
        double.create(REGISTRY)
        double.add_token("writer", "ci", {REGISTRY: FULL})
        double.add_token("stranger", "dev", classic=True)
        double.add_token("keeper", "keeper", {REGISTRY: {"issues": "write"}})
        yield Stage(world, double)


def _statuses(stage: Stage) -> list[str]:
    """What a fresh client reads of each version."""
    return [str(info.standing.status) for info in stage.client().versions("acme-x")]


def test_a_merged_proposal_is_registered_and_read(stage: Stage) -> None:
    """One branch with one commit of two files; merged, registered, read by a real client."""
    offer, submitted = stage.propose(
        files={"app/main.py": b"print()\n"},
        artifacts=[{"ecosystem": "python", "pack": "app"}],
    )
    assert (submitted.place, submitted.note) == (BRANCH, "")
    assert submitted.url == f"{stage.double.url}/{REGISTRY}/pull/1"
    assert submitted.commit == git(stage.bare, "rev-parse", BRANCH)
    archive = next(path for path in offer.files if path.startswith("artifacts/"))
    assert stage.changed(BRANCH) == [archive, "plugins/acme-x/1.0.0/manifest.json"]
    assert git(stage.bare, "rev-parse", f"{BRANCH}^") == git(stage.bare, "rev-parse", "main")
    (pull,) = stage.pulls()
    assert (pull.title, pull.pull and pull.pull.base_ref) == ("Publish acme-x 1.0.0", "main")
    to = stage.destination()
    assert to.outcome(offer, submitted) is None
    assert stage.problems() == ()
    stage.merge()
    verdict = to.outcome(offer, submitted)
    assert verdict is not None
    assert verdict.accepted
    assert Result.PUBLISHED in stage.register()
    assert [info.version for info in stage.client().versions("acme-x")] == ["1.0.0"]
    assert stage.client().manifest("acme-x", "1.0.0").payload_digest.hex == offer.digest_hex


def test_how_many_requests_a_proposal_takes(stage: Stage) -> None:
    """The figures that docs/performance.md states: for a new one, and for the same again."""
    stage.double.requests.clear()
    stage.propose()
    first = len(stage.double.requests)
    stage.double.requests.clear()
    stage.propose()
    assert (first, len(stage.double.requests)) == (17, 14)


def test_a_staged_start_is_proposed_with_its_release(stage: Stage) -> None:
    """The release document is in the same pull request, and in force once merged."""
    stage.propose(change=Change(ReleaseStatus.TESTING))
    assert stage.changed(BRANCH) == [
        "plugins/acme-x/1.0.0/manifest.json",
        "plugins/acme-x/1.0.0/release.json",
    ]
    stage.merge()
    stage.register()
    assert _statuses(stage) == ["testing"]


def test_a_status_is_proposed_on_a_branch_of_its_own(stage: Stage) -> None:
    """The branch is named by the revision; merged and registered, the status is in force."""
    stage.publish_directly("1.0.0")
    offer, submitted = stage.set_status(status=ReleaseStatus.YANKED, reason="leaks @everyone <b>data</b>")
    assert submitted.place == f"{BRANCH}@r1"
    (pull,) = stage.pulls()
    assert pull.title == "Set acme-x 1.0.0 to yanked"
    assert "`released` → `yanked`" in (pull.body or "")
    assert "@everyone" not in (pull.body or "")
    assert "<b>" not in (pull.body or "")
    assert stage.problems() == ()
    stage.merge()
    assert stage.register() == [Result.RELEASED]
    assert _statuses(stage) == ["yanked"]
    assert stage.destination().outcome(offer, submitted) is not None


def test_the_same_again_does_nothing_and_says_so(stage: Stage) -> None:
    """No write at all, the same digest, the same pull request; even hours later, when every time stamp differs."""
    first, before = stage.propose(change=Change(rollout=10))
    stage.double.requests.clear()
    stage.world.tick(hours=3)
    second, after = stage.propose(change=Change(rollout=10))
    assert stage.writes() == []
    assert "nothing to do" in after.note
    assert before.url is not None
    assert before.url in after.note
    assert (after.place, after.commit, after.url) == (before.place, before.commit, before.url)
    assert second.digest_hex == first.digest_hex


def test_other_content_updates_the_open_one(stage: Stage) -> None:
    """The branch is moved and the text written anew: no second pull request, no second commit on the branch."""
    _, before = stage.propose(permissions=["files.read"])
    stage.world.tick(minutes=1)
    offer, after = stage.propose(permissions=["files.read", "net.send"])
    assert (after.url, after.place) == (before.url, before.place)
    assert after.commit != before.commit
    assert after.note == ""
    assert git(stage.bare, "rev-list", "--count", f"main..{BRANCH}") == "1"
    (pull,) = stage.pulls()
    assert "`net.send`" in (pull.body or "")
    stage.merge()
    stage.register()
    assert stage.client().manifest("acme-x", "1.0.0").payload_digest.hex == offer.digest_hex


def test_a_status_proposed_twice_keeps_its_revision(stage: Stage) -> None:
    """Changing a proposed status updates its pull request and builds on what was proposed; the same again does nothing."""
    stage.publish_directly("1.0.0")
    stage.set_status(rollout=10)
    stage.world.tick(minutes=1)
    offer, submitted = stage.set_status(push=False)
    assert submitted.place == f"{BRANCH}@r1"
    assert len(stage.pulls()) == 1
    proposed = json.loads(offer.files["release.json"])
    assert (proposed["rollout"], proposed["push"], proposed["revision"]) == (10, False, 1)
    stage.world.tick(minutes=1)
    stage.double.requests.clear()
    assert "nothing to do" in stage.set_status(push=False)[1].note
    assert stage.writes() == []


def test_a_main_that_moved_elsewhere_changes_nothing(stage: Stage) -> None:
    """A proposal that can still be merged is left alone: its checks need not run again."""
    _, before = stage.propose()
    stage.commit({"README.md": b"hello\n"})
    stage.double.requests.clear()
    _, after = stage.propose()
    assert (after.commit, stage.writes()) == (before.commit, [])


def test_a_base_that_conflicts_is_followed(stage: Stage) -> None:
    """Where main changed the very files, the commit is made anew on its tip."""
    _, before = stage.propose(change=Change(rollout=10))
    tip = stage.commit({"plugins/acme-x/1.0.0/release.json": b"{}\n"})
    to = stage.destination()
    offer, _ = _prepared(stage, to, change=Change(rollout=10))
    after = to.submit(offer, stage.world.now)
    assert after.commit != before.commit
    assert git(stage.bare, "rev-parse", f"{BRANCH}^") == tip
    assert len(stage.pulls()) == 1


def _prepared(stage: Stage, to: GitHubProposal, **members: Any) -> tuple[Offer, Any]:
    prepared = stage.world.prepare("acme-x", "1.0.0", to=to, **members)
    assert prepared.offer is not None
    return prepared.offer, prepared


def test_what_people_wrote_around_our_text_stays(stage: Stage) -> None:
    """An update replaces what stands between the hidden marks, however GitHub ends lines; nothing changed, nothing is edited."""
    stage.propose()
    (pull,) = stage.pulls()
    pull.body = f"Reviewed twice.\n\n{pull.body}\n\ncc the team".replace("\n", "\r\n")
    stage.double.requests.clear()
    stage.propose()
    assert stage.writes() == []
    stage.propose(permissions=["files.read"])
    assert pull.body.startswith("Reviewed twice.\n")
    assert pull.body.endswith("cc the team")
    assert pull.body.count("<!-- plugin-registry: proposal") == 1
    assert "files.read" in pull.body


def test_a_closed_proposal_is_followed_by_a_new_one(stage: Stage) -> None:
    """Closed without merging: refused, with the last comment's address; proposing again opens another from the same branch."""
    offer, submitted = stage.propose()
    registry, to = stage.double.repository(REGISTRY), stage.destination()
    add_review(stage.double, registry, 1, "maintainer", "not like this")
    stage.world.tick(minutes=5)
    comment = {"body": "see the rules"}
    Api("keeper", stage.double.api).post(f"/repos/{REGISTRY}/issues/1/comments", comment)
    stage.pulls()[0].state = "closed"
    verdict = to.outcome(offer, submitted)
    assert verdict is not None
    assert not verdict.accepted
    assert "#issuecomment-" in (verdict.url or "")
    stage.world.tick(minutes=5)
    _, again = stage.propose()
    assert again.place == BRANCH
    assert [issue.state for issue in stage.pulls()] == ["closed", "open"]
    assert again.url == f"{stage.double.url}/{REGISTRY}/pull/2"


@pytest.mark.parametrize(
    ("name", "conclusion", "refused"),
    [
        ("validate", "failure", True),
        ("validate", "timed_out", True),
        ("check / validate", "failure", True),
        ("validate", "success", False),
        ("validate", None, False),
        ("spelling", "failure", False),
    ],
)
def test_a_failing_check_is_a_refusal(stage: Stage, name: str, conclusion: str | None, refused: bool) -> None:
    """Only the check of that name counts, and only on the commit that is proposed now."""
    offer, submitted = stage.propose()
    registry = stage.double.repository(REGISTRY)
    add_check_run(stage.double, registry, git(stage.bare, "rev-parse", "main"), "validate", "failure")
    run = add_check_run(stage.double, registry, submitted.commit or "", name, conclusion)
    verdict = stage.destination().outcome(offer, submitted)
    assert (verdict is not None and not verdict.accepted) == refused
    if verdict is not None:
        assert (verdict.url or "").endswith(f"/job/{run.id}")


def test_a_failing_status_is_a_refusal(stage: Stage) -> None:
    """Checks that are set as commit statuses count as well."""
    stage.double.add_token("bot", "bot", {REGISTRY: {"statuses": "write"}})
    offer, submitted = stage.propose()
    body = {"state": "failure", "context": "validate", "target_url": "https://ci.example/7"}
    Api("bot", stage.double.api).post(f"/repos/{REGISTRY}/statuses/{submitted.commit}", body)
    verdict = stage.destination().outcome(offer, submitted)
    assert verdict is not None
    assert (verdict.accepted, verdict.url) == (False, "https://ci.example/7")


def test_a_stranger_proposes_from_a_fork(stage: Stage) -> None:
    """The branch stands in the fork, which maintainers may change; the rest goes the same way."""
    offer, submitted = stage.propose(token="stranger")
    fork = stage.double.repository(FORK)
    assert git(fork.git, "rev-parse", BRANCH) == submitted.commit
    assert git(stage.bare, "for-each-ref", "refs/heads/propose/") == ""
    opened = next(r for r in stage.double.requests if r.method == "POST" and r.path.endswith("/pulls"))
    assert json.loads(opened.body)["maintainer_can_modify"] is True
    stage.double.requests.clear()
    assert "nothing to do" in stage.propose(token="stranger")[1].note
    assert stage.writes() == []
    assert stage.problems() == ()
    stage.merge()
    verdict = stage.destination("stranger").outcome(offer, submitted)
    assert verdict is not None
    assert verdict.accepted
    assert Result.PUBLISHED in stage.register()
    assert [info.version for info in stage.client().versions("acme-x")] == ["1.0.0"]


@pytest.mark.parametrize("shares_objects", [True, False])
def test_a_fork_that_is_behind(stage: Stage, shares_objects: bool) -> None:
    """The proposal follows the registry's main. Forks share objects on GitHub, which is enough; if not, it is synced."""
    stage.propose(token="stranger")
    stage.merge()
    stage.register()
    fork = stage.double.repository(FORK).git
    behind = git(fork, "rev-parse", "main")
    if shares_objects:
        (fork / "objects" / "info" / "alternates").write_text(f"{stage.bare / 'objects'}\n")
    stage.propose("1.1.0", token="stranger")
    main = git(stage.bare, "rev-parse", "main")
    assert git(fork, "rev-parse", "propose/acme-x@1.1.0^") == main
    assert git(fork, "rev-parse", "main") == (behind if shares_objects else main)
    assert len(stage.pulls()) == 2
    main = stage.commit({"README.md": b"hello\n"})
    stage.propose("1.1.0", token="stranger", permissions=["files.read"])
    assert git(fork, "rev-parse", "propose/acme-x@1.1.0^") == main
    assert len(stage.pulls()) == 2


def test_a_fork_that_cannot_be_synced(stage: Stage) -> None:
    """A fork whose main went its own way is an error that names it and the way out."""
    stage.propose(token="stranger")
    fork = stage.double.repository(FORK).git
    own = git(fork, "commit-tree", "-p", "main", "-m", "mine", "main^{tree}")
    git(fork, "update-ref", "refs/heads/main", own)
    stage.commit({"README.md": b"hello\n"})
    with pytest.raises(PublishError, match=FORK) as caught:
        stage.propose("1.1.0", token="stranger")
    assert "Sync fork" in caught.value.hint


def test_a_fork_takes_its_time(stage: Stage) -> None:
    """GitHub makes forks in the background: it is waited for, and not for ever."""
    not_yet = {"message": "Git Repository is empty.", "documentation_url": "https://docs.github.com"}
    stage.double.faults.append(Fault("GET", f"/repos/{FORK}/git/ref", 409, body=not_yet, times=3))
    stage.propose(token="stranger")
    assert len(stage.slept) == 3
    stage.double.faults.append(Fault("GET", f"/repos/{FORK}/git/ref", 409, body=not_yet, times=99))
    with pytest.raises(PublishError, match=FORK):
        stage.propose("1.1.0", token="stranger")
    assert len(stage.slept) < 40


def test_rules_against_the_branch_lead_to_the_fork(stage: Stage) -> None:
    """Somebody who may push, but not create such branches, proposes from a fork."""
    stage.double.add_token("half", "dev", {REGISTRY: FULL}, classic=True)
    stage.double.protect(REGISTRY, "refs/heads/propose/**/*", "refs/heads/propose/*", rules=("creation",))
    _, submitted = stage.propose(token="half")
    assert git(stage.double.repository(FORK).git, "rev-parse", BRANCH) == submitted.commit


@pytest.mark.parametrize(
    ("token", "options", "words"),
    [
        ("reader", {"permissions": {REGISTRY: {"contents": "read"}}}, "nor fork it"),
        ("job", {"permissions": {REGISTRY: {"contents": "read"}}, "app": True}, "belongs to no user"),
        ("owner", {"login": "acme"}, "is the owner's"),
        ("half", {"permissions": {REGISTRY: {"contents": "write"}}}, "no pull request"),
    ],
)
def test_no_permission_is_explained(stage: Stage, token: str, options: dict[str, Any], words: str) -> None:
    """Each says what the token may not, and has a hint."""
    stage.double.add_token(token, **{"login": "someone", **options})
    with pytest.raises(PublishError, match=words) as caught:
        stage.propose(token=token)
    assert caught.value.hint
    assert stage.pulls() == []


def test_no_token(stage: Stage) -> None:
    """Without a token there is nothing to propose with."""
    with pytest.raises(ConfigError, match="token") as caught:
        stage.destination("")
    assert "PLUGIN_REGISTRY_TOKEN" in caught.value.hint


@pytest.mark.parametrize(
    ("member", "words"), [({"archived": True}, "archived"), ({"has_pull_requests": False}, "switched off")]
)
def test_a_registry_that_takes_no_pull_requests(stage: Stage, member: dict[str, bool], words: str) -> None:
    """Said before anything is packed or written."""
    api = Api("writer", stage.double.api)
    shown = {**api.get(f"/repos/{REGISTRY}"), **member}
    stage.double.faults.append(Fault("GET", f"/repos/{REGISTRY}$", 200, body=shown))
    with pytest.raises(PublishError, match=words) as caught:
        stage.destination()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("No commits between main and propose/acme-x@1.0.0", "published"),
        ("A pull request already exists for acme:propose/acme-x@1.0.0.", "Run it again"),
        ("Repository was archived so is read-only.", "where it went"),
        ("Pull requests are disabled", "switch pull requests on"),
        ("something else", "write permission"),
    ],
)
def test_refusals_of_github_are_explained(stage: Stage, message: str, words: str) -> None:
    """A 422 for the pull request is told with what can be done about it."""
    body = {
        "message": "Validation Failed",
        "errors": [{"resource": "PullRequest", "code": "custom", "message": message}],
    }
    stage.double.faults.append(Fault("POST", "/pulls$", 422, body=body))
    with pytest.raises(GitHubError, match=re.escape(message)) as caught:
        stage.propose()
    assert words in caught.value.hint
    assert caught.value.status == 422


@pytest.mark.parametrize("path", ["/git/refs$", "/pulls$", "/git/commits$", "/git/trees$"])
@pytest.mark.parametrize("lost", [{"drop": True}, {"status": 502}])
def test_a_lost_answer_is_not_done_twice(stage: Stage, path: str, lost: dict[str, Any]) -> None:
    """GitHub did it, and its answer is lost: what is there is found, and there is one pull request."""
    stage.double.faults.append(Fault("POST", path, after=True, **lost))
    _, submitted = stage.propose()
    assert len(stage.pulls()) == 1
    assert submitted.url == f"{stage.double.url}/{REGISTRY}/pull/1"
    assert git(stage.bare, "rev-parse", BRANCH) == submitted.commit


def test_a_run_that_died_after_the_branch(stage: Stage) -> None:
    """A branch without a pull request is taken over by the next run."""
    stage.double.faults.append(Fault("POST", "/pulls$", 403, body={"message": "no"}))
    with pytest.raises(GitHubError):
        stage.propose()
    stage.world.tick(hours=1)
    offer, submitted = stage.propose()
    assert git(stage.bare, "rev-parse", BRANCH) == submitted.commit
    assert len(stage.pulls()) == 1
    stage.merge()
    stage.register()
    assert stage.client().manifest("acme-x", "1.0.0").payload_digest.hex == offer.digest_hex


def test_two_runs_at_once_make_one_pull_request(stage: Stage) -> None:
    """Both have looked before either has written; both succeed, and there is one branch and one pull request."""
    ready = threading.Barrier(2)

    def run(version_note: str) -> Submitted:
        to = stage.destination()
        offer, _ = _prepared(stage, to)
        ready.wait()
        return to.submit(offer, stage.world.now)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, ("one", "two")))
    assert len({submitted.url for submitted in results}) == 1
    assert len(stage.pulls()) == 1
    assert git(stage.bare, "rev-list", "--count", f"main..{BRANCH}") == "1"


def test_somebody_elses_open_proposal_is_not_doubled(stage: Stage) -> None:
    """The registry's own branch, proposed by others: the same content is left alone, other content is refused."""
    stage.propose()
    assert "nothing to do" in stage.propose(token="stranger")[1].note
    with pytest.raises(PublishError, match="cannot be updated"):
        stage.propose(token="stranger", permissions=["files.read"])
    assert len(stage.pulls()) == 1


def test_a_published_version_is_not_proposed(stage: Stage) -> None:
    """What is on main counts as before: the same is nothing to do, other content is refused, and statuses need a published version."""
    with pytest.raises(NotFoundError):
        stage.set_status(rollout=10)
    stage.publish_directly("1.0.0")
    assert stage.world.prepare("acme-x", "1.0.0", to=stage.destination()).offer is None
    with pytest.raises(VersionExistsError):
        stage.propose(permissions=["files.read"])


def test_a_proposed_version_has_no_status_yet(stage: Stage) -> None:
    """A status is for what is published: a proposal is changed by proposing it again."""
    stage.propose()
    with pytest.raises(NotFoundError):
        stage.set_status(rollout=10)


def test_merged_with_other_content(stage: Stage) -> None:
    """A maintainer who changed the branch merged something else than this run proposed."""
    offer, submitted = stage.propose()
    _, other = stage.propose(permissions=["files.read"])
    stage.destination().pending("acme-x", "1.0.0")
    stage.merge()
    verdict = stage.destination().outcome(offer, submitted)
    assert verdict is not None
    assert not verdict.accepted
    assert other.url == verdict.url


def test_the_text_has_what_a_maintainer_needs(stage: Stage) -> None:
    """Permissions, settings, size, digest, requirements, provenance and the command, all in the pull request."""
    stage.publish_directly("1.0.0", permissions=["files.read", "old.one"])
    offer, _ = stage.propose(
        "1.1.0",
        permissions=["files.read", "net.send"],
        configuration={"type": "object", "properties": {"apiKey": {"type": "string", "writeOnly": True}}},
        requires={"host": {"acme-host": ">=2"}, "plugins": {"acme-base": ">=1,<2"}},
        files={"app/main.py": b"print()\n"},
        artifacts=[{"ecosystem": "python", "pack": "app"}],
    )
    text = stage.pulls()[0].body or ""
    archive = next(path for path in offer.files if path.startswith("artifacts/"))
    for part in (
        "<!-- plugin-registry: proposal acme-x@1.1.0 -->",
        "**added**: `net.send`",
        "**removed**: `old.one`",
        "`apiKey`",
        f"`sha256:{offer.digest_hex}`",
        f"`sha256:{archive.split('/')[2]}`",
        "`1.0.0`",
        "acme-base",
        "`acme-host >=2`",
        f"publisher registry validate {stage.double.url}/{REGISTRY}.git --head refs/pull/NUMBER/head",
    ):
        assert part in text, part


SERVER = "https://github.com"
TO = Registry(f"{SERVER}/acme/registry.git", SERVER, "main")
HOSTILE = "](https://evil.example) ![x](https://evil.example/p.png) <img src=x onerror=alert(1)> @acme/team #1 `` ` | --> https://evil.example"


def _body(
    document: dict[str, Any], tree: MemoryTree | None = None, status: dict[str, Any] | None = None
) -> str:
    data = dump_json({**document, "signatures": [{"keyid": "0" * 64, "sig": "00"}]})
    offer = Offer(document["id"], document["version"], "0" * 64, {"manifest.json": data}, "Publish it\n")
    return build_body(offer, document, status, tree or MemoryTree({}), TO)


def _rendered(text: str) -> list[Token]:
    """What CommonMark with tables makes of a text, as a flat list."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [token for block in blocks for token in (block, *(block.children or ()))]


def _shown(tokens: list[Token]) -> str:
    """Text outside code, which GitHub searches for mentions, references and addresses."""
    found, in_code = [], False
    for token in tokens:
        if token.type == "html_inline":
            in_code = token.content == "<code>"
        elif token.type == "text" and not in_code:
            found.append(token.content)
    return "\n".join(found)


def test_hostile_text_stays_text() -> None:
    """Names, permissions, settings, requirements, provenance and reasons open no link, image, HTML or mention."""
    document = manifest(
        name=HOSTILE,
        permissions=[HOSTILE, "@acme", "`a`"],
        configuration={"type": "object", "properties": {HOSTILE: {}}},
        requires={"packages": [HOSTILE], "system": ["@acme/team #1"]},
        artifacts=[
            {
                "ecosystem": "custom",
                "url": "https://evil.example/`|<b>@acme",
                "digest": "sha256:" + "0" * 64,
                "size": 1,
            }
        ],
        provenance={
            "repository": "https://evil.example/a/b",
            "commit": "0" * 40,
            "ref": HOSTILE,
            "workflow": HOSTILE,
            "run": f"{SERVER}/acme/x/issues/1",
        },
    )
    text = _body(document, status=release(document, reason=HOSTILE))
    tokens = _rendered(text)
    kinds = {token.type for token in tokens}
    assert not kinds & {"link_open", "image", "em_open", "s_open", "heading_open", "bullet_list_open"}
    html = {token.content for token in tokens if token.type.startswith("html_")}
    assert {tag.strip() for tag in html if not tag.startswith("<!-- plugin-registry: ")} == {
        "<code>",
        "</code>",
    }
    shown = _shown(tokens)
    assert not re.search(r"@\w|#\d|https?:/|www\.", shown)
    assert shown.count("evil.example") == 0 or "https:\u200b//evil.example" in shown
    rows = sum(token.type == "tr_open" for token in tokens)
    assert rows > 15
    assert sum(token.type in {"td_open", "th_open"} for token in tokens) == 2 * rows
    assert [token.type for token in tokens].count("code_block") == 1


def _links(text: str) -> set[str]:
    return {str(token.attrs["href"]) for token in _rendered(text) if token.type == "link_open"}


def test_only_known_addresses_on_github_become_links() -> None:
    """A commit and a run of a repository are linked; anything else, on GitHub too, is shown as text."""
    good = {
        "repository": f"{SERVER}/acme/x",
        "commit": "a" * 40,
        "ref": "refs/tags/v1",
        "workflow": "publish",
        "run": f"{SERVER}/acme/x/actions/runs/12",
    }
    text = _body(manifest(provenance=good))
    assert _links(text) == {good["run"], f"{SERVER}/acme/x/commit/{'a' * 40}"}
    for name, value in (
        ("repository", f"{SERVER}/acme/x/issues/1"),
        ("repository", f"{SERVER}.evil.example/acme/x"),
        ("run", f"{SERVER}/acme/x/actions/runs/12#x) [y](https://evil.example"),
        ("run", f"{SERVER}/acme/x/pull/3"),
        ("run", f"{SERVER}/acme/x/actions/runs/12\n"),
    ):
        bad = _body(manifest(provenance={**good, name: value}))
        assert _links(bad) < _links(text), value


def test_the_text_fits_github() -> None:
    """However much a manifest says, the text is within GitHub's limit, whole, and keeps the most important part."""
    many = [f"{'@<|`' * 24}{number}" for number in range(200)]
    document = manifest(
        name="<" * 200,
        permissions=many,
        configuration={"type": "object", "properties": {name: {} for name in many}},
        requires=dict.fromkeys(("packages", "system", "platforms"), many)
        | {kind: dict.fromkeys(many, ">=1") for kind in ("host", "plugins")},
    )
    text = _body(document, status=release(document, reason="é|" * 1000))
    assert len(text.encode()) <= LONGEST_BODY
    assert "too long to be shown here" in text
    assert text.endswith("-->")
    assert "publisher registry validate" in text
    assert "Payload digest" in text


def test_people_can_not_write_a_text_too_long() -> None:
    """Where what people wrote and what we write do not fit together, ours is what stays."""
    mine = _body(manifest())
    around = f"{'x' * 60_000}\n{mine}\n"
    assert merge_body(mine, around) == around
    longer = f"{'x' * 65_000}\n{mine}\n"
    assert merge_body(mine, longer) == mine
    assert merge_body(mine, "somebody deleted the marks") == mine
    assert merge_body(mine, mine) == mine


def test_compared_with_the_version_before() -> None:
    """What hosts are offered now if that is older, else the next lower version, whatever else lies around."""

    def at(version: str) -> bytes:
        return dump_json({**manifest(version=version), "signatures": [{"keyid": "0" * 64, "sig": "00"}]})

    files = {f"plugins/acme-calendar/{v}/manifest.json": at(v) for v in ("1.0.0", "1.2.0", "1.10.0", "2.0.0")}
    tree = MemoryTree({**files, "plugins/acme-calendar/junk/manifest.json": b"{"})

    def before(version: str, tree: MemoryTree = tree) -> str | None:
        found = previous_manifest(tree, "acme-calendar", version)
        return None if found is None else str(found["version"])

    assert [before(v) for v in ("1.3.0", "1.11.0", "3.0.0", "1.2.0")] == ["1.2.0", "1.10.0", "2.0.0", "1.0.0"]
    assert before("0.1.0") == "2.0.0"
    public = MemoryTree({**tree.files, "plugins/acme-calendar.json": at("1.10.0")})
    assert [before("3.0.0", public), before("1.3.0", public)] == ["1.10.0", "1.2.0"]
    assert before("1.0.0", MemoryTree({"plugins/acme-calendar/0.9.0/manifest.json": b"{"})) is None


def test_when_documents_say_the_same() -> None:
    """A signature made anew and another time are no change; another key, or any other word, is."""
    from support.documents import sign

    one, two = ed25519("one"), ed25519("two")
    path = "plugins/acme-calendar/1.2.0/release.json"

    def data(*signers: Any, **change: Any) -> bytes:
        return dump_json(sign(release(**change), *signers))

    assert says_the_same(path, data(one), data(one, lastUpdated="2026-01-01T00:00:00Z"))
    assert not says_the_same(path, data(one), data(two))
    assert not says_the_same(path, data(one), data(one, rollout=5))
    assert not says_the_same(path, None, data(one))
    assert not says_the_same(path, b"{", data(one))
    signed = dump_json(sign(manifest(), one))
    where = "plugins/acme-calendar/1.2.0/manifest.json"
    assert says_the_same(where, signed, signed)
    assert not says_the_same(where, signed, dump_json(sign(manifest(name="Other"), one)))
    assert parse_manifest(signed, where).model.id == "acme-calendar"
    assert not says_the_same("artifacts/sha256/00/x.zip", b"a", b"b")


def test_by_command_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`publish --pull-request` says where the pull request is, and the second time that nothing had to be done."""
    signer = stage.world.publishers["acme"][0]
    assert isinstance(signer, CryptoSigner)
    pem = signer.private_bytes.decode()
    for name, value in (
        ("PLUGIN_REGISTRY_KEY", pem),
        ("PLUGIN_REGISTRY_TOKEN", "writer-secret"),
        ("GITHUB_API_URL", stage.double.api),
    ):
        monkeypatch.setenv(name, value)
    stage.double.add_token("writer-secret", "ci", {REGISTRY: FULL})
    source = stage.world.write_source("acme-x", "1.0.0")
    arguments = ["publish", str(source), "--to", REGISTRY, "--pull-request", "--json"]
    said = []
    for _ in range(2):
        assert main(arguments) == 0
        said.append(capsys.readouterr())
    url = f"{stage.double.url}/{REGISTRY}/pull/1"
    assert [json.loads(each.out)["url"] for each in said] == [url, url]
    assert len({json.loads(each.out)["payloadDigest"] for each in said}) == 1
    assert ["nothing to do" in json.loads(each.out).get("note", "") for each in said] == [False, True]
    assert main(arguments[:-1]) == 0
    said.append(capsys.readouterr())
    assert f"{url} proposes this already; nothing to do" in said[-1].out
    assert "writer-secret" not in "".join(each.out + each.err for each in said)


def test_no_request_breaks_githubs_description(stage: Stage) -> None:
    """A whole life of a proposal, from the fork to the merge, is made of requests that GitHub documents."""
    offer, submitted = stage.propose(token="stranger")
    stage.propose(token="stranger", permissions=["files.read"])
    stage.destination("stranger").outcome(offer, submitted)
    assert stage.double.violations == []
    assert stage.requests("GET", "/user$") >= 1


def test_errors_are_ours(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that is not as GitHub documents it is an error of this project, and never shows the token."""
    for path, answer in (
        (f"/repos/{REGISTRY}$", {"full_name": 3}),
        ("/pulls", {"not": "a list"}),
        ("/git/ref", [1]),
    ):
        stage.double.faults[:] = [Fault("GET", path, 200, body=answer)]
        with pytest.raises(RegistryError) as caught:
            stage.propose()
        assert "writer" not in str(caught.value)
    assert "writer" not in caplog.text
