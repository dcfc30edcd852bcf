"""Releases and their assets, with the digests that GitHub reports."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from support.github import bodies, gitdata
from support.github.records import Asset, Release
from support.github.wire import Answer, ApiError, Call, invalid, not_found, route

if TYPE_CHECKING:
    from support.github.records import Repository
    from support.github.state import Double


def download_url(double: Double, repository: Repository, release: Release, asset: Asset) -> str:
    """Where anyone gets the bytes of an asset of a public repository."""
    return f"{double.url}/{repository.name}/releases/download/{release.tag}/{asset.name}"


def _asset(call: Call, release: Release, asset: Asset) -> dict[str, Any]:
    at = bodies.stamp(asset.at)
    return {
        "id": asset.id,
        "node_id": bodies.node_id("ReleaseAsset", asset.id),
        "url": f"{bodies.repository_api(call.double, call.repository)}/releases/assets/{asset.id}",
        "browser_download_url": download_url(call.double, call.repository, release, asset),
        "name": asset.name,
        "label": asset.label,
        "state": "uploaded",
        "content_type": asset.content_type,
        "size": len(asset.content),
        "digest": "sha256:" + hashlib.sha256(asset.content).hexdigest(),
        "download_count": 0,
        "created_at": at,
        "updated_at": at,
        "uploader": bodies.user(call.double, asset.login),
    }


def _shown(call: Call, release: Release) -> dict[str, Any]:
    double, repository = call.double, call.repository
    api = bodies.repository_api(double, repository)
    url = f"{api}/releases/{release.id}"
    return {
        "id": release.id,
        "node_id": bodies.node_id("Release", release.id),
        "url": url,
        "assets_url": f"{url}/assets",
        # GitHub's uploads have a host of their own; one server is enough here, at another path.
        "upload_url": f"{double.uploads}/repos/{repository.name}/releases/{release.id}/assets{{?name,label}}",
        "html_url": f"{double.url}/{repository.name}/releases/tag/{release.tag}",
        "tarball_url": f"{api}/tarball/{release.tag}",
        "zipball_url": f"{api}/zipball/{release.tag}",
        "tag_name": release.tag,
        "target_commitish": release.target,
        "name": release.name,
        "body": release.body,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "immutable": False,
        "created_at": bodies.stamp(release.created_at),
        "published_at": bodies.maybe_stamp(release.published_at),
        "author": bodies.user(double, release.login),
        "assets": [_asset(call, release, each) for each in release.assets.values()],
    }


def _visible(call: Call) -> list[Release]:
    """Newest first; drafts only for those who may write."""
    writer = call.token is not None and call.token.may(call.repository, "contents", "write")
    found = [each for each in call.repository.releases.values() if writer or not each.draft]
    return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)


def _find(call: Call) -> Release:
    for release in _visible(call):
        if release.id == int(call.path["release_id"]):
            return release
    raise not_found()


def _find_asset(call: Call) -> tuple[Release, Asset]:
    for release in _visible(call):
        if asset := release.assets.get(int(call.path["asset_id"])):
            return release, asset
    raise not_found()


@route("GET", "…/releases", "contents")
def get_releases(call: Call) -> Answer:
    url = f"{bodies.repository_api(call.double, call.repository)}/releases"
    return call.page([_shown(call, each) for each in _visible(call)], url)


@route("GET", "…/releases/tags/{tag}", "contents")
def get_release_by_tag(call: Call) -> Answer:
    for release in _visible(call):
        # A draft has no tag yet, so it is not found by one.
        if release.tag == call.path["tag"] and not release.draft:
            return Answer(200, _shown(call, release))
    raise not_found()


@route("GET", "…/releases/{release_id}", "contents")
def get_release(call: Call) -> Answer:
    return Answer(200, _shown(call, _find(call)))


def _publish(call: Call, release: Release) -> None:
    """Give it its tag; the lock is held by the caller."""
    git, ref = call.repository.git, f"refs/tags/{release.tag}"
    others = [each for each in call.repository.releases.values() if each is not release and not each.draft]
    if any(each.tag == release.tag for each in others):
        raise invalid("Release", "tag_name", "already_exists")
    if not gitdata.resolve(git, ref):
        target = gitdata.resolve(git, release.target)
        if not target:
            raise invalid("Release", "target_commitish", "invalid")
        call.double.check_rules(call.repository, ref, "creation", call.token)
        gitdata.set_ref(git, ref, target, gitdata.NOTHING)
    release.draft, release.published_at = False, call.double.now()


@route("POST", "…/releases", "contents", "write")
def post_release(call: Call) -> Answer:
    call.body.ignore("make_latest", "generate_release_notes")
    tag = call.body.get("tag_name")
    if not gitdata.is_ref_name(call.repository.git, f"refs/tags/{tag}"):
        raise invalid("Release", "tag_name", "custom", "tag_name is not well-formed")
    release = Release(
        id=call.double.next_id(),
        login=call.login,
        tag=tag,
        target=call.body.get("target_commitish", call.repository.default_branch),
        name=call.body.get("name"),
        body=call.body.get("body"),
        draft=True,
        prerelease=call.body.get("prerelease", default=False),
        created_at=call.double.now(),
        published_at=None,
    )
    with call.double.lock:
        if not call.body.get("draft", default=False):
            _publish(call, release)
        call.repository.releases[release.id] = release
    body = _shown(call, release)
    return Answer(201, body, {"Location": body["url"]})


@route("PATCH", "…/releases/{release_id}", "contents", "write")
def patch_release(call: Call) -> Answer:
    release = _find(call)
    call.body.ignore("make_latest")
    with call.double.lock:
        release.tag = call.body.get("tag_name", release.tag)
        release.target = call.body.get("target_commitish", release.target)
        release.name = call.body.get("name", release.name)
        release.body = call.body.get("body", release.body)
        release.prerelease = call.body.get("prerelease", release.prerelease)
        draft = call.body.get("draft", release.draft)
        if release.draft and not draft:
            _publish(call, release)
        release.draft = draft
    return Answer(200, _shown(call, release))


@route("GET", "…/releases/{release_id}/assets", "contents")
def get_assets(call: Call) -> Answer:
    release = _find(call)
    url = f"{bodies.repository_api(call.double, call.repository)}/releases/{release.id}/assets"
    return call.page([_asset(call, release, each) for each in release.assets.values()], url)


@route("POST", "…/releases/{release_id}/assets", "contents", "write")
def post_asset(call: Call) -> Answer:
    release = _find(call)
    if not call.headers.get("content-type"):
        raise ApiError(422, "Content-Type is missing")
    # GitHub renames what has other characters, so a client must not look for the name that it sent.
    name = re.sub(r"[^\w.@+-]+", ".", call.query.get("name"), flags=re.ASCII).strip(".")
    kind, label = call.headers["content-type"], call.query.get("label", "")
    asset = Asset(call.double.next_id(), name, label, kind, call.content, call.login, call.double.now())
    with call.double.lock:
        if any(each.name == name for each in release.assets.values()):
            raise invalid("ReleaseAsset", "name", "already_exists")
        release.assets[asset.id] = asset
    return Answer(201, _asset(call, release, asset))


@route("GET", "…/releases/assets/{asset_id}", "contents")
def get_asset(call: Call) -> Answer:
    release, asset = _find_asset(call)
    if call.headers.get("accept") == "application/octet-stream":
        # To a place that needs no credentials, as GitHub does: the token must not be sent along.
        return Answer(302, None, {"Location": f"{call.double.url}/storage/{asset.id}/{_key(asset)}"})
    return Answer(200, _asset(call, release, asset))


@route("DELETE", "…/releases/assets/{asset_id}", "contents", "write")
def delete_asset(call: Call) -> Answer:
    release, asset = _find_asset(call)
    with call.double.lock:
        release.assets.pop(asset.id, None)
    return Answer(204)


def _key(asset: Asset) -> str:
    return hashlib.sha256(f"key {asset.id}".encode()).hexdigest()[:16]


def stored(double: Double, path: str) -> Answer | None:
    """What is outside the API: downloads by name, which lead to the storage, and the storage. None for other paths."""
    for repository in double.repositories.values():
        for release in repository.releases.values():
            for asset in release.assets.values():
                storage = f"/storage/{asset.id}/{_key(asset)}"
                if path == storage:
                    return Answer(200, asset.content, {"Content-Type": asset.content_type})
                public = not repository.private and not release.draft
                if public and double.url + path == download_url(double, repository, release, asset):
                    return Answer(302, None, {"Location": double.url + storage})
    parts = path.split("/")
    return Answer(404, b"Not Found") if "/releases/download/" in path or parts[1] == "storage" else None
