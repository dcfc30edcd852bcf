"""`publisher registry mirror`: one run, from what the registry serves to a mirror that serves the same.

The order is what it holds: a reader never finds metadata that names a file which is not there yet, wherever a run stops. The files that
never change come first, then those that change in place, then the metadata, the timestamp last; deletions after that.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from publisher.mirror.bundle import build_bundle
from publisher.mirror.kinds import NEVER, Kind, kind_of, named_digest
from publisher.mirror.place import STATE, ConflictError, Tag
from publisher.mirror.plan import build_plan, present
from publisher.mirror.served import ROOT, served_paths, timestamp_version
from publisher.mirror.state import STATE_LIMIT, Known, build_state, parse_state
from publisher.tree import TIMESTAMP
from registry_client.bundle import BUNDLE_PATH
from registry_client.digest import Digest
from registry_client.errors import ConfigError, PublishError, RegistryError
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from publisher.mirror.place import Hold, Place
    from publisher.mirror.plan import Plan, Put
    from publisher.tree import Tree

GRACE: Final = timedelta(days=7)
"""As long as a timestamp lasts: no state that a client may still go by loses a file (docs/adr/0030-mirrors.md)."""
_ANY_SIZE: Final = 8 * 1024 * MIB
_SMALL: Final = 2 * MIB
_ATTEMPTS: Final = 3
_LOOK_EVERY: Final = 5.0
_SAVE_EVERY: Final = 2000
_DELETED_AT_ONCE: Final = 500
_STATE_KIND: Final = Kind(0, immutable=False, cache_control=NEVER, content_type="application/gzip")


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        now: the time, UTC.
        grace: how long a file stays after a run first saw that the registry has it no more.
        dry_run: only say what would be done.
        progress: called with how many files are written, and how many will be.
    """

    now: datetime
    grace: timedelta = GRACE
    dry_run: bool = False
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Copied:
    """What a run did, or would do.

    Attributes:
        written: paths that were new or had changed, in order.
        unchanged: how many files were there already.
        deleted: paths that the registry has had no more for longer than the grace time.
        leaving: how many files it has no more, and for not so long yet.
        timestamp: the version that the mirror now is at.
        bundled: whether it has a bundle.
    """

    written: tuple[str, ...]
    unchanged: int
    deleted: tuple[str, ...]
    leaving: int
    timestamp: int
    bundled: bool


class Source:
    """What is served, as it was when the run began.

    Args:
        tree: the registry's tree.
        name: for messages.
    """

    def __init__(self, tree: Tree, name: str) -> None:
        self._tree = tree
        self._name = name
        paths = served_paths(tree)
        timestamp = tree.read(TIMESTAMP)
        self.timestamp = timestamp_version(timestamp)
        self.root = tree.read(ROOT)
        found = ((path, named_digest(path) or self._digest(path)) for path in paths if path != TIMESTAMP)
        self.files = {path: digest for path, digest in found if digest is not None}
        self._bundle = build_bundle(tree)
        if self._bundle is not None:
            self.files[BUNDLE_PATH] = Digest.of(self._bundle)
        if timestamp is not None:
            self.files[TIMESTAMP] = Digest.of(timestamp)

    def _digest(self, path: str) -> Digest | None:
        data = self._tree.read(path)
        return None if data is None else Digest.of(data)

    @property
    def bundled(self) -> bool:
        """Whether there is a bundle of it."""
        return self._bundle is not None

    def read(self, path: str, digest: Digest) -> bytes:
        """The bytes of a file, as they were when the run began.

        Raises:
            ConfigError: they are not any more.
        """
        data = self._bundle if path == BUNDLE_PATH else self._tree.read(path)
        if data is None or Digest.of(data) != digest:
            raise ConfigError(
                f"{self._name}: changed while it was copied ({path})",
                hint="Run it again. If it is always this file, restore it: its bytes are not those of its name.",
            )
        return data


def mirror(place: Place, source: Source, options: Options) -> Copied:
    """Bring a mirror to what a registry serves now.

    Args:
        place: the mirror.
        source: the registry.
        options: how.

    Raises:
        ConfigError: the mirror is of another registry or of a later state, or holds other files; the registry changed meanwhile.
        PublishError: the place cannot be read or written, or another run writes it. Running it again completes the rest.
    """
    _refuse_other(place, source)
    if options.dry_run:
        return _copied(_Run(place, source, options).plan(), source)
    with place.exclusive(source.timestamp) as hold:
        _refuse_other(place, source)  # again: now nobody changes it
        run = _Run(place, source, options)
        plan = run.plan(hold)
        try:
            run.write(plan, hold)
        finally:
            with contextlib.suppress(RegistryError):  # what is not remembered is found out again
                run.remember(plan)
        run.delete(plan, hold)
        return _copied(plan, source)


def _copied(plan: Plan, source: Source) -> Copied:
    return Copied(
        plan.paths,
        len(plan.unchanged),
        plan.deletes,
        len(plan.gone) - len(plan.deletes),
        source.timestamp,
        source.bundled,
    )


def _refuse_other(place: Place, source: Source) -> None:
    """Refuse to write over another registry, among other files, or to take a mirror back to what it was before."""
    root = place.read(ROOT, _SMALL)
    if root is None and not place.empty():
        root = place.read(ROOT, _SMALL)  # what a run writes first: another one may just have begun
        if root is None:
            raise ConfigError(
                f"{place.name}: holds other files already",
                hint="Choose an empty place, or a new folder or prefix.",
            )
    if root is not None and root[0] != source.root:
        raise ConfigError(f"{place.name}: is a mirror of another registry", hint="Choose another place.")
    timestamp = place.read(TIMESTAMP, _SMALL)
    _refuse_newer(place, timestamp[0] if timestamp else None, source)


def _refuse_newer(place: Place, timestamp: bytes | None, source: Source) -> None:
    there = timestamp_version(timestamp)
    if there > source.timestamp:
        raise ConfigError(
            f"{place.name}: is at timestamp {there}, and this registry only at {source.timestamp}",
            hint="Fetch the registry's newest state; to begin anew, delete the mirror.",
        )


class _Run:
    """One run, once it is clear whose mirror it is."""

    def __init__(self, place: Place, source: Source, options: Options) -> None:
        self._place = place
        self._source = source
        self._options = options
        self._there: dict[str, Known] = {}
        self._state: tuple[bytes, Tag] | None = None

    def plan(self, hold: Hold | None = None) -> Plan:
        """Look at what is there, and compare. That takes long where nothing is remembered of it: the right is kept meanwhile."""
        self._state = self._place.read(STATE, STATE_LIMIT)
        remembered = parse_state(self._state[0]) if self._state else None
        self._there = present(self._place.list(), remembered or {})
        unknown = [p for p, known in self._there.items() if known.digest is None and p in self._source.files]
        self._look(unknown, hold)
        return build_plan(self._source.files, self._there, self._options.now, self._options.grace)

    def _look(self, paths: Iterable[str], hold: Hold | None) -> None:
        """Find out what stands at paths of which nothing is remembered."""
        unknown = []
        for path in paths:
            digest = self._place.digest(self._there[path].tag)
            if digest is None:
                unknown.append(path)
            else:
                self._there[path] = self._there[path]._replace(digest=digest)

        def look(path: str) -> Known:
            found = self._place.read(path, _ANY_SIZE)
            return Known(found[1], Digest.of(found[0])) if found else Known(Tag(None))

        for parallel in sorted({kind_of(path).parallel for path in unknown}):
            some = [path for path in unknown if kind_of(path).parallel == parallel]
            with ThreadPoolExecutor(parallel) as pool:
                for path, known in zip(some, pool.map(look, some), strict=True):
                    if hold is not None:
                        hold.keep()
                    if known.digest is None:
                        del self._there[path]  # gone since it was listed
                    else:
                        self._there[path] = known._replace(gone_since=self._there[path].gone_since)

    def write(self, plan: Plan, hold: Hold) -> None:
        """Write what is missing, wave by wave."""
        total, done = len(plan.paths), 0
        for wave in plan.waves:
            for put, known in self._wave(wave, hold):
                self._there[put.path] = known
                done += 1
                if self._options.progress:
                    self._options.progress(done, total)
                if done % _SAVE_EVERY == 0:
                    self.remember(plan)

    def _wave(self, wave: tuple[Put, ...], hold: Hold) -> Iterator[tuple[Put, Known]]:
        hold.keep()
        pool = ThreadPoolExecutor(kind_of(wave[0].path).parallel)
        try:
            waiting: dict[Future[Known], Put] = {pool.submit(self._put, put, hold): put for put in wave}
            while waiting:
                done, _ = wait(waiting, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
                hold.keep()
                for future in sorted(done, key=lambda future: future.exception() is not None):
                    yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _put(self, put: Put, hold: Hold) -> Known:
        data = self._source.read(put.path, put.digest)
        seen = put.seen
        for _ in range(_ATTEMPTS):
            try:
                return Known(self._place.put(put.path, data, kind_of(put.path), seen), put.digest)
            except ConflictError:
                found = self._place.read(put.path, _ANY_SIZE)
                if (
                    found is not None and found[0] == data
                ):  # written, and the answer got lost; or by somebody else
                    return Known(found[1], put.digest)
                if put.path == TIMESTAMP:
                    _refuse_newer(self._place, found[0] if found else None, self._source)
                hold.keep(now=True)  # a run that lost the right must not write over the next one's
                seen = found[1] if found else None
        raise PublishError(
            f"{self._place.name}/{put.path}: changes all the time",
            hint="Something else than this command writes there: end that, and run it again.",
        )

    def remember(self, plan: Plan) -> None:
        """Write down what is there now, if that is more than was remembered."""
        # Of a place that knows digests itself, only since when files are gone; of those to be deleted too, for that may fail.
        unread = {path: known for path, known in self._there.items() if self._place.digest(known.tag) is None}
        kept = {path: known._replace(gone_since=None) for path, known in unread.items()}
        data = build_state({**kept, **plan.gone})
        if data == (self._state[0] if self._state else build_state({})):
            return
        seen = self._state[1] if self._state else None
        try:
            tag = self._place.put(STATE, data, _STATE_KIND, seen)
        except ConflictError:
            return  # another run took over; or the answer got lost
        self._state = data, tag

    def delete(self, plan: Plan, hold: Hold) -> None:
        """Delete what has been out of the registry for long enough."""
        for start in range(0, len(plan.deletes), _DELETED_AT_ONCE):
            hold.keep(now=True)  # deletions have no condition
            self._place.delete(plan.deletes[start : start + _DELETED_AT_ONCE])


__all__ = ["GRACE", "Copied", "Options", "Source", "mirror"]
