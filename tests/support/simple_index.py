"""A Python package index on localhost: the simple API in JSON (PEP 691, 700), and the files it names."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class SimpleIndex:
    """An index.

    Attributes:
        url: base URL of its simple API, with a slash at the end.
        projects: entries of `files` by normalised name.
        files: bytes by file name, served below `/files/`.
        answers: whole answers for a path: status, headers and body, instead of the usual.
        seen: path and Accept header of each request.
    """

    url: str = ""
    projects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def add(self, project: str, filename: str, data: bytes, **changes: Any) -> dict[str, Any]:
        """Offer a file; `changes` replace what is said of it, or take it out where they are None."""
        self.files[filename] = data
        entry = {
            "filename": filename,
            "url": f"../../files/{filename}",
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
            "size": len(data),
            "yanked": False,
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        entry = {name: value for name, value in entry.items() if value is not None}
        self.projects.setdefault(project, []).append(entry)
        return entry

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path."""
        if path in self.answers:
            return self.answers[path]
        parts = path.strip("/").split("/")
        if parts[0] == "files" and parts[-1] in self.files:
            return 200, {"Content-Type": "application/octet-stream"}, self.files[parts[-1]]
        if parts[0] == "simple" and path.endswith("/") and parts[-1] in self.projects:
            page = {
                "meta": {"api-version": "1.1"},
                "name": parts[-1],
                "versions": [],
                "files": self.projects[parts[-1]],
            }
            return 200, {"Content-Type": JSON}, json.dumps(page).encode()
        return 404, {}, b"absent"


def wheel(name: str, version: str, *, files: dict[str, str] | None = None, headers: str = "") -> bytes:
    """A wheel's bytes."""
    escaped = name.replace("-", "_")
    info = f"{escaped}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\n"
    contents = {
        f"{escaped}/__init__.py": "",
        **(files or {}),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    index: ClassVar[SimpleIndex]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name it has in the base class)
        """Nothing on stderr."""

    def do_GET(self) -> None:
        """Answer, and note who asked for what."""
        path = urlsplit(self.path).path
        self.index.seen.append((path, self.headers.get("Accept", "")))
        status, headers, body = self.index.answer(path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def simple_index() -> Iterator[SimpleIndex]:
    """Serve an empty index; add to it while it runs."""
    index = SimpleIndex()
    handler = type("Handler", (_Handler,), {"index": index})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_port}/simple/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
