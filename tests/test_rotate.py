"""`publisher registry rotate`: routine under a live client, after a compromise, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve

from publisher.maintain import policy
from publisher.maintain.rotate import rotate
from publisher.sign_file import sign_file
from publisher.tree import DirTree
from publisher.tuf_repository import latest_version, read_metadata
from registry_client.errors import ConfigError, RegistrarError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_client.client import RegistryClient

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A registry with one plugin."""
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    return kept


@pytest.fixture
def live(kept: Kept, tmp_path: Path) -> Iterator[RegistryClient]:
    """A host that has read the registry and keeps its state; it reads over HTTP."""
    with serve(kept.folder) as url:
        client = kept.client(url, tmp_path / "home")
        read(client, kept)
        yield client


def read(client: RegistryClient, kept: Kept, version: str = "1.0.0") -> None:
    """The host refreshes, resolves and verifies, without a single warning; so does a fresh one."""
    assert client.refresh().source is not None
    assert client.manifest("calendar", version).model.version == version
    fresh = kept.client(client.session.urls[0], kept.folder.parent / f"fresh-{kept.now.timestamp()}")
    assert fresh.resolve("calendar").manifest.model.id == "calendar"
    assert kept.warnings == []


def keyids(kept: Kept, role: str) -> set[str]:
    """The keyids that stand for a role in the newest metadata."""
    if role in {"blocks", "registrar"}:
        tree = DirTree(kept.folder)
        targets = read_metadata(tree, "targets", latest_version(tree, "targets")).signed
        return set(targets.get_delegated_role(role).keyids)
    return set(kept.root.roles[role].keyids)


class TestRoutine:
    """Add the new key, sign with it, drop the old one: a live host reads between all steps."""

    def test_online(self, kept: Kept, live: RegistryClient) -> None:
        """The registrar's key: the only one that signs daily."""
        kept.new_key("online-2")
        steps: tuple[Callable[[], object], ...] = (
            lambda: kept.rotate("online", "root-1", "root-2", "targets", add=("online-2",)),
            kept.register,
            lambda: kept.renew("online-2", force=True),
            lambda: kept.rotate("online", "root-1", "root-2", "targets", drop=("online",)),
            lambda: kept.register("online-2"),
        )
        for step in steps:
            step()
            read(live, kept)
            kept.pass_time(hours=1)
        for role in ("registrar", "snapshot", "timestamp"):
            assert keyids(kept, role) == {kept.keyid("online-2")}
        kept.write_manifest("calendar", "1.1.0", "acme")
        with pytest.raises(ConfigError, match="not the registry's online key"):
            kept.register("online")
        kept.register("online-2")
        assert kept.audit().findings == ()

    @pytest.mark.parametrize("online", [True, False])
    def test_targets(self, kept: Kept, live: RegistryClient, online: bool) -> None:
        """The maintainers' key, with the registrar's key at hand and without it."""
        kept.new_key("targets-2")
        more = ("online",) if online else ()
        steps: tuple[Callable[[], object], ...] = (
            lambda: kept.rotate("targets", "root-1", "root-2", add=("targets-2",)),
            lambda: kept.renew("targets-2", *more, force=True, roles=("targets", "snapshot", "timestamp")),
            kept.register,
            lambda: kept.rotate("targets", "root-1", "root-2", *more, drop=("targets",)),
            kept.register,
        )
        for step in steps:
            step()
            read(live, kept)
            kept.pass_time(hours=1)
        assert keyids(kept, "targets") == {kept.keyid("targets-2")}
        assert kept.audit().findings == ()

    def test_blocks(self, kept: Kept, live: RegistryClient) -> None:
        """The key on call; blocks stay in force throughout."""
        kept.new_key("blocks-2")
        kept.block("calendar", "<1")
        kept.register()
        steps: tuple[Callable[[], object], ...] = (
            lambda: kept.rotate("blocks", "targets", add=("blocks-2",)),
            lambda: kept.renew("blocks-2", force=True),
            kept.register,
            lambda: kept.rotate("blocks", "targets", drop=("blocks",)),
            kept.register,
        )
        for step in steps:
            step()
            read(live, kept)
            assert [block.versions for block in live.blocked("calendar", "0.9.0")] == ["<1"]
            kept.pass_time(hours=1)
        assert keyids(kept, "blocks") == {kept.keyid("blocks-2")}
        with pytest.raises(ConfigError, match="no key of role blocks"):
            kept.block("calendar", "<2")

    def test_root(self, kept: Kept, live: RegistryClient) -> None:
        """One of three root keys is replaced; two of the old sign it, and the new one signs the next."""
        kept.new_key("root-4")
        kept.rotate("root", "root-1", "root-2", add=("root-4",))
        read(live, kept)
        kept.rotate("root", "root-1", "root-4", drop=("root-3",))
        read(live, kept)
        assert keyids(kept, "root") == {kept.keyid(name) for name in ("root-1", "root-2", "root-4")}
        kept.register()
        read(live, kept)
        assert kept.audit().findings == ()

    def test_many_roots(self, kept: Kept, live: RegistryClient) -> None:
        """A host that pinned the first root, live or asleep all the time, walks a chain of twenty-five."""
        asleep = kept.client(live.session.urls[0], kept.folder.parent / "asleep")
        asleep.refresh()
        for number in range(25):
            kept.new_key(f"other-{number}")
            gone = f"other-{number - 1}" if number else "root-3"
            kept.rotate("root", "root-1", "root-2", add=(f"other-{number}",), drop=(gone,))
            if number % 10 == 0:
                kept.pass_time(minutes=1)
                read(live, kept)
        assert latest_version(DirTree(kept.folder), "root") == 26
        kept.pass_time(minutes=1)
        read(asleep, kept)
        assert kept.audit().findings == ()


class TestCompromised:
    """All keys of a role go at once."""

    def test_online(self, kept: Kept, live: RegistryClient) -> None:
        """The index is made anew out of signed documents; live and fresh hosts read on."""
        kept.new_key("online-2")
        kept.write_manifest("calendar", "1.1.0", "acme")
        kept.rotate("online", "root-1", "root-2", "targets", add=("online-2",), compromised=True)
        assert not list(kept.folder.glob("metadata/*.registrar.json"))
        kept.register("online-2")
        read(live, kept, "1.1.0")
        for role in ("registrar", "snapshot", "timestamp"):
            assert keyids(kept, role) == {kept.keyid("online-2")}
        assert kept.audit().findings == ()

    def test_targets(self, kept: Kept, live: RegistryClient) -> None:
        """The maintainers' statements are signed anew with the new key."""
        kept.new_key("targets-2")
        names = ("root-1", "root-2", "targets-2", "online")
        kept.rotate("targets", *names, add=("targets-2",), compromised=True)
        read(live, kept)
        assert keyids(kept, "targets") == {kept.keyid("targets-2")}
        assert kept.audit().findings == ()

    def test_blocks(self, kept: Kept, live: RegistryClient) -> None:
        """The blocks are signed anew with the new key."""
        kept.new_key("blocks-2")
        kept.rotate("blocks", "targets", "blocks-2", "online", add=("blocks-2",), compromised=True)
        read(live, kept)
        assert keyids(kept, "blocks") == {kept.keyid("blocks-2")}
        assert kept.audit().findings == ()

    def test_root(self, kept: Kept, live: RegistryClient) -> None:
        """Three new root keys; the old ones sign their own end."""
        new = ("new-1", "new-2", "new-3")
        for name in new:
            kept.new_key(name)
        kept.rotate("root", "root-1", "root-2", *new, add=new, compromised=True)
        read(live, kept)
        assert keyids(kept, "root") == {kept.keyid(name) for name in new}
        with pytest.raises(ConfigError, match="no key of role root"):
            kept.rotate("root", "root-1", "root-2", add=("root-1",))

    def test_targets_with_root_keys_in_different_hands(self, kept: Kept, live: RegistryClient) -> None:
        """Root and targets wait together and are served together, so no version of the tree is a dead end."""
        kept.new_key("targets-2")
        version = latest_version(DirTree(kept.folder), "targets")
        staged = kept.rotate("targets", "root-1", "targets-2", add=("targets-2",), compromised=True)
        assert staged == ["staging/2.root.json", f"staging/{version + 1}.targets.json"]
        read(live, kept)
        kept.register()
        read(live, kept)
        assert sign_file(kept.folder / "staging" / "2.root.json", kept.signer("root-3")).complete is True
        assert list((kept.folder / "staging").iterdir()) == []
        kept.register()
        read(live, kept)
        assert keyids(kept, "targets") == {kept.keyid("targets-2")}
        assert kept.audit().findings == ()

    def test_a_complete_root_waits_for_targets_signed_with_its_key(self, kept: Kept) -> None:
        """A root that would leave targets without a valid signature is held back until that is there."""
        kept.new_key("targets-2")
        kept.rotate("targets", "root-1", "targets-2", add=("targets-2",), compromised=True)
        with kept.edit("targets") as desk:  # someone with the old key only; the staged content is built upon
            policy.change_publisher(desk, "acme", policy.PublisherChange("Acme Ltd"))
        done = sign_file(kept.folder / "staging" / "2.root.json", kept.signer("root-2"))
        assert (done.complete, done.path.parent.name) == (True, "staging")
        kept.register()
        kept.renew("targets-2", force=True, roles=("targets",))
        assert not list(kept.folder.glob("staging/*"))
        assert keyids(kept, "targets") == {kept.keyid("targets-2")}
        kept.register()
        assert kept.audit().findings == ()
        assert json.loads((kept.folder / "publishers" / "acme.json").read_bytes())["name"] == "Acme Ltd"

    def test_online_with_root_keys_in_different_hands(self, kept: Kept, live: RegistryClient) -> None:
        """Nothing changes for hosts until the root is complete; the same command again then makes the index anew."""
        kept.new_key("online-2")
        staged = kept.rotate("online", "root-1", "targets", add=("online-2",), compromised=True)
        assert staged == ["staging/2.root.json"]
        read(live, kept)
        sign_file(kept.folder / "staging" / "2.root.json", kept.signer("root-2"))
        assert kept.rotate("online", "online-2", add=("online-2",), compromised=True) == []
        kept.register("online-2")
        read(live, kept)
        assert kept.audit().findings == ()


class TestCeremony:
    """A new root needs two of three keys, which lie with different people."""

    @staticmethod
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `publisher` in a process of its own."""
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SOURCE_DATE_EPOCH": "1894708800"}
        command = [sys.executable, "-m", "publisher.cli.main", *arguments, "--json"]
        return subprocess.run(command, env=environ, text=True, capture_output=True, check=False)

    def test_two_processes(self, kept: Kept, live: RegistryClient) -> None:
        """The first signature stages the root, which hosts do not see; the second serves it."""
        new = kept.new_key("root-4").public_key
        public = kept.folder.parent / "root-4.json"
        public.write_text(
            json.dumps(
                {
                    "keyid": new.keyid,
                    "key": {"keytype": new.keytype, "scheme": new.scheme, "keyval": dict(new.keyval)},
                }
            )
        )
        folder, add = str(kept.folder), str(public)
        first = self.command(
            "registry", "rotate", folder, "root", "--add", add, "--key", str(kept.keys["root-1"])
        )
        assert first.returncode == 0, first.stdout
        assert json.loads(first.stdout)["staged"] == ["staging/2.root.json"]
        assert not (kept.folder / "metadata" / "2.root.json").exists()
        read(live, kept)

        staged = kept.folder / "staging" / "2.root.json"
        again = self.command("sign", str(staged), "--key", str(kept.keys["root-1"]))
        assert (json.loads(again.stdout)["signatures"], json.loads(again.stdout)["complete"]) == (1, False)
        stranger = self.command("sign", str(staged), "--key", str(kept.keys["online"]))
        assert stranger.returncode == 3

        second = self.command("sign", str(staged), "--key", str(kept.keys["root-3"]))
        assert json.loads(second.stdout)["complete"] is True
        assert not staged.exists()
        kept.pass_time(minutes=1)
        read(live, kept)
        assert latest_version(DirTree(kept.folder), "root") == 2
        assert kept.audit().findings == ()


class TestRefused:
    """What would leave hosts without a registry."""

    @pytest.mark.parametrize(
        ("role", "names", "drop"),
        [
            ("online", ("root-1", "root-2", "targets"), "online"),
            ("targets", ("root-1", "root-2"), "targets"),
            ("blocks", ("targets",), "blocks"),
        ],
    )
    @pytest.mark.parametrize("compromised", [True, False])
    def test_the_last_key(
        self, kept: Kept, role: str, names: tuple[str, ...], drop: str, compromised: bool
    ) -> None:
        """A role without a key can sign nothing ever again."""
        before = kept.fingerprint()
        with pytest.raises(ConfigError, match="no key left"):
            kept.rotate(role, *names, drop=(drop,), compromised=compromised)
        assert kept.fingerprint() == before

    def test_fewer_root_keys_than_the_threshold(self, kept: Kept) -> None:
        """Two of two is possible, one of two is not, and a threshold may not exceed the keys."""
        kept.rotate("root", "root-1", "root-2", drop=("root-3",))
        before = kept.fingerprint()
        with pytest.raises(ConfigError, match="1 keys and need 2"):
            kept.rotate("root", "root-1", "root-2", drop=("root-2",))
        with pytest.raises(ConfigError, match="2 keys and need 3"):
            kept.rotate("root", "root-1", "root-2", threshold=3)
        assert kept.fingerprint() == before
        kept.rotate("root", "root-1", "root-2", drop=("root-2",), threshold=1)
        assert kept.root.roles["root"].threshold == 1

    def test_the_old_online_key_before_the_new_one_has_signed(self, kept: Kept) -> None:
        """Else nothing that hosts read would verify; the hint says what is to be done first."""
        kept.new_key("online-2")
        kept.rotate("online", "root-1", "root-2", "targets", add=("online-2",))
        before = kept.fingerprint()
        with pytest.raises(ConfigError, match="signed only by a key that goes") as caught:
            kept.rotate("online", "root-1", "root-2", "targets", drop=("online",))
        assert "renew --force" in caught.value.hint
        assert kept.fingerprint() == before

    def test_the_old_targets_key_before_hosts_read_what_the_new_one_signed(self, kept: Kept) -> None:
        """Targets signed with the new key, but not yet named by the snapshot: hosts would fail until the registrar ran."""
        kept.new_key("targets-2")
        kept.rotate("targets", "root-1", "root-2", add=("targets-2",))
        kept.renew("targets-2", force=True, roles=("targets",))
        before = kept.fingerprint()
        with pytest.raises(ConfigError, match="hosts still read") as caught:
            kept.rotate("targets", "root-1", "root-2", drop=("targets",))
        assert "register" in caught.value.hint
        assert kept.fingerprint() == before

    def test_a_compromised_online_key_cannot_stay(self, kept: Kept) -> None:
        """Giving the stolen key as the new one is a mistake, and not a recovery."""
        before = kept.fingerprint()
        with pytest.raises(ConfigError, match="the one in use"):
            kept.rotate("online", "root-1", "root-2", "targets", add=("online",), compromised=True)
        assert kept.fingerprint() == before

    def test_a_key_that_the_role_does_not_have(self, kept: Kept) -> None:
        """Named by the start of its keyid."""
        with pytest.raises(ConfigError, match=kept.keyid("blocks")[:16]):
            kept.rotate("online", "root-1", "root-2", "targets", drop=("blocks",))

    @pytest.mark.parametrize(
        ("role", "names"),
        [
            ("online", ("root-1", "root-2")),
            ("online", ("targets",)),
            ("targets", ("targets",)),
            ("blocks", ("root-1", "root-2")),
            ("root", ("targets",)),
        ],
    )
    def test_without_the_keys_that_sign_the_change(
        self, kept: Kept, role: str, names: tuple[str, ...]
    ) -> None:
        """Root keys for root, targets and online; the targets key for blocks and online. Nothing is written."""
        kept.new_key("new")
        before = kept.fingerprint()
        with pytest.raises(ConfigError, match="no key of role"):
            kept.rotate(role, *names, add=("new",))
        assert kept.fingerprint() == before

    def test_a_threshold_of_another_role(self, kept: Kept) -> None:
        """Only the root's can be changed."""
        desk = kept.desk("root-1", "root-2")
        with pytest.raises(ConfigError, match="only the root role"):
            rotate(desk, "targets", [], [], compromised=False, threshold=2)

    def test_the_registrar_with_a_dropped_key(self, kept: Kept) -> None:
        """It can sign nothing any more, and writes nothing."""
        kept.new_key("online-2")
        kept.rotate("online", "root-1", "root-2", "targets", add=("online-2",), compromised=True)
        before = kept.fingerprint()
        with pytest.raises((ConfigError, RegistrarError)):
            kept.register("online")
        assert kept.fingerprint() == before
