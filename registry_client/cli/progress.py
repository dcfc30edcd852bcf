"""Progress bars for downloads, on stderr, where someone watches it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_client.cli.output import Output


@contextlib.contextmanager
def progress_bars(output: Output) -> Iterator[Callable[[str, int, int], None] | None]:
    """Give a callback for `RegistryClient.download`, or None where nobody watches."""
    if not output.shows_progress:
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, received: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(escape(name), total=total)
            bars.update(tasks[name], completed=received)

        yield show
