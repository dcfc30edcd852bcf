"""What each stolen key can do, and how a registry and its hosts recover."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve
from tuf.api.metadata import MetaFile

from publisher.maintain import policy
from publisher.set_status import Change
from publisher.sign_file import sign_file
from publisher.signing import public_key_object
from publisher.tree import DirTree
from publisher.tuf_repository import (
    add_target,
    dump_metadata,
    latest_version,
    metadata_path,
    read_metadata,
)
from registry_client.digest import Digest
from registry_client.errors import NotFoundError, RegistryError, SignatureError, YankedError
from registry_client.jsontext import dump_json, dump_line, payload_digest_of
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry_client.client import RegistryClient

HUGE = 2**53 - 2


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with two versions of one plugin; the first is yanked."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.write_manifest("calendar", "1.1.0", "acme")
    kept.register()
    kept.write_release("calendar", "1.0.0", "acme", Change(ReleaseStatus.YANKED, reason="loses events"))
    kept.register()
    return kept


@pytest.fixture
def url(kept: Kept) -> Iterator[str]:
    """Where it is served."""
    with serve(kept.folder) as url:
        yield url


@pytest.fixture
def host(kept: Kept, url: str, tmp_path: Path) -> RegistryClient:
    """A host that has read the registry before anything goes wrong."""
    client = kept.client(url, tmp_path / "host")
    assert client.resolve("calendar").manifest.model.version == "1.1.0"
    return client


def fresh(kept: Kept, url: str, name: str = "fresh") -> RegistryClient:
    """A host that sees the registry for the first time."""
    return kept.client(url, kept.folder.parent / name)


class Thief:
    """Has the online key, and write access to what is served.

    Args:
        kept: the registry.
    """

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.tree = DirTree(kept.folder)
        self.key = kept.signer("online")

    def publish(self, shards: dict[str, bytes], version: int = HUGE) -> None:
        """Sign an index of their own, with huge versions throughout."""
        folder = self.kept.folder
        registrar = read_metadata(self.tree, "registrar", latest_version(self.tree, "registrar"))
        for path, data in shards.items():
            copy = folder / add_target(registrar.signed, path, data)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
        registrar.signed.version = version
        registrar.sign(self.key)
        data = dump_metadata("registrar", registrar)
        (folder / metadata_path("registrar", version)).write_bytes(data)
        snapshot = read_metadata(self.tree, "snapshot", latest_version(self.tree, "snapshot"))
        snapshot.signed.version = version
        snapshot.signed.meta["registrar.json"] = MetaFile.from_data(version, data, ["sha256"])
        snapshot.sign(self.key)
        data = dump_metadata("snapshot", snapshot)
        (folder / metadata_path("snapshot", version)).write_bytes(data)
        timestamp = read_metadata(self.tree, "timestamp", 0)
        timestamp.signed.version = version
        timestamp.signed.snapshot_meta = MetaFile.from_data(version, data, ["sha256"])
        timestamp.sign(self.key)
        (folder / "metadata" / "timestamp.json").write_bytes(dump_metadata("timestamp", timestamp))

    def rows(self) -> tuple[str, list[dict[str, object]]]:
        """The one shard's path, and its rows."""
        path = next(path for path in self.tree.paths("targets/index"))
        name = f"index/{path.rpartition('/')[2].partition('.')[2]}"
        registrar = read_metadata(self.tree, "registrar", latest_version(self.tree, "registrar")).signed
        digest = registrar.targets[name].hashes["sha256"]
        data = json.loads(self.tree.read(f"targets/index/{digest}.{name.removeprefix('index/')}") or b"")
        head, rows = next((k, v) for k, v in data.items() if isinstance(v, list))
        self.head = {key: value for key, value in data.items() if key != head} | {head: None}
        self.member = head
        return name, rows

    def shard(self, rows: list[dict[str, object]]) -> bytes:
        """A shard in the form of the original."""
        return dump_json({**self.head, self.member: rows})


class TestStolenOnlineKey:
    """The registrar's key."""

    def test_hosts_that_saw_huge_versions_recover(self, kept: Kept, url: str, host: RegistryClient) -> None:
        """Versions near 2^53 are seen and stored; after `rotate online --compromised` the same host reads on, from 1."""
        Thief(kept).publish({})
        assert host.refresh().source is not None
        stored = json.loads((host.session.store.metadata / "timestamp.json").read_bytes())
        assert stored["signed"]["version"] == HUGE
        victim = fresh(kept, url, "victim")
        victim.refresh()

        kept.new_key("online-2")
        kept.pass_time(hours=2)
        kept.rotate("online", "root-1", "root-2", "targets", add=("online-2",), compromised=True)
        kept.write_manifest("calendar", "1.2.0", "acme")
        kept.register("online-2")
        for client in (host, victim, fresh(kept, url)):
            assert client.refresh().source is not None
            assert client.resolve("calendar").manifest.model.version == "1.2.0"
        assert kept.warnings == []
        for role in ("registrar", "snapshot"):
            assert latest_version(DirTree(kept.folder), role) == 1
        assert kept.audit().findings == ()

    def test_what_it_signed_counts_for_nothing_afterwards(
        self, kept: Kept, url: str, host: RegistryClient
    ) -> None:
        """The thief goes on serving metadata signed with the old key: every host refuses it."""
        kept.new_key("online-2")
        old = {path: data for path, data in kept.files().items() if path.startswith("metadata/")}
        kept.rotate("online", "root-1", "root-2", "targets", add=("online-2",), compromised=True)
        kept.register("online-2")
        host.refresh()
        for path, data in old.items():
            if "root" not in path:
                (kept.folder / path).write_bytes(data)
        for client in (host, fresh(kept, url)):
            with pytest.raises(SignatureError):
                client.refresh()

    def test_it_cannot_forge_a_plugin(self, kept: Kept, url: str, host: RegistryClient) -> None:
        """A manifest that no publisher's key signed is refused, whatever the index says of it."""
        thief = Thief(kept)
        name, rows = thief.rows()
        path = kept.write_manifest("calendar", "6.6.6", "online")
        data = path.read_bytes()
        manifest = {
            "path": "plugins/calendar/6.6.6/manifest.json",
            "digest": Digest.of(data),
            "size": len(data),
            "payloadDigest": payload_digest_of(json.loads(data)),
        }
        thief.publish({name: thief.shard([*rows, {**rows[-1], "version": "6.6.6", "manifest": manifest}])})
        for client in (host, fresh(kept, url)):
            with pytest.raises(SignatureError, match="is not a key of this publisher"):
                client.resolve("calendar", "==6.6.6")

    def test_it_cannot_lift_a_yank_for_those_who_saw_it(self, kept: Kept, host: RegistryClient) -> None:
        """Leaving the release out is a rollback for hosts that know it; one of its own making is not signed."""
        host.versions("calendar")
        thief = Thief(kept)
        name, rows = thief.rows()
        without = [{k: v for k, v in row.items() if k != "release"} for row in rows]
        thief.publish({name: thief.shard(without)})
        with pytest.raises(RegistryError, match="seen before"):
            host.resolve("calendar", "==1.0.0")

    def test_it_cannot_widen_a_release(self, kept: Kept, url: str) -> None:
        """An edited release document does not verify, also for a host that knows nothing."""
        thief = Thief(kept)
        name, rows = thief.rows()
        for row in rows:
            if "release" in row:
                row["release"] = json.loads(dump_line(row["release"]).replace("yanked", "released"))
        thief.publish({name: thief.shard(rows)})
        with pytest.raises(RegistryError):
            fresh(kept, url).resolve("calendar", "==1.0.0")

    def test_it_cannot_lift_a_block(self, kept: Kept, url: str, host: RegistryClient) -> None:
        """blocks.json is signed by the maintainers; an index signed with the stolen key cannot leave it out or change it."""
        kept.block("calendar", ">=0")
        kept.register()
        with pytest.raises(YankedError):
            host.resolve("calendar")
        forged = dump_json({"kind": "blocks", "schemaVersion": 1, "blocks": []})
        Thief(kept).publish({"blocks.json": forged})
        for client in (host, fresh(kept, url)):
            with pytest.raises(YankedError):
                client.resolve("calendar")


class TestRetiredKey:
    """A publisher changes keys in good order."""

    def test_old_versions_still_verify(self, kept: Kept, url: str, host: RegistryClient) -> None:
        """Manifests and releases of the retired key count on; its new ones do not; the new key's do."""
        second = kept.new_key("acme-2").public_key
        with kept.edit("targets") as desk:
            policy.add_key(desk, "acme", second.keyid, public_key_object(second))
            policy.retire_key(desk, "acme", kept.keyid("acme"))
        kept.write_manifest("calendar", "1.2.0", "acme-2")
        assert kept.register().refused == []
        refused = kept.write_manifest("calendar", "1.3.0", "acme")
        assert [o.submission.version for o in kept.register().refused] == ["1.3.0"]
        refused.unlink()
        for client in (host, fresh(kept, url)):
            assert client.manifest("calendar", "1.1.0").model.version == "1.1.0"
            assert client.resolve("calendar").manifest.model.version == "1.2.0"
            with pytest.raises(YankedError, match="loses events"):
                client.resolve("calendar", "==1.0.0")
        kept.write_release("calendar", "1.1.0", "acme-2", Change(ReleaseStatus.DEPRECATED, reason="old"))
        assert kept.register().refused == []


class TestStolenPublisherKey:
    """A publisher's key is stolen, and revoked."""

    def test_it_reaches_only_that_publishers_ids(self, kept: Kept) -> None:
        """Another publisher's plugin signed with it is refused, and so is an id that nobody may publish."""
        kept.add_publisher("globex", "globex", "maps")
        kept.write_manifest("maps", "1.0.0", "acme")
        kept.write_manifest("unclaimed", "1.0.0", "acme")
        assert {o.submission.id for o in kept.register().refused} == {"maps", "unclaimed"}

    def test_revoked_versions_do_not_count_until_they_are_signed_again(
        self, kept: Kept, url: str, host: RegistryClient
    ) -> None:
        """They are quarantined for all hosts at once; signed by the new key they are back, with the same identity."""
        before = host.resolve("calendar").manifest.payload_digest
        second = kept.new_key("acme-2").public_key
        with kept.edit("targets") as desk:
            policy.add_key(desk, "acme", second.keyid, public_key_object(second))
            policy.revoke_key(desk, "acme", kept.keyid("acme"), "stolen")
        kept.register(allow_loss=2)
        for client in (host, fresh(kept, url)):
            with pytest.raises((YankedError, NotFoundError)):
                client.resolve("calendar")
            with pytest.raises(YankedError, match="quarantined"):
                client.resolve("calendar", "==1.1.0")

        folder = kept.folder / "plugins" / "calendar" / "1.1.0"
        sign_file(folder / "manifest.json", kept.signer("acme-2"))
        assert kept.register().refused == []
        for client in (host, fresh(kept, url, "fresh-2")):
            assert client.resolve("calendar").manifest.payload_digest == before
            with pytest.raises(RegistryError):
                client.resolve("calendar", "==1.0.0")

        folder = kept.folder / "plugins" / "calendar" / "1.0.0"
        for name in ("manifest.json", "release.json"):
            sign_file(folder / name, kept.signer("acme-2"))
        assert kept.register().refused == []
        for client in (host, fresh(kept, url, "fresh-3")):
            with pytest.raises(YankedError, match="loses events"):
                client.resolve("calendar", "==1.0.0")
        assert [f for f in kept.audit().findings if f.level == "error"] == []

    def test_what_the_thief_published_is_blocked_by_digest(self, kept: Kept, host: RegistryClient) -> None:
        """Before anything is revoked, the maintainers on call stop the version that the thief published."""
        kept.write_manifest("calendar", "1.2.0", "acme", description="evil")
        kept.register()
        evil = host.resolve("calendar").manifest
        assert evil.model.version == "1.2.0"
        with kept.edit("blocks") as desk:
            entry = {
                "id": "calendar",
                "versions": "<0",
                "digests": [str(evil.payload_digest)],
                "action": "disable",
                "reason": "stolen key",
            }
            assert policy.block(desk, entry) == ["1.2.0"]
        kept.register()
        assert host.resolve("calendar").manifest.model.version == "1.1.0"
        with pytest.raises(YankedError, match="stolen key"):
            host.resolve("calendar", "==1.2.0")


class TestStolenBlocksKey:
    """The key on call."""

    def test_it_is_rotated_and_its_blocks_can_be_lifted(
        self, kept: Kept, url: str, host: RegistryClient
    ) -> None:
        """The thief blocked everything; the maintainers rotate the key and lift the block with the new one."""
        kept.block("calendar", ">=0", "uninstall", "mischief")
        kept.register()
        with pytest.raises(YankedError, match="mischief"):
            host.resolve("calendar")
        kept.new_key("blocks-2")
        kept.rotate("blocks", "targets", "blocks-2", add=("blocks-2",), compromised=True)
        with kept.edit("blocks-2") as desk:
            assert policy.unblock(desk, "calendar", None) == ["1.0.0", "1.1.0"]
        kept.register()
        for client in (host, fresh(kept, url)):
            assert client.resolve("calendar").manifest.model.version == "1.1.0"
        assert kept.audit().findings == ()
