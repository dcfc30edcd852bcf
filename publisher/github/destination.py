"""A registry on GitHub as its publishers see it: everything through the API, about ten requests for a version.

What is published is a commit without a parent, and its ref is created last: so a ref appears complete, and nobody's ref is ever moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from publisher.git_objects import tree_id
from publisher.github.answers import items_of, member_of, text_of
from publisher.github.api import TOKEN_VARIABLE, Api
from publisher.github.git_data import (
    GitHubTree,
    branch_head,
    create_commit,
    create_ref,
    matching_refs,
    read_commit_files,
    ref_target,
)
from publisher.github.names import DEFAULT_SERVER_URL, repository_path, server_url
from publisher.github.objects import TruncatedError, commit_info
from publisher.github.statuses import CONTEXT
from publisher.markdown import one_line
from publisher.offer import Submitted, Verdict, dropped, taken
from publisher.registrar.remote import MAX_FILES, file_limit, publish_ref, submission_of
from publisher.waiting import landed
from registry_client.errors import GitHubError, PublishError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from publisher.offer import Offer
    from publisher.registrar.submission import Submission
    from publisher.tree import Listing

EVENT: Final = "plugin-published"
_PERMISSIONS: Final = (
    f"{TOKEN_VARIABLE} must hold a token that has 'Contents: read and write' for that repository"
)
_REFUSED: Final = frozenset({403, 404, 422})
_UNREADABLE: Final = frozenset({403, 404})
_ABSENT: Final = 404
_ATTEMPTS: Final = 3
# Whoever may publish anything may create any number of refs; each one read takes three requests.
_MOST_PENDING: Final = 10


def open_github(name: str, branch: str, environ: Mapping[str, str]) -> GitHubRegistry:
    """The registry in a repository on the GitHub that the environment names.

    Raises:
        ConfigError: the environment is not usable. GitHubError: the repository cannot be read.
    """
    return GitHubRegistry(Api.from_environ(environ, TOKEN_VARIABLE), name, branch, server=server_url(environ))


class GitHubRegistry:
    """A registry in a repository on GitHub.

    Args:
        api: GitHub's API, with a token that may write contents there.
        name: `OWNER/REPO`.
        branch: its main branch.
        server: base URL of GitHub's pages.

    Raises:
        GitHubError: there is no such branch, or this token cannot see it.
    """

    def __init__(self, api: Api, name: str, branch: str, *, server: str = DEFAULT_SERVER_URL) -> None:
        self._api = api
        self._name = name
        self._branch = branch
        self._page = f"{server.rstrip('/')}/{name}"
        self._before: dict[str, int | None] = {}
        self._gone = False
        self.tree: Listing = GitHubTree(api, name, self._head())

    def _head(self) -> str:
        head = branch_head(self._api, self._name, self._branch)
        if head is not None:
            return head
        if self._api.find(repository_path(self._name)) is None:
            raise GitHubError(
                f"{self._api.url} shows no repository {self._name}",
                status=_ABSENT,
                hint=f"Check the name; if the repository is private, {_PERMISSIONS}.",
            )
        raise GitHubError(
            f"{self._name} has no branch {self._branch!r}",
            status=_ABSENT,
            hint="Give the registry's main branch with --branch.",
        )

    def pending(self, plugin_id: str, version: str) -> Sequence[Submission]:
        """The publish refs of this version."""
        refs = matching_refs(self._api, self._name, publish_ref(plugin_id, version, ""))
        found: list[Submission] = []
        for ref, commit in sorted(refs.items())[:_MOST_PENDING]:
            try:
                files = read_commit_files(self._api, self._name, commit, file_limit, MAX_FILES)
                found.append(submission_of(ref, commit, files))
            except TruncatedError:  # a stranger's
                continue
            except GitHubError as e:
                if e.status != _ABSENT:  # the registrar has taken it meanwhile
                    raise
            except RegistryError:  # a stranger's; the registrar refuses it
                continue
        return found

    def submit(self, offer: Offer, now: datetime) -> Submitted:
        """Create one commit without a parent, and a ref for it that must not exist yet."""
        ref = publish_ref(offer.id, offer.version, offer.digest_hex)
        place = ref.removeprefix("refs/heads/")
        try:
            commit = create_commit(self._api, self._name, offer.files, offer.message, now)
            there = self._offered(ref, commit, offer)
        except GitHubError as e:
            if e.status not in _REFUSED:
                raise
            raise GitHubError(
                f"{self._name} does not let {place} be created: {e.message}",
                status=e.status,
                hint=f"{_PERMISSIONS}, and its rules must let publish/* branches be created.",
            ) from e
        if there is None:
            raise PublishError(
                f"{place} exists already in {self._name}, and holds something else",
                hint="Run it again when the registrar has handled that branch.",
            )
        return Submitted(place, there, f"{self._page}/commit/{there}")

    def _offered(self, ref: str, commit: str, offer: Offer) -> str | None:
        """The commit with these files that the ref points to: ours, or someone else's of the same files. None for other files."""
        for _ in range(_ATTEMPTS):
            if create_ref(self._api, self._name, ref, commit):
                return commit
            there = ref_target(self._api, self._name, ref)
            if there is not None:  # else it was handled between the two requests
                info = commit_info(self._api, self._name, there)
                return there if info.tree == tree_id(offer.files) and not info.parents else None
        return None

    def notify(self, offer: Offer, submitted: Submitted) -> str:
        """Start the registrar's workflow."""
        return dispatch(self._api, self._name, offer, submitted)

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:
        """What the commit's status says; if it has none, what the refs and main say.

        A status that was there before anyone waited may be that of an earlier attempt with the same commit: it counts only
        once the ref is gone.
        """
        commit = submitted.commit or ""
        number, verdict = self._status(commit, offer)
        before = self._before.setdefault(commit, number)
        if verdict is not None and (number != before or verdict.accepted):
            return verdict
        if ref_target(self._api, self._name, f"refs/heads/{submitted.place}") == commit:
            return None
        if landed(GitHubTree(self._api, self._name, self._head()), offer):
            return taken(offer, submitted.url)
        if verdict is not None:
            return verdict
        if not self._gone:  # reads may lag behind writes: only what is seen twice is so
            self._gone = True
            return None
        return dropped(offer, f"{self._page}/actions")

    def _status(self, commit: str, offer: Offer) -> tuple[int | None, Verdict | None]:
        """Number and meaning of the registrar's latest status of a commit."""
        try:
            answer = self._api.find(repository_path(self._name, "commits", commit, "status"), per_page=100)
        except GitHubError as e:
            if e.status not in _UNREADABLE:
                raise
            answer = None  # the token may not read statuses; refs and main say enough
        found = items_of(member_of(answer, "statuses", list)) if answer is not None else []
        for status in found:
            if text_of(status, "context") == CONTEXT:
                return _number(status), _verdict(status, offer)
        return None, None


def _number(status: Any) -> int:
    number: int = member_of(status, "id", int)
    return number


def _verdict(status: Any, offer: Offer) -> Verdict | None:
    state = text_of(status, "state")
    url = one_line(str(status.get("target_url") or "")) or None
    if state == "success":
        return taken(offer, url)
    if state in {"failure", "error"}:
        reason = one_line(str(status.get("description") or "no reason is given"))
        return Verdict(accepted=False, message=reason, url=url)
    return None


def dispatch(api: Api, name: str, offer: Offer, submitted: Submitted) -> str:
    """Start the registrar's workflow in a repository. Returns a warning if that failed, else nothing."""
    payload = {
        "ref": f"refs/heads/{submitted.place}",
        "commit": submitted.commit,
        "id": offer.id,
        "version": offer.version,
    }
    try:
        api.post(repository_path(name, "dispatches"), {"event_type": EVENT, "client_payload": payload})
    except GitHubError as e:
        return f"the registrar was not told, and takes it on its next scheduled run: {e.message}"
    return ""
