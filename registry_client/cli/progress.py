"""Progress bars for downloads, on stderr, where someone watches it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

    from registry_client.cli.output import Output


class Bars:
    """Bars that appear with the first bytes, and can be put away for a question. Threads may share them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._shown: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, received: int, total: int) -> None:
        """Show how far a file is."""
        from rich.markup import escape

        from registry_client.cli.text import clean

        with self._guard:
            if self._shown is None:
                self._shown = _progress()
                self._shown.start()
            if name not in self._tasks:
                self._tasks[name] = self._shown.add_task(escape(clean(name)), total=total)
            self._shown.update(self._tasks[name], completed=received)

    def stop(self) -> None:
        """Leave the bars as they are, and the terminal to others."""
        with self._guard:
            if self._shown is not None:
                self._shown.stop()
            self._shown = None
            self._tasks.clear()


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


@contextlib.contextmanager
def progress_bars(output: Output) -> Iterator[Bars | None]:
    """Give a callback for `RegistryClient.download` and `Installer`, or None where nobody watches."""
    if not output.shows_progress:
        yield None
        return
    bars = Bars()
    try:
        yield bars
    finally:
        bars.stop()
