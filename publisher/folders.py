"""Where a plugin's files stand in a registry that one publishes to, as its files show it. Not verified: the registrar decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.layout import is_crowded, plugin_folder, plugin_folders

if TYPE_CHECKING:
    from publisher.tree import Listing


def folder_in(tree: Listing, plugin_id: str) -> str:
    """The folder that holds a plugin's versions; of a plugin that has none, the one where the registrar would put the first."""
    plain, fanned = plugin_folders(plugin_id)
    top = tree.folders("plugins")
    if plugin_id in top and tree.folders(plain):
        return plain
    between = fanned.split("/")[1]
    if between in top and plugin_id in tree.folders(f"plugins/{between}"):
        return fanned
    return plugin_folder(plugin_id, fan_out=is_crowded(sum(not name.startswith("_") for name in top)))


__all__ = ["folder_in"]
