"""A distribution from a Python package index, as one archive file: the simple API in JSON (PEP 691), nothing run or built.

The index is believed as far as its owner trusts it, so nothing comes without a sha256 that its answer states. A wheel is taken before
an sdist, the newest version that fits before others, and a yanked file only where its version was asked for exactly.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from platform import python_version
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, sys_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from registry_client.digest import Digest
from registry_client.errors import DigestError, DocumentError, FetchError, NotFetchedError, NotFoundError
from registry_client.http import Deadline, shown
from registry_client.installer.elsewhere.local import read_local
from registry_client.installer.elsewhere.packed import MAX_SIZE, Archive, Packed, finished
from registry_client.installer.elsewhere.peek import peek
from registry_client.jsontext import MIB, parse_json
from registry_client.models.base import check_url
from registry_client.names import asks_for_prereleases, check_file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from registry_client.http import Transport
    from registry_client.installer.project.sources import PypiSource

INDEX_LIMIT = 64 * MIB
_ACCEPT = "application/vnd.pypi.simple.v1+json"
_MAX_FILES = 200_000
_TIMEOUT = 600.0
_SDIST = 1_000_000
"""Ranks sdists behind every wheel."""


@dataclass(frozen=True)
class File:
    """A file that an index offers and that this host can use.

    Attributes:
        name: its file name.
        version: its version.
        url: where it is, absolute.
        digest: its sha256; None where the index states none.
        size: its length, where the index states it.
        rank: how well it suits; lower is better.
        yanked: whether it was withdrawn.
    """

    name: str
    version: Version
    url: str
    digest: Digest | None
    size: int | None
    rank: int
    yanked: bool


def fetch_pypi(  # noqa: PLR0913  (what a host states, by keyword)
    source: PypiSource,
    range: str,  # noqa: A002  (the document's own word)
    transport: Transport,
    into: Path,
    *,
    python: str | None,
    platform: str | None,
    deadline: Deadline | None = None,
    prereleases: bool = False,
    id: str | None = None,  # noqa: A002  (the document's own word)
    digest: Digest | None = None,
) -> Packed:
    """Fetch the newest version of a distribution that fits.

    Args:
        source: the distribution, and its index.
        range: PEP 440 specifiers; empty for any version.
        transport: the network.
        into: where the archive is put, named by its digest.
        python: the host's Python version; None where it has none.
        platform: as `sys.platform` names it; None where that does not matter.
        deadline: when to give up; by default in 10 minutes.
        prereleases: whether prereleases are chosen without being asked for.
        id: the plugin's id, if it is known; else what the archive says, else the distribution's name.
        digest: of the file that is locked: it is taken, whichever would be chosen today.

    Raises:
        NotFoundError: nothing fits. FetchError: the index or its host does not answer as it should.
        DigestError: the index states no sha256, or the bytes have another, or another size.
        InstallError: the archive cannot be read or written.
    """
    deadline = deadline or Deadline(_TIMEOUT)
    url = urljoin(source.index, f"{source.name}/")
    try:
        body = transport.get(url, limit=INDEX_LIMIT, deadline=deadline, accept=_ACCEPT)
    except NotFetchedError as e:
        raise NotFoundError(
            f"{source.name}: not on {shown(source.index)} ({e.message})",
            hint="Check the name, and pypi in [sources].",
        ) from e
    files = read_files(body.data, url, source.name, python=python, platform=platform)
    locked = [file for file in files if digest is not None and file.digest == digest]
    chosen = choose_file(
        locked or files, range, f"{source.name} on {shown(source.index)}", prereleases=prereleases
    )
    if chosen.digest is None:
        raise DigestError(
            f"{shown(chosen.url)}: the index states no sha256 of it",
            hint="Use an index that does, or download the file and add it.",
        )
    return _download(chosen, chosen.digest, transport, into, deadline, plugin_id=id, name=source.name)


def read_files(data: bytes, url: str, name: str, *, python: str | None, platform: str | None) -> list[File]:
    """The files of an index's answer that this host can use. What is odd in the list is left out.

    Args:
        data: the answer.
        url: where it came from.
        name: the distribution, normalised.
        python: the host's Python version.
        platform: its platform.

    Raises:
        FetchError: it is no answer of the simple API in JSON.
    """
    hint = "The index must speak the simple API in JSON (PEP 691): check pypi in [sources]."
    try:
        raw = parse_json(data, limit=INDEX_LIMIT, where=shown(url))
    except DocumentError as e:
        raise FetchError(f"{shown(url)}: {e.problems[0].message}", hint=hint) from e
    meta, listed = raw.get("meta"), raw.get("files")
    api = str(meta.get("api-version", "")) if isinstance(meta, dict) else ""
    if not re.fullmatch(r"1\.[0-9]{1,4}", api) or not isinstance(listed, list) or len(listed) > _MAX_FILES:
        raise FetchError(f"{shown(url)}: is no answer of the simple API, version 1", hint=hint)
    tags = _tags(python, platform)
    found = (_file(item, url, name, tags, python) for item in listed if isinstance(item, dict))
    return [file for file in found if file is not None]


def _file(
    item: Mapping[str, Any], base: str, name: str, tags: Mapping[Tag, int], python: str | None
) -> File | None:
    """One file of an index; None for one that cannot be used here."""
    file_name, requires, size = item.get("filename"), item.get("requires-python"), item.get("size")
    if not isinstance(file_name, str) or not isinstance(item.get("url"), str):
        return None
    try:
        check_file_name(file_name)
        rank, version = _rank(file_name, name, tags)
        url = check_url(urljoin(base, item["url"].partition("#")[0]))
    except (ValueError, InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    weaker = urlsplit(base).scheme == "https" and urlsplit(url).scheme != "https"
    if rank is None or weaker or not _runs_on(requires, python):
        return None
    hashes = item.get("hashes")
    stated = hashes.get("sha256") if isinstance(hashes, dict) else None
    good = isinstance(stated, str) and re.fullmatch(r"[0-9a-f]{64}", stated)
    return File(
        name=file_name,
        version=version,
        url=url,
        digest=Digest.from_hex(str(stated)) if good else None,
        size=size if type(size) is int and 0 < size <= MAX_SIZE else None,
        rank=rank,
        yanked=item.get("yanked", False) is not False,
    )


def _rank(file_name: str, name: str, tags: Mapping[Tag, int]) -> tuple[int | None, Version]:
    """How well a file suits, None where it does not, and its version."""
    if file_name.lower().endswith(".whl"):
        found, version, _, own = parse_wheel_filename(file_name)
        best = min((tags[tag] for tag in own if tag in tags), default=None)
    else:
        found, version = parse_sdist_filename(file_name)
        best = _SDIST
    return (best if found == name else None), version


def _runs_on(requires: object, python: str | None) -> bool:
    """Whether a file can be used with a Python version; what cannot be read counts as no restriction, as for pip."""
    if not isinstance(requires, str) or not requires or python is None:
        return True
    try:
        return SpecifierSet(requires[:1000]).contains(python.removesuffix("+"), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _tags(python: str | None, platform: str | None) -> dict[Tag, int]:
    """The tags of wheels that fit, best first. Of other platforms than this one only wheels for any are known to fit."""
    own = python_version().split(".")[:2]
    wanted = python.split(".")[:2] if python else own
    if wanted == own and platform == sys.platform:
        return _ranked(sys_tags())
    digits = [re.match("[0-9]+", part) for part in wanted]
    numbers = tuple(int(match[0]) for match in digits if match) or (3,)
    interpreter = f"cp{''.join(map(str, numbers))}"
    pure = cpython_tags(numbers, abis=["none"], platforms=["any"])
    return _ranked([*pure, *compatible_tags(numbers, interpreter, ["any"])])


def _ranked(tags: Iterable[Tag]) -> dict[Tag, int]:
    ranks: dict[Tag, int] = {}
    for rank, tag in enumerate(tags):
        ranks.setdefault(tag, rank)
    return ranks


def choose_file(files: list[File], range_text: str, what: str, *, prereleases: bool = False) -> File:
    """The best file of the newest version that fits. Pure.

    Raises:
        NotFoundError: none fits.
    """
    wanted = SpecifierSet(range_text)
    exact = len(wanted) == 1 and re.fullmatch(r"\s*==[^*]*", range_text) is not None
    early = prereleases or bool(range_text and asks_for_prereleases(range_text))
    fitting = [
        file
        for file in files
        if wanted.contains(file.version, prereleases=early or exact)
        and (early or exact or not file.version.is_prerelease)
    ]
    offered = [file for file in fitting if exact or not file.yanked]
    if offered:
        return max(offered, key=lambda file: (file.version, not file.yanked, -file.rank, file.name))
    if fitting:
        raise NotFoundError(
            f"{what}: {max(file.version for file in fitting)} fits, but was withdrawn (yanked)",
            hint="Ask for it exactly, with ==, if it must be that one.",
        )
    newest = max((file.version for file in files if not file.yanked), default=None)
    raise NotFoundError(
        f"{what}: nothing fits {range_text or 'this host'}"
        + (f"; the newest for this host is {newest}" if newest else ""),
        hint="Widen the range, or look at the distribution's page: its Python versions and platforms.",
    )


def _download(
    file: File,
    digest: Digest,
    transport: Transport,
    into: Path,
    deadline: Deadline,
    *,
    plugin_id: str | None,
    name: str,
) -> Packed:
    with Archive(into, limit=MAX_SIZE, what=shown(file.url)) as archive:
        transport.get_into(file.url, archive.write, limit=file.size or MAX_SIZE, deadline=deadline)
        if archive.digest != digest or (file.size is not None and archive.size != file.size):
            raise DigestError(
                f"{shown(file.url)}: {archive.size} bytes with digest {archive.digest}, "
                f"but the index states {file.size or 'any number of'} with {digest}",
                hint="The copy is damaged or was changed. Try again; if it stays so, tell who runs the index.",
            )
        archive.finish()
        inside = peek(archive.path, file.name)
        stated = read_local(inside, name=name, id=plugin_id, version=str(file.version))
        return finished(archive, file.name, stated)


__all__ = ["INDEX_LIMIT", "File", "choose_file", "fetch_pypi", "read_files"]
