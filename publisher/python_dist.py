"""Wheels and sdists of Python plugins, built by the project's own backend through PyPA's `build`.

The build runs as `python -m build` in a process of its own: what a plugin's build, or what it depends on, does on
the way, it does without the keys and tokens that publishing needs. That is a precaution, not a sandbox: whoever builds a
project runs its code.
Nothing here decides what goes into the file; it is looked at only for its version and for secrets.
"""

from __future__ import annotations

import copy
import gzip
import importlib.util
import io
import re
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from publisher.process import run_program
from publisher.secret_files import secret_problem
from registry_client.errors import ConfigError, PublishError
from registry_client.models.manifest import MAX_ARTIFACT_SIZE
from registry_client.names import check_file_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal["wheel", "sdist"]
VERSION_VARIABLE = "PLUGIN_VERSION"
# The second day of 1980: in no time zone before the oldest time that ZIP can say.
EPOCH_SECONDS = 315_619_200
_TIMEOUT_SECONDS = 1800
_LAST_LINES = 15
_SUFFIX: dict[Kind, str] = {"wheel": ".whl", "sdist": ".tar.gz"}
_PROJECT_FILES = ("pyproject.toml", "setup.py")
# By name, wherever it stands: NPM_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL, PGPASSWORD. Short words only as words: MONKEY is no key.
_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(?:^|_)(?:API)?(?:KEYS?|PAT|AUTH)(?:_|$)|_PWD$|_PASS$"
    # Git's own settings may hold a header with a token, and mean nothing without each other.
    r"|^PLUGIN_REGISTRY_|^GIT_(?:CONFIG_(?:COUNT|KEY_|VALUE_|PARAMETERS)|ASKPASS)|^SSH_ASKPASS"
    # What is written there reaches the later steps of a job, which have the secrets.
    r"|^GITHUB_(?:ENV|PATH|OUTPUT|STATE|STEP_SUMMARY)$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|[a-z][a-z0-9+.-]*://[^\s/@]*:[^\s/@]+@", re.IGNORECASE
)
# Credentials for the package index that build requirements come from, and for the proxy on the way there.
_INDEX = re.compile(r"PIP_|UV_(?:DEFAULT_|EXTRA_)?INDEX(?:_|$)|(?:HTTPS?|ALL)_PROXY$", re.IGNORECASE)
# Where `build` itself was when a program that it ran failed: of no use to an author, and long.
_FRAMES = re.compile(
    r"^Traceback [^\n]*\n  File \"[^\n]*[/\\]build[/\\]__main__\.py\"[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE
)


def build_environment(environ: Mapping[str, str], version: str) -> dict[str, str]:
    """The environment of a build: without secrets, with the version and a fixed time.

    Args:
        environ: the environment of whoever builds.
        version: goes into `PLUGIN_VERSION`, for projects that take it from there.
    """
    kept = {name: value for name, value in environ.items() if not _is_secret(name, value)}
    kept.pop("FORCE_COLOR", None)
    return {**kept, "NO_COLOR": "1", "SOURCE_DATE_EPOCH": str(EPOCH_SECONDS), VERSION_VARIABLE: version}


def project_problem(folder: Path) -> str | None:
    """Why a folder is nothing to build; None if it may be."""
    if any((folder / name).is_file() for name in _PROJECT_FILES):
        return None
    return f"{folder} holds no {' or '.join(_PROJECT_FILES)}, so there is nothing to build"


class Builder:
    """Builds Python projects.

    Args:
        environ: the environment; its secrets are not kept.
        isolated: install what the project's build requires into an environment of its own; otherwise it has to
            be installed where this runs, and nothing is fetched.
    """

    def __init__(self, environ: Mapping[str, str], *, isolated: bool = True) -> None:
        self._environ = build_environment(environ, "")
        self._isolated = isolated

    def build(self, folder: Path, kind: Kind, version: str) -> tuple[str, bytes]:
        """Build one file.

        A wheel is made from the sdist, as `python -m build` does: what an earlier build left in the folder does
        not get into it.

        Args:
            folder: the project's folder.
            kind: `wheel` or `sdist`.
            version: what it must turn out to be.

        Returns:
            The file's name, which is the one that Python's tools expect, and its bytes.

        Raises:
            ConfigError: `build` is not installed, or the folder holds no project.
            PublishError: the build fails, makes another version, or a file that cannot be published.
        """
        problem = project_problem(folder)
        if problem:
            raise ConfigError(
                problem, hint="Add a pyproject.toml, or pack the folder with 'pack' instead of 'build'."
            )
        if importlib.util.find_spec("build") is None:
            raise ConfigError(
                "building a wheel or an sdist needs the package 'build'",
                hint="pip install 'plugin-registry[author]'",
            )
        with tempfile.TemporaryDirectory(prefix="plugin-build-") as place:
            out = Path(place)
            self._run(folder, kind, version, out)
            name, data = _built(out, kind, folder)
        _check_version(name, kind, version)
        if kind == "sdist":
            data = _normalised(name, data)
        found = [secret_problem(path, content) for path, content in _contents(name, data, kind)]
        problems = [problem for problem in found if problem]
        if problems:
            raise PublishError(
                f"{name}: cannot be published" + "".join(f"\n  {problem}" for problem in problems),
                hint="Say in pyproject.toml which files the build leaves out.",
            )
        return name, data

    def _run(self, folder: Path, kind: Kind, version: str, out: Path) -> None:
        command = [sys.executable, "-P", "-m", "build", "--outdir", str(out)]
        command += ["--sdist"] if kind == "sdist" else []
        command += [] if self._isolated else ["--no-isolation"]
        done = run_program(
            [*command, str(folder.resolve())],
            folder=out,
            environ={**self._environ, VERSION_VARIABLE: version},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        if done.code:
            output = _FRAMES.sub("", done.output)
            lines = [line.rstrip() for line in output.splitlines() if line.strip()]
            shown = "".join(f"\n  {line}" for line in lines[-_LAST_LINES:])
            raise PublishError(
                f"{folder}: the {kind} cannot be built (exit code {done.code}){shown}", hint=self._hint()
            )

    def _hint(self) -> str:
        if self._isolated:
            return (
                "See the whole output with 'python -m build'. Where the package index cannot be reached, install what "
                "[build-system] requires, and give --no-isolation."
            )
        return (
            "See the whole output with 'python -m build --no-isolation'. Install what [build-system] requires, or leave "
            "--no-isolation out."
        )


def _is_secret(name: str, value: str) -> bool:
    if _INDEX.match(name):
        return "PRIVATE KEY" in value
    return _SECRET_NAME.search(name) is not None or _SECRET_VALUE.search(value) is not None


def _built(out: Path, kind: Kind, folder: Path) -> tuple[str, bytes]:
    """The one file of this kind that the build made."""
    found = sorted(path for path in out.iterdir() if path.name.endswith(_SUFFIX[kind]))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise PublishError(f"{folder}: expected one {kind} of the build, found {names}")
    (path,) = found
    try:
        size = path.stat().st_size
        if not 1 <= size <= MAX_ARTIFACT_SIZE:
            raise PublishError(f"{path.name}: {size} bytes; an artifact has 1 to {MAX_ARTIFACT_SIZE}")
        return check_file_name(path.name), path.read_bytes()
    except OSError as e:
        raise PublishError(f"{path.name}: cannot be read ({e.strerror})") from e
    except ValueError as e:
        raise PublishError(f"{path.name}: {e}") from e


def _check_version(name: str, kind: Kind, version: str) -> None:
    """Hold that the file is the version that is published, as PEP 440 compares them: 1.0.0-rc.1 is 1.0.0rc1.

    Raises:
        PublishError: it is another.
    """
    try:
        built = parse_wheel_filename(name)[1] if kind == "wheel" else parse_sdist_filename(name)[1]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as e:
        raise PublishError(f"{name}: is no name of a {kind}: {e}", hint="Use another build backend.") from e
    if built != Version(version):
        raise PublishError(
            f"{name}: the build made version {built}, but {version} is to be published",
            hint=f"Set the version of the project to {version}; or let the project take it from the environment variable "
            f'{VERSION_VARIABLE}, which is set while it is built (hatchling: dynamic = ["version"], and '
            f'[tool.hatch.version] source = "env", variable = "{VERSION_VARIABLE}").',
        )


def _normalised(name: str, data: bytes) -> bytes:
    """An sdist without the times, owners and order that some backends take from the machine."""
    out = io.BytesIO()
    try:
        with (
            tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as old,
            tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member in map(copy.copy, sorted(old.getmembers(), key=lambda member: member.name)):
                # A hard link could come before what it links to, in the new order: it becomes the file.
                content = old.extractfile(member) if member.isfile() or member.islnk() else None
                if content is not None and member.islnk():
                    member.type, member.linkname = tarfile.REGTYPE, ""
                    member.size = content.seek(0, io.SEEK_END)
                    content.seek(0)
                member.mtime, member.pax_headers = EPOCH_SECONDS, {}
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                new.addfile(member, content)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, LookupError) as e:
        raise PublishError(f"{name}: the build made no readable sdist: {e}") from e
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(out.getvalue())
    return packed.getvalue()


def _contents(name: str, data: bytes, kind: Kind) -> Iterator[tuple[str, bytes]]:
    """The files in a wheel or an sdist."""
    try:
        if kind == "wheel":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        yield entry.filename, archive.read(entry)
        else:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is not None:
                        yield member.name, content.read()
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        RuntimeError,
    ) as e:
        raise PublishError(f"{name}: the build made no readable {kind}: {e}") from e


__all__ = ["EPOCH_SECONDS", "VERSION_VARIABLE", "Builder", "Kind", "build_environment", "project_problem"]
