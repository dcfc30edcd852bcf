"""One plugin's folder put where a transaction wants it, and taken back: each step can be done again after it was done.

Where the two versions can be, whatever was interrupted: the new one in staging or in its place, told by its receipt;
the old one in its place, aside, or, after an exchange in one step, in staging. Every step is one rename or one exchange,
so each folder is always whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry_client.errors import InstallError
from registry_client.installer.disk.area import read_receipt
from registry_client.installer.disk.exchange import Swap, exchange
from registry_client.installer.disk.journal import JournalMove, Target
from registry_client.installer.disk.steps import exists, flush_folder, is_real_folder, rename

if TYPE_CHECKING:
    from pathlib import Path

    from registry_client.installer.disk.area import Area

_ASIDE = ".old"


class Mover:
    """Moves folders for one transaction.

    Args:
        area: the plugins folder.
        transaction: the transaction's id.
        swap: exchanges two folders in one step, where the system can.
    """

    def __init__(self, area: Area, transaction: str, swap: Swap) -> None:
        self._area, self._transaction, self._swap = area, transaction, swap
        self.folder = area.staging / transaction

    def staged(self, plugin_id: str) -> Path:
        """Where new content is prepared."""
        return self.folder / plugin_id

    def place(self, plugin_id: str, target: Target) -> Path:
        """Where a plugin's folder stands; for one that is gone, where it waits to be removed."""
        if target is Target.GONE:
            return self.folder / _ASIDE / plugin_id
        return self._area.active(plugin_id) if target is Target.ACTIVE else self._area.disabled(plugin_id)

    def is_new(self, folder: Path, plugin_id: str) -> bool:
        """Whether a folder is what this transaction prepared for a plugin."""
        receipt = read_receipt(folder) if is_real_folder(folder) else None
        return receipt is not None and (receipt.transaction, receipt.id) == (self._transaction, plugin_id)

    def really_active(self, plugin_id: str) -> Target:
        """Of a plugin that the record says is disabled, and whose place among the active ones is taken: it was put back.

        Raises:
            InstallError: something else stands there. OSError: that cannot be seen.
        """
        active = self.place(plugin_id, Target.ACTIVE)
        receipt = read_receipt(active) if is_real_folder(active) else None
        if receipt is None or receipt.id != plugin_id or exists(self.place(plugin_id, Target.DISABLED)):
            raise in_the_way(active)
        return Target.ACTIVE

    def prepare(self) -> None:
        """Make the folders that moves need. Raises OSError."""
        (self.folder / _ASIDE).mkdir(parents=True, exist_ok=True)
        self._area.disabled("x").parent.mkdir(exist_ok=True)

    def flush(self) -> None:
        """Have all moves so far survive a power failure. Raises OSError."""
        for folder in (self._area.folder, self._area.disabled("x").parent, self.folder, self.folder / _ASIDE):
            flush_folder(folder)

    def redo(self, move: JournalMove) -> None:
        """Put a plugin's folder where it belongs, from wherever an interrupted run left it.

        Raises:
            InstallError: something else stands there, or the new content is lost. OSError: the disk refuses.
        """
        if move.staged:
            self._put(move)
        if move.before in {Target.GONE, move.target}:
            return
        if move.staged or move.target is Target.GONE:
            self._rename(self.place(move.id, move.before), self.place(move.id, Target.GONE))
            return
        source, target = self.place(move.id, move.before), self.place(move.id, move.target)
        if move.target is Target.ACTIVE and exists(source) and exists(target):
            raise in_the_way(target)
        self._rename(source, target)

    def _put(self, move: JournalMove) -> None:
        place, new = self.place(move.id, move.target), self.staged(move.id)
        if self.is_new(place, move.id):
            return
        if not self.is_new(new, move.id):
            raise InstallError(
                f"{new}: what was prepared of {move.id} is not there any more, so the interrupted change cannot be completed",
                hint=f"Move {self._area.journal_path} away, then run 'plugin install'.",
            )
        if not exists(place):
            rename(new, place)
        elif move.before is not move.target:
            raise in_the_way(place)
        else:
            exchange(new, place, self.place(move.id, Target.GONE), self._swap)

    def undo(self, move: JournalMove) -> None:
        """Take back what `redo` did, whole or in part.

        Raises:
            OSError: the disk refuses.
        """
        aside = self.place(move.id, Target.GONE)
        if move.staged:
            self._take_back(move, aside)
        if move.before is Target.GONE:
            return
        if move.staged or move.target is Target.GONE:
            self._rename(aside, self.place(move.id, move.before))
        elif move.target is not move.before:
            self._rename(self.place(move.id, move.target), self.place(move.id, move.before))

    def _take_back(self, move: JournalMove, aside: Path) -> None:
        place, new = self.place(move.id, move.target), self.staged(move.id)
        if not self.is_new(place, move.id):
            return
        if exists(new):  # the old one, after an exchange in one step
            if self._swap(new, place):
                return
            rename(new, aside)
        rename(place, new)

    @staticmethod
    def _rename(source: Path, target: Path) -> None:
        """Rename, unless that was done."""
        if exists(source) and not exists(target):
            rename(source, target)


def in_the_way(path: Path) -> InstallError:
    """The error for a folder that nobody recorded, where a plugin is to be put."""
    return InstallError(
        f"{path}: is in the way, and nobody recorded it as an installed plugin",
        hint="See what it is, 'plugin discover', and adopt it; or move it away. Then run it again.",
    )
