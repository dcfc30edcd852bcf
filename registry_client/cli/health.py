"""The commands about the registry as this machine knows it: `refresh` and `status`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from registry_client.cli import text
from registry_client.cli.checks import project_status
from registry_client.cli.options import JsonFlag  # noqa: TC001  (typer reads annotations)
from registry_client.cli.state import State, state_of
from registry_client.errors import ConfigError, ExpiredError

if TYPE_CHECKING:
    from pathlib import Path

    from registry_client.cli.output import Output
    from registry_client.client import RegistryClient
    from registry_client.models.blocks import Block
    from registry_client.session import Session
    from registry_client.trust import RoleInfo

STALE_HOURS = 48
_MEMBERS = (
    "registry", "mirrors", "hosts", "source", "root", "lastAsked", "lastAskedSecondsAgo", "expires", "roles", "cache", "state",
    "installationId", "devKeys", "blocks",
)  # fmt: skip


def refresh(ctx: typer.Context, _json: JsonFlag = False) -> None:
    """Ask the registry for its current state now.

    Other commands ask again only after five minutes. If no host can be reached, what was verified before
    stays in use until it expires, with a warning.
    """
    state = state_of(ctx)
    client = state.client()
    before = _versions(client)
    refreshed = client.refresh()
    roles = _roles(client)
    expires = min((role.expires for role in roles), default=None)
    document = {
        "registry": client.session.urls[0],
        "source": refreshed.source,
        "changed": before != _versions(client),
        "expires": time_text(expires),
        "roles": [_role_json(role, client.session.now()) for role in roles],
    }
    if refreshed.source is None:
        lines = ["no host gave anything newer; what was verified before stays in use"]
    else:
        changed = "has changed" if document["changed"] else "is unchanged"
        lines = [f"{refreshed.source} {changed}; valid until {time_text(expires)}"]
    state.output.result(document, lines)
    state.used(client)


def status(ctx: typer.Context, _json: JsonFlag = False) -> None:
    """Show what is known on this machine: how the project stands, what is cached, how old it is, what is blocked.

    Asks no host, so it works offline; 'plugin refresh' asks one. It does what the blocks last verified ask for:
    disables plugins, or removes them where plugins.toml allows it. The exit code is 6 if what is cached has expired.
    """
    state = state_of(ctx)
    installer = state.installer(offline=True) if state.project_path() is not None else None
    project, lines = project_status(installer, state.output) if installer is not None else (None, [])
    if installer is not None and not installer.project.registries and not state.names_registry:
        state.output.result({**dict.fromkeys(_MEMBERS), "project": project}, lines)
        return
    client = state.client(offline=True)
    document = {**_status(state, client), "project": project}
    now = client.session.now()
    view = client.session.store.read_view()
    if view is not None and view.root != client.session.root_digest:
        state.output.warn("what is cached was verified from another root of trust; it will not be used")
    if not document["roles"]:
        state.output.warn("nothing is cached yet; 'plugin refresh' asks the registry")
    late = [role["name"] for role in document["roles"] if role["expired"]]
    if late:
        state.output.warn(f"expired: {', '.join(late)}; 'plugin refresh' asks the registry for newer ones")
    _warn_if_stale(state, _roles(client), now)
    state.output.result(document, [*lines, *([""] if lines else []), *_status_lines(document, state.output)])
    if late:
        raise typer.Exit(ExpiredError.exit_code)


def _warn_if_stale(state: State, roles: list[RoleInfo], now: datetime) -> None:
    signed = next((role.signed_at for role in roles if role.name == "timestamp"), None)
    if signed is None:
        return
    old = (now - signed).total_seconds()
    if old > STALE_HOURS * 3600:
        state.output.warn(
            f"the timestamp was signed {text.age(old)} ago; a registry signs one every day. "
            "If 'plugin refresh' brings no newer one, its registrar may have stopped, or a host withholds it"
        )


def _status(state: State, client: RegistryClient) -> dict[str, Any]:
    session = client.session
    now, view = session.now(), session.store.read_view()
    asked = datetime.fromtimestamp(view.checked_at, UTC) if view and view.checked_at else None
    roles = _roles(client)
    files, count = _usage(session.store.cache)
    return {
        "registry": session.urls[0],
        "mirrors": list(session.hosts()[1:]),
        "hosts": _hosts_json(session),
        "source": (view.source if view else "") or None,
        "root": session.root_digest,
        "lastAsked": time_text(asked),
        "lastAskedSecondsAgo": round((session.settings.clock() - asked).total_seconds()) if asked else None,
        "expires": time_text(min((role.expires for role in roles), default=None)),
        "roles": [_role_json(role, now) for role in roles],
        "cache": {"path": str(session.store.cache), "files": files, "bytes": count},
        "state": str(session.store.state),
        "installationId": _install_id(state, client),
        "devKeys": _dev_keys(session.store.metadata),
        "blocks": [_block_json(block) for block in session.statements.last_blocks()],
    }


def _status_lines(document: dict[str, Any], output: Output) -> list[str]:
    cache, colour = document["cache"], output.coloured
    ago = document["lastAskedSecondsAgo"]
    lines = text.facts(
        (
            ("registry", document["registry"]),
            ("mirrors", ", ".join(document["mirrors"])),
            *(
                ("asked last", f"{host['url']}: {host['trouble']}; until {host['until']}")
                for host in document["hosts"]
                if host["trouble"]
            ),
            ("last answer", f"from {document['source']}" if document["source"] else ""),
            ("pinned root", document["root"]),
            ("last asked", f"{text.age(ago)} ago" if ago is not None else "never"),
            ("valid until", document["expires"] or ""),
            (
                "cache",
                f"{text.counted(cache['files'], 'file')}, {text.size(cache['bytes'])} in {cache['path']}",
            ),
            ("state", document["state"]),
            ("installation", document["installationId"] or ""),
            ("dev keys", ", ".join(f"{keyid[:16]}…" for keyid in document["devKeys"]) or "none in use"),
        )
    )
    if document["roles"]:
        rows = [("ROLE", "VERSION", "SIGNED", "EXPIRES")]
        for role in document["roles"]:
            late = text.paint(" (expired)", "red", enabled=colour) if role["expired"] else ""
            rows.append(
                (role["name"], str(role["version"]), role["signedAt"] or "-", f"{role['expires']}{late}")
            )
        lines += ["", *text.table(rows)]
    blocks = [
        (
            block["id"],
            block["versions"],
            block["action"],
            f"since {block['since'][:10]}: {text.clean(block['reason'])}",
        )
        for block in document["blocks"]
    ]
    return [*lines, "", *(["BLOCKED", *text.table(blocks)] if blocks else ["nothing is blocked"])]


def _roles(client: RegistryClient) -> list[RoleInfo]:
    from registry_client.trust import read_roles

    return read_roles(client.session.store.metadata)


def _versions(client: RegistryClient) -> dict[str, int]:
    """Versions of the roles that change with what is published; a renewed timestamp alone changes nothing."""
    return {role.name: role.version for role in _roles(client) if role.name != "timestamp"}


def _hosts_json(session: Session) -> list[dict[str, Any]]:
    """Every host in its usual order; of one that is asked after the others for now: why, and up to when."""
    health, now = session.health(), session.settings.clock().timestamp()
    resting = {host: mark for host, mark in health.marks.items() if mark.rests(now)}
    return [
        {
            "url": host,
            "trouble": resting[host].trouble.value if host in resting else None,
            "until": time_text(datetime.fromtimestamp(resting[host].until, UTC)) if host in resting else None,
        }
        for host in session.hosts()
    ]


def _role_json(role: RoleInfo, now: datetime) -> dict[str, Any]:
    return {
        "name": role.name,
        "version": role.version,
        "signedAt": time_text(role.signed_at),
        "expires": time_text(role.expires),
        "expired": role.expires <= now,
    }


def _block_json(block: Block) -> dict[str, Any]:
    return {
        "id": block.id,
        "versions": block.versions,
        "digests": list(block.digests),
        "action": block.action,
        "reason": block.reason,
        "since": block.since,
    }


def _install_id(state: State, client: RegistryClient) -> str | None:
    try:
        return client.session.store.install_id()
    except ConfigError as e:
        state.output.warn(str(e))
        return None


def _dev_keys(metadata: Path) -> list[str]:
    from registry_client.keys import DEV_KEYIDS, compute_keyid
    from registry_client.trust import keys_in_use

    return sorted({compute_keyid(key) for key in keys_in_use(metadata)} & DEV_KEYIDS)


def _usage(folder: Path) -> tuple[int, int]:
    """Files and bytes below a folder; those that vanish meanwhile do not count."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                sizes.append(path.stat().st_size)
        except OSError:
            continue
    return len(sizes), sum(sizes)


def time_text(when: datetime | None) -> str | None:
    """A time as the JSON outputs show it: RFC 3339, whole seconds, UTC."""
    return None if when is None else when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
