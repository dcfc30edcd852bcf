"""Read a plugin registry: a static, Git-hosted set of signed JSON files.

client = RegistryClient("https://raw.example/acme/registry/main", root="root.json")
for entry in client.search("calendar"):
print(entry.id, entry.version)
client.download(client.resolve("calendar", ">=1,<2").manifest, Path("plugins"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry_client.catalogue import CatalogueEntry
    from registry_client.client import RegistryClient, Resolution
    from registry_client.digest import Digest
    from registry_client.errors import PluginWarning, RegistryError
    from registry_client.installer.installer import Consent, Installer
    from registry_client.installer.registries import Access
    from registry_client.resolve import Host, Update, VersionInfo
    from registry_client.signed import VerifiedManifest
    from registry_client.store import Directories

_HOME = {
    "Access": "installer.registries",
    "CatalogueEntry": "catalogue",
    "Consent": "installer.installer",
    "Digest": "digest",
    "Directories": "store",
    "Host": "resolve",
    "Installer": "installer.installer",
    "PluginWarning": "errors",
    "RegistryClient": "client",
    "RegistryError": "errors",
    "Resolution": "client",
    "Update": "resolve",
    "VerifiedManifest": "signed",
    "VersionInfo": "resolve",
}

__all__ = [
    "Access",
    "CatalogueEntry",
    "Consent",
    "Digest",
    "Directories",
    "Host",
    "Installer",
    "PluginWarning",
    "RegistryClient",
    "RegistryError",
    "Resolution",
    "Update",
    "VerifiedManifest",
    "VersionInfo",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a host that only searches loads no more than that."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"registry_client.{_HOME[name]}"), name)
