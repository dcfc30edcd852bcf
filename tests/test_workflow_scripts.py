"""Scripts in the workflows' steps, run as a runner runs them: with what stands in their environment, and nothing filled in."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.workflow_files import BY_NAME, EXAMPLES, ROOT, Yaml
from support.world import git

from publisher.registrar.quarantine import MAX_MARKS, Mark, dump_marks, parse_marks
from registry_client.digest import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

CALENDAR = next(file for file in EXAMPLES if "calendar" in str(file))


def step(file: Yaml, name: str) -> str:
    """The script of a step."""
    (found,) = [str(step["run"]) for step in file.steps if step.get("name") == name]
    return found


def run(script: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As `shell: bash` does."""
    path = os.pathsep.join(
        [str(cwd / "programs"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=cwd,
        env={"PATH": path, "RUNNER_TEMP": str(cwd), "GITHUB_OUTPUT": str(cwd / "outputs"), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def publisher(folder: Path, script: str) -> None:
    """Put a command `publisher` of our own on the PATH."""
    path = folder / "programs" / "publisher"
    path.parent.mkdir()
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


LIST = '{"versions": [{"id": "calendar", "reason": "changed\\nresult=forged"}]}'


@pytest.mark.parametrize(
    ("content", "code", "handed_on"),
    [(LIST, 11, True), (LIST, 0, True), ('{"versions": []}', 0, False), (None, 0, False), (None, 5, False)],
)
def test_an_audit_hands_its_list_on(tmp_path: Path, content: str | None, code: int, handed_on: bool) -> None:
    """Whatever the audit's verdict, which stays the step's; an empty list starts no second job; no line of it is an output."""
    write = f"printf '%s' '{content}' >\"${{@: -1}}\"" if content is not None else ":"
    publisher(tmp_path, f"{write}; exit {code}")
    done = run(step(BY_NAME["audit"], "Audit"), tmp_path, {"GITHUB_REPOSITORY": "acme/registry"})
    assert done.returncode == code, done.stderr
    outputs = (tmp_path / "outputs").read_text().splitlines() if (tmp_path / "outputs").exists() else []
    assert len(outputs) == handed_on
    if handed_on:
        name, _, value = outputs[0].partition("=")
        assert (name, base64.b64decode(value).decode()) == ("quarantine", content)


def test_the_second_job_gets_the_same_list(tmp_path: Path) -> None:
    """Byte for byte, in the file that the registrar is given."""
    publisher(tmp_path, f'cp "${{@: -1}}" {tmp_path}/seen; printf "%s\\n" "$*"')
    env = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/registry",
        "PLUGIN_REGISTRY_ROOT_DIGEST": "sha256:0",
        "QUARANTINE": base64.b64encode(LIST.encode()).decode(),
    }
    done = run(step(BY_NAME["audit"], "Mark the versions"), tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seen").read_text() == LIST
    assert done.stdout.startswith(
        "registry register https://github.com/acme/registry --statuses acme/registry"
    )


def test_the_longest_list_fits_into_the_second_jobs_environment(tmp_path: Path) -> None:
    """A publisher of hundreds of versions whose files vanish at once keeps no version of another from its quarantine."""
    entry = {
        "cause": "artifact",
        "payloadDigest": Digest.of(b""),
        "reason": "\x01" * 1000,
        "version": "1.0.0",
    }
    marks = [Mark.model_validate({**entry, "id": f"a{number:063}"}) for number in range(MAX_MARKS)]
    publisher(tmp_path, f'cp "${{@: -1}}" {tmp_path}/seen')
    env = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/registry",
        "PLUGIN_REGISTRY_ROOT_DIGEST": "sha256:0",
        "QUARANTINE": base64.b64encode(dump_marks(marks)).decode(),
    }
    done = run(step(BY_NAME["audit"], "Mark the versions"), tmp_path, env)
    assert done.returncode == 0, done.stderr
    assert parse_marks((tmp_path / "seen").read_bytes(), "seen") == tuple(marks[:10])


@pytest.mark.parametrize(("folder", "wanted"), [(True, "1"), (False, "")])
def test_a_registry_for_trying_out_is_validated_for_forks(tmp_path: Path, folder: bool, wanted: str) -> None:
    """GitHub hands no variables to them; a registry that has no development keys on main accepts none."""
    publisher(tmp_path, 'echo "$PLUGIN_REGISTRY_ALLOW_DEV_KEYS|$*"')
    if folder:
        (tmp_path / "dev-keys").mkdir()
    env = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/registry",
        "HEAD": "0" * 40,
        "PLUGIN_REGISTRY_ALLOW_DEV_KEYS": "",
    }
    done = run(step(BY_NAME["validate"], "Validate what the pull request changes"), tmp_path, env)
    head = "0" * 40
    assert done.stdout == f"{wanted}|registry validate https://github.com/acme/registry --head {head}\n"


@pytest.mark.parametrize(("tag", "code"), [("v1.2.3", 0), ("v1.2.4", 1), ("1.2.3", 1)])
def test_a_release_is_of_the_tagged_version(tmp_path: Path, tag: str, code: int) -> None:
    """A tag that is not the version stops before anything is built."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.3"\n')
    done = run(
        step(BY_NAME["release"], "Compare the tag with the version"), tmp_path, {"GITHUB_REF_NAME": tag}
    )
    assert done.returncode == code, done.stderr
    assert ("::error" in done.stdout) is bool(code)


def test_earlier_versions_of_a_frontend_stay(tmp_path: Path) -> None:
    """Each under its own URL, as it was tagged, and the one at hand beside them; a tagged one is not changed any more."""
    client = tmp_path / "src/client/assets/remoteEntry.js"
    client.parent.mkdir(parents=True)
    git(tmp_path, "init", "--quiet", ".")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        client.write_text(version)
        git(tmp_path, "add", "src")
        git(tmp_path, "commit", "--quiet", "--message", version)
        git(tmp_path, "tag", f"v{version}")
    site = tmp_path / "_site"
    for version, stands in (("1.2.0", "1.2.0"), ("1.3.0", "new")):
        client.write_text("new")
        done = run(step(CALENDAR, "Put the versions together"), tmp_path, {"VERSION": version})
        assert done.returncode == 0, done.stderr
        found = {path.name: (path / "assets/remoteEntry.js").read_text() for path in site.iterdir()}
        assert found == {**{tagged: tagged for tagged in ("1.0.0", "1.1.0", "1.2.0")}, version: stands}


def test_a_first_version_of_a_frontend(tmp_path: Path) -> None:
    """A repository without a tag is no error."""
    (tmp_path / "src/client").mkdir(parents=True)
    (tmp_path / "src/client/x").write_text("x")
    git(tmp_path, "init", "--quiet", ".")
    assert run(step(CALENDAR, "Put the versions together"), tmp_path, {"VERSION": "1.0.0"}).returncode == 0
    assert (tmp_path / "_site/1.0.0/x").read_text() == "x"


def test_the_example_keeps_its_own_promise() -> None:
    """The integrity that the example's manifest states is that of its client, as its test step compares them."""
    lines = step(CALENDAR, "Test the client").splitlines()
    script = "\n".join(lines[1:]).replace(
        "node --print 'require(\"./manifest.json\").ui.integrity'",
        'python -c \'import json; print(json.load(open("manifest.json"))["ui"]["integrity"])\'',
    )
    done = run(script, ROOT / "examples" / "calendar", {})
    assert done.returncode == 0, done.stdout
