"""What scheduled jobs tell people, in Markdown: job summaries and issues. Pure; strangers' text in it is escaped."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from publisher.github.notices import Notice
from publisher.markdown import Markdown, code, escape, table
from publisher.watch.expiry import Level
from publisher.watch.findings import Level as Severity
from registry_client.cli.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from publisher.registrar.run import Run
    from publisher.watch.expiry import Expiry
    from publisher.watch.findings import Finding, Report
    from registry_client.errors import RegistryError

_MOST_ROWS = 100
_SAID = {Level.FINE: "fine", Level.SOON: "soon", Level.URGENT: "**urgent**", Level.EXPIRED: "**expired**"}
_OFFLINE_HELP = (
    "A maintainer who holds the key renews an offline role in a clone and pushes it: "
    "`publisher registry renew . --role ROLE --key KEY` (`root` with as many keys as it takes: `publisher sign`)."
)
_ONLINE_HELP = (
    "Online roles are signed again daily by the scheduled job that runs `publisher registry renew`: see why its last runs failed, "
    "or whether the schedule was switched off. `docs/operations.md` says what else to do."
)


# -- expiry ------------------------------------------------------------------------------------------------------


def expiry_table(found: Sequence[Expiry]) -> Markdown:
    """Roles, when they expire, and how near that is."""
    return table(
        ("role", "expires (UTC)", "days left", ""),
        [
            (
                item.role,
                Markdown(f"{item.expires:%Y-%m-%d %H:%M}"),
                Markdown(item.days),
                Markdown(_SAID[item.level]),
            )
            for item in found
        ],
    )


def expiry_summary(found: Sequence[Expiry], name: str) -> str:
    """For a job summary."""
    return f"### Expiry of {escape(name)}\n\n{expiry_table(found)}\n"


def expiry_notice(found: Sequence[Expiry], name: str) -> Notice:
    """The issue about what expires."""
    near = [item for item in found if item.level is not Level.FINE]
    worst = max((item.level for item in near), default=Level.FINE)
    title = {
        Level.FINE: "Signed metadata expires soon",
        Level.SOON: "Signed metadata expires soon",
        Level.URGENT: "Signed metadata must be renewed by its maintainers now",
        Level.EXPIRED: "Signed metadata has expired: hosts resolve nothing any more",
    }[worst]
    parts = [f"The metadata of {escape(name)} is signed for a limited time.\n", expiry_table(found)]
    if any(item.offline for item in near):
        parts.append(f"{_OFFLINE_HELP}\n")
    if any(not item.offline for item in near):
        parts.append(f"{_ONLINE_HELP}\n")
    if not near:
        parts.append("Nothing expires soon.\n")
    levels = {item.role: int(item.level) for item in near}
    roles = ", ".join(f"`{item.role}` ({item.days} days left)" for item in near)
    return Notice("expiry", title, "\n".join(parts), bool(near), levels, f"**{title}.** Roles: {roles}.")


def unreadable_notice(error: RegistryError, name: str) -> Notice:
    """The same issue where the metadata cannot be read or does not verify."""
    title = "The registry's metadata cannot be verified"
    body = (
        f"The metadata of {escape(name)} could not be read or does not verify, so nothing can be said about when it expires.\n\n"
        f"{_quoted(error)}\n\nHosts that look now may be refused too. `publisher registry audit` names all that is wrong.\n"
    )
    return Notice("expiry", title, body, wrong=True, levels={"unreadable": int(Level.EXPIRED)})


def _quoted(error: RegistryError) -> str:
    lines = [*error.message.split("\n"), *([error.hint] if error.hint else [])]
    return "\n".join(f"> {escape(line)}  " for line in lines[:40])


# -- the registrar -----------------------------------------------------------------------------------------------


def register_summary(run: Run) -> str:
    """For a job summary: what became of what was offered, the refused first."""
    order = sorted(run.outcomes, key=lambda outcome: outcome.error is None)
    rows = [
        (
            code(f"{o.submission.id} {o.submission.version}"),
            escape(o.result.value),
            escape(o.error.message[:500]) if o.error is not None else "",
            escape(o.error.hint[:300]) if o.error is not None else "",
        )
        for o in order[:_MOST_ROWS]
    ]
    more = len(run.outcomes) - len(rows)
    parts = [f"### {escape(run.summary())}\n\n{counted(run.versions, 'version')} in the index\n"]
    parts += [table(("version", "result", "why", "way out"), rows)] if rows else []
    parts += [f"…and {more} more\n"] if more > 0 else []
    waits = [run.waits] if run.waits else []
    parts += [f"- {escape(line)}" for line in (*run.quarantines, *run.notes, *waits)]
    return "\n".join(parts)


# -- audit -------------------------------------------------------------------------------------------------------


def audit_summary(report: Report, name: str) -> str:
    """For a job summary."""
    verdict = "sound" if report.sound else "**not sound**"
    head = (
        f"### Audit of {escape(name)}\n\n{verdict}; {counted(report.plugins, 'plugin')}, "
        f"{counted(report.versions, 'version')}, {counted(len(report.findings), 'finding')}\n"
    )
    return f"{head}\n{_findings(report.findings)}\n" if report.findings else f"{head}\n"


def audit_notice(report: Report, watched: Sequence[Finding], name: str) -> Notice:
    """The issue about what an audit found.

    Args:
        report: everything.
        watched: what is named even if it is only a warning: what changed or vanished elsewhere.
        name: the registry.
    """
    named = set(watched)
    shown = [f for f in report.findings if f.level is Severity.ERROR or f in named]
    title = "The audit found something to look at" if report.sound else "The audit found something wrong"
    body = (
        f"The scheduled audit of {escape(name)} looked at {counted(report.plugins, 'plugin')} with "
        f"{counted(report.versions, 'version')}.\n\n"
        f"{_findings(shown) if shown else 'Nothing is wrong.'}\n\n"
        "Versions whose artifacts changed or vanished are kept from hosts by "
        "`publisher registry register … --quarantine FILE`, and come back with `--lift ID@VERSION`. "
        "Their publisher can publish a new version.\n"
    )
    levels: dict[str, int] = {}
    for finding in shown:
        name_of = _name(finding)
        levels[name_of] = max(levels.get(name_of, 0), 2 if finding.level is Severity.ERROR else 1)
    return Notice("audit", title, body, bool(shown), levels)


def _name(finding: Finding) -> str:
    """A finding's name in the issue. Without its message, which may hold figures that differ each time."""
    return hashlib.sha256(finding.path.encode("utf-8", "replace")).hexdigest()[:12]


def _findings(findings: Sequence[Finding]) -> str:
    order = sorted(findings, key=lambda finding: finding.level is not Severity.ERROR)
    rows = [
        (f.level.value, code(f.path[:500]), escape(f.message[:500]), escape(f.hint[:300]))
        for f in order[:_MOST_ROWS]
    ]
    more = len(findings) - len(rows)
    return table(("", "what", "found", "way out"), rows) + (f"\n…and {more} more\n" if more > 0 else "")


__all__ = [
    "audit_notice",
    "audit_summary",
    "expiry_notice",
    "expiry_summary",
    "register_summary",
    "unreadable_notice",
]
