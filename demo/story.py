"""The story as it should go: a registry is made, a publisher publishes, a host reads, a version is yanked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from demo.world import DemoError

if TYPE_CHECKING:
    from demo.world import World

_EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "hello-world"
PLUGIN = "hello-world"


def tell(world: World) -> None:
    """Everything up to the attacks. Raises DemoError where a step does not end as it should."""
    world.tell.chapter("How it works")
    _make_registry(world)
    _authorise(world, "acme", "hello-*")
    _publish(world)
    _register(world)
    _read(world)
    _install(world)
    _yank(world)
    _roll_back(world)


def _make_registry(world: World) -> None:
    world.tell.step(
        "The maintainers make a registry",
        """A registry is a Git repository of signed files. Its private keys stay outside of it: three root
        keys (two of them sign together), one for policy, one for blocks, and the only one that is ever
        online, for the registrar.""",
    )
    world.run(
        f"publisher registry init registry --base-url {world.url} --keys keys --id demo --name 'Demo registry'"
        " --artifacts-in-tree"
    )
    world.run("git init --quiet --bare --initial-branch=main remote.git")
    world.run("git -C remote.git config uploadpack.allowFilter true")
    world.run("git init --quiet --initial-branch=main registry")
    world.run("git -C registry add --all")
    world.run("git -C registry commit --quiet --message 'A new registry'")
    world.run("git -C registry push --quiet ../remote.git main")
    world.tell.say(
        "remote.git stands for GitHub. Anyone may read it; a plain HTTP server over its files is all that hosts need."
    )
    world.run("git clone --quiet remote.git raw")


def _authorise(world: World, publisher: str, pattern: str) -> None:
    world.tell.step(
        f"They allow a publisher: {publisher}",
        f"""{publisher} makes a key and hands out the public half. The maintainers sign, with the offline
        policy key, that it may publish ids like {pattern}, and no others.""",
    )
    authorise(world, publisher, pattern)


def authorise(world: World, publisher: str, pattern: str) -> None:
    """Make a publisher's key and allow it on main."""
    world.run("git -C registry pull --quiet ../remote.git main")
    world.run(f"publisher keygen --out {publisher}.pem")
    world.run(
        f"publisher registry policy add-publisher registry {publisher} --key-file {publisher}.pem.pub.json"
        f" --plugin '{pattern}' --key keys/targets.pem"
    )
    world.run("git -C registry add --all")
    world.run(f"git -C registry commit --quiet --message 'Allow {publisher}'")
    world.run("git -C registry push --quiet ../remote.git main")


def _publish(world: World) -> None:
    world.tell.step(
        "acme publishes two versions, each by one git push",
        """publish packs the plugin, fills in digests, signs the manifest, and pushes one commit to a
        branch of its own. acme needs no right to touch main, and no two publishers ever write the same
        branch.""",
    )
    shutil.copytree(_EXAMPLE, world.folder / PLUGIN, ignore=shutil.ignore_patterns("__pycache__"))
    source = world.folder / PLUGIN / "manifest.json"
    manifest = json.loads(source.read_text("utf-8"))
    source.write_text(json.dumps({**manifest, "version": "1.0.0"}, indent=2) + "\n", "utf-8")
    world.run(f"publisher check {PLUGIN}")
    world.run(f"publisher publish {PLUGIN} --to remote.git --key acme.pem")
    (world.folder / PLUGIN / "NEWS.md").write_text("Greets faster.\n", "utf-8")
    world.run(f"publisher publish {PLUGIN} --to remote.git --key acme.pem --bump minor")
    world.run("git ls-remote remote.git")
    world.tell.say(
        "Publishing the same content again does nothing; other content under a used version is refused."
    )
    (world.folder / PLUGIN / "NEWS.md").write_text("Greets slower.\n", "utf-8")
    world.must_refuse(f"publisher publish {PLUGIN} --to remote.git --key acme.pem", "VersionExists", 9)


def register(world: World) -> None:
    """Run the registrar, then let the raw host show what main holds now."""
    digest = json.loads((world.folder / "pinned.json").read_text())["rootDigest"]
    world.run(f"publisher registry register remote.git --key keys/online.pem --root-digest {digest}")
    world.run("git -C raw pull --quiet")


def _register(world: World) -> None:
    world.tell.step(
        "The registrar takes them into the index",
        """On GitHub this is a workflow. It reads main and every publish/ branch, verifies each, writes
        and signs the index, pushes one commit, and deletes the branches. It runs nothing of what it
        reads, and may run twice, late, or never in between.""",
    )
    root = world.folder / "registry" / "metadata" / "1.root.json"
    _pin(world, root)
    register(world)
    world.run("git -C remote.git log --oneline main")
    world.run("publisher registry audit raw")


def _pin(world: World, root: Path) -> None:
    """Remember the root of trust, as CI and hosts do."""
    from registry_client.digest import Digest  # noqa: PLC0415

    (world.folder / "pinned.json").write_text(json.dumps({"rootDigest": Digest.of(root.read_bytes())}))
    (world.folder / "hosts").mkdir()
    shutil.copyfile(root, world.folder / "hosts" / "root.json")


def _read(world: World) -> None:
    world.tell.step(
        "A host searches, downloads and verifies",
        """A host pins one file, the registry's first root, which it got over a channel it trusts. From
        there it checks everything by itself: root, timestamp, snapshot, index, the publisher's keys,
        the manifest, the archive.""",
    )
    world.tell.command(f"export PLUGIN_REGISTRY_URL={world.url} PLUGIN_REGISTRY_ROOT=hosts/root.json")
    world.run("plugin search hello", on="alice")
    world.run(f"plugin info {PLUGIN}", on="alice")
    world.run(f"plugin download {PLUGIN} --output plugins", on="alice")
    world.run(f"plugin verify plugins/{PLUGIN}-1.1.0.zip", on="alice")


def _install(world: World) -> None:
    world.tell.step(
        "A host application manages its plugins",
        """plugins.toml says what is wanted, plugins.lock exactly what is used. Installing is one
        transaction: everything is fetched, verified and unpacked aside, then put in place.""",
    )
    world.run(
        f"plugin --project app init --registry {world.url} --root hosts/root.json --host example=1.0.0",
        on="alice",
    )
    world.run(f"plugin --project app add {PLUGIN}==1.0.0", on="alice")
    world.run(f"plugin --project app add '{PLUGIN}>=1,<2'", on="alice")
    world.run("plugin --project app list", on="alice")
    world.run("plugin --project app verify", on="alice")


def _roll_back(world: World) -> None:
    world.tell.step(
        "The host goes back, without network",
        """The last versions are kept, packed, with their signed manifests. Going back unpacks and checks
        them like any installation, and the version gone back from is not offered again.""",
    )
    world.run("plugin --project app outdated", on="alice")
    world.run(f"plugin --project app rollback {PLUGIN}", on="alice")
    world.run("plugin --project app verify", on="alice")
    found = world.ask("plugin --project app list", on="alice")
    if [item["version"] for item in found["plugins"]] != ["1.0.0"]:
        raise DemoError("the rollback did not lead to 1.0.0")


def _yank(world: World) -> None:
    world.tell.step(
        "acme yanks a bad version",
        """A yank is a small signed document. Its bytes stay, so that what is locked still installs, but
        nobody resolves 1.1.0 any more; its revision number only rises, and hosts remember the highest
        they have seen.""",
    )
    world.run(f"publisher yank {PLUGIN} 1.1.0 --reason 'loses greetings' --to remote.git --key acme.pem")
    register(world)
    world.run("plugin refresh", on="alice")
    world.run(f"plugin versions {PLUGIN}", on="alice")
    found = world.ask(f"plugin info {PLUGIN}", on="alice")
    if found["version"] != "1.0.0":
        raise DemoError(f"after the yank {found['version']} is resolved, not 1.0.0")
    world.tell.output(f"resolves {PLUGIN} {found['version']}")
    world.must_refuse(f"plugin download '{PLUGIN}==1.1.0' --output plugins", "Yanked", 7, on="alice")
