"""The registrar after one publish: in process at every size, and with Git, whose own time is told apart."""

from __future__ import annotations

import dataclasses
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.bulk import quiet, sign
from benchmarks.data import options_for, publication
from benchmarks.figures import Figure, run_worker
from benchmarks.plugins import plugin_at
from benchmarks.repository import MAIN, commit_of, import_files, make_repository, offer
from benchmarks.subject import LATER, NEXT, Subject
from benchmarks.timing import forget_peak, peak_memory, timed
from publisher.git_tree import GitTree
from publisher.tree import Overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from publisher.git import Git
    from publisher.registrar.run import Run

_READ = "c" * 40


def measure_in_process(subject: Subject) -> Iterator[Figure]:
    """A run that publishes one version, by what changed since the one before; Git takes no part in it."""
    job = {"what": "benchmarks.registrar:in_process", "subject": subject.to_json()}
    result = run_worker({**job, "repeat": max(3, subject.repeat)})
    yield Figure(
        "registrar/publish",
        subject.plugins,
        "registrar after one publish, in process",
        tuple(result["seconds"]),
        memory=result["memory"],
    )
    yield Figure(
        "registrar/changed-bytes", subject.plugins, "written by one publish", (result["written"],), "B"
    )


def in_process(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: runs of the registrar. Nothing is written, so each finds the same."""
    from publisher.registrar.run import register

    subject = Subject.from_json(job["subject"])
    tree, paths = subject.tree_after(), subject.changed_paths()
    options = options_for(subject.root.read_bytes())
    options = dataclasses.replace(options, commit=_READ, changed_since=lambda _: paths)
    now = subject.now + 2 * LATER
    submissions = [publication(subject.other, NEXT, now)]
    done: list[Run] = []

    def run() -> None:
        done[:] = [register(tree, submissions, options, now)]
        if [outcome.result for outcome in done[0].outcomes] != ["published"]:
            raise AssertionError(f"the registrar did something else: {done[0].summary()}")

    before = forget_peak()
    run()  # what is imported on first use is not measured
    seconds = [timed(run) for _ in range(job["repeat"])]
    written = sum(len(data) for data in done[0].changes.values() if data is not None)
    return {"seconds": seconds, "memory": peak_memory() - before, "written": written}


def measure_with_git(subject: Subject) -> Iterator[Figure]:
    """A run on a repository on the same disk, from pending ref to pushed main: all of it, and what Git itself takes."""
    folder = subject.scratch / "registrar-git"
    job = {"what": "benchmarks.registrar:with_git", "subject": subject.to_json(), "folder": str(folder)}
    result = run_worker({**job, "repeat": 3})
    shutil.rmtree(folder)
    for key, title in (
        ("total", "registrar after one publish, with Git"),
        ("own", "of that, Git's own part"),
    ):
        yield Figure(f"registrar/git-{key}", subject.plugins, title, tuple(result[key]))


def with_git(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: publications offered to a repository and registered, one at a time."""
    subject = Subject.from_json(job["subject"])
    bench = GitBench(subject, Path(job["folder"]))
    total, own = [], []
    for number in range(job["repeat"] + 1):
        seconds, of_git = bench.publish([number + 1])
        if number:  # the first run starts without a run before it
            total.append(seconds)
            own.append(of_git)
    return {"total": total, "own": own}


class GitBench:
    """A repository in which versions are published, run by run.

    Args:
        subject: the registry that it holds at first.
        folder: where the repository is made.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self._subject = subject
        self.now = subject.now + LATER
        self.git = make_repository(subject, folder / "registry.git")
        # The registrar says which commit it read, and that must be one of this repository: a quiet run, as each day has one.
        tree = Overlay(subject.tree)
        read = commit_of(self.git, MAIN)
        sign(tree, self.now, None, lambda found: quiet(subject.plugins, read, found))
        import_files(self.git, MAIN, tree.changes.items(), self.now, read)

    def statements(self) -> dict[str, bytes]:
        """The files of the registry's offline roles."""
        tree = GitTree(self.git, commit_of(self.git, MAIN))
        folders = ("metadata", "targets/publishers")
        paths = ["policy.json", "blocks.json", *(path for folder in folders for path in tree.paths(folder))]
        return {path: tree.read(path) or b"" for path in paths}

    def maintain(self, files: Mapping[str, bytes]) -> None:
        """Have maintainers change something."""
        import_files(self.git, MAIN, files.items(), self.now, commit_of(self.git, MAIN))

    def publish(self, numbers: list[int]) -> tuple[float, float]:
        """Have the next version of some plugins published in one run, ten minutes later.

        Returns:
            Seconds in all, and those of them that Git took.
        """
        from publisher.git_remote import Remote
        from publisher.registrar.remote import register_remote

        self.now += timedelta(minutes=10)
        for number in numbers:
            plugin = plugin_at(number % self._subject.plugins, self._subject.plugins)
            version = f"2.{2 + number // self._subject.plugins}.0"
            offer(self.git, publication(plugin, version, self.now), self.now)
        root = self._subject.root.read_bytes()
        with GitClock() as clock:
            start = time.perf_counter()
            run = register_remote(
                Remote(str(self.git.folder)), "main", lambda _: options_for(root), {}, lambda: self.now
            )
            seconds = time.perf_counter() - start
        results = [outcome.result for outcome in run.outcomes]
        if results != ["published"] * len(numbers):
            raise AssertionError(f"the registrar did something else: {run.message()}")
        return seconds, clock.seconds


class GitClock:
    """Adds up the seconds that calls of `publisher.git.Git` take, calls inside calls once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0
        self._kept: dict[str, Any] = {}

    def __enter__(self) -> Self:
        from publisher.git import Git

        for name, method in vars(Git).items():
            if callable(method) and name != "__init__":
                self._kept[name] = method
        for name, method in self._kept.items():
            setattr(Git, name, self._timed(method))
        return self

    def __exit__(self, *_: object) -> None:
        from publisher.git import Git

        for name, method in self._kept.items():
            setattr(Git, name, method)

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(git: Git, *arguments: Any, **options: Any) -> Any:
            self._depth += 1
            start = time.perf_counter()
            try:
                return method(git, *arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - start

        return call
