"""What was verified a short while ago, from the disk alone: without TUF, the network, or what imports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from registry_client.digest import Digest
    from registry_client.store import Store, View

TTL = 300.0
"""Seconds within which a host is not asked again."""
_ROOT_LIMIT = 512_000


def fresh_view(store: Store, root: Digest, *, now: float, ttl: float, allow_dev_keys: bool) -> View | None:
    """What the last verified refresh found, if that holds now as it stands; None if it cannot be said without TUF.

    Args:
        store: the registry's state and cache.
        root: digest of the pinned root.
        now: seconds since 1970.
        ttl: seconds within which a host is not asked again.
        allow_dev_keys: whether development keys are accepted.
    """
    view = store.read_view()
    if (
        view is None
        or view.root != root
        or not is_fresh(view.checked_at, now, ttl)
        or now >= view.expires
        or (view.dev_keys and not allow_dev_keys)
    ):
        return None
    return view


def is_fresh(checked_at: float, now: float, ttl: float) -> bool:
    """Whether a host was asked so lately that it is not asked again; times in seconds since 1970."""
    return 0 <= now - checked_at < ttl


def read_root(path: Path) -> bytes:
    """The bytes of a pinned root.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_ROOT_LIMIT + 1)
    except OSError as e:
        raise ConfigError(
            f"{path}: the root of trust cannot be read ({e.strerror})",
            hint="Get metadata/1.root.json from the registry's maintainers over a channel you trust, and pin that file.",
        ) from e
    if len(data) > _ROOT_LIMIT:
        raise ConfigError(f"{path}: larger than {_ROOT_LIMIT} bytes; not a root of trust")
    return data


def utc_now() -> datetime:
    """The clock of this machine."""
    from datetime import UTC, datetime  # noqa: PLC0415  (searching needs no more than seconds)

    return datetime.now(UTC)
