"""Where a proposal's branch stands: in the registry's own repository if the token may create it there, else in a fork."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from publisher.github.answers import member_of, text_of
from publisher.github.api import repository_path
from publisher.github.git_data import branch_head, create_commit, create_ref, update_ref
from registry_client.errors import ConfigError, GitHubError, PublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from publisher.github.api import Api

# Not allowed (403), hidden from this token (404), refused by a rule or by the state of the repository (409, 422).
REFUSED: Final = frozenset({403, 404, 409, 422})
_NO_USER: Final = frozenset({403, 404})
_DELAYS_SECONDS: Final = (1, 1, 2, 2, 4, 4, 8, 8, 10, 10, 10, 15, 15, 30, 30, 30)
"""GitHub makes forks in the background: three minutes are waited in all."""


@dataclass(frozen=True)
class Upstream:
    """The registry's repository.

    Attributes:
        name: `OWNER/REPO`, as GitHub writes it.
        id: its number.
        owner: the part before the slash.
        html_url: its page.
        git_url: what Git fetches it from.
        default_branch: the branch that forks have for sure.
        may_push: whether the token's user may push; a token may be allowed less than its user.
    """

    name: str
    id: int
    owner: str
    html_url: str
    git_url: str
    default_branch: str
    may_push: bool

    @property
    def server_url(self) -> str:
        """GitHub's own address."""
        return self.html_url.removesuffix(f"/{self.name}")


def read_upstream(api: Api, name: str) -> Upstream:
    """The registry's repository.

    Raises:
        ConfigError: there is no token. PublishError: it takes no pull requests. GitHubError: it cannot be read.
    """
    if not api.has_token:
        raise ConfigError(
            "--pull-request needs a token for GitHub's API", hint="Set PLUGIN_REGISTRY_TOKEN to one."
        )
    found = api.get(repository_path(name))
    full_name = text_of(found, "full_name")
    if found.get("archived") is True:
        raise PublishError(
            f"{full_name} is archived: nothing can be proposed there", hint="Ask where the registry went."
        )
    if found.get("has_pull_requests") is False:
        raise PublishError(
            f"{full_name} has pull requests switched off",
            hint="Its maintainers can switch them on (Settings, General, Features); or publish without --pull-request.",
        )
    permissions = found.get("permissions")
    return Upstream(
        name=full_name,
        id=member_of(found, "id", int),
        owner=text_of(found, "owner", "login"),
        html_url=text_of(found, "html_url"),
        git_url=text_of(found, "clone_url"),
        default_branch=text_of(found, "default_branch"),
        may_push=isinstance(permissions, dict) and permissions.get("push") is True,
    )


def find_login(api: Api) -> str | None:
    """The user whose token it is; None for a job's or an App's token, which belongs to nobody."""
    try:
        return text_of(api.get("/user"), "login")
    except GitHubError as e:
        if e.status in _NO_USER:
            return None
        raise


@dataclass(frozen=True)
class Work:
    """A commit to be made, and the branch for it.

    Attributes:
        branch: the branch's name.
        files: bytes by path.
        message: the commit message.
        when: its date.
        parent: the commit of main that it follows.
    """

    branch: str
    files: Mapping[str, bytes]
    message: str
    when: datetime
    parent: str


class Heads:
    """Puts branches where this token may put them.

    Args:
        api: GitHub's API, with the token.
        upstream: the registry's repository.
        base: its main branch.
        login: whose token it is, asked for only where needed.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        api: Api,
        upstream: Upstream,
        base: str,
        login: Callable[[], str | None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._upstream = upstream
        self._base = base
        self._login = login
        self._sleep = sleep

    def place(self, work: Work) -> tuple[str, str]:
        """Make the commit and the branch, wherever that is allowed. A branch of that name is moved.

        Returns:
            The repository, and the commit.

        Raises:
            PublishError: it is allowed nowhere.
        """
        refused = None
        if self._upstream.may_push:
            try:
                return self._upstream.name, self._put(self._upstream.name, work)
            except GitHubError as e:
                if e.status not in REFUSED:
                    raise
                refused = e
        fork = self._fork(refused)
        return fork, self._put_into_fork(fork, work)

    def move(self, repository: str, work: Work) -> str:
        """Make the commit, and make the branch that is there already point to it.

        Raises:
            PublishError: GitHub refuses.
        """
        if repository == self._upstream.name:
            return self._put(repository, work)
        return self._put_into_fork(repository, work)

    def _put(self, repository: str, work: Work) -> str:
        """Make the commit in a repository, and make the branch point to it."""
        commit = create_commit(self._api, repository, work.files, work.message, work.when, parent=work.parent)
        ref = f"refs/heads/{work.branch}"
        if not create_ref(self._api, repository, ref, commit):
            update_ref(self._api, repository, ref, commit, force=True)
        return commit

    def _put_into_fork(self, fork: str, work: Work) -> str:
        """The same in a fork.

        A fork shares its objects with the repository it was made from, so that a commit can follow one which the fork's own
        branches do not have yet. Where GitHub does not find it, the fork's main branch is brought up to date first.
        """
        try:
            return self._put(fork, work)
        except GitHubError as e:
            if e.status not in REFUSED:
                raise
            first = e.message
        try:
            self._api.post(repository_path(fork, "merge-upstream"), {"branch": self._base})
            return self._put(fork, work)
        except GitHubError as e:
            raise PublishError(
                f"the branch {work.branch} cannot be made in the fork {fork}: {first}; nor after bringing it up to date: {e.message}",
                hint=f"The token must be allowed to write there; and if its {self._base} went its own way, use 'Sync fork' on its page.",
            ) from e

    def _fork(self, refused: GitHubError | None) -> str:
        """The fork of the token's owner, made if there is none.

        Raises:
            PublishError: there can be none.
        """
        said = f": {refused.message}" if refused is not None else ""
        may_not = f"the token may not create branches in {self._upstream.name}{said}"
        login = self._login()
        if login is None or login.lower() == self._upstream.owner.lower():
            why = "it belongs to no user" if login is None else "it is the owner's"
            raise PublishError(
                f"{may_not}; and it cannot have a fork, as {why}",
                hint="Give a token that may write 'Contents' and 'Pull requests' there, or one of a user who can fork it.",
            )
        body = {"default_branch_only": self._base == self._upstream.default_branch}
        try:
            # GitHub gives the fork that is there already, whatever its name is now.
            fork = text_of(self._api.post(repository_path(self._upstream.name, "forks"), body), "full_name")
        except GitHubError as e:
            if e.status not in REFUSED:
                raise
            raise PublishError(
                f"{may_not}; nor fork it: {e.message}",
                hint="Fork it on GitHub and give a token that may write to the fork (a classic one with the scope public_repo can).",
            ) from e
        self._check_fork(fork)
        return fork

    def _check_fork(self, fork: str) -> None:
        """Wait until a fork can be written to.

        Raises:
            PublishError: it takes too long, or it is no fork of the registry.
        """
        for delay in (*_DELAYS_SECONDS, None):
            found = self._api.find(repository_path(fork))
            if found is not None and branch_head(self._api, fork, self._base) is not None:
                self._check_origin(fork, found)
                return
            if delay is None:
                break
            self._sleep(delay)
        raise PublishError(
            f"the fork {fork} has no branch {self._base!r} after {sum(_DELAYS_SECONDS)} seconds",
            hint="Look at it on GitHub, and run it again.",
        )

    def _check_origin(self, fork: str, found: Any) -> None:
        origins = [found.get(name) for name in ("parent", "source")]
        if not any(isinstance(origin, dict) and origin.get("id") == self._upstream.id for origin in origins):
            raise PublishError(
                f"{fork} is not a fork of {self._upstream.name}",
                hint="Rename it, so that a fork can be made.",
            )


__all__ = ["REFUSED", "Heads", "Upstream", "Work", "find_login", "read_upstream"]
