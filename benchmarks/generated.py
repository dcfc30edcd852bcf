"""The files of a registry's plugins, made when they are asked for: as a tree for the registrar, and for the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchmarks.plugins import (
    VERSIONS,
    build_plugins,
    has_release,
    number_of,
    plugin_at,
    signed_manifest,
    signed_release,
)
from publisher.tree import DirTree
from registry_client.jsontext import dump_json
from registry_client.layout import (
    is_crowded,
    manifest_path,
    plain_file,
    plain_path,
    plugin_folder,
    release_path,
    version_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from benchmarks.plugins import Plugin

_KEPT = 4000


@dataclass(frozen=True)
class Made:
    """What was published of one plugin.

    Attributes:
        plugin: which one.
        folder: where its files stand.
        manifests: one for each version, signed.
        releases: one for each version, signed; None where there is none.
    """

    plugin: Plugin
    folder: str
    manifests: tuple[dict[str, Any], ...]
    releases: tuple[dict[str, Any] | None, ...]
    data: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", tuple(map(dump_json, self.manifests)))

    def files(self) -> dict[str, bytes]:
        """Every file of the plugin by path, as the registrar writes them."""
        files = {plain_path(self.folder): self.data[-1]}  # its newest version is for everyone
        for version, data, release in zip(VERSIONS, self.data, self.releases, strict=True):
            files[manifest_path(self.folder, version)] = data
            if release is not None:
                files[release_path(self.folder, version)] = dump_json(release, sort=True)
        return files


@lru_cache(maxsize=4)
def fanned_out(count: int) -> frozenset[str]:
    """The plugins that the registrar gives a folder below a fan-out folder: it takes new ones by their ids, one after the other."""
    ids = sorted(plugin.id for plugin in build_plugins(count))
    return frozenset(plugin_id for before, plugin_id in enumerate(ids) if is_crowded(before))


class Generator:
    """The files below `plugins/` of a registry, all of whose plugins were published at once.

    Args:
        count: how many plugins it has.
        now: when they were published.
    """

    def __init__(self, count: int, now: datetime) -> None:
        self.count = count
        self.now = now
        self._files = lru_cache(maxsize=_KEPT)(lambda number: self.make(number).files())

    def make(self, number: int) -> Made:
        """Everything of one plugin."""
        plugin = plugin_at(number, self.count)
        manifests = tuple(signed_manifest(plugin, version, self.now) for version in VERSIONS)
        releases = tuple(
            signed_release(plugin, number, position, manifest, self.now)
            for position, manifest in enumerate(manifests)
        )
        folder = plugin_folder(plugin.id, fan_out=plugin.id in fanned_out(self.count))
        return Made(plugin, folder, manifests, releases)

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        parts = version_file(path)
        plugin_id = plain_file(path) if parts is None else parts.id
        number = None if plugin_id is None else number_of(plugin_id, self.count)
        return None if number is None else self._files(number).get(path)

    def paths(self, number: int) -> list[str]:
        """Where the files of one plugin stand."""
        plugin = plugin_at(number, self.count)
        folder = plugin_folder(plugin.id, fan_out=plugin.id in fanned_out(self.count))
        versions = list(enumerate(VERSIONS))
        return [
            plain_path(folder),
            *(manifest_path(folder, version) for _, version in versions),
            *(
                release_path(folder, version)
                for position, version in versions
                if has_release(number, position)
            ),
        ]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file, plugin by plugin."""
        for number in range(self.count):
            yield from self.make(number).files().items()


class BulkTree(DirTree):
    """A registry whose folder holds everything but the files of its plugins.

    Args:
        root: the folder. What stands below its `plugins/` comes before what would be made.
        generator: makes the files of its plugins.
    """

    def __init__(self, root: Path, generator: Generator) -> None:
        super().__init__(root)
        self.generator = generator

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        found = super().read(path)
        return self.generator.read(path) if found is None and path.startswith("plugins/") else found

    def own_paths(self) -> Iterator[str]:
        """All paths of files that stand in the folder, sorted."""
        return super().paths("")

    def paths(self, folder: str) -> Iterator[str]:
        """All paths below a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        found = set(super().paths(folder))
        if "plugins/".startswith(prefix) or prefix.startswith("plugins/"):
            own = plain_file(f"{folder}.json")  # whose folder it is, if it is a plugin's
            number = None if own is None else number_of(own, self.generator.count)
            numbers = range(self.generator.count) if own is None else [] if number is None else [number]
            made = (path for number in numbers for path in self.generator.paths(number))
            found.update(path for path in made if path.startswith(prefix))
        return iter(sorted(found))
