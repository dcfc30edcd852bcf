"""A registry to measure, computed from its number of plugins: the same number gives the same plugins."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from publisher.documents import sign_document
from publisher.maintain.init import Keys, NewRegistry, build_registry
from publisher.registrar.run import Options, register
from publisher.registrar.submission import Submission
from publisher.set_status import Change, build_release
from publisher.signing import keyid_of, public_key_object
from publisher.tree import MemoryTree, Overlay
from publisher.tuf_repository import TufRepository, add_target
from registry_client.jsontext import dump_json
from registry_client.models.base import format_time
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

REGISTRY = "benchmark"
BASE_URL = "https://raw.example/acme/registry/main"
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0")
MOST_PUBLISHERS = 100
_CHANGES = (
    Change(ReleaseStatus.DEPRECATED, reason="Superseded by the next version."),
    Change(ReleaseStatus.YANKED, reason="Loses data when two people save at once."),
    Change(ReleaseStatus.RELEASED, rollout=25),
    Change(ReleaseStatus.RELEASED, push=False),
)
_WORDS = (  # noqa: SIM905  (a list of 35 texts would fill a page)
    "calendar notes contacts search sync export import report chart invoice ticket board wiki mail chat video audio "
    "map route price stock order cart label theme menu backup audit login token webhook queue cache metric alert"
).split()
_TOPICS = ("productivity", "commerce", "content", "security", "operations", "analytics")


def key(name: str) -> CryptoSigner:
    """A key computed from its name."""
    seed = hashlib.sha256(f"plugin-registry benchmark key {name}".encode()).digest()
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


@dataclass(frozen=True)
class Plugin:
    """A plugin of the benchmark."""

    id: str
    publisher: str


@dataclass(frozen=True)
class Data:
    """A registry and what it takes to publish one more version into it.

    Attributes:
        plugins: in the order in which they were made.
        files: every file of the registry by path.
        options: how its registrar runs.
        now: when it was registered.
    """

    plugins: tuple[Plugin, ...]
    files: dict[str, bytes]
    options: Options
    now: datetime

    @property
    def root(self) -> bytes:
        """The root of trust that hosts pin."""
        return self.options.pinned_root

    def publication(self, number: int, version: str) -> Submission:
        """A new version of one plugin, signed."""
        return Submission("publish", *self._manifest(number, version))

    def _manifest(self, number: int, version: str) -> tuple[str, str, bytes]:
        plugin = self.plugins[number]
        raw = sign_document(build_manifest(plugin, version, self.now), [key(plugin.publisher)])
        return plugin.id, version, dump_json(raw)


def options_for(root: bytes) -> Options:
    """How the registrar of a benchmark's registry runs."""
    return Options(root, [key("online")])


def build_plugins(count: int) -> tuple[Plugin, ...]:
    """Plugins of at most 100 publishers."""
    publishers = min(MOST_PUBLISHERS, max(1, count // 10))
    return tuple(
        Plugin(
            f"team{number % publishers:02}-{_WORDS[number % len(_WORDS)]}-{number:06}",
            f"team{number % publishers:02}",
        )
        for number in range(count)
    )


def build_data(count: int, now: datetime) -> Data:
    """A registry with so many plugins, five versions each, every tenth version with a release document.

    Args:
        count: how many plugins.
        now: the time of registration, UTC.
    """
    keys = Keys((key("root-1"), key("root-2")), key("targets"), key("blocks"), key("online"))
    files = build_registry(NewRegistry(BASE_URL, REGISTRY, "Benchmark", threshold=2), keys, now)
    plugins = build_plugins(count)
    files |= allow_publishers(files, {plugin.publisher for plugin in plugins}, keys, now)
    memory = MemoryTree(files)
    options = options_for(memory.files["metadata/1.root.json"])
    run = register(memory, _submissions(plugins, now), options, now)
    if run.refused:
        raise run.refused[0].error or AssertionError("refused without a reason")
    return Data(plugins, {**memory.files, **kept(run.changes)}, options, now)


def allow_publishers(
    files: dict[str, bytes], publishers: Iterable[str], keys: Keys, now: datetime
) -> dict[str, bytes]:
    """The files that allow publishers to publish what begins with their ids."""
    tree = Overlay(MemoryTree(files))
    with TufRepository(tree, keys.all, now).edit_targets() as targets:
        for publisher in sorted(publishers):
            path = f"publishers/{publisher}.json"
            data = dump_json(_publisher(publisher))
            tree.write(add_target(targets, path, data), data)
            tree.write(path, data)
    return kept(tree.changes)


def kept(changes: dict[str, bytes | None]) -> dict[str, bytes]:
    """Changes of a tree as files."""
    return {path: data for path, data in changes.items() if data is not None}


def _publisher(publisher: str) -> dict[str, Any]:
    public = key(publisher).public_key
    return {
        "kind": "publisher",
        "schemaVersion": 1,
        "id": publisher,
        "name": publisher.capitalize(),
        "keys": {keyid_of(public): public_key_object(public)},
        "threshold": 1,
        "plugins": [f"{publisher}-*"],
    }


def _submissions(plugins: tuple[Plugin, ...], now: datetime) -> list[Submission]:
    signers = {plugin.publisher: key(plugin.publisher) for plugin in plugins}
    made = []
    for number, plugin in enumerate(plugins):
        for position, version in enumerate(VERSIONS):
            raw = sign_document(build_manifest(plugin, version, now), [signers[plugin.publisher]])
            release = None
            serial = number * len(VERSIONS) + position
            if serial % 10 == 3:  # not the newest version, so that each plugin has one to be found
                change = _CHANGES[serial // 10 % len(_CHANGES)]
                document = build_release(raw, None, change, REGISTRY, now)
                release = dump_json(sign_document(document, [signers[plugin.publisher]]))
            made.append(Submission("publish", plugin.id, version, dump_json(raw), release))
    return made


def build_manifest(plugin: Plugin, version: str, now: datetime) -> dict[str, Any]:
    """An unsigned manifest of about 2 KB, as plugins with a remote UI and a backend have them."""
    pick = random.Random(f"{plugin.id} {version}")
    words = pick.sample(_WORDS, 12)
    prefix = f"/api/integrations/{plugin.id}"
    site = f"https://{plugin.publisher}.example/{plugin.id}"
    name = plugin.id.split("-")[1].capitalize()
    return {
        "kind": "manifest",
        "schemaVersion": 1,
        "id": plugin.id,
        "name": f"{name} {plugin.id.rpartition('-')[2]}",
        "version": version,
        "initialStatus": "released",
        "description": f"{name} for teams: {', '.join(words[:6])} in one place, kept in step with {words[6]}.",
        "category": pick.choice(_TOPICS),
        "keywords": words[:5],
        "author": {"name": plugin.publisher.capitalize(), "url": f"https://{plugin.publisher}.example"},
        "license": "MIT",
        "repository": f"https://git.example/{plugin.publisher}/{plugin.id}",
        "changelog": f"- Faster {words[7]}.\n- {words[8].capitalize()} remembers what was chosen.\n- Fixes {words[9]}.",
        "ui": {
            "remoteEntry": f"{site}/{version}/assets/remoteEntry.js",
            "expose": "./PluginApp",
            "integrity": f"sha384-{'A' * 64}",
            "menu": {"title": name, "icon": words[0], "position": 10 + pick.randrange(90)},
        },
        "server": {
            "routeBase": prefix,
            "deploymentUrl": f"https://{plugin.id}.{plugin.publisher}.example",
            "healthCheck": "/api/health",
        },
        "artifacts": [
            {
                "ecosystem": "python",
                "url": f"{site}/{plugin.id}-{version}.zip",
                "digest": f"sha256:{hashlib.sha256(f'{plugin.id} {version}'.encode()).hexdigest()}",
                "size": 40_000 + pick.randrange(400_000),
                "mediaType": "application/zip",
            }
        ],
        "requires": {"host": {"nexus": ">=0.1.0,<2"}, "python": ">=3.11", "packages": ["fastapi>=0.110"]},
        "permissions": ["api.register", "events.publish"],
        "api": {
            "prefix": prefix,
            "version": "v1",
            "endpoints": [
                {"method": "GET", "path": f"/{words[10]}", "description": f"All {words[10]} entries."},
                {"method": "POST", "path": f"/{words[11]}", "description": f"Add a {words[11]} entry."},
            ],
        },
        "provenance": {
            "repository": f"https://git.example/{plugin.publisher}/{plugin.id}",
            "commit": hashlib.sha1(f"{plugin.id} {version}".encode()).hexdigest(),
            "ref": f"refs/tags/v{version}",
        },
        "manifestUrl": f"{BASE_URL}/plugins/{plugin.id}.json",
        "lastUpdated": format_time(now),
    }
