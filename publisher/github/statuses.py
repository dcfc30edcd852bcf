"""Commit statuses: what became of each publish ref, told on its commit, where `publisher publish --wait` and people look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from publisher.github.api import repository_path
from publisher.markdown import one_line
from publisher.registrar.submission import Result
from registry_client.errors import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from publisher.github.api import Api
    from publisher.registrar.submission import Outcome

CONTEXT: Final = "plugin-registry"
MOST_STATUSES: Final = 60
LONGEST_DESCRIPTION: Final = 140
# What GitHub answers if it is only about this one commit. Anything else (no permission, a rate limit, no answer after several attempts)
# goes for the next commits too, and the refs wait to be deleted.
_THIS_COMMIT: Final = 422


class StatusReporter:
    """Sets statuses, at most 60 in all, refused commits first. It is called once for each batch of refs.

    Args:
        api: with a token that may set statuses.
        repository: `OWNER/REPO` that holds the commits.
        target_url: the page that a status links to: that of the run; may be empty.
    """

    def __init__(self, api: Api, repository: str, target_url: str = "") -> None:
        self._api = api
        self._repository = repository
        self._target_url = target_url
        self._left = MOST_STATUSES

    def __call__(self, outcomes: Sequence[Outcome]) -> None:
        """Set the status of each commit.

        Raises:
            GitHubError: some were not set.
        """
        failures: list[GitHubError] = []
        wanted, done = statuses(outcomes)[: self._left], 0
        for commit, state, description in wanted:
            self._left -= 1
            body = {"state": state, "context": CONTEXT, "description": description}
            if self._target_url:
                body["target_url"] = self._target_url
            try:
                self._api.post(repository_path(self._repository, "statuses", commit), body)
                done += 1
            except GitHubError as e:
                failures.append(e)
                if e.status != _THIS_COMMIT:
                    break
        if failures:
            raise GitHubError(
                f"{len(wanted) - done} of {len(wanted)} commit statuses were not set: {failures[0].message}",
                hint=failures[0].hint,
                status=failures[0].status,
            )


def statuses(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str]]:
    """Commit, state and description of each status, refused commits first.

    A commit that was accepted is accepted, whatever else it was offered as: others can offer it again under a name that it does not fit.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for outcome in sorted(outcomes, key=lambda one: one.result is Result.REFUSED):
        submission, error = outcome.submission, outcome.error
        if submission.commit is None:
            continue
        if error is not None:
            text = _reason(error.message.removeprefix(f"{submission.source}: "))
        else:
            text = f"{submission.id} {submission.version}: {outcome.result}"
        state = "failure" if outcome.result is Result.REFUSED else "success"
        found.setdefault(submission.commit, (submission.commit, state, shorten(text)))
    return sorted(found.values(), key=lambda each: each[1] != "failure")


def _reason(message: str) -> str:
    """A message's first line; where problems are listed below it, with the first of them."""
    first, _, rest = message.partition("\n")
    problem = rest.partition("\n")[0].strip()
    return f"{first}: {problem}" if problem else first


def shorten(text: str) -> str:
    """A text as it fits into a status."""
    line = one_line(text)
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[: LONGEST_DESCRIPTION - 1]}…"


__all__ = ["CONTEXT", "StatusReporter", "shorten", "statuses"]
