"""`plugin verify FILE`: only what was published verifies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import plugin_bench
from support.mini_registry import MiniRegistry, sign
from support.plugin_bench import ZIP_100, ZIP_110, Bench

from registry_client.jsontext import dump_json
from registry_client.verify_file import guess_from_name

registry, bench = plugin_bench.registry, plugin_bench.bench


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("calendar-1.1.0.zip", ("calendar", "1.1.0")),
        ("my-plugin-2-1.0.0-rc.1.tar.gz", ("my-plugin-2", "1.0.0-rc.1")),
        ("x-1.0.0", ("x", "1.0.0")),
        ("x-1.0.0-0123456789ab", ("x", "1.0.0")),
        ("x-1.0.0rc1.zip", None),
        ("x-01.0.0.zip", None),
        ("Calendar-1.0.0.zip", None),
        ("con-1.0.0.zip", None),
        ("calendar.zip", None),
    ],
)
def test_file_names_that_tell_plugin_and_version(name: str, version: tuple[str, str] | None) -> None:
    """Only the grammar's ids and versions are taken for such."""
    assert guess_from_name(name) == version


def test_verify_tells_what_a_manifest_is(bench: Bench) -> None:
    """A published manifest verifies, with a warning where its version is yanked."""
    path = bench.registry.manifest_path("calendar", "1.0.0")
    run = bench.run("verify", str(path), "--json")
    assert run.code == 0
    document = run.json
    assert (document["verified"], document["kind"], document["publisher"]) == (True, "manifest", "acme")
    assert (document["status"], document["version"]) == ("yanked", "1.0.0")
    assert len(document["keyids"]) == 1
    assert document["warnings"] == ["calendar 1.0.0 is yanked: loses appointments"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("calendar-1.1.0.zip", []), ("upload.bin", ["calendar"]), ("upload.bin", ["calendar==1.1.0"])],
)
def test_verify_finds_an_artifact(bench: Bench, tmp_path: Path, name: str, arguments: list[str]) -> None:
    """By its name or by the plugin given; the name alone proves nothing."""
    (tmp_path / name).write_bytes(ZIP_110)
    run = bench.run("verify", str(tmp_path / name), *arguments)
    assert run.code == 0
    assert run.out.startswith(f"{tmp_path / name}: verified, the artifact of calendar 1.1.0\n")
    assert "publisher           acme\n" in run.out


def test_verify_warns_of_an_older_artifact_under_a_newer_name(bench: Bench, tmp_path: Path) -> None:
    """A yanked version dressed as a newer one is named for what it is."""
    (tmp_path / "calendar-1.1.0.zip").write_bytes(ZIP_100)
    document = bench.run("verify", str(tmp_path / "calendar-1.1.0.zip"), "--json").json
    assert document["version"] == "1.0.0"
    assert any("the name says version 1.1.0" in warning for warning in document["warnings"])
    assert bench.run("verify", str(tmp_path / "calendar-1.1.0.zip"), "calendar==1.1.0").code == 6


def _edited_manifest(registry: MiniRegistry) -> bytes:
    raw = json.loads(registry.manifest_path("calendar", "1.1.0").read_bytes())
    return dump_json({**raw, "permissions": []})


def _resigned_by_a_stranger(registry: MiniRegistry) -> bytes:
    raw = json.loads(registry.manifest_path("calendar", "1.1.0").read_bytes())
    return dump_json(sign(raw, MiniRegistry(registry.folder).signers["publisher"]))


def _unpublished_version(registry: MiniRegistry) -> bytes:
    raw = json.loads(registry.manifest_path("calendar", "1.1.0").read_bytes())
    return dump_json(sign({**raw, "version": "9.9.9"}, registry.signers["publisher"]))


def _without_signatures(registry: MiniRegistry) -> bytes:
    raw = json.loads(registry.manifest_path("calendar", "1.1.0").read_bytes())
    return dump_json({**raw, "signatures": []})


def _doubled_member(registry: MiniRegistry) -> bytes:
    data = registry.manifest_path("calendar", "1.1.0").read_bytes()
    return data.replace(b'"id": "calendar"', b'"id": "notes",\n  "id": "calendar"')


def _old_release(registry: MiniRegistry) -> bytes:
    raw = registry.row("calendar", "1.0.0")["release"]
    registry.release("calendar", "1.0.0", status="yanked", reason="still")
    registry.write()
    return dump_json(raw)


def _coming_release(registry: MiniRegistry) -> bytes:
    raw = registry.row("calendar", "1.0.0")["release"]
    return dump_json(sign({**raw, "revision": 2, "status": "released"}, registry.signers["publisher"]))


def _second_release_of_a_revision(registry: MiniRegistry) -> bytes:
    raw = registry.row("calendar", "1.0.0")["release"]
    return dump_json(sign({**raw, "reason": "another reason"}, registry.signers["publisher"]))


def _release_for_another_registry(registry: MiniRegistry) -> bytes:
    raw = registry.row("calendar", "1.0.0")["release"]
    return dump_json(sign({**raw, "registry": "elsewhere"}, registry.signers["publisher"]))


@pytest.mark.parametrize(
    ("make", "code", "kind"),
    [
        (_edited_manifest, 6, "Digest"),
        (_resigned_by_a_stranger, 6, "Signature"),
        (_unpublished_version, 6, "Verification"),
        (_without_signatures, 4, "Manifest"),
        (_doubled_member, 4, "Manifest"),
        (_old_release, 6, "Rollback"),
        (_coming_release, 6, "Verification"),
        (_second_release_of_a_revision, 6, "Digest"),
        (_release_for_another_registry, 6, "Signature"),
        (lambda _: ZIP_110 + b"!", 6, "Digest"),
        (lambda _: b"", 6, "Digest"),
        (lambda _: b'{"kind": "something"}', 6, "Digest"),
        (lambda _: b"[" * 100_000, 6, "Digest"),
        (lambda _: b'{"a":' * 40_000, 6, "Digest"),
    ],
)
def test_verify_refuses(bench: Bench, tmp_path: Path, make: Any, code: int, kind: str) -> None:
    """Whatever is not exactly what was published fails, with one error and nothing verified."""
    path = tmp_path / "file"
    path.write_bytes(make(bench.registry))
    run = bench.run("verify", str(path), "calendar", "--json")
    assert (run.code, run.json["error"]["kind"], run.json["error"]["exitCode"]) == (code, kind, code)
    assert str(path) in run.json["error"]["message"]


def test_verify_takes_the_release_in_force(bench: Bench, tmp_path: Path) -> None:
    """The release that the index carries verifies."""
    path = tmp_path / "release.json"
    path.write_bytes(dump_json(bench.registry.row("calendar", "1.0.0")["release"]))
    document = bench.run("verify", str(path), "--json").json
    assert (document["kind"], document["id"], document["status"]) == ("release", "calendar", "yanked")
    assert bench.run("verify", str(path), "calendar==1.1.0").code == 6


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["FILE"], 3),
        (["FILE", "nowhere"], 7),
        (["FILE", "calendar==3.0.0"], 7),
        (["FILE", "calendar>1"], 3),
        (["GONE"], 3),
    ],
)
def test_verify_says_what_is_missing(bench: Bench, tmp_path: Path, arguments: list[str], code: int) -> None:
    """No plugin to compare with, no such plugin, no such version, no single version, no file."""
    (tmp_path / "upload.bin").write_bytes(b"x")
    paths = {"FILE": str(tmp_path / "upload.bin"), "GONE": str(tmp_path / "gone")}
    run = bench.run("verify", *(paths.get(a, a) for a in arguments))
    assert run.code == code
    assert run.out == ""
    assert run.err.startswith("error: ")
    assert "\nhint: " in run.err
