"""The index as files: which rows stand in which shard. A function of the rows alone, worked out whole or from what changed. Pure.

A shard over 64 KiB is split by the next bit. Those of up to 9 bits are TUF targets; one of 9 bits that would be too large is a
directory, which names those below it, of up to 20 bits. See docs/adr/0027-index-directories.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from registry_client.digest import Digest
from registry_client.errors import DocumentError
from registry_client.jsontext import dump_line, dump_lines
from registry_client.models.index import MAX_BITS, TOP_BITS
from registry_client.shards import SPLIT_ABOVE, Directory, bits_of, read_node, shard_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_HEAD = b'{"bits":"%s","kind":"index","schemaVersion":1,"lines":[\n'
_TAIL = b"\n]}\n"
_BETWEEN = b",\n"
_FRAME = len(_HEAD % b"") + len(_TAIL) - len(_BETWEEN)
_DIRECTORY = "index-directory"


class Ref(NamedTuple):
    """What a shard or directory must be: its digest, and its length in bytes."""

    digest: Digest
    size: int

    @staticmethod
    def of(data: bytes) -> Ref:
        """What these bytes are."""
        return Ref(Digest.of(data), len(data))


def build_shards(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    """All shards and directories for rows by plugin id (each list sorted by version): a function of the rows alone.

    Returns:
        Bytes by bits. Those of up to 9 bits are TUF targets.
    """
    return join_shards({plugin_id: [dump_line(row) for row in own] for plugin_id, own in rows.items()})


def join_shards(texts: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    """`build_shards` for rows that are text already."""
    parts = {plugin_id: _part(own) for plugin_id, own in texts.items() if own}
    files: dict[str, bytes] = {}
    _join("", [(bits_of(plugin_id), plugin_id) for plugin_id in sorted(parts)], parts, files)
    return files


def _join(
    bits: str, ids: list[tuple[str, str]], parts: Mapping[str, bytes], into: dict[str, bytes]
) -> list[str]:
    """Add the files for these ids, which all begin with `bits`. Returns the bits of the shards."""
    if not ids:
        return []
    weight = sum(len(parts[plugin_id]) + len(_BETWEEN) for _, plugin_id in ids)
    if _is_one(bits, weight):
        into[bits] = _shard(bits, (parts[plugin_id] for _, plugin_id in ids))
        return [bits]
    below = [
        name
        for bit in "01"
        for name in _join(bits + bit, [pair for pair in ids if pair[0][len(bits)] == bit], parts, into)
    ]
    if len(bits) == TOP_BITS:
        into[bits] = build_directory(bits, {name: Ref.of(into[name]) for name in below})
    return below


def _part(texts: Sequence[str]) -> bytes:
    return ",\n".join(texts).encode()


def _is_one(bits: str, weight: int) -> bool:
    """Whether what stands under these bits is one shard; `weight` counts a separator after each row."""
    return bool(bits) and (_FRAME + len(bits) + weight <= SPLIT_ABOVE or len(bits) == MAX_BITS)


def _shard(bits: str, parts: Iterable[bytes]) -> bytes:
    return _HEAD % bits.encode() + _BETWEEN.join(parts) + _TAIL


def build_directory(bits: str, shards: Mapping[str, Ref]) -> bytes:
    """The bytes of an index directory."""
    rows = [{"bits": name, "digest": ref.digest, "size": ref.size} for name, ref in sorted(shards.items())]
    return dump_lines({"bits": bits, "kind": _DIRECTORY, "schemaVersion": 1}, "shards", rows)


def read_directory(data: bytes, where: str) -> dict[str, Ref] | None:
    """What an index directory names, by bits; None if these are the bytes of a shard.

    Raises:
        DocumentError: it says that it is one, and is none.
    """
    if f'"kind":"{_DIRECTORY}"'.encode() not in data[:200]:  # not parsed: shards are many
        return None
    node = read_node(data, where)
    if not isinstance(node, Directory):
        return None
    return {name: Ref(item.digest, item.size) for name, item in node.shards.items()}


class SignedShards:
    """The shards as they were last signed; each is read when it is first asked for.

    Args:
        top: those that are TUF targets, by bits.
        read: the verified bytes of a shard or directory. Raises VerificationError where they are not to be had.
    """

    def __init__(self, top: Mapping[str, Ref], read: Callable[[str, Ref], bytes]) -> None:
        self.top = dict(top)
        self._read = read
        self._directories: dict[str, dict[str, Ref] | None] = {}
        self._last: tuple[str, bytes] | None = None

    def read(self, bits: str, ref: Ref) -> bytes:
        """The verified bytes of one. The last one is kept: whoever asks whether it is a directory wants its lines next."""
        if self._last is None or self._last[0] != bits:
            self._last = bits, self._read(bits, ref)
        return self._last[1]

    def directory(self, bits: str) -> dict[str, Ref] | None:
        """What stands below a target; None if it is a shard itself."""
        if len(bits) != TOP_BITS:
            return None
        if bits not in self._directories:
            data = self.read(bits, self.top[bits])
            self._directories[bits] = read_directory(data, shard_path(bits))
        return self._directories[bits]

    def leaf(self, plugin_id: str) -> tuple[str, Ref] | None:
        """The shard in which a plugin stands if it is in the index, or None if there is none for its bits."""
        return self.leaf_at(bits_of(plugin_id))

    def leaf_at(self, bits: str) -> tuple[str, Ref] | None:
        """The shard that covers these bits, or None."""
        top = next((bits[:n] for n in range(min(len(bits), TOP_BITS), 0, -1) if bits[:n] in self.top), None)
        if top is None:
            return None
        below = self.directory(top)
        if below is None:
            return top, self.top[top]
        found = next((bits[:n] for n in range(len(bits), TOP_BITS, -1) if bits[:n] in below), None)
        return None if found is None else (found, below[found])

    def leaves(self) -> Iterator[tuple[str, Ref]]:
        """All shards that hold rows."""
        for bits, ref in sorted(self.top.items()):
            below = self.directory(bits)
            yield from [(bits, ref)] if below is None else sorted(below.items())

    def find(self, bits: str) -> Ref | None:
        """What a shard or directory of exactly these bits must be; None where there is none."""
        if len(bits) <= TOP_BITS:
            return self.top.get(bits)
        below = self.directory(bits[:TOP_BITS]) if bits[:TOP_BITS] in self.top else None
        return (below or {}).get(bits)


class Update(NamedTuple):
    """The index after a change.

    Attributes:
        top: the TUF targets, by bits.
        written: bytes of the shards and directories that are not as they were, by bits.
    """

    top: dict[str, Ref]
    written: dict[str, bytes]


class _Piece(NamedTuple):
    """Part of the index that is put somewhere: the rows of one plugin, or a shard as it was, unread.

    Attributes:
        bits: where it belongs: all 20 bits of a plugin, or those of the shard.
        weight: bytes of its rows with a separator after each. Of a directory, a part of that.
        plugin_id: the plugin; empty for a shard as it was.
        data: the plugin's rows.
    """

    bits: str
    weight: int
    plugin_id: str = ""
    data: bytes = b""


def update_shards(
    signed: SignedShards,
    changed: Mapping[str, Sequence[str]],
    rows_of: Callable[[str], Mapping[str, Sequence[str]]],
) -> Update:
    """What `join_shards` gives for all rows, out of the shards as they were and the plugins that changed.

    Args:
        signed: the shards as they were.
        changed: the rows of the plugins that changed, all of each, as text.
        rows_of: the rows in a shard as it was, by plugin id, as text.

    Raises:
        VerificationError: a shard that is needed is missing or damaged.
    """
    return _Updating(signed, rows_of).run(changed)


class _Updating:
    """One update, with what it has found out so far."""

    def __init__(self, signed: SignedShards, rows_of: Callable[[str], Mapping[str, Sequence[str]]]) -> None:
        self._signed = signed
        self._rows_of = rows_of
        self._refs: dict[str, Ref] = {}
        self._written: dict[str, bytes] = {}

    def run(self, changed: Mapping[str, Sequence[str]]) -> Update:
        found = (self._signed.leaf(plugin_id) for plugin_id in changed)
        touched = {leaf[0] for leaf in found if leaf is not None}
        opened = {bits[:TOP_BITS] for bits in touched if len(bits) > TOP_BITS}
        # A directory in which no shard covers a plugin yet is changed by it too.
        opened |= {
            bits for bits in (bits_of(i, TOP_BITS) for i in changed) if bits in self._signed.top
        } - touched
        whole = {bits: ref for bits, ref in self._signed.top.items() if bits not in opened}
        for bits in opened:
            whole |= self._signed.directory(bits) or {bits: self._signed.top[bits]}
        texts: dict[str, Sequence[str]] = {}
        for bits in touched:
            texts |= self._rows_of(bits)
        texts |= changed
        pieces = [_of_shard(bits, ref.size) for bits, ref in whole.items() if bits not in touched]
        pieces += [_of_plugin(plugin_id, own) for plugin_id, own in texts.items() if own]
        self._place("", pieces)
        top = {bits: ref for bits, ref in self._refs.items() if len(bits) <= TOP_BITS}
        return Update(top, self._written)

    def _place(self, bits: str, pieces: list[_Piece]) -> list[str]:
        """Put pieces, which all belong under `bits`, into shards. Returns the bits of these."""
        if not pieces:
            return []
        if len(pieces) == 1 and not pieces[0].plugin_id and pieces[0].bits == bits:
            self._refs[bits] = self._known(bits)
            return [bits]
        if _is_one(bits, sum(piece.weight for piece in pieces)):
            parts = self._opened(pieces)
            if parts is not None:
                self._write(bits, _shard(bits, (parts[plugin_id] for plugin_id in sorted(parts))))
                return [bits]
        below = [
            name
            for bit in "01"
            for name in self._place(bits + bit, [piece for piece in pieces if piece.bits[len(bits)] == bit])
        ]
        if len(bits) == TOP_BITS:
            self._write(bits, build_directory(bits, {name: self._refs[name] for name in below}))
        return below

    def _opened(self, pieces: list[_Piece]) -> dict[str, bytes] | None:
        """The rows of pieces by plugin; None if one is a directory after all, which is more than one shard holds."""
        shards = [piece.bits for piece in pieces if not piece.plugin_id]
        if any(len(bits) == TOP_BITS and self._signed.directory(bits) is not None for bits in shards):
            return None
        parts = {piece.plugin_id: piece.data for piece in pieces if piece.plugin_id}
        for bits in shards:
            parts |= {plugin_id: _part(own) for plugin_id, own in self._rows_of(bits).items()}
        return parts

    def _known(self, bits: str) -> Ref:
        ref = self._signed.find(bits)
        if ref is None:  # pragma: no cover  (pieces are made out of what was signed)
            raise DocumentError(shard_path(bits), [])
        return ref

    def _write(self, bits: str, data: bytes) -> None:
        ref = self._refs[bits] = Ref.of(data)
        if self._signed.find(bits) != ref:
            self._written[bits] = data


def _of_shard(bits: str, size: int) -> _Piece:
    return _Piece(bits, size - _FRAME - len(bits))


def _of_plugin(plugin_id: str, texts: Sequence[str]) -> _Piece:
    data = _part(texts)
    return _Piece(bits_of(plugin_id), len(data) + len(_BETWEEN), plugin_id, data)
