"""The index as files: shards, catalogue, plain manifests, and the TUF metadata over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.registrar.catalogue import build_catalogue, collect, previous_entries
from publisher.registrar.retention import collect_garbage
from publisher.tuf_repository import TufRepository, add_target, is_complete, latest_version, read_metadata
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.digest import Digest
from registry_client.errors import RegistrarError
from registry_client.layout import served_path
from registry_client.models.index import CATALOGUE_LIMIT, SHARD_LIMIT
from registry_client.shards import join_shards, shard_path

if TYPE_CHECKING:
    from datetime import datetime

    from tuf.api.metadata import Root, Targets

    from publisher.authority import Authority
    from publisher.registrar.state import State
    from publisher.tree import Overlay


def write_index(tree: Overlay, state: State, authority: Authority, repository: TufRepository) -> bool:
    """Write everything that follows from the state, signed.

    Returns:
        Whether anything changed.

    Raises:
        ConfigError: a key is missing.
    """
    targets = build_targets(tree, state, authority, repository.now)
    digests = {path: Digest.of(data) for path, data in targets.items()}
    if _registrar_changed(repository, digests, authority, state):
        with repository.edit_targets("registrar") as role:
            for path in role.targets.keys() - targets.keys():
                del role.targets[path]
            for path, data in targets.items():
                if state.shards.get(path) != digests[path]:  # the others were found signed and sound
                    tree.write(add_target(role, path, data), data)
    for path, data in {**authority.documents, CATALOGUE_PATH: targets[CATALOGUE_PATH]}.items():
        tree.write(served_path(path, Digest.of(data)), data)  # a lost copy comes back
    write_above(repository, authority.root)
    if tree.changes:
        collect_garbage(tree, repository.now)
    return bool(tree.changes)


def write_above(repository: TufRepository, root: Root) -> None:
    """A new snapshot if a role below it changed, or the online keys did; then a new timestamp.

    Raises:
        ConfigError: a key is missing. RegistrarError: a role below went backwards.
    """
    _refuse_reused_versions(repository)
    try:
        repository.do_snapshot(force=latest_version(repository.tree, "snapshot") == 0)
    except ValueError as e:
        raise RegistrarError(
            f"snapshot: {e}", hint="A metadata file was deleted: restore it from Git history."
        ) from e
    info = repository.snapshot_info
    metadata = repository.open("timestamp")
    if metadata.signed.snapshot_meta.version > info.version:
        raise RegistrarError(
            f"the timestamp names snapshot {metadata.signed.snapshot_meta.version}, and the newest is {info.version}",
            hint="A metadata file was deleted: restore it from Git history.",
        )
    if metadata.signed.snapshot_meta == info and is_complete("timestamp", metadata, [root]):
        return
    with repository.edit_timestamp() as timestamp:
        timestamp.snapshot_meta = info


def _refuse_reused_versions(repository: TufRepository) -> None:
    """Hosts know a version of a role by its digest: other content under the same version would never verify.

    Raises:
        RegistrarError: a role's newest version is not what the snapshot names.
    """
    version = latest_version(repository.tree, "snapshot")
    named = read_metadata(repository.tree, "snapshot", version).signed.meta if version else {}
    for name, info in repository.targets_infos.items():
        if name in named and named[name].version == info.version and named[name] != info:
            raise RegistrarError(
                f"metadata/{info.version}.{name}: is not the file that the snapshot names; a version is used once",
                hint="Restore it from Git history, then make the change again.",
            )


def build_targets(tree: Overlay, state: State, authority: Authority, now: datetime) -> dict[str, bytes]:
    """The registrar's targets by path; also writes the plain files next to them."""
    ids = sorted(state.rows) if state.full else sorted(state.changed)
    known = previous_entries(state.catalogue) if state.catalogue is not None else None
    entries = {} if state.full else dict(known or {})
    base_url = authority.policy.base_url.rstrip("/")
    found = collect(ids, state.sorted_rows, list(authority.blocks.blocks), tree.read, base_url)
    for plugin_id, item in found.items():
        if item is None:
            entries.pop(plugin_id, None)
        else:
            entries[plugin_id] = item[0]
    _write_plain(tree, state, entries)
    # The previous bytes if no line changed, so that nothing changes without a reason.
    catalogue = state.catalogue if entries == known and state.catalogue else build_catalogue(entries, now)
    tree.write("registry.json", catalogue)
    texts = {plugin_id: [row.text for row in state.sorted_rows(plugin_id)] for plugin_id in state.rows}
    shards = {shard_path(bits): data for bits, data in join_shards(texts).items()}
    _check_sizes(catalogue, shards)
    return {"registry.json": catalogue, **shards}


def _check_sizes(catalogue: bytes, shards: dict[str, bytes]) -> None:
    """Never write what no client would read.

    Raises:
        RegistrarError: the catalogue or a shard is over its limit.
    """
    too_large = [path for path, data in shards.items() if len(data) > SHARD_LIMIT]
    if len(catalogue) > CATALOGUE_LIMIT:
        too_large.append("registry.json")
    if too_large:
        raise RegistrarError(
            f"{too_large[0]} would be larger than clients read",
            hint="Remove publishers who fill the index, then run with --full.",
        )


def _write_plain(tree: Overlay, state: State, entries: dict[str, dict[str, object]]) -> None:
    """`plugins/<id>.json` for every line of the catalogue, byte for byte the manifest; no others."""
    for plugin_id, entry in entries.items():
        row = state.get(plugin_id, str(entry["version"]))
        if row is None or tree.digest(f"plugins/{plugin_id}.json") == row.digest:
            continue
        data = tree.read(row.path)
        if data is not None:
            tree.write(f"plugins/{plugin_id}.json", data)
    for plugin_id in state.rows:
        if plugin_id not in entries:
            tree.delete(f"plugins/{plugin_id}.json")


def _registrar_changed(
    repository: TufRepository, digests: dict[str, Digest], authority: Authority, state: State
) -> bool:
    """Whether the registrar's metadata must be written anew: other targets, or it holds what does not belong into it."""
    if not state.verified:
        return True
    metadata = repository.open("registrar")
    if not is_complete("registrar", metadata, [authority.targets]):
        return True
    role: Targets = metadata.signed
    signed = {path: info.hashes["sha256"] for path, info in role.targets.items()}
    return signed != {path: digest.hex for path, digest in digests.items()}
