"""Git over real HTTP: `git http-backend` behind a small server that asks for a token, as a Git host does."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USER = "x-access-token"
_GIT = shutil.which("git") or "git"


@dataclass
class GitHost:
    """A Git host on a local port.

    Attributes:
        root: bare repositories stand below it.
        url: base URL, without a slash at the end.
        token: the password it asks for; empty lets everyone in.
        admits: decides instead, from the request's path with its query, and the password.
        redirect: base URL that it sends every request to, instead of answering.
        moved: gives the URL to which a path is sent; empty for those that are answered here.
        say: printed to whoever is let in or not, as hosts explain themselves; `{password}` is what was sent.
        requests: method and path of each request.
        passwords: passwords that came, once for each request with one.
    """

    root: Path
    url: str = ""
    token: str = ""
    admits: Callable[[str, str], bool] | None = None
    redirect: str = ""
    moved: Callable[[str], str] = lambda _: ""
    say: str = "no"
    requests: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)

    def lets_in(self, path: str, password: str) -> bool:
        """Whether a request is answered."""
        if self.admits is not None:
            return self.admits(path, password)
        return not self.token or password == self.token


class _Handler(BaseHTTPRequestHandler):
    host: ClassVar[GitHost]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name it has in the base class)
        """Nothing on stderr."""

    def do_GET(self) -> None:
        """Any request."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Any request with a body."""
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, body: bytes) -> None:
        host = self.host
        host.requests.append(f"{self.command} {self.path}")
        password = self._password()
        if password:
            host.passwords.append(password)
        elsewhere = host.redirect + self.path if host.redirect else host.moved(self.path)
        if elsewhere:
            self._send(302, {"Location": elsewhere}, b"")
        elif not host.lets_in(self.path, password):
            ask = {"WWW-Authenticate": 'Basic realm="git"', "Content-Type": "text/plain"}
            self._send(401, ask, host.say.format(password=password).encode())
        else:
            self._run(body)

    def _password(self) -> str:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        return base64.b64decode(value).decode().partition(":")[2]

    def _run(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        environ = {
            "PATH": os.defpath,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROJECT_ROOT": str(self.host.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": USER,
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            [_GIT, "http-backend"], input=body, capture_output=True, check=False, env=environ
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = (line.partition(": ")[::2] for line in head.decode().split("\r\n"))
        headers = dict(lines)
        status = int(headers.pop("Status", "200").split()[0])
        headers.pop("", None)
        self._send(status, headers, content)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def git_host(root: Path, *, token: str = "", redirect: str = "") -> Iterator[GitHost]:
    """Serve the bare repositories below a folder; arguments as for `GitHost`."""
    host = GitHost(root, token=token, redirect=redirect)
    handler = type("Handler", (_Handler,), {"host": host})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
