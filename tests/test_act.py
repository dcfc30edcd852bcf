"""The runner of the workflow tests itself: what it cuts off, what it shows, what it keeps from steps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.act import Run, Runner
from support.githttp import git_host
from support.offline import why_not
from support.world import commit_all, git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

NAME = "acme/calendar"
HEAD = "name: Small\non: push\npermissions: {}\njobs:\n  one:\n    runs-on: ubuntu-24.04\n    steps:\n"
CHECKOUT = "      - uses: actions/checkout@0000000000000000000000000000000000000001 # v0\n"


@pytest.fixture
def run_steps(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """Run a workflow of one job with these steps, on a push to a repository that holds just the workflow."""
    bare, folder = tmp_path / "host" / f"{NAME}.git", tmp_path / "calendar"
    workflow = folder / ".github" / "workflows" / "small.yml"
    workflow.parent.mkdir(parents=True)
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(folder, "init", "--quiet", "--initial-branch=main", ".")
    with git_host(tmp_path / "host") as host:
        port = int(host.url.rpartition(":")[2])
        runner = Runner(tmp_path / "host", tmp_path / "work", tmp_path / "tools", host.url, host.url, [port])
        runner.secrets[NAME] = {"KEY": "first line\nsecond line\n"}
        runner.variables[NAME] = {"COLOUR": "green"}

        def run(steps: str) -> Run:
            workflow.write_text(HEAD + steps.replace("HOST", host.url), encoding="utf-8")
            commit_all(folder, "Change the workflow")
            git(folder, "push", "--quiet", "--force", str(bare), "HEAD:main")
            return runner.run(NAME, "small.yml", "push")

        yield run


def test_a_step_reaches_the_servers_of_the_test_and_nothing_else(run_steps: Callable[[str], Run]) -> None:
    """Git fetches from the test's host; any other address, by name or number, is out of reach."""
    run = run_steps(
        CHECKOUT + "      - run: git log -1 --format='found %s'\n"
        "      - run: '! git ls-remote https://github.com/acme/calendar'\n"
        '      - run: \'! python3 -c "import urllib.request as u; u.urlopen(\\"http://192.0.2.1/\\", timeout=3)"\'\n'
    )
    assert run.code == 0, run.log
    assert not run.told("found Change the workflow"), run.log
    assert not (os.environ.get("CI") and why_not())
    if not why_not():  # else only proxy settings cut the network off, see support.offline
        run = run_steps("      - run: '! (exec 3<>/dev/tcp/192.0.2.1/80)'\n")
        assert run.code == 0, run.log
        assert not run.told("Network is unreachable"), run.log


def test_a_step_gets_no_secret_but_what_its_workflow_hands_it(run_steps: Callable[[str], Run]) -> None:
    """A secret is in the environment of the one step that asks for it, whole, and of no other."""
    run = run_steps(
        "      - run: '! env | grep -F \"first line\"'\n"
        "      - env:\n          KEY: ${{ secrets.KEY }}\n          COLOUR: ${{ vars.COLOUR }}\n"
        '        run: test "$KEY" = $\'first line\\nsecond line\\n\' && echo "colour $COLOUR"\n'
    )
    assert run.code == 0, run.log
    assert not run.told("colour green"), run.log


def test_a_failing_step_fails_the_run_and_can_be_read(run_steps: Callable[[str], Run]) -> None:
    """Outputs, summaries, results and output come back, also of a run that fails."""
    run = run_steps(
        '      - run: echo "# Title" >> "$GITHUB_STEP_SUMMARY"; echo "size=5" >> "$GITHUB_OUTPUT"\n'
        # act may drop what a step prints in the moment in which it ends
        "      - name: Stop\n        run: echo 'so not'; sleep 1; exit 3\n"
        "      - name: Never\n        run: echo never\n"
    )
    assert run.code != 0
    assert run.jobs == {"one": "failure"}
    assert run.steps["Stop"] == "failure"
    assert "Never" not in run.steps
    assert run.outputs == {"size": "5"}
    assert run.summary.strip() == "# Title"
    assert run.told("so not", "never") == ["never"]
    assert "so not" in run.log
