"""State and cache on disk: whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from registry_client.digest import Digest
from registry_client.errors import ConfigError
from registry_client.store import Directories, HeldBlocks, Store, View, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
URL = "https://registry.example/main"
DATA = b"some bytes"
DIGEST = Digest.of(DATA)
VIEW = View(DIGEST, 1.5, 0.0, 2e9, DIGEST, DIGEST, dev_keys=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Directories.default(tmp_path), URL)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _run(code: str, *args: str) -> str:
    """Run Python in a process of its own and give its output."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestWriteAtomic:
    """A file is replaced whole."""

    def test_new_and_replaced(self, tmp_path: Path) -> None:
        """Folders are made, the mode is set, nothing else stays behind."""
        path = tmp_path / "a" / "b.json"
        write_atomic(path, b"one")
        write_atomic(path, b"two", 0o600)
        assert _files(tmp_path) == {"a/b.json": b"two"}
        assert path.stat().st_mode & 0o777 == 0o600

    def test_readers_see_old_or_new(self, tmp_path: Path) -> None:
        """While one file is written a hundred times, no reader ever sees a part."""
        path = tmp_path / "x"
        write_atomic(path, bytes(100_000))
        done = threading.Event()

        def read() -> set[tuple[int, int]]:
            seen = set()
            while not done.is_set():
                data = path.read_bytes()
                seen.add((len(data), len(set(data))))
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            for number in range(100):
                write_atomic(path, bytes([number]) * 100_000)
            done.set()
            assert set.union(*(reader.result() for reader in readers)) == {(100_000, 1)}

    def test_a_failed_replacement_leaves_no_trace(self, tmp_path: Path) -> None:
        """Where the target cannot be replaced, the error is raised and no temporary file stays."""
        (tmp_path / "x" / "inside").mkdir(parents=True)
        with pytest.raises(OSError, match="x"):
            write_atomic(tmp_path / "x", b"new")
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    def test_killed_while_writing(self, tmp_path: Path) -> None:
        """A process that is killed at any time leaves the old bytes or the new ones."""
        path = tmp_path / "x"
        write_atomic(path, bytes(3_000_000))
        code = (
            "import sys; from pathlib import Path; from registry_client.store import write_atomic\n"
            "print('ready', flush=True)\n"
            "while True:\n    for n in range(256): write_atomic(Path(sys.argv[1]), bytes([n]) * 3_000_000)"
        )
        for pause in (0.0, 0.003, 0.01):
            with subprocess.Popen(
                [sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(pause)
                process.kill()
            data = path.read_bytes()
            assert len(data) == 3_000_000
            assert len(set(data)) == 1


FULL = """
import json, resource, signal, sys
from pathlib import Path
import filelock, platformdirs
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.store import Directories, HeldBlocks, Store, View
store = Store(Directories.default(Path(sys.argv[1])), sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write over the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""
READ_ONLY = """
import encodings.ascii, json, os, sys
from pathlib import Path
import filelock, platformdirs, uuid
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.store import Directories, HeldBlocks, Store, View
store = Store(Directories.default(Path(sys.argv[1])), sys.argv[2])
if os.geteuid() == 0:
    os.setuid(65534)  # root writes everywhere
"""
ATTEMPTS = """
digest = Digest.of(b"new")
out = {}
for name, work in {
    "object": lambda: store.write_object(digest, b"new"),
    "view": lambda: store.write_view(View(digest, 2.0, 0.0, 3.0, digest, digest, True)),
    "blocks": lambda: store.write_blocks(HeldBlocks(2, b"new"), 1),
    "revisions": lambda: store.write_revisions("calendar", {"1.0.0": (9, "x")}),
    "id": store.install_id,
}.items():
    try:
        out[name] = ["returned", work()]
    except RegistryError as e:
        out[name] = [type(e).__name__, str(e), e.hint]
print(json.dumps(out))
"""


class TestNoRoom:
    """A full disk and a read-only folder, for real."""

    @pytest.fixture
    def open_folder(self) -> Iterator[Path]:
        """A folder that other users can come to; pytest's own are private."""
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o755)
            yield Path(name)

    @pytest.mark.parametrize("setting", [FULL, READ_ONLY], ids=["full", "read-only"])
    def test_nothing_is_half_written(self, setting: str, open_folder: Path) -> None:
        """State fails with a ConfigError that names the file; the cache goes without; what was there stays."""
        home = open_folder
        store = Store(Directories.default(home), URL)
        store.write_view(VIEW)
        store.write_blocks(HeldBlocks(1, b"old"), 1)
        store.write_revisions("calendar", {"1.0.0": (3, "x")})
        store.write_object(DIGEST, DATA)
        with store.locked(1):
            pass
        (home / "state" / "install-id").write_bytes(b"damaged")
        before = _files(home)
        folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555 if setting is READ_ONLY else 0o755)
        try:
            results: dict[str, list[Any]] = json.loads(_run(setting + ATTEMPTS, str(home), URL))
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert results.pop("object") == ["returned", None]
        assert set(results) == {"view", "blocks", "revisions", "id"}
        for name, (kind, message, hint) in results.items():
            assert kind == "ConfigError", name
            assert str(home) in message
            assert "cannot be written (" in message
            assert hint
        after = _files(home)
        after.pop("state/install-id.lock", None)
        assert after == before

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        """A path that cannot be made is the same clear error."""
        (tmp_path / "state").write_bytes(b"")
        store = Store(Directories.default(tmp_path), URL)
        with pytest.raises(ConfigError, match="cannot be written"), store.locked(1):
            pass
        with pytest.raises(ConfigError, match="cannot be written"):
            store.install_id()
        with pytest.raises(ConfigError, match="cannot be written"):
            store.write_view(VIEW)
        assert store.read_view() is None
        assert store.read_blocks() is None


class TestObjects:
    """The cache by digest."""

    def test_round_trip(self, store: Store) -> None:
        """What was written is read back; what was not is absent."""
        assert store.read_object(DIGEST) is None
        store.write_object(DIGEST, DATA)
        assert store.read_object(DIGEST) == DATA

    @pytest.mark.parametrize("damage", [b"", b"some byteS", DATA + b"\n", DATA[:-1], bytes(10_000)])
    def test_damaged_counts_as_absent(self, store: Store, damage: bytes) -> None:
        """Every reading checks the digest again, and writing again repairs."""
        store.write_object(DIGEST, DATA)
        (path,) = (path for path in store.cache.rglob("*") if path.is_file())
        path.write_bytes(damage)
        assert store.read_object(DIGEST) is None
        store.write_object(DIGEST, DATA)
        assert store.read_object(DIGEST) == DATA

    def test_a_folder_in_its_place_counts_as_absent(self, store: Store) -> None:
        """What cannot be read is absent, and what cannot be cached is no error."""
        (store.cache / DIGEST.hex[:2] / DIGEST.hex / "x").mkdir(parents=True)
        assert store.read_object(DIGEST) is None
        store.write_object(DIGEST, DATA)
        assert store.read_object(DIGEST) is None


class TestState:
    """Small state files."""

    def test_view(self, store: Store) -> None:
        """A view is read back as it was written."""
        assert store.read_view() is None
        store.write_view(VIEW)
        assert store.read_view() == VIEW

    @pytest.mark.parametrize(
        "change",
        [
            {"root": "x"},
            {"catalogue": 7},
            {"policy": None},
            {"checked_at": "now"},
            {"checked_at": True},
            {"not_before": None},
            {"expires": float("nan")},
            {"expires": float("inf")},
            {"dev_keys": "no"},
            {"source": []},
            {"unknown": 1},
        ],
    )
    def test_a_damaged_view_counts_as_none(self, store: Store, change: dict[str, Any]) -> None:
        """Wrong types and unknown members are as if nothing had been remembered: a host is asked again."""
        store.write_view(VIEW)
        (store.state / "view.json").write_text(json.dumps({**asdict(VIEW), **change}))
        assert store.read_view() is None

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"{}", bytes(100), b"[" * 100_000])
    def test_unreadable_files_count_as_none(self, store: Store, data: bytes) -> None:
        """A file cut off or overwritten is no traceback."""
        (store.state / "revisions").mkdir(parents=True)
        (store.state / "view.json").write_bytes(data)
        (store.state / "revisions" / "calendar.json").write_bytes(data)
        (store.state / "blocks.json").write_bytes(data)
        assert store.read_view() is None
        assert store.read_blocks() == HeldBlocks(0, data)
        assert store.read_revisions("calendar") == {}

    def test_blocks(self, store: Store) -> None:
        """Blocks are kept as bytes, and not written again when unchanged."""
        assert store.read_blocks() is None
        store.write_blocks(HeldBlocks(1, b"one"), 1)
        inode = (store.state / "blocks.json").stat().st_ino
        store.write_blocks(HeldBlocks(1, b"one"), 1)
        assert (store.state / "blocks.json").stat().st_ino == inode
        store.write_blocks(HeldBlocks(2, b"two"), 1)
        assert store.read_blocks() == HeldBlocks(2, b"two")

    def test_revisions(self, store: Store) -> None:
        """Revisions are kept per plugin; entries of other types are left out."""
        store.write_revisions("calendar", {"1.0.0": (3, "x"), "1.1.0": (1, "y")})
        assert store.read_revisions("calendar") == {"1.0.0": (3, "x"), "1.1.0": (1, "y")}
        assert store.read_revisions("notes") == {}
        bad: Sequence[Any] = (None, [], [1], ["1", "x"], [1, 2], [1, "x", 3], {"a": 1}, [True, "x"])
        text = json.dumps({str(n): item for n, item in enumerate(bad)} | {"good": [2, "z"]})
        (store.state / "revisions" / "calendar.json").write_text(text)
        assert store.read_revisions("calendar") == {"good": (2, "z")}

    def test_each_registry_has_its_own(self, tmp_path: Path) -> None:
        """State goes by URL, with or without a final slash; the installation's id is one for all."""
        one, same, other = (Store(Directories.default(tmp_path), url) for url in (URL, URL + "/", URL + "2"))
        one.write_view(VIEW)
        assert same.read_view() == VIEW
        assert other.read_view() is None
        assert one.install_id() == other.install_id()

    def test_default_directories(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Below the given home, or where the platform keeps such things."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
        assert Directories.default(tmp_path) == Directories(tmp_path / "state", tmp_path / "cache")
        if sys.platform == "linux":
            expected = Directories(tmp_path / "s" / "plugin-registry", tmp_path / "c" / "plugin-registry")
            assert Directories.default() == expected
