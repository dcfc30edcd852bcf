"""Whether the documents of published versions still verify, and what becomes of those that do not.

The judgement of one version is a pure function of bytes, so that many can be judged side by side (`publisher/workers.py`).
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from publisher.markdown import one_line
from publisher.registrar.inputs import Verdict
from publisher.workers import chunked, run_in_order
from registry_client.digest import Digest
from registry_client.errors import RegistryError
from registry_client.models.base import format_time
from registry_client.signed import (
    Parsed,
    PublisherKeys,
    Verified,
    parse_embedded_release,
    parse_manifest,
    parse_publisher,
    verify_manifest,
    verify_release,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from publisher.authority import Authority
    from publisher.registrar.inputs import Inputs
    from publisher.registrar.state import Row, State
    from registry_client.models import Manifest, Release

CHUNK = 200
"""Versions in a chunk: a tenth of a second's work, of which handing it over is a hundredth."""
CHUNK_BYTES = 4_000_000
NOBODY = "no publisher may publish this plugin any more"
_LONGEST = 500
_MOST_TOLD = 100


class Subject(NamedTuple):
    """A version to be judged.

    Attributes:
        path: where its manifest stands.
        manifest: the manifest's bytes, unchecked.
        line: its index line as text, as the registrar wrote it.
        publisher: who may publish the plugin; empty if nobody may.
    """

    path: str
    manifest: bytes
    line: str
    publisher: str


@dataclass(frozen=True)
class Judged:
    """A verdict with what it is about.

    Attributes:
        verdict: the verdict.
        row: the index line as raw JSON.
        document: the manifest as it was claimed; None if it is none.
        release: the release as it was claimed; None if there is none, or it was not got to.
        error: what the reason was taken from.
    """

    verdict: Verdict
    row: dict[str, Any]
    document: Parsed[Manifest] | None = None
    release: Parsed[Release] | None = None
    error: RegistryError | None = None


class Keyring:
    """The publishers' keys, and the registry that releases must name. Other processes get the documents, and load the keys they need.

    Args:
        registry: the registry's id.
        documents: bytes of the verified `publishers/<id>.json`, by publisher.
        loaded: keys that are at hand already.
    """

    def __init__(
        self, registry: str, documents: Mapping[str, bytes], loaded: Mapping[str, PublisherKeys] | None = None
    ) -> None:
        self.registry = registry
        self._documents = documents
        self._loaded = dict(loaded or {})

    @classmethod
    def of(cls, authority: Authority) -> Keyring:
        """The keyring of what the maintainers state."""
        documents = {name: authority.documents[f"publishers/{name}.json"] for name in authority.publishers}
        return cls(authority.policy.registry, documents, authority.publishers)

    def __reduce__(self) -> tuple[type[Keyring], tuple[str, Mapping[str, bytes]]]:
        return Keyring, (self.registry, self._documents)

    def __getitem__(self, publisher: str) -> PublisherKeys:
        if publisher not in self._loaded:
            self._loaded[publisher] = parse_publisher(
                self._documents[publisher], f"publishers/{publisher}.json"
            )
        return self._loaded[publisher]


class Judging:
    """Judges chunks of versions.

    Args:
        keyring: with which keys.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def __call__(self, chunk: Sequence[Subject]) -> list[Verdict]:
        """The verdict on each."""
        return [judge(subject, self._keyring).verdict for subject in chunk]


def judge(subject: Subject, keyring: Keyring) -> Judged:
    """Whether a version's documents verify with today's keys. Pure."""
    row: dict[str, Any] = json.loads(subject.line)
    document = release = None
    artifacts: tuple[tuple[str, Digest], ...] = ()
    try:
        document = parse_manifest(subject.manifest, subject.path)
        if not subject.publisher:
            return Judged(Verdict(NOBODY, ""), row, document)
        keys = keyring[subject.publisher]
        artifacts = _kept_here(verify_manifest(document, keys))
        if "release" in row:
            release = parse_embedded_release(row["release"], f"release of {row['id']} {row['version']}")
            identity = Digest(row["manifest"]["payloadDigest"])
            verify_release(release, keys, registry=keyring.registry, manifest=identity)
    except RegistryError as e:
        reason = e.message.partition("\n")[0][:_LONGEST] if subject.publisher else NOBODY
        return Judged(Verdict(reason, "", artifacts), row, document, release, e)
    return Judged(Verdict("", subject.publisher, artifacts), row, document, release)


def _kept_here(manifest: Verified[Manifest]) -> tuple[tuple[str, Digest], ...]:
    named = manifest.model.artifacts or ()
    return tuple((artifact.url, artifact.digest) for artifact in named if ":" not in artifact.url)


def subject_of(row: Row, data: bytes, authority: Authority) -> Subject:
    """What is judged of a row, given its manifest's bytes."""
    keys = authority.publisher_of(row.raw["id"])
    return Subject(row.path, data, row.text, "" if keys is None else keys.publisher.id)


def in_chunks(subjects: Iterable[Subject]) -> Iterator[list[Subject]]:
    """Subjects in chunks that bound how much is in memory at a time."""
    return chunked(subjects, CHUNK, lambda item: len(item.manifest) + len(item.line), CHUNK_BYTES)


def verify_rows(inputs: Inputs, state: State) -> list[str]:
    """Quarantine versions whose documents do not verify any more; lift it when they do again. Gives a line for each."""
    told: list[str] = []
    ids = state.concerned()
    rows = (row for plugin_id in ids for row in state.sorted_rows(plugin_id) if "removed" not in row.raw)
    for row, verdict in _verdicts(inputs, rows):
        _repair_artifacts(inputs, verdict)
        reason, old = verdict.reason, row.raw.get("quarantined")
        if reason and (old is None or (old["cause"] == "signature" and old["reason"] != reason)):
            since = old["since"] if old else format_time(inputs.now)
            if old is None:
                told.append(
                    f"{row.raw['id']} {row.raw['version']}: quarantined (signature): {one_line(reason)}"
                )
            state.put(row.replaced(quarantined={"cause": "signature", "reason": reason, "since": since}))
        elif not reason:
            lifted = old is not None and old["cause"] == "signature"
            if lifted:
                told.append(f"{row.raw['id']} {row.raw['version']}: verifies again, quarantine lifted")
            if lifted or row.raw["publisher"] != verdict.publisher:  # of most rows nothing is made anew
                state.put(row.replaced(publisher=verdict.publisher, quarantined=None if lifted else old))
    more = len(told) - _MOST_TOLD
    return told if more <= 0 else [*told[:_MOST_TOLD], f"…and {more} more"]


def _verdicts(inputs: Inputs, rows: Iterable[Row]) -> Iterator[tuple[Row, Verdict]]:
    """Each row with its verdict: those that are known first, the others in their order."""
    waiting: deque[Row] = deque()

    def unknown() -> Iterator[Subject]:
        for row in rows:
            waiting.append(row)
            if row.text not in inputs.known:
                yield subject_of(row, inputs.tree.read(row.path) or b"", inputs.authority)

    for chunk in run_in_order(Judging(Keyring.of(inputs.authority)), in_chunks(unknown()), inputs.jobs):
        for verdict in chunk:
            while waiting[0].text in inputs.known:
                known = waiting.popleft()
                yield known, inputs.known[known.text]
            yield waiting.popleft(), verdict
    yield from ((row, inputs.known[row.text]) for row in waiting)


def _repair_artifacts(inputs: Inputs, verdict: Verdict) -> None:
    """Restore artifacts that stand in the registry and were edited or removed. What cannot be restored, the audit names."""
    for path, digest in verdict.artifacts:
        if inputs.tree.digest(path) == digest:
            continue
        original = inputs.recover(path, digest)
        if original is not None and Digest.of(original) == digest:
            inputs.tree.write(path, original)


__all__ = ["Judged", "Judging", "Keyring", "Subject", "judge", "subject_of", "verify_rows"]
