"""How an offer gets to its registry: as a publish branch, as a pull request, or on a release that the registry polls."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from publisher.destination import is_folder, open_destination
from publisher.git_remote import TOKEN_VARIABLE
from publisher.github.names import JOB_TOKEN_VARIABLE, is_repository_name, repository_at
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from publisher.offer import Destination


class Way(StrEnum):
    """The ways."""

    BRANCH = "branch"
    PULL_REQUEST = "pull request"
    IMPORT = "import"


class Placement(StrEnum):
    """Where packed artifacts go."""

    IN_TREE = "in-tree"
    RELEASE = "release"


@dataclass(frozen=True)
class Delivery:
    """Where an offer goes, and how.

    Attributes:
        to: a folder, a Git remote, or OWNER/REPO.
        branch: the registry's main branch.
        way: how it is offered.
        environ: the environment: tokens, and where GitHub is.
        tag: the tag of the release that an import offers on.
    """

    to: str
    branch: str
    way: Way
    environ: Mapping[str, str]
    tag: str

    @contextlib.contextmanager
    def open(self) -> Iterator[Destination]:
        """The registry.

        Raises:
            ConfigError: it is none, or cannot be reached that way. GitError, GitHubError: it cannot be read.
        """
        if self.way is Way.BRANCH:
            with open_destination(self.to, self.branch, self.environ) as destination:
                yield destination
            return
        from publisher.github.api import Api  # noqa: PLC0415  (PyGithub takes time)

        name = self._on_github()
        if self.way is Way.PULL_REQUEST:
            from publisher.github.proposal import GitHubProposal  # noqa: PLC0415

            yield GitHubProposal(Api.from_environ(self.environ, TOKEN_VARIABLE), name, self.branch)
            return
        from publisher.github.release_offer import ReleaseOffer  # noqa: PLC0415

        api = Api.from_environ(self.environ, JOB_TOKEN_VARIABLE)
        target = self.environ.get("GITHUB_SHA", "")
        yield ReleaseOffer(api, name, self.branch, own_repository(self.environ), self.tag, target=target)

    def _on_github(self) -> str:
        name = self.to if is_repository_name(self.to) else repository_at(self.to, self.environ)
        if name is None:
            option = "--import" if self.way is Way.IMPORT else "--pull-request"
            raise ConfigError(
                f"{option}: {self.to} is not a repository on GitHub",
                hint="Give the registry as OWNER/REPO with --to.",
            )
        return name

    def check_token(self) -> None:
        """Say at once that there is no token for what is about to be written through GitHub's API.

        Raises:
            ConfigError: there is none.
        """
        variable = JOB_TOKEN_VARIABLE if self.way is Way.IMPORT else TOKEN_VARIABLE
        by_api = self.way is not Way.BRANCH or (is_repository_name(self.to) and not is_folder(Path(self.to)))
        if by_api and not self.environ.get(variable, "").strip():
            raise ConfigError(
                f"there is no token to write with: {variable} is not set",
                hint="In GitHub Actions, give the job its secret; docs/publishing.md says which.",
            )


def own_repository(environ: Mapping[str, str]) -> str:
    """The plugin's own repository, which GitHub Actions names.

    Raises:
        ConfigError: nothing names one.
    """
    name = environ.get("GITHUB_REPOSITORY", "")
    if not is_repository_name(name):
        raise ConfigError(
            "GITHUB_REPOSITORY does not name the plugin's own repository, whose releases are meant",
            hint="In GitHub Actions it is set; elsewhere set it to OWNER/REPO, and GITHUB_TOKEN to a token for it.",
        )
    return name
