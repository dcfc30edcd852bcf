"""A host behind a slow link, in a process of its own: `python -m benchmarks.server JSON` prints its port and serves.

Each request takes one round trip, and so does each new connection before its first request, as TCP has it. All connections share one link.
What clients use is counted. What stands below `/-/` is for the benchmark itself: not counted, and at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import deque
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from benchmarks.sources import File, Files, Layer, run_git
from benchmarks.usage import Log

_PIECE = 16 * 1024
_SLACK = 0.0005
_DRIP = 0.2
# The headers that raw hosting of Git repositories sends, so that their size is realistic.
_HEADERS = (
    "Cache-Control: max-age=300\r\nX-Content-Type-Options: nosniff\r\nAccess-Control-Allow-Origin: *\r\n"
)
_PLAIN, _PAGE = "Content-Type: text/plain; charset=utf-8\r\n", "Content-Type: text/html; charset=utf-8\r\n"


class Link:
    """What all connections share: a delay and a rate. They take turns, a piece of 16 KiB each.

    Args:
        latency: seconds of a round trip.
        rate: bytes a second; 0 for no bound.
    """

    def __init__(self, latency: float, rate: float) -> None:
        self.latency = latency
        self._seconds = 1 / rate if rate else 0.0
        self._free = 0.0
        self._waiting: deque[tuple[Connection, memoryview, float]] = deque()
        self._running = False

    def send(self, connection: Connection, data: bytes, at: float) -> None:
        """Send an answer, whose first byte may leave at a time of the event loop."""
        asyncio.get_running_loop().call_at(at, self._enqueue, connection, memoryview(data), at)

    def _enqueue(self, connection: Connection, data: memoryview, at: float) -> None:
        self._waiting.append((connection, data, at))
        if not self._running:
            self._pump()

    def _pump(self) -> None:
        """Send what is due. Timers come late by up to a millisecond; what they missed is caught up with."""
        loop = asyncio.get_running_loop()
        self._running = False
        while self._waiting:
            connection, data, at = self._waiting[0]
            piece = data[:_PIECE]
            done = max(self._free, at) + len(piece) * self._seconds
            if done > loop.time() + _SLACK:
                self._running = True
                loop.call_at(done, self._pump)
                return
            self._free = done
            self._waiting.popleft()
            connection.write(piece, last=len(data) <= _PIECE)
            if len(data) > _PIECE:
                self._waiting.append((connection, data[_PIECE:], at))


class Site:
    """What is served, and how.

    Args:
        description: what `benchmarks.serving.serve` was asked for.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        layers = {name: Layer(**layer) for name, layer in description["layers"].items()}
        self.files = Files(layers, description["order"])
        self.git: str = description["git"]
        self.behaviour = "well"
        self.link = Link(description["latency"], description["rate"])
        self.log = Log()

    def control(self, path: str) -> bytes:
        """Do what the benchmark asks for."""
        what, _, rest = path.removeprefix("/-/").partition("/")
        if what == "use":
            self.files.use(rest.split(","))
        if what == "behave":
            self.behaviour = rest
        return json.dumps(self.log.take()).encode()


class Connection(asyncio.Protocol):
    """One connection of a client. One request at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._buffer = b""
        self._busy = False
        self._fresh = True
        self._transport: asyncio.Transport | None = None
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """It is gone."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """It sent something."""
        self._buffer += data
        if not self._busy:
            self._next()

    def write(self, data: bytes | memoryview, *, last: bool) -> None:
        """Send a piece of an answer."""
        if self._transport is not None:
            self._transport.write(data)
        if last:
            self._site.log.end(self._number, asyncio.get_running_loop().time())
            self._busy = False
            self._next()

    def _next(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._busy = True
        method, target, _ = line.split(" ", 2)
        if target.startswith("/-/"):
            body = self._site.control(target)
            self._write_now(_head(HTTPStatus.OK, "", len(body)) + body)
            return
        self._request(method, target, headers, rest[:length], len(head) + 4 + length)

    def _write_now(self, data: bytes) -> None:
        self._busy = False
        if self._transport is not None:
            self._transport.write(data)
        self._next()

    def _request(self, method: str, target: str, headers: dict[str, str], body: bytes, sent: int) -> None:
        now = asyncio.get_running_loop().time()
        trips = 2 if self._fresh else 1
        self._number = self._site.log.begin(now, sent, fresh=self._fresh)
        self._fresh = False
        at = now + trips * self._site.link.latency
        if self._site.behaviour == "silent":
            return
        if self._site.git and target.startswith("/git/"):
            task = asyncio.get_running_loop().create_task(self._git(method, target, headers, body, at))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        path = unquote(target.partition("?")[0].lstrip("/"))
        kind = _PAGE if path.endswith("/") else _PLAIN
        self._answer(*_answer(self._site.files.read(path), kind, headers), at)

    def _answer(self, head: bytes, body: bytes, at: float) -> None:
        self._site.log.answered(self._number, len(head), len(body))
        if self._site.behaviour == "drip":
            self._drip(head + body)
        else:
            self._site.link.send(self, head + body, at)

    def _drip(self, data: bytes) -> None:
        self.write(data[:1], last=len(data) == 1)
        if len(data) > 1 and self._transport is not None:
            asyncio.get_running_loop().call_later(_DRIP, self._drip, data[1:])

    async def _git(self, method: str, target: str, headers: dict[str, str], body: bytes, at: float) -> None:
        status, fields, answer = await run_git(self._site.git, method, target, headers, body)
        self._answer(
            f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(answer)}\r\n\r\n".encode(), answer, at
        )


def _answer(file: File | None, kind: str, headers: dict[str, str]) -> tuple[bytes, bytes]:
    """Head and body of an answer."""
    if file is None:
        body = b"404: Not Found"
        return _head(HTTPStatus.NOT_FOUND, _HEADERS + _PLAIN, len(body)), body
    fields = f"{_HEADERS}{kind}ETag: {file.etag}\r\nVary: Accept-Encoding\r\n"
    if headers.get("if-none-match") == file.etag:
        return f"HTTP/1.1 304 Not Modified\r\n{fields}\r\n".encode(), b""
    if file.packed is not None and "gzip" in headers.get("accept-encoding", ""):
        return _head(HTTPStatus.OK, f"{fields}Content-Encoding: gzip\r\n", len(file.packed)), file.packed
    return _head(HTTPStatus.OK, fields, len(file.data)), file.data


def _head(status: HTTPStatus, fields: str, length: int) -> bytes:
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{fields}Content-Length: {length}\r\n\r\n".encode()


async def _serve(description: dict[str, Any]) -> None:
    site = Site(description)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(site), "127.0.0.1", 0, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until terminated."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
