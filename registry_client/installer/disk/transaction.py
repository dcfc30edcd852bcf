"""Changes to several plugins at once, wholly or not at all, whatever interrupts them.

Everything is prepared aside; then the journal is written, which is the commit point; then each folder is exchanged, the
record and the project's files are written, and the journal is removed. A run that is killed before the commit point has
changed nothing, one that is killed later is completed by `recover`. What fails without being killed is rolled back.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from registry_client.digest import Digest
from registry_client.errors import ConfigError, InstallError
from registry_client.installer.disk.area import Receipt, write_receipt
from registry_client.installer.disk.exchange import Swap, swap_folders
from registry_client.installer.disk.journal import (
    JOURNAL_LIMIT,
    TRANSACTION_PATTERN,
    Journal,
    JournalFile,
    JournalMove,
    Target,
    journal_bytes,
    parse_journal,
)
from registry_client.installer.disk.moves import Mover, in_the_way
from registry_client.installer.disk.record import Record, record_bytes
from registry_client.installer.disk.steps import (
    disk_errors,
    exists,
    flush_folder,
    flush_tree,
    is_real_folder,
    reason,
    remove_tree,
    rename,
    way_out,
    write_flushed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from registry_client.installer.disk.area import Area


@dataclass(frozen=True)
class Move:
    """What happens to one plugin's folder.

    Attributes:
        id: the plugin.
        staged: whether new content was prepared with `Transaction.stage`; else the folder is moved as it is.
        target: where it will stand.
    """

    id: str
    staged: bool
    target: Target


class Transaction:
    """One change. The area's lock is held from before it is made until after `commit` or `abandon`, and `recover` was called.

    Args:
        area: the plugins folder.
        transaction_id: 8 to 64 of 0-9 and a-z, never used before.
        swap: exchanges two folders in one step, where the system can.

    Raises:
        ValueError: not such an id.
    """

    def __init__(self, area: Area, transaction_id: str, swap: Swap = swap_folders) -> None:
        if not re.fullmatch(TRANSACTION_PATTERN, transaction_id):
            raise ValueError(f"expected a transaction's id, got {transaction_id[:80]!r}")
        self._area, self._id = area, transaction_id
        self._mover = Mover(area, transaction_id, swap)

    def stage(self, plugin_id: str) -> Path:
        """An empty folder to fill with a plugin's new content.

        Raises:
            InstallError: it cannot be made.
        """
        folder = self._mover.staged(plugin_id)
        with disk_errors(f"{folder}: cannot be made"):
            self._mover.prepare()
            folder.mkdir()
        return folder

    def receipt(self, plugin_id: str, version: str, digest: str | None, manifest: bytes | None) -> None:
        """Say in a prepared folder what it is; to be called once it is filled.

        Args:
            plugin_id: the plugin.
            version: its version.
            digest: payload digest of a signed plugin, digest of the archive of another, if it has one.
            manifest: the signed manifest as received; None for unsigned sources.

        Raises:
            InstallError: it cannot be written, or the content brought a receipt of its own.
        """
        folder = self._mover.staged(plugin_id)
        with disk_errors(f"{folder}: its receipt cannot be written"):
            write_receipt(folder, Receipt(self._id, plugin_id, version, digest), manifest)

    def commit(
        self,
        moves: Sequence[Move],
        record: Record,
        files: Mapping[Path, bytes],
        adopting: Collection[str] = (),
    ) -> None:
        """Do it.

        Args:
            moves: what happens to the plugins' folders.
            record: what is installed afterwards.
            files: the project's files that change with it, UTF-8, with names that differ.
            adopting: ids whose folders are there already, recorded by nobody, and may be replaced.

        Raises:
            InstallError: it cannot be done, and nothing has changed; or, if the message says so, the next run completes it.
            ConfigError: the record is damaged.
        """
        with disk_errors(f"{self._area.folder}: nothing was changed"):
            old = self._read_old(files)
            journal = self._journal(moves, record, old, files, adopting)
            if any(move.staged for move in moves):
                flush_tree(self._mover.folder)
        paths = {path.name: path for path in files}
        try:
            self._carry_out(journal, paths)
        except BaseException as e:  # noqa: BLE001  (interrupts too: nothing may be left half done)
            self._roll_back(journal, old, e)
        try:
            self._area.journal_path.unlink()
        except OSError as e:
            self._roll_back(journal, old, e)
        with contextlib.suppress(
            OSError
        ):  # it is done; a journal that a power failure brings back changes nothing
            flush_folder(self._area.root)
        remove_tree(self._mover.folder)

    def _carry_out(self, journal: Journal, paths: Mapping[str, Path]) -> None:
        """The commit point, and all that follows from it."""
        write_flushed(self._area.journal_path, journal_bytes(journal), self._mover.folder / ".journal")
        changed = _complete(self._area, self._mover, journal, paths)
        if changed:
            raise InstallError(f"{changed[0]}: was changed by another program at the same moment")

    def abandon(self) -> None:
        """Remove what was prepared; after a commit that stopped half-way it stays, for the next run to complete."""
        if not self._area.pending:
            remove_tree(self._mover.folder)

    def _read_old(self, files: Iterable[Path]) -> dict[Path, bytes | None]:
        """What the record and the project's files hold now."""
        if self._area.pending:
            raise InstallError(
                f"{self._area.journal_path}: an interrupted change is to be completed first",
                hint="Run it again.",
            )
        return {path: _read(path) for path in (self._area.record_path, *files)}

    def _journal(
        self,
        moves: Sequence[Move],
        record: Record,
        old: Mapping[Path, bytes | None],
        files: Mapping[Path, bytes],
        adopting: Collection[str],
    ) -> Journal:
        self._mover.prepare()
        installed = self._area.read_record()
        planned = [
            JournalMove(
                id=m.id, staged=m.staged, before=self._before(m, installed, adopting), target=m.target
            )
            for m in moves
        ]
        return Journal(
            transaction=self._id,
            moves=tuple(planned),
            record=record_bytes(record).decode(),
            files=tuple(
                JournalFile(name=path.name, old=_digest(old[path]), text=data.decode())
                for path, data in files.items()
            ),
        )

    def _before(self, move: Move, record: Record, adopting: Collection[str]) -> Target:
        """Where a plugin's folder stands now; whatever else stands in its way is an error."""
        active, disabled = (self._mover.place(move.id, t) for t in (Target.ACTIVE, Target.DISABLED))
        installed = record.plugins.get(move.id)
        if installed is not None:
            recorded = Target.DISABLED if installed.disabled else Target.ACTIVE
            if recorded is Target.DISABLED is move.target and not move.staged and exists(active):
                recorded = self._mover.really_active(move.id)
        else:
            recorded = Target.ACTIVE if move.id in adopting else Target.GONE
        if Target.ACTIVE in {recorded, move.target} and exists(active):
            if not is_real_folder(active):
                raise InstallError(
                    f"{active}: is a link or a file, not the folder of an installed plugin",
                    hint="Move it away, then run it again.",
                )
            if recorded is not Target.ACTIVE:
                raise in_the_way(active)
        if recorded is not Target.DISABLED and exists(disabled):  # left over; nothing else writes there
            rename(disabled, self._mover.folder / f".stray-{move.id}")
        if move.staged and not self._mover.is_new(self._mover.staged(move.id), move.id):
            raise InstallError(f"{self._mover.staged(move.id)}: was not prepared with a receipt")
        before = recorded if exists(self._mover.place(move.id, recorded)) else Target.GONE
        if before is Target.GONE and not move.staged and move.target is Target.ACTIVE:
            raise InstallError(f"{disabled}: its files are missing", hint="Run 'plugin install'.")
        return before

    def _roll_back(
        self, journal: Journal, old: Mapping[Path, bytes | None], cause: BaseException
    ) -> NoReturn:
        """Take back what was done, then raise. Without the journal nothing was."""
        try:
            if self._area.pending:
                self._undo(journal, old)
        except OSError as e:
            raise InstallError(
                f"{self._area.folder}: the change stopped half-way ({reason(cause)}) and could not be taken back ({reason(e)})",
                hint="Each plugin is whole, old or new. The next run of 'plugin' in this project completes the change.",
            ) from cause
        with contextlib.suppress(OSError):
            flush_folder(self._area.root)
        remove_tree(self._mover.folder)
        if not isinstance(cause, OSError | InstallError):
            raise cause
        hint = way_out(cause) if isinstance(cause, OSError) else cause.hint
        raise InstallError(f"{self._area.folder}: nothing was changed: {reason(cause)}", hint=hint) from cause

    def _undo(self, journal: Journal, old: Mapping[Path, bytes | None]) -> None:
        new = {file.name: file.text.encode() for file in journal.files}
        for path, data in old.items():
            done = new.get(path.name) if path != self._area.record_path else journal.record.encode()
            if data != done and _read(path) == done:
                _restore(path, data, self._beside(path))
            self._beside(path).unlink(missing_ok=True)
        for move in reversed(journal.moves):
            self._mover.undo(move)
        self._area.journal_path.unlink(missing_ok=True)

    def _beside(self, path: Path) -> Path:
        return _beside(self._area, self._mover, path)


def recover(area: Area, files: Iterable[Path] = (), swap: Swap = swap_folders) -> str | None:
    """Complete what a killed run had committed, and remove what an uncommitted one left. Under the area's lock.

    A project file that is neither what it was at the commit point nor what it was to become was edited since; it is left
    alone, and the answer says so.

    Args:
        area: the plugins folder.
        files: the project's files; the journal names those it changes by their last part.
        swap: exchanges two folders in one step, where the system can.

    Returns:
        What was completed, for people; None if there was nothing to complete.

    Raises:
        ConfigError: the journal is damaged, or not of this project.
        InstallError: it cannot be completed now; the journal stays.
    """
    with disk_errors(f"{area.journal_path}: an interrupted change cannot be completed"):
        try:
            with area.journal_path.open("rb") as file:
                data = file.read(JOURNAL_LIMIT + 1)
        except (FileNotFoundError, NotADirectoryError):
            area.clean_staging()
            return None
        journal, _ = parse_journal(data, str(area.journal_path))
        paths = {path.name: path for path in files}
        unknown = [file.name for file in journal.files if file.name not in paths]
        if unknown:
            raise ConfigError(
                f"{area.journal_path}: an interrupted change of this folder also changes {unknown[0]}, which is not this project's",
                hint="Run 'plugin' in the project that it belongs to.",
            )
        mover = Mover(area, journal.transaction, swap)
        mover.prepare()
        left = _complete(area, mover, journal, paths)
        area.journal_path.unlink()
        flush_folder(area.root)
        area.clean_staging()
    changed = ", ".join(move.id for move in journal.moves) or "the project's files"
    edited = "".join(f"; {path} was edited since and was left as it is" for path in left)
    return f"completed an interrupted change of {changed}{edited}"


def _complete(area: Area, mover: Mover, journal: Journal, paths: Mapping[str, Path]) -> list[Path]:
    """Do what a journal says, whatever of it was done. Returns files that somebody else changed, which are left alone."""
    for move in journal.moves:
        mover.redo(move)
    mover.flush()
    left = []
    write_flushed(area.record_path, journal.record.encode(), _beside(area, mover, area.record_path))
    for file in journal.files:
        path, data = paths[file.name], file.text.encode()
        found = _read(path)
        if found != data and _digest(found) == file.old:
            _restore(path, data, _beside(area, mover, path))
        elif found != data:
            left.append(path)
        _beside(area, mover, path).unlink(missing_ok=True)
    return left


def _beside(area: Area, mover: Mover, path: Path) -> Path:
    """The temporary file for a file: in the same file system, with a name that a later run finds again."""
    if path == area.record_path:
        return mover.folder / ".installed"
    real = path.resolve()  # a link to a file stays a link
    return real.with_name(f".{real.name}.{mover.folder.name}")


def _restore(path: Path, data: bytes | None, beside: Path) -> None:
    """Write a file; None removes it. It keeps its permissions."""
    if data is None:
        path.unlink(missing_ok=True)
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    write_flushed(path.resolve(), data, beside, mode)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest(data: bytes | None) -> Digest | None:
    return Digest.of(data) if data is not None else None


__all__ = ["Move", "Target", "Transaction", "recover"]
