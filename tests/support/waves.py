"""A transport that proves what is in flight together: no request of a wave is answered before all of its wave have arrived."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

from registry_client.errors import NotFetchedError, TooLargeError
from registry_client.http import Body, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry_client.http import Deadline

PATIENCE: Final = 5.0
_KINDS = {
    r"metadata/\d+\.root\.json": "root",
    r"metadata/timestamp\.json": "timestamp",
    r"metadata/\d+\.(\w+)\.json": r"\1",
    r"targets/index/[0-9a-f]{64}\.[01]+\.json": "index",
    r"targets/index/[01]{9}/[0-9a-f]{64}\.[01]+\.json": "below",
    r"targets/publishers/[0-9a-f]{64}\..*": "publisher",
    r"targets/[0-9a-f]{64}\.(\w+)\.json": r"\1.json",
    r"plugins/.*": "manifest",
    r"bundle/.*": "bundle",
}


def kind_of(path: str) -> str:
    """What a path is, in a word."""
    for pattern, kind in _KINDS.items():
        match = re.fullmatch(pattern, path)
        if match is not None:
            return match.expand(kind)
    raise AssertionError(path)


class WaveTransport:
    """Serves files, wave by wave. `expect` says what is asked for; anything else is an error.

    Args:
        read: gives the bytes at a path, or None.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self.read = read
        self.usage = Usage()
        self.problems: list[str] = []
        self._guard = threading.Lock()
        self._waves: list[tuple[list[str], threading.Barrier]] = []

    def expect(self, *waves: str) -> None:
        """What is asked for from now on: for each wave the kinds of its requests, separated by spaces."""
        with self._guard:
            assert not self.left, f"never asked for: {self.left}"
            kinds = [wave.split() for wave in waves]
            self._waves = [(own, threading.Barrier(len(own))) for own in kinds]

    @property
    def left(self) -> list[str]:
        """What was expected and not asked for."""
        return [kind for kinds, _ in self._waves for kind in kinds]

    def check(self) -> None:
        """Everything expected was asked for, together with its wave, and nothing else was."""
        assert not self.problems, self.problems
        assert not self.left, f"never asked for: {self.left}"

    def get(self, url: str, *, limit: int, deadline: Deadline, etag: str | None = None) -> Body:  # noqa: ARG002
        """The bytes at a URL, once its wave is complete."""
        path = url.split("/", 3)[3]
        self._arrive(kind_of(path))
        data = self.read(path)
        self.usage.requests += 1
        if data is None:
            raise NotFetchedError(f"{url}: HTTP 404", status=404)
        if len(data) > limit:
            raise TooLargeError(f"{url}: longer than {limit} bytes")
        tag = f'"{hash(data)}"'
        if etag == tag:
            return Body(b"", tag, not_modified=True)
        self.usage.bytes += len(data)
        return Body(data, tag)

    def get_into(self, url: str, sink: Callable[[bytes], object], **_: object) -> None:  # noqa: ARG002
        """Nothing large is read here."""
        raise AssertionError(url)

    def _arrive(self, kind: str) -> None:
        with self._guard:
            wave = next(((kinds, barrier) for kinds, barrier in self._waves if kinds), None)
            if wave is None or kind not in wave[0]:
                self.problems.append(f"{kind} was asked for before {self.left}")
                return
            wave[0].remove(kind)
        try:
            wave[1].wait(PATIENCE)
        except threading.BrokenBarrierError:
            with self._guard:
                self.problems.append(f"{kind} was asked for without {self.left}")
