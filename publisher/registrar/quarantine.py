"""Quarantines on order: versions that an audit or a maintainer puts aside, and those that are lifted again. Pure.

A quarantine only restricts: hosts do not resolve the version, and what is locked warns. Unlike one for a signature, which goes when the
documents verify again, it stays until somebody lifts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Len
from pydantic import AfterValidator, ConfigDict

from publisher.markdown import one_line
from registry_client.digest import Digest
from registry_client.errors import ConfigError, DocumentError, Problem
from registry_client.jsontext import KIB, MIB, dump_json, parse_json
from registry_client.models.base import Document, PluginId, Reason, Version, format_time, validate
from registry_client.names import check_plugin_id, check_version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from publisher.registrar.state import Row, State

MAX_MARKS = 1000
# Room for that many of the longest marks, however their reasons have to be written.
FILE_LIMIT = 8 * MIB
# What is written is handed from job to job in an environment variable as base64, and Linux takes 128 KiB there.
WRITTEN_LIMIT = 64 * KIB
_NAME, _LONGEST_NAME = "versions", KIB
_SHOWN_REASON = 200


class Mark(Document):
    """A version to quarantine."""

    model_config = ConfigDict(extra="forbid")

    id: PluginId
    """The plugin."""
    version: Version
    """The version."""
    payload_digest: Digest
    """What the version was when it was judged."""
    cause: Literal["artifact", "manual"]
    """artifact: a file is not what was signed, or gone. manual: a maintainer says so."""
    reason: Reason
    """What hosts are told."""


def _each_once(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    if len({(mark.id, mark.version) for mark in marks}) != len(marks):
        raise ValueError("expected each version once")
    return marks


class _File(Document):
    """The list, as a member: the strict parser takes objects only."""

    model_config = ConfigDict(extra="forbid")

    versions: Annotated[tuple[Mark, ...], Len(0, MAX_MARKS), AfterValidator(_each_once)]


@dataclass(frozen=True)
class Orders:
    """What is to be quarantined and lifted in a run.

    Attributes:
        marks: versions to quarantine.
        lift: (id, version) of quarantines to lift; these win over marks.
    """

    marks: tuple[Mark, ...] = ()
    lift: tuple[tuple[str, str], ...] = ()


NO_ORDERS = Orders()


def parse_marks(data: bytes, where: str) -> tuple[Mark, ...]:
    """Read a list as `publisher registry audit --quarantine-file` writes it.

    Args:
        data: the file's bytes.
        where: its path, for messages.

    Raises:
        DocumentError: not JSON, too large, or not such a list; unknown members are refused.
    """
    wrapped = b'{"%s":%s}' % (_NAME.encode(), data)
    try:
        parse_json(wrapped, limit=FILE_LIMIT + _LONGEST_NAME, where=where)
        return validate(_File, wrapped, where).versions
    except DocumentError as e:
        problems = [Problem(_outside(problem.path), problem.message) for problem in e.problems]
        raise DocumentError(where, problems) from e


def _outside(path: str) -> str:
    """A JSON path in the list as people see it."""
    return f"${path.removeprefix(f'$.{_NAME}')}" if path.startswith(f"$.{_NAME}") else path


def dump_marks(marks: Iterable[Mark]) -> bytes:
    """The list as a file that `parse_marks` reads, at most `WRITTEN_LIMIT` bytes. The others are found again once these are quarantined."""
    kept: list[dict[str, object]] = []
    left = WRITTEN_LIMIT
    for mark in marks:
        row = mark.model_dump(by_alias=True)
        left -= len(dump_json([row]))
        if left < 0 or len(kept) == MAX_MARKS:
            break
        kept.append(row)
    return dump_json(kept)


def ordered(state: State) -> list[str]:
    """A line for each version that is quarantined on order, which nothing signed says anew once the index is gone."""
    return [
        f"{row.raw['id']} {row.raw['version']} ({held['cause']}): {' '.join(held['reason'].split())[:200]}"
        for row in state.all_rows()
        if (held := row.raw.get("quarantined")) is not None and held["cause"] != "signature"
    ]


def parse_lift(text: str) -> tuple[str, str]:
    """`ID@VERSION` as its two parts.

    Raises:
        ConfigError: it is something else.
    """
    plugin_id, _, version = text.partition("@")
    try:
        return check_plugin_id(plugin_id), check_version(version)
    except ValueError as e:
        raise ConfigError(
            f"--lift: {text[:120]!r} is not ID@VERSION ({e})", hint="For example calendar@1.2.0."
        ) from e


def carry_out(orders: Orders, state: State, now: datetime) -> tuple[list[str], list[str]]:
    """Change the index as ordered.

    Args:
        orders: what to quarantine and lift.
        state: changed.
        now: the time, UTC.

    Returns:
        A line for each change, and a line for each order that was passed over.
    """
    done: list[str] = []
    passed: list[str] = []
    lifted = set(orders.lift)
    for plugin_id, version in dict.fromkeys(orders.lift):
        name, row = f"{plugin_id} {version}", state.get(plugin_id, version)
        why = _why_not_lifted(row)
        if row is None or why:
            passed.append(f"{name}: {why}")
        else:
            state.put(row.replaced(quarantined=None))
            done.append(f"{name}: quarantine lifted")
    for mark in orders.marks:
        name, row = f"{mark.id} {mark.version}", state.get(mark.id, mark.version)
        why = "is being lifted" if (mark.id, mark.version) in lifted else _why_not_marked(mark, row)
        if row is None or why:
            passed.append(f"{name}: {why}, so it was not quarantined")
        elif _mark(mark, row, state, now):
            done.append(f"{name}: quarantined ({mark.cause}): {one_line(mark.reason)[:_SHOWN_REASON]}")
    return done, passed


def _why_not_lifted(row: Row | None) -> str:
    held = row.raw.get("quarantined") if row is not None else None
    if row is None:
        return "is not in the index, so there is nothing to lift"
    if held is None:
        return "is not quarantined"
    if held["cause"] == "signature":
        return "is quarantined until its documents verify again; that is not lifted by hand"
    return ""


def _why_not_marked(mark: Mark, row: Row | None) -> str:
    if row is None:
        return "is not in the index"
    if row.payload_digest != mark.payload_digest:
        return "is another version now than the one that was judged (payload digest)"
    if "removed" in row.raw:
        return "is removed already"
    return ""


def _mark(mark: Mark, row: Row, state: State, now: datetime) -> bool:
    """Quarantine a version. What a maintainer said stays, whatever an audit finds later."""
    old = row.raw.get("quarantined")
    if old is not None and old["cause"] == "manual" and mark.cause != "manual":
        return False
    since = old["since"] if old is not None else format_time(now)
    new = {"cause": mark.cause, "reason": mark.reason, "since": since}
    if new == old:
        return False
    state.put(row.replaced(quarantined=new))
    return True


__all__ = ["NO_ORDERS", "Mark", "Orders", "carry_out", "dump_marks", "ordered", "parse_lift", "parse_marks"]
