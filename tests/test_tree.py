"""Trees: what counts as a file, changes on top of one, and the order in which they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.maintainers import Kept, make_registry
from support.mini_registry import serve

from publisher.tree import DirTree, MemoryTree, Overlay, write_changes, write_order
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).parents[1]


class TestDirTree:
    """A folder on disk."""

    def test_files_below_a_folder(self, tmp_path: Path) -> None:
        """Sorted, with `/`, at any depth; folders that are not there are empty."""
        for path in ("b/c.json", "b/a/d.json", "a.json", "b-c/x"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(path.encode())
        tree = DirTree(tmp_path)
        assert list(tree.paths("b")) == ["b/a/d.json", "b/c.json"]
        assert list(tree.paths("")) == ["a.json", "b-c/x", "b/a/d.json", "b/c.json"]
        assert list(tree.paths("none")) == list(tree.paths("a.json")) == []
        assert tree.read("b/a/d.json") == b"b/a/d.json"
        assert tree.read("b") is tree.read("none") is tree.read("a.json/x") is None

    def test_symbolic_links_are_not_there(self, tmp_path: Path) -> None:
        """Neither a link to a file nor to a folder, dangling or not: nothing outside is ever read."""
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "secret").write_text("secret")
        top = tmp_path / "top"
        top.mkdir()
        (top / "real").write_text("real")
        (top / "file").symlink_to(tmp_path / "outside" / "secret")
        (top / "folder").symlink_to(tmp_path / "outside")
        (top / "inner").symlink_to(top / "real")
        (top / "dangling").symlink_to(tmp_path / "none")
        (top / "loop").symlink_to(top)
        tree = DirTree(top)
        assert list(tree.paths("")) == ["real"]
        for path in ("file", "inner", "dangling"):
            assert tree.read(path) is None

    def test_nothing_outside_is_there(self, tmp_path: Path) -> None:
        """Neither behind a linked folder nor above: what nobody has verified yet can name any path."""
        for folder in ("outside/in", "top/plugins"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "outside" / "in" / "secret").write_text("secret")
        (tmp_path / "top" / "plugins" / "real").write_text("real")
        (tmp_path / "top" / "schema").symlink_to(tmp_path / "outside")
        (tmp_path / "link").symlink_to(tmp_path / "top")
        tree = DirTree(tmp_path / "link")
        for folder in ("schema", "schema/in", "../outside", "plugins/../../outside/in"):
            assert list(tree.paths(folder)) == list(tree.folders(folder)) == []
            assert tree.read(f"{folder}/secret") is tree.read(f"{folder}/in/secret") is None
        for path in ("../outside/in/secret", "a\0b", "a\0b/c", "\ud800", "x" * 300, "a/" * 3000 + "b"):
            assert tree.read(path) is None
        assert tree.read("plugins/real") == b"real"

    def test_half_written_files_are_not_listed(self, tmp_path: Path) -> None:
        """What a killed run left under a temporary name is no part of the registry."""
        (tmp_path / ".tmp-abc").write_text("half")
        assert list(DirTree(tmp_path).paths("")) == []

    def test_other_kinds_of_files(self, tmp_path: Path) -> None:
        """A named pipe is no file, and reading does not hang on it."""
        os.mkfifo(tmp_path / "pipe")
        assert list(DirTree(tmp_path).paths("")) == []
        assert DirTree(tmp_path).read("pipe") is None


_PATHS = st.sampled_from(["a", "b/c", "b/d", "b/e/f", "g"])
_FILES = st.dictionaries(_PATHS, st.binary(max_size=3))


class TestOverlay:
    """Changes on top of a tree."""

    @given(_FILES, st.lists(st.tuples(_PATHS, st.none() | st.binary(max_size=3))))
    def test_reads_as_if_written(
        self, files: dict[str, bytes], edits: list[tuple[str, bytes | None]]
    ) -> None:
        """Whatever is written and deleted, it reads like a plain folder, and holds only true differences."""
        overlay, wanted = Overlay(MemoryTree(files)), dict(files)
        for path, data in edits:
            if data is None:
                overlay.delete(path)
                wanted.pop(path, None)
            else:
                overlay.write(path, data)
                wanted[path] = data
        assert {path: overlay.read(path) for path in overlay.paths("")} == wanted
        assert list(overlay.paths("b")) == sorted(path for path in wanted if path.startswith("b/"))
        for path, data in overlay.changes.items():
            assert files.get(path) != data

    def test_the_base_stays(self) -> None:
        """Nothing is written through."""
        base = MemoryTree({"a": b"1"})
        overlay = Overlay(base)
        overlay.write("a", b"2")
        overlay.write("b", b"3")
        overlay.delete("a")
        assert base.files == {"a": b"1"}
        assert overlay.changes == {"a": None, "b": b"3"}


class TestWriting:
    """Into a folder."""

    def test_order(self) -> None:
        """What is named before what names it: shards, roles, snapshot, new root, timestamp; deletions last."""
        changes: Mapping[str, bytes | None] = {
            "metadata/timestamp.json": b"",
            "targets/old": None,
            "metadata/1.snapshot.json": None,
            "metadata/2.root.json": b"",
            "metadata/2.snapshot.json": b"",
            "metadata/2.registrar.json": b"",
            "targets/new": b"",
            "zzz": b"",
        }
        assert write_order(changes) == [
            "targets/new",
            "zzz",
            "metadata/2.registrar.json",
            "metadata/2.snapshot.json",
            "metadata/2.root.json",
            "metadata/timestamp.json",
            "metadata/1.snapshot.json",
            "targets/old",
        ]

    def test_writes_and_deletes(self, tmp_path: Path) -> None:
        """Folders are made; a deletion of what is not there is none."""
        write_changes(tmp_path, {"a/b/c": b"1", "d": b"2", "none": None})
        write_changes(tmp_path, {"d": None, "a/b/c": b"3"})
        assert {path: DirTree(tmp_path).read(path) for path in DirTree(tmp_path).paths("")} == {"a/b/c": b"3"}

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        """Names the file, and says that running again goes on."""
        (tmp_path / "a").write_text("a file")
        with pytest.raises(ConfigError, match="a/b") as caught:
            write_changes(tmp_path, {"a/b": b"1"})
        assert "run it again" in caught.value.hint

    def test_not_through_a_linked_folder(self, tmp_path: Path) -> None:
        """A link in place of a folder, which a commit can carry, would take the file out of the registry."""
        outside, top = tmp_path / "outside", tmp_path / "top"
        outside.mkdir()
        top.mkdir()
        (top / "plugins").symlink_to(outside)
        for changes in ({"plugins/x.json": b"1"}, {"plugins/a/x.json": b"1"}):
            with pytest.raises(ConfigError, match="symbolic link"):
                write_changes(top, changes)
        assert list(outside.iterdir()) == []

    def test_a_linked_file_is_replaced(self, tmp_path: Path) -> None:
        """By a file of its own; what it pointed to stays."""
        (tmp_path / "outside").write_text("theirs")
        top = tmp_path / "top"
        top.mkdir()
        (top / "x.json").symlink_to(tmp_path / "outside")
        write_changes(top, {"x.json": b"ours"})
        assert (tmp_path / "outside").read_text() == "theirs"
        assert DirTree(top).read("x.json") == b"ours"


_FULL = """
import datetime, resource, signal, sys
from pathlib import Path
from publisher.registrar.run import Options, register
from publisher.signing import load_signer
from publisher.tree import DirTree, write_changes
from registry_client.errors import ConfigError
room, folder, key, now = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
options = Options((folder / "metadata" / "1.root.json").read_bytes(), [load_signer(key)])
run = register(DirTree(folder), (), options, datetime.datetime.fromisoformat(now))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    write_changes(folder, run.changes)
except ConfigError as e:
    sys.exit(f"{e.message} ({e.hint})")
"""


@pytest.mark.parametrize("room", [100, 600, 1000, 1500])
def test_a_full_disk_leaves_a_readable_registry(tmp_path: Path, room: int) -> None:
    """Wherever writing stops, hosts read what was there before; a run with room completes it."""
    kept: Kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    kept.write_manifest("calendar", "1.1.0", "acme", description="x" * 1500)
    arguments = [str(room), str(kept.folder), str(kept.keys["online"]), kept.now.isoformat()]
    run = subprocess.run(
        [sys.executable, "-c", _FULL, *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 1
    assert "cannot be written (File too large) (Free space" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(kept.folder.rglob(".tmp-*"))
    with serve(kept.folder) as url:
        client = kept.client(url, tmp_path / "home")
        assert client.resolve("calendar").manifest.model.version == "1.0.0"
        kept.register()
        assert client.resolve("calendar").manifest.model.version == "1.1.0"
    assert kept.audit().findings == ()
