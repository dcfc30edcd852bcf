"""One run of the importer on a registry's Git remote: read main, look at the publishers' repositories, push what is new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from publisher.authority import load_authority, pinned_root
from publisher.git_tree import GitTree
from publisher.importer.check import Registry
from publisher.importer.poll import Edges, Importer
from publisher.main_branch import open_main
from publisher.registrar.remote import PUBLISH
from publisher.registrar.state import load_state
from registry_client.http import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from publisher.git import Git, Remote
    from publisher.github.api import Api
    from publisher.importer.cache import Cache
    from publisher.importer.report import Report
    from registry_client.digest import Digest

# What is read here is small, and archives are not; a host that cannot leave them out sends them.
_SMALL: Final = "--filter=blob:limit=1m"


@dataclass(frozen=True)
class ImportOptions:
    """How a run goes.

    Attributes:
        branch: the registry's main branch.
        root_digest: what its first root must be; None believes the one on the remote.
        allow_dev_keys: accept development keys.
        dry_run: push nothing and save nothing.
    """

    branch: str = "main"
    root_digest: Digest | None = None
    allow_dev_keys: bool = False
    dry_run: bool = False


def import_releases(
    remote: Remote,
    options: ImportOptions,
    environ: Mapping[str, str],
    api: Api,
    *,
    cache: Cache,
    save: Callable[[Cache], None],
    now: datetime,
) -> Report:
    """Bring what publishers offer on releases of their own repositories to the registrar.

    Args:
        remote: the registry's repository; its token must be allowed to create publish/* branches.
        options: how it goes.
        environ: the environment for Git.
        api: GitHub's API; a token is not needed, but raises the rate limit.
        cache: what the last run remembered.
        save: keeps what this one does.
        now: the time, UTC.

    Raises:
        VerificationError: the maintainers' statements, or the index, do not verify. GitError: the remote cannot be read, or takes no
        push. GitHubError: the token is not valid.
    """
    with open_main(remote, options.branch, environ, f"{PUBLISH}*") as main:
        _fetch(main.git, main.commit)
        tree = GitTree(main.git, main.commit)
        root = pinned_root(tree, options.root_digest)
        authority = load_authority(tree, root, allow_dev_keys=options.allow_dev_keys)
        registry = Registry(authority, load_state(tree, authority), tree)
        transport = Transport()
        try:
            edges = Edges(api, transport, main.git, save, options.dry_run)
            return Importer(registry, main.refs, cache, edges, now).run()
        finally:
            transport.close()


def _fetch(git: Git, commit: str) -> None:
    git.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", _SMALL, "origin", commit)


__all__ = ["ImportOptions", "import_releases"]
