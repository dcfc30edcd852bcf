"""A registry and plugin repositories on GitHub's double and a Git host, for tests of releases and of the import."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.githttp import git_host
from support.github.server import github_double
from support.world import World, git, push_to_bare

from publisher.cli.main import main
from publisher.git import Git, Remote
from publisher.git_tree import GitTree
from publisher.github.api import Api
from publisher.github.release_offer import ReleaseOffer
from publisher.maintain import policy
from publisher.maintain.policy import PublisherChange
from publisher.registrar.remote import register_remote
from publisher.tree import MemoryTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from support.githttp import GitHost
    from support.github.records import Release
    from support.github.state import Double, Repository

    from publisher.registrar.run import Run
    from publisher.set_status import Change
    from registry_client.client import RegistryClient

REGISTRY = "acme/registry"
PUSH_TOKEN = "push-token-0123456789"
JOB_TOKEN = "job-token-0123456789"


@dataclass
class Ran:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that was printed."""
        return self.out + self.err

    @property
    def json(self) -> dict[str, Any]:
        """The document on stdout."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    def results(self) -> list[tuple[str, str]]:
        """Tag (or repository, where there is none) and result of each line of an import's report."""
        return [(item.get("tag") or item["repository"], item["result"]) for item in self.json["items"]]


@dataclass
class Hub:
    """A registry, GitHub, and whoever publishes there.

    Attributes:
        world: the registry as its maintainers have it.
        double: GitHub's API.
        host: GitHub's Git.
        bare: the registry's repository.
        here: a folder for a test's own files.
        monkeypatch: sets the environment of runs.
        capsys: catches what they print.
        tokens: the job's token of each plugin's repository.
    """

    world: World
    double: Double
    host: GitHost
    bare: Path
    here: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def remote(self) -> str:
        """The registry's Git URL."""
        return f"{self.host.url}/{REGISTRY}.git"

    @property
    def cache(self) -> Path:
        """Where the importer keeps its cache."""
        return self.here / "import.json"

    def repository(self, name: str, publisher: str = "") -> Repository:
        """A plugin's repository with a commit; listed by a publisher if one is given."""
        repository = self.double.create(name)
        self.double.seed(name, {"README.md": "a plugin"})
        token = f"token-of-{name}"
        self.double.add_token(token, "bot", {name: {"contents": "write"}}, app=True)
        self.tokens[name] = token
        if publisher:
            self.list_repository(publisher, repository.id)
        return repository

    def list_repository(self, publisher: str, number: int) -> None:
        """Enter a repository's number in a publisher's file."""
        desk = self.world.desk()
        policy.change_publisher(desk, publisher, PublisherChange(add_repositories=(number,)))
        desk.save()
        self.push_main("List a repository")

    def push_main(self, message: str) -> None:
        """The maintainers commit the registry's folder, on top of what the registrar has pushed."""
        remote = self.world.folder
        git(remote, "fetch", "--quiet", "origin", "main")
        git(remote, "reset", "--quiet", "--soft", "FETCH_HEAD")
        git(remote, "add", "--all", "--force", ".")
        git(remote, "commit", "--quiet", "--allow-empty", "--message", message)
        git(remote, "push", "--quiet", "origin", "HEAD:main")

    def api(self, name: str = "") -> Api:
        """GitHub's API as the job of a plugin's repository sees it, or as everyone does."""
        return Api(self.tokens[name] if name else "", self.double.api)

    def offer(self, repository: str, tag: str, **more: Any) -> ReleaseOffer:
        """A release as a destination."""
        return ReleaseOffer(self.api(repository), REGISTRY, "main", repository, tag, **more)

    def publish(
        self,
        repository: str,
        plugin_id: str,
        version: str,
        *,
        tag: str = "",
        change: Change | None = None,
        **more: Any,
    ) -> None:
        """`publish --import`: the signed documents go on a release of the plugin's repository."""
        destination = self.offer(repository, tag or f"v{version}")
        self.world.publish(plugin_id, version, to=destination, change=change, **more)

    def release(self, repository: str, tag: str, assets: dict[str, bytes], *, draft: bool = False) -> Release:
        """A release made by hand, with any files."""
        api = self.api(repository)
        body = {"tag_name": tag, "draft": True}
        made = api.post(f"/repos/{repository}/releases", body)
        for name, data in assets.items():
            api.upload(made["upload_url"], name, data, "application/octet-stream")
        if not draft:
            api.patch(f"/repos/{repository}/releases/{made['id']}", {"draft": False})
        return self.double.repository(repository).releases[made["id"]]

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run `publisher` in this process, in the registry's own job unless the environment says otherwise."""
        defaults = {
            "GITHUB_API_URL": self.double.api,
            "GITHUB_SERVER_URL": self.host.url,
            "GITHUB_REPOSITORY": REGISTRY,
            "GITHUB_TOKEN": JOB_TOKEN,
            "PLUGIN_REGISTRY_TOKEN": PUSH_TOKEN,
            "SOURCE_DATE_EPOCH": str(int(self.world.now.timestamp())),
        }
        self.capsys.readouterr()
        with self.monkeypatch.context() as patch:
            for name, value in {**defaults, **environ}.items():
                patch.setenv(name, value)
            code = main(list(arguments))
        captured = self.capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def run_import(self, *arguments: str, cached: bool = True, **environ: str) -> Ran:
        """`publisher registry import --json`, with a cache."""
        cache = ("--cache", str(self.cache)) if cached else ()
        return self.run("registry", "import", self.remote, "--json", *cache, *arguments, **environ)

    def asked(self) -> list[str]:
        """Requests to the API since this was last called, without the host."""
        seen = [f"{each.method} {each.path.partition('?')[0]}" for each in self.double.requests]
        self.double.requests.clear()
        return seen

    def register(self) -> Run:
        """Run the registrar on the registry's repository."""
        run = register_remote(
            Remote(str(self.bare)),
            "main",
            lambda _: self.world.options(),
            os.environ,
            lambda: self.world.now,
        )
        git(self.world.folder, "fetch", "--quiet", "origin", "main")
        git(self.world.folder, "reset", "--quiet", "--hard", "FETCH_HEAD")
        return run

    def refs(self) -> list[str]:
        """Publish refs that are there, without `refs/heads/`."""
        listed = git(self.bare, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/publish/")
        return listed.split()

    def main_files(self) -> dict[str, bytes]:
        """The files on main."""
        with contextlib.closing(Git(self.bare, os.environ)) as repository:
            tree = GitTree(repository, git(self.bare, "rev-parse", "main"))
            return {path: tree.read(path) or b"" for path in tree.paths("")}

    def client(self) -> RegistryClient:
        """A fresh host that reads what main has now."""
        home = f"host-{git(self.bare, 'rev-parse', 'main')}"
        return self.world.client(home, tree=MemoryTree(self.main_files()))

    def versions(self, plugin_id: str) -> list[str]:
        """What a fresh host reads of a plugin."""
        return [info.version for info in self.client().versions(plugin_id)]


@contextlib.contextmanager
def open_hub(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Hub]:
    """A hub with an empty registry and the publishers acme and globex."""
    world = World(place / "registry")
    world.add_publisher("acme")
    world.add_publisher("globex")
    world.register()
    root = place / "hub"
    bare = push_to_bare(world, root / "acme" / "registry.git")
    git(bare, "config", "http.receivepack", "true")
    git(bare, "config", "uploadpack.allowFilter", "true")
    with github_double(root) as double, git_host(root, token=PUSH_TOKEN) as host:
        double.create(REGISTRY)
        double.add_token(JOB_TOKEN, "registry-bot", {REGISTRY: {"contents": "write"}}, app=True)
        yield Hub(world, double, host, bare, place, monkeypatch, capsys)
