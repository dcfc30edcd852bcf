"""`publisher new`: what it asks and refuses, what hostile text comes to, and how a plugin is brought up to its template."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.answers import DATABASES, STYLES, TEMPLATES, Answers, check_answers, suggest_id
from publisher.check import check_source
from publisher.cli.main import main
from publisher.scaffold import ANSWERS, SOURCE, create, template_version, update
from registry_client.errors import ConfigError
from registry_client.names import check_plugin_id

ROOT = Path(__file__).resolve().parents[1]
NEXT = "v999.0.0"
HOSTILE = (
    'O\'Brien "Ltd"',
    "back\\slash\\",
    "{{ 7 * 7 }} {% raw %}",
    "@{ id }@ @% if id %@ @# x #@",
    "${{ secrets.PLUGIN_SIGNING_KEY }}",
    "*/ system('id'); /*",
    "**//",
    "?> <?php phpinfo();",
    '"""; import os #',
    "</script><script>alert(1)</script>",
    "`id` $(id) ${PATH}",
    "- [ ] x: {a: b} # c",
    "=== Other ===",
    "[x](javascript:1) ![](y) <b> & | _a_ *b*",
    "null",
    "yes",
    "1.0",
    "!!python/object:os.system",
    "Ünï ☃ 😀 عربى",
)


# --- what is asked for


def test_a_plugin_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing but its id, into a folder of that name; nothing else is left beside it."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", "sms", "--no-input"]) == 0
    assert "publisher check sms" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["sms"]
    assert check_source(Path("sms")) == []
    assert main(["check", "sms"]) == 0


def test_one_document_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json: where the plugin is, and its files."""
    folder = tmp_path / "deep" / "plugin"
    assert main(["new", "sms", "--template", "remote-ui", "--output", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["id"], document["template"], document["folder"]) == ("sms", "remote-ui", str(folder))
    assert document["files"] == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_all_answers_are_used(tmp_path: Path) -> None:
    """What is given stands in the manifest, the workflow and the record of answers."""
    folder = tmp_path / "x"
    options = {
        "--template": "wordpress", "--db": "postgres", "--style": "chat", "--author": "Globex", "--name": "Chat Box",
        "--publisher": "globex", "--registry": "globex/registry", "--output": str(folder),
    }  # fmt: skip
    assert main(["new", "chatbox", *(word for pair in options.items() for word in pair)]) == 0
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (manifest["id"], manifest["name"], manifest["author"]) == (
        "chatbox",
        "Chat Box",
        {"name": "Globex"},
    )
    workflow = yaml.safe_load((folder / ".github/workflows/plugin-ci.yml").read_bytes())
    assert workflow["jobs"]["publish"]["with"]["registry"] == "globex/registry"
    assert yaml.safe_load((folder / ANSWERS).read_bytes()) == {
        "_commit": template_version(), "_src_path": SOURCE, "author": "Globex", "db": "postgres", "id": "chatbox",
        "name": "Chat Box", "publisher": "globex", "registry": "globex/registry", "style": "chat", "template": "wordpress",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new"], "no ID was given"),
        (["new", "Calendar!"], "For example calendar."),
        (["new", "con"], "For example con-plugin."),
        (["new", "ünï"], "For example n."),
        (["new", "x" * 65], "at most 64 characters"),
        (["new", "../x"], "expected a plugin id"),
        (
            ["new", "sms", "--template", "php"],
            "--template: expected python, remote-ui or wordpress, got 'php'",
        ),
        (["new", "sms", "--db", "mysql"], "--db: expected none, postgres or mongo"),
        (["new", "sms", "--style", ""], "--style: expected basic, chat or dashboard"),
        (["new", "sms", "--author", "a\nb"], "--author: expected one line"),
        (["new", "sms", "--author", " "], "--author: expected one line"),
        (["new", "sms", "--name", "a\u2028b"], "--name: expected one line"),
        (["new", "sms", "--name", "x" * 201], "--name: expected one line"),
        (["new", "sms", "--name", "\udcff"], "--name: expected one line"),
        (["new", "sms", "--publisher", "Acme Ltd"], "--publisher: expected a publisher id"),
        (["new", "sms", "--registry", "registry"], "--registry: 'registry' is not OWNER/REPO"),
        (["new", "sms", "--registry", 'a/b"\n  evil: 1'], "is not OWNER/REPO"),
        (["new", "uninstall", "--template", "wordpress"], "uninstall-plugin"),
        (["new", "location", "--template", "remote-ui"], "which browsers have already"),
        (["new", "his-tory", "--template", "remote-ui"], "For example his-tory-plugin."),
        (["new", "sms", "--template-source", "x"], "--template-source goes with --update"),
        (["new", "--update", "sms", "--db", "mongo"], "--update and --db exclude each other"),
        (["new", "--update", "sms", "--output", "x"], "given twice"),
        (["new", "--update", "sms"], "publisher new"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the rule and the way out, and before anything is written."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    assert said in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@given(st.text(max_size=100))
def test_suggested_ids_are_ids(text: str) -> None:
    """Or nothing is suggested."""
    suggested = suggest_id(text)
    assert suggested == "" or check_plugin_id(suggested)


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A folder with something in it, a file, and a link are refused; an empty folder is used."""
    full, file, link, empty = (tmp_path / name for name in ("full", "file", "link", "empty"))
    full.mkdir()
    (full / "mine").write_text("mine")
    file.write_text("mine")
    empty.mkdir()
    link.symlink_to(empty)
    for folder in (full, file, link):
        with pytest.raises(ConfigError, match="is no empty folder"):
            create(Answers("sms"), folder)
    assert [path.name for path in full.iterdir()] == ["mine"]
    assert not any(empty.iterdir())
    create(Answers("sms"), empty)
    assert (empty / "manifest.json").is_file()


def test_into_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--output .` fills the folder, which stays the one that the shell is in; beside it nothing is left."""
    here = tmp_path / "board"
    here.mkdir()
    monkeypatch.chdir(here)
    before = here.stat().st_ino
    assert main(["new", "board", "--output", ".", "--defaults"]) == 0, capsys.readouterr()
    assert here.stat().st_ino == before
    assert (here / "manifest.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["board"]
    assert main(["check", "."]) == 0


def test_into_the_folder_one_is_in_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be put there takes those before it along."""
    monkeypatch.chdir(tmp_path)
    rename = Path.rename
    moved: list[Path] = []

    def failing(self: Path, target: Path) -> Path:
        if target.parent == tmp_path and len(moved) == 3:
            raise OSError(28, "No space left on device")
        moved.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ConfigError, match="No space left"):
        create(Answers("board"), Path())
    assert not any(tmp_path.iterdir())


def test_all_or_nothing(tmp_path: Path) -> None:
    """A folder that cannot be made is an error with a way out, and leaves nothing behind."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        create(Answers("sms"), tmp_path / "file" / "sms")
    assert "--output" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_copier_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the command says what to install."""
    monkeypatch.setitem(sys.modules, "copier", None)
    for act in (lambda: create(Answers("sms"), tmp_path / "sms"), lambda: update(tmp_path, {})):
        with pytest.raises(ConfigError) as caught:
            act()
        assert caught.value.hint == "pip install 'plugin-registry[author]'"
    assert not any(tmp_path.iterdir())


def test_a_person_is_asked(tmp_path: Path) -> None:
    """On a terminal, for what is not given; again where an answer will not do; Enter takes the default."""
    import pty

    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "publisher.cli.main", "new", "--db", "none"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=terminal, stderr=terminal, stdout=subprocess.PIPE, env=environment
    ) as process:
        os.close(terminal)
        seen = b""
        for question, answer in (
            (b"ID of the plugin", "Not An Id"), (b"not-an-id", "board"), (b"Kind of plugin", "shopify"), (b"expected python", ""),
            (b"Start from", "dashboard"), (b"Author", "Ada"),
        ):  # fmt: skip
            while question not in seen or not seen.rstrip().endswith(b":"):
                seen += os.read(controller, 1000)
            seen = b""
            os.write(controller, f"{answer}\n".encode())
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert b"board: a plugin of the template python" in process.stdout.read()
    os.close(controller)
    manifest = json.loads((tmp_path / "board/manifest.json").read_bytes())
    assert (manifest["author"]["name"], "widgets" in manifest["ui"]) == ("Ada", True)


# --- what text comes to


def made(folder: Path, answers: Answers) -> dict[str, bytes]:
    """The files of a plugin."""
    create(answers, folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def skeleton(text: str) -> list[str]:
    """A Python file without the values of its strings: what else stands in it."""
    return [type(node).__name__ for node in ast.walk(ast.parse(text))]


def holds(answers: Answers, found: dict[str, bytes], plain: dict[str, bytes]) -> None:
    """The author's words are where they belong, as written, and change nothing else."""
    name, author = answers.name.strip(), answers.author.strip()
    manifest = json.loads(found["manifest.json"])
    assert (manifest["name"], manifest["author"]["name"]) == (name, author)
    recorded = yaml.safe_load(found[ANSWERS])
    assert (recorded["name"], recorded["author"]) == (name, author)
    assert set(found) == set(plain)
    spoken = {"manifest.json", ANSWERS, "README.md", "src/readme.txt", f"src/{answers.id}.php"}
    for path in set(found) - spoken:
        assert found[path] == plain[path], path
    for path in set(found) & spoken:
        assert len(found[path].splitlines()) == len(plain[path].splitlines()), path
    for path, data in found.items():
        if path.endswith(".py"):
            assert skeleton(data.decode()) == skeleton(plain[path].decode()), path
    if answers.template == "wordpress":
        php = found[f"src/{answers.id}.php"].decode()
        assert php.split("*/", 1)[1] == plain[f"src/{answers.id}.php"].decode().split("*/", 1)[1]
        assert "?>" not in php


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Plugins of each template with harmless words."""
    return {
        name: made(tmp_path_factory.mktemp("plain") / "x", like(name, "Name", "Author")) for name in TEMPLATES
    }


def like(template: str, name: str, author: str) -> Answers:
    """What the plugins of these tests are made from."""
    return check_answers(Answers("sms", template, "none", "dashboard", author, name))  # type: ignore[arg-type]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_are_words(
    template: str, text: str, tmp_path: Path, plain: dict[str, dict[str, bytes]]
) -> None:
    """Whatever language a file is in, an author's text ends where it should."""
    answers = like(template, text, text)
    found = made(tmp_path / "x", answers)
    holds(answers, found, plain[template])
    assert check_source(tmp_path / "x") == []
    if template == "wordpress":
        run = [sys.executable, "-m", "unittest", "discover", "-q", "-s", "tests"]
        done = subprocess.run(
            run, cwd=tmp_path / "x", capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr


LINE = st.text(
    st.one_of(
        st.sampled_from("\\'\"{}@%#$*/?<>[]=|&:!-` "),
        st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")),
    ),
    min_size=1,
    max_size=60,
).filter(lambda text: bool(text.strip()))


@settings(max_examples=15)
@given(st.sampled_from(TEMPLATES), LINE, LINE)
def test_any_line_is_words(
    tmp_path_factory: pytest.TempPathFactory,
    plain: dict[str, dict[str, bytes]],
    template: str,
    name: str,
    author: str,
) -> None:
    """The same for whatever can be written on one line."""
    answers = like(template, name, author)
    holds(answers, made(tmp_path_factory.mktemp("any") / "x", answers), plain[template])


# --- what the templates hold


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_files_of_a_template(template: str, tmp_path: Path) -> None:
    """For each database and style, as listed in tests/golden/new; write the list anew when a template changes."""
    golden = ROOT / "tests/golden/new" / f"{template}.json"
    found = {
        f"{db} {style}": list(create(Answers("sms", template, db, style), tmp_path / db / style))  # type: ignore[arg-type]
        for db in DATABASES
        for style in STYLES
    }
    assert found == json.loads(golden.read_bytes())


def test_the_repository_is_the_template() -> None:
    """The tool finds the same questions at the top of this repository and in the package; none of them runs anything."""
    from copier._template import load_template_config

    questions = load_template_config(ROOT / "copier.yml")
    assert questions == load_template_config(ROOT / "publisher/templates/copier.yml")
    assert not {"_tasks", "_migrations", "_jinja_extensions", "_external_data"} & set(questions)


def test_the_templates_are_in_the_package() -> None:
    """The wheel has them all: with TEST_INSTALLED it is the wheel that is looked at."""
    import publisher

    installed = Path(publisher.__file__ or "").parent / "templates"
    source = ROOT / "publisher/templates"
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(installed) for path in installed.rglob("*") if path.is_file())
    assert all(path.suffix in {".jinja", ".json"} or path.name == "copier.yml" for path in files)


# --- later versions of a template


def git(folder: Path, *arguments: str) -> str:
    """Git in a folder."""
    who = ("-c", "user.name=Acme", "-c", "user.email=plugins@acme.example")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def change(path: Path, old: str, new: str) -> None:
    """Replace what stands once in a file."""
    text = path.read_text("utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


class Templates:
    """A repository of templates at the version of the package, and at a later one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "publisher/templates"
        shutil.copytree(ROOT / "publisher/templates", self.files)
        shutil.copy(ROOT / "copier.yml", folder)
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.release(template_version())

    def release(self, tag: str) -> None:
        """Commit, and tag it."""
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", tag)
        git(self.folder, "tag", tag)


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    """The repository, at its first version."""
    (tmp_path / "templates").mkdir()
    return Templates(tmp_path / "templates")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin made out of the package, in a repository of its own."""
    folder = tmp_path / "plugin"
    create(Answers("sms", style="chat", author="Ada {{ 1 }} @{ id }@ \\ \"'"), folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Commit everything."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")


ENVIRON = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture(autouse=True)
def _own_mirrors(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool keeps copies of template repositories: not those of the person who runs this."""
    monkeypatch.setenv("COPIER_CACHE_DIR", str(tmp_path_factory.mktemp("mirrors")))


def test_an_update_keeps_the_authors_edits(
    templates: Templates, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the template changed comes, what the author changed or deleted stays, and the plugin still passes its tests."""
    change(plugin / "models.py", "MAX_TEXT = 2000", "MAX_TEXT = 500")
    (plugin / "extra.py").write_text("mine = True\n")
    (plugin / "CHANGELOG.md").unlink()
    commit(plugin)
    python = templates.files / "python"
    change(python / "plugin.py.jinja", '"""Let go of everything."""', '"""Let go of all."""')
    change(python / "CHANGELOG.md.jinja", "- First version.", "- The first.")
    (python / "SECURITY.md.jinja").write_text("# Security of @{ id }@\n")
    templates.release(NEXT)
    assert main(["new", "--update", str(plugin), "--template-source", str(templates.folder)]) == 0
    assert f"from {template_version()} to {NEXT}" in capsys.readouterr().out
    assert "Let go of all." in (plugin / "plugin.py").read_text()
    assert "MAX_TEXT = 500" in (plugin / "models.py").read_text()
    assert (plugin / "SECURITY.md").read_text() == "# Security of sms\n"
    assert (plugin / "extra.py").exists()
    assert not (plugin / "CHANGELOG.md").exists()
    answers = yaml.safe_load((plugin / ANSWERS).read_bytes())
    assert (answers["_commit"], answers["_src_path"]) == (NEXT, SOURCE), (
        "the plugin goes on naming this project"
    )
    assert answers["author"] == "Ada {{ 1 }} @{ id }@ \\ \"'"
    assert json.loads((plugin / "manifest.json").read_bytes())["author"]["name"] == answers["author"]
    assert set(git(plugin, "status", "--porcelain").split()) == {
        "M",
        "??",
        ANSWERS,
        "plugin.py",
        "SECURITY.md",
    }
    tests = [sys.executable, "-m", "unittest", "discover", "-q", "-s", "tests"]
    subprocess.run(tests, cwd=plugin, check=True, capture_output=True, timeout=60)
    commit(plugin)
    assert update(plugin, ENVIRON, str(templates.folder)).conflicts == ()
    assert git(plugin, "status", "--porcelain") == "", "a second time changes nothing"


def test_a_conflict_is_marked(templates: Templates, plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where both changed the same lines, both stand there, and the command says so."""
    change(plugin / "models.py", "MAX_TEXT = 2000", "MAX_TEXT = 500")
    commit(plugin)
    change(templates.files / "python/models.py.jinja", "MAX_TEXT = 2000", "MAX_TEXT = 4000")
    templates.release(NEXT)
    assert main(["new", "--update", str(plugin), "--template-source", str(templates.folder), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "folder": str(plugin),
        "before": template_version(),
        "after": NEXT,
        "conflicts": ["models.py"],
        "warnings": [],
    }
    text = (plugin / "models.py").read_text()
    assert (
        text.index("<<<<<<< before updating")
        < text.index("500")
        < text.index("4000")
        < text.index(">>>>>>> after updating")
    )
    assert "UU models.py" in git(plugin, "status", "--porcelain"), "Git knows of it, too"


def test_an_update_by_copier_itself(
    templates: Templates, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An author may use `copier update`: the record that is left is all that it needs."""
    import copier

    change(templates.files / "python/plugin.py.jinja", '"""Let go of everything."""', '"""Let go of all."""')
    templates.release(NEXT)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{templates.folder}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", SOURCE)
    from plumbum.machines import local

    with local.env(**{name: value for name, value in os.environ.items() if name.startswith("GIT_")}):
        copier.run_update(plugin, defaults=True, overwrite=True, quiet=True)
    assert "Let go of all." in (plugin / "plugin.py").read_text()


def refused(plugin: Path, templates: Templates | str, said: str) -> None:
    """An update is refused with a hint, and changes nothing."""
    before = git(plugin, "status", "--porcelain")
    with pytest.raises(ConfigError, match=said) as caught:
        update(plugin, ENVIRON, templates if isinstance(templates, str) else str(templates.folder))
    assert caught.value.hint
    assert git(plugin, "status", "--porcelain") == before


def test_templates_run_nothing(templates: Templates, plugin: Path) -> None:
    """Not even if the person's own settings for copier trust them."""
    ran = templates.folder.parent / "ran"
    with (templates.files / "copier.yml").open("a", encoding="utf-8") as file:
        file.write(f"_tasks: ['touch {ran}']\n_migrations: ['touch {ran}']\n")
    templates.release(NEXT)
    trust = Path.home() / ".config/copier/settings.yml"
    trust.parent.mkdir(parents=True)
    trust.write_text(yaml.safe_dump({"trust": [SOURCE, "https://github.com/", str(templates.folder)]}))
    refused(plugin, templates, "would run commands of its own")
    assert not ran.exists()


def test_edits_are_committed_first(templates: Templates, plugin: Path) -> None:
    """Otherwise nobody could see what the update did."""
    (plugin / "plugin.py").write_text("changed\n")
    refused(plugin, templates, "dirty")


def test_the_recorded_version_is_needed(templates: Templates, plugin: Path) -> None:
    """Without it nobody knows what the author changed."""
    change(plugin / ANSWERS, f"_commit: {template_version()}", f"_commit: {NEXT}")
    commit(plugin)
    with pytest.raises(ConfigError, match=f"Git failed: .*{NEXT}") as caught:
        update(plugin, ENVIRON, str(templates.folder))
    assert "lacks the tag" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no mapping"),
        ("[1]", "is no mapping"),
        ("{", "is not YAML"),
        ("a: !!python/object/apply:os.system [id]", "is not YAML"),
        ("id: sms", "names no template"),
        ("_src_path: 7\n_commit: v1", "names no template"),
        ("_src_path: 'ext::touch x'\n_commit: v1", "is not a Git remote"),
        ("_src_path: '--upload-pack=touch x'\n_commit: v1", "is not a Git remote"),
        ("_src_path: https://git.example/x.git\n_commit: --orphan=x", "names no template"),
        ("_src_path: https://user:secret@git.example/x.git\n_commit: v1", "carries a credential"),
        ("# " + "x" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_damaged_record_is_refused(plugin: Path, text: str, said: str) -> None:
    """A record is somebody else's text: no command comes out of it, and no secret is shown."""
    (plugin / ANSWERS).write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        update(plugin, ENVIRON)
    assert "secret" not in str(caught.value)
    assert not (plugin / "x").exists()


def test_what_is_no_plugin_of_a_template(tmp_path: Path, templates: Templates) -> None:
    """A folder without a record, one that is not under Git, and a source that is not there."""
    with pytest.raises(ConfigError, match="cannot be read"):
        update(tmp_path, ENVIRON)
    create(Answers("sms"), tmp_path / "sms")
    with pytest.raises(ConfigError, match="git-tracked") as caught:
        update(tmp_path / "sms", ENVIRON, str(templates.folder))
    assert "commit" in caught.value.hint


def test_git_is_needed(tmp_path: Path, plugin: Path) -> None:
    """An update without Git says so."""
    with pytest.raises(ConfigError) as caught:
        update(plugin, {"PATH": str(tmp_path)})
    assert "Git" in f"{caught.value} {caught.value.hint}"


def test_a_template_that_is_none(templates: Templates, plugin: Path) -> None:
    """Whatever a template is instead of one, it is an error of ours."""
    for text in (
        "- 1\n",
        "_subdirectory: ../..\n",
        "_envops: 7\n",
        "id:\n  type: nothing\n",
        "_subdirectory: '{{ 1 / 0 }}'\n",
        "_exclude: 7\n",
    ):
        (templates.folder / "copier.yml").write_text(text, encoding="utf-8")
        git(templates.folder, "commit", "--quiet", "--all", "--message", "x")
        git(templates.folder, "tag", "--force", NEXT)
        with pytest.raises(ConfigError):
            update(plugin, ENVIRON, str(templates.folder))
        git(plugin, "checkout", "--quiet", "--force", "HEAD")
        git(plugin, "clean", "--quiet", "-fd")


def test_a_source_that_is_not_there(tmp_path: Path, plugin: Path) -> None:
    """Git's own words, and where else to look."""
    refused(plugin, str(tmp_path / "nowhere"), "Git failed")


def test_answers_are_normal() -> None:
    """Space around words goes."""
    assert check_answers(replace(Answers("sms"), name=" A ", author=" B ")) == Answers(
        "sms", name="A", author="B"
    )
