"""Repositories, who is asking, and how much more they may ask; forks, branches, dispatches, commit statuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.github import bodies, gitdata
from support.github.records import Dispatch, Status
from support.github.wire import Answer, ApiError, Call, invalid, not_found, route

if TYPE_CHECKING:
    from support.github.records import Repository

_PAYLOAD_LIMIT = 65_535
_DESCRIPTION_LIMIT = 140


@route("GET", "…")
def get_repository(call: Call) -> Answer:
    return Answer(200, bodies.full_repository(call.double, call.repository, call.token))


@route("GET", "/user")
def get_user(call: Call) -> Answer:
    if call.token is None:
        raise ApiError(401, "Requires authentication")
    if call.token.app:
        raise ApiError(403, "Resource not accessible by integration")
    at = bodies.stamp(call.double.now())
    numbers = ["followers", "following", "public_gists", "public_repos"]
    private = ["private_gists", "total_private_repos", "owned_private_repos", "disk_usage", "collaborators"]
    texts = ["name", "company", "blog", "location", "email", "hireable", "bio"]
    body = bodies.user(call.double, call.login) | dict.fromkeys(numbers + private, 0) | dict.fromkeys(texts)
    times = {"created_at": at, "updated_at": at}
    return Answer(200, body | times | {"two_factor_authentication": True})


@route("GET", "/rate_limit")
def get_rate_limit(call: Call) -> Answer:
    holder = call.token or call.double.anonymous
    reset = int(call.double.rate_limit_reset().timestamp())
    core = {
        "limit": holder.limit,
        "used": holder.used,
        "remaining": holder.limit - holder.used,
        "reset": reset,
    }
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": reset}
    return Answer(200, {"resources": {"core": core, "search": search}, "rate": core})


@route("POST", "…/forks", anyone=True)
def post_fork(call: Call) -> Answer:
    source = call.repository
    owner = call.body.get("organization", call.login)
    name = f"{owner}/{call.body.get('name', source.name.partition('/')[2])}"
    call.body.ignore("default_branch_only")
    with call.double.lock:
        fork = call.double.find(name)
        if fork is None:
            path = call.double.root / f"{name}.git"
            path.parent.mkdir(parents=True, exist_ok=True)
            gitdata.run(call.double.root, "clone", "--quiet", "--bare", str(source.git), str(path))
            gitdata.run(path, "config", "http.receivepack", "true")
            fork = call.double.create(name, private=source.private)
            fork.parent = source.id
            # A classic token reaches whatever its person owns; it is the only kind that comes here.
            if call.token is not None:
                every = dict.fromkeys(["contents", "pull_requests", "issues", "statuses"], "write")
                call.token.permissions[fork.id] = every
        elif fork.parent != source.id:
            raise ApiError(422, f"Name already exists on this account: {name}")
    return Answer(202, bodies.full_repository(call.double, fork, call.token))


@route("GET", "…/branches/{branch}", "contents")
def get_branch(call: Call) -> Answer:
    repository, name = call.repository, call.path["branch"]
    ref = f"refs/heads/{name}"
    sha = gitdata.resolve(repository.git, ref)
    if not sha:
        raise ApiError(404, "Branch not found")
    url = f"{bodies.repository_api(call.double, repository)}/branches/{name}"
    covered = any(each.covers(ref, repository.default_branch) for each in repository.rulesets)
    body = {
        "name": name,
        "commit": bodies.commit(call.double, repository, sha),
        "_links": {"self": url, "html": f"{call.double.url}/{repository.name}/tree/{name}"},
        "protected": covered,
        "protection": {"enabled": covered},
        "protection_url": f"{url}/protection",
    }
    return Answer(200, body)


@route("POST", "…/dispatches", "contents", "write")
def post_dispatch(call: Call) -> Answer:
    payload = call.body.get("client_payload", {})
    if len(json.dumps(payload)) > _PAYLOAD_LIMIT:
        raise ApiError(422, "client_payload is too large.")
    name, kind = call.repository.name, call.body.get("event_type")
    event = Dispatch(name, kind, payload, call.login)
    call.double.dispatches.append(event)
    if call.double.on_dispatch is not None:
        call.double.on_dispatch(event)
    return Answer(204)


def _commit(call: Call, name: str) -> str:
    """The commit that a ref or an object name stands for."""
    sha = gitdata.resolve(call.repository.git, name)
    if sha and gitdata.kind_of(call.repository.git, sha) == "commit":
        return sha
    if gitdata.is_object_name(name):
        raise ApiError(422, f"No commit found for SHA: {name}")
    raise not_found()


def _status(call: Call, repository: Repository, status: Status) -> dict[str, Any]:
    url = f"{bodies.repository_api(call.double, repository)}/statuses/{status.sha}"
    at = bodies.stamp(status.at)
    return {
        "url": url,
        "avatar_url": f"{call.double.url}/avatars/{call.double.user_id(status.login)}",
        "id": status.id,
        "node_id": bodies.node_id("Status", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": at,
        "updated_at": at,
    }


@route("POST", "…/statuses/{sha}", "statuses", "write")
def post_status(call: Call) -> Answer:
    sha = call.path["sha"]
    if gitdata.kind_of(call.repository.git, sha) != "commit":
        raise ApiError(422, f"No commit found for SHA: {sha}")
    description = call.body.get("description")
    if description is not None and len(description) > _DESCRIPTION_LIMIT:
        message = f"description is too long (maximum is {_DESCRIPTION_LIMIT} characters)"
        raise invalid("Status", "description", "custom", message)
    state, context = call.body.get("state"), call.body.get("context", "default")
    target = call.body.get("target_url")
    number, now = call.double.next_id(), call.double.now()
    status = Status(number, sha, state, context, description, target, call.login, now)
    call.repository.statuses.append(status)
    body = _status(call, call.repository, status)
    return Answer(201, body | {"creator": bodies.user(call.double, call.login)}, {"Location": body["url"]})


@route("GET", "…/commits/{ref}/statuses", "statuses")
def get_statuses(call: Call) -> Answer:
    sha = _commit(call, call.path["ref"])
    found = [each for each in reversed(call.repository.statuses) if each.sha == sha]
    shown = [
        _status(call, call.repository, each) | {"creator": bodies.user(call.double, each.login)}
        for each in found
    ]
    return call.page(shown, f"{bodies.repository_api(call.double, call.repository)}/commits/{sha}/statuses")


@route("GET", "…/commits/{ref}/status", "statuses")
def get_combined_status(call: Call) -> Answer:
    sha = _commit(call, call.path["ref"])
    latest = {each.context: each for each in call.repository.statuses if each.sha == sha}
    states = {each.state for each in latest.values()}
    state = "success" if states == {"success"} else "pending"
    if states & {"failure", "error"}:
        state = "failure"
    url = f"{bodies.repository_api(call.double, call.repository)}/commits/{sha}"
    page = call.page([_status(call, call.repository, each) for each in latest.values()], f"{url}/status")
    body = {
        "state": state,
        "sha": sha,
        "total_count": len(latest),
        "statuses": page.body,
        "repository": bodies.minimal_repository(call.double, call.repository),
        "commit_url": url,
        "url": f"{url}/status",
    }
    return Answer(200, body, page.headers)
