"""A small registry to measure, made by the registrar itself out of submissions. Large ones are made by `benchmarks.bulk`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.plugins import (
    BASE_URL,
    REGISTRY,
    VERSIONS,
    Plugin,
    build_plugins,
    key,
    publishers_of,
    signed_manifest,
    signed_release,
)
from publisher.maintain.init import Keys, NewRegistry, build_registry
from publisher.registrar.run import Options, register
from publisher.registrar.submission import Submission
from publisher.signing import keyid_of, public_key_object
from publisher.tree import MemoryTree, Overlay
from publisher.tuf_repository import TufRepository, add_target
from registry_client.jsontext import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class Data:
    """A registry.

    Attributes:
        plugins: in the order in which they were made.
        files: every file of the registry by path.
        options: how its registrar runs.
        now: when it was registered.
    """

    plugins: tuple[Plugin, ...]
    files: dict[str, bytes]
    options: Options
    now: datetime


def publication(plugin: Plugin, version: str, now: datetime) -> Submission:
    """A new version of one plugin, signed, as the registrar is offered it."""
    return Submission("publish", plugin.id, version, dump_json(signed_manifest(plugin, version, now)))


def options_for(root: bytes) -> Options:
    """How the registrar of a benchmark's registry runs."""
    return Options(root, [key("online")])


def maintainers() -> Keys:
    """The keys of a benchmark's maintainers."""
    return Keys((key("root-1"), key("root-2")), key("targets"), key("blocks"), key("online"))


def build_empty(count: int, now: datetime) -> dict[str, bytes]:
    """Every file of a registry in which the publishers of so many plugins may publish, and nobody has yet."""
    files = build_registry(NewRegistry(BASE_URL, REGISTRY, "Benchmark", threshold=2), maintainers(), now)
    return files | allow_publishers(files, publishers_of(count), maintainers(), now)


def build_data(count: int, now: datetime) -> Data:
    """A registry with so many plugins, five versions each, every tenth version with a release document.

    Args:
        count: how many plugins.
        now: the time of registration, UTC.
    """
    plugins = build_plugins(count)
    memory = MemoryTree(build_empty(count, now))
    options = options_for(memory.files["metadata/1.root.json"])
    run = register(memory, _submissions(plugins, now), options, now)
    if run.refused:
        raise run.refused[0].error or AssertionError("refused without a reason")
    return Data(plugins, {**memory.files, **kept(run.changes)}, options, now)


def allow_publishers(
    files: dict[str, bytes], publishers: Iterable[str], keys: Keys, now: datetime
) -> dict[str, bytes]:
    """The files that allow publishers to publish what begins with their ids."""
    documents = {f"publishers/{name}.json": dump_json(_publisher(name)) for name in sorted(publishers)}
    return sign_targets(files, documents, keys, now)


def sign_targets(
    files: dict[str, bytes], documents: Mapping[str, bytes], keys: Keys, now: datetime
) -> dict[str, bytes]:
    """The files that make these documents the maintainers' statements."""
    tree = Overlay(MemoryTree(files))
    with TufRepository(tree, keys.all, now).edit_targets() as targets:
        for path, data in documents.items():
            tree.write(add_target(targets, path, data), data)
            tree.write(path, data)
    return kept(tree.changes)


def kept(changes: dict[str, bytes | None]) -> dict[str, bytes]:
    """Changes of a tree as files."""
    return {path: data for path, data in changes.items() if data is not None}


def _publisher(publisher: str) -> dict[str, Any]:
    public = key(publisher).public_key
    return {
        "kind": "publisher",
        "schemaVersion": 1,
        "id": publisher,
        "name": publisher.capitalize(),
        "keys": {keyid_of(public): public_key_object(public)},
        "threshold": 1,
        "plugins": [f"{publisher}-*"],
    }


def _submissions(plugins: tuple[Plugin, ...], now: datetime) -> list[Submission]:
    made = []
    for number, plugin in enumerate(plugins):
        for position, version in enumerate(VERSIONS):
            manifest = signed_manifest(plugin, version, now)
            release = signed_release(plugin, number, position, manifest, now)
            files = dump_json(manifest), None if release is None else dump_json(release)
            made.append(Submission("publish", plugin.id, version, *files))
    return made
