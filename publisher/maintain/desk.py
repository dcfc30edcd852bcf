"""The maintainers' desk: a registry's files, verified before anything is signed on top of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from publisher.authority import Authority, load_authority, pinned_root
from publisher.registrar.online import days_of
from publisher.tree import DirTree, Overlay, write_changes
from publisher.tuf_repository import (
    OFFLINE,
    STAGING,
    TufRepository,
    delegators_of,
    latest_version,
    promote,
    read_metadata,
    staged_parent,
    staged_version,
)
from registry_client.digest import Digest, verify_digest
from registry_client.errors import ConfigError, SignatureError, VerificationError
from registry_client.layout import served_path

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from securesystemslib.signer import Key, Signer
    from tuf.api.metadata import Metadata, Targets

    from publisher.tree import Tree

_STAGED_HINT = "Delete the file, or restore it from Git history."


class Desk:
    """One change to a registry by its maintainers.

    Args:
        place: the registry's working tree, or its files from elsewhere: a commit, say.
        signers: the keys at hand.
        now: the time, UTC.
        allow_dev_keys: accept development keys.
        root_digest: what metadata/1.root.json must be, or None to take the place's word.

    Raises:
        VerificationError: what stands there is not signed as it should be; nothing is signed on top of it.
    """

    def __init__(
        self,
        place: Path | Tree,
        signers: Sequence[Signer],
        now: datetime,
        *,
        allow_dev_keys: bool = False,
        root_digest: Digest | None = None,
    ) -> None:
        self.folder = place if isinstance(place, Path) else Path()
        self.tree = Overlay(_tree(place))
        self.now = now
        self.allow_dev_keys = allow_dev_keys
        self.root = pinned_root(self.tree, root_digest)
        self.authority: Authority = load_authority(self.tree, self.root, allow_dev_keys=allow_dev_keys)
        self._check_staged()
        self.signers = tuple(signers)
        self.repository = TufRepository(self.tree, signers, now, days_of(self.authority.policy))

    def _check_staged(self) -> None:
        """A staged version must carry a good signature of a maintainer before anyone signs on top of it.

        A root counts as signed by the one before it only: anybody can make one that its own keys sign.
        """
        for role in OFFLINE:
            version = staged_version(self.tree, role)
            if version is None:
                continue
            metadata = _read_staged(self.tree, role, version)
            ahead = staged_parent(self.tree, role)
            vouching = [ahead] if ahead else []
            vouching += delegators_of(self.tree, role, metadata)[-1:]
            if not any(
                delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures).signed
                for delegator in vouching
            ):
                raise SignatureError(
                    f"{STAGING}/{version}.{role}.json: carries no valid signature",
                    hint=_STAGED_HINT,
                )

    @property
    def waiting(self) -> list[str]:
        """Staged metadata that lacks signatures."""
        versions = {role: staged_version(self.tree, role) for role in OFFLINE}
        return [f"{STAGING}/{version}.{role}.json" for role, version in versions.items() if version]

    def document(self, path: str, role: str = "targets") -> bytes | None:
        """The bytes of a maintainers' document, as the newest metadata of its role (staged too) names it."""
        targets: Targets = self.repository.open(role).signed
        info = targets.targets.get(path)
        if info is None:
            return None
        digest = Digest.from_hex(info.hashes["sha256"])
        data = self.tree.read(served_path(path, digest)) or self.tree.read(path) or b""
        return verify_digest(data, digest=digest, size=info.length, where=path)

    def finish(self) -> dict[str, bytes | None]:
        """The whole change, for whoever writes it: bytes by path, or None to delete."""
        for role in OFFLINE:
            promote(self.tree, role)
        return self.tree.changes

    def save(self) -> list[str]:
        """Write the change into the working tree. Returns the paths that changed.

        Raises:
            TypeError: the desk is not over a working tree.
        """
        if not isinstance(self.tree.base, DirTree):
            raise TypeError("there is no working tree to write into")
        changes = self.finish()
        write_changes(self.folder, changes)
        return sorted(changes)

    def signer_for(self, keys: Collection[str]) -> Signer | None:
        """A signer at hand among these keyids, or None."""
        return next((signer for signer in self.signers if signer.public_key.keyid in keys), None)


def _tree(place: Path | Tree) -> Tree:
    return DirTree(place) if isinstance(place, Path) else place


def _read_staged(tree: Tree, role: str, version: int) -> Metadata[Any]:
    """A staged version that can follow on the one that is served, its signatures unchecked.

    Raises:
        VerificationError: it is something else. Signed again, it would stand in the place of another version.
    """
    path = f"{STAGING}/{version}.{role}.json"
    try:
        metadata = read_metadata(tree, role, version, STAGING)
    except VerificationError as e:
        raise VerificationError(e.message, hint=_STAGED_HINT) from e
    following = latest_version(tree, role) + 1
    if version != following:
        raise VerificationError(f"{path}: the next version of role {role} is {following}", hint=_STAGED_HINT)
    if metadata.signed.version != version:
        raise VerificationError(f"{path}: states version {metadata.signed.version}", hint=_STAGED_HINT)
    return metadata


def candidates(place: Path | Tree) -> list[Key]:
    """Every public key that a registry's metadata names: what a KMS or HSM key may be."""
    tree = _tree(place)
    found: dict[str, Key] = {}
    for role in ("root", "targets"):
        version = latest_version(tree, role)
        if version:
            signed: Any = read_metadata(tree, role, version).signed
            keys = signed.keys if role == "root" else (signed.delegations.keys if signed.delegations else {})
            found |= keys
    return list(found.values())


def require_registry(folder: Path) -> Path:
    """Give the folder back if a registry stands in it.

    Raises:
        ConfigError: none does.
    """
    if not (folder / "metadata" / "1.root.json").is_file():
        raise ConfigError(
            f"{folder}: is not a registry (it has no metadata/1.root.json)",
            hint="Make one: 'publisher registry init'.",
        )
    return folder
