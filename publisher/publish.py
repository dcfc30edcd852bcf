"""`publisher publish`: from a plugin's source to an offer that the registrar can take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from publisher.check import check_manifest
from publisher.destination import pending_of, publisher_of
from publisher.documents import same_content, sign_document
from publisher.folders import folder_in
from publisher.offer import Offer
from publisher.pack import digest_and_size
from publisher.registrar.submission import MAX_IN_TREE
from publisher.set_status import Change, build_release
from publisher.source import build_manifest, read_artifact
from publisher.source_model import fill_url
from registry_client.errors import (
    ConfigError,
    DocumentError,
    ManifestError,
    PublishError,
    SignatureError,
    VersionExistsError,
)
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.layout import manifest_path, plain_path
from registry_client.models.base import format_time
from registry_client.models.release import ReleaseStatus
from registry_client.signed import parse_manifest, parse_policy, parse_release, verify_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from securesystemslib.signer import Signer

    from publisher.offer import Destination
    from publisher.python_dist import Builder
    from publisher.source import Source
    from publisher.tree import Listing, Tree
    from registry_client.digest import Digest
    from registry_client.models.policy import Policy

_FIRST_STATUSES = {ReleaseStatus.DRAFT, ReleaseStatus.TESTING, ReleaseStatus.STAGED, ReleaseStatus.RELEASED}
_MAX_PUBLISHERS_READ = 50


@dataclass(frozen=True)
class Publication:
    """What to publish.

    Attributes:
        source: the plugin's source.
        version: the version.
        change: its first status, rollout and so on.
        signers: the publisher's keys.
        provenance: repository, commit and so on, as claimed.
        artifact_url: where packed artifacts are placed, with `{id}`, `{version}` and `{name}`; None keeps them in the registry.
        builder: builds wheels and sdists, where the source asks for them.
    """

    source: Source
    version: str
    change: Change
    signers: Sequence[Signer]
    provenance: dict[str, str] = field(default_factory=dict)
    artifact_url: str | None = None
    builder: Builder | None = None


@dataclass(frozen=True)
class Prepared:
    """An offer, ready to submit.

    Attributes:
        offer: what is offered; None if the same content is published or offered already.
        note: what to tell the user where nothing is to be done.
        manifest: the signed manifest.
        payload_digest: the version's identity.
        manifest_url: where plain hosts will find it.
        packed: packed files by name, which the user must upload if they are not kept in the registry.
    """

    offer: Offer | None
    note: str
    manifest: dict[str, Any]
    payload_digest: Digest
    manifest_url: str
    packed: dict[str, bytes]


def prepare(publication: Publication, destination: Destination, now: datetime) -> Prepared:
    """Pack, fill in, sign and check a version; compare it with what the registry has.

    Raises:
        ManifestError: it breaks rules; all are listed. VersionExistsError: published already, with other content.
        PublishError: it cannot be published here.
    """
    policy = _policy(destination.tree)
    source, version = publication.source, publication.version
    if publication.change.status not in {None, *_FIRST_STATUSES}:
        raise ConfigError(
            f"a version does not start as {publication.change.status}",
            hint="Publish it, then use set-status.",
        )
    artifacts, files, packed = _artifacts(publication, policy)
    folder = folder_in(destination.tree, source.model.id)
    manifest_url = f"{policy.base_url.rstrip('/')}/{plain_path(folder)}"
    unsigned = build_manifest(
        source,
        version=version,
        artifacts=artifacts,
        initial_status=_initial_status(publication.change),
        manifest_url=manifest_url,
        last_updated=format_time(now),
        provenance=publication.provenance,
    )
    raw = sign_document(unsigned, publication.signers)
    problems = check_manifest(raw, str(source.path), signed=True)
    if problems:
        raise ManifestError(str(source.path), problems)
    found = _existing(raw, destination)
    if found is not None:
        known = found.manifest
        resigned = sign_document(known, publication.signers)
        if not found.is_proposal and len(resigned["signatures"]) == len(known["signatures"]):
            return Prepared(None, found.note, known, payload_digest_of(known), manifest_url, packed)
        raw = resigned
    is_new = found is None or found.is_proposal
    data = dump_json(raw)
    _may_publish(data, destination.tree)
    files["manifest.json"] = data
    if publication.change.stages and is_new:
        start = replace(
            publication.change, status=publication.change.status or ReleaseStatus(source.model.initial_status)
        )
        release = build_release(raw, None, start, policy.registry, now)
        files["release.json"] = _signed_release(release, publication)
    digest = payload_digest_of(raw)
    verb = "Publish" if is_new else "Sign"
    offer = Offer(source.model.id, version, digest.hex, files, f"{verb} {source.model.id} {version}\n")
    return Prepared(offer, "", raw, digest, manifest_url, packed)


def _initial_status(change: Change) -> str | None:
    """The manifest's own status, None for the source's.

    A staged start is a draft plus a release document, so that leaving the release document out, which a stolen registrar
    key could do, never widens it.
    """
    if change.stages or change.status is ReleaseStatus.DRAFT:
        return "draft"
    return None if change.status is None else "released"


def _policy(tree: Tree) -> Policy:
    data = tree.read("policy.json")
    if data is None:
        raise ConfigError("the registry has no policy.json", hint="Is it a registry, and is --branch right?")
    return parse_policy(data, "policy.json")


def _artifacts(
    publication: Publication, policy: Policy
) -> tuple[list[dict[str, Any]], dict[str, bytes], dict[str, bytes]]:
    """Artifact members, files to submit with them, and everything that was packed."""
    source = publication.source
    members: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    packed: dict[str, bytes] = {}
    for index, item in enumerate(source.model.artifacts or ()):
        found = read_artifact(source, index, version=publication.version, builder=publication.builder)
        member: dict[str, Any] = {"ecosystem": item.ecosystem}
        if found is None:
            member |= {"url": item.url, "digest": item.digest, "size": item.size}
        else:
            name, data = found
            packed[name] = data
            digest, size = digest_and_size(data)
            url = _place(publication, item.url, name, digest)
            if any(other["url"] == url and other["digest"] != digest for other in members):
                raise ConfigError(
                    f"{url}: two artifacts would be there",
                    hint="Put {name} into --artifact-url, or into url.",
                )
            if ":" not in url:
                _fits_in_tree(policy, name, data)
                files[url] = data
            member |= {"url": url, "digest": digest, "size": size}
        media_type = item.media_type or ("application/zip" if item.pack is not None else None)
        members.append(member | ({"mediaType": media_type} if media_type else {}))
    return members, files, packed


def _place(publication: Publication, url: str | None, name: str, digest: Digest) -> str:
    """Where an artifact will be: where it was asked for, else in the registry itself."""
    template = publication.artifact_url or url
    if template is None:
        return f"artifacts/sha256/{digest.hex}/{name}"
    try:
        return fill_url(
            template, plugin_id=publication.source.model.id, version=publication.version, name=name
        )
    except ValueError as e:
        raise ConfigError(
            f"--artifact-url: {e}", hint="For example https://files.example/{id}/{name}."
        ) from e


def _fits_in_tree(policy: Policy, name: str, data: bytes) -> None:
    way_out = (
        "Put it on a release of the plugin's repository with --artifacts release; or elsewhere, with "
        "--artifact-url 'https://…/{name}': 'publisher pack' writes the file."
    )
    if not policy.artifacts.in_tree:
        raise PublishError(f"{name}: this registry keeps no artifacts itself", hint=way_out)
    if len(data) > MAX_IN_TREE:
        raise PublishError(
            f"{name}: {len(data)} bytes; at most {MAX_IN_TREE} may stand in the registry", hint=way_out
        )


@dataclass(frozen=True)
class _Existing:
    """A manifest that says the same and is there already, and what to tell the user of it."""

    manifest: dict[str, Any]
    note: str
    is_proposal: bool


def _existing(raw: dict[str, Any], destination: Destination) -> _Existing | None:
    """The manifest that says the same and is there already; None if the version is free, or only proposed with other content.

    Raises:
        VersionExistsError: other content is there.
    """
    plugin_id, version = raw["id"], raw["version"]
    found = _published(destination.tree, plugin_id, version)
    where = manifest_path(folder_in(destination.tree, plugin_id), version)
    places = [] if found is None else [(where, "published", found, False)]
    places += [
        (pending.source, "offered", pending.manifest.raw, pending.is_proposal)
        for pending in pending_of(destination, plugin_id, version)
        if pending.manifest is not None
        and not (pending.is_proposal and not same_content(pending.manifest.raw, raw))  # it is replaced
    ]
    for where, state, known, _ in places:
        if not same_content(known, raw):
            raise VersionExistsError(
                f"{plugin_id} {version} is {state} already ({where}), with other content",
                hint="A version is used once: raise it in the manifest, publish another tag, or choose the next with --bump patch; "
                "its status is changed with 'publisher set-status'.",
            )
    if not places:
        return None
    where, state, known, is_proposal = places[0]
    note = f"{plugin_id} {version} is {state} already ({where}), with the same content; nothing to do"
    return _Existing(known, note, is_proposal)


def _published(tree: Listing, plugin_id: str, version: str) -> dict[str, Any] | None:
    """The published manifest with every signature that was added to it later."""
    path = manifest_path(folder_in(tree, plugin_id), version)
    data = tree.read(path)
    if data is None:
        return None
    first = parse_manifest(data, path)
    place = path.rpartition("/")[0]
    signatures = {item["keyid"]: item for item in first.raw["signatures"]}
    for path in tree.paths(place):
        if path.startswith(f"{place}/manifest.") and path != f"{place}/manifest.json":
            other = parse_manifest(tree.read(path) or b"", path)
            if other.payload_digest == first.payload_digest:
                signatures |= {item["keyid"]: item for item in other.raw["signatures"]}
    return {**first.raw, "signatures": [signatures[keyid] for keyid in sorted(signatures)]}


def _signed_release(release: dict[str, Any], publication: Publication) -> bytes:
    """The bytes of a version's first release document.

    Raises:
        PublishError: it is not allowed.
    """
    data = dump_json(sign_document(release, publication.signers))
    try:
        parse_release(data, f"release of {release['id']} {release['version']}")
    except DocumentError as e:
        raise PublishError(e.message) from e
    return data


def _may_publish(data: bytes, tree: Tree) -> None:
    """Tell a publisher early that the registrar would refuse the signature. The registrar decides for itself.

    Raises:
        PublishError, SignatureError: it would.
    """
    if len(list(tree.paths("publishers"))) > _MAX_PUBLISHERS_READ:
        return
    document = parse_manifest(data, "manifest.json")
    keys = publisher_of(tree, document.model.id)
    if keys is not None:
        try:
            verify_manifest(document, keys)
        except SignatureError as e:
            raise SignatureError(
                e.message,
                hint=f"Give a current key of publisher {keys.publisher.id!r} with --key; in GitHub Actions, the secret PLUGIN_SIGNING_KEY.",
            ) from e
        return
    raise PublishError(
        f"no publisher of this registry may publish {document.model.id!r}",
        hint="Ask its maintainers: they allow it with 'publisher registry policy add-publisher'.",
    )
