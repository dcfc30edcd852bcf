"""Large registries, made directly: index, catalogue and metadata as the registrar would write them after publishing everything at once.

The registrar verifies each submission and reads the result with the real client, which takes minutes for 500,000 versions. This takes
the same functions for rows, catalogue, shards and metadata, and leaves the verification out. `tests/test_benchmarks.py` holds small
registries made both ways against each other, byte for byte.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from benchmarks.data import build_empty, options_for
from benchmarks.generated import Generator
from benchmarks.plugins import BASE_URL, VERSIONS
from publisher.authority import load_authority
from publisher.registrar.catalogue import build_catalogue, build_entry, public_version
from publisher.registrar.online import days_of
from publisher.registrar.retention import collect_garbage
from publisher.registrar.sharding import join_shards
from publisher.registrar.state import Row
from publisher.registrar.write import write_above
from publisher.tree import MemoryTree, Overlay
from publisher.tuf_repository import TufRepository, add_target
from publisher.workers import run_in_order
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.digest import Digest
from registry_client.jsontext import payload_digest_of
from registry_client.layout import manifest_path, served_path
from registry_client.models.base import format_time
from registry_client.models.index import TOP_BITS
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from datetime import datetime

    from benchmarks.generated import Made

_PART = 250
Part = list[tuple[str, list[str], dict[str, Any]]]


def build_bulk(count: int, now: datetime, processes: int = 0) -> dict[str, bytes]:
    """Every file of a registry but those below `plugins/`, which `Generator` makes.

    Args:
        count: how many plugins.
        now: the time of registration, UTC.
        processes: how many work on it; 0 for one on each core.
    """
    texts: dict[str, list[str]] = {}
    entries: dict[str, dict[str, Any]] = {}
    jobs = [(count, now, start) for start in range(0, count, _PART)]
    for plugin_id, rows, entry in chain.from_iterable(run_in_order(_part, jobs, processes)):
        texts[plugin_id] = rows
        entries[plugin_id] = entry
    files = build_empty(count, now)
    catalogue = build_catalogue(entries, now)
    return _signed(
        files, catalogue, {shard_path(bits): data for bits, data in join_shards(texts).items()}, now
    )


def _part(job: tuple[int, datetime, int]) -> Part:
    """The index lines and the catalogue's line of some plugins, by id."""
    count, now, start = job
    generator = Generator(count, now)
    made = (generator.make(number) for number in range(start, min(start + _PART, count)))
    return [_lines(plugin, now) for plugin in made]


def _lines(made: Made, now: datetime) -> tuple[str, list[str], dict[str, Any]]:
    rows = [_row(made, position, now) for position in range(len(VERSIONS))]
    public = public_version(rows, [])
    if public is None:
        raise AssertionError(f"{made.plugin.id}: nothing of it is public")
    entry = build_entry(*public, made.manifests[rows.index(public[0])], BASE_URL)
    return made.plugin.id, [row.text for row in rows], entry


def _row(made: Made, position: int, now: datetime) -> Row:
    manifest, release = made.manifests[position], made.releases[position]
    data = made.data[position]
    raw = {
        "id": made.plugin.id,
        "version": VERSIONS[position],
        "manifest": {
            "path": manifest_path(made.folder, VERSIONS[position]),
            "digest": Digest.of(data),
            "size": len(data),
            "payloadDigest": payload_digest_of(manifest),
        },
        "publisher": made.plugin.publisher,
        "publishedAt": format_time(now),
        "initialStatus": manifest["initialStatus"],
        "requires": manifest["requires"],
    }
    return Row(raw if release is None else {**raw, "release": release})


def _signed(
    files: dict[str, bytes], catalogue: bytes, shards: dict[str, bytes], now: datetime
) -> dict[str, bytes]:
    """The files of a registry with this index, signed by its online key."""
    tree = Overlay(MemoryTree(files))
    options = options_for(files["metadata/1.root.json"])
    authority = load_authority(tree, options.pinned_root, allow_dev_keys=False)
    repository = TufRepository(tree, options.signers, now, days_of(authority.policy))
    top = {shard_path(bits): data for bits, data in shards.items() if len(bits) <= TOP_BITS}
    targets = {CATALOGUE_PATH: catalogue, **top}
    with repository.edit_targets("registrar") as role:
        for path in role.targets.keys() - targets.keys():
            del role.targets[path]
        for path, data in targets.items():
            tree.write(add_target(role, path, data), data)
    for bits, data in shards.items():
        tree.write(served_path(shard_path(bits), Digest.of(data)), data)
    tree.write(CATALOGUE_PATH, catalogue)
    write_above(repository, authority.root)
    collect_garbage(tree, now)
    gone = {path for path, data in tree.changes.items() if data is None}
    written = {path: data for path, data in tree.changes.items() if data is not None}
    return {path: data for path, data in {**files, **written}.items() if path not in gone}
