"""Whether a submission may enter the index: schema, signature, publisher, identity. Pure.

A submission is bytes under fixed names; nothing of it is checked out or run, and its paths are derived here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher.check import check_manifest
from publisher.registrar.admit_release import admit_release
from publisher.registrar.state import Row, State
from publisher.registrar.submission import (
    ARTIFACT_PATH,
    MAX_IN_TREE,
    Context,
    Outcome,
    Result,
    Submission,
    broken,
    check_identity,
)
from registry_client.digest import Digest
from registry_client.errors import (
    ManifestError,
    PublishError,
    RegistryError,
    VersionExistsError,
)
from registry_client.jsontext import KIB
from registry_client.layout import is_crowded, manifest_path, plugin_folder, version_file
from registry_client.models.base import format_time
from registry_client.models.index import SHARD_LIMIT
from registry_client.signed import (
    Parsed,
    PublisherKeys,
    VerifiedManifest,
    parse_manifest,
    verify_manifest,
)

if TYPE_CHECKING:
    from datetime import datetime

    from publisher.authority import Authority
    from registry_client.models.manifest import Artifact, Manifest

_MAX_LINE = 4 * KIB
# New versions leave room for releases of the versions that are in a shard already.
_FULL_SHARD = SHARD_LIMIT * 3 // 4


def admit(submission: Submission, state: State, context: Context) -> tuple[Outcome, dict[str, bytes]]:
    """Judge one submission and, if it is good, change the state.

    Returns:
        The outcome, and the files to write by path.
    """
    try:
        row, results, files = _judge(submission, state, context)
    except RegistryError as e:
        return Outcome(submission, Result.REFUSED, e), {}
    except Exception as e:  # noqa: BLE001  (a stranger's bytes: whatever they break must not stop the others)
        return Outcome(submission, Result.REFUSED, broken(submission.source, e)), {}
    state.put(row)
    changed = [result for result in results if result is not Result.UNCHANGED]
    return (
        (Outcome(submission, changed[0]), files) if changed else (Outcome(submission, Result.UNCHANGED), {})
    )


def _judge(
    submission: Submission, state: State, context: Context
) -> tuple[Row, list[Result], dict[str, bytes]]:
    keys = publisher_for(submission.id, context.authority)
    check_folder(submission, state)
    results: list[Result] = []
    files: dict[str, bytes] = {}
    row = state.get(submission.id, submission.version)
    if submission.manifest is not None:
        row, result, files = _manifest(submission, submission.manifest, row, state, keys, context)
        results.append(result)
    if submission.release is not None:
        row, result = admit_release(submission, submission.release, row, state, keys, context)
        results.append(result)
    if row is None or not results:
        raise PublishError(f"{submission.source}: holds neither manifest.json nor release.json")
    return row, results, files


def folder_of(plugin_id: str, state: State) -> str:
    """The folder of a plugin's files: where its versions stand, as files that were published never move."""
    rows = state.sorted_rows(plugin_id)
    return rows[-1].folder if rows else plugin_folder(plugin_id, fan_out=is_crowded(state.plugins))


def check_folder(submission: Submission, state: State) -> None:
    """Refuse a document that stands on main apart from its plugin's versions. Of a plugin's first version, either folder will do.

    Raises:
        PublishError: it does.
    """
    found = None if submission.path is None else version_file(submission.path)
    if found is None or not state.holds(submission.id):
        return
    own = folder_of(submission.id, state)
    if found.folder != own:
        raise PublishError(
            f"{submission.source}: the files of {submission.id!r} stand in {own}, and this one does not",
            hint=f"Move it to {own}/{submission.version}/: a plugin's files stay together.",
        )


def publisher_for(plugin_id: str, authority: Authority) -> PublisherKeys:
    """The publisher of a plugin.

    Raises:
        PublishError: nobody may publish it.
    """
    keys = authority.publisher_of(plugin_id)
    if keys is None:
        raise PublishError(
            f"no publisher may publish {plugin_id!r}",
            hint="A maintainer allows it with 'publisher registry policy add-publisher' or 'change-publisher --plugin'.",
        )
    return keys


def _manifest(
    submission: Submission, data: bytes, row: Row | None, state: State, keys: PublisherKeys, context: Context
) -> tuple[Row, Result, dict[str, bytes]]:
    where = f"{submission.source}: manifest.json"
    document = parse_manifest(data, where)
    check_identity(document, submission, where)
    if row is not None:
        return _published_already(document, row, keys, context)
    check_free(submission.id, keys, state, context.authority, where)
    verified = verify_manifest(document, keys)  # before the rest: strangers get no further
    problems = check_manifest(document.raw, where, signed=True)
    if problems:
        raise ManifestError(where, problems)
    files = _artifacts(verified, submission, context)
    path = submission.path or manifest_path(folder_of(submission.id, state), submission.version)
    files[path] = data
    row = build_row(verified, path, context.now)
    _fits(row, state, where)
    return row, Result.PUBLISHED, files


def check_free(plugin_id: str, keys: PublisherKeys, state: State, authority: Authority, where: str) -> None:
    """Refuse a new id that only looks like another one: `a-cme` is `acme` after removing `-` and `_`.

    Raises:
        PublishError: there is such a plugin, or another publisher's pattern fits the id more closely, as browser containers see it.
    """
    other = state.clash(plugin_id)
    if other is not None:
        raise PublishError(
            f"{where}: id {plugin_id!r} is {other!r} after removing '-' and '_'; browser containers could not tell them apart",
            hint="Choose another id.",
        )
    owner = authority.container_owner(plugin_id)
    if owner not in {None, keys.publisher.id}:
        raise PublishError(
            f"{where}: id {plugin_id!r} looks like one of publisher {owner!r} after removing '-' and '_'",
            hint="Choose another id.",
        )


def _fits(row: Row, state: State, where: str) -> None:
    """Refuse a version whose index line would make its shard unreadable for everyone else in it.

    Raises:
        PublishError: the line, or its shard, would be too large.
    """
    if len(row.text.encode()) > _MAX_LINE:
        raise PublishError(
            f"{where}: its index line has {len(row.text.encode())} bytes; at most {_MAX_LINE} are allowed",
            hint="Shorten 'requires': the index carries it.",
        )
    if state.shard_size(row.raw["id"]) + len(row.text.encode()) > _FULL_SHARD:
        raise PublishError(
            f"{where}: the index shard of {row.raw['id']!r} is full",
            hint="Tell the registry's maintainers: docs/operations.md says what to do.",
        )


def build_row(verified: VerifiedManifest, path: str, now: datetime) -> Row:
    """The index line of a newly published version."""
    raw: dict[str, Any] = {
        "id": verified.model.id,
        "version": verified.model.version,
        "manifest": manifest_ref(verified, path),
        "publisher": verified.publisher,
        "publishedAt": format_time(now),
        "initialStatus": verified.model.initial_status,
    }
    if "requires" in verified.raw:
        raw["requires"] = verified.raw["requires"]
    return Row(raw)


def manifest_ref(verified: VerifiedManifest, path: str) -> dict[str, Any]:
    """Where a manifest is and what it must be, for the index line."""
    return {
        "path": path,
        "digest": Digest.of(verified.data),
        "size": len(verified.data),
        "payloadDigest": verified.payload_digest,
    }


def _published_already(
    document: Parsed[Manifest], row: Row, keys: PublisherKeys, context: Context
) -> tuple[Row, Result, dict[str, bytes]]:
    """The same version again: nothing to do, more signatures, or other content, which is refused."""
    if document.payload_digest != row.payload_digest:
        raise VersionExistsError(
            f"{document.where}: {document.model.id} {document.model.version} is published already, with other content "
            f"(payload digest {row.payload_digest}, this one {document.payload_digest})",
            hint="A version is used once: publish the change under a new version.",
        )
    if "removed" in row.raw:
        raise VersionExistsError(
            f"{document.where}: {document.model.id} {document.model.version} was removed for good"
        )
    digest = Digest.of(document.data)
    if digest == row.digest:
        return row, Result.UNCHANGED, {}
    verified = verify_manifest(document, keys)
    known, kept = context.read(row.path), {}
    if (
        known is None or Digest.of(known) != row.digest
    ):  # signed again in place, on main: what was there counts
        known = context.recover(row.path, row.digest)
        kept = {row.path: known} if known is not None else {}
    if not verified.keyids > _counting(known, keys, document.where):
        return row, Result.UNCHANGED, {}
    # The file that clients know by digest stays; the re-signed one gets a name of its own, so caches cannot mix them up.
    path = manifest_path(row.folder, document.model.version, resigned=digest.hex[:12])
    renewed = row.replaced(manifest=manifest_ref(verified, path), publisher=verified.publisher)
    return renewed, Result.SIGNED, {**kept, path: document.data}


def _counting(data: bytes | None, keys: PublisherKeys, where: str) -> frozenset[str]:
    """The keyids that count on the manifest as it is published now; none if it does not verify any more."""
    if data is None:
        return frozenset()
    try:
        return keys.verify(parse_manifest(data, where))
    except RegistryError:
        return frozenset()


def _artifacts(verified: VerifiedManifest, submission: Submission, context: Context) -> dict[str, bytes]:
    """Files of in-tree artifacts, each referred to by the manifest and of the signed digest.

    Raises:
        PublishError: not allowed, missing, too large, of another digest, or not referred to.
    """
    wanted = {a.url: a for a in verified.model.artifacts or () if ":" not in a.url}
    extra = set(submission.artifacts) - set(wanted)
    if extra:
        raise PublishError(f"{submission.source}: {min(extra)} is not an artifact of the manifest")
    if wanted and not context.authority.policy.artifacts.in_tree:
        raise PublishError(
            f"{submission.source}: this registry keeps no artifacts itself",
            hint="Upload the artifact elsewhere (a release asset, say) and publish with --artifact-url.",
        )
    for artifact in wanted.values():
        check_artifact(artifact, submission, context)
    return dict(submission.artifacts)


def check_artifact(artifact: Artifact, submission: Submission, context: Context) -> None:
    """Refuse an in-tree artifact that is not what a manifest states of it.

    Raises:
        PublishError: missing, too large, or of another digest.
    """
    path = artifact.url
    where = f"{submission.source}: {path}"
    match = ARTIFACT_PATH.fullmatch(path)
    if match is None or match[1] != artifact.digest.hex:
        raise PublishError(
            f"{where}: expected artifacts/sha256/<digest>/<name> with the artifact's own digest"
        )
    if artifact.size > MAX_IN_TREE:
        raise PublishError(f"{where}: {artifact.size} bytes; at most {MAX_IN_TREE} may stand in the registry")
    data = submission.artifacts.get(path) or context.read(path)
    if data is None:
        raise PublishError(f"{where}: the file is missing from the submission")
    if Digest.of(data) != artifact.digest or len(data) != artifact.size:
        raise PublishError(f"{where}: the file does not have the digest and size that the manifest states")
