"""docs/coming-from.md: every command in its tables runs as it stands, and does what its row says."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tomllib
import zipfile
from typing import TYPE_CHECKING

import pytest
from support.coming_from import (
    MY_PLUGIN,
    NEXUS,
    PAGE,
    SMS,
    WORDPRESS,
    Place,
    Row,
    make_place,
    read_rows,
    serve_git,
)
from support.simple_index import wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = read_rows(PAGE.read_text("utf-8"))
CHECKS: dict[str, Callable[[Place], None]] = {}
BRIDGE = "igny8-wp-bridge"
WITHOUT = {
    "migration new <plugin>": "come later",
    "migration run <plugin>": "later",
    "pip install nexus-sdk": "no SDK",
    "nexus run --plugins my_first_plugin": "host's part",
    "POST /api/plugins/{slug}/register-installation/": "files cannot take a report",
    "POST /plugins/{slug}/track-download/": "without a server",
    "downloads per version, active installations, adoption": "no host reports",
}
"""Rows without a command, and words of the reason that their note must give."""
THERE = {
    "Nexidra": """plugin list|plugin new <name>|plugin discover|plugin install <name>|plugin upgrade <name>|plugin rollback <name>
        plugin verify-all|plugin publish <name>|marketplace sync|migration new <plugin>|migration run <plugin>|migration rollback <plugin>
        --db=mongo|--db=postgres|--template=chat|basic|dashboard|--author=|openssl genpkey|openssl rsa -pubout|docker compose up|docker run
        REGISTRY_URL|VERIFY_KEY_PATH|POST /api/publish|POST /plugins/publish|GET /api/plugins|GET /plugins|GET /api/plugins/{name}/latest
        GET /plugins/<name>/manifest|GET /uploads/{file}|GET /plugins/<name>/download""",
    "Nexus": """pip install nexus-sdk|nexus plugin init|nexus plugin package|nexus plugin publish --token|python -m build
        python -m twine upload dist/*|nexus plugin install my_plugin|pip install nexus-plugin-my-plugin
        nexus plugin install git+https://github.com/user/my-plugin.git|nexus plugin install ./my-plugin|nexus plugin install .
        nexus plugin install my-plugin-1.0.0.tar.gz|nexus run --plugins my_first_plugin""",
    "IGNY8": """build-wp-plugin.sh <version>|build_plugin|--release|release_plugin|push_plugin_update|force_update|staged rollout
        deprecated|rollback|GET /api/plugins/{slug}/download/|GET /api/plugins/{slug}/check-update/|GET /api/plugins/{slug}/info/
        GET /plugins/{platform}/latest/|GET /api/plugins/{slug}/download-url/|GET /api/admin/plugins/
        /admin/plugins/{slug}/versions|POST /api/admin/plugins/{slug}/versions/|POST /api/admin/plugins/{slug}/versions/{version}/upload/
        POST /api/admin/plugins/{slug}/versions/{version}/release/|POST /api/admin/plugins/{slug}/versions/{version}/push-update/
        POST /api/plugins/{slug}/register-installation/|POST /api/plugins/{slug}/register/|POST /api/plugins/{slug}/health-check/
        POST /plugins/{slug}/track-download/|check_for_updates()|plugin_info()""",
}
"""What each system has, by table: nothing of it may be missing from the page."""


def row(*keys: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """The function runs and judges the rows with these keys."""

    def note(function: Callable[[Place], None]) -> Callable[[Place], None]:
        for key in keys:
            assert key not in CHECKS
            CHECKS[key] = function
        return function

    return note


def said(place: Place) -> str:
    """What the row's commands wrote on stdout."""
    return "".join(run.out for run in place.run())


# --- the page


def test_every_row_is_run_or_says_why_not() -> None:
    """No row escapes; those without a command are the ones listed here."""
    keys = [each.key for each in ROWS]
    assert len(keys) == len(set(keys))
    assert {each.key for each in ROWS if each.here} == set(CHECKS)
    assert {each.key for each in ROWS if not each.here} == set(WITHOUT)
    for each in ROWS:
        assert WITHOUT.get(each.key, "") in each.note, each.key


@pytest.mark.parametrize("table", THERE)
def test_nothing_is_missing(table: str) -> None:
    """Each command, flag and endpoint of the other system stands in the first column of its table."""
    found = " ".join(each.there for each in ROWS if each.table == table)
    wanted = [name.strip() for line in THERE[table].splitlines() for name in line.split("|")]
    assert len(wanted) > 10
    assert [name for name in wanted if not re.search(rf"{re.escape(name)}(?![\w/{{<])", found)] == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("## A\n| there | here | note |\n|---|---|---|\n| `x y` | `p`<br>`q r` | n |\n", [("A", "x y", ("p", "q r"))]),
        ("| there | here | note |\n|---|---|---|\n| z | | n |\n\n| z | y |\n", [("", "z", ())]),
        ("| a | b |\n|---|---|\n| c | d |\n", []),
    ],
)  # fmt: skip
def test_rows_are_read(text: str, rows: list[tuple[str, str, tuple[str, ...]]]) -> None:
    """Tables that compare, and no others."""
    assert [(each.table, each.key, each.here) for each in read_rows(text)] == rows


def test_prose_is_no_command() -> None:
    """The second column holds commands and nothing else, so that none is left out."""
    with pytest.raises(ValueError, match="more than commands"):
        read_rows("| there | here | note |\n|---|---|---|\n| x | see `y` | |\n")


@pytest.mark.parametrize("each", [each for each in ROWS if each.here], ids=lambda each: each.key)
def test_row(each: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands succeed as they stand, with the effect that the row is there for."""
    with make_place(tmp_path, monkeypatch, each) as place:
        CHECKS[each.key](place)
        assert len(place.ran) == len(each.here)


# --- Nexidra


@row("plugin list")
def _(place: Place) -> None:
    place.publish("sms", SMS)
    place.host.add("sms")
    out = said(place)
    assert "sms" in out
    assert "1.0.0" in out


@row("plugin new <name>", "plugin new <name> --db=mongo", "plugin new <name> --template=chat",
     'plugin new <name> --author="…"', "nexus plugin init")  # fmt: skip
def _(place: Place) -> None:
    place.run()
    for command in place.row.here:
        _, _, name, *options = command.split(" ", 4)
        assert place.publisher("check", name).code == 0
        text = (place.folder / name / ".copier-answers.yml").read_text()
        for value in options[1:]:
            assert value.split()[0].strip("'") in text


@row("plugin discover")
def _(place: Place) -> None:
    place.source("host/plugins/sms", SMS)
    assert place.versions() == {}
    assert "sms" in said(place)
    assert place.versions() == {"sms": "1.0.0 unsigned"}


@row("plugin install <name>")
def _(place: Place) -> None:
    place.publish("sms", SMS)
    place.run()
    assert place.versions() == {"sms": "1.0.0"}
    assert (place.host.plugins / "sms" / "plugin.py").read_text() == SMS["plugin.py"]


@row("plugin upgrade <name>")
def _(place: Place) -> None:
    place.publish("sms", SMS)
    place.host.add("sms")
    place.publish("sms", SMS, "1.0.1")
    place.run()
    assert place.versions() == {"sms": "1.0.1"}


@row("plugin rollback <name>")
def _(place: Place) -> None:
    for version in ("1.0.0", "1.0.1"):
        place.publish("sms", SMS, version)
        assert place.host.run("upgrade" if place.host.plugins.exists() else "add", "sms").code == 0
    assert place.versions() == {"sms": "1.0.1"}
    shutil.rmtree(place.folder / "registry")  # it is not needed
    place.run()
    assert place.versions() == {"sms": "1.0.0"}


@row("plugin verify-all")
def _(place: Place) -> None:
    place.publish("sms", SMS)
    place.host.add("sms")
    assert "sms" in said(place)
    (place.host.plugins / "sms" / "plugin.py").write_text("evil")
    assert place.host.run("verify-all").code == 6


@row("plugin publish <name>")
def _(place: Place) -> None:
    place.publish("sms", SMS)
    place.run()
    assert json.loads((place.folder / "sms" / "plugin.json").read_text())["version"] == "1.0.1"
    assert set(place.offered("sms")) == {"1.0.0", "1.0.1"}


@row("POST /api/publish", "nexus plugin publish --token YOUR_API_TOKEN")
def _(place: Place) -> None:
    name, files = ("sms", SMS) if place.row.table == "Nexidra" else ("my-plugin", NEXUS)
    place.source(name, files)
    place.run()
    assert set(place.offered(name)) == {"1.0.0"}
    place.host.add(name)
    assert place.versions() == {name: "1.0.0"}


@row("marketplace sync")
def _(place: Place) -> None:
    assert place.host.json("search")["plugins"] == []
    place.source("sms", SMS)
    assert place.publisher("publish", "sms", "--to", "registry").code == 0
    place.host.world.register()
    assert place.host.json("search")["plugins"] == []  # asked again only after five minutes
    assert "sms" in said(place)


@row("openssl genpkey …")
def _(place: Place) -> None:
    place.run()
    assert "PRIVATE KEY" in (place.folder / "acme.pem").read_text()
    assert "ed25519" in (place.folder / "acme.pem.pub.json").read_text()


@row("docker compose up")
def _(place: Place) -> None:
    place.host.world.folder.rename(place.folder / "other")
    place.run()
    assert (place.folder / "registry" / "metadata" / "1.root.json").is_file()
    assert (place.folder / "registry-keys" / "online.pem").is_file()


@row(".env")
def _(place: Place) -> None:
    (place.host.folder / "plugins.toml").unlink()
    place.run()
    written = tomllib.loads((place.host.folder / "plugins.toml").read_text())
    assert written["host"]["name"] == "nexidra"
    (registry,) = written["registries"].values()
    assert (registry["url"], registry["root"]) == ("https://registry.example", "1.root.json")


@row("GET /api/plugins", "GET /api/plugins/{name}/latest", "GET /plugins/<name>/manifest")
def _(place: Place) -> None:
    for version in ("1.0.0", "1.1.0"):
        place.publish("sms", SMS, version)
    out = said(place)
    assert "sms" in out
    assert "1.1.0" in out
    if "--json" in place.row.here[0]:
        assert json.loads(out)


@row("GET /uploads/{file}")
def _(place: Place) -> None:
    place.publish("sms", SMS)
    place.run()
    (file,) = place.host.folder.glob("*.zip")
    assert zipfile.ZipFile(file).read("sms/plugin.py").decode() == SMS["plugin.py"]


# --- Nexus


@row("nexus plugin package", "python -m build")
def _(place: Place) -> None:
    place.source("my-plugin", MY_PLUGIN)
    place.run()
    dist = place.folder / ("my-plugin/dist" if "--output" not in place.row.here[0] else "dist")
    assert {path.name for path in dist.iterdir() if path.suffix != ".sha256"} == {
        "my_plugin-1.0.0-py3-none-any.whl",
        "my_plugin-1.0.0.tar.gz",
    }


@row("nexus plugin install my_plugin")
def _(place: Place) -> None:
    place.publish("my-plugin", NEXUS)
    place.run()
    assert place.versions() == {"my-plugin": "1.0.0"}


@row("pip install nexus-plugin-my-plugin")
def _(place: Place) -> None:
    name = "nexus-plugin-my-plugin"
    data = wheel(name, "1.0.0", files={"my_plugin.py": "x = 1\n"})
    place.index.add(name, "nexus_plugin_my_plugin-1.0.0-py3-none-any.whl", data)
    place.run()
    assert place.versions() == {name: "1.0.0 unsigned"}
    assert (place.host.plugins / name / "my_plugin.py").read_text() == "x = 1\n"


@row("nexus plugin install git+https://github.com/user/my-plugin.git")
def _(place: Place) -> None:
    commit = serve_git(place, "https://github.com/user/my-plugin.git", NEXUS, "v1.0.0")
    place.run()
    assert place.versions() == {"my-plugin": "1.0.0 unsigned"}
    assert commit in (place.host.folder / "plugins.lock").read_text()


@row("nexus plugin install ./my-plugin")
def _(place: Place) -> None:
    place.source("my-plugin", NEXUS)
    place.run()
    assert place.versions() == {"my-plugin": "1.0.0 unsigned"}


@row("nexus plugin install my-plugin-1.0.0.tar.gz")
def _(place: Place) -> None:
    with tarfile.open(place.folder / "my-plugin-1.0.0.tar.gz", "w:gz") as archive:
        for path, text in NEXUS.items():
            info = tarfile.TarInfo(f"my-plugin-1.0.0/{path}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    place.run()
    assert place.versions() == {"my-plugin": "1.0.0 unsigned"}
    assert (place.host.plugins / "my-plugin" / "plugin.py").read_text() == NEXUS["plugin.py"]


# --- IGNY8


def bridge(place: Place, *versions: str) -> None:
    """Have versions of the WordPress plugin published, and a host of such plugins at the first."""
    place.init('ecosystem = "wordpress"')
    place.source(BRIDGE, WORDPRESS)
    for number, version in enumerate(versions):
        place.publish(BRIDGE, WORDPRESS, version)
        if number == 0:
            place.host.add(BRIDGE)


def drafted(place: Place) -> None:
    """The host at 1.0.0, and a draft of 1.0.1."""
    bridge(place, "1.0.0")
    place.publish(BRIDGE, WORDPRESS, "1.0.1", "--status", "draft")
    assert updates(place) == []


def updates(place: Place) -> list[str]:
    """The versions that the host is offered in place of what it has."""
    return [item["available"] for item in place.host.json("outdated")["outdated"]]


def built(place: Place) -> None:
    """The archive as WordPress takes it, its checksum, and the newest one's name."""
    dist = place.folder / BRIDGE / "dist"
    (file,) = dist.glob("*-1.0.1.zip")
    assert (dist / f"{file.name}.sha256").is_file()
    assert (dist / f"{BRIDGE}-latest.zip").read_bytes() == file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        assert "Version: 1.0.1" in archive.read(f"{BRIDGE}/{BRIDGE}.php").decode()
        assert "Stable tag: 1.0.1" in archive.read(f"{BRIDGE}/readme.txt").decode()


@row("./scripts/build-wp-plugin.sh <version>")
def _(place: Place) -> None:
    bridge(place)
    place.run()
    built(place)


@row('python manage.py build_plugin --plugin=igny8-wp-bridge --version=1.0.1 --changelog="Bug fixes"',
     "POST /api/admin/plugins/{slug}/versions/")  # fmt: skip
def _(place: Place) -> None:
    bridge(place, "1.0.0")
    place.run()
    if len(place.ran) > 1:
        built(place)
    assert place.offered(BRIDGE)["1.0.1"]["status"] == "draft"
    assert updates(place) == []


@row("python manage.py build_plugin … --release", "POST /api/admin/plugins/{slug}/versions/{version}/upload/")
def _(place: Place) -> None:
    bridge(place, "1.0.0")
    place.run()
    assert updates(place) == ["1.0.1"]
    assert len(list((place.folder / "registry" / "artifacts").rglob("*.zip"))) == 2
    assert "Bug fixes" in place.host.run("changelog", BRIDGE, "1.0.0").out


@row("python manage.py release_plugin --plugin=igny8-wp-bridge --version=1.0.1",
     "POST /api/admin/plugins/{slug}/versions/{version}/release/")  # fmt: skip
def _(place: Place) -> None:
    drafted(place)
    place.run()
    assert updates(place) == []
    assert place.host.json("info", BRIDGE)["version"] == "1.0.1"


@row("python manage.py push_plugin_update --plugin=igny8-wp-bridge --version=1.0.1",
     "POST /api/admin/plugins/{slug}/versions/{version}/push-update/")  # fmt: skip
def _(place: Place) -> None:
    drafted(place)
    release = ("set-status", BRIDGE, "1.0.1", "--to", "registry", "--status", "released", "--no-push")
    assert place.publisher(*release).code == 0
    place.host.update()
    assert updates(place) == []
    place.run()
    assert updates(place) == ["1.0.1"]


@row("force_update")
def _(place: Place) -> None:
    bridge(place, "1.0.0", "1.0.1")
    assert place.host.run("upgrade", "--auto").code == 22  # for a person to decide
    place.run()
    assert place.host.run("upgrade", "--auto").code == 21
    assert place.versions() == {BRIDGE: "1.0.1"}


@row("staged rollout to a percentage of installations")
def _(place: Place) -> None:
    bridge(place, "1.0.0", "1.0.1")
    place.run()
    release = json.loads((place.folder / "registry/plugins" / BRIDGE / "1.0.1/release.json").read_text())
    assert (release["rollout"], release["push"], release["status"]) == (10, True, "released")


@row("deprecated")
def _(place: Place) -> None:
    bridge(place, "1.0.0", "1.0.1")
    place.run()
    assert place.offered(BRIDGE)["1.0.0"]["status"] == "deprecated"
    assert "use 1.0.1" in place.host.run("versions", BRIDGE).out


@row("rollback to one of the last three versions")
def _(place: Place) -> None:
    bridge(place, "1.0.0")
    for version in ("1.0.1", "1.0.2"):
        place.publish(BRIDGE, WORDPRESS, version)
        assert place.host.run("upgrade").code == 0
    place.run()
    assert place.versions() == {BRIDGE: "1.0.0"}


@row("GET /api/plugins/{slug}/download/")
def _(place: Place) -> None:
    bridge(place, "1.0.0", "1.0.1")
    place.run()
    (file,) = place.host.folder.glob("*.zip")
    with zipfile.ZipFile(file) as archive:
        assert "Version: 1.0.1" in archive.read(f"{BRIDGE}/{BRIDGE}.php").decode()


@row("GET /api/plugins/{slug}/check-update/?current_version=1.0.0", "GET /api/plugins/{slug}/info/",
     "GET /plugins/{platform}/latest/", "GET /api/plugins/{slug}/download-url/", "GET /api/admin/plugins/")  # fmt: skip
def _(place: Place) -> None:
    bridge(place, "1.0.0", "1.0.1")
    out = said(place)
    assert "1.0.1" in out
    assert ("1.0.0" in out) == place.row.key.endswith(("1.0.0", "/admin/plugins/"))
    if "--json" in place.row.here[0]:
        (artifact,) = json.loads(out)["manifest"]["artifacts"]
        assert artifact["url"].endswith(".zip")
        assert artifact["digest"].startswith("sha256:")


@row("POST /api/plugins/{slug}/health-check/")
def _(place: Place) -> None:
    bridge(place, "1.0.0")
    status, verified = place.run()
    (installed,) = status.json["project"]["installed"]
    assert (installed["id"], installed["version"]) == (BRIDGE, "1.0.0")
    assert verified.json["verified"] is True


@row("check_for_updates()")
def _(place: Place) -> None:
    place.run()
    text = "".join(path.read_text() for path in (place.folder / BRIDGE / "src").rglob("*.php"))
    assert "update_plugins" in text
    assert "plugins_api" in text
    assert place.publisher("check", BRIDGE).code == 0
