"""Which versions of one plugin an ask admits, and in which order they are tried. Pure.

The status table is applied here for hosts that have a lock; what it says of a single version stands in `resolve.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from registry_client.installer.project.model import PROJECT_NAME
from registry_client.names import asks_for_prereleases, is_prerelease, parse_range, parse_version
from registry_client.resolve import (
    describe,
    exact_version,
    is_last_resort,
    unmet,
    why_not,
    why_not_exactly,
    why_not_kept,
)
from registry_client.status import Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry_client.installer.project.lockfile import LockedPlugin
    from registry_client.models.manifest import Requires
    from registry_client.resolve import Host, VersionInfo

OTHER_PAYLOAD = "its payload digest is not the one in plugins.lock"
PASSED_OVER = "passed over since a rollback"
HELD_BACK = frozenset({OTHER_PAYLOAD, PASSED_OVER})
"""Reasons that do not count where the owner names the plugin for an upgrade."""


@dataclass(frozen=True)
class Ask:
    """One wish for a plugin.

    Attributes:
        id: the plugin.
        range: PEP 440 specifiers; empty for any version.
        registry: where it must come from; empty for a plugin from an unsigned source.
        asked_by: `plugins.toml`, or the plugin that needs it, such as `calendar 1.2.0`.
    """

    id: str
    range: str = ""
    registry: str = ""
    asked_by: str = PROJECT_NAME


@dataclass(frozen=True)
class Fixed:
    """A plugin from an unsigned source: the only candidate, outside any registry.

    Attributes:
        id: the plugin.
        version: its version.
        requires: what it needs.
        source: the kind of source, for messages: `path`, `git`, `pypi`, `adopted`.
    """

    id: str
    version: str
    requires: Requires | None
    source: str


@dataclass(frozen=True)
class Pick:
    """A version that was chosen.

    Attributes:
        id: the plugin.
        version: the version.
        registry: where it comes from; None for an unsigned source.
        info: how the registry describes it; None for an unsigned source.
        warnings: what the owner should be told.
        asked_by: everybody who asks for it, sorted.
    """

    id: str
    version: str
    registry: str | None
    info: VersionInfo | None
    warnings: tuple[str, ...]
    asked_by: tuple[Ask, ...]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A version that may be chosen. Compared by identity: there is one object for each version.

    Attributes:
        id: the plugin.
        version: the version.
        registry: where it comes from; empty for an unsigned source.
        requires: what it needs.
        info: how the registry describes it; None for an unsigned source.
        reason: why it is not offered to those who ask by range; empty if it is.
        exactly: why not to those who ask for exactly it.
    """

    id: str
    version: str
    registry: str
    requires: Requires | None
    info: VersionInfo | None
    reason: str
    exactly: str

    @cached_property
    def needs(self) -> tuple[tuple[str, str], ...]:
        """Other plugins that it needs, with their ranges, sorted."""
        plugins = self.requires.plugins if self.requires is not None else None
        return tuple(sorted((name, text) for name, text in (plugins or {}).items() if name != self.id))

    @cached_property
    def needs_another_self(self) -> str:
        """Why it cannot be used at all: it needs a version of itself that it is not. Empty for any sane one."""
        plugins = self.requires.plugins if self.requires is not None else None
        text = (plugins or {}).get(self.id)
        if text is None or holds(text, self.version, prereleases=True):
            return ""
        return f"needs {self.id} {text}, which it is itself"


def holds(range_text: str, version: str, *, prereleases: bool) -> bool:
    """Whether a range holds a version; an empty range holds all, prereleases only where they count."""
    if is_prerelease(version) and not prereleases:
        return False
    return not range_text.strip() or parse_range(range_text).contains(
        parse_version(version), prereleases=True
    )


class Stock:
    """All versions of one plugin in one registry, as this host may use them.

    Args:
        plugin_id: the plugin.
        registry: the registry's name.
        infos: its versions, in any order.
        host: who asks.
        locked: the version that the lock has of it, out of whatever source; None where there is none.
        upgrade: whether newer versions come before the locked one.
        named: whether the owner asks to upgrade this very plugin, which also takes what was gone back from.
    """

    def __init__(
        self,
        plugin_id: str,
        registry: str,
        infos: Sequence[VersionInfo],
        host: Host,
        *,
        locked: LockedPlugin | None,
        upgrade: bool,
        named: bool,
    ) -> None:
        self.id = plugin_id
        self.registry = registry
        self._host = host
        self._named = named
        self._locked = locked if locked is not None and locked.source.registry == registry else None
        self._upgrade = upgrade
        newest_first = sorted(infos, key=lambda info: parse_version(info.version), reverse=True)
        self.candidates = tuple(self._candidate(info) for info in newest_first)
        sane = (c for c in self.candidates if not c.reason and not c.needs_another_self)
        self.kept = next((c for c in sane if self._is_locked(c.info)), None)
        """The locked version, where it can stay."""
        self.prereleases = host.prereleases or (
            self._locked is not None and is_prerelease(self._locked.version)
        )
        """Whether prereleases count for whoever does not ask for them."""

    @classmethod
    def of_fixed(cls, fixed: Fixed, host: Host) -> Stock:
        """A plugin from an unsigned source: one version, which nobody but its owner judges."""
        stock = cls(fixed.id, "", (), host, locked=None, upgrade=False, named=False)
        missing = unmet(fixed.requires, host)
        reason = f"needs {'; '.join(missing)}" if missing else ""
        stock.candidates = (Candidate(fixed.id, fixed.version, "", fixed.requires, None, reason, reason),)
        stock.prereleases = True
        return stock

    @cached_property
    def ranked(self) -> tuple[Candidate, ...]:
        """The versions in the order in which they are tried: newest first within each group, see `_group`."""
        return tuple(sorted(self.candidates, key=self._group))

    def admits(self, range_text: str, *, exact: bool, prereleases: bool, judged: bool) -> frozenset[str]:
        """The versions that an ask allows.

        Args:
            range_text: the range; empty for any.
            exact: whether it asks for exactly one version, so that the table's column for that counts.
            prereleases: whether prereleases count.
            judged: whether the status counts; it does not for a plugin's need of what the owner asks for too.
        """
        counting = prereleases or self.prereleases
        return frozenset(
            c.version
            for c in self.candidates
            if not (judged and (c.exactly if exact else c.reason))
            and not c.needs_another_self
            and holds(range_text, c.version, prereleases=counting)
        )

    def is_below_kept(self, candidate: Candidate) -> bool:
        """Whether a candidate is older than a locked version that can stay."""
        return self.kept is not None and parse_version(candidate.version) < parse_version(self.kept.version)

    def warnings(self, candidate: Candidate) -> tuple[str, ...]:
        """What the owner should know of a version that is chosen."""
        info = candidate.info
        if info is None:
            return ()
        if self._is_locked(info):
            if info.problem is not None:
                return (
                    f"{info.id} {info.version} is kept as locked, but its release is in doubt: {info.problem}",
                )
            if info.standing.meaning.locked is not Use.WARN:
                return ()
            kept = "" if info.standing.meaning.exact is Use.WARN else "; it is kept because it is locked"
            return (describe(info) + kept,)
        warnings = [describe(info)] if info.standing.meaning.exact is Use.WARN else []
        if self._locked is not None and self.kept is None:
            was = next((c for c in self.candidates if c.version == self._locked.version), None)
            why = "not in the registry any more" if was is None else was.reason or OTHER_PAYLOAD
            warnings.append(f"{self.id} {self._locked.version} is locked but cannot stay: {why}")
        return tuple(warnings)

    def _candidate(self, info: VersionInfo) -> Candidate:
        reason, exactly = self._reasons(info)
        return Candidate(self.id, info.version, self.registry, info.line.requires, info, reason, exactly)

    def _reasons(self, info: VersionInfo) -> tuple[str, str]:
        """Why a version is not offered by range, and why not exactly."""
        if self._is_locked(info):
            reason = why_not_kept(info, self._host)
            return reason, reason
        locked = self._locked
        if locked is not None and locked.version == info.version and not self._named:
            return OTHER_PAYLOAD, OTHER_PAYLOAD
        exactly = why_not_exactly(info, self._host)
        last = info.standing.meaning.by_range is Use.LAST
        reason = exactly if last else why_not(info, self._host)
        return reason or self._held_back(info), exactly

    def _held_back(self, info: VersionInfo) -> str:
        """Why an existing installation is not offered a version that new ones are."""
        locked = self._locked
        if locked is None or parse_version(info.version) <= parse_version(locked.version):
            return ""
        if not info.standing.push:
            return "not offered as an update"
        over = locked.passed_over
        if over is not None and not self._named and parse_version(info.version) <= parse_version(over):
            return PASSED_OVER
        return ""

    def _is_locked(self, info: VersionInfo | None) -> bool:
        """Whether this is the version in the lock, the same to the byte."""
        return (
            info is not None
            and self._locked is not None
            and self._locked.version == info.version
            and self._locked.payload_digest == info.line.manifest.payload_digest
        )

    def _group(self, candidate: Candidate) -> int:
        """The locked version, newer ones (with `upgrade` before it), older ones; deprecated ones after all."""
        if self._is_locked(candidate.info):
            return 1
        if candidate.info is not None and is_last_resort(candidate.info, self._host):
            return 4
        locked = self._locked
        if locked is None or parse_version(candidate.version) > parse_version(locked.version):
            return 0 if self._upgrade else 2
        return 3


def judgement(asks: Sequence[Ask]) -> tuple[bool, bool]:
    """Whether asks that count together ask for exactly one version, and whether for prereleases."""
    exact = any(exact_version(ask.range) is not None for ask in asks)
    return exact, any(ask.range.strip() and asks_for_prereleases(ask.range) for ask in asks)
