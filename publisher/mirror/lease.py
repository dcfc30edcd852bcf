"""The right to write a mirror on object storage: one object, held by one run at a time, that changes hands by conditional writes.

A run that ends without letting go (killed, cut off) loses the right when nobody has renewed it for `LEASE_SECONDS`. That is measured by
the one who waits, on its own clock, so clocks need not agree. A run that lost the right without noticing, because it was halted, can do
no more than one batch of writes, each of which still names the tag that it replaces.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from publisher.mirror.kinds import NEVER, Kind
from publisher.mirror.place import LEASE, ConflictError, Tag, say_nothing
from registry_client.errors import ConfigError, PublishError, RegistryError
from registry_client.jsontext import KIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from publisher.mirror.place import Place

LEASE_SECONDS: Final = 180.0
"""How long a right lasts that is not renewed. Renewed at a third of it; no small write may take longer than another third."""
_LOOK_AGAIN = 3.0
_LIMIT = 4 * KIB
_KIND = Kind(0, immutable=False, cache_control=NEVER, content_type="application/json")
_NOBODY = ""


def _seconds() -> float:
    """Seconds since any beginning. Those that a machine sleeps count, which `time.monotonic` leaves out on Linux and macOS."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True)
class Clock:
    """How time passes; tests have their own."""

    monotonic: Callable[[], float] = _seconds
    sleep: Callable[[float], None] = time.sleep


class _Lease(NamedTuple):
    run: str
    turn: int
    timestamp: int

    def to_bytes(self) -> bytes:
        document = {"kind": "mirror-lease", "schemaVersion": 1, **self._asdict()}
        return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _parse(data: bytes) -> _Lease:
    """What makes no sense is nobody's: the tag still keeps two runs from taking it."""
    try:
        raw = json.loads(data)
        run, turn, timestamp = raw["run"], raw["turn"], raw["timestamp"]
        if isinstance(run, str) and type(turn) is int and type(timestamp) is int:
            return _Lease(run, turn, timestamp)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return _Lease(_NOBODY, 0, 0)


class Held:
    """The right to write, taken.

    Attributes:
        lease: as it was last written.
    """

    def __init__(self, place: Place, lease: _Lease, tag: Tag, clock: Clock) -> None:
        self._place = place
        self._tag = tag
        self._clock = clock
        self.lease = lease
        self._renewed = clock.monotonic()
        self._guard = threading.Lock()

    def keep(self, *, now: bool = False) -> None:
        """Renew the right if a third of its time has passed; `Hold.keep` documents it."""
        with self._guard:
            if now or self._clock.monotonic() - self._renewed >= LEASE_SECONDS / 3:
                self._write(self.lease._replace(turn=self.lease.turn + 1))

    def let_go(self) -> None:
        """Leave the right to the next."""
        self._write(self.lease._replace(run=_NOBODY, turn=self.lease.turn + 1))

    def _write(self, lease: _Lease) -> None:
        began = self._clock.monotonic()
        try:
            self._tag = self._place.put(LEASE, lease.to_bytes(), _KIND, self._tag)
        except ConflictError:
            there = self._place.read(LEASE, _LIMIT)
            if there is None or there[0] != lease.to_bytes():  # else it was written, and the answer got lost
                raise PublishError(
                    f"{self._place.name}: another run took over",
                    hint="It completes the mirror; run this again later if it is to.",
                ) from None
            self._tag = there[1]
        self.lease, self._renewed = lease, began


@contextlib.contextmanager
def held(
    place: Place, version: int, wait: float, clock: Clock, on_wait: Callable[[], object] = say_nothing
) -> Iterator[Held]:
    """Take the right to write, and let go of it at the end.

    Args:
        place: the mirror.
        version: the timestamp's version of what will be written.
        wait: seconds to wait for another run.
        clock: how time passes.
        on_wait: called once where that wait begins.

    Raises:
        PublishError: another run goes on holding it.
        ConfigError: a later state was begun here already, or the store ignores the conditions of writes.
    """
    mine = _take(place, version, wait, clock, on_wait)
    try:
        _refuse_ignorant(place, mine)
        yield mine
    finally:
        _let_go(mine, clock)


def _let_go(mine: Held, clock: Clock) -> None:
    """As well as may be: a lease that nobody renews ends by itself."""
    try:
        mine.let_go()
    except RegistryError:
        clock.sleep(_LOOK_AGAIN)  # Google takes one write of an object a second
        with contextlib.suppress(RegistryError):
            mine.let_go()


def _take(place: Place, version: int, wait: float, clock: Clock, on_wait: Callable[[], object]) -> Held:
    run = secrets.token_hex(16)
    began, changed, last, waited = clock.monotonic(), clock.monotonic(), None, 0
    while True:
        found = place.read(LEASE, _LIMIT)
        now = clock.monotonic()
        lease = _parse(found[0]) if found else _Lease(_NOBODY, 0, 0)
        _refuse_older(place, lease, version)
        if lease != last:
            last, changed = lease, now
        if lease.run == _NOBODY or now - changed >= LEASE_SECONDS:
            wanted = _Lease(run, lease.turn + 1, max(version, lease.timestamp))
            try:
                tag = place.put(LEASE, wanted.to_bytes(), _KIND, found[1] if found else None)
                return Held(place, wanted, tag, clock)
            except ConflictError:
                again = place.read(LEASE, _LIMIT)
                if again and again[0] == wanted.to_bytes():  # written, and the answer got lost
                    return Held(place, wanted, again[1], clock)
        if now - began >= wait:
            raise PublishError(
                f"{place.name}: another run writes this mirror",
                hint=f"Run it again later. One that was killed is waited for at most {LEASE_SECONDS:.0f} seconds: --wait.",
            )
        if waited == 0:
            on_wait()
        waited += 1
        clock.sleep(_LOOK_AGAIN)


def _refuse_older(place: Place, lease: _Lease, version: int) -> None:
    if lease.timestamp > version:
        raise ConfigError(
            f"{place.name}: a run has begun to bring it to timestamp {lease.timestamp}, and this registry is only at {version}",
            hint=f"Fetch the registry's newest state. If there is no such state, delete {LEASE} of the mirror.",
        )


def _refuse_ignorant(place: Place, mine: Held) -> None:
    """Some stores take any write, whatever its condition; on those, runs would undo each other unseen."""
    data = mine.lease.to_bytes()
    for tag in (None, Tag('"00000000000000000000000000000000"', "1")):
        try:
            place.put(LEASE, data, _KIND, tag)
        except ConflictError:
            continue
        raise ConfigError(
            f"{place.name}: the store ignores If-Match and If-None-Match, so that two runs could undo each other",
            hint="Take a store that honours them (Amazon S3, R2, Google, Azure, MinIO), or mirror into a folder.",
        )
