"""Wheels and sdists: built by a project's own backend, without secrets, always to the same bytes."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from publisher.check import check_source
from publisher.process import run_program
from publisher.python_dist import EPOCH_SECONDS, Builder, build_environment
from publisher.source import load_source, read_artifact
from registry_client.errors import ConfigError, ManifestError, PublishError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from publisher.python_dist import Kind

HATCH = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-tool"
dynamic = ["version"]

[tool.hatch.version]
source = "env"
variable = "PLUGIN_VERSION"

[tool.hatch.build.targets.wheel]
packages = ["tool"]
"""
# A backend in the project itself: writes its environment into what it builds, and takes times from the machine.
OWN = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["backend"]
"""
BACKEND = """\
import io, json, os, tarfile, time, zipfile

def _version():
    return os.environ.get("BUILT_VERSION") or os.environ["PLUGIN_VERSION"].replace("-rc.", "rc")

def build_sdist(folder, settings=None):
    if os.environ.get("BREAK"):
        print("\\n".join(f"line {i}" for i in range(100)))
        raise SystemExit("\\x1b[31mbroken on purpose\\x1b[0m")
    top = f"acme_tool-{_version()}"
    files = {f"{top}/{path}": open(path, "rb").read() for path in ("pyproject.toml", "backend/backend.py")}
    files[f"{top}/PKG-INFO"] = f"Metadata-Version: 2.1\\nName: acme-tool\\nVersion: {_version()}\\n".encode()
    files[f"{top}/{'x' * 120}.json"] = json.dumps(dict(os.environ)).encode() if os.environ.get("TELL") else b""
    files[f"{top}/" + os.environ.get("EXTRA_NAME", "a")] = os.environ.get("EXTRA", "").encode()
    with tarfile.open(os.path.join(folder, f"{top}.tar.gz"), "w:gz") as archive:
        for name, data in reversed(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid, info.uname = len(data), time.time(), os.getpid(), "someone"
            archive.addfile(info, io.BytesIO(data))
    return f"{top}.tar.gz"

def build_wheel(folder, settings=None, metadata=None):
    name = f"acme_tool-{_version()}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr(zipfile.ZipInfo("tool/environ.json"), json.dumps(dict(os.environ)))
        archive.writestr(zipfile.ZipInfo("tool/" + os.environ.get("EXTRA_NAME", "a")), os.environ.get("EXTRA", ""))
    return name
"""
SECRETS = {
    "PLUGIN_SIGNING_KEY": "s3cret-1",
    "PLUGIN_REGISTRY_KEY": "s3cret-2",
    "PLUGIN_REGISTRY_KEY_PASSPHRASE": "s3cret-3",
    "PLUGIN_REGISTRY_TOKEN": "s3cret-4",
    "GITHUB_TOKEN": "s3cret-5",
    "GH_TOKEN": "s3cret-6",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "s3cret-7",
    "ACTIONS_RUNTIME_TOKEN": "s3cret-8",
    "AWS_SECRET_ACCESS_KEY": "s3cret-9",
    "acme_password": "s3cret-10",
    "ACME_PEM": "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----\ns3cret-11",
    "PIP_CERT_TEXT": "-----BEGIN " + "PRIVATE KEY-----\ns3cret-12",
}


def project(folder: Path, pyproject: str = HATCH, build: str = "wheel") -> Path:
    """A plugin that is a Python project."""
    entry = {"ecosystem": "python", "build": build}
    manifest = {"id": "tool", "name": "Tool", "version": "1.0.0-rc.1", "artifacts": [entry]}
    files = {
        "manifest.json": json.dumps(manifest),
        "pyproject.toml": pyproject,
        "tool/__init__.py": "X = 1\n",
        "backend/backend.py": BACKEND,
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def builder(environ: Mapping[str, str] | None = None) -> Builder:
    """Builds with what is installed here."""
    return Builder({**os.environ, **(environ or {})}, isolated=False)


def contents(name: str, data: bytes) -> dict[str, bytes]:
    """The files in a wheel or an sdist."""
    if name.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {path: archive.read(path) for path in archive.namelist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as sdist:
        return {m.name: f.read() for m in sdist if (f := sdist.extractfile(m)) is not None}


@pytest.mark.parametrize(
    ("kind", "name", "member"),
    [
        ("wheel", "acme_tool-1.0.0rc1-py2.py3-none-any.whl", "tool/__init__.py"),
        ("sdist", "acme_tool-1.0.0rc1.tar.gz", "acme_tool-1.0.0rc1/tool/__init__.py"),
    ],
)
def test_hatchling(tmp_path: Path, kind: str, name: str, member: str) -> None:
    """A real backend: standard name, the version that is published, the same bytes again, nothing left behind."""
    folder = project(tmp_path / "one", build=kind)
    assert check_source(folder) == []
    before = sorted(folder.rglob("*"))
    source = load_source(folder)
    found = read_artifact(source, 0, version="1.0.0-rc.1", builder=builder())
    assert found is not None
    assert found[0] == name
    assert contents(*found)[member] == b"X = 1\n"
    assert sorted(folder.rglob("*")) == before
    time.sleep(1.1)  # times in archives count whole seconds
    other = load_source(project(tmp_path / "two", build=kind))
    assert (
        read_artifact(other, 0, version="1.0.0-rc.1", builder=builder({"TZ": "America/Anchorage"})) == found
    )


def test_sdists_of_any_backend_are_reproducible(tmp_path: Path) -> None:
    """Times, owners and order that a backend takes from the machine do not get into the file."""
    folder = project(tmp_path, OWN, "sdist")
    name, data = builder().build(folder, "sdist", "1.0.0")
    time.sleep(1.1)
    assert builder().build(folder, "sdist", "1.0.0") == (name, data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(EPOCH_SECONDS, 0, 0, "", 0o644)}
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert any(len(m.name) > 120 for m in members)
    assert data[4:10] == b"\0\0\0\0\x02\xff"  # gzip: no time, no system


def test_the_build_sees_no_secret(tmp_path: Path) -> None:
    """What a backend finds in its environment: the version and a fixed time, and nothing that may sign or push."""
    folder = project(tmp_path, OWN)
    ours = {**SECRETS, "PIP_INDEX_URL": "https://index.example", "ACME_FLAGS": "kept", "KEYBOARD": "kept"}
    name, data = builder(ours).build(folder, "wheel", "1.0.0")
    assert name == "acme_tool-1.0.0-py3-none-any.whl"
    seen = json.loads(contents(name, data)["tool/environ.json"])
    assert b"s3cret" not in data
    assert not SECRETS.keys() & seen.keys()
    assert (seen["ACME_FLAGS"], seen["KEYBOARD"], seen["PIP_INDEX_URL"]) == (
        "kept",
        "kept",
        "https://index.example",
    )
    assert (seen["PLUGIN_VERSION"], seen["SOURCE_DATE_EPOCH"]) == ("1.0.0", str(EPOCH_SECONDS))
    assert "s3cret" not in repr(vars(builder(ours)))


def test_the_secrets_of_this_process_are_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not through the environment of the command itself either, nor into what is installed for the build."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    _, data = Builder(os.environ, isolated=False).build(project(tmp_path, OWN), "wheel", "1.0.0")
    assert b"s3cret" not in data


def test_isolated_builds_use_an_environment_of_their_own(tmp_path: Path) -> None:
    """By default the build runs in a fresh environment; this project requires nothing, so nothing is fetched."""
    folder = project(tmp_path, OWN)
    environ = {**os.environ, "PIP_NO_INDEX": "1"}
    name, data = Builder(environ).build(folder, "wheel", "1.0.0")
    seen = json.loads(contents(name, data)["tool/environ.json"])
    assert seen["PATH"].split(os.pathsep)[0] not in os.environ["PATH"].split(os.pathsep)
    (folder / "pyproject.toml").write_text(OWN.replace("[]", '["acme-is-nowhere"]'))
    with pytest.raises(PublishError, match="cannot be built") as caught:
        Builder(environ).build(folder, "wheel", "1.0.0")
    assert "No matching distribution found for acme-is-nowhere" in caught.value.message
    assert "--no-isolation" in caught.value.hint


def test_failed_builds_show_their_last_lines(tmp_path: Path) -> None:
    """Enough to see why, not the whole log."""
    with pytest.raises(PublishError) as caught:
        builder({"BREAK": "1"}).build(project(tmp_path, OWN), "wheel", "1.0.0")
    first, *shown = caught.value.message.splitlines()
    assert first == f"{tmp_path}: the wheel cannot be built (exit code 1)"
    assert any("broken on purpose" in line for line in shown)
    assert len(shown) <= 15
    assert "line 1" not in caught.value.message.split("\n  ")
    assert "python -m build --no-isolation" in caught.value.hint


@pytest.mark.parametrize(
    ("built", "wanted", "fits"),
    [
        ("1.0.0rc1", "1.0.0-rc.1", True),
        ("1.0", "1.0.0", True),
        ("1.0.0", "1.0.0", True),
        ("1.0.0", "1.0.0-rc.1", False),
        ("1.0.1", "1.0.0", False),
        ("1.0.0+local", "1.0.0", False),
        ("1.0.0.dev1", "1.0.0", False),
    ],
)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_versions_must_agree(tmp_path: Path, kind: Kind, built: str, wanted: str, fits: bool) -> None:
    """Compared as PEP 440 does; else the error says how a project takes its version from here."""
    folder, made = project(tmp_path, OWN), builder({"BUILT_VERSION": built})
    if fits:
        assert made.build(folder, kind, wanted)[0].startswith(f"acme_tool-{built}")
        return
    with pytest.raises(PublishError, match=r"the build made version .*, but .* is to be published") as caught:
        made.build(folder, kind, wanted)
    assert f"to {wanted}" in caught.value.hint
    assert "PLUGIN_VERSION" in caught.value.hint


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (".env", "A=1", "holds secrets by convention"),
        ("key.pem", "-----BEGIN EC " + "PRIVATE KEY-----", "holds a private key"),
    ],
)
def test_secrets_are_not_published(tmp_path: Path, kind: Kind, name: str, text: str, message: str) -> None:
    """What packing refuses is refused in what was built, too."""
    folder = project(tmp_path, OWN)
    backend = folder / "backend" / "backend.py"
    # Not through the environment: there the key would not arrive.
    fixed = f'os.environ.update(EXTRA_NAME={name!r}, EXTRA={text[:10]!r} "" {text[10:]!r})\n'
    backend.write_text(BACKEND.replace("def _version", f"{fixed}\ndef _version"))
    with pytest.raises(PublishError, match=message):
        builder().build(folder, kind, "1.0.0")


def test_what_building_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project, the library, and somebody who builds: each is missed with the way out."""
    folder = project(tmp_path, OWN)
    with pytest.raises(ConfigError, match="nothing builds here"):
        read_artifact(load_source(folder), 0, version="1.0.0")
    find = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None if name == "build" else find(name))
        with pytest.raises(ConfigError, match="needs the package 'build'") as caught:
            builder().build(folder, "wheel", "1.0.0")
    assert "plugin-registry[author]" in caught.value.hint
    (folder / "pyproject.toml").unlink()
    with pytest.raises(ConfigError, match=r"no pyproject\.toml or setup\.py"):
        builder().build(folder, "wheel", "1.0.0")
    (problem,) = check_source(folder)
    assert problem.path == "$.artifacts[0].build"
    assert "nothing to build" in problem.message


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ecosystem": "wordpress", "build": "wheel"}, "python"),
        ({"ecosystem": "python", "build": "egg"}, 'expected "wheel" or "sdist", found "egg"'),
        ({"ecosystem": "python", "build": "wheel", "pack": "."}, "exactly one of pack, path, build and url"),
        ({"ecosystem": "python", "build": "wheel", "size": 1}, "size only together with"),
    ],
)
def test_entries_that_are_refused(tmp_path: Path, entry: dict[str, str], message: str) -> None:
    """`build` stands alone, for Python only."""
    folder = project(tmp_path)
    raw = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**raw, "artifacts": [entry]}))
    with pytest.raises(ManifestError) as caught:
        load_source(folder)
    assert any(message in problem.message for problem in caught.value.problems), caught.value.problems


def test_environment_is_a_copy() -> None:
    """Pure: the environment that is given stays as it is; colours, which would end up in messages, are off."""
    ours = {"GH_TOKEN": "x", "FORCE_COLOR": "1", "SOURCE_DATE_EPOCH": "5"}
    expected = {"NO_COLOR": "1", "SOURCE_DATE_EPOCH": str(EPOCH_SECONDS), "PLUGIN_VERSION": "1.0.0"}
    assert build_environment(ours, "1.0.0") == expected
    assert ours["GH_TOKEN"] == "x"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("PATH", "/bin", True),
        ("PWD", "/work", True),
        ("KEYBOARD", "de", True),
        ("PATTERN", "x", True),
        ("HOMEPAGE", "https://a.example/b:c@d", True),
        ("PIP_INDEX_URL", "https://user:word@index.example/simple", True),
        ("UV_INDEX_ACME_PASSWORD", "x", True),
        ("UV_DEFAULT_INDEX", "https://user:word@index.example/simple", True),
        ("https_proxy", "http://user:word@proxy.example:3128", True),
        ("GITHUB_SHA", "abc", True),
        ("NPM_TOKEN", "x", False),
        ("NPM_AUTHTOKEN", "x", False),
        ("PGPASSWORD", "x", False),
        ("MYSQL_PWD", "x", False),
        ("UV_PUBLISH_TOKEN", "x", False),
        ("OPENAI_APIKEY", "x", False),
        ("SSH_AUTH_SOCK", "/tmp/agent", False),
        ("DATABASE_URL", "postgres://user:word@db.example/x", False),
        ("CACHE", "redis://:word@db.example", False),
        ("PIP_CERT", "-----BEGIN " + "PRIVATE KEY-----", False),
        ("GIT_CONFIG_COUNT", "1", False),
        ("GIT_CONFIG_KEY_0", "http.extraheader", False),
        ("GIT_CONFIG_VALUE_0", "AUTHORIZATION: basic eA==", False),
        ("GIT_CONFIG_PARAMETERS", "'http.extraheader=x'", False),
        ("GIT_ASKPASS", "/bin/ask", False),
        ("GITHUB_ENV", "/runner/env", False),
        ("GITHUB_PATH", "/runner/path", False),
        ("GITHUB_OUTPUT", "/runner/out", False),
        ("PLUGIN_REGISTRY_READ", "x", False),
    ],
)
def test_what_a_build_is_told(name: str, value: str, kept: bool) -> None:
    """No secret by name or value, and no file that feeds a job's later steps; what a build needs stays."""
    assert (name in build_environment({name: value}, "1.0.0")) is kept


def test_a_hard_link_in_an_sdist_is_its_file(tmp_path: Path) -> None:
    """In the order of names it could come before what it links to; unpacked, each file is there with its bytes."""
    folder = project(tmp_path, OWN)
    code = "import io, os, tarfile\n\ndef build_sdist(folder, settings=None):\n    name = 'acme_tool-1.0.0.tar.gz'\n"
    code += "    with tarfile.open(os.path.join(folder, name), 'w:gz') as archive:\n"
    code += "        first = tarfile.TarInfo('acme_tool-1.0.0/z.py'); first.size = 4\n"
    code += "        archive.addfile(first, io.BytesIO(b'zzzz'))\n"
    code += "        link = tarfile.TarInfo('acme_tool-1.0.0/a.py'); link.type = tarfile.LNKTYPE\n"
    code += "        link.linkname = first.name; archive.addfile(link)\n    return name\n"
    (folder / "backend" / "backend.py").write_text(code)
    name, data = builder().build(folder, "sdist", "1.0.0")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(m.name, m.isreg(), m.size) for m in archive] == [
            ("acme_tool-1.0.0/a.py", True, 4),
            ("acme_tool-1.0.0/z.py", True, 4),
        ]
        archive.extractall(tmp_path / name, filter="data")
    assert (tmp_path / name / "acme_tool-1.0.0" / "a.py").read_bytes() == b"zzzz"


class TestPrograms:
    """Programs that are run to their end."""

    def test_output_and_code(self, tmp_path: Path) -> None:
        """Both streams in order, in the folder, with no more environment than was given."""
        code = (
            "import os, sys; print(os.getcwd(), os.environ.get('HOME'), flush=True); sys.exit('bye\\udcff')"
        )
        environ = {k: v for k, v in os.environ.items() if k != "HOME"}
        done = run_program([sys.executable, "-c", code], folder=tmp_path, environ=environ, timeout_seconds=60)
        assert (done.code, done.output.split()[:2]) == (1, [str(tmp_path), "None"])
        assert "bye" in done.output

    def test_long_output_is_cut(self, tmp_path: Path) -> None:
        """The end is kept."""
        code = "print('x' * 1_000_000); print('end')"
        done = run_program(
            [sys.executable, "-c", code], folder=tmp_path, environ=os.environ, timeout_seconds=60
        )
        assert len(done.output) <= 65536
        assert done.output.endswith("x\nend\n")

    @pytest.mark.skipif(os.name != "posix", reason="sessions are a POSIX thing")
    def test_all_that_was_started_is_killed(self, tmp_path: Path) -> None:
        """One that does not end is killed with its children, which would keep a pipe open."""
        child = f"import time; time.sleep(3); open({str(tmp_path / 'alive')!r}, 'w')"
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        began = time.monotonic()
        with pytest.raises(PublishError, match="no end after 1 seconds"):
            run_program([sys.executable, "-c", code], folder=tmp_path, environ=os.environ, timeout_seconds=1)
        assert time.monotonic() - began < 2.9
        time.sleep(3.2)
        assert not (tmp_path / "alive").exists()

    def test_program_that_is_not_there(self, tmp_path: Path) -> None:
        """An error of ours."""
        with pytest.raises(PublishError, match="cannot be started"):
            run_program([str(tmp_path / "none")], folder=tmp_path, environ={}, timeout_seconds=1)


def test_unreadable_outcome(tmp_path: Path) -> None:
    """A backend that makes no archive, none at all, or two, is told so."""
    folder = project(tmp_path, OWN)
    backend = folder / "backend" / "backend.py"
    write = "    open(os.path.join(folder, {!r}), 'wb').write({!r})\n"
    odd = gzip.compress(b"no tar")
    for names, data, message in [
        (["acme_tool-1.0.0.tar.gz"], b"no gzip", "no readable sdist"),
        (["acme_tool-1.0.0.tar.gz"], odd, "no readable sdist"),
        (["acme_tool-1.0.0.tar.gz"], b"", "0 bytes"),
        (["tool.tar.gz"], odd, "is no name of a sdist"),
        ([], b"", "expected one sdist of the build, found none"),
        (["a-1.tar.gz", "b-1.tar.gz"], odd, r"found a-1\.tar\.gz, b-1\.tar\.gz"),
    ]:
        lines = "".join(write.format(name, data) for name in names)
        backend.write_text(
            f"import os\ndef build_sdist(folder, settings=None):\n{lines}    return 'x.tar.gz'\n"
        )
        with pytest.raises(PublishError, match=message):
            builder().build(folder, "sdist", "1.0.0")
