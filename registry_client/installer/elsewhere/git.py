"""Git: the only module of the read side that starts processes.

A repository is fetched, never checked out: files come out of Git's own store, so that no hook, filter, submodule or setting of it is
acted on. Only what the owner's own Git knows (credentials, proxies, keys) is used. Git has no limit for what a host sends;
here its folder is watched, and Git is ended once that is too large or the time is over.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from registry_client.errors import FetchError, InstallError, TooLargeError
from registry_client.installer.elsewhere.git_url import check_git_ref, is_commit, protocols
from registry_client.installer.elsewhere.packed import MAX_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

HEAD = 1024
"""How many bytes of a copied file's beginning are given."""
WANTED = "refs/plugin/wanted"
"""Where `Git.fetch` puts what it fetched."""
_CHUNK = 1024 * 1024
_MAX_LISTING = 64 * _CHUNK
_WATCH = 0.2
_MAX_SHOWN = 2000
# Of the caller's environment Git gets what it needs to start, to reach a host as its owner does, and nothing else.
_PASSED = re.compile(
    r"PATH|HOME|USERPROFILE|HOMEDRIVE|HOMEPATH|APPDATA|LOCALAPPDATA|PROGRAMDATA|SYSTEMROOT|COMSPEC|PATHEXT|TMPDIR|TEMP|TMP"
    r"|XDG_CONFIG_HOME|SSH_AUTH_SOCK|SSH_AGENT_PID|(?:HTTPS?|ALL|NO)_PROXY|SSL_CERT_(?:FILE|DIR)"
    r"|GIT_SSL_(?:CAINFO|CAPATH)|GIT_SSH|GIT_SSH_COMMAND|GIT_SSH_VARIANT|GIT_EXEC_PATH"
    r"|GIT_CONFIG_(?:GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_[0-9]+|VALUE_[0-9]+)",
    re.IGNORECASE,
)
_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    f"core.attributesFile={os.devnull}",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.bigFileThreshold=16m",  # larger files are streamed, not held in memory
    "credential.interactive=false",
    "fetch.recurseSubmodules=false",
    "fetch.unpackLimit=1",  # one pack, whose size can be watched, instead of many files
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.version=2",
    "submodule.recurse=false",
)


def git_environment(environment: Mapping[str, str], url: str) -> dict[str, str]:
    """The environment for Git: no prompts, no traces, no other repository, and only the ways that suit the URL.

    Args:
        environment: the caller's.
        url: what is fetched.
    """
    kept = {name: value for name, value in environment.items() if _PASSED.fullmatch(name)}
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_ALLOW_PROTOCOL": protocols(url),
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


@dataclass(frozen=True)
class Blob:
    """A file in Git's store: its object id, and its length in bytes."""

    oid: str
    size: int


class Git:
    """Git in one empty repository of ours, until a deadline.

    Args:
        folder: the repository's.
        environ: the environment Git runs in.
        end: when everything must be done, on the monotonic clock.
        limit: the most bytes that the folder may have.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], end: float, limit: int) -> None:
        self._folder = folder
        self._environ = environ
        self._end = end
        self._limit = limit
        self._url = ""

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def init(self, oid: str) -> None:
        """Make the repository, with object ids as long as this one."""
        object_format = ["--object-format=sha256"] if len(oid) == 64 else []  # noqa: PLR2004  (digits of SHA-256)
        self._run("init", "--quiet", "--bare", "--template=", *object_format, ".")

    def refs(self, url: str, *patterns: str) -> dict[str, str]:
        """Object ids of the remote's refs; of tags also, with `^{}` behind the name, what they point to."""
        self._url = url
        wanted = [pattern for name in patterns for pattern in (name, f"{name}^{{}}")]
        output = self._run("ls-remote", "--quiet", "--", url, *wanted, limit=_MAX_LISTING)
        pairs = (
            line.split("\t", 1) for line in output.decode("utf-8", "replace").split("\n") if "\t" in line
        )
        found = {ref: oid for oid, ref in pairs if is_commit(oid)}
        return {ref: oid for ref, oid in found.items() if _is_plain(ref)}

    def fetch(self, url: str, what: str) -> None:
        """Fetch a ref or an object id, without its history."""
        self._url = url
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--depth=1")
        self._run("fetch", *options, "--", url, f"+{what}:{WANTED}")
        if self._size() > self._limit:  # it was done before the next look
            raise self._too_much()

    def text(self, *arguments: str) -> str | None:
        """The one line that a command prints; None where it fails."""
        with self._started(arguments) as (process, out, _):
            data = out.read(_MAX_SHOWN)
            process.wait()
        return data.decode("ascii", "replace").strip() if process.returncode == 0 else None

    def listing(self, tree: str, what: str) -> list[bytes]:
        """All entries below a tree, folders too: a few small objects can name billions of either, so there is an end."""
        output = self._run("ls-tree", "-r", "-t", "-l", "-z", "--full-tree", tree, limit=_MAX_LISTING + 1)
        lines = output.split(b"\0")[:-1]
        if len(output) > _MAX_LISTING or len(lines) > 2 * MAX_FILES:
            raise InstallError(f"{what}: holds more than {MAX_FILES} files, the most that can be installed")
        return lines

    def beginning(self, oid: str, length: int) -> bytes:
        """The first bytes of a file."""
        return self._run("cat-file", "blob", oid, limit=length)

    @contextlib.contextmanager
    def blobs(self) -> Iterator[Callable[[Blob, Callable[[bytes], object]], bytes]]:
        """A function that copies a file's bytes out of Git's store and gives their beginning."""
        with self._started(["cat-file", "--batch"]) as (process, out, _):
            stdin = _pipe(process.stdin)

            def copy(blob: Blob, write: Callable[[bytes], object]) -> bytes:
                stdin.write(f"{blob.oid}\n".encode())
                stdin.flush()
                if out.readline().split() != [blob.oid.encode(), b"blob", str(blob.size).encode()]:
                    raise self._failed("cat-file", b"an object is missing or damaged")
                left, head = blob.size, b""
                while left:
                    chunk = out.read(min(_CHUNK, left))
                    if not chunk:
                        raise self._failed("cat-file", b"an object is damaged")
                    head = head or chunk[:HEAD]
                    left -= len(chunk)
                    write(chunk)
                out.read(1)
                return head

            try:
                yield copy
            except OSError as e:  # it has ended
                raise self._failed("cat-file", b"it ended early") from e

    def _run(self, *arguments: str, limit: int = _CHUNK) -> bytes:
        """Run a command and give its standard output, at most so many bytes.

        Raises:
            FetchError: it failed.
        """
        with self._started(arguments) as (process, out, errors):
            data = out.read(limit)
            if len(data) == limit:
                return data
            process.wait()
            if process.returncode:
                errors.seek(max(0, errors.seek(0, 2) - _MAX_SHOWN))
                raise self._failed(arguments[0], errors.read(_MAX_SHOWN))
        return data

    @contextlib.contextmanager
    def _started(
        self, arguments: list[str] | tuple[str, ...]
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
        """A running command, its output and its errors; ended with all that it started when it is left, late or too large."""
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        stop = threading.Event()
        why: list[FetchError] = []
        with tempfile.TemporaryFile(dir=self._folder) as errors:
            try:
                process = subprocess.Popen(  # noqa: S603  (fixed program; arguments are never a shell's)
                    ["git", *settings, "-C", str(self._folder), *arguments],  # noqa: S607  (found on the caller's PATH)
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=dict(self._environ),
                    start_new_session=True,  # no terminal to ask at, and a group that can be ended
                )
            except OSError as e:
                raise _not_started(e) from e
            watcher = threading.Thread(target=self._watch, args=(process, errors, stop, why), daemon=True)
            watcher.start()
            try:
                yield process, _pipe(process.stdout), errors
            except FetchError as e:
                stop.set()
                watcher.join()
                raise (why[0] if why else e) from e.__cause__
            finally:
                stop.set()
                _end(process)
                watcher.join()
            if why:
                raise why[0]

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        errors: IO[bytes],
        stop: threading.Event,
        why: list[FetchError],
    ) -> None:
        """End a command that is late, or whose folder grows too large."""
        while not stop.wait(min(_WATCH, max(0.0, self._end - time.monotonic()))):
            with contextlib.suppress(OSError, ValueError):
                if self._size() + os.fstat(errors.fileno()).st_size > self._limit:
                    why.append(self._too_much())
            if self.late:
                why.append(
                    FetchError(
                        f"{_without_secrets(self._url)}: not complete within the time allowed",
                        hint="Try again later.",
                    )
                )
            if why:
                _end_group(process)
                return

    def _size(self) -> int:
        total = 0
        for top, _, names in os.walk(self._folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(top, name)).st_size  # noqa: PTH116, PTH118  (a walk gives texts)
        return total

    def _too_much(self) -> TooLargeError:
        return TooLargeError(
            f"{_without_secrets(self._url)}: sends more than {self._limit} bytes, the most that is taken"
        )

    def _failed(self, command: str, output: bytes) -> FetchError:
        text = _without_secrets(output.decode(errors="replace").strip())
        return FetchError(
            f"{_without_secrets(self._url)}: git {command} failed: {text or 'it says nothing'}",
            hint=_hint(text),
        )


def _is_plain(ref: str) -> bool:
    """Whether a remote's name for a ref can be given to Git again."""
    try:
        check_git_ref(ref.removesuffix("^{}"))
    except ValueError:
        return False
    return True


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:  # pragma: no cover  (both are pipes)
        raise FetchError("git has no pipes")
    return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command that was not waited for, and close its pipes."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    if process.returncode is None:
        _end_group(process)
        process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: Git's helpers for HTTP and SSH."""
    with contextlib.suppress(OSError):
        if process.returncode is not None:
            return
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _not_started(error: OSError) -> InstallError:
    if isinstance(error, FileNotFoundError):
        return InstallError("git is not installed", hint="Install Git 2.30 or newer.")
    return InstallError(f"git cannot be started ({error.strerror})", hint="Check the git on your PATH.")


def _without_secrets(text: str) -> str:
    plain = re.sub(r"(://)[^/@\s]+@", r"\1***@", text)
    return "".join(c if c.isprintable() else " " for c in plain)[-_MAX_SHOWN:]


def _hint(text: str) -> str:
    lower = text.lower()
    if "authentication failed" in lower or "could not read username" in lower or "permission denied" in lower:
        return "Git's credential helper or SSH agent has to know the host: try 'git ls-remote URL'."
    if "dubious ownership" in lower:
        return (
            "The repository belongs to another user of this machine: see safe.directory in 'git help config'."
        )
    if "not allowed" in lower and "transport" in lower:
        return "Use https:// or ssh://."
    return "Check the URL and the network: try 'git ls-remote URL'."


__all__ = ["HEAD", "WANTED", "Blob", "Git", "git_environment"]
