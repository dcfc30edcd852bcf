"""The server: who is asking, may they, does it fit GitHub's description, what goes wrong; then the route's answer."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import socket
import threading
import time
import traceback
from base64 import b64decode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from support.github import (  # noqa: F401  (each registers its routes)
    gitroutes,
    issues,
    pulls,
    releases,
    repos,
    reviews,
)
from support.github.description import Description, github_description
from support.github.records import Fault, Request, Token
from support.github.state import Double
from support.github.wire import ROUTES, Answer, ApiError, Call, Fields, Route, not_found
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request as WebRequest
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from support.github.description import Operation
    from support.github.records import Repository

__all__ = ["Double", "Fault", "Server", "github_double"]

_ERRORS = 400
_OF_A_REPOSITORY = re.compile(r"/repos/([^/]+/[^/]+)(/.*)?")
_STATUSES = re.compile(r"(/repos/[^/]+/[^/]+)/statuses/([0-9a-f]{40})")
_BY_NUMBER = re.compile(r"/repositories/(\d+)(/.*)?")


class ViolationError(Exception):
    """A request or an answer that GitHub's description does not allow, or that the double does not do."""


class Server:
    """A WSGI application over a `Double`."""

    def __init__(self, double: Double, description: Description) -> None:
        self.double = double
        self._description = description

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        web = WebRequest(environ)
        content = web.get_data()
        headers = {name.lower(): value for name, value in web.headers.items()}
        path = str(environ.get("REQUEST_URI", web.full_path))
        seen = Request(web.method, path, _credential(headers), headers, content)
        self.double.requests.append(seen)
        fault = self._fault(web.method, path)
        if fault is not None:
            time.sleep(fault.delay)
        if fault is None or fault.after:
            answer = self._answer(web, seen)
        if fault is not None:
            if fault.drop:
                connection = cast("socket.socket", environ["werkzeug.socket"])
                connection.shutdown(socket.SHUT_RDWR)
                return Response()(environ, start_response)
            answer = Answer(fault.status, fault.body, dict(fault.headers))
        seen.status = answer.status
        response = _response(answer)
        return response(environ, start_response)

    def _fault(self, method: str, path: str) -> Fault | None:
        with self.double.lock:
            for fault in self.double.faults:
                if fault.times > 0 and fault.method in {"", method} and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def _answer(self, web: WebRequest, seen: Request) -> Answer:
        outside = releases.stored(self.double, web.path)
        if outside is not None:
            return outside
        try:
            holder = self._holder(seen)
            answer = self._counted(web, seen, holder)
        except ApiError as e:
            return e.answer
        return answer

    def _holder(self, seen: Request) -> Token | None:
        """Who is asking; None for someone unknown."""
        if not seen.headers.get("user-agent"):
            raise ApiError(403, "Request forbidden by administrative rules.")
        if not seen.headers.get("authorization"):
            return None
        token = self.double.tokens.get(seen.token)
        if token is None:
            raise ApiError(401, "Bad credentials")
        return token

    def _counted(self, web: WebRequest, seen: Request, token: Token | None) -> Answer:
        """The answer, within the hour's limit; an unchanged one costs nothing, nor does asking for the limit."""
        double, holder = self.double, token or self.double.anonymous
        reset = double.rate_limit_reset()
        free = web.path.removeprefix(double.prefix) == "/rate_limit"
        with double.lock:
            spent = holder.used >= holder.limit and not free
            holder.used += 0 if spent or free else 1
        if spent:
            whose = f"user ID {double.user_id(token.login)}" if token else "127.0.0.1"
            answer = ApiError(403, f"API rate limit exceeded for {whose}.").answer
        else:
            answer = self._checked(web, seen, token)
            if answer.status == 200 and web.method == "GET":
                answer = _conditional(web, answer)
            if answer.status == 304:
                with double.lock:
                    holder.used -= 1
        answer.headers |= {
            "X-RateLimit-Limit": str(holder.limit),
            "X-RateLimit-Remaining": str(holder.limit - holder.used),
            "X-RateLimit-Used": str(holder.used),
            "X-RateLimit-Reset": str(int(reset.timestamp())),
            "X-RateLimit-Resource": "core",
            "X-GitHub-Media-Type": "github.v3; format=json",
        }
        return answer

    def _checked(self, web: WebRequest, seen: Request, token: Token | None) -> Answer:
        try:
            return self._routed(web, seen, token)
        except ViolationError as e:
            problem = f"{web.method} {web.path}: {e}"
        except Exception:  # noqa: BLE001  (the double's own fault is the test's failure, not a hidden 500)
            problem = f"{web.method} {web.path}: {traceback.format_exc()}"
        self.double.violations.append(problem)
        return Answer(500, {"message": problem})

    def _routed(self, web: WebRequest, seen: Request, token: Token | None) -> Answer:
        path = self._api_path(web)
        try:
            path = self._settled(web, path)
        except ApiError as e:
            return e.answer
        found = self._description.find(web.method, path)
        if found is None:
            raise ViolationError("GitHub has no such operation")
        operation, parameters = found
        if ("servers" in operation.content) != (self._is_upload(web)):
            return not_found().answer
        body = _parsed(operation, seen)
        query = dict(web.args.items())
        problems = self._description.request_problems(operation, parameters, query, body)
        if problems:
            raise ViolationError("; ".join(problems))
        route = ROUTES.get((operation.method, operation.template))
        if route is None:
            raise ViolationError("the double does not do this")
        fields = Fields(body if isinstance(body, dict) else {})
        asked = Fields(query)
        try:
            repository = self._admitted(route, path, token)
            call = Call(self.double, parameters, asked, fields, seen.body, seen.headers, token, repository)
            answer = route.answer(call)
        except ApiError as e:
            answer = e.answer
        return self._held(operation, answer, asked.unread() + fields.unread())

    def _held(self, operation: Operation, answer: Answer, unread: list[str]) -> Answer:
        """The answer, if it is one that GitHub could give."""
        if answer.status < _ERRORS and unread:
            raise ViolationError(f"the double does not do {', '.join(unread)}")
        if not isinstance(answer.body, bytes):
            problems = self._description.response_problems(operation, answer.status, answer.body)
            if problems:
                raise ViolationError("answer: " + "; ".join(problems))
        return answer

    def _is_upload(self, web: WebRequest) -> bool:
        return (self.double.url + web.path).startswith(self.double.uploads + "/")

    def _api_path(self, web: WebRequest) -> str:
        """The path as the description has it."""
        start = self.double.uploads if self._is_upload(web) else self.double.api
        whole = self.double.url + web.path
        if not whole.startswith(f"{start}/"):
            raise ViolationError("not a path of the API")
        return whole.removeprefix(start)

    def _settled(self, web: WebRequest, path: str) -> str:
        """The path by the repository's present name.

        `/repositories/{id}` is not in the description, though GitHub answers it and leads renamed repositories there:
        it is checked, like everything below it, as `/repos/{owner}/{repo}`. Nor is the list of statuses at the URL that
        each status names as its own: it is checked as the list that is in the description.
        """
        if web.method == "GET" and (own := _STATUSES.fullmatch(path)):
            path = f"{own[1]}/commits/{own[2]}/statuses"
        if numbered := _BY_NUMBER.fullmatch(path):
            repository = self.double.repositories.get(int(numbered[1]))
            if repository is None:
                raise not_found()
            return f"/repos/{repository.name}{numbered[2] or ''}"
        named = _OF_A_REPOSITORY.fullmatch(path)
        if named and self.double.find(named[1]) is None and (moved := self.double.moved(named[1])):
            query = f"?{web.query_string.decode()}" if web.query_string else ""
            to = f"{self.double.api}/repositories/{moved.id}{named[2] or ''}{query}"
            status, message = (
                (301, "Moved Permanently") if web.method == "GET" else (307, "Temporary Redirect")
            )
            error = ApiError(status, message, headers={"Location": to})
            error.answer.body["url"] = to
            raise error
        return path

    def _admitted(self, route: Route, path: str, token: Token | None) -> Repository | None:
        """The repository, if this may be done to it."""
        named = _OF_A_REPOSITORY.fullmatch(path)
        if named is None:
            return None
        repository = self.double.find(named[1])
        if repository is None:
            raise not_found()
        public = not repository.private
        if token is None:
            if not public:
                raise not_found()
            if route.level != "read" or route.anyone:
                raise ApiError(401, "Requires authentication")
            return repository
        if not public and repository.id not in token.permissions:
            raise not_found()
        if (public and route.level == "read" and not route.anyone) or (
            route.anyone and token.classic and public
        ):
            return repository
        if not token.may(repository, route.permission, route.level) or (
            route.permission == "metadata" and route.anyone
        ):
            kind = "integration" if token.app else "personal access token"
            accepted = {"X-Accepted-GitHub-Permissions": f"{route.permission}={route.level}"}
            raise ApiError(403, f"Resource not accessible by {kind}", headers=accepted)
        return repository


def _credential(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return b64decode(value).decode().partition(":")[2]
    return value.strip()


def _parsed(operation: Operation, seen: Request) -> Any:
    """The body of a request: parsed JSON, bytes for an upload, None for none."""
    described = operation.content.get("requestBody", {}).get("content", {})
    if "application/octet-stream" in described:
        return seen.body
    if not seen.body:
        return None
    try:
        return json.loads(seen.body)
    except ValueError as e:
        raise ViolationError("a body that is not JSON") from e


def _conditional(web: WebRequest, answer: Answer) -> Answer:
    written = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    etag = f'W/"{hashlib.sha256(written).hexdigest()}"'
    headers = {**answer.headers, "ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60"}
    asked = [each.strip().removeprefix("W/") for each in web.headers.get("If-None-Match", "").split(",")]
    if etag.removeprefix("W/") in asked:
        return Answer(304, None, headers)
    return Answer(200, answer.body, headers)


def _response(answer: Answer) -> Response:
    if answer.body is None:
        response = Response(b"", answer.status)
        response.headers.pop("Content-Type", None)
    elif isinstance(answer.body, bytes):
        response = Response(answer.body, answer.status)
    else:
        kind = "application/json; charset=utf-8"
        response = Response(json.dumps(answer.body), answer.status, content_type=kind)
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  (the name it has in the base class)
        """Nothing on stderr."""

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """A fault that was asked for, or a client that went away."""


@contextmanager
def github_double(root: Path, *, prefix: str = "") -> Iterator[Double]:
    """Serve GitHub's API over the bare repositories below a folder.

    Args:
        root: made if it is not there.
        prefix: as for `Double`.

    Raises:
        AssertionError: at the end, if a request or an answer did not fit GitHub's description. A test that means
            to provoke that clears `violations`.
    """
    root.mkdir(parents=True, exist_ok=True)
    double = Double(root, prefix=prefix)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = Server(double, github_description())
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    double.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not double.violations, "\n".join(double.violations)
