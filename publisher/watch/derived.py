"""What the registrar would write: any difference is an error, since all of it follows from signed documents.

The index is built anew from its rows, whole; the registrar only changes what it must. So each audit shows that the two come to the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from publisher.registrar.catalogue import Showing
from publisher.registrar.inputs import Inputs
from publisher.registrar.listing import Listing
from publisher.registrar.plan import run_plan
from publisher.registrar.run import no_recovery
from publisher.registrar.sharding import Ref, join_shards
from publisher.tuf_repository import BASIS, latest_version, metadata_path, read_metadata
from publisher.watch.findings import REGISTER, Finding, Level, error
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.cli.text import counted
from registry_client.errors import RegistryError
from registry_client.layout import plain_file, plain_path
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from publisher.authority import Authority
    from publisher.registrar.inputs import Verdict
    from publisher.registrar.state import State
    from publisher.tree import Overlay

_FOLLOWS = "is not what follows from the signed documents"
_DIFFERS = "differs from what the registrar writes"
_EVERY_VERSION = 10**9
CATCHES_UP = timedelta(days=1)
"""So long after a catalogue's lines have waited as long as they may, the registrar's scheduled run has written them."""


def derived(
    tree: Overlay, authority: Authority, state: State, now: datetime, known: Mapping[str, Verdict]
) -> list[Finding]:
    """Everything in which a registry differs from what its registrar would write.

    Args:
        tree: the registry; in memory, what the registrar would write is put on top.
        authority: the maintainers' statements.
        state: the index; its rows are put right in memory.
        now: the time, UTC.
        known: whether versions verify, by the text of their index lines.
    """
    try:
        found = list(_basis(tree, authority, state))
        inputs = Inputs(tree, authority, now, no_recovery, allow_loss=_EVERY_VERSION, known=known)
        plan = run_plan(inputs, state, ())
        found += [
            error(outcome.submission.source, outcome.error.message, outcome.error.hint)
            for outcome in plan.outcomes
            if outcome.error is not None
        ]
        found += _index(state)
        found += _foreign(tree)
        found += _catalogue(tree, authority, state, now)
    except RegistryError as e:
        return [error(".", e.message, e.hint)]
    reported = {finding.path for finding in found}
    found += [error(path, _DIFFERS, REGISTER) for path in sorted(tree.changes) if path not in reported]
    return found


def _index(state: State) -> Iterator[Finding]:
    """Shards and directories: those that follow from the rows, and no others."""
    files = join_shards({plugin_id: state.texts(plugin_id) for plugin_id in state.rows})
    for bits, data in files.items():
        if state.signed.find(bits) != Ref.of(data):
            yield error(shard_path(bits), _FOLLOWS, REGISTER)
    signed = {*state.signed.top, *(bits for bits, _ in state.signed.leaves())}
    for bits in sorted(signed - files.keys()):
        yield error(shard_path(bits), _FOLLOWS, REGISTER)


def _foreign(tree: Overlay) -> Iterator[Finding]:
    """Targets that the registrar may not name, or never does."""
    version = latest_version(tree, "registrar")
    for path in read_metadata(tree, "registrar", version).signed.targets if version else ():
        if path != CATALOGUE_PATH and not path.startswith("index/"):
            yield error(
                metadata_path("registrar", version), f"names {path}, which is no part of an index", REGISTER
            )


def _catalogue(tree: Overlay, authority: Authority, state: State, now: datetime) -> Iterator[Finding]:
    """registry.json, whose additions may wait, and the plain manifests that it names."""
    held = state.catalogue
    # At the time at which it was written, all that may wait at all could wait.
    written = now if held is None else Listing(held).updated
    shown = Showing(state, authority, tree.read, written).run()
    patience = timedelta(minutes=authority.policy.catalogue_minutes)
    late = now - written - patience
    if shown.data != held or written > now:
        yield error(CATALOGUE_PATH, _FOLLOWS, REGISTER)
    elif shown.waiting and late >= timedelta(0):
        level = Level.WARNING if late < CATCHES_UP else Level.ERROR
        message = f"{counted(len(shown.waiting), 'line')} waited for longer than the policy allows"
        yield Finding(level, CATALOGUE_PATH, message, REGISTER)
    if shown.data == held and state.basis is not None and state.basis.waiting != shown.waiting:
        yield _of_metadata(tree, "names other plugins as waiting than do wait")
    tree.write(CATALOGUE_PATH, shown.data)
    yield from _plain(tree, state, shown.data)


def _plain(tree: Overlay, state: State, catalogue: bytes) -> Iterator[Finding]:
    """For each line of the catalogue the manifest that it names, byte for byte; none without a line."""
    named = set()
    for line in Listing(catalogue).lines():
        row = state.get(line["id"], line["version"])
        if row is not None:
            named.add(plain_path(row.folder))
            if tree.digest(plain_path(row.folder)) != row.digest:
                yield error(plain_path(row.folder), _DIFFERS, REGISTER)
    for path in tree.paths("plugins"):
        if path not in named and plain_file(path) is not None:
            yield error(path, "no line of the catalogue names it", REGISTER)


def _basis(tree: Overlay, authority: Authority, state: State) -> Iterator[Finding]:
    """What the registrar signed of its last run: the next one relies on it."""
    basis = state.basis
    if basis is None:
        metadata = read_metadata(tree, "registrar", latest_version(tree, "registrar"))
        if BASIS in metadata.signed.unrecognized_fields:
            yield _of_metadata(tree, "is none")
        return
    if basis.totals != state.totals:
        held = state.totals
        yield _of_metadata(
            tree,
            f"states {basis.totals.plugins} plugins, {basis.totals.versions} versions and {basis.totals.usable} usable ones, "
            f"and the index holds {held.plugins}, {held.versions} and {held.usable}",
        )
    if basis.targets > authority.targets.version or basis.blocks > authority.blocks_role.version:
        yield _of_metadata(tree, "names metadata of the maintainers that is not there")


def _of_metadata(tree: Overlay, message: str) -> Finding:
    path = metadata_path("registrar", latest_version(tree, "registrar"))
    return error(path, f"{BASIS} {message}", "publisher registry register --full")


__all__ = ["derived"]
