"""What a pull request touches, by the names of its files alone: which part of a registry, and whose. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from publisher.markdown import one_line
from publisher.registrar.submission import ARTIFACT_PATH, MAX_IN_TREE
from registry_client.layout import plain_file, version_file
from registry_client.models.blocks import BLOCKS_LIMIT
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.models.policy import POLICY_LIMIT
from registry_client.models.publisher import PUBLISHER_LIMIT
from registry_client.models.release import RELEASE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from publisher.review.tree_diff import Blob
    from publisher.tree import Tree

METADATA_LIMIT = 2_000_000
_MOST_NAMED = 20
_HEX = "[0-9a-f]{64}"
_FOLDERS = {"plugins", "artifacts", "publishers", "metadata", "targets", "staging"}
_FILES = {"registry.json", "policy.json", "blocks.json"}


class Area(Enum):
    """A part of a registry, by who writes it."""

    PLUGIN = "plugin"
    ARTIFACT = "artifact"
    MAINTAINERS = "maintainers"
    GENERATED = "generated"
    STRAY = "stray"
    OTHER = "other"


JUDGED = (Area.PLUGIN, Area.ARTIFACT, Area.MAINTAINERS)
"""What people write: the rest of a registry follows from it."""


@dataclass(frozen=True)
class Place:
    """What a path stands for.

    Attributes:
        area: who writes it.
        subject: what it is about, such as `plugin calendar`; empty where that depends on the other files.
        limit: the most bytes that it may have.
    """

    area: Area
    subject: str = ""
    limit: int = METADATA_LIMIT


@dataclass(frozen=True)
class Change:
    """A file that a pull request changes; None stands for no file.

    Attributes:
        path: where.
        old: as it was where the pull request branched off.
        new: as the pull request has it.
        base: as it is on the base branch now.
        size: bytes of the new file.
    """

    path: str
    old: Blob | None
    new: Blob | None
    base: Blob | None
    size: int = 0

    @property
    def place(self) -> Place:
        """What the path stands for."""
        return place_of(self.path)

    @property
    def shown(self) -> str:
        """The path for messages."""
        text = one_line(self.path.encode("utf-8", "replace").decode())
        return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004  (characters)


def _nothing(_: Iterable[str]) -> None:
    """Where all files are at hand."""


@dataclass(frozen=True)
class Base:
    """The registry that a pull request is to be merged into.

    Attributes:
        tree: its files as they are on the base branch now.
        root: bytes of the root of trust.
        now: the time, UTC.
        allow_dev_keys: accept development keys.
        patched: its files with some changes of the pull request on top.
        prefetch: told which paths are going to be read, so that they can be fetched together.
    """

    tree: Tree
    root: bytes
    now: datetime
    allow_dev_keys: bool
    patched: Callable[[Iterable[Change]], Tree]
    prefetch: Callable[[Iterable[str]], None] = _nothing


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the file it is about; empty where it is about the pull request.
        message: what is wrong.
        hint: the way out.
    """

    path: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """For `--json`."""
        row = {"path": self.path, "message": self.message, "hint": self.hint}
        return {name: value for name, value in row.items() if value}


_PLACES: tuple[tuple[re.Pattern[str], Area, str, int], ...] = tuple(
    (re.compile(regex), area, subject, limit)
    for regex, area, subject, limit in (
        (r"registry\.json", Area.GENERATED, "", METADATA_LIMIT),
        (r"metadata/(?:timestamp|[0-9]+\.(?:snapshot|registrar))\.json", Area.GENERATED, "", METADATA_LIMIT),
        (rf"targets/index/.+|targets/{_HEX}\.registry\.json", Area.GENERATED, "", METADATA_LIMIT),
        (ARTIFACT_PATH.pattern, Area.ARTIFACT, "", MAX_IN_TREE),
        (
            rf"(?:targets/publishers/{_HEX}\.|publishers/)([^/]+)\.json",
            Area.MAINTAINERS,
            "publisher {}",
            PUBLISHER_LIMIT,
        ),
        (rf"(?:targets/{_HEX}\.)?(policy)\.json", Area.MAINTAINERS, "{}", POLICY_LIMIT),
        (rf"(?:targets/{_HEX}\.)?(blocks)\.json", Area.MAINTAINERS, "{}", BLOCKS_LIMIT),
        (
            r"(?:metadata|staging)/[1-9][0-9]{0,8}\.root\.json",
            Area.MAINTAINERS,
            "the registry's keys",
            METADATA_LIMIT,
        ),
        # Signed with whatever they name, so they say nothing of what the pull request is about.
        (
            r"(?:metadata|staging)/[1-9][0-9]{0,8}\.(?:targets|blocks)\.json",
            Area.MAINTAINERS,
            "",
            METADATA_LIMIT,
        ),
    )
)


def place_of(path: str) -> Place:
    """What a path stands for."""
    plugin = _place_of_plugin(path)
    if plugin is not None:
        return plugin
    for regex, area, subject, limit in _PLACES:
        match = regex.fullmatch(path)
        if match:
            return Place(area, subject.format(*match.groups()), limit)
    folded = path.casefold()  # some file systems know no case: there these would be the registry's
    if folded in _FILES or folded.split("/", 1)[0] in _FOLDERS:
        return Place(Area.STRAY)
    return Place(Area.OTHER)


def _place_of_plugin(path: str) -> Place | None:
    """What a path below `plugins/` stands for; None for any other, and for what is no file of a plugin."""
    found = version_file(path)
    if found is None:
        return None if plain_file(path) is None else Place(Area.GENERATED)
    if found.resigned:
        return Place(Area.GENERATED, limit=MANIFEST_LIMIT)
    limit = MANIFEST_LIMIT if found.is_manifest else RELEASE_LIMIT
    return Place(Area.PLUGIN, f"plugin {found.id}", limit)


def check_scope(changes: Iterable[Change]) -> list[Problem]:
    """What is wrong with what a pull request touches, whatever stands in its files."""
    by_area: dict[Area, list[Change]] = {area: [] for area in Area}
    for change in changes:
        by_area[change.place.area].append(change)
    problems = _not_for_pull_requests(by_area)
    own, others = subjects_of(c for found in by_area.values() for c in found), by_area[Area.OTHER]
    if len(own) > 1:
        problems.append(
            Problem(
                "",
                f"changes {named(own)}; a pull request is about one plugin or one publisher",
                "Propose them apart, each in a pull request of its own.",
            )
        )
    if others and len(others) < sum(map(len, by_area.values())):
        problems.append(
            Problem(
                "",
                f"changes the registry and other files too: {named([c.shown for c in others])}",
                "Propose the other files in a pull request of their own.",
            )
        )
    return problems


def subjects_of(changes: Iterable[Change]) -> list[str]:
    """What a pull request is about, such as `plugin calendar`; sorted."""
    places = [change.place for change in changes]
    subjects = {place.subject for place in places if place.subject}
    unnamed = {place.area for place in places if not place.subject}
    if Area.MAINTAINERS in unnamed and not any(not text.startswith("plugin ") for text in subjects):
        subjects.add("the maintainers' signatures")
    if Area.ARTIFACT in unnamed and not any(text.startswith("plugin ") for text in subjects):
        subjects.add("artifacts")
    return sorted(subjects)


def _not_for_pull_requests(by_area: dict[Area, list[Change]]) -> list[Problem]:
    problems = [
        Problem(
            change.shown,
            "is written by the registrar alone",
            "Leave it out of the pull request: it follows from what is merged.",
        )
        for change in by_area[Area.GENERATED]
    ]
    problems += [
        Problem(
            change.shown,
            "is no file of a registry",
            "Rename it, or leave it out: docs/reference.md lists a registry's files.",
        )
        for change in by_area[Area.STRAY]
    ]
    for change in (c for area in JUDGED for c in by_area[area]):
        problems += _not_plain(change)
    return problems


def _not_plain(change: Change) -> list[Problem]:
    """What is wrong with a file before anyone looks into it."""
    if change.new is None:
        return []
    if change.new.mode != "100644":
        return [
            Problem(
                change.shown,
                f"has mode {change.new.mode}; only plain files (100644) are taken",
                "Commit it as a plain file: no link, not executable.",
            )
        ]
    if change.size > change.place.limit:
        return [Problem(change.shown, f"has {change.size} bytes; at most {change.place.limit} are allowed")]
    return []


def is_readable(change: Change) -> bool:
    """Whether the new file may be looked into: it is the registry's, plain and not too large."""
    return change.place.area in JUDGED and change.new is not None and not _not_plain(change)


def check_conflicts(changes: Iterable[Change]) -> list[Problem]:
    """Files of the registry that the base branch has changed meanwhile, otherwise than the pull request."""
    return [
        Problem(
            change.shown,
            "was changed on the base branch too, since this pull request branched off",
            "Make the change again on top of the base branch.",
        )
        for change in changes
        if change.place.area in JUDGED and change.base not in {change.old, change.new}
    ]


def named(names: list[str]) -> str:
    """The names, or the first of them where there are many."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


__all__ = [
    "JUDGED",
    "Area",
    "Base",
    "Change",
    "Place",
    "Problem",
    "check_conflicts",
    "check_scope",
    "is_readable",
    "named",
    "place_of",
    "subjects_of",
]
