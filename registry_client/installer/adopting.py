"""Folders that stand among the plugins and that nobody recorded: taken in as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from registry_client.errors import ConsentError, InstallError, NotFoundError, RegistryError
from registry_client.installer.applying import How
from registry_client.installer.archives.fetch import Job, fetch_artifacts
from registry_client.installer.archives.unpack import compare
from registry_client.installer.checking import discover
from registry_client.installer.disk.steps import is_real_folder
from registry_client.installer.elsewhere.folder import pack_folder
from registry_client.installer.locking import wished
from registry_client.installer.operations import Planned, plan_from_lock
from registry_client.installer.pinning import choose_artifact, locked_plugin
from registry_client.installer.project.edit import with_plugin
from registry_client.installer.project.file import parse_project
from registry_client.installer.project.lockfile import Lock, LockedPlugin, locked_source
from registry_client.installer.project.model import Wanted
from registry_client.installer.project.sources import AdoptedSource, RegistrySource
from registry_client.names import check_plugin_id

if TYPE_CHECKING:
    from registry_client.installer.context import Context
    from registry_client.installer.plan import Found


def plan_adopt(ctx: Context, folder_name: str, *, unsigned: bool) -> Planned:
    """Record a folder: as a registry's version where it is exactly that, else as an unsigned plugin.

    Raises:
        NotFoundError: there is no such unrecorded folder. InstallError: its name is not its plugin's id, or it cannot be packed.
        ConsentError: it is not what a registry has, and unsigned plugins were not accepted.
    """
    found = _found(ctx, folder_name)
    signed = _as_published(ctx, found)
    if signed is None and not unsigned:
        raise ConsentError(
            f"{found.folder}: is not what a registry of this project has published",
            hint="If you trust it as it is: --allow-unsigned. It stays marked as unsigned.",
        )
    plugin = signed or _as_it_is(ctx, found)
    if signed is not None:
        source = RegistrySource(signed.source.registry or "")
        wanted = Wanted(plugin.id, source, f">={plugin.version}")
    else:
        wanted = Wanted(plugin.id, AdoptedSource())
    project = parse_project(with_plugin(ctx.project.text, wanted, ctx.project), ctx.project.path)
    old = ctx.read_lock() or Lock.model_validate(
        {"registries": ctx.registries.locked(), "ecosystem": project.host.ecosystem}
    )
    others = [p for p in old.plugins if p.id != plugin.id]
    lock = old.model_copy(update={"plugins": (*others, plugin), "wanted": wished(project)})
    planned = plan_from_lock(ctx, lock, old, (), text=project.text, only={plugin.id})
    return Planned(planned, How(adopting=frozenset({plugin.id})))


def _found(ctx: Context, folder_name: str) -> Found:
    unrecorded = {
        item.folder.name: item for item in discover(ctx.area.folder, ctx.area.read_record().plugins)
    }
    if folder_name not in unrecorded:
        raise NotFoundError(
            f"{ctx.area.folder / folder_name}: is no folder that nobody recorded",
            hint="See which there are: 'plugin discover'.",
        )
    item = unrecorded[folder_name]
    if not is_real_folder(item.folder):
        raise InstallError(
            f"{item.folder}: is a link, and what it leads to is not the installer's to keep",
            hint="Remove it, then have the folder that it leads to: 'plugin add FOLDER --allow-unsigned'.",
        )
    try:
        check_plugin_id(folder_name)
    except ValueError as e:
        raise InstallError(
            f"{item.folder}: {e}",
            hint=f"Rename the folder{f' to {item.id}' if item.id else ''}, then adopt it.",
        ) from e
    return replace(item, id=folder_name)


def _as_published(ctx: Context, found: Found) -> LockedPlugin | None:
    """The registry's version that a folder is, file by file; None if no registry has it."""
    for name in ctx.project.registries:
        try:
            infos = ctx.registries.versions(name, found.id)
        except RegistryError:
            continue  # not there, or not to be had: then nobody vouches for the folder
        info = next((info for info in infos if info.version == found.version and info.problem is None), None)
        if info is None:
            continue
        client = ctx.registries.client(name)
        manifest = client.pinned(found.id, info.version, info.line.manifest.payload_digest)
        plugin = locked_plugin(manifest, name, ctx.project.host.ecosystem)
        chosen = choose_artifact(manifest.model.artifacts or (), found.id, ctx.project.host.ecosystem)
        if plugin.artifact is None or chosen is None:
            continue
        job = Job(client.session, found.id, chosen.url, chosen.digest, chosen.size)
        fetch_artifacts([job], parts=ctx.area.downloads, archives=ctx.area.archives, progress=ctx.progress)
        if not compare(ctx.area.archive(chosen.digest), plugin.artifact.name, found.folder):
            return plugin
    return None


def _as_it_is(ctx: Context, found: Found) -> LockedPlugin:
    packed = pack_folder(found.folder, ctx.area.archives, id=found.id)
    return LockedPlugin.model_validate(
        {
            "id": packed.id,
            "version": packed.version,
            "source": locked_source(AdoptedSource()),
            "artifact": {"name": packed.name, "digest": packed.digest, "size": packed.size},
            "requires": packed.requires,
            "permissions": packed.permissions,
        }
    )
