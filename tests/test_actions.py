"""What GitHub Actions reads of a step: commands, outputs, summaries; and what must never get there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from publisher.cli import actions
from publisher.cli.main import main
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "ghp_0123456789abcdefghij"
PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAbcdefgh0123456789\nijklmnop+/=\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A step of a job: a folder with the files `output` and `summary`."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path


COMMAND = re.compile(r"^\s*::.+?::|##\[.+?\]")  # as the runner's ActionCommand.cs takes a line


@pytest.mark.parametrize(
    "line",
    [
        "::add-mask::a",
        "  ::error::a",
        "\t::stop-commands::x",
        "##[error]a",
        "ok\n::debug::a\n",
        "ok\r::debug::a",
        "problem: ##[set-output name=quarantine]W10=",
        '{"message": "a ###[set-output name=a]b ##[add-mask]c"}',
    ],
)
def test_no_line_that_is_printed_is_a_command(line: str) -> None:
    """The runner looks for `::` where a line begins, and for `##[` anywhere in it: an output could be set by a plugin's name."""
    assert any(COMMAND.search(part) for part in re.split(r"[\r\n]", line))
    shown = actions.defuse(line)
    assert not any(COMMAND.search(part) for part in re.split(r"[\r\n]", shown))
    assert shown.replace("\u200b", "") == line


def test_other_text_stays() -> None:
    """What is no command is printed as it is."""
    text = "a ::error:: b\n: c\n# d [e] # [f] #[g"
    assert actions.defuse(text) == text


def test_secrets_are_cut_out_line_by_line() -> None:
    """A key of several lines is found in one piece and in parts; armour and short values are no secrets."""
    redact = actions.redactor([TOKEN, PEM, "abc"])
    shown = redact(f"abc {TOKEN} {PEM} and MC4CAQAwBQYDK2VwBCIEIAbcdefgh0123456789.")
    assert TOKEN not in shown
    assert "MC4CAQ" not in shown
    assert "ijklmnop" not in shown
    assert shown.startswith("abc *** -----BEGIN PRIVATE KEY-----\n***\n***\n")


def test_without_secrets_nothing_is_cut() -> None:
    """An empty pattern would match everywhere."""
    assert actions.redactor([""])("text") == "text"


def test_an_error_becomes_one_command() -> None:
    """Line breaks and per cent signs are escaped, so that a message cannot go on with a command of its own."""
    error = PublishError("50 %: a\n::add-mask::b", hint="do\rc")
    assert actions.error_command(error) == "::error title=Publish::50 %25: a%0A::add-mask::b%0Ado%0Dc"


def test_outputs_cannot_end_early(step: Path) -> None:
    """A value of several lines is one value: the end of each is a word nobody can guess."""
    actions.write_outputs({"version": "1.0.0\nid=forged\nEOF", "digest": None})
    lines = (step / "output").read_text().splitlines()
    name, _, end = lines[0].partition("<<")
    assert name == "version"
    assert lines[1:5] == ["1.0.0", "id=forged", "EOF", end]
    assert lines[5].startswith("digest<<")
    assert lines[6:] == ["", lines[5].removeprefix("digest<<")]


def test_outputs_are_for_jobs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a runner nothing is written, even if a variable is left over."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    actions.write_outputs({"version": "1.0.0"})
    assert not (tmp_path / "output").exists()


def test_a_summary_is_appended_without_secrets(step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps share one summary; a secret that got into it is cut out."""
    monkeypatch.setenv("PLUGIN_REGISTRY_TOKEN", TOKEN)
    actions.write_summary("# One")
    actions.write_summary(f"# Two {TOKEN}")
    assert (step / "summary").read_text() == "# One\n\n# Two ***\n\n"


@pytest.mark.parametrize("letter", ["x", "é", "🗓"])
def test_a_summary_is_never_too_long_for_github(step: Path, letter: str) -> None:
    """GitHub drops a summary of more than 1 MiB whole; it counts bytes."""
    actions.write_summary(letter * 800_000 + "x" * 200_000)
    text = (step / "summary").read_text()
    assert len(text.encode()) < 1024 * 1024
    assert text.rstrip().endswith("(cut)")


def test_a_summary_that_cannot_be_written_is_an_error(step: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match="nowhere"):
        actions.write_summary("a", step / "nowhere" / "summary")


def test_a_failure_is_shown_on_the_page_of_the_run(step: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command fails as everywhere, and says why in the summary and as an annotation too."""
    code = main(["publish", str(step / "missing"), "--to", str(step)])
    shown = capsys.readouterr()
    assert code != 0
    assert "::error title=" in shown.err
    assert "missing" in (step / "summary").read_text()


def test_a_leaked_secret_is_not_printed(
    step: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where someone puts a secret into an argument by mistake."""
    monkeypatch.setenv("PLUGIN_REGISTRY_TOKEN", TOKEN)
    assert main(["check", str(step / TOKEN)]) != 0
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err
    assert TOKEN not in (step / "summary").read_text()


def test_a_mistake_in_the_options_is_shown_too(step: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A step with an option that does not exist is red for a reason that can be seen."""
    assert main(["publish", "--no-such-option"]) == 2
    assert "::error title=Usage::" in capsys.readouterr().err
    assert "Usage" in (step / "summary").read_text()
