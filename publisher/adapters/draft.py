"""A manifest in the making: what was carried over, what could not be, and what is wrong. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from publisher.source_model import SourceManifest
from registry_client.errors import DocumentError, Problem
from registry_client.jsontext import parse_json
from registry_client.models.manifest import MANIFEST_LIMIT
from registry_client.names import check_plugin_id, is_device_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_MAX_ID = 64
_MAX_NAME = 200
_MAX_SHOWN = 60
_ORDER = [item.alias or name for name, item in SourceManifest.model_fields.items()]


@dataclass(frozen=True)
class Note:
    """Something that a manifest says and the registry's manifest does not, or says differently.

    Attributes:
        path: where it stands: `$.health_check`, or `config/default.yaml: key`.
        message: what became of it.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Converted:
    """A manifest in the registry's source form, made out of another form.

    Attributes:
        raw: the JSON object; valid if there are no problems and schema and model agree.
        notes: what was not carried over, or changed on the way.
        problems: what must be put right first.
        with_version: new bytes by path, of the files that say the version, with another one in them.
        changelog: what changed in a version, where the source says so of each; None where it has one text for all.
    """

    raw: dict[str, Any]
    notes: tuple[Note, ...]
    problems: tuple[Problem, ...]
    with_version: Callable[[str], dict[str, bytes]]
    changelog: Callable[[str], str | None] | None = None


@dataclass
class Draft:
    """Collects a manifest, notes and problems.

    Attributes:
        raw: the manifest so far.
        notes: what cannot be carried over.
        problems: what is wrong.
    """

    raw: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _noted: set[Note] = field(default_factory=set, repr=False, compare=False)

    def note(self, path: str, message: str) -> None:
        """Say what became of a value."""
        found = Note(path, message)
        if found not in self._noted:  # not in the list: a manifest may have tens of thousands of members
            self._noted.add(found)
            self.notes.append(found)

    def problem(self, path: str, message: str) -> None:
        """Say what is wrong with a value that matters."""
        self.problems.append(Problem(path, message))

    def put(self, member: str, value: Any) -> None:
        """Set a member, unless the value says nothing."""
        if value is not None and value not in ({}, []):
            self.raw[member] = value

    def carry(self, member: str, kind: Any, value: Any, path: str) -> None:
        """Set a member that nothing depends on; if it does not fit, say so and leave it out."""
        if value in (None, ""):
            return
        reason = misfit(kind, value)
        if reason is None:
            self.raw[member] = value
        else:
            self.note(path, f"left out: {reason}")

    def leave_out(self, mapping: Mapping[str, Any], known: Collection[str], path: str, where: str) -> None:
        """Name the members that the registry's manifest has no place for."""
        for name in mapping:
            if name not in known:
                self.note(
                    below(path, name), f"not in the registry's manifest; it stays in the packed {where}"
                )

    def converted(
        self,
        with_version: Callable[[str], dict[str, bytes]],
        changelog: Callable[[str], str | None] | None = None,
    ) -> Converted:
        """What came of it, members in the order of the model; arguments as in `Converted`."""
        raw = {name: self.raw[name] for name in _ORDER if name in self.raw}
        raw |= {name: value for name, value in self.raw.items() if name not in raw}
        problems = self.problems + [found for found in _strict(raw) if not self.problems]
        given = {} if problems and not _plain(raw) else raw
        return Converted(given, tuple(self.notes), tuple(problems), with_version, changelog)


def _strict(raw: dict[str, Any]) -> list[Problem]:
    """What keeps values out of JSON that came from elsewhere: infinite numbers, dates, great depth."""
    try:
        parse_json(json.dumps(raw, allow_nan=False).encode(), limit=MANIFEST_LIMIT, where="")
    except DocumentError as e:
        return list(e.problems)
    except (ValueError, TypeError, RecursionError, UnicodeError) as e:
        return [Problem("$", f"holds a value that JSON cannot carry ({str(e)[:_MAX_SHOWN]})")]
    return []


def _plain(raw: dict[str, Any]) -> bool:
    return not _strict(raw)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def misfit(kind: Any, value: Any) -> str | None:
    """Why a value is none of this type of the models; None if it is."""
    try:
        _adapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as e:
        message = str(e.errors(include_url=False, include_context=False)[0]["msg"])
        return message.removeprefix("Value error, ")
    except (TypeError, ValueError, RecursionError):
        return "it is not JSON"
    return None


def below(path: str, step: str | int) -> str:
    """The path of a member or an item."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", step) else f"{path}[{step[:80]!r}]"


def show(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def make_id(text: str) -> str | None:
    """A valid id out of a name, such as `my-plugin` out of `My Plugin`; None if nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9_]+", "-", plain).lstrip("-_")[:_MAX_ID].rstrip("-")
    if is_device_name(made):
        made = f"{made}-plugin"
    try:
        return check_plugin_id(made)
    except ValueError:
        return None


def identify(draft: Draft, candidates: list[tuple[str, Any]]) -> None:
    """Set `id` out of the first candidate that gives one.

    Args:
        draft: where to.
        candidates: paths and values, the most binding one first.
    """
    for path, value in candidates:
        made = make_id(value) if isinstance(value, str) else None
        if made is not None:
            draft.raw["id"] = made
            if made != value:
                draft.note(path, f"the id is {made!r}, made of {show(value)}")
            return
    draft.problem("$.id", "no id can be made of the name or of the repository's name; state one")


def title(draft: Draft, candidates: list[tuple[str, Any]]) -> None:
    """Set `name` out of the first candidate that is a text."""
    for path, value in candidates:
        if isinstance(value, str) and value.strip():
            text = " ".join(value.split())
            if len(text) > _MAX_NAME:
                draft.note(path, f"cut to {_MAX_NAME} characters")
            draft.raw["name"] = text[:_MAX_NAME]
            return
    draft.problem("$.name", "expected a name")


__all__ = ["Converted", "Draft", "Note", "below", "identify", "make_id", "misfit", "show", "title"]
