"""The bundle of a mirror: every small file that a client needs for all plugins of the catalogue, as one. Pure but for the tree.

It is a function of the tree alone, so that mirrors of one state hold the same bytes. `registry_client/bundle.py` has the format.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from publisher.tree import TIMESTAMP
from registry_client.bundle import UNPACKED_LIMIT, pack_bundle
from registry_client.digest import Digest
from registry_client.layout import served_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from publisher.tree import Tree

_INDEX = "index/"
_CATALOGUE = "registry.json"


def build_bundle(tree: Tree) -> bytes | None:
    """The bundle of a registry's current state; None where it would be over a limit, or the tree makes no sense.

    Pieces, in this order: what the TUF roles name (blocks, policy, publishers, index shards and directories, the catalogue), the shards
    that directories name, and for each line of the catalogue its manifest. Metadata is not in it: that is asked for in any case.
    """
    try:
        named = dict(_targets(tree))
        pieces = {path: _target(tree, path, digest) for path, digest in sorted(named.items())}
        for path in [path for path in pieces if path.startswith(_INDEX)]:
            pieces |= _below(tree, pieces[path])
        total, manifests = sum(map(len, pieces.values())), []
        if total > UNPACKED_LIMIT:
            return None
        for path, digest in _manifests(pieces):
            data = tree.read(path)
            # Only what the index means goes out: it is as unverified as all here, and could name any file of this machine.
            if data is not None and Digest.of(data) == digest:
                total += len(data)
                manifests.append(data)
            if total > UNPACKED_LIMIT:
                return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # a mirror copies; what is wrong with the tree, `audit` says
    return pack_bundle([*pieces.values(), *manifests])


def _signed(tree: Tree, path: str) -> dict[str, Any]:
    signed: dict[str, Any] = json.loads(tree.read(path) or b"")["signed"]
    return signed


def _targets(tree: Tree) -> Iterator[tuple[str, str]]:
    """Each target of the current roles with its digest in hex."""
    snapshot = _signed(tree, TIMESTAMP)["meta"]["snapshot.json"]["version"]
    roles = _signed(tree, f"metadata/{snapshot}.snapshot.json")["meta"]
    for name, info in roles.items():
        for path, target in _signed(tree, f"metadata/{info['version']}.{name}").get("targets", {}).items():
            yield path, target["hashes"]["sha256"]


def _target(tree: Tree, path: str, hexdigest: str) -> bytes:
    digest = Digest.from_hex(hexdigest)
    data = tree.read(served_path(path, digest))
    if data is None or Digest.of(data) != digest:
        raise ValueError(f"{path}: is named, and not there")
    return data


def _below(tree: Tree, data: bytes) -> dict[str, bytes]:
    """The shards that an index directory names, by path; none for a shard."""
    document = json.loads(data)
    if document.get("kind") != "index-directory":
        return {}
    found = {}
    for shard in document["shards"]:
        path = f"{_INDEX}{document['bits']}/{shard['bits']}.json"
        found[path] = _target(tree, path, Digest(shard["digest"]).hex)
    return found


def _manifests(pieces: dict[str, bytes]) -> Iterator[tuple[str, Digest]]:
    """Path and digest of the manifests that the catalogue's lines mean, by id; the index says them, not the line itself."""
    places = {}
    for path, data in pieces.items():
        if path.startswith(_INDEX):
            for line in json.loads(data).get("lines", ()):
                named = line["manifest"]
                places[line["id"], line["version"]] = named["path"], Digest(named["digest"])
    catalogue = json.loads(pieces[_CATALOGUE])["plugins"]
    for line in sorted(catalogue, key=lambda line: str(line["id"])):
        place = places.get((line["id"], line["version"]))
        if place is not None:
            yield place
