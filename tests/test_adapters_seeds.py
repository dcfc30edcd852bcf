"""Every manifest example that people already have, taken verbatim, with the files that it names: valid, and publishable.

The examples stand in `cases/manifests/*.md` as they were found, text around them included.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from publisher.check import check_manifest, check_source
from publisher.cli.main import main
from publisher.source import build_manifest, load_source, read_artifact, with_versions
from registry_client.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).resolve().parent / "cases" / "manifests"
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "api_key": {"type": "string", "writeOnly": True},
        "database_name": {"type": "string"},
        "cache_ttl": {"type": "integer", "minimum": 0},
        "max_retries": {"type": "integer"},
        "timeout": {"type": "number"},
    },
}
PYTHON = b"def create_plugin():\n    return None\n"
NEXIDRA = {
    "plugin.py": PYTHON,
    "permissions.json": b'{"admin": ["sms.send", "sms.read"], "user": ["sms.read"]}',
    "models.py": b"",
    "migrations/1.0.0_init.py": b"",
    "templates/dashboard.html": b"<p>sms</p>",
    "requirements.txt": b"httpx>=0.27  # HTTP\n",
}
BASICS = {
    "__init__.py": b"",
    "plugin.py": PYTHON,
    "requirements.txt": b"fastapi>=0.110\n-r config/more.txt\n",
    "config/more.txt": b"redis>=4.5.0 ; python_version >= '3.11'\n",
    "config/default.yaml": b"enabled: true\n",
    "config/production.yaml": b"max_retries: 5\n",
    "schemas/models.py": b"",
    "tests/test_plugin.py": b"",
    "README.md": b"# My Awesome Plugin\n",
}
RICH = {
    "__init__.py": b"",
    "plugin.py": PYTHON,
    "pyproject.toml": b'[project]\nname = "my-awesome-plugin"\nversion = "1.0.0"\n',
    "config/schema.json": json.dumps(SCHEMA).encode(),
    "config/default.yaml": b"# Settings\ncache_ttl: 300\nmax_retries: 3\ntimeout: 2.5\n",
    "icon.png": b"\x89PNG\r\n\x1a\n",
    "screenshots/dashboard.png": b"\x89PNG\r\n\x1a\n",
    "screenshots/settings.png": b"\x89PNG\r\n\x1a\n",
    "LICENSE": b"MIT",
}
HEADER = b"""<?php
/**
 * Plugin Name:       IGNY8 WP Bridge
 * Plugin URI:        https://igny8.example/bridge
 * Description:       Connects a site.
 * Version:           1.0.0
 * Requires at least: 5.9
 * Requires PHP:      7.4
 * Author:            IGNY8
 * License:           GPL v2 or later
 * Text Domain:       igny8-wp-bridge
 */
"""
README = b"""=== IGNY8 WP Bridge ===
Contributors: igny8
Tags: content, seo
Requires at least: 5.9
Tested up to: 6.7
Stable tag: 1.0.0
Requires PHP: 7.4
License: GPLv2 or later

Connects a site.

== Description ==

More about it.

== Changelog ==

= 1.0.0 =
* First release.

= 0.9.0 =
* A trial.
"""


def texts_of(name: str) -> str:
    """One file of examples."""
    return (CASES / name).read_text("utf-8")


def objects_in(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON object in a text that says a name or lists plugins, as written and as parsed."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            at += 1
            continue
        if isinstance(value, dict) and {"name", "plugins"} & set(value):
            yield text[at:end], value
        at = end


@dataclass(frozen=True)
class Example:
    """One example, and the folder that it stands in.

    Attributes:
        source: the file of examples; the number of the object in it.
        path: what the manifest is called.
        form: what it must be recognised as.
        files: the rest of the folder.
        id: the id it must get.
        ecosystem: of its one artifact; None without one.
        notes: words of what must be noted, one for each note.
    """

    source: tuple[str, int]
    path: str
    form: str
    id: str
    ecosystem: str | None
    files: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


ROLES = ("permissions.json.admin: whom", "permissions.json.user: whom")
SIGNED = ("$.checksum: left out", "$.signature: left out", "$.verified: left out")
EXAMPLES = {
    "000 published": Example(
        ("000-nexidra.md", 0), "plugin.json", "Nexidra manifest", "sms", "python", NEXIDRA, ROLES
    ),
    "000 published, as manifest.json": Example(
        ("000-nexidra.md", 0), "manifest.json", "Nexidra manifest", "sms", "python", {"plugin.py": PYTHON}
    ),
    "000 registry entry": Example(
        ("000-nexidra.md", 1), "plugin.json", "Nexidra manifest", "sms", "python", NEXIDRA, SIGNED + ROLES
    ),
    "000 signed entry": Example(
        ("000-nexidra.md", 2),
        "manifest.json",
        "Nexidra manifest",
        "sms",
        "python",
        {"plugin.py": PYTHON},
        SIGNED,
    ),
    "001 flat": Example(
        ("001-nexus-basics.md", 0), "manifest.json", "Nexus manifest", "my_awesome_plugin", "python", BASICS
    ),
    "002 placeholders": Example(
        ("002-dashboard.md", 1),
        "manifest.json",
        "dashboard manifest",
        "calander2",
        None,
        notes=(
            *("$.id: the repository's", "$.name: the repository's", "$.ui.remoteEntry: the repository's"),
            *("$.server.routeBase: the repository's", "$.server.deploymentUrl: the repository's"),
            *("$.manifestUrl: left out", "$.lastUpdated: left out"),
        ),
    ),
    "003 rich": Example(
        ("003-nexus-guide.md", 0),
        "manifest.json",
        "Nexus manifest",
        "my_awesome_plugin",
        "python",
        RICH,
        ("$.configuration.schema['$schema']: read as",),
    ),
}
CATALOGUES = (("002-dashboard.md", 0), ("002-dashboard.md", 2))


def make(folder: Path, example: Example) -> Path:
    """The folder of an example, in a folder named as its repository."""
    text = list(objects_in(texts_of(example.source[0])))[example.source[1]][0]
    place = folder / "calander2"
    for path, data in {**example.files, example.path: text.encode()}.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    return place


def publishable(folder: Path) -> dict[str, Any]:
    """The manifest that would be signed, checked against the published schema, and the packed artifact looked into."""
    assert check_source(folder) == []
    source = load_source(folder)
    version = source.model.version
    artifacts = []
    for index, entry in enumerate(source.model.artifacts or ()):
        found = read_artifact(source, index, version=version)
        assert found is not None
        with zipfile.ZipFile(io.BytesIO(found[1])) as archive:
            assert f"{source.model.id}/{source.path.name}" in archive.namelist()
        url = f"artifacts/sha256/{'a' * 64}/{found[0]}"
        digest, size = f"sha256:{'a' * 64}", len(found[1])
        artifacts.append({"ecosystem": entry.ecosystem, "url": url, "digest": digest, "size": size})
    built = build_manifest(source, version=version, artifacts=artifacts)
    assert check_manifest(built, "x", signed=False) == []
    return built


def test_no_example_is_forgotten() -> None:
    """Each JSON object of the examples is tried below, or is a catalogue."""
    there = {
        (path.name, number)
        for path in sorted(CASES.glob("*.md"))
        for number, _ in enumerate(objects_in(path.read_text("utf-8")))
    }
    assert there == {example.source for example in EXAMPLES.values()} | set(CATALOGUES)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_verbatim(tmp_path: Path, example: Example) -> None:
    """It is recognised, checked without a problem, packed, and what would be signed is valid."""
    folder = make(tmp_path, example)
    built = publishable(folder)
    source = load_source(folder)
    assert (source.form, built["id"]) == (example.form, example.id)
    assert [entry["ecosystem"] for entry in built.get("artifacts", [])] == (
        [example.ecosystem] if example.ecosystem else []
    )
    notes = [str(note) for note in source.notes]
    assert len(notes) == len(example.notes), notes
    for note, expected in zip(notes, example.notes, strict=True):
        assert note.startswith(expected)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_version_in_place(tmp_path: Path, example: Example) -> None:
    """Another version changes just that."""
    source = load_source(make(tmp_path, example))
    before = source.path.read_bytes()
    current = source.model.version.encode()
    assert with_versions(source, "7.8.9") == {
        source.path.name: before.replace(b'"version": "' + current, b'"version": "7.8.9', 1).replace(
            b'"version":"' + current, b'"version":"7.8.9', 1
        )
    }


@pytest.mark.parametrize("source", CATALOGUES)
def test_a_catalogue_is_no_manifest(tmp_path: Path, source: tuple[str, int]) -> None:
    """A registry.json is told from a plugin's manifest; what it lists of one plugin is one."""
    text, value = list(objects_in(texts_of(source[0])))[source[1]]
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(ManifestError, match="a registry's catalogue"):
        load_source(tmp_path / "registry.json")
    for entry in value["plugins"]:
        (tmp_path / "manifest.json").write_text(json.dumps(entry))
        built = publishable(tmp_path)
        assert (built["id"], built["artifacts"][0]["ecosystem"]) == ("plugin-id", "custom")


def test_flat_nexus(tmp_path: Path) -> None:
    """What the flat manifest says stands where the registry says it."""
    built = publishable(make(tmp_path, EXAMPLES["001 flat"]))
    settings = built["configuration"]
    assert settings["required"] == ["api_key"]
    assert settings["properties"]["api_key"] == {
        "type": "string",
        "writeOnly": True,
        "description": "API key for external service",
    }
    assert settings["properties"]["max_retries"] == {
        "type": "integer",
        "default": 3,
        "minimum": 1,
        "maximum": 10,
        "description": "Maximum number of retry attempts",
    }
    assert built["requires"] == {
        "host": {"nexus": ">=0.1.0"},
        "python": ">=3.11",
        "packages": ["fastapi>=0.110", "redis>=4.5.0 ; python_version >= '3.11'"],
    }
    assert built["name"] == "My Awesome Plugin"
    assert built["author"] == {"name": "Your Name", "email": "your.email@example.com"}
    assert built["keywords"] == ["api", "integration", "automation"]
    assert built["permissions"] == ["database.read", "database.write", "events.publish", "events.subscribe"]
    assert built["api"]["endpoints"][1] == {
        "method": "POST",
        "path": "/action",
        "description": "Perform plugin action",
    }
    assert built["events"]["subscribes"] == ["user.created", "system.maintenance"]


def test_rich_nexus(tmp_path: Path) -> None:
    """Settings out of files, pictures in the archive, ranges of host and plugins, health."""
    built = publishable(make(tmp_path, EXAMPLES["003 rich"]))
    settings = built["configuration"]
    assert settings["required"] == ["api_key", "database_name"]
    assert settings["properties"]["cache_ttl"] == {"type": "integer", "minimum": 0, "default": 300}
    assert settings["properties"]["timeout"]["default"] == 2.5
    assert built["packaged"] == {
        "icon": "icon.png",
        "screenshots": ["screenshots/dashboard.png", "screenshots/settings.png"],
    }
    assert built["requires"] == {
        "host": {"nexus": ">=1.0.0,<=2.0.0"},
        "python": ">=3.11",
        "platforms": ["linux", "darwin", "win32"],
        "plugins": {"auth_plugin": ">=1.0.0", "email_plugin": ">=1.0.0"},
        "packages": ["pydantic>=2.0.0", "httpx>=0.24.0", "redis>=4.5.0"],
        "system": ["redis-server>=6.0"],
    }
    assert built["api"] == {
        "prefix": "/api/awesome",
        "version": "v1",
        "rateLimit": {"requests": 100, "period": 60},
    }
    assert built["server"] == {
        "routeBase": "/api/awesome",
        "healthCheck": "/health",
        "healthCheckInterval": 30,
        "healthCheckTimeout": 5,
    }
    assert built["ui"]["menu"] == {"title": "My Awesome Plugin", "icon": "fas fa-rocket", "position": 10}
    assert built["ui"]["widgets"][0]["id"] == "awesome_stats"
    assert built["features"]["graphql"] is False
    assert built["repository"] == "https://github.com/yourusername/my-awesome-plugin.git"


def test_dashboard(tmp_path: Path) -> None:
    """The workflow's placeholders become the repository's name."""
    built = publishable(make(tmp_path, EXAMPLES["002 placeholders"]))
    assert built["name"] == "calander2"
    assert built["ui"]["remoteEntry"] == "https://calander2-ui.pages.dev/assets/remoteEntry.js"
    assert built["server"]["routeBase"] == "/api/integrations/calander2"


def wordpress_files() -> dict[str, bytes]:
    """The folder of the WordPress example: its class verbatim below a header."""
    text = texts_of("004-wordpress.md")
    code = text[: text.index("# Update version")].replace("// In igny8-wp-bridge.php\n", "")
    return {
        "igny8-wp-bridge.php": HEADER + code.rstrip().encode() + b"\n}\n",
        "readme.txt": README,
        "includes/client.php": b"<?php\n",
        "assets/admin.css": b"",
    }


def test_wordpress(tmp_path: Path) -> None:
    """A plugin's header and readme say it all; a new version goes where the build script put it."""
    for path, data in wordpress_files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    built = publishable(tmp_path)
    assert {name: built[name] for name in ("id", "name", "version", "license", "keywords", "changelog")} == {
        "id": "igny8-wp-bridge",
        "name": "IGNY8 WP Bridge",
        "version": "1.0.0",
        "license": "GPL-2.0-or-later",
        "keywords": ["content", "seo"],
        "changelog": "* First release.",
    }
    assert built["requires"] == {"host": {"wordpress": ">=5.9"}, "system": ["php>=7.4"]}
    assert built["artifacts"][0]["ecosystem"] == "wordpress"
    source = load_source(tmp_path)
    assert [str(note) for note in source.notes if "Tested up to" in str(note)]
    files = with_versions(source, "1.0.1")
    old = wordpress_files()
    assert files["readme.txt"] == old["readme.txt"].replace(b"Stable tag: 1.0.0", b"Stable tag: 1.0.1")
    assert files["igny8-wp-bridge.php"] == old["igny8-wp-bridge.php"].replace(b"1.0.0", b"1.0.1")
    assert files["igny8-wp-bridge.php"].count(b"1.0.1") == 2


def test_published_and_bumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each form goes into a registry as it is, and its next version with `--bump`, which is written in place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    places = {"sms": "000 published", "my_awesome_plugin": "003 rich", "calander2": "002 placeholders"}
    folders = {plugin_id: make(tmp_path / plugin_id, EXAMPLES[name]) for plugin_id, name in places.items()}
    folders["igny8-wp-bridge"] = tmp_path / "wp"
    folders["acme-tool"] = tmp_path / "tool"
    project = b'[project]\nname = "acme-tool"\nversion = "1.0.0" # now\n[tool.plugin]\n'
    for folder, files in (
        (tmp_path / "wp", wordpress_files()),
        (tmp_path / "tool", {"pyproject.toml": project}),
    ):
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    allowed = [word for plugin_id in folders for word in ("--plugin", plugin_id)]
    steps = [
        ["registry", "init", "registry", "--base-url", "https://r.example", "--artifacts-in-tree"],
        ["keygen", "--out", "p.pem"],
        [
            *("registry", "policy", "add-publisher", "registry", "acme", *allowed),
            *("--key-file", "p.pem.pub.json", "--key", "registry-keys/targets.pem"),
        ],
        *(["publish", str(folder), "--to", "registry", "--key", "p.pem"] for folder in folders.values()),
        *(["publish", str(folder), "--to", "registry", "--key", "p.pem", "--bump", "minor"] for folder in folders.values()),
        ["registry", "register", "registry", "--key", "registry-keys/online.pem"],
        ["registry", "audit", "registry"],
    ]  # fmt: skip
    for step in steps:
        assert main(step) == 0, (step, capsys.readouterr())
    assert "warning: manifest.json: $.lastUpdated: left out" in capsys.readouterr().err
    listed = json.loads((tmp_path / "registry" / "registry.json").read_bytes())["plugins"]
    assert {line["id"]: line["version"] for line in listed} == dict.fromkeys(folders, "1.1.0")
    assert (tmp_path / "tool" / "pyproject.toml").read_bytes() == project.replace(b"1.0.0", b"1.1.0")
    assert b"Stable tag: 1.1.0" in (tmp_path / "wp" / "readme.txt").read_bytes()
