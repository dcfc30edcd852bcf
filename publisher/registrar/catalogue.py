"""What plain hosts read: which version `registry.json` shows of each plugin, and when it is written. Pure.

What is withdrawn is shown at once. What is added may wait for as many minutes as the policy says, so that a busy registry does not commit
the whole file for every version. See docs/adr/0026-registrar-by-what-changed.md.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from publisher.registrar.basis import MAX_NAMED
from publisher.registrar.listing import Listing, build_listing
from registry_client.catalogue import CatalogueEntry
from registry_client.layout import plain_path
from registry_client.names import is_prerelease, parse_version
from registry_client.signed import parse_embedded_release
from registry_client.status import Standing, Status, standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from publisher.authority import Authority
    from publisher.registrar.listing import Line
    from publisher.registrar.state import Row, State
    from registry_client.models.blocks import Block

# What a line holds at most, so that no publisher can fill the catalogue for everyone; the manifest has it all.
_DESCRIPTION = 500
_KEYWORDS = 20
_KEYWORD = 50


def standing(row: Row, blocks: Iterable[Block]) -> Standing:
    """How a version stands, out of its row and the blocks."""
    line = row.line
    where = f"release of {line.id} {line.version}"
    release = parse_embedded_release(line.release, where).model if line.release is not None else None
    return standing_of(line, release, blocks)


def public_version(rows: list[Row], blocks: list[Block]) -> tuple[Row, Standing] | None:
    """The version that the catalogue shows: the newest stable one released and pushed to everyone.

    A deprecated one is shown, marked, if there is nothing else.

    Args:
        rows: of one plugin, oldest first.
        blocks: the blocks in force.
    """
    deprecated = None
    for row in reversed(rows):
        if is_prerelease(row.raw["version"]):
            continue
        how = standing(row, blocks)
        if how.advertised:
            return row, how
        if how.status is Status.DEPRECATED and deprecated is None:
            deprecated = row, how
    return deprecated


def build_entry(row: Row, how: Standing, manifest: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The catalogue's line for a plugin."""
    return CatalogueEntry(
        id=row.raw["id"],
        name=manifest["name"],
        version=row.raw["version"],
        manifest_url=f"{base_url}/{plain_path(row.folder)}",
        description=manifest.get("description", "")[:_DESCRIPTION],
        category=manifest.get("category", ""),
        keywords=tuple(word[:_KEYWORD] for word in manifest.get("keywords", ())[:_KEYWORDS]),
        publisher=row.raw["publisher"],
        deprecated=how.reason if how.status is Status.DEPRECATED else None,
    ).to_json()


class Shown(NamedTuple):
    """The catalogue as it becomes.

    Attributes:
        data: the bytes of registry.json.
        changed: ids whose lines changed.
        waiting: ids whose lines would be others if the file were written now, sorted.
    """

    data: bytes
    changed: frozenset[str]
    waiting: tuple[str, ...]


class Showing:
    """Works out the catalogue, whole or from what changed.

    Args:
        state: the index as it becomes, and the catalogue as it was.
        authority: the blocks, the base URL, and how long lines may wait.
        read: the bytes of a file of the registry, or None.
        now: the time, UTC.
    """

    def __init__(
        self, state: State, authority: Authority, read: Callable[[str], bytes | None], now: datetime
    ) -> None:
        self._state = state
        self._read = read
        self._now = now
        self._base_url = authority.policy.base_url.rstrip("/")
        self._patience = timedelta(minutes=authority.policy.catalogue_minutes)
        self._blocks: dict[str, list[Block]] = {}
        for block in authority.blocks.blocks:
            self._blocks.setdefault(block.id, []).append(block)

    def run(self) -> Shown:
        """The catalogue for the index as it is now.

        Raises:
            DocumentError: the previous one is not as the registrar writes it.
        """
        state = self._state
        if state.catalogue is None:
            lines = {i: line for i in state.concerned() if (line := self._line(i)) is not None}
            return Shown(build_listing(lines, self._now), frozenset(state.concerned()), ())
        previous = Listing(state.catalogue)
        if state.full:
            return self._whole(previous)
        ids = state.concerned()
        found = {plugin_id: (previous.find(plugin_id), self._line(plugin_id)) for plugin_id in ids}
        changes = {plugin_id: new for plugin_id, (old, new) in found.items() if new != old}
        rest = set(state.basis.waiting if state.basis is not None else ()).difference(ids)
        waiting = tuple(sorted(rest.union(changes)))
        old_lines = {plugin_id: found[plugin_id][0] for plugin_id in changes}
        if self._may_keep(previous, old_lines, changes, waiting):
            return Shown(previous.data, frozenset(), waiting)
        changes |= {plugin_id: self._line(plugin_id) for plugin_id in rest}
        return Shown(previous.spliced(changes, self._now), frozenset(changes), ())

    def _whole(self, previous: Listing) -> Shown:
        """The catalogue out of all rows."""
        old = {line["id"]: line for line in previous.lines()}
        found = {plugin_id: self._line(plugin_id) for plugin_id in self._state.concerned()}
        new = {plugin_id: line for plugin_id, line in found.items() if line is not None}
        differing = sorted(i for i in old.keys() | new.keys() if old.get(i) != new.get(i))
        changes = {plugin_id: new.get(plugin_id) for plugin_id in differing}
        old_lines = {plugin_id: old.get(plugin_id) for plugin_id in differing}
        is_sound = build_listing(old, previous.updated) == previous.data
        if is_sound and self._may_keep(previous, old_lines, changes, tuple(differing)):
            return Shown(previous.data, frozenset(), tuple(differing))
        return Shown(build_listing(new, self._now), frozenset(differing), ())

    def _may_keep(
        self,
        previous: Listing,
        old: Mapping[str, Line | None],
        new: Mapping[str, Line | None],
        waiting: tuple[str, ...],
    ) -> bool:
        """Whether the previous file stays: nothing differs, or only what may wait, and not for too long."""
        if not waiting:
            return True
        is_early = timedelta(0) <= self._now - previous.updated < self._patience
        return (
            is_early
            and len(waiting) <= MAX_NAMED
            and all(self._may_wait(plugin_id, old[plugin_id], line) for plugin_id, line in new.items())
        )

    def _may_wait(self, plugin_id: str, old: Line | None, new: Line | None) -> bool:
        """Whether a change of a line only adds something: what the line says is still so."""
        if new is None:
            return False
        if old is None:
            return True
        row = self._state.get(plugin_id, old["version"])
        if row is None or parse_version(new["version"]) < parse_version(old["version"]):
            return False
        how = standing(row, self._blocks.get(plugin_id, ()))
        shown = how.advertised or how.status is Status.DEPRECATED
        return shown and self._built(row, how) == old

    def _line(self, plugin_id: str) -> Line | None:
        """A plugin's line as it should be, or None if nothing of it is public."""
        public = public_version(self._state.sorted_rows(plugin_id), self._blocks.get(plugin_id, []))
        return None if public is None else self._built(*public)

    def _built(self, row: Row, how: Standing) -> Line | None:
        data = self._read(row.path)
        return None if data is None else build_entry(row, how, json.loads(data), self._base_url)
