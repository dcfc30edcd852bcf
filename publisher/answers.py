"""What a new plugin is made from: the answers that templates ask for, and what is wrong with them. Pure.

The questions in `publisher/templates/copier.yml` have the same rules, for those who use copier itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from publisher.github.names import is_repository_name
from registry_client.errors import ConfigError
from registry_client.names import check_plugin_id

TemplateName = Literal["python", "remote-ui", "wordpress"]
Database = Literal["none", "postgres", "mongo"]
Style = Literal["basic", "chat", "dashboard"]

TEMPLATES, DATABASES, STYLES = get_args(TemplateName), get_args(Database), get_args(Style)
_MAX_LINE = 200
# Global variables of browsers that a container of this name would break, or would be broken by: assigning `location` leaves the page.
_BROWSERS = frozenset({
    *("alert", "atob", "blur", "btoa", "caches", "close", "closed", "confirm", "console", "crypto", "document", "escape", "eval"),
    *("event", "external", "fetch", "find", "focus", "frames", "history", "length", "location", "menubar"),
    *("name", "navigation", "navigator", "open", "opener", "origin", "parent", "performance", "print", "prompt"),
    *("scheduler", "screen", "scroll", "scrollbars", "self", "status", "statusbar", "stop", "toolbar", "top", "undefined"),
    *("unescape", "window"),
})  # fmt: skip
_NOT_ONE_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Answers:
    """What a plugin is made from.

    Attributes:
        id: the plugin's id.
        template: which kind of plugin.
        db: which database it uses.
        style: what it starts from.
        author: who writes it: one line.
        name: what people call it: one line; "" makes it of the id.
        publisher: the publisher's id in the registry.
        registry: `OWNER/REPO` of the registry on GitHub.
    """

    id: str
    template: TemplateName = "python"
    db: Database = "none"
    style: Style = "basic"
    author: str = "Your Name"
    name: str = ""
    publisher: str = "acme"
    registry: str = "acme/plugin-registry"


def suggest_id(text: str) -> str:
    """An id that is like a text; "" where nothing is left of it."""
    plain = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-_")[:64].strip("-_")
    try:
        return check_plugin_id(plain)
    except ValueError:
        return f"{plain}-plugin" if plain else ""


def check_id(text: str) -> str:
    """Give a plugin's id back.

    Raises:
        ConfigError: it is none; the hint is one like it.
    """
    try:
        return check_plugin_id(text)
    except ValueError as e:
        like = suggest_id(text)
        raise ConfigError(
            f"ID: {e}", hint=f"For example {like}." if like else "For example my-plugin."
        ) from e


def check_line(text: str, option: str) -> str:
    """Give one line of text back, without space around it.

    Raises:
        ConfigError: empty, too long, or more than a line.
    """
    if not text.strip() or len(text) > _MAX_LINE or _NOT_ONE_LINE.search(text):
        raise ConfigError(
            f"{option}: expected one line of 1 to {_MAX_LINE} characters, got {text[:80]!r}",
            hint="Leave out line breaks and control characters.",
        )
    return text.strip()


def check_choice(text: str, known: tuple[str, ...], option: str) -> str:
    """Give a text back that is one of several.

    Raises:
        ConfigError: it is none of them.
    """
    if text not in known:
        raise ConfigError(f"{option}: expected {', '.join(known[:-1])} or {known[-1]}, got {text[:80]!r}")
    return text


def check_answers(answers: Answers) -> Answers:
    """Give answers back that a plugin can be made from.

    Raises:
        ConfigError: the first that is wrong, by its option.
    """
    check_id(answers.id)
    check_choice(answers.template, TEMPLATES, "--template")
    check_choice(answers.db, DATABASES, "--db")
    check_choice(answers.style, STYLES, "--style")
    author = check_line(answers.author, "--author")
    name = check_line(answers.name, "--name") if answers.name else ""
    try:
        check_plugin_id(answers.publisher)
    except ValueError as e:
        raise ConfigError(f"--publisher: {str(e).replace('plugin id', 'publisher id')}") from e
    if not is_repository_name(answers.registry):
        raise ConfigError(
            f"--registry: {answers.registry[:120]!r} is not OWNER/REPO", hint="For example acme/registry."
        )
    if (answers.template, answers.id) == ("wordpress", "uninstall"):
        raise ConfigError(
            "ID: uninstall.php has a meaning of its own in WordPress", hint="For example uninstall-plugin."
        )
    container = answers.id.replace("-", "").replace("_", "")
    if answers.template == "remote-ui" and container in _BROWSERS:
        raise ConfigError(
            f"ID: the host finds this plugin as the global variable {container!r}, which browsers have already",
            hint=f"For example {answers.id}-plugin.",
        )
    return replace(answers, author=author, name=name)
