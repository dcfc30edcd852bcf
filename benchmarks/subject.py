"""A registry that is measured: its folder, what was published after it, and how it is served."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bulk import build_bulk
from benchmarks.data import options_for, publication
from benchmarks.generated import BulkTree, Generator
from benchmarks.plugins import plugin_at
from benchmarks.sources import Layer
from publisher.registrar.run import register
from publisher.tree import DirTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.plugins import Plugin
    from publisher.registrar.run import Run
    from publisher.tree import Tree

NEXT = "2.2.0"
"""The version that is published after the registry was made."""
LATER = timedelta(minutes=5)
READ_NEXT = "b" * 40
"""The commit that the run is said to have read which published it."""
_CHANGED = "changed.json"


class ChangedTree:
    """A tree with other files on top.

    Args:
        base: the tree.
        changed: what is on top.
        paths: where the two differ; what is missing on top is gone.
    """

    def __init__(self, base: Tree, changed: Tree, paths: frozenset[str]) -> None:
        self._base = base
        self._changed = changed
        self._paths = paths

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        return (self._changed if path in self._paths else self._base).read(path)

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder, sorted."""
        kept = (path for path in self._base.paths(folder) if path not in self._paths)
        return iter(sorted({*kept, *self._changed.paths(folder)}))


@dataclass(frozen=True)
class Subject:
    """The registry that is measured.

    Attributes:
        plugins: how many plugins it has.
        now: when it was registered.
        scratch: a folder of its own.
        repeat: how often each thing is measured.
        built: seconds that making it took.
    """

    plugins: int
    now: datetime
    scratch: Path
    repeat: int
    built: float = field(compare=False)

    @property
    def folder(self) -> Path:
        """Its files, but for those of its plugins."""
        return self.scratch / "registry"

    @property
    def changed(self) -> Path:
        """What one more version changed."""
        return self.scratch / "changed"

    @property
    def root(self) -> Path:
        """The pinned root of trust."""
        return self.folder / "metadata" / "1.root.json"

    @property
    def plugin(self) -> Plugin:
        """The plugin that is looked up, and gets one more version."""
        return plugin_at(self.plugins // 2, self.plugins)

    @property
    def other(self) -> Plugin:
        """Another plugin, in another shard."""
        return plugin_at(self.plugins // 3, self.plugins)

    @property
    def tree(self) -> BulkTree:
        """All its files."""
        return BulkTree(self.folder, Generator(self.plugins, self.now))

    def tree_after(self) -> ChangedTree:
        """All its files after one more version was published."""
        return ChangedTree(self.tree, DirTree(self.changed), frozenset(self.changed_paths()))

    def changed_paths(self) -> list[str]:
        """The paths in which the registry differs since one more version was published."""
        paths: list[str] = json.loads((self.scratch / _CHANGED).read_bytes())
        return paths

    def to_json(self) -> dict[str, Any]:
        """For workers."""
        return {**asdict(self), "now": self.now.isoformat(), "scratch": str(self.scratch)}

    @staticmethod
    def from_json(raw: dict[str, Any]) -> Subject:
        """What `to_json` gave."""
        return Subject(**{**raw, "now": datetime.fromisoformat(raw["now"]), "scratch": Path(raw["scratch"])})

    def layers(self) -> dict[str, Layer]:
        """What is served: the registry as it was, and what one more version changed."""
        return {
            "first": Layer(str(self.folder), self.plugins, self.now.isoformat()),
            "changed": Layer(str(self.changed)),
        }


def build_subject(plugins: int, now: datetime, scratch: Path, repeat: int) -> Subject:
    """Make a registry, and let its registrar publish one more version.

    Args:
        plugins: how many plugins it has.
        now: when they were published.
        scratch: a folder of its own.
        repeat: how often each thing is measured.
    """
    start = time.perf_counter()
    subject = Subject(plugins, now, scratch, repeat, 0.0)
    write_plainly(subject.folder, build_bulk(plugins, now))
    subject = Subject(plugins, now, scratch, repeat, time.perf_counter() - start)
    changes = publish_next(subject).changes
    write_plainly(subject.changed, changes)
    (scratch / _CHANGED).write_text(json.dumps(sorted(changes)), encoding="utf-8")
    return subject


def publish_next(subject: Subject) -> Run:
    """The registrar's run that publishes one more version of the plugin that is looked up."""
    when = subject.now + LATER
    run = register(
        subject.tree,
        [publication(subject.plugin, NEXT, when)],
        replace(options_for(subject.root.read_bytes()), commit=READ_NEXT, changed_since=lambda _: ()),
        when,
    )
    if run.refused:
        raise run.refused[0].error or AssertionError("refused without a reason")
    return run


def write_plainly(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files into a folder of a benchmark's own, without the care that a registry needs.

    Deletions are passed over: hosts serve what was superseded for a while.
    """
    for parent in {path.rpartition("/")[0] for path in files}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        if data is not None:
            (folder / path).write_bytes(data)
