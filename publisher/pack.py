"""Reproducible ZIP archives: the same tree gives the same bytes on any machine.

Entries are stored, not compressed: zlib, zlib-ng and their versions deflate one input to different bytes, so
storing is the only form that every machine can reproduce. Entries are sorted by their UTF-8 paths, stand in
one folder named after the plugin, and all carry the same time and mode; folders have no entries of their own, so
empty ones are not kept.
Nothing that could not be unpacked on another file system goes in, and no secret that is recognisable as one.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from publisher.secret_files import secret_problem
from registry_client.digest import Digest
from registry_client.errors import ConfigError, PublishError
from registry_client.models.manifest import MAX_ARTIFACT_SIZE
from registry_client.names import check_plugin_id, check_version
from registry_client.portable import clashes, name_problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IGNORE_FILE = ".pluginignore"
MAX_FILES = 100_000
_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that ZIP can say
_MODE = stat.S_IFREG | 0o644
_UNIX = 3

_EVERYWHERE = (
    *(".git", ".hg", ".svn", ".DS_Store", ".pluginignore", "node_modules"),
    *("__pycache__", "*.pyc", "*.egg-info", ".venv", "venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
)
# Build output stands at the top; `assets/dist` further down is usually part of the plugin.
_AT_TOP = ("/dist",)


class PackError(PublishError):
    """A folder cannot be packed; `problems` lists everything that stands in the way, one line each."""

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"{folder}: cannot be packed, {count}" + "".join(f"\n  {problem}" for problem in problems),
            hint=f"Rename, remove or move what is listed, or leave it out with a line in {IGNORE_FILE}.",
        )


@dataclass
class _Scan:
    """What a walk through the folder found.

    Attributes:
        files: state of each file (device, inode, size, mtime in ns) by relative path with `/`.
        problems: what cannot be packed.
    """

    files: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def artifact_name(id: str, version: str, *, suffix: str = "") -> str:  # noqa: A002  (the document's own word)
    """`<id>-<version>.zip`, or `<id>-<version>-<suffix>.zip` where a version has several archives.

    Raises:
        ValueError: no plugin id or no version.
    """
    return f"{check_plugin_id(id)}-{check_version(version)}{f'-{suffix}' if suffix else ''}.zip"


def latest_name(id: str, *, suffix: str = "") -> str:  # noqa: A002  (the document's own word)
    """What stands for the newest archive beside the archives: `artifact_name` with `latest` for the version.

    Raises:
        ValueError: no plugin id.
    """
    return f"{check_plugin_id(id)}-latest{f'-{suffix}' if suffix else ''}.zip"


def digest_and_size(data: bytes) -> tuple[Digest, int]:
    """What a manifest states of an artifact: its digest, and its length in bytes."""
    return Digest.of(data), len(data)


def pack(
    folder: Path,
    *,
    id: str,  # noqa: A002  (the document's own word)
    version: str,
    exclude: Iterable[str] = (),
    replace: Mapping[str, bytes] | None = None,
) -> bytes:
    """Pack a folder's files into a ZIP.

    Args:
        folder: the folder.
        id: the plugin's id, which names the archive's one top folder.
        version: the version, checked only; the archive's name holds it (`artifact_name`).
        exclude: patterns of what is left out, besides the usual (`.git`, caches, `node_modules`, `dist` at the
            top) and the lines of a `.pluginignore`. One without `/` fits names at any depth, one with `/`
            paths from the top; a final `/` means folders only. `*`, `?` and `[…]` as in a shell; `*` fits `/` too.
        replace: other bytes for files that are there, by relative path: the source manifest with its new
            version, say.

    Raises:
        PackError: something cannot be packed; it lists everything.
        ConfigError: there is no such folder.
        ValueError: no plugin id or no version.
    """
    artifact_name(id, version)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder", hint="Name the folder that holds the plugin's files.")
    patterns, problems = _patterns(folder, exclude)
    before = _scan(folder, patterns)
    problems += before.problems + clashes(before.files)
    buffer = io.BytesIO()
    if _within_limits(before.files, problems):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(before.files, key=os.fsencode):
                data = _read(folder / path, path, before.files[path], problems)
                if path in (replace or {}):
                    data = (replace or {})[path]
                if not problems:
                    archive.writestr(_entry(f"{id}/{path}"), data)
    if not problems and _scan(folder, patterns).files != before.files:
        problems.append(f"{folder.name}: changed while it was being packed; wait until nothing writes to it")
    if not problems and buffer.getbuffer().nbytes > MAX_ARTIFACT_SIZE:
        problems.append(_too_large())
    if problems:
        raise PackError(folder, problems)
    return buffer.getvalue()


def packed_files(folder: Path, *, exclude: Iterable[str] = ()) -> list[str]:
    """The files that `pack` would put into an archive, by relative path, sorted.

    What cannot be packed is not among them: `pack` says what is wrong with it.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is no folder", hint="Name the folder that holds the plugin's files.")
    return sorted(_scan(folder, _patterns(folder, exclude)[0]).files, key=os.fsencode)


def would_pack(folder: Path, inner: Path) -> bool:
    """Whether `pack` of a folder would pack what is put into another one.

    Args:
        folder: what is packed.
        inner: the other one, which need not exist.

    Raises:
        ConfigError: a path cannot be resolved.
    """
    try:
        parts = inner.resolve().relative_to(folder.resolve()).parts
    except ValueError:
        return False
    except (OSError, RuntimeError) as e:  # RuntimeError: a loop of links, before Python 3.13
        raise ConfigError(f"{inner}: cannot be read ({getattr(e, 'strerror', None) or e})") from e
    patterns = _patterns(folder, ())[0]
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return not any(_left_out(path, patterns, is_folder=True) for path in above)


def _entry(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _TIME)
    info.create_system = _UNIX  # else it says on which system it was made
    info.external_attr = _MODE << 16
    info.compress_type = zipfile.ZIP_STORED
    return info


def _patterns(folder: Path, exclude: Iterable[str]) -> tuple[list[str], list[str]]:
    """All patterns of what is left out, and what is wrong with the ignore file."""
    patterns = [*_EVERYWHERE, *_AT_TOP, *exclude]
    ignore = folder / IGNORE_FILE
    try:
        text = ignore.read_text(encoding="utf-8") if ignore.is_file() else ""
    except UnicodeDecodeError:
        return patterns, [f"{IGNORE_FILE}: is not UTF-8"]
    except OSError as e:
        return patterns, [f"{IGNORE_FILE}: cannot be read ({e.strerror})"]
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern = line.strip()
        if pattern.startswith("!"):
            problems.append(f"{IGNORE_FILE} line {number}: '!' is not supported; list only what is left out")
        elif pattern and not pattern.startswith("#"):
            patterns.append(pattern)
    return patterns, problems


def _left_out(path: str, patterns: list[str], *, is_folder: bool) -> bool:
    name = path.rpartition("/")[2]
    for pattern in patterns:
        bare = pattern.rstrip("/")
        if bare != pattern and not is_folder:
            continue
        if fnmatchcase(path, bare.removeprefix("/")) if "/" in bare else fnmatchcase(name, bare):
            return True
    return False


def _scan(folder: Path, patterns: list[str]) -> _Scan:
    found = _Scan()
    _walk(folder, "", patterns, found)
    return found


def _walk(folder: Path, prefix: str, patterns: list[str], found: _Scan) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as e:
        found.problems.append(f"{prefix or '.'}: cannot be read ({e.strerror})")
        return
    for entry in entries:
        path = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if _left_out(path, patterns, is_folder=is_folder):
            continue
        wrong = name_problem(entry.name)
        if wrong:
            found.problems.append(f"{shown(path)}: {wrong}")
        elif is_folder:
            _walk(Path(entry.path), f"{path}/", patterns, found)
        elif entry.is_symlink():
            found.problems.append(f"{path}: is a symbolic link; archives hold files only")
        elif not entry.is_file(follow_symlinks=False):
            found.problems.append(f"{path}: is neither a file nor a folder")
        elif secret := secret_problem(path, b""):
            found.problems.append(secret)
        else:
            # Not entry.stat(): on Windows it leaves the inode out.
            found.files[path] = _state(os.stat(entry.path, follow_symlinks=False))  # noqa: PTH116


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _within_limits(files: Mapping[str, tuple[int, int, int, int]], problems: list[str]) -> bool:
    """Whether reading the files is worth while; adds what is wrong to the problems."""
    if not files and not problems:
        problems.append("holds no file to pack")
    if len(files) > MAX_FILES:
        problems.append(f"holds {len(files)} files; at most {MAX_FILES} can be packed")
        return False
    if sum(state[2] for state in files.values()) > MAX_ARTIFACT_SIZE:
        problems.append(_too_large())
        return False
    return True


def _too_large() -> str:
    return f"holds more than {MAX_ARTIFACT_SIZE} bytes, the most that an artifact may have"


def _read(path: Path, shown: str, state: tuple[int, int, int, int], problems: list[str]) -> bytes:
    """A file's bytes, if it is the file that the walk found; what is wrong goes to the problems."""
    try:
        # O_NOFOLLOW: a link put in the file's place since then is not followed.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
    except OSError as e:
        problems.append(f"{shown}: cannot be read ({e.strerror})")
        return b""
    if not _state(before) == _state(after) == state or len(data) != state[2]:
        problems.append(f"{shown}: changed while it was being packed; wait until nothing writes to it")
    if secret := secret_problem(shown, data):
        problems.append(secret)
    return data
