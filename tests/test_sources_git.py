"""Git repositories as sources: real ones, over file:// and HTTP, and hostile ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.githttp import git_host

from registry_client.errors import FetchError, InstallError, NotFoundError, TooLargeError
from registry_client.installer.elsewhere import git as git_module
from registry_client.installer.elsewhere.folder import pack_folder
from registry_client.installer.elsewhere.git import git_environment
from registry_client.installer.elsewhere.git_source import clone
from registry_client.installer.elsewhere.git_url import check_git_url, protocols, repository_name
from registry_client.installer.project.sources import GitSource

if TYPE_CHECKING:
    from registry_client.installer.elsewhere.packed import Packed

MANIFEST = json.dumps({"id": "chat", "version": "1.2.0", "permissions": ["chat.send"]})


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "GIT_CONFIG_GLOBAL": os.devnull} | more


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    times = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment(**who, **times),
        input=stdin,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A bare repository that the tests put commits into, at the place where a host would have it."""
    folder = tmp_path / "host" / "chat.git"
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    return folder


def commit(
    repo: Path, files: dict[str, bytes | tuple[str, str]], tag: str = "v1", *, annotated: bool = False
) -> str:
    """A commit of files (or of mode and object id) with a tag."""
    lines = []
    for path, data in files.items():
        if isinstance(data, tuple):
            mode, oid = data
        else:
            mode, oid = "100644", git(repo, "hash-object", "-w", "--stdin", stdin=data)
        lines.append(f"{mode} {oid}\t{path}\n")
    index = {"GIT_INDEX_FILE": str(repo / "index")}
    (repo / "index").unlink(missing_ok=True)
    subprocess.run(
        ["git", "-C", str(repo), "update-index", "--add", "--index-info"],
        env=environment(**index),
        input="".join(lines).encode(),
        check=True,
    )
    tree = subprocess.run(
        ["git", "-C", str(repo), "write-tree", "--missing-ok"],
        env=environment(**index),
        capture_output=True,
        check=True,
    ).stdout.decode()
    return tagged(repo, tree.strip(), tag, annotated=annotated)


def tagged(repo: Path, tree: str, tag: str, *, annotated: bool = False) -> str:
    made = git(repo, "commit-tree", "-m", "x", tree)
    git(repo, "tag", "--force", *(["-a", "-m", "x"] if annotated else []), tag, made)
    return made


def fetch(tmp_path: Path, source: GitSource, **options: object) -> Packed:
    work = tmp_path / "work"
    try:
        return clone(
            source,
            tmp_path / "into",
            work=work,
            environment=environment(),
            timeout=60,
            **options,  # type: ignore[arg-type]
        )
    finally:
        assert not work.exists() or list(work.iterdir()) == []


FILES: dict[str, bytes | tuple[str, str]] = {
    "manifest.json": MANIFEST.encode(),
    "code/x.py": b"x = 1\r\n",
    ".gitattributes": b"* text=auto eol=crlf filter=evil\n",
    ".registry/lock": b"x",
}


@pytest.mark.parametrize("annotated", [False, True])
def test_a_tag_and_its_commit_give_the_same(repo: Path, tmp_path: Path, *, annotated: bool) -> None:
    """Files come as they were committed, whatever attributes say, and under the same digest as a folder of them."""
    made = commit(repo, FILES, "v1.2.0", annotated=annotated)
    url = repo.as_uri()
    by_tag = fetch(tmp_path, GitSource(url, "v1.2.0"))
    by_commit = fetch(tmp_path, GitSource(url, made))
    assert by_tag == by_commit
    assert (by_tag.id, by_tag.version, by_tag.name, by_tag.commit) == (
        "chat",
        "1.2.0",
        "chat-1.2.0.zip",
        made,
    )
    assert by_tag.permissions == ("chat.send",)
    with zipfile.ZipFile(by_tag.path) as archive:
        assert archive.namelist() == ["chat/.gitattributes", "chat/code/x.py", "chat/manifest.json"]
        assert archive.read("chat/code/x.py") == b"x = 1\r\n"
    folder = tmp_path / "chat"
    for name in ("manifest.json", "code/x.py", ".gitattributes"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(FILES[name])  # type: ignore[arg-type]
    assert pack_folder(folder, tmp_path / "into").digest == by_tag.digest


def test_over_http(repo: Path, tmp_path: Path) -> None:
    """A real Git host: a tag, a commit, and what it has not."""
    made = commit(repo, FILES, "v1")
    with git_host(repo.parent) as host:
        packed = fetch(tmp_path, GitSource(f"{host.url}/chat.git", "v1"))
        assert packed.commit == made
        assert fetch(tmp_path, GitSource(f"{host.url}/chat.git", made)) == packed
        with pytest.raises(NotFoundError, match="does not give commit"):
            fetch(tmp_path, GitSource(f"{host.url}/chat.git", "0" * 39 + "1"))
        with pytest.raises(FetchError, match="not found") as caught:
            fetch(tmp_path, GitSource(f"{host.url}/none.git", "v1"))
        assert "git ls-remote" in caught.value.hint


def test_a_host_that_gives_no_commits(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one gives tags and branches only: a commit that one of them is at can be had, another says why not."""
    old = tuple(s.replace("protocol.version=2", "protocol.version=0") for s in git_module._SETTINGS)
    monkeypatch.setattr(git_module, "_SETTINGS", old)
    lost = commit(repo, {"x.py": b"1"}, "v1")
    made = commit(repo, FILES, "v1", annotated=True)
    with git_host(repo.parent) as host:
        assert fetch(tmp_path, GitSource(f"{host.url}/chat.git", made)).commit == made
        assert sum("git-upload-pack" in request and "POST" in request for request in host.requests) <= 2
        with pytest.raises(NotFoundError, match="does not give commit") as caught:
            fetch(tmp_path, GitSource(f"{host.url}/chat.git", lost))
    assert "use a tag" in caught.value.hint


def test_a_host_that_asks_for_a_password(repo: Path, tmp_path: Path) -> None:
    """It is an error at once, not a question that nobody answers; the credential helper is what knows."""
    commit(repo, FILES)
    with git_host(repo.parent, token="geheim") as host:
        source = GitSource(f"{host.url}/chat.git", "v1")
        with pytest.raises(FetchError, match="could not read Username") as caught:
            fetch(tmp_path, source)
        assert "credential helper" in caught.value.hint
        config = tmp_path / "gitconfig"
        config.write_text('[credential]\nhelper = "!f() { echo username=x; echo password=geheim; }; f"\n')
        packed = clone(
            source,
            tmp_path / "into",
            work=tmp_path / "work",
            environment=environment(GIT_CONFIG_GLOBAL=str(config)),
        )
        assert packed.id == "chat"


def test_a_folder_in_a_repository(repo: Path, tmp_path: Path) -> None:
    """Only that folder counts; its name is the plugin's if nothing else says one."""
    commit(
        repo,
        {"plugins/sms/x.py": b"1", "plugins/link": ("120000", git(repo, "hash-object", "-w", "--stdin"))},
    )
    packed = fetch(tmp_path, GitSource(repo.as_uri(), "v1", "plugins/sms"))
    assert (packed.id, packed.version) == ("sms", "0.0.0")
    for missing in ("plugins/none", "plugins/sms/x.py"):
        with pytest.raises(NotFoundError, match="there is no folder"):
            fetch(tmp_path, GitSource(repo.as_uri(), "v1", missing))
    assert fetch(tmp_path, GitSource(repo.as_uri(), "v1", "plugins/sms"), id="other").id == "other"


def test_a_missing_tag(repo: Path, tmp_path: Path) -> None:
    """Branches and parts of names are no tags."""
    commit(repo, FILES, "release/v1")
    git(repo, "branch", "main", "release/v1")
    for ref in ("v1", "main", "release"):
        with pytest.raises(NotFoundError, match="there is no tag"):
            fetch(tmp_path, GitSource(repo.as_uri(), ref))
    assert fetch(tmp_path, GitSource(repo.as_uri(), "release/v1")).id == "chat"


def test_a_tag_that_is_no_commit(repo: Path, tmp_path: Path) -> None:
    """A tag can be at a file."""
    git(repo, "tag", "v1", git(repo, "hash-object", "-w", "--stdin", stdin=b"x"))
    with pytest.raises(NotFoundError, match="is no commit"):
        fetch(tmp_path, GitSource(repo.as_uri(), "v1"))


def test_a_repository_with_sha256(tmp_path: Path) -> None:
    """Longer object ids work the same."""
    folder = tmp_path / "sms.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--object-format=sha256", ".")
    made = commit(folder, {"x.py": b"1"})
    assert len(made) == 64
    packed = fetch(tmp_path, GitSource(folder.as_uri(), "v1"))
    assert packed == fetch(tmp_path, GitSource(folder.as_uri(), made))
    assert (packed.id, packed.commit) == ("sms", made)


def test_everything_that_cannot_be_packed_is_listed(repo: Path, tmp_path: Path) -> None:
    """Links, submodules and names that other systems cannot hold are refused, not left out."""
    link = git(repo, "hash-object", "-w", "--stdin", stdin=b"/etc/passwd")
    commit(
        repo,
        {
            "a.txt": b"1",
            "A.txt": b"2",
            "con.py": b"3",
            "link": ("120000", link),
            "sub": ("160000", "1" * 40),
        },
    )
    with pytest.raises(InstallError, match="4 problems") as caught:
        fetch(tmp_path, GitSource(repo.as_uri(), "v1"))
    for words in ("link: is a symbolic link", "sub: is a submodule", "only in case", "device"):
        assert words in caught.value.message


@pytest.mark.parametrize("name", ["..", ".", ".git", "a\\b"])
def test_names_that_lead_out(repo: Path, tmp_path: Path, name: str) -> None:
    """A tree can hold any name: none reaches an archive."""
    blob = git(repo, "hash-object", "-w", "--stdin", stdin=b"x")
    raw = f"100644 {name}".encode() + b"\0" + bytes.fromhex(blob)
    tree = git(repo, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    tagged(repo, tree, "v1")
    with pytest.raises(InstallError, match="cannot be packed"):
        fetch(tmp_path, GitSource(repo.as_uri(), "v1"))


def test_a_few_objects_that_name_billions_of_files(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing of a tree that holds the same tree many times, many times over, has an end."""
    monkeypatch.setattr(git_module, "_MAX_LISTING", 1024 * 1024)
    oid, mode = git(repo, "hash-object", "-w", "--stdin", stdin=b"x"), "100644"
    for _ in range(12):
        kind = "blob" if mode == "100644" else "tree"
        listing = "".join(f"{mode} {kind} {oid}\t{number}\n" for number in range(10))
        oid, mode = git(repo, "mktree", stdin=listing.encode()), "040000"
    tagged(repo, oid, "v1")
    start = time.monotonic()
    with pytest.raises(InstallError, match="more than 100000 files"):
        fetch(tmp_path, GitSource(repo.as_uri(), "v1"))
    assert time.monotonic() - start < 30


def test_a_host_that_sends_too_much(repo: Path, tmp_path: Path) -> None:
    """Git is ended once its folder is larger than allowed."""
    commit(repo, {f"{number}.bin": os.urandom(400_000) for number in range(5)})
    with git_host(repo.parent) as host, pytest.raises(TooLargeError) as caught:
        fetch(tmp_path, GitSource(f"{host.url}/chat.git", "v1"), limit=100)
    assert "sends more than 100 bytes" in caught.value.message


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script in Git's place")
def test_a_host_that_never_answers(repo: Path, tmp_path: Path) -> None:
    """After the time allowed Git is ended, and what it has started too."""
    mark = tmp_path / "mark"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n(sleep 3; touch {mark}) &\nsleep 30\n")
    fake.chmod(0o755)
    start = time.monotonic()
    with pytest.raises(FetchError, match="not complete within the time"):
        clone(
            GitSource(repo.as_uri(), "v1"),
            tmp_path / "into",
            work=tmp_path / "work",
            environment={"PATH": f"{fake.parent}:{os.environ['PATH']}"},
            timeout=0.5,
        )
    assert time.monotonic() - start < 3
    time.sleep(3)
    assert not mark.exists()


def test_without_git(repo: Path, tmp_path: Path) -> None:
    """What is missing is said."""
    with pytest.raises(InstallError, match="git is not installed"):
        clone(
            GitSource(repo.as_uri(), "v1"),
            tmp_path / "into",
            work=tmp_path / "work",
            environment={"PATH": str(tmp_path)},
        )


@pytest.mark.parametrize(
    "source",
    [
        GitSource("ext::sh -c 'touch MARK'", "v1"),
        GitSource("ext::sh", "v1"),
        GitSource("--upload-pack=touch MARK", "v1"),
        GitSource("ssh://-oProxyCommand=touch/x", "v1"),
        GitSource("git://h.example/x.git", "v1"),
        GitSource("https://user:pw@h.example/x.git", "v1"),
        GitSource("https://h.example/x.git", "--upload-pack=evil"),
        GitSource("https://h.example/x.git", "-v1"),
        GitSource("https://h.example/x.git", "v1:refs/heads/main"),
        GitSource("https://h.example/x.git", "v1", "../x"),
    ],
)
def test_what_git_could_misread_never_reaches_it(tmp_path: Path, source: GitSource) -> None:
    """A lock or a host may hold anything; it is checked again where Git is called."""
    with pytest.raises(InstallError):
        clone(source, tmp_path / "into", work=tmp_path / "work", environment={"PATH": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_the_owners_settings_cannot_open_other_ways(repo: Path, tmp_path: Path) -> None:
    """A rewritten URL that would run a command is refused by Git."""
    commit(repo, FILES)
    mark = tmp_path / "mark"
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[protocol]\nallow = always\n[url "ext::touch {mark} #"]\ninsteadOf = https://h.example/\n'
    )
    with pytest.raises(FetchError, match="not allowed"):
        clone(
            GitSource("https://h.example/x.git", "v1"),
            tmp_path / "into",
            work=tmp_path / "work",
            environment=environment(GIT_CONFIG_GLOBAL=str(config)),
        )
    assert not mark.exists()


def test_a_pointer_of_lfs_is_noted(repo: Path, tmp_path: Path) -> None:
    """The file itself is elsewhere, and its owner should know."""
    commit(repo, {"big.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"})
    (note,) = fetch(tmp_path, GitSource(repo.as_uri(), "v1")).notes
    assert note.startswith("big.bin is a pointer of Git LFS")


def test_what_git_is_given() -> None:
    """Of the caller's environment only what finds programs, settings and keys; no token, no other repository."""
    given = {
        "PATH": "/bin",
        "https_proxy": "http://proxy",
        "SSH_AUTH_SOCK": "/tmp/s",
        "GIT_DIR": "/x",
        "GIT_TRACE": "1",
        "GIT_ALLOW_PROTOCOL": "ext",
        "PLUGIN_REGISTRY_TOKEN": "geheim",
        "GITHUB_TOKEN": "geheim",
        "GIT_CONFIG_COUNT": "1",
    }
    env = git_environment(given, "https://h.example/x")
    assert {"PATH", "https_proxy", "SSH_AUTH_SOCK", "GIT_CONFIG_COUNT"} <= set(env)
    assert not {"GIT_DIR", "GIT_TRACE", "PLUGIN_REGISTRY_TOKEN", "GITHUB_TOKEN"} & set(env)
    assert (env["GIT_ALLOW_PROTOCOL"], env["GIT_TERMINAL_PROMPT"]) == ("https:ssh", "0")


@pytest.mark.parametrize(
    ("url", "ways", "name"),
    [
        ("https://h.example/acme/x.git", "https:ssh", "x"),
        ("git@h.example:acme/x.git", "https:ssh", "x"),
        ("ssh://git@h.example:2222/x/", "https:ssh", "x"),
        ("file:///srv/x.git", "file", "x"),
        ("http://127.0.0.1:8000/x", "http:https:ssh", "x"),
    ],
)
def test_urls_that_are_taken(url: str, ways: str, name: str) -> None:
    """Each allows the ways that belong to it."""
    assert check_git_url(url) == url
    assert (protocols(url), repository_name(url)) == (ways, name)
