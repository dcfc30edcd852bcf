"""Links of each plugin's newest release: which are dead, and whether its remote entry is what `ui.integrity` says."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.registrar.catalogue import public_version
from publisher.watch.findings import Finding, Level
from publisher.watch.probe import PAUSES, Answer, Verdict, settle
from registry_client.errors import FetchError, TooLargeError
from registry_client.http import UNRESOLVED, Deadline, Transport, shown
from registry_client.jsontext import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from publisher.authority import Authority
    from publisher.registrar.state import Row, State
    from publisher.tree import Tree
    from registry_client.models.manifest import Manifest

_PARALLEL = 8
_PATIENCE = 20.0
_IN_ALL = 20 * 60.0  # with the artifacts, less than the scheduled job has
_LARGEST_ENTRY = 32 * MIB
_GONE = frozenset({404, 410})
_MOST_NAMES = 5


class _EnoughError(Exception):
    """The host began to answer; no more needs to be read."""


@dataclass(frozen=True)
class _Link:
    """One URL, and what a remote entry there must be: empty for other links."""

    url: str
    integrity: str = ""


def newest_releases(
    state: State, authority: Authority, versions: Iterable[tuple[Row, Manifest]]
) -> Iterator[Manifest]:
    """Of each plugin, the manifest of the version that the catalogue shows."""
    manifests = {(row.raw["id"], row.raw["version"]): manifest for row, manifest in versions}
    for plugin_id in sorted({name for name, _ in manifests}):
        blocks = [block for block in authority.blocks.blocks if block.id == plugin_id]
        newest = public_version(state.sorted_rows(plugin_id), blocks)
        manifest = manifests.get((plugin_id, newest[0].raw["version"])) if newest else None
        if manifest is not None:
            yield manifest


def check_links(
    manifests: Iterable[Manifest],
    tree: Tree,
    base_url: str,
    transport: Transport,
    pauses: Sequence[float] = PAUSES,
) -> tuple[list[Finding], list[Finding]]:
    """Ask for every link once.

    Args:
        manifests: whose links.
        tree: holds what manifests name by a relative path.
        base_url: where to look for that instead, if the tree does not hold all files; else empty.
        transport: reaches hosts.
        pauses: seconds between attempts.

    Returns:
        What is gone or changed, and remote entries that could not be looked at.
    """
    wanted: dict[_Link, list[str]] = {}
    found: list[Finding] = []
    for manifest in manifests:
        for what, location, integrity in _links_of(manifest):
            who = f"{what} of {manifest.id} {manifest.version}"
            if ":" in location or base_url:
                url = location if ":" in location else f"{base_url}/{location}"
                wanted.setdefault(_Link(url, integrity), []).append(who)
            elif tree.read(location) is None:
                found.append(Finding(Level.WARNING, location, f"is missing: {who}"))
    deadline = Deadline(_IN_ALL)

    def one(link: _Link) -> Answer:
        return settle(lambda: _ask(link, transport, deadline), deadline, pauses)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        answers = dict(zip(wanted, pool.map(one, wanted), strict=True))
    found += [f for link, who in wanted.items() for f in _finding(link, who, answers[link])]
    unreachable = [f for link, who in wanted.items() for f in _unreachable(link, who, answers[link])]
    return found, unreachable


def _links_of(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """What it is, where it is, and what it must be."""
    changelog = (manifest.changelog or "").strip()
    is_url = changelog.startswith(("https://", "http://")) and len(changelog.split()) == 1
    named = {
        "homepage": manifest.homepage,
        "repository": manifest.repository,
        "documentation": manifest.documentation,
        "changelog": changelog if is_url else None,
        "icon": manifest.icon,
    }
    yield from ((what, location, "") for what, location in named.items() if location)
    yield from (("screenshot", location, "") for location in manifest.screenshots)
    if manifest.ui is not None and manifest.ui.remote_entry is not None:
        yield "remote entry", manifest.ui.remote_entry, manifest.ui.integrity or ""


def _ask(link: _Link, transport: Transport, deadline: Deadline) -> Answer:
    limited = Deadline(min(_PATIENCE, deadline.remaining()))
    algorithm = link.integrity.partition("-")[0]
    digest = hashlib.new(algorithm) if algorithm else None

    def take(chunk: bytes) -> None:
        if digest is None:
            raise _EnoughError
        digest.update(chunk)

    try:
        transport.get_into(link.url, take, limit=_LARGEST_ENTRY, deadline=limited)
    except _EnoughError:
        return Answer(Verdict.SOUND)
    except TooLargeError:
        return Answer(Verdict.UNREACHABLE, f"more than {_LARGEST_ENTRY // MIB} MiB")
    except FetchError as e:
        gone = e.status in _GONE or UNRESOLVED in e.message
        detail = e.message.removeprefix(f"{shown(link.url)}: ")
        return Answer(Verdict.VANISHED if gone else Verdict.UNREACHABLE, detail, e.retry_after or 0.0)
    served = f"{algorithm}-{base64.b64encode(digest.digest()).decode()}" if digest is not None else ""
    if served.rstrip("=") != link.integrity.rstrip("="):  # padding is optional
        return Answer(Verdict.CHANGED, f"{served} is served, but ui.integrity is {link.integrity}")
    return Answer(Verdict.SOUND)


def _finding(link: _Link, who: Sequence[str], answer: Answer) -> Iterator[Finding]:
    if answer.verdict is Verdict.VANISHED:
        yield Finding(Level.WARNING, shown(link.url), f"is gone ({answer.detail}): {_names(who)}")
    elif answer.verdict is Verdict.CHANGED:
        hint = "Browsers refuse it. Its publisher restores the file, or publishes a version with a URL of its own."
        yield Finding(Level.ERROR, shown(link.url), f"changed: {answer.detail}; {_names(who)}", hint)


def _unreachable(link: _Link, who: Sequence[str], answer: Answer) -> Iterator[Finding]:
    """Of pages that people read, hosts that turn programs away are usual, and not worth a word."""
    if answer.verdict is Verdict.UNREACHABLE and link.integrity:
        text = f"could not be looked at: {answer.detail}; {_names(who)}"
        yield Finding(Level.WARNING, shown(link.url), text)


def _names(who: Sequence[str]) -> str:
    more = f" and {len(who) - _MOST_NAMES} more" if who[_MOST_NAMES:] else ""
    return ", ".join(who[:_MOST_NAMES]) + more


__all__ = ["check_links", "newest_releases"]
