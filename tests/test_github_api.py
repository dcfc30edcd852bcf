"""GitHub's API as a connection: what is tried again and when, what ends at once, and where the token goes."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from publisher.github import connection
from publisher.github.api import (
    Api,
    check_repository_name,
    is_repository_name,
    repository_at,
    repository_path,
)
from registry_client.errors import ConfigError, GitHubError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "ghp_" + "s3cr3tS3cr3t" * 3
RATE_LIMIT = {"message": "API rate limit exceeded for user ID 1.", "documentation_url": "x"}
SECONDARY = {
    "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
}


@dataclass
class Reply:
    """An answer: JSON unless `body` is bytes; `drop` closes the connection after that many bytes of it."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: int | None = None


@dataclass
class Script:
    """A server that gives answers one after the other, the last one for ever.

    Attributes:
        replies: what it answers.
        url: base URL.
        seen: method, path and headers of each request, and its body.
    """

    replies: list[Reply]
    url: str = ""
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """Method and path of each request."""
        return [f"{method} {path}" for method, path, _, _ in self.seen]


class _Handler(BaseHTTPRequestHandler):
    script: ClassVar[Script]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name it has in the base class)
        """Nothing on stderr."""

    def _answer(self) -> None:
        script = self.script
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        number = min(len(script.seen), len(script.replies) - 1)
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.seen.append((self.command, self.path, headers, body))
        reply = script.replies[number]
        if reply.drop == 0:
            self.close_connection = True
            return
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        if reply.body is None:
            data = b""
        self.send_response(reply.status)
        given = {"Content-Type": "application/json", **reply.headers}
        for name, value in given.items():
            self.send_header(name, value.replace("{url}", script.url))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if reply.drop is not None:
            data, self.close_connection = data[: reply.drop], True
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815


@contextmanager
def scripted(*replies: Reply) -> Iterator[Script]:
    """Serve these answers."""
    script = Script(list(replies))
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were made; none of them takes any time."""
    made: list[float] = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


def _get(api: Api) -> Any:
    return api.get("/repos/acme/registry")


def _post(api: Api) -> Any:
    return api.post("/repos/acme/registry/git/refs", {"ref": "refs/heads/x", "sha": "0" * 40})


def _patch(api: Api) -> Any:
    return api.patch("/repos/acme/registry/issues/1", {"state": "closed"})


def _delete(api: Api) -> Any:
    return api.delete("/repos/acme/registry/git/refs/heads/x")


ALL: list[Callable[[Api], Any]] = [_get, _post, _patch, _delete]
GOOD = Reply(body={"id": 7})
NOTHING = Reply(status=204)


# -- trying again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize(
    ("bad", "least"),
    [
        (Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}), 0.0),
        (Reply(503, {"message": "x"}, {"Retry-After": "7"}), 7.0),
        (Reply(429, {"message": "slow down"}, {"Retry-After": "9"}), 9.0),
        (Reply(403, SECONDARY, {"Retry-After": "11"}), 11.0),
        (Reply(403, SECONDARY), 60.0),
        (Reply(drop=0), 0.0),
        (Reply(body={"id": 1, "more": "x" * 1000}, drop=100), 0.0),
    ],
    ids=["502", "503", "429", "403 with Retry-After", "403 without", "no answer", "half an answer"],
)
def test_what_may_be_over_is_tried_again(
    call: Callable[[Api], Any], bad: Reply, least: float, pauses: list[float]
) -> None:
    """Any request, also one whose work may have been done: everything that is asked for can be asked for twice."""
    with scripted(bad, bad, GOOD if call is not _delete else NOTHING) as script:
        assert call(Api(TOKEN, script.url)) == ({"id": 7} if call is not _delete else None)
    assert len(script.seen) == 3
    assert len({(method, path, body) for method, path, _, body in script.seen}) == 1
    assert sum(pauses) >= 2 * least


@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_rate_limit_is_waited_for_if_it_is_near(status: int, pauses: list[float]) -> None:
    """`X-RateLimit-Reset` says when, where there is no `Retry-After`."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 100)}
    with scripted(Reply(status, RATE_LIMIT, headers), GOOD) as script:
        assert _get(Api(TOKEN, script.url)) == {"id": 7}
    assert 95 <= sum(pauses) <= 102


@pytest.mark.parametrize(
    "reply",
    [
        Reply(403, RATE_LIMIT, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}),
        Reply(429, RATE_LIMIT, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}),
        Reply(403, SECONDARY, {"Retry-After": "3000"}),
        Reply(429, SECONDARY, {"Retry-After": "3000"}),
        Reply(503, {"message": "x"}, {"Retry-After": "3000"}),
    ],
)
def test_nobody_waits_for_an_hour(reply: Reply, pauses: list[float]) -> None:
    """A limit that ends later than in five minutes ends the request at once, with the status, and is not asked again."""
    with scripted(reply) as script, pytest.raises(GitHubError) as caught:
        _get(Api(TOKEN, script.url))
    assert (caught.value.status, pauses, len(script.seen)) == (reply.status, [], 1)
    assert reply.status == 503 or "rate limit" in caught.value.hint


def test_giving_up(pauses: list[float]) -> None:
    """After five more attempts; the error is what the last answer said."""
    with (
        scripted(Reply(503, {"message": "no server is available"})) as script,
        pytest.raises(GitHubError) as caught,
    ):
        _post(Api(TOKEN, script.url))
    assert len(script.seen) == 6
    assert caught.value.status == 503
    assert "POST /repos/acme/registry/git/refs: no server is available (503)" in caught.value.message
    assert sum(pauses) < 60


def test_a_server_that_is_not_there(pauses: list[float]) -> None:
    """An error that names the host, and no traceback."""
    with scripted(GOOD) as script:
        pass
    with pytest.raises(GitHubError, match="does not answer GET /repos/acme/registry at 127") as caught:
        _get(Api(TOKEN, script.url))
    assert caught.value.status is None


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(body=b"<html>Sign in to the network</html>"), "not JSON"),
        (Reply(body=b"[" * 100_000), "does not answer"),
        (Reply(body=b'{"a": "\xff'), "not JSON"),
        (Reply(300, {"message": "which one?"}), "which one"),
        (Reply(404, []), "no message"),
        (Reply(404, {"message": {"a": 1}}), "404"),
        (
            Reply(422, {"message": "Invalid", "errors": [{"field": "sha", "code": "missing"}, "odd", 7]}),
            "sha missing; odd; 7",
        ),
        (Reply(422, {"message": "Invalid\x1b[31m\n::error::x", "errors": 7}), "Invalid \\[31m ::error::x"),
        (Reply(400, b"\x00\xff"), "no message"),
    ],
)
def test_odd_answers_are_errors(reply: Reply, message: str, pauses: list[float]) -> None:
    """One line each, whatever was sent; never a traceback."""
    with scripted(reply) as script, pytest.raises(GitHubError, match=message) as caught:
        _get(Api(TOKEN, script.url))
    assert "\n" not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert (len(script.seen), pauses) == (1, [])


def test_an_answer_has_an_end(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """Nobody's memory is filled, whatever the server sends."""
    monkeypatch.setattr(connection, "_LARGEST_ANSWER", 1000)
    with (
        scripted(Reply(body=["x" * 2000])) as script,
        pytest.raises(GitHubError, match="more than 1000 bytes"),
    ):
        _get(Api(TOKEN, script.url))
    assert pauses == []


# -- where it is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_renamed_repository_is_followed(call: Callable[[Api], Any], status: int) -> None:
    """By the same method, with the same body, and with the token: it is the same host."""
    moved = Reply(status, {"message": "Moved"}, {"Location": "{url}/repositories/5/rest"})
    with scripted(moved, GOOD if call is not _delete else NOTHING) as script:
        call(Api(TOKEN, script.url))
    (first, _, _, body), (second, path, headers, again) = script.seen
    assert (second, path, again) == (first, "/repositories/5/rest", body)
    assert headers["authorization"] == f"token {TOKEN}"


@pytest.mark.parametrize(
    "location",
    ["{url}/repositories/5/contents?ref=abc", "/repositories/5/contents", "{url}/repositories/5/contents"],
)
def test_the_query_is_not_lost_on_the_way(location: str) -> None:
    """Another `ref` would be another commit's file."""
    with scripted(Reply(301, {"message": "Moved"}, {"Location": location}), GOOD) as script:
        Api(TOKEN, script.url).get("/repos/old/name/contents", ref="abc")
    assert script.asked == ["GET /repos/old/name/contents?ref=abc", "GET /repositories/5/contents?ref=abc"]


@pytest.mark.parametrize(
    "location",
    [
        "https://elsewhere.example/x",
        "//elsewhere.example/x",
        "http://127.0.0.1:1/x",
        "ftp://127.0.0.1/",
        "http://[/",
    ],
)
@pytest.mark.parametrize("status", [301, 307])
def test_the_token_goes_to_no_other_host(location: str, status: int, pauses: list[float]) -> None:
    """A redirect elsewhere is an error."""
    with scripted(Reply(status, None, {"Location": location}), GOOD) as script, pytest.raises(GitHubError):
        _get(Api(TOKEN, script.url))
    assert len(script.seen) == 1


def test_redirects_have_an_end() -> None:
    """A circle of them is an error."""
    with (
        scripted(Reply(301, None, {"Location": "{url}/again"})) as script,
        pytest.raises(GitHubError, match="redirects"),
    ):
        _get(Api(TOKEN, script.url))
    assert len(script.seen) == 4


def test_github_enterprise() -> None:
    """The base URL's own path comes first, after a redirect too."""
    moved = Reply(301, {"message": "Moved"}, {"Location": "{url}/api/v3/repositories/5"})
    with scripted(GOOD, moved, GOOD) as script:
        api = Api(TOKEN, f"{script.url}/api/v3/")
        _get(api)
        _get(api)
    assert script.asked == [
        "GET /api/v3/repos/acme/registry",
        "GET /api/v3/repos/acme/registry",
        "GET /api/v3/repositories/5",
    ]


@pytest.mark.parametrize(
    ("url", "token", "good"),
    [
        ("https://api.github.com", TOKEN, True),
        ("https://github.acme.example/api/v3", TOKEN, True),
        ("http://127.0.0.1:8080", TOKEN, True),
        ("http://localhost/api/v3", TOKEN, True),
        ("http://github.acme.example/api/v3", "", True),
        ("http://github.acme.example/api/v3", TOKEN, False),
        ("http://127.0.0.1.acme.example", TOKEN, False),
        ("https://user:pass@github.acme.example", TOKEN, False),
        ("https://github.acme.example/?token=x", TOKEN, False),
        ("ftp://github.acme.example", "", False),
        ("github.acme.example", "", False),
        ("https://", "", False),
        ("https://host:port", "", False),
        ("https://api.github.com", "two words", False),
        ("https://api.github.com", "one\nline", False),
    ],
)
def test_what_a_token_is_sent_to(url: str, token: str, good: bool) -> None:
    """Only a URL that keeps it secret; a token that would break the header is none."""
    if good:
        assert Api(token, url).has_token is bool(token)
        return
    with pytest.raises(ConfigError) as caught:
        Api(token, url)
    shown = f"{caught.value.message} {caught.value.hint}"
    assert "pass" not in shown
    assert not token or token not in shown


def test_out_of_the_environment() -> None:
    """The first variable that is set; the URL that Actions names."""
    environ = {"A": " ", "B": f"{TOKEN}\n", "C": "other", "GITHUB_API_URL": "https://ghe.example/api/v3"}
    with scripted(GOOD) as script:
        _get(Api.from_environ({**environ, "GITHUB_API_URL": script.url}, "A", "B", "C"))
    assert script.seen[0][2]["authorization"] == f"token {TOKEN}"
    assert Api.from_environ(environ).url == "https://ghe.example/api/v3"
    assert Api.from_environ({"GITHUB_API_URL": ""}, "A").url == "https://api.github.com"
    assert not Api.from_environ({}, "A").has_token


# -- what it says -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, {"message": f"Bad credentials: {TOKEN}"}),
        Reply(
            422,
            {"message": "Invalid", "errors": [{"message": TOKEN}, {"field": TOKEN, "code": TOKEN}, TOKEN]},
        ),
        Reply(403, {"message": f"{TOKEN}{TOKEN}"}),
        Reply(403, {"message": SECONDARY["message"] + TOKEN}, {"Retry-After": "4000"}),
        Reply(200, TOKEN.encode()),
        Reply(301, None, {"Location": f"https://{TOKEN}.example/"}),
        Reply(301, None, {"Location": "{url}/" + TOKEN}),
        Reply(503, {"message": TOKEN}, {"Retry-After": TOKEN}),
        Reply(503, {"message": TOKEN}),
    ],
)
def test_the_token_is_in_no_message(reply: Reply, pauses: list[float]) -> None:
    """Even if the server sends it back."""
    with scripted(reply) as script:
        api = Api(TOKEN, script.url)
        with pytest.raises(GitHubError) as caught:
            _post(api)
    error = caught.value
    assert TOKEN not in "".join([error.message, error.hint, repr(error), str(error.__cause__), repr(api)])
    assert error.__suppress_context__


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "PLUGIN_REGISTRY_TOKEN"), (403, "permissions"), (404, "permissions"), (429, "rate limit")],
)
def test_hints(status: int, hint: str, pauses: list[float]) -> None:
    """Each status that has a way out names it."""
    with scripted(Reply(status, {"message": "No"})) as script, pytest.raises(GitHubError) as caught:
        _get(Api(TOKEN, script.url))
    assert hint in caught.value.hint


def test_what_is_sent() -> None:
    """The version of the API, who we are, JSON, and a token only if there is one."""
    with scripted(GOOD) as script:
        _post(Api(TOKEN, script.url))
        _get(Api("", script.url))
    (_, _, with_token, body), (_, _, without, _) = script.seen
    assert json.loads(body) == {"ref": "refs/heads/x", "sha": "0" * 40}
    assert with_token["x-github-api-version"] == "2022-11-28"
    assert with_token["user-agent"] == "plugin-registry"
    assert with_token["accept"] == "application/vnd.github+json"
    assert "authorization" not in without


def test_only_what_has_changed() -> None:
    """With an entity tag, an unchanged answer is none."""
    with scripted(Reply(body=[1], headers={"ETag": 'W/"a"'}), Reply(304)) as script:
        api = Api("", script.url)
        first = api.get_if_changed("/x", "")
        second = api.get_if_changed("/x", first.etag)
    assert (first.data, first.etag, first.not_modified) == ([1], 'W/"a"', False)
    assert (second.data, second.not_modified) == (None, True)
    assert script.seen[1][2]["if-none-match"] == 'W/"a"'


def test_lists_in_pages() -> None:
    """Until a page is not full; something that is no list is an error."""
    with scripted(Reply(body=list(range(100))), Reply(body=[100])) as script:
        assert list(Api("", script.url).pages("/x", state="open")) == list(range(101))
    assert script.asked == [f"GET /x?page={number}&per_page=100&state=open" for number in (1, 2)]
    with scripted(Reply(body={"items": []})) as script, pytest.raises(GitHubError, match="not a list"):
        list(Api("", script.url).pages("/x"))


def test_nothing_there_is_none_and_nothing_else_is() -> None:
    """404 only."""
    with scripted(Reply(404, {"message": "Not Found"}), Reply(410, {"message": "Gone"})) as script:
        api = Api("", script.url)
        assert api.find("/x") is None
        with pytest.raises(GitHubError):
            api.find("/x")


def test_writes_are_paced_where_there_are_many(pauses: list[float]) -> None:
    """A second between writes, none between reads."""
    with scripted(GOOD) as script:
        api = Api(TOKEN, script.url, paced=True)
        _get(api)
        _get(api)
        assert pauses == []
        _post(api)
        _post(api)
    assert 0.9 <= sum(pauses) <= 1.0


def test_threads_may_share_it() -> None:
    """Each gets the answer to its own question."""
    with scripted(GOOD) as script:
        api = Api(TOKEN, script.url)
        start, errors = threading.Barrier(8), []

        def ask(number: int) -> None:
            start.wait()
            for turn in range(10):
                try:
                    api.post(f"/{number}/{turn}", {"n": number})
                except GitHubError as e:
                    errors.append(e)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert sorted(path for _, path, _, _ in script.seen) == sorted(
        f"/{n}/{t}" for n in range(8) for t in range(10)
    )
    assert all(json.loads(body)["n"] == int(path.split("/")[1]) for _, path, _, body in script.seen)


# -- names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("acme/registry", True),
        ("Acme-1/a.b_c-d", True),
        ("acme/.github", True),
        ("acme", False),
        ("acme/a/b", False),
        ("acme/..", False),
        ("acme/.", False),
        ("/registry", False),
        ("acme/", False),
        ("-acme/x", False),
        ("acme/x\n", False),
        ("acme/é", False),
        ("a" * 40 + "/x", False),
        ("host:acme/x", False),
    ],
)
def test_names_of_repositories(text: str, good: bool) -> None:
    """`OWNER/REPO` and nothing else."""
    assert is_repository_name(text) is good
    if good:
        assert check_repository_name(text, "--to") == text
    else:
        with pytest.raises(ConfigError, match=re.escape("--to: ")):
            check_repository_name(text, "--to")


@pytest.mark.parametrize(
    ("url", "server", "expected"),
    [
        ("https://github.com/acme/registry", "", "acme/registry"),
        ("https://github.com/acme/registry.git", "", "acme/registry"),
        ("https://github.com/acme/registry/", "", "acme/registry"),
        ("https://ghe.example/acme/registry", "https://ghe.example/", "acme/registry"),
        ("https://github.com/acme/registry", "https://ghe.example", None),
        ("https://github.com.evil.example/acme/registry", "", None),
        ("https://gitlab.example/acme/registry", "", None),
        ("https://github.com/acme", "", None),
        ("acme/registry", "", None),
    ],
)
def test_repositories_behind_urls(url: str, server: str, expected: str | None) -> None:
    """Only those on the GitHub that the environment names."""
    assert repository_at(url, {"GITHUB_SERVER_URL": server}) == expected


def test_paths_are_quoted() -> None:
    """Slashes in refs stay; nothing else ends the path or begins a query."""
    path = repository_path("acme/registry", "git", "ref", "heads/publish/a@1?x#y %2e")
    assert path == "/repos/acme/registry/git/ref/heads/publish/a%401%3Fx%23y%20%252e"
    assert repository_path("acme/registry", "issues", 7) == "/repos/acme/registry/issues/7"
