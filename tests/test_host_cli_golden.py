"""A host's whole story as transcripts at 80 columns, each a file in golden/host.

`GOLDEN=write pytest tests/test_host_cli_golden.py` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import host as support
from support.githttp import git_host
from support.host import HostBench, newer
from support.simple_index import simple_index, wheel
from support.world import commit_all, git

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "golden" / "host"
WRITE = os.environ.get("GOLDEN") == "write"
template, host = support.template, support.host
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the transcripts have the paths of POSIX systems"
)


def first_steps(host: HostBench) -> None:
    """From an empty folder to installed plugins, and what is known of them."""
    host.run("add", "calendar")
    host.init()
    host.run("init", "--registry", host.url, "--root", "1.root.json")
    host.run("search")
    host.run("add", "calendar", "sms>=1,<2")
    host.said.append(f"$ cat plugins.toml\n{(host.folder / 'plugins.toml').read_text()}")
    host.run("install")
    host.run("list")
    host.run("tree")
    host.run("why", "core")
    host.run("outdated")
    host.run("verify")
    host.run("status")
    host.run("remove", "calendar")
    host.run("lock", "--check")
    host.run("list")


def upgrades(host: HostBench) -> None:
    """What an upgrade brings, permissions refused and accepted, and back again."""
    host.init()
    host.add("calendar", "sms>=1")
    newer(host)
    host.said.clear()
    host.run("outdated")
    host.run("outdated", "--exit-code", "--json")
    host.run("changelog", "calendar")
    host.run("upgrade", "--dry-run")
    host.run("upgrade")
    host.run("upgrade", "calendar")
    host.run("upgrade", "--accept-permissions")
    host.run("upgrade")
    host.run("rollback", "sms", "--dry-run")
    host.run("rollback", "sms")
    host.run("outdated")
    host.run("rollback", "sms")
    host.run("rollback", "calendar", "0.9.0")


def looking_after(host: HostBench) -> None:
    """Changed files, plugins set aside, folders that nobody recorded."""
    host.init()
    host.add("calendar", "sms")
    host.said.clear()
    (host.plugins / "sms" / "main.py").write_text("changed")
    (host.plugins / "sms" / "more.py").write_text("added")
    host.run("verify")
    host.run("verify", "calendar")
    host.run("install", "--verify")
    host.run("verify-all")
    host.run("disable", "sms")
    host.run("list")
    host.run("enable", "sms")
    stray = host.plugins / "stray"
    stray.mkdir()
    (stray / "main.py").write_text("nobody knows")
    (host.plugins / "notes").mkdir()
    host.run("discover")
    host.run("discover", "--adopt", "stray")
    host.run("discover", "--adopt", "stray", "--allow-unsigned")
    host.run("list")
    host.run("upgrade")


def bad_news(host: HostBench) -> None:
    """Deprecated, yanked, blocked; and what cron may do."""
    host.init()
    host.add("calendar", "sms")
    newer(host)
    host.said.clear()
    host.run("upgrade", "--auto")
    host.set_status("calendar", "1.1.0", force_update=True)
    host.run("upgrade", "--auto", "--dry-run")
    host.run("upgrade", "--auto")
    host.set_status("calendar", "1.1.0", "deprecated", reason="use widget")
    host.run("outdated")
    host.set_status("calendar", "1.1.0", "yanked", reason="loses appointments")
    host.run("verify", "calendar")
    host.run("upgrade", "calendar")
    host.block("sms", "<2", "disable", "steals contacts")
    host.run("verify")
    host.run("list")
    host.run("enable", "sms")
    host.run("add", "sms")
    host.run("status")
    host.world.unblock("sms")
    host.update()
    host.run("verify", "sms")


def unsigned_sources(host: HostBench) -> None:
    """A folder, a Git tag and a package index, each only where it is allowed, each marked."""
    host.init()
    for name in ("theme", "widget"):
        folder = host.folder.parent / name
        folder.mkdir()
        (folder / "manifest.json").write_text(
            json.dumps({"id": name, "name": name.title(), "version": "0.1.0"})
        )
        (folder / "main.py").write_text(name)
    git(folder, "init", "--quiet", "--initial-branch=main", ".")
    commit_all(folder, "First")
    git(folder, "tag", "v0.1.0")
    repositories = host.folder.parent / "git"
    git(folder, "clone", "--quiet", "--bare", ".", str(repositories / "widget.git"))
    host.said.clear()
    host.run("add", "../theme")
    host.run("add", "../theme", "--allow-unsigned")
    with git_host(repositories) as served, simple_index() as index:
        host.run("add", f"git+{served.url}/widget.git@v0.1.0", "--allow-unsigned")
        index.add("nexus-tool", "nexus_tool-1.0-py3-none-any.whl", wheel("nexus-tool", "1.0"))
        toml = host.folder / "plugins.toml"
        toml.write_text(toml.read_text() + f'\n[sources]\npypi = "{index.url}"\n')
        host.run("add", "pypi:nexus-tool", "--allow-unsigned")
        host.run("list")
        host.run("tree")
        host.run("verify")
        (host.folder.parent / "theme" / "main.py").write_text("new")
        host.run("upgrade", "theme")
        host.run("upgrade", "theme", "--allow-unsigned")
        host.run("status")
    host.said[:] = [said.replace(served.url, "https://git.example") for said in host.said]


@pytest.mark.parametrize(
    "story",
    [first_steps, upgrades, looking_after, bad_news, unsigned_sources],
    ids=lambda story: story.__name__,
)
def test_transcript(host: HostBench, story: Callable[[HostBench], None]) -> None:
    """What a person sees, word for word."""
    story(host)
    said = stable("\n".join(host.said), host)
    path = FOLDER / f"{story.__name__}.txt"
    if WRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(said, "utf-8")
    assert said == path.read_text("utf-8")
    assert "Traceback" not in said
    assert "\x1b" not in said


def stable(said: str, host: HostBench) -> str:
    """The transcript without what differs from run to run: paths, ports, times, digests."""
    for found, shown in (
        (re.escape(str(host.folder.parent)), "/srv"),
        (re.escape(host.url), "http://registry.example"),
        (r"sha256:[0-9a-f]{64}", "sha256:…"),
        (r"\b[0-9a-f]{64}\b", "…"),
        (r"(cache|state)/[0-9a-f]{24}", r"\1/…"),
        (r"\b[0-9a-f]{32}\b", "…"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z"),
        (r"since \d{4}-\d\d-\d\d", "since 2026-01-01"),
        (r"last asked( +).*", r"last asked\1a while ago"),
        (r"cache( +)\d+ files?, [^ ]+ [kM]?B", r"cache\1some files, some kB"),
    ):
        said = re.sub(found, shown, said)
    return said
