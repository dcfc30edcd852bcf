"""The same work on chunk after chunk, in this process or in several: results come in the order of the chunks, and are the same.

Workers are fresh processes, never forks of this one, whose threads and locks they would take along. They hold no keys and write nothing:
they get bytes, and give back what they found.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import BaseContext

C = TypeVar("C")
R = TypeVar("R")

FEW = 4
"""So many chunks are done before processes that start could help."""
_AHEAD = 2  # chunks that wait for each worker: bounds memory, and keeps none of them idle
_MOST = 61  # what Windows can wait for


def available_cores() -> int:
    """How many cores this process may use."""
    count = getattr(os, "process_cpu_count", None)  # from Python 3.13 on
    if count is None and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return int((count or os.cpu_count)() or 1)


def run_in_order(work: Callable[[C], R], chunks: Iterable[C], jobs: int = 1) -> Iterator[R]:
    """What `work` gives for each chunk, in order.

    Args:
        work: a function of the chunk alone; it and its results can be pickled. What it raises is raised here.
        chunks: read as they are needed, never all at once.
        jobs: how many processes; 1 for this one, 0 for one on each core. Few chunks are done here all the same.

    Raises:
        ConfigError: a process was ended from outside before its work was done.
    """
    count = min(jobs or available_cores(), _MOST)
    source = iter(chunks)
    first = list(islice(source, FEW)) if count > 1 else []
    if len(first) < FEW:
        return map(work, chain(first, source))
    return _run_in_workers(work, chain(first, source), count)


def chunked(items: Iterable[C], most: int, weight: Callable[[C], int], heaviest: int) -> Iterator[list[C]]:
    """Items in lists of at most so many, and of no more than so much weight unless one item alone has it.

    Args:
        items: read as they are needed.
        most: items in a list.
        weight: of an item, in bytes say.
        heaviest: how heavy a list may become.
    """
    chunk: list[C] = []
    carried = 0
    for item in items:
        own = weight(item)
        if chunk and (len(chunk) == most or carried + own > heaviest):
            yield chunk
            chunk, carried = [], 0
        chunk.append(item)
        carried += own
    if chunk:
        yield chunk


def _run_in_workers(work: Callable[[C], R], chunks: Iterable[C], count: int) -> Iterator[R]:
    executor = ProcessPoolExecutor(count, _context(work), _start, (work,))
    waiting: deque[Any] = deque()
    try:
        for chunk in chunks:
            waiting.append(executor.submit(_run, chunk))
            if len(waiting) > count * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as e:
        raise ConfigError(
            "a worker process was ended before its work was done: killed, or out of memory",
            hint="Run it again, with '--jobs 1' if memory is short.",
        ) from e
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _context(work: Callable[[Any], object]) -> BaseContext:
    """How workers start: from a server process without threads that has the modules loaded; fresh where that is not to be relied on."""
    if sys.platform in {"win32", "darwin", "cygwin"}:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([type(work).__module__])
    return context


class _Worker:
    """What a worker process does with each chunk."""

    work: ClassVar[Callable[[Any], Any]]


def _start(work: Callable[[Any], Any]) -> None:
    """Prepare a worker: Ctrl-C is for the parent to handle, and without a parent there is nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _Worker.work = staticmethod(work)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _run(chunk: Any) -> Any:
    return _Worker.work(chunk)


__all__ = ["FEW", "available_cores", "chunked", "run_in_order"]
