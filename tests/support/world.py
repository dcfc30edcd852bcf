"""A whole registry for end-to-end tests: real keys, the real write side, the real registrar, the real client.

Nothing here is a stand-in but the clock, which a test moves with `tick`.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from support.documents import ed25519, keyid, keys_of

from publisher.destination import WorkTree
from publisher.maintain import policy
from publisher.maintain.desk import Desk
from publisher.maintain.init import Keys, NewRegistry, build_registry, write_registry
from publisher.maintain.policy import PublisherChange
from publisher.publish import Prepared, Publication, prepare
from publisher.registrar.gate import TreeTransport
from publisher.registrar.run import Options, Run, register
from publisher.set_status import Change, PreparedRelease, prepare_release
from publisher.source import load_source
from publisher.tree import DirTree, MemoryTree, Tree, write_changes
from publisher.tuf_repository import DEFAULT_DAYS
from registry_client.client import RegistryClient
from registry_client.models.release import ReleaseStatus
from registry_client.resolve import Host
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from securesystemslib.signer import Signer

    from publisher.offer import Destination
    from publisher.registrar.submission import Submission

REGISTRY = "acme-registry"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
IN_TREE_URL = "http://candidate.invalid"
"""The URL under which `TreeTransport` serves a tree."""


def make_keys() -> Keys:
    """The maintainers' keys: the same in each run."""
    roots = tuple(ed25519(f"root-{number}") for number in (1, 2, 3))
    return Keys(roots, ed25519("targets"), ed25519("blocks"), ed25519("online"))


@dataclass
class World:
    """A registry in a folder, its keys, its publishers and its time.

    Attributes:
        folder: the registry's working tree; other files of the world stand next to it.
        base_url: the URL in its policy.
        now: the time for everyone.
        in_tree: whether it keeps artifacts itself.
        mirrors: URLs of mirrors in its policy.
        days: for how many days each role is signed, where not as usual.
        publishers: signers of each publisher by its id.
        warnings: what clients warned of.
    """

    folder: Path
    base_url: str = IN_TREE_URL
    now: datetime = START
    in_tree: bool = True
    mirrors: tuple[str, ...] = ()
    days: dict[str, int] = field(default_factory=dict)
    keys: Keys = field(default_factory=make_keys)
    publishers: dict[str, list[Signer]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        new = NewRegistry(
            self.base_url,
            REGISTRY,
            "Acme registry",
            in_tree=self.in_tree,
            mirrors=self.mirrors,
            days={**DEFAULT_DAYS, **self.days},
        )
        write_registry(self.folder, build_registry(new, self.keys, self.now))

    @property
    def root(self) -> bytes:
        """The root of trust that clients pin."""
        return self.root_path.read_bytes()

    @property
    def root_path(self) -> Path:
        """Where that root stands."""
        return self.folder / "metadata" / "1.root.json"

    @property
    def tree(self) -> DirTree:
        """The registry's files."""
        return DirTree(self.folder)

    def snapshot(self) -> dict[str, bytes]:
        """Every file of the registry by path, as it stands now."""
        tree = self.tree
        return {path: tree.read(path) or b"" for path in tree.paths("") if not path.startswith(".git/")}

    def tick(self, **span: float) -> None:
        """Let time pass; arguments as for `timedelta`."""
        self.now += timedelta(**span)

    # -- maintainers --------------------------------------------------------------------------------------------

    def desk(self, *signers: Signer) -> Desk:
        """A maintainers' desk with these keys, by default all offline ones."""
        return Desk(self.folder, signers or (*self.keys.root, self.keys.targets, self.keys.blocks), self.now)

    def add_publisher(self, name: str = "acme", *plugins: str, keys: int = 1, threshold: int = 1) -> None:
        """Allow a publisher with fresh keys; by default for `<name>-*`."""
        signers = [ed25519(f"{name}-{number}") for number in range(1, keys + 1)]
        desk = self.desk()
        change = PublisherChange(threshold=threshold, add_plugins=plugins or (f"{name}-*",))
        policy.add_publisher(desk, name, name.title(), keys_of(*signers), change)
        desk.save()
        self.publishers[name] = list(signers)

    def add_key(self, name: str, signer: Signer) -> None:
        """Give a publisher another key, which signs from now on instead of the others."""
        desk = self.desk()
        policy.add_key(desk, name, keyid(signer), keys_of(signer)[keyid(signer)])
        desk.save()
        self.publishers[name] = [signer]

    def revoke_key(self, name: str, signer: Signer) -> None:
        """Revoke a publisher's key."""
        desk = self.desk()
        policy.revoke_key(desk, name, keyid(signer), "stolen")
        desk.save()

    def retire_key(self, name: str, signer: Signer) -> None:
        """Retire a publisher's key."""
        desk = self.desk()
        policy.retire_key(desk, name, keyid(signer))
        desk.save()

    def block(self, plugin_id: str, versions: str, action: str = "hide", reason: str = "unsafe") -> None:
        """Block versions of a plugin."""
        desk = self.desk()
        policy.block(desk, {"id": plugin_id, "versions": versions, "action": action, "reason": reason})
        desk.save()

    def unblock(self, plugin_id: str) -> None:
        """Lift all blocks of a plugin."""
        desk = self.desk()
        policy.unblock(desk, plugin_id, None)
        desk.save()

    # -- publishers ---------------------------------------------------------------------------------------------

    def write_source(
        self, plugin_id: str, version: str, files: dict[str, bytes] | None = None, **members: Any
    ) -> Path:
        """A plugin's source folder: a remote UI unless `members` say otherwise."""
        folder = self.folder.parent / "sources" / plugin_id
        for name, data in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        document = {
            "id": plugin_id,
            "name": plugin_id.replace("-", " ").title(),
            "version": version,
            **members,
        }
        if not document.keys() & {"ui", "server", "artifacts"}:
            document["ui"] = {
                "remoteEntry": f"https://cdn.example/{plugin_id}/{version}/entry.js",
                "expose": "./App",
            }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
        return folder

    def prepare(  # noqa: D417  (the rest as for `write_source`)
        self,
        plugin_id: str,
        version: str,
        *,
        to: Destination | None = None,
        by: str = "",
        change: Change | None = None,
        signers: Sequence[Signer] | None = None,
        files: dict[str, bytes] | None = None,
        **members: Any,
    ) -> Prepared:
        """Pack, sign and compare with the registry; submit nothing.

        Args:
            to: where to; by default the working tree.
            by: the publisher whose keys sign; by default the one that the id begins with.
            change: first status and so on.
            signers: other keys than the publisher's.
        """
        source = load_source(self.write_source(plugin_id, version, files, **members))
        publication = Publication(
            source, version, change or Change(), signers or self.publishers[by or plugin_id.partition("-")[0]]
        )
        return prepare(publication, to or WorkTree(self.folder), self.now)

    def publish(
        self, plugin_id: str, version: str, *, to: Destination | None = None, **options: Any
    ) -> Prepared:
        """Publish into the working tree, or elsewhere; `register` takes it into the index."""
        prepared = self.prepare(plugin_id, version, to=to, **options)
        if prepared.offer is not None:
            (to or WorkTree(self.folder)).submit(prepared.offer, self.now)
        return prepared

    def set_status(  # noqa: D417  (the rest as for `Change`)
        self,
        plugin_id: str,
        version: str,
        status: str | None = None,
        *,
        to: Destination | None = None,
        by: str = "",
        **members: Any,
    ) -> PreparedRelease:
        """Sign the next release document and submit it.

        Args:
            status: the new status.
            to: where to; by default the working tree.
            by: the publisher whose keys sign; by default the one that the id begins with.
        """
        change = replace(Change(**members), status=ReleaseStatus(status) if status else None)
        place = to or WorkTree(self.folder)
        prepared = prepare_release(
            plugin_id, version, change, self.publishers[by or plugin_id.partition("-")[0]], place, self.now
        )
        if prepared.offer is not None:
            place.submit(prepared.offer, self.now)
        return prepared

    # -- registrar ----------------------------------------------------------------------------------------------

    def options(self, **more: Any) -> Options:
        """Options of a run of the registrar."""
        return Options(self.root, [self.keys.online], **more)

    def plan(self, submissions: Iterable[Submission] = (), tree: Tree | None = None, **more: Any) -> Run:
        """Run the registrar without writing anything."""
        return register(tree or self.tree, submissions, self.options(**more), self.now)

    def register(self, submissions: Iterable[Submission] = (), **more: Any) -> Run:
        """Run the registrar and write what follows."""
        run = self.plan(submissions, **more)
        write_changes(self.folder, run.changes)
        return run

    # -- hosts --------------------------------------------------------------------------------------------------

    def client(  # noqa: D417  (the rest as for `RegistryClient`)
        self,
        home: str = "host",
        *,
        url: str | None = None,
        tree: Tree | dict[str, bytes] | None = None,
        **options: Any,
    ) -> RegistryClient:
        """A client that judges time by the world's clock and warns into `warnings`.

        Args:
            home: name of its directories; clients of one name share them.
            url: reads over HTTP from there; by default straight from a tree.
            tree: what is served instead of the registry's folder.
        """
        served = MemoryTree(tree) if isinstance(tree, dict) else tree or self.tree
        transport = None if url else TreeTransport(served)
        defaults: dict[str, Any] = {
            "root": self.root,
            "directories": Directories.default(self.folder.parent / "hosts" / home),
            "host": Host("0" * 32),
            "clock": lambda: self.now,
            "on_warning": self.warnings.append,
            "transport": transport,
        }
        return RegistryClient(url or IN_TREE_URL, **{**defaults, **options})


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run Git in a folder and give its output, stripped."""
    stable = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Test"), ("EMAIL", "test@localhost"), ("DATE", "2026-03-01T12:00:00Z"))
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        input=stdin,
        capture_output=True,
        check=True,
        env={**os.environ, **stable},
    )
    return done.stdout.decode().strip()


def push_to_bare(world: World, bare: Path) -> Path:
    """A bare repository whose `main` is the world's folder, committed there."""
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    git(bare, "config", "gc.auto", "0")
    git(world.folder, "init", "--quiet", "--initial-branch=main", ".")
    commit_all(world.folder, "Make the registry")
    git(world.folder, "remote", "add", "origin", str(bare))
    git(world.folder, "push", "--quiet", "origin", "main")
    return bare


def commit_all(folder: Path, message: str) -> str:
    """Commit whatever stands in a work tree; gives the commit's id."""
    git(folder, "add", "--all", "--force", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")
