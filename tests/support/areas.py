"""A plugins folder with a few plugins in it, and transactions that change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry_client.digest import Digest
from registry_client.installer.disk.area import Area
from registry_client.installer.disk.exchange import Swap, swap_folders
from registry_client.installer.disk.record import Installed, Record
from registry_client.installer.disk.steps import disk_errors
from registry_client.installer.disk.transaction import Move, Target, Transaction

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-01-31T12:00:00Z"


def no_swap(a: Path, b: Path) -> bool:
    """A file system that cannot exchange."""
    return False


def content(plugin_id: str, version: str) -> dict[str, bytes]:
    """A plugin's files: some differ in name between versions, some in content, some not at all."""
    return {
        "plugin.py": f"ID = {plugin_id!r}\nVERSION = {version!r}\n".encode(),
        "same.txt": b"same\n",
        f"lib/{version}.py": version.encode() * 100,
    }


def installed(plugin_id: str, version: str, *, disabled: bool = False) -> Installed:
    """A record's entry."""
    plugin = {
        "id": plugin_id,
        "version": version,
        "source": {"kind": "path", "path": f"../{plugin_id}"},
        "artifact": {"name": "a.zip", "digest": Digest.of(f"{plugin_id}{version}".encode()), "size": 1},
    }
    return Installed.model_validate(
        {"plugin": plugin, "installedAt": NOW, "disabled": {"by": "owner"} if disabled else None}
    )


@dataclass
class Change:
    """One transaction, described.

    Attributes:
        name: becomes the transaction's id.
        put: versions to install by plugin; of those in `aside`, into the disabled ones' folder.
        remove, aside, back: ids to remove, to disable, to enable.
        files: contents of project files.
        adopting: ids whose unrecorded folders may be replaced.
    """

    name: str
    put: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    adopting: tuple[str, ...] = ()

    def record(self, before: Record) -> Record:
        """The record afterwards."""
        plugins = {k: v for k, v in before.plugins.items() if k not in self.remove}
        for plugin_id in {*self.put, *self.aside, *self.back}:
            old = plugins.get(plugin_id)
            version = self.put.get(plugin_id) or (old.plugin.version if old else "")
            off = plugin_id in self.aside or (
                old is not None and old.disabled is not None and plugin_id not in self.back
            )
            plugins[plugin_id] = installed(plugin_id, version, disabled=off)
        return Record.model_validate({"plugins": plugins})


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write files."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def prepare(area: Area, change: Change, swap: Swap = swap_folders) -> tuple[Transaction, list[Move], Record]:
    """Stage what a change puts in place."""
    transaction = Transaction(area, change.name, swap)
    record = change.record(area.read_record())
    for plugin_id, version in change.put.items():
        with disk_errors("content"):  # as unpacking does
            fill(transaction.stage(plugin_id), content(plugin_id, version))
        digest = Digest.of(f"{plugin_id}{version}".encode())
        transaction.receipt(plugin_id, version, digest, None)
    moves = []
    for plugin_id in sorted({*change.put, *change.remove, *change.aside, *change.back}):
        item = record.plugins.get(plugin_id)
        target = Target.GONE if item is None else Target.DISABLED if item.disabled else Target.ACTIVE
        moves.append(Move(plugin_id, plugin_id in change.put, target))
    return transaction, moves, record


def apply(project: Path, change: Change, swap: Swap = swap_folders) -> None:
    """Do a change, under the lock."""
    area = Area(project / "plugins")
    with area.locked(5):
        transaction, moves, record = prepare(area, change, swap)
        try:
            files = {project / name: data for name, data in change.files.items()}
            transaction.commit(moves, record, files, change.adopting)
        except BaseException:
            transaction.abandon()
            raise


def tree(folder: Path) -> dict[str, bytes] | None:
    """Every file of a folder; None where there is none."""
    if not folder.is_dir():
        return None
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


START = Change(
    "start000",
    put={"a": "1.0.0", "b": "1.0.0", "c": "1.0.0", "d": "1.0.0"},
    aside=("d",),
    files={"plugins.toml": b"start\n", "plugins.lock": b"{}\n"},
)
EDITS = {"plugins.toml": b"changed\n", "plugins.lock": b'{"changed": true}\n'}
CHANGES = {
    "install": Change("install0", put={"e": "1.0.0"}, files=EDITS),
    "upgrade": Change("upgrade0", put={"a": "2.0.0"}, files=EDITS),
    "reinstall": Change("again000", put={"a": "1.0.0"}),
    "remove": Change("remove00", remove=("a",), files=EDITS),
    "disable": Change("disable0", aside=("a",)),
    "enable": Change("enable00", back=("d",)),
    "upgrade disabled": Change("updis000", put={"d": "2.0.0"}),
    "upgrade and enable": Change("upen0000", put={"d": "2.0.0"}, back=("d",)),
    "upgrade and disable": Change("upoff000", put={"a": "2.0.0"}, aside=("a",)),
    "many": Change(
        "many0000",
        put={"a": "2.0.0", "e": "1.0.0", "f": "1.0.0"},
        remove=("b",),
        aside=("c",),
        back=("d",),
        files=EDITS,
    ),
}
IDS = ("a", "b", "c", "d", "e", "f")
