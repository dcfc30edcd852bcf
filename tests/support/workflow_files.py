"""This repository's workflows and actions, read as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
USES = re.compile(
    r"^\s*(?:- )?uses: (?P<what>\S+?)(?:@(?P<commit>\S+))?(?: # (?P<comment>.*))?$", re.MULTILINE
)
OWN = "acme/plugin-registry"


@dataclass(frozen=True)
class Use:
    """One `uses:` line."""

    where: str
    what: str
    commit: str
    comment: str

    @property
    def action(self) -> str:
        """The repository: actions/cache/restore and actions/cache/save are of one."""
        return "/".join(self.what.split("/")[:2])


@dataclass(frozen=True)
class Yaml:
    """A workflow or an action."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        """As it stands."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def content(self) -> dict[str, Any]:
        """Parsed, with every scalar as text: so `on` is no boolean, and a version no number."""
        return parse(self.text)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs of a workflow; of an action, its steps as one."""
        runs = self.content.get("runs")
        found: dict[str, dict[str, Any]] = {"runs": runs} if runs else self.content["jobs"]
        return found

    @property
    def steps(self) -> Iterator[dict[str, Any]]:
        """Every step."""
        for job in self.jobs.values():
            yield from job.get("steps", [])

    @property
    def uses(self) -> list[Use]:
        """Every `uses:` line."""
        return [
            Use(str(self), match["what"], match["commit"] or "", match["comment"] or "")
            for match in USES.finditer(self.text)
        ]


def parse(text: str) -> dict[str, Any]:
    """YAML with every scalar as text."""
    found: dict[str, Any] = yaml.load(text, yaml.BaseLoader)
    return found


WORKFLOWS = [Yaml(path) for path in sorted(ROOT.glob(".github/workflows/*.yml"))]
EXAMPLES = [Yaml(path) for path in sorted(ROOT.glob("examples/*/.github/workflows/*.yml"))]
ACTIONS = [Yaml(path) for path in sorted(ROOT.glob(".github/actions/*/action.yml"))]
ALL = [*WORKFLOWS, *EXAMPLES, *ACTIONS]
BY_NAME = {file.path.stem: file for file in WORKFLOWS}
