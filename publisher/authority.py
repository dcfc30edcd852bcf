"""What the maintainers have signed, verified out of a tree: who may publish what, and what is blocked.

Verification is python-tuf's `verify_delegate`; documents are read from their hash-named copies, so an edit of the readable copies changes
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError

from publisher.tuf_repository import latest_version, parse_metadata, read_metadata
from registry_client.digest import Digest, verify_digest
from registry_client.errors import ConfigError, RegistrarError, SignatureError, VerificationError
from registry_client.keys import refuse_dev_keys
from registry_client.layout import served_path
from registry_client.names import container_name, overlap
from registry_client.signed import PublisherKeys, parse_blocks, parse_policy, parse_publisher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuf.api.metadata import Metadata, Root, Targets

    from publisher.tree import Tree
    from registry_client.models.blocks import Blocks
    from registry_client.models.policy import Policy


@dataclass(frozen=True)
class Authority:
    """The maintainers' statements.

    Attributes:
        root: verified root.
        targets: verified targets.
        blocks_role: verified metadata of role blocks.
        policy: policy.json.
        blocks: blocks.json.
        publishers: publisher files by id.
        documents: bytes of all these documents by path.
    """

    root: Root
    targets: Targets
    blocks_role: Targets
    policy: Policy
    blocks: Blocks
    publishers: Mapping[str, PublisherKeys]
    documents: Mapping[str, bytes]

    def publisher_of(self, plugin_id: str) -> PublisherKeys | None:
        """The one publisher that covers an id, or None."""
        ends = [
            number for number, letter in enumerate(plugin_id, 1) if letter == "-" and number < len(plugin_id)
        ]
        patterns = (plugin_id, *(f"{plugin_id[:end]}*" for end in ends))
        return next((self._by_pattern[p] for p in patterns if p in self._by_pattern), None)

    def container_owner(self, plugin_id: str) -> str | None:
        """The publisher whose patterns fit an id most closely once `-` and `_` are removed, as browser containers do."""
        wanted = container_name(plugin_id)
        best: tuple[bool, int, str] | None = None
        for pattern, keys in self._by_pattern.items():
            start, exact = container_name(pattern.removesuffix("*")), not pattern.endswith("*")
            if wanted == start if exact else wanted.startswith(start):
                best = max(best or (False, -1, ""), (exact, len(start), keys.publisher.id))
        return best[2] if best else None

    @cached_property
    def _by_pattern(self) -> dict[str, PublisherKeys]:
        return {pattern: keys for keys in self.publishers.values() for pattern in keys.publisher.plugins}


def load_authority(tree: Tree, pinned_root: bytes, *, allow_dev_keys: bool) -> Authority:
    """Verify the maintainers' statements of a tree, starting from a pinned root.

    Raises:
        VerificationError: something is not signed as it should be. RegistrarError: two publishers cover one id.
        ConfigError: development keys are in use and not allowed.
    """
    root = load_root(tree, pinned_root)
    targets = _verified(tree, "targets", root)
    blocks_role = _verified(tree, "blocks", targets)
    delegated = targets.delegations.keys.values() if targets.delegations else ()
    for role_keys in (root.keys.values(), delegated):
        refuse_dev_keys([key.to_dict() for key in role_keys], "this registry", allowed=allow_dev_keys)
    documents = {path: _document(tree, targets, path) for path in targets.targets}
    documents["blocks.json"] = _document(tree, blocks_role, "blocks.json")
    if "policy.json" not in documents:
        raise VerificationError("targets metadata names no policy.json")
    publishers = {}
    for path, data in documents.items():
        if path.startswith("publishers/"):
            keys = parse_publisher(data, path)
            if path != f"publishers/{keys.publisher.id}.json":
                raise VerificationError(f"{path}: is the file of publisher {keys.publisher.id!r}")
            refuse_dev_keys(
                [k.model_dump() for k in keys.publisher.keys.values()], path, allowed=allow_dev_keys
            )
            publishers[keys.publisher.id] = keys
    check_no_overlap({name: keys.publisher.plugins for name, keys in publishers.items()})
    return Authority(
        root=root,
        targets=targets,
        blocks_role=blocks_role,
        policy=parse_policy(documents["policy.json"], "policy.json"),
        blocks=parse_blocks(documents["blocks.json"], "blocks.json"),
        publishers=publishers,
        documents=documents,
    )


def load_root(tree: Tree, pinned: bytes) -> Root:
    """The newest root that follows from the pinned one.

    Raises:
        VerificationError: a root in between is not signed by the one before it and by itself.
    """
    metadata: Metadata[Any] = parse_metadata(pinned, "root", "the pinned root")
    verify_role("root", metadata, metadata.signed, "the pinned root")
    root: Root = metadata.signed
    while tree.read(f"metadata/{root.version + 1}.root.json") is not None:
        following = read_metadata(tree, "root", root.version + 1)
        where = f"metadata/{root.version + 1}.root.json"
        if following.signed.version != root.version + 1:
            raise VerificationError(f"{where}: states version {following.signed.version}")
        verify_role("root", following, root, where)
        verify_role("root", following, following.signed, where)
        root = following.signed
    return root


def pinned_root(tree: Tree, digest: Digest | None) -> bytes:
    """The first root of a tree, held against a pinned digest if there is one.

    Raises:
        ConfigError: missing, or another digest.
    """
    data = tree.read("metadata/1.root.json")
    if data is None:
        raise ConfigError(
            "metadata/1.root.json: missing; this is not a registry",
            hint="Make one with 'publisher registry init'.",
        )
    if digest is not None and Digest.of(data) != digest:
        raise ConfigError(
            f"metadata/1.root.json: digest {Digest.of(data)}, but {digest} is pinned",
            hint="Someone replaced the root of trust, or the pin belongs to another registry.",
        )
    return data


def _verified(tree: Tree, role: str, delegator: Root | Targets) -> Targets:
    version = latest_version(tree, role)
    metadata = read_metadata(tree, role, version)
    where = f"metadata/{version}.{role}.json"
    verify_role(role, metadata, delegator, where)
    if metadata.signed.version != version:
        raise VerificationError(f"{where}: states version {metadata.signed.version}")
    signed: Targets = metadata.signed
    return signed


def verify_role(role: str, metadata: Metadata[Any], delegator: Root | Targets, where: str) -> None:
    """Check that metadata meets its delegator's threshold.

    Raises:
        SignatureError: it does not.
    """
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as e:
        raise SignatureError(
            f"{where}: {e}", hint="Restore the file from Git history, or have it signed: 'publisher sign'."
        ) from e


def _document(tree: Tree, role: Targets, path: str) -> bytes:
    info = role.targets.get(path)
    if info is None:
        raise VerificationError(f"no signed metadata names {path}")
    digest = Digest.from_hex(info.hashes["sha256"])
    copy = served_path(path, digest)
    data = tree.read(copy)
    if data is None:
        data = tree.read(path)
    if data is None:
        raise VerificationError(f"{copy}: missing", hint="Restore it from Git history.")
    return verify_digest(data, digest=digest, size=info.length, where=copy)


def check_no_overlap(patterns: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse publishers that could claim one plugin both.

    Raises:
        RegistrarError: names the two patterns.
    """
    flat = sorted((p.removesuffix("*"), p, name) for name, own in patterns.items() for p in own)
    for number, (start, pattern, name) in enumerate(flat):
        for following in range(number + 1, len(flat)):
            other_start, other_pattern, other = flat[following]
            if not other_start.startswith(start):
                break  # whatever this pattern could overlap stands right behind it
            if other != name and overlap(pattern, other_pattern):
                raise RegistrarError(
                    f"publishers {name!r} ({pattern}) and {other!r} ({other_pattern}) could both publish one plugin",
                    hint="Two publishers never cover one id: narrow one of the patterns.",
                )


__all__ = ["Authority", "check_no_overlap", "load_authority", "load_root", "pinned_root", "verify_role"]
