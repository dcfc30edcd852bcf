"""Clients of the double, for tests: PyGithub without its pauses and retries, plain requests, and a small registry."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
from support.github.server import github_double

from github import Auth, Github, GithubException, InputGitTreeElement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.github.state import Double

    from github.Repository import Repository

REGISTRY = "acme/registry"
ALL = dict.fromkeys(["contents", "pull_requests", "issues", "statuses"], "write")


@contextmanager
def small_registry(root: Path) -> Iterator[Double]:
    """The double with one public repository, a token `t-writer` that may write to it, and one that may only read."""
    with github_double(root) as served:
        served.seed(REGISTRY, {"README.md": "# Registry\n", "plugins/a/1.0.0/manifest.json": "{}\n"})
        served.add_token("t-writer", "writer", {REGISTRY: ALL})
        served.add_token("t-reader", "reader")
        yield served


def client(double: Double, token: str = "t-writer") -> Github:
    """PyGithub with a token."""
    return Github(
        auth=Auth.Token(token),
        base_url=double.api,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


def registry(double: Double, token: str = "t-writer") -> Repository:
    """The registry's repository, as PyGithub has it."""
    return client(double, token).get_repo(REGISTRY)


def refused(status: int, message: str, action: Callable[[], object]) -> GithubException:
    """Something that GitHub refuses with this status and message; the error."""
    with pytest.raises(GithubException, match=re.escape(message)) as caught:
        action()
    assert caught.value.status == status
    return caught.value


def raw(double: Double, method: str, path: str, token: str = "t-writer", **options: Any) -> requests.Response:
    """One plain request to the API; redirects are not followed."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= options.pop("headers", {})
    url = f"{double.api}{path}"
    return requests.request(method, url, headers=headers, timeout=10, allow_redirects=False, **options)


def orphan(repository: Repository, text: str = "{}") -> str:
    """A commit without a parent, with one file; its object name."""
    tree = repository.create_git_tree([InputGitTreeElement("manifest.json", "100644", "blob", content=text)])
    return repository.create_git_commit("publish", tree, []).sha
