"""Many cached files as one: what a host read of many plugins at once, kept in its cache.

One file is written, and read, in a fraction of the time of a thousand. Like every cached file it is checked at each read, and one that is
damaged counts as absent.

Format: one line of JSON, `{"kind":"pack","pieces":[["<hex of sha256>",<size>],…]}`, and behind it the pieces.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Final

from registry_client.digest import Digest
from registry_client.jsontext import MIB
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PACK_LIMIT: Final = 128 * MIB
"""Largest pack, in bytes."""
_HEAD_LIMIT = 16 * MIB
_Places = dict[str, tuple[int, int]]


class Pack:
    """The pack of one registry's cache. Threads may share an object, and processes the file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int, int], _Places] | None = None

    def read(self, digest: Digest) -> bytes | None:
        """The piece with this digest, or None."""
        place = self._places().get(digest.hex)
        if place is None:
            return None
        try:
            with self._path.open("rb") as file:
                file.seek(place[0])
                data = file.read(place[1])
        except OSError:
            return None
        return data if Digest.of(data) == digest else None

    def __contains__(self, digest: Digest) -> bool:
        """Whether there is such a piece; `read` says whether it is sound."""
        return digest.hex in self._places()

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._places())

    def write(self, pieces: Mapping[Digest, bytes]) -> None:
        """Keep these pieces and no others. A cache that cannot be written is no error."""
        listed = [[digest.hex, len(data)] for digest, data in pieces.items()]
        head = json.dumps({"kind": "pack", "pieces": listed}, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            write_atomic(self._path, b"".join([head, b"\n", *pieces.values()]))

    def _places(self) -> _Places:
        try:
            stat = self._path.stat()
        except OSError:
            return {}
        state = stat.st_ino, stat.st_mtime_ns, stat.st_size
        with self._lock:
            if self._known is None or self._known[0] != state:
                self._known = state, self._read_head()
            return self._known[1]

    def _read_head(self) -> _Places:
        """Where each piece stands; nothing in a file that is damaged."""
        places: _Places = {}
        try:
            with self._path.open("rb") as file:
                line = file.readline(_HEAD_LIMIT)
            start = len(line)
            for name, size in json.loads(line)["pieces"]:
                if type(name) is not str or type(size) is not int or not 0 <= size <= PACK_LIMIT:
                    return {}
                places[name] = start, size
                start += size
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return places
