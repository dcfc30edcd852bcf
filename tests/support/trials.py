"""Whole operations of an installer, tried again and again from the same start, with a fault somewhere in each try."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.areas import tree
from support.faults import BROKEN, KILLED, Fault

from publisher.registrar.gate import TreeTransport
from publisher.tree import MemoryTree
from registry_client.errors import RegistryError
from registry_client.installer.disk.area import Area
from registry_client.installer.installer import Consent, Installer
from registry_client.installer.registries import Access
from registry_client.store import Directories

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from registry_client.fetcher import Fetcher

DONE, REFUSED, MET = 0, 10, 1
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.symlink"}
_CALLS = {"renameat2", "syncfs"}
FILES = ("plugins.toml", "plugins.lock")


class Writes:
    """Counts what would change something below a folder, and lets a fault happen at one of these steps."""

    def __init__(self, folder: Path, number: int, fault: Fault) -> None:
        self._folder, self._number, self._fault = str(folder), number, fault
        self.count = 0
        self.on = True

    @property
    def met(self) -> bool:
        """Whether the fault happened."""
        return self.count >= self._number

    def step(self) -> None:
        """One step: the chosen one fails, or all from it on."""
        self.count += 1
        if self.count == self._number and self._fault is Fault.KILL:
            os._exit(KILLED)
        if self.count == self._number or (self.met and self._fault is Fault.FULL_FOR_GOOD):
            if self._fault is Fault.DENIED:
                raise PermissionError(errno.EACCES, "Permission denied")
            raise OSError(errno.ENOSPC, "No space left on device")

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook."""
        if not self.on:
            return
        if event == "ctypes.dlsym":
            if arguments[1] in _CALLS:
                self.step()
        elif (event in _EVENTS or (event == "open" and arguments[2] & _WRITING)) and self._below(
            arguments[0]
        ):
            self.step()

    def _below(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        text = os.fsdecode(path)
        return text.startswith(self._folder) or not text.startswith(os.sep)


@dataclass
class Trial:
    """One operation on one project.

    Attributes:
        folder: where it is tried; `start/host` and `start/home` are copied to `now/…` before each try.
        files: the registry's files.
        now: the time.
        operation: what is done.
        warnings: what installers warned of.
    """

    folder: Path
    files: dict[str, bytes]
    now: datetime
    operation: Callable[[Installer], object]
    warnings: list[str] = field(default_factory=list)

    @property
    def host(self) -> Path:
        """The project's folder."""
        return self.folder / "now" / "host"

    @property
    def area(self) -> Area:
        """Its plugins folder."""
        return Area(self.host / "plugins")

    def reset(self) -> None:
        """Back to the start."""
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        shutil.copytree(self.folder / "start", self.folder / "now", symlinks=True)

    def installer(self, transport: Fetcher | None = None) -> Installer:
        """An installer of the project."""
        access = Access(
            Directories.default(self.folder / "now" / "home"),
            self.warnings.append,
            clock=lambda: self.now,
            transport=transport or TreeTransport(MemoryTree(self.files)),
        )
        return Installer(self.host, access, lock_timeout=5)

    def attempt(self, number: int, fault: Fault, below: str = "host") -> tuple[int, bool]:
        """Do it in a process of its own; at the n-th write it is killed, or refused.

        Args:
            number: n, from 1.
            fault: what happens.
            below: which writes count: in the `host`'s folder, or in the client's `home`.

        Returns:
            DONE, REFUSED by a RegistryError, KILLED or BROKEN; and whether the fault was met.
        """
        sys.stdout.flush()
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return (code & ~MET, bool(code & MET)) if code < BROKEN else (code, True)
        code = BROKEN
        try:
            writes = Writes(self.folder / "now" / below, number, fault)
            sys.addaudithook(writes.hook)
            try:
                self.operation(self.installer())
                code = DONE
            except RegistryError:
                code = REFUSED
            writes.on = False
            code |= MET if writes.met else 0
        except BaseException:  # noqa: BLE001  (nothing of the parent may run in the child)
            traceback.print_exc()
        finally:
            os._exit(code)

    def plugins(self) -> dict[str, dict[str, bytes] | None]:
        """What stands at each place that a plugin can have, without receipts, which name transactions."""
        found: dict[str, dict[str, bytes] | None] = {}
        for place in (self.area.folder, self.area.root / "disabled"):
            for folder in sorted(place.iterdir()) if place.is_dir() else []:
                if folder.name != ".registry":
                    files = tree(folder) or {}
                    files.pop(".plugin/receipt.json", None)
                    found[f"{place.name}/{folder.name}"] = files
        return found

    def state(self) -> dict[str, Any]:
        """All that an operation changes, without times."""
        files = {name: (self.host / name).read_bytes() for name in FILES}
        record = self.area.read_record().model_dump()
        for item in record["plugins"].values():
            del item["installed_at"]
        return {**files, "plugins": self.plugins(), "record": record}

    def leftovers(self) -> list[str]:
        """What should not be there once all is done."""
        odd = [p.name for p in self.host.iterdir() if p.name not in {*FILES, "plugins", "1.root.json"}]
        usual = {"lock", "installed.json", "staging", "disabled", "archives", "manifests", "downloads"}
        odd += [p.name for p in self.area.root.iterdir() if p.name not in usual]
        return odd + [p.name for p in self.area.staging.iterdir()]

    def fingerprint(self) -> str:
        """What is on the disk, so that the same need not be looked at twice; transactions' names left out."""
        found = []
        for path in sorted((self.folder / "now").rglob("*")):
            text = path.relative_to(self.folder).as_posix()
            data = path.read_bytes() if path.is_file() else b""
            found.append(f"{text}={data!r}")
        return re.sub(r"\b[0-9a-f]{32}\b|\.tmp-\w+", "X", "\n".join(found))


def make_trials(folder: Path, host: Any) -> dict[str, Trial]:
    """The operations, each with its start: four plugins, two of which are upgraded, one of which is blocked."""
    trials: dict[str, Trial] = {}

    def keep(name: str, operation: Callable[[Installer], object]) -> None:
        start = folder / re.sub(r"\W", "", name)
        shutil.copytree(host.folder, start / "start" / "host")
        shutil.copytree(host.folder.parent / "home", start / "start" / "home")
        host.world.tick(minutes=10)
        trials[name] = Trial(start, host.world.snapshot(), host.world.now, operation)

    agreed = Consent(permissions=True)
    host.publish("acme-other")
    host.publish("acme-notes", permissions=["notes.read"])
    host.publish("acme-calendar", requires={"plugins": {"acme-notes": ">=1,<2"}})
    host.installer().add(["acme-other"])
    keep("add", lambda installer: installer.add(["acme-calendar"]))
    host.installer().add(["acme-calendar"])
    keep("remove", lambda installer: installer.remove(["acme-calendar"]))
    keep("disable", lambda installer: installer.disable(["acme-notes"]))
    host.publish("acme-notes", "1.1.0", permissions=["notes.read", "notes.write"])
    host.publish("acme-calendar", "1.1.0", requires={"plugins": {"acme-notes": ">=1.1"}})
    keep("upgrade", lambda installer: installer.upgrade(consent=agreed))
    host.world.block("acme-notes", "<1.1", "disable", "Unsafe.")
    host.world.register()
    keep("block", lambda installer: installer.verify())
    host.world.unblock("acme-notes")
    host.world.register()
    host.installer().upgrade(consent=agreed)
    host.publish("acme-notes", "1.2.0", permissions=["notes.read", "notes.write"])
    host.installer().upgrade(consent=agreed)
    keep("rollback", lambda installer: installer.rollback("acme-notes"))
    return trials
