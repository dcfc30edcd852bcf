"""The demo's world: a folder, the real commands as processes, Git, and a plain HTTP server as the raw host."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from demo.telling import Teller

_REPOSITORY = Path(__file__).resolve().parents[1]
_MODULES = {"publisher": "publisher.cli.main", "plugin": "registry_client.cli.main"}
_TIMEOUT = 120
_PERSON = {"NAME": "Demo", "EMAIL": "demo@example.org"}


class DemoError(Exception):
    """A step did not end as it should."""


class _Handler(SimpleHTTPRequestHandler):
    """`python -m http.server`, but silent."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing on stderr."""


class World:
    """Where everything happens. Use it in a `with` statement.

    Args:
        folder: an empty folder; commands run in it.
        teller: prints what is done.

    Attributes:
        served: the folder that the raw host serves now.
    """

    def __init__(self, folder: Path, teller: Teller) -> None:
        self.folder = folder
        self.tell = teller
        self.served = folder / "raw"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="raw-host", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, *arguments: Any) -> SimpleHTTPRequestHandler:
        return partial(_Handler, directory=str(self.served))(*arguments)

    @property
    def url(self) -> str:
        """The raw host's base URL: what `https://raw.githubusercontent.com/acme/registry/main` is on GitHub."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    # -- commands -----------------------------------------------------------------------------------------------

    def run(self, line: str, *, on: str = "", silent: bool = False) -> str:
        """Run a command, print it with what it says, and give its standard output.

        Args:
            line: the command as one would type it: publisher, plugin or git.
            on: which installation a `plugin` command runs on; each has a PLUGIN_REGISTRY_HOME of its own.
            silent: print nothing unless it fails.

        Raises:
            DemoError: it failed.
        """
        done = self._start(line, on, silent=silent)
        if not silent or done.returncode:
            self.tell.output(done.stdout + done.stderr)
        if done.returncode:
            raise DemoError(f"{line!r} failed with exit code {done.returncode}")
        return done.stdout

    def ask(self, line: str, *, on: str = "", expect: int = 0) -> dict[str, Any]:
        """Run a command with `--json` and give its document; prints the command alone.

        Raises:
            DemoError: it ended with another exit code than expected.
        """
        done = self._start(f"{line} --json", on)
        if done.returncode != expect:
            self.tell.output(done.stdout + done.stderr)
            raise DemoError(f"{line!r} ended with exit code {done.returncode}, not {expect}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def must_refuse(self, line: str, kind: str, exit_code: int, *, on: str = "") -> None:
        """Run a command that has to fail with this kind of error, and show how it does.

        Raises:
            DemoError: it did not fail, or for another reason.
        """
        document = self.ask(line, on=on, expect=exit_code)
        error = document.get("error", {})
        if error.get("kind") != kind:
            raise DemoError(f"{line!r} was to be refused as {kind}, but said {document}")
        self.show_refusal(error, exit_code)

    def show_refusal(self, error: dict[str, Any], exit_code: int) -> None:
        """Print an error as the JSON outputs carry it."""
        self.tell.refused(f"REFUSED, exit code {exit_code}, {error['kind']}: {error['message']}")
        if error.get("hint"):
            self.tell.output(f"hint: {error['hint']}")

    def _start(self, line: str, on: str, *, silent: bool = False) -> subprocess.CompletedProcess[str]:
        home = {"PLUGIN_REGISTRY_HOME": f"hosts/{on}"} if on else {}
        if not silent:
            self.tell.command(f"PLUGIN_REGISTRY_HOME=hosts/{on} {line}" if on else line)
        program, *arguments = shlex.split(line)
        command = [sys.executable, "-m", _MODULES[program]] if program in _MODULES else [program]
        return subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env={**self._environ(), **home},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )

    def _environ(self) -> dict[str, str]:
        """The person's environment without what would change the story: other registries, Git settings, proxies."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PLUGIN_REGISTRY_", "GIT_", "GITHUB_"))
            and not name.lower().endswith("_proxy")
        }
        path = os.pathsep.join(filter(None, (str(_REPOSITORY), kept.get("PYTHONPATH", ""))))
        who = {
            f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in _PERSON.items()
        }
        return {
            **kept,
            **who,
            "PYTHONPATH": path,
            "NO_COLOR": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PLUGIN_REGISTRY_URL": self.url,
            "PLUGIN_REGISTRY_ROOT": "hosts/root.json",
        }

    # -- the raw host -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def instead_served(self) -> Iterator[Path]:
        """A copy of what the raw host serves, served in its place: the host, or the way to it, is in other hands."""
        honest = self.served
        evil = self.folder / "evil"
        shutil.copytree(honest, evil, ignore=shutil.ignore_patterns(".git"))
        self.served = evil
        try:
            yield evil
        finally:
            self.served = honest
            shutil.rmtree(evil)
