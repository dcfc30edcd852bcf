"""What the importer remembers from one run to the next, so that it asks for little. An optimisation: losing it loses nothing.

Whoever can write the cache can make the importer overlook something, but take nothing in: what is taken in is verified each time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

from annotated_types import Len
from pydantic import Field

from publisher.github.api import is_repository_name
from registry_client.errors import ConfigError, DocumentError
from registry_client.jsontext import MAX_INTEGER, MIB, dump_json, parse_json
from registry_client.models.base import Document, validate
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

CACHE_LIMIT: Final = 16 * MIB
MOST_SETTLED: Final = 200
MOST_REPOSITORIES: Final = 20_000
_TAG: Final = r'((W/)?"[!#-~]{1,190}")?'
_Tag = Annotated[str, Field(pattern=f"^{_TAG}$")]


class Known(Document):
    """What is known of one repository."""

    name: Annotated[str, Field(max_length=140)] = ""
    """`OWNER/REPO`, as the repository's id led to it."""
    repository_etag: _Tag = ""
    """Entity tag of that answer."""
    releases_etag: _Tag = ""
    """Entity tag of the list of releases; only there if nothing in that list is left to do."""
    polled: Annotated[int, Field(ge=0, le=MAX_INTEGER)] = 0
    """When it was last looked at, in seconds since 1970."""
    settled: Annotated[
        dict[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")], Annotated[int, Field(ge=-1, le=100)]],
        Len(0, MOST_SETTLED),
    ] = Field(default_factory=dict)
    """What its releases offer, by a digest: -1 where nothing is left to do, else how many times it was offered to the registrar."""


class Cache(Document):
    """What is known of all repositories."""

    kind: Literal["import-cache"] = "import-cache"
    """The kind of document."""
    schema_version: Literal[1] = 1
    """The version of this format."""
    authority: Annotated[str, Field(max_length=200)] = ""
    """What the maintainers had signed: with other keys, something else may be let in."""
    repositories: Annotated[
        dict[Annotated[str, Field(pattern=r"^[0-9]{1,16}$")], Known], Len(0, MOST_REPOSITORIES)
    ] = Field(default_factory=dict)
    """What is known of each, by its id."""

    def under(self, authority: str) -> Cache:
        """This cache, with what was decided under other statements of the maintainers forgotten."""
        if self.authority == authority:
            return self
        kept = {
            number: Known.model_validate(
                {"name": known.name, "repositoryEtag": known.repository_etag, "polled": known.polled}
            )
            for number, known in self.repositories.items()
        }
        return Cache.model_validate({"authority": authority, "repositories": kept})


def short_tag(etag: str) -> str:
    """An entity tag, if it can be remembered and sent back; else nothing, and it is asked for anew."""
    return etag if re.fullmatch(_TAG, etag) else ""


def parse_cache(data: bytes, where: str) -> Cache:
    """A cache out of its bytes.

    Raises:
        DocumentError: it is none.
    """
    parse_json(data, limit=CACHE_LIMIT, where=where)
    cache: Cache = validate(Cache, data, where)
    for known in cache.repositories.values():
        if known.name and not is_repository_name(known.name):
            raise DocumentError(where, [])
    return cache


def load_cache(path: Path | None) -> tuple[Cache, str]:
    """The cache in a file, and what to tell the user if there is one that cannot be used. It is never an error."""
    if path is None:
        return Cache(), ""
    try:
        with path.open("rb") as file:
            data = file.read(CACHE_LIMIT + 1)
        return parse_cache(data, str(path)), ""
    except FileNotFoundError:
        return Cache(), ""
    except (OSError, DocumentError):
        return Cache(), f"{path}: is not a cache of the importer, so everything is asked for anew"


def write_cache(path: Path, cache: Cache) -> None:
    """Write the cache.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        write_atomic(path, dump_json(cache.model_dump(mode="json", by_alias=True)))
    except OSError as e:
        raise ConfigError(f"{path}: cannot be written ({e.strerror or e})") from e


__all__ = ["Cache", "Known", "load_cache", "parse_cache", "short_tag", "write_cache"]
