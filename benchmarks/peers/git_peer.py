"""Git itself as the client: a shallow clone of the same registry over HTTP, and a fetch after one plugin changed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from benchmarks.figures import Rounds, run_command
from benchmarks.repository import MAIN, commit_of, import_files, make_repository
from benchmarks.serving import serve
from benchmarks.subject import LATER
from publisher.tree import DirTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure
    from benchmarks.subject import Subject

_ENVIRON = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "no_proxy": "127.0.0.1",
}


def measure_git(subject: Subject) -> Iterator[Figure]:
    """`git clone --depth 1`, and `git fetch --depth 1` with a checkout after one plugin changed, as whole processes."""
    clone = Rounds("peer/git/cold", subject.plugins, "`git clone --depth 1`")
    fetch = Rounds("peer/git/changed", subject.plugins, "`git fetch --depth 1`, one plugin changed")
    bare = subject.scratch / "git" / "registry.git"
    git = make_repository(subject, bare)
    first = commit_of(git, MAIN)
    changed = DirTree(subject.changed)
    files = ((path, changed.read(path)) for path in changed.paths(""))
    following = import_files(git, MAIN, files, subject.now + LATER, first)
    with serve(subject.layers(), git=bare.parent) as host:
        url, copy = f"{host.url}/git/registry.git", subject.scratch / "clone"
        for _ in range(2 if subject.plugins > 1000 else 3):
            git.run("update-ref", MAIN, first)
            host.take()
            clone.add(
                run_command(["git", "clone", "--quiet", "--depth=1", url, str(copy)], _ENVIRON), host.take()
            )
            git.run("update-ref", MAIN, following)
            update = "git fetch --quiet --depth=1 origin main && git reset --quiet --hard FETCH_HEAD"
            fetch.add(run_command(["sh", "-c", update], _ENVIRON, copy), host.take())
            shutil.rmtree(copy)
    shutil.rmtree(bare.parent)
    yield from (clone.figure(), fetch.figure())
