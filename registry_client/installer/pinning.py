"""From a version to the lock's entry for it: its verified manifest, and the artifact that this host unpacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.artifacts import file_name
from registry_client.errors import InstallError
from registry_client.installer.project.lockfile import LockedArtifact, LockedPlugin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry_client.installer.project.model import Project
    from registry_client.installer.registries import Registries
    from registry_client.installer.resolution.solve import Pick
    from registry_client.models.manifest import Artifact
    from registry_client.signed import VerifiedManifest

_ARCHIVES = (".zip", ".whl", ".tar.gz", ".tgz", ".tar")


def pin(project: Project, registries: Registries, pick: Pick, known: LockedPlugin | None) -> LockedPlugin:
    """The lock's entry for a version out of a registry."""
    if pick.info is None or pick.registry is None:  # pragma: no cover  (only unsigned picks have none)
        raise InstallError(f"{pick.id} {pick.version}: has no registry")
    line = pick.info.line
    if (
        known is not None
        and known.source.registry == pick.registry
        and known.version == line.version
        and known.payload_digest == line.manifest.payload_digest
        # If the index says other than what was signed, the manifest is read, which finds that.
        and known.requires == line.requires
    ):
        return known
    client = registries.client(pick.registry)
    manifest = client.session.retrying(lambda: client.reader.manifest(line))
    return locked_plugin(manifest, pick.registry, project.host.ecosystem)


def locked_plugin(manifest: VerifiedManifest, registry: str, ecosystem: str | None) -> LockedPlugin:
    """The lock's entry for a verified manifest.

    Args:
        manifest: the manifest.
        registry: the registry's name in plugins.toml.
        ecosystem: which artifacts the host can use.

    Raises:
        InstallError: the host cannot use any of its artifacts, or it is not clear which.
    """
    model = manifest.model
    return LockedPlugin.model_validate(
        {
            "id": model.id,
            "version": model.version,
            "source": {"kind": "registry", "registry": registry},
            "payloadDigest": manifest.payload_digest,
            "publisher": manifest.publisher,
            "keyids": tuple(sorted(manifest.keyids)),
            "artifact": usable_artifact(manifest, ecosystem),
            "requires": model.requires,
            "permissions": model.permissions,
        }
    )


def usable_artifact(manifest: VerifiedManifest, ecosystem: str | None) -> LockedArtifact | None:
    """The artifact of a verified manifest that a host unpacks, as the lock states it. Raises InstallError as `choose_artifact`."""
    model = manifest.model
    artifact = choose_artifact(model.artifacts or (), f"{model.id} {model.version}", ecosystem)
    if artifact is None:
        return None
    name = file_name(artifact, model.id, model.version)
    stated = {"name": name, "digest": artifact.digest, "size": artifact.size, "url": artifact.url}
    return LockedArtifact.model_validate(stated)


def choose_artifact(artifacts: Sequence[Artifact], where: str, ecosystem: str | None) -> Artifact | None:
    """The artifact that a host unpacks; None for a plugin that has none.

    Among several of its ecosystem a ZIP comes before a wheel, a tarball and other files; then the manifest's order counts.

    Raises:
        InstallError: there are some, but none for this host, or for several ecosystems and the host states none.
    """
    if not artifacts:
        return None
    kinds = sorted({artifact.ecosystem for artifact in artifacts})
    if ecosystem is None and len(kinds) > 1:
        raise InstallError(
            f"{where}: has artifacts for {', '.join(kinds)}, and plugins.toml does not say which this host uses",
            hint=f'Add ecosystem = "{kinds[0]}" to [host].',
        )
    usable = [artifact for artifact in artifacts if ecosystem in {None, artifact.ecosystem}]
    if not usable:
        raise InstallError(
            f"{where}: has artifacts for {', '.join(kinds)}, but none for {ecosystem}",
            hint="The publisher has to offer one for this kind of host; [host] ecosystem says which that is.",
        )
    return min(usable, key=lambda artifact: _preference(file_name(artifact, "plugin", "0.0.0")))


def _preference(name: str) -> int:
    """How an archive's name ranks among the kinds that are unpacked."""
    ends = (rank for rank, suffix in enumerate(_ARCHIVES) if name.lower().endswith(suffix))
    return next(ends, len(_ARCHIVES))
