"""What an operation will change, before it does: shown to the owner, given to hooks, then applied. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from registry_client.installer.project.lockfile import Lock, LockedPlugin


class Action(StrEnum):
    """What happens to one plugin."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REINSTALL = "reinstall"
    """The same version again: its files were changed or are missing, or its source has other content."""
    REMOVE = "remove"
    DISABLE = "disable"
    ENABLE = "enable"


@dataclass(frozen=True)
class Change:
    """What happens to one plugin.

    Attributes:
        id: the plugin.
        action: what happens.
        before: what is installed now; None where nothing is.
        after: what will be; None where nothing will.
        new_permissions: what `after` asks for beyond what was accepted before.
        more: whether they come with what was accepted with less: a later version, or what that one needs. Else the owner
            has just asked for the plugin, and is shown them.
        changelogs: version and text of each version after `before` up to `after`, newest first; filled for upgrades.
        force: whether the publisher asks to apply it without waiting for consent.
        reason: why, where it is not the owner's wish: a block's reason.
    """

    id: str
    action: Action
    before: LockedPlugin | None = None
    after: LockedPlugin | None = None
    new_permissions: tuple[str, ...] = ()
    more: bool = False
    changelogs: tuple[tuple[str, str], ...] = ()
    force: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Waiting:
    """An update that was not applied by `upgrade --auto`, and why."""

    id: str
    installed: str
    offered: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What an operation will change.

    Attributes:
        changes: to what is installed, sorted by id.
        lock: plugins.lock as it will be; None where it stays.
        project_text: plugins.toml as it will be; None where it stays.
        warnings: what the owner should be told.
        waiting: updates that wait for the owner.
        packages: Python packages that the plugins need, PEP 508; the host installs them.
        system: programs and services that they need.
        applied: whether it was done.
    """

    changes: tuple[Change, ...] = ()
    lock: Lock | None = None
    project_text: str | None = None
    warnings: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    packages: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    applied: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not self.changes and self.lock is None and self.project_text is None

    @property
    def asks_for_more(self) -> tuple[Change, ...]:
        """Changes by which what was accepted before gets more permissions, by itself or by what it brings along."""
        return tuple(c for c in self.changes if c.more and c.new_permissions)


@dataclass(frozen=True)
class Found:
    """A folder among the plugins that nobody recorded.

    Attributes:
        folder: where it is.
        id: what it says or its name, made valid; empty where none can be made.
        version: what it says; empty where it says none.
    """

    folder: Path
    id: str
    version: str
