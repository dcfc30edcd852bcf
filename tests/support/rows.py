"""Index lines and standings for tests that need no keys."""

from __future__ import annotations

from typing import Any

from registry_client.digest import Digest
from registry_client.jsontext import dump_line
from registry_client.models.blocks import Block
from registry_client.models.index import IndexLine
from registry_client.models.release import Release

TIME = "2026-01-31T12:00:00Z"


def payload_digest(plugin_id: str, version: str) -> Digest:
    """A payload digest that is this version's alone."""
    return Digest.of(f"{plugin_id} {version}".encode())


def row(plugin_id: str, version: str, **more: Any) -> dict[str, Any]:
    """An index line as a shard has it."""
    return {
        "id": plugin_id,
        "version": version,
        "manifest": {
            "path": f"plugins/{plugin_id}/{version}/manifest.json",
            "digest": Digest.of(f"file {plugin_id} {version}".encode()),
            "size": 1000,
            "payloadDigest": payload_digest(plugin_id, version),
        },
        "publisher": "acme",
        "publishedAt": TIME,
        "initialStatus": "released",
        **more,
    }


def line(plugin_id: str, version: str, **more: Any) -> IndexLine:
    """An index line, validated."""
    return IndexLine.model_validate_json(dump_line(row(plugin_id, version, **more)))


def release(plugin_id: str, version: str, **more: Any) -> Release:
    """A release document, validated; its signature is not a real one."""
    document = {
        "kind": "release",
        "schemaVersion": 1,
        "registry": "acme",
        "id": plugin_id,
        "version": version,
        "manifest": payload_digest(plugin_id, version),
        "revision": 1,
        "status": "released",
        "rollout": 100,
        "push": True,
        "signatures": [{"keyid": "0" * 64, "sig": "00"}],
        **more,
    }
    return Release.model_validate_json(dump_line(document))


def block(plugin_id: str, versions: str, **more: Any) -> Block:
    """A block, validated."""
    document = {
        "id": plugin_id,
        "versions": versions,
        "action": "hide",
        "reason": "a flaw",
        "since": TIME,
        **more,
    }
    return Block.model_validate_json(dump_line(document))
