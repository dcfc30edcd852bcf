"""The Git wrapper on real repositories, and where the token goes: to the one host, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.githttp import GitHost, git_host
from support.world import World, git, push_to_bare

from publisher.destination import open_destination
from publisher.git import Git, Remote, scratch_repository
from publisher.git_tree import GitTree
from publisher.registrar.remote import register_remote
from publisher.registrar.submission import Result
from registry_client.digest import Digest
from registry_client.errors import ConfigError, GitError, PublishError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "ghp_S3cretTokenThatMustNotShow"
WRONG = "ghp_AnotherS3cretThatIsNotRight"
SECRET = "s3cr3t"


# -- remotes as users name them ----------------------------------------------------------------------------------

WITH_CREDENTIALS = [
    f"https://x-access-token:{SECRET}@git.example/acme/registry.git",
    f"https://{SECRET}@git.example/acme/registry.git",
    f"HTTPS://user:{SECRET}@git.example/registry.git",
    f"http://user:{SECRET}@127.0.0.1:8080/registry.git",
    f"https://user:{SECRET}@git.example:8443/registry.git",
    f"https://user:a/b{SECRET}@git.example/registry.git",
    f"https://user:a@{SECRET}@git.example/registry.git",
    f"https://user:1{SECRET}/x@git.example/registry.git",
    f"https://:{SECRET}@git.example/registry.git",
    f"ssh://git:{SECRET}@git.example/registry.git",
    f"git:{SECRET}@git.example:acme/registry.git",
]


@pytest.mark.parametrize("url", WITH_CREDENTIALS)
def test_a_credential_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    """The message names the host and the variable, never what stood before the @."""
    with pytest.raises(ConfigError) as caught:
        Remote.parse(url, {})
    shown = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert SECRET not in shown
    assert "user" not in shown
    assert "git.example" in shown or "127.0.0.1" in shown or "***@" in shown


NO_REMOTES = [
    "",
    "-u",
    "--upload-pack=touch x",
    "ext::sh -c 'touch x'",
    "ext::sh -c touch/x",
    "fd::17",
    "https::https://git.example/x",
    f"ext::https://user:{SECRET}@git.example",
    f"-https://user:{SECRET}@git.example",
    f"ftp://user:{SECRET}@git.example/x",
    "ext://sh",
    "ftp://git.example/x",
    "foo://git.example/x",
    "https://git.example\n/x",
    "https://git.example/\x00x",
    "https://[bad/x",
    "https://git.example:99999/x",
    f"https://user:{SECRET}@git.example:port/x",
]


@pytest.mark.parametrize("text", NO_REMOTES)
def test_what_is_no_remote_is_refused(text: str) -> None:
    """Options, remote helpers, other schemes and broken URLs never reach Git."""
    with pytest.raises(ConfigError) as caught:
        Remote.parse(text, {})
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("https://git.example/acme/registry.git", TOKEN),
        ("https://git.example:8443/acme/registry.git", TOKEN),
        ("http://127.0.0.1:8080/registry.git", TOKEN),
        ("http://localhost/registry.git", TOKEN),
        ("http://[::1]:8080/registry.git", TOKEN),
        ("git@git.example:acme/registry.git", ""),
        ("git@git.example:acme/registry@2.git", ""),
        ("git@git.example:registry@2.git", ""),
        ("ssh://git@git.example:22/acme/registry.git", ""),
        ("file:///srv/registry.git", ""),
        ("/srv/a b/registry.git", ""),
        ("../registry.git", ""),
    ],
)
def test_remotes_and_whether_they_get_the_token(text: str, token: str) -> None:
    """Only a web host gets it; it stands in no repr."""
    remote = Remote.parse(text, {"PLUGIN_REGISTRY_TOKEN": f"{TOKEN}\n"})
    assert (remote.url, remote.token) == (text, token)
    assert TOKEN not in repr(remote)


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example/registry.git",
        "http://127.0.0.1.git.example/registry.git",
        "http://localhost.example/registry.git",
        "http://10.0.0.1/registry.git",
    ],
)
def test_no_token_over_plain_http(url: str) -> None:
    """Refused with a token unless the host is this machine; without one it may be read."""
    with pytest.raises(ConfigError, match="not sent over http") as caught:
        Remote.parse(url, {"PLUGIN_REGISTRY_TOKEN": TOKEN})
    assert TOKEN not in str(caught.value)
    assert Remote.parse(url, {}).token == ""


def test_a_token_with_a_line_break_is_refused() -> None:
    """It would add lines of its own to what the credential helper says."""
    with pytest.raises(ConfigError, match="control character") as caught:
        Remote.parse("https://git.example/x", {"PLUGIN_REGISTRY_TOKEN": f"{TOKEN}\nhost=other.example"})
    assert TOKEN not in str(caught.value)


# -- the token over real HTTP ------------------------------------------------------------------------------------

WRAPPER = """#!/bin/sh
printf '%s\\n' "$*" >> '{folder}/argv'
env | grep -c '^GIT_TRACE\\|^GIT_CURL_VERBOSE\\|^PLUGIN_REGISTRY_KEY' >> '{folder}/dropped'
GIT_TRACE='{folder}/trace' '{git}' "$@"
code=$?
grep -rlFf '{folder}/secret' '{tmp}' >> '{folder}/leaks'
exit $code
"""


@dataclass
class Watched:
    """An environment whose `git` writes down every command line, with those of the programs that Git starts.

    Attributes:
        folder: where it is written down.
        tmp: the folder of temporary files.
        environ: the environment.
        seen: command lines of any process that held the token.
    """

    folder: Path
    tmp: Path
    environ: dict[str, str]
    seen: list[bytes]

    @property
    def commands(self) -> list[str]:
        """Arguments of each `git`, without `-C FOLDER`."""
        lines = (self.folder / "argv").read_text().splitlines()
        return [line.split(" ", 2)[2] for line in lines if line.startswith("-C ")]

    def text(self, name: str) -> str:
        """What was written down under a name."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def check(self) -> None:
        """The token was in no command line and in no file."""
        assert "helper" not in self.text("argv")
        assert "git-remote-http" in self.text("trace")
        for name in ("argv", "trace"):
            assert TOKEN not in self.text(name), name
        assert self.text("leaks") == ""
        assert self.seen == []
        assert set(self.text("dropped").split()) == {"0"}
        assert list(self.tmp.iterdir()) == []


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """The watching `git`, tracing switched on by the user, and a look at all processes all the time."""
    folder, tmp = tmp_path / "watch", tmp_path / "tmp"
    folder.mkdir()
    tmp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp))
    (folder / "secret").write_text(f"{TOKEN}\n")
    wrapper = folder / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(folder=folder, git=shutil.which("git"), tmp=tmp))
    wrapper.chmod(0o755)
    config = folder / "gitconfig"
    config.write_text(f"[credential]\n\thelper = store --file={tmp / 'stored'}\n")
    environ = {
        **os.environ,
        "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
        "TMPDIR": str(tmp),
        "PLUGIN_REGISTRY_TOKEN": TOKEN,
        "PLUGIN_REGISTRY_KEY": "a private key",
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_TRACE": str(folder / "user-trace"),
        "GIT_TRACE_CURL": str(folder / "user-trace"),
        "GIT_TRACE_REDACT": "0",
        "GIT_CURL_VERBOSE": "1",
    }
    seen: list[bytes] = []
    stop = threading.Event()
    thread = threading.Thread(target=_look, args=(stop, seen), daemon=True)
    thread.start()
    yield Watched(folder, tmp, environ, seen)
    stop.set()
    thread.join()
    assert not (folder / "user-trace").exists()


def _look(stop: threading.Event, seen: list[bytes]) -> None:
    """Note command lines with the token in them."""
    while not stop.wait(0.005):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = path.read_bytes()
                if TOKEN.encode() in line:
                    seen.append(line)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A registry with publisher acme, and its bare repository in `hosted/registry.git`."""
    world = World(tmp_path / "registry")
    world.add_publisher("acme")
    world.register()
    push_to_bare(world, tmp_path / "hosted" / "registry.git")
    return world


@pytest.fixture
def bare(world: World, tmp_path: Path) -> Path:
    """The bare repository."""
    return tmp_path / "hosted" / "registry.git"


@pytest.fixture
def host(bare: Path) -> Iterator[GitHost]:
    """The host of that repository, which asks for the token."""
    with git_host(bare.parent, token=TOKEN) as host:
        yield host


def publish(world: World, to: str, environ: dict[str, str]) -> None:
    """Publish acme-x 1.0.0."""
    with open_destination(to, "main", environ) as destination:
        world.publish("acme-x", "1.0.0", to=destination)


def test_publish_and_register_with_a_token(world: World, bare: Path, host: GitHost, watched: Watched) -> None:
    """It works; the token is in no command line, no file and no commit, and the user's credential store never gets it."""
    url = f"{host.url}/registry.git"
    publish(world, url, watched.environ)
    remote = Remote.parse(url, watched.environ)
    run = register_remote(remote, "main", lambda _: world.options(), watched.environ, lambda: world.now)
    assert [outcome.result for outcome in run.outcomes] == [Result.PUBLISHED]
    assert git(bare, "for-each-ref", "--format=%(refname)", "refs/heads").split() == ["refs/heads/main"]
    assert "plugins/acme-x/1.0.0/manifest.json" in git(bare, "ls-tree", "-r", "--name-only", "main")
    assert set(host.passwords) == {TOKEN}
    assert not any(TOKEN in request for request in host.requests)
    with contextlib.closing(Git(bare, os.environ)) as repository:
        assert TOKEN.encode() not in repository.run("cat-file", "--batch-all-objects", "--batch")
    assert sum(command.startswith("push ") for command in watched.commands) == 3  # offer, main, deleted ref
    watched.check()


def _wrong_token(world: World, host: GitHost, watched: Watched) -> None:
    host.token = WRONG
    host.say = "{password} is not the password"
    publish(world, f"{host.url}/registry.git", watched.environ)


def _not_there(world: World, host: GitHost, watched: Watched) -> None:
    publish(world, f"{host.url}/other.git", watched.environ)


def _refused_push(world: World, host: GitHost, watched: Watched) -> None:
    hook = host.root / "registry.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho 'token {TOKEN} may not' >&2\nexit 1\n")
    hook.chmod(0o755)
    publish(world, f"{host.url}/registry.git", watched.environ)


def _refused_ref(world: World, host: GitHost, watched: Watched) -> None:
    hook = host.root / "registry.git" / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    publish(world, f"{host.url}/registry.git", watched.environ)


def _nothing_listens(world: World, host: GitHost, watched: Watched) -> None:
    publish(world, "http://127.0.0.1:1/registry.git", watched.environ)


@pytest.mark.parametrize(
    ("attempt", "hint"),
    [
        pytest.param(_wrong_token, "PLUGIN_REGISTRY_TOKEN", id="wrong token"),
        pytest.param(_not_there, "Check the name", id="404"),
        pytest.param(_refused_push, "must be allowed to create publish/*", id="refused push"),
        pytest.param(_refused_ref, "must be allowed to create publish/*", id="refused ref"),
        pytest.param(_nothing_listens, "", id="nothing listens"),
    ],
)
def test_what_goes_wrong_never_shows_the_token(
    world: World,
    host: GitHost,
    watched: Watched,
    attempt: Callable[[World, GitHost, Watched], None],
    hint: str,
) -> None:
    """A clear error with a hint, soon, without a question on any terminal; the token is nowhere in it."""
    with pytest.raises(PublishError) as caught:
        attempt(world, host, watched)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert TOKEN not in f"{chain} {chain!r} {vars(chain)}"
        chain = chain.__cause__ or chain.__context__
    assert hint in caught.value.hint
    watched.check()


def test_an_echoed_token_is_removed_from_what_git_prints(
    world: World, host: GitHost, watched: Watched
) -> None:
    """A host that repeats the password it was sent: its words are shown, the password is not."""
    host.token = WRONG
    host.say = "remote says {password} is wrong"
    with pytest.raises(GitError) as caught:
        publish(world, f"{host.url}/registry.git", watched.environ)
    assert TOKEN in host.passwords
    assert "Authentication failed" in caught.value.message
    assert TOKEN not in caught.value.message


def test_no_token_goes_to_the_host_of_a_redirect(
    world: World, bare: Path, watched: Watched, tmp_path: Path
) -> None:
    """A host that sends Git elsewhere: the other host asks in vain, and no window asks the user for a password."""
    asked, program = tmp_path / "asked", tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch '{asked}'\nexit 1\n")
    program.chmod(0o755)
    watched.environ["GIT_ASKPASS"] = str(program)
    with (
        git_host(bare.parent, token=TOKEN) as other,
        git_host(tmp_path / "hosted", redirect=other.url) as first,
        pytest.raises(GitError) as caught,
    ):
        publish(world, f"{first.url}/registry.git", watched.environ)
    assert other.requests
    assert other.passwords == []
    assert not asked.exists()
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    watched.check()


def test_no_token_goes_where_the_users_settings_lead(
    world: World, host: GitHost, watched: Watched, tmp_path: Path
) -> None:
    """With url.*.insteadOf for the host, the token stays with the host it is for."""
    environ = {
        **watched.environ,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{host.url}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://git.example/",
    }
    with pytest.raises(GitError):
        publish(world, "https://git.example/registry.git", environ)
    assert host.requests
    assert host.passwords == []


@pytest.mark.parametrize("token", [WRONG, ""])
def test_a_refused_token_is_an_error_at_once(
    world: World, host: GitHost, watched: Watched, token: str
) -> None:
    """With the wrong one and with none: nobody is asked, the hint names the variable."""
    environ = {**watched.environ, "PLUGIN_REGISTRY_TOKEN": token}
    with pytest.raises(GitError) as caught:
        publish(world, f"{host.url}/registry.git", environ)
    assert "PLUGIN_REGISTRY_TOKEN" in caught.value.hint


@pytest.mark.parametrize("count", ["", "many", "-1"])
def test_a_strange_config_count_is_no_crash(world: World, host: GitHost, count: str) -> None:
    """GIT_CONFIG_COUNT that is no number does not end in a traceback."""
    environ = {**os.environ, "PLUGIN_REGISTRY_TOKEN": TOKEN, "GIT_CONFIG_COUNT": count}
    publish(world, f"{host.url}/registry.git", environ)
    assert host.passwords


def test_git_environment_for_another_repository_is_dropped(world: World, bare: Path, tmp_path: Path) -> None:
    """Publishing from inside a Git hook, whose variables name that repository, touches only the scratch one."""
    mine = tmp_path / "mine"
    mine.mkdir()
    git(mine, "init", "--quiet", ".")
    before = sorted(path for path in mine.rglob("*") if path.is_file())
    environ = {
        **os.environ,
        "GIT_DIR": str(mine / ".git"),
        "GIT_WORK_TREE": str(mine),
        "GIT_INDEX_FILE": str(mine / ".git" / "index"),
        "GIT_OBJECT_DIRECTORY": str(mine / ".git" / "objects"),
        "GIT_PREFIX": "sub/",
        "GIT_DEFAULT_HASH": "sha256",
    }
    publish(world, str(bare), environ)
    assert sorted(path for path in mine.rglob("*") if path.is_file()) == before
    assert len(git(bare, "for-each-ref", "--format=%(refname)", "refs/heads/publish").split()) == 1


def test_the_users_hooks_do_not_run(world: World, bare: Path, tmp_path: Path) -> None:
    """Hooks of a template folder are not copied into the scratch repository."""
    template, ran = tmp_path / "template", tmp_path / "ran"
    hook = template / "hooks" / "reference-transaction"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(f"[init]\n\ttemplateDir = {template}\n")
    publish(world, str(bare), {**os.environ, "GIT_CONFIG_GLOBAL": str(config)})
    assert not ran.exists()


# -- git itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executable", [None, False])
def test_git_is_missing(tmp_path: Path, executable: bool | None) -> None:
    """No git, or one that cannot be run: an error that says what to do."""
    if executable is not None:
        (tmp_path / "git").write_text("not a program")
        (tmp_path / "git").chmod(0o755)
    environ = {"PATH": str(tmp_path)}
    with (
        pytest.raises(GitError, match=r"not installed|cannot be started") as caught,
        scratch_repository(Remote("x"), environ),
    ):
        pass
    assert caught.value.hint


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Git]:
    """A bare repository to write commits into, with another one as its remote."""
    remote = tmp_path / "remote.git"
    for folder in (tmp_path / "local.git", remote):
        folder.mkdir()
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    with contextlib.closing(Git(tmp_path / "local.git", os.environ, Remote(str(remote)))) as repository:
        repository.run("remote", "add", "origin", str(remote))
        yield repository


def commit(
    repository: Git, changes: dict[str, bytes | None], parent: str | None = None, message: str = "x"
) -> str:
    """A commit made at the start of the tests' time."""
    from support.world import START

    return repository.commit(parent, changes, message, START)


ODD_PATHS = [
    "a b",
    '"quoted"',
    '"',
    'a"b',
    "a\\b",
    "back\\nslash",
    "line\nbreak",
    "x\nM 100644 inline injected\ndata 1\nx",
    "x\ndone\n",
    "tab\there",
    "é/ü",
    " leading",
    "trailing ",
    "-option",
    ":(glob)*",
    "*",
    "a\x01b",
    "a\u2028b",
]


@pytest.mark.parametrize("path", ODD_PATHS)
def test_odd_paths_stay_what_they_are(repository: Git, path: str) -> None:
    """No path can end its line and begin a command of its own; it comes back byte for byte, and can be deleted."""
    data = b"\x00\xff\r\n\ndone\n"
    first = commit(repository, {path: data, "other": b"o"})
    tree = GitTree(repository, first)
    assert sorted(entry.path for entry in repository.entries(first)) == sorted([path, "other"])
    assert tree.read(path) == data
    second = commit(repository, {path: None}, parent=first)
    assert [entry.path for entry in repository.entries(second)] == ["other"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/absolute",
        "a//b",
        "a/",
        ".",
        "..",
        "../up",
        "a/../b",
        "a/./b",
        ".git/config",
        "a/.GIT/hooks/x",
        "nul\0byte",
        "lone\ud800surrogate",
    ],
)
def test_paths_that_cannot_stand_in_a_commit(repository: Git, path: str) -> None:
    """Refused with an error, for writing and deleting."""
    for data in (b"x", None):
        with pytest.raises(GitError, match="cannot be a path"):
            commit(repository, {"good": b"g", path: data})


@pytest.mark.parametrize("message", ["", "done\n", "x\nM 100644 inline a\ndata 1\nx\n", "é\n\n"])
def test_a_message_is_only_a_message(repository: Git, message: str) -> None:
    """Whatever the message says, the commit holds the files it was given."""
    made = commit(repository, {"a": b"1"}, message=message)
    assert [entry.path for entry in repository.entries(made)] == ["a"]
    assert git(repository.folder, "log", "-1", "--format=%B", made) == message.strip()


def test_commits_are_reproducible_and_stand_alone(repository: Git) -> None:
    """Same files, same time: same id. One without a parent has none, whatever was committed before."""
    first = commit(repository, {"a": b"1"})
    other = commit(repository, {"b": b"2"})
    assert commit(repository, {"a": b"1"}) == first
    assert [entry.path for entry in repository.entries(other)] == ["b"]
    assert repository.parents(other) == 0
    child = commit(repository, {"b": b"2"}, parent=first)
    assert repository.parents(child) == 1
    assert [entry.path for entry in repository.entries(child)] == ["a", "b"]


def raw_tree(repository: Git, *entries: tuple[str, str, str]) -> str:
    """A tree of (mode, object id, name), written as it is."""
    kinds = {"040000": "tree", "160000": "commit"}
    lines = "".join(f"{mode} {kinds.get(mode, 'blob')} {oid}\t{name}\0" for mode, oid, name in entries)
    return git(repository.folder, "mktree", "-z", "--missing", stdin=lines.encode())


def test_a_tree_is_its_regular_files(repository: Git) -> None:
    """Links and submodules are absent; a missing object is an error, and the next read works."""
    blob = git(repository.folder, "hash-object", "-w", "--stdin", stdin=b"data")
    inner = raw_tree(
        repository, ("100755", blob, "tool"), ("120000", blob, "link"), ("160000", "1" * 40, "sub")
    )
    top = raw_tree(
        repository, ("100644", blob, "file"), ("040000", inner, "folder"), ("100644", "2" * 40, "gone")
    )
    made = git(repository.folder, "commit-tree", "-m", "x", top)
    tree = GitTree(repository, made)
    assert list(tree.paths("folder")) == ["folder/tool"]
    assert tree.read("folder/tool") == tree.read("file") == b"data"
    for path in ("folder/link", "folder/sub", "folder", "nothing", ""):
        assert tree.read(path) is None
    with pytest.raises(GitError, match="is missing"):
        tree.read("gone")
    assert tree.read("file") == b"data"
    assert GitTree(repository, None).read("file") is None


def test_a_tree_that_lists_everything(repository: Git) -> None:
    """The empty folder name means the whole tree, as for a working tree."""
    made = commit(repository, {"a": b"1", "b/c": b"2"})
    assert list(GitTree(repository, made).paths("")) == ["a", "b/c"]


def test_names_that_are_not_utf8(repository: Git) -> None:
    """They are listed with a replacement, and hide nothing else."""
    blob = git(repository.folder, "hash-object", "-w", "--stdin", stdin=b"data")
    line = b"100644 blob " + blob.encode() + b"\t\xff\xfe\0" + b"100644 blob " + blob.encode() + b"\tgood\0"
    top = git(repository.folder, "mktree", "-z", stdin=line)
    made = git(repository.folder, "commit-tree", "-m", "x", top)
    assert [entry.path for entry in repository.entries(made)] == ["good", "\ufffd\ufffd"]
    assert GitTree(repository, made).read("good") == b"data"


def test_entries_up_to_a_limit(repository: Git) -> None:
    """As many as allowed are listed; folders do not count; one more is refused."""
    made = commit(repository, {f"a/b/{number}": b"" for number in range(5)})
    assert len(repository.entries(made, limit=5)) == 5
    assert {entry.kind for entry in repository.entries(made, limit=5)} == {"blob"}
    with pytest.raises(GitError, match="5 files; at most 4"):
        repository.entries(made, limit=4)
    with pytest.raises(GitError, match="ls-tree"):
        repository.entries("3" * 40, limit=4)


@pytest.mark.parametrize("empty", [False, True])
def test_a_bomb_of_folders_is_not_unfolded(repository: Git, empty: bool) -> None:
    """Twelve small objects that name 10^12 files, or as many empty folders: refused in no time."""
    blob = git(repository.folder, "hash-object", "-w", "--stdin", stdin=b"boom")
    tree = raw_tree(repository) if empty else raw_tree(repository, ("100644", blob, "f"))
    for _ in range(12):
        tree = raw_tree(repository, *(("040000", tree, f"d{number}") for number in range(10)))
    made = git(repository.folder, "commit-tree", "-m", "x", tree)
    with pytest.raises(GitError, match="too many files; at most 52"):
        repository.entries(made, limit=52)


def test_bytes_that_were_deleted_come_from_history(repository: Git) -> None:
    """By path and digest: deleted, replaced and binary ones, but not other content and not another path."""
    old, new = b"\x00old\xff", b"new"
    first = commit(repository, {"p/a": old})
    second = commit(repository, {"p/a": new}, parent=first)
    third = commit(repository, {"p/a": None, "b": b"b"}, parent=second)
    assert repository.from_history(third, "p/a", Digest.of(old)) == old
    assert repository.from_history(third, "p/a", Digest.of(new)) == new
    assert repository.from_history(third, "p/a", Digest.of(b"never")) is None
    assert repository.from_history(third, "p/b", Digest.of(old)) is None
    assert repository.from_history(first, "p/a", Digest.of(new)) is None
    assert repository.from_history("4" * 40, "p/a", Digest.of(new)) is None


# -- pushing -----------------------------------------------------------------------------------------------------


def test_a_lost_lease_does_not_stop_the_others(repository: Git, tmp_path: Path) -> None:
    """Each ref is judged alone: created, moved, deleted, or refused because it is not what it was."""
    remote = tmp_path / "remote.git"
    one, two = commit(repository, {"a": b"1"}), commit(repository, {"a": b"2"})
    created = [(one, f"refs/heads/{name}", "") for name in ("kept", "moved", "gone", "taken")]
    assert all(result.accepted for result in repository.push(created))
    git(remote, "update-ref", "refs/heads/moved", git(remote, "commit-tree", "-m", "else", f"{one}^{{tree}}"))
    results = repository.push(
        [
            (two, "refs/heads/kept", one),
            (two, "refs/heads/moved", one),
            ("", "refs/heads/gone", one),
            (two, "refs/heads/taken", ""),
            (two, "refs/heads/new", ""),
        ]
    )
    assert {result.ref.rpartition("/")[2]: result.accepted for result in results} == {
        "kept": True,
        "moved": False,
        "gone": True,
        "taken": False,
        "new": True,
    }
    assert all("stale" in result.reason for result in results if not result.accepted)
    refs = repository.ls_remote("refs/heads/*")
    assert refs["refs/heads/kept"] == refs["refs/heads/new"] == two
    assert refs["refs/heads/taken"] == one
    assert "refs/heads/gone" not in refs


def test_a_remote_that_is_not_there(tmp_path: Path) -> None:
    """Reading and pushing end in a clear error."""
    remote = Remote(str(tmp_path / "none.git"))
    with scratch_repository(remote, os.environ) as repository:
        made = commit(repository, {"a": b"1"})
        for attempt in (
            lambda: repository.ls_remote("refs/heads/*"),
            lambda: repository.fetch(["refs/heads/main"]),
            lambda: repository.push([(made, "refs/heads/x", "")]),
        ):
            with pytest.raises(GitError) as caught:
                attempt()
            assert "Check the name" in caught.value.hint
        folder = repository.folder
    assert not folder.exists()


def test_objects_that_are_not_what_they_should_be(repository: Git) -> None:
    """Sizes and kinds of objects; what is no commit has no parents to count."""
    made = commit(repository, {"a": b"12345"})
    (entry,) = repository.entries(made)
    assert repository.size(entry.oid) == ("blob", 5)
    with pytest.raises(GitError, match="not a small commit"):
        repository.parents(entry.oid)
    with pytest.raises(GitError, match="missing"):
        repository.size("5" * 40)
    with pytest.raises(GitError, match="missing"):
        repository.read("5" * 40)
    assert repository.read(entry.oid) == b"12345"


def test_reading_goes_on_after_git_died(repository: Git) -> None:
    """One lost helper process is one error; the next read starts another."""
    made = commit(repository, {"a": b"12345"})
    (entry,) = repository.entries(made)
    assert repository.read(entry.oid) == b"12345"
    assert repository._batch is not None
    repository._batch.kill()
    repository._batch.wait()
    with pytest.raises(GitError, match="is missing"):
        repository.read(entry.oid)
    assert repository.read(entry.oid) == b"12345"


def test_a_part_of_an_object_is_none(repository: Git) -> None:
    """A helper process that is killed while it writes (by the system, for its memory) gives an error, not the beginning of a file."""
    made = commit(repository, {"a": b"12345"})
    (entry,) = repository.entries(made)
    cut = f"read -r _; printf '{entry.oid} blob 5\\n123'"
    repository._batch = subprocess.Popen(["sh", "-c", cut], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(GitError, match="cannot be read to its end"):
        repository.read(entry.oid)
    assert repository.read(entry.oid) == b"12345"


def test_every_error_is_one_of_ours(tmp_path: Path) -> None:
    """Where the folder is gone, there is an error with Git's words in it."""
    with pytest.raises(RegistryError, match="git rev-parse failed: fatal"):
        Git(tmp_path / "none", os.environ).run("rev-parse", "HEAD")
    assert subprocess.run(["git", "--version"], check=True, capture_output=True).stdout
