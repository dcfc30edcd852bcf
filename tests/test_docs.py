"""The documents say what is so: their commands run, their links lead somewhere, their generated parts are current.

Code blocks are marked by what they are. `sh` and `python` blocks are run, in the order of the page, in one empty
folder and one shell, with the real commands; the port 8765 stands for a free one. `text`, `json` and `mermaid` blocks
are shown only: what needs GitHub, a KMS or cron. Commands of ours in them are parsed all the same; `yaml` blocks are
workflows, `toml` blocks a host's plugins.toml, and must be valid ones.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from publisher.cli.app import app as publisher_app
from registry_client.cli.app import app as plugin_app
from registry_client.installer.project.file import parse_project

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in (REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *(REPOSITORY / "docs").rglob("*.md"))
)
RUN, SHOWN = {"sh", "python"}, {"text", "json", "mermaid", "toml", "yaml"}
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TEST = re.compile(r"\b(tests/[a-z_/]+\.py)::(?:\w+::)?(\w+)(?:\[([^\]]+)\])?")


@dataclass(frozen=True)
class Block:
    """One code block: its language and text."""

    language: str
    text: str


def read(page: str) -> str:
    """The text of a page."""
    return (REPOSITORY / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """The code blocks of a page."""
    return [Block(match[1].strip(), match[2]) for match in _BLOCK.finditer(read(page))]


def prose(page: str) -> str:
    """A page without its code blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", read(page)))


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def script(page: str) -> str:
    """All blocks of a page that are run, as one shell script."""
    parts = ["set -euo pipefail"]
    for block in blocks(page):
        if block.language == "sh":
            parts.append(block.text)
        elif block.language == "python":
            parts.append(f"python3 - <<'END_OF_PYTHON'\n{block.text}END_OF_PYTHON")
    return "\n".join(parts).replace("8765", str(free_port()))


def commands_on_path(folder: Path) -> str:
    """A folder for PATH in which the commands are those of this tree."""
    folder.mkdir()
    modules = {"publisher": "-m publisher.cli.main", "plugin": "-m registry_client.cli.main", "python3": ""}
    for name, module in modules.items():
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        file.chmod(0o755)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language in RUN for b in blocks(page))])
def test_commands_run(page: str, tmp_path: Path) -> None:
    """Every command of a page does what it is there for."""
    work = tmp_path / "work"
    work.mkdir()
    person = {
        f"GIT_{role}_{part}": text
        for role in ("AUTHOR", "COMMITTER")
        for part, text in {"NAME": "Docs", "EMAIL": "docs@example.org"}.items()
    }
    env = {
        **os.environ,
        **person,
        "PATH": os.pathsep.join([commands_on_path(tmp_path / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(REPOSITORY),
        "PLUGIN_REGISTRY_HOME": str(tmp_path / "home"),
    }
    log = tmp_path / "log"
    with log.open("wb") as file:  # a pipe would stay open as long as what runs in the background
        process = subprocess.Popen(
            ["bash", "-x", "-c", script(page)],
            cwd=work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(timeout=300)
        finally:
            kill_group(process.pid)
    output = log.read_text("utf-8")
    assert process.returncode == 0, output[-4000:]
    assert "Traceback" not in output


def kill_group(pid: int) -> None:
    """End what a page left running in the background."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: str) -> None:
    """No block escapes being run by lacking a language."""
    assert {block.language for block in blocks(page)} <= RUN | SHOWN


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Links between pages, to headings and to files resolve."""
    broken = []
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        if target.exists() and not anchor:
            continue
        if not target.exists() or anchor not in anchors(str(target.resolve().relative_to(REPOSITORY))):
            broken.append(link)
    assert broken == []


def shown_commands() -> list[tuple[str, list[str]]]:
    """Page and words of each command of ours in a block that is shown only."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            lines = re.sub(r" *\\\n *", " ", block.text).splitlines() if block.language == "text" else []
            for line in lines:
                if re.search(r"\S {3}|→", line):  # a drawing
                    continue
                words = shlex.split(re.sub(r"^(\$ )?([A-Z_]+=\S+ )*", "", line.strip()), comments=True) or [
                    ""
                ]
                ours = list(itertools.takewhile(lambda word: word not in {"|", "||", "&&", ">", ";"}, words))
                if ours[:1] in (["publisher"], ["plugin"]):
                    found.append((page, ours))
    return found


@pytest.mark.parametrize(("page", "words"), shown_commands())
def test_commands_that_are_only_shown_exist(page: str, words: list[str]) -> None:
    """What cannot be run here, as it needs GitHub, at least names a command of ours and its options."""
    app = publisher_app if words[0] == "publisher" else plugin_app
    command: Any = typer.main.get_command(app)
    path, rest = [words[0]], words[1:]
    while hasattr(command, "commands"):
        while rest and rest[0].startswith("-"):
            rest = rest[2:]
        assert rest, f"{page}: {words} names no command"
        assert rest[0] in command.commands, f"{page}: {words}"
        command = command.commands[rest[0]]
        path.append(rest.pop(0))
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    used = {word.partition("=")[0] for word in rest if word.startswith("-") and word not in {"-", "--"}}
    assert used <= known | {"--help"}, f"{page}: {' '.join(path)} has no {sorted(used - known)}"


def test_there_are_commands_that_are_only_shown() -> None:
    """The test above has something to look at."""
    assert len(shown_commands()) > 10


@pytest.mark.parametrize(
    ("page", "text"), [(page, b.text) for page in PAGES for b in blocks(page) if b.language == "toml"]
)
def test_project_files_are_valid(page: str, text: str) -> None:
    """What is shown as a plugins.toml is read without a problem, and says something."""
    assert parse_project(text, REPOSITORY / page).registries


def workflows() -> list[tuple[str, str]]:
    """Page and text of each workflow in the documents."""
    return [(page, block.text) for page in PAGES for block in blocks(page) if block.language == "yaml"]


def test_workflows_in_the_pages_are_valid(tmp_path: Path) -> None:
    """GitHub's schema for workflows takes each of them."""
    assert len(workflows()) > 2
    files = []
    for number, (_, text) in enumerate(workflows()):
        files.append(tmp_path / f"{number}.yml")
        files[-1].write_text(text, "utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "text"), workflows())
def test_workflows_in_the_pages_call_ours_as_they_are(page: str, text: str) -> None:
    """Inputs and secrets that a page passes exist, those that are required are passed, and the pin is the one in use."""
    path = ".github/workflows/publish.yml"
    called: Any = yaml.safe_load(read(path))
    takes = called[True]["workflow_call"]  # YAML 1.1 reads `on` as true
    pins = re.findall(r"publish\.yml@(\w+)", read("examples/hello-world/.github/workflows/plugin-ci.yml"))
    for job in yaml.safe_load(text)["jobs"].values():
        uses = str(job.get("uses", ""))
        if f"/{path}@" not in uses:
            continue
        for kind, given in (("inputs", job.get("with", {})), ("secrets", job.get("secrets", {}))):
            required = {name for name, item in takes[kind].items() if item.get("required")}
            assert required <= set(given) <= set(takes[kind]), page
        assert uses.partition("@")[2] in pins, page


def test_named_tests_exist() -> None:
    """Each claim in the pages that names a test, or a row of its table in brackets, names a real one."""
    named = {found for page in PAGES for found in _TEST.findall(read(page))}
    assert len(named) > 20, "docs/security.md names the tests that show its claims"
    assert [found for found in sorted(named) if not is_test(*found)] == []


def is_test(path: str, name: str, row: str) -> bool:
    """Whether a file has that test, and, if a row is named, a table with that row."""
    file = REPOSITORY / path
    text = file.read_text("utf-8") if file.is_file() else ""
    return bool(re.search(rf"^ *def {name}\(", text, re.MULTILINE)) and (
        not row or f'"{row.partition(": ")[2] or row}"' in text
    )


@pytest.mark.parametrize(
    ("name", "row", "found"),
    [
        ("test_is_test", "", True),
        ("test_is_test", "table: a row", True),
        ("test_is_test", f"table: no {'row'}", False),
        (f"test_no_{'test'}", "", False),
    ],
)
def test_is_test(name: str, row: str, found: bool) -> None:
    """The check above can fail; it looks for `"a row"` in this file."""
    assert is_test("tests/test_docs.py", name, row) is found


def test_named_make_targets_exist() -> None:
    """`make X` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`?make ([a-z]+)`", read(page))}
    assert {"demo", "test"} <= named <= targets


def test_named_paths_exist() -> None:
    """Files of this repository that a page names in code are there."""
    pattern = re.compile(
        r"`((?:publisher|registry_client|tests|docs|demo|examples|benchmarks|schema)/[\w./-]*)`"
    )
    named = {path for page in PAGES for path in pattern.findall(read(page))}
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []


def test_generated_parts_are_current() -> None:
    """`make docs` would change nothing."""
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
