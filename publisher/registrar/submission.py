"""What is offered for publication, what became of it, and what that depends on. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from registry_client.errors import PublishError, RegistrarError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from publisher.authority import Authority
    from registry_client.digest import Digest
    from registry_client.signed import Parsed

MAX_IN_TREE = 10 * 1000 * 1000
ARTIFACT_PATH = re.compile(r"artifacts/sha256/([0-9a-f]{64})/([A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,199})")


class Result(StrEnum):
    """What became of a submission."""

    PUBLISHED = "published"
    SIGNED = "signatures added"
    RELEASED = "status changed"
    UNCHANGED = "already there"
    REFUSED = "refused"


@dataclass(frozen=True)
class Submission:
    """Something offered for publication.

    Attributes:
        source: where it comes from, for messages: a ref, or a path on main.
        id: the plugin, as the source names it.
        version: the version, as the source names it.
        manifest: bytes of manifest.json, or None.
        release: bytes of release.json, or None.
        artifacts: bytes by path below the registry's top.
        commit: the commit it came in, where there is one.
        path: where the document stands already, if it came from main.
        is_proposal: whether it stands in an open pull request, whose author may still replace it.
    """

    source: str
    id: str
    version: str
    manifest: bytes | None = None
    release: bytes | None = None
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    commit: str | None = None
    path: str | None = None
    is_proposal: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one submission, and why."""

    submission: Submission
    result: Result
    error: RegistryError | None = None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        row: dict[str, Any] = {
            "source": self.submission.source,
            "commit": self.submission.commit,
            "id": self.submission.id,
            "version": self.submission.version,
            "result": self.result.value,
        }
        if self.error is not None:
            row["error"] = {"kind": self.error.kind, "message": self.error.message, "hint": self.error.hint}
        return {name: value for name, value in row.items() if value is not None}


@dataclass(frozen=True)
class Context:
    """What admission depends on besides the submission.

    Attributes:
        authority: what the maintainers say.
        read: the bytes of a file on main, or None.
        now: the time, UTC.
        recover: finds bytes that a file on main once had, by path and digest.
    """

    authority: Authority
    read: Callable[[str], bytes | None]
    now: datetime
    recover: Callable[[str, Digest], bytes | None]


def broken(source: str, error: Exception) -> RegistrarError:
    """The error for a submission that broke the code that looks at it."""
    return RegistrarError(
        f"{source}: could not be judged ({type(error).__name__})",
        hint="This is a mistake in the registrar; please report it.",
    )


def check_identity(document: Parsed[Any], submission: Submission, where: str) -> None:
    """Refuse a document that is about something else than its place says. Raises PublishError."""
    stated = (document.model.id, document.model.version)
    if stated != (submission.id, submission.version):
        raise PublishError(
            f"{where}: is for {stated[0]} {stated[1]}, but its place says {submission.id} {submission.version}",
            hint="The id and version inside must equal those of the ref or folder.",
        )
