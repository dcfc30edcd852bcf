"""Pull requests as GitHub shows them: which one is a branch's, and what its maintainers and its checks have said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from publisher.github.answers import items_of, member_of, text_of
from publisher.github.api import repository_path
from registry_client.errors import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from publisher.github.api import Api

CHECK: Final = "validate"
"""The workflow's job, and so the check, that judges a pull request."""
_FAILED: Final = frozenset({"failure", "error", "timed_out", "startup_failure"})
_UNREADABLE: Final = frozenset({403, 404})


@dataclass(frozen=True)
class Pull:
    """A pull request.

    Attributes:
        number: its number.
        url: its page.
        title: its title.
        body: its text; lines end as in Unix.
        repository: where its branch stands; None if that is gone.
        owner: whose repository that is or was.
        branch: its branch.
        commit: the commit that the branch points to.
        is_open: whether it is open.
        is_merged: whether it was merged.
    """

    number: int
    url: str
    title: str
    body: str
    repository: str | None
    owner: str
    branch: str
    commit: str
    is_open: bool
    is_merged: bool


def find_open(api: Api, registry: str, owner: str, branch: str, base: str) -> Pull | None:
    """The open pull request from a branch of somebody's repository, or None. GitHub lets there be one at most."""
    answer = api.get(
        repository_path(registry, "pulls"), state="open", head=f"{owner}:{branch}", base=base, per_page=100
    )
    for item in items_of(answer):
        pull = _pull(item)
        # A filter that GitHub does not understand is no filter.
        if pull.branch == branch and pull.owner.lower() == owner.lower():
            return pull
    return None


def read_pull(api: Api, registry: str, number: str) -> Pull | None:
    """A pull request by its number, or None."""
    answer = api.find(repository_path(registry, "pulls", number))
    return None if answer is None else _pull(answer)


def _pull(item: Any) -> Pull:
    head = member_of(item, "head", dict)
    repository = head.get("repo")
    return Pull(
        number=member_of(item, "number", int),
        url=text_of(item, "html_url"),
        title=text_of(item, "title"),
        body=(item.get("body") or "").replace("\r\n", "\n"),
        repository=None if repository is None else text_of(repository, "full_name"),
        owner=text_of(head, "label").partition(":")[0],
        branch=text_of(head, "ref"),
        commit=text_of(head, "sha"),
        is_open=text_of(item, "state") == "open",
        is_merged=item.get("merged_at") is not None,
    )


def last_word(api: Api, registry: str, pull: Pull) -> str:
    """The page of the last review or comment, which says why it was closed; its own where nobody said anything."""
    found = [
        (text_of(item, time), text_of(item, "html_url"))
        for kind, time in (("pulls/{}/reviews", "submitted_at"), ("issues/{}/comments", "created_at"))
        for item in _optional(api, repository_path(registry, kind.format(pull.number)))
        if item.get(time)
    ]
    return max(found, default=("", pull.url))[1]


def failed_check(api: Api, registry: str, pull: Pull) -> str | None:
    """The page of the check `validate` if it failed on what is proposed now; None if it did not, or has not ended."""
    commit = repository_path(registry, "commits", pull.commit)
    for run in _members(api, f"{commit}/check-runs", "check_runs"):
        if CHECK in text_of(run, "name").split(" / ") and run.get("conclusion") in _FAILED:
            return run.get("html_url") or run.get("details_url") or pull.url
    for status in _members(api, f"{commit}/status", "statuses"):
        if text_of(status, "context") == CHECK and status.get("state") in _FAILED:
            return status.get("target_url") or pull.url
    return None


def _optional(api: Api, path: str) -> Iterator[Any]:
    """The items of a list; none where this token may not read it."""
    try:
        yield from api.pages(path)
    except GitHubError as e:
        if e.status not in _UNREADABLE:
            raise


def _members(api: Api, path: str, name: str) -> list[Any]:
    try:
        return items_of(member_of(api.get(path, per_page=100), name, list))
    except GitHubError as e:
        if e.status in _UNREADABLE:
            return []
        raise


__all__ = ["CHECK", "Pull", "failed_check", "find_open", "last_word", "read_pull"]
