"""Publishing with no secret of the registry's: the signed documents are put on a release of the plugin's own repository.

The registry polls it: `publisher registry import` takes them from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from publisher.github.assets import HostedRelease, read_asset
from publisher.github.git_data import GitHubTree, branch_head
from publisher.github.releases import Shelf, find_or_create, find_release, publish_draft
from publisher.offer import Submitted, taken
from publisher.registrar.submission import Submission
from publisher.waiting import landed
from registry_client.digest import Digest
from registry_client.errors import (
    ConfigError,
    GitHubError,
    PublishError,
    RegistryError,
    VersionExistsError,
)
from registry_client.http import Transport
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.release import RELEASE_LIMIT
from registry_client.signed import parse_manifest, parse_release

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from publisher.github.api import Api
    from publisher.offer import Offer, Verdict
    from publisher.tree import Listing

MANIFEST_ASSET: Final = "plugin-manifest.json"
RELEASE_ASSET: Final = "plugin-release.json"
_PARTS: Final = (
    ("manifest.json", MANIFEST_ASSET, MANIFEST_LIMIT),
    ("release.json", RELEASE_ASSET, RELEASE_LIMIT),
)


class ReleaseOffer:
    """A release of the plugin's repository, for a registry that imports from it.

    Args:
        api: GitHub's API, with a token that may write the contents of the plugin's repository.
        registry: the registry's `OWNER/REPO`, which everyone may read.
        branch: its main branch.
        repository: the plugin's `OWNER/REPO`.
        tag: the release's tag.
        publish: what becomes of a draft: True publishes it, False leaves it; by default only one that was made here is published.
        target: the commit that gets the tag, if the tag does not exist.

    Raises:
        GitHubError: the registry cannot be read.
    """

    def __init__(
        self,
        api: Api,
        registry: str,
        branch: str,
        repository: str,
        tag: str,
        *,
        publish: bool | None = None,
        target: str = "",
    ) -> None:
        head = branch_head(api, registry, branch)
        if head is None:
            raise GitHubError(
                f"{registry} has no branch {branch!r}, or it is not public",
                hint="Check the registry's name and --branch. A private registry is not offered to by import.",
            )
        self.tree: Listing = GitHubTree(api, registry, head)
        self._api = api
        self._registry = registry
        self._branch = branch
        self._repository = repository
        self._tag = tag
        self._publish = publish
        self._is_draft = False
        self._target = target
        self._transport = Transport()

    @property
    def _place(self) -> str:
        return f"release {self._tag} of {self._repository}"

    def pending(self, plugin_id: str, version: str) -> Sequence[Submission]:
        """What the release offers. A draft offers nothing: nobody else can see it.

        Raises:
            RegistryError: what it offers cannot be read.
        """
        release = find_release(self._api, self._repository, self._tag)
        if release is None or release.draft:
            return ()
        found = {path: self._read(release, name, limit) for path, name, limit in _PARTS}
        manifest, status = found["manifest.json"], found["release.json"]
        if manifest is None and status is None:
            return ()
        return (Submission(self._place, plugin_id, version, manifest, status),)

    def _read(self, release: HostedRelease, name: str, limit: int) -> bytes | None:
        asset = release.asset(name)
        if asset is None or not asset.complete:
            return None
        return read_asset(asset, limit, self._transport)

    def submit(self, offer: Offer, now: datetime) -> Submitted:  # noqa: ARG002
        """Upload the documents, byte for byte.

        Raises:
            VersionExistsError: the release offers another manifest. PublishError: archives cannot go this way, the release is
            immutable, or it offers a newer status. GitHubError: GitHub refuses.
        """
        others = sorted(set(offer.files) - {path for path, _, _ in _PARTS})
        if others:
            raise PublishError(
                f"{others[0]}: an import brings no archives into the registry",
                hint="Put them on the release too: --artifacts release.",
            )
        release = find_or_create(self._api, self._repository, self._tag, target=self._target)
        shelf = Shelf(self._api, self._repository, release, self._transport)
        manifest, status = offer.files.get("manifest.json"), offer.files.get("release.json")
        replaces = manifest is not None and self._replaces_manifest(shelf, manifest)
        # A manifest counts from the moment that it is there, so what goes with it comes first.
        if status is not None:
            self._put_release(shelf, status, starts=manifest is not None)
        if manifest is not None:
            if replaces:
                shelf.delete(shelf.assets[MANIFEST_ASSET])
            if not shelf.holds(MANIFEST_ASSET, manifest):
                shelf.put(MANIFEST_ASSET, manifest)
        if release.made_here if self._publish is None else self._publish:
            release = publish_draft(self._api, self._repository, release)
        self._is_draft = release.draft
        return Submitted(self._place, None, release.url)

    def notify(self, offer: Offer, submitted: Submitted) -> str:  # noqa: ARG002
        """Nobody: the registry looks by itself. But a draft it does not see."""
        if not self._is_draft:
            return ""
        return f"{submitted.place} is a draft: the registry sees it once it is published"

    def outcome(self, offer: Offer, submitted: Submitted) -> Verdict | None:
        """What main says. That it was refused stands in the log of the registry's import, not here.

        Raises:
            ConfigError: the release is a draft, which nobody looks at.
        """
        if self._is_draft:
            raise ConfigError(
                f"{submitted.place} is a draft, so there is nothing to wait for", hint="Publish it first."
            )
        head = branch_head(self._api, self._registry, self._branch)
        if head is None or not landed(GitHubTree(self._api, self._registry, head), offer):
            return None
        return taken(offer)

    def _replaces_manifest(self, shelf: Shelf, data: bytes) -> bool:
        """Whether another manifest must go first. The same one with further signatures may be put in its place; nothing else may.

        Raises:
            VersionExistsError: it is another one. PublishError: the release is immutable.
        """
        asset = shelf.assets.get(MANIFEST_ASSET)
        if asset is None or not asset.complete or asset.digest == Digest.of(data):
            return False
        # In a draft stands what an earlier run could not finish: nobody has seen it.
        there = None if shelf.release.draft else shelf.read(asset, MANIFEST_LIMIT)
        if there == data:
            return False
        if there is not None and not _same_payload(there, data):
            raise VersionExistsError(
                f"{MANIFEST_ASSET} is on {self._place} already, with other content",
                hint="A release holds one version, which never changes: publish the next one on a release of its own (--tag).",
            )
        self._may_replace(shelf, MANIFEST_ASSET)
        return True

    def _put_release(self, shelf: Shelf, data: bytes, *, starts: bool) -> None:
        """Put a status there. One with a higher revision replaces a lower one, and a version's first one replaces what has no manifest."""
        asset = shelf.assets.get(RELEASE_ASSET)
        if asset is not None and asset.complete and asset.digest != Digest.of(data):
            unfinished = shelf.release.draft or (starts and MANIFEST_ASSET not in shelf.assets)
            there = None if unfinished else shelf.read(asset, RELEASE_LIMIT)
            if there == data:
                return
            if there is not None:
                self._must_follow(there, data)
            self._may_replace(shelf, RELEASE_ASSET)
            shelf.delete(asset)
        if not shelf.holds(RELEASE_ASSET, data):
            shelf.put(RELEASE_ASSET, data)

    def _must_follow(self, there: bytes, data: bytes) -> None:
        """Refuse to replace a status by an older one, or by one of another version."""
        new = parse_release(data, RELEASE_ASSET).model
        try:
            old = parse_release(there, f"{self._place}: {RELEASE_ASSET}").model
        except RegistryError:  # rubbish gives way
            return
        if (old.id, old.version) != (new.id, new.version):
            raise PublishError(
                f"{RELEASE_ASSET} on {self._place} is the status of {old.id} {old.version}",
                hint="Offer it on another release: --tag.",
            )
        if old.revision >= new.revision:
            raise PublishError(
                f"{self._place} offers revision {old.revision} of the status of {new.id} {new.version}; this is revision {new.revision}",
                hint="Run it again: another run was faster.",
            )

    def _may_replace(self, shelf: Shelf, name: str) -> None:
        if shelf.release.immutable:
            raise PublishError(
                f"{name} cannot be replaced: {self._place} is immutable",
                hint="Offer it on another release of the repository: --tag.",
            )


def _same_payload(one: bytes, other: bytes) -> bool:
    try:
        return parse_manifest(one, "").payload_digest == parse_manifest(other, "").payload_digest
    except RegistryError:
        return False


__all__ = ["MANIFEST_ASSET", "RELEASE_ASSET", "ReleaseOffer"]
