"""The registry in this repository: sound, readable by every kind of reader, and what its examples pack to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.httpd import FaultServer
from tuf.ngclient import Updater

from publisher.pack import artifact_name
from publisher.source import load_source, read_artifact
from publisher.tree import DirTree
from publisher.watch.audit import audit
from registry_client import Directories, Host, RegistryClient
from registry_client.errors import ConfigError

TOP = Path(__file__).parent.parent
ROOT = TOP / "metadata" / "1.root.json"
EXAMPLES = ("calendar", "hello-world", "wp-bridge")


def client(server: FaultServer, home: Path, *, allow_dev_keys: bool = True) -> RegistryClient:
    """A host that reads this repository from a static server."""
    return RegistryClient(
        server.url,
        root=ROOT,
        directories=Directories.default(home),
        host=Host("0" * 32),
        allow_dev_keys=allow_dev_keys,
    )


def test_audit_finds_it_sound() -> None:
    """No finding, not even a warning."""
    report = audit(DirTree(TOP), ROOT.read_bytes(), datetime.now(UTC), allow_dev_keys=True)
    assert report.findings == ()
    published = len(list(TOP.glob("plugins/*/*/manifest.json")))
    assert (report.plugins, report.versions) == (len(EXAMPLES), published)


@pytest.mark.parametrize("name", ["registry.json", "policy.json", "blocks.json"])
def test_plain_tuf_client_reads_it(name: str, tmp_path: Path) -> None:
    """python-tuf's own client, with nothing of ours, gets the targets from a static server."""
    with FaultServer(TOP) as server:
        updater = Updater(
            str(tmp_path / "metadata"),
            f"{server.url}/metadata/",
            str(tmp_path),
            f"{server.url}/targets/",
            bootstrap=ROOT.read_bytes(),
        )
        info = updater.get_targetinfo(name)
        assert info is not None
        assert Path(updater.download_target(info)).read_bytes() == (TOP / name).read_bytes()


def test_host_reads_and_downloads_every_example(tmp_path: Path) -> None:
    """Search, resolve and download all of them through the whole chain."""
    with FaultServer(TOP) as server:
        reader = client(server, tmp_path / "home")
        assert [entry.id for entry in reader.search()] == list(EXAMPLES)
        for plugin_id in EXAMPLES[1:]:
            resolution = reader.resolve(plugin_id)
            (path,) = reader.download(resolution.manifest, tmp_path / "out")
            newest = load_source(TOP / "examples" / plugin_id).model.version
            assert path.name == artifact_name(plugin_id, newest)
        manifest = reader.manifest("calendar", "1.0.0").model
        assert manifest.ui is not None
        assert manifest.server is not None


def test_host_refuses_it_without_allowing_development_keys(tmp_path: Path) -> None:
    """Its keys stand in the repository, so nobody trusts it by accident."""
    with FaultServer(TOP) as server, pytest.raises(ConfigError, match="development key"):
        client(server, tmp_path, allow_dev_keys=False).refresh()


@pytest.mark.parametrize("plugin_id", EXAMPLES)
def test_plain_hosts_find_the_shape_they_know(plugin_id: str) -> None:
    """registry.json and plugins/<id>.json have the members that a host without verification reads."""
    catalogue = json.loads((TOP / "registry.json").read_bytes())
    assert {"version", "lastUpdated", "plugins"} <= catalogue.keys()
    (entry,) = [row for row in catalogue["plugins"] if row["id"] == plugin_id]
    assert {"id", "name", "version", "manifestUrl"} <= entry.keys()
    manifest = json.loads((TOP / "plugins" / f"{plugin_id}.json").read_bytes())
    assert {"id", "name", "version", "manifestUrl", "lastUpdated"} <= manifest.keys()
    assert (TOP / "plugins" / f"{plugin_id}.json").read_bytes() == (
        TOP / "plugins" / plugin_id / entry["version"] / "manifest.json"
    ).read_bytes()


@pytest.mark.parametrize("plugin_id", EXAMPLES[1:])
def test_published_archives_are_what_the_examples_pack_to(plugin_id: str) -> None:
    """Anyone can rebuild the published bytes from the source."""
    source = load_source(TOP / "examples" / plugin_id)
    version = source.model.version
    found = read_artifact(source, 0, version=version)
    assert found is not None
    manifest = json.loads((TOP / "plugins" / plugin_id / version / "manifest.json").read_bytes())
    assert (TOP / manifest["artifacts"][0]["url"]).read_bytes() == found[1]
