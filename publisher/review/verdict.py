"""What was found out about a pull request, for a terminal, for programs, and as Markdown for the people who merge it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.markdown import Markdown, code, escape, one_line, table

if TYPE_CHECKING:
    from publisher.changes import Changes
    from publisher.registrar.submission import Result
    from publisher.review.paths import Problem

_MOST_SHOWN = 200
_LONGEST = 1000


@dataclass(frozen=True)
class Fact:
    """Something that is not wrong, but that whoever merges should see. The text may be a stranger's."""

    label: str
    text: str


@dataclass(frozen=True)
class VersionReport:
    """What becomes of one document of a version.

    Attributes:
        id: the plugin.
        version: the version.
        result: what the registrar will do with it.
        publisher: whose it is.
        changes: what the manifest changes; None for a release document.
        facts: the rest.
    """

    id: str
    version: str
    result: Result
    publisher: str
    changes: Changes | None = None
    facts: tuple[Fact, ...] = ()

    def markdown(self) -> str:
        """A table."""
        rows = [
            ("Result", escape(self.result)),
            ("Publisher", code(self.publisher)),
            *((fact.label, escape(fact.text)) for fact in self.facts),
        ]
        known = (
            self.changes.rows()
            if self.changes
            else [("Plugin", code(self.id)), ("Version", code(self.version))]
        )
        return table(("", "What changes"), [*known, *rows])

    def lines(self) -> list[str]:
        """For a terminal."""
        head = self.changes.lines() if self.changes else [f"{self.id} {self.version}"]
        facts = [("result", self.result.value), ("publisher", self.publisher)]
        facts += [(fact.label.lower(), fact.text) for fact in self.facts]
        return [*head, *(f"  {label:<15} {one_line(text)}" for label, text in facts)]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        row: dict[str, Any] = {
            "id": self.id,
            "version": self.version,
            "result": self.result.value,
            "publisher": self.publisher,
            "facts": _facts_json(self.facts),
        }
        return row | ({"changes": self.changes.to_json()} if self.changes else {})


@dataclass(frozen=True)
class Verdict:
    """What was found out about a pull request.

    Attributes:
        subjects: what it is about, such as `plugin calendar`; none if it leaves the registry alone.
        problems: everything that is wrong.
        versions: versions that would be registered or changed.
        facts: what else would change.
        notes: what whoever merges should know.
        files: how many files it changes.
    """

    subjects: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    versions: tuple[VersionReport, ...] = ()
    facts: tuple[Fact, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def headline(self) -> str:
        """The verdict in a few words."""
        about = ", ".join(self.subjects[:3]) or "no part of the registry"
        if self.is_good:
            return f"Nothing is wrong: {about}"
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return f"{count}: {about}"

    def lines(self) -> list[str]:
        """For a terminal."""
        lines = []
        for problem in self.problems:
            lines.append(f"problem: {f'{problem.path}: ' if problem.path else ''}{one_line(problem.message)}")
            lines += [f"  {one_line(problem.hint)}"] if problem.hint else []
        for version in self.versions:
            lines += version.lines()
        lines += [f"{fact.label.lower()}: {one_line(fact.text)}" for fact in self.facts]
        lines += [f"note: {one_line(note)}" for note in self.notes]
        return [*lines, one_line(self.headline())]

    def markdown(self) -> str:
        """For a job summary."""
        parts = [f"### {escape(self.headline())}"]
        if self.problems:
            shown = [_bullet(problem) for problem in self.problems[:_MOST_SHOWN]]
            more = len(self.problems) - len(shown)
            parts.append("\n".join([*shown, *([f"- and {more} more"] if more else [])]))
        parts += [version.markdown() for version in self.versions]
        if self.facts:
            parts.append(table(("", "What changes"), [(fact.label, _cut(fact.text)) for fact in self.facts]))
        if self.notes:
            parts.append("\n".join(f"- {escape(_cut(note))}" for note in self.notes))
        return "\n\n".join(part.rstrip() for part in parts) + "\n"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "isGood": self.is_good,
            "subjects": list(self.subjects),
            "problems": [problem.to_json() for problem in self.problems],
            "versions": [version.to_json() for version in self.versions],
            "facts": _facts_json(self.facts),
            "notes": list(self.notes),
            "changedFiles": self.files,
        }


def _bullet(problem: Problem) -> Markdown:
    where = f"{code(problem.path)}: " if problem.path else ""
    hint = f" {escape(problem.hint)}" if problem.hint else ""
    message = escape(_cut("; ".join(line.strip() for line in problem.message.splitlines())))
    return Markdown(f"- {where}{message}.{hint}")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _facts_json(facts: tuple[Fact, ...]) -> list[dict[str, str]]:
    return [{"label": fact.label, "text": fact.text} for fact in facts]


__all__ = ["Fact", "Verdict", "VersionReport"]
