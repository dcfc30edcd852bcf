"""A registry's served tree, fetched by URL: everything that its metadata refers to, bounded and checked by digest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from publisher.authority import load_authority, load_root, verify_role
from publisher.registrar.rows import read_rows
from publisher.registrar.sharding import read_directory
from publisher.tree import MemoryTree
from publisher.tuf_repository import latest_version, parse_metadata, read_metadata
from registry_client.catalogue import parse_catalogue
from registry_client.digest import Digest, verify_digest
from registry_client.errors import DigestError, NotFetchedError, TooLargeError, VerificationError
from registry_client.http import Deadline, Transport
from registry_client.layout import plain_path, served_path
from registry_client.models.index import CATALOGUE_LIMIT
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.shards import shard_path
from registry_client.signed import parse_manifest
from registry_client.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuf.api.metadata import MetaFile, Root, TargetFile, Targets

    from publisher.authority import Authority
    from publisher.registrar.rows import Row
    from publisher.registrar.sharding import Ref

_METADATA_LIMIT = 2_000_000
_NAMED = ("targets.json", "blocks.json", "registrar.json")
_PARALLEL = 16


def fetch_tree(url: str, pinned_root: bytes, *, allow_dev_keys: bool, timeout: float = 600.0) -> MemoryTree:
    """Fetch a whole registry.

    Args:
        url: its base URL.
        pinned_root: the root of trust.
        allow_dev_keys: accept development keys.
        timeout: seconds in all.

    Raises:
        FetchError: a file could not be fetched. VerificationError: it is not what was signed.
    """
    fetcher = _Fetcher(check_base_url(url), Deadline(timeout))
    tree = MemoryTree({"metadata/1.root.json": pinned_root})
    fetcher.roots(tree, int(parse_metadata(pinned_root, "root", "the pinned root").signed.version))
    fetcher.metadata(tree)
    authority = load_authority(tree, pinned_root, allow_dev_keys=allow_dev_keys)
    for path, data in authority.documents.items():
        tree.files.setdefault(path, data)
    rows = fetcher.index(tree, authority)
    fetcher.plugins(tree, rows)
    return tree


def fetch_metadata(url: str, pinned_root: bytes, *, timeout: float = 120.0) -> MemoryTree:
    """Fetch a registry's metadata and the maintainers' documents alone.

    Args:
        url: its base URL.
        pinned_root: the root of trust.
        timeout: seconds in all.

    Raises:
        FetchError: a file could not be fetched. VerificationError: it is not what the metadata above it names.
    """
    fetcher = _Fetcher(check_base_url(url), Deadline(timeout))
    tree = MemoryTree({"metadata/1.root.json": pinned_root})
    fetcher.roots(tree, int(parse_metadata(pinned_root, "root", "the pinned root").signed.version))
    fetcher.metadata(tree)
    return tree


def fetch_root(url: str, digest: Digest, *, timeout: float = 60.0) -> bytes:
    """Fetch a registry's first root, of which the digest is pinned.

    Raises:
        FetchError: it could not be fetched. DigestError: it is another one.
    """
    base = check_base_url(url)
    data = _Fetcher(base, Deadline(timeout)).get("metadata/1.root.json", _METADATA_LIMIT)
    return verify_digest(data, digest=digest, size=None, where=f"{base}/metadata/1.root.json")


def _digest_of(info: MetaFile | TargetFile, path: str) -> Digest:
    """What metadata says that a file is.

    Raises:
        VerificationError: it says nothing usable.
    """
    try:
        return Digest.from_hex((info.hashes or {})["sha256"])
    except (KeyError, ValueError) as e:
        raise VerificationError(f"{path}: the metadata names it without a usable sha256 digest") from e


class _Fetcher:
    def __init__(self, base: str, deadline: Deadline) -> None:
        self._base = base
        self._deadline = deadline
        self._transport = Transport()

    def get(self, path: str, limit: int) -> bytes:
        try:
            return self._transport.get(f"{self._base}/{path}", limit=limit, deadline=self._deadline).data
        except TooLargeError as e:  # not what was signed, whatever it is
            raise DigestError(e.message, hint="The file was changed or replaced.") from e

    def roots(self, tree: MemoryTree, version: int) -> None:
        """All roots, from the pinned one on, each verified before the next is asked for."""
        pinned = tree.files["metadata/1.root.json"]
        tree.files[f"metadata/{version}.root.json"] = pinned
        while True:
            version += 1
            path = f"metadata/{version}.root.json"
            try:
                tree.files[path] = self.get(path, _METADATA_LIMIT)
            except NotFetchedError:
                return
            load_root(tree, pinned)

    def metadata(self, tree: MemoryTree) -> None:
        """Timestamp, snapshot, and the roles that it names, with the documents of the maintainers."""
        tree.files["metadata/timestamp.json"] = self.get("metadata/timestamp.json", 16_384)
        timestamp = parse_metadata(
            tree.files["metadata/timestamp.json"], "timestamp", "metadata/timestamp.json"
        )
        snapshot_path = f"metadata/{timestamp.signed.snapshot_meta.version}.snapshot.json"
        tree.files[snapshot_path] = self._meta(snapshot_path, timestamp.signed.snapshot_meta)
        snapshot = parse_metadata(tree.files[snapshot_path], "snapshot", snapshot_path)
        delegator: Root | Targets = load_root(tree, tree.files["metadata/1.root.json"])
        for name in _NAMED:
            meta = snapshot.signed.meta.get(name)
            if meta is None:
                raise VerificationError(f"{self._base}/{snapshot_path}: names no {name}")
            path = f"metadata/{meta.version}.{name}"
            tree.files[path] = self._meta(path, meta)
            if name != "registrar.json":  # its keys are known once targets is; `index` verifies it
                role = name.removesuffix(".json")
                metadata = parse_metadata(tree.files[path], role, path)
                verify_role(role, metadata, delegator, path)
                delegator = metadata.signed  # of blocks, which comes after targets
                self._copies(tree, metadata.signed)

    def _meta(self, path: str, meta: MetaFile) -> bytes:
        data = self.get(path, min(meta.length or _METADATA_LIMIT, _METADATA_LIMIT))
        if meta.hashes and "sha256" in meta.hashes:
            verify_digest(data, digest=_digest_of(meta, path), size=meta.length, where=path)
        return data

    def _copies(self, tree: MemoryTree, role: Targets) -> None:
        wanted = {}
        for path, info in role.targets.items():
            digest = _digest_of(info, path)
            wanted[served_path(path, digest)] = (digest, min(info.length, CATALOGUE_LIMIT))
        tree.files |= self._all(wanted)

    def index(self, tree: MemoryTree, authority: Authority) -> list[Row]:
        """The registrar's targets, and the rows in its shards."""
        version = latest_version(tree, "registrar")
        metadata = read_metadata(tree, "registrar", version)
        verify_role("registrar", metadata, authority.targets, f"metadata/{version}.registrar.json")
        role: Targets = metadata.signed
        self._copies(tree, role)
        rows: list[Row] = []
        below: dict[str, tuple[str, Ref]] = {}
        for name, info in role.targets.items():
            data = tree.files[served_path(name, Digest.from_hex(info.hashes["sha256"]))]
            if name == "registry.json":
                tree.files["registry.json"] = data
                continue
            directory = read_directory(data, name)
            if directory is None:
                rows += read_rows(data, name)
                continue
            paths = {shard_path(bits): ref for bits, ref in directory.items()}
            below |= {served_path(path, ref.digest): (path, ref) for path, ref in paths.items()}
        tree.files |= self._all({copy: ref for copy, (_, ref) in below.items()})
        return rows + [row for copy, (path, _) in below.items() for row in read_rows(tree.files[copy], path)]

    def plugins(self, tree: MemoryTree, rows: list[Row]) -> None:
        """Manifests and in-tree artifacts."""
        tree.files |= self._all(
            {row.path: (row.digest, row.raw["manifest"]["size"]) for row in rows if "removed" not in row.raw}
        )
        artifacts = {}
        for row in rows:
            release = row.release_file
            if release is not None:
                tree.files[row.release_path] = release
            if row.path in tree.files:
                manifest = parse_manifest(tree.files[row.path], f"{self._base}/{row.path}").model
                for item in manifest.artifacts or ():
                    if ":" not in item.url:
                        artifacts[item.url] = (item.digest, item.size)
        tree.files |= self._all(artifacts)
        folders = {row.raw["id"]: row.folder for row in rows}
        for entry in parse_catalogue(tree.files["registry.json"], f"{self._base}/registry.json"):
            if entry.id in folders:
                path = plain_path(folders[entry.id])
                tree.files[path] = self.get(path, MANIFEST_LIMIT)

    def _all(self, wanted: Mapping[str, tuple[Digest, int]]) -> dict[str, bytes]:
        def one(path: str) -> bytes:
            digest, size = wanted[path]
            return verify_digest(self.get(path, size), digest=digest, size=size, where=f"{self._base}/{path}")

        with ThreadPoolExecutor(_PARALLEL) as pool:
            return dict(zip(wanted, pool.map(one, wanted), strict=True))
