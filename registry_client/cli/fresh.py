"""What the command can say of a registry inside the TTL without making a client of it: that takes longer than reading the answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.catalogue import CATALOGUE_PATH, search_catalogue
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.fresh import TTL, fresh_view, read_root
from registry_client.store import Store
from registry_client.urls import check_base_url

if TYPE_CHECKING:
    from registry_client.catalogue import CatalogueEntry
    from registry_client.cli.state import State
    from registry_client.store import View


@dataclass(frozen=True)
class Source:
    """The configured registry, as far as it is known without asking it.

    Attributes:
        urls: its URL, then mirrors.
        store: its state and cache.
        root: digest of the pinned root.
        allow_dev_keys: whether development keys are accepted.
        own: whether it is one of the project's.
    """

    urls: tuple[str, ...]
    store: Store
    root: Digest
    allow_dev_keys: bool
    own: bool

    def view(self) -> View | None:
        """What the last refresh found, where it is as good as asking; None elsewhere."""
        return fresh_view(self.store, self.root, now=time.time(), ttl=TTL, allow_dev_keys=self.allow_dev_keys)


def source_of(state: State) -> Source | None:
    """The configured registry; None where something is wrong, or a token is needed: a client says it, or uses it."""
    try:
        config, own = state.configured()
        if config.auth not in {"none", "env"} or state.credentials(config) is not None:
            return None
        urls = tuple(check_base_url(url) for url in (config.url, *config.mirrors))
        root = Digest.of(read_root(config.root))
        allowed = config.allow_dev_keys or state.allow_dev_keys or state.environment.dev_keys_allowed
    except RegistryError:
        return None
    return Source(urls, Store(state.directories(), urls[0]), root, allowed, own)


def search_fresh(source: Source, wanted: str) -> list[CatalogueEntry] | None:
    """What a search finds in the catalogue that was verified within the TTL; None where there is none.

    Raises:
        DocumentError: not a catalogue.
    """
    view = source.view()
    data = source.store.read_object(Digest(view.catalogue)) if view is not None else None
    return None if data is None else search_catalogue(data, CATALOGUE_PATH, wanted)
