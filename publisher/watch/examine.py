"""One version, looked at as closely as it can be: its manifest's form, who signed it, and whether the index states it as it is. Pure.

What hosts check of an index line and its documents is checked here of every line, so that an audit need not be a host for each of them
(docs/adr/0029-parallel-verification.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from publisher.check import check_parsed
from publisher.registrar.verdicts import Judged, judge
from registry_client.errors import RegistryError
from registry_client.models.base import validate
from registry_client.models.index import IndexLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from publisher.registrar.inputs import Verdict
    from publisher.registrar.verdicts import Keyring, Subject

COPIED = ("id", "version", "initialStatus", "requires")
"""Members that an index line copies from the manifest."""


class Wrong(NamedTuple):
    """One thing that is wrong with a version.

    Attributes:
        message: what is wrong.
        hint: the way out; may be empty.
    """

    message: str
    hint: str = ""


class Examined(NamedTuple):
    """What was found out about a version.

    Attributes:
        verdict: whether its documents verify.
        wrong: everything that is wrong with it; what keeps a quarantined version from verifying is not.
        artifacts: path, digest and size of those that its manifest keeps in the registry.
    """

    verdict: Verdict
    wrong: tuple[Wrong, ...] = ()
    artifacts: tuple[tuple[str, str, int], ...] = ()


class Examining:
    """Examines chunks of versions.

    Args:
        keyring: with which keys.
        schemas: whether manifests are held against the JSON Schema too, which takes longer than everything else.
    """

    def __init__(self, keyring: Keyring, *, schemas: bool = True) -> None:
        self._keyring = keyring
        self._schemas = schemas

    def __call__(self, chunk: Sequence[Subject]) -> list[Examined]:
        """What is found out about each."""
        return [examine(subject, self._keyring, schemas=self._schemas) for subject in chunk]


def examine(subject: Subject, keyring: Keyring, *, schemas: bool = True) -> Examined:
    """Everything that can be said of a version out of its index line, its manifest and today's keys."""
    judged = judge(subject, keyring)
    document = judged.document
    if document is None:
        error = judged.error or RegistryError(judged.verdict.reason)
        return Examined(judged.verdict, (Wrong(error.message, error.hint), *_line(subject, judged)))
    wrong = [Wrong(str(problem)) for problem in (check_parsed(document) if schemas else ())]
    wrong += [
        Wrong(f"the index states another {name}")
        for name in COPIED
        if judged.row.get(name) != document.raw.get(name)
    ]
    wrong += _line(subject, judged)
    artifacts = tuple((a.url, a.digest, a.size) for a in document.model.artifacts or () if ":" not in a.url)
    return Examined(judged.verdict, tuple(wrong), artifacts)


def _line(subject: Subject, judged: Judged) -> Iterator[Wrong]:
    """What hosts would refuse in the index line."""
    try:
        line: IndexLine = validate(IndexLine, subject.line.encode(), f"index line of {subject.path}")
    except RegistryError as e:
        yield Wrong(e.message, e.hint)
        return
    document, release = judged.document, judged.release
    if line.manifest.size != len(subject.manifest):
        yield Wrong(
            f"the index states {line.manifest.size} bytes, and the manifest has {len(subject.manifest)}"
        )
    if document is not None and document.payload_digest != line.manifest.payload_digest:
        yield Wrong("the index states another payload digest")
    if release is not None and (release.model.id, release.model.version) != (line.id, line.version):
        yield Wrong(f"its release in the index is for {release.model.id} {release.model.version}")
    if line.quarantined is not None or document is None:
        return
    if judged.verdict.reason:
        error = judged.error or RegistryError(judged.verdict.reason)
        yield Wrong(error.message, error.hint)
    elif line.publisher != judged.verdict.publisher:
        yield Wrong(
            f"the index names publisher {line.publisher!r}, and {judged.verdict.publisher!r} may publish it"
        )


def named_artifacts(data: bytes) -> set[str]:
    """What bytes that are not the signed manifest, or no manifest at all, name as artifacts: nobody's strays while that is not settled."""
    try:
        artifacts: Any = json.loads(data)["artifacts"]
        return {str(item["url"]) for item in artifacts}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


__all__ = ["Examined", "Examining", "Wrong", "examine", "named_artifacts"]
