"""Files that plugins refer to and that other people serve: which they are, and what is to be believed of an answer."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from publisher.registrar.catalogue import standing
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.signed import parse_manifest
from registry_client.status import MEANING, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from publisher.authority import Authority
    from publisher.registrar.state import Row, State
    from publisher.tree import Tree
    from registry_client.http import Deadline
    from registry_client.models.manifest import Manifest

PAUSES: Final = (2.0, 10.0)
"""Seconds between attempts; there is one more attempt than pauses."""
_LONGEST_PAUSE = 60.0
_TIMES = 2


class Verdict(StrEnum):
    """What became of a file."""

    SOUND = "sound"
    CHANGED = "changed"
    VANISHED = "vanished"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Answer:
    """One answer of a host.

    Attributes:
        verdict: what it says of the file.
        detail: in words.
        retry_after: for how many seconds the host asked to be left alone.
    """

    verdict: Verdict
    detail: str = ""
    retry_after: float = 0.0


def settle(
    ask: Callable[[], Answer],
    deadline: Deadline,
    pauses: Sequence[float] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Ask until the answer can be believed.

    A good answer is believed at once. A bad one must come twice, word for word: hosts answer 404 for a moment while they deploy, and
    a connection may break off. A file that is another one each time, and never the right one, changed. Whatever is left is unreachable.

    Args:
        ask: asks once.
        deadline: when to stop asking: many files share it.
        pauses: seconds between attempts.
        sleep: waits.
    """
    if not deadline.remaining():
        return Answer(Verdict.UNREACHABLE, "no time was left to ask for it")
    seen: Counter[tuple[Verdict, str]] = Counter()
    answer = ask()
    for pause in (*pauses, None):
        if answer.verdict is Verdict.SOUND:
            return answer
        seen[answer.verdict, answer.detail] += 1
        if answer.verdict is not Verdict.UNREACHABLE and seen[answer.verdict, answer.detail] == _TIMES:
            return answer
        if pause is None:
            break
        wait = max(pause, min(answer.retry_after, _LONGEST_PAUSE))
        if wait >= deadline.remaining():
            break
        sleep(wait)
        answer = ask()
    return _undecided(answer, seen)


def _undecided(last: Answer, seen: Counter[tuple[Verdict, str]]) -> Answer:
    """What to make of answers of which none came twice."""
    if last.verdict is Verdict.UNREACHABLE:
        return last
    if seen.total() < _TIMES:
        return Answer(Verdict.UNREACHABLE, f"no time was left to ask again; the one answer: {last.detail}")
    if seen.total() > _TIMES and {verdict for verdict, _ in seen} == {Verdict.CHANGED}:
        return Answer(Verdict.CHANGED, f"another file each time; the last: {last.detail}")
    return Answer(Verdict.UNREACHABLE, f"answers differ from one moment to the next; the last: {last.detail}")


def resolvable(tree: Tree, state: State, authority: Authority) -> Iterator[tuple[Row, Manifest]]:
    """The versions that hosts can be given, with their manifests, and those that only their artifacts keep from them.

    A manifest that is missing or was changed is left out: the audit names it as such.
    """
    for row in state.all_rows():
        held = row.raw.get("quarantined")
        judged = row.replaced(quarantined=None) if held and held["cause"] == "artifact" else row
        blocks = [block for block in authority.blocks.blocks if block.id == row.raw["id"]]
        try:
            if MEANING[standing(judged, blocks).status].exact is Use.NO:
                continue
            data = tree.read(row.path)
            if data is not None and Digest.of(data) == row.digest:
                yield row, parse_manifest(data, row.path).model
        except RegistryError:
            continue  # the audit says what is wrong with it


__all__ = ["PAUSES", "Answer", "Verdict", "resolvable", "settle"]
