"""`publish --check-health`: whether what a manifest refers to is deployed and answers, before the version is offered.

Deployments take time, so each check is repeated, with growing pauses, until it passes or the time is up. No credential is sent.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from registry_client.errors import FetchError, PublishError
from registry_client.http import Body, Deadline, shown
from registry_client.jsontext import KIB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT = 60.0
HEALTH_LIMIT = 64 * KIB
ENTRY_LIMIT = 20 * 1000 * 1000
_ATTEMPT = {"backend": 10.0, "frontend": 30.0}
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0
_SUCCESS = range(200, 300)


class Fetch(Protocol):
    """Bounded HTTP GETs: `registry_client.http.Transport`."""

    def get(self, url: str, *, limit: int, deadline: Deadline) -> Body:
        """The body, or a FetchError."""


@dataclass(frozen=True)
class Check:
    """What became of one check.

    Attributes:
        what: `backend` or `frontend`.
        url: what was asked, without its query.
        ok: whether it answered as it should.
        detail: how it answered.
    """

    what: str
    url: str
    ok: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"what": self.what, "url": self.url, "ok": self.ok, "detail": self.detail}


@dataclass(frozen=True)
class _Wanted:
    """Something to ask for: its full URL, the most bytes to read, seconds for one attempt, the integrity stated."""

    what: str
    url: str
    limit: int
    seconds: float
    integrity: str | None = None


def check_health(
    manifest: Mapping[str, Any],
    fetch: Fetch,
    *,
    timeout_seconds: float = TIMEOUT,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
) -> list[Check]:
    """Ask the backend's health check and the frontend's remote entry of a manifest.

    Args:
        manifest: a valid manifest.
        fetch: the network.
        timeout_seconds: how long to go on asking, for all checks together. Each is asked once at least.
        sleep: waits for some seconds.
        clock: seconds that only rise, such as `time.monotonic`.

    Returns:
        The checks, all passed.

    Raises:
        PublishError: there is nothing to check, or a check did not pass in time; every one that did not is named.
    """
    wanted = _wanted(manifest)
    if not wanted:
        raise PublishError(
            f"{manifest.get('id')}: has neither a backend with a health check nor a remote entry, so there is nothing to check",
            hint="State server.deploymentUrl and server.healthCheck, or ui.remoteEntry; or leave out --check-health.",
        )
    end = clock() + timeout_seconds
    found: dict[str, Check] = {}
    pause = _FIRST_PAUSE
    while True:
        asked_to_wait = 0.0
        for item in wanted:
            if item.what not in found or not found[item.what].ok:
                # The first round is whole, however little time there is.
                left = max(end - clock(), 1.0 if item.what not in found else 0.0)
                found[item.what], wait = _ask(item, fetch, min(item.seconds, left))
                asked_to_wait = max(asked_to_wait, wait)
        left = end - clock()
        wait = max(pause, asked_to_wait)
        if all(check.ok for check in found.values()):
            return list(found.values())
        if left <= wait:
            raise _failed(found.values(), timeout_seconds)
        sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _wanted(manifest: Mapping[str, Any]) -> list[_Wanted]:
    """What there is to ask.

    Raises:
        PublishError: the backend runs somewhere, but does not say how it is asked.
    """
    server, ui = manifest.get("server") or {}, manifest.get("ui") or {}
    wanted = []
    if server.get("deploymentUrl"):
        if not server.get("healthCheck"):
            raise PublishError(
                f"{manifest.get('id')}: server.healthCheck is missing, so the backend cannot be checked",
                hint="State the path that answers 2xx when the backend is well, or leave out --check-health.",
            )
        seconds = min(float(server.get("healthCheckTimeout") or _ATTEMPT["backend"]), _ATTEMPT["backend"])
        url = _below(server["deploymentUrl"], server["healthCheck"])
        wanted.append(_Wanted("backend", url, HEALTH_LIMIT, seconds))
    if ui.get("remoteEntry"):
        entry, integrity = ui["remoteEntry"], ui.get("integrity")
        wanted.append(_Wanted("frontend", entry, ENTRY_LIMIT, _ATTEMPT["frontend"], integrity))
    return wanted


def _below(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, parts.query, ""))


def _ask(item: _Wanted, fetch: Fetch, seconds: float) -> tuple[Check, float]:
    """One attempt, and how long the host asks to be left alone."""
    try:
        data = fetch.get(item.url, limit=item.limit, deadline=Deadline(seconds)).data
    except FetchError as e:
        if item.what == "backend" and e.status in _SUCCESS:  # an answer without a body, say: 204
            return Check(item.what, shown(item.url), ok=True, detail=f"HTTP {e.status}"), 0.0
        return Check(item.what, shown(item.url), ok=False, detail=_reason(e, item.url)), e.retry_after or 0.0
    problem = _integrity_problem(data, item.integrity) if item.integrity else ""
    detail = f"HTTP 200, {len(data)} bytes" + (", integrity as stated" if item.integrity else "")
    return Check(item.what, shown(item.url), ok=not problem, detail=problem or detail), 0.0


def _reason(error: FetchError, url: str) -> str:
    """What went wrong, without the URL where the message begins with it: it stands next to it anyway."""
    return error.message.removeprefix(f"{shown(url)}: ")


def _integrity_problem(data: bytes, integrity: str) -> str:
    """Why bytes are not those of a Subresource Integrity text, or an empty text."""
    algorithm, _, text = integrity.partition("-")
    made = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    if made.rstrip("=") == text.rstrip("="):
        return ""
    return f"its integrity is {algorithm}-{made}, but the manifest states {integrity}"


def _failed(checks: Any, seconds: float) -> PublishError:
    bad = [check for check in checks if not check.ok]
    lines = "".join(f"\n  {check.what} {check.url}: {check.detail}" for check in bad)
    count = "1 health check" if len(bad) == 1 else f"{len(bad)} health checks"
    return PublishError(
        f"{count} did not pass within {seconds:g} seconds, so nothing was published{lines}",
        hint="Look at the deployment; once it answers, publish again. For a slow one, wait longer with --health-timeout.",
    )


__all__ = ["Check", "Fetch", "check_health"]
