"""What plain hosts read: `registry.json` and `plugins/<id>.json`. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from registry_client.catalogue import CatalogueEntry
from registry_client.jsontext import dump_lines
from registry_client.models.base import format_time
from registry_client.names import is_prerelease
from registry_client.signed import parse_embedded_release
from registry_client.status import Standing, Status, standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from publisher.registrar.state import Row
    from registry_client.models.blocks import Block

FORMAT_VERSION = "1.0.0"
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
        manifest_url=f"{base_url}/plugins/{row.raw['id']}.json",
        description=manifest.get("description", "")[:_DESCRIPTION],
        category=manifest.get("category", ""),
        keywords=tuple(word[:_KEYWORD] for word in manifest.get("keywords", ())[:_KEYWORDS]),
        publisher=row.raw["publisher"],
        deprecated=how.reason if how.status is Status.DEPRECATED else None,
    ).to_json()


def build_catalogue(entries: dict[str, dict[str, Any]], now: datetime) -> bytes:
    """The bytes of registry.json."""
    rows = [entries[plugin_id] for plugin_id in sorted(entries)]
    head = {"version": FORMAT_VERSION, "lastUpdated": format_time(now)}
    return dump_lines(head, "plugins", rows)


def previous_entries(data: bytes) -> dict[str, dict[str, Any]]:
    """The lines of a registry.json that the registrar itself wrote, by id."""
    return {row["id"]: row for row in json.loads(data)["plugins"]}


def collect(
    ids: Iterable[str],
    rows_of: Callable[[str], list[Row]],
    blocks: list[Block],
    read: Callable[[str], bytes | None],
    base_url: str,
) -> dict[str, tuple[dict[str, Any], bytes] | None]:
    """For each id its catalogue line and the manifest bytes that it names, or None if nothing is public."""
    found: dict[str, tuple[dict[str, Any], bytes] | None] = {}
    for plugin_id in ids:
        public = public_version(rows_of(plugin_id), [block for block in blocks if block.id == plugin_id])
        data = read(public[0].path) if public else None
        if public is None or data is None:
            found[plugin_id] = None
        else:
            found[plugin_id] = build_entry(*public, json.loads(data), base_url), data
    return found
