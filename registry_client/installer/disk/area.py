"""The plugins folder and the installer's own area in it, `.registry/`: where things are, who may write, what may go.

```
<id>/                         a plugin, as the host loads it; <id>/.plugin/ holds its receipt and signed manifest
.registry/lock                two runs apart
.registry/installed.json      the record
.registry/journal.json        only while a transaction is being completed
.registry/archives/<hex>      packed files of current and previous versions, by digest
.registry/manifests/<hex>.json  signed manifests, by payload digest
.registry/downloads/          what is being downloaded
.registry/staging/<transaction>/<id>/  folders being prepared
.registry/disabled/<id>/      plugins that the host does not see
```
"""

from __future__ import annotations

import contextlib
import errno
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_client.digest import Digest
from registry_client.errors import ConfigError, DocumentError, InstallError, ReadOnlyError
from registry_client.installer.disk.record import RECORD_LIMIT, Record, parse_record
from registry_client.installer.disk.steps import disk_errors, exists, is_real_folder, remove_tree
from registry_client.jsontext import KIB, parse_json
from registry_client.names import check_plugin_id
from registry_client.store import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry_client.installer.disk.record import Installed
    from registry_client.installer.project.lockfile import LockedPlugin

AREA = ".registry"
OWN = ".plugin"
"""The folder in each plugin that is the installer's; in it stand these two."""
RECEIPT = "receipt.json"
MANIFEST = "manifest.json"
_RECEIPT_LIMIT = 64 * KIB
_PART_AGE = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Receipt:
    """What a plugin's folder says of itself. Nothing is trusted because of it; it tells folders apart.

    Attributes:
        transaction: which one put it there.
        id: the plugin.
        version: its version.
        digest: payload digest of a signed plugin, digest of the archive of another; None for one that has neither.
    """

    transaction: str
    id: str
    version: str
    digest: str | None


def read_receipt(folder: Path) -> Receipt | None:
    """A plugin folder's receipt; None where there is none, or none that says what a receipt says.

    Raises:
        OSError: it is there, but cannot be read now: nobody may conclude that it says something else.
    """
    try:
        with (folder / OWN / RECEIPT).open("rb") as file:
            data = file.read(_RECEIPT_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    try:
        raw = parse_json(data, limit=_RECEIPT_LIMIT, where=str(folder))
    except DocumentError:
        return None
    transaction, plugin_id, version, digest = (raw.get(n) for n in ("transaction", "id", "version", "digest"))
    if not (isinstance(transaction, str) and isinstance(plugin_id, str) and isinstance(version, str)):
        return None
    return Receipt(transaction, plugin_id, version, digest if isinstance(digest, str) else None)


def write_receipt(folder: Path, receipt: Receipt, manifest: bytes | None) -> None:
    """Write the receipt and the signed manifest, as received, into a folder that has neither.

    Raises:
        OSError: they are there already, or the disk refuses.
    """
    own = folder / OWN
    own.mkdir()
    if manifest is not None:
        (own / MANIFEST).write_bytes(manifest)
    (own / RECEIPT).write_text(json.dumps(vars(receipt), indent=2) + "\n", encoding="utf-8")


class Area:
    """A plugins folder.

    Args:
        folder: where the plugins are; need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / AREA
        self.record_path = self.root / "installed.json"
        self.journal_path = self.root / "journal.json"
        self.archives = self.root / "archives"
        self.manifests = self.root / "manifests"
        self.downloads = self.root / "downloads"
        self.staging = self.root / "staging"

    @property
    def pending(self) -> bool:
        """Whether a change is to be completed; also where that cannot be seen, so that nothing it needs is removed."""
        try:
            return exists(self.journal_path)
        except OSError:
            return True

    def active(self, plugin_id: str) -> Path:
        """Where the host finds a plugin. Raises ValueError for what is no plugin id."""
        return self.folder / check_plugin_id(plugin_id)

    def disabled(self, plugin_id: str) -> Path:
        """Where a disabled plugin stands aside. Raises ValueError for what is no plugin id."""
        return self.root / "disabled" / check_plugin_id(plugin_id)

    def archive(self, digest: str) -> Path:
        """Where a packed file is kept. Raises ValueError for what is no digest."""
        return self.archives / Digest(digest).hex

    def manifest(self, payload_digest: str) -> Path:
        """Where a signed manifest is kept. Raises ValueError for what is no digest."""
        return self.manifests / f"{Digest(payload_digest).hex}.json"

    def write_manifest(self, payload_digest: str, data: bytes) -> None:
        """Keep a manifest that was verified.

        Raises:
            InstallError: it cannot be written.
        """
        path = self.manifest(payload_digest)
        with disk_errors(f"{path}: cannot be written"):
            write_atomic(path, data)

    def holds(self, installed: Installed) -> bool:
        """Whether the folder of a recorded plugin is there, with the receipt of that version. Looks at no file of it."""
        plugin = installed.plugin
        folder = self.disabled(plugin.id) if installed.disabled else self.active(plugin.id)
        try:
            receipt = read_receipt(folder) if is_real_folder(folder) else None
        except OSError:
            return False
        return receipt is not None and (receipt.id, receipt.version, receipt.digest) == (
            plugin.id,
            plugin.version,
            identity(plugin),
        )

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Keep other runs out of this folder. Not to be nested.

        Args:
            timeout: seconds to wait for another run.

        Raises:
            ReadOnlyError: the folder cannot be written. InstallError: another run did not end in time.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415  (only for what changes something)

        with disk_errors(f"{self.root}: cannot be written"), _read_only(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            if not is_real_folder(self.root):
                raise InstallError(
                    f"{self.root}: is a link; the installer's own folder must be a real one",
                    hint="Remove the link. Plugins and installer must be in one file system.",
                )
            for folder in (
                self.archives,
                self.manifests,
                self.downloads,
                self.staging,
                self.disabled("x").parent,
            ):
                if exists(folder) and not is_real_folder(folder):
                    raise InstallError(
                        f"{folder}: is a link or a file; the installer's own folders must be real ones",
                        hint="Remove it. What it leads to is not touched.",
                    )
            lock = FileLock(self.root / "lock", timeout=timeout, thread_local=False)
            try:
                lock.acquire()
            except Timeout as e:
                raise InstallError(
                    f"{self.folder}: another run is changing these plugins, and did not end within {timeout:.0f} seconds",
                    hint="Wait for it, or look for a hung process.",
                ) from e
        try:
            yield
        finally:
            lock.release()

    def read_record(self) -> Record:
        """What is installed; empty where nothing was yet.

        Raises:
            ConfigError: the record is damaged or cannot be read.
        """
        try:
            with self.record_path.open("rb") as file:
                data = file.read(RECORD_LIMIT + 1)
        except FileNotFoundError:
            return Record.model_validate({})
        except OSError as e:
            raise ConfigError(
                f"{self.record_path}: cannot be read ({e.strerror})", hint="Look at who may read it."
            ) from e
        try:
            return parse_record(data, str(self.record_path))
        except DocumentError as e:
            raise ConfigError(
                str(e),
                hint=e.hint
                or "Restore it from a backup; or move it and the plugins' folders away, then run 'plugin install'.",
            ) from e

    def clean(self, record: Record) -> None:
        """Remove what no installed or previous version needs, and what killed runs left. What cannot be removed stays.

        To be called under the lock, with no transaction open and no download going on.

        Args:
            record: what is installed.
        """
        if self.pending:
            return  # what is to be completed needs more than the record says
        kept = [p for item in record.plugins.values() for p in (item.plugin, *item.previous)]
        archives = {Digest(p.artifact.digest).hex for p in kept if p.artifact is not None}
        manifests = {f"{Digest(p.payload_digest).hex}.json" for p in kept if p.payload_digest is not None}
        for folder, needed in ((self.archives, archives), (self.manifests, manifests)):
            for path in _listed(folder):
                if path.name not in needed:
                    remove_tree(path)
        self.clean_staging()
        for path in _listed(self.disabled("x").parent):
            if path.name not in record.plugins or record.plugins[path.name].disabled is None:
                remove_tree(path)
        for path in _listed(self.downloads):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < time.time() - _PART_AGE:
                    remove_tree(path)

    def clean_staging(self) -> None:
        """Remove what unfinished transactions prepared, unless one is to be completed. What cannot be removed stays."""
        if not self.pending:
            for path in _listed(self.staging):
                remove_tree(path)


@contextlib.contextmanager
def _read_only(root: Path) -> Iterator[None]:
    """Tell a folder that may not be written from other trouble with the disk."""
    try:
        yield
    except OSError as e:
        if e.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        raise ReadOnlyError(
            f"{root}: cannot be written ({e.strerror})",
            hint="Run it as the user that these plugins belong to; 'list', 'status' and 'verify' need only read them.",
        ) from e


def identity(plugin: LockedPlugin) -> str | None:
    """What a receipt states as a plugin's digest: the payload's if it is signed, else its archive's."""
    return plugin.payload_digest or (plugin.artifact.digest if plugin.artifact is not None else None)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir()) if is_real_folder(folder) else []
    except OSError:
        return []
