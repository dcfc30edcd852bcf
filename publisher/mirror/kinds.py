"""What each served file is: when it is written, whether it ever changes, and what is said of it to caches and browsers. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from publisher.mirror.served import ROOT
from publisher.tree import TIMESTAMP
from registry_client.bundle import BUNDLE_PATH
from registry_client.digest import Digest
from registry_client.layout import version_file

if TYPE_CHECKING:
    from collections.abc import Mapping

FOR_EVER: Final = "public, max-age=31536000, immutable"
A_WHILE: Final = "public, max-age=300"
"""Of what changes in place: as long as clients themselves go without asking (`registry_client.client.TTL`)."""
BRIEFLY: Final = "public, max-age=10"
"""Of the timestamp: so short that nobody sees it, so long that a cache takes the rush of clients from the store."""
NEVER: Final = "no-store"

_METADATA = re.compile(r"metadata/([1-9][0-9]*)\.([a-z]+)\.json")
_NAMED = re.compile(r"targets/(?:.*/)?([0-9a-f]{64})\.[^/]+|artifacts/sha256/([0-9a-f]{64})/[^/]+")
# What is in none of these is bytes to a browser: nothing that somebody uploaded ever runs as a page of the mirror's origin.
_TYPES: Final[Mapping[str, str]] = {
    ".json": "application/json",
    ".zip": "application/zip",
    ".whl": "application/zip",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
}
_WIDE, _NARROW = 16, 4


class Kind(NamedTuple):
    """What holds for one served file.

    Attributes:
        wave: files of a lower wave are all there before one of a higher is written.
        immutable: the path never gets other bytes.
        cache_control: what caches are told.
        content_type: what browsers are told.
        attachment: whether browsers are told to save it, not to show it.
        parallel: how many of its wave are written at once.
    """

    wave: int
    immutable: bool
    cache_control: str
    content_type: str
    attachment: bool = False
    parallel: int = _WIDE


def kind_of(path: str) -> Kind:
    """The kind of a served file, by its path."""
    content_type = next(
        (kind for end, kind in _TYPES.items() if path.endswith(end)), "application/octet-stream"
    )
    if path == TIMESTAMP:
        return Kind(_LAST, immutable=False, cache_control=BRIEFLY, content_type=content_type, parallel=1)
    if found := _METADATA.fullmatch(path):
        wave = _FIRST if path == ROOT else _METADATA_WAVES.get(found[2], _ROLES)
        return Kind(wave, True, FOR_EVER, content_type, parallel=1 if found[2] == "root" else _WIDE)  # noqa: FBT003
    if path.startswith("artifacts/"):
        # Few at once: each is in memory as a whole.
        return Kind(_FILES, True, FOR_EVER, content_type, attachment=True, parallel=_NARROW)  # noqa: FBT003
    version = version_file(path)
    if path.startswith("targets/") or (version is not None and version.is_manifest):
        return Kind(_FILES, True, FOR_EVER, content_type)  # noqa: FBT003
    wave = _LISTS if path in {"registry.json", BUNDLE_PATH} else _PLAIN
    return Kind(wave, False, A_WHILE, content_type)  # noqa: FBT003


# 1.root.json says whose mirror this is, so that a run that was interrupted can be completed. Then what nothing else needs; what
# names it; the roles, the snapshot that names those, and a new root only where the timestamp follows at once: between the two a
# client may find an old timestamp under new keys.
_FIRST, _FILES, _PLAIN, _LISTS, _ROLES, _SNAPSHOTS, _ROOTS, _LAST = range(8)
_METADATA_WAVES: Final[Mapping[str, int]] = {"snapshot": _SNAPSHOTS, "root": _ROOTS}


def write_order(path: str) -> tuple[int, int, int, str]:
    """A key to sort served paths by: wave, then how many at once; roots by number, as clients walk them."""
    kind = kind_of(path)
    number = int(found[1]) if (found := _METADATA.fullmatch(path)) else 0
    return kind.wave, kind.parallel, number, path


def named_digest(path: str) -> Digest | None:
    """The digest that stands in a file's own path; None where there is none."""
    found = _NAMED.fullmatch(path)
    return Digest.from_hex(found[1] or found[2]) if found else None
