"""A small GitHub on this machine, with a registry's repository and plugins' repositories in which workflows run.

Git over HTTP, the double of the API, raw files of the registry's main branch, and a runner. Tokens may do what they may on
GitHub: everybody reads, a job's own token does what its workflow's `permissions` say, a publisher's token writes to the registry.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.act import Run, Runner
from support.githttp import git_host
from support.github.server import github_double
from support.httpd import FaultServer
from support.leaks import ArgumentWatch, find_leaks
from support.world import World, commit_all, git

from publisher.github.api import Api
from publisher.maintain.workflows import build_workflows, write_workflows
from registry_client.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from securesystemslib.signer import Signer
    from support.githttp import GitHost
    from support.github.state import Double
    from support.wheelhouse import Kit

    from publisher.maintain.desk import Desk
    from registry_client.signed import VerifiedManifest

REGISTRY = "acme/plugin-registry"


def private_pem(signer: Signer) -> str:
    """A signer's private key, as `publisher keygen` writes it."""
    key = signer._private_key  # type: ignore[attr-defined]
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@dataclass
class Forge:
    """GitHub, as far as these tests go.

    Attributes:
        folder: everything stands below it.
        world: the registry: its keys, its maintainers' working tree.
        double: the API.
        host: Git.
        raw: main of the registry's repository, file by file.
        deployed: where plugins are deployed: files below `site`; what is not there is a 404.
        runner: runs workflows.
        watch: looks at what processes are started with.
    """

    folder: Path
    world: World
    double: Double
    host: GitHost
    raw: FaultServer
    deployed: FaultServer
    runner: Runner
    watch: ArgumentWatch = field(init=False)
    _handled: int = 0

    def __post_init__(self) -> None:
        self.watch = ArgumentWatch(self.secrets)

    # -- secrets ------------------------------------------------------------------------------------------------

    def secrets(self) -> list[str]:
        """Every token that was ever issued, and every secret of any repository."""
        given = [value for each in self.runner.secrets.values() for value in each.values()]
        return list(dict.fromkeys([*list(self.double.tokens), *given]))

    def leaks(self) -> list[str]:
        """Where a secret is that should not be there."""
        sent = self.double.requests
        texts = {
            "output": [line for run in self.runner.runs for line in run.raw.splitlines()],
            "process argument": list(self.watch.found),
            "URL": [*self.host.requests, *(f"{each.method} {each.path}" for each in sent)],
            "body of a request": [each.body.decode(errors="replace") for each in sent],
            "request to a host that needs none": [
                str((each.path, dict(each.headers)))
                for host in (self.raw, self.deployed)
                for each in host.seen
            ],
        }
        return find_leaks(texts, (self.folder / "git").glob("*/*.git"), self.runner.work, self.secrets())

    # -- repositories -------------------------------------------------------------------------------------------

    def bare(self, repository: str) -> Path:
        """The bare repository."""
        return self.folder / "git" / f"{repository}.git"

    def refs(self, repository: str = REGISTRY) -> dict[str, str]:
        """Commit by ref."""
        lines = git(self.bare(repository), "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)

    def offers(self) -> list[str]:
        """The publish branches that wait."""
        return [
            ref.removeprefix("refs/heads/") for ref in self.refs() if ref.startswith("refs/heads/publish/")
        ]

    def plugin(
        self,
        repository: str,
        workflow: str,
        manifest: Mapping[str, Any],
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """A plugin's repository: its work tree, committed, not pushed.

        Args:
            repository: `OWNER/REPO`.
            workflow: text of its `plugin-ci.yml`.
            manifest: its `manifest.json`.
            files: more files, by path.
        """
        folder = self.folder / "plugins" / repository
        self.double.create(repository)
        self._job_token(repository, {})
        contents = {
            ".github/workflows/plugin-ci.yml": workflow,
            "manifest.json": json.dumps(manifest),
            **(files or {}),
        }
        for name, text in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        git(folder, "init", "--quiet", "--initial-branch=main", ".")
        git(folder, "remote", "add", "origin", str(self.bare(repository)))
        self.runner.secrets.setdefault(repository, {})
        return folder

    def push(self, repository: str, message: str = "Change", *, tag: str = "") -> Run:
        """Commit what stands in a plugin's work tree, push it, and run its workflow."""
        folder = self.folder / "plugins" / repository
        commit_all(folder, message)
        ref = f"refs/tags/{tag}" if tag else "refs/heads/main"
        git(folder, "push", "--quiet", "origin", *sorted({"HEAD:refs/heads/main", f"HEAD:{ref}"}))
        return self.run(repository, "plugin-ci.yml", "push", ref=ref)

    @property
    def site(self) -> Path:
        """What is deployed."""
        path = self.runner.work / "site"
        path.mkdir(parents=True, exist_ok=True)
        return path

    # -- workflows ----------------------------------------------------------------------------------------------

    def run(
        self,
        repository: str,
        workflow: str,
        event: str,
        payload: Mapping[str, Any] | None = None,
        *,
        ref: str = "refs/heads/main",
    ) -> Run:
        """Run a workflow; arguments as for `Runner.run`."""
        text = git(self.bare(repository), "show", f"{ref}:.github/workflows/{workflow}")
        self._job_token(repository, yaml.safe_load(text))
        return self.runner.run(repository, workflow, event, payload, ref=ref)

    def _job_token(self, repository: str, workflow: Mapping[str, Any]) -> None:
        """Give a run a token of its own, which may do what any of the workflow's jobs may."""
        granted: dict[str, str] = {}
        for job in workflow.get("jobs", {}).values():
            for name, level in (job.get("permissions") or {}).items():
                if granted.get(name) != "write":
                    granted[name.replace("-", "_")] = level
        token = f"ghs_{token_hex(18)}"
        self.double.add_token(token, "github-actions[bot]", {repository: granted}, app=True)
        self.runner.secrets.setdefault(repository, {})["GITHUB_TOKEN"] = token

    def register(self) -> Run:
        """Run the registrar for the dispatch that came last, or as its schedule does if none came."""
        new = self.double.dispatches[self._handled :]
        self._handled = len(self.double.dispatches)
        if not new:
            return self.run(REGISTRY, "register.yml", "schedule", {"schedule": "7,22,37,52 * * * *"})
        payload = {"action": new[-1].event_type, "branch": "main", "client_payload": new[-1].client_payload}
        return self.run(REGISTRY, "register.yml", "repository_dispatch", payload)

    @property
    def dispatched(self) -> int:
        """How many dispatches wait for `register`."""
        return len(self.double.dispatches) - self._handled

    # -- maintainers --------------------------------------------------------------------------------------------

    @contextmanager
    def maintain(self, message: str) -> Iterator[Desk]:
        """Edit the registry at the maintainers' desk, on top of main, and push that to main."""
        folder = self.world.folder
        git(folder, "fetch", "--quiet", "origin", "main")
        git(folder, "reset", "--quiet", "--hard", "FETCH_HEAD")
        self.world.now = datetime.now(UTC)
        desk = self.world.desk()
        yield desk
        desk.save()
        commit_all(folder, message)
        git(folder, "push", "--quiet", "origin", "HEAD:main")

    def propose(self, files: Mapping[str, bytes | None], branch: str = "change") -> int:
        """A contributor's pull request with these files; None deletes one. Gives its number."""
        folder = self.folder / "contributor"
        git(self.folder, "clone", "--quiet", str(self.bare(REGISTRY)), str(folder))
        for name, data in files.items():
            if data is None:
                (folder / name).unlink()
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        commit_all(folder, "Propose a change")
        git(folder, "push", "--quiet", "origin", f"HEAD:{branch}")
        api = Api(self.token("contributor", contents="write", pull_requests="write"), self.double.api)
        body = {"title": "A change", "head": branch, "base": "main"}
        return int(api.post(f"/repos/{REGISTRY}/pulls", body)["number"])

    def validate(self, number: int) -> Run:
        """Run the workflow for a pull request, which GitHub takes out of the merge of it into main."""
        bare = self.bare(REGISTRY)
        pull = f"refs/pull/{number}"
        base, head = (git(bare, "rev-parse", name) for name in ("main", f"{pull}/head"))
        tree = git(bare, "merge-tree", "--write-tree", base, head)
        merge = git(bare, "commit-tree", tree, "-p", base, "-p", head, "-m", f"Merge {head} into {base}")
        git(bare, "update-ref", f"{pull}/merge", merge)
        about = {
            "number": number,
            "base": {"ref": "main", "sha": base},
            "head": {"ref": "change", "sha": head},
        }
        payload = {"action": "opened", "number": number, "pull_request": about}
        return self.run(REGISTRY, "validate.yml", "pull_request", payload, ref=f"{pull}/merge")

    def merge(self, number: int) -> Run:
        """Merge a pull request that was validated, as a maintainer does by a button, and run the registrar for the push."""
        git(self.bare(REGISTRY), "update-ref", "refs/heads/main", f"refs/pull/{number}/merge")
        return self.run(REGISTRY, "register.yml", "push")

    # -- hosts --------------------------------------------------------------------------------------------------

    def read(self, plugin_id: str) -> VerifiedManifest:
        """The newest version that a host application's client finds, over HTTP."""
        client = self.world.client(url=self.raw.url, clock=lambda: datetime.now(UTC))
        return client.resolve(plugin_id).manifest

    def download(self, manifest: VerifiedManifest) -> list[bytes]:
        """The artifacts of that version, as the host downloads them."""
        client = self.world.client(url=self.raw.url, clock=lambda: datetime.now(UTC))
        return [path.read_bytes() for path in client.download(manifest, self.folder / "downloads")]

    def read_main(self, path: str) -> bytes | None:
        """A file on the registry's main branch."""
        command = ["git", "-C", str(self.bare(REGISTRY)), "cat-file", "blob", f"main:{path}"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def set_up_registry(self) -> None:
        """Push the registry's repository, and set its secrets and variables."""
        folder = self.world.folder
        write_workflows(folder, build_workflows(version("plugin-registry")))
        self.world.register()
        self.double.create(REGISTRY)
        git(folder, "init", "--quiet", "--initial-branch=main", ".")
        git(folder, "remote", "add", "origin", str(self.bare(REGISTRY)))
        commit_all(folder, "Make the registry")
        git(folder, "push", "--quiet", "origin", "main")
        registrar = self.token("registrar", contents="write")
        self.runner.secrets[REGISTRY] = {
            "PLUGIN_REGISTRY_KEY": private_pem(self.world.keys.online),
            "PLUGIN_REGISTRY_TOKEN": registrar,
        }
        digest = Digest.of(self.world.root)
        self.runner.variables[REGISTRY] = {"PLUGIN_REGISTRY_ROOT_DIGEST": str(digest)}

    # -- rights -------------------------------------------------------------------------------------------------

    def token(self, login: str, **permissions: str) -> str:
        """A token for the registry's repository."""
        value = f"github_pat_{token_hex(30)}"
        self.double.add_token(value, login, {REGISTRY: permissions})
        return value

    def admits(self, path: str, password: str) -> bool:
        """Whether a Git request is let in: everybody reads, and who may write contents pushes."""
        if "git-receive-pack" not in path:
            return True
        parts = urlsplit(path).path.strip("/").split("/")
        repository = self.double.find("/".join(parts[:2]).removesuffix(".git"))
        token = self.double.tokens.get(password)
        return repository is not None and token is not None and token.may(repository, "contents", "write")


@contextmanager
def open_forge(folder: Path, kit: Kit, *, days: Mapping[str, int] | None = None) -> Iterator[Forge]:
    """A forge with a new registry, and the publisher `acme` in it.

    Args:
        folder: for everything in it.
        kit: what its runner installs, and keeps.
        days: for how many days each role is signed, where not as usual.
    """
    with ExitStack() as stack:
        root = folder / "git"
        double = stack.enter_context(github_double(root))
        host = stack.enter_context(git_host(root))
        double.git_url = host.url
        deployed = stack.enter_context(FaultServer(folder / "runs" / "site"))
        raw = stack.enter_context(FaultServer(lambda _: None))
        world = World(folder / "registry", base_url=raw.url, now=datetime.now(UTC), days=dict(days or {}))
        world.add_publisher("acme", "acme-*", "calendar", "hello-world")
        ports = [urlsplit(each).port or 0 for each in (host.url, double.url, raw.url, deployed.url)]
        runner = Runner(root, folder / "runs", kit.tools, host.url, double.api, ports, kit.pip, kit.project)
        forge = Forge(folder, world, double, host, raw, deployed, runner)
        raw.source = forge.read_main
        host.admits = forge.admits
        host.moved = lambda path: double.url + path if "/releases/download/" in path else ""
        forge.set_up_registry()
        stack.enter_context(forge.watch)
        yield forge
