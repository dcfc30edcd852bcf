"""`catalogueMinutes`: additions to registry.json may wait, what is withdrawn does not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.history import PLUGINS, History

from publisher.registrar import catalogue
from publisher.watch.audit import audit

if TYPE_CHECKING:
    from pathlib import Path

CALENDAR, MAP, CHAT = PLUGINS[0], PLUGINS[1], PLUGINS[4]


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A registry whose catalogue may wait for an hour, with one version of two plugins."""
    made = History(tmp_path / "registry", minutes=60)
    made.happen("publish", 0)
    made.happen("publish", 1)
    made.world.tick(minutes=90)
    made.register()
    made.world.tick(minutes=1)
    return made


def _shown(history: History) -> dict[str, str]:
    """The version that the catalogue and the plain manifest show of each plugin; the two must agree."""
    top = history.world.folder
    lines = {row["id"]: row for row in json.loads((top / "registry.json").read_bytes())["plugins"]}
    for plugin_id in PLUGINS:
        plain = top / "plugins" / f"{plugin_id}.json"
        assert plain.exists() == (plugin_id in lines)
        if plain.exists():
            held = top / "plugins" / plugin_id / lines[plugin_id]["version"] / "manifest.json"
            assert plain.read_bytes() == held.read_bytes()
    client = history.world.client("looking")
    client.refresh()
    assert {entry.id: entry.version for entry in client.search()} == {
        plugin_id: row["version"] for plugin_id, row in lines.items()
    }
    return {plugin_id: row["version"] for plugin_id, row in lines.items()}


def _found(history: History) -> Any:
    report = audit(
        history.world.tree, history.world.root, history.world.now, allow_dev_keys=False, complete=False
    )
    return [str(finding) for finding in report.findings]


def test_additions_wait(history: History) -> None:
    """A new version and a new plugin are resolved at once, and shown after the hour."""
    history.happen("publish", 0)
    history.happen("publish", 4)
    run = history.register()
    assert run is not None
    assert "registry.json" not in run.changes
    assert run.to_json()["waiting"] == sorted([CALENDAR, CHAT])
    assert "2 plugins as before; what was added waits until" in run.waits
    assert run.waits_until is not None
    assert timedelta(minutes=58) < run.waits_until - history.world.now <= timedelta(minutes=60)
    assert _shown(history) == {CALENDAR: "1.1.0", MAP: "1.1.0"}
    assert [info.line.version for info in history.world.client().versions(CALENDAR)] == ["1.1.0", "1.2.0"]
    assert _found(history) == []
    history.world.tick(minutes=58)
    history.register()
    assert _shown(history) == {CALENDAR: "1.1.0", MAP: "1.1.0"}
    history.world.tick(minutes=2)
    last = history.register()
    assert last is not None
    assert (last.waiting, last.waits_until, last.waits) == ((), None, "")
    assert _shown(history) == {CALENDAR: "1.2.0", MAP: "1.1.0", CHAT: "1.1.0"}
    assert _found(history) == []


@pytest.mark.parametrize("how", ["yank", "deprecate", "block", "rollout", "edit"])
def test_what_is_withdrawn_is_shown_at_once(history: History, how: str) -> None:
    """With it comes what waited."""
    history.happen("publish", 4)
    history.register()
    assert CHAT not in _shown(history)
    history.world.tick(minutes=1)
    match how:
        case "yank":
            history.world.set_status(MAP, "1.1.0", "yanked", reason="broken")
        case "deprecate":
            history.world.set_status(MAP, "1.1.0", "deprecated", reason="old")
        case "block":
            history.world.block(MAP, ">=1.0.0")
        case "rollout":
            history.world.set_status(MAP, "1.1.0", "released", rollout=50)
        case _:
            history.recover = lambda path, digest: None  # type: ignore[method-assign]  # noqa: ARG005
            (history.world.folder / "plugins" / MAP / "1.1.0" / "manifest.json").write_bytes(b"{}")
    history.register()
    shown = _shown(history)
    assert shown.pop(MAP, None) == ("1.1.0" if how == "deprecate" else None)
    assert shown == {CALENDAR: "1.1.0", CHAT: "1.1.0"}


def test_the_shown_version_is_yanked_while_the_next_waits(history: History) -> None:
    """A line that is not true any more is never kept, although the change is also an addition."""
    history.happen("publish", 0)
    history.register()
    assert _shown(history)[CALENDAR] == "1.1.0"
    history.world.set_status(CALENDAR, "1.1.0", "yanked", reason="broken")
    history.register()
    assert _shown(history)[CALENDAR] == "1.2.0"


def test_what_waits_and_is_withdrawn_was_never_shown(history: History) -> None:
    """Nothing is left to wait for."""
    history.happen("publish", 4)
    history.register()
    history.world.set_status(CHAT, "1.1.0", "yanked", reason="broken")
    run = history.register()
    assert run is not None
    assert "registry.json" not in run.changes
    assert CHAT not in _shown(history)
    assert _found(history) == []


def test_too_many_do_not_wait(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of those that wait is signed, and bounded."""
    monkeypatch.setattr(catalogue, "MAX_NAMED", 1)
    history.happen("publish", 0)
    history.happen("publish", 4)
    history.register()
    assert _shown(history) == {CALENDAR: "1.2.0", MAP: "1.1.0", CHAT: "1.1.0"}


def test_a_clock_that_was_set_back(history: History) -> None:
    """A time in the future keeps nothing waiting."""
    history.happen("publish", 4)
    history.world.tick(minutes=-30)
    history.register()
    assert CHAT in _shown(history)


def test_an_edited_catalogue_is_not_one_that_waits(history: History) -> None:
    """The audit takes no other file for one whose lines wait."""
    history.happen("publish", 4)
    history.register()
    path = history.world.folder / "registry.json"
    path.write_bytes(path.read_bytes().replace(b"1.1.0", b"1.0.9"))
    assert any("registry.json" in text for text in _found(history))
