"""The last check before anything is written: the real client reads the candidate tree, fresh and from the previous state."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from publisher.registrar.listing import Listing, build_listing
from registry_client.catalogue import CATALOGUE_PATH, parse_catalogue
from registry_client.client import RegistryClient
from registry_client.errors import (
    NotFetchedError,
    RegistrarError,
    RegistryError,
    TooLargeError,
)
from registry_client.http import Body, Deadline, Usage
from registry_client.resolve import Host
from registry_client.shards import bits_of
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from publisher.tree import Overlay, Tree

_URL = "http://candidate.invalid"
# Where more plugins changed, the whole catalogue is parsed.
_FEW = 50


class TreeTransport:
    """Serves a tree to a client, in place of the network.

    Args:
        tree: what is served.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.usage = Usage()

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:  # noqa: ARG002
        """The bytes at a URL below the candidate's."""
        data = self.tree.read(url.removeprefix(f"{_URL}/")) if url.startswith(f"{_URL}/") else None
        if data is None:
            raise NotFetchedError(f"{url}: not in the tree", status=404)
        if len(data) > limit:
            raise TooLargeError(f"{url}: longer than {limit} bytes")
        return Body(data, None)

    def get_into(
        self,
        url: str,
        sink: Callable[[bytes], object],
        *,
        limit: int,
        deadline: Deadline,
        offset: int = 0,  # noqa: ARG002
        begin: Callable[[int], object] | None = None,
    ) -> None:
        """The bytes at a URL, always all of them, into `sink`."""
        if begin is not None:
            begin(0)
        sink(self.get(url, limit=limit, deadline=deadline).data)


def check_candidate(
    candidate: Overlay, pinned_root: bytes, changed: Iterable[str], now: datetime, *, allow_dev_keys: bool
) -> None:
    """Read the candidate with the real client, fresh and from the state before.

    Args:
        candidate: the tree with this run's changes.
        pinned_root: what clients have pinned.
        changed: ids whose every version is looked at.
        now: the time, UTC.
        allow_dev_keys: for development registries.

    Raises:
        RegistrarError: the client refuses it; nothing may be written.
    """
    ids = sorted(changed, key=bits_of)  # shard by shard, as the client reads them quickest

    def client(home: str, tree: Tree) -> RegistryClient:
        return RegistryClient(
            _URL,
            root=pinned_root,
            directories=Directories.default(Path(home)),
            host=Host("0" * 32),
            allow_dev_keys=allow_dev_keys,
            clock=lambda: now,
            on_warning=_refuse_warning,
            transport=TreeTransport(tree),
        )

    with tempfile.TemporaryDirectory() as fresh, tempfile.TemporaryDirectory() as used:
        before = _exists_before(client(used, candidate.base), ids)
        try:
            _read(client(fresh, candidate), ids)
            _check_lines(candidate, ids)
            if before:
                _follow(client(used, candidate), ids)
        except RegistryError as e:
            raise RegistrarError(
                f"the client refuses the new index, so nothing was written: {e.message}",
                hint=e.hint or "Run 'publisher registry audit' to see what is wrong.",
            ) from e


def _check_lines(candidate: Overlay, ids: list[str]) -> None:
    """Read the catalogue's lines of these plugins as the client does, which `_read` does not where they are few."""
    data = candidate.read(CATALOGUE_PATH)
    if data is None or len(ids) > _FEW:
        return
    listing = Listing(data)
    lines = {plugin_id: line for plugin_id in ids if (line := listing.find(plugin_id)) is not None}
    parse_catalogue(build_listing(lines, listing.updated), CATALOGUE_PATH)


def _refuse_warning(message: str) -> None:
    raise RegistrarError(message)


def _exists_before(client: RegistryClient, ids: list[str]) -> bool:
    """Take the previous state as a client has it; False if there is none, or it has expired or is broken."""
    try:
        client.refresh()
    except RegistryError:
        return False
    for plugin_id in ids:
        with contextlib.suppress(RegistryError):
            client.versions(plugin_id)  # remembers release revisions
    return True


def _follow(client: RegistryClient, ids: list[str]) -> None:
    """Go from the state before to the candidate. What it says of manifests is the same for a fresh client."""
    client.refresh()
    for plugin_id in ids:
        client.versions(plugin_id)


def _read(client: RegistryClient, ids: list[str]) -> None:
    """Read everything that a fresh client can be offered."""
    client.refresh()
    client.search(
        ids[0] if 0 < len(ids) <= _FEW else ""
    )  # for one id, only the lines that may hold it are parsed
    if client.session.statements.policy().registry != client.session.registry():
        raise RegistrarError(
            "targets metadata names policy.json with another registry id than it holds",
            hint="A maintainer signs it again: 'publisher registry policy set'.",
        )
    for plugin_id in ids:
        for info in client.versions(plugin_id):
            if info.line.removed is None and info.line.quarantined is None:
                if info.problem is not None:
                    raise info.problem
                client.reader.manifest(info.line)
