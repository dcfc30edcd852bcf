"""Resolution of whole projects: cases as JSON files in cases/resolution, conflict messages word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.resolution import INSTALL_ID, Tables, info, locked, other_digest

from registry_client import errors
from registry_client.errors import ConfigError, ConflictError, FetchError, NotFoundError, RegistryError
from registry_client.installer.resolution.solve import MAX_PLUGINS, Ask, Fixed, Pick, solve
from registry_client.models.manifest import Requires
from registry_client.resolve import Host, VersionInfo
from registry_client.status import Status

FOLDER = Path(__file__).parent / "cases" / "resolution"
COLUMNS = ("range", "exact", "exact by a plugin", "locked", "upgrade")
Case = dict[str, Any]


def _read() -> list[tuple[str, Case]]:
    return [
        (path.stem, c) for path in sorted(FOLDER.glob("*.json")) for c in json.loads(path.read_text("utf-8"))
    ]


def _tables(case: Case) -> Tables:
    registries = case.get("registries", {"main": case.get("plugins", {})})
    blocks = case.get("blocks", {})
    return Tables(
        {
            registry: {name: [info(name, e, blocks.get(name, ())) for e in rows] for name, rows in of.items()}
            for registry, of in registries.items()
        }
    )


def _asks(wanted: Any) -> list[Ask]:
    if isinstance(wanted, list):
        return [Ask(**entry) for entry in wanted]
    return [Ask(name, text, "main") for name, text in wanted.items()]


def _locked(entries: Case) -> dict[str, Any]:
    found = {}
    for name, entry in entries.items():
        said = {"version": entry} if isinstance(entry, str) else dict(entry)
        more: Case = {}
        if said.get("digest") == "other":
            more["payloadDigest"] = other_digest()
        if "registry" in said:
            more["source"] = {"kind": "registry", "registry": said["registry"]}
        if "passedOver" in said:
            more["passedOver"] = said["passedOver"]
        found[name] = locked(name, said["version"], **more)
    return found


def _fixed(entries: Case) -> dict[str, Fixed]:
    return {
        name: Fixed(
            name, e["version"], Requires.model_validate_json(json.dumps(e.get("requires", {}))), e["source"]
        )
        for name, e in entries.items()
    }


def _solve(case: Case) -> dict[str, Pick]:
    return solve(
        _asks(case["wanted"]),
        _tables(case),
        Host(INSTALL_ID, **case.get("host", {})),
        locked=_locked(case.get("locked", {})),
        upgrade=case.get("upgrade", False),
        fixed=_fixed(case.get("fixed", {})),
        limits=[Ask(**entry) for entry in case.get("limits", [])],
        default_registry="main",
    )


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{stem}: {c['name']}") for stem, c in _read()])
def test_case(case: Case) -> None:
    """Each case gives the versions and warnings that it expects, or the error with its text and hint."""
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(RegistryError) as caught:
            _solve(case)
        assert type(caught.value) is getattr(errors, f"{expected['error']}Error")
        assert str(caught.value).splitlines() == expected["message"]
        assert caught.value.hint == expected["hint"]
        assert max(len(text) for text in expected["message"]) <= 100
        return
    picks = _solve(case)
    assert {name: pick.version for name, pick in picks.items()} == expected["picks"]
    assert [text for pick in picks.values() for text in pick.warnings] == expected.get("warnings", [])


def test_every_cell_of_the_status_table_has_a_case() -> None:
    """Each status by range, exactly, exactly by another plugin's need, locked, and as an upgrade."""
    cells = [tuple(case["cell"]) for _, case in _read() if "cell" in case]
    assert sorted(set(cells)) == sorted((status.value, column) for status in Status for column in COLUMNS)


def test_names_of_cases_differ() -> None:
    """So that a failing one is found, and none is there twice."""
    names = [(stem, case["name"]) for stem, case in _read()]
    assert len(set(names)) == len(names) > 100


def _row(name: str, *versions: str, **more: Any) -> list[VersionInfo]:
    return [info(name, {"version": version, **more}) for version in versions]


def test_a_pick_says_who_asks() -> None:
    """The owner first, then plugins by name; where it comes from and the registry's line are in it."""
    tables = Tables(
        {
            "main": {
                "calendar": _row("calendar", "1.0.0", needs={"notes": ">=1"}),
                "chat": _row("chat", "1.0.0", needs={"notes": "<3"}),
                "notes": _row("notes", "1.0.0", "2.0.0"),
            }
        }
    )
    asks = [Ask("notes", "", "main"), Ask("chat", "", "main"), Ask("calendar", "", "main")]
    pick = solve(asks, tables, Host(INSTALL_ID))["notes"]
    assert pick.info is tables.registries["main"]["notes"][1]
    assert pick == Pick(
        "notes",
        "2.0.0",
        "main",
        pick.info,
        (),
        (
            Ask("notes", "", "main", "plugins.toml"),
            Ask("notes", ">=1", "main", "calendar 1.0.0"),
            Ask("notes", "<3", "main", "chat 1.0.0"),
        ),
    )


def test_shards_are_fetched_level_by_level() -> None:
    """What is wanted and locked at once, then what the likely versions need; no plugin of another registry's lock."""
    tables = Tables(
        {
            "main": {
                "a": _row("a", "1.0.0", needs={"c": ">=1", "d": ">=1"}),
                "b": _row("b", "1.0.0"),
                "c": _row("c", "1.0.0", needs={"e": ">=1", "a": ">=1"}),
                "d": _row("d", "1.0.0"),
                "e": _row("e", "1.0.0"),
            }
        }
    )
    elsewhere = locked("x", "1.0.0", source={"kind": "registry", "registry": "old"})
    picks = solve(
        [Ask("a", "", "main"), Ask("b", "", "main")],
        tables,
        Host(INSTALL_ID),
        locked={"d": locked("d", "1.0.0"), "x": elsewhere},
    )
    assert sorted(picks) == ["a", "b", "c", "d", "e"]
    assert tables.fetched == [[("main", "a"), ("main", "b"), ("main", "d")], [("main", "c")], [("main", "e")]]
    assert len(tables.asked) == len(set(tables.asked))


def test_errors_of_the_catalogue_pass() -> None:
    """A shard that cannot be fetched is no plugin that is not there."""

    class Broken(Tables):
        def versions(self, registry: str, plugin_id: str) -> Any:
            if plugin_id == "notes":
                raise FetchError("index/0.json: no answer")
            return super().versions(registry, plugin_id)

    tables = Broken({"main": {"calendar": _row("calendar", "1.0.0", needs={"notes": ">=1"})}})
    with pytest.raises(FetchError, match="no answer"):
        solve([Ask("calendar", "", "main")], tables, Host(INSTALL_ID))


def test_what_is_no_range_is_refused() -> None:
    """With the name of who asks."""
    with pytest.raises(ConfigError, match=r"plugins\.toml: calendar: expected a range"):
        solve([Ask("calendar", "=>1", "main")], Tables({"main": {}}), Host(INSTALL_ID))


def test_a_host_that_states_no_version() -> None:
    """Its own mistake, told as such and not as a conflict."""
    tables = Tables({"main": {"a": _row("a", "1.0.0", requires={"host": {"nexus": ">=1"}})}})
    with pytest.raises(ConfigError, match="'x' of nexus"):
        solve([Ask("a", "", "main")], tables, Host(INSTALL_ID, applications={"nexus": "x"}))


def test_the_search_is_bounded() -> None:
    """Pigeons and holes, which no search does fast: it ends, and says after how many steps and what was in the way."""
    holes = [f"1.{n}.0" for n in range(7)]
    plugins: dict[str, list[VersionInfo]] = {}
    for one in range(8):
        rows = []
        for hole in holes:
            needs = {f"p{other}": f"!={hole}" for other in range(8) if other != one}
            rows.append(info(f"p{one}", {"version": hole, "needs": needs}))
        plugins[f"p{one}"] = rows
    asks = [Ask(name, "", "main") for name in plugins]
    with pytest.raises(ConflictError) as caught:
        solve(asks, Tables({"main": plugins}), Host(INSTALL_ID), max_rounds=300)
    lines = str(caught.value).splitlines()
    assert lines[0] == "no set of versions was found in 300 steps; what was in the way:"
    assert len(lines) == 21
    assert lines[-1].endswith("more lines like these")


def test_a_long_chain() -> None:
    """Twelve hundred plugins that need each other in a row, and the first again: no recursion."""
    count = 1200
    plugins = {f"p{n}": _row(f"p{n}", "1.0.0", needs={f"p{(n + 1) % count}": ">=1"}) for n in range(count)}
    picks = solve([Ask("p0", "", "main")], Tables({"main": plugins}), Host(INSTALL_ID))
    assert len(picks) == count


def test_a_long_chain_that_ends_in_a_conflict() -> None:
    """It is told from the top, as far as an error may be long."""
    count = 1100
    plugins = {f"p{n}": _row(f"p{n}", "1.0.0", needs={f"p{n + 1}": ">=1"}) for n in range(count)}
    with pytest.raises(ConflictError) as caught:
        solve([Ask("p0", "", "main")], Tables({"main": plugins}), Host(INSTALL_ID))
    lines = str(caught.value).splitlines()
    assert lines[1:3] == ["  plugins.toml asks for p0", "  p0 1.0.0 needs p1 >=1"]
    assert lines[-1].endswith("more lines like these")


def test_a_plugin_that_needs_thousands() -> None:
    """Who publishes them decides how many: past a number it is an error, not a machine without memory."""
    below = {f"p{n}": _row(f"p{n}", "1.0.0") for n in range(MAX_PLUGINS + 10)}
    groups = {
        f"g{n}": _row(f"g{n}", "1.0.0", needs={f"p{n * 100 + m}": ">=1" for m in range(100)})
        for n in range(MAX_PLUGINS // 100)
    }
    tables = Tables(
        {"main": {**below, **groups, "all": _row("all", "1.0.0", needs=dict.fromkeys(groups, ">=1"))}}
    )
    with pytest.raises(ConflictError, match=f"more than {MAX_PLUGINS}"):
        solve([Ask("all", "", "main")], tables, Host(INSTALL_ID))


def test_nothing_is_wanted() -> None:
    """Then nothing is picked, whatever is locked."""
    assert solve([], Tables({"main": {}}), Host(INSTALL_ID), locked={"a": locked("a", "1.0.0")}) == {}


def test_no_registry_is_configured() -> None:
    """A plugin from elsewhere alone is fine; one of a registry has to say which."""
    alone = {"sms": Fixed("sms", "1.0.0", None, "path")}
    assert list(solve([], Tables({}), Host(INSTALL_ID), fixed=alone)) == ["sms"]
    with pytest.raises(NotFoundError, match="no registry is named for"):
        solve([Ask("notes")], Tables({}), Host(INSTALL_ID))
