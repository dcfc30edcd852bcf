"""Which version fits: the status table applied to the index lines of one plugin. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from registry_client.errors import ConfigError, NotFoundError, RegistryError, YankedError
from registry_client.names import (
    asks_for_prereleases,
    check_range,
    check_version,
    holds_host_version,
    in_range,
    is_prerelease,
    parse_version,
)
from registry_client.rollout import in_rollout
from registry_client.status import Standing, Use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry_client.models.index import IndexLine
    from registry_client.models.manifest import Requires
    from registry_client.models.release import Release


@dataclass(frozen=True)
class Host:
    """The host application for which versions are chosen.

    Attributes:
        install_id: decides which rollouts this installation is in.
        channel: `stable`, or `testing` to be offered versions in testing too.
        applications: versions of the host by the names that plugins require, such as `{"nexus": "1.2.0"}`.
        python: its Python version, or None where it has none.
        platform: as `sys.platform` names it, or None.
        prereleases: whether prereleases may be chosen without being asked for.
    """

    install_id: str
    channel: str = "stable"
    applications: Mapping[str, str] | None = None
    python: str | None = None
    platform: str | None = None
    prereleases: bool = False


@dataclass(frozen=True)
class VersionInfo:
    """One version as a host sees it now.

    Attributes:
        line: its index line.
        release: its verified release document, or None where the manifest's first status holds.
        standing: what follows from line, release and blocks.
        problem: why it cannot be used although it is there (its release does not verify), or None.
    """

    line: IndexLine
    release: Release | None
    standing: Standing
    problem: RegistryError | None = None

    @property
    def id(self) -> str:
        """The plugin."""
        return self.line.id

    @property
    def version(self) -> str:
        """The version."""
        return self.line.version


@dataclass(frozen=True)
class Choice:
    """A version that fits, and what its user should be told."""

    info: VersionInfo
    warnings: tuple[str, ...] = ()


def exact_version(range_text: str | None) -> str | None:
    """The version of a range that is just `==X.Y.Z`, else None."""
    if range_text is None or not range_text.strip().startswith("=="):
        return None
    try:
        return check_version(range_text.strip()[2:].strip())
    except ValueError:
        return None


def unmet(requires: Requires | None, host: Host) -> list[str]:
    """What a version needs that this host states not to have.

    Raises:
        ConfigError: a version that the host states of itself is not one.
    """
    if requires is None:
        return []
    missing = []
    for name, wanted in (requires.host or {}).items():
        have = (host.applications or {}).get(name)
        if have is not None and not _holds(wanted, have, name):
            missing.append(f"{name} {wanted} (this host is {have})")
    if requires.python and host.python and not _holds(requires.python, host.python, "Python"):
        missing.append(f"Python {requires.python} (this is {host.python})")
    if requires.platforms and host.platform and host.platform not in requires.platforms:
        missing.append(f"platform {', '.join(requires.platforms)} (this is {host.platform})")
    return missing


@lru_cache(maxsize=4096)  # the versions of a plugin mostly need the same of their host
def _holds(range_text: str, version: str, name: str) -> bool:
    try:
        return holds_host_version(range_text, version)
    except ValueError as e:
        raise ConfigError(
            f"this host states version {version!r} of {name}, which is not a version",
            hint="Give it as numbers with dots, such as 1.2.0.",
        ) from e


def choose(plugin_id: str, infos: Sequence[VersionInfo], range_text: str | None, host: Host) -> Choice:
    """The newest version that fits a range, by the status table.

    Args:
        plugin_id: for messages.
        infos: all versions of the plugin.
        range_text: PEP 440 specifiers; None for any version; `==X.Y.Z` asks for exactly that version.
        host: who asks.

    Raises:
        NotFoundError: no version fits. YankedError: what fits may not be used; says why.
        ConfigError: not a range. RegistryError: the exact version asked for does not verify.
    """
    if range_text is not None:
        try:
            check_range(range_text)
        except ValueError as e:
            raise ConfigError(f"{plugin_id}: {e}", hint="Ranges are PEP 440 specifiers.") from e
    exact = exact_version(range_text)
    if exact is not None:
        return _exact(plugin_id, exact, infos, host)
    prereleases = host.prereleases or (range_text is not None and asks_for_prereleases(range_text))
    fitting = [
        info
        for info in sorted(infos, key=lambda info: parse_version(info.version), reverse=True)
        if (range_text is None and (prereleases or not is_prerelease(info.version)))
        or (range_text is not None and in_range(info.version, range_text, prereleases=prereleases))
    ]
    passed: list[str] = []
    last: Choice | None = None
    for info in fitting:
        reason = why_not(info, host)
        if not reason:
            return Choice(info)
        if is_last_resort(info, host):
            last = last or Choice(info, (describe(info),))
        passed.append(f"{info.version}: {reason}")
    if last is not None:
        return last
    raise _nothing(plugin_id, range_text, infos, passed)


def _exact(plugin_id: str, version: str, infos: Sequence[VersionInfo], host: Host) -> Choice:
    for info in infos:
        if info.version != version:
            continue
        if info.problem is not None:
            raise info.problem
        use = info.standing.meaning.exact
        if use is Use.NO:
            raise YankedError(
                describe(info),
                hint=f"Choose another version: 'plugin versions {plugin_id}'.",
            )
        missing = unmet(info.line.requires, host)
        if missing:
            raise NotFoundError(f"{plugin_id} {version} needs {'; '.join(missing)}")
        return Choice(info, (describe(info),) if use is Use.WARN else ())
    raise NotFoundError(
        f"{plugin_id} has no version {version}", hint=f"See what there is: 'plugin versions {plugin_id}'."
    )


def why_not(info: VersionInfo, host: Host) -> str:
    """Why a version is not chosen by range; empty if it is. A deprecated one is not, but see `is_last_resort`."""
    if info.problem is not None:
        return str(info.problem)
    standing = info.standing
    use = standing.meaning.by_range
    if use is Use.CHANNEL and host.channel != "testing":
        return "in testing"
    if use in {Use.NO, Use.LAST}:
        return _said(standing)
    if use is Use.ROLLOUT and not in_rollout(host.install_id, info.id, info.version, standing.rollout):
        return f"rolled out to {standing.rollout} %, and this installation is not among them"
    return _lacking(info.line.requires, host)


def why_not_exactly(info: VersionInfo, host: Host) -> str:
    """Why a version is not chosen although exactly it is asked for; empty if it is."""
    if info.problem is not None:
        return str(info.problem)
    if info.standing.meaning.exact is Use.NO:
        return _said(info.standing)
    return _lacking(info.line.requires, host)


def why_not_kept(info: VersionInfo, host: Host) -> str:
    """Why a version that is locked already cannot stay; empty if it can.

    A release document that does not verify takes nothing away from a locked version: no release can refuse one, only a
    block can, and blocks are in the standing whatever the release says.
    """
    if info.standing.meaning.locked is Use.NO:
        return _said(info.standing)
    return _lacking(info.line.requires, host)


def is_last_resort(info: VersionInfo, host: Host) -> bool:
    """Whether a version is chosen by range if nothing else fits."""
    last = info.standing.meaning.by_range is Use.LAST
    return last and info.problem is None and not unmet(info.line.requires, host)


def describe(info: VersionInfo) -> str:
    """A sentence on how a version stands, and why."""
    return f"{info.id} {info.version} is {info.standing.status}: {info.standing.reason or 'no reason given'}"


def _said(standing: Standing) -> str:
    return f"{standing.status}{f' ({standing.reason})' if standing.reason else ''}"


def _lacking(requires: Requires | None, host: Host) -> str:
    missing = unmet(requires, host)
    return f"needs {'; '.join(missing)}" if missing else ""


def _nothing(
    plugin_id: str, range_text: str | None, infos: Sequence[VersionInfo], passed: list[str]
) -> NotFoundError | YankedError:
    wanted = f"{plugin_id}{range_text or ''}"
    if not passed:
        newest = max((info.version for info in infos), key=parse_version, default=None)
        return NotFoundError(
            f"{wanted}: no version fits" + (f"; the newest is {newest}" if newest else ""),
            hint=f"See what there is: 'plugin versions {plugin_id}'.",
        )
    listed = "".join(f"\n  {line}" for line in passed[:10])
    return YankedError(
        f"{wanted}: no version that fits may be used{listed}",
        hint=f"Ask for one exactly, if its status allows it: 'plugin versions {plugin_id}'.",
    )


@dataclass(frozen=True)
class Update:
    """An update that an installation is offered.

    Attributes:
        info: the version offered.
        installed: the version that is there.
        forced: the newest version up to it that asks to be applied without waiting for consent, or None.
    """

    info: VersionInfo
    installed: str
    forced: str | None

    @property
    def force(self) -> bool:
        """Whether it, or a version between, asks to be applied without waiting for consent."""
        return self.forced is not None


def choose_update(infos: Sequence[VersionInfo], installed: str, host: Host) -> Update | None:
    """The newest version above `installed` that this installation is offered, or None.

    Outside a rollout, the newest release before it is offered; never anything lower than what is installed.
    """
    have = parse_version(installed)
    prereleases = host.prereleases or is_prerelease(installed)
    offered = [
        info
        for info in infos
        if parse_version(info.version) > have
        and (prereleases or not is_prerelease(info.version))
        and info.standing.push
        and not why_not(info, host)
    ]
    if not offered:
        return None
    newest = max(offered, key=lambda info: parse_version(info.version))
    # A forced version that was stopped or withdrawn forces nothing any more.
    forced = (info.version for info in offered if info.standing.force_update)
    return Update(newest, installed, max(forced, key=parse_version, default=None))
