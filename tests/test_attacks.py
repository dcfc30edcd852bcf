"""What an attacker may serve, and what a client makes of it: one table.

`fresh` clients have only the pinned root; `used` ones have read the honest registry before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.documents import ed25519, keys_of, manifest, release, sign
from support.httpd import Fault, FaultServer
from support.thief import (
    Files,
    Thief,
    blocks_signed_online,
    forged_release,
    line,
    new_manifest,
    older_blocks,
    one_line,
    points_at,
    signed_release,
    snapshot_with,
)
from support.world import World, make_keys
from tuf.api.metadata import Metadata, Root

from publisher.maintain.init import NewRegistry, build_registry, dev_keys, dev_signer, write_registry
from publisher.maintain.policy import PublisherChange, add_publisher
from publisher.registrar import sharding
from publisher.registrar.submission import Result, Submission
from publisher.tree import MemoryTree
from publisher.tuf_repository import latest_version, read_metadata
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    DigestError,
    DocumentError,
    ExpiredError,
    NotFoundError,
    RegistryError,
    RollbackError,
    SignatureError,
    TooLargeError,
    VerificationError,
    YankedError,
)
from registry_client.jsontext import dump_json
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from securesystemslib.signer import Signer

    from registry_client.client import RegistryClient

STRANGER = ed25519("a stranger")
ARTIFACT = b"calendar program " * 100


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two publishers; a calendar whose 1.1.0 is yanked and whose 1.2.0 is rolled out to no one yet."""
    world = World(tmp_path_factory.mktemp("attacks") / "registry")
    world.add_publisher("acme")
    world.add_publisher("globex")
    packed: dict[str, Any] = {"artifacts": [{"ecosystem": "custom", "path": "calendar.bin"}]}
    world.publish("acme-calendar", "1.0.0", files={"calendar.bin": ARTIFACT}, **packed)
    for version in ("1.1.0", "1.2.0"):
        world.publish("acme-calendar", version)
    world.publish("acme-notes", "1.0.0", requires={"python": ">=3.11"})
    world.publish("globex-mail", "1.0.0")
    world.publish("globex-draft", "1.0.0", initialStatus="draft")
    world.register()
    world.set_status("acme-calendar", "1.1.0", "released", rollout=50)
    world.set_status("acme-calendar", "1.2.0", "released", rollout=0)
    world.block("globex-mail", "==1.0.0", "disable", "steals mail")
    world.register()
    world.tick(minutes=10)
    world.set_status("acme-calendar", "1.1.0", "yanked", reason="loses data")
    world.register()
    return world


def changed(world: World, pattern: str, change: Callable[[bytes], bytes]) -> Files:
    """The honest tree with every file whose path holds the pattern changed: what a mirror can do."""
    files = world.snapshot()
    paths = [path for path in files if pattern in path]
    assert paths, f"nothing is called {pattern}"
    return {**files, **{path: change(files[path]) for path in paths}}


def signed_by_stranger(role: str) -> Callable[[World], Files]:
    """A role's metadata with only a stranger's signature."""

    def build(world: World) -> Files:
        files = world.snapshot()
        tree = MemoryTree(files)
        version = 0 if role == "timestamp" else latest_version(tree, role)
        metadata = read_metadata(tree, role, version)
        metadata.signed.version += 1
        metadata.sign(STRANGER)
        name = "timestamp" if role == "timestamp" else f"{version + 1}.{role}"
        return {**files, f"metadata/{name}.json": metadata.to_bytes()}

    return build


def new_root(*signers: Signer, version: int = 2) -> Callable[[World], Files]:
    """A second root that hands everything to a stranger, signed by these keys."""

    def build(world: World) -> Files:
        files = world.snapshot()
        metadata = Metadata[Root].from_bytes(files["metadata/1.root.json"])
        root = metadata.signed
        root.version = version
        for role in ("root", "targets", "snapshot", "timestamp"):
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            root.add_key(STRANGER.public_key, role)
        root.roles["root"].threshold = 1
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
        return {**files, "metadata/2.root.json": metadata.to_bytes()}

    return build


def swapped(world: World, role: str) -> Files:
    """The newest metadata of a role replaced by the one before it, under its name."""
    files = world.snapshot()
    newest = latest_version(MemoryTree(files), role)
    path, older = f"metadata/{newest}.{role}.json", files[f"metadata/{newest - 1}.{role}.json"]
    return {**files, path: older[: len(files[path])]}  # one that is longer would be refused for that


def edit(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replace some bytes by as many others."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


def get(plugin_id: str, version: str) -> Callable[[RegistryClient, Path], object]:
    """Ask for the manifest of one version."""
    return lambda client, _: client.manifest(plugin_id, version)


def download(client: RegistryClient, folder: Path) -> object:
    """Download the calendar."""
    return client.download(client.manifest("acme-calendar", "1.0.0"), folder)


def refresh(client: RegistryClient, _: Path) -> object:
    """Ask for the current state."""
    return client.refresh()


def search(client: RegistryClient, _: Path) -> object:
    """Search the catalogue."""
    return client.search()


calendar = get("acme-calendar", "1.0.0")
calendar_yanked = get("acme-calendar", "1.1.0")
calendar_held = get("acme-calendar", "1.2.0")
notes = get("acme-notes", "1.0.0")
mail = get("globex-mail", "1.0.0")


def policy(client: RegistryClient, _: Path) -> object:
    """Read the policy."""
    return client.session.statements.policy()


@dataclass(frozen=True)
class Attack:
    """A row of the table.

    Attributes:
        serve: the tree that the attacker serves.
        act: what the host does.
        error: what it meets: exactly this class.
        who: which clients are attacked.
    """

    serve: Callable[[World], Files]
    act: Callable[[RegistryClient, Path], object]
    error: type[RegistryError]
    who: tuple[str, ...] = ("fresh", "used")


USED, FRESH = ("used",), ("fresh",)
KEYS = make_keys()
ACME, GLOBEX = ed25519("acme-1"), ed25519("globex-1")
PLUGINS = "plugins/acme-calendar/1.0.0/manifest.json"

MIRROR = {
    "edited manifest": Attack(
        lambda w: changed(w, PLUGINS, edit(b"Calendar", b"Malendar")), calendar, DigestError
    ),
    "manifest cut short": Attack(lambda w: changed(w, PLUGINS, lambda d: d[:-10]), calendar, DigestError),
    "manifest with more": Attack(lambda w: changed(w, PLUGINS, lambda d: d + b" "), calendar, TooLargeError),
    "manifest of another publisher": Attack(
        lambda w: changed(w, PLUGINS, lambda _: dump_json(sign(manifest(version="1.0.0"), GLOBEX))),
        calendar,
        DigestError,
    ),
    "edited artifact": Attack(
        lambda w: changed(w, "calendar.bin", edit(b"program", b"malware")), download, DigestError
    ),
    "artifact cut short": Attack(
        lambda w: changed(w, "calendar.bin", lambda d: d[:-1]), download, DigestError
    ),
    "artifact with more": Attack(
        lambda w: changed(w, "calendar.bin", lambda d: d + b"x"), download, TooLargeError
    ),
    "edited index": Attack(
        lambda w: changed(w, "targets/index/", edit(b"yanked", b"hidden")), calendar, DigestError, FRESH
    ),
    "edited catalogue": Attack(
        lambda w: changed(w, ".registry.json", edit(b"Calendar", b"Malendar")), search, DigestError, FRESH
    ),
    "edited policy": Attack(
        lambda w: changed(w, ".policy.json", edit(b"Acme", b"Evil")), policy, DigestError, FRESH
    ),
    "edited publisher": Attack(
        lambda w: changed(w, ".acme.json", edit(b"acme-*", b"evil-*")), calendar, DigestError, FRESH
    ),
    "edited blocks": Attack(
        lambda w: changed(w, ".blocks.json", edit(b"==1.0.0", b"==9.0.0")), mail, DigestError, FRESH
    ),
    "edited timestamp": Attack(
        lambda w: changed(w, "timestamp.json", edit(b"2026-03", b"2027-03")), refresh, SignatureError
    ),
    "timestamp of a stranger": Attack(signed_by_stranger("timestamp"), refresh, SignatureError),
    "timestamp without signatures": Attack(
        lambda w: changed(
            w, "timestamp.json", lambda d: json.dumps({**json.loads(d), "signatures": []}).encode()
        ),
        refresh,
        SignatureError,
    ),
    "timestamp that is no JSON": Attack(
        lambda w: changed(w, "timestamp.json", lambda _: b"<html>"), refresh, VerificationError
    ),
    "endless timestamp": Attack(
        lambda w: changed(w, "timestamp.json", lambda d: d + b" " * 99_999), refresh, TooLargeError, FRESH
    ),
    "older snapshot under the new name": Attack(
        lambda w: swapped(w, "snapshot"), refresh, DigestError, FRESH
    ),
    "older registrar under the new name": Attack(
        lambda w: swapped(w, "registrar"), refresh, DigestError, FRESH
    ),
    "older blocks under the new name": Attack(lambda w: swapped(w, "blocks"), refresh, DigestError, FRESH),
    "root signed only by its own new key": Attack(new_root(STRANGER), refresh, SignatureError),
    "root signed by too few old keys": Attack(new_root(STRANGER, KEYS.root[0]), refresh, SignatureError),
    "root signed by the old keys only": Attack(new_root(*KEYS.root), refresh, SignatureError),
    "root that skips a version": Attack(
        new_root(STRANGER, *KEYS.root, version=3), refresh, RollbackError, FRESH
    ),
    "endless root": Attack(
        lambda w: {**w.snapshot(), "metadata/2.root.json": b" " * 600_000}, refresh, TooLargeError, FRESH
    ),
}

STOLEN_ONLINE_KEY = {
    "un-yank by replaying an older release": Attack(
        signed_release("acme-calendar", "1.1.0", ACME, rollout=50), calendar_yanked, RollbackError, USED
    ),
    "un-yank by dropping the release": Attack(
        one_line("acme-calendar", "1.1.0", release=None), calendar_yanked, RollbackError, USED
    ),
    "un-yank by editing the release": Attack(
        forged_release("acme-calendar", "1.1.0", status="released"), calendar_yanked, SignatureError
    ),
    "un-yank by forging a newer release": Attack(
        signed_release("acme-calendar", "1.1.0", KEYS.online, revision=9), calendar_yanked, SignatureError
    ),
    "another publisher's release": Attack(
        signed_release("acme-calendar", "1.1.0", GLOBEX, revision=9), calendar_yanked, SignatureError
    ),
    "a release for another registry": Attack(
        signed_release("acme-calendar", "1.1.0", ACME, revision=9, registry="other"),
        calendar_yanked,
        SignatureError,
    ),
    "a release of another version": Attack(
        lambda w: Thief(w).index(
            lambda rows: line(rows, "acme-calendar", "1.1.0").update(
                release=line(rows, "acme-calendar", "1.2.0")["release"]
            )
        ),
        calendar_yanked,
        SignatureError,
    ),
    "the same revision with other content": Attack(
        signed_release("acme-calendar", "1.1.0", ACME, revision=2), calendar_yanked, RollbackError, USED
    ),
    "a wider rollout": Attack(
        forged_release("acme-calendar", "1.2.0", rollout=100), calendar_held, SignatureError
    ),
    "a release that does not parse": Attack(
        forged_release("acme-calendar", "1.2.0", rollout="100"), calendar_held, DocumentError
    ),
    "other requirements": Attack(one_line("acme-notes", "1.0.0", requires=None), notes, VerificationError),
    "another first status": Attack(
        one_line("globex-draft", "1.0.0", initialStatus="released"),
        get("globex-draft", "1.0.0"),
        VerificationError,
    ),
    "another publisher": Attack(one_line("acme-notes", "1.0.0", publisher="globex"), notes, SignatureError),
    "a publisher that is none": Attack(
        one_line("acme-notes", "1.0.0", publisher="evil"), notes, VerificationError
    ),
    "another plugin's manifest": Attack(points_at("acme-notes", "1.0.0"), calendar, VerificationError),
    "another publisher's manifest": Attack(points_at("globex-mail", "1.0.0"), calendar, SignatureError),
    "another version's manifest": Attack(points_at("acme-calendar", "1.2.0"), calendar, VerificationError),
    "a manifest elsewhere": Attack(
        lambda w: Thief(w).index(
            lambda rows: line(rows, "acme-notes", "1.0.0")["manifest"].update(path="../../etc/passwd")
        ),
        notes,
        DocumentError,
    ),
    "another payload digest": Attack(
        lambda w: Thief(w).index(
            lambda rows: line(rows, "acme-notes", "1.0.0")["manifest"].update(payloadDigest=Digest.of(b""))
        ),
        notes,
        DigestError,
    ),
    "one version on two lines": Attack(
        lambda w: Thief(w).index(lambda rows: rows["acme-notes"].append(rows["acme-notes"][0])),
        notes,
        DocumentError,
    ),
    "a plugin signed with the online key": Attack(
        new_manifest("acme-evil", "1.0.0", KEYS.online, "acme"), get("acme-evil", "1.0.0"), SignatureError
    ),
    "a version signed with the online key": Attack(
        new_manifest("acme-calendar", "2.0.0", KEYS.online, "acme"),
        get("acme-calendar", "2.0.0"),
        SignatureError,
    ),
    "a plugin for which there is no publisher": Attack(
        new_manifest("evil", "1.0.0", KEYS.online, "evil"), get("evil", "1.0.0"), VerificationError
    ),
    "blocks signed with the online key": Attack(blocks_signed_online, refresh, SignatureError),
    "no blocks at all": Attack(
        snapshot_with(lambda _, snapshot: snapshot.meta.pop("blocks.json")), refresh, VerificationError
    ),
    "no targets at all": Attack(
        snapshot_with(lambda _, snapshot: snapshot.meta.pop("targets.json")), refresh, VerificationError
    ),
    "targets of a stranger": Attack(lambda w: Thief(w).files() | signed_targets(w), refresh, SignatureError),
}

STOLEN_PUBLISHER_KEY = {  # and the online key with it
    "another publisher's plugin, as that publisher": Attack(
        new_manifest("acme-calendar", "2.0.0", GLOBEX, "acme"), get("acme-calendar", "2.0.0"), SignatureError
    ),
    "another publisher's plugin, as itself": Attack(
        new_manifest("acme-calendar", "2.0.0", GLOBEX, "globex"),
        get("acme-calendar", "2.0.0"),
        SignatureError,
    ),
    "another publisher's id, unused until now": Attack(
        new_manifest("acme-new", "1.0.0", GLOBEX, "globex"), get("acme-new", "1.0.0"), SignatureError
    ),
    "an id that no one covers": Attack(
        new_manifest("other", "1.0.0", GLOBEX, "globex"), get("other", "1.0.0"), SignatureError
    ),
    "another publisher's status": Attack(
        signed_release("acme-notes", "1.0.0", GLOBEX, status="yanked", reason="x"), notes, SignatureError
    ),
}

ATTACKS = {
    **{f"mirror: {name}": attack for name, attack in MIRROR.items()},
    **{f"online key: {name}": attack for name, attack in STOLEN_ONLINE_KEY.items()},
    **{f"publisher key: {name}": attack for name, attack in STOLEN_PUBLISHER_KEY.items()},
}


def signed_targets(world: World) -> Files:
    """Targets that a stranger signed, under a snapshot of the online key."""
    thief = Thief(world)
    version = latest_version(thief.tree, "targets")
    metadata = read_metadata(thief.tree, "targets", version)
    metadata.signed.version = version + 1
    metadata.sign(STRANGER)
    thief.tree.write(f"metadata/{version + 1}.targets.json", metadata.to_bytes())
    return thief.files()


@pytest.mark.parametrize(
    ("attack", "who"),
    [
        pytest.param(attack, who, id=f"{name} ({who})")
        for name, attack in ATTACKS.items()
        for who in attack.who
    ],
)
def test_attack(world: World, tmp_path: Path, attack: Attack, who: str) -> None:
    """Each attack ends in its own error; nothing unverified is returned or left on the disk."""
    served = MemoryTree(world.snapshot())
    client = world.client(directories=_directories(tmp_path), tree=served, ttl=0)
    if who == "used":
        client.versions("acme-calendar")
        client.versions("globex-mail")
        client.search()
    served.files = attack.serve(world)
    with pytest.raises(RegistryError) as caught:
        attack.act(client, tmp_path / "out")
    assert type(caught.value) is attack.error, f"{type(caught.value).__name__}: {caught.value}"
    assert caught.value.message
    assert not list((tmp_path / "out").glob("**/*"))


@pytest.fixture(scope="module")
def crowded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same registry with an index so large, by a small measure, that it has directories."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SPLIT_ABOVE", 100)
        files = Thief(world).index(lambda _: None)
        assert any(path.startswith("targets/index/") and path.count("/") > 2 for path in files)
        copy = copy_of(world, tmp_path_factory.mktemp("crowded") / "registry", files)
        yield copy


def copy_of(world: World, folder: Path, files: Files) -> World:
    """A world with these files and the same keys."""
    made = World(folder, now=world.now)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return made


@pytest.mark.parametrize(
    ("attack", "who"),
    [
        pytest.param(attack, who, id=f"{name} ({who})")
        for name, attack in {**STOLEN_ONLINE_KEY, **STOLEN_PUBLISHER_KEY}.items()
        for who in attack.who
        if attack.act is not refresh
    ],
)
def test_attack_through_directories(crowded: World, tmp_path: Path, attack: Attack, who: str) -> None:
    """What is done to index lines ends the same where they stand below a directory."""
    test_attack(crowded, tmp_path, attack, who)


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.act is refresh])
def test_last_good_state_survives_an_attack_on_the_metadata(world: World, tmp_path: Path, name: str) -> None:
    """A host that has read the registry goes on with what it verified, and is warned."""
    served = MemoryTree(world.snapshot())
    warnings: list[str] = []
    client = world.client(directories=_directories(tmp_path), tree=served, ttl=0, on_warning=warnings.append)
    honest = client.manifest("acme-calendar", "1.0.0")
    served.files = ATTACKS[name].serve(world)
    assert client.manifest("acme-calendar", "1.0.0").data == honest.data
    if "used" in ATTACKS[name].who:
        assert any("using what was verified before" in warning for warning in warnings)


@pytest.mark.parametrize(
    "name",
    [
        "a wider rollout",
        "un-yank by editing the release",
        "un-yank by forging a newer release",
        "another publisher's release",
    ],
)
def test_forged_statuses_are_passed_over_by_range(world: World, tmp_path: Path, name: str) -> None:
    """Asked for any version, a client takes the newest that verifies, not the one with the forged release."""
    client = world.client(directories=_directories(tmp_path), tree=STOLEN_ONLINE_KEY[name].serve(world))
    assert client.resolve("acme-calendar").info.version == "1.0.0"


def test_a_block_holds_against_the_stolen_online_key(world: World, tmp_path: Path) -> None:
    """A client that knows a block keeps to it whatever the online key signs over the older blocks."""
    served = MemoryTree(world.snapshot())
    warnings: list[str] = []
    client = world.client(directories=_directories(tmp_path), tree=served, ttl=0, on_warning=warnings.append)
    with pytest.raises(YankedError, match="steals mail"):
        client.manifest("globex-mail", "1.0.0")
    served.files = snapshot_with(older_blocks)(world)
    assert client.refresh().source is None
    assert "older metadata" in warnings[-1]
    with pytest.raises(YankedError, match="steals mail"):
        client.manifest("globex-mail", "1.0.0")


def test_the_stolen_online_key_can_withhold(world: World, tmp_path: Path) -> None:
    """What remains possible, as the documentation says: a plugin is not shown."""
    files = Thief(world).index(lambda rows: rows.pop("acme-notes"))
    client = world.client(directories=_directories(tmp_path), tree=files)
    with pytest.raises(NotFoundError):
        client.resolve("acme-notes")
    assert client.resolve("acme-calendar").info.version == "1.0.0"


def test_a_stolen_publisher_key_reaches_only_its_own_ids_at_the_registrar(world: World) -> None:
    """The registrar refuses what globex signs for acme, and takes what it signs for itself."""
    theirs = dump_json(sign(manifest(id="acme-evil", version="1.0.0"), GLOBEX))
    own = dump_json(sign(manifest(id="globex-own", version="1.0.0"), GLOBEX))
    status = dump_json(
        sign(
            release(
                json.loads(world.tree.read("plugins/acme-notes/1.0.0/manifest.json") or b""), status="testing"
            ),
            GLOBEX,
        )
    )
    run = world.plan(
        [
            Submission("theirs", "acme-evil", "1.0.0", manifest=theirs),
            Submission("own", "globex-own", "1.0.0", manifest=own),
            Submission("status", "acme-notes", "1.0.0", release=status),
        ]
    )
    results = {outcome.submission.source: outcome for outcome in run.outcomes}
    assert results["own"].result is Result.PUBLISHED
    for name in ("theirs", "status"):
        assert results[name].result is Result.REFUSED
        assert isinstance(results[name].error, SignatureError)


def test_a_replayed_timestamp_is_last_good_then_an_error(world: World, tmp_path: Path) -> None:
    """Older files under a newer client: a warning while last-good is unexpired, RollbackError afterwards."""
    later = World(tmp_path / "registry")
    later.add_publisher("acme")
    later.publish("acme-calendar", "1.0.0")
    later.register()
    old = later.snapshot()
    later.tick(days=1)
    later.publish("acme-calendar", "1.1.0")
    later.register()
    served = MemoryTree(later.snapshot())
    client = later.client(tree=served, ttl=0)
    assert client.resolve("acme-calendar").info.version == "1.1.0"
    served.files = old
    assert client.refresh().source is None
    assert "older metadata" in later.warnings[-1]
    assert client.resolve("acme-calendar").info.version == "1.1.0"
    later.tick(days=6, minutes=1)  # the old timestamp has expired, the newer one has not
    assert client.resolve("acme-calendar").info.version == "1.1.0"
    later.tick(days=1)
    with pytest.raises(RollbackError):
        client.resolve("acme-calendar")
    with pytest.raises(ExpiredError):
        later.client("another", tree=served).resolve("acme-calendar")


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "blocks", "registrar"])
@pytest.mark.parametrize("who", ["fresh", "used"])
def test_expired_metadata_stops_every_client(tmp_path: Path, role: str, who: str) -> None:
    """Whichever role expires first: a clear error that names it and the clock."""
    world = World(tmp_path / "registry", days={role: 2})
    world.add_publisher("acme")
    world.publish("acme-calendar", "1.0.0")
    world.register()
    client = world.client()
    if who == "used":
        client.resolve("acme-calendar")
    world.tick(days=1)
    assert client.resolve("acme-calendar").info.version == "1.0.0"
    world.tick(days=1, seconds=1)
    if who == "fresh":
        client = world.client("another")
    for act in (lambda: client.resolve("acme-calendar"), client.search, client.refresh):
        with pytest.raises(ExpiredError) as caught:
            act()
        assert f"the {role} metadata has expired" in caught.value.message
        assert "2026-03-03 12:00 UTC" in caught.value.message
        assert caught.value.hint


def test_development_keys_are_refused_unless_allowed(tmp_path: Path) -> None:
    """A registry of development keys says nothing to a host that has not allowed them."""
    world = World(tmp_path / "real")
    files = build_registry(
        NewRegistry("http://candidate.invalid", "dev", "Dev"), dev_keys(), world.now, allow_dev_keys=True
    )
    write_registry(tmp_path / "dev", files)
    root = files["metadata/1.root.json"]
    for act in (search, refresh, calendar, policy):
        with pytest.raises(ConfigError, match="development key"):
            act(world.client(root=root, tree=files), tmp_path)
    allowed = world.client(root=root, tree=files, allow_dev_keys=True)
    assert allowed.search() == []
    with pytest.raises(ConfigError, match="development key"):
        world.client(root=root, tree=files).search()  # the same directories, where they were allowed before


def test_a_development_key_of_a_publisher_is_refused(tmp_path: Path) -> None:
    """A maintainer who authorises the development publisher key opens nothing to other hosts."""
    world = World(tmp_path / "registry")
    desk = world.desk()
    signer = dev_signer("publisher")
    add_publisher(desk, "acme", "Acme", keys_of(signer), PublisherChange(add_plugins=("acme-*",)))
    desk.save()
    world.publishers["acme"] = [signer]
    world.publish("acme-calendar", "1.0.0")
    with pytest.raises(ConfigError, match="development key"):
        world.register()
    world.register(allow_dev_keys=True)
    with pytest.raises(ConfigError, match="development key"):
        world.client().resolve("acme-calendar")
    assert world.client("other", allow_dev_keys=True).resolve("acme-calendar").info.version == "1.0.0"


def test_endless_bodies_end_at_the_signed_size(world: World, tmp_path: Path) -> None:
    """Over real HTTP a body without end is cut off at what was signed, without being read."""
    with FaultServer(world.folder) as server:
        client = world.client(directories=_directories(tmp_path), url=server.url)
        document = client.manifest("acme-calendar", "1.0.0")
        server.reset_counters()
        server.fail(document.model.artifacts[0].url, Fault(pad=2_000_000, no_length=True))  # type: ignore[index]
        with pytest.raises(TooLargeError):
            client.download(document, tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())


def _directories(tmp_path: Path) -> Directories:
    return Directories.default(tmp_path / "home")
