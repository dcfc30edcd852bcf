"""The attacks. Each must be refused, and says what is left where something cannot be prevented."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from demo.story import PLUGIN, authorise
from demo.world import DemoError
from publisher.documents import sign_document
from publisher.registrar.remote import publish_ref
from publisher.registrar.sharding import join_shards
from publisher.registrar.state import read_rows
from publisher.registrar.write import write_above
from publisher.signing import load_signer
from publisher.tree import DirTree, Overlay, write_changes
from publisher.tuf_repository import TufRepository, add_target, latest_version, read_metadata
from registry_client.digest import Digest
from registry_client.jsontext import dump_json, dump_line, payload_digest_of
from registry_client.shards import shard_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.world import World

_MONTH = timedelta(days=30)
Row = dict[str, Any]


def tell(world: World) -> None:
    """All attacks in order. Raises DemoError if one is let through."""
    world.tell.chapter("What attackers can do")
    edited_manifest(world)
    foreign_signature(world)
    rolled_back_index(world)
    expired_timestamp(world)
    stolen_ci_key(world)
    forged_by_ci_key(world)
    stolen_key_replaced(world)


def edited_manifest(world: World) -> None:
    """A mirror, a CDN, or whoever sits on the way, changes bytes."""
    world.tell.step(
        "A manifest is edited on the host", "Whoever controls the host or the way to it can change any byte."
    )
    with world.instead_served() as evil:
        path = evil / "plugins" / PLUGIN / "1.0.0" / "manifest.json"
        edit_file(path, b'"MIT"', b'"GPL"')
        world.tell.attack(
            "edits plugins/hello-world/1.0.0/manifest.json on the raw host; it has the same length as before"
        )
        world.must_refuse(f"plugin info '{PLUGIN}==1.0.0'", "Digest", 6, on="bob")


def edit_file(path: Path, old: bytes, new: bytes) -> None:
    """Change some bytes of a file."""
    data = path.read_bytes()
    if old not in data:
        raise DemoError(f"{path}: does not hold {old!r}")
    path.write_bytes(data.replace(old, new, 1))


def foreign_signature(world: World) -> None:
    """A publisher with a valid key signs another one's plugin."""
    world.tell.step(
        "Another publisher signs acme's plugin",
        "globex is a publisher of this registry too, with a good key, but for ids like globex-*. It signs a hello-world 2.0.0.",
    )
    authorise(world, "globex", "globex-*")
    world.must_refuse(
        f"publisher publish {PLUGIN} --version 2.0.0 --to remote.git --key globex.pem", "Signature", 6
    )
    world.tell.attack("the command refuses, so globex signs it by other means and pushes it with plain git")
    _push_signed_by_globex(world)
    digest = json.loads((world.folder / "pinned.json").read_text())["rootDigest"]
    run = world.ask(
        f"publisher registry register remote.git --key keys/online.pem --root-digest {digest}", expect=9
    )
    refused = [outcome for outcome in run["outcomes"] if outcome["result"] == "refused"]
    if [outcome["error"]["kind"] for outcome in refused] != ["Signature"]:
        raise DemoError(f"the registrar was to refuse one submission as Signature, but said {run}")
    world.show_refusal(refused[0]["error"], 9)
    world.run("git -C raw pull --quiet")
    world.must_refuse(f"plugin info '{PLUGIN}==2.0.0'", "NotFound", 7, on="carol")


def _push_signed_by_globex(world: World) -> None:
    """Sign a new version with the wrong key and push it as the command would."""
    manifest = json.loads((world.served / "plugins" / PLUGIN / "1.0.0" / "manifest.json").read_bytes())
    unsigned = {name: value for name, value in manifest.items() if name != "signatures"}
    forged = sign_document({**unsigned, "version": "2.0.0"}, [load_signer(str(world.folder / "globex.pem"))])
    ref = publish_ref(PLUGIN, "2.0.0", payload_digest_of(forged).hex)
    folder = world.folder / "globex"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(dump_json(forged))
    for line in (
        "git init --quiet globex",
        "git -C globex add --all",
        "git -C globex commit --quiet --message 2.0.0",
    ):
        world.run(line, silent=True)
    world.run(f"git -C globex push --quiet ../remote.git HEAD:{ref}")


def rolled_back_index(world: World) -> None:
    """An old state, all of it truly signed, is served again."""
    world.tell.step(
        "The index is rolled back",
        """The host serves the registry as it was before the yank. Every signature in it is genuine. A
        host that has seen more recent metadata cannot be led back: it keeps what it verified, and says
        so. (It cannot tell this from a cache that lags behind, which is why it goes on working.)""",
    )
    before = world.ask("plugin refresh", on="alice")
    with world.instead_served() as evil:
        shutil.rmtree(evil)
        world.run(f"git clone --quiet remote.git {evil.name}", silent=True)
        find = "git -C evil log --format=%H --grep=^Register.*1.0.0 --max-count=1"
        world.run(f"git -C evil checkout --quiet {world.run(find, silent=True).strip()}", silent=True)
        world.tell.attack("serves the registry as it stood before the yank")
        after = world.ask("plugin refresh", on="alice")
        if after["source"] is not None or after["roles"] != before["roles"]:
            raise DemoError(f"the older index was taken: {after}")
        world.tell.refused(f"REFUSED: {after['warnings'][0]}")
        world.must_refuse(f"plugin download '{PLUGIN}==1.1.0' --output plugins", "Yanked", 7, on="alice")


def expired_timestamp(world: World) -> None:
    """Time stands still: what was once current is served for ever."""
    world.tell.step(
        "Time is frozen",
        """Instead of an older state, the host could stop the clock and serve today's files for ever,
        hiding every yank to come. So the timestamp is signed for seven days only, and renewed daily.
        Here is one that was signed a month ago.""",
    )
    with world.instead_served() as evil:
        sign_timestamp(evil, world.folder / "keys" / "online.pem", datetime.now(UTC) - _MONTH)
        world.tell.attack("serves a metadata/timestamp.json that was signed, with the right key, 30 days ago")
        world.must_refuse("plugin search hello", "Expired", 6, on="dave")


def sign_timestamp(registry: Path, key: Path, when: datetime) -> None:
    """Sign the timestamp anew, as of another time; `publisher registry renew` would refuse that clock."""
    tree = Overlay(DirTree(registry))
    repository = TufRepository(tree, [load_signer(str(key))], when)
    with repository.edit_timestamp() as timestamp:
        timestamp.snapshot_meta = repository.snapshot_info
    write_changes(registry, tree.changes)


def stolen_ci_key(world: World) -> None:
    """The registrar's key is stolen, and the index says that nothing was ever yanked."""
    world.tell.step(
        "The CI key is stolen, and the yank is taken back",
        """The registrar's key is the only one that is online, so this is the attack to plan for. The
        thief signs an index without acme's yank: timestamp, snapshot and index are all valid. But
        alice has seen revision 1 of acme's release document.""",
    )
    with world.instead_served() as evil:
        sign_index(evil, world.folder / "keys" / "online.pem", _without_release)
        world.tell.attack("signs, with keys/online.pem, an index in which hello-world 1.1.0 was never yanked")
        world.run("plugin refresh", on="alice")
        world.must_refuse(f"plugin download '{PLUGIN}==1.1.0' --output plugins", "Rollback", 6, on="alice")
        fresh = world.ask(f"plugin info '{PLUGIN}==1.1.0'", on="erin")
        world.tell.limit(
            f"What is left: erin has never read this registry, and is shown {PLUGIN} {fresh['version']} as"
            f" {fresh['status']}. It is what acme once published, byte for byte: a fresh client can only ever be"
            " shown what publishers and maintainers really signed."
        )


def forged_by_ci_key(world: World) -> None:
    """The registrar's key signs a plugin of its own."""
    world.tell.step(
        "The CI key is stolen, and used to forge a plugin",
        "The thief puts a manifest of its own into the index, signed with the CI key. The index is valid; the manifest is not, for anyone.",
    )
    with world.instead_served() as evil:
        key = world.folder / "keys" / "online.pem"
        path = f"plugins/{PLUGIN}/1.0.1/manifest.json"
        manifest = json.loads((evil / "plugins" / PLUGIN / "1.0.0" / "manifest.json").read_bytes())
        unsigned = {name: value for name, value in manifest.items() if name != "signatures"}
        forged = sign_document({**unsigned, "version": "1.0.1"}, [load_signer(str(key))])
        data = dump_json(forged)
        (evil / path).parent.mkdir()
        (evil / path).write_bytes(data)
        ref = {
            "path": path,
            "digest": Digest.of(data),
            "size": len(data),
            "payloadDigest": payload_digest_of(forged),
        }
        sign_index(evil, key, lambda rows: [*rows, {**rows[0], "version": "1.0.1", "manifest": ref}])
        world.tell.attack("adds hello-world 1.0.1, signed with keys/online.pem, to the index")
        world.must_refuse(f"plugin download '{PLUGIN}==1.0.1' --output plugins", "Signature", 6, on="frank")


def stolen_key_replaced(world: World) -> None:
    """The maintainers answer."""
    world.tell.step(
        "The maintainers replace the stolen key",
        """Two root keys and the policy key say which key counts from now on. Everything the old key
        signed is dropped and derived anew from what the publishers signed, and hosts follow by
        themselves: those that were led astray too.""",
    )
    world.run("git -C registry pull --quiet ../remote.git main")
    world.run("publisher keygen --out keys/online-2.pem")
    world.run(
        "publisher registry rotate registry online --compromised --add keys/online-2.pem.pub.json"
        " --key keys/root-1.pem --key keys/root-2.pem --key keys/targets.pem --key keys/online-2.pem"
    )
    world.run("git -C registry add --all")
    world.run("git -C registry commit --quiet --message 'Replace the stolen key'")
    world.run("git -C registry push --quiet ../remote.git main")
    world.run("git -C raw pull --quiet")
    for name in ("alice", "erin"):
        world.run("plugin refresh", on=name)
        world.must_refuse(f"plugin download '{PLUGIN}==1.1.0' --output plugins", "Yanked", 7, on=name)
    world.tell.limit(
        """What is left: whom only the thief can reach, and who pins the old root, never hears of the
        change until the maintainers' own statements expire. So new hosts are given
        metadata/2.root.json as their root from now on."""
    )
    shutil.copyfile(world.served / "metadata" / "2.root.json", world.folder / "hosts" / "root.json")
    world.tell.command("cp raw/metadata/2.root.json hosts/root.json")
    world.run("plugin search hello", on="grace")


def _without_release(rows: list[Row]) -> list[Row]:
    """The rows as if no publisher had ever changed a status."""
    return [{name: value for name, value in row.items() if name != "release"} for row in rows]


def sign_index(registry: Path, key: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """What a thief of the registrar's key does: sign an index of its own making, and all above it.

    Args:
        registry: the registry's folder.
        key: the stolen key.
        change: gives the plugin's index lines anew.
    """
    tree = Overlay(DirTree(registry))
    role = read_metadata(tree, "registrar", latest_version(tree, "registrar")).signed
    rows: dict[str, list[Row]] = {}
    for path in (path for path in role.targets if path.startswith("index/")):
        digest = role.targets[path].hashes["sha256"]
        data = tree.read(f"targets/index/{digest}.{path.removeprefix('index/')}") or b""
        for row in read_rows(data, path):
            rows.setdefault(row.raw["id"], []).append(row.raw)
    rows[PLUGIN] = change(rows[PLUGIN])
    shards = join_shards({name: [dump_line(row) for row in own] for name, own in rows.items()})
    repository = TufRepository(tree, [load_signer(str(key))], datetime.now(UTC))
    with repository.edit_targets("registrar") as signed:
        for bits, data in shards.items():
            tree.write(add_target(signed, shard_path(bits), data), data)
    write_above(repository, read_metadata(tree, "root", latest_version(tree, "root")).signed)
    write_changes(registry, tree.changes)
