"""Where secrets show that should not: in what programs print, in arguments of processes, in commits, in URLs and bodies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

_PROC = Path("/proc")
_PAUSE = 0.01
_MASKED = '"command":"add-mask"'


def forms_of(secret: str) -> set[bytes]:
    """What gives a secret away: itself, each line of its own in a key file, and the way it goes into a Git request."""
    lines = {line.strip() for line in secret.splitlines() if not line.startswith("-----")}
    basic = {b64encode(f"x-access-token:{line}".encode()) for line in lines}
    return {line.encode() for line in lines if line} | basic


def found_in(data: bytes, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets is there."""
    return any(form in data for secret in secrets for form in forms_of(secret))


def in_repository(bare: Path, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets is in any object of a repository, reachable or not."""
    command = ["git", "-C", str(bare), "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    objects = subprocess.run(command, capture_output=True, check=True).stdout
    refs = subprocess.run(["git", "-C", str(bare), "for-each-ref"], capture_output=True, check=True).stdout
    return found_in(objects + refs, secrets)


def find_leaks(
    texts: Mapping[str, Iterable[str]], repositories: Iterable[Path], folder: Path, secrets: Sequence[str]
) -> list[str]:
    """Everything that gives a secret away, each after what it was found in.

    Args:
        texts: lines by what they are; of act's log, those that the runner keeps to itself do not count.
        repositories: bare ones.
        folder: what the runs left behind.
        secrets: to look for.
    """
    found = [
        f"{what}: {text[:300]}"
        for what, lines in texts.items()
        for text in lines
        if found_in(text.encode(), secrets) and _MASKED not in text
    ]
    found += [f"commit: {each}" for each in repositories if in_repository(each, secrets)]
    left = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return found + [f"file: {path}" for path in left if found_in(path.read_bytes(), secrets)]


class ArgumentWatch:
    """Looks at the arguments of every process that starts while it is open.

    Args:
        secrets: gives the secrets to look for.
    """

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self.found: set[str] = set()
        self.looked_at: set[str] = set()
        self._secrets = secrets
        self._old = set(self._pids())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    @staticmethod
    def _pids() -> list[str]:
        return [name for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208  (thousands of times a minute)

    def _watch(self) -> None:
        while not self._end.wait(_PAUSE):
            for pid in set(self._pids()) - self._old:
                with contextlib.suppress(OSError):  # it has ended
                    self._look((_PROC / pid / "cmdline").read_bytes())

    def _look(self, line: bytes) -> None:
        shown = line.replace(b"\0", b" ").decode(errors="replace")
        if shown not in self.looked_at:
            self.looked_at.add(shown)
            if found_in(line, self._secrets()):
                self.found.add(shown)
