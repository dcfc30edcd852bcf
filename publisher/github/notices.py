"""One issue for each thing that people must look after: opened, updated and closed by scheduled jobs, never opened twice.

The issue is found by a hidden comment at the beginning of its body, whoever wrote it, among those with this project's label, which only
people with rights in the repository can give. The body is replaced when it changed. A comment, which notifies people, is added only when
something is new or worse than the body said before. An issue that a person closed stays closed until then, or until all was well in
between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from publisher.github.answers import member_of, text_of
from publisher.github.names import repository_path
from registry_client.errors import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from publisher.github.api import Api

LABEL: Final = "plugin-registry"
LONGEST_BODY: Final = 60_000
_RECENT: Final = timedelta(days=30)
_MOST_LEVELS: Final = 300
_LEVEL = re.compile(r"([A-Za-z0-9]{1,40})=([0-9]{1,6})")
_FINE: Final = "<!-- fine -->"
_INVALID: Final = 422
_SWITCHED_OFF: Final = 410


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
            text = text[:LONGEST_BODY].rpartition("\n")[0] + "\n\n… (cut: the run's summary says more)\n"
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
    try:
        return _post(_Issues(api, repository), notice, now)
    except GitHubError as e:
        if e.status != _SWITCHED_OFF:
            raise
        hint = "Switch issues on in the repository's settings, or leave --issue out."
        raise GitHubError(
            f"{repository}: issues are switched off there ({e.message})", status=e.status, hint=hint
        ) from e


def _post(issues: _Issues, notice: Notice, now: datetime) -> Posted:
    is_open = issues.open(notice)
    for double in is_open[1:]:
        issues.close_double(double["number"], is_open[0]["number"])
    if is_open:
        return _update(issues, is_open[0], notice) if notice.wrong else _close(issues, is_open[0], notice)
    closed = issues.last_closed(notice)
    if closed is not None and not _closed_by_us(closed):
        return _silenced(issues, closed, notice)
    if not notice.wrong:
        return Posted("nothing")
    if closed is not None and now - _closed_at(closed) < _RECENT:
        return _reopen(issues, closed, notice)
    return _open(issues, notice)


def _close(issues: _Issues, issue: Mapping[str, Any], notice: Notice) -> Posted:
    number = int(issue["number"])
    issues.change(number, body=notice.full_body)
    issues.close(number, "Nothing is wrong any more.")
    return Posted("closed", number)


def _update(issues: _Issues, issue: Mapping[str, Any], notice: Notice) -> Posted:
    number, before = int(issue["number"]), str(issue.get("body") or "")
    if _lines(before) == _lines(notice.full_body) and issue.get("title") == notice.title:
        return Posted("unchanged", number)
    issues.change(number, title=notice.title, body=notice.full_body)
    if _rises(before, notice):
        issues.say(number, _comment(notice))
    return Posted("updated", number)


def _silenced(issues: _Issues, issue: Mapping[str, Any], notice: Notice) -> Posted:
    """A person closed it: open it again if anything is new or worse. If all is well now, remember that, so that all is new next time."""
    number = int(issue["number"])
    if not notice.wrong:
        issues.change(number, body=notice.full_body)
        return Posted("nothing")
    if _rises(str(issue.get("body") or ""), notice):
        return _reopen(issues, issue, notice)
    return Posted("unchanged", number)


def _reopen(issues: _Issues, issue: Mapping[str, Any], notice: Notice) -> Posted:
    number = int(issue["number"])
    issues.change(number, title=notice.title, body=notice.full_body, state="open")
    issues.say(number, _comment(notice))
    return Posted("reopened", number)


def _open(issues: _Issues, notice: Notice) -> Posted:
    issues.make_label()
    number = issues.create(notice)
    others = [int(issue["number"]) for issue in issues.open(notice)]
    if others and min(others) < number:  # another run was faster
        issues.close_double(number, min(others))
        return Posted("unchanged", min(others))
    return Posted("opened", number)


def _closed_by_us(issue: Mapping[str, Any]) -> bool:
    """Whether it was closed because all was well; a person may close it, but does not write that into it."""
    return _lines(str(issue.get("body") or ""))[1:2] == [_FINE]


def _closed_at(issue: Mapping[str, Any]) -> datetime:
    """When it was closed.

    Raises:
        GitHubError: it does not say.
    """
    try:
        return datetime.fromisoformat(text_of(issue, "closed_at")).astimezone(UTC)
    except ValueError as e:
        raise GitHubError("GitHub's answer has no time in closed_at", hint="Try again.") from e


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
    return body.replace("\r\n", "\n").strip().split("\n")


class _Issues:
    """The issues of one repository."""

    def __init__(self, api: Api, repository: str) -> None:
        self._api = api
        self._repository = repository

    def _path(self, *parts: str | int) -> str:
        return repository_path(self._repository, "issues", *parts)

    def open(self, notice: Notice) -> list[Any]:
        """The notice's open issues, oldest first."""
        return sorted(self._list(notice, "open"), key=lambda issue: int(issue["number"]))

    def last_closed(self, notice: Notice) -> Any | None:
        """The one that was closed last, or None."""
        return max(self._list(notice, "closed"), key=_closed_at, default=None)

    def _list(self, notice: Notice, state: str) -> Iterator[Any]:
        for issue in self._api.pages(self._path(), labels=LABEL, state=state):
            member_of(issue, "number", int)  # is an object, and has one
            body = member_of(issue, "body", (str, type(None))) or ""
            if "pull_request" not in issue and body.lstrip().startswith(notice.head):
                yield issue

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
            if e.status != _INVALID:  # another run made it meanwhile
                raise

    def create(self, notice: Notice) -> int:
        """Open the issue.

        Raises:
            GitHubError: also where GitHub drops the label, as it does in silence for those who may not label: the issue would not be
                found again, and each run would open another one.
        """
        body = {"title": notice.title, "body": notice.full_body, "labels": [LABEL]}
        made = self._api.post(self._path(), body)
        number: int = member_of(made, "number", int)
        if not any(isinstance(each, dict) and each.get("name") == LABEL for each in made.get("labels") or ()):
            self._api.patch(self._path(number), {"state": "closed", "state_reason": "not_planned"})
            raise GitHubError(
                f"{self._repository}: issue #{number} did not get the label {LABEL!r}, so it was closed again",
                hint="The token must have the permission to write issues there.",
            )
        return number

    def change(self, number: int, **members: str) -> None:
        """Change title, body or state."""
        self._api.patch(self._path(number), members)

    def say(self, number: int, text: str) -> None:
        """Add a comment."""
        self._api.post(self._path(number, "comments"), {"body": text})

    def close_double(self, number: int, other: int) -> None:
        """Close one that another says the same as; without its marker it is never taken for the newest."""
        self.change(number, body=f"#{other} says the same.")
        self.close(number, f"#{other} says the same.")

    def close(self, number: int, why: str) -> None:
        """Close it, and say why."""
        self.say(number, why)
        self._api.patch(self._path(number), {"state": "closed", "state_reason": "completed"})


__all__ = ["LABEL", "Notice", "Posted", "post"]
