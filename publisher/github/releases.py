"""Files as assets of a repository's releases.

What is there stays: an asset that is there with the same bytes is left alone, with others it is an error. Only leftovers of an upload that
broke off, and what this very run has uploaded and GitHub did not keep as it was, are deleted.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any, Final

from publisher.github.api import repository_path
from publisher.github.assets import (
    MADE_HERE,
    MOST_ASSETS,
    Asset,
    HostedRelease,
    asset_url_template,
    check_asset_names,
    parse_asset,
    parse_hosted_release,
    read_asset,
)
from registry_client.digest import Digest
from registry_client.errors import GitHubError, PublishError, VersionExistsError
from registry_client.http import Deadline, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from publisher.github.api import Api

_MEDIA_TYPE: Final = "application/octet-stream"
_MOST_RELEASES: Final = 300
_ATTEMPTS: Final = 2
_SECONDS: Final = 600.0
_EXISTS: Final = 422
_FAILED: Final = 500
_DRAFT_FIRST: Final = "Create the release as a draft first ('gh release create TAG --draft'), then run this again, then publish the draft."


def find_release(api: Api, repository: str, tag: str) -> HostedRelease | None:
    """The release for a tag: the published one, else a draft; None if there is neither.

    Drafts are found among the latest 300 releases, and only with a token that may write to the repository.
    """
    raw = api.find(repository_path(repository, "releases", "tags", tag))
    if raw is not None:
        return parse_hosted_release(raw)
    if not api.has_token:
        return None
    listed = itertools.islice(api.pages(repository_path(repository, "releases")), _MOST_RELEASES)
    drafts = [parse_hosted_release(item) for item in listed if isinstance(item, dict) and item.get("draft")]
    return min((item for item in drafts if item.tag == tag), key=lambda item: item.id, default=None)


def find_or_create(api: Api, repository: str, tag: str, *, target: str = "") -> HostedRelease:
    """The release for a tag; a new draft if there is none.

    It starts as a draft, since assets can be added to nothing else where a repository's releases are immutable.

    Args:
        api: with a token that may write the repository's contents.
        repository: `OWNER/REPO`.
        tag: the tag.
        target: the commit that gets the tag, if the tag does not exist; the default branch otherwise.
    """
    found = find_release(api, repository, tag)
    if found is not None:
        return found
    body: dict[str, Any] = {"tag_name": tag, "name": tag, "draft": True, "body": MADE_HERE}
    if target:
        body["target_commitish"] = target
    made = parse_hosted_release(api.post(repository_path(repository, "releases"), body))
    # GitHub lets there be several drafts for a tag: if an answer was lost, or another job was at it too, all must take the same one.
    return find_release(api, repository, tag) or made


def publish_draft(api: Api, repository: str, release: HostedRelease) -> HostedRelease:
    """Let everyone see a draft."""
    if not release.draft:
        return release
    path = repository_path(repository, "releases", release.id)
    return parse_hosted_release(api.patch(path, {"draft": False}))


def upload(
    api: Api,
    repository: str,
    tag: str,
    files: Mapping[str, bytes],
    *,
    target: str = "",
    publish: bool | None = None,
    transport: Transport | None = None,
) -> list[Asset]:
    """Put files on the release for a tag, whole or not at all as far as what is there already says.

    Args:
        api: with a token that may write the repository's contents.
        repository: `OWNER/REPO`.
        tag: the release's tag; a release is made if there is none.
        files: bytes by name.
        target: see `find_or_create`.
        publish: what becomes of a draft: True publishes it, False leaves it; by default only one that was made here is published.
        transport: for downloading what GitHub reports no digest of.

    Returns:
        The assets, in the order of `files`.

    Raises:
        ConfigError: a name that GitHub would change. VersionExistsError: an asset of that name has other bytes.
        PublishError: the release is immutable, or GitHub did not keep what was uploaded. GitHubError: GitHub refuses.
    """
    check_asset_names(files)
    release = find_or_create(api, repository, tag, target=target)
    shelf = Shelf(api, repository, release, transport or Transport())
    missing = [name for name, data in files.items() if not shelf.holds(name, data)]
    for name in missing:
        shelf.put(name, files[name])
    if release.made_here if publish is None else publish:
        publish_draft(api, repository, release)
    return [shelf.assets[name] for name in files]


class Shelf:
    """The assets of one release, as they stand.

    Args:
        api: with a token that may write the repository's contents.
        repository: `OWNER/REPO`.
        release: the release.
        transport: for downloads.
    """

    def __init__(self, api: Api, repository: str, release: HostedRelease, transport: Transport) -> None:
        self.release = release
        self.assets: dict[str, Asset] = {asset.name: asset for asset in release.assets}
        self._api = api
        self._repository = repository
        self._transport = transport

    def holds(self, name: str, data: bytes) -> bool:
        """Whether an asset has exactly these bytes; False if there is none, or only part of one.

        Raises:
            VersionExistsError: it has others.
        """
        asset = self.assets.get(name)
        if asset is None or not asset.complete:
            return False
        if self._same(asset, data):
            return True
        raise VersionExistsError(
            f"{name} is on release {self.release.tag} of {self._repository} already, with other content "
            f"({asset.digest or f'{asset.size} bytes'}, this one {Digest.of(data)})",
            hint="Published files are never replaced: publish the change as a new version."
            if not self.release.draft
            else "Files are never replaced: publish the change as a new version, or delete this draft first.",
        )

    def put(self, name: str, data: bytes) -> Asset:
        """Upload a file that is not there, and see to it that GitHub has it as it is.

        Raises:
            PublishError: the release is immutable, or GitHub does not keep it as it is. GitHubError: GitHub refuses.
        """
        if self.release.immutable:
            raise PublishError(
                f"{name} cannot be added to release {self.release.tag} of {self._repository}: it is published, and immutable",
                hint=_DRAFT_FIRST,
            )
        failure: PublishError | None = None
        for _ in range(_ATTEMPTS):
            self._clear(name)
            try:
                found = self._upload(name, data)
            except GitHubError as e:
                if e.status is not None and e.status < _FAILED and e.status != _EXISTS:
                    raise
                failure = e
                self._reload()  # what broke off leaves a part behind, and a retry underneath may have succeeded
                if self.holds(name, data):
                    return self.assets[name]
                continue
            if found.name == name and found.complete and self._same(found, data):
                self.assets[name] = found
                return found
            failure = PublishError(
                f"{name}: GitHub has stored it as {found.name!r} with {found.digest or 'another digest'}, and not as it was uploaded "
                f"({Digest.of(data)})",
                hint="Try again; https://www.githubstatus.com says whether it is GitHub.",
            )
            self.delete(found)
        raise failure or PublishError(f"{name}: could not be uploaded")

    def delete(self, asset: Asset) -> None:
        """Delete an asset."""
        self._api.delete(repository_path(self._repository, "releases", "assets", asset.id))
        self.assets.pop(asset.name, None)

    def read(self, asset: Asset, limit: int) -> bytes:
        """The bytes of an asset: bounded, and of the digest that GitHub reports. Sends no credentials.

        Raises:
            FetchError: it cannot be had. GitHubError: other bytes than GitHub says.
        """
        return read_asset(asset, limit, self._transport)

    def _upload(self, name: str, data: bytes) -> Asset:
        return parse_asset(self._api.upload(self.release.upload_url, name, data, _MEDIA_TYPE))

    def _clear(self, name: str) -> None:
        """Delete the part that a broken upload has left."""
        asset = self.assets.get(name)
        if asset is not None and not asset.complete:
            self.delete(asset)

    def _reload(self) -> None:
        path = repository_path(self._repository, "releases", self.release.id, "assets")
        listed = itertools.islice(self._api.pages(path), MOST_ASSETS)
        self.assets = {asset.name: asset for asset in map(parse_asset, listed)}

    def _same(self, asset: Asset, data: bytes) -> bool:
        """Whether GitHub has these bytes: by the digest that it reports, else by what it hands out."""
        if asset.size != len(data):
            return False
        if asset.digest is not None:
            return asset.digest == Digest.of(data)
        sha256 = hashlib.sha256()
        self._transport.get_into(asset.url, sha256.update, limit=len(data), deadline=Deadline(_SECONDS))
        return sha256.digest() == hashlib.sha256(data).digest()


__all__ = [
    "Asset",
    "HostedRelease",
    "Shelf",
    "asset_url_template",
    "find_or_create",
    "find_release",
    "publish_draft",
    "upload",
]
