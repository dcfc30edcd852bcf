"""A static host in a process of its own, with latency and counters: `python -m benchmarks.server FOLDER SECONDS`.

It prints its port. `/-/take` gives what was counted since it was last asked, and counts nothing itself.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKE = "/-/take"


@dataclass
class Counted:
    """What clients used.

    Attributes:
        requests: how many.
        sent: bytes of their request lines and headers.
        heads: bytes of status lines and headers they received.
        bodies: bytes of bodies they received, as compressed.
    """

    requests: int = 0
    sent: int = 0
    heads: int = 0
    bodies: int = 0

    @property
    def received(self) -> int:
        """Bytes that clients received."""
        return self.heads + self.bodies


@lru_cache(maxsize=4096)
def _answer(path: Path) -> tuple[bytes, str]:
    """Compressed bytes and entity tag of a file; the files do not change while they are served."""
    data = path.read_bytes()
    return gzip.compress(data, 6, mtime=0), f'W/"{hashlib.sha256(data).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    raw_requestline: bytes

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == TAKE:
            self._write([("Content-Type", "application/json")], 200, json.dumps(self.server.take()).encode())
            return
        time.sleep(self.server.latency)
        request = len(self.raw_requestline) + sum(len(f"{k}: {v}\r\n") for k, v in self.headers.items()) + 2
        # The headers that raw hosting of Git repositories sends, so that their size is realistic.
        headers = [("Cache-Control", "max-age=300"), ("Content-Type", "text/plain; charset=utf-8")]
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            head, body = self._write(headers, 404, b"404: Not Found")
        else:
            data, etag = _answer(path)
            headers += [("ETag", etag), ("Vary", "Accept-Encoding")]
            if self.headers.get("If-None-Match") == etag:
                head, body = self._write(headers, 304, b"")
            else:
                head, body = self._write([*headers, ("Content-Encoding", "gzip")], 200, data)
        self.server.add(request, head, body)

    def _write(self, headers: list[tuple[str, str]], status: int, body: bytes) -> tuple[int, int]:
        """Send an answer. Returns the bytes of its head and of its body."""
        length = [] if status == 304 else [("Content-Length", str(len(body)))]
        lines = [f"HTTP/1.1 {status} {self.responses[status][0]}"]
        lines += [f"{name}: {value}" for name, value in (*headers, *length)]
        head = "\r\n".join([*lines, "", ""]).encode()
        self.connection.sendall(head + body)
        return len(head), len(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.latency = latency
        self._guard = threading.Lock()
        self._counted = Counted()

    def add(self, request: int, head: int, body: int) -> None:
        """Count one request."""
        with self._guard:
            self._counted.requests += 1
            self._counted.sent += request
            self._counted.heads += head
            self._counted.bodies += body

    def take(self) -> dict[str, int]:
        """What was counted since the last call."""
        with self._guard:
            counted, self._counted = self._counted, Counted()
        return vars(counted)


class Host:
    """The process, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url

    def take(self) -> Counted:
        """What was counted since the last call."""
        with urllib.request.urlopen(self.url + TAKE) as answer:
            return Counted(**json.load(answer))


@contextlib.contextmanager
def serve(folder: Path, latency: float) -> Iterator[Host]:
    """Serve a folder from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.server", str(folder), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Host(f"http://127.0.0.1:{int(line)}")
        finally:
            process.terminate()


def main() -> None:
    """Serve until terminated."""
    with _Server(Path(sys.argv[1]), float(sys.argv[2])) as server:
        print(server.server_port, flush=True)
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
