"""The commands of `plugin` for a host's project, end to end: a whole registry over HTTP, real folders, text and JSON."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import host as support
from support.host import HostBench, newer
from support.plugin_bench import REPOSITORY

from registry_client.catalogue import CatalogueEntry
from registry_client.cli import app, plans
from registry_client.cli.env import Environment, process_variables
from registry_client.cli.output import Output
from registry_client.cli.search import parse_plain
from registry_client.cli.state import State
from registry_client.installer.disk import exchange
from registry_client.installer.plan import Action, Change, Plan
from registry_client.installer.project.lockfile import LockedPlugin

template, host, project = support.template, support.host, support.project
PLAN = {
    "applied", "dryRun", "changes", "waiting", "lockChanged", "projectChanged", "packages", "system", "warnings",
}  # fmt: skip
CHANGE = {"id", "action", "before", "after", "newPermissions", "changelogs", "force", "reason"}
PLUGIN = {"version", "signed", "source", "publisher", "payloadDigest", "digest", "permissions"}


def actions(document: dict[str, Any]) -> list[str]:
    """What a plan's document says happens, checked for its shape."""
    assert set(document) == PLAN
    for change in document["changes"]:
        assert set(change) == CHANGE
        for plugin in (change["before"], change["after"]):
            assert plugin is None or set(plugin) == PLUGIN
    return [f"{change['action']} {change['id']}" for change in document["changes"]]


def test_a_project_in_json(project: HostBench) -> None:
    """Each command that changes something gives one document of one shape, and what it says has happened."""
    added = project.json("add", "calendar", "sms>=1")
    assert actions(added) == ["install calendar", "install core", "install sms"]
    assert (added["applied"], added["projectChanged"], added["packages"]) == (True, True, ["icalendar>=6"])
    assert added["changes"][2]["newPermissions"] == ["sms:read"]
    assert project.installed() == {"calendar": "calendar 1.0.0", "core": "core 1.0.0", "sms": "sms 1.0.0"}
    assert actions(project.json("install")) == []
    newer(project)
    planned = project.json("upgrade", "--dry-run")
    assert actions(planned) == ["upgrade calendar", "upgrade core", "upgrade sms"]
    assert (planned["applied"], planned["dryRun"]) == (False, True)
    assert planned["changes"][0]["changelogs"] == [{"version": "1.1.0", "text": "Shared calendars.\nFaster."}]
    assert actions(project.json("upgrade", "--accept-permissions")) == actions(planned)
    assert actions(project.json("rollback", "sms")) == ["downgrade sms"]
    assert project.installed()["sms"] == "sms 1.0.0"
    assert actions(project.json("disable", "sms")) == ["disable sms"]
    assert "sms" not in project.installed()
    assert actions(project.json("enable", "sms")) == ["enable sms"]
    assert actions(project.json("remove", "calendar")) == ["remove calendar", "remove core"]
    assert project.installed() == {"sms": "sms 1.0.0"}
    assert actions(project.json("lock")) == []


def test_looking_in_json(project: HostBench) -> None:
    """Each command that looks gives one document, with the members that the reference names."""
    project.add("calendar", "sms")
    listed = project.json("list")["plugins"]
    assert [(one["id"], one["version"], one["signed"]) for one in listed] == [
        ("calendar", "1.0.0", True),
        ("core", "1.0.0", True),
        ("sms", "1.0.0", True),
    ]
    assert set(listed[0]) == PLUGIN | {"id", "installedAt", "disabled", "previous"}
    assert [set(one["source"]) for one in listed] == [
        {"kind", "registry", "path", "url", "ref", "commit", "subdirectory", "name"}
    ] * 3
    (calendar, _) = project.json("tree")["tree"]
    assert [below["id"] for below in calendar["needs"]] == ["core"]
    assert project.json("why", "core")["chains"] == [
        [
            {"askedBy": None, "id": "calendar", "range": ">=1.0.0"},
            {"askedBy": "calendar", "id": "core", "range": ">=1,<2"},
        ]
    ]
    assert project.json("outdated") == {
        "outdated": [],
        "current": [{"id": name, "installed": "1.0.0"} for name in ("calendar", "core", "sms")],
        "failed": [],
        "unsigned": [],
        "warnings": [],
    }
    assert project.json("discover")["found"] == []
    verified = project.json("verify")
    assert verified["verified"] is True
    assert [(one["id"], one["status"]) for one in verified["plugins"]] == [
        ("calendar", "released"),
        ("core", "released"),
        ("sms", "released"),
    ]
    status = project.json("status")["project"]
    assert (status["outOfStep"], status["lockProblems"], status["unsigned"]) == ([], [], [])
    assert project.json("lock", "--check")["upToDate"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "hint"),
    [
        (["add", "nowhere"], 7, "NotFound", "plugin search"),
        (["add", "calendar>=9"], 7, "Conflict", "plugin versions"),
        (["add", "calendar@1.0.0"], 3, "Config", "calendar==1.0.0"),
        (["add", "other:calendar"], 3, "Config", "[registries.other]"),
        (["add", "../nothing"], None, None, ""),
        (["add", "https://x.example/x.zip"], 3, "Config", "git+https://"),
        (["add", "git+https://x.example/x.git"], 3, "Config", "@v1.0.0"),
        (["add", "Calendar"], 3, "Config", "calendar"),
        (["remove", "core"], 7, "NotFound", "plugin why"),
        (["remove", "nowhere"], 7, "NotFound", "plugin discover"),
        (["upgrade", "nowhere"], 7, "NotFound", "plugin add nowhere"),
        (["rollback", "sms"], 7, "NotFound", "plugin add sms=="),
        (["rollback", "sms", "0.1.0"], 7, "NotFound", "plugin add sms==0.1.0"),
        (["rollback", "nowhere"], 7, "NotFound", "plugin list"),
        (["disable", "nowhere"], 7, "NotFound", "plugin list"),
        (["enable", "nowhere"], 7, "NotFound", "plugin list"),
        (["why", "nowhere"], 7, "NotFound", "plugin tree"),
        (["verify", "nowhere"], 7, "NotFound", "plugin list"),
        (["verify", "nowhere.zip"], 3, "Config", ""),
        (["discover", "--adopt", "nowhere"], 3, "Config", "plugin discover"),
        (["changelog", "nowhere"], 7, "NotFound", ""),
        (["changelog", "sms", "9.0.0"], 7, "NotFound", "plugin versions sms"),
        (["changelog", "sms", "one"], 3, "Config", "1.2.0"),
        (["changelog", "sms>=1"], 3, "Config", "plugin changelog sms"),
        (["upgrade", "--auto", "sms"], 2, "Usage", "--help"),
        (["upgrade", "--auto", "--accept-permissions"], 2, "Usage", "--help"),
        (["verify", "a.zip", "sms", "core"], 2, "Usage", "--help"),
        (["init"], 3, "Config", "plugin add"),
        (["--project", "nowhere", "list"], 3, "Config", "plugin init"),
        (["--channel", "beta", "list"], 3, "Config", ""),
    ],
)
def test_failures(
    project: HostBench, arguments: list[str], code: int | None, kind: str | None, hint: str
) -> None:
    """A message and a hint with the way out, never a traceback; as JSON one document; and nothing has changed."""
    project.add("calendar", "sms")
    before = project.files()
    run = project.run(*arguments)
    assert run.code == code if code is not None else run.code != 0
    assert run.out == ""
    assert run.err.startswith("error: ")
    assert "Traceback" not in run.err
    assert hint in run.err.partition("hint: ")[2]
    document = project.json(*arguments)
    assert set(document["error"]) == {"kind", "message", "hint", "exitCode"}
    assert document["error"]["exitCode"] == run.code
    assert kind is None or document["error"]["kind"] == kind
    assert project.files() == before


@pytest.mark.parametrize("command", ["add calendar", "remove x", "lock", "install", "upgrade", "rollback x", "list", "outdated",
    "tree", "why x", "discover", "disable x", "enable x", "verify", "verify-all"])  # fmt: skip
def test_without_a_project(host: HostBench, command: str) -> None:
    """Every command that needs one says how to make it."""
    run = host.run(*command.split())
    assert run.code == 3
    assert "plugin init" in run.err


@pytest.mark.parametrize(
    ("file", "text", "code"),
    [
        ("plugins.toml", "[host", 4),
        ("plugins.toml", "[hosts]", 4),
        ("plugins.toml", "\udcff", 4),
        ("plugins.lock", "{", 4),
        ("plugins.lock", "[" * 100_000, 4),
        ("plugins/.registry/installed.json", "{", 3),
        ("1.root.json", "{}", 6),
    ],
)
@pytest.mark.parametrize("command", ["install", "status", "verify", "list", "upgrade --auto", "add sms"])
def test_damaged_files(project: HostBench, file: str, text: str, code: int, command: str) -> None:
    """What people or disks break is named, and nobody sees a traceback."""
    project.add("calendar")
    (project.folder / file).write_bytes(text.encode(errors="surrogateescape"))
    project.age()
    run = project.run(*command.split())
    assert run.code in {code, 0}
    assert "Traceback" not in run.err
    if run.code:
        assert run.err.startswith("error: ")


# -- consent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "version"),
    [("y\n", "1.1.0"), ("YES\n", "1.1.0"), ("n\n", "1.0.0"), ("\n", "1.0.0"), ("", "1.0.0")],
)
def test_more_permissions_are_asked_for_on_a_terminal(project: HostBench, answer: str, version: str) -> None:
    """The plugins and what they newly ask for are shown on stderr; only yes goes on."""
    project.add("sms")
    newer(project)
    run = project.run("upgrade", answer=answer)
    assert project.installed()["sms"] == f"sms {version}"
    assert "sms 1.0.0 -> 1.1.0 asks for more permissions: sms:send\nAccept? [y/N] " in run.err
    assert "Accept" not in run.out
    assert run.code == (0 if version == "1.1.0" else 8)


def test_nobody_is_asked_with_json(project: HostBench) -> None:
    """A document has no place for questions: the error names the option."""
    project.add("sms")
    newer(project)
    out = project.run("upgrade", "--json", answer="y\n")
    assert (out.code, out.err) == (8, "")
    assert out.json["error"]["kind"] == "Consent"
    assert "--accept-permissions" in out.json["error"]["hint"]
    assert project.installed() == {"sms": "sms 1.0.0"}


# -- lock, install, upgrade -----------------------------------------------------------------------------------------


def test_dry_runs_change_nothing(project: HostBench) -> None:
    """They say what would happen, and leave every file as it is."""
    project.add("sms")
    newer(project)
    before = project.files()
    for arguments in (
        ["add", "calendar"],
        ["remove", "sms"],
        ["upgrade"],
        ["install"],
        ["lock"],
        ["upgrade", "--auto"],
    ):
        run = project.run(*arguments, "--dry-run")
        assert run.code in {0, 22}, run.err
        assert project.files() == before, arguments
        assert project.run(*arguments, "--dry-run", "--json").json["applied"] is False


def test_lock_tells_what_it_changes(project: HostBench) -> None:
    """Compared with the lock before, not with what is installed; nothing is installed."""
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text() + 'calendar = ">=1"\n')
    assert project.run("lock", "--check").code == 3
    assert not (project.folder / "plugins.lock").exists()
    run = project.run("lock")
    assert run.out.splitlines()[:2] == ["+ calendar 1.0.0", "+ core 1.0.0"]
    assert run.err == "plugins.lock written\n"
    assert project.installed() == {}
    assert project.run("lock", "--check").code == 0
    toml.write_text(toml.read_text().replace("calendar =", "sms ="))
    assert project.run("lock").out.splitlines() == [
        "- calendar 1.0.0",
        "- core 1.0.0",
        "+ sms 1.0.0",
        "    permissions: sms:read",
    ]


def test_frozen_never_locks(project: HostBench) -> None:
    """In CI a lock that does not answer plugins.toml is an error, and one that does is installed as it is."""
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text() + 'sms = ">=1"\n')
    assert project.run("install", "--frozen").code == 3
    assert project.run("lock").code == 0
    project.publish("sms", "1.0.1")
    assert project.run("install", "--frozen").code == 0
    assert project.installed() == {"sms": "sms 1.0.0"}


def test_install_on_another_machine(project: HostBench) -> None:
    """plugins.toml and plugins.lock are enough; versions published since are not taken."""
    project.add("calendar")
    newer(project)
    shutil.rmtree(project.plugins)
    shutil.rmtree(project.home)
    run = project.run("install", "--frozen")
    assert run.out.splitlines()[:2] == ["+ calendar 1.0.0", "+ core 1.0.0"]
    assert project.installed() == {"calendar": "calendar 1.0.0", "core": "core 1.0.0"}


def test_auto_says_what_happened(project: HostBench) -> None:
    """0 nothing to do, 21 applied, 22 waiting; what asks for more permissions waits in any case."""
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text().replace('"forced"', '"minor"'))
    project.add("calendar", "sms")
    assert project.run("upgrade", "--auto").code == 0
    project.publish("core", "1.0.1")
    applied = project.run("upgrade", "--auto")
    assert (applied.code, applied.out) == (21, "~ core 1.0.0 -> 1.0.1\n")
    project.publish("sms", "1.1.0", permissions=["sms:read", "sms:send"])
    waiting = project.run("upgrade", "--auto", "--json")
    assert waiting.code == 22
    assert [(one["id"], one["offered"]) for one in waiting.json["waiting"]] == [("sms", "1.1.0")]
    assert project.installed()["sms"] == "sms 1.0.0"


def test_outdated_exit_code(project: HostBench) -> None:
    """20 only if asked for and something is."""
    project.add("calendar")
    assert project.run("outdated", "--exit-code").code == 0
    newer(project)
    assert project.run("outdated").code == 0
    assert project.run("outdated", "--exit-code").code == 20
    assert project.run("outdated", "sms==1.0.0", "--exit-code").code == 20


def test_changelogs_between_versions(project: HostBench) -> None:
    """After the one, up to the other, newest first; by default after what the project has; escapes do not pass."""
    project.add("core")
    project.publish("core", "1.0.1", changelog="Second.\n\x1b[31mred")
    project.publish("core", "1.1.0", changelog="Third.")
    project.set_status("core", "1.0.1", "yanked", reason="leaks")
    run = project.run("changelog", "core")
    assert run.out.splitlines() == ["1.1.0", "  Third.", "1.0.1 (yanked: leaks)", "  Second.", "   [31mred"]
    assert project.run("changelog", "core", "1.0.0", "1.0.1").out.startswith("1.0.1 (yanked")
    document = project.json("changelog", "core", "1.0.1")
    assert [(one["version"], one["changelog"]) for one in document["versions"]] == [("1.1.0", "Third.")]
    assert project.run("changelog", "core", "1.1.0").err == "core has no version after 1.1.0\n"
    assert "comes first" in project.run("changelog", "core", "1.1.0", "1.0.0").err
    (project.folder / "plugins.toml").rename(project.folder / "other.toml")
    run = project.run("--registry", project.url, "--root", "1.root.json", "changelog", "core")
    assert [line for line in run.out.splitlines() if not line.startswith(" ")] == [
        "1.1.0",
        "1.0.1 (yanked: leaks)",
        "1.0.0",
    ]


# -- verify, status -------------------------------------------------------------------------------------------------


def test_verify_takes_files_and_plugins(project: HostBench) -> None:
    """A file of that name comes first; anything that is no id is a file."""
    project.add("sms")
    (artifact,) = project.world.folder.glob("artifacts/sha256/*/sms-1.0.0.zip")
    shutil.copy(artifact, project.folder / "sms-1.0.0.zip")
    assert "the artifact of sms 1.0.0" in project.run("verify", "sms-1.0.0.zip").out
    assert project.run("verify", "sms").out == "sms 1.0.0: verified, signed by acme\n"
    shutil.copy(artifact, project.folder / "sms")
    assert "sms: verified, the artifact of sms 1.0.0" in project.run("verify", "sms", "sms==1.0.0").out


def test_a_block_disables_what_is_installed(project: HostBench) -> None:
    """`verify` learns of it, disables the plugin, names it and why; `status` does so too, without the network."""
    project.add("sms")
    project.block("sms", "<2", "disable", "steals contacts")
    assert project.run("refresh").code == 0
    status = project.run("status", "--json").json["project"]
    assert [change["action"] for change in status["changes"]] == ["disable"]
    assert status["blocked"] == [
        {"id": "sms", "version": "1.0.0", "reason": "blocked (disable): steals contacts"}
    ]
    assert project.installed() == {}
    document = project.run("verify", "--json")
    assert document.code == 6
    assert "steals contacts" in document.json["plugins"][0]["problems"][0]
    assert project.json("list")["plugins"][0]["disabled"]["by"] == "block"


def test_status_outside_a_project(project: HostBench) -> None:
    """It is about the registry alone then; and in a project without registries about that alone."""
    assert project.run("refresh").code == 0
    toml = project.folder / "plugins.toml"
    text = toml.read_text()
    toml.unlink()
    run = project.run("--registry", project.url, "--root", "1.root.json", "status", "--json")
    assert run.json["project"] is None
    assert run.json["registry"] == project.url
    toml.write_text(text[: text.index("[registries.main]")])
    document = project.json("status")
    assert document["project"]["installed"] == []
    assert (document["registry"], document["blocks"]) == (None, None)


def test_status_names_what_is_out_of_step(project: HostBench) -> None:
    """Plugins that are not as locked, and a lock that does not answer plugins.toml, each with the command that helps."""
    project.add("calendar", "sms")
    shutil.rmtree(project.plugins / "sms")
    run = project.run("status")
    assert "not as locked: sms; 'plugin install' puts that right" in run.err
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text().replace("sms =", "# sms ="))
    assert "sms was removed from plugins.toml; 'plugin install'" in project.run("status").err


def test_adopting(project: HostBench) -> None:
    """A folder that is what the registry published becomes that version; all at once with --adopt-all."""
    project.add("sms")
    folder = project.plugins / "sms"
    (folder / "main.py").replace(project.folder / "main.py")
    assert project.run("remove", "sms").code == 0
    folder.mkdir()
    (project.folder / "main.py").replace(folder / "main.py")
    (project.plugins / "own").mkdir()
    (project.plugins / "own" / "x.py").write_text("mine")
    assert [one["id"] for one in project.json("discover")["found"]] == ["own", "sms"]
    document = project.run("discover", "--adopt-all", "--allow-unsigned", "--json").json
    assert {change["id"] for change in document["changes"]} == {"own", "sms"}
    assert project.json("discover")["found"] == []


# -- where the project and its registry are found -------------------------------------------------------------------


def test_the_nearest_project_upwards(project: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder below, and with --project from anywhere: the file or its folder. Paths start where one stands."""
    below = project.folder / "a" / "b"
    (below / "theme").mkdir(parents=True)
    (below / "theme" / "manifest.json").write_text('{"id": "theme", "name": "Theme", "version": "1.0.0"}')
    monkeypatch.chdir(below)
    assert project.run("add", "./theme", "--allow-unsigned").code == 0
    assert 'path = "./a/b/theme"' in (project.folder / "plugins.toml").read_text()
    monkeypatch.chdir(project.folder.parent)
    for given in ("host", "host/plugins.toml"):
        assert [one["id"] for one in project.json("--project", given, "list")["plugins"]] == ["theme"]
    assert project.run("list").code == 3


def test_registry_commands_ask_the_projects_registry(
    project: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless an option names another; what the environment names counts where there is no project."""
    assert project.run("search", "calendar").out.startswith("calendar  1.0.0")
    assert project.run("info", "sms").code == 0
    assert project.run("versions", "sms").code == 0
    monkeypatch.setenv("PLUGIN_REGISTRY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PLUGIN_REGISTRY_ROOT", str(project.folder / "1.root.json"))
    assert project.run("search").code == 0
    assert project.run("--timeout", "1", "--registry", "http://127.0.0.1:9", "search").code == 5
    monkeypatch.chdir(project.folder.parent)
    assert project.run("--timeout", "1", "search").code == 5
    assert project.run("--project", str(project.folder), "search").code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--host", "example=9.0.0"),
        ("--channel", "testing"),
        ("--prereleases",),
        ("--registry", "http://127.0.0.1:9"),
        ("--root", "1.root.json"),
        ("--mirror", "http://127.0.0.1:9"),
    ],
)
def test_options_do_not_override_a_project(project: HostBench, options: tuple[str, ...]) -> None:
    """What plugins.toml states is not passed over in silence: the option is refused, with the way out."""
    run = project.run(*options, "install")
    assert run.code == 3
    assert f"{options[0]}: cannot be given for a project: what " in run.err
    assert "plugins.toml says counts" in run.err
    assert "leave the project's folder" in run.err
    assert "plugins.toml" in run.err


def test_info_goes_by_the_projects_host(project: HostBench) -> None:
    """What a version requires of the host is judged for the application in plugins.toml."""
    project.publish("theme", "1.0.0", requires={"host": {"nexus": ">=1,<2"}})
    project.publish("theme", "2.0.0", requires={"host": {"nexus": ">=2"}})
    assert project.json("info", "theme")["version"] == "1.0.0"
    assert project.json("--host", "nexus=2.1.0", "info", "theme")["version"] == "2.0.0"


@pytest.mark.parametrize("arguments", [["--project", "x", "search", "y"], ["search"]])
def test_plain_search_knows_projects(arguments: list[str]) -> None:
    """The short way around the option parser understands --project too."""
    state = State(Output(as_json=False, colour=None), Environment())
    assert parse_plain(arguments, state) is not None
    assert state.project_option == (Path("x") if "--project" in arguments else None)


def test_search_in_a_project_loads_nothing_heavy(project: HostBench) -> None:
    """The registry is read from plugins.toml with the standard library alone."""
    assert project.run("refresh").code == 0
    assert project.run("search").code == 0
    program = (
        "import sys; from registry_client.cli.main import main; code = main(['search'])\n"
        "heavy = 'typer rich pydantic tuf requests urllib3 ssl securesystemslib cryptography packaging tomlkit resolvelib'\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & set(heavy.split())), file=sys.stderr)"
    )
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env=environ,
        check=True,
        text=True,
        cwd=project.folder,
    )
    assert done.stderr == "3 plugins\n[]\n"


def test_a_search_tells_what_is_wrong_with_the_project(project: HostBench) -> None:
    """What the quick reader cannot read is left to the one that explains."""
    toml = project.folder / "plugins.toml"
    for broken in ('url = "x"\nrot = "y"', "url = 1", "[["):
        toml.write_text(f"[registries.main]\n{broken}\n")
        run = project.run("search")
        assert run.code == 4
        assert "plugins.toml" in run.err


def test_init_takes_what_it_is_not_given_from_the_environment(
    host: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """URL and root; a root elsewhere is named with a warning; without a registry the table is left as a comment."""
    assert host.json("init", "--folder", "extensions")["folder"] == str(host.folder / "extensions")
    assert "# [registries.main]" in (host.folder / "plugins.toml").read_text()
    other = host.folder.parent / "other"
    other.mkdir()
    monkeypatch.setenv("PLUGIN_REGISTRY_URL", host.url)
    assert host.run("--project", str(other), "init").code == 3
    monkeypatch.setenv("PLUGIN_REGISTRY_ROOT", str(host.folder / "1.root.json"))
    run = host.run("--project", str(other), "--host", "nexus=2.0.0", "init")
    assert "stands outside of the project" in run.err
    text = (other / "plugins.toml").read_text()
    assert f'url = "{host.url}"' in text
    assert 'version = "2.0.0"' in text
    for wrong in (
        ["--host", "Ne xus=1.0.0"],
        ["--folder", "."],
        ["--folder", "\x01"],
        ["--registry", "ftp://x"],
    ):
        run = host.run("--project", str(other / "none.toml"), "init", *wrong)
        assert run.code == 3, run.err
        assert "Traceback" not in run.err
    assert host.run("--project", "/dev/null/plugins.toml", "init").code == 3


@pytest.mark.skipif(sys.platform == "win32", reason="a working directory cannot be deleted there")
def test_a_working_directory_that_is_gone(project: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is no project, and no traceback; a project that is named is found all the same."""
    gone = project.folder.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert project.run("list").code == 3
    assert project.run("--project", "x", "list").code == 3
    assert project.run("--project", str(project.folder), "list").code == 0
    for arguments in (
        ["add", "sms"],
        ["add", "./sms"],
        ["status"],
        ["verify"],
        ["verify", "x.zip"],
        ["init"],
    ):
        run = project.run("--project", str(project.folder), *arguments)
        assert "Traceback" not in run.err


# -- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "auth", "sent"),
    [
        ({}, "env", {None}),
        ({"PLUGIN_REGISTRY_READ_TOKEN": "t1"}, "env", {"Bearer t1"}),
        ({"PLUGIN_REGISTRY_READ_TOKEN_MAIN": "t2", "PLUGIN_REGISTRY_READ_TOKEN": "t1"}, "env", {"Bearer t2"}),
        ({"PLUGIN_REGISTRY_READ_TOKEN_OTHER": "t3"}, "env", {None}),
        ({"PLUGIN_REGISTRY_READ_TOKEN": "t1"}, "none", {None}),
        ({"PLUGIN_REGISTRY_READ_TOKEN": "t1"}, "netrc", {"Basic bWU6dDQ="}),
    ],
)
def test_tokens_go_to_the_registry(
    project: HostBench,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    auth: str,
    sent: set[str | None],
) -> None:
    """Every request carries the token that plugins.toml says, for resolving, downloading and searching alike."""
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text().replace("[registries.main]", f'[registries.main]\nauth = "{auth}"'))
    netrc = project.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password t4\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    project.server.reset_counters()
    project.add("sms")
    shutil.rmtree(project.home)
    assert project.run("search").code == 0
    seen = [request.headers.get("authorization") for request in project.server.seen]
    assert len(seen) > 5
    assert set(seen) == sent


def test_one_registrys_token_is_not_sent_to_another(
    project: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several registries a token without a name says not whose it is, and goes to none of them."""
    toml = project.folder / "plugins.toml"
    more = '[registries.more]\nurl = "https://more.example"\nroot = "1.root.json"\n\n[plugins]'
    toml.write_text(toml.read_text().replace("[plugins]", more))
    monkeypatch.setenv("PLUGIN_REGISTRY_READ_TOKEN", "t1")
    project.server.reset_counters()
    project.add("sms")
    assert project.run("--registry", project.url, "--root", "1.root.json", "search").code == 0
    assert {request.headers.get("authorization") for request in project.server.seen} == {None}


def test_a_token_for_a_registry_without_a_project(host: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the options name is the only one then, and gets the token."""
    monkeypatch.setenv("PLUGIN_REGISTRY_READ_TOKEN", "t1")
    host.server.reset_counters()
    assert host.run("--registry", host.url, "--root", "1.root.json", "search").code == 0
    assert {request.headers.get("authorization") for request in host.server.seen} == {"Bearer t1"}


def test_what_asks_no_host_needs_no_token(project: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the token cannot be had, `list` and `status` work; what asks a host says what is missing."""
    project.add("sms")
    toml = project.folder / "plugins.toml"
    toml.write_text(toml.read_text().replace("[registries.main]", '[registries.main]\nauth = "netrc"'))
    monkeypatch.setenv("NETRC", str(project.folder / "none"))
    assert project.run("list").code == 0
    assert project.run("status").code == 0
    for command in ("outdated", "search", "verify"):
        run = project.run(command)
        assert run.code == 3
        assert "none: it cannot be read" in run.err


def test_git_gets_no_tokens() -> None:
    """Of the environment a Git process gets what it needs to reach a host, whatever the case of its names."""
    environ = {
        "Path": "/bin",
        "HOME": "/root",
        "https_proxy": "x",
        "GIT_SSH_COMMAND": "ssh -i k",
        "GIT_CONFIG_KEY_0": "a",
    }
    others = {"PLUGIN_REGISTRY_READ_TOKEN": "t", "GIT_DIR": "/x", "GITHUB_TOKEN": "t", "LD_PRELOAD": "x"}
    assert process_variables({**environ, **others}) == environ


# -- completion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("plugin add ", ["calendar", "core", "sms"]),
        ("plugin add c", ["calendar", "core"]),
        ("plugin rollback ", ["core", "sms"]),
        ("plugin disable s", ["sms"]),
        ("plugin upgrade ", ["core", "sms"]),
        ("plugin verify ", ["core", "sms"]),
        ("plugin remove ", ["core", "sms"]),
        ("plugin changelog ca", ["calendar"]),
    ],
)
def test_completion(project: HostBench, monkeypatch: pytest.MonkeyPatch, line: str, found: list[str]) -> None:
    """Ids of the catalogue for what can be added, of the project for what is there; nothing aloud where all is broken."""
    project.add("core", "sms")
    assert project.run("search").code == 0
    monkeypatch.setenv("_PLUGIN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    assert project.run().out.split() == found
    (project.folder / "plugins.toml").write_text("[broken")
    assert project.run().out.split() == []


@pytest.mark.parametrize("command", [name for name, *_ in app._COMMANDS])
def test_help(host: HostBench, command: str) -> None:
    """Every command explains itself at 80 columns, with an example of itself, and has `--json`."""
    run = host.run(command, "--help")
    assert run.code == 0
    assert f"Usage: plugin {command}" in run.out
    assert f"    plugin {command}" in run.out
    assert "--json" in run.out
    assert f"  {command} " in host.run("--help").out


def test_colours_and_escapes(project: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coloured where colours are wanted; never in JSON."""
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    run = project.run("add", "sms")
    assert "\x1b[32m+\x1b[0m \x1b[1msms\x1b[0m 1.0.0" in run.out
    assert "\x1b" not in json.dumps(project.json("list"))


# -- streams, terminals, and who writes on them ---------------------------------------------------------------------


def _shell(host: HostBench, line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, `plugin` in it being the command."""
    line = line.replace("plugin ", f"'{sys.executable}' -m registry_client.cli.main ")
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=host.folder, env=environ, capture_output=True, check=False, text=True
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("plugin list >&-", 0, "", "1 plugin\n"),
        ("plugin list --json >&-", 0, "", ""),
        ("plugin list 2>&-", 0, "core  1.0.0  main (acme)\n", ""),
        ("plugin list <&- >&- 2>&-", 0, "", ""),
        ("plugin why nowhere 2>&-", 7, "", ""),
        ("plugin list 2>/dev/full", 0, "core  1.0.0  main (acme)\n", ""),
        ("plugin why nowhere 2>/dev/full", 7, "", ""),
        ("plugin list >/dev/full", 1, "", "error: the output cannot be written (No space left on device)\n"),
        ("plugin list --json >/dev/full", 1, "", "error: the output cannot be written (No space left on device)\n"),
        ("plugin list >/dev/full 2>&1", 1, "", ""),
    ],
)  # fmt: skip
def test_streams_that_take_nothing(project: HostBench, line: str, code: int, out: str, err: str) -> None:
    """Closed ones are not written; a full disk costs a result, which is said, or words, which is not."""
    project.add("core")
    run = _shell(project, line)
    assert (run.returncode, run.stdout, run.stderr) == (code, out, err)


@pytest.mark.parametrize(
    "variables",
    [
        {"PLUGIN_REGISTRY_HOME": "~nobody-of-this-name/x"},
        {"PLUGIN_REGISTRY_URL": "http://127.0.0.1:9", "PLUGIN_REGISTRY_ROOT": "~nobody-of-this-name/x"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"COLUMNS": "x", "TERM": "dumb"},
    ],
)
def test_odd_environments(project: HostBench, variables: dict[str, str]) -> None:
    """Nobody's home, no UTF-8, no width: an error or an answer, never a traceback."""
    project.add("calendar")
    for command in ("tree", "search", "verify --json", "upgrade --dry-run"):
        run = _shell(project, f"plugin {command}", **variables)
        assert run.returncode in {0, 3}, run.stderr
        assert "Traceback" not in run.stderr


FORGED = "old\nhint: run evil\r\x1b[2J\u2028error: \u202eforged"


def test_nobody_forges_lines(project: HostBench) -> None:
    """Reasons have line breaks and escapes as their authors like; none becomes a line of the command's own."""
    project.add("core", "sms")
    project.set_status("sms", "1.0.0", "deprecated", reason=FORGED)
    project.block("core", "<2", "disable", FORGED)
    for command in ("verify", "list", "status", "outdated", "upgrade", "enable core", "info core", "add sms==1.0.0",
        "versions core", "changelog sms 0.1.0", "install"):  # fmt: skip
        run = project.run(*command.split())
        said = run.out + run.err
        assert "run evil" in said or command in {"upgrade", "install", "changelog sms 0.1.0"}
        assert not [line for line in said.splitlines() if line.startswith(("hint: run", "error:  forged"))], (
            said
        )
        assert not [c for c in said if not c.isprintable() and c != "\n"]


class _Typed(io.StringIO):
    """A terminal on which something is typed that cannot be read."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int | None = -1) -> str:  # type: ignore[override]  # (typeshed: two bases disagree)
        raise self._error


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), OSError(5, "Input/output error")]
)  # fmt: skip
def test_an_answer_that_cannot_be_read_is_no(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no text, or a terminal that is gone."""
    monkeypatch.setattr(sys, "stdin", _Typed(error))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert Output(as_json=False, colour=None).ask("Accept?") is False


def test_an_interrupted_question_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said next begins a line of its own."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdin", _Typed(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "stderr", said)
    with pytest.raises(KeyboardInterrupt):
        Output(as_json=False, colour=None).ask("Accept?")
    assert said.getvalue() == "Accept? [y/N] \n"


# -- what an owner is shown -----------------------------------------------------------------------------------------


def _plugin(publisher: str | None = "acme", version: str = "1.0.0", **members: Any) -> LockedPlugin:
    source = {"kind": "registry", "registry": "main"}
    digest = "sha256:" + "0" * 64 if publisher else None
    plugin = {
        "id": "sms",
        "version": version,
        "source": source,
        "publisher": publisher,
        "payloadDigest": digest,
    }
    return LockedPlugin.model_validate({**plugin, **members})


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (_plugin(version="1.1.0"), ""),
        (_plugin("globex", "1.1.0"), "publisher: acme -> globex"),
        (_plugin(source={"kind": "registry", "registry": "other"}), "source: main (acme) -> other (acme)"),
        (
            _plugin(None, source={"kind": "path", "path": "../x"}, artifact={"name": "sms.zip", "digest": "sha256:" + "1" * 64, "size": 1}),
            "source: main (acme) -> path ../x",
        ),
    ],
)  # fmt: skip
def test_another_publisher_is_shown(after: LockedPlugin, said: str) -> None:
    """Where a version comes from someone else than the one before, the plan and the question say so."""
    change = Change("sms", Action.UPGRADE, _plugin(), after, ("sms:send",), more=True)
    plan = Plan((change,))
    assert plans.moved_text(change) == said
    lines = plans.plan_lines(plan, Output(as_json=False, colour=False))
    assert (f"    {said}" in lines) is bool(said)
    assert (f"  {said}" in plans.consent_lines(plan)) is bool(said)


def test_what_is_brought_along_is_asked_for(project: HostBench) -> None:
    """A new dependency's permissions are part of the question."""
    project.add("core")
    project.publish("core", "1.1.0", requires={"plugins": {"sms": ">=1"}})
    run = project.run("upgrade", answer="n\n")
    assert run.err.startswith("sms 1.0.0 is brought along and asks for permissions: sms:read\nAccept? [y/N] ")
    assert (run.code, project.installed()) == (8, {"core": "core 1.0.0"})


def test_status_says_how_folders_are_exchanged(project: HostBench) -> None:
    """In one step where the file system can."""
    project.add("core")
    way = project.json("status")["project"]["exchange"]
    assert way == str(exchange.way(project.plugins))
    line = {"atomic": "is replaced in one step", "renames": "is replaced by two renames"}[way]
    assert line in project.run("status").out


def test_verify_says_what_was_proven(project: HostBench) -> None:
    """From a signature, or only against the lock; in JSON with the publisher, and nothing where something is wrong."""
    theme(project)
    project.add("core", "sms")
    project.add("../theme", "--allow-unsigned")
    (project.plugins / "sms" / "main.py").write_text("changed")
    run = project.run("verify")
    assert run.out.splitlines()[0] == "core 1.0.0: verified, signed by acme"
    assert run.out.splitlines()[-1] == "theme 0.1.0 (unsigned): unchanged since it was locked"
    found = [
        (one["id"], one["proof"], one["publisher"]) for one in project.run("verify", "--json").json["plugins"]
    ]
    assert found == [("core", "signature", "acme"), ("sms", None, "acme"), ("theme", "lock", None)]


def theme(host: HostBench, text: str = "theme") -> None:
    """A folder with an unsigned plugin."""
    folder = host.folder.parent / "theme"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text('{"id": "theme", "name": "Theme", "version": "0.1.0"}')
    (folder / "main.py").write_text(text)


def test_new_unsigned_content_holds_nothing_else_up(project: HostBench) -> None:
    """Unless it is asked for by its id, it stays as locked, with a warning that names it and the way to have it."""
    theme(project)
    project.add("core")
    project.add("../theme", "--allow-unsigned")
    theme(project, "new")
    project.publish("core", "1.0.1")
    outdated = project.run("outdated")
    assert outdated.err.endswith("not looked up, being unsigned: theme\n")
    assert project.json("outdated")["unsigned"] == ["theme"]
    run = project.run("upgrade")
    assert (run.code, run.out) == (0, "~ core 1.0.0 -> 1.0.1\n")
    assert "'plugin upgrade theme --allow-unsigned'" in run.err
    assert project.run("add", "sms").code == 0
    assert project.installed()["theme"] == "theme"
    assert project.run("upgrade", "theme").code == 8
    assert project.run("upgrade", "theme", "--allow-unsigned").code == 0
    assert project.installed()["theme"] == "new"


def test_all_unsigned_sources_are_named(project: HostBench) -> None:
    """Each that is not accepted, in one error."""
    theme(project)
    other = shutil.copytree(project.folder.parent / "theme", project.folder.parent / "widget")
    (other / "manifest.json").write_text('{"id": "widget", "name": "Widget", "version": "0.1.0"}')
    run = project.run("add", "../theme", "../widget")
    assert run.code == 8
    assert [line.split(":")[-2].strip() for line in run.err.splitlines()[:2]] == ["theme", "widget"]


def test_looking_writes_nothing(project: HostBench) -> None:
    """Neither in the project nor among what the installer keeps; a dry run of what comes from registries neither."""
    project.add("calendar", "sms")
    newer(project)

    def tree() -> dict[str, tuple[int, int]]:
        found = sorted(project.folder.rglob("*"))
        return {
            str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in found if not path.is_dir()
        }

    before = tree()
    for command in ("list", "tree", "why core", "discover", "lock --check", "search", "outdated", "status", "verify",
        "changelog core", "upgrade --dry-run", "upgrade --auto --dry-run", "remove sms --dry-run", "lock --dry-run",
        "install --dry-run", "rollback sms --dry-run", "add core --dry-run"):  # fmt: skip
        project.run(*command.split())
        assert tree() == before, command


def test_options_of_the_command_line_after_the_command(project: HostBench) -> None:
    """The message says where they belong."""
    run = project.run("list", "--project", ".")
    assert (run.code, run.err.splitlines()[-1]) == (
        2,
        "hint: --project stands before the command: plugin --project … list.",
    )
    assert project.run("list", "--nope").err.endswith("hint: See 'plugin list --help'.\n")


def test_a_project_in_a_folder_that_is_not_there_yet(host: HostBench) -> None:
    """Is made by `init`; what ends in .toml is a file, whatever its name."""
    assert host.json("--project", "new/one", "init")["project"] == str(host.folder / "new/one/plugins.toml")
    assert host.json("--project", "new/other.toml", "init")["project"] == str(host.folder / "new/other.toml")
    assert host.run("--project", "new", "list").code == 3
    assert host.run("--project", "new/one", "list").code == 0


def test_nested_projects(project: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest one counts; a folder of that name is none."""
    project.add("core")
    inner = project.folder / "inner"
    assert project.run("--project", "inner", "init").code == 0
    (inner / "deep" / "plugins.toml").mkdir(parents=True)
    monkeypatch.chdir(inner / "deep")
    assert project.json("list")["project"] == str(inner / "plugins.toml")
    monkeypatch.chdir(project.folder)
    assert [one["id"] for one in project.json("list")["plugins"]] == ["core"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_ids_only(project: HostBench, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    """A catalogue line whose id is a command of the shell is not offered; what can be disabled is, without network."""
    project.add("core")
    entries = [
        CatalogueEntry(name, "Name", "1.0.0", "x")
        for name in ("calendar", "c$(touch x)", "c'; touch x", "c d")
    ]
    monkeypatch.setattr("registry_client.catalogue.parse_catalogue", lambda *_: entries)
    monkeypatch.setattr(
        "registry_client.store.Store.read_view", lambda _: SimpleNamespace(catalogue="sha256:" + "0" * 64)
    )
    monkeypatch.setattr("registry_client.store.Store.read_object", lambda *_: b"{}")
    project.server.reset_counters()
    for line, found in (("plugin add c", "calendar"), ("plugin disable ", "core")):
        monkeypatch.setenv("_PLUGIN_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", "2")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        out = project.run().out
        assert out == (f"_arguments '*: :((\"{found}\"))'\n" if shell == "zsh" else f"{found}\n")
    assert project.server.requests == 0


def test_a_token_is_never_shown(project: HostBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with -v, not in errors, not in JSON."""
    monkeypatch.setenv("PLUGIN_REGISTRY_READ_TOKEN", "s3cr3t-t0ken")
    for arguments in (
        ["add", "sms"],
        ["verify"],
        ["status"],
        ["search"],
        ["add", "nowhere"],
        ["outdated", "--json"],
    ):
        run = project.run("-v", *arguments)
        assert "s3cr3t" not in run.out + run.err
