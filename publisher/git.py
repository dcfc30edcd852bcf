"""Git: the only module that starts it (other programs are started by `process`).

A credential reaches Git through an environment variable that a credential helper reads: it stands in no URL, no argument, no log and no
file. What Git prints is shown with it removed.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from publisher.git_remote import TOKEN_VARIABLE, Remote, git_environment
from registry_client.digest import Digest
from registry_client.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

_TIMEOUT = 600
AUTHOR = ("Plugin Registry", "plugin-registry@localhost")
_HISTORY = 200
_LONGEST_ENTRY = 4200


@dataclass(frozen=True)
class Entry:
    """One entry of a Git tree.

    Attributes:
        mode: such as `100644`.
        kind: `blob`, `commit` (a submodule) or `tree`.
        oid: object id.
        path: relative to the tree's top.
    """

    mode: str
    kind: str
    oid: str
    path: str


@dataclass(frozen=True)
class PushResult:
    """What became of one ref of a push."""

    ref: str
    accepted: bool
    reason: str


class Git:
    """Git commands in one repository.

    Args:
        folder: the repository.
        environ: the environment Git runs in.
        remote: whose token may be used.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], remote: Remote | None = None) -> None:
        self.folder = folder
        self._remote = remote
        self._environ = git_environment(environ, remote)
        self._batch: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        """Run a command and give its standard output.

        Raises:
            GitError: it failed; the message holds what Git printed, without credentials.
        """
        return self._run(arguments, stdin, check=check).stdout

    def _run(
        self, arguments: Sequence[str], stdin: bytes = b"", *, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            done = subprocess.run(  # noqa: S603  (fixed program; arguments are never a shell's)
                ["git", "-C", str(self.folder), *arguments],  # noqa: S607  (found on PATH, as users expect)
                input=stdin,
                capture_output=True,
                env=self._environ,
                timeout=_TIMEOUT,
                check=False,
            )
        except OSError as e:
            raise _not_started(e) from e
        except subprocess.TimeoutExpired as e:
            raise GitError(f"git {arguments[0]}: no end after {_TIMEOUT} seconds") from e
        if check and done.returncode:
            raise GitError(f"git {arguments[0]} failed: {self._shown(done.stderr)}", hint=_hint(done.stderr))
        return done

    def _shown(self, output: bytes) -> str:
        text = output.decode(errors="replace").strip()
        if self._remote is not None and self._remote.token:
            text = text.replace(self._remote.token, "***")
        return re.sub(r"(://)[^/@\s]+@", r"\1***@", text)[-2000:]

    # -- reading ------------------------------------------------------------------------------------------------

    def ls_remote(self, *patterns: str) -> dict[str, str]:
        """Object ids of the remote's refs that match."""
        # Names may hold any bytes, and characters that Python takes for the end of a line.
        text = self.run("ls-remote", "--", self._url(), *patterns).decode("utf-8", "surrogateescape")
        pairs = (line.split("\t", 1) for line in text.split("\n") if "\t" in line)
        return {ref: oid for oid, ref in pairs}

    def fetch(self, refs: Sequence[str], *, depth: int | None = 1, blobless: bool = False) -> None:
        """Fetch refs or commits from the remote, without their history.

        Args:
            refs: refs or object ids.
            depth: how many commits deep; None for all.
            blobless: leave file contents to be fetched when they are read, if the host can do that.
        """
        options = [f"--depth={depth}"] if depth is not None else ["--unshallow"] if self._shallow else []
        options += ["--filter=blob:none"] if blobless else []
        self.run("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *options, "origin", *refs)

    @property
    def _shallow(self) -> bool:
        return (self.folder / "shallow").exists() or (self.folder / ".git" / "shallow").exists()

    def entries(self, commit: str, *paths: str, limit: int | None = None) -> list[Entry]:
        """All files below a commit's tree (or below some of its paths).

        Args:
            commit: the commit.
            paths: only these.
            limit: for a commit that a stranger made: stop reading when it has more files than this.

        Raises:
            GitError: more than `limit`.
        """
        arguments = ["ls-tree", "-r", "-z", "--full-tree", commit, "--", *paths]
        if limit is None:
            return _entries(self.run(*arguments))
        # A few small objects can name billions of files, or of empty folders (which only -t shows): the listing has an end.
        most = (limit + 1) * _LONGEST_ENTRY
        listing = self._first_bytes([arguments[0], "-t", *arguments[1:]], most)
        found = [entry for entry in _entries(listing) if entry.kind != "tree"]
        if len(found) > limit or len(listing) == most:
            count = "too many" if len(listing) == most else str(len(found))
            raise GitError(f"commit {commit[:12]} holds {count} files; at most {limit} are looked at")
        return found

    def _first_bytes(self, arguments: Sequence[str], limit: int) -> bytes:
        """The beginning of what a command prints. One that prints more is ended."""
        with self._start(arguments) as process:
            data = _pipes(process)[1].read(limit)
            if len(data) == limit:
                process.kill()
        if len(data) < limit and process.returncode:
            raise GitError(f"git {arguments[0]} failed (exit code {process.returncode})")
        return data

    def size(self, oid: str) -> tuple[str, int]:
        """Kind and size in bytes of an object."""
        line = self.run("cat-file", "--batch-check", stdin=f"{oid}\n".encode()).decode().split()
        if len(line) != 3:  # noqa: PLR2004  (oid, kind, size)
            raise GitError(f"object {oid[:12]} is missing")
        return line[1], int(line[2])

    def read(self, oid: str) -> bytes:
        """The bytes of an object."""
        if self._batch is None:
            self._batch = self._start(["cat-file", "--batch"])
        stdin, stdout = _pipes(self._batch)
        try:
            stdin.write(f"{oid}\n".encode())
            stdin.flush()
            head = stdout.readline().split()
        except BrokenPipeError:
            head = []
        if not head:  # it ends where an object that was left out cannot be fetched
            self.close()
        if len(head) != 3:  # noqa: PLR2004  (oid, kind, size)
            raise GitError(f"object {oid[:12]} is missing")
        data = stdout.read(int(head[2]))
        stdout.read(1)
        return data

    def parents(self, commit: str) -> int:
        """How many parents a commit has."""
        kind, size = self.size(commit)
        if kind != "commit" or size > 64 * 1024:
            raise GitError(f"{commit[:12]} is not a small commit")
        head = self.read(commit).partition(b"\n\n")[0]
        return sum(line.startswith(b"parent ") for line in head.split(b"\n"))

    def from_history(self, commit: str, path: str, digest: Digest) -> bytes | None:
        """The bytes that a path once had, by digest, looking back from a commit."""
        commits = self.run("log", f"--max-count={_HISTORY}", "--format=%H", commit, "--", path, check=False)
        for oid in commits.decode().split():
            data = self._run(["cat-file", "blob", f"{oid}:{path}"], check=False).stdout
            if data and Digest.of(data) == digest:
                return data
        return None

    def head(self) -> str | None:
        """The commit checked out, or None."""
        done = self._run(["rev-parse", "--verify", "--quiet", "HEAD"], check=False)
        return done.stdout.decode().strip() or None

    # -- writing ------------------------------------------------------------------------------------------------

    def commit(
        self, parent: str | None, changes: Mapping[str, bytes | None], message: str, when: datetime
    ) -> str:
        """A commit of files, made without a work tree.

        Args:
            parent: the commit it follows; None for one without a parent that holds just these files.
            changes: bytes by path, or None to delete.
            message: the commit message.
            when: its date.

        Returns:
            The new commit's id.

        Raises:
            GitError: Git refuses it, or a path cannot stand in a commit.
        """
        stamp = f"{int(when.timestamp())} +0000"
        who = f"{AUTHOR[0]} <{AUTHOR[1]}> {stamp}"
        text = message.encode()
        stream = [b"commit refs/heads/_new\ncommitter %s\ndata %d\n%s\n" % (who.encode(), len(text), text)]
        if parent:
            stream.append(b"from %s\n" % parent.encode())
        for path, data in sorted(changes.items()):
            name = _quoted(path)
            if data is None:
                stream.append(b"D %s\n" % name)
            else:
                stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(data), data))
        self.run("fast-import", "--quiet", "--force", "--done", stdin=b"".join(stream) + b"done\n")
        return self.run("rev-parse", "refs/heads/_new").decode().strip()

    def push(self, specs: Sequence[tuple[str, str, str]]) -> list[PushResult]:
        """Push refs, each with a lease; one that is lost does not stop the others.

        Args:
            specs: (object id or empty to delete, ref, object id that the remote must have or empty for none).

        Raises:
            GitError: the remote could not be reached or refuses everything.
        """
        leases = [f"--force-with-lease={ref}:{old}" for _, ref, old in specs]
        refspecs = [f"{new}:{ref}" for new, ref, _ in specs]
        done = self._run(["push", "--porcelain", "--no-verify", *leases, "origin", *refspecs], check=False)
        results = []
        for line in done.stdout.decode(errors="replace").splitlines():
            flag, _, rest = line.partition("\t")
            names, _, reason = rest.partition("\t")
            if len(flag) == 1 and ":" in names:
                shown = self._shown(reason.encode())
                results.append(PushResult(names.rpartition(":")[2], flag != "!", shown))
        if not results:
            raise GitError(f"git push failed: {self._shown(done.stderr)}", hint=_hint(done.stderr))
        return results

    def close(self) -> None:
        """End the helper process."""
        if self._batch is not None:
            stdin, stdout = _pipes(self._batch)
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
            self._batch.wait()
            stdout.close()
            self._batch = None

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603
                ["git", "-C", str(self.folder), *arguments],  # noqa: S607
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
            )
        except OSError as e:
            raise _not_started(e) from e

    def _url(self) -> str:
        if self._remote is None:
            raise GitError("no remote")
        return self._remote.url


class GitTree:
    """The files of a commit. Only regular files count; links and submodules are absent.

    Args:
        git: the repository.
        commit: the commit, or None for no files.
    """

    def __init__(self, git: Git, commit: str | None) -> None:
        self._git = git
        entries = git.entries(commit) if commit else []
        self._oids = {entry.path: entry.oid for entry in entries if entry.mode in {"100644", "100755"}}

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None."""
        oid = self._oids.get(path)
        return None if oid is None else self._git.read(oid)

    def paths(self, folder: str) -> Iterator[str]:
        """All paths of regular files below a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        return iter(sorted(path for path in self._oids if path.startswith(prefix)))


@contextlib.contextmanager
def scratch_repository(remote: Remote, environ: Mapping[str, str]) -> Iterator[Git]:
    """An empty bare repository with this remote, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plugin-registry-") as folder:
        git = Git(Path(folder), environ, remote)
        git.run("init", "--quiet", "--bare", "--template=", ".")  # no hooks of the user's
        git.run("remote", "add", "origin", remote.url)
        git.run("config", "gc.auto", "0")
        try:
            yield git
        finally:
            git.close()


def _entries(listing: bytes) -> list[Entry]:
    """What `git ls-tree -z` lists."""
    found = []
    for line in listing.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, kind, oid = head.decode().split(" ")
        found.append(Entry(mode, kind, oid, path.decode(errors="replace")))
    return found


def _quoted(path: str) -> bytes:
    """A path as fast-import reads it, whatever is in it: no path can end its line and begin a command.

    Raises:
        GitError: it cannot stand in a commit.
    """
    try:
        data = path.encode()
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data or any(part.lower() in {"", ".", "..", ".git"} for part in path.split("/")):
        raise GitError(f"{path[:120]!r} cannot be a path in a commit")
    return b'"%s"' % data.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def _not_started(error: OSError) -> GitError:
    if isinstance(error, FileNotFoundError):
        return GitError("git is not installed", hint="Install Git 2.30 or newer.")
    return GitError(f"git cannot be started ({error.strerror})", hint="Check the git on your PATH.")


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:  # pragma: no cover  (both are pipes)
        raise GitError("git cat-file has no pipes")
    return process.stdin, process.stdout


def _hint(stderr: bytes) -> str:
    text = stderr.decode(errors="replace").lower()
    if "authentication failed" in text or "could not read username" in text or "403" in text:
        return f"Put a token that may push to this repository into {TOKEN_VARIABLE}."
    nowhere = (
        "not found",
        "does not appear to be a git repository",
        "does not exist",
        "could not read from remote",
    )
    if any(words in text for words in nowhere):
        return "Check the name of the registry; it may be a folder, or any Git URL."
    return ""


def is_bare_repository(folder: Path) -> bool:
    """Whether a folder is a bare Git repository."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def is_work_tree(folder: Path) -> bool:
    """Whether a folder is the top of a Git work tree."""
    return (folder / ".git").exists()


__all__ = [
    "TOKEN_VARIABLE",
    "Entry",
    "Git",
    "GitTree",
    "PushResult",
    "Remote",
    "is_bare_repository",
    "is_work_tree",
    "scratch_repository",
]
