"""Index shards: where a plugin's lines are, and that they are found again."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import row

from publisher.registrar.sharding import build_shards, join_shards
from registry_client.errors import DocumentError
from registry_client.jsontext import dump_json, dump_line, dump_lines, parse_json
from registry_client.models.index import MAX_BITS, SHARD_LIMIT, TOP_BITS, IndexShard
from registry_client.shards import (
    SPLIT_ABOVE,
    Directory,
    bits_of,
    find_shard,
    parse_shard,
    read_node,
    shard_path,
)

IDS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True)
Rows = dict[str, list[dict[str, Any]]]


def _shard(bits: str, rows: list[Any]) -> bytes:
    """A shard as the format says, built another way than the module does."""
    return dump_lines({"bits": bits, "kind": "index", "schemaVersion": 1}, "lines", rows)


def _rows(ids: list[str], *, versions: int = 1, padding: int = 0) -> Rows:
    more = {"removed": "x" * padding} if padding else {}
    return {i: [row(i, f"1.{n}.0", **more) for n in range(versions)] for i in ids}


def _many(count: int, **more: int) -> Rows:
    return _rows([f"plugin-{n}" for n in range(count)], **more)


def _find(shards: dict[str, bytes], plugin_id: str) -> str | None:
    """Where a client finds a plugin: by a TUF target, and by a directory if that is one."""
    top = {shard_path(bits) for bits in shards if len(bits) <= TOP_BITS}
    path = find_shard(plugin_id, lambda path: path in top)
    node = read_node(_by_path(shards)[path], path) if path is not None else None
    if isinstance(node, Directory):
        ref = node.find(plugin_id)
        return None if ref is None else shard_path(ref.bits)
    return path


def _by_path(shards: dict[str, bytes]) -> dict[str, bytes]:
    return {shard_path(bits): data for bits, data in shards.items()}


def _versions(shards: dict[str, bytes], plugin_id: str) -> list[str]:
    path = _find(shards, plugin_id)
    if path is None:
        return []
    return [line.version for line in parse_shard(_by_path(shards)[path], path, plugin_id)]


def _lines(shards: dict[str, bytes]) -> dict[str, bytes]:
    """Those that hold lines."""
    return {bits: data for bits, data in shards.items() if b'"kind":"index"' in data[:60]}


def test_bits_are_those_of_sha256() -> None:
    """The bits by which a shard is named are the digest's first."""
    full = f"{int(hashlib.sha256(b'calendar').hexdigest(), 16):0256b}"
    assert bits_of("calendar") == full[:20]
    assert [bits_of("calendar", n) for n in range(1, 21)] == [full[:n] for n in range(1, 21)]
    assert bits_of("cal-en_dar") == full[:20]


def test_an_empty_registry_has_no_shards() -> None:
    """Nothing to write, nothing to find."""
    assert build_shards({}) == {}
    assert _find({}, "calendar") is None


def test_small_registries_have_two_shards() -> None:
    """While all fits, no more than one bit is used, so a small registry is two small files."""
    shards = build_shards(_many(20))
    assert set(shards) == {"0", "1"}
    assert all(len(data) <= SPLIT_ABOVE for data in shards.values())


@pytest.mark.parametrize("count", [400, 2000])
def test_shards_over_64_kib_are_split(count: int) -> None:
    """Each shard is within 64 KiB, and none is split that need not be."""
    rows = _many(count)
    shards = build_shards(rows)
    assert len(shards) > 2
    assert all(len(data) <= SPLIT_ABOVE for data in shards.values())
    for bits in shards:
        if len(bits) > 1:
            parent = bits[:-1]
            ids = sorted(i for i in rows if bits_of(i).startswith(parent))
            assert len(_shard(parent, [r for i in ids for r in rows[i]])) > SPLIT_ABOVE


def test_exactly_64_kib_is_not_split() -> None:
    """The limit itself is allowed; one byte more is split."""
    zeros = [i for i in (f"p{n}" for n in range(200)) if bits_of(i, 1) == "0"][:40]
    rows = _rows(zeros, padding=1000)
    size = len(build_shards({i: rows[i] for i in zeros[:30]})["0"])
    fill = SPLIT_ABOVE - size
    rows = {i: rows[i] for i in zeros[:30]}
    while fill > 0:
        for i in rows:
            add = min(fill, 100)
            rows[i][0]["removed"] += "x" * add
            fill -= add
    assert [len(data) for data in build_shards(rows).values()] == [SPLIT_ABOVE]
    rows[zeros[0]][0]["removed"] += "x"
    assert "0" not in build_shards(rows)


def test_nine_bits_are_the_most_of_a_target() -> None:
    """At nine bits there is a directory: 512 targets at most, and every plugin is still found."""
    top = bits_of("p0", TOP_BITS)
    same = [i for i in (f"p{n}" for n in range(40_000)) if bits_of(i, TOP_BITS) == top]
    rows = _rows(same[:70], padding=900)
    shards = build_shards(rows)
    assert [bits for bits in shards if len(bits) <= TOP_BITS] == [top]
    assert len(_lines(shards)) > 1
    assert all(len(data) <= SPLIT_ABOVE for data in shards.values())
    assert all(_versions(shards, i) == ["1.0.0"] for i in rows)


def test_one_large_plugin_goes_down_to_twenty_bits() -> None:
    """A plugin whose versions alone pass 64 KiB does not keep its neighbours' shards large."""
    rows = _many(200) | _rows(["big"], versions=200)
    shards = build_shards(rows)
    assert _find(shards, "big") == shard_path(bits_of("big"))
    assert len(_versions(shards, "big")) == 200
    assert all(len(data) <= SPLIT_ABOVE for bits, data in shards.items() if bits != bits_of("big"))
    assert len(bits_of("big")) == MAX_BITS


@settings(max_examples=25)
@given(st.lists(IDS, max_size=60, unique=True), IDS, st.integers(0, 1000))
def test_every_plugin_is_found(ids: list[str], other: str, padding: int) -> None:
    """After building, each plugin's lines are in the one shard where a client looks; an unknown id has none."""
    rows = _rows(ids, versions=3, padding=padding)
    shards = build_shards(rows)
    for plugin_id in ids:
        assert _versions(shards, plugin_id) == ["1.0.0", "1.1.0", "1.2.0"]
    if other not in ids:
        assert _versions(shards, other) == []
    everything = [line.id for bits, data in _lines(shards).items() for line in parse_shard(data, bits)]
    assert sorted(everything) == sorted(ids * 3)


@settings(max_examples=25)
@given(st.lists(IDS, min_size=1, max_size=60, unique=True), st.data())
def test_a_new_version_loses_nobody(ids: list[str], data: st.DataObject) -> None:
    """Adding versions, up to a split, leaves every other plugin where a lookup finds it, and untouched shards the same."""
    rows = _rows(ids, versions=2, padding=data.draw(st.integers(1, 1000)))
    before = build_shards(rows)
    grown = data.draw(st.sampled_from(ids))
    rows[grown] = rows[grown] + [row(grown, f"2.{n}.0") for n in range(data.draw(st.integers(1, 200)))]
    after = build_shards(rows)
    for plugin_id in ids:
        assert len(_versions(after, plugin_id)) == len(rows[plugin_id])
    home = bits_of(grown)
    assert {b: d for b, d in before.items() if not home.startswith(b)}.items() <= after.items()
    lines = _lines(after)
    assert not {
        bits for bits in lines if any(bits != b and bits.startswith(b) for b in lines)
    }  # none within another


def test_building_is_a_function_of_the_rows() -> None:
    """The order in which plugins became known leaves no trace."""
    rows = _many(300)
    assert build_shards(rows) == build_shards(dict(reversed(rows.items())))


def test_bytes_are_those_of_the_format() -> None:
    """Sorted by id, then as given, one line each; rows that are text already give the same."""
    rows = _many(30, versions=3)
    shards = build_shards(rows)
    for bits, data in shards.items():
        assert data == _shard(bits, [r for i in sorted(rows) if bits_of(i).startswith(bits) for r in rows[i]])
    assert join_shards({i: [dump_line(r) for r in own] for i, own in rows.items()}) == shards


def test_one_line_of_text_a_version() -> None:
    """Lines keep Git diffs small; the shard is a document of its model."""
    data = _shard("0", [row("a", "1.0.0"), row("a", "1.1.0"), row("b", "1.0.0")])
    lines = data.decode().splitlines()
    assert [json.loads(text.rstrip(","))["version"] for text in lines[1:-1]] == ["1.0.0", "1.1.0", "1.0.0"]
    assert len(IndexShard.model_validate_json(data).lines) == 3


class TestParsing:
    """Shards that are not what they should be."""

    def test_versions_come_oldest_first(self) -> None:
        """Whatever the order in the file, versions are in theirs."""
        versions = ["1.10.0", "1.2.0", "1.2.0-rc.1", "1.2.0-alpha.2", "0.9.0", "1.2.0-alpha.10"]
        data = _shard("0", [row("a", version) for version in versions])
        assert [line.version for line in parse_shard(data, "x", "a")] == [
            "0.9.0",
            "1.2.0-alpha.2",
            "1.2.0-alpha.10",
            "1.2.0-rc.1",
            "1.2.0",
            "1.10.0",
        ]

    BAD_LINES: tuple[Any, ...] = (
        None,
        7,
        [],
        {},
        {"id": "bad"},
        {"id": ["good"]},
        row("Bad", "1.0.0"),
        row("bad", "1.0"),
        row("bad", "1.0.0", publisher="../x"),
        row("bad", "1.0.0", manifest=None),
        row("bad", "1.0.0", manifest={**row("bad", "1.0.0")["manifest"], "path": "/etc/passwd"}),
        row("bad", "1.0.0", manifest={**row("bad", "1.0.0")["manifest"], "path": "plugins/../x"}),
        row("bad", "1.0.0", manifest={**row("bad", "1.0.0")["manifest"], "size": 262_145}),
        row("bad", "1.0.0", manifest={**row("bad", "1.0.0")["manifest"], "digest": "sha256:x"}),
        row("bad", "1.0.0", initialStatus="yanked"),
        row("bad", "1.0.0", release="x"),
        row("bad", "1.0.0", publishedAt="yesterday"),
    )

    @pytest.mark.parametrize("bad", BAD_LINES)
    def test_one_bad_line_hides_no_other_plugin(self, bad: Any) -> None:
        """Who asks for a good plugin gets it; who asks for the bad one, or for all, is told what is wrong."""
        data = _shard("0", [row("good", "1.0.0"), bad, row("good", "2.0.0")])
        assert [line.version for line in parse_shard(data, "index/0.json", "good")] == ["1.0.0", "2.0.0"]
        with pytest.raises(DocumentError, match=r"index/0\.json: \d+ problem") as caught:
            parse_shard(data, "index/0.json")
        assert all(problem.path.startswith("$.lines[1]") for problem in caught.value.problems)
        if isinstance(bad, dict) and bad.get("id") == "bad":
            with pytest.raises(DocumentError):
                parse_shard(data, "index/0.json", "bad")

    def test_a_version_stands_once(self) -> None:
        """Two lines for one version are refused: which one would count?"""
        data = _shard("0", [row("a", "1.0.0"), row("b", "1.0.0"), row("a", "1.0.0", removed="x")])
        with pytest.raises(DocumentError, match=r"\$\.lines\[2\]: a 1\.0\.0 stands twice"):
            parse_shard(data, "index/0.json", "a")
        assert len(parse_shard(data, "index/0.json", "b")) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"kind": "manifest"},
            {"kind": None},
            {"schemaVersion": 2},
            {"schemaVersion": "1"},
            {"lines": None},
            {"lines": {}},
            {"lines": "x"},
        ],
    )
    def test_another_kind_of_document(self, change: dict[str, Any]) -> None:
        """Only an index of format 1 with an array of lines is a shard."""
        document = parse_json(_shard("0", [row("a", "1.0.0")]), limit=SHARD_LIMIT, where="x")
        with pytest.raises(DocumentError, match="expected kind index, schemaVersion 1"):
            parse_shard(dump_json({**document, **change}), "index/0.json", "a")

    @pytest.mark.parametrize(
        "data", [b"", b"[]", b'{"lines": [', b"\xff", b'{"kind":"index","kind":"index"}']
    )
    def test_not_json(self, data: bytes) -> None:
        """Bytes that are no JSON object are refused like everywhere."""
        with pytest.raises(DocumentError, match=r"index/0\.json: 1 problem"):
            parse_shard(data, "index/0.json", "a")

    def test_size_limit(self) -> None:
        """A shard over 1 MiB is refused."""
        with pytest.raises(DocumentError, match="at most 1048576 are allowed"):
            parse_shard(b" " * (SHARD_LIMIT + 1), "index/0.json", "a")

    def test_unknown_members_are_tolerated(self) -> None:
        """A newer registrar may say more."""
        data = _shard("0", [{**row("a", "1.0.0"), "future": {"x": 1}}])
        assert [line.version for line in parse_shard(data, "x", "a")] == ["1.0.0"]
