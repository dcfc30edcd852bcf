"""Files whose digest and size are signed: had from a bundle, from the cache, or from a host, each fetched once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from registry_client.bundle import BUNDLE_LIMIT, BUNDLE_PATH, NO_PIECES, Pieces, open_bundle
from registry_client.errors import FetchError, RegistryError
from registry_client.flights import Flights
from registry_client.pack import Pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.digest import Digest
    from registry_client.hosts import Hosts
    from registry_client.store import Store

_BUNDLE_TIMEOUT = 10.0


class Files:
    """The files of one registry. Threads may share an object.

    Args:
        hosts: where they are fetched.
        store: the cache.
        timeout: seconds for each.

    Attributes:
        pieces: the bundle in use.
        pack: what was cached of many plugins at once.
    """

    def __init__(self, hosts: Hosts, store: Store, timeout: float) -> None:
        self._hosts = hosts
        self._store = store
        self._timeout = timeout
        self._flights: Flights[bytes] = Flights()
        self.pieces: Pieces = NO_PIECES
        self.pack = Pack(store.cache / "pack")

    def read(
        self,
        path: str,
        *,
        digest: Digest,
        size: int,
        keep: Callable[[Digest, bytes], object] | None = None,
    ) -> bytes:
        """A file below the base URL. Threads that want the same one share one fetch.

        Args:
            path: where it is.
            digest: what it must be.
            size: its bytes.
            keep: what to do with one that had to be fetched; by default it is cached.

        Raises:
            NotFetchedError: no host has it. FetchError: none answered. DigestError: none has the right bytes.
        """
        data = self._held(digest, size)
        if data is None:
            data = self._flights.get((digest, size), lambda: self._fetch(path, digest, size))
            (keep or self._store.write_object)(digest, data)
        return data

    def ahead(self, path: str, *, digest: Digest, size: int) -> None:
        """Begin to fetch a file that will probably be asked for; nothing where it is held or under way."""
        if not self._holds(digest):
            self._flights.ahead((digest, size), lambda: self._fetch(path, digest, size))

    def at_hand(self, digest: Digest, size: int) -> bool:
        """Whether a file is held, or was asked for already."""
        return (digest, size) in self._flights or self._holds(digest)

    def ask_for_bundle(self) -> None:
        """Begin to fetch the bundle, which not every host has."""
        timeout = min(self._timeout, _BUNDLE_TIMEOUT)
        self._flights.ahead(
            BUNDLE_PATH, lambda: self._hosts.get(BUNDLE_PATH, limit=BUNDLE_LIMIT, timeout=timeout)
        )

    def open_bundle(self) -> None:
        """Use the bundle that `ask_for_bundle` began to fetch, until `pieces` is set again; go on without where there is none."""
        if BUNDLE_PATH in self._flights:
            with contextlib.suppress(RegistryError):
                self.pieces = open_bundle(self._flights.get(BUNDLE_PATH, _no_bundle), BUNDLE_PATH)

    def _held(self, digest: Digest, size: int) -> bytes | None:
        for read in (self.pieces.get, self._store.read_object, self.pack.read):
            data = read(digest)
            if data is not None and len(data) == size:
                return data
        return None

    def _holds(self, digest: Digest) -> bool:
        return digest in self.pieces or self._store.has_object(digest) or digest in self.pack

    def _fetch(self, path: str, digest: Digest, size: int) -> bytes:
        return self._hosts.get_signed(path, digest=digest, size=size, timeout=self._timeout)


def _no_bundle() -> bytes:
    raise FetchError("no bundle was asked for")
