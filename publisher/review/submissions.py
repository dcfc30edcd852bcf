"""Everything that is wrong with one submission. `admit` stops at the first problem; an author wants to hear of all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.check import check_manifest
from publisher.registrar.admit import check_artifact, check_free, publisher_for
from publisher.registrar.admit_release import check_revision
from publisher.registrar.submission import check_identity
from publisher.schemas import validate_against
from registry_client.errors import DocumentError, ManifestError, RegistryError
from registry_client.jsontext import parse_json
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.release import RELEASE_LIMIT
from registry_client.signed import (
    parse_embedded_release,
    parse_manifest,
    parse_release,
    verify_manifest,
    verify_release,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from publisher.registrar.state import State
    from publisher.registrar.submission import Context, Submission
    from registry_client.signed import PublisherKeys

Json = dict[str, Any]


class _Errors(list[RegistryError]):
    """Errors that checks raised, in order."""

    def check(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run a check. What it gives, or None if it raised."""
        try:
            return function(*arguments, **named)
        except RegistryError as e:
            self.append(e)
            return None


def find_all(submission: Submission, state: State, context: Context) -> list[RegistryError]:
    """The errors of every check that `admit` makes, as far as each can be made on its own.

    The state stays as it is. What `admit` alone can say, such as that a version exists, is not among them.
    """
    errors = _Errors()
    keys = errors.check(publisher_for, submission.id, context.authority)
    if submission.manifest is not None:
        _manifest(errors, submission, submission.manifest, state, keys, context)
    if submission.release is not None:
        _release(errors, submission, submission.release, state, keys, context)
    return list(errors)


def _manifest(
    errors: _Errors,
    submission: Submission,
    data: bytes,
    state: State,
    keys: PublisherKeys | None,
    context: Context,
) -> None:
    where = f"{submission.source}: manifest.json"
    raw: Json | None = errors.check(parse_json, data, limit=MANIFEST_LIMIT, where=where)
    if raw is None or state.get(submission.id, submission.version) is not None:
        return  # of a published version only its identity counts
    problems = check_manifest(raw, where, signed=True)
    if problems:
        errors.append(ManifestError(where, problems))
    try:
        document = parse_manifest(data, where)
    except RegistryError as e:
        if not problems:
            errors.append(e)
        return
    errors.check(check_identity, document, submission, where)
    if keys is not None:
        errors.check(check_free, submission.id, keys, state, context.authority, where)
        errors.check(verify_manifest, document, keys)
    for artifact in document.model.artifacts or ():
        if ":" not in artifact.url and context.authority.policy.artifacts.in_tree:
            errors.check(check_artifact, artifact, submission, context)


def _release(
    errors: _Errors,
    submission: Submission,
    data: bytes,
    state: State,
    keys: PublisherKeys | None,
    context: Context,
) -> None:
    where = f"{submission.source}: release.json"
    raw: Json | None = errors.check(parse_json, data, limit=RELEASE_LIMIT, where=where)
    if raw is None:
        return
    problems = validate_against("release", raw, where)
    if problems:
        errors.append(DocumentError(where, problems))
    try:
        document = parse_release(data, where)
    except RegistryError as e:
        if not problems:
            errors.append(e)
        return
    errors.check(check_identity, document, submission, where)
    row = state.get(submission.id, submission.version)
    if row is None or keys is None:
        return
    registry = context.authority.policy.registry
    errors.check(verify_release, document, keys, registry=registry, manifest=row.payload_digest)
    current = row.raw.get("release")
    errors.check(check_revision, document, parse_embedded_release(current, where) if current else None)


__all__ = ["find_all"]
