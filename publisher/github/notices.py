"""One issue for each thing that people must look after: opened, updated and closed by scheduled jobs, never opened twice.

The issue is found by a hidden comment at the beginning of its body, whoever wrote it, among those with this project's label, which only
people with rights in the repository can give. The body is replaced when it changed. A comment, which notifies people, is added only when
something is new or worse than the body said before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from publisher.github.api import repository_path
from registry_client.errors import GitHubError
from registry_client.models.base import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from publisher.github.api import Api

LABEL: Final = "plugin-registry"
LONGEST_BODY: Final = 60_000
_RECENT: Final = timedelta(days=30)
_MOST_LEVELS: Final = 300
_LEVEL = re.compile(r"([A-Za-z0-9]{1,40})=([0-9]{1,6})")
_FINE: Final = "<!-- fine -->"
_GONE_WRONG: Final = 422


@dataclass(frozen=True)
class Notice:
    """What an issue should say now.

    Attributes:
        marker: which issue: lower-case letters.
        title: its title.
        body: its body, Markdown; strangers' text in it is escaped.
        wrong: whether there is something to say; if not, an open issue is closed.
        levels: how bad each thing is, by a name of letters and digits. One that is new or rises brings a comment.
        comment: that comment; the title and a pointer to the body by default.
    """

    marker: str
    title: str
    body: str
    wrong: bool
    levels: Mapping[str, int] = field(default_factory=dict)
    comment: str = ""

    @property
    def head(self) -> str:
        """How the body of this issue begins, whatever it says."""
        return f"<!-- plugin-registry:{self.marker} -->"

    @property
    def full_body(self) -> str:
        """The body with its hidden comments."""
        levels = " ".join(f"{name}={level}" for name, level in sorted(self.levels.items())[:_MOST_LEVELS])
        state = f"<!-- levels: {levels} -->" if self.wrong else _FINE
        text = self.body
        if len(text) > LONGEST_BODY:
            text = text[:LONGEST_BODY].rpartition("\n")[0] + "\n\n…\n"
        return f"{self.head}\n{state}\n\n{text}"


@dataclass(frozen=True)
class Posted:
    """What became of a notice: `nothing`, `opened`, `reopened`, `updated`, `unchanged` or `closed`, and the issue's number."""

    what: str
    number: int | None = None


def post(api: Api, repository: str, notice: Notice, now: datetime) -> Posted:
    """Make the issue say what the notice says.

    Args:
        api: with a token that may write issues.
        repository: `OWNER/REPO` whose issue it is.
        notice: what it should say.
        now: the time, UTC.

    Raises:
        GitHubError: GitHub refuses.
    """
    issues = _Issues(api, repository)
    is_open, closed = issues.find(notice, now)
    for double in is_open[1:]:
        issues.close(double["number"], f"#{is_open[0]['number']} says the same.")
    if not notice.wrong:
        if not is_open:
            return Posted("nothing")
        number = int(is_open[0]["number"])
        issues.change(number, body=notice.full_body)
        issues.close(number, "Nothing is wrong any more.")
        return Posted("closed", number)
    if is_open:
        return _update(issues, is_open[0], notice)
    if closed:
        return _after_closing(issues, closed[0], notice)
    return _open(issues, notice, now)


def _update(issues: _Issues, issue: Mapping[str, Any], notice: Notice) -> Posted:
    number, before = int(issue["number"]), str(issue.get("body") or "")
    if _lines(before) == _lines(notice.full_body) and issue.get("title") == notice.title:
        return Posted("unchanged", number)
    issues.change(number, title=notice.title, body=notice.full_body)
    if _rises(before, notice):
        issues.say(number, _comment(notice))
    return Posted("updated", number)


def _after_closing(issues: _Issues, issue: Mapping[str, Any], notice: Notice) -> Posted:
    """Open a recent issue again, unless a person closed it and nothing is new or worse since then."""
    number, before = int(issue["number"]), str(issue.get("body") or "")
    closed_by_us = _lines(before)[1:2] == [_FINE]
    if not closed_by_us and not _rises(before, notice):
        return Posted("unchanged", number)
    issues.change(number, title=notice.title, body=notice.full_body, state="open")
    issues.say(number, _comment(notice))
    return Posted("reopened", number)


def _open(issues: _Issues, notice: Notice, now: datetime) -> Posted:
    issues.make_label()
    number = issues.create(notice)
    others = [int(issue["number"]) for issue in issues.find(notice, now)[0]]
    if others and min(others) < number:  # another run was faster
        issues.close(number, f"#{min(others)} says the same.")
        return Posted("unchanged", min(others))
    return Posted("opened", number)


def _comment(notice: Notice) -> str:
    return notice.comment or f"**{notice.title}** The description above is up to date."


def _rises(before: str, notice: Notice) -> bool:
    """Whether anything is new or worse than a body says."""
    known = _levels(before)
    shown = sorted(notice.levels.items())[:_MOST_LEVELS]
    return any(level > known.get(name, 0) for name, level in shown)


def _levels(body: str) -> dict[str, int]:
    lines = _lines(body)[1:2]
    return {match[1]: int(match[2]) for line in lines for match in _LEVEL.finditer(line)}


def _lines(body: str) -> list[str]:
    """A body's lines: GitHub may give back other line ends than it was given."""
    return body.replace("\r\n", "\n").rstrip().split("\n")


class _Issues:
    """The issues of one repository."""

    def __init__(self, api: Api, repository: str) -> None:
        self._api = api
        self._repository = repository

    def _path(self, *parts: str | int) -> str:
        return repository_path(self._repository, "issues", *parts)

    def find(self, notice: Notice, now: datetime) -> tuple[list[Any], list[Any]]:
        """The notice's open issues, oldest first, and those closed lately, newest first."""
        is_open = self._list(notice, state="open")
        closed = self._list(notice, state="closed", since=format_time(now - _RECENT))
        return is_open, closed[::-1]

    def _list(self, notice: Notice, **parameters: str) -> list[Any]:
        found = [
            issue
            for issue in self._api.pages(self._path(), labels=LABEL, **parameters)
            if "pull_request" not in issue and str(issue.get("body") or "").lstrip().startswith(notice.head)
        ]
        return sorted(found, key=lambda issue: int(issue["number"]))

    def make_label(self) -> None:
        """Make the label, if it is not there: without it, the issue would not be found again."""
        labels = repository_path(self._repository, "labels")
        if self._api.find(f"{labels}/{LABEL}") is not None:
            return
        try:
            self._api.post(
                labels, {"name": LABEL, "color": "b60205", "description": "Kept by scheduled jobs"}
            )
        except GitHubError as e:
            if e.status != _GONE_WRONG:  # another run made it meanwhile
                raise

    def create(self, notice: Notice) -> int:
        """Open the issue."""
        body = {"title": notice.title, "body": notice.full_body, "labels": [LABEL]}
        return int(self._api.post(self._path(), body)["number"])

    def change(self, number: int, **members: str) -> None:
        """Change title, body or state."""
        self._api.patch(self._path(number), members)

    def say(self, number: int, text: str) -> None:
        """Add a comment."""
        self._api.post(self._path(number, "comments"), {"body": text})

    def close(self, number: int, why: str) -> None:
        """Close it, and say why."""
        self.say(number, why)
        self._api.patch(self._path(number), {"state": "closed", "state_reason": "completed"})


__all__ = ["LABEL", "Notice", "Posted", "post"]
