"""What a benchmark's server answers with: files of folders, files that are made, a Git repository."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.generated import BulkTree, Generator
from publisher.tree import DirTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEPT = 30_000
_SMALL = 200


@dataclass(frozen=True)
class File:
    """A file that is ready to be sent.

    Attributes:
        data: as it is.
        packed: compressed; None where that would not make it smaller.
        etag: its weak entity tag.
    """

    data: bytes
    packed: bytes | None
    etag: str


def ready(data: bytes) -> File:
    """A file with all that an answer may need."""
    packed = gzip.compress(data, 6, mtime=0)
    tag = f'W/"{hashlib.sha256(data).hexdigest()}"'
    return File(data, packed if len(packed) < len(data) else None, tag)


@dataclass(frozen=True)
class Layer:
    """Files of one folder, and what is made on top.

    Attributes:
        folder: where they stand.
        count: of how many plugins the files are made that the folder does not have; 0 for none.
        now: when those were published, in ISO format; empty for none.
    """

    folder: str
    count: int = 0
    now: str = ""

    def tree(self) -> DirTree:
        """The layer as a tree."""
        if not self.count:
            return DirTree(Path(self.folder))
        return BulkTree(Path(self.folder), Generator(self.count, datetime.fromisoformat(self.now)))


class Files:
    """Layers of files, the first that has one counting.

    Args:
        layers: by name.
        order: names of those that are served; changed by `use`.
    """

    def __init__(self, layers: Mapping[str, Layer], order: Sequence[str]) -> None:
        self._trees = {name: layer.tree() for name, layer in layers.items()}
        self._in_layer = lru_cache(maxsize=_KEPT)(self._load)
        self._order = list(order)

    def use(self, order: Sequence[str]) -> None:
        """Serve these layers from now on."""
        self._order = list(order)

    def read(self, path: str) -> File | None:
        """A file, or None. A folder's is its index.html."""
        path = f"{path}index.html" if path.endswith("/") else path
        return next((file for name in self._order if (file := self._in_layer(name, path)) is not None), None)

    def _load(self, name: str, path: str) -> File | None:
        data = self._trees[name].read(path)
        return None if data is None else ready(data)


async def run_git(
    folder: str, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, str, bytes]:
    """Have Git's own HTTP backend answer.

    Args:
        folder: a bare repository.
        method: of the request.
        target: its path, below `/git/`, and query.
        headers: its headers, names in lower case.
        body: its body.

    Returns:
        Status, header lines, body.
    """
    path, _, query = target.partition("?")
    environ = {
        **os.environ,
        "GIT_PROJECT_ROOT": folder,
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path.removeprefix("/git"),
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate(body)
    head, _, answer = output.partition(b"\r\n\r\n")
    fields = [line for line in head.decode("latin-1").split("\r\n") if line]
    status = next((line[8:] for line in fields if line.startswith("Status: ")), "200 OK")
    return status, "".join(f"{line}\r\n" for line in fields if not line.startswith("Status: ")), answer
