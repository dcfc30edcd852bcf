"""What a run of the registrar has to look at: everything, or what concerns the paths that changed since the run before read main.

The run before signed which commit it read, for which plugins it wrote something on top of that, and for which it refused something
(`basis.py`). Whatever is the same as in that commit, and is not among these, would come out as it stands in the index: so it is not looked
at. See docs/adr/0026-registrar-by-what-changed.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from publisher.authority import verify_role
from publisher.registrar.basis import DERIVATION
from publisher.registrar.submission import ARTIFACT_PATH
from publisher.tuf_repository import read_metadata
from registry_client.digest import Digest, verify_digest
from registry_client.errors import RegistryError
from registry_client.layout import plain_file, served_path, version_file
from registry_client.shards import shard_path
from registry_client.signed import parse_blocks, parse_policy, parse_publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tuf.api.metadata import Root, Targets

    from publisher.authority import Authority
    from publisher.registrar.basis import Basis
    from publisher.registrar.state import State
    from publisher.tree import Tree

# Members of policy.json by which no row and no line of the catalogue changes, or only when lines are written anyway.
_IRRELEVANT = {"name", "mirrors", "expiry_days", "catalogue_minutes"}


class Scope(NamedTuple):
    """What a run looks at.

    Attributes:
        ids: these plugins; None for all.
        full: whether nothing may be taken over unchecked.
        stale: whether what the run before signed of itself no longer serves: it is signed anew, even if nothing else is.
    """

    ids: frozenset[str] | None
    full: bool
    stale: bool


class _EverythingError(Exception):
    """What has to be looked at cannot be told, so it is everything."""


def find_scope(
    tree: Tree,
    authority: Authority,
    state: State,
    commit: str,
    changed_since: Callable[[str], Sequence[str] | None],
) -> Scope:
    """What has to be looked at.

    Args:
        tree: main.
        authority: the maintainers' statements as they are now.
        state: the index last signed.
        commit: id of the commit of main that is read; empty for a folder.
        changed_since: the paths in which that commit differs from an earlier one; None where it cannot be said.

    Raises:
        VerificationError: a shard that the run before wrote, or that changed since, is missing or damaged.
    """
    basis = state.basis
    if not state.verified or basis is None or basis.derivation != DERIVATION:
        return Scope(None, full=True, stale=True)
    moved = (basis.targets, basis.blocks) != (authority.targets.version, authority.blocks_role.version)
    if not (commit and basis.commit):  # one of them was a folder, where nobody knows what changed
        return Scope(None, full=moved, stale=moved)
    try:
        ids = _ids(tree, authority, state, basis, changed_since)
    except _EverythingError:
        return Scope(None, full=True, stale=True)
    return Scope(frozenset(ids), full=False, stale=moved)


def _ids(
    tree: Tree,
    authority: Authority,
    state: State,
    basis: Basis,
    changed_since: Callable[[str], Sequence[str] | None],
) -> set[str]:
    paths = changed_since(basis.commit) if basis.commit else None
    if paths is None or basis.again is None or state.catalogue is None:
        raise _EverythingError
    ids = set(basis.again.plugins)
    for bits in basis.again.shards:
        ref = state.signed.find(bits)
        if ref is not None:
            state.signed.read(bits, ref)
    for path in paths:
        ids |= _ids_of_path(tree, state, path)
    return ids | _ids_of_maintainers(tree, authority, state, basis)


def _ids_of_path(tree: Tree, state: State, path: str) -> set[str]:
    """The plugins that a changed path concerns. Metadata, registry.json and the maintainers' documents are looked at by every run.

    Raises:
        _EverythingError: it is an artifact that is not what its name says, and any plugin may refer to it.
        VerificationError: it is a shard, and damaged.
    """
    top = path.partition("/")[0]
    if top == "plugins":
        found = version_file(path)
        plugin_id = found.id if found is not None else plain_file(path)
        return set() if plugin_id is None else {plugin_id}
    if top == "artifacts":
        match, data = ARTIFACT_PATH.fullmatch(path), tree.read(path)
        if match is not None and (data is None or Digest.of(data).hex != match[1]):
            raise _EverythingError
    if path.startswith("targets/index/") and path.endswith(".json"):
        _, _, bits = path.removesuffix(".json").rpartition("/")[2].partition(".")
        ref = state.signed.find(bits)
        if ref is not None and served_path(shard_path(bits), ref.digest) == path:
            state.signed.read(bits, ref)
    return set()


def _ids_of_maintainers(tree: Tree, authority: Authority, state: State, basis: Basis) -> set[str]:
    """The plugins for which it matters what the maintainers signed since.

    Raises:
        _EverythingError: it may matter for all, or what they said before is not to be had any more.
    """
    ids: set[str] = set()
    try:
        if basis.targets != authority.targets.version:
            ids |= _ids_of_targets(tree, authority, state, basis.targets)
        if basis.blocks != authority.blocks_role.version:
            before = _role(tree, "blocks", basis.blocks, authority.targets)
            old = parse_blocks(_document(tree, before, "blocks.json"), "blocks.json")
            ids |= {block.id for block in (*old.blocks, *authority.blocks.blocks)}
    except (RegistryError, KeyError) as e:
        raise _EverythingError from e
    return ids


def _ids_of_targets(tree: Tree, authority: Authority, state: State, version: int) -> set[str]:
    """Those that a publisher's file covers, or covered, that is not what it was."""
    before, now = _role(tree, "targets", version, authority.root), authority.targets
    if before.delegations != now.delegations:
        raise _EverythingError
    patterns: set[str] = set()
    for path in before.targets.keys() | now.targets.keys():
        old, new = before.targets.get(path), now.targets.get(path)
        if old is not None and new is not None and old.hashes == new.hashes:
            continue
        documents = [_document(tree, before, path)] if old is not None else []
        documents += [authority.documents[path]] if new is not None else []
        patterns |= _patterns(path, documents)
    return state.ids_like(patterns)


def _patterns(path: str, documents: Iterable[bytes]) -> set[str]:
    """The ids and patterns that a changed document of the maintainers concerns."""
    if path == "policy.json":
        policies = [parse_policy(data, path).model_dump(exclude=_IRRELEVANT) for data in documents]
        if any(policy != policies[0] for policy in policies):
            raise _EverythingError
        return set()
    if not path.startswith("publishers/"):
        raise _EverythingError
    return {pattern for data in documents for pattern in parse_publisher(data, path).publisher.plugins}


def _role(tree: Tree, name: str, version: int, delegator: Root | Targets) -> Targets:
    """Superseded metadata of the maintainers, if the keys of today still signed it.

    Raises:
        VerificationError: it is gone, or does not verify.
    """
    metadata = read_metadata(tree, name, version)
    verify_role(name, metadata, delegator, f"metadata/{version}.{name}.json")
    signed: Targets = metadata.signed
    if signed.version != version:
        raise _EverythingError
    return signed


def _document(tree: Tree, role: Targets, path: str) -> bytes:
    """A document as superseded metadata names it.

    Raises:
        VerificationError: its copy is gone or damaged.
    """
    info = role.targets[path]
    digest = Digest.from_hex(info.hashes["sha256"])
    copy = served_path(path, digest)
    return verify_digest(tree.read(copy) or b"", digest=digest, size=info.length, where=copy)
