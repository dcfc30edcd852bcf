"""Releases and their assets as GitHub describes them, and how they are downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from registry_client.digest import Digest
from registry_client.errors import ConfigError, GitHubError, PublishError
from registry_client.http import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry_client.http import Transport

MOST_ASSETS: Final = 1000
MADE_HERE: Final = "The files of this version, signed by its publisher."
"""The text of a release that nobody has written a text for."""
_UPLOADED: Final = "uploaded"
# GitHub turns other characters of a name into dots, and does not keep dots at its ends.
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_+-](?:[A-Za-z0-9._+-]{0,198}[A-Za-z0-9_+-])?")


@dataclass(frozen=True)
class Asset:
    """A file of a release.

    Attributes:
        id: GitHub's number for it.
        name: its file name.
        digest: what GitHub reports; None where it reports nothing, as older versions of GitHub Enterprise do.
        size: bytes.
        url: where everyone who may read the repository gets it.
        complete: whether all of it has arrived.
    """

    id: int
    name: str
    digest: Digest | None
    size: int
    url: str
    complete: bool = True


@dataclass(frozen=True)
class HostedRelease:
    """A release on GitHub. What this project calls a release otherwise is a document about a version's status.

    Attributes:
        id: GitHub's number for it.
        tag: its tag.
        draft: whether only those see it who may write to the repository.
        immutable: whether its assets are what they are for good.
        made_here: whether `find_or_create` made it, and nobody changed its text since.
        upload_url: where assets are uploaded to.
        url: its page.
        assets: its files.
    """

    id: int
    tag: str
    draft: bool
    immutable: bool
    made_here: bool
    upload_url: str
    url: str
    assets: tuple[Asset, ...]

    def asset(self, name: str) -> Asset | None:
        """The file of that name."""
        return next((asset for asset in self.assets if asset.name == name), None)


def parse_hosted_release(raw: Any) -> HostedRelease:
    """A release as GitHub describes it.

    Raises:
        GitHubError: it is described otherwise.
    """
    try:
        return HostedRelease(
            id=int(raw["id"]),
            tag=str(raw["tag_name"]),
            draft=bool(raw["draft"]),
            immutable=bool(raw.get("immutable")),
            made_here=str(raw.get("body") or "").strip() == MADE_HERE,
            upload_url=str(raw.get("upload_url") or ""),
            url=str(raw.get("html_url") or ""),
            assets=tuple(map(parse_asset, raw.get("assets", ())[:MOST_ASSETS])),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise GitHubError("GitHub describes a release in a way that is not understood") from None


def parse_asset(raw: Any) -> Asset:
    """An asset as GitHub describes it.

    Raises:
        GitHubError: it is described otherwise.
    """
    try:
        reported = raw.get("digest")
        digest = Digest(reported) if isinstance(reported, str) and reported.startswith("sha256:") else None
        complete = raw["state"] == _UPLOADED
        return Asset(
            int(raw["id"]),
            str(raw["name"]),
            digest,
            int(raw["size"]),
            str(raw["browser_download_url"]),
            complete,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise GitHubError("GitHub describes a release's asset in a way that is not understood") from None


def asset_url_template(server_url: str, repository: str, tag: str) -> str:
    """Where a release's assets are downloaded, with `{name}` for the file name."""
    return f"{server_url.rstrip('/')}/{repository}/releases/download/{quote(tag, safe='')}/{{name}}"


def check_asset_names(names: Iterable[str]) -> None:
    """Refuse names under which GitHub would not store a file.

    Raises:
        ConfigError: names the first.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name[:200]!r} cannot be the name of a release's asset: GitHub would store it under another one",
                hint="Use letters of ASCII, digits, '_', '-', '+', and single dots within the name.",
            )
        if seen.setdefault(name.lower(), name) != name:
            raise ConfigError(
                f"{name!r} and {seen[name.lower()]!r} differ in letter case only", hint="Rename one of them."
            )


def read_asset(asset: Asset, limit: int, transport: Transport, seconds: float = 60.0) -> bytes:
    """The bytes of an asset as everyone gets them: bounded, and of the digest that GitHub reports. Sends no credentials.

    Raises:
        PublishError: too large, incomplete, or other bytes than GitHub says. FetchError: it cannot be had.
    """
    if not asset.complete:
        raise PublishError(f"{asset.name}: its upload has not ended")
    if asset.size > limit:
        raise PublishError(f"{asset.name}: {asset.size} bytes; at most {limit} are allowed")
    data = transport.get(asset.url, limit=limit, deadline=Deadline(seconds)).data
    if asset.digest is not None and Digest.of(data) != asset.digest:
        raise GitHubError(
            f"{asset.name}: what was downloaded has digest {Digest.of(data)}, but GitHub reports {asset.digest}",
            hint="It was replaced just now, or damaged on the way: try again.",
        )
    return data


__all__ = [
    "MADE_HERE",
    "MOST_ASSETS",
    "Asset",
    "HostedRelease",
    "asset_url_template",
    "check_asset_names",
    "parse_asset",
    "parse_hosted_release",
    "read_asset",
]
