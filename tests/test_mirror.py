"""`publisher registry mirror`: what is copied, in which order, and what it refuses."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve

from publisher.cli.main import main
from publisher.maintain import mirror as module
from publisher.maintain.mirror import mirror, served_paths
from publisher.tree import DirTree, Tree, write_changes
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with one version of one plugin, and files that are nobody's to serve."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    for path in (".github/workflows/x.yml", "staging/notes.json", "dev-keys/root-1.pem", "publisher/x.py"):
        (kept.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (kept.folder / path).write_text("private")
    return kept


def publish(kept: Kept, version: str) -> None:
    """The registry's next state."""
    kept.pass_time(hours=1)
    kept.write_manifest("calendar", version, "acme")
    kept.register()


def newest(kept: Kept, folder: Path, home: Path) -> str:
    """What a fresh host reads from a mirror."""
    with serve(folder) as url:
        return str(kept.client(url, home).resolve("calendar").manifest.model.version)


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_hosts_read_a_mirror(kept: Kept, tmp_path: Path) -> None:
    """All that is served is there, byte for byte, and nothing else; a host reads it as it reads the registry."""
    folder = tmp_path / "mirror"
    done = mirror(folder, kept.folder)
    copied = files(folder)
    assert set(done.written) == set(copied)
    tops = {path.split("/")[0] for path in copied}
    assert tops == {
        "blocks.json", "metadata", "plugins", "policy.json", "publishers", "registry.json", "schema", "targets",
    }  # fmt: skip
    assert all((kept.folder / path).read_bytes() == data for path, data in copied.items())
    assert newest(kept, folder, tmp_path / "home") == "1.0.0"


def test_a_mirror_follows(kept: Kept, tmp_path: Path) -> None:
    """Only what is new is written, what is served no more is deleted, and files of others stay."""
    folder = tmp_path / "mirror"
    mirror(folder, kept.folder)
    (folder / "CNAME").write_text("plugins.example")
    again = mirror(folder, kept.folder)
    assert (again.written, again.deleted) == ((), ())
    publish(kept, "1.1.0")
    kept.pass_time(days=30)
    publish(kept, "1.2.0")  # drops metadata that is older than a week
    done = mirror(folder, kept.folder)
    assert done.written[-1] == "metadata/timestamp.json"
    assert done.deleted
    assert not [path for path in done.deleted if (kept.folder / path).exists()]
    assert set(files(folder)) == {*served_paths(DirTree(kept.folder)), "CNAME"}
    assert newest(kept, folder, tmp_path / "home") == "1.2.0"


def test_no_reader_meets_a_gap(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever copying stops, a host reads the state before or the new one; running it again completes the rest."""
    before = tmp_path / "before"
    mirror(before, kept.folder)
    publish(kept, "1.1.0")
    seen: list[str] = []
    for stop in range(40):
        folder, writes = tmp_path / f"mirror-{stop}", [0]
        shutil.copytree(before, folder)

        def stopping(
            root: Path, changes: Mapping[str, bytes | None], writes: list[int] = writes, stop: int = stop
        ) -> None:
            if writes[0] == stop:
                raise InterruptedError
            writes[0] += 1
            write_changes(root, changes)

        monkeypatch.setattr(module, "write_changes", stopping)
        try:
            mirror(folder, kept.folder)
        except InterruptedError:
            seen.append(newest(kept, folder, tmp_path / f"home-{stop}"))
            continue
        break
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert set(seen) == {"1.0.0", "1.1.0"}
    monkeypatch.setattr(module, "write_changes", write_changes)
    half = tmp_path / "mirror-3"
    mirror(half, kept.folder)
    assert files(half) == files(folder)


def test_a_registry_that_changes_meanwhile(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new timestamp is not taken over the old files, so hosts go on with the state before."""
    folder = tmp_path / "mirror"
    mirror(folder, kept.folder)

    def meanwhile(tree: Tree) -> list[str]:
        found = served_paths(tree)
        monkeypatch.setattr(module, "served_paths", served_paths)
        publish(kept, "1.1.0")
        return found

    monkeypatch.setattr(module, "served_paths", meanwhile)
    with pytest.raises(ConfigError, match="changed while it was copied"):
        mirror(folder, kept.folder)
    assert newest(kept, folder, tmp_path / "home") == "1.0.0"


@pytest.mark.parametrize("where", [".", "metadata", "plugins/calendar", ".."])
def test_folders_that_overlap_are_refused(kept: Kept, where: str) -> None:
    """A mirror in what is mirrored would copy itself, or write over its source."""
    with pytest.raises(ConfigError, match="the one holds the other"):
        mirror(kept.folder / where, kept.folder)


def test_a_folder_beside_what_is_served_will_do(kept: Kept) -> None:
    """As `_site` in a checkout."""
    assert mirror(kept.folder / "_site", kept.folder).written
    assert not mirror(kept.folder / "_site", kept.folder).written


def test_no_mirror_goes_back(kept: Kept, tmp_path: Path) -> None:
    """A state that is older than the mirror's is refused: two jobs may end in the other order."""
    old, folder = tmp_path / "old", tmp_path / "mirror"
    shutil.copytree(kept.folder, old)
    publish(kept, "1.1.0")
    mirror(folder, kept.folder)
    with pytest.raises(ConfigError, match=r"is at timestamp \d+, and this registry only at \d+"):
        mirror(folder, old)


def test_another_registry_is_not_written_over(kept: Kept, tmp_path: Path) -> None:
    """Two registries never mix in one folder."""
    (tmp_path / "other").mkdir()
    other = make_registry(tmp_path / "other")
    folder = tmp_path / "mirror"
    mirror(folder, other.folder)
    with pytest.raises(ConfigError, match="mirror of another registry"):
        mirror(folder, kept.folder)


def test_a_broken_mirror_is_repaired(kept: Kept, tmp_path: Path) -> None:
    """Whatever was written over its files."""
    folder = tmp_path / "mirror"
    mirror(folder, kept.folder)
    for path in ("metadata/timestamp.json", "registry.json"):
        (folder / path).write_text("{")
    assert mirror(folder, kept.folder).written == ("registry.json", "metadata/timestamp.json")
    assert newest(kept, folder, tmp_path / "home") == "1.0.0"


def test_the_command(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it did; what is no registry is refused."""
    arguments = ["registry", "mirror", str(tmp_path / "mirror"), "--from", str(kept.folder), "--json"]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == len(files(tmp_path / "mirror"))
    assert told["deleted"] == []
    assert main(["registry", "mirror", str(tmp_path / "mirror"), "--from", str(tmp_path)]) == 3


def test_a_folder_with_other_files_is_left_alone(kept: Kept, tmp_path: Path) -> None:
    """A folder of private keys, say, does not become a mirror by a slip; nor does a file."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "root-1.pem").write_text("secret")
    (tmp_path / "file").write_text("")
    for name, said in (("private", "holds other files"), ("file", "is a file")):
        with pytest.raises(ConfigError, match=said):
            mirror(tmp_path / name, kept.folder)
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["root-1.pem"]
