"""What holds for the entries of any archive: how many, how large, which names. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from registry_client.errors import InstallError, UnsafePathError
from registry_client.portable import name_problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 64 * 1024
MIB = 1024 * 1024
_DRIVE = re.compile(r"[A-Za-z]:")
RESERVED = frozenset({".plugin", ".registry"})
"""Names at a plugin's top that the installer keeps for itself."""
BROKEN = "The archive is damaged or was made to do harm: tell the plugin's publisher."


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Attributes:
        entries: files and folders; and as many folders again that only stand in the paths of others.
        size: bytes of all contents together.
        path: characters of an entry's whole path; each name in it has those of `portable.MAX_NAME`.
        depth: names in a path.
        ratio: how many bytes one packed byte may become, on average.
        ratio_from: bytes of contents up to which the ratio does not matter.
    """

    entries: int = 100_000
    size: int = 4096 * MIB
    path: int = 400
    depth: int = 32
    ratio: int = 200
    ratio_from: int = 10 * MIB


DEFAULT = Limits()


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes:
        path: its checked path, `/` between names.
        folder: whether it is a folder; else a file.
        size: bytes, as the archive states it.
    """

    path: str
    folder: bool
    size: int


class Reader(Protocol):
    """An open archive."""

    def entries(self) -> list[Entry]:
        """Every entry, its path checked. Raises InstallError."""

    def contents(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """The files in the archive's order, each with its bytes in pieces. Raises InstallError."""


@dataclass
class Budget:
    """Counts the bytes that really come out of an archive.

    Attributes:
        name: the archive.
        limits: what it may hold.
        packed: its own size in bytes.
    """

    name: str
    limits: Limits
    packed: int
    _spent: int = field(default=0, init=False)

    def spend(self, count: int, entry: str = "") -> None:
        """Count bytes. Raises InstallError once there are too many."""
        self._spent += count
        self.check(self._spent, entry)

    def check(self, total: int, entry: str = "") -> None:
        """Refuse a number of bytes that is too large for this archive. Raises InstallError."""
        if total > self.limits.size:
            raise refused(
                self.name, entry, f"the contents are larger than {self.limits.size} bytes, the most allowed"
            )
        if total > max(self.limits.ratio_from, self.limits.ratio * self.packed):
            raise refused(
                self.name,
                entry,
                f"the contents are more than {self.limits.ratio} times as large as the archive",
            )


def refused(name: str, entry: str, rule: str) -> InstallError:
    """The error for an archive that breaks a rule."""
    return InstallError(_message(name, entry, rule), hint=BROKEN)


def unsafe(name: str, entry: str, rule: str) -> UnsafePathError:
    """The error for an entry whose name or kind could do harm."""
    return UnsafePathError(
        _message(name, entry, rule), hint="Nothing of it was installed: tell the plugin's publisher."
    )


def _message(name: str, entry: str, rule: str) -> str:
    return f"{shown(name)}: {f'entry {shown(entry)}: ' if entry else ''}{rule}"


def checked_path(raw: str, name: str, limits: Limits) -> str:
    """An entry's path, safe on every file system: relative, inside, portable. A final `/` and leading `./` are dropped.

    Returns:
        The path; empty for the top folder itself (`./`).

    Raises:
        UnsafePathError: it is not safe.
    """
    if len(raw) > limits.path:
        raise unsafe(name, raw, f"its path is longer than {limits.path} characters")
    if raw.startswith("/") or _DRIVE.match(raw):
        raise unsafe(name, raw, "its path is absolute")
    if "\\" in raw:
        raise unsafe(name, raw, "its path holds a backslash, which Windows takes for '/'")
    parts = raw.removesuffix("/").split("/")
    while parts and parts[0] == ".":
        del parts[0]
    if len(parts) > limits.depth:
        raise unsafe(name, raw, f"it stands deeper than {limits.depth} folders")
    for part in parts:
        if part == "..":
            raise unsafe(name, raw, "its path leads out of its folder ('..')")
        problem = "its path holds an empty name or '.'" if part in {"", "."} else name_problem(part)
        if problem:
            raise unsafe(name, raw, problem)
    return "/".join(parts)
