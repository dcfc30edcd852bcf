"""Transactions, their recovery, and the area they work in: what is said and done, step by step."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.areas import (
    CHANGES,
    EDITS,
    START,
    Change,
    apply,
    content,
    fill,
    installed,
    no_swap,
    prepare,
    tree,
)

from registry_client.digest import Digest
from registry_client.errors import ConfigError, InstallError
from registry_client.installer.disk import exchange
from registry_client.installer.disk import steps as disk
from registry_client.installer.disk.area import Area, read_receipt
from registry_client.installer.disk.exchange import Way, swap_folders
from registry_client.installer.disk.record import Record
from registry_client.installer.disk.steps import exists, is_real_folder
from registry_client.installer.disk.transaction import Move, Target, Transaction, recover

ROOT = Path(__file__).parents[1]
TX = "0123456789abcdef"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with plugins a, b, c, and d disabled."""
    apply(tmp_path, START)
    return tmp_path


@pytest.fixture
def area(project: Path) -> Area:
    return Area(project / "plugins")


def stop_after_commit_point(project: Path, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a project as a run does that is killed right after its journal was written."""

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("registry_client.installer.disk.transaction._complete", killed)
        patched.setattr(Transaction, "_roll_back", killed)
        with pytest.raises(KilledError):
            apply(project, change)


class TestCommit:
    """What a change does."""

    @pytest.mark.parametrize("swap", [swap_folders, no_swap])
    def test_many_at_once(self, project: Path, area: Area, swap: Any) -> None:
        """Installed, upgraded, removed, disabled, enabled: folders, record and files agree."""
        apply(project, CHANGES["many"], swap)
        assert read_receipt(area.active("a")) is not None
        for plugin_id, version in {"a": "2.0.0", "e": "1.0.0", "d": "1.0.0"}.items():
            files = tree(area.active(plugin_id)) or {}
            assert files.items() >= content(plugin_id, version).items()
            assert set(files) == {*content(plugin_id, version), ".plugin/receipt.json"}
        assert not area.active("b").exists()
        assert not area.active("c").exists()
        assert area.disabled("c").is_dir()
        assert not area.disabled("d").exists()
        assert sorted(area.read_record().plugins) == ["a", "c", "d", "e", "f"]
        assert {name: (project / name).read_bytes() for name in EDITS} == EDITS
        assert list(area.staging.iterdir()) == []

    def test_receipt(self, area: Area) -> None:
        """It says which transaction put a folder there; the manifest stands beside it as it was received."""
        transaction = Transaction(area, TX)
        folder = transaction.stage("x")
        digest = Digest.of(b"payload")
        transaction.receipt("x", "1.2.0", digest, b"{ signed }")
        assert json.loads((folder / ".plugin" / "receipt.json").read_text("utf-8")) == {
            "transaction": TX,
            "id": "x",
            "version": "1.2.0",
            "digest": digest,
        }
        assert (folder / ".plugin" / "manifest.json").read_bytes() == b"{ signed }"
        with pytest.raises(InstallError, match="receipt cannot be written"):
            transaction.receipt("x", "1.2.0", digest, None)

    def test_only_files_change(self, project: Path) -> None:
        """No move at all is a transaction too; a file that is missing is made; one keeps its permissions, a link its target."""
        real = project / "real.toml"
        (project / "plugins.toml").rename(real)
        real.chmod(0o600)
        (project / "plugins.toml").symlink_to(real)
        (project / "plugins.lock").unlink()
        apply(project, Change("files000", files=EDITS))
        assert real.read_bytes() == EDITS["plugins.toml"]
        assert real.stat().st_mode & 0o777 == 0o600
        assert (project / "plugins.toml").is_symlink()
        assert (project / "plugins.lock").read_bytes() == EDITS["plugins.lock"]

    def test_way_is_reported(self, tmp_path: Path) -> None:
        """Whether folders are exchanged in one step can be asked; nothing is left of the question."""
        assert exchange.way(tmp_path, no_swap) is Way.RENAMES
        expected = Way.ATOMIC if sys.platform in {"linux", "darwin"} else Way.RENAMES
        assert exchange.way(tmp_path) is expected
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "number", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENOENT]
    )
    def test_exchange_that_the_system_cannot(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """An old kernel or another file system means two renames; a refusal is an error."""
        monkeypatch.setattr(exchange, "_call", lambda *_: number)
        a, b, aside = (tmp_path / name for name in "abc")
        fill(a, {"x": b"new"})
        fill(b, {"x": b"old"})
        if number in {errno.EACCES, errno.ENOENT}:
            with pytest.raises(OSError, match=os.strerror(number)):
                exchange.exchange(a, b, aside)
        else:
            assert exchange.exchange(a, b, aside) is Way.RENAMES
            assert (tree(b), tree(aside)) == ({"x": b"new"}, {"x": b"old"})


class TestRefused:
    """What a transaction does not touch."""

    @pytest.mark.parametrize(
        ("name", "kind"),
        [(n, k) for n in ("install", "enable", "upgrade") for k in ("link", "file", "broken link")]
        + [("install", "folder"), ("enable", "folder")],
    )
    def test_in_the_way(self, project: Path, area: Area, kind: str, name: str) -> None:
        """What stands where a plugin goes, and nobody recorded, stays; the owner is told, and nothing changes."""
        change = CHANGES[name]
        place = area.active({"install": "e", "enable": "d", "upgrade": "a"}[name])
        if name == "upgrade":
            place.rename(project / "moved")
        match kind:
            case "folder":
                fill(place, {"mine": b"x"})
            case "file":
                place.write_bytes(b"x")
            case _:
                place.symlink_to(project if kind == "link" else "nowhere")
        before = tree(project)
        with pytest.raises(InstallError, match=r"in the way|is a link or a file") as caught:
            apply(project, change)
        assert str(place) in str(caught.value)
        assert caught.value.hint
        assert tree(project) == before
        assert exists(place)

    def test_adopting(self, project: Path, area: Area) -> None:
        """A folder that is being adopted is replaced by what was packed of it."""
        fill(area.active("e"), {"mine": b"x"})
        apply(project, Change("adopt000", put={"e": "1.0.0"}, adopting=("e",)))
        assert (tree(area.active("e")) or {}).items() >= content("e", "1.0.0").items()
        assert "mine" not in (tree(area.active("e")) or {})

    def test_stray_disabled_folder(self, project: Path, area: Area) -> None:
        """What is left in the disabled ones' folder without being recorded there does not keep a plugin from being disabled."""
        fill(area.disabled("a"), {"stale": b"x"})
        apply(project, CHANGES["disable"])
        assert "stale" not in (tree(area.disabled("a")) or {})
        assert not area.active("a").exists()

    def test_missing_folders(self, project: Path, area: Area) -> None:
        """A folder that somebody deleted: removing and disabling go through, enabling says what to do, installing mends it."""
        for plugin_id in "abc":
            disk.remove_tree(area.active(plugin_id))
        disk.remove_tree(area.disabled("d"))
        with pytest.raises(InstallError, match="files are missing"):
            apply(project, CHANGES["enable"])
        apply(project, Change("several0", put={"c": "1.0.0"}, remove=("a",), aside=("b",)))
        assert area.active("c").is_dir()
        assert set(area.read_record().plugins) == {"b", "c", "d"}

    def test_without_receipt(self, area: Area) -> None:
        """Content without a receipt is not put in place: nobody could tell it from the old."""
        transaction = Transaction(area, TX)
        transaction.stage("x")
        with pytest.raises(InstallError, match="receipt"):
            transaction.commit([Move("x", staged=True, target=Target.ACTIVE)], Record.model_validate({}), {})
        transaction.abandon()
        assert list(area.staging.iterdir()) == []

    @pytest.mark.parametrize("name", ["", "short", "UPPER000", "../../etc", "a" * 65, "with.dots0"])
    def test_transaction_ids(self, area: Area, name: str) -> None:
        """They name a folder, so they are checked."""
        with pytest.raises(ValueError, match="transaction"):
            Transaction(area, name)

    @pytest.mark.parametrize("name", ["", "..", "a/b", "A", ".plugin", "nul"])
    def test_ids(self, area: Area, name: str) -> None:
        """No path is made of what is no plugin id."""
        for make in (area.active, area.disabled):
            with pytest.raises(ValueError, match="plugin id"):
                make(name)

    def test_journal_pending(self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
        """No second change begins before an interrupted one is completed, and neither is what it prepared removed."""
        stop_after_commit_point(project, CHANGES["upgrade"], monkeypatch)
        with pytest.raises(InstallError, match="to be completed first"):
            apply(project, CHANGES["install"])
        area.clean(area.read_record())
        assert recover(area, [project / name for name in EDITS])
        assert (tree(area.active("a")) or {}).items() >= content("a", "2.0.0").items()


class TestRecover:
    """The next run."""

    def test_nothing_to_do(self, project: Path, area: Area) -> None:
        """Without a journal nothing is said, and what an uncommitted run prepared goes; also where there is no area yet."""
        prepare(area, CHANGES["many"])
        assert list(area.staging.iterdir())
        assert recover(area) is None
        assert list(area.staging.iterdir()) == []
        assert recover(Area(project / "elsewhere")) is None
        assert not (project / "elsewhere").exists()

    def test_says_what_it_did(self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
        """It names the plugins."""
        stop_after_commit_point(project, CHANGES["many"], monkeypatch)
        done = recover(area, [project / name for name in EDITS])
        assert done == "completed an interrupted change of a, b, c, d, e, f"
        assert not area.journal_path.exists()

    def test_edited_files_stay(self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that somebody edited meanwhile is left as it is, and named; the others are written."""
        stop_after_commit_point(project, CHANGES["upgrade"], monkeypatch)
        (project / "plugins.toml").write_bytes(b"mine\n")
        done = recover(area, [project / name for name in EDITS])
        assert done is not None
        assert f"{project / 'plugins.toml'} was edited since" in done
        assert (project / "plugins.toml").read_bytes() == b"mine\n"
        assert (project / "plugins.lock").read_bytes() == EDITS["plugins.lock"]

    def test_another_project(self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch) -> None:
        """A journal that changes files the caller does not name is left to who does."""
        stop_after_commit_point(project, CHANGES["upgrade"], monkeypatch)
        with pytest.raises(ConfigError, match=r"plugins\.toml"):
            recover(area, [project / "plugins.lock"])
        assert area.journal_path.exists()

    def test_somebody_put_a_folder_there(
        self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What appeared between the two runs is not overwritten; moved away, the change completes."""
        stop_after_commit_point(project, CHANGES["install"], monkeypatch)
        fill(area.active("e"), {"mine": b"x"})
        paths = [project / name for name in EDITS]
        with pytest.raises(InstallError, match="in the way"):
            recover(area, paths)
        assert tree(area.active("e")) == {"mine": b"x"}
        area.active("e").rename(project / "moved")
        assert recover(area, paths)
        assert (tree(area.active("e")) or {}).items() >= content("e", "1.0.0").items()

    def test_prepared_content_is_lost(
        self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then it cannot be completed, and says so."""
        stop_after_commit_point(project, CHANGES["upgrade"], monkeypatch)
        disk.remove_tree(area.staging)
        with pytest.raises(InstallError, match="is not there any more"):
            recover(area, [project / name for name in EDITS])
        assert (tree(area.active("a")) or {}).items() >= content("a", "1.0.0").items()

    @pytest.mark.parametrize(
        "change",
        [
            {"transaction": "../../../etc"},
            {"transaction": ""},
            {"moves": [{"id": "../x", "staged": False, "before": "active", "target": "gone"}]},
            {"moves": [{"id": "a", "staged": True, "before": "active", "target": "gone"}]},
            {"moves": [{"id": "a", "staged": False, "before": "active", "target": "/etc"}]},
            {"moves": [{"id": "a", "staged": False, "before": "active", "target": "gone"}] * 2},
            {"files": [{"name": "../x", "old": None, "text": ""}]},
            {"files": [{"name": "a\\b", "old": None, "text": ""}]},
            {"files": [{"name": "plugins.toml", "old": "md5:0", "text": ""}]},
            {"record": "x"},
            {"kind": "lock"},
            {"schemaVersion": 2},
            {"more": 1},
            {"moves": None},
        ],
    )
    def test_hostile_journals(self, project: Path, area: Area, change: dict[str, Any]) -> None:
        """A journal is parsed as strictly as what comes from elsewhere, and nothing is done before all of it is."""
        good = {
            "kind": "journal",
            "schemaVersion": 1,
            "transaction": TX,
            "moves": [{"id": "a", "staged": False, "before": "active", "target": "gone"}],
            "record": (area.record_path).read_text("utf-8"),
            "files": [{"name": "plugins.toml", "old": None, "text": "new"}],
        }
        before = tree(project)
        area.journal_path.write_text(json.dumps(good | change), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            recover(area, [project / "plugins.toml"])
        assert str(area.journal_path) in str(caught.value)
        assert caught.value.hint
        area.journal_path.unlink()
        assert tree(project) == before

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"null"])
    def test_damaged_journals(self, area: Area, data: bytes) -> None:
        """So is what is not even JSON."""
        area.journal_path.write_bytes(data)
        with pytest.raises(ConfigError):
            recover(area)


class TestFailures:
    """What fails without being killed."""

    def test_edited_at_the_same_moment(
        self, project: Path, area: Area, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An editor that saves plugins.toml while the plugins are exchanged: all is taken back, the editor's text stays."""
        before = {i: tree(area.active(i)) for i in "abc"}
        flush = disk.flush_folder

        def editing(folder: Path) -> None:
            if folder == area.folder:
                (project / "plugins.toml").write_bytes(b"mine\n")
            flush(folder)

        monkeypatch.setattr("registry_client.installer.disk.moves.flush_folder", editing)
        with pytest.raises(InstallError, match=r"nothing was changed.*same moment"):
            apply(project, CHANGES["many"])
        assert (project / "plugins.toml").read_bytes() == b"mine\n"
        assert {i: tree(area.active(i)) for i in "abc"} == before
        assert recover(area) is None

    def test_interrupted_by_hand(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C is no kill: it is taken back, and stays a KeyboardInterrupt."""
        before = tree(project)

        def interrupted(folder: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("registry_client.installer.disk.moves.flush_folder", interrupted)
        with pytest.raises(KeyboardInterrupt):
            apply(project, CHANGES["many"])
        assert tree(project) == before

    def test_in_use_for_a_moment(self, tmp_path: Path) -> None:
        """A rename that another program prevents is tried again for a while, where the platform needs it."""
        fill(tmp_path / "a", {"x": b""})
        tries = 0

        class Busy(type(tmp_path)):  # type: ignore[misc]
            def rename(self, target: Path) -> Path:
                nonlocal tries
                tries += 1
                if tries < 3:
                    raise PermissionError(errno.EACCES, "in use")
                return Path(self).rename(target)

        disk.rename(Busy(tmp_path / "a"), tmp_path / "b", patience=5)
        assert tries == 3
        assert (tmp_path / "b").is_dir()
        tries = -1000
        with pytest.raises(PermissionError):
            disk.rename(Busy(tmp_path / "b"), tmp_path / "c", patience=0.1)

    @pytest.mark.parametrize(
        ("number", "hint"), [(errno.ENOSPC, "Free some space"), (errno.EACCES, "Stop what uses")]
    )
    def test_hints(self, number: int, hint: str) -> None:
        """A full disk and a folder in use have ways out of their own."""
        with pytest.raises(InstallError, match="doing") as caught, disk.disk_errors("doing"):
            raise OSError(number, os.strerror(number))
        assert hint in caught.value.hint

    def test_flush_without_the_system_call(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a file system cannot be flushed by one call, each file is."""
        fill(tmp_path, {"a": b"", "b/c": b"", "b/d/e": b""})
        flushed: list[str] = []
        monkeypatch.setattr(disk, "_sync_file_system", lambda _: False)
        monkeypatch.setattr(disk, "_flush_file", lambda path: flushed.append(Path(path).name))
        disk.flush_tree(tmp_path)
        assert sorted(flushed) == ["a", "c", "e"]
        monkeypatch.undo()
        disk._flush_file(str(tmp_path / "a"))
        disk.flush_tree(tmp_path)


class TestArea:
    """The installer's own folder."""

    def test_record(self, area: Area, tmp_path: Path) -> None:
        """Missing is empty; damaged is an error that names the file and the way out, not an empty one."""
        assert Area(tmp_path / "none").read_record().plugins == {}
        for damage in (b"", b"{", b"\xff", b'{"plugins": {"a": 1}}', b"[" * 100_000):
            area.record_path.write_bytes(damage)
            with pytest.raises(ConfigError) as caught:
                area.read_record()
            assert str(area.record_path) in str(caught.value)
            assert "plugin install" in caught.value.hint

    def test_holds(self, area: Area) -> None:
        """A folder counts as the recorded one by its receipt: its version and digest, where it is recorded to be."""
        assert area.holds(installed("a", "1.0.0"))
        assert area.holds(installed("d", "1.0.0", disabled=True))
        assert not area.holds(installed("a", "1.0.0", disabled=True))
        assert not area.holds(installed("a", "2.0.0"))
        assert not area.holds(installed("e", "1.0.0"))
        for damage in (b"", b"{}", b"[]", b'{"transaction": 1}', b" " * 100_000):
            (area.active("b") / ".plugin" / "receipt.json").write_bytes(damage)
            assert not area.holds(installed("b", "1.0.0"))
        area.active("c").rename(area.folder / "elsewhere")
        area.active("c").symlink_to(area.folder / "elsewhere")
        assert not is_real_folder(area.active("c"))
        assert not area.holds(installed("c", "1.0.0"))

    def test_clean(self, area: Area) -> None:
        """What current and previous versions need stays; other archives, manifests, old downloads and leftovers go."""
        current, previous, other = (Digest.of(text) for text in (b"a2.0.0", b"a1.0.0", b"x"))
        payload = Digest.of(b"payload")
        new, old = installed("a", "2.0.0"), installed("a", "1.0.0")
        signed = {"kind": "registry", "registry": "main"}
        plugin = old.plugin.model_dump(mode="json", by_alias=True) | {
            "source": signed,
            "payloadDigest": payload,
            "publisher": "acme",
        }
        item = new.model_dump(mode="json", by_alias=True) | {"previous": [plugin]}
        record = Record.model_validate_json(
            json.dumps({"kind": "installed", "schemaVersion": 1, "plugins": {"a": item}})
        )
        for digest in (current, previous, other):
            fill(area.archives, {digest.hex: b"packed"})
        fill(area.archives, {".tmp-killed": b""})
        area.write_manifest(payload, b"{}")
        area.write_manifest(other, b"{}")
        fill(area.downloads, {f"{other.hex}.part": b"", f"{current.hex}.part": b""})
        eight_days = time.time() - 8 * 24 * 3600
        os.utime(area.downloads / f"{other.hex}.part", (eight_days, eight_days))
        fill(area.staging, {"killed/a/plugin.py": b""})
        area.clean(record)
        assert {p.name for p in area.archives.iterdir()} == {current.hex, previous.hex}
        assert [p.name for p in area.manifests.iterdir()] == [f"{payload.hex}.json"]
        assert [p.name for p in area.downloads.iterdir()] == [f"{current.hex}.part"]
        assert list(area.staging.iterdir()) == []
        assert not area.disabled("d").exists()

    def test_own_folder_is_a_link(self, tmp_path: Path) -> None:
        """The installer's folder elsewhere would mean another file system: refused."""
        (tmp_path / "plugins").mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "plugins" / ".registry").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(InstallError, match="is a link"), Area(tmp_path / "plugins").locked(1):
            pass

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        """A folder that cannot be made is an error with a way out."""
        (tmp_path / "plugins").write_bytes(b"")
        with pytest.raises(InstallError, match="cannot be written"), Area(tmp_path / "plugins").locked(1):
            pass

    def test_two_runs(self, project: Path, area: Area) -> None:
        """The second fails clearly if the first does not end in time, and goes on if it does."""
        code = (
            "import sys; from pathlib import Path; from registry_client.installer.disk.area import Area\n"
            "with Area(Path(sys.argv[1])).locked(5):\n"
            "    print('locked', flush=True); sys.stdin.readline()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(area.folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "locked\n"
            with pytest.raises(InstallError, match="another run"), area.locked(0.2):
                pass
            other.stdin.write("\n")
            other.stdin.flush()
            apply(project, CHANGES["upgrade"])  # waits up to 5 seconds
            assert other.wait(10) == 0

    def test_eight_at_once(self, project: Path, area: Area) -> None:
        """Eight processes that change the same plugins one after another: the last one's state is whole."""
        code = (
            "import sys; from pathlib import Path; from support.areas import Change, apply\n"
            "n = sys.argv[2]\n"
            "apply(Path(sys.argv[1]), Change(f'parallel{n}', put={i: f'{n}.0.0' for i in 'abc'},"
            " files={'plugins.toml': n.encode()}))"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(project), str(number)],
                cwd=ROOT / "tests",
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            )
            for number in range(2, 10)
        ]
        assert [process.wait(60) for process in processes] == [0] * 8
        version = f"{(project / 'plugins.toml').read_text('utf-8')}.0.0"
        for plugin_id in "abc":
            assert area.read_record().plugins[plugin_id].plugin.version == version
            assert (tree(area.active(plugin_id)) or {}).items() >= content(plugin_id, version).items()
