"""`publisher publish` as a step of a job: what its outputs and its summary say, however it ends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from support.documents import ed25519
from support.hub import PUSH_TOKEN, REGISTRY, Hub, Ran, open_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """A registry on GitHub's double, and a publisher's token for it."""
    with open_hub(tmp_path, monkeypatch, capsys) as opened:
        opened.double.add_token(PUSH_TOKEN, "acme-bot", {REGISTRY: {"contents": "write"}})
        yield opened


def step(hub: Hub, *arguments: str) -> tuple[Ran, dict[str, str], str]:
    """Publish in a job; how it ended, its outputs, and its summary."""
    source = hub.world.folder.parent / "sources" / "acme-tool"
    if not source.exists():
        hub.world.write_source("acme-tool", "1.0.0")
    outputs, summary = hub.here / "output", hub.here / "summary"
    for file in (outputs, summary):
        file.unlink(missing_ok=True)
    ran = hub.run(
        *("publish", str(source), "--to", REGISTRY, *arguments),
        GITHUB_ACTIONS="true",
        GITHUB_OUTPUT=str(outputs),
        GITHUB_STEP_SUMMARY=str(summary),
        PLUGIN_REGISTRY_KEY=ed25519("acme-1").private_bytes.decode(),
    )
    text = outputs.read_text() if outputs.exists() else ""
    found = re.findall(r"^([a-z-]+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)
    return ran, {name: value for name, _, value in found}, summary.read_text() if summary.exists() else ""


def test_an_offer_has_outputs_and_a_summary(hub: Hub) -> None:
    """A later step can use what was published."""
    ran, outputs, summary = step(hub)
    assert ran.code == 0, ran.err
    assert (outputs["id"], outputs["version"], outputs["result"]) == ("acme-tool", "1.0.0", "offered")
    assert outputs["digest"].startswith("sha256:")
    assert outputs["manifest-url"].endswith("/plugins/acme-tool.json")
    assert outputs["digest"] in summary


def test_what_is_offered_stays_so_when_the_waiting_is_over(hub: Hub) -> None:
    """The step fails, as was asked for; its outputs still say where the offer stands, and the summary what to do."""
    ran, outputs, summary = step(hub, "--wait", "1")
    assert ran.code == 9
    assert outputs["result"] == "offered"
    assert "publish/" in outputs["place"] or "/commit/" in outputs["place"]
    assert "### Failed" in summary
    assert hub.refs()


def test_a_bump_is_kept_when_the_waiting_is_over(hub: Hub) -> None:
    """The version was offered: the manifest says so, or the next run would use the number again."""
    source = hub.world.write_source("acme-tool", "1.0.0")
    ran, outputs, _ = step(hub, "--bump", "minor", "--wait", "1")
    assert (ran.code, outputs["version"]) == (9, "1.1.0")
    assert json.loads((source / "manifest.json").read_text())["version"] == "1.1.0"


def test_the_same_again_says_so(hub: Hub) -> None:
    """A job that runs twice is green twice."""
    step(hub)
    ran, outputs, _ = step(hub)
    assert (ran.code, outputs["result"], outputs["place"]) == (0, "unchanged", "")


def test_no_secret_gets_into_outputs_and_summary(hub: Hub) -> None:
    """Neither the token nor the key, with or without a failure."""
    for arguments in ((), ("--wait", "1")):
        ran, outputs, summary = step(hub, *arguments)
        for text in (ran.out, ran.err, summary, *outputs.values()):
            assert PUSH_TOKEN not in text
            assert "PRIVATE KEY" not in text
