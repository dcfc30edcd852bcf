"""`plugin info`: looked up, or remembered from a look-up inside the TTL.

What is printed follows from one JSON document, so that it does not matter which of the two it came from. Remembering spares
what takes most of the time: the libraries that verify, and the models.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from registry_client.cli import text
from registry_client.cli.fresh import source_of
from registry_client.cli.output import error_json
from registry_client.cli.state import parse_spec
from registry_client.errors import RegistryError
from registry_client.recall import basis_of, recall, remember

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry_client.cli.fresh import Source
    from registry_client.cli.output import Output
    from registry_client.cli.state import State
    from registry_client.resolve import VersionInfo

_ALL = 100


def run_info(state: State, spec: str) -> None:
    """Show what one version is, out of memory where that says the same.

    Raises:
        RegistryError: it cannot be looked up, or nothing fits.
    """
    plugin_id, range_text = parse_spec(spec)
    source = source_of(state)
    wishes = _wishes(state, source, spec) if source is not None else None
    if source is not None and wishes is not None and _recalled(state, source, plugin_id, wishes):
        return
    client = state.client(choosing=True)
    session = client.session
    session.retrying(session.view)
    checked_at = session.checked_at
    choice = client.resolve(plugin_id, range_text)
    publisher = session.statements.publisher(choice.manifest.publisher).publisher
    document = {
        **version_json(choice.info),
        "publisher": {"id": publisher.id, "name": publisher.name, "threshold": publisher.threshold},
        "keyids": sorted(choice.manifest.keyids),
        "manifest": choice.manifest.raw,
    }
    # What was warned of until here is the state of things, such as a clock that is behind: it is found anew each time.
    if source is not None and wishes is not None and not state.output.warnings:
        basis = basis_of(source.store, plugin_id, wishes)  # before looking whether it is still the same state
        view = source.view()
        steady = view is not None and view.checked_at == checked_at == session.checked_at
        if steady and wishes == _wishes(state, source, spec):
            found = {"warnings": list(choice.warnings), "document": document}
            remember(source.store, wishes, basis, time.time(), found)
    _show(state.output, choice.warnings, document, _lines(document, state.output))
    state.used(client)


def _wishes(state: State, source: Source, spec: str) -> dict[str, object] | None:
    """What a look-up depends on besides the registry: what was asked, by which installation of which host, what is allowed."""
    path = state.project_path() if source.own else None
    try:
        install_id = source.store.install_id()
        project = path.read_text("utf-8") if path is not None else None
    except (RegistryError, OSError, ValueError):  # a client says what is wrong
        return None
    return {
        "info": spec,
        "urls": source.urls,
        "root": source.root,
        "devKeys": source.allow_dev_keys,
        "installation": install_id,
        "project": project,
        "channel": state.channel,
        "applications": state.applications,
        "prereleases": state.prereleases,
        "system": [sys.version, sys.platform],
    }


def _recalled(state: State, source: Source, plugin_id: str, wishes: Mapping[str, object]) -> bool:
    """Show what was found before, if all that it followed from is as it was."""
    if state.output.verbose or source.view() is None:
        return False
    found = recall(source.store, wishes, basis_of(source.store, plugin_id, wishes), time.time()) or {}
    try:
        warnings, document = found["warnings"], found["document"]
        lines = _lines(document, state.output)
    except (AttributeError, KeyError, TypeError, ValueError):  # nothing, or not what this version remembers
        return False
    if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
        return False
    _show(state.output, warnings, document, lines)
    return True


def _show(output: Output, warnings: Any, document: dict[str, Any], lines: list[str]) -> None:
    for warning in warnings:
        output.warn(warning)
    output.result(document, lines)


def _lines(document: dict[str, Any], output: Output) -> list[str]:
    manifest, publisher, colour = document["manifest"], document["publisher"], output.coloured
    title = f"{text.clean(manifest['name'])} ({document['id']} {document['version']})"
    lines = [text.paint(title, "bold", enabled=colour)]
    lines += [f"  {line}" for line in text.clean_lines(manifest.get("description") or "")]
    rollout = f", rollout {document['rollout']} %" if document["rollout"] < _ALL else ""
    keys = document["keyids"]
    rows = [
        ("status", text.paint_status(document["status"], enabled=colour) + rollout),
        ("reason", text.clean(document["reason"])),
        ("publisher", f"{text.clean(publisher['name'])} ({publisher['id']})"),
        ("signed by", ", ".join(keys if output.verbose else [f"{key[:16]}…" for key in keys])),
        ("published", document["publishedAt"]),
        ("payload", document["payloadDigest"]),
        *_manifest_rows(manifest),
    ]
    lines += ["", *text.facts(rows)]
    for artifact in manifest.get("artifacts") or ():
        where = artifact["url"] if ":" in artifact["url"] else artifact["url"].rpartition("/")[2]
        of = f"artifact for {artifact['ecosystem']}: {text.clean(where)}, {text.size(artifact['size'])}"
        lines += ["", of, f"  {artifact['digest']}"]
    return lines


def _manifest_rows(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """What a manifest says, one fact a row."""
    author, ui, server, needs, built = (
        manifest.get(name) or {} for name in ("author", "ui", "server", "requires", "provenance")
    )
    rows = [
        ("category", manifest.get("category")),
        ("keywords", ", ".join(manifest.get("keywords", ()))),
        ("author", author.get("name")),
        ("licence", manifest.get("license")),
        ("homepage", manifest.get("homepage")),
        ("repository", manifest.get("repository")),
        ("documentation", manifest.get("documentation")),
        ("remote entry", ui.get("remoteEntry")),
        ("exposes", ui.get("expose")),
        ("integrity", ui.get("integrity")),
        ("route", server.get("routeBase")),
        ("backend", server.get("deploymentUrl")),
        ("health check", server.get("healthCheck")),
        ("permissions", ", ".join(manifest.get("permissions", ()))),
        ("needs host", _ranges(needs.get("host"))),
        ("needs Python", needs.get("python")),
        ("platforms", ", ".join(needs.get("platforms", ()))),
        ("needs plugins", _ranges(needs.get("plugins"))),
        ("needs packages", ", ".join(needs.get("packages", ()))),
        ("needs system", ", ".join(needs.get("system", ()))),
        ("built from", " ".join(filter(None, (built.get("repository"), built.get("commit"))))),
    ]
    return [(name, text.clean(value or "")) for name, value in rows]


def _ranges(wanted: dict[str, str] | None) -> str:
    return ", ".join(f"{name} {range_text}" for name, range_text in (wanted or {}).items())


def version_json(one: VersionInfo) -> dict[str, Any]:
    """A version and how it stands, as the JSON outputs show it."""
    standing, problem = one.standing, one.problem
    return {
        "id": one.id,
        "version": one.version,
        "status": standing.status,
        "reason": standing.reason,
        "rollout": standing.rollout,
        "push": standing.push,
        "forceUpdate": standing.force_update,
        "revision": one.release.revision if one.release else None,
        "publishedAt": one.line.published_at,
        "publisher": one.line.publisher,
        "payloadDigest": one.line.manifest.payload_digest,
        "problem": error_json(problem.kind, problem.message, problem.hint, problem.exit_code)
        if problem
        else None,
    }
