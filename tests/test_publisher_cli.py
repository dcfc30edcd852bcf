"""The command `publisher`: help, JSON, exit codes, messages, and a newcomer's whole way."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.maintainers import Kept, make_registry
from support.mini_registry import serve

from publisher.cli.help import _TEXTS
from publisher.cli.main import main
from registry_client.cli.main import main as plugin_main

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[1]
GROUPS = ("registry", "registry policy")
COMMANDS = [f"registry {name}" if name.startswith("policy ") else name for name in _TEXTS]


@dataclass
class Ran:
    """How one run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document of stdout; fails if there is anything else."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Bench:
    """A registry, a plugin's source, and the command.

    Attributes:
        kept: the registry.
        source: a plugin's folder.
        capsys: catches what is printed.
    """

    kept: Kept
    source: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Ran:
        """Run the command, with places filled in: {dir}, {source}, {targets}, {blocks}, {online}, {acme}, {tmp}."""
        places = {
            **{name: str(path) for name, path in self.kept.keys.items()},
            "dir": str(self.kept.folder),
            "source": str(self.source),
            "tmp": str(self.source.parent),
            "keyid": self.kept.keyid("acme")[:12],
        }
        self.capsys.readouterr()
        code = main([text.format(**places) for text in arguments])
        captured = self.capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    @property
    def environ(self) -> dict[str, str]:
        """The environment for a process of its own."""
        return {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "80"}


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A registry with one registered version, and the source of the next."""
    for name in ("NO_COLOR", "FORCE_COLOR", "SOURCE_DATE_EPOCH", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    kept = make_registry(tmp_path)
    kept.write_manifest("calendar", "1.0.0", "acme")
    kept.register()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(kept.now.timestamp())))
    source = tmp_path / "calendar"
    (source / "src").mkdir(parents=True)
    (source / "src" / "plugin.txt").write_text("a plugin")
    artifacts = [{"ecosystem": "custom", "pack": "src"}]
    manifest = {"id": "calendar", "name": "Calendar", "version": "1.1.0", "artifacts": artifacts}
    (source / "manifest.json").write_text(json.dumps(manifest))
    return Bench(kept, source, capsys)


class TestHelp:
    """What a newcomer reads first."""

    @pytest.mark.parametrize("command", ["", *GROUPS, *COMMANDS])
    def test_every_command_explains_itself(
        self, bench: Bench, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At 80 columns nothing is cut, every option has words, and commands have examples of themselves."""
        monkeypatch.setenv("COLUMNS", "80")
        for flag in ("--help", "-h"):
            run = bench.run(*command.split(), flag)
            assert (run.code, run.err) == (0, "")
            assert run.out.startswith(f"Usage: publisher {command}".strip())
        assert max(map(len, run.out.splitlines())) <= 80
        assert "..." not in run.out.partition("Commands:")[2].partition("Environment")[0].replace(
            "[ARGS]...", ""
        )
        if command not in {"", *GROUPS}:
            assert f"  publisher {command}" in run.out.partition("Examples:")[2]

    def test_no_command_is_without_examples(self) -> None:
        """The table of examples and the commands are the same set."""
        from publisher.cli.app import app, registry_app
        from publisher.cli.policy import app as policy_app

        names = {str(info.name) for info in app.registered_commands}
        names |= {f"registry {info.name}" for info in registry_app.registered_commands}
        names |= {f"policy {info.name}" for info in policy_app.registered_commands}
        assert names == set(_TEXTS)

    @pytest.mark.parametrize("command", ["", *GROUPS])
    def test_without_a_command(self, bench: Bench, command: str) -> None:
        """The help on stderr, and the exit code of a mistake."""
        run = bench.run(*command.split())
        assert (run.code, run.out) == (2, "")
        assert "Commands:" in run.err

    def test_version(self, bench: Bench) -> None:
        """As text and as JSON."""
        assert bench.run("--version").out.startswith("plugin-registry ")
        for arguments in (("--version", "--json"), ("--json", "--version")):
            assert "version" in bench.run(*arguments).json


KEY = ("--key", "{targets}")
SUCCESSES: list[tuple[str, ...]] = [
    ("check", "{source}"),
    ("pack", "{source}", "-o", "{tmp}/dist"),
    ("publish", "{source}", "--to", "{dir}", "--key", "{acme}"),
    ("publish", "{source}", "--to", "{dir}", "--key", "{acme}", "--dry-run"),
    ("publish", "{source}", "--to", "{dir}", "--key", "{acme}", "--bump", "minor", "--rollout", "10"),
    ("set-status", "calendar", "1.0.0", "--to", "{dir}", "--key", "{acme}", "--rollout", "10"),
    ("set-status", "calendar", "1.0.0", "--to", "{dir}", "--key", "{acme}", "--no-push", "--dry-run"),
    ("yank", "calendar", "1.0.0", "--to", "{dir}", "--key", "{acme}", "--reason", "loses events"),
    ("keygen", "--out", "{tmp}/new.pem"),
    ("sign", "{dir}/plugins/calendar/1.0.0/manifest.json", "--key", "{acme}"),
    ("registry", "init", "{tmp}/other", "--base-url", "https://other.example"),
    ("registry", "init", "{tmp}/other", "--base-url", "https://other.example", "--dev"),
    ("registry", "register", "{dir}", "--key", "{online}"),
    ("registry", "register", "{dir}", "--key", "{online}", "--dry-run", "--full"),
    ("registry", "renew", "{dir}", "--key", "{online}"),
    ("registry", "renew", "{dir}", "--key", "{online}", "--force", "--role", "timestamp"),
    ("registry", "rotate", "{dir}", "root", "--drop", "{root_3}", "--key", "{root-1}", "--key", "{root-2}"),
    ("registry", "rotate", "{dir}", "root", "--threshold", "3", "--key", "{root-1}"),
    ("registry", "audit", "{dir}"),
    ("registry", "schema", "{tmp}/schema"),
    ("registry", "policy", "change-publisher", "{dir}", "acme", "--name", "Acme Ltd", *KEY),
    ("registry", "policy", "change-publisher", "{dir}", "acme", "--repository-id", "42", *KEY),
    ("registry", "policy", "remove-publisher", "{dir}", "acme", *KEY),
    ("registry", "policy", "retire-key", "{dir}", "acme", "{keyid}", *KEY),
    ("registry", "policy", "revoke-key", "{dir}", "acme", "{keyid}", "--reason", "stolen", *KEY),
    ("registry", "policy", "set", "{dir}", "--name", "Ours", "--mirror", "https://m.example", *KEY),
    ("registry", "policy", "set", "{dir}", "--no-mirrors", "--no-artifacts-in-tree", *KEY),
    ("registry", "policy", "set", "{dir}", "--catalogue-minutes", "60", *KEY),
    ("registry", "policy", "block", "{dir}", "calendar", "--reason", "a flaw", "--key", "{blocks}"),
]
WARNING = "warning: no --root-digest was given, so the root of trust on the remote is believed\n"
NO_KEY = "no signing key was given"
FAILURES: list[tuple[tuple[str, ...], int, str, str]] = [
    (("bogus",), 2, "Usage", "bogus"),
    (("check", "--bogus"), 2, "Usage", "--bogus"),
    (("publish", "--rollout", "101"), 2, "Usage", "--rollout"),
    (("publish", "--status", "gone"), 2, "Usage", "--status"),
    (("set-status", "calendar"), 2, "Usage", "VERSION"),
    (("yank", "calendar", "1.0.0"), 2, "Usage", "--reason"),
    (("keygen",), 2, "Usage", "--out"),
    (("registry", "init", "{tmp}/x"), 2, "Usage", "--base-url"),
    (("registry", "policy", "bogus"), 2, "Usage", "bogus"),
    (("check", "{tmp}/none"), 3, "Config", "no such file"),
    (("pack", "{tmp}/none"), 3, "Config", "no such file"),
    (("publish", "{source}", "--to", "{dir}"), 3, "Config", NO_KEY),
    (("publish", "{source}", "--to", "{tmp}", "--key", "{acme}"), 3, "Config", "is not a registry"),
    (("publish", "{source}", "--to", "{dir}", "--key", "{tmp}/none"), 3, "Config", "cannot be read"),
    (("publish", "{source}", "--to", "{dir}", "--key", "{online}"), 6, "Signature", "is not a key of"),
    (
        ("publish", "{source}", "--to", "{dir}", "--key", "{acme}", "--version", "1.0.0"),
        9,
        "VersionExists",
        "with other content",
    ),
    (("publish", "{source}", "--to", "{dir}", "--key", "{acme}", "--version", "1"), 3, "Config", "--version"),
    (
        ("publish", "{source}", "--to", "{dir}", "--key", "{acme}", "--version", "2.0.0", "--bump", "major"),
        3,
        "Config",
        "exclude",
    ),
    (
        ("publish", "{source}", "--to", "{dir}", "--key", "{acme}", "--status", "yanked"),
        3,
        "Config",
        "yanked",
    ),
    (("publish", "{source}", "--to", "{dir}", "--key", "awskms:alias/x"), 3, "Config", "which public key"),
    (
        ("set-status", "calendar", "1.0.0", "--to", "{dir}", "--key", "{acme}"),
        3,
        "Config",
        "nothing to change",
    ),
    (
        ("set-status", "calendar", "9.9.9", "--to", "{dir}", "--key", "{acme}", "--push"),
        7,
        "NotFound",
        "9.9.9",
    ),
    (("set-status", "../x", "1.0.0", "--to", "{dir}", "--key", "{acme}", "--push"), 3, "Config", "../x"),
    (
        ("set-status", "calendar", "1.0.0", "--to", "{dir}", "--key", "{acme}", "--status", "yanked"),
        9,
        "Publish",
        "reason",
    ),
    (("keygen", "--out", "{acme}"), 3, "Config", "exists already"),
    (("keygen", "--out", "."), 3, "Config", ""),
    (("keygen", "--out", "{source}/manifest.json/x"), 3, "Config", "cannot be written"),
    (("sign", "{tmp}/none", "--key", "{acme}"), 3, "Config", "cannot be read"),
    (("sign", "{dir}/policy.json", "--key", "{acme}"), 3, "Config", "neither a manifest"),
    (("sign", "{dir}/metadata/2.targets.json", "--key", "{targets}"), 3, "Config", "is served already"),
    (("registry", "init", "{dir}", "--base-url", "https://x.example"), 3, "Config", "is a registry already"),
    (("registry", "init", "{tmp}/x", "--base-url", "x"), 3, "Config", "is not a registry URL"),
    (("registry", "register", "{tmp}", "--key", "{online}"), 3, "Config", "is not a registry"),
    (("registry", "register", "{dir}"), 3, "Config", NO_KEY),
    (
        ("registry", "register", "{dir}", "--key", "{online}", "--root-digest", "x"),
        3,
        "Config",
        "--root-digest",
    ),
    (("registry", "register", "{tmp}/none.git", "--key", "{online}"), 9, "Git", ""),
    (("registry", "renew", "{tmp}", "--key", "{online}"), 3, "Config", "is not a registry"),
    (("registry", "renew", "{dir}", "--key", "{online}", "--role", "boss"), 3, "Config", "'boss'"),
    (("registry", "rotate", "{dir}", "boss", "--threshold", "1", "--key", "{root-1}"), 3, "Config", "'boss'"),
    (("registry", "rotate", "{dir}", "root", "--key", "{root-1}"), 3, "Config", "nothing to change"),
    (("registry", "rotate", "{dir}", "root", "--drop", "zz", "--key", "{root-1}"), 3, "Config", "'zz'"),
    (
        ("registry", "rotate", "{dir}", "root", "--add", "{tmp}/x", "--key", "{root-1}"),
        3,
        "Config",
        "be read",
    ),
    (
        ("registry", "rotate", "{dir}", "root", "--add", "{dir}/policy.json", "--key", "{root-1}"),
        3,
        "Config",
        "not a public key",
    ),
    (("registry", "audit", "{tmp}"), 3, "Config", "is not a registry"),
    (("registry", "audit", "https://registry.example"), 3, "Config", "--root"),
    (("registry", "policy", "add-publisher", "{dir}", "x", "--key-file", "{acme}", *KEY), 4, "Document", ""),
    (("registry", "policy", "change-publisher", "{dir}", "acme", *KEY), 3, "Config", "nothing to change"),
    (("registry", "policy", "change-publisher", "{dir}", "x", "--name", "X", *KEY), 7, "NotFound", "'x'"),
    (("registry", "policy", "retire-key", "{dir}", "acme", "zz", *KEY), 7, "NotFound", "'zz'"),
    (("registry", "policy", "set", "{dir}", *KEY), 3, "Config", "nothing to change"),
    (("registry", "register", "{dir}", "--key", "{online}", "--gather", "5"), 3, "Config", "--gather"),
    (("registry", "register", "{dir}", "--key", "{online}", "--jobs", "0"), 2, "Usage", "--jobs"),
    (("registry", "audit", "{dir}", "--jobs", "0"), 2, "Usage", "--jobs"),
    (
        ("registry", "policy", "set", "{dir}", "--no-mirrors", "--mirror", "https://m.example", *KEY),
        2,
        "Usage",
        "exclude each other",
    ),
    (("registry", "policy", "unblock", "{dir}", "calendar", "--key", "{blocks}"), 7, "NotFound", "no block"),
    (
        (
            "registry",
            "policy",
            "block",
            "{dir}",
            "calendar",
            "--reason",
            "x",
            "--versions",
            "^1",
            "--key",
            "{blocks}",
        ),
        3,
        "",
        "",
    ),
    (
        ("registry", "policy", "block", "{dir}", "calendar", "--reason", "x", "--key", "{targets}"),
        3,
        "Config",
        "no key of role blocks",
    ),
]


def _named(arguments: tuple[str, ...]) -> str:
    return " ".join(arguments[:4])


class TestJson:
    """With `--json`, one document on stdout and nothing else."""

    @pytest.mark.parametrize("arguments", SUCCESSES, ids=_named)
    def test_success(self, bench: Bench, arguments: tuple[str, ...]) -> None:
        """Every command; nothing on stderr, also where a person would be told what comes next."""
        filled = tuple(text.replace("{root_3}", bench.kept.keyid("root-3")) for text in arguments)
        run = bench.run(*filled, "--json")
        assert (run.code, run.err) == (0, ""), run
        assert run.json["warnings"] == []
        assert "error" not in run.json

    @pytest.mark.parametrize("arguments", SUCCESSES, ids=_named)
    def test_success_in_words(self, bench: Bench, arguments: tuple[str, ...]) -> None:
        """Without it, text on stdout that is no JSON; prose about it on stderr."""
        filled = tuple(text.replace("{root_3}", bench.kept.keyid("root-3")) for text in arguments)
        run = bench.run(*filled)
        assert run.code == 0, run
        assert run.out.strip()
        assert not run.out.startswith("{")
        assert "Traceback" not in run.err
        assert "\x1b" not in run.out + run.err

    def test_before_the_command_too(self, bench: Bench) -> None:
        """As with `plugin`."""
        assert bench.run("--json", "registry", "audit", "{dir}").json["sound"] is True

    @pytest.mark.parametrize(("arguments", "code", "kind", "words"), FAILURES, ids=lambda v: str(v)[:50])
    def test_failure(
        self, bench: Bench, arguments: tuple[str, ...], code: int, kind: str, words: str
    ) -> None:
        """One error with kind, message, hint and exit code; as text on stderr otherwise; nothing is written."""
        before = bench.kept.fingerprint()
        run = bench.run(*arguments)
        assert (run.code, run.out) == (code, ""), run
        assert run.err.removeprefix(WARNING).startswith("error: ")
        assert "Traceback" not in run.err
        document = bench.run(*arguments, "--json")
        assert (document.code, document.err) == (code, "")
        error = document.json["error"]
        assert set(error) == {"kind", "message", "hint", "exitCode"}
        assert error["exitCode"] == code
        assert kind in {"", error["kind"]}
        assert words in error["message"] + error["hint"], error
        assert bench.kept.fingerprint() == before

    def test_problems_of_a_source(self, bench: Bench) -> None:
        """`check` lists them all, with their paths; the exit code is that of a malformed document."""
        (bench.source / "manifest.json").write_text('{"id": "Bad", "version": "1"}')
        run = bench.run("check", "{source}", "--json")
        assert run.code == 4
        assert {"$.id", "$.version", "$.name"} <= {problem["path"] for problem in run.json["problems"]}
        text = bench.run("check", "{source}")
        assert (text.code, text.out) == (4, "")
        assert "$.id" in text.err

    def test_a_refused_submission(self, bench: Bench) -> None:
        """The registrar's exit code is 9; what was refused and why is in the result, not in an error."""
        bench.kept.write_manifest("maps", "1.0.0", "acme")
        run = bench.run("registry", "register", "{dir}", "--key", "{online}", "--json")
        assert run.code == 9
        outcome = run.json["outcomes"][0]
        assert (outcome["id"], outcome["result"]) == ("maps", "refused")
        assert {"kind", "message", "hint"} == outcome["error"].keys()
        text = bench.run("registry", "register", "{dir}", "--key", "{online}")
        assert "maps 1.0.0: refused" in text.out


class TestWords:
    """What people are told."""

    def test_what_matches_a_block_and_what_is_left(self, bench: Bench) -> None:
        """So that a range that misses a prerelease is seen at once."""
        for version in ("1.1.0-rc.1", "1.1.0"):
            bench.kept.write_manifest("calendar", version, "acme")
        bench.kept.register()
        arguments = (
            "registry",
            "policy",
            "block",
            "{dir}",
            "calendar",
            "--versions",
            "<1.1",
            "--reason",
            "a flaw",
        )
        run = bench.run(*arguments, "--key", "{blocks}")
        assert "matches 1.0.0; leaves 1.1.0-rc.1, 1.1.0" in run.out
        run = bench.run("registry", "policy", "unblock", "{dir}", "calendar", "--key", "{blocks}", "--json")
        assert run.json["matching"] == ["1.0.0"]

    def test_what_waits_for_signatures(self, bench: Bench) -> None:
        """The command that adds one is printed, ready to be copied, and works from where one is."""
        drop = bench.kept.keyid("root-3")[:8]
        run = bench.run("registry", "rotate", "{dir}", "root", "--drop", drop, "--key", "{root-1}")
        staged = bench.kept.folder / "staging" / "2.root.json"
        assert f"publisher sign {staged} --key" in run.err
        assert "2 signatures, complete" in bench.run("sign", str(staged), "--key", "{root-2}").out

    def test_a_key_in_the_environment_is_used(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in CI: no option needed."""
        monkeypatch.setenv("PLUGIN_REGISTRY_KEY", bench.kept.keys["online"].read_text())
        assert bench.run("registry", "register", "{dir}").code == 0

    def test_key_material_is_never_printed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A damaged secret in CI, in words and as JSON."""
        pem = bench.kept.keys["online"].read_text()
        secret = pem.split("\n")[1]
        monkeypatch.setenv("PLUGIN_REGISTRY_KEY", pem.replace("-----END", "----END"))
        for more in ((), ("--json",)):
            run = bench.run("registry", "register", "{dir}", *more)
            assert run.code == 3
            assert secret not in run.out + run.err

    @pytest.mark.parametrize("epoch", ["soon", "1e9", "99999999999999999", "²"])
    def test_a_clock_that_is_none(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
        """SOURCE_DATE_EPOCH is held to its form, never ignored."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        run = bench.run("registry", "register", "{dir}", "--key", "{online}")
        assert run.code == 3
        assert "SOURCE_DATE_EPOCH" in run.err

    def test_a_passphrase_is_asked_for_on_the_terminal_only(self, bench: Bench) -> None:
        """With `--json`, stdout stays JSON; nothing of the passphrase is echoed."""
        controller, terminal = pty.openpty()
        command = [
            sys.executable,
            "-m",
            "publisher.cli.main",
            "keygen",
            "--out",
            "k.pem",
            "--passphrase",
            "--json",
        ]
        with subprocess.Popen(
            command,
            env=bench.environ,
            cwd=bench.source,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            start_new_session=True,
        ) as process:
            os.close(terminal)
            seen = b""
            for prompt in (b"Passphrase: ", b"Repeat for confirmation: "):
                while not seen.endswith(prompt):
                    seen += os.read(controller, 1000)
                os.write(controller, b"correct horse\n")
            out = process.communicate(timeout=30)[0]
        os.close(controller)
        assert process.returncode == 0
        assert json.loads(out)["privateKey"] == "k.pem"
        assert b"horse" not in seen
        assert b"ENCRYPTED" in (bench.source / "k.pem").read_bytes()

    @pytest.mark.parametrize(
        ("variables", "coloured"),
        [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False)],
    )
    def test_colours(self, bench: Bench, variables: dict[str, str], coloured: bool) -> None:
        """On a terminal errors are coloured, unless NO_COLOR says otherwise."""
        controller, terminal = pty.openpty()
        command = [sys.executable, "-m", "publisher.cli.main", "registry", "audit", "/nowhere"]
        environ = {**bench.environ, "TERM": "xterm", **variables}
        run = subprocess.run(command, env=environ, stderr=terminal, stdout=subprocess.PIPE, check=False)
        os.close(terminal)
        told = os.read(controller, 10_000)
        os.close(controller)
        assert run.returncode == 3
        assert (b"\x1b[" in told) is coloured


_BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"jsonschema", "referencing", "jsonschema_specifications"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from publisher.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["check", "."],
        ["registry", "audit", "."],
        ["registry", "init", "new", "--base-url", "https://registry.example"],
        ["registry", "policy", "set", ".", "--name", "x"],
        ["registry", "schema", "schema"],
        ["registry", "register", "{dir}", "--key", "{online}"],
    ],
)
def test_without_its_extra_it_says_which_to_install(bench: Bench, arguments: list[str]) -> None:
    """Both commands always install; this one needs an extra, and names it, as JSON too."""
    places = {"dir": str(bench.kept.folder), "online": str(bench.kept.keys["online"])}
    command = [sys.executable, "-c", _BLOCKER, *(text.format(**places) for text in arguments)]
    run = subprocess.run(
        command, env=bench.environ, cwd=bench.source, text=True, capture_output=True, check=False
    )
    assert run.returncode == 3, run
    assert "pip install 'plugin-registry[publisher]'" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (bench.source / "new").exists()
    assert not (bench.source / "new-keys").exists()
    run = subprocess.run([*command, "--json"], env=bench.environ, text=True, capture_output=True, check=False)
    assert json.loads(run.stdout)["error"]["hint"] == "pip install 'plugin-registry[publisher]'"


def test_a_change_of_mirrors_shows_all_of_them(bench: Bench) -> None:
    """The option replaces the list, which is seen in what is printed; a second time nothing changes."""
    one, two = "https://one.example", "https://two.example"
    assert "mirrors: none" in bench.run("registry", "policy", "set", "{dir}", "--no-mirrors", *KEY).out
    both = ("registry", "policy", "set", "{dir}", "--mirror", one, "--mirror", two, *KEY)
    assert bench.run(*both).out == f"policy: mirrors changed\nmirrors: {one}, {two}\n"
    again = bench.run(*both)
    assert again.out == f"policy: stands so already\nmirrors: {one}, {two}\n"
    assert "Commit" not in again.err
    run = bench.run("registry", "policy", "set", "{dir}", "--mirror", one, *KEY, "--json")
    assert (run.json["changedMembers"], run.json["mirrors"]) == (["mirrors"], [one])


class TestNewcomer:
    """From nothing to a verified plugin, by commands alone, as the help's first example has it."""

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """An empty folder to work in, with a plugin."""
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "plugin" / "src").mkdir(parents=True)
        (tmp_path / "plugin" / "src" / "main.txt").write_text("hello")
        manifest = {
            "id": "calendar",
            "name": "Calendar",
            "version": "1.0.0",
            "artifacts": [{"ecosystem": "custom", "pack": "src"}],
        }
        (tmp_path / "plugin" / "manifest.json").write_text(json.dumps(manifest))
        return tmp_path  # type: ignore[return-value]

    def test_the_whole_way(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """init, keygen, add-publisher, publish, register, audit; then `plugin download` over HTTP."""
        (place / "registry").mkdir()
        with serve(place / "registry") as url:
            steps = (
                ["registry", "init", "registry", "--base-url", url, "--artifacts-in-tree"],
                ["keygen", "--out", "publisher.pem"],
                [
                    *("registry", "policy", "add-publisher", "registry", "acme", "--plugin", "calendar"),
                    *("--key-file", "publisher.pem.pub.json", "--key", "registry-keys/targets.pem"),
                ],
                ["check", "plugin"],
                ["publish", "plugin", "--to", "registry", "--key", "publisher.pem"],
                ["registry", "register", "registry", "--key", "registry-keys/online.pem"],
                ["registry", "audit", "registry"],
                ["publish", "plugin", "--to", "registry", "--key", "publisher.pem", "--bump", "minor"],
                ["registry", "register", "registry", "--key", "registry-keys/online.pem"],
                ["registry", "audit", url, "--root", "registry/metadata/1.root.json"],
            )
            for step in steps:
                assert main(step) == 0, (step, capsys.readouterr())
            reader = ["--registry", url, "--root", "registry/metadata/1.root.json"]
            capsys.readouterr()
            assert plugin_main([*reader, "search", "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["plugins"][0]["version"] == "1.1.0"
            assert plugin_main([*reader, "download", "calendar", "--output", "got"]) == 0
        files = [path.name for path in (place / "got").rglob("*") if path.is_file()]
        assert len(files) == 1
        assert files[0].startswith("calendar-1.1.0")
        assert json.loads((place / "plugin" / "manifest.json").read_bytes())["version"] == "1.1.0"
