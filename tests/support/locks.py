"""Entries of locks, short to write."""

from __future__ import annotations

import hashlib
from typing import Any

from registry_client.installer.project.lockfile import Lock, LockedPlugin


def digest_of(text: str) -> str:
    """A digest made from a text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def locked(
    plugin_id: str,
    version: str = "1.0.0",
    *permissions: str,
    needs: dict[str, str] | None = None,
    **more: Any,
) -> LockedPlugin:
    """An entry out of the registry `main`; with `path`, out of a folder."""
    name = f"{plugin_id} {version} {more.pop('content', '')}"
    document: dict[str, Any] = {
        "id": plugin_id,
        "version": version,
        "artifact": {"name": f"{plugin_id}-{version}.zip", "digest": digest_of(name), "size": 1},
        "permissions": permissions,
    }
    if needs:
        document["requires"] = {"plugins": needs}
    if "path" in more:
        document["source"] = {"kind": "path", "path": more.pop("path")}
    else:
        document |= {
            "source": {"kind": "registry", "registry": "main"},
            "payloadDigest": digest_of(f"payload of {name}"),
            "publisher": "acme",
        }
    return LockedPlugin.model_validate({**document, **more})


def lock_of(*plugins: LockedPlugin, wanted: dict[str, str] | None = None) -> Lock:
    """A lock of these plugins; `wanted` by id, with ranges."""
    wishes = {
        name: {"source": {"kind": "registry", "registry": "main"}, "range": text}
        for name, text in (wanted or {}).items()
    }
    return Lock.model_validate({"plugins": plugins, "wanted": wishes})
