"""What someone with a registry's online key, and perhaps a publisher's, can make of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.documents import manifest, release, sign

from publisher.registrar.sharding import build_shards
from publisher.registrar.write import write_above
from publisher.tree import MemoryTree, Overlay
from publisher.tuf_repository import TufRepository, add_target, latest_version, read_metadata
from registry_client.digest import Digest
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.layout import served_path
from registry_client.models.index import TOP_BITS
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from securesystemslib.signer import Signer
    from support.world import World
    from tuf.api.metadata import Snapshot, Targets

Files = dict[str, bytes]
Rows = dict[str, list[dict[str, Any]]]


class Thief:
    """What someone with the registrar's online key can make of a registry."""

    def __init__(self, world: World, signer: Signer | None = None) -> None:
        self.world = world
        self.tree = Overlay(MemoryTree(world.snapshot()))
        self.repository = TufRepository(self.tree, [signer or world.keys.online], world.now)

    def files(self) -> Files:
        """Everything, with a new snapshot and timestamp over it."""
        write_above(self.repository, read_metadata(self.tree, "root", 1).signed)
        return self.served()

    def served(self) -> Files:
        """Everything as it stands."""
        return {path: self.tree.read(path) or b"" for path in self.tree.paths("")}

    def rows(self) -> Rows:
        """The index by plugin."""
        found: Rows = {}
        role: Targets = read_metadata(self.tree, "registrar", latest_version(self.tree, "registrar")).signed
        nodes = [
            (path, info.hashes["sha256"]) for path, info in role.targets.items() if path.startswith("index/")
        ]
        for path, digest in nodes:
            node = json.loads(self.tree.read(served_path(path, Digest.from_hex(digest))) or b"")
            nodes += [(shard_path(ref["bits"]), Digest(ref["digest"]).hex) for ref in node.get("shards", ())]
            for row in node.get("lines", ()):
                found.setdefault(row["id"], []).append(row)
        return found

    def index(self, change: Callable[[Rows], object]) -> Files:
        """The index with a change, signed as an honest registrar would."""
        rows = self.rows()
        change(rows)
        with self.repository.edit_targets("registrar") as role:
            for path in [path for path in role.targets if path.startswith("index/")]:
                del role.targets[path]
            for bits, data in build_shards(rows).items():
                if len(bits) <= TOP_BITS:
                    self.tree.write(add_target(role, shard_path(bits), data), data)
                else:
                    self.tree.write(served_path(shard_path(bits), Digest.of(data)), data)
        return self.files()


def line(rows: Rows, plugin_id: str, version: str) -> dict[str, Any]:
    """One line of the index."""
    return next(row for row in rows[plugin_id] if row["version"] == version)


def one_line(plugin_id: str, version: str, **members: Any) -> Callable[[World], Files]:
    """An index with other members in one line; None removes one."""

    def change(rows: Rows) -> None:
        row = line(rows, plugin_id, version)
        row.update(members)
        for name in [name for name, value in row.items() if value is None]:
            del row[name]

    return lambda world: Thief(world).index(change)


def forged_release(plugin_id: str, version: str, **members: Any) -> Callable[[World], Files]:
    """An index whose release of one version has other members under the old signature."""
    return lambda world: Thief(world).index(
        lambda rows: line(rows, plugin_id, version)["release"].update(members)
    )


def signed_release(plugin_id: str, version: str, signer: Signer, **members: Any) -> Callable[[World], Files]:
    """An index with a release that this key signed."""

    def change(rows: Rows) -> None:
        row = line(rows, plugin_id, version)
        about = release({"id": plugin_id, "version": version}, **members)
        row["release"] = sign({**about, "manifest": row["manifest"]["payloadDigest"]}, signer)

    return lambda world: Thief(world).index(change)


def new_manifest(plugin_id: str, version: str, signer: Signer, publisher: str) -> Callable[[World], Files]:
    """An index with a version that nobody published; its manifest carries a signature of this key."""

    def build(world: World) -> Files:
        thief = Thief(world)
        document = sign(manifest(id=plugin_id, version=version), signer)
        data = dump_json(document)
        path = f"plugins/{plugin_id}/{version}/manifest.json"
        thief.tree.write(path, data)
        row = {
            "id": plugin_id,
            "version": version,
            "manifest": {
                "path": path,
                "digest": Digest.of(data),
                "size": len(data),
                "payloadDigest": payload_digest_of(document),
            },
            "publisher": publisher,
            "publishedAt": "2026-03-01T12:00:00Z",
            "initialStatus": "released",
        }
        return thief.index(
            lambda rows: rows.update(
                {plugin_id: [r for r in rows.get(plugin_id, []) if r["version"] != version] + [row]}
            )
        )

    return build


def points_at(plugin_id: str, version: str) -> Callable[[World], Files]:
    """An index whose line of acme-calendar 1.0.0 names another published manifest."""

    def change(rows: Rows) -> None:
        line(rows, "acme-calendar", "1.0.0")["manifest"] = line(rows, plugin_id, version)["manifest"]

    return lambda world: Thief(world).index(change)


def blocks_signed_online(world: World) -> Files:
    """blocks.json emptied, its metadata signed with the online key."""
    thief = Thief(world)
    old = read_metadata(thief.tree, "blocks", latest_version(thief.tree, "blocks"))
    data = dump_json({"kind": "blocks", "schemaVersion": 1, "blocks": []})
    old.signed.version += 1
    thief.tree.write(add_target(old.signed, "blocks.json", data), data)
    old.sign(world.keys.online)
    thief.tree.write(f"metadata/{old.signed.version}.blocks.json", old.to_bytes())
    return thief.files()


def snapshot_with(change: Callable[[World, Snapshot], object]) -> Callable[[World], Files]:
    """A snapshot with a change, signed with the online key, and a timestamp over it."""

    def build(world: World) -> Files:
        thief = Thief(world)
        with thief.repository.edit_snapshot() as snapshot:
            change(world, snapshot)
        with thief.repository.edit_timestamp() as timestamp:
            timestamp.snapshot_meta = thief.repository.snapshot_info
        return thief.served()

    return build


def older_blocks(world: World, snapshot: Snapshot) -> None:
    """Name the first blocks metadata again."""
    snapshot.meta["blocks.json"] = type(snapshot.meta["blocks.json"]).from_data(
        1, world.tree.read("metadata/1.blocks.json") or b"", ["sha256"]
    )
