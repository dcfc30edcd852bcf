"""Where publishers publish to: a working tree, or any Git remote."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publisher.folders import folder_in
from publisher.git import Git, Remote, is_bare_repository, scratch_repository
from publisher.git_tree import GitTree
from publisher.github.names import is_repository_name, repository_at
from publisher.offer import Destination, Offer, Submitted, Verdict, dropped, taken
from publisher.registrar.remote import PUBLISH, publish_ref, read_refs
from publisher.tree import DirTree, Listing, Tree, write_changes
from publisher.waiting import landed
from registry_client.errors import ConfigError, GitError, PublishError, RegistryError
from registry_client.signed import M, Parsed, PublisherKeys, parse_manifest, parse_publisher, parse_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from publisher.registrar.submission import Submission
    from registry_client.models.manifest import Manifest
    from registry_client.models.release import Release


class WorkTree:
    """A registry's folder: files are written where the registrar looks for them."""

    def __init__(self, folder: Path) -> None:
        self.tree: Listing = DirTree(folder)
        self._folder = folder

    def pending(self, plugin_id: str, version: str) -> Sequence[Submission]:  # noqa: ARG002
        """Nothing: what is written is there."""
        return ()

    def submit(self, offer: Offer, now: datetime) -> Submitted:  # noqa: ARG002
        """Write the files."""
        folder = folder_in(self.tree, offer.id)
        write_changes(self._folder, dict(offer.placed(folder)))
        return Submitted(str(self._folder / folder / offer.version))

    def notify(self, offer: Offer, submitted: Submitted) -> str:  # noqa: ARG002
        """Nobody: the registrar is run by hand."""
        return ""

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:  # noqa: ARG002
        """Nothing would ever come."""
        raise ConfigError(
            f"{submitted.place}: in a folder there is no registrar to wait for",
            hint="Leave --wait out, and run 'publisher registry register'.",
        )


class RemoteRegistry:
    """A Git remote: one new ref for each offer, one push, no clone.

    Args:
        git: a repository of its own.
        remote: the registry's.
        branch: its main branch.
        environ: says which GitHub there is, whose registrar can be told; None for none.
    """

    def __init__(
        self, git: Git, remote: Remote, branch: str, environ: Mapping[str, str] | None = None
    ) -> None:
        self._git = git
        self._remote = remote
        self._environ = environ
        self._main_ref = f"refs/heads/{branch}"
        self._gone = False
        self._refs = git.ls_remote(self._main_ref, f"{PUBLISH}*")
        main = self._refs.pop(self._main_ref, None)
        if main is None:
            raise GitError(
                f"{remote.url} has no branch {branch!r}",
                hint="Give the registry's main branch with --branch.",
            )
        git.fetch([main], blobless=True)  # by id: the registrar may be pushing the next one
        tree = GitTree(git, main)
        tree.prefetch(["policy.json", *tree.paths("publishers")])
        self.tree: Listing = tree

    def pending(self, plugin_id: str, version: str) -> Sequence[Submission]:
        """The publish refs of this version."""
        prefix = publish_ref(plugin_id, version, "")
        refs = {ref: oid for ref, oid in self._refs.items() if ref.startswith(prefix)}
        if refs:
            self._git.fetch(sorted(set(refs.values())))  # by id: the registrar may be deleting them
        return read_refs(self._git, refs)[0]

    def submit(self, offer: Offer, now: datetime) -> Submitted:
        """Push one commit without a parent to a ref that must not exist yet."""
        ref = publish_ref(offer.id, offer.version, offer.digest_hex)
        commit = self._git.commit(None, offer.files, offer.message, now)
        name = ref.removeprefix("refs/heads/")
        result = self._git.push([(commit, ref, "")])[0]
        there = commit if result.accepted else self._git.ls_remote(ref).get(ref)
        if there == commit:  # ours, or the very same made by someone else at the same time
            return Submitted(name, commit)
        if there is not None:
            raise PublishError(
                f"{name} exists already in {self._remote.url}, and holds something else",
                hint="Run it again when the registrar has handled that branch.",
            )
        raise PublishError(
            f"{self._remote.url} refuses to create {name}: {result.reason}",
            hint="The token must be allowed to create publish/* branches in the registry's repository.",
        )

    def notify(self, offer: Offer, submitted: Submitted) -> str:
        """Start the registrar's workflow, if the remote is a repository on GitHub and there is a token."""
        if not self._remote.token or self._environ is None:
            return ""
        name = repository_at(self._remote.url, self._environ)
        if name is None:
            return ""
        from publisher.github.api import TOKEN_VARIABLE, Api  # noqa: PLC0415  (PyGithub takes time)
        from publisher.github.destination import dispatch  # noqa: PLC0415

        try:
            api = Api.from_environ(self._environ, TOKEN_VARIABLE)
        except ConfigError as e:
            return f"the registrar could not be told: {e.message}"
        return dispatch(api, name, offer, submitted)

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:
        """What the refs and main say: the registrar deletes a ref once it has handled it."""
        ref = f"refs/heads/{submitted.place}"
        refs = self._git.ls_remote(self._main_ref, ref)
        if refs.get(ref) == submitted.commit:
            return None
        main = refs.get(self._main_ref)
        if main is not None:
            self._git.fetch([main], blobless=True)
            if landed(GitTree(self._git, main), offer):
                return taken(offer)
        return self._not_there(offer)

    def _not_there(self, offer: Offer) -> Verdict | None:
        """Neither offered nor on main: refused. But a host of several servers may show a ref late, so only the second time."""
        if not self._gone:
            self._gone = True
            return None
        return dropped(offer)


def publisher_of(tree: Tree, plugin_id: str) -> PublisherKeys | None:
    """The publisher whose plugin this is, as the registry's files say it; None if there is none."""

    def unlikely(path: str) -> tuple[bool, str]:  # each file may take a request
        stem = path.rpartition("/")[2].removesuffix(".json")
        return not plugin_id.startswith(stem), path

    for path in sorted(tree.paths("publishers"), key=unlikely):
        keys = parse_publisher(tree.read(path) or b"", path)
        if keys.covers(plugin_id):
            return keys
    return None


@dataclass(frozen=True)
class Pending:
    """Documents offered for a version and not yet registered, each signed by the plugin's publisher.

    `is_proposal`: they may still be replaced, see `Submission`.
    """

    source: str
    manifest: Parsed[Manifest] | None
    release: Parsed[Release] | None
    is_proposal: bool = False


def pending_of(destination: Destination, plugin_id: str, version: str) -> list[Pending]:
    """What the plugin's publisher has offered for this version.

    Whoever may publish anything can push a ref for any plugin. The registrar would refuse it; here it must neither stand in
    the publisher's way nor get into what the publisher signs next.
    """
    submissions = destination.pending(plugin_id, version)
    keys = publisher_of(destination.tree, plugin_id) if submissions else None
    if keys is None:
        return []
    return [
        Pending(
            s.source,
            _genuine(parse_manifest, s.manifest, s, keys),
            _genuine(parse_release, s.release, s, keys),
            s.is_proposal,
        )
        for s in submissions
    ]


def _genuine(
    parse: Callable[[bytes, str], Parsed[M]], data: bytes | None, submission: Submission, keys: PublisherKeys
) -> Parsed[M] | None:
    """The document if it is what the submission's name says, signed by that publisher."""
    if data is None:
        return None
    try:
        document = parse(data, submission.source)
        keys.verify(document)
    except RegistryError:
        return None
    same = (document.model.id, document.model.version) == (submission.id, submission.version)
    return document if same else None


@contextlib.contextmanager
def open_destination(text: str, branch: str, environ: Mapping[str, str]) -> Iterator[Destination]:
    """The registry that a user names: a folder with a registry in it, a repository on GitHub as OWNER/REPO, or a Git remote.

    Raises:
        ConfigError: none of them. GitError: the remote cannot be read. GitHubError: nor can the repository.
    """
    folder = Path(text)
    on_disk = is_folder(folder)
    if on_disk and not is_bare_repository(folder):
        if not (folder / "policy.json").is_file():
            raise ConfigError(
                f"{folder}: is not a registry (it has no policy.json)",
                hint="Give the registry with --to: its folder, a Git URL, or OWNER/REPO on GitHub.",
            )
        yield WorkTree(folder)
        return
    if not on_disk and is_repository_name(text):
        from publisher.github.destination import open_github  # noqa: PLC0415  (PyGithub takes time)

        yield open_github(text, branch, environ)
        return
    remote = Remote.parse(str(folder.resolve()) if on_disk else text, environ)
    with scratch_repository(remote, environ) as git:
        yield RemoteRegistry(git, remote, branch, environ)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder."""
    try:
        return path.is_dir()
    except OSError:  # longer than a name may be, or not ours to look at: then Git says what is wrong
        return False
