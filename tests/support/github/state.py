"""The double itself: what it holds, and what a test may tell it."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from support.github import gitdata
from support.github.records import Dispatch, Fault, Repository, Request, Ruleset, Token
from support.github.wire import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["Dispatch", "Double", "Fault", "Repository", "Request", "Ruleset", "Token"]

_ANONYMOUS_LIMIT = 60


@dataclass
class Double:
    """GitHub, on a local port.

    Attributes:
        root: the bare repositories are `<root>/<owner>/<name>.git`; a Git host may serve the same folder.
        url: base URL of the server, without a slash at the end.
        prefix: before every path of the API; `/api/v3` makes it a GitHub Enterprise Server.
        git_url: base of clone URLs; the server's own unless a test has a Git host.
        violations: what was asked or answered against GitHub's description.
        requests: all that came.
        dispatches: repository_dispatch events.
        on_dispatch: called with each of them, before the answer is sent.
        faults: met by the first request that fits.
        now: the clock.
    """

    root: Path
    url: str = ""
    prefix: str = ""
    git_url: str = ""
    violations: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    dispatches: list[Dispatch] = field(default_factory=list)
    on_dispatch: Callable[[Dispatch], None] | None = None
    faults: list[Fault] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: datetime.now(UTC).replace(microsecond=0)
    lock: threading.RLock = field(default_factory=threading.RLock)
    tokens: dict[str, Token] = field(default_factory=dict)
    anonymous: Token = field(default_factory=lambda: Token("", "", limit=_ANONYMOUS_LIMIT))
    rate_reset: datetime | None = None
    repositories: dict[int, Repository] = field(default_factory=dict)
    _moved: dict[str, int] = field(default_factory=dict)
    _users: dict[str, int] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(700_000_001))

    @property
    def api(self) -> str:
        """Base URL of the API: what GITHUB_API_URL is set to."""
        return self.url + self.prefix

    @property
    def uploads(self) -> str:
        """Base URL of uploads."""
        return self.url + ("/api/uploads" if self.prefix else "/uploads")

    @property
    def tokens_seen(self) -> set[str]:
        """Every token that was sent."""
        return {request.token for request in self.requests if request.token}

    def next_id(self) -> int:
        """A number that nothing else has."""
        with self.lock:
            return next(self._ids)

    def user_id(self, login: str) -> int:
        """The number of a user or organisation."""
        with self.lock:
            return self._users.setdefault(login.lower(), 1001 + len(self._users))

    def create(self, name: str, *, private: bool = False, default_branch: str = "main") -> Repository:
        """A repository: the bare one that is there, or a new, empty one."""
        with self.lock:
            git = self.root / f"{name}.git"
            if not git.exists():
                gitdata.create(git, default_branch)
            branch = gitdata.text(git, "symbolic-ref", "--short", "HEAD")
            repository = Repository(self.next_id(), name, git, private, branch, self.now())
            self.repositories[repository.id] = repository
            self._moved.pop(name.lower(), None)
            return repository

    def find(self, name: str) -> Repository | None:
        """The repository of that name; a bare one that stands in the folder is taken in as public."""
        with self.lock:
            for repository in self.repositories.values():
                if repository.name.lower() == name.lower():
                    return repository
            if name.count("/") == 1 and ".." not in name and (self.root / f"{name}.git").is_dir():
                return self.create(name)
            return None

    def repository(self, name: str) -> Repository:
        """The repository of that name; KeyError without one."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def moved(self, name: str) -> Repository | None:
        """The repository that had this name."""
        with self.lock:
            return self.repositories.get(self._moved.get(name.lower(), 0))

    def rename(self, old: str, new: str) -> Repository:
        """Give a repository another name, or owner: its number stays, and its old name leads to it."""
        with self.lock:
            repository = self.repository(old)
            target = self.root / f"{new}.git"
            target.parent.mkdir(parents=True, exist_ok=True)
            repository.git.rename(target)
            repository.name, repository.git = new, target
            self._moved[old.lower()] = repository.id
            self._moved.pop(new.lower(), None)
            return repository

    def recreate(self, name: str) -> Repository:
        """Delete what has this name, and create another, empty repository with it: its number is new."""
        with self.lock:
            old = self.find(name)
            if old is not None:
                del self.repositories[old.id]
                shutil.rmtree(old.git)
            return self.create(name, private=old is not None and old.private)

    def add_token(
        self,
        value: str,
        login: str,
        permissions: Mapping[str, Mapping[str, str]] | None = None,
        **options: Any,
    ) -> Token:
        """Let a token in.

        Args:
            value: what is sent.
            login: who it stands for.
            permissions: by `owner/name`, such as `{"contents": "write", "statuses": "write"}`.
            options: the other attributes of `Token`.

        Raises:
            KeyError: there is no such repository.
        """
        granted = {self.repository(name).id: dict(given) for name, given in (permissions or {}).items()}
        token = Token(value, login, granted, **options)
        with self.lock:
            self.user_id(login)
            self.tokens[value] = token
        return token

    def protect(
        self,
        name: str,
        *include: str,
        exclude: tuple[str, ...] = (),
        rules: tuple[str, ...] = ("creation", "update", "deletion", "non_fast_forward"),
        bypass: tuple[str, ...] = (),
    ) -> None:
        """Add a ruleset; arguments as for `Ruleset`. It binds the API; a Git host has to ask `refusal` itself."""
        ruleset = Ruleset(include, exclude, frozenset(rules), frozenset(bypass))
        self.repository(name).rulesets.append(ruleset)

    def refusal(self, repository: Repository, ref: str, rule: str, token: str) -> str:
        """What a ruleset says to a change of a ref; nothing if the change may be made."""
        reasons = {
            "creation": "Cannot create ref due to creations being restricted.",
            "update": "Cannot update this protected ref.",
            "deletion": "Cannot delete this branch",
            "non_fast_forward": "Cannot force-push to this branch",
        }
        for ruleset in repository.rulesets:
            bound = rule in ruleset.rules and token not in ruleset.bypass
            if bound and ruleset.covers(ref, repository.default_branch):
                return reasons[rule]
        return ""

    def check_rules(self, repository: Repository, ref: str, rule: str, token: Token | None) -> None:
        """Refuse what a ruleset forbids, as the API words it."""
        reason = self.refusal(repository, ref, rule, token.value if token else "")
        if reason:
            raise ApiError(422, f"Repository rule violations found\n\n{reason}\n\n")

    def seed(
        self, name: str, files: Mapping[str, str | bytes], branch: str = "", message: str = "Files"
    ) -> str:
        """Commit files on top of a branch, or of the default one for a new branch, past every check; the commit."""
        repository = self.find(name) or self.create(name)
        ref = f"refs/heads/{branch or repository.default_branch}"
        with self.lock:
            old = gitdata.resolve(repository.git, ref)
            tip = old or gitdata.resolve(repository.git, f"refs/heads/{repository.default_branch}")
            contents = {
                path: each.encode() if isinstance(each, str) else each for path, each in files.items()
            }
            entries: list[tuple[str, str, str | None]] = [
                (path, "100644", gitdata.write_blob(repository.git, each)) for path, each in contents.items()
            ]
            who = gitdata.Who(repository.owner, f"{repository.owner}@users.noreply.github.com", self.now())
            tree = gitdata.write_tree(repository.git, tip, entries)
            new = gitdata.Commit("", tree, (tip,) if tip else (), who, who, message)
            sha = gitdata.write_commit(repository.git, new)
            gitdata.set_ref(repository.git, ref, sha, old or gitdata.NOTHING)
        return sha

    def rate_limit_reset(self) -> datetime:
        """When the hour is over and every token starts again."""
        with self.lock:
            if self.rate_reset is None or self.now() >= self.rate_reset:
                if self.rate_reset is not None:
                    for token in [self.anonymous, *self.tokens.values()]:
                        token.used = 0
                self.rate_reset = self.now() + timedelta(hours=1)
            return self.rate_reset
