"""A host project over a whole registry: its plugins.toml, its installer, what is in its plugins folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.world import World

from publisher.registrar.gate import TreeTransport
from registry_client.installer.installer import Installer
from registry_client.installer.registries import Access
from registry_client.store import Directories

if TYPE_CHECKING:
    from registry_client.installer.context import Hooks
    from registry_client.installer.plan import Plan


@dataclass
class HostProject:
    """A host's folder.

    Attributes:
        world: the registry that it reads, straight from its tree.
        folder: where plugins.toml stands.
        warnings: what the installer warned of.
    """

    world: World
    folder: Path
    warnings: list[str] = field(default_factory=list)
    hooks: Hooks | None = None
    online: bool = True

    @classmethod
    def make(cls, tmp_path: Path, *, plugins: str = "", host: str = "", updates: str = "") -> HostProject:
        """A registry with the publisher `acme`, and a project that reads it.

        Args:
            tmp_path: where both are made.
            plugins: lines of `[plugins]`.
            host: further lines of `[host]`.
            updates: lines of `[updates]`.
        """
        world = World(tmp_path / "registry")
        world.add_publisher("acme")
        world.register()
        folder = tmp_path / "host"
        folder.mkdir()
        project = cls(world, folder)
        (folder / "1.root.json").write_bytes(world.root)
        project.write(plugins, host=host, updates=updates)
        return project

    def write(self, plugins: str = "", *, host: str = "", updates: str = "") -> None:
        """Write plugins.toml."""
        (self.folder / "plugins.toml").write_text(
            f'[host]\nname = "example"\nversion = "1.4.0"\n{host}\n'
            f"[updates]\n{updates}\n"
            f'[registries.main]\nurl = "{self.world.base_url}"\nroot = "1.root.json"\n'
            f"[plugins]\n{plugins}\n",
            encoding="utf-8",
        )

    def publish(self, plugin_id: str, version: str = "1.0.0", *, text: str = "", **members: Any) -> None:
        """Publish a packed plugin whose plugin.py says which version it is, and index it."""
        members.setdefault("artifacts", [{"ecosystem": "python", "pack": "."}])
        files = {"plugin.py": (text or f"{plugin_id} {version}").encode()}
        self.world.publish(plugin_id, version, files=files, **members)
        self.world.register()

    def installer(self, **options: Any) -> Installer:
        """An installer that asks the registry at every call."""
        transport = TreeTransport(self.world.tree if self.online else _nothing())
        access = Access(
            Directories.default(self.folder.parent / "home"),
            self.warnings.append,
            clock=self._clock,
            transport=transport,
        )
        return Installer(self.folder, access, **{"hooks": self.hooks, **options})

    def _clock(self) -> Any:
        self.world.tick(minutes=6)  # past the TTL, so that what was published a moment ago is seen
        return self.world.now

    @property
    def plugins(self) -> Path:
        """The plugins folder."""
        return self.folder / "plugins"

    def versions(self) -> dict[str, str]:
        """What each plugin's own file says of its version, by id: what the host would load."""
        return {
            path.parent.name: path.read_text().rpartition(" ")[2]
            for path in sorted(self.plugins.glob("*/plugin.py"))
        }

    def locked(self) -> dict[str, str]:
        """Versions in plugins.lock, by id."""
        document = json.loads((self.folder / "plugins.lock").read_bytes())
        return {item["id"]: item["version"] for item in document["plugins"]}

    @property
    def toml(self) -> str:
        """The text of plugins.toml."""
        return (self.folder / "plugins.toml").read_text("utf-8")


def _nothing() -> Any:
    from publisher.tree import MemoryTree

    return MemoryTree({})


def done(plan: Plan) -> list[str]:
    """What a plan did, in short: `install acme-a 1.0.0`."""
    return [
        f"{change.action} {change.id} {(change.after or change.before).version}"  # type: ignore[union-attr]
        for change in plan.changes
    ]
