"""Large registries, made directly: index, catalogue and metadata as the registrar would write them after publishing everything at once.

The registrar verifies each submission and reads the result with the real client, which takes minutes for 500,000 versions. This takes
the same functions for rows, catalogue, shards and metadata, and leaves the verification out. `tests/test_benchmarks.py` holds small
registries made both ways against each other, byte for byte.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from benchmarks.data import build_empty, kept, options_for
from benchmarks.generated import Generator
from benchmarks.plugins import BASE_URL, VERSIONS
from publisher.authority import load_authority
from publisher.registrar.basis import DERIVATION, Again, Basis, Totals
from publisher.registrar.catalogue import build_entry, public_version
from publisher.registrar.listing import build_listing
from publisher.registrar.online import days_of
from publisher.registrar.retention import collect_garbage
from publisher.registrar.rows import Row
from publisher.registrar.sharding import join_shards
from publisher.registrar.write import write_above
from publisher.tree import MemoryTree, Overlay
from publisher.tuf_repository import BASIS, TufRepository, add_target
from publisher.workers import run_in_order
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.digest import Digest
from registry_client.jsontext import payload_digest_of
from registry_client.layout import manifest_path, served_path
from registry_client.models.base import format_time
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from benchmarks.generated import Made
    from publisher.authority import Authority

READ = "a" * 40
"""The commit that the registrar of a large registry is said to have read."""
_PART = 250
Part = list[tuple[str, list[str], dict[str, Any]]]


def build_bulk(
    count: int, now: datetime, processes: int = 0, *, basis: Basis | None = None
) -> dict[str, bytes]:
    """Every file of a registry but those below `plugins/`, which `Generator` makes.

    Args:
        count: how many plugins.
        now: the time of registration, UTC.
        processes: how many work on it; 0 for one on each core.
        basis: what the registrar says of its own run; by default, of a quiet one that read `READ`.
    """
    texts: dict[str, list[str]] = {}
    entries: dict[str, dict[str, Any]] = {}
    jobs = [(count, now, start) for start in range(0, count, _PART)]
    for plugin_id, rows, entry in chain.from_iterable(run_in_order(_part, jobs, processes)):
        texts[plugin_id] = rows
        entries[plugin_id] = entry
    files = build_empty(count, now)
    shards = {shard_path(bits): data for bits, data in join_shards(texts).items()}
    catalogue = build_listing(entries, now)
    top = {path: data for path, data in shards.items() if path.count("/") == 1}
    copies = {served_path(path, Digest.of(data)): data for path, data in shards.items()}
    tree = Overlay(MemoryTree({**files, **copies, CATALOGUE_PATH: catalogue}))
    sign(tree, now, {CATALOGUE_PATH: catalogue, **top}, lambda found: basis or quiet(count, READ, found))
    collect_garbage(tree, now)
    gone = {path for path, data in tree.changes.items() if data is None}
    everything = {**files, **copies, CATALOGUE_PATH: catalogue, **kept(tree.changes)}
    return {path: data for path, data in everything.items() if path not in gone}


def quiet(count: int, commit: str, authority: Authority) -> Basis:
    """What a run of the registrar says of itself that read a commit and found nothing to look at again."""
    versions = count * len(VERSIONS)
    return Basis(
        commit=commit,
        derivation=DERIVATION,
        targets=authority.targets.version,
        blocks=authority.blocks_role.version,
        totals=Totals(plugins=count, versions=versions, usable=versions),
        again=Again(),
    )


def sign(
    tree: Overlay,
    now: datetime,
    targets: Mapping[str, bytes] | None,
    basis_for: Callable[[Authority], Basis],
) -> None:
    """Sign the index of a tree anew, as the registrar does.

    Args:
        tree: changed in memory.
        now: the time, UTC.
        targets: bytes by path; None for those that are signed already.
        basis_for: what the registrar says of its run, given the maintainers' statements.
    """
    options = options_for(tree.read("metadata/1.root.json") or b"")
    authority = load_authority(tree, options.pinned_root, allow_dev_keys=False)
    repository = TufRepository(tree, options.signers, now, days_of(authority.policy))
    with repository.edit_targets("registrar") as role:
        if targets is not None:
            role.targets.clear()
            for path, data in targets.items():
                tree.write(add_target(role, path, data), data)
        role.unrecognized_fields[BASIS] = basis_for(authority).to_json()
    write_above(repository, authority.root)


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
