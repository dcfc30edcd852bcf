"""What a run of the importer came to, for people and programs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from publisher.markdown import Markdown, code, escape, table

if TYPE_CHECKING:
    from publisher.offer import Offer, Submitted


class Result(StrEnum):
    """What became of what a release offers."""

    IMPORTED = "imported"
    FOUND = "would be imported"
    WAITING = "waiting for the registrar"
    LATER = "later"
    REFUSED = "refused"
    VANISHED = "vanished"


@dataclass(frozen=True)
class Item:
    """One line of the report.

    Attributes:
        repository: `OWNER/REPO`, or the number of one that is not there.
        tag: the release's tag; empty where it is about the repository.
        result: what became of it.
        id: the plugin, where it is known.
        version: the version, where it is known.
        ref: the publish ref.
        message: why.
        hint: the way out.
    """

    repository: str
    tag: str
    result: Result
    id: str = ""
    version: str = ""
    ref: str = ""
    message: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """For `--json`."""
        row = {
            "repository": self.repository,
            "tag": self.tag,
            "result": self.result.value,
            "id": self.id,
            "version": self.version,
            "ref": self.ref,
            "message": self.message,
            "hint": self.hint,
        }
        return {name: value for name, value in row.items() if value}


@dataclass
class Report:
    """What a run came to.

    Attributes:
        items: everything there is to say.
        looked_at: how many repositories were looked at.
        unchanged: how many of these had nothing new.
        left: how many are left for the next run.
        why_left: why.
        pushed: what was pushed, and under which commit.
    """

    items: list[Item] = field(default_factory=list)
    looked_at: int = 0
    unchanged: int = 0
    left: int = 0
    why_left: str = ""
    pushed: list[tuple[Offer, Submitted]] = field(default_factory=list)

    @property
    def refused(self) -> list[Item]:
        """What was refused."""
        return [item for item in self.items if item.result is Result.REFUSED]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "items": [item.to_json() for item in self.items],
            "repositories": self.looked_at,
            "unchanged": self.unchanged,
            "left": self.left,
        }

    def markdown(self) -> str:
        """For the job's summary. Names, tags and reasons are strangers'."""
        rows = [
            (
                code(item.repository),
                code(item.tag),
                escape(f"{item.id} {item.version}".strip()),
                Markdown(f"**{item.result}**") if item.result is Result.REFUSED else item.result.value,
                escape(" ".join(filter(None, (item.message, item.hint)))),
            )
            for item in self.items
        ]
        shown = table(("repository", "release", "version", "result", "why"), rows) if rows else ""
        return f"### Import\n\n{escape(self.summary())}\n\n{shown}"

    def summary(self) -> str:
        """One line."""
        count = {result: sum(item.result is result for item in self.items) for result in Result}
        said = ", ".join(f"{number} {result.value}" for result, number in count.items() if number)
        left = f"; {self.left} left for the next run: {self.why_left}" if self.left else ""
        repositories = "1 repository" if self.looked_at == 1 else f"{self.looked_at} repositories"
        return f"{repositories} looked at, {self.unchanged} unchanged; {said or 'nothing new'}{left}"

    def lines(self) -> list[str]:
        """For a person."""
        found = []
        for item in self.items:
            where = f"{item.repository}, release {item.tag}" if item.tag else item.repository
            what = f" {item.id} {item.version}" if item.id else ""
            found.append(f"{where}:{what} {item.result}")
            found += [f"  {line}" for text in (item.message, item.hint) if text for line in text.splitlines()]
        return [*found, self.summary()]


__all__ = ["Item", "Report", "Result"]
