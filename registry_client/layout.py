"""Where a registry's files stand. Pure: every path of a plugin's file and of a TUF target's copy is made and recognised here.

A plugin's folder is `plugins/<id>`, or `plugins/_<2 hex digits of sha256(id)>/<id>` where it was first published into a registry that had
more than 1,300 plugins: GitHub shows at most 3,000 entries of a folder, each plugin makes two,
and Git writes a folder's whole list with each commit.
Published files never move, so one registry may hold both; what the index names counts.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from registry_client.digest import Digest

FAN_OUT_ABOVE: Final = 1300
"""So many plugins may stand in `plugins/` itself."""

_FOLDER = r"plugins/(?:_[0-9a-f]{2}/)?(?P<id>[^/]+)"
_VERSION_FILE = re.compile(
    rf"(?P<folder>{_FOLDER})/(?P<version>[^/]+)/(?:(?P<manifest>manifest)(?:\.(?P<resigned>[0-9a-f]{{12}}))?|release)\.json"
)
_PLAIN_FILE = re.compile(rf"{_FOLDER}\.json")


class VersionFile(NamedTuple):
    """A path of a manifest or a release, taken apart.

    Attributes:
        id: the plugin, as it stands in the path; not checked, so that what is wrong with it can be said.
        version: as it stands in the path; not checked.
        is_manifest: whether it is a manifest; else a release.
        folder: the plugin's folder.
        resigned: the 12 hex digits in the name of a manifest that was signed again; None for the others.
    """

    id: str
    version: str
    is_manifest: bool
    folder: str
    resigned: str | None


def plugin_folder(plugin_id: str, *, fan_out: bool = False) -> str:
    """The folder of a plugin's files, for one that has none yet.

    Args:
        plugin_id: the plugin.
        fan_out: whether the registry has more plugins than one folder should hold.
    """
    if not fan_out:
        return f"plugins/{plugin_id}"
    digest = hashlib.sha256(plugin_id.encode("utf-8", "surrogatepass"))  # names of files may be anything
    return f"plugins/_{digest.hexdigest()[:2]}/{plugin_id}"


def is_crowded(plugins: int) -> bool:
    """Whether a registry with so many plugins gives the next one a folder of the second kind."""
    return plugins > FAN_OUT_ABOVE


def plugin_folders(plugin_id: str) -> tuple[str, str]:
    """Both folders in which a plugin's files can be, the plain one first."""
    return plugin_folder(plugin_id), plugin_folder(plugin_id, fan_out=True)


def manifest_path(folder: str, version: str, *, resigned: str | None = None) -> str:
    """Where a version's manifest stands in its plugin's folder.

    Args:
        folder: the plugin's.
        version: the version.
        resigned: 12 hex digits of the digest of a manifest that was signed again.
    """
    name = "manifest" if resigned is None else f"manifest.{resigned}"
    return f"{folder}/{version}/{name}.json"


def release_path(folder: str, version: str) -> str:
    """Where a version's release document stands in its plugin's folder."""
    return f"{folder}/{version}/release.json"


def plain_path(folder: str) -> str:
    """Where plain hosts find the manifest that the catalogue's line names: beside the plugin's folder."""
    return f"{folder}.json"


def version_file(path: str) -> VersionFile | None:
    """The parts of a path of a manifest or a release; None for any other path, such as one below another id's digits."""
    match = _VERSION_FILE.fullmatch(path)
    if match is None or match["folder"] not in plugin_folders(match["id"]):
        return None
    is_manifest = match["manifest"] is not None
    return VersionFile(match["id"], match["version"], is_manifest, match["folder"], match["resigned"])


def plain_file(path: str) -> str | None:
    """The id of the plugin whose plain manifest a path is; None for any other path."""
    match = _PLAIN_FILE.fullmatch(path)
    if match is None or path.removesuffix(".json") not in plugin_folders(match["id"]):
        return None
    return match["id"]


def served_path(path: str, digest: Digest) -> str:
    """Where a TUF target is served: below `targets/`, its name prefixed with its digest (TUF specification 6.2)."""
    folder, _, name = path.rpartition("/")
    return f"targets/{folder}/{digest.hex}.{name}" if folder else f"targets/{digest.hex}.{name}"
