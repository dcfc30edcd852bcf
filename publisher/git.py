"""Git: the only module that starts it (other programs are started by `process`).

A credential reaches Git through an environment variable that a credential helper reads: it stands in no URL, no argument, no log and no
file. What Git prints is shown with it removed.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from publisher.git_fetch import Fetching
from publisher.git_remote import TOKEN_VARIABLE, Remote, git_environment
from publisher.git_text import (
    AUTHOR,
    NEW_COMMIT,
    Entry,
    PushResult,
    commit_stream,
    hint_for,
    parse_entries,
    parse_push,
    without_secrets,
)
from registry_client.digest import Digest
from registry_client.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

_TIMEOUT = 600
_HISTORY = 200
_LONGEST_ENTRY = 4200
# So many object ids fit into the smallest pipe, so that neither side waits for the other while both write.
_ASKED_AT_ONCE = 200


class Git(Fetching):
    """Git commands in one repository.

    Args:
        folder: the repository.
        environ: the environment Git runs in.
        remote: whose token may be used.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], remote: Remote | None = None) -> None:
        super().__init__()
        self.folder = folder
        self._remote = remote
        self._environ = git_environment(environ, remote)
        self._batch: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()  # the client that checks a candidate reads in several threads

    def run(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        """Run a command and give its standard output.

        Raises:
            GitError: it failed; the message holds what Git printed, without credentials.
        """
        return self._run(arguments, stdin, check=check).stdout

    def succeeds(self, *arguments: str) -> bool:
        """Run a command, and say whether it ended well.

        Raises:
            GitError: it could not be started, or did not end.
        """
        return self._run(arguments, check=False).returncode == 0

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
            raise GitError(f"git {_command(arguments)}: no end after {_TIMEOUT} seconds") from e
        if check and done.returncode:
            raise GitError(
                f"git {_command(arguments)} failed: {self._shown(done.stderr)}", hint=hint_for(done.stderr)
            )
        return done

    def _shown(self, output: bytes) -> str:
        return without_secrets(output, self._remote.token if self._remote is not None else "")

    # -- reading ------------------------------------------------------------------------------------------------

    def ls_remote(self, *patterns: str) -> dict[str, str]:
        """Object ids of the remote's refs that match."""
        # Names may hold any bytes, and characters that Python takes for the end of a line.
        text = self.run("ls-remote", "--", self._url(), *patterns).decode("utf-8", "surrogateescape")
        pairs = (line.split("\t", 1) for line in text.split("\n") if "\t" in line)
        return {ref: oid for oid, ref in pairs}

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
            return parse_entries(self.run(*arguments))
        # A few small objects can name billions of files, or of empty folders (which only -t shows): the listing has an end.
        most = (limit + 1) * _LONGEST_ENTRY
        listing = self._first_bytes([arguments[0], "-t", *arguments[1:]], most)
        found = [entry for entry in parse_entries(listing) if entry.kind != "tree"]
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
        return self.read_all([oid])[0]

    def read_all(self, oids: Sequence[str]) -> list[bytes]:
        """The bytes of objects, in order.

        Raises:
            GitError: one is missing.
        """
        found = []
        for start in range(0, len(oids), _ASKED_AT_ONCE):
            some = oids[start : start + _ASKED_AT_ONCE]
            with self._asking:
                self._ask(some)
                found += self._answers(some)
        return found

    def _ask(self, oids: Sequence[str]) -> None:
        if self._batch is None:
            self._batch = self._start(["cat-file", "--batch"])
        stdin = _pipes(self._batch)[0]
        with contextlib.suppress(BrokenPipeError):  # there will be no answer
            stdin.write("".join(f"{oid}\n" for oid in oids).encode())
            stdin.flush()

    def _answers(self, oids: Sequence[str]) -> list[bytes]:
        """What the helper process says of each; all of it is taken, so that the next answers are the next question's."""
        found: list[bytes] = []
        missing = ""
        for oid in oids:
            stdout = _pipes(self._batch)[1]
            head = stdout.readline().split()
            if not head:  # it ends where an object that was left out cannot be fetched
                self.close()
                raise GitError(f"object {oid[:12]} is missing")
            if len(head) != 3:  # noqa: PLR2004  (oid, kind, size)
                missing = missing or oid
                continue
            size = int(head[2])
            data = stdout.read(size)
            if len(data) != size:  # killed in the middle: the rest would be missed by nobody
                self.close()
                raise GitError(f"object {oid[:12]} cannot be read to its end")
            found.append(data)
            stdout.read(1)
        if missing:
            raise GitError(f"object {missing[:12]} is missing")
        return found

    def tree_of(self, commit: str) -> str:
        """The id of a commit's tree.

        Raises:
            GitError: there is no such commit.
        """
        first = self.read(commit).partition(b"\n")[0].split()
        if len(first) != 2 or first[0] != b"tree":  # noqa: PLR2004
            raise GitError(f"{commit[:12]} is not a commit")
        return first[1].decode()

    def differing(self, old: str, new: str) -> list[str]:
        """The paths of the files in which two commits differ, sorted.

        Raises:
            GitError: one of them, or a folder of one, is not here.
        """
        listing = self.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new, "--")
        return sorted(path.decode(errors="replace") for path in listing.split(b"\0")[:-1])

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
        stream = commit_stream(parent, changes, message, when)
        self.run("fast-import", "--quiet", "--force", "--done", stdin=stream)
        return self.run("rev-parse", NEW_COMMIT).decode().strip()

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
        results = parse_push(done.stdout, self._shown)
        if not results:
            raise GitError(f"git push failed: {self._shown(done.stderr)}", hint=hint_for(done.stderr))
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


def _command(arguments: Sequence[str]) -> str:
    """What was asked of Git, behind the settings for this one time."""
    return arguments[2] if arguments[0] == "-c" else arguments[0]


def _not_started(error: OSError) -> GitError:
    if isinstance(error, FileNotFoundError):
        return GitError("git is not installed", hint="Install Git 2.30 or newer.")
    return GitError(f"git cannot be started ({error.strerror})", hint="Check the git on your PATH.")


def _pipes(process: subprocess.Popen[bytes] | None) -> tuple[IO[bytes], IO[bytes]]:
    if (
        process is None or process.stdin is None or process.stdout is None
    ):  # pragma: no cover  (both are pipes)
        raise GitError("git cat-file has no pipes")
    return process.stdin, process.stdout


def is_bare_repository(folder: Path) -> bool:
    """Whether a folder is a bare Git repository."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def is_work_tree(folder: Path) -> bool:
    """Whether a folder is the top of a Git work tree."""
    return (folder / ".git").exists()


__all__ = [
    "AUTHOR",
    "TOKEN_VARIABLE",
    "Entry",
    "Git",
    "PushResult",
    "Remote",
    "is_bare_repository",
    "is_work_tree",
    "scratch_repository",
]
