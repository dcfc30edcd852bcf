"""`plugin search`, and a way to it and to `plugin info` that needs no option parser.

People search interactively, and what was verified a minute ago is read from disk in milliseconds; typer
(with pydantic, which it imports to convert arguments) takes many times as long to import. So the plain form
of these commands is recognised here. Anything else goes to typer, which understands the same form in the same
way: the tests hold the two together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from registry_client.cli import text
from registry_client.cli.fresh import search_fresh, source_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry_client.catalogue import CatalogueEntry
    from registry_client.cli.output import Output
    from registry_client.cli.state import State

_WITH_VALUE = {"--project", "--registry", "--root", "--mirror"}


def parse_plain(arguments: Sequence[str], state: State, command: str = "search") -> list[str] | None:
    """The words of `[OPTION…] COMMAND [TEXT…] [--json]`, the options being those that say which registry to read.

    None for any other form. Sets the options in `state` if it is that form.
    """
    values: dict[str, list[str]] = {}
    flags: set[str] = set()
    rest = list(arguments)
    while rest and rest[0] != command:
        option = rest.pop(0)
        if option in _WITH_VALUE and rest and not rest[0].startswith("-"):
            values.setdefault(option, []).append(rest.pop(0))
        elif option in {"--allow-dev-keys", "--json"}:
            flags.add(option)
        else:
            return None
    words = [word for word in rest[1:] if word != "--json"]
    if not rest or any(word.startswith("-") for word in words):
        return None
    state.project_option = Path(values["--project"][-1]) if "--project" in values else None
    state.registry = values.get("--registry", [""])[-1]
    state.root = Path(values["--root"][-1]) if "--root" in values else None
    state.mirrors = tuple(values.get("--mirror", ()))
    state.allow_dev_keys = "--allow-dev-keys" in flags
    return words


def run_search(state: State, words: Sequence[str]) -> None:
    """Search the catalogue and print what is found."""
    wanted = " ".join(words)
    source = None if state.output.verbose else source_of(state)
    entries = search_fresh(source, wanted) if source is not None else None
    if source is not None and entries is not None:
        _show(state.output, source.urls[0], wanted, entries)
        return
    client = state.client()
    _show(state.output, client.session.urls[0], wanted, client.search(wanted))
    state.used(client)


def _show(output: Output, url: str, wanted: str, entries: list[CatalogueEntry]) -> None:
    colour = output.coloured
    rows = (
        (
            text.paint(text.clean(entry.id), "bold", enabled=colour),
            text.clean(entry.version),
            text.clean(f"[deprecated: {entry.deprecated}] " if entry.deprecated else "")
            + text.clean(f"{entry.name} - {entry.description}" if entry.description else entry.name),
        )
        for entry in entries
    )
    found = [entry.to_json() for entry in entries] if output.as_json else []
    lines = [] if output.as_json else text.table(rows, width=output.width)
    output.result({"registry": url, "plugins": found}, lines)
    if entries:
        output.note(text.counted(len(entries), "plugin"))
    else:
        output.note(f"no plugin has {wanted!r} in its catalogue line" if wanted else "the catalogue is empty")
