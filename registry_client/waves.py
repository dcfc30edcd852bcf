"""The metadata of one refresh, asked for before it is its turn: what python-tuf would ask for one after the other comes in two waves.

python-tuf asks for one file after the other and verifies each before the next. Two waves go ahead of it: the timestamp with the next root,
and with the timestamp's answer all roles whose version it says has changed. Nothing of it is trusted more: python-tuf asks in its own
order, is given the bytes that are there, within its own limits, and whatever was fetched in vain is dropped.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from registry_client.digest import Digest
from registry_client.errors import TooLargeError
from registry_client.flights import Flights
from registry_client.roles import hinted_versions, read_role
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from registry_client.http import Body

TIMESTAMP_LIMIT: Final = 16_384
"""Largest timestamp, in bytes."""
SNAPSHOT_LIMIT: Final = 65_536
"""Largest snapshot, in bytes."""
TARGETS_LIMIT: Final = 2_000_000
"""Largest metadata of the other roles but root, in bytes."""
_ENTITY_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,200}"')  # RFC 9110 8.8.3; not `*`, which matches anything
_CONDITIONAL_FOR = timedelta(days=1)
_TIMESTAMP = "/timestamp.json"
_NOTE = "timestamp.etag"


class Waves:
    """One refresh from one host; the timestamp conditionally.

    Args:
        get: fetches a URL, at most so many bytes, unless it still has an entity tag.
        metadata_dir: the metadata held.
        now: the time, UTC.
        conditional: whether the timestamp may be answered "unchanged".

    Attributes:
        unchanged: whether the host answered that its timestamp is the cached one.
    """

    def __init__(
        self,
        get: Callable[[str, int, str | None], Body],
        metadata_dir: Path,
        now: datetime,
        *,
        conditional: bool,
    ) -> None:
        self._get = get
        self._metadata_dir = metadata_dir
        self._now = now
        self._conditional = conditional
        self._flights: Flights[Body] = Flights()
        self._held: tuple[bytes, str | None] | None = None
        self.unchanged = False

    def get(self, url: str, max_length: int) -> bytes:
        """A metadata file: what was fetched ahead, else what is fetched now.

        Raises:
            FetchError: as the fetch. TooLargeError: it is longer than `max_length` bytes.
        """
        if url.endswith(_TIMESTAMP):
            return self._timestamp(url, max_length)
        if url.endswith(".root.json"):
            return self._root(url, max_length)
        return self._bounded(url, max_length, None).data

    def _root(self, url: str, max_length: int) -> bytes:
        """The next root, while the timestamp is on its way."""
        timestamp = f"{url.rpartition('/')[0]}{_TIMESTAMP}"
        self._ahead(timestamp, TIMESTAMP_LIMIT, self._cached(timestamp)[1])
        data = self._bounded(url, max_length, None).data
        self._flights.forget(
            timestamp
        )  # it may be older than this root, and signed with keys of the one before
        return data

    def _timestamp(self, url: str, max_length: int) -> bytes:
        """The timestamp, or the cached one if the host says that it is unchanged."""
        cached, etag = self._cached(url)
        body = self._bounded(url, max_length, etag)
        if body.not_modified:
            self.unchanged = True
            return cached
        self._ask_ahead(url.removesuffix(_TIMESTAMP), body.data)
        if body.etag and _ENTITY_TAG.fullmatch(body.etag):
            stored = {"etag": body.etag, "digest": Digest.of(body.data), "at": self._now.timestamp()}
            note = self._metadata_dir / _NOTE
            write_atomic(note, json.dumps({"url": url, **stored}).encode())
        return body.data

    def _ask_ahead(self, folder: str, timestamp: bytes) -> None:
        """Begin to fetch each role whose version is not the one held."""
        for role, version in hinted_versions(timestamp).items():
            held = read_role(self._metadata_dir, role)
            if held is None or held.version != version:
                limit = SNAPSHOT_LIMIT if role == "snapshot" else TARGETS_LIMIT
                self._ahead(f"{folder}/{version}.{role}.json", limit, None)

    def _ahead(self, url: str, limit: int, etag: str | None) -> None:
        self._flights.ahead(url, lambda: self._get(url, limit, etag))

    def _bounded(self, url: str, max_length: int, etag: str | None) -> Body:
        """What was fetched ahead, else what is fetched now; no longer than python-tuf allows."""
        body = self._flights.get(url, lambda: self._get(url, max_length, etag))
        if len(body.data) > max_length:
            raise TooLargeError(f"{url}: the body is longer than the {max_length} bytes allowed")
        return body

    def _cached(self, url: str) -> tuple[bytes, str | None]:
        """The cached timestamp and its entity tag as they were at first; no tag if the host is to send it whole.

        A host that answers "unchanged" wrongly, or once gave a wrong tag, holds a client up for a day at most.
        """
        if self._held is None:
            self._held = self._read_cached(url) if self._conditional else (b"", None)
        return self._held

    def _read_cached(self, url: str) -> tuple[bytes, str | None]:
        try:
            cached = (self._metadata_dir / "timestamp.json").read_bytes()
            known = json.loads((self._metadata_dir / _NOTE).read_bytes())
            age = self._now.timestamp() - known["at"]
            if (
                (known["url"], known["digest"]) == (url, Digest.of(cached))
                and 0 <= age < _CONDITIONAL_FOR.total_seconds()
                and _ENTITY_TAG.fullmatch(known["etag"])
            ):
                return cached, known["etag"]
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            pass  # nothing cached, or damaged
        return b"", None
