"""Files to fetch, and the two ways of fetching them."""

from __future__ import annotations

import random

from registry_client.http import Deadline, Transport

DATA = random.Random(7).randbytes(20_000)
ZEROS = bytes(50 * 1024 * 1024)
FILES = {"data.bin": DATA, "text.json": b'{"a": 1}\n' * 500, "empty": b"", "zeros.bin": ZEROS}
LIMIT = 64 * 1024


def get(transport: Transport, url: str, *, limit: int = LIMIT, seconds: float = 5.0) -> bytes:
    """Fetch into memory."""
    return transport.get(url, limit=limit, deadline=Deadline(seconds)).data


def into(transport: Transport, url: str, *, limit: int = LIMIT, seconds: float = 5.0) -> bytes:
    """Fetch piece by piece."""
    parts: list[bytes] = []
    transport.get_into(url, parts.append, limit=limit, deadline=Deadline(seconds))
    return b"".join(parts)
