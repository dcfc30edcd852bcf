"""The index as files: shards, catalogue, plain manifests, and the TUF metadata over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.registrar.catalogue import build_catalogue, collect, previous_entries
from publisher.registrar.retention import collect_garbage
from publisher.tuf_repository import TufRepository, add_target, is_complete, latest_version, read_metadata
from registry_client.digest import Digest
from registry_client.errors import RegistrarError
from registry_client.shards import join_shards, shard_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from securesystemslib.signer import Signer
    from tuf.api.metadata import Root, Targets

    from publisher.authority import Authority
    from publisher.registrar.state import State
    from publisher.tree import Overlay


def write_index(
    tree: Overlay, state: State, authority: Authority, signers: Iterable[Signer], now: datetime
) -> bool:
    """Write everything that follows from the state, signed.

    Returns:
        Whether anything changed.

    Raises:
        ConfigError: a key is missing.
    """
    targets = build_targets(tree, state, authority, now)
    repository = TufRepository(tree, signers, now)
    if _registrar_changed(tree, targets, state):
        with repository.edit_targets("registrar") as role:
            role.targets.clear()
            for path, data in targets.items():
                tree.write(add_target(role, path, data), data)
    write_above(repository, authority.root)
    if tree.changes:
        collect_garbage(tree, now)
    return bool(tree.changes)


def write_above(repository: TufRepository, root: Root) -> None:
    """A new snapshot if a role below it changed, or the online keys did; then a new timestamp.

    Raises:
        ConfigError: a key is missing. RegistrarError: a role below went backwards.
    """
    try:
        repository.do_snapshot(force=latest_version(repository.tree, "snapshot") == 0)
    except ValueError as e:
        raise RegistrarError(
            f"snapshot: {e}", hint="A metadata file was deleted: restore it from Git history."
        ) from e
    info = repository.snapshot_info
    metadata = repository.open("timestamp")
    if metadata.signed.snapshot_meta == info and is_complete("timestamp", metadata, [root]):
        return
    with repository.edit_timestamp() as timestamp:
        timestamp.snapshot_meta = info


def build_targets(tree: Overlay, state: State, authority: Authority, now: datetime) -> dict[str, bytes]:
    """The registrar's targets by path; also writes the plain files next to them."""
    ids = sorted(state.rows) if state.full else sorted(state.changed)
    known = previous_entries(state.catalogue) if state.catalogue is not None else {}
    entries = {} if state.full else dict(known)
    base_url = authority.policy.base_url.rstrip("/")
    found = collect(ids, state.sorted_rows, list(authority.blocks.blocks), tree.read, base_url)
    for plugin_id, item in found.items():
        if item is None:
            entries.pop(plugin_id, None)
        else:
            entries[plugin_id] = item[0]
    _write_plain(tree, state, entries)
    catalogue = build_catalogue(entries, state.catalogue, now)
    tree.write("registry.json", catalogue)
    texts = {plugin_id: [row.text for row in state.sorted_rows(plugin_id)] for plugin_id in state.rows}
    shards = {shard_path(bits): data for bits, data in join_shards(texts).items()}
    return {"registry.json": catalogue, **shards}


def _write_plain(tree: Overlay, state: State, entries: dict[str, dict[str, object]]) -> None:
    """`plugins/<id>.json` for every line of the catalogue, byte for byte the manifest; no others."""
    for plugin_id, entry in entries.items():
        row = state.get(plugin_id, str(entry["version"]))
        data = tree.read(row.path) if row is not None else None
        if data is not None:
            tree.write(f"plugins/{plugin_id}.json", data)
    for plugin_id in state.rows:
        if plugin_id not in entries:
            tree.delete(f"plugins/{plugin_id}.json")


def _registrar_changed(tree: Overlay, targets: dict[str, bytes], state: State) -> bool:
    """Whether the registrar's metadata must be written anew."""
    version = latest_version(tree, "registrar")
    if not version or not state.verified:
        return True
    role: Targets = read_metadata(tree, "registrar", version).signed
    signed = {path: info.hashes["sha256"] for path, info in role.targets.items()}
    return signed != {path: Digest.of(data).hex for path, data in targets.items()}
