"""A raw file host with faults: what such hosts do on a good day, and what any host does on a bad one.

`FaultServer` serves a folder, or whatever a function gives, over real HTTP on 127.0.0.1. It counts requests
and bytes, and breaks its answers in the ways that `Fault` names.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

Read = Callable[[str], bytes | None]
EVERY_PATH = "*"
_ABSENT = b"404: Not Found"
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What goes wrong with an answer. Several may be combined.

    Attributes:
        status: answer with this status code and a short body, or with `body`.
        headers: further headers, such as Retry-After, or ones that replace the usual.
        redirect: answer 302 to this URL.
        body: send this body instead of the file.
        pad: send this many bytes more than the file has, all of them announced.
        unannounced: send this many bytes after the announced end of the body.
        no_length: announce no length; the end of the connection ends the body.
        truncate: announce the whole body, send this many bytes of it, and close.
        gzip_short: answer gzip whose Content-Length ends within the compressed bytes.
        drip: seconds to wait after each byte of the body.
        drip_headers: the same for the headers.
        hang: seconds to wait before answering.
        whole: send the whole body to who asks for a part of it.
        reset: end with a TCP reset, after `truncate` bytes of the body or before the first byte.
        times: how many requests it hits; None for all.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    redirect: str | None = None
    body: bytes | None = None
    pad: int = 0
    unannounced: int = 0
    no_length: bool = False
    truncate: int | None = None
    gzip_short: bool = False
    drip: float = 0.0
    drip_headers: float = 0.0
    hang: float = 0.0
    whole: bool = False
    reset: bool = False
    times: int | None = None


@dataclass(frozen=True)
class Seen:
    """One request that arrived: its path with query, and its headers with lower-case names."""

    path: str
    headers: Mapping[str, str]


_NO_FAULT = Fault()


def read_folder(folder: Path) -> Read:
    """Regular files below `folder`; no path leaves it."""
    top = folder.resolve()

    def read(path: str) -> bytes | None:
        full = (top / path).resolve()
        return full.read_bytes() if full.is_relative_to(top) and full.is_file() else None

    return read


@lru_cache(maxsize=512)
def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


class FaultServer:
    """A threaded HTTP server on a free port of 127.0.0.1. Use it in a `with` statement.

    Args:
        source: a folder, or a function that gives the bytes of a path (without the leading `/`) or None.
            The attribute may be replaced while serving.
        latency: seconds to wait before each answer.
        tls: serve https with this context.

    Attributes:
        wants: the Authorization header that every request must carry; None where anybody may ask.
    """

    def __init__(
        self, source: Path | Read, *, latency: float = 0.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.source: Read = read_folder(source) if isinstance(source, Path) else source
        self.latency = latency
        self.wants: str | None = None
        self.stopping = threading.Event()
        self._guard = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._seen: list[Seen] = []
        self._bytes = 0
        self._errors: list[BaseException] = []
        self._server = _Server(self, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="fault-server"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._errors:
            raise self._errors[0]

    def close(self) -> None:
        """Stop answering, end what hangs, and wait for every thread."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.drop_connections()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"{self._server.scheme}://127.0.0.1:{self.port}"

    # -- faults --------------------------------------------------------------------------------

    def fail(self, path: str, fault: Fault) -> None:
        """Break the answers for a path (no leading `/`), or for `EVERY_PATH` without a fault of its own."""
        with self._guard:
            self._faults[path] = fault

    def heal(self, path: str | None = None) -> None:
        """Answer a path properly again, or all of them."""
        with self._guard:
            if path is None:
                self._faults.clear()
            else:
                self._faults.pop(path, None)

    def take_fault(self, path: str) -> Fault:
        """The fault that hits this request."""
        with self._guard:
            key = path if path in self._faults else EVERY_PATH
            fault = self._faults.get(key, _NO_FAULT)
            if fault.times is not None:
                if fault.times > 1:
                    self._faults[key] = replace(fault, times=fault.times - 1)
                else:
                    del self._faults[key]
            return fault

    # -- figures --------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """How many requests arrived since the last `reset_counters`."""
        with self._guard:
            return len(self._seen)

    @property
    def bytes_sent(self) -> int:
        """Bytes of headers and bodies handed to the network since the last `reset_counters`."""
        with self._guard:
            return self._bytes

    @property
    def seen(self) -> list[Seen]:
        """The requests, in order of arrival."""
        with self._guard:
            return list(self._seen)

    @property
    def paths(self) -> list[str]:
        """Paths of the requests, without the leading `/` and the query."""
        return [unquote(urlsplit(seen.path).path).lstrip("/") for seen in self.seen]

    def reset_counters(self) -> None:
        """Start counting from zero."""
        with self._guard:
            self._seen.clear()
            self._bytes = 0

    def note_request(self, seen: Seen) -> None:
        """Count a request."""
        with self._guard:
            self._seen.append(seen)

    def note_bytes(self, count: int) -> None:
        """Count bytes."""
        with self._guard:
            self._bytes += count

    def note_error(self, error: BaseException) -> None:
        """Keep an error of a handler, to be raised when the server is left."""
        self._errors.append(error)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    block_on_close = True
    request_queue_size = 128

    def __init__(self, owner: FaultServer, tls: ssl.SSLContext | None) -> None:
        self.owner = owner
        self._guard = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.scheme = "https" if tls else "http"
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        if isinstance(request, socket.socket):
            with self._guard:
                self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            with self._guard:
                self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Wake threads that wait on a connection."""
        with self._guard:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  (the base class's)
        error = sys.exc_info()[1]
        if error is not None and not isinstance(
            error, OSError
        ):  # a client that went away is no error of ours
            self.owner.note_error(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        owner = self.server.owner
        path = unquote(urlsplit(self.path).path).lstrip("/")
        owner.note_request(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}))
        fault = owner.take_fault(path)
        if owner.stopping.wait(owner.latency + fault.hang):
            self.close_connection = True
            return
        if fault.reset and fault.truncate is None:
            self._reset()
            return
        self._answer(path, fault)

    def _answer(self, path: str, fault: Fault) -> None:
        """Decide on status, headers and body, then send them."""
        data = self.server.owner.source(path) if fault.body is None else fault.body
        headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "max-age=300"}
        wants = self.server.owner.wants
        if wants is not None and self.headers.get("Authorization") != wants:
            self._send(401, {**headers, "WWW-Authenticate": "Bearer"}, b"who asks?", fault)
        elif fault.redirect is not None:
            self._send(fault.status or 302, {**headers, "Location": fault.redirect}, b"", fault)
        elif fault.status is not None:
            self._send(fault.status, headers, fault.body or f"{fault.status}: fault".encode(), fault)
        elif data is None:
            self._send(404, headers, _ABSENT, fault)
        else:
            data += b"\n" * fault.pad
            headers["ETag"] = f'W/"{hashlib.sha256(data).hexdigest()}"'
            if self.headers.get("If-None-Match") == headers["ETag"]:
                self._send(304, headers, b"", fault)
                return
            if fault.gzip_short or (
                "gzip" in self.headers.get("Accept-Encoding", "") and "Content-Encoding" not in fault.headers
            ):
                data = _compressed(data)
                headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            elif not fault.whole and self._send_part(headers, data, fault):
                return
            self._send(200, headers, data, fault)

    def _send_part(self, headers: dict[str, str], data: bytes, fault: Fault) -> bool:
        """Answer a request for the rest of a file (RFC 9110 14.2); False if this is none."""
        asked = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        if asked is None:
            return False
        start, size = int(asked[1]), len(data)
        if start >= size:
            self._send(416, {**headers, "Content-Range": f"bytes */{size}"}, b"", fault)
        else:
            self._send(
                206, {**headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"}, data[start:], fault
            )
        return True

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        announced = len(body) // 2 if fault.gzip_short else len(body)
        if status != HTTPStatus.NOT_MODIFIED and not fault.no_length:
            headers["Content-Length"] = str(announced)
        body = body[:announced] if fault.truncate is None else body[: fault.truncate]
        body += b"\n" * fault.unannounced
        if fault.no_length or fault.truncate is not None:
            self.close_connection = True
        reason = HTTPStatus(status).phrase
        lines = [
            f"HTTP/1.1 {status} {reason}",
            *(f"{k}: {v}" for k, v in {**headers, **fault.headers}.items()),
        ]
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if fault.drip or fault.drip_headers:
            self._drip(head, fault.drip_headers)
            self._drip(body, fault.drip)
        else:
            self._write(head + body[:_PIECE])
            self._write(memoryview(body)[_PIECE:])
        if fault.reset:
            self._reset()

    def _drip(self, data: bytes, pause: float) -> None:
        if not pause:
            self._write(data)
            return
        for number in range(len(data)):
            self._write(data[number : number + 1])
            if self.server.owner.stopping.wait(pause):
                self.close_connection = True
                return

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while (
            view
        ):  # piece by piece, so that what was sent before the client left is counted and nothing else
            piece = view[:_PIECE]
            self.connection.sendall(piece)
            self.server.owner.note_bytes(len(piece))
            view = view[_PIECE:]

    def _reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
