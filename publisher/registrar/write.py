"""The index as files: shards, catalogue, plain manifests, and the TUF metadata over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tuf.api.metadata import TargetFile

from publisher.registrar.basis import DERIVATION, MAX_NAMED, Again, Basis
from publisher.registrar.catalogue import Showing
from publisher.registrar.listing import Listing
from publisher.registrar.retention import collect_garbage
from publisher.registrar.sharding import Ref, join_shards, update_shards
from publisher.tuf_repository import BASIS, TufRepository, is_complete, latest_version, read_metadata
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.digest import Digest
from registry_client.errors import RegistrarError
from registry_client.layout import plain_file, plain_path, served_path, version_file
from registry_client.models.index import CATALOGUE_LIMIT, SHARD_LIMIT, TOP_BITS
from registry_client.names import check_plugin_id
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tuf.api.metadata import Root, Targets

    from publisher.authority import Authority
    from publisher.registrar.state import State
    from publisher.tree import Overlay


class Derived(NamedTuple):
    """What follows from the index.

    Attributes:
        catalogue: the bytes of registry.json.
        waiting: ids whose lines in it wait.
        top: the shards and directories that are TUF targets, by bits.
        written: bytes of the shards and directories that are not as they were signed, by bits.
    """

    catalogue: bytes
    waiting: tuple[str, ...]
    top: dict[str, Ref]
    written: dict[str, bytes]


def write_index(
    tree: Overlay,
    state: State,
    authority: Authority,
    repository: TufRepository,
    *,
    commit: str = "",
    is_stale: bool = False,
) -> bool:
    """Write everything that follows from the state, signed.

    Args:
        tree: the registry, changed in memory.
        state: the index as it becomes.
        authority: the maintainers' statements.
        repository: signs.
        commit: id of the commit of main that was read; empty for a folder.
        is_stale: whether what the run before signed of itself no longer serves.

    Returns:
        Whether anything changed.

    Raises:
        ConfigError: a key is missing.
    """
    derived = derive(tree, state, authority, repository.now)
    _check_sizes(derived)
    targets = {shard_path(bits): ref for bits, ref in derived.top.items()}
    targets[CATALOGUE_PATH] = Ref.of(derived.catalogue)
    if is_stale or _registrar_changed(repository, targets, derived, authority, state):
        basis = _basis(tree, state, authority, derived, commit)
        with repository.edit_targets("registrar") as role:
            for path in role.targets.keys() - targets.keys():
                del role.targets[path]
            for path, ref in targets.items():
                if path not in role.targets or role.targets[path].hashes != {"sha256": ref.digest.hex}:
                    role.targets[path] = TargetFile(ref.size, {"sha256": ref.digest.hex}, path)
            role.unrecognized_fields[BASIS] = basis.to_json()
        for bits, data in derived.written.items():
            tree.write(served_path(shard_path(bits), Digest.of(data)), data)
    for path, data in {**authority.documents, CATALOGUE_PATH: derived.catalogue}.items():
        tree.write(served_path(path, Digest.of(data)), data)  # a lost copy comes back
    write_above(repository, authority.root)
    if tree.changes:
        collect_garbage(tree, repository.now)
    return bool(tree.changes)


def _is_id(text: str) -> bool:
    """Whether a folder's name is a plugin's id: what stands in others is refused whenever it is looked at."""
    try:
        return check_plugin_id(text) == text
    except ValueError:
        return False


def _basis(tree: Overlay, state: State, authority: Authority, derived: Derived, commit: str) -> Basis:
    """What this run leaves to the next one. What it wrote is named: main may lose that again, and be as the run found it."""
    found = (version_file(path) or plain_file(path) for path in tree.changes)
    ids = {item if isinstance(item, str) else item.id for item in found if item is not None}
    ids = {plugin_id for plugin_id in ids | state.changed | state.again if _is_id(plugin_id)}
    again = None
    if max(len(ids), len(derived.written)) <= MAX_NAMED:
        again = Again(plugins=tuple(sorted(ids)), shards=tuple(sorted(derived.written)))
    return Basis(
        commit=commit,
        derivation=DERIVATION,
        targets=authority.targets.version,
        blocks=authority.blocks_role.version,
        totals=state.totals,
        again=again,
        waiting=derived.waiting,
    )


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


def derive(tree: Overlay, state: State, authority: Authority, now: datetime) -> Derived:
    """What follows from the index; also writes registry.json and the plain manifests next to it."""
    shown = Showing(state, authority, tree.read, now).run()
    tree.write(CATALOGUE_PATH, shown.data)
    listing = Listing(shown.data)
    if state.scope is None:
        lines = {line["id"]: line["version"] for line in listing.lines()}
        _write_plain(tree, state, {plugin_id: lines.get(plugin_id) for plugin_id in state.rows})
        files = _all_shards(state)
        top = {bits: Ref.of(data) for bits, data in files.items() if len(bits) <= TOP_BITS}
        written = {bits: data for bits, data in files.items() if state.signed.find(bits) != Ref.of(data)}
        return Derived(shown.data, shown.waiting, top, written)
    found = {plugin_id: listing.find(plugin_id) for plugin_id in {*state.concerned(), *shown.changed}}
    _write_plain(tree, state, {i: None if line is None else line["version"] for i, line in found.items()})
    changed = {plugin_id: state.texts(plugin_id) for plugin_id in state.changed}
    update = update_shards(state.signed, changed, state.texts_of_shard)
    return Derived(shown.data, shown.waiting, update.top, update.written)


def _all_shards(state: State) -> dict[str, bytes]:
    return join_shards({plugin_id: state.texts(plugin_id) for plugin_id in state.rows})


def _check_sizes(derived: Derived) -> None:
    """Never write what no client would read.

    Raises:
        RegistrarError: the catalogue or a shard is over its limit.
    """
    too_large = [shard_path(bits) for bits, data in derived.written.items() if len(data) > SHARD_LIMIT]
    if len(derived.catalogue) > CATALOGUE_LIMIT:
        too_large.append(CATALOGUE_PATH)
    if too_large:
        raise RegistrarError(
            f"{too_large[0]} would be larger than clients read",
            hint="Remove publishers who fill the index, then run with --full.",
        )


def _write_plain(tree: Overlay, state: State, versions: Mapping[str, str | None]) -> None:
    """The manifest that the catalogue's line names, byte for byte, beside its plugin's folder; none where there is no line."""
    for plugin_id, version in versions.items():
        row = None if version is None else state.get(plugin_id, version)
        here = None if row is None else plain_path(row.folder)
        if row is not None and here is not None and tree.digest(here) != row.digest:
            data = tree.read(row.path)
            if data is not None:
                tree.write(here, data)
        for path in _plain_paths(state, plugin_id):
            if path != here:
                tree.delete(path)


def _plain_paths(state: State, plugin_id: str) -> Iterable[str]:
    return {plain_path(row.folder) for row in state.sorted_rows(plugin_id)}


def _registrar_changed(
    repository: TufRepository,
    targets: Mapping[str, Ref],
    derived: Derived,
    authority: Authority,
    state: State,
) -> bool:
    """Whether the registrar's metadata must be written anew: other targets, or it holds what does not belong into it."""
    if not state.verified or state.basis is None:
        return True
    if state.basis.waiting != derived.waiting or state.basis.totals != state.totals:
        return True
    metadata = repository.open("registrar")
    if not is_complete("registrar", metadata, [authority.targets]):
        return True
    role: Targets = metadata.signed
    signed = {path: info.hashes["sha256"] for path, info in role.targets.items()}
    return signed != {path: ref.digest.hex for path, ref in targets.items()}
