"""Read tokens of private registries: where they come from, and above all where they do not go."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked
from support.fetching import DATA, FILES, get, into
from support.httpd import Fault, FaultServer
from support.world import World

from registry_client.cli.env import read_environment, token_variable
from registry_client.credentials import (
    KEYRING_USER,
    Credentials,
    from_keyring,
    from_netrc,
    from_token,
)
from registry_client.digest import Digest
from registry_client.errors import ConfigError, FetchError, NotFetchedError
from registry_client.hosts import Hosts
from registry_client.http import Transport
from registry_client.urls import check_base_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "https://registry.example/main"
SECRET = "sEcReT-4711"
BEARER = f"Bearer {SECRET}"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """The registry's host: who asks without the token gets nothing."""
    with FaultServer(FILES.get) as running:
        running.wants = BEARER
        yield running


@pytest.fixture
def other() -> Iterator[FaultServer]:
    """Another host, which anybody may ask."""
    with FaultServer(FILES.get) as running:
        yield running


def sent(server: FaultServer) -> list[str | None]:
    """The Authorization header of each request."""
    return [seen.headers.get("authorization") for seen in server.seen]


def named(server: FaultServer) -> str:
    """A server as auth-hosts name it."""
    return f"127.0.0.1:{server.port}"


class TestOrigins:
    """Which requests carry the header."""

    @pytest.mark.parametrize(
        ("url", "gets"),
        [
            (f"{URL}/metadata/timestamp.json", True),
            ("https://registry.example/elsewhere?x=1#y", True),
            ("https://registry.example:443/x", True),
            ("HTTPS://REGISTRY.EXAMPLE/x", True),
            ("http://registry.example/x", False),
            ("http://registry.example:443/x", False),
            ("https://registry.example:8443/x", False),
            ("https://registry.example.evil.example/x", False),
            ("https://sub.registry.example/x", False),
            ("https://registry.example./x", False),
            ("https://evil.example/registry.example/x", False),
            ("https://evil.example/?https://registry.example/", False),
            ("https://registry.example@evil.example/x", False),
            ("https://anna:pass@registry.example/x", False),
            ("https://registry.example:99999/x", False),
            ("https://[registry.example/x", False),
            ("ftp://registry.example/x", False),
            ("//registry.example/x", False),
            ("", False),
        ],
    )
    def test_exactly_one_origin(self, url: str, gets: bool) -> None:
        """Scheme, host and port must all be those of the registry."""
        assert from_token(URL, SECRET).header_for(url) == (BEARER if gets else None)

    def test_further_hosts(self) -> None:
        """Those that are named get it over https at their port, and over http on this machine only."""
        made = from_token(
            URL, SECRET, also=["cdn.example", "Artifacts.example:8443", "localhost:8080", "[::1]:81"]
        )
        assert set(made) == {
            ("https", "registry.example", 443),
            ("https", "cdn.example", 443),
            ("https", "artifacts.example", 8443),
            ("http", "localhost", 8080),
            ("https", "localhost", 8080),
            ("http", "::1", 81),
            ("https", "::1", 81),
        }
        assert set(made.values()) == {BEARER}

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "*",
            "*.example",
            "https://cdn.example",
            "cdn.example/x",
            "cdn.example:0",
            "cdn.example:65536",
            "cdn.example:",
            "cdn example",
            "anna:pass@cdn.example",
            "cdn.example\n",
            "bücher.example",
            "::1",
            "-x.example",
        ],
    )
    def test_names_that_are_no_hosts(self, host: str) -> None:
        """A mistake in auth-hosts is an error; nothing is guessed."""
        with pytest.raises(ConfigError, match="as host or host:port") as caught:
            from_token(URL, SECRET, also=[host])
        assert "pass" not in str(caught.value)
        assert caught.value.hint

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
    def test_http_on_this_machine(self, host: str) -> None:
        """Nobody listens there."""
        assert from_token(f"http://{host}:8000/r", SECRET).header_for(f"http://{host}:8000/x") == BEARER

    @pytest.mark.parametrize(
        "url",
        ["http://registry.example/x", "http://127.0.0.2/", "http://localhost.evil.example/", "http://[::2]/"],
    )
    def test_clear_text_is_refused(self, url: str) -> None:
        """A token is not sent over http to another machine."""
        with pytest.raises(ConfigError, match="in clear text") as caught:
            from_token(url, SECRET)
        assert SECRET not in f"{caught.value} {caught.value.hint}"

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://registry.example/",
            "registry.example",
            "https://",
            "https://[bad/",
            "https://registry.example:port/",
            "https://registry.example:99999/",
            "https://anna:sEcReT-4711@registry.example/",
            "https://bücher.example/",
        ],
    )
    def test_no_registry_url(self, url: str) -> None:
        """Nothing is sent where it is not clear to whom; the URL's own credentials are not shown."""
        with pytest.raises(ConfigError) as caught:
            from_token(url, SECRET)
        assert SECRET not in f"{caught.value} {caught.value.hint}"
        assert caught.value.hint

    def test_malformed_base_urls_are_errors(self) -> None:
        """Brackets and ports that are none are no traceback, nor are arguments that are not UTF-8."""
        for url in (
            "https://[bad/",
            "https://x.example:port/",
            "https://x.example:99999/",
            "https://x.example/\udcff",
        ):
            with pytest.raises(ConfigError, match="is not a registry URL"):
                check_base_url(url)


class TestSecrecy:
    """The token is in the header and nowhere else."""

    @pytest.mark.parametrize(
        "token",
        [
            "",
            f"{SECRET}\n",
            f"{SECRET}\r\nX-Evil: 1",
            f"{SECRET} x",
            f"{SECRET}\x00",
            f"{SECRET}ü",
            "x" * 8193,
            " ",
        ],
    )
    def test_tokens_that_are_none(self, token: str) -> None:
        """Line breaks and the like would end the header; they are refused without showing the token."""
        with pytest.raises(ConfigError, match=r"the token for registry\.example is") as caught:
            from_token(URL, token)
        assert SECRET not in f"{caught.value!r} {caught.value.hint}"

    @pytest.mark.parametrize("value", [SECRET, f"Bearer {SECRET}\n", f"Bearer {SECRET}\r\nX: 1", ""])
    def test_values_that_are_none(self, value: str) -> None:
        """The mapping itself takes no header that could hold another."""
        with pytest.raises(ConfigError) as caught:
            Credentials({("https", "registry.example", 443): value})
        assert SECRET not in str(caught.value)

    def test_representations(self) -> None:
        """They name hosts only."""
        made = from_token(URL, SECRET)
        assert repr(made) == str(made) == f"{made}" == "Credentials(https://registry.example:443)"
        assert repr(Credentials()) == "Credentials()"
        assert SECRET not in repr(Transport(credentials=made).usage)

    def test_immutable(self) -> None:
        """Neither the mapping nor what it was made of changes it."""
        headers = {("https", "registry.example", 443): BEARER}
        made = Credentials(headers)
        headers["https", "evil.example", 443] = BEARER
        assert list(made) == [("https", "registry.example", 443)]
        target: Any = made
        with pytest.raises(TypeError):
            target["https", "evil.example", 443] = BEARER
        with pytest.raises(AttributeError):
            target.other = 1

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(status=401),
            Fault(status=403),
            Fault(status=404),
            Fault(status=500),
            Fault(reset=True),
            Fault(truncate=10),
            Fault(pad=100_000),
            Fault(hang=30),
            Fault(redirect="file:///x"),
            Fault(redirect="http://127.0.0.1:1/x"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("fetch", [get, into])
    def test_errors(self, server: FaultServer, fault: Fault, fetch: Callable[..., bytes]) -> None:
        """No error shows it, nor does any that led to one, nor the request that hangs on it."""
        server.fail("data.bin", fault)
        transport = Transport(credentials=from_token(server.url, SECRET))
        with pytest.raises(FetchError) as caught:
            fetch(transport, f"{server.url}/data.bin", seconds=0.5)
        assert sent(server)[0] == BEARER
        shown = "".join(traceback.format_exception(caught.value))
        error: BaseException | None = caught.value
        while error is not None:
            request = getattr(error, "request", None)
            shown += f"{error!r} {vars(error)} {getattr(request, 'headers', '')}"
            error = error.__cause__ or error.__context__
        assert SECRET not in f"{shown} {caught.value.hint} {transport.usage}"


class TestWire:
    """What hosts see."""

    def test_the_registry_gets_it(self, server: FaultServer) -> None:
        """Every request to it, small and large, whole and in part."""
        transport = Transport(credentials=from_token(f"{server.url}/main", SECRET))
        assert get(transport, f"{server.url}/data.bin") == into(transport, f"{server.url}/data.bin") == DATA
        assert sent(server) == [BEARER] * 2

    def test_without_a_token(self, server: FaultServer) -> None:
        """A 401 says how to give one, and that it is no missing file."""
        with pytest.raises(FetchError, match="HTTP 401") as caught:
            get(Transport(), f"{server.url}/data.bin")
        assert not isinstance(caught.value, NotFetchedError)
        assert "PLUGIN_REGISTRY_READ_TOKEN" in caught.value.hint
        assert "auth-hosts" in caught.value.hint

    def test_with_a_wrong_one(self, server: FaultServer) -> None:
        """A 401 to who sent one says that it was refused."""
        with pytest.raises(FetchError, match="HTTP 401") as caught:
            get(Transport(credentials=from_token(server.url, "other")), f"{server.url}/data.bin")
        assert "refuses the token" in caught.value.hint

    def test_hosts_that_say_there_is_nothing(self, server: FaultServer) -> None:
        """Some answer 404 for private files: the hint for a registry's metadata says so."""
        server.wants = None
        token = from_token(server.url, SECRET)
        for path, credentials, hint in (
            ("metadata/timestamp.json", None, "If the registry is private"),
            ("metadata/timestamp.json", token, "that the token may read it"),
            ("other.json", None, "Check the URL."),
        ):
            with pytest.raises(NotFetchedError) as caught:
                get(Transport(credentials=credentials), f"{server.url}/{path}")
            assert hint in caught.value.hint

    def test_a_redirect_to_another_origin_gets_none(self, server: FaultServer, other: FaultServer) -> None:
        """Another port is another origin, which the registry's host chose and the owner did not."""
        server.fail("old", Fault(redirect=f"{other.url}/data.bin"))
        assert get(Transport(credentials=from_token(server.url, SECRET)), f"{server.url}/old") == DATA
        assert (sent(server), sent(other)) == ([BEARER], [None])

    def test_a_redirect_that_leads_back_gets_it(self, server: FaultServer, other: FaultServer) -> None:
        """Each request is judged by itself."""
        server.fail("old", Fault(redirect=f"{other.url}/back"))
        other.fail("back", Fault(redirect=f"{server.url}/data.bin"))
        assert get(Transport(credentials=from_token(server.url, SECRET)), f"{server.url}/old") == DATA
        assert (sent(server), sent(other)) == ([BEARER, BEARER], [None])

    @pytest.mark.parametrize(
        "target",
        [
            "http://127.0.0.1:{mine}@127.0.0.1:{theirs}/data.bin",
            "http://127.0.0.1:{mine}\\@127.0.0.1:{theirs}/data.bin",
            "http://127.0.0.1:{mine}%40127.0.0.1:{theirs}/data.bin",
            "http://127.0.0.1:{theirs}\\@127.0.0.1:{mine}/data.bin",
            "http://127.0.0.1:{theirs}#@127.0.0.1:{mine}/data.bin",
            "http://127.0.0.1:{theirs}?@127.0.0.1:{mine}/data.bin",
            "http:\\\\127.0.0.1:{theirs}/data.bin",
            "//127.0.0.1:{theirs}/data.bin",
            "http://localhost:{theirs}/data.bin",
            "http://127.0.0.1:{theirs}\t/data.bin",
        ],
    )
    def test_redirects_that_read_two_ways(self, server: FaultServer, other: FaultServer, target: str) -> None:
        """However a redirect is written, what decides is where the connection goes."""
        server.fail("old", Fault(redirect=target.format(mine=server.port, theirs=other.port)))
        with contextlib.suppress(FetchError):
            get(Transport(credentials=from_token(server.url, SECRET)), f"{server.url}/old")
        assert [value for value in sent(other) if value is not None] == []

    def test_a_proxy_does_not_get_it(
        self, server: FaultServer, other: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A token over http is for this machine, so no proxy carries it; other requests go through the proxy."""
        monkeypatch.setenv("http_proxy", other.url)
        monkeypatch.setenv("no_proxy", "")
        transport = Transport(credentials=from_token(server.url, SECRET))
        assert get(transport, f"{server.url}/data.bin") == DATA
        assert other.requests == 0
        assert get(transport, "http://elsewhere.invalid/data.bin") == DATA
        assert sent(other) == [None]

    @pytest.mark.parametrize("name_it", [False, True])
    def test_mirrors(self, server: FaultServer, other: FaultServer, name_it: bool) -> None:
        """A mirror gets none, unless it is named."""
        server.fail("data.bin", Fault(status=500))
        credentials = from_token(server.url, SECRET, also=[named(other)] if name_it else [])
        hosts = Hosts((server.url, other.url), tuple, Transport(credentials=credentials))
        assert hosts.get_signed("data.bin", digest=Digest.of(DATA), size=len(DATA), timeout=5) == DATA
        assert (sent(server), sent(other)) == ([BEARER], [BEARER if name_it else None])

    @pytest.mark.parametrize("name_it", [False, True])
    def test_artifact_hosts(self, server: FaultServer, other: FaultServer, name_it: bool) -> None:
        """Publishers choose where artifacts are: such a host gets none, unless it is named."""
        hosts = Hosts(
            (server.url,), tuple, None, from_token(server.url, SECRET, also=[named(other)] if name_it else [])
        )
        data = bytearray()
        hosts.download(
            f"{other.url}/data.bin",
            digest=Digest.of(DATA),
            size=len(DATA),
            timeout=5,
            sink=data.extend,
            restart=data.clear,
        )
        assert (bytes(data), sent(other)) == (DATA, [BEARER if name_it else None])

    def test_netrc_is_read_by_nobody_who_was_not_asked(self, other: FaultServer) -> None:
        """Neither its `default` nor an entry for exactly that host goes out, with and without a token for elsewhere."""
        netrc = Path.home() / ".netrc"
        netrc.write_text("machine 127.0.0.1 login anna password secret\ndefault login anna password secret\n")
        netrc.chmod(0o600)
        for credentials in (None, from_token(URL, SECRET)):
            assert get(Transport(credentials=credentials), f"{other.url}/data.bin") == DATA
        assert sent(other) == [None, None]


def test_a_client_of_a_private_registry(server: FaultServer, other: FaultServer, tmp_path: Path) -> None:
    """Signed state, index, manifest and a relative artifact come with the token; an artifact elsewhere without."""
    world = World(tmp_path / "registry", base_url=server.url)
    world.add_publisher("acme")
    members: dict[str, Any] = {"artifacts": [{"ecosystem": "custom", "path": "calendar.bin"}]}
    world.publish("acme-calendar", "1.0.0", files={"calendar.bin": DATA}, **members)
    world.register()
    server.source = world.tree.read
    with pytest.raises(FetchError, match="HTTP 401") as caught:
        world.client(url=server.url).refresh()
    assert "PLUGIN_REGISTRY_READ_TOKEN" in caught.value.hint
    server.reset_counters()
    client = world.client("private", url=server.url, credentials=from_token(server.url, SECRET))
    (path,) = client.download(client.manifest("acme-calendar", "1.0.0"), tmp_path / "out")
    assert path.read_bytes() == DATA
    assert set(sent(server)) == {BEARER}


class TestNetrc:
    """`from_netrc`."""

    def test_the_entry_of_the_host(self, tmp_path: Path) -> None:
        """Login and password go out as Basic."""
        path = tmp_path / "netrc"
        path.write_text(
            f"machine registry.example login anna password {SECRET}\nmachine x login a password b\n"
        )
        made = from_netrc(URL, path, also=["cdn.example"])
        expected = "Basic " + base64.b64encode(f"anna:{SECRET}".encode()).decode()
        assert dict(made) == dict.fromkeys(
            [("https", "registry.example", 443), ("https", "cdn.example", 443)], expected
        )

    def test_the_one_in_the_home_directory(self) -> None:
        """It is the one that is read where no path is given; others must not be able to read it."""
        path = Path.home() / ".netrc"
        path.write_text(f"machine registry.example login anna password {SECRET}\n")
        path.chmod(0o600)
        assert len(from_netrc(URL)) == 1
        if os.name == "posix":
            path.chmod(0o600 | stat.S_IROTH)
            with pytest.raises(ConfigError, match="too permissive") as caught:
                from_netrc(URL)
            assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (f"default login anna password {SECRET}", r"no entry for registry\.example"),
            (f"machine other.example login anna password {SECRET}", r"no entry for registry\.example"),
            (f"machine example login anna password {SECRET}", r"no entry for registry\.example"),
            (f"machine registry.example {SECRET}", "line 1 is not what"),
            (f"{SECRET} registry.example", "line 1 is not what"),
            (f"machine registry.example login anna:{SECRET} password x", "cannot be sent"),
            (f"machine registry.example login {SECRET}", "has no password"),
            (f"machine registry.example login anna password {SECRET}\x07", "cannot be sent"),
            (f'machine registry.example login anna password "{SECRET}\r\nX: 1"', "cannot be sent"),
            ("", "no entry"),
        ],
    )
    def test_refused(self, tmp_path: Path, text: str, message: str) -> None:
        """No other entry is taken for the host's, and no error shows a word of the file."""
        path = tmp_path / "netrc"
        path.write_bytes(text.encode())
        with pytest.raises(ConfigError, match=message) as caught:
            from_netrc(URL, path)
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in f"{shown} {caught.value.hint} {caught.value.__context__!r}"

    def test_a_host_called_default(self, tmp_path: Path) -> None:
        """The entry for everybody is not the entry of a host of that name."""
        path = tmp_path / "netrc"
        path.write_text("default login anna password secret\n")
        with pytest.raises(ConfigError, match="no entry for default"):
            from_netrc("https://default/", path)

    @pytest.mark.parametrize("kind", ["missing", "folder", "bytes"])
    def test_files_that_cannot_be_read(self, tmp_path: Path, kind: str) -> None:
        """A missing file, a folder and garbage are errors that name the path."""
        path = tmp_path / "netrc"
        if kind == "folder":
            path.mkdir()
        elif kind == "bytes":
            path.write_bytes(b"machine \xff\xfe\x00\x81 \xff")
        with pytest.raises(ConfigError, match="netrc"):
            from_netrc(URL, path)


class Backend(KeyringBackend):
    """A keyring in memory."""

    priority = -1  # never chosen unless set

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        """What is held."""
        if self.locked:
            raise KeyringLocked(SECRET)
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Hold it."""
        self.held[service, username] = password


@pytest.fixture
def backend() -> Iterator[Backend]:
    before = keyring.get_keyring()
    made = Backend()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


class TestKeyring:
    """`from_keyring`."""

    def test_the_entry_of_the_host(self, backend: Backend) -> None:
        """The service is the host; the token goes out as Bearer."""
        backend.held["registry.example", KEYRING_USER] = SECRET
        backend.held["registry.example", "anna"] = "hers"
        assert from_keyring(URL, also=["cdn.example"]).header_for("https://cdn.example/x") == BEARER
        assert from_keyring(URL, "anna").header_for(URL) == "Bearer hers"

    @pytest.mark.usefixtures("backend")
    def test_nothing_there(self) -> None:
        """The hint is the command that puts it there."""
        with pytest.raises(ConfigError, match=r"no token for registry\.example") as caught:
            from_keyring(URL)
        assert caught.value.hint == f"keyring set registry.example {KEYRING_USER}"

    def test_a_locked_one(self, backend: Backend) -> None:
        """What the backend says is not shown."""
        backend.locked = True
        with pytest.raises(ConfigError, match=r"could not be read \(KeyringLocked\)") as caught:
            from_keyring(URL)
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The hint is how to install it."""
        monkeypatch.setitem(sys.modules, "keyring", None)
        with pytest.raises(ConfigError) as caught:
            from_keyring(URL)
        assert caught.value.hint == "pip install 'plugin-registry[keyring]'"


ENVIRON = {
    "PLUGIN_REGISTRY_READ_TOKEN": "general",
    "PLUGIN_REGISTRY_READ_TOKEN_MAIN": SECRET,
    "PLUGIN_REGISTRY_READ_TOKEN_MY_OWN": "own",
    "PLUGIN_REGISTRY_READ_TOKEN_EMPTY": "",
    "PLUGIN_REGISTRY_READ_TOKENS": "another variable",
    "NETRC": "/somewhere/netrc",
}


class TestEnvironment:
    """Variables."""

    @pytest.mark.parametrize(
        ("name", "only", "expected"),
        [
            ("main", True, SECRET),
            ("main", False, SECRET),
            ("my-own", False, "own"),
            ("other", True, "general"),
            ("other", False, ""),
            ("empty", False, ""),
            ("", True, "general"),
        ],
    )
    def test_tokens(self, name: str, only: bool, expected: str) -> None:
        """The one of that name; the one without a name only where there is one registry."""
        assert read_environment(ENVIRON).token(name, only=only) == expected

    def test_nothing_is_shown(self) -> None:
        """Not even by the object that holds all of it."""
        environment = read_environment(ENVIRON)
        assert SECRET not in repr(environment)
        assert "general" not in repr(environment)
        assert environment.netrc == Path("/somewhere/netrc")
        assert read_environment({}).netrc is None
        assert read_environment({}).token("main") == ""

    def test_names_of_variables(self) -> None:
        """Upper case, and no other characters than a shell allows."""
        assert token_variable("a.b-c/é") == "PLUGIN_REGISTRY_READ_TOKEN_A_B_C__"
