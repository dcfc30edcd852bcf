"""Packed files, fetched side by side into the archives: resumed, bounded, checked, then renamed.

Every file's name is its digest, and its bytes are compared with that at every use: what stands under a name is either what was
signed or counts as absent.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from registry_client.downloads import Received
from registry_client.errors import DigestError, InstallError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from registry_client.digest import Digest

_CHUNK = 256 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC})
_FLAGS: Final = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in the file's place is noticed instead of waited for
    | getattr(os, "O_BINARY", 0)
)


class Downloads(Protocol):
    """Where a file comes from; `registry_client.session.Session` is the one of a registry."""

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
        """As `Hosts.download` documents it."""

    def retrying(self, work: Callable[[], None]) -> None:
        """Run `work`; where the source may have moved on, look and run it again."""


@dataclass(frozen=True)
class Job:
    """One file to fetch.

    Attributes:
        session: where it comes from.
        name: the plugin's id, for messages and progress.
        url: absolute, or relative to the session's registry.
        digest: what it must be.
        size: its bytes.
    """

    session: Downloads
    name: str
    url: str
    digest: Digest
    size: int


class _StoppedError(Exception):
    """Another download has failed, so this one was left off."""


def has_archive(archives: Path, digest: Digest, size: int) -> bool:
    """Whether the archives have a file with this digest and size. Its bytes are read and compared; no link is followed."""
    path = archives / digest.hex
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
    except OSError:
        return False  # what cannot be read is not there


def fetch_artifacts(
    jobs: Sequence[Job],
    *,
    parts: Path,
    archives: Path,
    parallel: int = 16,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Have every file in the archives; those that are there already cost no network, and each digest is fetched once.

    Where one fails, what has not begun is not begun and what runs stops; complete files stay, and so do the parts of the
    others, which the next call continues.

    Args:
        jobs: what to fetch.
        parts: the folder of partial downloads, `<sha256 hex>.part`.
        archives: the folder of complete ones, `<sha256 hex>`; on the same file system.
        parallel: how many at a time.
        progress: called with a job's name, its bytes so far and in all; never by two threads at once.

    Raises:
        FetchError, DigestError: a file cannot be had; the message begins with the plugin's name.
        InstallError: the disk is full, or a folder cannot be written.
    """
    missing = [job for job in _distinct(jobs) if not has_archive(archives, job.digest, job.size)]
    if not missing:
        return
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # noqa: PLC0415  (only where something changes)

    for folder in (parts, archives):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise _install_error("", folder, e) from e
    stop = threading.Event()
    one = _Fetch(parts, archives, stop, _serial(progress))
    with ThreadPoolExecutor(max(1, parallel), thread_name_prefix="registry-artifact") as pool:
        try:
            futures = [pool.submit(one.run, job) for job in missing]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # also where the caller is interrupted
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
    _raise_first(futures)


def _distinct(jobs: Iterable[Job]) -> list[Job]:
    """The first job of each digest."""
    found: dict[Digest, Job] = {}
    for job in jobs:
        other = found.setdefault(job.digest, job)
        if other.size != job.size:
            raise DigestError(
                f"{job.name}: states {job.size} bytes for {job.digest}, but {other.name} states {other.size}",
                hint="One of the two is wrong, and a file has one length; tell their publishers.",
            )
    return list(found.values())


def _serial(progress: Callable[[str, int, int], None] | None) -> Callable[[str, int, int], None]:
    if progress is None:
        return lambda _name, _received, _total: None
    lock = threading.Lock()
    call = progress

    def report(name: str, received: int, total: int) -> None:
        with lock:
            call(name, received, total)

    return report


def _raise_first(futures: Sequence[Future[None]]) -> None:
    """The error that ended the others, if there was one."""
    errors = [e for e in (f.exception() for f in futures if not f.cancelled()) if e is not None]
    first = next((e for e in errors if not isinstance(e, _StoppedError)), None)
    if first is not None:
        raise first


@dataclass(frozen=True)
class _Fetch:
    parts: Path
    archives: Path
    stop: threading.Event
    progress: Callable[[str, int, int], None]

    def run(self, job: Job) -> None:
        """Fetch one file; errors name the plugin, and end the others."""
        try:
            self._fetch(job)
        except RegistryError as e:
            self.stop.set()
            e.message = f"{job.name}: {e.message}"
            raise
        except BaseException:
            self.stop.set()
            raise

    def _fetch(self, job: Job) -> None:
        self._go_on()
        path = self.parts / f"{job.digest.hex}.part"
        try:
            with open_part(path) as file:
                received = _held(file, job.size)
                if received.size:
                    self.progress(job.name, received.size, job.size)
                self._download(job, file, received)
                file.flush()
                os.fsync(file.fileno())
            path.replace(self.archives / job.digest.hex)
        except OSError as e:
            raise _install_error(job.name, path, e) from e

    def _download(self, job: Job, file: BinaryIO, received: Received) -> None:
        def take(chunk: bytes) -> None:
            self._go_on()
            file.write(chunk)
            self.progress(job.name, received.size + len(chunk), job.size)

        def restart() -> None:
            file.seek(0)
            file.truncate()
            self._go_on()

        def work() -> None:
            job.session.download(
                job.url, digest=job.digest, size=job.size, sink=take, restart=restart, received=received
            )

        job.session.retrying(work)

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise _StoppedError


def open_part(path: Path) -> BinaryIO:
    """Open a partial download for reading and writing, made if missing.

    Whatever else stands in its place than a plain file with one name is removed, never followed or written to.

    Raises:
        OSError: it cannot be opened.
    """
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            path.unlink()
    file = os.fdopen(os.open(path, _FLAGS, 0o644), "r+b")
    opened = os.fstat(file.fileno())
    if not stat.S_ISREG(opened.st_mode) or opened.st_nlink > 1:  # exchanged in between
        file.close()
        raise OSError(errno.EEXIST, "not a plain file")
    return file


def _held(file: BinaryIO, size: int) -> Received:
    """What a partial download holds; nothing where it is longer than the file will be."""
    received = Received()
    if os.fstat(file.fileno()).st_size <= size:
        while received.size <= size and (chunk := file.read(_CHUNK)):
            received.take(chunk)
    if received.size > size or not received.size:
        received.forget()
        file.seek(0)
        file.truncate()
    return received


def _install_error(name: str, path: Path, error: OSError) -> InstallError:
    begin = f"{name}: " if name else ""
    if error.errno in _FULL:
        return InstallError(
            f"{begin}{path}: there is no space left",
            hint="Free some space and run it again: what has arrived is kept, and only the rest is fetched.",
        )
    return InstallError(
        f"{begin}{path}: cannot be written ({error.strerror or type(error).__name__})",
        hint="Make the folder writable for this user, or choose another with 'folder' in plugins.toml.",
    )


__all__ = ["Downloads", "Job", "fetch_artifacts", "has_archive", "open_part"]
