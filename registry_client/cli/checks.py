"""How a project stands, and whether what is installed is what was signed: parts of `status` and `verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from registry_client.cli import text
from registry_client.cli.installed import installed_json
from registry_client.cli.plans import UNSIGNED, change_json, change_line
from registry_client.cli.progress import progress_bars
from registry_client.errors import VerificationError

if TYPE_CHECKING:
    from registry_client.cli.output import Output
    from registry_client.cli.state import State
    from registry_client.installer.checking import Checked
    from registry_client.installer.disk.record import Installed
    from registry_client.installer.installer import HostStatus, Installer


_EXCHANGE = {
    "atomic": "a plugin's folder is replaced in one step",
    "renames": "a plugin's folder is replaced by two renames, and is missing between them",
}


def verify_installed(state: State, plugin_ids: list[str]) -> None:
    """Prove installed plugins from signature to files, and say what is wrong with which. Exit code 6 if anything is."""
    with progress_bars(state.output) as bars:
        installer = state.installer(bars)
        checked, plan = installer.verify(plugin_ids)
    output = state.output
    publishers = {item.plugin.id: item.plugin.publisher for item in installer.installed()}
    for one in checked:
        for warning in one.warnings:
            output.warn(f"{one.id} {one.version}: {warning}")
    document = {
        "verified": not any(one.problems for one in checked),
        "plugins": [
            {
                "id": one.id,
                "version": one.version,
                "signed": one.signed,
                "publisher": publishers.get(one.id),
                "proof": _proof(one),
                "status": one.status or None,
                "verified": not one.problems,
                "problems": list(one.problems),
                "warnings": list(one.warnings),
            }
            for one in checked
        ],
        "changes": [change_json(change) for change in plan.changes],
    }
    lines = [line for one in checked for line in _checked_lines(one, publishers.get(one.id) or "", output)]
    output.result(document, [*(change_line(change, output) for change in plan.changes), *lines])
    bad = [one.id for one in checked if one.problems]
    if bad:
        output.note(
            f"{len(bad)} of {text.counted(len(checked), 'plugin')} not as it should be: {', '.join(bad)}"
        )
        found = [problem.startswith("blocked") for one in checked for problem in one.problems]
        if not all(found):
            output.note("'plugin install --verify' puts changed and missing files right")
        if any(found):
            output.note(
                "what is blocked stays disabled until its registry lifts the block; 'plugin remove ID' removes it"
            )
        raise typer.Exit(VerificationError.exit_code)
    _note_proofs(checked, output)


def _proof(one: Checked) -> str | None:
    """What was proven: `signature`, from the publisher's signature to every file; `lock`, only the files, against the lock."""
    if one.problems:
        return None
    return "signature" if one.signed else "lock"


def _note_proofs(checked: list[Checked], output: Output) -> None:
    """Say what it was that was proven, of how many."""
    signed = sum(one.signed for one in checked)
    others = len(checked) - signed
    if not checked:
        output.note("nothing is installed")
    if signed:
        output.note(f"{text.counted(signed, 'plugin')} proven, from the publisher's signature to every file")
    if others:
        output.note(f"{text.counted(others, 'unsigned plugin')} compared with what was locked, no more")


def _checked_lines(one: Checked, publisher: str, output: Output) -> list[str]:
    colour = output.coloured
    mark = "" if one.signed else text.paint(UNSIGNED, "yellow", enabled=colour)
    good = "unchanged since it was locked"
    if one.signed:
        good = f"verified, signed by {text.clean(publisher)}"
    verdict = (
        text.paint("NOT VERIFIED", "red", enabled=colour)
        if one.problems
        else text.paint(good, "green", enabled=colour)
    )
    head = f"{text.paint(one.id, 'bold', enabled=colour)} {one.version}{mark}: {verdict}"
    return [head, *(f"    {line}" for problem in one.problems for line in text.clean_lines(problem))]


def project_status(installer: Installer, output: Output) -> tuple[dict[str, Any], list[str]]:
    """How a project stands: as a JSON document, and as lines."""
    standing = installer.status()
    project = installer.project
    blocked = [
        item for item in standing.installed if item.disabled is not None and item.disabled.by == "block"
    ]
    document = {
        "path": str(project.path),
        "folder": str(project.host.folder),
        "installed": [installed_json(item) for item in standing.installed],
        "disabled": [item.plugin.id for item in standing.installed if item.disabled is not None],
        "blocked": [
            {"id": item.plugin.id, "version": item.plugin.version, "reason": item.disabled.reason}
            for item in blocked
            if item.disabled is not None
        ],
        "unsigned": list(standing.unsigned),
        "outOfStep": list(standing.out_of_step),
        "lockProblems": list(standing.lock_problems),
        "exchange": None if standing.exchange is None else str(standing.exchange),
        "changes": [change_json(change) for change in standing.plan.changes],
    }
    for problem in standing.lock_problems:
        output.warn(f"{problem}; 'plugin install' brings {project.lock_path.name} up to date")
    if standing.out_of_step and not standing.lock_problems:
        output.warn(f"not as locked: {', '.join(standing.out_of_step)}; 'plugin install' puts that right")
    return document, _status_lines(installer, standing, output)


def _status_lines(installer: Installer, standing: HostStatus, output: Output) -> list[str]:
    project = installer.project
    lines = [change_line(change, output) for change in standing.plan.changes]
    lines += text.facts(
        (
            ("project", text.clean(str(project.path))),
            ("plugins", f"{len(standing.installed)} in {text.clean(str(project.host.folder))}"),
            ("lock", "; ".join(standing.lock_problems) or f"answers {project.path.name}"),
            ("exchange", _EXCHANGE[standing.exchange] if standing.exchange else ""),
            ("out of step", ", ".join(standing.out_of_step)),
            ("unsigned", ", ".join(standing.unsigned)),
            *(("disabled", _disabled_text(item)) for item in standing.installed if item.disabled is not None),
        )
    )
    return lines


def _disabled_text(item: Installed) -> str:
    mark = "" if item.plugin.signed else UNSIGNED
    reason = (item.disabled.reason if item.disabled is not None else "") or "by its owner"
    return f"{item.plugin.id} {item.plugin.version}{mark}: {text.clean(reason)}"
