"""Artifacts that are served elsewhere: fetched again and compared with what publishers signed.

No host gets a credential, nothing is kept, and no more is read than the signed size. A file that is not what was signed, or that is gone,
can be quarantined; a host that cannot be reached only brings a warning.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.registrar.quarantine import Mark
from publisher.watch.findings import Finding, Level
from publisher.watch.probe import PAUSES, Answer, Verdict, settle
from registry_client.errors import DigestError, FetchError, TooLargeError
from registry_client.hosts import Hosts
from registry_client.http import Deadline, Transport, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from publisher.registrar.state import Row
    from registry_client.digest import Digest
    from registry_client.models.manifest import Manifest

_PARALLEL = 4
_PATIENCE = 60.0
_SLOWEST = 500_000  # bytes a second, averaged over the whole file
_IN_ALL = 80 * 60.0  # with the links, less than the scheduled job has
_LEAST_SHARE = 10 * 60.0
_GONE = frozenset({404, 410})
_MOST_NAMES = 5
_LONGEST_REASON = 1000
_HINT = "Quarantine it with --quarantine-file and 'publisher registry register --quarantine'; its publisher publishes a new version."


@dataclass(frozen=True)
class Checked:
    """One file and what became of it.

    Attributes:
        url: where it is.
        digest: what was signed.
        size: its signed length in bytes.
        rows: the versions that name it so.
        answer: what its host answers.
    """

    url: str
    digest: Digest
    size: int
    rows: tuple[Row, ...]
    answer: Answer

    @property
    def bad(self) -> bool:
        """Whether it changed or vanished."""
        return self.answer.verdict in {Verdict.CHANGED, Verdict.VANISHED}


def check_artifacts(
    versions: Iterable[tuple[Row, Manifest]], transport: Transport, pauses: Sequence[float] = PAUSES
) -> list[Checked]:
    """Fetch every external artifact, each URL and digest once.

    Args:
        versions: index rows with their manifests.
        transport: reaches hosts.
        pauses: seconds between attempts.
    """
    wanted: dict[tuple[str, Digest, int], list[Row]] = {}
    for row, manifest in versions:
        for item in manifest.artifacts or ():
            if ":" in item.url:
                wanted.setdefault((item.url, item.digest, item.size), []).append(row)
    deadline = Deadline(_IN_ALL)
    order = _in_turn(wanted)
    share = max(_IN_ALL / max(len({_publisher(rows) for rows in wanted.values()}), 1), _LEAST_SHARE)
    spent: defaultdict[str, float] = defaultdict(float)

    def one(key: tuple[str, Digest, int]) -> Checked:
        publisher, start = _publisher(wanted[key]), time.monotonic()
        mine = Deadline(min(deadline.remaining(), share - spent[publisher] / _PARALLEL))
        answer = settle(lambda: _fetch(*key, transport, mine), mine, pauses)
        spent[publisher] += time.monotonic() - start
        return Checked(*key, tuple(dict.fromkeys(wanted[key])), answer)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return sorted(pool.map(one, order), key=lambda item: (item.url, item.digest, item.size))


def _publisher(rows: Sequence[Row]) -> str:
    return str(rows[0].raw["publisher"])


def _in_turn(wanted: Mapping[tuple[str, Digest, int], Sequence[Row]]) -> list[tuple[str, Digest, int]]:
    """One file of each publisher, then the next of each: with many or slow ones nobody keeps the others' from being looked at."""
    count: Counter[str] = Counter()
    places = {}
    for key in sorted(wanted):
        publisher = _publisher(wanted[key])
        places[key] = (count[publisher], publisher)
        count[publisher] += 1
    return sorted(places, key=places.__getitem__)


def _fetch(url: str, digest: Digest, size: int, transport: Transport, deadline: Deadline) -> Answer:
    timeout = min(_PATIENCE + size / _SLOWEST, deadline.remaining())
    try:
        Hosts((), tuple, transport).download(
            url, digest=digest, size=size, timeout=timeout, sink=_forget, restart=_nothing
        )
    except (DigestError, TooLargeError) as e:
        return Answer(Verdict.CHANGED, _detail(e, url))
    except FetchError as e:
        verdict = Verdict.VANISHED if e.status in _GONE else Verdict.UNREACHABLE
        return Answer(verdict, _detail(e, url), e.retry_after or 0.0)
    return Answer(Verdict.SOUND)


def _forget(_: bytes) -> None:
    """Bytes are hashed and counted before they come here."""


def _nothing() -> None:
    """Nothing was kept."""


def _detail(error: DigestError | FetchError, url: str) -> str:
    return error.message.removeprefix(f"{shown(url)}: ").removeprefix(f"{url}: ")


def artifact_findings(checked: Sequence[Checked]) -> list[Finding]:
    """What to say of files that are not as signed, and of versions that could be lifted."""
    found = []
    for item in checked:
        known = all("quarantined" in row.raw for row in item.rows)
        if item.bad:
            level = Level.WARNING if known else Level.ERROR
            what = "changed" if item.answer.verdict is Verdict.CHANGED else "vanished"
            state = ", which is quarantined" if known else ""
            text = f"{what}: {item.answer.detail}; it belongs to {_names(item)}{state}"
            found.append(Finding(level, shown(item.url), text, "" if known else _HINT))
    return found + _could_be_lifted(checked)


def unreachable_findings(checked: Sequence[Checked]) -> list[Finding]:
    """What to say of files that could not be had, and that may be as they should."""
    return [
        Finding(
            Level.WARNING,
            shown(item.url),
            f"could not be looked at: {item.answer.detail}; it belongs to {_names(item)}",
        )
        for item in checked
        if item.answer.verdict is Verdict.UNREACHABLE
    ]


def _names(item: Checked) -> str:
    names = [f"{row.raw['id']} {row.raw['version']}" for row in item.rows]
    return ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else ""
    )


def _could_be_lifted(checked: Sequence[Checked]) -> list[Finding]:
    rows = {row: row for item in checked for row in item.rows if "quarantined" in row.raw}
    unsound = {row for item in checked if item.answer.verdict is not Verdict.SOUND for row in item.rows}
    return [
        Finding(
            Level.WARNING,
            row.path,
            "is quarantined, but its artifacts are as signed again",
            f"publisher registry register --lift {row.raw['id']}@{row.raw['version']}",
        )
        for row in rows
        if row not in unsound
    ]


def marks_of(checked: Sequence[Checked]) -> list[Mark]:
    """The versions to quarantine: those with an artifact that changed or vanished, unless they are already."""
    reasons: dict[Row, list[str]] = {}
    for item in checked:
        for row in item.rows if item.bad else ():
            if "quarantined" not in row.raw:
                reasons.setdefault(row, []).append(
                    f"{shown(item.url)} {item.answer.verdict}: {item.answer.detail}"
                )
    return [
        Mark.model_validate(
            {
                "id": row.raw["id"],
                "version": row.raw["version"],
                "payloadDigest": row.payload_digest,
                "cause": "artifact",
                "reason": "; ".join(texts)[:_LONGEST_REASON],
            }
        )
        for row, texts in reasons.items()
    ]


__all__ = ["Checked", "artifact_findings", "check_artifacts", "marks_of", "unreachable_findings"]
