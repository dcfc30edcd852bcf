"""`publisher publish --pull-request`: a version, or a status, proposed to the registry's maintainers.

One branch and one pull request for each proposal, however often it is made: running it again updates what is open. What was merged is the
registrar's to judge, as anything on main.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from publisher.folders import folder_in
from publisher.github.answers import text_of
from publisher.github.api import repository_path
from publisher.github.git_data import GitHubTree, branch_head
from publisher.github.objects import commit_info
from publisher.github.proposal_body import Registry, build_body, merge_body
from publisher.github.proposal_head import REFUSED, Heads, Work, find_login, read_upstream
from publisher.github.proposal_pull import CHECK, Pull, failed_check, find_open, last_word, read_pull
from publisher.offer import Submitted, Verdict, taken
from publisher.registrar.submission import Submission
from publisher.waiting import landed
from registry_client.errors import GitHubError, PublishError, RegistryError
from registry_client.layout import manifest_path, plugin_folders, release_path
from registry_client.signed import parse_manifest, parse_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from publisher.github.api import Api
    from publisher.offer import Offer
    from publisher.tree import Listing

PROPOSE: Final = "propose/"
_EXPLAINED: Final = (
    ("no commits between", "The main branch has all of this already: look whether the version is published."),
    ("pull request already exists", "Run it again: the open one is found and updated."),
    ("archived", "Ask the registry's maintainers where it went."),
    ("pull requests", "Its maintainers can switch pull requests on, or allow them for more people."),
    ("base invalid", "Give the registry's main branch with --branch."),
)
_INCIDENTAL: Final = {"lastUpdated", "signatures"}


class GitHubProposal:
    """A registry on GitHub, for those whose versions its maintainers merge.

    Args:
        api: GitHub's API with a token that may write to the registry's repository, or to a fork of it.
        name: `OWNER/REPO` of the registry.
        branch: its main branch.
        sleep: waits for seconds; forks take a while.

    Raises:
        ConfigError: there is no token. PublishError: the registry takes no pull requests. GitHubError: it cannot be read.
    """

    def __init__(
        self, api: Api, name: str, branch: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._api = api
        self._upstream = read_upstream(api, name)
        self._branch = branch
        main = branch_head(api, self._upstream.name, branch)
        if main is None:
            raise GitHubError(
                f"{self._upstream.name} has no branch {branch!r}",
                hint="Give the registry's main branch with --branch.",
            )
        self._main = main
        self.tree: Listing = GitHubTree(api, self._upstream.name, main)
        self._heads = Heads(api, self._upstream, branch, lambda: self._login, sleep)

    @cached_property
    def _login(self) -> str | None:
        return find_login(self._api)

    # -- what is proposed -----------------------------------------------------------------------------------------

    def pending(self, plugin_id: str, version: str) -> Sequence[Submission]:
        """The open proposals of this version: that of the version itself, and that of its next status."""
        folder = folder_in(self.tree, plugin_id)
        status = release_path(folder, version)
        names = [f"{PROPOSE}{plugin_id}@{version}"]
        if self.tree.read(manifest_path(folder, version)) is not None:
            names.append(f"{names[0]}@r{_revision(self.tree.read(status), status) + 1}")
        pulls = [self._find(name) for name in names]
        return [s for pull in pulls if pull is not None for s in self._submission(pull, plugin_id, version)]

    def _submission(self, pull: Pull, plugin_id: str, version: str) -> Iterator[Submission]:
        """What a pull request changes of a version's documents."""
        if pull.repository is None:
            return
        head = GitHubTree(self._api, pull.repository, pull.commit)
        own = folder_in(self.tree, plugin_id)
        for folder in sorted(plugin_folders(plugin_id), key=lambda name: name != own):
            paths = manifest_path(folder, version), release_path(folder, version)
            found = [(path, head.read(path)) for path in paths]
            manifest, release = (None if data == self.tree.read(path) else data for path, data in found)
            if manifest is not None or release is not None:
                commit, url = pull.commit, pull.url
                yield Submission(url, plugin_id, version, manifest, release, commit=commit, is_proposal=True)
                return

    # -- proposing ------------------------------------------------------------------------------------------------

    def submit(self, offer: Offer, now: datetime) -> Submitted:
        """Open a pull request, or make the open one say this.

        Raises:
            PublishError: the token may not, or the registry takes none.
        """
        branch = branch_of(offer)
        work = Work(branch, offer.placed(folder_in(self.tree, offer.id)), offer.message, now, self._main)
        pull = self._find(branch)
        body = self._body(offer)
        if pull is None:
            repository, commit = self._heads.place(work)
            return self._open(offer, body, repository, branch, commit)
        moved = not self._holds(pull, work)
        commit = self._move(pull, work) if moved else pull.commit
        edited = self._edit(pull, offer, body)
        note = "" if moved or edited else f"{pull.url} proposes this already; nothing to do"
        return Submitted(branch, commit, pull.url, note)

    def notify(self, offer: Offer, submitted: Submitted) -> str:  # noqa: ARG002
        """Nothing: GitHub tells the maintainers, and a merge tells the registrar."""
        return ""

    def _body(self, offer: Offer) -> str:
        manifest, release = offer.files.get("manifest.json"), offer.files.get("release.json")
        to = Registry(self._upstream.git_url, self._upstream.server_url, self._branch)
        return build_body(
            offer,
            None if manifest is None else parse_manifest(manifest, "manifest.json").raw,
            None if release is None else parse_release(release, "release.json").raw,
            self.tree,
            to,
        )

    def _holds(self, pull: Pull, work: Work) -> bool:
        """Whether the pull request has just these documents, and main has changed none of them since."""
        if pull.repository is None:
            return False
        head = GitHubTree(self._api, pull.repository, pull.commit)
        if not all(says_the_same(path, head.read(path), data) for path, data in work.files.items()):
            return False
        parents = commit_info(self._api, pull.repository, pull.commit).parents
        return any(
            parent == self._main
            or all(
                GitHubTree(self._api, pull.repository, parent).read(path) == self.tree.read(path)
                for path in work.files
            )
            for parent in parents
        )

    def _move(self, pull: Pull, work: Work) -> str:
        """Make the branch of an open pull request hold the new content, on main as it is now.

        Raises:
            PublishError: the branch is somebody else's, or gone.
        """
        if pull.repository is None:
            raise PublishError(
                f"{pull.url} is open, but the repository of its branch is gone",
                hint="Close it; then run this again.",
            )
        try:
            return self._heads.move(pull.repository, work)
        except PublishError as e:
            if isinstance(e, GitHubError) and e.status not in REFUSED:
                raise
            hint = "" if isinstance(e, GitHubError) else e.hint
            raise PublishError(
                f"{pull.url} proposes something else, and it cannot be updated: {e.message}",
                hint=hint or "Have it closed, or use the token of whoever opened it.",
            ) from e

    def _edit(self, pull: Pull, offer: Offer, body: str) -> bool:
        """Make title and text say what is proposed now. Returns whether anything was to be changed."""
        wanted = {"title": offer.message.strip(), "body": merge_body(body, pull.body)}
        current = {"title": pull.title, "body": pull.body}
        changes = {name: text for name, text in wanted.items() if text != current[name]}
        if changes:
            self._api.patch(repository_path(self._upstream.name, "pulls", pull.number), changes)
        return bool(changes)

    def _open(self, offer: Offer, body: str, repository: str, branch: str, commit: str) -> Submitted:
        """Open the pull request. One that is there after all, as an answer was lost or another run was faster, is taken."""
        owner = repository.partition("/")[0]
        wanted: dict[str, Any] = {
            "title": offer.message.strip(),
            "head": f"{owner}:{branch}",
            "base": self._branch,
            "body": body,
        }
        if repository != self._upstream.name:
            wanted["maintainer_can_modify"] = True
        try:
            url = text_of(self._api.post(repository_path(self._upstream.name, "pulls"), wanted), "html_url")
        except GitHubError as e:
            pull = self._find(branch)
            if pull is None:
                raise _explained(e, branch, self._upstream.name) from e
            self._edit(pull, offer, body)
            url = pull.url
        return Submitted(branch, commit, url, "")

    # -- what became of it ----------------------------------------------------------------------------------------

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:
        """What the maintainers made of it: merged and on main, closed, or failing its check; None while it is open."""
        number = (submitted.url or "").rpartition("/")[2]
        pull = read_pull(self._api, self._upstream.name, number)
        if pull is None:
            return None
        if pull.is_merged:
            return self._merged(offer, submitted, pull)
        if not pull.is_open:
            url = last_word(self._api, self._upstream.name, pull)
            return Verdict(
                accepted=False, message="the pull request was closed without being merged", url=url
            )
        failed = failed_check(self._api, self._upstream.name, pull)
        if failed is None:
            return None
        message = f"the check {CHECK!r} of the pull request failed"
        return Verdict(accepted=False, message=message, url=failed)

    def _merged(self, offer: Offer, submitted: Submitted, pull: Pull) -> Verdict | None:
        main = branch_head(self._api, self._upstream.name, self._branch)
        if main is not None and landed(GitHubTree(self._api, self._upstream.name, main), offer):
            return taken(offer, pull.url)
        if pull.commit == submitted.commit:
            return None  # reads may lag behind the merge
        message = "the pull request was merged, but with other content than this run proposed"
        return Verdict(accepted=False, message=message, url=pull.url)

    def _find(self, branch: str) -> Pull | None:
        """The open pull request from the branch of that name, in the registry's repository or in the fork of the token's owner.

        Others may have branches of that name too; theirs are not ours to update.
        """
        found = self._from(self._upstream.owner, branch)
        if found is None and self._login is not None and self._login.lower() != self._upstream.owner.lower():
            found = self._from(self._login, branch)
        return found

    def _from(self, owner: str, branch: str) -> Pull | None:
        return find_open(self._api, self._upstream.name, owner, branch, self._branch)


def branch_of(offer: Offer) -> str:
    """The branch of a proposal: one for each version, and one for each later revision of its status."""
    name = f"{PROPOSE}{offer.id}@{offer.version}"
    if "manifest.json" in offer.files:
        return name
    return f"{name}@r{_revision(offer.files['release.json'], 'release.json')}"


def says_the_same(path: str, known: bytes | None, data: bytes) -> bool:
    """Whether a file that is proposed already says what this one says, and is signed by the same keys.

    The same key signs the same text differently each time with some algorithms, and each run has a time of its own.
    """
    if known is None or known == data:
        return known == data
    try:
        if path.endswith("/manifest.json"):
            a, b = parse_manifest(known, path), parse_manifest(data, path)
            return a.payload_digest == b.payload_digest and _signers(a.raw) == _signers(b.raw)
        if path.endswith("/release.json"):
            old, new = parse_release(known, path).raw, parse_release(data, path).raw
            return _signers(old) == _signers(new) and _essence(old) == _essence(new)
    except RegistryError:
        return False
    return False


def _signers(raw: Mapping[str, Any]) -> set[str]:
    return {item["keyid"] for item in raw["signatures"]}


def _essence(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in _INCIDENTAL}


def _revision(release: bytes | None, where: str) -> int:
    """The revision of a release document; 0 where there is none."""
    return 0 if release is None else parse_release(release, where).model.revision


def _explained(error: GitHubError, branch: str, registry: str) -> PublishError:
    """Why no pull request can be opened."""
    said = error.message.partition(": ")[2].lower()  # without the path, in which names stand
    hint = next((hint for words, hint in _EXPLAINED if words in said), error.hint)
    return GitHubError(
        f"{branch} is there, but no pull request to {registry} can be opened: {error.message}",
        status=error.status,
        hint=hint or "The token needs 'Pull requests' write permission for the registry.",
    )
