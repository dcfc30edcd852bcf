"""What a proposing pull request says: what changes, where it was built, how to check it. Pure.

Names, reasons and addresses are a stranger's and are escaped. The text stands between two hidden marks, and what people write around
them stays when it is written anew.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from publisher.changes import describe_changes, show_size
from publisher.folders import folder_in
from publisher.markdown import Markdown, code, escape, table
from registry_client.errors import RegistryError
from registry_client.jsontext import payload_digest_of
from registry_client.layout import manifest_path, plain_path, release_path
from registry_client.names import parse_version
from registry_client.signed import parse_manifest, parse_release

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from publisher.offer import Offer
    from publisher.tree import Listing, Tree

LONGEST_BODY: Final = 65_536
"""What GitHub takes, in characters. Bytes are counted here, to be on the safe side."""
_OWN_LIMIT: Final = 50_000
_END: Final = "<!-- plugin-registry: end of the proposal -->"
_BEGIN: Final = re.compile(r"<!-- plugin-registry: proposal [^<>\n]{1,200} -->")
_MOST_NAMES: Final = 30
_LONGEST_NAME: Final = 100
_TOO_LONG: Final = Markdown("too long to be shown here: see the files")
_AFTER: Final = (
    "It checks the documents, who signed them, and that this publisher may publish this plugin; it executes nothing. "
    "Merging is all there is to do: the registrar verifies everything again and takes it into the index."
)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REPOSITORY: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9._-]{1,100}"

Row = tuple[str, Markdown]


@dataclass(frozen=True)
class Registry:
    """Where a proposal goes.

    Attributes:
        git_url: what `git fetch` reads the registry from.
        server_url: GitHub's own address, to which alone the text links.
        branch: the registry's main branch.
    """

    git_url: str
    server_url: str
    branch: str


def build_body(
    offer: Offer,
    manifest: Mapping[str, Any] | None,
    release: Mapping[str, Any] | None,
    tree: Listing,
    to: Registry,
) -> str:
    """The text for an offer.

    Args:
        offer: what is proposed.
        manifest: the manifest in it, or None where only a status changes.
        release: the release document in it, or None.
        tree: the registry's main branch, which it is compared with.
        to: the registry.
    """
    rows: list[Row] = []
    if manifest is not None:
        rows += describe_changes(manifest, previous_manifest(tree, offer.id, offer.version)).rows()
        rows += [(f"Requires {name}", value) for name, value in _requires(manifest.get("requires") or {})]
        rows += _archives(manifest)
        rows += _provenance(manifest.get("provenance") or {}, to.server_url)
    else:
        rows += [("Plugin", code(offer.id)), ("Version", code(offer.version))]
    if release is not None:
        rows += _release(release, _status_before(tree, offer))
    return _fitted(offer, rows, to)


def previous_manifest(tree: Listing, plugin_id: str, version: str) -> dict[str, Any] | None:
    """What a version is compared with: what hosts are offered now, if it is older, else the newest published version below.

    Where there is none below, the newest at all; None for a plugin's first version.
    """
    own = parse_version(version)
    folder = folder_in(tree, plugin_id)
    offered = _read_manifest(tree, plain_path(folder))  # one request, where folders take one each
    if offered is not None and offered["id"] == plugin_id and parse_version(offered["version"]) < own:
        return offered
    published = {}
    for version_name in tree.folders(folder):
        with contextlib.suppress(ValueError):
            published[parse_version(version_name)] = manifest_path(folder, version_name)
    published.pop(own, None)
    below = [known for known in published if known < own] or list(published)
    return _read_manifest(tree, published[max(below)]) if below else None


def merge_body(written: str, current: str) -> str:
    """A pull request's text with our part written anew; what people wrote before and after it stays.

    Args:
        written: our part.
        current: the text as it is.
    """
    begin = _BEGIN.search(current)
    end = current.find(_END, begin.end()) if begin else -1
    if begin is None or end < 0:
        return written
    whole = current[: begin.start()] + written + current[end + len(_END) :]
    return whole if len(whole.encode()) <= LONGEST_BODY else written


def _fitted(offer: Offer, rows: list[Row], to: Registry) -> str:
    """The text, with its longest cells left out until it fits."""
    while len((text := _text(offer, rows, to)).encode()) > _OWN_LIMIT:
        longest = max(range(len(rows)), key=lambda number: len(rows[number][1]))
        rows[longest] = (rows[longest][0], _TOO_LONG)
    return text


def _text(offer: Offer, rows: Iterable[Row], to: Registry) -> str:
    command = f"publisher registry validate {to.git_url} --head refs/pull/NUMBER/head"
    if to.branch != "main":
        command += f" --base {to.branch}"
    return "\n".join(
        [
            f"<!-- plugin-registry: proposal {offer.id}@{offer.version} -->",
            f"{escape(offer.message.strip())}, proposed with `publisher`. What the files say, compared with {code(to.branch)}:",
            "",
            table(("", "What changes"), rows),
            "**To check it**, look at the result of `validate` below, or run this with the number of this pull request:",
            "",
            f"    {command}",
            "",
            _AFTER,
            _END,
        ]
    )


def _requires(requires: Mapping[str, Any]) -> Iterable[Row]:
    """What a version needs, a row for each kind."""
    for kind in sorted(requires):
        needed = requires[kind]
        if isinstance(needed, dict):
            shown = [f"{name} {wanted}" for name, wanted in sorted(needed.items())]
        else:
            shown = [needed] if isinstance(needed, str) else list(needed)
        if shown:
            yield (kind, _listed(shown))


def _archives(manifest: Mapping[str, Any]) -> Iterable[Row]:
    """Name, size and digest of each packed file."""
    for artifact in (manifest.get("artifacts") or ())[:_MOST_NAMES]:
        name = _short(str(artifact["url"]).rpartition("/")[2])
        yield (
            "Archive",
            Markdown(f"{code(name)}, {show_size(artifact['size'])}, {code(artifact['digest'])}"),
        )


def _provenance(provenance: Mapping[str, Any], server_url: str) -> Iterable[Row]:
    """Where it was built, as the publisher claims. Only addresses of known form on GitHub itself become links.

    Any other could lead anywhere; and one of an issue would write into that issue.
    """
    if not provenance:
        return
    server = re.escape(server_url.rstrip("/"))
    repository, commit, run = (str(provenance.get(name) or "") for name in ("repository", "commit", "run"))
    source = code(_short(repository))
    if re.fullmatch(f"{server}/{_REPOSITORY}", repository) and _COMMIT.fullmatch(commit):
        name = repository.removeprefix(server_url.rstrip("/") + "/")
        source = Markdown(f"[{escape(name)} at {commit[:12]}]({repository}/commit/{commit})")
    elif commit:
        source = Markdown(f"{source} {code(_short(commit))}".strip())
    if provenance.get("ref"):
        source = Markdown(f"{source} ({code(_short(str(provenance['ref'])))})".strip())
    yield ("Built from (claimed)", source)
    if re.fullmatch(rf"{server}/{_REPOSITORY}/actions/runs/[0-9]{{1,20}}(?:/attempts/[0-9]{{1,6}})?", run):
        workflow = escape(_short(str(provenance.get("workflow") or "the run")))
        yield ("Built by (claimed)", Markdown(f"[{workflow}]({run})"))
    elif run:
        yield ("Built by (claimed)", code(_short(run)))


def _release(release: Mapping[str, Any], before: Mapping[str, Any]) -> Iterable[Row]:
    """A status, against the one in force."""

    def change(name: str) -> Markdown:
        new, old = _said(release.get(name, False)), _said(before.get(name, False))
        return code(new) if new == old or not before else Markdown(f"{code(old)} → {code(new)}")

    yield ("Status", change("status"))
    yield ("Rollout, per cent", change("rollout"))
    yield ("Offered as an update", change("push"))
    yield ("Applied without asking", change("forceUpdate"))
    yield ("Revision", code(str(release["revision"])))
    if release.get("reason"):
        yield ("Reason", escape(str(release["reason"])))
    yield ("For manifest", code(str(release["manifest"])))


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _status_before(tree: Listing, offer: Offer) -> dict[str, Any]:
    """The status in force on main; empty if the version is new."""
    folder = folder_in(tree, offer.id)
    place = release_path(folder, offer.version)
    release = tree.read(place)
    manifest = _read_manifest(tree, manifest_path(folder, offer.version))
    if manifest is None:
        return {}
    if release is not None:
        try:
            current = parse_release(release, place)
        except RegistryError:
            return {}
        if current.model.manifest == payload_digest_of(manifest):
            return current.raw
    return {"status": manifest["initialStatus"], "rollout": 100, "push": True, "forceUpdate": False}


def _read_manifest(tree: Tree, path: str) -> dict[str, Any] | None:
    """A manifest on main, or None: a damaged one keeps nobody from proposing the next."""
    data = tree.read(path)
    try:
        return None if data is None else parse_manifest(data, path).raw
    except RegistryError:
        return None


def _listed(names: list[str]) -> Markdown:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return Markdown(", ".join(code(_short(str(name))) for name in names[:_MOST_NAMES]) + more)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


__all__ = ["LONGEST_BODY", "Registry", "build_body", "merge_body", "previous_manifest"]
