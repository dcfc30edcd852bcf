"""What follows from main, the pending submissions and the maintainers' statements. Pure: reads a tree, changes an overlay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.registrar.admit import admit
from publisher.registrar.quarantine import carry_out
from publisher.registrar.submission import Context, Outcome, Result, Submission
from publisher.registrar.verdicts import verify_rows
from registry_client.digest import Digest
from registry_client.errors import RegistrarError, RegistryError
from registry_client.layout import plugin_folders, version_file
from registry_client.names import parse_version
from registry_client.signed import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from publisher.registrar.inputs import Inputs
    from publisher.registrar.state import Row, State
    from publisher.tree import Overlay

_TOLERATED_SHARE = 0.05


@dataclass(frozen=True)
class Plan:
    """What a run decided.

    Attributes:
        outcomes: what became of each submission.
        quarantines: what was quarantined or lifted, on order or because of a signature, a line for each.
        notes: orders that were passed over, and why.
    """

    outcomes: tuple[Outcome, ...]
    quarantines: tuple[str, ...]
    notes: tuple[str, ...]


def run_plan(inputs: Inputs, state: State, submissions: Iterable[Submission]) -> Plan:
    """Take the good submissions into the state, refuse the bad ones, repair what was edited by hand.

    Raises:
        RegistrarError: more versions would be lost than the blast-radius guard allows.
    """
    context = Context(inputs.authority, inputs.tree.read, inputs.now, inputs.recover)
    outcomes = []
    standing = list(on_main(inputs.tree, state))
    state.again |= {submission.id for submission in standing}
    for submission in sorted([*standing, *submissions], key=submission_order):
        outcome, files = admit(submission, state, context)
        outcomes.append(outcome)
        for path, data in files.items():
            inputs.tree.write(path, data)
    for path, data in inputs.authority.documents.items():
        inputs.tree.write(path, data)
    # After what came in, so that an index made from scratch can be told its quarantines in the same run.
    quarantines, notes = carry_out(inputs.orders, state, inputs.now)
    _repair(inputs, state)
    verified = verify_rows(inputs, state)
    _write_releases(inputs, state)
    _guard(state, inputs.allow_loss)
    return Plan(tuple(outcomes), (*quarantines, *verified), tuple(notes))


def submission_order(submission: Submission) -> tuple[str, object, bool, str]:
    """Manifests before releases of the same version, otherwise by id and version."""
    try:
        version: object = (0, parse_version(submission.version))
    except ValueError:
        version = (1, submission.version)
    return submission.id, version, submission.manifest is None, submission.source


def on_main(tree: Overlay, state: State) -> Iterable[Submission]:
    """What stands on main and differs from the index: merged by hand, or written by publishing into a working tree."""
    ids = state.looked_at()
    indexed = {path: digest for i in ids for row in state.sorted_rows(i) for path, digest in row.files}
    for path in _paths(tree, state):
        found = None if tree.digest(path) == indexed.get(path) else version_file(path)
        if found is None or found.folder not in plugin_folders(found.id):
            continue
        row = state.get(found.id, found.version)
        data = tree.read(path)
        if data is None or (found.is_manifest and row is not None and _signed_before(data, path, row, tree)):
            continue
        if found.is_manifest:
            yield Submission(path, found.id, found.version, manifest=data, path=path)
        else:
            yield Submission(path, found.id, found.version, release=data, path=path)


def _paths(tree: Overlay, state: State) -> Iterable[str]:
    """The files below the plugins' folders: of all of them, or of those that are looked at."""
    if state.scope is None:
        return tree.paths("plugins")
    folders = [folder for plugin_id in sorted(state.scope) for folder in plugin_folders(plugin_id)]
    return [path for folder in folders for path in tree.paths(folder)]


def _signed_before(data: bytes, path: str, row: Row, tree: Overlay) -> bool:
    """Whether this is a manifest as it was before it was re-signed: that file stays, for caches and locks.

    With a signature that the newest file does not have, it is re-signed once more, in place.
    """
    if row.path == path:
        return False
    try:
        document = parse_manifest(data, path)
        newest = parse_manifest(tree.read(row.path) or b"", row.path)
    except RegistryError:
        return False
    keyids, known = ({item.keyid for item in found.model.signatures} for found in (document, newest))
    return document.payload_digest == row.payload_digest and keyids <= known


def _repair(inputs: Inputs, state: State) -> None:
    """Restore missing and edited manifests of published versions; never accept them."""
    for row in _looked_at(state):
        if inputs.tree.digest(row.path) == row.raw["manifest"]["digest"]:
            if "removed" in row.raw:
                state.put(row.replaced(removed=None))
            continue
        original = inputs.recover(row.path, row.digest)
        if original is not None and Digest.of(original) == row.digest:
            inputs.tree.write(row.path, original)
        elif "removed" not in row.raw:
            state.put(
                row.replaced(
                    removed="its manifest is missing or was changed, and the original is not to be had"
                )
            )


def _looked_at(state: State) -> list[Row]:
    return [row for plugin_id in state.looked_at() for row in state.sorted_rows(plugin_id)]


def _write_releases(inputs: Inputs, state: State) -> None:
    """Write each release file as the index has it."""
    for row in _looked_at(state):
        if row.release_file is not None:
            inputs.tree.write(row.release_path, row.release_file)


def tolerated_loss(usable: int) -> int:
    """How many of so many usable versions may become unusable in a run that was not told otherwise."""
    return max(1, int(usable * _TOLERATED_SHARE))


def _guard(state: State, allowed: int | None) -> None:
    """Refuse to make many versions unusable at once.

    Raises:
        RegistrarError: more than allowed.
    """
    before = state.before.usable
    limit = tolerated_loss(before) if allowed is None else allowed
    lost = state.lost()
    if lost > limit:
        raise RegistrarError(
            f"{lost} of {before} usable versions would become unusable in this run; at most {limit} may",
            hint=f"If that is meant (a key was revoked, or a file host is gone for good), run it again with --allow-loss {lost}.",
        )


__all__ = ["Outcome", "Plan", "Result", "Submission", "run_plan"]
