"""What GitHub Actions reads of a step: workflow commands, outputs and the job summary.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import re
import secrets
import sys
from typing import TYPE_CHECKING

from publisher.cli import env
from publisher.markdown import escape
from registry_client.cli.text import clean
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from registry_client.errors import RegistryError

_SUMMARY_LIMIT = 900_000  # bytes; GitHub takes 1 MiB a step
# `::name::` only where a line begins, but the older `##[name]` anywhere in it; a lone \r ends a line for the runner.
_COMMAND = re.compile(r"(?:^|(?<=\r))(\s*):(?=:)|#(?=#\[)", re.MULTILINE)
_SHORTEST_SECRET = 8


def defuse(text: str) -> str:
    """The text with no line that the runner would take for a command: publishers choose names and messages."""
    return _COMMAND.sub("\\g<0>\u200b", text)


def redactor(values: Iterable[str]) -> Callable[[str], str]:
    """A last net under what is printed: replaces secrets, and each line of those that have several."""
    pieces = {line.strip() for value in values for line in (value, *value.splitlines())}
    known = sorted((p for p in pieces if len(p) >= _SHORTEST_SECRET and not p.startswith("-----")), key=len)
    pattern = re.compile("|".join(re.escape(piece) for piece in reversed(known))) if known else None
    return lambda text: pattern.sub("***", text) if pattern else text


def error_command(error: RegistryError) -> str:
    """The workflow command that shows an error on the page of the run."""
    text = "\n".join(filter(None, (error.message, error.hint)))
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::error title={clean(error.kind)}::{escaped}"


def report(error: RegistryError) -> None:
    """Show an error on the page of the run: as an annotation, and in the summary."""
    redact = redactor(env.secrets())
    print(redact(error_command(error)), file=sys.stderr)  # noqa: T201  (the filters of `Output` would defuse it)
    lines = [line.strip() for text in (error.message, error.hint) for line in text.splitlines()]
    write_summary("\n\n".join([f"### Failed: {escape(error.kind)}", *map(escape, filter(None, lines))]))


def report_usage() -> None:
    """Say on the page of the run that the options are wrong; the log says which."""
    sys.stderr.write("::error title=Usage::The options of this step are wrong: its log says which.\n")
    write_summary("### Failed: Usage\n\nThe options of this step are wrong: its log says which.")


def write_outputs(values: Mapping[str, str | None]) -> None:
    """Give a step's outputs, where a runner asks for them. No value can end early and begin another output."""
    path = env.output_file()
    if path is None:
        return
    lines = []
    for name, value in values.items():
        end = f"end-{secrets.token_hex(16)}"
        lines.append(f"{name}<<{end}\n{value or ''}\n{end}\n")
    _append(path, "".join(lines))


def write_summary(markdown: str, path: Path | None = None) -> None:
    """Append to the job's summary, or to a file that was asked for instead.

    Args:
        markdown: what to show; what strangers wrote in it is escaped already.
        path: the file; by default the one that the runner names, if there is a runner.
    """
    target = path or env.summary_file()
    if target is not None:
        text, data = markdown, markdown.encode("utf-8", "replace")
        if len(data) > _SUMMARY_LIMIT:
            text = data[:_SUMMARY_LIMIT].decode(errors="ignore") + "\n\n… (cut)"
        _append(target, redactor(env.secrets())(text).rstrip() + "\n\n")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be written ({e.strerror})") from e
