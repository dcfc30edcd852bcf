"""What the demo prints: numbered steps, the commands as one would type them, and what came of them."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH = 100
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def wants_colour(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether to colour: no-color.org and force-color.org first, then whether a terminal is there."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (terminal and environ.get("TERM") != "dumb")


class Teller:
    """Prints the story.

    Args:
        colour: whether to colour it.
    """

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._step = 0

    @classmethod
    def for_this_terminal(cls) -> Teller:
        """One that colours if standard output is a terminal that wants it."""
        return cls(colour=wants_colour(os.environ, terminal=sys.stdout.isatty()))

    def chapter(self, title: str) -> None:
        """A heading."""
        self._print(f"\n{self._paint(title.upper(), 'bold')}")

    def step(self, title: str, text: str = "") -> None:
        """A numbered step, and why it is there."""
        self._step += 1
        self._print(f"\n{self._paint(f'{self._step}. {title}', 'bold')}")
        self.say(text)

    def say(self, text: str) -> None:
        """A paragraph."""
        if text:
            self._print(textwrap.fill(" ".join(text.split()), _WIDTH))

    def command(self, line: str) -> None:
        """A command that is about to run."""
        self._print(self._paint(f"    $ {line}", "cyan"))

    def output(self, text: str) -> None:
        """What a command printed."""
        for line in text.rstrip().splitlines():
            self._print(self._paint(f"      {line}", "dim"))

    def attack(self, text: str) -> None:
        """What the attacker does."""
        self._lines("    ! ", text, "yellow")

    def refused(self, text: str) -> None:
        """How it was refused."""
        self._lines("    x ", text, "green")

    def limit(self, text: str) -> None:
        """What cannot be prevented."""
        self._lines("    ~ ", text, "yellow")

    def failed(self, text: str) -> None:
        """The demo itself did not go as it should."""
        self._print(self._paint(f"\nDEMO FAILED: {text}", "red"))

    def _lines(self, mark: str, text: str, colour: str) -> None:
        lines = textwrap.wrap(" ".join(text.split()), _WIDTH - len(mark))
        for number, line in enumerate(lines):
            self._print(self._paint(f"{mark if not number else ' ' * len(mark)}{line}", colour))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text

    def _print(self, text: str) -> None:
        print(text, flush=True)
