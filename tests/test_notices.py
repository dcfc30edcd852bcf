"""The one issue that a scheduled job keeps: opened, updated, silenced, closed and opened again, against GitHub's double."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.github.records import Fault
from support.github.server import github_double

from publisher.github.api import Api
from publisher.github.notices import LABEL, LONGEST_BODY, Notice, Posted, post
from registry_client.errors import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from support.github.records import Issue
    from support.github.state import Double

REPOSITORY = "acme/registry"
TOKEN = "job-token-0123456789"
READER = "reader-token-0123456789"
STRANGER = "stranger-token-0123456789"
START = datetime(2030, 1, 15, 12, 0, tzinfo=UTC)
FINE = Notice("audit", "All is well", "Nothing is wrong.", wrong=False)


def wrong(
    body: str = "a.zip changed", levels: Mapping[str, int] | None = None, title: str = "Something is wrong"
) -> Notice:
    """A notice that something is wrong."""
    return Notice("audit", title, body, wrong=True, levels=levels or {"a": 1})


@dataclass
class Place:
    """A repository on the double, and a clock that both sides go by."""

    double: Double
    now: datetime = START

    def post(self, notice: Notice, token: str = TOKEN) -> Posted:
        """Post with a fresh connection, as each run does."""
        return post(Api(token, self.double.api), REPOSITORY, notice, self.now)

    @property
    def issues(self) -> dict[int, Issue]:
        """The repository's issues by number."""
        return self.double.repository(REPOSITORY).issues

    def comments(self, number: int = 1) -> list[str]:
        """The comments on an issue."""
        return [comment.body for comment in self.issues[number].comments]

    def states(self) -> list[str]:
        """Whether each issue is open."""
        return [self.issues[number].state for number in sorted(self.issues)]

    def by_hand(self, number: int = 1, token: str = TOKEN, **members: Any) -> None:
        """What a person does to an issue."""
        Api(token, self.double.api).patch(f"/repos/{REPOSITORY}/issues/{number}", members)

    def writes(self) -> list[str]:
        """Writing requests since this was last called."""
        seen = [
            f"{r.method} {r.path.removeprefix('/repos/')}" for r in self.double.requests if r.method != "GET"
        ]
        self.double.requests.clear()
        return seen


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A repository without issues."""
    with github_double(tmp_path / "hub") as double:
        double.seed(REPOSITORY, {"README.md": "a registry"})
        double.add_token(TOKEN, "registry-bot", {REPOSITORY: {"issues": "write"}}, app=True)
        double.add_token(READER, "registry-bot", {REPOSITORY: {"issues": "read"}}, app=True)
        double.add_token(STRANGER, "mallory", classic=True)
        made = Place(double)
        double.now = lambda: made.now
        yield made


class TestLife:
    """From the first warning to the end of the trouble."""

    def test_opens(self, place: Place) -> None:
        """With label and marker, and without a comment: the issue itself is the news."""
        assert place.post(wrong()) == Posted("opened", 1)
        issue = place.issues[1]
        assert (issue.title, issue.labels, issue.state) == ("Something is wrong", [LABEL], "open")
        assert str(issue.body).startswith("<!-- plugin-registry:audit -->\n<!-- levels: a=1 -->\n\n")
        assert "a.zip changed" in str(issue.body)
        assert place.comments() == []
        color, description = place.double.repository(REPOSITORY).labels[LABEL]
        assert color
        assert description

    def test_nothing_to_say(self, place: Place) -> None:
        """No issue, no label, no write."""
        assert place.post(FINE) == Posted("nothing")
        assert place.writes() == []

    def test_the_same_again(self, place: Place) -> None:
        """Does nothing, also where GitHub gives back other line ends."""
        place.post(wrong("line one\nline two\n"))
        place.writes()
        assert place.post(wrong("line one\nline two\n")) == Posted("unchanged", 1)
        assert place.writes() == []
        place.issues[1].body = str(place.issues[1].body).replace("\n", "\r\n")
        assert place.post(wrong("line one\nline two\n")) == Posted("unchanged", 1)
        assert place.writes() == []

    def test_another_body_or_title(self, place: Place) -> None:
        """Replaces them in silence, if nothing is worse."""
        place.post(wrong())
        assert place.post(wrong("a.zip changed; 3 days left")) == Posted("updated", 1)
        assert "3 days left" in str(place.issues[1].body)
        assert place.post(wrong("a.zip changed; 3 days left", title="Another title")) == Posted("updated", 1)
        assert place.issues[1].title == "Another title"
        assert place.comments() == []

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ({"a": 1}, {"a": 1, "b": 1}, True),
            ({"a": 1}, {"b": 1}, True),
            ({"a": 1}, {"a": 2}, True),
            ({"a": 2}, {"a": 1}, False),
            ({"a": 1, "b": 1}, {"a": 1}, False),
            ({"a": 1, "b": 2}, {"a": 2, "b": 1}, True),
        ],
    )
    def test_comments(
        self, place: Place, before: Mapping[str, int], after: Mapping[str, int], *, told: bool
    ) -> None:
        """Only where something is new or worse; what gets better is in the body alone."""
        place.post(wrong("before", before))
        assert place.post(wrong("after", after)) == Posted("updated", 1)
        assert len(place.comments()) == int(told)
        assert place.post(wrong("after", after)) == Posted("unchanged", 1)
        assert len(place.comments()) == int(told)

    def test_a_comment_of_its_own(self, place: Place) -> None:
        """Or the title, with a pointer to the body."""
        place.post(wrong())
        place.post(Notice("audit", "Worse", "x", wrong=True, levels={"a": 2}, comment="**Now** it is worse."))
        place.post(wrong("y", {"a": 3}, "Much worse"))
        assert place.comments() == [
            "**Now** it is worse.",
            "**Much worse** The description above is up to date.",
        ]

    def test_closes(self, place: Place) -> None:
        """When nothing is wrong any more, and says so; then there is nothing left to do."""
        place.post(wrong())
        assert place.post(FINE) == Posted("closed", 1)
        issue = place.issues[1]
        assert (issue.state, issue.state_reason) == ("closed", "completed")
        assert place.comments() == ["Nothing is wrong any more."]
        assert "Nothing is wrong." in str(issue.body)
        place.writes()
        assert place.post(FINE) == Posted("nothing")
        assert place.writes() == []

    @pytest.mark.parametrize(("days", "what", "number"), [(29, "reopened", 1), (31, "opened", 2)])
    def test_comes_back(self, place: Place, days: int, what: str, number: int) -> None:
        """Within 30 days the same issue opens again, with a comment; later a new one."""
        place.post(wrong())
        place.post(FINE)
        place.now += timedelta(days=days)
        assert place.post(wrong("again")) == Posted(what, number)
        assert place.issues[number].state == "open"
        assert "again" in str(place.issues[number].body)
        if what == "reopened":
            assert place.comments()[-1].startswith("**Something is wrong**")
        assert place.post(wrong("again")) == Posted("unchanged", number)

    def test_two_markers(self, place: Place) -> None:
        """Each kind of notice has its own issue."""
        place.post(wrong())
        assert place.post(Notice("expiry", "Expires", "soon", wrong=True)) == Posted("opened", 2)
        assert place.post(FINE) == Posted("closed", 1)
        assert place.states() == ["closed", "open"]


class TestClosedByAPerson:
    """Who closes it does not want to hear of it, until there is news."""

    @pytest.mark.parametrize("days", [1, 300])
    def test_silence(self, place: Place, days: int) -> None:
        """However often it is found again, and however much later."""
        place.post(wrong())
        place.by_hand(state="closed", state_reason="not_planned")
        place.now += timedelta(days=days)
        place.writes()
        assert place.post(wrong("a.zip changed; another figure")) == Posted("unchanged", 1)
        assert place.writes() == []
        assert place.states() == ["closed"]

    @pytest.mark.parametrize("levels", [{"a": 2}, {"a": 1, "b": 1}])
    def test_until_it_is_new_or_worse(self, place: Place, levels: dict[str, int]) -> None:
        """Then it opens again, and says so."""
        place.post(wrong())
        place.by_hand(state="closed")
        assert place.post(wrong("news", levels)) == Posted("reopened", 1)
        assert place.states() == ["open"]
        assert len(place.comments()) == 1

    def test_until_it_comes_back(self, place: Place) -> None:
        """Someone who mends it closes the issue by hand: when the same comes back later, that is news."""
        place.post(wrong())
        place.by_hand(state="closed")
        assert place.post(FINE) == Posted("nothing")
        assert place.comments() == []
        place.writes()
        assert place.post(FINE) == Posted("nothing")
        assert place.writes() == []
        assert place.post(wrong()) == Posted("reopened", 1)

    def test_opened_again_by_a_person(self, place: Place) -> None:
        """Is open, and is closed once all is well."""
        place.post(wrong())
        place.by_hand(state="closed")
        place.by_hand(state="open")
        assert place.post(wrong()) == Posted("unchanged", 1)
        assert place.post(FINE) == Posted("closed", 1)


class _Paced(Api):
    """GitHub's API as a run sees it that is never faster than the other: both look, then both write."""

    def __init__(self, url: str, barrier: threading.Barrier) -> None:
        super().__init__(TOKEN, url)
        self._barrier = barrier

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create something, together with the other run."""
        if path.endswith(("/issues", "/labels")):
            self._barrier.wait(timeout=10)
        return super().post(path, body)


class TestDoubles:
    """There is one open issue, whatever happens at once."""

    def test_two_runs_at_once(self, place: Place) -> None:
        """Both open one, since neither saw the other's; one of the two is closed, and the other stays."""
        barrier = threading.Barrier(2)
        done: list[Posted] = []

        def run() -> None:
            api = _Paced(place.double.api, barrier)
            done.append(post(api, REPOSITORY, wrong(), place.now))

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(place.issues) == 2
        assert place.post(wrong()) == Posted("unchanged", 1)
        assert place.states() == ["open", "closed"]
        assert place.comments(2) == ["#1 says the same."]
        assert {posted.number for posted in done} <= {1, 2}

    def test_a_double_is_never_taken_for_the_newest(self, place: Place) -> None:
        """After the issue was closed because all was well, it opens again; the closed double does not silence it."""
        place.post(wrong())
        body = str(place.issues[1].body)
        made = Api(TOKEN, place.double.api).post(
            f"/repos/{REPOSITORY}/issues", {"title": "double", "body": body, "labels": [LABEL]}
        )
        assert made["number"] == 2
        assert place.post(wrong()) == Posted("unchanged", 1)
        assert place.states() == ["open", "closed"]
        assert place.post(FINE) == Posted("closed", 1)  # in the same second as the double
        assert place.post(wrong()) == Posted("reopened", 1)
        assert place.states() == ["open", "closed"]

    def test_a_run_that_ended_between_two_requests(self, place: Place) -> None:
        """The next one finishes its work."""
        place.post(wrong())
        place.double.faults.append(Fault("PATCH", "/issues/1", 422, times=1))
        with pytest.raises(GitHubError):
            place.post(wrong("news", {"a": 2}))
        assert place.post(wrong("news", {"a": 2})) == Posted("updated", 1)
        assert len(place.comments()) == 1
        place.double.faults.append(Fault("POST", "/issues/1/comments", 422, times=1))
        with pytest.raises(GitHubError):
            place.post(FINE)
        assert place.post(FINE) == Posted("closed", 1)


class TestWhoseIssue:
    """Only issues with the label, which takes rights to give."""

    def test_a_strangers_issue(self, place: Place) -> None:
        """With the marker but without the label is left alone, whatever it says."""
        place.post(FINE)
        body = {"title": "mine", "body": wrong().full_body, "labels": [LABEL]}
        Api(STRANGER, place.double.api).post(f"/repos/{REPOSITORY}/issues", body)
        assert place.issues[1].labels == []
        assert place.post(wrong()) == Posted("opened", 2)
        assert place.post(FINE) == Posted("closed", 2)
        stranger = place.issues[1]
        assert (stranger.state, stranger.title, stranger.comments) == ("open", "mine", [])

    def test_labelled_by_a_maintainer(self, place: Place) -> None:
        """Without the marker, or with it further down, it is none of ours."""
        api = Api(TOKEN, place.double.api)
        for body in ("no marker", f"See this:\n{wrong().full_body}", "", wrong().full_body.upper()):
            api.post(f"/repos/{REPOSITORY}/issues", {"title": "x", "body": body, "labels": [LABEL]})
        assert place.post(wrong()) == Posted("opened", 5)
        assert place.post(FINE) == Posted("closed", 5)
        assert place.states() == ["open"] * 4 + ["closed"]

    def test_pull_requests(self, place: Place) -> None:
        """Are issues in GitHub's lists, and never ours."""
        place.double.seed(REPOSITORY, {"x": "y"}, "branch")
        writer = "writer-token-0123456789"
        granted = {REPOSITORY: {"contents": "write", "pull_requests": "write", "issues": "write"}}
        place.double.add_token(writer, "writer", granted)
        body = {"title": "x", "body": wrong().full_body, "head": "branch", "base": "main"}
        Api(writer, place.double.api).post(f"/repos/{REPOSITORY}/pulls", body)
        place.by_hand(1, writer, labels=[LABEL])
        assert place.issues[1].labels == [LABEL]
        assert place.post(wrong()) == Posted("opened", 2)
        assert place.post(FINE) == Posted("closed", 2)
        assert place.issues[1].state == "open"

    def test_many_labelled_issues(self, place: Place) -> None:
        """It is found on a later page too."""
        place.post(wrong())
        api = Api(TOKEN, place.double.api)
        for number in range(101):
            title = f"x{number}"
            api.post(f"/repos/{REPOSITORY}/issues", {"title": title, "body": "", "labels": [LABEL]})
        assert place.post(wrong()) == Posted("unchanged", 1)


class TestRefused:
    """What GitHub does not let us do is said clearly."""

    def test_issues_are_switched_off(self, place: Place) -> None:
        """410, with the way out."""
        said = {"message": "Issues has been disabled in this repository."}
        place.double.faults.append(Fault("GET", "/issues", 410, body=said))
        with pytest.raises(GitHubError, match="acme/registry: issues are switched off there") as caught:
            place.post(wrong())
        assert caught.value.status == 410
        assert "Switch issues on" in caught.value.hint

    def test_without_the_permission(self, place: Place) -> None:
        """403: nothing is written, and the hint says where permissions are listed."""
        with pytest.raises(GitHubError, match="Resource not accessible by integration") as caught:
            place.post(wrong(), READER)
        assert caught.value.status == 403
        assert "docs/operations.md" in caught.value.hint
        assert place.issues == {}

    def test_a_token_that_may_not_label(self, place: Place) -> None:
        """GitHub drops the label in silence: the issue would not be found again, so none stays open."""
        place.post(FINE)
        Api(TOKEN, place.double.api).post(f"/repos/{REPOSITORY}/labels", {"name": LABEL, "color": "ffffff"})
        for number in (1, 2):
            with pytest.raises(GitHubError, match=f"issue #{number} did not get the label") as caught:
                place.post(wrong(), STRANGER)
            assert "permission to write issues" in caught.value.hint
            assert place.issues[number].state == "closed"

    @pytest.mark.parametrize(
        "answer", [{"message": "x"}, [{"number": "one", "body": "B"}], ["x"], [{"body": 1}]]
    )
    def test_an_answer_that_is_not_githubs(self, place: Place, answer: Any) -> None:
        """Is an error, never a surprise."""
        if isinstance(answer, list) and isinstance(answer[0], dict) and answer[0]["body"] == "B":
            answer[0]["body"] = wrong().full_body
        place.double.faults.append(Fault("GET", "/issues", 200, body=answer))
        with pytest.raises(GitHubError, match="GitHub's answer"):
            place.post(wrong())

    def test_a_repository_that_moved(self, place: Place) -> None:
        """Is followed, for writes too."""
        place.double.rename(REPOSITORY, "acme/elsewhere")
        assert place.post(wrong()) == Posted("opened", 1)
        assert place.double.repository("acme/elsewhere").issues[1].labels == [LABEL]


class TestLength:
    """GitHub takes 65 536 characters."""

    @pytest.mark.parametrize("length", [LONGEST_BODY, LONGEST_BODY + 1, 500_000])
    def test_a_long_body(self, place: Place, length: int) -> None:
        """Is cut at a line's end, and says so; the levels are in front, and survive."""
        body = ("x" * 99 + "\n") * (length // 100) + "y" * (length % 100)
        many = {f"{number:012x}": 1 for number in range(400)}
        notice = Notice("audit", "Much", body, wrong=True, levels=many)
        assert place.post(notice) == Posted("opened", 1)
        assert place.post(notice) == Posted("unchanged", 1)
        text = str(place.issues[1].body)
        assert len(text) <= 65_536
        assert ("… (cut" in text) is (length > LONGEST_BODY)
        assert place.comments() == []
        assert (
            place.post(Notice("audit", "Much", body, wrong=True, levels={**many, "0" * 12: 2})).what
            == "updated"
        )
        assert len(place.comments()) == 1
