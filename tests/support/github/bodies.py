"""Bodies that many answers share: users, repositories, commits; and the forms of numbers, times and links in them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from support.github import gitdata

if TYPE_CHECKING:
    from support.github.records import Repository, Token
    from support.github.state import Double

_USER_LINKS = """
    followers following gists starred subscriptions organizations repos events received_events
"""
_REPOSITORY_LINKS = """
    archive assignees blobs branches collaborators comments commits compare contents contributors deployments downloads
    events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels languages merges
    milestones notifications pulls releases stargazers statuses subscribers subscription tags teams trees
"""


def stamp(when: datetime) -> str:
    """A time as GitHub writes it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def maybe_stamp(when: datetime | None) -> str | None:
    """A time, or null."""
    return stamp(when) if when is not None else None


def node_id(kind: str, name: object) -> str:
    """The opaque name that GraphQL uses."""
    return base64.b64encode(f"{kind}:{name}".encode()).decode()


def _links(url: str, names: str) -> dict[str, str]:
    return {f"{name}_url": f"{url}/{name}" for name in names.split()}


def user(double: Double, login: str) -> dict[str, Any]:
    """A user, briefly."""
    url = f"{double.api}/users/{login}"
    number = double.user_id(login)
    return {
        "login": login,
        "id": number,
        "node_id": node_id("User", number),
        "avatar_url": f"{double.url}/avatars/{number}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{double.url}/{login}",
        **_links(url, _USER_LINKS),
        "type": "User",
        "site_admin": False,
    }


def repository_api(double: Double, repository: Repository) -> str:
    """URL of a repository in the API."""
    return f"{double.api}/repos/{repository.name}"


def minimal_repository(double: Double, repository: Repository) -> dict[str, Any]:
    """A repository, as lists and statuses show it."""
    url = repository_api(double, repository)
    return {
        "id": repository.id,
        "node_id": node_id("Repository", repository.id),
        "name": repository.name.partition("/")[2],
        "full_name": repository.name,
        "owner": user(double, repository.owner),
        "private": repository.private,
        "html_url": f"{double.url}/{repository.name}",
        "description": None,
        "fork": repository.parent is not None,
        "url": url,
        **_links(url, _REPOSITORY_LINKS),
    }


def full_repository(double: Double, repository: Repository, token: Token | None) -> dict[str, Any]:
    """A repository, whole."""
    clone = f"{double.git_url or double.url}/{repository.name}.git"
    at = stamp(repository.created_at)
    forks = sum(each.parent == repository.id for each in double.repositories.values())
    numbers = "size stargazers_count watchers_count watchers open_issues open_issues_count subscribers_count"
    body: dict[str, Any] = {
        **minimal_repository(double, repository),
        **dict.fromkeys(numbers.split(), 0),
        **dict.fromkeys(["homepage", "language", "mirror_url", "license"]),
        **dict.fromkeys(["has_pages", "has_discussions", "archived", "disabled"], False),
        **dict.fromkeys(["has_issues", "has_projects", "has_wiki", "has_downloads"], True),
        **dict.fromkeys(["forks", "forks_count", "network_count"], forks),
        **dict.fromkeys(["created_at", "updated_at", "pushed_at"], at),
        "clone_url": clone,
        "git_url": clone,
        "svn_url": clone,
        "ssh_url": f"git@127.0.0.1:{repository.name}.git",
        "default_branch": repository.default_branch,
        "visibility": "private" if repository.private else "public",
    }
    if token is not None:
        push = token.may(repository, "contents", "write")
        admin = token.may(repository, "administration", "write")
        body["permissions"] = {"admin": admin, "push": push, "pull": True}
    parent = double.repositories.get(repository.parent or 0)
    if parent is not None:
        body["parent"] = body["source"] = full_repository(double, parent, None)
    return body


def git_user(who: gitdata.Who) -> dict[str, str]:
    """An author or committer."""
    return {"name": who.name, "email": who.email, "date": stamp(who.when)}


def git_commit(double: Double, repository: Repository, sha: str) -> dict[str, Any]:
    """A commit, as the Git data API shows it."""
    commit = gitdata.read_commit(repository.git, sha)
    url, page = repository_api(double, repository), f"{double.url}/{repository.name}"
    return {
        "sha": sha,
        "node_id": node_id("Commit", sha),
        "url": f"{url}/git/commits/{sha}",
        "html_url": f"{page}/commit/{sha}",
        "author": git_user(commit.author),
        "committer": git_user(commit.committer),
        "tree": {"sha": commit.tree, "url": f"{url}/git/trees/{commit.tree}"},
        "message": commit.message.removesuffix("\n"),
        "parents": [
            {"sha": each, "url": f"{url}/git/commits/{each}", "html_url": f"{page}/commit/{each}"}
            for each in commit.parents
        ],
        "verification": {
            "verified": False,
            "reason": "unknown_key" if commit.signature else "unsigned",
            "signature": commit.signature or None,
            "payload": None,
            "verified_at": None,
        },
    }


def commit(double: Double, repository: Repository, sha: str) -> dict[str, Any]:
    """A commit, as branches show it."""
    inner = git_commit(double, repository, sha)
    url = f"{repository_api(double, repository)}/commits/{sha}"
    written = {name: inner[name] for name in ("author", "committer", "message", "tree", "verification")}
    return {
        "sha": sha,
        "node_id": inner["node_id"],
        "url": url,
        "html_url": inner["html_url"],
        "comments_url": f"{url}/comments",
        "commit": {**written, "url": inner["url"], "comment_count": 0},
        # Whose account an address belongs to is not kept.
        "author": None,
        "committer": None,
        "parents": inner["parents"],
    }
