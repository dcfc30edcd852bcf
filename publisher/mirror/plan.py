"""What a run has to do: a pure function of what the registry serves and of what is there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from publisher.mirror.kinds import kind_of, write_order
from publisher.mirror.served import is_served
from publisher.mirror.state import Known

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from publisher.mirror.place import Tag
    from registry_client.digest import Digest


class Put(NamedTuple):
    """One file to write.

    Attributes:
        path: where.
        digest: what its bytes must be.
        seen: what stands there now; None for nothing.
    """

    path: str
    digest: Digest
    seen: Tag | None


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        waves: what is written, in this order; the files of one wave in any order, so many at once as their kind says.
        unchanged: what is there already.
        gone: what the registry has no more.
        deletes: those of them that it has had no more for longer than the grace time.
    """

    waves: tuple[tuple[Put, ...], ...]
    unchanged: tuple[str, ...]
    gone: Mapping[str, Known]
    deletes: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """All that is written, in order."""
        return tuple(put.path for wave in self.waves for put in wave)


def present(listed: Mapping[str, Tag], remembered: Mapping[str, Known]) -> dict[str, Known]:
    """What is there of what a run may change, each with what is remembered of it, so far as its tag is the one remembered.

    Since when a file is gone is remembered whatever its tag: it is the registry that has it no more.
    """
    found = {}
    for path, tag in listed.items():
        if is_served(path):
            known = remembered.get(path, Known(tag))
            same = known.tag.e_tag == tag.e_tag and tag.e_tag is not None
            found[path] = known if same else Known(tag, None, known.gone_since)
    return found


def build_plan(
    wanted: Mapping[str, Digest], there: Mapping[str, Known], now: datetime, grace: timedelta
) -> Plan:
    """Compare.

    Args:
        wanted: each file that the registry serves, with its digest.
        there: each file of the mirror; one whose digest is not known is written again.
        now: the time, UTC.
        grace: how long a file stays after a run first saw that the registry has it no more.
    """
    unchanged = tuple(p for p, digest in wanted.items() if p in there and there[p].digest == digest)
    same = set(unchanged)
    puts = [
        Put(path, wanted[path], there[path].tag if path in there else None)
        for path in sorted(wanted.keys() - same, key=write_order)
    ]
    waves = tuple(
        tuple(group)
        for _, group in groupby(puts, key=lambda put: (kind_of(put.path).wave, kind_of(put.path).parallel))
    )
    since = {path: min(known.gone_since or now, now) for path, known in there.items() if path not in wanted}
    gone = {path: there[path]._replace(gone_since=when) for path, when in since.items()}
    # What names a file goes before it.
    late = sorted((p for p, when in since.items() if now - when >= grace), key=write_order, reverse=True)
    return Plan(waves, unchanged, gone, tuple(late))
