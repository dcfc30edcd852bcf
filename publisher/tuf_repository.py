"""TUF metadata of a registry, written through python-tuf's `Repository`: an edit of a role is one transaction.

Each role's metadata carries for how many days it is signed (`x-plugin-registry-expiry-days`), so that renewing it needs no other file.
A version that lacks signatures is staged, not served: `publisher sign` adds one at a time until its threshold is met.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import (
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer
from tuf.repository import Repository

from publisher.tree import TIMESTAMP, Overlay, Tree
from registry_client.digest import Digest
from registry_client.errors import ConfigError, RegistrarError, VerificationError
from registry_client.layout import served_path
from registry_client.roles import EXPIRY_DAYS, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from securesystemslib.signer import Signer

ONLINE = ("registrar", "snapshot", "timestamp")
OFFLINE = ("root", "targets", "blocks")
DEFAULT_DAYS = {"root": 365, "targets": 180, "blocks": 180, "registrar": 21, "snapshot": 21, "timestamp": 7}
STAGING = "staging"
BASIS = "x-plugin-registry-base"
"""Member of the registrar's signed part: what the next run builds on. Kept only as far as the present key signed it."""
_BELOW = ("targets.json", "blocks.json", "registrar.json")
_MAX_VERSION = 2**31
_COMPACT = JSONSerializer(compact=True)
_READABLE = JSONSerializer(compact=False)
_TYPES: dict[str, type[Any]] = {"root": Root, "timestamp": Timestamp, "snapshot": Snapshot}
_VERSIONED = re.compile(r"(?:metadata|staging)/([1-9][0-9]{0,18})\.([a-z]+)\.json")


def latest_version(tree: Tree, role: str, folder: str = "metadata") -> int:
    """The highest version of a role's metadata in a folder; 0 if there is none."""
    versions = [0]
    for path in tree.paths(folder):
        match = _VERSIONED.fullmatch(path)
        if match and match[2] == role:
            versions.append(int(match[1]))
    return max(versions)


def metadata_path(role: str, version: int, folder: str = "metadata") -> str:
    """Where a version of a role's metadata stands."""
    return TIMESTAMP if role == "timestamp" else f"{folder}/{version}.{role}.json"


def read_metadata(tree: Tree, role: str, version: int, folder: str = "metadata") -> Metadata[Any]:
    """Metadata as it stands, its signatures unchecked.

    Raises:
        VerificationError: missing, or not metadata of that role.
    """
    path = metadata_path(role, version, folder)
    data = tree.read(path)
    if data is None:
        raise VerificationError(
            f"{path}: missing", hint="Restore it from Git history: 'git checkout HEAD~1 -- metadata'."
        )
    return parse_metadata(data, role, path)


def parse_metadata(data: bytes, role: str, where: str) -> Metadata[Any]:
    """Metadata out of bytes, its signatures unchecked.

    Raises:
        VerificationError: not metadata of that role.
    """
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except (RepositoryError, ValueError) as e:
        raise VerificationError(f"{where}: is not TUF metadata: {e}") from e
    if not isinstance(metadata.signed, _TYPES.get(role, Targets)):
        raise VerificationError(f"{where}: is metadata of type {metadata.signed.type}, not of role {role}")
    return metadata


def add_target(targets: Targets, path: str, data: bytes) -> str:
    """Name a target in a role's metadata.

    Policies are named with the registry's id, so that clients know it without fetching them.

    Returns:
        Where the target is served: below `targets/`, its name prefixed with its digest.
    """
    target = TargetFile.from_data(path, data, ["sha256"])
    if path == "policy.json":
        target.unrecognized_fields["custom"] = {"registry": json.loads(data)["registry"]}
    targets.targets[path] = target
    return served_path(path, Digest.of(data))


class TufRepository(Repository):
    """A registry's TUF metadata in a tree.

    Args:
        tree: where metadata is read and written.
        signers: all signers at hand; each role takes those whose keyid it knows.
        now: the time of signing, UTC.
        days: expiry in days: of online roles always, of the others when they are made; they carry their own from then on.
    """

    def __init__(
        self, tree: Overlay, signers: Iterable[Signer], now: datetime, days: Mapping[str, int] | None = None
    ) -> None:
        self.tree = tree
        self.now = now.astimezone(UTC).replace(microsecond=0)
        self._signers = {signer.public_key.keyid: signer for signer in signers}
        self._days = days or DEFAULT_DAYS
        self.staged: list[str] = []

    def open(self, role: str) -> Metadata[Any]:
        """The newest metadata of a role, staged versions included; a first version if there is none."""
        if role == "timestamp":
            data = self.tree.read(TIMESTAMP)
            return self._rebuilt(role, parse_metadata(data, role, TIMESTAMP)) if data else self._first(role)
        served, staged = latest_version(self.tree, role), staged_version(self.tree, role)
        if staged is not None:
            metadata = read_metadata(self.tree, role, staged, STAGING)
            metadata.signed.version -= 1  # close() writes the same version again
            return metadata
        if not served:
            return self._first(role)
        metadata = read_metadata(self.tree, role, served)
        return self._rebuilt(role, metadata) if role in ONLINE else metadata

    def root(self) -> Root:
        """The newest root that is served. A staged one says nothing yet about who signs online roles."""
        root: Root = read_metadata(self.tree, "root", latest_version(self.tree, "root")).signed
        return root

    def _rebuilt(self, role: str, md: Metadata[Any]) -> Metadata[Any]:
        """An online role with only what belongs into it: who could write the file must not have more signed than that.

        Raises:
            RegistrarError: its version is beyond anything that honest runs reach.
        """
        old = md.signed
        if old.version > _MAX_VERSION:
            raise RegistrarError(
                f"the {role} metadata has version {old.version}, which no honest run reaches",
                hint="The online key was stolen: 'publisher registry rotate . online --compromised --add NEW'.",
            )
        signed: Any
        if role == "timestamp":
            signed = Timestamp(old.version, expires=old.expires, snapshot_meta=old.snapshot_meta)
            self._name_versions(signed)
        elif role == "snapshot":
            known = {name: old.meta[name] for name in _BELOW if name in old.meta}
            signed = Snapshot(old.version, expires=old.expires, meta=known)
        else:
            signed = Targets(old.version, expires=old.expires, targets=old.targets)
            if BASIS in old.unrecognized_fields and is_complete(role, md, delegators_of(self.tree, role, md)):
                signed.unrecognized_fields[BASIS] = old.unrecognized_fields[BASIS]
        signed.unrecognized_fields[EXPIRY_DAYS] = self._days[role]
        return Metadata(signed, md.signatures)

    def _name_versions(self, timestamp: Timestamp) -> None:
        """Say in a timestamp which version of each role its snapshot names, so that clients can ask for all of them at once."""
        data = self.tree.read(metadata_path("snapshot", timestamp.snapshot_meta.version))
        if data is not None:
            meta = parse_metadata(data, "snapshot", "the snapshot").signed.meta
            versions = {name.removesuffix(".json"): info.version for name, info in sorted(meta.items())}
            timestamp.unrecognized_fields[VERSIONS] = versions

    def close(self, role: str, md: Metadata[Any]) -> None:
        """Sign the next version of a role and write it, or stage it if signatures are missing.

        Raises:
            ConfigError: no key of this role is at hand.
        """
        signed = md.signed
        if role == "timestamp":
            self._name_versions(signed)
        signed.version += 1
        days = int(signed.unrecognized_fields.setdefault(EXPIRY_DAYS, self._days[role]))
        # Online roles were rebuilt by open(), with the policy's days.
        signed.expires = self.now + timedelta(days=days)
        md.signatures.clear()
        delegators = delegators_of(self.tree, role, md)
        keyids = keyids_for(self.tree, role, md)
        mine = [signer for keyid, signer in sorted(self._signers.items()) if keyid in keyids]
        # New root keys cannot vouch for themselves: one of the root before must be there too.
        needed = set(delegators[-1].get_delegated_role(role).keyids) if role == "root" else keyids
        if not needed.intersection(self._signers):
            listed = ", ".join(sorted(f"{keyid[:16]}…" for keyid in needed))
            raise ConfigError(f"no key of role {role} was given", hint=f"Give one of {listed} with --key.")
        for signer in mine:
            add_signature(md, signer)
        self._write(role, md, complete=is_complete(role, md, delegators))

    def _write(self, role: str, md: Metadata[Any], *, complete: bool) -> None:
        version = md.signed.version
        folder = "metadata" if complete else STAGING
        self.tree.delete(metadata_path(role, version, STAGING)) if role != "timestamp" else None
        if not complete:
            if role in ONLINE:
                raise RegistrarError(f"the keys given do not reach the threshold of role {role}")
            self.staged.append(metadata_path(role, version, STAGING))
        self.tree.write(metadata_path(role, version, folder), dump_metadata(role, md))

    def _first(self, role: str) -> Metadata[Any]:
        signed = _TYPES.get(role, Targets)()
        signed.version = 0
        signed.unrecognized_fields[EXPIRY_DAYS] = self._days[role]
        if role == "snapshot":
            signed.meta = {}
        if role == "timestamp":
            signed.snapshot_meta = MetaFile(1)
        return Metadata(signed)

    @property
    def targets_infos(self) -> dict[str, MetaFile]:
        """What the snapshot says of the roles below `targets`: their newest complete versions."""
        infos = {}
        for role in ("targets", "blocks", "registrar"):
            version = latest_version(self.tree, role)
            if version:
                data = self.tree.read(metadata_path(role, version)) or b""
                infos[f"{role}.json"] = MetaFile.from_data(version, data, ["sha256"])
        return infos

    @property
    def snapshot_info(self) -> MetaFile:
        """What the timestamp says of the newest snapshot."""
        version = latest_version(self.tree, "snapshot")
        data = self.tree.read(metadata_path("snapshot", version)) or b""
        return MetaFile.from_data(version, data, ["sha256"])


def dump_metadata(role: str, md: Metadata[Any]) -> bytes:
    """Metadata as it is written: online roles compact, those that people review indented."""
    return md.to_bytes(_COMPACT if role in ONLINE else _READABLE) + b"\n"


def add_signature(md: Metadata[Any], signer: Signer) -> None:
    """Sign metadata with one more key.

    Raises:
        ConfigError: the key could not sign. What its service said is not repeated: it may hold credentials.
    """
    try:
        md.sign(signer, append=True)
    except UnsignedMetadataError as e:
        raise ConfigError(
            f"key {signer.public_key.keyid[:16]}… could not sign ({type(e.__cause__).__name__})",
            hint="Check that the key service can be reached and that you may use the key.",
        ) from None


def delegators_of(tree: Tree, role: str, md: Metadata[Any]) -> list[Root | Targets]:
    """Whose thresholds metadata of a role must meet to be served; for a new root, the old root's and its own."""
    if role == "root":
        roots: list[Root | Targets] = [md.signed]
        previous = md.signed.version - 1
        if previous:
            roots.append(read_metadata(tree, "root", previous).signed)
        return roots
    parent = parent_of(role)
    return [read_metadata(tree, parent, latest_version(tree, parent)).signed]


def parent_of(role: str) -> str:
    """The role that names the keys of a role."""
    return "targets" if role in {"blocks", "registrar"} else "root"


def staged_version(tree: Tree, role: str) -> int | None:
    """The version of a role that waits for signatures, or None. Online roles never wait: a file of that name there is nobody's."""
    if role not in OFFLINE:
        return None
    staged = latest_version(tree, role, STAGING)
    return staged if staged > latest_version(tree, role) else None


def read_newest(tree: Tree, role: str) -> Metadata[Any]:
    """The newest metadata of a role, staged versions included."""
    staged = staged_version(tree, role)
    return (
        read_metadata(tree, role, staged, STAGING)
        if staged
        else read_metadata(tree, role, latest_version(tree, role))
    )


def staged_parent(tree: Tree, role: str) -> Root | Targets | None:
    """The staged metadata that will name the keys of a role, or None."""
    parent = parent_of(role)
    version = staged_version(tree, parent) if role != "root" else None
    if version is None:
        return None
    signed: Root | Targets = read_metadata(tree, parent, version, STAGING).signed
    return signed


def keyids_for(tree: Tree, role: str, md: Metadata[Any]) -> set[str]:
    """The keys that may sign a role: those of today, and those of a staged change of keys, which are signed with ahead."""
    ahead = staged_parent(tree, role) if role in OFFLINE else None
    delegators = [*delegators_of(tree, role, md), *([ahead] if ahead else [])]
    return {keyid for delegator in delegators for keyid in delegator.get_delegated_role(role).keyids}


def promote(tree: Overlay, role: str) -> bool:
    """Serve a role's staged version if its thresholds are met and what it delegates is signed for it; that is then served too.

    Returns:
        Whether it was.
    """
    version = staged_version(tree, role)
    if version is None:
        return False
    metadata = read_metadata(tree, role, version, STAGING)
    child = {"root": "targets", "targets": "blocks"}.get(role)
    if not is_complete(role, metadata, delegators_of(tree, role, metadata)):
        return False
    if child and not is_complete(child, read_newest(tree, child), [metadata.signed]):
        return False
    tree.write(metadata_path(role, version), dump_metadata(role, metadata))
    tree.delete(metadata_path(role, version, STAGING))
    if child:
        promote(tree, child)
    return True


def is_complete(role: str, md: Metadata[Any], delegators: list[Root | Targets]) -> bool:
    """Whether every delegator's threshold is met."""
    try:
        for delegator in delegators:
            delegator.verify_delegate(role, md.signed_bytes, md.signatures)
    except (UnsignedMetadataError, UnverifiedSignatureError):
        return False
    return True


def delegations(blocks: list[Any], registrar: list[Any]) -> Delegations:
    """What `targets` delegates: blocks.json to any one maintainer on call, the index to the registrar.

    Args:
        blocks: public keys of the blocks role.
        registrar: public keys of the registrar role.
    """
    from tuf.api.metadata import DelegatedRole  # noqa: PLC0415

    keys = {key.keyid: key for key in (*blocks, *registrar)}
    roles = {
        "blocks": DelegatedRole(
            "blocks", [key.keyid for key in blocks], 1, terminating=True, paths=["blocks.json"]
        ),
        "registrar": DelegatedRole(
            "registrar",
            [key.keyid for key in registrar],
            1,
            terminating=True,
            paths=["registry.json", "index/*.json"],
        ),
    }
    return Delegations(keys, roles)
