"""What an audit finds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class Level(StrEnum):
    """How bad a finding is. Only errors make the audit fail."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        level: how bad it is.
        path: the file, or the URL of what is elsewhere.
        message: what is wrong with it.
        hint: the way out; may be empty.
    """

    level: Level
    path: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """For `--json`."""
        row = {"level": self.level.value, "path": self.path, "message": self.message, "hint": self.hint}
        return {name: value for name, value in row.items() if value}


REGISTER: Final = "publisher registry register"
"""The hint where the registrar puts it right."""


def error(path: str, message: str, hint: str = "") -> Finding:
    """A finding that makes the audit fail."""
    return Finding(Level.ERROR, path, message, hint)


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        findings: errors and warnings.
        plugins: plugins looked at.
        versions: versions looked at.
    """

    findings: tuple[Finding, ...]
    plugins: int = 0
    versions: int = 0

    @property
    def sound(self) -> bool:
        """Whether there are no errors."""
        return not any(finding.level is Level.ERROR for finding in self.findings)

    def joined(self, more: Sequence[Finding]) -> Report:
        """The report with further findings."""
        return replace(self, findings=tuple(dict.fromkeys([*self.findings, *more])))


__all__ = ["REGISTER", "Finding", "Level", "Report", "error"]
