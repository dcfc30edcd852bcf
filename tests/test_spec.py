"""What a person writes after `plugin add`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry_client.errors import ConfigError
from registry_client.installer.project.file import parse_project
from registry_client.installer.project.sources import GitSource, PathSource, PypiSource, RegistrySource
from registry_client.installer.project.spec import Wish, parse_wish

TOP = Path("/srv/app").absolute()
PROJECT = parse_project(
    '[registries.main]\nurl = "https://a.example"\nroot = "r"\n[registries.other]\nurl = "https://b.example"\nroot = "r"\n',
    TOP / "plugins.toml",
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
INDEX = "https://pypi.org/simple/"


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("calendar", Wish(RegistrySource("main"), "", "calendar")),
        (" calendar>=1,<2 ", Wish(RegistrySource("main"), ">=1,<2", "calendar")),
        ("calendar >= 1", Wish(RegistrySource("main"), ">= 1", "calendar")),
        ("calendar==1.2.0", Wish(RegistrySource("main"), "==1.2.0", "calendar")),
        ("calendar~=1.2", Wish(RegistrySource("main"), "~=1.2", "calendar")),
        ("calendar!=1.2.0", Wish(RegistrySource("main"), "!=1.2.0", "calendar")),
        ("main:calendar", Wish(RegistrySource("main"), "", "calendar")),
        ("other:calendar>=1", Wish(RegistrySource("other"), ">=1", "calendar")),
        ("./folder", Wish(PathSource("./folder"))),
        ("./a/../folder/", Wish(PathSource("./folder"))),
        (".", Wish(PathSource("."))),
        ("../x.zip", Wish(PathSource("../x.zip"))),
        ("..", Wish(PathSource(".."))),
        ("x-1.0.0.tar.gz", Wish(PathSource("./x-1.0.0.tar.gz"))),
        ("dist/x-1.0.0-py3-none-any.whl", Wish(PathSource("./dist/x-1.0.0-py3-none-any.whl"))),
        (
            "git+https://h.example/x.git@v1.0.0",
            Wish(GitSource("https://h.example/x.git", "v1.0.0")),
        ),
        (
            f"git+ssh://git@h.example/acme/x.git@{COMMIT}#subdirectory=plugins/x",
            Wish(GitSource("ssh://git@h.example/acme/x.git", COMMIT, "plugins/x")),
        ),
        ("git+git@h.example:acme/x.git@v1", Wish(GitSource("git@h.example:acme/x.git", "v1"))),
        ("git+file:///srv/x.git@release/1", Wish(GitSource("file:///srv/x.git", "release/1"))),
        ("pypi:Nexus.Plugin_X", Wish(PypiSource("nexus-plugin-x", INDEX))),
        ("pypi:x==1.0", Wish(PypiSource("x", INDEX), "==1.0")),
    ],
)
def test_each_form(text: str, wish: Wish) -> None:
    """Each way to name a plugin means one source."""
    assert parse_wish(text, PROJECT) == wish


@pytest.mark.skipif(os.name == "nt", reason="paths as POSIX writes them")
def test_paths_are_written_from_the_projects_folder() -> None:
    """Wherever the command runs, the entry means the same file; one given absolute stays so unless it stands inside."""
    assert parse_wish("./x", PROJECT, here=TOP / "deep").source == PathSource("./deep/x")
    assert parse_wish("../../x.zip", PROJECT, here=TOP / "deep").source == PathSource("../x.zip")
    assert parse_wish("/opt/x", PROJECT).source == PathSource("/opt/x")
    assert parse_wish(f"{TOP}/x", PROJECT).source == PathSource("./x")


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("", "expected a plugin", "Write it as"),
        ("a\nb", "expected a plugin", "Write it as"),
        ("Calendar", "expected a plugin id", "Write it as"),
        ("calendar@1.2.0", "after '@'", "Write calendar==1.2.0."),
        ("calendar@latest", "after '@'", "Write it as"),
        ("calendar>=one", "PEP 440", "Write it as"),
        ("calendar>", "PEP 440", "Write it as"),
        ("calendar===1", "without '==='", "Write it as"),
        ("third:calendar", "there is main, other", "[registries.third]"),
        ("--index", "expected a plugin id", "Write it as"),
        ("https://h.example/x.git", "a URL cannot be added", "git+https://"),
        ("git@h.example:x.git", "a URL cannot be added", "git+https://"),
        ("git+https://h.example/x.git", "expected a tag or a commit", "x.git@v1.0.0"),
        ("git+https://h.example/x.git@", "name of a Git tag", ""),
        ("git+https://u:geheim@h.example/x.git@v1", "carries credentials", ""),
        ("git+https://h.example/x.git@--upload-pack=evil", "name of a Git tag", ""),
        ("git+https://h.example/x.git@v1#egg=x", "nothing but subdirectory", ""),
        ("git+https://h.example/x.git@v1#subdirectory=../x", "expected a folder", ""),
        ("git+ext::sh -c id@v1", "expected an https://", ""),
        ("git+http://h.example/x.git@v1", "not encrypted", ""),
        ("pypi:", "name of a distribution", ""),
        ("pypi:x[extra]", "extras", ""),
        ("pypi:../x", "name of a distribution", ""),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(text: str, words: str, hint: str) -> None:
    """Each mistake is named, with the way out, and no password is repeated."""
    with pytest.raises(ConfigError) as caught:
        parse_wish(text, PROJECT)
    assert words in caught.value.message
    assert hint in caught.value.hint
    assert "geheim" not in str(caught.value)


def test_a_project_without_registries() -> None:
    """Nothing comes from a registry that is not there."""
    empty = parse_project("", TOP / "plugins.toml")
    with pytest.raises(ConfigError, match="names no registry"):
        parse_wish("calendar", empty)
    assert parse_wish("pypi:x", empty).source == PypiSource("x", INDEX)
