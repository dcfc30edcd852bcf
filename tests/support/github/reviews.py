"""What is said about pull requests: reviews and check runs. And forks that follow what they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.github import bodies, gitdata
from support.github.records import CheckRun, Review
from support.github.wire import Answer, ApiError, Call, not_found, route

if TYPE_CHECKING:
    from support.github.records import Repository
    from support.github.state import Double


def add_review(double: Double, repository: Repository, pull: int, login: str, body: str) -> Review:
    """Review a pull request."""
    review = Review(double.next_id(), pull, login, body, double.now())
    repository.reviews.append(review)
    return review


def add_check_run(
    double: Double, repository: Repository, sha: str, name: str, conclusion: str | None
) -> CheckRun:
    """Say what a check made of a commit; None while it runs."""
    run = CheckRun(double.next_id(), sha, name, conclusion, double.now())
    repository.check_runs.append(run)
    return run


@route("GET", "…/pulls/{pull_number}/reviews", "pull_requests")
def get_reviews(call: Call) -> Answer:
    number = int(call.path["pull_number"])
    issue = call.repository.issues.get(number)
    if issue is None or issue.pull is None:
        raise not_found()
    api = f"{bodies.repository_api(call.double, call.repository)}/pulls/{number}"
    page = f"{call.double.url}/{call.repository.name}/pull/{number}"
    found = [
        {
            "id": review.id,
            "node_id": bodies.node_id("PullRequestReview", review.id),
            "user": bodies.user(call.double, review.login),
            "body": review.body,
            "state": "CHANGES_REQUESTED",
            "html_url": f"{page}#pullrequestreview-{review.id}",
            "pull_request_url": api,
            "author_association": "MEMBER",
            "_links": {
                "html": {"href": f"{page}#pullrequestreview-{review.id}"},
                "pull_request": {"href": api},
            },
            "submitted_at": bodies.stamp(review.at),
            "commit_id": issue.pull.head_sha,
        }
        for review in call.repository.reviews
        if review.pull == number
    ]
    return call.page(found, f"{api}/reviews")


@route("GET", "…/commits/{ref}/check-runs", "checks")
def get_check_runs(call: Call) -> Answer:
    sha = gitdata.resolve(call.repository.git, call.path["ref"])
    latest = {run.name: run for run in call.repository.check_runs if run.sha == sha}
    page = call.page([_check_run(call, run) for run in latest.values()], "")
    return Answer(200, {"total_count": len(latest), "check_runs": page.body})


def _check_run(call: Call, run: CheckRun) -> dict[str, Any]:
    api = f"{bodies.repository_api(call.double, call.repository)}/check-runs/{run.id}"
    page = f"{call.double.url}/{call.repository.name}/actions/runs/1/job/{run.id}"
    done = run.conclusion is not None
    return {
        "id": run.id,
        "node_id": bodies.node_id("CheckRun", run.id),
        "head_sha": run.sha,
        "external_id": "",
        "name": run.name,
        "url": api,
        "html_url": page,
        "details_url": page,
        "status": "completed" if done else "in_progress",
        "conclusion": run.conclusion,
        "started_at": bodies.stamp(run.at),
        "completed_at": bodies.stamp(run.at) if done else None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{api}/annotations",
        },
        "check_suite": {"id": 1},
        "app": None,
        "pull_requests": [],
    }


@route("POST", "…/merge-upstream", "contents", "write")
def post_merge_upstream(call: Call) -> Answer:
    fork, name = call.repository, call.body.get("branch")
    parent = call.double.repositories.get(fork.parent or 0)
    if parent is None:
        raise ApiError(422, "This repository is not a fork.")
    ref = f"refs/heads/{name}"
    tip, mine = gitdata.resolve(parent.git, ref), gitdata.resolve(fork.git, ref)
    if not tip:
        raise ApiError(422, f"There is no branch {name} upstream.")
    gitdata.run(fork.git, "fetch", "--no-write-fetch-head", "--no-tags", "--quiet", str(parent.git), tip)
    if mine and not gitdata.is_ancestor(fork.git, mine, tip):
        raise ApiError(409, "There are merge conflicts")
    gitdata.set_ref(fork.git, ref, tip, mine or gitdata.NOTHING)
    kind = "none" if mine == tip else "fast-forward"
    message = f"Successfully fetched and fast-forwarded from upstream {parent.owner}:{name}."
    return Answer(200, {"message": message, "merge_type": kind, "base_branch": f"{parent.owner}:{name}"})
