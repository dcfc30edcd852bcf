"""Resolution in memory: many plugins with many versions that need each other. `python -m benchmarks.resolve`."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.timing import peak_memory, timed
from registry_client.digest import Digest
from registry_client.errors import NotFoundError, ResolutionError
from registry_client.installer.project.lockfile import LockedPlugin
from registry_client.installer.resolution.solve import Ask, solve
from registry_client.jsontext import dump_line
from registry_client.models.index import IndexLine
from registry_client.names import parse_range, parse_version
from registry_client.resolve import Host, VersionInfo
from registry_client.status import standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

PLUGINS = 200
VERSIONS = 20
NEEDS = 3
_REGISTRY = "main"


class Memory:
    """A catalogue that has everything at hand."""

    def __init__(self, rows: dict[str, list[VersionInfo]]) -> None:
        self.rows = rows

    def prefetch(self, wanted: Collection[tuple[str, str]]) -> None:
        """Nothing to do."""

    def versions(self, registry: str, plugin_id: str) -> Sequence[VersionInfo]:
        """The versions of a plugin."""
        if plugin_id not in self.rows:
            raise NotFoundError(f"{plugin_id}: registry {registry} does not have it")
        return self.rows[plugin_id]


def build(plugins: int = PLUGINS, versions: int = VERSIONS, seed: int = 7) -> Memory:
    """A registry in which each version needs three later plugins, in versions of about its own age."""
    chance = random.Random(seed)
    rows: dict[str, list[VersionInfo]] = {}
    for number in range(plugins):
        later = range(number + 1, plugins)
        rows[_id(number)] = [
            _info(_id(number), age, {_id(n): age for n in chance.sample(later, min(NEEDS, len(later)))})
            for age in range(versions)
        ]
    return Memory(rows)


def _id(number: int) -> str:
    return f"plugin-{number:04d}"


def _version(age: int) -> str:
    return f"{1 + age // 10}.{age % 10}.0"


def _info(plugin_id: str, age: int, needs: dict[str, int]) -> VersionInfo:
    version = _version(age)
    ranges = {name: f">={1 + a // 10}.{max(0, a % 10 - 2)},<{2 + a // 10}" for name, a in needs.items()}
    row: dict[str, Any] = {
        "id": plugin_id,
        "version": version,
        "manifest": {
            "path": f"plugins/{plugin_id}/{version}/manifest.json",
            "digest": Digest.of(f"file {plugin_id} {version}".encode()),
            "size": 1000,
            "payloadDigest": Digest.of(f"{plugin_id} {version}".encode()),
        },
        "publisher": "acme",
        "publishedAt": "2026-01-31T12:00:00Z",
        "initialStatus": "released",
        "requires": {"plugins": ranges, "host": {"nexus": ">=1"}, "python": ">=3.11"},
    }
    line = IndexLine.model_validate_json(dump_line(row))
    return VersionInfo(line, None, standing_of(line, None, ()))


def lock(memory: Memory, age: int) -> dict[str, LockedPlugin]:
    """A lock of all plugins at one age."""
    entries = {}
    for name, infos in memory.rows.items():
        document = {
            "id": name,
            "version": infos[age].version,
            "source": {"kind": "registry", "registry": _REGISTRY},
            "payloadDigest": infos[age].line.manifest.payload_digest,
            "publisher": "acme",
        }
        entries[name] = LockedPlugin.model_validate(document)
    return entries


def situations(memory: Memory) -> dict[str, Callable[[], object]]:
    """What is measured, by name. Each begins without anything parsed before."""
    host = Host("0" * 32, applications={"nexus": "1.2.0"}, python="3.12.1", platform="linux")
    locked = lock(memory, VERSIONS // 2)
    every = [Ask(name, "", _REGISTRY) for name in memory.rows]
    last = list(memory.rows)[-1]

    def run(asks: Sequence[Ask], **more: Any) -> object:
        parse_version.cache_clear()
        parse_range.cache_clear()
        try:
            return solve(asks, memory, host, **more)
        except ResolutionError as e:
            return e

    return {
        "resolve: all wanted, no lock": lambda: run(every),
        "resolve: all locked, nothing to do": lambda: run(every, locked=locked),
        "resolve: all upgraded": lambda: run(every, locked=locked, upgrade=True),
        "resolve: one upgraded": lambda: run(every, locked=locked, upgrade={every[0].id}),
        "resolve: a conflict, explained": lambda: run(
            [Ask(every[0].id, ">=2", _REGISTRY), Ask(last, "<1.2", _REGISTRY)]
        ),
        "resolve: all go back for one": lambda: run([*every, Ask(last, "<1.5", _REGISTRY)]),
    }


def measure(repeat: int) -> dict[str, list[float]]:
    """Seconds of each repetition by situation; the registry is in memory already."""
    found = situations(build())
    return {name: [timed(work) for _ in range(repeat)] for name, work in found.items()}


def main() -> None:
    """Print a line for each situation, and the peak memory of the process."""
    repeat = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    memory = build()
    before = peak_memory()
    for name, work in situations(memory).items():
        print(f"{name}: {min(timed(work) for _ in range(repeat)):.3f} s")
    print(
        f"peak memory: {peak_memory() / 1e6:.0f} MB, {before / 1e6:.0f} MB of it before the first resolution"
    )


if __name__ == "__main__":
    main()
