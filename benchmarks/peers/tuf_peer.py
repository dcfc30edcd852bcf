"""python-tuf as it comes: every plugin a target, in one targets file or in 256 hash bins, and its own updater.

A target is the page of one plugin, which names the manifests of its versions with their digests, as PEP 458 has it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, Rounds, run_worker
from benchmarks.peers.pages import PARTS
from benchmarks.plugins import key
from benchmarks.serving import serve
from benchmarks.sources import Layer
from benchmarks.subject import write_plainly
from benchmarks.timing import forget_peak, peak_memory, timed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.subject import Subject

FEW_ABOVE = 10_000
"""Above so many plugins one targets file takes so long that it is measured once."""
_LIMIT = 200_000_000
_TITLES = {
    "tuf-one": "python-tuf, one targets file",
    "tuf-bins": f"python-tuf, {PARTS} hash bins",
}


def measure_tuf(subject: Subject, pages: Mapping[str, bytes]) -> Iterator[Figure]:
    """One plugin looked up with nothing cached, and a refresh that finds nothing new."""
    for kind, title in _TITLES.items():
        folder = subject.scratch / kind
        write_plainly(folder, build_repository(pages, subject.plugin.id, bins=kind == "tuf-bins"))
        slow = kind == "tuf-one" and subject.plugins > FEW_ABOVE
        repeat = 1 if slow else max(1, min(3, subject.repeat))
        cold = Rounds(f"peer/{kind}/cold", subject.plugins, f"{title}: one plugin, nothing cached")
        unchanged = Rounds(f"peer/{kind}/unchanged", subject.plugins, f"{title}: nothing changed")
        with serve({"peer": Layer(str(folder)), **subject.layers()}) as host:
            host.use("peer", "first")
            for number in range(repeat + 1):
                home = subject.scratch / f"home-{kind}"
                for rounds in (cold, unchanged):
                    job = {"what": "benchmarks.peers.tuf_peer:look_up", "url": host.url, "home": str(home)}
                    root = str(folder / "metadata" / "1.root.json")
                    result = run_worker(
                        {**job, "root": root, "id": subject.plugin.id, "cold": rounds is cold}
                    )
                    counted = host.take()
                    if number or slow:
                        rounds.add(result["seconds"][0], counted, result["memory"])
                shutil.rmtree(home)
                if slow:
                    break
        shutil.rmtree(folder)
        yield from (cold.figure(), unchanged.figure())


def build_repository(pages: Mapping[str, bytes], wanted: str, *, bins: bool) -> dict[str, bytes]:
    """A TUF repository over these pages, and the one page that will be asked for."""
    from tuf.api.metadata import (
        Delegations,
        Metadata,
        MetaFile,
        Root,
        Snapshot,
        SuccinctRoles,
        TargetFile,
        Targets,
        Timestamp,
    )
    from tuf.api.serialization.json import JSONSerializer

    signer = key("peer")
    public: Any = signer.public_key
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    serializer = JSONSerializer(compact=True)
    files: dict[str, bytes] = {}

    def write(name: str, signed: Any) -> None:
        metadata = Metadata(signed)
        metadata.sign(signer)
        path = name if name == "timestamp" else f"1.{name}"
        files[f"metadata/{path}.json"] = metadata.to_bytes(serializer)

    root = Root(expires=expires, consistent_snapshot=True)
    for role in ("root", "timestamp", "snapshot", "targets"):
        root.add_key(public, role)
    write("root", root)
    targets = Targets(expires=expires)
    roles: dict[str, Any] = {"targets": targets}
    if bins:
        succinct = SuccinctRoles([public.keyid], 1, PARTS.bit_length() - 1, "bin")
        targets.delegations = Delegations({public.keyid: public}, succinct_roles=succinct)
        roles |= {name: Targets(expires=expires) for name in succinct.get_roles()}
    for plugin_id, page in pages.items():
        path = f"{plugin_id}.json"
        name = roles["targets"].delegations.succinct_roles.get_role_for_target(path) if bins else "targets"
        digest = hashlib.sha256(page).hexdigest()
        roles[name].targets[path] = TargetFile(len(page), {"sha256": digest}, path)
        if plugin_id == wanted:
            files[f"pages/{digest}.{path}"] = page
    for name, signed in roles.items():
        write(name, signed)
    write("snapshot", Snapshot(expires=expires, meta={f"{name}.json": MetaFile(1) for name in roles}))
    write("timestamp", Timestamp(expires=expires, snapshot_meta=MetaFile(1)))
    return files


def look_up(job: dict[str, Any]) -> dict[str, Any]:
    """A worker: the newest manifest of one plugin, or a refresh that finds nothing new and looks the plugin up again."""
    import requests
    from tuf.ngclient import Updater, UpdaterConfig

    home = Path(job["home"])
    for name in ("metadata", "pages"):
        (home / name).mkdir(parents=True, exist_ok=True)
    config = UpdaterConfig(timestamp_max_length=_LIMIT, snapshot_max_length=_LIMIT, targets_max_length=_LIMIT)

    def work() -> None:
        updater = Updater(
            str(home / "metadata"),
            f"{job['url']}/metadata/",
            target_dir=str(home / "pages"),
            target_base_url=f"{job['url']}/pages/",
            config=config,
            bootstrap=Path(job["root"]).read_bytes(),
        )
        updater.refresh()
        info = updater.get_targetinfo(f"{job['id']}.json")
        if info is None:
            raise AssertionError("the plugin is no target")
        if job["cold"]:
            page = json.loads(Path(updater.download_target(info)).read_bytes())
            ref = page[-1]["manifest"]
            data = requests.get(f"{job['url']}/{ref['path']}", timeout=60).content
            if hashlib.sha256(data).hexdigest() != ref["digest"].removeprefix("sha256:"):
                raise AssertionError("another manifest")

    before = forget_peak()
    return {"seconds": [timed(work)], "memory": peak_memory() - before}
