"""The double of GitHub's API does on real repositories what GitHub does: Git data, events, pulls, issues, releases."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from typing import TYPE_CHECKING

import pytest
import requests
from github import GithubException, InputGitAuthor, InputGitTreeElement
from support.github import gitdata
from support.github.clients import ALL, REGISTRY, client, orphan, raw, refused, registry, small_registry
from support.npm import webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from github.PullRequest import PullRequest
    from support.github.records import Dispatch
    from support.github.state import Double


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    with small_registry(tmp_path / "repositories") as served:
        yield served


class TestGitData:
    """The Git data API works on the bare repository that a Git host serves."""

    def test_publishes_a_commit_without_a_parent(self, double: Double) -> None:
        """Blob, tree, commit, ref, and what Git itself then finds in the repository."""
        repository = registry(double)
        blob = repository.create_git_blob(base64.b64encode(b"\0bin").decode(), "base64")
        elements = [
            InputGitTreeElement("artifacts/a.bin", "100644", "blob", sha=blob.sha),
            InputGitTreeElement("manifest.json", "100644", "blob", content="{}\n"),
        ]
        tree = repository.create_git_tree(elements)
        assert [each.path for each in tree.tree] == ["artifacts", "manifest.json"]
        who = InputGitAuthor("Ann", "ann@example.org", "2026-01-02T03:04:05Z")
        commit = repository.create_git_commit("publish a", tree, [], author=who)
        ref = repository.create_git_ref("refs/heads/publish/a@1.0.0@0123456789ab", commit.sha)
        git = double.repository(REGISTRY).git
        assert gitdata.resolve(git, ref.ref) == commit.sha
        read = gitdata.read_commit(git, commit.sha)
        assert (read.parents, read.message) == ((), "publish a")
        assert (read.author.line(), read.committer.line()) == ("Ann <ann@example.org> 1767323045 +0000",) * 2
        assert gitdata.run(git, "show", f"{commit.sha}:artifacts/a.bin") == b"\0bin"
        assert repository.get_git_commit(commit.sha).author.name == "Ann"
        assert base64.b64decode(repository.get_git_blob(blob.sha).content) == b"\0bin"
        whole = repository.get_git_tree(commit.sha, recursive=True)
        assert [each.path for each in whole.tree] == ["artifacts", "artifacts/a.bin", "manifest.json"]

    def test_changes_a_base_tree(self, double: Double) -> None:
        """A tree from another: a file added, one removed, the rest kept."""
        repository = registry(double)
        base = repository.get_git_tree(repository.get_branch("main").commit.sha)
        added = InputGitTreeElement("new.txt", "100644", "blob", content="new")
        removed = InputGitTreeElement("README.md", "100644", "blob", sha=None)
        tree = repository.create_git_tree([added, removed], base)
        assert [each.path for each in tree.tree] == ["new.txt", "plugins"]

    def test_refs(self, double: Double) -> None:
        """Refs are listed, created once, moved forward only, and deleted."""
        repository = registry(double)
        first = repository.get_git_ref("heads/main").object.sha
        second = double.seed(REGISTRY, {"b": "b"})
        ref = repository.create_git_ref("refs/heads/publish/a", first)
        refused(
            422, "Reference already exists", lambda: repository.create_git_ref("refs/heads/publish/a", first)
        )
        refused(
            422, "Reference update failed", lambda: repository.create_git_ref("refs/heads/publish", first)
        )
        refused(422, "Object does not exist", lambda: repository.create_git_ref("refs/heads/x", "0" * 40))
        refused(422, "exactly 40 characters", lambda: repository.create_git_ref("refs/heads/x", "abc"))
        refused(422, "not a valid ref name", lambda: repository.create_git_ref("refs/heads/a..b", first))
        ref.edit(second)
        refused(422, "Update is not a fast forward", lambda: ref.edit(first))
        ref.edit(first, force=True)
        assert [each.ref for each in repository.get_git_matching_refs("heads/publish/")] == [
            "refs/heads/publish/a"
        ]
        ref.delete()
        refused(404, "Not Found", lambda: repository.get_git_ref("heads/publish/a"))
        refused(422, "Reference does not exist", ref.delete)

    def test_contents(self, double: Double) -> None:
        """Files up to 1 MB come in Base64, larger ones without content; folders are listed; the rest is 404."""
        double.seed(REGISTRY, {"big.bin": b"x" * 1_000_001}, branch="big")
        repository = registry(double)
        file = repository.get_contents("README.md")
        assert not isinstance(file, list)
        assert file.decoded_content == b"# Registry\n"
        listed = repository.get_contents("")
        assert isinstance(listed, list)
        assert {each.path: each.type for each in listed} == {"README.md": "file", "plugins": "dir"}
        big = repository.get_contents("big.bin", ref="big")
        assert not isinstance(big, list)
        assert (big.encoding, big.content, big.size) == ("none", "", 1_000_001)
        plain = raw(
            double,
            "GET",
            f"/repos/{REGISTRY}/contents/README.md",
            headers={"Accept": "application/vnd.github.raw"},
        )
        assert plain.content == b"# Registry\n"
        refused(404, "Not Found", lambda: repository.get_contents("missing"))
        refused(
            404, "No commit found for the ref gone", lambda: repository.get_contents("README.md", ref="gone")
        )
        refused(404, "Branch not found", lambda: repository.get_branch("gone"))

    def test_an_empty_repository_has_no_git_data(self, double: Double) -> None:
        """GitHub answers 409 until the first push."""
        double.create("acme/empty")
        double.add_token("t-empty", "writer", {"acme/empty": ALL})
        repository = client(double, "t-empty").get_repo("acme/empty")
        refused(409, "Git Repository is empty.", lambda: repository.create_git_blob("x", "utf-8"))

    def test_twenty_refs_at_once(self, double: Double) -> None:
        """Twenty threads create a ref each, and race for one: one of them gets it."""
        repository = registry(double)
        sha, won = repository.get_branch("main").commit.sha, []

        def publish(number: int) -> None:
            mine = registry(double)
            mine.create_git_ref(f"refs/heads/publish/{number}", sha)
            try:
                won.append(mine.create_git_ref("refs/heads/race", sha))
            except GithubException as e:
                assert e.status == 422  # noqa: PT017  (the loser's answer)

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(repository.get_git_matching_refs("heads/publish/"))) == 20
        assert len(won) == 1


class TestEvents:
    """Dispatches and commit statuses."""

    def test_dispatch(self, double: Double) -> None:
        """An event is recorded, and whoever waits for it is called."""
        heard: list[Dispatch] = []
        double.on_dispatch = heard.append
        registry(double).create_repository_dispatch("plugin-published", {"ref": "refs/heads/publish/a"})
        assert [each.client_payload for each in double.dispatches] == [{"ref": "refs/heads/publish/a"}]
        assert heard == double.dispatches

    def test_statuses(self, double: Double) -> None:
        """The latest of a context counts, one failure is the commit's, and an unknown commit is refused."""
        repository = registry(double)
        sha = repository.get_branch("main").commit.sha
        target = repository.get_branch("main").commit
        assert target.get_combined_status().state == "pending"
        target.create_status("failure", description="refused", context="plugin-registry")
        assert target.get_combined_status().state == "failure"
        target.create_status("success", context="plugin-registry")
        combined = target.get_combined_status()
        assert (combined.state, combined.total_count, combined.sha) == ("success", 1, sha)
        assert [each.state for each in target.get_statuses()] == ["success", "failure"]
        too_long = "x" * 141
        refused(422, "Validation Failed", lambda: target.create_status("error", description=too_long))
        unknown = f"/repos/{REGISTRY}/commits/{'1' * 40}/status"
        assert raw(double, "GET", unknown).json()["message"] == f"No commit found for SHA: {'1' * 40}"
        assert raw(double, "GET", f"/repos/{REGISTRY}/commits/gone/statuses").status_code == 404
        path = f"/repos/{REGISTRY}/statuses/{'1' * 40}"
        assert raw(double, "POST", path, json={"state": "success"}).status_code == 422

    def test_payload_examples(self) -> None:
        """Events for workflow runs are real ones."""
        assert webhook("push")["ref"].startswith("refs/")
        assert webhook("pull_request", "opened")["pull_request"]["state"] == "open"
        assert "client_payload" in webhook("repository_dispatch")
        with pytest.raises(KeyError):
            webhook("pull_request", "no such action")


class TestPulls:
    """Pull requests, from branches and forks."""

    def test_from_a_branch(self, double: Double) -> None:
        """Opened once, found by its head, updated, its files listed, closed by a merge that someone pushes."""
        repository = registry(double)
        main = repository.get_branch("main").commit.sha
        repository.create_git_ref("refs/heads/propose/a@2", main)

        def propose() -> PullRequest:
            return repository.create_pull("main", "propose/a@2", title="a 2", body="adds")

        refused(422, "No commits between", propose)
        head = double.seed(REGISTRY, {"plugins/a/2/manifest.json": "{}\n"}, branch="propose/a@2")
        pull = propose()
        refused(422, "A pull request already exists for acme:propose/a@2.", propose)
        assert [each.number for each in repository.get_pulls(head="acme:propose/a@2")] == [pull.number]
        assert list(repository.get_pulls(head="acme:other")) == []
        git = double.repository(REGISTRY).git
        assert gitdata.resolve(git, f"refs/pull/{pull.number}/head") == head
        assert [each.filename for each in pull.get_files()] == ["plugins/a/2/manifest.json"]
        pull.edit(title="a 2.0", body="adds more")
        newer = double.seed(REGISTRY, {"plugins/a/2/release.json": "{}\n"}, branch="propose/a@2")
        again = repository.get_pull(pull.number)
        assert (again.title, again.head.sha, again.changed_files) == ("a 2.0", newer, 2)
        assert gitdata.resolve(git, f"refs/pull/{pull.number}/head") == newer
        assert [each.pull_request is not None for each in repository.get_issues()] == [True]
        gitdata.set_ref(git, "refs/heads/main", newer, main)
        merged = repository.get_pull(pull.number)
        assert (merged.state, merged.merged) == ("closed", True)

    def test_from_a_fork(self, double: Double) -> None:
        """Someone without a permission forks, and proposes from the fork; only a classic token may."""
        refused(403, "Resource not accessible", registry(double, "t-reader").create_fork)
        double.add_token("t-classic", "author", classic=True)
        upstream = registry(double, "t-classic")
        fork = upstream.create_fork()
        assert (fork.full_name, fork.fork, fork.parent.full_name) == ("author/registry", True, REGISTRY)
        head = double.seed("author/registry", {"plugins/b/1/manifest.json": "{}"}, branch="propose/b@1")
        pull = upstream.create_pull(base="main", head="author:propose/b@1", title="b 1", body="")
        assert pull.head.repo.full_name == "author/registry"
        assert gitdata.resolve(double.repository(REGISTRY).git, f"refs/pull/{pull.number}/head") == head
        pull.edit(state="closed")
        assert list(upstream.get_pulls()) == []
        refused(422, "Validation Failed", lambda: upstream.create_pull("main", "author:none", title="t"))

    def test_without_common_history(self, double: Double) -> None:
        """A publish branch has no parent, so it cannot be proposed."""
        repository = registry(double)
        repository.create_git_ref("refs/heads/publish/a", orphan(repository))
        refused(
            422,
            "has no history in common with main",
            lambda: repository.create_pull("main", "publish/a", title="t"),
        )


class TestIssues:
    """Issues."""

    def test_issue_life(self, double: Double) -> None:
        """Opened with a label, found by it, commented, changed, closed."""
        repository = registry(double)
        issue = repository.create_issue("Expiry", "in 5 days", labels=["expiry"])
        repository.create_issue("Other")
        assert [each.number for each in repository.get_issues(labels=["expiry"])] == [issue.number]
        issue.create_comment("still")
        assert [each.body for each in issue.get_comments()] == ["still"]
        issue.edit(body="in 4 days")
        assert repository.get_issue(issue.number).body == "in 4 days"
        issue.edit(state="closed", state_reason="completed")
        assert [each.title for each in repository.get_issues()] == ["Other"]
        assert [each.title for each in repository.get_issues(state="closed")] == ["Expiry"]
        refused(404, "Not Found", lambda: repository.get_issue(99))

    def test_labels_need_the_permission(self, double: Double) -> None:
        """Anyone may open an issue, but their labels are dropped in silence."""
        double.add_token("t-classic", "author", classic=True)
        issue = registry(double, "t-classic").create_issue("Mine", labels=["urgent"])
        assert list(issue.labels) == []
        other = registry(double).create_issue("Not mine")
        mine = registry(double, "t-classic").get_issue(other.number)
        refused(403, "Must have admin rights", lambda: mine.edit(title="x"))


class TestReleases:
    """Releases and their assets."""

    def test_release_with_an_asset(self, double: Double) -> None:
        """A release makes its tag; its asset has a digest, is had without a token, replaced only after deletion."""
        repository = registry(double)
        release = repository.create_git_release("v1.0.0", "1.0.0", "first")
        assert gitdata.resolve(double.repository(REGISTRY).git, "refs/tags/v1.0.0")
        content = b"artifact"
        asset = release.upload_asset_from_memory(
            io.BytesIO(content), len(content), "a 1.zip", "application/zip"
        )
        assert (asset.name, asset.size) == ("a.1.zip", len(content))
        assert asset.raw_data["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
        assert requests.get(asset.browser_download_url, timeout=10).content == content

        def replace() -> object:
            return release.upload_asset_from_memory(io.BytesIO(b"other"), 5, "a 1.zip")

        refused(422, "Validation Failed", replace)
        found = repository.get_release("v1.0.0")
        assert [each.name for each in found.get_assets()] == ["a.1.zip"]
        octets = {"Accept": "application/octet-stream"}
        moved = raw(double, "GET", f"/repos/{REGISTRY}/releases/assets/{asset.id}", headers=octets)
        assert requests.get(moved.headers["Location"], timeout=10).content == content
        found.assets[0].delete_asset()
        assert repository.get_release(found.id).assets == []
        assert requests.get(asset.browser_download_url, timeout=10).status_code == 404
        refused(404, "Not Found", lambda: repository.get_release("v2"))
        refused(422, "Validation Failed", lambda: repository.create_git_release("v1.0.0", "again", ""))

    def test_drafts(self, double: Double) -> None:
        """A draft is seen only by those who may write, and has no tag until it is published."""
        draft = registry(double).create_git_release("v2", "2", "", draft=True)
        assert list(registry(double, "t-reader").get_releases()) == []
        assert not gitdata.resolve(double.repository(REGISTRY).git, "refs/tags/v2")
        draft.update_release("2", "notes", draft=False)
        assert [each.tag_name for each in registry(double, "t-reader").get_releases()] == ["v2"]
        assert gitdata.resolve(double.repository(REGISTRY).git, "refs/tags/v2")

    def test_pages_and_conditional_requests(self, double: Double) -> None:
        """Lists have pages; an unchanged one is 304, and does not count."""
        repository = registry(double)
        for number in range(5):
            repository.create_git_release(f"v{number}", str(number), "")
        small = client(double)
        small.per_page = 2
        names = [each.tag_name for each in small.get_repo(REGISTRY).get_releases()]
        assert sorted(names) == ["v0", "v1", "v2", "v3", "v4"]
        path = f"/repos/{REGISTRY}/releases?per_page=2"
        first = raw(double, "GET", path)
        assert 'rel="next"' in first.headers["Link"]
        again = raw(double, "GET", path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["X-RateLimit-Used"] == first.headers["X-RateLimit-Used"]
        repository.create_git_release("v9", "9", "")
        changed = raw(double, "GET", path, headers={"If-None-Match": first.headers["ETag"]})
        assert changed.status_code == 200
