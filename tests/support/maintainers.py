"""A registry as its maintainers keep it: made, signed and rotated by the product's own functions, on a clock that tests move."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from publisher.authority import load_root
from publisher.documents import sign_document
from publisher.maintain import init as maker
from publisher.maintain import policy
from publisher.maintain.desk import Desk
from publisher.maintain.renew import Renewal, renew
from publisher.maintain.rotate import rotate
from publisher.registrar.run import Options, Run, register
from publisher.set_status import Change, build_release
from publisher.signing import generate_key, load_signer, public_key_object, write_private_key
from publisher.tree import DirTree, write_changes
from publisher.watch.audit import Report, audit
from registry_client.client import RegistryClient
from registry_client.jsontext import dump_json, parse_json
from registry_client.resolve import Host
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer
    from tuf.api.metadata import Root

START = datetime(2030, 1, 15, 12, 0, tzinfo=UTC)
ROLES = ("root-1", "root-2", "root-3", "targets", "blocks", "online")


@dataclass
class Kept:
    """A registry in a folder, its keys in another, and the time.

    Attributes:
        folder: the registry.
        keys: private key files by name: `root-1` … `online`, then those that tests add.
        now: the time.
        warnings: what clients made by `client` were told.
    """

    folder: Path
    keys: dict[str, Path]
    now: datetime = START
    warnings: list[str] = field(default_factory=list)

    def pass_time(self, **span: float) -> None:
        """Move the clock on."""
        self.now += timedelta(**span)

    def new_key(self, name: str) -> Signer:
        """Make another key."""
        pem, _ = generate_key()
        path = self.folder.parent / "keys" / f"{name}.pem"
        write_private_key(path, pem)
        self.keys[name] = path
        return self.signer(name)

    def signer(self, name: str) -> Signer:
        """The signer of a key."""
        return load_signer(str(self.keys[name]), environ={})

    def keyid(self, name: str) -> str:
        """The keyid of a key."""
        return self.signer(name).public_key.keyid

    # -- maintaining --------------------------------------------------------------------------------------------

    def desk(self, *names: str) -> Desk:
        """A desk with these keys."""
        return Desk(self.folder, [self.signer(name) for name in names], self.now)

    @contextmanager
    def edit(self, *names: str) -> Iterator[Desk]:
        """A desk whose changes are saved if nothing is raised."""
        desk = self.desk(*names)
        yield desk
        desk.save()

    def add_publisher(self, publisher: str, key: str, *plugins: str, threshold: int = 1) -> None:
        """Allow a publisher with one key, made if it is not there yet."""
        signer = self.signer(key) if key in self.keys else self.new_key(key)
        change = policy.PublisherChange(threshold=threshold, add_plugins=plugins)
        keys = {signer.public_key.keyid: public_key_object(signer.public_key)}
        with self.edit("targets") as desk:
            policy.add_publisher(desk, publisher, publisher.title(), keys, change)

    def block(
        self, plugin_id: str, versions: str, action: str = "disable", reason: str = "a flaw"
    ) -> list[str]:
        """Block versions. Returns those that match."""
        with self.edit("blocks") as desk:
            entry = {"id": plugin_id, "versions": versions, "action": action, "reason": reason}
            return policy.block(desk, entry)

    def renew(self, *names: str, force: bool = False, roles: tuple[str, ...] = ()) -> dict[str, str]:
        """Renew with these keys. Returns what became of each role."""
        with self.edit(*names) as desk:
            found: list[Renewal] = renew(desk, force=force, **({"roles": roles} if roles else {}))
        return {item.role: item.result for item in found}

    def rotate(
        self,
        role: str,
        *names: str,
        add: tuple[str, ...] = (),
        drop: tuple[str, ...] = (),
        compromised: bool = False,
        threshold: int | None = None,
    ) -> list[str]:
        """Rotate with these keys. Returns what was staged."""
        with self.edit(*names) as desk:
            rotate(
                desk,
                role,
                [self.signer(name).public_key for name in add],
                [self.keyid(name) for name in drop],
                compromised=compromised,
                threshold=threshold,
            )
        return desk.repository.staged

    def audit(self) -> Report:
        """Audit the folder."""
        return audit(DirTree(self.folder), self.pinned, self.now, allow_dev_keys=False)

    # -- publishing ---------------------------------------------------------------------------------------------

    def write_manifest(self, plugin_id: str, version: str, *names: str, **members: Any) -> Path:
        """Put a signed manifest where the registrar finds it."""
        raw = {
            "kind": "manifest",
            "schemaVersion": 1,
            "id": plugin_id,
            "name": plugin_id.title(),
            "version": version,
            "initialStatus": "released",
            "ui": {"remoteEntry": f"https://cdn.example/{plugin_id}/{version}.js", "expose": "./App"},
            **members,
        }
        path = self.folder / "plugins" / plugin_id / version / "manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump_json(sign_document(raw, [self.signer(name) for name in names])))
        return path

    def write_release(self, plugin_id: str, version: str, key: str, change: Change) -> Path:
        """Put a signed release where the registrar finds it."""
        folder = self.folder / "plugins" / plugin_id / version
        path = folder / "release.json"
        current = parse_json(path.read_bytes(), limit=10**6, where="") if path.exists() else None
        manifest = parse_json((folder / "manifest.json").read_bytes(), limit=10**6, where="")
        raw = build_release(manifest, current, change, "registry.example", self.now)
        path.write_bytes(dump_json(sign_document(raw, [self.signer(key)])))
        return path

    def register(self, key: str = "online", *, allow_loss: int | None = None, full: bool = False) -> Run:
        """Run the registrar over the folder and write what follows."""
        options = Options(self.pinned, [self.signer(key)], allow_loss=allow_loss, full=full)
        run = register(DirTree(self.folder), (), options, self.now)
        write_changes(self.folder, run.changes)
        return run

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def pinned(self) -> bytes:
        """The root of trust."""
        return (self.folder / "metadata" / "1.root.json").read_bytes()

    @property
    def root(self) -> Root:
        """The newest root."""
        return load_root(DirTree(self.folder), self.pinned)

    def client(self, url: str, home: Path, pinned: bytes | None = None) -> RegistryClient:
        """A host that asks again at every call, on the registry's clock."""
        return RegistryClient(
            url,
            root=pinned or self.pinned,
            directories=Directories.default(home),
            host=Host("0" * 32),
            ttl=0,
            clock=lambda: self.now,
            on_warning=self.warnings.append,
        )

    def files(self) -> dict[str, bytes]:
        """Every file of the registry."""
        tree = DirTree(self.folder)
        return {path: tree.read(path) or b"" for path in tree.paths("")}

    def fingerprint(self) -> str:
        """Equal as long as no file of the registry changed, appeared or went."""
        sha256 = hashlib.sha256()
        for path, data in self.files().items():
            sha256.update(f"{path} {len(data)}\n".encode() + data)
        return sha256.hexdigest()


def make_registry(where: Path, *, threshold: int = 2, roots: int = 3) -> Kept:
    """A new registry, empty but for publisher `acme` with key `acme`."""
    keys = maker.make_keys(where / "keys", roots, None)
    new = maker.NewRegistry(
        "https://registry.example", "registry.example", "Example", threshold, in_tree=True
    )
    folder = where / "registry"
    maker.write_registry(folder, maker.build_registry(new, maker.load_keys(keys, None), START))
    kept = Kept(folder, dict(keys))
    kept.add_publisher("acme", "acme", "calendar", "acme-*")
    kept.register()
    return kept
