"""State shared by threads and processes: one installation id, one writer at a time."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry_client.errors import ConfigError
from registry_client.store import Directories, Store

ROOT = Path(__file__).parents[1]
URL = "https://registry.example/main"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Directories.default(tmp_path), URL)


class TestInstallId:
    """The name that decides about rollouts."""

    def test_is_kept(self, store: Store) -> None:
        """32 hex digits, the same ever after."""
        first = store.install_id()
        assert len(bytes.fromhex(first)) == 16
        assert store.install_id() == first

    @pytest.mark.parametrize(
        "damage", [b"", b"x" * 32, b"\xff" * 32, b"0" * 31, b"A" * 32, b"0" * 33, bytes(32)]
    )
    def test_damaged_is_made_anew(self, store: Store, damage: bytes) -> None:
        """A damaged file is replaced, once."""
        path = store.state.parent / "install-id"
        path.parent.mkdir(parents=True)
        path.write_bytes(damage)
        made = store.install_id()
        assert len(bytes.fromhex(made)) == 16
        assert store.install_id() == path.read_text() == made

    def test_processes_agree(self, tmp_path: Path) -> None:
        """Eight processes that start at once, five times over, find one id each time."""
        code = (
            "import sys, time; from pathlib import Path; import filelock\n"
            "from registry_client.store import Directories, Store\n"
            "for home in sys.argv[2:]:\n"
            "    while time.time() < float(sys.argv[1]): pass\n"
            "    print(Store(Directories.default(Path(home)), 'https://x.example').install_id())"
        )
        homes = [str(tmp_path / str(number)) for number in range(5)]
        start = str(time.time() + 1.5)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, start, *homes], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            for _ in range(8)
        ]
        outputs = [process.communicate(timeout=60)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0] * 8
        assert all(len(ids) == 5 for ids in outputs)
        assert [len(set(ids)) for ids in zip(*outputs, strict=True)] == [1] * 5
        assert len(set(outputs[0])) == 5


class TestLock:
    """One writer at a time."""

    def test_another_process_waits_in_vain(self, store: Store) -> None:
        """Who cannot have the lock in time gets a ConfigError that says so."""
        code = (
            "import sys; from pathlib import Path; from registry_client.store import Directories, Store\n"
            "with Store(Directories.default(Path(sys.argv[1])), sys.argv[2]).locked(5):\n"
            "    print('locked', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(store.state.parents[1]), URL],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"locked\n"
            start = time.monotonic()
            with (
                pytest.raises(ConfigError, match="locked by another process for 0 seconds") as caught,
                store.locked(0.2),
            ):
                pass
            assert time.monotonic() - start < 2
            assert "hung process" in caught.value.hint
            process.kill()  # a killed process gives its lock up
            process.wait()
            with store.locked(5):
                pass

    def test_threads_take_turns(self, store: Store) -> None:
        """Two threads are never inside together."""
        inside: list[int] = []
        most: list[int] = []

        def work(number: int) -> None:
            with store.locked(10):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.005)
                inside.remove(number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(20)))
        assert max(most) == 1

    def test_is_given_up_after_an_error(self, store: Store) -> None:
        """An error inside does not keep the lock."""
        with pytest.raises(ZeroDivisionError), store.locked(1):
            _ = 1 / 0
        with store.locked(0.1):
            pass
