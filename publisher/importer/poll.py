"""Versions that publishers put on releases of their own repositories, brought to the registrar.

The registry's maintainers say which repositories are a publisher's, by GitHub's numbers for them: a renamed or transferred repository
keeps its number, and a new one under an old name has another. What is on a release counts only with the publisher's signature. Of each
repository the first page of releases is looked at, the latest hundred.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from publisher.github.answers import items_of, member_of, text_of
from publisher.github.api import is_repository_name, repository_path
from publisher.github.assets import Asset, parse_hosted_release, read_asset
from publisher.github.release_offer import MANIFEST_ASSET, RELEASE_ASSET
from publisher.importer.cache import MOST_REPOSITORIES, MOST_SETTLED, Cache, Known, short_tag
from publisher.importer.check import Found, Offered, Registry, TooEarlyError, offer_of
from publisher.importer.outbox import Outbox
from publisher.importer.report import Item, Report, Result
from publisher.registrar.remote import publish_ref
from publisher.registrar.submission import broken
from registry_client.errors import FetchError, GitHubError, RegistryError
from registry_client.http import Deadline
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.release import RELEASE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from publisher.git import Git
    from publisher.github.api import Api
    from publisher.offer import Offer
    from registry_client.http import Transport

_PER_PAGE: Final = 100
_MOST_LOOKED_AT: Final = 2000
_MOST_OFFERS: Final = 300
_AT_ONCE: Final = 50
_PATIENCE: Final = 60.0
_SECONDS: Final = 480.0  # a scheduled job that is ended from outside would remember nothing of what it did
_TRIES: Final = 3
_RESERVE: Final = 25  # requests that are left to others of the same token
_DONE: Final = -1
_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403
_ABSENT: Final = 404
_TOO_MANY: Final = 429


@dataclass(frozen=True)
class Edges:
    """What the importer touches the world with.

    Attributes:
        api: GitHub's API.
        transport: for assets; sends no credentials.
        git: the registry's repository.
        save: keeps the cache; called whenever something was pushed, and at the end.
        dry_run: push nothing and save nothing.
    """

    api: Api
    transport: Transport
    git: Git
    save: Callable[[Cache], None]
    dry_run: bool = False


class Importer:
    """One run over all repositories of all publishers.

    Args:
        registry: what the registry has.
        refs: the publish refs that are there.
        cache: what the last run remembered.
        edges: the world.
        now: the time, UTC.
    """

    def __init__(
        self, registry: Registry, refs: Mapping[str, str], cache: Cache, edges: Edges, now: datetime
    ) -> None:
        authority = registry.authority
        self._registry = registry
        self._edges = edges
        self._now = now
        signed = f"{authority.policy.registry} {authority.root.version} {authority.targets.version}"
        self._cache = cache.under(signed[:200])
        self._known: dict[int, Known] = {}
        self._outbox = Outbox(edges.git, refs, dry_run=edges.dry_run)
        self._published = {row.digest for row in registry.state.all_rows()}
        self._report = Report()
        self._deadline = Deadline(_SECONDS)
        self._publishers: dict[int, set[str]] = {}
        for keys in authority.publishers.values():
            for number in keys.publisher.repository_ids:
                self._publishers.setdefault(number, set()).add(keys.publisher.id)

    def run(self) -> Report:
        """Look at each repository, those first that were not looked at for longest.

        Raises:
            GitError: the registry takes no push. GitHubError: the token is not valid.
        """
        order = self._order()
        for place, number in enumerate(order):
            why = self._why_stop(place)
            if not why:
                try:
                    self._look_at(number)
                except GitHubError as e:
                    if e.status == _UNAUTHORISED:
                        raise
                    why = "GitHub's rate limit is used up" if self._limited(e) else ""
                    if not why:
                        self._failed(number, e)
            if why:
                self._report.left, self._report.why_left = len(order) - place, why
                break
            self._report.looked_at += 1
            if len(self._outbox) >= _AT_ONCE:
                self._push()
        self._push()
        return self._report

    def _order(self) -> list[int]:
        """By when they were last looked at, so that every repository has its turn; without that knowledge, by a lot drawn each hour."""
        now = int(self._now.timestamp())

        def rank(number: int) -> tuple[int, str]:
            polled = self._cached(number).polled
            lot = hashlib.sha256(f"{self._now:%Y%m%d%H} {number}".encode()).hexdigest()
            return (polled if polled <= now else 0, lot)

        return sorted(self._publishers, key=rank)

    def _why_stop(self, place: int) -> str:
        remaining = self._edges.api.remaining
        if remaining is not None and remaining < _RESERVE:
            return f"GitHub's rate limit leaves {remaining} requests"
        if not self._deadline.remaining():
            return "the time for one run is over"
        if place >= _MOST_LOOKED_AT or self._outbox.taken >= _MOST_OFFERS:
            return "that is enough for one run"
        return ""

    def _limited(self, error: GitHubError) -> bool:
        if error.status == _TOO_MANY:
            return True
        return error.status == _FORBIDDEN and (
            self._edges.api.remaining == 0 or "rate limit" in error.message.lower()
        )

    def _cached(self, number: int) -> Known:
        return self._cache.repositories.get(str(number), Known())

    def _shown(self, number: int) -> str:
        known = self._known.get(number) or self._cached(number)
        return known.name or f"repository {number}"

    def _say(self, item: Item) -> None:
        self._report.items.append(item)

    # -- one repository -----------------------------------------------------------------------------------------

    def _look_at(self, number: int) -> None:
        """Ask for a repository by its number and for its releases, and queue what is new."""
        api, known = self._edges.api, self._cached(number)
        try:
            about = api.get_if_changed(f"/repositories/{number}", known.repository_etag if known.name else "")
        except GitHubError as e:
            if e.status != _ABSENT:
                raise
            self._vanished(number, known)
            return
        name, etag = known.name, known.repository_etag
        if not about.not_modified:
            name, etag = _checked_name(about.data, number), short_tag(about.etag)
        same = name == known.name
        path = repository_path(name, "releases")
        releases = api.get_if_changed(path, known.releases_etag if same else "", per_page=_PER_PAGE)
        polled = int(self._now.timestamp())
        self._known[number] = known = known.model_copy(
            update={"name": name, "repository_etag": etag, "polled": polled}
        )
        if releases.not_modified:
            self._report.unchanged += 1
            return
        settled, complete = self._look_through(number, name, items_of(releases.data)[:_PER_PAGE], known)
        self._known[number] = known.model_copy(
            update={
                "settled": dict(list(settled.items())[:MOST_SETTLED]),
                "releases_etag": short_tag(releases.etag) if complete else "",
            }
        )

    def _failed(self, number: int, error: GitHubError) -> None:
        """Say it, and let it wait for its next turn like the others."""
        self._say(Item(self._shown(number), "", Result.LATER, message=error.message, hint=error.hint))
        known = self._known.get(number) or self._cached(number)
        self._known[number] = known.model_copy(update={"polled": int(self._now.timestamp())})

    def _vanished(self, number: int, known: Known) -> None:
        publishers = ", ".join(sorted(self._publishers[number]))
        before = f" (it was {known.name})" if known.name else ""
        self._say(
            Item(
                f"repository {number}",
                "",
                Result.VANISHED,
                message=f"GitHub shows no repository {number}{before}, which publisher {publishers} lists",
                hint="It was deleted or made private. A new one under its name has another number, which a maintainer must enter.",
            )
        )
        polled = int(self._now.timestamp())
        self._known[number] = Known().model_copy(update={"name": known.name, "polled": polled})

    def _look_through(
        self, number: int, name: str, listed: list[Any], known: Known
    ) -> tuple[dict[str, int], bool]:
        """Look at each release. Gives what to remember of them, and whether nothing is left to do."""
        settled: dict[str, int] = {}
        complete = True
        for raw in listed:
            try:
                release = parse_hosted_release(raw)
            except GitHubError as e:
                complete = False
                self._say(Item(name, "", Result.LATER, message=e.message))
                continue
            manifest, status = release.asset(MANIFEST_ASSET), release.asset(RELEASE_ASSET)
            if release.draft or (manifest is None and status is None):
                continue
            key = _key(manifest, status)
            if known.settled.get(key) == _DONE:
                settled[key] = _DONE
                continue
            if status is None and manifest is not None and manifest.digest in self._published:
                continue
            tries = known.settled.get(key, 0)
            done = self._take(Offered(number, name, release, manifest, status, key, tries))
            settled |= {key: _DONE} if done else {key: tries} if tries else {}
            complete = complete and done
        return settled, complete

    def _take(self, offered: Offered) -> bool:
        """Judge what a release offers, and queue it. Gives whether that is settled for good."""
        item = Item(offered.repository, offered.release.tag, Result.REFUSED)
        try:
            found = self._download(offered)
            offer = offer_of(found, self._registry)
        except (FetchError, TooEarlyError, GitHubError) as e:
            if isinstance(e, GitHubError) and self._limited(e):
                raise
            self._say(replace(item, result=Result.LATER, message=e.message, hint=e.hint))
            return False
        except RegistryError as e:
            self._say(replace(item, message=e.message, hint=e.hint))
            return True
        except Exception as e:  # noqa: BLE001  (a stranger's bytes: whatever they break must not stop the others)
            error = broken(f"{offered.repository}, release {offered.release.tag}", e)
            self._say(replace(item, message=error.message, hint=error.hint))
            return False
        if offer is None:
            return True
        return self._queue_up(offered, offer, replace(item, id=offer.id, version=offer.version))

    def _download(self, offered: Offered) -> Found:
        """The documents of a release.

        Raises:
            FetchError, GitHubError: they cannot be had now. PublishError: they are too large.
        """
        if not all(asset is None or asset.complete for asset in (offered.manifest, offered.status)):
            raise TooEarlyError("the upload of its documents has not ended")
        where = f"{offered.repository}, release {offered.release.tag}"
        parts = [
            None
            if asset is None
            else read_asset(asset, limit, self._edges.transport, min(_PATIENCE, self._deadline.remaining()))
            for asset, limit in ((offered.manifest, MANIFEST_LIMIT), (offered.status, RELEASE_LIMIT))
        ]
        return Found(where, frozenset(self._publishers[offered.number]), parts[0], parts[1])

    def _queue_up(self, offered: Offered, offer: Offer, item: Item) -> bool:
        ref = publish_ref(offer.id, offer.version, offer.digest_hex)
        item = replace(item, ref=ref.removeprefix("refs/heads/"))
        if ref in self._outbox.refs:
            self._say(replace(item, result=Result.WAITING))
            return False
        if offered.tries >= _TRIES:
            message = f"{offer.id} {offer.version} was offered {offered.tries} times, and the registrar did not take it"
            hint = "Its log says why. What is offered again must be another file: a new version, or a new status."
            self._say(replace(item, message=message, hint=hint))
            return True
        self._outbox.add(offer, ref, replace(item, result=Result.IMPORTED), offered.number, offered.key)
        return False

    # -- pushing ------------------------------------------------------------------------------------------------

    def _push(self) -> None:
        """Push what is queued, and remember what was done."""
        for sent in self._outbox.flush(self._now):
            self._say(sent.item)
            if sent.submitted is not None:
                self._report.pushed.append((sent.offer, sent.submitted))
                self._count(sent.number, sent.key)
        if not self._edges.dry_run:
            self._save()

    def _count(self, number: int, key: str) -> None:
        known = self._known[number]
        settled = {**known.settled, key: known.settled.get(key, 0) + 1}
        if len(settled) <= MOST_SETTLED:
            self._known[number] = known.model_copy(update={"settled": settled})

    def _save(self) -> None:
        """Remember repositories that are still listed; those that this run did not come to as they were."""
        listed = sorted(self._publishers)[:MOST_REPOSITORIES]
        kept = {
            str(number): self._known.get(number) or self._cached(number)
            for number in listed
            if number in self._known or str(number) in self._cache.repositories
        }
        self._edges.save(Cache.model_construct(authority=self._cache.authority, repositories=kept))


def _checked_name(answer: Any, number: int) -> str:
    """`OWNER/REPO` out of GitHub's description of a repository.

    Raises:
        GitHubError: it is not the one that was asked for.
    """
    name = text_of(answer, "full_name")
    if member_of(answer, "id", int) != number or not is_repository_name(name):
        raise GitHubError(f"GitHub answers with another repository than number {number}", hint="Try again.")
    return name


def _key(*assets: Asset | None) -> str:
    """What the documents of a release are remembered by. An asset never changes: other bytes are another asset."""
    parts = ["-" if asset is None else asset.digest or f"asset {asset.id}" for asset in assets]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


__all__ = ["Edges", "Importer"]
