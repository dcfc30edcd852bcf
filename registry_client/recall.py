"""A look-up that was made a short while ago, remembered with everything that it depended on.

What was found is kept in the state directory, sealed together with the digest of all that it followed from: the look-up itself, the pinned
root, the newest verified state, the release revisions seen. If any of these is another one now, or the file was damaged,
the seal does not fit and the look-up is made again. As with the rest of the state, who can write there is trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from registry_client.store import Store

_FORMAT = "look-up 1"
"""Raised whenever what is remembered means something else."""
_FOLDER = "recall"
_MOST = 100
"""Look-ups that are kept; past that all are dropped. They last no longer than the TTL anyway."""


def basis_of(store: Store, plugin_id: str, wishes: Mapping[str, object]) -> bytes:
    """A digest of everything that looking up a plugin depends on but the time.

    Args:
        store: the registry's state. `view.json` is written anew by each refresh, and the timestamp names all other metadata
            by version: so any news, and any other root, keys, publishers, index or blocks, make another digest.
        plugin_id: whose release revisions count.
        wishes: what was asked for, on whose behalf, and what was allowed; as JSON can say it.
    """
    files = [
        store.state / "view.json",
        store.metadata / "timestamp.json",
        store.state / "revisions" / f"{plugin_id}.json",
    ]
    parts = [_FORMAT.encode(), json.dumps(wishes, sort_keys=True).encode(), *map(_bytes_of, files)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def recall(store: Store, wishes: Mapping[str, object], basis: bytes, now: float) -> dict[str, Any] | None:
    """What was found on the same basis before; None where nothing was, or the clock stood later then."""
    seal, _, content = _bytes_of(_path(store, wishes)).partition(b"\n")
    if not content or seal != _seal(basis, content):
        return None
    try:
        raw = json.loads(content)
        made_at, found = raw["made_at"], raw["found"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    known = type(made_at) in {int, float} and isinstance(found, dict) and made_at <= now
    return found if known else None


def remember(
    store: Store, wishes: Mapping[str, object], basis: bytes, now: float, found: dict[str, Any]
) -> None:
    """Keep what was found. State that cannot be written is no error: it is looked up again."""
    content = json.dumps({"made_at": now, "found": found}).encode()
    path = _path(store, wishes)
    with contextlib.suppress(OSError):
        if path.parent.is_dir() and len(old := list(path.parent.iterdir())) >= _MOST:
            for other in old:
                other.unlink(missing_ok=True)
        write_atomic(path, _seal(basis, content) + b"\n" + content)


def _seal(basis: bytes, content: bytes) -> bytes:
    return hashlib.sha256(basis + hashlib.sha256(content).digest()).hexdigest().encode()


def _path(store: Store, wishes: Mapping[str, object]) -> Path:
    name = hashlib.sha256(json.dumps(wishes, sort_keys=True).encode()).hexdigest()
    return store.state / _FOLDER / name[:32]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
