"""Results go to stdout, prose to stderr; with `--json`, one document to stdout and nothing else."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from registry_client.cli.text import clean, clean_lines, paint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registry_client.errors import RegistryError

FAILED = 1
BROKEN_PIPE = 141
INTERRUPTED = 130
USAGE = 2


class StopRun(Exception):  # noqa: N818  (not an error)
    """Ends a run at once, with nothing more to say."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class Output:
    """The two streams of one run.

    Args:
        as_json: write one JSON document instead of text.
        colour: True or False where someone insists, None to decide by the terminal.

    Attributes:
        filters: what everything that is written goes through.
    """

    def __init__(self, *, as_json: bool, colour: bool | None) -> None:
        self.as_json = as_json
        self.verbose = False
        self.warnings: list[str] = []
        self._colour = colour
        self.filters: list[Callable[[str], str]] = []

    @property
    def coloured(self) -> bool:
        """Whether results may carry colours."""
        return not self.as_json and self._wants_colour(sys.stdout)

    @property
    def width(self) -> int | None:
        """Columns of the terminal that results go to; None where they go to a file or a program."""
        if not _is_terminal(sys.stdout):
            return None
        import shutil

        return shutil.get_terminal_size().columns

    @property
    def shows_progress(self) -> bool:
        """Whether someone watches stderr."""
        return not self.as_json and _is_terminal(sys.stderr)

    @property
    def interactive(self) -> bool:
        """Whether someone can be asked: a terminal on stdin and on stderr, and no document was wanted."""
        return not self.as_json and _is_terminal(sys.stdin) and _is_terminal(sys.stderr)

    def _wants_colour(self, stream: TextIO | None) -> bool:
        return _is_terminal(stream) if self._colour is None else self._colour

    def warn(self, message: str) -> None:
        """Something the user should know; said once."""
        if message in self.warnings:
            return
        self.warnings.append(message)
        if not self.as_json:
            self._say("warning", "yellow", message)

    def note(self, message: str) -> None:
        """Prose about the result; not said with `--json`."""
        if not self.as_json:
            self._write(sys.stderr, clean(message) + "\n")

    def ask(self, question: str) -> bool:
        """Ask on stderr whether to go on; anything but y or yes, and the end of the input, means no."""
        self._write(sys.stderr, f"{clean(question)} [y/N] ")
        try:
            answer = sys.stdin.readline()
        except (OSError, UnicodeError):  # the terminal is gone, or what was typed is no text
            answer = ""
        except KeyboardInterrupt:
            self._write(sys.stderr, "\n")
            raise
        if not answer.endswith("\n"):
            self._write(sys.stderr, "\n")
        return answer.strip().lower() in {"y", "yes"}

    def help(self, message: str) -> None:
        """The help text, where a command was needed."""
        self._write(sys.stderr, message.rstrip() + "\n")

    def detail(self, message: str) -> None:
        """Prose that only `--verbose` asks for."""
        if self.verbose:
            self._write(sys.stderr, clean(message) + "\n")

    def result(self, document: dict[str, Any], lines: Iterable[str]) -> None:
        """The one result of a run: the document with `--json`, else the lines."""
        if self.as_json:
            self._document({**document, "warnings": self.warnings})
        else:
            self._write(sys.stdout, "".join(f"{line}\n" for line in lines))

    def error(self, error: RegistryError) -> int:
        """Report why a run failed.

        Returns:
            The exit code.
        """
        return self.failure(error.kind, error.message, error.hint, error.exit_code)

    def failure(self, kind: str, message: str, hint: str, exit_code: int) -> int:
        """Report why a run failed, in words of its own."""
        if self.as_json:
            document: dict[str, Any] = {"error": error_json(kind, message, hint, exit_code)}
            self._document({**document, "warnings": self.warnings} if self.warnings else document)
        else:
            self._say("error", "red", message)
            if hint:
                self._say("hint", "dim", hint)
        return exit_code

    def _say(self, label: str, colour: str, message: str) -> None:
        first, *others = clean_lines(message) or [""]
        # Whoever states a reason states its line breaks: no line of it may pass for one of ours.
        text = "\n".join([first, *(line if line.startswith("  ") else f"  {line}" for line in others)])
        self._write(
            sys.stderr, f"{paint(f'{label}:', colour, enabled=self._wants_colour(sys.stderr))} {text}\n"
        )

    def _document(self, document: dict[str, Any]) -> None:
        unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        self._write(sys.stdout, json.dumps(document, ensure_ascii=not unicode, indent=2) + "\n")

    def _write(self, stream: TextIO | None, text: str) -> None:
        """Write all of a text now. A stream that was closed, or whose reader went away, is no error worth words."""
        if stream is None:  # whoever started the command closed it
            return
        for change in self.filters:
            text = change(text)
        try:
            try:
                stream.write(text)
            except UnicodeEncodeError:  # a terminal that is not UTF-8
                encoding = stream.encoding or "ascii"
                stream.write(text.encode(encoding, "replace").decode(encoding))
            stream.flush()
        except BrokenPipeError as e:
            _silence(stream)
            raise StopRun(BROKEN_PIPE) from e
        except OSError as e:  # such as a full disk behind a redirection
            _silence(stream)
            if stream is sys.stdout:  # a result is missing; words about it are not
                self._say("error", "red", f"the output cannot be written ({e.strerror or e})")
                raise StopRun(FAILED) from e


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; one that was closed is not."""
    return stream is not None and stream.isatty()


def _silence(stream: TextIO) -> None:
    """Let a stream that cannot be written lead nowhere, so that Python's last flush is quiet too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def error_json(kind: str, message: str, hint: str, exit_code: int) -> dict[str, Any]:
    """An error as the JSON outputs show it."""
    return {"kind": kind, "message": message, "hint": hint, "exitCode": exit_code}
