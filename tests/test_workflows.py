"""The workflows, read as data: what starts them, what they may do, what they run; and what linters say of them."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from support.github.description import github_description
from support.npm import node_modules
from support.workflow_files import ACTIONS, ALL, BY_NAME, EXAMPLES, OWN, ROOT, WORKFLOWS, Use, Yaml, parse
from typer.main import get_command

from publisher.cli.app import app
from publisher.cli.main import main
from publisher.maintain.workflows import PROJECT, build_workflows, differing, write_workflows
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATES = build_workflows("0.1.0")
REGISTRY_WORKFLOWS = ("validate", "register", "renew", "import", "audit", "pages")
RULESETS = {path.stem: json.loads(path.read_bytes()) for path in ROOT.glob(".github/rulesets/*.json")}
MAIN = {"branches": ["main"]}
EVERY_WORKFLOW = pytest.mark.parametrize("file", [*WORKFLOWS, *EXAMPLES], ids=str)
EVERY_FILE = pytest.mark.parametrize("file", ALL, ids=str)


def beside(name: str) -> str:
    """A linter that was installed with the tests' own Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is not installed: pip install --group dev"
    return found


def run(*command: str) -> str:
    """Run a linter, which must find nothing; gives what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


# --- what starts them


@pytest.mark.parametrize(
    ("name", "triggers"),
    [
        ("validate", {"pull_request": MAIN}),
        (
            "register",
            {
                "repository_dispatch": {"types": ["plugin-published"]},
                "push": MAIN,
                "schedule": [{"cron": "7,22,37,52 * * * *"}],
                "workflow_dispatch": "",
            },
        ),
        ("import", {"schedule": [{"cron": "11,31,51 * * * *"}], "workflow_dispatch": ""}),
        ("pages", {"push": MAIN, "workflow_dispatch": ""}),
        ("ci", {"push": MAIN, "pull_request": ""}),
        ("release", {"push": {"tags": ["v*"]}}),
    ],
)
def test_what_starts_a_workflow(name: str, triggers: dict[str, Any]) -> None:
    """Nothing else does; above all, no push to publish/* ever does."""
    assert BY_NAME[name].content["on"] == triggers


def test_the_audit_is_weekly_and_quarantines_only_on_request() -> None:
    """By hand it asks, and the answer is no unless somebody says yes."""
    triggers = BY_NAME["audit"].content["on"]
    assert set(triggers) == {"schedule", "workflow_dispatch"}
    assert triggers["schedule"] == [{"cron": "23 5 * * 1"}]
    assert triggers["workflow_dispatch"]["inputs"]["quarantine"]["default"] == "false"


def test_the_renewal_is_daily_and_forced_only_on_request() -> None:
    """By hand it can sign what is not due, which shows that the key and the push credential work."""
    triggers = BY_NAME["renew"].content["on"]
    assert set(triggers) == {"schedule", "workflow_dispatch"}
    assert triggers["schedule"] == [{"cron": "43 4 * * *"}]
    assert triggers["workflow_dispatch"]["inputs"]["force"]["default"] == "false"


@EVERY_WORKFLOW
def test_no_trigger_hands_secrets_to_strangers(file: Yaml) -> None:
    """pull_request_target and workflow_run run with secrets for what strangers pushed; a push without branches is any branch."""
    triggers = file.content["on"]
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)
    if "push" in triggers:
        assert triggers["push"]
        assert set(triggers["push"]) <= {"branches", "tags"}
        assert not any(
            "publish" in name or name == "*" for names in triggers["push"].values() for name in names
        )


@EVERY_WORKFLOW
def test_schedules_keep_off_the_full_hour(file: Yaml) -> None:
    """Runs at minute 0 and its like are delayed or dropped the most."""
    for entry in file.content["on"].get("schedule", ()):
        minutes = [int(minute) for minute in entry["cron"].split()[0].split(",")]
        assert all(minute % 5 for minute in minutes), entry


# --- what they may do

PERMISSIONS: dict[str, dict[str, dict[str, str]]] = {
    "validate": {"validate": {"contents": "read"}},
    "register": {"register": {"contents": "read", "statuses": "write"}},
    "renew": {"renew": {"contents": "read"}, "warn": {"contents": "read", "issues": "write"}},
    "import": {"import": {"contents": "write"}},
    "audit": {
        "audit": {"contents": "read", "issues": "write"},
        "quarantine": {"contents": "read", "statuses": "write"},
    },
    "pages": {"build": {"contents": "read"}, "deploy": {"pages": "write", "id-token": "write"}},
    "ci": {name: {"contents": "read"} for name in ("lint", "workflows", "test", "performance", "client")},
    "release": {
        "build": {"contents": "read"},
        "publish": {"contents": "read", "id-token": "write", "attestations": "write"},
    },
}


@pytest.mark.parametrize("name", PERMISSIONS)
def test_what_a_job_may_do(name: str) -> None:
    """Nothing by default; each job what it needs."""
    content = BY_NAME[name].content
    assert content["permissions"] == {}
    assert {job: body["permissions"] for job, body in content["jobs"].items()} == PERMISSIONS[name]


def test_every_workflow_is_accounted_for() -> None:
    """A new workflow needs its rows in the tables above."""
    assert set(BY_NAME) == {*PERMISSIONS, "publish"}
    assert [file.path.parts[-4] for file in EXAMPLES] == ["calendar", "hello-world"]


def test_the_called_workflow_takes_what_its_caller_grants() -> None:
    """With permissions of its own it would not start for callers that grant less."""
    content = BY_NAME["publish"].content
    assert "permissions" not in content
    assert all("permissions" not in job for job in content["jobs"].values())


@pytest.mark.parametrize("file", EXAMPLES, ids=str)
def test_examples_grant_each_job_what_it_needs(file: Yaml) -> None:
    """As the registry's own do."""
    assert file.content["permissions"] == {}
    assert all(job["permissions"] for job in file.jobs.values())


@EVERY_WORKFLOW
def test_secrets_stand_where_they_are_needed(file: Yaml) -> None:
    """The registrar's only in the environment that only main may use; none in what runs for pull requests."""
    for name, job in file.jobs.items():
        text = json.dumps(job)
        if re.search(r"secrets\.(PLUGIN_REGISTRY_KEY|REGISTRAR_APP_PRIVATE_KEY)", text):
            assert job["environment"] == "registrar", name
        if "pull_request" in file.content["on"] and "environment" not in job and "uses" not in job:
            assert "secrets." not in text, name
    assert "secrets: inherit" not in file.text


def test_environments() -> None:
    """Those with the registrar's key, those that deploy, and no others."""
    found = {
        (name, job): body["environment"]
        for name in PERMISSIONS
        for job, body in BY_NAME[name].jobs.items()
        if "environment" in body
    }
    assert found == {
        ("register", "register"): "registrar",
        ("renew", "renew"): "registrar",
        ("audit", "quarantine"): "registrar",
        ("pages", "deploy"): {"name": "github-pages", "url": "${{ steps.deployment.outputs.page_url }}"},
        ("release", "publish"): "pypi",
    }


def test_the_registrar_demands_a_root_of_trust() -> None:
    """Every step that has the key first looks whether the root digest is set."""
    seen = 0
    for name in REGISTRY_WORKFLOWS:
        for step in BY_NAME[name].steps:
            if "PLUGIN_REGISTRY_KEY" in step.get("env", {}):
                seen += 1
                assert step["run"].startswith("if [[ -z $PLUGIN_REGISTRY_ROOT_DIGEST ]]; then"), name
    assert seen == 3


def test_a_missing_root_digest_is_said_clearly(tmp_path: Path) -> None:
    """The run stops before anything is signed, and says which variable to set."""
    step = next(step for step in BY_NAME["register"].steps if "PLUGIN_REGISTRY_KEY" in step.get("env", {}))
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]],
        env={
            "PATH": str(fake_publisher(tmp_path)) + os.pathsep + os.defpath,
            "PLUGIN_REGISTRY_ROOT_DIGEST": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "variable PLUGIN_REGISTRY_ROOT_DIGEST of the environment 'registrar'" in done.stdout
    assert not (tmp_path / "arguments").exists()


def test_a_pull_request_is_never_checked_out() -> None:
    """Validation checks out the base, and has no secret."""
    file = BY_NAME["validate"]
    checkouts = [step for step in file.steps if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"]["ref"] for step in checkouts] == ["${{ github.event.pull_request.base.sha }}"]
    text = json.dumps(file.jobs)
    assert not [word for word in ("secrets.", "github.head_ref", "head.ref", "/head") if word in text]
    # By its commit, which the verdict is shown on: whoever pushes a better one meanwhile gets no green light for this one.
    (judged,) = [step for step in file.steps if "head.sha" in json.dumps(step)]
    assert judged["env"]["HEAD"] == "${{ github.event.pull_request.head.sha }}"
    assert judged["run"].rstrip().endswith('--head "$HEAD"')


@EVERY_WORKFLOW
def test_runs_do_not_pile_up(file: Yaml) -> None:
    """One group for each; only what a newer run replaces altogether is cancelled."""
    if file is BY_NAME["publish"]:
        assert "concurrency" not in file.content  # its callers have theirs
        return
    wanted = {"validate": "true", "ci": "true", "plugin-ci": "${{ github.event_name == 'pull_request' }}"}
    assert file.content["concurrency"]["cancel-in-progress"] == wanted.get(file.path.stem, "false")


def test_groups_are_apart() -> None:
    """A group drops its waiting run for a newer one: renewing must not go that way because something was published."""
    groups = [BY_NAME[name].content["concurrency"]["group"] for name in REGISTRY_WORKFLOWS]
    assert len({*groups}) == len(groups)


@EVERY_WORKFLOW
def test_jobs_end_and_run_on_known_machines(file: Yaml) -> None:
    """A job that hangs is stopped; an image that is called latest changes overnight."""
    for name, job in file.jobs.items():
        if "uses" not in job:
            assert int(job["timeout-minutes"]) <= 120, name
            assert "latest" not in job["runs-on"], name


# --- what they run


@EVERY_FILE
def test_every_action_is_pinned(file: Yaml) -> None:
    """By full commit, with the version as a comment; or it stands in the same repository."""
    for use in file.uses:
        if use.what.startswith("./"):
            assert use.what == "./.github/actions/setup-publisher"
        else:
            assert re.fullmatch(r"[0-9a-f]{40}", use.commit), use
            assert re.fullmatch(r"v?\d+(\.\d+)+", use.comment), use
    parsed = [step["uses"] for step in file.steps if "uses" in step]
    parsed += [job["uses"] for job in file.jobs.values() if "uses" in job]
    assert len(file.uses) == len(parsed)


def test_the_same_action_is_pinned_the_same_everywhere() -> None:
    """One commit and one version for each."""
    pins: dict[str, set[tuple[str, str]]] = {}
    for use in (use for file in ALL for use in file.uses if use.commit and use.action != OWN):
        pins.setdefault(use.action, set()).add((use.commit, use.comment))
    assert {action: len(found) for action, found in pins.items()} == dict.fromkeys(pins, 1)


@EVERY_FILE
def test_nothing_is_pasted_into_scripts(file: Yaml) -> None:
    """Values go by the environment: `${{ }}` in a script is code that whoever sets the value can write."""
    for step in file.steps:
        assert "${{" not in step.get("run", ""), step.get("name")


@EVERY_FILE
def test_checkouts_leave_no_credentials_behind(file: Yaml) -> None:
    """No job pushes with the credential of its checkout."""
    for step in file.steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"


def own_uses() -> list[Use]:
    """Every place at which something of this repository is named by commit."""
    return [use for file in ALL for use in file.uses if use.action == OWN]


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Git in this repository."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("use", own_uses(), ids=lambda use: f"{use.where}-{use.what}")
def test_what_is_named_by_commit_is_there(use: Use) -> None:
    """The commit is in this history, holds what is named, and that takes every input which it is given."""
    if git("rev-parse", "--git-dir").returncode:
        assert not os.environ.get("CI"), "continuous integration works on a clone, with its history"
        pytest.skip("this is no clone, so there is no history to look into")
    assert not git("merge-base", "--is-ancestor", use.commit, "HEAD").returncode, (
        f"{use.where}: {use.commit} is not in the history; after a change of the action, pin the commit that brought it"
    )
    path = use.what.removeprefix(f"{OWN}/")
    shown = git("show", f"{use.commit}:{path if path.endswith('.yml') else f'{path}/action.yml'}")
    assert shown.returncode == 0, shown.stderr
    there = parse(shown.stdout)
    called = there["on"]["workflow_call"] if "on" in there else there
    file = next(file for file in ALL if str(file) == use.where)
    callers = [c for c in (*file.steps, *file.jobs.values()) if c.get("uses") == f"{use.what}@{use.commit}"]
    for caller in callers:
        for kind, given in (("inputs", caller.get("with", {})), ("secrets", caller.get("secrets", {}))):
            known: Mapping[str, Mapping[str, str]] = called.get(kind, {})
            assert set(given) <= set(known)
            assert {name for name, about in known.items() if about.get("required") == "true"} <= set(given)


def test_the_called_workflow_offers_what_the_action_does() -> None:
    """The same inputs with the same defaults, the same outputs; keys and tokens come as secrets."""
    action = next(file for file in ACTIONS if file.path.parent.name == "publish").content
    called = BY_NAME["publish"].content["on"]["workflow_call"]
    secrets = {"signing-key", "registry-token"}
    assert set(called["secrets"]) == secrets
    assert set(called["inputs"]) == set(action["inputs"]) - secrets - {"github-token"}
    for name, about in called["inputs"].items():
        assert about.get("default") == action["inputs"][name].get("default"), name
    assert set(called["outputs"]) == set(action["outputs"])
    step = next(step for step in BY_NAME["publish"].steps if step.get("id") == "publish")
    assert set(step["with"]) == set(called["inputs"]) | secrets


def invocations() -> list[tuple[str, list[str]]]:
    """Every call of publisher in a step: the file and the words."""
    found = []
    for file in ALL:
        for script in (step.get("run", "") for step in file.steps):
            calls = re.findall(r"^\s*publisher (.*?)(?: \|\| code=\$\?)?$", script, re.MULTILINE)
            found += [(str(file), call.split()) for call in calls]
            words = re.findall(r"^\s*(?:option|switch) (--\S+)", script, re.MULTILINE)
            found += [(str(file), ["publish", *words])] if words else []
    return found


@pytest.mark.parametrize(
    ("where", "words"),
    invocations(),
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else value,
)
def test_what_steps_call_exists(where: str, words: list[str]) -> None:
    """Each command, with each of its options: nobody finds out at four in the morning."""
    command: Any = get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, f"{where}: {words}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in rest if re.match(r"--\w", word)} <= options


def test_each_workflow_calls_its_command() -> None:
    """One per job."""
    called = {(where, words[1]) for where, words in invocations() if words[0] == "registry"}
    wanted = {
        "validate": {"validate"}, "register": {"register"}, "renew": {"renew", "expiry"}, "import": {"import"},
        "audit": {"audit", "register"}, "pages": {"mirror"},
    }  # fmt: skip
    assert called == {
        (f".github/workflows/{name}.yml", command) for name, all_ in wanted.items() for command in all_
    }


# --- the publish action's arguments


def fake_publisher(folder: Path) -> Path:
    """A command `publisher` that writes down its arguments."""
    programs = folder / "programs"
    programs.mkdir()
    script = programs / "publisher"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{folder}/arguments"\n')
    script.chmod(0o755)
    return programs


DEFAULTS = {
    "CHECK_HEALTH": "false", "DRY_RUN": "false", "IMPORT": "false", "PULL_REQUEST": "false", "BRANCH": "main",
    "MANIFEST": "manifest.json", "REGISTRY": "acme/registry", "PLUGIN_REGISTRY_KEY": "key", "GITHUB_REF_TYPE": "branch",
    "GITHUB_REF_NAME": "main", **dict.fromkeys(("ARTIFACT_URL", "ARTIFACTS", "ROLLOUT", "STATUS", "TAG", "VERSION", "WAIT"), ""),
}  # fmt: skip
ALWAYS = ["publish", "--to=acme/registry", "--branch=main"]


def publish_step(tmp_path: Path, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the step of the action as a runner does."""
    action = next(file for file in ACTIONS if file.path.parent.name == "publish")
    script = next(step for step in action.steps if step.get("id") == "publish")["run"]
    env = {**DEFAULTS, **given, "PATH": f"{fake_publisher(tmp_path)}{os.pathsep}{os.defpath}"}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({}, [*ALWAYS, "--", "manifest.json"]),
        (
            {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1.2.0"},
            [*ALWAYS, "--version=v1.2.0", "--", "manifest.json"],
        ),
        (
            {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1.2.0", "VERSION": "1.3.0"},
            [*ALWAYS, "--version=1.3.0", "--", "manifest.json"],
        ),
        (
            {
                "ARTIFACTS": "release", "TAG": "v1", "STATUS": "staged", "ROLLOUT": "0", "WAIT": "60", "IMPORT": "true",
                "CHECK_HEALTH": "true", "DRY_RUN": "true", "PULL_REQUEST": "true", "ARTIFACT_URL": "https://a.example/{name}",
            },
            [
                *ALWAYS, "--artifacts=release", "--artifact-url=https://a.example/{name}", "--tag=v1", "--status=staged",
                "--rollout=0", "--wait=60", "--pull-request", "--import", "--check-health", "--dry-run", "--", "manifest.json",
            ],
        ),
        (
            {"MANIFEST": "--help", "STATUS": "$(touch pwned) `touch pwned` ; touch pwned", "TAG": "--key=x y"},
            [*ALWAYS, "--tag=--key=x y", "--status=$(touch pwned) `touch pwned` ; touch pwned", "--", "--help"],
        ),
    ],
    ids=["defaults", "tag", "version", "everything", "hostile"],
)  # fmt: skip
def test_inputs_become_arguments(tmp_path: Path, given: dict[str, str], arguments: list[str]) -> None:
    """Each input one argument, whatever is in it; secrets none."""
    done = publish_step(tmp_path, given)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "arguments").read_text().splitlines() == arguments
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"PLUGIN_REGISTRY_KEY": ""}, "Add the secret PLUGIN_SIGNING_KEY to this repository"),
        ({"DRY_RUN": "yes"}, "title=Input dry-run::it must be true or false"),
    ],
)
def test_inputs_that_cannot_be_meant_stop_it(tmp_path: Path, given: dict[str, str], says: str) -> None:
    """Before anything is published, with a way out."""
    done = publish_step(tmp_path, given)
    assert done.returncode == 1
    assert says in done.stdout
    assert not (tmp_path / "arguments").exists()


# --- installing the tool

STUB_PYTHON = """#!/bin/sh
case "$2 $3" in
  "-m venv") mkdir -p "$5/bin" && cp "$0" "$5/bin/python" ;;
  "-m pip") echo "$@" >>"$PIP_LOG"; bin=$(dirname "$0"); for name in publisher plugin; do
    printf 'import sys; print(*sys.argv[1:], sys.flags.isolated)\\n' >"$bin/$name"; done ;;
  *) exec "$REAL_PYTHON" "$@" ;;
esac
"""


def install(tmp_path: Path, root: Path, **env: str) -> tuple[int, str, str]:
    """Run install.sh with a Python that only notes what it would install; gives the exit code, what pip was asked, and the output."""
    for name in ("bin", "temp", "tools"):
        (tmp_path / name).mkdir(exist_ok=True)
    stub = tmp_path / "bin" / "python3"
    stub.write_text(STUB_PYTHON)
    stub.chmod(0o755)
    log = tmp_path / "pip.log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", str(ROOT / ".github/actions/setup-publisher/install.sh"), str(root)],
        env={
            "PATH": f"{stub.parent}{os.pathsep}{os.defpath}", "REAL_PYTHON": sys.executable, "PIP_LOG": str(log),
            "RUNNER_TEMP": str(tmp_path / "temp"), "RUNNER_TOOL_CACHE": str(tmp_path / "tools"),
            "GITHUB_PATH": str(tmp_path / "path"), **env,
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, log.read_text() if log.exists() else "", done.stdout + done.stderr


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A registry's repository with its workflows."""
    folder = tmp_path / "registry"
    write_workflows(folder, TEMPLATES)
    return folder


def test_the_tool_is_installed_by_digest(tmp_path: Path, kept: Path) -> None:
    """Dependencies only as wheels whose digests are listed, then the project and nothing more."""
    code, pip, output = install(tmp_path, kept)
    assert code == 0, output
    first, second = pip.splitlines()
    assert "--require-hashes --only-binary :all: --requirement" in first
    assert "--no-deps --no-build-isolation" in second
    (home,) = (tmp_path / "path").read_text().splitlines()
    assert Path(home).is_relative_to(tmp_path / "temp")
    assert {path.name for path in Path(home).iterdir()} == {"plugin", "publisher"}


def test_ones_own_runner_keeps_what_was_installed(tmp_path: Path, kept: Path) -> None:
    """Until a requirement changes. A hosted runner keeps nothing."""
    own = {"RUNNER_ENVIRONMENT": "self-hosted"}
    assert install(tmp_path, kept, **own)[1]
    assert not install(tmp_path, kept, **own)[1]
    (kept / PROJECT).write_text("plugin-registry==0.2.0\n")
    assert install(tmp_path, kept, **own)[1]
    assert not any((tmp_path / "temp").iterdir())


def test_the_tool_imports_nothing_of_the_jobs(tmp_path: Path, kept: Path) -> None:
    """A job's PYTHONPATH often names the checkout, in which anything may be called like a module of ours."""
    output = install(tmp_path, kept)[2]
    assert output.splitlines() == ["--version 1"]


def test_an_old_python_is_named(tmp_path: Path, kept: Path) -> None:
    """With what to do about it."""
    code, pip, output = install(tmp_path, kept, REAL_PYTHON="/bin/false")
    assert (code, pip) == (1, "")
    assert "::error title=publisher needs Python 3.11::" in output


def test_an_interrupted_installation_is_made_anew(tmp_path: Path, kept: Path) -> None:
    """Only a complete one is used again."""
    own = {"RUNNER_ENVIRONMENT": "self-hosted"}
    install(tmp_path, kept, **own)
    (complete,) = (tmp_path / "tools").glob("plugin-registry/*/complete")
    complete.unlink()
    assert install(tmp_path, kept, **own)[1]


# --- requirements


def requirements() -> dict[str, Requirement]:
    """What dependencies.txt pins, by name."""
    text = TEMPLATES[".github/requirements/dependencies.txt"].decode()
    found = [Requirement(line.split(" \\")[0]) for line in text.splitlines() if re.match(r"[A-Za-z]", line)]
    return {requirement.name.lower().replace("_", "-"): requirement for requirement in found}


@pytest.mark.parametrize("extra", ["author", "mirror"])
def test_an_extra_that_publisher_needs_has_all_of_it(extra: str) -> None:
    """One name to install: `plugin-registry[mirror]` alone can mirror."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert {*extras["publisher"]} < {*extras[extra]}


def test_requirements_cover_the_project() -> None:
    """Everything that it needs, and its build backend, in the versions that are tested together: else run `make requirements`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["publisher"],
        *project["build-system"]["requires"],
    ]
    pinned = requirements()
    for requirement in map(Requirement, wanted):
        found = pinned[requirement.name.lower().replace("_", "-")]
        (version,) = [item.version for item in found.specifier]
        assert version in requirement.specifier, requirement
    tested = dict(
        line.lower().replace("_", "-").split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    for name, found in pinned.items():
        if name in tested:
            assert str(found.specifier) == f"=={tested[name]}", name


@pytest.mark.parametrize(
    "path", [".github/requirements/dependencies.txt", ".github/release-requirements.txt"]
)
def test_requirements_are_pinned_by_digest(path: str) -> None:
    """Each to one version and the digests of its files, and none to a place."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    for block in re.split(r"\n(?=[A-Za-z])", text)[1:]:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


# --- templates


def test_this_repository_uses_what_it_gives_others() -> None:
    """Its own copies are those in the package, but that it installs its own source tree: else run `make workflows`."""
    assert differing(ROOT, TEMPLATES) == {}
    assert (ROOT / PROJECT).read_text(encoding="utf-8") == ".\n"
    assert TEMPLATES[PROJECT] == b"plugin-registry==0.1.0\n"
    for name in REGISTRY_WORKFLOWS:
        assert f".github/workflows/{name}.yml" in TEMPLATES


def test_workflows_are_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes what differs, and says so with --check, which writes nothing."""
    folder = tmp_path / "registry"
    assert main(["registry", "workflows", str(folder)]) == 3, "not a registry: nothing is strewn about"
    assert not folder.exists()
    new = [
        "registry",
        "init",
        str(folder),
        "--base-url",
        "https://registry.example",
        "--dev",
        "--no-workflows",
    ]
    assert main(new) == 0
    capsys.readouterr()
    assert main(["registry", "workflows", str(folder), "--check", "--json"]) == 1
    assert not (folder / ".github").exists()
    capsys.readouterr()
    assert main(["registry", "workflows", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["changed"]) == len(TEMPLATES)
    (folder / ".github/workflows/renew.yml").write_text("name: other\n")
    (folder / ".github/workflows/mine.yml").write_text("name: mine\n")
    assert main(["registry", "workflows", str(folder), "--check"]) == 1
    assert "workflows/renew.yml" in capsys.readouterr().out
    assert main(["registry", "workflows", str(folder)]) == 0
    assert main(["registry", "workflows", str(folder), "--check"]) == 0
    assert (folder / ".github/workflows/mine.yml").read_text() == "name: mine\n"


def test_what_a_registry_says_in_them_stays(tmp_path: Path) -> None:
    """The App that bypasses a ruleset, and another way to install this project, outlive an update; the rest follows it."""
    write_workflows(tmp_path, TEMPLATES)
    ruleset, project = tmp_path / ".github/rulesets/main.json", tmp_path / PROJECT
    document = json.loads(ruleset.read_text())
    document["bypass_actors"][0]["actor_id"] = 4711
    ruleset.write_text(json.dumps(document, indent=4))
    project.write_text("plugin-registry @ git+https://git.example/acme/plugin-registry@0123abc\n")
    assert differing(tmp_path, TEMPLATES) == {}
    document["enforcement"] = "disabled"
    ruleset.write_text(json.dumps(document))
    assert list(differing(tmp_path, TEMPLATES)) == [".github/rulesets/main.json"]
    write_workflows(tmp_path, TEMPLATES)
    mended = json.loads(ruleset.read_text())
    assert (mended["bypass_actors"][0]["actor_id"], mended["enforcement"]) == (4711, "active")
    project.write_text("plugin-registry==0.0.1\n")
    assert list(differing(tmp_path, TEMPLATES)) == [PROJECT]


@pytest.mark.parametrize("text", ["", "[]", "{}", "not JSON"])
def test_a_broken_ruleset_is_made_anew(tmp_path: Path, text: str) -> None:
    """Nothing is taken over from what is no ruleset."""
    write_workflows(tmp_path, TEMPLATES)
    (tmp_path / ".github/rulesets/main.json").write_text(text)
    assert differing(tmp_path, TEMPLATES) == {
        ".github/rulesets/main.json": TEMPLATES[".github/rulesets/main.json"]
    }


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A .github that leads elsewhere gets nothing written into it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry/.github").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"):
        write_workflows(tmp_path / "registry", TEMPLATES)
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(("option", "written"), [("--workflows", True), ("--no-workflows", False)])
def test_a_new_registry_gets_them(
    tmp_path: Path, option: str, written: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless they are not wanted; a file that was there before stays."""
    folder = tmp_path / "registry"
    mine = folder / ".github/workflows/audit.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("name: mine\n")
    arguments = ["registry", "init", str(folder), "--base-url", "https://registry.example", "--dev", option]
    assert main(arguments) == 0, capsys.readouterr().err
    assert (folder / ".github/workflows/register.yml").exists() is written
    assert mine.read_text() == "name: mine\n"


# --- rulesets


@pytest.mark.parametrize("name", ["main", "publish", "other-branches", "tags"])
def test_rulesets_are_what_github_takes(name: str) -> None:
    """Each is a valid body of POST /repos/{owner}/{repo}/rulesets."""
    description = github_description()
    operation = description.operation("POST", "/repos/{owner}/{repo}/rulesets")
    path = {"owner": "acme", "repo": "registry"}
    assert description.request_problems(operation, path, {}, RULESETS[name]) == []
    assert RULESETS[name]["enforcement"] == "active"


def allowed(ref: str, act: str, actor: str) -> bool:
    """Whether an actor may do something to a ref, by all rulesets together."""
    short = {"~DEFAULT_BRANCH": "refs/heads/main", "~ALL": "refs/*"}
    actors = {
        "registrar": ("Integration", 0),
        "maintain": ("RepositoryRole", 2),
        "admin": ("RepositoryRole", 5),
    }

    def matches(patterns: list[str]) -> bool:
        return any(
            fnmatch.fnmatchcase(ref, short.get(p, p))
            and (p == "~ALL" or ref.count("/") == short.get(p, p).count("/"))
            for p in patterns
        )

    for ruleset in RULESETS.values():
        condition = ruleset["conditions"]["ref_name"]
        kind = "refs/tags/" if ruleset["target"] == "tag" else "refs/heads/"
        covered = ref.startswith(kind) and matches(condition["include"]) and not matches(condition["exclude"])
        bypass = {
            (a["actor_type"], a["actor_id"]) for a in ruleset["bypass_actors"] if a["bypass_mode"] == "always"
        }
        if covered and act in {rule["type"] for rule in ruleset["rules"]} and actors.get(actor) not in bypass:
            return False
    return True


NEW = "refs/heads/publish/calendar@1.0.0@0123456789ab"


@pytest.mark.parametrize(
    ("ref", "act", "who"),
    [
        (NEW, "creation", {"publisher", "registrar", "maintain", "admin"}),
        (NEW, "update", {"registrar", "maintain", "admin"}),
        (NEW, "deletion", {"registrar", "maintain", "admin"}),
        ("refs/heads/propose/calendar@1.0.0", "creation", {"publisher", "registrar", "maintain", "admin"}),
        ("refs/heads/propose/calendar@1.0.0", "update", {"publisher", "registrar", "maintain", "admin"}),
        ("refs/heads/main", "update", {"registrar", "maintain", "admin"}),
        ("refs/heads/main", "non_fast_forward", {"registrar", "maintain", "admin"}),
        ("refs/heads/main", "deletion", {"registrar", "maintain", "admin"}),
        ("refs/heads/other", "creation", {"maintain", "admin"}),
        ("refs/heads/publish/a/b", "creation", {"maintain", "admin"}),
        ("refs/heads/other", "update", {"maintain", "admin"}),
        ("refs/tags/v1", "creation", {"maintain", "admin"}),
        ("refs/tags/v1", "update", {"maintain", "admin"}),
    ],
)
def test_who_may_write_what(ref: str, act: str, who: set[str]) -> None:
    """Publishers create publish/* and propose/* and nothing else; main is the registrar's and the maintainers'.

    The GITHUB_TOKEN of a job bypasses as little as a publisher does.
    """
    assert {
        actor for actor in ("publisher", "registrar", "maintain", "admin") if allowed(ref, act, actor)
    } == who


# --- the project's own


def test_the_client_is_tested_where_there_is_no_posix() -> None:
    """The files that CI names exist, and use nothing that Windows has not."""
    step = next(step for step in BY_NAME["ci"].steps if step.get("name") == "Test the client")
    named = re.findall(r"tests/\S+\.py", step["run"])
    assert len(named) > 10
    for path in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not re.search(r"\bfcntl\b|os\.fork|chmod|symlink_to|support\.(githttp|world|rawhost)", text), (
            path
        )


# --- linters


def test_zizmor_finds_nothing() -> None:
    """Its pedantic findings included; what is left out has its reason in .github/zizmor.yml."""
    where = [".github", *(str(file.path.parents[1].relative_to(ROOT)) for file in EXAMPLES)]
    options = [
        "--offline",
        "--strict-collection",
        "--pedantic",
        "--no-progress",
        "--config",
        ".github/zizmor.yml",
    ]
    run(beside("zizmor"), *options, *where)


def test_actionlint_finds_nothing() -> None:
    """Types of expressions, contexts, matrices, inputs."""
    program = node_modules() / "@tktco" / "node-actionlint" / "bin" / "node-actionlint.js"
    node = shutil.which("node")
    assert node, "npm is there, and node is not"
    printed = run(node, str(program), "{.github,examples/*/.github}/workflows/*.yml")
    assert f"Checking {len(WORKFLOWS) + len(EXAMPLES)} workflow file(s)" in printed


def test_schemas_are_kept() -> None:
    """Those that SchemaStore has for workflows and actions."""
    check = beside("check-jsonschema")
    run(
        check,
        "--builtin-schema",
        "vendor.github-workflows",
        *(str(file.path) for file in (*WORKFLOWS, *EXAMPLES)),
    )
    run(check, "--builtin-schema", "vendor.github-actions", *(str(file.path) for file in ACTIONS))


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    """In every script, and in every step's script."""
    scripts = [str(path) for path in sorted(ROOT.glob(".github/actions/*/*.sh"))]
    for file in ALL:
        for number, step in enumerate(file.steps):
            if "run" in step:
                path = tmp_path / f"{str(file).replace('/', '-')}-{number}.bash"
                path.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{step['run']}\n", encoding="utf-8")
                scripts.append(str(path))
    # SC2154: the variables come from the step's `env`, which shellcheck does not see.
    run(beside("shellcheck"), "--exclude=SC2154", *scripts)
