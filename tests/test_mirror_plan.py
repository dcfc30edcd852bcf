"""The decisions of a mirror's run: targets, kinds, what is remembered, what there is to do."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.mirror.kinds import kind_of, named_digest, write_order
from publisher.mirror.place import Tag
from publisher.mirror.plan import build_plan, present
from publisher.mirror.state import Known, build_state, parse_state
from publisher.mirror.target import Bucket, endpoint_of, parse_target
from publisher.tree import TIMESTAMP
from registry_client.digest import Digest
from registry_client.errors import ConfigError

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
HEX = "ab" * 32
A, B = Digest.of(b"a"), Digest.of(b"b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("_site", None),
        ("/srv/mirror", None),
        ("C:\\mirror", None),
        ("D:mirror", None),
        ("./s3:mirror", None),
        ("s3://acme", Bucket("s3", "acme", "")),
        ("s3://acme/", Bucket("s3", "acme", "")),
        ("s3://acme-plugins/a/b.c/", Bucket("s3", "acme-plugins", "a/b.c")),
        ("gs://acme_plugins/registry", Bucket("gs", "acme_plugins", "registry")),
        ("az://plugins/registry", Bucket("az", "plugins", "registry")),
    ],
)
def test_targets(text: str, expected: Bucket | None) -> None:
    """Folders, and prefixes in buckets."""
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "s3://key:hunter2@acme/x",
        "s3://hunter2@acme",
        "s3://acme/x?X-Amz-Signature=hunter2",
        "az://acme/x?sig=hunter2",
        "s3://acme/x#hunter2",
        "s3://acme/a@hunter2",
        "https://acme.blob.core.windows.net/x?sig=hunter2",
        "ftp://acme/x",
        "file:///srv/mirror",
        "s3://",
        "s3:///x",
        "s3:/acme",
        "S3:acme",
        "https:/acme.example/?sig=hunter2",
        "s3://a",
        "s3://acme/../x",
        "s3://acme/x/..",
        "s3://acme/./x",
        "s3://acme//x",
        "s3://acme/x//",
        "s3://acme/a b",
        "s3://acme/%2e%2e/x",
        "s3://acme/x\n",
        "s3://acme:9000/x",
        "S3://acme/x",
    ],
)
def test_targets_that_are_refused(text: str) -> None:
    """Secrets do not belong into URLs, and are not repeated; prefixes are what they look like."""
    with pytest.raises(ConfigError) as caught:
        parse_target(text)
    assert caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("given_", "environ", "expected"),
    [
        (None, {}, None),
        ("https://acme.example/", {}, "https://acme.example"),
        ("http://127.0.0.1:9000", {}, "http://127.0.0.1:9000"),
        ("http://localhost:9000", {}, "http://localhost:9000"),
        ("http://[::1]:9000", {}, "http://[::1]:9000"),
        (None, {"AWS_ENDPOINT_URL": "https://a.example"}, "https://a.example"),
        (
            None,
            {"AWS_ENDPOINT_URL": "https://a.example", "AWS_ENDPOINT_URL_S3": "https://b.example"},
            "https://b.example",
        ),
        ("https://c.example", {"AWS_ENDPOINT_URL": "http://a.example"}, "https://c.example"),
        (None, {"AZURE_ENDPOINT": "http://a.example"}, None),
    ],
)
def test_endpoints(given_: str | None, environ: dict[str, str], expected: str | None) -> None:
    """The option counts before the environment."""
    assert endpoint_of(Bucket("s3", "acme", ""), given_, environ) == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://a.example", "http://127.0.0.1.a.example", "https://key:hunter2@a.example", "https://a.example?x=hunter2", "a.example",
        "https://", "ftp://a.example", "https://[::1", "https://a.example:port",
    ],
)  # fmt: skip
@pytest.mark.parametrize("option", [True, False])
def test_endpoints_that_are_refused(endpoint: str, option: bool) -> None:
    """What is sent is signed, but not encrypted: http is for this machine alone."""
    with pytest.raises(ConfigError) as caught:
        endpoint_of(
            Bucket("s3", "acme", ""),
            endpoint if option else None,
            {} if option else {"AWS_ENDPOINT": endpoint},
        )
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("path", "immutable", "content_type"),
    [
        (TIMESTAMP, False, "application/json"),
        ("metadata/12.snapshot.json", True, "application/json"),
        ("metadata/1.root.json", True, "application/json"),
        (f"targets/{HEX}.registry.json", True, "application/json"),
        (f"targets/index/{'0' * 9}/{HEX}.{'0' * 12}.json", True, "application/json"),
        (f"artifacts/sha256/{HEX}/acme.zip", True, "application/zip"),
        (f"artifacts/sha256/{HEX}/acme.tar.gz", True, "application/gzip"),
        (f"artifacts/sha256/{HEX}/page.html", True, "application/octet-stream"),
        (f"artifacts/sha256/{HEX}/page.svg", True, "application/octet-stream"),
        ("plugins/calendar/1.0.0/manifest.json", True, "application/json"),
        ("plugins/_51/calendar/1.0.0/manifest.json", True, "application/json"),
        ("plugins/calendar/1.0.0/manifest.0123456789ab.json", True, "application/json"),
        ("plugins/calendar/1.0.0/release.json", False, "application/json"),
        ("plugins/calendar.json", False, "application/json"),
        ("plugins/_51/calendar.json", False, "application/json"),
        ("publishers/acme.json", False, "application/json"),
        ("registry.json", False, "application/json"),
        ("bundle/manifests.gz", False, "application/gzip"),
        ("schema/manifest.schema.json", False, "application/json"),
    ],
)
def test_kinds(path: str, immutable: bool, content_type: str) -> None:
    """What never changes is kept by caches; what somebody uploaded is never a page."""
    kind = kind_of(path)
    assert (kind.immutable, kind.content_type) == (immutable, content_type)
    assert ("immutable" in kind.cache_control) is immutable
    assert kind.attachment is path.startswith("artifacts/")


def test_names_that_say_what_is_in_them() -> None:
    """And those that only look so."""
    assert named_digest(f"targets/{HEX}.registry.json") == Digest.from_hex(HEX)
    assert named_digest(f"targets/index/{'0' * 9}/{HEX}.{'0' * 12}.json") == Digest.from_hex(HEX)
    assert named_digest(f"artifacts/sha256/{HEX}/acme.zip") == Digest.from_hex(HEX)
    for path in (
        "registry.json",
        f"targets/x.{HEX}.json",
        f"plugins/{HEX}.json",
        f"artifacts/sha256/{HEX}/a/b",
    ):
        assert named_digest(path) is None


def test_the_order() -> None:
    """Files before the metadata that names them; roots by number, each before the next; the timestamp last."""
    order = [
        "metadata/1.root.json", f"artifacts/sha256/{HEX}/a.zip", f"targets/{HEX}.a.json", "plugins/a.json", "registry.json",
        "metadata/9.targets.json", "metadata/3.snapshot.json", "metadata/9.root.json", "metadata/10.root.json", TIMESTAMP,
    ]  # fmt: skip
    assert sorted(set(order), key=write_order) == order
    waves = build_plan(dict.fromkeys(order, A), {}, NOW, WEEK).waves
    assert [put.path for put in waves[-1]] == [TIMESTAMP]
    assert [put.path for put in waves[0]] == ["metadata/1.root.json"]


def test_what_there_is_to_do() -> None:
    """New, changed, equal, unknown, gone for long, gone since now."""
    wanted = {"plugins/new.json": A, "plugins/old.json": A, "plugins/same.json": A, "plugins/unknown.json": A}
    there = {
        "plugins/old.json": Known(Tag("1"), B),
        "plugins/same.json": Known(Tag("2"), A),
        "plugins/unknown.json": Known(Tag("3")),
        "plugins/gone.json": Known(Tag("4"), A, NOW - WEEK),
        "plugins/going.json": Known(Tag("5"), A, NOW - WEEK + timedelta(seconds=1)),
        "plugins/went.json": Known(Tag("6"), A),
        "plugins/later.json": Known(Tag("7"), A, NOW + WEEK),
    }
    plan = build_plan(wanted, there, NOW, WEEK)
    assert {put.path: put.seen for wave in plan.waves for put in wave} == {
        "plugins/new.json": None,
        "plugins/old.json": Tag("1"),
        "plugins/unknown.json": Tag("3"),
    }
    assert plan.unchanged == ("plugins/same.json",)
    assert plan.deletes == ("plugins/gone.json",)
    assert {path: known.gone_since for path, known in plan.gone.items()} == {
        "plugins/gone.json": NOW - WEEK,
        "plugins/going.json": NOW - WEEK + timedelta(seconds=1),
        "plugins/went.json": NOW,
        "plugins/later.json": NOW,
    }


def test_what_is_remembered_counts_under_its_tag_only() -> None:
    """Other files than ours are never looked at."""
    remembered = {
        "registry.json": Known(Tag("1", "g1"), A),
        "blocks.json": Known(Tag("2"), A, NOW),
        "policy.json": Known(Tag(None), A),
        "plugins/vanished.json": Known(Tag("3"), A),
    }
    listed = {
        "registry.json": Tag("1"), "blocks.json": Tag("9"), "policy.json": Tag(None), "CNAME": Tag("5"), ".mirror/lease.json": Tag("6"),
    }  # fmt: skip
    assert present(listed, remembered) == {
        "registry.json": Known(Tag("1", "g1"), A),
        "blocks.json": Known(Tag("9"), None, NOW),
        "policy.json": Known(Tag(None)),
    }


_KNOWN = st.builds(
    Known,
    st.builds(Tag, st.none() | st.text(max_size=9), st.none() | st.text(max_size=9)),
    st.none() | st.binary(max_size=4).map(Digest.of),
    st.none() | st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)


@given(st.dictionaries(st.text(max_size=20), _KNOWN, max_size=5))
def test_the_state_comes_back(files: dict[str, Known]) -> None:
    """And equal states are equal bytes."""
    data = build_state(files)
    assert parse_state(data) == files
    assert build_state(dict(reversed(files.items()))) == data


@pytest.mark.parametrize(
    "text",
    [
        None,
        "[]",
        '{"kind":"mirror-state","schemaVersion":2,"files":{}}',
        '{"kind":"mirror-state","schemaVersion":1,"files":{"a":{"eTag":1}}}',
        '{"kind":"mirror-state","schemaVersion":1,"files":{"a":{"sha256":"zz"}}}',
        '{"kind":"mirror-state","schemaVersion":1,"files":{"a":{"goneSince":"soon"}}}',
        '{"kind":"mirror-state","schemaVersion":1,"files":[1]}',
        "[" * 100_000,
    ],
    ids=["nothing", "a list", "version", "eTag", "sha256", "goneSince", "files", "deep"],
)
def test_a_packed_state_that_makes_no_sense(text: str | None) -> None:
    """What a hostile or damaged mirror may hold packed; nothing of it is believed."""
    data = build_state({})[:-4] if text is None else gzip.compress(text.encode(), mtime=0)
    test_a_state_that_makes_no_sense(data)


@pytest.mark.parametrize("data", [b"", b"{}"], ids=["empty", "not packed"])
def test_a_state_that_makes_no_sense(data: bytes) -> None:
    """Is none; it is found out anew."""
    assert parse_state(data) is None
