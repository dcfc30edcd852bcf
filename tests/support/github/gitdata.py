"""Git's plumbing over one bare repository: what the double's answers are made of. Knows nothing of HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path

_GIT = shutil.which("git") or "git"
_ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}
NOTHING = "0" * 40
_WHO = re.compile(r"(.*) <(.*)> (\d+) ([+-])(\d\d)(\d\d)")


class GitRefusedError(Exception):
    """Git did not do what was asked."""


@dataclass(frozen=True)
class Who:
    """An author or committer, and when."""

    name: str
    email: str
    when: datetime

    def line(self) -> str:
        """As a commit writes it."""
        return f"{self.name} <{self.email}> {int(self.when.timestamp())} {self.when:%z}"


@dataclass(frozen=True)
class Commit:
    """A commit, read."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Who
    committer: Who
    message: str
    signature: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of a tree; `size` is of a blob, else None."""

    mode: str
    kind: str
    sha: str
    path: str
    size: int | None


def run(repository: Path, *arguments: str, data: bytes = b"", index: str = "") -> bytes:
    """Standard output of one Git command.

    Raises:
        GitRefusedError: it failed.
    """
    done = subprocess.run(
        [_GIT, "-C", str(repository), *arguments],
        input=data,
        capture_output=True,
        check=False,
        env=_ENVIRONMENT | ({"GIT_INDEX_FILE": index} if index else {}),
    )
    if done.returncode:
        raise GitRefusedError(f"git {arguments[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def text(repository: Path, *arguments: str, data: bytes = b"") -> str:
    """`run`, as stripped text."""
    return run(repository, *arguments, data=data).decode().strip()


def create(repository: Path, branch: str) -> None:
    """A bare repository that takes pushes over HTTP, as the tests' Git host serves it."""
    repository.mkdir(parents=True)
    run(repository, "init", "--quiet", "--bare", f"--initial-branch={branch}")
    run(repository, "config", "http.receivepack", "true")
    # As on GitHub: any commit can be fetched by its name.
    run(repository, "config", "uploadpack.allowAnySHA1InWant", "true")


def is_object_name(name: str) -> bool:
    """Whether it has the form of a whole object name."""
    return re.fullmatch(r"[0-9a-f]{40}", name) is not None


def is_ref_name(repository: Path, name: str) -> bool:
    """Whether Git takes it as the name of a ref."""
    try:
        run(repository, "check-ref-format", name)
    except GitRefusedError:
        return False
    return True


def kind_of(repository: Path, sha: str) -> str:
    """`blob`, `tree`, `commit`, `tag`, or nothing where there is no such object."""
    if not is_object_name(sha):
        return ""
    try:
        return text(repository, "cat-file", "-t", sha)
    except GitRefusedError:
        return ""


def resolve(repository: Path, name: str) -> str:
    """The object that a full ref name, or a branch, tag or commit, stands for; nothing where there is none."""
    for full in (name, f"refs/heads/{name}", f"refs/tags/{name}"):
        if full.startswith("refs/") or is_object_name(full):
            try:
                return text(
                    repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{full}^{{}}"
                )
            except GitRefusedError:
                continue
    return ""


def resolve_path(repository: Path, commit: str, path: str) -> str:
    """The object at a path of a commit; nothing where there is none."""
    try:
        return text(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{path}")
    except GitRefusedError:
        return ""


def refs(repository: Path, prefix: str = "refs/") -> dict[str, tuple[str, str]]:
    """Object and kind of each ref whose name begins with a prefix, in the order of names."""
    lines = text(repository, "for-each-ref", "--format=%(refname) %(objectname) %(objecttype)").splitlines()
    split = (line.split(" ") for line in lines)
    return {name: (sha, kind) for name, sha, kind in split if name.startswith(prefix)}


def set_ref(repository: Path, name: str, new: str, old: str) -> None:
    """Create (old is `NOTHING`), move, or delete (new is `NOTHING`) a ref that is still what it was.

    Raises:
        GitRefusedError: it is not, or another ref's name is in the way.
    """
    if new == NOTHING:
        run(repository, "update-ref", "-d", name, old)
    else:
        run(repository, "update-ref", name, new, old)


def is_ancestor(repository: Path, older: str, newer: str) -> bool:
    """Whether one commit can be reached from another."""
    try:
        run(repository, "merge-base", "--is-ancestor", older, newer)
    except GitRefusedError:
        return False
    return True


def write_blob(repository: Path, content: bytes) -> str:
    """Store bytes; their object name."""
    return text(repository, "hash-object", "-w", "--stdin", data=content)


def read_blob(repository: Path, sha: str) -> bytes:
    """The bytes of a blob."""
    return run(repository, "cat-file", "blob", sha)


def read_tree(repository: Path, sha: str, *, recursive: bool = False) -> list[Entry]:
    """The entries of a tree, or of a commit's tree; recursive ones with the folders as well."""
    options = ["-r", "-t"] if recursive else []
    lines = run(repository, "ls-tree", "-z", "--long", *options, sha).decode().split("\0")[:-1]
    entries = []
    for line in lines:
        head, path = line.split("\t", 1)
        mode, kind, name, size = head.split()
        entries.append(Entry(mode, kind, name, path, int(size) if size != "-" else None))
    return entries


def write_tree(repository: Path, base: str, entries: list[tuple[str, str, str | None]]) -> str:
    """A tree from another one and (path, mode, object) triples; no object means the path is removed.

    Args:
        repository: where it is written.
        base: a tree to begin with; empty for none.
        entries: in the order in which they are applied.

    Raises:
        GitRefusedError: a path that Git does not take.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder) / "index")
        if base:
            run(repository, "read-tree", base, index=index)
        for folders, group in groupby(entries, lambda each: each[1] == "040000" and each[2] is not None):
            if folders:
                for path, _, sha in group:
                    run(repository, "read-tree", f"--prefix={path}/", str(sha), index=index)
                continue
            lines = [
                f"{mode} {sha}\t{path}\0" if sha else f"0 {NOTHING}\t{path}\0" for path, mode, sha in group
            ]
            update = ["update-index", "--add", "--replace", "-z", "--index-info"]
            run(repository, *update, data="".join(lines).encode(), index=index)
        return run(repository, "write-tree", index=index).decode().strip()


def write_commit(repository: Path, commit: Commit) -> str:
    """Store a commit with exactly this content; its object name (`commit.sha` is not read)."""
    lines = [f"tree {commit.tree}", *(f"parent {parent}" for parent in commit.parents)]
    lines += [f"author {commit.author.line()}", f"committer {commit.committer.line()}"]
    if commit.signature:
        lines.append("gpgsig " + commit.signature.strip().replace("\n", "\n "))
    content = "\n".join(lines) + "\n\n" + commit.message
    return text(repository, "hash-object", "-t", "commit", "-w", "--stdin", data=content.encode())


def read_commit(repository: Path, sha: str) -> Commit:
    """A commit's content."""
    head, _, message = run(repository, "cat-file", "commit", sha).decode().partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.replace("\n ", "\0").split("\n"):
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value.replace("\0", "\n"))
    return Commit(
        sha=sha,
        tree=fields["tree"][0],
        parents=tuple(fields.get("parent", ())),
        author=_who(fields["author"][0]),
        committer=_who(fields["committer"][0]),
        message=message,
        signature=fields.get("gpgsig", [""])[0],
    )


def _who(line: str) -> Who:
    match = _WHO.fullmatch(line)
    if match is None:
        raise GitRefusedError(f"a commit by {line!r}")
    name, email, seconds, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    zone = timezone(offset) if offset else UTC
    return Who(name, email, datetime.fromtimestamp(int(seconds), zone))


def changes(repository: Path, base: str, head: str) -> list[tuple[str, str, str, int, int]]:
    """(status letter, path, blob, lines added, lines removed) of each file that differs since the common ancestor."""
    start = text(repository, "merge-base", base, head)
    raw = run(repository, "diff-tree", "-r", "-z", "--no-renames", "--raw", start, head).decode().split("\0")
    counts = run(repository, "diff-tree", "-r", "-z", "--no-renames", "--numstat", start, head).decode()
    lines = {line.split("\t")[2]: line.split("\t")[:2] for line in counts.split("\0")[:-1]}
    found = []
    for meta, path in zip(raw[0::2], raw[1::2], strict=False):
        _, _, before, after, status = meta.split()
        added, removed = (0 if each == "-" else int(each) for each in lines[path])
        found.append((status, path, before if status == "D" else after, added, removed))
    return found


def related(repository: Path, one: str, other: str) -> bool:
    """Whether two commits have an ancestor in common."""
    try:
        run(repository, "merge-base", one, other)
    except GitRefusedError:
        return False
    return True
