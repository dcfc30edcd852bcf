"""A plan, applied: fetched, verified, unpacked aside, then put in place as one transaction."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from registry_client.errors import DigestError, FetchError, InstallError, YankedError
from registry_client.installer.archives.fetch import Job, fetch_artifacts, has_archive
from registry_client.installer.archives.unpack import unpack
from registry_client.installer.disk.area import identity
from registry_client.installer.disk.record import Disabled, Installed, Record
from registry_client.installer.disk.transaction import Move, Target, Transaction
from registry_client.installer.pinning import usable_artifact
from registry_client.installer.plan import Action, Change, Plan
from registry_client.installer.planning import kept_versions, same_content
from registry_client.installer.project.lockfile import lock_bytes
from registry_client.models.blocks import BlockAction
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.status import blocks_of

if TYPE_CHECKING:
    from pathlib import Path

    from registry_client.installer.context import Context
    from registry_client.installer.project.lockfile import LockedPlugin
    from registry_client.models.blocks import Block
    from registry_client.signed import VerifiedManifest

_PARALLEL = 16
PLACES = frozenset({Action.INSTALL, Action.UPGRADE, Action.DOWNGRADE, Action.REINSTALL})
"""Actions that put files in place."""


@dataclass(frozen=True)
class How:
    """How a plan is applied.

    Attributes:
        offline: take manifests and archives from this machine only, under the blocks last verified: a rollback.
        adopting: ids whose folders are there already, recorded by nobody, and are to be replaced.
    """

    offline: bool = False
    adopting: frozenset[str] = frozenset()


def apply_plan(ctx: Context, plan: Plan, how: How | None = None) -> Plan:
    """Do what a plan says, wholly or not at all.

    Args:
        ctx: the opened project; the area's lock is held.
        plan: what to change.
        how: where things come from.

    Returns:
        The plan, marked as applied.

    Raises:
        VerificationError, FetchError, YankedError: something is not, or may not be, what the lock pins.
        InstallError: it cannot be put in place. In all cases nothing has changed.
        HookError: a hook of the host failed; after the change if it says so.
    """
    how = how or How()
    if plan.is_empty:
        return replace(plan, applied=True)
    import uuid  # noqa: PLC0415  (only where something changes)
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (only where something changes)

    placed = [c for c in plan.changes if c.action in PLACES and c.after is not None]
    if not how.offline:
        after = [
            change.after for change in placed if change.after is not None and change.after.payload_digest
        ]
        ctx.registries.ask_ahead([(own.source.registry, own.id) for own in after if own.source.registry])
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = pool.map(lambda change: _manifest(ctx, change.after, how), placed)
        manifests = {change.id: manifest for change, manifest in zip(placed, found, strict=True)}
    _have_archives(ctx, placed, how)
    transaction = Transaction(ctx.area, uuid.uuid4().hex)
    try:
        for change in placed:
            _stage(ctx, transaction, change, manifests[change.id])
        for change in plan.changes:
            ctx.call_before(change)
        record = next_record(ctx, plan)
        for manifest in manifests.values():
            if manifest is not None:
                ctx.area.write_manifest(manifest.payload_digest, manifest.data)
        transaction.commit(
            [_move(change, record) for change in plan.changes],
            record,
            _files(ctx, plan),
            adopting=how.adopting,
        )
    except BaseException:
        transaction.abandon()
        raise
    ctx.area.clean(record)
    failures = [failed for change in plan.changes if (failed := ctx.call_after(change)) is not None]
    if failures:
        raise failures[0]
    return replace(plan, applied=True)


def _manifest(ctx: Context, plugin: LockedPlugin | None, how: How) -> VerifiedManifest | None:
    """The signed manifest that a lock's entry pins, checked against that entry; None for an unsigned source."""
    if plugin is None or plugin.payload_digest is None or plugin.source.registry is None:
        return None
    client = ctx.registries.client(plugin.source.registry)
    if how.offline:
        refuse_blocked(ctx, plugin)
        manifest = held_manifest(ctx, plugin)
    else:
        manifest = client.pinned(plugin.id, plugin.version, plugin.payload_digest)
    model = manifest.model
    signed = (model.id, model.version, model.requires, model.permissions)
    artifact = usable_artifact(manifest, ctx.project.host.ecosystem)
    stated = (plugin.id, plugin.version, plugin.requires, plugin.permissions)
    publisher = manifest.publisher or plugin.publisher  # what was kept here is known by its digest alone
    if (*signed, artifact, publisher) != (*stated, plugin.artifact, plugin.publisher):
        raise DigestError(
            f"{ctx.project.lock_path}: states something else of {plugin.id} {plugin.version} than its signed manifest does",
            hint="The lock was edited. Restore it, or run 'plugin lock'.",
        )
    return manifest


def held_manifest(ctx: Context, plugin: LockedPlugin) -> VerifiedManifest:
    """The manifest that was kept on this machine, which the payload digest identifies.

    Raises:
        InstallError: it is not there. VerificationError, DocumentError: it is not what was kept.
    """
    from registry_client.signed import parse_manifest, verify_pinned  # noqa: PLC0415  (with nothing to do, nothing is verified)

    if plugin.payload_digest is None:  # pragma: no cover  (asked for signed plugins only)
        raise InstallError(f"{plugin.id}: is not signed")
    path = ctx.area.manifest(plugin.payload_digest)
    try:
        data = _read_plain(path)
    except OSError as e:
        raise InstallError(
            f"{path}: the manifest of {plugin.id} {plugin.version} cannot be read ({e.strerror})",
            hint="Run 'plugin install', which fetches it again.",
        ) from e
    return verify_pinned(parse_manifest(data, str(path)), plugin.payload_digest)


def _read_plain(path: Path) -> bytes:
    """The beginning of a file; a pipe that a plugin has put in its place is not waited for."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(errno.EINVAL, "it is no plain file")
    with path.open("rb") as file:
        return file.read(MANIFEST_LIMIT + 1)


def held_blocks(ctx: Context, plugin: LockedPlugin) -> list[Block]:
    """The blocks last verified that hold a plugin; none for unsigned sources. No network."""
    if plugin.source.registry is None or plugin.source.registry not in ctx.project.registries:
        return []
    blocks = ctx.registries.client(plugin.source.registry).session.statements.last_blocks()
    return blocks_of(blocks, plugin.id, plugin.version, plugin.payload_digest)


def refusing_blocks(ctx: Context, plugin: LockedPlugin) -> list[Block]:
    """Those of them that keep a version from being used, not only from being found."""
    return [block for block in held_blocks(ctx, plugin) if block.action is not BlockAction.HIDE]


def refuse_blocked(ctx: Context, plugin: LockedPlugin) -> None:
    """Raise YankedError if a block last verified refuses a plugin."""
    for block in refusing_blocks(ctx, plugin):
        raise YankedError(
            f"{plugin.id} {plugin.version} is blocked ({block.action}): {block.reason}",
            hint=f"Remove it, 'plugin remove {plugin.id}', or choose another version.",
        )


def _have_archives(ctx: Context, changes: list[Change], how: How) -> None:
    """Have every archive among the area's, each with its digest."""
    jobs = []
    for plugin in (change.after for change in changes):
        if plugin is None or plugin.artifact is None:
            continue
        artifact = plugin.artifact
        if has_archive(ctx.area.archives, artifact.digest, artifact.size):
            continue
        if how.offline:
            raise InstallError(
                f"{plugin.id} {plugin.version}: its archive is not kept on this machine any more",
                hint=f"With the network: 'plugin add {plugin.id}=={plugin.version}'.",
            )
        if plugin.source.registry is None:
            _pack_again(ctx, plugin)
        elif artifact.url is None:
            raise DigestError(f"{ctx.project.lock_path}: {plugin.id} has an artifact without a URL")
        else:
            session = ctx.registries.client(plugin.source.registry).session
            jobs.append(Job(session, plugin.id, artifact.url, artifact.digest, artifact.size))
    if jobs:
        fetch_artifacts(jobs, parts=ctx.area.downloads, archives=ctx.area.archives, progress=ctx.progress)


def _pack_again(ctx: Context, plugin: LockedPlugin) -> None:
    """Pack an unsigned source once more, on a machine that has not: it must come out as it was locked."""
    wanted = ctx.project.plugins.get(plugin.id)
    if wanted is None:
        raise FetchError(
            f"{plugin.id}: plugins.toml does not say where it comes from", hint="Run 'plugin lock'."
        )
    packed = ctx.unsigned.obtain(wanted, plugin)
    if not same_content(packed, plugin):
        raise DigestError(
            f"{plugin.id}: its source ({plugin.source.kind}) is not what was locked any more",
            hint="If the change is meant: 'plugin lock --allow-unsigned', then 'plugin install'.",
        )


def _stage(ctx: Context, transaction: Transaction, change: Change, manifest: VerifiedManifest | None) -> None:
    """Unpack one plugin aside."""
    plugin = change.after
    if plugin is None:  # pragma: no cover  (only changes that place files are staged)
        raise InstallError(f"{change.id}: there is nothing to install")
    folder = transaction.stage(plugin.id)
    if plugin.artifact is not None:
        unpack(ctx.area.archive(plugin.artifact.digest), plugin.artifact.name, folder)
    transaction.receipt(plugin.id, plugin.version, identity(plugin), manifest.data if manifest else None)


def _move(change: Change, record: Record) -> Move:
    staged = change.action in PLACES
    installed = record.plugins.get(change.id)
    if installed is None:
        return Move(change.id, staged=staged, target=Target.GONE)
    return Move(change.id, staged=staged, target=Target.DISABLED if installed.disabled else Target.ACTIVE)


def next_record(ctx: Context, plan: Plan) -> Record:
    """The record as it will be after a plan."""
    plugins = dict(ctx.area.read_record().plugins)
    for change in plan.changes:
        old = plugins.get(change.id)
        if change.action is Action.REMOVE:
            plugins.pop(change.id, None)
        elif change.action is Action.DISABLE and old is not None:
            by = {"by": "block" if change.reason else "owner", "reason": change.reason}
            plugins[change.id] = old.model_copy(update={"disabled": Disabled.model_validate(by)})
        elif change.action is Action.ENABLE and old is not None:
            plugins[change.id] = old.model_copy(update={"disabled": None})
        elif change.after is not None:
            plugins[change.id] = _installed(ctx, change, old)
    return Record.model_validate({"plugins": plugins})


def _installed(ctx: Context, change: Change, old: Installed | None) -> Installed:
    previous: tuple[LockedPlugin, ...] = ()
    if old is not None and change.after is not None:
        kept = (
            old.previous
            if same_content(old.plugin, change.after)
            else kept_versions(old.plugin, old.previous, ctx.project.updates.keep + 1)
        )
        others = [plugin for plugin in kept if not same_content(plugin, change.after)]
        previous = tuple(others[: max(ctx.project.updates.keep - 1, 0)])
    return Installed.model_validate(
        {
            "plugin": change.after,
            "installedAt": ctx.now(),
            "disabled": _still_disabled(old, change.after),
            "previous": previous,
        }
    )


def _still_disabled(old: Installed | None, after: LockedPlugin | None) -> Disabled | None:
    """What its owner disabled stays so. Another version than the blocked one is loaded: blocked ones are not installed."""
    if old is None or old.disabled is None or after is None:
        return None
    return None if old.disabled.by == "block" and not same_content(old.plugin, after) else old.disabled


def _files(ctx: Context, plan: Plan) -> dict[Path, bytes]:
    """plugins.lock and plugins.toml as they will be, where they change."""
    files = {}
    if plan.lock is not None:
        files[ctx.project.lock_path] = lock_bytes(plan.lock)
    if plan.project_text is not None:
        files[ctx.project.path] = plan.project_text.encode()
    return files
