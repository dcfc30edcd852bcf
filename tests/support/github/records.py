"""The records that the double keeps: tokens, repositories, issues, pull requests, releases, statuses, faults, rules."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

LEVELS = {"read": 1, "write": 2, "admin": 3}


@dataclass
class Token:
    """A credential.

    Attributes:
        value: what is sent.
        login: who it stands for.
        permissions: by repository id; each maps a permission such as `contents` to `read` or `write`.
        classic: of the older kind, with the scope `public_repo`: it may also fork public repositories, and open pull
            requests and issues in them.
        app: a job's own GITHUB_TOKEN or an App's, which GitHub's messages call an integration.
        limit: requests an hour.
        used: of them.
    """

    value: str
    login: str
    permissions: dict[int, dict[str, str]] = field(default_factory=dict)
    classic: bool = False
    app: bool = False
    limit: int = 5000
    used: int = 0

    def may(self, repository: Repository, permission: str, level: str) -> bool:
        """Whether it has a permission on a repository."""
        granted = self.permissions.get(repository.id)
        if permission == "metadata":
            return granted is not None or not repository.private
        return LEVELS.get((granted or {}).get(permission, ""), 0) >= LEVELS[level]


@dataclass(frozen=True)
class Ruleset:
    """Which refs only some may touch.

    Attributes:
        include: patterns of full ref names, as in GitHub's rulesets: `*` stops at a slash, `**/*` does not; `~ALL`
            and `~DEFAULT_BRANCH` are understood.
        exclude: patterns that take refs out again.
        rules: of `creation`, `update`, `deletion`, `non_fast_forward`.
        bypass: tokens that it does not bind.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    rules: frozenset[str]
    bypass: frozenset[str]

    def covers(self, ref: str, default_branch: str) -> bool:
        """Whether a ref is under it."""

        def among(patterns: tuple[str, ...]) -> bool:
            return any(_matches(pattern, ref, default_branch) for pattern in patterns)

        return among(self.include) and not among(self.exclude)


def _matches(pattern: str, ref: str, default_branch: str) -> bool:
    if pattern == "~ALL":
        return True
    if pattern == "~DEFAULT_BRANCH":
        return ref == f"refs/heads/{default_branch}"
    # As Ruby's File.fnmatch with FNM_PATHNAME, which GitHub names as its rule.
    written = (
        re.escape(pattern).replace(r"\*\*/", "(?:[^/]+/)*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    )
    return re.fullmatch(written, ref) is not None


@dataclass
class Pull:
    """What a pull request has besides an issue.

    Attributes:
        head_repository: id of the repository that it comes from.
        head_ref: branch there.
        head_sha: its tip, as last seen.
        base_ref: branch that it is for.
        base_sha: its tip when the pull request was opened.
        draft: not ready.
        merged_at: when its head was found on the base branch.
    """

    head_repository: int
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool = False
    merged_at: datetime | None = None


@dataclass
class Comment:
    """A comment on an issue."""

    id: int
    login: str
    body: str
    at: datetime


@dataclass
class Issue:
    """An issue, or a pull request, which is one as well."""

    id: int
    number: int
    login: str
    title: str
    body: str | None
    created_at: datetime
    updated_at: datetime
    labels: list[str] = field(default_factory=list)
    state: str = "open"
    state_reason: str | None = None
    closed_at: datetime | None = None
    comments: list[Comment] = field(default_factory=list)
    pull: Pull | None = None


@dataclass
class Asset:
    """A file of a release."""

    id: int
    name: str
    label: str
    content_type: str
    content: bytes
    login: str
    at: datetime


@dataclass
class Release:
    """A release."""

    id: int
    login: str
    tag: str
    target: str
    name: str | None
    body: str | None
    draft: bool
    prerelease: bool
    created_at: datetime
    published_at: datetime | None
    assets: dict[int, Asset] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """A commit status."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    login: str
    at: datetime


@dataclass(frozen=True)
class Review:
    """A review of a pull request."""

    id: int
    pull: int
    login: str
    body: str
    at: datetime


@dataclass(frozen=True)
class CheckRun:
    """A check of a commit; its conclusion is None while it runs."""

    id: int
    sha: str
    name: str
    conclusion: str | None
    at: datetime


@dataclass(frozen=True)
class Dispatch:
    """A repository_dispatch event."""

    repository: str
    event_type: str
    client_payload: dict[str, Any]
    login: str


@dataclass
class Repository:
    """A repository.

    Attributes:
        id: kept for good; a re-created one gets another.
        name: `owner/name`.
        git: the bare repository.
        private: seen only by tokens that have a permission on it.
        default_branch: name of a branch.
        created_at: when.
        parent: id of the repository that it is a fork of.
        labels: colour and description by name, of those that were made on purpose.
    """

    id: int
    name: str
    git: Path
    private: bool
    default_branch: str
    created_at: datetime
    parent: int | None = None
    issues: dict[int, Issue] = field(default_factory=dict)
    labels: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    releases: dict[int, Release] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    rulesets: list[Ruleset] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    check_runs: list[CheckRun] = field(default_factory=list)

    @property
    def owner(self) -> str:
        """The login before the slash."""
        return self.name.partition("/")[0]


@dataclass
class Fault:
    """What goes wrong with requests.

    Attributes:
        method: of the requests that it meets; empty for any.
        path: regular expression, searched in the path with its query.
        status: answered instead.
        headers: of that answer.
        body: of that answer; JSON, bytes, or None.
        times: how often.
        drop: the connection is closed without an answer.
        after: the work is done first, and only its answer is lost.
        delay: seconds to wait before anything else.
    """

    method: str = ""
    path: str = ""
    status: int = 502
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    times: int = 1
    drop: bool = False
    after: bool = False
    delay: float = 0.0


@dataclass
class Request:
    """A request that came, as sent."""

    method: str
    path: str
    token: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
