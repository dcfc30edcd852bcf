"""A server seen from outside: started, told what to serve, asked what was used, ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.sources import Layer
from benchmarks.usage import Counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LATENCY = 0.04
"""Seconds of a round trip."""
RATE = 50_000_000 / 8
"""Bytes a second: 50 Mbit/s."""
Behaviour = Literal["well", "silent", "drip"]
"""How a server answers: `silent` never does, `drip` sends five bytes a second."""


class Host:
    """A server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def take(self) -> Counted:
        """What was used since the last call."""
        return self._control("take")

    def use(self, *order: str) -> None:
        """Serve these layers from now on, the first that has a file counting. What was used until now is forgotten."""
        self._control(f"use/{','.join(order)}")

    def behave(self, how: Behaviour) -> None:
        """Answer like this from now on."""
        self._control(f"behave/{how}")

    def _control(self, what: str) -> Counted:
        with urllib.request.urlopen(f"{self.url}/-/{what}") as answer:
            return Counted(**json.load(answer))


@contextlib.contextmanager
def serve(
    layers: Mapping[str, Layer] | Path,
    *,
    git: Path | None = None,
    latency: float = LATENCY,
    rate: float = RATE,
) -> Iterator[Host]:
    """Serve from a process of its own.

    Args:
        layers: by name, the first one served at first; or a folder.
        git: a folder with bare repositories, served by Git below `/git/`.
        latency: seconds of a round trip.
        rate: bytes a second; 0 for no bound.
    """
    if isinstance(layers, Path):
        layers = {"all": Layer(str(layers))}
    description = {
        "layers": {name: asdict(layer) for name, layer in layers.items()},
        "order": list(layers)[:1],
        "git": "" if git is None else str(git),
        "latency": latency,
        "rate": rate,
    }
    command = [sys.executable, "-m", "benchmarks.server", json.dumps(description)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Host(f"http://127.0.0.1:{int(line)}")
        finally:
            process.terminate()
