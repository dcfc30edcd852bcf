"""What a registry of a size consists of: bytes and files, counted, not timed."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from benchmarks.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.subject import Subject


def measure_shape(subject: Subject) -> Iterator[Figure]:
    """Index, catalogue and the metadata that names the index."""
    tree = subject.tree
    below = list(tree.own_paths())
    index = [path for path in below if path.startswith("targets/index/")]
    top = [path for path in index if path.count("/") == 2]
    registrar = next(path for path in reversed(below) if path.endswith(".registrar.json"))
    sizes = {path: len(tree.read(path) or b"") for path in index}
    packed = len(gzip.compress(tree.read(registrar) or b"", 6, mtime=0))
    rows = (
        ("index", "index, all shards", sum(sizes.values()), "B"),
        ("catalogue", "registry.json", len(tree.read("registry.json") or b""), "B"),
        ("registrar", "registrar's metadata, compressed", packed, "B"),
        ("top", "shards and directories that are TUF targets", len(top), ""),
        ("below", "shards below directories", len(index) - len(top), ""),
        ("largest", "largest shard or directory", max(sizes.values()), "B"),
        ("make", "to make the registry for the benchmark", subject.built, "s"),
    )
    for key, title, value, unit in rows:
        yield Figure(f"shape/{key}", subject.plugins, title, (value,), unit)
