"""Git: the only module that starts processes.

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
from urllib.parse import urlsplit

from registry_client.digest import Digest
from registry_client.errors import ConfigError, GitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

TOKEN_VARIABLE = "PLUGIN_REGISTRY_TOKEN"  # noqa: S105  (the variable's name)
_TIMEOUT = 600
_HELPER = (
    f'!f() {{ test "$1" = get && echo username=x-access-token && echo "password=${TOKEN_VARIABLE}"; }}; f'
)
_DROPPED = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|COMMON_DIR|NAMESPACE|TRACE.*|CURL_VERBOSE|CEILING_DIRECTORIES)"
)
_AUTHOR = ("Plugin Registry", "plugin-registry@localhost")
_HISTORY = 200


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
class Remote:
    """A Git remote and the token for it.

    Attributes:
        url: URL, `host:path` or a local path; never with credentials.
        token: sent to that host only; empty where none is needed.
    """

    url: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str]) -> Remote:
        """A remote as the user names it; the token comes from PLUGIN_REGISTRY_TOKEN.

        Raises:
            ConfigError: the URL carries a credential, or would send the token unencrypted.
        """
        if text.startswith("-") or "\n" in text or "::" in text.split("/", 1)[0]:
            raise ConfigError(f"{text[:80]!r} is not a Git remote")
        parts = urlsplit(text) if "://" in text else None
        if parts is not None and (
            parts.password is not None or (parts.scheme in {"http", "https"} and parts.username)
        ):
            raise ConfigError(
                f"the URL for {parts.hostname} carries a credential",
                hint=f"Take it out of the URL and put it into the environment variable {TOKEN_VARIABLE}.",
            )
        token = environ.get(TOKEN_VARIABLE, "")
        if parts is None or parts.scheme not in {"http", "https"}:
            return cls(text)
        if token and parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ConfigError(f"{text}: a token is not sent over http://", hint="Use https://.")
        return cls(text, token)


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
        self._environ = _environment(environ, remote)
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
        except FileNotFoundError as e:
            raise GitError("git is not installed", hint="Install Git 2.30 or newer.") from e
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
        text = self.run("ls-remote", "--", self._url(), *patterns).decode()
        pairs = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
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

        Raises:
            GitError: more than `limit`.
        """
        listed = self.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *paths).split(b"\0")[:-1]
        if limit is not None and len(listed) > limit:
            raise GitError(f"commit {commit[:12]} holds {len(listed)} files; at most {limit} are looked at")
        found = []
        for line in listed:
            head, _, path = line.partition(b"\t")
            mode, kind, oid = head.decode().split(" ")
            found.append(Entry(mode, kind, oid, path.decode(errors="replace")))
        return found

    def size(self, oid: str) -> tuple[str, int]:
        """Kind and size in bytes of an object."""
        line = self.run("cat-file", "--batch-check", stdin=f"{oid}\n".encode()).decode().split()
        if len(line) != 3:  # noqa: PLR2004  (oid, kind, size)
            raise GitError(f"object {oid[:12]} is missing")
        return line[1], int(line[2])

    def read(self, oid: str) -> bytes:
        """The bytes of an object."""
        batch = self._open_batch()
        stdin, stdout = _pipes(batch)
        stdin.write(f"{oid}\n".encode())
        stdin.flush()
        head = stdout.readline().split()
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
        """
        stamp = f"{int(when.timestamp())} +0000"
        who = f"{_AUTHOR[0]} <{_AUTHOR[1]}> {stamp}"
        text = message.encode()
        stream = [b"commit refs/heads/_new\ncommitter %s\ndata %d\n%s\n" % (who.encode(), len(text), text)]
        if parent:
            stream.append(b"from %s\n" % parent.encode())
        for path, data in sorted(changes.items()):
            name = path.encode()
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
                results.append(PushResult(names.rpartition(":")[2], flag != "!", reason.strip()))
        if not results:
            raise GitError(f"git push failed: {self._shown(done.stderr)}", hint=_hint(done.stderr))
        return results

    def close(self) -> None:
        """End the helper process."""
        if self._batch is not None:
            stdin, stdout = _pipes(self._batch)
            stdin.close()
            self._batch.wait()
            stdout.close()
            self._batch = None

    def _open_batch(self) -> subprocess.Popen[bytes]:
        if self._batch is None:
            self._batch = subprocess.Popen(  # noqa: S603
                ["git", "-C", str(self.folder), "cat-file", "--batch"],  # noqa: S607
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
            )
        return self._batch

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
        git.run("init", "--quiet", "--bare", ".")
        git.run("remote", "add", "origin", remote.url)
        git.run("config", "gc.auto", "0")
        try:
            yield git
        finally:
            git.close()


def _environment(environ: Mapping[str, str], remote: Remote | None) -> dict[str, str]:
    """The environment for Git: no prompts, no traces, and the token only where it is needed."""
    env = {name: value for name, value in environ.items() if not _DROPPED.fullmatch(name)}
    env.pop(TOKEN_VARIABLE, None)
    env.update({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"})
    if remote is not None and remote.token:
        parts = urlsplit(remote.url)
        scope = f"credential.{parts.scheme}://{parts.netloc}.helper"
        number = int(env.get("GIT_CONFIG_COUNT", "0"))
        for offset, value in enumerate(("", _HELPER)):
            env[f"GIT_CONFIG_KEY_{number + offset}"] = scope
            env[f"GIT_CONFIG_VALUE_{number + offset}"] = value
        env["GIT_CONFIG_COUNT"] = str(number + 2)
        env[TOKEN_VARIABLE] = remote.token
    return env


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:  # pragma: no cover  (both are pipes)
        raise GitError("git cat-file has no pipes")
    return process.stdin, process.stdout


def _hint(stderr: bytes) -> str:
    text = stderr.decode(errors="replace").lower()
    if "authentication failed" in text or "could not read username" in text or "403" in text:
        return f"Put a token that may push to this repository into {TOKEN_VARIABLE}."
    if "not found" in text or "does not appear to be a git repository" in text or "does not exist" in text:
        return "Check the name of the registry; it may be a folder, or any Git URL."
    return ""


def is_bare_repository(folder: Path) -> bool:
    """Whether a folder is a bare Git repository."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def is_work_tree(folder: Path) -> bool:
    """Whether a folder is the top of a Git work tree."""
    return (folder / ".git").exists()
