"""`publisher registry mirror`: what is copied, in which order, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve
from support.mirrored import copy_of, publish, run
from support.mirrored import newest as newest_at

from publisher.cli.main import main
from publisher.mirror import folder as module
from publisher.mirror.folder import Folder
from publisher.mirror.kinds import write_order
from publisher.mirror.opening import open_place
from publisher.mirror.place import OWN
from publisher.mirror.run import Copied, Options, Source
from publisher.mirror.run import mirror as run_mirror
from publisher.mirror.served import served_paths
from publisher.tree import DirTree, write_changes
from registry_client.bundle import BUNDLE_PATH
from registry_client.errors import ConfigError, PublishError

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def mirror(folder: Path, source: Path, kept: Kept | None = None, grace: timedelta = timedelta(0)) -> Copied:
    """One run into a folder."""
    now = kept.now if kept else Kept(source, {}).now
    return run(open_place(str(folder), source, {}, wait=0), source, now, grace=grace)


def newest(kept: Kept, folder: Path, home: Path) -> str:
    """What a fresh host reads from a mirror."""
    with serve(folder) as url:
        return newest_at(kept, url, home)


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, by path, but what runs remember."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {path: file.read_bytes() for path, file in found.items() if not path.startswith(OWN)}


def test_hosts_read_a_mirror(kept: Kept, tmp_path: Path) -> None:
    """All that is served is there, byte for byte, and nothing else; a host reads it as it reads the registry."""
    folder = tmp_path / "mirror"
    done = mirror(folder, kept.folder)
    copied = files(folder)
    assert set(done.written) == set(copied)
    tops = {path.split("/")[0] for path in copied}
    assert tops == {
        "blocks.json", "bundle", "metadata", "plugins", "policy.json", "publishers", "registry.json", "schema", "targets",
    }  # fmt: skip
    del copied[BUNDLE_PATH]
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
    assert set(files(folder)) == {*served_paths(DirTree(kept.folder)), BUNDLE_PATH, "CNAME"}
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
    assert set(seen) == {"1.0.0"}  # the timestamp is the last of all
    assert newest(kept, folder, tmp_path / "home") == "1.1.0"
    monkeypatch.setattr(module, "write_changes", write_changes)
    half = tmp_path / "mirror-3"
    mirror(half, kept.folder)
    assert files(half) == files(folder)


def test_a_registry_that_changes_meanwhile(kept: Kept, tmp_path: Path) -> None:
    """The new timestamp is not taken over the old files, so hosts go on with the state before."""
    folder = tmp_path / "mirror"
    mirror(folder, kept.folder)

    place = open_place(str(folder), kept.folder, {}, wait=0)
    publish(kept, "1.1.0")
    before = Source(DirTree(kept.folder), "registry")
    publish(kept, "1.2.0")
    with pytest.raises(ConfigError, match="changed while it was copied"):
        run_mirror(place, before, Options(kept.now))
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
    (folder / "metadata" / "1.snapshot.json").unlink()
    assert mirror(folder, kept.folder).written == ("metadata/1.snapshot.json",)
    assert newest(kept, folder, tmp_path / "home") == "1.0.0"


def test_what_is_gone_stays_for_a_while(kept: Kept, tmp_path: Path) -> None:
    """Readers that arrive late, with the state before, find its files; then they go, what names others first."""
    folder, week = tmp_path / "mirror", timedelta(days=7)
    mirror(folder, kept.folder, kept)
    publish(kept, "1.1.0")
    kept.pass_time(days=30)
    publish(kept, "1.2.0")
    first = mirror(folder, kept.folder, kept, week)
    before = {*files(folder)} - {*served_paths(DirTree(kept.folder)), BUNDLE_PATH}
    assert (first.deleted, first.leaving) == ((), len(before))
    assert before
    kept.pass_time(days=6.9)
    assert mirror(folder, kept.folder, kept, week).deleted == ()
    kept.pass_time(days=0.2)
    last = mirror(folder, kept.folder, kept, week)
    assert {*last.deleted} == before
    assert list(last.deleted) == sorted(before, key=write_order, reverse=True)
    assert not [path for path in before if (folder / path).exists()]


def test_what_comes_back_in_time_is_not_deleted(kept: Kept, tmp_path: Path) -> None:
    """Its grace begins anew when it goes again."""
    folder, week, old = tmp_path / "mirror", timedelta(days=7), kept.folder / "schema" / "extra.json"
    old.write_text("{}")
    mirror(folder, kept.folder, kept, week)
    old.unlink()
    assert mirror(folder, kept.folder, kept, week).leaving == 1
    kept.pass_time(days=5)
    old.write_text("{}")
    assert mirror(folder, kept.folder, kept, week).leaving == 0
    old.unlink()
    mirror(folder, kept.folder, kept, week)
    kept.pass_time(days=5)
    assert mirror(folder, kept.folder, kept, week).leaving == 1
    kept.pass_time(days=2)
    assert mirror(folder, kept.folder, kept, week).deleted == ("schema/extra.json",)


def test_two_runs_into_one_folder(kept: Kept, tmp_path: Path) -> None:
    """One waits for the other; the newer state stays, whole, whichever was first."""
    old = copy_of(kept, tmp_path / "old")
    publish(kept, "1.1.0")
    for round_ in range(5):
        folder = tmp_path / f"mirror-{round_}"
        said: list[str] = []
        start = threading.Barrier(2)

        def go(
            source: Path, folder: Path = folder, start: threading.Barrier = start, said: list[str] = said
        ) -> None:
            start.wait()
            try:
                run(Folder(folder, 30), source, kept.now)
            except ConfigError as e:
                said.append(e.message)

        threads = [threading.Thread(target=go, args=(source,)) for source in (old.folder, kept.folder)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all("is at timestamp" in message for message in said)
        here = files(folder)
        assert all(
            here[path] == (kept.folder / path).read_bytes() for path in served_paths(DirTree(kept.folder))
        )


def test_a_run_that_goes_on_is_not_joined(kept: Kept, tmp_path: Path) -> None:
    """Waiting ends, and says why."""
    folder = tmp_path / "mirror"
    with Folder(folder, 0).exclusive(1), pytest.raises(PublishError, match="another run writes"):
        mirror(folder, kept.folder)


def test_a_run_that_waits_says_so(kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five minutes of silence look like a fault."""
    folder = tmp_path / "mirror"
    arguments = ["registry", "mirror", str(folder), "--from", str(kept.folder), "--wait", "0"]
    with Folder(folder, 0).exclusive(1):
        assert main(arguments) == 9
    assert "waiting for it" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "waiting" not in capsys.readouterr().err


def test_a_mirror_that_would_be_committed(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder inside a checkout is warned of, unless Git ignores it; one beside it is not, nor one without Git."""

    def warned(folder: Path) -> bool:
        assert main(["registry", "mirror", str(folder), "--from", str(kept.folder)]) == 0
        return "would commit it; take a folder beside it" in capsys.readouterr().err

    assert not warned(kept.folder / "_site")
    subprocess.run(["git", "init", "--quiet", str(kept.folder)], check=True)
    assert warned(kept.folder / "_site")
    assert not warned(tmp_path / "beside")
    (kept.folder / ".gitignore").write_text("/_site/\n")
    assert not warned(kept.folder / "_site")


def test_a_dry_run_writes_nothing(kept: Kept, tmp_path: Path) -> None:
    """It says what a run would do; the folder is not even made."""
    folder = tmp_path / "mirror"
    would = run(Folder(folder, 0), kept.folder, kept.now, dry_run=True)
    assert not folder.exists()
    assert mirror(folder, kept.folder).written == would.written


def test_links_are_not_followed(kept: Kept, tmp_path: Path) -> None:
    """A link in the mirror never leads a write out of it."""
    folder, outside = tmp_path / "mirror", tmp_path / "outside"
    mirror(folder, kept.folder)
    outside.mkdir()
    shutil.rmtree(folder / "schema")
    (folder / "schema").symlink_to(outside)
    with pytest.raises(ConfigError, match="symbolic link"):
        mirror(folder, kept.folder)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["schema", "metadata/more", "plugins"])
def test_links_in_the_source_are_not_followed(kept: Kept, tmp_path: Path, name: str) -> None:
    """A registry in which a folder is a link to another of this machine's makes none of that public."""
    folder, private = tmp_path / "mirror", tmp_path / "private"
    private.mkdir()
    (private / "id_ed25519").write_text("hunter2")
    shutil.rmtree(kept.folder / name, ignore_errors=True)
    (kept.folder / name).symlink_to(private)
    mirror(folder, kept.folder)
    assert not [path for path in files(folder) if "id_ed25519" in path]


def test_a_run_that_was_killed_at_its_first_write(kept: Kept, tmp_path: Path) -> None:
    """What it leaves is no other file: the next run completes the mirror."""
    folder = tmp_path / "mirror"
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / ".tmp-1234").write_bytes(b"{")
    mirror(folder, kept.folder)
    assert newest(kept, folder, tmp_path / "home") == "1.0.0"


def test_a_run_that_begins_while_another_does(kept: Kept, tmp_path: Path) -> None:
    """Between the look for a root and the look for other files, another run has written both: that is no place of other files."""

    class Joined(Folder):
        def empty(self) -> bool:
            mirror(tmp_path / "mirror", kept.folder)
            return super().empty()

    assert run(Joined(tmp_path / "mirror", 0), kept.folder, kept.now).written == ()


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
