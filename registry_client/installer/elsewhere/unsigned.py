"""Plugins from elsewhere than a registry: each source packed into the area's archives, as the lock states it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError, InstallError
from registry_client.installer.project.lockfile import LockedPlugin, locked_source
from registry_client.installer.project.sources import (
    AdoptedSource,
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registry_client.digest import Digest
    from registry_client.installer.disk.area import Area
    from registry_client.installer.elsewhere.packed import Packed
    from registry_client.installer.project.model import Project, Wanted
    from registry_client.installer.project.sources import Source

_TIMEOUT = 600.0


class Elsewhere:
    """Packs what comes from folders, archives, Git and package indexes.

    Args:
        project: relative paths start from its folder.
        area: where archives go.
        environment: variables for Git: PATH, HOME, proxies.
        on_note: called with what could not be used of what a plugin says of itself.
    """

    def __init__(
        self, project: Project, area: Area, environment: Mapping[str, str], on_note: Callable[[str], None]
    ) -> None:
        self._project = project
        self._area = area
        self._environment = environment
        self._on_note = on_note

    def identify(self, source: Source, range_text: str) -> str:
        """The id of the plugin that a source holds.

        Raises:
            ConfigError: it says none that can be used. RegistryError: it cannot be had.
        """
        return self._packed(source, range_text, None).id

    def pack(self, wanted: Wanted, known: LockedPlugin | None) -> LockedPlugin:
        """The plugin as it is now, its archive among the area's.

        Args:
            wanted: what plugins.toml asks for.
            known: the lock's entry: a Git tag, a version of an index and an adopted folder stay what they were.

        Raises:
            RegistryError: it cannot be had.
        """
        if known is not None and not isinstance(wanted.source, PathSource) and _stays(wanted, known):
            return known
        if isinstance(wanted.source, AdoptedSource):
            raise ConfigError(
                f"{wanted.id}: was adopted on another machine, and plugins.lock does not hold it",
                hint="Adopt its folder here: 'plugin discover --adopt'.",
            )
        return self._locked(wanted, self._packed(wanted.source, wanted.range, wanted.id))

    def obtain(self, wanted: Wanted, known: LockedPlugin) -> LockedPlugin:
        """Pack exactly what was locked once more, on a machine that has not.

        Raises:
            RegistryError: it cannot be had any more.
        """
        source, range_text = wanted.source, wanted.range
        if isinstance(source, AdoptedSource):
            raise InstallError(
                f"{wanted.id}: was adopted from a folder, and its files are not on this machine",
                hint="Copy the folder here and adopt it, or ask for the plugin from where it comes.",
            )
        if isinstance(source, GitSource) and known.source.commit is not None:
            source = replace(source, ref=known.source.commit)
        if isinstance(source, PypiSource) and known.source.ref is not None:
            range_text = f"=={known.source.ref}"
        digest = known.artifact.digest if known.artifact is not None else None
        found = self._locked(wanted, self._packed(source, range_text, wanted.id, digest))
        return found.model_copy(update={"source": known.source})

    def _packed(
        self, source: Source, range_text: str, plugin_id: str | None, digest: Digest | None = None
    ) -> Packed:
        into = self._area.archives
        match source:
            case PathSource(path):
                from registry_client.installer.elsewhere.folder import pack_folder, take_archive  # noqa: PLC0415

                full = self._project.path.parent / path
                packed = (pack_folder if full.is_dir() else take_archive)(full, into, id=plugin_id)
            case GitSource():
                from registry_client.installer.elsewhere.git_source import clone  # noqa: PLC0415

                self._area.downloads.mkdir(parents=True, exist_ok=True)
                packed = clone(
                    source,
                    into,
                    work=self._area.downloads,
                    environment=self._environment,
                    timeout=_TIMEOUT,
                    id=plugin_id,
                )
            case PypiSource():
                packed = self._from_index(source, range_text, plugin_id, digest)
            case RegistrySource() | AdoptedSource():  # pragma: no cover  (asked for other sources only)
                raise InstallError(f"{plugin_id}: is not packed on this machine")
        for note in packed.notes:
            self._on_note(f"{packed.id}: {note}")
        if not packed.id:
            raise ConfigError(
                "what is to be added names no plugin id, and none can be made of its name",
                hint='Give it a manifest.json with an "id".',
            )
        return packed

    def _from_index(
        self, source: PypiSource, range_text: str, plugin_id: str | None, digest: Digest | None
    ) -> Packed:
        from registry_client.http import Transport  # noqa: PLC0415
        from registry_client.installer.elsewhere.pypi import fetch_pypi  # noqa: PLC0415

        host = self._project.host
        return fetch_pypi(
            source,
            range_text,
            Transport(),
            self._area.archives,
            python=host.python,
            platform=host.platform,
            prereleases=host.prereleases,
            id=plugin_id,
            digest=digest,
        )

    def _locked(self, wanted: Wanted, packed: Packed) -> LockedPlugin:
        source = locked_source(wanted.source).model_copy(update={"commit": packed.commit})
        if isinstance(wanted.source, PypiSource):
            source = source.model_copy(update={"ref": _index_version(packed.name)})
        return LockedPlugin.model_validate(
            {
                "id": wanted.id,
                "version": packed.version,
                "source": source,
                "artifact": {"name": packed.name, "digest": packed.digest, "size": packed.size},
                "requires": packed.requires,
                "permissions": packed.permissions,
            }
        )


def _stays(wanted: Wanted, known: LockedPlugin) -> bool:
    """Whether a lock's entry still answers what is wanted, without looking at the source again."""
    stated = locked_source(wanted.source)
    if stated.model_copy(update={"commit": known.source.commit, "ref": known.source.ref}) != known.source:
        return False
    if isinstance(wanted.source, GitSource):
        return wanted.source.ref == known.source.ref
    if isinstance(wanted.source, PypiSource) and wanted.range:
        from packaging.specifiers import SpecifierSet  # noqa: PLC0415

        return known.source.ref is not None and SpecifierSet(wanted.range).contains(
            known.source.ref, prereleases=True
        )
    return True


def _index_version(name: str) -> str:
    """The version in the file name of a wheel or an sdist, as the index states it."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename  # noqa: PLC0415

    if name.endswith(".whl"):
        return str(parse_wheel_filename(name)[1])
    return str(parse_sdist_filename(name)[1])
