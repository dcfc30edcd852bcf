"""New plugins out of templates, and later versions of a template brought into them: the only module that uses copier.

The templates are data of this package, so that making a plugin needs no network. Updating one needs Git, and the template's
repository with its tags: copier renders the version that the plugin was made from and the newest one, and merges the difference.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import warnings
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publisher.answers import Answers, check_answers
from publisher.git_remote import Remote, git_environment
from registry_client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from types import ModuleType

SOURCE = "https://github.com/acme/plugin-registry.git"
"""Where `copier update` finds the templates: this project's repository, whose tags are `v<version>`."""
ANSWERS = ".copier-answers.yml"
_FOLDER = "publisher/templates"
_MAX_ANSWERS = 64 * 1024
_CONFLICT = re.compile(rb"^<{7} before updating\r?$", re.MULTILINE)
_ANSWERS_HINT = "Run it in the folder of a plugin that `publisher new` made, with its .copier-answers.yml."


@dataclass(frozen=True)
class Update:
    """What an update did.

    Attributes:
        before: the template's version that the plugin was at.
        after: the one that it is at now.
        conflicts: files with conflict markers, relative to the plugin's folder.
    """

    before: str
    after: str
    conflicts: tuple[str, ...]


def create(answers: Answers, folder: Path) -> tuple[str, ...]:
    """Make a plugin: all of its files, or none.

    Args:
        answers: what it is made from.
        folder: where; it may exist if it is empty.

    Returns:
        The files, relative to the folder, sorted.

    Raises:
        ConfigError: an answer is wrong, the folder is not empty or cannot be written, or copier is not installed.
    """
    answers = check_answers(answers)
    copier = _copier()
    _check_empty(folder)
    data = {
        field.name: getattr(answers, field.name) for field in fields(answers) if getattr(answers, field.name)
    }
    try:
        place = folder.resolve()  # "." has neither a name nor a folder that it is in
        place.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, so that a rename puts it into place.
        with tempfile.TemporaryDirectory(prefix=f".{place.name[:40]}-", dir=place.parent) as aside:
            made = Path(aside) / "plugin"
            with _templates() as source, _translated(copier, str(folder)):
                copier.run_copy(
                    str(source),
                    made,
                    data,
                    settings=_no_settings(),
                    defaults=True,
                    quiet=True,
                    unsafe=False,
                    vcs_ref=None,
                )
            _write_origin(made / ANSWERS)
            found = tuple(
                sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
            )
            _check_empty(folder)
            _move(made, place)
    except (OSError, RuntimeError) as e:  # RuntimeError: a loop of links, before Python 3.13
        raise ConfigError(
            f"{folder}: cannot be written ({getattr(e, 'strerror', None) or e})",
            hint="Choose another folder with --output.",
        ) from e
    return found


def update(folder: Path, environ: Mapping[str, str], source: str | None = None) -> Update:
    """Bring what has changed in the template since into a plugin, by a three-way merge.

    Args:
        folder: the plugin's; a clean Git work tree, or part of one.
        environ: the environment for Git.
        source: where the template's repository is, if not where the plugin says: any Git remote. The plugin goes on
            naming the one it names.

    Raises:
        ConfigError: the folder is no plugin of a template, has changes that are not committed, or the template cannot be read.
    """
    copier = _copier()
    answers = _read_answers(folder / ANSWERS)
    recorded, commit = answers.get("_src_path"), answers.get("_commit")
    # To Git, what begins with a hyphen is an option.
    if not isinstance(recorded, str) or not isinstance(commit, str) or commit.startswith("-"):
        raise ConfigError(f"{folder / ANSWERS}: names no template", hint=_ANSWERS_HINT)
    where = source or recorded
    env = _git_settings(where, recorded, environ)
    with _translated(copier, where), _plumbum_environment(env):
        copier.run_update(
            folder,
            settings=_no_settings(),
            defaults=True,
            skip_answered=True,
            overwrite=True,
            quiet=True,
            unsafe=False,
        )
    after = _read_answers(folder / ANSWERS)
    return Update(commit, str(after.get("_commit")), tuple(_conflicts(folder)))


def _move(made: Path, place: Path) -> None:
    """Put the plugin into its place, at once; into the folder that somebody is in, file by file: it cannot be another one."""
    if not Path.cwd().is_relative_to(place):
        if place.is_dir():
            place.rmdir()
        made.rename(place)
        return
    moved: list[Path] = []
    try:
        for entry in sorted(made.iterdir()):
            moved.append(entry.rename(place / entry.name))  # noqa: PERF401  (what was moved is moved back)
    except OSError:
        for path in moved:
            path.rename(made / path.name)
        raise


def _copier() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries about each other
            import copier  # noqa: PLC0415  (only authors have it)
    except ModuleNotFoundError as e:
        raise ConfigError(
            f"making plugins from templates needs {e.name}", hint="pip install 'plugin-registry[author]'"
        ) from e
    return copier


def _no_settings() -> Any:
    """Not a person's own settings, which may trust a template to run commands."""
    from copier import Settings  # noqa: PLC0415

    return Settings()


@contextlib.contextmanager
def _templates() -> Iterator[Path]:
    """The templates as copier finds them in this project's repository: the questions at the top, the rest in its folder."""
    with tempfile.TemporaryDirectory(prefix="plugin-templates-") as folder:
        top = Path(folder)
        _copy(files("publisher") / "templates", top / _FOLDER)
        (top / _FOLDER / "copier.yml").rename(top / "copier.yml")
        yield top


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.is_dir():
            _copy(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())


def _check_empty(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ConfigError(
            f"{folder}: exists already, and is no empty folder",
            hint="Choose another with --output; --update brings a plugin up to its template.",
        )


def template_version() -> str:
    """The tag of the templates in this package."""
    try:
        return f"v{version('plugin-registry')}"
    except PackageNotFoundError as e:
        raise ConfigError("plugin-registry is not installed, so its version is not known") from e


def _write_origin(path: Path) -> None:
    """Say where the template is found from now on: copier knows only the temporary folder that it came from."""
    import yaml  # noqa: PLC0415

    comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    answers = {**yaml.safe_load(path.read_text("utf-8")), "_commit": template_version(), "_src_path": SOURCE}
    text = yaml.safe_dump(answers, allow_unicode=True, sort_keys=True, width=1000)
    path.write_text("\n".join([*comments, text]), encoding="utf-8", newline="\n")


def _read_answers(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_ANSWERS + 1)
        if len(data) > _MAX_ANSWERS:
            raise ConfigError(f"{path}: more than {_MAX_ANSWERS} bytes")
        found = yaml.safe_load(data)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read ({e.strerror})", hint=_ANSWERS_HINT) from e
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise ConfigError(f"{path}: is not YAML", hint="Take it from the last commit.") from e
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: is no mapping", hint=_ANSWERS_HINT)
    return found


def _git_settings(where: str, recorded: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which copier runs Git: no questions, the token where it is needed, and no command as a remote."""
    remote = Remote.parse(str(Path(where).resolve()) if Path(where).is_dir() else where, environ)
    Remote.parse(recorded, environ)
    env = git_environment(environ, remote)
    number = int(env.get("GIT_CONFIG_COUNT") or 0)
    if where != recorded:
        # To Git alone the one stands for the other, so that the plugin's own record stays.
        env[f"GIT_CONFIG_KEY_{number}"] = f"url.{remote.url}.insteadOf"
        env[f"GIT_CONFIG_VALUE_{number}"] = recorded
        env["GIT_CONFIG_COUNT"] = str(number + 1)
    return env


@contextlib.contextmanager
def _plumbum_environment(env: Mapping[str, str]) -> Iterator[None]:
    """Give programs that copier starts this environment; this process keeps its own."""
    from plumbum.machines import local  # noqa: PLC0415  (what copier starts programs with)

    with local.env():
        local.env.clear()
        local.env.update(env)
        local.which("git")  # without it copier would take repositories for folders
        yield


@contextlib.contextmanager
def _translated(copier: ModuleType, where: str) -> Iterator[None]:
    """Errors of copier and of what it uses as ours; nothing of it is printed."""
    from plumbum import CommandNotFound, ProcessExecutionError  # noqa: PLC0415

    try:
        with warnings.catch_warnings(), open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
    except copier.errors.UnsafeTemplateError as e:
        raise ConfigError(
            f"{where}: this template would run commands of its own; templates are not trusted with that",
            hint="Use a template without tasks, migrations and extensions.",
        ) from e
    except CommandNotFound as e:
        raise ConfigError(f"{e.program}: not found, and it is needed here", hint="Install Git.") from e
    except ProcessExecutionError as e:
        lines = [line for line in str(e.stderr).splitlines() if line.strip()]
        reason = lines[-1] if lines else "no reason given"
        raise ConfigError(f"{where}: Git failed: {reason}", hint=_git_hint(str(e.stderr))) from e
    except Exception as e:
        first = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise ConfigError(f"{where}: {first[:500]}", hint=_hint(first)) from e


def _hint(message: str) -> str:
    if "dirty" in message:
        return "Commit your changes first: then the update can be looked at, and undone."
    if "git-tracked subprojects" in message:
        return "Put the plugin under Git and commit it first."
    if "Downgrades" in message:
        return "Install a newer plugin-registry, or name a newer --template-source."
    return ""


def _git_hint(stderr: str) -> str:
    if "invalid reference" in stderr or "unknown revision" in stderr.lower():
        return "The template's repository lacks the tag that .copier-answers.yml names as _commit."
    return "Name another place of the template's repository with --template-source."


def _conflicts(folder: Path) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {".git", "node_modules", ".venv"})
        for name in sorted(names):
            path = Path(top) / name
            with contextlib.suppress(OSError):  # what cannot be read was not written either
                if path.is_file() and not path.is_symlink() and _CONFLICT.search(path.read_bytes()):
                    yield path.relative_to(folder).as_posix()


__all__ = ["ANSWERS", "SOURCE", "Answers", "Update", "create", "template_version", "update"]
