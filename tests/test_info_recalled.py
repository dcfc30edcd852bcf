"""`plugin info` inside the TTL: what is remembered says what looking it up says, and only while everything is as it was."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import plugin_bench
from support.mini_registry import MiniRegistry, serve

from registry_client import recall
from registry_client.cli import app, info
from registry_client.cli.env import Environment
from registry_client.cli.main import main
from registry_client.cli.output import Output
from registry_client.cli.search import parse_plain
from registry_client.cli.state import State

if TYPE_CHECKING:
    from support.plugin_bench import Bench, Run

    from registry_client.store import Store

registry, bench = plugin_bench.registry, plugin_bench.bench


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each look-up that was really made, by a client."""
    from registry_client.client import RegistryClient

    made: list[str] = []
    resolve = RegistryClient.resolve

    def counting(client: RegistryClient, plugin_id: str, range_text: str | None = None) -> Any:
        made.append(plugin_id)
        return resolve(client, plugin_id, range_text)

    monkeypatch.setattr(RegistryClient, "resolve", counting)
    return made


def _same(one: Run, other: Run) -> bool:
    return (one.code, one.out, one.err) == (other.code, other.out, other.err)


def _memories(bench: Bench) -> list[Path]:
    return sorted(bench.home.glob("state/*/recall/*"))


PROJECT = """
[host]
name = "nexus"
version = "1.2.0"

[registries.main]
url = "{url}"
root = "{root}"

[plugins]
"""


def _project(bench: Bench, tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "project" / "plugins.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(PROJECT.format(url=bench.url, root=bench.registry.root) + more, "utf-8")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "calendar"],
        ["info", "calendar", "--json"],
        ["--json", "info", "notes"],
        ["info", "notes<1"],
        ["info", "notes==1.1.0-rc.1", "--json"],
        ["--prereleases", "info", "notes"],
        ["--channel", "testing", "--host", "nexus=1.0.0", "info", "calendar"],
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_remembered_is_what_was_found(
    bench: Bench,
    looked_up: list[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    colour: bool,
) -> None:
    """Byte for byte on both streams, as text and as JSON, in colour and without, from the second time on."""
    if colour:
        monkeypatch.setenv("FORCE_COLOR", "1")
    first, second, third = (bench.run(*arguments) for _ in range(3))
    assert first.code == 0
    assert len(looked_up) == 1
    assert _same(first, second)
    assert _same(first, third)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(info, "_recalled", lambda *_: False)
        assert _same(bench.run(*arguments), first)
    assert len(looked_up) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "calendar"],
        ["info", "calendar>=1,<2", "--json"],
        ["--json", "info", "notes"],
        ["--registry", "http://a.example", "--registry", "http://b.example", "--root", "x", "info", "search"],
        ["--mirror", "http://a.example", "--allow-dev-keys", "--mirror", "http://b.example", "info", "x"],
        ["--project", "elsewhere", "info", "info"],
    ],
)
def test_the_plain_form_is_what_typer_would_do(arguments: list[str]) -> None:
    """The short way around the option parser understands its form exactly as the parser does."""
    plain, parsed = (State(Output(as_json=False, colour=None), Environment()) for _ in range(2))
    words = parse_plain(arguments, plain, "info")
    called: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry_client.cli.catalogue.run_info", lambda _, spec: called.append(spec))
        assert app.run(arguments, parsed) == 0
    assert words == called
    for name in (
        "project_option",
        "registry",
        "root",
        "mirrors",
        "allow_dev_keys",
        "channel",
        "applications",
        "timeout",
    ):
        assert getattr(plain, name) == getattr(parsed, name)


@pytest.mark.parametrize(
    "arguments",
    [
        ["info"],
        ["info", "a", "b"],
        ["info", "--", "x"],
        ["info", "x", "-h"],
        ["-v", "info", "x"],
        ["--channel", "testing", "info", "x"],
    ],
)
def test_other_forms_go_to_typer(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not the plain form is left to the option parser."""
    seen: list[list[str]] = []

    def run(given: list[str], _: State) -> int:
        seen.append(given)
        return 0

    monkeypatch.setattr(app, "run", run)
    assert main(arguments) == 0
    assert seen == [arguments]


def test_text_and_json_share_a_memory(bench: Bench, looked_up: list[str]) -> None:
    """What is remembered is what was found, not how it was shown."""
    bench.run("info", "calendar")
    document = bench.run("info", "calendar", "--json").json
    assert document["manifest"] == json.loads(bench.registry.manifest_path("calendar", "1.1.0").read_bytes())
    assert len(looked_up) == 1


def test_warnings_are_remembered(bench: Bench, registry: MiniRegistry, looked_up: list[str]) -> None:
    """A deprecated version warns each time."""
    registry.release("notes", "1.0.0", status="deprecated", reason="use calendar")
    registry.write()
    first, second = bench.run("info", "notes==1.0.0"), bench.run("info", "notes==1.0.0")
    assert "deprecated: use calendar" in first.err
    assert _same(first, second)
    assert bench.run("info", "notes==1.0.0", "--json").json["warnings"] == [
        "notes 1.0.0 is deprecated: use calendar"
    ]
    assert len(looked_up) == 1


def _touch_view(bench: Bench, **members: Any) -> None:
    (path,) = bench.home.glob("state/*/view.json")
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **members}))


def _edit_timestamp(bench: Bench) -> None:
    (path,) = bench.home.glob("state/*/metadata/timestamp.json")
    path.write_bytes(path.read_bytes() + b"\n")


def _other_installation(bench: Bench) -> None:
    (bench.home / "state" / "install-id").write_text("0" * 32)


def _seen_revisions(bench: Bench) -> None:
    (path,) = bench.home.glob("state/*/view.json")
    revisions = path.parent / "revisions"
    revisions.mkdir(exist_ok=True)
    (revisions / "calendar.json").write_text(json.dumps({"0.1.0": [1, "sha256:" + "0" * 64]}))


CHANGES = {
    "the TTL is over": lambda bench: bench.age(301),
    "the clock was set back": lambda bench: bench.age(-60),
    "the metadata has expired": lambda bench: _touch_view(bench, expires=1.0),
    "another refresh": lambda bench: bench.run("refresh"),
    "another view": lambda bench: _touch_view(bench, not_before=1.0),
    "another root": lambda bench: _touch_view(bench, root="sha256:" + "0" * 64),
    "a damaged view": lambda bench: next(bench.home.glob("state/*/view.json")).write_text("{"),
    "development keys in use": lambda bench: _touch_view(bench, dev_keys=True),
    "another timestamp": _edit_timestamp,
    "another installation": _other_installation,
    "other revisions seen": _seen_revisions,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_looked_up_again_after(bench: Bench, looked_up: list[str], change: Any) -> None:
    """Whatever it followed from is another one now: the registry is read again, and says the same here."""
    first = bench.run("info", "calendar")
    change(bench)
    again = bench.run("info", "calendar")
    assert len(looked_up) == 2
    assert again.out == first.out


def test_news_are_seen_after_a_refresh(bench: Bench, registry: MiniRegistry) -> None:
    """A block that a refresh brought holds at once."""
    assert bench.run("info", "notes").code == 0
    registry.block("notes", ">=0", "disable", "steals cookies")
    registry.write()
    assert bench.run("info", "notes").code == 0  # inside the TTL nobody was asked, remembered or not
    assert bench.run("refresh").code == 0
    run = bench.run("info", "notes")
    assert run.code == 7
    assert "steals cookies" in run.err


def test_errors_are_not_remembered(bench: Bench, looked_up: list[str]) -> None:
    """Only what was found is."""
    for _ in range(2):
        assert bench.run("info", "acme-old").code == 7
    assert len(looked_up) == 2
    assert _memories(bench) == []


@pytest.mark.parametrize(
    "options",
    [
        ["--channel", "testing"],
        ["--prereleases"],
        ["--host", "nexus=1.0.0"],
        ["--mirror", "http://127.0.0.1:9"],
    ],
)
def test_other_options_are_another_question(bench: Bench, looked_up: list[str], options: list[str]) -> None:
    """Nothing that was found for one host is shown for another."""
    bench.run("info", "calendar")
    bench.run(*options, "info", "calendar")
    assert len(looked_up) == 2
    bench.run(*options, "info", "calendar")
    bench.run("info", "calendar")
    assert len(looked_up) == 2


def test_another_root_file(bench: Bench, looked_up: list[str], tmp_path: Path) -> None:
    """What one root proved is not shown to who pins another one; that root is judged."""
    assert bench.run("info", "calendar").code == 0
    other = MiniRegistry(tmp_path / "other")
    other.publish("calendar", "1.0.0")
    other.write()
    run = bench.run("--root", str(other.root), "info", "calendar")
    assert run.code == 6
    assert run.out == ""
    missing = bench.run("--root", str(tmp_path / "none.json"), "info", "calendar")
    assert missing.code == 3


def test_a_project_counts_as_it_stands(bench: Bench, looked_up: list[str], tmp_path: Path) -> None:
    """plugins.toml says for which host versions are chosen: changed, it is asked anew; broken, it is an error."""
    path = _project(bench, tmp_path)
    arguments = ["--project", str(path), "info", "calendar"]
    assert bench.run(*arguments).code == 0
    assert bench.run(*arguments).code == 0
    assert len(looked_up) == 1
    path.write_text(path.read_text("utf-8").replace('"1.2.0"', '"9.0.0"'), "utf-8")
    assert "nexus" in bench.run(*arguments).err
    assert len(looked_up) == 2
    _project(bench, tmp_path, "surprise = 7\n")
    assert bench.run(*arguments).code == 4


def test_development_keys_need_consent_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found with development keys allowed is not shown to who does not allow them."""
    registry = MiniRegistry(tmp_path / "registry", dev=True)
    plugin_bench.fill(registry)
    registry.write()
    with serve(registry.folder) as url:
        monkeypatch.setenv("PLUGIN_REGISTRY_URL", url)
        monkeypatch.setenv("PLUGIN_REGISTRY_ROOT", str(registry.root))
        monkeypatch.setenv("PLUGIN_REGISTRY_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("PLUGIN_REGISTRY_ALLOW_DEV_KEYS", raising=False)
        bench = plugin_bench.Bench(registry, url, tmp_path / "home", capsys)
        for _ in range(2):
            assert bench.run("--allow-dev-keys", "info", "calendar").code == 0
        run = bench.run("info", "calendar")
    assert run.code == 3
    assert "development key" in run.err


def _bases(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every basis that is computed from now on, the newest last."""
    made: list[bytes] = []

    def noting(store: Store, plugin_id: str, wishes: dict[str, object]) -> bytes:
        made.append(recall.basis_of(store, plugin_id, wishes))
        return made[-1]

    monkeypatch.setattr(info, "basis_of", noting)
    return made


DAMAGE = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "no seal": lambda data: data.partition(b"\n")[2],
    "another version": lambda data: data.replace(b"1.1.0", b"6.6.6"),
    "not UTF-8": lambda data: b"\xff" * len(data),
    "not JSON": lambda data: data.partition(b"\n")[0] + b"\nnonsense",
    "nested": lambda data: data.partition(b"\n")[0] + b"\n" + b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_memory_is_none(bench: Bench, looked_up: list[str], damage: Any) -> None:
    """An edited or broken file is passed over in silence."""
    first = bench.run("info", "calendar")
    (path,) = _memories(bench)
    path.write_bytes(damage(path.read_bytes()))
    assert _same(bench.run("info", "calendar"), first)
    assert len(looked_up) == 2


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"found": {}},
        {"found": {"warnings": [], "document": {}}, "made_at": 0},
        {"found": {"warnings": [], "document": []}, "made_at": 0},
        {"found": {"warnings": None, "document": {"manifest": 7}}, "made_at": 0},
        {"found": {"warnings": [7], "document": {"id": "calendar"}}, "made_at": 0},
        {"found": 7, "made_at": 0},
        {"found": {"warnings": [], "document": {}}, "made_at": 1e18},
        {"found": {"warnings": [], "document": {}}, "made_at": "now"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_sealed_memory_of_another_form_is_none(
    bench: Bench, looked_up: list[str], monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], as_json: bool
) -> None:
    """Who may write the state can make a seal that fits. Even then nothing but a look-up comes of what is no memory."""
    bases = _bases(monkeypatch)
    arguments = ["info", "calendar", *(["--json"] if as_json else [])]
    first = bench.run(*arguments)
    (path,) = _memories(bench)
    content = json.dumps(found).encode()
    seal = hashlib.sha256(bases[-1] + hashlib.sha256(content).digest()).hexdigest()
    path.write_bytes(seal.encode() + b"\n" + content)
    assert _same(bench.run(*arguments), first)
    assert len(looked_up) == 2


@pytest.mark.parametrize("warnings", [None, 7, "text", [7], [None], {"a": 1}], ids=repr)
def test_sealed_warnings_of_another_form(
    bench: Bench, looked_up: list[str], monkeypatch: pytest.MonkeyPatch, warnings: Any
) -> None:
    """The same with all else in order."""
    bases = _bases(monkeypatch)
    first = bench.run("info", "calendar")
    (path,) = _memories(bench)
    memory = json.loads(path.read_bytes().partition(b"\n")[2])
    memory["found"]["warnings"] = warnings
    content = json.dumps(memory).encode()
    path.write_bytes(
        hashlib.sha256(bases[-1] + hashlib.sha256(content).digest()).hexdigest().encode() + b"\n" + content
    )
    assert _same(bench.run("info", "calendar"), first)
    assert len(looked_up) == 2


def test_a_folder_in_its_place(bench: Bench, looked_up: list[str]) -> None:
    """What cannot be read or written is done without."""
    first = bench.run("info", "calendar")
    (path,) = _memories(bench)
    path.unlink()
    path.mkdir()
    assert _same(bench.run("info", "calendar"), first)
    assert _same(bench.run("info", "calendar"), first)
    assert len(looked_up) == 3


def test_memories_do_not_pile_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the most that are kept, the old ones go."""
    monkeypatch.setattr("registry_client.recall._MOST", 3)
    for spec in ("calendar", "notes", "notes<1", "calendar==1.1.0", "calendar>=1"):
        assert bench.run("info", spec).code == 0
    assert 1 <= len(_memories(bench)) <= 3


def test_state_that_changes_meanwhile_is_not_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process refreshes while this one looks up: what was found in the older state is not filed under the newer."""
    from registry_client.client import RegistryClient

    resolve = RegistryClient.resolve

    def slow(client: RegistryClient, plugin_id: str, range_text: str | None = None) -> Any:
        found = resolve(client, plugin_id, range_text)
        subprocess.run([*bench.command, "refresh"], env=bench.environ(), check=True, capture_output=True)
        return found

    monkeypatch.setattr(RegistryClient, "resolve", slow)
    assert bench.run("info", "calendar").code == 0
    assert _memories(bench) == []


def test_state_that_changes_at_the_last_moment_is_not_remembered(
    bench: Bench, registry: MiniRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process refreshes just when the look-up is about to be remembered."""
    digest = recall.basis_of
    known: list[str] = []

    def slow(store: Store, plugin_id: str, wishes: Any) -> bytes:
        known.append(plugin_id)
        if len(known) == 2:  # the first was to see whether it is remembered already
            registry.block("notes", ">=0", "disable", "steals cookies")
            registry.write()
            subprocess.run([*bench.command, "refresh"], env=bench.environ(), check=True, capture_output=True)
        return digest(store, plugin_id, wishes)

    assert bench.run("refresh").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(info, "basis_of", slow)
        assert bench.run("info", "notes").code == 0
    assert len(known) == 2
    assert bench.run("info", "notes").code == 7


def test_verbose_is_always_looked_up(bench: Bench, looked_up: list[str]) -> None:
    """`--verbose` says what the network was used for, and keyids in full."""
    for _ in range(2):
        assert "request" in bench.run("-v", "info", "calendar").err
    assert len(looked_up) == 2


def test_a_read_token_is_always_looked_up(
    bench: Bench, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private registry is read by a client, which holds the token and says what is wrong with it."""
    monkeypatch.setenv("PLUGIN_REGISTRY_READ_TOKEN", "secret")
    for _ in range(2):
        bench.run("info", "calendar")
    assert len(looked_up) == 2
    assert _memories(bench) == []


def test_the_second_time_is_cheap(bench: Bench) -> None:
    """Neither TUF, pydantic, typer nor what verifies is imported for what is remembered."""
    code = (
        "import sys\n"
        "from registry_client.cli.main import main\n"
        "heavy = 'typer rich pydantic tuf requests urllib3 ssl securesystemslib cryptography packaging "
        "concurrent logging tempfile uuid rfc8785'\n"
        "code = main(['info', 'calendar'])\n"
        "print(code, *(name for name in heavy.split() if name in sys.modules), file=sys.stderr)\n"
    )
    assert bench.run("info", "calendar").code == 0
    done = subprocess.run(
        [bench.command[0], "-c", code],
        env={**os.environ, **bench.environ()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "0\n"
    assert done.stdout.startswith("Calendar (calendar 1.1.0)")
