"""Distributions from a Python package index: which file is chosen, and what an index cannot do."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

import pytest
from support.simple_index import JSON, SimpleIndex, simple_index, wheel

from registry_client.errors import DigestError, FetchError, NotFoundError, RegistryError, TooLargeError
from registry_client.http import Transport
from registry_client.installer.elsewhere import pypi as pypi_module
from registry_client.installer.elsewhere.pypi import choose_file, fetch_pypi, read_files
from registry_client.installer.project.sources import PypiSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry_client.installer.elsewhere.packed import Packed

TOOL = "nexus-tool"
HTTPS = "https://index.example/simple/nexus-tool/"


@pytest.fixture
def index() -> Iterator[SimpleIndex]:
    with simple_index() as served:
        yield served


def fetch(index: SimpleIndex, into: Path, wanted: str = "", **options: Any) -> Packed:
    host = {"python": "3.12.1", "platform": "linux"} | options
    transport = Transport()
    try:
        return fetch_pypi(PypiSource(TOOL, index.url), wanted, transport, into, **host)
    finally:
        transport.close()


def whl(version: str, tag: str = "py3-none-any") -> str:
    return f"nexus_tool-{version}-{tag}.whl"


def offer(index: SimpleIndex, version: str, tag: str = "py3-none-any", **changes: Any) -> None:
    index.add(TOOL, whl(version, tag), wheel(TOOL, version), **changes)


def test_the_newest_wheel_is_fetched(index: SimpleIndex, tmp_path: Path) -> None:
    """Asked for as JSON, checked by hash, and described by its own metadata."""
    offer(index, "1.0")
    data = wheel(TOOL, "1.10", headers="Requires-Python: >=3.10\nRequires-Dist: httpx>=0.24\n")
    index.add(TOOL, whl("1.10"), data)
    packed = fetch(index, tmp_path)
    assert (packed.id, packed.version, packed.name) == (TOOL, "1.10.0", whl("1.10"))
    assert packed.path == tmp_path / packed.digest.hex
    assert packed.path.read_bytes() == data
    assert packed.requires is not None
    assert (packed.requires.python, packed.requires.packages) == (">=3.10", ("httpx>=0.24",))
    assert index.seen[0] == (f"/simple/{TOOL}/", JSON)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", "2.0"),
        (">=1,<2", "1.5"),
        ("==1.0", "1.0"),
        ("==1.*", "1.5"),
        ("==3.0", "3.0"),
        (">=3.0rc1", "3.1rc1"),
        ("==3.1rc1", "3.1rc1"),
    ],
)
def test_ranges(index: SimpleIndex, tmp_path: Path, wanted: str, chosen: str) -> None:
    """PEP 440; prereleases where they are asked for, withdrawn versions only where asked for exactly."""
    for version in ("1.0", "1.5", "2.0", "3.1rc1"):
        offer(index, version)
    offer(index, "3.0", yanked="broken")
    assert fetch(index, tmp_path, wanted).name == whl(chosen)


def test_the_locked_file_is_taken(index: SimpleIndex, tmp_path: Path) -> None:
    """A wheel that came later for the same version, and would be chosen today, is not what was locked."""
    from packaging.tags import sys_tags

    offer(index, "1.0")
    locked = fetch(index, tmp_path / "a", "==1.0")
    data = wheel(TOOL, "1.0", headers="Requires-Dist: httpx\n")
    index.add(TOOL, whl("1.0", str(next(iter(sys_tags())))), data)
    here = {"python": python_version(), "platform": sys.platform}
    assert fetch(index, tmp_path / "b", "==1.0", **here).digest != locked.digest
    assert fetch(index, tmp_path / "b", "==1.0", digest=locked.digest, **here).digest == locked.digest


def test_versions_that_a_registry_has_not(index: SimpleIndex, tmp_path: Path) -> None:
    """They can be installed; they count as 0.0.0, and that is said."""
    offer(index, "1.0.post1")
    packed = fetch(index, tmp_path)
    assert packed.version == "0.0.0"
    assert "1.0.post1" in packed.notes[0]


def test_what_fits_the_host(index: SimpleIndex, tmp_path: Path) -> None:
    """Python's version and the wheel's tags decide; an older version that fits comes before a newer that does not."""
    offer(index, "1.0")
    offer(index, "1.1", requires_python=">=3.13")
    offer(index, "1.2", tag="cp312-cp312-win_amd64")
    offer(index, "1.3", tag="cp27-none-any")
    assert fetch(index, tmp_path).version == "1.0.0"
    assert fetch(index, tmp_path, python="3.13.0").version == "1.1.0"
    assert fetch(index, tmp_path, python=None, platform=None).version == "1.1.0"


def test_tags_of_the_running_interpreter(index: SimpleIndex, tmp_path: Path) -> None:
    """Here also wheels for this very platform fit, and come before those for any."""
    from packaging.tags import sys_tags

    best = str(next(iter(sys_tags())))
    offer(index, "1.0")
    offer(index, "1.0", tag=best)
    packed = fetch(index, tmp_path, python=python_version(), platform=sys.platform)
    assert packed.name == whl("1.0", best)


def test_an_sdist_where_there_is_no_wheel(index: SimpleIndex, tmp_path: Path) -> None:
    """It is taken as it is: nothing of it runs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in {
            "PKG-INFO": f"Name: {TOOL}\nVersion: 1.0\n",
            "setup.py": "raise SystemExit",
        }.items():
            info = tarfile.TarInfo(f"nexus_tool-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    index.add(TOOL, "nexus_tool-1.0.tar.gz", buffer.getvalue())
    assert fetch(index, tmp_path).name == "nexus_tool-1.0.tar.gz"
    offer(index, "1.0")
    assert fetch(index, tmp_path).name == whl("1.0")


@pytest.mark.parametrize(
    ("wanted", "words"), [(">=5", "nothing fits >=5; the newest for this host is 1.0"), (">1", "withdrawn")]
)
def test_nothing_fits(index: SimpleIndex, tmp_path: Path, wanted: str, words: str) -> None:
    """It says what there is instead."""
    offer(index, "1.0")
    offer(index, "2.0", yanked=True)
    with pytest.raises(NotFoundError, match=words):
        fetch(index, tmp_path, wanted)


def test_an_unknown_project(index: SimpleIndex, tmp_path: Path) -> None:
    """A name that the index has not."""
    with pytest.raises(NotFoundError, match="not on http"):
        fetch(index, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hashes": {"sha256": "0" * 64}}, "but the index states"),
        ({"hashes": {}}, "states no sha256"),
        ({"hashes": None}, "states no sha256"),
        ({"hashes": {"md5": "0" * 32}}, "states no sha256"),
        ({"hashes": {"sha256": "0" * 63}}, "states no sha256"),
        ({"size": 100_000}, "but the index states 100000"),
    ],
)
def test_bytes_are_those_that_the_index_states(
    index: SimpleIndex, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """No hash, another hash or another size: nothing stays, and no older version slips in instead."""
    offer(index, "1.0")
    offer(index, "1.1", **changes)
    with pytest.raises(DigestError, match=words):
        fetch(index, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_longer_than_stated(index: SimpleIndex, tmp_path: Path) -> None:
    """Reading stops at the stated size."""
    offer(index, "1.0", size=10)
    with pytest.raises(TooLargeError, match="longer than the 10 bytes"):
        fetch(index, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"filename": "../../evil-1.0-py3-none-any.whl"},
        {"filename": "nexus_tool-9.0-py3-none-any.whl/../x"},
        {"filename": "other-9.0-py3-none-any.whl"},
        {"filename": "nexus_tool-9.0.exe"},
        {"filename": "nexus_tool-nine-py3-none-any.whl"},
        {"filename": 9},
        {"filename": whl("9.0"), "url": None},
        {"filename": whl("9.0"), "url": "http://index.example/x.whl"},
        {"filename": whl("9.0"), "url": "file:///etc/passwd"},
        {"filename": whl("9.0"), "url": "https://user:pw@index.example/x.whl"},
        {"filename": whl("9.0"), "url": "https://[/x.whl"},
    ],
)
def test_odd_entries_are_left_out(entry: dict[str, Any]) -> None:
    """Names with path parts, other projects' files, links that are weaker than the index's own."""
    good = {"filename": whl("1.0"), "url": "x.whl", "hashes": {"sha256": "0" * 64}}
    page = {"meta": {"api-version": "1.0"}, "files": [{**good, **entry}, good, 5, None]}
    files = read_files(json.dumps(page).encode(), HTTPS, TOOL, python="3.12", platform="linux")
    assert [file.name for file in files] == [whl("1.0")]
    assert files[0].url == f"{HTTPS}x.whl"
    assert choose_file(files, "", "x") == files[0]


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (200, {"Content-Type": "text/html"}, b"<html></html>", "is not JSON"),
        (200, {}, b"[]", "expected a JSON object"),
        (200, {}, b'{"meta": {"api-version": "2.0"}, "files": []}', "simple API"),
        (200, {}, b'{"meta": {"api-version": "1.0"}, "files": {}}', "simple API"),
        (200, {}, b'{"meta": 5, "files": []}', "simple API"),
        (200, {}, b'{"a":' * 5000, "deep|JSON"),
        (200, {}, b" " * 2000, "longer than the 1000 bytes"),
        (500, {}, b"", "HTTP 500"),
        (302, {"Location": "ftp://elsewhere.example/"}, b"", "redirects from http to ftp"),
        (302, {"Location": "file:///etc/passwd"}, b"", "redirects from http to file"),
    ],
)
def test_what_is_no_index(
    index: SimpleIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
    body: bytes,
    words: str,
) -> None:
    """Another answer than the simple API's, a huge one, or a way elsewhere."""
    monkeypatch.setattr(pypi_module, "INDEX_LIMIT", 1000 if body.startswith(b" ") else 100_000)
    index.answers[f"/simple/{TOOL}/"] = (status, headers, body)
    with pytest.raises(FetchError, match=words):
        fetch(index, tmp_path)


def test_a_redirect_to_another_page_of_the_index(index: SimpleIndex, tmp_path: Path) -> None:
    """Redirects of the same kind are followed, as mirrors use them."""
    offer(index, "1.0")
    page = index.answer(f"/simple/{TOOL}/")
    index.answers["/simple/elsewhere/"] = page
    index.answers[f"/simple/{TOOL}/"] = (302, {"Location": "/simple/elsewhere/"}, b"")
    assert fetch(index, tmp_path).version == "1.0.0"


def test_a_wheel_that_is_no_archive(index: SimpleIndex, tmp_path: Path) -> None:
    """Its hash is right, and it cannot be unpacked: refused, and nothing stays."""
    index.add(TOOL, whl("1.0"), b"nothing")
    with pytest.raises(RegistryError, match="no ZIP archive"):
        fetch(index, tmp_path)
    assert list(tmp_path.iterdir()) == []
