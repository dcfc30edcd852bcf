"""Git over HTTP with a password: `git http-backend` behind a small server that notes what it is sent."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class GitServer:
    """Serves the bare repositories of a folder. Use it in a `with` statement.

    Args:
        root: the folder.
        token: the password that every request must bring; empty for none.
        redirect: answer every request with a redirect to this base URL instead.
    """

    def __init__(self, root: Path, token: str = "", redirect: str = "") -> None:
        self.root, self.token, self.redirect = root, token, redirect
        self.authorizations: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = False
        self._server.owner = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        owner: GitServer = self.server.owner  # type: ignore[attr-defined]
        sent = self.headers.get("Authorization", "")
        owner.authorizations.append(sent)
        body = self._body()
        if owner.redirect:
            self._answer(302, [("Location", owner.redirect + self.path)], b"")
        elif owner.token and not _is_password(sent, owner.token):
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
        else:
            self._backend(owner, body)

    do_POST = do_GET  # noqa: N815  (the base class's name)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _backend(self, owner: GitServer, body: bytes) -> None:
        parts = urlsplit(self.path)
        given = {
            "GIT_PROJECT_ROOT": str(owner.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "someone",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **given},
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = [
            (name, value) for name, _, value in (line.partition(": ") for line in head.decode().split("\r\n"))
        ]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self._answer(status, [item for item in headers if item[0] != "Status"], rest)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _is_password(header: str, token: str) -> bool:
    kind, _, value = header.partition(" ")
    return kind == "Basic" and base64.b64decode(value).decode().partition(":")[2] == token
