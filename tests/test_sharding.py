"""The index as files: worked out from what changed, it is what it is worked out whole; and no client loses a plugin over it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.registrar import sharding
from publisher.registrar.sharding import Ref, SignedShards, join_shards, read_directory, update_shards
from registry_client.models.index import MAX_BITS, TOP_BITS
from registry_client.shards import bits_of, read_node, shard_path

if TYPE_CHECKING:
    from collections.abc import Iterator

Texts = dict[str, list[str]]
SMALL = 400


def _crowded() -> list[str]:
    """Ids of which many share 9 bits, and some all 20."""
    ids = [f"plugin-{number}" for number in range(6000)]
    top, full = defaultdict(list), defaultdict(list)
    for plugin_id in ids:
        top[bits_of(plugin_id, TOP_BITS)].append(plugin_id)
        full[bits_of(plugin_id)].append(plugin_id)
    same = [own for own in full.values() if len(own) > 1]
    assert same
    first = bits_of(same[0][0], TOP_BITS)
    beside = f"{first[:-1]}{1 - int(first[-1])}"
    return sorted({*same[0], *top[first][:9], *top[beside][:4], *ids[:9]})


IDS = _crowded()


@pytest.fixture(autouse=True)
def _small_shards() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SPLIT_ABOVE", SMALL)
        yield


def _texts(sizes: dict[str, list[int]]) -> Texts:
    return {
        plugin_id: [f'{{"id":"{plugin_id}","n":{n},"p":"{"x" * size}"}}' for n, size in enumerate(own)]
        for plugin_id, own in sizes.items()
        if own
    }


class Signed:
    """An index as it was written, of which every reading is counted."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.read: list[str] = []
        top = {bits: Ref.of(data) for bits, data in files.items() if len(bits) <= TOP_BITS}
        self.shards = SignedShards(top, self._read)

    def _read(self, bits: str, ref: Ref) -> bytes:
        assert Ref.of(self.files[bits]) == ref
        self.read.append(bits)
        return self.files[bits]

    def rows(self, bits: str) -> Texts:
        """What stands in a shard."""
        ref = self.shards.find(bits)
        assert ref is not None
        found: Texts = {}
        for text in self.shards.read(bits, ref).decode().split("\n")[1:-2]:
            found.setdefault(text.split('"')[3], []).append(text.removesuffix(","))
        return found

    def updated(self, changed: Texts) -> dict[str, bytes]:
        """All files after a change, most of them as they were."""
        update = update_shards(self.shards, changed, self.rows)
        files: dict[str, bytes] = dict(update.written)
        for bits, ref in update.top.items():
            data = files.setdefault(bits, self.files.get(bits, b""))
            assert Ref.of(data) == ref
            for name in read_directory(data, shard_path(bits)) or {}:
                files.setdefault(name, self.files.get(name, b""))
        assert files.keys() >= update.written.keys()
        assert all(self.files.get(bits) != data for bits, data in update.written.items())
        return files


SIZES = st.lists(st.sampled_from([0, 10, 90, 200, 500]), min_size=1, max_size=3)
STEPS = st.lists(st.dictionaries(st.sampled_from(IDS), SIZES, max_size=6), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_by_what_changed_as_whole(steps: list[dict[str, list[int]]]) -> None:
    """However an index came about, each step from what changed gives the bytes that the rows alone give."""
    sizes: dict[str, list[int]] = {}
    files: dict[str, bytes] = {}
    for step in steps:
        sizes |= step
        files = Signed(files).updated(_texts(step))
        assert files == join_shards(_texts(sizes))


def test_from_shard_to_directory_and_back() -> None:
    """A shard of 9 bits that grows becomes a directory, and one whose rows shrink a shard again."""
    top = bits_of(IDS[0], TOP_BITS)
    own = [i for i in IDS if bits_of(i, TOP_BITS) == top]
    crowd = max(({i for i in IDS if bits_of(i, TOP_BITS) == bits_of(j, TOP_BITS)} for j in IDS), key=len)
    large, little = {i: [200] for i in crowd}, {i: [0] for i in crowd}
    assert own
    files = join_shards(_texts(large))
    assert any(len(bits) > TOP_BITS for bits in files)
    smaller = Signed(files).updated(_texts(little))
    assert smaller == join_shards(_texts(little))
    assert Signed(smaller).updated(_texts(large)) == files


def test_what_shares_all_bits_stays_together() -> None:
    """Shards of 20 bits are not split any more, however large they are."""
    same = next(own for i in IDS if len(own := [j for j in IDS if bits_of(j) == bits_of(i)]) > 1)
    files = join_shards(_texts({i: [500] for i in same}))
    assert {len(bits) for bits in files} == {TOP_BITS, MAX_BITS}
    assert len(files[bits_of(same[0])]) > SMALL


def test_a_directory_is_what_clients_read() -> None:
    """The client's own reading takes it, and finds each plugin by it."""
    crowd = max(([i for i in IDS if bits_of(i, TOP_BITS) == bits_of(j, TOP_BITS)] for j in IDS), key=len)
    files = join_shards(_texts({i: [200] for i in crowd}))
    top = bits_of(crowd[0], TOP_BITS)
    node = read_node(files[top], shard_path(top))
    assert not isinstance(node, list)
    for plugin_id in crowd:
        ref = node.find(plugin_id)
        assert ref is not None
        assert Ref(ref.digest, ref.size) == Ref.of(files[ref.bits])
        assert f'"{plugin_id}"'.encode() in files[ref.bits]


def test_only_what_is_concerned_is_read() -> None:
    """One changed plugin: its shard, its directory, and no other, as long as nothing is merged."""
    files = join_shards(_texts({i: [200] for i in IDS}))
    signed = Signed(files)
    plugin_id = IDS[3]
    signed.updated({**_texts({plugin_id: [200, 10]})})
    assert len(signed.read) <= 2 + len([b for b in signed.shards.top if b[:8] == bits_of(plugin_id, 8)])
    assert len(signed.read) < len(files) / 3
