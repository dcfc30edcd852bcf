"""Small steps on a disk that unpacking and transactions are made of: rename, write, flush, remove; errors in words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import time
from typing import TYPE_CHECKING

from registry_client.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 1.0 if os.name == "nt" else 0.0
"""Seconds that a rename is tried again: on Windows a virus scanner may hold a new file for a moment."""
_RETRY = 0.05
_REPARSE_POINT = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT: links and junctions on Windows
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn an OSError into an InstallError.

    Args:
        what: what was being done, naming the file; begins the message.

    Raises:
        InstallError: the disk refused.
    """
    try:
        yield
    except OSError as e:
        raise InstallError(f"{what}: {reason(e)}", hint=way_out(e)) from e


def reason(error: BaseException) -> str:
    """Why it failed, in short."""
    if isinstance(error, OSError):
        in_use = isinstance(error, PermissionError) and os.name == "nt"
        return "in use by another program, or not allowed" if in_use else error.strerror or str(error)
    return str(error) or type(error).__name__


def way_out(error: OSError) -> str:
    """The hint for what a disk refuses."""
    if error.errno in _FULL:
        return "Free some space on that disk, then run it again."
    if isinstance(error, PermissionError):
        return "Stop what uses the folder, and look who may write to it; then run it again."
    return "Look at the disk and at who may write to it, then run it again."


def rename(source: Path, target: Path, patience: float | None = None) -> None:
    """Rename within one file system.

    Args:
        source: what is renamed.
        target: its new name, which must be free.
        patience: seconds to try again after a PermissionError; by default those of the platform.

    Raises:
        OSError: it cannot be.
    """
    _patiently(lambda: source.rename(target), PATIENCE if patience is None else patience)


def _patiently(step: Callable[[], object], patience: float) -> None:
    """Do something; try again after a PermissionError for so many seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            step()
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(_RETRY)
        else:
            return


def exists(path: Path) -> bool:
    """Whether something has this name, a broken link too.

    Raises:
        OSError: that cannot be seen.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_real_folder(path: Path) -> bool:
    """Whether it is a folder itself, no link or junction that leads to one.

    Raises:
        OSError: that cannot be seen.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(found.st_mode) and not getattr(found, "st_file_attributes", 0) & _REPARSE_POINT


def write_flushed(path: Path, data: bytes, beside: Path, mode: int = 0o644) -> None:
    """Write a file so that readers, also after a power failure, see the old bytes or the new ones.

    Args:
        path: the file.
        data: its new bytes.
        beside: a temporary file in the same file system; overwritten if it is there.
        mode: the file's permissions.

    Raises:
        OSError: the file has its old bytes; the temporary file is gone if it could be removed.
    """
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        _patiently(lambda: beside.replace(path), PATIENCE)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power failure. Windows has no such call, and needs none on NTFS.

    Raises:
        OSError: the disk refuses.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Make a whole new folder survive a power failure: one call for its file system on Linux, else file by file.

    Raises:
        OSError: the disk refuses.
    """
    if not _sync_file_system(folder):
        for top, _, files in os.walk(folder):
            for name in files:
                _flush_file(os.path.join(top, name))  # noqa: PTH118  (a walk gives texts)


def _flush_file(path: str) -> None:
    handle = os.open(path, os.O_RDWR)  # Windows flushes only what is open for writing
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file_system(folder: Path) -> bool:
    """Flush the folder's file system; False where there is no such call."""
    if sys.platform != "linux":
        return False
    import ctypes  # noqa: PLC0415  (only where something changes)

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if call(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)
    return True


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is in it as far as possible; links are removed, not followed. What stays is removed later."""
    if is_real_folder(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            folder.unlink(missing_ok=True)
