"""Commit statuses: publishers learn on their commit what became of it, and nothing else waits for that."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from support.documents import ed25519, manifest, sign
from support.github.records import Fault, Request, Status
from support.hub import JOB_TOKEN, PUSH_TOKEN, REGISTRY, Hub, Ran, open_hub
from support.world import git

from publisher.destination import open_destination
from publisher.git import Git, Remote
from publisher.github.api import Api
from publisher.github.statuses import (
    CONTEXT,
    LONGEST_DESCRIPTION,
    MOST_STATUSES,
    StatusReporter,
    shorten,
    statuses,
)
from publisher.registrar.remote import register_remote
from publisher.registrar.submission import Outcome, Result, Submission
from registry_client.digest import Digest
from registry_client.errors import ConfigError, GitHubError, ManifestError, Problem, PublishError
from registry_client.jsontext import dump_json, payload_digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = "https://github.example/acme/registry/actions/runs/42"
IN_ACTIONS = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_RUN_ID": "42",
}
A, B, C = "a" * 40, "b" * 40, "c" * 40


# -- what is said --------------------------------------------------------------------------------------------------------


def outcome(
    commit: str | None, result: Result = Result.REFUSED, error: Any = None, source: str = "publish/x"
) -> Outcome:
    """What became of a submission."""
    if error is None and result is Result.REFUSED:
        error = PublishError(f"{source}: is bad")
    return Outcome(Submission(source, "acme-x", "1.0.0", commit=commit), result, error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PublishError("publish/x: is bad"), "is bad"),
        (PublishError("publish/x: is bad", hint="Mend it."), "is bad"),
        (PublishError("no publisher may publish 'x'"), "no publisher may publish 'x'"),
        (
            ManifestError(
                "publish/x: manifest.json", [Problem("$.id", "is none"), Problem("$.ui", "is wrong")]
            ),
            "manifest.json",
        ),
    ],
)
def test_a_refusal_is_its_reason(error: Any, text: str) -> None:
    """Without the ref, which the commit is in; problems that are listed below it begin with the first of them."""
    ((commit, state, description),) = statuses([outcome(A, error=error)])
    assert (commit, state) == (A, "failure")
    assert description.startswith(text)
    if isinstance(error, ManifestError):
        assert "$.id: is none" in description
        assert "is wrong" not in description
    assert "Mend" not in description


@pytest.mark.parametrize("result", [result for result in Result if result is not Result.REFUSED])
def test_what_was_taken_is_a_success(result: Result) -> None:
    """Also what was there already: the run before may have been killed before it could say so."""
    assert statuses([outcome(A, result)]) == [(A, "success", f"acme-x 1.0.0: {result}")]


def test_refused_commits_come_first() -> None:
    """If not all can be told, those are told who have to do something. Files on main have no commit of their own."""
    found = statuses(
        [
            outcome(A, Result.PUBLISHED),
            outcome(B),
            outcome(None),
            outcome(C, Result.UNCHANGED),
            outcome("d" * 40),
        ]
    )
    assert [(commit[0], state) for commit, state, _ in found] == [
        ("b", "failure"),
        ("d", "failure"),
        ("a", "success"),
        ("c", "success"),
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_a_commit_under_two_names(turned: bool) -> None:
    """Anyone who may publish can offer another's commit again under a name that it does not fit: it stays accepted."""
    both = [outcome(A, Result.PUBLISHED), outcome(A, source="publish/nonsense")]
    assert statuses(both[::-1] if turned else both) == [(A, "success", "acme-x 1.0.0: published")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines\r\nand\u2028more", "two lines and more"),
        ("\x1b[31mred\x00 \u202eright to left\u200b", "[31mred right to left"),
        ("a lone \ud800 half", "a lone half"),
        ("x" * 140, "x" * 140),
        ("x" * 141, "x" * 139 + "…"),
        ("\N{PILE OF POO}" * 200, "\N{PILE OF POO}" * 139 + "…"),
        ("", ""),
    ],
)
def test_one_line_of_140_characters(text: str, line: str) -> None:
    """Whatever publishers wrote."""
    assert shorten(text) == line
    assert len(line) <= LONGEST_DESCRIPTION


# -- by the registrar ----------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """A registry on GitHub's double, whose job may set statuses, as its workflow has it."""
    with open_hub(tmp_path, monkeypatch, capsys) as hub:
        hub.double.add_token(JOB_TOKEN, "github-actions[bot]", {REGISTRY: {"statuses": "write"}}, app=True)
        yield hub


def publish(hub: Hub, plugin_id: str, version: str = "1.0.0") -> str:
    """Publish by Git; the commit."""
    with open_destination(
        hub.remote, "main", {**os.environ, "PLUGIN_REGISTRY_TOKEN": PUSH_TOKEN}
    ) as destination:
        hub.world.publish(plugin_id, version, to=destination)
    (ref,) = [ref for ref in hub.refs() if ref.startswith(f"publish/{plugin_id}@{version}@")]
    return git(hub.bare, "rev-parse", ref)


def offer(hub: Hub, name: str, files: dict[str, bytes]) -> str:
    """A publish ref made by hand; the commit."""
    with contextlib.closing(Git(hub.bare, os.environ)) as repository:
        commit = repository.commit(None, files, "by hand", hub.world.now)
    git(hub.bare, "update-ref", f"refs/heads/publish/{name}", commit)
    return commit


def forge(hub: Hub, plugin_id: str = "acme-forged", **members: Any) -> str:
    """A submission that a stranger signed; the commit."""
    document = sign(manifest(id=plugin_id, version="1.0.0", **members), ed25519("stranger"))
    name = f"{plugin_id}@1.0.0@{payload_digest_of(document).hex[:12]}"
    return offer(hub, name, {"manifest.json": dump_json(document)})


def key_of(hub: Hub) -> str:
    """The online key as CI has it."""
    online = hub.world.keys.online
    assert isinstance(online, CryptoSigner)
    return online.private_bytes.decode()


def register(hub: Hub, *arguments: str, **environ: str) -> Ran:
    """The command as its workflow runs it."""
    told = ("--statuses", REGISTRY, "--root-digest", Digest.of(hub.world.root), *arguments)
    return hub.run(
        "registry", "register", hub.remote, *told, **{"PLUGIN_REGISTRY_KEY": key_of(hub), **environ}
    )


def told(hub: Hub) -> dict[str, Status]:
    """The newest status of each commit."""
    return {status.sha: status for status in hub.double.repository(REGISTRY).statuses}


def main_of(hub: Hub) -> str:
    """The commit of main."""
    return git(hub.bare, "rev-parse", "main")


def test_each_commit_is_told(hub: Hub) -> None:
    """Refused: failure, the reason, and the page of the run; taken: success. The exit code says that something was refused."""
    good, bad, odd = publish(hub, "acme-good"), forge(hub), offer(hub, "nonsense", {"x": b"x"})
    ran = register(hub, GITHUB_REPOSITORY=REGISTRY, **IN_ACTIONS)
    assert ran.code == PublishError.exit_code, ran
    assert hub.refs() == []
    assert hub.versions("acme-good") == ["1.0.0"]
    found = told(hub)
    assert set(found) == {good, bad, odd}
    assert {commit: status.state for commit, status in found.items()} == {
        good: "success",
        bad: "failure",
        odd: "failure",
    }
    assert {(status.context, status.target_url) for status in found.values()} == {(CONTEXT, RUN)}
    assert found[good].description == "acme-good 1.0.0: published"
    assert "signature" in (found[bad].description or "")
    assert "is not publish/<id>@<version>@<12 hex digits>" in (found[odd].description or "")
    states = [status.state for status in hub.double.repository(REGISTRY).statuses]
    assert states == ["failure", "failure", "success"]
    assert hub.double.tokens_seen == {JOB_TOKEN}
    assert set(hub.host.passwords) == {PUSH_TOKEN}


def test_elsewhere_there_is_no_page_of_the_run(hub: Hub) -> None:
    """On a laptop, whatever the environment says of a run."""
    commit = publish(hub, "acme-good")
    assert register(hub, GITHUB_RUN_ID="42").code == 0
    assert told(hub)[commit].target_url is None


def test_nothing_to_tell(hub: Hub) -> None:
    """No refs, no request."""
    assert register(hub).code == 0
    assert hub.asked() == []


def test_a_dry_run_tells_nobody(hub: Hub) -> None:
    """Nothing has happened."""
    publish(hub, "acme-good")
    assert register(hub, "--dry-run").code == 0
    assert hub.asked() == []
    assert len(hub.refs()) == 1


@dataclass
class Log(list[Any]):
    """Requests that notes how the registry stood when each came.

    Attributes:
        hub: the registry.
        seen: for each status that was asked for: main's commit, and the publish refs.
    """

    hub: Hub
    seen: list[tuple[str, list[str]]] = field(default_factory=list)

    def append(self, request: Request) -> None:
        """Note a request."""
        if "/statuses/" in request.path:
            self.seen.append((main_of(self.hub), self.hub.refs()))
        super().append(request)


def test_after_main_is_pushed_and_before_refs_are_deleted(hub: Hub) -> None:
    """A status is true when it is read, and a run that dies on the way leaves the refs for the next."""
    publish(hub, "acme-good")
    forge(hub)
    refs, before = hub.refs(), main_of(hub)
    log = hub.double.requests = Log(hub)
    hub.host.requests.clear()
    assert register(hub).code == PublishError.exit_code
    assert before != main_of(hub)
    assert log.seen == [(main_of(hub), refs)] * 2
    assert hub.refs() == []
    pushes = [each for each in hub.host.requests if each.startswith("POST") and each.endswith("receive-pack")]
    assert len(pushes) == 2


def test_what_is_refused_is_told_though_nothing_is_pushed(hub: Hub) -> None:
    """Refusals alone change nothing on main."""
    commit, before = forge(hub), main_of(hub)
    register(hub)
    assert told(hub)[commit].state == "failure"
    assert (main_of(hub), hub.refs()) == (before, [])


def test_hostile_text_is_one_line(hub: Hub) -> None:
    """Names and members that strangers choose: no line breaks, no control characters, at most 140 characters."""
    hostile = "\x1b]0;x\x07\u202e\n::error::evil\r\n" + "\N{PILE OF POO}" * 100
    commits = [
        offer(hub, "f", {"\n::error::" + "e" * 200: b"x"}),
        offer(hub, "\u202e" + "g" * 200, {"x": b"x"}),
        forge(hub, "acme-x", **{hostile: hostile}),
        forge(hub, "acme-y", ui={"remoteEntry": hostile, "expose": hostile}),
        forge(hub, "acme-z", requires={"plugins": {hostile: "*"}}),
    ]
    ran = register(hub, **IN_ACTIONS)
    found = told(hub)
    assert set(found) == set(commits)
    for status in found.values():
        assert status.state == "failure"
        text = status.description or ""
        assert 5 < len(text) <= LONGEST_DESCRIPTION
        assert text.isprintable(), text
    assert not any(line.startswith("::error::e") for line in ran.said.splitlines())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(
            Fault("POST", "/statuses/", 403, body={"message": "Forbidden"}, times=99),
            "Forbidden",
            id="forbidden",
        ),
        pytest.param(
            Fault("POST", "/statuses/", 404, body={"message": "Not Found"}, times=99),
            "Not Found",
            id="unseen",
        ),
        pytest.param(
            Fault("POST", "/statuses/", 500, body={"message": "Oops"}, times=99), "Oops", id="broken"
        ),
        pytest.param(Fault("POST", "/statuses/", drop=True, times=99), "does not answer", id="cut off"),
        pytest.param(
            Fault("POST", "/statuses/", 201, body=b"<html>", times=99), "does not answer", id="no JSON"
        ),
    ],
)
def test_a_failing_api_stops_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, fault: Fault, words: str
) -> None:
    """One warning; main is pushed, the refs go, the exit code is as without statuses; nobody asks again and again."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    for name in ("acme-a", "acme-b", "acme-c", "acme-d"):
        publish(hub, name)
    hub.double.faults.append(fault)
    ran = register(hub)
    assert ran.code == 0, ran
    assert ran.err.count("warning: what became of the refs could not be told: ") == 1
    assert "4 of 4 commit statuses were not set" in ran.err
    assert words in ran.err
    assert JOB_TOKEN not in ran.said
    assert hub.refs() == []
    assert [hub.versions(name) for name in ("acme-a", "acme-d")] == [["1.0.0"]] * 2
    assert len({each.path for each in hub.double.requests if "/statuses/" in each.path}) == 1


@pytest.mark.parametrize("value", ["wrong-token", JOB_TOKEN], ids=["unknown", "without permission"])
def test_a_token_that_may_not(hub: Hub, value: str) -> None:
    """The same for a token that GitHub does not know, and for one without the permission; with --json it is a warning too."""
    hub.double.add_token(JOB_TOKEN, "github-actions[bot]", {REGISTRY: {"contents": "read"}}, app=True)
    publish(hub, "acme-good")
    forge(hub)
    ran = register(hub, "--json", GITHUB_TOKEN=value)
    assert ran.code == PublishError.exit_code
    (warning,) = ran.json["warnings"]
    assert "2 of 2 commit statuses were not set" in warning
    assert value not in ran.said
    assert hub.refs() == []
    assert hub.versions("acme-good") == ["1.0.0"]


def test_one_commit_that_github_does_not_know(hub: Hub) -> None:
    """Somebody else's odd commit keeps nobody from being told."""
    commit = publish(hub, "acme-good")
    reporter = StatusReporter(hub_api(hub), REGISTRY)
    with pytest.raises(GitHubError, match="2 of 3 commit statuses were not set") as caught:
        reporter([outcome(A), outcome(B), outcome(commit, Result.PUBLISHED)])
    assert caught.value.status == 422
    assert told(hub)[commit].state == "success"


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (("--statuses", "acme"), {}, "--statuses"),
        (("--statuses", "https://github.com/acme/registry"), {}, "--statuses"),
        ((), {"GITHUB_TOKEN": ""}, "--statuses needs a token"),
        ((), {"GITHUB_API_URL": "ftp://x"}, "GITHUB_API_URL"),
    ],
)
def test_mistakes_are_found_before_anything_happens(
    hub: Hub, arguments: tuple[str, ...], environ: dict[str, str], words: str
) -> None:
    """A name that is none, or no token."""
    publish(hub, "acme-good")
    before = main_of(hub)
    ran = register(hub, *arguments, **environ)
    assert (ran.code, ran.out) == (ConfigError.exit_code, "")
    assert words in ran.err
    assert (main_of(hub), len(hub.refs())) == (before, 1)


def test_a_folder_has_no_commits(hub: Hub) -> None:
    """It is said rather than left out."""
    ran = hub.run(
        *("registry", "register", str(hub.world.folder), "--statuses", REGISTRY),
        PLUGIN_REGISTRY_KEY=key_of(hub),
    )
    assert ran.code == ConfigError.exit_code
    assert "a folder has no commits to tell" in ran.err


# -- how many ------------------------------------------------------------------------------------------------------------


def hub_api(hub: Hub) -> Api:
    """The API as the registrar's job sees it, at the pace of a test."""
    return Api(JOB_TOKEN, hub.double.api)


def junk(hub: Hub, count: int) -> list[str]:
    """That many refs of commits that are no submissions; the commits."""
    with contextlib.closing(Git(hub.bare, os.environ)) as repository:
        commits = [
            repository.commit(None, {"x": b"%d" % number}, "junk", hub.world.now) for number in range(count)
        ]
    lines = [f"create refs/heads/publish/junk{number} {commit}\n" for number, commit in enumerate(commits)]
    git(hub.bare, "update-ref", "--stdin", stdin="".join(lines).encode())
    return commits


@pytest.mark.parametrize(("bad", "expected"), [(58, (58, 2)), (62, (60, 0))])
def test_at_most_60_a_run(hub: Hub, bad: int, expected: tuple[int, int]) -> None:
    """Refused commits first; what is over it is not told, and is handled all the same."""
    junk(hub, bad)
    good = [publish(hub, f"acme-{letter}") for letter in "abc"]
    run = register_remote(
        Remote(str(hub.bare)),
        "main",
        lambda _: hub.world.options(),
        os.environ,
        lambda: hub.world.now,
        on_handled=StatusReporter(hub_api(hub), REGISTRY),
    )
    assert (len(run.refused), run.notes) == (bad, ())
    found = hub.double.repository(REGISTRY).statuses
    assert [status.state for status in found] == ["failure"] * expected[0] + ["success"] * expected[1]
    assert {status.sha for status in found if status.state == "success"} <= set(good)
    assert len({status.sha for status in found}) == MOST_STATUSES
    assert hub.refs() == []
    assert hub.versions("acme-c") == ["1.0.0"]


def test_at_most_60_in_all_batches(hub: Hub) -> None:
    """The refs of a run come in several batches; together they get no more."""
    commits = junk(hub, 70)
    reporter = StatusReporter(hub_api(hub), REGISTRY)
    for start in (0, 40, 65):
        reporter([outcome(commit) for commit in commits[start : start + 40]])
    assert len(hub.double.repository(REGISTRY).statuses) == MOST_STATUSES


# -- killed --------------------------------------------------------------------------------------------------------------

WRAPPER = """#!/bin/sh
case "$*" in
  *" push "*:refs/heads/main*) {git} "$@"; kill -9 $PPID; exit 1 ;;
esac
exec {git} "$@"
"""


def test_the_run_after_a_killed_one_says_success(hub: Hub) -> None:
    """Killed once main was pushed and before anybody was told: the next run finds the version there, and says so."""
    commit, before = publish(hub, "acme-good"), main_of(hub)
    wrapper = hub.here / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(git=shutil.which("git")))
    wrapper.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
        "GITHUB_API_URL": hub.double.api,
        "GITHUB_SERVER_URL": hub.host.url,
        "GITHUB_TOKEN": JOB_TOKEN,
        "PLUGIN_REGISTRY_TOKEN": PUSH_TOKEN,
        "PLUGIN_REGISTRY_KEY": key_of(hub),
        "SOURCE_DATE_EPOCH": str(int(hub.world.now.timestamp())),
    }
    command = "from publisher.cli.main import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", command, "registry", "register", hub.remote, "--statuses", REGISTRY],
        check=False,
        capture_output=True,
        env=environ,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == -9, done
    assert main_of(hub) != before
    assert told(hub) == {}
    assert len(hub.refs()) == 1
    after = main_of(hub)
    ran = register(hub, "--json")
    assert ran.code == 0
    assert [item["result"] for item in json.loads(ran.out)["outcomes"]] == ["already there"]
    assert told(hub)[commit].state == "success"
    assert (main_of(hub), hub.refs()) == (after, [])
