"""The command that makes a plugin out of a template, and brings a plugin up to its template."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from publisher.answers import DATABASES, STYLES, TEMPLATES
from publisher.cli import env
from publisher.cli.common import JsonOption, emit, note, output
from registry_client.cli.text import counted
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from publisher.answers import Answers

_CONFLICTS = 1


def new(
    plugin_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The plugin's id; with --update, the plugin's folder.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template", metavar="|".join(TEMPLATES), help="Which kind of plugin; default: python."
        ),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", metavar="|".join(DATABASES), help="Which database it uses; default: none."),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="|".join(STYLES), help="What it starts from; default: basic."),
    ] = None,
    author: Annotated[str | None, typer.Option("--author", metavar="TEXT", help="Who writes it.")] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="TEXT", help="What people call it; default: made of the id."),
    ] = None,
    publisher: Annotated[
        str | None,
        typer.Option("--publisher", metavar="ID", help="Your publisher's id in the registry; default: acme."),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry", metavar="OWNER/REPO", help="The registry on GitHub; default: acme/plugin-registry."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where; default: a folder named as the id."),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Bring a plugin up to its template's newest version; your edits stay."),
    ] = False,
    template_source: Annotated[
        str | None,
        typer.Option(
            "--template-source",
            metavar="GIT",
            help="With --update: where the template's repository is, if not where the plugin says.",
        ),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", "--no-input", help="Ask nothing: what is not given has its default.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Make a plugin: manifest, code, tests, README and the workflow that publishes it.

    Asks for what is not given, if there is a terminal. All files are written, or none.
    """
    given = {
        "template": template, "db": db, "style": style, "author": author, "name": name, "publisher": publisher, "registry": registry,
    }  # fmt: skip
    if update:
        _update(
            plugin_id,
            folder,
            [option for option, value in given.items() if value is not None],
            template_source,
        )
        return
    if template_source is not None:
        raise ConfigError(
            "--template-source goes with --update",
            hint="New plugins are made from the templates in the package.",
        )
    _create({"id": plugin_id, **given}, folder, ask=not defaults and _is_terminal())


def _create(given: dict[str, str | None], folder: Path | None, *, ask: bool) -> None:
    from publisher.answers import Answers, check_answers
    from publisher.scaffold import create

    if given["id"] is None and not ask:
        raise ConfigError(
            "no ID was given, and there is no terminal to ask at",
            hint="publisher new ID, with any of --template, --db, --style, --author, --name, --publisher, --registry and --output.",
        )
    known = {option: value for option, value in given.items() if value is not None}
    if ask:
        _check_given(known)
        known |= _ask(known)
    answers = check_answers(Answers(**cast("dict[str, Any]", known)))
    target = folder if folder is not None else Path(answers.id)
    written = create(answers, target)
    lines = [
        f"{target}: a plugin of the template {answers.template}, {counted(len(written), 'file')}",
        *_next_steps(answers, target),
    ]
    emit(
        {"id": answers.id, "template": answers.template, "folder": str(target), "files": list(written)},
        "\n".join(lines),
    )


def _next_steps(answers: Answers, folder: Path) -> list[str]:
    test = "node --test" if answers.template == "remote-ui" else "python -m unittest discover -s tests"
    return [
        f"test it     cd {folder} && {test}",
        f"check it    publisher check {folder}",
        f"publish it  {folder / 'README.md'} says how",
    ]


def _update(plugin: str | None, folder: Path | None, given: list[str], source: str | None) -> None:
    from publisher.scaffold import update

    if given:
        raise ConfigError(
            f"--update and --{given[0]} exclude each other",
            hint="A plugin keeps the answers that it was made from.",
        )
    if plugin is not None and folder is not None:
        raise ConfigError("the plugin's folder was given twice", hint="publisher new --update DIR")
    where = Path(plugin) if plugin is not None else folder if folder is not None else Path()
    done = update(where, env.environ(), source)
    what = (
        f"{where}: at {done.after} already"
        if done.before == done.after
        else f"{where}: from {done.before} to {done.after}"
    )
    emit(
        {"folder": str(where), "before": done.before, "after": done.after, "conflicts": list(done.conflicts)},
        "\n".join([what, *(f"conflict    {path}" for path in done.conflicts)]),
    )
    if done.conflicts:
        note(
            "Both you and the template changed the same lines there: settle what stands between <<<<<<< and >>>>>>>, then commit."
        )
        raise typer.Exit(_CONFLICTS)


def _is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not output().as_json


def _check_given(known: dict[str, str]) -> None:
    """What was given is looked at before anything is asked. Raises ConfigError."""
    from publisher.answers import Answers, check_answers

    check_answers(Answers(**cast("dict[str, Any]", {"id": "plugin", **known})))


def _ask(known: dict[str, str]) -> dict[str, str]:
    """Ask for the rest."""
    from publisher.answers import Answers, check_choice, check_id, check_line

    default = Answers(known.get("id", "plugin"))
    questions: dict[str, tuple[str, str | None, Callable[[str], str]]] = {
        "id": ("ID of the plugin", None, check_id),
        "template": (
            "Kind of plugin",
            default.template,
            lambda text: check_choice(text, TEMPLATES, "Kind of plugin"),
        ),
        "db": ("Database", default.db, lambda text: check_choice(text, DATABASES, "Database")),
        "style": ("Start from", default.style, lambda text: check_choice(text, STYLES, "Start from")),
        "author": ("Author", default.author, lambda text: check_line(text, "Author")),
    }
    answered = {}
    for option, (text, value, check) in questions.items():
        if option not in known:
            answered[option] = typer.prompt(text, default=value, value_proc=_again(check), err=True)
    return answered


def _again(check: Callable[[str], str]) -> Callable[[str], str]:
    """A check whose failure makes the question be asked again."""

    def checked(text: str) -> str:
        try:
            return check(text)
        except ConfigError as e:
            raise typer.BadParameter(f"{e.message}. {e.hint}".strip()) from e

    return checked
