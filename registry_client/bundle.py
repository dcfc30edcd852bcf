"""Bundles: many small files of a registry as one, so that who wants all of them asks once. Pure.

A mirror makes a bundle out of what it serves and puts it at `BUNDLE_PATH`. It is no statement and carries no signature of its own: its
pieces have no names but their digests, and a piece is used only where something signed asks for bytes of exactly that digest. So a bundle
that is old, cut, or forged costs requests, never trust (docs/adr/0023-bundles.md).

Format: gzip of one line of JSON, `{"kind":"bundle","schemaVersion":1,"sizes":[…]}`, and behind it the pieces, each of as many bytes as its
number says.
"""

from __future__ import annotations

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
_MOST_PIECES = 100_000
_LEVEL = 6


def pack_bundle(pieces: Iterable[bytes]) -> bytes | None:
    """A bundle of these pieces, each distinct one once; None where it would be over a limit. Equal pieces give equal bytes."""
    import gzip  # noqa: PLC0415  (readers need zlib only)

    unique = list(dict.fromkeys(pieces))
    head = json.dumps(
        {"kind": "bundle", "schemaVersion": 1, "sizes": [len(piece) for piece in unique]},
        separators=(",", ":"),
    )
    if sum(map(len, unique)) + len(head) + 1 > UNPACKED_LIMIT or len(unique) > _MOST_PIECES:
        return None
    data = gzip.compress(b"".join([head.encode(), b"\n", *unique]), _LEVEL, mtime=0)
    return data if len(data) <= BUNDLE_LIMIT else None


class Pieces:
    """Bytes by their digests, computed here: what is given out under a digest has it.

    Args:
        text: the pieces one behind the other.
        sizes: their lengths in bytes, which together are that of the text.
    """

    def __init__(self, text: memoryview, sizes: Iterable[int]) -> None:
        self._text = text
        self._places: dict[Digest, tuple[int, int]] = {}
        start = 0
        for size in sizes:
            end = start + size
            self._places[Digest.of(text[start:end])] = start, end
            start = end

    def get(self, digest: Digest) -> bytes | None:
        """The piece with this digest, or None."""
        place = self._places.get(digest)
        return None if place is None else bytes(self._text[place[0] : place[1]])

    def __contains__(self, digest: Digest) -> bool:
        """Whether there is a piece with this digest."""
        return digest in self._places

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._places)


NO_PIECES: Final = Pieces(memoryview(b""), ())


def open_bundle(data: bytes, where: str) -> Pieces:
    """The pieces of a bundle.

    Raises:
        DocumentError: not a bundle, or over a limit.
    """
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = unpacker.decompress(data, UNPACKED_LIMIT)
        end = text.index(b"\n", 0, _HEAD_LIMIT)
        head = json.loads(text[:end])
        sizes, kind = head["sizes"], (head["kind"], head["schemaVersion"])
        whole = unpacker.eof and not unpacker.unconsumed_tail
        sound = len(sizes) <= _MOST_PIECES and all(type(size) is int and size >= 0 for size in sizes)
        problem = (
            ""
            if whole and sound and kind == ("bundle", 1) and end + 1 + sum(sizes) == len(text)
            else "malformed"
        )
    except (ValueError, KeyError, TypeError, RecursionError, zlib.error) as e:
        problem = str(e)
    if problem:
        raise DocumentError(where, [Problem("$", f"is not a bundle: {problem}")])
    return Pieces(memoryview(text)[end + 1 :], sizes)


__all__ = [
    "BUNDLE_LIMIT",
    "BUNDLE_PATH",
    "NO_PIECES",
    "UNPACKED_LIMIT",
    "Pieces",
    "open_bundle",
    "pack_bundle",
]
