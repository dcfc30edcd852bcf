"""`publisher pack`: each kind of artifact, its checksum, and the name that means the newest."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.maintainers import make_registry

from publisher.cli.main import main
from publisher.dist import write_archive
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parent.parent / "examples"
PHP = "<?php\n/*\n * Plugin Name: Kinds\n * Version: 0.0.0\n */\n"
FILES = {
    "pyproject.toml": (
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n[project]\nname = "acme-kinds"\n'
        'dynamic = ["version"]\n[tool.hatch.version]\nsource = "env"\nvariable = "PLUGIN_VERSION"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["kinds"]\n'
    ),
    "kinds/__init__.py": "",
    "wp/kinds.php": PHP,
    "shop/app.toml": "",
    "site/plugin.js": "",
    "built.bin": "built",
}
ENTRIES: list[dict[str, Any]] = [
    {"ecosystem": "python", "build": "wheel"},
    {"ecosystem": "python", "build": "sdist"},
    {"ecosystem": "wordpress", "pack": "wp"},
    {"ecosystem": "shopify", "pack": "shop"},
    {"ecosystem": "custom", "pack": "site"},
    {"ecosystem": "custom", "path": "built.bin"},
]
NAMES = {
    "acme_kinds-1.0.0rc1-py2.py3-none-any.whl": None,
    "acme_kinds-1.0.0rc1.tar.gz": None,
    "kinds-1.0.0-rc.1-wordpress.zip": "kinds-latest-wordpress.zip",
    "kinds-1.0.0-rc.1-shopify.zip": "kinds-latest-shopify.zip",
    "kinds-1.0.0-rc.1-custom.zip": "kinds-latest-custom.zip",
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `publisher` and gives its exit code and what it printed."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def plugin(folder: Path, entries: list[dict[str, Any]] = ENTRIES) -> Path:
    """A plugin with an artifact of every kind."""
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    manifest = {"id": "kinds", "name": "Kinds", "version": "1.0.0-rc.1", "artifacts": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def sums_hold(folder: Path) -> None:
    """`sha256sum --check`, run in the folder as people do."""
    names = sorted(path.name for path in folder.glob("*.sha256"))
    assert names
    command = [shutil.which("sha256sum") or shutil.which("shasum") or "sha256sum", "-c", *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": OK") == len(names)


def test_every_kind(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """Standard names, a checksum beside each, `latest` beside each ZIP; the same bytes from another folder."""
    code, out, _ = run("pack", plugin(tmp_path / "one"), "--no-isolation", "--json")
    assert code == 0
    dist = tmp_path / "one" / "dist"
    rows = json.loads(out)["archives"]
    assert {Path(row["path"]).name: row["latest"] and Path(row["latest"]).name for row in rows} == NAMES
    for row in rows:
        path = Path(row["path"])
        data = path.read_bytes()
        assert row["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert row["size"] == len(data)
        assert row["sha256"] == f"{path}.sha256"
        assert Path(row["sha256"]).read_bytes() == f"{row['digest'][7:]}  {path.name}\n".encode()
        if row["latest"]:
            assert Path(row["latest"]).read_bytes() == data
            assert Path(row["latest"]).readlink() == Path(path.name)
    sums_hold(dist)
    assert len(list(dist.iterdir())) == 5 + 5 + 3
    again = plugin(tmp_path / "two")
    assert run("pack", again, "--no-isolation", "-o", tmp_path / "out")[0] == 0
    names = sorted(path.name for path in dist.iterdir())
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == names
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == [
        (dist / name).read_bytes() for name in names
    ]


def test_latest_moves_on(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """The next version becomes the newest; the earlier one and its checksum stay. dist/ is not packed itself."""
    folder = plugin(tmp_path, [{"ecosystem": "custom", "pack": "."}])
    for version in ("1.0.0", "1.1.0"):
        code, out, err = run("pack", folder, "--version", version)
        assert (code, err) == (0, "")
        assert (folder / "dist" / "kinds-latest.zip").readlink() == Path(f"kinds-{version}.zip")
    assert [line.split()[0] for line in out.splitlines()] == ["file", "size", "digest", "sums", "latest"]
    assert max(map(len, out.replace(str(folder), "plugin").splitlines())) < 80
    assert {path.name for path in (folder / "dist").iterdir()} == {
        *("kinds-1.0.0.zip", "kinds-1.0.0.zip.sha256", "kinds-1.1.0.zip", "kinds-1.1.0.zip.sha256"),
        "kinds-latest.zip",
    }
    sums_hold(folder / "dist")
    with zipfile.ZipFile(folder / "dist" / "kinds-latest.zip") as archive:
        assert not [name for name in archive.namelist() if "/dist/" in name]
        assert json.loads(archive.read("kinds/manifest.json"))["version"] == "1.1.0"


def test_the_example_says_its_version(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    """WP Bridge, packed as another version: header, constant and readme agree, nothing else changes."""
    assert run("pack", EXAMPLES / "wp-bridge", "--version", "1.4.2", "-o", tmp_path)[0] == 0
    with zipfile.ZipFile(tmp_path / "wp-bridge-latest.zip") as archive:
        packed = {name.removeprefix("wp-bridge/"): archive.read(name).decode() for name in archive.namelist()}
    changed = set()
    for name, text in packed.items():
        before = (EXAMPLES / "wp-bridge" / "wp-bridge" / name).read_text()
        lines = zip(before.splitlines(), text.splitlines(), strict=True)
        changed |= {new.strip() for old, new in lines if old != new}
    assert changed == {"* Version: 1.4.2", "const VERSION  = '1.4.2';", "Stable tag: 1.4.2"}


@pytest.mark.parametrize(
    ("entries", "code", "kind", "message"),
    [
        ([{"ecosystem": "custom", "path": "built.bin"}], 9, "Publish", "no artifact is to be packed"),
        ([{"ecosystem": "wordpress", "pack": "kinds"}], 9, "Publish", "is no WordPress plugin"),
        (
            [{"ecosystem": "custom", "pack": "shop"}, {"ecosystem": "custom", "pack": "site"}],
            *(9, "Publish", "two artifacts would be packed as kinds-1.0.0-rc.1-custom.zip"),
        ),
    ],
)
def test_what_cannot_be_packed(
    tmp_path: Path,
    run: Callable[..., tuple[int, str, str]],
    entries: list[dict[str, Any]],
    code: int,
    kind: str,
    message: str,
) -> None:
    """An error with its way out."""
    found, out, _ = run("pack", plugin(tmp_path, entries), "--json")
    error = json.loads(out)["error"]
    assert (found, error["kind"], message in error["message"]) == (code, kind, True), error
    assert error["hint"]


class TestFolder:
    """The folder of archives."""

    def test_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the system makes no symbolic links, `latest` is a copy; it moves on all the same."""

        def refuse(*_: object, **__: object) -> None:
            raise OSError(1314, "A required privilege is not held by the client")

        monkeypatch.setattr(Path, "symlink_to", refuse)
        for version, data in (("1", b"one"), ("2", b"two")):
            written = write_archive(tmp_path, f"x-{version}.zip", data, "x-latest.zip")
            assert written.latest is not None
            assert not written.latest.is_symlink()
            assert written.latest.read_bytes() == data
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []

    @pytest.mark.parametrize("before", ["link to nowhere", "link to a file outside", "file", "nothing"])
    def test_what_stood_there(self, tmp_path: Path, before: str) -> None:
        """Whatever `latest` was is replaced; nothing is written through a link."""
        dist, outside = tmp_path / "dist", tmp_path / "outside"
        dist.mkdir()
        outside.write_bytes(b"mine")
        latest = dist / "x-latest.zip"
        if before.startswith("link"):
            latest.symlink_to(outside if "outside" in before else "gone")
        elif before == "file":
            latest.write_bytes(b"old")
        write_archive(dist, "x-1.zip", b"new", "x-latest.zip")
        assert latest.readlink() == Path("x-1.zip")
        assert (latest.read_bytes(), outside.read_bytes()) == (b"new", b"mine")

    def test_folders_in_the_way(self, tmp_path: Path) -> None:
        """What cannot be written is an error of ours, and leaves no leftovers."""
        (tmp_path / "x-latest.zip").mkdir()
        (tmp_path / "file").write_bytes(b"")
        for folder in (tmp_path, tmp_path / "file"):
            with pytest.raises(ConfigError, match="cannot be written to") as caught:
                write_archive(folder, "x-1.zip", b"data", "x-latest.zip")
            assert "--output" in caught.value.hint
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_publishing_builds_the_same(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`publish` offers what `pack` writes, wheel and WordPress plugin included; again, it is a no-op."""
    kept = make_registry(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(kept.now.timestamp())))
    folder = plugin(tmp_path / "plugin")
    raw = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**raw, "id": "calendar"}))
    _, out, _ = run("pack", folder, "--no-isolation", "--json")
    packed = {row["digest"]: Path(row["path"]).name for row in json.loads(out)["archives"]}
    publish = ("publish", folder, "--to", kept.folder, "--key", kept.keys["acme"], "--no-isolation", "--json")
    code, out, _ = run(*publish)
    assert (code, json.loads(out)["result"]) == (0, "offered"), out
    manifest = json.loads((kept.folder / "plugins" / "calendar" / "1.0.0-rc.1" / "manifest.json").read_text())
    published = {entry["digest"]: entry["url"].rpartition("/")[2] for entry in manifest["artifacts"]}
    assert packed.items() <= published.items()
    assert len(published) == len(ENTRIES)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(kept.now.timestamp()) + 60))
    code, out, _ = run(*publish)
    assert (code, json.loads(out)["result"]) == (0, "unchanged"), out


def test_the_archives_are_not_packed(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """A folder for archives that is packed itself is refused, as the next archive would hold this one; others are not."""
    manifest = {
        "id": "kinds",
        "name": "Kinds",
        "version": "1.0.0",
        "artifacts": [{"ecosystem": "custom", "pack": "."}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for folder in ("out", ".", "dist/../out", "assets/dist"):
        code, _, err = run("pack", tmp_path, "-o", tmp_path / folder)
        assert code == 3
        assert "lies in what is packed" in err
        assert ".pluginignore" in err
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    (tmp_path / ".pluginignore").write_text("/out\n")
    for folder in ("out", "out/deeper", "dist", "dist/deeper", "../elsewhere"):
        first = run("pack", tmp_path, "-o", tmp_path / folder, "--json")
        assert first[0] == 0, first
        assert run("pack", tmp_path, "-o", tmp_path / folder, "--json") == first


def test_all_archives_or_none(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """Where a later one cannot be packed, the earlier ones are not written either, and `latest` stays."""
    entries = [{"ecosystem": "custom", "pack": "a"}, {"ecosystem": "shopify", "pack": "b"}]
    manifest = {"id": "kinds", "name": "Kinds", "version": "1.0.0", "artifacts": entries}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("x")
    assert run("pack", tmp_path)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "dist").iterdir()}
    (tmp_path / "b" / ".netrc").write_text("machine a.example")
    code, _, err = run("pack", tmp_path, "--version", "1.0.1")
    assert (code, ".netrc: holds secrets" in err) == (9, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "dist").iterdir()} == before
