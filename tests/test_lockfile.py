"""plugins.lock: what it must state, and that the same lock is always the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry_client.digest import Digest
from registry_client.errors import DocumentError
from registry_client.installer.project.lockfile import (
    LOCK_LIMIT,
    Lock,
    LockedPlugin,
    LockedRegistry,
    LockedWish,
    lock_bytes,
    locked_source,
    parse_lock,
)
from registry_client.installer.project.sources import (
    AdoptedSource,
    GitSource,
    PathSource,
    PypiSource,
    RegistrySource,
    Source,
)

DIGEST = Digest.of(b"x")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ARTIFACT = {"name": "sms-1.0.0.zip", "digest": DIGEST, "size": 5}
SIGNED: dict[str, Any] = {
    "id": "calendar",
    "version": "1.2.0",
    "source": {"kind": "registry", "registry": "main"},
    "payloadDigest": DIGEST,
    "publisher": "acme",
    "keyids": ["0" * 64],
    "artifact": {**ARTIFACT, "url": "https://files.example/" + "x" * 500},
    "requires": {"host": {"nexus": ">=1"}, "plugins": {"sms": ">=1"}, "packages": ["httpx"]},
    "permissions": ["database.read"],
}
UNSIGNED: dict[str, Any] = {
    "id": "sms",
    "version": "1.0.0",
    "source": {"kind": "git", "url": "https://h.example/x.git", "ref": "v1", "commit": COMMIT},
    "artifact": ARTIFACT,
}


def document(*plugins: dict[str, Any]) -> bytes:
    return json.dumps({"kind": "lock", "schemaVersion": 1, "plugins": plugins}).encode()


def test_written_and_read_again() -> None:
    """Nothing is lost, and the plugins stand sorted."""
    lock = parse_lock(document(UNSIGNED, SIGNED), "plugins.lock")
    data = lock_bytes(lock)
    again = parse_lock(data, "plugins.lock")
    assert [plugin.id for plugin in again.plugins] == ["calendar", "sms"]
    assert again.by_id == lock.by_id
    assert lock_bytes(again) == data
    assert data.endswith(b"}\n")
    assert (again.by_id["calendar"].signed, again.by_id["sms"].signed) == (True, False)


def test_the_same_lock_gives_the_same_bytes() -> None:
    """In whatever order it was put together."""
    registries = {name: LockedRegistry(url=f"https://{name}.example", root=DIGEST) for name in "ab"}
    wanted = {name: LockedWish(source=locked_source(PathSource(name)), range="") for name in "cd"}
    plugins = tuple(parse_lock(document(SIGNED, UNSIGNED), "x").plugins)
    one = Lock(registries=registries, wanted=wanted, plugins=plugins)
    other = Lock(
        registries=dict(reversed(registries.items())),
        wanted=dict(reversed(wanted.items())),
        plugins=plugins[::-1],
    )
    assert lock_bytes(one) == lock_bytes(other)


def test_a_distribution_states_the_version_that_its_index_has() -> None:
    """Which may be none that a registry has."""
    source = {"kind": "pypi", "name": "x", "url": "https://pypi.org/simple/", "ref": "1.0.post1"}
    lock = parse_lock(document({**UNSIGNED, "source": source}), "x")
    assert parse_lock(lock_bytes(lock), "x").plugins[0].source.ref == "1.0.post1"


def test_an_empty_lock() -> None:
    """A project without plugins has one too."""
    data = lock_bytes(Lock())
    assert json.loads(data) == {"kind": "lock", "schemaVersion": 1, "plugins": []}
    assert parse_lock(data, "x") == Lock()


@pytest.mark.parametrize(
    "source",
    [
        RegistrySource("main"),
        PathSource("../" + "x" * 500),
        GitSource("https://h.example/" + "x" * 500, "v1", "a/b"),
        GitSource("file:///srv/x.git", COMMIT),
        PypiSource("x-y", "https://pypi.org/simple/"),
        AdoptedSource(),
    ],
)
def test_each_source_can_be_locked(source: Source) -> None:
    """As long as plugins.toml may state it, and the same again when it is read."""
    lock = Lock(wanted={"x": LockedWish(source=locked_source(source), range="")})
    assert parse_lock(lock_bytes(lock), "x") == lock
    assert locked_source(source).signed == isinstance(source, RegistrySource)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payloadDigest": None}, "expected payloadDigest and publisher"),
        ({"publisher": None}, "expected payloadDigest and publisher"),
        ({"payloadDigest": "sha256:0"}, "expected sha256"),
        ({"source": {"kind": "registry"}}, "expected registry of a source"),
        ({"source": {"kind": "registry", "registry": "main", "path": "x"}}, "expected registry of a source"),
        ({"source": {"kind": "path"}, "payloadDigest": None}, "expected path of a source"),
        ({"source": {"kind": "git", "url": "https://h.example/x"}}, "expected ref and url"),
        ({"source": {"kind": "git", "url": "https://h.example/x", "ref": "v1"}}, "expected the commit"),
        ({"source": {"kind": "pypi", "name": "x"}}, "expected name and url"),
        ({"source": {"kind": "svn"}}, "input should be"),
        ({"source": {"kind": "path", "path": "x"}, "artifact": None}, "expected the artifact"),
        ({"artifact": {**ARTIFACT, "name": "../x.zip"}}, "expected a plain file name"),
        ({"artifact": {**ARTIFACT, "size": 0}}, "greater than or equal to 1"),
        ({"id": "../x"}, "expected a plugin id"),
        ({"version": "1.0"}, "expected a version"),
        ({"keyids": ["x"]}, "match"),
        ({"permissions": ["a b"]}, "match"),
        ({"requires": {"plugins": {"x": "?"}}}, "expected a range"),
    ],
)
def test_an_incomplete_lock_is_refused(changes: dict[str, Any], words: str) -> None:
    """What would not pin a version exactly, or could lead out of a folder, is no lock."""
    plugin = {name: value for name, value in {**SIGNED, **changes}.items() if value is not None}
    with pytest.raises(DocumentError, match=words):
        parse_lock(document(plugin), "plugins.lock")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"[]", "expected a JSON object"),
        (b'{"kind": "lock", "kind": "lock"}', "stands twice"),
        (b'{"kind": "manifest", "schemaVersion": 1}', "input should be 'lock'"),
        (b'{"kind": "lock", "schemaVersion": 0}', "input should be 1"),
        (
            b'{"kind": "lock", "schemaVersion": 2, "plugins": {}}',
            "is 2; this version of the program knows 1 only",
        ),
        (document(SIGNED, SIGNED), "each plugin once"),
        (b" " * (LOCK_LIMIT + 1), "at most"),
    ],
)
def test_what_is_no_lock(data: bytes, words: str) -> None:
    """The file is named, and what is wrong with it."""
    with pytest.raises(DocumentError, match=words) as caught:
        parse_lock(data, "plugins.lock")
    assert caught.value.where == "plugins.lock"


def test_members_of_later_versions_are_tolerated() -> None:
    """Reading is lenient about members that are not known."""
    assert isinstance(parse_lock(document({**SIGNED, "later": 1}), "x").plugins[0], LockedPlugin)
