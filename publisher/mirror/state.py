"""What runs remember of a mirror, beside it: the digest of each file under the tag that it had, and since when the registry has it no more.

It saves reading everything again, and nothing more: a file counts as known only where its tag is still the one that stands here. What is
lost or makes no sense is found out anew. Pure.
"""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from publisher.mirror.place import Tag
from registry_client.digest import Digest
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_LIMIT: Final = 512 * MIB
"""Largest state, as stored and unpacked, in bytes: some 2,500,000 files."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_FAST = 1


class Known(NamedTuple):
    """What is remembered of one file.

    Attributes:
        tag: under which it was seen or written.
        digest: what it held under that tag; None where nobody looked.
        gone_since: when a run first saw that the registry has it no more; None while it has it.
    """

    tag: Tag
    digest: Digest | None = None
    gone_since: datetime | None = None


def build_state(files: Mapping[str, Known]) -> bytes:
    """The state as it is stored. Equal states give equal bytes."""
    rows = {path: _row(files[path]) for path in sorted(files)}
    document = {"kind": "mirror-state", "schemaVersion": 1, "files": rows}
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), _FAST, mtime=0)


def _row(known: Known) -> dict[str, Any]:
    row = {
        "eTag": known.tag.e_tag,
        "version": known.tag.version,
        "sha256": known.digest and known.digest.hex,
        "goneSince": known.gone_since and known.gone_since.strftime(_TIME),
    }
    return {name: value for name, value in row.items() if value is not None}


def parse_state(data: bytes) -> dict[str, Known] | None:
    """What a state says; None if it makes no sense, which costs reading and nothing else."""
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        text = unpacker.decompress(data, STATE_LIMIT)
        if unpacker.unconsumed_tail or not unpacker.eof:
            return None
        document = json.loads(text)
        if (document["kind"], document["schemaVersion"]) != ("mirror-state", 1):
            return None
        return {str(path): _known(row) for path, row in document["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
        return None


def _known(row: Mapping[str, Any]) -> Known:
    e_tag, version, sha256, gone = (row.get(name) for name in ("eTag", "version", "sha256", "goneSince"))
    if not all(value is None or isinstance(value, str) for value in (e_tag, version, sha256, gone)):
        raise TypeError("expected texts")
    return Known(
        Tag(e_tag, version),
        Digest.from_hex(sha256) if sha256 else None,
        datetime.strptime(gone, _TIME).replace(tzinfo=UTC) if gone else None,
    )
