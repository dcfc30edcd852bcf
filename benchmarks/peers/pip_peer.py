"""pip and a simple index of the same size, as whole processes; and `plugin info` with nothing cached, beside it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

from benchmarks.figures import Rounds, run_command
from benchmarks.plugins import VERSIONS, build_plugins
from benchmarks.serving import serve
from benchmarks.sources import Layer
from benchmarks.subject import write_plainly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure
    from benchmarks.subject import Subject


def measure_pip(subject: Subject) -> Iterator[Figure]:
    """`pip download` of the newest of five versions, a wheel of about 1 KB, in turns with `plugin info`."""
    folder = subject.scratch / "simple"
    write_plainly(folder, build_simple(subject))
    pip = Rounds("peer/pip", subject.plugins, "`pip download` from a simple index, nothing cached")
    info = Rounds("command/info-cold", subject.plugins, "`plugin info`, nothing cached")
    with serve({"peer": Layer(str(folder)), **subject.layers()}) as host:
        host.use("peer", "first")
        home, wheels = subject.scratch / "home-info-cold", subject.scratch / "wheels"
        plugin = {
            "PLUGIN_REGISTRY_URL": host.url,
            "PLUGIN_REGISTRY_ROOT": str(subject.root),
            "PLUGIN_REGISTRY_HOME": str(home),
        }
        download = [
            *(
                sys.executable,
                "-m",
                "pip",
                "download",
                "--isolated",
                "--quiet",
                "--no-deps",
                "--no-cache-dir",
            ),
            *("--disable-pip-version-check", "--index-url", f"{host.url}/simple/", "--dest", str(wheels)),
            subject.plugin.id,
        ]
        ask = [sys.executable, "-m", "registry_client.cli.main", "info", subject.plugin.id]
        for number in range(min(3, subject.repeat) + 1):
            for rounds, command in ((pip, download), (info, ask)):
                host.take()
                seconds = run_command(command, {"PIP_CONFIG_FILE": os.devnull, **plugin})
                if number:
                    rounds.add(seconds, host.take())
            shutil.rmtree(home)
            shutil.rmtree(wheels)
    shutil.rmtree(folder)
    yield from (pip.figure(), info.figure())


def build_simple(subject: Subject) -> dict[str, bytes]:
    """A simple index with a page for each plugin, and the wheels of the one that is looked up."""
    files: dict[str, bytes] = {}
    for plugin in build_plugins(subject.plugins):
        asked = plugin == subject.plugin
        wheels = {
            _wheel_name(plugin.id, version): _wheel(plugin.id, version) if asked else b""
            for version in VERSIONS
        }
        rows = [
            f'<a href="../../wheels/{name}#sha256={hashlib.sha256(data or name.encode()).hexdigest()}">{name}</a><br>'
            for name, data in wheels.items()
        ]
        page = f"<!DOCTYPE html><html><body>\n{chr(10).join(rows)}\n</body></html>\n"
        files[f"simple/{plugin.id}/index.html"] = page.encode()
        if asked:
            files |= {f"wheels/{name}": data for name, data in wheels.items()}
    return files


def _wheel_name(plugin_id: str, version: str) -> str:
    return f"{plugin_id.replace('-', '_')}-{version}-py3-none-any.whl"


def _wheel(plugin_id: str, version: str) -> bytes:
    name = f"{plugin_id.replace('-', '_')}-{version}.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, text in (
            ("METADATA", f"Metadata-Version: 2.1\nName: {plugin_id}\nVersion: {version}\n"),
            ("WHEEL", "Wheel-Version: 1.0\nGenerator: benchmark\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", f"{name}/METADATA,,\n{name}/WHEEL,,\n{name}/RECORD,,\n"),
        ):
            archive.writestr(zipfile.ZipInfo(f"{name}/{file}", (1980, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()
