"""Two folders change places: in one step where the system can, else by two renames.

Linux (renameat2) and macOS (renamex_np) can; Windows cannot, nor can some file systems.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from registry_client.installer.disk.steps import remove_tree, rename

Swap = Callable[[Path, Path], bool]
"""Exchanges two folders in one step, or says False where the system or the file system cannot."""
_AT_FDCWD = -100
_LINUX_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h
_MACOS_SWAP = 2  # RENAME_SWAP, sys/stdio.h
# EPERM: some sandboxes answer so to calls they do not know; a real lack of permission meets the renames as well.
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


class Way(StrEnum):
    """How folders change places here."""

    ATOMIC = "atomic"
    """In one step: a host never finds the folder missing."""
    RENAMES = "renames"
    """By two renames: a host that looks between them, microseconds, finds the folder missing."""


def swap_folders(a: Path, b: Path) -> bool:
    """Exchange two folders of one file system in one step.

    Returns:
        Whether the system can; if not, nothing was done.

    Raises:
        OSError: it can, but refuses.
    """
    number = _call(os.fsencode(a), os.fsencode(b))
    if number == 0:
        return True
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(a), None, str(b))


def _call(a: bytes, b: bytes) -> int:
    """The system's exchange; its error number, or 0."""
    if sys.platform == "win32":
        return errno.ENOSYS
    import ctypes  # noqa: PLC0415  (only where something changes)

    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        call = getattr(library, "renamex_np", None)
        arguments = (a, b, ctypes.c_uint(_MACOS_SWAP))
    else:
        call = getattr(library, "renameat2", None)
        arguments = (_AT_FDCWD, a, _AT_FDCWD, b, ctypes.c_uint(_LINUX_EXCHANGE))
    if call is None:
        return errno.ENOSYS
    return 0 if call(*arguments) == 0 else ctypes.get_errno()


def exchange(new: Path, place: Path, aside: Path, swap: Swap = swap_folders) -> Way:
    """Put a new folder in the place of another.

    Afterwards the other stands at `new` if it was done in one step, at `aside` if by renames. Stopped between
    the renames, nothing stands at `place`, and both folders are whole.

    Args:
        new: the new folder.
        place: where it belongs; another folder is there.
        aside: a free name in the same file system.
        swap: the exchange in one step.

    Raises:
        OSError: it cannot be done.
    """
    if swap(new, place):
        return Way.ATOMIC
    rename(place, aside)
    rename(new, place)
    return Way.RENAMES


def way(folder: Path, swap: Swap = swap_folders) -> Way:
    """Which way folders change places in this folder's file system; tried with two empty ones.

    Raises:
        OSError: nothing can be made in the folder.
    """
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".tmp-"))
    try:
        a, b = scratch / "a", scratch / "b"
        a.mkdir()
        b.mkdir()
        return Way.ATOMIC if swap(a, b) else Way.RENAMES
    finally:
        remove_tree(scratch)
