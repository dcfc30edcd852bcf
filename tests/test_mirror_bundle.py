"""The bundle that mirrors serve: what it holds, and that the real client takes its files out of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve
from support.mirrored import publish, run

from publisher.mirror import bundle as module
from publisher.mirror.bundle import build_bundle
from publisher.mirror.folder import Folder
from publisher.mirror.kinds import named_digest
from publisher.registrar import sharding
from publisher.tree import TIMESTAMP, DirTree
from registry_client.bundle import BUNDLE_PATH, open_bundle
from registry_client.digest import Digest
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from pathlib import Path

IDS = ("acme-a", "acme-b", "acme-c", "calendar")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A registry as it is when it is large: index directories, and a plugin in a fan-out folder."""
    monkeypatch.setattr(sharding, "SPLIT_ABOVE", 100)
    kept = make_registry(tmp_path)
    for plugin_id in IDS:
        kept.write_manifest(plugin_id, "1.0.0", "acme")
    fan = kept.folder / "plugins" / f"_{hashlib.sha256(b'acme-b').hexdigest()[:2]}"
    fan.mkdir()
    shutil.move(kept.folder / "plugins" / "acme-b", fan)
    kept.register()
    assert list(kept.folder.glob("targets/index/?????????/*.json"))
    assert (fan / "acme-b.json").is_file()
    return kept


def bundle(kept: Kept) -> bytes:
    """The bundle of the present state."""
    data = build_bundle(DirTree(kept.folder))
    assert data is not None
    return data


def test_what_it_holds(kept: Kept) -> None:
    """Every file that a host needs for all manifests, and no metadata: that is asked for in any case."""
    pieces = open_bundle(bundle(kept), "bundle")
    wanted = [
        kept.folder / name for name in ("blocks.json", "policy.json", "registry.json", "publishers/acme.json")
    ]
    wanted += kept.folder.glob("plugins/**/1.0.0/manifest.json")
    assert len(wanted) == 4 + len(IDS)
    for path in wanted:
        assert Digest.of(path.read_bytes()) in pieces, path
    for path in kept.folder.glob("metadata/*"):
        assert Digest.of(path.read_bytes()) not in pieces, path


def test_it_is_a_function_of_the_tree(kept: Kept) -> None:
    """Two mirrors of one state hold the same bytes, and another state gives others."""
    first = bundle(kept)
    assert first == bundle(kept)
    assert gzip.decompress(first).startswith(b'{"kind":"bundle"')
    publish(kept, "1.1.0")
    assert bundle(kept) != first


@pytest.mark.parametrize("large", [False, True])
def test_hosts_take_all_from_it(
    kept: Kept, tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror of nothing but metadata and the bundle gives every manifest; without a bundle, they are fetched."""
    folder = tmp_path / "mirror"
    if large:
        monkeypatch.setattr(module, "UNPACKED_LIMIT", 1000)
    done = run(Folder(folder, 0), kept.folder, kept.now)
    assert done.bundled is not large
    assert (folder / BUNDLE_PATH).exists() is not large
    for path in folder.rglob("*"):
        if path.is_file() and not large and path.parent.name not in {"metadata", "bundle"}:
            path.unlink()
    with serve(folder) as url:
        found = kept.client(url, tmp_path / "home").manifests()
    assert sorted(found) == sorted(IDS)
    assert not any(isinstance(manifest, RegistryError) for manifest in found.values())


def test_a_forged_bundle_does_no_harm(kept: Kept, tmp_path: Path) -> None:
    """What it holds under other digests is not asked for; the files themselves are."""
    folder = tmp_path / "mirror"
    run(Folder(folder, 0), kept.folder, kept.now)
    good = (folder / BUNDLE_PATH).read_bytes()
    other = gzip.compress(gzip.decompress(good).replace(b"calendar", b"evil-one"))
    with serve(folder) as url:
        for number, data in enumerate((other, b"", good[:-9], b"\x1f\x8b" + bytes(64), good * 2)):
            (folder / BUNDLE_PATH).write_bytes(data)
            found = kept.client(url, tmp_path / f"home-{number}").manifests()
            assert sorted(found) == sorted(IDS)
            assert not any(isinstance(manifest, RegistryError) for manifest in found.values())


@pytest.mark.parametrize("upwards", ["../secret", "schema/secret", "plugins/../../secret"])
def test_an_index_cannot_name_other_files(kept: Kept, tmp_path: Path, upwards: str) -> None:
    """Nobody has verified the index that a mirror copies: the credentials of who runs it are no pieces of a bundle."""
    secret = kept.folder / upwards
    secret.write_text("hunter2")
    for path in kept.folder.glob("targets/index/**/*.json"):
        shard = json.loads(path.read_bytes())
        for line in shard.get("lines", ()):
            line["manifest"]["path"] = upwards
        path.write_text(json.dumps(shard))
    _name_again(kept.folder)
    data = build_bundle(DirTree(kept.folder))
    assert data is not None
    assert b"hunter2" not in gzip.decompress(data)
    assert b"../secret" in gzip.decompress(data) or upwards == "schema/secret"


def _name_again(folder: Path) -> None:
    """Name the shards by what they hold, in directories and in the registrar's metadata; signatures stay as they were."""
    new: dict[str, str] = {}
    for path in sorted(folder.glob("targets/index/**/*.json"), key=lambda path: -len(path.parts)):
        text = path.read_text()
        for old, digest in new.items():
            text = text.replace(old, digest)
        old, _, name = path.name.partition(".")
        new[old] = hashlib.sha256(text.encode()).hexdigest()
        path.unlink()
        path.with_name(f"{new[old]}.{name}").write_text(text)
    for path in folder.glob("metadata/*.registrar.json"):
        text = path.read_text()
        for old, digest in new.items():
            text = text.replace(old, digest)
        path.write_text(text)


@pytest.mark.parametrize("path", [TIMESTAMP, "registry.json", "index", "blocks.json"])
def test_a_tree_that_makes_no_sense_has_none(kept: Kept, tmp_path: Path, path: str) -> None:
    """The mirror is made all the same: what is wrong, hosts and the audit say."""
    tree = DirTree(kept.folder)
    paths = [p for p in tree.paths("targets") if path in p] if path != TIMESTAMP else [path]
    for found in paths:
        assert path == TIMESTAMP or named_digest(found) is not None
        (kept.folder / found).unlink()
    assert build_bundle(tree) is None
    assert not run(Folder(tmp_path / "mirror", 0), kept.folder, kept.now).bundled


def test_an_old_bundle_goes(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that has grown too large for one leaves none behind for ever."""
    folder = tmp_path / "mirror"
    run(Folder(folder, 0), kept.folder, kept.now)
    monkeypatch.setattr(module, "UNPACKED_LIMIT", 1000)
    publish(kept, "1.1.0")
    run(Folder(folder, 0), kept.folder, kept.now)
    kept.pass_time(days=8)
    assert BUNDLE_PATH in run(Folder(folder, 0), kept.folder, kept.now).deleted
