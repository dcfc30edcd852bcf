"""The source manifest: read, its version changed in place, made into a manifest."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.source import (
    Source,
    SourceManifest,
    build_manifest,
    bump,
    fill_url,
    find_source,
    load_source,
    read_artifact,
    with_version,
)
from registry_client.errors import ConfigError, ManifestError, PublishError
from registry_client.models import Manifest

if TYPE_CHECKING:
    from registry_client.models.base import Document

DIGEST = f"sha256:{'ab' * 32}"
PLUGIN: dict[str, Any] = {"id": "x", "name": "X", "artifacts": [{"ecosystem": "python", "pack": "."}]}


def write(folder: Path, content: Any) -> Path:
    """A plugin's folder with this source manifest: JSON of an object, or a text as it is."""
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "manifest.json").write_bytes(text.encode())
    return folder


def problems_of(folder: Path) -> dict[str, str]:
    """What loading reports, by path."""
    with pytest.raises(ManifestError) as caught:
        load_source(folder)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


def test_folder_or_file(tmp_path: Path) -> None:
    """PATH may be the plugin's folder or the file itself."""
    write(tmp_path, PLUGIN)
    assert find_source(tmp_path) == find_source(tmp_path / "manifest.json") == tmp_path / "manifest.json"
    source = load_source(tmp_path)
    assert (source.path, source.folder) == (tmp_path / "manifest.json", tmp_path)
    assert (source.model.version, source.model.initial_status) == ("0.1.0", "released")


def test_nothing_there(tmp_path: Path) -> None:
    """A missing file is named, with the way out."""
    with pytest.raises(ConfigError, match=r"manifest\.json: no such file") as caught:
        load_source(tmp_path)
    assert "or the file itself" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "expected a JSON object"),
        ('\ufeff{"id": "x"}', "byte order mark"),
        ('{"id": "x", "id": "y"}', "stands twice"),
        ('{"id": "x", "n": NaN}', "NaN is not JSON"),
        ('{"name": "' + "x" * 300_000 + '"}', "at most 262144 are allowed"),
    ],
)
def test_no_json(tmp_path: Path, text: str, message: str) -> None:
    """What is refused everywhere is refused here."""
    with pytest.raises(ManifestError, match=message):
        load_source(write(tmp_path, text))


def test_all_problems_once_per_path(tmp_path: Path) -> None:
    """Schema and model speak once for each path, and neither hides the other's."""
    found = problems_of(
        write(
            tmp_path,
            {
                "id": "nul",
                "version": "1",
                "descripton": "x",
                "requires": {"plugins": {"Bad!": ">=1", "ok": "whatever"}, "python": "3"},
                "ui": {"expose": "./X"},
                "homepage": "https://user:pw@a.example",
                "manifestUrl": "https://r.example/x",
            },
        )
    )
    assert set(found) == {
        *("$.id", "$.name", "$.version", "$.descripton", "$.ui", "$.homepage", "$.manifestUrl"),
        *("$.requires.plugins['Bad!']", "$.requires.plugins.ok", "$.requires.python"),
    }
    assert "device name" in found["$.id"]
    assert "filled in by publishing" in found["$.manifestUrl"]
    assert "pw" not in str(found)


def test_nulls_mean_left_out(tmp_path: Path) -> None:
    """A source may say null for a member it does not use; in the settings' schema null stays."""
    raw = {**PLUGIN, "homepage": None, "ui": {"menu": {"title": "X", "parent": None}}}
    source = load_source(write(tmp_path, {**raw, "configuration": {"default": None}}))
    built = build_manifest(source, version="1.0.0", artifacts=[])
    assert "homepage" not in built
    assert built["ui"] == {"menu": {"title": "X"}}
    assert built["configuration"] == {"default": None}


@pytest.mark.parametrize(
    ("entry", "ok"),
    [
        ({"pack": "."}, True),
        ({"pack": "a/b"}, True),
        ({"path": "dist/x.whl", "url": "https://a.example/{id}-{version}/{name}"}, True),
        ({"url": "https://a.example/x", "digest": DIGEST, "size": 1}, True),
        ({"url": f"artifacts/sha256/{'ab' * 32}/x", "digest": DIGEST, "size": 1}, True),
        ({}, False),
        ({"url": "https://a.example/x"}, False),
        ({"pack": ".", "path": "x"}, False),
        ({"pack": ".", "digest": DIGEST}, False),
        ({"pack": ".", "url": "https://a.example/x", "digest": DIGEST, "size": 1}, False),
        ({"url": "https://a.example/{id}", "digest": DIGEST, "size": 1}, False),
        ({"pack": ".", "url": "https://a.example/{name"}, False),
        ({"pack": ".", "url": "https://a.example/{tag}"}, False),
        ({"pack": ".", "url": "{name}"}, False),
        ({"pack": "../up"}, False),
        ({"pack": "/abs"}, False),
        ({"path": "."}, False),
    ],
)
def test_artifact_entries(tmp_path: Path, entry: dict[str, Any], ok: bool) -> None:
    """Packed, built, or placed elsewhere: exactly one, inside the plugin's folder."""
    folder = write(tmp_path, {**PLUGIN, "artifacts": [{"ecosystem": "custom", **entry}]})
    if ok:
        assert load_source(folder).model.artifacts
    else:
        assert all(path.startswith("$.artifacts[0]") for path in problems_of(folder))


def test_fill_url() -> None:
    """Placeholders become the version's own values."""
    url = fill_url(
        "https://a.example/{id}/v{version}/{name}", plugin_id="x", version="1.0.0", name="x-1.0.0.zip"
    )
    assert url == "https://a.example/x/v1.0.0/x-1.0.0.zip"


@pytest.mark.parametrize(
    ("version", "part", "expected"),
    [
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"),
        ("1.2.3-rc.1", "patch", "1.2.3"),
        ("1.2.3-rc.1", "minor", "1.3.0"),
        ("1.3.0-beta.2", "minor", "1.3.0"),
        ("1.3.0-beta.2", "major", "2.0.0"),
        ("2.0.0-alpha.0", "major", "2.0.0"),
        ("0.0.999999998", "patch", "0.0.999999999"),
    ],
)
def test_bump(version: str, part: Literal["patch", "minor", "major"], expected: str) -> None:
    """The next version; a prerelease becomes its release where that is the step."""
    assert bump(version, part) == expected


@pytest.mark.parametrize("version", ["1.2", "1.2.3\n", "v1.2.3", "0.0.999999999"])
def test_bump_refuses(version: str) -> None:
    """Outside the grammar before or after."""
    with pytest.raises(PublishError, match="cannot be bumped"):
        bump(version, "patch")


NAME = '"name": "X", "ui": {"menu": {"title": "version"}}'
TEXTS = [
    (f'{{"id": "x", "version": "1.0.0", {NAME}}}', f'{{"id": "x", "version": "2.0.0-rc.1", {NAME}}}'),
    (
        f'\r\n{{\r\n\t"version"\t:\t"1.0.0",\r\n\t"id": "x",\r\n\t{NAME}\r\n}}\r\n\r\n',
        f'\r\n{{\r\n\t"version"\t:\t"2.0.0-rc.1",\r\n\t"id": "x",\r\n\t{NAME}\r\n}}\r\n\r\n',
    ),
    (
        f'{{"api": {{"version": "1.0.0"}}, "\\u0076ersion":"1.0.0","id":"x", {NAME}}}',
        f'{{"api": {{"version": "1.0.0"}}, "\\u0076ersion":"2.0.0-rc.1","id":"x", {NAME}}}',
    ),
    (
        '{\n  "id": "x",\n  "name" : "Ünï",\n  "ui": {}\n}',
        '{\n  "id": "x",\n  "name" : "Ünï",\n  "version" : "2.0.0-rc.1",\n  "ui": {}\n}',
    ),
    (
        '{"ui":{"menu":{"title":"}\\""}},"id":"x","name":"X"}',
        '{"ui":{"menu":{"title":"}\\""}},"id":"x","name":"X","version":"2.0.0-rc.1"}',
    ),
]


@pytest.mark.parametrize(("before", "after"), TEXTS)
def test_with_version(tmp_path: Path, before: str, after: str) -> None:
    """Only the top-level version changes, or is put in; every other byte stays."""
    assert with_version(load_source(write(tmp_path, before)), "2.0.0-rc.1").decode() == after


def test_with_version_replaces_null(tmp_path: Path) -> None:
    """A version of null is a place to write it."""
    source = load_source(write(tmp_path, '{"id": "x", "name": "X", "version": null, "ui": {}}'))
    assert with_version(source, "1.0.0") == b'{"id": "x", "name": "X", "version": "1.0.0", "ui": {}}'


def test_with_version_refuses(tmp_path: Path) -> None:
    """No other version than the grammar's is ever written."""
    with pytest.raises(PublishError, match="expected a version"):
        with_version(load_source(write(tmp_path, PLUGIN)), '1.0.0"')


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    members=st.dictionaries(st.text(max_size=8), VALUES, max_size=5),
    indent=st.sampled_from([None, 0, 2, "\t"]),
    ascii_only=st.booleans(),
)
def test_with_version_on_any_object(
    members: dict[str, Any], indent: int | str | None, ascii_only: bool
) -> None:
    """Whatever else stands in the file, its meaning is the same but for the version."""
    raw = {**members, "name": "X"}
    text = json.dumps(raw, indent=indent, ensure_ascii=ascii_only)
    source = Source(SourceManifest.model_construct(id="x", name="X"), raw, Path("m"), Path(), text)
    changed = json.loads(with_version(source, "3.2.1"))
    assert changed == {**raw, "version": "3.2.1"}


def test_read_artifact(tmp_path: Path) -> None:
    """Packed with the version being published; built files as they are; placed ones not at all."""
    entries = [
        {"ecosystem": "python", "pack": "."},
        {"ecosystem": "custom", "path": "out/x.bin"},
        {"ecosystem": "custom", "url": "https://a.example/x", "digest": DIGEST, "size": 1},
    ]
    write(tmp_path, {**PLUGIN, "version": "1.0.0", "artifacts": entries})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.bin").write_bytes(b"built")
    source = load_source(tmp_path)
    found = read_artifact(source, 0, version="1.1.0")
    assert found is not None
    assert found[0] == "x-1.1.0.zip"
    with zipfile.ZipFile(io.BytesIO(found[1])) as archive:
        assert archive.namelist() == ["x/manifest.json", "x/out/x.bin"]
        assert json.loads(archive.read("x/manifest.json"))["version"] == "1.1.0"
    assert json.loads(source.path.read_bytes())["version"] == "1.0.0"
    assert read_artifact(source, 1, version="1.1.0") == ("x.bin", b"built")
    assert read_artifact(source, 2, version="1.1.0") is None


def test_several_archives_have_names_of_their_own(tmp_path: Path) -> None:
    """Two packed folders of one version do not take each other's name."""
    entries = [{"ecosystem": kind, "pack": kind} for kind in ("python", "wordpress")]
    for kind in ("python", "wordpress"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "x.php").write_text("<?php\n/*\nPlugin Name: X\nVersion: 0\n*/\n")
    source = load_source(write(tmp_path, {**PLUGIN, "artifacts": entries}))
    found = [read_artifact(source, index, version="1.0.0") for index in range(2)]
    assert [item and item[0] for item in found] == ["x-1.0.0-python.zip", "x-1.0.0-wordpress.zip"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.zip", "no such file"),
        ("folder", "is not a file"),
        ("empty.zip", "0 bytes"),
        ("up/secret", "leads out of"),
        ("nul.zip", "expected a plain file name"),
    ],
)
def test_built_files_that_cannot_be_taken(tmp_path: Path, path: str, message: str) -> None:
    """A built file must be there, have contents and stay in the plugin's folder, links included."""
    plugin = tmp_path / "plugin"
    (plugin / "folder").mkdir(parents=True)
    (plugin / "empty.zip").write_bytes(b"")
    (plugin / "nul.zip").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    (plugin / "up").symlink_to(tmp_path)
    source = load_source(write(plugin, {**PLUGIN, "artifacts": [{"ecosystem": "custom", "path": path}]}))
    with pytest.raises(PublishError, match=message):
        read_artifact(source, 0, version="1.0.0")


def test_build_manifest(tmp_path: Path) -> None:
    """The author's members and what publishing found out, in the model's order, ready to be signed."""
    raw = {**PLUGIN, "$schema": "../source.schema.json", "keywords": [], "description": "d"}
    source = load_source(write(tmp_path, raw))
    artifact = {"ecosystem": "python", "url": "https://a.example/x", "digest": DIGEST, "size": 1}
    built = build_manifest(
        source,
        version="1.0.0",
        artifacts=[artifact],
        initial_status="draft",
        last_updated="2026-01-31T12:00:00Z",
        provenance={"commit": "0" * 40, "ref": None},
    )
    assert built == {
        "kind": "manifest",
        "schemaVersion": 1,
        "id": "x",
        "name": "X",
        "version": "1.0.0",
        "initialStatus": "draft",
        "description": "d",
        "keywords": [],
        "artifacts": [artifact],
        "provenance": {"commit": "0" * 40},
        "lastUpdated": "2026-01-31T12:00:00Z",
    }
    order = [item.alias for item in Manifest.model_fields.values()]
    assert list(built) == [name for name in order if name in built]
    signed = {**built, "signatures": [{"keyid": "0" * 64, "sig": "00"}]}
    Manifest.model_validate_json(json.dumps(signed))


def test_source_says_what_the_manifest_says() -> None:
    """The two models have the same members, but for what publishing finds out."""

    def shape(model: type[Document], without: set[str]) -> dict[str, Any]:
        schema = model.model_json_schema()
        properties = {name: item for name, item in schema["properties"].items() if name not in without}
        return {"properties": properties, "more": {k: schema[k] for k in ("anyOf", "type")}}

    optional = {"kind", "schemaVersion", "version", "initialStatus", "artifacts"}
    found_out = {"signatures", "provenance", "lastUpdated", "manifestUrl"}
    source = shape(SourceManifest, {"$schema", *optional})
    assert source == shape(Manifest, {*found_out, *optional})
    assert set(SourceManifest.model_json_schema()["properties"]) >= optional
