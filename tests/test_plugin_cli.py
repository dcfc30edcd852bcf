"""The commands of `plugin`, against a real registry over real HTTP: what they find and say."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import plugin_bench
from support.mini_registry import MiniRegistry, serve
from support.plugin_bench import ZIP_110, Bench

from registry_client.client import RegistryClient
from registry_client.store import Directories

registry, bench = plugin_bench.registry, plugin_bench.bench


def test_search_prints_one_line_per_plugin(bench: Bench) -> None:
    """Results on stdout, the count on stderr, and nothing of a publisher's escape sequences."""
    run = bench.run("search")
    assert run.code == 0
    assert run.out.splitlines() == [
        "calendar  1.1.0  Calendar - Shared  [31mcalendars for teams",
        "notes     1.0.0  Notes - Remote notes",
    ]
    assert run.err == "2 plugins\n"


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["teams"], ["calendar"]),
        (["remote", "NOTES"], ["notes"]),
        (["nothing"], []),
        ([], ["calendar", "notes"]),
    ],
)
def test_search_finds_every_word(bench: Bench, words: list[str], ids: list[str]) -> None:
    """Words may stand anywhere in a line of the catalogue; none found is no failure."""
    run = bench.run("search", *words, "--json")
    assert run.code == 0
    assert [plugin["id"] for plugin in run.json["plugins"]] == ids


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "calendar", "teams"],
        ["search", "nothing here"],
        ["search", "--json"],
        ["--json", "search", "notes"],
        ["--registry", "URL", "search", "notes"],
        ["--registry", "URL", "--root", "ROOT", "--json", "search"],
        ["--root", "/nowhere/root.json", "search"],
        ["--registry", "http://a.example", "--registry", "URL", "search", "x"],
        ["--mirror", "http://a.example", "--allow-dev-keys", "--mirror", "http://b.example", "search"],
    ],
)
def test_plain_search_is_what_typer_would_do(bench: Bench, arguments: list[str]) -> None:
    """The short way around the option parser understands its form exactly as the parser does."""
    from registry_client.cli import app, search
    from registry_client.cli.env import read_environment
    from registry_client.cli.output import Output
    from registry_client.cli.state import State

    arguments = [{"URL": bench.url, "ROOT": str(bench.registry.root)}.get(a, a) for a in arguments]
    plain, parsed = (State(Output(as_json=False, colour=None), read_environment()) for _ in range(2))
    words = search.parse_plain(arguments, plain)
    called: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry_client.cli.catalogue.run_search", lambda _, found: called.append(list(found)))
        assert app.run(arguments, parsed) == 0
    assert [words] == called
    for name in ("registry", "root", "mirrors", "allow_dev_keys", "timeout"):
        assert getattr(plain, name) == getattr(parsed, name)


@pytest.mark.parametrize(
    "arguments", [["search", "--", "-x"], ["search", "-h"], ["-v", "search"], ["info", "x"], []]
)
def test_other_forms_go_to_typer(arguments: list[str]) -> None:
    """Whatever is not the plain form is left to the option parser."""
    from registry_client.cli.env import Environment
    from registry_client.cli.output import Output
    from registry_client.cli.search import parse_plain
    from registry_client.cli.state import State

    assert parse_plain(arguments, State(Output(as_json=False, colour=None), Environment())) is None


def test_info_shows_the_signed_facts(bench: Bench) -> None:
    """The newest version, its publisher, permissions, requirements and artifacts."""
    run = bench.run("info", "calendar")
    assert run.code == 0
    assert run.err == ""
    for fact in (
        "Calendar (calendar 1.1.0)",
        "publisher    Acme (acme)",
        "calendar:read",
        "nexus >=1,<2",
        "artifact for wordpress: calendar-1.1.0.zip, 720 B",
    ):
        assert fact in run.out
    assert "\x1b" not in run.out


def test_info_json_carries_the_manifest_whole(bench: Bench) -> None:
    """`--json` gives the manifest as it was signed, with status, keys and payload digest beside it."""
    document = bench.run("info", "notes<1", "--json").json
    assert document["version"] == "0.9.0"
    assert document["status"] == "released"
    signed = json.loads(bench.registry.manifest_path("notes", "0.9.0").read_bytes())
    assert document["manifest"] == signed
    assert document["keyids"] == [signed["signatures"][0]["keyid"]]
    assert document["payloadDigest"] == bench.registry.row("notes", "0.9.0")["manifest"]["payloadDigest"]
    assert document["warnings"] == []


def test_info_of_a_remote_plugin_names_its_urls(bench: Bench) -> None:
    """A plugin without artifacts is shown with where it is loaded from."""
    assert "https://cdn.example/notes/1.0.0.js" in bench.run("info", "notes").out


def test_versions_lists_each_with_status_and_reason(bench: Bench) -> None:
    """Yanked versions stay in the list, with the reason."""
    run = bench.run("versions", "calendar")
    rows = [line.split() for line in run.out.splitlines()]
    assert [row[:2] for row in rows] == [["VERSION", "STATUS"], ["1.0.0", "yanked"], ["1.1.0", "released"]]
    assert "loses appointments" in run.out
    document = bench.run("versions", "acme-old", "--json").json
    assert [(one["status"], one["reason"]) for one in document["versions"]] == [
        ("disabled", "steals cookies")
    ]


def test_download_prints_the_paths_of_verified_files(bench: Bench, tmp_path: Path) -> None:
    """One path per artifact on stdout; the files hold the published bytes."""
    folder = tmp_path / "files"
    run = bench.run("download", "calendar>=1,<2", "--output", str(folder))
    assert run.code == 0
    assert run.out.splitlines() == [str(folder / "calendar-1.1.0.zip"), str(folder / "calendar-1.1.0.whl")]
    assert (folder / "calendar-1.1.0.zip").read_bytes() == ZIP_110
    assert "2 files" in run.err
    document = bench.run("download", "calendar", "-o", str(folder), "--ecosystem", "python", "--json").json
    assert [file["path"] for file in document["files"]] == [str(folder / "calendar-1.1.0.whl")]


def test_download_replaces_other_files_only_if_asked(bench: Bench, tmp_path: Path) -> None:
    """Exit code 8 names the way out; `--force` replaces; what is there already is fine."""
    other = tmp_path / "calendar-1.1.0.zip"
    other.write_bytes(b"mine")
    refused = bench.run("download", "calendar", "-o", str(tmp_path))
    assert refused.code == 8
    assert "--force" in refused.err
    assert other.read_bytes() == b"mine"
    assert bench.run("download", "calendar", "-o", str(tmp_path), "--force").code == 0
    assert other.read_bytes() == ZIP_110
    assert bench.run("download", "calendar", "-o", str(tmp_path)).code == 0


def test_a_changed_artifact_is_not_written(bench: Bench, tmp_path: Path) -> None:
    """A host that serves other bytes gets exit code 6, and no file appears."""
    (artifact,) = bench.registry.folder.glob("artifacts/sha256/*/calendar-1.1.0.zip")
    artifact.write_bytes(ZIP_110[:-1] + b"!")
    run = bench.run("download", "calendar", "-o", str(tmp_path / "files"), "--json")
    assert (run.code, run.json["error"]["kind"]) == (6, "Digest")
    assert list((tmp_path / "files").iterdir()) == []


def test_outdated_tells_version_changelog_and_force(bench: Bench) -> None:
    """An update with its changelog, a forced one, and a warning that the installed version is yanked."""
    run = bench.run("outdated", "calendar==1.0.0", "notes==0.9.0")
    assert run.code == 0
    assert run.out.splitlines() == [
        "calendar 1.0.0 -> 1.1.0",
        "  Faster.",
        "  Fixes  ]0;title  a leak.",
        "notes 0.9.0 -> 1.0.0 (the publisher asks to apply it without waiting)",
    ]
    assert "calendar 1.0.0, which is installed, is yanked: loses appointments" in run.err


@pytest.mark.parametrize(
    ("arguments", "code", "outdated"),
    [
        (["notes==1.0.0"], 0, []),
        (["notes==1.0.0", "--exit-code"], 0, []),
        (["notes==0.9.0"], 0, ["notes"]),
        (["notes==0.9.0", "--exit-code"], 20, ["notes"]),
        (["nowhere==1.0.0", "notes==0.9.0", "--exit-code"], 7, ["notes"]),
    ],
)
def test_outdated_exit_codes(bench: Bench, arguments: list[str], code: int, outdated: list[str]) -> None:
    """20 only if asked for; one plugin that fails hides no other."""
    run = bench.run("outdated", *arguments, "--json")
    assert run.code == code
    assert [one["id"] for one in run.json["outdated"]] == outdated
    assert [one["id"] for one in run.json["failed"]] == (["nowhere"] if code == 7 else [])


def test_outdated_respects_rollout(bench: Bench) -> None:
    """A version that is rolled out to nobody is offered to nobody; prereleases only on request."""
    bench.registry.release("notes", "1.0.0", status="released", rollout=0)
    bench.registry.write()
    assert bench.run("outdated", "notes==0.9.0", "--json").json["outdated"] == []
    offered = bench.run("--prereleases", "outdated", "notes==0.9.0", "--json").json["outdated"]
    assert [one["available"] for one in offered] == ["1.1.0-rc.1"]


def test_the_channel_and_the_host_decide(bench: Bench) -> None:
    """Options before the command describe the host for which versions are chosen."""
    bench.registry.release("notes", "1.0.0", status="testing")
    bench.registry.write()
    assert bench.run("info", "notes", "--json").json["version"] == "0.9.0"
    assert bench.run("--channel", "testing", "info", "notes", "--json").json["version"] == "1.0.0"
    run = bench.run("--host", "nexus=2.0.0", "info", "calendar")
    assert run.code == 7
    assert "this host is 2.0.0" in run.err


def test_status_tells_what_is_known_here(bench: Bench) -> None:
    """Nothing at first; then roles, blocks, cache, and who answered."""
    empty = bench.run("status", "--json")
    assert empty.code == 0
    assert (empty.json["roles"], empty.json["lastAsked"]) == ([], None)
    assert "nothing is cached yet" in empty.json["warnings"][0]
    assert bench.run("refresh", "--json").json["source"] == bench.url
    document = bench.run("status", "--json").json
    assert [role["name"] for role in document["roles"]] == [
        "root",
        "timestamp",
        "snapshot",
        "targets",
        "blocks",
        "registrar",
    ]
    assert [(b["id"], b["action"], b["reason"]) for b in document["blocks"]] == [
        ("acme-old", "disable", "steals cookies")
    ]
    assert document["source"] == bench.url
    assert document["cache"]["bytes"] > 0
    assert (document["devKeys"], document["warnings"]) == ([], [])
    assert len(document["installationId"]) == 32
    text = bench.run("status").out
    assert "acme-old  <2  disable  since" in text
    short = [line for line in text.splitlines() if "/" not in line]  # folders are as long as they are
    assert max(map(len, short)) <= 90


def test_refresh_says_whether_something_changed(bench: Bench) -> None:
    """A first refresh changes everything, a second nothing."""
    assert "has changed" in bench.run("refresh").out
    assert "is unchanged" in bench.run("refresh").out


def test_without_network_what_was_verified_stays_in_use(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside the TTL silently, after it with a warning; status never asks; nothing cached is exit code 5."""
    assert bench.run("search").code == 0
    assert bench.run("versions", "calendar").code == 0
    with serve(bench.registry.folder) as gone:
        pass
    for path in (bench.home / "state", bench.home / "cache"):
        (folder,) = (item for item in path.iterdir() if item.is_dir())
        moved = hashlib.sha256(gone.encode()).hexdigest()[:24]
        folder.rename(path / moved)
    monkeypatch.setenv("PLUGIN_REGISTRY_URL", gone)
    inside = bench.run("search", "--json")
    assert (inside.code, inside.json["warnings"]) == (0, [])
    bench.age(3600)
    outside = bench.run("--timeout", "2", "search", "--json")
    assert (outside.code, len(outside.json["plugins"])) == (0, 2)
    assert "using what was verified before" in outside.json["warnings"][0]
    assert bench.run("versions", "calendar").code == 0
    refreshed = bench.run("--timeout", "2", "refresh", "--json")
    assert (refreshed.code, refreshed.json["source"]) == (0, None)
    assert bench.run("status").code == 0
    monkeypatch.setenv("PLUGIN_REGISTRY_HOME", str(bench.home / "other"))
    cold = bench.run("--timeout", "2", "search", "--json")
    assert (cold.code, cold.json["error"]["kind"]) == (5, "Fetch")


def test_an_expired_registry_is_refused(bench: Bench) -> None:
    """Searching and resolving stop with exit code 6; status says what has expired, and exits with 6 too."""
    long_ago = datetime.now(UTC) - timedelta(days=40)
    bench.registry.now = long_ago
    bench.registry.write()
    client = RegistryClient(
        bench.url,
        root=bench.registry.root,
        directories=Directories.default(bench.home),
        clock=lambda: long_ago + timedelta(minutes=1),
    )
    client.refresh()
    for arguments in (["search"], ["info", "calendar"], ["outdated", "calendar==1.0.0"], ["refresh"]):
        run = bench.run(*arguments)
        assert run.code == 6, arguments
        assert "expired" in run.err
    status = bench.run("status", "--json")
    assert status.code == 6
    late = [role["name"] for role in status.json["roles"] if role["expired"]]
    assert late == ["timestamp", "snapshot", "registrar"]
    assert [block["id"] for block in status.json["blocks"]] == ["acme-old"]


def test_status_warns_of_an_old_timestamp(bench: Bench) -> None:
    """Over 48 hours without a new timestamp is no failure yet, but worth a warning."""
    bench.registry.now = datetime.now(UTC) - timedelta(hours=50)
    bench.registry.write()
    assert bench.run("refresh").code == 0
    run = bench.run("status")
    assert run.code == 0
    assert run.err.startswith("warning: the timestamp was signed 2 days ago")


def test_development_keys_are_refused_unless_allowed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By option or by variable; status names the keys in use."""
    dev = MiniRegistry(tmp_path / "dev", dev=True)
    dev.publish("notes", "1.0.0")
    dev.write()
    with serve(dev.folder) as url:
        pinned = ("--registry", url, "--root", str(dev.root))
        refused = bench.run(*pinned, "search")
        assert refused.code == 3
        assert "--allow-dev-keys" in refused.err
        assert bench.run(*pinned, "--allow-dev-keys", "search").code == 0
        assert bench.run(*pinned, "search").code == 3
        monkeypatch.setenv("PLUGIN_REGISTRY_ALLOW_DEV_KEYS", "1")
        assert bench.run(*pinned, "info", "notes").code == 0
        assert len(bench.run(*pinned, "status", "--json").json["devKeys"]) == 4
        monkeypatch.setenv("PLUGIN_REGISTRY_ALLOW_DEV_KEYS", "maybe")
        assert bench.run(*pinned, "search").code == 3


def test_a_mirror_answers_for_a_dead_host(bench: Bench) -> None:
    """`--mirror` is tried after the configured URL, and verified like it."""
    run = bench.run("--registry", "http://127.0.0.1:9", "--mirror", bench.url, "search", "--json")
    assert (run.code, len(run.json["plugins"])) == (0, 2)
