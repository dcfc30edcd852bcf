"""plugins.toml: found, read with every problem at once, and edited without touching what people wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_client.errors import ConfigError, DocumentError
from registry_client.installer.project.edit import new_project, with_plugin, without_plugin
from registry_client.installer.project.file import PROJECT_LIMIT, host_of, load_project, parse_project
from registry_client.installer.project.model import PROJECT_NAME, Project, Wanted
from registry_client.installer.project.nearest import find_project
from registry_client.installer.project.sources import (
    AdoptedSource,
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
    Source,
)

PATH = Path("/srv/app/plugins.toml").absolute()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REGISTRY = '[registries.main]\nurl = "https://registry.example/main"\nroot = "1.root.json"\n'
WHOLE = f"""\
# Ours.
[host]
name = "nexus"            # what plugins call it
version = "1.2.0"
folder = "plugins"
channel = "testing"
prereleases = true
ecosystem = "python"
python = "3.12"
platform = "linux"

[updates]
auto = "minor"
uninstall-blocked = true
keep = 5

[registries.main]
url = "https://registry.example/main"
root = "1.root.json"
mirrors = ["https://mirror.example/main"]
allow-dev-keys = true
auth = "netrc"
auth-hosts = ["mirror.example", "files.example:8443"]

[registries.second]
url = "https://second.example"
root = "../roots/second.json"

[sources]
pypi = "https://pypi.example/simple"

[plugins]
# The one that all need.
calendar = ">=1,<2"       # not 2 yet
any = "*"
notes = {{ range = ">=2", registry = "second" }}
sms = {{ path = "../sms" }}
chat = {{ git = "https://git.example/chat.git", tag = "v1.0.0" }}
deep = {{ git = "ssh://git@git.example/deep.git", commit = "{COMMIT}", subdirectory = "a/b" }}
tool = {{ pypi = "Nexus.Plugin_tool", range = "==1.0.0" }}
old = {{ adopted = true }}
"""


def parsed(text: str) -> Project:
    return parse_project(text, PATH, python="3.11.7", platform="linux")


def problems(text: str) -> dict[str, str]:
    with pytest.raises(DocumentError) as caught:
        parsed(text)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_whole_file() -> None:
    """Every table and every kind of source is read."""
    project = parsed(WHOLE)
    assert project.host.folder == PATH.parent / "plugins"
    assert (project.host.name, project.host.version, project.host.channel) == ("nexus", "1.2.0", "testing")
    assert (project.host.python, project.host.platform, project.host.ecosystem) == ("3.12", "linux", "python")
    assert (project.updates.auto, project.updates.uninstall_blocked, project.updates.keep) == (
        "minor",
        True,
        5,
    )
    main, second = project.registries.values()
    assert (main.root, second.root) == (
        PATH.parent / "1.root.json",
        PATH.parents[1] / "roots" / "second.json",
    )
    assert (main.auth, main.auth_hosts) == ("netrc", ("mirror.example", "files.example:8443"))
    assert (second.auth, second.mirrors, second.allow_dev_keys) == ("env", (), False)
    index = "https://pypi.example/simple/"
    assert {name: (wanted.source, wanted.range) for name, wanted in project.plugins.items()} == {
        "calendar": (RegistrySource("main"), ">=1,<2"),
        "any": (RegistrySource("main"), ""),
        "notes": (RegistrySource("second"), ">=2"),
        "sms": (PathSource("../sms"), ""),
        "chat": (GitSource("https://git.example/chat.git", "v1.0.0"), ""),
        "deep": (GitSource("ssh://git@git.example/deep.git", COMMIT, "a/b"), ""),
        "tool": (PypiSource("nexus-plugin-tool", index), "==1.0.0"),
        "old": (AdoptedSource(), ""),
    }


def test_an_empty_file_has_defaults() -> None:
    """Nothing needs to be said; Python and platform are those that run, unless the host has none."""
    project = parsed("")
    assert (project.host.python, project.host.platform) == ("3.11.7", "linux")
    assert (project.updates.auto, project.updates.keep, project.index) == (
        "forced",
        3,
        "https://pypi.org/simple/",
    )
    none = parsed("[host]\npython = false\nplatform = false\n")
    assert (none.host.python, none.host.platform) == (None, None)


def test_the_host_that_versions_are_chosen_for() -> None:
    """`[host]` becomes what resolution asks."""
    host = host_of(parsed(WHOLE), "abc")
    assert (host.install_id, host.channel, host.prereleases) == ("abc", "testing", True)
    assert dict(host.applications or {}) == {"nexus": "1.2.0"}
    assert host_of(parsed('[host]\nname = "nexus"\n'), "abc").applications == {}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[hosts]\n", "hosts", "known are host, updates, registries, sources, plugins"),
        ('[host]\nfoldr = "x"\n', "host.foldr", "known are name, version, folder"),
        ("[updates]\nuninstall_blocked = true\n", "updates.uninstall_blocked", "uninstall-blocked"),
        ("[host]\npython = 3.12\n", "host.python", "in quotes"),
        ("[host]\npython = true\n", "host.python", "or false"),
        ('[host]\nname = "x"\nversion = "one"\n', "host.version", "expected a version"),
        ('[host]\nversion = "1.0"\n', "host.name", "is missing"),
        ('[host]\nfolder = "."\n', "host.folder", "folder of the plugins' own"),
        ('[host]\nfolder = "a\\\\b"\n', "host.folder", "'/' between"),
        ('[host]\nchannel = "nightly"\n', "host.channel", "'stable' or 'testing'"),
        ('[host]\nprereleases = "yes"\n', "host.prereleases", "boolean"),
        ("host = 1\n", "host", "expected a table"),
        ("[updates]\nkeep = 0\n", "updates.keep", "greater than or equal to 1"),
        ("[updates]\nkeep = 101\n", "updates.keep", "less than or equal to 100"),
        ('[registries.main]\nurl = "https://x.example"\n', "registries.main.root", "is missing"),
        ('[registries.pypi]\nurl = "https://x.example"\nroot = "r"\n', "registries.pypi", "something else"),
        (
            '[registries."a:b"]\nurl = "https://x.example"\nroot = "r"\n',
            "registries.'a:b'",
            "expected a name",
        ),
        (REGISTRY.replace("https://", "ftp://"), "registries.main.url", "https://"),
        (REGISTRY.replace("https://", "https://u:p@"), "registries.main.url", "credentials"),
        (REGISTRY + 'auth-hosts = ["https://x"]\n', "registries.main.auth-hosts[0]", "without a scheme"),
        ('[sources]\npypi = "file:///x"\n', "sources.pypi", "https://"),
        ('[plugins]\ncalendar = ">=1"\n', "plugins.calendar", "[registries.main]"),
        (REGISTRY + '[plugins]\ncalendar = "one"\n', "plugins.calendar.range", "PEP 440"),
        (REGISTRY + '[plugins]\ncalendar = "===1"\n', "plugins.calendar.range", "without '==='"),
        (REGISTRY + "[plugins]\ncalendar = 1\n", "plugins.calendar", "expected a range"),
        (REGISTRY + '[plugins]\nCalendar = "*"\n', "plugins.Calendar", "expected a plugin id"),
        (REGISTRY + '[plugins]\ncon = "*"\n', "plugins.con", "device name"),
        (REGISTRY + '[plugins]\na-b = "*"\na_b = "*"\n', "plugins.a_b", "is the same as 'a-b'"),
        (REGISTRY + '[plugins]\nx = { registry = "other" }\n', "plugins.x.registry", "there is main"),
        ('[plugins]\nx = { path = "a", pypi = "b" }\n', "plugins.x", "path and pypi"),
        ('[plugins]\nx = { path = "a", range = ">=1" }\n', "plugins.x.range", "beside path"),
        ('[plugins]\nx = { path = "a", tag = "v1" }\n', "plugins.x.tag", "beside git only"),
        ("[plugins]\nx = { adopted = false }\n", "plugins.x.adopted", "expected true"),
        ('[plugins]\nx = { pypi = "-x" }\n', "plugins.x.pypi", "name of a distribution"),
        ('[plugins]\nx = { git = "https://h.example/x" }\n', "plugins.x", "exactly one of tag and commit"),
        (
            f'[plugins]\nx = {{ git = "https://h.example/x", tag = "v1", commit = "{COMMIT}" }}\n',
            "plugins.x",
            "exactly one",
        ),
        (
            '[plugins]\nx = { git = "https://h.example/x", commit = "abc123" }\n',
            "plugins.x.commit",
            "in full",
        ),
        ('[plugins]\nx = { git = "https://u:p@h.example/x", tag = "v1" }\n', "plugins.x.git", "credentials"),
        ('[plugins]\nx = { git = "http://h.example/x", tag = "v1" }\n', "plugins.x.git", "not encrypted"),
        ('[plugins]\nx = { git = "ext::sh -c id", tag = "v1" }\n', "plugins.x.git", "expected an https://"),
        (
            '[plugins]\nx = { git = "ssh://-oProxyCommand=id/x", tag = "v1" }\n',
            "plugins.x.git",
            "expected an",
        ),
        ('[plugins]\nx = { git = "../x", tag = "v1" }\n', "plugins.x.git", "expected an https://"),
        (
            '[plugins]\nx = { git = "https://h.example/x", tag = "--upload-pack=evil" }\n',
            "plugins.x.tag",
            "tag",
        ),
        ('[plugins]\nx = { git = "https://h.example/x", tag = "a..b" }\n', "plugins.x.tag", "tag"),
        (
            '[plugins]\nx = { git = "https://h.example/x", tag = "v1", subdirectory = "../y" }\n',
            "plugins.x.subdirectory",
            "expected a folder",
        ),
        ("[host\n", "the file", "is not TOML"),
        ("\ufeff[host]\n", "the file", "byte order mark"),
        ("x = " + "[" * 100_000, "the file", "nested too deeply"),
        ("x = " + "9" * 10_000, "the file", "too long"),
        ("#" * (PROJECT_LIMIT + 1), "the file", "is longer than"),
    ],
)
def test_each_problem_names_its_key(text: str, path: str, words: str) -> None:
    """A wrong file is refused, with the TOML path and what was expected."""
    found = problems(text)
    assert words in found[path]


def test_every_problem_is_listed_at_once() -> None:
    """Who corrects a file sees all of it, also what is wrong between keys."""
    text = '[host]\nx = 1\n[updates]\nkeep = "3"\n[plugins]\na = 5\nb = { path = "x", range = "?" }\n'
    assert set(problems(text)) == {"host.x", "updates.keep", "plugins.a", "plugins.b.range"}


def test_a_credential_is_not_repeated() -> None:
    """What was written into a URL by mistake does not end in a log."""
    text = '[plugins]\nx = { git = "https://user:geheim@h.example/x", tag = "v1" }\n'
    with pytest.raises(DocumentError) as caught:
        parsed(REGISTRY.replace("https://", "https://user:geheim@") + text)
    assert "geheim" not in str(caught.value)


def test_found_from_a_folder_below(tmp_path: Path) -> None:
    """As cargo and uv do: the nearest file upwards, or none."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / PROJECT_NAME).write_text("")
    assert find_project(deep) == tmp_path / PROJECT_NAME
    (tmp_path / "a" / PROJECT_NAME).mkdir()  # a folder of that name is none
    assert find_project(deep) == tmp_path / PROJECT_NAME
    (tmp_path / PROJECT_NAME).unlink()
    assert find_project(deep) is None


def test_loading(tmp_path: Path) -> None:
    """A file or its folder; what cannot be read says the way out."""
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_project(tmp_path)
    assert "plugin init" in caught.value.hint
    path = tmp_path / PROJECT_NAME
    path.write_bytes(b"\xff")
    with pytest.raises(DocumentError, match="UTF-8"):
        load_project(path)
    path.write_bytes(b"#" * (PROJECT_LIMIT + 1))
    with pytest.raises(DocumentError, match="longer than"):
        load_project(path)
    path.write_text(REGISTRY)
    assert load_project(tmp_path) == load_project(path)


def added(text: str, plugin_id: str, source: Source | None = None, wanted: str = "") -> str:
    return with_plugin(text, Wanted(plugin_id, source or RegistrySource("main"), wanted), parsed(text))


def test_adding_keeps_everything_else() -> None:
    """Exactly one line is new, whatever comments and spacing there are."""
    text = added(WHOLE, "zebra", wanted=">=3")
    assert text == WHOLE + 'zebra = ">=3"\n'
    changed = added(WHOLE, "calendar", wanted=">=2")
    assert changed == WHOLE.replace('calendar = ">=1,<2"       # not', 'calendar = ">=2"       # not')
    assert added(WHOLE, "calendar", wanted=">=1,<2") == WHOLE


SORTED = f"""{REGISTRY}
[plugins]
# Head.

# About b.
b = "*"  # b
d = "*"

# What follows.
[sources]
pypi = "https://pypi.org/simple/"
"""


@pytest.mark.parametrize(
    ("plugin_id", "after"),
    [("a", "# Head.\n\n"), ("c", 'b = "*"  # b\n'), ("e", 'd = "*"\n')],
)
def test_a_sorted_table_stays_sorted(plugin_id: str, after: str) -> None:
    """A new plugin goes to its place, after the comments of the one before and before those of the next."""
    assert added(SORTED, plugin_id) == SORTED.replace(after, f'{after}{plugin_id} = "*"\n')


@pytest.mark.parametrize(
    "text",
    [
        REGISTRY,
        REGISTRY.rstrip(),
        REGISTRY + "[plugins]",
        REGISTRY + '[plugins]\nb = "*"',
        REGISTRY + '[plugins.b]\npath = "x"\n',
        REGISTRY + '[plugins]\nb = "*"\n[plugins.c]\npath = "x"\n[host]\n[plugins.d]\npath = "y"\n',
        'plugins = { b = { path = "x" } }\n' + REGISTRY,
        'plugins.b.path = "x"\n' + REGISTRY,
        REGISTRY.replace("\n", "\r\n") + '[plugins]\r\nb = "*"\r\n',
    ],
)
def test_adding_and_removing_in_any_style(text: str) -> None:
    """However the table is written, it can be added to and taken from; line ends stay."""
    more = added(text, "sms", PathSource("../sms"))
    project = parsed(more)
    assert project.plugins["sms"].source == PathSource("../sms")
    assert set(parsed(text).plugins) == set(project.plugins) - {"sms"}
    assert ("\r\n" in text) == ("\r\n" in more)
    assert more.count("\n") - more.count("\r\n") == 0 or "\r\n" not in text
    less = without_plugin(more, "sms", project)
    assert parsed(less).plugins == parsed(text).plugins


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (Wanted("x", RegistrySource("main"), ">=1"), 'x = ">=1"'),
        (Wanted("x", RegistrySource("main")), 'x = "*"'),
        (Wanted("x", RegistrySource("second"), ">=1"), 'x = {range = ">=1", registry = "second"}'),
        (Wanted("x", RegistrySource("second")), 'x = {registry = "second"}'),
        (Wanted("x", PathSource("./x y")), 'x = {path = "./x y"}'),
        (
            Wanted("x", GitSource("https://h.example/x.git", "v1", "a")),
            'x = {git = "https://h.example/x.git", tag = "v1", subdirectory = "a"}',
        ),
        (
            Wanted("x", GitSource("file:///srv/x.git", COMMIT)),
            f'x = {{git = "file:///srv/x.git", commit = "{COMMIT}"}}',
        ),
        (
            Wanted("x", PypiSource("x-y", "https://pypi.example/simple/"), "==1"),
            'x = {pypi = "x-y", range = "==1"}',
        ),
        (Wanted("x", AdoptedSource()), "x = {adopted = true}"),
    ],
)
def test_each_source_is_written_and_read_again(wanted: Wanted, line: str) -> None:
    """What is written means what was meant, in place of any other entry too."""
    project = parsed(WHOLE)
    text = with_plugin(WHOLE, wanted, project)
    assert f"\n{line}\n" in text
    for other in ("calendar", "sms", "deep", "notes"):
        moved = Wanted(other, wanted.source, wanted.range)
        assert parsed(with_plugin(WHOLE, moved, project)).plugins[other] == moved


def test_removing_takes_one_line() -> None:
    """The line with its comment goes, the rest stays."""
    text = without_plugin(WHOLE, "calendar", parsed(WHOLE))
    assert text == WHOLE.replace('calendar = ">=1,<2"       # not 2 yet\n', "")
    with pytest.raises(ConfigError, match="asks for no plugin 'nothing'"):
        without_plugin(WHOLE, "nothing", parsed(WHOLE))


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("Not An Id", RegistrySource("main")),
        Wanted("calen-dar", RegistrySource("main")),
        Wanted("x", RegistrySource("nowhere")),
        Wanted("x", RegistrySource("main"), "?"),
        Wanted("x", PypiSource("x", "https://elsewhere.example/simple/")),
    ],
)
def test_no_edit_makes_a_wrong_file(wanted: Wanted) -> None:
    """What would not be read again is refused before it is written."""
    with pytest.raises(ConfigError):
        with_plugin(WHOLE, wanted, parsed(WHOLE))


@given(st.lists(st.sampled_from("abcdefgh"), max_size=8), st.lists(st.sampled_from("abcdefgh"), max_size=4))
def test_edits_in_any_order(additions: list[str], removals: list[str]) -> None:
    """Any sequence of edits leaves the text that was there, and what was asked for."""
    text, expected = SORTED, {"b", "d"}
    for name in additions:
        text, expected = added(text, name, wanted=f">={len(text)}"), expected | {name}
    for name in removals:
        if name in expected:
            text, expected = without_plugin(text, name, parsed(text)), expected - {name}
    assert set(parsed(text).plugins) == expected
    for comment in ("# Head.", "# About b.", "# What follows.\n[sources]"):
        assert comment in text


@pytest.mark.parametrize(
    ("arguments", "registries"),
    [
        ({}, []),
        ({"name": "nexus", "version": "1.2.0"}, []),
        ({"url": "https://registry.example", "root": "1.root.json", "allow_dev_keys": True}, ["main"]),
        (
            {"name": "nexus", "url": "https://registry.example", "root": 'a"b.json', "registry": "ours"},
            ["ours"],
        ),
    ],
)
def test_a_new_file_is_valid_and_can_be_added_to(
    arguments: dict[str, str | bool], registries: list[str]
) -> None:
    """`plugin init` writes a file that explains itself and that the next command can use."""
    text = new_project(**arguments)  # type: ignore[arg-type]  # a table of keyword arguments
    project = parsed(text)
    assert list(project.registries) == registries
    assert (project.host.name, project.host.version) == (
        arguments.get("name", ""),
        arguments.get("version", ""),
    )
    more = with_plugin(text, Wanted("sms", PathSource("../sms")), project)
    assert more == text + 'sms = {path = "../sms"}\n'
