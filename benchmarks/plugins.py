"""The plugins of a benchmark and what their publishers sign, all of it computed from a number: the same number gives the same bytes.

So a registry of 100,000 plugins needs no 500,000 files on disk: whoever asks for a manifest gets it made (`benchmarks.generated`).
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from publisher.documents import sign_document
from publisher.set_status import Change, build_release
from registry_client.models.base import format_time
from registry_client.models.release import ReleaseStatus

if TYPE_CHECKING:
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


_ID = re.compile(r"team[0-9]{2}-[a-z]+-([0-9]{6})")


@cache
def key(name: str) -> CryptoSigner:
    """A key computed from its name."""
    seed = hashlib.sha256(f"plugin-registry benchmark key {name}".encode()).digest()
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


@dataclass(frozen=True)
class Plugin:
    """A plugin of the benchmark."""

    id: str
    publisher: str


def publishers_of(count: int) -> tuple[str, ...]:
    """The publishers of a registry of so many plugins: one for each ten, at most 100."""
    return tuple(f"team{number:02}" for number in range(min(MOST_PUBLISHERS, max(1, count // 10))))


def plugin_at(number: int, count: int) -> Plugin:
    """One plugin of a registry of so many."""
    publishers = min(MOST_PUBLISHERS, max(1, count // 10))
    publisher = f"team{number % publishers:02}"
    return Plugin(f"{publisher}-{_WORDS[number % len(_WORDS)]}-{number:06}", publisher)


def number_of(plugin_id: str, count: int) -> int | None:
    """Which plugin of a registry of so many this is; None for none."""
    match = _ID.fullmatch(plugin_id)
    number = int(match[1]) if match else count
    return number if number < count and plugin_at(number, count).id == plugin_id else None


def build_plugins(count: int) -> tuple[Plugin, ...]:
    """The plugins of a registry of so many."""
    return tuple(plugin_at(number, count) for number in range(count))


def signed_manifest(plugin: Plugin, version: str, now: datetime) -> dict[str, Any]:
    """A manifest as its publisher signs it."""
    return sign_document(build_manifest(plugin, version, now), [key(plugin.publisher)])


def has_release(number: int, position: int) -> bool:
    """Whether a version has a release document. No newest one has, so that each plugin has one to be found."""
    return (number * len(VERSIONS) + position) % 10 == 3


def signed_release(
    plugin: Plugin, number: int, position: int, manifest: dict[str, Any], now: datetime
) -> dict[str, Any] | None:
    """The release document of every tenth version of a registry; None for the others.

    Args:
        plugin: the plugin.
        number: its number.
        position: the number of the version in `VERSIONS`.
        manifest: the signed manifest.
        now: when it is signed.
    """
    if not has_release(number, position):
        return None
    change = _CHANGES[(number * len(VERSIONS) + position) // 10 % len(_CHANGES)]
    return sign_document(build_release(manifest, None, change, REGISTRY, now), [key(plugin.publisher)])


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
