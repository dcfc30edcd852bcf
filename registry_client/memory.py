"""The health of one registry's hosts as this process knows it, and as processes share it through a file."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from registry_client.forks import begins_anew
from registry_client.health import Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.store import Store


class Memory:
    """The health of one registry's hosts, which processes share through a file. Threads may share an object.

    Args:
        clock: seconds since 1970.
        store: keeps the file; None where nothing is to be kept. One that cannot be written costs only time.
    """

    def __init__(self, clock: Callable[[], float] = time.time, store: Store | None = None) -> None:
        self._clock = clock
        self._store = store
        self._health: Health | None = None
        self.begin_anew()
        begins_anew(self)

    def begin_anew(self) -> None:
        """Have a lock that nobody holds, in a child process: what is under way may hold the old one while it writes."""
        self._lock = threading.Lock()

    def now(self) -> float:
        """The time."""
        return self._clock()

    def health(self, *, anew: bool = False) -> Health:
        """What is remembered: as it was read first, with what was learned since, or as other processes have it by now."""
        with self._lock:
            return self._read(anew=anew)

    def learn(self, change: Callable[[Health], Health]) -> None:
        """Remember something more."""
        with self._lock:
            known = self._read()
            if change(known) is known:  # the common case: a host that was well is still well
                return
            known = self._read(anew=True)
            self._health = change(known)
            if (
                self._health is not known
                and self._store is not None
                and not self._store.write_health(self._health)
            ):
                self._store = None  # what is learned counts in this process from now on

    def _read(self, *, anew: bool = False) -> Health:
        if self._health is None or (anew and self._store is not None):
            self._health = Health() if self._store is None else self._store.read_health()
        return self._health
