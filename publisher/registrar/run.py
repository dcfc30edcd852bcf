"""One run of the registrar over a tree: load, plan, write, check. The edges (folder, Git) are elsewhere."""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from publisher.authority import load_authority
from publisher.registrar.basis import parse_basis
from publisher.registrar.gate import check_candidate
from publisher.registrar.inputs import Inputs
from publisher.registrar.listing import Listing
from publisher.registrar.online import days_of, drop_unverified
from publisher.registrar.plan import run_plan
from publisher.registrar.quarantine import NO_ORDERS, Orders
from publisher.registrar.scope import find_scope
from publisher.registrar.state import load_state
from publisher.registrar.submission import Outcome, Result
from publisher.registrar.write import write_index
from publisher.tree import Overlay
from publisher.tuf_repository import TufRepository
from registry_client.catalogue import CATALOGUE_PATH
from registry_client.cli.text import counted
from registry_client.errors import ConfigError
from registry_client.models.base import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from securesystemslib.signer import Signer

    from publisher.authority import Authority
    from publisher.registrar.submission import Submission
    from publisher.tree import Tree
    from registry_client.digest import Digest


def no_recovery(path: str, digest: Digest) -> None:
    """For trees without history."""


def unknown_changes(commit: str) -> None:
    """For trees without history: everything has to be looked at."""


@dataclass(frozen=True)
class Options:
    """How a run goes.

    Attributes:
        pinned_root: bytes of the root of trust.
        signers: the online key.
        allow_dev_keys: accept development keys.
        allow_loss: see `Inputs`.
        full: take nothing over unchecked.
        recover: finds lost bytes by path and digest.
        from_scratch: go on without what the online key signed before, if none of it verifies.
        orders: versions to quarantine, and quarantines to lift.
        jobs: how many processes verify where much is to be verified; 0 for one on each core.
        commit: id of the commit of main that is read; empty for a folder.
        changed_since: the paths in which that commit differs from an earlier one by id; None where it cannot be said.
    """

    pinned_root: bytes
    signers: Sequence[Signer]
    allow_dev_keys: bool = False
    allow_loss: int | None = None
    full: bool = False
    recover: Callable[[str, Digest], bytes | None] = no_recovery
    from_scratch: bool = False
    orders: Orders = NO_ORDERS
    jobs: int = 1
    commit: str = ""
    changed_since: Callable[[str], Sequence[str] | None] = unknown_changes


@dataclass(frozen=True)
class Run:
    """What a run came to.

    Attributes:
        outcomes: what became of each submission.
        changes: files to write (bytes) and to delete (None), by path.
        versions: how many versions the index holds.
        quarantines: what was quarantined or lifted, on order or because of a signature, a line for each.
        notes: orders that were passed over, and why.
        waiting: plugins whose line in registry.json waits.
        waits_until: up to when at most; None where none does.
    """

    outcomes: tuple[Outcome, ...]
    changes: dict[str, bytes | None]
    versions: int
    quarantines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    waits_until: datetime | None = None

    @property
    def refused(self) -> list[Outcome]:
        """The submissions that were refused."""
        return [outcome for outcome in self.outcomes if outcome.result is Result.REFUSED]

    @property
    def waits(self) -> str:
        """What waits to be shown in the catalogue, and up to when, in one line; empty where nothing does."""
        if self.waits_until is None:
            return ""
        return (
            f"registry.json shows {counted(len(self.waiting), 'plugin')} as before; what was added waits until "
            f"{self.waits_until:%Y-%m-%d %H:%M} UTC (catalogueMinutes)"
        )

    def summary(self) -> str:
        """One line for a commit message or a person."""
        done = [o for o in self.outcomes if o.result not in {Result.REFUSED, Result.UNCHANGED}]
        names = ", ".join(f"{o.submission.id} {o.submission.version}" for o in done[:3])
        if not done and self.quarantines:
            return "Change what is quarantined"
        if not done:
            return "Update the index" if self.changes else "Nothing to do"
        return f"Register {names}" + (f" and {len(done) - 3} more" if len(done) > 3 else "")  # noqa: PLR2004

    def message(self) -> str:
        """The commit message: the summary, then a line for each thing that was done."""
        lines = [
            f"{o.submission.id} {o.submission.version}: {o.result}"
            for o in self.outcomes
            if o.result is not Result.UNCHANGED
        ]
        body = "\n".join([*lines, *self.quarantines])
        return f"{self.summary()}\n\n{body}\n"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "outcomes": [outcome.to_json() for outcome in self.outcomes],
            "changedFiles": len(self.changes),
            "versions": self.versions,
            "quarantines": list(self.quarantines),
            "notes": list(self.notes),
            "waiting": list(self.waiting),
            "waitsUntil": format_time(self.waits_until) if self.waits_until else None,
        }


def register(tree: Tree, submissions: Iterable[Submission], options: Options, now: datetime) -> Run:
    """Work out what follows, signed and checked, without writing anything.

    Raises:
        VerificationError: the maintainers' statements do not verify. RegistrarError: the result may not be written.
        ConfigError: a key is missing.
    """
    with _collector_paused():
        return _register(tree, submissions, options, now)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Spare the garbage collector: a run builds large structures and keeps them to its end, and it would walk them over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _register(tree: Tree, submissions: Iterable[Submission], options: Options, now: datetime) -> Run:
    authority = load_authority(tree, options.pinned_root, allow_dev_keys=options.allow_dev_keys)
    _check_key(authority, options.signers)
    overlay = Overlay(tree)
    drop_unverified(overlay, authority, from_scratch=options.from_scratch)
    state = load_state(overlay, authority, full=options.full)
    scope = find_scope(overlay, authority, state, options.commit, options.changed_since)
    state.look_at(scope.ids, full=scope.full)
    inputs = Inputs(
        overlay, authority, now, options.recover, options.allow_loss, options.orders, options.jobs
    )
    plan = run_plan(inputs, state, submissions)
    repository = TufRepository(overlay, options.signers, now, days_of(authority.policy))
    if write_index(overlay, state, authority, repository, commit=options.commit, is_stale=scope.stale):
        check_candidate(
            overlay, options.pinned_root, state.changed, now, allow_dev_keys=options.allow_dev_keys
        )
    run = Run(plan.outcomes, overlay.changes, state.totals.versions, plan.quarantines, plan.notes)
    return _with_waiting(run, overlay, repository, authority)


def _with_waiting(run: Run, tree: Tree, repository: TufRepository, authority: Authority) -> Run:
    """The run, with what now waits to be shown in the catalogue."""
    basis = parse_basis(repository.open("registrar").signed.unrecognized_fields)
    data = tree.read(CATALOGUE_PATH)
    if basis is None or not basis.waiting or data is None:
        return run
    until = Listing(data).updated + timedelta(minutes=authority.policy.catalogue_minutes)
    return replace(run, waiting=basis.waiting, waits_until=until)


def _check_key(authority: Authority, signers: Sequence[Signer]) -> None:
    """Say at once that the key is not the registrar's, even if there is nothing to sign today.

    Raises:
        ConfigError: it is not.
    """
    counting = authority.root.roles["timestamp"].keyids
    if not any(signer.public_key.keyid in counting for signer in signers):
        raise ConfigError(
            "the key that was given is not the registry's online key",
            hint="Give the one that signs its timestamp; after a rotation, the new one.",
        )
