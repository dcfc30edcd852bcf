"""Adapters: which form a folder is in, what becomes of each member, and what hostile files do (nothing)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.adapters import MemoryFiles, detect, repository_name
from publisher.adapters.draft import Converted, make_id
from publisher.adapters.values import normal_range, normal_version
from publisher.adapters.yamltext import parse_yaml
from publisher.check import check_source
from publisher.cli.main import main
from publisher.source import (
    build_manifest,
    load_source,
    read_source,
    source_problems,
    with_versions,
    write_version,
)
from registry_client.errors import ConfigError, ManifestError, PublishError, RegistryError

NEXUS: dict[str, Any] = {"name": "x", "version": "1.0.0", "title": "X", "dependencies": []}
PHP = b"<?php\n/*\nPlugin Name: X\nVersion: 1.0.0\n*/\n"
TOML = '[project]\nname = "x"\nversion = "1.0.0"  # here\n\n[tool.plugin]\n'


def memory(**files: Any) -> MemoryFiles:
    """A folder in memory; `manifest_json` is manifest.json, objects are written as JSON."""
    named = {name.replace("__", "/").replace("_", "."): value for name, value in files.items()}
    return MemoryFiles({
        name: value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
        for name, value in named.items()
    })  # fmt: skip


def converted(files: MemoryFiles, name: str | None = None, repository: str = "repo") -> Converted:
    """What the adapter for a folder makes of it."""
    found = detect(files, name)
    assert found.convert is not None, found.form
    return found.convert(repository)


def nexus(**members: Any) -> Converted:
    """What becomes of a Nexus manifest with these members."""
    return converted(memory(manifest_json={**NEXUS, **members}))


def raw_of(made: Converted) -> dict[str, Any]:
    """A conversion's manifest, which is valid."""
    assert made.problems == ()
    assert source_problems(made.raw, "x") == []
    return made.raw


def noted(made: Converted) -> dict[str, str]:
    """Notes by path."""
    return {note.path: note.message for note in made.notes}


def wrong(made: Converted) -> dict[str, str]:
    """Problems by path."""
    return {problem.path: problem.message for problem in made.problems}


# -- which form --


@pytest.mark.parametrize(
    ("files", "path", "form"),
    [
        ({"manifest_json": {"id": "x", "name": "X", "ui": {}}}, "manifest.json", "registry manifest"),
        ({"manifest_json": {"name": "X", "artifacts": []}}, "manifest.json", "registry manifest"),
        ({"manifest_json": {"id": "x", "requires": {}, "tags": []}}, "manifest.json", "registry manifest"),
        ({"manifest_json": NEXUS}, "manifest.json", "Nexus manifest"),
        ({"manifest_json": {"name": "x", "version": "1.0.0"}}, "manifest.json", "Nexidra manifest"),
        ({"plugin_json": {"name": "x"}}, "plugin.json", "Nexidra manifest"),
        ({"plugin_json": {"id": "x", "kind": "manifest"}}, "plugin.json", None),
        ({"manifest_json": {"id": "x", "lastUpdated": "$(date)"}}, "manifest.json", "dashboard manifest"),
        ({"manifest_json": {"ui": {}, "name": "x"}}, "manifest.json", "dashboard manifest"),
        ({"pyproject_toml": TOML}, "pyproject.toml", "[tool.plugin] of a Python project"),
        ({"x_php": PHP, "y_php": b"<?php\n"}, "x.php", "WordPress plugin"),
        (
            {"manifest_json": {"id": "x", "kind": "manifest"}, "x_php": PHP},
            "manifest.json",
            "registry manifest",
        ),
        (
            {"manifest_json": NEXUS, "pyproject_toml": '[project]\nname="x"'},
            "manifest.json",
            "Nexus manifest",
        ),
    ],
)
def test_which_form(files: dict[str, Any], path: str, form: str | None) -> None:
    """What is there decides; the registry's own members decide first."""
    found = detect(memory(**files))
    assert found.path == path
    assert form is None or found.form == form


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"manifest_json": NEXUS, "plugin_json": {"name": "x"}}, ["manifest.json", "plugin.json"]),
        ({"plugin_json": {"name": "x"}, "pyproject_toml": TOML}, ["plugin.json", "pyproject.toml"]),
        ({"x_php": PHP, "y_php": PHP}, ["x.php", "y.php"]),
    ],
)
def test_ambiguous(files: dict[str, Any], named: list[str]) -> None:
    """Two that could be meant are both named; naming the file is the way out."""
    with pytest.raises(ConfigError, match="which one") as caught:
        detect(memory(**files))
    assert all(name in caught.value.message for name in named)
    assert "Name the file itself" in caught.value.hint
    for name in named:
        assert detect(memory(**files), name).path == name


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        ({}, None, "no such file"),
        ({"pyproject_toml": '[project]\nname="x"'}, "pyproject.toml", r"no \[tool.plugin\]"),
        ({"readme_txt": b""}, "readme.txt", "goes with a WordPress plugin"),
    ],
)
def test_nothing_to_read(files: dict[str, Any], name: str | None, message: str) -> None:
    """What is no manifest is said to be none."""
    with pytest.raises(ConfigError, match=message):
        detect(memory(**files), name)


# -- identity --


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My Awesome Plugin", "my-awesome-plugin"),
        ("my_awesome_plugin", "my_awesome_plugin"),
        ("3d-view", "3d-view"),
        ("Über.Plugin!", "uber-plugin"),
        ("--x", "x"),
        ("nul", "nul-plugin"),
        ("x" * 80, "x" * 64),
        ("日本", None),
        ("", None),
    ],
)
def test_ids(text: str, expected: str | None) -> None:
    """A name is made into a valid id, or nothing is left of it."""
    assert make_id(text) == expected


def test_id_by_repository() -> None:
    """Without a name that gives one, the id is the repository's name, made valid."""
    made = converted(memory(plugin_json={"name": "日本"}), repository="Acme.Calendar")
    assert raw_of(made)["id"] == "acme-calendar"
    assert raw_of(made)["name"] == "日本"
    assert "the repository's name" in noted(made)
    assert "$.id" in wrong(converted(memory(plugin_json={"name": "日本"}), repository="日本"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/acme/calendar.git", "calendar"),
        ("git@github.com:acme/Calendar_2", "Calendar_2"),
        (None, "folder"),
    ],
)
def test_repository_name(tmp_path: Path, url: str | None, expected: str) -> None:
    """The origin's name, else the folder's; a folder inside a repository goes by its own."""
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    remote = f'[remote "upstream"]\n\turl = x/other\n[remote "origin"]\n\turl = {url}\n\tfetch = +refs\n'
    (folder / ".git" / "config").write_text("[core]\n" + (remote if url else ""))
    assert repository_name(folder) == expected
    (folder / "inner").mkdir()
    assert repository_name(folder / "inner") == "inner"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.0.0", "1.0.0"),
        ("1.0", "1.0.0"),
        ("v1.0.0", "1.0.0"),
        ("1", "1.0.0"),
        ("1.0.0-beta", "1.0.0-beta.0"),
        ("1.0.0b2", "1.0.0-beta.2"),
        ("1.0.0-rc.1", "1.0.0-rc.1"),
        ("1.0.0+build", None),
        ("01.0.0", None),
        ("1.0.0.1", None),
        ("1.0.0-pre.1", None),
        ("latest", None),
        ("1.0.0\n2", None),
    ],
)
def test_versions(text: str, expected: str | None) -> None:
    """Other spellings of a version are read where they can mean one thing only."""
    assert normal_version(text) == expected
    made = nexus(version=text)
    if expected is None:
        assert "$.version" in wrong(made)
    else:
        assert raw_of(made)["version"] == expected
        assert ("$.version" in noted(made)) == (text != expected)


@pytest.mark.parametrize("version", [1.0, True, ["1.0.0"], {}])
def test_version_of_another_type(version: object) -> None:
    """A number is no version: 1.10 would be 1.1."""
    assert "expected a version" in wrong(nexus(version=version))["$.version"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">=1.0", ">=1.0"),
        (">= 1.0 <2", ">= 1.0,<2"),
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0", ">=0.0.0,<1"),
        ("~1.2.3", ">=1.2.3,<1.3"),
        ("~1", ">=1.0.0,<2"),
        ("*", ">=0"),
        ("1.0", None),
        (">=1 || >=3", None),
    ],
)
def test_ranges(text: str, expected: str | None) -> None:
    """Npm's spellings are read; a bare version is not a range."""
    if expected is None:
        with pytest.raises(ValueError, match="expected a range"):
            normal_range(text)
    else:
        assert normal_range(text) == expected


# -- members --

MEMBERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"author": "A B <a@b.example>"}, {"author": {"name": "A B", "email": "a@b.example"}}),
    (
        {"author": "A <a@b.example> (https://a.example)"},
        {"author": {"name": "A", "email": "a@b.example", "url": "https://a.example"}},
    ),
    ({"author": "<a@b.example>"}, {"author": {"name": "a@b.example", "email": "a@b.example"}}),
    ({"author": "A", "email": "a@b.example"}, {"author": {"name": "A", "email": "a@b.example"}}),
    ({"email": "a@b.example"}, {"author": {"name": "a@b.example", "email": "a@b.example"}}),
    ({"tags": ["a"], "keywords": ["b", "a"]}, {"keywords": ["b", "a"]}),
    ({"repository": "git@github.com:acme/x.git"}, {"repository": "https://github.com/acme/x.git"}),
    ({"repository": {"type": "git", "url": "git+https://g.example/x"}}, {"repository": "https://g.example/x"}),
    ({"license": {"type": "MIT"}}, {"license": "MIT"}),
    ({"nexus_version": ">=0.1.0"}, {"requires": {"host": {"nexus": ">=0.1.0"}}}),
    ({"python_version": ">=3.11"}, {"requires": {"python": ">=3.11"}}),
    ({"min_nexus_version": "1.0"}, {"requires": {"host": {"nexus": ">=1.0"}}}),
    ({"dependencies": ["auth", "mail>=1"]}, {"requires": {"plugins": {"auth": ">=0", "mail": ">=1"}}}),
    ({"dependencies": {"plugins": {"auth": "^1.2"}}}, {"requires": {"plugins": {"auth": ">=1.2.0,<2"}}}),
    ({"dependencies": {"python": "*", "nexus": "*"}}, {"requires": None}),
    ({"compatibility": {"platforms": ["windows", "linux"]}}, {"requires": {"platforms": ["win32", "linux"]}}),
    ({"compatibility": {"platforms": ["any"]}}, {"requires": None}),
    ({"permissions": {"permissions": ["a.b"]}}, {"permissions": ["a.b"]}),
    ({"permissions": {"admin": ["a", "b"], "user": ["a"]}}, {"permissions": ["a", "b"]}),
    ({"permissions": [{"name": "a", "description": "d"}]}, {"permissions": ["a"]}),
    ({"health_check": {"endpoint": "/h"}, "api": {"prefix": "/a"}}, {"server": {"routeBase": "/a", "healthCheck": "/h"}}),
    ({"health_check": {"endpoint": "/h"}}, {"server": None}),
    ({"ui": {"enabled": False, "menu": {"title": "X"}}}, {"ui": None}),
    ({"ui": {"menu": {"title": "X", "parent": None}}}, {"ui": {"menu": {"title": "X"}}}),
    ({"features": ["a", "b"]}, {"features": {"a": True, "b": True}}),
    ({"api": {"rate_limit": {"requests": 5, "period": "minute"}}}, {"api": {"rateLimit": {"requests": 5, "period": 60}}}),
    ({"api_endpoints": [{"method": "get", "path": "/x"}]}, {"api": {"endpoints": [{"method": "GET", "path": "/x"}]}}),
    ({"icon": "https://a.example/i.png"}, {"icon": "https://a.example/i.png", "packaged": None}),
    ({"title": None}, {"name": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("members", "expected"), MEMBERS)
def test_members(members: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each member of a Nexus manifest goes where the registry has it."""
    made = raw_of(nexus(**members))
    assert {name: made.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"short_name": "x"}, "$.short_name"),
        ({"homepage": "not a page"}, "$.homepage"),
        ({"homepage": "https://user:pw@a.example"}, "$.homepage"),
        ({"icon": "fas fa-rocket"}, "$.icon"),
        ({"icon": "missing.png"}, "$.icon"),
        ({"icon": "../../etc/passwd"}, "$.icon"),
        ({"authors": ["A"]}, "$.authors"),
        ({"author": ["A", "B"]}, "$.author[1]"),
        ({"health_check": {"endpoint": "/h"}}, "$.health_check"),
        ({"features": {"a": "yes"}}, "$.features.a"),
        ({"ui": {"theme": "dark"}}, "$.ui.theme"),
        ({"ui": {"dashboard_widgets": [{"id": "a"}]}}, "$.ui.dashboard_widgets[0]"),
        ({"events": {"publishes": ["a", "b c"]}}, "$.events.publishes[1]"),
        ({"api_endpoints": [{"method": "BREW", "path": "/x"}]}, "$.api_endpoints[0]"),
        ({"dependencies": {"npm": ["x"]}}, "$.dependencies.npm"),
        (
            {"configuration": {"a": {"type": "string", "secret": True, "default": "s3"}}},
            "$.configuration.a.default",
        ),
        ({"configuration": {"a": {"type": "string", "widget": "x"}}}, "$.configuration.a.widget"),
    ],
)
def test_what_cannot_be_carried_over_is_named(members: dict[str, Any], path: str) -> None:
    """A note says what was left out; the rest is valid. Credentials are not repeated."""
    made = nexus(**members)
    raw_of(made)
    assert path in noted(made)
    assert "pw" not in str(made.notes)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"dependencies": {"packages": ["not a requirement!"]}}, "$.dependencies.packages[0]"),
        ({"dependencies": ["auth>>1"]}, "$.dependencies.plugins[0]"),
        ({"dependencies": {"nexus": "1.0"}}, "$.dependencies.nexus"),
        ({"compatibility": {"min_nexus_version": ">=1"}}, "$.compatibility.min_nexus_version"),
        ({"permissions": ["a b"]}, "$.permissions[0]"),
        ({"permissions": "all"}, "$.permissions"),
        ({"configuration": {"schema": "config/missing.json"}}, "$.configuration.schema"),
        ({"configuration": {"schema": "../../etc/passwd"}}, "$.configuration.schema"),
        ({"configuration": {"schema": "/etc/passwd"}}, "$.configuration.schema"),
        ({"configuration": {"schema": "C:\\x.json"}}, "$.configuration.schema"),
        ({"configuration": {"defaults": "x.yaml", "required": "api_key"}}, "$.configuration.required"),
        ({"configuration": 5}, "$.configuration"),
    ],
)
def test_what_matters_and_cannot_be_read_is_a_problem(members: dict[str, Any], path: str) -> None:
    """What hosts enforce is never left out silently."""
    assert path in wrong(nexus(**members))


# -- settings --


def settings_of(configuration: Any, **files: Any) -> tuple[dict[str, Any], Converted]:
    """The schema that becomes of settings, with these files beside the manifest."""
    made = converted(memory(manifest_json={**NEXUS, "configuration": configuration}, **files))
    return raw_of(made)["configuration"], made


def test_typed_settings() -> None:
    """Types by other names, limits by the type, choices, secrets."""
    schema, _ = settings_of(
        {
            "a": {"type": "str", "min": 1, "max": 9, "label": "A"},
            "b": {"type": "int", "min": 1, "required": True},
            "c": {"type": "select", "options": ["x", "y"], "default": "x"},
            "d": {"type": "password"},
            "e": {"type": "list", "max": 3, "default": None},
        }
    )
    assert schema["required"] == ["b"]
    assert schema["properties"] == {
        "a": {"type": "string", "minLength": 1, "maxLength": 9, "title": "A"},
        "b": {"type": "integer", "minimum": 1},
        "c": {"enum": ["x", "y"], "default": "x"},
        "d": {"type": "string", "writeOnly": True},
        "e": {"type": "array", "maxItems": 3, "default": None},
    }


def test_settings_by_file() -> None:
    """A schema in YAML, defaults in YAML or JSON put into it, nested ones too; required names added."""
    schema, made = settings_of(
        {
            "schema": "config/schema.yaml",
            "defaults": "config/default.json",
            "required": ["key"],
            "optional": ["b"],
        },
        config__schema_yaml="type: object\nadditionalProperties: false\nproperties:\n"
        "  a: {type: object, properties: {n: {type: integer}}}\n  b: {type: string, default: y}\n"
        "  s: {type: string, writeOnly: true}\nrequired: [a]\n",
        config__default_json={"a": {"n": 3}, "b": "z", "s": "secret", "other": 1},
    )
    assert schema["properties"]["a"]["properties"]["n"] == {"type": "integer", "default": 3}
    assert schema["properties"]["b"] == {"type": "string", "default": "z"}
    assert schema["properties"]["key"] == {}
    assert schema["properties"]["s"] == {"type": "string", "writeOnly": True}
    assert schema["required"] == ["a", "key"]
    assert set(noted(made)) == {f"$.configuration.defaults: {name}" for name in ("b", "s", "other")}


def test_defaults_alone() -> None:
    """Without a schema, one is made of the defaults; a schema by its path alone is one, too."""
    schema, _ = settings_of({"defaults": "d.yml"}, d_yml="a: 1\nb: 'x'\nc: [1]\nd: null\n")
    kinds = {name: entry.get("type") for name, entry in schema["properties"].items()}
    assert kinds == {"a": "integer", "b": "string", "c": "array", "d": None}
    assert settings_of("s.json", s_json={"type": "object"})[0]["type"] == "object"


BOMB = "a: &a [x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD_YAML = [
    (BOMB, "anchors and aliases"),
    ("a: &x {b: 1}\nc: {<<: *x}\n", "anchors and aliases"),
    ("a: " + "[" * 40 + "]" * 40, "nested deeper"),
    ("a: " + "[" * 30_000, "nested deeper|is not YAML"),
    ("a: 1\na: 2\n", "each once"),
    ("1: 2\n", "expected a name"),
    ("a: 2020-01-01\n", "none of JSON"),
    ("a: .inf\n", "finite"),
    ("a: 99999999999999999999\n", "outside"),
    (f"a: {'9' * 5000}\n", "is no int|outside"),
    ("a: !!python/object/apply:os.system ['x']\n", "none of JSON"),
    ("a: !!binary aGk=\n", "binary"),
    ("- a\n", "expected a mapping"),
    ("a: [\n", "is not YAML"),
    ("a: 1\n---\nb: 2\n", "is not YAML"),
    ("\x00", "is not YAML"),
    ("a: " + "x" * 70_000, "more than"),
]


@pytest.mark.parametrize(("text", "message"), BAD_YAML)
def test_bad_yaml(text: str, message: str) -> None:
    """Bombs, tags, depth, and what JSON has not, are refused with the file's name."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_yaml(text, "config/default.yaml")
    assert caught.value.message.startswith("config/default.yaml")
    made = converted(memory(manifest_json={**NEXUS, "configuration": {"defaults": "d.yaml"}}, d_yaml=text))
    assert "$.configuration.defaults" in wrong(made)


def test_yaml_values() -> None:
    """Plain values as YAML has them."""
    assert parse_yaml("a: true\nb: 1.5\nc: ~\nd: '1'\ne: {f: [0x10]}\n", "x") == {
        "a": True,
        "b": 1.5,
        "c": None,
        "d": "1",
        "e": {"f": [16]},
    }
    assert parse_yaml("# nothing\n", "x") == {}


# -- requirements.txt --


def test_requirements() -> None:
    """Comments, continuations, includes, hashes, markers; what is no requirement is noted without its address."""
    made = converted(
        memory(
            manifest_json=NEXUS,
            requirements_txt="# deps\nhttpx>=0.27  # http\r\n-r req/more.txt\nredis==4.5.0 \\\n    --hash=sha256:abc\n"
            "-e ./local\n--index-url https://user:pw@i.example/simple\ngit+https://user:pw@g.example/x\n"
            "tool @ https://user:pw@t.example/tool.whl\nx; sys_platform == 'win32'\n-c limits.txt\nhttpx>=0.27\n",
            req__more_txt="-r ../requirements.txt\nfastapi[all]>=0.110,<1\n",
        )
    )
    assert raw_of(made)["requires"]["packages"] == [
        *("httpx>=0.27", "fastapi[all]>=0.110,<1", "redis==4.5.0", "x; sys_platform == 'win32'")
    ]
    assert set(noted(made)) == {f"requirements.txt line {n}" for n in (4, 6, 7, 8, 9, 11)}
    assert "pw" not in str(made.notes)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("-r ../../etc/passwd\n", "requirements.txt line 1"),
        ("-r /etc/passwd\n", "requirements.txt line 1"),
        ("-r missing.txt\n", "missing.txt"),
        ("what is this\n", "requirements.txt line 1"),
        (b"\xff\xfe", "requirements.txt"),
        ("x\n" * 200_000, "requirements.txt"),
    ],
)
def test_bad_requirements(text: str | bytes, path: str) -> None:
    """Includes stay in the folder; what cannot be read is a problem."""
    assert path in wrong(converted(memory(manifest_json=NEXUS, requirements_txt=text)))


# -- Nexidra --


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["sms.send"]', ["sms.send"]),
        ('{"permissions": ["sms.send"]}', ["sms.send"]),
        ('{"admin": ["a", "b"], "user": ["a"]}', ["a", "b"]),
        ('\ufeff["a"]', ["a"]),
        ("[]", None),
        ('["a b"]', False),
        ('"all"', False),
        ("5", False),
        ('[], "x": 1', False),
        ("[", False),
        ('{"a": 1, "a": 2}', False),
        ("[" * 5000, False),
    ],
)
def test_permissions_file(text: str, expected: Any) -> None:
    """Each shape of permissions.json, and what is none."""
    made = converted(memory(plugin_json={"name": "sms", "version": "1.0.0"}, permissions_json=text))
    if expected is False:
        assert made.problems
    else:
        assert raw_of(made).get("permissions") == expected


# -- WordPress --


def wordpress(php: bytes, readme: bytes | None = None, name: str = "x.php") -> Converted:
    """What becomes of a WordPress plugin."""
    files = {name: php} if readme is None else {name: php, "readme.txt": readme}
    return converted(MemoryFiles(files), name)


@pytest.mark.parametrize(
    "php",
    [
        PHP,
        PHP.replace(b"\n", b"\r\n"),
        PHP.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + PHP,
        b"<?php /* Plugin Name: X */\n// Version: 1.0.0 ?>\n",
        b"<?php\n# plugin name: X\n# VERSION:1.0.0\n",
        PHP + b"$a = '\nVersion: 9.9.9\nPlugin Name: Other';",
        PHP + b"\xff\xfe binary",
    ],
)
def test_header_as_wordpress_reads_it(php: bytes) -> None:
    """Line ends, comment styles, letter case; the first line counts."""
    made = raw_of(wordpress(php))
    assert (made["id"], made["name"], made["version"]) == ("x", "X", "1.0.0")
    assert made["artifacts"] == [{"ecosystem": "wordpress", "pack": "."}]


@pytest.mark.parametrize(
    "php",
    [
        b"<?php\n",
        b"<?php\n" + b" " * 9000 + b"\n/*\nPlugin Name: X\n*/",
        b"<?php\n$x = 'Plugin Name: X';",
    ],
)
def test_no_header(php: bytes) -> None:
    """What WordPress does not take for a header is none."""
    with pytest.raises(ConfigError, match="no such file"):
        detect(MemoryFiles({"x.php": php}))
    assert wordpress(php).problems


@pytest.mark.parametrize(
    ("php", "path"),
    [
        (b"<?php\n/*\nPlugin Name: X\n*/", "x.php: Version"),
        (PHP.replace(b"1.0.0", b"trunk"), "x.php: Version"),
        (PHP.replace(b"Name: X", b"Name: \xff"), "x.php"),
        (PHP.replace(b"Version", b"Requires PHP: new\nVersion"), "x.php: Requires PHP"),
    ],
)
def test_header_that_cannot_be_used(php: bytes, path: str) -> None:
    """A header that WordPress shows and the registry cannot state is a problem."""
    assert path in wrong(wordpress(php))


def test_slug() -> None:
    """The id is the main file's name, save where that says nothing."""
    assert raw_of(wordpress(PHP, name="acme-bridge.php"))["id"] == "acme-bridge"
    php = PHP.replace(b"Version", b"Text Domain: acme\nVersion")
    assert raw_of(wordpress(php, name="plugin.php"))["id"] == "acme"
    assert raw_of(wordpress(PHP, name="index.php"))["id"] == "x"


@pytest.mark.parametrize("tag", [b"trunk", b"0.9.0"])
def test_stable_tag(tag: bytes) -> None:
    """A new version goes into the stable tag, unless that is the trunk."""
    readme = b"=== X ===\r\nStable tag: " + tag + b"\r\nLicense: MIT\r\n\r\nShort.\r\n"
    made = wordpress(PHP, readme)
    assert raw_of(made)["description"] == "Short."
    assert raw_of(made)["license"] == "MIT"
    files = made.with_version("2.0.0")
    assert files["x.php"] == PHP.replace(b"1.0.0", b"2.0.0")
    assert files.get("readme.txt") == (None if tag == b"trunk" else readme.replace(b"0.9.0", b"2.0.0"))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.0.0", "* First"),
        ("1.0.1", "* Fixes"),
        ("2.0.0", "= 1.0.1 =\n* Fixes\n\n= v1.0.0 - January =\n* First"),
    ],
)
def test_changelog_of_the_version_that_is_published(tmp_path: Path, version: str, expected: str) -> None:
    """Its part of readme.txt, not that of the version in the header; all of it where it has none."""
    readme = b"=== X ===\n\n== Changelog ==\n= 1.0.1 =\n* Fixes\n\n= v1.0.0 - January =\n* First\n"
    source = load_source(write(tmp_path, {"x.php": PHP, "readme.txt": readme}))
    assert build_manifest(source, version=version, artifacts=[])["changelog"] == expected


def test_readme_that_cannot_be_read() -> None:
    """A readme that is no text is a problem, not a traceback."""
    assert "readme.txt" in wrong(wordpress(PHP, b"\xff\xff"))
    assert "readme.txt" in wrong(wordpress(PHP, b"x" * 2_000_000))


# -- pyproject.toml --

PYPROJECT = """\
# A plugin.
[project]
name = "acme-tool"
version = "1.2.0"  # bumped by CI
description = "Does it."
authors = [{name = "A", email = "a@b.example"}, {name = "B"}]
license = "MIT"
requires-python = ">=3.11"
dependencies = ["httpx>=0.27"]
keywords = ["x"]
readme = "README.md"
scripts = {tool = "tool:main"}
[project.urls]
Homepage = "https://a.example"
"Source Code" = "https://g.example/x"
Funding = "https://f.example"
[tool.plugin]
name = "Acme Tool"
initial-status = "draft"
permissions = ["a.b"]
icon = "icon.png"
configuration = "config/schema.json"
features = {hot-reload = true}
[tool.plugin.requires]
host = {my-host = ">=1"}
packages = ["redis"]
[tool.plugin.ui]
remote-entry = "https://a.example/remoteEntry.js"
expose = "./App"
[tool.plugin.server]
routeBase = "/x"
health_check = "/health"
"""


def test_pyproject() -> None:
    """What the project says is not said twice; members in any case; names that are data stay."""
    made = converted(memory(pyproject_toml=PYPROJECT, icon_png=b"x", config__schema_json={"type": "object"}))
    raw = raw_of(made)
    expected = {
        "id": "acme-tool",
        "name": "Acme Tool",
        "version": "1.2.0",
        "initialStatus": "draft",
        "author": {"name": "A", "email": "a@b.example"},
        "homepage": "https://a.example",
        "repository": "https://g.example/x",
        "packaged": {"icon": "icon.png"},
        "features": {"hot-reload": True},
        "requires": {"host": {"my-host": ">=1"}, "packages": ["redis", "httpx>=0.27"], "python": ">=3.11"},
        "ui": {"remoteEntry": "https://a.example/remoteEntry.js", "expose": "./App"},
        "server": {"routeBase": "/x", "healthCheck": "/health"},
        "artifacts": [{"ecosystem": "python", "pack": "."}],
    }
    assert {name: raw[name] for name in expected} == expected
    assert raw["configuration"]["type"] == "object"
    assert set(noted(made)) == {"$.project.authors[1]", "$.project.scripts", "$.project.urls.Funding"}
    assert made.with_version("2.0.0") == {"pyproject.toml": PYPROJECT.replace('"1.2.0"', '"2.0.0"').encode()}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TOML, TOML.replace("1.0.0", "2.0.0")),
        (TOML.replace("\n", "\r\n"), TOML.replace("1.0.0", "2.0.0").replace("\n", "\r\n")),
        (TOML + 'version = "1.0.0"\n', (TOML + 'version = "1.0.0"\n').replace("1.0.0", "2.0.0")),
        (TOML + 'version = "1.1.0"\n', TOML + 'version = "2.0.0"\n'),
        ('tool.plugin.name = "x"\n', 'tool.plugin.name = "x"\ntool.plugin.version = "2.0.0"\n'),
        ('[tool.plugin]\nname = "x"\n', '[tool.plugin]\nname = "x"\nversion = "2.0.0"\n'),
    ],
)
def test_version_in_toml(before: str, after: str) -> None:
    """Only the version changes; comments and line ends stay."""
    made = converted(memory(pyproject_toml=before))
    raw_of(made)
    assert made.with_version("2.0.0")["pyproject.toml"].decode() == after


@pytest.mark.parametrize(
    "text",
    [
        '[project]\nname = "x"\ndynamic = ["version"]\n[tool.plugin]\n',
        TOML + "configuration = {default = 2020-01-01}\n",
        TOML + "configuration = {default = inf}\n",
        TOML + 'descripton = "x"\n',
        TOML + "requires = 5\n",
        TOML + "artifacts = []\n",
    ],
)
def test_pyproject_problems(text: str) -> None:
    """What TOML can say and JSON cannot, and what is just wrong, is a problem."""
    made = converted(memory(pyproject_toml=text))
    assert made.problems or source_problems(made.raw, "x")


@pytest.mark.parametrize(
    "data", [b"\xff", b"[tool", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000, b"\xef\xbb\xbfa = 1"]
)
def test_no_toml(data: bytes) -> None:
    """What is no TOML is said to be none."""
    with pytest.raises(ManifestError):
        detect(memory(pyproject_toml=data), "pyproject.toml")


# -- on disk --


def write(folder: Path, files: dict[str, Any]) -> Path:
    """A plugin's folder on disk."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / path).write_bytes(data)
    return folder


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    """A link that leads out is not followed, whatever names it."""
    (tmp_path / "secret.json").write_text('{"type": "object", "title": "SECRET"}')
    (tmp_path / "secret.txt").write_text("SECRET\n")
    members = {**NEXUS, "icon": "icon.png", "configuration": {"schema": "config/schema.json"}}
    folder = write(tmp_path / "plugin", {"manifest.json": members})
    (folder / "config").symlink_to(tmp_path)
    (tmp_path / "schema.json").symlink_to(tmp_path / "secret.json")
    (folder / "icon.png").symlink_to(tmp_path / "secret.txt")
    (folder / "requirements.txt").symlink_to(tmp_path / "secret.txt")
    read = read_source(folder)
    assert "SECRET" not in str(read)
    assert {problem.path for problem in read.problems} == {"$.configuration.schema"}
    assert check_source(folder)


def test_huge_and_odd_files(tmp_path: Path) -> None:
    """A hundred megabytes are not read; a pipe does not hang."""
    members = {**NEXUS, "configuration": {"schema": "schema.json", "defaults": "pipe.yaml"}}
    folder = write(tmp_path, {"manifest.json": members})
    with (folder / "schema.json").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    os.mkfifo(folder / "pipe.yaml")
    found = {problem.path: problem.message for problem in read_source(folder).problems}
    assert "more than" in found["$.configuration.schema"]
    assert "is not a file" in found["$.configuration.defaults"]
    with (folder / "manifest.json").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(ManifestError, match="at most 262144"):
        load_source(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf{}",
        b"\xff{}",
        b'{"name": "\\ud800", "version": "1.0.0"}',
        b'{"a":' * 5000,
        b"{}",
        b"[]",
        b"null",
    ],
)
def test_bad_json(tmp_path: Path, data: bytes) -> None:
    """What is refused everywhere is refused in a plugin.json, by its path."""
    write(tmp_path, {"plugin.json": data})
    with pytest.raises(ManifestError) as caught:
        load_source(tmp_path)
    assert str(tmp_path / "plugin.json") in caught.value.message
    assert check_source(tmp_path)


def test_manifest_crlf(tmp_path: Path) -> None:
    """Line ends stay when the version changes."""
    text = '{\r\n  "name": "x",\r\n  "tags": [],\r\n  "version": "1.0"\r\n}\r\n'
    source = load_source(write(tmp_path, {"manifest.json": text.encode()}))
    assert source.model.version == "1.0.0"
    assert with_versions(source, "1.1.0") == {"manifest.json": text.replace('"1.0"', '"1.1.0"').encode()}


def test_write_version(tmp_path: Path) -> None:
    """A WordPress plugin's two files get the version; a bad version changes neither."""
    folder = write(tmp_path, {"x.php": PHP, "readme.txt": b"=== X ===\nStable tag: 1.0.0\n"})
    source = load_source(folder)
    with pytest.raises(PublishError, match="expected a version"):
        write_version(source, "1")
    write_version(source, "1.0.1")
    assert b"Version: 1.0.1" in (folder / "x.php").read_bytes()
    assert b"Stable tag: 1.0.1" in (folder / "readme.txt").read_bytes()
    assert load_source(folder).model.version == "1.0.1"


def test_packaged_pictures_must_be_there(tmp_path: Path) -> None:
    """A manifest in the registry's form names files of the plugin; one that is missing is a problem."""
    members = {"id": "x", "name": "X", "artifacts": [{"ecosystem": "python", "pack": "."}]}
    pictures = {"icon": "a.png", "screenshots": ["b.png", "a.png"]}
    folder = write(tmp_path, {"manifest.json": {**members, "packaged": pictures}, "a.png": b"x"})
    assert [problem.path for problem in check_source(folder)] == ["$.packaged.screenshots[0]"]


# -- the command --


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run `publisher`."""
    code = main([*arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_convert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest on stdout, what is not carried over on stderr, and nothing written."""
    folder = write(tmp_path, {"plugin.json": {"name": "sms", "version": "1.0.0", "db": "mongo"}})
    code, out, err = run(capsys, "convert", str(folder))
    assert code == 0
    assert json.loads(out)["id"] == "sms"
    assert "read as a Nexidra manifest" in err
    assert "$.db: not in the registry's manifest" in err
    assert not (folder / "manifest.json").exists()
    code, out, err = run(capsys, "convert", str(folder), "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["manifest"]["id"] == "sms"
    assert document["notes"][0]["path"] == "$.db"
    assert document["written"] is None


def test_convert_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--write` makes a manifest.json that counts from then on; one that is there is replaced with --force only."""
    folder = write(tmp_path, {"manifest.json": NEXUS, "plugin.py": b""})
    before = (folder / "manifest.json").read_bytes()
    code, _, err = run(capsys, "convert", str(folder), "--write")
    assert (code, (folder / "manifest.json").read_bytes()) == (3, before)
    assert "no copy is kept" in err
    assert run(capsys, "convert", str(folder), "--write", "--force")[0] == 0
    assert load_source(folder).form == "registry manifest"
    assert check_source(folder) == []
    code, _, err = run(capsys, "convert", str(folder), "--write")
    assert (code, "already" in err) == (0, True)


def test_convert_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What must be put right first is listed, with the exit code of documents."""
    code, out, err = run(
        capsys, "convert", str(write(tmp_path, {"plugin.json": {"name": "x", "version": "x"}}))
    )
    assert (code, out) == (4, "")
    assert "$.version: expected a version" in err


# -- whatever stands there --

NAMES = st.sampled_from(
    [
        *(
            "id",
            "name",
            "version",
            "title",
            "tags",
            "author",
            "email",
            "dependencies",
            "permissions",
            "configuration",
        ),
        *(
            "api",
            "api_endpoints",
            "events",
            "ui",
            "features",
            "compatibility",
            "health_check",
            "icon",
            "screenshots",
        ),
        *(
            "plugins",
            "packages",
            "nexus",
            "python",
            "schema",
            "defaults",
            "type",
            "default",
            "properties",
            "required",
        ),
        *(
            "prefix",
            "rate_limit",
            "menu",
            "widgets",
            "platforms",
            "min_nexus_version",
            "nexus_version",
            "repository",
        ),
        *(
            "url",
            "license",
            "server",
            "lastUpdated",
            "manifestUrl",
            "endpoint",
            "enabled",
            "artifacts",
            "requires",
        ),
        *(
            "minimum",
            "secret",
            "keywords",
            "system",
            "homepage",
            "checksum",
            "project",
            "tool",
            "urls",
            "authors",
        ),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "1.0.0", ">=1", "a.json", "b.yaml", "../x", "${{ x }}", "https://a.example", "/p", "x<y>"]
    )
    | st.text(max_size=8)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
MANIFESTS = st.dictionaries(NAMES, TREES, max_size=8)


def try_all(files: MemoryFiles, name: str) -> None:
    """Convert, and write a version; nothing but the project's own errors, and a valid manifest or problems."""
    try:
        found = detect(files, name)
        if found.convert is None:
            return
        made = found.convert("repo")
    except RegistryError as e:
        assert e.message  # noqa: PT017  (any of the tree is right)
        return
    if not made.problems:
        source_problems(made.raw, "x")  # says what is wrong, or nothing; never raises
        try:
            changed = made.with_version("3.2.1")
        except PublishError:
            return
        again = detect(MemoryFiles({**files.files, **changed}), name)
        assert again.convert is not None
        assert again.convert("repo").raw["version"] == "3.2.1"


@settings(max_examples=150, deadline=None)
@given(raw=MANIFESTS, extra=TREES, name=st.sampled_from(["plugin.json", "manifest.json"]))
def test_any_json(raw: dict[str, Any], extra: Any, name: str) -> None:
    """Whatever JSON says, an adapter answers."""
    other = json.dumps(extra).encode()
    try_all(
        MemoryFiles(
            {name: json.dumps(raw).encode(), "permissions.json": other, "a.json": other, "b.yaml": other}
        ),
        name,
    )


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=60), readme=st.binary(max_size=60), requirements=st.text(max_size=40))
def test_any_bytes(data: bytes, readme: bytes, requirements: str) -> None:
    """Whatever bytes stand in the files, an adapter answers."""
    files = {
        "readme.txt": readme,
        "requirements.txt": requirements.encode(errors="replace"),
        "permissions.json": data,
    }
    try_all(
        MemoryFiles({**files, "x.php": b"<?php\n/* Plugin Name: X" + data + b"\nVersion: 1.0.0\n" + readme}),
        "x.php",
    )
    try_all(MemoryFiles({**files, "plugin.json": b'{"name": "x", "version": "1.0.0"}'}), "plugin.json")
    try_all(MemoryFiles({**files, "pyproject.toml": b'[tool.plugin]\nname = "x"\n' + data}), "pyproject.toml")
