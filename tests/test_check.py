"""What `publisher check` finds, in manifests and in plugins' folders; and that the examples are sound."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import importlib.util
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from publisher.check import check_manifest, check_source, hints_for
from publisher.source import build_manifest, load_source, read_artifact
from registry_client.errors import ConfigError
from registry_client.models import Manifest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DIGEST = f"sha256:{'ab' * 32}"
MANIFEST: dict[str, Any] = {
    "kind": "manifest",
    "schemaVersion": 1,
    "id": "x",
    "name": "X",
    "version": "1.0.0",
    "initialStatus": "released",
    "ui": {"remoteEntry": "https://x.example/1/remoteEntry.js", "expose": "./App"},
    "server": {"routeBase": "/api/x", "deploymentUrl": "https://api.example"},
    "artifacts": [
        {"ecosystem": "custom", "url": f"artifacts/sha256/{'ab' * 32}/x.zip", "digest": DIGEST, "size": 1}
    ],
    "requires": {"plugins": {"y": ">=1"}, "packages": ["httpx>=0.27; python_version < '4'"]},
    "configuration": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"$ref": {"$ref": "#/$defs/key"}, "const": {"const": {"$ref": "http://data"}}},
        "$defs": {"key": {"type": "string", "writeOnly": True}},
    },
}
SIGNATURE = {"keyid": "0" * 64, "sig": "00"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good manifest with one member (steps joined by spaces) set."""
    manifest = copy.deepcopy(MANIFEST)
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split()]
    at: Any = manifest
    for step in steps:
        at = at[step]
    at[last] = value
    return manifest


def test_good_manifest() -> None:
    """Nothing to report, signed or not; signatures are required only where they belong."""
    assert check_manifest(MANIFEST, "here", signed=False) == []
    assert check_manifest({**MANIFEST, "signatures": [SIGNATURE]}, "here", signed=True) == []
    (problem,) = check_manifest(MANIFEST, "here", signed=True)
    assert str(problem) == "$.signatures: is required, but missing"


WIDGET = {"id": "w", "title": "W"}
BAD = [
    ("ui remoteEntry", "http://x.example/r.js", "$.ui.remoteEntry", "expected https://"),
    ("ui remoteEntry", "http://127.0.0.1.x.example/r.js", "$.ui.remoteEntry", "expected https://"),
    ("server deploymentUrl", "http://10.0.0.1", "$.server.deploymentUrl", "expected https://"),
    (
        "ui widgets",
        [WIDGET, {"id": "v", "title": "V"}, WIDGET],
        "$.ui.widgets[2].id",
        "$.ui.widgets[0] already",
    ),
    ("artifacts 0 url", "files/x.zip", "$.artifacts[0].url", f"expected artifacts/sha256/{'ab' * 32}/<name>"),
    ("artifacts 0 url", f"artifacts/sha256/{'cd' * 32}/x.zip", "$.artifacts[0].url", "expected artifacts/"),
    ("artifacts 0 url", "../x.zip", "$.artifacts[0].url", "expected"),
    ("requires packages", ["httpx >> 1"], "$.requires.packages[0]", "PEP 508"),
    ("requires plugins", {"x": ">=1"}, "$.requires.plugins.x", "cannot require itself"),
    ("requires python", "three", "$.requires.python", "PEP 440"),
    ("id", "com1", "$.id", "device name"),
    ("lastUpdated", "2026-02-31T00:00:00Z", "$.lastUpdated", "day"),
    ("configuration", {"type": "text"}, "$.configuration.type", ""),
    (
        "configuration",
        {"properties": {"a": {"pattern": "("}}},
        "$.configuration.properties.a.pattern",
        "regex",
    ),
    ("configuration", {"required": "a"}, "$.configuration.required", "expected an array"),
    ("configuration", {"$ref": "#/$defs/no"}, "$.configuration['$ref']", "refers to nothing"),
    ("configuration", {"$ref": "https://e.example/s"}, "$.configuration['$ref']", "inside this schema"),
    ("configuration", {"items": [{"$ref": "x"}]}, "$.configuration.items", "expected"),
    (
        "configuration",
        {"$id": "https://e.example/s", "anyOf": [{"$ref": "other"}]},
        "$.configuration.anyOf[0]['$ref']",
        "inside this schema",
    ),
    (
        "configuration",
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        "$.configuration['$schema']",
        "2020-12",
    ),
    ("changelog", "x" * 20_001, "$.changelog", "at most 20000 characters"),
]


@pytest.mark.parametrize(("where", "value", "path", "message"), BAD)
def test_bad_manifest(where: str, value: Any, path: str, message: str) -> None:
    """What schema, model and neither can say is reported at its path, once."""
    problems = check_manifest(changed(where, value), "here", signed=False)
    assert [problem.path for problem in problems] == [path], problems
    assert message in problems[0].message


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.8.9.1", "[::1]:3000", "app.localhost"])
def test_http_on_this_machine(host: str) -> None:
    """Development servers need no certificate."""
    assert check_manifest(changed("server deploymentUrl", f"http://{host}"), "here", signed=False) == []


def test_everything_at_once() -> None:
    """Schema, model and meaning report together."""
    manifest = changed("ui remoteEntry", "http://x.example/r.js")
    manifest |= {"nmae": "X", "homepage": "https://a:b@c.example", "requires": {"plugins": {"x": "?"}}}
    del manifest["name"]
    found = [problem.path for problem in check_manifest(manifest, "here", signed=False)]
    assert sorted(found) == ["$.homepage", "$.name", "$.nmae", "$.requires.plugins.x", "$.ui.remoteEntry"]


def test_size_as_written() -> None:
    """A manifest that nobody would read is not signed."""
    big = changed("configuration", {"description": "x" * 270_000})
    (problem,) = check_manifest(big, "here", signed=False)
    assert "at most 262144" in problem.message


@pytest.mark.parametrize("value", [None, 1, "x", [], [1], {}, {"widgets": 1}, True])
@pytest.mark.parametrize("name", [*MANIFEST, "api", "events", "provenance", "signatures"])
def test_any_type_anywhere(name: str, value: Any) -> None:
    """A value of another type is a problem or none, never a failure of the check itself."""
    for signed in (True, False):
        check_manifest({**MANIFEST, name: value}, "here", signed=signed)


def plugin(folder: Path, **members: Any) -> Path:
    """A plugin's folder with one file and a source manifest."""
    raw = {"id": "x", "name": "X", "artifacts": [{"ecosystem": "python", "pack": "."}], **members}
    (folder / "plugin.py").write_bytes(b"")
    (folder / "manifest.json").write_text(json.dumps(raw), encoding="utf-8")
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_good_source(tmp_path: Path) -> None:
    """No problems, nothing written; hints are not problems."""
    plugin(tmp_path)
    before = snapshot(tmp_path)
    assert check_source(tmp_path) == []
    assert check_source(tmp_path / "manifest.json") == []
    assert snapshot(tmp_path) == before
    assert len(hints_for(load_source(tmp_path))) == 4


def test_source_and_files_together(tmp_path: Path) -> None:
    """Wrong members, files that cannot be packed and missing files come in one list."""
    entries = [
        {"ecosystem": "python", "pack": "."},
        {"ecosystem": "custom", "path": "gone.zip"},
        {"ecosystem": "custom", "pack": "nowhere"},
        {"ecosystem": "npm", "pack": "."},
    ]
    plugin(
        tmp_path, id="BAD", artifacts=entries, ui={"remoteEntry": "http://x.example/r.js", "expose": "./A"}
    )
    (tmp_path / ".env").write_text("A=1", encoding="utf-8")
    (tmp_path / "link").symlink_to("plugin.py")
    found = [str(problem) for problem in check_source(tmp_path)]
    expected = [
        r"\$\.id: expected an id",
        r"\$\.artifacts\[3\]\.ecosystem: expected",
        r"\$\.ui\.remoteEntry: expected https",
        r"\$\.artifacts\[0\]\.pack: \.: \.env: holds secrets",
        r"\$\.artifacts\[0\]\.pack: \.: link: is a symbolic link",
        r"\$\.artifacts\[1\]\.path: gone\.zip: no such file",
        r"\$\.artifacts\[2\]\.pack: nowhere: no such folder",
    ]
    for pattern in expected:
        assert any(re.match(pattern, text) for text in found), (pattern, found)
    assert len(found) == len(expected) + 2  # the last entry packs the same folder


def test_two_files_of_one_name(tmp_path: Path) -> None:
    """Two artifacts of one name would overwrite each other where they are placed."""
    entries = [{"ecosystem": "custom", "path": f"{folder}/x.zip"} for folder in "ab"]
    plugin(tmp_path, artifacts=entries)
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.zip").write_bytes(folder.encode())
    (problem,) = check_source(tmp_path)
    assert str(problem) == "$.artifacts[1].path: gives a file named x.zip, as $.artifacts[0] does"


@pytest.mark.parametrize("text", ["", "[]", '{"id": 1, "id": 2}', "\xff"])
def test_source_that_is_no_json(tmp_path: Path, text: str) -> None:
    """One problem at the top, no exception."""
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    assert [problem.path for problem in check_source(tmp_path)] == ["$"]


def test_no_source(tmp_path: Path) -> None:
    """A folder without a source manifest is a wrong argument, not a wrong manifest."""
    with pytest.raises(ConfigError):
        check_source(tmp_path)


NAMES = ["calendar", "hello-world", "wp-bridge"]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_sound(name: str) -> None:
    """Each example can be published as it is: source, files, and the manifest that is made of them."""
    assert check_source(EXAMPLES / name) == []
    source = load_source(EXAMPLES / name)
    version = source.model.version
    assert source.model.id == name
    assert hints_for(source) == []
    artifacts = []
    for index, entry in enumerate(source.model.artifacts or ()):
        found = read_artifact(source, index, version=version)
        assert found is not None
        digest = hashlib.sha256(found[1]).hexdigest()
        url = f"artifacts/sha256/{digest}/{found[0]}"
        artifacts.append(
            {"ecosystem": entry.ecosystem, "url": url, "digest": f"sha256:{digest}", "size": len(found[1])}
        )
    manifest = build_manifest(source, version=version, artifacts=artifacts)
    assert check_manifest(manifest, name, signed=False) == []
    Manifest.model_validate_json(json.dumps({**manifest, "signatures": [SIGNATURE]}))


def test_every_example_is_tested() -> None:
    """No example goes without the checks here."""
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/manifest.json")) == NAMES


def test_calendar_integrity() -> None:
    """The remote entry that the manifest pins is the one in the example."""
    source = load_source(EXAMPLES / "calendar")
    entry = (EXAMPLES / "calendar/src/client/assets/remoteEntry.js").read_bytes()
    digest = base64.b64encode(hashlib.sha384(entry).digest()).decode()
    assert source.raw["ui"]["integrity"] == f"sha384-{digest}"


def test_hello_world_runs(tmp_path: Path) -> None:
    """The packed Python plugin works where FastAPI is not installed, and knows its published version."""
    found = read_artifact(load_source(EXAMPLES / "hello-world"), 0, version="1.2.0")
    assert found is not None
    with zipfile.ZipFile(io.BytesIO(found[1])) as archive:
        assert archive.namelist() == [
            f"hello-world/{name}" for name in ("README.md", "manifest.json", "plugin.py")
        ]
        archive.extractall(tmp_path)
    spec = importlib.util.spec_from_file_location("hello_world", tmp_path / "hello-world" / "plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sent: list[tuple[str, dict[str, Any]]] = []

    async def publish(event: str, data: dict[str, Any]) -> None:
        sent.append((event, data))

    async def life() -> None:
        hello = module.create_plugin({"greeting": "Hi"}, publish)
        assert await hello.initialize()
        assert await hello.greet("Ada") == "Hi, Ada!"
        assert await hello.health_check() == {"healthy": True, "version": "1.2.0", "greeted": 1}
        await hello.shutdown()
        assert not (await hello.health_check())["healthy"]

    asyncio.run(life())
    assert sent == [("hello-world.greeted", {"name": "Ada"})]


def test_wp_bridge_versions_agree() -> None:
    """WordPress reads the version in the header; it must be the manifest's, or updates would never end."""
    folder = EXAMPLES / "wp-bridge"
    version = load_source(folder).model.version
    php = (folder / "wp-bridge/wp-bridge.php").read_text(encoding="utf-8")
    readme = (folder / "wp-bridge/readme.txt").read_text(encoding="utf-8")
    assert re.findall(r"^ \* Version: (.+)$", php, re.MULTILINE) == [version]
    assert re.findall(r"^const VERSION  = '(.+)';$", php, re.MULTILINE) == [version]
    assert re.findall(r"^Stable tag: (.+)$", readme, re.MULTILINE) == [version]
