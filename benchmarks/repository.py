"""The registries of a benchmark as Git repositories: made, published into by the registrar, packed and weighed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from publisher.git import Git
from publisher.registrar.remote import publish_ref
from registry_client.jsontext import parse_json, payload_digest_of
from registry_client.models.manifest import MANIFEST_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from benchmarks.subject import Subject
    from publisher.registrar.submission import Submission

MAIN = "refs/heads/main"
_WHO = b"Benchmark <benchmark@example.org>"


def make_repository(subject: Subject, folder: Path) -> Git:
    """A bare repository with all files of a registry in one commit on main, packed as a host keeps it."""
    git = empty_repository(folder)
    import_files(git, MAIN, _all_files(subject), subject.now, None)
    pack(git)
    return git


def empty_repository(folder: Path) -> Git:
    """A bare repository that serves what clients of GitHub are served."""
    folder.mkdir(parents=True)
    git = Git(folder, environment())
    git.run("init", "--quiet", "--bare", "--initial-branch=main", ".")
    settings = {"uploadpack.allowFilter": "true", "uploadpack.allowAnySHA1InWant": "true", "gc.auto": "0"}
    for name, value in settings.items():
        git.run("config", name, value)
    return git


def _all_files(subject: Subject) -> Iterator[tuple[str, bytes]]:
    tree = subject.tree
    for path in tree.own_paths():
        yield path, tree.read(path) or b""
    yield from tree.generator.files()


def import_files(
    git: Git, ref: str, files: Iterable[tuple[str, bytes | None]], when: datetime, parent: str | None
) -> str:
    """Make a commit of files as they come, without holding all of them.

    Returns:
        Its id.
    """
    command = ["git", "-C", str(git.folder), "fast-import", "--quiet", "--force"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        if process.stdin is None:
            raise AssertionError("a pipe was asked for")
        stream = process.stdin
        stream.write(
            b"commit %s\ncommitter %s %d +0000\ndata 7\npublish\n" % (ref.encode(), _WHO, when.timestamp())
        )
        if parent is not None:
            stream.write(b"from %s\n" % parent.encode())
        for path, data in files:
            if data is None:
                stream.write(b"D %s\n" % path.encode())
            else:
                stream.write(b"M 100644 inline %s\ndata %d\n" % (path.encode(), len(data)))
                stream.write(data + b"\n")
        stream.close()
    if process.returncode:
        raise RuntimeError("git fast-import failed")
    return commit_of(git, ref)


def commit_of(git: Git, ref: str) -> str:
    """The commit of a ref."""
    return git.run("rev-parse", ref).decode().strip()


def offer(git: Git, submission: Submission, now: datetime) -> None:
    """Push a publication to its publish ref, as `publisher publish` does."""
    data = submission.manifest or b""
    digest = payload_digest_of(parse_json(data, limit=MANIFEST_LIMIT, where="manifest"))
    commit = git.commit(None, {"manifest.json": data}, f"Publish {submission.id} {submission.version}", now)
    git.run("update-ref", publish_ref(submission.id, submission.version, digest.hex), commit)
    git.run("update-ref", "-d", "refs/heads/_new")


def pack(git: Git) -> int:
    """Pack a repository as `git gc` does, everything unreachable dropped.

    Returns:
        Bytes of its packs.
    """
    git.run("-c", "gc.pruneExpire=now", "gc", "--quiet", "--prune=now")
    return _packed(git)


def pack_anew(git: Git) -> int:
    """Pack a repository, all deltas looked for again; on one thread, as several find others each time.

    Returns:
        Bytes of its packs.
    """
    git.run("-c", "pack.threads=1", "repack", "-a", "-d", "-f", "--quiet")
    return _packed(git)


def _packed(git: Git) -> int:
    return sum(path.stat().st_size for path in (git.folder / "objects" / "pack").glob("*.pack"))


def environment() -> dict[str, str]:
    """For Git, without the user's settings."""
    return {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
