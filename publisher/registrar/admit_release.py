"""Whether a release document may enter the index: signature, identity, revision. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.registrar.submission import Context, Result, Submission, check_identity
from publisher.schemas import validate_against
from registry_client.errors import DocumentError, PublishError, RegistryError, RollbackError
from registry_client.models.index import SHARD_LIMIT
from registry_client.signed import (
    Parsed,
    PublisherKeys,
    parse_embedded_release,
    parse_release,
    verify_release,
)

if TYPE_CHECKING:
    from publisher.registrar.state import Row, State
    from registry_client.models.release import Release

# Releases leave room for quarantines of the versions that are in a shard already.
_FULL_WITH_RELEASES = SHARD_LIMIT * 15 // 16
_MAX_STEP = 1000


def admit_release(
    submission: Submission, data: bytes, row: Row | None, state: State, keys: PublisherKeys, context: Context
) -> tuple[Row, Result]:
    """Judge the release document of a submission.

    Returns:
        The index line as it becomes, and what became of the document.

    Raises:
        RegistryError: it is refused.
    """
    where = f"{submission.source}: release.json"
    document = parse_release(data, where)
    problems = validate_against("release", document.raw, where)
    if problems:
        raise DocumentError(where, problems)
    check_identity(document, submission, where)
    if row is None:
        raise PublishError(
            f"{where}: {submission.id} {submission.version} is not published",
            hint="Publish the manifest first.",
        )
    verified = verify_release(
        document, keys, registry=context.authority.policy.registry, manifest=row.payload_digest
    )
    current = row.raw.get("release")
    known = None if current is None else parse_embedded_release(current, where)
    if (
        known is not None
        and known.payload_digest == document.payload_digest
        and not _renews(known, document, keys)
    ):
        return row, Result.UNCHANGED
    check_revision(document, known)
    # Only signatures that count go into the index: anyone can append others.
    signatures = [item for item in document.raw["signatures"] if item["keyid"] in verified.keyids]
    renewed = row.replaced(release={**document.raw, "signatures": signatures})
    growth = len(renewed.text.encode()) - len(row.text.encode())
    if growth > 0 and state.shard_size(row.raw["id"]) + growth > _FULL_WITH_RELEASES:
        raise PublishError(
            f"{where}: the index shard of {submission.id!r} is full", hint="Shorten the reason."
        )
    return renewed, Result.RELEASED


def _renews(known: Parsed[Release], document: Parsed[Release], keys: PublisherKeys) -> bool:
    """Whether the same release comes with signatures that count while the known one's do not any more."""
    try:
        keys.verify(known)
    except RegistryError:
        return known.raw != document.raw
    return False


def check_revision(document: Parsed[Release], known: Parsed[Release] | None) -> None:
    """Refuse a release that is older than the one in force, or far ahead of it. Raises PublishError, RollbackError."""
    revision, current = document.model.revision, known.model.revision if known is not None else 0
    if revision > current + _MAX_STEP:
        raise PublishError(
            f"{document.where}: revision {revision}, but revision {current} is in force; it rises by at most {_MAX_STEP}",
            hint="A thief could use up all revisions. Make the change with 'publisher set-status'.",
        )
    if revision > current or (known is not None and known.payload_digest == document.payload_digest):
        return
    raise RollbackError(
        f"{document.where}: revision {revision}, but revision {current} is already in force",
        hint="Make the change again with 'publisher set-status'; it takes the next revision.",
    )
