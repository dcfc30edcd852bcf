"""What maintainers' statements change, said for the people who merge them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.changes import compare
from publisher.review.verdict import Fact
from publisher.tuf_repository import read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuf.api.metadata import Root, Targets

    from publisher.authority import Authority
    from publisher.tree import Tree
    from registry_client.models.publisher import Publisher

_SHORT = 16


def describe_authority(before: Authority, after: Authority, tree: Tree) -> list[Fact]:
    """What differs, and who signed it.

    Args:
        before: the statements in force.
        after: those that would be.
        tree: where the new metadata stands.
    """
    return [
        *_publishers(before, after),
        *_difference("Policy", _members(before.policy), _members(after.policy)),
        *_difference("Blocks", _blocks(before), _blocks(after)),
        *_difference("Keys", dict(_keys(before)), dict(_keys(after))),
        *_signers(before, after, tree),
    ]


def _difference(label: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Fact]:
    text = compare(new, old).text()
    if text:
        yield Fact(label, text)


def _members(model: Any) -> dict[str, Any]:
    members: dict[str, Any] = model.model_dump(by_alias=True, exclude_none=True)
    return members


def _publishers(before: Authority, after: Authority) -> Iterator[Fact]:
    for name in sorted({*before.publishers, *after.publishers}):
        old, new = before.publishers.get(name), after.publishers.get(name)
        was = dict(_publisher(old.publisher)) if old else {}
        now = dict(_publisher(new.publisher)) if new else {}
        if old is None or new is None:
            yield Fact(f"Publisher {name}", "is new" if old is None else "is removed")
        yield from _difference(f"Publisher {name}", was, now)


def _publisher(publisher: Publisher) -> Iterator[tuple[str, Any]]:
    yield f"name {publisher.name}", True
    yield f"threshold {publisher.threshold}", True
    for pattern in publisher.plugins:
        yield f"plugins {pattern}", True
    for number in publisher.repository_ids:
        yield f"repository {number}", True
    for keyid in publisher.keys:
        yield f"key {keyid[:_SHORT]}…", True
    for keyid, retired in (publisher.retired_keys or {}).items():
        yield f"retired key {keyid[:_SHORT]}…", retired
    for keyid in publisher.revoked_keys or {}:
        yield f"revoked key {keyid[:_SHORT]}…", True


def _blocks(authority: Authority) -> dict[str, Any]:
    return {f"{b.id} {b.versions} ({b.action.value}: {b.reason})": True for b in authority.blocks.blocks}


def _keys(authority: Authority) -> Iterator[tuple[str, Any]]:
    """Each role's keys and threshold."""
    roles: dict[str, Any] = dict(authority.root.roles)
    delegations = authority.targets.delegations
    roles |= (delegations.roles or {}) if delegations else {}
    for name, role in roles.items():
        yield f"{name}: threshold {role.threshold}", True
        for keyid in role.keyids:
            yield f"{name}: key {keyid[:_SHORT]}…", True


def _signers(before: Authority, after: Authority, tree: Tree) -> Iterator[Fact]:
    """Whose signatures count on what is new."""
    roles: list[tuple[str, Any, Any, Root | Targets]] = [
        ("root", before.root, after.root, after.root),
        ("targets", before.targets, after.targets, after.root),
        ("blocks", before.blocks_role, after.blocks_role, after.targets),
    ]
    for role, old, new, delegator in roles:
        if old.version == new.version:
            continue
        metadata = read_metadata(tree, role, new.version)
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        keyids = ", ".join(f"{keyid[:_SHORT]}…" for keyid in sorted(result.signed))
        yield Fact(f"Metadata {role} {new.version}", f"signed by {keyids}")


__all__ = ["describe_authority"]
