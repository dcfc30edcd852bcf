"""An S3 server that honours the conditions of writes (moto), over HTTP, with faults on order."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from requests import Response

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "fake-secret-that-nothing-may-print",
    "AWS_REGION": "us-east-1",
}


@dataclass
class Request:
    """What a request asked for."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def writes(self) -> bool:
        """Whether it puts an object."""
        return self.method == "PUT"


@dataclass
class S3:
    """The server.

    Attributes:
        url: its endpoint.
        requests: what was asked for, in order, since they were last cleared.
        fault: looks at each request before it is answered; what it returns is the status to answer instead of doing it; it may also sleep.
        lost: whether a request is carried out and the answer to it is an error all the same.
        deaf: whether conditions of writes are ignored.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    fault: Callable[[Request], int | None] = lambda _: None
    lost: Callable[[Request], bool] = lambda _: False
    deaf: bool = False

    def make_bucket(self) -> str:
        """A new bucket, which anybody may read over HTTP."""
        name = f"plugins-{secrets.token_hex(6)}"
        readable = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{name}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [readable]}
        requests.put(f"{self.url}/{name}", timeout=30).raise_for_status()
        requests.put(f"{self.url}/{name}?policy", json=policy, timeout=30).raise_for_status()
        self.requests.clear()
        return name

    def get(self, path: str) -> Response:
        """What anybody reads."""
        return requests.get(f"{self.url}/{path}", timeout=30)

    def puts(self) -> list[str]:
        """Paths that were written, in order."""
        return [request.path for request in self.requests if request.writes]


class _Faulty:
    """The application, behind the faults that were ordered."""

    def __init__(self, server: S3) -> None:
        self._server = server
        self._app = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers)
        self._server.requests.append(request)
        status = self._server.fault(request)
        if status is not None:
            environ["wsgi.input"].read(
                int(environ.get("CONTENT_LENGTH") or 0)
            )  # what was sent is taken before the answer
        else:
            if self._server.deaf:
                for name in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
                    environ.pop(name, None)
            if not self._server.lost(request):
                return self._app(environ, start_response)
            for _ in self._app(environ, lambda *_: None):
                pass
            status = 500
        start_response(f"{status} Fault", [("Content-Type", "application/xml")])
        return [b"<Error><Code>Fault</Code><Message>secret-in-an-answer</Message></Error>"]


@contextlib.contextmanager
def serve_s3() -> Iterator[S3]:
    """A running server."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = S3()
    http = make_server("127.0.0.1", 0, _Faulty(server), threaded=True)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
