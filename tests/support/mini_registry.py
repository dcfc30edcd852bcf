"""A small, valid registry in a folder, made with the write side's own functions, and a server for it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner

from publisher.dev_keys import dev_key_pem
from publisher.registrar.sharding import build_shards
from publisher.signing import keyid_of, load_signer, public_key_object
from publisher.tree import DirTree, Overlay, write_changes
from publisher.tuf_repository import TufRepository, add_target, delegations
from registry_client.catalogue import CatalogueEntry
from registry_client.digest import Digest
from registry_client.jsontext import canonical_bytes, dump_json, dump_lines, payload_digest_of
from registry_client.layout import served_path
from registry_client.models.base import format_time
from registry_client.models.index import TOP_BITS
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer

REGISTRY = "test-registry"
TUF_ROLES = ("root", "targets", "blocks", "online")


def sign(document: dict[str, Any], *signers: Signer) -> dict[str, Any]:
    """The document with signatures over its payload in place of those it had."""
    bare = {name: value for name, value in document.items() if name != "signatures"}
    payload = canonical_bytes(bare)
    made = [signer.sign(payload) for signer in signers]
    return {**bare, "signatures": [{"keyid": one.keyid, "sig": one.signature} for one in made]}


@dataclass
class MiniRegistry:
    """What a registrar would have written.

    Attributes:
        folder: the registry's top folder.
        now: the time of the next signing.
        dev: sign the TUF roles and the plugins with development keys.
    """

    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    dev: bool = False
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    catalogue: dict[str, CatalogueEntry] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    days: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signers: dict[str, Signer] = {role: self._signer(role) for role in (*TUF_ROLES, "publisher")}
        self._maintained = False

    def _signer(self, role: str) -> Signer:
        if not self.dev:
            return CryptoSigner.generate_ed25519()
        name = {"root": "root-1"}.get(role, role)
        pem = dev_key_pem(name).decode()
        return load_signer("envvar:KEY", environ={"KEY": pem}, allow_dev_keys=True)

    @property
    def root(self) -> Path:
        """The root of trust to pin."""
        return self.folder / "metadata" / "1.root.json"

    def artifact(self, name: str, data: bytes, ecosystem: str = "custom") -> dict[str, Any]:
        """An in-tree artifact, as a manifest describes it."""
        digest = Digest.of(data)
        path = self.folder / "artifacts" / "sha256" / digest.hex / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        url = path.relative_to(self.folder).as_posix()
        return {"ecosystem": ecosystem, "url": url, "digest": digest, "size": len(data)}

    def publish(self, plugin_id: str, version: str, *, listed: bool = True, **members: Any) -> dict[str, Any]:
        """Write a signed manifest and its index line; a remote UI unless `members` say otherwise."""
        document = {
            "kind": "manifest",
            "schemaVersion": 1,
            "id": plugin_id,
            "name": plugin_id.replace("-", " ").title(),
            "version": version,
            "initialStatus": "released",
            **members,
        }
        if not document.keys() & {"ui", "server", "artifacts"}:
            document["ui"] = {
                "remoteEntry": f"https://cdn.example/{plugin_id}/{version}.js",
                "expose": "./App",
            }
        signed = sign(document, self.signers["publisher"])
        data = dump_json(signed)
        path = self.manifest_path(plugin_id, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        row = {
            "id": plugin_id,
            "version": version,
            "manifest": {
                "path": path.relative_to(self.folder).as_posix(),
                "digest": Digest.of(data),
                "size": len(data),
                "payloadDigest": payload_digest_of(signed),
            },
            "publisher": "acme",
            "publishedAt": format_time(self.now),
            "initialStatus": document["initialStatus"],
        }
        if "requires" in document:
            row["requires"] = document["requires"]
        self.rows.setdefault(plugin_id, []).append(row)
        if listed:
            self._list(document, path)
        return signed

    def _list(self, document: dict[str, Any], path: Path) -> None:
        self.catalogue[document["id"]] = CatalogueEntry(
            document["id"],
            document["name"],
            document["version"],
            f"https://registry.example/{path.relative_to(self.folder).as_posix()}",
            document.get("description", ""),
            publisher="acme",
        )

    def manifest_path(self, plugin_id: str, version: str) -> Path:
        """Where a manifest stands."""
        return self.folder / "plugins" / plugin_id / version / "manifest.json"

    def row(self, plugin_id: str, version: str) -> dict[str, Any]:
        """The index line of a version."""
        return next(row for row in self.rows[plugin_id] if row["version"] == version)

    def release(self, plugin_id: str, version: str, **members: Any) -> dict[str, Any]:
        """Put a signed release document into the index line of a version."""
        row = self.row(plugin_id, version)
        document = {
            "kind": "release",
            "schemaVersion": 1,
            "registry": REGISTRY,
            "id": plugin_id,
            "version": version,
            "manifest": row["manifest"]["payloadDigest"],
            "revision": row.get("release", {}).get("revision", 0) + 1,
            "status": "released",
            "rollout": 100,
            "push": True,
            **members,
        }
        row["release"] = sign(document, self.signers["publisher"])
        release: dict[str, Any] = row["release"]
        return release

    def block(self, plugin_id: str, versions: str, action: str, reason: str) -> None:
        """Block versions."""
        since = format_time(self.now)
        self.blocks.append(
            {"id": plugin_id, "versions": versions, "action": action, "reason": reason, "since": since}
        )

    def write(self) -> None:
        """Sign and write everything, as one batch."""
        tree = Overlay(DirTree(self.folder))
        repo = TufRepository(
            tree,
            self.signers.values(),
            self.now,
            {
                "root": 365,
                "targets": 180,
                "blocks": 180,
                "registrar": 21,
                "snapshot": 21,
                "timestamp": 7,
                **self.days,
            },
        )
        if not self._maintained:
            self._maintain(repo)
            self._maintained = True
        with repo.edit_targets("blocks") as blocks:
            self._target(
                tree, blocks, "blocks.json", {"kind": "blocks", "schemaVersion": 1, "blocks": self.blocks}
            )
        with repo.edit_targets("registrar") as registrar:
            registrar.targets.clear()
            head = {"version": "1", "lastUpdated": format_time(self.now)}
            rows = [entry.to_json() for _, entry in sorted(self.catalogue.items())]
            self._put(tree, registrar, "registry.json", dump_lines(head, "plugins", rows))
            for bits, data in build_shards(self.rows).items():
                if len(bits) <= TOP_BITS:
                    self._put(tree, registrar, shard_path(bits), data)
                else:  # named by its directory
                    tree.write(served_path(shard_path(bits), Digest.of(data)), data)
        repo.do_snapshot(force=True)
        repo.do_timestamp(force=True)
        write_changes(self.folder, tree.changes)

    def _maintain(self, repo: TufRepository) -> None:
        keys = {role: signer.public_key for role, signer in self.signers.items()}
        with repo.edit_root() as root:
            for role, owner in (
                ("root", "root"),
                ("targets", "targets"),
                ("snapshot", "online"),
                ("timestamp", "online"),
            ):
                root.add_key(keys[owner], role)
        with repo.edit_targets() as targets:
            targets.delegations = delegations([keys["blocks"]], [keys["online"]])
            self._target(repo.tree, targets, "policy.json", self._policy())
            self._target(repo.tree, targets, "publishers/acme.json", self._publisher())

    def _policy(self) -> dict[str, Any]:
        return {
            "kind": "policy",
            "schemaVersion": 1,
            "registry": REGISTRY,
            "name": "Test registry",
            "baseUrl": "http://127.0.0.1:9",
            "artifacts": {"inTree": True},
        }

    def _publisher(self) -> dict[str, Any]:
        key = self.signers["publisher"].public_key
        return {
            "kind": "publisher",
            "schemaVersion": 1,
            "id": "acme",
            "name": "Acme",
            "keys": {keyid_of(key): public_key_object(key)},
            "threshold": 1,
            "plugins": ["calendar", "notes", "acme-*"],
        }

    def _target(self, tree: Overlay, role: Any, path: str, document: dict[str, Any]) -> None:
        self._put(tree, role, path, dump_json(document))

    def _put(self, tree: Overlay, role: Any, path: str, data: bytes) -> None:
        tree.write(add_target(role, path, data), data)
        tree.write(path, data)

    def expire(self) -> None:
        """Write the online roles anew as they would stand after a month without a registrar."""
        self.now -= timedelta(days=30)
        self.write()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP; gives the base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
