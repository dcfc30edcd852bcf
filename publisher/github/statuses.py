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
# A token that may not do it fails each time: no need to ask sixty times.
_MOST_FAILURES: Final = 3


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
            GitHubError: some could not be set; the others were.
        """
        failures: list[GitHubError] = []
        wanted = statuses(outcomes)[: self._left]
        for commit, state, description in wanted:
            if len(failures) == _MOST_FAILURES:
                break
            self._left -= 1
            body = {"state": state, "context": CONTEXT, "description": description}
            if self._target_url:
                body["target_url"] = self._target_url
            try:
                self._api.post(repository_path(self._repository, "statuses", commit), body)
            except GitHubError as e:
                failures.append(e)
        if failures:
            raise GitHubError(
                f"{len(failures)} of {len(wanted)} commit statuses could not be set: {failures[0].message}",
                hint=failures[0].hint,
                status=failures[0].status,
            )


def statuses(outcomes: Iterable[Outcome]) -> list[tuple[str, str, str]]:
    """Commit, state and description of each status, refused commits first. A commit that was refused once is refused."""
    found: dict[str, tuple[str, str, str]] = {}
    for outcome in sorted(outcomes, key=lambda one: one.result is not Result.REFUSED):
        submission, error = outcome.submission, outcome.error
        if submission.commit is None:
            continue
        if error is not None:
            text = _reason(error.message.removeprefix(f"{submission.source}: "))
        else:
            text = f"{submission.id} {submission.version}: {outcome.result}"
        state = "failure" if outcome.result is Result.REFUSED else "success"
        found.setdefault(submission.commit, (submission.commit, state, shorten(text)))
    return list(found.values())


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
