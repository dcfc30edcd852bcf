"""Pull requests, over the branches of real repositories; `refs/pull/N/head` is kept as GitHub keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.github import bodies, gitdata
from support.github.issues import association, label, new_issue, set_state
from support.github.records import Issue, Pull
from support.github.wire import Answer, ApiError, Call, invalid, not_found, route

if TYPE_CHECKING:
    from support.github.records import Repository

_LETTERS = {"A": "added", "M": "modified", "D": "removed", "T": "changed"}


def _refresh(call: Call, issue: Issue, pull: Pull) -> None:
    """Follow the head branch while it is open, and see whether it has been merged."""
    base, head = call.repository, call.double.repositories.get(pull.head_repository)
    with call.double.lock:
        if issue.state != "open":
            return
        if head is not None and (tip := gitdata.resolve(head.git, f"refs/heads/{pull.head_ref}")):
            if tip != pull.head_sha:
                issue.updated_at = call.double.now()
            pull.head_sha = tip
            mine = f"refs/pull/{issue.number}/head"
            source = ["--no-write-fetch-head", "--no-tags", "--quiet", str(head.git)]
            gitdata.run(base.git, "fetch", *source, f"+refs/heads/{pull.head_ref}:{mine}")
        target = gitdata.resolve(base.git, f"refs/heads/{pull.base_ref}")
        if target and gitdata.is_ancestor(base.git, pull.head_sha, target):
            pull.merged_at = call.double.now()
            set_state(call, issue, "closed")


def _side(call: Call, repository: Repository | None, ref: str, sha: str) -> dict[str, Any]:
    known = repository or call.repository
    return {
        "label": f"{known.owner}:{ref}",
        "ref": ref,
        "sha": sha,
        "user": bodies.user(call.double, known.owner),
        "repo": bodies.full_repository(call.double, known, None),
    }


def _shown(call: Call, issue: Issue, pull: Pull) -> dict[str, Any]:
    double, repository = call.double, call.repository
    api = bodies.repository_api(double, repository)
    url, as_issue = f"{api}/pulls/{issue.number}", f"{api}/issues/{issue.number}"
    page = f"{double.url}/{repository.name}/pull/{issue.number}"
    links = {
        "self": url,
        "html": page,
        "issue": as_issue,
        "comments": f"{as_issue}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{pull.head_sha}",
    }
    return {
        "id": issue.id,
        "node_id": bodies.node_id("PullRequest", issue.id),
        "url": url,
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": as_issue,
        **{f"{name}_url": to for name, to in links.items() if name.endswith(("s", "comment"))},
        "number": issue.number,
        "state": issue.state,
        "locked": False,
        "title": issue.title,
        "body": issue.body,
        "user": bodies.user(double, issue.login),
        "labels": [label(double, repository, name) for name in issue.labels],
        "created_at": bodies.stamp(issue.created_at),
        "updated_at": bodies.stamp(issue.updated_at),
        "closed_at": bodies.maybe_stamp(issue.closed_at),
        "merged_at": bodies.maybe_stamp(pull.merged_at),
        "merge_commit_sha": None,
        "draft": pull.draft,
        "head": _side(call, double.repositories.get(pull.head_repository), pull.head_ref, pull.head_sha),
        "base": _side(call, repository, pull.base_ref, pull.base_sha),
        "_links": {name: {"href": to} for name, to in links.items()},
        "author_association": association(repository, issue.login),
        **dict.fromkeys(["assignee", "milestone", "auto_merge"]),
        **{name: [] for name in ("assignees", "requested_reviewers", "requested_teams")},
    }


def _whole(call: Call, issue: Issue, pull: Pull) -> dict[str, Any]:
    git, merged = call.repository.git, pull.merged_at is not None
    files = gitdata.changes(git, pull.base_sha, pull.head_sha)
    commits = gitdata.text(git, "rev-list", "--count", f"{pull.base_sha}..{pull.head_sha}")
    return {
        **_shown(call, issue, pull),
        "merged": merged,
        "merged_by": bodies.user(call.double, call.repository.owner) if merged else None,
        "mergeable": None,
        "mergeable_state": "unknown",
        "maintainer_can_modify": False,
        "comments": len(issue.comments),
        "review_comments": 0,
        "commits": int(commits),
        "additions": sum(each[3] for each in files),
        "deletions": sum(each[4] for each in files),
        "changed_files": len(files),
    }


def _find(call: Call) -> tuple[Issue, Pull]:
    issue = call.repository.issues.get(int(call.path["pull_number"]))
    if issue is None or issue.pull is None:
        raise not_found()
    _refresh(call, issue, issue.pull)
    return issue, issue.pull


@route("GET", "…/pulls", "pull_requests")
def get_pulls(call: Call) -> Answer:
    state, base = call.query.get("state", "open"), call.query.get("base", "")
    # Without an owner the filter says nothing, and GitHub lists every pull request.
    head = call.query.get("head", "")
    head = head if ":" in head else ""
    order = call.query.get("sort", "created")
    if order not in {"created", "updated"}:
        raise NotImplementedError(f"pull requests sorted by {order}")
    found = []
    for issue in call.repository.issues.values():
        if issue.pull is not None:
            _refresh(call, issue, issue.pull)
            shown = _shown(call, issue, issue.pull)
            fits = state in {"all", issue.state} and base in {"", issue.pull.base_ref}
            if fits and head in {"", shown["head"]["label"]}:
                found.append(shown)
    falling = call.query.get("direction", "desc" if order == "created" else "asc") == "desc"
    found.sort(key=lambda each: (each[f"{order}_at"], each["number"]), reverse=falling)
    url = f"{bodies.repository_api(call.double, call.repository)}/pulls?state={state}"
    url += "".join(f"&{name}={value}" for name, value in (("head", head), ("base", base)) if value)
    return call.page(found, url)


def _head(call: Call) -> tuple[Repository, str]:
    """Repository and branch that a pull request is to come from."""
    owner, _, branch = call.body.get("head").rpartition(":")
    base = call.repository
    if call.body.has("head_repo"):
        found = call.double.find(f"{owner or base.owner}/{call.body.get('head_repo').rpartition('/')[2]}")
        family = [found] if found is not None else []
    else:
        family = [
            each
            for each in call.double.repositories.values()
            if base.id in {each.id, each.parent} and each.owner == (owner or base.owner)
        ]
    for repository in family:
        if gitdata.resolve(repository.git, f"refs/heads/{branch}"):
            return repository, branch
    raise invalid("PullRequest", "head", "invalid")


@route("POST", "…/pulls", "pull_requests", "write", anyone=True)
def post_pull(call: Call) -> Answer:
    base, title = call.repository, call.body.get("title")
    if not title:
        raise invalid("PullRequest", "title", "missing_field")
    call.body.ignore("maintainer_can_modify")
    target_name = call.body.get("base")
    target = gitdata.resolve(base.git, f"refs/heads/{target_name}")
    if not target:
        raise invalid("PullRequest", "base", "invalid")
    with call.double.lock:
        repository, branch = _head(call)
        label_of = f"{repository.owner}:{branch}"
        for issue in base.issues.values():
            old = issue.pull if issue.state == "open" else None
            if old and (old.head_repository, old.head_ref, old.base_ref) == (
                repository.id,
                branch,
                target_name,
            ):
                raise _custom(f"A pull request already exists for {label_of}.")
        tip = gitdata.resolve(repository.git, f"refs/heads/{branch}")
        gitdata.run(base.git, "fetch", "--no-write-fetch-head", "--quiet", str(repository.git), tip)
        if gitdata.is_ancestor(base.git, tip, target):
            raise _custom(f"No commits between {base.owner}:{target_name} and {label_of}")
        if not gitdata.related(base.git, tip, target):
            raise _custom(f"The {branch} branch has no history in common with {target_name}")
        issue = new_issue(call, title, call.body.get("body"))
        pull = Pull(repository.id, branch, tip, target_name, target, call.body.get("draft", default=False))
        issue.pull = pull
        _refresh(call, issue, pull)
    body = _whole(call, issue, pull)
    return Answer(201, body, {"Location": body["url"]})


def _custom(message: str) -> ApiError:
    return ApiError(
        422, "Validation Failed", [{"resource": "PullRequest", "code": "custom", "message": message}]
    )


@route("GET", "…/pulls/{pull_number}", "pull_requests")
def get_pull(call: Call) -> Answer:
    return Answer(200, _whole(call, *_find(call)))


@route("PATCH", "…/pulls/{pull_number}", "pull_requests", "write", anyone=True)
def patch_pull(call: Call) -> Answer:
    issue, pull = _find(call)
    assert call.token is not None
    if call.token.login != issue.login and not call.token.may(call.repository, "pull_requests", "write"):
        raise ApiError(403, "Must have admin rights to Repository.")
    with call.double.lock:
        issue.title = call.body.get("title", issue.title)
        if call.body.has("body"):
            issue.body = call.body.get("body")
        state = call.body.get("state", issue.state)
        if state == "open" and pull.merged_at is not None and issue.state == "closed":
            raise invalid(
                "PullRequest", "state", "invalid", "state cannot be changed. The pull request was merged."
            )
        set_state(call, issue, state)
        pull.base_ref = call.body.get("base", pull.base_ref)
        issue.updated_at = call.double.now()
    return Answer(200, _whole(call, issue, pull))


@route("GET", "…/pulls/{pull_number}/files", "pull_requests")
def get_pull_files(call: Call) -> Answer:
    issue, pull = _find(call)
    url, page = (
        bodies.repository_api(call.double, call.repository),
        f"{call.double.url}/{call.repository.name}",
    )
    files = [
        {
            "sha": sha,
            "filename": path,
            "status": _LETTERS[status],
            "additions": added,
            "deletions": removed,
            "changes": added + removed,
            "blob_url": f"{page}/blob/{pull.head_sha}/{path}",
            "raw_url": f"{page}/raw/{pull.head_sha}/{path}",
            "contents_url": f"{url}/contents/{path}?ref={pull.head_sha}",
        }
        for status, path, sha, added, removed in gitdata.changes(
            call.repository.git, pull.base_sha, pull.head_sha
        )
    ]
    return call.page(files, f"{url}/pulls/{issue.number}/files")
