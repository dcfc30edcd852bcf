"""Looking at what is installed: is it what was signed, may it still be used, and what else stands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.errors import InstallError, RegistryError
from registry_client.installer.applying import held_blocks, held_manifest, refusing_blocks
from registry_client.installer.archives.fetch import has_archive
from registry_client.installer.archives.unpack import compare
from registry_client.installer.disk.area import MANIFEST, OWN, RECEIPT
from registry_client.installer.disk.steps import exists, is_real_folder
from registry_client.installer.elsewhere.folder import read_folder
from registry_client.installer.plan import Action, Change, Found
from registry_client.models.blocks import BlockAction
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.portable import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from registry_client.installer.context import Context
    from registry_client.installer.disk.record import Installed, Record
    from registry_client.installer.project.lockfile import LockedPlugin


@dataclass(frozen=True)
class Checked:
    """What was found of one installed plugin.

    Attributes:
        id: the plugin.
        version: its version.
        signed: whether a publisher's signature stands behind it.
        status: its effective status in its registry; empty for unsigned ones, and where it is not known.
        problems: why it is not, or may not be used as, what was installed; empty if all is well.
        warnings: what its owner should know.
    """

    id: str
    version: str
    signed: bool
    status: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check_installed(ctx: Context, installed: Installed) -> Checked:
    """Prove one plugin from signature to files.

    The signed manifest that was kept has the payload digest of the record and verifies under its publisher's keys; it names
    the archive; the archive has its digest; the folder holds the archive's files and nothing else. Files of an unsigned plugin are compared
    with the archive that was packed when it was locked.
    """
    plugin = installed.plugin
    problems: list[str] = []
    warnings: list[str] = []
    status = ""
    if plugin.signed:
        try:
            status = _check_signed(ctx, installed, problems, warnings)
        except RegistryError as e:
            problems.append(str(e))
    else:
        warnings.append(f"unsigned: nobody vouches for it (from {plugin.source.kind})")
    if installed.disabled is not None and _is_loaded(ctx, plugin.id):
        problems.append(
            f"{ctx.area.active(plugin.id)}: stands where the host loads it, although it is disabled"
        )
    problems += check_files(ctx, installed)
    return Checked(plugin.id, plugin.version, plugin.signed, status, tuple(problems), tuple(warnings))


def not_installed(plugin: LockedPlugin) -> Checked:
    """A plugin that is locked, and of which nothing is recorded here."""
    problem = "is locked, and not installed"
    return Checked(plugin.id, plugin.version, plugin.signed, "", (problem,), ())


def _check_signed(ctx: Context, installed: Installed, problems: list[str], warnings: list[str]) -> str:
    plugin = installed.plugin
    manifest = held_manifest(ctx, plugin)
    stated = {(a.digest, a.size) for a in manifest.model.artifacts or ()}
    if plugin.artifact is not None and (plugin.artifact.digest, plugin.artifact.size) not in stated:
        problems.append("the record names an archive that the signed manifest does not")
    registry = plugin.source.registry or ""
    if registry not in ctx.project.registries:
        warnings.append(f"plugins.toml has no registry {registry!r} any more, so its status is not known")
        return ""
    client = ctx.registries.client(registry)
    for block in held_blocks(ctx, plugin):
        text = f"blocked ({block.action}) since {block.since[:10]}: {block.reason}"
        (warnings if block.action is BlockAction.HIDE else problems).append(text)
    infos = ctx.registries.versions(registry, plugin.id)
    info = next((info for info in infos if info.version == plugin.version), None)
    if info is None or info.line.manifest.payload_digest != plugin.payload_digest:
        problems.append("the registry does not know this version with this payload digest")
        return ""
    if info.problem is not None:
        problems.append(str(info.problem))
    client.session.retrying(
        lambda: client.reader.manifest(info.line)
    )  # its signatures, by the publisher's keys of today
    standing = info.standing
    if standing.status not in {"released", "disabled", "uninstalled"}:
        warnings.append(f"{standing.status}: {standing.reason}" if standing.reason else str(standing.status))
    return str(standing.status)


def check_files(ctx: Context, installed: Installed) -> list[str]:
    """How a plugin's folder differs from its archive and its signed manifest."""
    plugin = installed.plugin
    folder = ctx.area.disabled(plugin.id) if installed.disabled else ctx.area.active(plugin.id)
    try:
        if not is_real_folder(folder):
            return [f"{folder}: is not there, or is a link"]
        own = _check_own(folder, plugin)
        if plugin.artifact is None:
            extra = sorted(p.name for p in folder.iterdir() if p.name != OWN)
            return [*own, *(f"{name}: is not part of it" for name in extra)]
        archive = ctx.area.archive(plugin.artifact.digest)
        if not has_archive(ctx.area.archives, plugin.artifact.digest, plugin.artifact.size):
            return [
                *own,
                f"{archive}: the archive that was kept is gone or changed, so its files cannot be compared",
            ]
        return [*own, *compare(archive, plugin.artifact.name, folder)]
    except (RegistryError, OSError) as e:
        return [str(e)]


def _check_own(folder: Path, plugin: LockedPlugin) -> list[str]:
    """What is wrong with the installer's own files in a plugin's folder. Hosts read there what a plugin is, and where it is loaded from."""
    from registry_client.signed import parse_manifest, verify_pinned  # noqa: PLC0415  (with nothing to do, nothing is verified)

    own = folder / OWN
    if not is_real_folder(own):
        return [f"{OWN}: is missing, or no folder"]
    expected = {RECEIPT} | ({MANIFEST} if plugin.payload_digest is not None else set())
    found = {path.name for path in own.iterdir()}
    problems = [f"{OWN}/{name}: is missing" for name in sorted(expected - found)]
    problems += [f"{OWN}/{shown(name)}: was added" for name in sorted(found - expected)]
    if plugin.payload_digest is not None and MANIFEST in found:
        try:
            with (own / MANIFEST).open("rb") as file:
                data = file.read(MANIFEST_LIMIT + 1)
            verify_pinned(parse_manifest(data, f"{OWN}/{MANIFEST}"), plugin.payload_digest)
        except RegistryError as e:
            problems.append(f"{OWN}/{MANIFEST}: is not the signed manifest: {e}")
    return problems


def refresh(ctx: Context, record: Record) -> None:
    """Have the registries' current state, where it can be had; what was verified last stays in use otherwise."""
    names = {item.plugin.source.registry for item in record.plugins.values()} & set(ctx.project.registries)
    for name in sorted(name for name in names if name is not None):
        session = ctx.registries.client(name).session
        session.view()
        session.statements.blocks()


def receipts_differ(ctx: Context, record: Record) -> set[str]:
    """Installed plugins whose folder is gone, or is not the one that was installed: what `install` puts right unasked."""
    return {plugin_id for plugin_id, installed in record.plugins.items() if not ctx.area.holds(installed)}


def block_changes(ctx: Context, record: Record) -> list[Change]:
    """What the blocks last verified ask for: disable, remove if the owner opted in, enable again once lifted."""
    changes = []
    for plugin_id, installed in sorted(record.plugins.items()):
        blocks = refusing_blocks(ctx, installed.plugin)
        by_block = installed.disabled is not None and installed.disabled.by == "block"
        if not blocks:
            if by_block:
                changes.append(
                    Change(
                        plugin_id,
                        Action.ENABLE,
                        installed.plugin,
                        installed.plugin,
                        reason="the block was lifted",
                    )
                )
            continue
        worst = max(blocks, key=lambda block: block.action is BlockAction.UNINSTALL)
        reason = f"blocked ({worst.action}): {worst.reason}"
        if worst.action is BlockAction.UNINSTALL and ctx.project.updates.uninstall_blocked:
            changes.append(Change(plugin_id, Action.REMOVE, installed.plugin, None, reason=reason))
        elif installed.disabled is None or _is_loaded(ctx, plugin_id):
            changes.append(
                Change(plugin_id, Action.DISABLE, installed.plugin, installed.plugin, reason=reason)
            )
    return changes


def _is_loaded(ctx: Context, plugin_id: str) -> bool:
    """Whether something stands where the host loads a plugin from, whatever the record says."""
    try:
        return exists(ctx.area.active(plugin_id))
    except OSError:
        return True


def discover(folder: Path, recorded: Iterable[str]) -> list[Found]:
    """Folders among the plugins that nobody recorded, by name.

    Raises:
        InstallError: the folder cannot be read.
    """
    known = set(recorded)
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        folders = [e for e in entries if e.is_dir() and not e.name.startswith(".") and e.name not in known]
    except OSError as e:
        raise InstallError(f"{folder}: cannot be read ({e.strerror or e})") from e
    found = []
    for entry in folders:
        local = read_folder(entry)
        found.append(Found(entry, local.id, local.version))
    return found
