"""Bundles: many small files of a registry as one, so that who wants all of them asks once. Pure.

A mirror makes a bundle out of what it serves and puts it at `BUNDLE_PATH`. It is no statement and carries no signature of its own: its pieces have no
names but their digests, and a piece is used only where something signed asks for bytes of exactly that digest. So a bundle that is old, cut, or
forged costs requests, never trust (docs/adr/0023-bundles.md).

Format: gzip of one line of JSON, `{"kind":"bundle","schemaVersion":1,"sizes":[…]}`, and behind it the pieces, each of as many bytes as its number says.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Final

from registry_client.digest import Digest
from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable

BUNDLE_PATH: Final = "bundle/manifests.gz"
"""Below the base URL of a mirror. Not committed to the registry's repository."""
BUNDLE_LIMIT: Final = 16 * MIB
"""Largest bundle as served, in bytes."""
UNPACKED_LIMIT: Final = 128 * MIB
"""Largest bundle unpacked, in bytes. Mirrors make none that is larger."""
_HEAD_LIMIT = 4 * MIB
_LEVEL = 6


def pack_bundle(pieces: Iterable[bytes]) -> bytes | None:
    """A bundle of these pieces, each distinct one once; None where it would be over a limit. Equal pieces give equal bytes."""
    unique = list(dict.fromkeys(pieces))
    head = json.dumps(
        {"kind": "bundle", "schemaVersion": 1, "sizes": [len(piece) for piece in unique]},
        separators=(",", ":"),
    )
    if sum(map(len, unique)) + len(head) + 1 > UNPACKED_LIMIT:
        return None
    data = gzip.compress(b"".join([head.encode(), b"\n", *unique]), _LEVEL, mtime=0)
    return data if len(data) <= BUNDLE_LIMIT else None


def open_bundle(data: bytes, where: str) -> dict[Digest, bytes]:
    """The pieces of a bundle by their digests, computed here.

    Raises:
        DocumentError: not a bundle, or over a limit.
    """
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = unpacker.decompress(data, UNPACKED_LIMIT)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError("cut short, or too large")
        end = text.index(b"\n", 0, _HEAD_LIMIT)
        head = json.loads(text[:end])
        sizes = head["sizes"]
        if (head["kind"], head["schemaVersion"]) != ("bundle", 1):
            raise ValueError("another kind of file")
        if not all(type(size) is int and size >= 0 for size in sizes) or end + 1 + sum(sizes) != len(text):
            raise ValueError("its sizes are not those of its pieces")
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as e:
        raise DocumentError(where, [Problem("$", f"is not a bundle: {e}")]) from e
    pieces: dict[Digest, bytes] = {}
    start = end + 1
    for size in sizes:
        piece = text[start : start + size]
        pieces[Digest.of(piece)] = piece
        start += size
    return pieces


__all__ = ["BUNDLE_LIMIT", "BUNDLE_PATH", "UNPACKED_LIMIT", "open_bundle", "pack_bundle"]
