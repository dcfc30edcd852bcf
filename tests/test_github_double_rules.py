"""The double of GitHub's API lets in, refuses, fails and counts as GitHub does, and sticks to GitHub's description."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import requests
from support import npm
from support.github import gitdata
from support.github.clients import ALL, REGISTRY, client, orphan, raw, refused, registry, small_registry
from support.github.description import github_description
from support.github.records import Fault
from support.github.server import github_double
from support.github.wire import ROUTES, Answer, Route

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.github.state import Double


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    with small_registry(tmp_path / "repositories") as served:
        yield served


class TestIdentity:
    """Names change, numbers stay."""

    def test_a_renamed_repository_is_followed(self, double: Double) -> None:
        """Its number stays, its old name leads to it, and what is below it as well."""
        before = registry(double)
        double.rename(REGISTRY, "globex/index")
        answer = raw(double, "GET", f"/repos/{REGISTRY}/releases?per_page=1")
        assert answer.status_code == 301
        assert answer.headers["Location"] == f"{double.api}/repositories/{before.id}/releases?per_page=1"
        assert registry(double).full_name == "globex/index"
        assert client(double).get_repo(before.id).full_name == "globex/index"
        assert raw(double, "GET", f"/repositories/{before.id}/releases").json() == []

    def test_a_recreated_repository_is_another(self, double: Double) -> None:
        """The same name, another number, and the old number is gone."""
        before = registry(double)
        double.recreate(REGISTRY)
        assert registry(double).id != before.id
        refused(404, "Not Found", lambda: client(double).get_repo(before.id))

    def test_user_and_limits(self, double: Double) -> None:
        """Whose token it is, and what is left of its hour; GITHUB_TOKEN stands for no user."""
        assert client(double).get_user().login == "writer"
        assert client(double).get_rate_limit().rate.limit == 5000
        double.add_token("t-job", "github-actions[bot]", {REGISTRY: ALL}, app=True, limit=1000)
        refused(403, "not accessible by integration", lambda: client(double, "t-job").get_user().login)

    def test_enterprise(self, tmp_path: Path) -> None:
        """The API under /api/v3, with uploads of its own, as on a GitHub Enterprise Server."""
        with github_double(tmp_path, prefix="/api/v3") as double:
            double.seed(REGISTRY, {"a": "a"})
            double.add_token("t-writer", "writer", {REGISTRY: ALL})
            release = registry(double).create_git_release("v1", "1", "")
            assert release.upload_url.startswith(f"{double.url}/api/uploads/repos/")
            assert release.upload_asset_from_memory(io.BytesIO(b"x"), 1, "a.zip").size == 1


class TestAccess:
    """Who may do what."""

    @pytest.mark.parametrize(
        ("token", "path", "status", "message"),
        [
            ("t-wrong", REGISTRY, 401, "Bad credentials"),
            ("t-reader", "acme/secret", 404, "Not Found"),
            ("", "acme/secret", 404, "Not Found"),
            ("", REGISTRY, 200, ""),
            ("t-reader", REGISTRY, 200, ""),
            ("t-secret", "acme/secret", 200, ""),
        ],
    )
    def test_reading(self, double: Double, token: str, path: str, status: int, message: str) -> None:
        """Public repositories are for all, private ones are not even there for the others."""
        double.create("acme/secret", private=True)
        double.add_token("t-secret", "member", {"acme/secret": {"contents": "read"}})
        answer = raw(double, "GET", f"/repos/{path}", token)
        assert (answer.status_code, answer.json().get("message", "")) == (status, message)

    def test_writing_needs_the_permission(self, double: Double) -> None:
        """Without it 403, which names it; without a token 401; both change nothing."""
        body = {"ref": "refs/heads/x", "sha": registry(double).get_branch("main").commit.sha}
        answer = raw(double, "POST", f"/repos/{REGISTRY}/git/refs", "t-reader", json=body)
        assert (answer.status_code, answer.json()["message"]) == (
            403,
            "Resource not accessible by personal access token",
        )
        assert answer.headers["X-Accepted-GitHub-Permissions"] == "contents=write"
        assert raw(double, "POST", f"/repos/{REGISTRY}/git/refs", "", json=body).status_code == 401
        assert "refs/heads/x" not in gitdata.refs(double.repository(REGISTRY).git)
        assert double.tokens_seen >= {"t-writer", "t-reader"}

    def test_rulesets(self, double: Double) -> None:
        """Publishers create publish/* and nothing else; main and deletions belong to the registrar."""
        double.add_token("t-registrar", "registrar", {REGISTRY: ALL})
        bypass = ("t-registrar",)
        double.protect(REGISTRY, "refs/heads/publish/*", rules=("update", "deletion"), bypass=bypass)
        double.protect(REGISTRY, "~ALL", exclude=("refs/heads/publish/*",), bypass=bypass)
        repository, registrar = registry(double), registry(double, "t-registrar")
        commit = orphan(repository)
        main = repository.get_git_ref("heads/main")
        repository.create_git_ref("refs/heads/publish/a", commit)
        ref = repository.get_git_ref("heads/publish/a")
        refused(422, "Repository rule violations found", lambda: ref.edit(main.object.sha, force=True))
        refused(422, "Cannot delete this branch", ref.delete)
        refused(422, "Cannot create ref", lambda: repository.create_git_ref("refs/heads/publish/a/b", commit))
        refused(422, "Cannot update this protected ref", lambda: main.edit(main.object.sha))
        registrar.get_git_ref("heads/publish/a").delete()


class TestFaults:
    """What goes wrong on the way."""

    def test_answers(self, double: Double) -> None:
        """A fault meets as many requests as it is to, those that fit, and then no more."""
        body = {"message": "You have exceeded a secondary rate limit."}
        double.faults.append(Fault("POST", "/git/blobs$", 403, {"Retry-After": "1"}, body, times=2))
        repository = registry(double)
        for _ in range(2):
            error = refused(403, "secondary rate limit", lambda: repository.create_git_blob("x", "utf-8"))
            assert (error.headers or {})["retry-after"] == "1"
        assert repository.create_git_blob("x", "utf-8").sha

    def test_a_lost_answer(self, double: Double) -> None:
        """The work is done, and the caller does not hear of it; a second attempt meets its own ref."""
        repository = registry(double)
        sha = repository.get_branch("main").commit.sha
        double.faults.append(Fault("POST", "/git/refs$", drop=True, after=True))
        with pytest.raises(requests.ConnectionError):
            repository.create_git_ref("refs/heads/publish/a", sha)
        assert gitdata.resolve(double.repository(REGISTRY).git, "refs/heads/publish/a") == sha
        refused(
            422, "Reference already exists", lambda: repository.create_git_ref("refs/heads/publish/a", sha)
        )

    def test_a_dropped_connection(self, double: Double) -> None:
        """Nothing was done."""
        repository = registry(double)
        sha = repository.get_branch("main").commit.sha
        double.faults.append(Fault(path="/git/refs$", drop=True))
        with pytest.raises(requests.ConnectionError):
            repository.create_git_ref("refs/heads/publish/a", sha)
        assert not gitdata.resolve(double.repository(REGISTRY).git, "refs/heads/publish/a")

    def test_the_hourly_limit(self, double: Double) -> None:
        """After the last request of the hour: 403, until it is over."""
        double.add_token("t-few", "few", limit=1)
        registry(double, "t-few")
        answer = raw(double, "GET", f"/repos/{REGISTRY}", "t-few")
        assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (403, "0")
        assert answer.json()["message"].startswith("API rate limit exceeded for user ID")
        later = double.rate_limit_reset()
        double.now = lambda: later
        assert raw(double, "GET", f"/repos/{REGISTRY}", "t-few").status_code == 200


class TestViolations:
    """The double cannot be asked, or made to answer, what GitHub's description does not have."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "problem"),
        [
            ("GET", "/nowhere", None, "GitHub has no such operation"),
            ("GET", f"/repos/{REGISTRY}/git/refs/heads/main", None, "GitHub has no such operation"),
            ("POST", f"/repos/{REGISTRY}/git/refs", None, "no body"),
            ("POST", f"/repos/{REGISTRY}/git/refs", {"ref": "refs/heads/x"}, "'sha' is a required property"),
            ("POST", f"/repos/{REGISTRY}/git/blobs", {"content": 1}, "1 is not of type 'string'"),
            ("POST", f"/repos/{REGISTRY}/git/blobs", {"content": "", "x": 1}, "no field 'x'"),
            ("GET", f"/repos/{REGISTRY}/releases?page_size=3", None, "no parameter 'page_size'"),
            ("GET", f"/repos/{REGISTRY}/releases?per_page=many", None, "is not of type 'integer'"),
            ("GET", f"/repos/{REGISTRY}/releases/latest-one", None, "is not of type 'integer'"),
            ("GET", f"/repos/{REGISTRY}/pulls?state=merged", None, "is not one of"),
            ("GET", f"/repos/{REGISTRY}/hooks", None, "the double does not do this"),
            ("GET", f"/repos/{REGISTRY}/issues?mentioned=ann", None, "the double does not do mentioned"),
            (
                "POST",
                f"/repos/{REGISTRY}/dispatches",
                {"event_type": "e", "client_payload": {str(n): n for n in range(11)}},
                "too many properties",
            ),
        ],
    )
    def test_wrong_requests(
        self, double: Double, method: str, path: str, body: dict[str, Any] | None, problem: str
    ) -> None:
        """A request against the description fails, and is kept."""
        answer = raw(double, method, path, json=body)
        assert answer.status_code == 500
        assert len(double.violations) == 1
        assert problem in double.violations[0]
        double.violations.clear()

    @pytest.mark.parametrize(
        ("answer", "problem"),
        [
            (Answer(200, {"ref": "refs/heads/main"}), "'node_id' is a required property"),
            (Answer(200, []), "is not of type 'object'"),
            (Answer(202, {}), "status 202, which the description does not list"),
            (Answer(404, {"message": 1}), "1 is not of type 'string'"),
        ],
    )
    def test_wrong_answers(
        self, double: Double, monkeypatch: pytest.MonkeyPatch, answer: Answer, problem: str
    ) -> None:
        """An answer against the description fails, and is kept."""
        place = ("GET", "/repos/{owner}/{repo}/git/ref/{ref}")
        monkeypatch.setitem(ROUTES, place, Route(lambda _: answer, "contents", "read"))
        assert raw(double, "GET", f"/repos/{REGISTRY}/git/ref/heads/main").status_code == 500
        assert problem in double.violations.pop()

    def test_violations_fail_the_test(self, tmp_path: Path) -> None:
        """Whoever uses the double learns of a violation at the end, even if the code under test hid the 500."""
        with (
            pytest.raises(AssertionError, match="GitHub has no such operation"),
            github_double(tmp_path) as double,
        ):
            raw(double, "GET", "/nowhere", "")

    def test_every_route_is_in_the_description(self) -> None:
        """No route is made up."""
        for method, template in ROUTES:
            github_description().operation(method, template)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """Without npm the tests that need its packages are skipped, and say so; in CI they fail."""
    (tmp_path / "package-lock.json").write_text("{}")
    monkeypatch.setattr(npm, "FOLDER", tmp_path)
    monkeypatch.setattr(npm, "_ENVIRONMENT", {"PATH": str(tmp_path), "CI": ci})
    with pytest.raises(outcome, match="npm is not installed"):
        npm.node_modules()
