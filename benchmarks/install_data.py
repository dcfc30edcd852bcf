"""A registry whose plugins can be installed: archives in the tree, and plugins that need each other."""

from __future__ import annotations

import io
import random
import zipfile
from typing import TYPE_CHECKING, Any

from benchmarks.data import allow_publishers, kept, maintainers, options_for
from benchmarks.plugins import BASE_URL, REGISTRY, Plugin, build_manifest, key
from publisher.documents import sign_document
from publisher.maintain.init import NewRegistry, build_registry
from publisher.registrar.run import register
from publisher.registrar.submission import Submission
from publisher.tree import MemoryTree
from registry_client.digest import Digest
from registry_client.jsontext import dump_json

if TYPE_CHECKING:
    from datetime import datetime

COUNT = 50
ROOTS = 5
"""So many plugins are asked for; each needs others, which need others: a tree of ten plugins."""
_FILES, _SIZE = 20, 10_000
VERSION = "1.0.0"


def build_installable(now: datetime) -> tuple[dict[str, bytes], list[str], list[str]]:
    """A registry of 50 plugins, each an archive of 20 files and 200 KB.

    Args:
        now: the time of registration, UTC.

    Returns:
        Every file by path; the ids that a host asks for; the paths of all archives.
    """
    keys = maintainers()
    new = NewRegistry(BASE_URL, REGISTRY, "Benchmark", threshold=2, in_tree=True)
    files = build_registry(new, keys, now)
    files |= allow_publishers(files, ["team00"], keys, now)
    plugins = [Plugin(f"team00-plugin-{number:02}", "team00") for number in range(COUNT)]
    submissions, archives = [], []
    for number, plugin in enumerate(plugins):
        data = _archive(plugin.id)
        path = f"artifacts/sha256/{Digest.of(data).hex}/{plugin.id}-{VERSION}.zip"
        files[path] = data
        archives.append(path)
        manifest = _manifest(plugins, number, now, path, data)
        submissions.append(
            Submission("publish", plugin.id, VERSION, dump_json(sign_document(manifest, [key("team00")])))
        )
    run = register(MemoryTree(files), submissions, options_for(files["metadata/1.root.json"]), now)
    if run.refused:
        raise run.refused[0].error or AssertionError("refused without a reason")
    return {**files, **kept(run.changes)}, [plugin.id for plugin in plugins[:ROOTS]], archives


def _manifest(plugins: list[Plugin], number: int, now: datetime, path: str, data: bytes) -> dict[str, Any]:
    """A manifest whose plugin needs those at 5 n + 5 … 5 n + 9 below its root, as far as there are such."""
    raw = build_manifest(plugins[number], VERSION, now)
    raw["artifacts"] = [{"ecosystem": "python", "url": path, "digest": Digest.of(data), "size": len(data)}]
    below = [
        n
        for n in (2 * (number // ROOTS) + 1, 2 * (number // ROOTS) + 2)
        if n * ROOTS + number % ROOTS < COUNT
    ]
    needed = {plugins[n * ROOTS + number % ROOTS].id: ">=1,<2" for n in below}
    raw["requires"] = {**raw["requires"], **({"plugins": needed} if needed else {})}
    return raw


def _archive(plugin_id: str) -> bytes:
    buffer = io.BytesIO()
    pick = random.Random(plugin_id)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number in range(_FILES):
            info = zipfile.ZipInfo(f"{plugin_id}/part{number:02}.bin", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, pick.randbytes(_SIZE))
    return buffer.getvalue()
