"""`publisher set-status`: sign the next release document of a published version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.destination import pending_of
from publisher.documents import sign_document
from publisher.folders import folder_in
from publisher.offer import Offer
from registry_client.errors import DocumentError, NotFoundError, PublishError
from registry_client.jsontext import dump_json, payload_digest_of
from registry_client.layout import manifest_path, release_path
from registry_client.models.base import format_time, validate
from registry_client.models.release import Release, ReleaseStatus
from registry_client.signed import parse_manifest, parse_policy, parse_release

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from securesystemslib.signer import Signer

    from publisher.offer import Destination

_EVERYBODY = 100


@dataclass(frozen=True)
class Change:
    """What to change of a version's status; None leaves it.

    Attributes:
        status: the new status.
        rollout: per cent of installations.
        push: offer it as an update to existing installations.
        force_update: hosts should apply it without asking.
        reason: why.
    """

    status: ReleaseStatus | None = None
    rollout: int | None = None
    push: bool | None = None
    force_update: bool | None = None
    reason: str | None = None

    @property
    def stages(self) -> bool:
        """Whether a new version needs a release document at once: a manifest says no more than released or draft."""
        return (
            self.status in {ReleaseStatus.TESTING, ReleaseStatus.STAGED}
            or self.rollout not in {None, _EVERYBODY}
            or self.push is False
            or self.force_update is True
            or self.reason is not None
        )


def build_release(
    manifest: dict[str, Any], current: dict[str, Any] | None, change: Change, registry: str, now: datetime
) -> dict[str, Any]:
    """The next release document, unsigned.

    Args:
        manifest: the signed manifest.
        current: the release in force, or None.
        change: what to change.
        registry: the registry's id.
        now: the time, UTC.
    """
    base = current or {
        "status": manifest["initialStatus"],
        "rollout": _EVERYBODY,
        "push": True,
        "forceUpdate": False,
    }

    def pick(name: str, wanted: object) -> object:
        return base.get(name) if wanted is None else wanted

    status = ReleaseStatus(str(pick("status", change.status)))
    keeps_reason = current is not None and change.status in {None, ReleaseStatus(current["status"])}
    reason = change.reason or (current or {}).get("reason") if keeps_reason else change.reason
    release: dict[str, Any] = {
        "kind": "release",
        "schemaVersion": 1,
        "registry": registry,
        "id": manifest["id"],
        "version": manifest["version"],
        "manifest": payload_digest_of(manifest),
        "revision": (current["revision"] if current else 0) + 1,
        "status": status.value,
        "rollout": pick("rollout", change.rollout),
        "push": pick("push", change.push),
        "forceUpdate": bool(pick("forceUpdate", change.force_update)),
        "lastUpdated": format_time(now),
    }
    return {**release, "reason": reason} if reason else release


@dataclass(frozen=True)
class PreparedRelease:
    """A release offer; `offer` is None if the status is that already."""

    offer: Offer | None
    release: dict[str, Any]
    note: str = ""


def prepare_release(
    plugin_id: str,
    version: str,
    change: Change,
    signers: Sequence[Signer],
    destination: Destination,
    now: datetime,
) -> PreparedRelease:
    """Read what is in force, build the next release document and sign it.

    Raises:
        NotFoundError: no such version. PublishError: a reason is missing, or the combination is not allowed.
    """
    policy = parse_policy(destination.tree.read("policy.json") or b"", "policy.json")
    manifest, current, is_proposal = _in_force(plugin_id, version, destination, policy.registry)
    release = build_release(manifest, current, change, policy.registry, now)
    if current is not None and is_proposal:  # it is replaced, under its own revision
        release["revision"] = current["revision"]
    elif current is not None and not _differs(release, current):
        return PreparedRelease(None, current, f"{plugin_id} {version} has this status already; nothing to do")
    signed = sign_document(release, signers)
    try:
        validate(Release, dump_json(signed), f"release of {plugin_id} {version}")
    except DocumentError as e:
        raise PublishError(
            e.message, hint="Give a reason with --reason." if "reason" in e.message else ""
        ) from e
    digest = payload_digest_of(signed)
    message = f"Set {plugin_id} {version} to {signed['status']}\n"
    offer = Offer(plugin_id, version, digest.hex, {"release.json": dump_json(signed)}, message)
    return PreparedRelease(offer, signed)


def _in_force(
    plugin_id: str, version: str, destination: Destination, registry: str
) -> tuple[dict[str, Any], dict[str, Any] | None, bool]:
    """The manifest and the newest release of a version, offered ones included, and whether that release is only proposed.

    Raises:
        NotFoundError: no such version. DocumentError: what the registry has is damaged.
    """
    folder = folder_in(destination.tree, plugin_id)
    paths = manifest_path(folder, version), release_path(folder, version)
    data, release = map(destination.tree.read, paths)
    manifests = [parse_manifest(data, paths[0])] if data is not None else []
    releases = [(parse_release(release, paths[1]), False)] if release is not None else []
    for pending in pending_of(destination, plugin_id, version):
        if pending.manifest is not None and not pending.is_proposal:
            manifests.append(pending.manifest)
        releases += [(pending.release, pending.is_proposal)] if pending.release is not None else []
    if not manifests:
        raise NotFoundError(
            f"{plugin_id} {version} is not published there", hint="Publish it first: 'publisher publish'."
        )
    manifest = manifests[0]
    about = [
        (r, is_proposal)
        for r, is_proposal in releases
        if (r.model.registry, r.model.manifest) == (registry, manifest.payload_digest)
    ]
    newest, is_proposal = max(about, key=lambda pair: pair[0].model.revision, default=(None, False))
    return manifest.raw, None if newest is None else newest.raw, is_proposal


def _differs(release: dict[str, Any], current: dict[str, Any]) -> bool:
    names = ("status", "rollout", "push", "forceUpdate", "reason")
    return any(
        release.get(name) != current.get(name, False if name == "forceUpdate" else None) for name in names
    )
