"""Issues and their comments. A pull request is an issue too, and GitHub lists it as one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from support.github import bodies
from support.github.records import Comment, Issue
from support.github.wire import Answer, ApiError, Call, invalid, not_found, route

if TYPE_CHECKING:
    from support.github.records import Repository
    from support.github.state import Double

_BODY_LIMIT = 65_536


def label(double: Double, repository: Repository, name: str) -> dict[str, Any]:
    """A label, which is there as soon as something has it."""
    number = double.user_id(f"label {repository.id} {name}")
    colour, description = repository.labels.get(name, ("ededed", None))
    return {
        "id": number,
        "node_id": bodies.node_id("Label", number),
        "url": f"{bodies.repository_api(double, repository)}/labels/{name}",
        "name": name,
        "description": description,
        "color": colour,
        "default": False,
    }


def association(repository: Repository, login: str) -> str:
    """How someone stands to a repository."""
    return "OWNER" if repository.owner.lower() == login.lower() else "NONE"


def new_issue(call: Call, title: str, body: str | None) -> Issue:
    """An issue with the next number, already in its repository; the lock is held by the caller."""
    if body is not None and len(body) > _BODY_LIMIT:
        raise invalid("Issue", "body", "custom", f"body is too long (maximum is {_BODY_LIMIT} characters)")
    number, now = len(call.repository.issues) + 1, call.double.now()
    issue = Issue(call.double.next_id(), number, call.login, title, body, now, now)
    call.repository.issues[number] = issue
    return issue


def _shown(call: Call, issue: Issue) -> dict[str, Any]:
    double, repository = call.double, call.repository
    url = f"{bodies.repository_api(double, repository)}/issues/{issue.number}"
    page = f"{double.url}/{repository.name}/{'pull' if issue.pull else 'issues'}/{issue.number}"
    body: dict[str, Any] = {
        "id": issue.id,
        "node_id": bodies.node_id("Issue", issue.id),
        "url": url,
        "repository_url": bodies.repository_api(double, repository),
        "labels_url": f"{url}/labels",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": page,
        "number": issue.number,
        "title": issue.title,
        "body": issue.body,
        "user": bodies.user(double, issue.login),
        "labels": [label(double, repository, name) for name in issue.labels],
        "state": issue.state,
        "state_reason": issue.state_reason,
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": len(issue.comments),
        "created_at": bodies.stamp(issue.created_at),
        "updated_at": bodies.stamp(issue.updated_at),
        "closed_at": bodies.maybe_stamp(issue.closed_at),
        "author_association": association(repository, issue.login),
    }
    if issue.pull is not None:
        pull = f"{bodies.repository_api(double, repository)}/pulls/{issue.number}"
        body["pull_request"] = {
            "url": pull,
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": bodies.maybe_stamp(issue.pull.merged_at),
        }
    return body


def set_state(call: Call, issue: Issue, state: str) -> None:
    """Open or close it."""
    if state != issue.state:
        issue.state = state
        issue.closed_at = call.double.now() if state == "closed" else None


def _find(call: Call) -> Issue:
    issue = call.repository.issues.get(int(call.path["issue_number"]))
    if issue is None:
        raise not_found()
    return issue


def _may_edit(call: Call, issue: Issue) -> None:
    """An author may edit; others need the permission."""
    permission = "pull_requests" if issue.pull else "issues"
    assert call.token is not None
    if call.token.login != issue.login and not call.token.may(call.repository, permission, "write"):
        raise ApiError(403, "Must have admin rights to Repository.")


@route("GET", "…/issues", "issues")
def get_issues(call: Call) -> Answer:
    state = call.query.get("state", "open")
    labels = {name for name in call.query.get("labels", "").split(",") if name}
    creator = call.query.get("creator", "")
    since = datetime.fromisoformat(call.query.get("since", "1970-01-01T00:00:00Z"))
    order = call.query.get("sort", "created")
    if order not in {"created", "updated"}:
        raise NotImplementedError(f"issues sorted by {order}")
    found = [
        issue
        for issue in call.repository.issues.values()
        if state in {"all", issue.state}
        and labels <= set(issue.labels)
        and creator in {"", issue.login}
        and issue.updated_at >= since
    ]
    falling = call.query.get("direction", "desc") == "desc"
    found.sort(
        key=lambda each: (each.updated_at if order == "updated" else each.created_at, each.number),
        reverse=falling,
    )
    url = f"{bodies.repository_api(call.double, call.repository)}/issues?state={state}"
    url += f"&labels={','.join(sorted(labels))}" if labels else ""
    return call.page([_shown(call, each) for each in found], url)


@route("POST", "…/issues", "issues", "write", anyone=True)
def post_issue(call: Call) -> Answer:
    names = _label_names(call)
    with call.double.lock:
        issue = new_issue(call, call.body.get("title"), call.body.get("body"))
    # Without the permission, labels are dropped in silence.
    if call.token is not None and call.token.may(call.repository, "issues", "write"):
        issue.labels = names
    body = _shown(call, issue)
    return Answer(201, body, {"Location": body["url"]})


def _label_names(call: Call) -> list[str]:
    given = call.body.get("labels", [])
    return [each if isinstance(each, str) else each["name"] for each in given]


@route("GET", "…/issues/{issue_number}", "issues")
def get_issue(call: Call) -> Answer:
    return Answer(200, _shown(call, _find(call)))


@route("PATCH", "…/issues/{issue_number}", "issues", "write", anyone=True)
def patch_issue(call: Call) -> Answer:
    issue = _find(call)
    _may_edit(call, issue)
    with call.double.lock:
        issue.title = call.body.get("title", issue.title)
        if call.body.has("body"):
            issue.body = call.body.get("body")
        if call.body.has("labels"):
            issue.labels = _label_names(call)
        set_state(call, issue, call.body.get("state", issue.state))
        default = "completed" if issue.state == "closed" else None
        issue.state_reason = call.body.get("state_reason", issue.state_reason or default)
        issue.updated_at = call.double.now()
    return Answer(200, _shown(call, issue))


def _comment(call: Call, issue: Issue, comment: Comment) -> dict[str, Any]:
    url = f"{bodies.repository_api(call.double, call.repository)}/issues"
    at = bodies.stamp(comment.at)
    page = f"{call.double.url}/{call.repository.name}/issues/{issue.number}#issuecomment-{comment.id}"
    return {
        "id": comment.id,
        "node_id": bodies.node_id("IssueComment", comment.id),
        "url": f"{url}/comments/{comment.id}",
        "html_url": page,
        "issue_url": f"{url}/{issue.number}",
        "user": bodies.user(call.double, comment.login),
        "body": comment.body,
        "created_at": at,
        "updated_at": at,
        "author_association": association(call.repository, comment.login),
    }


@route("GET", "…/issues/{issue_number}/comments", "issues")
def get_comments(call: Call) -> Answer:
    issue = _find(call)
    url = f"{bodies.repository_api(call.double, call.repository)}/issues/{issue.number}/comments"
    return call.page([_comment(call, issue, each) for each in issue.comments], url)


@route("POST", "…/issues/{issue_number}/comments", "issues", "write", anyone=True)
def post_comment(call: Call) -> Answer:
    issue = _find(call)
    comment = Comment(call.double.next_id(), call.login, call.body.get("body"), call.double.now())
    with call.double.lock:
        issue.comments.append(comment)
        issue.updated_at = call.double.now()
    body = _comment(call, issue, comment)
    return Answer(201, body, {"Location": body["url"]})


@route("GET", "…/labels/{name}", "issues")
def get_label(call: Call) -> Answer:
    name, repository = call.path["name"], call.repository
    used = {each for issue in repository.issues.values() for each in issue.labels}
    if name not in used | repository.labels.keys():
        raise not_found()
    return Answer(200, label(call.double, repository, name))


@route("POST", "…/labels", "issues", "write")
def post_label(call: Call) -> Answer:
    name, repository = call.body.get("name"), call.repository
    if name in repository.labels:
        raise invalid("Label", "name", "already_exists")
    repository.labels[name] = (call.body.get("color", "ededed"), call.body.get("description"))
    body = label(call.double, repository, name)
    return Answer(201, body, {"Location": body["url"]})
