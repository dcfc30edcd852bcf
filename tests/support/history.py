"""A registry with a history: every state is a commit, and each run of the registrar is made twice, by what changed and whole."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from support.documents import ed25519
from support.world import World

from publisher.maintain import policy
from publisher.maintain.policy import PublisherChange
from publisher.maintain.renew import renew
from publisher.registrar.quarantine import Mark, Orders
from publisher.registrar.run import Run, register
from publisher.registrar.submission import Submission
from publisher.tree import MemoryTree, write_changes
from registry_client.digest import Digest
from registry_client.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Files = dict[str, bytes]
PLUGINS = ("acme-calendar", "acme-map", "acme-m-ap", "globex-shop", "globex-chat")
_STATUSES = ("deprecated", "yanked", "testing", "released")


class Counted(MemoryTree):
    """A commit's files, with the paths that were read."""

    def __init__(self, files: Files) -> None:
        super().__init__(files)
        self.seen: set[str] = set()

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, or None."""
        self.seen.add(path)
        return super().read(path)


class History:
    """A registry and everything that main ever was.

    Args:
        folder: where to make it.
        minutes: for how long its catalogue may wait.
    """

    def __init__(self, folder: Path, *, minutes: int = 0) -> None:
        self.world = World(folder)
        self.commits: dict[str, Files] = {}
        self._versions = dict.fromkeys(PLUGINS, 0)
        self._blobs: dict[tuple[str, str], bytes] = {}
        self.seen: set[str] = set()
        self._pending: list[Submission] = []
        for name in ("acme", "globex"):
            self.world.add_publisher(name)
        if minutes:
            desk = self.world.desk()
            policy.set_policy(desk, {"catalogueMinutes": minutes})
            desk.save()
        self.commit()

    # -- Git, as far as the registrar asks it ------------------------------------------------------------------

    def commit(self) -> str:
        """Take down main as it stands. Gives the commit's id."""
        files = self.world.snapshot()
        name = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = files
        self._blobs |= {
            (path, Digest.of(data)): data for path, data in files.items() if path[:3] in {"plu", "art"}
        }
        return name

    def changed_since(self, head: str) -> Callable[[str], list[str] | None]:
        """What `Options.changed_since` is for a commit: a comparison of two trees."""

        def changed(base: str) -> list[str] | None:
            if base not in self.commits:
                return None
            old, new = self.commits[base], self.commits[head]
            return [path for path in {*old, *new} if old.get(path) != new.get(path)]

        return changed

    def recover(self, path: str, digest: Digest) -> bytes | None:
        """Lost bytes out of the history."""
        return self._blobs.get((path, digest))

    # -- the registrar -----------------------------------------------------------------------------------------

    def register(self, **more: Any) -> Run | None:
        """One run by what changed and one that takes over nothing: both must come to the same. Then it is committed.

        Returns:
            The run, or None if both were refused.
        """
        head = self.commit()
        more = {"commit": head, "changed_since": self.changed_since(head), "recover": self.recover, **more}
        quick, whole = self._run(head, full=False, **more), self._run(head, full=True, **more)
        if isinstance(quick, str) or isinstance(whole, str):
            assert quick == whole
            return None
        assert quick.changes.keys() == whole.changes.keys()
        assert quick.changes == whole.changes
        assert [o.to_json() for o in quick.outcomes] == [o.to_json() for o in whole.outcomes]
        assert (quick.versions, quick.quarantines, quick.notes) == (
            whole.versions,
            whole.quarantines,
            whole.notes,
        )
        self._pending.clear()
        write_changes(self.world.folder, quick.changes)
        self.commit()
        return quick

    def _run(self, head: str, **more: Any) -> Run | str:
        tree = Counted(self.commits[head])
        try:
            run = register(tree, self._pending, self.world.options(**more), self.world.now)
        except RegistryError as e:
            return f"{type(e).__name__}: {e.message}"
        if not more["full"]:
            self.seen = tree.seen
        return run

    # -- what happens to a registry ----------------------------------------------------------------------------

    def happen(self, name: str, number: int) -> None:
        """One thing happens, if it can: `name` is a method's, without its underscore."""
        with contextlib.suppress(RegistryError, FileNotFoundError, KeyError):
            getattr(self, f"_{name}")(PLUGINS[number % len(PLUGINS)], number)

    def _offer(self, plugin_id: str, number: int) -> None:
        """A version in a ref of its own, for the next run."""
        self._versions[plugin_id] += 1
        version = f"1.{self._versions[plugin_id]}.0"
        offer = self.world.prepare(plugin_id, version, **_packed(number)).offer
        if offer is not None:
            artifacts = dict(offer.files)
            manifest, release = artifacts.pop("manifest.json", None), artifacts.pop("release.json", None)
            self._pending.append(Submission("publish/x", plugin_id, version, manifest, release, artifacts))

    def _publish(self, plugin_id: str, number: int) -> None:
        """A version put into the working tree, and merged."""
        self._versions[plugin_id] += 1
        self.world.publish(plugin_id, f"1.{self._versions[plugin_id]}.0", **_packed(number))

    def _status(self, plugin_id: str, number: int) -> None:
        version = f"1.{max(1, self._versions[plugin_id] - number % 2)}.0"
        self.world.set_status(plugin_id, version, _STATUSES[number % 4], reason="because")

    def _shrink(self, plugin_id: str, number: int) -> None:
        version = f"1.{max(1, self._versions[plugin_id])}.0"
        self.world.set_status(plugin_id, version, "deprecated", reason="x" * (number % 900 + 1))

    def _own_files(self, plugin_id: str) -> list[Path]:
        top = self.world.folder / "plugins"
        return sorted([*(top / plugin_id).rglob("*.json"), *top.glob(f"{plugin_id}.json")])

    def _edit(self, plugin_id: str, number: int) -> None:
        files = self._own_files(plugin_id)
        if files:
            path = files[number % len(files)]
            path.write_bytes(path.read_bytes() + b" ")

    def _delete(self, plugin_id: str, number: int) -> None:
        files = self._own_files(plugin_id)
        if files:
            files[number % len(files)].unlink()

    def _revert(self, _plugin_id: str, number: int) -> None:
        """Put the plugins' files back to what they were in some commit: a hand undoes what the registrar wrote."""
        then = list(self.commits.values())[-1 - number % min(7, len(self.commits))]
        for path in [p for p in self.world.snapshot() if p.startswith("plugins/") and p not in then]:
            (self.world.folder / path).unlink()
        for path, data in then.items():
            if path.startswith("plugins/"):
                (self.world.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self.world.folder / path).write_bytes(data)

    def _artifact(self, _plugin_id: str, number: int) -> None:
        files = sorted((self.world.folder / "artifacts").rglob("*.bin"))
        if not files:
            return
        if number % 2:
            files[number % len(files)].write_bytes(b"other")
        else:
            files[number % len(files)].unlink()

    def _stray(self, plugin_id: str, number: int) -> None:
        """Something that is refused, and stays."""
        other = ("acme-stray", "initech-thing", plugin_id)[number % 3]
        path = (
            self.world.folder
            / "plugins"
            / other
            / f"9.{number % 3}.0"
            / ("manifest.json", "release.json")[number % 2]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'{"id":"%s"}' % other.encode())

    def _block(self, plugin_id: str, number: int) -> None:
        self.world.block(plugin_id, (">=1.0.0", "==1.1.0")[number % 2])

    def _unblock(self, plugin_id: str, _number: int) -> None:
        self.world.unblock(plugin_id)

    def _key(self, plugin_id: str, number: int) -> None:
        """Another key for a publisher; sometimes the old one is revoked, which quarantines."""
        name = plugin_id.partition("-")[0]
        old = self.world.publishers[name][0]
        self.world.add_key(name, ed25519(f"{name}-more-{number % 5}"))
        if number % 4 == 0:
            self.world.revoke_key(name, old)

    def _pattern(self, _plugin_id: str, number: int) -> None:
        """Whose an id is changes hands."""
        desk = self.world.desk()
        change = (
            PublisherChange(add_plugins=("initech-thing",))
            if number % 2
            else PublisherChange(name=f"Acme {number}")
        )
        policy.change_publisher(desk, ("acme", "globex")[number % 2], change)
        desk.save()

    def _policy(self, _plugin_id: str, number: int) -> None:
        desk = self.world.desk()
        members = (
            {"name": f"Registry {number}"},
            {"baseUrl": f"https://{number}.example"},
            {"catalogueMinutes": number % 90},
        )
        policy.set_policy(desk, members[number % 3])
        desk.save()

    def _renew(self, _plugin_id: str, _number: int) -> None:
        desk = self.world.desk(self.world.keys.online)
        renew(desk, force=True, roles={"registrar", "snapshot", "timestamp"})
        desk.save()

    def _quarantine(self, plugin_id: str, number: int) -> None:
        version = f"1.{max(1, self._versions[plugin_id])}.0"
        lines = self.world.client(f"look-{number}").versions(plugin_id)
        line = next(info.line for info in lines if info.line.version == version)
        names = {"id": plugin_id, "version": version, "cause": "manual", "reason": "odd"}
        mark = Mark.model_validate({**names, "payloadDigest": line.manifest.payload_digest})
        lift = ((plugin_id, version),) if number % 2 else ()
        self.register(orders=Orders((mark,), lift))

    def _register(self, _plugin_id: str, _number: int) -> None:
        self.register(allow_loss=1000)

    def _wait(self, _plugin_id: str, number: int) -> None:
        self.world.tick(minutes=(1, 20, 50, 60 * 26, 60 * 24 * 8)[number % 5])
        if number % 5 > 2:  # nobody lets the timestamp expire
            self._renew("", 0)


def _packed(number: int) -> dict[str, Any]:
    """Every third version comes with a file that the registry keeps."""
    if number % 3:
        return {}
    return {"files": {"a.bin": b"%d" % number}, "artifacts": [{"ecosystem": "custom", "path": "a.bin"}]}
