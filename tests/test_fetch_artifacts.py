"""Packed files into the archives: side by side, resumed, once each; what breaks off, and what stands in the way."""

from __future__ import annotations

import errno
import io
import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.httpd import EVERY_PATH, Fault, FaultServer
from support.world import World

from registry_client.digest import Digest
from registry_client.errors import DigestError, FetchError, InstallError, NotFetchedError
from registry_client.hosts import Hosts
from registry_client.http import Transport
from registry_client.installer.archives.fetch import Job, fetch_artifacts, has_archive, open_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer

    from registry_client.downloads import Received

COUNT = 12
SIZE = 100_000
HALF = SIZE // 2
FILES = {f"{n}.zip": random.Random(n).randbytes(SIZE) for n in range(COUNT)}
ONE = FILES["0.zip"]
POSIX = os.name == "posix"


@dataclass
class Source:
    """A session as far as downloads go: one host, no signed state."""

    url: str
    timeout: float = 10.0
    retried: int = 0

    def download(
        self,
        location: str,
        *,
        digest: Digest,
        size: int,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
        received: Received | None = None,
    ) -> None:
        Hosts((self.url,), tuple, Transport(socket_timeout=5)).download(
            location,
            digest=digest,
            size=size,
            timeout=self.timeout,
            sink=sink,
            restart=restart,
            received=received,
        )

    def retrying(self, work: Callable[[], None]) -> None:
        try:
            work()
        except NotFetchedError:
            self.retried += 1
            work()


@dataclass
class Place:
    """The folders, the host, and what was reported."""

    folder: Path
    server: FaultServer
    reports: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def parts(self) -> Path:
        return self.folder / "downloads"

    @property
    def archives(self) -> Path:
        return self.folder / "archives"

    def part(self, data: bytes = ONE) -> Path:
        """Where the partial download of a file is."""
        return self.parts / f"{Digest.of(data).hex}.part"

    def archive(self, data: bytes = ONE) -> Path:
        """Where a complete file is."""
        return self.archives / Digest.of(data).hex

    def put(self, path: Path, data: bytes) -> Path:
        """Have a file there from before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def job(self, name: str = "0.zip", data: bytes | None = None, plugin: str = "") -> Job:
        """The job for a file of the host."""
        data = FILES[name] if data is None else data
        url = self.server.url
        return Job(Source(url), plugin or f"acme-{name}", f"{url}/{name}", Digest.of(data), len(data))

    def fetch(self, *jobs: Job, parallel: int = 8) -> None:
        """Fetch these."""
        fetch_artifacts(
            jobs,
            parts=self.parts,
            archives=self.archives,
            parallel=parallel,
            progress=lambda *report: self.reports.append(report),
        )

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [seen.headers.get("range") for seen in self.server.seen]


class SmallDisk(io.FileIO):
    """A file on a disk that has room for half of it."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what there is room for."""
        room = HALF - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(memoryview(data)[:room])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FaultServer(FILES.get) as server:
        yield Place(tmp_path / ".registry", server)


class TestWhole:
    """Nothing goes wrong."""

    def test_all_arrive(self, place: Place) -> None:
        """Every file is in the archives under its digest, and no part is left."""
        place.fetch(*(place.job(name) for name in FILES))
        assert {p.name: p.read_bytes() for p in place.archives.iterdir()} == {
            Digest.of(data).hex: data for data in FILES.values()
        }
        assert list(place.parts.iterdir()) == []
        assert place.server.requests == COUNT

    def test_side_by_side(self, place: Place) -> None:
        """Twelve answers of 0.3 s each take far less than one after the other."""
        place.server.latency = 0.3
        start = time.monotonic()
        place.fetch(*(place.job(name) for name in FILES), parallel=COUNT)
        assert time.monotonic() - start < COUNT * 0.3 / 2

    def test_what_is_there_is_not_fetched(self, place: Place) -> None:
        """No request, and the file is the same one."""
        archive = place.put(place.archive(), ONE)
        inode = archive.stat().st_ino
        place.fetch(place.job())
        assert (place.server.requests, archive.stat().st_ino) == (0, inode)

    def test_nothing_to_do_makes_no_folder(self, place: Place) -> None:
        """An empty list touches nothing."""
        place.fetch()
        assert not place.folder.exists()

    def test_the_same_file_twice(self, place: Place) -> None:
        """Two plugins with one file fetch it once."""
        place.fetch(place.job(plugin="a"), place.job(plugin="b"))
        assert place.server.requests == 1

    def test_one_file_with_two_sizes(self, place: Place) -> None:
        """One of two manifests lies; both are named and nothing is fetched."""
        job = place.job(plugin="acme-a")
        other = Job(job.session, "acme-b", job.url, job.digest, job.size + 1)
        with pytest.raises(DigestError, match=r"acme-b: states 100001 bytes .* acme-a states 100000"):
            place.fetch(job, other)
        assert place.server.requests == 0

    def test_progress(self, place: Place) -> None:
        """Bytes grow up to the total, for each file, and never from two threads at once."""
        inside = threading.Lock()
        seen: dict[str, list[int]] = {}

        def report(name: str, received: int, total: int) -> None:
            assert inside.acquire(blocking=False)
            seen.setdefault(name, []).append(received)
            assert total == SIZE
            inside.release()

        jobs = [place.job(name) for name in FILES]
        fetch_artifacts(jobs, parts=place.parts, archives=place.archives, progress=report)
        assert set(seen) == {job.name for job in jobs}
        assert all(counts == sorted(counts) and counts[-1] == SIZE for counts in seen.values())

    def test_a_registry(self, place: Place, tmp_path: Path) -> None:
        """A session of a registry is a source, of files below its URL too, whose host breaks off once."""
        world = World(tmp_path / "registry", base_url=place.server.url)
        world.add_publisher("acme")
        artifacts = [{"ecosystem": "custom", "path": "calendar.bin"}]
        world.publish("acme-calendar", "1.0.0", files={"calendar.bin": ONE}, artifacts=artifacts)
        world.register()
        with FaultServer(world.tree.read) as mirror:
            client = world.client(url=mirror.url, mirrors=(mirror.url,))
            (artifact,) = client.manifest("acme-calendar", "1.0.0").model.artifacts or ()
            assert ":" not in artifact.url
            mirror.fail(artifact.url, Fault(truncate=HALF, times=1))
            place.fetch(Job(client.session, "acme-calendar", artifact.url, artifact.digest, artifact.size))
        assert place.archive().read_bytes() == ONE


class TestResume:
    """What was there before, or broke off."""

    def test_a_part_is_continued(self, place: Place) -> None:
        """Only the rest is asked for and sent; progress begins where it stood."""
        place.put(place.part(), ONE[:HALF])
        place.fetch(place.job())
        assert place.archive().read_bytes() == ONE
        assert place.ranges == [f"bytes={HALF}-"]
        assert HALF <= place.server.bytes_sent < HALF + 500
        assert place.reports[0] == ("acme-0.zip", HALF, SIZE)
        assert not place.part().exists()

    def test_a_cut_and_another_run(self, place: Place) -> None:
        """What one run received the next does not fetch again, and together they fetch the file once."""
        place.server.fail("0.zip", Fault(truncate=HALF, times=1))
        place.server.fail(EVERY_PATH, Fault(status=503))
        with pytest.raises(FetchError, match=r"acme-0\.zip: .*broke off"):
            place.fetch(place.job())
        held = place.part().stat().st_size
        assert held == HALF
        assert ONE.startswith(place.part().read_bytes())
        place.server.heal()
        place.server.reset_counters()
        place.fetch(place.job())
        assert place.archive().read_bytes() == ONE
        assert place.ranges == [f"bytes={held}-"]
        assert place.server.bytes_sent < SIZE - held + 500

    @pytest.mark.parametrize(
        "held",
        [b"", b"x", b"x" * HALF, ONE[: HALF - 1] + b"x", b"x" * SIZE, ONE + b"x"],
        ids=["empty", "one", "other", "last", "full", "longer"],
    )
    def test_whatever_the_part_holds(self, place: Place, held: bytes) -> None:
        """The right file comes out, with the whole fetched once at most."""
        place.put(place.part(), held)
        place.fetch(place.job())
        assert place.archive().read_bytes() == ONE
        assert place.ranges.count(None) == 1

    def test_a_complete_part_needs_no_network(self, place: Place) -> None:
        """Killed between the last byte and the rename: nothing is fetched."""
        place.put(place.part(), ONE)
        place.fetch(place.job())
        assert (place.archive().read_bytes(), place.server.requests) == (ONE, 0)

    @pytest.mark.parametrize("absolute", [True, False])
    def test_wrong_bytes_never_become_an_archive(self, place: Place, absolute: bool) -> None:
        """They are thrown away, and the plugin is named."""
        place.server.source = {"0.zip": b"x" * SIZE}.get
        job = place.job()
        job = job if absolute else Job(job.session, job.name, "0.zip", job.digest, job.size)
        with pytest.raises(DigestError, match=r"^acme-0\.zip: .*signed sha256:"):
            place.fetch(job)
        assert not place.archive().exists()
        assert place.part().stat().st_size == 0


class TestFailures:
    """One of several fails."""

    def test_what_has_not_begun_is_not_begun(self, place: Place) -> None:
        """One at a time: what is before the bad one is complete and stays, what is after it was never asked for."""
        names = list(FILES)
        place.server.fail(names[4], Fault(status=404))
        with pytest.raises(NotFetchedError, match=f"^acme-{names[4]}: .*HTTP 404"):
            place.fetch(*(place.job(name) for name in names), parallel=1)
        assert [has_archive(place.archives, Digest.of(FILES[n]), SIZE) for n in names] == [True] * 4 + [
            False
        ] * 8
        assert set(place.server.paths) == set(names[:5])

    def test_what_runs_stops_and_keeps_its_part(self, place: Place) -> None:
        """A slow download is left off when another fails, and continued by the next run."""
        place.server.fail("0.zip", Fault(drip=0.01))
        place.server.fail("1.zip", Fault(status=404, hang=0.3))
        start = time.monotonic()
        with pytest.raises(NotFetchedError, match=r"acme-1\.zip"):
            place.fetch(place.job("0.zip"), place.job("1.zip"))
        assert time.monotonic() - start < 4
        held = place.part().stat().st_size
        assert 0 < held < SIZE
        place.server.heal()
        place.server.reset_counters()
        place.fetch(place.job("0.zip"), place.job("1.zip"))
        assert place.archive().read_bytes() == ONE
        assert f"bytes={held}-" in place.ranges

    def test_a_source_that_moved_on_is_asked_again(self, place: Place) -> None:
        """A missing file makes the source look anew, once."""
        place.server.fail("0.zip", Fault(status=404, times=1))
        job = place.job()
        place.fetch(job)
        assert isinstance(job.session, Source)
        assert job.session.retried == 1
        assert place.archive().read_bytes() == ONE

    def test_progress_that_raises(self, place: Place) -> None:
        """An interruption from above ends all of it and comes out as it is."""

        def interrupt(_name: str, _received: int, _total: int) -> None:
            raise KeyboardInterrupt

        jobs = [place.job(name) for name in FILES]
        with pytest.raises(KeyboardInterrupt):
            fetch_artifacts(jobs, parts=place.parts, archives=place.archives, progress=interrupt, parallel=2)
        assert place.server.requests < COUNT
        assert list(place.archives.iterdir()) == []

    def test_a_full_disk(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message names the plugin, the hint says that nothing is lost, and so it is."""
        monkeypatch.setattr(os, "fdopen", lambda handle, _mode: io.BufferedRandom(SmallDisk(handle, "r+")))
        with pytest.raises(InstallError, match=r"^acme-0\.zip: .*no space left") as caught:
            place.fetch(place.job())
        assert "Free some space" in caught.value.hint
        monkeypatch.undo()
        held = place.part().stat().st_size
        assert 0 < held < SIZE
        place.server.reset_counters()
        place.fetch(place.job())
        assert (place.archive().read_bytes(), place.ranges) == (ONE, [f"bytes={held}-"])

    @pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
    def test_a_folder_that_cannot_be_written(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        """The operating system's reason is in the message."""

        def refuse(*_: object) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(InstallError, match=os.strerror(code)):
            place.fetch(place.job())

    def test_a_file_in_place_of_a_folder(self, place: Place) -> None:
        """It is an InstallError too."""
        place.folder.write_bytes(b"")
        with pytest.raises(InstallError, match="cannot be written"):
            place.fetch(place.job())

    def test_every_host_is_gone(self, place: Place) -> None:
        """The first in order is the one that is named."""
        place.server.fail(EVERY_PATH, Fault(status=410))
        with pytest.raises(NotFetchedError, match=r"^acme-\d+.zip: "):
            place.fetch(*(place.job(name) for name in FILES))


class TestPlanted:
    """What someone put where the installer writes."""

    @pytest.mark.parametrize("held", [b"theirs", ONE[:HALF]])
    @pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
    def test_a_link_is_not_followed(
        self, place: Place, tmp_path: Path, make: Callable[[Path, Path], None], held: bytes
    ) -> None:
        """A part that is another file's second name is taken away; the other file stays as it was."""
        theirs = tmp_path / "theirs"
        theirs.write_bytes(held)
        place.parts.mkdir(parents=True)
        make(place.part(), theirs)
        place.fetch(place.job())
        assert theirs.read_bytes() == held
        assert place.archive().read_bytes() == ONE
        assert not place.archive().is_symlink()
        assert place.ranges == [None]

    @pytest.mark.skipif(not POSIX, reason="Windows has no such pipes")
    def test_a_pipe(self, place: Place) -> None:
        """It is not waited for."""
        place.parts.mkdir(parents=True)
        os.mkfifo(place.part())
        place.fetch(place.job())
        assert place.archive().read_bytes() == ONE

    def test_a_folder(self, place: Place) -> None:
        """A folder is left alone, and named."""
        place.part().mkdir(parents=True)
        with pytest.raises(InstallError, match=r"acme-0.zip: .*\.part"):
            place.fetch(place.job())

    def test_a_link_that_leads_nowhere(self, place: Place, tmp_path: Path) -> None:
        """Nothing is made where it points."""
        place.parts.mkdir(parents=True)
        place.part().symlink_to(tmp_path / "new")
        with open_part(place.part()) as file:
            file.write(b"x")
        assert not (tmp_path / "new").exists()
        assert place.part().read_bytes() == b"x"

    @pytest.mark.parametrize("damage", [b"", b"x" * SIZE, ONE[:-1], ONE + b"x"], ids=len)
    def test_a_damaged_archive_is_fetched_again(self, place: Place, damage: bytes) -> None:
        """A file is what its bytes say, not what its name says."""
        place.put(place.archive(), damage)
        assert not has_archive(place.archives, Digest.of(ONE), SIZE)
        place.fetch(place.job())
        assert place.archive().read_bytes() == ONE
        assert has_archive(place.archives, Digest.of(ONE), SIZE)

    def test_archives_that_are_links(self, place: Place, tmp_path: Path) -> None:
        """Even one with the right bytes counts as absent and is replaced, not written through."""
        theirs = tmp_path / "theirs"
        theirs.write_bytes(ONE)
        place.archives.mkdir(parents=True)
        place.archive().symlink_to(theirs)
        assert not has_archive(place.archives, Digest.of(ONE), SIZE)
        place.fetch(place.job())
        assert not place.archive().is_symlink()
        assert place.archive().read_bytes() == theirs.read_bytes() == ONE

    def test_has_archive_of_nothing(self, place: Place) -> None:
        """No folder, no file, a folder of that name: absent."""
        assert not has_archive(place.archives, Digest.of(ONE), SIZE)
        place.archive().mkdir(parents=True)
        assert not has_archive(place.archives, Digest.of(ONE), SIZE)
