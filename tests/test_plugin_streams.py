"""What `plugin` writes where: errors, exit codes, JSON, colours, progress, help."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import plugin_bench
from support.plugin_bench import Bench  # noqa: TC002  (as in the other modules of the command)

registry, bench = plugin_bench.registry, plugin_bench.bench


COMMANDS = ("search", "info", "versions", "download", "outdated", "verify", "refresh", "status")


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["bogus"], 2, "Usage"),
        (["info"], 2, "Usage"),
        (["search", "--bogus"], 2, "Usage"),
        (["--timeout", "soon", "search"], 2, "Usage"),
        (["--channel", "beta", "search"], 3, "Config"),
        (["--host", "nexus", "info", "calendar"], 3, "Config"),
        (["--host", "=1.0.0", "info", "calendar"], 3, "Config"),
        (["--registry", "ftp://x", "search"], 3, "Config"),
        (["--registry", "https://user:secret@x.example", "search"], 3, "Config"),
        (["--root", "/nowhere", "search"], 3, "Config"),
        (["--root", "/dev/null", "info", "calendar"], 6, "Verification"),
        (["info", "Calendar"], 3, "Config"),
        (["info", "calendar\n"], 3, "Config"),
        (["info", "calendar@1.0.0"], 3, "Config"),
        (["info", "calendar===1.0.0"], 3, "Config"),
        (["info", "../calendar"], 3, "Config"),
        (["info", "nowhere"], 7, "NotFound"),
        (["info", "calendar>=2"], 7, "NotFound"),
        (["info", "calendar==1.0.0"], 7, "Yanked"),
        (["info", "acme-old"], 7, "Yanked"),
        (["versions", "nowhere"], 7, "NotFound"),
        (["download", "notes"], 7, "NotFound"),
        (["download", "calendar", "--output", "/dev/null/x"], 3, "Config"),
        (["outdated", "calendar"], 3, "Config"),
        (["outdated", "calendar>=1"], 3, "Config"),
    ],
)
def test_failures_have_one_error_and_an_exit_code(
    bench: Bench, arguments: list[str], code: int, kind: str
) -> None:
    """As text on stderr and nothing on stdout; with `--json`, before or after the command, as one document."""
    run = bench.run(*arguments)
    assert (run.code, run.out) == (code, "")
    assert run.err.startswith("error: ")
    assert "Traceback" not in run.err
    assert "secret" not in run.err
    for form in (["--json", *arguments], [*arguments, "--json"]):
        document = bench.run(*form)
        assert document.code == code
        assert document.err == ""
        assert set(document.json["error"]) == {"kind", "message", "hint", "exitCode"}
        assert (document.json["error"]["kind"], document.json["error"]["exitCode"]) == (kind, code)


@pytest.mark.parametrize("missing", ["PLUGIN_REGISTRY_URL", "PLUGIN_REGISTRY_ROOT"])
@pytest.mark.parametrize("command", [["search"], ["info", "calendar"], ["status"]])
def test_what_must_be_configured_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, missing: str, command: list[str]
) -> None:
    """Without a registry or a root of trust nothing is done; the hint names the option and the variable."""
    monkeypatch.delenv(missing)
    run = bench.run(*command)
    assert run.code == 3
    assert missing in run.err.splitlines()[1]


def test_json_is_the_only_thing_on_stdout(bench: Bench, tmp_path: Path) -> None:
    """Every command, in a process of its own, with `--json`: one document on stdout, nothing on stderr."""
    manifest = bench.registry.manifest_path("calendar", "1.0.0")
    for arguments in (
        ["refresh"],
        ["search"],
        ["info", "calendar"],
        ["versions", "calendar"],
        ["download", "calendar", "-o", str(tmp_path / "files")],
        ["outdated", "calendar==1.0.0"],
        ["verify", str(manifest)],
        ["status"],
        ["--version"],
    ):
        done = subprocess.run(
            [*bench.command, *arguments, "--json"], capture_output=True, env=bench.environ(), check=True
        )
        assert isinstance(json.loads(done.stdout)["warnings"], list), arguments
        assert done.stderr == b"", arguments


def test_search_inside_the_ttl_imports_nothing_heavy(bench: Bench) -> None:
    """What was verified a minute ago is read without the network, TUF, pydantic or typer."""
    assert bench.run("refresh").code == 0
    assert bench.run("search").code == 0
    program = (
        "import sys; from registry_client.cli.main import main; code = main(['search'])\n"
        "heavy = 'typer rich pydantic tuf requests urllib3 ssl securesystemslib cryptography packaging'\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & set(heavy.split())), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=bench.environ(), check=True, text=True
    )
    assert done.stderr == "2 plugins\n[]\n"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1"}, False),
    ],
)
def test_colours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    """None in a pipe unless forced; NO_COLOR wins; JSON never has any."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = bench.run("versions", "calendar")
    assert ("\x1b[31myanked\x1b[0m" in run.out) is coloured
    assert ("\x1b[31merror:\x1b[0m" in bench.run("info", "nowhere").err) is coloured
    assert "\x1b" not in bench.run("versions", "calendar", "--json").out


def _on_a_terminal(bench: Bench, *arguments: str, environ: dict[str, str]) -> tuple[str, str]:
    """Stdout (a pipe) and stderr (a terminal) of a run."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*bench.command, *arguments],
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**bench.environ(), "TERM": "xterm", **environ},
        text=True,
    ) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is closed when the process ends
            while chunk := os.read(master, 65536):
                shown += chunk
        out, _ = process.communicate(timeout=30)
    os.close(master)
    assert process.returncode == 0
    return out, shown.decode()


def test_progress_is_shown_where_someone_watches(bench: Bench, tmp_path: Path) -> None:
    """Bars on a terminal's stderr; stdout still holds the paths and nothing else."""
    out, err = _on_a_terminal(bench, "download", "calendar", "-o", str(tmp_path / "files"), environ={})
    assert out.splitlines() == [
        str(tmp_path / "files" / name) for name in ("calendar-1.1.0.zip", "calendar-1.1.0.whl")
    ]
    assert "━" in err
    assert "720/720 bytes" in err
    _, silent = _on_a_terminal(
        bench, "download", "calendar", "-o", str(tmp_path / "files"), "--json", environ={}
    )
    assert silent == ""


def test_a_reader_that_goes_away_is_no_error(bench: Bench) -> None:
    """A closed pipe ends the run quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [*bench.command, "search"], stdout=gone, stderr=subprocess.PIPE, env=bench.environ(), check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["search"], ["info", "calendar"]])
def test_an_interrupt_ends_the_run(bench: Bench, arguments: list[str]) -> None:
    """Ctrl-C while a host does not answer: exit code 130, one line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [*bench.command, "--registry", url, *arguments],
            stderr=subprocess.PIPE,
            env=bench.environ(),
            text=True,
        ) as process:
            connection, _ = silent.accept()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            connection.close()
    assert (process.returncode, err) == (130, "error: interrupted\n")


def test_text_that_the_terminal_cannot_show_is_no_error(bench: Bench) -> None:
    """A stream that is not UTF-8 gets replacement characters, and JSON escapes."""
    bench.registry.publish("notes", "2.0.0", description="Notizbücher → schnell")
    bench.registry.write()
    environ = {**bench.environ(), "PYTHONIOENCODING": "ascii"}
    plain = subprocess.run([*bench.command, "search"], capture_output=True, env=environ, check=True)
    assert b"Notizb?cher ? schnell" in plain.stdout
    document = subprocess.run(
        [*bench.command, "search", "--json"], capture_output=True, env=environ, check=True
    )
    assert json.loads(document.stdout)["plugins"][1]["description"] == "Notizbücher → schnell"


def test_lines_are_cut_to_the_terminal_and_only_there() -> None:
    """Columns line up whatever their colours; long lines end in an ellipsis."""
    from registry_client.cli.text import paint, table

    rows = [("a", paint("released", "green", enabled=True), "x" * 80), ("bbb", "ok", "y")]
    lines = table(rows, width=40)
    assert lines[1] == "bbb  ok        y"
    assert lines[0] == f"a    \x1b[32mreleased\x1b[0m  {'x' * 24}…"
    assert table(rows)[0].endswith("x" * 80)


def test_ten_thousand_lines_are_quick() -> None:
    """A large catalogue is a matter of milliseconds, not of a rendering library."""
    from registry_client.cli.text import clean, table

    started = time.perf_counter()
    lines = table((clean(f"plugin-{n}"), "1.0.0", clean("Größe " * 10)) for n in range(10_000))
    assert len(lines) == 10_000
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(bench: Bench, command: str) -> None:
    """`--help` says what the command does and shows how it is called."""
    run = bench.run(command, "--help")
    assert run.code == 0
    assert f"Usage: plugin {command}" in run.out
    assert f"    plugin {command}" in run.out
    assert "--json" in run.out
    assert max(map(len, run.out.splitlines())) <= 100


def test_help_lists_the_commands_and_the_variables(bench: Bench) -> None:
    """Without a command the help goes to stderr, with exit code 2."""
    asked, bare = bench.run("--help"), bench.run()
    assert (asked.code, asked.err) == (0, "")
    assert (bare.code, bare.out) == (2, "")
    for text in (
        *COMMANDS,
        "PLUGIN_REGISTRY_URL",
        "PLUGIN_REGISTRY_HOME",
        "--install-completion",
        "Exit codes",
    ):
        assert text in asked.out
        assert text in bare.err


def test_plugin_ids_are_completed_from_the_cache(bench: Bench) -> None:
    """Without asking a host: nothing while nothing is cached, then the catalogue's ids."""
    environ = {
        **bench.environ(),
        "_PLUGIN_COMPLETE": "complete_bash",
        "COMP_WORDS": "plugin info ca",
        "COMP_CWORD": "2",
    }
    before = subprocess.run(bench.command, capture_output=True, env=environ, check=False, text=True)
    assert bench.run("search").code == 0
    after = subprocess.run(bench.command, capture_output=True, env=environ, check=False, text=True)
    assert (before.stdout.split(), after.stdout.split()) == ([], ["calendar"])
